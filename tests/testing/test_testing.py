"""theory.testing: true claims pass, false ones are found, and the message says what to do."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings

from theory import (
    L1,
    L2,
    CallableMap,
    Contraction,
    Inputs,
    LinearHead,
    LinearMap,
    Linf,
    Map,
    VanillaRNN,
    WeightedL1,
    WeightedL2,
    WeightedLinf,
    contraction,
)
from theory.campaign.recipes.draws import scaled_to
from theory.maps.base import simulate_by_steps
from theory.strategies import certified_maps
from theory.testing import check_contraction, check_truncation
from theory.trials import Outcome

RNG = np.random.default_rng(20)
INPUTS = RNG.uniform(-1.0, 1.0, (24, 2))


def sigma(a):
    return 1.0 / (1.0 + np.exp(-a))


def gru(h, x):
    """Step a gated cell of two units; every recurrent matrix has row sums 0.3."""
    W = np.full((2, 2), 0.15)
    z, f = sigma(h @ W + 0.2 * x), sigma(h @ W + 0.2 * x)
    n = np.tanh((f * h) @ W + 0.2 * x)
    return z * h + (1.0 - z) * n


#: Oracle GRU.lam, in the maximum norm for |h|, |x| <= 1: pre-activations at most .3 + .2.
GRU = CallableMap(gru, 2, 2, vectorized=True)
GRU_CONTRACTION = Contraction.assumed(0.811113896704792, Linf())


def leaky(h, x):
    """Step the leaky cell of oracle B1.leaky: 0.9 in the maximum norm, though |W| = 7."""
    return 0.9 * h + 0.1 * np.tanh(np.array([[-5.0, 2.0], [2.0, -5.0]]) @ h + x)


class OwnMap(Map):
    """A user's map h <- h / 2 + x, which may be wrong in its run or in what a run is made of."""

    def __init__(self, run=simulate_by_steps, advance=None, value=None):
        self._own_run, self._own_advance, self._value = run, advance, value

    state_dim = 1
    input_dim = 1
    parameters: dict = {}  # noqa: RUF012

    def step(self, h, x):
        result = 0.5 * h + x
        return np.full_like(result, self._value) if self._value is not None else result

    def jacobian_state(self, h, x):
        leading = np.broadcast_shapes(h.shape[:-1], x.shape[:-1])
        return np.full((*leading, 1, 1), 0.5)

    def jacobian_input(self, h, x):
        return 2 * self.jacobian_state(h, x)

    def affine(self):
        return None

    def input_terms(self, X):
        return X

    def advance(self, h, terms, out=None):
        result = (self._own_advance or self.step)(h, terms)
        if out is None:
            return result
        out[...] = result
        return out

    def step_error(self, h_size, x_size):
        return 2.0**-52 * (h_size + x_size)

    def input_lipschitz(self, norm):  # noqa: ARG002
        return 1.0

    def _run(self, X, h0):
        return self._own_run(self, X, h0)


def refuted(function, *arguments, **options):
    """Return the message of the failure that a false claim must give."""
    with pytest.raises(AssertionError) as caught:
        function(*arguments, **options)
    message = str(caught.value)
    for part in ("measured", "bound", "budget", "try"):
        assert f"\n  {part}" in message
    return message


# ------------------------------------------------------------------------------------------
# true claims pass


def matrices():
    for n in (1, 2, 5):
        L = np.tril(RNG.uniform(-1, 1, (n, n)), -1) + np.diag(RNG.uniform(0.5, 2, n))
        for norm in (
            L2(),
            Linf(),
            L1(),
            WeightedLinf(RNG.uniform(0.2, 5.0, n)),
            WeightedL1(RNG.uniform(0.2, 5.0, n)),
            WeightedL2(np.diag(RNG.uniform(0.2, 5.0, n))),
            WeightedL2(L @ L.T),
        ):
            yield pytest.param(
                scaled_to(RNG.standard_normal((n, n)), 0.9, norm), norm, id=f"{n}-{norm}"
            )


MATRICES = list(matrices())


