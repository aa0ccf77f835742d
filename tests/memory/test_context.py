"""The choice of a certificate: its bound is kept, and no single certificate does better."""

import math
import warnings

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory import (
    L2,
    LSTM,
    Contraction,
    Domain,
    Inputs,
    LinearHead,
    LinearMap,
    Linf,
    VanillaRNN,
    contraction,
    truncation_gaps,
)
from theory.certify import contractions, find_certificates, methods
from theory.certify.trade import cheapest_at, end_of_trade
from theory.maps import leaky_relu
from theory.memory.context import error_curve, required_context, smallest_error
from theory.norms import over
from theory.theorems import context_length

MONE = np.array([[0.9, -1.0], [0.5, -0.9]])


def cell(seed, n=4, size=0.97):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((n, n))
    return VanillaRNN(W * (size / np.linalg.norm(W, 2)), rng.standard_normal((n, 2)))


@pytest.mark.parametrize("eps", [1.0, 1e-2, 1e-8])
def test_never_worse_than_one_certificate(eps):
    one = cell(1)
    choice = required_context(one, eps, inputs=Inputs.ball(2.0))
    assert choice.error <= eps
    assert choice.k == min(k for _, _, k in choice.considered)
    for c in contractions(one).values():
        bound = over(c.norm.companion, L2(), n=2) * 2.0
        alone = context_length(
            c,
            eps=eps,
            drive=one.drive(c.norm, Inputs.ball(bound, c.norm.companion)),
            lipschitz=over(L2(), c.norm, n=4),
        )
        # the searches of both calls are the same, so is the best of theirs
        assert choice.k <= alone


@given(seed=st.integers(0, 2**32 - 1), eps=st.sampled_from([0.5, 1e-2, 1e-5]))
@settings(max_examples=12)
def test_the_error_is_kept(seed, eps):
    one = cell(seed, n=3)
    choice = required_context(one, eps, inputs=Inputs.ball(1.0))
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((200, 2))
    X /= np.maximum(1.0, np.linalg.norm(X, axis=1, keepdims=True))
    gaps = truncation_gaps(one, X, k_max=choice.k, norm=L2())
    assert gaps[choice.k] <= eps


def test_a_cheaper_norm_wins_at_large_errors():
    A = LinearMap([[0.9, 5.0], [0.0, 0.9]], np.eye(2))
    sharpest = min(contractions(A).values(), key=lambda c: c.lam)
    loose = required_context(A, 1.0, inputs=Inputs.ball(1.0))
    assert loose.contraction.lam > sharpest.lam
    (alone,) = (k for name, _, k in loose.considered if name == "lyapunov")
    assert loose.k <= 0.75 * alone


def test_least_error_for_a_context():
    one = cell(2)
    for k in (0, 3, 20):
        choice = smallest_error(one, k, inputs=Inputs.ball(1.0))
        assert choice.k == k
        assert choice.error == min(error for _, _, error in choice.considered)
    # required_context inverts it
    wanted = required_context(
        one, smallest_error(one, 20, inputs=Inputs.ball(1.0)).error, inputs=Inputs.ball(1.0)
    )
    assert wanted.k <= 20


def test_outputs_norms_and_horizons():
    one = cell(3)
    plain = required_context(one, 1e-4, inputs=Inputs.ball(1.0))
    assert (
        required_context(one, 1e-4, inputs=Inputs.ball(1.0), head=LinearHead(1e-3 * np.eye(4))).k
        < plain.k
    )
    assert required_context(one, 1e-4, inputs=Inputs.ball(1.0), norm=Linf()).k <= plain.k
    assert required_context(one, 1e-4, inputs=Inputs.ball(1.0), horizon=10**6).k == plain.k


