r"""Test metric of the k-step counterparts of trained networks, against k.

Theorem behind it: `output_gap`, by which the k-step counterpart of a stable network has nearly its
outputs.  Nothing is retrained: every output starts from zero k inputs back.  The metric is that of
the first 8,000 test predictions, a text read as one sequence from its beginning; tables use all of
them, a text as 32 pieces side by side.

What the eye should see: returns diminish quickly, for unstable networks as for stable ones; a few
inputs are nearly all that these networks use.

Run   python examples/paper_truncation_length.py --task jsb --size small --data DIR
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import _results
import _training
import numpy as np

COLUMNS = ("task", "cell", "variant", "seed", "k", "metric", "relative_excess")
#: The least excess that is drawn, in percent.
LEAST = 1e-3
LENGTHS = (1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50)


def data(options: argparse.Namespace) -> list[tuple[object, ...]]:
    """Return rows of `COLUMNS`; k = 0 stands for the network itself, which sees all inputs."""
    rows: list[tuple[object, ...]] = []
    lengths = LENGTHS if options.size != "smoke" else LENGTHS[:4]
    for label, t in _training.studies(options):
        found = _training.by_length(t, lengths, options.runs)
        full = found[None]["metric"]
        for k, one in found.items():
            excess = _training.relative_excess(t.corpus.kind, one["metric"], full)
            rows.append((*label, k or 0, one["metric"], excess))
    return rows


def draw(rows: list[tuple[object, ...]], path: Path) -> None:
    """Draw the picture; needs matplotlib."""
    figure, found = _results.panels([row for row in rows if row[4] != 0], 0)
    for axes, _, own in found:
        for (cell, variant), (k, mean, _) in _training.curves(own, 4, 6, 1, 2).items():
            look = _results.style(variant, mfc="none" if cell == "rnn" else None)
            # what is not worse at all, or by less than is drawn, ends its line
            percent = [100 * m if 100 * m >= LEAST else np.nan for m in mean]
            axes.loglog(k, percent, label=f"{cell}, {variant}", **look)
        axes.axhline(1.0, color="k", lw=0.8)
        axes.set_ylim(bottom=LEAST)
        axes.set_xticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
        axes.set_xlabel("truncation length k")
        axes.set_ylabel("worse than full context by (%)")
    _results.finish(figure, path)


def main(argv: list[str] | None = None) -> int:
    """Write the numbers, and the picture if matplotlib is there."""
    return _training.report(
        argv, doc=__doc__, name="paper_truncation_length", columns=COLUMNS, data=data, draw=draw
    )


if __name__ == "__main__":
    sys.exit(main())
