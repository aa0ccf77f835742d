"""Checks of the ground: rounding, intervals, decisions about matrices, norms, products, radii."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from check import Check
from definitions import activated, balls
from draws import NORMS, RHO, Draw, a_norm, ends, interior, matrix, numbers, one_of, positive
from exact import (
    ZERO,
    Ball,
    frobenius,
    induced,
    largest,
    length,
    matrix_of,
    radius,
    times,
    total,
)
from tally import Tally

from theory import LinearMap, VanillaRNN
from theory.arithmetic import gates, gram, intervals, rigor, rounding
from theory.arithmetic.gates import GateBounds
from theory.arithmetic.rigor import frobenius_upper
from theory.arithmetic.sums import length_upper, sums_up
from theory.certify import joint_spectral_radius, rate_lower
from theory.certify.jsr import products_upper
from theory.certify.refute import linear_bound
from theory.norms import L2, Norm, WeightedL2, over
from theory.norms.norms import scaled_matrix_upper
from theory.norms.products import (
    UnsettledError,
    growth_constant,
    growth_upper,
    growths,
    lipschitz_of_steps,
    power,
    product_upper,
)
from theory.norms.radius import (
    _eigenvalue_lower,
    factors_radius_lower,
    product_radius_lower,
    reaches_one,
    spectral_radius_lower,
)
from theory.typing import Array

# rounding -----------------------------------------------------------------------------------------


def scalars(rng: Draw, tally: Tally) -> None:
    x, y = (float(abs(numbers(rng, ()))) for _ in "xy")
    tally.at_most("up", [Ball(x)], rounding.up(x))
    tally.at_least("down", [Ball(x)], rounding.down(x))
    tally.at_most("product_up", [Ball(x) * Ball(y)], rounding.product_up(x, y), x=x, y=y)
    tally.at_most("sqrt_up", [Ball(x).sqrt()], rounding.sqrt_up(x), x=x)
    terms = np.abs(numbers(rng, int(rng.integers(0, 9)))).tolist()
    tally.at_most("sum_up", [total(balls(terms))], rounding.sum_up(terms), terms=terms)
    e = int(rng.integers(-1200, 1200))
    scaled, size = Ball(x) * Ball(2) ** e, -x if rng.random() < 0.5 else x
    scaled = scaled if size >= 0 else -scaled
    tally.at_most("ldexp_up", [scaled], rounding.ldexp_up(size, e), x=size, e=e)
    tally.at_least("ldexp_down", [scaled], rounding.ldexp_down(size, e), x=size, e=e)
    digits = int(rng.integers(1, 16))
    tally.true("decimal_up", Fraction(rounding.decimal_up(size, digits)) >= Fraction(size), x=size)
    told = rounding.decimal_down(size, digits)
    tally.true("decimal_down", Fraction(told) <= Fraction(size), x=size)
    for near in (x, 1 - 2.0 ** -float(rng.integers(1, 54))):
        shown = Fraction(rounding.decimal_rate(near, digits))
        tally.true("decimal_rate", shown >= Fraction(near), x=near)
        tally.true("decimal_rate", shown < 1 or not near < 1, x=near)
    n = int(rng.integers(0, 2**20))
    exact = Fraction(n, 2**53) / (1 - Fraction(n, 2**53))
    tally.true("gamma", Fraction(rounding.gamma(n)) >= exact, n=n)


def formulas(rng: Draw, tally: Tally) -> None:
    lam, k = (
        float(rng.choice([rng.random(), 1 - 2.0**-30 * rng.random()])),
        int(rng.integers(0, 900)),
    )
    C = float(abs(numbers(rng, ())))

    def formula(lam, k, drive):
        return drive * lam**k / (1 - lam)

    exact = Ball(C) * Ball(lam) ** k / (1 - Ball(lam))
    given = {"lam": lam, "k": k, "drive": C}
    tally.at_most("evaluate", [exact], rounding.evaluate(formula, **given), **given)
    tally.at_least("evaluate", [exact], rounding.evaluate(formula, upward=False, **given), **given)


def chains(rng: Draw, tally: Tally) -> None:
    """Compare `raised` and `lowered` with a chain of so many rounded operations."""
    k = int(rng.integers(1, 12))
    sizes = np.exp2(rng.uniform(-40, 40, k + 1)) if rng.random() < 0.8 else 1 + rng.random(k + 1)
    first, *others = sizes.tolist()
    x, exact = np.float64(first), Ball(first)
    for other in others:
        way = int(rng.integers(4))
        if way == 3:
            x, exact = np.sqrt(x), exact.sqrt()
        else:
            operation = (np.add, np.multiply, np.divide)[way]
            x = operation(x, other)
            exact = (exact + other, exact * other, exact / other)[way]
    tally.at_most("raised", [exact], rounding.upper_after(x, k), sizes=sizes)
    tally.at_least("lowered", [exact], rounding.lower_after(x, k), sizes=sizes)


# intervals ----------------------------------------------------------------------------------------


def affine_images(rng: Draw, tally: Tally) -> None:
    p, n = int(rng.integers(1, 4)), int(one_of(rng, 1, 2, 5, 40))
    W, b = numbers(rng, (p, n)), numbers(rng, p)
    low, high = ends(rng, n, finite=rng.random() < 0.5)
    found = intervals.affine_image(W, low, high, b)
    points = [interior(rng, low, high) for _ in range(3)]
    # where a row is least and where it is largest, as far as these places are finite
    for i in range(p):
        for ends_of_row in ((low, high), (high, low)):
            corner = np.where(W[i] > 0, *ends_of_row)
            points.append(np.where(np.isfinite(corner), corner, interior(rng, low, high)))
    for point in points:
        exact = [a + c for a, c in zip(times(W, balls(point)), balls(b), strict=True)]
        tally.between("affine_image", found[0], exact, found[1], W=W, b=b, low=low, high=high)


def activation_images(rng: Draw, tally: Tally) -> None:
    rho, n = one_of(rng, *RHO), 4
    low, high = ends(rng, n, finite=rng.random() < 0.7)
    found = intervals.activation_image(rho, low, high)
    slopes = intervals.slope_range(rho, low, high)
    a, c = (interior(rng, low, high) for _ in "ac")
    for point in (low, high, a, np.clip(0.0, low, high)):
        at = np.where(np.isfinite(point), point, a)
        exact = [activated(rho.name, Ball(float(x))) for x in at]
        tally.between("activation_image", found[0], exact, found[1], rho=rho.name, a=at)
        if rho.slope[0] >= 0:
            upper = intervals.activation_upper(rho, at)
            tally.at_most("activation_upper", exact, upper, rho=rho.name, a=at)
    for i in range(n):
        x, y = Ball(float(max(a[i], c[i]))), Ball(float(min(a[i], c[i])))
        if not x > y:
            continue
        secant = (activated(rho.name, x) - activated(rho.name, y)) / (x - y)
        tally.between(
            "slope_range", slopes[0][i], [secant], slopes[1][i], rho=rho.name, a=a[i], c=c[i]
        )


def entrywise(rng: Draw, tally: Tally) -> None:
    a, b = (ends(rng, 4, finite=rng.random() < 0.7) for _ in "ab")
    x, y = (balls(interior(rng, *box)) for box in (a, b))
    low, high = intervals.sum_of(a, b)
    tally.between("sum_of", low, [p + q for p, q in zip(x, y, strict=True)], high, a=a, b=b)
    low, high = intervals.products(a, b)
    tally.between("products", low, [p * q for p, q in zip(x, y, strict=True)], high, a=a, b=b)
    u, v = np.abs(numbers(rng, 4)), np.abs(numbers(rng, 4))
    exact = [p * q for p, q in zip(balls(u), balls(v), strict=True)]
    tally.at_most("times_up", exact, intervals.times_up(u, v), u=u, v=v)
    exact = [p + q for p, q in zip(balls(u), balls(v), strict=True)]
    tally.at_most("plus_up", exact, intervals.plus_up(u, v), u=u, v=v)
    A, B = np.abs(matrix(rng, 3, 4)), np.abs(matrix(rng, 4, 2))
    tally.at_most(
        "product_matrix_up",
        (matrix_of(A) * matrix_of(B)).entries(),
        intervals.product_matrix_up(A, B), A=A, B=B,
    )  # fmt: skip
    s = np.abs(np.sin(u))
    low, high = intervals.complement(s)
    tally.between("complement", low, [1 - p for p in balls(s)], high, s=s)
    low, high = intervals.widened(u, u)
    tally.between("widened", low, balls(u), high, u=u)


def gate_bounds(rng: Draw, tally: Tally) -> None:
    """Compare bounds of a gate with the gate where its argument is largest, and elsewhere."""
    p, n, m = int(rng.integers(1, 4)), int(rng.integers(0, 5)), int(rng.integers(0, 4))
    W, U, b = numbers(rng, (p, n)), numbers(rng, (p, m)), numbers(rng, p)
    plain = rng.random() < 0.5
    s = np.ones(n) if plain else np.abs(numbers(rng, n))
    B = np.full(m, float(abs(numbers(rng, ())))) if rng.random() < 0.5 else np.abs(numbers(rng, m))
    gate = GateBounds.of(W, U, b, state=s, inputs=B)
    given = {"W": W, "U": U, "b": b, "s": s, "B": B}
    rows = [total(abs(w) * v for w, v in zip(balls(r), balls(s), strict=True)) for r in W]
    driven = [total(abs(u) * v for u, v in zip(balls(r), balls(B), strict=True)) for r in U]
    sums = [r + d for r, d in zip(rows, driven, strict=True)]
    tops = [a + c for a, c in zip(sums, balls(b), strict=True)]
    reaches = [a + abs(c) for a, c in zip(sums, balls(b), strict=True)]
    tally.at_most("rows", rows, gate.rows, **given)
    tally.at_most("weighted", rows, gate.weighted(s), **given)
    tally.at_most("driven", driven, gate.driven, **given)
    tally.at_most("top", tops, gate.top, **given)
    tally.at_most("reach", reaches, gate.reach, **given)
    tally.at_most("sigmoid", [activated("sigmoid", a) for a in tops], gate.sigmoid, **given)
    tally.at_most("tanh", [activated("tanh", a) for a in reaches], gate.tanh, **given)
    plain_rows = [total(map(abs, balls(r))) for r in W]
    tally.at_most("largest_row", [largest(plain_rows)], gate.largest_row, **given)
    tally.at_most("largest_reach", [largest(reaches)], gate.largest_reach, **given)
    if plain:
        tally.at_most("separate_reach", [largest(reaches)], gate.separate_reach, **given)
    a = rng.choice([-1.0, 1.0]) * np.exp2(rng.uniform(-60, 10, 3))
    exact = [activated("sigmoid", x) for x in balls(a)]
    tally.between("sigmoid_up", gates.sigmoid_down(a), exact, gates.sigmoid_up(a), a=a)
    tally.at_most("tanh_up", [activated("tanh", x) for x in balls(a)], gates.tanh_up(a), a=a)
    tally.at_most("sums_up", plain_rows, sums_up(W), W=W)
    tally.at_most("length_upper", [length(L2(), balls(np.append(W, b)))], length_upper(W, b))


# norms --------------------------------------------------------------------------------------------


def _candidates(norm: Norm, source: Norm, A: Array) -> list[Array]:
    """Return vectors that a matrix may stretch most."""
    m = A.shape[1]
    size = float(np.max(np.abs(A), initial=0.0))
    B = A / size if 0 < size < math.inf else A
    found = [np.eye(m)[j] for j in range(m)] + [np.where(row < 0, -1.0, 1.0) for row in B]
    with np.errstate(all="ignore"):
        if np.isfinite(B).all():
            found.append(np.linalg.svd(B)[2][0])
    for _, part, at in source.blocks:
        inside = [np.zeros(m) for _ in found]
        for x, y in zip(inside, found, strict=True):
            size = float(part.vector(y[at]))
            x[at] = y[at] / size if size > 0 else 0.0
        found += inside
    if source.blocks and len(found) > 4 * m:
        found += [found[-1] + found[2 * m], found[-1] - found[2 * m]]
    v = getattr(source, "v", None)
    if v is not None:
        scale = v if type(source).__name__ == "WeightedLinf" else 1 / v
        found += [x * (scale / np.max(scale)) for x in found]
    if isinstance(source, WeightedL2):
        L = np.linalg.cholesky(source.P)
        T = np.linalg.cholesky(norm.P).T if isinstance(norm, WeightedL2) else np.eye(len(A))
        with np.errstate(all="ignore"):
            M = T @ np.linalg.solve(L, B.T).T
            if np.isfinite(M).all():
                found.append(np.linalg.solve(L.T, np.linalg.svd(M)[2][0]))
    return [x for x in found if np.isfinite(x).all() and np.any(x)]


def norms(rng: Draw, tally: Tally) -> None:
    n = int(rng.integers(1, 5))
    norm, other = a_norm(rng, n), a_norm(rng, n)
    h = numbers(rng, n)
    tally.at_most("vector_upper", [length(norm, balls(h))], norm.vector_upper(h), norm=norm, h=h)
    signs = np.where(rng.random(n) < 0.5, -1.0, 1.0)
    size = norm.majorant(np.abs(h))
    tally.at_most("majorant", [length(norm, balls(h * signs))], size, norm=norm, h=h)
    constant = over(norm, other, n=n)
    A = matrix(rng, n, n)
    uppers = {source: norm.matrix_upper(A, source) for source in (norm, other)}
    for source, upper in uppers.items():
        for x in _candidates(norm, source, A):
            stretched, size = length(norm, times(A, balls(x))), length(source, balls(x))
            tally.at_most("matrix_upper", [stretched / size], upper, norm=norm, source=source, A=A)
    for x in _candidates(norm, other, np.eye(n)):
        size = length(norm, balls(x)) / length(other, balls(x))
        tally.at_most("over", [size], constant, norm=norm, other=other)
    known = induced(norm, A)
    if known is not None:
        tally.at_least("matrix_lower", [known], norm.matrix_lower(A), norm=norm, A=A)
        tally.at_most("matrix_upper", [known], uppers[norm], norm=norm, A=A)
    if norm.monotone:
        s = np.abs(numbers(rng, n))
        upper = scaled_matrix_upper(norm, s, A)
        for x in _candidates(norm, norm, A):
            moved = [a * b for a, b in zip(balls(s), times(A, balls(x)), strict=True)]
            ratio = length(norm, moved) / length(norm, balls(x))
            tally.at_most("scaled_matrix_upper", [ratio], upper, norm=norm, s=s, A=A)


def matrix_norms(rng: Draw, tally: Tally) -> None:
    n, m = int(rng.integers(1, 6)), int(rng.integers(1, 6))
    A, v, w = matrix(rng, n, m), positive(rng, n), positive(rng, m)
    size = [balls(row) for row in np.abs(A)]
    rows, columns = map(total, size), map(total, zip(*size, strict=True))
    tally.at_most("row_sum_upper", [largest(rows)], rigor.row_sum_upper(A), A=A)
    tally.at_most("column_sum_upper", [largest(columns)], rigor.column_sum_upper(A), A=A)
    weighted = [
        total(a * b for a, b in zip(row, balls(w), strict=True)) / c
        for row, c in zip(size, balls(v), strict=True)
    ]
    upper = rigor.weighted_row_sum_upper(A, v, w)
    tally.at_most("weighted_row_sum_upper", [largest(weighted)], upper, A=A, v=v, w=w)
    upper = rigor.spectral_norm_upper(A)
    for x in _candidates(L2(), L2(), A):
        ratio = length(L2(), times(A, balls(x))) / length(L2(), balls(x))
        tally.at_most("spectral_norm_upper", [ratio], upper, A=A)
        for factor in (1.0, 1 - 2.0**-50, 1 - 2.0**-40, 1 - 2.0**-25):
            below = upper * factor
            if 0 < below < math.inf and rigor.spectral_norm_at_most(A, below):
                tally.at_most("spectral_norm_at_most", [ratio], below, A=A)
    squares = total(x * x for row in size for x in row).sqrt()
    tally.at_most("frobenius_upper", [squares], frobenius_upper(A), A=A)


def decisions(rng: Draw, tally: Tally) -> None:
    n = int(rng.integers(1, 5))
    P, Q = (NORMS[WeightedL2](rng, n).P for _ in "PQ")
    scale = max(1.0, float(np.max(np.abs(P))))
    S = P / scale - float(rng.choice([0.0, 0.1, float(np.linalg.eigvalsh(P / scale)[0])])) * np.eye(
        n
    )
    values, vectors = np.linalg.eigh(S)
    L = np.linalg.cholesky(P / scale) * (1 + float(rng.choice([0.0, 2.0**-50, 2.0**-20])))
    residual = matrix_of(P / scale) - matrix_of(L) * matrix_of(L).transpose()
    exact = radius(residual)
    if exact is not None:
        bound = rigor.gram_residual_upper(P / scale, L)
        tally.at_most("gram_residual_upper", [exact], bound, P=P / scale, L=L)
    size = matrix_of(np.abs(S))
    exact = radius(size.transpose() * size)
    if exact is not None:
        tally.at_most("absolute_gram_upper", [exact], rigor.absolute_gram_upper(S), S=S)
    margin = max(0.0, float(values[0]) * (1 - float(rng.choice([0.0, 2.0**-45, 2.0**-30]))))
    if rigor.eigenvalues_at_least(S, margin):
        x = balls(vectors[:, 0])
        form = total(a * b for a, b in zip(x, times(S, x), strict=True))
        least = form / total(a * a for a in x)
        tally.at_least("eigenvalues_at_least", [least], margin, S=S)
    A = rng.standard_normal((n, n))
    A, P, Q = A / np.max(np.abs(A)), P / scale, Q / max(1.0, float(np.max(np.abs(Q))))
    upper = rigor.operator_norm_upper(A, P, Q)
    if not math.isfinite(upper):
        return
    mu = upper * (1 - float(rng.choice([0.0, 2.0**-48, 2.0**-40, 2.0**-30])))
    holds = rigor.quadratic_bound_holds(A, P, Q, mu)
    for x in map(balls, _candidates(WeightedL2(P), WeightedL2(Q), A)):
        y = times(A, x)
        moved = total(a * b for a, b in zip(y, times(P, y), strict=True))
        square = total(a * b for a, b in zip(x, times(Q, x), strict=True))
        ratio = (moved / square).max(ZERO).sqrt()
        tally.at_most("operator_norm_upper", [ratio], upper, A=A, P=P, Q=Q)
        if holds:
            tally.at_most("quadratic_bound_holds", [ratio], mu, A=A, P=P, Q=Q)


def weighted_grams(rng: Draw, tally: Tally) -> None:
    """No vector's form is above a level that is proved, nor a ratio above the bound."""
    m, n = int(rng.integers(0, 5)), int(rng.integers(1, 5))
    A = rng.standard_normal((m, n)) * 10.0 ** rng.uniform(-3, 3, n)
    s, d = (10.0 ** rng.uniform(-6, 6, size) for size in (m, n))
    own = 10.0 ** rng.uniform(-6, 6, n) * (rng.random(n) < 0.7)
    upper = gram.weighted_gram_upper(A, s, d, own)
    if not math.isfinite(upper):
        return
    level = upper * (1 - float(rng.choice([0.0, 2.0**-50, 2.0**-40, 2.0**-30])))
    holds = gram.weighted_gram_holds(A, s, d, level, own)
    root = np.sqrt(d)
    _, vectors = np.linalg.eigh(((A.T * s) @ A + np.diag(own)) / root[:, None] / root)
    for v in (vectors[:, -1] / root, *np.eye(n), rng.standard_normal(n)):
        x = balls(v)
        form = total(a * y * y for a, y in zip(balls(s), times(A, x), strict=True)) if m else ZERO
        form += total(a * y * y for a, y in zip(balls(own), x, strict=True))
        ratio = form / total(a * y * y for a, y in zip(balls(d), x, strict=True))
        given = {"A": A, "s": s, "d": d, "own": own}
        tally.at_most("weighted_gram_upper", [ratio], upper, **given)
        if holds:
            tally.at_most("weighted_gram_holds", [ratio], level, **given)
    ratios = [a / b for a, b in zip(balls(own), balls(d), strict=True)]
    bound = gram.diagonal_ratio_upper(own, d)
    tally.at_most("diagonal_ratio_upper", ratios, [bound] * n, own=own, d=d)


