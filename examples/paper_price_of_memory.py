r"""The price of certified memory: how good a model is, against the context proved sufficient.

Theorem shown: `context_length` (LSTM, RNN), and its form for stacks, by rates and gains of blocks.

Recurrences that are stable by construction (MinGRU, LRU, RG-LRU, a selective layer as in Mamba, the
gated delta rule), bare and as two blocks of norm, recurrence and gated units, beside RNN, LSTM and
GRU, unconstrained and kept in the sharp stable set.  All have about as many parameters and are
trained by Adam with weight decay apart from it (AdamW), the step size falling along half a cosine
to 1/64, with one mask of dropout a window; the epoch is that of the least loss on the validation
split, and outputs are multiplied by the number that is best there: all networks are too sure of
themselves.

A context k is *enough* here if no prediction's loss changes by more than 0.1 nats when the model
starts from zero k inputs back.  Columns: `certified`, the k proved for every sequence over the
alphabet; `along`, the k proved at places of the test text for any past (the largest, out of a few
lengths, with --along); `measured`, the k that is enough everywhere in a piece of 100 tokens, drawn
at random from the test text (of music in one of its sequences), with probability 95 %, and
confidence 90 %; `within`, the least k from which on the metric is within 1 % of that with full
context; `refuted`, whether a Jacobian over the alphabet proves that no norm contracts a step.

What the eye should see: the lowest networks with a certificate at rate 0.98 are at or below the
best that have none, and far below all models of the last few inputs.

Run   python examples/paper_price_of_memory.py --task war-and-peace --data DIR
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _models
import _results
import _stability
import _training
import corpora
import numpy as np

import theory
from theory.arithmetic.intervals import affine_image, product_matrix_up
from theory.arithmetic.sums import sums_up
from theory.measure.effective_memory import sequences_needed
from theory.memory import required_context, tube_gaps

COLUMNS = (
    "task", "model", "variant", "rate", "seed", "metric", "valid", "parameters", "epochs",
    "seconds", "certified", "along", "places", "measured",
    "within", "refuted",
)  # fmt: skip

#: The loss of no prediction may change by more, in nats.
TOLERANCE = 0.1

#: Changes of presets; all networks have about as many parameters as an LSTM of so many units.
COMMON = {
    "optimizer": "adamw", "weight_decay": 0.1, "dropout": 0.05, "anneal": True, "calibrate": True,
}  # fmt: skip
CHANGES: dict[str, dict[str, Any]] = {
    "smoke": COMMON | {"lr": 1e-2, "table": 4},
    "small": COMMON | {
        "hidden": 164, "batch": 16, "bptt": 64, "half": True, "epochs": 20, "lr": 6e-3,
        "patience": 3, "table": 32,
    },
}  # fmt: skip
CHANGES["paper"] = CHANGES["small"] | {"hidden": 600}

#: And of kinds of tasks, at every size but smoke; the others are for characters.
KINDS: dict[str, dict[str, Any]] = {
    "music": {"hidden": 64, "bptt": 35, "epochs": 100, "dropout": 0.2, "table": 0},
    "words": {"hidden": 64, "table": 64, "dropout": 0.3},
}  # fmt: skip


def _twice(**changes: Any) -> tuple[dict[str, Any], ...]:
    """Return a schedule of 20 epochs and one of 40."""
    return tuple(changes | {"epochs": epochs} for epochs in (20, 40))


#: And of cells, of all tasks or of one, schedule by schedule.
OWN: dict[tuple[str, ...], tuple[dict[str, Any], ...]] = {
    ("lstm",): _twice(lr=1e-2, dropout=0.1, weight_decay=0.03),
    ("shakespeare", "lstm"): _twice(lr=1e-2, dropout=0.1, weight_decay=0.1),
    ("jsb", "lstm"): ({"lr": 1e-2, "dropout": 0.1},),
    ("wiki-sample", "lstm"): ({"lr": 1e-2},),
    ("mingru-blocks",): _twice(),
    ("shakespeare", "mingru-blocks"): _twice(weight_decay=0.2),
    ("jsb", "mingru-blocks"): ({},),
    ("wiki-sample", "mingru-blocks"): ({},),
    ("rnn",): ({"lr": 2e-3},),
}
# GRUs as LSTMs
OWN |= {(*key[:-1], "gru"): own for key, own in OWN.items() if key[-1] == "lstm"}

#: Changes of what is kept in the sharp set: rows of few entries bear, and need, larger steps.
SHARP = {"gru": {"lr": 2e-2}}

#: The largest bound of a forget gate of LSTMs in the Euclidean set, or of an update gate of GRUs.
FORGET = {"forget": 0.96}

#: Rates of networks that are stable by construction; all but the first with the first seed only.
RATES = (0.98, 0.9)

#: Places of the test text, and the lengths that are tried before each of them; asked with --along
#: of the first seed, and where there is a certificate over the alphabet: it takes minutes.
PLACES = 2
TRIED = (25, 50, 75, 100, 150, 200, 250, 300, 400, 500)

#: Pieces of the test text for the measured memory, and their length.
PIECES, LENGTH = 60, 100

NOT_ASKED = "not asked"
LENGTHS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50)


def settings(options: argparse.Namespace) -> Iterator[_training.Setting]:
    """Yield the settings of the networks that are asked for."""
    for task in options.task:
        for cell in options.cells:
            built = cell in _models.BUILT
            for variant in options.variants:
                if built != (variant == _training.BUILT):
                    continue
                if variant == _training.EUCLIDEAN and cell not in {"lstm", "gru"}:
                    continue
                for changes in _schedules(options.size, task, cell, variant):
                    yield from _seeds(options, task, cell, variant, changes)


def _schedules(size: str, task: str, cell: str, variant: str) -> list[dict[str, Any]]:
    """Return the changes of presets, schedule by schedule; of constrained cells the first."""
    own: tuple[dict[str, Any], ...] = ({},)
    if size != "smoke":
        kind = KINDS.get(corpora.KINDS[task], {})
        own = tuple(kind | one for one in OWN.get((task, cell), OWN.get((cell,), ({},))))
        if variant == "sharp-stable":
            own = tuple(one | SHARP.get(cell, {}) for one in own)
    if variant not in {"unstable", _training.BUILT}:
        own = own[:1]
    of_all = CHANGES[size] | (FORGET if variant == _training.EUCLIDEAN else {})
    return [of_all | one for one in own]


def _seeds(
    options: argparse.Namespace, task: str, cell: str, variant: str, changes: dict[str, Any]
) -> Iterator[_training.Setting]:
    rates = RATES if cell == "mingru-blocks" else RATES[:1]
    rates = rates if options.rate is None else (options.rate,)
    if variant == "unstable":  # it has none; the default is part of the names of runs
        rates = (_training.Setting.rate,)
    for rate in rates:
        for seed in options.seeds if rate == rates[0] else options.seeds[:1]:
            yield _training.setting_of(
                options, task, cell, variant=variant, seed=seed, **{"rate": rate} | changes
            )


def data(options: argparse.Namespace) -> list[tuple[object, ...]]:
    """Return rows of `COLUMNS`, and one for every baseline."""
    wanted = list(settings(options))
    if options.finished:
        wanted = [s for s in wanted if (options.runs / f"{s.name}.json").is_file()]
    _training.train_all(options, wanted)
    rows: list[tuple[object, ...]] = []
    known: dict[str, corpora.Corpus] = {}
    for setting in wanted:
        t = _training.trained(setting, data=options.data, runs=options.runs, device=options.device)
        known[setting.task] = t.corpus
        rate: object = "" if setting.variant == "unstable" else setting.rate
        along = options.along and setting.seed == options.seeds[0]
        rows.append((
            setting.task, setting.cell, setting.variant, rate, setting.seed, t.result["metric"],
            corpora.as_metric(setting.kind, t.best),
            *(t.result[name] for name in ("parameters", "epochs", "seconds")),
            *answers(t, options.runs, along=along).values(),
        ))  # fmt: skip
    for task, corpus in known.items():
        for name, value in corpora.baselines(corpus).items():
            rows.append((task, name, "none", "", "", value, *[""] * 10))
    return rows


def answers(t: _training.Trained, runs: Path, *, along: bool) -> dict[str, Any]:
    """Return the last six columns of a network; they are kept beside it in the folder of runs."""
    target = runs / f"{t.setting.name}-memory.json"
    if target.is_file():
        found = _training.read_json(target)
        known = dict(found["answers"])
        if found["epochs"] == t.result["epochs"] and not (along and known["along"] == NOT_ASKED):
            return known
    recurrent, head = _stability.to_map(t.model), _stability.head(t)
    alphabet = alphabet_of(t)
    certified = proved(t, recurrent, head, alphabet)
    at: list[object] = ["" if certified == "" else NOT_ASKED]
    if along and certified != "":
        at = proved_along(t, recurrent, head, alphabet)
    found = {
        "certified": certified,
        "along": at[-1],
        "places": "" if at[0] in {"", NOT_ASKED} else len(at),
        "measured": measured(t, recurrent, head),
        "within": within(t, runs),
        "refuted": refuted(t, recurrent, alphabet),
    }
    _training.write_json(target, {"epochs": t.result["epochs"], "answers": found})
    return found


def alphabet_of(t: _training.Trained) -> theory.Inputs:
    """Return all inputs of the recurrences: encoded tokens, or a box of encoded piano rolls."""
    if t.setting.kind != "music":
        return theory.Inputs.any_of(_training.encoded(t, np.arange(t.corpus.inputs)))
    low, high = np.zeros(t.corpus.inputs), np.ones(t.corpus.inputs)
    if t.setting.cell in _models.CELLS:
        return theory.Inputs.box(low, high)
    W, b = (p.detach().cpu().double().numpy() for p in t.model.enter.parameters())
    low, high = affine_image(W, low, high, b)
    # a sum in single precision is off by at most so much, in any order
    room = 2.0**-23 * (W.shape[1] + 1) * sums_up(np.hstack([W, b[:, None]]))
    return theory.Inputs.box(low - room, high + room)


def asked(t: _training.Trained) -> tuple[float, theory.norms.Norm]:
    """Return how far the logits may be off, and in which norm, for `TOLERANCE`.

    A cross-entropy changes by at most twice the largest change of a logit, the Bernoulli losses of
    all keys by at most the sum of the changes.
    """
    if t.setting.kind == "music":
        return TOLERANCE, theory.L1()
    return TOLERANCE / 2, theory.Linf()


def proved(
    t: _training.Trained, recurrent: theory.Map, head: theory.LinearHead, alphabet: theory.Inputs
) -> object:
    """Return the context that is proved enough for every sequence over the alphabet, "" if none."""
    eps, norm = asked(t)
    ask: dict[str, Any] = {"inputs": alphabet, "head": head, "norm": norm}
    kept = _stability.kept_by(t)
    found = [required_context(recurrent, eps, **ask)]
    if kept is not None:
        given = {"of the set": kept}
        found.append(required_context(recurrent, eps, certificates=given, **ask))
    return min((choice.k for choice in found if choice is not None), default="")


def proved_along(
    t: _training.Trained, recurrent: theory.Map, head: theory.LinearHead, alphabet: theory.Inputs
) -> list[object]:
    """Return the contexts that are proved enough at places of the test text, in order."""
    x = t.corpus.splits["test"][0][0]
    lengths = [k for k in TRIED if k <= len(x)] or [len(x)]
    domain = theory.certify.invariant_domain(recurrent, inputs=alphabet)
    C, (eps, norm) = np.abs(head.C), asked(t)

    def enough(end: int, k: int) -> bool:
        # without zonotopes: a step of so many states would take seconds
        gap = tube_gaps(
            recurrent, _training.encoded(t, x[end - k : end]), k=k, domain=domain, columns=0
        )
        return bool(norm.vector_upper(product_matrix_up(C, gap[:, None])[:, 0]) <= eps)

    def least(end: int) -> float:
        """Return the least of the lengths, as if none were enough below one that is not."""
        low, high = 0, len(lengths)
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if enough(end, lengths[middle]) else (middle + 1, high)
        return lengths[low] if low < len(lengths) else math.inf

    ends = np.linspace(lengths[-1], len(x), PLACES).astype(int).tolist()
    return [f">{lengths[-1]}" if k == math.inf else k for k in sorted(map(least, ends))]


def measured(t: _training.Trained, recurrent: theory.Map, head: theory.LinearHead) -> object:
    """Return the measured effective memory on pieces of the test text, drawn independently."""
    sequences = [x for x, _ in t.corpus.splits["test"]]
    if len(sequences) == 1:  # a text
        (x,) = sequences
        length = min(LENGTH, len(x))
        starts = np.random.default_rng(0).integers(0, len(x) - length + 1, PIECES)
        sequences = [x[s : s + length] for s in starts]
    needed = sequences_needed(_stability.PROBABILITY, _stability.CONFIDENCE)
    if len(sequences) < needed:
        return f"not measured: {len(sequences)} sequences, needed {needed}"
    eps, norm = asked(t)
    found = theory.measure.effective_memory(
        recurrent, [_training.encoded(t, x) for x in sequences], eps=eps, head=head, norm=norm,
        probability=_stability.PROBABILITY, confidence=_stability.CONFIDENCE,
    )  # fmt: skip
    if found.k is None:
        return f">{found.longest - 1}"
    return found.k if found.longer_suffice else f"{found.k}: few are longer"


def within(t: _training.Trained, runs: Path) -> object:
    """Return the least length from which on the metric is within 1 % of full context."""
    found = _training.by_length(t, LENGTHS, runs)
    full = found[None]["metric"]
    excess = [_training.relative_excess(t.setting.kind, found[k]["metric"], full) for k in LENGTHS]
    bad = [i for i, e in enumerate(excess) if not e <= 0.01]
    start = bad[-1] + 1 if bad else 0
    return LENGTHS[start] if start < len(LENGTHS) else f">{LENGTHS[-1]}"


def refuted(t: _training.Trained, recurrent: theory.Map, alphabet: theory.Inputs) -> str:
    """Return whether a step is proved not to contract, and how."""
    if t.setting.variant != "unstable":
        return "no"
    x = t.corpus.splits["test"][0][0][:200]
    found = theory.certify.refute(
        recurrent, inputs=alphabet, sequences=_training.encoded(t, x), starts=2, steps=100
    )
    return "not found" if found is None else found.kind


#: How the kinds of models are drawn.
LOOKS = {
    "by-construction": {"color": "#0072B2", "marker": "s"},
    "euclidean": {"color": "#CC79A7", "marker": "v"},
    "sharp-stable": {"color": "#D55E00", "marker": "^"},
    "unstable": {"color": "#000000", "marker": "o"},
    "none": {"color": "#E69F00", "marker": "D"},
}
LABELS = {"none": "last few inputs", "by-construction": "by construction"}
NAMES = {
    "rnn": "RNN", "lstm": "LSTM", "gru": "GRU", "mingru": "minGRU", "lru": "LRU", "rglru": "RG-LRU",
    "selective": "selective", "delta": "delta rule",
}  # fmt: skip


def title(model: str) -> str:
    """Return how a model is called in pictures and on the page."""
    core, _, blocks = model.partition("-")
    return NAMES[core] + (", two blocks" if blocks else "") if core in NAMES else model


def seen(model: str) -> list[int]:
    """Return how many inputs a model of the last few sees, [] if it is none of these."""
    found = re.fullmatch(r"(\d+)-gram.*|linear, (\d+) frames", model)
    if found is None:
        return []
    return [int(found[1]) - 1 if found[1] else int(found[2])]


#: Networks and models whose metric is further above the least of a task are not drawn.
DRAWN = 1.4


def draw(rows: list[tuple[Any, ...]], path: object) -> None:
    """Draw the metric against the certified context, a panel a task; needs matplotlib.

    Of each kind of network the longest schedule; filled squares are two blocks.  Models of the last
    few inputs see these alone.  Labels that would cover others are left out.
    """
    longest: dict[tuple[Any, ...], Any] = {}
    for row in rows:
        longest[row[:4]] = max(longest.get(row[:4], row[8]), row[8])
    rows = [row for row in rows if row[8] == longest[row[:4]]]
    figure, found = _results.panels(rows, 0, size=(5.2, 3.9), across=2)
    labels: list[tuple[Any, list[tuple[float, str, tuple[float, float], dict[str, Any]]]]] = []
    for axes, (task,), own in found:
        groups: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
        for row in own:
            groups.setdefault(tuple(row[1:4]), []).append(row)
        most = DRAWN * min(row[5] for row in own)
        none = 4 * max((row[10] for row in own if row[10] != ""), default=100)
        front: list[tuple[float, float]] = []
        told: list[tuple[float, str, tuple[float, float], dict[str, Any]]] = []
        for (model, variant, rate), group in groups.items():
            known = [row[10] for row in group if row[10] != ""]
            if variant == "none":
                known = seen(model)
            values = [row[5] for row in group]
            mean = float(np.mean(values))
            if mean > most or (variant == "none" and not known):
                continue
            at = float(np.mean(known)) if known else float(none)
            axes.plot(
                [at] * len(group), values, ls="none", ms=6,
                mfc=None if "-blocks" in model or variant != "by-construction" else "none",
                label=LABELS.get(variant, variant), **LOOKS[variant],
            )  # fmt: skip
            place = {"xytext": (0, 7), "ha": "center"}
            if variant == "none" or not known:
                place = {"xytext": (7, 0), "va": "center"}
            elif at > none / 100:
                place = {"xytext": (-8, 0), "ha": "right", "va": "center"}
            name = model.removesuffix(", chosen") if variant == "none" else title(model)
            name += f" {rate:g}" if rate != "" else ""
            told.append((mean, name, (at, mean), place))
            front += [(at, mean)] if known else []
        lowest: list[tuple[float, float]] = []
        for at, mean in sorted(front):
            if not lowest or mean < lowest[-1][1]:
                lowest.append((at, mean))
        if lowest:
            ends = [*lowest, (none / 2, lowest[-1][1])]
            axes.step(*zip(*ends, strict=True), where="post", color="0.4", lw=1, ls=":")
        axes.set_xscale("log")
        axes.set_xlim(0.8, none * 10)
        axes.margins(y=0.12)
        axes.axvline(none / 2, color="0.6", lw=1)
        axes.annotate("no certificate", (none / 1.8, 0.02), xycoords=("data", "axes fraction"),
                      fontsize=8)  # fmt: skip
        axes.set_xlabel("certified context over all inputs of the task")
        axes.set_ylabel(corpora.METRICS[corpora.KINDS[task]])
        labels.append((axes, told))
    figure.draw_without_rendering()  # so that panels have their places
    for axes, told in labels:
        placed: list[Any] = []
        for _, name, at, place in sorted(told, key=lambda one: one[:2]):
            text = axes.annotate(name, at, fontsize=8, textcoords="offset points", **place)
            box = text.get_window_extent()
            if any(box.overlaps(other) for other in placed):
                text.remove()
            else:
                placed.append(box)
    _results.finish(figure, path)


def main(argv: list[str] | None = None) -> int:
    """Write the numbers, and the picture if matplotlib is there."""
    return _training.report(
        argv, doc=__doc__, name="paper_price_of_memory", columns=COLUMNS, data=data, draw=draw,
        variants=("unstable", "sharp-stable", _training.EUCLIDEAN, _training.BUILT),
        cells=(*_models.CELLS, *_models.BUILT),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
