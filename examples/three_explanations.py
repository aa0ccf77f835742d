r"""Three explanations of why feed-forward models suffice, side by side on the same data.

Theorems shown: `context_length` (stability), `short_memory` (information), and none (experiment).

One row for each data set, from the tables `paper_required_context.csv` and `paper_short_memory.csv`
of a folder.  *Stability*: the k that the certificates of trained stable networks prove sufficient
for a change of the test loss of 0.1 nats, for all inputs; unstable networks have none.
*Information*: between the k below which no predictor whatever is within 1 % of the best n-gram, on
this test, and the k from which our n-grams are.  *Experiment*: the least k from which on the k-step
counterpart of a network is within 1 % of the network itself, without retraining.  1 % is that of
the metric: of nats or bits a symbol, of a perplexity (0.01 nats).  Below the table stand the
essay's systems that see k inputs, and the LSTM n-gram beside the LSTM (`paper_feed_forward.csv`).

What the eye should see: information asks for one to six symbols, the experiments for a little more,
the certificates for ten times as many.  They do not contradict each other: a certificate speaks of
all inputs and of the network that is there, information of the mean over the data and of the best
predictor.  Where they differ the data are right about the data: networks that are not stable, and
have no certificate, are replaced by as few steps.

Run   python examples/three_explanations.py --results examples/results
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _results

COLUMNS = (
    "task", "symbol", "no_predictor_below", "ngram_enough", "within_1_percent_unstable",
    "within_1_percent_stable", "certified_stable", "best_code", "next_symbol_worth",
)  # fmt: skip
TOLERANCE = "0.1"


def read(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def between(values: Sequence[str]) -> str:
    """Return least and largest of numbers, some of which may say that none was enough."""
    if not values:
        return "not run"
    known = sorted({int(v) for v in values if v.isdigit()})
    open_ = sorted({v for v in values if v and not v.isdigit()})
    ends = [str(known[0])] if known else []
    ends += open_[-1:] or ([str(known[-1])] if known else [])
    return " to ".join(dict.fromkeys(ends)) if ends else "none"


def information(rows: Sequence[dict[str, str]]) -> tuple[int, str, float, float]:
    """Return the two k of information, the best code, and what the symbol after them is worth."""
    extra = float(rows[0]["extra"])
    best = min(float(row["code"]) for row in rows) + extra
    words = rows[0]["symbol"] == "word"
    allowed = math.log(1.01) if words else 0.01 * best
    low = max([int(r["k"]) + 1 for r in rows if float(r["at_least"]) > allowed], default=0)
    enough = [int(r["k"]) for r in rows if float(r["at_most"]) <= allowed]
    high = str(enough[0]) if enough else f">{rows[-1]['k']}"
    worth = float(rows[enough[0]]["gain"] or "nan") if enough else math.nan
    return low, high, best, worth


def data(results: Path) -> list[tuple[Any, ...]]:
    """Return rows of `COLUMNS`."""
    contexts, symbols = (
        read(results / f"paper_{name}.csv") for name in ("required_context", "short_memory")
    )
    contexts = [row for row in contexts if row["tolerance"] == TOLERANCE]
    rows: list[tuple[Any, ...]] = []
    for task in dict.fromkeys(row["task"] for row in symbols):
        own = [row for row in contexts if row["task"] == task]
        stable = [row for row in own if row["variant"] != "unstable"]
        low, high, best, worth = information([row for row in symbols if row["task"] == task])
        rows.append((
            task,
            next(row["symbol"] for row in symbols if row["task"] == task),
            low,
            high,
            between([r["k_within_1_percent"] for r in own if r["variant"] == "unstable"]),
            between([r["k_within_1_percent"] for r in stable]),
            between([r["certified_k"] for r in stable]),
            best,
            worth,
        ))  # fmt: skip
    return rows


PAGE = """\
# Three explanations, side by side