def matrix_inequalities(rng: Draw, tally: Tally) -> None:
    n = int(rng.integers(1, 4))
    norm = NORMS[WeightedL2](rng, n)
    P = norm.P / float(np.max(np.abs(norm.P)))
    low, high = np.sort(rng.uniform(-1, 1, (2, n)), axis=0)
    W = rng.standard_normal((n, n)) * float(one_of(rng, 0.1, 0.3, 0.6))
    q = np.diag(P) * np.exp(rng.uniform(-0.5, 1.0, n))
    rate = float(rng.uniform(0.3, 1.0))
    if not rigor.lmi_holds(W, low, high, P, q, rate):
        return
    metric = WeightedL2(P)
    for _ in range(6):
        s, d = np.where(rng.random(n) < 0.5, low, high), rng.standard_normal(n)
        moved = [a * b for a, b in zip(balls(s), times(W, balls(d)), strict=True)]
        ratio = length(metric, moved) / length(metric, balls(d))
        tally.at_most("lmi_holds", [ratio], rate, W=W, P=P, q=q)


# products and radii -------------------------------------------------------------------------------


def products(rng: Draw, tally: Tally) -> None:
    n, r = int(rng.integers(1, 4)), int(rng.integers(1, 9))
    W = matrix(rng, n, n)
    if rng.random() < 0.7:
        W = rng.standard_normal((n, n)) * float(one_of(rng, 1e-200, 1e-60, 0.5, 1.0, 1e60))
    P, error = power(W, r)
    if math.isfinite(error):
        exact = matrix_of(W) ** r if r > 1 else matrix_of(W)
        tally.at_most("power", [frobenius(exact - matrix_of(P))], error, W=W, r=r)
    norm = a_norm(rng, n)
    slopes = one_of(
        rng, (np.ones(n), np.ones(n)), (np.zeros(n), np.ones(n)), (np.full(n, 0.3), np.full(n, 0.9))
    )
    r = min(r, 3 if n < 3 else 2)
    claims = growths(W, slopes, norm, r + 1, norm.matrix_upper(W))
    rate = norm.matrix_upper(W) * float(one_of(rng, 0.9, 1.0, 1.3))
    K = growth_constant(W, slopes, norm, rate)
    grown = growth_upper(W, slopes, norm, rate, r)
    try:
        bounds = lipschitz_of_steps(W, slopes, norm, r)
    except UnsettledError:  # more products than are kept
        bounds = None
    for _ in range(3):
        chosen = [np.where(rng.random(n) < 0.5, *slopes) for _ in range(r)]
        start = balls(one_of(rng, *_candidates(norm, norm, W)))
        d = start
        for s in chosen:
            d = [a * b for a, b in zip(balls(s), times(W, d), strict=True)]
        ratio = length(norm, d) / length(norm, start)
        if norm.monotone:
            tally.at_most("growths", [ratio], claims[r], W=W, norm=norm, r=r)
        if math.isfinite(K):
            tally.at_most("growth_upper", [ratio], grown, W=W, norm=norm, r=r, rate=rate)
            exact = Ball(K) * Ball(rate) ** r
            tally.at_most("growth_constant", [ratio / exact], 1.0, W=W, norm=norm, r=r, rate=rate)
        if bounds is not None:
            tally.at_most("lipschitz_of_steps", [ratio], bounds[r], W=W, norm=norm, r=r)
            upper = product_upper(W, slopes, norm, r)
            tally.at_most("product_upper", [ratio], upper, W=W, norm=norm, r=r)


