"""The loop of memories that a step turns by a diagonal matrix and one of rank one.

Main name: `delta_kernel`.
"""

from __future__ import annotations

import numpy as np

from theory.kernels.jit import kernel
from theory.typing import Array


@kernel
def delta_kernel(terms: Array, h0: Array, H: Array, keys: int, values: int) -> None:
    """Overwrite H, (T, heads keys values), with the states of S <- diag(w) S - u (r^T S) + g v^T.

    terms, (T, heads (4 keys + values)), are w, u, r and g of all heads, and v.
    """
    T = H.shape[0]
    heads = H.shape[1] // (keys * values)
    block = heads * keys
    seen = np.empty(values)
    S = h0.copy()
    for t in range(T):
        row = terms[t]
        for head in range(heads):
            first = head * keys
            seen[:] = 0.0
            # row by row: a memory lies with its values side by side
            for i in range(first, first + keys):
                r = row[2 * block + i]
                for j in range(values):
                    seen[j] += r * S[i * values + j]
            for i in range(first, first + keys):
                w, u, g = row[i], row[block + i], row[3 * block + i]
                for j in range(values):
                    at = i * values + j
                    own = w * S[at] - u * seen[j]
                    S[at] = own + g * row[4 * block + head * values + j]
        H[t] = S
