"""Matrices made to break a certificate engine: degenerate, defective, badly scaled, on the edge."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from theory import LinearMap, VanillaRNN, contraction
from theory.arithmetic.rigor import lmi_holds
from theory.arithmetic.rounding import LOST
from theory.certify import METHODS, contractions, judge_contraction, lmi, rate_lower
from theory.maps import leaky_relu
from theory.norms import WeightedL2

ABOVE = "above the infimum|need not be attained"


def cell(W, rho="tanh"):
    return VanillaRNN(W, np.eye(len(W)), activation=rho)


def blocks(A, B, coupling):
    return np.block([[A, coupling * np.ones((len(A), len(B)))], [np.zeros((len(B), len(A))), B]])


def turn(angle, size):
    c, s = size * math.cos(angle), size * math.sin(angle)
    return np.array([[c, -s], [s, c]])


# ------------------------------------------------------------------- infima that are not attained


@pytest.mark.parametrize(
    ("W", "infimum"),
    [
        ([[0.0, 5.0], [0.0, 0.0]], 0.0),
        (np.triu(np.ones((4, 4)), 1), 0.0),
        ([[0.9, 5.0], [0.0, 0.9]], 0.9),
        (0.7 * np.eye(4) + np.diag([2.0, 2.0, 2.0], 1), 0.7),
        (blocks(turn(1.0, 0.8), turn(2.0, 0.5), 3.0), 0.8),
    ],
)
def test_degenerate_weights_stay_above_and_say_so(W, infimum):
    for one in (cell(W), cell(W, "sin"), LinearMap(W, np.eye(len(W)))):
        found = contractions(one)
        searched = {name: c for name, c in found.items() if name in ("lmi", "diagonal", "lyapunov")}
        assert searched
        for name, c in searched.items():
            assert infimum < c.lam < 1, name
            assert any(words in c.evidence.detail for words in ABOVE.split("|")), name
        assert min(c.lam for c in searched.values()) < infimum + 0.02
        assert rate_lower(one, products=200).rate <= infimum * (1 + 1e-15)
    perron = contraction(cell([[0.0, 5.0], [0.0, 0.0]]), method="perron")
    assert "above the infimum" in perron.evidence.detail


def test_attained_infima_do_not_say_so():
    for W in ([[0.5, 0.2], [0.1, 0.3]], [[0.5, 0.0], [0.0, 0.3]], 0.5 * np.eye(3)):
        for name in ("lmi", "diagonal", "perron"):
            c = contraction(cell(W), method=name)
            assert "above the infimum" not in c.evidence.detail


def test_block_triangular_is_its_worst_block():
    rng = np.random.default_rng(1)
    A, B = rng.standard_normal((2, 3, 3))
    A, B = 0.5 * A / np.linalg.norm(A, 2), 0.9 * B / np.linalg.norm(B, 2)
    whole = contraction(cell(blocks(A, B, 1.0)), method="lmi").lam
    worst = max(contraction(cell(X), method="lmi").lam for X in (A, B))
    # equal up to the coupling that weights within their limit leave
    assert worst * (1 - 1e-4) <= whole <= worst * 1.01
    # the same with the units in another order
    order = rng.permutation(6)
    mixed = contraction(cell(blocks(A, B, 1.0)[np.ix_(order, order)]), method="lmi").lam
    assert mixed == pytest.approx(whole, rel=5e-3)


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 5))
@settings(max_examples=15)
def test_renaming_and_scaling_the_units_by_powers_of_two(seed, n):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((n, n))
    W *= 0.8 / np.linalg.norm(W, 2)
    order, d = rng.permutation(n), np.exp2(rng.integers(-8, 9, n))
    changed = (W * d[:, None] / d[None, :])[np.ix_(order, order)]
    plain, other = (contraction(cell(X), method="lmi").lam for X in (W, changed))
    assert other == pytest.approx(plain, rel=2e-3)


# ------------------------------------------------------------------------------------ closed forms


def test_zero_by_every_method():
    for rho in ("tanh", "sin", "relu", leaky_relu(-0.5)):
        one = cell(np.zeros((3, 3)), rho)
        assert contraction(one).lam == 0.0
        for name in METHODS:
            c = contraction(one, method=name)
            # products are formed with an allowance for underflow
            assert c is None or c.lam < 1e-300, name
        assert judge_contraction(one).answer == "certified"


@given(w=st.floats(-1.5, 1.5), low=st.floats(-1.5, 1.5))
@example(w=-1.5e-323, low=-1.1)
@settings(max_examples=40)
def test_one_unit_with_any_slopes(w, low):
    slope = max(abs(low), 1.0)
    one = cell([[w]], leaky_relu(low))
    best = contraction(one)
    if slope * abs(w) >= 1:
        assert best is None
        return
    # where numbers are subnormal, the bound rounds upward what is rounded to nearest here
    assert slope * abs(w) * (1 - 1e-15) <= best.lam <= slope * abs(w) * (1 + 1e-9) + LOST
    searched = contraction(one, method="lmi")
    if abs(w) > 1e-200 and slope * abs(w) < 1 - 1e-5 and low != 1.0:
        assert slope * abs(w) * (1 - 1e-15) <= searched.lam <= slope * abs(w) * (1 + 1e-5)
    lower = rate_lower(one).rate
    assert lower <= slope * abs(w) * (1 + 1e-15)
    assert lower >= slope * abs(w) * (1 - 1e-5) or abs(w) < 1e-290


def schur_diagonally_stable(W):
    """Decide min_D |D W D^-1| < 1 for two units in closed form."""
    det = W[0, 0] * W[1, 1] - W[0, 1] * W[1, 0]
    trace, difference = W[0, 0] + W[1, 1], W[0, 0] - W[1, 1]
    return abs(det) < 1 and abs(trace) < 1 + det and abs(difference) < 1 - det


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_two_units_with_symmetric_slopes(seed):
    W = np.random.default_rng(seed).standard_normal((2, 2))
    low, high = 1e-3, 1e3
    for _ in range(60):  # the size at which diagonal stability is lost
        middle = math.sqrt(low * high)
        low, high = (middle, high) if schur_diagonally_stable(middle * W) else (low, middle)
    rate = 1 / low
    scaled = W * (0.9 / rate)
    for method, rho in (("diagonal", "tanh"), ("lmi", "sin")):
        c = contraction(cell(scaled, rho), method=method)
        assert 0.9 * (1 - 1e-9) <= c.lam <= 0.9 * (1 + 2e-3), method
    # and every size above is refused: at slopes in [-1, 1] the two criteria are equivalent
    assert contraction(cell(W * (1.001 / rate), "sin"), effort=2) is None


@pytest.mark.parametrize("low", [0.0, 0.2, -0.3])
def test_numerical_radius_of_a_jordan_block(low):
    # the numerical range of [[c, a], [0, c]] is a disc of radius |a| / 2 around c
    c = contraction(cell([[0.3, 0.6], [0.0, 0.3]], leaky_relu(low)), method="numerical_radius")
    if low == 0.0:
        assert 0.6 <= c.lam <= 0.6 * (1 + 1e-5)
    else:
        # the same criterion as |2 I + ..| >= 0 for general slopes: at least the radius of a product
        assert (
            c is None or c.lam >= rate_lower(cell([[0.3, 0.6], [0.0, 0.3]], leaky_relu(low))).rate
        )


# ------------------------------------------------------------------- small spectral radius, no echo


@pytest.mark.parametrize(
    ("W", "rho"),
    [
        ([[0.0, 10.0], [-0.012, 1.1]], "tanh"),
        ([[0.0, 20.0], [-0.006, 1.1]], "tanh"),
        ([[0.0, 5.0], [-0.024, 1.1]], "tanh"),
        ([[0.0, 40.0], [-0.012, 4.4]], "sigmoid"),
        ([[0.0, 10.0, 0.1], [-0.012, 1.1, 0.0], [0.0, 0.1, 0.3]], "tanh"),
        ([[0.0, 10.0], [-0.012, 1.1]], "hard_tanh"),
    ],
)
def test_small_spectral_radius_is_refused_and_refuted(W, rho):
    one = cell(W, rho)
    slope = one.activation.lipschitz
    assert slope * np.max(np.abs(np.linalg.eigvals(np.array(W)))) < (1 if rho != "sigmoid" else 2)
    assert contractions(one) == {}
    judged = judge_contraction(one, effort=2)
    assert judged.answer == "refuted"
    if judged.refutation.kind == "jacobian":
        return
    # the two trajectories under one input, run: they stay apart
    X = np.tile(judged.refutation.x, (200, 1))
    ends = [one.simulate(X, points[0])[-1] for points in (judged.refutation.first,
                                                          judged.refutation.second)]  # fmt: skip
    assert np.max(np.abs(ends[0] - ends[1])) > 1e-3


# ------------------------------------------------------------------------------------ at the border


@pytest.mark.parametrize("steps", range(-9, 10, 3))
@pytest.mark.parametrize("angle", [0.0, 1.0, math.pi / 2])
def test_within_rounding_of_one(steps, angle):
    size = 1.0 + steps * 2.0**-53
    W = turn(angle, size) if angle else size * np.eye(2)
    # the rate of this normal matrix is the root of its determinant
    square = Fraction(float(W[0, 0])) ** 2 + Fraction(float(W[1, 0])) ** 2
    for rho in ("tanh", "sin", "identity"):
        one = LinearMap(W, np.eye(2)) if rho == "identity" else cell(W, rho)
        for name, c in contractions(one).items():
            assert square < 1, name
            assert Fraction(c.lam) ** 2 >= square, name
        assert square < 1 or contraction(one, effort=2) is None
        assert Fraction(rate_lower(one).rate) ** 2 <= square


def test_row_sums_decide_the_border_exactly():
    # 1 - 2**-53 and three numbers that sum to exactly 1 and to 1 - 2**-54 (which no double is)
    assert contraction(cell([[1 - 2.0**-53]]), method="row_sums").lam == 1 - 2.0**-53
    full = np.array([[0.5, 0.25, 0.25], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert contraction(cell(full), method="row_sums") is None
    full[0, 2] -= 2.0**-54
    assert contraction(cell(full), method="row_sums") is None
    full[0, 2] -= 2.0**-54
    assert contraction(cell(full), method="row_sums").lam == 1 - 2.0**-53


# ------------------------------------------------------------------------------------------- scales


@pytest.mark.parametrize("exponent", [-1000, -500, -100, -3])
@pytest.mark.parametrize("method", ["lmi", "numerical_radius", "diagonal", "spectral", "perron"])
def test_tiny_weights_are_homogeneous(exponent, method):
    G = np.random.default_rng(8).standard_normal((4, 4))
    G *= 0.9 / np.max(np.sum(np.abs(G), axis=1))
    plain, scaled = contraction(cell(G), method=method), contraction(
        cell(G * 2.0**exponent), method=method
    )  # fmt: skip
    if scaled is None:  # the search declines below 1e-290, the norms do not
        assert exponent < -960
        assert method in ("lmi", "numerical_radius")
        return
    assert scaled.lam == pytest.approx(plain.lam * 2.0**exponent, rel=1e-5)


@pytest.mark.parametrize("factor", [0.1, 1 / 3, 0.7, -0.5])
def test_any_factor_is_homogeneous(factor):
    G = np.random.default_rng(9).standard_normal((4, 4))
    G *= 0.9 / np.linalg.norm(G, 2)
    for method in ("lmi", "numerical_radius", "diagonal", "spectral", "row_sums"):
        plain = contraction(cell(G, "sin"), method=method)
        scaled = contraction(cell(factor * G, "sin"), method=method)
        if plain is None:
            continue
        # a sign is immaterial for symmetric slopes, and for slopes in [0, 1] too
        assert scaled.lam == pytest.approx(abs(factor) * plain.lam, rel=2e-4), method


@pytest.mark.parametrize("exponent", [10, 500, 1020])
def test_huge_weights_are_refused_without_a_warning(exponent):
    G = np.random.default_rng(10).uniform(0.5, 1, (4, 4)) * 2.0**exponent
    for rho in ("tanh", "sin", leaky_relu(-0.5)):
        one = cell(G, rho)
        assert contractions(one) == {}
        # a non-negative matrix: its radius is its rate
        lower = rate_lower(one).rate
        assert lower >= 1.9 * 2.0**exponent
    assert contractions(LinearMap(G, np.eye(4))) == {}


@pytest.mark.parametrize("exponent", [-300, 0, 300])
def test_large_ranges_within_one_matrix(exponent):
    d = np.exp2(np.array([0.0, exponent, 0.0]))
    W = np.full((3, 3), 0.3) * d[:, None] / d[None, :]
    for name, c in contractions(cell(W)).items():
        assert c.lam >= 0.9 * (1 - 1e-9), name
    assert rate_lower(cell(W)).rate <= 0.9 * (1 + 1e-12)


def test_single_precision_by_every_method():
    G = np.random.default_rng(11).standard_normal((5, 5))
    short = (G * (0.9 / np.linalg.norm(G, 2))).astype(np.float32)
    for rho in ("tanh", leaky_relu(-0.3)):
        found, same = contractions(cell(short, rho)), contractions(cell(short.astype(float), rho))
        assert {name: c.lam for name, c in found.items()} == {n: c.lam for n, c in same.items()}
        # the numbers are those of single precision, exactly
        assert found["spectral"].norm.matrix_lower(short.astype(float)) <= found["spectral"].lam


# ------------------------------------------------------------------------------------------- slopes


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 4))
@settings(max_examples=25)
def test_slopes_of_each_unit(seed, n):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((n, n))
    alpha, beta = np.sort(rng.uniform(-2, 2, (2, n)), axis=0)
    one = lmi.Problem(W=W, alpha=alpha, beta=beta)
    slope = float(np.max(beta - alpha) / 2 + np.max(np.abs(alpha + beta)) / 2)
    x, level = lmi.best_weights(one, np.zeros(n), 1.01 * slope * float(np.linalg.norm(W, 2)))
    made = lmi.gram_at(one, x, level * 1.001)
    if not lmi_holds(W, alpha, beta, made.P, made.q, made.r):
        return
    norm = WeightedL2(made.P)
    for _ in range(30):
        s = np.where(rng.random(n) < 0.5, alpha, beta) if rng.random() < 0.7 else rng.uniform(
            alpha, beta
        )  # fmt: skip
        assert norm.matrix_lower(s[:, None] * W) <= made.r


@pytest.mark.parametrize(("low", "high"), [(-0.9, -0.2), (-1.0, 1.0), (0.4, 0.4), (-1.0, 0.0)])
def test_slopes_of_one_sign_and_none(low, high):
    # slopes in [-b, -a] of W are slopes in [a, b] of -W
    W = np.random.default_rng(12).standard_normal((3, 3))
    n = len(W)
    levels = []
    for A, a, b in ((W, low, high), (-W, -high, -low)):
        one = lmi.Problem(W=A, alpha=np.full(n, a), beta=np.full(n, b))
        levels.append(lmi.least_level(one, np.zeros(n), 1.0))
    assert levels[0] == pytest.approx(levels[1], rel=1e-5)
    if low == high:  # a linear map, for which the inequality is that of Lyapunov
        radius = float(np.max(np.abs(np.linalg.eigvals(W))))
        assert levels[0] == pytest.approx(0.4 * radius, rel=1e-5)


@pytest.mark.parametrize("low", [0.3, 0.9, 0.99, 0.999, 1.001, 1.05])
def test_narrow_slope_intervals(low):
    # where alpha beta > 0 the matrix function is positive at levels below the spectral radius too:
    # a search that steps over the gap between finds nothing that is positive definite
    W = np.random.default_rng(13).standard_normal((5, 5))
    W *= 0.9 / max(1.0, low) / np.max(np.abs(np.linalg.eigvals(W)))
    one = cell(W, leaky_relu(low))
    c = contraction(one, method="lmi")
    lower = rate_lower(one).rate
    assert lower <= c.lam <= lower * (1.05 if low > 0.5 else 1.3)
