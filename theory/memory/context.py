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

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.certificates import Contraction
from theory.domain import Domain
from theory.errors import check_count, check_positive
from theory.inputs import Inputs, as_inputs
from theory.maps.base import Map
from theory.maps.head import LinearHead
from theory.maps.invariance import invariant_domain
from theory.memory.entrywise import advanced, componentwise_context, componentwise_gap
from theory.memory.prices import on_state, price_all, price_of
from theory.norms.norms import L2, Norm


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


def error_curve(
    recurrent: Map, c: Contraction, inputs: Inputs, *, count: int = 100, step: int = 1
) -> tuple[list[int], list[float]]:
    """Return contexts 0, step, ... up to count and the bounds of the state error (Euclidean)."""
    states = invariant_domain(recurrent, inputs=inputs)
    priced = price_of(recurrent, c, inputs, None, L2(), states)
    lengths = list(range(0, count + 1, step))
    return lengths, [priced.error(k) for k in lengths]


#: What `Choice.considered` calls the bound by powers of the comparison matrix.
_ENTRYWISE = "comparison, entry by entry"


def _entrywise_error(
    recurrent: Map, domain: Domain | None, k: int, head: LinearHead | None, norm: Norm | None
) -> float | None:
    """Return the error that `componentwise_gap` proves; None where it does not apply."""
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
    head, states = on_state(recurrent, head), invariant_domain(recurrent, inputs=given)
    if horizon is not None:
        check_count(horizon=horizon)
    answers = [
        (k, one.c.lam, name, one)
        for name, one in price_all(
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
    head, states = on_state(recurrent, head), invariant_domain(recurrent, inputs=given)
    answers = [
        (one.error(int(k)), one.c.lam, name, one)
        for name, one in price_all(
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
