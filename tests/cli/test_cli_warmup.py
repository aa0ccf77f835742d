"""`theory warmup`, `theory reset`, `theory tbptt` and the short form of `theory memory`."""

import json
import sys
from concurrent.futures import Executor, Future

import numpy as np
import pytest
from typer.testing import CliRunner

from theory import VanillaRNN
from theory.cli import app
from theory.measure import best_start, memory_among, reset, warmup


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "w.npz", W=[[0.5, 0.1], [0.0, -0.4]], U=np.eye(2))
    np.savez(tmp_path / "keeps.npz", W=np.eye(2), U=np.eye(2))
    np.savez(tmp_path / "x.npz", x=rng.uniform(-1, 1, (60, 30, 2)))
    np.savez(tmp_path / "wide.npz", x=rng.uniform(-1, 1, (60, 30, 3)))
    return tmp_path


MODEL = VanillaRNN([[0.5, 0.1], [0.0, -0.4]], np.eye(2))
USUAL = ("--epsilon", "0.01", "--probability", "0.1", "--confidence", "0.9")
ASKED = {"eps": 0.01, "probability": 0.1, "confidence": 0.9}


def test_a_warm_up_and_a_start(files):
    done = run(
        "warmup", files / "w.npz", "--activation", "tanh", "--sequences", files / "x.npz", *USUAL,
        "--k-max", 20, "--start", 2, "--json", files / "out" / "a.json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    X = np.load(files / "x.npz")["x"]
    data = json.loads((files / "out" / "a.json").read_text())
    expected = warmup(MODEL, X, k_max=20, **ASKED)
    assert data["k"] == expected.k
    assert str(expected) in done.output
    assert data["best_start"] == best_start(MODEL, X, k=2).to_dict()


def test_resets_and_drift(files):
    done = run(
        "reset", files / "w.npz", "--activation", "tanh", "--sequences", files / "x.npz", *USUAL,
        "--period", 5, "--period", 20, "--training-length", 3, "--json", files / "a.json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    X = np.load(files / "x.npz")["x"]
    expected = reset(MODEL, X, periods=[5, 20], **ASKED)
    data = json.loads((files / "a.json").read_text())
    assert data["lost_with_one_copy"] == list(expected.lost)
    assert data["two_copies"] == expected.two_copies
    assert data["drift"]["late"] == 30
    assert "no drift is seen" in done.output
    assert "two copies, each reset" in done.output
    done = run(
        "reset", files / "w.npz", "--activation", "tanh", "--sequences", files / "x.npz", *USUAL,
        "--period", 5, "--dtype", "float32", "--json", files / "b.json",
    )  # fmt: skip
    single = reset(MODEL, X, periods=[5], dtype="float32", **ASKED)
    assert json.loads((files / "b.json").read_text())["warmup"] == single.warmup.to_dict()
    done = run(
        "warmup", files / "w.npz", "--activation", "tanh", "--sequences", files / "x.npz", *USUAL,
        "--dtype", "half",
    )  # fmt: skip
    assert (done.exit_code, "dtype='half', needed one of: float64" in done.output) == (2, True)


def test_what_never_settles_exits_with_no(files):
    for command in ("warmup", "reset"):
        more = ("--period", 3) if command == "reset" else ()
        done = run(
            command, files / "keeps.npz", "--activation", "identity", "--sequences",
            files / "x.npz", *USUAL, *more,
        )  # fmt: skip
        assert done.exit_code == 1, done.output
        assert "no warm-up" in done.output


class Silent(Executor):
    """Says that it is there, then keeps one answer back for ever, and gives all others."""

    def __init__(self):
        self.asked = 0

    def submit(self, function, /, *args, **kwargs):
        future = Future()
        self.asked += 1
        if self.asked != 2:
            future.set_result(function(*args, **kwargs))
        return future


@pytest.mark.parametrize("command", ["memory", "warmup", "reset"])
def test_what_a_silent_worker_holds_is_asked_for_again(command, files, monkeypatch):
    silent = Silent()
    where = "memory" if command == "memory" else "warmup"
    monkeypatch.setattr(f"theory.cli.{where}.workers", lambda *_: lambda: silent)
    asked = (
        command, files / "w.npz", "--activation", "tanh", "--sequences", files / "x.npz", *USUAL,
    )  # fmt: skip
    done = run(*asked, "--patience", 0.1, "--json", files / "a.json")
    assert (done.exit_code, silent.asked > 2) == (0, True), done.output
    monkeypatch.undo()
    assert run(*asked, "--json", files / "b.json").exit_code == 0
    assert json.loads((files / "a.json").read_text()) == json.loads((files / "b.json").read_text())
    done = run(*asked, "--jobs", 2, "--patience", 0)
    assert (done.exit_code, "patience=0.0" in done.output) == (2, True), done.output


def test_few_lengths(files):
    asked = ("--activation", "tanh", "--sequences", files / "x.npz", *USUAL)
    done = run(
        "memory", files / "w.npz", *asked, "--lengths", "20,10,5,2", "--dtype", "float32",
        "--json", files / "a.json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    X = np.load(files / "x.npz")["x"]
    expected = memory_among(MODEL, X, lengths=[20, 10, 5, 2], **ASKED)
    data = json.loads((files / "a.json").read_text())
    assert data["k"] == expected.k
    assert (data["head"], data["error"], data["dtype"]) == (None, "L2", "float32")
    assert f"k = {expected.k}:" in done.output
    assert "measured in single precision, not certified" in done.output
    assert "measured, not" in str(expected)
    assert run("memory", files / "w.npz", *asked, "--lengths", "2,1").exit_code == 1
    for bad, message in (
        (("--lengths", "a"), "needed counts such as"),
        (("--lengths", "3", "--k-max", "4"), "has no table"),
        (("--lengths", "3", "--window", "5"), "has no table"),
        (("--dtype", "float16"), "needed one of: float64, float32"),
    ):
        done = run("memory", files / "w.npz", *asked, *bad)
        assert done.exit_code == 2
        assert message in done.output


def test_malformed_questions(files):
    for command in ("warmup", "reset"):
        for change, message in (
            (("--norm", "L3"), "is not known"),
            (("--sequences", files / "wide.npz"), "width|needed"),
            (("--confidence", 2), "confidence"),
            (("--json", files / "x.npz"), "is an input"),
        ):
            arguments = ["--sequences", files / "x.npz", *USUAL, *change]
            done = run(command, files / "w.npz", "--activation", "tanh", *arguments)
            assert done.exit_code == 2, done.output
            assert "error:" in done.output, message


def test_truncated_backpropagation_of_a_module_of_ones_own(files, monkeypatch):
    pytest.importorskip("torch", reason="PyTorch, the extra 'torch', is not installed")
    (files / "my_own_training.py").write_text(
        "import torch\n"
        "def make():\n"
        "    torch.manual_seed(0)\n"
        "    rnn = torch.nn.GRU(2, 3, batch_first=True)\n"
        "    x = torch.randn(4, 12, 2)\n"
        "    return rnn, x, torch.zeros(4, 12, 3), torch.nn.functional.mse_loss\n"
        "def other():\n"
        "    return 3\n"
    )
    monkeypatch.syspath_prepend(str(files))
    monkeypatch.delitem(sys.modules, "my_own_training", raising=False)
    done = run("tbptt", "my_own_training:make", "--k", 1, "--k", 12, "--json", files / "a.json")
    assert done.exit_code == 0, done.output
    data = json.loads((files / "a.json").read_text())
    assert data["least"] == 12
    assert [row["k"] for row in data["table"]] == [1, 12]
    assert "k = 12 is off by at most 10 %" in done.output
    again = run("tbptt", "my_own_training:make", "--k", 1, "--share", 1e-9)
    assert again.exit_code == 1
    for name, message in (
        ("my_own_training", "package.module:function"),
        ("my_own_training:nothing", "cannot be imported"),
        ("no_such_module:make", "cannot be imported"),
        ("my_own_training:other", "returned no"),
    ):
        done = run("tbptt", name, "--k", 1)
        assert done.exit_code == 2
        assert message in done.output


def test_one_prefix_is_the_place_of_a_cell_and_not_a_stack(files):
    np.savez(
        files / "named.npz",
        **{"enc.weight_hh_l0": MODEL.W, "enc.weight_ih_l0": MODEL.U, "enc.bias_hh_l0": np.zeros(2),
           "enc.bias_ih_l0": np.zeros(2)},
    )  # fmt: skip
    asked = ("--activation", "tanh", "--sequences", files / "x.npz", *USUAL)
    plain = run("warmup", files / "w.npz", *asked, "--json", files / "plain.json")
    named = run(
        "warmup", files / "named.npz", "--prefix", "enc", *asked, "--json", files / "named.json"
    )
    assert plain.exit_code == named.exit_code == 0, named.output
    assert (files / "plain.json").read_text() == (files / "named.json").read_text()


@pytest.mark.parametrize("command", ["warmup", "reset"])
def test_numbers_of_processes_that_are_none(files, command):
    asked = (
        command, files / "w.npz", "--activation", "tanh", "--sequences", files / "x.npz", *USUAL
    )  # fmt: skip
    done = run(*asked, "--jobs", 0)
    assert done.exit_code == 2
    assert "jobs=0" in done.output
    done = run(*asked, "--jobs", 2, "--cluster", "tcp://127.0.0.1:1")
    assert done.exit_code == 2
    assert "drop one of the two" in done.output


@pytest.mark.parametrize(
    ("command", "more", "message"),
    [
        ("warmup", ("--start", 999), "0 sequences have more than k = 999 inputs"),
        ("warmup", ("--start", -1), "k=-1"),
        ("reset", ("--period", 999), "needed at most 29"),
        ("reset", ("--training-length", 999), "needed at least 28 with 9990 inputs"),
        ("reset", ("--training-length", 0), "length=0"),
        ("memory", ("--rates", 0), "r=0"),
        ("memory", ("--rates", 999), "r=999, but the longest"),
        ("memory", ("--window", 0), "window=0"),
        ("memory", ("--window", 30), "needed more than window=30"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_work(files, monkeypatch, command, more, message):
    monkeypatch.setattr(sys.modules["theory.cli.memory"], "effective_memory", None)
    for place in ("theory.cli.warmup", "theory.measure.warmup"):
        monkeypatch.setattr(sys.modules[place], "warmup", None)
    done = run(
        command, files / "w.npz", "--activation", "tanh", "--sequences", files / "x.npz", *USUAL,
        *more,
    )  # fmt: skip
    assert done.exit_code == 2, done.output
    assert message in done.output


def test_an_answer_names_head_norm_and_precision(files):
    np.savez(
        files / "head.npz",
        **{"enc.weight_hh_l0": MODEL.W, "enc.weight_ih_l0": MODEL.U, "enc.bias_hh_l0": np.zeros(2),
           "enc.bias_ih_l0": np.zeros(2), "fc.weight": np.ones((1, 2)), "fc.bias": np.zeros(1)},
    )  # fmt: skip
    for command, place in (("warmup", ()), ("reset", ("warmup",)), ("memory", ())):
        done = run(
            command, files / "head.npz", "--activation", "tanh", "--sequences", files / "x.npz",
            *USUAL, "--norm", "Linf", "--dtype", "float32", "--json", files / "a.json",
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        data = json.loads((files / "a.json").read_text())
        assert data["head"] == "fc"
        for key in place:
            data = data[key]
        assert (data["norm"]["name"], data["dtype"]) == ("Linf", "float32")
        assert "measured in single precision" in done.output
