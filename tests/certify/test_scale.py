"""Badly scaled and large maps: no unit of measurement and no dimension is worse than another."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from theory import GRU, DiagonalSSM, Inputs, LinearMap, VanillaRNN, WeightedL2, contraction
from theory.arithmetic.rigor import operator_norm_upper
from theory.certify import (
    certificate_file,
    contractions,
    find_certificates,
    gate_bounds,
    invariant_domain,
    lmi,
    rate_lower,
    recheck,
)
from theory.certify.methods import EFFORTS, left_out, run_methods
from theory.certify.metric import by_metric
from theory.certify.search import by_incremental_lmi, in_best_units, prepare
from theory.maps import Block, Dense, leaky_relu
from theory.memory import required_context, smallest_error
from theory.theorems.contractive_of_perron_weights import perron_weights


def cell(W, rho="tanh"):
    return VanillaRNN(W, np.eye(len(W)), activation=rho)


def rescaled(W, exponents):
    """Return D^-1 W D for D = 10**exponents, as doubles."""
    D = 10.0**exponents
    return W / D[:, None] * D[None, :]


# ------------------------------------------------------------------------------------ bad scaling


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 6),
    span=st.sampled_from([1, 4, 8, 20, 60]),
    rho=st.sampled_from(["tanh", "identity", "sin", leaky_relu(-0.4)]),
)
@example(seed=345494, n=2, span=8, rho="tanh")  # no Perron weights within the limit had a rate
@example(seed=357, n=4, span=4, rho="tanh")  # one search ended on a ridge, 2.5e-4 above the other
@settings(max_examples=12)
def test_units_do_not_matter(seed, n, span, rho):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((n, n))
    W *= 0.9 / np.linalg.norm(W, 2)
    methods = ("perron", "diagonal", "lmi", "lyapunov")
    plain, scaled = (
        contractions(cell(one, rho), methods=methods)
        for one in (W, rescaled(W, rng.uniform(-span, span, n)))
    )
    for name in plain:
        # searches start at different weights, of which the best ones are within about 1e-5
        assert scaled[name].lam <= plain[name].lam * (1 + 1e-4), name
    best = [min(c.lam for c in found.values()) for found in (plain, scaled)]
    assert best[1] <= best[0] * (1 + 1e-4)


@pytest.mark.parametrize("span", [8, 60])
def test_a_badly_scaled_network_is_certified_as_well(span):
    rng = np.random.default_rng(5)
    n = 6
    W = rng.standard_normal((n, n))
    W *= 0.95 / np.linalg.norm(W, 2)
    D = rng.uniform(-span, span, n)
    one, other = cell(W), cell(rescaled(W, D))
    c = contraction(other)
    assert c.lam <= contraction(one).lam * (1 + 1e-6)
    assert c.lam >= rate_lower(other).rate
    # the norm is of the form that files and bounds know
    stored = certificate_file.certificate_from_dict(certificate_file.certificate_to_dict(other, c))
    assert recheck(stored, other)
    assert not recheck(stored, cell(rescaled(W * 1.5, D)))
    if span == 8:
        found = find_certificates(other, Inputs.box(-1, 1))
        assert required_context(other, 1e-3, inputs=found.inputs, certificates=found).k < 2000


def test_scaling_by_powers_of_two_is_exact():
    rng = np.random.default_rng(0)
    W = rng.standard_normal((7, 7))
    e = rng.integers(-300, 300, 7)
    scaled = np.ldexp(W, e[None, :] - e[:, None])
    problem, _ = prepare(cell(scaled).affine())
    best, units = in_best_units(problem)
    assert np.array_equal(np.ldexp(best.W, units[:, None] - units[None, :]), problem.W)
    assert np.max(np.abs(best.W)) < 64 * np.min(np.abs(best.W)) * np.max(np.abs(W)) / np.min(
        np.abs(W)
    )
    # a reducible W has no best units: they stay in range all the same
    nilpotent, units = in_best_units(prepare(cell([[1e-300, 1.0], [0.0, 1e-300]]).affine())[0])
    assert np.isfinite(nilpotent.W).all()
    assert np.max(np.abs(units)) <= 240


def test_a_gram_matrix_may_have_any_units():
    rng = np.random.default_rng(1)
    e = rng.integers(-200, 200, 5)
    root = rng.standard_normal((5, 5))
    P = root @ root.T + 5 * np.eye(5)
    A = rng.standard_normal((5, 5))
    plain, norm = WeightedL2(P), WeightedL2(np.ldexp(P, -e[:, None] - e[None, :]))
    h = rng.standard_normal(5)
    assert norm.vector(np.ldexp(h, e)) == pytest.approx(plain.vector(h), rel=1e-12)
    # powers of two are exact: both are the same problem
    E = e[:, None] - e[None, :]
    assert norm.matrix_upper(np.ldexp(A, E)) == plain.matrix_upper(A)
    assert norm.condition_upper >= 1
    truth = np.linalg.norm(
        np.ldexp(np.eye(5), e[:, None]) @ np.linalg.inv(np.linalg.cholesky(P)).T, 2
    )
    assert truth * (1 - 1e-9) <= norm.companion_over(5) <= truth * (1 + 1e-9)
    # no Gram matrix at all, whose entries in these units exceed the largest double
    with pytest.raises(ValueError, match="not provably positive definite"):
        WeightedL2([[2.0**-1060, 1.0], [1.0, 2.0**-1060]])
    # what underflows does not count as nothing
    assert operator_norm_upper(np.diag([1.0, 5e-324]), None, np.diag([1.0, 2.0**-1000])) >= 1.0


def test_perron_weights_in_any_units():
    rng = np.random.default_rng(2)
    W = rng.uniform(0.5, 1, (4, 4))
    e = np.array([-40, 0, 30, 60])
    v = perron_weights(np.ldexp(W, e[None, :] - e[:, None]))
    plain = np.ldexp(v, e)
    assert np.max(W @ plain / plain) == pytest.approx(
        float(np.max(np.real(np.linalg.eigvals(W)))), rel=1e-9
    )
    # beyond 256 units by power iteration: cyclic matrices too
    n = 300
    cycle = np.roll(np.diag(rng.uniform(0.5, 2, n)), 1, axis=1)
    v = perron_weights(cycle)
    assert np.max(cycle @ v / v) < np.max(cycle)
    dense = rng.uniform(0, 1, (n, n))
    v = perron_weights(dense)
    assert np.max(dense @ v / v) == pytest.approx(
        np.max(np.abs(np.linalg.eigvals(dense))), rel=1e-9
    )


def test_linear_maps_in_any_units():
    rng = np.random.default_rng(3)
    A = rng.standard_normal((6, 6))
    A *= 0.9 / np.max(np.abs(np.linalg.eigvals(A)))
    c = contraction(LinearMap(rescaled(A, rng.uniform(-8, 8, 6)), np.ones((6, 1))))
    assert 0.9 * (1 - 1e-9) <= c.lam <= 0.9 * (1 + 1e-4)


# ------------------------------------------------------------------------------------------- large


def gaussian(n, seed=0, size=0.9):
    return size * np.random.default_rng(seed).standard_normal((n, n)) / (2 * np.sqrt(n))


def test_more_work_gives_no_worse_a_rate_and_none_at_all_a_good_one():
    form = cell(gaussian(40)).affine()
    one = lmi._WORK_OF_ONE * 40.0**3
    rates = [by_incremental_lmi(form, work=count * one).lam for count in (0, 15, 40, 1000)]
    plain = contraction(cell(gaussian(40)), method="numerical_radius").lam
    assert rates[0] <= plain * 1.01
    for less, more in itertools.pairwise(rates):
        assert more <= less * (1 + 1e-4)
    assert rates[-1] < 0.98 * rates[0]


def test_no_cliff_between_256_and_257_units():
    W = gaussian(256)
    padded = np.zeros((257, 257))
    padded[:256, :256], padded[256, 256] = W, 0.25
    limits = EFFORTS[1]
    assert min(limits["numerical_radius"], limits["lmi"]) > 257
    rates = [contraction(cell(A), method="numerical_radius").lam for A in (W, padded)]
    assert rates[1] <= rates[0] * (1 + 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("n", [257, 512])
def test_large_networks_are_certified_sharply(n):
    one = cell(gaussian(n, size=0.95))
    found = run_methods(one, 1)
    assert {"numerical_radius", "lmi"} <= set(found)
    assert found["lmi"].lam <= found["numerical_radius"].lam * (1 - 1e-3)
    lower = rate_lower(one).rate
    assert 0.8 * found["lmi"].lam < lower < found["lmi"].lam


def test_what_is_left_out_is_named():
    one = cell(gaussian(1025))
    assert left_out(one, 1) == ["lyapunov", "numerical_radius", "diagonal", "lmi", "iterate"]
    assert left_out(one, 2) == []
    assert left_out(cell(gaussian(70)), 1) == ["diagonal", "iterate"]


# ------------------------------------------------- beyond the largest double; warnings are errors


@pytest.mark.parametrize("variant", ["reset_before", "reset_after"])
@pytest.mark.parametrize("gates", ["rzn", "n"])
def test_gates_beyond_the_largest_double_are_no_certificate(variant, gates):
    W = 1e308 * np.repeat([float(g in gates) for g in "rzn"], 2)[:, None] * np.ones(2)
    assert gate_bounds.certify(GRU(W, np.ones((6, 1)), variant=variant), 1.0) is None


def test_lengths_beyond_the_largest_double_are_unknown():
    assert cell(np.full((2, 2), 1e200)).group_comparison() is None


def test_a_search_that_loses_all_digits_finds_nothing():
    """I - D is singular as computed; and slopes of 0 leave a level of 0, which has no logarithm."""
    gru = GRU([[-8.7e159], [3e19], [-1.2e300]], np.ones((3, 1)), variant="reset_before")
    assert by_metric(gru, invariant_domain(gru, inputs=Inputs.box(-1, 1))) is None
    still = VanillaRNN([[0.4, 1e-5], [-3e3, -0.5]], np.ones((2, 1)), [-1e159, 1e159])
    assert contraction(still, inputs=Inputs.box(-1, 1)).lam < 1e-300


def test_outputs_in_huge_units_have_their_error():
    layer = DiagonalSSM([0.0, 0.3j, 0.2], [[1.0], [1j], [2.0]])
    errors = [
        smallest_error(
            Block(layer, after=Dense([[size] * 6 + [0.0]])), 5, inputs=Inputs.box(-1, 1), effort=0
        ).error
        for size in (1.0, 1e160)
    ]
    assert errors[1] <= 1e160 * errors[0] * (1 + 1e-9)
