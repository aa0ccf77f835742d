"""`theory project` from the outside."""

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from theory import Inputs, contraction
from theory.certify import invariant_domain
from theory.certify.gate_bounds import certify
from theory.cli.project import gated_map, project
from theory.files.arrays import write_archive
from theory.interop import from_arrays, read_weights
from theory.interop import named_arrays as read_arrays
from theory.interop.write import changed_arrays
from theory.projections import project as nearest

app = typer.Typer()
app.command()(project)


@app.command()
def other():
    """Keep the command's name."""


def run(*arguments):
    """Run the command; the plain cells of these files have tanh, which no array tells."""
    words = [str(a) for a in arguments]
    if not {"--activation", "schur"} & set(words):
        words += ["--activation", "tanh"]
    return CliRunner().invoke(app, ["project", *words])


@pytest.fixture
def plain(tmp_path):
    path = tmp_path / "w.npz"
    W = np.random.default_rng(0).standard_normal((4, 4))
    np.savez(path, W=W, U=np.eye(4), b=np.ones(4), **{"head.weight": np.arange(8.0)})
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
    for name in ("U", "b", "head.weight"):
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
    done = run(path, "--onto", "linf", "--rate", 0.5, "--out", out, "--unused", name)
    assert done.exit_code == 0, done.output
    with np.load(out, allow_pickle=False) as new:
        assert np.array_equal(new[name], np.arange(3.0))
        assert np.array_equal(new["W"], 0.5 * np.eye(2))


def test_recurrent_weights_alone_decide_on_single_precision(tmp_path):
    path, out = tmp_path / "w.npz", tmp_path / "new.npz"
    W = np.random.default_rng(3).standard_normal((3, 3)).astype(np.float32)
    np.savez(path, W=W, U=np.eye(3), b=np.ones(3), steps=np.int64(7), head=np.full(2, 1 / 3))
    beside = ("--unused", "steps", "--unused", "head")
    for onto in ("spectral", "linf", "lmi"):
        done = run(path, "--onto", onto, "--rate", 0.5, "--out", out, "--force", *beside)
        assert done.exit_code == 0, done.output
        new = read_arrays(out)
        assert new["W"].dtype == np.float32
        assert new["steps"] == 7
        assert new["steps"].dtype == np.int64
        assert np.array_equal(new["head"], np.full(2, 1 / 3))
    # the other way round: nothing is lost where the recurrent weights are double
    np.savez(path, W=W.astype(np.float64) / 3, head=np.ones(2, np.float32))
    done = run(path, "--onto", "linf", "--rate", 0.1, "--out", out, "--force", *beside)
    assert done.exit_code == 0, done.output
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


def whole_model(gates, dtype=np.float32, start="enc.lstm."):
    """Return the arrays of a trained model: one cell between other layers."""
    rng = np.random.default_rng(4)
    n, m = 3, 2
    return {
        "enc.embed.weight": rng.standard_normal((5, m)).astype(np.float16),
        f"{start}weight_ih_l0": rng.standard_normal((gates * n, m)).astype(dtype),
        f"{start}weight_hh_l0": rng.standard_normal((gates * n, n)).astype(dtype),
        f"{start}bias_ih_l0": rng.standard_normal(gates * n).astype(dtype),
        f"{start}bias_hh_l0": rng.standard_normal(gates * n).astype(dtype),
        "head.weight": np.asfortranarray(rng.standard_normal((4, n))),
        "head.bias": rng.standard_normal(4).astype(">f4"),
        "steps": np.int64(7),
        "mask": np.array([True, False]),
    }


def same_array(one, other):
    return (
        (one.dtype, one.shape, one.flags.f_contiguous, one.tobytes())
        == (other.dtype, other.shape, other.flags.f_contiguous, other.tobytes())
    )  # fmt: skip


@pytest.mark.parametrize(("onto", "gates"), [("lstm", 4), ("gru", 3), ("spectral", 1)])
@pytest.mark.parametrize("prefix", [None, "enc.lstm"])
def test_a_model_with_other_layers(tmp_path, onto, gates, prefix):
    path, out, arrays = tmp_path / "net.npz", tmp_path / "new.npz", whole_model(gates)
    np.savez(path, **arrays)
    asked = ("--onto", onto, "--rate", 0.8, "--out", out)
    done = run(path, *asked, *(() if prefix is None else ("--prefix", prefix)))
    assert done.exit_code == 0, done.output + done.stderr
    new = read_arrays(out)
    assert list(new) == list(arrays)
    moved = {name for name in new if not same_array(new[name], arrays[name])}
    assert "enc.lstm.weight_hh_l0" in moved
    assert all(name.startswith("enc.lstm.") for name in moved)
    assert all(new[name].dtype == arrays[name].dtype for name in moved)
    told = next(line for line in done.output.splitlines() if line.startswith("changed: "))
    kept = f"({len(new) - len(moved)} of {len(new)} arrays are as they were)"
    assert told == f"changed: {', '.join(name for name in new if name in moved)} {kept}"
    assert f"onto {onto} with rate 0.8: " in done.output
    # the other commands read what was written
    again = read_weights(out, prefix="enc.lstm", activation="tanh")
    if gates > 1:
        assert certify(again, 1.0).lam <= 0.8
    else:
        assert np.linalg.norm(again.W, 2) <= 0.8


