r"""The joint spectral radius of a map's slope vertices, enclosed from both sides.

Main names: `joint_spectral_radius`, `JointSpectralRadius`, `products_upper`.

With slopes in [alpha_i, beta_i] one step moves the difference of two states by diag(s) W, and
products are affine in every slope, so norms are largest at vertices, s_i in {alpha_i, beta_i}.
The joint spectral radius is the growth rate of the largest product of k such factors:

    max rho(product of k)**(1/k)  <=  jsr  <=  max |product of k|**(1/k)     for every k, any norm,

and a norm in which every factor is a contraction exists iff jsr < 1.

The search is that of Gripenberg (*Computing the joint spectral radius*, Linear Algebra and its
Applications 234, 1996), best first.  Its upper bound is read off a finite tree: every infinite
product is cut at leaves, so if every leaf X of length k has |X| <= r**k then jsr <= r.  The norm is
a Euclidean, sum or maximum norm in coordinates T, that is, products of T diag(s) W T^-1 are formed,
each with a bound F of its distance from the exact one in the Frobenius norm.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.errors import check_count, check_positive
from theory.lower import LowerBound, product_radius_lower
from theory.maps.base import Affine, Map
from theory.norms import L1, L2, Linf, Norm, WeightedL1, WeightedL2, WeightedLinf
from theory.products import product_error
from theory.rigor import frobenius_upper
from theory.rounding import ELEMENTARY_UNITS, TINY, UNIT, gamma, scaled_to_one, up
from theory.typing import Array

#: Up to this dimension the 2**n vertices are enumerated.
LARGEST = 10

#: How many products are formed at a time.
_BATCH = 2048

#: Length beyond which a product is not continued.
_LONGEST = 64

#: A growth smaller than this times that of one step is not resolved further.
_NEGLIGIBLE = 2.0**-20


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class JointSpectralRadius:
    """An enclosure of the joint spectral radius, rounded outward, with what shows it."""

    lower: LowerBound  # a periodic slope sequence of that growth rate
    upper: float  # every k-fold product has norm at most constant * upper**k
    constant: float  # K >= 1
    norm: Norm  # the norm of that bound: exactly |T h| with T the factor of this one as stored
    products: int  # how many were formed
    longest: int  # length of the longest leaf

    @property
    def gap(self) -> float:
        """Return upper / lower, inf if nothing is known from below."""
        return up(self.upper / self.lower.rate) if self.lower.rate > 0 else math.inf


def slope_vertices(form: Affine) -> Array:
    """Return the slope vertices, (2**n, n), less those that only change a sign; one if linear."""
    low, high = form.rho.slope
    n = len(form.W)
    if low == high:
        return np.full((1, n), high)
    vertices = np.array(list(itertools.product((high, low), repeat=n)))
    return vertices[: len(vertices) // 2] if low == -high else vertices


# ---------------------------------------------------------------------- matrices with error bounds
# A pair (C, F): arrays (..., n, n) and (...), |exact - C|_F <= F.


def _multiply(B: Array, e: Array, C: Array, f: Array) -> tuple[Array, Array]:
    """Return the product of two pairs."""
    error = product_error(frobenius_upper(B), frobenius_upper(C), e, f, B.shape[-1])
    with np.errstate(over="ignore", invalid="ignore"):
        return B @ C, error


def _power(C: Array, f: Array, k: int) -> tuple[Array, Array]:
    """Return the pair of a k-th power, by squaring: errors grow with the powers' own norms."""
    if k == 1:
        return C, f
    root = _power(C, f, k // 2)
    square = _multiply(*root, *root)
    return _multiply(*square, C, f) if k % 2 else square


def _norms_upper(C: Array, f: Array, kind: float) -> Array:
    """Return upper bounds of the norms, induced by the 1-, 2- or maximum norm, of pairs.

    inf where an entry of C, or F, is not finite.
    """
    n = C.shape[-1]
    known = np.isfinite(C).all(axis=(-2, -1)) & np.isfinite(f)
    if not known.all():
        finite = np.where(known[..., None, None], C, 0.0)
        return np.where(known, _norms_upper(finite, np.where(known, f, 0.0), kind), np.inf)
    if kind != 2:
        sums = np.sum(np.abs(C), axis=-1 if kind == math.inf else -2)
        result: Array = np.max(sums, axis=-1) * (1 + 2 * gamma(n + 2))
        # a row of n entries has a sum of at most sqrt(n) times its Euclidean length; the products
        # lose at most eta / 2 each
        return result + f * math.sqrt(n) * (1 + 4 * UNIT) + 2 * TINY
    # C = X diag(s) Y + R for whatever the routine returned, so |C| <= |X| max(s) |Y| + |R|
    X, s, Y = np.linalg.svd(C)
    one = np.eye(n)

    def length(Z: Array) -> Array:
        # |Z|^2 <= 1 + |Z^T Z - I|, formed with an error of at most gamma(n) |Z|_F^2
        wrong = frobenius_upper(np.swapaxes(Z, -1, -2) @ Z - one)
        wrong = wrong + 2 * gamma(n + 2) * np.square(frobenius_upper(Z))
        root: Array = np.sqrt(1 + wrong) * (1 + 4 * UNIT)
        return root

    # what underflows in X s, in its product with Y, in the products of norms and in the sums is at
    # most (n^2 / 2 + (n + sqrt(n)) |Y| / 2 + 3) eta, and |Y| <= length(Y) >= 1
    scaled = X * s[..., None, :]
    residual = frobenius_upper(C - scaled @ Y)
    residual = residual + 2 * gamma(n + 4) * frobenius_upper(scaled) * frobenius_upper(Y)
    largest: Array = np.max(s, axis=-1)
    rows = length(Y)
    whole: Array = (length(X) * largest * rows + residual + f) * (1 + 16 * UNIT)
    whole += (8 * n * n) * TINY * rows
    return whole


def _roots_up(x: Array, k: Array | int) -> Array:
    """Return doubles above x**(1/k), x >= 0; inf for NaN."""
    # log and exp2 err by at most ELEMENTARY_UNITS u of their values
    with np.errstate(divide="ignore"):
        exponent = np.log2(x) / k
    slack = 4 * ELEMENTARY_UNITS * UNIT * (2 + 2 * np.abs(exponent))
    with np.errstate(invalid="ignore"):
        result = np.exp2(exponent) * (1 + 2 * slack) + TINY
    return np.where(x == 0, 0.0, np.where(np.isfinite(result), result, math.inf))


# ------------------------------------------------------------------------------------- coordinates


def _coordinates(norm: Norm, n: int) -> tuple[Array, float]:
    """Return T and the kind of norm, |h| = |T h|_kind."""
    norm.check_dim(n)
    kinds = {L1: 1.0, L2: 2.0, Linf: math.inf}
    if type(norm) in kinds:
        return np.eye(n), kinds[type(norm)]
    if isinstance(norm, WeightedLinf):
        return np.diag(1.0 / norm.v), math.inf
    if isinstance(norm, WeightedL1):
        return np.diag(norm.v), 1.0
    if isinstance(norm, WeightedL2):
        return np.ascontiguousarray(np.linalg.cholesky(norm.P).T), 2.0
    raise ValueError(
        f"norm={norm!r}, needed one of L1, L2, Linf, WeightedL1, WeightedL2 and WeightedLinf on "
        f"R^{n}"
    )


def _factors(W: Array, vertices: Array, T: Array) -> tuple[Array, Array] | None:
    r"""Return pairs for T diag(s) W T^-1; None if T is too ill-conditioned.

    For any S with T S = I + E, |E| <= eps < 1, T A T^-1 = (T A S)(I + E)^-1 is within
    (F + |T A S| eps) / (1 - eps) of what T A S was computed to be with error F.
    """
    n = len(W)
    try:
        S = np.asarray(np.linalg.inv(T), dtype=np.float64)
    except np.linalg.LinAlgError:
        return None
    zero: Array = np.zeros(())
    left, wrong = _multiply(T, zero, S, zero)
    eps = float(frobenius_upper(left - np.eye(n)) + wrong) * (1 + 8 * UNIT)
    if not eps < 0.25:
        return None
    A = vertices[:, :, None] * W
    # of s_i W_ij, and of slopes and entries of W, at most 1, that vanished when they were scaled
    rounding: Array = 2 * UNIT * frobenius_upper(A) + 2 * n * n * TINY
    C, F = _multiply(*_multiply(T, zero, A, rounding), S, zero)
    # two products and a quotient lose eta / 2 each; the quotient by at least 3/4 makes it no more
    # than 2 eta
    F = (F + frobenius_upper(C) * eps) / (1 - eps) * (1 + 8 * UNIT) + 2 * TINY
    return (C, F) if np.isfinite(C).all() and np.isfinite(F).all() else None


def _good_norm(form: Affine) -> Norm:
    """Return a norm in which one step grows by little: from the matrix inequality, or `L2`."""
    from theory import search

    P = search.rough_gram(form)
    try:
        return L2() if P is None else WeightedL2(P)
    except ValueError:  # not provably positive definite
        return L2()


def _unscaled(x: float, e: int) -> float:
    """Return x 2**e rounded upward."""
    try:
        result = math.ldexp(x, e)
    except OverflowError:
        return math.inf
    return result if result >= 2.0**-1020 or x == 0 else up(result)


# --------------------------------------------------------------------------------- the two searches


def products_upper(recurrent: Map, length: int, *, norm: Norm | None = None) -> float:
    r"""Return max |product|**(1/length) over all products of `length` slope vertices, rounded up.

    Parameters
    ----------
    recurrent : Map
        In affine form.
    length : int
    norm : Norm, optional
        `L2` by default.

    Returns
    -------
    float
        An upper bound of the joint spectral radius; below 1 the map contracts in `length` steps
        together.  inf if nothing can be proved in this norm.

    Raises
    ------
    ValueError
        If the map has no affine form, the length is not positive, or there are more than 2**22
        products.

    Examples
    --------
    >>> from theory import VanillaRNN
    >>> mone = VanillaRNN([[0.9, -1.0], [0.5, -0.9]], [[1.0], [1.0]])
    >>> [round(products_upper(mone, r), 4) for r in (1, 2, 6)]
    [1.6841, 1.1769, 0.9842]
    """
    check_count(at_least=1, length=length)
    form = recurrent.affine()
    if form is None:
        raise ValueError(f"received {recurrent!r}, needed a map in affine form")
    n = len(form.W)
    count = 1 if form.rho.slope[0] == form.rho.slope[1] else 2**n
    if count > 1 and not length * math.log2(count) <= 22:
        raise ValueError(
            f"length={length} for n={n} means {count}**{length} products, more than 2**22; "
            "try joint_spectral_radius, which leaves most of them out"
        )
    vertices, steep = scaled_to_one(slope_vertices(form))
    W, e = scaled_to_one(form.W)
    T, kind = _coordinates(L2() if norm is None else norm, n)
    pairs = _factors(W, vertices, T)
    if pairs is None:
        return math.inf
    B, F = pairs

    def largest(C: Array, f: Array, rest: int) -> float:
        if rest == 0:
            return float(np.max(_norms_upper(C, f, kind)))
        best = 0.0
        step = max(1, _BATCH // len(B))
        for i in range(0, len(C), step):
            D, d = _multiply(B[None], F[None], C[i : i + step, None], f[i : i + step, None])
            best = max(best, largest(D.reshape(-1, n, n), d.ravel(), rest - 1))
        return best

    if len(B) == 1:
        C, f = _power(B[0], F[0], length)
        top = float(_norms_upper(C, f, kind))
    else:
        top = largest(B, F, length - 1)
    return _unscaled(float(_roots_up(np.array(top), length)), e + steep)


def joint_spectral_radius(
    recurrent: Map,
    *,
    norm: Norm | None = None,
    products: int = 20000,
    tol: float = 1e-4,
    rng: np.random.Generator | None = None,
) -> JointSpectralRadius | None:
    r"""Enclose the rate that the best of all norms could certify.

    Parameters
    ----------
    recurrent : Map
    norm : Norm, optional
        The norm of the products: the nearer to a best one, the fewer are needed.  That of a
        contraction found before is a good choice; by default one is searched for.
    products : int
        How many may be formed.
    tol : float
        The search ends when upper and lower bound differ by less than this, relatively.
    rng : numpy.random.Generator, optional
        For the search of good products; a fixed seed by default.

    Returns
    -------
    JointSpectralRadius or None
        None for a map that is not in affine form, and for n > `LARGEST`.

    Raises
    ------
    ValueError
        If the count or the tolerance is not positive, or the norm is not one on the map's states.

    Examples
    --------
    >>> from theory import VanillaRNN
    >>> mone = VanillaRNN([[0.9, -1.0], [0.5, -0.9]], [[1.0], [1.0]])
    >>> radius = joint_spectral_radius(mone)
    >>> round(radius.lower.rate, 3), round(radius.upper, 3)
    (0.9, 0.9)
    """
    from theory.lower import rate_lower

    check_count(at_least=1, products=products)
    check_positive(tol=tol)
    form = recurrent.affine()
    if form is None or len(form.W) > LARGEST:
        return None
    if norm is not None:
        norm.check_dim(len(form.W))
    start = rate_lower(recurrent, rng=rng, products=0)
    assert start is not None
    return enclose(recurrent, start, norm=norm, products=products, tol=tol)


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
    recurrent: Map, start: LowerBound, *, norm: Norm | None, products: int, tol: float
) -> JointSpectralRadius:
    """Return what `joint_spectral_radius` does, from a lower bound that is known already."""
    form = recurrent.affine()
    assert form is not None
    n = len(form.W)
    vertices = slope_vertices(form)
    scaled, steep = scaled_to_one(vertices)
    W, e = scaled_to_one(form.W)
    e += steep
    measure = _good_norm(form) if norm is None else norm
    T, kind = _coordinates(measure, n)
    pairs = _factors(W, scaled, T)
    if pairs is None:
        measure, T, kind = L2(), np.eye(n), 2.0
        pairs = _factors(W, scaled, T)
    if pairs is None:  # not a finite number
        return JointSpectralRadius(
            lower=start, upper=math.inf, constant=1.0, norm=measure, products=0, longest=0
        )
    B, F = pairs
    best, best_path = math.ldexp(start.rate, -e), None
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
        chosen = order[: min(max(1, _BATCH // len(B)), room)]
        # one round takes what is near the largest value: only those lower the upper bound
        chosen = chosen[leaves.value[chosen] >= max(goal, 0.98 * float(leaves.value[order[0]]))]
        parents = leaves.take(chosen)
        rest = np.ones(len(leaves.value), dtype=bool)
        rest[chosen] = False
        C, f = _multiply(B[None], F[None], parents.C[:, None], parents.F[:, None])
        C, f = C.reshape(-1, n, n), f.ravel()
        count = len(parents.value)
        formed += len(C)
        length = np.repeat(parents.length + 1, len(B))
        path = np.repeat(parents.path, len(B), axis=0)
        path[np.arange(len(C)), length - 1] = np.tile(np.arange(len(B)), count)
        sizes = _norms_upper(C, f, kind)
        value = np.minimum(_roots_up(sizes, length), np.repeat(parents.value, len(B)))
        with np.errstate(divide="ignore"):
            growth = np.max(np.abs(np.linalg.eigvals(C)), axis=-1) ** (1.0 / length)
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
    lower = start
    if best_path is not None:
        slopes = vertices[best_path]
        rate = product_radius_lower(form.W, slopes)
        if rate > lower.rate:
            lower = LowerBound(rate=rate, slopes=slopes)
    return JointSpectralRadius(
        lower=lower,
        upper=max(_unscaled(upper, e), lower.rate),
        constant=_constant(inner, upper),
        norm=measure,
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
