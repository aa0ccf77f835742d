r"""The exact worst-case truncation error of a linear map, enclosed from both sides.

Main names: `worst_case_error`, `WorstCase`.

For h <- A h + B x + b, y = C h the k-step counterpart forgets

    y_t - y_t^k = sum over m >= k of C A^m (B x_{t-m} + b),

which is linear in the forgotten inputs, so over a box of inputs the extremes of the terms are taken
one by one: with b = 0 and |x| <= B_x it is the kernel tail B_x sum |C A^m B|, attained by the signs
of the kernel.

Of one state the sum is geometric, and known in closed form at every rate.  Of several states signs
may change at every lag, so the terms are summed, many at a time (`theory.memory.kernel`), up to
some lag; a contraction |A h| <= lam |h| bounds the rest.  The sum ends when the rest is below `tol`
of it or below its own rounding error, or after `theory.memory.sums.WORK` multiplications: then the
enclosure stays wider than was asked for, and says so by its ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.certificates import Contraction
from theory.errors import check_count, check_positive
from theory.inputs import Inputs, box_of
from theory.maps.base import Map, check_map
from theory.maps.head import as_head
from theory.memory.kernel import Kernel
from theory.memory.linear import LinearForm, contraction_of, linear_form, push_of
from theory.memory.one_state import OneState
from theory.memory.sums import Tail, tail_from
from theory.shown import shown
from theory.typing import Array

#: Inputs of the worst history that are given: the newest, all of them if there are fewer.
LONGEST_HISTORY = 2**17


@shown
@final
@dataclass(frozen=True, kw_only=True, eq=False)
class WorstCase:
    """The largest error of every output over all histories of inputs in a box, rounded outward."""

    k: int  # k, the context
    lower: Array  # reached by some history, (p,)
    upper: Array  # exceeded by none, (p,); inf beyond the largest double
    history: Array  # forgotten inputs, oldest first, that reach the largest of `lower`, (s, m); of
    # more than `LONGEST_HISTORY` the newest

    @property
    def error(self) -> float:
        """Return the largest upper bound: of the maximum norm of the output's error."""
        return float(np.max(self.upper))


def worst_case_error(
    recurrent: Map,
    k: int,
    *,
    inputs: Inputs,
    head: Any = None,
    horizon: int | None = None,
    tol: float = 1e-9,
    c: Contraction | None = None,
) -> WorstCase | None:
    r"""Return the exact worst-case error of the k-step counterpart of a linear map.

    No bound over the same inputs can be smaller.  For a box that is symmetric about 0 and no bias
    no other function of the last k inputs does better: two opposite histories with a common tail
    have outputs twice as far apart.

    Parameters
    ----------
    recurrent : Map
        A linear one, such as `LinearMap` or `DiagonalSSM`, or a `Cascade` of linear ones; started
        from 0, and restarted from 0 k steps back.
    k : int
        Inputs that the truncated model sees.
    inputs : Inputs
        A bounded box.
    head : LinearHead, array, or output layer, optional
        The outputs, see `theory.maps.as_head`; the states by default.
    horizon : int, optional
        Longest sequence; every length by default.  From k = horizon on the error is 0, as both
        models are the same.
    tol : float
        The sum ends when the rest is less than this share of it; see the module for its other ends.
    c : Contraction, optional
        Of one step; searched for by default.  That this map contracts in its norm is proved again,
        and the rate proved is used.  One state needs none.

    Returns
    -------
    WorstCase or None
        None if no contraction is found: the error may then be infinite.

    Raises
    ------
    ValueError
        If the map is not linear, the inputs are no bounded box, a shape or count does not fit, or
        `c` is not a contraction of this map.

    Examples
    --------
    >>> from theory import Inputs, LinearMap
    >>> worst = worst_case_error(LinearMap([[0.5]], [[1.0]]), 3, inputs=Inputs.box(-1, 1))
    >>> worst.lower <= 0.25 <= worst.upper, round(worst.error, 9)
    (array([ True]), 0.25)
    """
    check_map(recurrent)
    check_count(k=k)
    check_positive(tol=tol)
    if horizon is not None:
        check_count(horizon=horizon)
    form = linear_form(recurrent)
    if form is None:
        raise ValueError(
            f"received {recurrent!r}, needed a linear map such as theory.LinearMap, or a stack of "
            "linear ones"
        )
    m = form.B.shape[1]
    box = box_of(inputs, m)
    push = push_of(Inputs.box(*box), m)
    assert push is not None
    C = np.eye(len(form.A)) if head is None else as_head(recurrent, head).C
    found = contraction_of(form) if c is None else _proved_again(form, c)
    lags = None if horizon is None else max(int(horizon) - int(k), 0)
    if len(form.A) == 1 and c is None:
        if not abs(float(form.A[0, 0])) < 1:
            return None
        return _closed(OneState(form, C, push), int(k), lags, box)
    if found is None:
        return None
    kernel = Kernel(form, C, push, norm=found.norm, lam=found.lam, lags=lags)
    if not kernel.lam < 1:
        return None
    tail = tail_from(kernel, int(k), lags=lags, tol=tol)
    return WorstCase(
        k=int(k), lower=tail.lower, upper=tail.upper, history=_history(kernel, tail, box)
    )


def _proved_again(form: LinearForm, c: Contraction) -> Contraction:
    """Return a given contraction with the rate of h <- A h in its norm, proved again.

    The contraction may be one of another map, and its rate then says nothing about this one.  That
    of a linear map is the induced norm, whose upper bound replaces it.

    Raises
    ------
    ValueError
        If A is not proved to contract in that norm, or it is none of one step that is proved.
    """
    if c.iterate != 1 or not c.evidence.is_certified:
        raise ValueError(f"received {c!r}, needed a certified contraction of one step")
    c.norm.check_dim(len(form.A))
    found = contraction_of(form, c.norm)
    if found is None:
        raise ValueError(
            f"the linear map has norm at most {c.norm.matrix_upper(form.A):.17g} in {c.norm}, the "
            f"norm of c={c!r}; needed a norm in which this map contracts; was c found for another "
            "map? leave it out, or pass theory.contraction of this one"
        )
    return found


def _closed(one: OneState, k: int, lags: int | None, box: tuple[Array, Array]) -> WorstCase:
    """Return the answer for one state, from closed forms."""
    last = one.settled if lags is None else lags
    lower, upper = one.errors(k, last)[0], one.errors(k, lags)[1]
    i = int(np.argmax(lower))
    return WorstCase(
        k=k, lower=lower, upper=upper, history=one.history(i, k, last, box, LONGEST_HISTORY)
    )


def _history(kernel: Kernel, tail: Tail, box: tuple[Array, Array]) -> Array:
    """Return the newest inputs of the history that pushes an output furthest."""
    i, columns = int(np.argmax(tail.lower)), tail.start
    wanted, made = min(int(tail.lags[i]), LONGEST_HISTORY), 0
    history = np.zeros((wanted, kernel.m))
    while made < wanted:
        K = tail.sign[i] * kernel.row(columns, i)[: wanted - made, : kernel.m]
        history[wanted - made - len(K) : wanted - made] = np.where(K >= 0, box[1], box[0])[::-1]
        made += len(K)
        columns = kernel.after(columns, kernel.lags)
    return history
