r"""Contraction of a leaky map from that of the map without leak, in any norm.

Statement   |step(h, x) - step(g, x)| <= (1 - leak + leak * rate) * |h - g|
Assumes     step(h, x) = (1 - leak) h + leak f(h, x), 0 <= leak <= 1;
            |f(h, x) - f(g, x)| <= rate * |h - g| for all states h, g and inputs x in question;
            all states and inputs lie in a domain that the map never leaves
Kind        sharp, attained by f(h) = rate h
Source      Jaeger, Lukosevicius, Popovici and Siewert, Neural Networks 20 (2007), have it for tanh,
            the Euclidean norm and rate = |W|_2; here for any norm and any proof of the rate
"""

from __future__ import annotations

from theory.arithmetic.rounding import evaluate
from theory.certificates import Contraction, certified, check_one_step
from theory.errors import check_positive
from theory.theorems.assumptions import IN_DOMAIN, INNER_LIPSCHITZ, LEAKY
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(leak: Scalar, rate: Scalar) -> Scalar:
    """Return the right-hand side."""
    return 1 - leak + leak * rate


def contractive_of_leak(c: Contraction, *, leak: float) -> Contraction | None:
    r"""Return the contraction of (1 - leak) h + leak f(h, x), in the norm of that of f.

    Parameters
    ----------
    c : Contraction
        |f(h, x) - f(g, x)| <= c.lam |h - g| on its domain, which the leaky map is to keep.
    leak : float
        The leaking rate, 0 < leak <= 1.

    Returns
    -------
    Contraction or None
        Certified if `c` is; None where the rate rounds to 1.

    Raises
    ------
    ValueError
        If `c` is not a one-step contraction, or the leaking rate is not in (0, 1].

    Examples
    --------
    >>> contractive_of_leak(Contraction.assumed(0.5), leak=0.25).lam
    0.875
    """
    check_one_step(c)
    check_positive(leak=leak)
    if not leak <= 1:
        raise ValueError(f"leak={leak!r}, needed 0 < leak <= 1")
    lam = evaluate(formula, leak=leak, rate=c.lam)
    method = f"leak, {c.evidence.method}"
    detail = f"1 - a + a r with a = {leak!r}, r <= {c.lam!r}; {c.evidence.detail}"
    if c.evidence.is_certified:
        return certified(
            lam,
            c.norm,
            method=method,
            detail=detail,
            domain=c.domain,
            multipliers=c.evidence.multipliers,
        )
    if not lam < 1:
        return None
    return Contraction.assumed(lam, c.norm, domain=c.domain, method=method, detail=detail)


CONTRACTIVE_OF_LEAK = Theorem(
    name="contractive_of_leak",
    title="contraction of a leaky map",
    quantity=r"\frac{\|\phi(h, x) - \phi(g, x)\|}{\|h - g\|}",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(LEAKY, INNER_LIPSCHITZ, IN_DOMAIN),
    source="Jaeger, Lukosevicius, Popovici and Siewert (2007), for the Euclidean norm",
    criterion=True,
)
