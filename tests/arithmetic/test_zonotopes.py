"""Zonotopes: every operation against exact rational points, and what is lost is rounding."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory.arithmetic.zonotopes import Zonotope, combination, product, stacked

numbers = st.sampled_from((0.0, 1.0, -1.0, 0.1, -3.0, 1e-300, 5e-324, 2.0**60)) | st.floats(-40, 40)
signs = st.sampled_from((-1, 1, 0))


def arrays(draw, *shape):
    size = int(np.prod(shape))
    return np.array(draw(st.lists(numbers, min_size=size, max_size=size))).reshape(shape)


@st.composite
def zonotopes(draw, n=2, m=3):
    rest = np.abs(arrays(draw, n))
    return Zonotope.of(arrays(draw, n), arrays(draw, n, m), rest)


def exact(values):
    return [Fraction(x) for x in np.asarray(values).tolist()]


def at(z, xi, eta):
    """Return the point of a zonotope at given symbols, exactly."""
    forms = []
    for c, row, r, e in zip(
        z.centre.tolist(), z.generators.tolist(), z.rest.tolist(), eta, strict=True
    ):
        forms.append(
            Fraction(c)
            + sum(Fraction(g) * x for g, x in zip(row, xi, strict=True))
            + Fraction(r) * e
        )
    return forms


def holds_at(z, xi, point):
    """Return whether a point is in what a zonotope is at the symbols xi, exactly."""
    middle = at(z, xi, [0] * len(z))
    return all(
        r == math.inf or abs(p - c) <= Fraction(r)
        for p, c, r in zip(point, middle, z.rest.tolist(), strict=True)
    )


def supports(z, point, directions):
    """Return whether no half space of these directions tells a point from a zonotope."""
    for w in directions:
        reach = sum(a * c for a, c in zip(w, exact(z.centre), strict=True))
        for column in z.generators.T:
            reach += abs(sum(a * g for a, g in zip(w, exact(column), strict=True)))
        reach += sum(abs(a) * r for a, r in zip(w, exact(z.rest), strict=True))
        if not sum(a * p for a, p in zip(w, point, strict=True)) <= reach:
            return False
    return True


def symbols(data, *sizes):
    return [data.draw(st.lists(signs, min_size=k, max_size=k)) for k in sizes]


def within_ends(ends, point):
    return all(
        Fraction(low) <= p <= Fraction(high)
        for low, high, p in zip(ends[0].tolist(), ends[1].tolist(), point, strict=True)
        if math.isfinite(low) and math.isfinite(high)
    )


@given(st.data())
def test_affine_images_hold_every_exact_point(data):
    z = data.draw(zonotopes())
    W, b = arrays(data.draw, 3, 2), arrays(data.draw, 3)
    xi, eta = symbols(data, 3, 2)
    p = at(z, xi, eta)
    image = [
        sum(Fraction(w) * x for w, x in zip(row, p, strict=True)) + Fraction(c)
        for row, c in zip(W.tolist(), b.tolist(), strict=True)
    ]
    assert holds_at(z.affine(W, b), xi, image)
    assert within_ends(z.affine(W, b).hull(), image)


@given(st.data())
def test_affine_images_of_interval_matrices_hold_those_of_all_matrices(data):
    z = data.draw(zonotopes())
    one, two = arrays(data.draw, 2, 2), arrays(data.draw, 2, 2)
    ends = np.minimum(one, two), np.maximum(one, two)
    shifts = np.sort(np.stack([arrays(data.draw, 2), arrays(data.draw, 2)]), axis=0)
    xi, eta, which = symbols(data, 3, 2, 4)
    p = at(z, xi, eta)
    M = np.where(np.array(which).reshape(2, 2) > 0, *ends)
    image = [
        sum(Fraction(w) * x for w, x in zip(row, p, strict=True)) + Fraction(c)
        for row, c in zip(M.tolist(), shifts[1].tolist(), strict=True)
    ]
    assert holds_at(z.affine(ends, (shifts[0], shifts[1])), xi, image)


@given(st.data())
def test_combinations_hold_every_exact_point(data):
    y, z = data.draw(zonotopes()), data.draw(zonotopes())
    one, two = arrays(data.draw, 2), arrays(data.draw, 2)
    low, high, b = np.minimum(one, two), np.maximum(one, two), arrays(data.draw, 2)
    xi, e, f, side = symbols(data, 3, 2, 2, 2)
    a = exact(np.where(np.array(side) > 0, low, high))
    p, q = at(y, xi, e), at(z, xi, f)
    made = [s * u + Fraction(k) * v + Fraction(c)
            for s, u, k, v, c in zip(a, p, one.tolist(), q, b.tolist(), strict=True)]  # fmt: skip
    assert holds_at(combination([((low, high), y), (one, z)], b), xi, made)
    assert holds_at(y.scaled((low, high)), xi, [s * u for s, u in zip(a, p, strict=True)])


@given(st.data())
def test_products_hold_every_exact_point(data):
    y, z = data.draw(zonotopes()), data.draw(zonotopes())
    xi, e, f = symbols(data, 3, 2, 2)
    p, q = at(y, xi, e), at(z, xi, f)
    assert holds_at(product(y, z), xi, [u * v for u, v in zip(p, q, strict=True)])


@given(st.data())
def test_hulls_magnitudes_and_new_columns_hold_every_exact_point(data):
    z = data.draw(zonotopes())
    xi, eta = symbols(data, 3, 2)
    p = at(z, xi, eta)
    assert within_ends(z.hull(), p)
    assert all(abs(x) <= Fraction(s) for x, s in zip(p, z.magnitude().tolist(), strict=True))
    wide = z.padded(before=1, after=2)
    assert holds_at(wide, [1, *xi, -1, 1], p)
    both = stacked(z, z)
    assert holds_at(both, xi, [*p, *p])
    assert holds_at(both.rows(slice(1, 3)), xi, [p[1], p[0]])
    own = z.unshared()
    assert not own.rest.any()
    chosen = [e for e, r in zip(eta, z.rest.tolist(), strict=True) if r > 0]
    assert holds_at(own, [*xi, *chosen], p)


@given(st.data())
def test_what_lies_in_a_box_stays_when_wide_rows_are_replaced(data):
    z = data.draw(zonotopes())
    xi, eta = symbols(data, 3, 2)
    p = at(z, xi, eta)
    ends = np.sort(np.stack([arrays(data.draw, 2), arrays(data.draw, 2)]), axis=0)
    inside = within_ends(ends, p)
    smaller = z.within(*ends)
    # never wider than the box, but for rounding
    assert (smaller.radius() <= np.maximum(z.radius(), np.ptp(ends, axis=0))).all()
    if inside:
        assert holds_at(smaller, xi, p)
        assert within_ends(z.clipped(*ends), p)


@given(st.data(), st.integers(0, 7))
def test_fewer_columns_hold_every_exact_point(data, columns):
    z = data.draw(zonotopes(n=2, m=6))
    xi, eta = symbols(data, 6, 2)
    p = at(z, xi, eta)
    directions = [(1, 0), (0, 1), (-1, 0), (0, -1), (1, 1), (1, -1), (-3, 1), (-1, -1), (2, -7)]
    for fewer in (z.boxed(columns), z.reduced(columns)):
        assert fewer.symbols <= max(columns, 0)
        assert supports(fewer, p, [tuple(map(Fraction, w)) for w in directions])


def draw(seed, n, m, scale=1.0):
    r = np.random.default_rng(seed)
    return Zonotope.of(r.standard_normal(n), r.standard_normal((n, m)) * scale, r.random(n) * 0.01)


def test_affine_images_lose_rounding_only():
    z = draw(0, 20, 60)
    W = np.random.default_rng(1).standard_normal((20, 20))
    back = z.unshared().affine(W).affine(np.linalg.inv(W))
    assert np.max(np.abs(back.radius() - z.radius())) < 1e-10
    # a box would have grown by the condition of W
    assert np.max(np.abs(W) @ z.radius()) > 3 * np.max(z.affine(W).radius())


def test_a_form_minus_itself_is_zero_but_for_rounding():
    z = draw(2, 5, 9).unshared()
    ones = np.ones(5)
    assert np.max(combination([(ones, z), (-ones, z)]).radius()) < 1e-13


def test_a_product_is_sharp_to_first_order():
    z, ones = draw(3, 4, 5, scale=1e-6).unshared(), np.ones(4)
    square = product(z, z)
    slope = combination([(2 * z.centre, z)], -(z.centre**2))
    apart = combination([(ones, square), (-ones, slope)])
    assert np.max(apart.radius()) <= 1.01 * np.max(z.radius()) ** 2 + 1e-15


def test_a_square_is_never_negative_and_a_product_of_strangers_is_halved():
    z = Zonotope.of(np.zeros(1), np.ones((1, 8)), np.zeros(1))
    low, high = product(z, z).hull()
    assert low[0] > -1e-12
    assert 64 <= high[0] < 64 * (1 + 1e-12)
    y = Zonotope.of(np.zeros(1), np.array([[1.0, -1.0] * 4]), np.zeros(1))
    # 64 apart; the largest is 16, at 0 and 1 of the symbols by halves
    assert 16 <= product(y, z).hull()[1][0] < 32 * (1 + 1e-12)


def test_many_short_columns_cost_little_in_a_parallelotope():
    r = np.random.default_rng(4)
    axes = np.linalg.qr(r.standard_normal((6, 6)))[0] * np.array([1, 0.3, 0.1, 0.03, 0.01, 1e-3])
    z = Zonotope.of(np.zeros(6), axes @ r.standard_normal((6, 400)) / 20, np.zeros(6))
    W = axes.T / np.sum(axes * axes, axis=0)[:, None]
    exact_radius = z.affine(W).radius()
    assert np.max(z.reduced(12).affine(W).radius() / exact_radius) < 1.3
    assert np.max(z.boxed(12).affine(W).radius() / exact_radius) > 20


def test_a_point_stays_a_point():
    point = Zonotope.box(np.array([1.0, -2.0]), np.array([1.0, -2.0]))
    assert not point.radius().any()
    assert [end.tolist() for end in point.hull()] == [[1.0, -2.0], [1.0, -2.0]]


@pytest.mark.parametrize("end", [math.inf, 1.7e308])
def test_what_overflows_is_unknown_and_no_number_is_lost(end):
    z = Zonotope.box(np.array([-end, 0.0]), np.array([end, 1.0]), symbols=1)
    image = z.affine(np.array([[4.0, 1.0], [0.0, 1.0]]), np.zeros(2))
    assert image.rest[0] == math.inf
    assert image.hull()[1][0] == math.inf
    assert not np.isnan(np.concatenate([image.centre, image.rest, image.generators.ravel()])).any()
    smaller = image.within(np.full(2, -2.0), np.full(2, 2.0))
    assert np.isfinite(smaller.rest).all()
    assert smaller.hull()[1][0] >= 2.0
    assert product(z, z).rest[0] == math.inf
