r"""Size of the gradient of a loss in the state j steps before, in trained networks.

Theorem behind it: in a stable network |d loss_t / d h_{t-j}| <= L_p lam**j.

What the eye should see: on music and texts gradients vanish with the lag in unstable networks as
well as in stable ones, in most of the unstable ones more slowly; the straight line is lam**j for
the stable tanh networks.

Run   python examples/paper_gradient_lag.py --task jsb --size small --data DIR
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import _results
import _training
import numpy as np
import torch

COLUMNS = ("task", "cell", "variant", "seed", "lag", "mean", "q90", "relative", "bound", "samples")

#: Most inputs before the first state that is looked at.
WARM = 60


def data(options: argparse.Namespace) -> list[tuple[object, ...]]:
    """Return rows of `COLUMNS`; the bound is lam**lag relative to lag 0, for stable networks."""
    lags, count = (40, 256) if options.size != "smoke" else (5, 16)
    rows: list[tuple[object, ...]] = []
    for label, t in _training.studies(options):
        sizes = gradients(t, lags, count)
        mean = sizes.mean(1)
        for lag in range(len(mean)):
            bound = t.setting.rate**lag if label[1:3] == ("rnn", "stable") else ""
            rows.append((
                *label, lag, float(mean[lag]), float(np.quantile(sizes[lag], 0.9)),
                float(mean[lag] / mean[0]), bound, sizes.shape[1],
            ))  # fmt: skip
    return rows


def gradients(t: _training.Trained, lags: int, count: int) -> np.ndarray:
    """Return |d loss_t / d state_{t-j}| for j = 0, ..., lags at times spread over the test split.

    The state of an LSTM is (h, c); the loss is that of one prediction.  (lags + 1, times).  Where
    sequences are short there are fewer lags: as many as half of the times asked for have.
    """
    pairs = [p for p in t.corpus.splits["test"] if len(p[1]) > 2]
    ends = [(i, s) for i, (_, y) in enumerate(pairs) for s in range(1, len(y))]
    places = sorted((s for _, s in ends), reverse=True)
    lags = min(lags, places[min(count // 2, len(places)) - 1])
    long = [e for e in ends if e[1] >= lags]
    chosen = [long[i] for i in np.linspace(0, len(long) - 1, min(count, len(long))).astype(int)]
    # the first state that is looked at comes from rest so many inputs earlier: enough for its size,
    # and all of it in short sequences
    groups: dict[int, list[tuple[int, int]]] = {}
    for i, s in chosen:
        groups.setdefault(min(WARM, s - lags), []).append((i, s))
    found = [_together(t, pairs, group, lags, before) for before, group in groups.items()]
    return np.concatenate(found, axis=1)


def _together(
    t: _training.Trained, pairs: list, chosen: list[tuple[int, int]], lags: int, before: int
) -> np.ndarray:
    """Return the sizes at times that have the same number of inputs before the first state."""
    x = np.stack([pairs[i][0][s - lags - before : s + 1] for i, s in chosen])
    y = torch.from_numpy(np.stack([pairs[i][1][s] for i, s in chosen])).to(t.device)
    terms = t.model.terms(torch.from_numpy(x).to(t.device)).detach()
    state = t.model.rest(len(chosen))
    states = []
    for j in range(terms.shape[1]):
        state = t.model.step(state, terms[:, j])
        if j >= before:
            if j == before:
                state = tuple(part.detach().requires_grad_() for part in state)
            states.append(state)
    loss = _training.losses(t.corpus.kind, t.model.head(state[0])[:, None], y[:, None]).sum()
    flat = [part for one in states for part in one]
    found = torch.autograd.grad(loss, flat, allow_unused=True)
    width = len(state)
    sizes = []
    for j in range(len(states)):
        parts = [g for g in found[j * width : (j + 1) * width] if g is not None]
        sizes.append(torch.cat(parts, 1).norm(dim=1).cpu().numpy())
    return np.array(sizes[::-1])


def draw(rows: list[tuple[object, ...]], path: Path) -> None:
    """Draw the picture; needs matplotlib."""
    figure, found = _results.panels(rows, 0, 1, sharey=True)
    for axes, _, own in found:
        for (variant,), (lag, mean, _) in _training.curves(own, 4, 7, 2).items():
            axes.semilogy(lag, mean, label=variant, **_results.style(variant, marker=""))
        for (variant,), (lag, mean, _) in _training.curves(own, 4, 8, 2).items():
            look = _results.style(variant, marker="", ls=":")
            axes.semilogy(lag, mean, label=f"lam**lag, {variant}", **look)
        axes.set_xlabel("lag")
        axes.set_ylabel("mean gradient, relative to lag 0")
    _results.finish(figure, path)


def main(argv: list[str] | None = None) -> int:
    """Write the numbers, and the picture if matplotlib is there."""
    return _training.report(
        argv, doc=__doc__, name="paper_gradient_lag", columns=COLUMNS, data=data, draw=draw
    )


if __name__ == "__main__":
    sys.exit(main())
