"""The output of a state, y = C h + d, and what a layer shows to the one above it.

Main names: `LinearHead`, `as_head`, `Readout`.

One convention for all: a head of `Map.state_dim` columns is of the whole state, and one of as many
as `Map.output_map` has rows is of what the map shows of its state (the h of an `LSTM`, whose state
is (c, h); the state of the last layer of a `Cascade`).  Where both are as wide, they are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.arithmetic.intervals import Interval, affine_image
from theory.arithmetic.rounded import Rounded
from theory.arithmetic.zonotopes import Zonotope
from theory.errors import as_array, as_matrix, as_vector
from theory.maps.base import Map, check_map
from theory.maps.foreign import output_arrays
from theory.maps.functions import Function
from theory.norms.norms import Norm
from theory.shown import packed, restore, shown
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

    def __repr__(self) -> str:
        return f"LinearHead(p={self.C.shape[0]}, n={self.C.shape[1]})"

    def __getstate__(self) -> dict[str, Any]:
        return packed(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        restore(self, state)

    def __call__(self, H: Array) -> Array:
        """Return the outputs of states (..., n)."""
        result: Array = H @ self.C.T + self.d
        return result

    def lipschitz(self, norm: Norm) -> float:
        """Return an upper bound of L_f from `norm` to its companion on the outputs."""
        return norm.companion.matrix_upper(self.C, norm)


def own_head(recurrent: Map, head: Any, *, name: str = "head") -> LinearHead:
    """Return a head as it is given, of the state or of what the map shows; see `as_head`."""
    check_map(recurrent)
    if isinstance(head, Function):
        raise ValueError(
            f"{name} is a {type(head).__name__}, needed C h + d; theory.maps.with_head(recurrent, "
            f"{name}) is a map that shows what it gives"
        )
    if isinstance(head, LinearHead):
        given = head
    else:
        C, d = output_arrays(head, name)
        C = as_array(name, C)
        if not (C.ndim == 2 and C.size):
            raise ValueError(f"{name} has shape {C.shape}, needed {_widths(recurrent)}")
        given = LinearHead(C, d)
    if given.C.shape[1] not in {recurrent.state_dim, len(recurrent.output_map)}:
        raise ValueError(f"{name} has C of shape {given.C.shape}, needed {_widths(recurrent)}")
    return given


def as_head(recurrent: Map, head: Any, *, name: str = "head") -> LinearHead:
    """Return a head of the whole state, from whatever a user has as the output of a model.

    Parameters
    ----------
    recurrent : Map
    head
        A `LinearHead`, a matrix (array or tensor), a ``torch.nn.Linear``, a Keras ``Dense`` layer
        without activation, or a fitted ``Ridge`` node of reservoirpy; of the whole state, or of
        what `Map.output_map` shows of it.
    name : str
        What messages call it.

    Returns
    -------
    LinearHead
        Of `Map.state_dim` columns.

    Raises
    ------
    ValueError
        If it has neither width, computes something else than C h + d, or a number is not finite.

    Examples
    --------
    >>> from theory import LSTM
    >>> cell = LSTM(np.ones((8, 2)), np.ones((8, 1)))
    >>> as_head(cell, [[3.0, 4.0]]).C.tolist()
    [[0.0, 0.0, 3.0, 4.0]]
    """
    given = own_head(recurrent, head, name=name)
    if given.C.shape[1] == recurrent.state_dim:
        return given
    # output_map selects entries, so the product is exact
    return LinearHead(given.C @ recurrent.output_map, given.d)


def _widths(recurrent: Map) -> str:
    """Return the shapes that the C of a head of this map may have."""
    whole, shown = recurrent.state_dim, len(recurrent.output_map)
    if whole == shown:
        return f"(p, {whole}), as wide as the state"
    return (
        f"(p, {whole}) for the whole state or (p, {shown}) for what output_map shows of it (the h "
        "of an LSTM, the last layer of a stack)"
    )


@shown
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
            return h.part(self.entries)
        return h.affine(self.C, self.d)

    def image(self, box: Interval) -> Interval:
        """Enclose the outputs over a box of states."""
        if self.entries is not None:
            return box[0][self.entries], box[1][self.entries]
        return affine_image(self.C, *box, self.d)

    def carry(self, h: Zonotope) -> Zonotope:
        """Return the outputs of a zonotope of states."""
        return h.rows(self.entries) if self.entries is not None else h.affine(self.C, self.d)

    def size(self, h_size: Array) -> Array:
        """Return a bound of the outputs over |h| <= h_size, entrywise."""
        bound = self.rounded(Rounded.exact(h_size))
        return np.nextafter(bound.size, np.inf) if self.entries is None else bound.size


def layer_readout(layer: Map, given: Any) -> Readout:
    """Return a layer's readout: all that `as_head` takes, or by default its own output map."""
    n = layer.state_dim
    head = LinearHead(layer.output_map) if given is None else as_head(layer, given, name="readout")
    C, d = head.C, head.d
    first = int(np.argmax(C[0] != 0))
    selects = first + len(C) <= n and not d.any()
    selects = selects and np.array_equal(C, np.eye(len(C), n, first))
    entries = slice(first, first + len(C)) if selects else None
    return Readout(C=C, d=d, given=given is not None, entries=entries)
