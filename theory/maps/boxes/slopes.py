r"""Matrices of the difference quotients of a step over a box, enclosed entry by entry.

Main names: `affine_slopes`, `leaky_slopes`, `lstm_slopes`, `gru_slopes`, `stacked_slopes`.

For all states h, g of the box and one input of it, step(h, x) - step(g, x) = M (h - g) with a
matrix M in the enclosure; where the step is smooth that is the mean of Jacobians, and at a box of
one point the enclosure holds the Jacobian.  The same for two inputs and one state.  What comes from
above, the W or the U of the gates, is called V.
"""

from __future__ import annotations

import math

import numpy as np

from theory.arithmetic.activations import SIGMOID, TANH, Activation
from theory.arithmetic.hard import LOGISTIC, Gate
from theory.arithmetic.intervals import (
    Interval,
    activation_image,
    affine_image,
    complement,
    matrix_product,
    products,
    slope_range,
    sum_of,
)
from theory.maps.boxes.ends import Ends, Weights, preactivation
from theory.typing import Array


def times_rows(rows: Interval, V: Array | Interval) -> Interval:
    """Enclose diag(s) V."""
    column = rows[0][:, None], rows[1][:, None]
    return products(column, V if isinstance(V, tuple) else (V, V))


def slopes_at(rho: Activation, at: Interval) -> Interval:
    """Enclose the slopes of an activation; at a kink those of both sides."""
    if math.isfinite(rho.curvature) or rho.slope[0] == rho.slope[1]:
        return slope_range(rho, *at)
    return slope_range(rho, np.nextafter(at[0], -np.inf), np.nextafter(at[1], np.inf))


def affine_slopes(weights: Weights, rho: Activation, box: Ends, V: Array) -> Interval:
    """Enclose diag(s) V of rho(W h + U x + b)."""
    at = preactivation(weights, (box.low, box.high), (box.input_low, box.input_high))
    return times_rows(slopes_at(rho, at), V)


def leaky_slopes(
    weights: Weights, leak: Array, rho: Activation, box: Ends, *, in_state: bool
) -> Interval:
    """Enclose (1 - a) I + a diag(s) W, or a diag(s) U."""
    V = weights.W if in_state else weights.U
    driven = times_rows((leak, leak), affine_slopes(weights, rho, box, V))
    return _with_diagonal(complement(leak), driven) if in_state else driven


def _with_diagonal(d: Interval, A: Interval) -> Interval:
    """Enclose diag(d) + A."""
    low, high = A[0].copy(), A[1].copy()
    units = np.arange(len(low))
    low[units, units], high[units, units] = sum_of(d, (A[0][units, units], A[1][units, units]))
    return low, high


def lstm_slopes(gates: Weights, box: Ends, *, in_state: bool) -> Interval:
    r"""Enclose d(c+, h+) / d(c, h), (2 n, 2 n), or by the inputs, (2 n, m).

    dc+ = f dc + (s_i g V_i + s_f c V_f + i s_g V_g) dv,     dh+ = o t' dc+ + s_o t V_o dv,
    t = tanh(c+).
    """
    n = len(gates.W) // 4
    cell = box.low[:n], box.high[:n]
    low, high = preactivation(gates, (box.low[n:], box.high[n:]), (box.input_low, box.input_high))
    i, f, g, o = zip(np.split(low, 4), np.split(high, 4), strict=True)
    gate_i, gate_f, gate_o = (activation_image(SIGMOID, *at) for at in (i, f, o))
    gate_g = activation_image(TANH, *g)
    V_i, V_f, V_g, V_o = np.split(gates.W if in_state else gates.U, 4)
    by = sum_of(
        times_rows(products(slopes_at(SIGMOID, i), gate_g), V_i),
        times_rows(products(slopes_at(SIGMOID, f), cell), V_f),
        times_rows(products(gate_i, slopes_at(TANH, g)), V_g),
    )
    new = sum_of(products(gate_f, cell), products(gate_i, gate_g))
    through = products(gate_o, slopes_at(TANH, new))
    shown = products(slopes_at(SIGMOID, o), activation_image(TANH, *new))
    out = sum_of(times_rows(through, by), times_rows(shown, V_o))
    if not in_state:
        return np.vstack([by[0], out[0]]), np.vstack([by[1], out[1]])
    kept = products(through, gate_f)
    low, high = (
        np.block([[np.diag(gate_f[end]), by[end]], [np.diag(kept[end]), out[end]]])
        for end in (0, 1)
    )
    return low, high