def radii(rng: Draw, tally: Tally) -> None:
    n = int(rng.integers(1, 5))
    W = matrix(rng, n, n)
    exact = radius(matrix_of(W))
    if exact is not None:
        tally.at_least("spectral_radius_lower", [exact], spectral_radius_lower(W), W=W)
    W = rng.standard_normal((n, n)) * float(one_of(rng, 1e-200, 0.3, 1.0, 1e100))
    k = int(rng.integers(1, 5))
    slopes = one_of(
        rng, rng.uniform(-1, 1, (k, n)), rng.random((k, n)) < 0.5, 1e-200 * np.ones((k, n))
    )
    slopes = np.asarray(slopes, dtype=np.float64)
    product = matrix_of(np.eye(n))
    for s in slopes:
        product = matrix_of(np.diag(s)) * matrix_of(W) * product
    exact = radius(product)
    if exact is not None:
        bound = product_radius_lower(W, slopes)
        tally.at_least("product_radius_lower", [exact ** (Ball(1) / k)], bound, W=W, slopes=slopes)


def matrix_intervals(rng: Draw, tally: Tally) -> None:
    """Products of matrices of two intervals lie in the interval of products."""
    p, n, q = rng.integers(1, 4, 3).tolist()
    A, B = (
        tuple(np.reshape(end, shape) for end in ends(rng, shape[0] * shape[1]))
        for shape in ((p, n), (n, q))
    )
    low, high = intervals.matrix_product(A, B)
    middle, wide = intervals.middle_and_radius(A)
    for _ in range(3):
        C, D = interior(rng, *A), interior(rng, *B)
        exact = (matrix_of(C) * matrix_of(D)).entries()
        tally.between("matrix_product", low.ravel(), exact, high.ravel(), A=A, B=B)
        off = [abs(a - b) for a, b in zip(balls(C.ravel()), balls(middle.ravel()), strict=True)]
        tally.at_most("middle_and_radius", off, wide.ravel(), A=A)


