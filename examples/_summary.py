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
#: Tasks of the price of memory alone.
MORE = {"king-james": "King James Bible, bits a character"}
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


def titles(task: str) -> tuple[str, str]:
    """Return the title of a task, and in what it is measured."""
    title, _, unit = (TASKS | MORE)[task].partition(", ")
    return title, unit


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


def cells_table(rows: list[Row]) -> list[str]:
    """Return the table of random maps: certified, refuted, and what the literature certifies."""
    literature = {
        "miller_hardt": "Miller-Hardt", "jaeger": "Jaeger", "delta_iss": "delta ISS",
        "symmetric": "closed form",
    }  # fmt: skip
    names = (
        "cell", "certified (from zero only)", "refuted (never forgets)", "unknown",
        "gap, median and 90 %", "conditions of the literature",
    )  # fmt: skip
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    for row in rows:
        held = [f"{told} {row[name]}" for name, told in literature.items() if row[name] != ""]
        gap = [f"{row[name]:.3f}" for name in ("gap_median", "gap_90") if row[name] != ""]
        lines.append(
            f"| {row['cell']} | {row['certified']} ({row['from_zero']}) | {row['refuted']} "
            f"({row['never_forgets']}) | {row['unknown']} | {', '.join(gap)} | {', '.join(held)} |"
        )
    return lines


def certified(rows: list[Row], *names: str) -> tuple[int, int, list[Row]]:
    """Return how many networks are certified at rate 0.9, how many there are, and the others."""
    first = {tuple(row[name] for name in names): row for row in rows}
    over = [row for row in first.values() if row["rate"] > 0.9]
    return len(first) - len(over), len(first), over


def price_table(rows: list[Row]) -> list[str]:
    """Return the table of metrics beside contexts, a line for each kind of network.

    A dagger marks metrics that are no better than the best model of the last few inputs.
    """
    names = (
        "task, model", "rate", "metric, by seed", "certified, alphabet", "certified, along data",
        "measured", "within 1 %", "refuted", "parameters", "epochs", "minutes",
    )  # fmt: skip
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    for (task, model, variant, rate, _), group in grouped(rows).items():
        first, digits = group[0], digits_of(task)
        best = simplest(rows, task)
        if variant == "none" and model not in {"5-gram", best["model"]}:
            continue
        title = f"{titles(task)[0]}, {paper_names(model, variant)}"
        if variant == "none":
            cells = ["", f"{first['metric']:{digits}}", *[""] * 8]
        else:
            cells = [
                f"{rate:g}" if rate != "" else "none",
                ", ".join(
                    f"{row['metric']:{digits}}" + "†" * (row["metric"] >= best["metric"])
                    for row in group
                ),
                whole([row["certified"] for row in group]),
                whole([row["along"] for row in group]),
                whole([row["measured"] for row in group]),
                whole([row["within"] for row in group]),
                ", ".join(sorted({str(row["refuted"]) for row in group})),
                f"{first['parameters']:,}",
                f"{first['epochs']}",
                span([row["seconds"] / 60 for row in group], ".1f"),
            ]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return lines


def simplest(rows: Iterable[Row], task: str) -> Row:
    """Return the best model of the last few inputs: the one chosen, or the least metric."""
    found = [row for row in rows if row["task"] == task and row["variant"] == "none"]
    chosen = [row for row in found if "chosen" in row["model"]]
    return min(chosen or found, key=lambda row: float(row["metric"]))


def grouped(rows: Iterable[Row]) -> dict[tuple[Any, ...], list[Row]]:
    """Return the rows of each task, model, variant, rate and number of epochs."""
    found: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        found[tuple(row[k] for k in ("task", "model", "variant", "rate", "epochs"))].append(row)
    return found


def network_name(model: str) -> str:
    """Return how a network of the price of memory is called."""
    core, _, blocks = model.partition("-")
    names = {
        "rnn": "RNN", "lstm": "LSTM", "gru": "GRU", "mingru": "minGRU", "lru": "LRU",
        "rglru": "RG-LRU", "selective": "selective layer", "delta": "gated delta rule",
    }  # fmt: skip
    return names[core] + (", two blocks" if blocks else "")


def paper_names(model: str, variant: str) -> str:
    """Return how a row of the price of memory is called."""
    if variant == "none":
        return model
    shown = {"by-construction": "", "euclidean": ", Euclidean set"}.get(variant, f", {variant}")
    return network_name(model) + shown


def whole(values: list[Any]) -> str:
    """Return least and largest of lengths, some of which may be open; "none" without any.

    What stands behind a colon in the files, that few sequences are longer, the page says once.
    """
    known = {str(v).partition(":")[0] for v in values if v not in {"", "not asked"}}
    if not known and "not asked" in values:
        return "not asked"
    order = sorted(known, key=lambda v: (int(v.strip(">")), v))
    return " to ".join(dict.fromkeys([*order[:1], *order[-1:]])) or "none"


