r"""The linear system h <- A h + B x + bias.

Main name: `LinearMap`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np

from theory.arithmetic.activations import IDENTITY
from theory.errors import as_matrix, as_square, as_vector
from theory.maps.affine import AffineMap
from theory.maps.base import read_only
from theory.maps.form import Affine
from theory.typing import Array


@final
class LinearMap(AffineMap):
    r"""The map h <- A h + B x + bias.

    Parameters
    ----------
    A : (n, n) array
        State matrix.
    B : (n, m) array
        Input matrix.
    bias : (n,) array, optional
        Zero by default.

    Raises
    ------
    ValueError
        If shapes do not fit or a number is not finite.

    Examples
    --------
    >>> LinearMap([[0.5]], [[1.0]]).simulate([[1.0], [1.0]]).tolist()
    [[1.0], [1.5]]
    """

    def __init__(self, A: Any, B: Any, bias: Any = None) -> None:
        matrix = as_square("A", A)
        n = matrix.shape[0]
        self._form = Affine(
            W=matrix,
            U=as_matrix("B", B, rows=n),
            b=as_vector("bias", np.zeros(n) if bias is None else bias, size=n),
            rho=IDENTITY,
        )

    @property
    def A(self) -> Array:
        """Return the state matrix, (n, n), read-only."""
        return self._form.W

    @property
    def B(self) -> Array:
        """Return the input matrix, (n, m), read-only."""
        return self._form.U

    @property
    def bias(self) -> Array:
        """Return the bias, (n,), read-only."""
        return self._form.b

    @property
    def parameters(self) -> Mapping[str, Array]:
        """Return A, B and bias."""
        return read_only(A=self.A, B=self.B, bias=self.bias)

    def affine(self) -> Affine:
        """Return itself with the identity as activation."""
        return self._form

    def _rebuilt(self, parameters: Mapping[str, Any]) -> LinearMap:
        return LinearMap(**parameters)

    def __repr__(self) -> str:
        return f"LinearMap(n={self.state_dim}, m={self.input_dim})"
