r"""State-space layers: maps that are linear in the state, entry by entry.

Main names: `DiagonalSSM`, `SelectiveSSM`, `MinGRU`, `RGLRU`, `LinearRecurrence`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any, final

import numpy as np

from theory.activations import IDENTITY, SIGMOID, SOFTPLUS, Activation
from theory.activations import activation as look_up
from theory.domain import Domain
from theory.errors import as_matrix, as_vector, check_positive
from theory.inputs import Inputs
from theory.intervals import (
    Interval,
    activation_image,
    affine_image,
    plus_up,
    products,
    slope_range,
    sum_of,
    times_up,
)
from theory.maps import boxes
from theory.maps.base import Affine, Map, fixed_box, read_only
from theory.maps.gates import GatedMap, finite_terms, gate_rows, largest, stacked
from theory.norms import Norm
from theory.rounding import UNIT, Rounded
from theory.typing import Array


@final
class DiagonalSSM(Map):
    r"""The diagonal linear state-space layer s <- diag(eigenvalues) s + B x, s complex (LRU, S4D).

    The state is real, (Re s, Im s), of dimension 2 n.

    Parameters
    ----------
    eigenvalues : (n,) complex array
    B : (n, m) complex array
        Input matrix, any normalisation included.

    Raises
    ------
    ValueError
        If shapes do not fit or a number is not finite.

    Examples
    --------
    >>> layer = DiagonalSSM([0.5j], [[1.0]])
    >>> layer.simulate([[1.0], [0.0], [0.0]]).tolist()
    [[1.0, 0.0], [0.0, 0.5], [-0.25, 0.0]]
    """

    def __init__(self, eigenvalues: Any, B: Any) -> None:
        values, matrix = np.asarray(eigenvalues), np.asarray(B)
        self._real = as_vector("eigenvalues (real part)", values.real)
        n = self._real.size
        self._imag = as_vector("eigenvalues (imaginary part)", values.imag, size=n)
        if n == 0:
            raise ValueError("eigenvalues is empty, needed at least one")
        self._B_real = as_matrix("B (real part)", matrix.real, rows=n)
        self._B_imag = as_matrix("B (imaginary part)", matrix.imag, rows=n)

    @property
    def units(self) -> int:
        """Return n, the number of eigenvalues."""
        return self._real.size

    @property
    def state_dim(self) -> int:
        """Return 2 n: the state is (Re s, Im s)."""
        return 2 * self._real.size

    @property
    def input_dim(self) -> int:
        """Return m."""
        return int(self._B_real.shape[1])

    @property
    def eigenvalues(self) -> np.ndarray[tuple[int, ...], np.dtype[np.complex128]]:
        """Return the eigenvalues, (n,), complex."""
        return self._real + 1j * self._imag

    @property
    def B(self) -> np.ndarray[tuple[int, ...], np.dtype[np.complex128]]:
        """Return the input matrix, (n, m), complex."""
        return self._B_real + 1j * self._B_imag

    @property
    def parameters(self) -> Mapping[str, Array]:
        """Return real and imaginary parts of the eigenvalues and of B."""
        return read_only(
            eigenvalues_real=self._real,
            eigenvalues_imag=self._imag,
            B_real=self._B_real,
            B_imag=self._B_imag,
        )

    def _rebuilt(self, parameters: Mapping[str, Any]) -> DiagonalSSM:
        parts = {name: np.asarray(value) for name, value in parameters.items()}
        return DiagonalSSM(
            parts["eigenvalues_real"] + 1j * parts["eigenvalues_imag"],
            parts["B_real"] + 1j * parts["B_imag"],
        )

    @cached_property
    def _form(self) -> Affine:
        real, imag = np.diag(self._real), np.diag(self._imag)
        form = Affine(
            W=np.block([[real, -imag], [imag, real]]),
            U=np.vstack([self._B_real, self._B_imag]),
            b=np.zeros(self.state_dim),
            rho=IDENTITY,
        )
        for array in (form.W, form.U, form.b):
            array.flags.writeable = False
        return form

    def affine(self) -> Affine:
        """Return it as the real linear system of dimension 2 n that it is."""
        return self._form

    def step(self, h: Array, x: Array) -> Array:
        """Return (Re s+, Im s+), s+ = eigenvalues * s + B x."""
        if np.shape(h)[-1:] != (self.state_dim,) or np.shape(x)[-1:] != (self.input_dim,):
            raise ValueError(
                f"h has shape {np.shape(h)} and x has shape {np.shape(x)}, needed "
                f"(..., {self.state_dim}) and (..., {self.input_dim})"
            )
        return self.advance(h, self.input_terms(x))

    def jacobian_state(self, h: Array, x: Array) -> Array:
        """Return the matrix of the linear system, (2 n, 2 n), for every state."""
        leading = np.broadcast_shapes(np.shape(h)[:-1], np.shape(x)[:-1])
        return np.broadcast_to(self._form.W, (*leading, *self._form.W.shape)).copy()

    def jacobian_input(self, h: Array, x: Array) -> Array:
        """Return (Re B; Im B), (2 n, m), for every input."""
        leading = np.broadcast_shapes(np.shape(h)[:-1], np.shape(x)[:-1])
        return np.broadcast_to(self._form.U, (*leading, *self._form.U.shape)).copy()

    def input_terms(self, X: Array) -> Array:
        """Return (Re B x, Im B x) for every input."""
        return finite_terms(np.concatenate([X @ self._B_real.T, X @ self._B_imag.T], axis=-1))

    def advance(self, h: Array, terms: Array, out: Array | None = None) -> Array:
        """Return ``step(h, x)`` from ``terms = input_terms(x)``."""
        n = self._real.size
        real, imag = h[..., :n], h[..., n:]
        leading = np.broadcast_shapes(h.shape[:-1], terms.shape[:-1])
        result = np.empty((*leading, 2 * n)) if out is None else out
        result[..., :n] = self._real * real - self._imag * imag + terms[..., :n]
        result[..., n:] = self._imag * real + self._real * imag + terms[..., n:]
        return result

    def rounded_step(self, h: Rounded, x: Rounded) -> Rounded:
        """Return size and rounding error of a step: two products and a sum of m an entry."""
        real, imag = (Rounded.exact(np.tile(np.abs(part), 2)) for part in (self._real, self._imag))
        swapped = Rounded(np.roll(h.size, self._real.size), np.roll(h.error, self._real.size))
        return real * h + imag * swapped + x.affine(self._form.U)

    def step_error(self, h_size: Array, x_size: Array) -> Array:
        """Bound the rounding error of one step, entrywise; derived in `rounded_step`."""
        return self.rounded_step(Rounded.exact(h_size), Rounded.exact(x_size)).error

    def input_lipschitz(self, norm: Norm) -> float:
        """Return ||(Re B; Im B)||, rounded up."""
        return norm.matrix_upper(self._form.U, norm.companion)

    def image(self, domain: Domain) -> Interval:
        """Enclose (Re s+, Im s+) over a box."""
        boxes.ends_of(domain, self.state_dim, self.input_dim)
        return sum_of(
            affine_image(self._form.W, domain.low, domain.high),
            affine_image(self._form.U, domain.input_low, domain.input_high),
        )

    def candidate_box(self, input_low: Array, input_high: Array) -> Interval | None:
        """Return a box that stays; None if |Re| + |Im| of an eigenvalue is not below 1.

        A rotation moves the corners of a box out of it: what always stays if |s_i| < 1 is a disc
        for each eigenvalue.
        """
        at_rest = affine_image(self._form.U, input_low, input_high)
        return fixed_box(np.abs(self._form.W), boxes.magnitude(at_rest))

    def comparison(self, domain: Domain | None = None) -> tuple[Array, ...]:
        """Return the entrywise size of the real system's matrix."""
        boxes.ends_of(domain, self.state_dim, self.input_dim)
        return (np.abs(self._form.W),)

    def input_comparison(self, domain: Domain | None = None) -> Array:
        """Return the entrywise size of (Re B; Im B)."""
        boxes.ends_of(domain, self.state_dim, self.input_dim)
        size: Array = np.abs(self._form.U)
        return size

    def _run(self, X: Array, h0: Array) -> Array:
        from theory.kernels.gated import run_complex

        return run_complex(self._real, self._imag, self.input_terms(X), h0)

    def __repr__(self) -> str:
        return f"DiagonalSSM(n={self._real.size}, m={self.input_dim})"


