"""The output of a state, y = C h + d, and what a layer shows to the one above it.

Main names: `LinearHead`, `Readout`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from theory.arithmetic.intervals import Interval, affine_image
from theory.arithmetic.rounded import Rounded
from theory.errors import as_matrix, as_vector
from theory.maps.base import Map
from theory.norms.norms import Norm
from theory.typing import Array


@final
class LinearHead:
    """The output y = C h + d.

    Parameters
    ----------
    C : (p, n) array
    d : (p,) array, optional
        Zero by default.
    """

    C: Array
    d: Array

    def __init__(self, C: npt.ArrayLike, d: npt.ArrayLike | None = None) -> None:
        self.C = as_matrix("C", C)
        self.d = as_vector("d", np.zeros(len(self.C)) if d is None else d, size=len(self.C))

    def __call__(self, H: Array) -> Array:
        """Return the outputs of states (..., n)."""
        result: Array = H @ self.C.T + self.d
        return result

    def lipschitz(self, norm: Norm) -> float:
        """Return an upper bound of L_f from `norm` to its companion on the outputs."""
        return norm.companion.matrix_upper(self.C, norm)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Readout:
    """What the next layer sees of a state: C h + d, or a run of entries if `entries` is given."""

    C: Array  # C, (p, n)
    d: Array  # d, (p,)
    given: bool  # whether it was given, rather than the layer's own output map
    entries: slice | None  # the entries that C selects, where it does no more than that

    def __call__(self, h: Array) -> Array:
        """Return the outputs of states (..., n)."""
        if self.entries is not None:
            return h[..., self.entries]
        result: Array = h @ self.C.T + self.d
        return result

    def times(self, J: Array) -> Array:
        """Return C J."""
        return J[..., self.entries, :] if self.entries is not None else self.C @ J

    def rounded(self, h: Rounded) -> Rounded:
        """Return size and rounding error of the outputs."""
        if self.entries is not None:
            return Rounded(h.size[self.entries], h.error[self.entries])
        return h.affine(self.C, self.d)

    def image(self, box: Interval) -> Interval:
        """Enclose the outputs over a box of states."""
        if self.entries is not None:
            return box[0][self.entries], box[1][self.entries]
        return affine_image(self.C, *box, self.d)

    def size(self, h_size: Array) -> Array:
        """Return a bound of the outputs over |h| <= h_size, entrywise."""
        bound = self.rounded(Rounded.exact(h_size))
        return np.nextafter(bound.size, np.inf) if self.entries is None else bound.size


def layer_readout(layer: Map, given: npt.ArrayLike | LinearHead | None) -> Readout:
    """Return a layer's readout: a matrix, a `LinearHead`, or by default its own output map."""
    n = layer.state_dim
    if isinstance(given, LinearHead):
        C, d = as_matrix("readout", given.C, columns=n), given.d
    else:
        C = as_matrix("readout", layer.output_map if given is None else given, columns=n)
        d = as_vector("readout bias", np.zeros(len(C)))
    first = int(np.argmax(C[0] != 0))
    selects = first + len(C) <= n and not d.any()
    selects = selects and np.array_equal(C, np.eye(len(C), n, first))
    entries = slice(first, first + len(C)) if selects else None
    return Readout(C=C, d=d, given=given is not None, entries=entries)
