"""Reservoirs of reservoirpy, by what answers as they do."""

import numpy as np
import pytest
from layouts import same

from theory import EchoStateNetwork
from theory.interop import from_reservoirpy


class Sparse:
    """What a SciPy sparse matrix answers."""

    def __init__(self, array):
        self.array = array

    def toarray(self):
        return self.array


class Reservoir:
    def __init__(self, **attributes):
        self.W = np.array([[0.5, 0.2], [0.0, -0.4]])
        self.Win = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, -1.0]])
        self.bias = np.array([[0.1], [0.2]])
        self.lr = 0.3
        self.activation = np.tanh
        self.__dict__.update(attributes)


@pytest.mark.parametrize(
    "bias", [np.array([0.1, 0.2]), np.array([[0.1], [0.2]]), 0.1, True, None, 0.0], ids=str
)
@pytest.mark.parametrize("sparse", [False, True])
def test_a_reservoir_is_its_equation(bias, sparse):
    node = Reservoir(bias=bias)
    W, Win = node.W, node.Win
    if sparse:
        node.W, node.Win = Sparse(W), Sparse(Win)
    model = from_reservoirpy(node)
    X = np.random.default_rng(0).standard_normal((9, 3))
    h = np.zeros(2)
    for t, x in enumerate(X):
        b = 0.0 if bias is None else np.ravel(np.asarray(bias, dtype=float))
        h = 0.7 * h + 0.3 * np.tanh(W @ h + Win @ x + b)
        np.testing.assert_allclose(model.simulate(X)[t], h, rtol=1e-13, atol=1e-15)
    assert isinstance(model, EchoStateNetwork)


def test_scipy_sparse_matrices_and_rates_of_each_unit():
    from scipy import sparse

    node = Reservoir(lr=np.array([0.3, 1.0]), activation="relu")
    dense = from_reservoirpy(node)
    node.W = sparse.csr_array(node.W)
    assert same(from_reservoirpy(node), dense)
    assert dense.leak.tolist() == [0.3, 1.0]
    assert dense.activation.name == "relu"


def test_the_reservoir_of_a_whole_network():
    class Network:
        feedback = False
        reservoir = Reservoir()

    assert same(from_reservoirpy(Network()), from_reservoirpy(Reservoir()))
    Network.feedback = True
    with pytest.raises(ValueError, match="driven by its own outputs"):
        from_reservoirpy(Network())


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"W": np.tanh}, "W is not drawn before"),
        ({"Win": None}, "has no Win;"),
        ({"Wfb": np.ones((2, 1))}, "has Wfb"),
        ({"noise_rc": 0.1}, "has noise_rc"),
        ({"equation": "external"}, "needed 'internal'"),
        ({"activation": lambda a: a}, "a function that is none of reservoirpy's"),
        ({"lr": 1.5}, "leak"),
        ({"W": np.ones((2, 3))}, "square"),
        ({"bias": np.ones(3)}, r"b has shape \(3,\)"),
    ],
)
def test_reservoirs_that_are_no_such_map(attributes, message):
    with pytest.raises(ValueError, match=message):
        from_reservoirpy(Reservoir(**attributes))


def test_other_nodes_of_reservoirpy_are_refused():
    other = type("IPReservoir", (Reservoir,), {"__module__": "reservoirpy.nodes"})
    with pytest.raises(ValueError, match="received a IPReservoir, needed one of: Reservoir"):
        from_reservoirpy(other())
    assert isinstance(from_reservoirpy(Reservoir(noise_rc=0.0, Wfb=None)), EchoStateNetwork)
