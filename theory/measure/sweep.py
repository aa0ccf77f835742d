r"""The sweep over all truncation lengths at once.

Main name: `sweep`.

The k-step state obeys h^k_t = step(h^{k-1}_{t-1}, x_t): restarted k steps before t is restarted k-1
steps before t-1, plus one step.  So one matrix product advances the truncated states of all times
from k - 1 to k, and the whole curve k = 0 .. k_max costs k_max products instead of T k_max**2 / 2.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from theory.kernels.blocks import BLOCK_ROWS, locked
from theory.kernels.cells import gap_kernel, gap_rows
from theory.maps.base import Map
from theory.maps.form import Affine
from theory.measure.rows import rows_of
from theory.norms.norm import Norm
from theory.typing import Array

#: Up to this state dimension the fused kernel is about as fast as matrix products or faster, and
#: for short sequences much faster: it pays no call overhead.  tests/benchmarks/bench_gaps.py prints
#: the ratios.
FUSED_DIM = 32

#: Up to so many entries of a state, products are those of this package, in one thread, which are
#: faster than those of a library in one thread; from here on its threads pay.
OWN_DIM = 512

#: Numbers in a block of restarts of these, 256 KiB, and its least number of rows.
_AT_HAND, _LEAST = 2**15, 64

#: Lengths that a block of restarts is followed through while it is at hand.
_TOGETHER = 32


def fused_form(recurrent: Map, norm: Norm) -> tuple[Affine, int, Array] | None:
    """Return what `gap_kernel` needs, or None if it does not apply or would be slower."""
    n = recurrent.state_dim
    # in this order: the form of a large diagonal map is a dense matrix, made on demand
    form = recurrent.affine() if n <= FUSED_DIM else None
    size = None if form is None else size_of(norm, n)
    return None if form is None or size is None else (form, *size)


def size_of(norm: Norm, n: int) -> tuple[int, Array] | None:
    """Return kind and scale of a norm for the kernels, None if they do not know it."""
    c = None if norm.blocks else norm.coordinates(n)
    if c is None or c.weights is None or (c.p == 2 and not c.plain):
        return None
    return 0 if c.p == math.inf else int(c.p), locked(c.weights)


def sweep(
    recurrent: Map,
    X: Array,
    H: Array,
    restart: Array,
    k_max: int,
    norm: Norm,
    output: Array | None = None,
) -> Iterator[Array]:
    """Yield ||h_t - h_t^k|| at all times, (T,), for k = 0 .. k_max, of one sequence X, (T, m).

    H, (T, n), are the recurrent states; with `output`, (p, n), the gaps are those of the outputs.
    The row that is yielded is overwritten by the next one.
    Extra memory: input terms, two copies of the truncated states, and a few blocks of rows.
    """
    T, n = H.shape
    terms = recurrent.input_terms(X)
    row = np.zeros(T)
    G = np.empty((T, n))
    G[...] = restart
    fused = fused_form(recurrent, norm) if output is None else None
    if fused is not None:
        form, kind, scale = fused
        WT, rho = locked(np.ascontiguousarray(form.W.T)), form.rho
        for k in range(k_max + 1):
            gap_kernel(WT, terms, H, G, rho.code, rho.leak, kind, scale, k, row)
            yield row
        return
    size = None if output is not None else size_of(norm, n)
    own = rows_of(recurrent) if n <= OWN_DIM else None
    block = BLOCK_ROWS if own is None else min(BLOCK_ROWS, max(_LEAST, _AT_HAND // n))
    rows, places = np.zeros((_TOGETHER, T)), np.arange(T)
    other = np.empty((min(block, T), n)) if own is None else G
    for first in range(0, k_max + 1, _TOGETHER):
        several = range(first, min(first + _TOGETHER, k_max + 1))
        for lo in range(0, T - first, block):
            g, spare = G[lo : lo + block], other
            for k in several:
                # the restarts from lo on are at the times from lo + k on
                at = slice(lo + k, min(lo + k + block, T))
                count = at.stop - at.start
                if count <= 0:
                    break
                gaps = rows[k - first, at]
                if k and own is not None:
                    g = g[:count]
                    own(terms, places[at], g, places[:count], g)
                elif k:
                    g, spare = spare[:count], g[:count]
                    recurrent.advance(spare, terms[at], out=g)
                if size is not None:
                    gap_rows(g, H[at], *size, gaps)
                else:
                    d = g - H[at]
                    gaps[...] = norm.vector(d if output is None else d @ output.T)
            G[lo : lo + len(g)] = g
        for k in several:
            rows[k - first, :k] = 0.0
            yield rows[k - first]
