"""Files mutated byte by byte: a map, or one line that names the file; never a raw error."""

import random

import numpy as np
import pytest
from layouts import safetensors, weights

from theory import GRU, Cascade, VanillaRNN
from theory.files.arrays import write_archive
from theory.interop import read_weights, save_map

SEEDS = {"map": ".npz", "packed": ".npz", "plain": ".npz", "alone": ".npy", "safe": ".safetensors"}


def content(kind, folder):
    """Return the bytes of a good file."""
    path = folder / f"good{SEEDS[kind]}"
    if kind == "map":
        gru = GRU(np.ones((3, 1)), np.ones((3, 2)))
        save_map(path, Cascade([gru, VanillaRNN(np.eye(1), np.eye(1))]))
    elif kind == "packed":
        np.savez_compressed(path, W=np.eye(3), U=np.ones((3, 2)))
    elif kind == "plain":
        np.savez(path, **{f"rnn.{k}": v for k, v in weights("lstm").items()})
    elif kind == "alone":
        np.save(path, np.eye(3))
    else:
        safetensors.numpy.save_file({"W": np.eye(3), "U": np.ones((3, 2))}, path)
    return path.read_bytes()


def mutated(good, rng):
    data = bytearray(good)
    for _ in range(rng.choice([1, 1, 2, 5])):
        at, what = rng.randrange(len(data)), rng.random()
        if what < 0.7:
            data[at] = rng.randrange(256)
        elif what < 0.85:
            del data[at : at + rng.randrange(1, 20)]
        else:
            data[at:at] = rng.randbytes(rng.randrange(1, 9))
        if not data:
            break
    return bytes(data)


def tried(kind, folder, count, seed):
    if kind == "safe" and safetensors is None:
        pytest.skip("safetensors is not installed (extra 'safetensors')")
    rng, good = random.Random(seed), content(kind, folder)
    path = folder / f"other{SEEDS[kind]}"
    told = {} if kind in {"map", "plain"} else {"activation": "tanh"}
    for _ in range(count):
        path.write_bytes(mutated(good, rng))
        try:
            read_weights(path, **told)
        except ValueError as error:
            message = str(error)
            assert path.name in message
            assert message.isprintable()


@pytest.mark.parametrize("kind", SEEDS)
def test_some_files(kind, tmp_path):
    tried(kind, tmp_path, 60, 0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SEEDS)
def test_many_files(kind, tmp_path):
    tried(kind, tmp_path, 2000, 1)


def test_errors_that_were_raw(tmp_path):
    """From the tokenizer of NumPy's headers, and of the archive's own compression."""
    path = tmp_path / "x.npy"
    np.save(path, np.eye(3))
    good = path.read_bytes()
    for old, new in ((b"(3, 3)", b"((3, 3"), (b" 'shape'", b"b'shape'"), (b"'<f8'", b"<<<<<")):
        path.write_bytes(good.replace(old, new))
        with pytest.raises(ValueError, match=r"cannot be read: not a readable .npy"):
            read_weights(path)
    path.write_bytes(good.replace(b"(3, 3)", b"(3L,3)"))  # as Python 2 wrote it
    assert read_weights(path, activation="tanh").state_dim == 3
    path = tmp_path / "x.npz"
    np.savez_compressed(path, W=np.arange(64.0).reshape(8, 8))
    data = bytearray(path.read_bytes())
    start = data.index(b"W.npy") + 60
    data[start : start + 8] = b"\xff" * 8
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r"x.npz cannot be read: "):
        read_weights(path)
    good = path.read_bytes()
    path.write_bytes(good[: good.rindex(b"W.npy")] + b"\0" + good[good.rindex(b"W.npy") + 1 :])
    with pytest.raises(ValueError, match=r"x.npz cannot be read: "):
        read_weights(path)
    for name in ("W\nb", "W\x1b"):
        with path.open("wb") as stream:
            write_archive(stream, {name: np.eye(2)})
        with pytest.raises(ValueError, match="holds an array with the name") as caught:
            read_weights(path)
        assert str(caught.value).isprintable()
