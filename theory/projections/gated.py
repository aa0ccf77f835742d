r"""What the sets of LSTM and GRU cells share: certificates by the bounds of gates, and the search.

Main names: `certify`, `finish`, `best_number`.

For fixed bounds of the gates the published sets are convex: the rows of a unit obey a few
inequalities on weighted sums of absolute values (`theory.projections.rows`), and units do not share
parameters.  What remains is to choose the bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from theory.activations import SIGMOID, TANH
from theory.certificates import Contraction, Evidence
from theory.domain import Domain
from theory.intervals import activation_image
from theory.maps.base import Map
from theory.norms import Linf, WeightedLinf
from theory.projections.base import Request, settle, with_parameters
from theory.projections.rows import raised, sums_up
from theory.rounding import gamma
from theory.typing import Array

#: Grid of forget bounds, as fractions of the rate, before the search refines the best.
GRID = (0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.88, 0.94, 0.98)

#: The search for a bound ends when its bracket is this narrow, relative to the rate.
_NARROW = 1e-3

_GOLDEN = 0.5 * (math.sqrt(5.0) - 1.0)

#: A rate this near to 1/2 leaves the published sets no room that could be proved.
LEAST_RATE = 0.5 + 2.0**-30


def sigmoid_up(a: Array) -> Array:
    """Return upper bounds of the gates at arguments of at most a."""
    return np.minimum(activation_image(SIGMOID, a, a)[1], 1.0)


def certify(recurrent: Map, input_bound: float, weights: Array | None = None) -> Contraction | None:
    """Return the contraction of an LSTM or GRU in a maximum norm, by its gates' bounds.

    Parameters
    ----------
    recurrent : LSTM or GRU
    input_bound : float
        Bound of |x_i|.
    weights : (state_dim,) array, optional
        Weights of the norm, ones by default; LSTM only.

    Returns
    -------
    Contraction or None
        On the domain |h| <= 1 (and |c_j| <= 1 / (1 - f_j)); None if the factor is not below 1.
    """
    from theory.maps.lstm import LSTM

    if isinstance(recurrent, LSTM):
        rates, low = _lstm_rates(recurrent, input_bound, weights)
    else:
        rates, low = _gru_rates(recurrent, input_bound)
    lam = float(np.max(rates))
    if not lam < 1:
        return None
    bound = np.full(recurrent.input_dim, input_bound)
    return Contraction(
        lam=lam,
        norm=Linf() if weights is None else WeightedLinf(weights),
        evidence=Evidence(
            kind="certified",
            method="gate bounds",
            detail=f"row sums of a comparison matrix, inputs |x_i| <= {input_bound!r}",
        ),
        domain=Domain(low=-low, high=low, input_low=-bound, input_high=bound),
    )


def _lstm_rates(cell: object, input_bound: float, weights: Array | None) -> tuple[Array, Array]:
    """Return row sums of the comparison matrix in the weights, and the ends of the states."""
    from theory.maps.lstm import LSTM

    assert isinstance(cell, LSTM)
    n = cell.units
    v = np.ones(2 * n) if weights is None else weights
    v_c, v_h = v[:n], v[n:]
    W_f, U_f, b_f = cell.gate("f")
    reach = raised(sums_up(W_f) + input_bound * sums_up(U_f))
    f = sigmoid_up(np.nextafter(reach + b_f, np.inf))
    room = np.nextafter(1.0 - f, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        largest = np.where(room > 0, raised(1.0 / np.maximum(room, 2.0**-1000)), np.inf)
    rows = {g: sums_up(cell.gate(g)[0], v_h) for g in ("i", "f", "g", "o")}
    inner = raised(0.25 * rows["i"] + rows["g"] + 0.25 * largest * rows["f"])
    by_c = raised(f + inner / v_c)
    by_h = raised((f * v_c + inner + 0.25 * rows["o"]) / v_h)
    low = np.append(np.where(np.isfinite(largest), largest, 1.0), np.ones(n))
    return np.append(by_c, by_h), low


def _gru_rates(cell: object, input_bound: float) -> tuple[Array, Array]:
    """Return the factors of all units in the maximum norm, and the ends of the states."""
    from theory.maps.gru import GRU

    if not isinstance(cell, GRU):
        raise ValueError(f"received {cell!r}, needed an LSTM or a GRU")
    n = cell.units
    rows, bounds = {}, {}
    for g in ("r", "z", "n"):
        W, U, b = cell.gate(g)
        rows[g] = sums_up(W)
        bounds[g] = raised(rows[g] + input_bound * sums_up(U)), b
    r, z = (sigmoid_up(np.nextafter(bounds[g][0] + bounds[g][1], np.inf)) for g in ("r", "z"))
    reach, b_n = bounds["n"]
    extra = np.abs(cell.b_candidate)
    top = raised(reach + np.abs(b_n) + extra)
    candidate = np.minimum(activation_image(TANH, top, top)[1], 1.0)
    if cell.variant == "reset_after":
        inner = raised(r * rows["n"] + 0.25 * rows["r"] * (rows["n"] + extra))
    else:
        inner = sums_up(cell.gate("n")[0], raised(r + 0.25 * rows["r"]))
    by_z = raised(0.25 * (1.0 + candidate) * rows["z"])
    # z + (1 - z) inner is affine in z of [0, z_max]
    last = np.maximum(raised(z + (1.0 - z + 2.0**-53) * inner), inner)
    return raised(last + by_z), np.ones(n)


# ------------------------------------------------------------------------------------ projections


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


def log_odds(f: Array | float) -> Array:
    """Return log(f / (1 - f)), a little less."""
    value = np.log(f) - np.log1p(-np.asarray(f, dtype=np.float64))
    return np.asarray(value - 2.0**-46 * (1.0 + np.abs(value)))


def finish(
    cell: Map,
    request: Request,
    point: Callable[[float], tuple[Array, ...]],
    prove: Callable[[Map], Contraction | None],
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
    # for the rounding of row sums, and the cast
    first = 8.0 * gamma(4 * cell.state_dim + 64) + (2.0**-23 if request.single else 0.0)

    def stored(arrays: tuple[Array, ...]) -> tuple[Array, ...]:
        return tuple(map(request.stored, arrays, given.values()))

    done = settle(
        request,
        point(0.0),
        point,
        lambda arrays: prove(with_parameters(cell, dict(zip(given, arrays, strict=True)))),
        first,
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
