r"""Learning curves: loss on the validation split after every epoch of training.

What the eye should see: stable networks learn as fast as unstable ones; on a small data set
unstable ones begin to learn it by heart, and their validation loss rises.

Run   python examples/paper_learning_curves.py --task jsb --size small --data DIR
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import _results
import _training
from _training import VARIANTS

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
    figure, found = _results.panels(rows, 0, 1)
    for axes, _, own in found:
        for column, style in ((5, ":"), (6, "-")):
            for (variant,), (epoch, mean, _) in _training.curves(own, 4, column, 2).items():
                label = f"{variant}, {COLUMNS[column]}"
                color = f"C{VARIANTS.index(variant)}"
                axes.plot(epoch, mean, style, color=color, label=label)
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss (nats)")
        axes.legend(fontsize=6)
    figure.savefig(path, dpi=90)


def main(argv: list[str] | None = None) -> int:
    """Write the numbers, and the picture if matplotlib is there."""
    return _training.report(
        argv, doc=__doc__, name="paper_learning_curves", columns=COLUMNS, data=data, draw=draw
    )


if __name__ == "__main__":
    sys.exit(main())
