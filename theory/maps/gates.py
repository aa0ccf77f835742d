r"""What the gated maps share: stacked weights, and a step that is not Lipschitz in the input.

Main names: `GatedMap`, `stacked`, `gate_rows`, `carried_by_slopes`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, final

import numpy as np

from theory.arithmetic.intervals import Interval, sum_of
from theory.arithmetic.rounded import Rounded
from theory.arithmetic.zonotopes import Zonotope, combination
from theory.domain import Domain
from theory.errors import DivergedError, as_matrix, as_vector
from theory.maps.base import Map
from theory.maps.boxes.reached import EXCESS
from theory.maps.form import Affine
from theory.norms.norms import Norm
from theory.typing import Array


def stacked(name: str, value: Any, gates: Sequence[str], units: int, columns: int | None) -> Array:
    """Return the rows of several gates, `units` each, as a matrix; a vector if columns is 0.

    Raises
    ------
    ValueError
        If the shape is another one; the message names the gate that is short or too long.
    """
    array = as_vector(name, value) if columns == 0 else as_matrix(name, value)
    rows = len(gates) * units
    if array.shape[0] != rows:
        full = array.shape[0] // units
        where = (
            f"gate {gates[full]} has {array.shape[0] - full * units} of them"
            if full < len(gates)
            else f"there are {array.shape[0] - rows} after gate {gates[-1]}"
        )
        shape = f"({rows},)" if columns == 0 else f"({rows}, {columns or 'm'})"
        raise ValueError(
            f"{name} has shape {array.shape}, needed {shape}: {units} rows for each of the gates "
            f"{', '.join(gates)}, in this order; {where}"
        )
    if columns and array.shape[1] != columns:
        raise ValueError(
            f"{name} has shape {array.shape}, needed ({rows}, {columns}): in the rows of each of "
            f"the gates {', '.join(gates)} one column for each of {columns} units"
        )
    return array


def gate_rows(gates: Sequence[str], name: str, units: int) -> slice:
    """Return the rows of one gate.

    Raises
    ------
    ValueError
        If there is no such gate.
    """
    if name not in gates:
        raise ValueError(f"gate {name!r} is not known, needed one of: {', '.join(gates)}")
    first = list(gates).index(name) * units
    return slice(first, first + units)


class GatedMap(Map):
    """A map whose step multiplies the state by gates, which depend on the input.

    Two steps from the same state differ the more the larger the state is: there is no Lipschitz
    constant in the input that serves all states.
    """

    @final
    def affine(self) -> Affine | None:
        """Return None: it is not of the form rho(W h + U x + b)."""
        return None

    @final
    def input_lipschitz(self, norm: Norm) -> float | None:
        """Return None: no constant serves states of every size; see `rest_reach`."""
        del norm
        return None

    @abstractmethod
    def rounded_step(self, h: Rounded, x: Rounded) -> Rounded:
        """Return size and rounding error of a step, from a state and an input that are off."""

    @final
    def step_error(self, h_size: Array, x_size: Array) -> Array:
        """Bound the rounding error of one step, entrywise; derived in `rounded_step`."""
        return self.rounded_step(Rounded.exact(h_size), Rounded.exact(x_size)).error

    @final
    def _check_widths(self, h: Array, x: Array) -> None:
        if np.shape(h)[-1:] != (self.state_dim,) or np.shape(x)[-1:] != (self.input_dim,):
            raise ValueError(
                f"h has shape {np.shape(h)} and x has shape {np.shape(x)}, needed "
                f"(..., {self.state_dim}) and (..., {self.input_dim})"
            )


def finite_terms(terms: Array) -> Array:
    """Return what a step needs of the inputs.

    Raises
    ------
    DivergedError
        If it is not finite.
    """
    if not np.isfinite(terms).all():
        raise DivergedError(
            "U x + b left the range of double precision; scale the inputs or U down"
        )
    return terms


def carried_by_slopes(
    recurrent: Map, states: Zonotope, seen: Zonotope, before: Interval, after: Interval
) -> Zonotope | None:
    r"""Enclose a step as `Map.carry` by its slopes around one point, or None if none are known.

    With (c, y) a point of the box, step(h, x) = step(c, y) + M (h - c) + G (x - y), M and G of what
    `slope_range` and `input_slope_range` enclose there.
    """
    known, inputs = states.clipped(*before), seen.hull()
    if not all(np.isfinite(end).all() for end in (*known, *inputs)):
        return None
    c, y = np.clip(states.centre, *known), np.clip(seen.centre, *inputs)
    box = Domain(
        low=known[0], high=known[1], input_low=inputs[0], input_high=inputs[1], start=False
    )
    M, G = recurrent.slope_range(box), recurrent.input_slope_range(box)
    if M is None or G is None:
        return None
    new, off = recurrent.step(c, y), recurrent.step_error(np.abs(c), np.abs(y))
    image = sum_of((new, new), (-off, off))
    parts = states.less(c).affine(M, image), seen.less(y).affine(G)
    return combination([(np.ones(len(c)), part) for part in parts]).within(*after, EXCESS)
