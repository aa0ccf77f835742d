r"""Gated steps over boxes: enclosures, invariant boxes, and matrices that majorise a step.

Main names: `Ends`, `lstm_image`, `lstm_box`, `lstm_comparison`, and the same of `gru`, `leaky`.

All of it is interval arithmetic rounded outward (`theory.intervals`) on plain arrays; the maps'
methods `image`, `candidate_box`, `comparison` and `input_comparison` call it.  Differences of two
steps from h and g under the same input are written with secants, for instance

    f c - f' c'  =  f (c - c') + c' (f - f'),      |f - f'| <= slope |W_f| |h - g|,

with the largest slope that the logistic function has on the range of the pre-activation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from theory.activations import SIGMOID, TANH, Activation
from theory.domain import Domain
from theory.intervals import (
    Interval,
    activation_image,
    affine_image,
    plus_up,
    product_matrix_up,
    products,
    slope_range,
    sum_of,
    times_up,
    widened,
)
from theory.typing import Array


class Ends(NamedTuple):
    """A box of states and one of inputs, whose ends may be infinite."""

    low: Array  # (n,)
    high: Array  # (n,)
    input_low: Array  # (m,)
    input_high: Array  # (m,)


class Weights(NamedTuple):
    """The weights of one gate, or of several in a stack."""

    W: Array  # (n, n)
    U: Array  # (n, m)
    b: Array  # (n,)


def ends_of(domain: Domain | None, n: int, m: int) -> Ends:
    """Return the ends of a domain, infinite ones if there is none."""
    if domain is None:
        return Ends(
            np.full(n, -math.inf), np.full(n, math.inf), np.full(m, -math.inf), np.full(m, math.inf)
        )
    if (domain.state_dim, domain.input_dim) != (n, m):
        raise ValueError(
            f"the domain has {domain.state_dim} states and {domain.input_dim} inputs, needed {n} "
            f"and {m}"
        )
    return Ends(domain.low, domain.high, domain.input_low, domain.input_high)


def magnitude(interval: Interval) -> Array:
    """Return the largest |a| in an interval."""
    largest: Array = np.maximum(np.abs(interval[0]), np.abs(interval[1]))
    return largest


def preactivation(gate: Weights, states: Interval, inputs: Interval) -> Interval:
    """Enclose W h + U x + b."""
    return sum_of(affine_image(gate.W, *states, gate.b), affine_image(gate.U, *inputs))


def steepest(rho: Activation, at: Interval) -> Array:
    """Return an upper bound of all slopes of a non-decreasing rho on an interval."""
    return slope_range(rho, *at)[1]


def _scaled(rows: Array, A: Array) -> Array:
    """Return diag(rows) |A|, rounded upward."""
    return times_up(rows[:, None], np.abs(A))


def finite_or_none(*matrices: Array) -> tuple[Array, ...] | None:
    """Return the matrices if all their entries are finite."""
    return matrices if all(np.isfinite(M).all() for M in matrices) else None


def mixed(share: Interval, kept: Interval, new: Interval) -> Interval:
    """Enclose s p + (1 - s) q for s in the share, p in `kept`, q in `new`.

    It is affine in s, hence largest and least at the ends of the share, and a mean of p and q,
    hence within their hull.
    """
    first, last = (sum_of(products((s, s), kept), products(complement(s), new)) for s in share)
    low, high = np.minimum(first[0], last[0]), np.maximum(first[1], last[1])
    return (
        np.maximum(low, np.minimum(kept[0], new[0])),
        np.minimum(high, np.maximum(kept[1], new[1])),
    )


def complement(s: Array) -> Interval:
    """Enclose 1 - s for 0 <= s <= 1."""
    rest = 1.0 - s
    exact = (s == 0) | (s == 1)
    return (
        np.where(exact, rest, np.maximum(np.nextafter(rest, -math.inf), 0.0)),
        np.where(exact, rest, np.minimum(np.nextafter(rest, math.inf), 1.0)),
    )


# ----------------------------------------------------------------------------------------- LSTM


class LSTMRanges(NamedTuple):
    """Ranges of the gates and largest slopes over a box; every array is (n,)."""

    i: Interval
    f: Interval
    g: Interval
    o: Interval
    kept: Interval  # 1 - f
    new: Interval  # i g
    slope_i: Array
    slope_f: Array
    slope_g: Array
    slope_o: Array


def lstm_ranges(gates: Weights, hidden: Interval, inputs: Interval) -> LSTMRanges:
    """Enclose the gates i, f, g, o, stacked in this order, over boxes of h and x."""
    low, high = preactivation(gates, hidden, inputs)
    i, f, g, o = zip(np.split(low, 4), np.split(high, 4), strict=True)
    entry, candidate = activation_image(SIGMOID, *i), activation_image(TANH, *g)
    return LSTMRanges(
        i=entry,
        f=activation_image(SIGMOID, *f),
        g=candidate,
        o=activation_image(SIGMOID, *o),
        kept=activation_image(SIGMOID, -f[1], -f[0]),
        new=products(entry, candidate),
        slope_i=steepest(SIGMOID, i),
        slope_f=steepest(SIGMOID, f),
        slope_g=steepest(TANH, g),
        slope_o=steepest(SIGMOID, o),
    )


def _halves(box: Ends) -> tuple[Interval, Interval, Interval]:
    """Return the intervals of c, h and x."""
    n = len(box.low) // 2
    return (
        (box.low[:n], box.high[:n]),
        (box.low[n:], box.high[n:]),
        (box.input_low, box.input_high),
    )


def lstm_image(gates: Weights, box: Ends) -> Interval:
    """Enclose (c+, h+) over a box of (c, h) and x."""
    cell, hidden, inputs = _halves(box)
    r = lstm_ranges(gates, hidden, inputs)
    c = sum_of(products(r.f, cell), r.new)
    h = products(r.o, activation_image(TANH, *c))
    return np.concatenate([c[0], h[0]]), np.concatenate([c[1], h[1]])


#: Rounds of narrowing, each of the cost of a step or two; most end long before.
_ROUNDS = 30

#: Narrowing ends when no width has lost this part of itself.
_SETTLED = 2.0**-10

#: By how much a candidate is widened, so that the outward-rounded image fits into it.
_ROOM = 2.0**-24


def lstm_box(gates: Weights, inputs: Interval) -> Interval | None:
    r"""Return a box of (c, h) that may be invariant, by alternation between h and c.

    With all forget gates below F < 1 and i g in [l, u], the cell states [min(0, l / (1 - F)),
    max(0, u / (1 - F))] stay, as F c + u <= c at the upper end; they bound h = o tanh(c), hence the
    gates, hence i g and F.
    """
    n = len(gates.W) // 4
    hidden = (-np.ones(n), np.ones(n))
    cell = (np.zeros(n), np.zeros(n))
    for _ in range(_ROUNDS):
        r = lstm_ranges(gates, hidden, inputs)
        rest = r.kept[0]
        if not bool(np.all(rest > 0)):
            return None
        with np.errstate(over="ignore"):
            cell = _with_room(r.new[0] / rest, r.new[1] / rest)
        if not (np.isfinite(cell[0]).all() and np.isfinite(cell[1]).all()):
            return None
        outer = _with_room(*products(r.o, activation_image(TANH, *cell)))
        smaller = np.maximum(outer[0], hidden[0]), np.minimum(outer[1], hidden[1])
        before, after = hidden[1] - hidden[0], smaller[1] - smaller[0]
        hidden = smaller
        if bool(np.all(after >= before * (1 - _SETTLED))):
            break
    return np.concatenate([cell[0], hidden[0]]), np.concatenate([cell[1], hidden[1]])


def _with_room(low: Array, high: Array) -> Interval:
    """Return the hull of 0 and an interval, a little wider."""
    wide = (1 + _ROOM, 2.0**-500)
    return (
        np.where(low < 0, low * wide[0] - wide[1], 0.0),
        np.where(high > 0, high * wide[0] + wide[1], 0.0),
    )


class LSTMGains(NamedTuple):
    """What multiplies differences in one step of an LSTM; every array is (n,)."""

    forget: Array  # of c in c+
    by_i: Array  # of the pre-activations of i, f, g in c+
    by_f: Array
    by_g: Array
    output: Array  # of c+ in h+
    by_o: Array  # of the pre-activation of o in h+


def lstm_gains(gates: Weights, box: Ends) -> LSTMGains:
    r"""Bound what multiplies each difference.

    c+ - c'+ = f (c - c') + c' (f - f') + i (g - g') + g' (i - i'),
    h+ - h'+ = o (tanh c+ - tanh c'+) + tanh(c'+) (o - o').
    """
    cell, hidden, inputs = _halves(box)
    r = lstm_ranges(gates, hidden, inputs)
    c = sum_of(products(r.f, cell), r.new)
    return LSTMGains(
        forget=r.f[1],
        by_i=times_up(r.slope_i, magnitude(r.g)),
        by_f=times_up(r.slope_f, magnitude(cell)),
        by_g=times_up(r.i[1], r.slope_g),
        output=times_up(r.o[1], steepest(TANH, c)),
        by_o=times_up(r.slope_o, magnitude(activation_image(TANH, *c))),
    )


def lstm_comparison(gates: Weights, box: Ends) -> tuple[Array, ...] | None:
    """Return the matrix (2 n, 2 n) that majorises a step; None if it is not finite."""
    k = lstm_gains(gates, box)
    A, last = _lstm_blocks(k, gates.W)
    n = len(A)
    M = np.zeros((2 * n, 2 * n))
    units = np.arange(n)
    M[units, units] = k.forget
    M[units + n, units] = times_up(k.output, k.forget)
    M[:n, n:], M[n:, n:] = A, last
    return finite_or_none(M)


def _lstm_blocks(k: LSTMGains, V: Array) -> tuple[Array, Array]:
    """Return what multiplies |v - v'|, V v being in the gates: of c+ and of h+."""
    V_i, V_f, V_g, V_o = np.split(V, 4)
    A = plus_up(_scaled(k.by_i, V_i), _scaled(k.by_f, V_f), _scaled(k.by_g, V_g))
    return A, plus_up(times_up(k.output[:, None], A), _scaled(k.by_o, V_o))


def lstm_input_comparison(gates: Weights, box: Ends) -> Array | None:
    """Return the matrix (2 n, m) that majorises a step in its input; None if it is not finite."""
    found = finite_or_none(np.vstack(_lstm_blocks(lstm_gains(gates, box), gates.U)))
    return None if found is None else found[0]


# ------------------------------------------------------------------------------------------ GRU


class GRURanges(NamedTuple):
    """Ranges and largest slopes over a box; every array is (n,)."""

    z: Interval
    rest: tuple[Array, Array]  # upper bounds of 1 - z at the least and at the largest z
    candidate: Interval
    slope_z: Array
    slope_n: Array
    r: Array  # largest r
    turned: Array  # largest |v| times the slope of r, where v is what r multiplies


def gru_ranges(gates: Weights, b_candidate: Array, box: Ends, *, reset_after: bool) -> GRURanges:
    """Enclose the gates r, z and the candidate, stacked in this order, over a box."""
    n = len(gates.W) // 3
    states, inputs = (box.low, box.high), (box.input_low, box.input_high)
    low, high = preactivation(
        Weights(gates.W[: 2 * n], gates.U[: 2 * n], gates.b[: 2 * n]), states, inputs
    )
    at_r, at_z = (low[:n], high[:n]), (low[n:], high[n:])
    r = activation_image(SIGMOID, *at_r)
    own = affine_image(gates.U[2 * n :], *inputs, gates.b[2 * n :])
    if reset_after:
        held = affine_image(gates.W[2 * n :], *states, b_candidate)
        at_n = sum_of(own, products(r, held))
    else:
        held = states
        at_n = sum_of(own, affine_image(gates.W[2 * n :], *products(r, held)))
    z = activation_image(SIGMOID, *at_z)
    return GRURanges(
        z=z,
        rest=(complement(z[0])[1], complement(z[1])[1]),
        candidate=activation_image(TANH, *at_n),
        slope_z=steepest(SIGMOID, at_z),
        slope_n=steepest(TANH, at_n),
        r=r[1],
        turned=times_up(steepest(SIGMOID, at_r), magnitude(held)),
    )


def gru_image(gates: Weights, b_candidate: Array, box: Ends, *, reset_after: bool) -> Interval:
    """Enclose (1 - z) n + z h over a box of h and x."""
    r = gru_ranges(gates, b_candidate, box, reset_after=reset_after)
    return mixed(r.z, (box.low, box.high), r.candidate)


def gru_box(gates: Weights, b_candidate: Array, inputs: Interval, *, reset_after: bool) -> Interval:
    r"""Return a box of h that may be invariant: the hull of 0 and the candidates it gives.

    h+ is a mean of h and n, so a box that holds every n it gives is never left.
    """
    n = len(gates.W) // 3
    low, high = -np.ones(n), np.ones(n)
    for _ in range(_ROUNDS):
        found = gru_ranges(
            gates, b_candidate, Ends(low, high, *inputs), reset_after=reset_after
        ).candidate
        outer = _with_room(*found)
        smaller = np.maximum(outer[0], low), np.minimum(outer[1], high)
        settled = bool(np.all(smaller[1] - smaller[0] >= (high - low) * (1 - _SETTLED)))
        low, high = smaller
        if settled:
            break
    return low, high


def _gru_candidate(gates: Weights, r: GRURanges, *, reset_after: bool, in_state: bool) -> Array:
    """Return what multiplies a difference of h (or of x) in the candidate n.

    The reset gate multiplies W_n h + b_c, or h before W_n: r v - r' v' = r (v - v') + v' (r - r').
    """
    V_r, _, V_n = np.split(gates.W if in_state else gates.U, 3)
    W_n = np.abs(np.split(gates.W, 3)[2])
    inner = _scaled(r.turned, V_r)
    if reset_after:
        through = plus_up(_scaled(r.r, V_n) if in_state else np.abs(V_n), inner)
    elif in_state:
        through = product_matrix_up(W_n, plus_up(np.diag(r.r), inner))
    else:
        through = plus_up(np.abs(V_n), product_matrix_up(W_n, inner))
    return times_up(r.slope_n[:, None], through)


def gru_comparison(
    gates: Weights, b_candidate: Array, box: Ends, *, reset_after: bool
) -> tuple[Array, ...] | None:
    r"""Return two matrices that majorise a step: at the least and at the largest update gate.

    h+ - g+ = z (h - g) + (1 - z) (n - n') + (z - z') (g - n'), with z that of h and n', z' of g:
    affine in z entry by entry, hence largest at an end of its range.
    """
    r = gru_ranges(gates, b_candidate, box, reset_after=reset_after)
    N = _gru_candidate(gates, r, reset_after=reset_after, in_state=True)
    Z = _scaled(times_up(r.slope_z, _apart(r, box)), np.split(gates.W, 3)[1])
    matrices = [plus_up(np.diag(r.z[end]), times_up(r.rest[end][:, None], N), Z) for end in (0, 1)]
    return finite_or_none(*matrices)


def _apart(r: GRURanges, box: Ends) -> Array:
    """Return the largest |h - n| for h in the box and n a candidate."""
    with np.errstate(over="ignore"):
        low = np.nextafter(box.low - r.candidate[1], -math.inf)
        high = np.nextafter(box.high - r.candidate[0], math.inf)
    return magnitude((low, high))


def gru_input_comparison(
    gates: Weights, b_candidate: Array, box: Ends, *, reset_after: bool
) -> Array | None:
    """Return the matrix (n, m) that majorises a step in its input; None if it is not finite."""
    r = gru_ranges(gates, b_candidate, box, reset_after=reset_after)
    by_x = _gru_candidate(gates, r, reset_after=reset_after, in_state=False)
    U_z = np.split(gates.U, 3)[1]
    # z (h - h) vanishes, and 1 - z is largest at the least z
    G = plus_up(
        times_up(r.rest[0][:, None], by_x), _scaled(times_up(r.slope_z, _apart(r, box)), U_z)
    )
    found = finite_or_none(G)
    return None if found is None else found[0]


# ---------------------------------------------------------------------------------------- leaky


def leaky_image(weights: Weights, leak: Array, rho: Activation, box: Ends) -> Interval:
    """Enclose (1 - a) h + a rho(W h + U x + b) over a box of h and x."""
    states = (box.low, box.high)
    at = preactivation(weights, states, (box.input_low, box.input_high))
    return mixed((leak, leak), activation_image(rho, *at), states)


def leaky_comparison(
    weights: Weights, leak: Array, rho: Activation, box: Ends
) -> tuple[Array, ...] | None:
    r"""Return |(1 - a) I + a s W| at the least and the largest slopes s, which majorise a step.

    A difference is (1 - a) d + a s W d with one slope s for each unit, and its size is convex in
    each slope, hence largest at an end.
    """
    at = preactivation(weights, (box.low, box.high), (box.input_low, box.input_high))
    least, largest = slope_range(rho, *at)
    own = np.diag(weights.W)
    matrices = []
    for s in (least,) if np.array_equal(least, largest) else (least, largest):
        gain = times_up(leak, np.abs(s))
        M = _scaled(gain, weights.W)
        middle = products(products((leak, leak), (s, s)), (own, own))
        np.fill_diagonal(M, magnitude(sum_of(complement(leak), middle)))
        matrices.append(M)
    return finite_or_none(*matrices)


def leaky_input_comparison(
    weights: Weights, leak: Array, rho: Activation, box: Ends
) -> Array | None:
    """Return diag(a s) |U|, s the largest sizes of slopes."""
    at = preactivation(weights, (box.low, box.high), (box.input_low, box.input_high))
    return _scaled(times_up(leak, magnitude(slope_range(rho, *at))), weights.U)


# -------------------------------------------------------------------- recurrences without feedback


def fading(y: Interval) -> Interval:
    """Enclose exp(-y) over an interval of y >= 0."""
    ends = widened(np.exp(-y[1]), np.exp(-y[0]))
    return np.maximum(ends[0], 0.0), np.minimum(ends[1], 1.0)


def faded_share(y: Array) -> Interval:
    """Enclose 1 - exp(-y) for numbers y >= 0."""
    ends = widened(-np.expm1(-y), -np.expm1(-y))
    return np.maximum(ends[0], 0.0), np.minimum(ends[1], 1.0)


def hull_with_room(ends: Interval) -> Interval | None:
    """Return the hull of 0 and an interval, a little wider; None if it is not bounded."""
    if not (np.isfinite(ends[0]).all() and np.isfinite(ends[1]).all()):
        return None
    return _with_room(*ends)


def euler_image(rates: Array, step: Interval, gain: Interval, states: Interval) -> Interval:
    r"""Enclose exp(-a D) h + D w over steps D >= 0, gains w and states h, for the rates a > 0."""
    low = _euler_up(rates, step, -gain[0], -states[0])
    return -low, _euler_up(rates, step, gain[1], states[1])


def _euler_up(rates: Array, step: Interval, w: Array, h: Array) -> Array:
    r"""Bound f(D) = exp(-a D) h + D w from above over an interval of D, for h and w of any sign.

    Of f'' = a**2 exp(-a D) h the sign is that of h.  For h >= 0, f is convex and largest at an end
    of the steps.  For h < 0 it is concave: no larger than any of its tangents, which are largest at
    an end.  The best tangent is that at the largest value,

        f'(D) = w - a h exp(-a D) = 0,     D = log(a h / w) / a   for w < 0,

    or at the end next to it; a point that rounding has moved gives a tangent all the same.
    """

    def fade(D: Array) -> Interval:
        return fading(products((rates, rates), (D, D)))

    def value(D: Array) -> Interval:
        return sum_of(products(fade(D), (h, h)), products((D, D), (w, w)))

    ends = np.maximum(*(value(D)[1] for D in step))
    sinking = h < 0
    if not sinking.any():
        return ends
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        top = np.log(rates * np.where(sinking, h, -1.0) / np.minimum(w, 0.0)) / rates
    # w >= 0 rises to the end; so does what is not a number
    top = np.where(np.isfinite(top), np.clip(top, *step), step[1])
    top = np.where(np.isfinite(top), top, step[0])
    fall = products(products((rates, rates), fade(top)), (-h, -h))
    slope = sum_of((w, w), fall)
    rises = [products(slope, sum_of((D, D), (-top, -top)))[1] for D in step]
    tangent: Array = sum_of(value(top), (np.maximum(*rises), np.maximum(*rises)))[1]
    return np.where(sinking, np.minimum(tangent, _apart_up(fade, step, w, h)), ends)


def _apart_up(fade: Callable[[Array], Interval], step: Interval, w: Array, h: Array) -> Array:
    """Bound exp(-a D) h + D w from above for h < 0, each of the two terms by itself."""
    last = np.where(w >= 0, step[1], step[0])
    return sum_of(products(fade(step[1]), (h, h)), products((last, last), (w, w)))[1]


def euler_box(y: Interval, step: Interval, gain: Interval) -> Interval | None:
    r"""Return a box around 0 that may be invariant under exp(-a D) h + D w.

    w D / (1 - exp(-a D)) grows with D, so the longest step decides.
    """
    rest = faded_share(y[1])[0]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        ends = tuple(np.where(w == 0, 0.0, w * (step[1] / rest)) for w in gain)
    return hull_with_room((ends[0], ends[1]))


def turned_image(y: Interval, drive: Interval, states: Interval) -> Interval:
    """Enclose exp(-y) h + sqrt(1 - exp(-2 y)) w over intervals of y >= 0, of h, and of w."""
    low, high = states
    return -_turned_up(y, -drive[0], -low), _turned_up(y, drive[1], high)


def roots(y: Array) -> Interval:
    """Enclose sqrt(1 - exp(-2 y))."""
    value = np.sqrt(-np.expm1(-2.0 * y))
    low, high = widened(value, value)
    return np.maximum(low, 0.0), np.minimum(high, 1.0)


#: A product of doubles above this is off by less than 2 u of itself, underflow included.
_NORMAL = 2.0**-1000


def _turned_up(y: Interval, w: Array, h: Array) -> Array:
    r"""Bound a h + sqrt(1 - a**2) w from above over a = exp(-y), for h and w of any sign.

    With (a, sqrt(1 - a**2)) = (cos t, sin t), t in [0, pi / 2], it is g(t) = h cos t + w sin t:

        h <= 0 and w <= 0:   g'' = -g >= 0, so g is convex and largest at an end;
        h <= 0 <= w:         g' = -h sin t + w cos t >= 0, so it is largest at the last t;
        w <= 0 <= h:         g' <= 0, so it is largest at the first t;
        h, w > 0:            g is concave with its largest value |(h, w)| at tan t = w / h, and
                             largest at the end next to that place, if the place is not inside.
    """
    at_ends = [(fading((end, end)), roots(end)) for end in y]
    (slowest, first), (fastest, last) = at_ends

    def total(a: Interval, s: Interval) -> Array:
        return sum_of(products(a, (h, h)), products(s, (w, w)))[1]

    ends = np.maximum(*(total(a, s) for a, s in at_ends))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        # tan t >= w / h from the first t on, or up to the last: decided with a margin that is far
        # above the few u by which such products err, and only where they do not underflow
        after = _surely_below(slowest[1] * w, first[0] * h)
        before = _surely_below(last[1] * h, fastest[0] * w)
        length = widened(*(np.hypot(h, w),) * 2)[1]
    apart = total(slowest, (last[1], last[1]))
    inside = (h > 0) & (w > 0) & ~after & ~before
    result: Array = np.where(inside, np.minimum(length, apart), ends)
    return result


def _surely_below(small: Array, large: Array) -> np.ndarray[tuple[int, ...], np.dtype[np.bool]]:
    """Return where one product of two computed numbers is below another one, errors included."""
    return np.asarray((large >= _NORMAL) & (small <= large * (1 - 2.0**-40)))


def turned_box(y: Interval, drive: Interval) -> Interval | None:
    r"""Return a box around 0 that may be invariant under a h + sqrt(1 - a**2) w, a = exp(-y).

    h = w sqrt(1 - a**2) / (1 - a) is what the largest a keeps, and others keep more than enough.
    """
    rest = faded_share(y[0])[0]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        ends = tuple(np.where(w == 0, 0.0, w * (roots(y[0])[1] / rest)) for w in drive)
    return hull_with_room((ends[0], ends[1]))
