"""Nearest stable models, provably inside: one function, and the sets it projects onto."""

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