def test_a_prefix_chooses_the_cell_and_its_activation_is_asked(tmp_path):
    path, out = tmp_path / "net.npz", tmp_path / "new.npz"
    arrays = whole_model(1) | {"dec.weight_hh_l0": np.eye(2), "dec.weight_ih_l0": np.eye(2)}
    np.savez(path, **arrays)
    asked = ("--onto", "spectral", "--rate", 0.5, "--out", out)
    done = run(path, *asked)
    assert done.exit_code == 2
    assert "enc.lstm (torch), dec (torch); choose one with prefix=" in done.stderr
    done = run(path, *asked, "--prefix", "dec", "--activation", "relu")
    assert done.exit_code == 0, done.output + done.stderr
    assert "activation='relu'" in done.output
    new = read_arrays(out)
    assert [name for name in new if not same_array(new[name], arrays[name])] == ["dec.weight_hh_l0"]
    np.savez(path, **arrays | {"dec.weight_hh_l1": np.eye(2), "dec.weight_ih_l1": np.eye(2)})
    done = run(path, *asked, "--prefix", "dec", "--activation", "relu", "--force")
    assert done.exit_code == 0, done.output + done.stderr
    new = read_arrays(out)
    moved = [name for name in new if not same_array(new[name], arrays.get(name, np.eye(2)))]
    assert moved == ["dec.weight_hh_l0", "dec.weight_hh_l1"]


@pytest.mark.parametrize(
    ("onto", "gates"),
    [("lstm", 4), ("lstm_l2", 4), ("gru", 3), ("gru_l2", 3), ("spectral", 1)],
)
def test_layers_of_a_stack_are_projected_one_after_another(onto, gates, tmp_path):
    path, out = tmp_path / "net.npz", tmp_path / "new.npz"
    rng = np.random.default_rng(gates)
    n, arrays = 4, {"head.weight": rng.standard_normal((2, 4))}
    for layer, m in enumerate((3, n)):
        for name, shape in (("weight_ih", (gates * n, m)), ("weight_hh", (gates * n, n))):
            arrays[f"rnn.{name}_l{layer}"] = rng.standard_normal(shape)
        for name in ("bias_ih", "bias_hh"):
            arrays[f"rnn.{name}_l{layer}"] = rng.standard_normal(gates * n)
    np.savez(path, **arrays)
    more = () if gates > 1 else ("--activation", "tanh")
    done = run(path, "--onto", onto, "--rate", 0.8, "--out", out, *more)
    assert done.exit_code == 0, done.output + done.stderr
    assert "layer 1: distance" in done.output
    after = done.output[done.output.index("│ after") :].splitlines()[0]
    assert "k = " in after
    stack = from_arrays(read_arrays(out), activation="tanh" if gates == 1 else None)
    seen = Inputs.box(-1.0, 1.0)
    for layer, show in zip(stack.layers, (*stack.readouts, None), strict=True):
        c = contraction(layer, inputs=seen, effort=2)
        assert c is not None
        assert c.lam <= 0.8 * (1 + 1e-6)
        if show is not None:
            box = invariant_domain(layer, inputs=seen)
            seen = Inputs.box(*show.image((box.low, box.high)))
    # the second is projected for what the first one gives, which is less than the inputs
    if onto in {"lstm", "gru"}:
        most = float(max(-seen.low.min(), seen.high.max()))
        assert f"inputs |x_i| <= {most!r}" in done.output
    assert same_array(read_arrays(out)["head.weight"], arrays["head.weight"])
    if gates == 3:
        done = run(path, "--onto", "lstm", "--rate", 0.8, "--out", out, "--force")
        assert done.exit_code == 2
        assert "needed the weights of one LSTM layer" in done.stderr


