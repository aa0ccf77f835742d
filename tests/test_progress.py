"""Bars of long work: where they are shown, and that nothing is printed anywhere else."""

import inspect
import io
import sys

import numpy as np
import pytest

import theory
from theory import LinearMap, effective_memory, progress
from theory.measure import reset, warmup
from theory.progress import show_progress, with_bar

X = np.random.default_rng(0).uniform(-1, 1, (60, 8, 1))
ASKED = {"eps": 0.1, "probability": 0.05, "confidence": 0.95}


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(progress, "DELAY", 0.0)
    yield
    show_progress(None)


@with_bar("things")
def counted(count, *, progress=None):
    """Return what was told to."""
    for i in range(count):
        if progress is not None:
            progress(i + 1, count)
    return progress


@pytest.mark.usefixtures("at_once")
def test_a_program_prints_nothing_unless_asked(capsys):
    assert counted(3) is None
    effective_memory(LinearMap([[0.5]], [[1.0]]), X, **ASKED)
    assert capsys.readouterr() == ("", "")
    show_progress(True)
    assert counted(3) is not None
    said = capsys.readouterr()
    assert (said.out, "things" in said.err, "3/3" in said.err) == ("", True, True)
    show_progress(False)
    assert counted(3) is None


@pytest.mark.usefixtures("at_once")
def test_an_interactive_session_shows_bars_by_itself(monkeypatch):
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    assert counted(2) is not None
    show_progress(False)
    assert counted(2) is None


def test_short_work_has_no_bar(capsys):
    show_progress(True)
    assert counted(3) is not None
    show_progress(None)
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("at_once")
def test_what_the_caller_gives_is_called_instead(capsys):
    show_progress(True)
    told = []
    assert counted(2, progress=lambda done, total: told.append((done, total))) is not None
    assert told == [(1, 2), (2, 2)]
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("at_once")
def test_a_bar_ends_with_an_error(capsys):
    show_progress(True)

    @with_bar("lost")
    def fails(*, progress=None):
        progress(1, 2)
        raise KeyError("x")

    with pytest.raises(KeyError):
        fails()
    assert "lost" in capsys.readouterr().err


@pytest.mark.usefixtures("at_once")
def test_one_bar_for_one_call(monkeypatch):
    """A function that calls another one hands its own bar on."""
    opened = []
    monkeypatch.setattr(
        progress,
        "progress_bar",
        lambda *_, **__: opened.append(1) or progress_bar(),
    )
    progress_bar = __import__("rich.progress", fromlist=["Progress"]).Progress
    show_progress(True)
    found = reset(LinearMap([[0.5]], [[1.0]]), X, periods=[7], **ASKED)
    assert len(opened) == 1
    show_progress(False)
    assert str(found) == str(reset(LinearMap([[0.5]], [[1.0]]), X, periods=[7], **ASKED))
    assert found.warmup.k == warmup(LinearMap([[0.5]], [[1.0]]), X, **ASKED).k


def test_every_function_that_tells_how_far_it_is_has_a_bar():
    faces = [theory.measure, theory.learning]
    if pytest.importorskip("torch", reason="PyTorch is not installed (extra: torch)"):
        faces.append(theory.torch)
    found = {
        name: getattr(face, name)
        for face in faces
        for name in face.__all__
        if inspect.isfunction(getattr(face, name))
        and "progress" in inspect.signature(getattr(face, name)).parameters
    }
    assert len(found) >= 15
    assert [name for name, one in found.items() if not hasattr(one, "__wrapped__")] == []


@pytest.mark.parametrize("bad", ["yes", 1, 0, 1.0, []])
def test_only_these_can_be_asked_for(bad):
    with pytest.raises(ValueError, match=r"shown=.*, needed True, False or None"):
        show_progress(bad)


class _Fails(io.StringIO):
    """A stream that cannot be written."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def write(self, _):
        raise self.error

    def isatty(self):
        return isinstance(self.error, BrokenPipeError)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(
    "error", [OSError(28, "no place"), ValueError("closed"), BrokenPipeError(), None]
)
def test_a_bar_that_cannot_be_shown_ends_no_work(monkeypatch, capfd, error):
    """To rich a broken pipe is the end of the process, and of its output."""
    monkeypatch.setattr(sys, "stderr", None if error is None else _Fails(error))
    show_progress(True)
    assert counted(3) is not None
    print("still written", flush=True)
    assert capfd.readouterr().out == "still written\n"


@pytest.mark.usefixtures("at_once")
def test_a_bar_that_breaks_is_dropped(monkeypatch):
    def broken(*_args, **_more):
        raise RuntimeError("no bar")

    monkeypatch.setattr(progress, "progress_bar", broken)
    show_progress(True)
    assert counted(3) is not None


@pytest.mark.usefixtures("at_once")
def test_progress_may_be_passed_by_its_place(capsys):
    @with_bar("things")
    def placed(count, progress=None):
        progress(count, count)
        return progress

    show_progress(True)
    assert placed(2, None) is not None
    mine = [].append
    assert placed(2, lambda made, steps: mine((made, steps))) is not None
    assert capsys.readouterr().err.count("things") == 1
