r"""What a norm is: a vector norm and the matrix norm it induces, as one object.

Main names: `Norm`, `Coordinates`, `over`.

A new norm is one class: its vector norm and its `Coordinates` say all that the rest needs, and a
method is overridden where a sharper answer is known.
"""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, final

import numpy as np

from theory.arithmetic import rigor
from theory.arithmetic.intervals import times_up
from theory.arithmetic.rounding import (
    TINY,
    UNIT,
    down,
    gamma,
    inner_product_error,
    product_up,
    sqrt_up,
    sum_up,
    up,
)
from theory.typing import Array


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Coordinates:
    """A norm as ||h|| = |T h|_p: in these coordinates it is a sum, Euclidean or maximum norm."""

    p: float  # 1, 2 or inf
    weights: Array | None = None  # v, (n,), T = diag(v), diag(1 / v) for p = inf: then exactly
    factor: Array | None = None  # T, (n, n), where it is not diagonal
    error: float = 0.0  # | |T h|_p - ||h|| | <= error ||h||, of a factor

    @property
    def plain(self) -> bool:
        """Return whether T is the identity."""
        return self.weights is not None and bool(np.all(self.weights == 1))

    @functools.cached_property
    def T(self) -> Array:
        """Return the matrix, (n, n); 1 / v errs relatively by at most u, while it is normal."""
        if self.factor is not None:
            return self.factor
        assert self.weights is not None
        with np.errstate(over="ignore"):
            return np.diag(1.0 / self.weights if self.p == math.inf else self.weights)

    @functools.cached_property
    def inverse(self) -> Array:
        """Return the inverse of T, as computed."""
        if self.weights is not None:
            with np.errstate(over="ignore"):
                return np.diag(self.weights if self.p == math.inf else 1.0 / self.weights)
        return np.asarray(np.linalg.inv(self.T), dtype=np.float64)

    def conjugated(self, A: Array) -> Array:
        """Return T A T^-1, (..., n, n), as computed."""
        return A if self.plain else np.asarray(self.T @ A @ self.inverse)

    def norms(self, A: Array) -> Array:
        """Return the induced norms of a stack of matrices, (N, n, n), rounded to nearest."""
        v = self.weights
        if self.p == 2:
            values = np.linalg.svd(self.conjugated(A), compute_uv=False)
            return np.asarray(values[:, 0], dtype=np.float64)
        if v is None or self.plain:
            axis = -1 if self.p == math.inf else -2
            sums: Array = np.sum(np.abs(self.conjugated(A) if v is None else A), axis=axis)
        else:
            sums = (np.abs(A) @ v if self.p == math.inf else v @ np.abs(A)) / v
        return np.asarray(np.max(sums, axis=-1))

    def norms_upper(self, A: Array) -> Array | None:
        r"""Return quick rigorous upper bounds of the induced norms of a stack, (N, n, n), or None.

        In a weighted norm a sum s = sum_i v_i |A_ij| of n products is computed as s~,

            s <= s~ (1 + gamma(n)) + n eta / 2   =>   s / v_j <= (s~ (1 + gamma(n)) + n eta) / v_j,

        where eta / 2 is left for the rounding of s~ (1 + gamma(n)); what is lost to underflow is
        divided by the weight.  The quotient loses eta / 2 more, and the factor after it.
        """
        v = self.weights
        if v is None or (self.p == 2 and not self.plain):
            return None
        if self.p == 2:
            return _spectral_upper(A)
        n = A.shape[-1]
        slack = 1 + 4 * gamma(2 * n + 4)
        size = np.abs(A)
        if self.plain:
            sums = np.sum(size, axis=2 if self.p == math.inf else 1)
            return np.asarray(np.max(sums, axis=1) * slack)
        sums = size @ v if self.p == math.inf else v @ size
        quotients = (sums * slack + n * TINY) / v
        return np.asarray(np.max(quotients, axis=1) * (1 + 4 * UNIT) + TINY)


