"""What the sets of LSTM and GRU cells share: the search for the bounds of gates.

Main names: `finish`, `best_number`, `log_odds`, `log_odds_up`.

For fixed bounds of the gates the published sets are convex: the rows of a unit obey a few
inequalities on weighted sums of absolute values (`theory.projections.rows`), and units do not share
parameters.  What remains is to choose the bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from theory.arithmetic.rounding import ELEMENTARY_UNITS, UNIT, gamma
from theory.certificates import Contraction
from theory.certify.gate_bounds import certify
from theory.maps.base import Map
from theory.projections.base import M, Request, accepted_arrays, with_parameters
from theory.projections.repair import SINGLE_UNIT
from theory.typing import Array

#: Grid of forget bounds, as fractions of the rate, before the search refines the best.
GRID = (0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.88, 0.94, 0.98)

#: The search for a bound ends when its bracket is this narrow, relative to the rate.
_NARROW = 1e-3

_GOLDEN = 0.5 * (math.sqrt(5.0) - 1.0)

#: A rate this near to 1/2 leaves the published sets no room that could be proved.
LEAST_RATE = 0.5 + 2.0**-30


def check_published_rate(rate: float, gates: str, otherwise: str) -> None:
    """Refuse rates at which the published sets are empty.

    Raises
    ------
    ValueError
        If the rate is not above 1/2.
    """
    if not rate >= LEAST_RATE:
        raise ValueError(
            f"rate={rate!r}: the set takes the absolute value of the {gates} gates' biases, so "
            f"their bound is at least 1/2, and the rate at least {LEAST_RATE!r}; {otherwise}"
        )


#: A computed log(f / (1 - f)) = v errs by at most this times 1 + |v|.  The two logarithms err by
#: 8 u of themselves and their difference by u; the smaller one is at most log 2, so together they
#: are at most |log-odds| + 2 log 2, and 8 u (|log-odds| + 1.4) + u |v| < 12 u (1 + |v|).
_ODDS_ERROR = 2 * ELEMENTARY_UNITS * UNIT

#: By how much, relative to 1 + |v|, a candidate keeps below the log-odds of its bound: eight times
#: the error, so that `sigmoid_up` of what comes near it is seen to be within the bound.
_ODDS_ROOM = 8 * _ODDS_ERROR


def _odds(f: Array | float) -> Array:
    return np.asarray(np.log(f) - np.log1p(-np.asarray(f, dtype=np.float64)))


def log_odds(f: Array | float) -> Array:
    """Return log(f / (1 - f)), a little less."""
    value = _odds(f)
    return np.asarray(value - _ODDS_ROOM * (1.0 + np.abs(value)))


def log_odds_up(f: Array | float) -> Array:
    """Return an upper bound of log(f / (1 - f))."""
    value = _odds(f)
    # the product errs by far less than the 4 u (1 + |v|) that the constant has in hand, the sum by
    # less than the next double adds
    return np.asarray(np.nextafter(value + _ODDS_ERROR * (1.0 + np.abs(value)), np.inf))


def first_margin(cell: Map, request: Request) -> float:
    """Return the margin that the rounding of row sums, and the cast, are likely to need."""
    return 8.0 * gamma(4 * cell.state_dim + 64) + (2 * SINGLE_UNIT if request.single else 0.0)


def finish(
    cell: M,
    request: Request,
    point: Callable[[float], tuple[Array, ...]],
    prove: Callable[[M], Contraction | None],
) -> tuple[tuple[Array, ...], Contraction, float]:
    """Return accepted parameters with their certificate and margin.

    Parameters
    ----------
    cell, request
    point
        From a margin, relative to the rate, to the parameters of the nearest point of the smaller
        set.
    prove
        Returns the contraction of a member of the set, None for what is none.

    Raises
    ------
    ArithmeticError
        If no cell near the boundary can be proved to be a member.
    """
    given = cell.parameters

    def stored(arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        return tuple(map(request.stored, arrays, given.values()))

    done = accepted_arrays(
        request,
        point(0.0),
        point,
        lambda arrays: prove(with_parameters(cell, dict(zip(given, arrays, strict=True)))),
        first_margin(cell, request),
        stored,
    )
    if done is None:
        raise ArithmeticError(
            f"no cell near the boundary could be proved to contract at {request.rate!r}; the "
            "weights may be too large for double precision: scale them down first"
        )
    return done


def unmoved(cell: Map, request: Request) -> bool:
    """Return whether all parameters are exact in the type asked for."""
    return all(np.array_equal(request.stored(a, a), a) for a in cell.parameters.values())


def outside_note(cell: Map, request: Request, otherwise: str) -> str:
    """Return a note on cells that contract at the rate although the set does not hold them."""
    c = certify(cell, request.input_bound)
    if c is None or c.lam > request.rate:
        return ""
    return f"the cell given contracts at the rate {c.lam:.6g}, outside of this set{otherwise}"


def best_number(function: Callable[[float], float], first: float, last: float) -> float:
    """Return the number between the two of least value: a grid, then golden sections."""
    grid = [first + (last - first) * share for share in GRID]
    values = [function(f) for f in grid]
    i = int(np.argmin(values))
    low, high = ([first, *grid][i], [*grid, last][i + 1])
    best, least = grid[i], values[i]
    a, b = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_a, at_b = function(a), function(b)
    while high - low > _NARROW * (last - first):
        if at_a <= at_b:
            high, b, at_b = b, a, at_a
            a = high - _GOLDEN * (high - low)
            at_a = function(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + _GOLDEN * (high - low)
            at_b = function(b)
        for f, value in ((a, at_a), (b, at_b)):
            if value < least:
                best, least = f, value
    return best
