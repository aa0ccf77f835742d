r"""How much context the data need: what symbols further back are worth, on every corpus.

Theorem shown: `short_memory`, as far as data can say anything of it.

For every number k of symbols seen: the mean code length of an interpolated n-gram that was fitted
to the training split, its radius (with 95 % confidence for all statements of a corpus together, of
any process), the gain of one symbol more, and two facts about the test split: no function of the
last k symbols whatever has a mean code below `hindsight`, so that each of them is worse than the
best n-gram by `at_least`, and some function of k symbols by no more than `at_most`.  `excess_low`
is what this n-gram loses against the best predictor of all, at least, with the confidence.  Symbols
are characters, words, or frames of music; a frame that training has not is one symbol, told by
`extra` nats a frame more, key by key.  WikiText-2 is fitted to its validation split, as that for
training is not always at hand.

No upper bound of the information of past and future is written, for data have none
(`theory.measure.context_value` proves it); what an assumption gives is `information / (k + 1)`.

What the eye should see: codes fall steeply for three or four characters, or for one word or frame,
and hardly from there on, while the curve of hindsight, below it, falls to nothing: beyond its
crossing with the best code nobody can say from this test that more context is needed.

Run   python examples/paper_short_memory.py --task shakespeare --data DIR
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import _results
import corpora
import numpy as np
from numpy.typing import NDArray

from theory.measure import ContextValue, context_value

COLUMNS = (
    "task", "symbol", "k", "train", "test", "alphabet", "code", "radius", "gain", "gain_radius",
    "hindsight", "at_least", "at_most", "excess_low", "extra",
)  # fmt: skip

#: What a symbol is, by the kind of a data set, and how many of them are seen at most.
SYMBOLS = {
    "chars": ("character", 8), "words": ("word", 4), "slots": ("word", 6), "music": ("frame", 8),
}  # fmt: skip

#: All data sets; the last has no training split here and is fitted to the one for validation.
TASKS = ("jsb", "snips", "shakespeare", "war-and-peace", "wiki-sample", "wikitext2")

Ints = NDArray[np.int64]


def symbols(name: str, data: Path | None) -> tuple[list[Ints], list[Ints], int, float]:
    """Return training and test sequences, the size of the alphabet, and `extra`."""
    kind = corpora.KINDS[name]
    if name == "wikitext2":
        folder = corpora.folder(data) / name
        texts = [corpora.words(folder / f"{split}.txt") for split in ("valid", "test")]
        index = {word: i for i, word in enumerate(sorted({*texts[0], *texts[1]}))}
        train, test = ([np.array([index[word] for word in text])] for text in texts)
        return train, test, len(index), 0.0
    corpus = corpora.load(name, data)
    if kind == "music":
        return frames(corpus)
    parts = []
    for split in ("train", "test"):
        pairs = corpus.splits[split]
        # of a text the last token is a target only
        whole = kind in {"chars", "words"}
        parts.append([np.append(x, y[-1]) if whole else x for x, y in pairs if len(x)])
    return parts[0], parts[1], corpus.inputs, 0.0


def frames(corpus: corpora.Corpus) -> tuple[list[Ints], list[Ints], int, float]:
    """Return frames by their number among those of training, 0 for all others."""
    rolls = {
        s: [np.vstack([x, y[-1:]]) for x, y in corpus.splits[s] if len(x)]
        for s in ("train", "test")
    }
    known: dict[bytes, int] = {}
    for roll in rolls["train"]:
        for frame in roll:
            known.setdefault(frame.tobytes(), len(known) + 1)
    parts = {
        s: [np.array([known.get(f.tobytes(), 0) for f in roll]) for roll in rolls[s]] for s in rolls
    }
    share = (np.vstack(rolls["train"]).sum(axis=0) + 0.5) / (sum(map(len, rolls["train"])) + 1)
    new = [
        f for roll, ids in zip(rolls["test"], parts["test"], strict=True) for f in roll[ids == 0]
    ]
    cost = sum(float(-np.log(np.where(f > 0, share, 1 - share)).sum()) for f in new)
    return parts["train"], parts["test"], len(known) + 1, cost / sum(map(len, parts["test"]))


def value_of(name: str, data: Path | None, *, longest: int | None = None) -> ContextValue:
    """Return what context is worth on a data set."""
    train, test, alphabet, _ = symbols(name, data)
    most = SYMBOLS[corpora.KINDS[name]][1] if longest is None else longest
    return context_value(train, test, alphabet=alphabet, longest=most)


def data(task: list[str], folder: Path | None) -> list[tuple[Any, ...]]:
    """Return rows of `COLUMNS`, one for each number of symbols."""
    rows: list[tuple[Any, ...]] = []
    for name in task:
        started = time.perf_counter()
        train, test, alphabet, extra = symbols(name, folder)
        symbol, longest = SYMBOLS[corpora.KINDS[name]]
        found = context_value(train, test, alphabet=alphabet, longest=longest)
        for k in range(longest + 1):
            gain = [float(found.gains[k]), float(found.gain_radius[k])] if k < longest else ["", ""]
            rows.append((
                name, symbol, k, sum(map(len, train)), found.symbols, alphabet,
                float(found.codes[k]), float(found.radius[k]), *gain, float(found.hindsight[k]),
                float(found.at_least[k]), float(found.at_most[k]), float(found.excess_low[k]),
                extra,
            ))  # fmt: skip
        print(f"{name}: {found}; {time.perf_counter() - started:.0f} s")
    return rows


def draw(rows: list[tuple[Any, ...]], path: Path) -> None:
    """Draw code lengths and what nothing goes below in hindsight; needs matplotlib."""
    figure, found = _results.panels(rows, 1, 0)
    for axes, _, own in found:
        k = [row[2] for row in own]
        code, radius = (np.array([float(row[i]) for row in own]) for i in (6, 7))
        axes.fill_between(k, code - radius, code + radius, alpha=0.25)
        axes.plot(k, code, "o-", ms=4, label="n-gram, on the test")
        axes.plot(k, [row[10] for row in own], "s--", ms=4, label="no function of k goes below")
        axes.axhline(code.min(), color="gray", lw=0.8, label="best")
        axes.set_xlabel(f"{own[0][1]}s seen")
        axes.set_ylabel(f"nats a {own[0][1]}")
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=90)


def main(argv: list[str] | None = None) -> int:
    """Write the numbers, and the picture if matplotlib is there."""
    chosen = _results.options(
        __doc__,
        argv,
        task={"nargs": "+", "default": list(TASKS), "choices": list(corpora.KINDS)},
        data={"type": Path, "default": None},
    )
    started = time.perf_counter()
    try:
        rows = data(chosen.task, chosen.data)
    except corpora.DataError as error:
        print(error, file=sys.stderr)
        return 1
    seconds = time.perf_counter() - started
    target = _results.write(rows, COLUMNS, chosen.out, "paper_short_memory", argv, seconds=seconds)
    _results.picture(draw, rows, target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
