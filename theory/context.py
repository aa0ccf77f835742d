r"""Choose the certificate for the question: the least context for eps, or the least error for k.

Main names: `required_context`, `smallest_error`, `Choice`, `error_curve`.

A smaller rate may come with a norm that is dearer to convert: with lam the rate and K the constant
of the norm, the error after k steps is about K lam**k.  Every certificate at hand is tried, among
them some with a larger rate and a smaller constant, and the one that answers best is kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np

from theory.certificates import Contraction
from theory.certify import tried
from theory.domain import Domain
from theory.errors import check_count, check_nonnegative, check_positive
from theory.maps.base import Map
from theory.norms import L2, Norm, over
from theory.rounding import evaluate, product_up, up
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
    drive: float  # bound of |step(0, x)| in its norm, or (1 - lam) times a bound of |h|
    lipschitz: float  # from its norm to that of the error
    considered: tuple[tuple[str, float, float], ...]  # method, rate and answer of every certificate


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Priced:
    """A certificate with its constants."""

    c: Contraction
    drive: float
    reach: float  # (1 - lam) times a bound of |h| from the range of the activation, or inf
    lipschitz: float

    @property
    def best(self) -> float:
        """Return the smaller of the two, both of which make drive lam**k / (1 - lam) a bound."""
        return min(self.drive, self.reach)

    def error(self, k: int) -> float:
        """Return the bound of the error at k, for every length of history."""
        return evaluate(output_gap, lam=self.c.lam, k=k, drive=self.best, lipschitz=self.lipschitz)

    def context(self, eps: float, horizon: int | None) -> int:
        """Return the least k for which the bound is at most eps."""
        k = context_length(
            self.c, eps=eps, drive=self.drive, lipschitz=self.lipschitz, horizon=horizon
        )
        if self.reach < math.inf:
            # the history of at most horizon steps is only accounted for by the drive
            k = min(k, context_length(self.c, eps=eps, drive=self.reach, lipschitz=self.lipschitz))
        return k if horizon is None else min(k, horizon)


def _price(
    recurrent: Map, c: Contraction, input_bound: float, head: LinearHead | None, norm: Norm
) -> _Priced:
    n, m = recurrent.state_dim, recurrent.input_dim
    bound = product_up(over(c.norm.companion, L2(), m), input_bound)
    lipschitz = over(norm, c.norm, n) if head is None else norm.matrix_upper(head.C, c.norm)
    reach = math.inf
    form = recurrent.affine()
    if form is not None:
        # |h_t| <= range of rho entrywise, for t >= 1 and for h_0 = 0; the gap is at most
        # lam**k |h_{t-k}|, which is drive lam**k / (1 - lam) for drive = (1 - lam) |h_{t-k}|
        largest = max(abs(form.rho.range[0]), abs(form.rho.range[1]))
        if math.isfinite(largest):
            reach = product_up(up(1.0 - c.lam), c.norm.majorant(np.full(n, largest)))
    if c.domain is not None:
        reach = min(reach, product_up(up(1.0 - c.lam), c.norm.majorant(c.domain.reach)))
    return _Priced(
        c=c,
        drive=recurrent.drive(c.norm, input_bound=bound),
        reach=reach,
        lipschitz=lipschitz,
    )


def _domain(recurrent: Map, input_bound: float) -> Domain | None:
    """Return where a map that has no certificate everywhere may have one."""
    if recurrent.affine() is not None:
        return None
    from theory.invariance import invariant_domain

    # |x_i| is at most the Euclidean norm
    return invariant_domain(recurrent, input_bound=input_bound)


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


def _certificates(
    recurrent: Map, effort: int, domain: Domain | None
) -> Iterator[tuple[str, Contraction]]:
    found = tried(recurrent, effort, domain)
    yield from found.items()
    form = recurrent.affine()
    if form is None or effort == 0 or recurrent.state_dim > 256:
        return
    from theory.search import trade_offs

    for name in ("lmi", "numerical_radius", "lyapunov"):
        if name in found:
            for c in trade_offs(form, found[name]):
                yield f"{name}, cheaper norm", c
            return


def _priced(
    recurrent: Map,
    input_bound: float,
    head: LinearHead | None,
    norm: Norm | None,
    effort: int,
    domain: Domain | None = None,
) -> list[tuple[str, _Priced]]:
    target = L2() if norm is None else norm
    target.check_dim(recurrent.state_dim if head is None else len(head.C))
    return [
        (name, _price(recurrent, c, float(input_bound), head, target))
        for name, c in _certificates(recurrent, effort, domain)
    ]


def error_curve(
    recurrent: Map, c: Contraction, input_bound: float, *, count: int = 100
) -> tuple[list[int], list[float]]:
    """Return context lengths and the bounds of the Euclidean state error that `c` gives there."""
    priced = _price(recurrent, c, input_bound, None, L2())
    lengths = list(range(count + 1))
    return lengths, [priced.error(k) for k in lengths]


#: What `Choice.considered` calls the bound by powers of the comparison matrix.
_ENTRYWISE = "comparison, entry by entry"


def _entrywise_error(
    recurrent: Map, domain: Domain | None, k: int, head: LinearHead | None, norm: Norm | None
) -> float | None:
    """Return the error that `componentwise_gap` proves; None where it does not apply."""
    from theory.comparison import advanced, componentwise_gap

    measure = L2() if norm is None else norm
    if domain is None or not measure.monotone or recurrent.comparison(domain) is None:
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
    input_bound: float,
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
    input_bound : float
        Bound of |x_t| in the Euclidean norm.
    head : LinearHead, optional
        Of the state, or of what `Map.output_map` shows of it (the h of an LSTM).
    norm : Norm, optional
        The norm of the error, `L2` by default.
    horizon : int, optional
        Longest sequence; every length by default.
    effort : int
        As for `theory.contraction`.

    Returns
    -------
    Choice or None
        None if no certificate was found.

    Notes
    -----
    A map that has no certificate everywhere, such as an `LSTM`, is looked at on the box that it
    never leaves under such inputs, and there also entry by entry, by powers of its comparison
    matrix (`theory.componentwise_gap`), which needs no conversion of norms.

    Raises
    ------
    ValueError
        If eps is not positive, a bound is negative, or a norm or count does not fit.

    Examples
    --------
    >>> from theory import VanillaRNN
    >>> mone = VanillaRNN([[0.9, -1.0], [0.5, -0.9]], [[1.0], [1.0]])
    >>> choice = required_context(mone, eps=1e-3, input_bound=1.0)
    >>> choice.contraction.evidence.method, choice.error <= 1e-3
    ('incremental LMI', True)
    """
    check_positive(eps=eps)
    check_nonnegative(input_bound=input_bound)
    head, domain = _on_state(recurrent, head), _domain(recurrent, input_bound)
    if horizon is not None:
        check_count(horizon=horizon)
    answers = [
        (one.context(float(eps), horizon), one.c.lam, name, one)
        for name, one in _priced(recurrent, input_bound, head, norm, effort, domain)
    ]
    if not answers:
        return None
    k, _, _, best = min(answers, key=lambda answer: answer[:2])
    error = best.error(k)
    considered = tuple((name, lam, float(k)) for k, lam, name, _ in answers)
    entries = _entrywise(recurrent, domain, float(eps), head, norm)
    if entries is not None:
        considered = (*considered, (_ENTRYWISE, best.c.lam, float(entries[0])))
        if entries[0] < k:
            k, error = entries
    return Choice(
        k=k,
        error=error,
        contraction=best.c,
        drive=best.best,
        lipschitz=best.lipschitz,
        considered=considered,
    )


def smallest_error(
    recurrent: Map,
    k: int,
    input_bound: float,
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
    input_bound, head, norm, effort
        As in `required_context`.

    Returns
    -------
    Choice or None
        None if no certificate was found.

    Raises
    ------
    ValueError
        If k is not a count, a bound is negative, or a norm does not fit.
    """
    check_count(k=k)
    check_nonnegative(input_bound=input_bound)
    head, domain = _on_state(recurrent, head), _domain(recurrent, input_bound)
    answers = [
        (one.error(int(k)), one.c.lam, name, one)
        for name, one in _priced(recurrent, input_bound, head, norm, effort, domain)
    ]
    if not answers:
        return None
    error, _, _, best = min(answers, key=lambda answer: answer[:2])
    considered = tuple((name, lam, error) for error, lam, name, _ in answers)
    entries = _entrywise_error(recurrent, domain, int(k), head, norm)
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
    )
