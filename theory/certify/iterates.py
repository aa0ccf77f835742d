r"""Contractions of several steps together: the least number of steps, and changes of norm.

Main names: `least_iterate`, `iterate_in_norm`.

A step may stretch distances, and r of them still contract: non-normal linear maps do, and so does
every contraction when its distances are measured in another norm, once the rate has made up for the
constants between the norms.
"""

from __future__ import annotations

import math

import numpy as np

from theory.arithmetic.rounding import evaluate, product_up
from theory.certificates import Contraction, certified, check_one_step
from theory.errors import check_count
from theory.maps.form import Affine
from theory.norms.norms import L2, Norm, over
from theory.norms.products import UnsettledError, lipschitz_of_steps, vertices
from theory.theorems.contractive_of_iterate import contractive_of_iterate
from theory.theorems.norm_change import formula as converted

#: More steps together than this are not tried.
MOST_STEPS = 4096

#: Multiplications that forming the powers of a linear map may take; some seconds.
_WORK = 2.0**36


def least_iterate(form: Affine, norm: Norm | None = None) -> Contraction | None:
    """Return the contraction of the least number of steps that are proved to contract in a norm.

    Powers of a linear map are formed one after another; otherwise all products of the slopes' ends
    are, until more of them matter than can be listed.
    """
    measure = L2() if norm is None else norm
    r = _least_power(form, measure) if form.linear else _least_product(form, measure)
    if r is None:
        return None
    return contractive_of_iterate(
        form.W, form.rho, norm=measure, iterate=r, slopes=form.slopes, domain=form.domain
    )


def _least_power(form: Affine, norm: Norm) -> int | None:
    A = form.lipschitz * form.W
    n = len(A)
    if not np.isfinite(A).all():
        return None
    most = min(MOST_STEPS, max(1, int(_WORK / n**3)))
    # a larger radius leaves powers that hardly fall; the first one is tried all the same
    if float(np.max(np.abs(np.linalg.eigvals(A)))) > 1.0 - 1e-9:
        most = 1
    P, d = np.eye(n), np.ones(n)
    for r in range(1, most + 1):
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            P = A @ P
            if not np.isfinite(P).all():
                return None
            # a direction that is stretched spares the search for the one that is stretched most
            for _ in range(3):
                d = P.T @ (P @ d)
                size = float(np.max(np.abs(d)))
                d = d / size if 0 < size < math.inf else np.ones(n)
            if norm.vector(P @ d) > norm.vector(d) * (1 + 1e-6):
                continue
        # a lower bound of the norm that is attained: only near or below 1 is a proof worth trying
        if norm.matrix_lower(P) < 1.0 + 1e-9 and _proved(form, norm, r):
            return r
    return None


def _proved(form: Affine, norm: Norm, r: int) -> bool:
    found = contractive_of_iterate(
        form.W, form.rho, norm=norm, iterate=r, slopes=form.slopes, domain=form.domain
    )
    return found is not None


def _least_product(form: Affine, norm: Norm) -> int | None:
    factors = vertices(form.W, *form.slopes)
    if factors is None or not np.isfinite(factors).all():
        return None
    # slopes that are constant in time grow at the spectral radius; computed, so with room
    if not float(np.max(np.abs(np.linalg.eigvals(factors)))) <= 1.0 + 1e-6:
        return None
    bounds: tuple[float, ...] = (1.0,)
    for r in range(1, MOST_STEPS + 1):
        try:
            bounds = lipschitz_of_steps(form.W, form.slopes, norm, r, bounds)
        except UnsettledError:
            return None
        if bounds[r] < 1:
            return r
        # twice the steps at no better rate than half of them: it does not fall
        if r >= 8 and not bounds[r] ** (1 / r) <= bounds[r // 2] ** (2 / r) * (1 - 2.0**-10):
            return None
    return None


def iterate_in_norm(c: Contraction, norm: Norm, *, dim: int) -> Contraction | None:
    r"""Return the contraction of the least number of steps that a change of norm leaves.

    With K the product of the constants between the norms, r steps contract by K lam**r in `norm`.

    Parameters
    ----------
    c : Contraction
        Of a single step, in any norm.
    norm : Norm
        The norm that is wanted.
    dim : int
        Dimension of the state.

    Returns
    -------
    Contraction or None
        Of ``iterate`` steps, certified if `c` is; None if no constant between the norms is finite.

    Raises
    ------
    ValueError
        If `c` is not a one-step contraction, or a norm is not one on R^dim.

    Examples
    --------
    >>> from theory import Linf
    >>> iterate_in_norm(Contraction.assumed(0.5, Linf()), L2(), dim=16).iterate
    3
    """
    check_one_step(c)
    check_count(at_least=1, dim=dim)
    outer, inner = over(norm, c.norm, n=dim), over(c.norm, norm, n=dim)
    if not math.isfinite(product_up(outer, inner)):
        return None

    def rate(r: int) -> float:
        return evaluate(converted, lam=c.lam, k=r, past=1.0, outer=outer, inner=inner)

    least = 1.0
    if c.lam > 0:
        least = max(1.0, math.ceil(math.log(max(outer * inner, 1.0)) / -math.log(c.lam)))
    if not math.isfinite(least):
        return None
    # the quotient of logarithms is rounded: look around it
    r = max(1, int(least) - 1)
    while not rate(r) < 1:
        r += 1
    return (certified if c.evidence.is_certified else Contraction.assumed)(
        rate(r),
        norm,
        method="norm change",
        detail=f"{outer * inner:.6g} * {c.lam!r}**{r} from {c.norm} ({c.evidence.method})",
        iterate=r,
        domain=c.domain,
        source=c,
    )
