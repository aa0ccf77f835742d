r"""How fast recurrences that are linear in their state are trained: steps, doublings, one scan.

Theorem shown: none, measured.  A training step (forward, backward, clipping, Adam) of two blocks of
about 146,000 parameters on 16 windows of 64 characters, one thread: with a step a time that
autograd follows (`steps`), with the parallel prefix of doublings (`doubling`), with the scan of
`_blocks.py`, whose gradient is a scan too (`scan`), and with products in bfloat16 besides (`scan,
bfloat16`); and the LSTM of as many parameters.  Rates are of processor time, medians of rounds that
take turns.

What the eye should see: on one CPU thread a scan gains little, as most of the time is in products,
and doublings lose; products of half the precision gain half as much again.  Solving a window of the
delta rule at once costs several times a scan.

Run   python examples/paper_scan_speed.py --out build/examples
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import _blocks
import _models
import _results
import torch
import torch.nn.functional as fn
from torch import Tensor, nn

COLUMNS = ("model", "how", "parameters", "tokens_per_cpu_s")

#: Sizes of the model and of a window: characters, units of the LSTM, windows, their length, rounds.
SIZES = {"small": (80, 164, 16, 64, 12), "paper": (80, 164, 16, 64, 60)}

Scan = Callable[[Tensor, Tensor, Tensor], Tensor]


def steps(a: Tensor, b: Tensor, start: Tensor) -> Tensor:
    """Return h_t = a_t h_{t-1} + b_t, a step a time."""
    h, found = start, []
    for own, new in zip(a, b, strict=True):
        h = own * h + new
        found.append(h)
    return torch.stack(found)


def doubling(a: Tensor, b: Tensor, start: Tensor) -> Tensor:
    """Return the same by log2 T rounds, each over all times."""
    b, width = torch.cat([b[:1] + a[:1] * start, b[1:]]), 1
    while width < len(b):
        b = torch.cat([b[:width], b[width:] + a[width:] * b[:-width]])
        a = torch.cat([a[:width], a[width:] * a[:-width]])
        width *= 2
    return b


def data(size: str) -> list[tuple[str, str, int, float]]:
    """Return rows of `COLUMNS`."""
    characters, units, batch, length, rounds = SIZES[size]
    x = torch.randint(0, characters, (batch, length), generator=torch.Generator().manual_seed(0))

    def made(cell: str) -> nn.Module:
        return _models.build(
            cell, inputs=characters, classes=characters, tokens=True, hidden=units, width=32, k=None
        )

    kinds: list[tuple[str, str, Scan, bool]] = [("lstm", "cell", _blocks.scan, False)]
    kinds += [("lstm", "cell, bfloat16", _blocks.scan, True)]
    kinds += [("mingru-blocks", how, scan, False)
              for how, scan in (("steps", steps), ("doubling", doubling))]  # fmt: skip
    for name in _blocks.CORES:
        kinds += [(f"{name}-blocks", "scan", _blocks.scan, False)]
        kinds += [(f"{name}-blocks", "scan, bfloat16", _blocks.scan, True)]
    runs = []
    for cell, how, scan, half in kinds:
        model = made(cell)
        runs.append(
            (cell, how, scan, half, model, torch.optim.Adam(model.parameters(), fused=half))
        )
    taken: list[list[float]] = [[] for _ in runs]
    usual = _blocks.scan
    try:
        for _ in range(rounds):
            for times, (_, _, scan, half, model, optimizer) in zip(taken, runs, strict=True):
                _blocks.scan = scan
                began = time.process_time()
                with torch.autocast("cpu", torch.bfloat16, enabled=half):
                    logits, _ = model(x)
                loss = fn.cross_entropy(logits.float().flatten(0, 1), x.flatten())
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                times.append(time.process_time() - began)
    finally:
        _blocks.scan = usual
    return [
        (cell, how, _models.count(model), x.numel() / statistics.median(times))
        for times, (cell, how, _, _, model, _) in zip(taken, runs, strict=True)
    ]


def draw(rows: list[tuple[Any, ...]], path: object) -> None:
    """Draw the rates as bars; needs matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.add_subplot()
    names = [f"{model}, {how}" for model, how, *_ in rows]
    axes.barh(names, [row[3] for row in rows], color="#0072B2")
    axes.invert_yaxis()
    axes.tick_params(labelsize=8)
    axes.set_xlabel("characters a second of processor time")
    figure.savefig(path, dpi=110)


def main(argv: list[str] | None = None) -> int:
    """Write the numbers, and the picture if matplotlib is there."""
    chosen = _results.options(__doc__, argv)
    torch.set_num_threads(1)
    rows = data(chosen.size)
    _results.show(rows, COLUMNS)
    target = _results.write(rows, COLUMNS, chosen.out, "paper_scan_speed", argv)
    _results.picture(draw, rows, target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
