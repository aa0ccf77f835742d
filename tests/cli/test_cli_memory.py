"""`theory memory` from the outside."""

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from theory import (
    GRU,
    L2,
    LSTM,
    Inputs,
    LinearHead,
    LinearMap,
    MinGRU,
    VanillaRNN,
    effective_memory,
    interop,
    required_context,
)
from theory.cli import app as whole
from theory.cli.certify import certify
from theory.cli.memory import memory
from theory.interop import read_weights

app = typer.Typer()
app.command()(memory)
app.command()(certify)


def run(*arguments, command=app):
    """Run a command; the plain cells of these files have tanh, which no array tells."""
    words = [str(a) for a in arguments]
    if not {"--activation", "--help"} & set(words):
        words += ["--activation", "tanh"]
    return CliRunner().invoke(command, words, env={"COLUMNS": "200"})


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "w.npz", W=[[0.5, 0.1], [0.0, -0.4]], U=np.eye(2))
    np.savez(tmp_path / "x.npz", x=rng.uniform(-1, 1, (120, 25, 2)))
    lstm = {
        "enc.weight_ih_l0": rng.standard_normal((8, 2)),
        "enc.weight_hh_l0": rng.standard_normal((8, 2)),
    }
    np.savez(tmp_path / "lstm.npz", **lstm)
    return tmp_path


USUAL = ("--epsilon", "0.01", "--probability", "0.05", "--confidence", "0.95")


