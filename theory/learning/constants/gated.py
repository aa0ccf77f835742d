"""The constants of gated cells, by second-order jets in a weighted maximum norm."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from theory.arithmetic.gates import GateBounds, sigmoid_down, sigmoid_up, tanh_up
from theory.arithmetic.intervals import complement
from theory.arithmetic.rounding import TINY, gamma, up
from theory.learning.constants.values import MapConstants
from theory.maps.base import Map
from theory.maps.gru import GRU
from theory.maps.lstm import LSTM
from theory.norms.norms import Norm, WeightedLinf
from theory.typing import Array


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Jet:
    """Bounds of a value and its derivatives, unit by unit; every entry is (n,).

    s: first derivative for |ds_j| <= v_j; w: for |dw|_2 <= 1; ss, sw, ww: second derivatives.
    """

    v: Array
    s: Array
    w: Array
    ss: Array
    sw: Array
    ww: Array

    def __mul__(self, g: _Jet) -> _Jet:
        return _Jet(
            v=self.v * g.v,
            s=self.s * g.v + self.v * g.s,
            w=self.w * g.v + self.v * g.w,
            ss=self.ss * g.v + 2 * self.s * g.s + self.v * g.ss,
            sw=self.sw * g.v + self.s * g.w + self.w * g.s + self.v * g.sw,
            ww=self.ww * g.v + 2 * self.w * g.w + self.v * g.ww,
        )

    def __add__(self, g: _Jet) -> _Jet:
        return _Jet(
            v=self.v + g.v, s=self.s + g.s, w=self.w + g.w,
            ss=self.ss + g.ss, sw=self.sw + g.sw, ww=self.ww + g.ww,
        )  # fmt: skip

    def through(self, value: Array, L: Array, S: float) -> _Jet:
        """Return rho of this jet, with |rho| <= value, |rho'| <= L, |rho''| <= S."""
        return _Jet(
            v=value,
            s=L * self.s,
            w=L * self.w,
            ss=S * self.s * self.s + L * self.ss,
            sw=S * self.s * self.w + L * self.sw,
            ww=S * self.w * self.w + L * self.ww,
        )


#: sup |sigma''| and sup |tanh''|, rounded upward; proved in `proofs.activations`.
_SIGMA_CURVATURE, _TANH_CURVATURE = 0.09622504486493765, 0.7698003589195011


def _entries_of(family: tuple[Map, ...]) -> Callable[[str, slice], Array]:
    """Return a function to entrywise bounds |W_ij| of a block of rows over the hull."""

    def absolute(name: str, rows: slice) -> Array:
        if name not in family[0].parameters:
            return np.zeros(1)
        return np.asarray(np.max([np.abs(m.parameters[name][rows]) for m in family], axis=0))

    return absolute


