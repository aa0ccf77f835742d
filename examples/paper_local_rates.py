r"""How contractive trained networks are along the test data, over r steps together.

The largest singular value of the product of r Jacobians along the network's own trajectory, to the
power 1/r.  This is *measured*, never certified: rates below 1 along one trajectory say nothing
about a restart from zero (theory: data-dependent stability is local evidence).

What the eye should see: unstable networks expand somewhere in one step, but over several steps they
contract along most of the data.

Run   python examples/paper_local_rates.py --task jsb --size small --data DIR
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import _stability
import _training
import numpy as np
from _training import VARIANTS

COLUMNS = ("task", "cell", "variant", "seed", "r", "median", "q90", "largest", "below_1", "times")
STEPS = (1, 2, 5, 10, 20)


def data(options: argparse.Namespace) -> list[tuple[object, ...]]:
    """Return rows of `COLUMNS`: quantiles of the rate over times spread over the test split."""
    count, steps = (100, STEPS) if options.size != "smoke" else (6, STEPS[:2])
    rows: list[tuple[object, ...]] = []
    for task in options.task:
        for cell in ("rnn", "lstm"):
            for variant in VARIANTS:
                for seed in options.seeds:
                    t = _training.study(options, task, cell, variant=variant, seed=seed)
                    for r, rates in local_rates(t, steps, count).items():
                        rows.append((
                            task, cell, variant, seed, r, float(np.median(rates)),
                            float(np.quantile(rates, 0.9)), float(rates.max()),
                            float((rates < 1).mean()), len(rates),
                        ))  # fmt: skip
    return rows


def local_rates(t: _training.Trained, steps: tuple[int, ...], count: int) -> dict[int, np.ndarray]:
    """Return ||J_t ... J_{t-r+1}||_2 ** (1/r) at about `count` times, for every r."""
    recurrent = _stability.to_map(t.model)
    found: dict[int, list[float]] = {r: [] for r in steps}
    sequences = [X for X in _training.test_sequences(t, 5000, 200) if len(X) > max(steps)]
    each = max(1, -(-count // max(len(sequences), 1)))
    for X in sequences[: -(-count // each)]:
        states = np.vstack([np.zeros((1, recurrent.state_dim)), recurrent.simulate(X)])
        for end in np.linspace(max(steps), len(X), each).astype(int):
            product = np.eye(recurrent.state_dim)
            # from the last step back: the product of the last r Jacobians for r = 1, 2, ...
            for r in range(1, max(steps) + 1):
                product = product @ recurrent.jacobian_state(states[end - r], X[end - r])
                if r in found:
                    found[r].append(float(np.linalg.norm(product, 2)) ** (1 / r))
    return {r: np.array(rates) for r, rates in found.items() if rates}


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
