"""A norm of one's own is one class: whatever takes a norm takes it, without another edit."""

import math
from fractions import Fraction
from typing import final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory import (
    L1,
    L2,
    Contraction,
    Inputs,
    LinearMap,
    Linf,
    VanillaRNN,
    WeightedL1,
    WeightedL2,
    WeightedLinf,
    contraction,
    truncation_gaps,
)
from theory.certify import joint_spectral_radius
from theory.certify.jsr import products_upper
from theory.measure import local_rates, truncation_gap_table
from theory.measure.ratios import norm_attaining
from theory.norms import Norm, over
from theory.norms.norm import Coordinates
from theory.norms.norms import same_norm, scaled_matrix_upper
from theory.norms.products import lipschitz_of_steps
from theory.theorems import contractive_of_matrix_norm, state_gap


@final
class _Times(Norm):
    """c |h|_1, in every dimension."""

    monotone, dim, companion = True, None, L1()

    def __init__(self, c):
        self.c = c

    @property
    def label(self):
        return f"{self.c} L1"

    def vector(self, h):
        return self.c * np.sum(np.abs(h), axis=-1)

    def coordinates(self, n):
        return Coordinates(p=1.0, weights=np.full(n, self.c))

    def to_dict(self):
        return {"name": "Times", "c": self.c.hex()}


@final
class _Scaled(Norm):
    """sqrt(sum (v_i h_i)^2): the Euclidean norm of a vector in units of its own."""

    monotone, label, companion = True, "L2,v", L2()

    def __init__(self, v):
        self.v = np.asarray(v, float)

    @property
    def dim(self):
        return len(self.v)

    def vector(self, h):
        return L2().vector(h * self.v)

    def coordinates(self, n):
        self.check_dim(n)
        return Coordinates(p=2.0, weights=self.v)

    def to_dict(self):
        return {"name": "Scaled", "v": self.v.tolist()}


@final
class _Slanted(Norm):
    """max(|h_1 + h_2|, |h_2|): a maximum norm in coordinates that are not the units' own."""

    monotone, label, dim, companion = False, "Linf,T", 2, Linf()
    T = np.array([[1.0, 1.0], [0.0, 1.0]])

    def vector(self, h):
        return np.max(np.abs(h @ self.T.T), axis=-1)

    def coordinates(self, n):
        self.check_dim(n)
        return Coordinates(p=math.inf, factor=self.T)

    def over_companion(self, n):
        return float(n)

    def companion_over(self, n):
        return float(n)

    def to_dict(self):
        return {"name": "Slanted"}


V = [0.5, 4.0]
#: Norms of one's own, each with one of the library that it is a multiple of, or None.
OWN = {
    "2 L1": (_Times(2.0), L1(), 2.0),
    "0.25 L1": (_Times(0.25), L1(), 0.25),
    "L2,v": (_Scaled(V), WeightedL2(np.diag(np.square(V))), 1.0),
    "slanted": (_Slanted(), None, 1.0),
}
every = pytest.mark.parametrize(("norm", "known", "c"), OWN.values(), ids=OWN)
W = np.array([[0.5, -0.3], [0.1, 0.4]])
TANH, LINEAR = VanillaRNN(W, np.eye(2)), LinearMap(W, np.eye(2))
X = np.random.default_rng(0).standard_normal((40, 2))


def induced(norm, A):
    """Return the norm of A in the norm's coordinates, up to rounding."""
    own = norm.coordinates(len(A))
    return np.linalg.norm(own.T @ A @ np.linalg.inv(own.T), own.p)


