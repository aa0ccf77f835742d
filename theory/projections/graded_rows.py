"""The nearest gated cell for a given norm and given bounds of the gates: a convex set.

Main name: `GradedSet`.
"""

from __future__ import annotations

from typing import final

import numpy as np

from theory.certificates import Contraction
from theory.certify.gate_bounds import certify
from theory.maps.base import Map
from theory.maps.gru import GRU
from theory.maps.lstm import LSTM
from theory.projections.base import Request
from theory.projections.gates import finish, first_margin, log_odds, unmoved
from theory.projections.gru_rows import gru_parameters, gru_rows
from theory.projections.gru_units import UnitBounds
from theory.projections.gru_units import unit_limits as gru_limits
from theory.projections.lstm_rows import lstm_parameters, lstm_rows
from theory.projections.lstm_units import unit_limits as lstm_limits
from theory.projections.rows import RowLimits, nearest_rows
from theory.typing import Array

#: Reset gates are bounded by |W_r| v <= this v: what they multiply may then be large.
_RESET = 0.1


def gated_rows(cell: LSTM | GRU) -> Array:
    """Return the parameters of the units that move, row by row."""
    return lstm_rows(cell) if isinstance(cell, LSTM) else gru_rows(cell)


def gated_parameters(cell: LSTM | GRU, Y: Array) -> tuple[Array, ...]:
    """Return the parameters of a cell with these rows, in order."""
    return lstm_parameters(cell, Y) if isinstance(cell, LSTM) else gru_parameters(cell, Y)


def graded_limits(cell: LSTM | GRU, request: Request, margin: float = 0.0) -> RowLimits:
    """Return the inequalities of a cell's rows for given weights and bounds; a margin shrinks."""
    weights, keep = request.weights, request.keep
    assert weights is not None
    assert keep is not None
    if isinstance(cell, LSTM):
        rate, f = request.rate * (1.0 - margin), keep * (1.0 - margin)
        return lstm_limits(cell.units, cell.input_dim, rate, f, request.input_bound, weights)
    free = np.full(cell.units, np.inf)
    bounds = UnitBounds(update=log_odds(keep), reset=free, candidate=free, rows=_RESET * weights)
    return gru_limits(cell, request.rate, request.input_bound, bounds, margin, weights=weights)


@final
class GradedSet:
    """The cells of one shape that contract in a norm under bounds that are given: convex.

    What is found is where the next search begins, as the cells of a training are near each other.
    """

    def __init__(self, cell: LSTM | GRU, request: Request) -> None:
        self.request = request
        self.multipliers: Array | None = None
        # a little inside, so that what is nearest is seen to be a member
        self._limits = graded_limits(cell, request, first_margin(cell, request))

    @property
    def open_biases(self) -> Array:
        """Return biases, (n,), of the gates that keep a state, for units of long memories.

        Without inputs such a gate is open by 1 / e of the odds of its bound.
        """
        assert self.request.keep is not None
        return np.asarray(log_odds(self.request.keep) - 1.0)

    def moved(self, cell: LSTM | GRU) -> tuple[Array, ...]:
        """Return the parameters of the nearest cell; nothing is proved."""
        Y, self.multipliers = nearest_rows(gated_rows(cell), self._limits, start=self.multipliers)
        return gated_parameters(cell, Y)

    def nearest(self, cell: LSTM | GRU) -> tuple[tuple[Array, ...], Contraction]:
        """Return the parameters of the nearest cell, those of a member itself, and the proof.

        Raises
        ------
        ArithmeticError
            If no cell near the boundary can be proved to contract.
        """
        member = self._proof(cell)
        if member is not None and unmoved(cell, self.request):
            return tuple(cell.parameters.values()), member
        given = cell.parameters
        arrays = tuple(map(self.request.stored, self.moved(cell), given.values()))
        changed = cell.with_parameters(**dict(zip(given, arrays, strict=True)))
        found = self._proof(changed)
        if found is not None:
            return arrays, found
        X = gated_rows(cell)

        def point(margin: float) -> tuple[Array, ...]:
            limits = graded_limits(cell, self.request, margin)
            return gated_parameters(cell, nearest_rows(X, limits)[0])

        return finish(cell, self.request, point, self._proof)[:2]

    def _proof(self, cell: Map) -> Contraction | None:
        c = certify(cell, self.request.input_bound, self.request.weights)
        return c if c is not None and c.lam <= self.request.rate else None
