"""Networks that contract only in norms of very unequal weights: every door gives a certificate."""

import numpy as np
import pytest

from theory import GRU, LSTM, Inputs, Linf, VanillaRNN, contraction, project, required_context
from theory.certify import contractions, find_certificates, invariant_domain
from theory.memory import componentwise_context
from theory.theorems.contractive_of_perron_weights import LARGEST_RATIO

BOX = Inputs.box(-0.1, 0.1)


def upper(n, size):
    """Return the matrix of units that are coupled one way only."""
    return np.triu(np.full((n, n), size), 1)


def rnn(n=8):
    return VanillaRNN(upper(n, 5.0) + 0.9 * np.eye(n), np.ones((n, 1)))


def gru(n=8):
    """Return one whose candidate is graded; gates see the inputs only."""
    W = np.vstack([np.zeros((2 * n, n)), upper(n, 60.0) + 0.5 * np.eye(n)])
    return GRU(W, np.full((3 * n, 1), 0.1))


def lstm(n=8):
    W = np.vstack([np.zeros((2 * n, n)), upper(n, 60.0) + 0.5 * np.eye(n), np.zeros((n, n))])
    return LSTM(W, np.full((4 * n, 1), 0.1))


@pytest.mark.parametrize("made", [rnn, gru, lstm])
def test_every_door_gives_a_certificate(made):
    cell = made()
    c = contraction(cell, inputs=BOX)
    assert c.lam < 0.99
    assert c.norm.v.max() / c.norm.v.min() > LARGEST_RATIO
    method = "perron" if made is rnn else "comparison"
    assert contraction(cell, method=method, inputs=BOX).lam == c.lam
    assert contractions(cell, inputs=BOX, methods=[method])[method].lam == c.lam
    found = find_certificates(cell, BOX)
    assert found.best.lam <= c.lam
    choice = required_context(cell, 0.05, inputs=BOX, norm=Linf())
    again = required_context(cell, 0.05, inputs=BOX, norm=Linf(), certificates=found)
    assert choice.k == again.k
    # never longer than what the weights' ratio takes
    ratio = c.norm.v.max() / c.norm.v.min()
    assert choice.k <= np.log(ratio * 2 / 0.05) / -np.log(c.lam) + 1
    # nor, of gated maps, than what is known entry by entry
    entries = componentwise_context(cell, invariant_domain(cell, inputs=BOX), eps=0.05, norm=Linf())
    assert choice.k <= entries if made is not rnn else choice.k <= 1.1 * entries


def test_a_member_in_a_graded_norm_only_is_returned_as_it_is():
    n, size = 6, 10.0 ** np.linspace(40, 0, 6)
    mix = np.triu(np.random.default_rng(0).uniform(0.02, 0.04, (4, n, n)))
    W = (mix * size[:, None] / size).reshape(4 * n, n)
    W[n : 2 * n] = 0.0
    b = np.zeros(4 * n)
    b[n : 2 * n] = -1.0
    cell = LSTM(W, np.zeros((4 * n, 1)), b)
    found = project(cell, onto="lstm", per_unit=True, rate=0.98, inputs=Inputs.box(-1, 1))
    assert found.method == "member"
    assert found.distance == 0.0
    assert found.certificate.norm.v.max() / found.certificate.norm.v.min() > 1e30
