"""Files that are replaced in one step: readers see the old content or the new, never a part.

Main names: `replacing`, `write_atomically`, `check_writable`.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Give a stream whose content takes the file's place at the end; a failure leaves the old.

    The file keeps its mode; of a link, the file that it leads to is replaced.  The folder has to be
    there.
    """
    path = Path(os.path.realpath(path))
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o644
    with tempfile.NamedTemporaryFile(
        dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as stream:
        try:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            os.chmod(stream.name, mode)
            os.replace(stream.name, path)
        except BaseException:
            os.unlink(stream.name)
            raise


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
    target = Path(os.path.realpath(path))
    folder = next(above for above in target.parents if above.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error}") from None
