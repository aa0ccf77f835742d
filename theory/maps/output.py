r"""Outputs that are more than C h + d: a chain of layers behind a recurrence.

Main names: `with_head`, `as_function`, `head_of`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from theory.maps.base import Map, check_map
from theory.maps.block import Block
from theory.maps.combine import Chain
from theory.maps.foreign import is_sequential, steps_of_layers
from theory.maps.functions import Dense, Function, Pointwise, Select
from theory.maps.head import LinearHead, as_head
from theory.maps.normalize import Normalize
from theory.maps.softmax import Softmax


def with_head(recurrent: Map, head: Any) -> Block:
    r"""Return a map that shows f(h) of the recurrence, f a chain of layers.

    Its state is (h, y) with y = f(h), of which a step reads h alone, see `Block`: what is measured
    and proved of it is so of the outputs y, from the Lipschitz constants of f on what the states
    can be.

    Parameters
    ----------
    recurrent : Map
    head : Function, LinearHead, or torch.nn.Sequential
        See `as_function`; of the whole state, or of what `Map.output_map` shows of it.

    Returns
    -------
    Block

    Raises
    ------
    ValueError
        If it is none of these, or its width is another one.

    Examples
    --------
    >>> from theory import LinearMap
    >>> f = Chain([Dense([[1.0], [-1.0]]), Pointwise("relu", 2)])
    >>> with_head(LinearMap([[0.5]], [[1.0]]), f).simulate([[1.0], [-2.0]]).tolist()
    [[1.0, 1.0, 0.0], [-1.5, 0.0, 1.5]]
    """
    n, shown = check_map(recurrent).state_dim, recurrent.output_map
    f = as_function(head)
    if f.input_dim not in {n, len(shown)}:
        raise ValueError(
            f"the head takes {f.input_dim} entries, needed {n}, those of the state of "
            f"{recurrent!r}, or {len(shown)}, those that it shows"
        )
    wide = n + recurrent.input_dim
    first, count = 0, n
    if f.input_dim != n:
        first, count = int(np.argmax(shown[0] != 0)), len(shown)
    parts = f.functions if isinstance(f, Chain) else (f,)
    if count == n or np.array_equal(shown, np.eye(count, n, first)):
        return Block(recurrent, after=Chain([Select(first, stop=first + count, size=wide), *parts]))
    seen = np.hstack([shown, np.zeros((count, recurrent.input_dim))])
    return Block(recurrent, after=Chain([Dense(seen), *parts]))


def head_of(recurrent: Map, head: Any) -> LinearHead | Function:
    """Return C h + d of the state, or a chain of layers, of the state and behind it the inputs.

    Parameters
    ----------
    recurrent : Map
    head : LinearHead, array, output layer, Function, or torch.nn.Sequential
        As for `theory.maps.as_head`, or as for `with_head`.

    Raises
    ------
    ValueError
        If it is none of these, or its width is another one.
    """
    if not (isinstance(head, Function) or is_sequential(head)):
        return as_head(recurrent, head)
    f = with_head(recurrent, head).after
    assert f is not None
    return f


def as_function(head: Any) -> Function:
    """Return a chain of layers as a function of one time step.

    Parameters
    ----------
    head : Function, LinearHead, or torch.nn.Sequential
        Of a Sequential: Linear, LayerNorm, RMSNorm, ReLU, LeakyReLU, Tanh, Sigmoid, SiLU, GELU,
        Softmax of the last axis, Identity, and Dropout, which does nothing in evaluation mode.

    Returns
    -------
    Function

    Raises
    ------
    ValueError
        If it is something else, or holds a layer that is not known, which is named.
    """
    if isinstance(head, Function):
        return head
    if isinstance(head, LinearHead):
        return Dense(head.C, head.d)
    return chain_of(steps_of_layers(head))


def chain_of(steps: Sequence[tuple[Any, ...]]) -> Chain:
    """Return a chain of layers.

    They are ("dense", W, b), ("layer" or "rms", gain, bias, eps), ("pointwise", name) and
    ("softmax",).

    Raises
    ------
    ValueError
        If a width does not fit, or no layer has one.
    """
    weighted = [rest for kind, *rest in steps if kind not in {"pointwise", "softmax"}]
    widths = [np.shape(rest[0])[-1] for rest in weighted]
    if not widths:
        raise ValueError("the head has no layer with weights, needed one")
    width, made = int(widths[0]), list[Function]()
    for kind, *rest in steps:
        if kind == "dense":
            made.append(Dense(*rest))
        elif kind == "pointwise":
            made.append(Pointwise(rest[0], width))
        elif kind == "softmax":
            made.append(Softmax(width))
        else:
            gain, bias, eps = rest
            made.append(Normalize(gain, bias, kind=kind, eps=eps))
        width = made[-1].output_dim
    return Chain(made)
