"""Norms, radii and matrices in ball arithmetic."""

from __future__ import annotations

from typing import Any

import flint
import numpy as np
from definitions import balls

from theory.norms import L1, L2, BlockMax, Linf, Norm, WeightedL1, WeightedL2, WeightedLinf
from theory.typing import Array

Ball = flint.arb
Vector = list[flint.arb]
ZERO = Ball(0)


def total(terms: Any) -> Ball:
    return sum(terms, ZERO)


def largest(terms: Any) -> Ball:
    best = ZERO
    for term in terms:
        best = best.max(term)
    return best


def length(norm: Norm, d: Vector) -> Ball:
    """Return the exact norm of an exact vector."""
    if isinstance(norm, L1):
        return total(abs(x) for x in d)
    if isinstance(norm, Linf):
        return largest(abs(x) for x in d)
    if isinstance(norm, L2):
        return total(x * x for x in d).sqrt()
    if isinstance(norm, WeightedL1):
        return total(abs(x) * v for x, v in zip(d, balls(norm.v), strict=True))
    if isinstance(norm, WeightedLinf):
        return largest(abs(x) / v for x, v in zip(d, balls(norm.v), strict=True))
    if isinstance(norm, BlockMax):
        return largest(Ball(w) * length(part, d[at]) for w, part, at in norm.blocks)
    assert isinstance(norm, WeightedL2)
    square = total(x * y for x, y in zip(d, times(norm.P, d), strict=True))
    return square.max(ZERO).sqrt()


def times(A: Array, x: Vector) -> Vector:
    """Return A x."""
    return [total(a * b for a, b in zip(balls(row), x, strict=True)) for row in A]


def minus(a: Vector, b: Vector) -> Vector:
    return [x - y for x, y in zip(a, b, strict=True)]


def matrix_of(A: Array) -> flint.arb_mat:
    return flint.arb_mat([balls(row) for row in A])


def eigenvalues(A: flint.arb_mat) -> list[flint.acb] | None:
    """Return enclosures of the eigenvalues; None if they cannot be told apart well enough."""
    try:
        return flint.acb_mat(A).eig(multiple=True)
    except (ValueError, ZeroDivisionError):
        return None


def radius(A: flint.arb_mat) -> Ball | None:
    """Return the spectral radius."""
    found = eigenvalues(A)
    return None if found is None else largest(abs(value) for value in found)


def induced(norm: Norm, A: Array) -> Ball | None:
    """Return the exact norm of a square matrix; None if its eigenvalues are not found.

    None in a maximum over blocks too, where it is hard to compute.
    """
    if isinstance(norm, BlockMax):
        return None
    rows = [balls(np.abs(row)) for row in A]
    if isinstance(norm, Linf):
        return largest(map(total, rows))
    if isinstance(norm, L1):
        return largest(map(total, zip(*rows, strict=True)))
    if isinstance(norm, WeightedLinf):
        v = balls(norm.v)
        return largest(
            total(a * w for a, w in zip(row, v, strict=True)) / u
            for row, u in zip(rows, v, strict=True)
        )
    if isinstance(norm, WeightedL1):
        v = balls(norm.v)
        return largest(
            total(a * w for a, w in zip(column, v, strict=True)) / u
            for column, u in zip(zip(*rows, strict=True), v, strict=True)
        )
    # the largest eigenvalue of P^-1 A^T P A, a similar matrix of a symmetric one
    M = matrix_of(A)
    G = M.transpose() * M
    if isinstance(norm, WeightedL2):
        P = matrix_of(norm.P)
        G = P.inv() * M.transpose() * P * M
    found = radius(G)
    return None if found is None else found.max(ZERO).sqrt()


def frobenius(A: flint.arb_mat) -> Ball:
    return total(x * x for x in A.entries()).sqrt()
