r"""What sources lose by a short memory, under the two bounds: each beats the other somewhere.

Theorems shown: `short_memory`, `filter_contraction`.

For every source and k: the loss i_k of the best predictor of k symbols, enclosed by all words (of
the Gaussian system in doubles); information / (k + 1), and the published information / k; and
d**2 / 8 for the distance d = diameter tau**(k - 1) that the filter's contraction leaves between any
two beliefs.  The sources: a chain that mixes quickly, one that mixes slowly, the circular register
of four bits, and a scalar linear system with Gaussian noise, whose Kalman filter forgets by the
rate lam: on average its loss falls like lam**(2 k), while the worst inputs cost every window the
factor lam**k of `window_error` (the column `worst`, relative to k = 0).

What the eye should see: the register touches information / (k + 1) at k = 3; for the quick chain
contraction is far below information from k = 3 on, for the slow one it is above all that could be
lost, and for the register, most of whose transitions are forbidden, it says nothing.

Run   python examples/fig_short_memory.py
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _results

from theory import contraction
from theory.sources import (
    HiddenMarkovModel,
    LinearGaussianModel,
    divergence_of_distance,
    information_values,
    register,
)
from theory.theorems import filter_contraction, short_memory, window_error

COLUMNS = (
    "source", "k", "loss_low", "loss_high", "information", "bound", "published", "contraction",
    "worst",
)  # fmt: skip
SHOWN = [[0.8, 0.2], [0.3, 0.7]]
SOURCES = {
    "quick chain": HiddenMarkovModel([[0.6, 0.4], [0.4, 0.6]], SHOWN),
    "slow chain": HiddenMarkovModel([[0.98, 0.02], [0.02, 0.98]], SHOWN),
    "register of 4 bits": register(4),
}
GAUSSIAN = LinearGaussianModel([[0.95]], [[1.0]], [[1.0]], [[4.0]])
LENGTHS = {"small": 12, "paper": 14}


def data(size: str) -> list[tuple[Any, ...]]:
    """Return rows of `COLUMNS`; empty where a bound says nothing."""
    longest = LENGTHS[size]
    rows: list[tuple[Any, ...]] = []
    for name, model in SOURCES.items():
        values = information_values(model, longest=longest)
        tau, diameter, most = model.birkhoff, model.diameter, values.information[1]
        for k in range(min(longest, values.longest) + 1):
            forgotten: Any = ""
            if tau < 1 and k:
                distance = filter_contraction(diameter=diameter, tau=tau, k=k)
                forgotten = divergence_of_distance(distance)
            rows.append((
                name, k, float(values.excess[0][k]), float(values.excess[1][k]), most,
                short_memory(information=most, k=k), most / k if k else "", forgotten, "",
            ))  # fmt: skip
    losses, most = GAUSSIAN.excess(longest), GAUSSIAN.information
    recurrent = GAUSSIAN.filter()
    c = contraction(recurrent)
    assert c is not None
    worst = [
        window_error(c, k=k, t=10_000, gain=float(recurrent.U[0, 0]), input_bound=1.0)
        for k in range(longest + 1)
    ]
    rows += [
        (
            "Gaussian system", k, float(loss), float(loss), most,
            short_memory(information=most, k=k), most / k if k else "", "", worst[k] / worst[0],
        )
        for k, loss in enumerate(losses)
    ]  # fmt: skip
    return rows


def draw(rows: Sequence[Sequence[Any]], path: Path) -> None:
    """Draw losses and bounds against k; needs matplotlib."""
    figure, found = _results.panels(rows, 0)
    for axes, _, own in found:
        for column, style, label in (
            (3, "ko", "loss"), (5, "C0-", "I / (k + 1)"), (6, "C0:", "I / k"),
            (7, "C1--", "by contraction"), (8, "C2--", "worst case, relative"),
        ):  # fmt: skip
            points = [(r[1], r[column]) for r in own if r[column] != ""]
            kept = [(k, v) for k, v in points if v > 0 and math.isfinite(v)]
            if kept:
                axes.semilogy(*zip(*kept, strict=True), style, ms=4, label=label)
        axes.set_ylim(bottom=1e-8)
        axes.set_xlabel("symbols seen")
        axes.set_ylabel("nats a symbol")
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=90)


def main(argv: list[str] | None = None) -> int:
    """Write the numbers, and the picture if matplotlib is there."""
    chosen = _results.options(__doc__, argv)
    rows = data(chosen.size)
    return _results.figure(rows, COLUMNS, draw, chosen.out, "fig_short_memory", argv)


if __name__ == "__main__":
    sys.exit(main())
