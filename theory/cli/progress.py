"""The bars that long work shows on the command line.

Main names: `progress_bar`, `counting_bar`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def progress_bar(console: Console | None = None, *, shown: bool = True) -> Progress:
    """Return a bar that counts and is gone when the work is done."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not shown,
    )


@contextmanager
def counting_bar(
    label: str, console: Console | None = None
) -> Iterator[Callable[[int, int], None]]:
    """Show a bar while the body runs; use as ``with counting_bar("training") as progress``."""
    with progress_bar(console) as bar:
        task = bar.add_task(label, total=None)

        def show(made: int, steps: int) -> None:
            bar.update(task, completed=made, total=steps)

        yield show
