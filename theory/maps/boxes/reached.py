r"""Steps of zonotopes of states, with the inputs as fresh symbols.

Main names: `Reach`, `affine_reach`, `leaky_reach`, `lstm_reach`, `gru_reach`.

Every step takes a zonotope of states of which all symbols are shared, and a box that holds the
states of interest before and after it.  It returns a zonotope of the states after the step, and
`ranges`: intervals of the arguments of all gates, one below the other, over the same states and all
inputs.  What a gate multiplies is taken as a form, so that it keeps what it shares with the rest.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from theory.arithmetic.activations import SIGMOID, TANH, Activation
from theory.arithmetic.intervals import (
    Interval,
    activation_image,
    affine_image,
    complement,
    products,
    sum_of,
)
from theory.arithmetic.relaxations import relaxed
from theory.arithmetic.zonotopes import Zonotope, combination, product, stacked
from theory.maps.boxes.ends import Weights, meet, mixed, preactivation
from theory.typing import Array

#: A form may be so many times as wide as the box that is known to hold it before the box takes its
#: place: what a form shares with others is worth a larger width, but it must not grow for ever.
EXCESS = 4.0


class Reach(NamedTuple):
    """What one step makes of a zonotope of states."""

    states: Zonotope
    ranges: Interval  # of the gates' arguments, (p,) each


def _with_inputs(states: Zonotope, inputs: Interval) -> Zonotope:
    """Return (h, x), the inputs with symbols of their own."""
    x = Zonotope.box(*inputs).unshared()
    return stacked(states.padded(after=x.symbols), x.padded(before=states.symbols))


def _arguments(gates: Weights, both: Zonotope, states: Interval, inputs: Interval) -> tuple[
    Zonotope, Interval
]:  # fmt: skip
    """Return the form of W h + U x + b, and its ends, with those of the box of states."""
    form = both.affine(np.hstack([gates.W, gates.U]), gates.b)
    return form, meet(form.hull(), preactivation(gates, states, inputs))


def _ends(part: Interval, rows: slice) -> Interval:
    return part[0][rows], part[1][rows]


def leaky_reach(
    weights: Weights,
    leak: Array,
    rho: Activation,
    states: Zonotope,
    inputs: Interval,
    box: Interval,
) -> Reach:
    """Return the step (1 - a) h + a rho(W h + U x + b); a = 1 is that of an affine map."""
    both = _with_inputs(states, inputs)
    return leaky_carried(weights, leak, rho, both, states.clipped(*box), inputs, box)


def leaky_carried(
    weights: Weights,
    leak: Array,
    rho: Activation,
    both: Zonotope,
    known: Interval,
    inputs: Interval,
    box: Interval,
    ranges: Interval | None = None,
) -> Reach:
    """Return the step of (h, x), whose symbols are shared, from states in `known` into a box.

    Of the arguments of rho `ranges` may be known besides.
    """
    form, at = _arguments(weights, both, known, inputs)
    at = at if ranges is None else meet(at, ranges)
    new = relaxed(rho, form, *at)
    image = activation_image(rho, *at)
    if (leak == 1.0).all():
        return Reach(new.within(*meet(image, box), EXCESS), at)
    kept = both.rows(slice(len(leak)))
    total = combination([(complement(leak), kept), (leak, new)])
    return Reach(total.within(*meet(mixed((leak, leak), image, known), box), EXCESS), at)


def lstm_reach(gates: Weights, states: Zonotope, inputs: Interval, box: Interval) -> Reach:
    """Return the step of (c, h); the ranges are those of the arguments of i, f, g and o."""
    both = _with_inputs(states, inputs)
    return lstm_carried(gates, both, states.clipped(*box), inputs, box)


def lstm_carried(
    gates: Weights, both: Zonotope, known: Interval, inputs: Interval, box: Interval
) -> Reach:
    """Return the step of (c, h, x), as `leaky_carried`."""
    n = len(gates.W) // 4
    cell, hidden = slice(n), slice(n, 2 * n)
    h_x = both.rows(slice(n, None))
    form, at = _arguments(gates, h_x, _ends(known, hidden), inputs)
    rows = [slice(k * n, (k + 1) * n) for k in range(4)]
    forms = [
        relaxed(rho, form.rows(r), *_ends(at, r))
        for rho, r in zip((SIGMOID, SIGMOID, TANH, SIGMOID), rows, strict=True)
    ]
    ends = [
        activation_image(rho, *_ends(at, r))
        for rho, r in zip((SIGMOID, SIGMOID, TANH, SIGMOID), rows, strict=True)
    ]
    i, f, g, o = forms
    kept = product(f, both.rows(cell), ends[1], _ends(known, cell))
    new = product(i, g, ends[0], ends[2], plus=kept)
    least = sum_of(products(ends[1], _ends(known, cell)), products(ends[0], ends[2]))
    inside = meet(least, _ends(box, cell))
    c = new.within(*inside, EXCESS).unshared()
    c_ends = meet(c.hull(), inside)
    shown, shown_ends = relaxed(TANH, c, *c_ends), activation_image(TANH, *c_ends)
    h = product(o, shown, ends[3], shown_ends)
    h = h.within(*meet(products(ends[3], shown_ends), _ends(box, hidden)), EXCESS)
    return Reach(stacked(c, h), at)


def gru_reach(
    gates: Weights,
    b_candidate: Array,
    states: Zonotope,
    inputs: Interval,
    box: Interval,
    *,
    reset_after: bool,
) -> Reach:
    """Return the step of h; the ranges are the arguments of r, z and n, then W_n h + b_c if used.

    The last is what r multiplies where the reset gate comes after W_n.
    """
    both, known = _with_inputs(states, inputs), states.clipped(*box)
    return gru_carried(gates, b_candidate, both, known, inputs, box, reset_after=reset_after)


def gru_carried(
    gates: Weights,
    b_candidate: Array,
    both: Zonotope,
    known: Interval,
    inputs: Interval,
    box: Interval,
    *,
    reset_after: bool,
) -> Reach:
    """Return the step of (h, x), as `leaky_carried`."""
    n = len(gates.W) // 3
    h = both.rows(slice(n))
    first = Weights(gates.W[: 2 * n], gates.U[: 2 * n], gates.b[: 2 * n])
    form, at = _arguments(first, both, known, inputs)
    at_r, at_z = _ends(at, slice(n)), _ends(at, slice(n, None))
    r, z = (
        relaxed(SIGMOID, form.rows(slice(n)), *at_r),
        relaxed(SIGMOID, form.rows(slice(n, None)), *at_z),
    )
    r_ends, z_ends = activation_image(SIGMOID, *at_r), activation_image(SIGMOID, *at_z)
    W_n, U_n, b_n = gates.W[2 * n :], gates.U[2 * n :], gates.b[2 * n :]
    one = np.ones(n)
    x = both.rows(slice(n, None))
    own, own_ends = x.affine(U_n, b_n), affine_image(U_n, *inputs, b_n)
    parts = [at]
    if reset_after:
        held = h.affine(W_n, b_candidate)
        held_ends = meet(held.hull(), affine_image(W_n, *known, b_candidate))
        argument = product(r, held, r_ends, held_ends, plus=own)
        moved = products(r_ends, held_ends)
    else:
        # W_n acts on what is left of r h, too
        inner = product(r, h, r_ends, known).unshared()
        moved_ends = meet(inner.hull(), products(r_ends, known))
        argument = combination([(one, own), (one, inner.affine(W_n))])
        moved = affine_image(W_n, *moved_ends)
    at_n = meet(argument.hull(), sum_of(own_ends, moved))
    parts.append(at_n)
    if reset_after:
        parts.append(held_ends)
    # n counts twice in n + z (h - n)
    new, new_ends = relaxed(TANH, argument, *at_n).unshared(), activation_image(TANH, *at_n)
    apart = combination([(one, h), (-one, new)])
    apart_ends = sum_of(known, (-new_ends[1], -new_ends[0]))
    total = product(z, apart, z_ends, apart_ends, plus=new)
    total = total.within(*meet(mixed(z_ends, known, new_ends), box), EXCESS)
    low, high = zip(*parts, strict=True)
    return Reach(total, (np.concatenate(low), np.concatenate(high)))
