"""`theory certify` and `theory check` from the outside."""

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from theory import GRU, LSTM, Inputs, contraction, interop
from theory.certify import save_certificate
from theory.cli.certify import certify, check
from theory.cli.project import project
from theory.interop import read_weights

MONE = np.array([[0.9, -1.0], [0.5, -0.9]])
app = typer.Typer()
app.command()(certify)
app.command()(check)
app.command()(project)


def run(*arguments):
    """Run a command; the plain cells of these files have tanh, which no array tells."""
    words = [str(a) for a in arguments]
    if words[0] == "certify" and not {"--activation", "--help"} & set(words):
        words += ["--activation", "tanh"]
    return CliRunner().invoke(app, words)


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "w.npz"
    np.savez(path, W=MONE, U=np.eye(2), b=np.zeros(2))
    return path


def test_certify_writes_what_check_accepts(weights, tmp_path):
    file, picture = tmp_path / "c.json", tmp_path / "c.png"
    done = run("certify", weights, "--json", file, "--plot", picture, "--epsilon", "0.01")
    assert done.exit_code == 0, done.output
    for word in ("lmi", "0.9000", "required context", "no norm can certify less"):
        assert word in done.output
    assert picture.stat().st_size > 1000
    assert "upper/lower = 1.0" in done.output
    assert run("check", file, weights).exit_code == 0
    data = json.loads(file.read_text())
    data["rate"] = (0.89).hex()
    file.write_text(json.dumps(data))
    bad = run("check", file, weights)
    assert bad.exit_code == 1
    assert "rejected: inequality" in bad.output
    np.savez(weights, W=2 * MONE, U=np.eye(2), b=np.zeros(2))
    assert "rejected: parameters" in run("check", file, weights).output


def test_bounded_inputs_make_local_certificates(tmp_path):
    path, file, picture = tmp_path / "w.npz", tmp_path / "c.json", tmp_path / "c.png"
    W = np.array([[1.6, -0.4], [0.3, 1.5]])
    np.savez(path, W=W, U=np.eye(2), b=[3.0, 3.0])
    done = run(
        "certify", path, "--inputs", "ball:0.1", "--json", file, "--plot", picture, "--effort", "0"
    )
    assert done.exit_code == 0, done.output
    for words in (
        "refuted", "beyond these inputs, cycles of period 1", "perron, on the box",
        "on the box, ", "required context: k = 3 for an error of 0.001, |x|_2 <= 0.1 ",
    ):  # fmt: skip
        assert words in done.output, done.output
    assert picture.stat().st_size > 1000
    done = run("check", file, path)
    assert done.exit_code == 0, done.output
    assert "accepted" in done.output
    assert "for a box of states within |h_i| <= 1, |x_i| <= 0.1\n" in done.output
    data = json.loads(file.read_text())
    data["domain"]["input_high"] = [(5.0).hex()] * 2
    file.write_text(json.dumps(data))
    done = run("check", file, path)
    assert done.exit_code == 1
    assert "rejected: invariance" in done.output
    # larger inputs: no certificate anywhere
    assert run("certify", path, "--inputs", "ball:9").exit_code == 1


def test_several_steps_have_a_row_and_a_file(weights, tmp_path):
    done = run("certify", weights)
    assert "iterate " in done.output
    file = tmp_path / "c.json"
    done = run("certify", weights, "--method", "iterate", "--json", file, "--inputs", "ball:9")
    assert done.exit_code == 0, done.output
    assert "of 6 steps together" in done.output
    done = run("check", file, weights)
    assert done.exit_code == 0, done.output
    assert "of 6 steps together in L2 (products), everywhere" in done.output


def test_refuted_and_unknown(tmp_path):
    path = tmp_path / "w.npy"
    np.save(path, np.array([[0.0, 10.0], [-0.012, 1.1]]))
    done = run("certify", path)
    assert done.exit_code == 1
    assert "refuted (orbits)" in done.output
    assert "for bounded inputs" not in done.output
    np.save(path, np.array([[1.0]]))
    done = run("certify", path)
    assert done.exit_code == 1
    assert "unknown" in done.output
    assert "not tried" not in done.output
    np.save(path, np.diag(np.ones(70)))
    done = run("certify", path)
    assert "not tried at this size: diagonal, iterate; --effort 2 tries more" in done.output


