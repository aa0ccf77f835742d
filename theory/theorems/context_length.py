r"""Required context: how many inputs suffice for an output error of eps.

Statement   |y_t - y_t^k| <= eps
Assumes     contractive; |step(0, x_t)| <= drive for all t; h_0 = 0, restart from 0; f is
            lipschitz-Lipschitz; k >= context_length(eps), for all t or for t <= horizon
Kind        sharp: one input fewer breaks the bound, and by `window_error` no model of fewer inputs
            does better on the scalar linear family
Source      Miller and Hardt (ICLR 2019), Proposition 3; the horizon form is this project's
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from theory.certificates import Contraction, check_one_step, drive_size
from theory.errors import check_count, check_nonnegative, check_positive
from theory.inputs import Drive
from theory.theorems.assumptions import CONTRACTIVE, DRIVE_BOUNDED, OUTPUT_LIPSCHITZ, ZERO_START
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(eps: Scalar) -> Scalar:
    """Return the right-hand side."""
    return eps


def gap_at(lam: Scalar, k: Scalar, drive: Scalar, lipschitz: Scalar, past: Scalar) -> Scalar:
    """Return the bound that k must bring below eps; past = lam**horizon, or 0 for every horizon."""
    return lipschitz * drive * (lam**k - past) / (1 - lam)


#: Up to this many bits a power of lam is formed exactly, as a fraction.
_EXACT_BITS = 2**22

#: Precisions, in bits, at which the comparison is tried in intervals: first before the exact one,
#: because it is cheap and nearly always decides, then beyond the reach of the exact one.
_FIRST_BITS = 160
_MORE_BITS = (800, 3200, 12800)


def _suffices(
    lam: float, k: int, drive: float, lipschitz: float, eps: float, t: int | None
) -> bool:
    """Decide gap_at(k) <= eps without rounding."""
    if t is not None and k >= t:
        return True
    decided = _in_intervals(_FIRST_BITS, lam, k, drive, lipschitz, eps, t)
    if decided is not None:
        return decided
    q = Fraction(lam)
    if q.denominator.bit_length() * (k if t is None else t) <= _EXACT_BITS:
        past = Fraction(0) if t is None else q**t
        exact = gap_at(q, k, Fraction(drive), Fraction(lipschitz), past)
        return bool(exact <= Fraction(eps))
    # Equality is impossible here: lam = p / 2**q with odd p, and lam**k drive lipschitz =
    # eps (1 - lam) makes p**k a divisor of a product of three numerators of doubles, below 2**159,
    # so k log2(p) < 159 or p = 1; and powers of 1/2 have few bits.  With a horizon the same holds
    # for lam**k (1 - lam**(t-k)), since the second factor is prime to p.
    for bits in _MORE_BITS:
        decided = _in_intervals(bits, lam, k, drive, lipschitz, eps, t)
        if decided is not None:
            return decided
    return False  # undecided: more context is always safe


def _in_intervals(
    bits: int, lam: float, k: int, drive: float, lipschitz: float, eps: float, t: int | None
) -> bool | None:
    """Decide as `_suffices` in intervals of a given precision, or answer None."""
    from mpmath import iv

    saved = iv.prec
    try:
        iv.prec = bits
        x = iv.mpf(lam)
        past = iv.mpf(0) if t is None else x**t
        gap = gap_at(x, k, iv.mpf(drive), iv.mpf(lipschitz), past)
        allowed = iv.mpf(eps)
        if gap.b <= allowed.a:
            return True
        return False if gap.a > allowed.b else None
    finally:
        iv.prec = saved


def context_length(
    c: Contraction,
    *,
    eps: float,
    drive: float | Drive,
    lipschitz: float = 1.0,
    horizon: int | None = None,
) -> int:
    r"""Return the smallest k whose bound on the output gap is at most eps.

    Parameters
    ----------
    c : Contraction
    eps : float
        The error allowed, in the norm of the outputs.
    drive : float or Drive
        Bound of |step(0, x_t)| in the norm of `c`, see `Map.drive`.
    lipschitz : float
        L_f; 1 for the state itself.
    horizon : int, optional
        Longest sequence; k is then at most the horizon.  By default every length is covered.
        k = horizon is true of every map and says nothing about memory: on no sequence is the
        truncated model another one.  What answers a question about memory takes it for no answer,
        as `required_context` does.

    Returns
    -------
    int
        The smallest such k, exactly: the comparison is made in rational arithmetic.

    Raises
    ------
    ValueError
        If `c` is not a one-step contraction, eps is not positive, a size is negative, or the
        horizon is not a count.

    Examples
    --------
    >>> context_length(Contraction.assumed(0.9), eps=1e-3, drive=1.0)
    88
    >>> context_length(Contraction.assumed(0.9), eps=1e-3, drive=1.0, horizon=50)
    50
    """
    check_one_step(c)
    check_positive(eps=eps)
    check_nonnegative(lipschitz=lipschitz)
    size = float(drive_size(c, drive))
    if horizon is not None:
        check_count(horizon=horizon)
        horizon = int(horizon)
    lam, eps, lipschitz = c.lam, float(eps), float(lipschitz)

    def enough(k: int) -> bool:
        return _suffices(lam, k, size, lipschitz, eps, horizon)

    return _smallest(enough, _guess(lam, eps, size, lipschitz, horizon))


def _guess(lam: float, eps: float, drive: float, lipschitz: float, horizon: int | None) -> int:
    """Return about the answer, by logarithms; a guess only.

    The bound is at most eps iff lam**k <= lam**horizon + r, r = eps (1 - lam) / (lipschitz drive).
    """
    if lam == 0 or drive == 0 or lipschitz == 0:
        return 0
    log_r = math.log(eps) + math.log1p(-lam) - math.log(drive) - math.log(lipschitz)
    if horizon is not None:
        log_past = horizon * math.log(lam)
        low, high = sorted((log_r, log_past))
        log_r = high + math.log1p(math.exp(low - high))
    k = max(0, math.ceil(log_r / math.log(lam)))
    return k if horizon is None else min(k, horizon)


def _smallest(enough: Callable[[int], bool], guess: int) -> int:
    """Return the smallest k with enough(k), a monotone predicate, from a near guess."""
    step = 1
    if enough(guess):
        low, high = guess - 1, guess
        while low >= 0 and enough(low):
            low, high, step = low - step, low, 2 * step
        low = max(low, -1)
    else:
        low, high = guess, guess + 1
        while not enough(high):
            low, high, step = high, high + step, 2 * step
    # enough(high), and not enough(low) or low = -1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


CONTEXT_LENGTH = Theorem(
    name="context_length",
    title="required context k(eps)",
    quantity=r"\|y_t - y_t^{k(\varepsilon)}\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(CONTRACTIVE, DRIVE_BOUNDED, ZERO_START, OUTPUT_LIPSCHITZ),
    source="Miller and Hardt (ICLR 2019), Proposition 3; with horizon: this project",
)
