r"""What the asked contraction rate costs: test metric of stable networks against lam.

Theorems behind the sets: `contractive_of_matrix_norm` (stable RNN),
`contractive_of_incremental_lmi` (sharp-stable RNN) and `contractive_of_gate_norms` (LSTM); the
paper's set of LSTMs has no rate below its bound of the forget gates.

What the eye should see: at rates of .6 and more both sets do better than the unstable network on so
small a data set, because a set also keeps it from learning the training data by heart; at .3 the
spectral ball gives that away, and the larger set keeps some of it.

Run   python examples/paper_rate_tradeoff.py --task jsb --size small --data DIR
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import _models
import _results
import _stability
import _training

COLUMNS = ("task", "cell", "variant", "seed", "rate", "metric")
RATES = (0.3, 0.6, 0.9, 0.99)


def rates(options: argparse.Namespace, cell: str, variant: str) -> tuple[float, ...]:
    """Return the rates that are asked of a network; of the paper's LSTMs those that it has."""
    if variant == "unstable":
        return (_training.Setting.rate,)
    forget = _stability.FORGET if options.forget is None else options.forget
    least = forget if (cell, variant) == ("lstm", "stable") else 0.0
    some = [rate for rate in RATES if rate > least]
    return tuple(some if options.size != "smoke" else some[:1])


def data(options: argparse.Namespace) -> list[tuple[object, ...]]:
    """Return rows of `COLUMNS`; rate 0 stands for the unstable network."""
    made = [
        (task, cell, variant, seed, rate)
        for task in options.task
        for cell in options.cells
        for variant in options.variants
        for rate in rates(options, cell, variant)
        for seed in options.seeds
    ]
    _training.train_all(
        options,
        [
            _training.setting_of(options, task, cell, variant=variant, seed=seed, rate=rate)
            for task, cell, variant, seed, rate in made
        ],
    )
    rows: list[tuple[object, ...]] = []
    for task, cell, variant, seed, rate in made:
        t = _training.study(options, task, cell, variant=variant, seed=seed, rate=rate)
        at = 0.0 if variant == "unstable" else rate
        rows.append((task, cell, variant, seed, at, t.result["metric"]))
    return rows


def draw(rows: list[tuple[object, ...]], path: Path) -> None:
    """Draw the picture; needs matplotlib."""
    figure, found = _results.panels(rows, 0, 1)
    for axes, _, own in found:
        for (variant,), (rate, mean, spread) in _training.curves(own, 4, 5, 2).items():
            if variant == "unstable":
                axes.axhline(mean[0], label=variant, **_results.style(variant, marker=""))
            else:
                axes.errorbar(
                    rate, mean, spread, capsize=3, label=variant, **_results.style(variant)
                )
        axes.set_xlabel("asked rate lam")
        axes.set_ylabel("test metric")
    _results.finish(figure, path)


def main(argv: list[str] | None = None) -> int:
    """Write the numbers, and the picture if matplotlib is there."""
    return _training.report(
        argv, doc=__doc__, name="paper_rate_tradeoff", columns=COLUMNS, data=data, draw=draw,
        cells=_models.PUBLISHED,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
