"""Measured gaps between a recurrent model and its k-step counterparts.

Main names: `truncation_gaps`, `truncation_gap_table`, `sweep_all`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from theory.errors import DivergedError, as_sequences, as_states, as_vector, check_count
from theory.maps.base import Map, check_map
from theory.norms.norm import check_norm
from theory.norms.norms import L2, Norm
from theory.progress import with_bar
from theory.typing import Array, Progress


@with_bar("lengths")
def truncation_gap_table(
    recurrent: Map,
    X: Any,
    *,
    k_max: int,
    norm: Norm | None = None,
    h0: Any = None,
    restart: Any = None,
    progress: Progress | None = None,
) -> Array:
    r"""Return ||h_t - h_t^k|| for every k <= k_max and every time.

    Parameters
    ----------
    recurrent : Map
    X : (T, m) or (batch, T, m) array
        Inputs.
    k_max : int
        Largest truncation length; may exceed T.
    norm : Norm, optional
        `L2` by default.
    h0, restart : arrays, optional
        Start of the recurrent model and of the truncated one k steps back; zero by default.
    progress : callable, optional
        Called with (steps done, steps in all) after every truncation length of every sequence; may
        raise to interrupt.

    Returns
    -------
    (k_max + 1, T) or (batch, k_max + 1, T) array
        Entry [k, t] belongs to the state after t + 1 inputs.  Exactly 0 where t + 1 <= k: both
        models are then the same.

    Raises
    ------
    ValueError
        If a shape does not fit, a number is not finite, or k_max is not a count.
    DivergedError
        If the recurrent model leaves the range of double precision.
    """
    inputs = as_sequences("X", X, width=check_map(recurrent).input_dim)
    check_count(k_max=k_max)
    table = np.zeros((*inputs.shape[:-2], operator.index(k_max) + 1, inputs.shape[-2]))
    tables = table if inputs.ndim == 3 else table[None]

    def keep(sequence: int, k: int, row: Array) -> None:
        tables[sequence, k] = row

    sweep_all(recurrent, inputs, k_max, norm, h0, restart, progress, keep)
    _check_finite_gaps(tables)
    return table


def sweep_all(
    recurrent: Map,
    X: Any,
    k_max: Any,
    norm: Norm | None,
    h0: Any,
    restart: Any,
    progress: Progress | None,
    keep: Callable[[int, int, Array], None],
    output: Array | None = None,
) -> None:
    """Call keep(sequence, k, gaps at all times) for every sequence and every k that has one.

    With `output`, (p, n), the gaps are those of the outputs, and the norm is one on R^p.
    """
    from theory.measure.sweep import sweep

    check_map(recurrent)
    check_count(k_max=k_max)
    measure = L2() if norm is None else check_norm(norm)
    n = recurrent.state_dim
    measure.check_dim(n if output is None else len(output))
    inputs = as_sequences("X", X, width=recurrent.input_dim)
    batch, T = inputs.shape[:-2], inputs.shape[-2]
    start = as_states("h0", np.zeros(n) if h0 is None else h0, size=n, batch=batch)
    again = as_vector("restart", np.zeros(n) if restart is None else restart, size=n)
    if T == 0:
        return
    sequences = inputs if batch else inputs[None]
    begun = start if batch else start[None]
    # both models are the same for k >= T
    longest = min(int(k_max), T - 1)
    total = len(sequences) * (longest + 1)
    with np.errstate(over="ignore", invalid="ignore"):
        for i, (x, first) in enumerate(zip(sequences, begun, strict=True)):
            states = recurrent.simulate(x, first)
            for k, row in enumerate(sweep(recurrent, x, states, again, longest, measure, output)):
                keep(i, k, row)
                if progress is not None:
                    progress(i * (longest + 1) + k + 1, total)


def _check_finite_gaps(tables: Array) -> None:
    """Raise `DivergedError` at the first gap that is not finite; tables is (batch, k, T)."""
    bad = ~np.isfinite(tables)
    if bad.any():
        sequence, k, t = (int(i) for i in np.argwhere(bad)[0])
        raise DivergedError(
            f"the distance of the recurrent state from the {k}-step one left the range of double "
            f"precision at step {t + 1} of sequence {sequence}; start both models nearer to rest"
        )


@with_bar("lengths")
def truncation_gaps(
    recurrent: Map,
    X: Any,
    *,
    k_max: int,
    norm: Norm | None = None,
    h0: Any = None,
    restart: Any = None,
    progress: Progress | None = None,
) -> Array:
    r"""Return the truncation curve: sup over t (and over the batch) of ||h_t - h_t^k||, per k.

    The parameters are those of `truncation_gap_table`.

    Returns
    -------
    (k_max + 1,) array
        Zero for an empty sequence and for k >= T.

    Examples
    --------
    >>> import numpy as np
    >>> from theory import LinearMap
    >>> truncation_gaps(LinearMap([[0.5]], [[1.0]]), np.ones((3, 1)), k_max=3).tolist()
    [1.75, 0.75, 0.25, 0.0]
    """
    check_map(recurrent)
    check_count(k_max=k_max)
    curve = np.zeros(operator.index(k_max) + 1)

    def keep(_: int, k: int, row: Array) -> None:
        curve[k] = np.maximum(curve[k], np.max(row, initial=0.0))

    sweep_all(recurrent, X, k_max, norm, h0, restart, progress, keep)
    if not np.isfinite(curve).all():
        k = int(np.argmin(np.isfinite(curve)))
        raise DivergedError(
            f"the distance of the recurrent state from the {k}-step one left the range of double "
            "precision; start both models nearer to rest"
        )
    return curve
