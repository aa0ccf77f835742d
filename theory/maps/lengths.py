r"""Differences measured in groups: the Euclidean length of entries that a step turns together.

Main names: `Lengths`, `lengths_up`.

Entry by entry |h_t - g_t| <= M |h_{t-1} - g_{t-1}| loses what a rotation keeps: a complex mode
s <- lambda s + u has |Re lambda| + |Im lambda| for |lambda|, a transition I - r r^T its largest
entries for 1.  With e the lengths of groups of entries, of one entry or many, the same e_t <= M
e_{t-1} holds with these, and an output c h moves by at most sum_g |c_g|_2 e_g.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, final

import numpy as np
import numpy.typing as npt

from theory.norms.norms import L2
from theory.shown import shown
from theory.typing import Array

#: The group of each entry, 0 .. p - 1.
Groups: TypeAlias = npt.NDArray[np.int64]


@shown
@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Lengths:
    """What a step makes of the lengths of groups of entries, all rounded upward."""

    group: Groups  # of each state, (n,)
    own: tuple[Array, ...]  # e+ <= max over these of M e, (p, p)
    seen: Array | None  # and from the sizes of a difference of inputs, (p, m); None if unknown
    rest: Array | None = None  # the lengths of step(0, x), (p,); None if they are not known so


def lengths_up(A: Array, group: Groups) -> Array:
    """Return the Euclidean lengths of the groups of the last axis, rounded upward: (..., p)."""
    n, count = A.shape[-1], int(group.max(initial=-1)) + 1
    order = np.argsort(group, kind="stable")
    sizes = np.bincount(group, minlength=count)
    place = np.arange(n) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    index = np.full((count, int(sizes.max(initial=0))), n)
    index[group[order], place] = order
    padded = np.concatenate([np.abs(A), np.zeros((*A.shape[:-1], 1))], axis=-1)
    result: Array = np.where(
        sizes == 1, padded[..., index[:, 0]], L2().vector_upper(padded[..., index])
    )
    return result
