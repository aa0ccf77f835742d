"""Norms, each a vector norm and the matrix norm it induces, and what products of matrices do.

`norm` says what a norm is, `norms` holds the six, `products` bounds all products of r steps,
`radius` spectral radii from below, and `enclosed` holds matrices with a bound of their error.
"""

from theory.norms.norm import Coordinates
from theory.norms.norms import L1, L2, Linf, Norm, WeightedL1, WeightedL2, WeightedLinf, over

__all__ = [
    "L1",
    "L2",
    "Coordinates",
    "Linf",
    "Norm",
    "WeightedL1",
    "WeightedL2",
    "WeightedLinf",
    "over",
]
