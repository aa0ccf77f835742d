"""Certificates with their constants: what each would cost for a given question."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from theory.arithmetic.rounding import evaluate, product_up, sum_up
from theory.certificates import Contraction, check_contraction_given
from theory.certify.found import Certificates
from theory.certify.interface import narrowing, reached_at
from theory.certify.layers import certify_layers
from theory.certify.methods import check_effort, run_methods
from theory.domain import Domain
from theory.inputs import Inputs
from theory.maps.base import Map
from theory.maps.cascade import Cascade
from theory.maps.head import LinearHead
from theory.maps.invariance import invariant_domain
from theory.maps.reached import kept_domain
from theory.norms.norms import Norm, over
from theory.norms.products import growths
from theory.theorems.context_length import context_length
from theory.theorems.output_gap import formula as output_gap


def error_after(
    c: Contraction, k: int, *, drive: float, lipschitz: float, growths: tuple[float, ...]
) -> float:
    """Return the bound of the error at k from a certificate's constants, rounded upward."""
    blocks, rest = divmod(k, c.iterate)
    factor = product_up(lipschitz, growths[rest])
    return evaluate(output_gap, lam=c.lam, k=blocks, drive=drive, lipschitz=factor)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Priced:
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
        return error_after(
            self.c, k, drive=self.best, lipschitz=self.lipschitz, growths=self.growths
        )

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
) -> Priced:
    """Return a certificate with its constants; the states are those of `box`, if there is one."""
    n, m = recurrent.state_dim, recurrent.input_dim
    if c.domain is not None and not inputs.within(c.domain.inputs, m):
        raise ValueError(
            f"the inputs are {inputs}, but the contraction holds on {c.domain} only; look for one "
            "with theory.contraction(map, inputs=...)"
        )
    lipschitz = over(norm, c.norm, n=n) if head is None else norm.matrix_upper(head.C, c.norm)
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
        one, known = math.inf if growth is None else growth, c.evidence.growth
        factors = growths(W, slopes, c.norm, c.iterate, one, known)
        drive = product_up(drive, sum_up(factors))
    return Priced(c=c, drive=drive, reach=reach, lipschitz=lipschitz, growths=factors)


#: For each effort: rates tried between the sharpest and the Euclidean norm's, halvings around the
#: best of them, and the dimensions up to which norms are chosen by a search, and a dense one.
_FAMILY = ((0, 0, 0, 0), (3, 2, 256, 32), (8, 6, 256, 64))


def _family(
    recurrent: Map, found: dict[str, Contraction], effort: int, box: Domain | None
) -> tuple[str, Callable[[float], Contraction | None]] | None:
    """Return a name, and the contraction at a share in (0, 1) of the way to the Euclidean norm."""
    count, _, largest, dense = _FAMILY[effort]
    if isinstance(recurrent, Cascade) and "layers" in found and count > 0:
        stacked = found["layers"]
        slowest = max(part.lam for part in stacked.evidence.parts)

        def slower(share: float) -> Contraction | None:
            # a larger rate comes with weights that are less unequal
            rate = slowest + (1 - slowest) * share
            if not slowest < rate < 1:
                return None
            return certify_layers(recurrent, stacked.evidence.parts, stacked.domain, rate=rate)

        return "layers, cheaper norm", slower
    form = recurrent.affine_on(box)
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


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Supply:
    """The box of states and the certificates that answers are made of."""

    states: Domain | None  # a box that the map never leaves under the inputs in question, or what
    # is known to be reached from zero
    where: Domain | None  # the same, None where it makes no slope notably narrower
    found: dict[str, Contraction]  # each holds for the inputs in question
    sharp: dict[str, Contraction]  # of these, by the method's name, where trade-offs begin