def test_linear_and_single_method(tmp_path):
    path = tmp_path / "w.npz"
    np.savez(path, A=[[0.9, 5.0], [0.0, 0.9]], B=np.eye(2))
    done = run("certify", path, "--activation", "identity", "--method", "lyapunov")
    assert done.exit_code == 0
    assert "lyapunov" in done.output


def test_names_of_other_programs(tmp_path):
    path = tmp_path / "w.npz"
    np.savez(
        path,
        weight_hh_l0=MONE.astype(np.float32),
        weight_ih_l0=np.ones((2, 3), np.float32),
        bias_hh_l0=np.ones(2, np.float32),
        bias_ih_l0=np.ones(2, np.float32),
    )
    one = read_weights(path, activation="tanh")
    assert one.input_dim == 3
    assert one.parameters["b"].tolist() == [2.0, 2.0]


def test_bad_input(weights, tmp_path):
    for arguments, message in (
        (("certify", tmp_path / "none.npz"), "cannot be read"),
        (("certify", weights, "--epsilon", "0"), "epsilon"),
        (("certify", weights, "--method", "magic"), "magic"),
        (("certify", weights, "--activation", "tan"), "tan"),
        (("certify", weights, "--effort", "7"), "effort"),
        (("check", weights, weights), "error"),
    ):
        done = run(*arguments)
        assert done.exit_code == 2, arguments
        assert message in done.output + done.stderr
    for arrays, message in (
        ({"U": np.eye(2)}, "no recurrent weights"),
        ({"W": np.ones((2, 3))}, "needed (n, n)"),
        ({"W": [[0.5, np.nan], [0.0, 0.5]]}, "finite"),
        ({"W": [[0.5, np.inf], [0.0, 0.5]]}, "finite"),
        ({"W": [[0.5, 1j], [0.0, 0.5]]}, "complex"),
    ):
        np.savez(weights, **arrays)
        done = run("certify", weights)
        assert done.exit_code == 2
        assert message in " ".join((done.output + done.stderr).split())


@pytest.mark.parametrize(
    "arguments",
    [("--epsilon", "-1"), ("--epsilon", "nan"), ("--inputs", "ball:-1"), ("--inputs", "1")],
)
def test_bad_sizes(weights, arguments):
    done = run("certify", weights, *arguments)
    assert done.exit_code == 2
    assert "error:" in done.output + done.stderr


def test_what_could_still_be_gained(tmp_path):
    # four masks in turn grow faster than any of up to three; the best norm lies between
    path = tmp_path / "w.npy"
    W = np.random.default_rng(5).standard_normal((5, 5))
    np.save(path, W * (0.36 / 2.5354))
    done = run("certify", path)
    assert done.exit_code == 0, done.output
    assert "some norm certifies every rate above" in done.output


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_pictures(weights, tmp_path, ending):
    picture = tmp_path / f"p.{ending}"
    # the range of k follows the question: thousands of steps are sampled, not drawn one by one
    np.savez(weights, W=[[0.9999]], U=[[1.0]])
    done = run("certify", weights, "--activation", "relu", "--plot", picture)
    assert done.exit_code == 0, done.output
    assert picture.stat().st_size > 1000


def test_a_picture_of_no_known_kind(weights, tmp_path):
    done = run("certify", weights, "--plot", tmp_path / "p.xyz")
    assert done.exit_code == 2
    assert "cannot be drawn" in done.output + done.stderr


