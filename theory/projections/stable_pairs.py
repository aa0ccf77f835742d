"""Nearest 2 x 2 matrices whose eigenvalues stay in a disk, many at once.

Main name: `stable_pairs`.
"""

from __future__ import annotations

import numpy as np

from theory.typing import Array

#: Smaller radii are raised to this one, beside entries of about 1, in lower bounds.
LEAST_RADIUS = 2.0**-200


def stable_pairs(M: Array, radius: float) -> Array:
    """Return the nearest 2 x 2 matrices whose eigenvalues are at most the radius; M is (k, 2, 2).

    Examples
    --------
    >>> stable_pairs(np.array([[[1.25, 0.0], [0.0, 0.25]]]), 1.0).round(12).tolist()
    [[[1.0, 0.0], [0.0, 0.25]]]
    """
    from theory.kernels.stable_pairs import stable_pair_kernel

    out = np.empty_like(M)
    stable_pair_kernel(np.ascontiguousarray(M), radius, out)
    return out
