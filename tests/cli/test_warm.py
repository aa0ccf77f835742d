"""`theory warm`, what is compiled, where it is kept, and what is said meanwhile."""

import importlib
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import rooms
from typer.testing import CliRunner

from theory import GRU, LSTM, EchoStateNetwork, VanillaRNN, progress
from theory.cli import app, main, warm
from theory.kernels import jit
from theory.kernels.blocks import locked
from theory.progress import with_notes

N = 3


def test_every_kernel_is_asked_for():
    """A kernel that another file calls, and that no question compiles, is named here."""
    for question in warm._QUESTIONS:
        warm._ask(question)
    left = []
    for name, place in rooms.kernels().items():
        module = importlib.import_module(place.removesuffix(".py").replace("/", "."))
        if not getattr(module, name).signatures:
            left.append(f"{place}: {name}")
    assert not left, "ask for it in _QUESTIONS of theory/cli/warm.py"
    # and nothing is compiled again
    assert sum(map(warm._ask, warm._QUESTIONS)) == 0


def test_the_command(monkeypatch):
    asked = []
    monkeypatch.setattr(warm, "_QUESTIONS", dict.fromkeys("ab", lambda: asked.append(1)))
    done = CliRunner().invoke(app, ["warm"])
    assert (done.exit_code, len(asked)) == (0, 2), done.output
    assert "all compiled, kept in" in done.output
    monkeypatch.setattr(jit, "compilations", lambda: len(asked))
    assert "compiled 2 kernels in 0 s" in CliRunner().invoke(app, ["warm"]).output
    done = CliRunner().invoke(app, ["warm", "--jobs", "0"])
    assert (done.exit_code, "jobs=0" in done.output) == (2, True)


def test_where_nothing_can_be_written(monkeypatch):
    def fails(_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("numba.core.caching._CacheLocator.ensure_cache_path", fails)
    monkeypatch.setattr(jit, "_watch", jit._Watch())
    twice = jit.kernel(_twice)
    assert (twice(2.0), jit.kept_in(twice), jit._watch.kept) == (4.0, None, False)
    # said before minutes of work
    asked = []
    monkeypatch.setattr(warm, "_QUESTIONS", {"a": lambda: asked.append(1)})
    monkeypatch.setattr("theory.kernels.cells.run_kernel", twice)
    done = CliRunner().invoke(app, ["warm"])
    assert (done.exit_code, "set NUMBA_CACHE_DIR" in done.output, asked) == (2, True, [])


def _twice(a):
    return 2.0 * a


def compiled(watch, module="theory.kernels.cells"):
    event = SimpleNamespace(
        data={"dispatcher": SimpleNamespace(py_func=SimpleNamespace(__module__=module))}
    )
    watch.on_start(event)
    watch.on_end(event)


def test_what_is_said_while_kernels_are_compiled(monkeypatch, capsys):
    monkeypatch.setattr(jit, "DELAY", -1.0)
    watch = jit._Watch()
    with with_notes():
        compiled(watch, "of.the.user")
        assert capsys.readouterr() == ("", "")
        compiled(watch)
        compiled(watch)
        said = capsys.readouterr()
        assert (said.out, said.err.count("\n"), "theory warm" in said.err) == ("", 1, True)
        watch = jit._Watch()
        watch.kept = False
        compiled(watch)
        assert "NUMBA_CACHE_DIR" in capsys.readouterr().err
    # a program says nothing, unless bars are shown in it
    compiled(jit._Watch())
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(jit, "DELAY", 60.0)
    with with_notes():
        compiled(jit._Watch())
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "cell",
    [
        VanillaRNN(np.eye(N) / 2, np.eye(N)),
        LSTM(np.zeros((4 * N, N)), np.zeros((4 * N, N))),
        GRU(np.zeros((3 * N, N)), np.zeros((3 * N, N))),
        EchoStateNetwork(np.eye(N) / 2, np.eye(N), leak=0.5),
    ],
)
def test_an_array_that_cannot_be_written_costs_no_compilation(cell):
    h, X = np.ones(cell.state_dim), np.ones((4, N))
    expected, before = cell.simulate(X, h), jit.compilations()
    assert np.array_equal(cell.simulate(locked(X), locked(h)), expected)
    cell.simulate(X[:1], np.zeros(cell.state_dim))
    assert jit.compilations() == before
    with pytest.raises(ValueError, match="read-only"):
        locked(h)[0] = 1.0
    h[0] = 2.0  # the array itself can


def test_a_bar_that_cannot_be_written_loses_no_answer(tmp_path, monkeypatch, capfd):
    class Closed:
        def write(self, _):
            raise BrokenPipeError

        flush = write

        def isatty(self):
            return True

    monkeypatch.setattr(progress, "DELAY", 0.0)
    np.savez(tmp_path / "w.npz", W=[[0.5]], U=[[1.0]])
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).uniform(-1, 1, (60, 20, 1)))
    asked = ("--epsilon", "0.1", "--probability", "0.1", "--confidence", "0.9")
    for command in ("memory", "warmup"):
        words = [command, tmp_path / "w.npz", "--sequences", tmp_path / "x.npz", *asked]
        monkeypatch.setattr(sys, "argv", ["theory", *map(str, words), "--activation", "tanh"])
        with monkeypatch.context() as there:
            there.setattr(sys, "stderr", Closed())
            with pytest.raises(SystemExit) as leaving:
                main()
        assert not leaving.value.code
        assert "60 sequences" in capfd.readouterr().out
