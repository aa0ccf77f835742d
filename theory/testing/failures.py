"""Messages of refuted claims: what was compared, what reproduces it, and what to try."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import numpy as np

from theory.arithmetic.rounding import UNIT
from theory.maps.base import Map
from theory.maps.callable import CallableMap
from theory.trials.verdict import Verdict
from theory.typing import Array

#: Pytest shows the frames of the user alone.
__tracebackhide__ = True


def fail_refuted(
    headline: str,
    verdict: Verdict,
    arrays: Mapping[str, Array],
    advice: str,
    *,
    of: Map | None = None,
) -> NoReturn:
    """Raise with a verdict that refutes."""
    fail(headline, verdict.measured, verdict.budget, arrays, advice, bound=verdict.bound, of=of)


def fail(
    headline: str,
    measured: float,
    budget: float,
    arrays: Mapping[str, Array],
    advice: str,
    *,
    bound: float = 0.0,
    of: Map | None = None,
) -> NoReturn:
    """Raise with what was compared, what reproduces it, and what to try."""
    raise AssertionError(
        f"{headline}\n  measured  {measured!r}\n  bound     {bound!r}\n"
        f"  budget    {budget!r}  ({_source_of(of)})\n{array_lines(arrays)}\n  try       {advice}"
    )


#: The unit roundoff of single precision over that of double precision.
SINGLE = 2.0**29


def single_hint(recurrent: Map, values: Array) -> str:
    """Return what to say of states that carry single precision only, though their type is double.

    Empty for what a map of this package returns, and where a value needs more digits.
    """
    if not isinstance(recurrent, CallableMap) or recurrent.precision != "float64":
        return ""
    # a state of small fractions may be exact in any precision
    if not np.array_equal(values.astype(np.float32).astype(np.float64), values):
        return ""
    if np.array_equal(values.astype(np.float16).astype(np.float64), values):
        return ""
    units = 4.0 * (recurrent.state_dim + recurrent.input_dim + 16)
    return (
        f"the states have type float64 but single precision only, so a step rounds by about "
        f"{units * SINGLE * UNIT:.1g} and not {units * UNIT:.1g}: pass rounding_units="
        f"{units:g} * 2**29, or compute in double precision"
    )


def _source_of(recurrent: Map | None) -> str:
    """Return where the budget of a map's steps comes from."""
    if not isinstance(recurrent, CallableMap):
        return "derived rounding"
    return f"assumed rounding of a step in {recurrent.precision}; see rounding_units="


def what_next(measured: float, hint: str) -> str:
    """Return what to try after a refuted factor."""
    found = [hint] if hint else []
    found.append(
        f"a factor of at least {measured:.6g}"
        if measured < 1
        else "another norm: no factor below 1 holds in this one"
    )
    if measured < 1:
        found.append("another norm")
    found.append("radius= and inputs=, if the claim is one for some states and inputs only")
    return "; ".join(found) + "; theory.contraction(map) looks for a factor that is certified"


def array_lines(arrays: Mapping[str, Array]) -> str:
    """Return one line an array, exact to the last digit, long ones shortened in the middle."""
    with np.printoptions(precision=17, floatmode="unique", threshold=24, edgeitems=3, linewidth=88):
        lines = [f"{name} = {value!r}" for name, value in arrays.items()]
    return "\n".join("  " + line.replace("\n", "\n  ") for line in lines)
