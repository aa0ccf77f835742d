r"""Weight gap along the path that was taken: from the truncated descent alone.

Statement   |w_N - v_N| <= amplification * departed
Assumes     w and v start together; w descends on p with step sizes alpha_i, projected onto a
            convex set; the next v_i is within defect_i of what that descent makes of v_(i-1);
            its step stretches distances from v_(i-1) by at most stretch_i, on the ball around it
            that the bound so far allows; amplification = product of stretch_i over i = 1 .. N and
            departed = sum of defect_i / (stretch_1 .. stretch_i)
Kind        sharp, attained by p(w) = -beta*w**2/2 and p^k(w) = p(w) - mismatch*w
Source      this project; the recursion behind weight_gap, with the constants of each step

Nothing of the whole set of weights enters, and stretch_i may be below 1.  v may be any sequence:
the descent on the k-step model's loss has defect_i <= alpha_i |grad p - grad p^k| at v_(i-1).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from theory.arithmetic.rounding import product_up, sum_up
from theory.errors import as_vector
from theory.theorems.assumptions import NONEXPANSIVE, PATH_DEFECT, PATH_STRETCH, TWIN_DESCENTS
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Array, Scalar


def formula(amplification: Scalar, departed: Scalar) -> Scalar:
    """Return the right-hand side."""
    return amplification * departed


def weight_gaps_path(
    *, stretches: Sequence[float], defects: Sequence[float], start: float = 0.0
) -> Array:
    """Return `weight_gap_path` after 0 .. N steps, from a distance at the start."""
    parts = {"stretches": stretches, "defects": defects}
    q, d = (as_vector(name, value) for name, value in parts.items())
    for name, values in (("stretches", q), ("defects", d)):
        if not (values >= 0).all():
            raise ValueError(f"{name} holds {np.min(values):g}, needed numbers from 0 on")
    if len(q) != len(d):
        raise ValueError(f"{len(q)} stretches and {len(d)} defects, needed one of each a step")
    gaps = [start]
    for stretch, defect in zip(q.tolist(), d.tolist(), strict=True):
        gaps.append(sum_up([product_up(stretch, gaps[-1]), defect]))
    return np.array(gaps)


def weight_gap_path(*, stretches: Sequence[float], defects: Sequence[float]) -> float:
    r"""Bound the distance of the weights of the twins after N steps, from what each step shows.

    Parameters
    ----------
    stretches : (N,) sequence
        Of step i: upper bounds of |x - alpha grad p(x) - (v - alpha grad p(v))| / |x - v|, v the
        weights before it.
    defects : (N,) sequence
        Upper bounds of |v' - Pi(v - alpha grad p(v))|, v' the weights after it.

    Returns
    -------
    float
        An upper bound, rounded outward; inf where it exceeds the largest double.

    Raises
    ------
    ValueError
        If a number is negative or not finite, or there is not one of each a step.

    Examples
    --------
    >>> round(weight_gap_path(stretches=[1.0, 2.0, 0.5], defects=[1.0, 0.5, 0.25]), 12)
    1.5
    """
    return float(weight_gaps_path(stretches=stretches, defects=defects)[-1])


WEIGHT_GAP_PATH = Theorem(
    name="weight_gap_path",
    title="weight gap of the twins along the path",
    quantity=r"\|w_N - v_N\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(TWIN_DESCENTS, NONEXPANSIVE, PATH_STRETCH, PATH_DEFECT),
    source="this project; the recursion behind weight_gap, with the constants of each step",
)
