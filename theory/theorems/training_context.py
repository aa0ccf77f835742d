r"""Required context for training: which k keeps the trained twins' predictions within eps.

Statement   |y_t(w_N) - y_t^k(v_N)| <= eps
Assumes     what `gradient_gap`, `weight_gap` and `prediction_gap` assume;
            k >= training_context(eps)
Kind        sharp: one input fewer breaks the bound, which quadratic losses attain
Source      Miller and Hardt (ICLR 2019), Theorem 1, as reconstructed: k of order
            log(gamma N**beta / eps); solved exactly by this project
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from theory.certificates import Contraction, check_one_step, drive_size
from theory.errors import check_nonnegative, check_positive, check_rate
from theory.inputs import Drive
from theory.theorems.assumptions import (
    CONTRACTIVE_SET,
    DRIVE_BOUNDED,
    GRADIENT_MISMATCH,
    LOSS_LIPSCHITZ,
    LOSS_SMOOTH,
    NONEXPANSIVE,
    OUTPUT_LIPSCHITZ,
    SAME_START,
    SMOOTH_MAP,
    TWIN_DESCENTS,
    WEIGHT_LIPSCHITZ,
    ZERO_START,
)
from theory.theorems.gradient_gap import formula as mismatch_of
from theory.theorems.prediction_gap import formula as prediction_of
from theory.theorems.theorem import Kind, Theorem
from theory.theorems.weight_gap import weight_gap
from theory.typing import Scalar


def formula(eps: Scalar) -> Scalar:
    """Return the right-hand side."""
    return eps


def gap_at(lam: Scalar, k: Scalar, per_mismatch: Scalar, rest: Scalar) -> Scalar:
    r"""Return the bound that k must bring below eps.

    per_mismatch * k * lam**(k - 1) is what the weights contribute, `prediction_gap` of `weight_gap`
    of `gradient_gap`; rest * lam**k is what the truncation of the last run does.
    """
    return per_mismatch * k * lam ** (k - 1) + rest * lam**k


def training_context(
    c: Contraction,
    *,
    eps: float,
    steps: int,
    alpha: float,
    drive: float | Drive,
    weight_gain: float,
    loss_gain: float,
    beta: float,
    lipschitz: float = 1.0,
    beta_hh: float = 0.0,
    beta_wh: float = 0.0,
    beta_p: float = 0.0,
    schedule: Any = "1/t",
) -> int:
    r"""Return the smallest k >= 1 from which on the trained twins' predictions agree to eps.

    Parameters
    ----------
    c : Contraction
        Of every map of the set.
    eps : float
        The error allowed.
    steps : int
        N, the number of gradient steps.
    alpha : float
        The first step size.
    drive : float or Drive
        C, over the set.
    weight_gain, loss_gain, lipschitz : float
        L_w, L_p and L_f over the set.
    beta : float
        The Lipschitz constant of the gradient, see `loss_smoothness`.
    beta_hh, beta_wh, beta_p : float
        Smoothness of the map and of the loss.
    schedule : str or callable
        As in `theory.learning.projected_gradient_descent`.

    Returns
    -------
    int
        Exact: the bound is compared with eps in rational arithmetic, its growth rounded upward.

    Raises
    ------
    ValueError
        If `c` is not a one-step contraction, eps or alpha is not positive, a size is negative, or
        no double holds the growth (alpha beta is too large for so many steps).

    Examples
    --------
    >>> training_context(
    ...     Contraction.assumed(0.5), eps=1e-3, steps=100, alpha=0.1, drive=1.0, weight_gain=1.0,
    ...     loss_gain=1.0, beta=1.0, beta_wh=1.0,
    ... )
    18
    """
    check_one_step(c)
    check_positive(eps=eps)
    sizes = {
        "drive": drive_size(c, drive), "weight_gain": weight_gain, "loss_gain": loss_gain,
        "beta": beta, "lipschitz": lipschitz, "beta_hh": beta_hh, "beta_wh": beta_wh,
        "beta_p": beta_p,
    }  # fmt: skip
    check_nonnegative(**sizes)
    # the weight gap is its value for a mismatch of 1, times the mismatch
    amplified = weight_gap(steps=steps, alpha=alpha, beta=beta, mismatch=1.0, schedule=schedule)
    if math.isinf(amplified):
        raise ValueError(
            f"beta={beta!r} and alpha={alpha!r} let the weights part beyond the largest double in "
            f"{steps} steps, needed alpha * beta of a few; take a smaller alpha"
        )
    exact = {name: Fraction(float(value)) for name, value in sizes.items()}
    lam = Fraction(c.lam)
    one = mismatch_of(
        lam=lam, k=1, drive=exact["drive"], weight_gain=exact["weight_gain"],
        loss_gain=exact["loss_gain"], beta_hh=exact["beta_hh"], beta_wh=exact["beta_wh"],
        beta_p=exact["beta_p"],
    )  # fmt: skip
    common = {"lam": lam, "weight_gain": exact["weight_gain"], "lipschitz": exact["lipschitz"]}
    per_mismatch = prediction_of(
        k=0, drive=Fraction(0), distance=Fraction(amplified) * one, **common
    )
    rest = prediction_of(k=0, drive=exact["drive"], distance=Fraction(0), **common)
    return _smallest_context(c.lam, per_mismatch, rest, Fraction(float(eps)))


def geometric_context(lam: float, bound: float) -> int:
    r"""Return the smallest k >= 0 from which on k * lam**k <= bound, exactly.

    In reals it is -W(-bound l) / l with l = log(1 / lam) and the lower branch of Lambert's W, where
    that is defined, and else 0.

    Parameters
    ----------
    lam : float
    bound : float
        Positive.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If `lam` is not a factor below 1, or the bound is not positive.

    Examples
    --------
    >>> geometric_context(0.9, 1e-3)
    111
    """
    check_rate(lam)
    check_positive(bound=bound)
    if lam == 0:
        return 0
    # k lam**k = lam k lam**(k - 1)
    target = Fraction(bound) / Fraction(lam)
    found = _smallest_context(lam, Fraction(1), Fraction(0), target)
    return 0 if found == 1 else found


def lambert_context(lam: float, bound: float) -> float:
    r"""Return the real k from which on k * lam**k <= bound, by Lambert's W; 0 if it always is.

    Parameters
    ----------
    lam : float
    bound : float

    Returns
    -------
    float
        In double precision: a guess, which `geometric_context` makes exact.

    Raises
    ------
    ValueError
        If `lam` is not a factor below 1, or the bound is not positive.

    Examples
    --------
    >>> round(lambert_context(0.9, 1e-3), 8)
    110.19297249
    """
    from scipy.special import lambertw

    check_rate(lam)
    check_positive(bound=bound)
    if lam == 0:
        return 0.0
    rate = -math.log(lam)
    if bound * rate * math.e >= 1:
        return 0.0
    if bound * rate < 1e-290:
        # x = k rate solves x - log x = u, by its contraction x <- u + log x of factor 1 / x < 1/600
        u = -math.log(bound) - math.log(rate)
        x = u
        for _ in range(8):
            x = u + math.log(x)
        return x / rate
    return float(-lambertw(-bound * rate, k=-1).real / rate)


#: Precision in bits at which the comparison is tried in intervals before it is made exactly.
_BITS = 256


def _enough(lam: float, k: int, per_mismatch: Fraction, rest: Fraction, eps: Fraction) -> bool:
    """Decide gap_at(k) <= eps without rounding."""
    from mpmath import iv

    saved = iv.prec
    try:
        iv.prec = _BITS
        x, *others = (
            iv.mpf(q.numerator) / iv.mpf(q.denominator)
            for q in (Fraction(lam), per_mismatch, rest, eps)
        )
        gap = gap_at(x, k, others[0], others[1]) - others[2]
        if gap.b <= 0:
            return True
        if not gap.a <= 0:
            return False
    finally:
        iv.prec = saved
    return bool(gap_at(Fraction(lam), k, per_mismatch, rest) <= eps)


def _smallest_context(lam: float, per_mismatch: Fraction, rest: Fraction, eps: Fraction) -> int:
    """Return the smallest k >= 1 from which on gap_at(k) <= eps."""
    if lam == 0:
        # only k = 1 keeps a term, per_mismatch
        return 1 if per_mismatch <= eps else 2
    # gap_at(k + 1) <= gap_at(k) where (k + 1) lam <= k, that is from lam / (1 - lam) on; before
    # that the first part rises, so the largest value is at `top` or just before
    ratio = Fraction(lam) / (1 - Fraction(lam))
    top = max(1, -(-ratio.numerator // ratio.denominator))

    def enough(k: int) -> bool:
        return _enough(lam, k, per_mismatch, rest, eps)

    if enough(top):
        low = top
        # the bound may be below eps at every k before, or fail somewhere on the way down
        while low > 1 and enough(low - 1):
            low -= 1
        return low
    low, step = top, 1
    guess = _guess(lam, per_mismatch, rest, eps)
    if guess > top and not enough(guess - 2):
        low = guess - 2
    high = low + step
    while not enough(high):
        low, step = high, 2 * step
        high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _guess(lam: float, per_mismatch: Fraction, rest: Fraction, eps: Fraction) -> int:
    """Return about the answer, from the part that grows with k; a guess only."""
    try:
        bound = float(eps * Fraction(lam) / per_mismatch)
        k = lambert_context(lam, bound)
        # (per_mismatch / lam + rest / k) k lam**k <= eps
        if k > 1:
            bound = float(eps / (per_mismatch / Fraction(lam) + rest / Fraction(k)))
            k = lambert_context(lam, bound)
        return int(k)
    except (ZeroDivisionError, OverflowError, ValueError):
        return 0


TRAINING_CONTEXT = Theorem(
    name="training_context",
    title="required context for training k(N, eps)",
    quantity=r"\|y_t(w_N) - y_t^{k(\varepsilon)}(v_N)\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(
        CONTRACTIVE_SET,
        WEIGHT_LIPSCHITZ,
        SMOOTH_MAP,
        LOSS_LIPSCHITZ,
        LOSS_SMOOTH,
        DRIVE_BOUNDED,
        OUTPUT_LIPSCHITZ,
        GRADIENT_MISMATCH,
        TWIN_DESCENTS,
        NONEXPANSIVE,
        SAME_START,
        ZERO_START,
    ),
    source="Miller and Hardt (ICLR 2019), Theorem 1, as reconstructed; solved: this project",
)
