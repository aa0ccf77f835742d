r"""Several steps together contract, though a single one may not.

Statement   |r steps from h - r steps from g| <= product * |h - g|
Assumes     step(h, x) = rho(W h + U x + b), alpha_i <= rho' <= beta_i; every product of r matrices
            diag(s) W with slopes s_i in [alpha_i, beta_i] has norm at most product
Kind        sharp, attained by linear maps: product is then the norm of the r-th power of W
Source      Miller and Hardt (ICLR 2019), section 3, there for the LSTM; the products are affine in
            every slope, so those of the slopes' ends suffice (this project)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from theory.activations import Activation, slope_intervals
from theory.activations import activation as look_up
from theory.certificates import Contraction, Evidence
from theory.domain import Domain
from theory.errors import as_square, check_count
from theory.norms import L2, Norm
from theory.theorem import Kind, NearMiss, Observation, Theorem
from theory.theorems.assumptions import AFFINE_FORM, PRODUCTS_BOUNDED
from theory.typing import Scalar

if TYPE_CHECKING:
    from theory.measure import Run


def formula(product: Scalar) -> Scalar:
    """Return the right-hand side."""
    return product


def contractive_of_iterate(
    W: Any,
    activation: str | Activation = "tanh",
    norm: Norm | None = None,
    *,
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
        As in `theory.contractive_of_matrix_norm`.

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
    from theory.products import UnsettledError, product_upper

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
    if not lam < 1:
        return None
    evidence = Evidence(
        kind="certified",
        method="products",
        detail=f"all products of {iterate} matrices diag(s) W have norm at most {lam!r}",
    )
    return Contraction(
        lam=lam, norm=measure, iterate=int(iterate), evidence=evidence, domain=domain
    )


def observe(run: Run) -> Observation:
    """Measure the stretch of adversarial pairs of states under r steps."""
    ratios, budgets = run.iterate_ratios
    return Observation(measured=ratios, budget=budgets, arguments={"product": run.lam})


def observe_spectral_radius(run: Run) -> Observation:
    """Use the r-th power of the spectral radius of W in place of the norm of products."""
    import numpy as np

    seen = observe(run)
    form = run.map.affine()
    assert form is not None
    radius = float(np.max(np.abs(np.linalg.eigvals(form.W)))) * form.rho.lipschitz
    return seen.with_arguments(product=radius**run.of.contraction.iterate)


CONTRACTIVE_OF_ITERATE = Theorem(
    name="contractive_of_iterate",
    title="contraction of several steps together",
    quantity=r"\frac{\|\phi^r(h) - \phi^r(g)\|}{\|h - g\|}",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(AFFINE_FORM, PRODUCTS_BOUNDED),
    source="Miller and Hardt (ICLR 2019), section 3; this project for the vertices of the slopes",
    observe=observe,
    near_misses=(
        NearMiss(name="r steps contract as 2 r do", formula=lambda product: product**2),
        NearMiss(name="power of the spectral radius of W", observe=observe_spectral_radius),
        NearMiss(name="any factor", drops=PRODUCTS_BOUNDED),
    ),
    criterion=True,
)
