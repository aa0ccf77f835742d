r"""Independent pieces of work on any `concurrent.futures.Executor`, and what happens to workers.

Main names: `finished`, `held`, `processes`, `cluster`, `LostWorkError`.

Every piece is a function of its own arguments: workers keep no state, so a piece that is lost with
a worker is done again elsewhere, and an answer that arrives twice counts once.
"""

from __future__ import annotations

import platform
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import contextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any, Generic, NamedTuple, TypeVar, cast

from theory.errors import MissingExtraError, check_count, check_positive
from theory.version import __version__

__all__ = ["LostWorkError", "cluster", "finished", "held", "processes"]

T = TypeVar("T")
R = TypeVar("R")

#: What is compared before the work: another version of one of these may round otherwise.
_COMPARED = ("numpy", "scipy", "numba")

#: Pieces that wait at an executor at a time; the rest are handed over as answers arrive, so that a
#: campaign of any length fits in memory.
_IN_FLIGHT = 512

#: How often in a row all that runs may be lost before the work is given up.
_LOSSES = 3

#: What Python and dask say in an AttributeError or TypeError of what they cannot send.
_UNSENT = re.compile(r"pickle|serialize|get attribute|get local object", re.IGNORECASE)

#: Seconds without any answer, after which workers count as hung.
PATIENCE = 600.0


class LostWorkError(RuntimeError):
    """Workers that die, hang or differ; the message says what was lost and what to try."""


class _Answer(NamedTuple, Generic[R]):
    """What a worker sends back; an error of the piece itself is no fault of the worker."""

    value: R | None
    error: BaseException | None
    versions: dict[str, str]


def _versions() -> dict[str, str]:
    """Return what the answers of this process depend on, by name."""
    found = {"stable-recurrent-models": __version__, "python": platform.python_version()}
    for name in _COMPARED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def _do(function: Callable[[T], R], piece: T) -> _Answer[R]:
    try:
        return _Answer(function(piece), None, _versions())
    except Exception as error:  # handed on where the answer is read
        return _Answer(None, error, _versions())


def _answer_nothing(_: None) -> None:
    """Be the piece of work that shows whether a worker answers, and with which versions."""


def _check_versions(mine: dict[str, str], theirs: dict[str, str], where: str) -> None:
    for name, own in mine.items():
        if theirs.get(name) != own:
            raise LostWorkError(
                f"{where} has {name} {theirs.get(name, 'none')}, this process has {own}; needed "
                "the same everywhere, so that answers agree to the last bit: install the versions "
                "of constraints.txt there"
            )