def test_certificates_of_gated_maps_are_checked_from_their_weights(tmp_path):
    rng = np.random.default_rng(0)
    cell = GRU(0.1 * rng.standard_normal((12, 4)), 0.3 * rng.standard_normal((12, 3)))
    path, file = tmp_path / "w.npz", tmp_path / "c.json"
    np.savez(path, weight_hh_l0=cell.parameters["W"], weight_ih_l0=cell.parameters["U"])
    for method in ("comparison", "iterate"):
        c = contraction(cell, inputs=Inputs.box(-1.0, 1.0), method=method)
        save_certificate(file, cell, c=c)
        done = run("check", file, path)
        assert done.exit_code == 0, done.output
        assert "|x_i| <= 1" in done.output
    data = json.loads(file.read_text())
    data["domain"]["input_high"] = [(50.0).hex()] * 3
    file.write_text(json.dumps(data))
    assert run("check", file, path).exit_code == 1


def test_each_method_is_asked_once_for_each_domain(tmp_path, searches):
    rng = np.random.default_rng(0)
    plain, local, gated = (tmp_path / f"{name}.npz" for name in ("plain", "local", "gated"))
    np.savez(plain, W=MONE, U=np.eye(2))
    np.savez(local, W=[[0.6, -0.4], [0.3, 0.5]], U=np.eye(2), b=[3.0, 3.0])
    np.savez(
        gated,
        weight_hh_l0=0.1 * rng.standard_normal((16, 4)),
        weight_ih_l0=0.3 * rng.standard_normal((16, 3)),
    )
    picture, file = tmp_path / "p.png", tmp_path / "c.json"
    asked_with = ("--json", file, "--plot", picture, "--inputs", "ball:0.5", "--activation")
    for weights, activation, domains in (
        (plain, "relu", 1), (local, "tanh", 2), (gated, "tanh", 2)
    ):  # fmt: skip
        searches.clear()
        done = run("certify", weights, *asked_with, activation)
        assert done.exit_code == 0, done.output
        assert "required context: k = " in done.output
        assert searches.count("box") == 1
        asked = [one for one in searches if one != "box"]
        assert len(asked) == len(set(asked))
        assert len({where for _, where in asked}) == domains
        if weights != gated:
            assert sum(name == "lmi" for name, _ in asked) == domains


def test_the_method_that_is_asked_for_answers(weights):
    np.savez(weights, W=0.5 * MONE, U=np.eye(2))
    done = run("certify", weights, "--method", "spectral")
    assert done.exit_code == 0, done.output
    assert "(spectral norm, rate" in " ".join(done.output.split())
    assert "LMI" not in done.output


@pytest.mark.parametrize("shape", [(), (16,), (2, 3, 3), (0, 0), (0,), (3, 0), (5, 5, 0)])
@pytest.mark.parametrize("name", ["w.npy", "w.npz", "k.npz", "t.npz"])
def test_arrays_of_any_shape_are_answered_in_one_line(tmp_path, shape, name):
    path, array = tmp_path / name, np.zeros(shape)
    if name == "w.npy":
        np.save(path, array)
    elif name == "w.npz":
        np.savez(path, W=array)
    elif name == "k.npz":
        np.savez(path, kernel=np.eye(2), recurrent_kernel=array)
    else:
        np.savez(path, weight_hh_l0=array, weight_ih_l0=np.eye(2))
    done = run("certify", path)
    assert done.exit_code == 2, done.output
    assert done.stderr.startswith(f"error: {path}: ")
    assert f"shape {shape}" in done.stderr or f"shape {shape[::-1]}" in done.stderr
    assert done.stderr.count("\n") == 1
    # and of what stands beside the recurrent weights
    if name == "w.npz" and shape:
        for other in ("U", "b", "leak", "b_candidate"):
            np.savez(path, W=0.5 * np.eye(2), **{other: array})
            done = run("certify", path)
            assert done.exit_code == 2, (other, done.output)
            assert done.stderr.startswith("error: ")


