r"""Learning curves: loss on the validation split after every epoch of training.

What the eye should see: on music and slots stable networks learn about as fast as unstable ones,
which begin to learn so small a data set by heart, so that their validation loss rises; on texts
stable LSTMs learn more slowly, and no curve is flat at its end.  Curves end where the first seed
of their kind does.

Run   python examples/paper_learning_curves.py --task jsb --size small --data DIR
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import _results
import _training

COLUMNS = ("task", "cell", "variant", "seed", "epoch", "train", "valid", "step_size")


def data(options: argparse.Namespace) -> list[tuple[object, ...]]:
    """Return rows of `COLUMNS`; losses in nats a prediction, step sizes those of the next epoch."""
    return [
        (*label, epoch, one["train"], one["valid"], one["lr"])
        for label, t in _training.studies(options)
        for epoch, one in enumerate(t.history, start=1)
    ]


def draw(rows: list[tuple[object, ...]], path: Path) -> None:
    """Draw the means over seeds; needs matplotlib."""
    figure, found = _results.panels(rows, 0, 1, sharey=True)
    for axes, _, own in found:
        for column, line in ((5, ":"), (6, "-")):
            for (variant,), (epoch, mean, _) in _training.curves(whole(own), 4, column, 2).items():
                look = _results.style(variant, ls=line, marker="")
                axes.plot(epoch, mean, label=f"{variant}, {COLUMNS[column]}", **look)
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss (nats)")
    _results.finish(figure, path)


def whole(rows: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Return the rows up to the epoch that every seed of the kind has: a mean is over all."""
    last: dict[tuple[object, object], int] = {}
    for row in rows:
        last[row[2], row[3]] = max(last.get((row[2], row[3]), 0), row[4])
    least = {
        variant: min(epochs for (v, _), epochs in last.items() if v == variant)
        for variant, _ in last
    }
    return [row for row in rows if row[4] <= least[row[2]]]


def main(argv: list[str] | None = None) -> int:
    """Write the numbers, and the picture if matplotlib is there."""
    return _training.report(
        argv, doc=__doc__, name="paper_learning_curves", columns=COLUMNS, data=data, draw=draw
    )


if __name__ == "__main__":
    sys.exit(main())
