"""Files of maps: every map comes back bit for bit, and a damaged file is refused."""

import inspect
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import theory.maps
from theory import GRU, LSTM, CallableMap, Cascade, EchoStateNetwork, LinearMap, Map, VanillaRNN
from theory.interop import (
    from_arrays,
    from_npz,
    load_map,
    named_arrays,
    read_weights,
    save_map,
)
from theory.interop.function_file import described_function
from theory.interop.map_file import _KINDS, FORMAT, HEADER
from theory.maps import (
    RGLRU,
    SLSTM,
    Block,
    Chain,
    Concatenate,
    DeltaRule,
    Dense,
    DiagonalSSM,
    HardGRU,
    LinearAttention,
    LinearHead,
    MinGRU,
    Normalize,
    PeepholeLSTM,
    Pointwise,
    Product,
    Read,
    Select,
    SelectiveSSM,
    Sum,
)
from theory.strategies import any_maps

ROUND = np.array([[0.5, -0.0], [5e-324, 1 / 3]])

READ = Read(1, keys=2, values=1)

#: One of every class, with zeros of both signs, the least double, and settings that are no default.
EVERY = {
    "LinearMap": LinearMap(ROUND, [[1.0], [-0.0]], [0.1, -0.0]),
    "VanillaRNN": VanillaRNN(ROUND, [[1.0], [2.0]], activation="leaky_relu(0.1)"),
    "EchoStateNetwork": EchoStateNetwork(
        ROUND, [[1.0], [2.0]], leak=[1 / 3, 1.0], activation="relu"
    ),
    "LSTM": LSTM(np.ones((4, 1)) / 3, np.ones((4, 2))),
    "PeepholeLSTM": PeepholeLSTM(
        np.ones((4, 1)) / 3,
        np.ones((4, 2)),
        peepholes=[0.1, -0.0, 1 / 3],
        gates="hard_sigmoid(0.2)",
    ),
    "GRU": GRU(np.ones((3, 1)) / 3, np.ones((3, 2)), variant="reset_before"),
    "SLSTM": SLSTM(np.ones((8, 2)) / 3, np.ones((8, 2)), forget="exp"),
    "HardGRU": HardGRU(np.ones((3, 1)) / 3, np.ones((3, 2)), gates="hard_sigmoid(1/6)"),
    "MinGRU": MinGRU(np.ones((2, 3)), [0.1, -0.0], activation="softplus"),
    "RGLRU": RGLRU(np.ones((2, 1)), [0.3], scale=1 / 3),
    "SelectiveSSM": SelectiveSSM([[0.1, 0.2]], [[1.0]], [[1.0], [2.0]], discretization="zoh"),
    "LinearAttention": LinearAttention(
        np.ones((6, 2)) / 3, decay=[1 / 3, 2.0], heads=1, keys=2, values=1, write="exp"
    ),
    "DeltaRule": DeltaRule(
        np.ones((5, 2)) / 3, decay=[1 / 3], heads=1, keys=1, values=1, rule="rwkv7", eps=1 / 3
    ),
    "DiagonalSSM": DiagonalSSM([complex(-0.0, 0.5), complex(0.3, -0.0)], [[1j], [2.0 - 0j]]),
}
BLOCK = Block(
    EVERY["LinearAttention"],
    before=Chain([Normalize([1 / 3, -0.0], kind="layer", eps=1 / 3), Pointwise("silu", 2)]),
    after=Sum(
        [
            Product([Dense(np.ones((1, 4)) / 3), Dense(np.ones((1, 4)), [0.1])]),
            Chain([Concatenate([Select(0, stop=2, size=4), Select(2, stop=4, size=4)]), READ]),
        ]
    ),
)
EVERY["Block"] = Cascade([BLOCK, Block(EVERY["RGLRU"], after=Dense([[1 / 3, -0.0]]))])
EVERY["Cascade"] = Cascade(
    [EVERY["LSTM"], Cascade([EVERY["VanillaRNN"], EVERY["GRU"]]), EVERY["DiagonalSSM"]],
    [LinearHead([[0.0, 1 / 3]], [-0.0]), [[1.0, 2.0, 3.0]]],
)


