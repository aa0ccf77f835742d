r"""Products of the transitions of given inputs, from the last one on, with bounds of their errors.

Main names: `Memory`, `core_of`, `seen`, `entrywise`, `Decays`, `turned`, `Turned`, `norm_lower`,
`norm_upper`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias, final

import numpy as np

from theory.arithmetic.intervals import Interval
from theory.arithmetic.rigor import frobenius_upper
from theory.arithmetic.rounded import Rounded
from theory.arithmetic.rounding import TINY, UNIT, gamma, upper_after
from theory.kernels.blocks import locked
from theory.maps.block import Block
from theory.maps.delta import DeltaRule
from theory.maps.functions import Function
from theory.maps.recurrence import LinearRecurrence
from theory.norms.enclosed import norms_upper
from theory.typing import Array

#: Inputs that are looked at together.
_CHUNK = 64

#: Far more than a computed Frobenius norm errs by: it saves work where a norm is too large.
_SURELY = 1 + 2.0**-20

#: More than a length loses where its squares underflow.
_LOST = 2.0**-500


#: A map that is linear in its state; a `Block` of one, with no function after it.
Memory: TypeAlias = LinearRecurrence | DeltaRule | Block


def core_of(layer: Any) -> tuple[LinearRecurrence | DeltaRule, Function | None] | None:
    """Return a map that is linear in its state, and what it sees of the inputs; None if none is."""
    before = None
    if isinstance(layer, Block) and layer.after is None:
        layer, before = layer.core, layer.before
    return (layer, before) if isinstance(layer, LinearRecurrence | DeltaRule) else None


def seen(before: Function | None, inputs: Interval) -> Interval:
    """Enclose what a core sees of boxes of inputs, (..., m)."""
    if before is None:
        return inputs
    if inputs[0].ndim == 1:
        return before.image(inputs)
    ends = [before.image(box) for box in zip(*inputs, strict=True)]
    low, high = zip(*ends, strict=True) if ends else ((), ())
    none = np.zeros((0, before.output_dim))
    return (np.stack(low), np.stack(high)) if ends else (none, none)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Decays:
    """The norms of the products of the last k inputs, for successive k."""

    first: int  # the k of the first
    low: Array
    high: Array


def entrywise(
    layer: LinearRecurrence, X: Array, through: Function | None = None
) -> Iterator[Decays]:
    r"""Yield the largest products of decays, from the last input on, of what is seen of the inputs.

    Factors are at most 1: a product of k errs by gamma(k) of itself, and by k eta for underflow.
    """
    least = largest = np.ones(1)
    for last in range(len(X), 0, -_CHUNK):
        rows = X[max(last - _CHUNK, 0) : last][::-1]
        low, high = layer.distinct_decays(seen(through, (rows, rows)))
        with np.errstate(under="ignore"):
            lows = least * np.cumprod(np.maximum(low, 0.0), axis=0)
            highs = largest * np.cumprod(high, axis=0)
        least, largest = lows[-1], highs[-1]
        first = len(X) - last + 1
        k = first + np.arange(len(rows))
        slack = 2 * gamma(len(X) + 4)
        yield Decays(
            first=first,
            low=np.maximum(lows.max(axis=1) * (1 - slack) - k * TINY, 0.0),
            high=np.nextafter(highs.max(axis=1) * (1 + slack) + k * TINY, np.inf),
        )


def _steepest(layer: DeltaRule, X: Array, off: float) -> float | None:
    """Return a bound of 1 / length along these inputs, where lengths err by at most `off`."""
    least = float(np.min(layer.lengths(X), initial=math.inf))
    room = least * (1 - 2 * gamma(layer.keys + 8)) - off
    return 1 / room * (1 + 4 * UNIT) if room > 0 else None


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Turned:
    """Transposed products of a chunk of transitions alone, and of all before it, with errors."""

    first: int  # the k of the first
    own: Array  # (steps, heads, keys, keys)
    own_error: Array  # (steps, heads), Frobenius
    before: Array  # (heads, keys, keys)
    before_error: Array  # (heads,)

    grown: Array  # (heads,), what the norm of the last product of the chunk is at most

    def pair(self, at: int) -> tuple[Array, Array]:
        r"""Return the product of all up to one step of the chunk, and a bound of its error.

        (B + E) (C + F) - fl(B C) is at most |B| |F| + |E| |C| + |E| |F| + gamma |B|_F |C|_F.
        """
        B, E, C, F = self.own[at], self.own_error[at], self.before, self.before_error
        n = B.shape[-1]
        b, c = frobenius_upper(B), frobenius_upper(C)
        norm = np.minimum(b, self.grown + E) if at == len(self.own) - 1 else b
        error = norm * F + E * c + E * F + gamma(n + 1) * (b * c) + n * n * TINY
        return B @ C, upper_after(error, 8)

    def small(self, at: int, level: float) -> bool:
        """Return whether the norm of the exact product is proved to be at most a level."""
        Q, F = self.pair(at)
        # the Frobenius norm decides most heads: it is between the norm and sqrt(keys) times it
        sizes = frobenius_upper(Q)
        rest = upper_after(sizes + F, 2) > level
        if not np.all(sizes <= level * math.sqrt(Q.shape[-1]) * _SURELY + F):
            return False
        return bool(np.all(norms_upper(Q[rest], F[rest], 2) <= level))

    def first_small(self, level: float) -> int | None:
        """Return the first step after which the norm is small; None if it is not after the last.

        By bisection, as norms do not grow but where a transition has one above 1.
        """
        low, high = -1, len(self.own) - 1
        if not self.small(high, level):
            return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.small(middle, level) else (middle, high)
        return high


def turned(layer: DeltaRule, X: Array, through: Function | None = None) -> Iterator[Turned]:
    r"""Yield the products of chunks of inputs, from the last one on.

    A^T = diag(w) - r u^T is a step of the kernel that runs the map, whose rounding is

        |fl(A^T Q) - A^T Q|_F <= (gamma(keys + 4) (max(w) + |r| |u|) + |A~ - A|) |Q|_F,

    A~ being the computed terms, of computed values of `through` where the layer sees those of the
    inputs; an error E before the step becomes at most |A| |E|_F.  Within a
    chunk |A| is bounded step by step; chunks are put together by their own products, which shrink.
    """
    from theory.kernels.delta import delta_kernel

    heads, keys = layer.heads, layer.keys
    size = Rounded.exact(np.max(np.abs(X), axis=0, initial=0.0))
    size = size if through is None else through.rounded(size)
    U = X if through is None else through(X)
    # by how much the removed keys, and so their lengths, are off; 2 is where it stops to be told
    off = float(layer.rounded_terms(size, 1.0)["r"].error.max())
    steepest = _steepest(layer, U, off) if off < 2 else None
    known = layer.rounded_terms(size, steepest)
    wrong = {
        name: (1 + 2 * gamma(keys + 4))
        * np.sqrt(np.square(known[name].error.reshape(heads, keys)).sum(axis=-1))
        for name in ("w", "u", "r")
    }
    one = np.tile(np.eye(keys), (heads, 1, 1))
    before, before_error = one, np.zeros(heads)
    # errors grow by the norms of single transitions within a chunk: a short one where they are > 1
    chunk = _CHUNK if layer.rule == "gated" else _CHUNK // 4
    for last in range(len(X), 0, -chunk):
        rows = X[max(last - chunk, 0) : last][::-1]
        given = U[max(last - chunk, 0) : last][::-1]
        w, u, r, *_ = np.split(layer.input_terms(given), np.arange(1, 5) * heads * keys, axis=1)
        terms = np.concatenate([w, r, u, np.zeros((len(rows), 2 * heads * keys))], axis=1)
        states = np.empty((len(rows), heads * keys * keys))
        with np.errstate(under="ignore"):
            delta_kernel(terms, locked(one.ravel()), states, keys, keys)
        own = states.reshape(len(rows), heads, keys, keys)
        sizes = np.concatenate([frobenius_upper(one)[None], frobenius_upper(own)[:-1]])
        u = frobenius_upper(u.reshape(len(rows), heads, 1, keys))
        # |r| <= 1 as it is, and as computed it is off by less than 1
        move = wrong["w"] + 2 * wrong["u"] + (u + wrong["u"]) * wrong["r"]
        rounding = (w.reshape(len(rows), heads, keys).max(axis=-1) + 2 * u) * gamma(keys + 4)
        local = upper_after((move + rounding) * sizes + keys * keys * TINY, 8)
        growth = np.cumprod(
            np.maximum(layer.transition_upper(seen(through, (rows, rows))), 1.0), axis=0
        )
        own_error = upper_after(growth * np.cumsum(local, axis=0), 2 * len(rows) + 8)
        grown = upper_after(growth[-1], len(rows))
        if np.any(grown > 1):
            grown = np.minimum(grown, norms_upper(own[-1], own_error[-1], 2))
        found = Turned(
            first=len(X) - last + 1,
            own=own,
            own_error=own_error,
            before=before,
            before_error=before_error,
            grown=grown,
        )
        yield found
        before, before_error = found.pair(len(rows) - 1)


def norm_lower(Q: Array, F: Array) -> float:
    """Return a lower bound of the largest norm of exact products near Q, (heads, keys, keys)."""
    if not (np.isfinite(Q).all() and np.isfinite(F).all()):
        return 0.0
    v = np.linalg.svd(Q)[2][:, 0]
    n = Q.shape[-1]
    length = np.sqrt(np.square(v).sum(axis=-1))
    with np.errstate(under="ignore"):
        moved = np.sqrt(np.square(np.einsum("hij,hj->hi", Q, v)).sum(axis=-1))
    # the image errs by gamma(n) |Q|_F |v|, both lengths by (n + 4) u
    low = moved / length * (1 - 4 * gamma(n + 8)) - 2 * gamma(n + 8) * frobenius_upper(Q) - F
    return max(float(np.max(low)) - _LOST, 0.0)


def norm_upper(Q: Array, F: Array) -> float:
    """Return an upper bound of the largest norm of exact products near Q."""
    return float(np.max(norms_upper(Q, F, 2)))
