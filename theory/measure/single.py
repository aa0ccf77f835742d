"""Maps in single precision, for measurements of models that compute in it.

Main name: `SingleSteps`.

Weights and input terms are rounded to single precision once; the kernels then round every step like
a program that computes in it, though not in the same order of sums as any particular one.
"""

from __future__ import annotations

from typing import TypeAlias, final

import numpy as np
import numpy.typing as npt

from theory.arithmetic.activations import Activation
from theory.maps.base import Map
from theory.maps.cascade import Cascade
from theory.maps.esn import EchoStateNetwork
from theory.maps.gru import GRU
from theory.maps.lstm import LSTM
from theory.typing import Array

#: A float32 array.
Single: TypeAlias = npt.NDArray[np.float32]


@final
class SingleSteps:
    """What a sweep needs of a map, in single precision.

    Parameters
    ----------
    recurrent : Map
        An LSTM, a GRU, rho(W h + U x + b), leaky or not, or a stack of these.

    Raises
    ------
    ValueError
        For a map of another kind.
    """

    def __init__(self, recurrent: Map) -> None:
        from theory.kernels.single import panels

        self._map = recurrent
        form, n = recurrent.affine(), recurrent.state_dim
        self._layers: list[SingleSteps] = []
        self._seen: list[tuple[Single, Single]] = []
        if isinstance(recurrent, Cascade):
            self._layers = [SingleSteps(layer) for layer in recurrent.layers]
            for layer, readout in zip(recurrent.layers[1:], recurrent.readouts, strict=True):
                U, b = _input_part(layer)
                # what a layer needs of the state of the one below, U (C h + d) + b
                self._seen.append((panels(U @ readout.C), (U @ readout.d + b).astype(np.float32)))
        elif isinstance(recurrent, LSTM):
            self._P = panels(recurrent.W)
        elif isinstance(recurrent, GRU):
            self._P, self._Q = panels(recurrent.W[: 2 * n]), panels(recurrent.W[2 * n :])
            self._bias = recurrent.b_candidate.astype(np.float32)
        elif isinstance(recurrent, EchoStateNetwork):
            self._set_leaky(recurrent.W, recurrent.activation, recurrent.leak)
        elif form is not None:
            self._set_leaky(form.W, form.rho, np.ones(n))
        else:
            raise _unknown(recurrent)

    def _set_leaky(self, W: Array, rho: Activation, leak: Array) -> None:
        from theory.kernels.single import panels

        self._P, self._rho = panels(W), rho
        self._kept, self._share = (1.0 - leak).astype(np.float32), leak.astype(np.float32)

    def input_terms(self, X: Array) -> Single:
        """Return what a step needs of the inputs, rounded once."""
        with np.errstate(over="ignore"):
            return self._map.input_terms(X).astype(np.float32)

    def advance(self, h: Single, terms: Single) -> Single:
        """Return the states, (rows, n), one step on."""
        from theory.kernels.single import (
            affine_rows_single,
            gru_rows_single,
            leaky_rows_single,
            lstm_rows_single,
        )

        result = np.empty_like(h)
        recurrent = self._map
        if isinstance(recurrent, Cascade):
            parts = recurrent.slices
            for number, (layer, part) in enumerate(zip(self._layers, parts, strict=True)):
                if number:
                    P, b = self._seen[number - 1]
                    terms = np.empty((len(h), len(b)), np.float32)
                    affine_rows_single(P, b, result[:, parts[number - 1]], terms)
                result[:, part] = layer.advance(np.ascontiguousarray(h[:, part]), terms)
        elif isinstance(recurrent, LSTM):
            lstm_rows_single(self._P, terms, h, result)
        elif isinstance(recurrent, GRU):
            after = recurrent.variant == "reset_after"
            gru_rows_single(self._P, self._Q, self._bias, terms, h, result, after)
        else:
            rho = self._rho
            leaky_rows_single(
                self._P, terms, h, self._kept, self._share, rho.code, np.float32(rho.leak), result
            )
        return result


def _input_part(layer: Map) -> tuple[Array, Array]:
    """Return U and b of the input terms U x + b."""
    form = layer.affine()
    if form is not None:
        return form.U, form.b
    if isinstance(layer, (LSTM, GRU, EchoStateNetwork)):
        return layer.U, layer.b
    raise _unknown(layer)


def _unknown(recurrent: Map) -> ValueError:
    return ValueError(
        f'dtype="float32" is not known for {recurrent!r}, needed an LSTM, a GRU, a plain or leaky '
        'cell, or a stack of these; leave dtype="float64"'
    )
