r"""Elementwise activations as values with their facts.

Main names: `Activation`, `IDENTITY`, `TANH`, `RELU`, `leaky_relu`, `SIGMOID`, `SOFTPLUS`,
`HARD_TANH`, `SIN`, `activation`, `slope_intervals`.

Each fact (slope interval, curvature, value at 0, range) is proved in `proofs.activations` from the
activation's definition; the numbers here are those of the proofs, rounded outward.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.arithmetic.rounding import ELEMENTARY_UNITS
from theory.errors import as_array, as_vector
from theory.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class Activation:
    r"""An elementwise function rho with what the theorems need to know of it."""

    name: str  # as written in `activation("name")`
    code: int  # which branch of the kernels computes it
    slope: tuple[float, float]  # [alpha, beta], holds every difference quotient of rho
    curvature: float  # sup |rho''|, inf where rho is not differentiable
    at_zero: float  # rho(0), rounded to nearest
    range: tuple[float, float]  # closed interval that holds every value of rho
    units: int  # a computed rho(a) errs by at most `units` u relatively, and `units` eta
    function: Callable[[Array], Array]  # rho, elementwise
    derivative: Callable[[Array], Array]  # rho', elementwise; the right derivative at a kink

    @property
    def lipschitz(self) -> float:
        """Return L, the largest absolute slope."""
        return max(abs(self.slope[0]), abs(self.slope[1]))

    @property
    def leak(self) -> float:
        """Return the slope of the negative half line (used by the kernel of leaky relu)."""
        return self.slope[0] if self.slope[0] != 1.0 else self.slope[1]

    @property
    def facts(self) -> tuple[float, float, tuple[float, float], int]:
        """Return what `Rounded.through` needs: L, rho(0), the range and the units."""
        return self.lipschitz, self.at_zero, self.range, self.units

    def __call__(self, a: Array) -> Array:
        """Return rho(a), elementwise."""
        return self.function(a)

    def in_place(self, a: Array) -> Array:
        """Overwrite `a` with rho(a) and return it."""
        ufunc = _IN_PLACE.get(self.name)
        if ufunc is not None:
            ufunc(a)
        elif self.name != "identity":
            a[...] = self.function(a)
        return a


# A single elementary function errs by 8 u = ELEMENTARY_UNITS u of its value, and by eta where that
# underflows.  What is made of several errs by more:
#
#     sigmoid   z = exp(-|a|) errs by 8 u, 1 + z by u more, the quotient by u:
#               |d z / (1 + z)| <= 8 u z / (1 + z), so at most 10 u                      -> 16 units
#     softplus  log1p(z (1 + d)) moves by |d| of itself at most, as log1p is concave and
#               0 at 0: 8 u + 8 u, and the sum with max(a, 0) by u: 17 u                 -> 24 units
#
# and the eta of exp, of log1p and of the last operation stay below as many eta.


def _sigmoid(a: Array) -> Array:
    z = np.exp(-np.abs(a))
    return np.where(a >= 0, 1.0, z) / (1.0 + z)


def _sigmoid_derivative(a: Array) -> Array:
    z = np.exp(-np.abs(a))
    # the slope is at most 1/4, which rounding may step over
    return np.minimum(z / np.square(1.0 + z), 0.25)


def _softplus(a: Array) -> Array:
    return np.maximum(a, 0.0) + np.log1p(np.exp(-np.abs(a)))


def _tanh_derivative(a: Array) -> Array:
    # e**-800 is 0 in doubles: the cut keeps 2 |a| from overflowing and changes nothing
    z = np.exp(-2.0 * np.minimum(np.abs(a), 400.0))
    return np.minimum(4.0 * z / np.square(1.0 + z), 1.0)


def _copy(a: Array) -> Array:
    return as_array("a", a).copy()


IDENTITY = Activation(
    name="identity", code=0, slope=(1.0, 1.0), curvature=0.0, at_zero=0.0,
    range=(-math.inf, math.inf), units=1, function=_copy, derivative=np.ones_like,
)  # fmt: skip
TANH = Activation(
    name="tanh", code=1, slope=(0.0, 1.0), curvature=0.7698003589195011, at_zero=0.0,
    range=(-1.0, 1.0), units=ELEMENTARY_UNITS, function=np.tanh, derivative=_tanh_derivative,
)  # fmt: skip
RELU = Activation(
    name="relu", code=2, slope=(0.0, 1.0), curvature=math.inf, at_zero=0.0,
    range=(0.0, math.inf), units=1, function=lambda a: np.maximum(a, 0.0),
    derivative=lambda a: (a >= 0).astype(np.float64),
)  # fmt: skip
SIGMOID = Activation(
    name="sigmoid", code=4, slope=(0.0, 0.25), curvature=0.09622504486493765, at_zero=0.5,
    range=(0.0, 1.0), units=2 * ELEMENTARY_UNITS, function=_sigmoid,
    derivative=_sigmoid_derivative,
)  # fmt: skip
SOFTPLUS = Activation(
    name="softplus", code=5, slope=(0.0, 1.0), curvature=0.25, at_zero=math.log(2.0),
    range=(0.0, math.inf), units=3 * ELEMENTARY_UNITS, function=_softplus, derivative=_sigmoid,
)  # fmt: skip
HARD_TANH = Activation(
    name="hard_tanh", code=6, slope=(0.0, 1.0), curvature=math.inf, at_zero=0.0,
    range=(-1.0, 1.0), units=1, function=lambda a: np.clip(a, -1.0, 1.0),
    derivative=lambda a: ((a >= -1) & (a < 1)).astype(np.float64),
)  # fmt: skip
SIN = Activation(
    name="sin", code=7, slope=(-1.0, 1.0), curvature=1.0, at_zero=0.0,
    range=(-1.0, 1.0), units=ELEMENTARY_UNITS, function=np.sin, derivative=np.cos,
)  # fmt: skip


def leaky_relu(leak: float = 0.01) -> Activation:
    """Return rho(a) = a for a >= 0 and leak * a below; any finite `leak`, negative ones included.

    Raises
    ------
    ValueError
        If `leak` is not a finite number.
    """
    m = float(as_array("leak", leak, ndim=0))
    return Activation(
        name=f"leaky_relu({m!r})",
        code=3,
        slope=(min(m, 1.0), max(m, 1.0)),
        curvature=0.0 if m == 1.0 else math.inf,
        at_zero=0.0,
        range=(0.0 if m <= 0 else -math.inf, math.inf),
        units=1,
        # both branches are computed: the minimum keeps m * a from overflowing where it is not taken
        function=lambda a: np.where(a >= 0, a, m * np.minimum(a, 0.0)),
        derivative=lambda a: np.where(a >= 0, 1.0, m),
    )


def slope_intervals(
    rho: Activation, n: int, slopes: Any = None, *, local: bool = False
) -> tuple[Array, Array]:
    """Return the slope interval (low, high) of each of n units, (n,) each.

    Parameters
    ----------
    rho : Activation
    n : int
        Number of units.
    slopes : pair of (n,) arrays, optional
        Narrower intervals; those of the activation by default.
    local : bool
        Whether narrower intervals are allowed: they hold on a domain only.

    Raises
    ------
    ValueError
        If a shape does not fit, the ends are in the wrong order, or narrower ones are not allowed.
    """
    low, high = np.full(n, rho.slope[0]), np.full(n, rho.slope[1])
    if slopes is None:
        return low, high
    if len(slopes) != 2:
        raise ValueError(f"slopes={slopes!r}, needed two vectors (low, high)")
    ends = as_vector("low slopes", slopes[0], size=n), as_vector("high slopes", slopes[1], size=n)
    if not bool(np.all(ends[0] <= ends[1])):
        raise ValueError(f"slopes={slopes!r}, needed low <= high for every unit")
    low, high = np.maximum(low, ends[0]), np.minimum(high, ends[1])
    if not bool(np.all(low <= high)):
        raise ValueError(f"slopes={slopes!r}, needed some within {list(rho.slope)} for every unit")
    if not local and not bool(np.all(low <= rho.slope[0]) and np.all(high >= rho.slope[1])):
        raise ValueError(
            f"slopes={slopes!r} are narrower than {list(rho.slope)}, needed the domain= on which "
            "they hold; theory.contraction(map, domain=...) finds both"
        )
    return low, high


#: Those that NumPy computes without a temporary array.
_IN_PLACE: dict[str, Callable[[Array], object]] = {
    "tanh": lambda a: np.tanh(a, out=a),
    "relu": lambda a: np.maximum(a, 0.0, out=a),
    "hard_tanh": lambda a: np.clip(a, -1.0, 1.0, out=a),
    "sin": lambda a: np.sin(a, out=a),
}

#: The activations without a parameter, by name.
ACTIVATIONS = {rho.name: rho for rho in (IDENTITY, TANH, RELU, SIGMOID, SOFTPLUS, HARD_TANH, SIN)}


def _canonical(given: Activation) -> Activation:
    """Return the activation of that name, if the facts are those that were proved for it."""
    known = activation(given.name)
    facts = ("code", "slope", "curvature", "at_zero", "range", "units")
    wrong = [fact for fact in facts if getattr(given, fact) != getattr(known, fact)]
    if given.name in ACTIVATIONS and given.function is not known.function:
        wrong.append("function")
    # a leaky relu is made anew for each leak: its function is the one that goes with its name
    if given.name not in ACTIVATIONS and not wrong and given.code == known.code:
        return given if given.function.__code__ is known.function.__code__ else known
    if wrong:
        raise ValueError(
            f"activation {given.name!r} has another {wrong[0]} than the one that was proved; "
            "your own function goes into a CallableMap"
        )
    return known


def activation(name: str | Activation) -> Activation:
    """Look an activation up by name; ``leaky_relu`` alone means a leak of 0.01.

    Raises
    ------
    ValueError
        If the name is not known; the message lists those that are.

    Examples
    --------
    >>> activation("sigmoid").slope
    (0.0, 0.25)
    >>> activation("leaky_relu(0.2)").slope
    (0.2, 1.0)
    """
    if isinstance(name, Activation):
        return _canonical(name)
    text = str(name)
    if text in ACTIVATIONS:
        return ACTIVATIONS[text]
    if text == "leaky_relu":
        return leaky_relu()
    if text.startswith("leaky_relu(") and text.endswith(")"):
        try:
            return leaky_relu(float(text[len("leaky_relu(") : -1]))
        except ValueError:
            pass
    known = ", ".join([*ACTIVATIONS, "leaky_relu", "leaky_relu(0.2)"])
    raise ValueError(
        f"activation {name!r} is not known, needed one of: {known}; your own function goes into "
        "a CallableMap"
    )