def _spectral_upper(A: Array) -> Array:
    """Return upper bounds of the spectral norms of a stack of matrices, (N, n, n)."""
    # ||A||_2^2 = ||G||_2 <= ||G^32||_F^(1/32) for G = A^T A.  A squaring errs by at most
    # gamma(n) |G|_F^2 <= n gamma(n) |G^2|_2, and the root divides later powers back: 6 in all.
    n = A.shape[-1]
    size = np.max(np.abs(A), axis=(1, 2))
    exponent = np.frexp(size)[1]
    A = np.ldexp(A, -exponent[:, None, None])
    G = np.swapaxes(A, 1, 2) @ A
    shift = np.zeros(len(G))
    for j in range(5):
        e = np.frexp(np.max(np.abs(G), axis=(1, 2)))[1]
        G = np.ldexp(G, -e[:, None, None])
        shift = shift + e * 0.5**j
        G = G @ G
    root = np.sqrt(np.sum(np.square(G), axis=(1, 2)))
    with np.errstate(divide="ignore"):
        logs = (np.log2(root) / 32 + shift) / 2 + exponent
    slack = (1 + 16 * n * gamma(n + 4)) * (1 + 64 * UNIT * (1 + float(np.max(np.abs(exponent)))))
    return np.where(size == 0, 0.0, np.exp2(logs) * slack + TINY)


def _quotients_up(a: Array, b: Array) -> Array:
    """Return a / b for positive a and b, rounded up; exact where b is 1 or a."""
    with np.errstate(over="ignore", under="ignore"):
        quotients = a / b
    return np.where((b == 1) | (a == b), quotients, np.nextafter(quotients, math.inf))


def _over_up(x: float, weight: float) -> float:
    """Return x / weight, rounded up; exact for weight 1."""
    return x if weight == 1.0 or x == 0.0 else up(x / weight)


