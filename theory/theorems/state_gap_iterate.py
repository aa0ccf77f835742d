r"""State gap from one stored state, when only several steps together contract.

Statement   |h_t - h_t^k| <= growth**rest * lam**blocks * past
Assumes     r steps together contract by lam; |step(h, x) - step(g, x)| <= growth * |h - g|;
            restart from 0; |h_{t-k}| <= past; k = blocks r + rest
Kind        sharp, attained by h -> (a h_2, b h_1), which contracts in pairs of steps
Source      this project; Miller and Hardt (ICLR 2019), section 3, state it for multiples of r
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from theory.certificates import Contraction, check_contraction_given
from theory.errors import check_count, check_nonnegative
from theory.rounding import evaluate
from theory.theorem import Kind, NearMiss, Observation, Theorem
from theory.theorems.assumptions import ITERATE_CONTRACTIVE, STEP_LIPSCHITZ, ZERO_RESTART
from theory.typing import Scalar

if TYPE_CHECKING:
    from theory.measure import Run


def formula(lam: Scalar, blocks: Scalar, rest: Scalar, growth: Scalar, past: Scalar) -> Scalar:
    """Return the right-hand side."""
    return growth**rest * lam**blocks * past


def state_gap_iterate(c: Contraction, *, k: int, growth: float, past: float) -> float:
    """Bound the gap a posteriori, from a contraction of ``c.iterate`` steps together.

    Parameters
    ----------
    c : Contraction
        Of any number of steps.
    k : int
        Number of inputs that the counterpart sees.
    growth : float
        A Lipschitz constant of one step in the norm of `c`, possibly above 1.
    past : float
        |h_{t-k}| in the norm of `c`.

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
    >>> state_gap_iterate(Contraction.assumed(0.5, iterate=3), k=7, growth=2.0, past=1.0)
    0.5
    """
    check_contraction_given(c)
    check_count(k=k)
    check_nonnegative(growth=growth, past=past)
    blocks, rest = divmod(int(k), c.iterate)
    return evaluate(formula, lam=c.lam, blocks=blocks, rest=rest, growth=growth, past=past)


def observe(run: Run) -> Observation:
    """Measure the gap for all k and all t >= k."""
    k, t = run.gap_index
    measured = run.pick(run.gap_table)
    r = run.of.contraction.iterate
    past = run.norm.vector_upper(run.states)[(t - k).astype(int)]
    growth = run.growth
    # the stored state itself has drifted, which the bound multiplies by its own factor
    weight = growth ** (k % r) * run.lam ** (k // r)
    return Observation(
        measured=measured,
        budget=run.budget(measured, t, k) + weight * run.drift(t - k),
        arguments={
            "lam": run.lam,
            "blocks": k // r,
            "rest": k % r,
            "growth": growth,
            "past": past,
        },
    )


def observe_every_step(run: Run) -> Observation:
    """Count every step as a block."""
    k, _ = run.gap_index
    return observe(run).with_arguments(blocks=k, rest=0.0)


STATE_GAP_ITERATE = Theorem(
    name="state_gap_iterate",
    title="state gap from one stored state, several steps together",
    quantity=r"\|h_t - h_t^k\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(ITERATE_CONTRACTIVE, STEP_LIPSCHITZ, ZERO_RESTART),
    source="this project; Miller and Hardt (ICLR 2019), section 3, for multiples of r",
    observe=observe,
    near_misses=(
        NearMiss(
            name="steps beyond the last block cost nothing",
            formula=lambda lam, blocks, rest, growth, past: lam**blocks * past,  # noqa: ARG005
        ),
        NearMiss(name="every step counted as a block", observe=observe_every_step),
        NearMiss(
            name="one block too many",
            formula=lambda lam, blocks, rest, growth, past: (
                growth**rest * lam ** (blocks + 1) * past
            ),
        ),
        NearMiss(name="without contraction", drops=ITERATE_CONTRACTIVE),
        NearMiss(name="any restart", drops=ZERO_RESTART),
    ),
)