Written by `python examples/three_explanations.py`; its docstring says what each column is.

| data, symbol | information: no predictor of fewer | an n-gram of | experiment: unstable networks \
| stable networks | stability: certified |
|---|---|---|---|---|---|
{rows}

- Stability proves too much: every sequence of inputs, where the data ask for the mean over their
  own. Its k is right for inputs that an adversary chooses, and 8 to 80 times what an n-gram uses of
  the data.
- Stability also explains too little: unstable networks have no certificate, and are replaced by 4
  to 15 steps all the same. Information can explain these, as i_k <= I / (k + 1) asks nothing of
  the network.
- Information proves too little: an upper bound of I cannot be had from data, and the least k of all
  predictors is known from below only (second column). It is not shown that five characters are
  needed, only that three, or four, are. And the best n-gram is not the best predictor: what only a
  longer memory could use, such as a topic, it cannot show.
- A network's own k may be larger than that of the n-gram: it was trained with all of its past, and
  is not the best predictor of k symbols when its past is taken away. That is a fact about the
  network, not about the data.
- On SNIPS experiment and information are about different outputs: tags of words, where the sentence
  matters, and the next word. On JSB the networks give every key a probability of its own, and the
  n-gram the whole frame: {frame:.2f} nats a frame, against 8.44 to 8.72 of the networks, which is
  more than any context is worth.

## Trained with k inputs, beside full context

| data | system | k | metric |
|---|---|---|---|
{systems}
"""


def page(rows: Sequence[Sequence[Any]], systems: Sequence[dict[str, str]]) -> str:
    """Return the page as Markdown."""
    table = [
        f"| {task}, {symbol} | {low} | {high} | {unstable} | {stable} | {certified} |"
        for task, symbol, low, high, unstable, stable, certified, *_ in rows
    ]
    beside = [
        f"| {r['task']} | {r['system']} | {r['k'] or 'all'} | {float(r['mean']):.3f} "
        f"{r['metric']} |"
        for r in systems
        if r["mean"] and "not retrained" not in r["run_as"]
    ]
    frame = next((row[7] for row in rows if row[0] == "jsb"), math.nan)
    return PAGE.format(rows="\n".join(table), systems="\n".join(beside), frame=frame)


def draw(rows: Sequence[Sequence[Any]], path: Path) -> None:
    """Draw the numbers of symbols, a line each for the three explanations; needs matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.add_subplot()
    names = ("no predictor of fewer", "n-gram", "unstable networks", "stable networks", "certified")
    for j, (name, column) in enumerate(zip(names, (2, 3, 4, 5, 6), strict=True)):
        for i, row in enumerate(rows):
            ends = [int(v) for v in str(row[column]).replace(">", "").split(" to ") if v.isdigit()]
            if ends:
                at = i + 0.12 * (j - 2)
                label = name if i == 0 else None
                axes.plot([at] * 2, [max(ends[0], 0.8), ends[-1]], "o-", ms=4, color=f"C{j}",
                          label=label)  # fmt: skip
    axes.set_yscale("log")
    axes.set_xticks(range(len(rows)), [row[0] for row in rows])
    axes.set_ylabel("symbols of context")
    axes.legend(fontsize=7, ncols=3, loc="upper center")
    axes.set_ylim(0.7, 1000)
    figure.savefig(path, dpi=90)


def main(argv: list[str] | None = None) -> int:
    """Write the numbers, the page, and the picture if matplotlib is there."""
    here = Path(__file__).parent / "results"
    chosen = _results.options(__doc__, argv, results={"type": Path, "default": here})
    rows = data(chosen.results)
    target = _results.write(rows, COLUMNS, chosen.out, "three_explanations", argv)
    systems = chosen.results / "paper_feed_forward.csv"
    told = page(rows, read(systems) if systems.is_file() else ())
    target.with_suffix(".md").write_text(told, encoding="utf-8")
    _results.picture(draw, rows, target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