class Norm(ABC):
    """A norm on R^n with the matrix norm it induces."""

    #: Whether |a| <= |b| entrywise implies ||a|| <= ||b||.  Only then does an elementwise
    #: L-Lipschitz activation multiply the norm of a difference by at most L.
    monotone: bool

    # what a norm says of itself -------------------------------------------------------------------

    @property
    @abstractmethod
    def dim(self) -> int | None:
        """Return the dimension it is defined on, or None for every dimension."""

    @property
    @abstractmethod
    def label(self) -> str:
        """Return a short name for tables, such as ``L2``."""

    @property
    @abstractmethod
    def companion(self) -> Norm:
        """Return the unweighted norm of the same family, used for inputs and outputs."""

    @abstractmethod
    def coordinates(self, n: int) -> Coordinates:
        """Return it as ||h|| = |T h|_p on R^n, p that of the companion.

        Raises
        ------
        ValueError
            If it is not a norm on R^n.
        """

    @abstractmethod
    def vector(self, h: Array) -> Any:
        """Return the norm along the last axis, rounded to nearest at each operation."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready description, from which `norm_from_dict` reads known norms."""

    @property
    def p(self) -> float:
        """Return 1, 2 or inf, the family."""
        return self.companion.p

    @property
    def plain(self) -> bool:
        """Return whether it is its own companion: `L1`, `L2` or `Linf`."""
        return type(self.companion) is type(self)

    @property
    def blocks(self) -> tuple[tuple[float, Norm, slice], ...]:
        """Return weights, norms and entries of the blocks whose maximum it is; () for the others.

        Such a maximum has no `coordinates`.
        """
        return ()

    # vectors --------------------------------------------------------------------------------------

    def vector_upper(self, h: Array) -> Any:
        """Return an upper bound of the exact norm along the last axis; inf if h is not finite."""
        finite = np.isfinite(h).all(axis=-1)
        with np.errstate(over="ignore", invalid="ignore"):
            value = self.vector(h) * (1.0 + self.vector_rounding(h.shape[-1])) + self._underflow
        # sums of products with both signs overflow to NaN
        known = finite & ~np.isnan(value)
        upper = np.nextafter(np.where(known, value, math.inf), math.inf)
        return np.where(np.any(h != 0, axis=-1), upper, 0.0)[()]

    def vector_rounding(self, n: int) -> float:
        """Return the relative error of `vector` in dimension n, as a part of either value."""
        # at most n products, n sums, a root or a quotient: relative error below gamma(2 n + 6)
        return 2.0 * gamma(2 * n + 6)

    @property
    def _underflow(self) -> float:
        """Return an absolute error of `vector`, what its products lose to underflow."""
        return 0.0

    def majorant(self, e: Array) -> float:
        """Return an upper bound of ||d|| over all d with |d| <= e entrywise, e >= 0."""
        if self.monotone:
            return float(self.vector_upper(e))
        plain = float(self.companion.vector_upper(e))
        return product_up(self.over_companion(e.shape[-1]), plain)

    def reach_upper(self, n: int) -> Array:
        """Return upper bounds of |h_i| over ||h|| <= 1, (n,)."""
        v = self.coordinates(n).weights
        if v is None:
            return np.full(n, self.companion_over(n))  # |h_i| <= |h|_p
        return np.array(v) if self.p == math.inf else _quotients_up(np.ones(n), v)

    def in_ball(self, x: list[float], radius: Fraction) -> bool:
        """Decide ||x|| <= radius in exact arithmetic; False where T is not known exactly."""
        v = self.coordinates(len(x)).weights
        if v is None:
            return False
        pairs = [(Fraction(w), abs(Fraction(e))) for w, e in zip(v.tolist(), x, strict=True)]
        if self.p == math.inf:
            return all(e <= w * radius for w, e in pairs)
        if self.p == 2:
            return sum((w * e) ** 2 for w, e in pairs) <= radius * radius
        return sum(w * e for w, e in pairs) <= radius

    # functionals ----------------------------------------------------------------------------------

    @property
    def dual(self) -> Norm | None:
        """Return the norm ``max |u^T x|`` of functionals u, over ||x|| <= 1; None if it is none."""
        return None

    def dual_upper(self, U: Array) -> Array:
        r"""Return an upper bound of max |u . x| over ||x|| <= 1, for every row u of U.

        By the dual norm; else, with p that of the companion and 1/p + 1/q = 1,

            |u . x| <= |u|_q |x|_p <= |u|_q c ||x||,   c = max |x|_p / ||x||.
        """
        if self.dual is not None:
            return np.asarray(self.dual.vector_upper(U), dtype=np.float64)
        return times_up(self.companion.dual_upper(U), self.companion_over(U.shape[-1]))

    # matrices -------------------------------------------------------------------------------------

    @final
    def matrix_upper(self, A: Array, source: Norm | None = None) -> float:
        """Return an outward-rounded upper bound of max ||A x||_self / ||x||_source.

        `source` is this norm by default.  Where no exact formula connects the two families, the
        bound goes through the companion and a constant between the norms.  Between blocks it is by
        the triangle inequality: at most the number of the source's blocks too large.
        """
        if self.blocks:
            whole = self if source is None else source
            return max(
                product_up(weight, part.matrix_upper(A[rows], whole))
                for weight, part, rows in self.blocks
            )
        if source is None:
            return self._matrix_upper(A, self)
        if source.blocks:
            return sum_up(
                _over_up(self.matrix_upper(A[:, columns], part), weight)
                for weight, part, columns in source.blocks
            )
        if source.p == self.p:
            return self._matrix_upper(A, source)
        plain = self._matrix_upper(A, self.companion)
        return product_up(plain, over(self.companion, source, n=A.shape[1]))

    def _matrix_upper(self, A: Array, source: Norm) -> float:
        """Return `matrix_upper` for a source of the same family."""
        v = self.coordinates(A.shape[0]).weights
        w = source.coordinates(A.shape[1]).weights
        if v is None or w is None:
            plain = self.companion.matrix_upper(A)
            outer = product_up(self.over_companion(A.shape[0]), plain)
            return product_up(outer, source.companion_over(A.shape[1]))
        if self.p == math.inf:
            return rigor.weighted_row_sum_upper(A, v, w)
        if self.p == 1:
            return rigor.weighted_row_sum_upper(A.T, w, v)
        # of squares rounded outward: ||A x|| <= |A x|_P <= mu |x|_Q <= mu ||x||_source
        target, below = np.nextafter(v * v, math.inf), np.nextafter(w * w, 0.0)
        return rigor.operator_norm_upper(A, np.diag(target), np.diag(below))

    def matrix_lower(self, A: Array) -> float:
        """Return a lower bound of the induced norm, attained by an explicit vector."""
        if not (rigor.all_finite(A) and np.any(A)):
            return 0.0
        c = self.coordinates(len(A))
        with np.errstate(all="ignore"):
            candidates = c.inverse @ _maximisers(c.conjugated(A / np.max(np.abs(A))), self.p)
        # exact zeros and infinities are no candidates
        return best_unit_image(self, A, candidates[:, np.isfinite(candidates).all(axis=0)])

    def scaled_upper(self, slopes: Array, A: Array) -> float:
        """Return an upper bound of ||diag(s) A|| for slopes s >= 0; see `scaled_matrix_upper`."""
        larger = np.nextafter(slopes[:, None] * np.abs(A), math.inf)
        return self.matrix_upper(np.where((slopes[:, None] == 0) | (A == 0), 0.0, larger))

    # other norms ----------------------------------------------------------------------------------

    def over_companion(self, n: int) -> float:
        """Return an upper bound of ||h|| / ||h||_companion on R^n."""
        v = self.coordinates(n).weights
        if v is None:
            raise ValueError(f"no constant is known between {self.label} and {self.companion}")
        one = np.ones(n)
        return float(np.max(_quotients_up(one, v) if self.p == math.inf else v))

    def companion_over(self, n: int) -> float:
        """Return an upper bound of ||h||_companion / ||h|| on R^n."""
        v = self.coordinates(n).weights
        if v is None:
            raise ValueError(f"no constant is known between {self.companion} and {self.label}")
        return float(np.max(v if self.p == math.inf else _quotients_up(np.ones(n), v)))

    def over_alike(self, other: Norm, n: int) -> float:
        """Return an upper bound of ||h|| / ||h||_other on R^n, for one of the same family."""
        v, w = self.coordinates(n).weights, other.coordinates(n).weights
        if v is None or w is None:
            return product_up(self.over_companion(n), other.companion_over(n))
        return float(np.max(_quotients_up(w, v) if self.p == math.inf else _quotients_up(v, w)))

    def is_same(self, other: Norm) -> bool:
        """Return whether two norms are one: of one kind, with the same weights."""
        return self is other or (type(self) is type(other) and self.to_dict() == other.to_dict())

    # dimensions -----------------------------------------------------------------------------------

    def check_dim(self, n: int) -> None:
        """Raise `ValueError` unless the norm is defined on R^n."""
        if self.dim is not None and self.dim != n:
            raise ValueError(f"{self.label} is a norm on R^{self.dim}, needed one on R^{n}")

    def __repr__(self) -> str:
        return self.label


