r"""The campaign: theorems times instances, in parallel, resumable, replayable.

Main name: `Campaign`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, final

from theory.campaign.recipes.table import RECIPES, build, on_sequence
from theory.campaign.record import FORMAT, read_campaign
from theory.campaign.results import Result
from theory.campaign.tasks import MAPS_PER_SEQUENCE, Config, Task
from theory.executors import PATIENCE, finished
from theory.files.sequences import load_sequences
from theory.files.writing import write_atomically
from theory.measure.run import Run
from theory.theorems import THEOREMS
from theory.theorems.theorem import Theorem
from theory.threads import few_threads
from theory.trials.table import trial_of
from theory.trials.verdict import Outcome, verify
from theory.typing import Array
from theory.version import __version__

#: Seconds between two writes of the finished verdicts, at least, ...
_SAVE_EVERY = 2.0

#: ... and as a multiple of the time that the last one took: all of a long campaign is written each
#: time, and that is to stay a small part of the work.
_SAVE_SHARE = 20.0

#: Most instances that are handed to a worker at a time.
_CHUNK = 8


class Driven(NamedTuple):
    """One sequence of the user's, which a task needs and a worker is sent."""

    name: str
    inputs: Array  # (T, m)


def run_of(task: Task, driven: Driven | None) -> Run:
    """Build the instance of a task.

    Raises
    ------
    ValueError
        If it needs a sequence that is not there, or names an unknown recipe.
    """
    if task.source == "sequence":
        if driven is None:
            raise ValueError(f"{task.key} needs the campaign's sequences; pass --sequences")
        chosen = task.index % MAPS_PER_SEQUENCE
        return Run(on_sequence(driven.inputs, task.seed, chosen, driven.name))
    if task.source not in RECIPES:
        raise ValueError(
            f"recipe {task.source!r} is not known, needed one of: {', '.join(RECIPES)}"
        )
    return Run(build(task.source, task.seed, task.index))


def execute(task: Task, theorems: Sequence[Theorem], driven: Driven | None) -> Result:
    """Test all theorems and all their near misses on one instance."""
    result = Result(task=asdict(task))
    with few_threads():
        started = time.perf_counter()
        run = run_of(task, driven)
        building = (time.perf_counter() - started) / max(len(theorems), 1)
        for theorem in theorems:
            started = time.perf_counter()
            result.verdicts.append(verify(theorem, run).to_dict())
            for near_miss in trial_of(theorem).near_misses:
                verdict = verify(theorem, run, near_miss=near_miss)
                if verdict.outcome is Outcome.REFUTED:
                    entry = {"theorem": theorem.name, "name": near_miss.name}
                    result.near_misses.append({**entry, "verdict": verdict.to_dict()})
            result.seconds[theorem.name] = building + time.perf_counter() - started
    return result


class _Chunk(NamedTuple):
    """What a worker is sent: tasks, each with its sequence, and the names of the theorems."""

    tasks: list[tuple[Task, Driven | None]]
    theorems: tuple[str, ...]


def _execute_chunk(chunk: _Chunk) -> list[Result]:
    theorems = [t for t in THEOREMS if t.name in chunk.theorems]
    return [execute(task, theorems, driven) for task, driven in chunk.tasks]


