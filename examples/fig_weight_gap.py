r"""Distance of the weights of a recurrent model and its k-step counterparts during training.

Theorem shown: `weight_gap`, with `gradient_gap` for the gradients and `loss_smoothness` for beta.

What the eye should see: for the stable model (W kept in |W|_2 <= 0.9 by projection) the distances
fall geometrically with k at every step, and the longer windows stay near zero; without projection,
from |W|_2 = 1.5, they do not.  The theorem's bound (in the legend) holds and is many orders of
magnitude above; the same bound with the two constants measured on the way (dashed) is close.  What
is to blame is beta, the smoothness constant, which stands in the exponent of N**(alpha beta).

Run   python examples/fig_weight_gap.py --size small --out build/examples
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

import _results
import numpy as np
import tasks

import theory
from theory.learning.losses import loss_constants
from theory.learning.weights import with_weights
from theory.pictures import LINES, canvas, count_axis
from theory.progress import counting_bar

COLUMNS = ("task", "system", "k", "step", "distance", "log10_bound", "log10_bound_as_measured")
SIZES = {
    "small": {"units": 8, "T": 40, "steps": 30, "lengths": (1, 2, 5, 10)},
    "paper": {"units": 32, "T": 200, "steps": 500, "lengths": (1, 2, 5, 10, 20, 35, 50)},
}
RATE, ALPHA = 0.9, {"teacher": 0.3, "chorales": 0.1}
Row = tuple[str, str, int, int, float, float, float]


def log10_bounds(sizes: np.ndarray, beta: float, mismatch: float) -> np.ndarray:
    """Return log10 of mismatch (prod (1 + alpha_i beta) - 1) / beta after 0 .. N steps."""
    growth = np.concatenate([[0.0], np.cumsum(np.log1p(sizes * beta))])
    with np.errstate(divide="ignore"):
        gain = np.where(
            growth > 30, growth, np.log(np.maximum(np.expm1(np.minimum(growth, 30)), 0))
        )
        return (np.log(mismatch) - np.log(beta) + gain) / math.log(10)


def constants(
    twins: theory.learning.Twins,
    start: theory.Map,
    head: theory.LinearHead,
    data: theory.learning.TrainingData,
) -> tuple[theory.learning.MapConstants, float, float, float]:
    """Return the constants on the hull of all weights met, L_p, beta_p and beta."""
    maps = [
        with_weights(start, w, trained=tuple(start.parameters))
        for descent in (twins.recurrent, *twins.truncated.values())
        for w in descent.weights
    ]
    c = theory.learning.map_constants(maps, inputs=data.inputs)
    assert c is not None
    gains = loss_constants(data.loss, head.C, head.d, data.targets, theory.L2(), c.state_bound)
    return c, *gains, c.smoothness(*gains)


def measured(
    twins: theory.learning.Twins, k: int, start: theory.Map, head: theory.LinearHead,
    data: theory.learning.TrainingData,
) -> tuple[float, float]:  # fmt: skip
    """Return the largest gradient gap on the counterpart's way, and the largest quotient for beta.

    With these two numbers the theorem's recursion holds for this very pair of descents.
    """
    gap, beta = 0.0, 1e-12

    def at(w: np.ndarray) -> theory.Map:
        return with_weights(start, w, trained=tuple(start.parameters))

    W, V = twins.recurrent.weights, twins.truncated[k].weights
    for w, v in zip(W[: len(V) - 1], V[: len(W) - 1], strict=False):
        here = theory.learning.recurrent_gradient(at(v), head, data).vector()
        short = theory.learning.truncated_gradient(at(v), head, data, k=k).vector()
        gap = max(gap, float(np.linalg.norm(here - short)))
        apart = float(np.linalg.norm(w - v))
        if apart > 0:
            there = theory.learning.recurrent_gradient(at(w), head, data).vector()
            beta = max(beta, float(np.linalg.norm(there - here)) / apart)
    return gap, beta


def data(
    size: str = "small", task: str = "teacher", seed: int = 0, folder: Path | None = None,
    say: Callable[[str], object] = lambda _: None,
) -> list[Row]:  # fmt: skip
    """Return rows of `COLUMNS`: distance after each step, and both bounds (nan where unstable)."""
    n, T, steps = SIZES[size]["units"], SIZES[size]["T"], SIZES[size]["steps"]
    lengths = SIZES[size]["lengths"]
    start, head, training = tasks.data(task, n, T, seed, folder)
    rows: list[Row] = []
    for system in ("stable", "unstable"):
        begun, projection = start, tasks.clip(RATE)
        if system == "unstable":
            begun, projection = start.with_parameters(W=start.W * (1.5 / RATE)), None
        with counting_bar(f"{task}, {system}") as shown:
            twins = theory.learning.train_twins(
                begun, head, training, k=lengths, steps=steps, alpha=ALPHA[task],
                projection=projection, gap_every=steps, progress=shown,
            )  # fmt: skip
        c = None
        if system == "stable":
            c, gain, beta_p, beta = constants(twins, begun, head, training)
            say(
                f"{task}: lam={c.lam:.3f} L_w={c.weight_gain:.3g} L_p={gain:.3g} "
                f"beta={beta:.3g} (beta_hh={c.beta_hh:.3g} beta_hw={c.beta_hw:.3g} "
                f"beta_ww={c.beta_ww:.3g} beta_p={beta_p:.3g})"
            )
        for k in lengths:
            distances = twins.distances[k]
            nothing = np.full(len(distances), math.nan)
            bound = observed = nothing
            if c is not None:
                # the mean over t of the gaps, which are 0 up to t = k
                mismatch = (1 - k / T) * theory.theorems.gradient_gap(
                    theory.Contraction.assumed(c.lam), k=k, drive=c.drive,
                    weight_gain=c.weight_gain, loss_gain=gain, beta_hh=c.beta_hh,
                    beta_wh=c.beta_wh, beta_p=beta_p,
                )  # fmt: skip
                seen_gap, seen_beta = measured(twins, k, begun, head, training)
                sizes = twins.recurrent.sizes
                bound = log10_bounds(sizes, beta, mismatch)
                observed = log10_bounds(sizes, seen_beta, seen_gap)
                say(
                    f"  k={k:2d}: distance {distances[-1]:.3g}, bound 10**{bound[-1]:.1f}, with "
                    f"measured constants 10**{observed[-1]:.2f}; gradient gap {seen_gap:.3g} of "
                    f"{mismatch:.3g}, beta {seen_beta:.3g} of {beta:.3g}"
                )
            rows += [
                (task, system, k, i, float(d), float(b), float(o))
                for i, (d, b, o) in enumerate(zip(distances, bound, observed, strict=True))
            ]
    return rows


def draw(rows: list[Row], path: Path) -> None:
    """Draw the picture; needs matplotlib."""
    figure, panels = canvas(2)
    for axes, system in zip(panels, ("stable", "unstable"), strict=True):
        some = [row for row in rows if row[1] == system]
        theorem = "bound of the theorem"
        for j, k in enumerate(dict.fromkeys(row[2] for row in some)):
            mine = np.array([row[3:] for row in some if row[2] == k], dtype=float)
            colour = LINES[j % len(LINES)]
            axes.semilogy(mine[1:, 0], mine[1:, 1], color=colour, lw=2, label=f"k = {k}, measured")
            if system == "stable":
                axes.semilogy(
                    mine[1:, 0], 10.0 ** mine[1:, 3], "--", color=colour,
                    label=f"k = {k}, bound with the constants measured",
                )  # fmt: skip
                theorem = f"bound of the theorem: 10^{mine[1, 2]:.0f} to 10^{mine[-1, 2]:.0f}"
        if system == "stable":
            # far above everything: named, not drawn, as the rest would be flat beneath it
            axes.plot([], [], " ", label=theorem)
        axes.set_title(f"{some[0][0]}, {system}")
        count_axis(axes, max(row[3] for row in some), label="gradient step")
        axes.set_ylabel("distance of the weights", fontsize=12)
        # beneath, where it hides no curve
        axes.legend(fontsize=9, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.14))
    figure.savefig(path)


def main(argv: list[str] | None = None) -> int:
    """Write the numbers, and the picture if matplotlib is there."""
    options = tasks.options(__doc__, argv)
    rows = data(options.size, options.task, options.seed, options.data, print)
    name = f"fig_weight_gap_{options.task}"
    return _results.figure(rows, COLUMNS, draw, options.out, name, argv)


if __name__ == "__main__":
    sys.exit(main())
