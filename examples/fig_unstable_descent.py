r"""Gradient descent on h <- a h + 1 with the target 1: it fails from an unstable start.

Theorems shown: `gradient_growth` and `curvature_growth`, lower bounds for a > 1.

What the eye should see.  Left: from a = 1.1 the gradient grows doubly exponentially under the step
sizes 1/i until no double holds it; from a = 0.9, with a projected onto |a| <= 0.95, the descent
reaches the stationary point a = 0 at the same step sizes.  Not every unstable start fails (step
sizes of 1e-4 succeed), nor does every stable one succeed without projection: what matters is the
step size times the curvature.  Right: why.  At a = 1.1 the gradient grows exponentially with the
length of the sequence, above the theorem's bound (dotted); at a = 0.9 it stays below 900.

Run   python examples/fig_unstable_descent.py --size small --out build/examples
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import _results
import numpy as np

import theory
from theory.learning.weights import Projection
from theory.pictures import COLOURS, DASHES, LINES, canvas, count_axis

COLUMNS = ("run", "step", "factor", "gradient", "lower_bound", "diverged")
SIZES = {"small": (10, 40), "paper": (10, 500)}
RUNS = {
    "unstable": (1.1, 1.0, None),
    "unstable, steps of 1e-4": (1.1, 1e-4, None),
    "stable, projected": (0.9, 1.0, 0.95),
    "stable, not projected": (0.9, 1.0, None),
}
LENGTHS = (1.1, 0.9)
Row = tuple[str, int, float, float, float, bool]


def clip(limit: float) -> Projection:
    """Return the projection of the factor onto [-limit, limit]."""

    def project(model: theory.Map) -> theory.Map:
        return model.with_parameters(W=np.clip(model.parameters["W"], -limit, limit))

    return project


def data(size: str = "small") -> list[Row]:
    """Return rows of `COLUMNS`; the lower bound is nan where the factor is not above 1."""
    T, steps = SIZES[size]
    training = theory.learning.training_data(np.ones((T, 1)), np.ones((T, 1)), at="last")
    rows: list[Row] = []
    for name, (factor, alpha, limit) in RUNS.items():
        done = theory.learning.projected_gradient_descent(
            theory.LinearMap([[factor]], [[1.0]]), theory.LinearHead([[1.0]]), training,
            steps=steps, alpha=alpha, trained=("W",),
            projection=None if limit is None else clip(limit),
            schedule="1/t" if alpha == 1.0 else "constant",
        )  # fmt: skip
        for i, a in enumerate(done.weights[:, 0].tolist()):
            gradient = math.nan
            try:
                found = theory.learning.recurrent_gradient(
                    theory.LinearMap([[a]], [[1.0]]), theory.LinearHead([[1.0]]), training
                )
                gradient = abs(float(found.parameters["W"][0, 0]))
            except theory.errors.DivergedError:
                pass
            lower = theory.theorems.gradient_growth(factor=a, t=T) if a > 1 else math.nan
            rows.append((name, i, a, gradient, lower, done.diverged is not None))
    for a in LENGTHS:
        for t in range(2, 6 * T + 1):
            once = theory.learning.training_data(np.ones((t, 1)), np.ones((t, 1)), at="last")
            found = theory.learning.recurrent_gradient(
                theory.LinearMap([[a]], [[1.0]]), theory.LinearHead([[1.0]]), once
            )
            gradient = abs(float(found.parameters["W"][0, 0]))
            lower = theory.theorems.gradient_growth(factor=a, t=t) if a > 1 else math.nan
            rows.append((f"T at a = {a}", t, a, gradient, lower, False))
    return rows


def draw(rows: list[Row], path: Path) -> None:
    """Draw the picture; needs matplotlib."""
    figure, (left, right) = canvas(2)
    for j, name in enumerate(RUNS):
        some = np.array([row[1:5] for row in rows if row[0] == name], dtype=float)
        shown = np.clip(some[:, 2], 1e-17, 1e40)
        left.semilogy(some[:, 0], shown, f".{DASHES[j]}", color=LINES[j], ms=4, label=name)
    count_axis(left, max(int(row[1]) for row in rows if row[0] in RUNS), label="gradient step")
    left.set_ylabel("gradient, cut at 1e40", fontsize=12)
    last = 1
    for j, a in enumerate(LENGTHS):
        some = np.array([row[1:5] for row in rows if row[0] == f"T at a = {a}"], dtype=float)
        last = max(last, int(some[:, 0].max()))
        right.semilogy(some[:, 0], some[:, 2], "-", color=LINES[j], lw=2, label=f"a = {a}")
        if np.isfinite(some[:, 3]).any():
            right.semilogy(some[:, 0], some[:, 3], ":", color=COLOURS["certified"], lw=2,
                           label=f"a = {a}, bound from below")  # fmt: skip
    count_axis(right, last, label="length of the sequence, in steps")
    right.set_ylabel("gradient", fontsize=12)
    for axes in (left, right):
        axes.legend(fontsize=9)
    figure.savefig(path)


def main(argv: list[str] | None = None) -> int:
    """Write the numbers, and the picture if matplotlib is there."""
    options = _results.options(__doc__, argv)
    rows = data(options.size)
    return _results.figure(rows, COLUMNS, draw, options.out, "fig_unstable_descent", argv)


if __name__ == "__main__":
    sys.exit(main())
