"""The only place where compile options are chosen.

Main name: `kernel`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile with Numba: cached, NumPy error model, fastmath off, interpreter lock released.

    With fastmath on, a kernel may assume that NaN does not exist and reorder sums at will; both
    would break the rounding budget and the checks for divergence.
    """
    return cast(
        "Callable[P, R]",
        numba.njit(cache=True, fastmath=False, error_model="numpy", nogil=True)(function),
    )
