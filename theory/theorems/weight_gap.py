r"""Weight gap of the twins after N steps of projected gradient descent.

Statement   |w_N - v_N| <= mismatch * (amplification - 1) / beta
Assumes     w and v start together, w descends on p and v on p^k with step sizes alpha_i, projected
            onto one convex set; |grad p - grad p^k| <= mismatch; grad p is beta-Lipschitz;
            amplification = product of 1 + alpha_i * beta over i = 1 .. N
Kind        sharp, attained by p(w) = -beta*w**2/2 and p^k(w) = p(w) - mismatch*w
Source      Miller and Hardt (ICLR 2019), Theorem 1, as reconstructed; the exact growth is
            this project's: Gamma(N + 1 + a) / (Gamma(1 + a) Gamma(N + 1)) for alpha_i = alpha/i,
            a = alpha*beta
"""

from __future__ import annotations

import math
from typing import Any

from theory.arithmetic.rounding import product_up, sum_up, up
from theory.errors import check_count, check_nonnegative
from theory.theorems.assumptions import (
    CONTRACTIVE_SET,
    GRADIENT_MISMATCH,
    LOSS_LIPSCHITZ,
    LOSS_SMOOTH,
    NONEXPANSIVE,
    SMOOTH_MAP,
    TWIN_DESCENTS,
    WEIGHT_LIPSCHITZ,
)
from theory.theorems.schedules import step_sizes
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(amplification: Scalar, mismatch: Scalar, beta: Scalar) -> Scalar:
    """Return the right-hand side."""
    return mismatch * (amplification - 1) / beta


def weight_gap(
    *,
    steps: int,
    alpha: float,
    beta: float,
    mismatch: float,
    schedule: Any = "1/t",
) -> float:
    r"""Bound the distance of the weights of the twins after N steps.

    Parameters
    ----------
    steps : int
        N.
    alpha : float
        The first step size.
    beta : float
        The Lipschitz constant of the gradient, see `loss_smoothness`; may be 0.
    mismatch : float
        Bound of the gradient gap on the set, see `gradient_gap`.
    schedule : str or callable
        As in `theory.learning.projected_gradient_descent`; ``1/t`` is the theorem's.

    Returns
    -------
    float
        An upper bound, rounded outward; inf where it exceeds the largest double.

    Raises
    ------
    ValueError
        If a count is not one, alpha is not positive, or a size is negative.

    Examples
    --------
    With alpha beta = 1 the gap grows linearly, alpha mismatch N:

    >>> round(weight_gap(steps=100, alpha=0.01, beta=100.0, mismatch=1e-3), 12)
    0.001
    """
    check_count(steps=steps)
    check_nonnegative(beta=beta, mismatch=mismatch)
    sizes = step_sizes(alpha, schedule, steps=int(steps))
    # d_i = (1 + alpha_i beta) d_{i-1} + alpha_i mismatch has positive terms only, so rounding each
    # one up costs a few units a step, also where growth - 1 would cancel
    gap = 0.0
    for size in sizes:
        # step_sizes rounds alpha / i twice; the exact one is at most two units above
        step = up(up(float(size)))
        grown = product_up(sum_up([1.0, product_up(step, beta)]), gap)
        gap = sum_up([grown, product_up(step, mismatch)])
        if math.isinf(gap):
            break
    return gap


WEIGHT_GAP = Theorem(
    name="weight_gap",
    title="weight gap of the twins after training",
    quantity=r"\|w_N - v_N\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(
        CONTRACTIVE_SET,
        WEIGHT_LIPSCHITZ,
        SMOOTH_MAP,
        LOSS_LIPSCHITZ,
        LOSS_SMOOTH,
        GRADIENT_MISMATCH,
        TWIN_DESCENTS,
        NONEXPANSIVE,
    ),
    source="Miller and Hardt (ICLR 2019), Theorem 1, as reconstructed; exact growth: this project",
)
