r"""Table 1: test metric of recurrent networks, unstable, stable and sharp-stable, on every task.

Theorems behind the variants: `contractive_of_matrix_norm` (stable tanh networks: singular values
clipped), `contractive_of_gate_norms` (stable LSTMs), `contractive_of_gru_norms` (stable GRUs, with
--cells gru), `contractive_of_incremental_lmi` (sharp-stable tanh networks),
`contractive_of_comparison` (sharp-stable LSTMs).

What the eye should see: on music stable networks are as good as unstable ones, or better; on
characters they cost much, and the larger sets cost less where the smaller ones cost something.
Beside the measured values stand those of models of the last few inputs, and the published ones
*as reconstructed* (the pattern is known with medium, the digits with low confidence), with the data
set that they are about; where data or size differ they are marked "not comparable".  Metrics are of
the whole test split, a text read as 32 pieces side by side, each from zero.

Run   python examples/table_stable_vs_unstable.py --task jsb --size small --data DIR
"""

from __future__ import annotations

import argparse
import sys

import _results
import _training
import corpora
import numpy as np

COLUMNS = (
    "task", "cell", "variant", "metric", "mean", "spread", "seeds", "better_than_unstable",
    "published", "essay", "published_for", "confidence", "comparable", "parameters", "epochs",
    "seconds", "converged", "difference", "low", "high",
)  # fmt: skip

#: Published values (unstable, stable) as reconstructed, and those of the essay, by task and cell.
PAPER = {
    ("jsb", "rnn"): (8.9, 8.9), ("jsb", "lstm"): (8.5, 8.5),
    ("atis", "rnn"): (94.7, 94.7), ("atis", "lstm"): (95.1, 94.6),
    ("wikitext2", "rnn"): (146.7, 143.5), ("wikitext2", "lstm"): (95.7, 113.2),
    ("ptb", "rnn"): (1.8, 1.9), ("ptb", "lstm"): (1.4, 1.9),
}  # fmt: skip
ESSAY = {("wikitext2", "rnn"): (146.7, 143.5), ("wikitext2", "lstm"): (92.3, 95.1)}

#: How well the digits of the paper, and those of the essay, are known.
CONFIDENCE = ("paper: low, digits as reconstructed", "essay: as quoted, not compared with its text")

#: The data set of the paper that ours stands in for.
STANDS_FOR = {
    "snips": "atis", "wiki-sample": "wikitext2", "war-and-peace": "ptb", "shakespeare": "ptb",
    "music21": "jsb",
}  # fmt: skip


#: The control of an unconstrained network: is it the set that helps, or any regularisation?
CONTROL = "unstable, weight decay"

#: Weight decays that are tried; the one that is best on the validation split is taken.
DECAYS = (1e-4, 3e-4, 1e-3)


def decayed(options: argparse.Namespace, t: _training.Trained) -> _training.Trained:
    """Return the same network with the weight decay that is best on the validation split."""
    tried = [
        _training.study(
            options, t.setting.task, t.setting.cell, seed=t.setting.seed, weight_decay=strength
        )
        for strength in (DECAYS if options.size != "smoke" else DECAYS[:1])
    ]
    # the best metric of an epoch is what training chose by
    return min(tried, key=lambda one: one.best)


def beside(task: str, cell: str, variant: str, size: str) -> tuple[object, object, str, str, str]:
    """Return the published value, the essay's, for which data, how sure, and if comparable."""
    there = STANDS_FOR.get(task, task)
    at = 0 if variant == "unstable" else 1
    values = tuple(
        ""
        if variant in ("sharp-stable", CONTROL) or (there, cell) not in table
        else table[there, cell][at]
        for table in (PAPER, ESSAY)
    )
    if values == ("", ""):
        return *values, "", "", ""
    known = [text for text, value in zip(CONFIDENCE, values, strict=True) if value != ""]
    whole = _training.PRESETS[size][corpora.KINDS[task]]
    if there != task:
        comparable = "not comparable: other data"
    elif "limit" in whole or "vocabulary" in whole:
        comparable = "not comparable: part of the data"
    else:
        comparable = "same data"
    return *values, there, "; ".join(known), comparable


#: Samples of the bootstrap, and the part of them that an interval holds.
SAMPLES, LEVEL = 2000, 0.95


