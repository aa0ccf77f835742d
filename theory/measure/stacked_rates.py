r"""Norms of products of Jacobians of a stack, applied to many vectors at once.

Main names: `stack_factors`, `log_norms_of_stack`.

The Jacobian of a stack of layers is never formed.  With J_l and G_l the derivatives of layer l by
its own state and by what it sees, and C_l its readout,

    J v:    w_l = J_l v_l + (G_l C_{l-1}) w_{l-1}      from the lowest layer up,
    J^T u:  u_{l-1} += (G_l C_{l-1})^T u_l             from the highest layer down,

and J_l, G_l are products of weights and elementwise factors, as in `theory.measure.factors`, for
all windows side by side.  The largest singular value of every product comes from the same Lanczos
bidiagonalisation, whose steps are taken for all windows together until each has converged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from theory.maps.base import Map
from theory.maps.cascade import Cascade
from theory.maps.esn import EchoStateNetwork
from theory.maps.gru import GRU
from theory.maps.head import Readout
from theory.maps.lstm import LSTM
from theory.measure.factors import RESIDUAL, Factors, factors
from theory.norms.norm import Coordinates
from theory.typing import Array

#: Doubles in the vectors of one block of windows, when each has taken `TYPICAL` steps: 64 MiB.
VECTORS, TYPICAL = 2**23, 16


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Layer:
    """The Jacobians of one layer along a trajectory."""

    own: Factors  # by its own state
    G: Array  # the gates' weights of what it reads, one below the other
    read: slice | None  # which entries of the state below those are; None for the lowest layer
    part: slice  # its part of the state

    def push(self, t: npt.NDArray[np.int64], v: Array, below: Array | None) -> Array:
        """Return J v + G C w for the rows of v, (count, n), and of w, that of the layer below."""
        S, q = self.own.S[t], self.own.W.shape[1]
        if self.own.form == 2:
            a = v[:, q:] @ self.own.W.T
            if below is not None:
                a += below[:, self.read] @ self.G.T
            i, f, g, o = np.split(a, 4, axis=1)
            dc = S[:, 0] * v[:, :q] + S[:, 1] * i + S[:, 2] * f + S[:, 3] * g
            return np.concatenate([dc, S[:, 5] * dc + S[:, 4] * o], axis=1)
        a = (v @ self.own.W.T).reshape(len(v), -1, q)
        out: Array = S[:, 0] * v + np.einsum("tgi,tgi->ti", S[:, 1:], a)
        if below is not None:
            b = (below[:, self.read] @ self.G.T).reshape(len(v), -1, q)
            out += np.einsum("tgi,tgi->ti", self.own.seen[t], b)
        return out

    def pull(self, t: npt.NDArray[np.int64], u: Array) -> tuple[Array, Array | None]:
        """Return J^T u, and G^T u for what it reads of the layer below."""
        S, q = self.own.S[t], self.own.W.shape[1]
        if self.own.form == 2:
            dc = u[:, :q] + S[:, 5] * u[:, q:]
            gates = [S[:, 1] * dc, S[:, 2] * dc, S[:, 3] * dc, S[:, 4] * u[:, q:]]
            a = np.concatenate(gates, axis=1)
            own = np.concatenate([S[:, 0] * dc, a @ self.own.W], axis=1)
            return own, (None if self.read is None else a @ self.G)
        a = (S[:, 1:] * u[:, None]).reshape(len(u), -1)
        own = S[:, 0] * u + a @ self.own.W
        if self.read is None:
            return own, None
        b = (self.own.seen[t] * u[:, None]).reshape(len(u), -1)
        return own, b @ self.G


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Stack:
    """The Jacobians of a stack along a trajectory."""

    layers: tuple[_Layer, ...]
    dim: int  # of the whole state

    def push(self, t: npt.NDArray[np.int64], v: Array) -> Array:
        """Return J_t v for the rows of v, (count, n)."""
        out = np.empty_like(v)
        below: Array | None = None
        for layer in self.layers:
            below = layer.push(t, v[:, layer.part], below)
            out[:, layer.part] = below
        return out

    def pull(self, t: npt.NDArray[np.int64], u: Array) -> Array:
        """Return J_t^T u for the rows of u."""
        out = np.empty_like(u)
        passed: Array | None = None
        read: slice | None = None
        for layer in reversed(self.layers):
            own = u[:, layer.part]
            if read is not None and passed is not None:
                own = own.copy()
                own[:, read] += passed
            out[:, layer.part], passed = layer.pull(t, own)
            read = layer.read
        return out


def stack_factors(recurrent: Map, H: Array, X: Array) -> Stack | None:
    """Return the Jacobians of a stack at states H, (T, n), and inputs X; None without a form."""
    if not isinstance(recurrent, Cascade) or len(recurrent.layers) < 2:
        return None
    layers: list[_Layer] = []
    x = X
    below: Readout | None = None
    for number, (layer, part) in enumerate(zip(recurrent.layers, recurrent.slices, strict=True)):
        own = factors(layer, H[:, part], x)
        U = _input_weights(layer)
        if own is None or U is None:
            return None
        G, read = U, None
        if below is not None:
            # entries side by side are taken as they are; another readout goes into the weights
            G, read = (U, below.entries) if below.entries else (U @ below.C, slice(None))
        layers.append(_Layer(own=own, G=G, read=read, part=part))
        if number < len(recurrent.readouts):
            below = recurrent.readouts[number]
            x = below(layer.step(H[:, part], x))
    return Stack(layers=tuple(layers), dim=recurrent.state_dim)


def _input_weights(layer: Map) -> Array | None:
    """Return U of what a layer sees, if its Jacobian has a form."""
    form = layer.affine()
    if form is not None:
        return form.U
    return layer.U if isinstance(layer, (EchoStateNetwork, GRU, LSTM)) else None


def log_norms_of_stack(
    stack: Stack, r: int, stride: int, c: Coordinates, start: Array, count: int
) -> tuple[Array, int]:
    """Return ln of the norms of J_{t+r-1} .. J_t for t = 0, stride, .., and the Lanczos steps."""
    logs = np.empty(count)
    size = max(1, VECTORS // (2 * TYPICAL * stack.dim))
    steps = 0
    for lo in range(0, count, size):
        hi = min(lo + size, count)
        logs[lo:hi], made = _Lanczos(stack, r, c, stride * np.arange(lo, hi)).run(start)
        steps += made
    return logs, steps


@final
class _Lanczos:
    """Golub-Kahan-Lanczos bidiagonalisation, with full reorthogonalisation, of several products."""

    def __init__(self, stack: Stack, r: int, c: Coordinates, times: npt.NDArray[np.int64]) -> None:
        self.stack, self.r, self.times = stack, r, times
        self.left = None if c.plain else np.ascontiguousarray(c.T)
        self.right = None if c.plain else np.ascontiguousarray(c.inverse)
        self.scale = np.ones((r, len(times)))

    def _push(self, v: Array) -> Array:
        x = v if self.right is None else v @ self.right.T
        for j in range(self.r):
            x = self.stack.push(self.times + j, x) * self.scale[j][:, None]
        return x if self.left is None else x @ self.left.T

    def _pull(self, u: Array) -> Array:
        x = u if self.left is None else u @ self.left
        for j in range(self.r - 1, -1, -1):
            x = self.stack.pull(self.times + j, x) * self.scale[j][:, None]
        return x if self.right is None else x @ self.right

    def _first(self, v: Array) -> tuple[Array, Array]:
        """Return the product of every start, and the exponents of the powers of two taken out."""
        x = v if self.right is None else v @ self.right.T
        exponent = np.zeros(len(v))
        for j in range(self.r):
            x = self.stack.push(self.times + j, x)
            largest = np.max(np.abs(x), axis=1)
            sound = (largest > 0) & (largest < np.inf)
            e = np.clip(np.where(sound, np.frexp(np.where(sound, largest, 1.0))[1], 0), -1000, 1000)
            self.scale[j] = np.ldexp(1.0, -e)
            exponent += e
            x = x * self.scale[j][:, None]
        return (x if self.left is None else x @ self.left.T), exponent

    def _keep(self, kept: npt.NDArray[np.bool_], vectors: list[Array]) -> list[Array]:
        self.times, self.scale = self.times[kept], self.scale[:, kept]
        return [one[kept] for one in vectors]

    def run(self, start: Array) -> tuple[Array, int]:
        """Return the logarithms; -inf of a zero product, NaN of one beyond doubles."""
        n, count = self.stack.dim, len(self.times)
        logs, steps = np.empty(count), 0
        place = np.arange(count)
        v = np.repeat((start / np.sqrt(start @ start))[None], count, axis=0)
        p, exponent = self._first(v)
        first = np.sqrt(np.einsum("ti,ti->t", p, p))
        sound = (first > 0) & (first < np.inf)
        # a vector with a part in every direction is mapped to nothing: so is every other
        logs[place[~sound]] = np.where(first[~sound] == 0, -np.inf, np.nan)
        place, exponent, alpha = place[sound], exponent[sound], [first[sound]]
        V, P = self._keep(sound, [v, p])
        P = P / alpha[0][:, None]
        Vs, Ps = [V], [P]
        beta: list[Array] = []
        sigma = alpha[0].copy()
        k = 1
        while len(place):
            steps += len(place)
            w = self._pull(Ps[-1]) - alpha[-1][:, None] * Vs[-1]
            rest = _orthogonal_to(Vs, w)
            if k % 3 == 0 or k == n or bool(np.any(rest <= RESIDUAL * sigma)):
                B = np.zeros((len(place), k, k))
                for i in range(k):
                    B[:, i, i] = alpha[i]
                    if i + 1 < k:
                        B[:, i, i + 1] = beta[i]
                left, values, _ = np.linalg.svd(B)
                sigma = values[:, 0]
                # A^T (P p) - sigma (V v) = rest p_k v_{k+1}
                residual = rest * np.abs(left[:, k - 1, 0])
                done = (k == n) | (residual <= RESIDUAL * sigma)
                logs[place[done]] = np.log(sigma[done]) + exponent[done] * math.log(2.0)
                place, exponent, sigma = place[~done], exponent[~done], sigma[~done]
                alpha, beta = [a[~done] for a in alpha], [b[~done] for b in beta]
                both = self._keep(~done, [*Vs, *Ps, w, rest])
                Vs, Ps, w, rest = both[:k], both[k : 2 * k], both[-2], both[-1]
                if not len(place):
                    break
            beta.append(rest)
            Vs.append(w / rest[:, None])
            z = self._push(Vs[-1]) - rest[:, None] * Ps[-1]
            size = _orthogonal_to(Ps, z)
            alpha.append(size)
            with np.errstate(divide="ignore", invalid="ignore"):
                Ps.append(np.where(size[:, None] > 0, z / size[:, None], 0.0))
            k += 1
        return logs, steps


def _orthogonal_to(basis: list[Array], w: Array) -> Array:
    """Subtract from the rows of w their parts along those of the basis; return their lengths."""
    along = [np.einsum("ti,ti->t", one, w) for one in basis]
    for one, a in zip(basis, along, strict=True):
        w -= a[:, None] * one
    lengths: Array = np.sqrt(np.einsum("ti,ti->t", w, w))
    return lengths
