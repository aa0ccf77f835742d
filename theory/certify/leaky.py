r"""Leaky networks: one leaking rate for all units, or a linear activation.

Main names: `by_leak`, `leaks_alike`, `leaky_rate_holds`, `linear_bound`.

With one leaking rate a step is (1 - a) h + a f(h), and contracts by 1 - a + a r in every norm in
which f does by r (`theory.theorems.contractive_of_leak`).  With the identity for rho it is A h plus
what the inputs give, A = diag(1 - a) + diag(a) W, and its rate is the norm of A.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from theory.arithmetic.rounding import TINY, UNIT, down, product_up, up
from theory.certificates import Contraction, certified
from theory.domain import Domain
from theory.maps.affine import AffineMap
from theory.maps.base import Map
from theory.maps.esn import EchoStateNetwork
from theory.maps.form import Affine
from theory.maps.linear import LinearMap
from theory.maps.rnn import VanillaRNN
from theory.norms.norms import L2, Norm, WeightedL2
from theory.theorems.contractive_of_leak import contractive_of_leak
from theory.typing import Array

#: What searches a map in affine form, on a domain or everywhere, for its best contraction.
Search = Callable[[AffineMap, Domain | None], Contraction | None]


def leaks_alike(recurrent: Map) -> bool:
    """Return whether it is a leaky network with one leaking rate."""
    return isinstance(recurrent, EchoStateNetwork) and recurrent.one_leak is not None


def floor_of(form: Affine, leak: Array) -> float:
    """Return about the largest spectral radius of constant slopes, for stopping early only."""
    kept = np.diag(1 - leak)
    with np.errstate(over="ignore", under="ignore"):
        steps = [kept + (leak * s)[:, None] * form.W for s in form.slopes]
    if not all(np.isfinite(A).all() for A in steps):
        return math.inf
    return max(float(np.max(np.abs(np.linalg.eigvals(A)))) for A in steps)


def by_leak(recurrent: Map, domain: Domain | None, search: Search) -> Contraction | None:
    """Return the contraction of a leaky network from that of the map without leak, or of A."""
    if not isinstance(recurrent, EchoStateNetwork) or recurrent.affine() is not None:
        return None
    form = recurrent.without_leak(domain)
    if recurrent.activation.name == "identity":
        A, _ = linear_part(recurrent)
        c = search(LinearMap(A, np.zeros((len(A), 1))), None)
        if c is None:
            return None
        return certified(
            up(c.lam + _moved(recurrent, c.norm)),
            c.norm,
            method=f"leak, {c.evidence.method}",
            detail=f"of (1 - a) I + a W; {c.evidence.detail}",
            domain=domain,
        )
    if recurrent.one_leak is None:
        return None
    # of the map without leak its slopes on the box are asked for, not whether it keeps the box:
    # the leaky map does
    c = search(VanillaRNN(form.W, form.U, form.b, form.rho), domain)
    return None if c is None else contractive_of_leak(c, leak=recurrent.one_leak)


def linear_part(cell: EchoStateNetwork) -> tuple[Array, Array]:
    r"""Return A = diag(1 - a) + diag(a) W as computed, and bounds of the errors of its entries.

    A product, a difference and a sum: |error| <= 2 u (1 - a) + 2 u |a W| + O(u^2), and eta.
    """
    kept, new = np.diag(1.0 - cell.leak), cell.leak[:, None] * cell.W
    return kept + new, np.nextafter(4 * UNIT * (kept + np.abs(new)) + 4 * TINY, math.inf)


def _moved(cell: EchoStateNetwork, norm: Norm) -> float:
    """Bound the norm of the errors of A."""
    error = linear_part(cell)[1]
    if norm.monotone:
        return norm.matrix_upper(error)
    price = norm.condition_upper if isinstance(norm, WeightedL2) else math.inf
    return product_up(price, L2().matrix_upper(error))


def linear_bound(cell: EchoStateNetwork, norm: Norm) -> float:
    """Return an upper bound of the norm of A, for a network whose activation is the identity."""
    return up(norm.matrix_upper(linear_part(cell)[0]) + _moved(cell, norm))


def inner_rate(leak: float, rate: float) -> float:
    """Return the rate r without leak that 1 - a + a r <= rate asks for, rounded down."""
    return down(float(1 - (1 - Fraction(rate)) / Fraction(leak)))
