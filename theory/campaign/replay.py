"""A campaign judged again, instance by instance, and compared bit for bit.

Main names: `replay`, `Replayed`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from theory.campaign.record import config_of, find_near_miss, find_theorem, read_campaign
from theory.campaign.results import summarize
from theory.campaign.runner import Campaign, run_of
from theory.campaign.tasks import Task
from theory.threads import few_threads
from theory.trials.verdict import Outcome, Verdict, verify


@final
@dataclass(frozen=True, kw_only=True)
class Replayed:
    """A verdict from a file beside the one that its task gives now."""

    then: Verdict
    now: Verdict

    @property
    def same(self) -> bool:
        """Return whether both are equal to the last bit."""
        return self.then.to_dict() == self.now.to_dict()

    @property
    def agrees(self) -> bool:
        """Return whether they say the same, up to the rounding of another machine's libraries."""
        if self.then.outcome != self.now.outcome or self.then.theorem != self.now.theorem:
            return False
        if self.then.outcome is Outcome.NOT_APPLICABLE:
            return self.then.reason == self.now.reason
        allowed = self.then.budget + self.now.budget
        # an infinite ratio of equal values is a difference that is not a number
        return self.same or abs(self.then.measured - self.now.measured) <= allowed


def replay(
    path: str | Path,
    *,
    only: str | None = None,
    everything: bool = False,
    sequences: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Replayed]:
    """Build the instances of a campaign file again and judge them again.

    Parameters
    ----------
    path : path
        A campaign file, as `theory verify --json` writes it.
    only : str, optional
        Name of the theorem to replay.
    everything : bool
        Replay every verdict; by default the worst of each theorem and each refuted near miss.
    sequences : str, optional
        Where the campaign's sequences are now, if they have moved.

    Raises
    ------
    ValueError
        If the file or its sequences cannot be read, or a name is unknown.
    """
    described, found = read_campaign(path)
    config = config_of(described)
    if sequences is not None:
        config = replace(config, sequences=sequences)
    elif config.sequences and not Path(config.sequences).exists():
        raise ValueError(
            f"the campaign's sequences are not at {config.sequences}, seen from this folder; pass "
            "where they are now, --sequences PATH (sequences=)"
        )
    campaign = Campaign(config)
    results = list(found.values())
    theorems = [t for t in campaign.config.theorems if only is None or t.name == only]
    if not theorems:
        raise ValueError(f"{path} holds no theorem {only!r}")
    wanted: list[tuple[dict[str, Any], Verdict]] = []
    if everything:
        names = {t.name for t in theorems}
        wanted = [
            (r.task, Verdict.from_dict(v))
            for r in results
            for v in r.verdicts
            if v["theorem"] in names
        ]
    else:
        keep = {t.name for t in theorems}
        rows = [
            row for row in summarize(campaign.config.theorems, results) if row.theorem.name in keep
        ]
        for row in rows:
            if row.worst is not None:
                wanted.append((row.worst_task, row.worst))
            wanted += [
                (task, v) for found in row.near_misses.values() if found for v, task in [found]
            ]
    answers = []
    for done, (task, then) in enumerate(wanted):
        name, _, rest = then.theorem.partition(" [")
        theorem = find_theorem(name)
        near_miss = find_near_miss(theorem, rest[:-1]) if rest else None
        with few_threads():
            one = Task(**task)
            run = run_of(one, campaign.driven(one))
            answers.append(Replayed(then=then, now=verify(theorem, run, near_miss=near_miss)))
        if progress is not None:
            progress(done + 1, len(wanted))
    return answers
