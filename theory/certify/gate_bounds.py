"""Certificates of LSTM and GRU cells by the bounds of their gates.

Main names: `certify`, `opened_up`.
"""

from __future__ import annotations

import numpy as np

from theory.arithmetic.gates import GateBounds, tanh_up
from theory.arithmetic.intervals import complement, plus_up
from theory.arithmetic.rounding import upper_after
from theory.certificates import Contraction, certified
from theory.domain import Domain
from theory.maps.base import Map
from theory.maps.gru import GRU
from theory.maps.lstm import LSTM
from theory.norms.norms import Linf, WeightedLinf
from theory.typing import Array


def certify(recurrent: Map, input_bound: float, weights: Array | None = None) -> Contraction | None:
    """Return the contraction of an LSTM or GRU in a maximum norm, by its gates' bounds.

    Parameters
    ----------
    recurrent : LSTM or GRU
    input_bound : float
        Bound of |x_i|.
    weights : (state_dim,) array, optional
        Weights v of the norm max_i |d_i| / v_i, ones by default.

    Returns
    -------
    Contraction or None
        On the domain |h| <= 1 (and |c_j| <= 1 / (1 - f_j)); None if the factor is not below 1.
    """
    if not isinstance(recurrent, LSTM | GRU):
        raise ValueError(f"received {recurrent!r}, needed an LSTM or a GRU")
    # beyond the largest double a factor is infinite, or no number: nothing is certified
    with np.errstate(over="ignore", invalid="ignore"):
        if isinstance(recurrent, LSTM):
            rates, low = _lstm_rates(recurrent, input_bound, weights)
        else:
            rates, low = _gru_rates(recurrent, input_bound, weights)
    if np.isnan(rates).any():
        return None
    bound = np.full(recurrent.input_dim, input_bound)
    return certified(
        float(np.max(rates)),
        Linf() if weights is None else WeightedLinf(weights),
        method="gate bounds",
        detail=f"row sums of a comparison matrix, inputs |x_i| <= {input_bound!r}",
        domain=Domain(low=-low, high=low, input_low=-bound, input_high=bound),
    )


def _lstm_rates(cell: LSTM, input_bound: float, weights: Array | None) -> tuple[Array, Array]:
    r"""Return row sums of the comparison matrix in the weights, and the ends of the states.

    With w_g the row sums of |W_g| v_h and f the bounds of the forget gates, as in
    `theory.projections.lstm`,

        inner = w_i / 4 + w_g + w_f / (4 (1 - f)),
        by c:   f + inner / v_c,               by h:   (f v_c + inner + w_o / 4) / v_h.
    """
    n = cell.units
    v = np.ones(2 * n) if weights is None else weights
    v_c, v_h = v[:n], v[n:]
    gates = {g: GateBounds.of(*cell.gate(g), inputs=input_bound) for g in ("i", "f", "g", "o")}
    f = gates["f"].sigmoid
    # from the bound itself, which rounding has raised: so |c_j| <= largest_j is seen to be kept
    room = np.maximum(np.nextafter(1.0 - f, 0.0), 0.0)
    with np.errstate(divide="ignore"):
        largest = upper_after(1.0 / room, 1)
    rows = {g: gate.weighted(v_h) for g, gate in gates.items()}
    # quarters are exact but for underflow; the longest ways are two sums, a quotient and a sum, and
    # a product, two sums and a quotient
    inner = upper_after(0.25 * rows["i"] + rows["g"] + 0.25 * largest * rows["f"], 2)
    by_c = upper_after(f + inner / v_c, 2)
    by_h = upper_after((f * v_c + inner + 0.25 * rows["o"]) / v_h, 4)
    low = np.append(np.where(np.isfinite(largest), largest, 1.0), np.ones(n))
    return np.append(by_c, by_h), low


def _gru_rates(cell: GRU, input_bound: float, weights: Array | None) -> tuple[Array, Array]:
    r"""Return the factors of all units in the weights, and the ends of the states.

    With w_g the row sums of |W_g| v, r and z the bounds of the gates, N that of |n| and inner the
    factor of the pre-activation of n, the Jacobian's row has at most, for some z' of [0, z],

        z' + (1 - z') inner / v + s(z') (1 + N) w_z / v,        s(z') = z' (1 - z') <= 1 / 4.

    With s = 1 / 4 this is affine in z', so largest at an end.  With the product it is z' + (1 - z')
    (inner + z' (1 + N) w_z) / v, a mean of 1 and of what is largest at z, so at most
    z + (1 - z) (inner + z (1 + N) w_z) / v if the last factor is at most 1.
    """
    n = cell.units
    gates = {g: GateBounds.of(*cell.gate(g), inputs=input_bound) for g in ("r", "z", "n")}
    v = np.ones(n) if weights is None else weights
    rows = {g: gate.rows if weights is None else gate.weighted(v) for g, gate in gates.items()}
    r, z = gates["r"].sigmoid, gates["z"].sigmoid
    extra = np.abs(cell.b_candidate)
    candidate = tanh_up(plus_up(gates["n"].reach, extra))
    if cell.variant == "reset_after":
        through = opened_up(r, rows["n"], upper_after(rows["r"] * gates["n"].rows, 1))
        inner = upper_after(through + 0.25 * rows["r"] * extra, 2)
    else:
        inner = gates["n"].weighted(opened_up(r, v, rows["r"]))
    by_z = upper_after((1.0 + candidate) * rows["z"], 2)
    rest = complement(z)[1]
    last = np.maximum(upper_after(z + rest * (inner / v), 3), upper_after(inner / v, 1))
    rates = upper_after(last + 0.25 * by_z / v, 2)
    both = upper_after((inner + z * by_z) / v, 3)
    together = upper_after(z + rest * both, 2)
    return np.where(both <= 1.0, np.minimum(rates, together), rates), np.ones(n)


def opened_up(r: Array, w: Array, c: Array) -> Array:
    r"""Return the largest of r' w + r' (1 - r') c over r' of [0, r], rounded up.

    The derivative, w + (1 - 2 r') c, falls: if it is not negative at r, the largest is there, else
    at r' = (w + c) / (2 c), and it is (w + c)^2 / (4 c).

    Parameters
    ----------
    r, w, c : arrays, not negative, r <= 1
    """
    at_end = upper_after(r * (w + complement(r)[1] * c), 3)
    least = upper_after(np.maximum(2.0 * r - 1.0, 0.0) * c, 1)
    rising = (r <= 0.5) | (c <= w) | (least <= w)
    # taken only where c > w, so positive
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        inside = upper_after((w + c) * ((w + c) / c) * 0.25, 4)
    return np.where(rising, at_end, inside)
