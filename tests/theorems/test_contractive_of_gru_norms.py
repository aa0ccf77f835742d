"""The four questions, asked of contractive_of_gru_norms."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import (
    Asked,
    is_sharp,
)

from theory import GRU, LSTM
from theory.campaign.recipes.gated import gru_far, gru_row_sums, update_driven, update_turning
from theory.maps.invariance import is_invariant
from theory.theorems import contractive_of_gru_norms
from theory.theorems.contractive_of_gru_norms import CONTRACTIVE_OF_GRU_NORMS, formula, gru_norms

seeds = st.integers(0, 2**32 - 1)


def test_sharp_without_recurrent_weights():
    # the bound of the gate is raised by the 16 u that the logistic function may err
    is_sharp(CONTRACTIVE_OF_GRU_NORMS, update_driven(np.random.default_rng(0)), slack=2.0**-42)


def broken():
    lstm = LSTM(np.zeros((4, 1)), np.zeros((4, 1)), [0.0, 3.0, 0.0, 0.0])
    h, x = np.array([1.0, 0.0]), np.zeros(1)
    stretch = abs(lstm.step(h, x) - lstm.step(0 * h, x))[0]
    # z of the two units .5 and .95, W_n = .9 from the first to the second: in the sum norm
    # d -> (.5 d, .5 * .9 d / ...) leaves the factor of the largest row behind
    return {
        "gru_cell": (stretch, formula(0.5, 0.0, 0.0, 0.0)),
        "in_domain": gru_far(np.random.default_rng(1)),
        "maximum_norm": _in_the_sum_norm(),
    }


def _in_the_sum_norm():
    # one unit drives all of ten candidates: column sums of ten times the row sums
    n = 10
    W = np.zeros((3 * n, n))
    W[2 * n :, 0] = 0.9
    cell = GRU(W, np.zeros((3 * n, 1)), np.concatenate([np.full(n, 9.0), np.zeros(2 * n)]))
    d = 2.0**-20 * np.eye(n)[0]
    moved = cell.step(d, np.zeros(1)) - cell.step(0 * d, np.zeros(1))
    norms = gru_norms(**cell.parameters, input_bound=0.0)
    return np.sum(np.abs(moved)) / np.sum(d), formula(*norms)


def witnesses():
    rng = np.random.default_rng(2)
    return {
        "update gates at rest in place of the largest": update_driven(rng),
        "the update gate does not move: W_z left out": update_turning(rng),
        "gates swapped: update weighs the candidate": update_driven(rng),
        "states outside the domain": gru_far(rng),
    }


ASKED = Asked(
    made=seeds.map(lambda seed: gru_row_sums(np.random.default_rng(seed))),
    extremes=None,
    broken=broken,
    witnesses=witnesses,
)


def test_oracle():
    # GRU.lam: all |W| = .3, all arguments of the gates' bounds .5; the published form
    half = 1 / (1 + math.exp(-0.5))
    inner = 0.3 * (0.3 / 4 + half)
    assert formula(half, inner, math.tanh(0.5), 0.3) == pytest.approx(0.811113896704792, rel=1e-12)
    W = np.tile([[0.1, 0.2]], (6, 1))
    U = np.full((6, 1), 0.1)
    norms = gru_norms(W, U, np.full(6, 0.1), variant="reset_before", input_bound=1.0)
    found = contractive_of_gru_norms(W, U, np.full(6, 0.1), variant="reset_before", input_bound=1.0)
    assert norms.inner == pytest.approx(inner, rel=1e-12)
    assert found.lam == pytest.approx(0.811113896704792, rel=1e-12)


@given(seeds, st.sampled_from(["reset_after", "reset_before"]))
def test_typed_function(seed, variant):
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(1, 5)), int(rng.integers(1, 3))
    W, U, b = (
        rng.standard_normal((3 * n, n)) * 0.2 / n,
        0.1 * rng.standard_normal((3 * n, m)),
        0.1 * rng.standard_normal(3 * n),
    )
    made = {"W": W, "U": U, "b": b, "variant": variant}
    norms, found = (f(**made, input_bound=1.0) for f in (gru_norms, contractive_of_gru_norms))
    condition = norms.inner < 1 - (1 + norms.candidate) * norms.W_z / (4 * (1 - norms.update))
    assert condition == (found is not None)
    if found is not None:
        assert found.lam == pytest.approx(formula(*norms), rel=1e-12)
        assert is_invariant(GRU(**made), found.domain)


def test_malformed_questions():
    W, U = np.zeros((3, 1)), np.zeros((3, 1))
    for bad in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="input_bound="):
            contractive_of_gru_norms(W, U, input_bound=bad)
    with pytest.raises(ValueError, match="variant='reset'"):
        contractive_of_gru_norms(W, U, variant="reset", input_bound=1.0)
