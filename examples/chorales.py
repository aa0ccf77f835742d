r"""Bach chorales as input sequences, from the scores that the music21 package ships.

Writes one piano roll a chorale, (T, 88), to an .npz file that ``theory verify --sequences`` reads:
entry [t, j] is 1 while the key with MIDI number 21 + j sounds at quarter note t.  Nothing is
downloaded.  This is music21's own corpus, not the usual JSB Chorales data set: another selection,
not transposed to a common tonic.

Run   python examples/chorales.py --out build/chorales.npz --count 40
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LOWEST_KEY = 21
KEYS = 88


def piano_roll(score: Any, *, step: float = 1.0) -> NDArray[np.float64]:
    """Return which keys sound at the times 0, step, 2 step, ... (in quarter notes): (T, 88)."""
    roll = np.zeros((math.ceil(float(score.highestTime) / step), KEYS))
    for note in score.flatten().notes:
        # grid times t with offset <= t step < offset + duration
        first = math.ceil(float(note.offset) / step)
        last = math.ceil(float(note.offset + note.quarterLength) / step)
        for pitch in note.pitches:
            key = int(pitch.midi) - LOWEST_KEY
            if 0 <= key < KEYS:
                roll[first:last, key] = 1.0
    return roll


def data(count: int = 40) -> dict[str, NDArray[np.float64]]:
    """Return the piano rolls of the first `count` chorales (in four parts) by catalogue number.

    Raises
    ------
    ImportError
        If music21 is not installed; the message names the extra.
    """
    try:
        from music21 import corpus
    except ImportError:
        from theory.errors import MissingExtraError

        raise MissingExtraError("music21", "examples", "reading the chorales") from None
    rolls: dict[str, NDArray[np.float64]] = {}
    for path in sorted(corpus.getComposer("bach"), key=lambda p: p.name):
        if len(rolls) >= count:
            break
        score = corpus.parse(path)
        # chorales are in four parts; the corpus also holds larger movements
        if len(score.parts) == 4:
            rolls[path.stem] = piano_roll(score)
    return rolls


def main(argv: list[str] | None = None) -> int:
    """Write the file and say what is in it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/chorales.npz"))
    parser.add_argument("--count", type=int, default=40)
    options = parser.parse_args(argv)
    try:
        rolls = data(options.count)
    except ImportError as missing:
        print(missing, file=sys.stderr)
        return 1
    options.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(options.out, **rolls)
    lengths = [len(roll) for roll in rolls.values()]
    print(
        f"{len(rolls)} chorales of {min(lengths)} to {max(lengths)} quarter notes, "
        f"{sum(int(roll.any(axis=1).sum()) for roll in rolls.values())} frames with sound: "
        f"{options.out}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
