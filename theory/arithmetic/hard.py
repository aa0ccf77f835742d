r"""Gates of two kinds: the logistic function, and its piecewise linear stand-in.

Main names: `Gate`, `gate_of`, `GATES`, `LOGISTIC`.

    sigmoid             1 / (1 + exp(-a))
    hard_sigmoid(1/6)   clip(a / 6 + 1/2, 0, 1): PyTorch, and Keras since version 3
    hard_sigmoid(0.2)   clip(a / 5 + 1/2, 0, 1): Keras before, and ONNX by default
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from theory.arithmetic.activations import SIGMOID
from theory.arithmetic.intervals import Interval, activation_image, slope_range
from theory.arithmetic.rounded import Rounded
from theory.typing import Array

#: clip(s a + 1/2): s itself is rounded, by u s, the product errs by u |s a|, the sum by u of
#: itself.  Where the result is not clipped |s a| <= 1/2, so that all are at most 2 u, and some more
#: of higher order; clipping enlarges no distance.  The size in `Rounded.through` is 1/2 at least,
#: 4 u of it.
_UNITS = 5


@final
@dataclass(frozen=True, kw_only=True)
class Gate:
    """An increasing function from the reals to [0, 1], with 1/2 at 0."""

    name: str
    slope: float  # s of the hard one, nan of the logistic function

    @property
    def hard(self) -> bool:
        """Return whether it is piecewise linear."""
        return math.isfinite(self.slope)

    @property
    def steepest(self) -> float:
        """Return the largest slope."""
        return self.slope if self.hard else SIGMOID.slope[1]

    def __call__(self, a: Array) -> Array:
        """Return the gate, elementwise."""
        return np.clip(self.slope * a + 0.5, 0.0, 1.0) if self.hard else SIGMOID(a)

    def derivative(self, a: Array) -> Array:
        """Return the slope, elementwise; at a kink that on the right."""
        if not self.hard:
            return SIGMOID.derivative(a)
        at = self.slope * a + 0.5
        return np.where((at >= 0) & (at < 1), self.slope, 0.0)

    def image(self, low: Array, high: Array) -> Interval:
        """Enclose the gate over low <= a <= high."""
        if not self.hard:
            return activation_image(SIGMOID, low, high)
        with np.errstate(over="ignore"):
            least = np.nextafter(np.nextafter(self.slope * low, -np.inf) + 0.5, -np.inf)
            most = np.nextafter(np.nextafter(self.slope * high, np.inf) + 0.5, np.inf)
        # the steps outward are of no use where both ends are clipped
        return np.clip(least, 0.0, 1.0), np.clip(most, 0.0, 1.0)

    def rest(self, low: Array, high: Array) -> Interval:
        """Enclose one minus the gate, which is the gate of the opposite argument."""
        return self.image(-high, -low)

    def slopes(self, low: Array, high: Array) -> Interval:
        """Enclose all difference quotients over low <= a <= high, of both sides at a kink."""
        if not self.hard:
            return slope_range(SIGMOID, low, high)
        least, most = self.image(low, high)
        # at 0 or 1 the end may be a kink, or beyond it
        inside = (least > 0) & (most < 1)
        outside = (most <= 0) | (least >= 1)
        return np.where(inside, self.slope, 0.0), np.where(outside, 0.0, self.slope)

    def rounded(self, a: Rounded) -> Rounded:
        """Return size and rounding error of the gate."""
        if not self.hard:
            return a.logistic()
        return a.through(np.nextafter(self.slope, 1.0), 0.5, (0.0, 1.0), _UNITS)


LOGISTIC = Gate(name="sigmoid", slope=math.nan)

#: All of them, by name.
GATES = {
    one.name: one
    for one in (
        LOGISTIC,
        Gate(name="hard_sigmoid(1/6)", slope=1 / 6),
        Gate(name="hard_sigmoid(0.2)", slope=0.2),
    )
}


def gate_of(name: str | Gate) -> Gate:
    """Look a gate up by name.

    Raises
    ------
    ValueError
        If the name is not known; the message lists those that are.
    """
    found = GATES.get(name.name if isinstance(name, Gate) else name)
    if found is None or (isinstance(name, Gate) and found is not name):
        raise ValueError(f"gate {name!r} is not known, needed one of: {', '.join(GATES)}")
    return found
