r"""Bars of long work: by themselves in an interactive session, elsewhere if asked for.

Main names: `show_progress`, `with_bar`, `progress_bar`, `counting_bar`, `note`, `with_notes`.

A bar is on the error stream, begins when the work has taken `DELAY` seconds, and is gone when it is
done.  A function that is given ``progress=`` calls that instead.
"""

from __future__ import annotations

import functools
import inspect
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

__all__ = ["counting_bar", "note", "progress_bar", "show_progress", "with_bar", "with_notes"]

P = ParamSpec("P")
R = TypeVar("R")

#: Seconds of work without a bar.
DELAY = 2.0

_asked: bool | None = None
_noting = False


def show_progress(shown: bool | None) -> None:
    """Choose where calls from Python that take longer than two seconds show a bar.

    Parameters
    ----------
    shown : bool or None
        True: always; False: never; None, as it is from the start: in an interactive session, that
        is at Python's prompt or in a notebook.

    Raises
    ------
    ValueError
        For anything else.

    Examples
    --------
    >>> show_progress(False)
    >>> show_progress(None)
    """
    global _asked
    if shown is not None and not isinstance(shown, bool):
        raise ValueError(f"shown={shown!r}, needed True, False or None")
    _asked = shown


def with_bar(label: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator of functions that take ``progress=``: without it, they show a bar."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            if not _wanted():
                return function(*args, **kwargs)
            bound = signature.bind(*args, **kwargs)
            if bound.arguments.get("progress") is not None:
                return function(*args, **kwargs)
            with counting_bar(label, stays=True) as tell:
                bound.arguments["progress"] = tell
                return function(*bound.args, **bound.kwargs)

        return called

    return decorate


def _wanted() -> bool:
    if _asked is not None:
        return _asked
    # of several threads that show bars none can be read
    return hasattr(sys, "ps1") and threading.current_thread() is threading.main_thread()


@contextmanager
def with_notes() -> Iterator[None]:
    """Print what `note` is given while the body runs, as the command line does."""
    global _noting
    _noting, before = True, _noting
    try:
        yield
    finally:
        _noting = before


def note(text: str) -> None:
    """Print a line on the error stream, where a bar would be shown too."""
    if _noting or _wanted():
        stream = _Stream()
        stream.write(f"{text}\n")
        stream.flush()


class _Stream:
    """The error stream, on which nothing raises: to rich a broken pipe is the end of the process.

    What cannot be written, to a full disk or a pipe that nobody reads, is left out.
    """

    def __init__(self) -> None:
        # under another bar it is replaced by what prints above that
        self._stream: Any = getattr(sys.stderr, "rich_proxied_file", sys.stderr)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with suppress(Exception):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(Exception):
            self._stream.flush()


@contextmanager
def counting_bar(label: str, *, stays: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Show a bar from `DELAY` seconds on; use as ``with counting_bar("training") as progress``.

    A bar that cannot be shown is dropped, and the work goes on.  Where there is nothing to take
    back, as in a file, its last state is written once if it `stays`, and nothing if not.
    """
    begun = time.monotonic()
    bar: Any = None
    dropped = False

    def show(made: int, steps: int) -> None:
        nonlocal bar, dropped
        if dropped or (bar is None and time.monotonic() - begun < DELAY):
            return
        try:
            if bar is None:
                from rich.console import Console

                console = Console(file=cast("Any", _Stream()))
                taken_back = console.is_terminal or console.is_jupyter
                bar = progress_bar(console, transient=taken_back or not stays)
                bar.add_task(label, total=None)
                bar.start()
            bar.update(bar.task_ids[0], completed=made, total=steps)
        except Exception:
            dropped = True

    try:
        yield show
    finally:
        if bar is not None:
            with suppress(Exception):
                bar.stop()


def progress_bar(
    console: Console | None = None, *, shown: bool = True, transient: bool = True
) -> Progress:
    """Return a bar that counts; if `transient`, it is gone when the work is done."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=transient,
        disable=not shown,
    )
