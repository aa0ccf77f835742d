r"""Norms: a vector norm and the matrix norm it induces, as one object.

Main names: `L1`, `L2`, `Linf`, `WeightedL1`, `WeightedL2`, `WeightedLinf`, all of them a `Norm`;
`scaled_matrix_upper`, `over`.

An upper value is rounded outward by `theory.arithmetic.rigor` and may be used to certify; a lower
value may be used to refute, never to certify.  Where an entry is NaN or infinite, an upper value is
inf and a lower value is 0.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from theory.arithmetic import rigor
from theory.arithmetic.rounding import (
    TINY,
    UNIT,
    down,
    gamma,
    inner_product_error,
    product_up,
    sqrt_up,
    up,
)
from theory.errors import as_square, as_vector
from theory.typing import Array


class Norm(ABC):
    """A norm on R^n with the matrix norm it induces."""

    #: Whether |a| <= |b| entrywise implies ||a|| <= ||b||.  Only then does an elementwise
    #: L-Lipschitz activation multiply the norm of a difference by at most L.
    monotone: bool

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
    def vector(self, h: Array) -> Any:
        """Return the norm along the last axis, rounded to nearest at each operation."""

    @abstractmethod
    def matrix_upper(self, A: Array, source: Norm | None = None) -> float:
        """Return an outward-rounded upper bound of max ||A x||_self / ||x||_source.

        `source` is this norm by default.  Where no exact formula connects the two families, the
        bound goes through the source's own family and a constant between the norms.
        """

    @abstractmethod
    def matrix_lower(self, A: Array) -> float:
        """Return a lower bound of the induced norm, attained by an explicit vector."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready description that `norm_from_dict` reads back exactly."""

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
        """Return an absolute error of `vector` (0 but for a full P)."""
        return 0.0

    def majorant(self, e: Array) -> float:
        """Return an upper bound of ||d|| over all d with |d| <= e entrywise, e >= 0."""
        if self.monotone:
            return float(self.vector_upper(e))
        return product_up(over(self, L2(), e.shape[-1]), float(L2().vector_upper(e)))

    def check_dim(self, n: int) -> None:
        """Raise `ValueError` unless the norm is defined on R^n."""
        if self.dim is not None and self.dim != n:
            raise ValueError(f"{self.label} is a norm on R^{self.dim}, needed one on R^{n}")

    def __repr__(self) -> str:
        return self.label


def _best_unit_image(norm: Norm, A: Array, candidates: Array) -> float:
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


def _power_iteration(A: Array, steps: int = 60) -> Array:
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


def _scaled_length(h: Array) -> Array:
    """Return Euclidean lengths along the last axis without overflow or underflow."""
    largest = np.max(np.abs(h), axis=-1, initial=0.0)
    exponent = np.frexp(largest)[1]
    half = exponent // 2
    scaled = np.ldexp(np.ldexp(h, -half[..., None]), (half - exponent)[..., None])
    lengths: Array = np.ldexp(np.sqrt(np.einsum("...i,...i->...", scaled, scaled)), exponent)
    return lengths


def _sums_lower(A: Array) -> float:
    """Return max_i sum_j |A_ij|, rounded down."""
    if not (rigor.all_finite(A) and np.any(A)):
        return 0.0
    return down(rigor.row_sum_upper(A))