def price_told(rows: list[Row]) -> list[str]:
    """Return what holds of certified networks, task by task, over the seeds that were run."""
    told = []
    for task in dict.fromkeys(row["task"] for row in rows):
        own = grouped(row for row in rows if row["task"] == task)
        built = {key: g for key, g in own.items() if key[2] != "none" and g[0]["certified"] != ""}
        # chosen where nothing is reported: on the validation split
        free = min(
            (g for key, g in own.items() if key[2] == "unstable"),
            key=lambda g: mean_of(g, "valid"), default=[],
        )  # fmt: skip
        if not built or not free:
            continue
        style, (title, unit) = digits_of(task), titles(task)
        simple, kind = simplest(rows, task), unit.rpartition(" ")[2]
        tokens = {"character": "characters", "frame": "frames"}.get(kind, "words")
        key, best = min(built.items(), key=lambda kg: mean_of(kg[1], "valid"))
        pairs = [
            (a["metric"], b["metric"])
            for a in best for b in free if a["seed"] == b["seed"]
        ]  # fmt: skip
        below = sum(a <= b for a, b in pairs)
        worst, least = max(r["metric"] for r in best), min(r["metric"] for r in free)
        five = [r["metric"] for r in rows if r["task"] == task and r["model"] == "5-gram"]
        told.append(
            f"- {title}: {paper_names(*key[1:3])} at rate {key[3]:g}, certified over the alphabet "
            f"at {whole([r['certified'] for r in best])} {tokens}, has "
            f"{span([r['metric'] for r in best], style)} ({unit}; {len(best)} "
            f"{'seed' if len(best) == 1 else 'seeds'}, {key[4]} epochs, the best on the validation "
            f"split); the best of the unconstrained, {network_name(free[0]['model'])} after "
            f"{free[0]['epochs']} epochs, likewise chosen, "
            f"{span([r['metric'] for r in free], style)} ({len(free)}). "
            f"It is at or below that of its seed in {below} of {len(pairs)}; its worst seed is "
            f"{'below' if worst < least else 'not below'} the best of these. "
            + "".join(
                f"The 5-gram has {value:{style}}: {sum(r['metric'] < value for r in best)} of "
                f"{len(best)} of the certified are below it. " for value in five
            )
            + f"The best model of the last few inputs ({simple['model'].partition(', chosen')[0]}) "
            f"has {simple['metric']:{style}}: "
            f"{sum(r['metric'] < simple['metric'] for r in (*best, *free))} of these "
            f"{len(best) + len(free)} networks are below it."
        )  # fmt: skip
    return told


def rates_told(rows: list[Row]) -> list[str]:
    """Return what a smaller rate costs and what it gives, by networks of one seed and schedule."""
    told = []
    names = ("task", "model", "variant", "seed", "epochs")
    same: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        if row["variant"] == "by-construction":
            same[tuple(row[name] for name in names)].append(row)
    for (task, model, _, seed, epochs), group in same.items():
        if len(group) < 2:
            continue
        large, small = sorted(group, key=lambda row: -float(row["rate"]))
        told.append(
            f"- {titles(task)[0]}, {network_name(model)}, seed {seed}, {epochs} epochs: at rate "
            f"{small['rate']:g} in place of {large['rate']:g} the certified context is "
            f"{whole([small['certified']])} in place of {whole([large['certified']])}, the metric "
            f"{small['metric']:{digits_of(task)}} in place of {large['metric']:{digits_of(task)}}."
        )
    return told


def euclidean_told(rows: list[Row]) -> list[str]:
    """Return what the Euclidean sets leave of the gap of the sharp ones, task by task."""
    told = []
    pairs = dict.fromkeys((row["task"], cell) for row in rows for cell in ("lstm", "gru"))
    for task, cell in pairs:
        found = {
            variant: {(row["seed"], row["epochs"]): row for row in rows
                      if (row["task"], row["model"], row["variant"]) == (task, cell, variant)}
            for variant in ("unstable", "sharp-stable", "euclidean")
        }  # fmt: skip
        both = [key for key in found["euclidean"] if all(key in group for group in found.values())]
        if not both:
            continue
        free, sharp, ours = (
            [group[key]["metric"] for key in both] for group in found.values()
        )  # fmt: skip
        rates = span([found["euclidean"][key]["rate"] for key in both], "g")
        style = digits_of(task)
        closed = "the sharp set costs nothing"
        if all(s > u for u, s in zip(free, sharp, strict=True)):
            parts = [(s - e) / (s - u) for u, s, e in zip(free, sharp, ours, strict=True)]
            closed = f"{span([100 * part for part in parts], '.0f')} % of the gap is closed"
        told.append(
            f"- {titles(task)[0]}: {cell.upper()}s in the Euclidean set at rate {rates} have "
            f"{span(ours, style)}, in the sharp set {span(sharp, style)}, without one "
            f"{span(free, style)} ({titles(task)[1]}), by the same schedule ({len(both)} "
            f"{'seed' if len(both) == 1 else 'seeds'}): {closed}."
        )
    return told


