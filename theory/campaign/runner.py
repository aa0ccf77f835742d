r"""The campaign: theorems times instances, in parallel, resumable, replayable.

Main name: `Campaign`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any, final

from theory.campaign.recipes.table import RECIPES, build, on_sequence
from theory.campaign.record import FORMAT, read_campaign
from theory.campaign.results import Result
from theory.campaign.tasks import MAPS_PER_SEQUENCE, Config, Task
from theory.errors import check_count
from theory.files.sequences import Sequences, load_sequences
from theory.files.writing import write_atomically
from theory.measure.run import Run
from theory.theorems import THEOREMS
from theory.theorems.theorem import Theorem
from theory.threads import few_threads
from theory.trials.table import trial_of
from theory.trials.verdict import Outcome, verify
from theory.version import __version__

#: Seconds between two writes of the finished verdicts.
_SAVE_EVERY = 2.0


def run_of(task: Task, sequences: Sequences | None) -> Run:
    """Build the instance of a task.

    Raises
    ------
    ValueError
        If it needs sequences that are not there, or names an unknown recipe.
    """
    if task.source == "sequence":
        number, chosen = divmod(task.index, MAPS_PER_SEQUENCE)
        if sequences is None or not number < len(sequences):
            raise ValueError(f"{task.key} needs the campaign's sequences; pass --sequences")
        name = sequences.names[number]
        return Run(on_sequence(sequences.arrays[number], task.seed, chosen, name))
    if task.source not in RECIPES:
        raise ValueError(
            f"recipe {task.source!r} is not known, needed one of: {', '.join(RECIPES)}"
        )
    return Run(build(task.source, task.seed, task.index))


def execute(task: Task, theorems: Sequence[Theorem], sequences: Sequences | None) -> Result:
    """Test all theorems and all their near misses on one instance."""
    result = Result(task=asdict(task))
    with few_threads():
        started = time.perf_counter()
        run = run_of(task, sequences)
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


_sequences: Sequences | None = None


def _start_worker(sequences: Sequences | None) -> None:
    global _sequences
    _sequences = sequences


def _execute_chunk(tasks: list[Task], names: tuple[str, ...]) -> list[Result]:
    theorems = [t for t in THEOREMS if t.name in names]
    return [execute(task, theorems, _sequences) for task in tasks]


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

    def run(self, *, jobs: int = 1) -> Iterator[Result]:
        """Yield each result as it is finished; those of a resumed campaign are not run again.

        Whatever interrupts the iteration, what is finished is saved first.
        """
        check_count(at_least=1, jobs=jobs)
        todo = [task for task in self.tasks if task.key not in self.results]
        saved = time.monotonic()
        source = self._serial(todo) if jobs == 1 else self._parallel(todo, jobs)
        try:
            for result in source:
                self.results[Task(**result.task).key] = result
                if time.monotonic() - saved > _SAVE_EVERY:
                    self.save()
                    saved = time.monotonic()
                yield result
        finally:
            self.save()

    def _serial(self, todo: list[Task]) -> Iterator[Result]:
        for task in todo:
            yield execute(task, self.config.theorems, self.sequences)

    def _parallel(self, todo: list[Task], jobs: int) -> Iterator[Result]:
        names = tuple(t.name for t in self.config.theorems)
        size = max(1, min(8, len(todo) // (4 * jobs)))
        chunks = [todo[i : i + size] for i in range(0, len(todo), size)]
        # spawned, because forking a process that runs threads (BLAS, progress) can deadlock
        pool = ProcessPoolExecutor(
            jobs, get_context("spawn"), initializer=_start_worker, initargs=(self.sequences,)
        )
        try:
            pending: set[Future[list[Result]]] = {
                pool.submit(_execute_chunk, chunk, names) for chunk in chunks
            }
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    yield from future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

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
