r"""Boxes of memories whose step is A S + g v^T, A = diag(w) - (e c r) r^T, r of length at most 1.

Main names: `Parts`, `Ranges`, `ranges`, `image`, `input_slopes`, `kept_box`,
`transition_upper`, `written_upper`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from theory.arithmetic.activations import SIGMOID, SOFTPLUS
from theory.arithmetic.intervals import (
    Interval,
    activation_image,
    affine_image,
    matrix_product,
    plus_up,
    product_matrix_up,
    products,
    sum_of,
    times_up,
)
from theory.arithmetic.rounding import UNIT, gamma
from theory.maps.boxes.directions import direction
from theory.maps.boxes.ends import fixed_box, hull_with_room, magnitude, steepest
from theory.maps.boxes.fading import fading
from theory.norms.norms import L2
from theory.typing import Array


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """What a delta rule is made of; see `theory.maps.DeltaRule`."""

    U: Array  # (p, m)
    b: Array  # (p,)
    rows: dict[str, slice]  # of kappa (r), v, p, q, and k where keys of their own are written
    decay: Array  # (heads,) or (heads keys,)
    scale: Array  # as decay
    mix: Array  # (heads keys,)
    heads: int
    keys: int
    gated: bool  # whether w = e = exp(-decay softplus(-p)) and g is made of r
    eps: float

    def of_keys(self, p: Array) -> Array:
        """Return what is known of heads, or of keys, (..., r), as (..., heads, keys)."""
        each = np.repeat(p, self.heads * self.keys // p.shape[-1], axis=-1)
        return each.reshape(*p.shape[:-1], self.heads, self.keys)

    def each(self, ends: Interval) -> Interval:
        """Return both ends so."""
        return self.of_keys(ends[0]), self.of_keys(ends[1])

    def values_of(self, v: Array) -> Array:
        """Return what is known of values, (..., heads values), as (..., heads, values)."""
        return v.reshape(*v.shape[:-1], self.heads, -1)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Ranges:
    """Enclosures over a box of inputs, each (heads, keys) but where it is said."""

    at: dict[str, Interval]  # of the rows of U x + b
    w: Interval
    c: Interval
    r: Interval
    weak: Interval  # mix c + 1 - mix
    g: Interval
    v: Interval  # (heads, values)
    A: Interval  # (heads, keys, keys)


def _rows(parts: Parts, inputs: Interval, names: str = "rvpqk") -> dict[str, Interval]:
    """Enclose rows of U x + b, by their names."""
    return {
        name: sum_of(affine_image(parts.U[rows], *inputs), (parts.b[rows], parts.b[rows]))
        for name, rows in parts.rows.items()
        if name in names
    }


def _gates(parts: Parts, at: dict[str, Interval]) -> tuple[Interval, Interval]:
    """Enclose w and c."""
    p, rho = at["p"], SIGMOID
    if parts.gated:
        p, rho = (-p[1], -p[0]), SOFTPLUS
    low, high = activation_image(rho, *p)
    w = fading(products((parts.decay, parts.decay), (np.maximum(low, 0.0), high)))
    c = products((parts.scale, parts.scale), activation_image(SIGMOID, *at["q"]))
    return parts.each(w), parts.each(c)


def ranges(parts: Parts, inputs: Interval) -> Ranges:
    """Enclose all that a step is made of over a box of inputs."""
    at = _rows(parts, inputs)
    w, c = _gates(parts, at)
    r = direction(parts.each(at["r"]), parts.eps)
    mix, rest = parts.of_keys(parts.mix), 1.0 - parts.of_keys(parts.mix)
    # a difference of doubles errs by u of itself, and of 1 and 1 or 0 by nothing
    wrong = np.where((mix == 1) | (mix == 0), 0.0, UNIT * np.abs(rest))
    weak = sum_of(products((mix, mix), c), (rest - wrong, rest + wrong))
    g = products(r if parts.gated else parts.each(at["k"]), weak)
    v = parts.values_of(at["v"][0]), parts.values_of(at["v"][1])
    return Ranges(at=at, w=w, c=c, r=r, weak=weak, g=g, v=v, A=_transitions(parts, w, c, r))


def _transitions(parts: Parts, w: Interval, c: Interval, r: Interval) -> Interval:
    """Enclose A."""
    eye = np.eye(parts.keys)
    rows, columns = (e[..., :, None] for e in r), (e[..., None, :] for e in r)
    low, high = products(tuple(rows), tuple(columns))  # type: ignore[arg-type]
    # the square of an entry is not negative
    low = np.where(eye == 1, np.maximum(low, 0.0), low)
    by_row = products(w, c) if parts.gated else c
    off = products((by_row[0][..., None], by_row[1][..., None]), (low, high))
    kept = w[0][..., None] * eye, w[1][..., None] * eye
    return sum_of(kept, (-off[1], -off[0]))


def image(parts: Parts, found: Ranges, states: Interval) -> Interval:
    """Enclose A S + g v^T over a box of states, (n,)."""
    shape = (parts.heads, parts.keys, -1)
    S = states[0].reshape(shape), states[1].reshape(shape)
    turned = [
        matrix_product((found.A[0][head], found.A[1][head]), (S[0][head], S[1][head]))
        for head in range(parts.heads)
    ]
    low, high = (
        np.concatenate([end.ravel() for end in ends]) for ends in zip(*turned, strict=True)
    )
    return sum_of((low, high), _written(found))


def _written(found: Ranges) -> Interval:
    """Enclose g v^T, (n,)."""
    g, v = found.g, found.v
    low, high = products((g[0][:, :, None], g[1][:, :, None]), (v[0][:, None, :], v[1][:, None, :]))
    return low.ravel(), high.ravel()


def written_upper(parts: Parts, inputs: Interval) -> Array:
    """Bound the Euclidean length of g v_j over boxes of inputs: (heads, values)."""
    found = ranges(parts, inputs)
    length = L2().vector_upper(magnitude(found.g))
    if parts.gated:
        # g is weak r, and r no longer than 1
        length = np.minimum(length, np.max(magnitude(found.weak), axis=-1))
    return times_up(length[:, None], magnitude(found.v))


def kept_box(parts: Parts, found: Ranges) -> Interval | None:
    """Return a box around 0 that may be invariant: that of the largest |A| and |g v^T|."""
    A, written = magnitude(found.A), magnitude(_written(found))
    tops = written.reshape(parts.heads, parts.keys, -1)
    ends: list[Array] = []
    for M, start in zip(A, tops, strict=True):
        box = fixed_box(M, np.max(start, axis=1))
        if box is None or not bool(np.all(box[1] >= 0)):
            return None
        ends.append(np.repeat(box[1], start.shape[1]))
    reach = np.concatenate(ends)
    return hull_with_room((-reach, reach))


def input_slopes(parts: Parts, found: Ranges, states: Interval) -> Array:
    r"""Bound |A(x) S + g v^T - A(y) S - g' v'^T| by G |x - y|, entrywise: (n, m).

    Products are told apart factor by factor.  The slope of r by kappa is (I - r r^T) / length.
    """
    heads, m = parts.heads, parts.U.shape[1]
    U = {name: np.abs(parts.U[rows]) for name, rows in parts.rows.items()}

    def slopes(name: str, factor: Array) -> Array:
        """Return the slopes of a gate, (heads, keys, m)."""
        table = times_up(factor[:, None], U[name])
        return np.moveaxis(parts.of_keys(table.T), 0, -1)

    size = {name: magnitude(getattr(found, name)) for name in ("w", "c", "r", "weak", "g", "v")}
    p, q = found.at["p"], found.at["q"]
    turn = steepest(SOFTPLUS, (-p[1], -p[0])) if parts.gated else steepest(SIGMOID, p)
    dw = times_up(size["w"][..., None], slopes("p", times_up(parts.decay, turn)))
    dc = slopes("q", times_up(parts.scale, steepest(SIGMOID, q)))
    kappa = parts.each(found.at["r"])
    least = np.where((kappa[0] <= 0) & (kappa[1] >= 0), 0.0, np.minimum(*map(np.abs, kappa)))
    with np.errstate(over="ignore"):
        length = np.sqrt((least * least).sum(axis=-1) + parts.eps) * (1 - 2 * gamma(parts.keys + 8))
        shorter = np.nextafter(1 / length, np.inf)
    r = size["r"]
    turned = times_up(r[:, :, None], r[:, None, :])
    turned = np.where(np.eye(parts.keys) == 1, 1.0, turned)
    own = slopes("r", np.ones(heads * parts.keys))
    dr = np.stack([product_matrix_up(M, D) for M, D in zip(turned, own, strict=True)])
    dr = times_up(shorter[:, None, None], dr)
    w, c, weak = (size[name][..., None] for name in ("w", "c", "weak"))
    r = r[..., None]
    du = plus_up(times_up(dc, r), times_up(c, dr))
    u = times_up(c, r)
    if parts.gated:
        du = plus_up(times_up(du, w), times_up(u, dw))
        u = times_up(u, w)
    by_c = times_up(parts.of_keys(np.abs(parts.mix))[..., None], dc)
    if parts.gated:
        dg = plus_up(times_up(dr, weak), times_up(r, by_c))
    else:
        k = magnitude(parts.each(found.at["k"]))[..., None]
        dg = plus_up(times_up(slopes("k", np.ones(heads * parts.keys)), weak), times_up(k, by_c))
    S = magnitude(states).reshape(heads, parts.keys, -1)
    dv = U["v"].reshape(heads, 1, -1, m)
    G = []
    for head in range(heads):
        seen = product_matrix_up(S[head].T, r[head])  # (values, 1)
        moved = product_matrix_up(S[head].T, dr[head])  # (values, m)
        G.append(
            plus_up(
                times_up(S[head][..., None], dw[head][:, None]),
                times_up(du[head][:, None], seen[None]),
                times_up(u[head][:, None], moved[None]),
                times_up(dg[head][:, None], size["v"][head][None, :, None]),
                times_up(size["g"][head][:, None, None], dv[head]),
            )
        )
    return np.stack(G).reshape(-1, m)


def transition_upper(parts: Parts, inputs: Interval) -> Array:
    r"""Bound |A(x)| in the Euclidean norm over boxes of inputs, (..., m): (..., heads).

    A = diag(w) (I - diag(d) r r^T) with |r| <= 1, and d = c, or c / w.  With d_i within [o - t,
    o + t], 0 < o < 2, and y = r^T z,

        |(I - o r r^T) z|^2 <= |z|^2 - o (2 - o) y^2,      |(diag(d) - o) r y| <= t |y|,

    so that, by Cauchy and Schwarz over |z| = 1,

        |A| <= max(w) (sqrt(1 - o (2 - o) y^2) + t |y|) <= max(w) sqrt(1 + t^2 / (o (2 - o))),

    and |A| <= max(w) (max(1, |1 - o|) + t) for every o.  Where d = c / w, |A| = |diag(w) - diag(c)
    r r^T| <= max(w) + max(c), however uneven the decays are.  Where d is one number for all keys of
    a head, whatever it is, |I - d r r^T| <= max(1, d - 1).
    """
    w, c = _gates(parts, _rows(parts, inputs, "pq"))
    top = np.max(w[1], axis=-1)
    if parts.gated and parts.scale.size == parts.heads:
        # s sigma(q) <= 2: what the enclosure has above it is rounding
        return np.asarray(top)
    low, high = c
    if not parts.gated:
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            low, high = low / w[1] * (1 - 4 * UNIT), high / w[0] * (1 + 4 * UNIT)
    first, last = np.min(low, axis=-1), np.max(high, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        middle = first / 2 + last / 2
        apart = np.nextafter(np.maximum(last - middle, middle - first), np.inf)
        room = middle * (2 - middle) * (1 - 8 * UNIT)
        curved = np.sqrt(1 + np.square(apart) / room) * (1 + 16 * UNIT)
        plain = (np.maximum(1.0, np.abs(1 - middle)) + apart) * (1 + 8 * UNIT)
    curved = np.where((room > 0) & np.isfinite(curved), curved, np.inf)
    factor = np.minimum(curved, np.where(np.isnan(plain), np.inf, plain))
    bound = times_up(top, factor)
    if not parts.gated:
        bound = np.fmin(bound, plus_up(top, np.max(c[1], axis=-1)))
    return bound