def test_files_that_are_none(weights, tmp_path):
    missing, text, folder = tmp_path / "none.npz", tmp_path / "text.npz", tmp_path / "f"
    text.write_text("no archive")
    folder.mkdir()
    lost = tmp_path / "none.safetensors"
    for path, message in (
        (missing, f"error: {missing} cannot be read: No such file or directory\n"),
        (lost, f"error: {lost} cannot be read: No such file or directory\n"),
        (text, f"error: {text} cannot be read: File is not a zip file\n"),
        (folder, f"error: {folder} is a folder, needed a file of weights"),
    ):
        done = run("certify", path)
        assert done.exit_code == 2
        assert done.stderr.startswith(message), done.stderr
    file = tmp_path / "c.json"
    assert run("certify", weights, "--json", file).exit_code == 0
    done = run("check", weights, file)
    assert done.exit_code == 2
    assert f"error: {weights} is not a certificate: it is no text" in done.stderr
    assert "were certificate and weights exchanged?" in done.stderr
    file.write_text("{}")
    assert f"{file} is not a certificate: the format is None" in run("check", file, weights).stderr


def test_capital_endings_and_marks_of_encoding(weights, tmp_path):
    capital, file = tmp_path / "W.NPZ", tmp_path / "c.json"
    capital.write_bytes(weights.read_bytes())
    assert run("certify", capital, "--json", file).exit_code == 0
    file.write_text(file.read_text(), encoding="utf-8-sig")
    assert run("check", file, capital).exit_code == 0


def test_unknown_and_refuted_are_written_and_drawn(tmp_path):
    path, file, picture = tmp_path / "w.npy", tmp_path / "a" / "c.json", tmp_path / "b" / "c.png"
    for W, answer, kind in (
        ([[1.0]], "unknown", None),
        ([[0.0, 10.0], [-0.012, 1.1]], "refuted", "orbits"),
    ):
        np.save(path, np.array(W))
        done = run("certify", path, "--json", file, "--plot", picture)
        assert done.exit_code == 1, done.output + done.stderr
        assert f"written: {file}" in done.output
        assert f"drawn: {picture}" in done.output
        data = json.loads(file.read_text())
        assert data["answer"] == answer
        assert (data["refutation"] or {"kind": None})["kind"] == kind
        assert data["inputs"] == "|x_i| <= 1"
        assert picture.stat().st_size > 1000
        picture.unlink()
        done = run("check", file, path)
        if answer == "refuted":
            assert done.exit_code == 0
            assert "accepted: refuted (orbits): it never forgets; h = " in done.output
            np.save(path, np.array([[0.0, 10.0], [-0.012, 1.0]]))
            assert "rejected: parameters" in run("check", file, path).output
            continue
        assert done.exit_code == 2
        assert "its answer is unknown, so that there is nothing to check" in done.stderr


def test_a_refutation_is_sought_where_the_inputs_are(tmp_path):
    path, seen = tmp_path / "w.npz", tmp_path / "x.npy"
    np.savez(path, W=[[3.0]], U=[[1.0]], b=[4.0])
    np.save(seen, np.full((20, 1), -4.0))
    done = run("certify", path, "--inputs", "ball:100", "--sequences", seen)
    assert done.exit_code == 1
    assert "refuted (" in done.output
    assert "it never forgets" in done.output
    np.save(seen, np.zeros((20, 3)))
    assert run("certify", path, "--sequences", seen).exit_code == 2


@pytest.mark.parametrize("option", ["--json", "--plot"])
def test_what_cannot_be_written_is_noticed_before_the_search(weights, tmp_path, option, searches):
    for target, message in ((tmp_path, "is a folder"), (weights / "x.png", "cannot be written")):
        done = run("certify", weights, option, target)
        assert done.exit_code == 2
        assert message in done.stderr
    if option == "--plot":
        done = run("certify", weights, "--plot", tmp_path / "p.xyz")
        assert "needed one of: " in done.stderr
        assert "png" in done.stderr
    assert not searches


