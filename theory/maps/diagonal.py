"""The diagonal linear state-space layer s <- diag(eigenvalues) s + B x, s complex.

Main name: `DiagonalSSM`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.arithmetic.activations import IDENTITY
from theory.arithmetic.intervals import Interval, affine_image, product_matrix_up, sum_of
from theory.arithmetic.rounded import Rounded
from theory.arithmetic.zonotopes import Zonotope, stacked
from theory.domain import Domain
from theory.errors import as_array, as_matrix, as_vector, plain_array
from theory.maps.base import Map, read_only
from theory.maps.boxes import ends as boxes
from theory.maps.boxes.ends import fixed_box
from theory.maps.form import Affine
from theory.maps.gates import finite_terms
from theory.maps.lengths import Lengths, lengths_up
from theory.norms.norms import L2, Norm
from theory.typing import Array


def complex_of(name: str, real: Any, imag: Any) -> Any:
    """Return an array of complex numbers from its parts; real + 1j imag loses signs of zeros.

    Raises
    ------
    ValueError
        If a part is no array of finite numbers, or they have two shapes.
    """
    parts = as_array(f"{name}_real", real), as_array(f"{name}_imag", imag)
    if parts[0].shape != parts[1].shape:
        raise ValueError(
            f"{name}_real has shape {parts[0].shape} and {name}_imag {parts[1].shape}, needed one"
        )
    both = np.empty(parts[0].shape, dtype=np.complex128)
    both.real, both.imag = parts
    return both


@final
class DiagonalSSM(Map):
    r"""The diagonal linear state-space layer s <- diag(eigenvalues) s + B x, s complex (LRU, S4D).

    The state is real, (Re s, Im s), of dimension 2 n.

    Parameters
    ----------
    eigenvalues : (n,) complex array
    B : (n, m) complex array
        Input matrix, any normalisation included.

    Raises
    ------
    ValueError
        If shapes do not fit or a number is not finite.

    Examples
    --------
    >>> layer = DiagonalSSM([0.5j], [[1.0]])
    >>> layer.simulate([[1.0], [0.0], [0.0]]).tolist()
    [[1.0, 0.0], [0.0, 0.5], [-0.25, 0.0]]
    """

    def __init__(self, eigenvalues: npt.ArrayLike, B: npt.ArrayLike) -> None:
        values, matrix = plain_array("eigenvalues", eigenvalues), plain_array("B", B)
        self._real = as_vector("eigenvalues (real part)", values.real)
        n = self._real.size
        self._imag = as_vector("eigenvalues (imaginary part)", values.imag, size=n)
        if n == 0:
            raise ValueError("eigenvalues is empty, needed at least one")
        self._B_real = as_matrix("B (real part)", matrix.real, rows=n)
        self._B_imag = as_matrix("B (imaginary part)", matrix.imag, rows=n)

    @property
    def units(self) -> int:
        """Return n, the number of eigenvalues."""
        return self._real.size

    @property
    def state_dim(self) -> int:
        """Return 2 n: the state is (Re s, Im s)."""
        return 2 * self._real.size

    @property
    def input_dim(self) -> int:
        """Return m."""
        return int(self._B_real.shape[1])

    @property
    def eigenvalues(self) -> np.ndarray[tuple[int, ...], np.dtype[np.complex128]]:
        """Return the eigenvalues, (n,), complex."""
        return self._real + 1j * self._imag

    @property
    def B(self) -> np.ndarray[tuple[int, ...], np.dtype[np.complex128]]:
        """Return the input matrix, (n, m), complex."""
        return self._B_real + 1j * self._B_imag

    @property
    def parameters(self) -> Mapping[str, Array]:
        """Return real and imaginary parts of the eigenvalues and of B."""
        return read_only(
            eigenvalues_real=self._real,
            eigenvalues_imag=self._imag,
            B_real=self._B_real,
            B_imag=self._B_imag,
        )

    def _rebuilt(self, parameters: Mapping[str, Any]) -> DiagonalSSM:
        return DiagonalSSM(
            complex_of(
                "eigenvalues", parameters["eigenvalues_real"], parameters["eigenvalues_imag"]
            ),
            complex_of("B", parameters["B_real"], parameters["B_imag"]),
        )

    @cached_property
    def _form(self) -> Affine:
        real, imag = np.diag(self._real), np.diag(self._imag)
        form = Affine(
            W=np.block([[real, -imag], [imag, real]]),
            U=np.vstack([self._B_real, self._B_imag]),
            b=np.zeros(self.state_dim),
            rho=IDENTITY,
        )
        for array in (form.W, form.U, form.b):
            array.flags.writeable = False
        return form

    def affine(self) -> Affine:
        """Return it as the real linear system of dimension 2 n that it is."""
        return self._form

    def step(self, h: Array, x: Array) -> Array:
        """Return (Re s+, Im s+), s+ = eigenvalues * s + B x."""
        if np.shape(h)[-1:] != (self.state_dim,) or np.shape(x)[-1:] != (self.input_dim,):
            raise ValueError(
                f"h has shape {np.shape(h)} and x has shape {np.shape(x)}, needed "
                f"(..., {self.state_dim}) and (..., {self.input_dim})"
            )
        return self.advance(h, self.input_terms(x))

    def jacobian_state(self, h: Array, x: Array) -> Array:
        """Return the matrix of the linear system, (2 n, 2 n), for every state."""
        leading = np.broadcast_shapes(np.shape(h)[:-1], np.shape(x)[:-1])
        return np.broadcast_to(self._form.W, (*leading, *self._form.W.shape)).copy()

    def jacobian_input(self, h: Array, x: Array) -> Array:
        """Return (Re B; Im B), (2 n, m), for every input."""
        leading = np.broadcast_shapes(np.shape(h)[:-1], np.shape(x)[:-1])
        return np.broadcast_to(self._form.U, (*leading, *self._form.U.shape)).copy()

    def input_terms(self, X: Array) -> Array:
        """Return (Re B x, Im B x) for every input."""
        return finite_terms(np.concatenate([X @ self._B_real.T, X @ self._B_imag.T], axis=-1))

    def advance(self, h: Array, terms: Array, out: Array | None = None) -> Array:
        """Return ``step(h, x)`` from ``terms = input_terms(x)``."""
        n = self._real.size
        real, imag = h[..., :n], h[..., n:]
        leading = np.broadcast_shapes(h.shape[:-1], terms.shape[:-1])
        result = np.empty((*leading, 2 * n)) if out is None else out
        result[..., :n] = self._real * real - self._imag * imag + terms[..., :n]
        result[..., n:] = self._imag * real + self._real * imag + terms[..., n:]
        return result

    def rounded_step(self, h: Rounded, x: Rounded) -> Rounded:
        """Return size and rounding error of a step: two products and a sum of m an entry."""
        real, imag = (h.stored(np.tile(part, 2)) for part in (self._real, self._imag))
        swapped = h.of(np.roll(h.size, self._real.size), np.roll(h.error, self._real.size))
        return real * h + imag * swapped + x.affine(self._form.U)

    def step_error(self, h_size: Array, x_size: Array) -> Array:
        """Bound the rounding error of one step, entrywise; derived in `rounded_step`."""
        return self.rounded_step(Rounded.exact(h_size), Rounded.exact(x_size)).error

    def input_lipschitz(self, norm: Norm) -> float:
        """Return ||(Re B; Im B)||, rounded up."""
        return norm.matrix_upper(self._form.U, norm.companion)

    def image(self, domain: Domain) -> Interval:
        """Enclose (Re s+, Im s+) over a box."""
        boxes.ends_of(domain, self.state_dim, self.input_dim)
        return sum_of(
            affine_image(self._form.W, domain.low, domain.high),
            affine_image(self._form.U, domain.input_low, domain.input_high),
        )

    def carry(
        self,
        states: Zonotope,
        seen: Zonotope,
        before: Interval,
        after: Interval,
        ranges: Interval | None = None,
    ) -> Zonotope:
        """Return the step, which keeps all symbols."""
        del before, after, ranges
        return stacked(states, seen).affine(np.hstack([self._form.W, self._form.U]))

    def candidate_box(self, input_low: Array, input_high: Array) -> Interval | None:
        """Return a box that stays; None if |Re| + |Im| of an eigenvalue is not below 1.

        A rotation moves the corners of a box out of it: what always stays if |s_i| < 1 is a disc
        for each eigenvalue.
        """
        at_rest = affine_image(self._form.U, input_low, input_high)
        return fixed_box(np.abs(self._form.W), boxes.magnitude(at_rest))

    def comparison(self, domain: Domain | None = None) -> tuple[Array, ...]:
        """Return the entrywise size of the real system's matrix."""
        boxes.ends_of(domain, self.state_dim, self.input_dim)
        return (np.abs(self._form.W),)

    def input_comparison(self, domain: Domain | None = None) -> Array:
        """Return the entrywise size of (Re B; Im B)."""
        boxes.ends_of(domain, self.state_dim, self.input_dim)
        size: Array = np.abs(self._form.U)
        return size

    def group_comparison(self, domain: Domain | None = None) -> Lengths | None:
        """Return |eigenvalue| and |B| of the complex modes, whose parts turn together."""
        box = boxes.ends_of(domain, self.state_dim, self.input_dim)
        turns, n = self._imag != 0, self._real.size
        if not turns.any():
            return None
        own = n + np.cumsum(~turns) - 1
        group = np.concatenate([np.arange(n), np.where(turns, np.arange(n), own)])
        seen = lengths_up(self._form.U.T, group).T
        size = boxes.magnitude((box.input_low, box.input_high))
        return Lengths(
            group=group,
            own=(np.diag(self._moduli(turns)),),
            seen=seen,
            rest=product_matrix_up(seen, size[:, None])[:, 0],
        )

    def _moduli(self, turns: np.ndarray[tuple[int, ...], np.dtype[np.bool]]) -> Array:
        """Bound the modes' |eigenvalue|, and behind them those of the imaginary parts that stay."""
        size = L2().vector_upper(np.stack([self._real, self._imag], axis=-1))
        modes = np.where(turns, size, np.abs(self._real))
        return np.concatenate([modes, np.abs(self._real[~turns])])

    def state_lipschitz(self, norm: Norm, domain: Domain | None = None) -> float:
        """Return the largest |eigenvalue| in the Euclidean norm, else the norm of the matrix."""
        boxes.ends_of(domain, self.state_dim, self.input_dim)
        if isinstance(norm, L2):
            return float(np.max(self._moduli(self._imag != 0)))
        return norm.matrix_upper(self._form.W)

    def _run(self, X: Array, h0: Array) -> Array:
        from theory.kernels.simulate import run_complex

        return run_complex(self._real, self._imag, self.input_terms(X), h0)

    def __repr__(self) -> str:
        return f"DiagonalSSM(n={self._real.size}, m={self.input_dim})"