def paired(
    ours: list[_training.Trained], theirs: list[_training.Trained]
) -> tuple[object, object, object]:
    """Return by how much the metric differs, ours - theirs, and an interval of it.

    Sequences of the test split are drawn again, the same for both and for all seeds; the mean over
    seeds is that of the seeds there are, so the interval does not speak of other ones.
    """
    seeds = {t.setting.seed: t for t in theirs}
    both = [(t, seeds[t.setting.seed]) for t in ours if t.setting.seed in seeds]
    if not both or ours[0] is theirs[0]:
        return "", "", ""
    kind = ours[0].corpus.kind
    parts = [[np.array(t.result["parts"]) for t in pair] for pair in both]

    def difference(chosen: np.ndarray) -> float:
        found = [[_training.metric_of(kind, one[chosen]) for one in pair] for pair in parts]
        return float(np.mean([a - b for a, b in found]))

    count = len(parts[0][0])
    rng = np.random.default_rng(0)
    drawn = [difference(rng.integers(count, size=count)) for _ in range(SAMPLES)]
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return difference(np.arange(count)), float(low), float(high)


def data(options: argparse.Namespace) -> list[tuple[object, ...]]:
    """Return rows of `COLUMNS`: every task, cell and variant, then the baselines."""
    groups: dict[tuple[str, str, str], list[_training.Trained]] = {}
    for (task, cell, variant, _), t in _training.studies(options):
        groups.setdefault((task, cell, variant), []).append(t)
        if variant == "unstable" and options.weight_decay is None:
            groups.setdefault((task, cell, CONTROL), []).append(decayed(options, t))
    rows: list[tuple[object, ...]] = []
    unstable: dict[tuple[str, str], float] = {}
    for (task, cell, variant), found in groups.items():
        values = np.array([t.result["metric"] for t in found])
        mean = float(values.mean())
        if variant == "unstable":
            unstable[task, cell] = mean
        better: object = ""
        if (task, cell) in unstable:
            kind = found[0].corpus.kind
            better = 0.0 - _training.relative_excess(kind, mean, unstable[task, cell])
        rows.append((
            task, cell, variant, found[0].corpus.metric, mean,
            float(values.std(ddof=1)) if len(values) > 1 else 0.0, len(values), better,
            *beside(task, cell, variant, options.size), found[0].result["parameters"],
            *(float(np.mean([t.result[name] for t in found])) for name in ("epochs", "seconds")),
            sum(bool(t.result["converged"]) for t in found),
            *paired(found, groups.get((task, cell, "unstable"), [])),
        ))  # fmt: skip
    for task in options.task:
        corpus = next(found[0].corpus for name, found in groups.items() if name[0] == task)
        for name, value in corpora.baselines(corpus).items():
            rows.append((task, "none", name, corpus.metric, value, 0.0, 0, *[""] * 13))
    return rows


def draw(rows: list[tuple[object, ...]], path: object) -> None:
    """Draw the means with their spread; needs matplotlib."""
    figure, found = _results.panels(rows, 0)
    for axes, _, own in found:
        bars = [row for row in own if row[1] != "none"]
        cells = list(dict.fromkeys(row[1] for row in bars))
        variants = list(dict.fromkeys(row[2] for row in bars))
        for row in bars:
            x = cells.index(row[1]) + 0.15 * (variants.index(row[2]) - (len(variants) - 1) / 2)
            look = _results.style(row[2], ls="none", ms=6)
            axes.errorbar(x, row[4], row[5], capsize=4, label=row[2], **look)
        axes.set_xticks(range(len(cells)), cells)
        axes.set_xlim(-0.5, len(cells) - 0.5)
        axes.set_ylabel(str(own[0][3]))
        # the axis shows the networks; baselines outside of it are told
        low, high = axes.get_ylim()
        for row in (row for row in own if row[1] == "none"):
            if low <= row[4] <= high:
                axes.axhline(row[4], color="0.4", lw=1, ls=":")
                axes.annotate(row[2], (0.02, row[4]), xycoords=("axes fraction", "data"),
                              fontsize=8, va="bottom")  # fmt: skip
        axes.set_ylim(low, high)
    _results.finish(figure, path)


def main(argv: list[str] | None = None) -> int:
    """Train what is missing, and write the table."""

    def printed(options: argparse.Namespace) -> list[tuple[object, ...]]:
        rows = data(options)
        left_out = {COLUMNS.index(name) for name in ("confidence", "epochs", "seconds")}
        shown = [i for i in range(len(COLUMNS)) if i not in left_out]
        _results.show([[row[i] for i in shown] for row in rows], [COLUMNS[i] for i in shown])
        return rows

    return _training.report(
        argv, doc=__doc__, name="table_stable_vs_unstable", columns=COLUMNS, data=printed,
        draw=draw, more=("gru",),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
