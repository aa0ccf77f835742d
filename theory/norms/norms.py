r"""The six norms of all entries.

Main names: `L1`, `L2`, `Linf`, `WeightedL1`, `WeightedL2`, `WeightedLinf`, all of them a `Norm`;
`scaled_matrix_upper`, `over`.

An upper value is rounded outward by `theory.arithmetic.rigor` and may be used to certify; a lower
value may be used to refute, never to certify.  Where an entry is NaN or infinite, an upper value is
inf and a lower value is 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.arithmetic import rigor
from theory.arithmetic.rounding import TINY, UNIT, down, gamma, product_up, sqrt_up
from theory.errors import as_square, as_vector
from theory.norms.norm import (
    Coordinates,
    Norm,
    best_unit_image,
    over,
    power_iteration,
)
from theory.typing import Array

__all__ = [
    "L1",
    "L2",
    "Linf",
    "Norm",
    "WeightedL1",
    "WeightedL2",
    "WeightedLinf",
    "over",
    "same_norm",
    "scaled_matrix_upper",
]


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


def _squares_up(slopes: Array) -> Array:
    """Return upper bounds of squares."""
    return np.asarray(np.nextafter(slopes * slopes, math.inf))


@final
class L2(Norm):
    """The Euclidean norm; induces the spectral norm, the largest singular value."""

    monotone = True
    dim = None
    label = "L2"
    p = 2.0

    @property
    def companion(self) -> Norm:
        """Return itself."""
        return self

    @property
    def dual(self) -> Norm:
        """Return `L2`."""
        return L2()

    def coordinates(self, n: int) -> Coordinates:
        """Return the identity."""
        return Coordinates(p=self.p, weights=np.ones(n))

    def vector(self, h: Array) -> Any:
        """Return the root of the sum of squares along the last axis."""
        square = np.asarray(np.einsum("...i,...i->...", h, h))
        # a square in this range has lost no digit to underflow that its relative error would show
        unsafe = ~((square > 2.0**-900) & (square < 2.0**900))
        if unsafe.any():
            return np.where(unsafe, _scaled_length(h), np.sqrt(square))[()]
        return np.sqrt(square)

    def _matrix_upper(self, A: Array, source: Norm) -> float:
        """Return a rigorous upper bound of the largest singular value."""
        if isinstance(source, L2):
            return rigor.spectral_norm_upper(A)
        if isinstance(source, WeightedL2):
            return rigor.operator_norm_upper(A, None, source.P)
        return super()._matrix_upper(A, source)

    def scaled_upper(self, slopes: Array, A: Array) -> float:
        """Return the norm from A to the target weights s^2."""
        return rigor.operator_norm_upper(A, np.diag(_squares_up(slopes)), None)

    def matrix_lower(self, A: Array) -> float:
        """Return ||A x||_2 for the computed leading singular vector, rounded down."""
        if not (rigor.all_finite(A) and np.any(A)):
            return 0.0
        return best_unit_image(self, A, power_iteration(A))

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"name": "L2"}``."""
        return {"name": "L2"}