def exact_radii(rng: Draw, tally: Tally) -> None:
    """Radii of at least 1 that are decided exactly, of integers and of what is next to them."""
    n = int(rng.integers(1, 5))
    A = rng.integers(-2, 3, (n, n)) * float(one_of(rng, 1.0, 0.5, 1 - 2.0**-40))
    A = A * (rng.random((n, n)) < 0.6)
    exact = radius(matrix_of(A))
    if exact is not None and reaches_one(A):
        tally.true("reaches_one", not exact < 1, A=A)
        found = linear_bound(LinearMap(A, np.eye(n)))
        tally.true("linear_bound", found is not None, A=A)
        tally.at_least("linear_bound", [exact], found[0], A=A)


def enclosed_eigenvalues(rng: Draw, tally: Tally) -> None:
    n = int(rng.integers(6, 10))
    A = rng.standard_normal((n, n)) * (rng.random((n, n)) < rng.uniform(0.3, 1))
    if rng.random() < 0.5:  # far from normal
        A = np.triu(A, 1) * 10.0 ** rng.uniform(-1, 4) + np.diag(np.diag(A)) + 1e-3 * A
    error = float(one_of(rng, 0.0, 1e-14, 1e-9, 1e-4))
    bound = _eigenvalue_lower(A, error)
    change = rng.standard_normal((n, n))
    change *= error * (1 - 2.0**-40) / float(np.linalg.norm(change))
    for near in (matrix_of(A), matrix_of(A) + matrix_of(change)):
        exact = radius(near)
        if exact is not None:
            tally.at_least("_eigenvalue_lower", [exact], bound, A=A, error=error)


