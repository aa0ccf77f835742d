"""In which norm: each `Norm` is a vector norm together with the matrix norm it induces.

    L1, L2, Linf                    in any dimension
    WeightedL1(v), WeightedLinf(v)  positive weights v
    WeightedL2(P)                   sqrt(h^T P h), P proved positive definite
    BlockMax(parts, sizes=..)       the weighted maximum of norms of blocks, as of a stack's layers

`over` is the constant from one norm to another.  ``norm.coordinates(n)`` are the `Coordinates` in
which a norm is an unweighted one.  Bounds of matrices are rounded outward.
"""

from theory.norms.blocks import BlockMax
from theory.norms.norm import Coordinates
from theory.norms.norms import (
    L1,
    L2,
    Linf,
    Norm,
    WeightedL1,
    WeightedL2,
    WeightedLinf,
    over,
)

__all__ = [
    "L1",
    "L2",
    "BlockMax",
    "Coordinates",
    "Linf",
    "Norm",
    "WeightedL1",
    "WeightedL2",
    "WeightedLinf",
    "over",
]
