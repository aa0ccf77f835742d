"""The contraction of a linear map whose matrix is known up to an error.

Main name: `perturbed`.
"""

from __future__ import annotations

from theory.arithmetic.rounding import product_up, up
from theory.certificates import Contraction, certified
from theory.norms.norms import L2, over


def perturbed(c: Contraction, off: float, n: int) -> Contraction | None:
    r"""Return the contraction of h <- (A + E) h from that of h <- A h; None if the rate is not < 1.

    With |E|_F <= off, and the constants between the norms,

        || E h || <= a |E h|_2 <= a off |h|_2 <= a off b || h ||.

    Parameters
    ----------
    c : Contraction
        Of one step, certified.
    off : float
    n : int
    """
    price = product_up(over(c.norm, L2(), n=n), over(L2(), c.norm, n=n))
    return certified(
        up(c.lam + product_up(off, price)),
        c.norm,
        method=c.evidence.method,
        detail="of several layers together",
    )
