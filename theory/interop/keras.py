"""Maps from the weights of Keras layers; Keras itself is not needed.

Main name: `from_keras`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from theory.interop.build import stack_layers
from theory.interop.layouts.keras import keras_cell
from theory.maps.base import Map


def from_keras(
    weights: Sequence[Any],
    cell: str,
    *,
    reset_after: bool | None = None,
    activation: str = "tanh",
    recurrent_activation: str = "sigmoid",
) -> Map:
    r"""Return the map of the weights of a Keras layer, as ``layer.get_weights()`` lists them.

    Parameters
    ----------
    weights : sequence
        ``[kernel, recurrent_kernel]`` or ``[kernel, recurrent_kernel, bias]``; or a list of such
        lists, one for each layer of a stack.
    cell : str
        ``lstm`` (gates in Keras' order i, f, c, o), ``gru`` (z, r, h) or ``simple_rnn``.
    reset_after : bool, optional
        Of a GRU; by default as the shape of the bias says, and true without bias, as in Keras.
    activation : str
        Of a simple RNN any activation that is known; the gated cells have tanh.
    recurrent_activation : str
        Of the gates; only ``sigmoid`` is known.

    Returns
    -------
    Map

    Raises
    ------
    ValueError
        If the cell is not known, has other activations, or shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from_keras([np.ones((3, 4)), np.ones((1, 4)), np.zeros(4)], "lstm")
    LSTM(units=1, m=3)
    """
    gates = {"simple_rnn": 1, "gru": 3, "lstm": 4}
    if cell not in gates:
        raise ValueError(f"cell={cell!r}, needed one of: {', '.join(gates)}")
    if recurrent_activation != "sigmoid" and cell != "simple_rnn":
        raise ValueError(
            f"recurrent_activation={recurrent_activation!r}, needed 'sigmoid', the one of the gates"
        )
    if reset_after is not None and cell != "gru":
        raise ValueError(f"reset_after={reset_after!r} is a setting of a gru, not of {cell}")
    if len(weights) == 0:
        raise ValueError("received no weights, needed [kernel, recurrent_kernel, bias]")
    if isinstance(weights[0], (list, tuple)):
        return stack_layers(
            [
                from_keras(
                    one,
                    cell,
                    reset_after=reset_after,
                    activation=activation,
                    recurrent_activation=recurrent_activation,
                )
                for one in weights
            ]
        )
    if len(weights) not in {2, 3}:
        raise ValueError(
            f"received {len(weights)} arrays, needed [kernel, recurrent_kernel] and perhaps bias; "
            "for a stack pass a list of such lists"
        )
    named = dict(zip(("kernel", "recurrent_kernel", "bias"), weights, strict=False))
    return keras_cell(named, "", activation, gates=gates[cell], reset_after=reset_after)
