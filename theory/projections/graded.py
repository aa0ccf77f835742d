r"""Gated cells in graded norms: maximum norms whose weights grow from unit to unit.

Main names: `graded_norm`, `GradedNorm`.

In max |d_j| / v_j a unit j reads a unit k at the price v_k / v_j, so with growing v next to nothing
is asked of what reads earlier units.  As the ratio of the weights grows, the set takes in every
cell whose recurrent weights are strictly triangular, however large they are: such units are a
chain of layers, each with a memory of its own, and contract as their gates do.  Between the two
ends units may read each other both ways, the less the further apart.  What a ratio costs is known:
this norm and that of equal weights differ by at most the ratio, so that contexts are at most
log(ratio) / log(1 / rate) inputs longer.

The set is that of `theory.projections.lstm_units` and `theory.projections.gru_units`, with weights
and bounds chosen beforehand, so convex.
"""

from __future__ import annotations

from typing import NamedTuple, final

import numpy as np

from theory.errors import check_positive
from theory.maps.base import Map, check_map
from theory.maps.gru import GRU
from theory.maps.lstm import LSTM
from theory.projections.interface import LARGEST_GRADE, check_asked_rate
from theory.typing import Array

#: The ratio of the weights by default.  On text the loss falls with it, and up to here faster than
#: the certified context grows (examples/results).
RATIO = 2.0**40

#: The least and the largest bound of the gates that keep a state, as parts of the rate.
KEPT = (0.3, 0.98)

#: The weights take at most so many values: of a GRU each costs a projection time.
_LEVELS = 16

#: Multiples of it, modulo 1, are spread evenly whatever their number.
_GOLDEN = 0.5 * (5.0**0.5 - 1.0)


@final
class GradedNorm(NamedTuple):
    """A norm, and bounds of the gates that keep a state, for `project` and `StableProjection`."""

    weights: Array  # v, of the state
    forget: Array  # of every unit's forget gate, or update gate


def graded_norm(recurrent: Map, *, rate: float, ratio: float = RATIO) -> GradedNorm:
    r"""Return weights of a maximum norm that grow geometrically over the units of a gated cell.

    The bounds of the gates lie between 0.3 and 0.98 of the rate, evenly and mixed over the units,
    so that every part of the chain has units of long and of short memory.

    Parameters
    ----------
    recurrent : LSTM or GRU
        Its number of units is taken, no parameter.
    rate : float
        The contraction factor that will be asked for, 0 < rate < 1.
    ratio : float
        The largest weight over the least, between 1 and 2**100.  A larger one leaves more room, and
        lengthens certified contexts by log(ratio) / log(1 / rate) at most.

    Returns
    -------
    GradedNorm
        weights, (N,) for a state of N entries, and forget, (n,).

    Raises
    ------
    ValueError
        If the map is no LSTM or GRU, or a number is outside its range.

    Examples
    --------
    >>> from theory import GRU
    >>> from theory.projections import project
    >>> cell = GRU([[0.0, 0.0]] * 5 + [[30.0, 0.0]], [[1.0]] * 6)
    >>> norm = graded_norm(cell, rate=0.9)
    >>> ask = {"onto": "gru", "per_unit": True, "rate": 0.9}
    >>> project(cell, **ask, weights=[1.0, 1.0]).distance > 20  # units that weigh the same
    True
    >>> project(cell, **ask, weights=norm.weights).distance
    0.0
    """
    check_map(recurrent)
    if not isinstance(recurrent, LSTM | GRU):
        raise ValueError(
            f"received {recurrent!r}, needed an LSTM or a GRU, whose gates have bounds"
        )
    asked = check_asked_rate(rate)
    check_positive(ratio=ratio)
    if not 1 <= ratio <= 2.0**LARGEST_GRADE:
        raise ValueError(f"ratio={ratio!r}, needed 1 <= ratio <= 2**{LARGEST_GRADE}")
    n = recurrent.units
    levels = min(n, _LEVELS)
    v = ratio ** (np.arange(n) * levels // n / max(levels - 1, 1))
    low, high = (part * asked for part in KEPT)
    forget = low + (high - low) * (np.arange(n) * _GOLDEN % 1.0)
    return GradedNorm(np.tile(v, recurrent.state_dim // n), np.asarray(forget, dtype=np.float64))
