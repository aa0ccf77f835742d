r"""Derivative of the last loss in the input k steps before, against the lag k.

Theorem shown: `vanishing_gradient`, loss_gain * lam**k * gain.

What the eye should see: with |W|_2 = 0.9 the derivatives fall along a straight line (on a
semilogarithmic axis) below the bound, faster than 0.9**k because tanh saturates; with |W|_2 = 1.5
there is no bound, and they fall all the same where the inputs are loud, as in unstable models that
were trained.

Run   python examples/fig_gradient_lag.py --size small --out build/examples
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import _results
import numpy as np
import tasks

import theory
from theory.learning.losses import loss_constants
from theory.pictures import COLOURS, LINES, canvas, count_axis

COLUMNS = ("task", "system", "lag", "derivative", "bound")
SIZES = {"small": (8, 40), "paper": (32, 200)}
Row = tuple[str, str, int, float, float]


def data(
    size: str = "small", task: str = "teacher", seed: int = 0, folder: Path | None = None
) -> list[Row]:
    """Return rows of `COLUMNS`; the bound is nan for the unstable system."""
    units, T = SIZES[size]
    start, head, training = tasks.data(task, units, T, seed, folder)
    last = np.zeros(T)
    last[-1] = 1.0
    once = theory.learning.training_data(
        training.inputs, training.targets, loss=training.loss, weights=last
    )
    rows: list[Row] = []
    for system, rate in (("stable", 0.9), ("unstable", 1.5)):
        model = start.with_parameters(W=start.W * (rate / 0.9))
        found = theory.learning.input_gradients(model, head, once)[0]
        lengths = np.linalg.norm(found, axis=1)[::-1]
        c = theory.learning.map_constants(model, inputs=training.inputs)
        assert c is not None
        gain, _ = loss_constants(
            once.loss, head.C, head.d, once.targets[:, -1:], theory.L2(), c.state_bound
        )
        for lag, value in enumerate(lengths):
            bound = math.nan
            if c.lam < 1:
                bound = theory.theorems.vanishing_gradient(
                    theory.Contraction.assumed(c.lam), k=lag, loss_gain=gain,
                    gain=model.input_lipschitz(theory.L2()),
                )  # fmt: skip
            rows.append((task, system, lag, float(value), bound))
    return rows


def draw(rows: list[Row], path: Path) -> None:
    """Draw the picture; needs matplotlib."""
    figure, (axes,) = canvas()
    last = 1
    for system, colour, marker in (("stable", LINES[0], "."), ("unstable", LINES[1], "x")):
        some = np.array([row[2:] for row in rows if row[1] == system], dtype=float)
        last = max(last, int(some[:, 0].max()))
        axes.semilogy(some[:, 0], some[:, 1], marker, color=colour, ms=5, label=system)
        if system == "stable":
            axes.semilogy(some[:, 0], some[:, 2], "-", color=COLOURS["certified"],
                          label="bound, stable")  # fmt: skip
    axes.set_title(rows[0][0])
    count_axis(axes, last, label="lag k, in steps")
    axes.set_ylabel("derivative of the last loss in the input", fontsize=12)
    axes.legend(fontsize=10)
    figure.savefig(path)


def main(argv: list[str] | None = None) -> int:
    """Write the numbers, and the picture if matplotlib is there."""
    options = tasks.options(__doc__, argv)
    rows = data(options.size, options.task, options.seed, options.data)
    name = f"fig_gradient_lag_{options.task}"
    return _results.figure(rows, COLUMNS, draw, options.out, name, argv)


if __name__ == "__main__":
    sys.exit(main())
