"""The option --head of `theory memory` and `theory certify`: which output layer is meant."""

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from theory import Inputs, LinearMap, effective_memory, required_context
from theory.cli.certify import certify
from theory.cli.memory import memory
from theory.interop import read_weights

app = typer.Typer()
app.command()(memory)
app.command()(certify)

USUAL = ("--epsilon", "0.05", "--probability", "0.05", "--confidence", "0.95")


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})


def written(path, **arrays):
    np.savez(path, **{name.replace("__", "."): value for name, value in arrays.items()})
    return path


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    cell = {"rnn__weight_ih_l0": rng.standard_normal((12, 2)),
            "rnn__weight_hh_l0": 0.2 * rng.standard_normal((12, 3))}  # fmt: skip
    head = {"head__weight": 3 * rng.standard_normal((1, 3)), "head__bias": [1.0]}
    written(tmp_path / "one.npz", **cell, **head)
    written(tmp_path / "two.npz", **cell, **head, other__weight=np.eye(3), other__bias=np.ones(3))
    written(tmp_path / "loose.npz", **cell, head__weight=head["head__weight"])
    written(tmp_path / "none.npz", **cell, head__weight=np.ones((2, 5)), head__bias=np.ones(2))
    np.savez(tmp_path / "x.npz", x=rng.uniform(-1, 1, (80, 20, 2)))
    return tmp_path


def expected(files, head):
    cell = read_weights(files / "one.npz", prefix="rnn")
    X = np.load(files / "x.npz")["x"]
    return effective_memory(cell, X, eps=0.05, probability=0.05, confidence=0.95, head=head)


def asked(files, name, *options):
    out = files / "out.json"
    done = run(
        "memory", files / name, "--sequences", files / "x.npz", *USUAL, "--prefix", "rnn",
        "--json", out, *options,
    )  # fmt: skip
    return done, json.loads(out.read_text()) if done.exit_code in {0, 1} else None


def test_the_only_layer_that_fits_is_found_and_said(files):
    head = np.load(files / "one.npz")["head.weight"]
    done, answer = asked(files, "one.npz")
    assert done.exit_code == 0, done.output
    assert "output: head (1 output), the only layer of the file that fits" in done.output
    assert answer["head"] == "head"
    assert answer["k"] == expected(files, head).k != expected(files, None).k
    # by name it is the same, and without it the state is meant
    again, same = asked(files, "one.npz", "--head", "head")
    assert "output: head (1 output)\n" in again.output
    assert same["table"] == answer["table"]
    done, plain = asked(files, "one.npz", "--head", "none")
    assert "output:" not in done.output
    assert plain["head"] is None
    assert plain["k"] == expected(files, None).k


def test_several_layers_and_none(files):
    done, answer = asked(files, "two.npz")
    assert "no output layer: of the layers that fit (head, other), choose one" in done.output
    assert answer["k"] == expected(files, None).k
    assert asked(files, "two.npz", "--head", "other")[1]["head"] == "other"
    # without a bias it may be an embedding: it is named, and taken if asked for
    done, answer = asked(files, "loose.npz")
    assert "of the layers that fit (head), choose one with --head NAME" in done.output
    assert answer["head"] is None
    assert asked(files, "loose.npz", "--head", "head")[1]["head"] == "head"
    done, answer = asked(files, "none.npz")
    assert "output" not in done.output.replace("outputs", "")
    assert answer["head"] is None


def test_layers_that_are_not_there_or_do_not_fit(files):
    done, _ = asked(files, "two.npz", "--head", "missing")
    assert done.exit_code == 2
    assert "has no output layer 'missing'" in done.output
    assert "there are: head, other" in done.output
    done, _ = asked(files, "none.npz", "--head", "head")
    assert done.exit_code == 2
    assert "C of shape (2, 5), needed (p, 6) for the whole state or (p, 3)" in done.output


def test_certify_asks_about_the_output(tmp_path):
    one = LinearMap([[0.9, 0.1], [0.0, 0.5]], [[1.0], [1.0]])
    arrays = {"rnn.W": one.W, "rnn.U": one.U, "head.kernel": [[1e-3, 0], [0, 0]]}
    arrays["head.bias"] = [0.5, 0.5]  # two outputs: one of as many as inputs is not guessed
    np.savez(tmp_path / "keras.npz", **arrays)
    told = []
    for options in ((), ("--head", "head"), ("--head", "none")):
        done = run(
            "certify", tmp_path / "keras.npz", "--activation", "identity", "--inputs", "box:-1,1",
            "--plot", tmp_path / "c.png", *options,
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        told.append(done.output)
    k = [
        required_context(one, 1e-3, inputs=Inputs.box(-1, 1), head=head).k
        for head in ([[1e-3, 0.0], [0.0, 0.0]], None)
    ]
    assert k[0] < k[1]
    for output in told[:2]:
        assert f"required context: k = {k[0]} for an output error of 0.001" in output
        assert "no smaller k is enough for all such inputs" in output
    assert f"required context: k = {k[1]} for an error of 0.001" in told[2]
    assert (tmp_path / "c.png").stat().st_size > 1000


def test_the_readout_of_a_linear_system_is_its_output(tmp_path):
    A, C = np.array([[0.5, 0.1], [0.0, 0.4]]), np.array([[1.0, -1.0]])
    path = written(tmp_path / "ss.npz", A=A, B=np.eye(2), C=C)
    done = run("certify", path, "--inputs", "box:-1,1", "--epsilon", "0.01")
    assert done.exit_code == 0, done.output
    assert "output: C (1 output), the only layer of the file that fits" in done.output
    exact = required_context(LinearMap(A, np.eye(2)), 0.01, inputs=Inputs.box(-1, 1), head=C)
    assert f"required context: k = {exact.k} for an output error of 0.01" in done.output
    assert "no smaller k is enough" in done.output