def gated_constants(
    family: tuple[Map, ...],
    norm: Norm,
    X: Array | None,
    reach: float,
    trained: tuple[str, ...],
    radius: float,
) -> MapConstants | None:
    r"""Return bounds for an LSTM or a GRU by jets, on the box that their gates keep invariant.

    All is sums and products of nonnegative numbers: a few hundred operations and inner products of
    length n + m, so that one factor 1 + gamma(8 n + 8 m + 800) at the end covers their rounding.
    """
    first = family[0]
    after = isinstance(first, GRU) and first.variant == "reset_after"
    W0 = first.parameters["W"]
    n, m = W0.shape[1], first.input_dim
    gates = W0.shape[0] // n
    absolute = _entries_of(family)
    slack = {name: radius if name in trained else 0.0 for name in first.parameters}
    safe = 1 + gamma(8 * n + 8 * m + 800)
    v = norm.v if isinstance(norm, WeightedLinf) else np.ones(first.state_dim)
    vh = v[-n:]

    # entrywise bounds of inputs; a row of an unknown change of length r moves a product by at most
    # r times the length of the other factor
    largest = np.full(m, reach) if X is None else np.max(np.abs(X), axis=0, initial=0.0)
    box = np.ones(n)  # |h|
    blocks = [slice(q * n, (q + 1) * n) for q in range(gates)]

    def arguments(box: Array) -> list[Array]:
        length = float(np.sqrt(np.sum(box * box)))
        found = []
        for rows in blocks:
            weights = (absolute(name, rows) for name in ("W", "U", "b"))
            gate = GateBounds.of(*weights, state=box, inputs=largest)
            more = slack["W"] * length + slack["U"] * reach + slack["b"]
            found.append((gate.reach + more) * safe)
        return found

    def split(box: Array) -> tuple[list[_Jet], Array]:
        """Return the jets of the pre-activations, without those of products of gates."""
        squares = [
            float(np.sum(box * box)) if "W" in trained else 0.0,
            reach * reach if "U" in trained else 0.0,
            1.0 if "b" in trained else 0.0,
        ]
        R = np.full(n, math.sqrt(sum(squares)) * safe)
        cross = np.full(n, math.sqrt(float(np.sum(vh * vh))) * safe if "W" in trained else 0.0)
        zero = np.zeros(n)
        jets = []
        for rows, a in zip(blocks, arguments(box), strict=True):
            s = absolute("W", rows) @ vh + slack["W"] * math.sqrt(float(np.sum(vh * vh)))
            jets.append(_Jet(v=a, s=s, w=R, ss=zero, sw=cross, ww=zero))
        return jets, R

    def sigma(a: _Jet) -> _Jet:
        return a.through(sigmoid_up(a.v), np.full(n, 0.25), _SIGMA_CURVATURE)

    def tanh(a: _Jet) -> _Jet:
        return a.through(tanh_up(a.v), np.ones(n), _TANH_CURVATURE)

    zero = np.zeros(n)
    if isinstance(first, LSTM):
        # |c| <= i g / (1 - f) and |h| <= o tanh |c| are invariant, for any box |h| <= box before
        for _ in range(3):
            ai, af, ag, ao = arguments(box)
            forget = sigmoid_up(af)
            if not float(np.max(forget)) < 1:
                return None
            cell = sigmoid_up(ai) * tanh_up(ag) / (1.0 - forget) * safe
            box = np.minimum(box, sigmoid_up(ao) * tanh_up(cell) * safe)
        (i, f, g, o), _ = split(box)
        memory = _Jet(v=cell, s=v[:n], w=zero, ss=zero, sw=zero, ww=zero)
        c = sigma(i) * tanh(g) + sigma(f) * memory
        c = replace(c, v=cell)
        h = sigma(o) * tanh(c)
        out = [(c, v[:n]), (h, vh)]
        states = np.concatenate([cell, box])
        rates = [c.s / v[:n], h.s / vh]
        weights = [c.w / v[:n], h.w / vh]
        ai, _, ag, ao = arguments(np.zeros(n))
        fresh = sigmoid_up(ai) * tanh_up(ag)
        rest = np.concatenate([fresh / v[:n], sigmoid_up(ao) * tanh_up(fresh) / vh])
    else:
        (r, z, _), _ = split(box)
        bc, extra = absolute("b_candidate", slice(None)), slack.get("b_candidate", 0.0)
        hidden = _Jet(v=box, s=vh, w=zero, ss=zero, sw=zero, ww=zero)
        Wn, Un, bn = (absolute(name, blocks[2]) for name in ("W", "U", "b"))
        lengths = math.sqrt(float(np.sum(box * box))), math.sqrt(float(np.sum(vh * vh)))
        gate = sigma(r)
        own = math.sqrt(
            (reach * reach if "U" in trained else 0.0) + (1.0 if "b" in trained else 0.0)
        )
        fixed = _Jet(
            v=Un @ largest + bn + slack["U"] * reach + slack["b"],
            s=zero, w=np.full(n, own), ss=zero, sw=zero, ww=zero,
        )  # fmt: skip
        free = "W" in trained
        if after:
            with_bias = "b_candidate" in trained
            product = _Jet(
                v=Wn @ box + bc + slack["W"] * lengths[0] + extra,
                s=Wn @ vh + slack["W"] * lengths[1],
                w=np.full(
                    n, math.sqrt((lengths[0] ** 2 if free else 0.0) + (1.0 if with_bias else 0.0))
                ),
                ss=zero,
                sw=np.full(n, lengths[1] if free else 0.0),
                ww=zero,
            )
            inside = fixed + gate * product
        else:
            q = gate * hidden  # r h, unit by unit

            def mix(x: Array) -> Array:
                return np.asarray(Wn @ x + slack["W"] * math.sqrt(float(np.sum(x * x))))

            def size(x: Array) -> Array:
                return np.full(n, math.sqrt(float(np.sum(x * x))) if free else 0.0)

            # W_n q(s, w): the derivative in W_n itself is q, and mixes with those of q
            inside = fixed + _Jet(
                v=mix(q.v),
                s=mix(q.s),
                w=mix(q.w) + size(q.v),
                ss=mix(q.ss),
                sw=mix(q.sw) + size(q.s),
                ww=mix(q.ww) + 2 * size(q.w),
            )
        candidate = tanh(inside)
        update = sigma(z)
        keep = replace(update, v=sigmoid_up(z.v))  # 1 - z = sigma(-a), with the same derivatives
        h = keep * candidate + update * hidden
        out = [(h, vh)]
        states = box
        # z h + (1 - z) n is affine in z: its stretch is largest at an end of z's range
        high = sigmoid_up(z.v)
        low = sigmoid_down(-z.v)
        turn = update.s * (box + candidate.v)
        ends = [q * vh + complement(q)[1] * candidate.s for q in (low, high)]
        rates = [(np.maximum(*ends) + turn) / vh]
        weights = [(high * candidate.w + update.w * (box + candidate.v)) / vh]
        (_, zz, az), _ = split(np.zeros(n))
        rest = sigmoid_up(zz.v) * tanh_up(az.v + (bc + extra if after else 0.0)) / vh

    # what an operation loses to underflow, eta / 2, later factors multiply: at most twelve, none
    # larger than the largest number that enters
    sizes = [1.0, reach, radius, *(1.0 / v), *v, *map(float, largest)]
    sizes += [float(np.max(absolute(name, slice(None)), initial=0.0)) for name in slack]
    with np.errstate(over="ignore"):
        lost = float(np.float64(max(sizes)) ** 12 * ((8 * n + 8 * m + 800) * TINY))

    def most(arrays: list[Array]) -> float:
        return up(float(np.max(np.concatenate(arrays))) * safe + lost)

    mixed = most([j.sw / scale for j, scale in out])
    lam = most(rates)
    return MapConstants(
        lam=lam,
        drive=most([rest]),
        state_bound=float(np.max(states / v)) * safe,
        input_bound=reach,
        weight_gain=most(weights),
        beta_hh=most([j.ss / scale for j, scale in out]),
        beta_hw=mixed,
        beta_wh=mixed,
        beta_ww=most([j.ww / scale for j, scale in out]),
        majorant=lam,
        norm=norm,
        trained=trained,
        radius=radius,
        box=states,
    )
