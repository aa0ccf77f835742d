"""Refutations as data: written with the states and inputs that prove them, and proved again.

Main names: `StoredRefutation`, `refutation_to_dict`, `refutation_from_dict`, `why_not_refuted`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.certify.orbits import never_meet, verified_cycle
from theory.certify.places import product_rate
from theory.certify.refute import Refutation, linear_bound
from theory.maps.base import Map
from theory.shown import shown
from theory.typing import Array

KINDS = ("orbits", "linear", "jacobian")


@shown
@final
@dataclass(frozen=True, kw_only=True, eq=False)
class StoredRefutation:
    """What a file says of a map that is refuted; nothing in it is believed before `recheck`."""

    refutation: Refutation
    kind: str | None  # of the map: the name of its class
    parameters: dict[str, str]  # SHA-256 of each parameter
    activation: str  # its name, empty for a map whose activations are not to choose
    versions: dict[str, str]  # of the programs that wrote it
    beyond: bool = False  # whether, as the file says, it is of other inputs than were asked about


def _hex(A: Array) -> Any:
    return [_hex(row) for row in A] if A.ndim > 1 else [x.hex() for x in A.tolist()]


def _array(value: Any, columns: int) -> Array:
    rows = [[float.fromhex(x) for x in row] for row in value]
    A = np.array(rows, dtype=np.float64).reshape(len(rows), columns)
    if not np.isfinite(A).all():
        raise ValueError("a number that is not finite")
    return A


def refutation_to_dict(refutation: Refutation) -> dict[str, Any]:
    """Return the JSON-ready proof; floats as hexadecimal text, hence exact."""
    return {
        "kind": refutation.kind,
        "detail": refutation.detail,
        "never_forgets": refutation.never_forgets,
        "x": _hex(refutation.x),
        "first": _hex(refutation.first),
        "second": _hex(refutation.second),
        "inputs": _hex(refutation.inputs),
        "radius": refutation.radius.hex(),
        "bound": refutation.bound.hex(),
        "state_dim": refutation.first.shape[1],
    }


def refutation_from_dict(data: dict[str, Any]) -> Refutation:
    """Read back what `refutation_to_dict` returned, converted but not checked."""
    n = int(data["state_dim"])
    x = _array([data["x"]], len(data["x"]))[0]
    found = Refutation(
        kind=str(data["kind"]),
        detail=str(data["detail"]),
        x=x,
        first=_array(data["first"], n),
        second=_array(data["second"], n),
        inputs=_array(data["inputs"], len(x)),
        radius=float.fromhex(data["radius"]),
        bound=float.fromhex(data["bound"]),
    )
    if not (math.isfinite(found.radius) and math.isfinite(found.bound)):
        raise ValueError(f"radius {found.radius} and bound {found.bound}, needed finite numbers")
    if data.get("never_forgets", found.never_forgets) is not found.never_forgets:
        raise ValueError(f"never_forgets does not fit the kind {found.kind!r}")
    return found


#: What other machines' rounding may cost a bound, relatively.
_PORTABLE = 2.0**-20


def _only(bound: float) -> str:
    return f"the spectral radius is proved to be >= {bound!r} only"


def why_not_refuted(refutation: Refutation, recurrent: Map) -> str:
    """Return why a refutation does not prove what it says of a map, empty if it does.

    Without a search: the boxes around the cycles are verified again, the spectral radius is bounded
    again.
    """
    n, m = recurrent.state_dim, recurrent.input_dim
    shapes = refutation.first.shape[1], len(refutation.x)
    if refutation.kind not in KINDS:
        return f"kind {refutation.kind!r}, needed one of: {', '.join(KINDS)}"
    if shapes != (n, m):
        return f"states and inputs of dimension {shapes}, needed ({n}, {m})"
    claimed = max(1.0, refutation.bound * (1 - _PORTABLE))
    if refutation.kind == "linear":
        known = linear_bound(recurrent)
        if known is None:
            return "no linear map of spectral radius at least 1"
        return "" if known[0] >= claimed else _only(known[0])
    if refutation.kind == "jacobian":
        if not 0 < len(refutation.first) == len(refutation.inputs):
            return "needed an input for each of at least one state"
        bound = product_rate(recurrent, refutation.first, refutation.inputs, enough=claimed)
        return "" if bound >= claimed else _only(bound)
    radii = []
    for points in (refutation.first, refutation.second):
        radius = verified_cycle(recurrent, refutation.x, points) if len(points) else None
        if radius is None:
            return "no cycle is proved to lie around the points"
        if not radius <= refutation.radius * (1 + _PORTABLE):
            return f"a cycle is proved to lie within {radius!r} only"
        radii.append(radius)
    apart = never_meet(refutation.first, refutation.second, sum(radii))
    return "" if apart else "the two cycles are not proved to be apart"
