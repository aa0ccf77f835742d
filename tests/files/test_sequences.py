"""Sequence files are read without trusting them."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest

from theory.files.sequences import SequenceFileError, load_sequences


def test_one_array_is_one_sequence(tmp_path):
    x = np.arange(6.0).reshape(3, 2)
    np.save(tmp_path / "x.npy", x)
    found = load_sequences(tmp_path / "x.npy")
    assert found.names == ("x.npy",)
    np.testing.assert_array_equal(found.arrays[0], x)


def test_a_batch_is_split(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((4, 3, 2)))
    found = load_sequences(tmp_path / "x.npy")
    assert len(found) == 4
    assert found.names[1] == "x.npy[1]"
    assert found.arrays[1].shape == (3, 2)


def test_archive_and_folder(tmp_path):
    np.savez(tmp_path / "b.npz", first=np.zeros((2, 3)), second=np.ones((5, 3), dtype=np.int8))
    np.save(tmp_path / "a.npy", np.ones((1, 2), dtype=np.float32))
    (tmp_path / "notes.txt").write_text("ignored")
    found = load_sequences(tmp_path)
    assert found.names == ("a.npy", "b.npz:first", "b.npz:second")
    assert all(array.dtype == np.float64 for array in found.arrays)


def test_fingerprint_sees_values_and_shapes_but_not_names(tmp_path):
    digests = []
    for i, x in enumerate([np.zeros((2, 3)), np.zeros((3, 2)), np.ones((2, 3)), -np.zeros((2, 3))]):
        np.save(tmp_path / f"{i}.npy", x)
        np.savez(tmp_path / f"{i}.npz", any_name=x)
        digests.append(load_sequences(tmp_path / f"{i}.npy").digest)
        assert load_sequences(tmp_path / f"{i}.npz").digest == digests[-1]
    assert len(set(digests)) == 4


def test_limit_counts_doubles_not_stored_bytes(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", np.zeros((900, 1000), dtype=np.int8))
    with pytest.raises(SequenceFileError, match="unpacks to 7200000 bytes, 1000000 are left"):
        load_sequences(tmp_path / "x.npz", limit=10**6)


def test_empty_sequences_are_legal(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((0, 2)))
    assert load_sequences(tmp_path / "x.npy").arrays[0].shape == (0, 2)


class _Bomb:
    """Unpickling this would raise."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('unpickled')",))


def test_pickled_objects_are_never_unpickled(tmp_path):
    objects = np.empty((1, 1), dtype=object)
    objects[0, 0] = _Bomb()
    np.save(tmp_path / "x.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "y.npz", objects)
    (tmp_path / "z.npy").write_bytes(pickle.dumps(_Bomb()))
    for name in ("x.npy", "y.npz"):
        with pytest.raises(SequenceFileError, match="never unpickled"):
            load_sequences(tmp_path / name)
    with pytest.raises(SequenceFileError, match="not a readable"):
        load_sequences(tmp_path / "z.npy")


def test_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        stream = io.BytesIO()
        np.save(stream, np.zeros((2000, 1000)))
        archive.writestr("bomb.npy", stream.getvalue())
    assert (tmp_path / "x.npz").stat().st_size < 100_000
    with pytest.raises(SequenceFileError, match=r"unpacks to 16000128 bytes, 1000000 are left"):
        load_sequences(tmp_path / "x.npz", limit=10**6)


def test_archive_that_lies_about_its_size(tmp_path):
    stream = io.BytesIO()
    np.save(stream, np.zeros((2000, 1000)))
    path = tmp_path / "x.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.npy", stream.getvalue())
    data = path.read_bytes()
    # both the local header and the central directory claim 1000 bytes
    path.write_bytes(data.replace(struct.pack("<I", 16_000_128), struct.pack("<I", 1000)))
    with pytest.raises(SequenceFileError):
        load_sequences(path, limit=10**6)


def test_header_that_claims_more_than_is_there(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((10, 10)))
    data = (tmp_path / "x.npy").read_bytes()
    claim = data.replace(b"(10, 10), }     ", b"(10, 1000000), }")
    assert claim != data
    (tmp_path / "x.npy").write_bytes(claim)
    with pytest.raises(SequenceFileError, match="declares 80000000 bytes in its header, 928 are"):
        load_sequences(tmp_path / "x.npy")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a readable"),
        (b"\x93NUMPY\x09\x00", "version"),
        (b"\x93NUMPY\x01\x00\x10\x00{'descr': 1, }   ", "not a readable"),
        (b"PK\x03\x04 not a zip", "not a readable"),
    ],
)
def test_damaged_arrays(tmp_path, content, message):
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(SequenceFileError, match=message):
        load_sequences(tmp_path / "x.npy")


def test_damaged_archives(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"not a zip")
    with pytest.raises(SequenceFileError, match="cannot be read"):
        load_sequences(tmp_path / "x.npz")
    np.savez(tmp_path / "y.npz", np.zeros((200, 20)))
    data = bytearray((tmp_path / "y.npz").read_bytes())
    data[3000] ^= 0xFF
    (tmp_path / "y.npz").write_bytes(data)
    with pytest.raises(SequenceFileError, match="CRC"):
        load_sequences(tmp_path / "y.npz")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((5, 0)), r"shape \(5, 0\).*m >= 1"),
        (np.zeros(5), r"shape \(5,\), needed \(T, m\)"),
        (np.zeros((2, 2, 2, 2)), "shape"),
        (np.zeros((2, 2), dtype=complex), "complex128"),
        (np.array([["a", "b"]]), "<U1"),
        (np.array([[1.0, np.nan]]), r"nan at index \(0, 1\)"),
        (np.array([[np.inf], [1.0]]), r"inf at index \(0, 0\)"),
    ],
)
def test_arrays_that_are_no_sequences(tmp_path, array, message):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(SequenceFileError, match=message):
        load_sequences(tmp_path / "x.npy")


def test_nothing_there(tmp_path):
    with pytest.raises(SequenceFileError, match="does not exist"):
        load_sequences(tmp_path / "missing.npy")
    with pytest.raises(SequenceFileError, match=r"holds no \.npy or \.npz"):
        load_sequences(tmp_path)
    np.savez(tmp_path / "x.npz")
    with pytest.raises(SequenceFileError, match="holds no sequence"):
        load_sequences(tmp_path / "x.npz")
    (tmp_path / "x.csv").write_text("1,2")
    with pytest.raises(SequenceFileError, match=r"not an \.npy or \.npz"):
        load_sequences(tmp_path / "x.csv")


def test_limit_counts_all_files_of_a_folder(tmp_path):
    for i in range(4):
        np.save(tmp_path / f"{i}.npy", np.zeros((100, 10)))
    assert len(load_sequences(tmp_path, limit=40_000)) == 4
    with pytest.raises(SequenceFileError, match="left of the limit"):
        load_sequences(tmp_path, limit=30_000)
