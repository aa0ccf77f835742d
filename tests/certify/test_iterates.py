"""Several steps together: the least number of them, other norms, and the context they need."""

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
    WeightedLinf,
    contraction,
    required_context,
    truncation_gaps,
)
from theory.certify import contractions, iterate_in_norm
from theory.certify.methods import run_methods
from theory.memory import context_length_iterate, smallest_error
from theory.norms import over
from theory.norms.products import product_upper
from theory.theorems import context_length, contractive_of_iterate, state_gap_blocks

MONE = np.array([[0.9, -1.0], [0.5, -0.9]])
SHIFT = np.array([[0.9, 5.0], [0.0, 0.9]])


def gaussian(n, size=1.2, seed=0):
    W = np.random.default_rng(seed).standard_normal((n, n))
    return W * (size / np.linalg.norm(W, 2))


# ------------------------------------------------------------------------------ the least iterate


def test_oracles():
    # B.4
    c = contraction(LinearMap(SHIFT, np.eye(2)), method="iterate")
    assert (c.iterate, str(c.norm)) == (55, "L2")
    c = contraction(VanillaRNN(MONE, np.eye(2)), method="iterate")
    assert c.iterate == 6
    assert c.lam == pytest.approx(0.908787, abs=1e-6)
    assert c.evidence.kind == "certified"


def test_one_step_if_that_contracts():
    c = contraction(VanillaRNN(0.4 * MONE, np.eye(2)), method="iterate")
    assert c.iterate == 1
    assert c.lam == pytest.approx(contraction(VanillaRNN(0.4 * MONE, np.eye(2)), norm=L2()).lam)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_the_least_number_of_steps_of_a_linear_map(seed, n):
    rng = np.random.default_rng(seed)
    A = np.triu(rng.standard_normal((n, n)), 1) * 3 + np.diag(rng.uniform(-0.9, 0.9, n))
    for norm in (L2(), Linf()):
        c = contraction(LinearMap(A, np.eye(n)), method="iterate", norm=norm)
        order = 2 if isinstance(norm, L2) else np.inf
        sizes = [np.linalg.norm(np.linalg.matrix_power(A, r), order) for r in range(1, c.iterate)]
        assert all(size > 1 - 1e-9 for size in sizes)
        assert c.lam >= np.linalg.norm(np.linalg.matrix_power(A, c.iterate), order) * (1 - 1e-12)


def test_linear_maps_of_any_size():
    A = np.triu(np.full((64, 64), 0.2), 1) + 0.5 * np.eye(64)
    c = contraction(LinearMap(A, np.eye(64)), method="iterate")
    assert 1 < c.iterate < 200
    assert np.linalg.norm(np.linalg.matrix_power(A, c.iterate), 2) <= c.lam < 1
    assert np.linalg.norm(np.linalg.matrix_power(A, c.iterate - 1), 2) > 1


def test_what_no_iterate_certifies():
    for W in ([[0.0, 10.0], [-0.012, 1.1]], [[1.0]], 2 * np.eye(2)):
        assert contraction(VanillaRNN(W, np.eye(len(W))), method="iterate") is None
    for A in ([[1.0]], [[0.0, 1.0], [-1.0, 0.0]], [[1.01, 0.0], [0.0, 0.1]]):
        assert contraction(LinearMap(A, np.eye(len(A))), method="iterate") is None


def test_auto_prefers_a_single_step():
    # most bounds ask for one; several steps are only the answer where there is no other
    single = contraction(VanillaRNN(MONE, np.eye(2)))
    assert single.iterate == 1
    assert "iterate" not in run_methods(VanillaRNN(MONE, np.eye(2)), 1)
    assert "iterate" in run_methods(VanillaRNN(MONE, np.eye(2)), 1, iterates=True)
    assert "iterate" not in contractions(VanillaRNN(MONE, np.eye(2)))
    assert contractions(VanillaRNN(MONE, np.eye(2)), iterates=True)["iterate"].iterate == 6
    # weights that differ by 1e200 are one norm, in which a step forgets nearly everything
    c = contraction(LinearMap([[0.0, 1e200], [0.0, 0.0]], np.eye(2)), effort=0)
    assert c.iterate == 1
    assert c.lam < 1e-30
    # by 1e307: no norm can be written down, yet two steps forget everything
    nilpotent = LinearMap([[0.0, 1e307], [0.0, 0.0]], np.eye(2))
    assert contraction(nilpotent, effort=0) is None
    c = contraction(nilpotent)
    assert (c.iterate, c.lam) == (2, 0.0)


# ----------------------------------------------------------------------------- changes of norm


@given(st.floats(0.0, 0.999), st.integers(1, 40))
def test_the_least_number_of_steps_in_another_norm(lam, n):
    for norm, other in (
        (L2(), Linf()),
        (Linf(), L1()),
        (L1(), WeightedLinf(np.arange(1.0, n + 1))),
    ):
        c = iterate_in_norm(Contraction.assumed(lam, other), norm, dim=n)
        K = over(norm, other, n=n) * over(other, norm, n=n)
        assert c.lam < 1
        assert c.lam >= K * lam**c.iterate * (1 - 1e-12)
        assert c.lam <= K * lam**c.iterate * (1 + 1e-12) + 1e-300
        assert c.iterate == 1 or K * lam ** (c.iterate - 1) >= 1 - 1e-9
        assert c.evidence.kind == "assumed"


