r"""Contraction of a gated recurrent unit in the maximum norm, from row sums of its gates.

Statement   |step(h, x) - step(g, x)| <= (update + (1 - update) * inner + (1 + candidate) * W_z / 4)
                                         * |h - g|
Assumes     a GRU whose update gates stay below update and whose candidates within candidate, W_z
            the row sum of the update gate and inner <= 1 the factor of the candidate's
            pre-activation; |h| = max_i |h_i|; all states in the domain |h| <= 1
Kind        sharp, attained without recurrent weights; below 1 exactly if
            inner < 1 - (1 + candidate) W_z / (4 (1 - update)), the published condition of
            incremental stability
Source      Bonassi, Farina and Scattolini (arXiv 2011.06806), as reconstructed, for the reset gate
            before the weights; the other form is this project's
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from theory.arithmetic.gates import GateBounds, sigmoid_up, tanh_up
from theory.arithmetic.rounding import evaluate, product_up, up
from theory.certificates import Contraction, certified
from theory.domain import Domain
from theory.errors import as_matrix, as_vector, check_nonnegative
from theory.norms.norms import Linf
from theory.theorems.assumptions import GRU_CELL, IN_DOMAIN, MAXIMUM_NORM
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(update: Scalar, inner: Scalar, candidate: Scalar, W_z: Scalar) -> Scalar:
    """Return the factor."""
    return update + (1 - update) * inner + (1 + candidate) * W_z / 4


class GRUNorms(NamedTuple):
    """Bounds of the gates of a GRU over |h| <= 1 and the inputs, rounded upward."""

    update: float  # of z
    inner: float  # kappa, the factor of the candidate's pre-activation
    candidate: float  # of |n|
    W_z: float  # row sum


def gru_norms(
    W: Any,
    U: Any,
    b: Any = None,
    b_candidate: Any = None,
    *,
    variant: str = "reset_after",
    input_bound: float,
) -> GRUNorms:
    r"""Return the bounds of gates from the row sums of |W|, input_bound |U| and |b| together.

    With r the largest reset gate, the factor of the candidate's pre-activation is

        |W_n| (r + |W_r| / 4)                 for W_n (r h) + U_n x + b_n,
        r |W_n| + (|W_n| + |b_c|) |W_r| / 4   for r (W_n h + b_c) + U_n x + b_n.

    Raises
    ------
    ValueError
        If shapes do not fit or a number is not finite, the variant is unknown, or the bound is
        negative.
    """
    if variant not in {"reset_after", "reset_before"}:
        raise ValueError(f"variant={variant!r}, needed reset_after or reset_before")
    check_nonnegative(input_bound=input_bound)
    n = as_matrix("W", W).shape[1]
    recurrent = as_matrix("W", W, rows=3 * n)
    driven = as_matrix("U", U, rows=3 * n)
    bias = as_vector("b", np.zeros(3 * n) if b is None else b, size=3 * n)
    held = as_vector("b_candidate", np.zeros(n) if b_candidate is None else b_candidate, size=n)
    reset, update, new = (
        GateBounds.of(recurrent[rows], driven[rows], bias[rows], inputs=float(input_bound))
        for rows in (slice(k * n, (k + 1) * n) for k in range(3))
    )
    r, W_r, W_n = float(sigmoid_up(reset.largest_reach)), reset.largest_row, new.largest_row
    if variant == "reset_before":
        reach = new.largest_reach
        inner = product_up(W_n, up(r + W_r / 4))
    else:
        none = np.zeros((n, 0))
        inside = GateBounds.of(new.W, none, held, inputs=0.0).largest_reach
        own = GateBounds.of(none, new.U, new.b, inputs=new.inputs).largest_reach
        reach = up(own + product_up(r, inside))
        # a quarter of the product: one of W_r could underflow, and be multiplied by more than 1
        inner = up(product_up(r, W_n) + up(product_up(inside, W_r) / 4))
    return GRUNorms(
        update=float(sigmoid_up(update.largest_reach)),
        inner=inner,
        candidate=float(tanh_up(reach)),
        W_z=update.largest_row,
    )


def contractive_of_gru_norms(
    W: Any,
    U: Any,
    b: Any = None,
    b_candidate: Any = None,
    *,
    variant: str = "reset_after",
    input_bound: float,
) -> Contraction | None:
    r"""Return the contraction of a GRU in the maximum norm, from row sums alone.

    Parameters
    ----------
    W, U, b : (3 n, n), (3 n, m) and (3 n,) arrays
        Weights and bias, the rows of the gates r, z, n one after another (PyTorch's order).
    b_candidate : (n,) array, optional
        The bias that the reset gate multiplies; zero by default.
    variant : str
        ``reset_after`` or ``reset_before``.
    input_bound : float
        Bound of |x_j| for every entry.

    Returns
    -------
    Contraction or None
        On the domain |h| <= 1; None if the factor is not below 1.

    Raises
    ------
    ValueError
        If shapes do not fit or a number is not finite, the variant is unknown, or the bound is
        negative.

    Examples
    --------
    >>> c = contractive_of_gru_norms([[0.1]] * 3, [[0.0]] * 3, input_bound=1.0)
    >>> round(c.lam, 3)
    0.577
    """
    norms = gru_norms(W, U, b, b_candidate, variant=variant, input_bound=input_bound)
    # with a factor above 1 the smallest update gate would be the worst, and that is not bounded
    if not norms.inner <= 1:
        return None
    lam = evaluate(formula, **norms._asdict())
    ends, inputs = np.ones(np.shape(W)[1]), np.full(np.shape(U)[1], float(input_bound))
    return certified(
        lam,
        Linf(),
        method="GRU gate norms",
        detail=f"update gates below {norms.update:.6g}",
        domain=Domain(low=-ends, high=ends, input_low=-inputs, input_high=inputs),
    )


CONTRACTIVE_OF_GRU_NORMS = Theorem(
    name="contractive_of_gru_norms",
    title="contraction of a GRU by row sums of its gates",
    quantity=r"\frac{\|\phi(h, x) - \phi(g, x)\|_\infty}{\|h - g\|_\infty}",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(GRU_CELL, IN_DOMAIN, MAXIMUM_NORM),
    source="Bonassi, Farina and Scattolini (arXiv 2011.06806), as reconstructed; this project",
    criterion=True,
)
