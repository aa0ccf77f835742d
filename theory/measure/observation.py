"""Measured values of a theorem's quantity, beside the arguments of its formula.

Main name: `Observation`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, final

from theory.shown import shown
from theory.typing import Array


@shown
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
