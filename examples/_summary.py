r"""The page of results: every number in it is computed from the CSV files beside it.

Run   python examples/_summary.py examples/results   to write README.md there.
"""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import _results

TASKS = {
    "jsb": "JSB chorales, nats a frame",
    "music21": "chorales of music21, nats a frame",
    "snips": "SNIPS, F1",
    "war-and-peace": "War and Peace, bits a character",
    "shakespeare": "Shakespeare, bits a character",
    "wiki-sample": "Wikipedia, perplexity",
}
CELLS = ("rnn", "lstm")
VARIANTS = ("unstable", "stable", "sharp-stable")

#: The words around the numbers.
TEMPLATE = Path(__file__).parent / "_summary.md.jinja"

Row = dict[str, Any]


def read(folder: Path, name: str) -> list[Row]:
    """Return the rows of a CSV file by the names of its columns."""
    target = folder / f"{name}.csv"
    with target.open(encoding="utf-8") as stream:
        names = stream.readline().strip().split(",")
    return [dict(zip(names, row, strict=True)) for row in _results.read_rows(target)]


def one(rows: Iterable[Row], **which: Any) -> Row:
    """Return the only row with these entries."""
    (found,) = (row for row in rows if all(row[name] == v for name, v in which.items()))
    return found


def some(rows: Iterable[Row], column: str, **which: Any) -> list[Any]:
    """Return the numbers of a column in the rows with these entries."""
    found = [row[column] for row in rows if all(row[name] == v for name, v in which.items())]
    return [v for v in found if not isinstance(v, str)]


def span(values: Iterable[float], digits: str = "g") -> str:
    """Return "a" or "a to b" for the least and the largest."""
    values = list(values)
    low, high = format(min(values), digits), format(max(values), digits)
    return low if low == high else f"{low} to {high}"


def digits_of(task: str) -> str:
    """Return how the metric of a task is written."""
    return ".1f" if task in {"snips", "wiki-sample"} else ".3f"


def cost(rows: list[Row], task: str, cell: str, variant: str = "stable") -> float:
    """Return by how many percent of the unstable metric a variant is worse."""
    found = one(rows, task=task, cell=cell, variant=variant)["better_than_unstable"]
    return -100.0 * float(found)


def closed(rows: list[Row], task: str) -> str:
    """Return which part of the LSTM's gap the larger set closes, in percent."""
    plain, sharp = (cost(rows, task, "lstm", variant) for variant in VARIANTS[1:])
    return f"{100 * (1 - sharp / plain):.0f} %"


def table(rows: list[Row]) -> list[str]:
    """Return the table of metrics with the models of the last few inputs."""
    lines = [
        "| task, metric | cell | unstable | stable | sharp-stable | of the last few inputs |",
        "|---|---|---|---|---|---|",
    ]
    for task, title in TASKS.items():
        style = digits_of(task)
        others = [row for row in rows if row["task"] == task and row["cell"] == "none"]
        last = "; ".join(f"{row['variant']} {row['mean']:{style}}" for row in others[-3:])
        for cell in CELLS:
            found = [one(rows, task=task, cell=cell, variant=v) for v in VARIANTS]
            cells = [f"{row['mean']:{style}} ({row['spread']:{style}})" for row in found]
            first = title if cell == CELLS[0] else ""
            lines.append(f"| {first} | {cell.upper()} | {' | '.join(cells)} | {last} |")
            last = ""
    return lines


def least_lengths(rows: list[Row]) -> list[str]:
    """Return the table of the least k within one percent."""
    lines = [
        "| | " + " | ".join(f"{c.upper()} {v}" for c in CELLS for v in VARIANTS) + " |",
        "|" + "---|" * 7,
    ]
    for task in ("jsb", "snips", "war-and-peace", "wiki-sample"):
        cells = []
        for cell in CELLS:
            for variant in VARIANTS:
                by_seed: dict[int, list[tuple[int, float]]] = defaultdict(list)
                for row in rows:
                    if (row["task"], row["cell"], row["variant"]) == (task, cell, variant):
                        by_seed[row["seed"]].append((row["k"], row["relative_excess"]))
                cells.append(span(map(within, by_seed.values())))
        lines.append(f"| {TASKS[task].partition(',')[0]} | {' | '.join(cells)} |")
    return lines


def within(curve: list[tuple[int, float]], most: float = 0.01) -> int:
    """Return the least k from which on the excess is at most that."""
    bad = [k for k, excess in curve if k > 0 and not excess <= most]
    return min(k for k, _ in curve if k > max(bad, default=0))


def short_memory(rows: list[Row], three: list[Row]) -> list[str]:
    """Return the table of what symbols further back are worth on data."""
    names = (
        "data", "symbol", "best code, with k", "no predictor of fewer is within 1 %",
        "an n-gram is from", "first symbol is worth",
    )  # fmt: skip
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    for answer in three:
        own = [row for row in rows if row["task"] == answer["task"]]
        code, k = min((row["code"] + row["extra"], row["k"]) for row in own)
        extra = own[0]["extra"]
        told = f"{code - extra:.3f} + {extra:.3f}" if extra else f"{code:.3f}"
        lines.append(
            f"| {answer['task']} | {answer['symbol']} | {told}, k = {k} | "
            f"{answer['no_predictor_below']} | {answer['ngram_enough']} | {own[0]['gain']:.2f} |"
        )
    return lines


def certified(rows: list[Row], *names: str) -> tuple[int, int, list[Row]]:
    """Return how many networks are certified at rate 0.9, how many there are, and the others."""
    first = {tuple(row[name] for name in names): row for row in rows}
    over = [row for row in first.values() if row["rate"] > 0.9]
    return len(first) - len(over), len(first), over


