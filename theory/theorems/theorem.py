"""The shapes of a result: a criterion, a bound, and their assumptions.

Main names: `Theorem`, `Kind`, `Assumption`, `Formula`.

A *criterion* turns a condition on the weights into a contraction; a *bound* turns a contraction
into a number.  Both compare something measured with `formula`, so both are one class with a kind of
conclusion; what differs is who calls them.  How a theorem is measured and attacked is in
`theory.trials`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias, final

from theory.shown import shown
from theory.typing import Scalar

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


@shown
@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Theorem:
    r"""One result: quantity <= formula (or >=, for a lower bound) under its assumptions.

    The right-hand side is never written in LaTeX by hand: it is `formula` called on symbols.
    """

    name: str  # the stem of its four files
    title: str  # a few words for tables
    quantity: str  # the left-hand side in LaTeX
    formula: Formula  # the right-hand side: arithmetic only
    kind: Kind
    assumes: tuple[Assumption, ...]
    source: str  # paper and number, or "this project"
    criterion: bool = False  # whether the conclusion is a contraction
    order: int = 1  # in plain doubles the formula errs by units of (1 - lam)**-order

    @property
    def relation(self) -> str:
        """Return ``<=`` or ``>=``."""
        return ">=" if self.kind is Kind.LOWER else "<="

    @property
    def symbols(self) -> tuple[str, ...]:
        """Return the names of the formula's arguments, in order."""
        return tuple(inspect.signature(self.formula).parameters)
