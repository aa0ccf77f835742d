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
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from theory.certificates import Contraction
from theory.certify.found import Certificates
from theory.domain import Domain
from theory.errors import as_vector, check_count, check_positive
from theory.inputs import Inputs, as_inputs
from theory.maps.base import Map, check_map
from theory.maps.head import LinearHead, as_head
from theory.maps.invariance import invariant_domain
from theory.memory.entrywise import check_stays, gap_after_step
from theory.memory.exact import ExactErrors, exact_errors_of
from theory.memory.linear import linear_form, push_of, stack_contraction
from theory.memory.moves import context_by_moves, errors_by_moves
from theory.memory.prices import (
    Priced,
    Supply,
    error_after,
    price_all,
    price_of,
    supply,
)
from theory.norms.norm import check_norm
from theory.norms.norms import L2, Norm
from theory.pictures import errors_against_k
from theory.shown import frame, shown
from theory.typing import Array


@shown
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
    recurrent: Map  # the map, started and restarted from zero
    states: Domain | None  # a domain that it does not leave from zero under these inputs
    head: LinearHead | None  # of the whole state; None: the error is that of the state
    norm: Norm  # of the error
    growths: tuple[float, ...] = (1.0,)  # Lipschitz constants of 0, 1, .., iterate - 1 steps
    lower: float = 0.0  # an error that some history of these inputs reaches at k; 0: none is known
    refuted: int | None = None  # a context at which some history errs by more than was allowed
    falls: bool = True  # whether the worst error is known not to grow with k

    @property
    def exact(self) -> bool:
        """Return whether no smaller context is enough, as some history of the inputs proves."""
        return self.k == 0 or (self.falls and self.refuted == self.k - 1)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready description."""
        return {
            "kind": "certified",
            "k": self.k,
            "error": self.error,
            "norm": self.norm.to_dict(),
            "certificate": self.contraction.to_dict(),
            "inputs": str(self.inputs),
            "exact": self.exact,
            "refuted": self.refuted,
            "considered": [list(one) for one in self.considered],
        }

    def to_frame(self) -> Any:
        """Return a pandas table of every certificate that was considered; extra: notebook."""
        names = ("method", "rate", "answer")
        columns = zip(*self.considered, strict=True) if self.considered else ((), (), ())
        return frame(dict(zip(names, map(list, columns), strict=True)))

    def plot(self, *, measured: Any = None) -> Any:
        """Return a picture of the proved error against the context, a matplotlib figure.

        Parameters
        ----------
        measured : (k_max + 1,) array, optional
            Errors as measured for k = 0, 1, .., such as `theory.truncation_gaps` returns; drawn
            beneath.

        Raises
        ------
        MissingExtraError
            If matplotlib is not installed.
        """
        last = max(10, math.ceil(1.25 * self.k))
        curves = [("certified bound", "certified", self.errors(last))]
        if measured is not None:
            curves.append(("measured", "measured", as_vector("measured", measured)[: last + 1]))
        what = f"error of the {'state' if self.head is None else 'output'} in {self.norm}"
        return errors_against_k(curves, ylabel=what, k=self.k, name="certified k")[0]

    def errors(self, k_max: int) -> Array:
        """Return the proved bounds of the error for k = 0 .. k_max, rounded upward.

        Parameters
        ----------
        k_max : int

        Returns
        -------
        (k_max + 1,) array
            For each k the least bound: of the contraction, entry by entry, length by length, or of
            the kernel.

        Raises
        ------
        ValueError
            If k_max is not a count.
        """
        check_count(k_max=k_max)
        curve = np.array(
            [
                error_after(
                    self.contraction,
                    k,
                    drive=self.drive,
                    lipschitz=self.lipschitz,
                    growths=self.growths,
                )
                for k in range(int(k_max) + 1)
            ]
        )
        moved = _moved_errors(self.recurrent, self.states, int(k_max), self.head, self.norm)
        exact = _exact_errors(self.recurrent, self.inputs, self.head, self.norm, None)
        curve = np.minimum(curve, size_of_box(self.states, self.head, self.norm))
        for other in (*moved.values(), None if exact is None else exact.upper(int(k_max))):
            curve = curve if other is None else np.minimum(curve, other)
        return np.asarray(curve)


def error_curve(
    recurrent: Map,
    c: Contraction,
    *,
    inputs: Inputs,
    head: Any = None,
    count: int = 100,
    step: int = 1,
    certificates: Certificates | None = None,
) -> tuple[list[int], list[float]]:
    """Return contexts 0, step, ... up to count and the bounds of the error (Euclidean).

    Parameters
    ----------
    recurrent : Map
    c : Contraction
    inputs : Inputs
    head : LinearHead, array, or output layer, optional
        As in `required_context`.
    count, step : int
    certificates : Certificates, optional
        What `theory.certify.find_certificates` found for these inputs, whose box is then used.

    Raises
    ------
    ValueError
        If the contraction does not hold for the inputs, or the certificates are not of this map and
        these inputs.
    """
    if certificates is None:
        states = invariant_domain(recurrent, inputs=inputs)
    else:
        states = supply(recurrent, inputs, 0, certificates).states
    output = None if head is None else as_head(recurrent, head)
    priced = price_of(recurrent, c, inputs, output, L2(), states)
    lengths = list(range(0, count + 1, step))
    return lengths, [priced.error(k) for k in lengths]


#: What `Choice.considered` calls the sum of the kernel of a linear map.
_KERNEL = "kernel"


def _exact_errors(
    recurrent: Map, inputs: Inputs, head: LinearHead | None, norm: Norm, horizon: int | None
) -> ExactErrors | None:
    """Return the errors from both sides of a linear map, or of a stack of them; else None."""
    form = linear_form(recurrent)
    push = None if form is None else push_of(inputs, recurrent.input_dim)
    if form is None or push is None:
        return None
    C = np.eye(recurrent.state_dim) if head is None else head.C
    return exact_errors_of(form, C, push, norm, horizon=horizon)


def _moved_errors(
    recurrent: Map, domain: Domain | None, k_max: int, head: LinearHead | None, norm: Norm
) -> dict[str, Array]:
    """Return the errors that matrices of a step prove for k = 0 .. k_max, by name.

    On a domain that the map does not leave; entry by entry, and length by length.
    """
    check_stays(recurrent, domain)
    return errors_by_moves(recurrent, domain, k_max, head, norm)


def size_of_box(domain: Domain | None, head: LinearHead | None, norm: Norm) -> float:
    """Return a bound of the difference of any two states of a box, through the head; else inf.

    Both models stay in it: an error of that size says nothing about memory.
    """
    if domain is None:
        return math.inf
    with np.errstate(over="ignore"):
        width = np.nextafter(domain.high - domain.low, math.inf)
    return norm.majorant(width if head is None else gap_after_step((np.abs(head.C),), width))


def required_context(
    recurrent: Map,
    eps: float,
    *,
    inputs: Any,
    head: Any = None,
    norm: Norm | None = None,
    horizon: int | None = None,
    effort: int = 1,
    certificates: Mapping[str, Contraction] | Certificates | None = None,
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
    certificates : dict of contractions by name, or Certificates, optional
        What was found before (by `theory.certify.contractions` or
        `theory.certify.find_certificates`), used instead of a search; each has to hold for the
        inputs.  That they are contractions of this map is taken on their word; `Choice.considered`
        says which are assumed.  From one by the matrix inequality cheaper norms are still looked
        for, unless the effort is 0.

    Returns
    -------
    Choice or None
        None if no certificate was found or given, or, with a horizon, none that proves a context
        below it.

    Notes
    -----
    A map that has no certificate everywhere, such as an `LSTM`, is looked at on the box that it
    never leaves under such inputs, and there also entry by entry, by powers of its comparison
    matrix (`theory.memory.componentwise_gap`), which needs no conversion of norms.

    Of a linear map, or a stack of linear ones, the worst error over all histories is known from
    both sides, as in `worst_case_error`.  For inputs in a box or a ball, and one output, the
    maximum norm, or one state, k is then the least that is enough: `Choice.exact` says so, and
    `Choice.refuted` is a context at which some history errs by more than eps.  With a bias, or a
    box that is not symmetric, the worst error of several states may grow with k where a drift
    cancels: k - 1 is refuted then, but a smaller context may be enough, and `exact` is false.  In
    the Euclidean norm of several outputs k is near to it (`theory.memory.euclid`).

    Raises
    ------
    ValueError
        If eps is not positive, the inputs are a plain number, a norm or count does not fit, or a
        given certificate does not hold for the inputs or is one of another dimension.

    Examples
    --------
    >>> from theory import Inputs, VanillaRNN
    >>> mone = VanillaRNN([[0.9, -1.0], [0.5, -0.9]], [[1.0], [1.0]])
    >>> choice = required_context(mone, eps=1e-3, inputs=Inputs.ball(1))
    >>> choice.contraction.evidence.method, choice.error <= 1e-3
    ('incremental LMI', True)
    >>> from theory import LinearMap
    >>> leaky = LinearMap([[0.9]], [[0.1]])
    >>> choice = required_context(leaky, eps=1e-3, inputs=Inputs.box(-1, 1))
    >>> choice.k, choice.exact, 0.9**66 <= 1e-3 < 0.9**65
    (66, True, True)
    """
    check_map(recurrent)
    check_positive(eps=eps)
    given = as_inputs(inputs, recurrent.input_dim)
    output = None if head is None else as_head(recurrent, head)
    measure = L2() if norm is None else check_norm(norm)
    if horizon is not None:
        check_count(horizon=horizon)
    known = supply(recurrent, given, effort, certificates)
    exact = _exact_errors(recurrent, given, output, measure, horizon)
    known = _with_kernel(known, recurrent, exact)
    answers = [
        (k, one.c.lam, name, one)
        for name, one in price_all(
            recurrent,
            given,
            known,
            output,
            measure,
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
    check_stays(recurrent, known.states)
    moved = context_by_moves(recurrent, known.states, float(eps), output, measure)
    least = None if exact is None else exact.least(float(eps))
    for name, enough, proved in moved:
        considered = (*considered, (name, best.c.lam, float(enough)))
        k, error = min((k, error), (enough, proved))
    if exact is not None and least is not None:
        considered = (*considered, (_KERNEL, exact.rate, float(least.k)))
        k, error = min((k, error), (least.k, least.error))
    if horizon is not None:
        # with as many inputs as the longest sequence has, the model is the recurrent one
        considered = tuple(one for one in considered if one[2] < horizon)
        if not k < horizon:
            return None
    return Choice(
        k=k,
        error=error,
        considered=considered,
        refuted=None if least is None else least.refuted,
        falls=least is None or least.falls,
        lower=0.0 if exact is None else exact.at(k)[0],
        **_basis(best, recurrent, given, known, output, measure),
    )


def smallest_error(
    recurrent: Map,
    k: int,
    *,
    inputs: Any,
    head: Any = None,
    norm: Norm | None = None,
    effort: int = 1,
    certificates: Mapping[str, Contraction] | Certificates | None = None,
) -> Choice | None:
    r"""Return the least error that some certificate proves for a context of k steps.

    Parameters
    ----------
    recurrent : Map
    k : int
        Number of inputs that the truncated model sees.
    inputs, head, norm, effort, certificates
        As in `required_context`.

    Returns
    -------
    Choice or None
        None if no certificate was found or given, or none that proves less than the size of the
        box in which the states of both models are anyway.

    Raises
    ------
    ValueError
        If k is not a count, the inputs are a plain number, a norm does not fit, or a given
        certificate does not hold for the inputs or is one of another dimension.
    """
    check_map(recurrent)
    check_count(k=k)
    given = as_inputs(inputs, recurrent.input_dim)
    output = None if head is None else as_head(recurrent, head)
    measure = L2() if norm is None else check_norm(norm)
    known = supply(recurrent, given, effort, certificates)
    exact = _exact_errors(recurrent, given, output, measure, None)
    known = _with_kernel(known, recurrent, exact)
    answers = [
        (one.error(int(k)), one.c.lam, name, one)
        for name, one in price_all(
            recurrent, given, known, output, measure, effort, lambda one: one.measure(int(k), 1.0)
        )
    ]
    if not answers:
        return None
    error, _, _, best = min(answers, key=lambda answer: answer[:2])
    considered = tuple((name, lam, error) for error, lam, name, _ in answers)
    for name, errors in _moved_errors(recurrent, known.states, int(k), output, measure).items():
        considered = (*considered, (name, best.c.lam, float(errors[int(k)])))
        error = min(error, float(errors[int(k)]))
    lower = 0.0
    if exact is not None:
        lower, upper = exact.at(int(k))
        considered = (*considered, (_KERNEL, exact.rate, upper))
        error = min(error, upper)
    if not error < size_of_box(known.states, output, measure):
        return None
    return Choice(
        k=int(k),
        error=error,
        considered=considered,
        lower=lower,
        **_basis(best, recurrent, given, known, output, measure),
    )


def _with_kernel(known: Supply, recurrent: Map, exact: ExactErrors | None) -> Supply:
    """Return the certificates, with one of a linear stack of which none was found."""
    if known.found or exact is None:
        return known
    form = linear_form(recurrent)
    c = None if form is None else stack_contraction(form)
    return known if c is None else replace(known, found={_KERNEL: c}, sharp={})


def _basis(
    best: Priced,
    recurrent: Map,
    inputs: Inputs,
    known: Supply,
    head: LinearHead | None,
    norm: Norm,
) -> dict[str, Any]:
    """Return what an answer rests on."""
    return {
        "contraction": best.c,
        "drive": best.best,
        "lipschitz": best.lipschitz,
        "inputs": inputs,
        "recurrent": recurrent,
        "states": known.states,
        "head": head,
        "norm": norm,
        "growths": best.growths,
    }