@final
class L1(Norm):
    """The sum norm; induces the largest column sum."""

    monotone = True
    dim = None
    label = "L1"
    p = 1.0

    @property
    def companion(self) -> Norm:
        """Return itself."""
        return self

    @property
    def dual(self) -> Norm:
        """Return `Linf`."""
        return Linf()

    def coordinates(self, n: int) -> Coordinates:
        """Return the identity."""
        return Coordinates(p=self.p, weights=np.ones(n))

    def vector(self, h: Array) -> Any:
        """Return the sum of magnitudes along the last axis; inf beyond the largest double."""
        with np.errstate(over="ignore"):
            return np.sum(np.abs(h), axis=-1)

    def _matrix_upper(self, A: Array, source: Norm) -> float:
        """Return the largest column sum, correctly rounded up."""
        if isinstance(source, L1):
            return rigor.column_sum_upper(A)
        return super()._matrix_upper(A, source)

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
    p = math.inf

    @property
    def companion(self) -> Norm:
        """Return itself."""
        return self

    @property
    def dual(self) -> Norm:
        """Return `L1`."""
        return L1()

    def coordinates(self, n: int) -> Coordinates:
        """Return the identity."""
        return Coordinates(p=self.p, weights=np.ones(n))

    def vector(self, h: Array) -> Any:
        """Return the largest magnitude along the last axis (exact)."""
        return np.max(np.abs(h), axis=-1, initial=0.0)

    def _matrix_upper(self, A: Array, source: Norm) -> float:
        """Return the largest row sum, correctly rounded up."""
        if isinstance(source, Linf):
            return rigor.row_sum_upper(A)
        return super()._matrix_upper(A, source)

    def matrix_lower(self, A: Array) -> float:
        """Return the largest row sum, rounded down."""
        return _sums_lower(A)

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"name": "Linf"}``."""
        return {"name": "Linf"}


@dataclass(frozen=True, eq=False, repr=False, init=False)
class _Weighted(Norm):
    """A norm with a positive weight for each entry."""

    v: Array  # v, (n,)

    monotone = True

    def __init__(self, v: npt.ArrayLike) -> None:
        weights = as_vector("v", v)
        if weights.size == 0 or not float(np.min(weights)) > 0:
            raise ValueError(
                f"v has least entry {np.min(weights, initial=0.0)}, needed positive weights"
            )
        object.__setattr__(self, "v", weights)

    @property
    def dim(self) -> int:
        """Return the number of weights."""
        return int(self.v.shape[0])

    def coordinates(self, n: int) -> Coordinates:
        """Return the weights."""
        self.check_dim(n)
        return Coordinates(p=self.p, weights=self.v)

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
@dataclass(frozen=True, eq=False, repr=False, init=False)
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
    def dual(self) -> Norm:
        """Return `WeightedLinf` with the same weights."""
        return WeightedLinf(self.v)

    @property
    def _underflow(self) -> float:
        # each of the n products loses at most eta / 2
        return self.dim * TINY

    def vector(self, h: Array) -> Any:
        """Return the sum of v_i |h_i| along the last axis; inf beyond the largest double."""
        with np.errstate(over="ignore"):
            return np.sum(np.abs(h) * self.v, axis=-1)

    def matrix_lower(self, A: Array) -> float:
        """Return max_j (v |A|)_j / v_j, rounded down."""
        return _weighted_sums_lower(A.T, self.v)


@final
@dataclass(frozen=True, eq=False, repr=False, init=False)
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

    @property
    def dual(self) -> Norm:
        """Return `WeightedL1` with the same weights."""
        return WeightedL1(self.v)

    def vector(self, h: Array) -> Any:
        """Return max |h_i| / v_i along the last axis."""
        return np.max(np.abs(h) / self.v, axis=-1, initial=0.0)

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
@dataclass(frozen=True, eq=False, repr=False, init=False)
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

    def __init__(self, P: npt.ArrayLike) -> None:
        gram = as_square("P", P)
        if not np.array_equal(gram, gram.T):
            worst = float(np.max(np.abs(gram - gram.T)))
            raise ValueError(
                f"P is not symmetric (largest |P - P^T| is {worst:.3g}); pass (P + P.T) / 2"
            )
        object.__setattr__(self, "P", gram)
        if self.monotone and self._take_diagonal(np.diag(gram)):
            return
        object.__setattr__(
            self, "_inverse_root", rigor.operator_norm_upper(np.eye(len(gram)), None, gram)
        )
        if not math.isfinite(self._inverse_root):
            least = float(np.linalg.eigvalsh(gram)[0])
            raise ValueError(
                f"P is not provably positive definite (least eigenvalue about {least:.3g}); "
                "add a multiple of the identity"
            )
        # in units of powers of two, in which the diagonal is about 1: exact, fair to bad scaling
        half = -(np.frexp(np.diag(gram))[1] // 2)
        scaled = np.ldexp(gram, half[:, None] + half[None, :])
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
        object.__setattr__(self, "_root", rigor.operator_norm_upper(np.eye(len(gram)), gram, None))

    def _take_diagonal(self, p: Array) -> bool:
        r"""Set what is known of P = diag(p) without a factorisation; False for what needs one.

        The factor diag(sqrt(p)) and its products with a vector round each entry by 2 u, as the
        zeros beside them add nothing; so the length errs by gamma(n + 6) in all.
        """
        least, most = float(np.min(p, initial=1.0)), float(np.max(p, initial=1.0))
        # a larger condition number is left to what refuses those that keep no digit of a length
        if not (2.0**-500 < least <= most < 2.0**500 and most < 2.0**40 * least):
            return False
        object.__setattr__(
            self, "_inverse_root", sqrt_up(math.nextafter(1.0 / float(np.min(p)), math.inf))
        )
        object.__setattr__(self, "_root", sqrt_up(float(np.max(p))))
        object.__setattr__(self, "_factor", np.diag(np.sqrt(p)))
        object.__setattr__(self, "_rounding", 2.0 * gamma(len(p) + 8))
        return True

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

    def coordinates(self, n: int) -> Coordinates:
        """Return the factor that `vector` uses."""
        self.check_dim(n)
        T = np.ascontiguousarray(self._factor.T)
        return Coordinates(p=2.0, factor=T, error=self._rounding)

    def in_ball(self, x: list[float], radius: Fraction) -> bool:
        """Decide x^T P x <= radius^2 in exact arithmetic."""
        y = [Fraction(entry) for entry in x]
        form = sum(
            a * Fraction(p) * b
            for a, line in zip(y, self.P.tolist(), strict=True)
            for p, b in zip(line, y, strict=True)
        )
        return form <= radius * radius

    def _matrix_upper(self, A: Array, source: Norm) -> float:
        """Return a rigorous upper bound, accepted by the shifted Cholesky test."""
        if isinstance(source, WeightedL2):
            return rigor.operator_norm_upper(A, self.P, source.P)
        plain = rigor.operator_norm_upper(A, self.P, None)
        return product_up(plain, source.companion_over(A.shape[1]))

    def scaled_upper(self, slopes: Array, A: Array) -> float:
        """Return the norm from P to the target diag(s)^T P diag(s), P diagonal."""
        target = np.nextafter(_squares_up(slopes) * np.diag(self.P), math.inf)
        return rigor.operator_norm_upper(A, np.diag(target), self.P)

    def over_companion(self, n: int) -> float:
        """Return an upper bound of the root of the largest eigenvalue of P."""
        self.check_dim(n)
        return self._root

    def companion_over(self, n: int) -> float:
        """Return an upper bound of 1 / the root of the least eigenvalue of P."""
        self.check_dim(n)
        return self._inverse_root

    def over_alike(self, other: Norm, n: int) -> float:
        """Return the norm of the identity from the other's Gram matrix to P."""
        if isinstance(other, WeightedL2):
            return rigor.operator_norm_upper(np.eye(n), self.P, other.P)
        return super().over_alike(other, n)

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
        x = np.asarray(np.linalg.solve(L.T, power_iteration(B)), dtype=np.float64)
        return best_unit_image(self, A, x)

    def to_dict(self) -> dict[str, Any]:
        """Return the name and P as hexadecimal floats, of a diagonal P its diagonal."""
        if self.monotone and self.dim > 1:
            return {"name": "WeightedL2", "diagonal": [x.hex() for x in np.diag(self.P).tolist()]}
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
    return norm.scaled_upper(slopes, A)


def same_norm(norm: Norm, other: Norm) -> bool:
    """Return whether two norms are one: of one kind, with the same weights."""
    return norm.is_same(other)
