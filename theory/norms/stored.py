"""Norms read back from the description that a file holds.

Main names: `norm_from_dict`, `gram_from_dict`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from theory.norms.blocks import BlockMax
from theory.norms.norms import L1, L2, Linf, Norm, WeightedL1, WeightedL2, WeightedLinf
from theory.typing import Array


def gram_from_dict(data: dict[str, Any]) -> Array:
    """Return the matrix that `WeightedL2.to_dict` wrote, whole or as its diagonal, unchecked."""
    if "diagonal" in data:
        return np.diag([float.fromhex(x) for x in data["diagonal"]])
    return np.array([[float.fromhex(x) for x in row] for row in data["P"]])


def norm_from_dict(data: dict[str, Any]) -> Norm:
    """Read back what `Norm.to_dict` wrote.

    Raises
    ------
    ValueError
        If the description is not one of a known norm.
    """
    name = data.get("name")
    simple: dict[str, Norm] = {"L1": L1(), "L2": L2(), "Linf": Linf()}
    if isinstance(name, str) and name in simple:
        return simple[name]
    try:
        if name in ("WeightedL1", "WeightedLinf"):
            kind = WeightedL1 if name == "WeightedL1" else WeightedLinf
            return kind(np.array([float.fromhex(x) for x in data["v"]]))
        if name == "WeightedL2":
            return WeightedL2(gram_from_dict(data))
        if name == "BlockMax":
            parts = [norm_from_dict(dict(part)) for part in data["parts"]]
            weights = np.array([float.fromhex(x) for x in data["weights"]])
            return BlockMax(parts, sizes=data["sizes"], weights=weights)
    except (KeyError, TypeError) as error:
        raise ValueError(f"the description of a {name} is damaged: {error!r}") from None
    raise ValueError(
        f"unknown norm {name!r}, needed L1, L2, Linf, WeightedL1, WeightedL2, WeightedLinf or "
        "BlockMax"
    )