def over(norm: Norm, other: Norm, *, n: int) -> float:
    """Return an upper bound c with ||h||_norm <= c ||h||_other on R^n.

    Exact (up to rounding) between members of {L1, L2, Linf}, between the weighted maximum norms and
    Linf, between the weighted sum norms and L1, and between the weighted Euclidean norms and L2;
    of maxima over blocks as sharp as the constants of the blocks; otherwise through the unweighted
    norms.

    Parameters
    ----------
    norm, other : Norm
    n : int
        The dimension.

    Examples
    --------
    >>> from theory import L1, Linf
    >>> over(L1(), Linf(), n=5)
    5.0
    """
    norm.check_dim(n)
    other.check_dim(n)
    if norm is other:
        return 1.0
    if norm.blocks or other.blocks:
        return _over_blocks(norm, other, n)
    if norm.p == other.p:
        return norm.over_alike(other, n)
    return _over_companions(norm, other, n)


def _over_companions(norm: Norm, other: Norm, n: int) -> float:
    """Return the constant through the unweighted norms."""
    # |h|_p <= n^(1/p - 1/q) |h|_q for p < q, and |h|_p <= |h|_q otherwise
    between = 1.0
    if norm.p < other.p:
        between = float(n) if (norm.p, other.p) == (1, math.inf) else sqrt_up(float(n))
    return product_up(norm.over_companion(n), product_up(between, other.companion_over(n)))