def blocks_table(rows: list[Row]) -> list[str]:
    """Return the table of contexts of blocks on a text, a line for each network."""
    names = (
        "network", "bits", "states", "proved, alphabet", "proved, any past", "attained",
        "proved, pasts as met", "attained", "by states met", "seconds",
    )  # fmt: skip
    lines = [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
    for name in dict.fromkeys(row["network"] for row in rows):
        own = [row for row in rows if row["network"] == name]
        asked = ("any", "any_attained", "met", "met_attained", "seen")
        cells = [
            f"{own[0]['bits']:.2f}",
            f"{own[0]['states']}",
            f"{own[0]['alphabet']:,}" if own[0]["alphabet"] != "" else "none",
            *(whole([row[column] for row in own]) for column in asked),
            span([row["seconds"] for row in own], ".0f"),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def blocks_told(rows: list[Row]) -> list[str]:
    """Return by how much what is proved of blocks is above what is attained."""
    told = []
    for name in dict.fromkeys(row["network"] for row in rows):
        own = [row for row in rows if row["network"] == name]
        by_any, by_met, by_seen = (
            span([row[proved] / row[attained] for row in own if row[proved] != ""], ".1f")
            for proved, attained in zip(
                ("any", "met", "met"), ("any_attained", "met_attained", "seen"), strict=True
            )
        )
        worse = sum(row["met"] > row["any"] for row in own if "" not in (row["met"], row["any"]))
        told.append(
            f"- {name}: proved over attained by ascent is {by_any} for any past, {by_met} for "
            f"pasts as met; over what states met attain, {by_seen}."
        )
        if worse:
            told[-1] += f" At {worse} of {len(own)} places fewer pasts have the larger proved k."
    return told


def mean_of(rows: list[Row], column: str = "metric") -> float:
    """Return the mean of a column over seeds."""
    return float(sum(row[column] for row in rows) / len(rows))


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
    paths = [
        r for task in ("teacher", "chorales") for r in read(folder, f"fig_weight_gap_path_{task}")
    ]
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

    def along(task: str) -> str:
        """Return where the bounds along the path of a task end, and how close they are there."""
        parts = []
        for k in dict.fromkeys(r["k"] for r in paths if r["task"] == task):
            rows = [r for r in paths if r["task"] == task and r["k"] == k and r["bound"] < math.inf]
            last = rows[-1]
            ratio = last["bound"] / last["distance"]
            parts.append(f"k = {k}: {ratio:.2g} times after {last['step']}")
        return ", ".join(parts)

    def units(task: str) -> str:
        (n,) = {r["units"] for r in paths if r["task"] == task}
        return f"{n}"

    def traded(variant: str, cell: str = "rnn") -> str:
        by_rate: dict[float, list[float]] = defaultdict(list)
        for row in tradeoff:
            if (row["variant"], row["cell"]) == (variant, cell):
                by_rate[row["rate"]].append(row["metric"])
        means = {rate: sum(v) / len(v) for rate, v in by_rate.items()}
        return ", ".join(
            f"{v:.3f}" + (f" at {rate:g}" if rate else "") for rate, v in means.items()
        )

    price = read(folder, "paper_price_of_memory")
    scans = read(folder, "paper_scan_speed")
    cells = read(folder, "table_certificates")
    blocks = read(folder, "text_blocks")

    def trained_at(model: str, how: str) -> str:
        rate = one(scans, model=model, how=how)["tokens_per_cpu_s"]
        return f"{float(f'{rate:.2g}'):,.0f}"

    page = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    return page.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        table="\n".join(table(main)),
        least="\n".join(least_lengths(read_all["length"])),
        cells=CELLS, variants=VARIANTS, mean=mean, best=best, last_is_best=last_is_best,
        contracting=contracting, certified_k=certified_k, lag=lag, speed=speed,
        of_length=of_length, twins=twins, traded=traded, steps=steps, along=along, units=units,
        older=f"{min(r['log10_older_bound'] for r in paths if r['step'] == paths[-1]['step']):.0f}",
        path_steps=paths[-1]["step"],
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
        price="\n".join(price_table(price)),
        price_told="\n".join([*price_told(price), *rates_told(price), *euclidean_told(price)]),
        blocks="\n".join(blocks_table(blocks)), blocks_told="\n".join(blocks_told(blocks)),
        block_places=len({row["place"] for row in blocks}),
        trained_at=trained_at, cells_table="\n".join(cells_table(cells)),
        cell_maps=span(some(cells, "maps")), missed=sum(some(cells, "missed")),
        cell_seconds=span(some(cells, "seconds_a_map"), ".2g"),
        short="\n".join(short_memory(memory, read(folder, "three_explanations"))),
        at_least=lambda task, k: f"{one(memory, task=task, k=k)['at_least']:.3f}",
        bits=f"{min(some(memory, 'code', task='war-and-peace')) / math.log(2):.3f}",
        f1=lambda variant: f"{one(snips, cell='rnn', variant=variant)['mean']:.1f} {variant}",
    )  # fmt: skip


if __name__ == "__main__":
    here = Path(sys.argv[1])
    (here / "README.md").write_text(text(here), encoding="utf-8")
