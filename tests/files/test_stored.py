"""Sequences that stay on disk: the same values as read at once, one piece at a time."""

from __future__ import annotations

import os

import numpy as np
import pytest

from theory.files import SequenceFileError, load_sequences, open_sequences
from theory.files.sequences import as_list

RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 7, 2))
LONG = RNG.standard_normal((11, 2)).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "data"
    made.mkdir()
    np.save(made / "b.npy", X)
    np.savez(made / "a.npz", one=LONG, two=X[:2].astype(np.int64))
    return made


def test_the_same_as_all_at_once(folder):
    at_once, stored = load_sequences(folder), open_sequences(folder)
    assert len(stored) == len(at_once) == 8
    assert tuple(stored.name(i) for i in range(8)) == at_once.names
    for i, array in enumerate(at_once.arrays):
        np.testing.assert_array_equal(stored[i], array)
        assert stored[i].dtype == np.float64
        assert stored.lengths[i] == len(array)
    np.testing.assert_array_equal(stored[-1], at_once.arrays[-1])
    for mine, theirs in zip(as_list(stored, 2), at_once.arrays, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    with pytest.raises(IndexError, match="sequence 8 of 8"):
        stored[8]


def test_a_change_while_it_is_read_is_seen(folder):
    stored = open_sequences(folder)
    assert len(stored[0:3]) == 3
    os.utime(folder / "b.npy", ns=(1, 1))
    with pytest.raises(SequenceFileError, match="has changed since it was opened"):
        stored[3:5]
    stored = open_sequences(folder)
    (folder / "a.npz").unlink()
    with pytest.raises(SequenceFileError, match="has changed"):
        list(stored)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(3), "needed \\(T, m\\)"),
        (np.zeros((2, 3), dtype="U3"), "no real numbers"),
        (np.zeros((2, 3), dtype=complex), "no real numbers"),
        (np.array([[None]]), "cannot be mapped"),
        (np.zeros((0, 3, 2)), "holds no sequence"),
    ],
)
def test_what_is_refused(tmp_path, array, message):
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(SequenceFileError, match=message):
        open_sequences(tmp_path / "x.npy")


def test_damage_and_numbers_that_are_none(tmp_path):
    np.save(tmp_path / "x.npy", X)
    whole = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(whole[:-8])
    with pytest.raises(SequenceFileError, match="cannot be mapped"):
        open_sequences(tmp_path / "x.npy")
    (tmp_path / "x.txt").write_text("1 2 3")
    with pytest.raises(SequenceFileError, match=r"is not an \.npy or \.npz file"):
        open_sequences(tmp_path / "x.txt")
    with pytest.raises(SequenceFileError, match="does not exist"):
        open_sequences(tmp_path / "none")
    holes = X.copy()
    holes[3, 2, 1] = np.nan
    np.save(tmp_path / "x.npy", holes)
    stored = open_sequences(tmp_path / "x.npy")
    assert stored[2].shape == (7, 2)
    with pytest.raises(SequenceFileError, match=r"x\.npy\[3\]"):
        stored[3]


def test_a_zarr_store(tmp_path):
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    batch = zarr.open(
        str(tmp_path / "batch.zarr"), mode="w", shape=X.shape, dtype="f8", chunks=(2, 7, 2)
    )
    batch[:] = X
    stored = open_sequences(tmp_path / "batch.zarr")
    for mine, theirs in zip(stored, X, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    group = zarr.open_group(str(tmp_path / "group.zarr"), mode="w")
    for name, one in (("b", X[0]), ("a", LONG)):
        made = group.create_array(name, shape=one.shape, dtype=one.dtype)
        made[:] = one
    stored = open_sequences(tmp_path / "group.zarr")
    assert [stored.name(i) for i in range(2)] == ["group.zarr/a", "group.zarr/b"]
    np.testing.assert_array_equal(stored[0], LONG)
    np.testing.assert_array_equal(stored[1], X[0])


def test_a_parquet_file(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    import pyarrow.parquet as pq

    sizes = [3, 1, 6, 4]
    rows = RNG.standard_normal((sum(sizes), 2))
    ids = np.repeat(["d", "a", "c", "b"], sizes)
    table = pa.table({"sequence": ids, "u": rows[:, 0], "v": rows[:, 1]})
    # groups of rows that end within sequences
    pq.write_table(table, tmp_path / "x.parquet", row_group_size=4)
    stored = open_sequences(tmp_path / "x.parquet")
    assert stored.lengths.tolist() == sizes
    np.testing.assert_array_equal(np.concatenate(list(stored)), rows)
    np.testing.assert_array_equal(stored[2], rows[4:10])
    torn = table.take([0, 3, 1, 2])
    pq.write_table(torn, tmp_path / "x.parquet")
    with pytest.raises(SequenceFileError, match="in several places"):
        open_sequences(tmp_path / "x.parquet")
    pq.write_table(table.drop_columns(["sequence"]), tmp_path / "x.parquet")
    with pytest.raises(SequenceFileError, match="needed one named 'sequence'"):
        open_sequences(tmp_path / "x.parquet")


def test_parquet_files_that_do_not_tell_everything(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    import pyarrow.parquet as pq

    target = tmp_path / "x.parquet"
    for columns, message in (
        ({"sequence": [1, 1, None, None], "u": [1.0] * 4}, "2 rows without a 'sequence'"),
        ({"sequence": [1.0, np.nan], "u": [1.0, 2.0]}, "a NaN in 'sequence'"),
        ({"sequence": [1, 1], "u": ["a", "b"]}, "needed real numbers"),
        ({"sequence": pa.array([], pa.int64()), "u": pa.array([], pa.float64())}, "no rows"),
    ):
        pq.write_table(pa.table(columns), target)
        with pytest.raises(SequenceFileError, match=message):
            open_sequences(target)


def test_an_array_behind_the_array_is_not_passed_over(tmp_path):
    np.save(tmp_path / "x.npy", X)
    with (tmp_path / "x.npy").open("ab") as stream:
        stream.write(bytes(16))
    with pytest.raises(SequenceFileError, match="16 bytes behind its array"):
        open_sequences(tmp_path / "x.npy")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, ">f8", np.int16, np.bool_])
def test_every_layout_and_type_of_an_array(tmp_path, order, dtype):
    array = np.asarray(np.round(4 * X), dtype=dtype, order=order)
    np.save(tmp_path / "x.npy", array)
    stored = open_sequences(tmp_path / "x.npy")
    for mine, theirs in zip(stored, array, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.save(tmp_path / "x.npy", np.asarray(array[0], order=order))
    np.testing.assert_array_equal(open_sequences(tmp_path / "x.npy")[0], array[0])
