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
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(row[0] for row in rows))
    figure = Figure(figsize=(4.5 * len(names), 3.6), layout="constrained")
    for i, name in enumerate(names):
        axes = figure.add_subplot(1, len(names), i + 1)
        columns = list(zip(*(row for row in rows if row[0] == name), strict=True))
        axes.semilogy(columns[1], columns[2], "ko", ms=3, label="measured, worst over t")
        for j, style in ((3, "-"), (4, "--"), (5, ":")):
            axes.semilogy(columns[1], columns[j], style, label=COLUMNS[j].replace("_", " "))
        axes.set_title(name)
        axes.set_xlabel("truncation length k")
        axes.set_ylabel("state gap")
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)


def main(argv: list[str] | None = None) -> int:
    """Write the numbers, and the picture if matplotlib is there."""
    options = _results.options(__doc__, argv, seed={"type": int, "default": 0})
    rows = data(options.size, options.seed)
    return _results.figure(rows, COLUMNS, draw, options.out, "fig_truncation_gap", argv)


if __name__ == "__main__":
    sys.exit(main())
