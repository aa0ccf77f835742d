r"""What trained models remember: certificate, effective memory and truncation curve.

An RNN and an LSTM are trained with PyTorch to predict the next frame of the JSB chorales, once
without a constraint and once inside a stable set: after every step the recurrent matrix of the RNN
is clipped to a spectral norm of 0.9, and the rows of the LSTM's are scaled into the set of the
paper for a forget gate of at most 0.64 (a feasible retraction, not the Euclidean projection).  Then
the error of the k-step model, seen through the output layer, is measured on the validation and test
pieces, which the training never saw.

What the eye should see: inside the stable set the curves fall faster and lie below the certified
bound where there is one; the table says what the constraint costs in prediction (nll, in nats a
frame).  The effective memory is measured, with an exact binomial guarantee over pieces.

Needs PyTorch and the data: the folder `jsb-chorales` under the one that the variable STABLE_DATA
names, or under `../shared/data` beside this checkout.

Run   python examples/fig_trained_memory.py --size small --out build/examples
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
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
KEYS, LOWEST_KEY = 88, 21


class Outcome(NamedTuple):
    """One trained model, measured."""

    model: str
    training: str
    nll: float
    memory: theory.EffectiveMemory
    rates: theory.MeasuredRates


def folder() -> Path | None:
    """Return where the chorales are, or None."""
    places = [Path(__file__).resolve().parents[1].parent / "shared" / "data"]
    if os.environ.get("STABLE_DATA"):
        places.insert(0, Path(os.environ["STABLE_DATA"]))
    return next((p for p in places if (p / "jsb-chorales").is_dir()), None)


def chorales(split: str) -> list[NDArray[np.float64]]:
    """Return the piano rolls of a split, (T, 88) each.

    Raises
    ------
    FileNotFoundError
        If the data are not there.
    """
    root = folder()
    if root is None:
        raise FileNotFoundError("no jsb-chorales: set STABLE_DATA to the folder that holds it")
    text = (root / "jsb-chorales" / "jsb-chorales-quarter.json").read_text(encoding="utf-8")
    rolls = []
    for piece in json.loads(text)[split]:
        roll = np.zeros((len(piece), KEYS))
        for t, notes in enumerate(piece):
            roll[t, np.asarray(notes, dtype=int) - LOWEST_KEY] = 1.0
        rolls.append(roll)
    return rolls


def make_stable(cell: Any) -> None:
    """Move the recurrent weights of a PyTorch RNN or LSTM into its stable set, in place."""
    import torch

    with torch.no_grad():
        W = cell.weight_hh_l0
        if isinstance(cell, torch.nn.RNN):
            U, s, V = torch.linalg.svd(W, full_matrices=False)
            W.copy_(U @ torch.diag(s.clamp(max=0.9)) @ V)
            return
        # f = 0.64: |W_i|, |W_o| < 1 - f, |W_z| <= (1 - f) / 4, |W_f| < (1 - f)**2, and the gate is
        # at most f as |W_f| + |U_f| + |b_f| <= 0.128 + 0.2 + 0.247 <= logit(f), |h|, |x| <= 1
        n = cell.hidden_size
        recurrent = {"i": 0.359, "f": 0.128, "g": 0.09, "o": 0.359}
        for matrix, radii in ((W, recurrent), (cell.weight_ih_l0, {"f": 0.2})):
            for gate, radius in radii.items():
                first = "ifgo".index(gate) * n
                rows = matrix[first : first + n]
                size = rows.abs().sum(dim=1, keepdim=True)
                rows.mul_(radius / size.clamp(min=radius))
        bias = (cell.bias_ih_l0 + cell.bias_hh_l0)[n : 2 * n]
        cell.bias_ih_l0[n : 2 * n] = bias.clamp(-0.247, 0.247)
        cell.bias_hh_l0[n : 2 * n] = 0.0


def train(kind: str, units: int, epochs: int, pieces: int, *, stable: bool) -> tuple[Any, Any]:
    """Return a recurrent layer and the output layer above it, trained."""
    import torch

    torch.manual_seed(0)
    cell = {"RNN": torch.nn.RNN, "LSTM": torch.nn.LSTM}[kind](KEYS, units)
    out = torch.nn.Linear(units, KEYS)
    optimizer = torch.optim.Adam([*cell.parameters(), *out.parameters()], lr=3e-3)
    rolls = [torch.from_numpy(r).float() for r in chorales("train")[:pieces]]
    generator = np.random.default_rng(0)
    if stable:
        make_stable(cell)
    for _ in range(epochs):
        for i in generator.permutation(len(rolls)):
            loss = frame_loss(cell, out, rolls[i])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if stable:
                make_stable(cell)
    return cell.double(), out.double()


def frame_loss(cell: Any, out: Any, roll: Any) -> Any:
    """Return the negative log-likelihood of a frame in nats, averaged over a piece."""
    from torch.nn.functional import binary_cross_entropy_with_logits

    logits = out(cell(roll[:-1, None])[0][:, 0])
    return binary_cross_entropy_with_logits(logits, roll[1:], reduction="sum") / (len(roll) - 1)


def data(size: str = "small") -> list[Outcome]:
    """Train the four models and measure each."""
    import torch

    units, epochs, pieces = SIZES[size]
    held_out = chorales("valid") + chorales("test")
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
                EPS,
                PROBABILITY,
                CONFIDENCE,
                head=head,
                norm=theory.Linf(),
                k_max=K_MAX,
                certificate=theory.contraction(model),
            )
            outcomes.append(
                Outcome(
                    model=kind,
                    training="stable" if stable else "unconstrained",
                    nll=float(np.average(losses, weights=frames)),
                    memory=memory,
                    rates=theory.local_rates(model, held_out[:20], 5),
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


def write(path: Path, header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """Write rows as CSV."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)


def main(argv: list[str] | None = None) -> int:
    """Train, measure, write the numbers, and the picture if matplotlib is there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", choices=tuple(SIZES), default="small")
    parser.add_argument("--out", type=Path, default=Path("build/examples"))
    options = parser.parse_args(argv)
    try:
        outcomes = data(options.size)
    except (ImportError, FileNotFoundError) as error:
        print(f"nothing to show: {error}")
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    curves, table = curve_rows(outcomes), table_rows(outcomes)
    target = options.out / "fig_trained_memory.csv"
    write(target, CURVES, curves)
    write(options.out / "table_trained_memory.csv", TABLE, table)
    for row in table:
        print(
            "  ".join(
                f"{n}={v:.4g}" if isinstance(v, float) else f"{n}={v}"
                for n, v in zip(TABLE, row, strict=True)
            )
        )
    print(f"{len(curves)} rows: {target}")
    try:
        draw(curves, target.with_suffix(".png"))
    except ImportError:
        print("no picture: pip install 'stable-recurrent-models[report]' for matplotlib")
    else:
        print(f"picture: {target.with_suffix('.png')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
