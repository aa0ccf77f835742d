r"""The weighted maximum of norms of blocks of the entries, as of a stack's layers.

Main name: `BlockMax`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.arithmetic import rigor
from theory.arithmetic.intervals import plus_up, times_up
from theory.arithmetic.rounding import TINY, UNIT, product_up, up
from theory.errors import as_vector, check_count
from theory.norms.norm import (
    Coordinates,
    Norm,
    best_unit_image,
    check_norm,
    over,
    power_iteration,
)
from theory.norms.norms import Linf
from theory.typing import Array


def _stretched(target: Norm, A: Array, source: Norm) -> Array:
    """Return columns, some of which nearly maximises ||A x||_target / ||x||_source, as computed."""
    p, n = A.shape
    T = np.eye(p) if target.blocks else target.coordinates(p).T
    S = np.eye(n) if source.blocks else source.coordinates(n).inverse
    B = T @ A @ S
    if not (np.isfinite(B).all() and np.any(B)):
        return np.zeros((n, 0))
    return np.asarray(S @ np.hstack([power_iteration(B), np.eye(n), np.sign(B).T]))


@final
@dataclass(frozen=True, eq=False, repr=False, init=False)
class BlockMax(Norm):
    r"""The weighted maximum ||h|| = max_l w_l ||h_l||_l of norms of blocks of the entries.

    A stack of layers contracts in such a norm of the layers' own.

    Parameters
    ----------
    parts : sequence of Norm
        One a block, in the order of the entries.
    sizes : sequence of int
        Number of entries of each block.
    weights : sequence of float, optional
        w, positive; all 1 by default.

    Raises
    ------
    ValueError
        If there is no block, their numbers differ, a norm is none of its block's dimension, or a
        weight is not positive.

    Examples
    --------
    >>> from theory.norms import L2, Linf
    >>> norm = BlockMax([L2(), Linf()], sizes=[2, 1], weights=[1.0, 4.0])
    >>> float(norm.vector(np.array([3.0, 4.0, 1.0])))
    5.0
    """

    parts: tuple[Norm, ...]
    sizes: tuple[int, ...]
    weights: Array  # w, one a block

    def __init__(
        self, parts: Sequence[Norm], *, sizes: Sequence[int], weights: npt.ArrayLike | None = None
    ) -> None:
        norms = tuple(check_norm(part, f"parts[{i}]") for i, part in enumerate(parts))
        counts = tuple(sizes)
        if not norms or len(counts) != len(norms):
            raise ValueError(
                f"received {len(norms)} parts and {len(counts)} sizes, needed one size for each of "
                "at least one part"
            )
        for i, (part, size) in enumerate(zip(norms, counts, strict=True)):
            check_count(at_least=1, **{f"sizes[{i}]": size})
            part.check_dim(size)
        given = np.ones(len(norms)) if weights is None else weights
        w = as_vector("weights", given, size=len(norms))
        if not float(np.min(w)) > 0:
            raise ValueError(f"weights has least entry {np.min(w)}, needed positive weights")
        object.__setattr__(self, "parts", norms)
        object.__setattr__(self, "sizes", tuple(map(int, counts)))
        object.__setattr__(self, "weights", w)

    @property
    def monotone(self) -> bool:  # type: ignore[override]  # a class constant in the other norms
        """Return whether the norms of all blocks are."""
        return all(part.monotone for part in self.parts)

    @property
    def dim(self) -> int:
        """Return the number of entries of all blocks."""
        return sum(self.sizes)

    @property
    def label(self) -> str:
        """Return ``max(L2; Linf,v)`` and so on."""
        return f"max({'; '.join(part.label for part in self.parts)})"

    @property
    def companion(self) -> Norm:
        """Return `Linf`."""
        return Linf()

    @property
    def blocks(self) -> tuple[tuple[float, Norm, slice], ...]:
        """Return weights, norms and entries of the blocks."""
        ends = np.cumsum([0, *self.sizes]).tolist()
        slices = [slice(a, b) for a, b in pairwise(ends)]
        return tuple(zip(self.weights.tolist(), self.parts, slices, strict=True))

    def coordinates(self, n: int) -> Coordinates:
        """Refuse: in no coordinates is it a sum, Euclidean or maximum norm."""
        self.check_dim(n)
        raise ValueError(
            f"{self.label} is a maximum over blocks, needed a norm that is a sum, Euclidean or "
            "maximum norm in some coordinates; take theory.L2(), or a block alone in its own norm"
        )

    def _of_blocks(self, measure: Callable[[Norm, Array], Any], h: Array) -> Array:
        """Return what is measured of each block along the last axis, (.., blocks)."""
        return np.stack([measure(part, h[..., at]) for _, part, at in self.blocks], axis=-1)

    def vector(self, h: Array) -> Any:
        """Return the largest of the weighted norms of the blocks along the last axis."""
        sizes = self._of_blocks(lambda part, block: part.vector(block), h)
        with np.errstate(over="ignore"):
            return np.max(sizes * self.weights, axis=-1)

    def vector_upper(self, h: Array) -> Any:
        """Return the largest of the weighted upper bounds of the blocks."""
        sizes = self._of_blocks(lambda part, block: part.vector_upper(block), h)
        return np.max(self._weighted_up(sizes), axis=-1)

    def _weighted_up(self, sizes: Array) -> Array:
        return np.where(self.weights == 1.0, sizes, times_up(sizes, self.weights))

    def vector_rounding(self, n: int) -> float:
        """Return the relative error of `vector`: the largest of the blocks, and a product."""
        self.check_dim(n)
        largest = max(
            part.vector_rounding(size) for part, size in zip(self.parts, self.sizes, strict=True)
        )
        return largest + 4 * UNIT

    @property
    def _underflow(self) -> float:
        lost = [weight * part._underflow for weight, part, _ in self.blocks]
        return 2 * max(lost) + 2 * TINY

    def majorant(self, e: Array) -> float:
        """Return the largest of the blocks' weighted majorants."""
        sizes = np.array([part.majorant(e[at]) for _, part, at in self.blocks])
        return float(np.max(self._weighted_up(sizes)))

    def reach_upper(self, n: int) -> Array:
        """Return upper bounds of |h_i| over the unit ball, those of the blocks over the weights."""
        self.check_dim(n)
        with np.errstate(over="ignore"):
            return np.concatenate(
                [
                    np.nextafter(part.reach_upper(size) / weight, math.inf)
                    for (weight, part, _), size in zip(self.blocks, self.sizes, strict=True)
                ]
            )

    def in_ball(self, x: list[float], radius: Fraction) -> bool:
        """Decide it of all blocks, each in exact arithmetic."""
        return all(part.in_ball(x[at], radius / Fraction(w)) for w, part, at in self.blocks)

    def dual_upper(self, U: Array) -> Array:
        """Return the sum of the blocks' dual norms over the weights, rounded up."""
        with np.errstate(over="ignore"):
            return plus_up(
                *(
                    np.nextafter(part.dual_upper(U[:, at]) / weight, math.inf)
                    for weight, part, at in self.blocks
                )
            )

    def matrix_lower(self, A: Array) -> float:
        """Return ||A x|| / ||x|| for the best of some vectors, rounded down.

        Of every block of rows: the vectors that each block of columns stretches most, one by one,
        and added up with the signs that lengthen the image.
        """
        if not (rigor.all_finite(A) and np.any(A)):
            return 0.0
        scaled = A / np.max(np.abs(A))
        candidates: list[Array] = []
        for _, part, rows in self.blocks:
            whole = np.zeros(self.dim)
            for weight, own, at in self.blocks:
                with np.errstate(all="ignore"):
                    found = _stretched(part, scaled[rows, at], own)
                    found = found / (weight * own.vector(found.T))
                found = found[:, np.isfinite(found).all(axis=0)]
                if not found.size:
                    continue
                alone = np.zeros((self.dim, found.shape[1]))
                alone[at] = found
                candidates.append(alone)
                best = alone[:, int(np.argmax(part.vector((scaled[rows] @ alone).T)))]
                longer = part.vector(np.stack([whole + best, whole - best]) @ scaled[rows].T)
                whole = whole + best * (1.0 if longer[0] >= longer[1] else -1.0)
            candidates.append(whole[:, None])
        return best_unit_image(self, A, np.hstack(candidates))

    def over_companion(self, n: int) -> float:
        """Return an upper bound of ||h|| / |h|_inf."""
        self.check_dim(n)
        return max(
            product_up(weight, over(part, Linf(), n=size))
            for (weight, part, _), size in zip(self.blocks, self.sizes, strict=True)
        )

    def companion_over(self, n: int) -> float:
        """Return an upper bound of |h|_inf / ||h||."""
        self.check_dim(n)
        return max(
            up(over(Linf(), part, n=size) / weight)
            for (weight, part, _), size in zip(self.blocks, self.sizes, strict=True)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the blocks, weights as hexadecimal floats."""
        return {
            "name": "BlockMax",
            "sizes": list(self.sizes),
            "weights": [w.hex() for w in self.weights.tolist()],
            "parts": [part.to_dict() for part in self.parts],
        }
