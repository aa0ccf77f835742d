"""The joint spectral radius: published numbers, closed forms, exact arithmetic, random products."""

import math
from dataclasses import replace
from fractions import Fraction

import flint
import numpy as np
import pytest
from enclosures import may_be_at_most
from hypothesis import given, settings
from hypothesis import strategies as st

from theory import (
    L1,
    L2,
    CallableMap,
    Inputs,
    LinearMap,
    Linf,
    VanillaRNN,
    WeightedL1,
    WeightedL2,
    WeightedLinf,
    contraction,
    required_context,
)
from theory.certify import (
    joint_spectral_radius,
    judge_contraction,
    load_certificate,
    rate_lower,
    recheck,
    save_certificate,
)
from theory.certify.enclose import LARGEST, form_vertices
from theory.certify.jsr import products_upper
from theory.maps import leaky_relu
from theory.norms.enclosed import factor_pairs, multiply_pairs, norms_upper, roots_up
from theory.norms.products import geometric_up, growth_constant

MONE = np.array([[0.9, -1.0], [0.5, -0.9]])


def cell(W, rho="tanh"):
    return VanillaRNN(W, np.ones((len(W), 1)), activation=rho)


def turn(angle, size=1.0):
    c, s = size * math.cos(angle), size * math.sin(angle)
    return np.array([[c, -s], [s, c]])


def test_published_upper_bounds():
    uppers = [products_upper(cell(MONE), r) for r in range(1, 7)]
    assert [round(u, 4) for u in uppers] == [1.6841, 1.1769, 1.0762, 1.0292, 1.0019, 0.9842]
    # the first six-fold products are the first that all contract, by mu = 0.908787
    assert uppers[5] ** 6 == pytest.approx(0.908787, abs=5e-7)
    assert min(uppers[:5]) > 1 > uppers[5]


def test_sandwich_of_the_published_matrix():
    radius = joint_spectral_radius(cell(MONE))
    assert 0.9 * (1 - 1e-5) < radius.lower.rate <= 0.9 <= radius.upper < 0.9 * (1 + 2e-4)
    assert radius.gap == pytest.approx(radius.upper / radius.lower.rate, rel=1e-12)
    # in the plain Euclidean norm many more products are needed
    plain = joint_spectral_radius(cell(MONE), norm=L2(), products=4000)
    assert plain.products > 20 * radius.products
    assert 0.9 <= plain.upper < 0.93
    assert plain.constant > 1.5
    # slopes in [-1, 1]: diag(1, -1) gives 1.607, and no norm certifies less
    wide = joint_spectral_radius(cell(MONE, "sin"))
    assert 1.60710 < wide.lower.rate <= 1.6071067811865477 <= wide.upper < 1.6074


def test_non_normal_linear_maps():
    # B4.nonnormal_r: the least r with |A^r| < 1 is 55
    A = LinearMap([[0.9, 5.0], [0.0, 0.9]], [[1.0], [1.0]])
    assert products_upper(A, 54) > 1 > products_upper(A, 55)
    assert products_upper(A, 1) == pytest.approx(5.157, abs=1e-3)
    radius = joint_spectral_radius(A, products=60)
    assert 0.8999 < radius.lower.rate <= 0.9 <= radius.upper


@pytest.mark.parametrize("angle", [math.pi / 3, 1.0, math.pi / 2, 3.0])
@pytest.mark.parametrize("rho", ["tanh", "sin", leaky_relu(-0.5), leaky_relu(-2.0)])
def test_rotations_have_complex_leading_eigenvalues(angle, rho):
    one = cell(turn(angle, 0.7), rho)
    slope = one.activation.lipschitz
    radius = joint_spectral_radius(one)
    # the norm of a scaled rotation is its size, and all slopes equal to the steepest attain it
    assert 0.7 * slope * (1 - 1e-5) < radius.lower.rate <= 0.7 * slope * (1 + 1e-15)
    assert 0.7 * slope * (1 - 1e-15) <= radius.upper < 0.7 * slope * (1 + 2e-4)


