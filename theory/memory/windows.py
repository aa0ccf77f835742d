r"""Memory of maps that are linear in the state, along given inputs: exactly what a window leaves.

Main names: `window_gaps`, `window_context`, `WindowContext`, `transition_rate`, `state_radius`,
`input_context`.

Of S <- A(x) S + B(x) the gap of the truncated model is, for every past,

    S_T - S_T^k = A(x_T) .. A(x_{T-k+1}) S_{T-k}.

The norm of the product is attained by some past: over all pasts of a ball the bounds below and
above differ by rounding only.  Products are taken backwards from the last input, until they are
small enough: the work of a simulation of k steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.arithmetic.rounding import UNIT, evaluate, product_up
from theory.errors import as_sequences, check_nonnegative, check_positive
from theory.inputs import as_inputs
from theory.maps.delta import DeltaRule
from theory.maps.functions import Function
from theory.maps.recurrence import LinearRecurrence
from theory.memory.products import (
    Memory,
    core_of,
    entrywise,
    norm_lower,
    norm_upper,
    seen,
    turned,
)
from theory.norms.norms import L2
from theory.shown import shown
from theory.theorems.state_gap import formula
from theory.typing import Array


@final
@shown
@dataclass(frozen=True, kw_only=True)
class WindowContext:
    """How many of the last inputs are enough, for every past of a size, along given inputs."""

    k: int | None  # the least that is proved enough; None if all inputs are not
    error: float  # proved bound of the error at k, or of all inputs
    refuted: int | None  # a number of inputs that some past of that size needs more than

    @property
    def exact(self) -> bool:
        """Return whether one input less is proved not enough."""
        return self.k == 0 or (self.k is not None and self.refuted == self.k - 1)


def _checked(layer: Any) -> tuple[LinearRecurrence | DeltaRule, Function | None]:
    """Return the core that is linear in the state, and what it sees of the inputs."""
    found = core_of(layer)
    if found is None:
        raise ValueError(
            f"received {layer!r}, needed a map that is linear in its state, such as theory.MinGRU, "
            "theory.LinearAttention or theory.DeltaRule; of a linear map take "
            "theory.memory.worst_case_error"
        )
    return found


def _window(layer: Memory, X: Any) -> Array:
    inputs = as_sequences("X", X, width=layer.input_dim)
    if inputs.ndim != 2:
        raise ValueError(f"X has shape {inputs.shape}, needed one window (T, {layer.input_dim})")
    return inputs


# answers -----------------------------------------------------------------------------------------


def window_gaps(layer: Memory, X: Any, *, past: float = 1.0) -> tuple[Array, Array]:
    r"""Return the largest gaps of the truncated models that any past of a size can cause.

    .. math:: \sup_{|S_{T-k}| \le R} |S_T - S_T^k| = |A(x_T) \cdots A(x_{T-k+1})|\, R

    Parameters
    ----------
    layer : LinearRecurrence, DeltaRule, or Block of one without `after`
    X : (T, m) array
        The inputs, of which a truncated model sees the last k.
    past : float
        R, the largest Euclidean size of the state before them.

    Returns
    -------
    lower, upper : (T + 1,) arrays
        For k = 0 .. T: what some past reaches, and what none exceeds, in the Euclidean norm.  They
        differ by rounding only.

    Raises
    ------
    ValueError
        If it is another kind of map, the inputs have another width, or the size is negative.

    Examples
    --------
    >>> from theory import MinGRU
    >>> low, high = window_gaps(MinGRU([[0.0], [1.0]]), [[1.0], [0.0]])
    >>> high.round(12).tolist()
    [1.0, 0.5, 0.25]
    """
    core, before = _checked(layer)
    inputs = _window(layer, X)
    check_nonnegative(past=past)
    low, high = [1.0], [1.0]
    if isinstance(core, DeltaRule):
        for chunk in turned(core, inputs, before):
            found = [chunk.pair(at) for at in range(len(chunk.own))]
            low += [norm_lower(*pair) for pair in found]
            high += [norm_upper(*pair) for pair in found]
    else:
        for part in entrywise(core, inputs, before):
            low += part.low.tolist()
            high += part.high.tolist()
    R = float(past)
    return (
        np.array([max(math.nextafter(x * R, -math.inf), 0.0) for x in low]),
        np.array([product_up(x, R) for x in high]),
    )


def window_context(layer: Memory, X: Any, *, eps: float, past: float = 1.0) -> WindowContext:
    r"""Return how many of the last inputs are enough for an error of eps, whatever came before.

    Parameters
    ----------
    layer : LinearRecurrence, DeltaRule, or Block of one without `after`
    X : (T, m) array
    eps : float
        Allowed error of the last state, in the Euclidean norm.
    past : float
        The largest Euclidean size of a state; `state_radius` bounds it over a set of inputs.

    Returns
    -------
    WindowContext
        Its `k` is the least there is where `exact` says so; always but for rounding, and for
        transitions of a norm above 1, after which less may be enough again.

    Raises
    ------
    ValueError
        If it is another kind of map, the inputs have another width, eps is not positive, or the
        size is negative.

    Examples
    --------
    >>> from theory import MinGRU
    >>> found = window_context(MinGRU([[0.0], [1.0]]), [[1.0]] * 20, eps=0.01)
    >>> found.k, found.refuted, found.exact
    (7, 6, True)
    """
    core, before = _checked(layer)
    inputs = _window(layer, X)
    check_positive(eps=eps)
    check_nonnegative(past=past)
    R = float(past)
    if eps >= R:
        return WindowContext(k=0, error=R, refuted=None)
    error, above = R, R
    if isinstance(core, DeltaRule):
        # product_up(level, R) <= eps
        level, last = eps / R * (1 - 4 * UNIT), None
        for chunk in turned(core, inputs, before):
            at = chunk.first_small(level)
            pair = chunk.pair(len(chunk.own) - 1 if at is None else at)
            if at is not None:
                if at:
                    above = norm_lower(*chunk.pair(at - 1)) * R * (1 - 4 * UNIT)
                elif last is not None:
                    above = norm_lower(*last) * R * (1 - 4 * UNIT)
                k, error = chunk.first + at, product_up(norm_upper(*pair), R)
                return WindowContext(k=k, error=error, refuted=k - 1 if above > eps else None)
            last = pair
        if last is not None:
            above = norm_lower(*last) * R * (1 - 4 * UNIT)
            error = product_up(norm_upper(*last), R)
    else:
        for part in entrywise(core, inputs, before):
            errors = np.array([product_up(x, R) for x in part.high.tolist()])
            small = np.flatnonzero(errors <= eps)
            below = np.append(above, part.low * R * (1 - 4 * UNIT))
            if small.size:
                at = int(small[0])
                k = part.first + at
                refuted = k - 1 if below[at] > eps else None
                return WindowContext(k=k, error=float(errors[at]), refuted=refuted)
            above, error = float(below[-1]), float(errors[-1])
    return WindowContext(k=None, error=error, refuted=len(inputs) if above > eps else None)


def transition_rate(layer: Memory, inputs: Any) -> float:
    r"""Return an upper bound of |A(x)| over a set of inputs, in the Euclidean norm.

    Two states under the same inputs come nearer by this factor at every step.

    Parameters
    ----------
    layer : LinearRecurrence, DeltaRule, or Block of one without `after`
    inputs : Inputs, or (..., m) array of all inputs
        Of a finite set every member is looked at alone.

    Returns
    -------
    float
        1 or more where the bound proves nothing.

    Raises
    ------
    ValueError
        If it is another kind of map, or the inputs are of another width.

    Examples
    --------
    >>> from theory import Inputs, MinGRU
    >>> round(transition_rate(MinGRU([[1.0], [1.0]]), Inputs.box(-1, 1)), 4)
    0.7311
    """
    core, before = _checked(layer)
    given = as_inputs(inputs, layer.input_dim)
    ends = (given.rows, given.rows) if given.rows is not None else given.ends(layer.input_dim)
    ends = seen(before, ends)
    if isinstance(core, DeltaRule):
        return float(np.max(core.transition_upper(ends), initial=0.0))
    return float(np.max(core.distinct_decays(ends)[1], initial=0.0))


def state_radius(layer: Memory, inputs: Any) -> float:
    r"""Return a bound of the Euclidean size of all states that inputs of a set can lead to from 0.

    sup |B| / (1 - sup |A|), and inf where the rate is not below 1.

    Parameters
    ----------
    layer : LinearRecurrence, DeltaRule, or Block of one without `after`
    inputs : Inputs, or (..., m) array of all inputs

    Raises
    ------
    ValueError
        If it is another kind of map, or nothing bounds what the inputs write.

    Examples
    --------
    >>> from theory import Inputs, MinGRU
    >>> round(state_radius(MinGRU([[0.0], [1.0]]), Inputs.box(-1, 1)), 6)
    1.0
    """
    rate = transition_rate(layer, inputs)
    drive = float(layer.drive(L2(), as_inputs(inputs, layer.input_dim)))
    return evaluate(formula, lam=rate, k=0, drive=drive) if rate < 1 else math.inf


def input_context(layer: Memory, inputs: Any, *, eps: float) -> int | None:
    r"""Return a context that is enough for all sequences of inputs of a set.

    The least k with sup|A|^k sup|B| / (1 - sup|A|) <= eps; None if sup|A| is not below 1.

    Parameters
    ----------
    layer : LinearRecurrence, DeltaRule, or Block of one without `after`
    inputs : Inputs, or (..., m) array of all inputs
    eps : float
        Allowed error of the state, in the Euclidean norm.

    Raises
    ------
    ValueError
        If it is another kind of map, eps is not positive, or nothing bounds what the inputs write.

    Examples
    --------
    >>> from theory import Inputs, MinGRU
    >>> input_context(MinGRU([[1.0], [1.0]]), Inputs.box(-1, 1), eps=0.01)
    18
    """
    check_positive(eps=eps)
    rate = transition_rate(layer, inputs)
    if not rate < 1:
        return None
    drive = float(layer.drive(L2(), as_inputs(inputs, layer.input_dim)))
    low, high = -1, 1
    while not evaluate(formula, lam=rate, k=high, drive=drive) <= eps:
        low, high = high, 2 * high
        if not high <= 2**40:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        enough = evaluate(formula, lam=rate, k=middle, drive=drive) <= eps
        low, high = (low, middle) if enough else (middle, high)
    return high
