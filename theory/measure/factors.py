r"""Jacobians along a trajectory as products of weights and elementwise factors.

Main names: `factors`, `Factors`.

The forms, numbered as in `theory.kernels.jacobians`, are

    0   J_t itself,
    1   J_t v = s_0 v + sum over gates g of s_g (W_g v),                s_. = S[t, .], elementwise
    2   dc+ = s_0 dc + s_1 W_i dh + s_2 W_f dh + s_3 W_g dh,   dh+ = s_5 dc+ + s_4 W_o dh,

form 1 being that of rho(W h + ..), of a leaky one and of a GRU, form 2 that of an LSTM.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from theory.arithmetic.activations import SIGMOID, TANH
from theory.arithmetic.rounding import UNIT
from theory.maps.base import Map
from theory.maps.esn import EchoStateNetwork
from theory.maps.gru import GRU
from theory.maps.lstm import LSTM
from theory.typing import Array

#: The relative residual at which Lanczos stops.  A Ritz value with residual e is within e of a
#: singular value, and below the largest by about e**2 / gap, which is u / gap here: as good as
#: rounding itself, unless the two largest are nearly the same, when it is their distance at most.
RESIDUAL = math.sqrt(UNIT)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Factors:
    """The Jacobians of a whole trajectory as products of few arrays."""

    form: int  # 1 or 2, see above
    W: Array  # the gates' weights, one below the other, (gates n, n)
    S: Array  # elementwise factors, (T, 1 + gates or 6, n)
    seen: Array  # those of the gates' input weights, (T, gates, n)


def factors(recurrent: Map, H: Array, X: Array) -> Factors | None:
    """Return the Jacobians at states H, (T, n), and inputs X, (T, m); None if they have no form."""
    form = recurrent.affine()
    if form is not None:
        slopes = form.rho.derivative(H @ form.W.T + X @ form.U.T + form.b)
        return _gated(form.W, np.zeros_like(slopes), slopes)
    if isinstance(recurrent, EchoStateNetwork):
        slopes = recurrent.activation.derivative(H @ recurrent.W.T + recurrent.input_terms(X))
        return _gated(recurrent.W, 1.0 - recurrent.leak + 0.0 * H, recurrent.leak * slopes)
    if isinstance(recurrent, GRU) and recurrent.variant == "reset_after":
        return _of_gru(recurrent, H, X)
    return _of_lstm(recurrent, H, X) if isinstance(recurrent, LSTM) else None


def _gated(W: Array, *slopes: Array, form: int = 1) -> Factors:
    S = np.stack(slopes, axis=1)
    # a copy of its own: Numba would compile once more for a read-only array
    return Factors(form=form, W=np.array(W), S=S, seen=S[:, 1:5])


def _of_gru(cell: GRU, H: Array, X: Array) -> Factors:
    a, terms = H @ cell.W.T, cell.input_terms(X)
    r, z = np.split((a + terms)[:, : 2 * cell.units], 2, axis=1)
    # v goes through the reset gate: h+ = (1 - z) n + z h, n = tanh(u + r v)
    v = a[:, 2 * cell.units :] + cell.b_candidate
    u = terms[:, 2 * cell.units :] + SIGMOID(r) * v
    inner = (1.0 - SIGMOID(z)) * TANH.derivative(u)
    found = _gated(
        cell.W,
        SIGMOID(z),
        inner * SIGMOID.derivative(r) * v,
        (H - TANH(u)) * SIGMOID.derivative(z),
        inner * SIGMOID(r),
    )
    # the input of the candidate does not pass through the reset gate
    seen = np.concatenate([found.S[:, 1:3], inner[:, None]], axis=1)
    return replace(found, seen=seen)


def _of_lstm(cell: LSTM, H: Array, X: Array) -> Factors:
    c, h = np.split(H, 2, axis=1)
    i, f, g, o = np.split(h @ cell.W.T + cell.input_terms(X), 4, axis=1)
    new = SIGMOID(f) * c + SIGMOID(i) * TANH(g)
    return _gated(
        cell.W,
        SIGMOID(f),
        SIGMOID.derivative(i) * TANH(g),
        SIGMOID.derivative(f) * c,
        SIGMOID(i) * TANH.derivative(g),
        SIGMOID.derivative(o) * TANH(new),
        SIGMOID(o) * TANH.derivative(new),
        form=2,
    )