@pytest.mark.parametrize(("W", "norm"), MATRICES)
def test_linear_maps_are_sharp(W, norm):
    system = LinearMap(W, np.eye(len(W)))
    certificate = contraction(system, norm=norm)
    verdict = check_contraction(system, contraction=certificate, trials=40)
    assert verdict.outcome is not Outcome.REFUTED
    # the search comes within 2**-26 of the certified factor, and the budget does not hide a claim
    # that is too small by little more
    assert verdict.ratio > 1 - 2.0**-26
    refuted(
        check_contraction,
        system,
        contraction=Contraction.assumed(0.9 * (1 - 2.0**-25), norm),
        trials=40,
    )


@settings(max_examples=25)
@given(certified_maps())
def test_certified_maps_pass(pair):
    verdicts = check_truncation(
        pair[0],
        np.ones((4, pair[0].input_dim)),
        contraction=pair[1],
        trials=20,
        counterpart=by_hand(pair[0]),
    )
    assert all(v.outcome is not Outcome.REFUTED for v in verdicts)


def by_hand(recurrent, *, extra=0, start=0.0):
    """Return a k-step model written as a user would, with `extra` inputs too many."""

    def counterpart(X, k):
        states = np.zeros((len(X), recurrent.state_dim))
        for t in range(len(X)):
            h = np.full(recurrent.state_dim, start)
            for s in range(max(0, t + 1 - k - extra), t + 1):
                h = recurrent.step(h, X[s])
            states[t] = h
        return states

    return counterpart


def test_gated_cell_passes_on_its_invariant_box():
    verdict = check_contraction(GRU, contraction=GRU_CONTRACTION, inputs=INPUTS, radius=1.0)
    assert verdict.outcome is Outcome.HOLDS
    # hand-derived factors of gated cells are loose, but not by half
    assert 0.5 < verdict.ratio < 1
    verdicts = check_truncation(
        GRU, INPUTS, contraction=GRU_CONTRACTION, k_max=8, radius=1.0, trials=40
    )
    seen = {v.theorem for v in verdicts}
    assert {
        "contractive",
        "hidden_state",
        "initial_state",
        "state_gap_observed",
        "state_gap",
        "state_gap_finite",
        "state_gap_any_start",
        "output_gap",
        "context_length",
        "norm_change",
    } <= seen
    # its gain in x is not known, and it is not the scalar linear family
    assert not seen & {"drive", "input_sequence", "window_error"}


def test_leaky_cell_passes_with_a_factor_below_its_weights():
    cell = CallableMap(leaky, 2, 2)
    verdict = check_contraction(cell, contraction=Contraction.assumed(0.9, Linf()))
    assert verdict.ratio > 0.999
    message = refuted(check_contraction, cell, contraction=Contraction.assumed(0.891, Linf()))
    assert "does not contract by lam=0.891 in Linf" in message


def test_without_a_claim_the_certified_one_is_checked():
    cell = VanillaRNN([[0.5, 0.2], [0.2, 0.5]], np.eye(2))
    assert check_contraction(cell).evidence.startswith("certified")
    verdicts = check_truncation(
        cell,
        np.stack([INPUTS, -INPUTS]),
        drive=1.5,
        head=LinearHead([[1.0, 2.0]]),
        norm=L1(),
        start=[1.0, 0.0],
        restart=[0.0, -1.0],
        k_max=3,
        trials=20,
    )
    assert {v.label for v in verdicts} == {"", "sequence 0", "sequence 1"}
    assert {"drive [assumed]", "drive", "input_sequence"} <= {v.theorem for v in verdicts}


def test_no_inputs_are_no_failure():
    assert check_truncation(VanillaRNN([[0.5]], [[1.0]]), np.zeros((0, 1)), drive=0.0, trials=5)


def test_the_same_seed_searches_the_same_pairs():
    first, again, other = (
        check_contraction(
            GRU, contraction=GRU_CONTRACTION, inputs=INPUTS, radius=1.0, trials=20, seed=s
        )
        for s in (1, 1, 2)
    )
    assert first == again
    assert first.ratio != other.ratio


# ------------------------------------------------------------------------------------------
# false claims are found


@pytest.mark.parametrize(("W", "norm"), MATRICES)
def test_a_factor_too_small_by_a_hundredth_is_found(W, norm):
    claim = Contraction.assumed(0.99 * 0.9, norm)
    step = LinearMap(W, np.eye(len(W))).step
    for system in (
        LinearMap(W, np.eye(len(W))),
        CallableMap(step, len(W), len(W), vectorized=True),
    ):
        message = refuted(check_contraction, system, contraction=claim, trials=40)
        assert f"does not contract by lam=0.891 in {norm}" in message


