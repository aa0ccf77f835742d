r"""The campaign: theorems times instances, in parallel, resumable, replayable.

Main names: `Config`, `Campaign`, `summarize`, `Row`, `replay`.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, final

from theory.campaign.recipes import RECIPES, SCHEDULE, build, on_sequence
from theory.errors import check_count
from theory.files import replacing
from theory.measure import Run
from theory.sequences import Sequences, load_sequences
from theory.theorem import NearMiss, Theorem
from theory.theorems import THEOREMS
from theory.threads import few_threads
from theory.verdict import Outcome, Verdict, verify

FORMAT = "stable-recurrent-models campaign 1"

#: More than a campaign can do in a year; a larger number in a file is damage.
_MOST_INSTANCES = 10**8

#: Seconds between two writes of the finished verdicts.
_SAVE_EVERY = 2.0

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
        if self.instances < least:
            raise ValueError(
                f"instances={self.instances!r}, needed at least {least}: one of each recipe, "
                "since every near miss needs its witness"
            )
        if self.instances > _MOST_INSTANCES:
            raise ValueError(f"instances={self.instances}, needed at most {_MOST_INSTANCES}")
        known = [t.name for t in THEOREMS]
        for name in self.only:
            if name not in known:
                raise ValueError(
                    f"theorem {name!r} is not known, needed one of: {', '.join(known)}"
                )

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


@final
@dataclass(kw_only=True)
class Result:
    """What one instance gave: plain data, ready for JSON."""

    task: dict[str, Any]
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    near_misses: list[dict[str, Any]] = field(default_factory=list)  # refuted ones only
    seconds: dict[str, float] = field(default_factory=dict)  # per theorem


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
            for near_miss in theorem.near_misses:
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
        from theory import __version__

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


def write_atomically(path: Path, text: str) -> None:
    """Replace a file's content in one step: readers see the old or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as stream:
        stream.write(text.encode("utf-8"))


def check_writable(path: Path) -> None:
    """Raise before the work rather than after it, if a file cannot be written there.

    Raises
    ------
    ValueError
        If the path is a folder, or its own folder cannot be made or written to.  Nothing is made
        yet.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder, needed the path of a file")
    folder = next(above for above in path.absolute().parents if above.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error}") from None


def read_campaign(path: str | Path) -> tuple[dict[str, Any], dict[str, Result]]:
    """Return the description and the results in a campaign file, checked.

    Raises
    ------
    ValueError
        If it cannot be read, is something else, or is damaged.
    """
    file = Path(path)
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{file} cannot be read as a campaign: {error}") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError(
            f"{file} is not a campaign file of format {FORMAT!r}; `theory verify --json` writes one"
        )
    try:
        described = dict(data["config"])
        _config_of(described)
        results = {key: _result_of(entry) for key, entry in data["results"].items()}
        str(described["version"])
        return described, results
    except (KeyError, TypeError, AttributeError, StopIteration) as error:
        raise ValueError(f"{file} is damaged: {error!r}; run the campaign again") from None


def _config_of(described: dict[str, Any]) -> Config:
    fields = {name: described[name] for name in Config.__dataclass_fields__}
    return Config(**{**fields, "only": tuple(fields["only"])})


def _result_of(entry: dict[str, Any]) -> Result:
    """Return a result whose verdicts and names are all what they should be."""
    result = Result(**entry)
    Task(**result.task)
    for data in result.verdicts:
        float(result.seconds[_theorem(Verdict.from_dict(data).theorem).name])
    for data in result.near_misses:
        Verdict.from_dict(data["verdict"])
        _near_miss(_theorem(data["theorem"]), data["name"])
    return result


def _theorem(name: str) -> Theorem:
    return next(t for t in THEOREMS if t.name == name)


def _near_miss(theorem: Theorem, name: str) -> NearMiss:
    return next(nm for nm in theorem.near_misses if nm.name == name)


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
        t.name: Row(theorem=t, near_misses={nm.name: None for nm in t.near_misses})
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
    config = _config_of(described)
    if sequences is not None:
        config = replace(config, sequences=sequences)
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
        theorem = _theorem(name)
        near_miss = _near_miss(theorem, rest[:-1]) if rest else None
        with few_threads():
            run = run_of(Task(**task), campaign.sequences)
            answers.append(Replayed(then=then, now=verify(theorem, run, near_miss=near_miss)))
        if progress is not None:
            progress(done + 1, len(wanted))
    return answers
