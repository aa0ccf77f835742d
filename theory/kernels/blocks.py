"""Blocks of rows that stay in the cache; NumPy only, so that importing it costs nothing.

Main names: `row_blocks`, `locked`, `lined`, `BLOCK_ROWS`.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from theory.typing import Array

A = TypeVar("A", bound=npt.NDArray[Any])

#: Rows that are advanced together: few enough that what they need in between is small beside the
#: states, and enough that a product is worth the threads that BLAS hands it to.
BLOCK_ROWS = 512

#: Doubles in a cache line.
LINE = 8


def locked(array: A) -> A:
    """Return a view that cannot be written, without a copy.

    To Numba this is another type than an array that can be written, and every type is compiled by
    itself: what kernels only read is passed in this way, so that each is compiled once.
    """
    view = array.view()
    view.flags.writeable = False
    return view


def lined(array: A) -> A:
    """Return a copy that begins at a cache line, so that no vector of it lies across two."""
    size = array.nbytes
    flat = np.empty(size + 8 * LINE, dtype=np.uint8)
    first = -flat.ctypes.data % (8 * LINE)
    result = flat[first : first + size].view(array.dtype).reshape(array.shape)
    result[...] = array
    return cast("A", result)


def row_blocks(
    h: Array, terms: Array, out: Array | None
) -> tuple[Array, list[tuple[Array, Array, Array]], int]:
    """Return the array of results, blocks of rows of (h, terms, results), and the largest size.

    Leading axes of h and terms are broadcast; results are as wide as h and go to `out` if given.
    """
    leading = np.broadcast_shapes(h.shape[:-1], terms.shape[:-1])
    result = np.empty((*leading, h.shape[-1])) if out is None else out
    if not leading:
        return result, [(h[None], terms[None], result[None])], 1
    # only where it must be, as what is broadcast can only be read, another type for a kernel
    states, driving = (
        a if a.shape[:-1] == leading else np.broadcast_to(a, (*leading, a.shape[-1]))
        for a in (h, terms)
    )
    blocks = [
        (states[rows], driving[rows], result[rows])
        for index in np.ndindex(leading[:-1])
        for first in range(0, leading[-1], BLOCK_ROWS)
        for rows in [(*index, slice(first, first + BLOCK_ROWS))]
    ]
    return result, blocks, min(BLOCK_ROWS, leading[-1])
