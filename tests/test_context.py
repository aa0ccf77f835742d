"""The choice of a certificate: its bound is kept, and no single certificate does better."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory import (
    L2,
    LinearHead,
    LinearMap,
    Linf,
    VanillaRNN,
    context_length,
    contractions,
    truncation_gaps,
)
from theory.context import error_curve, required_context, smallest_error
from theory.norms import over

MONE = np.array([[0.9, -1.0], [0.5, -0.9]])


def cell(seed, n=4, size=0.97):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((n, n))
    return VanillaRNN(W * (size / np.linalg.norm(W, 2)), rng.standard_normal((n, 2)))


@pytest.mark.parametrize("eps", [1.0, 1e-2, 1e-8])
def test_never_worse_than_one_certificate(eps):
    one = cell(1)
    choice = required_context(one, eps, 2.0)
    assert choice.error <= eps
    assert choice.k == min(k for _, _, k in choice.considered)
    for c in contractions(one).values():
        bound = over(c.norm.companion, L2(), 2) * 2.0
        alone = context_length(
            c,
            eps=eps,
            drive=one.drive(c.norm, input_bound=bound),
            lipschitz=over(L2(), c.norm, 4),
        )
        # the searches of both calls are the same, so is the best of theirs
        assert choice.k <= alone


@given(seed=st.integers(0, 2**32 - 1), eps=st.sampled_from([0.5, 1e-2, 1e-5]))
@settings(max_examples=12)
def test_the_error_is_kept(seed, eps):
    one = cell(seed, n=3)
    choice = required_context(one, eps, 1.0)
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((200, 2))
    X /= np.maximum(1.0, np.linalg.norm(X, axis=1, keepdims=True))
    gaps = truncation_gaps(one, X, choice.k, L2())
    assert gaps[choice.k] <= eps


def test_a_cheaper_norm_wins_at_large_errors():
    A = LinearMap([[0.9, 5.0], [0.0, 0.9]], np.eye(2))
    sharpest = min(contractions(A).values(), key=lambda c: c.lam)
    loose = required_context(A, 1.0, 1.0)
    assert loose.contraction.lam > sharpest.lam
    (alone,) = (k for name, _, k in loose.considered if name == "lyapunov")
    assert loose.k <= 0.75 * alone


def test_least_error_for_a_context():
    one = cell(2)
    for k in (0, 3, 20):
        choice = smallest_error(one, k, 1.0)
        assert choice.k == k
        assert choice.error == min(error for _, _, error in choice.considered)
    # required_context inverts it
    wanted = required_context(one, smallest_error(one, 20, 1.0).error, 1.0)
    assert wanted.k <= 20


def test_outputs_norms_and_horizons():
    one = cell(3)
    plain = required_context(one, 1e-4, 1.0)
    assert required_context(one, 1e-4, 1.0, head=LinearHead(1e-3 * np.eye(4))).k < plain.k
    assert required_context(one, 1e-4, 1.0, norm=Linf()).k <= plain.k
    assert required_context(one, 1e-4, 1.0, horizon=2).k <= 2
    assert required_context(one, 1e-4, 1.0, horizon=0).k == 0
    assert required_context(one, 1e-4, 1.0, horizon=10**6).k == plain.k


def test_bounded_activations_forget_unbounded_inputs():
    # the drive of an input of 1e9 is useless, the range of tanh is not
    one = cell(4)
    assert required_context(one, 1e-3, 1e9).k <= required_context(one, 1e-3, 1e3).k + 1
    linear = VanillaRNN(one.W, one.U, activation="relu")
    assert required_context(linear, 1e-3, 1e9).k > required_context(linear, 1e-3, 1e3).k + 10


def test_no_certificate_no_answer():
    yildiz = VanillaRNN([[0.0, 10.0], [-0.012, 1.1]], np.eye(2))
    assert required_context(yildiz, 1e-3, 1.0) is None
    assert smallest_error(yildiz, 5, 1.0) is None


def test_curve_is_geometric():
    one = cell(5)
    c = next(iter(contractions(one).values()))
    lengths, errors = error_curve(one, c, 1.0, count=5)
    assert lengths == [0, 1, 2, 3, 4, 5]
    assert errors[5] == pytest.approx(errors[0] * c.lam**5, rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 1.0), "eps"),
        ((-1.0, 1.0), "eps"),
        ((float("nan"), 1.0), "eps"),
        ((1.0, -1.0), "input_bound"),
    ],
)
def test_bad_requests(arguments, message):
    with pytest.raises(ValueError, match=message):
        required_context(cell(6), *arguments)
    with pytest.raises(ValueError, match="horizon"):
        required_context(cell(6), 1.0, 1.0, horizon=-1)
    with pytest.raises(ValueError, match="k="):
        smallest_error(cell(6), -1, 1.0)
