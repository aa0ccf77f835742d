r"""The vanilla recurrent network h <- rho(W h + U x + b).

Main name: `VanillaRNN`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.arithmetic.activations import Activation, activation
from theory.errors import as_matrix, as_square, as_vector
from theory.maps.affine import AffineMap
from theory.maps.base import read_only
from theory.maps.form import Affine
from theory.typing import Array


@final
class VanillaRNN(AffineMap):
    r"""The map h <- rho(W h + U x + b) with an elementwise activation rho.

    Parameters
    ----------
    W : (n, n) array
        Recurrent weights.
    U : (n, m) array
        Input weights.
    b : (n,) array, optional
        Bias, zero by default.
    activation : str or Activation
        ``tanh`` by default; see `theory.arithmetic.activations`.

    Raises
    ------
    ValueError
        If shapes do not fit, a number is not finite, or the activation is unknown.

    Examples
    --------
    >>> cell = VanillaRNN(W=[[0.5]], U=[[1.0]])
    >>> cell.simulate([[1.0], [0.0]]).round(4).tolist()
    [[0.7616], [0.3634]]
    """

    def __init__(
        self,
        W: npt.ArrayLike,
        U: npt.ArrayLike,
        b: npt.ArrayLike | None = None,
        activation: str | Activation = "tanh",
    ) -> None:
        weights = as_square("W", W)
        n = weights.shape[0]
        self._form = Affine(
            W=weights,
            U=as_matrix("U", U, rows=n),
            b=as_vector("b", np.zeros(n) if b is None else b, size=n),
            rho=_lookup(activation),
        )

    @property
    def activation(self) -> Activation:
        """Return rho."""
        return self._form.rho

    @property
    def W(self) -> Array:
        """Return the recurrent weights, (n, n), read-only."""
        return self._form.W

    @property
    def U(self) -> Array:
        """Return the input weights, (n, m), read-only."""
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
        """Return itself in the form the criteria know."""
        return self._form

    def _rebuilt(self, parameters: Mapping[str, Any]) -> VanillaRNN:
        return VanillaRNN(**parameters, activation=self.activation)

    def __repr__(self) -> str:
        return (
            f"VanillaRNN(n={self.state_dim}, m={self.input_dim}, "
            f"activation={self.activation.name!r})"
        )


def _lookup(name: str | Activation) -> Activation:
    return activation(name)
