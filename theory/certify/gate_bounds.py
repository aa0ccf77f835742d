"""Certificates of LSTM and GRU cells by the bounds of their gates.

Main names: `certify`, `sigmoid_up`.
"""

from __future__ import annotations

import numpy as np

from theory.arithmetic.activations import SIGMOID, TANH
from theory.arithmetic.intervals import activation_image
from theory.arithmetic.sums import raised, sums_up
from theory.certificates import Contraction, Evidence
from theory.domain import Domain
from theory.maps.base import Map
from theory.maps.gru import GRU
from theory.maps.lstm import LSTM
from theory.norms.norms import Linf, WeightedLinf
from theory.typing import Array


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
