r"""Composition of two contractions in different norms.

Statement   |second(first(h)) - second(first(g))| <= lam_first * lam_second * there * back * |h - g|
Assumes     first contracts by lam_first in |.|, second by lam_second in |.|'; |h|' <= there * |h|
            and |h| <= back * |h|' for all h
Kind        sharp, attained where both constants and both factors are attained in a row
Source      this project (composition of Lipschitz maps)
"""

from __future__ import annotations

from theory.arithmetic.rounding import evaluate
from theory.certificates import Contraction, certified, check_one_step
from theory.errors import check_count
from theory.norms.norms import over
from theory.theorems.assumptions import TWO_CONTRACTIONS
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(lam_first: Scalar, lam_second: Scalar, there: Scalar, back: Scalar) -> Scalar:
    """Return the right-hand side."""
    return lam_first * lam_second * there * back


def contractive_of_composition(
    first: Contraction, second: Contraction, *, dim: int
) -> Contraction | None:
    """Return the contraction of h -> second(first(h)) in the norm of the first.

    Parameters
    ----------
    first, second : Contraction
        The map applied first, and the one applied to its result.
    dim : int
        Dimension of the state.

    Returns
    -------
    Contraction or None
        None if the product of the factors and of the constants between the norms is not below 1.

    Raises
    ------
    ValueError
        If one of them is not a one-step contraction, a norm is not one on R^dim, or they hold on
        different domains.

    Examples
    --------
    >>> from theory import L1, Linf
    >>> a, b = Contraction.assumed(0.5, L1()), Contraction.assumed(0.25, Linf())
    >>> contractive_of_composition(a, b, dim=2).lam
    0.25
    """
    check_one_step(first)
    check_one_step(second)
    check_count(at_least=1, dim=dim)
    if not first.shares_domain(second):
        raise ValueError(
            f"the first contraction holds on {first.domain} and the second on {second.domain}, "
            "needed one domain (None is everywhere): the first map's image must lie in the second's"
        )
    there, back = over(second.norm, first.norm, n=dim), over(first.norm, second.norm, n=dim)
    lam = evaluate(formula, lam_first=first.lam, lam_second=second.lam, there=there, back=back)
    if not lam < 1:
        return None
    proved = first.evidence.is_certified and second.evidence.is_certified
    return (certified if proved else Contraction.assumed)(
        lam,
        first.norm,
        method="composition",
        detail=f"{first.evidence} then {second.evidence}",
        domain=first.domain,
    )


CONTRACTIVE_OF_COMPOSITION = Theorem(
    name="contractive_of_composition",
    title="composition of two contractions",
    quantity=r"\frac{\|\phi_2(\phi_1(h)) - \phi_2(\phi_1(g))\|}{\|h - g\|}",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(TWO_CONTRACTIONS,),
    source="this project",
    criterion=True,
)
