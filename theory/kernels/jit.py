"""The only place where compile options are chosen, and what is asked of the processor directly.

Main names: `kernel`, `fma`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numba
from llvmlite.binding import get_host_cpu_features
from numba.core import types
from numba.extending import intrinsic, overload

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


def fma(a: float, b: float, c: float) -> float:
    """Return a b + c: rounded once in kernels; twice as plain Python, or if there is no such unit.

    It stands where it is written, in every row and every lane, unlike the contraction that a
    compiler may choose; and it errs by less than the product and the sum that budgets count.
    """
    return a * b + c


@intrinsic  # type: ignore[untyped-decorator]
def _fused(_: Any, a: Any, b: Any, c: Any) -> Any:  # pragma: no cover - while kernels are compiled
    del a, b, c
    triple = types.float64(types.float64, types.float64, types.float64)
    return triple, lambda _context, builder, _signature, args: builder.fma(*args)


@overload(fma, strict=False)  # type: ignore[untyped-decorator]
def _fma(a: Any, b: Any, c: Any) -> Any:  # pragma: no cover - while kernels are compiled
    del a, b, c
    features = get_host_cpu_features()
    # without the unit a library would be called, entry by entry; only x86 lists it by this name
    if features.get("fma", True):
        return lambda a, b, c: _fused(a, b, c)
    return lambda a, b, c: a * b + c
