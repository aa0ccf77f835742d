"""The joint spectral radius enclosed from a lower bound that is known: the tree of products.

Main names: `enclose`, `grow_tree`, `JointSpectralRadius`, `form_vertices`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NamedTuple, final

import numpy as np

from theory.arithmetic.rounding import (
    ELEMENTARY_UNITS,
    TINY,
    UNIT,
    ldexp_up,
    scaled_to_one,
    up,
)
from theory.certify.ascent import LowerBound
from theory.executors import finished, held
from theory.maps.base import Map
from theory.maps.form import Affine
from theory.norms.enclosed import (
    factor_pairs,
    multiply_pairs,
    norms_upper,
    roots_up,
)
from theory.norms.norms import L2, Norm, WeightedL2
from theory.norms.products import slope_vertices
from theory.norms.radius import product_radius_lower
from theory.shown import shown
from theory.threads import few_threads
from theory.typing import Array

#: Up to this dimension the 2**n vertices are enumerated.
LARGEST = 10

#: How many products are formed at a time.
BATCH = 2048

#: How many of them one worker forms at a time, where there are workers.
_SHARE = 256

#: Length beyond which a product is not continued.
_LONGEST = 64

#: A growth smaller than this times that of one step is not resolved further.
_NEGLIGIBLE = 2.0**-20


@shown
@final
@dataclass(frozen=True, kw_only=True, eq=False)
class JointSpectralRadius:
    """An enclosure of the joint spectral radius, rounded outward, with what shows it."""

    lower: LowerBound  # a periodic product of that growth rate
    upper: float  # every k-fold product has norm at most constant * upper**k
    constant: float  # K >= 1
    norm: Norm  # the norm of that bound: exactly |T h| with T the factor of this one as stored
    products: int  # how many were formed
    longest: int  # length of the longest leaf

    @property
    def gap(self) -> float:
        """Return upper / lower, inf if nothing is known from below."""
        return up(self.upper / self.lower.rate) if self.lower.rate > 0 else math.inf


def form_vertices(form: Affine) -> Array:
    """Return the slope vertices, (2**n, n), less those that only change a sign; one if linear."""
    low, high = form.rho.slope
    n = len(form.W)
    vertices = slope_vertices(np.full(n, low), np.full(n, high))
    return vertices[: len(vertices) // 2] if low == -high and low != 0 else vertices


def _good_norm(form: Affine) -> Norm:
    """Return a norm in which one step grows by little: from the matrix inequality, or `L2`."""
    from theory.certify import search

    P = search.rough_gram(form)
    try:
        return L2() if P is None else WeightedL2(P)
    except ValueError:  # not provably positive definite
        return L2()


@dataclass(kw_only=True)
class _Leaves:
    """Products at which the tree ends so far, one of each per row."""

    C: Array  # (N, n, n)
    F: Array  # (N,)
    value: Array  # least |prefix|**(1/length) of all prefixes, rounded up, (N,)
    path: Array  # indices of vertices, -1 beyond the product's length, (N, _LONGEST)
    length: Array  # (N,)

    def take(self, where: Any) -> _Leaves:
        """Return some of the rows."""
        return _Leaves(
            C=self.C[where],
            F=self.F[where],
            value=self.value[where],
            path=self.path[where],
            length=self.length[where],
        )

    def __add__(self, other: _Leaves) -> _Leaves:
        pairs = ((getattr(self, name), getattr(other, name)) for name in self.__dict__)
        return _Leaves(**dict(zip(self.__dict__, map(np.concatenate, pairs), strict=True)))


def enclose(
    recurrent: Map,
    start: LowerBound,
    *,
    norm: Norm | None,
    products: int,
    tol: float,
    executor: Executor | Callable[[], Executor] | None = None,
) -> JointSpectralRadius:
    """Return what `joint_spectral_radius` does, from a lower bound that is known already."""
    form = recurrent.affine()
    assert form is not None
    n = len(form.W)
    vertices = form_vertices(form)
    scaled, steep = scaled_to_one(vertices)
    W, e = scaled_to_one(form.W)
    e += steep
    measure = _good_norm(form) if norm is None else norm
    pairs = factor_pairs(W, scaled, measure.coordinates(n).T)
    if pairs is None:
        measure = L2()
        pairs = factor_pairs(W, scaled, measure.coordinates(n).T)
    if pairs is None:  # not a finite number
        return JointSpectralRadius(
            lower=start, upper=math.inf, constant=1.0, norm=measure, products=0, longest=0
        )
    tree = grow_tree(
        *pairs, best=math.ldexp(start.rate, -e), p=measure.p, products=products, tol=tol,
        executor=executor,
    )  # fmt: skip
    lower = start
    if tree.path is not None:
        slopes = vertices[tree.path]
        rate = product_radius_lower(form.W, slopes)
        if rate > lower.rate:
            lower = LowerBound(rate=rate, slopes=slopes)
    return tree.enclosure(lower, e, measure)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Tree:
    """What a tree of products shows, in the units of its factors."""

    upper: float  # every k-fold product has norm at most constant * upper**k
    constant: float  # K >= 1
    path: Array | None  # indices of the factors of a product that grows faster than was known
    products: int  # how many were formed
    longest: int  # length of the longest leaf

    def enclosure(self, lower: LowerBound, e: int, norm: Norm) -> JointSpectralRadius:
        """Return the enclosure, for factors that are larger by 2**e."""
        return JointSpectralRadius(
            lower=lower,
            upper=max(ldexp_up(self.upper, e), lower.rate),
            constant=self.constant,
            norm=norm,
            products=self.products,
            longest=self.longest,
        )


class _Round(NamedTuple):
    """Products to be continued by every factor, and the norm in which they are measured."""

    B: Array  # the factors, (N, n, n)
    F: Array  # (N,)
    C: Array  # the products, (M, n, n)
    f: Array  # (M,)
    p: float


def _continued(asked: _Round) -> tuple[Array, Array, Array, Array]:
    """Return the longer products, (M N, n, n), their errors, norms and largest eigenvalues."""
    n = asked.B.shape[-1]
    with few_threads(n):
        C, f = multiply_pairs(asked.B[None], asked.F[None], asked.C[:, None], asked.f[:, None])
        C, f = C.reshape(-1, n, n), f.ravel()
        return C, f, norms_upper(C, f, asked.p), np.max(np.abs(np.linalg.eigvals(C)), axis=-1)


def grow_tree(
    B: Array,
    F: Array,
    *,
    best: float,
    p: float,
    products: int,
    tol: float,
    executor: Executor | Callable[[], Executor] | None = None,
) -> Tree:
    """Return what products of pairs (N, n, n), (N,) show, in the norm induced by the p-norm.

    The tree is grown until no leaf exceeds the growth rate `best`, or a larger one that is met, by
    more than `tol`, relatively, or so many products were formed.
    """
    with held(executor) as workers:
        return _grown(B, F, best, p, products, tol, workers)


def _grown(
    B: Array,
    F: Array,
    best: float,
    p: float,
    products: int,
    tol: float,
    workers: Executor | Callable[[], Executor] | None,
) -> Tree:
    n, best_path = B.shape[-1], None
    # long products of factors of size about 1 stay in range; entries that underflow lose eta / 2
    B, shift = scaled_to_one(B)
    F = np.nextafter(np.ldexp(F, -shift) + (n + 1) * TINY, np.inf)
    best = math.ldexp(best, -shift)
    root = _Leaves(
        C=np.eye(n)[None], F=np.zeros(1), value=np.full(1, math.inf),
        path=np.full((1, _LONGEST), -1), length=np.zeros(1, dtype=np.int64),
    )  # fmt: skip
    leaves, formed, floor = root, 0, 0.0
    inner: list[tuple[Array, Array, Array]] = [(root.value, np.ones(1), root.length)]
    closed, longest = 0.0, 0  # of leaves that need not be continued
    while len(leaves.value):
        goal = max(best * (1 + tol), floor)
        open_ = (leaves.value > goal) & (leaves.length < _LONGEST)
        if not open_.all():
            closed = max(closed, float(np.max(leaves.value[~open_])))
            leaves = leaves.take(open_)
        room = (products - formed) // len(B)
        if not len(leaves.value) or room == 0 or closed >= float(np.max(leaves.value)):
            break
        order = np.argsort(-leaves.value, kind="stable")
        chosen = order[: min(max(1, BATCH // len(B)), room)]
        # one round takes what is near the largest value: only those lower the upper bound
        chosen = chosen[leaves.value[chosen] >= max(goal, 0.98 * float(leaves.value[order[0]]))]
        parents = leaves.take(chosen)
        rest = np.ones(len(leaves.value), dtype=bool)
        rest[chosen] = False
        count = len(parents.value)
        share = count if workers is None else max(1, _SHARE // len(B))
        rounds = (
            _Round(B, F, parents.C[i : i + share], parents.F[i : i + share], p)
            for i in range(0, count, share)
        )
        answers = sorted(finished(_continued, rounds, executor=workers), key=itemgetter(0))
        C, f, sizes, top = (
            np.concatenate([answer[part] for _, answer in answers]) for part in range(4)
        )
        formed += len(C)
        length = np.repeat(parents.length + 1, len(B))
        path = np.repeat(parents.path, len(B), axis=0)
        path[np.arange(len(C)), length - 1] = np.tile(np.arange(len(B)), count)
        value = np.minimum(roots_up(sizes, length), np.repeat(parents.value, len(B)))
        with np.errstate(divide="ignore"):
            growth = top ** (1.0 / length)
        i = int(np.argmax(growth))
        # below the resolution of eigenvalue routines at a defective product nothing is gained
        if growth[i] > best * (1 + 1e-9):
            best, best_path = float(growth[i]), path[i, : length[i]].copy()
        longest = max(longest, int(length[0]))
        children = _Leaves(C=C, F=f, value=value, path=path, length=length)
        if len(inner) == 1:  # a nilpotent product never reaches 0 exactly: stop well below one step
            floor = _NEGLIGIBLE * float(np.max(value))
        inner.append((value, sizes, length))
        leaves = leaves.take(rest) + children
    upper = max(closed, float(np.max(leaves.value, initial=0.0)))
    return Tree(
        upper=ldexp_up(upper, shift),
        constant=_constant(inner, upper),
        path=best_path,
        products=formed,
        longest=longest,
    )


def _constant(inner: list[tuple[Array, Array, Array]], upper: float) -> float:
    r"""Return K with |X| <= K upper**k for every product X of k factors.

    X is a sequence of leaves and one inner node of the tree cut at value <= upper, so K is the
    largest |node| / upper**length over inner nodes, those of larger value; 1 at the root.
    """
    if not upper > 0:
        return math.inf if any(len(value) and np.any(value > 0) for value, _, _ in inner) else 1.0
    best = 1.0
    for value, sizes, length in inner:
        kept = value > upper
        if np.any(kept):
            exponent = np.log2(sizes[kept]) - length[kept] * math.log2(upper)
            slack = 8 * ELEMENTARY_UNITS * UNIT * (2 + np.abs(exponent) + length[kept] * 1100)
            best = max(best, up(float(np.max(np.exp2(exponent) * (1 + 2 * slack)))))
    return best
