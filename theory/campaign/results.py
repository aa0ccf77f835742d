"""What the instances gave, and one row a theorem of it.

Main names: `Result`, `Row`, `summarize`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, final

from theory.theorems.theorem import Theorem
from theory.trials.table import trial_of
from theory.trials.verdict import Outcome, Verdict


@final
@dataclass(kw_only=True)
class Result:
    """What one instance gave: plain data, ready for JSON."""

    task: dict[str, Any]
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    near_misses: list[dict[str, Any]] = field(default_factory=list)  # refuted ones only
    seconds: dict[str, float] = field(default_factory=dict)  # per theorem


@final
@dataclass(kw_only=True)
class Row:
    """A theorem's line in the table."""

    theorem: Theorem
    instances: int = 0  # on which it was applicable
    observations: int = 0
    worst: Verdict | None = None  # nearest to failing
    worst_task: dict[str, Any] = field(default_factory=dict)
    refuted: int = 0  # instances that refute it
    points: list[tuple[float, float, str]] = field(default_factory=list)  # measured, bound, source
    near_misses: dict[str, tuple[Verdict, dict[str, Any]] | None] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def caught(self) -> int:
        """Return how many near misses were refuted."""
        return sum(found is not None for found in self.near_misses.values())

    @property
    def ok(self) -> bool:
        """Return whether the theorem was tested, held, and every near miss was refuted."""
        return self.instances > 0 and self.refuted == 0 and self.caught == len(self.near_misses)


def summarize(theorems: Sequence[Theorem], results: Sequence[Result]) -> list[Row]:
    """Return one row a theorem; results are taken in the order of the campaign's tasks."""
    rows = {
        t.name: Row(theorem=t, near_misses={nm.name: None for nm in trial_of(t).near_misses})
        for t in theorems
    }
    for result in results:
        for data in result.verdicts:
            verdict = Verdict.from_dict(data)
            row = rows[verdict.theorem]
            row.seconds += result.seconds[verdict.theorem]
            if verdict.outcome is Outcome.NOT_APPLICABLE:
                continue
            row.instances += 1
            row.observations += verdict.observations
            row.refuted += verdict.outcome is Outcome.REFUTED
            row.points.append((verdict.measured, verdict.bound, result.task["source"]))
            if row.worst is None or _badness(verdict) > _badness(row.worst):
                row.worst, row.worst_task = verdict, result.task
        for data in result.near_misses:
            row = rows[data["theorem"]]
            if row.near_misses[data["name"]] is None:
                row.near_misses[data["name"]] = (Verdict.from_dict(data["verdict"]), result.task)
    return list(rows.values())


def _badness(verdict: Verdict) -> tuple[bool, float]:
    ratio = verdict.ratio if not math.isnan(verdict.ratio) else -1.0
    return verdict.outcome is Outcome.REFUTED, ratio
