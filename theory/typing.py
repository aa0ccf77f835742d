"""The two type aliases of the project: `Array` and `Scalar`."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

#: A float64 array.
Array: TypeAlias = npt.NDArray[np.float64]

#: What a theorem's `formula` accepts: anything with + - * / **, that is a float, an array, a
#: `Fraction`, a sympy expression or an interval. It cannot be narrowed without losing one of them.
Scalar: TypeAlias = Any
