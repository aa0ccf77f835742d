r"""A small recurrent matrix makes an elementwise recurrent map contractive.

Statement   |step(h, x) - step(g, x)| <= slope * norm * |h - g|
Assumes     step(h, x) = rho(W h + U x + b), |rho'| <= slope; the norm is monotone;
            |W v| <= norm * |v| for all v
Kind        sharp, attained by linear maps
Source      Miller and Hardt (ICLR 2019), section 2, there for the spectral norm
"""

from __future__ import annotations

from typing import Any

import numpy as np

from theory.arithmetic.activations import Activation, slope_intervals
from theory.arithmetic.activations import activation as look_up
from theory.arithmetic.rounding import evaluate
from theory.certificates import Contraction, certified
from theory.domain import Domain
from theory.errors import as_square
from theory.norms.norms import L2, Norm, scaled_matrix_upper
from theory.theorems.assumptions import AFFINE_FORM, MONOTONE_NORM
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(slope: Scalar, norm: Scalar) -> Scalar:
    """Return the right-hand side."""
    return slope * norm


def contractive_of_matrix_norm(
    W: Any,
    activation: str | Activation = "tanh",
    *,
    norm: Norm | None = None,
    slopes: Any = None,
    domain: Domain | None = None,
) -> Contraction | None:
    """Return the contraction of h -> rho(W h + U x + b) by the norm of W.

    Parameters
    ----------
    W : (n, n) array
    activation : str or Activation
    norm : Norm, optional
        `L2` by default, which makes this the published spectral-norm condition.
    slopes, domain
        Ends (low, high) of every unit's slopes, (n,) each, and the forward-invariant domain on
        which they hold, for a contraction there; `theory.contraction` finds and proves both.

    Returns
    -------
    Contraction or None
        None if slope * norm, rounded outward, is not below 1, or the norm is not monotone and the
        activation not linear.  For unequal slopes s this is the norm of diag(s) W.

    Raises
    ------
    ValueError
        If W is not square or not finite, the activation is unknown, or slopes narrower than its own
        come without a domain.

    Examples
    --------
    >>> from theory import Linf
    >>> contractive_of_matrix_norm([[0.25, 0.5], [0.0, 0.5]], norm=Linf()).lam
    0.75
    """
    matrix = as_square("W", W)
    rho = look_up(activation)
    measure = L2() if norm is None else norm
    measure.check_dim(len(matrix))
    low, high = slope_intervals(rho, len(matrix), slopes, local=domain is not None)
    steepest = np.maximum(np.abs(low), np.abs(high))
    equal = bool(np.all(steepest == steepest[0]))
    # one slope scales every norm, monotone or not
    if not measure.monotone and not bool(np.all(low == low[0]) and np.all(high == low[0])):
        return None
    slope = float(steepest[0]) if equal else 1.0
    size = measure.matrix_upper(matrix) if equal else scaled_matrix_upper(measure, steepest, matrix)
    if size == float("inf"):  # the norm exceeds the largest double, or could not be bounded
        return None
    lam = evaluate(formula, slope=slope, norm=size)
    names = {"L2": "spectral norm", "Linf": "row sums", "L1": "column sums"}
    return certified(
        lam,
        measure,
        method=names.get(measure.label, f"matrix norm in {measure.label}"),
        detail=f"slope {slope!r} times |W| <= {size!r}"
        if equal
        else f"|diag(s) W| <= {size!r}, s the largest slopes",
        domain=domain,
    )


CONTRACTIVE_OF_MATRIX_NORM = Theorem(
    name="contractive_of_matrix_norm",
    title="contraction by a matrix norm",
    quantity=r"\frac{\|\phi(h, x) - \phi(g, x)\|}{\|h - g\|}",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(AFFINE_FORM, MONOTONE_NORM),
    source="Miller and Hardt (ICLR 2019), section 2 (there for the spectral norm)",
    criterion=True,
)
