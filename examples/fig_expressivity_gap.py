r"""When not: tasks of which no function of the last k inputs is right, and trained networks beside.

Theorem shown: `window_error`, for the counter that leaks; its argument, two histories with a common
tail, for the others.

*Parity* of all inputs so far, a *flip-flop* that holds the last bit written (half of the inputs
write none), and a *counter* h <- 0.95 h + x.  For every k stands the error that no function of the
last k inputs can avoid at times beyond k: the probability of a wrong bit, 1/2 for parity and
2**-k / 2 for the flip-flop; for the counter the largest error over all histories of T = 60 inputs
in [-1, 1].  Beside it networks that were trained here: one of the last k inputs, and a recurrent
one; for the counter least squares on windows, and the recurrence itself.

What the eye should see: no network of k inputs is below its floor, parity's does not fall with k at
all, and the recurrent networks go below every floor: states are needed there, however long the
window is.

Run   python examples/fig_expressivity_gap.py
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _results
import numpy as np
from numpy.typing import NDArray

from theory import Contraction, LinearMap
from theory.theorems import window_error

COLUMNS = ("task", "k", "floor", "window", "recurrent", "measured")
LENGTHS = {"small": (1, 2, 4, 8), "paper": (1, 2, 3, 4, 6, 8, 12)}
LEAK = 0.95
T = 60

Bits = NDArray[np.int64]


def parity(rng: np.random.Generator, count: int) -> tuple[Bits, Bits]:
    """Return bits (count, T) and the parity of all so far."""
    x = rng.integers(0, 2, (count, T))
    return x, np.cumsum(x, axis=1) % 2


def flip_flop(rng: np.random.Generator, count: int) -> tuple[Bits, Bits]:
    """Return 0 and 1 to be written or 2, which writes nothing, and the bit that is held."""
    x = rng.choice([0, 1, 2, 2], (count, T))
    x[:, 0] = rng.integers(0, 2, count)
    at = np.maximum.accumulate(np.where(x < 2, np.arange(T), 0), axis=1)
    return x, np.take_along_axis(x, at, axis=1)


#: A task with the error that no function of the last k inputs avoids, at times beyond k.
TASKS = {
    "parity": (parity, lambda k: 0.5 + 0 * k),
    "flip-flop": (flip_flop, lambda k: 0.5 ** (k + 1)),
}


def trained(name: str, k: int | None, steps: int, seed: int = 0) -> float:
    """Return the part of wrong bits, at times of at least 12, of a network trained on a task."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    rng, make = np.random.default_rng(seed), TASKS[name][0]
    if k is None:
        cell, out = nn.LSTM(3, 24, batch_first=True), nn.Linear(24, 2)

        def answer(x: Any) -> Any:
            return out(cell(x)[0])

        parts: list[nn.Module] = [cell, out]
    else:
        window = nn.Sequential(
            nn.ConstantPad1d((k - 1, 0), 0.0), nn.Conv1d(3, 48, k), nn.ReLU(), nn.Conv1d(48, 2, 1)
        )

        def answer(x: Any) -> Any:
            return window(x.transpose(1, 2)).transpose(1, 2)

        parts = [window]
    adam = torch.optim.Adam([p for part in parts for p in part.parameters()], lr=0.01)
    for _ in range(steps):
        x, y = (torch.from_numpy(a) for a in make(rng, 32))
        logits = answer(nn.functional.one_hot(x, 3).float())
        loss = nn.functional.cross_entropy(logits.reshape(-1, 2), y.reshape(-1))
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([p for part in parts for p in part.parameters()], 1.0)
        adam.step()
    with torch.no_grad():
        x, y = (torch.from_numpy(a) for a in make(np.random.default_rng(10_000 + seed), 1000))
        guess = answer(nn.functional.one_hot(x, 3).float()).argmax(dim=-1)
        return float((guess != y)[:, 12:].float().mean())


def counter(k: int) -> tuple[float, float, float]:
    """Return the floor, the largest error of a fitted window, and that of the recurrence."""
    c = Contraction.assumed(LEAK)
    floor = window_error(c, k=k, t=T, gain=1.0, input_bound=1.0)
    system = LinearMap([[LEAK]], [[1.0]])
    x = np.random.default_rng(0).uniform(-1, 1, (2000, T, 1))
    ends = system.simulate(x)[:, -1, 0]
    weights = np.linalg.lstsq(x[:, T - k :, 0], ends, rcond=None)[0]
    # the worst history and tail of a linear function of the window
    exact = LEAK ** np.arange(T - 1.0, -1.0, -1.0)
    error = exact - np.concatenate([np.zeros(T - k), weights])
    return floor, float(np.sum(np.abs(error))), 0.0


def data(size: str, steps: int) -> list[tuple[Any, ...]]:
    """Return rows of `COLUMNS`."""
    rows: list[tuple[Any, ...]] = []
    for name, (_, floor) in TASKS.items():
        recurrent = trained(name, None, 2 * steps)
        rows += [
            (name, k, float(floor(k)), trained(name, k, steps), recurrent, "part of wrong bits")
            for k in LENGTHS[size]
        ]
    rows += [("counter", k, *counter(k), "largest error") for k in LENGTHS[size]]
    return rows


def draw(rows: Sequence[Sequence[Any]], path: Path) -> None:
    """Draw floors and networks against k; needs matplotlib."""
    figure, found = _results.panels(rows, 5, 0)
    for axes, _, own in found:
        k = [row[1] for row in own]
        axes.plot(k, [row[2] for row in own], "k--", label="no function of k goes below")
        axes.plot(k, [row[3] for row in own], "o", ms=5, label="trained, of k inputs")
        if own[0][5] != "largest error":
            axes.axhline(own[0][4], color="C1", label="trained, recurrent")
        axes.set_yscale("symlog", linthresh=1e-3)
        axes.set_xlabel("inputs seen")
        axes.set_ylabel(str(own[0][5]))
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=90)


def main(argv: list[str] | None = None) -> int:
    """Write the numbers, and the picture if matplotlib is there."""
    chosen = _results.options(__doc__, argv, steps={"type": int, "default": 400})
    try:
        rows = data(chosen.size, chosen.steps)
    except ImportError:
        print("needs PyTorch: pip install 'stable-recurrent-models[torch]'", file=sys.stderr)
        return 1
    target = _results.write(rows, COLUMNS, chosen.out, "fig_expressivity_gap", argv, seeds=(0,))
    _results.picture(draw, rows, target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
