"""Sets of a metric, and the metric itself: cvxpy, gradients, bounds from both sides."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory import LinearMap, VanillaRNN, contraction
from theory.maps import leaky_relu
from theory.projections import oracle, project
from theory.projections.families import (
    DiagonalFamily,
    GramFamily,
    IncrementalFamily,
    best_metric,
    multiplier,
)
from theory.projections.metric import clip_in_metric, gram_set, incremental_set, metric_ball


def gram(rng, n, spread=1.0):
    G = rng.standard_normal((n, n)) * spread
    return G @ G.T / n + np.eye(n)


def sets(seed, n):
    """Return one set of each kind, in metrics that are neither equal nor nearly singular."""
    rng = np.random.default_rng(seed)
    P = gram(rng, n)
    q = 0.5 * np.linalg.eigvalsh(P)[-1] * rng.uniform(1.5, 3.0, n)
    return {
        "identity": gram_set(np.eye(n), 0.8),
        "diagonal": gram_set(np.diag(rng.uniform(0.2, 2.0, n)), 0.8),
        "gram": gram_set(P, 0.8),
        "tanh": incremental_set(P, q, (0.0, 1.0), 0.8),
        "leaky below": incremental_set(P, q, (-0.5, 1.0), 0.8),
        "leaky above": incremental_set(P, q, (0.3, 1.0), 0.8),
        "sin": incremental_set(P, q, (-1.0, 1.0), 0.8),
    }


NAMES = tuple(sets(0, 2))
every_set = pytest.mark.parametrize("name", NAMES)


def norm_in(where, W):
    return np.linalg.norm(where.inward(W), 2)


@every_set
@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_cvxpy_agrees(name, n):
    where = sets(n, n)[name]
    W = np.random.default_rng(n + 1).standard_normal((n, n)) * 2
    found = metric_ball(W, where, accuracy=1e-9)
    solved = oracle.metric(W, where)
    distance = np.linalg.norm(found.W - W)
    assert distance == pytest.approx(solved.value, rel=1e-5, abs=1e-7)
    assert norm_in(where, found.W) <= 0.8 * (1 + 1e-10)
    # positive slopes have no half space that is known without rounding
    assert found.lower <= distance
    assert name == "leaky above" or found.lower >= distance * (1 - 1e-7) - 1e-12
    # the retraction is a member, and no nearer
    clipped = clip_in_metric(W, where)
    assert norm_in(where, clipped) <= 0.8 * (1 + 1e-10)
    assert np.linalg.norm(clipped - W) >= distance * (1 - 1e-8)


@every_set
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 5))
def test_variational_inequality_and_expansion(name, seed, n):
    where = sets(seed, n)[name]
    rng = np.random.default_rng(seed)
    W, V = rng.standard_normal((2, n, n)) * 3
    near, other = (metric_ball(A, where, accuracy=1e-10).W for A in (W, V))
    # a relative gap of g leaves an error of sqrt(2 g) of the distance in the point
    slack = 2e-5 * (np.linalg.norm(W) + np.linalg.norm(V))
    assert np.linalg.norm(near - other) <= np.linalg.norm(W - V) + slack
    for M in rng.standard_normal((5, n, n)):
        M = where.outward(where.inward(M) * (0.8 / norm_in(where, M)))
        assert np.sum((W - near) * (M - near)) <= slack * (np.linalg.norm(M) + np.linalg.norm(W))


def test_clipping_is_not_the_nearest_point():
    where = gram_set(np.diag([4.0, 1.0]), 0.5)
    W = np.array([[0.0, 3.0], [0.0, 0.0]])
    # only w_12 moves: the norm of its scaled entry is 2 |w_12|
    assert pytest.approx(np.array([[0.0, 0.25], [0.0, 0.0]])) == metric_ball(W, where).W
    W = np.array([[1.0, 3.0], [1.0, 1.0]])
    near = np.linalg.norm(metric_ball(W, where).W - W)
    assert np.linalg.norm(clip_in_metric(W, where) - W) > near * 1.001


FAMILIES = {
    "gram": lambda P, _: GramFamily(root=np.linalg.cholesky(P).T, radius=0.8),
    "diagonal": lambda _, q: DiagonalFamily(log=np.log(q), radius=0.8),
    **{
        f"slopes {low}": lambda P, q, low=low: IncrementalFamily(
            root=np.linalg.cholesky(P).T, q=q, slopes=(low, 1.0), radius=0.8
        )
        for low in (0.0, -0.5, 0.3)
    },
}


@pytest.mark.parametrize("name", FAMILIES)
def test_gradient_over_the_metric(name):
    rng = np.random.default_rng(2)
    n = 5
    P = gram(rng, n, 0.5)
    family = FAMILIES[name](P, np.linalg.eigvalsh(P)[-1] * rng.uniform(1.0, 2.0, n))
    W = rng.standard_normal((n, n))

    def value(x):
        where, pull = family.at(x)
        found = metric_ball(W, where, accuracy=1e-13)
        return 0.5 * np.sum((found.W - W) ** 2), pull(multiplier(found, where), found.W)

    zero, d, e = np.zeros(family.size()), rng.standard_normal(family.size()), 1e-5
    slope = (value(e * d)[0] - value(-e * d)[0]) / (2 * e)
    assert value(zero)[1] @ d == pytest.approx(slope, rel=2e-4, abs=1e-6)
    # moving the coordinates moves nothing else
    x = 1e-2 * d
    moved = family.moved(x)
    there = moved.at(np.zeros(moved.size()))[0]
    assert norm_in(there, W) == pytest.approx(norm_in(family.at(x)[0], W))


def test_no_family_has_a_metric():
    bad = GramFamily(root=np.diag([1.0, 1e-30]), radius=0.5)
    assert best_metric(np.eye(2), [bad]) is None


# ------------------------------------------------------------------------------------ through maps


def network(seed, n, rho="tanh", size=1.5):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((n, n))
    return VanillaRNN(W * size / np.linalg.norm(W, 2), np.eye(n), activation=rho)


@pytest.mark.parametrize("rho", ["tanh", "sin", "sigmoid", leaky_relu(-0.5), leaky_relu(0.3)])
@pytest.mark.parametrize("onto", ["lmi", "diagonal"])
def test_nearer_than_the_spectral_ball(rho, onto):
    cell = network(3, 6, rho, 6.0 if rho == "sigmoid" else 1.5)
    found = project(cell, onto=onto, rate=0.9)
    plain = project(cell, onto="spectral", rate=0.9)
    assert found.lower <= found.distance <= plain.distance
    assert found.certificate.lam <= 0.9
    assert found.certificate.evidence.kind == "certified"
    if onto == "lmi" and rho != "sin":
        assert found.distance < 0.9 * plain.distance


def test_two_units_by_hand():
    # of the slope vertices 1, the diagonal alone: |w_11| <= rate is necessary and, the other
    # entries of one sign being free, nearly sufficient
    cell = VanillaRNN([[2.0, 0.0], [0.0, 0.5]], np.eye(2))
    found = project(cell, onto="lmi", rate=0.9)
    assert found.distance == pytest.approx(1.1, rel=1e-6)
    assert found.lower == pytest.approx(1.1, rel=1e-9)


def test_a_given_metric_stays():
    cell = network(4, 6)
    first = project(cell, onto="lmi", rate=0.9)
    again = project(cell, onto="lmi", rate=0.9, metric=first.certificate)
    assert again.distance == pytest.approx(first.distance, rel=1e-4)
    assert again.lower >= again.distance * (1 - 1e-4)
    member = project(again.map, onto="lmi", rate=0.9, metric=first.certificate)
    assert member.distance == 0.0
    assert member.map is again.map
    clipped = project(cell, onto="lmi", rate=0.9, metric=first.certificate, method="closed_form")
    assert "retraction" in clipped.method
    assert clipped.distance >= again.distance * (1 - 1e-6)
    assert clipped.certificate.lam <= 0.9


def test_given_weights():
    d = np.array([1.0, 2.0, 0.5])
    cell = network(5, 3)
    found = project(cell, onto="diagonal", rate=0.8, weights=d)
    scaled = found.map.W * d[:, None] / d[None, :]
    assert np.linalg.norm(scaled, 2) <= 0.8
    assert found.gap < 1e-4
    solved = project(cell, onto="diagonal", rate=0.8, weights=d, method="cvxpy")
    assert solved.method.startswith("cvxpy")
    assert solved.distance == pytest.approx(found.distance, rel=1e-5)


def test_certified_cells_are_members():
    cell = network(6, 5, size=0.5)
    for onto in ("lmi", "diagonal", "spectral", "linf", "l1"):
        found = project(cell, onto=onto, rate=0.999)
        # row sums of a matrix of norm 1/2 may exceed 1
        assert found.map is cell or onto in {"linf", "l1"}
    assert contraction(cell).lam < 0.999


def test_linear_maps_have_no_slope_interval():
    with pytest.raises(ValueError, match="schur"):
        project(LinearMap([[2.0]], [[1.0]]), onto="lmi", rate=0.5)


@pytest.mark.parametrize("onto", ["diagonal", "lmi"])
def test_what_a_search_over_metrics_returns_is_a_member(onto):
    # the metric found is not known to the second projection; it moved W by 1e-4 of the distance
    for seed in (0, 2):
        W = np.random.default_rng(seed).standard_normal((8, 8))
        W *= 1.5 / np.linalg.norm(W, 2)
        found = project(VanillaRNN(W, np.eye(8)), onto=onto, rate=0.9)
        again = project(found.map, onto=onto, rate=0.9)
        assert again.map is found.map
        assert again.distance == 0.0
        assert again.certificate.lam <= 0.9


def test_a_contraction_at_another_rate_is_no_member():
    # it was returned as one, with a certificate of 0.95
    found = project(VanillaRNN(0.95 * np.eye(2), np.eye(2)), onto="diagonal", rate=0.9)
    assert found.certificate.lam <= 0.9
    assert found.distance == pytest.approx(0.05 * np.sqrt(2), rel=1e-4)
