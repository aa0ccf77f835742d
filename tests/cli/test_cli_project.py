"""`theory project` from the outside."""

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from theory.certify.gate_bounds import certify
from theory.cli.project import gated_map, project
from theory.files.arrays import write_archive
from theory.interop import named_arrays as read_arrays
from theory.interop.write import changed_arrays
from theory.projections import project as nearest

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


@pytest.mark.parametrize(("onto", "gates"), [("lstm", 4), ("gru", 3)])
def test_sums_of_biases_that_do_not_move_stay(tmp_path, onto, gates):
    """Also where they are no numbers of single precision; and then the file again, whole."""
    path, out = torch_file(tmp_path / "cell.npz", gates), tmp_path / "new.npz"
    given = {name: np.float32(1e-2) * a for name, a in read_arrays(path).items()}
    given["weight_hh_l0"][3 * (gates == 4)] = 40.0  # one gate that is too wide
    np.savez(path, **given)
    total = sum(given[f"bias_{part}_l0"].astype(float) for part in ("ih", "hh"))
    assert np.any(total != total.astype(np.float32))
    asked = ("--onto", onto, "--rate", 0.9, "--force")
    assert run(path, *asked, "--out", out).exit_code == 0
    new = read_arrays(out)
    moved = np.any(new["weight_hh_l0"] != given["weight_hh_l0"], axis=1)
    assert 0 < np.sum(moved) < len(moved)
    for part in ("ih", "hh"):
        assert np.array_equal(new[f"bias_{part}_l0"][~moved], given[f"bias_{part}_l0"][~moved])
    done = run(out, *asked, "--out", out)
    assert "distance 0" in done.output
    assert all(np.array_equal(a, new[name]) for name, a in read_arrays(out).items())


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
        ({"--out": tmp_path}, "is a folder, needed the path of a file"),
        ({"--out": plain / "new.npz"}, "cannot be written"),
        ({"--epsilon": -1}, "epsilon"),
        ({"--method": "magic"}, "method"),
        ({"--onto": "lstm"}, "LSTM"),
        ({"--inputs": "1"}, "does not say which inputs are meant"),
        ({"--inputs": "ball"}, "does not exist"),
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
    np.savez(path, W=3 * np.ones((2, 2), np.float16) / 7, U=np.eye(2))
    out = tmp_path / "new.npz"
    done = run(path, "--onto", "linf", "--rate", 0.3, "--out", out)
    assert done.exit_code == 2
    assert "cannot store" in done.output + done.stderr
    assert not out.exists()


def same_parameters(one, other):
    """Whether two maps agree to the last bit."""
    return all(np.array_equal(a, other.parameters[name]) for name, a in one.parameters.items())