def test_a_slope_that_is_steep_in_a_narrow_place_is_climbed_to():
    # slope 0.3 + 0.6 / (1 + (8 a)**2) at a = h - 1.7: nearly 0.3 but for a width of 1/8
    cell = CallableMap(
        lambda h, x: 0.3 * h + 0.6 * np.arctan(8 * (h - 1.7)) / 8 + 0 * x, 1, 1, vectorized=True
    )
    assert check_contraction(cell, contraction=Contraction.assumed(0.9)).ratio > 0.99
    refuted(check_contraction, cell, contraction=Contraction.assumed(0.88))


def test_the_wrong_norm_is_found():
    # oracle B1.perron: 0.7 in the weights (20, 1), and 4.5 in the maximum norm
    system = LinearMap([[0.5, 4.0], [0.01, 0.5]], np.eye(2))
    check_contraction(
        system, contraction=Contraction.assumed(0.7 + 1e-9, WeightedLinf([20.0, 1.0]))
    )
    message = refuted(check_contraction, system, contraction=Contraction.assumed(0.7, Linf()))
    assert "multiplies the distance of two states by 4.5" in message
    # relu in the norm of a full P (A.4, the monotone norms): 1.118, not 1/2
    relu = VanillaRNN(0.5 * np.eye(2), np.eye(2), activation="relu")
    refuted(
        check_contraction,
        relu,
        contraction=Contraction.assumed(0.6, WeightedL2(np.array([[1.0, 0.9], [0.9, 1.0]]))),
    )


def test_a_claim_outside_its_region_is_found():
    # true for |h| <= 1 only: the slope h of h**2 / 2
    cell = CallableMap(lambda h, x: h**2 / 2 + 0 * x, 1, 1, vectorized=True)
    check_contraction(cell, contraction=Contraction.assumed(0.75), radius=0.75)
    refuted(check_contraction, cell, contraction=Contraction.assumed(0.75), radius=0.8)


def test_the_spectral_radius_is_found_out():
    # Yildiz, Jaeger and Kiebel 2012: spectral radius 0.977 (oracle B1.yildiz_rho)
    cell = VanillaRNN([[0.0, 10.0], [-0.012, 1.1]], np.eye(2))
    refuted(check_contraction, cell, contraction=Contraction.assumed(0.9772001872658766))


def test_hidden_state_is_found():
    memory = [0.0]

    def step(h, x):
        memory[0] = 0.5 * memory[0] + float(x[0])
        return 0.5 * h + memory[0]

    message = refuted(
        check_contraction, CallableMap(step, 1, 1), contraction=Contraction.assumed(0.5)
    )
    assert "is not a function of (h, x)" in message
    assert "hidden variable as part of h" in message


def test_random_numbers_are_found():
    dropout = np.random.default_rng(0)
    cell = CallableMap(lambda h, x: 0.5 * h + x * dropout.integers(2), 1, 1)
    message = refuted(check_contraction, cell, contraction=Contraction.assumed(0.5))
    assert "is not a function of (h, x)" in message
    assert "fixing random numbers" in message


def test_a_step_that_mixes_its_batch_is_found():
    cell = CallableMap(
        lambda h, x: 0.5 * h + x - np.mean(x, axis=0, keepdims=x.ndim > 1) * (x.ndim > 1),
        1,
        1,
        vectorized=True,
    )
    message = refuted(check_contraction, cell, contraction=Contraction.assumed(0.5))
    assert "in a batch" in message
    assert "vectorized=False" in message


def test_an_input_one_time_late_is_found():
    def late(recurrent, X, h0):
        return simulate_by_steps(recurrent, np.roll(X, 1, axis=1), h0)

    claim = Contraction.assumed(0.5)
    x = np.arange(6.0)[:, None]
    assert check_truncation(OwnMap(), x, contraction=claim, trials=20)
    message = refuted(check_truncation, OwnMap(late), x, contraction=claim, trials=20)
    assert "simulate(X) of" in message
    assert "does not do what its step does at input 0 of sequence 0" in message


