"""Measurements in pieces: the same bits with any executor, and after any interruption."""

from __future__ import annotations

import errno
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import active_children

import numpy as np
import pytest

from theory import GRU, LSTM, RGLRU, CallableMap, LinearMap, VanillaRNN, effective_memory
from theory.errors import DivergedError
from theory.executors import processes
from theory.files import open_sequences
from theory.measure import memory_among, pieces, warmup

RNG = np.random.default_rng(5)
ASK = {"eps": 0.01, "probability": 0.2, "confidence": 0.9, "k_max": 12}


def cells():
    for n in (3, 17):
        W, U = RNG.standard_normal((4 * n, n)) / n, RNG.standard_normal((4 * n, 2))
        yield VanillaRNN(W[:n], U[:n])
        yield GRU(W[: 3 * n], U[: 3 * n])
        yield LSTM(W, U)


CELLS = list(cells())


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(pieces, "_SEQUENCES", 3)


def test_pieces_are_cut_by_the_sequences_alone():
    lengths = np.array([5] * 600)
    assert pieces.cut(lengths, 1) == [(0, 256), (256, 512), (512, 600)]
    long = np.array([pieces._NUMBERS, 1, pieces._NUMBERS, pieces._NUMBERS // 2, 1])
    assert pieces.cut(long, 1) == [(0, 1), (1, 2), (2, 3), (3, 5)]
    assert pieces.cut(np.array([4]), 3) == [(0, 1)]


@pytest.mark.usefixtures("small_pieces")
def test_processes_give_the_same_bits():
    X = RNG.standard_normal((24, 30, 2))
    for cell in (CELLS[1], CELLS[5]):
        here = effective_memory(cell, X, **ASK)
        there = effective_memory(cell, X, **ASK, executor=processes(2))
        np.testing.assert_array_equal(here.errors, there.errors)
        assert here.to_dict() == there.to_dict()


@pytest.mark.usefixtures("small_pieces")
def test_an_interruption_loses_nothing(tmp_path):
    X = RNG.standard_normal((24, 20, 2))
    cell = CELLS[1]
    whole = effective_memory(cell, X, **ASK)

    def stop(done, _):
        if not done < 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        effective_memory(cell, X, **ASK, keep=tmp_path / "kept", progress=stop)
    done = np.load(tmp_path / "kept" / "done.npy")
    assert 0 < done.sum() < len(done)
    told = []
    again = effective_memory(
        cell, X, **ASK, keep=tmp_path / "kept", progress=lambda d, n: told.append((d, n))
    )
    assert told[0][0] == 3 * done.sum()
    assert told[-1] == (24, 24)
    assert again.to_dict() == whole.to_dict()
    np.testing.assert_array_equal(again.errors, whole.errors)


@pytest.mark.usefixtures("small_pieces")
def test_a_killed_process_loses_nothing(tmp_path):
    X = RNG.standard_normal((24, 20, 2))
    cell = CELLS[2]
    whole = effective_memory(cell, X, **ASK)
    before, killed = set(active_children()), []

    def kill(*_):
        if not killed:
            killed.extend(p.pid for p in set(active_children()) - before)
            os.kill(killed[0], signal.SIGKILL)

    again = effective_memory(
        cell, X, **ASK, executor=processes(2), keep=tmp_path / "kept", progress=kill
    )
    assert killed
    np.testing.assert_array_equal(again.errors, whole.errors)


@pytest.mark.parametrize("when", ["last", "random"])
def test_stored_sequences_give_the_same_answer(tmp_path, when):
    X = RNG.standard_normal((24, 20, 2))
    np.save(tmp_path / "x.npy", X)
    more = {**ASK, "when": when}
    draws = [np.random.default_rng(1) for _ in range(2)]
    one = effective_memory(CELLS[0], X, **more, rng=draws[0])
    two = effective_memory(CELLS[0], open_sequences(tmp_path / "x.npy"), **more, rng=draws[1])
    assert one.to_dict() == two.to_dict()


def test_a_folder_of_another_question_is_refused(tmp_path):
    X = RNG.standard_normal((24, 10, 2))
    kept = tmp_path / "kept"
    effective_memory(CELLS[0], X, **ASK, keep=kept)
    for name, cell, sequences, more in (
        ("eps", CELLS[0], X, {"eps": 0.02}),
        ("k_max", CELLS[0], X, {"k_max": 5}),
        ("map", CELLS[3], X, {}),
        ("map", VanillaRNN(CELLS[0].W, CELLS[0].U, activation="sin"), X, {}),
        ("sequences", CELLS[0], X + 1, {}),
        ("times", CELLS[0], X, {"when": "last"}),
    ):
        with pytest.raises(ValueError, match=f"its {name} differs"):
            effective_memory(cell, sequences, **{**ASK, **more}, keep=kept)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="is not empty and keeps no measurement"):
        effective_memory(CELLS[0], X, **ASK, keep=tmp_path / "other")
    (kept / "errors.npy").write_bytes(b"damage")
    with pytest.raises(ValueError, match="is damaged"):
        effective_memory(CELLS[0], X, **ASK, keep=kept)


def test_a_map_that_cannot_be_known_again_is_not_kept(tmp_path):
    cell = CallableMap(lambda H, X: 0.5 * H + X, 2, 2)
    X = RNG.standard_normal((24, 10, 2))
    with pytest.raises(ValueError, match="cannot be known again"):
        effective_memory(cell, X, **ASK, keep=tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_settings_that_are_no_arrays_tell_maps_apart(tmp_path):
    X = RNG.standard_normal((24, 20, 1))
    fast, slow = (RGLRU(U=[[0.0], [0.0]], Lambda=[0.0], scale=s) for s in (2.0, 0.1))
    effective_memory(fast, X, **ASK, keep=tmp_path / "kept")
    with pytest.raises(ValueError, match="its map differs"):
        effective_memory(slow, X, **ASK, keep=tmp_path / "kept")


def test_a_file_of_errors_that_was_cut_is_refused(tmp_path):
    X = RNG.standard_normal((24, 20, 2))
    effective_memory(CELLS[0], X, **ASK, keep=tmp_path / "kept")
    os.truncate(tmp_path / "kept" / "errors.npy", 128 + 8 * 20)
    with pytest.raises(ValueError, match="is damaged"):
        effective_memory(CELLS[0], X, **ASK, keep=tmp_path / "kept")


def test_files_of_another_place_are_others(tmp_path):
    for name, scale in (("a", 1.0), ("b", 2.0)):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "x.npy", scale * np.ones((24, 10, 2)))
        os.utime(tmp_path / name / "x.npy", ns=(0, 0))
    one, two = (open_sequences(tmp_path / name / "x.npy") for name in "ab")
    assert one.stamp == two.stamp
    effective_memory(CELLS[0], one, **ASK, keep=tmp_path / "kept")
    with pytest.raises(ValueError, match="its sequences differs"):
        effective_memory(CELLS[0], two, **ASK, keep=tmp_path / "kept")


def test_a_disk_without_place_is_found_before_the_work(tmp_path, monkeypatch):
    """A page of a mapped file that finds no place would end the process in the middle of it."""
    full = OSError(errno.ENOSPC, "No space left on device")
    X = RNG.standard_normal((24, 20, 2))
    kept, run = tmp_path / "kept", []

    def no_place(*_):
        raise full

    with monkeypatch.context() as disk:
        disk.setattr(pieces.os, "posix_fallocate", no_place)
        disk.setattr(pieces, "errors_of", lambda *_, **__: run.append(None))
        told = r"errors.npy of \d+ bytes has no place \(No space left on device\); name a folder"
        with pytest.raises(OSError, match=told) as raised:
            effective_memory(CELLS[0], X, **ASK, keep=kept)
    assert raised.value.errno == errno.ENOSPC
    assert not run
    assert not list(kept.iterdir())  # and the same folder is taken when there is place
    answer = effective_memory(CELLS[0], X, **ASK, keep=kept)
    assert (np.asarray(answer.errors) == effective_memory(CELLS[0], X, **ASK).errors).all()


@pytest.mark.parametrize("when", ["anywhere", "last"])
def test_a_sequence_on_which_the_model_diverges_is_named_by_its_place(when):
    """In every piece and batch, by threads or here, and in the precision that was left."""
    X = [np.ones((3, 1)) for _ in range(300)]
    asked = {"eps": 0.1, "probability": 0.05, "confidence": 0.95}
    for factor, length, dtype, what in (
        (1e20, 19, "float64", "double precision at step 17 of sequence 270"),
        (1e10, 9, "float32", "single precision at step 5 of sequence 270"),
    ):
        X[270] = np.ones((length, 1))
        recurrent = LinearMap([[factor]], [[1.0]])
        with ThreadPoolExecutor(1) as threads:
            for executor in (None, threads):
                with pytest.raises(DivergedError, match=what):
                    effective_memory(
                        recurrent, X, k_max=5, dtype=dtype, executor=executor, when=when, **asked
                    )
                with pytest.raises(DivergedError, match=what):
                    warmup(recurrent, X, k_max=5, dtype=dtype, executor=executor, **asked)
        with pytest.raises(DivergedError, match=what):
            memory_among(recurrent, X, lengths=[5], when=when, dtype=dtype, **asked)
    X[270] = np.full((3, 1), 1e308)
    with pytest.raises(DivergedError, match="sequence 270: U x"):
        warmup(LinearMap([[0.5]], [[1e3]]), X, **asked)
