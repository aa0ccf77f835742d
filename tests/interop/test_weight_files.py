"""Files of weights: their kinds, short forms, and what is damaged."""

import io
import json
import struct
import subprocess
import sys
import warnings
import zipfile

import numpy as np
import pytest
from layouts import needs_safetensors, safetensors, same, weights

from theory import GRU, LSTM, Cascade, EchoStateNetwork, LinearMap, Map, VanillaRNN
from theory.errors import MissingExtraError
from theory.files import load_sequences
from theory.interop import from_arrays, from_npz, from_safetensors, read_weights


def every_map() -> dict[str, Map]:
    rng = np.random.default_rng(0)
    lstm = LSTM(rng.standard_normal((8, 2)), rng.standard_normal((8, 3)), rng.standard_normal(8))
    gru = GRU(*(rng.standard_normal(s) for s in ((6, 2), (6, 2), 6, 2)))
    return {
        "rnn": VanillaRNN(rng.standard_normal((2, 2)), rng.standard_normal((2, 3)), [1.0, 2.0]),
        "lstm": lstm,
        "gru": gru,
        "esn": EchoStateNetwork(np.eye(2) / 2, np.ones((2, 3)), [0.0, 1.0], leak=[0.5, 1.0]),
        "cascade": Cascade([lstm, gru]),
    }


@pytest.mark.parametrize("name", every_map())
def test_parameters_can_be_stored_and_read_back(name, tmp_path):
    model = every_map()[name]
    np.savez(tmp_path / "own.npz", **model.parameters)
    told = {"activation": "tanh"} if name in {"rnn", "esn"} else {}
    assert same(from_npz(tmp_path / "own.npz", **told), model)
    if safetensors is not None:
        safetensors.numpy.save_file(
            {k: v.copy() for k, v in model.parameters.items()}, tmp_path / "own.safetensors"
        )
        assert same(read_weights(tmp_path / "own.safetensors", **told), model)


def test_short_forms(tmp_path):
    np.save(tmp_path / "w.npy", np.eye(2))
    alone = read_weights(tmp_path / "w.npy", activation="tanh")
    assert (alone.parameters["U"] == np.eye(2)).all()
    np.savez(tmp_path / "a.npz", A=np.eye(2), B=np.ones((2, 1)), bias=np.ones(2))
    linear = from_npz(tmp_path / "a.npz")
    assert isinstance(linear, LinearMap)
    assert same(from_npz(tmp_path / "a.npz", activation="identity"), linear)
    assert linear.affine().b.tolist() == [1.0, 1.0]
    with pytest.raises(ValueError, match=r"w.npy is a single array"):
        from_npz(tmp_path / "w.npy")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"W": np.ones((2, 3))}, r"W has shape \(2, 3\)"),
        ({"W": np.ones((8, 2))}, "missing keys: U"),
        ({"W": np.ones((8, 2)), "U": np.ones((8, 1)), "b_candidate": [1.0]}, "b_candid"),
        ({"W": np.ones((8, 2)), "U": np.ones((8, 1)), "leak": 0.5}, "leak goes with"),
        ({"W": np.eye(2), "A": np.eye(2)}, "mean the same"),
        ({"x.W": np.eye(2), "y.W": np.eye(2)}, r"x \(own\), y \(own\); choose one with prefix="),
        ({"0.W": np.eye(2), "1.W": np.eye(2), "0.readout": np.eye(2)}, "the Cascade yourself"),
        ({"U": np.eye(2)}, "no recurrent weights"),
        ({"W": [[np.nan]]}, r"W holds nan at index \(0, 0\)"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit(arrays, message):
    with pytest.raises(ValueError, match=message):
        from_arrays(arrays)
    with pytest.raises(ValueError, match="layout 'jax' is not known"):
        from_arrays(arrays, layout="jax")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not an archive", b"nonsense", b"\x93NUMPY"])
@pytest.mark.parametrize("name", ["x.npz", "x.npy", "x.safetensors"])
def test_damaged_files(content, name, tmp_path):
    if name.endswith("safetensors") and safetensors is None:
        pytest.skip("safetensors is not installed (extra 'safetensors')")
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name} cannot be read: "):
        read_weights(path)
    path.unlink()
    with pytest.raises(ValueError, match=rf"{name} cannot be read: "):
        read_weights(path)


def test_an_archive_that_unpacks_to_more_than_the_limit(tmp_path):
    """Its header declares 8 TB; nothing is allocated for them."""
    path = tmp_path / "x.npz"
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000), }"
    header += b" " * (117 - len(header)) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("W.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + header)
    with pytest.raises(ValueError, match=r"x.npz cannot be read: .* declares 8000000000000 bytes"):
        from_npz(path)


def test_a_truncated_archive(tmp_path):
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("W.npy", b"\x93NUMPY\x01\x00")
    with pytest.raises(ValueError, match="cannot be read"):
        from_npz(path)


@needs_safetensors
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8])
def test_safetensors_of_every_width(dtype, tmp_path):
    named = {f"a.{k}": (8 * v).astype(dtype) for k, v in weights("gru").items()}
    named["other"] = np.zeros(3, dtype=np.int64)
    safetensors.numpy.save_file(named, tmp_path / "w.safetensors")
    expected = from_arrays({k: v.astype(np.float64) for k, v in named.items()})
    assert same(from_safetensors(tmp_path / "w.safetensors"), expected)