@pytest.mark.parametrize("low", [0.0, -0.5, 0.25, -1.0, -3.0])
def test_triangular_and_nonnegative_closed_forms(low):
    rng = np.random.default_rng(1)
    slope = max(1.0, -low)
    T = np.triu(rng.standard_normal((4, 4)))
    top = slope * float(np.max(np.abs(np.diag(T))))
    found = joint_spectral_radius(cell(T, leaky_relu(low)), products=4000)
    # the spectrum of a product of triangular matrices is the product of their diagonals
    assert top * (1 - 1e-5) < found.lower.rate <= top * (1 + 1e-15)
    assert top * (1 - 1e-15) <= found.upper < top * 1.02
    if low >= 0:
        W = rng.uniform(0, 1, (4, 4))
        root = float(np.max(np.abs(np.linalg.eigvals(W))))
        found = joint_spectral_radius(cell(W, leaky_relu(low)))
        assert root * (1 - 1e-5) < found.lower.rate <= root * (1 + 1e-12)
        assert root * (1 - 1e-12) <= found.upper < root * (1 + 1e-3)


def test_longer_products_beat_single_masks():
    # no mask alone grows by more than 4 ** (1/3) here, and branch and bound finds nothing beyond
    W = np.array([[0.0, 2.0, 0.0], [0.0, 0.0, 2.0], [1.0, 0.0, 0.0]])
    found = joint_spectral_radius(cell(W), products=5000)
    assert found.lower.rate <= 4 ** (1 / 3) * (1 + 1e-15)
    assert 4 ** (1 / 3) * (1 - 1e-15) <= found.upper < 4 ** (1 / 3) * 1.001
    # and here four masks in turn, which ascents of up to three factors cannot find
    W = np.random.default_rng(5).standard_normal((5, 5))
    ascents = rate_lower(cell(W), products=0)
    tree = rate_lower(cell(W))
    assert tree.rate > ascents.rate * 1.005
    assert len(tree.slopes) == 4


def test_degenerate_maps():
    zero = joint_spectral_radius(cell(np.zeros((2, 2))))
    assert zero.lower.rate == 0.0
    assert zero.upper < 1e-150
    nilpotent = joint_spectral_radius(cell([[0.0, 5.0], [0.0, 0.0]]))
    assert nilpotent.lower.rate == 0.0
    # the radius 0 is not attained by any norm: the answer stays above
    assert 0 < nilpotent.upper < 1e-4
    assert nilpotent.gap == math.inf
    assert joint_spectral_radius(CallableMap(lambda h, x: (h + x) / 2, 1, 1)) is None
    assert joint_spectral_radius(cell(0.1 * np.eye(LARGEST + 1))) is None
    one = joint_spectral_radius(cell([[-0.75]]))
    assert one.lower.rate <= 0.75 <= one.upper < 0.75 * (1 + 1e-5)


@pytest.mark.parametrize("exponent", [-1000, -300, 300, 900])
def test_homogeneous(exponent):
    W = np.random.default_rng(4).standard_normal((3, 3))
    plain = joint_spectral_radius(cell(W), norm=L2(), products=500)
    scaled = joint_spectral_radius(cell(W * 2.0**exponent), norm=L2(), products=500)
    assert scaled.lower.rate == pytest.approx(plain.lower.rate * 2.0**exponent, rel=1e-12)
    assert scaled.upper == pytest.approx(plain.upper * 2.0**exponent, rel=1e-12)


def exact(A):
    return [[Fraction(x) for x in row] for row in A.tolist()]


