"""The parameters of a GRU as rows of its units, and back."""

from __future__ import annotations

import numpy as np

from theory.maps.gru import GRU
from theory.projections.rows import Integers
from theory.typing import Array


def row_starts(n: int, m: int) -> Integers:
    """Return where the groups of `gru_rows` start."""
    return np.append(0, np.cumsum([n, n, n, m, m, m, 1, 1, 1, 1]))


def gru_rows(cell: GRU) -> Array:
    """Return the rows [W_r, W_z, W_n, U_r, U_z, U_n, b_r, b_z, b_n, b_c] of the units."""
    gates = [cell.gate(g) for g in ("r", "z", "n")]
    return np.hstack(
        [
            *(W for W, _, _ in gates),
            *(U for _, U, _ in gates),
            *(b[:, None] for _, _, b in gates),
            cell.b_candidate[:, None],
        ]
    )


def gru_parameters(cell: GRU, Y: Array) -> tuple[Array, ...]:
    """Return W, U, b and b_candidate with the rows of the units replaced."""
    n, m = cell.units, cell.input_dim
    W = np.vstack([Y[:, k * n : (k + 1) * n] for k in range(3)])
    U = np.vstack([Y[:, 3 * n + k * m : 3 * n + (k + 1) * m] for k in range(3)])
    rest = Y[:, 3 * (n + m) :]
    after = cell.variant == "reset_after"  # without, there is no second bias
    return W, U, rest[:, :3].T.ravel(), rest[:, 3].copy() if after else cell.b_candidate
