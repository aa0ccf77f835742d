r"""The leaky-integrator echo state network h <- (1 - a) h + a rho(W h + U x + b).

Main name: `EchoStateNetwork`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.arithmetic.activations import Activation
from theory.arithmetic.activations import activation as look_up
from theory.arithmetic.intervals import Interval
from theory.arithmetic.rounded import Rounded
from theory.arithmetic.rounding import product_up
from theory.arithmetic.zonotopes import Zonotope, stacked
from theory.domain import Domain
from theory.errors import as_array, as_matrix, as_square, as_vector
from theory.kernels.blocks import row_blocks
from theory.maps.base import Map, read_only
from theory.maps.boxes import ends as boxes
from theory.maps.boxes.ends import fixed_box
from theory.maps.boxes.leaky import (
    leaky_comparison,
    leaky_image,
    leaky_input_comparison,
    leaky_sectors,
    leaky_terms,
)
from theory.maps.boxes.reached import Reach, leaky_carried, leaky_reach
from theory.maps.boxes.slopes import leaky_slopes
from theory.maps.form import Affine
from theory.maps.gates import finite_terms
from theory.norms.norms import L2, Norm, over
from theory.theorems.sectors import Sectors
from theory.theorems.terms import Terms
from theory.typing import Array


@final
class EchoStateNetwork(Map):
    r"""The leaky-integrator cell h <- (1 - a) h + a rho(W h + U x + b), of an echo state network.

    Parameters
    ----------
    W : (n, n) array
        Recurrent weights, the reservoir.
    U : (n, m) array
        Input weights.
    b : (n,) array, optional
        Bias, zero by default.
    leak : float or (n,) array
        a, the leaking rate, one for all units or one each, 0 < a <= 1; with 1, the default, it is
        the map of `VanillaRNN`.
    activation : str or Activation
        ``tanh`` by default; see `theory.arithmetic.activations`.

    Raises
    ------
    ValueError
        If shapes do not fit, a number is not finite, a leaking rate is not in (0, 1], or the
        activation is unknown.

    Examples
    --------
    >>> cell = EchoStateNetwork(W=[[0.5]], U=[[1.0]], leak=0.5)
    >>> cell.simulate([[1.0], [0.0]]).round(4).tolist()
    [[0.3808], [0.2845]]
    """

    def __init__(
        self,
        W: npt.ArrayLike,
        U: npt.ArrayLike,
        b: npt.ArrayLike | None = None,
        leak: npt.ArrayLike = 1.0,
        activation: str | Activation = "tanh",
    ) -> None:
        weights = as_square("W", W)
        n = weights.shape[0]
        rates = as_array("leak", leak, ndim=(0, 1))
        self._leak = as_vector("leak", np.full(n, rates) if rates.ndim == 0 else rates, size=n)
        if not (np.min(self._leak) > 0 and np.max(self._leak) <= 1):
            raise ValueError(
                f"leak has entries from {np.min(self._leak)} to {np.max(self._leak)}, needed "
                "0 < leak <= 1: the share of the state that is replaced in a step"
            )
        self._form = Affine(
            W=weights,
            U=as_matrix("U", U, rows=n),
            b=as_vector("b", np.zeros(n) if b is None else b, size=n),
            rho=look_up(activation),
        )

    @property
    def state_dim(self) -> int:
        """Return n."""
        return int(self.W.shape[0])

    @property
    def input_dim(self) -> int:
        """Return m."""
        return int(self.U.shape[1])

    @property
    def activation(self) -> Activation:
        """Return rho."""
        return self._form.rho

    @property
    def W(self) -> Array:
        """Return the recurrent weights, (n, n), read-only."""
        return self._form.W

    @property
    def U(self) -> Array:
        """Return the input weights, (n, m), read-only."""
        return self._form.U

    @property
    def b(self) -> Array:
        """Return the bias, (n,), read-only."""
        return self._form.b

    @property
    def leak(self) -> Array:
        """Return a, the leaking rates, (n,), read-only."""
        return self._leak

    @property
    def parameters(self) -> Mapping[str, Array]:
        """Return W, U, b and leak."""
        return read_only(W=self.W, U=self.U, b=self.b, leak=self._leak)

    def _rebuilt(self, parameters: Mapping[str, Any]) -> EchoStateNetwork:
        return EchoStateNetwork(**parameters, activation=self.activation)

    @property
    def one_leak(self) -> float | None:
        """Return a if it is the same for all units, else None."""
        return float(self._leak[0]) if (self._leak == self._leak[0]).all() else None

    def without_leak(self, domain: Domain | None = None) -> Affine:
        """Return rho(W h + U x + b), with the slopes that its units take on a domain."""
        return self._form.on(domain)

    def affine(self) -> Affine | None:
        """Return rho(W h + U x + b) if nothing leaks, that is a = 1 for all units, else None."""
        return self._form if (self._leak == 1.0).all() else None

    @property
    def form_names(self) -> tuple[str, str, str] | None:
        """Return W, U and b if nothing leaks, else None."""
        return ("W", "U", "b") if self.affine() is not None else None

    def _preactivation(self, h: Array, x: Array) -> Array:
        if np.shape(h)[-1:] != (self.state_dim,) or np.shape(x)[-1:] != (self.input_dim,):
            raise ValueError(
                f"h has shape {np.shape(h)} and x has shape {np.shape(x)}, needed "
                f"(..., {self.state_dim}) and (..., {self.input_dim})"
            )
        result: Array = h @ self.W.T + x @ self.U.T + self.b
        return result

    def step(self, h: Array, x: Array) -> Array:
        """Return (1 - a) h + a rho(W h + U x + b)."""
        result: Array = (1.0 - self._leak) * h + self._leak * self.activation(
            self._preactivation(h, x)
        )
        return result

    def _slopes(self, h: Array, x: Array) -> Array:
        """Return a rho'(W h + U x + b), (..., n, 1)."""
        slopes: Array = self._leak * self.activation.derivative(self._preactivation(h, x))
        return slopes[..., None]

    def jacobian_state(self, h: Array, x: Array) -> Array:
        """Return diag(1 - a) + diag(a rho') W."""
        return self._slopes(h, x) * self.W + np.diag(1.0 - self._leak)

    def jacobian_input(self, h: Array, x: Array) -> Array:
        """Return diag(a rho') U."""
        return self._slopes(h, x) * self.U

    def input_terms(self, X: Array) -> Array:
        """Return U x + b for every input."""
        terms: Array = X @ self.U.T
        terms += self.b
        return finite_terms(terms)

    def advance(self, h: Array, terms: Array, out: Array | None = None) -> Array:
        """Return ``step(h, x)`` from ``terms = input_terms(x)``."""
        result, blocks, rows = row_blocks(h, terms, out)
        buffer, kept = np.empty((rows, self.state_dim)), 1.0 - self._leak
        for old, own, new in blocks:
            a = np.matmul(old, self.W.T, out=buffer[: len(old)])
            a += own
            self.activation.in_place(a)
            a *= self._leak
            np.multiply(kept, old, out=new)
            new += a
        return result

    def rounded_step(self, h: Rounded, x: Rounded) -> Rounded:
        """Return size and rounding error of a step: those of rho, times a, and of (1 - a) h."""
        rho = self.activation
        leak = h.stored(self._leak)
        new = h.affine(self.W, self.b, (self.U, x)).through(*rho.facts)
        return leak.complement() * h + leak * new

    def step_error(self, h_size: Array, x_size: Array) -> Array:
        """Bound the rounding error of one step, entrywise; derived in `rounded_step`."""
        return self.rounded_step(Rounded.exact(h_size), Rounded.exact(x_size)).error

    def input_lipschitz(self, norm: Norm) -> float:
        r"""Return L_x = max(a) L ||U||; in a norm that is not monotone converted from L2."""
        slope = product_up(float(np.max(self._leak)), self.activation.lipschitz)
        if norm.monotone:
            return product_up(slope, norm.matrix_upper(self.U, norm.companion))
        plain = product_up(slope, L2().matrix_upper(self.U, norm.companion))
        return product_up(over(norm, L2(), n=self.state_dim), plain)

    def _ends(self, domain: Domain | None) -> boxes.Ends:
        return boxes.ends_of(domain, self.state_dim, self.input_dim)

    @property
    def _weights(self) -> boxes.Weights:
        return boxes.Weights(self.W, self.U, self.b)

    def slope_range(self, domain: Domain) -> Interval:
        """Enclose (1 - a) I + a diag(s) W over a box."""
        return leaky_slopes(
            self._weights, self._leak, self.activation, self._ends(domain), in_state=True
        )

    def input_slope_range(self, domain: Domain) -> Interval:
        """Enclose a diag(s) U over a box."""
        return leaky_slopes(
            self._weights, self._leak, self.activation, self._ends(domain), in_state=False
        )

    def image(self, domain: Domain) -> Interval:
        """Enclose (1 - a) h + a rho over a box."""
        return leaky_image(self._weights, self._leak, self.activation, self._ends(domain))

    def reach(self, states: Zonotope, inputs: Interval, box: Interval) -> Reach | None:
        """Enclose a step, unit by unit; None for the identity, whose slopes are 1 everywhere."""
        if self.activation.name == "identity":
            return None
        return leaky_reach(self._weights, self._leak, self.activation, states, inputs, box)

    def carry(
        self,
        states: Zonotope,
        seen: Zonotope,
        before: Interval,
        after: Interval,
        ranges: Interval | None = None,
    ) -> Zonotope:
        """Enclose a step, unit by unit."""
        known, both = states.clipped(*before), stacked(states, seen)
        parts = (both, known, seen.hull(), after, ranges)
        return leaky_carried(self._weights, self._leak, self.activation, *parts).states

    def candidate_box(self, input_low: Array, input_high: Array) -> Interval | None:
        """Return the hull of 0 and the range of rho, or a multiple of a fixed point.

        h+ is a mean of h and rho, so a bounded range is never left.  Otherwise |h+| <= s + M |h|
        with s what the inputs make of rest, as for `AffineMap`.
        """
        low, high = self.activation.range
        n = self.state_dim
        if np.isfinite([low, high]).all():
            return np.full(n, min(low, 0.0)), np.full(n, max(high, 0.0))
        steep = self._leak * self.activation.lipschitz
        M = np.diag(1.0 - self._leak) + steep[:, None] * np.abs(self.W)
        rest = boxes.Ends(np.zeros(n), np.zeros(n), input_low, input_high)
        start = boxes.magnitude(leaky_image(self._weights, self._leak, self.activation, rest))
        return fixed_box(M, start)

    def comparison(self, domain: Domain | None = None) -> tuple[Array, ...] | None:
        """Return |(1 - a) I + a s W| at the least and at the largest slopes s."""
        return leaky_comparison(self._weights, self._leak, self.activation, self._ends(domain))

    def terms(self, domain: Domain | None = None) -> Terms:
        """Return two terms a unit, (1 - a) d and a s W d with the largest slopes s."""
        return leaky_terms(self._weights, self._leak, self.activation, self._ends(domain))

    def sectors(self, domain: Domain | None = None) -> Sectors:
        """Return one sector a unit, of W h; (1 - a) h is taken as it is."""
        return leaky_sectors(self._weights, self._leak, self.activation, self._ends(domain))

    def input_comparison(self, domain: Domain | None = None) -> Array | None:
        """Return diag(a s) |U|, s the largest slopes."""
        return leaky_input_comparison(
            self._weights, self._leak, self.activation, self._ends(domain)
        )

    def _run(self, X: Array, h0: Array) -> Array:
        from theory.kernels.simulate import run_leaky

        form = self._form
        return run_leaky(form.W, form.rho, self._leak, self.input_terms(X), h0)

    def __repr__(self) -> str:
        return (
            f"EchoStateNetwork(n={self.state_dim}, m={self.input_dim}, "
            f"activation={self.activation.name!r})"
        )
