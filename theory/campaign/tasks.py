"""What a campaign does, and its instances by name.

Main names: `Config`, `Task`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from theory.campaign.recipes.table import RECIPES, SCHEDULE
from theory.errors import check_count
from theory.theorems import THEOREMS
from theory.theorems.theorem import Theorem

#: More than a campaign can do in a year; a larger number in a file is damage.
_MOST_INSTANCES = 10**8

#: Random maps per sequence of the user's.
MAPS_PER_SEQUENCE = 2


@final
@dataclass(frozen=True, kw_only=True)
class Task:
    """One instance, by name: enough to build it again."""

    source: str  # a recipe's name, or "sequence"
    seed: int
    index: int  # which instance of the recipe; for a sequence, number * MAPS_PER_SEQUENCE + map

    @property
    def key(self) -> str:
        """Return a unique name, such as ``rotation:0:5``."""
        return f"{self.source}:{self.seed}:{self.index}"


@final
@dataclass(frozen=True, kw_only=True)
class Config:
    """What a campaign does; two campaigns of the same configuration give the same verdicts."""

    instances: int = 200
    seed: int = 0
    only: tuple[str, ...] = ()  # names of theorems, all if empty
    sequences: str = ""  # path of the user's sequences, none if empty
    digest: str = ""  # fingerprint of the sequences' values

    def __post_init__(self) -> None:
        check_count(seed=self.seed)
        least = len(RECIPES)
        check_count(instances=self.instances)
        known = [t.name for t in THEOREMS]
        for name in self.only:
            if name not in known:
                raise ValueError(
                    f"theorem {name!r} is not known, needed one of: {', '.join(known)}"
                )
        if self.instances < least:
            raise ValueError(
                f"instances={self.instances!r}, needed at least {least}: one of each recipe, "
                "since every near miss needs its witness"
            )
        if self.instances > _MOST_INSTANCES:
            raise ValueError(f"instances={self.instances}, needed at most {_MOST_INSTANCES}")

    @property
    def theorems(self) -> tuple[Theorem, ...]:
        """Return the theorems under test."""
        return tuple(t for t in THEOREMS if not self.only or t.name in self.only)

    def tasks(self, sequences: int) -> list[Task]:
        """Return all instances, in order."""
        recipes = [
            Task(source=SCHEDULE[i % len(SCHEDULE)], seed=self.seed, index=i)
            for i in range(self.instances)
        ]
        driven = [
            Task(source="sequence", seed=self.seed, index=i)
            for i in range(sequences * MAPS_PER_SEQUENCE)
        ]
        return recipes + driven