@final
class L2(Norm):
    """The Euclidean norm; induces the spectral norm, the largest singular value."""

    monotone = True
    dim = None
    label = "L2"

    @property
    def companion(self) -> Norm:
        """Return itself."""
        return self

    def vector(self, h: Array) -> Any:
        """Return the root of the sum of squares along the last axis."""
        square = np.asarray(np.einsum("...i,...i->...", h, h))
        # a square in this range has lost no digit to underflow that its relative error would show
        unsafe = ~((square > 2.0**-900) & (square < 2.0**900))
        if unsafe.any():
            return np.where(unsafe, _scaled_length(h), np.sqrt(square))[()]
        return np.sqrt(square)

    def matrix_upper(self, A: Array, source: Norm | None = None) -> float:
        """Return a rigorous upper bound of the largest singular value."""
        if source is None or isinstance(source, L2):
            return rigor.spectral_norm_upper(A)
        if isinstance(source, WeightedL2):
            return rigor.operator_norm_upper(A, None, source.P)
        return product_up(rigor.spectral_norm_upper(A), over(self, source, A.shape[1]))

    def matrix_lower(self, A: Array) -> float:
        """Return ||A x||_2 for the computed leading singular vector, rounded down."""
        if not (rigor.all_finite(A) and np.any(A)):
            return 0.0
        return _best_unit_image(self, A, _power_iteration(A))

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"name": "L2"}``."""
        return {"name": "L2"}


@final
class L1(Norm):
    """The sum norm; induces the largest column sum."""

    monotone = True
    dim = None
    label = "L1"

    @property
    def companion(self) -> Norm:
        """Return itself."""
        return self

    def vector(self, h: Array) -> Any:
        """Return the sum of magnitudes along the last axis; inf beyond the largest double."""
        with np.errstate(over="ignore"):
            return np.sum(np.abs(h), axis=-1)

    def matrix_upper(self, A: Array, source: Norm | None = None) -> float:
        """Return the largest column sum, correctly rounded up."""
        exact = rigor.column_sum_upper(A)
        if source is None or isinstance(source, L1):
            return exact
        if isinstance(source, WeightedL1):
            return rigor.weighted_row_sum_upper(A.T, source.v, np.ones(A.shape[0]))
        return product_up(exact, over(self, source, A.shape[1]))

    def matrix_lower(self, A: Array) -> float:
        """Return the largest column sum, rounded down."""
        return _sums_lower(A.T)

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"name": "L1"}``."""
        return {"name": "L1"}


