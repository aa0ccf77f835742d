"""Arrays of other libraries: the right numbers, or one clear error that names the argument."""

import numbers

import numpy as np
import pytest
from layouts import needs_torch, torch

from theory import GRU, LSTM, DiagonalSSM, Domain, EchoStateNetwork, Inputs, LinearMap, VanillaRNN
from theory.errors import as_array, plain_array
from theory.maps import RGLRU, LinearHead, MinGRU, SelectiveSSM

#: Every constructor with the arguments that are arrays.
MAKERS = {
    "LinearMap": (LinearMap, {"W": (2, 2), "U": (2, 1), "b": (2,)}),
    "VanillaRNN": (VanillaRNN, {"W": (2, 2), "U": (2, 1), "b": (2,)}),
    "EchoStateNetwork": (EchoStateNetwork, {"W": (2, 2), "U": (2, 1), "b": (2,), "leak": (2,)}),
    "LSTM": (LSTM, {"W": (4, 1), "U": (4, 2), "b": (4,)}),
    "GRU": (GRU, {"W": (3, 1), "U": (3, 2), "b": (3,), "b_candidate": (1,)}),
    "MinGRU": (MinGRU, {"U": (2, 2), "b": (2,)}),
    "RGLRU": (RGLRU, {"U": (2, 1), "Lambda": (1,), "b": (2,)}),
    "SelectiveSSM": (
        SelectiveSSM,
        {"decay": (1, 2), "W_step": (1, 1), "W_B": (2, 1), "b_step": (1,), "b_B": (2,)},
    ),
    "DiagonalSSM": (DiagonalSSM, {"eigenvalues": (2,), "B": (2, 1)}),
    "LinearHead": (LinearHead, {"C": (2, 2), "d": (2,)}),
}


def half(shape):
    return np.full(shape, 0.5)


class Sparse:
    """What a sparse matrix of SciPy, or of JAX, answers."""

    def __init__(self, array, method="toarray"):
        setattr(self, method, lambda: array)


class Table:
    """What a table of pandas with nullable columns answers."""

    def __init__(self, cells):
        self.cells = np.array(cells, dtype=object)

    def __array__(self, dtype=None, copy=None):
        return self.cells

    def to_numpy(self):
        return self.cells


class Missing:
    """pandas' value that is missing."""

    def __repr__(self):
        return "<NA>"


class Traced:
    """What JAX answers inside of a compiled function."""

    def __array__(self, dtype=None, copy=None):
        raise TypeError("conversion was called on traced array\nand more lines")


def kinds():
    """Return what holds the numbers of an array, exactly, by library."""
    found = {
        "list": lambda a: a.tolist(),
        "single precision": lambda a: a.astype(np.float32),
        "not masked": np.ma.array,
        "sparse": Sparse,
        "sparse of another library": lambda a: Sparse(a, "todense"),
        "table": Table,
    }
    if torch is not None:
        found |= {
            "tensor": torch.tensor,
            "parameter": lambda a: torch.nn.Parameter(torch.tensor(a)),
            "bfloat16": lambda a: torch.tensor(a).bfloat16(),
            "float16": lambda a: torch.tensor(a).half(),
            "negated": lambda a: torch.complex(torch.tensor(a), torch.tensor(-a)).conj().imag,
            "sparse tensor": lambda a: torch.tensor(a).to_sparse(),
            "transposed": lambda a: torch.tensor(a.T.copy()).permute(*range(a.ndim)[::-1]),
        }
    return found


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("name", MAKERS)
def test_every_constructor_takes_them(name, kind):
    make, shapes = MAKERS[name]
    plain = {key: half(shape) for key, shape in shapes.items()}
    expected = make(**plain)
    got = make(**{key: kinds()[kind](value) for key, value in plain.items()})
    if isinstance(got, LinearHead):
        assert (got.C == expected.C).all()
        return
    for key, value in expected.parameters.items():
        assert (got.parameters[key] == value).all()
    X = half((3, got.input_dim))
    assert (got.simulate(kinds()[kind](X)) == expected.simulate(X)).all()


def wrong():
    """Return what holds no plain numbers, and what the message says."""
    masked = "has masked entries"
    found = {
        "masked": (lambda a: np.ma.masked_greater(a, 0), masked),
        "masked in a list": (lambda a: [np.ma.masked_greater(a, 0)], masked),
        "traced": (lambda _: Traced(), "is a Traced that is no array .*: conversion was called on"),
        "nothing": (lambda _: None, "is None, needed an array"),
        "missing": (lambda a: Table(np.where(a > 0, Missing(), a)), "holds <NA> at index"),
        "words": (lambda a: Table(np.where(a > 0, "x", "y")), "holds 'x' at index"),
        "objects": (lambda a: a.astype(object), "has dtype object"),
        "large integers": (lambda a: Table(a.astype(int) + 2**60 + 1), "no double is equal to"),
    }
    if torch is not None:
        found |= {
            "meta": (
                lambda a: torch.tensor(a, device="meta"),
                "is a tensor that holds no plain numbers",
            ),
            "large tensor": (
                lambda a: torch.full(a.shape, 2**53 + 1),
                "9007199254740993 at index .*, which no double",
            ),
        }
    return found