class LinearRecurrence(GatedMap):
    """A map h <- a(x) h + u(x), entry by entry; a subclass says what a and u are."""

    @abstractmethod
    def coefficients(self, x: Array) -> tuple[Array, Array]:
        """Return a(x) and u(x), each (..., n), of inputs (..., m)."""

    @abstractmethod
    def _coefficient_slopes(self, x: Array) -> tuple[Array, Array]:
        """Return da/dx and du/dx, each (..., n, m)."""

    @abstractmethod
    def _rounded_coefficients(self, x: Rounded) -> tuple[Rounded, Rounded]:
        """Return size and rounding error of a(x) and u(x)."""

    @final
    def step(self, h: Array, x: Array) -> Array:
        """Return a(x) h + u(x)."""
        self._check_widths(h, x)
        a, u = self.coefficients(x)
        return a * h + u

    @final
    def jacobian_state(self, h: Array, x: Array) -> Array:
        """Return diag(a(x)), (..., n, n)."""
        a = np.broadcast_arrays(self.coefficients(x)[0], h)[0]
        result: Array = a[..., None] * np.eye(self.state_dim)
        return result

    @final
    def jacobian_input(self, h: Array, x: Array) -> Array:
        """Return diag(h) da/dx + du/dx, (..., n, m)."""
        decay, drive = self._coefficient_slopes(x)
        result: Array = h[..., None] * decay + drive
        return result

    @final
    def input_terms(self, X: Array) -> Array:
        """Return (a(x), u(x)) for every input, (..., 2 n)."""
        return finite_terms(np.concatenate(self.coefficients(X), axis=-1))

    @final
    def advance(self, h: Array, terms: Array, out: Array | None = None) -> Array:
        """Return a h + u from ``terms = (a, u)``."""
        n = self.state_dim
        result: Array = np.multiply(h, terms[..., :n], out=out)
        result += terms[..., n:]
        return result

    @final
    def rounded_step(self, h: Rounded, x: Rounded) -> Rounded:
        """Return size and rounding error of a h + u from those of a and u."""
        a, u = self._rounded_coefficients(x)
        return a * h + u

    @abstractmethod
    def decay_range(self, inputs: Interval) -> Interval:
        """Enclose a(x) over a box of inputs, (n,)."""

    @abstractmethod
    def _image(self, box: boxes.Ends) -> Interval:
        """Enclose a(x) h + u(x) over a box."""

    @abstractmethod
    def _drive_slopes(self, box: boxes.Ends) -> Array:
        """Bound |a(x) h + u(x) - a(y) h - u(y)| by G |x - y|, entrywise: (n, m)."""

    @final
    def _ends(self, domain: Domain | None) -> boxes.Ends:
        return boxes.ends_of(domain, self.state_dim, self.input_dim)

    @final
    def image(self, domain: Domain) -> Interval:
        """Enclose a(x) h + u(x) over a box."""
        return self._image(self._ends(domain))

    @final
    def comparison(self, domain: Domain | None = None) -> tuple[Array, ...]:
        """Return diag(max a): the inputs alone decide how fast a difference shrinks."""
        box = self._ends(domain)
        return (np.diag(self.decay_range((box.input_low, box.input_high))[1]),)

    @final
    def input_comparison(self, domain: Domain | None = None) -> Array | None:
        """Return the matrix, (n, m), of the slopes of a and u on the domain; None if unbounded."""
        found = boxes.finite_or_none(self._drive_slopes(self._ends(domain)))
        return None if found is None else found[0]

    @final
    def _run(self, X: Array, h0: Array) -> Array:
        from theory.kernels.gated import run_entrywise

        return run_entrywise(self.input_terms, X, h0)


