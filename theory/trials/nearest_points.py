r"""What the theorems on nearest points are compared with: pairs of matrices and their projections.

Main names: `Pairs`, `pairs`, `rescaled_rows`, `scaled_pairs`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np

from theory.arithmetic.rounding import UNIT, upper_after
from theory.arithmetic.sums import length_upper
from theory.measure.run import Run
from theory.norms.norms import L1, L2
from theory.projections.balls import column_sum_ball, row_sum_ball, spectral_ball
from theory.projections.repair import least_margin
from theory.typing import Array

#: Larger recurrent matrices are cut to this many rows and columns.
_LARGEST = 12

#: The radius of the balls.
RADIUS = 1.0


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """Pairs of matrices, and the ball that a run's norm is about."""

    first: tuple[Array, ...]
    second: tuple[Array, ...]
    ball: Callable[[Array], Array]
    budget: Array  # rounding error of the distance of two projections

    @property
    def distances(self) -> Array:
        """Return the distances of the pairs, rounded up."""
        both = zip(self.first, self.second, strict=True)
        # differences are rounded once
        return upper_after([length_upper(w - v) for w, v in both], 1)

    def moved(self, by: Callable[[Array], Array] | None = None) -> Array:
        """Return the distances of the pairs' projections, or of what another map makes of them."""
        move = self.ball if by is None else by
        both = zip(self.first, self.second, strict=True)
        return np.array([float(np.linalg.norm(move(w) - move(v))) for w, v in both])


def _recurrent(run: Run) -> Array:
    """Return the recurrent matrix of a run, cut to `_LARGEST`."""
    form = run.map.affine()
    assert form is not None
    return form.W[:_LARGEST, :_LARGEST]


def pairs(run: Run) -> Pairs:
    r"""Return pairs of matrices around a run's recurrent matrix W.

    Far outside, near the boundary, two members, and the pair at which scaling rows expands most:
    (1, 0, ..) and (1, d, d, ..) in the first row.  The ball is that of the largest singular value
    in the Euclidean norm, of columns in the sum norm, of rows in every other.

    A projection is taken onto the ball shrunken by a margin m, which moves it by at most
    m sqrt(n) RADIUS in the Frobenius norm, and computed with an error of at most 64 n^2 u of the
    size of its argument.
    """
    W = _recurrent(run)
    n = len(W)
    rng = np.random.default_rng(n)
    size = float(np.linalg.norm(W))
    base = W / size if size > 0 else np.eye(n)
    outside = (3.0 + n) * base + 0.1 * rng.standard_normal((n, n))
    border = base * (RADIUS / max(float(np.max(np.abs(base).sum(axis=1))), 0.1))
    corner, beside = np.zeros((n, n)), np.zeros((n, n))
    corner[0, 0] = RADIUS
    beside[0] = 2.0**-12
    beside[0, 0] = RADIUS
    small = rng.uniform(-1, 1, (n, n)) * (0.4 * RADIUS / n)
    first = (outside, border, outside, corner, small)
    second = (-outside, 1.01 * border, outside + 0.1 * small, beside, 0.5 * small)
    kind = spectral_ball if run.norm.label == L2().label else row_sum_ball
    kind = column_sum_ball if run.norm.label == L1().label else kind
    largest = np.array([length_upper(w, v) for w, v in zip(first, second, strict=True)])
    margin = 8.0 * least_margin(n, UNIT) * np.sqrt(n) * RADIUS
    return Pairs(
        first=first,
        second=second,
        ball=lambda w: np.asarray(kind(w, RADIUS)),
        budget=margin + 128.0 * n * n * UNIT * largest,
    )


def rescaled_rows(W: Array) -> Array:
    """Return W with rows scaled down to the ball of row sums: a map into it, no projection."""
    sums = np.abs(W).sum(axis=1, keepdims=True)
    return np.asarray(W * np.minimum(1.0, RADIUS / np.maximum(sums, 2.0**-1000)))


def scaled_pairs(run: Run) -> tuple[Array, Array, Array, Array, Array]:
    r"""Return moduli of pairs of entries, those of members, and multipliers.

    Pairs (i, j), i <= j, of a run's recurrent matrix W: members are the nearest points of W in the
    spectral ball in scaled coordinates, and entries of W themselves, seen from along the normal of
    the hyperbola through them.
    """
    W = _recurrent(run)
    n = len(W)
    rng = np.random.default_rng(n)
    size = float(np.max(np.abs(W)))
    W = W / size if size > 0 else np.eye(n)
    i, j = np.triu_indices(n)
    parts = []
    for g in (0.125, 0.75):
        u, v = np.abs(W[i, j]), np.abs(W[j, i])
        parts.append((u + g * v, v + g * u, u, v, np.full(len(u), g / (1.0 - g))))
    for multiplier in (0.25, 4.0):
        d = np.exp(rng.uniform(-2, 2, n))
        A = 4.0 * W / np.sqrt(n)
        near = np.asarray(spectral_ball(d[:, None] * A / d[None, :], RADIUS))
        X = near / d[:, None] * d[None, :]
        x, y, u, v = np.abs((A[i, j], A[j, i], X[i, j], X[j, i]))
        parts.append((x, y, u, v, np.full(len(u), multiplier)))
    x, y, u, v, multipliers = (np.concatenate(part) for part in zip(*parts, strict=True))
    return x, y, u, v, multipliers
