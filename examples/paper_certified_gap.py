r"""Measured truncation error of trained stable networks under their certified bounds, for every k.

Theorems shown: `state_gap_observed` (from the stored states), `state_gap` (for every history), each
in the norm of the network's own certificate.

What the eye should see: no measured error crosses its bound at any k; the bound of the sharper
certificate falls faster.  The last column of the CSV file says for each k whether the measured
error is below the bound, up to the proved rounding of the two runs.

Run   python examples/paper_certified_gap.py --task jsb --size small --data DIR
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import _results
import _stability
import _training
import numpy as np

import theory
from theory.arithmetic.rounding import drift

COLUMNS = (
    "task", "cell", "variant", "seed", "rate", "norm", "k", "measured", "observed_bound",
    "any_history_bound", "holds",
)  # fmt: skip


def data(options: argparse.Namespace) -> list[tuple[object, ...]]:
    """Return rows of `COLUMNS`; a network without a certificate has one row that says so."""
    k_max, most = (80, 5000) if options.size != "smoke" else (6, 60)
    rows: list[tuple[object, ...]] = []
    for label, t in _training.studies(options):
        rows += certified(label, t, k_max, most)
    return rows


def certified(
    label: tuple[object, ...], t: _training.Trained, k_max: int, most: int
) -> list[tuple[object, ...]]:
    """Return the rows of one network."""
    recurrent, c = _stability.to_map(t.model), _stability.certificate(t)
    if c is None:
        return [(*label, "", "none", "", "", "", "", "no certificate")]
    sequences = _training.test_sequences(t, most, 200)
    longest = max(len(X) for X in sequences)
    k_max = min(k_max, longest)
    measured, past, drive, local = np.zeros(k_max + 1), np.zeros(k_max + 1), 0.0, 0.0
    for X in sequences:
        states = recurrent.simulate(X)
        gaps = theory.truncation_gaps(recurrent, X, k_max=k_max, norm=c.norm)
        sizes = c.norm.vector_upper(states)
        drive = max(drive, float(recurrent.drive(c.norm, inputs=X)))
        error = recurrent.step_error(np.abs(states).max(0), np.abs(X).max(0))
        local = max(local, c.norm.majorant(error))
        for k in range(k_max + 1):
            measured[k] = max(measured[k], gaps[k])
            # the largest stored state from which a window of length k can start
            past[k] = max(past[k], float(sizes[: max(len(X) - k, 0)].max(initial=0.0)))
    rounding = 2 * drift(local, c.lam)
    rows = []
    for k in range(k_max + 1):
        bound = theory.theorems.state_gap_observed(c, k=k, past=float(past[k]))
        slack = rounding + c.norm.vector_rounding(recurrent.state_dim) * measured[k]
        rows.append((
            *label, c.lam, str(c.norm), k, float(measured[k]), bound,
            theory.theorems.state_gap(c, k=k, drive=drive), bool(measured[k] <= bound + slack),
        ))  # fmt: skip
    return rows


def draw(rows: list[tuple[object, ...]], path: Path) -> None:
    """Draw the first seed of every network; needs matplotlib."""
    kept = [row for row in rows if row[10] != "no certificate"]
    figure, found = _results.panels(kept, 0, 1, 2)
    for axes, name, every in found:
        own = [row for row in every if row[3] == every[0][3]]
        k = [row[6] for row in own]
        axes.semilogy(k, [row[7] or np.nan for row in own], "ko", ms=3, label="measured")
        for column, line, color, label in (
            (8, "-", "#0072B2", "bound, stored state"), (9, "--", "#D55E00", "bound, any history"),
        ):  # fmt: skip
            axes.semilogy(k, [row[column] or np.nan for row in own], line, color=color, label=label)
        axes.set_title(f"{', '.join(map(str, name))}: rate {own[0][4]:.3f}", fontsize=10)
        axes.set_xlabel("truncation length k")
        axes.set_ylabel(f"state gap ({own[0][5]})")
    _results.finish(figure, path)


def main(argv: list[str] | None = None) -> int:
    """Write the numbers, and the picture if matplotlib is there."""
    return _training.report(
        argv, doc=__doc__, name="paper_certified_gap", columns=COLUMNS, data=data, draw=draw,
        variants=("stable", "sharp-stable"),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