class _Spawn(SpawnContext):
    """Spawned processes, remembered, so that a hung one can be ended.

    Spawned, because forking a process that runs threads (BLAS, progress) can deadlock.
    """

    def __init__(self) -> None:
        super().__init__()
        self.started: list[SpawnProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> SpawnProcess:  # type: ignore[override]
        process = SpawnProcess(*args, **kwargs)
        self.started.append(process)
        return process


class _Processes(ProcessPoolExecutor):
    def __init__(self, jobs: int) -> None:
        self.context = _Spawn()
        super().__init__(jobs, cast("Any", self.context))

    def end(self) -> None:
        """End all processes, whatever they do."""
        for process in self.context.started:
            if process.is_alive():
                process.kill()


def processes(jobs: int) -> Callable[[], Executor]:
    """Return how to start that many processes on this machine.

    Parameters
    ----------
    jobs : int

    Returns
    -------
    function
        To be passed as ``executor=``.  Being a function and not an executor, it can be called again
        when a process is killed, which breaks Python's pool.

    Raises
    ------
    ValueError
        If jobs is not a positive integer.

    Examples
    --------
    >>> start = processes(2)
    >>> with start() as executor:  # doctest: +SKIP
    ...     print(executor.submit(abs, -1).result())
    1
    """
    check_count(at_least=1, jobs=jobs)
    return partial(_Processes, jobs)


class _Cluster(Executor):
    """A connection to a scheduler, as an executor that can be left."""

    def __init__(self, address: str, timeout: float) -> None:
        try:
            from distributed import Client
        except ImportError:
            raise MissingExtraError("distributed", "cluster", "a cluster") from None
        try:
            self.client = Client(address, timeout=timeout, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise ValueError(
                f"nobody answers as a dask scheduler at {address!r} within {timeout:g} s "
                f"({type(error).__name__}); start one with `dask scheduler`, workers with `dask "
                "worker ADDRESS`, and pass the address that it prints"
            ) from None
        try:
            self._check_workers(address, timeout)
        except BaseException:
            self.client.close()
            raise
        # two calls with the same arguments are two calls
        self.inner: Executor = self.client.get_executor(pure=False, retries=_LOSSES)

    def _check_workers(self, address: str, timeout: float) -> None:
        try:
            self.client.wait_for_workers(1, timeout=timeout)
            found = self.client.run(_versions)
        except TimeoutError:
            raise LostWorkError(
                f"the scheduler at {address} has no workers within {timeout:g} s; start some, "
                f"`dask worker {address}`"
            ) from None
        except ImportError as error:
            raise LostWorkError(
                f"a worker of {address} has no stable-recurrent-models ({error}); install version "
                f"{__version__} there"
            ) from None
        mine = _versions()
        for worker, theirs in sorted(found.items()):
            _check_versions(mine, theirs, f"worker {worker}")

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return self.inner.submit(function, *args, **kwargs)

    def shutdown(self, wait: bool = True, **_: bool) -> None:
        # work in hand is dropped with the connection; a scheduler that is gone is not waited for
        self.client.close(timeout=None if wait else 1)


def cluster(address: str, *, timeout: float = 30.0) -> Callable[[], Executor]:
    """Return how to connect to the scheduler of a `dask.distributed` cluster.

    Parameters
    ----------
    address : str
        Such as ``tcp://10.0.0.5:8786``.
    timeout : float
        Seconds to wait for the scheduler and for its first worker.

    Returns
    -------
    function
        To be passed as ``executor=``; it is called again when the scheduler was lost.  It raises
        `MissingExtraError` if `distributed` is not installed, `ValueError` if nobody listens at the
        address, and `LostWorkError` if there are no workers, or one has other versions than this
        process; it is named.

    Raises
    ------
    ValueError
        If the time is not positive.
    """
    check_positive(timeout=timeout)
    return partial(_Cluster, address, timeout)


def finished(
    function: Callable[[T], R],
    pieces: Iterable[T],
    *,
    executor: Executor | Callable[[], Executor] | None = None,
    patience: float | None = PATIENCE,
    ahead: int = _IN_FLIGHT,
) -> Generator[tuple[int, R], None, None]:
    """Yield the number and the value of each piece as it is finished.

    Parameters
    ----------
    function : function of one piece
        Importable by workers; its value depends on the piece alone.
    pieces : iterable
        Read as the work goes on.
    executor : Executor, or function that starts one, optional
        Whose workers do it; without one, the pieces are done here, in order.  What a function
        starts is also ended here, and started anew when its workers die (`processes`).
    patience : float, optional
        Seconds without any answer, after which workers count as hung; None waits for ever.
        Processes of this machine are then replaced, elsewhere the pieces are asked for again.
    ahead : int
        How many pieces wait at the executor at a time.

    Yields
    ------
    (int, value)
        Every piece once, in any order; with one worker, in theirs.

    Raises
    ------
    LostWorkError
        If workers are lost again and again without an answer between, an executor that was passed
        is broken, or a worker has other versions of what the values depend on.
    ValueError
        If `executor` is none, or a piece cannot be sent to a worker.
    Exception
        Whatever the function raises.

    Examples
    --------
    >>> list(finished(abs, [-1, 2]))
    [(0, 1), (1, 2)]
    """
    if patience is not None:
        check_positive(patience=patience)
        # longer than a lock can wait is for ever
        patience = min(patience, threading.TIMEOUT_MAX)
    check_count(at_least=1, ahead=ahead)
    if executor is None:
        for number, piece in enumerate(pieces):
            yield number, function(piece)
        return
    if not callable(executor) and not hasattr(executor, "submit"):
        raise ValueError(
            f"executor={executor!r}, needed an Executor, or a function that starts one such as "
            "theory.executors.processes(4)"
        )
    start = executor if callable(executor) else None
    used = isinstance(start, _Held) and start.running is not None
    work = _Work(function, pieces, start, start() if start else cast("Executor", executor), ahead)
    work.was_held = used
    try:
        yield from work.answers(patience)
    finally:
        work.close()


class _Held:
    """Starts an executor when it is asked for, and gives the same one as long as it works."""

    def __init__(self, start: Callable[[], Executor]) -> None:
        self.start = start
        self.running: Executor | None = None

    def __call__(self) -> Executor:
        if self.running is None:
            self.running = self.start()
        return self.running


@contextmanager
def held(
    executor: Executor | Callable[[], Executor] | None,
) -> Iterator[Executor | Callable[[], Executor] | None]:
    """Hold workers from one call of `finished` to the next, and end them when it is left.

    Parameters
    ----------
    executor : Executor, or function that starts one, optional
        What a function starts is started at the first call, and anew when its workers die.

    Yields
    ------
    Executor, or function that starts one, or None
        To be passed to `finished` again and again.

    Examples
    --------
    >>> with held(None) as same:
    ...     [list(finished(abs, [number], executor=same)) for number in (-1, 2)]
    [[(0, 1)], [(0, 2)]]
    """
    # what is passed, or held already, is not ended here
    if executor is None or not callable(executor) or isinstance(executor, _Held):
        yield executor
        return
    kept = _Held(executor)
    try:
        yield kept
    finally:
        if kept.running is not None:
            _leave(kept.running, at_once=False)


class _Work(Generic[T, R]):
    """The pieces at an executor, and those that wait."""

    def __init__(
        self,
        function: Callable[[T], R],
        pieces: Iterable[T],
        start: Callable[[], Executor] | None,
        executor: Executor,
        ahead: int,
    ) -> None:
        self.function = function
        self.more = enumerate(pieces)
        self.again: deque[tuple[int, T]] = deque()  # lost with a worker
        self.start = start
        self.executor = executor
        self.asked: dict[Future[_Answer[R]], tuple[int, T]] = {}
        self.open: set[int] = set()  # numbers taken up and not answered
        self.versions = _versions()  # of this process, which each answer is compared with
        self.losses = 0  # in a row, without an answer between
        self.limit = self.ahead = ahead
        self.was_held = False  # whether the executor was held from an earlier call

    def close(self) -> None:
        """Leave the executor; what was started here is ended."""
        if self.start is not None:
            self._leave(at_once=bool(self.asked))
            return
        for future in self.asked:
            future.cancel()

    def _leave(self, *, at_once: bool) -> None:
        """End what was started here, but for workers that are held and have no work in hand."""
        if isinstance(self.start, _Held):
            if not at_once:
                return
            self.start.running = None
        _leave(self.executor, at_once=at_once)

    def answers(self, patience: float | None) -> Iterator[tuple[int, R]]:
        """Yield what is finished until all is."""
        try:
            _probe(self.executor, patience, self.versions)
        except LostWorkError:
            if not self.was_held:
                raise
            # a worker that was held died since the last call
            self._leave(at_once=True)
            self.executor = cast("Callable[[], Executor]", self.start)()
            _probe(self.executor, patience, self.versions)
        while True:
            trouble = self._hand_over()
            if not trouble:
                if not self.asked:
                    return
                trouble = yield from self._collect(patience)
            if trouble:
                self._recover(trouble)

    def _hand_over(self) -> str:
        """Give pieces to the executor until it has enough; return what kept it from taking one."""
        while len(self.asked) < self.limit:
            entry = next(self.more, None)
            if entry is not None:
                self.open.add(entry[0])
            elif self.again:
                # what was lost comes last, so that the rest is done even if it ends the workers
                entry = self.again.popleft()
                if entry[0] not in self.open:
                    continue  # answered in the meantime
            else:
                break
            try:
                future = self.executor.submit(_do, self.function, entry[1])
            except Exception as error:
                _check_sent(error)
                self.again.append(entry)
                return _told(error)
            self.asked[future] = entry
        return ""

    def _collect(self, patience: float | None) -> Generator[tuple[int, R], None, str]:
        """Yield the answers that are there; return what was lost, if anything."""
        done, _ = wait(self.asked, timeout=patience, return_when=FIRST_COMPLETED)
        if not done:
            here = {number: piece for number, piece in self.asked.values() if number in self.open}
            self.again.extend(here.items())
            return f"no worker answered within {patience:g} s"
        trouble = ""
        for future in done:
            number, piece = self.asked.pop(future)
            if number not in self.open:
                continue  # it was asked for twice, and the other answer came first
            error = CancelledError() if future.cancelled() else future.exception()
            if error is not None:  # the worker's; those of the piece are inside its answer
                _check_sent(error)
                trouble = _told(error)
                self.again.append((number, piece))
                continue
            answer = future.result()
            _check_versions(self.versions, answer.versions, "a worker")
            if answer.error is not None:
                raise answer.error
            self.open.discard(number)
            self.losses, self.limit = 0, min(2 * self.limit, self.ahead)
            yield number, cast("R", answer.value)
        return trouble

    def _recover(self, trouble: str) -> None:
        """Get ready to ask again, with new workers if they are ours to start."""
        self.losses += 1
        if not self.losses <= _LOSSES:
            raise LostWorkError(
                f"workers were lost {self.losses} times in a row ({trouble}); {len(self.open)} "
                "pieces of work in hand are not done, and what was finished before is kept: see "
                "what ends the workers (memory, limits of time), and go on with fewer of them"
            )
        if self.start is None:
            time.sleep(2.0 ** (self.losses - 1))  # a scheduler may be starting again
        else:
            self._leave(at_once=True)
            waiting = {number for number, _ in self.again}
            self.again.extend(
                e for e in self.asked.values() if e[0] in self.open and e[0] not in waiting
            )
            self.asked.clear()
            self.executor = self.start()
        # one piece by itself at first: what ends its workers then takes no other with it
        self.limit = len(self.asked) + 1


def _probe(executor: Executor, patience: float | None, mine: dict[str, str]) -> None:
    """Refuse workers of other versions before the work starts."""
    try:
        answer = executor.submit(_do, _answer_nothing, None).result(timeout=patience)
    except Exception as error:
        raise LostWorkError(
            f"the executor does not answer ({_told(error)}); its workers need this package, and a "
            "program that starts processes needs the guard `if __name__ == '__main__':`"
        ) from None
    _check_versions(mine, answer.versions, "a worker")


def _check_sent(error: BaseException) -> None:
    """Raise if a piece was not lost but never sent: to ask again would change nothing."""
    unsent = isinstance(error, (AttributeError, TypeError)) and _UNSENT.search(str(error))
    if unsent or type(error).__name__ == "PicklingError":
        raise ValueError(
            f"the work cannot be sent to workers ({_told(error)}); what they are given, a function "
            "or a map of your own among it, has to be importable there: define it in a module"
        ) from None


def _told(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _leave(executor: Executor, *, at_once: bool) -> None:
    """End an executor that was started here; work in hand is dropped."""
    if at_once and isinstance(executor, _Processes):
        # Python's pool, which notices, gives up its work itself; work cancelled besides stops it
        executor.end()
        executor.shutdown(wait=False)
    else:
        executor.shutdown(wait=False, cancel_futures=True)
