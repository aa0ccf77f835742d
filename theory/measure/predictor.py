r"""A callable model without weights, asked for outputs, and checked for being a function.

Main name: `Predictor`.

What is measured is a statement about a function of the inputs.  A `predict` that keeps state from
call to call, draws random numbers, answers differently beside other sequences of a batch, or looks
ahead is found by asking the same thing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.typing import Array

#: How far two answers to the same question may differ, relative to the largest output: what single
#: precision leaves after a thousand steps in another order of sums.
SAME = 2.0**-13

#: Windows that are handed over together to a predict that takes batches.
BATCH = 256


@final
class Predictor:
    """Outputs of a callable, as arrays (T, p).

    Parameters
    ----------
    predict : callable
        Of a sequence (T, m), or of a batch (B, T, m) if `batched`; returns outputs (T, p) or (T,)
        at every time, or (p,) or a number at the last one, likewise with a leading B.
    batched : bool
    """

    def __init__(self, predict: Callable[[Any], Any], *, batched: bool = False) -> None:
        if not callable(predict):
            raise ValueError(
                f"predict is a {type(predict).__name__}, needed a function of a sequence (T, m), "
                "or of a batch (B, T, m) with batched=True, to outputs"
            )
        self._predict, self.batched = predict, batched
        self.at_every_time = True

    def _asked(self, X: Array) -> Array:
        """Return the raw answer to a batch, (B, T, m)."""
        if self.batched:
            found = _as_array(self._predict(X.copy()))
            if found.ndim == 0 or len(found) != len(X):
                raise ValueError(
                    f"predict returned shape {found.shape} for a batch of shape {X.shape}, needed "
                    f"({len(X)}, ...); for a predict of one sequence leave batched out"
                )
            return found
        return np.stack([_as_array(self._predict(x.copy())) for x in X])

    def outputs(self, X: Array) -> Array:
        """Return the outputs at all times, (B, T, p), or at the last one, (B, 1, p).

        Raises
        ------
        ValueError
            If it returns another shape or numbers that are not finite.
        """
        found = self._asked(X)
        B, T = X.shape[:2]
        if self.at_every_time:
            if found.ndim not in {2, 3} or found.shape[1] != T:
                raise ValueError(
                    f"predict returned shape {found.shape[1:]} for a sequence of shape "
                    f"{X.shape[1:]}, needed outputs at every time, ({T}, p) or ({T},)"
                )
            found = found.reshape(B, T, -1)
        else:
            found = found.reshape(B, 1, -1)
        if not np.isfinite(found).all():
            raise ValueError("predict returned numbers that are not finite")
        return found

    def last_of_windows(self, X: Array, ends: npt.NDArray[np.int64], k: int) -> Array:
        """Return the last output after the k inputs before every end, (ends, p)."""
        found = []
        for lo in range(0, len(ends), BATCH):
            windows = np.stack([X[end - k : end] for end in ends[lo : lo + BATCH]])
            found.append(self.outputs(windows)[:, -1])
        return np.concatenate(found)

    def check(self, sequences: Sequence[Array], *, causal: bool) -> None:
        """Raise unless `predict` is a function of a sequence; of its past alone, if `causal`.

        Raises
        ------
        ValueError
            The message names what it does.
        """
        X = sequences[0]
        first = self._asked(X[None])
        self.at_every_time = first.ndim in {2, 3} and first.shape[1] == len(X)
        if len(X) == 1 and len(sequences) > 1:
            longer = next((one for one in sequences if len(one) > 1), X)
            self.at_every_time = self._asked(longer[None]).shape[1:2] == (len(longer),)
        again = [self.outputs(X[None]) for _ in range(4)]
        self._check_repeated(first.reshape(again[0].shape), again)
        other = next((one for one in sequences[1:] if one.shape == X.shape), X[::-1])
        self.outputs(other[None])
        if not _same(self.outputs(X[None]), again[-1]):
            raise ValueError(
                "predict keeps state between calls: its answer to a sequence changed after it had "
                "seen another one; reset the state at the start of predict"
            )
        if self.batched:
            for batch, at in (([X, other], 0), ([other, X, other], 1)):
                if not _same(self.outputs(np.stack(batch))[at : at + 1], again[-1]):
                    raise ValueError(
                        "predict changes its answer with the batch: a sequence beside others gets "
                        "another output than alone; put batch normalisation into evaluation mode, "
                        "or leave batched out and take one sequence at a time"
                    )
        if causal and self.at_every_time and len(X) > 1:
            half = (len(X) + 1) // 2
            if not _same(self.outputs(X[None, :half]), again[-1][:, :half]):
                raise ValueError(
                    "predict looks ahead: its output at a time changes with later inputs, as that "
                    'of a bidirectional model; ask with when="last"'
                )

    def _check_repeated(self, first: Array, again: list[Array]) -> None:
        if all(_same(one, first) for one in again):
            return
        answers = [first, *again]
        steps = [float(np.max(np.abs(b - a))) for a, b in pairwise(answers)]
        if not steps[-1] > 0.5 * steps[0]:
            raise ValueError(
                f"predict keeps state between calls: the same sequence changed its answer by "
                f"{steps[0]:.3g}, then by less and less; reset the state at the start of predict"
            )
        raise ValueError(
            f"predict is random, or keeps state between calls: the same sequence changed its "
            f"answer by {steps[0]:.3g}, then by {steps[-1]:.3g}; switch dropout and sampling off, "
            "or set the seed at the start of predict, and reset its state there"
        )


def _same(a: Array, b: Array) -> bool:
    """Return whether two answers differ by no more than arithmetic in another order may."""
    size = max(float(np.max(np.abs(a), initial=0.0)), float(np.max(np.abs(b), initial=0.0)))
    return a.shape == b.shape and bool(np.max(np.abs(a - b), initial=0.0) <= SAME * size)


def _as_array(found: Any) -> Array:
    """Return an answer as float64; PyTorch's tensors are detached."""
    for step in ("detach", "cpu"):
        found = getattr(found, step)() if hasattr(found, step) else found
    try:
        if np.asarray(found).dtype.kind == "c":
            raise TypeError
        return np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"predict returned a {type(found).__name__}, needed an array of real numbers"
        ) from None