@pytest.mark.parametrize("columns", [20, 60, 80])
def test_a_narrow_terminal_loses_no_number(weights, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", "200")
    wide = run("certify", weights, "--method", "lmi").output
    monkeypatch.setenv("COLUMNS", str(columns))
    narrow = run("certify", weights, "--method", "lmi").output
    assert "…" not in narrow
    rows = [line.split() for line in wide.splitlines() if "lmi" in line]
    assert rows
    assert [line.split() for line in narrow.splitlines() if "lmi" in line] == rows


def test_options_list_their_values(weights):
    done = run("certify", weights, "--method", "spectrall")
    assert "'spectrall' is not known, needed one of: auto, row_sums, " in done.stderr
    told = " ".join(run("certify", "--help").output.replace("│", " ").split())
    for word in ("row_sums", "lmi", "relu", "softplus", "leaky_relu(0.2)"):
        assert word in told


def test_a_joint_spectral_radius_below_1_certifies(tmp_path):
    path, file, picture = (tmp_path / name for name in ("w.npz", "c.json", "p.png"))
    W = [
        [0.176, -0.813, 0.499, -0.348], [-0.455, 0.341, -0.363, 0.632],
        [-0.083, -0.104, 0.413, -0.199], [0.385, 0.23, -0.035, 0.656],
    ]  # fmt: skip
    np.savez(path, W=W, U=np.eye(4))
    done = run("certify", path, "--json", file, "--plot", picture)
    assert done.exit_code == 0, done.output
    assert "steps together (joint spectral radius), everywhere" in done.output
    assert "required context: k = " in done.output
    assert "unknown" not in done.output
    done = run("check", file, path)
    assert done.exit_code == 0, done.output
    assert "(joint spectral radius), everywhere" in done.output
    # another rate or constant than the proved ones is not believed
    data = json.loads(file.read_text())
    data["evidence"]["growth"][0] = (1.0).hex()
    data["rate"] = (float.fromhex(data["rate"]) / 1.03).hex()
    file.write_text(json.dumps(data))
    assert "rejected: inequality" in run("check", file, path).output
    data["evidence"]["growth"] = "1.0"
    file.write_text(json.dumps(data))
    assert run("check", file, path).exit_code == 2


def test_an_unknown_has_a_cause_and_a_next_step(tmp_path):
    path, file = tmp_path / "w.npz", tmp_path / "c.json"
    rng = np.random.default_rng(0)
    cell = GRU(0.3 * rng.standard_normal((12, 4)), 0.3 * rng.standard_normal((12, 3)))
    np.savez(path, weight_hh_l0=cell.parameters["W"], weight_ih_l0=cell.parameters["U"])
    done = run("certify", path, "--json", file)
    assert done.exit_code == 1, done.output
    for words in (
        "cause: the spectral radius of the comparison matrix is about ",
        ", needed less than 1, on a box of states within ",
        "try: theory.effective_memory (`theory memory`)",
        "`theory project --onto gru`",
    ):
        assert words in done.output, done.output
    cause = json.loads(file.read_text())["cause"]
    assert cause["value"] > cause["needed"] == 1
    assert len(cause["advice"]) == 3
    done = run("certify", path, "--method", "delta_iss")
    assert ": no certificate found by delta_iss, and no refutation" in done.output
    assert "try: --method auto" in done.output
    done = run("certify", path, "--method", "spectral")
    assert done.exit_code == 2
    assert "method 'spectral' is for maps of the form rho(W h + U x + b), which GRU(" in done.stderr
    assert "needed one of: auto, gate_norms, delta_iss, comparison, euclidean, " in done.stderr


def test_a_refutation_says_where(tmp_path):
    path, file = tmp_path / "w.npy", tmp_path / "c.json"
    np.save(path, np.array([[2.0]]))
    done = run("certify", path, "--json", file)
    assert done.output.startswith("VanillaRNN(n=1, m=1, activation='tanh') of ")
    assert ", with U = I: the file holds W only\n" in done.output
    assert "under one input; it never forgets; h = [0.957504], g = [0.], x = [0.]\n" in done.output
    told = json.loads(file.read_text())["refutation"]
    first, second, x = (
        np.vectorize(float.fromhex)(told[name]) for name in ("first", "second", "x")
    )
    assert first == pytest.approx(0.9575040240772688)
    assert (second, x) == ([[0.0]], [0.0])


def test_an_answer_that_is_not_waited_for(weights, monkeypatch):
    def pressed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("theory.cli.certify.find_certificates", pressed)
    done = run("certify", weights)
    assert done.exit_code == 130
    assert done.stderr == "interrupted: there is no answer, and nothing more is written\n"


@pytest.mark.parametrize("option", ["--json", "--plot"])
def test_an_answer_never_replaces_an_input(weights, option):
    before = weights.read_bytes()
    done = run("certify", weights, option, weights)
    assert done.exit_code == 2
    assert f"{weights} is an input, which the answer would replace; name another" in done.stderr
    assert weights.read_bytes() == before


def test_certify_writes_what_rocq_checks(weights, tmp_path):
    file = tmp_path / "c.v"
    np.savez(weights, W=MONE / 2, U=np.eye(2), b=np.zeros(2))
    done = run("certify", weights, "--rocq", file)
    assert done.exit_code == 0, done.output
    assert "coqc" in done.output
    assert "Theorem context" in file.read_text(encoding="utf-8")
    # no norm of W is below 1, and the matrix inequality is what certifies it
    np.savez(weights, W=MONE, U=np.eye(2), b=np.zeros(2))
    assert run("certify", weights, "--rocq", file).exit_code == 0
    assert "inequality_contracts" in file.read_text(encoding="utf-8")
    several = ("--method", "iterate", "--rocq", tmp_path / "d.v")
    refused = run("certify", weights, *several)
    assert refused.exit_code == 2
    assert "one of a single step" in " ".join(refused.output.split())
    assert not (tmp_path / "d.v").exists()


def test_certify_writes_a_gated_cell_for_rocq(weights, tmp_path):
    file = tmp_path / "c.v"
    cell = LSTM(0.1 * np.ones((4, 1)), 0.1 * np.ones((4, 1)), [0.0, -1.0, 0.0, 0.0])
    interop.save_map(weights, cell)
    done = CliRunner().invoke(app, ["certify", str(weights), "--rocq", str(file)])
    assert done.exit_code == 0, done.output
    text = file.read_text(encoding="utf-8")
    assert "lstm_majorised" in text
    assert "Theorem context (u : nat -> vec) t : (forall s, allowed (u s))" in text


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ((), "inputs: |x_i| <= 1 (the default, as none were named; --inputs names others)\n"),
        (("--inputs", "box:-1,1"), "inputs: |x_i| <= 1\n"),
        (("--inputs", "ball:2"), "inputs: |x|_2 <= 2\n"),
    ],
)
def test_the_inputs_are_told_and_whether_they_are_a_default(weights, tmp_path, asked, told):
    done = run("certify", weights, *asked, "--effort", "0")
    assert told in done.output
    made = ("--onto", "spectral", "--rate", "0.9", "--out", tmp_path / "out.npz")
    moved = run("project", weights, *made, *asked, "--activation", "tanh")
    assert moved.exit_code == 0, moved.output + moved.stderr
    assert told in moved.output


def test_a_check_tells_what_a_refutation_is_beyond(tmp_path):
    path, seen, file = tmp_path / "w.npz", tmp_path / "x.npy", tmp_path / "c.json"
    np.savez(path, W=[[1.3]], U=[[1.0]], b=[0.0])
    np.save(seen, np.zeros((2, 9, 1)))
    beyond = "refuted (orbits): beyond the inputs that were asked about, as the file says; "
    for inputs, there in (("box:0.2,0.25", True), ("box:-0.1,0.1", False)):
        made = run(
            "certify", path, "--inputs", inputs, "--json", file, "--sequences", seen,
            "--effort", "0",
        )  # fmt: skip
        assert ("refuted (orbits): beyond these inputs, " in made.output) == there
        done = run("check", file, path)
        assert done.exit_code == 0, done.output
        assert (beyond in done.output) == there, done.output