def test_a_context_as_long_as_the_longest_sequence_is_no_answer():
    one = cell(3)
    ask = {"inputs": Inputs.ball(1.0), "certificates": find_certificates(one, Inputs.ball(1.0))}
    plain = required_context(one, 1e-4, **ask)
    for horizon in (0, 1, 2, plain.k // 2):
        assert required_context(one, 1e-4, **ask, horizon=horizon) is None
    # of a known length less is forgotten, so a horizon may help, but never to itself
    for horizon in (plain.k - 1, plain.k, plain.k + 1, 2 * plain.k):
        choice = required_context(one, 1e-4, **ask, horizon=horizon)
        if choice is None:
            assert horizon <= plain.k
            continue
        assert choice.k < horizon
        assert choice.k <= plain.k
        assert all(k < horizon for _, _, k in choice.considered)
    # an error that is large enough needs no inputs at all, whatever the horizon
    assert required_context(one, 1e3, **ask, horizon=1).k == 0


def test_a_context_found_entry_by_entry_is_below_the_horizon_too():
    rng = np.random.default_rng(1)
    lstm = LSTM(0.1 * rng.standard_normal((8, 2)), 0.3 * rng.standard_normal((8, 2)))
    plain = required_context(lstm, 1e-3, inputs=Inputs.ball(1.0))
    *by_rate, by_entries = (k for _, _, k in plain.considered)
    assert plain.k == by_entries < min(by_rate)
    for horizon in (plain.k + 1, int(max(by_rate)) + 1):
        choice = required_context(lstm, 1e-3, inputs=Inputs.ball(1.0), horizon=horizon)
        assert choice.k == plain.k
        assert all(k < horizon for _, _, k in choice.considered)
    for horizon in (2, plain.k):
        assert required_context(lstm, 1e-3, inputs=Inputs.ball(1.0), horizon=horizon) is None


def test_bounded_activations_forget_unbounded_inputs():
    # the drive of an input of 1e9 is useless, the range of tanh is not
    one = cell(4)
    assert (
        required_context(one, 1e-3, inputs=Inputs.ball(1e9)).k
        <= required_context(one, 1e-3, inputs=Inputs.ball(1e3)).k + 1
    )
    linear = VanillaRNN(one.W, one.U, activation="relu")
    assert (
        required_context(linear, 1e-3, inputs=Inputs.ball(1e9)).k
        > required_context(linear, 1e-3, inputs=Inputs.ball(1e3)).k + 10
    )


def test_no_certificate_no_answer():
    yildiz = VanillaRNN([[0.0, 10.0], [-0.012, 1.1]], np.eye(2))
    assert required_context(yildiz, 1e-3, inputs=Inputs.ball(1.0)) is None
    assert smallest_error(yildiz, 5, inputs=Inputs.ball(1.0)) is None


def test_curve_is_geometric():
    one = cell(5)
    c = next(iter(contractions(one).values()))
    lengths, errors = error_curve(one, c, inputs=Inputs.ball(1.0), count=5)
    assert lengths == [0, 1, 2, 3, 4, 5]
    assert errors[5] == pytest.approx(errors[0] * c.lam**5, rel=1e-12)


def least_condition(W, low, high, rate):
    """Return min cond(P) at a rate, by an interior-point solver."""
    n = len(W)
    P, q, k = cp.Variable((n, n), symmetric=True), cp.Variable(n), cp.Variable()
    if low == high:
        block, rules = rate**2 * P - high**2 * W.T @ P @ W, []
    else:
        Q, rules = cp.diag(q), [q >= 0]
        block = cp.bmat(
            [
                [rate**2 * P + 2 * low * high * W.T @ Q @ W, -(low + high) * W.T @ Q],
                [-(low + high) * Q @ W, 2 * Q - P],
            ]
        )
    task = cp.Problem(
        cp.Minimize(k),
        [*rules, 0.5 * (block + block.T) >> 0, P >> np.eye(n), k * np.eye(n) >> P],
    )
    with warnings.catch_warnings():
        # next to the sharpest rate what the solver returns depends on the processor's rounding
        warnings.filterwarnings("ignore", "Solution may be inaccurate")
        task.solve(solver="CLARABEL")
    return float(k.value) if task.status == "optimal" else math.inf


def priced(seed, n, low):
    """Return a map in whose bound the norm costs exactly sqrt(cond P), and its sharpest rate."""
    W = np.random.default_rng([seed, n]).standard_normal((n, n))
    W *= 0.8 / max(np.max(np.abs(np.linalg.eigvals(W))), 0.7 * np.linalg.norm(W, 2))
    one = LinearMap(W, np.eye(n))
    if low != 1.0:
        one = VanillaRNN(W, np.eye(n), activation=leaky_relu(low))
    return one, contraction(one, method="lyapunov" if low == 1.0 else "lmi")


@pytest.mark.parametrize("n", [1, 2, 4, 6])
@pytest.mark.parametrize("low", [0.0, -0.4, 0.3, 1.0])
def test_least_condition_number_at_a_rate(n, low):
    one, c = priced(3, n, low)
    end = end_of_trade(one.affine())
    for share in (0.1, 0.5):
        rate = c.lam * (end / c.lam) ** share
        found = cheapest_at(one.affine(), c, rate)
        assert found.lam <= rate * (1 + 1e-9)
        best = least_condition(one.affine().W, low, 1.0, rate)
        cost = found.norm.condition_upper**2
        # the barrier stops within 4 n / 400 n of log cond; the solver within its own 1e-6
        assert best * (1 - 1e-5) <= cost <= best * 1.01
    # one step below the sharpest rate there is nothing
    if low != 1.0:
        assert cheapest_at(one.affine(), c, 0.99 * c.lam) is None


@pytest.mark.parametrize(
    ("low", "k"),
    [
        (0.0, 12),
        (1.0, 2),
        *(pytest.param(*one, marks=pytest.mark.heavy) for one in ((0, 2), (1, 12))),
    ],
)
def test_no_rate_and_norm_answer_better(low, k):
    # with U = I, no bias and an unbounded range the bound is sqrt(cond P) rate^k / (1 - rate)
    one, c = priced(5, 3, low)
    end = end_of_trade(one.affine())
    rates = c.lam * (1.002 * end / c.lam) ** np.linspace(1e-3, 1, 16)
    rates = rates[rates < 1]
    costs = [math.sqrt(least_condition(one.affine().W, low, 1.0, r)) for r in rates]
    # at a rate that the solver gives up there is nothing to compare with
    solved = np.isfinite(costs)
    assert np.count_nonzero(solved) >= 14
    rates, costs = rates[solved], np.array(costs)[solved]
    bounds = costs * rates**k / (1 - rates)
    best = float(np.min(bounds))
    choice = smallest_error(one, k, inputs=Inputs.ball(1.0))
    assert choice.error <= 1.01 * best
    thorough = smallest_error(one, k, inputs=Inputs.ball(1.0), effort=2)
    assert thorough.error <= min(choice.error, 1.005 * best)
    # the same in terms of the context: what suffices for the error found is not longer than k
    assert required_context(one, choice.error, inputs=Inputs.ball(1.0)).k <= k
    eps = 3e-4
    needed = min(
        math.ceil(math.log(eps * (1 - r) / cost) / math.log(r))
        for r, cost in zip(rates, costs, strict=True)
    )
    assert required_context(one, eps, inputs=Inputs.ball(1.0)).k <= needed + 1
    assert required_context(one, eps, inputs=Inputs.ball(1.0), effort=2).k <= needed


def test_a_longer_context_wants_a_sharper_rate():
    one, _ = priced(6, 4, 0.0)
    rates = [smallest_error(one, k, inputs=Inputs.ball(1.0)).contraction.lam for k in (1, 5, 40)]
    assert rates[0] >= rates[1] >= rates[2]
    assert rates[0] > rates[2] * 1.001


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, Inputs.ball(1.0)), "eps"),
        ((-1.0, Inputs.ball(1.0)), "eps"),
        ((float("nan"), Inputs.ball(1.0)), "eps"),
        ((1.0, 1.0), r"inputs=1\.0 does not say which inputs are meant"),
        ((1.0, np.zeros((0, 2))), "needed at least one"),
        ((1.0, np.zeros((3, 1))), "inputs has shape"),
    ],
)
def test_bad_requests(arguments, message):
    with pytest.raises(ValueError, match=message):
        required_context(cell(6), arguments[0], inputs=arguments[1])
    with pytest.raises(ValueError, match="horizon"):
        required_context(cell(6), 1.0, inputs=Inputs.ball(1.0), horizon=-1)
    with pytest.raises(ValueError, match="k="):
        smallest_error(cell(6), -1, inputs=Inputs.ball(1.0))


