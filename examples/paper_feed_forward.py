r"""Feed-forward networks in place of recurrent ones: one row for each system that the essay names.

Recurrent networks with full context; their k-step counterparts without retraining; the same cell
trained as a k-gram model; a gated convolution; dilated causal convolutions; causal attention over
the last k inputs.  All but the tanh RNN have about as many parameters as the LSTM.  Throughput is
measured here, on one thread: training on whole sequences, inference on whole sequences (in parallel
over time where the network allows it) and one input at a time.

What the eye should see: with k of four or eight inputs the feed-forward networks reach the metric
of unstable recurrent ones.

Run   python examples/paper_feed_forward.py --task jsb --size small --data DIR
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import _models
import _results
import _training
import numpy as np
import torch

COLUMNS = (
    "task", "system", "run_as", "k", "metric", "mean", "spread", "seeds", "parameters",
    "train_per_s", "parallel_per_s", "sequential_per_s", "note",
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
    lengths = LENGTHS if options.size != "smoke" else LENGTHS[:2]
    cases = [(s, cell, k) for s, cell, given in TRAINED for k in (lengths if given else [None])]
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
        for system, cell, k in cases:
            found = [_training.study(options, task, cell, k=k, seed=seed) for seed in options.seeds]
            optimizer = found[0].setting.optimizer
            values = [t.result["metric"] for t in found]
            run_as = f"{cell}, full context" if k is None else f"{cell}, trained with k"
            rows.append(row(task, system, run_as, k, found, values, f"optimizer: {optimizer}"))
            if k is None:
                for length in lengths:
                    values = [
                        _training.by_length(t, [length], options.runs)[length]["metric"]
                        for t in found
                    ]
                    run_as = f"{cell}, k-step counterpart, not retrained"
                    system_k = f"autoregressive k-step model of the {cell}"
                    rows.append(row(task, system_k, run_as, length, found, values, ""))
        rows += [(task, s, "only cited", *[""] * 9, note) for s, note in CITED]
    return rows


def row(
    task: str, system: str, run_as: str, k: int | None, found: list[_training.Trained],
    values: list[float], note: str,
) -> tuple[object, ...]:  # fmt: skip
    """Return one row, with throughput of the first network."""
    model = found[0].model
    if k is not None and isinstance(model, _models.Recurrent):
        model = _models.Windowed(model, k)
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    speeds = throughput(model, found[0])
    return (
        task, system, run_as, k or "", found[0].corpus.metric, float(np.mean(values)), spread,
        len(values), _models.count(model), *speeds, note,
    )  # fmt: skip


def throughput(model: torch.nn.Module, t: _training.Trained) -> tuple[float, float, float]:
    """Return predictions a second: training, inference on whole sequences, one at a time."""
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

    return tuple(best(work) for work in (train, whole, single))


def best(work, times: int = 5) -> float:
    """Return predictions a second of the fastest of a few repetitions, after one to warm up."""
    work()
    fastest = 0.0
    for _ in range(times):
        began = time.perf_counter()
        count = work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        fastest = max(fastest, count / (time.perf_counter() - began))
    return fastest


def draw(rows: list[tuple[object, ...]], path: Path) -> None:
    """Draw the metric against k; needs matplotlib."""
    figure, found = _results.panels([row for row in rows if row[5] != ""], 0, size=(5.5, 4.0))
    for axes, _, own in found:
        for j, row in enumerate(row for row in own if row[3] == ""):
            axes.axhline(row[5], color=f"C{j}", ls=":", label=row[2])
        for (name,), (k, mean, _) in _training.curves(
            [row for row in own if row[3] != ""], 3, 5, 2
        ).items():
            axes.semilogx(k, mean, "o-", ms=3, label=name)
        axes.set_xlabel("inputs seen, k")
        axes.set_ylabel(str(own[0][4]))
        axes.legend(fontsize=6)
    figure.savefig(path, dpi=90)


def main(argv: list[str] | None = None) -> int:
    """Train what is missing, and write the table."""
    return _training.report(
        argv, doc=__doc__, name="paper_feed_forward", columns=COLUMNS, data=data, draw=draw
    )


if __name__ == "__main__":
    sys.exit(main())
