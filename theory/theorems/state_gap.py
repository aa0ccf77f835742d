r"""State gap of the k-step counterpart, for every length of history.

Statement   |h_t - h_t^k| <= drive * lam**k / (1 - lam)
Assumes     contractive; |step(0, x_t)| <= drive for all t; h_0 = 0, restart from 0
Kind        sharp, attained in the limit of long histories by h -> lam*h + drive
Source      Miller and Hardt (ICLR 2019), section 3, there with drive = L_x B_x
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from theory.certificates import Contraction, check_one_step, drive_size
from theory.errors import check_count
from theory.inputs import Drive
from theory.rounding import evaluate
from theory.theorem import Kind, NearMiss, Observation, Theorem
from theory.theorems.assumptions import CONTRACTIVE, DRIVE_BOUNDED, ZERO_START
from theory.typing import Scalar

if TYPE_CHECKING:
    from theory.measure import Run


def formula(lam: Scalar, k: Scalar, drive: Scalar) -> Scalar:
    """Return the right-hand side."""
    return drive * lam**k / (1 - lam)


def state_gap(c: Contraction, *, k: int, drive: float | Drive) -> float:
    """Bound the distance between the recurrent state and its k-step counterpart.

    Parameters
    ----------
    c : Contraction
    k : int
        Number of inputs that the counterpart sees.
    drive : float or Drive
        Bound of |step(0, x_t)| in the norm of `c`, see `Map.drive`.

    Returns
    -------
    float
        An upper bound, rounded outward, whatever the length of the history.

    Raises
    ------
    ValueError
        If `c` is not a one-step contraction, k is not a count, or the drive is negative or not one
        for `c`.

    Examples
    --------
    >>> state_gap(Contraction.assumed(0.5), k=3, drive=1.0)
    0.25
    """
    check_one_step(c)
    check_count(k=k)
    return evaluate(formula, lam=c.lam, k=int(k), drive=drive_size(c, drive))


def observe(run: Run) -> Observation:
    """Measure the gap for all k and all t >= k."""
    k, _ = run.gap_index
    return run.gaps(lam=run.lam, k=k, drive=run.drive)


def observe_published_drive(run: Run) -> Observation:
    """Use L_x B_x alone as the drive, as if step(0, 0) were 0."""
    return observe(run).with_arguments(drive=run.published_drive)


STATE_GAP = Theorem(
    name="state_gap",
    title="state gap, any history",
    quantity=r"\|h_t - h_t^k\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(CONTRACTIVE, DRIVE_BOUNDED, ZERO_START),
    source="Miller and Hardt (ICLR 2019), section 3 (there with drive = L_x B_x)",
    observe=observe,
    near_misses=(
        NearMiss(
            name="one power of lam too many",
            formula=lambda lam, k, drive: drive * lam ** (k + 1) / (1 - lam),
        ),
        NearMiss(
            name="geometric factor 1/(1 - lam) dropped",
            formula=lambda lam, k, drive: drive * lam**k,
        ),
        NearMiss(name="offset step(0, 0) left out of the drive", observe=observe_published_drive),
        NearMiss(name="without contraction", drops=CONTRACTIVE),
        NearMiss(name="any start", drops=ZERO_START),
    ),
)