def times(A, B):
    return [
        [sum(a * b for a, b in zip(r, c, strict=True)) for c in zip(*B, strict=True)] for r in A
    ]


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 4), kind=st.sampled_from([1, 2, math.inf]))
def test_pairs_enclose_exact_products(seed, n, kind):
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((4, n, n)) * 10.0 ** rng.integers(-3, 4)
    C, F = factors[0], np.zeros(())
    truth = exact(C)
    for factor in factors[1:]:
        C, F = multiply_pairs(factor, np.zeros(()), C, F)
        truth = times(exact(factor), truth)
    wrong = [
        x - Fraction(y)
        for r, s in zip(truth, C.tolist(), strict=True)
        for x, y in zip(r, s, strict=True)
    ]
    assert sum(x * x for x in wrong) <= Fraction(float(F)) ** 2
    bound = float(norms_upper(C[None], F[None], kind)[0])
    if kind == 2:
        # |A|^2 is the largest eigenvalue of A^T A, enclosed in ball arithmetic
        A = flint.acb_mat([[flint.fmpq(x.numerator, x.denominator) for x in r] for r in truth])
        flint.ctx.prec = 200
        top = max(z.real.lower() for z in (A.transpose() * A).eig(multiple=True))
        flint.ctx.prec = 53
        assert may_be_at_most(top, flint.arb(bound) ** 2)
    else:
        rows = truth if kind == math.inf else list(zip(*truth, strict=True))
        assert max(sum(map(abs, r)) for r in rows) <= Fraction(bound)
    order = {1: 1, 2: 2, math.inf: np.inf}[kind]
    assert bound <= float(np.linalg.norm(C, order)) * (1 + 1e-12)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 3))
def test_changes_of_coordinates_are_enclosed(seed, n):
    rng = np.random.default_rng(seed)
    W, T = rng.standard_normal((2, n, n))
    found = factor_pairs(W, np.ones((1, n)), T)
    if found is None:
        assert np.linalg.cond(T) > 1e12
        return
    C, F = found
    # the exact T W T^-1 in rationals
    rows = [[flint.fmpq(*x.as_integer_ratio()) for x in r] for r in T.tolist()]
    inner = [[flint.fmpq(*x.as_integer_ratio()) for x in r] for r in W.tolist()]
    truth = flint.fmpq_mat(rows) * flint.fmpq_mat(inner) * flint.fmpq_mat(rows).inv()
    total = sum(
        (Fraction(int(d.p), int(d.q)) ** 2)
        for i in range(n)
        for j in range(n)
        for d in [truth[i, j] - flint.fmpq(*float(C[0, i, j]).as_integer_ratio())]
    )
    assert total <= Fraction(float(F[0])) ** 2


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 4),
    rho=st.sampled_from(["tanh", "sin", leaky_relu(-0.6), leaky_relu(0.2), "sigmoid"]),
    which=st.integers(0, 5),
)
def test_no_product_exceeds_the_bound(seed, n, rho, which):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((n, n)) * np.exp(rng.uniform(-2, 2, (n, 1)))
    d = np.exp(rng.uniform(-1, 1, n))
    weighted = WeightedLinf(d), WeightedL1(d), WeightedL2(np.diag(d) + 0.1)
    norm = (None, L1(), Linf(), *weighted)[which]
    one = cell(W, rho)
    found = joint_spectral_radius(one, norm=norm, products=600)
    assert found.lower.rate <= found.upper
    vertices = form_vertices(one.affine())
    for _ in range(4):
        product = np.eye(n)
        for k in range(1, 12):
            s = vertices[rng.integers(len(vertices))]
            if rng.random() < 0.2:  # inside the box of slopes too
                s = rng.uniform(*one.activation.slope, n)
            product = s[:, None] * W @ product
            size = found.norm.matrix_lower(product)
            # the product and its norm are computed, each with a relative error far below 1e-9
            assert size <= found.constant * found.upper**k * (1 + 1e-9)


def test_pairs_of_subnormal_numbers():
    # half an eta is lost by every product: of matrices, of their sizes, and of both with sqrt(n)
    rng = np.random.default_rng(3)
    for _ in range(300):
        n = int(rng.integers(1, 4))
        B, C = (rng.uniform(-1, 1, (n, n)) * 10.0 ** rng.uniform(-163, -150) for _ in range(2))
        D, F = multiply_pairs(B, np.zeros(()), C, np.zeros(()))
        truth = times(exact(B), exact(C))
        wrong = [
            x - Fraction(y)
            for r, s in zip(truth, D.tolist(), strict=True)
            for x, y in zip(r, s, strict=True)
        ]
        assert sum(x * x for x in wrong) <= Fraction(float(F)) ** 2
        sums = max(sum(map(abs, r)) for r in truth)
        assert sums <= Fraction(float(norms_upper(D, F, math.inf)))
        # the largest entry is a lower bound of the Euclidean norm
        largest = max(abs(x) for r in truth for x in r)
        assert largest <= Fraction(float(norms_upper(D, F, 2)))


