r"""How contractive trained networks are along the test data, over r steps together.

The largest singular value of the product of r Jacobians along the network's own trajectory, to the
power 1/r.  This is *measured*, never certified: rates below 1 along one trajectory say nothing
about a restart from zero (theory: data-dependent stability is local evidence).

What the eye should see: unstable networks expand in one step nearly everywhere, but over ten or
twenty steps they contract along most of the data; stable tanh networks contract faster than their
rate.  Stable LSTMs may expand here: their certificates are about another norm.

Run   python examples/paper_local_rates.py --task jsb --size small --data DIR
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import _results
import _stability
import _training

from theory.measure.rates import local_rates

COLUMNS = ("task", "cell", "variant", "seed", "r", "median", "q90", "largest", "below_1", "times")
STEPS = (1, 2, 5, 10, 20)


def data(options: argparse.Namespace) -> list[tuple[object, ...]]:
    """Return rows of `COLUMNS`: quantiles of the rate over times spread over the test split."""
    most, stride, steps = (5000, 10, STEPS) if options.size != "smoke" else (100, 5, STEPS[:2])
    rows: list[tuple[object, ...]] = []
    for label, t in _training.studies(options):
        recurrent = _stability.to_map(t.model)
        sequences = _training.test_sequences(t, most, 200)
        longest = max(len(X) for X in sequences)
        for r in (r for r in steps if r <= longest):
            found = local_rates(
                recurrent, [X for X in sequences if len(X) >= r], r=r, stride=stride
            )
            rows.append((
                *label, r, *map(found.quantile, (0.5, 0.9, 1.0)), found.fraction_below_one,
                len(found.rates),
            ))  # fmt: skip
    return rows


def draw(rows: list[tuple[object, ...]], path: Path) -> None:
    """Draw medians and upper tenths; needs matplotlib."""
    figure, found = _results.panels(rows, 0, 1, sharey=True)
    for axes, _, own in found:
        for column, line in ((5, "-"), (6, "--"), (7, ":")):
            for (variant,), (r, mean, _) in _training.curves(own, 4, column, 2).items():
                label = f"{variant}, {COLUMNS[column]}"
                axes.semilogx(r, mean, label=label, **_results.style(variant, ls=line))
        axes.axhline(1.0, color="k", lw=0.5)
        axes.set_xticks([1, 2, 5, 10, 20], ["1", "2", "5", "10", "20"])
        axes.set_xlabel("steps r")
        axes.set_ylabel("measured local rate")
    _results.finish(figure, path)


def main(argv: list[str] | None = None) -> int:
    """Write the numbers, and the picture if matplotlib is there."""
    return _training.report(
        argv, doc=__doc__, name="paper_local_rates", columns=COLUMNS, data=data, draw=draw
    )


if __name__ == "__main__":
    sys.exit(main())
