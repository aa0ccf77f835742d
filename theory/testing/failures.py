"""Messages of refuted claims: what was compared, what reproduces it, and what to try."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import numpy as np

from theory.maps.base import Map
from theory.maps.callable import CallableMap
from theory.trials.verdict import Verdict
from theory.typing import Array


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


def _source_of(recurrent: Map | None) -> str:
    """Return where the budget of a map's steps comes from."""
    if not isinstance(recurrent, CallableMap):
        return "derived rounding"
    return f"assumed rounding of a step in {recurrent.precision}; see rounding_units="


def array_lines(arrays: Mapping[str, Array]) -> str:
    """Return one line an array, exact to the last digit, long ones shortened in the middle."""
    with np.printoptions(precision=17, floatmode="unique", threshold=24, edgeitems=3, linewidth=88):
        lines = [f"{name} = {value!r}" for name, value in arrays.items()]
    return "\n".join("  " + line.replace("\n", "\n  ") for line in lines)