@final
class SelectiveSSM(LinearRecurrence):
    r"""The selective state-space layer (Mamba): a step size that depends on the input.

    Channel d of the input, x_d, drives N states of its own:

    .. math::
        \Delta_d = \mathrm{softplus}((W_\Delta x + b_\Delta)_d),\qquad
        h_{ds}^+ = e^{-a_{ds} \Delta_d} h_{ds} + \gamma_{ds} (W_B x + b_B)_s\, x_d,

    with gamma = Delta (``euler``, as Mamba is implemented) or (1 - exp(-a Delta)) / a (``zoh``, the
    exact response to a held input).

    Parameters
    ----------
    decay : (m, N) array of positive numbers
        a, the rates of the states; Mamba stores log(a).
    W_step : (m, m) array
        Weights of the step size; a product of low rank is multiplied out.
    W_B : (N, m) array
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
        decay: Any,
        W_step: Any,
        W_B: Any,
        b_step: Any = None,
        b_B: Any = None,
        discretization: str = "euler",
    ) -> None:
        self._decay = as_matrix("decay", decay)
        m, N = self._decay.shape
        if not np.min(self._decay) > 0:
            raise ValueError(
                f"decay has least entry {np.min(self._decay)}, needed positive rates; a model that "
                "stores A = -exp(A_log) has decay = exp(A_log)"
            )
        self._W_step = as_matrix("W_step", W_step, rows=m, columns=m)
        self._W_B = as_matrix("W_B", W_B, rows=N, columns=m)
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
        """Return m, the number of channels."""
        return int(self._decay.shape[0])

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
        """Return the weights of the step size, (m, m), read-only."""
        return self._W_step

    @property
    def W_B(self) -> Array:
        """Return the weights of the input gain, (N, m), read-only."""
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
        driven = gain[..., None, :] * x[..., :, None]
        return self._flat(np.exp(-faded)), self._flat(gamma * driven)

    def _coefficient_slopes(self, x: Array) -> tuple[Array, Array]:
        faded, gamma, gain = self._steps(x)
        m, N = self._decay.shape
        step = SOFTPLUS.derivative(x @ self._W_step.T + self._b_step)[..., None] * self._W_step
        step = step[..., :, None, :]  # dDelta_d / dx_j, (..., m, 1, m)
        decay = np.exp(-faded)[..., None]
        driven = (gain[..., None, :] * x[..., :, None])[..., None]
        # d(B_s x_d) / dx_j = W_sj x_d + B_s [d = j]
        d_driven = (
            self._W_B * x[..., :, None, None] + gain[..., None, :, None] * np.eye(m)[:, None, :]
        )
        d_gamma = step if self._discretization == "euler" else decay * step
        slopes = (
            -self._decay[..., None] * decay * step,
            d_gamma * driven + gamma[..., None] * d_driven,
        )
        leading = x.shape[:-1]
        first, second = (np.broadcast_to(s, (*leading, m, N, m)) for s in slopes)
        return first.reshape(*leading, m * N, m), second.reshape(*leading, m * N, m)

    def _rounded_coefficients(self, x: Rounded) -> tuple[Rounded, Rounded]:
        m, N = self._decay.shape

        def each_state(p: Rounded) -> Rounded:
            return Rounded(np.repeat(p.size, N), np.repeat(p.error, N))

        step = each_state(x.affine(self._W_step, self._b_step).through(*SOFTPLUS.facts))
        gain = x.affine(self._W_B, self._b_B)
        driven = Rounded(np.tile(gain.size, m), np.tile(gain.error, m)) * each_state(x)
        rates = self._decay.ravel()
        faded = Rounded.exact(rates) * step
        # exp(-y) and 1 - exp(-y) have slope at most 1 where y >= 0
        decay = faded.through(1.0, 1.0, (0.0, 1.0))
        if self._discretization == "euler":
            return decay, step * driven
        inverse = Rounded((1 + 2 * UNIT) / rates, 2 * UNIT / rates)
        return decay, faded.through(1.0, 0.0, (0.0, 1.0)) * inverse * driven

    def _step_range(self, inputs: Interval) -> tuple[Interval, Interval, Interval]:
        """Enclose W_Delta x + b_Delta, (m,), and Delta and a Delta, each (m N,)."""
        N = self._decay.shape[1]
        at = sum_of(affine_image(self._W_step, *inputs), (self._b_step, self._b_step))
        low, high = activation_image(SOFTPLUS, *at)
        step = (np.repeat(np.maximum(low, 0.0), N), np.repeat(high, N))
        rates = self._decay.ravel()
        return at, step, products((rates, rates), step)

    def _driven_range(self, inputs: Interval) -> tuple[Interval, Interval]:
        """Enclose W_B x + b_B, (N,), and its products with every x_d, (m N,)."""
        m, N = self._decay.shape
        gain = sum_of(affine_image(self._W_B, *inputs), (self._b_B, self._b_B))
        seen = (np.repeat(inputs[0], N), np.repeat(inputs[1], N))
        return gain, products((np.tile(gain[0], m), np.tile(gain[1], m)), seen)

    def _held_range(self, inputs: Interval) -> Interval:
        """Enclose the fixed points of the `zoh` step, (W_B x + b_B)_s x_d / a."""
        rates = self._decay.ravel()
        inverse = (np.nextafter(1.0 / rates, 0.0), np.nextafter(1.0 / rates, np.inf))
        return products(inverse, self._driven_range(inputs)[1])

    def decay_range(self, inputs: Interval) -> Interval:
        """Enclose exp(-a Delta) over a box of inputs."""
        return boxes.fading(self._step_range(inputs)[2])

    def _image(self, box: boxes.Ends) -> Interval:
        inputs, states = (box.input_low, box.input_high), (box.low, box.high)
        _, step, y = self._step_range(inputs)
        if self._discretization == "zoh":
            return boxes.mixed(boxes.fading(y), states, self._held_range(inputs))
        return boxes.euler_image(self._decay.ravel(), step, self._driven_range(inputs)[1], states)

    def candidate_box(self, input_low: Array, input_high: Array) -> Interval | None:
        """Return a box that stays: that of the fixed points of single steps."""
        inputs = (input_low, input_high)
        if self._discretization == "zoh":
            return boxes.hull_with_room(self._held_range(inputs))
        _, step, y = self._step_range(inputs)
        return boxes.euler_box(y, step, self._driven_range(inputs)[1])

    def _drive_slopes(self, box: boxes.Ends) -> Array:
        inputs = (box.input_low, box.input_high)
        m, N = self._decay.shape
        at, step, y = self._step_range(inputs)
        gain, driven = self._driven_range(inputs)
        steep = np.repeat(boxes.steepest(SOFTPLUS, at), N)
        slowest = boxes.fading(y)[1]
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
            gamma = np.minimum(gamma, times_up(boxes.faded_share(y[1])[1], shortest))
        own = times_up(gamma, np.tile(boxes.magnitude(gain), m))
        seen = times_up(gamma, np.repeat(boxes.magnitude(inputs), N))
        return plus_up(
            times_up(by_step[:, None], np.abs(np.repeat(self._W_step, N, axis=0))),
            times_up(own[:, None], np.repeat(np.eye(m), N, axis=0)),
            times_up(seen[:, None], np.abs(np.tile(self._W_B, (m, 1)))),
        )

    def rest_reach(self, inputs: Inputs) -> Array:
        """Bound gamma |W_B x + b_B| |x| entrywise; gamma is at most Delta, and 1 / a for zoh."""
        N = self._decay.shape[1]
        longest = np.nextafter(inputs.image_upper(self._W_step) + self._b_step, np.inf)
        gamma = np.broadcast_to(largest(SOFTPLUS, longest)[:, None], self._decay.shape)
        if self._discretization == "zoh":
            gamma = np.minimum(gamma, np.nextafter(1.0 / self._decay, np.inf))
        gain = np.nextafter(inputs.image_upper(self._W_B) + np.abs(self._b_B), np.inf)
        driven = np.nextafter(gain * inputs.reach(self.input_dim)[:, None], np.inf)
        assert driven.shape[1] == N
        return np.nextafter(gamma * driven, np.inf).ravel()

    def __repr__(self) -> str:
        m, N = self._decay.shape
        return f"SelectiveSSM(m={m}, N={N}, discretization={self._discretization!r})"


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

    def __init__(self, U: Any, b: Any = None, activation: str | Activation = "identity") -> None:
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
        z, n = zip(np.split(at[0], 2), np.split(at[1], 2), strict=True)
        return z, n

    def decay_range(self, inputs: Interval) -> Interval:
        """Enclose 1 - z over a box of inputs."""
        z, _ = self._ranges(inputs)
        return activation_image(SIGMOID, -z[1], -z[0])

    def _image(self, box: boxes.Ends) -> Interval:
        z, n = self._ranges((box.input_low, box.input_high))
        share = activation_image(SIGMOID, *z)
        return boxes.mixed(share, activation_image(self._activation, *n), (box.low, box.high))

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
        z = largest(SIGMOID, np.nextafter(inputs.image_upper(U_z) + b_z, np.inf))
        n = Rounded.exact(np.nextafter(inputs.image_upper(U_n) + np.abs(b_n), np.inf))
        rho = self._activation
        candidate = n.through(*rho.facts).size
        return np.nextafter(z * candidate, np.inf)

    def __repr__(self) -> str:
        return (
            f"MinGRU(n={self.state_dim}, m={self.input_dim}, activation={self._activation.name!r})"
        )


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

    def __init__(self, U: Any, Lambda: Any, b: Any = None, scale: float = 8.0) -> None:
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
        pre-activation is off by e, and softplus, products and the gate round by 18 u in all.  With
        w = log(y / Y), |w| <= e + 20 u,

            |exp(-y) - exp(-Y)| <= max(y exp(-y)) |w| <= |w| / 2,
            |log(s / S)| <= |w| / 2  for  s = sqrt(1 - exp(-2 y)),  so  |s - S| <= min(1, |w|).

        Where y itself underflows, s is below 2**-500.
        """
        r, i = (x.affine(*self.gate(name)) for name in self.GATES)
        moved = np.minimum(1.0, r.error + 20 * UNIT)
        a = Rounded(np.full_like(moved, 1.0), moved / 2 + 16 * UNIT)
        share = Rounded(np.full_like(moved, 1.0), moved + 16 * UNIT + 2.0**-500)
        return a, share * i.logistic() * x

    def _ranges(self, inputs: Interval) -> tuple[Interval, Interval, Interval]:
        """Enclose the pre-activations of r and i, and y = -log(a)."""
        at = sum_of(affine_image(self._U, *inputs), (self._b, self._b))
        r, i = zip(np.split(at[0], 2), np.split(at[1], 2), strict=True)
        rate = self._rate_range
        low, high = products((np.maximum(rate[0], 0.0), rate[1]), activation_image(SIGMOID, *r))
        return r, i, (np.maximum(low, 0.0), high)

    def decay_range(self, inputs: Interval) -> Interval:
        """Enclose a over a box of inputs."""
        return boxes.fading(self._ranges(inputs)[2])

    def _image(self, box: boxes.Ends) -> Interval:
        inputs = (box.input_low, box.input_high)
        _, i, y = self._ranges(inputs)
        drive = products(activation_image(SIGMOID, *i), inputs)
        return boxes.turned_image(y, drive, (box.low, box.high))

    def candidate_box(self, input_low: Array, input_high: Array) -> Interval | None:
        """Return a box that stays: i x sqrt((1 + a) / (1 - a)) at the slowest decay."""
        inputs = (input_low, input_high)
        _, i, y = self._ranges(inputs)
        return boxes.turned_box(y, products(activation_image(SIGMOID, *i), inputs))

    def _drive_slopes(self, box: boxes.Ends) -> Array:
        inputs = (box.input_low, box.input_high)
        r, i, y = self._ranges(inputs)
        U_r, U_i = np.split(self._U, 2)
        turned = times_up(self._rate_range[1], boxes.steepest(SIGMOID, r))
        gate, seen = activation_image(SIGMOID, *i)[1], boxes.magnitude(inputs)
        slowest = boxes.fading((y[0], y[0]))[1]
        share = boxes.roots(y[1])[1]
        with np.errstate(divide="ignore"):
            # |d sqrt(1 - exp(-2 y)) / dy| = exp(-2 y) / sqrt(1 - exp(-2 y)), which falls with y
            by_y = np.nextafter(times_up(slowest, slowest) / boxes.roots(y[0])[0], np.inf)
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
        i = largest(SIGMOID, np.nextafter(inputs.image_upper(U_i) + b_i, np.inf))
        return np.nextafter(i * inputs.reach(self.input_dim), np.inf)

    def __repr__(self) -> str:
        return f"RGLRU(n={self.state_dim})"
