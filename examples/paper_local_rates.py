r"""How contractive trained networks are along the test data, over r steps together.

The largest singular value of the product of r Jacobians along the network's own trajectory, to the
power 1/r.  This is *measured*, never certified: rates below 1 along one trajectory say nothing
about a restart from zero (theory: data-dependent stability is local evidence).

What the eye should see: unstable networks expand in one step nearly everywhere, but over ten or
twenty steps they contract along most of the data; stable ones contract faster than their rate.

Run   python examples/paper_local_rates.py --task jsb --size small --data DIR
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import _stability
import _training
from _training import VARIANTS

from theory.measured_rates import local_rates

COLUMNS = ("task", "cell", "variant", "seed", "r", "median", "q90", "largest", "below_1", "times")
STEPS = (1, 2, 5, 10, 20)


def data(options: argparse.Namespace) -> list[tuple[object, ...]]:
    """Return rows of `COLUMNS`: quantiles of the rate over times spread over the test split."""
    most, stride, steps = (5000, 10, STEPS) if options.size != "smoke" else (100, 5, STEPS[:2])
    rows: list[tuple[object, ...]] = []
    for task in options.task:
        for cell in ("rnn", "lstm"):
            for variant in VARIANTS:
                for seed in options.seeds:
                    t = _training.study(options, task, cell, variant=variant, seed=seed)
                    sequences = _training.test_sequences(t, most, 200)
                    longest = max(len(X) for X in sequences)
                    for r in (r for r in steps if r <= longest):
                        found = local_rates(
                            _stability.to_map(t.model),
                            [X for X in sequences if len(X) >= r], r, stride=stride,
                        )  # fmt: skip
                        rows.append((
                            task, cell, variant, seed, r, *map(found.quantile, (0.5, 0.9, 1.0)),
                            found.fraction_below_one, len(found.rates),
                        ))  # fmt: skip
    return rows


def draw(rows: list[tuple[object, ...]], path: Path) -> None:
    """Draw medians and upper tenths; needs matplotlib."""
    from matplotlib.figure import Figure

    panels = list(dict.fromkeys((row[0], row[1]) for row in rows))
    figure = Figure(figsize=(4.2 * len(panels), 3.4), layout="constrained")
    for i, panel in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), i + 1)
        own = [row for row in rows if row[:2] == panel]
        for column, style in ((5, "o-"), (6, "--"), (7, ":")):
            for (variant,), (r, mean, _) in _training.curves(own, 4, column, 2).items():
                label = f"{variant}, {COLUMNS[column]}"
                axes.semilogx(r, mean, style, color=f"C{VARIANTS.index(variant)}", label=label)
        axes.axhline(1.0, color="k", lw=0.5)
        axes.set_title(", ".join(map(str, panel)))
        axes.set_xlabel("steps r")
        axes.set_ylabel("measured local rate")
        axes.legend(fontsize=6)
    figure.savefig(path, dpi=90)


def main(argv: list[str] | None = None) -> int:
    """Write the numbers, and the picture if matplotlib is there."""
    return _training.report(
        argv, doc=__doc__, name="paper_local_rates", columns=COLUMNS, data=data, draw=draw
    )


if __name__ == "__main__":
    sys.exit(main())
