r"""Distance of the weights of a recurrent model and its counterparts, bounded along the path.

Theorem shown: `weight_gap_path`, beside `weight_gap` with its constants for all weights that were
met.

What the eye should see: the bound from the truncated run alone (dashed) stays next to the measured
distance, for hundreds of steps where the window is long; it ends where the ball of weights that it
allows becomes too wide for the third derivative.  The older bound, in the legend, is many orders of
magnitude above everything.

Run   python examples/fig_weight_gap_path.py --size small --out build/examples
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import _results
import numpy as np
import tasks
from fig_weight_gap import constants, log10_bounds

import theory
from theory.pictures import LINES, canvas
from theory.progress import counting_bar

COLUMNS = (
    "task", "units", "k", "step", "distance", "bound", "log10_older_bound", "stretch", "defect",
    "negative_curvature", "third_derivative",
)  # fmt: skip
SIZES = {
    "small": {"units": (8, 8), "T": 60, "steps": 10, "lengths": (10, 20, 35)},
    "paper": {"units": (16, 8), "T": 200, "steps": 200, "lengths": (20, 35, 50)},
}
TASKS = ("teacher", "chorales")
RATE, ALPHA = 0.9, 0.3
Row = tuple[str, int, int, int, float, float, float, float, float, float, float]


def data(
    size: str = "small", task: str = "teacher", seed: int = 0, folder: Path | None = None,
    say: Callable[[str], object] = lambda _: None,
) -> list[Row]:  # fmt: skip
    """Return rows of `COLUMNS`: distance after each step, and both bounds (inf where none)."""
    chosen = SIZES[size]
    n, T, steps = chosen["units"][TASKS.index(task)], chosen["T"], chosen["steps"]
    start, head, training = tasks.data(task, n, T, seed, folder)
    twins = theory.learning.train_twins(
        start, head, training, k=chosen["lengths"], steps=steps, alpha=ALPHA,
        projection=tasks.clip(RATE), gap_every=steps,
    )  # fmt: skip
    c, gain, beta_p, beta = constants(twins, start, head, training)
    rows: list[Row] = []
    for k in chosen["lengths"]:
        begun = time.process_time()
        with counting_bar(f"{task}, k = {k}") as shown:
            found = theory.learning.weight_gap_along(
                twins.truncated[k], training, radius=RATE, progress=shown
            )
        spent = time.process_time() - begun
        mismatch = (1 - k / T) * theory.theorems.gradient_gap(
            theory.Contraction.assumed(c.lam), k=k, drive=c.drive, weight_gain=c.weight_gain,
            loss_gain=gain, beta_hh=c.beta_hh, beta_wh=c.beta_wh, beta_p=beta_p,
        )  # fmt: skip
        older = log10_bounds(twins.recurrent.sizes, beta, mismatch)
        distances, last = twins.distances[k], found.steps
        say(
            f"{task}, {n} units, k={k}: bounded for {last} of {steps} steps, there "
            f"{found.bounds[last]:.3g} of {distances[last]:.3g} measured, "
            f"{found.bounds[last] / distances[last]:.3g} times; older bound 10**{older[last]:.0f}; "
            f"{spent / max(last, 1):.2g} s of processor time a step {found.reason}"
        )
        parts = (found.stretches, found.defects, found.negative, found.third)
        columns = [distances, found.bounds, older, *(np.append(math.nan, p) for p in parts)]
        rows += [
            (task, n, k, i, *map(float, values))
            for i, values in enumerate(zip(*columns, strict=True))
        ]
    return rows


def draw(rows: list[Row], path: Path) -> None:
    """Draw the picture; needs matplotlib."""
    figure, (axes,) = canvas(1)
    for j, k in enumerate(dict.fromkeys(row[2] for row in rows)):
        mine = np.array([row[3:] for row in rows if row[2] == k], dtype=float)[1:]
        colour = LINES[j % len(LINES)]
        axes.loglog(mine[:, 0], mine[:, 1], color=colour, lw=2, label=f"k = {k}, measured")
        known = np.isfinite(mine[:, 2])
        axes.loglog(
            mine[known, 0], mine[known, 2], "--", color=colour, label=f"k = {k}, from its path"
        )
        if not known.all():
            axes.plot(mine[known, 0][-1:], mine[known, 2][-1:], "x", color=colour)
    last = [row[6] for row in rows if row[3] == rows[-1][3]]
    axes.plot([], [], " ", label=f"older bound: 10^{min(last):.0f} to 10^{max(last):.0f}")
    axes.set_title(f"{rows[0][0]}, {rows[0][1]} units")
    axes.set_xlabel("gradient step")
    axes.set_ylabel("distance of the weights", fontsize=12)
    axes.legend(fontsize=9, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.14))
    figure.savefig(path)


def main(argv: list[str] | None = None) -> int:
    """Write the numbers, and the picture if matplotlib is there."""
    options = tasks.options(__doc__, argv)
    rows = data(options.size, options.task, options.seed, options.data, print)
    name = f"fig_weight_gap_path_{options.task}"
    return _results.figure(rows, COLUMNS, draw, options.out, name, argv)


if __name__ == "__main__":
    sys.exit(main())