def supply(
    recurrent: Map,
    inputs: Inputs,
    effort: int,
    certificates: Mapping[str, Contraction] | Certificates | None,
) -> Supply:
    """Return the box and the certificates: those that are given, or what a search finds.

    Raises
    ------
    ValueError
        If they were found for another map or fewer inputs, or one of them is none of this map's
        dimensions or does not hold for the inputs.
    """
    check_effort(effort)
    if isinstance(certificates, Certificates):
        if certificates.recurrent is not recurrent:
            raise ValueError(
                f"the certificates are those of {certificates.recurrent!r}, needed those of this "
                f"map, {recurrent!r}; theory.certify.find_certificates(map, inputs) finds them"
            )
        if not inputs.within(certificates.inputs, recurrent.input_dim):
            raise ValueError(
                f"the certificates were found for {certificates.inputs}, but the inputs are "
                f"{inputs}, needed certificates for these; "
                "theory.certify.find_certificates(map, inputs) finds them"
            )
        # several steps together are dear to price, and worth it where there is no single one
        single = {name: c for name, c in certificates.named.items() if c.iterate == 1}
        states = certificates.states or certificates.reached
        return Supply(
            states=states or kept_domain(recurrent, inputs=inputs),
            where=certificates.where,
            found=single or certificates.named,
            sharp=certificates.everywhere if certificates.where is None else certificates.local,
        )
    states = invariant_domain(recurrent, inputs=inputs)
    where = narrowing(recurrent, states)
    if certificates is None:
        found = run_methods(recurrent, effort, where)
        # both models start at zero: what is reached from there is enough
        if found and states is None:
            reached = kept_domain(recurrent, inputs=inputs)
        else:
            reached = reached_at(recurrent, inputs, effort, states, known=bool(found))
        more = {} if reached is None else run_methods(recurrent, effort, reached)
        named = {f"{name}, from zero": c for name, c in more.items()}
        # what certifies from zero alone is where the trade-offs begin, if nothing else does
        where, sharp = (where, found) if found else (reached, more)
        return Supply(states=states or reached, where=where, found={**found, **named}, sharp=sharp)
    if not isinstance(certificates, Mapping):
        raise ValueError(
            f"certificates={certificates!r}, needed contractions by name, such as those of "
            "theory.certify.contractions(map, inputs=...)"
        )
    found = dict(certificates)
    for name, c in found.items():
        _check_usable(name, c, recurrent, inputs)
    named = {
        f"{name} (assumed)" if c.evidence.kind == "assumed" else name: c
        for name, c in found.items()
    }
    return Supply(states=states, where=where, found=named, sharp=found)


def _check_usable(name: str, c: Contraction, recurrent: Map, inputs: Inputs) -> None:
    """Raise unless a given contraction fits the map's dimensions and holds for the inputs."""
    check_contraction_given(c)
    n, m = recurrent.state_dim, recurrent.input_dim
    c.norm.check_dim(n)
    if c.domain is None:
        return
    if (c.domain.state_dim, c.domain.input_dim) != (n, m):
        raise ValueError(
            f"certificates[{name!r}] holds on a domain of {c.domain.state_dim} states and "
            f"{c.domain.input_dim} inputs, needed {n} and {m}; is it one of another map?"
        )
    if not inputs.within(c.domain.inputs, m):
        raise ValueError(
            f"certificates[{name!r}] holds on {c.domain} only, but the inputs are {inputs}, needed "
            "inputs in its domain; leave it out, or take those of "
            "theory.certify.contractions(map, inputs=...) for these inputs"
        )


def price_all(
    recurrent: Map,
    inputs: Inputs,
    given: Supply,
    head: LinearHead | None,
    norm: Norm,
    effort: int,
    measure: Callable[[Priced], float],
) -> list[tuple[str, Priced]]:
    """Return all certificates with their constants, after a search for a small `measure`."""
    norm.check_dim(recurrent.state_dim if head is None else len(head.C))
    states = given.states
    prices = [
        (name, price_of(recurrent, c, inputs, head, norm, states))
        for name, c in given.found.items()
    ]
    family = _family(recurrent, given.sharp, effort, given.where)
    if family is None:
        return prices
    name, at = family
    values: dict[float, float] = {0.0: math.inf, 1.0: math.inf}

    def try_share(root: float) -> None:
        c = at(root**2)
        values[root] = math.inf
        if c is not None:
            one = price_of(recurrent, c, inputs, head, norm, states)
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