def set_radii(rng: Draw, tally: Tally) -> None:
    n, count = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    A = rng.standard_normal((count, n, n)) * (rng.random((count, n, n)) < rng.uniform(0.3, 1))
    A *= float(one_of(rng, 0.3, 1.0, 1e-160))
    if rng.random() < 0.4:  # badly scaled units, exactly
        e = rng.integers(-60, 60, n)
        A = np.ldexp(A, e[:, None] - e[None, :])
    found = joint_spectral_radius(A, products=200)
    tally.true("joint_spectral_radius", found.lower.rate <= found.upper, A=A)

    def growth(order: Sequence[int]) -> Ball | None:
        product = matrix_of(np.eye(n))
        for i in order:
            product = matrix_of(A[i]) * product
        exact = radius(product)
        return None if exact is None else exact ** (Ball(1) / len(order))

    exact = growth(found.lower.order)
    if exact is not None:
        tally.at_least("joint_spectral_radius", [exact], found.lower.rate, A=A)
    for _ in range(3):
        order = rng.integers(0, count, int(rng.integers(1, 5))).tolist()
        exact = growth(order)
        if exact is not None:
            tally.at_most("joint_spectral_radius", [exact], found.upper, A=A)
            tally.at_least("factors_radius_lower", [exact], factors_radius_lower(A[order]), A=A)