def test_products_that_overflow_prove_nothing():
    assert roots_up(np.array([math.nan, math.inf, 0.0]), 2).tolist() == [math.inf, math.inf, 0.0]
    pair = np.full((1, 1, 1), math.nan), np.zeros(1)
    for kind in (1, 2, math.inf):
        assert norms_upper(*pair, kind) == math.inf
        assert norms_upper(np.zeros((1, 1, 1)), np.array([math.nan]), kind) == math.inf


def test_slopes_whose_products_overflow():
    steep = cell([[0.5, 0.5], [0.5, -0.5]], leaky_relu(-1e200))
    plain = cell([[0.5, 0.5], [0.5, -0.5]], leaky_relu(-1.0))
    bounds = [products_upper(one, 3, norm=L2()) for one in (steep, plain)]
    assert bounds[0] == pytest.approx(1e200 * bounds[1], rel=1e-12)
    found = joint_spectral_radius(steep, products=400)
    assert 0.707e200 <= found.lower.rate <= 1e200 * math.sqrt(0.5) <= found.upper < 0.71e200
    assert found.lower.slopes.min() == -1e200
    # Jacobians at several places
    found = rate_lower(cell(np.diag([1e200, 1e10])), inputs=Inputs.box(-1, 1))
    assert 0.99e200 < found.rate <= 1e200


def test_three_answers_come_with_the_sandwich():
    judged = judge_contraction(cell(MONE))
    assert judged.radius.lower is judged.lower
    assert judged.lower.rate <= judged.radius.upper <= judged.contraction.lam * (1 + 1e-12)
    assert judged.gap < 1.001
    yildiz = judge_contraction(cell([[0.0, 10.0], [-0.012, 1.1]]))
    assert yildiz.answer == "refuted"
    # no mask alone shows it at the spectral radius .977 of W: the second unit alone grows by 1.1
    assert 1.0999 < yildiz.lower.rate <= 1.1 <= yildiz.radius.upper < 1.101
    large = judge_contraction(cell(0.01 * np.ones((LARGEST + 1, LARGEST + 1))))
    assert large.radius is None
    assert large.lower.rate > 0


@pytest.mark.parametrize("low", [0.0, -0.7])
def test_the_certificate_is_never_below_the_sandwich(low):
    rng = np.random.default_rng(6)
    for n in (2, 3, 5):
        W = rng.standard_normal((n, n))
        one = cell(W * (0.7 / np.linalg.norm(W, 2)), leaky_relu(low))
        c = contraction(one, method="lmi")
        radius = joint_spectral_radius(one, norm=c.norm, products=3000)
        assert radius.lower.rate <= radius.upper <= c.lam * (1 + 1e-9)


def test_bad_requests():
    for bad in ({"products": 0}, {"tol": 0.0}, {"products": 1.5}, {"norm": WeightedLinf([1.0])}):
        with pytest.raises(ValueError, match=r"needed|integer|norm on"):
            joint_spectral_radius(cell(MONE), **bad)
    with pytest.raises(ValueError, match="products="):
        rate_lower(cell(MONE), products=-1)
    with pytest.raises(ValueError, match=r"more than 2\*\*22"):
        products_upper(cell(np.eye(6)), 5)
    with pytest.raises(ValueError, match="affine form"):
        products_upper(CallableMap(lambda h, x: h + x, 1, 1), 1)
    with pytest.raises(ValueError, match="length"):
        products_upper(cell(MONE), 0)


# ------------------------------------------------------------------------- certificates made of it

