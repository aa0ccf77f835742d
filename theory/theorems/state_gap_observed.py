r"""State gap of the k-step counterpart from one stored state.

Statement   |h_t - h_t^k| <= lam**k * past
Assumes     contractive; restart from 0; |h_{t-k}| <= past, whatever h_0 was
Kind        sharp, attained by h -> lam*h + drive; the tightest of the gap bounds
Source      this project; the step before the last of Miller and Hardt (ICLR 2019), section 3
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from theory.certificates import Contraction, check_one_step
from theory.errors import check_count, check_nonnegative
from theory.rounding import evaluate
from theory.theorem import Kind, NearMiss, Observation, Theorem
from theory.theorems.assumptions import CONTRACTIVE, ZERO_RESTART
from theory.typing import Scalar

if TYPE_CHECKING:
    from theory.measure import Run


def formula(lam: Scalar, k: Scalar, past: Scalar) -> Scalar:
    """Return the right-hand side."""
    return lam**k * past


def state_gap_observed(c: Contraction, *, k: int, past: float) -> float:
    """Bound the gap a posteriori, from the size of the recurrent state k steps ago.

    Parameters
    ----------
    c : Contraction
    k : int
        Number of inputs that the counterpart sees.
    past : float
        |h_{t-k}| in the norm of `c`.

    Returns
    -------
    float
        An upper bound, rounded outward.

    Raises
    ------
    ValueError
        If `c` is not a one-step contraction, k is not a count, or `past` is negative.

    Examples
    --------
    >>> state_gap_observed(Contraction.assumed(0.5), k=3, past=2.0)
    0.25
    """
    check_one_step(c)
    check_count(k=k)
    check_nonnegative(past=past)
    return evaluate(formula, lam=c.lam, k=int(k), past=past)


def _observe(run: Run, *, at_start_of_window: bool) -> Observation:
    k, t = run.gap_index
    measured = run.pick(run.gap_table)
    sizes = run.norm.vector_upper(run.states)
    seen = sizes[(t - k if at_start_of_window else t).astype(int)]
    # the stored state itself has drifted, which enters the bound scaled by lam**k <= 1
    return Observation(
        measured=measured,
        budget=run.budget(measured, t, k, t - k),
        arguments={"lam": run.lam, "k": k, "past": seen},
    )


def observe(run: Run) -> Observation:
    """Measure the gap for all k and all t >= k, with the state at the start of the window."""
    return _observe(run, at_start_of_window=True)


def observe_present(run: Run) -> Observation:
    """Use the present state instead of the one at the start of the window."""
    return _observe(run, at_start_of_window=False)


STATE_GAP_OBSERVED = Theorem(
    name="state_gap_observed",
    title="state gap from one stored state",
    quantity=r"\|h_t - h_t^k\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(CONTRACTIVE, ZERO_RESTART),
    source="this project (a posteriori form of Miller and Hardt, ICLR 2019, section 3)",
    observe=observe,
    near_misses=(
        NearMiss(
            name="one power of lam too many",
            formula=lambda lam, k, past: lam ** (k + 1) * past,
        ),
        NearMiss(name="present state instead of the stored one", observe=observe_present),
        NearMiss(name="without contraction", drops=CONTRACTIVE),
        NearMiss(name="any restart", drops=ZERO_RESTART),
    ),
)
