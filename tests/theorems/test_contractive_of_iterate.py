"""The four questions, asked of contractive_of_iterate: product."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import (
    Asked,
    is_sharp,
    scalar,
    several_steps,
    swap,
)

from theory import (
    CallableMap,
    Inputs,
    LinearMap,
    Linf,
    VanillaRNN,
    WeightedL2,
    contraction,
    experiment,
    verify,
)
from theory.arithmetic.activations import slope_intervals
from theory.certify import invariant_domain
from theory.maps import activation
from theory.norms.products import product_upper
from theory.strategies import norms
from theory.theorems import contractive_of_iterate, contractive_of_matrix_norm, state_gap
from theory.theorems.contractive_of_iterate import CONTRACTIVE_OF_ITERATE, formula
from theory.trials import Outcome

MONE = np.array([[0.9, -1.0], [0.5, -0.9]])


def shear():
    """Return a linear map of spectral radius 0.3 of which two steps still stretch."""
    system = LinearMap([[0.3, 2.0], [0.0, 0.3]], np.eye(2))
    found = contraction(system, method="iterate", norm=Linf())
    assert found.iterate == 3
    return experiment(system, np.ones((5, 2)), contraction=found)


def test_sharp_for_linear_maps():
    # the power is formed to 2**-48 of its norm
    is_sharp(CONTRACTIVE_OF_ITERATE, swap(), slack=2.0**-46)
    is_sharp(CONTRACTIVE_OF_ITERATE, shear(), slack=2.0**-46)


def test_oracles():
    # B.4: the published example of B.2 and a non-normal linear system
    assert contractive_of_iterate(MONE, iterate=5) is None
    c = contractive_of_iterate(MONE, iterate=6)
    assert c.lam == pytest.approx(0.908787, abs=1e-6)
    shift = [[0.9, 5.0], [0.0, 0.9]]
    assert contractive_of_iterate(shift, "identity", iterate=54) is None
    assert contractive_of_iterate(shift, "identity", iterate=55).lam < 1
    # a step of the nilpotent matrix of A.12 k stretches by 5, two forget everything
    assert contractive_of_iterate([[0.0, 5.0], [0.0, 0.0]], iterate=1) is None
    assert contractive_of_iterate([[0.0, 5.0], [0.0, 0.0]], "identity", iterate=2).lam == 0.0


def broken():
    gate = CallableMap(lambda h, x: (1.0 + x) * h / 2, state_dim=1, input_dim=1)
    h, x = np.ones(1), np.array([3.0])
    stretch = abs(gate.step(gate.step(h, x), x))[0]
    return {
        "affine_form": (stretch, formula(product=0.25)),
        "products_bounded": scalar(0.9, claim=0.5, T=3),
    }


def witnesses():
    return {
        "r steps contract as 2 r do": swap(),
        "power of the spectral radius of W": shear(),
        "any factor": scalar(0.9, claim=0.5, T=3),
    }


ASKED = Asked(
    made=several_steps(any_start=True),
    extremes=None,
    broken=broken,
    witnesses=witnesses,
)


@given(
    st.lists(st.integers(-8, 8), min_size=4, max_size=4),
    norms(2),
    st.sampled_from(["identity", "tanh", "relu"]),
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=4),
)
def test_typed_function(entries, norm, rho, slopes):
    # eighths: products of up to four such matrices are exact in doubles
    W, r = np.reshape(entries, (2, 2)) / 8, len(slopes)
    found = contractive_of_iterate(W, rho, norm=norm, iterate=r)
    drawn = [(1, 1)] * r if rho == "identity" else slopes
    product = np.eye(2)
    for chosen in drawn:
        product = np.diag(chosen) @ W @ product
    attained = formula(product=norm.matrix_lower(product))
    size = product_upper(W, slope_intervals(activation(rho), 2), norm, r)
    if found is None:
        assert size >= 1
        return
    assert found.lam == formula(product=size)
    assert (found.norm, found.iterate, found.evidence.kind) == (norm, r, "certified")
    # never below what an explicit vector attains
    assert found.lam >= attained * (1 - 2.0**-52)


def test_one_step_is_the_matrix_norm():
    for norm in (Linf(), None, WeightedL2(np.diag([1.0, 3.0]))):
        one = contractive_of_iterate(0.3 * MONE, norm=norm, iterate=1)
        known = contractive_of_matrix_norm(0.3 * MONE, norm=norm)
        assert one.lam == pytest.approx(known.lam, rel=1e-9)
        assert one.norm is known.norm or norm is None


def test_in_a_norm_that_is_not_monotone():
    # the Gram matrix of the incremental inequality: every vertex of the slopes contracts
    P = np.array([[1.437, -1.544], [-1.544, 2.563]])
    c = contractive_of_iterate(MONE, norm=WeightedL2(P), iterate=2)
    assert c.lam <= 0.92**2


def test_on_a_domain():
    cell = VanillaRNN(1.1 * MONE, np.eye(2), [2.0, 2.0])
    box = invariant_domain(cell, inputs=Inputs.box(-0.1, 0.1))
    slopes = cell.slopes(box)
    c = contractive_of_iterate(cell.W, iterate=2, slopes=slopes, domain=box)
    assert c.domain is box
    assert contractive_of_iterate(cell.W, iterate=2) is None
    made = experiment(cell, 0.1 * np.ones((9, 2)), contraction=c)
    assert verify(CONTRACTIVE_OF_ITERATE, made).outcome is Outcome.HOLDS
    outside = experiment(cell, np.ones((9, 2)), contraction=c)
    assert verify(CONTRACTIVE_OF_ITERATE, outside).outcome is Outcome.NOT_APPLICABLE


def test_too_many_products_are_not_formed():
    W = np.random.default_rng(0).standard_normal((12, 12))
    assert contractive_of_iterate(W, iterate=2) is None


def test_malformed_arguments():
    for bad in (0, -1, 1.5, True, None):
        with pytest.raises(ValueError, match="iterate="):
            contractive_of_iterate(MONE, iterate=bad)
    with pytest.raises(ValueError, match="square"):
        contractive_of_iterate(MONE[:1], iterate=2)
    with pytest.raises(ValueError, match="narrower"):
        contractive_of_iterate(MONE, iterate=2, slopes=([0.0, 0.0], [0.5, 0.5]))


def test_evidence():
    c = contractive_of_iterate(MONE, iterate=6)
    assert c.evidence.method == "products"
    with pytest.raises(ValueError, match="6 steps together"):
        state_gap(c, k=3, drive=1.0)
