r"""Several steps together contract, though a single one may not.

Statement   |r steps from h - r steps from g| <= product * |h - g|
Assumes     step(h, x) = rho(W h + U x + b), alpha_i <= rho' <= beta_i; every product of r matrices
            diag(s) W with slopes s_i in [alpha_i, beta_i] has norm at most product
Kind        sharp, attained by linear maps: product is then the norm of the r-th power of W
Source      Miller and Hardt (ICLR 2019), section 3, there for the LSTM; the products are affine in
            every slope, so those of the slopes' ends suffice (this project)
"""

from __future__ import annotations

from typing import Any

from theory.arithmetic.activations import Activation, slope_intervals
from theory.arithmetic.activations import activation as look_up
from theory.certificates import Contraction, certified
from theory.domain import Domain
from theory.errors import as_square, check_count
from theory.norms.norms import L2, Norm
from theory.norms.products import UnsettledError, product_upper
from theory.theorems.assumptions import AFFINE_FORM, PRODUCTS_BOUNDED
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(product: Scalar) -> Scalar:
    """Return the right-hand side."""
    return product


def contractive_of_iterate(
    W: Any,
    activation: str | Activation = "tanh",
    *,
    norm: Norm | None = None,
    iterate: int,
    slopes: Any = None,
    domain: Domain | None = None,
) -> Contraction | None:
    """Return the contraction of so many steps of h -> rho(W h + U x + b) together.

    Parameters
    ----------
    W : (n, n) array
    activation : str or Activation
    norm : Norm, optional
        `L2` by default.
    iterate : int
        Number of steps, at least 1; ``theory.contraction(map, method="iterate")`` finds the least.
    slopes, domain
        As in `theory.theorems.contractive_of_matrix_norm`.

    Returns
    -------
    Contraction or None
        None if the bound of all products, rounded outward, is not below 1, or more products matter
        than can be listed: their number grows like 2**(n r), unless the activation is linear.

    Raises
    ------
    ValueError
        If W is not square or not finite, the number of steps is not one, the activation is unknown,
        or slopes narrower than its own come without a domain.

    Examples
    --------
    >>> c = contractive_of_iterate([[0.9, -1.0], [0.5, -0.9]], iterate=6)
    >>> round(c.lam, 6), c.iterate
    (0.908787, 6)
    """
    matrix = as_square("W", W)
    rho = look_up(activation)
    measure = L2() if norm is None else norm
    measure.check_dim(len(matrix))
    check_count(at_least=1, iterate=iterate)
    ends = slope_intervals(rho, len(matrix), slopes, local=domain is not None)
    try:
        lam = product_upper(matrix, ends, measure, int(iterate))
    except UnsettledError:
        return None
    return certified(
        lam,
        measure,
        method="products",
        detail=f"all products of {iterate} matrices diag(s) W have norm at most {lam!r}",
        iterate=int(iterate),
        domain=domain,
    )


CONTRACTIVE_OF_ITERATE = Theorem(
    name="contractive_of_iterate",
    title="contraction of several steps together",
    quantity=r"\frac{\|\phi^r(h) - \phi^r(g)\|}{\|h - g\|}",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(AFFINE_FORM, PRODUCTS_BOUNDED),
    source="Miller and Hardt (ICLR 2019), section 3; this project for the vertices of the slopes",
    criterion=True,
)
