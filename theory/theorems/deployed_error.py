r"""Truncation and arithmetic in one bound: both models run with steps that err.

Statement   |h_t - h_t^k| <= (drive * (lam**k - lam**t) + step_error * (1 - lam**k)
            + run_error * (1 - lam**t)) / (1 - lam)
Assumes     contractive; |step(0, x_t)| <= drive for all t; h_0 = 0, restart from 0; computed steps
            of the k-step model err by at most step_error, those of the recurrent one by run_error
Kind        sharp, attained at every t and k by h -> lam*h + drive with errors of opposite signs
Source      this project; the drift of a computed trajectory beside state_gap_finite

With run_error = 0 the k-step model as it is deployed is compared with exact arithmetic, with k = t
and one error the computed recurrent model with the exact one.  The k-step model makes k steps only:
its share falls with a shorter window.  For every length of history lam**t becomes 0.
"""

from __future__ import annotations

from typing import Any

from theory.arithmetic.rounding import evaluate
from theory.certificates import Contraction, check_one_step, drive_size
from theory.errors import check_count, check_nonnegative
from theory.inputs import Drive
from theory.theorems.assumptions import CONTRACTIVE, DRIVE_BOUNDED, STEPS_ERR, ZERO_START
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(
    lam: Scalar, k: Scalar, t: Scalar, drive: Scalar, step_error: Scalar, run_error: Scalar
) -> Scalar:
    """Return the right-hand side."""
    return (drive * (lam**k - lam**t) + step_error * (1 - lam**k) + run_error * (1 - lam**t)) / (
        1 - lam
    )


def ever(lam: Scalar, k: Scalar, drive: Scalar, step_error: Scalar, run_error: Scalar) -> Scalar:
    """Return the limit of the right-hand side for long histories, which is above all of them."""
    return (drive * lam**k + step_error * (1 - lam**k) + run_error) / (1 - lam)


def deployed_error(
    c: Contraction,
    *,
    k: int,
    drive: float | Drive,
    step_error: float,
    run_error: float = 0.0,
    t: int | None = None,
) -> float:
    """Bound the distance of a computed k-step model from a computed, or exact, recurrent one.

    Parameters
    ----------
    c : Contraction
        It has to hold on all states that the computed models meet.
    k : int
        Number of inputs that the k-step model sees.
    drive : float or Drive
        Bound of |step(0, x_t)| in the norm of `c`, see `Map.drive`.
    step_error : float
        Bound, in the norm of `c`, of the error of a step of the k-step model, see
        `theory.memory.step_error`.
    run_error : float, optional
        The same for the recurrent model; 0, the default, stands for exact arithmetic.
    t : int, optional
        Number of inputs that the recurrent model has received; any number by default.

    Returns
    -------
    float
        An upper bound, rounded outward.  For t < k both models see t inputs.

    Raises
    ------
    ValueError
        If `c` is not a one-step contraction, a count is not one, or a size is negative or not
        finite.

    Examples
    --------
    >>> deployed_error(Contraction.assumed(0.5), k=1, t=2, drive=1.0, step_error=0.5)
    1.0
    >>> deployed_error(Contraction.assumed(0.5), k=3, drive=1.0, step_error=0.0, run_error=0.25)
    0.75
    """
    check_one_step(c)
    check_count(k=k)
    check_nonnegative(step_error=step_error, run_error=run_error)
    sizes: dict[str, Any] = {
        "drive": drive_size(c, drive), "step_error": step_error, "run_error": run_error,
    }  # fmt: skip
    if t is None:
        return evaluate(ever, lam=c.lam, k=int(k), **sizes)
    check_count(t=t)
    return evaluate(formula, lam=c.lam, k=min(int(k), int(t)), t=int(t), **sizes)


DEPLOYED_ERROR = Theorem(
    name="deployed_error",
    title="truncation and arithmetic together",
    quantity=r"\|\hat h_t - \hat h_t^k\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(CONTRACTIVE, DRIVE_BOUNDED, ZERO_START, STEPS_ERR),
    source="this project (the drift of a computed trajectory beside state_gap_finite)",
)
