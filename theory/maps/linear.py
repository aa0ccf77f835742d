r"""The linear system h <- W h + U x + b.

Main name: `LinearMap`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.arithmetic.activations import IDENTITY
from theory.errors import as_matrix, as_square, as_vector
from theory.maps.affine import AffineMap
from theory.maps.base import read_only
from theory.maps.form import Affine
from theory.typing import Array

#: What the parameters were called before, and still are in certificates and files of that time.
OLD_NAMES = {"A": "W", "B": "U", "bias": "b"}


@final
class LinearMap(AffineMap):
    r"""The map h <- W h + U x + b.

    Parameters
    ----------
    W : (n, n) array
        State matrix.
    U : (n, m) array
        Input matrix.
    b : (n,) array, optional
        Zero by default.
    A, B, bias : arrays
        Other names of W, U and b, as control theory has them.

    Raises
    ------
    ValueError
        If shapes do not fit, a number is not finite, or a matrix is missing or given twice.

    Examples
    --------
    >>> LinearMap([[0.5]], [[1.0]]).simulate([[1.0], [1.0]]).tolist()
    [[1.0], [1.5]]
    """

    def __init__(
        self,
        W: npt.ArrayLike | None = None,
        U: npt.ArrayLike | None = None,
        b: npt.ArrayLike | None = None,
        *,
        A: npt.ArrayLike | None = None,
        B: npt.ArrayLike | None = None,
        bias: npt.ArrayLike | None = None,
    ) -> None:
        W, U, b = _one("W", W, "A", A), _one("U", U, "B", B), _one("b", b, "bias", bias)
        for name, other, value in (("W", "A", W), ("U", "B", U)):
            if value is None:
                raise ValueError(f"received no {name}, needed {name} (or {other}), a matrix")
        matrix = as_square("W", W)
        n = matrix.shape[0]
        self._form = Affine(
            W=matrix,
            U=as_matrix("U", U, rows=n),
            b=as_vector("b", np.zeros(n) if b is None else b, size=n),
            rho=IDENTITY,
        )

    @property
    def W(self) -> Array:
        """Return the state matrix, (n, n), read-only."""
        return self._form.W

    @property
    def U(self) -> Array:
        """Return the input matrix, (n, m), read-only."""
        return self._form.U

    @property
    def b(self) -> Array:
        """Return the bias, (n,), read-only."""
        return self._form.b

    @property
    def parameters(self) -> Mapping[str, Array]:
        """Return W, U and b."""
        return read_only(W=self.W, U=self.U, b=self.b)

    def affine(self) -> Affine:
        """Return itself with the identity as activation."""
        return self._form

    def _rebuilt(self, parameters: Mapping[str, Any]) -> LinearMap:
        return LinearMap(**parameters)

    def __repr__(self) -> str:
        return f"LinearMap(n={self.state_dim}, m={self.input_dim})"


def _one(name: str, value: Any, other: str, alias: Any) -> Any:
    """Return the one of two values that is given."""
    if value is not None and alias is not None:
        raise ValueError(f"{name} and {other} are two names of one array; pass one of them")
    return value if alias is None else alias
