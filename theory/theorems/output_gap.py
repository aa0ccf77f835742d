r"""Output gap of the k-step counterpart.

Statement   |y_t - y_t^k| <= lipschitz * drive * lam**k / (1 - lam)
Assumes     contractive; |step(0, x_t)| <= drive for all t; h_0 = 0, restart from 0; y = f(h) with f
            lipschitz-Lipschitz
Kind        sharp, attained in the limit of long histories by h -> lam*h + drive, y = lipschitz*h
Source      Miller and Hardt (ICLR 2019), Proposition 3, there with drive = L_x B_x
"""

from __future__ import annotations

from theory.arithmetic.rounding import evaluate
from theory.certificates import Contraction, check_one_step, drive_size
from theory.errors import check_count, check_nonnegative
from theory.inputs import Drive
from theory.theorems.assumptions import CONTRACTIVE, DRIVE_BOUNDED, OUTPUT_LIPSCHITZ, ZERO_START
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(lam: Scalar, k: Scalar, drive: Scalar, lipschitz: Scalar) -> Scalar:
    """Return the right-hand side."""
    return lipschitz * drive * lam**k / (1 - lam)


def output_gap(c: Contraction, *, k: int, drive: float | Drive, lipschitz: float) -> float:
    """Bound the distance of the outputs of the recurrent model and its k-step counterpart.

    Parameters
    ----------
    c : Contraction
    k : int
        Number of inputs that the counterpart sees.
    drive : float or Drive
        Bound of |step(0, x_t)| in the norm of `c`, see `Map.drive`.
    lipschitz : float
        L_f, from the norm of `c` to the norm of the outputs, see `LinearHead.lipschitz`.

    Returns
    -------
    float
        An upper bound, rounded outward.

    Raises
    ------
    ValueError
        If `c` is not a one-step contraction, k is not a count, or a size is negative.

    Examples
    --------
    >>> output_gap(Contraction.assumed(0.5), k=3, drive=1.0, lipschitz=4.0)
    1.0
    """
    check_one_step(c)
    check_count(k=k)
    check_nonnegative(lipschitz=lipschitz)
    size = drive_size(c, drive)
    return evaluate(formula, lam=c.lam, k=int(k), drive=size, lipschitz=lipschitz)


OUTPUT_GAP = Theorem(
    name="output_gap",
    title="output gap",
    quantity=r"\|y_t - y_t^k\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(CONTRACTIVE, DRIVE_BOUNDED, ZERO_START, OUTPUT_LIPSCHITZ),
    source="Miller and Hardt (ICLR 2019), Proposition 3 (there with drive = L_x B_x)",
)
