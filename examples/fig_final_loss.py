r"""Final loss of the k-step model against k, beside that of the recurrent model.

Theorem shown: `prediction_gap`, with the measured distance of the weights: the losses of the twins
differ by at most loss_gain times the gap of their states.

What the eye should see: the final loss of the k-step models comes to that of the recurrent model
(horizontal line) within a few steps of k, far sooner than the band of the theorem closes; on the
way there it may be smaller, as it is another model that is trained.

Run   python examples/fig_final_loss.py --size small --out build/examples
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
from theory.pictures import COLOURS, canvas, count_axis

COLUMNS = ("task", "system", "k", "loss", "recurrent_loss", "distance", "band")
SIZES = {
    "small": {"units": 8, "T": 40, "steps": 40, "lengths": (1, 2, 3, 5, 10, 20)},
    "paper": {"units": 32, "T": 200, "steps": 500, "lengths": (1, 2, 3, 5, 10, 20, 35, 50)},
}
RATE, ALPHA = 0.9, {"teacher": 0.2, "chorales": 0.1}
Row = tuple[str, str, int, float, float, float, float]


def data(
    size: str = "small", task: str = "teacher", seed: int = 0, folder: Path | None = None
) -> list[Row]:
    """Return rows of `COLUMNS`; the band is nan for the unstable system."""
    setup = SIZES[size]
    start, head, training = tasks.data(task, setup["units"], setup["T"], seed, folder)
    rows: list[Row] = []
    for system in ("stable", "unstable"):
        begun, projection = start, tasks.clip(RATE)
        if system == "unstable":
            begun, projection = start.with_parameters(W=start.W * (1.5 / RATE)), None
        twins = theory.learning.train_twins(
            begun, head, training, k=setup["lengths"], steps=setup["steps"], alpha=ALPHA[task],
            schedule="1/sqrt", projection=projection, gap_every=setup["steps"],
        )  # fmt: skip
        for k, descent in twins.truncated.items():
            band = math.nan
            if system == "stable":
                c = theory.learning.map_constants(
                    [twins.recurrent.model, descent.model], inputs=training.inputs
                )
                assert c is not None
                gain, _ = loss_constants(
                    training.loss, head.C, head.d, training.targets, theory.L2(), c.state_bound
                )
                states = theory.theorems.prediction_gap(
                    theory.Contraction.assumed(c.lam), k=k, drive=c.drive,
                    weight_gain=c.weight_gain, distance=float(twins.distances[k][-1]),
                )  # fmt: skip
                band = gain * states
            rows.append(
                (task, system, k, float(descent.losses[-1]), float(twins.recurrent.losses[-1]),
                 float(twins.distances[k][-1]), band)
            )  # fmt: skip
    return rows


def draw(rows: list[Row], path: Path) -> None:
    """Draw the picture; needs matplotlib."""
    figure, panels = canvas(2)
    for axes, system in zip(panels, ("stable", "unstable"), strict=True):
        some = np.array([row[2:] for row in rows if row[1] == system], dtype=float)
        axes.plot(some[:, 0], some[:, 1], "o-", ms=5, color=COLOURS["measured"],
                  label="k-step model")  # fmt: skip
        axes.axhline(some[0, 2], color=COLOURS["chosen"], label="recurrent model")
        if system == "stable":
            top = 2 * some[:, 1].max()
            axes.plot(some[:, 0], np.minimum(some[:, 2] + some[:, 4], top), "--",
                      color=COLOURS["certified"], label="bound (cut at the top)")  # fmt: skip
        axes.set_title(f"{rows[0][0]}, {system}")
        count_axis(axes, int(some[:, 0].max()), label="truncation length k, in steps")
        axes.set_ylabel("final loss", fontsize=12)
        axes.legend(fontsize=10)
    figure.savefig(path)


def main(argv: list[str] | None = None) -> int:
    """Write the numbers, and the picture if matplotlib is there."""
    options = tasks.options(__doc__, argv)
    rows = data(options.size, options.task, options.seed, options.data)
    name = f"fig_final_loss_{options.task}"
    return _results.figure(rows, COLUMNS, draw, options.out, name, argv)


if __name__ == "__main__":
    sys.exit(main())
