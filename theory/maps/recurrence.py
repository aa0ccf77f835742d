"""Maps that are linear in the state, entry by entry: h <- a(x) h + u(x).

Main name: `LinearRecurrence`.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import final

import numpy as np

from theory.arithmetic.intervals import Interval
from theory.arithmetic.rounded import Rounded
from theory.arithmetic.zonotopes import Zonotope, combination
from theory.domain import Domain
from theory.maps.boxes import ends as boxes
from theory.maps.boxes.reached import EXCESS
from theory.maps.gates import GatedMap, finite_terms
from theory.typing import Array


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
        """Enclose a(x), (..., n), over boxes of inputs, (..., m)."""

    def distinct_decays(self, inputs: Interval) -> Interval:
        """Enclose a(x) once for entries that always have one decay: (..., r), r <= n."""
        return self.decay_range(inputs)

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

    def carry(
        self,
        states: Zonotope,
        seen: Zonotope,
        before: Interval,
        after: Interval,
        ranges: Interval | None = None,
    ) -> Zonotope:
        """Enclose a(x) h + u(x): exact in h, with a and u over the box of inputs."""
        del before, ranges
        inputs, zero = seen.hull(), np.zeros(self.state_dim)
        drive = self._image(boxes.Ends(zero, zero, *inputs))
        return combination([(self.decay_range(inputs), states)], drive).within(*after, EXCESS)

    @final
    def slope_range(self, domain: Domain) -> Interval:
        """Enclose diag(a(x)) over a box of inputs."""
        box = self._ends(domain)
        low, high = self.decay_range((box.input_low, box.input_high))
        return np.diag(low), np.diag(high)

    @final
    def input_slope_range(self, domain: Domain) -> Interval | None:
        """Return the matrix that majorises a step in its input, with both signs."""
        G = self.input_comparison(domain)
        return None if G is None else (-G, G)

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
        from theory.kernels.simulate import run_entrywise

        return run_entrywise(self.input_terms, X, h0)