def write_safetensors(path, kind: str, data: dict[str, tuple[list[int], bytes]]) -> None:
    """Write a file by hand: a length, a header, the bytes."""
    header, at = {}, 0
    for name, (shape, raw) in data.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [at, at + len(raw)]}
        at += len(raw)
    text = json.dumps(header).encode()
    body = b"".join(raw for _, raw in data.values())
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


@needs_safetensors
def test_safetensors_of_bfloat16_and_of_unknown_types(tmp_path):
    path = tmp_path / "w.safetensors"
    # 1.5 = 0x3fc00000 and -2 = 0xc0000000 as float32; bfloat16 is the upper half
    two = {"W": ([1, 1], b"\xc0\x3f"), "U": ([1, 1], b"\x00\xc0")}
    write_safetensors(path, "BF16", two)
    model = from_safetensors(path, activation="tanh")
    assert (model.parameters["W"], model.parameters["U"]) == (1.5, -2.0)
    write_safetensors(path, "F8_E4M3", {"W": ([1, 1], b"\x01"), "U": ([1, 1], b"\x01")})
    with pytest.raises(ValueError, match=r"[UW] is stored as F8_E4M3, needed F64, F32"):
        from_safetensors(path)


def run_without(package: str, program: str) -> str:
    """Return what a program prints where a package is not installed."""
    code = f"import sys; sys.modules[{package!r}] = None\n" + program
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_missing_extras_say_what_to_install(tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"")
    program = (
        "from theory import interop; from theory.errors import MissingExtraError\n"
        "try:\n    {}\nexcept MissingExtraError as error:\n    print(error)"
    )
    out = run_without("safetensors", program.format(f"interop.from_safetensors({str(path)!r})"))
    assert "pip install '.[safetensors]'" in out
    out = run_without("torch", program.format("interop.from_torch(object())"))
    assert "pip install '.[torch]'" in out
    assert issubclass(MissingExtraError, ImportError)


def test_reading_arrays_loads_neither_torch_nor_safetensors():
    program = (
        "import sys, numpy as np\nfrom theory import interop\n"
        "interop.from_torch({'weight_ih': np.ones((4, 1)), 'weight_hh': np.ones((4, 1))})\n"
        "print([m for m in ('torch', 'safetensors', 'keras', 'numba') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


# --------------------------------------------------------------------- what is read is all there is


def archive(path, *members):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name that is there twice
        with zipfile.ZipFile(path, "w") as stream:
            for name, content in members:
                stream.writestr(name, content)


def npy(array) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_an_archive_holds_arrays_each_once(tmp_path):
    path, one, other = tmp_path / "x.npz", npy(np.eye(2)), npy(2 * np.eye(2))
    archive(path, ("folder/", b""), ("folder/W.npy", one), ("W.npy", one))
    assert read_weights(path, activation="tanh", prefix="").W[0, 0] == 1
    for members, message in (
        ((("W.npy", one), ("W.npy", other)), "x.npz:W is there twice"),
        ((("W.npy", one), ("notes.txt", b"text")), "x.npz:notes.txt is no .npy array"),
    ):
        archive(path, *members)
        with pytest.raises(ValueError, match=f"cannot be read: {message}"):
            read_weights(path, activation="tanh")
        with pytest.raises(ValueError, match=message):
            load_sequences(path)


def test_bytes_behind_an_array_are_another_array(tmp_path):
    """numpy.save into an open file, twice: the second was dropped without a word."""
    path = tmp_path / "x.npy"
    path.write_bytes(npy(np.ones((3, 2))) + npy(np.ones((4, 2))))
    with pytest.raises(
        ValueError, match=r"x.npy holds \d+ bytes behind its array, perhaps another"
    ):
        load_sequences(path)
    with pytest.raises(ValueError, match="behind its array"):
        read_weights(path)
    archive(tmp_path / "x.npz", ("W.npy", npy(np.eye(2)) + b"\x00"))
    with pytest.raises(ValueError, match=r"x.npz:W holds 1 bytes behind its array"):
        read_weights(tmp_path / "x.npz")


def test_an_object_array_that_is_not_needed(tmp_path):
    path = tmp_path / "x.npz"
    vocabulary = np.array(["a", None], dtype=object)
    np.savez(path, W=np.eye(2), U=np.ones((2, 1)), vocab=vocabulary)
    with pytest.raises(ValueError, match=r"\[vocab\] would be left over.*unused='vocab'"):
        read_weights(path, activation="tanh")
    assert read_weights(path, activation="tanh", unused="vocab").W[0, 0] == 1
    named = {f"rnn.{k}": v for k, v in weights("gru").items()}
    np.savez(path, vocab=vocabulary, **named)
    assert same(read_weights(path), from_arrays(named))
    with pytest.raises(ValueError, match="holds Python objects, which are never unpickled"):
        load_sequences(path)


def test_what_says_more_than_a_file_fits(tmp_path):
    path = tmp_path / "x.npz"
    for arrays, told, message in (
        (weights("lstm"), {"variant": "reset_after"}, "the arrays are those of no GRU"),
        (weights("gru"), {"variant": "other"}, "variant='other', needed one of: reset_after"),
        (weights("gru"), {"recurrent_activation": "relu"}, "gates other than sigmoid, hard"),
        (weights("rnn"), {"recurrent_activation": "sigmoid"}, "this is a plain cell; leave it"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(ValueError, match=f"x.npz: .*{message}"):
            read_weights(path, **told)
    np.savez(path, **weights("gru"))
    told = {"activation": "tanh", "variant": "reset_after", "recurrent_activation": "sigmoid"}
    assert same(read_weights(path, **told), read_weights(path))