@final
class Campaign:
    """All results so far, by task; saved to a file if one is given.

    Parameters
    ----------
    config : Config
    path : path, optional
        Where finished verdicts are kept; written atomically every few seconds and at the end.
    resume : bool
        Whether to take over what the file already holds.

    Raises
    ------
    ValueError
        If the campaign resumes a file that belongs to another one, or cannot be read.  Without
        `resume`, a file that is there is replaced.
    """

    def __init__(
        self, config: Config, *, path: str | Path | None = None, resume: bool = False
    ) -> None:
        self.config = config
        self.path = None if path is None else Path(path)
        self.sequences = load_sequences(config.sequences) if config.sequences else None
        digest = "" if self.sequences is None else self.sequences.digest
        if config.digest and config.digest != digest:
            raise ValueError(
                f"the sequences at {config.sequences} are not those of the campaign (fingerprint "
                f"{digest[:12]}, needed {config.digest[:12]})"
            )
        self.tasks = config.tasks(0 if self.sequences is None else len(self.sequences))
        self.results: dict[str, Result] = {}
        if resume and self.path is not None and self.path.exists():
            self._take_over(self.path, digest)

    def _take_over(self, path: Path, digest: str) -> None:
        theirs, results = read_campaign(path)
        mine = self._description(digest)
        # more instances of the same campaign are a continuation of it
        for name in ("seed", "only", "digest", "version"):
            if mine[name] != theirs[name]:
                raise ValueError(
                    f"{path.name} holds a campaign with {name}={theirs[name]!r}, this one has "
                    f"{mine[name]!r}; choose another file, or drop --resume to start anew"
                )
        keys = {task.key for task in self.tasks}
        self.results = {k: r for k, r in results.items() if k in keys}

    def driven(self, task: Task) -> Driven | None:
        """Return the sequence of the user's that a task needs, if any."""
        if task.source != "sequence" or self.sequences is None:
            return None
        number = task.index // MAPS_PER_SEQUENCE
        if not number < len(self.sequences):
            return None
        return Driven(self.sequences.names[number], self.sequences.arrays[number])

    def run(
        self,
        *,
        executor: Executor | Callable[[], Executor] | None = None,
        patience: float = PATIENCE,
    ) -> Iterator[Result]:
        """Yield each result as it is finished; those of a resumed campaign are not run again.

        Whatever interrupts the iteration, what is finished is saved first.  While the file cannot
        be written (a full disk), the work goes on, and it is tried again.

        Parameters
        ----------
        executor : Executor, or function that starts one, optional
            Whose workers do it, such as `theory.executors.processes`; this process by default.
        patience : float
            Seconds without any answer, after which workers count as hung.

        Raises
        ------
        LostWorkError
            If workers are lost again and again, or have other versions; see `finished`.
        OSError
            If the file cannot be written at the end.
        """
        todo = [task for task in self.tasks if task.key not in self.results]
        saved, rest = time.monotonic(), _SAVE_EVERY
        # small campaigns in small pieces, so that no worker waits for another; here one by one
        size = 1 if executor is None else max(1, min(_CHUNK, len(todo) // (4 * _CHUNK)))
        chunks = self._chunks(todo, size)
        work = finished(_execute_chunk, chunks, executor=executor, patience=patience)
        try:
            for _, results in work:
                for result in results:
                    self.results[Task(**result.task).key] = result
                    if time.monotonic() - saved > rest:
                        started = time.monotonic()
                        with suppress(OSError):  # the last time it is raised
                            self.save()
                        saved = time.monotonic()
                        rest = max(_SAVE_EVERY, _SAVE_SHARE * (saved - started))
                    yield result
        finally:
            work.close()
            self.save()

    def _chunks(self, todo: list[Task], size: int) -> Iterator[_Chunk]:
        names = tuple(t.name for t in self.config.theorems)
        for i in range(0, len(todo), size):
            yield _Chunk([(task, self.driven(task)) for task in todo[i : i + size]], names)

    def _description(self, digest: str) -> dict[str, Any]:
        """Return what the file says of the campaign; as JSON has it, with lists for tuples."""
        said = {**asdict(self.config), "digest": digest, "version": __version__}
        return {**said, "only": list(self.config.only)}

    def save(self) -> None:
        """Write the results to the campaign's file, atomically."""
        if self.path is None:
            return
        digest = "" if self.sequences is None else self.sequences.digest
        data = {
            "format": FORMAT,
            "config": self._description(digest),
            "results": {
                task.key: asdict(self.results[task.key])
                for task in self.tasks
                if task.key in self.results
            },
        }
        write_atomically(self.path, json.dumps(data, allow_nan=False))