@final
class Linf(Norm):
    """The maximum norm; induces the largest row sum."""

    monotone = True
    dim = None
    label = "Linf"

    @property
    def companion(self) -> Norm:
        """Return itself."""
        return self

    def vector(self, h: Array) -> Any:
        """Return the largest magnitude along the last axis (exact)."""
        return np.max(np.abs(h), axis=-1, initial=0.0)

    def matrix_upper(self, A: Array, source: Norm | None = None) -> float:
        """Return the largest row sum, correctly rounded up."""
        if source is None or isinstance(source, Linf):
            return rigor.row_sum_upper(A)
        if isinstance(source, WeightedLinf):
            return rigor.weighted_row_sum_upper(A, np.ones(A.shape[0]), source.v)
        return product_up(rigor.row_sum_upper(A), over(self, source, A.shape[1]))

    def matrix_lower(self, A: Array) -> float:
        """Return the largest row sum, rounded down."""
        return _sums_lower(A)

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"name": "Linf"}``."""
        return {"name": "Linf"}


@dataclass(frozen=True, eq=False, repr=False)
class _Weighted(Norm):
    """A norm with a positive weight for each entry."""

    v: Array  # v, (n,)

    monotone = True

    def __post_init__(self) -> None:
        v = as_vector("v", self.v)
        if v.size == 0 or not float(np.min(v)) > 0:
            raise ValueError(f"v has least entry {np.min(v, initial=0.0)}, needed positive weights")
        object.__setattr__(self, "v", v)

    @property
    def dim(self) -> int:
        """Return the number of weights."""
        return int(self.v.shape[0])

    def to_dict(self) -> dict[str, Any]:
        """Return the name and the weights as hexadecimal floats."""
        return {"name": type(self).__name__, "v": [x.hex() for x in self.v.tolist()]}


def _weighted_sums_lower(A: Array, v: Array) -> float:
    """Return max_i (|A| v)_i / v_i, rounded down."""
    if not rigor.all_finite(A):
        return 0.0
    # `up` after a rounding adds at most 3 u, relatively: to the n products and to the quotient;
    # the sum in between 2 u, and the product below errs by u itself: 9 u + O(u^2) together
    above = min(rigor.weighted_row_sum_upper(A, v), math.nextafter(math.inf, 0.0))
    return max(0.0, above * (1 - 16 * UNIT) - 2.0**-1060)


@final
@dataclass(frozen=True, eq=False, repr=False)
class WeightedL1(_Weighted):
    """The weighted sum norm ||h|| = sum_i v_i |h_i|.

    Parameters
    ----------
    v : (n,) array of positive weights; the unit ball has the corners e_i / v_i, -e_i / v_i

    Raises
    ------
    ValueError
        If a weight is not positive.
    """

    @property
    def label(self) -> str:
        """Return ``L1,v``."""
        return "L1,v"

    @property
    def companion(self) -> Norm:
        """Return `L1`."""
        return L1()

    @property
    def _underflow(self) -> float:
        # each of the n products loses at most eta / 2
        return self.dim * TINY

    def vector(self, h: Array) -> Any:
        """Return the sum of v_i |h_i| along the last axis; inf beyond the largest double."""
        with np.errstate(over="ignore"):
            return np.sum(np.abs(h) * self.v, axis=-1)

    def matrix_upper(self, A: Array, source: Norm | None = None) -> float:
        """Return max_j (v |A|)_j / w_j rounded up, w the weights of the source."""
        if source is None:
            return rigor.weighted_row_sum_upper(A.T, self.v)
        if isinstance(source, WeightedL1):
            return rigor.weighted_row_sum_upper(A.T, source.v, self.v)
        plain = rigor.weighted_row_sum_upper(A.T, np.ones(A.shape[1]), self.v)
        if isinstance(source, L1):
            return plain
        return product_up(plain, over(L1(), source, A.shape[1]))

    def matrix_lower(self, A: Array) -> float:
        """Return max_j (v |A|)_j / v_j, rounded down."""
        return _weighted_sums_lower(A.T, self.v)


@final
@dataclass(frozen=True, eq=False, repr=False)
class WeightedLinf(_Weighted):
    """The weighted maximum norm ||h|| = max_i |h_i| / v_i.

    Parameters
    ----------
    v : (n,) array of positive weights; the unit ball is the box |h_i| <= v_i

    Raises
    ------
    ValueError
        If a weight is not positive.
    """

    @property
    def label(self) -> str:
        """Return ``Linf,v``."""
        return "Linf,v"

    @property
    def companion(self) -> Norm:
        """Return `Linf`."""
        return Linf()

    def vector(self, h: Array) -> Any:
        """Return max |h_i| / v_i along the last axis."""
        return np.max(np.abs(h) / self.v, axis=-1, initial=0.0)

    def matrix_upper(self, A: Array, source: Norm | None = None) -> float:
        """Return max_i (|A| w)_i / v_i rounded up, w the weights of the source."""
        if source is None:
            return rigor.weighted_row_sum_upper(A, self.v)
        if isinstance(source, WeightedLinf):
            return rigor.weighted_row_sum_upper(A, self.v, source.v)
        plain = rigor.weighted_row_sum_upper(A, self.v, np.ones(A.shape[1]))
        if isinstance(source, Linf):
            return plain
        return product_up(plain, over(Linf(), source, A.shape[1]))

    def matrix_lower(self, A: Array) -> float:
        """Return max_i (|A| v)_i / v_i, rounded down."""
        return _weighted_sums_lower(A, self.v)


def _gram_norm_error(P: Array, L: Array) -> float:
    r"""Bound the relative error of fl(|h L|_2) as a value of |h|_P, whatever L is.

    Entries of P should be about 1 on the diagonal.  With E = P - L L^T, s >= max |x|_2 / |x|_P
    (proved by `theory.arithmetic.rigor`) and k = ||E||_2 s^2,

        | |h|_P^2 - |L^T h|^2 | = |h^T E h| <= ||E||_2 |h|_2^2 <= k |h|_P^2,
        | |h|_P - |L^T h|_2 | <= k |h|_P         as |1 - sqrt(1 - x)| <= |x| for |x| <= 1.

    E is bounded a posteriori by `theory.arithmetic.rigor.gram_residual_upper`.  The computed h L
    errs by at most gamma(n) |h| |L|, of length at most gamma(n) || |L| ||_2 s |h|_P = d |h|_P, and
    the length of it, which is at most (1 + k + d) |h|_P, by gamma(n + 3) relatively.
    """
    n = len(P)
    s = rigor.operator_norm_upper(np.eye(n), None, P)
    k = rigor.gram_residual_upper(P, L) * s * s
    d = gamma(n) * math.sqrt(rigor.absolute_gram_upper(L.T)) * s
    # a dozen roundings of numbers that are not negative
    return (k + d + gamma(n + 3) * (1.0 + k + d)) * (1 + 32 * UNIT)


@final
@dataclass(frozen=True, eq=False, repr=False)
class WeightedL2(Norm):
    """The norm ||h|| = sqrt(h^T P h) of a positive definite P.

    Parameters
    ----------
    P : (n, n) array, symmetric and positive definite (proved on construction)

    Raises
    ------
    ValueError
        If P is not symmetric, or cannot be proved positive definite in double precision.
    """

    P: Array  # P, (n, n)
    _inverse_root: float = field(init=False)  # upper bound of 1 / sqrt(lambda_min(P))
    _root: float = field(init=False)  # upper bound of sqrt(lambda_max(P))
    _factor: Array = field(init=False)  # a computed L with L L^T near P
    _rounding: float = field(init=False)  # bound of the relative error of `vector`

    def __post_init__(self) -> None:
        P = as_square("P", self.P)
        if not np.array_equal(P, P.T):
            worst = float(np.max(np.abs(P - P.T)))
            raise ValueError(
                f"P is not symmetric (largest |P - P^T| is {worst:.3g}); pass (P + P.T) / 2"
            )
        object.__setattr__(self, "P", P)
        object.__setattr__(
            self, "_inverse_root", rigor.operator_norm_upper(np.eye(len(P)), None, P)
        )
        if not math.isfinite(self._inverse_root):
            least = float(np.linalg.eigvalsh(P)[0])
            raise ValueError(
                f"P is not provably positive definite (least eigenvalue about {least:.3g}); "
                "add a multiple of the identity"
            )
        # in units of powers of two, in which the diagonal is about 1: exact, fair to bad scaling
        half = -(np.frexp(np.diag(P))[1] // 2)
        scaled = np.ldexp(P, half[:, None] + half[None, :])
        try:
            factor = np.ldexp(np.linalg.cholesky(scaled), -half[:, None])
        except np.linalg.LinAlgError:
            factor = np.zeros_like(scaled)
        object.__setattr__(self, "_factor", factor)
        error = _gram_norm_error(scaled, np.ldexp(factor, half[:, None]))
        if not error < 0.25:
            root = rigor.operator_norm_upper(np.diag(np.sqrt(np.diag(scaled))), None, scaled)
            raise ValueError(
                f"P has a condition number of about {root**2:.1e} even when its diagonal is scaled "
                "to 1, beyond which the norm of a vector has no correct digit left; add a multiple "
                "of the identity"
            )
        # 1 / (1 - error) <= 1 + 2 error, with room for the roundings of this product
        object.__setattr__(self, "_rounding", 2.0 * error)
        object.__setattr__(self, "_root", rigor.operator_norm_upper(np.eye(len(P)), P, None))

    @property
    def monotone(self) -> bool:  # type: ignore[override]  # a class constant in the other norms
        """Return whether P is diagonal: only then is the norm monotone."""
        return bool(np.count_nonzero(self.P) == np.count_nonzero(np.diag(self.P)))

    @property
    def dim(self) -> int:
        """Return the order of P."""
        return int(self.P.shape[0])

    @property
    def label(self) -> str:
        """Return ``L2,P``."""
        return "L2,P"

    @property
    def companion(self) -> Norm:
        """Return `L2`."""
        return L2()

    @property
    def condition_upper(self) -> float:
        """Return an upper bound of sqrt(cond(P)), the price of converting to L2 and back."""
        return product_up(self._root, self._inverse_root)

    def vector_rounding(self, n: int) -> float:
        """Return the relative error of `vector`, measured on construction."""
        self.check_dim(n)
        return self._rounding

    @property
    def _underflow(self) -> float:
        # each of the n**2 products of L^T h loses at most eta / 2
        return self.dim**2 * TINY

    def vector(self, h: Array) -> Any:
        """Return ||L^T h||_2 along the last axis, P = L L^T."""
        return L2().vector(h @ self._factor)

    def matrix_upper(self, A: Array, source: Norm | None = None) -> float:
        """Return a rigorous upper bound, accepted by the shifted Cholesky test."""
        if source is None:
            return rigor.operator_norm_upper(A, self.P, self.P)
        if isinstance(source, WeightedL2):
            return rigor.operator_norm_upper(A, self.P, source.P)
        plain = rigor.operator_norm_upper(A, self.P, None)
        if isinstance(source, L2):
            return plain
        return product_up(plain, over(L2(), source, A.shape[1]))

    def incremental_lmi_holds(
        self, W: Array, slopes: tuple[Array, Array], q: Array, rate: float
    ) -> bool:
        """Decide the matrix inequality of `rigor.lmi_holds` for this P; True is a proof."""
        return rigor.lmi_holds(W, *slopes, self.P, q, rate)

    def matrix_lower(self, A: Array) -> float:
        """Return ||A x||_P / ||x||_P for the computed maximiser, rounded down."""
        if not (rigor.all_finite(A) and np.any(A)):
            return 0.0
        L = self._factor / np.max(np.abs(self._factor))
        B = np.asarray(np.linalg.solve(L, (L.T @ (A / np.max(np.abs(A)))).T).T, dtype=np.float64)
        x = np.asarray(np.linalg.solve(L.T, _power_iteration(B)), dtype=np.float64)
        return _best_unit_image(self, A, x)

    def to_dict(self) -> dict[str, Any]:
        """Return the name and P as hexadecimal floats."""
        return {"name": "WeightedL2", "P": [[x.hex() for x in row] for row in self.P.tolist()]}


def scaled_matrix_upper(norm: Norm, slopes: Array, A: Array) -> float:
    r"""Return an upper bound of ||diag(s) A|| for slopes s >= 0, in a monotone norm.

    Rounding cannot enter through the product diag(s) A: the slopes go into the target's weights,
    diag(s)^T P diag(s) for a diagonal P, or are multiplied by |A|, each rounded upward.  For equal
    slopes any norm will do.

    Raises
    ------
    ValueError
        If the slopes differ and the norm is not monotone, or a slope is negative or NaN.
    """
    if not bool(np.all(slopes >= 0)):
        raise ValueError(f"slopes have least entry {np.min(slopes)}, needed none below 0")
    if not rigor.all_finite(slopes, A):
        return math.inf
    if bool(np.all(slopes == slopes[:1])):
        return product_up(float(slopes[0]) if slopes.size else 0.0, norm.matrix_upper(A))
    if not norm.monotone:
        raise ValueError(f"{norm} is not monotone, needed a monotone norm for unequal slopes")
    if isinstance(norm, (L2, WeightedL2)):
        P = np.ones(len(A)) if isinstance(norm, L2) else np.diag(norm.P)
        target = np.nextafter(np.nextafter(slopes * slopes, math.inf) * P, math.inf)
        source = None if isinstance(norm, L2) else norm.P
        return rigor.operator_norm_upper(A, np.diag(target), source)
    larger = np.nextafter(slopes[:, None] * np.abs(A), math.inf)
    return norm.matrix_upper(np.where((slopes[:, None] == 0) | (A == 0), 0.0, larger))


def same_norm(norm: Norm, other: Norm) -> bool:
    """Return whether two norms are one: of one kind, with the same weights."""
    if norm is other:
        return True
    if isinstance(norm, _Weighted) and isinstance(other, _Weighted):
        return type(norm) is type(other) and np.array_equal(norm.v, other.v)
    if isinstance(norm, WeightedL2) and isinstance(other, WeightedL2):
        return np.array_equal(norm.P, other.P)
    return type(norm) is type(other) and norm.dim is None and other.dim is None


def over(norm: Norm, other: Norm, n: int) -> float:
    """Return an upper bound c with ||h||_norm <= c ||h||_other on R^n.

    Exact (up to rounding) between members of {L1, L2, Linf}, between the weighted maximum norms and
    Linf, between the weighted sum norms and L1, and between the weighted Euclidean norms and L2;
    otherwise through the unweighted norm.

    Examples
    --------
    >>> over(L1(), Linf(), 5)
    5.0
    """
    norm.check_dim(n)
    other.check_dim(n)
    if norm is other or (type(norm) is type(other) and norm.dim is None):
        return 1.0
    plain = {(L1, L2): sqrt_up(float(n)), (L1, Linf): float(n), (L2, Linf): sqrt_up(float(n))}
    if norm.dim is None and other.dim is None:
        return plain.get((type(norm), type(other)), 1.0)
    if isinstance(norm, WeightedLinf):
        if isinstance(other, WeightedLinf):
            with np.errstate(over="ignore", under="ignore"):
                return up(float(np.max(np.nextafter(other.v / norm.v, math.inf))))
        with np.errstate(over="ignore"):
            lead = up(float(np.max(1.0 / norm.v)))
        return product_up(lead, over(Linf(), other, n))
    if isinstance(norm, WeightedL1):
        if isinstance(other, WeightedL1):
            with np.errstate(over="ignore", under="ignore"):
                return up(float(np.max(np.nextafter(norm.v / other.v, math.inf))))
        return product_up(float(np.max(norm.v)), over(L1(), other, n))
    if isinstance(norm, WeightedL2):
        if isinstance(other, WeightedL2):
            return rigor.operator_norm_upper(np.eye(n), norm.P, other.P)
        return product_up(norm._root, over(L2(), other, n))
    if isinstance(other, WeightedLinf):
        return product_up(over(norm, Linf(), n), float(np.max(other.v)))
    if isinstance(other, WeightedL1):
        with np.errstate(over="ignore"):
            lead = up(float(np.max(1.0 / other.v)))
        return product_up(over(norm, L1(), n), lead)
    if isinstance(other, WeightedL2):
        return product_up(over(norm, L2(), n), other._inverse_root)
    raise ValueError(f"no constant is known between {norm.label} and {other.label}")


def norm_from_dict(data: dict[str, Any]) -> Norm:
    """Read back what `Norm.to_dict` wrote.

    Raises
    ------
    ValueError
        If the description is not one of a known norm.
    """
    name = data.get("name")
    simple: dict[str, Norm] = {"L1": L1(), "L2": L2(), "Linf": Linf()}
    if isinstance(name, str) and name in simple:
        return simple[name]
    try:
        if name in ("WeightedL1", "WeightedLinf"):
            kind = WeightedL1 if name == "WeightedL1" else WeightedLinf
            return kind(np.array([float.fromhex(x) for x in data["v"]]))
        if name == "WeightedL2":
            return WeightedL2(np.array([[float.fromhex(x) for x in row] for row in data["P"]]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"the description of a {name} is damaged: {error!r}") from None
    raise ValueError(
        f"unknown norm {name!r}, needed L1, L2, Linf, WeightedL1, WeightedL2 or WeightedLinf"
    )
