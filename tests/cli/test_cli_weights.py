"""What the commands say of files of weights: what is not told is asked, nothing is dropped."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from theory import GRU, Cascade, LinearMap, VanillaRNN
from theory.cli import app
from theory.interop import from_arrays, load_map, save_map
from theory.interop.write import changed_arrays, stored_cell


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "w.npz"


W, U = 0.5 * np.eye(2), np.ones((2, 1))
RNG = np.random.default_rng(0)
GATED = GRU(RNG.normal(size=(6, 2)) / 9, RNG.normal(size=(6, 1)) / 9, variant="reset_before")


def keras_file(path):
    np.savez(path, kernel=np.ones((1, 4)) / 9, recurrent_kernel=np.ones((1, 4)) / 9)


def test_what_a_file_does_not_tell_is_asked(path):
    np.savez(path, W=W, U=U)
    done = run("certify", path)
    assert done.exit_code == 2
    assert "--activation), one of: identity, tanh, relu" in done.stderr
    assert run("certify", path, "--activation", "relu").exit_code == 0
    np.savez(path, **GATED.parameters)
    done = run("certify", path)
    assert done.exit_code == 2
    assert "--variant), 'reset_after'" in done.stderr
    done = run("certify", path, "--variant", "reset_before")
    assert (done.exit_code, "reset_before" in done.output) == (0, True), done.output
    keras_file(path)
    done = run("certify", path)
    assert done.exit_code == 2
    assert "--activation tanh --recurrent-activation sigmoid" in done.stderr
    told = ("--activation", "tanh", "--recurrent-activation")
    assert run("certify", path, *told, "sigmoid").exit_code == 0
    done = run("certify", path, *told, "hard_sigmoid")
    assert done.exit_code == 2
    assert (
        "'hard_sigmoid': gates other than sigmoid, hard_sigmoid(1/6), hard_sigmoid(0.2)"
        in done.stderr
    )


def test_what_is_left_over_is_named(path):
    np.savez(path, W=W, U=U, gain=np.ones(2), **{"head.weight": np.ones((1, 2))})
    done = run("certify", path, "--activation", "tanh")
    assert done.exit_code == 2
    assert "[gain] would be left over beside" in done.stderr
    assert "--unused gain" in done.stderr
    assert run("certify", path, "--activation", "tanh", "--unused", "gain").exit_code == 0
    assert run("certify", path, "--activation", "tanh", "--unused", "*").exit_code == 0


def test_a_linear_system_is_certified_as_one(path):
    """A, B were a tanh network: k = 94 where the error still was 0.0035."""
    system = LinearMap([[0.9, 0.5], [0.0, 0.8]], [[1.0], [1.0]], [0.1, 0.2])
    np.savez(path, A=system.W, B=system.U, bias=system.b)
    done = run("certify", path)
    assert done.exit_code == 0
    assert "LinearMap(n=2, m=1)" in done.output
    k = int(done.output.partition("required context: k = ")[2].split()[0])
    rest = np.linalg.solve(np.eye(2) - system.W, [1.1, 1.2])
    error = np.linalg.norm(np.linalg.matrix_power(system.W, k) @ rest)
    assert error <= 1e-3
    done = run("certify", path, "--activation", "tanh")
    assert done.exit_code == 2
    assert "a linear map, which has none" in done.stderr


def test_a_file_of_a_map_tells_everything(path, tmp_path):
    file = tmp_path / "c.json"
    for recurrent in (
        VanillaRNN(W, U, activation="relu"),
        GATED,
        Cascade([VanillaRNN(W, U, activation="relu"), VanillaRNN(W, np.ones((2, 2)))]),
    ):
        save_map(path, recurrent)
        done = run("certify", path, "--json", file)
        assert repr(recurrent) in done.output.replace("\n", ""), done.output
        if done.exit_code == 0:
            assert run("check", file, path).exit_code == 0
    save_map(path, VanillaRNN(W, U, activation="relu"))
    assert run("certify", path, "--json", file).exit_code == 0
    done = run("certify", path, "--activation", "tanh")
    assert done.exit_code == 2
    assert "the file tells that the map is VanillaRNN(n=2, m=1, activation='relu')" in done.stderr
    save_map(path, VanillaRNN(W, U))
    done = run("check", file, path)
    assert (done.exit_code, "rejected: activation" in done.output) == (1, True)


def test_check_asks_too(path, tmp_path):
    file = tmp_path / "c.json"
    np.savez(path, W=W, U=U)
    assert run("certify", path, "--activation", "relu", "--json", file).exit_code == 0
    # the certificate says which activation it is about
    assert run("check", file, path).exit_code == 0
    assert run("check", file, path, "--activation", "tanh").exit_code == 1
    np.savez(path, **GATED.parameters)
    told = ("--variant", "reset_before")
    assert run("certify", path, *told, "--json", file).exit_code == 0
    assert run("check", file, path).exit_code == 2
    assert run("check", file, path, *told).exit_code == 0
    keras_file(path)
    told = ("--activation", "tanh", "--recurrent-activation", "sigmoid")
    assert run("certify", path, *told, "--json", file).exit_code == 0
    assert run("check", file, path, *told).exit_code == 0


def test_a_projected_map_is_written_as_a_map(path, tmp_path):
    out = tmp_path / "new.npz"
    asked = ("--rate", 0.4, "--out", out, "--force")
    for onto, recurrent in (
        ("spectral", VanillaRNN(W, U, activation="relu")),
        ("schur", LinearMap(W, U)),
    ):
        save_map(path, recurrent)
        done = run("project", path, "--onto", onto, *asked)
        assert done.exit_code == 0, done.output
        again = load_map(out)
        assert repr(again) == repr(recurrent)
        assert np.linalg.norm(again.W, 2) <= 0.4
    save_map(path, VanillaRNN(W, U))
    done = run("project", path, "--onto", "schur", *asked)
    assert done.exit_code == 2
    np.savez(path, W=W, U=U, vocab=np.array([None]))
    done = run(
        "project", path, "--onto", "spectral", *asked, "--activation", "tanh", "--unused", "vocab"
    )
    assert done.exit_code == 2
    assert "vocab holds Python objects" in done.stderr


@pytest.mark.parametrize("variant", ["reset_before", "reset_after"])
def test_a_bias_that_is_made_is_that_of_the_gru(variant):
    """It was made as the other kind has it, so that the file became another map's."""
    rng = np.random.default_rng(1)
    arrays = {"kernel": rng.normal(size=(2, 6)), "recurrent_kernel": rng.normal(size=(2, 6))}
    told = {"activation": "tanh", "recurrent_activation": "sigmoid", "variant": variant}
    before = from_arrays(arrays, **told)
    after = before.with_parameters(W=before.W / 2, b=rng.normal(size=6))
    new = changed_arrays(arrays, before, after, stored_cell(arrays, variant=variant))
    assert new["bias"].shape == ((2, 6) if variant == "reset_after" else (6,))
    again = from_arrays(new, **told)
    assert all((again.parameters[k] == after.parameters[k]).all() for k in after.parameters)


def test_a_gru_of_keras_keeps_its_kind(path, tmp_path):
    out, rng = tmp_path / "new.npz", np.random.default_rng(1)
    np.savez(path, kernel=rng.normal(size=(2, 6)), recurrent_kernel=rng.normal(size=(2, 6)))
    told = ("--activation", "tanh", "--recurrent-activation", "sigmoid", "--variant")
    for variant, shape in (("reset_before", (6,)), ("reset_after", (2, 6))):
        asked = ("--onto", "gru", "--rate", 0.7, "--out", out, "--force", *told, variant)
        done = run("project", path, *asked)
        assert done.exit_code == 0, done.output
        with np.load(out) as new:
            assert "bias" not in new.files or new["bias"].shape == shape
        done = run("certify", out, *told, variant, "--json", tmp_path / "c.json")
        assert f"variant='{variant}'" in done.output
        assert done.exit_code == 0
        assert json.loads((tmp_path / "c.json").read_text())["map"]["kind"] == "GRU"