def test_the_published_form_of_the_lstm_lemma():
    # the paper's lemma: from the maximum norm on 2 d entries, K = sqrt(2 d), r = O(log d)
    steps = [iterate_in_norm(Contraction.assumed(0.625, Linf()), L2(), dim=2 * d).iterate
             for d in (64, 256, 1024)]  # fmt: skip
    assert steps == [6, 7, 9]
    assert iterate_in_norm(Contraction.assumed(0.5), L2(), dim=3).iterate == 1


def test_a_network_too_large_for_products_is_converted():
    cell = VanillaRNN(gaussian(24), np.eye(24))
    c = contraction(cell, method="iterate")
    assert c.evidence.method == "norm change"
    assert c.evidence.source.iterate == 1
    assert str(c.norm) == "L2"
    X = np.random.default_rng(1).standard_normal((80, 24))
    states = [cell.simulate(X, h0) for h0 in np.random.default_rng(2).standard_normal((2, 24)) * 3]
    apart = np.linalg.norm(states[0] - states[1], axis=1)
    assert (apart[c.iterate :] <= c.lam * apart[: -c.iterate] + 1e-12).all()


def test_conversion_of_a_domain_keeps_it():
    cell = VanillaRNN(gaussian(24), np.eye(24), np.full(24, 2.0))
    c = contraction(cell, method="iterate", inputs=Inputs.box(-0.1, 0.1))
    assert c.domain is not None
    assert c.evidence.source.domain is c.domain


def test_malformed_conversions():
    with pytest.raises(ValueError, match="2 steps together"):
        iterate_in_norm(Contraction.assumed(0.5, iterate=2), L2(), dim=2)
    with pytest.raises(ValueError, match="dim="):
        iterate_in_norm(Contraction.assumed(0.5), L2(), dim=0)
    with pytest.raises(ValueError, match=r"R\^2"):
        iterate_in_norm(Contraction.assumed(0.5), WeightedLinf([1.0, 2.0]), dim=3)


# ------------------------------------------------------------------------------------- context


@given(
    st.floats(0.0, 0.99),
    st.integers(1, 5),
    st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    st.floats(1e-6, 10.0),
    st.floats(0.0, 100.0),
)
def test_context_of_an_iterate_is_the_least(lam, r, growth, eps, drive):
    c = Contraction.assumed(lam, iterate=r)
    k = context_length_iterate(c, eps=eps, growth=growth, drive=drive)

    def bound(steps):
        return state_gap_blocks(c, k=steps, growth=growth, drive=drive)

    assert bound(k) <= eps * (1 + 1e-12)
    assert all(bound(j) > eps * (1 - 1e-12) for j in range(max(0, k - 2 * r), k))
    if r == 1:
        assert k == context_length(c, eps=eps, drive=drive)


def test_malformed_context():
    c = Contraction.assumed(0.5, iterate=2)
    good = {"eps": 0.1, "growth": 2.0, "drive": 1.0}
    for name in good:
        with pytest.raises(ValueError, match=f"{name}="):
            context_length_iterate(c, **{**good, name: -1.0})
    with pytest.raises(ValueError, match="needed a Contraction"):
        context_length_iterate(None, **good)
    with pytest.raises(ValueError, match="finite"):
        context_length_iterate(c, eps=0.1, growth=2.0, drive=1e300, lipschitz=1e300)


def test_required_context_falls_back_to_several_steps():
    # entries that differ by 1e303: no norm that can be written down
    system = LinearMap([[0.0, 1e303], [0.0, 0.0]], 1e-303 * np.eye(2))
    choice = required_context(system, 1e-3, inputs=Inputs.ball(1.0))
    assert choice.contraction.iterate == 2
    assert choice.k == 2
    assert choice.error == 0.0
    gaps = truncation_gaps(system, np.ones((9, 2)) / 2, k_max=3)
    assert gaps[2] == 0.0
    # one input leaves as much open as the box of all states, which is no answer
    assert smallest_error(system, 1, inputs=Inputs.ball(1.0)) is None
    assert gaps[1] == pytest.approx(0.5)


@given(st.integers(0, 2**32 - 1))
def test_errors_of_several_steps_are_kept(seed):
    from theory.memory.prices import price_of

    rng = np.random.default_rng(seed)
    W = np.triu(rng.standard_normal((2, 2))) * [[1.0, 9.0], [0.0, 1.0]]
    W *= (0.8 / product_upper(W, (np.zeros(2), np.ones(2)), L2(), 4)) ** 0.25
    cell = VanillaRNN(W, rng.standard_normal((2, 1)), rng.standard_normal(2))
    c = contractive_of_iterate(W, iterate=4)
    X = rng.uniform(-1, 1, (40, 1))
    gaps = truncation_gaps(cell, X, k_max=12)
    priced = price_of(cell, c, Inputs.ball(1.0), None, L2())
    assert all(gaps[k] <= priced.error(k) for k in range(13))