def gru_slopes(
    gates: Weights,
    b_candidate: Array,
    box: Ends,
    *,
    reset_after: bool,
    in_state: bool,
    gate: Gate = LOGISTIC,
) -> Interval:
    r"""Enclose dh+ / dh, (n, n), or by the inputs, (n, m).

    dh+ = z dh + (1 - z) s_n dv + (h - n) s_z V_z, where v is the candidate's argument:
    dv = s_r w V_r + r V_n, w = W_n h + b_c, or W_n (s_r h V_r + r I).
    """
    n = len(gates.W) // 3
    states, inputs = (box.low, box.high), (box.input_low, box.input_high)
    low, high = preactivation(
        Weights(gates.W[: 2 * n], gates.U[: 2 * n], gates.b[: 2 * n]), states, inputs
    )
    at_r, at_z = (low[:n], high[:n]), (low[n:], high[n:])
    r, z = gate.image(*at_r), gate.image(*at_z)
    W_n = gates.W[2 * n :]
    own = affine_image(gates.U[2 * n :], *inputs, gates.b[2 * n :])
    V_r, V_z, V_n = np.split(gates.W if in_state else gates.U, 3)
    held = affine_image(W_n, *states, b_candidate) if reset_after else states
    turned = times_rows(products(gate.slopes(*at_r), held), V_r)
    if reset_after:
        at_n = sum_of(own, products(r, held))
        moved = sum_of(turned, times_rows(r, V_n) if in_state else (V_n, V_n))
    else:
        at_n = sum_of(own, affine_image(W_n, *products(r, held)))
        moved = matrix_product((W_n, W_n), _with_diagonal(r, turned) if in_state else turned)
        moved = moved if in_state else sum_of(moved, (V_n, V_n))
    candidate = activation_image(TANH, *at_n)
    rest = gate.rest(*at_z)  # 1 - z
    apart = sum_of(states, (-candidate[1], -candidate[0]))
    M = sum_of(
        times_rows(products(rest, slopes_at(TANH, at_n)), moved),
        times_rows(products(gate.slopes(*at_z), apart), V_z),
    )
    return _with_diagonal(z, M) if in_state else M


def stacked_slopes(
    own: list[Interval], seen: list[Interval], readouts: list[Array], *, in_state: bool
) -> Interval:
    """Enclose the slopes of a stack, block lower triangular, from those of its layers."""
    sizes = [len(low) for low, _ in (own if in_state else seen)]
    ends = np.cumsum([0, *sizes]).tolist()
    total = ends[-1]
    width = total if in_state else seen[0][0].shape[1]
    low, high = np.zeros((total, width)), np.zeros((total, width))
    for number in range(len(sizes)):
        rows = slice(ends[number], ends[number + 1])
        if number:
            below = slice(ends[number - 1], ends[number])
            # what does not depend on a state stays exactly zero
            known = slice(0, ends[number] if in_state else width)
            C = readouts[number - 1]
            part = low[below, known], high[below, known]
            shown = matrix_product((C, C), part)
            low[rows, known], high[rows, known] = matrix_product(seen[number], shown)
        elif not in_state:
            low[rows], high[rows] = seen[0]
        if in_state:
            low[rows, rows], high[rows, rows] = own[number]
    return low, high
