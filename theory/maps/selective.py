"""The selective state-space layer, whose step size depends on the input.

Main name: `SelectiveSSM`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.arithmetic.activations import SOFTPLUS
from theory.arithmetic.intervals import (
    Interval,
    activation_image,
    activation_upper,
    affine_image,
    plus_up,
    products,
    sum_of,
    times_up,
    widened,
)
from theory.arithmetic.relaxations import relaxed, relaxed_convex
from theory.arithmetic.rounded import Rounded
from theory.arithmetic.rounding import UNIT
from theory.arithmetic.zonotopes import Zonotope, combination, product
from theory.errors import as_matrix, as_vector
from theory.inputs import Inputs
from theory.maps.base import read_only
from theory.maps.boxes import ends as boxes
from theory.maps.boxes.ends import meet
from theory.maps.boxes.fading import euler_box, euler_image, faded_share, fading
from theory.maps.boxes.reached import EXCESS
from theory.maps.recurrence import LinearRecurrence
from theory.typing import Array


@final
class SelectiveSSM(LinearRecurrence):
    r"""The selective state-space layer (Mamba): a step size that depends on the input.

    Channel d of the input, x_d, drives N states of its own:

    .. math::
        \Delta_d = \mathrm{softplus}((W_\Delta x + b_\Delta)_d),\qquad
        h_{ds}^+ = e^{-a_{ds} \Delta_d} h_{ds} + \gamma_{ds} (W_B x + b_B)_s\, x_d,

    with gamma = Delta (``euler``, as Mamba is implemented) or (1 - exp(-a Delta)) / a (``zoh``, the
    exact response to a held input).

    Inputs beyond the m-th drive no state: they steer the step sizes and the gain.

    Parameters
    ----------
    decay : (m, N) array of positive numbers
        a, the rates of the states; Mamba stores log(a).
    W_step : (m, p) array
        Weights of the step size, p >= m; a product of low rank is multiplied out.
    W_B : (N, p) array
        Weights of the input gain; zero, with a bias, where the gain is not selective.
    b_step : (m,) array, optional
        Zero by default.
    b_B : (N,) array, optional
        Zero by default.
    discretization : str
        ``euler`` or ``zoh``.

    Raises
    ------
    ValueError
        If shapes do not fit, a number is not finite, a rate is not positive, or the discretisation
        is unknown.

    Notes
    -----
    The state h_{ds} is entry d N + s.

    Examples
    --------
    >>> layer = SelectiveSSM([[1.0]], [[0.0]], [[0.0]], b_B=[1.0], discretization="zoh")
    >>> layer.simulate([[1.0], [0.0]]).round(4).tolist()  # softplus(0) = log 2
    [[0.5], [0.25]]
    """

    def __init__(
        self,
        decay: npt.ArrayLike,
        W_step: npt.ArrayLike,
        W_B: npt.ArrayLike,
        b_step: npt.ArrayLike | None = None,
        b_B: npt.ArrayLike | None = None,
        discretization: str = "euler",
    ) -> None:
        self._decay = as_matrix("decay", decay)
        m, N = self._decay.shape
        if not np.min(self._decay) > 0:
            raise ValueError(
                f"decay has least entry {np.min(self._decay)}, needed positive rates; a model that "
                "stores A = -exp(A_log) has decay = exp(A_log)"
            )
        self._W_step = as_matrix("W_step", W_step, rows=m)
        p = self._W_step.shape[1]
        if p < m:
            raise ValueError(
                f"W_step has shape {self._W_step.shape}, needed ({m}, {m}), one column for each of "
                f"the {m} channels of decay, or more"
            )
        self._W_B = as_matrix("W_B", W_B, rows=N, columns=p)
        self._b_step = as_vector("b_step", np.zeros(m) if b_step is None else b_step, size=m)
        self._b_B = as_vector("b_B", np.zeros(N) if b_B is None else b_B, size=N)
        if discretization not in {"euler", "zoh"}:
            raise ValueError(f"discretization={discretization!r}, needed one of: euler, zoh")
        self._discretization = discretization

    @property
    def state_dim(self) -> int:
        """Return m N."""
        return self._decay.size

    @property
    def input_dim(self) -> int:
        """Return p, the number of channels, and of inputs that only steer."""
        return int(self._W_step.shape[1])

    @property
    def discretization(self) -> str:
        """Return ``euler`` or ``zoh``."""
        return self._discretization

    @property
    def decay(self) -> Array:
        """Return a, the rates, (m, N), read-only."""
        return self._decay

    @property
    def W_step(self) -> Array:
        """Return the weights of the step size, (m, p), read-only."""
        return self._W_step

    @property
    def W_B(self) -> Array:
        """Return the weights of the input gain, (N, p), read-only."""
        return self._W_B

    @property
    def b_step(self) -> Array:
        """Return the bias of the step size, (m,), read-only."""
        return self._b_step

    @property
    def b_B(self) -> Array:
        """Return the bias of the input gain, (N,), read-only."""
        return self._b_B

    @property
    def parameters(self) -> Mapping[str, Array]:
        """Return decay, W_step, W_B, b_step and b_B."""
        return read_only(
            decay=self._decay,
            W_step=self._W_step,
            W_B=self._W_B,
            b_step=self._b_step,
            b_B=self._b_B,
        )

    def _rebuilt(self, parameters: Mapping[str, Any]) -> SelectiveSSM:
        return SelectiveSSM(**parameters, discretization=self._discretization)

    def _channels(self, x: Array) -> Array:
        """Return the entries of inputs (..., p) that drive states, (..., m)."""
        return x[..., : len(self._decay)]

    def _flat(self, table: Array) -> Array:
        """Return (..., m, N) as (..., m N)."""
        return table.reshape(*table.shape[:-2], self.state_dim)

    def _steps(self, x: Array) -> tuple[Array, Array, Array]:
        """Return a Delta, (..., m, N), gamma, (..., m, N), and the input gain, (..., N)."""
        step = SOFTPLUS(x @ self._W_step.T + self._b_step)[..., None]
        faded = self._decay * step
        if self._discretization == "euler":
            gamma = np.broadcast_to(step, faded.shape)
        else:
            gamma = -np.expm1(-faded) / self._decay
        return faded, gamma, x @ self._W_B.T + self._b_B

    def coefficients(self, x: Array) -> tuple[Array, Array]:
        """Return exp(-a Delta) and gamma (W_B x + b_B) x, each (..., m N)."""
        faded, gamma, gain = self._steps(x)
        driven = gain[..., None, :] * self._channels(x)[..., :, None]
        return self._flat(np.exp(-faded)), self._flat(gamma * driven)

    def _coefficient_slopes(self, x: Array) -> tuple[Array, Array]:
        faded, gamma, gain = self._steps(x)
        m, N = self._decay.shape
        step = SOFTPLUS.derivative(x @ self._W_step.T + self._b_step)[..., None] * self._W_step
        step = step[..., :, None, :]  # dDelta_d / dx_j, (..., m, 1, p)
        decay = np.exp(-faded)[..., None]
        own, p = self._channels(x), self.input_dim
        driven = (gain[..., None, :] * own[..., :, None])[..., None]
        # d(B_s x_d) / dx_j = W_sj x_d + B_s [d = j]
        d_driven = (
            self._W_B * own[..., :, None, None]
            + gain[..., None, :, None] * np.eye(m, p)[:, None, :]
        )
        d_gamma = step if self._discretization == "euler" else decay * step
        slopes = (
            -self._decay[..., None] * decay * step,
            d_gamma * driven + gamma[..., None] * d_driven,
        )
        leading = x.shape[:-1]
        first, second = (np.broadcast_to(s, (*leading, m, N, p)) for s in slopes)
        return first.reshape(*leading, m * N, p), second.reshape(*leading, m * N, p)

    def _rounded_coefficients(self, x: Rounded) -> tuple[Rounded, Rounded]:
        m, N = self._decay.shape

        def each_state(p: Rounded) -> Rounded:
            return x.of(np.repeat(p.size, N), np.repeat(p.error, N))

        step = each_state(x.affine(self._W_step, self._b_step).through(*SOFTPLUS.facts))
        gain = x.affine(self._W_B, self._b_B)
        driven = x.of(np.tile(gain.size, m), np.tile(gain.error, m)) * each_state(x.part(slice(m)))
        rates = self._decay.ravel()
        faded = x.stored(rates) * step
        # exp(-y) and 1 - exp(-y) have slope at most 1 where y >= 0
        decay = faded.through(1.0, 1.0, (0.0, 1.0))
        if self._discretization == "euler":
            return decay, step * driven
        # off by the division, and by the rates where these were rounded: a stored rate is a (1 + e)
        # with |e| <= u + eta / a, and |1 / (1 + e) - 1| <= 2 |e| where that is at most 1/2
        off = np.full_like(rates, 2 * x.arithmetic.unit)
        if x.arithmetic.rounds_weights:
            with np.errstate(over="ignore"):
                lost = (x.arithmetic.unit + x.arithmetic.tiny / rates) * (1 + 8 * UNIT)
            off = np.where(lost <= 0.5, off + 2 * lost, np.inf)
        with np.errstate(over="ignore"):
            inverse = x.of((1 + off) / rates, off / rates)
        return decay, faded.through(1.0, 0.0, (0.0, 1.0)) * inverse * driven

    def _step_range(self, inputs: Interval) -> tuple[Interval, Interval, Interval]:
        """Enclose W_Delta x + b_Delta, (..., m), and Delta and a Delta, each (..., m N)."""
        N = self._decay.shape[1]
        at = sum_of(affine_image(self._W_step, *inputs), (self._b_step, self._b_step))
        low, high = activation_image(SOFTPLUS, *at)
        step = (np.repeat(np.maximum(low, 0.0), N, axis=-1), np.repeat(high, N, axis=-1))
        rates = self._decay.ravel()
        return at, step, products((rates, rates), step)

    def _driven_range(self, inputs: Interval) -> tuple[Interval, Interval]:
        """Enclose W_B x + b_B, (N,), and its products with every x_d, (m N,)."""
        m, N = self._decay.shape
        gain = sum_of(affine_image(self._W_B, *inputs), (self._b_B, self._b_B))
        seen = tuple(np.repeat(self._channels(end), N) for end in inputs)
        return gain, products((np.tile(gain[0], m), np.tile(gain[1], m)), (seen[0], seen[1]))

    def _held_range(self, inputs: Interval) -> Interval:
        """Enclose the fixed points of the `zoh` step, (W_B x + b_B)_s x_d / a."""
        rates = self._decay.ravel()
        inverse = (np.nextafter(1.0 / rates, 0.0), np.nextafter(1.0 / rates, np.inf))
        return products(inverse, self._driven_range(inputs)[1])

    def decay_range(self, inputs: Interval) -> Interval:
        """Enclose exp(-a Delta) over boxes of inputs, (..., m)."""
        return fading(self._step_range(inputs)[2])

    def _image(self, box: boxes.Ends) -> Interval:
        inputs, states = (box.input_low, box.input_high), (box.low, box.high)
        _, step, y = self._step_range(inputs)
        if self._discretization == "zoh":
            return boxes.mixed(fading(y), states, self._held_range(inputs))
        return euler_image(self._decay.ravel(), step, self._driven_range(inputs)[1], states)

    def carry(
        self,
        states: Zonotope,
        seen: Zonotope,
        before: Interval,
        after: Interval,
        ranges: Interval | None = None,
    ) -> Zonotope:
        """Enclose exp(-a D) h + gamma (W_B x + b_B) x, all factors as forms in what is seen."""
        del ranges
        if self._discretization == "zoh":
            return super().carry(states, seen, before, after)
        m, N = self._decay.shape
        inputs, channel = seen.hull(), np.repeat(np.arange(m), N)
        at, (low, high), y = self._step_range(inputs)
        form = seen.affine(self._W_step, self._b_step)
        step = relaxed(SOFTPLUS, form, *form.clipped(*at)).rows(channel)
        ends = step.clipped(low, high)
        faded = combination([(-self._decay.ravel(), step)])
        rates = self._decay.ravel()
        a_ends = fading(meet(y, products((rates, rates), ends)))
        faded_ends = faded.clipped(-y[1], -y[0])
        a = relaxed_convex(_exp, _exp, np.log, faded, faded_ends).within(*a_ends, EXCESS)
        kept = product(a, states, a_ends, states.clipped(*before))
        gain, driven = self._driven_range(inputs)
        g = seen.affine(self._W_B, self._b_B).rows(np.tile(np.arange(N), m))
        g_ends = g.clipped(np.tile(gain[0], m), np.tile(gain[1], m))
        own = seen.rows(channel)
        write = product(g, own, g_ends, (inputs[0][channel], inputs[1][channel]))
        total = product(step, write, ends, write.clipped(*driven), plus=kept)
        return total.within(*after, EXCESS)

    def candidate_box(self, input_low: Array, input_high: Array) -> Interval | None:
        """Return a box that stays: that of the fixed points of single steps."""
        inputs = (input_low, input_high)
        if self._discretization == "zoh":
            return boxes.hull_with_room(self._held_range(inputs))
        _, step, y = self._step_range(inputs)
        return euler_box(y, step, self._driven_range(inputs)[1])

    def _drive_slopes(self, box: boxes.Ends) -> Array:
        inputs = (box.input_low, box.input_high)
        m, N = self._decay.shape
        at, step, y = self._step_range(inputs)
        gain, driven = self._driven_range(inputs)
        steep = np.repeat(boxes.steepest(SOFTPLUS, at), N)
        slowest = fading(y)[1]
        # d(a Delta) and d(gamma) by the pre-activation of Delta
        fade = times_up(times_up(self._decay.ravel(), slowest), steep)
        stretch = steep if self._discretization == "euler" else times_up(slowest, steep)
        by_step = plus_up(
            times_up(fade, boxes.magnitude((box.low, box.high))),
            times_up(stretch, boxes.magnitude(driven)),
        )
        gamma = step[1]
        if self._discretization == "zoh":
            shortest = np.nextafter(1.0 / self._decay.ravel(), np.inf)
            gamma = np.minimum(gamma, times_up(faded_share(y[1])[1], shortest))
        own = times_up(gamma, np.tile(boxes.magnitude(gain), m))
        seen = times_up(gamma, np.repeat(self._channels(boxes.magnitude(inputs)), N))
        return plus_up(
            times_up(by_step[:, None], np.abs(np.repeat(self._W_step, N, axis=0))),
            times_up(own[:, None], np.repeat(np.eye(m, self.input_dim), N, axis=0)),
            times_up(seen[:, None], np.abs(np.tile(self._W_B, (m, 1)))),
        )

    def rest_reach(self, inputs: Inputs) -> Array:
        """Bound gamma |W_B x + b_B| |x| entrywise; gamma is at most Delta, and 1 / a for zoh."""
        N = self._decay.shape[1]
        longest = np.nextafter(inputs.image_upper(self._W_step) + self._b_step, np.inf)
        gamma = np.broadcast_to(activation_upper(SOFTPLUS, longest)[:, None], self._decay.shape)
        if self._discretization == "zoh":
            gamma = np.minimum(gamma, np.nextafter(1.0 / self._decay, np.inf))
        gain = np.nextafter(inputs.image_upper(self._W_B) + np.abs(self._b_B), np.inf)
        reach = self._channels(inputs.reach(self.input_dim))
        driven = np.nextafter(gain * reach[:, None], np.inf)
        assert driven.shape[1] == N
        return np.nextafter(gamma * driven, np.inf).ravel()

    def __repr__(self) -> str:
        m, N = self._decay.shape
        more = "" if self.input_dim == m else f", inputs={self.input_dim}"
        return f"SelectiveSSM(m={m}, N={N}{more}, discretization={self._discretization!r})"


def _exp(a: Array) -> Interval:
    """Enclose exp(a)."""
    low, high = widened(np.exp(a), np.exp(a))
    return np.maximum(low, 0.0), high
