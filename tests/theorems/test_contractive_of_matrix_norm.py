"""The four questions, asked of contractive_of_matrix_norm: slope * norm."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import (
    Asked,
    holds_at_extremes,
    is_sharp,
    rounded_outward,
    scalar,
)

from theory import (
    L1,
    L2,
    CallableMap,
    Contraction,
    LinearMap,
    Linf,
    VanillaRNN,
    WeightedL2,
    contraction,
    experiment,
    truncation_gaps,
)
from theory.arithmetic.rounding import LOST
from theory.maps import leaky_relu
from theory.strategies import activations, certified_maps, experiments, matrices_with_norm, norms
from theory.theorems import contractive_of_matrix_norm
from theory.theorems.contractive_of_matrix_norm import CONTRACTIVE_OF_MATRIX_NORM, formula

#: Oracle B1.yildiz_rho (Yildiz, Jaeger and Kiebel 2012): spectral radius 0.977, not contractive.
YILDIZ = np.array([[0.0, 10.0], [-0.012, 1.1]])

#: A Euclidean norm of a full P, in which (1, -1) is much shorter than (1, 0): sqrt(0.2) to 1.
OBLIQUE = WeightedL2(np.array([[1.0, 0.9], [0.9, 1.0]]))


def at_rest(cell, norm=None, T=4):
    """Return an experiment without inputs; its claimed factor plays no part in a criterion."""
    return experiment(
        cell, np.zeros((T, cell.input_dim)), contraction=Contraction.assumed(0.9, norm)
    )


MONOTONE = st.integers(1, 4).flatmap(lambda n: certified_maps(n, norm=norms(n, monotone=True)))


@pytest.mark.parametrize(
    ("norm", "size"), [(Linf(), 0.75), (L1(), 1.0), (L2(), math.sqrt((9 + math.sqrt(65)) / 32))]
)
def test_sharp_for_linear_maps(norm, size):
    # W = [[1/4, 1/2], [0, 1/2]]: W^T W has trace 9/16 and determinant 1/64
    W = [[0.25, 0.5], [0.0, 0.5]]
    verdict = is_sharp(
        CONTRACTIVE_OF_MATRIX_NORM, at_rest(LinearMap(W, np.eye(2)), norm), slack=2.0**-44
    )
    # rigor.spectral_norm_upper tries relative margins from 2**-46 on
    assert verdict.bound == pytest.approx(size, rel=2.0**-45)


def test_sharp_for_leaky_slopes():
    cell = VanillaRNN([[0.5]], [[1.0]], activation=leaky_relu(-1.5))
    assert is_sharp(CONTRACTIVE_OF_MATRIX_NORM, at_rest(cell)).bound == 0.75


def test_spectral_radius_does_not_certify():
    # two attractors besides 0 (B.1): whatever the start was is never forgotten
    radius = max(abs(np.linalg.eigvals(YILDIZ)))
    assert radius == pytest.approx(0.9772001872658765, rel=1e-12)
    cell = VanillaRNN(YILDIZ, np.eye(2))
    states = cell.simulate(np.zeros((2000, 2)), [1.0, 1.0])
    np.testing.assert_allclose(states[-1], [0.99969, 0.43837], atol=5e-6)
    assert truncation_gaps(cell, np.zeros((2000, 2)), k_max=100, h0=[1.0, 1.0])[100] > 0.99
    assert contractive_of_matrix_norm(YILDIZ) is None
    assert contraction(cell) is None


def test_euclidean_norm_alone_does_not_decide():
    # oracles B2.norm2 and B2.rho: rejected, though some norm certifies it for slopes in [0, 1]
    W = [[0.9, -1.0], [0.5, -0.9]]
    assert L2().matrix_upper(np.array(W)) == pytest.approx(1.6840770846134698, rel=1e-12)
    assert max(abs(np.linalg.eigvals(W))) == pytest.approx(0.5567764362830022, rel=1e-12)
    assert contractive_of_matrix_norm(W) is None


def broken():
    # a gate: step(h, x) = (1 + x) h / 2 stretches by 2 at x = 3, with "W = 1/2"
    gate = CallableMap(lambda h, x: (1.0 + x) * h / 2, state_dim=1, input_dim=1)
    x = np.array([3.0])
    stretch = abs(gate.step(np.ones(1), x) - gate.step(np.zeros(1), x))[0]
    # relu turns the short (1, -1) / 2 into the long (1, 0) / 2: by 1 / sqrt(0.2) / 2 = 1.118
    relu = VanillaRNN(0.5 * np.eye(2), np.eye(2), activation="relu")
    d = np.array([1.0, -1.0])
    turned = OBLIQUE.vector(relu.step(d, np.zeros(2))) / OBLIQUE.vector(d)
    assert turned == pytest.approx(0.5 / math.sqrt(0.2), rel=1e-12)
    return {
        "affine_form": (stretch, formula(slope=1.0, norm=0.5)),
        "monotone_norm": at_rest(relu, OBLIQUE),
    }


def witnesses():
    return {
        "slope left out": at_rest(VanillaRNN([[0.5]], [[1.0]], activation=leaky_relu(-1.5))),
        "spectral radius in place of the norm": at_rest(VanillaRNN(YILDIZ, np.eye(2))),
        "any norm": at_rest(VanillaRNN(0.5 * np.eye(2), np.eye(2), activation="relu"), OBLIQUE),
    }


ASKED = Asked(
    made=experiments(MONOTONE),
    extremes=holds_at_extremes,
    broken=broken,
    witnesses=witnesses,
)


DRAWN = st.integers(1, 4).flatmap(
    lambda n: norms(n, monotone=True).flatmap(
        lambda norm: st.tuples(
            st.just(norm), matrices_with_norm(n, norm, size=st.floats(0.0, 5.0)), activations()
        )
    )
)


@given(DRAWN)
def test_typed_function(drawn):
    norm, W, rho = drawn
    size = norm.matrix_upper(W)
    found = contractive_of_matrix_norm(W, rho, norm=norm)
    if found is None:
        assert formula(rho.lipschitz, size) >= 1
        return
    rounded_outward(formula, found.lam, slope=rho.lipschitz, norm=size)
    assert found.norm is norm
    assert found.iterate == 1
    assert found.evidence.kind == "certified"
    # never below what an explicit vector attains
    assert found.lam >= rho.lipschitz * norm.matrix_lower(W) * (1 - 2.0**-52)
    smaller = contractive_of_matrix_norm(W / 2, rho, norm=norm)
    # an eigenvalue routine's margin of 2**-46 may vary by a few powers of two; halves of subnormal
    # numbers are rounded
    assert smaller.lam <= found.lam * (0.5 + 2.0**-40) + LOST


def test_boundary_cases():
    assert contractive_of_matrix_norm([[0.0]]).lam == 0.0
    assert contractive_of_matrix_norm([[1.0]]) is None
    assert contractive_of_matrix_norm([[1 - 2.0**-53]]).lam == 1 - 2.0**-53
    assert contractive_of_matrix_norm([[4.0]], "sigmoid") is None
    assert contractive_of_matrix_norm([[3.0]], "sigmoid").lam == 0.75
    assert contractive_of_matrix_norm([[1e308, 1e308], [1e308, 1e308]]) is None


def test_a_norm_that_is_not_monotone_certifies_linear_maps_only():
    W = 0.5 * np.eye(2)
    assert contractive_of_matrix_norm(W, "relu", norm=OBLIQUE) is None
    assert contractive_of_matrix_norm(W, "identity", norm=OBLIQUE).lam == pytest.approx(
        0.5, rel=1e-12
    )
    assert contractive_of_matrix_norm(0 * W, "identity", norm=OBLIQUE).lam == 0.0


def test_malformed_questions():
    for bad, message in (
        ([[0.5, 0.5]], "square"),
        ([0.5], "W"),
        ([[math.nan]], "W"),
        ([[1j]], "real"),
    ):
        with pytest.raises(ValueError, match=message):
            contractive_of_matrix_norm(bad)
    with pytest.raises(ValueError, match="activation 'swish' is not known"):
        contractive_of_matrix_norm([[0.5]], "swish")
    with pytest.raises(ValueError, match=r"R\^2, needed one on R\^1"):
        contractive_of_matrix_norm([[0.5]], norm=OBLIQUE)


def test_scalar_witness_certifies_itself():
    assert contraction(scalar(0.5).map).lam == 0.5
