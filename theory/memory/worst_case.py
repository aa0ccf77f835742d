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
of it or below its own rounding error, or after `WORK` multiplications: then the enclosure stays
wider than was asked for, and says so by its ends.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.arithmetic.rounding import UNIT, gamma, ldexp_down, ldexp_up
from theory.certificates import Contraction
from theory.errors import check_count, check_positive
from theory.inputs import Inputs, box_of
from theory.maps.base import Map, check_map
from theory.maps.head import as_head
from theory.memory.kernel import Columns, Kernel, Terms, in_units
from theory.memory.linear import LinearForm, Push, contraction_of, linear_form, push_of
from theory.memory.one_state import OneState
from theory.typing import Array

#: Multiplications after which a sum is not continued: some ten seconds.
WORK = 2.0**36

#: Inputs of the worst history that are given: the newest, all of them if there are fewer.
LONGEST_HISTORY = 2**17


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
    # beyond this many lags a rest of `tol` is likely
    about = math.log(tol * UNIT) / min(math.log(found.lam), -UNIT) if found.lam > 0 else 1.0
    kernel = Kernel(
        form, C, push, norm=found.norm, lam=found.lam,
        lags=about if lags is None else min(about, lags),
    )  # fmt: skip
    if not kernel.lam < 1:
        return None
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        return _summed(kernel, int(k), lags, tol, box)


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


def block_sums(terms: Array, rows: int) -> tuple[Array, float]:
    """Return the sums of the terms up to each, (N, p), and a factor of their rounding error.

    Added up in blocks of so many rows, and over the blocks: the error is below the factor times the
    sum of all sizes.
    """
    N, p = terms.shape
    inside = np.cumsum(terms.reshape(-1, rows, p), axis=1)
    before = np.cumsum(inside[:, -1], axis=0)
    inside[1:] += before[:-1, None]
    return inside.reshape(N, p), 2 * gamma(rows + N // rows + 4)


@final
class _Running:
    """Sums of terms of one sign that were added so far, and the largest of them."""

    def __init__(self, p: int) -> None:
        self.total, self.best = np.zeros(p), np.zeros(p)  # of no lag at all: 0
        self.lag = np.zeros(p, dtype=np.int64)
        self.error, self.blocks, self.lags = np.zeros(p), 0, 0

    def add_sum(self, total: Array, lags: int) -> None:
        """Add the sum of terms that do not change the sign of the whole."""
        self.blocks += 1
        self.total = self.best = self.total + total
        self.lags += lags
        self.lag[:] = self.lags
        self.error += 4 * UNIT * self.total

    def add(self, terms: Array, rows: int) -> None:
        """Add terms of either sign."""
        if len(terms) % rows:
            rows = len(terms)
        sums, factor = block_sums(terms, rows)
        sizes = np.sum(np.abs(terms), axis=0)
        self.blocks += 1
        self.error += factor * sizes + 4 * UNIT * (np.abs(self.total) + sizes)
        at = np.argmax(sums, axis=0)
        largest = self.total + np.take_along_axis(sums, at[None], axis=0)[0]
        better = largest > self.best
        self.best = np.where(better, largest, self.best)
        self.lag = np.where(better, self.lags + at + 1, self.lag)
        self.total = self.total + sums[-1]
        self.lags += len(terms)


def _summed(
    kernel: Kernel, k: int, lags: int | None, tol: float, box: tuple[Array, Array]
) -> WorstCase:
    """Add up the kernel from lag k on."""
    start = columns = kernel.after(kernel.first, k)
    p, rows = kernel.p, 2**kernel.row_levels
    signs = 2 if kernel.shifted else 1
    above, below = [_Running(p) for _ in range(signs)], [_Running(p) for _ in range(signs)]
    rest, most = np.zeros(p), WORK / kernel.work
    whole = not kernel.shifted
    while lags is None or above[0].lags < lags:
        left = None if lags is None else lags - above[0].lags
        if whole and (left is None or left >= kernel.lags):
            inside = in_units(kernel.sums(columns), columns.shift - start.shift)
            above[0].add_sum(inside.upper, kernel.lags)
            below[0].add_sum(inside.lower, kernel.lags)
            parts = []
        else:
            parts = kernel.terms(columns)
        for j, terms in enumerate(parts):
            inside = in_units(terms, columns.shift - start.shift)
            above[j].add(inside.upper[:left], rows)
            below[j].add(inside.lower[:left], rows)
        columns = kernel.after(columns, kernel.lags)
        if left is not None and left <= kernel.lags:
            break
        rest = in_units(
            Terms(upper=kernel.rest(columns), lower=np.zeros(p)), columns.shift - start.shift
        ).upper
        low = np.max([one.best - one.error for one in below], axis=0)
        high = np.max([one.best + one.error for one in above], axis=0)
        # a rest below the error of the sum so far: more terms leave the enclosure as wide
        enough = rest <= np.maximum(tol * low, high - low)
        if bool(np.all(enough)) or not np.isfinite(rest).all() or above[0].lags > most:
            break
    else:
        rest = np.zeros(p)
    if lags is not None and above[0].lags >= lags:
        rest = np.zeros(p)
    low = np.max([one.best - one.error for one in below], axis=0)
    high = np.max(
        [np.maximum(one.best, one.total + rest) + one.error for one in above], axis=0
    ) * (1 + 16 * UNIT)
    exponents = kernel.rows + kernel.scale + start.shift
    lower = [max(0.0, min(ldexp_down(x * (1 - 4 * UNIT), e), sys.float_info.max))
             for x, e in zip(low.tolist(), exponents.tolist(), strict=True)]  # fmt: skip
    upper = [ldexp_up(x, e) if x >= 0 else np.inf
             for x, e in zip(high.tolist(), exponents.tolist(), strict=True)]  # fmt: skip
    i = int(np.argmax(lower))
    sign = int(np.argmax([one.best[i] - one.error[i] for one in below]))
    history = _history(kernel, start, i, (1.0, -1.0)[sign], int(below[sign].lag[i]), box)
    return WorstCase(k=k, lower=np.array(lower), upper=np.array(upper), history=history)


def _history(
    kernel: Kernel,
    columns: Columns,
    i: int,
    sign: float,
    lags: int,
    box: tuple[Array, Array],
) -> Array:
    """Return the inputs that push an output furthest, for so many lags, the newest of them."""
    wanted, made = min(lags, LONGEST_HISTORY), 0
    history = np.zeros((wanted, kernel.m))
    while made < wanted:
        K = sign * kernel.row(columns, i)[: wanted - made, : kernel.m]
        history[wanted - made - len(K) : wanted - made] = np.where(K >= 0, box[1], box[0])[::-1]
        made += len(K)
        columns = kernel.after(columns, kernel.lags)
    return history