@every
@given(st.integers(0, 2**32 - 1))
def test_bounds_enclose_the_norm_of_a_matrix(norm, known, c, seed):
    del known, c
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((2, 2)) * np.exp(rng.uniform(-3, 3, (2, 2)))
    exact = induced(norm, A)
    assert exact * (1 - 1e-12) <= norm.matrix_lower(A) * (1 + 1e-9)
    assert norm.matrix_lower(A) <= exact * (1 + 1e-12)
    assert norm.matrix_upper(A) >= exact * (1 - 1e-12)
    x = rng.standard_normal((20, 2))
    for other in (norm, L1(), L2(), Linf(), WeightedL1(V), WeightedLinf(V), WeightedL2(np.eye(2))):
        for one, two in ((norm, other), (other, norm)):
            sizes = one.vector(x @ A.T) / two.vector(x)
            assert np.max(sizes) <= one.matrix_upper(A, two) * (1 + 1e-12)
            assert np.max(one.vector(x) / two.vector(x)) <= over(one, two, n=2) * (1 + 1e-12)
    if norm.monotone:
        s = rng.uniform(0, 2, 2)
        assert induced(norm, s[:, None] * A) <= scaled_matrix_upper(norm, s, A) * (1 + 1e-12)
    images = x / norm.vector(x)[:, None]
    assert (np.abs(images) <= norm.reach_upper(2) * (1 + 1e-12)).all()
    assert (np.max(np.abs(images @ A.T), axis=0) <= norm.dual_upper(A) * (1 + 1e-12)).all()


@every
def test_contraction_by_norm(norm, known, c):
    found = contraction(LINEAR, method="iterate", norm=norm)
    assert found.norm is norm
    assert found.lam >= induced(norm, np.linalg.matrix_power(W, found.iterate)) * (1 - 1e-12)
    if known is not None:
        assert found.lam == pytest.approx(
            contraction(LINEAR, method="iterate", norm=known).lam, rel=1e-9
        )
    if not norm.monotone:
        return
    one = contractive_of_matrix_norm(0.2 * W, norm=norm)
    assert one.norm is norm
    assert one.lam >= 0.2 * induced(norm, W) * (1 - 1e-12)
    assert c > 0


@every
def test_gaps_and_their_bound(norm, known, c):
    table = truncation_gap_table(TANH, X, k_max=5, norm=norm)
    H = TANH.simulate(X)
    late = TANH.simulate(X[10:14])[-1]
    assert table[4, 13] == pytest.approx(float(norm.vector(H[13] - late)), rel=1e-9)
    if known is not None:
        np.testing.assert_allclose(
            table, c * truncation_gap_table(TANH, X, k_max=5, norm=known), rtol=1e-9
        )
    lam = norm.matrix_upper(W)
    if norm.monotone and lam < 1:
        claim = Contraction.assumed(lam, norm)
        gaps = truncation_gaps(TANH, X, k_max=5, norm=norm)
        drive = TANH.drive(norm, X)
        assert all(gaps[k] <= state_gap(claim, k=k, drive=drive) for k in range(6))
    rates = local_rates(TANH, X, r=2, norm=norm)
    if known is not None:
        np.testing.assert_allclose(
            rates.rates, local_rates(TANH, X, r=2, norm=known).rates, rtol=1e-9
        )


@every
def test_rates_of_many_units(norm, known, c):
    """The Euclidean ones go through Lanczos, in the norm's own coordinates."""
    del known, c
    if norm.dim is not None and norm.p != 2:
        return
    n = 40
    rng = np.random.default_rng(1)
    v = rng.uniform(0.5, 2.0, n)
    own = _Scaled(v) if norm.p == 2 else norm
    same = WeightedL2(np.diag(v * v)) if norm.p == 2 else norm.companion
    big = VanillaRNN(rng.standard_normal((n, n)) / n, rng.standard_normal((n, 2)))
    measured = local_rates(big, X, r=3, norm=own).rates
    np.testing.assert_allclose(measured, local_rates(big, X, r=3, norm=same).rates, rtol=1e-7)


