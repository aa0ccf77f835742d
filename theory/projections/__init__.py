"""Which stable map is nearest?  One function, and the sets it projects onto.

    project             the nearest map of a set, provably inside: a `Projection`
    SETS                the sets by name
    spectral_ball       the nearest matrix of spectral norm at most a radius
    row_sum_ball        of absolute row sums at most a radius
    column_sum_ball     of absolute column sums at most a radius

A solver's word is not taken: what it returns is measured again and moved inside by a proved margin,
and a lower bound says how far the nearest member can be.
"""

from theory.projections.balls import column_sum_ball, row_sum_ball, spectral_ball
from theory.projections.base import Projection
from theory.projections.interface import SETS, project

__all__ = [
    "SETS",
    "Projection",
    "column_sum_ball",
    "project",
    "row_sum_ball",
    "spectral_ball",
]
