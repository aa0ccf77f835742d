"""certify: nothing is certified that a lower value or a pair of states contradicts."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings, target
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from theory import (
    GRU,
    L1,
    L2,
    CallableMap,
    Inputs,
    LinearMap,
    Linf,
    VanillaRNN,
    WeightedL2,
    WeightedLinf,
    contraction,
)
from theory.arithmetic.rounding import UNIT
from theory.certify import METHODS, contractions
from theory.certify.methods import ITERATED
from theory.maps import activation
from theory.theorems.contractive_of_perron_weights import LARGEST_RATIO
from theory.typing import Array

#: The published negative example of Yildiz, Jaeger and Kiebel (2012): spectral radius 0.977, and
#: yet two attractors besides 0.
YILDIZ = np.array([[0.0, 10.0], [-0.012, 1.1]])
SKEW = np.array([[0.5, 4.0], [0.01, 0.5]])
RHO = [
    "identity",
    "tanh",
    "relu",
    "leaky_relu(0.2)",
    "leaky_relu(-2.0)",
    "sigmoid",
    "softplus",
    "hard_tanh",
    "sin",
]

weights = hnp.array_shapes(min_dims=1, max_dims=1, max_side=4).flatmap(
    lambda s: hnp.arrays(
        np.float64,
        (*s, *s),
        elements=st.one_of(
            st.floats(-1.0, 1.0), st.sampled_from([0.0, 0.25, -0.5, 1.0, 1e-8, 1e3, 1e-300])
        ),
    )
)


def rnn(W: Array, name: str = "tanh") -> VanillaRNN:
    return VanillaRNN(W, np.eye(len(W)), activation=name)


# ----------------------------------------------------------------------------------------- oracles


def test_the_perron_certificate_of_a_badly_scaled_matrix():
    found = contractions(rnn(SKEW))
    # the numerical radius of W in units that balance it
    assert set(found) == {"perron", "numerical_radius", "diagonal", "lmi"}
    assert contractions(rnn(SKEW), iterates=True)["iterate"].iterate > 1
    c = found["perron"]
    assert 0.7 <= c.lam <= 0.7 + 1e-9
    assert (c.norm.v / c.norm.v.min()).round(6).tolist() == [20.0, 1.0]
    assert str(c.evidence) == "certified (Perron weights)"
    assert L2().matrix_lower(SKEW) == pytest.approx(4.0617, abs=1e-4)
    # the certificate is a vector: its check is one exact product
    v = [Fraction(x) for x in c.norm.v.tolist()]
    for row, weight in zip(SKEW.tolist(), v, strict=True):
        assert (
            sum(Fraction(abs(a)) * y for a, y in zip(row, v, strict=True))
            <= Fraction(c.lam) * weight
        )


def test_a_small_spectral_radius_is_no_certificate():
    assert np.max(np.abs(np.linalg.eigvals(YILDIZ))) == pytest.approx(0.9772, abs=1e-4)
    assert contractions(rnn(YILDIZ), iterates=True) == {}
    assert contraction(rnn(YILDIZ)) is None
    # rightly so: there are fixed points besides 0
    h = np.array([1.0, 0.5])
    for _ in range(500):
        h = np.tanh(YILDIZ @ h)
    np.testing.assert_allclose(h, [0.99969, 0.43837], atol=1e-5)
    # with a slope of 1/4 it is a contraction
    one = rnn(YILDIZ, "sigmoid")
    assert contraction(one, method="perron").lam == pytest.approx(1.2 / 4, rel=1e-6)
    # monotone: slopes of one sign only, so less than for slopes in [-1/4, 1/4]
    assert 1.1 / 4 < contraction(one).lam < 1.1 / 4 * (1 + 1e-5)


@pytest.mark.parametrize(
    ("W", "expected"),
    [
        ([[0.5, 0.25], [0.0, 0.5]], {"row_sums": 0.75, "column_sums": 0.75}),
        ([[0.5, 0.5], [0.0, 0.25]], {"row_sums": 1.0, "column_sums": 0.75}),
        ([[0.0, 0.9], [0.9, 0.0]], {"row_sums": 0.9, "column_sums": 0.9, "spectral": 0.9}),
        ([[0.0]], {"row_sums": 0.0, "column_sums": 0.0, "spectral": 0.0, "perron": 0.0}),
    ],
)
def test_simple_norms_are_exact(W, expected):
    found = contractions(rnn(np.array(W)))
    for name, lam in expected.items():
        assert (found[name].lam == lam) if lam < 1 else (name not in found)


@pytest.mark.parametrize("name", RHO)
def test_the_slope_of_the_activation_counts(name):
    slope = activation(name).lipschitz
    W = np.diag([0.5, 0.25])
    found = contractions(rnn(W / slope, name))
    for method, c in found.items():
        # a search stops within 2e-6 of its infimum
        assert 0.5 <= c.lam <= 0.5 * (1 + 1e-5), method
    assert contraction(rnn(np.eye(2) / slope, name)) is None
    linear = {"lyapunov"} if name == "identity" else {"lmi", "numerical_radius"}
    always = {"row_sums", "column_sums", "spectral", "perron", "diagonal"}
    # with slopes in [-1.5, 1] and the like Q = I alone may be too coarse
    assert always | linear - {"numerical_radius"} <= set(found)


def test_the_edge_of_one():
    just_below = 1 - UNIT
    assert contraction(LinearMap([[just_below]], [[1.0]])).lam == just_below
    assert contraction(LinearMap([[1.0]], [[1.0]])) is None
    assert contraction(LinearMap([[-1.0]], [[1.0]])) is None
    assert contraction(LinearMap([[np.nextafter(1.0, 2.0)]], [[1.0]])) is None
    # row sums 1 + 2**-60: no double, and not below 1
    assert (
        contraction(LinearMap([[1.0 - UNIT, UNIT * 1.01], [0.0, 0.0]], np.eye(2)), norm=Linf())
        is None
    )


# -------------------------------------------------------------------------------------- choosing


@given(weights, st.sampled_from(RHO))
# entries across the range of doubles: weights further apart than a double, squares that vanish
@example(W=np.array([[0, 0, 1e-300, 0], [0, 2e-175, 0, 1], [1, 0, 0, 0], [0.0] * 4]), name="tanh")
@example(W=np.array([[0.0, 1e-21, 5e-161], [9e-301, 0, 2e-308], [2e-308, 0, 0.25]]), name="tanh")
@example(
    W=np.array([[0, 0.1, 1e3], [-1e-310, -1e-310, 6e-21], [0, -1e-310, 1e-300]]),
    name="leaky_relu(-2.0)",
)
def test_auto_is_the_smallest(W, name):
    found = contractions(rnn(W, name))
    best = contraction(rnn(W, name))
    if not found:
        assert best is None or best.iterate > 1
        return
    # "auto" stops as soon as no norm can do better by more than a relative 2**-30; beside a
    # defective W that is an eigenvalue routine's opinion
    least = min(c.lam for c in found.values())
    assert least <= best.lam <= least * (1 + 1e-6) + 1e-12
    # of equal ones the first, that is the one in an unweighted norm
    first = next(c for c in found.values() if c.lam == best.lam)
    assert best.norm.label == first.norm.label


@given(weights, st.sampled_from(RHO))
@settings(max_examples=15)
def test_a_method_may_be_asked_for(W, name):
    found = contractions(rnn(W, name))
    for method in set(METHODS) - set(ITERATED):
        one = contraction(rnn(W, name), method=method)
        assert (one is None) == (method not in found)
        if one is not None:
            assert (one.lam, one.norm.label) == (found[method].lam, found[method].norm.label)


def test_a_norm_may_be_asked_for():
    model = rnn(SKEW)
    for norm in (L1(), L2(), Linf()):
        assert contraction(model, norm=norm) is None
    c = contraction(model, norm=WeightedLinf([20.0, 1.0]))
    assert c.lam == pytest.approx(0.7)
    assert c.evidence.method == "matrix norm in Linf,v"
    diagonal = contraction(model, norm=WeightedL2(np.diag([1 / 400.0, 1.0])))
    assert diagonal.lam == pytest.approx(0.7)
    with pytest.raises(ValueError, match=r"Linf,v is a norm on R\^3, needed one on R\^2"):
        contraction(model, norm=WeightedLinf([1.0, 1.0, 1.0]))


def test_a_norm_that_is_not_monotone_certifies_linear_maps_only():
    norm = WeightedL2([[1.0, 0.9], [0.9, 1.0]])
    W = np.array([[0.5, 0.0], [0.0, -0.01]])
    assert norm.matrix_upper(0.1 * W) < 1
    assert contraction(rnn(0.1 * W), norm=norm) is None
    assert contraction(rnn(0.1 * W, "relu"), norm=norm) is None
    assert contraction(rnn(0.1 * W, "identity"), norm=norm).lam == norm.matrix_upper(0.1 * W)
    assert contraction(rnn(0.1 * W, "leaky_relu(1.0)"), norm=norm) is not None


@pytest.mark.parametrize("method", ["", "Spectral", "LMI", None])
def test_unknown_methods_are_answered_with_the_known_ones(method):
    message = r"is not known, needed one of: auto, row_sums, column_sums, spectral, perron"
    with pytest.raises(ValueError, match=message):
        contraction(rnn(SKEW), method=method)
    with pytest.raises(ValueError, match=message):
        contraction(rnn(SKEW), method=method, norm=L2())
    with pytest.raises(ValueError, match=message.replace("auto, ", "")):
        contractions(rnn(SKEW), methods=["lmi", method])


def test_methods_may_be_chosen():
    every = contractions(rnn(0.5 * SKEW))
    some = contractions(rnn(0.5 * SKEW), methods=("lmi", "lyapunov", "perron"))
    assert set(some) == {"lmi", "perron"} <= set(every)
    assert all(c.lam == every[name].lam for name, c in some.items())
    assert contractions(rnn(0.5 * SKEW), methods=()) == {}
    assert set(contractions(rnn(0.5 * SKEW), methods=iter(["lmi", "perron"]))) == {"lmi", "perron"}


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ("lmi", r"methods='lmi' is a text, needed names such as \['lmi'\]"),
        (3, "methods=3, needed names"),
        ([["lmi"]], r"method \['lmi'\] is not known"),
        (["lmi", "iterate"], "'iterate' takes several steps together: pass iterates=True"),
    ],
)
def test_methods_that_are_no_names_are_refused(methods, message):
    with pytest.raises(ValueError, match=message):
        contractions(rnn(SKEW), methods=methods)


def test_an_iterate_alone_is_that_of_the_sharpest_method():
    gru = GRU([[0.1], [0.1], [0.3]], [[0.2], [0.1], [0.3]], np.zeros(3))
    whole = contractions(gru, inputs=Inputs.box(-1, 1), iterates=True)["iterate"]
    alone = contractions(gru, inputs=Inputs.box(-1, 1), methods=["iterate"], iterates=True)
    assert alone["iterate"].iterate <= whole.iterate


def test_of_a_function_nothing_is_certified():
    model = CallableMap(lambda h, x: 0.0 * h + x, 1, 1)
    assert contractions(model) == {}
    assert contraction(model) is None
    assert contraction(model, norm=Linf()) is None


# ------------------------------------------------------------------------------ never contradicted


@given(weights, st.sampled_from(RHO))
def test_no_certificate_is_below_a_lower_value(W, name):
    slope = activation(name).lipschitz
    radius = float(np.max(np.abs(np.linalg.eigvals(W))))
    for method, c in contractions(rnn(W, name)).items():
        assert c.evidence.kind == "certified"
        assert c.iterate == 1
        assert 0 <= c.lam < 1
        assert slope * c.norm.matrix_lower(W) <= c.lam * (1 + 2 * UNIT), method
        # every norm is above the spectral radius; LAPACK's eigenvalues of defective matrices of
        # order n err by up to the n-th root of the unit roundoff
        n = len(W)
        error = (n * UNIT) ** (1 / n) * max(1.0, float(np.max(np.abs(W))))
        assert slope * radius <= c.lam + 4 * slope * error, method
    plain = {"row_sums": np.inf, "column_sums": 1, "spectral": 2}
    for method, order in plain.items():
        c = contraction(rnn(W, name), method=method)
        lower = slope * float(np.linalg.norm(W, order))
        assert c is not None or lower >= 1 - 1e-9
        assert c is None or c.lam >= lower * (1 - 8 * len(W) * UNIT)


@given(weights, st.sampled_from(RHO), st.integers(0, 2**32 - 1))
def test_no_certificate_is_contradicted_by_a_pair_of_states(W, name, seed):
    model = rnn(W, name)
    rng = np.random.default_rng(seed)
    n = len(W)
    h = rng.standard_normal((40, n)) * rng.choice([1e-3, 1.0, 10.0], (40, 1))
    g = h + rng.choice([-1.0, 1.0], (40, n)) * rng.choice([1e-2, 1.0, 30.0], (40, 1))
    x = rng.standard_normal((40, n))
    share = 0.0
    for c in contractions(model).values():
        before, after = c.norm.vector(g - h), c.norm.vector(model.step(g, x) - model.step(h, x))
        size = np.max(np.abs(np.vstack([g, h])), axis=0)
        # both steps and both differences are rounded
        error = 2 * c.norm.majorant(model.step_error(size, np.max(np.abs(x), axis=0)))
        error += 2 * c.norm.majorant(4 * UNIT * (size + 1.0))
        slack = 1 + 4 * c.norm.vector_rounding(n)
        assert (after <= c.lam * before * slack + error).all()
        if c.lam > 1e-3:
            share = max(share, float(np.max((after - error) / before)) / c.lam)
    target(share, label="share of the factor")


@given(hnp.arrays(np.float64, (3, 3), elements=st.floats(0.05, 1.0)))
def test_the_perron_rate_is_the_spectral_radius_of_positive_weights(W):
    radius = float(np.max(np.real(np.linalg.eigvals(W))))
    c = contraction(rnn(W * (0.9 / radius)), method="perron")
    # an exact eigenvector gives the radius; the shift of at most 2**-40 and LAPACK move it a little
    assert c.lam == pytest.approx(0.9, rel=1e-9)
    assert c.lam <= min(x.lam for x in contractions(rnn(W * (0.9 / radius))).values()) * (1 + 1e-9)


def test_weights_of_a_reducible_matrix_stay_within_their_ratio():
    W = np.array([[0.5, 1e6], [0.0, 0.5]])
    c = contraction(rnn(W), method="perron")
    assert 0.5 < c.lam < 1
    assert c.norm.v.max() / c.norm.v.min() <= LARGEST_RATIO
    # where no weights within the ratio would do, the units are at fault
    scaled = contraction(rnn(W * np.array([[1, 1e9], [1, 1]])), method="perron")
    assert 0.5 < scaled.lam < 0.6
    assert scaled.norm.v.max() / scaled.norm.v.min() > LARGEST_RATIO


@given(weights)
def test_permuting_and_signing_the_units_changes_no_factor(W):
    n = len(W)
    P = np.eye(n)[::-1] * np.where(np.arange(n) % 2, -1.0, 1.0)
    for method in ("row_sums", "column_sums"):
        here = contraction(rnn(W, "sin"), method=method)
        there = contraction(rnn(P @ W @ P.T, "sin"), method=method)
        assert (here is None) == (there is None)
        assert here is None or here.lam == there.lam


# ----------------------------------------------------------------------------------------- required


def test_required_answers_as_without():
    cell = VanillaRNN([[0.5]], [[1.0]])
    c = contraction(cell, required=True)
    assert c.lam == contraction(cell).lam
    assert contraction(VanillaRNN([[2.0]], [[1.0]]), required=False) is None


def test_required_says_what_was_tried_and_what_to_try():
    wild = VanillaRNN([[2.0]], [[1.0]])
    with pytest.raises(ValueError, match="required=True") as caught:
        contraction(wild, required=True)
    message = str(caught.value)
    assert message.startswith("VanillaRNN(n=1, m=1, activation='tanh') has no certificate by ")
    assert "row_sums, column_sums, spectral, perron, " in message
    assert "comparison" not in message
    for advice in ("inputs=", "effort=2", "judge_contraction", "reach_tube", "theory.project"):
        assert advice in message, advice
    with pytest.raises(ValueError, match="no certificate by spectral") as caught:
        contraction(wild, method="spectral", inputs=Inputs.box(-0.1, 0.1), required=True)
    assert "theory.Inputs" not in str(caught.value)
    assert 'method="auto"' in str(caught.value)
    with pytest.raises(ValueError, match="no certificate by the matrix norm of L2"):
        contraction(wild, norm=L2(), required=True)


def test_required_names_the_methods_of_gated_maps():
    cell = GRU(np.full((3, 1), 9.0), np.ones((3, 1)))
    with pytest.raises(
        ValueError, match="by gate_norms, delta_iss, comparison, euclidean, metric, iterate"
    ):
        contraction(cell, required=True, inputs=Inputs.box(-1, 1))


def test_required_is_true_or_false():
    with pytest.raises(ValueError, match="required='yes', needed True or False"):
        contraction(VanillaRNN([[0.5]], [[1.0]]), required="yes")
