"""`theory project` from the outside."""

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from theory.cli_project import gated_map, project
from theory.interop import named_arrays as read_arrays
from theory.projections.gated import certify

app = typer.Typer()
app.command()(project)


@app.command()
def other():
    """Keep the command's name."""


def run(*arguments):
    return CliRunner().invoke(app, ["project", *(str(a) for a in arguments)])


@pytest.fixture
def plain(tmp_path):
    path = tmp_path / "w.npz"
    W = np.random.default_rng(0).standard_normal((4, 4))
    np.savez(path, W=W, U=np.eye(4), b=np.ones(4), head=np.arange(8.0))
    return path


def torch_file(path, gates, dtype=np.float32, n=3, m=2, biases=True):
    rng = np.random.default_rng(1)

    def draw(*shape):
        return rng.standard_normal(shape).astype(dtype)

    arrays = {"weight_hh_l0": draw(gates * n, n), "weight_ih_l0": draw(gates * n, m)}
    if biases:
        arrays |= {"bias_hh_l0": draw(gates * n), "bias_ih_l0": draw(gates * n)}
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("onto", ["spectral", "linf", "l1", "lmi"])
def test_writes_a_member_and_says_what_moved(plain, tmp_path, onto):
    out = tmp_path / "new.npz"
    done = run(plain, "--onto", onto, "--rate", 0.9, "--out", out)
    assert done.exit_code == 0, done.output
    for words in ("distance", "before", "after", "context", "moved W", "moved U: 0", "certificate"):
        assert words in done.output
    old, new = read_arrays(plain), read_arrays(out)
    assert set(old) == set(new)
    for name in ("U", "b", "head"):
        assert np.array_equal(old[name], new[name])
    assert not np.array_equal(old["W"], new["W"])
    again = run(out, "--onto", onto, "--rate", 0.9, "--out", out, "--force")
    assert again.exit_code == 0
    if onto != "lmi":
        assert "distance 0" in again.output
        assert np.array_equal(read_arrays(out)["W"], new["W"])


def test_never_over_a_file_without_force(plain, tmp_path):
    before = plain.read_bytes()
    for out in (plain, tmp_path / "other.npz"):
        if out != plain:
            out.write_bytes(before)
        done = run(plain, "--onto", "linf", "--rate", 0.5, "--out", out)
        assert done.exit_code == 2
        assert "overwritten" in done.output + done.stderr
        assert out.read_bytes() == before
    assert run(plain, "--onto", "linf", "--rate", 0.5, "--out", plain, "--force").exit_code == 0
    assert plain.read_bytes() != before
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize(("onto", "gates"), [("lstm", 4), ("gru", 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("biases", [True, False])
def test_gated_cells_of_pytorch(tmp_path, onto, gates, dtype, biases):
    path = torch_file(tmp_path / "cell.npz", gates, dtype, biases=biases)
    out = tmp_path / "new.npz"
    done = run(path, "--onto", onto, "--rate", 0.9, "--out", out)
    assert done.exit_code == 0, done.output
    new = read_arrays(out)
    assert all(a.dtype == dtype for name, a in new.items() if name in read_arrays(path))
    assert certify(gated_map(new, onto), 1.0).lam <= 0.9
    assert "k = " in done.output


def test_per_unit_and_single_matrix(tmp_path):
    path = torch_file(tmp_path / "cell.npz", 4)
    done = run(path, "--onto", "lstm", "--rate", 0.9, "--per-unit", "--out", tmp_path / "n.npz")
    assert done.exit_code == 0, done.output
    np.save(tmp_path / "w.npy", 3 * np.eye(2))
    out = tmp_path / "v.npy"
    assert run(tmp_path / "w.npy", "--onto", "spectral", "--rate", 0.5, "--out", out).exit_code == 0
    assert np.linalg.norm(np.load(out), 2) <= 0.5
    done = run(tmp_path / "w.npy", "--onto", "schur", "--rate", 0.5, "--out", out, "--force")
    assert done.exit_code == 0, done.output


def test_bad_input(plain, tmp_path):
    out = tmp_path / "new.npz"
    good = {"--onto": "spectral", "--rate": 0.9, "--out": out}
    cases = (
        ({"--rate": 1}, "border of stability"),
        ({"--rate": 0}, "rate"),
        ({"--onto": "l3"}, "not known"),
        ({"--out": tmp_path / "new.npy"}, "suffix"),
        ({"--epsilon": -1}, "epsilon"),
        ({"--method": "magic"}, "method"),
        ({"--onto": "lstm"}, "LSTM"),
    )
    for change, message in cases:
        options = [x for pair in {**good, **change}.items() for x in pair]
        done = run(plain, *options)
        assert done.exit_code == 2, (change, done.output)
        assert message in done.output + done.stderr, (change, done.output + done.stderr)
        assert not out.exists()
    done = run(tmp_path / "none.npz", "--onto", "spectral", "--rate", 0.9, "--out", out)
    assert done.exit_code == 2
    np.savez(tmp_path / "x.npz", X=np.eye(2))
    done = run(tmp_path / "x.npz", "--onto", "gru", "--rate", 0.9, "--out", out)
    assert "no recurrent weights" in done.output + done.stderr
    np.savez(tmp_path / "n.npz", W=np.full((2, 2), np.nan), U=np.eye(2))
    done = run(tmp_path / "n.npz", "--onto", "linf", "--rate", 0.9, "--out", out)
    assert "nan" in done.output + done.stderr


def test_a_type_that_cannot_store_the_result(tmp_path):
    path = tmp_path / "w.npz"
    np.savez(path, W=3 * np.ones((2, 2), np.float32) / 7, U=np.eye(2))
    out = tmp_path / "new.npz"
    done = run(path, "--onto", "linf", "--rate", 0.3, "--out", out)
    assert done.exit_code == 2
    assert "cannot store" in done.output + done.stderr
    assert not out.exists()
