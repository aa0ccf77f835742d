r"""Truncation and arithmetic together: what a k-step model is worth where steps are rounded.

Main names: `step_error_upper`, `deployed_context`, `Deployment`.

A step computed in single or half precision, or stored in 8 bits, errs by delta; errors contract
like differences do, so that a computed model stays within delta / (1 - lam) of the exact one, and
the window of k inputs has an error of

    C lam**k / (1 - lam)  from what it forgets,  and  delta (1 - lam**k) / (1 - lam)  from rounding

(`theory.theorems.deployed_error`).  The second does not fall with k: no window is better than the
*floor*, and from some k on a longer one gains next to nothing.

The computed models have to stay where the certificate holds.  A box is looked for that they keep:
one whose image, moved by the error of a step on it, lies inside; the certificates are those there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from theory.arithmetic.formats import Arithmetic, arithmetic
from theory.arithmetic.rounded import MixedArithmeticError, Rounded
from theory.arithmetic.rounding import evaluate, product_up, up
from theory.certificates import Contraction
from theory.certify.interface import narrowing
from theory.certify.methods import check_effort, run_methods
from theory.domain import Domain
from theory.errors import check_count, check_nonnegative, check_positive
from theory.inputs import Inputs, as_inputs
from theory.maps.base import Map, check_map
from theory.maps.head import as_head
from theory.maps.invariance import invariant_domain
from theory.memory.prices import Priced, price_of
from theory.norms.norm import check_norm
from theory.norms.norms import L2, Linf, Norm, over
from theory.shown import shown
from theory.theorems.deployed_error import ever
from theory.theorems.state_gap import formula as state_gap
from theory.typing import Array

#: How often a box is widened until the computed models keep it; each costs a step on 2 n states.
_WIDENINGS = 60

#: A ball is taken wider by this part of itself, so that rounding does not leave it.
_ROOM = 2.0**-30

#: The longest window that is looked for.
_LONGEST = 2**40


def _entry_errors(recurrent: Map, how: Arithmetic, domain: Domain) -> Array:
    """Bound the error of a step on a box, entrywise; infinite where nothing bounds it."""
    reach = np.maximum(np.abs(domain.input_low), np.abs(domain.input_high))
    if not np.isfinite(reach).all():
        raise ValueError(
            f"the inputs are {domain.inputs}, needed bounded ones: sums of larger numbers are "
            "rounded more coarsely"
        )
    h = Rounded.exact(domain.reach, how)
    try:
        new = recurrent.rounded_step(h, h.stored(reach))
    except MixedArithmeticError:
        raise _in_double_only(recurrent) from None
    if new.arithmetic != how:
        raise _in_double_only(recurrent)
    s = how.state_scale
    if s is None:
        return new.error
    # s q with an integer |q| <= 127: nearest, or the largest one; the product is rounded once more
    beyond = np.nextafter(new.size - 127 * s * (1 - 2 * how.unit), math.inf)
    stored = np.maximum(s / 2, beyond) + how.unit * (new.size + s) + how.tiny
    return np.asarray((new.error + stored) * (1 + 8 * how.unit))


def _in_double_only(recurrent: Map) -> ValueError:
    return ValueError(
        f"the error of a step of {recurrent!r} is known in double precision only; pass "
        "step_error= with a bound of your own, where there is one"
    )


def _refusal(recurrent: Map, how: Arithmetic) -> ValueError:
    return ValueError(
        f"no bound of the error of a step of {recurrent!r} in {how.name} is finite: numbers may "
        f"exceed {how.largest:.6g}, or a sum of products has no digits left; take sums='float32', "
        "or scale inputs or weights down"
    )


def step_error_upper(
    recurrent: Map,
    how: str | Arithmetic,
    *,
    domain: Domain,
    norm: Norm | None = None,
) -> float:
    r"""Bound how far a step that is computed in another arithmetic is from the exact one.

    Parameters
    ----------
    recurrent : Map
        Its weights are the exact ones.
    how : str or Arithmetic
        ``float32``, ``float16`` or ``bfloat16``, or what `theory.memory.arithmetic` makes of more.
    domain : Domain
        A box of the states before the step, which are numbers of the format, and of the inputs.
    norm : Norm, optional
        Of the error, `L2` by default.

    Returns
    -------
    float
        For the operations of `Map.step` as they are written, sums in any order; rounded outward.

    Raises
    ------
    ValueError
        If nothing bounds the error, the inputs of the domain are unbounded, or it does not fit.

    Examples
    --------
    >>> from theory import Domain, VanillaRNN
    >>> cell = VanillaRNN([[0.5]], [[1.0]])
    >>> box = Domain(low=[-1.0], high=[1.0], input_low=[-1.0], input_high=[1.0])
    >>> round(step_error_upper(cell, "float32", domain=box) / 2.0**-24, 1)
    15.0
    """
    check_map(recurrent)
    measure = L2() if norm is None else check_norm(norm)
    measure.check_dim(recurrent.state_dim)
    sizes = (recurrent.state_dim, recurrent.input_dim)
    given: Any = domain
    if not isinstance(given, Domain) or (given.state_dim, given.input_dim) != sizes:
        raise ValueError(
            f"domain={domain!r}, needed a theory.Domain of {recurrent.state_dim} states and "
            f"{recurrent.input_dim} inputs"
        )
    which = arithmetic(how)
    errors = _entry_errors(recurrent, which, domain)
    if not np.isfinite(errors).all():
        raise _refusal(recurrent, which)
    return measure.majorant(errors)


@final
@dataclass(frozen=True, eq=False)
class _Rounding:
    """What is known of the errors of computed steps of a map."""

    recurrent: Map
    how: Arithmetic
    given: float | None  # a bound of every entry, from outside

    def entries(self, box: Domain) -> Array:
        """Bound the error of a step on a box, entrywise."""
        if self.given is not None:
            return np.full(self.recurrent.state_dim, float(self.given))
        return _entry_errors(self.recurrent, self.how, box)

    def kept(self, states: Domain) -> Domain | None:
        """Return a box around another that computed steps are proved to keep, or None."""
        wide = np.zeros(self.recurrent.state_dim)
        for _ in range(_WIDENINGS):
            box = _widened(states, wide)
            image, errors = self.recurrent.image(box), self.entries(box)
            if image is None or not np.isfinite(errors).all():
                return None
            low = np.nextafter(image[0] - errors, -math.inf)
            high = np.nextafter(image[1] + errors, math.inf)
            if bool(np.all(box.low <= low) and np.all(high <= box.high)):
                return box
            wide = 2 * np.maximum(wide, np.maximum(states.low - low, high - states.high))
        return None

    def in_norm(self, c: Contraction, drive: float, kept: Domain | None, inputs: Inputs) -> float:
        r"""Bound the error of a step in the norm of a contraction; infinite if nothing does.

        Without a box, states are within (C + delta) / (1 - lam) of 0, where delta is the error of
        a step on the box around that ball.
        """
        if kept is not None or c.domain is not None:
            return math.inf if kept is None else c.norm.majorant(self.entries(kept))
        n, m = self.recurrent.state_dim, self.recurrent.input_dim
        low, high = inputs.ends(m)
        spread, delta = over(Linf(), c.norm, n=n), 0.0
        for _ in range(_WIDENINGS):
            radius = product_up(spread, up(up(drive + delta) / (1.0 - c.lam) * (1 + _ROOM)))
            if not math.isfinite(radius):
                break
            ball = np.full(n, radius)
            found = c.norm.majorant(
                self.entries(Domain(low=-ball, high=ball, input_low=low, input_high=high))
            )
            if found <= delta:
                return found
            delta = 2 * found
        return math.inf


def _widened(states: Domain, wide: Array) -> Domain:
    return Domain(
        low=states.low - wide,
        high=states.high + wide,
        input_low=states.input_low,
        input_high=states.input_high,
    )


@final
@shown
@dataclass(frozen=True, kw_only=True, eq=False)
class Deployment:
    """What windows are worth in an arithmetic, by the certificate that answers best."""

    k: int | None  # the least window with a proved error of at most eps; None: there is none
    error: float  # bound of its error, rounded outward; of the floor if k is None
    floor: float  # what arithmetic alone may cost in windows of any length
    enough: int | None  # the least window that forgets no more than the floor; None if no window
    step_error: float  # delta, of a step of the k-step model, in the norm of the contraction
    run_error: float  # that of the recurrent model, 0 for exact arithmetic
    contraction: Contraction  # the certificate behind it
    drive: float  # in its norm
    lipschitz: float  # from its norm to that of the error
    states: Domain | None  # a box that the computed models never leave, where one was needed
    arithmetic: Arithmetic

    def errors(self, k_max: int) -> Array:
        """Return the proved bounds of the error for k = 0 .. k_max, rounded upward.

        Parameters
        ----------
        k_max : int

        Returns
        -------
        (k_max + 1,) array

        Raises
        ------
        ValueError
            If k_max is not a count.
        """
        check_count(k_max=k_max)
        return np.array([self.bound(k) for k in range(int(k_max) + 1)])

    def bound(self, k: int) -> float:
        """Return the proved bound of the error of a window of k inputs, rounded upward."""
        bound = evaluate(
            ever,
            lam=self.contraction.lam,
            k=k,
            drive=self.drive,
            step_error=self.step_error,
            run_error=self.run_error,
        )
        return product_up(self.lipschitz, bound)

    def __str__(self) -> str:
        what = f"{self.arithmetic.name}, steps within {self.step_error:.3g}"
        if self.enough is None:
            more = f"truncation costs more than rounding, at most {self.floor:.3g}, at every length"
        else:
            more = (
                f"from k={self.enough} on rounding, at most {self.floor:.3g}, costs more than "
                "truncation"
            )
        if self.k is None:
            return f"no window is proved to be enough in {what}: {more}"
        return f"k={self.k} has an error of at most {self.error:.3g} in {what}; {more}"


def _least(good: Callable[[int], bool]) -> int | None:
    """Return the least k from which a condition holds on, by doubling and halving."""
    if good(0):
        return 0
    high = 1
    while not good(high):
        high *= 2
        if not high <= _LONGEST:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if good(middle) else (middle, high)
    return high


def deployed_context(
    recurrent: Map,
    eps: float,
    *,
    inputs: Any,
    how: str | Arithmetic = "float32",
    step_error: float | None = None,
    exact_run: bool = True,
    head: Any = None,
    norm: Norm | None = None,
    effort: int = 1,
) -> Deployment | None:
    r"""Return the least window whose computed k-step model is proved to be within eps.

    Parameters
    ----------
    recurrent : Map
        Started, and restarted k steps back, from zero.
    eps : float
        Allowed error of the state, or of the output of `head`, in `norm`.
    inputs : Inputs, or (..., m) array
        The inputs in question, bounded.
    how : str or Arithmetic
        The arithmetic of the k-step model, as in `step_error_upper`.
    step_error : float, optional
        A bound of the error of every entry of a step, where the arithmetic is another one; then
        `how` is its name only.
    exact_run : bool
        Whether the recurrent model that it is compared with is the exact one (default), or one
        computed in the same arithmetic too, as in step by step against window by window.
    head, norm, effort
        As in `required_context`; the head is exact.

    Returns
    -------
    Deployment or None
        None if no contraction of one step is certified on states that the computed models keep.

    Raises
    ------
    ValueError
        If eps is not positive, inputs are not bounded, or nothing bounds the error of a step.

    Examples
    --------
    >>> from theory import Inputs, VanillaRNN
    >>> cell = VanillaRNN([[0.5]], [[1.0]])
    >>> single = deployed_context(cell, 1e-3, inputs=Inputs.box(-1, 1))
    >>> half = deployed_context(cell, 1e-3, inputs=Inputs.box(-1, 1), how="float16")
    >>> single.k, single.error <= 1e-3, half.k is None, half.floor > 1e-3
    (10, True, True, True)
    """
    check_map(recurrent)
    check_positive(eps=eps)
    check_effort(effort)
    if step_error is not None:
        check_nonnegative(step_error=step_error)
    given, which = as_inputs(inputs, recurrent.input_dim), arithmetic(how)
    measure = L2() if norm is None else check_norm(norm)
    output = None if head is None else as_head(recurrent, head)
    measure.check_dim(recurrent.state_dim if output is None else len(output.C))
    deployed = _Rounding(recurrent, which, step_error)
    states = invariant_domain(recurrent, inputs=given)
    kept = None if states is None else deployed.kept(states)
    answers = []
    for c in run_methods(recurrent, effort, narrowing(recurrent, kept), iterates=None).values():
        if c.iterate > 1:
            continue
        one = price_of(recurrent, c, given, output, measure, kept)
        delta = deployed.in_norm(c, one.drive, kept, given)
        if math.isfinite(one.best) and math.isfinite(delta):
            answers.append(_answer(one, delta, exact_run, kept, which, float(eps)))
    if not answers:
        if not np.isfinite(deployed.entries(states or _at_rest(recurrent, given))).all():
            raise _refusal(recurrent, which)
        return None
    return min(answers, key=lambda one: (one.k is None, one.k or 0, one.error))


def _at_rest(recurrent: Map, inputs: Inputs) -> Domain:
    """Return the state 0 under the inputs."""
    zero, (low, high) = np.zeros(recurrent.state_dim), inputs.ends(recurrent.input_dim)
    return Domain(low=zero, high=zero, input_low=low, input_high=high)


def _answer(
    one: Priced, delta: float, exact_run: bool, kept: Domain | None, how: Arithmetic, eps: float
) -> Deployment:
    """Return what a certificate says."""
    run_error = 0.0 if exact_run else delta
    floor = product_up(
        one.lipschitz,
        evaluate(ever, lam=one.c.lam, k=0, drive=delta, step_error=0.0, run_error=run_error),
    )

    def forgets(k: int) -> float:
        return product_up(one.lipschitz, evaluate(state_gap, lam=one.c.lam, k=k, drive=one.best))

    made = Deployment(
        k=None,
        error=floor,
        floor=floor,
        enough=_least(lambda k: forgets(k) <= floor),
        step_error=delta,
        run_error=run_error,
        contraction=one.c,
        drive=one.best,
        lipschitz=one.lipschitz,
        states=kept,
        arithmetic=how,
    )
    k = 0 if made.bound(0) <= eps else None
    # the bound falls with k only where the drive is above the error of a step
    if k is None and one.best > delta and floor < eps:
        k = _least(lambda k: made.bound(k) <= eps)
    return made if k is None else replace(made, k=k, error=made.bound(k))
