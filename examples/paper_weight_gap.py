r"""Distance of the weights of a recurrent network and of its truncated twin, during training.

Theorem behind it: projected gradient descent on the recurrent loss and on that of the k-step
counterpart, from the same start and over the same batches, stays together when the network is
stable and the step sizes fall like 1/t.

What the eye should see: the distance of the stable pairs falls geometrically with k; that of pairs
which start from unstable weights and are not projected hardly does.  The theorem needs step sizes
that fall like 1/t; over these few steps constant ones do no harm to the stable pairs.

Run   python examples/paper_weight_gap.py --task jsb --size small --data DIR
"""

from __future__ import annotations

import argparse
import copy
import sys
from pathlib import Path

import _models
import _results
import _stability
import _training
import numpy as np
import torch

COLUMNS = ("task", "variant", "step_size", "seed", "k", "step", "distance")
LENGTHS = (1, 2, 5, 10, 20)

#: Spectral norm of the recurrent weights at the start of the unstable pairs.
WILD = 2.0


def data(options: argparse.Namespace) -> list[tuple[object, ...]]:
    """Return rows of `COLUMNS`."""
    steps, lengths = (120, LENGTHS) if options.size != "smoke" else (4, LENGTHS[:2])
    return [
        row
        for task in options.task
        for variant in options.variants
        for step_size in ("like 1/t", "constant")
        for seed in options.seeds
        for row in twins(options, task, variant, step_size, seed, steps, lengths)
    ]


def twins(
    options: argparse.Namespace,
    task: str,
    variant: str,
    step_size: str,
    seed: int,
    steps: int,
    lengths: tuple[int, ...],
) -> list[tuple[object, ...]]:
    """Train a recurrent network and its k-step twins side by side."""
    setting = _training.setting_of(
        options, task, "rnn", variant=variant, seed=seed, hidden=32, clip=5.0, bptt=60
    )
    corpus = _training.corpus_of(task, setting.limit, setting.vocabulary, options.data)
    start = _training.network(setting, corpus)
    if variant == "unstable":
        with torch.no_grad():
            W = start.cell.weight_hh_l0
            W.mul_(WILD / torch.linalg.matrix_norm(W, 2))
    models = [copy.deepcopy(start).to(options.device) for _ in range(1 + len(lengths))]
    forwards = [models[0]] + [
        _models.Windowed(m, k) for m, k in zip(models[1:], lengths, strict=True)
    ]
    moves = [_stability.constraint(m, setting) for m in models]
    for move in moves:
        move(final=True)
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.0) for m in models]
    rows: list[tuple[object, ...]] = []
    for t, (x, y, weight) in enumerate(_endless(corpus, setting, steps), start=1):
        x, y, weight = (a[:, : setting.bptt].to(options.device) for a in (x, y, weight))
        for forward, model, optimizer, move in zip(
            forwards, models, optimizers, moves, strict=True
        ):
            optimizer.param_groups[0]["lr"] = 0.5 / t if step_size == "like 1/t" else 0.05
            lost = (_training.losses(corpus.kind, forward(x)[0], y) * weight).sum()
            optimizer.zero_grad()
            (lost / weight.sum().clamp(min=1.0)).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), setting.clip)
            optimizer.step()
            move()
        if t == 1 or t % max(steps // 20, 1) == 0:
            for k, model in zip(lengths, models[1:], strict=True):
                rows.append((task, variant, step_size, seed, k, t, distance(models[0], model)))
    return rows


def _endless(corpus: _training.Corpus, setting: _training.Setting, steps: int):
    """Yield as many batches as there are steps."""
    epoch = 0
    while True:
        rng = np.random.default_rng([setting.seed, epoch])
        for batch in _training.batches(corpus.splits["train"], setting.batch, rng):
            if steps == 0:
                return
            steps -= 1
            yield batch
        epoch += 1


def distance(a: torch.nn.Module, b: torch.nn.Module) -> float:
    """Return the Euclidean distance of all parameters."""
    pairs = zip(a.parameters(), b.parameters(), strict=True)
    parts = [(p.detach().double() - q.detach().double()).norm() for p, q in pairs]
    return float(torch.stack(parts).norm())


def draw(rows: list[tuple[object, ...]], path: Path) -> None:
    """Draw the picture; needs matplotlib."""
    figure, found = _results.panels(rows, 0, 1, 2, sharey=True)
    for axes, _, own in found:
        for j, ((k,), (step, mean, _)) in enumerate(_training.curves(own, 5, 6, 4).items()):
            axes.semilogy(
                step, mean, color=_results.LINES[j], ls=_results.DASHES[j % 4], label=f"k = {k}"
            )
        axes.set_xlabel("step")
        axes.set_ylabel("distance of the weights")
    _results.finish(figure, path)


def main(argv: list[str] | None = None) -> int:
    """Write the numbers, and the picture if matplotlib is there."""
    return _training.report(
        argv, doc=__doc__, name="paper_weight_gap", columns=COLUMNS, data=data, draw=draw,
        variants=("unstable", "stable"), cells=("rnn",),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
