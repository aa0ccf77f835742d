"""The only place where compile options are chosen, and what is asked of the processor directly.

Main names: `kernel`, `kept_in`, `compilations`, `fma`, `SIZE`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast, final

import numba
from llvmlite.binding import get_host_cpu_features
from numba.core import event, types
from numba.extending import intrinsic, overload

from theory.progress import DELAY, note

P = ParamSpec("P")
R = TypeVar("R")

_OPTIONS = {"fastmath": False, "error_model": "numpy", "nogil": True}

#: n & SIZE is n, a size, and shows the compiler that it is not negative: as a negative index counts
#: from the end, a loop over a[n + i] would gather entries one by one, at half the speed.
SIZE = 2**40 - 1

#: Said once, when compiling has taken `DELAY` seconds.
_ONCE = "compiling kernels, once on this machine; `theory warm` compiles all of them ahead"
_NOT_KEPT = (
    "compiling kernels, again in every process, as they can be kept neither beside the package nor "
    "in the user's cache folder; set NUMBA_CACHE_DIR to a folder that can be written"
)


@final
class _Watch(event.Listener):  # type: ignore[misc]
    """Counts what is compiled, and says so if it takes long."""

    def __init__(self) -> None:
        self.count = self.depth = 0
        self.begun = self.spent = 0.0
        self.told = False
        self.kept = True  # whether there is a folder for what is compiled
        self.ours = False  # whether it is a kernel of this package

    def on_start(self, event: Any) -> None:  # pragma: no cover - while kernels are compiled
        """Take up a kernel, or what a kernel calls; it is now that a line can be written."""
        now = time.monotonic()
        if self.depth == 0:
            self.begun = now
            self.ours = event.data["dispatcher"].py_func.__module__.startswith("theory.")
            self.count += self.ours
        self.depth += 1
        if self.ours and not self.told and self.spent + now - self.begun > DELAY:
            self.told = True
            note(_ONCE if self.kept else _NOT_KEPT)

    def on_end(self, event: Any) -> None:  # pragma: no cover - while kernels are compiled
        """Leave it."""
        del event
        self.depth -= 1
        if self.depth == 0 and self.ours:
            self.spent += time.monotonic() - self.begun


_watch = _Watch()
event.register("numba:compile", _watch)


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile with Numba: cached, NumPy error model, fastmath off, interpreter lock released.

    With fastmath on, a kernel may assume that NaN does not exist and reorder sums at will; both
    would break the rounding budget and the checks for divergence.  Where nothing can be written, it
    is compiled in every process.
    """
    try:
        compiled = numba.njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # pragma: no cover - while kernels are compiled: no folder for them
        _watch.kept = False
        compiled = numba.njit(**_OPTIONS)(function)
    return cast("Callable[P, R]", compiled)


def kept_in(made: Any) -> str | None:  # pragma: no cover - while kernels are compiled
    """Return the folder that holds a kernel once it is compiled; None if it is not kept."""
    stats = getattr(made, "stats", None)
    return getattr(stats, "cache_path", None)


def compilations() -> int:  # pragma: no cover - while kernels are compiled
    """Return how many times this process has compiled a kernel that was asked for."""
    return _watch.count


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