#: Rounded weights of a trained layer of four units: no quadratic norm contracts, products do.
TRAINED = [
    [0.176, -0.813, 0.499, -0.348],
    [-0.455, 0.341, -0.363, 0.632],
    [-0.083, -0.104, 0.413, -0.199],
    [0.385, 0.23, -0.035, 0.656],
]


def test_a_radius_below_1_is_a_certificate(tmp_path):
    one = VanillaRNN(TRAINED, np.eye(4))
    assert contraction(one) is None
    judged = judge_contraction(one)
    c, radius = judged.contraction, judged.radius
    assert judged.answer == "certified"
    assert c.evidence.is_certified
    assert c.evidence.method == "joint spectral radius"
    K, rate = c.evidence.growth
    assert radius.upper <= rate <= radius.upper * (1 + 1e-9)
    assert pytest.approx(radius.constant, rel=1e-9) == K
    assert c.lam == pytest.approx(K * rate**c.iterate, rel=1e-12)
    assert c.lam <= 0.5
    # the constant costs little of the rate
    assert c.lam ** (1 / c.iterate) <= rate**0.95
    inputs = Inputs.ball(1)
    choice = required_context(one, 1e-3, inputs=inputs, certificates={"joint": c})
    # K q**k |h| <= eps with |h| <= 2 in four units of tanh, and what blocks cost
    assert choice.k < 1.25 * np.log(1e-3 / (2 * K)) / np.log(rate)
    assert required_context(one, 1e-3, inputs=inputs) is None
    # nothing is lost by saying which inputs are meant
    assert judge_contraction(one, inputs=inputs).answer == "certified"
    path = tmp_path / "c.json"
    save_certificate(path, one, c=c)
    stored = load_certificate(path)
    assert recheck(stored, one)
    for changed in ({"rate": c.lam * 0.99}, {"growth": 0.97}, {"growth": 1.0}, {"iterate": 20}):
        assert recheck(replace(stored, **changed), one).failed == "inequality"


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=6)
def test_the_growth_of_products_is_bounded(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 5))
    W = rng.standard_normal((n, n))
    W *= rng.uniform(0.5, 0.95) / np.linalg.norm(W, 2)
    norm = [L2(), Linf(), WeightedLinf(rng.uniform(0.5, 2, n)), WeightedL2(W @ W.T + np.eye(n))][
        int(rng.integers(4))
    ]
    slopes = np.zeros(n), np.ones(n)
    form = VanillaRNN(W, np.eye(n)).affine()
    rate = 0.97
    K = growth_constant(form.W, slopes, norm, rate)
    assert K >= 1
    P, size = np.eye(n), 1.0
    for _ in range(12):
        P = rng.integers(0, 2, n)[:, None] * W @ P
        size *= rate
        assert norm.matrix_lower(P) <= K * size
    # a rate that is none is not accepted, and no more products than can be counted are formed
    assert growth_constant(2 * W / np.linalg.norm(W, 2), slopes, norm, 0.3) == np.inf


def test_a_constant_cannot_be_smaller():
    # of one nilpotent factor the first step is all there is
    W = np.array([[0.0, 8.0], [0.0, 0.0]])
    K = growth_constant(W, (np.ones(2), np.ones(2)), L2(), 0.5)
    assert pytest.approx(16.0) == K
    assert K >= 16.0
    assert geometric_up(K, 0.5, 3)[3] == pytest.approx(2.0)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=3)
def test_several_steps_contract_by_what_is_certified(seed):
    rng = np.random.default_rng(seed)
    one = VanillaRNN(np.array(TRAINED) * rng.uniform(0.97, 1.0), np.eye(4))
    c = judge_contraction(one).contraction
    assert c is not None
    h, g = rng.uniform(-1, 1, (2, 4))
    apart = c.norm.vector(h - g)
    for _ in range(c.iterate):
        x = rng.standard_normal(4) * 0.1
        h, g = one.step(h, x), one.step(g, x)
    assert c.norm.vector(h - g) <= c.lam * apart
