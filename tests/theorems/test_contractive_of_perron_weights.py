"""The four questions, asked of contractive_of_perron_weights: slope * row / weight."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import (
    Asked,
    holds_at_extremes,
    is_sharp,
)

from theory import (
    CallableMap,
    Contraction,
    LinearMap,
    Linf,
    VanillaRNN,
    WeightedLinf,
    contraction,
    experiment,
)
from theory.maps import leaky_relu
from theory.strategies import certified_maps, experiments, matrices_with_norm
from theory.theorems import contractive_of_matrix_norm, contractive_of_perron_weights
from theory.theorems.contractive_of_perron_weights import (
    CONTRACTIVE_OF_PERRON_WEIGHTS,
    LARGEST_RATIO,
    _weights_within_ratio,
    formula,
)

#: Oracle B1.perron: rate 0.7 with weights (20, 1), though the row sums are 4.5 and 0.51.
W = np.array([[0.5, 4.0], [0.01, 0.5]])


def at_rest(cell, v):
    return experiment(
        cell,
        np.zeros((4, cell.input_dim)),
        contraction=Contraction.assumed(0.9, WeightedLinf(v)),
    )


WEIGHTS = st.sampled_from((1.0, 2.0, 0.25))
WEIGHTED = st.integers(1, 4).flatmap(
    lambda n: certified_maps(n, norm=st.lists(WEIGHTS, min_size=n, max_size=n).map(WeightedLinf))
)


def test_sharp_in_the_perron_weights():
    made = at_rest(LinearMap(W, np.eye(2)), [20.0, 1.0])
    verdict = is_sharp(CONTRACTIVE_OF_PERRON_WEIGHTS, made, slack=2.0**-44)
    assert verdict.bound == pytest.approx(0.7, rel=1e-12)


def test_oracles():
    # B1.perron, B1.perron_kappa
    found = contractive_of_perron_weights(W)
    # the weights are those of |W| + s max|W| / 2, s >= 2**-40 at the last: their rate in |W| is off
    # by less than s * 4 (20 + 1) / 2
    assert 0.7 <= found.lam <= 0.7 + 2.0**-40 * 4 * 21 / 2
    assert found.norm.v[0] / found.norm.v[1] == pytest.approx(20.0, rel=1e-6)
    # B2.perron 1.607 and B1.yildiz_diag2 1.2: spectral radii of |W| above 1
    for matrix, radius in (
        ([[0.9, -1.0], [0.5, -0.9]], 1.6071067811865476),
        ([[0.0, 10.0], [-0.012, 1.1]], 1.2),
    ):
        assert max(abs(np.linalg.eigvals(np.abs(matrix)))) == pytest.approx(radius, rel=1e-12)
        assert contractive_of_perron_weights(matrix) is None


def broken():
    # a gate, "W = 1/2": step(h, x) = (1 + x) h / 2 stretches by 2 at x = 3
    gate = CallableMap(lambda h, x: (1.0 + x) * h / 2, state_dim=1, input_dim=1)
    x = np.array([3.0])
    stretch = abs(gate.step(np.ones(1), x) - gate.step(np.zeros(1), x))[0]
    # in the unweighted maximum norm the same map stretches (1, 1) by 4.5
    unweighted = Linf().vector(W @ np.ones(2))
    return {
        "affine_form": (stretch, formula(slope=1.0, row=0.5, weight=1.0)),
        "weighted_maximum": (unweighted, formula(slope=1.0, row=14.0, weight=20.0)),
    }


def witnesses():
    steep = VanillaRNN([[0.5]], [[1.0]], activation=leaky_relu(-1.5))
    return {
        "signs cancel: W in place of |W|": at_rest(
            LinearMap([[0.4, -0.4], [-0.4, 0.4]], np.eye(2)), [1.0, 1.0]
        ),
        "weights multiply instead of divide": at_rest(
            LinearMap(0.5 * np.eye(2), np.eye(2)), [0.5, 0.5]
        ),
        "slope left out": at_rest(steep, [1.0]),
    }


ASKED = Asked(
    made=experiments(WEIGHTED),
    extremes=holds_at_extremes,
    broken=broken,
    witnesses=witnesses,
)


@given(st.integers(1, 4).flatmap(lambda n: matrices_with_norm(n, size=st.floats(0.0, 3.0))))
def test_typed_function(A):
    found = contractive_of_perron_weights(A)
    plain = contractive_of_matrix_norm(A, norm=Linf())
    if found is None:
        # any positive weights bound the spectral radius of |A| from above; equal ones failed too
        assert plain is None
        return
    rows = [
        sum(Fraction(abs(a)) * Fraction(w) for a, w in zip(row, found.norm.v, strict=True))
        for row in A
    ]
    exact = max(row / Fraction(v) for row, v in zip(rows, found.norm.v, strict=True))
    # n products, a sum, a quotient and the slope, each rounded up: below 8 units for n <= 4, and
    # below eta each where they are subnormal, before the division by a weight
    tiny = 8 * Fraction(5e-324) / Fraction(min(found.norm.v))
    assert exact <= Fraction(found.lam) <= exact * (1 + Fraction(8, 2**53)) + tiny
    # weights are more unequal only where that makes the rate another one
    within = _weights_within_ratio(np.abs(A))[1]
    assert found.norm.v.max() / found.norm.v.min() <= LARGEST_RATIO or found.lam <= 0.51 * within
    # never much worse than equal weights, which are among the candidates
    assert plain is None or found.lam <= plain.lam * (1 + 8 * 2.0**-53) + 5e-324


def test_boundary_cases():
    assert contractive_of_perron_weights([[0.0]]).lam == 0.0
    assert contractive_of_perron_weights(np.zeros((3, 3))).lam == 0.0
    assert contractive_of_perron_weights([[1.0]]) is None
    assert contractive_of_perron_weights([[1e308, 1e308], [1e308, 1e308]]) is None
    assert contractive_of_perron_weights([[3.0]], "sigmoid").lam == 0.75
    # reducible: spectral radius 0, which no positive weights attain; the weights stay usable
    nilpotent = contractive_of_perron_weights([[0.0, 1.0], [0.0, 0.0]])
    assert 0 < nilpotent.lam <= 2.0**-20
    assert nilpotent.norm.v.max() / nilpotent.norm.v.min() <= LARGEST_RATIO


def test_scales_and_permutes():
    for scale in (2.0**-1, 2.0**-200):
        assert contractive_of_perron_weights(W * scale).lam == pytest.approx(0.7 * scale, rel=1e-9)
    swapped = contractive_of_perron_weights(W[::-1, ::-1])
    assert swapped.lam == pytest.approx(0.7, rel=1e-9)


def test_found_by_the_search_for_a_contraction():
    assert contraction(VanillaRNN(W, np.eye(2))).evidence.method == "Perron weights"


def test_malformed_questions():
    for bad, message in (([[0.5, 0.5]], "square"), ([[math.inf]], "W"), ([0.5], "W")):
        with pytest.raises(ValueError, match=message):
            contractive_of_perron_weights(bad)
    with pytest.raises(ValueError, match="activation 'swish' is not known"):
        contractive_of_perron_weights([[0.5]], "swish")
