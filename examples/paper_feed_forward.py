r"""Feed-forward networks in place of recurrent ones: one row for each system that the essay names.

Recurrent networks with full context; their k-step counterparts without retraining; the same cell
trained as a k-gram model; a gated convolution; dilated causal convolutions; causal attention over
the last k inputs.  All but the tanh RNN have about as many parameters as the LSTM.  Throughput is
measured here, on as many threads as --threads says: training on whole sequences, inference on whole
sequences (in parallel over time where the network allows it) and one input at a time.  Each is the
median over repetitions, with quartiles; all systems of a task take turns, so that one repetition of
all of them was measured under about the same load.

What the eye should see: with k of four or eight inputs most feed-forward networks are within one
percent of the unstable LSTM's metric, and dilated convolutions with k = 4 reach it.

Run   python examples/paper_feed_forward.py --task jsb --size small --data DIR
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import _models
import _results
import _training
import numpy as np
import torch
from _training import FIRST

COLUMNS = (
    "task", "system", "run_as", "k", "metric", "mean", "spread", "seeds", "parameters",
    "train_per_s", "train_q1", "train_q3", "parallel_per_s", "parallel_q1", "parallel_q3",
    "sequential_per_s", "sequential_q1", "sequential_q3", "repeats", "note",
)  # fmt: skip
LENGTHS = (4, 8)

#: What the essay names and how it is run here; cell, variant, whether it is trained with k.
TRAINED = (
    ("recurrent network (tanh)", "rnn", False),
    ("LSTM", "lstm", False),
    ("LSTM n-gram", "lstm", True),
    ("gated convolution (language models)", "gated-conv", True),
    ("WaveNet, TCN (dilated convolution)", "tcn", True),
    ("Transformer-type attention", "transformer", True),
)
CITED = (
    ("WaveNet for raw audio", "van den Oord et al. 2016: no audio data here"),
    ("convolutional sequence to sequence", "Gehring et al. 2017: no translation data here"),
    ("Transformer for translation", "Vaswani et al. 2017: no translation data here"),
    ("LSTM n-gram on One Billion Words", "Chelba, Norouzi, Bengio 2017: other data"),
)


def data(options: argparse.Namespace) -> list[tuple[object, ...]]:
    """Return rows of `COLUMNS`."""
    repeats = 15 if options.size != "smoke" else 3
    absent = set(_models.CELLS) - set(options.cells)
    cases = [
        (s, cell, k)
        for s, cell, given in TRAINED
        if cell not in absent
        for k in (LENGTHS if given else [None])
    ]
    _training.train_all(
        options,
        [
            _training.setting_of(options, task, cell, k=k, seed=seed)
            for task in options.task
            for _, cell, k in cases
            for seed in options.seeds
        ],
    )
    rows: list[tuple[object, ...]] = []
    for task in options.task:
        systems = []
        for system, cell, k in cases:
            found = [_training.study(options, task, cell, k=k, seed=seed) for seed in options.seeds]
            model, values = found[0].model, [t.result["metric"] for t in found]
            run_as = f"{cell}, full context" if k is None else f"{cell}, trained with k"
            note = f"optimizer: {found[0].setting.optimizer}"
            systems.append((found[0], model, (system, run_as, k or ""), values, note))
            for length in LENGTHS if k is None else ():
                values = [
                    _training.by_length(t, [length], options.runs)[length]["metric"] for t in found
                ]
                names = (
                    f"autoregressive k-step model of the {cell}",
                    f"{cell}, k-step counterpart, not retrained",
                    length,
                )
                count = found[0].corpus.count("test")
                note = f"metric over the first {FIRST} of {count} predictions"
                systems.append((
                    found[0], _models.Windowed(model, length), names, values,
                    note if count > FIRST else "",
                ))  # fmt: skip
        speeds = taken_in_turns([works(model, t) for t, model, *_ in systems], repeats)
        for (t, model, names, values, note), speed in zip(systems, speeds, strict=True):
            spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
            rows.append((
                task, *names, t.corpus.metric, float(np.mean(values)), spread, len(values),
                _models.count(model), *speed, repeats, note,
            ))  # fmt: skip
        rows += [(task, s, "only cited", *[""] * 16, note) for s, note in CITED]
    return rows


def works(model: torch.nn.Module, t: _training.Trained) -> tuple[Callable[[], int], ...]:
    """Return what is timed: training, inference on whole sequences, one input at a time.

    Each returns how many predictions it made.
    """
    pairs = t.corpus.splits["train"]
    x, y, weight = max(
        _training.batches(pairs[:64], t.setting.batch), key=lambda batch: batch[0].shape[1]
    )
    x, y, weight = (a[:, :64].to(t.device) for a in (x, y, weight))

    def train() -> int:
        model.zero_grad()
        (_training.losses(t.corpus.kind, model(x)[0], y) * weight).sum().backward()
        return y.shape[0] * y.shape[1]

    def whole() -> int:
        with torch.no_grad():
            model(x)
        return y.shape[0] * y.shape[1]

    def single() -> int:
        with torch.no_grad():
            state = None
            for s in range(x.shape[1]):
                _, state = model(x[:1, s : s + 1], state)
        return int(x.shape[1])

    return train, whole, single


def taken_in_turns(
    systems: Sequence[Sequence[Callable[[], int]]], repeats: int
) -> list[list[float]]:
    """Return predictions a second of all works of every system: median and quartiles of each."""
    found = np.zeros((repeats + 1, len(systems), len(systems[0])))
    for one in found:  # the first is to warm up
        for i, system in enumerate(systems):
            for j, work in enumerate(system):
                began = time.perf_counter()
                count = work()
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                one[i, j] = count / (time.perf_counter() - began)
    quantiles = np.quantile(found[1:], (0.5, 0.25, 0.75), axis=0)  # (3, systems, works)
    return [part.T.ravel().tolist() for part in quantiles.transpose(1, 0, 2)]


def draw(rows: list[tuple[object, ...]], path: Path) -> None:
    """Draw the metric against k; needs matplotlib."""
    figure, found = _results.panels([row for row in rows if row[5] != ""], 0, size=(5.5, 4.0))
    for axes, _, own in found:
        for j, row in enumerate(row for row in own if row[3] == ""):
            axes.axhline(row[5], color="k", ls=_results.DASHES[j + 2], label=row[2])
        seen = [row for row in own if row[3] != ""]
        lengths = sorted({row[3] for row in seen})
        for j, name in enumerate(dict.fromkeys(row[2] for row in seen)):
            mine = [row for row in seen if row[2] == name]
            # side by side, so that equal values are told apart
            x = [lengths.index(row[3]) + 0.08 * (j - 2) for row in mine]
            axes.errorbar(
                x, [row[5] for row in mine], [row[6] for row in mine], ls="none", ms=5,
                marker=_results.MARKERS[j % 8], color=_results.LINES[j % 7], capsize=3, label=name,
            )  # fmt: skip
        axes.set_xticks(range(len(lengths)), [str(k) for k in lengths])
        axes.set_xlabel("inputs seen, k")
        axes.set_ylabel(str(own[0][4]))
    _results.finish(figure, path)


def main(argv: list[str] | None = None) -> int:
    """Train what is missing, and write the table."""
    return _training.report(
        argv, doc=__doc__, name="paper_feed_forward", columns=COLUMNS, data=data, draw=draw,
        variants=("unstable",),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
