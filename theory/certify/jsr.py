r"""The joint spectral radius of a map's slope vertices, or of a set, enclosed from both sides.

Main names: `joint_spectral_radius`, `products_upper`.

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

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple, overload

import numpy as np

from theory.arithmetic.rounding import ldexp_up, scaled_to_one
from theory.certify.ascent import LowerBound, search_products
from theory.certify.enclose import BATCH, LARGEST, JointSpectralRadius, enclose, form_vertices
from theory.certify.places import Where, best_product, places, product_rate
from theory.certify.switched import enclose_set, matrices_of
from theory.domain import Domain, check_box
from theory.errors import as_array, as_sequences, check_count, check_positive
from theory.executors import finished
from theory.inputs import Inputs, as_inputs
from theory.maps.base import Map, check_map
from theory.maps.invariance import invariant_domain
from theory.norms.enclosed import (
    factor_pairs,
    multiply_pairs,
    norms_upper,
    power_pair,
    roots_up,
)
from theory.norms.norms import L2, Norm
from theory.threads import few_threads
from theory.typing import Array


class _Prefixes(NamedTuple):
    """Products, each of which is continued in every way."""

    B: Array  # the factors, (N, n, n)
    F: Array  # (N,)
    C: Array  # the products, (M, n, n)
    f: Array  # (M,)
    rest: int  # by so many factors
    p: float  # the norm


def _largest(asked: _Prefixes) -> float:
    """Return the largest norm of what the products are continued to, rounded up."""
    n = asked.B.shape[-1]
    step = max(1, BATCH // len(asked.B))

    def largest(C: Array, f: Array, rest: int) -> float:
        if rest == 0:
            return float(np.max(norms_upper(C, f, asked.p)))
        best = 0.0
        for i in range(0, len(C), step):
            D, d = multiply_pairs(
                asked.B[None], asked.F[None], C[i : i + step, None], f[i : i + step, None]
            )
            best = max(best, largest(D.reshape(-1, n, n), d.ravel(), rest - 1))
        return best

    with few_threads(n):
        return largest(asked.C, asked.f, asked.rest)


#: Pieces that the products of `products_upper` are divided into, by their first factors.
_PIECES = 64


def products_upper(
    recurrent: Map,
    length: int,
    *,
    norm: Norm | None = None,
    executor: Executor | Callable[[], Executor] | None = None,
) -> float:
    r"""Return max |product|**(1/length) over all products of `length` slope vertices, rounded up.

    Parameters
    ----------
    recurrent : Map
        In affine form.
    length : int
    norm : Norm, optional
        `L2` by default.
    executor : Executor, or function that starts one, optional
        Whose workers continue the products; see `theory.executors`.

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
    vertices, steep = scaled_to_one(form_vertices(form))
    W, e = scaled_to_one(form.W)
    measure = L2() if norm is None else norm
    measure.check_dim(n)
    pairs = factor_pairs(W, vertices, measure.coordinates(n).T)
    if pairs is None:
        return math.inf
    B, F = pairs

    if len(B) == 1:
        C, f = power_pair(B[0], float(F[0]), length)
        top = float(norms_upper(C, np.asarray(f), measure.p))
    else:
        share = max(1, len(B) // _PIECES)
        pieces = (
            _Prefixes(B, F, B[i : i + share], F[i : i + share], int(length) - 1, measure.p)
            for i in range(0, len(B), share)
        )
        top = max(value for _, value in finished(_largest, pieces, executor=executor))
    return ldexp_up(float(roots_up(np.array(top), length)), e + steep)


@overload
def joint_spectral_radius(
    recurrent: Map,
    *,
    norm: Norm | None = ...,
    products: int = ...,
    tol: float = ...,
    rng: np.random.Generator | None = ...,
    executor: Executor | Callable[[], Executor] | None = ...,
) -> JointSpectralRadius | None: ...
@overload
def joint_spectral_radius(
    recurrent: Sequence[Any] | Array,
    *,
    norm: Norm | None = ...,
    products: int = ...,
    tol: float = ...,
    rng: np.random.Generator | None = ...,
    executor: Executor | Callable[[], Executor] | None = ...,
) -> JointSpectralRadius: ...
def joint_spectral_radius(
    recurrent: Map | Sequence[Any] | Array,
    *,
    norm: Norm | None = None,
    products: int = 20000,
    tol: float = 1e-4,
    rng: np.random.Generator | None = None,
    executor: Executor | Callable[[], Executor] | None = None,
) -> JointSpectralRadius | None:
    r"""Enclose the rate that the best of all norms could certify.

    Of a map, over all slopes that its units can have; or of a finite set of matrices, any one of
    which acts at each step: a switched linear system h <- A_s h, or a recurrence that is linear in
    the state and driven by tokens, one matrix for each.

    Parameters
    ----------
    recurrent : Map, or sequence of (n, n) matrices
    norm : Norm, optional
        The norm of the products: the nearer to a best one, the fewer are needed.  That of a
        contraction found before is a good choice; by default one is searched for.
    products : int
        How many may be formed.
    tol : float
        The search ends when upper and lower bound differ by less than this, relatively.
    rng : numpy.random.Generator, optional
        For the search of good products; a fixed seed by default.
    executor : Executor, or function that starts one, optional
        Whose workers form the products, some hundred at a time; see `theory.executors`.

    Returns
    -------
    JointSpectralRadius or None
        None for a map that is not in affine form, and for n > `LARGEST`; never for a set.  All
        products of k factors have a norm of at most ``constant * upper**k``; ``lower`` holds the
        product that grows at its rate, for a set ``lower.order``, the first factor to act first.

    Raises
    ------
    ValueError
        If the count or the tolerance is not positive, the norm is not one on the states, matrices
        are not square, of one size and finite, or a single matrix is given.

    Examples
    --------
    >>> from theory import VanillaRNN
    >>> mone = VanillaRNN([[0.9, -1.0], [0.5, -0.9]], [[1.0], [1.0]])
    >>> radius = joint_spectral_radius(mone)
    >>> round(radius.lower.rate, 3), round(radius.upper, 3)
    (0.9, 0.9)
    >>> golden = joint_spectral_radius([[[1, 1], [0, 1]], [[1, 0], [1, 1]]], products=4000)
    >>> golden.lower.order, round(golden.lower.rate, 4), golden.upper < 1.63
    ((1, 0), 1.618, True)
    """
    check_count(at_least=1, products=products)
    check_positive(tol=tol)
    if not isinstance(recurrent, Map):
        A = matrices_of(recurrent)
        if norm is not None:
            norm.check_dim(A.shape[-1])
        return enclose_set(A, norm=norm, products=products, tol=tol, executor=executor)
    form = recurrent.affine()
    if form is None or not len(form.W) <= LARGEST:
        return None
    if norm is not None:
        norm.check_dim(len(form.W))
    start = rate_lower(recurrent, rng=rng, products=0)
    assert start is not None
    return enclose(recurrent, start, norm=norm, products=products, tol=tol, executor=executor)


#: Up to this dimension `rate_lower` also searches by branch and bound over the 2**n vertices.
SMALL = 6


def question(recurrent: Map, inputs: Any, domain: Domain | None, sequences: Any) -> Where:
    """Return which states and inputs are meant: by a set or a box, by sequences, or all.

    Raises
    ------
    ValueError
        If inputs and domain are both given or do not fit the map, or a sequence holds an input that
        is not in question.
    """
    n, m = recurrent.state_dim, recurrent.input_dim
    if domain is not None:
        if inputs is not None:
            raise ValueError("received both domain= and inputs=, needed at most one of them")
        if not isinstance(domain, Domain):
            raise ValueError(f"domain={domain!r}, needed a theory.Domain")
        check_box(domain)
        if (domain.state_dim, domain.input_dim) != (n, m):
            raise ValueError(
                f"the domain has {domain.state_dim} states and {domain.input_dim} inputs, needed "
                f"{n} and {m}"
            )
    known: tuple[Array, ...] = ()
    if sequences is not None:
        known = tuple(
            as_sequences("sequences", one, width=m).reshape(-1, m)
            for one in (sequences if isinstance(sequences, list | tuple) else _rows_of(sequences))
        )
    given = None if inputs is None else as_inputs(inputs, m)
    asked = given if domain is None else domain.inputs
    if asked is not None:
        for number, X in enumerate(known):
            if not asked.contains(X):
                raise ValueError(
                    f"sequences[{number}] holds an input that is not among the inputs in question, "
                    f"{asked}; leave inputs= or domain= out, or take a set that holds it"
                )
    elif known:
        rows = np.unique(np.concatenate(known), axis=0)
        if not len(rows):
            raise ValueError("sequences holds no input, needed at least one")
        asked = Inputs.any_of(rows[np.linspace(0, len(rows) - 1, min(len(rows), 512)).astype(int)])
        known = tuple(X for X in known if len(X))
    box = domain
    if domain is None and asked is not None:
        # of sequences the box under all of their inputs
        held = Inputs.box(rows.min(axis=0), rows.max(axis=0)) if given is None else asked
        box = invariant_domain(recurrent, inputs=held)
    return Where(inputs=asked, box=box, sequences=known)


def _rows_of(sequences: Any) -> list[Any]:
    array = as_array("sequences", sequences)
    return [array] if array.ndim < 3 else list(array)


def rate_lower(
    recurrent: Map,
    *,
    inputs: Any = None,
    domain: Domain | None = None,
    sequences: Any = None,
    rng: np.random.Generator | None = None,
    length: int = 3,
    starts: int = 12,
    products: int = 2000,
) -> LowerBound | None:
    r"""Return a rate below which no norm certifies a step of a map.

    Of a map in affine form that is asked about everywhere: all its slope sequences.  Otherwise the
    states and inputs in question, by products of Jacobians at some of them, the middle of the box
    among them.

    Parameters
    ----------
    recurrent : Map
        Any but a function of one's own, for which None is returned.
    inputs, domain, sequences
        As in `theory.refute`.
    rng : numpy.random.Generator, optional
        For the starting points of the search; a fixed seed by default.
    length : int
        Longest product that the randomised search tries.
    starts : int
        Its starting points for each length; all vertices are tried for length 1 and n <= 8.
    products : int
        How many products branch and bound may form besides, for n <= `SMALL`; see
        `theory.certify.joint_spectral_radius`, which also gives an upper bound.

    Returns
    -------
    LowerBound or None
        Rigorous whatever the search found: the spectral radius is bounded from below.  None too
        where states cannot move in every direction.

    Raises
    ------
    ValueError
        If a count is not an integer, or too small, or as in `theory.refute`.

    Examples
    --------
    >>> from theory import VanillaRNN
    >>> mone = VanillaRNN([[0.9, -1.0], [0.5, -0.9]], [[1.0], [1.0]])
    >>> round(rate_lower(mone).rate, 4)
    0.9
    """
    check_map(recurrent)
    check_count(at_least=1, length=length, starts=starts)
    check_count(products=products)
    form = recurrent.affine()
    random = np.random.default_rng(0) if rng is None else rng
    if form is None or not (inputs is None and domain is None and sequences is None):
        return _rate_at_places(
            recurrent, question(recurrent, inputs, domain, sequences), random, length
        )
    best = search_products(form, random, length, starts)
    linear = form.rho.slope[0] == form.rho.slope[1]
    if linear or len(form.W) > SMALL or products == 0 or not np.any(form.W):
        return best

    return enclose(recurrent, best, norm=None, products=products, tol=1e-6).lower


def _rate_at_places(
    recurrent: Map, where: Where, random: np.random.Generator, length: int
) -> LowerBound | None:
    """Return the largest of the bounds at the middle of the box and of the best product found."""
    if not where.open:
        return None
    visited = places(recurrent, where, random)
    found = best_product(recurrent, where, visited, length=length, climb=True)
    if found is None:
        return None
    tried = [(found[0], found[1]), *((h[None], x[None]) for h, x in visited[:1])]
    bounds = [
        LowerBound(rate=product_rate(recurrent, states, inputs), states=states, inputs=inputs)
        for states, inputs in tried
    ]
    best = max(bounds, key=lambda bound: bound.rate)
    return best if best.rate > 0 else None
