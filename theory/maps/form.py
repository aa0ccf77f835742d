"""The form h <- rho(W h + U x + b) that criteria, bounds and kernels recognise.

Main name: `Affine`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import numpy as np

from theory.arithmetic.activations import Activation
from theory.arithmetic.intervals import Interval, slope_range
from theory.domain import Domain
from theory.maps.boxes.ends import Weights, ends_of, narrowed, preactivation
from theory.typing import Array


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Affine:
    """The form h <- rho(W h + U x + b) that criteria and kernels recognise."""

    W: Array  # W, (n, n), recurrent weights
    U: Array  # U, (n, m), input weights
    b: Array  # b, (n,), bias
    rho: Activation  # rho, elementwise
    domain: Domain | None = None  # where the slopes below hold; None: everywhere
    restricted: Interval | None = None  # the units' slopes on the domain, (n,) each

    @property
    def slopes(self) -> Interval:
        """Return intervals (low, high) of the slopes of every unit, (n,) each."""
        if self.restricted is not None:
            return self.restricted
        n = len(self.W)
        return np.full(n, self.rho.slope[0]), np.full(n, self.rho.slope[1])

    def preactivations(self, domain: Domain) -> Interval:
        """Enclose W h + U x + b over a domain, (n,) each."""
        box = ends_of(domain, len(self.W), self.U.shape[1])
        weights = Weights(self.W, self.U, self.b)
        inputs = box.input_low, box.input_high
        return narrowed(preactivation(weights, (box.low, box.high), inputs), box)

    def on(self, domain: Domain | None) -> Affine:
        """Return the form with the slopes that its units take on a domain; None: everywhere."""
        if domain is None:
            return self
        slopes = slope_range(self.rho, *self.preactivations(domain))
        return replace(self, domain=domain, restricted=slopes)

    @property
    def steepest(self) -> Array:
        """Return the largest magnitude of each unit's slopes, (n,)."""
        largest: Array = np.maximum(*(np.abs(end) for end in self.slopes))
        return largest

    @property
    def lipschitz(self) -> float:
        """Return the largest magnitude of all slopes."""
        return float(np.max(self.steepest, initial=0.0))

    @property
    def linear(self) -> bool:
        """Return whether all slopes are one number: a step is then affine in the state."""
        low, high = self.slopes
        return bool(np.all(low == low[:1]) and np.all(high == low[:1]))