def gated(size=0.3):
    rng = np.random.default_rng(1)
    return LSTM(0.1 * rng.standard_normal((8, 2)), size * rng.standard_normal((8, 2)))


@pytest.fixture
def searches(monkeypatch):
    """Count the searches of every method, by its name and where it was asked."""
    made = []

    def counted(name, method):
        def search(recurrent, domain=None, *rest, **known):
            made.append((name, "everywhere" if domain is None else "on the box"))
            return method(recurrent, domain, *rest, **known)

        return search

    for name, method in methods.METHODS.items():
        monkeypatch.setitem(methods.METHODS, name, counted(name, method))
    return made


def test_certificates_that_are_given_are_not_searched_for(searches):
    local = VanillaRNN([[1.6, -0.4], [0.3, 1.5]], np.eye(2), [3.0, 3.0])
    for one, inputs in ((cell(1), Inputs.ball(1)), (gated(), Inputs.ball(1)),
                        (local, Inputs.ball(0.1))):  # fmt: skip
        found = find_certificates(one, inputs, iterates=False)
        assert len(searches) == len(set(searches)) > 0
        alone = required_context(one, 1e-3, inputs=inputs)
        least = smallest_error(one, 9, inputs=inputs)
        searches.clear()
        again = required_context(one, 1e-3, inputs=inputs, certificates=found)
        error = smallest_error(one, 9, inputs=inputs, certificates=found)
        assert not searches
        # what holds everywhere is at hand too, so nothing is lost
        assert again.k <= alone.k
        assert error.error <= least.error
        assert again.states is found.states
        by_name = found.everywhere if found.where is None else found.local
        plain = required_context(one, 1e-3, inputs=inputs, certificates=by_name)
        assert not searches
        assert (plain.k, plain.error) == (alone.k, alone.error)


