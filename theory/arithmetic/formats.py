r"""Floating-point formats: what a step costs where it is not computed in double precision.

Main names: `Arithmetic`, `arithmetic`, `DOUBLE`, `FORMATS`.

Model of each format, as in `theory.arithmetic.rounding`: rounding to nearest, gradual underflow,

    fl(a op b) = (a op b)(1 + d) + e,   |d| <= u,   |e| <= eta / 2,

with the unit roundoff u and the smallest positive number eta of the format.  Hardware that flushes
subnormal numbers to 0 is not described by it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import final

from theory.arithmetic.rounding import ELEMENTARY_UNITS, TINY, UNIT, gamma, up
from theory.errors import check_positive
from theory.shown import shown


@final
@shown
@dataclass(frozen=True, kw_only=True)
class Arithmetic:
    """How numbers are rounded; made by `arithmetic`."""

    name: str
    unit: float  # u, a power of 2
    tiny: float  # eta
    largest: float  # beyond it a number is infinite
    elementary: int  # an elementary function errs by so many u, relatively, and as many eta
    sums: Arithmetic | None = None  # the format of sums of products; None: this one
    rounds_weights: bool = True  # whether weights and inputs are rounded to the format first
    state_scale: float | None = None  # s, where the state is stored as s times an 8-bit integer

    @property
    def raised(self) -> float:
        """Return a factor from a bound of a op b, itself rounded, to one above fl(a op b) too.

        The bounds are computed in double precision, fewer than eight roundings an operation.
        """
        return (1.0 + self.unit) * (1 + 16 * UNIT)

    def units(self, of_double: int) -> float:
        """Return how many u a function errs by that errs by so many in double precision.

        One that is exact but for a rounding errs by 1 in every format.  What is made of elementary
        functions with c u each errs by 2 c u (logistic) or 3 c u (softplus) for c >= 2, as for c =
        8 in `theory.arithmetic.activations`.
        """
        share = of_double / ELEMENTARY_UNITS
        return float(of_double) if share < 1 else share * self.elementary

    def of_products(self, length: int, parts: int) -> tuple[float, float]:
        """Return factors of sum |a_i b_i| and of the number of products: the error of their sum.

        The sum may be taken in any order.  If sums have a format of their own, `parts` sums are
        rounded to this one before they are added to each other and to a bias.
        """
        inner = self if self.sums is None else self.sums
        relative = sum_units(length, inner.unit)
        if inner is not self:
            last = sum_units(parts + 2, self.unit)
            relative = up(up(relative + last) + up(relative * last))
        return relative, max(inner.tiny, self.tiny)


def sum_units(n: int, unit: float) -> float:
    """Return an upper bound of n u / (1 - n u), infinite where a sum has no digits left."""
    if unit == UNIT:
        return gamma(n)
    return up(n * unit / (1.0 - n * unit)) * (1 + 4 * UNIT) if n * unit < 1 else math.inf


DOUBLE = Arithmetic(
    name="float64",
    unit=UNIT,
    tiny=TINY,
    largest=math.inf,
    elementary=ELEMENTARY_UNITS,
    rounds_weights=False,
)

#: The formats by name: bits of the significand, least and largest exponents.
FORMATS = {
    name: Arithmetic(
        name=name,
        unit=2.0**-digits,
        tiny=2.0 ** (least - digits + 1),
        largest=(2.0 - 2.0 ** (1 - digits)) * 2.0**most,
        elementary=ELEMENTARY_UNITS,
    )
    for name, digits, least, most in (
        ("float32", 24, -126, 127),
        ("float16", 11, -14, 15),
        ("bfloat16", 8, -126, 127),
    )
}


def arithmetic(
    name: str | Arithmetic,
    *,
    ulp: float = ELEMENTARY_UNITS / 2,
    sums: str | None = None,
    rounds_weights: bool = True,
    state_scale: float | None = None,
) -> Arithmetic:
    r"""Return how numbers of a format are rounded.

    Parameters
    ----------
    name : str
        ``float64``, ``float32``, ``float16`` or ``bfloat16``; an `Arithmetic` is returned as it is.
    ulp : float
        Assumed accuracy of tanh, exp, log1p and the like, at least 1: computed values err by at
        most so many units in the last place, and sigmoid and softplus are computed from them.
    sums : str, optional
        The format in which sums of products are taken; by default that of the name.  Many programs
        add products of half precision in ``float32``.
    rounds_weights : bool
        Whether weights and inputs are rounded to the format first; without, those of the map are
        taken to be numbers of the format, as those of ``float64`` are.
    state_scale : float, optional
        s, if the state is stored as s times an integer from -127 to 127, rounded to nearest.

    Raises
    ------
    ValueError
        If the format is unknown, that of sums is coarser, or a number is not positive.

    Examples
    --------
    >>> half = arithmetic("float16", sums="float32")
    >>> half.unit == 2.0**-11, half.sums.unit == 2.0**-24, half.largest
    (True, True, 65504.0)
    """
    if isinstance(name, Arithmetic):
        return name
    known = {
        "float64": replace(DOUBLE, largest=float.fromhex("0x1.fffffffffffffp+1023")),
        **FORMATS,
    }
    for given in (name, sums):
        if given is not None and given not in known:
            raise ValueError(
                f"arithmetic {given!r} is not known, needed one of: {', '.join(known)}"
            )
    check_positive(ulp=ulp)
    if not 1 <= ulp < 2**20:
        raise ValueError(f"ulp={ulp!r}, needed at least 1: a rounded value errs by half of one")
    if state_scale is not None:
        check_positive(state_scale=state_scale)
    own, inner = known[name], None if sums is None or sums == name else known[sums]
    if inner is not None and not inner.unit < own.unit:
        raise ValueError(f"sums={sums!r} is coarser than {name!r}, needed a finer format")
    # a unit in the last place of x is at most 2 u |x|
    return replace(
        own,
        elementary=math.ceil(2 * ulp),
        sums=inner,
        rounds_weights=bool(rounds_weights) and own.unit > UNIT,
        state_scale=None if state_scale is None else float(state_scale),
    )