def test_a_certified_model(files):
    data, picture = files / "out.json", files / "out.png"
    done = run(
        "memory", files / "w.npz", "--sequences", files / "x.npz", *USUAL,
        "--json", data, "--plot", picture,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    answer = json.loads(data.read_text())
    with np.load(files / "x.npz") as stored:
        X = stored["x"]
    expected = effective_memory(
        read_weights(files / "w.npz", activation="tanh"),
        X,
        eps=0.01,
        probability=0.05,
        confidence=0.95,
    )
    assert answer["k"] == expected.k
    assert len(answer["table"]) == 257
    assert answer["certified_k"] > answer["k"]
    assert answer["table"][3]["certified"] > answer["table"][3]["quantiles"]["1"]
    assert picture.stat().st_size > 1000
    for word in (f"k = {expected.k}:", "measured, not certified", "certified: k =", "largest"):
        assert word in done.output
    # the rows of the answer are there, however many are left out
    rows = [line.split()[0] for line in done.output.splitlines() if line.strip()[:1].isdigit()]
    assert {str(expected.k), str(expected.k - 1), str(answer["certified_k"])} <= set(rows)


def test_a_memory_in_two_stages(files):
    done = run(
        "memory", files / "w.npz", "--sequences", files / "x.npz", *USUAL, "--window", "6",
        "--json", files / "out.json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "in two stages: k_1 =" in done.output
    assert "(certified, given such pasts)" in done.output
    staged = json.loads((files / "out.json").read_text())["two_stages"]
    assert staged["k"] == staged["k_1"] + max(staged["k_2"])
    assert staged["kind"].startswith("measured, then certified given")
    short = run("memory", files / "w.npz", "--sequences", files / "x.npz", *USUAL, "--window", "25")
    assert short.exit_code != 0
    assert "needed more than window=25" in short.output


def test_an_lstm_and_its_local_rates(files):
    done = run(
        "memory", files / "lstm.npz", "--sequences", files / "x.npz", *USUAL,
        "--rates", "3", "--json", files / "out.json", "--when", "random", "--norm", "Linf",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "LSTM(units=2, m=2), 120 sequences of 25 inputs" in done.output
    assert "local rates: measured, not certified" in done.output
    answer = json.loads((files / "out.json").read_text())
    assert answer["rates"]["kind"] == "measured"
    assert answer["rates"]["products"] == 120 * 23
    assert answer["when"] == "random"
    again = run(
        "memory", files / "lstm.npz", "--sequences", files / "x.npz", *USUAL, "--when", "random",
        "--norm", "Linf", "--json", files / "again.json", "--prefix", "enc",
    )  # fmt: skip
    assert again.exit_code == 0
    # the same seed draws the same times
    assert json.loads((files / "again.json").read_text())["table"] == answer["table"]


def test_no_length_is_enough(files):
    np.savez(files / "w.npz", W=[[1.0, 0.0], [0.0, 1.0]], U=np.eye(2))
    done = run(
        "memory", files / "w.npz", "--sequences", files / "x.npz", *USUAL,
        "--activation", "identity", "--k-max", "5", "--plot", files / "out.png",
    )  # fmt: skip
    assert done.exit_code == 1, done.output
    assert "no k up to 5 was found" in done.output
    assert "certified: nothing for inputs like the 3000 that were seen, " in done.output


def test_a_model_that_never_forgets(files, monkeypatch):
    from matplotlib.axes import Axes

    lines = []
    monkeypatch.setattr(Axes, "axvline", lambda *arguments, **_: lines.append(arguments))
    usual = ("--sequences", files / "x.npz", *USUAL, "--plot", files / "out.png")
    assert run("memory", files / "w.npz", *usual).exit_code == 0
    assert len(lines) == 1
    np.savez(files / "w.npz", W=np.eye(2), U=np.eye(2))
    done = run("memory", files / "w.npz", *usual, "--activation", "identity")
    assert done.exit_code == 1, done.output
    assert "no k below the longest sequence (T = 25) is enough: 120 exceedances" in done.output
    # no line in the picture, and no row of the table, for the model itself
    assert len(lines) == 1
    assert not [line for line in done.output.splitlines() if line.split()[:1] == ["25"]]


def test_a_proof_beyond_the_longest_sequence(files):
    np.savez(files / "w.npz", W=0.9 * np.eye(2), U=np.eye(2))
    done = run(
        "memory", files / "w.npz", "--sequences", files / "x.npz", *USUAL,
        "--activation", "identity",
    )  # fmt: skip
    assert done.exit_code == 1, done.output
    assert "inputs like the 3000 that were seen, within |x_i| <= " in done.output
    assert ", of any length; none given has more than 25 (rate" in done.output


def test_a_restarted_model_that_leaves_the_range(files):
    np.savez(files / "w.npz", W=[[1e150, -1e160], [0.0, 1.0]], U=np.eye(2))
    X = np.zeros((100, 12, 2))
    X[:, 1:, 0] = 1.0
    X[:, 0, 1] = 1.0
    np.savez(files / "x.npz", x=X)
    done = run(
        "memory", files / "w.npz", "--sequences", files / "x.npz", *USUAL, "--activation", "relu",
        "--k-max", "10", "--plot", files / "out.png", "--json", files / "out.json",
    )  # fmt: skip
    assert done.exit_code == 1, done.output
    assert "leaves the range of double precision on up to 100 sequences" in done.output
    assert json.loads((files / "out.json").read_text())["table"][10]["quantiles"]["1"] is None
    assert (files / "out.png").stat().st_size > 1000


def test_sequences_of_several_lengths(files):
    rng = np.random.default_rng(1)
    np.savez(files / "x.npz", **{f"s{i}": rng.standard_normal((1 + i, 2)) for i in range(70)})
    done = run("memory", files / "w.npz", "--sequences", files / "x.npz", *USUAL)
    assert done.exit_code == 0, done.output
    assert "70 sequences of 1 to 70 inputs" in done.output
    assert "sequences have more than k inputs" in done.output
    assert "longer" in done.output


def test_bad_input(files):
    usual = ("memory", files / "w.npz", "--sequences", files / "x.npz")
    np.savez(files / "wide.npz", x=np.zeros((120, 5, 3)))
    np.savez(files / "none.npz", x=np.zeros((120, 0, 2)))
    with np.load(files / "lstm.npz") as one:
        named = dict(one) | {k.replace("enc", "dec"): v for k, v in one.items()}
    np.savez(files / "two.npz", **named)
    for arguments, message in (
        ((*usual, "--epsilon", "0.01"), "received 120 sequences, needed at least 459"),
        ((*usual, *USUAL, "--norm", "L3"), "needed one of: L1, L2, Linf"),
        ((*usual, *USUAL, "--when", "never"), "needed one of"),
        ((*usual, "--epsilon", "-1"), "eps"),
        ((*usual, *USUAL, "--rates", "26"), "r=26, but the longest"),
        (("memory", files / "w.npz", "--sequences", files / "none", *USUAL), "does not exist"),
        (("memory", files / "no.npz", "--sequences", files / "x.npz", *USUAL), "cannot be read"),
        (("memory", files / "w.npz", "--sequences", files / "wide.npz", *USUAL), "wide.npz:x"),
        (("memory", files / "w.npz", "--sequences", files / "none.npz", *USUAL), "has no inputs"),
        (("memory", files / "two.npz", "--sequences", files / "x.npz", *USUAL), "enc (torch), dec"),
        ((*usual, *USUAL, "--json", files), "is a folder"),
        ((*usual, *USUAL, "--json", files / "x.npz"), "is an input, which the answer would"),
        (("memory", files / "w.pt", "--sequences", files / "x.npz", *USUAL), "No such file"),
    ):
        done = run(*arguments)
        assert done.exit_code == 2, (arguments, done.output)
        assert message in done.output + done.stderr, arguments


def test_it_is_registered_and_certify_reads_the_same_files(files):
    assert "--sequences" in run("memory", "--help", command=whole).output
    assert isinstance(read_weights(files / "lstm.npz"), LSTM)
    done = run("certify", files / "lstm.npz", "--prefix", "enc")
    assert done.exit_code in {0, 1}, done.output
    missing = run("certify", files / "lstm.npz", "--prefix", "dec")
    assert missing.exit_code == 2
    assert "there are: enc (torch)" in missing.output + missing.stderr


@pytest.mark.parametrize("name", ["w.npz", "lstm.npz"])
def test_one_search_and_one_box(files, searches, name):
    rng = np.random.default_rng(0)
    np.savez(
        files / "lstm.npz",
        weight_ih_l0=0.3 * rng.standard_normal((8, 2)),
        weight_hh_l0=0.1 * rng.standard_normal((8, 2)),
    )
    done = run("memory", files / name, "--sequences", files / "x.npz", *USUAL)
    assert done.exit_code == 0, done.output
    assert "certified: k = " in done.output
    # of inputs like those seen, and of the ball around them
    assert all(searches.count(one) <= 2 for one in searches)
    assert searches.count("box") == 2


@pytest.mark.parametrize("seed", range(5))
def test_what_is_known_of_the_inputs_never_lengthens_the_certified_context(files, seed):
    rng = np.random.default_rng(seed)
    n, m = 3, 4
    X = rng.uniform(*((0, 1) if seed else (-0.2, 0.1)), (60, 12, m))
    X[..., 0] *= 3
    np.savez(files / "x.npz", x=X)
    model = (
        VanillaRNN(0.4 * rng.standard_normal((n, n)), rng.standard_normal((n, m))),
        LSTM(*(0.1 * rng.standard_normal((4 * n, w)) for w in (n, m)), -np.ones(4 * n)),
        GRU(
            *(0.1 * rng.standard_normal((3 * n, w)) for w in (n, m)),
            np.repeat([0.0, -1.0, 0.0], n),
        ),
        LinearMap(0.9 * np.eye(n), rng.standard_normal((n, m))),
        VanillaRNN(1.2 * np.eye(n), np.abs(rng.standard_normal((n, m))), np.ones(n)),
    )[seed]
    interop.save_map(files / "w.npz", model)
    words = (
        "memory", files / "w.npz", "--sequences", files / "x.npz", "--epsilon", "0.01",
        "--probability", "0.1", "--confidence", "0.95", "--json", files / "out.json",
    )  # fmt: skip
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exit_code in {0, 1}, done.output
    found = json.loads((files / "out.json").read_text())["certified_k"]
    ball = Inputs.ball(float(np.max(L2().vector_upper(X))))
    head = LinearHead(model.output_map)
    before = required_context(model, 0.01, inputs=ball, head=head)
    # inputs of one sign, and one entry that is larger than the others
    assert found < (np.inf if before is None else before.k)
    assert (before is None) == (seed == 4)
    assert f"inputs like the {60 * 12} that were seen" in done.output


def test_a_narrow_terminal_loses_no_number(files, monkeypatch):
    def rows(columns):
        monkeypatch.setenv("COLUMNS", columns)
        arguments = ("memory", files / "w.npz", "--sequences", files / "x.npz", *USUAL)
        done = CliRunner().invoke(app, [*map(str, arguments), "--activation", "tanh"])
        assert done.exit_code == 0, done.output
        assert "…" not in done.output
        return [line.split() for line in done.output.splitlines() if line.strip()[:1].isdigit()]

    wide = rows("200")
    assert [row[0] for row in wide][:2] == ["0", "2"]
    assert rows("60") == wide
    assert rows("20") == wide


def test_a_bound_that_says_nothing_has_no_column(files, monkeypatch):
    """The rate over all inputs is next to 1; the exact memory along these is told instead."""
    rng = np.random.default_rng(0)
    monkeypatch.setattr("theory.memory.moves.LONGEST_CONTEXT", 1000)
    gates = MinGRU(9 * rng.standard_normal((8, 2)), rng.standard_normal(8))
    interop.save_map(files / "w.npz", gates)
    words = ["memory", files / "w.npz", "--sequences", files / "x.npz", *USUAL]
    done = CliRunner().invoke(app, [*map(str, words), "--json", str(files / "out.json")])
    (head,) = (line for line in done.output.splitlines() if line.split()[-1:] == ["limit"])
    assert "certified" not in head
    assert "certified: no k up to 256 is proved to be enough for every sequence of " in done.output
    assert "(rate 0.999" in done.output
    assert "linear in the state: at the end of " in done.output
    # no state beyond those of which it is proved
    told = float(done.output.split("within |h|_2 <= ")[1].split(", the largest")[0])
    with np.load(files / "x.npz") as stored:
        inputs = stored["x"]
    largest = max(np.max(np.linalg.norm(gates.simulate(X), axis=1)) for X in inputs)
    assert 0.999 * largest < told < largest
    assert "certified" in json.loads((files / "out.json").read_text())["table"][0]


@pytest.mark.parametrize("kept", [False, True])
def test_an_interrupted_measurement_says_how_to_go_on(files, monkeypatch, kept):
    def pressed(*_, keep, **__):
        if kept:
            keep.mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr("theory.cli.memory.effective_memory", pressed)
    keep = files / "kept"
    done = run("memory", files / "w.npz", "--sequences", files / "x.npz", *USUAL, "--keep", keep)
    assert done.exit_code == 130
    assert done.stderr == (
        f"interrupted: what is measured is kept in {keep}; run the same command again to go on "
        "from there\n"
        if kept
        else "interrupted: there is no answer, and nothing more is written\n"
    )


@pytest.mark.parametrize("more", [(), ("--lengths", "5,3")])
def test_a_patience_that_is_none_is_refused_with_one_process_too(files, more):
    words = ("memory", files / "w.npz", "--sequences", files / "x.npz", *USUAL, *more)
    done = run(*words, "--patience", "-1")
    assert done.exit_code == 2
    assert "patience=-1.0" in done.stderr
