"""Comparisons of numbers that are known up to an enclosure."""

import flint


def may_be_at_most(x: flint.arb, y: flint.arb) -> bool:
    """Return whether two enclosures leave x <= y possible, which a NaN never does."""
    return not (x.is_nan() or y.is_nan()) and bool(x <= y or x.overlaps(y))


def may_be_at_least(x: flint.arb, y: flint.arb) -> bool:
    """Return whether two enclosures leave x >= y possible, which a NaN never does."""
    return may_be_at_most(y, x)
