"""The type aliases of the project: `Array`, `Scalar` and `Progress`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

#: A float64 array.
Array: TypeAlias = npt.NDArray[np.float64]

#: What a theorem's `formula` accepts: anything with + - * / **, that is a float, an array, a
#: `Fraction`, a sympy expression or an interval. It cannot be narrowed without losing one of them.
Scalar: TypeAlias = Any

#: What long work calls with the number of pieces done and that of all of them.
Progress: TypeAlias = Callable[[int, int], None]
