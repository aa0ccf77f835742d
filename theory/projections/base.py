r"""What a projection is asked and what it answers.

Main names: `Projection`, `Request`, `accepted_arrays`, `make_projection`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar, final

import numpy as np

from theory.arithmetic.rounding import decimal_down, decimal_up, upper_after
from theory.arithmetic.sums import length_upper
from theory.certificates import Contraction
from theory.maps.base import Map
from theory.projections.repair import inside
from theory.shown import shown
from theory.typing import Array

M = TypeVar("M", bound=Map)

#: What is noted of a projection by the best of several sets.
NOT_CONVEX = "the set is not convex: a nearer member may exist"


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Request:
    """The arguments of `theory.projections.project`, checked."""

    onto: str
    rate: float  # the asked rate, 0 < rate < 1
    method: str  # "auto", "closed_form" or "cvxpy"
    weights: Array | None = None  # of a weighted norm, (n,)
    metric: tuple[Array, Array] | None = None  # P, (n, n), and q, (n,), of a matrix inequality
    input_bound: float = 1.0  # bound of |x_i|, for gated cells
    forget: float | None = None  # fixed bound of the forget gates, or of update gates
    per_unit: bool = False  # the larger set of gated cells
    starts: int = 3  # how many starting points, where the set is not convex
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    single: bool = False  # whether the result must be exact in single precision
    bias_terms: int = 1  # how many stored arrays a bias of a gated cell is the sum of

    def cast(self, array: Array) -> Array:
        """Return the array as it will be stored, in double precision again."""
        if not self.single:
            return array
        with np.errstate(over="ignore", under="ignore"):
            return array.astype(np.float32).astype(np.float64)

    def stored(self, array: Array, given: Array) -> Array:
        """Return a parameter as it will be stored; sums of biases that did not move stay."""
        cast = self.cast(array)
        return np.where(array == given, given, cast) if self.bias_terms > 1 else cast


@shown
@final
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Projection:
    """The nearest map of a set, as far as it was found, with the proof that it is in the set."""

    map: Map
    #: from the given parameters, Frobenius norm of all together, rounded up: infinite beyond the
    #: largest double, which is then the lower bound
    distance: float
    lower: float  # lower bound of the distance of any member of the set asked for, proved
    certificate: Contraction  # of the new map, at most at the asked rate
    iterations: int  # steps of the method; 0 for a closed form or a member
    residuals: Mapping[str, float]  # what the method left over, by name
    moved: Mapping[str, float]  # by how much each parameter moved, Frobenius norm
    method: str  # what computed it
    note: str = ""  # why another method than the one asked for was used, and the like

    @property
    def gap(self) -> float:
        """Return by how much the distance may exceed the least one, relatively."""
        return 0.0 if self.distance == 0 else 1.0 - self.lower / self.distance

    def __repr__(self) -> str:
        distance, lower = decimal_up(self.distance, 6), decimal_down(self.lower, 6)
        return (
            f"Projection(distance={distance}, lower={lower}, "
            f"certificate={self.certificate!r}, method={self.method!r})"
        )


def accepted_arrays(
    request: Request,
    arrays: tuple[Array, ...],
    point: Callable[[float], tuple[Array, ...]],
    certify: Callable[[tuple[Array, ...]], Contraction | None],
    margin: float,
    store: Callable[[tuple[Array, ...]], tuple[Array, ...]] | None = None,
) -> tuple[tuple[Array, ...], Contraction, float] | None:
    """Return accepted arrays with their certificate and margin; None if none are accepted.

    Parameters
    ----------
    request
    arrays
        As given; they are returned themselves if they are accepted.
    point
        From a margin to the arrays of the nearest point of the set shrunken by it.
    certify
        Returns a contraction, which must be at most at the asked rate, or None.
    margin
        The first one tried.
    store
        From arrays to those that will be stored; by default a cast to the type asked for.
    """
    stored = store or (lambda arrays: tuple(map(request.cast, arrays)))
    proofs: list[Contraction] = []

    def accept(candidate: tuple[Array, ...]) -> bool:
        if not all(np.isfinite(a).all() for a in candidate):  # beyond single precision
            return False
        found = certify(candidate)
        if found is None or not found.lam <= request.rate:
            return False
        proofs.append(found)
        return True

    kept = stored(arrays)
    same = all(np.array_equal(a, b) for a, b in zip(arrays, kept, strict=True))
    if accept(kept):
        return (arrays if same else kept), proofs[-1], 0.0
    found = inside(lambda m: stored(point(m)), accept, margin)
    return None if found is None else (found[0], proofs[-1], found[1])


def make_projection(
    recurrent: Map,
    changed: Mapping[str, Array],
    *,
    certificate: Contraction,
    lower: float,
    method: str,
    iterations: int = 0,
    residuals: Mapping[str, float] | None = None,
    note: str = "",
) -> Projection:
    """Return the projection with these new parameters; the others stay as they are."""
    given = recurrent.parameters
    new = {name: a for name, a in changed.items() if not np.array_equal(a, given[name])}
    moved = {name: length_upper(new[name] - given[name]) if name in new else 0.0 for name in given}
    # differences of stored numbers are rounded once
    changes = (new[name] - given[name] for name in new)
    distance = float(upper_after(length_upper(*changes), 1)) if new else 0.0
    return Projection(
        map=with_parameters(recurrent, new) if new else recurrent,
        distance=distance,
        lower=min(lower, distance) if math.isfinite(lower) else 0.0,
        certificate=certificate,
        iterations=iterations,
        residuals=MappingProxyType(dict(residuals or {})),
        moved=MappingProxyType(moved),
        method=method if new else "member",
        note=note,
    )


def with_parameters(recurrent: M, changed: Mapping[str, Array]) -> M:
    """Return the map of the same class with some parameters changed."""
    rebuild: Any = recurrent.with_parameters
    made: M = rebuild(**changed)
    return made
