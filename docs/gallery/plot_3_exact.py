"""
A bound that is reached
=======================

For a linear map the worst error over all histories is known exactly, so the least context is,
too. The rate alone costs a factor: this matrix has both eigenvalues at 0.9 and a large entry
beside them.

What the eye should see: the exact error (vermilion) is not a straight line at first; the measured
one, on inputs that were not chosen to be bad, stays far below.
"""

import numpy as np

import theory

system = theory.LinearMap([[0.9, 5.0], [0.0, 0.9]], np.eye(2))
choice = theory.required_context(system, 0.1, inputs=theory.Inputs.box(-1, 1))
X = np.random.default_rng(0).uniform(-1, 1, (3000, 2))
figure = choice.plot(measured=theory.truncation_gaps(system, X, k_max=choice.k))
print(f"k = {choice.k}, and no smaller one: {choice.exact}")