def test_a_box_is_found_once(monkeypatch):
    import theory.memory.prices as prices

    one, inputs = gated(), Inputs.ball(1)
    found = find_certificates(one, inputs)
    monkeypatch.setattr(prices, "invariant_domain", None)
    choice = required_context(one, 1e-3, inputs=inputs, certificates=found)
    (c,) = (c for name, c in found.local.items() if name == "comparison")
    lengths, errors = error_curve(one, c, inputs=inputs, count=4, certificates=found)
    assert lengths == [0, 1, 2, 3, 4]
    assert choice.errors(4)[4] <= errors[4]
    # fewer inputs are within those that were looked at
    assert required_context(one, 1e-3, inputs=Inputs.ball(0.5), certificates=found).k <= choice.k


def test_assumed_certificates_are_used_and_said():
    one = cell(3)
    by_hand = {"mine": Contraction.assumed(0.5)}
    choice = required_context(one, 1e-3, inputs=Inputs.ball(1.0), certificates=by_hand)
    assert choice.contraction.evidence.kind == "assumed"
    assert [name for name, _, _ in choice.considered] == ["mine (assumed)"]
    assert smallest_error(one, 3, inputs=Inputs.ball(1.0), certificates=by_hand).error > 0
    assert required_context(one, 1e-3, inputs=Inputs.ball(1.0), certificates={}) is None


