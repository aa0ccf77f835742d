"""
How much of 600 sequences is remembered
=======================================

Quantiles of the truncation error over independent sequences, and the least context whose error is
at most 0.01 on all but one sequence in a hundred, with confidence 0.99. Nothing here is
certified; the exact binomial statement is about new sequences of the same kind.

What the eye should see: the quantiles fall together, and the largest error of all passes the
allowed one a few steps before the answer would change.
"""

import numpy as np

import theory

rng = np.random.default_rng(0)
V = rng.standard_normal
lstm = theory.LSTM(V((32, 8)) / 4, V((32, 3)) / 2)
answer = theory.effective_memory(lstm, rng.uniform(-1, 1, (600, 60, 3)), eps=0.01)
figure = answer.plot()
print(answer)
