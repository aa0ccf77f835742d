"""How a theorem is attacked: what is measured on a run, and its false neighbours.

Main names: `Trial`, `NearMiss`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from theory.measure.run import Observe
from theory.shown import shown
from theory.theorems.theorem import Assumption, Formula, Theorem


@shown
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


@shown
@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """How a theorem is attacked: what is measured on a run, and its false neighbours."""

    theorem: Theorem
    observe: Observe  # measures the left-hand side on a run
    near_misses: tuple[NearMiss, ...]
