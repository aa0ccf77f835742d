"""Linear systems of SciPy: the same outputs, one time later; what cannot be meant is refused."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import signal

from theory import Inputs, LinearMap
from theory.interop import from_state_space
from theory.memory import worst_case_error


def system(rng, n=3, m=2, p=2, dt=0.1):
    A = rng.standard_normal((n, n))
    A *= 0.8 / np.max(np.abs(np.linalg.eigvals(A)))
    return signal.StateSpace(
        A, rng.standard_normal((n, m)), rng.standard_normal((p, n)), np.zeros((p, m)), dt=dt
    )


def test_outputs_are_those_of_scipy_one_time_later():
    rng = np.random.default_rng(0)
    given, inputs = system(rng), rng.standard_normal((30, 2))
    recurrent, head = from_state_space(given)
    _, outputs, _ = signal.dlsim(given, inputs)
    ours = head(recurrent.simulate(inputs))
    np.testing.assert_allclose(ours[:-1], outputs[1:], rtol=1e-12, atol=1e-12)


def test_a_context_is_one_more_for_their_output():
    """What the last k + 1 inputs leave open of y_t is what k leave open of h_{t-1}."""
    given = system(np.random.default_rng(1), m=1, p=1)
    recurrent, head = from_state_space(given)
    k = 4
    ours = worst_case_error(recurrent, k, inputs=Inputs.box(-1, 1), head=head).error
    impulse = signal.dimpulse(given, n=400)[1][0][:, 0]  # y_j of a unit input at time 0
    assert ours == pytest.approx(np.sum(np.abs(impulse[k + 1 :])), rel=1e-9)


def test_the_direct_part_is_left_out_when_allowed():
    given = SimpleNamespace(A=[[0.5]], B=[[1.0]], C=[[2.0]], D=[[3.0]], dt=True)
    with pytest.raises(ValueError, match=r"allow that with unused='D'"):
        from_state_space(given)
    recurrent, head = from_state_space(given, unused="D")
    assert isinstance(recurrent, LinearMap)
    assert head.C.tolist() == [[2.0]]
    with pytest.raises(ValueError, match="unused='C', needed 'D' or nothing"):
        from_state_space(given, unused="C")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dt": None}, r"dt=None, needed a time step.*to_discrete"),
        ({"dt": 0}, "dt=0, needed a time step"),
        ({"C": None}, "without C, needed a system with A, B, C, D"),
        ({"C": [[1.0, 2.0]]}, r"C has shape \(1, 2\), needed \(p, 1\)"),
        ({"D": [[0.0, 0.0]]}, r"D has shape \(1, 2\), needed \(1, 1\)"),
        ({"A": [[float("nan")]]}, "A holds nan"),
    ],
)
def test_what_cannot_be_meant_is_refused(change, message):
    given = {"A": [[0.5]], "B": [[1.0]], "C": [[2.0]], "D": [[0.0]], "dt": 1.0} | change
    with pytest.raises(ValueError, match=message):
        from_state_space(SimpleNamespace(**given))


def test_systems_in_continuous_time_are_refused():
    given = signal.StateSpace([[-1.0]], [[1.0]], [[1.0]], [[0.0]])
    with pytest.raises(ValueError, match="continuous time"):
        from_state_space(given)
    recurrent, _ = from_state_space(given.to_discrete(0.1))
    assert recurrent.parameters["W"][0, 0] == pytest.approx(np.exp(-0.1))
