r"""What a descent keeps on disk, so that an interrupted one goes on to the last bit.

Main names: `Checkpoint`, `write_checkpoint`, `read_checkpoint`, `fingerprint`.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np

from theory.errors import as_array
from theory.files.writing import replacing
from theory.learning.data import TrainingData
from theory.learning.weights import WeightVector
from theory.typing import Array


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """A descent after some of its steps."""

    fingerprint: str  # of all that the weights depend on
    weights: Array  # w_0, w_1, ..., (made + 1, d)
    losses: Array  # of each of them, (made + 1,)
    gradient_norms: Array  # of the gradients that were followed, (made,)
    diverged: str  # why no further step can be made; empty where one can


def fingerprint(
    plain: Sequence[object],
    state: WeightVector,
    data: TrainingData,
    sizes: Array,
    start: Array,
) -> str:
    """Return a digest of all that the weights depend on, but for the projection's code.

    Parameters
    ----------
    plain : sequence
        What is no array: model, truncation length.
    state : WeightVector
    data : TrainingData
    sizes : (steps,) array
        The step sizes.
    start : (d,) array
        The first weights.
    """
    digest = hashlib.sha256()
    rho = getattr(state.model, "activation", None)
    variant = getattr(state.model, "variant", "")
    kind = f"{type(state.model).__name__} {getattr(rho, 'name', '')} {variant}"
    said = (kind, *plain, state.trained, state.train_head, data.loss.name)
    digest.update(repr(said).encode())
    for array in (
        *state.model.parameters.values(), state.head.C, state.head.d, sizes, start,
        data.inputs, data.targets, data.weights,
    ):  # fmt: skip
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def write_checkpoint(path: Path, done: Checkpoint) -> None:
    """Write everything so far to an .npz file, in one step."""
    with replacing(path) as stream:
        np.savez(
            stream,
            fingerprint=np.array(done.fingerprint),
            weights=done.weights,
            losses=done.losses,
            gradient_norms=done.gradient_norms,
            diverged=np.array(done.diverged),
        )


def read_checkpoint(path: Path, expected: str, *, width: int, most: int) -> Checkpoint:
    """Return what a file holds.

    Parameters
    ----------
    path : Path
    expected : str
        The fingerprint of the descent that is to go on.
    width, most : int
        The number of weights, and of steps at the most.

    Raises
    ------
    ValueError
        If it cannot be read, or belongs to another descent.
    """
    needed = ("fingerprint", "weights", "losses", "gradient_norms", "diverged")
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            found = {name: archive[name] for name in needed}
    except (OSError, KeyError, ValueError, EOFError) as error:
        raise ValueError(f"{path} cannot be read as a checkpoint: {error}") from None
    except Exception as error:  # a damaged archive raises what zipfile and zlib choose to
        raise ValueError(f"{path} cannot be read as a checkpoint: {error!r}") from None
    if str(found["fingerprint"]) != expected:
        raise ValueError(
            f"{path} belongs to another descent (other data, weights, step sizes, model or k); "
            "resume with the same arguments, or remove the file"
        )
    weights = as_array("weights", found["weights"], ndim=2)
    if (
        weights.shape[1] != width
        or not 1 <= len(weights) <= most + 1
        or len(found["losses"]) != len(weights)
        or len(found["gradient_norms"]) != len(weights) - 1
    ):
        raise ValueError(f"{path} cannot be read as a checkpoint: its arrays do not match")
    return Checkpoint(
        fingerprint=expected,
        weights=weights,
        losses=found["losses"],
        gradient_norms=found["gradient_norms"],
        diverged=str(found["diverged"]),
    )
