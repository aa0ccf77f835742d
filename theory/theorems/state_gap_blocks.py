r"""State gap of the k-step counterpart, when only several steps together contract.

Statement   |h_t - h_t^k| <= growth**rest * lam**blocks * drive * spread / (1 - lam)
Assumes     r >= 1 steps together contract by lam; |step(h, x) - step(g, x)| <= growth * |h - g|;
            |step(0, x_t)| <= drive for all t; the Lipschitz constants of 0, 1, .., r - 1 steps add
            up to at most spread; h_0 = 0, restart from 0; k = blocks r + rest
Kind        sharp, attained in the limit by h -> (a h_2 + drive, b h_1 + drive)
Source      this project; r = 1 is the bound of Miller and Hardt (ICLR 2019), section 3
"""

from __future__ import annotations

from theory.arithmetic.rounding import evaluate
from theory.certificates import Contraction, check_contraction_given, drive_size
from theory.errors import check_count, check_nonnegative
from theory.inputs import Drive
from theory.theorems.assumptions import (
    DRIVE_BOUNDED,
    ITERATE_CONTRACTIVE,
    STEP_LIPSCHITZ,
    ZERO_START,
)
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(
    lam: Scalar, blocks: Scalar, rest: Scalar, growth: Scalar, drive: Scalar, spread: Scalar
) -> Scalar:
    """Return the right-hand side."""
    return growth**rest * lam**blocks * drive * spread / (1 - lam)


def spread_upper(growth: float, r: int) -> float:
    """Return an upper bound of 1 + growth + .. + growth**(r-1)."""

    def total(growth: Scalar) -> Scalar:
        result = 1
        for _ in range(r - 1):  # by Horner's rule
            result = 1 + growth * result
        return result

    return 1.0 if r == 1 else evaluate(total, growth=growth)


def state_gap_blocks(
    c: Contraction, *, k: int, growth: float, drive: float | Drive, spread: float | None = None
) -> float:
    """Bound the distance between the recurrent state and its k-step counterpart.

    Parameters
    ----------
    c : Contraction
        Of any number of steps.
    k : int
        Number of inputs that the counterpart sees.
    growth : float
        A Lipschitz constant of one step in the norm of `c`, possibly above 1.
    drive : float or Drive
        Bound of |step(0, x_t)| in the norm of `c`, see `Map.drive`.
    spread : float, optional
        Bound of the sum of the Lipschitz constants of 0, 1, .., ``c.iterate - 1`` steps; by default
        1 + growth + .. + growth**(c.iterate - 1).

    Returns
    -------
    float
        An upper bound, rounded outward.

    Raises
    ------
    ValueError
        If `c` is not a contraction, k is not a count, or a size is negative.

    Examples
    --------
    >>> state_gap_blocks(Contraction.assumed(0.5, iterate=2), k=5, growth=2.0, drive=1.0)
    3.0
    """
    check_contraction_given(c)
    check_count(k=k)
    check_nonnegative(growth=growth)
    size = drive_size(c, drive)
    if spread is None:
        spread = spread_upper(float(growth), c.iterate)
    check_nonnegative(spread=spread)
    blocks, rest = divmod(int(k), c.iterate)
    return evaluate(
        formula, lam=c.lam, blocks=blocks, rest=rest, growth=growth, drive=size, spread=spread
    )


STATE_GAP_BLOCKS = Theorem(
    name="state_gap_blocks",
    title="state gap, several steps together",
    quantity=r"\|h_t - h_t^k\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(ITERATE_CONTRACTIVE, STEP_LIPSCHITZ, DRIVE_BOUNDED, ZERO_START),
    source="this project; Miller and Hardt (ICLR 2019), section 3, for r = 1",
)