def test_a_false_assumption_does_not_certify_cheaper_norms():
    """The trade of rate for norm begins at what is given, and proves what it returns."""
    one = LinearMap([[0.9, 5.0], [0.0, 0.9]], np.eye(2))
    lie = {"lyapunov": Contraction.assumed(0.85)}
    choice = required_context(one, 1e-3, inputs=Inputs.ball(1.0), certificates=lie)
    assert choice.contraction.evidence.kind == "assumed"
    proved = [lam for name, lam, _ in choice.considered if name != "lyapunov (assumed)"]
    assert proved
    assert min(proved) >= 0.9


def test_certificates_of_other_inputs_or_maps_are_refused():
    one, inputs = gated(), Inputs.ball(1.0)
    found = find_certificates(one, inputs)
    ask = {"eps": 1e-3, "certificates": found}
    with pytest.raises(
        ValueError, match=r"found for \|x\|_2 <= 1, but the inputs are \|x\|_2 <= 2"
    ):
        required_context(one, inputs=Inputs.ball(2.0), **ask)
    with pytest.raises(ValueError, match=r"found for .*find_certificates\(map, inputs\)"):
        smallest_error(one, 3, inputs=Inputs.ball(2.0), certificates=found)
    with pytest.raises(ValueError, match="needed those of this map"):
        required_context(gated(), inputs=inputs, **ask)
    local = contractions(one, inputs=Inputs.box(-1, 1))
    with pytest.raises(
        ValueError, match=r"certificates\['\w+'\] holds on .* only, but the inputs are \|x_i\| <= 2"
    ):
        required_context(one, 1e-3, inputs=Inputs.box(-2, 2), certificates=local)
    with pytest.raises(ValueError, match=r"domain of 8 states and 2 inputs, needed 4 and 2"):
        required_context(
            cell(1), 1e-3, inputs=Inputs.box(-1, 1), certificates={"other": assumed_on(8, 2)}
        )
    with pytest.raises(ValueError, match="needed contractions by name"):
        required_context(one, 1e-3, inputs=inputs, certificates=Contraction.assumed(0.5))
    with pytest.raises(ValueError, match="needed a Contraction"):
        required_context(one, 1e-3, inputs=inputs, certificates={"spectral": None})
    other = contractions(cell(1, n=3))
    with pytest.raises(ValueError, match=r"is a norm on R\^3, needed one on R\^4"):
        required_context(cell(1), 1e-3, inputs=inputs, certificates=other)


def assumed_on(n, m):
    ends = {"low": -np.ones(n), "high": np.ones(n)}
    box = Domain(**ends, input_low=-np.ones(m), input_high=np.ones(m))
    return Contraction.assumed(0.5, domain=box)


@pytest.mark.parametrize("head", [None, LinearHead([[1.0, -2.0]])])
@pytest.mark.parametrize("norm", [None, Linf()])
def test_errors_of_a_choice(head, norm):
    """They are kept, they answer eps at k, and a gated map has those entry by entry."""
    one, inputs = gated(), Inputs.ball(1.0)
    choice = required_context(one, 1e-3, inputs=inputs, head=head, norm=norm)
    errors = choice.errors(choice.k + 1)
    assert errors.shape == (choice.k + 2,)
    assert errors[choice.k] <= 1e-3
    assert np.all(errors[: choice.k] > 1e-3)
    X = np.random.default_rng(0).uniform(-0.7, 0.7, (60, 2))
    C = np.eye(4) if head is None else head.C @ one.output_map
    H = one.simulate(X)
    for k in (0, 2, choice.k):
        ends = one.simulate(X[len(X) - k :])[-1] if k else np.zeros(4)
        assert (norm or L2()).vector(C @ (H[-1] - ends)) <= errors[k]
    with pytest.raises(ValueError, match="k_max"):
        choice.errors(-1)


def test_errors_of_several_steps_together():
    shear = VanillaRNN([[0.5, 3.0], [0.0, 0.5]], np.eye(2), activation="relu")
    found = {"iterate": contraction(shear, method="iterate")}
    choice = smallest_error(shear, 101, inputs=Inputs.ball(1.0), certificates=found)
    assert choice.contraction.iterate > 1
    assert choice.errors(101)[101] == choice.error
