r"""Measured truncation error against its bounds, for every truncation length k.

Theorems shown: `state_gap_observed`, `state_gap_finite`, `state_gap`, and `norm_change` for the
same certificate read in another norm.

What the eye should see: on a semilogarithmic axis the measured gap of a network whose weights are
scaled to a spectral norm of 0.9 falls along a straight line, faster than the bounds, none of which
it crosses; for the scalar linear system under constant inputs the gap lies on its bound.

Run   python examples/fig_truncation_gap.py --size small --out build/examples
"""

from __future__ import annotations

import sys
from pathlib import Path

import _results
import numpy as np

import theory
from theory.pictures import COLOURS, canvas, count_axis

COLUMNS = ("system", "k", "measured", "from_stored_state", "after_t_inputs", "any_history")


def data(size: str = "small", seed: int = 0) -> list[tuple[str, int, float, float, float, float]]:
    """Return rows of `COLUMNS`: measured gap and three bounds, for each system and k."""
    rng = np.random.default_rng(seed)
    n, T, k_max = {"small": (16, 120, 40), "paper": (256, 2000, 64)}[size]
    W = rng.standard_normal((n, n))
    network = theory.VanillaRNN(
        0.9 * W / np.linalg.norm(W, 2), rng.standard_normal((n, 4)), rng.standard_normal(n) / 4
    )
    systems = {
        "scalar linear": (theory.LinearMap([[0.9]], [[1.0]]), np.ones((T, 1))),
        "tanh network": (network, rng.standard_normal((T, 4))),
    }
    rows = []
    for name, (recurrent, X) in systems.items():
        c = theory.contraction(recurrent, norm=theory.L2())
        if c is None:
            raise ValueError(f"{name} was scaled to be contractive, but is not")
        drive = recurrent.drive(c.norm, inputs=X)
        gaps = theory.truncation_gaps(recurrent, X, k_max=k_max, norm=c.norm)
        sizes = c.norm.vector_upper(recurrent.simulate(X))
        for k in range(k_max + 1):
            rows.append(
                (
                    name,
                    k,
                    float(gaps[k]),
                    # the largest stored state from which a window of length k can start
                    theory.theorems.state_gap_observed(
                        c, k=k, past=float(sizes[: T - k].max(initial=0.0))
                    ),
                    theory.theorems.state_gap_finite(c, k=k, t=T, drive=drive),
                    theory.theorems.state_gap(c, k=k, drive=drive),
                )
            )
    return rows


def draw(rows: list[tuple[str, int, float, float, float, float]], path: Path) -> None:
    """Draw the picture; needs matplotlib."""
    names = list(dict.fromkeys(row[0] for row in rows))
    figure, panels = canvas(len(names))
    for axes, name in zip(panels, names, strict=True):
        columns = list(zip(*(row for row in rows if row[0] == name), strict=True))
        axes.semilogy(
            columns[1], columns[2], "o", ms=4, color=COLOURS["measured"],
            label="measured, worst over t",
        )  # fmt: skip
        for j, style in ((3, "-"), (4, "--"), (5, ":")):
            label = f"bound, {COLUMNS[j].replace('_', ' ')}"
            axes.semilogy(columns[1], columns[j], style, color=COLOURS["certified"], label=label)
        axes.set_title(name)
        count_axis(axes, max(columns[1]), label="truncation length k, in steps")
        axes.set_ylabel("state gap, Euclidean", fontsize=12)
        axes.legend(fontsize=10)
    figure.savefig(path)


def main(argv: list[str] | None = None) -> int:
    """Write the numbers, and the picture if matplotlib is there."""
    options = _results.options(__doc__, argv, seed={"type": int, "default": 0})
    rows = data(options.size, options.seed)
    return _results.figure(rows, COLUMNS, draw, options.out, "fig_truncation_gap", argv)


if __name__ == "__main__":
    sys.exit(main())