def test_an_advance_that_is_not_the_step_is_found():
    wrong = OwnMap(
        run=lambda m, X, h0: simulate_by_steps(OwnMap(), X, h0),  # noqa: ARG005
        advance=lambda h, x: 0.5 * h + 0.999 * x,
    )
    message = refuted(
        check_truncation, wrong, np.ones((3, 1)), contraction=Contraction.assumed(0.5), trials=20
    )
    assert "advance(h, input_terms(x))" in message


def test_a_contraction_on_a_box_is_searched_there():
    W, b = np.array([[1.6, -0.4], [0.3, 1.5]]), [2.0, 2.0]
    cell = VanillaRNN(W, np.eye(2), b)
    c = contraction(cell, inputs=Inputs.box(-0.1, 0.1))
    # the search moves its pairs into the box, and so near its worst corner
    verdict = check_contraction(cell, contraction=c, trials=60)
    assert 0.5 < verdict.ratio <= 1
    x = RNG.uniform(-0.1, 0.1, (20, 2))
    names = {v.theorem for v in check_truncation(cell, x, contraction=c, k_max=6, trials=20)}
    assert {"state_gap", "hidden_state", "state_gap_any_start"} <= names
    # the same factor is wrong elsewhere, and too small a one is refuted inside
    assert "does not contract" in refuted(
        check_contraction, cell, contraction=Contraction.assumed(c.lam, c.norm), trials=60
    )
    small = Contraction.assumed(0.4 * c.lam, c.norm, domain=c.domain)
    message = refuted(check_contraction, cell, contraction=small, trials=60)
    assert "does not contract" in message
    with pytest.raises(ValueError, match="outside the domain"):
        check_contraction(cell, contraction=c, inputs=np.ones((3, 2)))


def test_several_steps_are_not_taken_for_one():
    nilpotent = LinearMap([[0.0, 1e307], [0.0, 0.0]], np.eye(2))
    with pytest.raises(ValueError, match="only several steps together contract"):
        check_contraction(nilpotent)


@pytest.mark.parametrize("bug", [{"extra": 1}, {"extra": -1}, {"start": 1.0}])
def test_a_window_off_by_one_is_found(bug):
    cell = VanillaRNN([[0.5, 0.3], [0.1, -0.2]], np.eye(2), [1.0, 0.0])
    check_truncation(cell, INPUTS, counterpart=by_hand(cell), k_max=4, trials=20)
    message = refuted(
        check_truncation, cell, INPUTS, counterpart=by_hand(cell, **bug), k_max=4, trials=20
    )
    assert "step model" in message
    assert "theirs = " in message


def test_a_drive_says_how_it_is_known_and_for_which_inputs():
    cell, x = VanillaRNN([[0.5]], [[1.0]], [0.5], activation="relu"), np.ones((9, 1))
    c = contraction(cell, norm=L2())
    drive = cell.drive(c.norm, Inputs.box(-1, 1))
    for one, name in ((drive, "drive [certified]"), (1.5, "drive [assumed]")):
        assert name in {
            v.theorem for v in check_truncation(cell, x, contraction=c, drive=one, trials=5)
        }
    with pytest.raises(ValueError, match=r"for \|x_i\| <= 1, and some inputs are not among them"):
        check_truncation(cell, 2 * x, contraction=c, drive=drive, trials=5)
    with pytest.raises(ValueError, match="needed one norm"):
        check_truncation(cell, x, contraction=contraction(cell, norm=Linf()), drive=drive, trials=5)


def test_a_drive_without_the_offset_is_found():
    # gain * input_bound alone: 1, but the bias adds 1/2
    cell = LinearMap([[0.5]], [[1.0]], [0.5])
    x = np.ones((5, 1))
    check_truncation(cell, x, drive=1.5, trials=20)
    message = refuted(check_truncation, cell, x, drive=1.0, trials=20)
    assert "the claimed drive is exceeded at input 0 of sequence 0" in message
    assert "step(0, 0) was left out" in message


def test_a_wrong_gain_is_found_by_the_theorems():
    # says that it is 1-Lipschitz in x, and is 3-Lipschitz
    cell = CallableMap(lambda h, x: 0.5 * h + 3 * x, 1, 1, input_lipschitz=1.0)
    message = refuted(
        check_truncation, cell, np.ones((5, 1)), contraction=Contraction.assumed(0.5), trials=20
    )
    assert "drive is refuted for CallableMap" in message
    assert "gain=1.0" in message
    assert "inputs = array([[1.],\n" in message


