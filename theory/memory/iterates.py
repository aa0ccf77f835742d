"""The least context under a contraction of several steps together.

Main name: `context_length_iterate`.
"""

from __future__ import annotations

import math

from theory.arithmetic.rounding import product_up
from theory.certificates import Contraction, check_contraction_given, drive_size
from theory.errors import check_nonnegative, check_positive
from theory.inputs import Drive
from theory.theorems.context_length import context_length
from theory.theorems.state_gap_blocks import spread_upper


def context_length_iterate(
    c: Contraction,
    *,
    eps: float,
    growth: float,
    drive: float | Drive,
    spread: float | None = None,
    lipschitz: float = 1.0,
) -> int:
    r"""Return the least k whose bound on the output gap is at most eps.

    The bound is `state_gap_blocks`, times L_f.

    Parameters
    ----------
    c : Contraction
        Of any number of steps.
    eps : float
        The error allowed, in the norm of the outputs.
    growth : float
        A Lipschitz constant of one step in the norm of `c`, possibly above 1.
    drive : float or Drive
        Bound of |step(0, x_t)| in the norm of `c`, see `Map.drive`.
    spread : float, optional
        As in `theory.theorems.state_gap_blocks`.
    lipschitz : float
        L_f; 1 for the state itself.

    Returns
    -------
    int
        Exactly the least one; of a larger k that is not a multiple of ``c.iterate`` the bound may
        exceed eps again, as each step beyond a block costs a factor `growth`.

    Raises
    ------
    ValueError
        If `c` is not a contraction, eps is not positive, or a size is negative.

    Examples
    --------
    >>> c = Contraction.assumed(0.5, iterate=3)
    >>> context_length_iterate(c, eps=0.01, growth=2.0, drive=1.0)
    33
    """
    check_contraction_given(c)
    check_positive(eps=eps)
    check_nonnegative(growth=growth, lipschitz=lipschitz)
    before = drive_size(c, drive)
    if spread is None:
        spread = spread_upper(float(growth), c.iterate)
    check_nonnegative(spread=spread)
    blockwise = Contraction.assumed(c.lam, c.norm)
    size = product_up(float(lipschitz), product_up(float(before), float(spread)))
    best: int | None = None
    power = 1.0
    for rest in range(c.iterate):
        if math.isfinite(power) and math.isfinite(size):
            blocks = context_length(blockwise, eps=eps, drive=size, lipschitz=power)
            k = blocks * c.iterate + rest
            best = k if best is None else min(best, k)
        if growth >= 1:
            break  # steps beyond a block make it no better
        power = product_up(power, float(growth))
    if best is None:
        raise ValueError(
            f"drive * spread * lipschitz = {size!r}, needed a finite product; scale the inputs down"
        )
    return best
