r"""The kernel C A^m B of a linear map over many lags, with bounds of its rounding errors.

Main names: `Kernel`, `Columns`, `Terms`, `in_units`.

Rows O_t = C A^t, t < L, and columns R_s = A^(s L) [B, b] are made by doubling, from the powers
A^(2^j), and one product of matrices gives the kernel of L J lags:

    C A^(s L + t) [B, b] = O_t R_s.

Everything is carried with a bound of its error.  With ||.|| a norm in which A contracts, and
||A^(2^j)|| <= q_j, a computed power that is off by at most a_j, a computed row by e as a
functional, a computed column by f,

    P <- P P      a <- 2 q a + a^2 + kappa gamma(n) |P|_F^2,   or kappa u |P|_F,
    O_t <- O_t P  e <- q e + a ||O_t||* + beta gamma(n) |O_t|_2 |P|_F,
    R_s <- P R_s  f <- q f + a ||R_s|| + alpha gamma(n) |P|_F |R_s|_2,

where alpha and beta bound ||h|| / |h|_2 and |h|_2 / ||h||, kappa = alpha beta; the second where
powers are carried in integers of `_BITS` bits and rounded to doubles once (up to n = `_EXACT`), so
that errors do not grow with the lag; and

    |o r - O_t R_s| <= e ||R_s|| + (||O_t||* + e) f + gamma(n) |O_t|_2 |R_s|_2.

Powers of two are taken out of outputs, inputs and powers, so that sizes of 1e308 or 1e-308 neither
overflow nor vanish; what underflows beside larger numbers is below the multiples of eta.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.arithmetic.rigor import frobenius_upper
from theory.arithmetic.rounding import TINY, UNIT, down, gamma, up
from theory.memory.linear import LinearForm, Push, doubles, longest
from theory.norms.norms import L2, Norm, over
from theory.typing import Array

#: Numbers in a table of kernels, and lags that its rows may hold.
_ENTRIES, _ROWS = 2**20, 2**11

#: Up to this dimension powers are carried in integers, with so many bits of the largest entry.
_EXACT, _BITS = 64, 192

#: One unit of them.
_CUT = 2.0**-_BITS

#: A block of lags is of about as many as shrink the state by the exponential of this.
_DECAY = 32.0

#: By how much sums and products of a dozen non-negative numbers are raised.
_SLACK = 1 + 64 * UNIT


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Power:
    """A^(2^j) = P 2^shift, as computed."""

    P: Array
    shift: int
    error: float  # a, in the norm, of P
    size: float  # q >= || A^(2^j) 2^-shift ||
    length: float  # |P|_F
    integers: Any = None  # (Z, a bound of their error): P = Z 2^-_BITS up to that, in the norm


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Columns:
    """A^m [B, b] = R 2^shift at some lag m, as computed."""

    R: Array  # (n, m), and a column more for b, unless it is 0
    errors: Array  # f, one a column, in the norm
    shift: int
    lag: int  # m


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Terms:
    """Bounds, for one sign, of what every lag adds at most: (lags, p) each."""

    upper: Array
    lower: Array


@final
class Kernel:
    """The terms of the error of every output, many lags at a time.

    They are those of C_i 2^-rows_i and of inputs divided by 2^scale.

    Parameters
    ----------
    form : LinearForm
    C : (p, n) array
    push : Push
        What the inputs can do.
    norm : Norm
        In which A contracts.
    lam : float
        Its rate there, below 1; of the A of the form, whose own error is added.
    lags : int, optional
        How many lags there are; infinitely many by default.
    """

    def __init__(
        self,
        form: LinearForm,
        C: Array,
        push: Push,
        *,
        norm: Norm,
        lam: float,
        lags: int | None = None,
    ) -> None:
        n, m = form.B.shape
        self.n, self.m, self.norm, self.push = n, m, norm, push
        self.out, self.back = over(norm, L2(), n=n), over(L2(), norm, n=n)
        off = float(frobenius_upper(form.errors[0]))
        wrong = up(self.out * self.back * off * _SLACK) if off else 0.0
        self.lam = up(lam + wrong) if wrong else lam
        e = _exponent(form.A)
        P = np.ldexp(form.A, -e)
        a = _scaled(wrong, -e) if wrong else 0.0
        if bool(np.any(np.ldexp(P, e) != form.A)):
            a += self._lost(n)
        integers = None
        if n <= _EXACT:
            Z, cut = form.integers.cut(_BITS - e)
            integers = Z, cut * self.out * self.back * n * _CUT * _SLACK
        self._powers = [
            _Power(
                P=P, shift=e, error=a, size=_scaled(self.lam, -e), integers=integers,
                length=float(frobenius_upper(P)),
            )
        ]  # fmt: skip
        self._outputs(C)
        self._inputs(form, push)
        # so many lags make the rest small, whatever is asked
        long = min(_DECAY / max(-math.log(self.lam), UNIT) if self.lam > 0 else 1.0, 2.0**40)
        long = max(1.0, long if lags is None else min(long, lags))
        self.p = len(C)
        rows = min(math.sqrt(long), _ROWS, _ENTRIES / (self.p * n))
        self.row_levels = max(0, math.ceil(math.log2(max(rows, 1.0))))
        blocks = min(
            long / 2**self.row_levels, _ENTRIES / (self.p * len(self._weights) * 2**self.row_levels)
        )
        self.levels = self.row_levels + max(0, math.ceil(math.log2(max(blocks, 1.0))))

    @property
    def monotone(self) -> bool:
        """Return whether `sums` apply: inputs in a box, which push equally far both ways."""
        return not self.shifted and not self._balls

    @property
    def work(self) -> float:
        """Return about how many multiplications a lag costs."""
        return float(self.p * len(self._weights) * (self.n + 8))

    @property
    def lags(self) -> int:
        """Return how many lags there are in a block."""
        return int(2**self.levels)

    def _lost(self, n: int) -> float:
        return (self.out * self.back + 2) * n * n * TINY

    def _outputs(self, C: Array) -> None:
        self.rows = np.array([_exponent(row) for row in C])
        self.C = np.ldexp(C, -self.rows[:, None])
        lost = bool(np.any(np.ldexp(self.C, self.rows[:, None]) != C))
        self._row_errors = np.full(len(C), self.back * self.n * TINY if lost else 0.0)
        self._row_sizes = self.norm.dual_upper(self.C) + self._row_errors

    def _inputs(self, form: LinearForm, push: Push) -> None:
        """Take powers of two out of B, b and the inputs; errors of a column are of its scale."""
        of_B, of_b = _exponent(form.B), _exponent(form.b)
        reach = float(np.max(np.maximum(np.abs(push.centre), push.radius), initial=0.0))
        if not push.boxed:
            reach = min(radius for _, radius in push.balls)
        of_x = math.frexp(reach)[1]
        both = [of_B + of_x] * bool(np.any(form.B) and reach) + [of_b] * bool(np.any(form.b))
        self.scale = max(both, default=0)
        R, wrong = np.ldexp(form.B, -of_B), np.ldexp(form.errors[1], -of_B)
        lost = bool(np.any(np.ldexp(R, of_B) != form.B))
        self._biased = bool(np.any(form.b) or np.any(form.errors[2]))
        if self._biased:
            b = np.ldexp(form.b, -of_b)
            R = np.column_stack([R, b])
            wrong = np.column_stack([wrong, np.ldexp(form.errors[2], -of_b)])
            lost |= bool(np.any(np.ldexp(b, of_b) != form.b))
        wrong = np.where(wrong > 0, np.nextafter(wrong, np.inf), 0.0) + lost * TINY
        f = self.out * np.asarray(L2().vector_upper(wrong.T)) * _SLACK
        self.first = Columns(R=R, errors=f, shift=0, lag=0)
        # the inputs and the bias by their shares of 2^scale
        e = of_B - self.scale
        c, self._low, self._high = (np.ldexp(x, e) for x in (push.centre, push.within, push.radius))
        moved = (np.ldexp(c, -e) != push.centre) | (np.ldexp(self._high, -e) != push.radius)
        moved |= np.ldexp(self._low, -e) != push.within
        self._high = np.where(moved, self._high + 2 * TINY, self._high)
        self._low = np.where(moved, np.maximum(self._low - 2 * TINY, 0.0), self._low)
        if np.array_equal(self._low, self._high):
            self._low = self._high
        self._centre = c
        self._bias = _scaled(1.0, of_b - self.scale)
        self._balls = [(q, _scaled(radius, e)) for q, radius in push.balls]
        self.shifted = self._biased or not push.symmetric
        largest = np.abs(c) + self._high
        if self._balls:
            balls = min(radius for _, radius in self._balls)
            largest = np.minimum(largest, balls) if push.boxed else np.full(self.m, balls)
        # what an error of an entry of the kernel counts
        whole = np.append(largest, self._bias) if self._biased else largest
        self._weights = whole * _SLACK + TINY

    # powers ---------------------------------------------------------------------------------------

    def power(self, j: int) -> _Power:
        """Return A^(2^j)."""
        while len(self._powers) <= j:
            self._powers.append(self._square(self._powers[-1]))
        return self._powers[j]

    def _square(self, last: _Power) -> _Power:
        a, q, kappa = last.error, last.size, self.out * self.back
        integers = None
        if last.integers is None:
            P = last.P @ last.P
            rounding = kappa * gamma(self.n + 1) * last.length * last.length
            a = (2 * q * a + a * a + rounding) * _SLACK + self._lost(self.n)
            e = _exponent(P)
            P, a = np.ldexp(P, -e), _scaled(a, -e) + self._lost(self.n)
        else:
            Z, off = last.integers
            Z = Z @ Z  # in units of 2^(-2 _BITS)
            # as many bits as before: what is cut is less than one unit an entry
            excess = max(longest(Z) - _BITS, 0) if np.any(Z) or not off else _BITS
            Z, e = Z >> excess, excess - _BITS
            off = (2 * q * off + off * off) * _SLACK
            off = _scaled(off, -e) + (excess > 0) * kappa * self.n * _CUT * _SLACK
            P = doubles(Z, _BITS)
            integers = Z, off
            a = (off + kappa * UNIT * float(frobenius_upper(P))) * _SLACK + self._lost(self.n)
        q = _scaled(up(q * q) if q else 0.0, -e)
        q = min(q, up(self.norm.matrix_upper(P) + a))
        return _Power(
            P=P, shift=2 * last.shift + e, error=a, size=q, integers=integers,
            length=float(frobenius_upper(P)),
        )  # fmt: skip

    def _on_columns(self, power: _Power, R: Array, f: Array) -> tuple[Array, Array]:
        """Return P R and its errors; the power is P 2^shift."""
        sizes, lengths = self.norm.vector_upper(R.T), np.asarray(L2().vector_upper(R.T))
        rounding = self.out * gamma(self.n + 1) * power.length * lengths
        f = (power.size * f + power.error * sizes + rounding) * _SLACK
        return power.P @ R, f + (self.out + 1) * self.n * self.n * TINY

    def _on_rows(self, power: _Power, O: Array, e: Array) -> tuple[Array, Array]:  # noqa: E741
        sizes, lengths = self.norm.dual_upper(O), np.asarray(L2().vector_upper(O))
        rounding = self.back * gamma(self.n + 1) * lengths * power.length
        e = (power.size * e + power.error * sizes + rounding) * _SLACK
        return O @ power.P, e + (self.back + 1) * self.n * self.n * TINY

    @np.errstate(over="ignore", invalid="ignore")  # 0 times infinity is no bound, and read as none
    def after(self, columns: Columns, lags: int) -> Columns:
        """Return the columns so many lags later."""
        R, f, shift, j = columns.R, columns.errors, columns.shift, 0
        lag = columns.lag + lags
        while lags:
            if lags & 1:
                power = self.power(j)
                R, f = self._on_columns(power, R, f)
                e = _exponent(R)
                R, f = np.ldexp(R, -e), _scaled(f, -e) + (self.out + 1) * self.n * TINY
                shift += power.shift + e
            lags >>= 1
            j += 1
        return Columns(R=R, errors=f, shift=shift, lag=lag)

    # terms ----------------------------------------------------------------------------------------

    @functools.cached_property
    def _table(self) -> tuple[Array, Array]:
        """Return the rows C A^t, ordered by t, and the factors of their errors."""
        rows, e = self.C, self._row_errors
        for j in range(self.row_levels):
            power = self.power(j)
            more, wrong = self._on_rows(power, rows, e)
            wrong = _scaled(wrong, power.shift) + (self.back + 1) * self.n * TINY
            rows, e = np.vstack([rows, np.ldexp(more, power.shift)]), np.append(e, wrong)
        sizes = self.norm.dual_upper(rows) + e
        lengths = gamma(self.n + 1) * np.asarray(L2().vector_upper(rows))
        return rows, np.column_stack([e, sizes, lengths]) * _SLACK

    def _spread(self, columns: Columns) -> tuple[Array, Array]:
        """Return the columns of a block, ordered by lag, and the factors of their errors."""
        R, f = columns.R, columns.errors
        for j in range(self.row_levels, self.levels):
            power = self.power(j)
            more, wrong = self._on_columns(power, R, f)
            wrong = _scaled(wrong, power.shift) + (self.out + 1) * self.n * TINY
            R, f = np.hstack([R, np.ldexp(more, power.shift)]), np.append(f, wrong)
        factors = np.stack([self.norm.vector_upper(R.T), f, np.asarray(L2().vector_upper(R.T))])
        return R, factors.reshape(3, -1, len(self._weights)) @ self._weights

    def sums(self, columns: Columns) -> Terms:
        """Return the sums of the terms over `lags` lags from some columns on, (p,) each.

        For inputs in a box that push equally far both ways.
        """
        rows, factors = self._table
        R, by_block = self._spread(columns)
        L, J = 2**self.row_levels, by_block.shape[1]
        K = rows @ R
        np.abs(K, out=K)
        # over t, then over s: of L and of J m terms
        sizes = np.sum(K.reshape(L, self.p, -1), axis=0).reshape(self.p, J, self.m)
        sizes = np.sum(sizes, axis=1)
        most, least = sizes @ self._high, sizes @ self._low
        error = (np.sum(factors.reshape(L, self.p, 3), axis=0) @ np.sum(by_block, axis=1)) * (
            1 + 4 * gamma(L + J + self.m + 16)
        )
        error += (self.n + 16) * (1 + float(np.sum(self._weights))) * L * J * TINY
        error += 2 * gamma(L + J + self.m + 8) * most
        return Terms(upper=most + error, lower=least - error)

    def terms(self, columns: Columns) -> list[Terms]:
        """Return what `lags` lags from some columns on add, in units of 2^shift of the columns.

        One entry if the inputs push equally far both ways, else one for each sign.
        """
        rows, factors = self._table
        R, by_block = self._spread(columns)
        L, p, m, J = 2**self.row_levels, self.p, self.m, by_block.shape[1]
        K = (rows @ R).reshape(L, p, J, -1)
        error = (factors @ by_block).reshape(L, p, J) * (1 + 4 * gamma(m + 16))
        error += (self.n + 16) * (1 + float(np.sum(self._weights))) * TINY
        size = np.abs(K[..., :m])

        def times(matrix: Array, v: Array) -> Array:
            return (matrix.reshape(-1, m) @ v).reshape(L, p, J)

        high = times(size, self._high)
        low = high if self._low is self._high else times(size, self._low)
        drift = bias = np.zeros((1, 1, 1))
        magnitude = high
        if self.shifted:
            bias = K[..., m] * self._bias if self._biased else bias
            drift = bias + times(K[..., :m], self._centre)
            magnitude = high + np.abs(bias) + times(size, np.abs(self._centre))
        error += 2 * gamma(m + 6) * magnitude
        found = []
        for sign in (1.0, -1.0) if self.shifted else (1.0,):
            most, least = high + sign * drift + error, low + sign * drift - error
            if self._balls:
                most, least = self._in_balls(size, sign * bias, most, error)
            found.append(Terms(upper=_in_order(most), lower=_in_order(least)))
        return found

    def _in_balls(self, size: Array, bias: Array, most: Array, error: Array) -> tuple[Array, Array]:
        """Return bounds over balls, or over the box as well."""
        least = np.full(most.shape, -np.inf)
        for q, radius in self._balls:
            if q == 2:
                # an error of two roundings a square, of the sum and of the root
                reach = np.sqrt(np.sum(np.square(size), axis=-1)) * radius
                below = 1e-150 * radius  # squares below the least double are lost
            else:
                reach = (np.max(size, axis=-1) if q == np.inf else np.sum(size, axis=-1)) * radius
                below = 0.0
            wrong = error + 2 * gamma(self.m + 6) * (reach + np.abs(bias)) + below
            one = reach + bias + wrong
            most = np.minimum(most, one) if self.push.boxed else one
            if self.push.attained and not self.push.boxed:
                least = reach + bias - wrong
        return most, least

    def entries(self, columns: Columns) -> tuple[Array, Array]:
        """Return the kernel at `lags` lags from some columns on, (lags, m, p), and its errors.

        Without b.  An error of (lags, p) bounds that of an output over all inputs together.
        """
        rows, factors = self._table
        R, by_block = self._spread(columns)
        L, p, m, J = 2**self.row_levels, self.p, self.m, by_block.shape[1]
        K = (rows @ R).reshape(L, p, J, -1)[..., :m] * self.reach
        error = (factors @ by_block).reshape(L, p, J) * (1 + 4 * gamma(m + 16))
        error += 4 * UNIT * np.sum(np.abs(K), axis=-1)
        error += (self.n + 16) * (1 + float(np.sum(self._weights))) * TINY
        return K.transpose(2, 0, 3, 1).reshape(J * L, m, p), _in_order(error)

    @property
    def reach(self) -> Array | float:
        """Return the size of every input, or the radius of the only ball that holds them."""
        return self._high if self.push.boxed else min(radius for _, radius in self._balls)

    def row(self, columns: Columns, i: int) -> Array:
        """Return the kernel of an output at `lags` lags from some columns on, as computed."""
        rows, R = self._table[0][i :: self.p], columns.R
        for j in range(self.row_levels, self.levels):
            power = self.power(j)
            R = np.hstack([R, np.ldexp(power.P @ R, power.shift)])
        q = len(self._weights)
        K = (rows @ R).reshape(len(rows), -1, q)
        return np.ascontiguousarray(K.transpose(1, 0, 2).reshape(-1, q))

    def rest(self, columns: Columns) -> Array:
        """Bound what all lags from some columns on add, in the units of `terms`: (p,)."""
        sizes = np.asarray(self.norm.vector_upper(columns.R.T)) + columns.errors
        whole = float(sizes @ self._weights) * (1 + 4 * gamma(self.m + 4)) + TINY
        with np.errstate(over="ignore", invalid="ignore"):
            rest = self._row_sizes * (whole / down(1.0 - self.lam)) * _SLACK + 4 * TINY
        return np.where(np.isnan(rest), np.inf, rest)


def in_units(terms: Terms, e: int) -> Terms:
    """Return terms that are in units of 2**e in those of 1, rounded outward."""
    if e == 0:
        return terms
    upper, lower = np.ldexp(terms.upper, e) + TINY, np.ldexp(terms.lower, e) - TINY
    return Terms(upper=upper, lower=lower)


def _in_order(terms: Array) -> Array:
    """Return (L, p, J) by lag, (J L, p)."""
    L, p, J = terms.shape
    return np.ascontiguousarray(terms.transpose(2, 0, 1).reshape(J * L, p))


def _exponent(A: Array) -> int:
    """Return e with the largest entry of A / 2**e in [1/2, 1); 0 for zeros."""
    return int(math.frexp(float(np.max(np.abs(A), initial=0.0)))[1])


def _scaled(x, e: int):  # type: ignore[no-untyped-def]
    """Return x 2**e, x >= 0, rounded upward where it is not exact; for numbers and arrays."""
    with np.errstate(over="ignore"):
        y = np.ldexp(x, e)
        exact = (y == 0) == (np.asarray(x) == 0)
        return np.where(exact & (np.ldexp(y, -e) == x), y, np.nextafter(y, np.inf))[()]
