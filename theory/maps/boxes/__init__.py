"""Gated steps over boxes: enclosures, invariant boxes, and matrices that majorise a step.

All of it is interval arithmetic rounded outward (`theory.arithmetic.intervals`) on plain arrays;
the maps' methods `image`, `candidate_box`, `comparison` and `input_comparison` call it.
Differences of two steps from h and g under the same input are written with secants, for instance

    f c - f' c'  =  f (c - c') + c' (f - f'),      |f - f'| <= slope |W_f| |h - g|,

with the largest slope that the logistic function has on the range of the pre-activation.
"""
