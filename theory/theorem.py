r"""The shapes of a result: a criterion, a bound, their assumptions and their near misses.

Main names: `Theorem` (a `Bound` or a `Criterion`), `Kind`, `Assumption`, `NearMiss`, `Observation`.

A *criterion* turns a condition on the weights into a contraction; a *bound* turns a contraction
into a number.  Both compare something measured with `formula`, so both are one class with a kind of
conclusion; what differs is who calls them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias, final

from theory.typing import Array, Scalar

if TYPE_CHECKING:
    from theory.measure import Run

Formula: TypeAlias = Callable[..., Scalar]


class Kind(Enum):
    """On which side of the measured quantity the formula lies, and whether it is reached."""

    UPPER = "upper"  # measured <= formula
    SHARP = "sharp"  # measured <= formula, with equality for a witness
    LOWER = "lower"  # measured >= formula


@final
@dataclass(frozen=True, kw_only=True)
class Assumption:
    """A named hypothesis of a theorem."""

    name: str  # as it is named in reports and when a near miss drops it
    statement: str  # in words and Python syntax
    holds: Callable[[Run], bool]  # whether it is established for a run


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Observation:
    """Measured values of a theorem's quantity, with the arguments of its formula.

    The arrays are broadcast against each other; `budget` bounds the rounding error of `measured`.
    """

    measured: Array  # the left-hand side, (N,)
    budget: Array | float  # rounding budget of each value
    arguments: dict[str, Any]  # the formula's arguments: numbers or arrays (N,)

    def with_arguments(self, **changed: Any) -> Observation:
        """Return the same values, with some of the formula's arguments formed otherwise."""
        return replace(self, arguments={**self.arguments, **changed})


Observe: TypeAlias = Callable[["Run"], Observation]


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class NearMiss:
    """A false neighbour of a theorem, which a campaign must refute.

    Exactly one of three things is wrong with it: the formula, the way its arguments are formed
    (`observe`), or an assumption that it does without (`drops`).
    """

    name: str  # what is wrong, in a few words
    formula: Formula | None = None  # the wrong formula, in the theorem's arguments
    observe: Observe | None = None  # the theorem's formula at wrong arguments
    drops: Assumption | None = None  # the assumption left out


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Theorem:
    r"""One result: quantity <= formula (or >=, for a lower bound) under its assumptions.

    The right-hand side is never written in LaTeX by hand: it is `formula` called on symbols.
    """

    name: str  # the stem of its three files
    title: str  # a few words for tables
    quantity: str  # the left-hand side in LaTeX
    formula: Formula  # the right-hand side: arithmetic only
    kind: Kind
    assumes: tuple[Assumption, ...]
    source: str  # paper and number, or "this project"
    observe: Observe  # measures the left-hand side on a run
    near_misses: tuple[NearMiss, ...] = field(default=())
    criterion: bool = False  # whether the conclusion is a contraction

    @property
    def relation(self) -> str:
        """Return ``<=`` or ``>=``."""
        return ">=" if self.kind is Kind.LOWER else "<="

    @property
    def symbols(self) -> tuple[str, ...]:
        """Return the names of the formula's arguments, in order."""
        import inspect

        return tuple(inspect.signature(self.formula).parameters)

    def missing(self, run: Run) -> Iterator[Assumption]:
        """Yield the assumptions that are not established for a run."""
        return (a for a in self.assumes if not a.holds(run))