def test_runs_that_contradict_the_factor_are_reported_without_a_search(monkeypatch):
    # with the search switched off, the trajectories themselves speak
    from theory.testing import truncation as testing

    monkeypatch.setattr(testing, "check_contraction", lambda *_, **__: None)
    message = refuted(
        check_truncation,
        LinearMap([[0.9]], [[1.0]]),
        np.ones((9, 1)),
        contraction=Contraction.assumed(0.5),
    )
    assert "the runs contradict lam=0.5" in message


def test_a_state_that_is_not_finite_is_found():
    with pytest.raises(AssertionError, match="returned a state that is not finite"):
        check_contraction(OwnMap(value=math.nan), contraction=Contraction.assumed(0.5))


# ------------------------------------------------------------------------------------------
# messages, and malformed questions


def test_the_message_reproduces_the_failure():
    cell = VanillaRNN([[0.9, 0.3], [0.1, -0.2]], np.eye(2))
    message = refuted(check_contraction, cell, contraction=Contraction.assumed(0.5))
    found = {}
    for line in message.splitlines():
        name, equals, value = line.strip().partition(" = ")
        if equals:
            found[name] = eval(value, {"array": np.array})
    images = cell.step(found["g"], found["x"]) - cell.step(found["h"], found["x"])
    ratio = L2().vector(images) / L2().vector(found["g"] - found["h"])
    assert f"measured  {float(ratio)!r}" in message
    assert ratio > 0.5
    assert "a factor of at least" in message


