"""Checks for your own test suite, of your own maps: a search for what would refute a claim.

    check_contraction    searches for two states that are contracted by less than was claimed
    check_truncation     runs the theorems on truncation on your inputs

Both raise `AssertionError` with everything needed to reproduce the failure, and return what was
compared when nothing was refuted.  That is evidence, not a proof: a search that finds nothing may
have looked in the wrong place.  No tolerance is involved, only the rounding budgets of the map.
"""

from theory.testing.contraction import check_contraction
from theory.testing.truncation import check_truncation

__all__ = [
    "check_contraction",
    "check_truncation",
]