def told_of(recurrent: Map) -> object:
    """Return what the parameters do not tell."""
    if isinstance(recurrent, Cascade):
        given = [(r.given, r.entries, r.C.tobytes()) for r in recurrent.readouts]
        return [told_of(layer) for layer in recurrent.layers], given
    if isinstance(recurrent, Block):
        parts = [f and described_function(f) for f in (recurrent.before, recurrent.after)]
        return told_of(recurrent.core), parts
    names = ["activation", "variant", "discretization", "scale", "state_dim", "input_dim"]
    names += ["heads", "keys", "values", "forget", "write", "rule", "eps", "gates"]
    values = [getattr(recurrent, name, None) for name in names]
    # a leaky relu is made anew for each leak
    return type(recurrent), [getattr(value, "name", value) for value in values]


def same_bits(a: Map, b: Map) -> bool:
    p, q = a.parameters, b.parameters
    return (
        repr(a) == repr(b)
        and told_of(a) == told_of(b)
        and list(p) == list(q)
        and all(p[k].shape == q[k].shape and p[k].tobytes() == q[k].tobytes() for k in p)
    )


def test_every_class_has_an_example():
    """A new map goes into the table of theory.interop.map_file, and here."""
    classes = {
        name
        for name, thing in vars(theory.maps).items()
        if inspect.isclass(thing) and issubclass(thing, Map) and not inspect.isabstract(thing)
    }
    assert classes - {"CallableMap"} == set(EVERY)


@pytest.mark.parametrize("name", EVERY)
def test_every_map_comes_back(name, tmp_path):
    path = tmp_path / "new" / "map.npz"
    save_map(path, EVERY[name])
    assert same_bits(load_map(path), EVERY[name])
    for read in (from_npz, read_weights):
        assert same_bits(read(path), EVERY[name])
    assert same_bits(from_arrays(named_arrays(path)), EVERY[name])
    X = np.ones((5, EVERY[name].input_dim))
    assert load_map(path).simulate(X).tobytes() == EVERY[name].simulate(X).tobytes()


@settings(max_examples=40)
@given(recurrent=any_maps(), scale=st.sampled_from([1.0, 1e-300, -1.0]))
def test_any_map_comes_back(tmp_path_factory, recurrent, scale):
    path = tmp_path_factory.getbasetemp() / "any.npz"
    if isinstance(recurrent, LinearMap | LSTM):
        own = recurrent.parameters
        recurrent = recurrent.with_parameters(**{k: scale * own[k] for k in own})
    save_map(path, recurrent)
    assert same_bits(load_map(path), recurrent)


def test_the_file_is_plain_and_replaced_in_one_step(tmp_path):
    path = tmp_path / "map.NPZ"
    save_map(path, EVERY["LSTM"])
    save_map(path, EVERY["GRU"])
    assert [p.name for p in tmp_path.iterdir()] == ["map.NPZ"]
    with np.load(path, allow_pickle=False) as stored:
        line = json.loads(str(stored[HEADER]))
        assert line == {"format": FORMAT, "kind": "GRU", "variant": "reset_before"}
        assert set(stored.files) == {HEADER, *EVERY["GRU"].parameters}
    assert same_bits(load_map(path), EVERY["GRU"])


def test_what_cannot_be_written(tmp_path):
    own = CallableMap(lambda h, x: 0.5 * h + x, state_dim=1, input_dim=1)
    for recurrent in (own, Cascade([EVERY["LSTM"], own], [[[0.0, 1.0]]])):
        with pytest.raises(ValueError, match="cannot be written: its step is a function of yours"):
            save_map(tmp_path / "map.npz", recurrent)
    with pytest.raises(ValueError, match=r"ends in '.txt', needed .npz"):
        save_map(tmp_path / "map.txt", EVERY["LSTM"])
    with pytest.raises(ValueError, match="needed a Map"):
        save_map(tmp_path / "map.npz", np.eye(2))
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        save_map(tmp_path / "folder.npz", EVERY["LSTM"])
    assert [p.name for p in tmp_path.iterdir()] == ["folder.npz"]