def joint_radii(rng: Draw, tally: Tally) -> None:
    n = int(rng.integers(1, 4))
    W = rng.standard_normal((n, n)) * float(one_of(rng, 0.3, 1.0, 1e-160))
    rho = one_of(rng, *(r for r in RHO if r.name != "identity"))
    model = LinearMap(W, np.eye(n)) if rng.random() < 0.3 else VanillaRNN(W, np.eye(n), None, rho)
    form = model.affine()
    low, high = form.slopes
    found = joint_spectral_radius(model, products=300)
    below = rate_lower(model).rate
    upper = products_upper(model, 3)
    tally.true("joint_spectral_radius", found.lower.rate <= found.upper, W=W, rho=form.rho.name)
    for _ in range(3):
        k = int(rng.integers(1, 4))
        product = matrix_of(np.eye(n))
        for _ in range(k):
            s = np.where(rng.random(n) < 0.5, low, high)
            product = matrix_of(np.diag(s)) * matrix_of(W) * product
        exact = radius(product)
        if exact is None:
            continue
        growth = exact ** (Ball(1) / k)
        tally.at_most("joint_spectral_radius", [growth], found.upper, W=W, rho=form.rho.name)
    if form.linear:
        exact = radius(
            matrix_of(W * low[:, None])
            if np.all(low == 1)
            else matrix_of(np.diag(low)) * matrix_of(W)
        )
        if exact is not None:
            tally.at_least("rate_lower", [exact], below, W=W)
            tally.at_least("joint_spectral_radius", [exact], found.lower.rate, W=W)
    del upper


