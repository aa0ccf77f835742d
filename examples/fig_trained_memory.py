r"""What trained models remember: certificate, effective memory and truncation curve.

An RNN and an LSTM are trained with PyTorch to predict the next frame of the JSB chorales, once
without a constraint and once inside a stable set: after every step the recurrent matrix of the RNN
is projected onto the ball of spectral norm 0.9, and the LSTM onto the set of the paper at the rate
0.98, for inputs |x_i| <= 1 and one bound of its forget gates.  Then the error of the k-step model,
seen through the output layer, is measured on the validation and test pieces, which the training
never saw.

What the eye should see: inside the stable set the curves fall faster and lie below the certified
bound where there is one; the table says what the constraint costs in prediction (nll, in nats a
frame).  The effective memory is measured, with an exact binomial guarantee over pieces; where there
is none up to 128 inputs, and below the longest piece, the table has no number.

Needs PyTorch and the data: the folder `jsb-chorales` under the one that the variable STABLE_DATA
names, or under `../shared/data` beside this checkout.

Run   python examples/fig_trained_memory.py --size small --out build/examples
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import _results
import numpy as np
import tasks
from numpy.typing import NDArray

import theory
from theory import interop

CURVES = ("model", "training", "k", "median", "largest", "certified")
TABLE = (
    "model",
    "training",
    "nll",
    "effective_memory",
    "certified_rate",
    "certified_k",
    "median_rate",
    "contracting",
)
SIZES = {"small": (8, 2, 30), "paper": (64, 40, 229)}  # units, epochs, pieces
EPS, PROBABILITY, CONFIDENCE, K_MAX = 0.1, 0.05, 0.95, 128
KEYS = tasks.KEYS
RATES = {"RNN": 0.9, "LSTM": 0.98}  # of the stable sets


class Outcome(NamedTuple):
    """One trained model, measured."""

    model: str
    training: str
    nll: float
    memory: theory.measure.EffectiveMemory
    rates: theory.measure.MeasuredRates


def train(kind: str, units: int, epochs: int, pieces: int, *, stable: bool) -> tuple[Any, Any]:
    """Return a recurrent layer and the output layer above it, trained."""
    import torch

    torch.manual_seed(0)
    cell = {"RNN": torch.nn.RNN, "LSTM": torch.nn.LSTM}[kind](KEYS, units)
    out = torch.nn.Linear(units, KEYS)
    optimizer = torch.optim.Adam([*cell.parameters(), *out.parameters()], lr=3e-3)
    rolls = [torch.from_numpy(r).float() for r in tasks.chorales("train")[:pieces]]
    generator = np.random.default_rng(0)
    if stable:
        from theory.torch import StableProjection

        guard = StableProjection(cell, rate=RATES[kind])
        guard.project()
        guard.attach(optimizer)
    for _ in range(epochs):
        for i in generator.permutation(len(rolls)):
            loss = frame_loss(cell, out, rolls[i])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return cell.double(), out.double()


def frame_loss(cell: Any, out: Any, roll: Any) -> Any:
    """Return the negative log-likelihood of a frame in nats, averaged over a piece."""
    from torch.nn.functional import binary_cross_entropy_with_logits

    logits = out(cell(roll[:-1, None])[0][:, 0])
    return binary_cross_entropy_with_logits(logits, roll[1:], reduction="sum") / (len(roll) - 1)


def certificate(model: theory.Map, inputs: NDArray[np.float64]) -> theory.Contraction | None:
    """Return a contraction of a model everywhere, or where inputs no larger than these lead."""
    everywhere = theory.contraction(model)
    if everywhere is not None:
        return everywhere
    box = theory.certify.invariant_domain(
        model, inputs=np.vstack([np.zeros(KEYS), np.ones(KEYS), inputs])
    )
    return None if box is None else theory.contraction(model, domain=box)


def data(size: str = "small") -> list[Outcome]:
    """Train the four models and measure each."""
    import torch

    units, epochs, pieces = SIZES[size]
    held_out = tasks.chorales("valid") + tasks.chorales("test")
    seen = np.concatenate(held_out)
    outcomes = []
    for kind in ("RNN", "LSTM"):
        for stable in (False, True):
            cell, out = train(kind, units, epochs, pieces, stable=stable)
            with torch.no_grad():
                losses = [float(frame_loss(cell, out, torch.from_numpy(r))) for r in held_out]
            frames = [len(r) - 1 for r in held_out]
            model = interop.from_torch(cell)
            head = theory.LinearHead(out.weight.detach().numpy() @ model.output_map)
            memory = theory.effective_memory(
                model,
                held_out,
                eps=EPS,
                probability=PROBABILITY,
                confidence=CONFIDENCE,
                head=head,
                norm=theory.Linf(),
                k_max=K_MAX,
                certificate=certificate(model, seen),
            )
            outcomes.append(
                Outcome(
                    model=kind,
                    training="stable" if stable else "unconstrained",
                    nll=float(np.average(losses, weights=frames)),
                    memory=memory,
                    rates=theory.measure.local_rates(model, held_out[:20], r=5),
                )
            )
    return outcomes


def curve_rows(outcomes: list[Outcome]) -> list[tuple[Any, ...]]:
    """Return rows of `CURVES`."""
    rows: list[tuple[Any, ...]] = []
    for one in outcomes:
        quantiles = one.memory.quantiles((0.5, 1.0))
        for k, (median, largest) in enumerate(quantiles):
            proved = None if one.memory.certified is None else float(one.memory.certified[k])
            rows.append((one.model, one.training, k, float(median), float(largest), proved))
    return rows


def table_rows(outcomes: list[Outcome]) -> list[tuple[Any, ...]]:
    """Return rows of `TABLE`."""
    return [
        (
            one.model,
            one.training,
            one.nll,
            one.memory.k,
            None if one.memory.certificate is None else one.memory.certificate.lam,
            one.memory.certified_k,
            one.rates.quantile(0.5),
            one.rates.fraction_below_one,
        )
        for one in outcomes
    ]


def draw(rows: list[tuple[Any, ...]], path: Path) -> None:
    """Draw the picture; needs matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    for i, kind in enumerate(("RNN", "LSTM")):
        axes = figure.add_subplot(1, 2, i + 1)
        for training, colour in (("unconstrained", "C3"), ("stable", "C0")):
            chosen = [r for r in rows if r[:2] == (kind, training) and r[4] > 0]
            axes.semilogy([r[2] for r in chosen], [r[4] for r in chosen], colour, label=training)
            proved = [r for r in chosen if r[5] is not None]
            if proved:
                label = f"certified, {training}"
                axes.semilogy(
                    [r[2] for r in proved], [r[5] for r in proved], colour + "--", label=label
                )
        axes.axhline(EPS, color="0.5", lw=0.8)
        axes.set_title(kind)
        axes.set_xlabel("truncation length k")
        axes.set_ylabel("largest error of a logit")
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)


def main(argv: list[str] | None = None) -> int:
    """Train, measure, write the numbers, and the picture if matplotlib is there."""
    options = _results.options(__doc__, argv)
    try:
        outcomes = data(options.size)
    except (ImportError, FileNotFoundError) as error:
        print(f"nothing to show: {error}")
        return 0
    curves, table = curve_rows(outcomes), table_rows(outcomes)
    _results.write(table, TABLE, options.out, "table_trained_memory", argv, digits=None)
    _results.show(table, TABLE)
    return _results.figure(curves, CURVES, draw, options.out, "fig_trained_memory", argv)


if __name__ == "__main__":
    sys.exit(main())
