r"""The best weights of the maximum norm: the rate falls to the Perron root of |W|.

Statement   |step(h, x) - step(g, x)| <= slope * row / weight * |h - g|
Assumes     step(h, x) = rho(W h + U x + b), |rho'| <= slope; |h| = max_i |h_i| / v_i, v positive;
            (|W| v)_i / v_i <= row / weight for all i
Kind        sharp, attained by linear maps; the Perron vector of |W| makes row / weight least, the
            spectral radius of |W|
Source      this project; Collatz-Wielandt (Horn and Johnson, Matrix Analysis, section 8.1)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from theory.arithmetic.activations import Activation, slope_intervals
from theory.arithmetic.activations import activation as look_up
from theory.arithmetic.rounding import evaluate
from theory.certificates import Contraction, certified
from theory.domain import Domain
from theory.errors import as_square
from theory.norms.norms import WeightedLinf, scaled_matrix_upper
from theory.norms.radius import balanced
from theory.norms.resolvent import graded_weights
from theory.theorems.assumptions import AFFINE_FORM, WEIGHTED_MAXIMUM
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Array, Scalar


def formula(slope: Scalar, row: Scalar, weight: Scalar) -> Scalar:
    """Return the right-hand side."""
    return slope * row / weight


#: Weights may differ by at most this factor in the best units: the price of converting enters every
#: bound in
#: another norm, and a reducible |W| has no best positive weights, only a sequence of ever more
#: unequal ones.  The square root of the inverse unit roundoff keeps half of the digits.
LARGEST_RATIO = 2.0**26


#: A relative gain of the rate below this is not worth more unequal weights: over the context that
#: forgets by a factor e, 1 / (1 - lam) steps, it changes a bound by less than 2**-33 / (1 - lam).
_SHOWS = 2.0**-33


#: Beyond this dimension eigenvectors come from power iterations: a routine for all of them takes
#: ten seconds at n = 1024.
_LARGE = 256


def perron_weights(W: Array) -> Array:
    """Return positive weights that nearly minimise max_i (|W| v)_i / v_i; largest weight 1.

    An eigenvector of |W| plus a small constant, which makes the matrix irreducible.  Candidates
    only: any positive vector certifies some rate.
    """
    size = np.abs(W)
    v, rate = _weights_within_ratio(size)
    if float(np.min(v)) > 1.0 / LARGEST_RATIO:
        return v
    # the limit is about the matrix, not about the units that its rows and columns come in; but more
    # unequal weights only for a rate that is another one altogether, or the one below 1
    exponents, B = balanced(size)
    if not np.any(exponents):
        return v
    inner, inner_rate = _weights_within_ratio(B)
    if not (inner_rate < 0.5 * rate or inner_rate < 1 <= rate):
        return v
    with np.errstate(under="ignore"):
        u: Array = np.ldexp(inner, exponents - int(np.max(exponents + np.frexp(inner)[1])))
    u /= np.max(u)
    return u if np.min(u) >= np.finfo(np.float64).tiny else v  # else 1 / u overflows


def _weights_within_ratio(size: Array) -> tuple[Array, float]:
    """Return weights that differ by at most `LARGEST_RATIO`, and the rate that they reach."""
    top = float(np.max(size, initial=0.0))
    n = len(size)
    if top == 0:
        return np.ones(n), 0.0
    size = size / top
    best, best_rate = np.ones(n), float(np.max(np.sum(size, axis=1)))
    # from well irreducible to not shifted at all, which is best where |W| itself is irreducible
    for shift in (*(2.0 ** -np.arange(5, 65, 5)), 0.0):
        if n > _LARGE:
            v = _power(size, shift / n, best)
        else:
            values, vectors = np.linalg.eig(size + shift / n)
            v = np.abs(np.real(vectors[:, int(np.argmax(np.real(values)))]))
        v = np.maximum(v / np.max(v), 1.0 / LARGEST_RATIO)
        rate = float(np.max((size @ v) / v))
        # the less shifted, the more unequal the weights may become: only for a gain that shows
        if rate < best_rate * (1 - _SHOWS):
            best, best_rate = v, rate
    return best, best_rate * top


def _power(size: Array, shift: float, v: Array, *, steps: int = 100) -> Array:
    """Return an eigenvector of a matrix plus a shift, nearly, from a guess."""
    for _ in range(steps):
        # half of the old vector, so that cyclic matrices settle too
        u = size @ v + shift * float(np.sum(v))
        u = 0.5 * (u / np.max(u) + v)
        done = bool(np.all(np.abs(u - v) <= 2.0**-40 * u))
        v = u
        if done:
            break
    return v


def contractive_of_perron_weights(
    W: Any,
    activation: str | Activation = "tanh",
    *,
    slopes: Any = None,
    domain: Domain | None = None,
) -> Contraction | None:
    """Return the contraction of h -> rho(W h + U x + b) in the best weighted maximum norm.

    Parameters
    ----------
    W : (n, n) array
    activation : str or Activation
    slopes, domain
        As in `theory.theorems.contractive_of_matrix_norm`.

    Returns
    -------
    Contraction or None
        In `WeightedLinf(v)`, with a rate just above slope times the spectral radius of |W|; None if
        that is not below 1.  For a reducible |W| the infimum may not be attained; the weights then
        differ by at most `LARGEST_RATIO`, in units that balance |W| where that is not enough, or by
        more where only so there is a rate below 1, or what is forgotten is forgotten much sooner.

    Raises
    ------
    ValueError
        If W is not square or not finite, the activation is unknown, or slopes narrower than its own
        come without a domain.

    Examples
    --------
    >>> c = contractive_of_perron_weights([[0.5, 4.0], [0.01, 0.5]])
    >>> round(c.lam, 9), (c.norm.v / c.norm.v.min()).round(6).tolist()
    (0.7, [20.0, 1.0])
    """
    matrix = as_square("W", W)
    rho = look_up(activation)
    low, high = slope_intervals(rho, len(matrix), slopes, local=domain is not None)
    steepest = abs(low).clip(abs(high))
    equal = bool((steepest == steepest[0]).all())
    scaled = np.abs(matrix if equal else steepest[:, None] * matrix)
    level = 1.0 / float(steepest[0]) if equal and steepest[0] > 0 else 1.0
    weights = graded_weights(
        [scaled],
        perron_weights(scaled),
        inner=lambda made: _weights_within_ratio(made[0])[0],
        level=level,
    )
    norm = WeightedLinf(weights)
    row = norm.matrix_upper(matrix) if equal else scaled_matrix_upper(norm, steepest, matrix)
    if row == float("inf"):  # the row sum exceeds the largest double
        return None
    lam = evaluate(formula, slope=float(steepest[0]) if equal else 1.0, row=row, weight=1.0)
    ratio = float(norm.v.max() / norm.v.min())
    detail = f"weights within a factor {ratio:.6g}"
    if abs(ratio / LARGEST_RATIO - 1) <= 2.0**-50:
        detail += ", their limit: this rate is above the infimum over all weights"
    return certified(lam, norm, method="Perron weights", detail=detail, domain=domain)


CONTRACTIVE_OF_PERRON_WEIGHTS = Theorem(
    name="contractive_of_perron_weights",
    title="contraction by Perron weights",
    quantity=r"\frac{\|\phi(h, x) - \phi(g, x)\|_{\infty,v}}{\|h - g\|_{\infty,v}}",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(AFFINE_FORM, WEIGHTED_MAXIMUM),
    source="this project; Collatz-Wielandt (Horn and Johnson, Matrix Analysis, section 8.1)",
    criterion=True,
)
