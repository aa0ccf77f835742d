r"""Size of the hidden state.

Statement   |h_t| <= lam**t * start + drive * (1 - lam**t) / (1 - lam)
Assumes     contractive; |step(0, x_t)| <= drive for all t; |h_0| <= start
Kind        sharp, attained by h -> lam*h + drive with constant positive drive
Source      Miller and Hardt (ICLR 2019), section 3, stated there for h_0 = 0 and step(0, 0) = 0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from theory.certificates import Contraction, check_one_step, drive_size
from theory.errors import check_count, check_nonnegative
from theory.inputs import Drive
from theory.rounding import evaluate
from theory.theorem import Kind, NearMiss, Observation, Theorem
from theory.theorems.assumptions import CONTRACTIVE, DRIVE_BOUNDED
from theory.typing import Scalar

if TYPE_CHECKING:
    from theory.measure import Run


def formula(lam: Scalar, t: Scalar, drive: Scalar, start: Scalar) -> Scalar:
    """Return the right-hand side."""
    return lam**t * start + drive * (1 - lam**t) / (1 - lam)


def hidden_state(c: Contraction, *, t: int, drive: float | Drive, start: float = 0.0) -> float:
    """Bound |h_t|.

    Parameters
    ----------
    c : Contraction
    t : int
        Number of inputs received.
    drive : float or Drive
        Bound of |step(0, x_t)| in the norm of `c`, see `Map.drive`.
    start : float
        Bound of |h_0|.

    Returns
    -------
    float
        An upper bound, rounded outward.

    Raises
    ------
    ValueError
        If `c` is not a one-step contraction, t is not a count, or a size is negative.

    Examples
    --------
    >>> hidden_state(Contraction.assumed(0.5), t=2, drive=1.0)
    1.5
    """
    check_one_step(c)
    check_count(t=t)
    check_nonnegative(start=start)
    return evaluate(formula, lam=c.lam, t=int(t), drive=drive_size(c, drive), start=start)


def observe(run: Run) -> Observation:
    """Measure |h_t| at all times."""
    measured = run.norm.vector(run.states)
    start = float(run.norm.vector_upper(run.of.start))
    arguments = {"lam": run.lam, "t": run.times, "drive": run.drive, "start": start}
    return Observation(
        measured=measured, budget=run.budget(measured, run.times), arguments=arguments
    )


def observe_published_drive(run: Run) -> Observation:
    """Use L_x B_x alone as the drive, as if step(0, 0) were 0."""
    return observe(run).with_arguments(drive=run.published_drive)


HIDDEN_STATE = Theorem(
    name="hidden_state",
    title="size of the hidden state",
    quantity=r"\|h_t\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(CONTRACTIVE, DRIVE_BOUNDED),
    source="Miller and Hardt (ICLR 2019), section 3 (there for zero start and zero offset)",
    observe=observe,
    near_misses=(
        NearMiss(
            name="start forgotten one step too early",
            formula=lambda lam, t, drive, start: (
                lam ** (t + 1) * start + drive * (1 - lam**t) / (1 - lam)
            ),
        ),
        NearMiss(
            name="drive counted once instead of summed",
            formula=lambda lam, t, drive, start: lam**t * start + drive,
        ),
        NearMiss(name="offset step(0, 0) left out of the drive", observe=observe_published_drive),
        NearMiss(name="without contraction", drops=CONTRACTIVE),
    ),
)
