"""The minimal gated recurrent unit, whose gates see the input only.

Main name: `MinGRU`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.arithmetic.activations import SIGMOID, Activation
from theory.arithmetic.activations import activation as look_up
from theory.arithmetic.gates import sigmoid_up
from theory.arithmetic.intervals import (
    Interval,
    activation_image,
    affine_image,
    plus_up,
    slope_range,
    sum_of,
    times_up,
)
from theory.arithmetic.relaxations import relaxed
from theory.arithmetic.rounded import Rounded
from theory.arithmetic.zonotopes import Zonotope, combination, product
from theory.errors import as_matrix
from theory.inputs import Inputs
from theory.maps.base import read_only
from theory.maps.boxes import ends as boxes
from theory.maps.boxes.reached import EXCESS
from theory.maps.gates import finite_terms, gate_rows, stacked
from theory.maps.recurrence import LinearRecurrence
from theory.typing import Array


@final
class MinGRU(LinearRecurrence):
    r"""The minimal gated recurrent unit h <- (1 - z) h + z n, whose gates see the input only.

    .. math:: z = \sigma(U_z x + b_z),\qquad n = \rho(U_n x + b_n)

    Parameters
    ----------
    U : (2 n, m) array
        Input weights, the rows of the gates z and n one after the other.
    b : (2 n,) array, optional
        Bias, zero by default.
    activation : str or Activation
        rho, of the candidate n; ``identity`` by default, as published.

    Raises
    ------
    ValueError
        If shapes do not fit (the message names the gate), a number is not finite, or the
        activation is unknown.

    Examples
    --------
    >>> MinGRU([[0.0], [1.0]]).simulate([[1.0], [0.0]]).tolist()
    [[0.5], [0.25]]
    """

    GATES = ("z", "n")

    def __init__(
        self,
        U: npt.ArrayLike,
        b: npt.ArrayLike | None = None,
        activation: str | Activation = "identity",
    ) -> None:
        n = max(1, as_matrix("U", U).shape[0] // 2)
        self._U = stacked("U", U, self.GATES, n, None)
        self._b = stacked("b", np.zeros(2 * n) if b is None else b, self.GATES, n, 0)
        self._activation = look_up(activation)

    @property
    def state_dim(self) -> int:
        """Return n."""
        return int(self._U.shape[0]) // 2

    @property
    def input_dim(self) -> int:
        """Return m."""
        return int(self._U.shape[1])

    @property
    def activation(self) -> Activation:
        """Return rho, of the candidate."""
        return self._activation

    @property
    def U(self) -> Array:
        """Return the input weights, (2 n, m), read-only."""
        return self._U

    @property
    def b(self) -> Array:
        """Return the bias, (2 n,), read-only."""
        return self._b

    def gate(self, name: str) -> tuple[Array, Array]:
        """Return U and b of one gate: z (update) or n (the candidate).

        Raises
        ------
        ValueError
            If there is no such gate.
        """
        rows = gate_rows(self.GATES, name, self.state_dim)
        return self._U[rows], self._b[rows]

    @property
    def parameters(self) -> Mapping[str, Array]:
        """Return U and b."""
        return read_only(U=self._U, b=self._b)

    def _rebuilt(self, parameters: Mapping[str, Any]) -> MinGRU:
        return MinGRU(**parameters, activation=self._activation)

    def _preactivations(self, x: Array) -> tuple[Array, Array]:
        z, n = np.split(finite_terms(x @ self._U.T + self._b), 2, axis=-1)
        return z, n

    def coefficients(self, x: Array) -> tuple[Array, Array]:
        """Return 1 - z, as the gate of the opposite pre-activation, and z n."""
        z, n = self._preactivations(x)
        return SIGMOID(-z), SIGMOID(z) * self._activation(n)

    def _coefficient_slopes(self, x: Array) -> tuple[Array, Array]:
        z, n = self._preactivations(x)
        U_z, U_n = np.split(self._U, 2)
        by_z = SIGMOID.derivative(z)[..., None] * U_z
        by_n = self._activation.derivative(n)[..., None] * U_n
        rho = self._activation(n)[..., None]
        return -by_z, rho * by_z + SIGMOID(z)[..., None] * by_n

    def _rounded_coefficients(self, x: Rounded) -> tuple[Rounded, Rounded]:
        z, n = (x.affine(*self.gate(name)) for name in self.GATES)
        rho = self._activation
        candidate = n.through(*rho.facts)
        return z.logistic(), z.logistic() * candidate

    def _ranges(self, inputs: Interval) -> tuple[Interval, Interval]:
        """Enclose the pre-activations of z and n."""
        low, high = affine_image(self._U, *inputs)
        at = sum_of((low, high), (self._b, self._b))
        z, n = zip(*(np.split(end, 2, axis=-1) for end in at), strict=True)
        return z, n

    def decay_range(self, inputs: Interval) -> Interval:
        """Enclose 1 - z over boxes of inputs, (..., m)."""
        z, _ = self._ranges(inputs)
        return activation_image(SIGMOID, -z[1], -z[0])

    def _image(self, box: boxes.Ends) -> Interval:
        z, n = self._ranges((box.input_low, box.input_high))
        share = activation_image(SIGMOID, *z)
        return boxes.mixed(share, activation_image(self._activation, *n), (box.low, box.high))

    def carry(
        self,
        states: Zonotope,
        seen: Zonotope,
        before: Interval,
        after: Interval,
        ranges: Interval | None = None,
    ) -> Zonotope:
        """Enclose h + z (n - h), z and n as forms in what is seen."""
        del ranges
        n, one = self.state_dim, np.ones(self.state_dim)
        form, at = seen.affine(self._U, self._b), self._ranges(seen.hull())
        z = relaxed(SIGMOID, form.rows(slice(n)), *at[0])
        new = relaxed(self._activation, form.rows(slice(n, None)), *at[1])
        apart = combination([(one, new), (-one, states)])
        news, known = activation_image(self._activation, *at[1]), states.clipped(*before)
        apart_ends = sum_of(news, (-known[1], -known[0]))
        total = product(z, apart, activation_image(SIGMOID, *at[0]), apart_ends, plus=states)
        return total.within(*after, EXCESS)

    def candidate_box(self, input_low: Array, input_high: Array) -> Interval | None:
        """Return the hull of 0 and the candidates, of which every state is a mean."""
        _, n = self._ranges((input_low, input_high))
        return boxes.hull_with_room(activation_image(self._activation, *n))

    def _drive_slopes(self, box: boxes.Ends) -> Array:
        # (1 - z) h + z n: the difference is (z - z') (n' - h) + z (n - n')
        z, n = self._ranges((box.input_low, box.input_high))
        U_z, U_n = np.split(self._U, 2)
        candidate = activation_image(self._activation, *n)
        apart = boxes.magnitude(sum_of(candidate, (-box.high, -box.low)))
        moved = times_up(boxes.steepest(SIGMOID, z), apart)
        slopes = boxes.magnitude(slope_range(self._activation, *n))
        new = times_up(activation_image(SIGMOID, *z)[1], slopes)
        return plus_up(times_up(moved[:, None], np.abs(U_z)), times_up(new[:, None], np.abs(U_n)))

    def rest_reach(self, inputs: Inputs) -> Array:
        """Bound z |n|, entrywise."""
        (U_z, b_z), (U_n, b_n) = (self.gate(name) for name in self.GATES)
        z = sigmoid_up(np.nextafter(inputs.image_upper(U_z) + b_z, np.inf))
        n = Rounded.exact(np.nextafter(inputs.image_upper(U_n) + np.abs(b_n), np.inf))
        rho = self._activation
        candidate = n.through(*rho.facts).size
        return np.nextafter(z * candidate, np.inf)

    def __repr__(self) -> str:
        return (
            f"MinGRU(n={self.state_dim}, m={self.input_dim}, activation={self._activation.name!r})"
        )