CHECKS = (
    Check(
        run=scalars,
        covers=(
            rounding.up, rounding.down, rounding.gamma, rounding.ldexp_up, rounding.ldexp_down,
            rounding.sum_up, rounding.product_up, rounding.sqrt_up,
            rounding.decimal_up, rounding.decimal_down, rounding.decimal_rate,
        ),
    ),
    Check(run=formulas, covers=(rounding.evaluate,), weight=0.5),
    Check(run=chains, covers=(rounding.upper_after, rounding.lower_after)),
    Check(run=affine_images, covers=(intervals.affine_image,)),
    Check(
        run=matrix_intervals, covers=(intervals.matrix_product, intervals.middle_and_radius)
    ),
    Check(run=exact_radii, covers=(reaches_one, linear_bound)),
    Check(
        run=activation_images,
        covers=(intervals.activation_image, intervals.activation_upper, intervals.slope_range),
    ),
    Check(
        run=gate_bounds,
        covers=(gates.sigmoid_up, gates.sigmoid_down, gates.tanh_up, sums_up, length_upper),
    ),
    Check(
        run=entrywise,
        covers=(
            intervals.sum_of, intervals.products, intervals.times_up, intervals.plus_up,
            intervals.product_matrix_up, intervals.complement, intervals.widened,
        ),
    ),
    Check(
        run=norms,
        covers=(over, scaled_matrix_upper, Norm.vector_upper, Norm.majorant),
    ),
    Check(
        run=matrix_norms,
        covers=(
            rigor.row_sum_upper, rigor.column_sum_upper, rigor.weighted_row_sum_upper,
            rigor.spectral_norm_upper, rigor.spectral_norm_at_most, frobenius_upper,
        ),
    ),
    Check(
        run=decisions,
        covers=(
            rigor.eigenvalues_at_least, rigor.quadratic_bound_holds, rigor.operator_norm_upper,
            rigor.gram_residual_upper, rigor.absolute_gram_upper,
        ),
    ),
    Check(
        run=weighted_grams,
        covers=(gram.weighted_gram_upper, gram.weighted_gram_holds, gram.diagonal_ratio_upper),
    ),
    Check(run=matrix_inequalities, covers=(rigor.lmi_holds,)),
    Check(
        run=products,
        covers=(
            power, growths, lipschitz_of_steps, product_upper, growth_constant, growth_upper,
        ),
        weight=0.5,
    ),
    Check(run=radii, covers=(spectral_radius_lower, product_radius_lower), weight=0.5),
    Check(run=enclosed_eigenvalues, covers=(spectral_radius_lower,), weight=0.2),
    Check(run=set_radii, covers=(joint_spectral_radius, factors_radius_lower), weight=0.05),
    Check(
        run=joint_radii, covers=(joint_spectral_radius, rate_lower, products_upper), weight=0.05
    ),
)  # fmt: skip
