r"""Steps of many states, from where they and their input terms lie.

Main name: `rows_of`.

Products are those of this package: every entry is one chain of sums, so that equal states under
equal inputs have equal successors bit for bit, wherever they stand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from theory.kernels.blocks import locked
from theory.maps.affine import AffineMap
from theory.maps.base import Map
from theory.maps.gru import GRU
from theory.maps.lstm import LSTM
from theory.typing import Array

#: Overwrites the last argument, (rows, n), with the states that follow rows `source` of `old` under
#: the input terms of places `at`: (terms, at, old, source, new).  With source[r] >= r for every r,
#: `new` may be `old`.
Rows: TypeAlias = Callable[[Array, Any, Array, Any, Array], None]


def rows_of(recurrent: Map) -> Rows | None:
    """Return the kernel of a plain map, an LSTM or a GRU, with its weights; None for others."""
    from theory.kernels.cells import affine_restarts, gru_restarts, lstm_restarts
    from theory.kernels.single import panels

    if isinstance(recurrent, LSTM):
        P = panels(recurrent.W, np.float64)

        def lstm(terms: Array, at: Any, old: Array, source: Any, new: Array) -> None:
            lstm_restarts(P, terms, at, old, source, new)

        return lstm
    if isinstance(recurrent, GRU):
        after = recurrent.variant == "reset_after"
        gates = 2 * recurrent.units
        P = panels(recurrent.W if after else recurrent.W[:gates], np.float64)
        Q, bias = panels(recurrent.W[gates:], np.float64), locked(recurrent.b_candidate)

        def gru(terms: Array, at: Any, old: Array, source: Any, new: Array) -> None:
            gru_restarts(P, Q, bias, terms, at, old, source, after, new)

        return gru
    form = recurrent.affine() if isinstance(recurrent, AffineMap) else None
    if form is None:
        return None
    P, code, leak = panels(form.W, np.float64), form.rho.code, form.rho.leak

    def affine(terms: Array, at: Any, old: Array, source: Any, new: Array) -> None:
        affine_restarts(P, terms, at, old, source, code, leak, new)

    return affine