@pytest.mark.parametrize(("onto", "gates"), [("lstm", 4), ("gru", 3)])
def test_a_ratio_is_a_graded_norm(onto, gates, tmp_path):
    path, out = tmp_path / "net.npz", tmp_path / "new.npz"
    rng, n = np.random.default_rng(0), 8
    arrays = {f"weight_{name}_l0": rng.standard_normal((gates * n, n)) for name in ("ih", "hh")}
    np.savez(path, **arrays)
    ask = ("--onto", onto, "--rate", 0.8, "--out", out, "--force")
    distances = []
    for more in (("--per-unit", "--ratio", 1.0), ("--per-unit", "--ratio", 2.0**20)):
        done = run(path, *ask, *more)
        assert done.exit_code == 0, done.output + done.stderr
        distances.append(float(done.output.split("distance ")[1].split(",")[0]))
    assert distances[1] < distances[0]
    assert "k = " in done.output
    done = run(path, *ask, "--ratio", 4.0)
    assert done.exit_code == 2
    assert "add --per-unit" in done.stderr


def test_a_stack_by_the_prefixes_of_its_layers(tmp_path):
    path, out = tmp_path / "net.npz", tmp_path / "new.npz"
    names = [f"{at}.{name}" for at in ("low", "top") for name in ("weight_hh_l0", "weight_ih_l0")]
    arrays = {name: np.full((2, 2), 0.6) for name in names}
    np.savez(path, **arrays)
    asked = ("--onto", "spectral", "--rate", 0.5, "--activation", "tanh", "--out", out)
    done = run(path, *asked, "--prefix", "low", "--prefix", "top")
    assert done.exit_code == 0, done.output + done.stderr
    new = read_arrays(out)
    moved = [name for name in new if not same_array(new[name], arrays[name])]
    assert moved == ["low.weight_hh_l0", "top.weight_hh_l0"]


def safe_file(path, arrays, kinds=None, metadata=None):
    """Write a safetensors file by its definition, larger numbers first; types by its names."""
    named = {"float16": "F16", "float32": "F32", "float64": "F64", "int64": "I64", "bool": "BOOL"}
    header, body = {"__metadata__": metadata} if metadata else {}, b""
    for name in sorted(arrays, key=lambda name: (-arrays[name].itemsize, name)):
        array = arrays[name]
        kind = (kinds or {}).get(name) or named[array.dtype.name]
        data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        if kind == "BF16":
            data = (np.ascontiguousarray(array, "<f4").view("<u4") >> 16).astype("<u2").tobytes()
        elif kind == "F8_E4M3":
            data = array.astype(np.uint8).tobytes()
        offsets = [len(body), len(body) + len(data)]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": offsets}
        body += data
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