def _over_blocks(norm: Norm, other: Norm, n: int) -> float:
    r"""Return the constant where one of the norms is a maximum over blocks.

    For an unweighted norm |h|_p, of which that of a block is a part,

        max_l w_l ||h_l||_l <= max_l w_l c_l |h|_p,         c_l = max ||h_l||_l / |h_l|_p,
        |h|_p = |(|h_l|_p)_l|_p <= |(c_l / w_l)_l|_p ||h||,   c_l = max |h_l|_p / ||h_l||_l,

    both attained if the c_l are.  Blocks of the same sizes are compared one by one; otherwise the
    identity is a matrix.
    """
    bounds = [_over_companions(norm, other, n)]
    if other.plain:
        bounds.append(
            max(product_up(w, over(part, other, n=_count(at))) for w, part, at in norm.blocks)
        )
    elif norm.plain:
        parts = [_over_up(over(norm, part, n=_count(at)), w) for w, part, at in other.blocks]
        bounds.append(float(norm.vector_upper(np.array(parts))))
    elif [at for _, _, at in norm.blocks] == [at for _, _, at in other.blocks]:
        bounds.append(
            max(
                _over_up(product_up(w, over(part, own, n=_count(at))), v)
                for (w, part, at), (v, own, _) in zip(norm.blocks, other.blocks, strict=True)
            )
        )
    else:
        bounds.append(norm.matrix_upper(np.eye(n), other))
    return min(bounds)


def _count(entries: slice) -> int:
    return int(entries.stop - entries.start)


def _maximisers(B: Array, p: float) -> Array:
    """Return columns, some of which maximises |B x|_p / |x|_p, as computed."""
    if p == 1:
        return np.eye(B.shape[1])
    return power_iteration(B) if p == 2 else np.where(B < 0, -1.0, 1.0).T


def best_unit_image(norm: Norm, A: Array, candidates: Array) -> float:
    """Return a lower bound of the induced norm from candidate vectors (columns)."""
    keep = norm.vector(candidates.T) > 0
    if not keep.any():
        return 0.0
    size = math.frexp(float(np.max(np.abs(A))))[1]
    B = np.ldexp(np.ldexp(A, -(size // 2)), size // 2 - size)
    columns = candidates[:, keep]
    error = inner_product_error(np.abs(B) @ np.abs(columns), A.shape[1])
    # ||A x|| >= ||fl(A x)|| - ||error||, all rounded down by the error of `vector`
    slack = norm.vector_rounding(max(A.shape))
    images = norm.vector((B @ columns).T) * (1 - slack) - (norm._underflow + TINY)
    errors = np.array([norm.majorant(column) for column in error.T])
    ratios = (images - errors) / norm.vector_upper(columns.T) * (1 - 8 * UNIT)
    try:
        return max(0.0, down(math.ldexp(float(np.max(ratios)), size)))
    except OverflowError:  # the largest double is a lower bound all the same
        return math.nextafter(math.inf, 0.0)


def power_iteration(A: Array, steps: int = 60) -> Array:
    """Return columns that nearly maximise ||A x||_2 / ||x||_2; a heuristic."""
    scale = float(np.max(np.abs(A)))
    B = A / scale
    x = (
        np.asarray(np.linalg.svd(B)[2][:1].T)
        if max(B.shape) <= 512
        else B.T @ B.sum(axis=1)[:, None]
    )
    for _ in range(steps if max(B.shape) > 512 else 0):
        x = B.T @ (B @ x)
        length = np.linalg.norm(x)
        if length == 0:
            break
        x /= length
    return x


def check_norm(norm: Any, name: str = "norm") -> Norm:
    """Raise `ValueError` for anything but a norm."""
    if not isinstance(norm, Norm):
        raise ValueError(f"{name}={norm!r}, needed a norm such as theory.L2()")
    return norm
