"""The real-gated linear recurrent unit h <- a h + sqrt(1 - a**2) i x.

Main name: `RGLRU`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.arithmetic.activations import SIGMOID, SOFTPLUS
from theory.arithmetic.gates import sigmoid_up
from theory.arithmetic.intervals import (
    Interval,
    activation_image,
    affine_image,
    plus_up,
    products,
    sum_of,
    times_up,
)
from theory.arithmetic.rounded import Rounded
from theory.arithmetic.rounding import ELEMENTARY_UNITS, UNIT
from theory.errors import as_vector, check_positive
from theory.inputs import Inputs
from theory.maps.base import read_only
from theory.maps.boxes import ends as boxes
from theory.maps.boxes.fading import fading, roots, turned_box, turned_image
from theory.maps.gates import gate_rows, stacked
from theory.maps.recurrence import LinearRecurrence
from theory.typing import Array


@final
class RGLRU(LinearRecurrence):
    r"""The real-gated linear recurrent unit h <- a h + sqrt(1 - a**2) i x (Griffin).

    .. math::
        r, i = \sigma(U_\bullet x + b_\bullet),\qquad a = \sigma(\Lambda)^{c\, r}

    Parameters
    ----------
    U : (2 n, n) array
        Input weights, the rows of the gates r and i one after the other; the input has as many
        entries as the state.
    Lambda : (n,) array
        The logits of the slowest decay.
    b : (2 n,) array, optional
        Bias, zero by default.
    scale : float
        c, 8 as published.

    Raises
    ------
    ValueError
        If shapes do not fit (the message names the gate), a number is not finite, or the scale is
        not positive.

    Examples
    --------
    >>> unit = RGLRU(U=[[0.0], [0.0]], Lambda=[0.0], scale=2.0)  # r = i = 1/2, a = 1/2
    >>> unit.simulate([[1.0], [0.0]]).round(4).tolist()
    [[0.433], [0.2165]]
    """

    GATES = ("r", "i")

    def __init__(
        self,
        U: npt.ArrayLike,
        Lambda: npt.ArrayLike,
        b: npt.ArrayLike | None = None,
        scale: float = 8.0,
    ) -> None:
        self._Lambda = as_vector("Lambda", Lambda)
        n = self._Lambda.size
        if n == 0:
            raise ValueError("Lambda is empty, needed at least one unit")
        check_positive(scale=scale)
        self._U = stacked("U", U, self.GATES, n, n)
        self._b = stacked("b", np.zeros(2 * n) if b is None else b, self.GATES, n, 0)
        self._scale = float(scale)

    @property
    def state_dim(self) -> int:
        """Return n."""
        return self._Lambda.size

    @property
    def input_dim(self) -> int:
        """Return n: every unit has its own input."""
        return self._Lambda.size

    @property
    def scale(self) -> float:
        """Return c."""
        return self._scale

    @property
    def U(self) -> Array:
        """Return the input weights, (2 n, n), read-only."""
        return self._U

    @property
    def b(self) -> Array:
        """Return the bias, (2 n,), read-only."""
        return self._b

    @property
    def Lambda(self) -> Array:
        """Return the logits of the slowest decay, (n,), read-only."""
        return self._Lambda

    def gate(self, name: str) -> tuple[Array, Array]:
        """Return U and b of one gate: r (recurrence) or i (input).

        Raises
        ------
        ValueError
            If there is no such gate.
        """
        rows = gate_rows(self.GATES, name, self.state_dim)
        return self._U[rows], self._b[rows]

    @property
    def parameters(self) -> Mapping[str, Array]:
        """Return U, Lambda and b."""
        return read_only(U=self._U, Lambda=self._Lambda, b=self._b)

    def _rebuilt(self, parameters: Mapping[str, Any]) -> RGLRU:
        return RGLRU(**parameters, scale=self._scale)

    @property
    def _rate(self) -> Array:
        """Return q = -c log(sigma(Lambda)) = c softplus(-Lambda), so that a = exp(-q r)."""
        rate: Array = self._scale * SOFTPLUS(-self._Lambda)
        return rate

    @property
    def _rate_range(self) -> Interval:
        """Enclose q."""
        low, high = activation_image(SOFTPLUS, -self._Lambda, -self._Lambda)
        scale = np.full_like(low, self._scale)
        return products((scale, scale), (np.maximum(low, 0.0), high))

    def coefficients(self, x: Array) -> tuple[Array, Array]:
        """Return a and sqrt(1 - a**2) i x."""
        r, i = np.split(SIGMOID(x @ self._U.T + self._b), 2, axis=-1)
        faded = self._rate * r
        return np.exp(-faded), np.sqrt(-np.expm1(-2.0 * faded)) * i * x

    def _coefficient_slopes(self, x: Array) -> tuple[Array, Array]:
        pre_r, pre_i = np.split(x @ self._U.T + self._b, 2, axis=-1)
        U_r, U_i = np.split(self._U, 2)
        r, i = SIGMOID(pre_r), SIGMOID(pre_i)
        a, share = np.exp(-self._rate * r), np.sqrt(-np.expm1(-2.0 * self._rate * r))
        # d(q r), and d sqrt(1 - a**2) = a**2 d(q r) / sqrt(1 - a**2), which tends to 0 with q r
        turned = self._rate * SIGMOID.derivative(pre_r)
        by_share = np.divide(a * a * turned, share, out=np.zeros_like(a), where=share > 0)
        by_r = (by_share * i * x)[..., None] * U_r
        by_i = (share * SIGMOID.derivative(pre_i) * x)[..., None] * U_i
        own = (share * i)[..., None] * np.eye(self.state_dim)
        return -(a * turned)[..., None] * U_r, by_r + by_i + own

    def _rounded_coefficients(self, x: Rounded) -> tuple[Rounded, Rounded]:
        r"""Return size and rounding error of a and sqrt(1 - a**2) i x.

        y = q r > 0 is relatively accurate: the gate moves by a factor of at most e**e if its
        pre-activation is off by e, and softplus, two products and the gate round by 2 c + 1, 2 and
        c + 2 u, with c u for an elementary function.  Rounded weights move log softplus(-Lambda)
        by u |Lambda| at most, and log c by 2 u.  With w = log(y / Y), |w| <= e + (3 c + 8) u + ..,

            |exp(-y) - exp(-Y)| <= max(y exp(-y)) |w| <= min(1, |w| / 2),
            |log(s / S)| <= |w| / 2  for  s = sqrt(1 - exp(-2 y)),  so  |s - S| <= min(1, |w|).

        Where r, softplus or y underflows, y <= (1 + c + q) nu, nu the least normal number: a is off
        by no more then, and s is below the root of twice that.
        """
        r, i = (x.affine(*self.gate(name)) for name in self.GATES)
        arithmetic = x.arithmetic
        unit, c = arithmetic.unit, arithmetic.units(ELEMENTARY_UNITS)
        moved = r.error + (3 * c + 8) * unit
        if arithmetic.rounds_weights:
            moved = moved + unit * (2 * np.abs(self._Lambda) + 4)
        one = np.ones_like(moved)
        normal = arithmetic.tiny / (2 * unit)
        under = (1 + self._scale + self._rate_range[1]) * normal * (1 + 16 * UNIT)
        size = one * (1 + 2 * c * unit)
        a = x.of(size, np.minimum(1.0, moved / 2) + 2 * c * unit + under)
        share = x.of(size, np.minimum(1.0, moved) + 2 * c * unit + 2 * np.sqrt(under))
        return a, share * i.logistic() * x

    def _ranges(self, inputs: Interval) -> tuple[Interval, Interval, Interval]:
        """Enclose the pre-activations of r and i, and y = -log(a)."""
        at = sum_of(affine_image(self._U, *inputs), (self._b, self._b))
        r, i = zip(*(np.split(end, 2, axis=-1) for end in at), strict=True)
        rate = self._rate_range
        low, high = products((np.maximum(rate[0], 0.0), rate[1]), activation_image(SIGMOID, *r))
        return r, i, (np.maximum(low, 0.0), high)

    def decay_range(self, inputs: Interval) -> Interval:
        """Enclose a over boxes of inputs, (..., m)."""
        return fading(self._ranges(inputs)[2])

    def _image(self, box: boxes.Ends) -> Interval:
        inputs = (box.input_low, box.input_high)
        _, i, y = self._ranges(inputs)
        drive = products(activation_image(SIGMOID, *i), inputs)
        return turned_image(y, drive, (box.low, box.high))

    def candidate_box(self, input_low: Array, input_high: Array) -> Interval | None:
        """Return a box that stays: i x sqrt((1 + a) / (1 - a)) at the slowest decay."""
        inputs = (input_low, input_high)
        _, i, y = self._ranges(inputs)
        return turned_box(y, products(activation_image(SIGMOID, *i), inputs))

    def _drive_slopes(self, box: boxes.Ends) -> Array:
        inputs = (box.input_low, box.input_high)
        r, i, y = self._ranges(inputs)
        U_r, U_i = np.split(self._U, 2)
        turned = times_up(self._rate_range[1], boxes.steepest(SIGMOID, r))
        gate, seen = activation_image(SIGMOID, *i)[1], boxes.magnitude(inputs)
        slowest = fading((y[0], y[0]))[1]
        share = roots(y[1])[1]
        with np.errstate(divide="ignore"):
            # |d sqrt(1 - exp(-2 y)) / dy| = exp(-2 y) / sqrt(1 - exp(-2 y)), which falls with y
            by_y = np.nextafter(times_up(slowest, slowest) / roots(y[0])[0], np.inf)
        by_r = times_up(
            turned,
            plus_up(
                times_up(slowest, boxes.magnitude((box.low, box.high))),
                times_up(by_y, times_up(gate, seen)),
            ),
        )
        by_i = times_up(times_up(share, seen), boxes.steepest(SIGMOID, i))
        return plus_up(
            times_up(by_r[:, None], np.abs(U_r)),
            times_up(by_i[:, None], np.abs(U_i)),
            np.diag(times_up(share, gate)),
        )

    def rest_reach(self, inputs: Inputs) -> Array:
        """Bound sqrt(1 - a**2) i |x|, entrywise, by i |x|."""
        U_i, b_i = self.gate("i")
        i = sigmoid_up(np.nextafter(inputs.image_upper(U_i) + b_i, np.inf))
        return np.nextafter(i * inputs.reach(self.input_dim), np.inf)

    def __repr__(self) -> str:
        return f"RGLRU(n={self.state_dim})"