@pytest.mark.parametrize(("onto", "gates"), [("lstm", 4), ("gru", 3), ("linf", 1)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_safetensors_stay_safetensors(tmp_path, onto, gates, dtype):
    safetensors = pytest.importorskip("safetensors")
    path, out = tmp_path / "net.safetensors", tmp_path / "new.safetensors"
    arrays = whole_model(gates, dtype)
    arrays |= {"odd": np.array([1.5, -2.0], np.float32), "short": np.arange(3)}
    kinds, metadata = {"odd": "BF16", "short": "F8_E4M3"}, {"format": "pt", "title": "é ☃"}
    safe_file(path, arrays, kinds, metadata)
    done = run(path, "--onto", onto, "--rate", 0.8, "--out", out)
    assert done.exit_code == 0, done.output + done.stderr
    old, new = (dict(safetensors.deserialize(p.read_bytes())) for p in (path, out))
    assert set(old) == set(new)
    moved = {name for name in new if new[name] != old[name]}
    assert "enc.lstm.weight_hh_l0" in moved
    assert all(name.startswith("enc.lstm.") for name in moved)
    for name in moved:
        for key in ("dtype", "shape"):
            assert new[name][key] == old[name][key]
    header = json.loads(out.read_bytes()[8 : 8 + int.from_bytes(out.read_bytes()[:8], "little")])
    assert header["__metadata__"] == metadata
    first = json.loads(path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")])
    assert list(header) == list(first)
    # every number is where its type may be read
    assert all(
        t["data_offsets"][0] % {"F64": 8, "I64": 8, "F32": 4}.get(t["dtype"], 1) == 0
        for name, t in header.items()
        if name != "__metadata__"
    )
    if gates > 1:
        assert certify(read_weights(out), 1.0).lam <= 0.8
    # nothing to move: the numbers again
    again = run(out, "--onto", onto, "--rate", 0.8, "--out", out, "--force")
    assert again.exit_code == 0, again.output + again.stderr
    if gates > 1:
        assert "changed: nothing" in again.output
        assert dict(safetensors.deserialize(out.read_bytes())) == new


def test_biases_that_a_safetensors_file_has_not(tmp_path):
    pytest.importorskip("safetensors")
    path, out = tmp_path / "net.safetensors", tmp_path / "new.safetensors"
    arrays = {name: a for name, a in whole_model(4).items() if ".bias_" not in name}
    safe_file(path, arrays)
    done = run(path, "--onto", "lstm", "--rate", 0.4, "--per-unit", "--out", out)
    assert done.exit_code == 0, done.output + done.stderr
    new = read_arrays(out)
    assert {"enc.lstm.bias_ih_l0", "enc.lstm.bias_hh_l0"} == set(new) - set(arrays)
    proved = nearest(
        read_weights(path), onto="lstm", rate=0.4, per_unit=True, dtype="float32", bias_terms=2
    )
    assert same_parameters(read_weights(out), proved.map)


def test_bfloat16_that_cannot_store_the_result(tmp_path):
    pytest.importorskip("safetensors")
    path, out = tmp_path / "net.safetensors", tmp_path / "new.safetensors"
    safe_file(path, {"W": np.array([[0.75, 0.5], [0.5, 0.25]], np.float32)}, {"W": "BF16"})
    done = run(path, "--onto", "linf", "--rate", 0.3, "--out", out)
    assert done.exit_code == 2
    assert "W is stored as BF16, which cannot store the projected numbers" in done.stderr
    assert not out.exists()
    # weights that are in the set already are those that are stored
    done = run(path, "--onto", "linf", "--rate", 0.99, "--out", out)
    assert done.exit_code == 2
    safe_file(path, {"W": np.array([[0.5, 0.25], [0.5, 0.25]], np.float32)}, {"W": "BF16"})
    done = run(path, "--onto", "linf", "--rate", 0.99, "--out", out)
    assert done.exit_code == 0, done.output + done.stderr
    assert "changed: nothing" in done.output
    assert np.array_equal(read_arrays(out)["W"], read_arrays(path)["W"])


@pytest.mark.parametrize(("onto", "gates"), [("lstm", 4), ("gru", 3), ("gru", -3), ("spectral", 1)])
@pytest.mark.parametrize("biases", [True, False])
def test_weights_of_keras(tmp_path, onto, gates, biases):
    """Gates in another order, matrices from the right; a negative number: one bias of a GRU."""
    path, out = tmp_path / "net.npz", tmp_path / "new.npz"
    rng, n, m = np.random.default_rng(5), 3, 2
    count, both = abs(gates), gates == 3
    arrays = {
        "cell/kernel": rng.standard_normal((m, count * n)),
        "cell/recurrent_kernel": rng.standard_normal((n, count * n)),
        "dense/kernel": np.ones((n, 1)),
    }
    if biases:
        arrays["cell/bias"] = rng.standard_normal((2, count * n) if both else count * n)
    np.savez(path, **arrays)
    told = {"activation": "tanh"}
    if count > 1:
        told["recurrent_activation"] = "sigmoid"
    if count == 3 and not biases:
        told["variant"] = "reset_after" if both else "reset_before"
    words = [w for key, word in told.items() for w in (f"--{key.replace('_', '-')}", word)]
    done = run(path, "--onto", onto, "--rate", 0.7, "--out", out, *words)
    assert done.exit_code == 0, done.output + done.stderr
    new = read_arrays(out)
    assert np.array_equal(new["dense/kernel"], arrays["dense/kernel"])
    asked = {"onto": onto, "rate": 0.7}
    proved = nearest(read_weights(path, **told), **asked, bias_terms=2 if both else 1)
    assert same_parameters(read_weights(out, **told), proved.map)


def test_a_link_is_written_through(plain, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    real, link = folder / "real.npz", tmp_path / "link.npz"
    real.write_bytes(plain.read_bytes())
    link.symlink_to(real)
    before = real.read_bytes()
    done = run(link, "--onto", "linf", "--rate", 0.5, "--out", link)
    assert done.exit_code == 2
    assert "is the input that would be overwritten" in done.stderr
    done = run(link, "--onto", "linf", "--rate", 0.5, "--out", link, "--force")
    assert done.exit_code == 0, done.output
    assert link.is_symlink()
    assert real.read_bytes() != before
    # a link that leads nowhere yet
    link.unlink()
    link.symlink_to(folder / "new.npz")
    assert run(real, "--onto", "linf", "--rate", 0.5, "--out", link).exit_code == 0
    assert link.is_symlink()
    assert (folder / "new.npz").exists()
    assert sorted(p.name for p in folder.iterdir()) == ["new.npz", "real.npz"]


def test_project_searches_once_for_each_map(tmp_path, searches):
    path, out = tmp_path / "w.npz", tmp_path / "new.npz"
    np.savez(path, W=[[0.9, -0.8], [0.4, -0.9]], U=np.eye(2))
    done = run(path, "--onto", "spectral", "--rate", 0.9, "--out", out, "--activation", "relu")
    assert done.exit_code == 0, done.output
    # of the map as it was, and of the projected one
    assert searches.count("box") == 2
    assert searches.count(("lmi", "everywhere")) <= 2
    assert max(searches.count(one) for one in set(searches)) == 2