#: Arguments that may be left out, and then are None.
OPTIONAL = {"b", "b_candidate", "b_step", "b_B", "d"}


@pytest.mark.parametrize("kind", wrong())
@pytest.mark.parametrize("name", MAKERS)
def test_every_constructor_names_the_argument(name, kind):
    make, shapes = MAKERS[name]
    build, message = wrong()[kind]
    for key, shape in shapes.items():
        if kind == "nothing" and (key in OPTIONAL or name == "LinearMap"):
            continue
        values = {other: half(size) for other, size in shapes.items()} | {key: build(half(shape))}
        with pytest.raises(ValueError, match=rf"^{key}\b.*{message}") as caught:
            make(**values)
        assert "\n" not in str(caught.value)
    if name != "LinearHead":
        model = make(**{key: half(shape) for key, shape in shapes.items()})
        with pytest.raises(ValueError, match=f"^X .*{message}"):
            model.simulate(build(half((3, model.input_dim))))


@needs_torch
@pytest.mark.filterwarnings("ignore")
def test_quantised_and_complex_tensors():
    W = torch.quantize_per_tensor(torch.eye(2), 0.1, 0, torch.qint8)
    with pytest.raises(ValueError, match=r"W is a tensor .*quantised; call its dequantize"):
        VanillaRNN(W, np.eye(2))
    z = torch.tensor([0.5 + 0.25j, 1j]).conj()
    with pytest.raises(ValueError, match="W has dtype complex64, needed real numbers"):
        VanillaRNN(torch.outer(z, z), np.eye(2))
    layer = DiagonalSSM(z.clone().requires_grad_(), z[:, None])
    assert layer.eigenvalues.tolist() == [0.5 - 0.25j, -1j]
    with pytest.raises(ValueError, match="W is a list that is no array of real numbers: Can't"):
        VanillaRNN([torch.ones(2, requires_grad=True)] * 2, np.eye(2))


def test_masks_are_seen_by_sets_too():
    hidden = np.ma.masked_equal([0.5, 99.0], 99.0)
    domain = Domain(low=[-1.0, -1.0], high=[1.0, 1.0], input_low=[-1.0], input_high=[1.0])
    for ask in (
        lambda: Inputs.box(-1, hidden),
        lambda: domain.contains_states(hidden),
        lambda: domain.contains_inputs(hidden[:, None]),
        lambda: Domain(low=[-1.0], high=[1.0], input_low=[-1.0, -1.0], input_high=hidden),
    ):
        with pytest.raises(ValueError, match="has masked entries"):
            ask()


def test_tables_of_integers_and_flags():
    got = as_array("X", Table([[True, 2], [np.bool_(0), np.int8(3)]]))
    assert got.tolist() == [[1.0, 2.0], [0.0, 3.0]]
    assert isinstance(np.bool_(1), numbers.Real) is False  # so that it is asked for by itself
    assert plain_array("X", got) is got


def test_tables_of_pandas_itself():
    pd = pytest.importorskip("pandas", reason="pandas is not installed")
    cell = VanillaRNN(0.5 * np.eye(2), np.eye(2))
    frame = pd.DataFrame({"a": [0.5, 1.5], "b": [1, 2]})
    expected = cell.simulate(frame.to_numpy(float))
    for table in (frame, frame.convert_dtypes(), frame.astype("Float64"), frame.astype("float32")):
        assert (cell.simulate(table) == expected).all()
    with pytest.raises(ValueError, match=r"^X holds <NA> at index \(1, 0\)"):
        cell.simulate(frame.astype("Float64").mask(frame > 1.2).assign(b=1.0))


def test_arrays_of_jax_itself():
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    np_of = jax.numpy
    for W in (np_of.eye(2), np_of.eye(2, dtype="bfloat16"), np_of.eye(2, dtype="int8")):
        assert VanillaRNN(np.eye(2) / 2, W).U.tolist() == [[1, 0], [0, 1]]
    with pytest.raises(ValueError, match=r"W is a \w+ that is no array of real numbers"):
        jax.jit(lambda W: VanillaRNN(W, W).W)(np_of.eye(2))


def test_sparse_matrices_of_scipy_itself():
    from scipy import sparse

    twice = sparse.coo_array(([1.0, 2.0], ([0, 0], [0, 0])), shape=(2, 2))
    for W in (sparse.csr_array(np.eye(2)), sparse.csc_matrix(np.eye(2)), twice):
        cell = EchoStateNetwork(W, np.ones((2, 1)), leak=0.3)
        assert (W.toarray() == cell.W).all()
