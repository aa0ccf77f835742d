"""The parameters of an LSTM as rows of its units, and back."""

from __future__ import annotations

import numpy as np

from theory.maps.lstm import LSTM
from theory.projections.rows import Integers
from theory.typing import Array


def row_starts(n: int, m: int) -> Integers:
    """Return where the groups of `lstm_rows` start."""
    return np.array([0, n, 2 * n, 3 * n, 4 * n, 4 * n + m, 4 * n + m + 1])


def lstm_rows(cell: LSTM) -> Array:
    """Return the rows [W_i, W_f, W_g, W_o, U_f, b_f] of the units."""
    _, U_f, b_f = cell.gate("f")
    return np.hstack([*(cell.gate(g)[0] for g in ("i", "f", "g", "o")), U_f, b_f[:, None]])


def lstm_parameters(cell: LSTM, Y: Array) -> tuple[Array, Array, Array]:
    """Return W, U, b with the rows of the units replaced."""
    n, m = cell.units, cell.input_dim
    W = np.vstack([Y[:, k * n : (k + 1) * n] for k in range(4)])
    U, b = cell.U.copy(), cell.b.copy()
    U[n : 2 * n], b[n : 2 * n] = Y[:, 4 * n : 4 * n + m], Y[:, 4 * n + m]
    return W, U, b
