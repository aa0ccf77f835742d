r"""The incremental matrix inequality: contraction in a Euclidean norm of a full Gram matrix.

Statement   |step(h, x) - step(g, x)| <= rate * |h - g|
Assumes     step(h, x) = rho(W h + U x + b), alpha_i <= rho' <= beta_i; |h|**2 = h^T P h; for some
            diagonal Q > 0 the block matrix with rows r**2 P + 2 W^T Q diag(alpha beta) W,
            -W^T Q diag(alpha + beta) and -Q diag(alpha + beta) W, 2 Q - P is positive semidefinite
            at r = rate
Kind        sharp, attained by relu networks with a unit of slope W_ii = rate
Source      Yildiz, Jaeger and Kiebel (2012); Revay, Wang and Manchester (2020); for slopes in
            [0, 1] the least rate is min over D of the numerical radius of D W D^-1, by Ando (1973)
"""

from __future__ import annotations

from typing import Any

from theory.arithmetic.activations import Activation, slope_intervals
from theory.arithmetic.activations import activation as look_up
from theory.certificates import Contraction, certified
from theory.domain import Domain
from theory.errors import as_square, as_vector, check_nonnegative
from theory.norms.norms import WeightedL2
from theory.theorems.assumptions import AFFINE_FORM, INCREMENTAL_LMI
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(rate: Scalar) -> Scalar:
    """Return the right-hand side."""
    return rate


def contractive_of_incremental_lmi(
    W: Any,
    activation: str | Activation = "tanh",
    *,
    P: Any,
    q: Any,
    rate: float,
    slopes: Any = None,
    domain: Domain | None = None,
) -> Contraction | None:
    r"""Return the contraction of h -> rho(W h + U x + b) in the norm of P, if the inequality holds.

    This checks a given P, Q = diag(q) and rate; `theory.contraction` with ``method="lmi"`` finds
    them.

    Parameters
    ----------
    W : (n, n) array
    activation : str or Activation
    P : (n, n) array
        Symmetric.
    q : (n,) array
        Positive.
    rate : float
    slopes, domain
        As in `theory.theorems.contractive_of_matrix_norm`.

    Returns
    -------
    Contraction or None
        In `WeightedL2(P)`; None if the inequality cannot be proved in double precision, or the rate
        is not below 1.

    Raises
    ------
    ValueError
        If a shape does not fit, a number is not finite, P is not symmetric and positive definite,
        the rate is negative, the activation is unknown, or slopes narrower than its own come
        without a domain.

    Examples
    --------
    >>> c = contractive_of_incremental_lmi(
    ...     [[0.9, -1.0], [0.5, -0.9]],
    ...     P=[[1437, -1544], [-1544, 2563]],
    ...     q=[1470, 2740],
    ...     rate=0.92,
    ... )
    >>> c.lam, str(c.norm), c.norm.monotone
    (0.92, 'L2,P', False)
    """
    matrix = as_square("W", W)
    n = len(matrix)
    rho = look_up(activation)
    weights = as_vector("q", q, size=n)
    check_nonnegative(rate=rate)
    norm = WeightedL2(as_square("P", P))
    norm.check_dim(n)
    low, high = slope_intervals(rho, n, slopes, local=domain is not None)
    if not rate < 1 or not norm.incremental_lmi_holds(matrix, (low, high), weights, float(rate)):
        return None
    return certified(
        float(rate),
        norm,
        method="incremental LMI",
        detail=f"slopes in [{float(low.min())!r}, {float(high.max())!r}], "
        f"sqrt(cond(P)) <= {norm.condition_upper:.6g}",
        domain=domain,
        multipliers=tuple(weights.tolist()),
    )


CONTRACTIVE_OF_INCREMENTAL_LMI = Theorem(
    name="contractive_of_incremental_lmi",
    title="contraction by an incremental matrix inequality",
    quantity=r"\frac{\|\phi(h, x) - \phi(g, x)\|_P}{\|h - g\|_P}",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(AFFINE_FORM, INCREMENTAL_LMI),
    source="Yildiz, Jaeger and Kiebel (2012); Revay, Wang and Manchester (2020); Ando (1973)",
    criterion=True,
)
