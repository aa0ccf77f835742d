r"""Choose the certificate for the question: the least context for eps, or the least error for k.

Main names: `required_context`, `smallest_error`, `Choice`, `error_curve`.

Inputs are bounded, so states stay in a box and slopes may be narrower than everywhere; certificates
on that box are taken where it helps, and ones of several steps together where there is no other.

A smaller rate may come with a norm that is dearer to convert: with lam the rate and K the constant
of the norm, the error after k steps is about K lam**k.  Every certificate at hand is tried; then,
between the sharpest rate and that of the Euclidean norm, rates are searched for the one whose
cheapest norm answers best.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.certificates import Contraction
from theory.certify import narrowing, tried
from theory.domain import Domain
from theory.errors import check_count, check_positive
from theory.inputs import Inputs, as_inputs
from theory.invariance import invariant_domain
from theory.maps.base import Map
from theory.norms import L2, Norm, over
from theory.products import growths
from theory.rounding import evaluate, product_up, sum_up, up
from theory.theorems.context_length import context_length
from theory.theorems.output_gap import formula as output_gap
from theory.truncation import LinearHead


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """The certificate that answers best, with what it was asked with."""

    k: int  # k, the context
    error: float  # bound of the error at k, rounded outward
    contraction: Contraction  # the certificate behind it
    drive: float  # in its norm: bound of what the steps of the certificate make of 0, or (1 - lam)
    # times a bound of |h|; the error is lipschitz drive lam**(k / iterate) / (1 - lam)
    lipschitz: float  # from its norm to that of the error
    considered: tuple[tuple[str, float, float], ...]  # method, rate and answer of every certificate
    inputs: Inputs  # for which it holds


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


def _price(
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
    # the gap is at most lam**k |h_{t-k}|, which is drive lam**k / (1 - lam) for
    # drive = (1 - lam) |h_{t-k}|
    less = up(1.0 - c.lam)
    if form is not None:
        # |h_t| <= range of rho entrywise, for t >= 1 and for h_0 = 0
        largest = max(abs(form.rho.range[0]), abs(form.rho.range[1]))
        if math.isfinite(largest):
            reach = product_up(less, c.norm.majorant(np.full(n, largest)))
    for states in (box, c.domain):
        if states is not None:
            reach = min(reach, product_up(less, c.norm.majorant(states.reach)))
    drive = float(recurrent.drive(c.norm, inputs))
    factors: tuple[float, ...] = (1.0,)
    if c.iterate > 1:
        growth = recurrent.state_lipschitz(c.norm, c.domain)
        W, slopes = (None, None) if form is None else (form.W, form.slopes)
        factors = growths(W, slopes, c.norm, c.iterate, math.inf if growth is None else growth)
        drive = product_up(drive, sum_up(factors))
    return _Priced(c=c, drive=drive, reach=reach, lipschitz=lipschitz, growths=factors)


def _on_state(recurrent: Map, head: LinearHead | None) -> LinearHead | None:
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
    from theory.search import cheapest_at, end_of_trade

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


def _priced(
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
        (name, _price(recurrent, c, inputs, head, target, states)) for name, c in found.items()
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
            one = _price(recurrent, c, inputs, head, target, states)
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


def error_curve(
    recurrent: Map, c: Contraction, inputs: Inputs, *, count: int = 100, step: int = 1
) -> tuple[list[int], list[float]]:
    """Return contexts 0, step, ... up to count and the bounds of the state error (Euclidean)."""
    states = invariant_domain(recurrent, inputs=inputs)
    priced = _price(recurrent, c, inputs, None, L2(), states)
    lengths = list(range(0, count + 1, step))
    return lengths, [priced.error(k) for k in lengths]


#: What `Choice.considered` calls the bound by powers of the comparison matrix.
_ENTRYWISE = "comparison, entry by entry"


def _entrywise_error(
    recurrent: Map, domain: Domain | None, k: int, head: LinearHead | None, norm: Norm | None
) -> float | None:
    """Return the error that `componentwise_gap` proves; None where it does not apply."""
    from theory.comparison import advanced, componentwise_gap

    measure = L2() if norm is None else norm
    # a map of the form rho(W h + U x + b) has its certificates everywhere
    if domain is None or recurrent.affine() is not None or not measure.monotone:
        return None
    if recurrent.comparison(domain) is None:
        return None
    gap = componentwise_gap(recurrent, domain, k=k)
    return measure.majorant(gap if head is None else advanced((np.abs(head.C),), gap))


def _entrywise(
    recurrent: Map, domain: Domain | None, eps: float, head: LinearHead | None, norm: Norm | None
) -> tuple[int, float] | None:
    """Return the least context by `componentwise_context`, and the error it proves there."""
    from theory.comparison import componentwise_context

    if domain is None or _entrywise_error(recurrent, domain, 0, head, norm) is None:
        return None
    k = componentwise_context(recurrent, domain, eps=eps, head=head, norm=norm)
    if k is None:
        return None
    error = _entrywise_error(recurrent, domain, k, head, norm)
    return None if error is None else (k, error)


def required_context(
    recurrent: Map,
    eps: float,
    inputs: Any,
    *,
    head: LinearHead | None = None,
    norm: Norm | None = None,
    horizon: int | None = None,
    effort: int = 1,
) -> Choice | None:
    r"""Return the least context that some certificate proves sufficient for an error of eps.

    Parameters
    ----------
    recurrent : Map
        Started, and restarted k steps back, from zero.
    eps : float
        Allowed error of the state, or of the output of `head`, in `norm`.
    inputs : Inputs, or (..., m) array
        The inputs in question.
    head : LinearHead, optional
        Of the state, or of what `Map.output_map` shows of it (the h of an LSTM).
    norm : Norm, optional
        The norm of the error, `L2` by default.
    horizon : int, optional
        Longest sequence; every length by default.  A context that is not below it is no answer:
        the truncated model then is the recurrent one, whatever it remembers.
    effort : int
        As for `theory.contraction`.

    Returns
    -------
    Choice or None
        None if no certificate was found, or, with a horizon, none that proves a context below it.

    Notes
    -----
    A map that has no certificate everywhere, such as an `LSTM`, is looked at on the box that it
    never leaves under such inputs, and there also entry by entry, by powers of its comparison
    matrix (`theory.componentwise_gap`), which needs no conversion of norms.

    Raises
    ------
    ValueError
        If eps is not positive, the inputs are a plain number, or a norm or count does not fit.

    Examples
    --------
    >>> from theory import Inputs, VanillaRNN
    >>> mone = VanillaRNN([[0.9, -1.0], [0.5, -0.9]], [[1.0], [1.0]])
    >>> choice = required_context(mone, eps=1e-3, inputs=Inputs.ball(1))
    >>> choice.contraction.evidence.method, choice.error <= 1e-3
    ('incremental LMI', True)
    """
    check_positive(eps=eps)
    given = as_inputs(inputs, recurrent.input_dim)
    head, states = _on_state(recurrent, head), invariant_domain(recurrent, inputs=given)
    if horizon is not None:
        check_count(horizon=horizon)
    answers = [
        (k, one.c.lam, name, one)
        for name, one in _priced(
            recurrent,
            given,
            states,
            head,
            norm,
            effort,
            lambda one: one.measure(None, float(eps)),
        )
        if (k := one.context(float(eps), horizon)) is not None
    ]
    if not answers:
        return None
    k, _, _, best = min(answers, key=lambda answer: answer[:2])
    error = best.error(k)
    considered = tuple((name, lam, float(k)) for k, lam, name, _ in answers)
    entries = _entrywise(recurrent, states, float(eps), head, norm)
    if entries is not None:
        considered = (*considered, (_ENTRYWISE, best.c.lam, float(entries[0])))
        if entries[0] < k:
            k, error = entries
    if horizon is not None:
        # with as many inputs as the longest sequence has, the model is the recurrent one
        considered = tuple(one for one in considered if one[2] < horizon)
        if not k < horizon:
            return None
    return Choice(
        k=k,
        error=error,
        contraction=best.c,
        drive=best.best,
        lipschitz=best.lipschitz,
        considered=considered,
        inputs=given,
    )


def smallest_error(
    recurrent: Map,
    k: int,
    inputs: Any,
    *,
    head: LinearHead | None = None,
    norm: Norm | None = None,
    effort: int = 1,
) -> Choice | None:
    r"""Return the least error that some certificate proves for a context of k steps.

    Parameters
    ----------
    recurrent : Map
    k : int
        Number of inputs that the truncated model sees.
    inputs, head, norm, effort
        As in `required_context`.

    Returns
    -------
    Choice or None
        None if no certificate was found.

    Raises
    ------
    ValueError
        If k is not a count, the inputs are a plain number, or a norm does not fit.
    """
    check_count(k=k)
    given = as_inputs(inputs, recurrent.input_dim)
    head, states = _on_state(recurrent, head), invariant_domain(recurrent, inputs=given)
    answers = [
        (one.error(int(k)), one.c.lam, name, one)
        for name, one in _priced(
            recurrent, given, states, head, norm, effort, lambda one: one.measure(int(k), 1.0)
        )
    ]
    if not answers:
        return None
    error, _, _, best = min(answers, key=lambda answer: answer[:2])
    considered = tuple((name, lam, error) for error, lam, name, _ in answers)
    entries = _entrywise_error(recurrent, states, int(k), head, norm)
    if entries is not None:
        considered = (*considered, (_ENTRYWISE, best.c.lam, entries))
        error = min(error, entries)
    return Choice(
        k=int(k),
        error=error,
        contraction=best.c,
        drive=best.best,
        lipschitz=best.lipschitz,
        considered=considered,
        inputs=given,
    )
