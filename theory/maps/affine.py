"""What all maps of the form h <- rho(W h + U x + b) share.

Main name: `AffineMap`.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import final

import numpy as np

from theory.arithmetic.intervals import (
    Interval,
    activation_image,
    times_up,
)
from theory.arithmetic.rounded import Rounded
from theory.arithmetic.rounding import product_up
from theory.arithmetic.zonotopes import Zonotope, stacked
from theory.domain import Domain
from theory.errors import DivergedError
from theory.maps.base import Map
from theory.maps.boxes.ends import Weights, ends_of, fixed_box
from theory.maps.boxes.reached import Reach, leaky_carried, leaky_reach
from theory.maps.form import Affine
from theory.maps.lengths import Lengths, lengths_up
from theory.norms.norms import L2, Norm, over, scaled_matrix_upper
from theory.typing import Array


class AffineMap(Map):
    """A map of the form h <- rho(W h + U x + b), with the parameters W, U and b."""

    @abstractmethod
    def affine(self) -> Affine:
        """Return the form."""

    @property
    @final
    def form_names(self) -> tuple[str, str, str]:
        """Return W, U and b."""
        return "W", "U", "b"

    @property
    @final
    def state_dim(self) -> int:
        """Return n."""
        return int(self.affine().W.shape[0])

    @property
    @final
    def input_dim(self) -> int:
        """Return m."""
        return int(self.affine().U.shape[1])

    @final
    def step(self, h: Array, x: Array) -> Array:
        """Return rho(W h + U x + b)."""
        return self.affine().rho(self._preactivation(h, x))

    def _preactivation(self, h: Array, x: Array) -> Array:
        form = self.affine()
        if np.shape(h)[-1:] != (self.state_dim,) or np.shape(x)[-1:] != (self.input_dim,):
            raise ValueError(
                f"h has shape {np.shape(h)} and x has shape {np.shape(x)}, needed "
                f"(..., {self.state_dim}) and (..., {self.input_dim})"
            )
        result: Array = h @ form.W.T + x @ form.U.T + form.b
        return result

    @final
    def jacobian_state(self, h: Array, x: Array) -> Array:
        """Return diag(rho'(a)) W."""
        form = self.affine()
        return form.rho.derivative(self._preactivation(h, x))[..., None] * form.W

    @final
    def jacobian_input(self, h: Array, x: Array) -> Array:
        """Return diag(rho'(a)) U."""
        form = self.affine()
        return form.rho.derivative(self._preactivation(h, x))[..., None] * form.U

    @final
    def input_terms(self, X: Array) -> Array:
        """Return U x + b for every input."""
        form = self.affine()
        terms: Array = X @ form.U.T
        terms += form.b
        if not np.isfinite(terms).all():
            raise DivergedError(
                "U x + b left the range of double precision; scale the inputs or U down"
            )
        return terms

    @final
    def advance(self, h: Array, terms: Array, out: Array | None = None) -> Array:
        """Return rho(W h + terms)."""
        from theory.kernels.simulate import advance_affine

        form = self.affine()
        return advance_affine(form.W, form.rho, h, terms, out)

    @final
    def step_error(self, h_size: Array, x_size: Array) -> Array:
        """Bound the rounding error of rho(W h + U x + b), entrywise; see `rounded_step`."""
        return self.rounded_step(Rounded.exact(h_size), Rounded.exact(x_size)).error

    @final
    def rounded_step(self, h: Rounded, x: Rounded) -> Rounded:
        r"""Return size and rounding error of rho(W h + U x + b).

        The pre-activation a is a sum of n + m + 1 products, so its error e obeys
        `inner_product_error`; then |rho(a + e) - rho(a)| <= L e, and rho itself is computed to
        `Activation.units` u relative to its value, |rho| <= min(range, |rho(0)| + L |a|).
        """
        form = self.affine()
        rho = form.rho
        return h.affine(form.W, form.b, (form.U, x)).through(*rho.facts)

    @final
    def input_lipschitz(self, norm: Norm) -> float:
        r"""Return L_x = L ||U||.

        |rho(a) - rho(a')| <= L |a - a'| entrywise and the norm is monotone.  If it is not, the
        bound is taken in L2 and converted by a constant.
        """
        form = self.affine()
        L = form.rho.lipschitz
        if norm.monotone:
            return product_up(L, norm.matrix_upper(form.U, norm.companion))
        plain = product_up(L, L2().matrix_upper(form.U, norm.companion))
        return product_up(over(norm, L2(), n=form.U.shape[0]), plain)

    @final
    def slopes(self, domain: Domain | None = None) -> Interval:
        """Enclose the slopes of each unit's activation on a domain, by default everywhere: (n,)."""
        return self.affine().on(domain).slopes

    @final
    def state_lipschitz(self, norm: Norm, domain: Domain | None = None) -> float:
        """Return the norm of diag(s) W, s the largest slopes; in L2 if the norm is not monotone."""
        form = self.affine().on(domain)
        if norm.monotone or form.linear:
            return scaled_matrix_upper(norm, form.steepest, form.W)
        n = len(form.W)
        constant = product_up(over(norm, L2(), n=n), over(L2(), norm, n=n))
        return product_up(constant, scaled_matrix_upper(L2(), form.steepest, form.W))

    @final
    def image(self, domain: Domain) -> Interval:
        """Enclose rho over the range of the pre-activations."""
        return activation_image(self.affine().rho, *self.affine().preactivations(domain))

    @final
    def reach(self, states: Zonotope, inputs: Interval, box: Interval) -> Reach | None:
        """Enclose a step; None for linear maps, whose slopes are the same everywhere."""
        form = self.affine()
        if form.linear:
            return None
        weights, leak = Weights(form.W, form.U, form.b), np.ones(self.state_dim)
        return leaky_reach(weights, leak, form.rho, states, inputs, box)

    @final
    def carry(
        self,
        states: Zonotope,
        seen: Zonotope,
        before: Interval,
        after: Interval,
        ranges: Interval | None = None,
    ) -> Zonotope:
        """Enclose a step; that of a linear map keeps all symbols."""
        form, both = self.affine(), stacked(states, seen)
        if form.rho.name == "identity":
            return both.affine(np.hstack([form.W, form.U]), form.b)
        weights, leak = Weights(form.W, form.U, form.b), np.ones(self.state_dim)
        known = states.clipped(*before)
        parts = (both, known, seen.hull(), after, ranges)
        return leaky_carried(weights, leak, form.rho, *parts).states

    @final
    def candidate_box(self, input_low: Array, input_high: Array) -> Interval | None:
        r"""Return the range of rho or, where that is not bounded, a multiple of a fixed point.

        With s the least upper bound of |step(0, x)| entrywise and M = L |W|, every state obeys
        |h+| <= s + M |h|, so the box r = (I - M)^-1 s is invariant if the radius of M is below 1.
        """
        form = self.affine()
        if all(np.isfinite(form.rho.range)):
            n = self.state_dim
            return np.full(n, form.rho.range[0]), np.full(n, form.rho.range[1])
        rest = Domain(
            low=np.zeros(self.state_dim),
            high=np.zeros(self.state_dim),
            input_low=input_low,
            input_high=input_high,
        )
        start = np.maximum(*(np.abs(end) for end in self.image(rest)))
        return fixed_box(form.rho.lipschitz * np.abs(form.W), start)

    @final
    def comparison(self, domain: Domain | None = None) -> tuple[Array, ...]:
        """Return diag(s) |W|, s the largest slopes."""
        return (times_up(self._largest_slopes(domain)[:, None], np.abs(self.affine().W)),)

    @final
    def input_comparison(self, domain: Domain | None = None) -> Array:
        """Return diag(s) |U|, s the largest slopes."""
        return times_up(self._largest_slopes(domain)[:, None], np.abs(self.affine().U))

    @final
    def group_comparison(self, domain: Domain | None = None) -> Lengths | None:
        """Return that of the whole state where its Euclidean length shrinks in a step."""
        (M,), n = self.comparison(domain), self.state_dim
        with np.errstate(over="ignore"):
            longest = float(np.max(np.linalg.norm(M, axis=0)))
        # no norm is below that of a column
        if n == 1 or not longest < 1:
            return None
        rate = self.state_lipschitz(L2(), domain)
        if not rate < 1:
            return None
        box, zero = ends_of(domain, n, self.input_dim), np.zeros(n)
        start = self.image(
            Domain(low=zero, high=zero, input_low=box.input_low, input_high=box.input_high)
        )
        group = np.zeros(n, dtype=np.int64)
        return Lengths(
            group=group,
            own=(np.array([[rate]]),),
            seen=lengths_up(self.input_comparison(domain).T, group).T,
            rest=lengths_up(np.maximum(*(np.abs(end) for end in start)), group),
        )

    def _largest_slopes(self, domain: Domain | None) -> Array:
        largest: Array = np.maximum(*(np.abs(end) for end in self.slopes(domain)))
        return largest

    @final
    def _run(self, X: Array, h0: Array) -> Array:
        from theory.kernels.simulate import run

        form = self.affine()
        return run(form.W, form.rho, self.input_terms(X), h0)