def text(folder: Path) -> str:
    """Return the page for the CSV files of a folder.

    Raises
    ------
    MissingExtraError
        If jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError:
        from theory.errors import MissingExtraError

        raise MissingExtraError("jinja2", "report", "the page of results") from None

    names = (
        "table_stable_vs_unstable", "paper_required_context", "paper_truncation_length",
        "paper_local_rates", "paper_learning_curves", "paper_feed_forward", "paper_rate_tradeoff",
        "paper_gradient_lag",
    )  # fmt: skip
    read_all = {name.rpartition("_")[2]: read(folder, name) for name in names}
    big = read(folder / "paper_size", "table_stable_vs_unstable")
    snips = read(folder / "paper_size_snips", "table_stable_vs_unstable")
    main, context, rates, curves = (read_all[n] for n in ("unstable", "context", "rates", "curves"))
    forward, tradeoff = read_all["forward"], read_all["tradeoff"]
    weights = read(folder, "paper_weight_gap")
    gap, memory = read(folder, "paper_certified_gap"), read(folder, "paper_short_memory")

    def mean(task: str, cell: str, variant: str, rows: list[Row] = main) -> str:
        return f"{one(rows, task=task, cell=cell, variant=variant)['mean']:{digits_of(task)}}"

    def best(task: str) -> str:
        found = [r["mean"] for r in main if r["task"] == task and r["cell"] != "none"]
        return f"{max(found) if task == 'snips' else min(found):{digits_of(task)}}"

    def last_is_best(task: str) -> str:
        by: dict[tuple[Any, ...], list[float]] = defaultdict(list)
        for row in curves:
            if row["task"] == task:
                by[row["cell"], row["variant"], row["seed"]].append(row["valid"])
        return f"{sum(v.index(min(v)) == len(v) - 1 for v in by.values())} of {len(by)}"

    def contracting(cell: str, *tasks: str) -> str:
        asked = {"cell": cell, "variant": "unstable", "r": 20}
        parts = [100 * v for task in tasks for v in some(rates, "below_1", task=task, **asked)]
        return span(parts, ".0f")

    def certified_k(task: str, cell: str, variant: str) -> str:
        asked = {"task": task, "cell": cell, "variant": variant, "tolerance": 0.1}
        found = some(context, "certified_k", **asked)
        return span(found) if found else "none below the longest"

    def lag(task: str, cell: str) -> str:
        asked = {"task": task, "cell": cell, "variant": "unstable", "lag": 20}
        return span(some(read_all["lag"], "relative", **asked), ".1g")

    def speed(run_as: str, column: str) -> str:
        found = [r[column] for r in forward if r["run_as"].startswith(run_as)]
        return span([float(f"{v:.2g}") for v in found], ",.0f")

    def of_length(run_as: str, k: int) -> str:
        (row,) = (r for r in forward if r["run_as"].startswith(run_as) and r["k"] == k)
        return f"{row['mean']:.3f}"

    steps = max(r["step"] for r in weights)

    def twins(variant: str, k: int) -> str:
        asked = {"variant": variant, "k": k, "step": steps, "step_size": "like 1/t"}
        return span(some(weights, "distance", **asked), ".1g")

    def traded(variant: str) -> str:
        by_rate: dict[float, list[float]] = defaultdict(list)
        for row in tradeoff:
            if row["variant"] == variant:
                by_rate[row["rate"]].append(row["metric"])
        means = {rate: sum(v) / len(v) for rate, v in by_rate.items()}
        return ", ".join(
            f"{v:.3f}" + (f" at {rate:g}" if rate else "") for rate, v in means.items()
        )

    page = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    return page.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        table="\n".join(table(main)),
        least="\n".join(least_lengths(read_all["length"])),
        cells=CELLS, variants=VARIANTS, mean=mean, best=best, last_is_best=last_is_best,
        contracting=contracting, certified_k=certified_k, lag=lag, speed=speed,
        of_length=of_length, twins=twins, traded=traded, steps=steps,
        cost=lambda task, cell, digits=1: f"{cost(main, task, cell):.{digits}f}",
        gain=lambda task, cell: f"{-cost(main, task, cell):.1f}",
        closed=lambda task: closed(main, task),
        inside=certified(gap, "task", "cell", "variant", "seed"),
        big_inside=certified(
            read(folder / "paper_size", "paper_certified_gap"), "cell", "variant", "seed"
        ),
        rows=len(gap), holds=sum(r["holds"] is True for r in gap),
        change=f"{max(abs(r['change_at_certified_k']) for r in context if r['holds'] is True):.1e}",
        beyond=sum(r["holds"] == "none below the longest" for r in context),
        asked=sum(r["holds"] != "no certificate" for r in context),
        epochs=span([r["epochs"] for r in big if r["cell"] != "none"], ".0f"),
        big=lambda cell, variant: one(big, cell=cell, variant=variant),
        short="\n".join(short_memory(memory, read(folder, "three_explanations"))),
        at_least=lambda task, k: f"{one(memory, task=task, k=k)['at_least']:.3f}",
        bits=f"{min(some(memory, 'code', task='war-and-peace')) / math.log(2):.3f}",
        f1=lambda variant: f"{one(snips, cell='rnn', variant=variant)['mean']:.1f} {variant}",
    )  # fmt: skip


if __name__ == "__main__":
    here = Path(sys.argv[1])
    (here / "README.md").write_text(text(here), encoding="utf-8")
