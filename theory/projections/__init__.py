"""Which stable map is nearest?  One function, and the sets it projects onto.

    project             the nearest map of a set, provably inside: a `Projection`
    graded_norm         a norm in which a gated cell keeps room for training: a `GradedNorm`
    SETS                the sets by name
    spectral_ball       the nearest matrix of spectral norm at most a radius
    row_sum_ball        of absolute row sums at most a radius
    column_sum_ball     of absolute column sums at most a radius

A solver's word is not taken: what it returns is measured again and moved inside by a proved margin,
and a lower bound says how far the nearest member can be.
"""

from theory.projections.balls import column_sum_ball, row_sum_ball, spectral_ball
from theory.projections.base import Projection
from theory.projections.graded import GradedNorm, graded_norm
from theory.projections.interface import SETS, project

__all__ = [
    "SETS",
    "GradedNorm",
    "Projection",
    "column_sum_ball",
    "graded_norm",
    "project",
    "row_sum_ball",
    "spectral_ball",
]