@pytest.mark.parametrize("options", [(), ("--per-unit",)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("biases", [True, False])
def test_what_is_read_back_is_what_was_proved(tmp_path, options, dtype, biases):
    """Without biases too, which the larger set moves: zero is no bound of a gate at this rate."""
    path = torch_file(tmp_path / "cell.npz", 4, dtype, biases=biases)
    out = tmp_path / "new.npz"
    rate = 0.4 if options else 0.9
    done = run(path, "--onto", "lstm", "--rate", rate, *options, "--out", out)
    assert done.exit_code == 0, done.output
    new = read_arrays(out)
    assert {a.dtype for a in new.values()} == {np.dtype(dtype)}
    assert ("bias_ih_l0" in new) == ("bias_hh_l0" in new) == (biases or bool(options))
    proved = nearest(
        gated_map(read_arrays(path), "lstm"),
        onto="lstm",
        rate=rate,
        per_unit=bool(options),
        dtype=np.dtype(dtype).name,
        bias_terms=2,
    )
    assert same_parameters(gated_map(new, "lstm"), proved.map)


def test_a_bias_that_our_own_layout_has_not(tmp_path):
    rng = np.random.default_rng(1)
    arrays = {
        name: rng.standard_normal((12, m)).astype(np.float32) for name, m in (("W", 3), ("U", 2))
    }
    np.savez(tmp_path / "cell.npz", **arrays)
    out = tmp_path / "new.npz"
    done = run(tmp_path / "cell.npz", "--onto", "lstm", "--rate", 0.4, "--per-unit", "--out", out)
    assert done.exit_code == 0, done.output
    new = read_arrays(out)
    assert {name: a.dtype for name, a in new.items()} == dict.fromkeys("WUb", np.dtype(np.float32))
    before = gated_map(arrays, "lstm")
    proved = nearest(before, onto="lstm", rate=0.4, per_unit=True, dtype="float32")
    assert same_parameters(gated_map(new, "lstm"), proved.map)


def test_biases_made_for_a_gru_without():
    rng = np.random.default_rng(1)
    arrays = {
        "weight_hh_l0": rng.standard_normal((9, 3)).astype(np.float32),
        "weight_ih_l0": rng.standard_normal((9, 2)).astype(np.float32),
    }
    before = gated_map(arrays, "gru")
    for change in ({"b": np.arange(9.0)}, {"b_candidate": np.arange(3.0)}):
        after = before.with_parameters(**change)
        new = changed_arrays(arrays, before, after)
        assert {a.dtype for a in new.values()} == {np.dtype(np.float32)}
        assert same_parameters(gated_map(new, "gru"), after)


@pytest.mark.parametrize("name", ["file", "allow_pickle", "self", "a b", "x/y"])
def test_arrays_of_any_name_are_kept(tmp_path, name):
    arrays = {"W": 3 * np.eye(2), name: np.arange(3.0)}
    path, out = tmp_path / "w.npz", tmp_path / "new.npz"
    with path.open("wb") as stream:
        write_archive(stream, arrays)
    done = run(path, "--onto", "linf", "--rate", 0.5, "--out", out)
    assert done.exit_code == 0, done.output
    with np.load(out, allow_pickle=False) as new:
        assert np.array_equal(new[name], np.arange(3.0))
        assert np.array_equal(new["W"], 0.5 * np.eye(2))


def test_recurrent_weights_alone_decide_on_single_precision(tmp_path):
    path, out = tmp_path / "w.npz", tmp_path / "new.npz"
    W = np.random.default_rng(3).standard_normal((3, 3)).astype(np.float32)
    np.savez(path, W=W, U=np.eye(3), b=np.ones(3), steps=np.int64(7), head=np.full(2, 1 / 3))
    for onto in ("spectral", "linf", "lmi"):
        done = run(path, "--onto", onto, "--rate", 0.5, "--out", out, "--force")
        assert done.exit_code == 0, done.output
        new = read_arrays(out)
        assert new["W"].dtype == np.float32
        assert new["steps"] == 7
        assert new["steps"].dtype == np.int64
        assert np.array_equal(new["head"], np.full(2, 1 / 3))
    # the other way round: nothing is lost where the recurrent weights are double
    np.savez(path, W=W / np.float64(3), head=np.ones(2, np.float32))
    assert run(path, "--onto", "linf", "--rate", 0.1, "--out", out, "--force").exit_code == 0
    W = read_arrays(out)["W"]
    assert not np.array_equal(W, W.astype(np.float32))


def test_one_single_parameter_of_a_cell_is_enough(tmp_path):
    path = torch_file(tmp_path / "cell.npz", 4, np.float64)
    arrays = read_arrays(path)
    arrays["bias_hh_l0"] = 5 * arrays["bias_hh_l0"].astype(np.float32)
    np.savez(path, **arrays)
    out = tmp_path / "new.npz"
    done = run(path, "--onto", "lstm", "--rate", 0.9, "--out", out)
    assert done.exit_code == 0, done.output
    assert certify(gated_map(read_arrays(out), "lstm"), 1.0).lam <= 0.9


def test_the_file_keeps_its_mode(plain, tmp_path):
    out = tmp_path / "new.npz"
    assert run(plain, "--onto", "linf", "--rate", 0.5, "--out", out).exit_code == 0
    assert out.stat().st_mode & 0o777 == 0o644
    out.chmod(0o600)
    assert run(plain, "--onto", "linf", "--rate", 0.5, "--out", out, "--force").exit_code == 0
    assert out.stat().st_mode & 0o777 == 0o600


def test_folders_are_made_for_what_is_written_only(plain, tmp_path):
    out = tmp_path / "some" / "where" / "new.npz"
    assert run(plain, "--onto", "linf", "--rate", 2, "--out", out).exit_code == 2
    assert not (tmp_path / "some").exists()
    assert run(plain, "--onto", "linf", "--rate", 0.5, "--out", out).exit_code == 0
    assert out.exists()


def test_the_inputs_say_which_set_is_projected_onto(tmp_path):
    path, out, seen = torch_file(tmp_path / "w.npz", 4), tmp_path / "new.npz", tmp_path / "x.npy"
    np.save(seen, np.array([[2.0, -2.0], [0.5, 0.0]]))
    for text in ("box:-2,2", "ball:2", seen):
        done = run(path, "--onto", "lstm", "--rate", 0.9, "--inputs", text, "--out", out, "--force")
        assert done.exit_code == 0, done.output + done.stderr
        assert "inputs |x_i| <= 2.0" in " ".join(done.output.split())
    np.save(seen, np.ones((2, 3)))
    done = run(path, "--onto", "lstm", "--rate", 0.9, "--inputs", seen, "--out", out, "--force")
    assert done.exit_code == 2
    assert "of dimension 3, needed 2" in " ".join((done.output + done.stderr).split())


def test_the_context_is_for_the_inputs_of_the_set(tmp_path):
    """In R^4 the box holds inputs twice as long as the ball, and so needs the longer context."""
    path, out, found = tmp_path / "w.npz", tmp_path / "new.npz", []
    np.savez(path, W=np.random.default_rng(0).standard_normal((4, 4)), U=np.eye(4), b=np.zeros(4))
    where = ("--onto", "spectral", "--rate", 0.9, "--out", out, "--force")
    for text, told in (("ball:0.01", "|x|_2 <= 0.01"), ("box:-0.01,0.01", "|x_i| <= 0.01")):
        done = run(path, *where, "--inputs", text)
        assert f"inputs: {told}" in done.output
        found.append(int(done.output.split("k = ")[-1].split()[0]))
    assert found[0] < found[1]
