"""Certificates with their constants: what each would cost for a given question."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from theory.arithmetic.rounding import evaluate, product_up, sum_up
from theory.certificates import Contraction
from theory.certify.interface import narrowing
from theory.certify.methods import tried
from theory.domain import Domain
from theory.inputs import Inputs
from theory.maps.base import Map
from theory.maps.head import LinearHead
from theory.norms.norms import L2, Norm, over
from theory.norms.products import growths
from theory.theorems.context_length import context_length
from theory.theorems.output_gap import formula as output_gap


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Priced:
    """A certificate with its constants."""

    c: Contraction
    drive: float  # bound of what at most r steps make of 0
    reach: float  # (1 - lam) times a bound of |h| from the states that are met, or inf
    lipschitz: float
    growths: tuple[float, ...]  # Lipschitz constants of 0, 1, .., r - 1 steps

    @property
    def best(self) -> float:
        """Return the smaller of the two, both of which make drive lam**k / (1 - lam) a bound."""
        return min(self.drive, self.reach)

    def error(self, k: int) -> float:
        """Return the bound of the error at k, for every length of history."""
        blocks, rest = divmod(k, self.c.iterate)
        factor = product_up(self.lipschitz, self.growths[rest])
        return evaluate(output_gap, lam=self.c.lam, k=blocks, drive=self.best, lipschitz=factor)

    def measure(self, k: int | None, eps: float) -> float:
        """Return the logarithm of the error at k, or the context for eps as a real number."""
        if not 0 < self.c.lam < 1 or not 0 < self.best < math.inf or not self.lipschitz > 0:
            return -math.inf if self.best < math.inf else math.inf
        start = math.log(self.best) + math.log(self.lipschitz) - math.log1p(-self.c.lam)
        decay = math.log(self.c.lam) / self.c.iterate
        return start + k * decay if k is not None else (math.log(eps) - start) / decay

    def context(self, eps: float, horizon: int | None) -> int | None:
        """Return the least k for which the bound is at most eps; None if the bound is infinite."""
        r = self.c.iterate
        blockwise = Contraction.assumed(self.c.lam, self.c.norm)
        lengths = []
        for rest, growth in enumerate(self.growths):
            factor = product_up(self.lipschitz, growth)
            if math.isfinite(product_up(self.drive, factor)):
                # the history of at most horizon steps is only accounted for by the drive
                blocks = context_length(
                    blockwise,
                    eps=eps,
                    drive=self.drive,
                    lipschitz=factor,
                    horizon=horizon if r == 1 else None,
                )
                lengths.append(blocks * r + rest)
            if math.isfinite(product_up(self.reach, factor)):
                blocks = context_length(blockwise, eps=eps, drive=self.reach, lipschitz=factor)
                lengths.append(blocks * r + rest)
        return min(lengths, default=None)


def price_of(
    recurrent: Map,
    c: Contraction,
    inputs: Inputs,
    head: LinearHead | None,
    norm: Norm,
    box: Domain | None = None,
) -> _Priced:
    """Return a certificate with its constants; the states are those of `box`, if there is one."""
    n, m = recurrent.state_dim, recurrent.input_dim
    if c.domain is not None and not inputs.within(c.domain.inputs, m):
        raise ValueError(
            f"the inputs are {inputs}, but the contraction holds on {c.domain} only; look for one "
            "with theory.contraction(map, inputs=...)"
        )
    lipschitz = over(norm, c.norm, n) if head is None else norm.matrix_upper(head.C, c.norm)
    reach = math.inf
    form = recurrent.affine_on(c.domain)
    if form is not None:
        # |h_t| <= range of rho entrywise, for t >= 1 and for h_0 = 0
        largest = max(abs(form.rho.range[0]), abs(form.rho.range[1]))
        if math.isfinite(largest):
            reach = c.drive_of_reach(np.full(n, largest))
    for states in (box, c.domain):
        if states is not None:
            reach = min(reach, c.drive_of_reach(states.reach))
    drive = float(recurrent.drive(c.norm, inputs))
    factors: tuple[float, ...] = (1.0,)
    if c.iterate > 1:
        growth = recurrent.state_lipschitz(c.norm, c.domain)
        W, slopes = (None, None) if form is None else (form.W, form.slopes)
        factors = growths(W, slopes, c.norm, c.iterate, math.inf if growth is None else growth)
        drive = product_up(drive, sum_up(factors))
    return _Priced(c=c, drive=drive, reach=reach, lipschitz=lipschitz, growths=factors)


def on_state(recurrent: Map, head: LinearHead | None) -> LinearHead | None:
    """Return a head on the whole state, from one on what the map shows of it."""
    if head is None or head.C.shape[1] == recurrent.state_dim:
        return head
    shown = recurrent.output_map
    if head.C.shape[1] != len(shown):
        raise ValueError(
            f"head has C of shape {head.C.shape}, needed (p, {recurrent.state_dim}) for the state "
            f"or (p, {len(shown)}) for what output_map shows of it"
        )
    # output_map selects entries, so the product is exact
    return LinearHead(head.C @ shown, head.d)


#: For each effort: rates tried between the sharpest and the Euclidean norm's, halvings around the
#: best of them, and the dimensions up to which norms are chosen by a search, and a dense one.
_FAMILY = ((0, 0, 0, 0), (3, 2, 256, 32), (8, 6, 256, 64))


def _family(
    recurrent: Map, found: dict[str, Contraction], effort: int, box: Domain | None
) -> tuple[str, Callable[[float], Contraction | None]] | None:
    """Return a name, and the contraction at a share in (0, 1) of the way to the Euclidean norm."""
    form = recurrent.affine_on(box)
    count, _, largest, dense = _FAMILY[effort]
    if form is None or count == 0 or not recurrent.state_dim <= largest:
        return None
    from theory.certify.trade import cheapest_at, end_of_trade

    names = ("lmi", "numerical_radius", "lyapunov")
    name = next((one for one in names if one in found and found[one].iterate == 1), None)
    if name is None:
        return None
    sharpest, end = found[name], end_of_trade(form)
    if not 0 < sharpest.lam < end:
        return None

    def at(share: float) -> Contraction | None:
        rate = sharpest.lam * (end / sharpest.lam) ** share
        return cheapest_at(form, sharpest, rate, dense=dense)

    return f"{name}, cheaper norm", at


def price_all(
    recurrent: Map,
    inputs: Inputs,
    states: Domain | None,
    head: LinearHead | None,
    norm: Norm | None,
    effort: int,
    measure: Callable[[_Priced], float],
) -> list[tuple[str, _Priced]]:
    """Return all certificates with their constants, after a search for a small `measure`."""
    target = L2() if norm is None else norm
    target.check_dim(recurrent.state_dim if head is None else len(head.C))
    where = narrowing(recurrent, states)
    found = tried(recurrent, effort, where)
    prices = [
        (name, price_of(recurrent, c, inputs, head, target, states)) for name, c in found.items()
    ]
    family = _family(recurrent, found, effort, where)
    if family is None:
        return prices
    name, at = family
    values: dict[float, float] = {0.0: math.inf, 1.0: math.inf}

    def try_share(root: float) -> None:
        c = at(root**2)
        values[root] = math.inf
        if c is not None:
            one = price_of(recurrent, c, inputs, head, target, states)
            prices.append((name, one))
            values[root] = measure(one)

    count, halvings, _, _ = _FAMILY[effort]
    # the square makes the grid denser near the sharpest rate, the best for small errors
    for j in range(1, count + 1):
        try_share(j / (count + 1))
    for _ in range(halvings):
        best = min(values, key=lambda root: values[root])
        if values[best] == math.inf:
            break
        before = max(root for root in values if root < best)
        after = min(root for root in values if root > best)
        try_share(0.5 * (before + best))
        try_share(0.5 * (best + after))
    return prices
