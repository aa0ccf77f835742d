r"""The two learning tasks of the training figures: a teacher network, and Bach chorales.

``teacher``   outputs of a stable tanh network that is driven by noise; squared loss.
``chorales``  the next frame of piano rolls, 88 keys, from the usual JSB Chorales data set; logistic
              outputs, Bernoulli loss.  The file ``jsb-chorales/jsb-chorales-quarter.json`` is
              looked for in the folder named by --data or by the environment variable STABLE_DATA,
              or in ``shared/data`` beside the checkout.

Written as a script, the arrays of a task go to an .npz file.

Run   python examples/tasks.py --task teacher --out build/examples
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import _results
import numpy as np
from numpy.typing import NDArray

import theory
from theory.learning.weights import Projection
from theory.projections import spectral_ball

KEYS, LOWEST = 88, 21
FILE = Path("jsb-chorales") / "jsb-chorales-quarter.json"


class MissingDataError(FileNotFoundError):
    """The chorales are not where they were looked for."""


def chorales_file(folder: str | Path | None = None) -> Path:
    """Return the file of the chorales.

    Raises
    ------
    MissingDataError
        If it is not there; the message says where it was looked for.
    """
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    places = [Path(p) for p in (folder, os.environ.get("STABLE_DATA"), beside) if p]
    for place in places:
        if (place / FILE).is_file():
            return place / FILE
    raise MissingDataError(
        f"{FILE} is in none of {', '.join(map(str, places))}; pass --data, or set STABLE_DATA to "
        "the folder that holds it"
    )


def chorales(split: str, folder: str | Path | None = None) -> list[NDArray[np.float64]]:
    """Return the piano rolls of a split, (T, 88) each."""
    rolls = []
    for piece in json.loads(chorales_file(folder).read_text(encoding="utf-8"))[split]:
        roll = np.zeros((len(piece), KEYS))
        for t, notes in enumerate(piece):
            roll[t, np.asarray(notes, dtype=int) - LOWEST] = 1.0
        rolls.append(roll)
    return rolls


def data(
    task: str, units: int = 32, T: int = 200, seed: int = 0, folder: str | Path | None = None
) -> tuple[theory.VanillaRNN, theory.LinearHead, theory.learning.TrainingData]:
    """Return a start of W = 0.9 Q, a fixed head, and the data of a task."""
    rng = np.random.default_rng(seed)
    if task == "teacher":
        W = rng.standard_normal((units, units))
        teacher = theory.VanillaRNN(
            0.95 * W / np.linalg.norm(W, 2), rng.standard_normal((units, 4)) / 2
        )
        X = rng.standard_normal((T, 4))
        head = theory.LinearHead(rng.standard_normal((2, units)) / np.sqrt(units))
        training = theory.learning.training_data(X, head(teacher.simulate(X)))
    elif task == "chorales":
        # the first frames of the pieces, one after another
        roll = np.concatenate(chorales("train", folder))[: T + 1]
        X, goal = roll[:-1], roll[1:]
        # the logits start at those of each key's frequency
        share = np.clip(goal.mean(axis=0), 1e-3, 1 - 1e-3)
        head = theory.LinearHead(
            rng.standard_normal((KEYS, units)) / np.sqrt(units), np.log(share / (1 - share))
        )
        training = theory.learning.training_data(X, goal, loss="bernoulli")
    else:
        raise ValueError(f"task {task!r} is not known, needed one of: teacher, chorales")
    Q = np.linalg.qr(rng.standard_normal((units, units)))[0]
    start = theory.VanillaRNN(0.9 * Q, rng.standard_normal((units, X.shape[1])) / 4)
    return start, head, training


def clip(rate: float) -> Projection:
    """Return the Euclidean projection of W onto |W|_2 <= rate."""

    def project(model: theory.Map) -> theory.Map:
        return model.with_parameters(W=spectral_ball(model.parameters["W"], rate))

    return project


def options(doc: str | None, argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the options of a figure of these tasks."""
    return _results.options(
        doc, argv, task={"choices": ("teacher", "chorales"), "default": "teacher"},
        data={"type": Path, "help": "folder of the chorales"}, seed={"type": int, "default": 0},
    )  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    """Write the arrays of a task."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--task", choices=("teacher", "chorales"), default="teacher")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("build/examples"))
    options = parser.parse_args(argv)
    start, head, training = data(options.task, folder=options.data)
    options.out.mkdir(parents=True, exist_ok=True)
    target = options.out / f"task_{options.task}.npz"
    np.savez(
        target, inputs=training.inputs, targets=training.targets, C=head.C, d=head.d,
        **start.parameters,
    )  # fmt: skip
    print(f"{training.inputs.shape[1]} steps: {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
