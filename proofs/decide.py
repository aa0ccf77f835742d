r"""What sympy decides: that an expression is zero, or not negative, or that a limit is a value.

Main names: `is_zero`, `is_nonnegative`, `has_limit`, `LAM`, `UNIT_INTERVAL`.

Each answers True only when sympy found it so; "cannot tell" is False.  Every expression is first
made a quotient of polynomials: a power such as lam**k, a term e(t) of a sequence or a sum becomes
a letter of its own, and what is known of its sign goes with the letter.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import sympy as sp

#: A sympy expression; sympy has no type stubs.
Expr: TypeAlias = Any

#: lam, the contraction factor.
LAM = sp.Symbol("lam", nonnegative=True)

_S = sp.Dummy("s", nonnegative=True)

#: The half-open interval 0 <= lam < 1, put into one letter without upper end: s >= 0.
UNIT_INTERVAL = {LAM: _S / (1 + _S)}


def _rational(expr: Expr) -> Expr:
    """Return `expr` with everything that is not + - * / of symbols replaced by letters."""
    expr = sp.expand_power_exp(sp.sympify(expr))
    opaque = [e for e in sp.preorder_traversal(expr) if _is_opaque(e)]
    # a**(2*i) is (a**i)**2, so that powers of a**i share one letter
    cores = {e: _core(e) for e in opaque}
    letters = {
        core: sp.Dummy(
            positive=core.is_positive or None,
            nonnegative=core.is_nonnegative or None,
            real=core.is_real,
        )
        for core, _ in cores.values()
    }
    # the largest first, so that a sequence inside a sum is not replaced before the sum
    return expr.xreplace(
        {
            e: letters[cores[e][0]] ** cores[e][1]
            for e in sorted(set(opaque), key=lambda e: -e.count_ops())
        }
    )


def _core(e: Expr) -> tuple[Expr, int]:
    """Return what a letter stands for, and the power of the letter that `e` is."""
    if e.is_Pow:
        times, rest = e.exp.as_coeff_Mul()
        if times.is_Integer and times != 1:
            return sp.Pow(e.base, rest), int(times)
    return e, 1


def _is_opaque(e: Expr) -> bool:
    if e.is_number:
        return False
    return isinstance(e, sp.Sum | sp.Function) or bool(e.is_Pow and not e.exp.is_Integer)


def is_zero(expr: Expr) -> bool:
    """Decide whether `expr` is identically zero."""
    return _vanishes(_rational(expr)) or bool(sp.simplify(expr) == 0)


def _vanishes(quotient: Expr) -> bool:
    numerator, _ = sp.fraction(sp.together(quotient))
    return bool(sp.expand(numerator) == 0)


def is_nonnegative(expr: Expr) -> bool:
    """Decide whether `expr` is nonnegative wherever its letters may lie.

    Factors numerator and denominator.  A factor is settled when it occurs an even number of times,
    or when, with intervals put into letters without upper end, all its coefficients have one sign.
    """
    quotient = _rational(expr)
    if _vanishes(quotient):
        return True
    reduced = sp.cancel(sp.together(quotient.subs(UNIT_INTERVAL)))
    numerator, denominator = sp.fraction(reduced)
    above, below = _sign(numerator), _sign(denominator)
    return above * below == 1 and _has_no_zero(denominator)


def _sign(polynomial: Expr) -> int:
    """Return 1 if the polynomial is >= 0, -1 if it is <= 0, and 0 if that is not decided."""
    content, factors = sp.factor_list(polynomial)
    if not content.is_real:
        return 0
    sign = 1 if content >= 0 else -1
    for factor, times in factors:
        if not all(letter.is_real for letter in factor.free_symbols):
            return 0
        if times % 2 == 0:
            continue
        of_factor = _sign_by_coefficients(factor)
        if of_factor == 0:
            return 0
        sign *= of_factor
    return sign


def _sign_by_coefficients(factor: Expr) -> int:
    letters = sorted(factor.free_symbols, key=str)
    signs = set()
    for powers, coefficient in sp.Poly(factor, *letters).terms():
        for letter, power in zip(letters, powers, strict=True):
            if power % 2 and not letter.is_nonnegative:
                return 0
        if not coefficient.is_real:
            return 0
        signs.add(1 if coefficient > 0 else -1)
    return signs.pop() if len(signs) == 1 else 0


def _has_no_zero(polynomial: Expr) -> bool:
    """Decide whether a polynomial has no zero: factors of one sign, each with a positive term."""
    for factor, _ in sp.factor_list(polynomial)[1]:
        letters = sorted(factor.free_symbols, key=str)
        terms = sp.Poly(factor, *letters).terms()
        stays = any(
            all(
                power == 0 or letter.is_positive
                for letter, power in zip(letters, powers, strict=True)
            )
            for powers, _ in terms
        )
        if _sign_by_coefficients(factor) == 0 or not stays:
            return False
    return True


def has_limit(expr: Expr, variable: Expr, point: Expr, value: Expr) -> bool:
    """Decide whether `expr` tends to `value` as `variable` goes to `point`, for 0 < lam < 1."""
    # lam = s/(1 + s) with s > 0: sympy then knows that powers of lam fade
    s = sp.Symbol("s", positive=True)
    inside = {LAM: s / (1 + s)}
    try:
        limit = sp.limit(sp.sympify(expr).subs(inside), variable, point)
    except (NotImplementedError, ValueError):
        return False
    value = sp.sympify(value).subs(inside)
    return bool(limit == value) or (bool(limit.is_finite) and is_zero(limit - value))
