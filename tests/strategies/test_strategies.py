"""theory.strategies: each yields what it promises, reaches the ends and shrinks to plain things."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from theory import (
    GRU,
    L1,
    L2,
    LSTM,
    RGLRU,
    SLSTM,
    Block,
    Cascade,
    Contraction,
    DeltaRule,
    DiagonalSSM,
    EchoStateNetwork,
    HardGRU,
    LinearAttention,
    LinearMap,
    Linf,
    MinGRU,
    PeepholeLSTM,
    SelectiveSSM,
    VanillaRNN,
    WeightedL2,
    WeightedLinf,
    contraction,
    truncation_gaps,
)
from theory.arithmetic.activations import ACTIVATIONS
from theory.maps import activation
from theory.measure import Run
from theory.strategies import (
    activations,
    any_maps,
    cascade_maps,
    certified_maps,
    diagonal_maps,
    esn_maps,
    experiments,
    factors,
    gru_maps,
    input_sequences,
    lstm_maps,
    matrices_with_norm,
    memory_maps,
    norms,
    recurrence_maps,
    stable_maps,
    states,
)

#: A norm of a full P, under which no activation but a linear one is certified.
OBLIQUE = WeightedL2(np.array([[2.0, 1.0], [1.0, 2.0]]))

#: How far below its target a norm may fall: rigor tries relative margins of 2**-46, 2**-45, ...,
#: and the margin of the scaled matrix may be a few doublings away from that of the unscaled one.
MARGIN = 2.0**-38


def drawn(strategy, count=300):
    """Return many values; a strategy that filtered would fail the health check."""
    values = []

    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[],
        derandomize=True,
    )
    @given(strategy)
    def collect(value):
        values.append(value)

    collect()
    return values


def smallest(strategy, predicate=lambda _: True):
    """Return what a failure shrinks to; of a value found there is nothing to explain."""
    return find(
        strategy,
        predicate,
        settings=settings(
            max_examples=2000,
            phases=set(Phase) - {Phase.explain},
            database=None,
            deadline=None,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


# ------------------------------------------------------------------------------------------
# each yields what it promises


@given(factors())
def test_factors_are_below_one(lam):
    assert 0 <= lam < 1
    Contraction.assumed(lam)


@given(st.integers(1, 6).flatmap(lambda n: st.tuples(st.just(n), norms(n))))
def test_norms_are_norms_of_the_dimension(drawn_norm):
    n, norm = drawn_norm
    norm.check_dim(n)
    assert norm.vector(np.ones(n)) > 0


@given(st.integers(1, 6).flatmap(lambda n: norms(n, monotone=True)))
def test_monotone_norms_are_monotone(norm):
    assert norm.monotone


@given(activations())
def test_activations_have_their_slopes(rho):
    a = np.linspace(-4.0, 4.0, 81)
    slopes = np.diff(rho(a)) / np.diff(a)
    # values of size at most 8, rounded by 8 u each, a tenth apart
    slack = 2 * 8 * 8 * 2.0**-53 * 10
    assert rho.slope[0] - slack <= slopes.min()
    assert slopes.max() <= rho.slope[1] + slack


@given(
    st.integers(1, 5).flatmap(lambda n: st.tuples(st.just(n), norms(n))),
    st.sampled_from((0.0, 1e-3, 0.9, 7.0)) | st.floats(1e-6, 1e3),
    st.none() | st.integers(1, 4),
    st.data(),
)
def test_matrices_have_the_norm(drawn_norm, size, m, data):
    n, norm = drawn_norm
    A = data.draw(matrices_with_norm(n, norm, size=size, m=m))
    assert A.shape == (n, n if m is None else m)
    upper = norm.matrix_upper(A, None if m is None else norm.companion)
    assert size * (1 - MARGIN) <= upper <= size


@given(
    st.integers(1, 3).flatmap(
        lambda m: st.tuples(st.sampled_from((None, L1(), L2(), Linf())), st.just(m))
    ),
    st.sampled_from((0.0, 1.0, 3.0)),
    st.data(),
)
def test_inputs_are_inside_their_bound(drawn_norm, bound, data):
    norm, m = drawn_norm
    x = data.draw(input_sequences(m, min_length=2, max_length=9, bound=bound, norm=norm))
    assert 2 <= len(x) <= 9
    assert x.shape[1] == m
    assert (np.abs(x) <= bound).all()
    if norm is not None and m > 1:
        # measured from above; a lone entry is inside exactly, and its upper value just outside
        several = np.count_nonzero(x, axis=1) > 1
        assert (norm.vector_upper(x[several]) <= bound).all()


@given(states(3, bound=2.5))
def test_states_are_inside_their_bound(h):
    assert h.shape == (3,)
    assert (np.abs(h) <= 2.5).all()


@given(factors(), st.data())
def test_certified_maps_carry_their_certificate(lam, data):
    recurrent, certificate = data.draw(certified_maps(lam=lam))
    # entries that underflow lose up to 2**-1075 each, weighed by at most 5 * 64
    assert lam * (1 - MARGIN) - 2.0**-1060 <= certificate.lam <= lam
    assert certificate.evidence.kind == "certified"
    assert contraction(recurrent, norm=certificate.norm).lam == certificate.lam


@given(certified_maps(3, 2, lam=0.75, norm=st.just(L1()), activation="relu"))
def test_values_and_strategies_are_obeyed(pair):
    recurrent, certificate = pair
    assert (recurrent.state_dim, recurrent.input_dim) == (3, 2)
    assert recurrent.affine().rho is activation("relu")
    assert certificate.norm.label == "L1"
    assert 0.75 * (1 - MARGIN) <= certificate.lam <= 0.75


@given(stable_maps(norm=OBLIQUE))
def test_a_norm_that_is_not_monotone_gets_linear_maps_of_its_dimension(recurrent):
    assert isinstance(recurrent, LinearMap)
    assert recurrent.state_dim == 2


@given(stable_maps(state_dim=st.integers(2, 3), activation=activations()))
def test_stable_maps_are_stable(recurrent):
    assert 2 <= recurrent.state_dim <= 3
    gaps = truncation_gaps(recurrent, np.ones((4, recurrent.input_dim)), k_max=4)
    assert gaps[4] == 0


@given(st.sampled_from([0.0, 0.25, 3.0]), st.data())
def test_weights_are_inside_their_bound(size, data):
    strategy = data.draw(
        st.sampled_from(
            [lstm_maps(2, 3, size=size), gru_maps(2, 3, size=size), esn_maps(2, 3, size=size)]
        )
    )
    cell = data.draw(strategy)
    assert (cell.input_dim, cell.U.shape[1], cell.W.shape[1]) == (3, 3, 2)
    for array in (cell.W, cell.U, cell.b):
        assert np.max(np.abs(array)) <= size


@given(st.sampled_from([0.0, 0.5, 1.0]), st.data())
def test_eigenvalues_are_inside_their_disc(radius, data):
    layer = data.draw(diagonal_maps(3, 2, radius=radius))
    assert (layer.units, layer.input_dim) == (3, 2)
    assert (np.abs(layer.eigenvalues) <= radius).all()


@given(any_maps(input_dim=2), st.data())
def test_any_map_can_be_run(recurrent, data):
    x = data.draw(input_sequences(2, max_length=4))
    gaps = truncation_gaps(recurrent, x, k_max=4)
    assert np.isfinite(gaps).all()
    assert gaps[4] == 0


@given(cascade_maps(2, 1, size=0.5))
def test_cascades_have_their_depth(model):
    assert len(model.layers) == 2
    assert model.input_dim == 1


@given(experiments(min_length=1, max_length=4, any_start=True))
def test_experiments_have_everything(made):
    T, n = len(made.inputs), made.map.state_dim
    assert 1 <= T <= 4
    assert made.k_max in {0, 1, T - 1, T, T + 5}
    assert made.other_inputs.shape == made.inputs.shape
    assert made.head.C.shape[1] == n
    assert made.partner.state_dim == n
    assert made.partner_contraction.lam < 1
    assert not made.restart.any()
    assert not Run(made).contradicted


# ------------------------------------------------------------------------------------------
# each reaches the ends of its range


def test_ends_of_the_factors():
    seen = drawn(factors())
    assert {0.0, 1e-3, 0.5, 0.9, 0.99, 0.9999} <= set(seen)
    assert max(seen) > 0.99999
    assert any(lam not in {0.0, 1e-3, 0.5, 0.9, 0.99, 0.9999, 1 - 2.0**-20} for lam in seen)


def test_every_activation():
    seen = drawn(activations())
    assert set(ACTIVATIONS) <= {rho.name for rho in seen}
    leaks = [rho.slope for rho in seen if rho.name.startswith("leaky_relu")]
    assert any(low < 0 for low, _ in leaks)
    assert any(high > 1 for _, high in leaks)


def test_every_norm():
    seen = drawn(norms(3))
    labels = {norm.label for norm in seen}
    assert {label for label in labels if not label.startswith("max(")} == {
        *("L1", "L2", "Linf", "L1,v", "Linf,v", "L2,P")
    }
    assert len([label for label in labels if label.startswith("max(")]) >= 4
    full = [norm for norm in seen if not norm.monotone]
    assert full
    assert any(norm.monotone for norm in seen if norm.label == "L2,P")
    for label in ("Linf,v", "L1,v"):
        assert max(float(norm.v.max() / norm.v.min()) for norm in seen if norm.label == label) > 10


def test_every_kind_of_matrix():
    seen = drawn(matrices_with_norm(3, L2(), size=1.0))
    tight = 1 - 2.0**-30
    # nilpotent, orthogonal, positive, of rank one, badly scaled, with both signs
    assert any(not np.linalg.matrix_power(A, 3).any() for A in seen)
    assert any(np.linalg.svd(A)[1].min() > tight for A in seen)
    assert any((A > 0).all() for A in seen)
    assert any(np.linalg.matrix_rank(A) == 1 and np.count_nonzero(A) > 3 for A in seen)
    assert any((A < 0).any() and (A > 0).any() for A in seen)
    assert any(abs(np.linalg.eigvals(A)).max() < 0.1 for A in seen)


def test_ends_of_the_lengths():
    seen = drawn(input_sequences(2))
    lengths = {len(x) for x in seen}
    assert {0, 1} <= lengths
    assert max(lengths) >= 25
    assert any(len(x) > 1 and x.any() and (x == x[0]).all() for x in seen)
    assert any(len(x) > 1 and (x[0] == -x[1]).all() and x.any() for x in seen)
    assert any(len(x) and not x.any() for x in seen)


def test_ends_of_the_maps():
    seen = drawn(certified_maps())
    assert {recurrent.state_dim for recurrent, _ in seen} == {1, 2, 3, 4, 5}
    assert {recurrent.input_dim for recurrent, _ in seen} == {1, 2, 3}
    assert {type(recurrent) for recurrent, _ in seen} == {LinearMap, VanillaRNN}
    lams = [certificate.lam for _, certificate in seen]
    assert min(lams) == 0
    assert max(lams) >= 0.99
    assert len(set(ACTIVATIONS) & {recurrent.affine().rho.name for recurrent, _ in seen}) >= 4
    labels = {c.norm.label for _, c in seen}
    assert {label for label in labels if not label.startswith("max(")} == {
        *("L1", "L2", "Linf", "L1,v", "Linf,v", "L2,P")
    }
    assert any(recurrent.affine().b.any() for recurrent, _ in seen)


@pytest.mark.heavy
def test_every_class_of_map():
    seen = drawn(any_maps(), 800)
    assert {type(recurrent) for recurrent in seen} == {
        *(LinearMap, VanillaRNN, EchoStateNetwork, LSTM, GRU),
        *(DiagonalSSM, SelectiveSSM, MinGRU, RGLRU, LinearAttention, DeltaRule, Block, Cascade),
        *(PeepholeLSTM, SLSTM, HardGRU),
    }
    assert {recurrent.input_dim for recurrent in seen} == {1, 2, 3}


@pytest.mark.heavy
def test_ends_of_the_gated_maps():
    cells = drawn(lstm_maps(), 100)
    assert {cell.units for cell in cells} == {1, 2, 3}
    for name in "ifgo":
        assert any(cell.gate(name)[0].any() and cell.gate(name)[2].any() for cell in cells)
    assert {cell.variant for cell in drawn(gru_maps(), 50)} == {"reset_after", "reset_before"}
    assert {cell.variant for cell in drawn(gru_maps(variant="reset_after"), 50)} == {"reset_after"}
    leaks = [cell.leak for cell in drawn(esn_maps(), 60)]
    assert any((leak == 1).all() for leak in leaks)
    assert any(leak.min() != leak.max() for leak in leaks)
    values = [layer.eigenvalues for layer in drawn(diagonal_maps(), 60)]
    assert any((v.imag != 0).any() for v in values)
    assert any((v == 0).any() for v in values)
    selective = [layer for layer in drawn(recurrence_maps(), 60) if isinstance(layer, SelectiveSSM)]
    assert {layer.discretization for layer in selective} == {"euler", "zoh"}
    memories = drawn(memory_maps(), 120)
    assert {layer.rule for layer in memories if isinstance(layer, DeltaRule)} == {"gated", "rwkv7"}
    writes = {layer.write for layer in memories if isinstance(layer, LinearAttention)}
    assert writes == {"plain", "step", "exp"}
    assert any(layer.keys > 1 and layer.heads > 1 for layer in memories)
    models = drawn(cascade_maps(), 60)
    assert {len(model.layers) for model in models} == {1, 2, 3}
    readouts = [readout for model in models for readout in model.readouts]
    assert {(readout.given, bool(readout.d.any())) for readout in readouts} == {
        (False, False),
        (True, False),
        (True, True),
    }


def test_ends_of_the_experiments():
    seen = drawn(experiments(max_length=3), 200)
    assert {len(made.inputs) for made in seen} == {0, 1, 2, 3}
    beyond = {made.k_max - len(made.inputs) for made in seen}
    assert {0, 5, -1} <= beyond
    assert any(made.k_max == 0 and len(made.inputs) for made in seen)
    assert not any(made.start.any() or made.restart.any() for made in seen)
    assert any(made.restart.any() for made in drawn(experiments(any_restart=True), 50))


# ------------------------------------------------------------------------------------------
# each shrinks to what a person would draw


def test_plain_factors():
    assert smallest(factors()) == 0.5
    assert smallest(factors(), lambda lam: lam < 0.1) == 0.0
    assert smallest(factors(), lambda lam: lam > 0.5) == 0.9


def test_plain_activations():
    assert smallest(activations()).name == "identity"
    assert smallest(activations(), lambda rho: rho.at_zero != 0).name == "sigmoid"
    assert smallest(activations(), lambda rho: rho.slope[0] < -1).name == "leaky_relu(-1.5)"


def test_plain_norms():
    assert smallest(norms(2)).label == "L2"
    for label in ("Linf,v", "L1,v"):
        weighted = smallest(norms(2), lambda norm, label=label: norm.label == label)
        assert weighted.v.tolist() == [1.0, 1.0]


def test_plain_matrices():
    assert smallest(matrices_with_norm(2)).tolist() == [[0.9, 0.0], [0.0, 0.9]]
    dense = smallest(
        matrices_with_norm(2, Linf(), size=0.5), lambda A: A[0, 1] != 0 and A[1, 1] == 0
    )
    assert dense.tolist() == [[0.0, 0.5], [0.0, 0.0]]
    assert smallest(matrices_with_norm(1, size=3.0, m=2)).tolist() == [[3.0, 0.0]]


def test_plain_inputs_and_states():
    assert smallest(input_sequences(2)).shape == (0, 2)
    assert smallest(input_sequences(1), lambda x: len(x) > 2).tolist() == [[0.0]] * 3
    x = smallest(input_sequences(2, norm=L2()), lambda x: np.any(x > 0.5))
    assert x.tolist() in ([[0.0, 1.0]], [[1.0, 0.0]])
    assert smallest(states(3)).tolist() == [0.0, 0.0, 0.0]
    assert smallest(states(1), lambda h: h[0] < 0).tolist() == [-1.0]


def test_plain_maps():
    recurrent, certificate = smallest(certified_maps())
    assert isinstance(recurrent, LinearMap)
    assert (recurrent.W.tolist(), recurrent.U.tolist(), recurrent.b.tolist()) == (
        [[0.5]],
        [[1.0]],
        [0.0],
    )
    assert (certificate.lam, certificate.norm.label) == (0.5, "L2")


@pytest.mark.heavy
def test_plain_gated_maps():
    cell = smallest(lstm_maps())
    assert cell.units == cell.input_dim == 1
    assert not any(array.any() for array in (cell.W, cell.U, cell.b))
    cell = smallest(lstm_maps(), lambda cell: cell.gate("f")[0].any())
    assert cell.W.ravel().tolist() == [0.0, 1.0, 0.0, 0.0]
    assert not any(array.any() for array in (cell.U, cell.b))
    cell = smallest(gru_maps(), lambda cell: cell.gate("n")[1].any())
    assert (cell.variant, cell.U.ravel().tolist()) == ("reset_after", [0.0, 0.0, 1.0])
    reservoir = smallest(esn_maps())
    assert (reservoir.leak.tolist(), reservoir.activation.name) == ([1.0], "identity")
    assert smallest(diagonal_maps()).eigenvalues.tolist() == [pytest.approx(0.45, rel=1e-12)]
    model = smallest(cascade_maps(), lambda model: len(model.layers) == 2)
    assert all(isinstance(layer, LinearMap) for layer in model.layers)
    assert not model.readouts[0].given


@pytest.mark.heavy
def test_plain_experiments():
    # the wrong claim "one input is enough" shrinks to two steps of the scalar system
    made = smallest(
        experiments(certified_maps(1, 1)),
        lambda made: made.k_max >= 1 and Run(made).gap_table[1].max(initial=0) > 0,
    )
    assert made.map.affine().W.tolist() == [[0.5]]
    assert made.map.affine().rho.name == "identity"
    assert len(made.inputs) == made.k_max == 2
    assert set(made.inputs.ravel()) | set(made.map.affine().b) <= {0.0, 2.0}


# ------------------------------------------------------------------------------------------
# malformed questions


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: norms(0), "dim=0"),
        (lambda: norms(1.5), "dim=1.5"),
        (lambda: states(0), "n=0"),
        (lambda: states(2, bound=-1.0), "bound=-1.0 is negative"),
        (lambda: matrices_with_norm(0), "n=0"),
        (lambda: matrices_with_norm(2, m=0), "m=0"),
        (lambda: matrices_with_norm(2, size=-1.0), "size=-1.0 is negative"),
        (lambda: matrices_with_norm(3, OBLIQUE), r"L2,P is a norm on R\^2, needed one on R\^3"),
        (lambda: input_sequences(0), "width=0"),
        (lambda: input_sequences(1, min_length=-1), "min_length=-1"),
        (
            lambda: input_sequences(1, min_length=5, max_length=4),
            "min_length=5 exceeds max_length=4",
        ),
        (lambda: input_sequences(1, bound=np.nan), "bound=nan"),
        (lambda: input_sequences(3, norm=OBLIQUE), r"norm on R\^2, needed one on R\^3"),
        (lambda: certified_maps(0), "state_dim=0"),
        (lambda: certified_maps(input_dim=0), "input_dim=0"),
        (lambda: certified_maps(lam=1.0), "lam=1.0 is not a contraction"),
        (lambda: certified_maps(3, norm=OBLIQUE), r"norm on R\^2, needed one on R\^3"),
        (lambda: certified_maps(activation="swish"), "activation 'swish' is not known"),
        (lambda: certified_maps(norm=OBLIQUE, activation="tanh"), "not monotone"),
        (lambda: lstm_maps(0), "units=0"),
        (lambda: lstm_maps(size=-1.0), "size=-1.0 is negative"),
        (lambda: gru_maps(input_dim=0), "input_dim=0"),
        (lambda: gru_maps(variant="v3"), "variant='v3', needed one of: reset_after, reset_before"),
        (lambda: esn_maps(0), "state_dim=0"),
        (lambda: diagonal_maps(radius=-0.5), "radius=-0.5 is negative"),
        (lambda: recurrence_maps(0), "input_dim=0"),
        (lambda: cascade_maps(0), "depth=0"),
        (lambda: any_maps(size=np.nan), "size=nan"),
        (lambda: experiments(min_length=3, max_length=2), "min_length=3 exceeds max_length=2"),
        (lambda: experiments(max_length=-1), "max_length=-1"),
    ],
)
def test_values_are_refused_at_once(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (certified_maps(lam=st.just(1.0)), "lam=1.0 is not a contraction"),
        (certified_maps(3, norm=st.just(OBLIQUE)), r"norm on R\^2, needed one on R\^3"),
        (certified_maps(2, norm=st.just(OBLIQUE), activation="tanh"), "not monotone"),
    ],
)
def test_drawn_values_are_refused_when_drawn(strategy, message):
    with pytest.raises(ValueError, match=message):
        smallest(strategy)


def test_weights_of_a_given_norm_set_the_dimension():
    norm = WeightedLinf([1.0, 2.0, 4.0])
    assert all(recurrent.state_dim == 3 for recurrent in drawn(stable_maps(norm=norm), 30))


def test_loaded_only_when_asked_for():
    code = "import sys, theory; raise SystemExit('hypothesis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