def test_long_arrays_are_shortened():
    cell = CallableMap(lambda h, x: 0.5 * h + 3 * x, 1, 1, input_lipschitz=1.0)
    message = refuted(
        check_truncation,
        cell,
        np.ones((500, 1)),
        contraction=Contraction.assumed(0.5),
        k_max=2,
        trials=5,
    )
    assert len(message) < 1500


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: check_contraction(gru), "needed a Map; read weights: .*; wrap your own function"),
        (lambda: check_contraction(GRU), "nothing is known of its function; pass the one"),
        (lambda: check_contraction(VanillaRNN([[2.0]], [[1.0]])), "no criterion gives a factor"),
        (lambda: check_contraction(GRU, contraction=0.5), "needed a Contraction"),
        (
            lambda: check_contraction(GRU, contraction=Contraction.assumed(0.5, iterate=2)),
            "one of 2 steps",
        ),
        (
            lambda: check_contraction(
                GRU, contraction=Contraction.assumed(0.5, WeightedLinf([1.0]))
            ),
            r"norm on R\^1, needed one on R\^2",
        ),
        (lambda: check_contraction(GRU, contraction=GRU_CONTRACTION, radius=0.0), "radius=0.0"),
        (lambda: check_contraction(GRU, contraction=GRU_CONTRACTION, trials=-1), "trials=-1"),
        (lambda: check_contraction(GRU, contraction=GRU_CONTRACTION, trials=1.5), "trials=1.5"),
        (lambda: check_contraction(GRU, contraction=GRU_CONTRACTION, seed=-1), "seed=-1"),
        (
            lambda: check_contraction(GRU, contraction=GRU_CONTRACTION, inputs=[[math.nan, 0.0]]),
            "inputs",
        ),
        (
            lambda: check_contraction(GRU, contraction=GRU_CONTRACTION, inputs=np.ones((3, 5))),
            "inputs",
        ),
        (lambda: check_truncation(GRU, np.ones((3, 1)), contraction=GRU_CONTRACTION), "inputs"),
        (lambda: check_truncation(GRU, INPUTS), "no contraction is certified"),
        (
            lambda: check_truncation(GRU, INPUTS, contraction=GRU_CONTRACTION, drive=-1.0),
            "drive=-1.0",
        ),
        (lambda: check_truncation(GRU, INPUTS, contraction=GRU_CONTRACTION, start=[1.0]), "start"),
        (
            lambda: check_truncation(
                GRU, INPUTS, contraction=GRU_CONTRACTION, radius=1.0, trials=5, k_max=2.5
            ),
            "k_max=2.5",
        ),
        (
            lambda: check_truncation(
                GRU,
                INPUTS,
                contraction=GRU_CONTRACTION,
                radius=1.0,
                trials=5,
                counterpart=lambda X, k: X[k + 1 :],
            ),
            "counterpart",
        ),
    ],
)
def test_malformed_questions(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_fast_enough_for_a_suite():
    started = time.process_time()
    check_truncation(GRU, INPUTS, contraction=GRU_CONTRACTION, radius=1.0)
    assert time.process_time() - started < 10


# ------------------------------------------------------------------------------------------
# what a map of the user's may do, each told apart

HALF = Contraction.assumed(0.75)
TURN = np.array([[0.4, -0.3], [0.5, 0.2]])


def said_of(step, n=2, **options):
    return refuted(check_contraction, CallableMap(step, n, n, **options), contraction=HALF)


def test_a_step_that_remembers_is_told_from_one_that_is_random():
    memory = [0.0]

    def remembers(h, x):
        memory[0] = 0.5 * memory[0] + float(x[0])
        return 0.5 * h + memory[0]

    last = [0.0]

    def one_call(h, x):
        last[0], before = float(x[0]), last[0]
        return 0.5 * h + before

    for step in (remembers, one_call):
        message = said_of(step, 1)
        assert "the same step, after other calls, gives another state" in message
        assert "hidden variable" in message.split("try")[-1]
    rng, calls = np.random.default_rng(1), [0]

    def counts(h, x):
        calls[0] += 1
        return 0.5 * h + 1e-3 * calls[0] + 0 * x

    for step in (counts, lambda h, x: 0.5 * h + x * rng.integers(2)):
        message = said_of(step, 1)
        assert "computed again, gives another state: random numbers, or a variable" in message
        assert "dropout off" in message


def test_a_step_that_takes_no_batch():
    mixes = said_of(lambda h, x: h @ TURN + x - x.mean(axis=0) * (x.ndim > 1), vectorized=True)
    assert "computed in a batch, gives another state: it mixes its rows" in mixes
    cell = CallableMap(lambda h, x: TURN @ h + x, 2, 2, vectorized=True)
    with pytest.raises(ValueError, match=r"no batch of shapes .* leave vectorized=True out"):
        check_contraction(cell, contraction=HALF)


def test_single_precision_within_a_step_is_not_a_false_claim():
    single = TURN.astype(np.float32)

    def rounds(h, x):
        return np.tanh(single @ h.astype(np.float32) + x.astype(np.float32)).astype(np.float64)

    noise = np.random.default_rng(0)

    def noisy(h, x):
        return rounds(h, x) * (1 + noise.integers(2) * 2.0**-23)

    def noisy_single(h, x):
        return noisy(h, x).astype(np.float32).astype(np.float64)

    message = said_of(noisy_single)
    assert "differ by rounding" in message
    assert "is not a function" not in message
    assert "pass rounding_units=80 * 2**29" in message
    cell = CallableMap(noisy_single, 2, 2, rounding_units=80 * 2.0**29)
    assert check_contraction(cell, contraction=HALF).outcome is not Outcome.REFUTED
    # a true double precision difference of that size is not excused
    assert "is not a function" in said_of(noisy)


def test_the_advice_fits_the_factor():
    message = said_of(lambda h, x: 8 * h + x)
    assert "no factor below 1 holds in this one" in message
    assert "a factor of at least" not in message
    assert "a factor of at least 0.8;" in said_of(lambda h, x: 0.8 * h + 0 * x)


def test_the_frames_of_the_package_are_hidden():
    twice, claim = LinearMap([[2.0]], [[1.0]]), Contraction.assumed(0.5)
    lost = CallableMap(lambda h, x: np.full_like(h, np.nan) + x, 1, 1)
    late = CallableMap(lambda h, x: np.where(np.abs(h) > 2, 2 * h, h / 2) + x, 1, 1)
    for ask in (
        lambda: check_contraction(twice, contraction=claim),
        lambda: check_contraction(lost, contraction=claim),
        lambda: check_truncation(twice, np.ones((3, 1)), contraction=claim),
        lambda: check_truncation(
            late, 10 * np.ones((3, 1)), contraction=claim, radius=1e-3, trials=2
        ),
    ):
        with pytest.raises(AssertionError) as caught:
            ask()
        seen = [entry for entry in caught.traceback if not entry.ishidden(caught)]
        assert {str(entry.path) for entry in seen} == {__file__}