@every
def test_products_and_their_radius(norm, known, c):
    del c
    bounds = lipschitz_of_steps(W, (np.zeros(2), np.ones(2)), norm, 3)
    masks = [np.diag(s) @ W for s in ([0, 0], [0, 1], [1, 0], [1, 1])]
    for A in masks:
        assert induced(norm, A) <= bounds[1] * (1 + 1e-12)
        for B in masks:
            assert induced(norm, A @ B) <= bounds[2] * (1 + 1e-12)
    radius = joint_spectral_radius(TANH, norm=norm)
    assert radius.norm is norm
    assert radius.lower.rate <= radius.upper <= max(induced(norm, A) for A in masks) * (1 + 1e-9)
    upper = products_upper(TANH, 2, norm=norm)
    largest = max(induced(norm, A @ B) for A in masks for B in masks)
    assert largest <= upper**2 * (1 + 1e-12) <= largest * (1 + 1e-9)
    if known is not None:
        other = joint_spectral_radius(TANH, norm=known)
        assert radius.upper == pytest.approx(other.upper, rel=1e-9)
        np.testing.assert_allclose(
            bounds, lipschitz_of_steps(W, (np.zeros(2), np.ones(2)), known, 3), rtol=1e-9
        )


@every
@given(st.integers(0, 2**32 - 1))
def test_directions_attain_the_norm(norm, known, c, seed):
    del known, c
    A = np.random.default_rng(seed).standard_normal((2, 2))
    directions = norm_attaining(norm, A)
    ratios = norm.vector(directions @ A.T) / norm.vector(directions)
    assert np.max(ratios) == pytest.approx(induced(norm, A), rel=1e-9)


@every
@given(st.integers(0, 2**32 - 1))
def test_a_ball_holds_what_is_short(norm, known, c, seed):
    del known, c
    rng = np.random.default_rng(seed)
    ball = Inputs.ball(1.5, norm)
    x = rng.standard_normal((50, 2))
    x *= 1.5 * rng.uniform(0, 1 - 2.0**-40, 50)[:, None] / norm.vector_upper(x)[:, None]
    low, high = ball.ends(2)
    assert ((low <= x) & (x <= high)).all()
    assert ball.contains(x)
    longest = x[np.argmax(norm.vector(x))]
    assert not ball.contains(1.51 * longest / norm.vector(longest))
    assert (np.max(np.abs(x @ W.T), axis=0) <= ball.image_upper(W)).all()
    for other in (norm, L1(), L2(), Linf()):
        assert np.max(other.vector(x)) <= ball.norm_upper(other, 2) * (1 + 1e-12)
    assert ball.within(Inputs.ball(2.0, norm), 2)
    assert str(ball) == f"|x| <= 1.5 in {norm.label}"


def test_a_norm_below_the_largest_entry_bounds_no_entry_by_its_radius():
    """|x|_1 / 4 <= 1 allows x = (4, 0): in every dimension, so in none that is told at first."""
    ball = Inputs.ball(1.0, _Times(0.25))
    assert ball.contains([4.0, 0.0])
    assert [end.tolist() for end in ball.ends(2)] == [[-4.0, -4.0], [4.0, 4.0]] or (
        ball.ends(2)[1] >= 4.0
    ).all()
    drive = VanillaRNN(W, np.eye(2), activation="identity").drive(Linf(), ball)
    assert float(drive) >= 4.0


def test_two_multiples_are_two_norms():
    assert over(_Times(2.0), _Times(0.5), n=3) == pytest.approx(4.0)
    assert over(_Times(2.0), L1(), n=3) == 2.0
    assert over(L1(), _Times(2.0), n=3) == pytest.approx(0.5)
    assert same_norm(_Times(2.0), _Times(2.0))
    assert not same_norm(_Times(2.0), _Times(0.5))
    assert not same_norm(_Times(1.0), L1())


def test_a_radius_is_compared_exactly():
    x = [0.1, 0.2]
    size = 2 * (Fraction(0.1) + Fraction(0.2))
    assert _Times(2.0).in_ball(x, size)
    assert not _Times(2.0).in_ball(x, size - Fraction(1, 2**200))
    square = (Fraction(0.5) * Fraction(0.1)) ** 2 + (4 * Fraction(0.2)) ** 2
    root = Fraction(math.isqrt(int(square * 4**300)), 2**300)
    assert not _Scaled(V).in_ball(x, root)
    assert _Scaled(V).in_ball(x, root + Fraction(1, 2**299))
    # where T is not known to be exact, nothing is claimed
    assert not _Slanted().in_ball([0.0, 0.0], Fraction(1))
