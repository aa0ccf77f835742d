"""
Certified above measured
========================

The two numbers that this project is about. The certificate says that for all inputs in a box, and
for histories of any length, ``k`` inputs are enough for an error of 0.001; on random inputs far
fewer are. Both are true: the first holds for the worst history that the proof cannot exclude, the
second for what happened.

What the eye should see: the measured error (blue) falls faster than the bound (vermilion) and
lies under it everywhere.
"""

import numpy as np

import theory

rng = np.random.default_rng(0)
W = rng.standard_normal((64, 64))
W *= 0.9 / np.linalg.norm(W, 2)
cell = theory.VanillaRNN(W, rng.standard_normal((64, 3)) / 8)
choice = theory.required_context(cell, 1e-3, inputs=theory.Inputs.box(-1, 1))
X = rng.uniform(-1, 1, (2000, 3))
gaps = theory.truncation_gaps(cell, X, k_max=choice.k)
figure = choice.plot(measured=gaps)
print(f"certified k = {choice.k}, measured k = {int(np.argmax(gaps <= 1e-3))}")