def test_what_is_said_beside_a_file_that_tells(tmp_path):
    path = tmp_path / "map.npz"
    save_map(path, EVERY["GRU"])
    assert same_bits(from_npz(path, variant="reset_before", activation=None), EVERY["GRU"])
    for told in ({"variant": "reset_after"}, {"activation": "relu"}):
        with pytest.raises(ValueError, match="but the file tells that the map is GRU"):
            from_npz(path, **told)
    with pytest.raises(ValueError, match="a file of save_map holds one map"):
        from_npz(path, prefix="enc")
    with pytest.raises(ValueError, match="'hard_sigmoid': gates other than"):
        from_npz(path, recurrent_activation="hard_sigmoid")
    save_map(path, EVERY["LinearMap"])
    assert same_bits(from_npz(path, activation="identity"), EVERY["LinearMap"])
    np.savez(path, W=np.eye(2))
    with pytest.raises(ValueError, match=r"map.npz: it is no file of save_map: it holds \[W\]"):
        load_map(path)
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        load_map(tmp_path / "none.npz")


def line(**changed):
    return np.array(
        json.dumps({"format": FORMAT, "kind": "GRU", "variant": "reset_after"} | changed)
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({HEADER: np.array(3)}, "is no line of text"),
        ({HEADER: np.array(["a", "b"])}, "is no line of text"),
        ({HEADER: np.array("{")}, "is not JSON"),
        ({HEADER: np.array("[" * 100_000)}, "is not JSON"),
        ({HEADER: np.array("[1]")}, "the format of the map is None"),
        ({HEADER: line(format="stable-recurrent-models map, version 2")}, "version 2', needed"),
        ({HEADER: line(kind="RNN")}, "the kind of map is 'RNN', needed one of"),
        ({HEADER: line(kind=["GRU"])}, r"the kind of map is \['GRU'\]"),
        ({HEADER: line(variant="other")}, "variant='other', needed one of"),
        ({HEADER: line(variant=None)}, "variant=None"),
        ({HEADER: line(kind="MinGRU")}, "missing keys: |would be left over"),
        ({HEADER: line(kind="VanillaRNN")}, r"\[b_candidate\] would be left over"),
        ({HEADER: line(kind="Cascade")}, "the layers of the Cascade are not described"),
        ({HEADER: line(kind="Cascade", layers=[], readouts=[])}, "are not described"),
        ({HEADER: line(kind="Cascade", layers=[3], readouts=[])}, "left over"),
        ({"W": None}, "missing keys: W; the file is damaged"),
        ({"X": np.eye(2)}, r"\[X\] would be left over.*unused='X'"),
        ({"W": np.full((3, 1), np.nan)}, "W holds nan"),
        ({"W": np.ones((4, 1))}, "W"),
        ({"W": np.array([None], dtype=object)}, "never unpickled"),
    ],
)  # fmt: skip
def test_damaged_files(changed, message, tmp_path):
    path = tmp_path / "map.npz"
    arrays = {HEADER: line(), **GRU(np.ones((3, 1)), np.ones((3, 1))).parameters} | changed
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    for read in (load_map, read_weights):
        with pytest.raises(ValueError, match=message) as caught:
            read(path)
        assert "map.npz" in str(caught.value)


def test_what_is_left_over_in_a_file_may_be_allowed(tmp_path):
    path = tmp_path / "map.npz"
    save_map(path, EVERY["Cascade"])
    arrays = named_arrays(path)
    for extra in ("3.W", "0.readout2", "00.W", "x", "1.readout.W"):
        np.savez(path, **arrays | {extra: np.eye(1)})
        with pytest.raises(ValueError, match=r"would be left over|is damaged"):
            from_npz(path)
        assert same_bits(from_npz(path, unused=extra), EVERY["Cascade"])
    for lost in arrays:
        np.savez(path, **{name: value for name, value in arrays.items() if name != lost})
        with pytest.raises(ValueError, match=r"missing keys|no recurrent|Cascade|over|readout"):
            from_npz(path)


@pytest.mark.parametrize("at", range(0, 900, 37))
def test_a_byte_that_is_wrong(at, tmp_path):
    """It is refused, or the map is another one in a number of its own: never a raw error."""
    path = tmp_path / "map.npz"
    save_map(path, EVERY["GRU"])
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= 0x55
    path.write_bytes(bytes(content))
    try:
        found = load_map(path)
    except ValueError as error:
        found = str(error)
    assert isinstance(found, GRU) or "map.npz" in found


def test_the_table_holds_all_that_makes_a_map():
    """A setting that a class gets later is not forgotten."""
    for name, kind in _KINDS.items():
        if kind.make is None:
            takes = set(inspect.signature(kind.of).parameters) - {"A", "B", "bias"}
            assert takes == {*kind.arrays, *kind.settings}, name
        assert list(EVERY[name].parameters) == list(kind.arrays), name
