"""The four questions, asked of norm_change: outer * inner * lam**k * past."""

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
    Contraction,
    LinearMap,
    Linf,
    WeightedL2,
    WeightedLinf,
    contraction,
    experiment,
)
from theory.norms import over
from theory.strategies import experiments, factors, norms
from theory.theorems import norm_change, state_gap_observed
from theory.theorems.norm_change import NORM_CHANGE, formula


def spread(n=4, lam=0.5, *, outward=True):
    """Return a rank-one map of one impulse that attains a constant between two norms.

    Outward, e_1 goes to lam (1, .., 1): from size 1 to lam in the maximum norm, in which it
    contracts, and to n lam in the sum norm.  Inward, (1, .., 1) goes to n lam e_1: it contracts in
    the sum norm by lam, and grows from 1 to n lam in the maximum norm.
    """
    one, first = np.ones((n, 1)), np.eye(n)[:, :1]
    W, U = (one @ first.T, first) if outward else (first @ one.T, one)
    x = np.zeros((6, 1))
    x[0] = 1.0
    norm, other = (Linf(), L1()) if outward else (L1(), Linf())
    system = LinearMap(lam * W, U)
    return experiment(system, x, contraction=contraction(system, norm=norm), other_norm=other)


@pytest.mark.parametrize("outward", [True, False])
@pytest.mark.parametrize("n", [2, 4])
def test_sharp_for_a_spreading_map(outward, n):
    verdict = is_sharp(NORM_CHANGE, spread(n, outward=outward))
    assert verdict.measured == 0.5 * n
    assert verdict.arguments["outer"] * verdict.arguments["inner"] == n


def test_perron_weights_cost_their_ratio():
    # oracles B1.perron and B1.perron_kappa (its tolerance): rate .7, weights (20, 1)
    c = contraction(LinearMap([[0.5, 4.0], [0.01, 0.5]], np.eye(2)))
    bound = norm_change(c, k=3, past=1.0, norm=Linf(), dim=2)
    assert bound == pytest.approx(20 * 0.7**3, rel=1e-6)


def test_a_weighted_euclidean_norm_costs_the_root_of_its_condition():
    c = Contraction.assumed(0.5, WeightedL2(np.diag([9.0, 1.0])))
    assert norm_change(c, k=1, past=2.0, norm=L2(), dim=2) == pytest.approx(3.0, rel=1e-9)


def broken():
    return {
        "contractive": scalar(0.9, claim=0.5, T=40),
        "zero_restart": scalar(0.5, x=0.0, restart=[-3.0]),
    }


def witnesses():
    return {
        "no constants: the rate is taken over to the other norm": spread(),
        "only the way out is paid": spread(outward=False),
        "only the way in is paid": spread(),
        "without contraction": scalar(0.9, claim=0.5, T=40),
    }


ASKED = Asked(
    made=experiments(min_length=1, any_start=True),
    extremes=holds_at_extremes,
    broken=broken,
    witnesses=witnesses,
    malformed={"counts": ("k",), "sizes": ("past",), "k": 3, "past": 1.0, "norm": L1(), "dim": 4},
)


@given(
    factors(),
    st.integers(0, 40),
    st.floats(0.0, 1e6, allow_subnormal=False),
    st.integers(1, 4).flatmap(lambda n: st.tuples(st.just(n), norms(n), norms(n))),
)
def test_typed_function(lam, k, past, drawn):
    n, norm, other = drawn
    c = Contraction.assumed(lam, norm)
    value = norm_change(c, k=k, past=past, norm=other, dim=n)
    outer, inner = over(other, norm, n=n), over(norm, other, n=n)
    rounded_outward(formula, value, lam=lam, k=k, past=past, outer=outer, inner=inner)
    # both constants are upper ones, so their product is at least 1
    assert value >= state_gap_observed(c, k=k, past=past)
    assert norm_change(c, k=k + 1, past=past, norm=other, dim=n) <= value
    assert norm_change(c, k=k, past=2 * past, norm=other, dim=n) >= value


@given(st.integers(1, 4).flatmap(lambda n: st.tuples(st.just(n), norms(n))), factors())
def test_to_the_same_norm_it_is_free(drawn, lam):
    n, norm = drawn
    c = Contraction.assumed(lam, norm)
    assert norm_change(c, k=2, past=1.0, norm=norm, dim=n) == state_gap_observed(c, k=2, past=1.0)


def test_boundary_cases():
    c = Contraction.assumed(0.0, Linf())
    assert norm_change(c, k=0, past=3.0, norm=L1(), dim=4) == 12.0
    assert norm_change(c, k=1, past=3.0, norm=L1(), dim=4) == 0.0
    assert norm_change(c, k=0, past=0.0, norm=L1(), dim=4) == 0.0
    assert norm_change(Contraction.assumed(0.5, L2()), k=1, past=1.0, norm=L1(), dim=1) == 0.5


def test_malformed_questions():
    c = Contraction.assumed(0.5, Linf())
    for bad in (0, -1, 2.0):
        with pytest.raises(ValueError, match="dim="):
            norm_change(c, k=1, past=1.0, norm=L1(), dim=bad)
    with pytest.raises(ValueError, match=r"Linf,v is a norm on R\^2, needed one on R\^3"):
        norm_change(c, k=1, past=1.0, norm=WeightedLinf([1.0, 2.0]), dim=3)
