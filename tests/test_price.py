"""Recurrences that are stable by construction in the experiments, and the price of their memory."""

from __future__ import annotations

import csv
import importlib
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

import theory

pytestmark = pytest.mark.heavy

FOLDER = Path(__file__).parents[1] / "examples"
TORCH = "torch is not installed (extra: experiments)"
CORES = ("mingru", "lru", "rglru", "selective", "delta")
every = pytest.mark.parametrize("core", CORES)


@pytest.fixture(scope="module", autouse=True)
def _examples_beside():
    """Examples import each other as scripts do."""
    sys.path.insert(0, str(FOLDER))
    yield
    sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def torch():
    module = pytest.importorskip("torch", reason=TORCH)
    threads = module.get_num_threads()
    module.set_num_threads(1)
    yield module
    module.set_num_threads(threads)


@pytest.fixture(scope="module")
def blocks(torch):
    del torch
    return importlib.import_module("_blocks")


def made(blocks, torch, core, *, bare, rate=0.9, width=16, table=0):
    torch.manual_seed(0)
    network = blocks.Network(
        core, inputs=20, classes=20, width=width, rate=rate, bare=bare, table=table
    ).eval()
    return network, torch.randint(0, 20, (2, 30))


@pytest.mark.parametrize("kind", ["float64", "complex128"])
def test_a_scan_is_its_steps_and_its_gradient_theirs(blocks, torch, kind):
    a, b = (torch.rand(7, 2, 3, dtype=getattr(torch, kind), requires_grad=True) for _ in range(2))
    start = torch.rand(2, 3, dtype=a.dtype, requires_grad=True)
    h, found = start, blocks.scan(a, b, start)
    for t in range(7):
        h = a[t] * h + b[t]
        assert torch.allclose(found[t], h, rtol=1e-14)
    assert torch.autograd.gradcheck(blocks.scan, (a, b, start))


def test_all_cores_are_named(blocks):
    assert tuple(blocks.CORES) == CORES


@every
@pytest.mark.parametrize("bare", [True, False])
def test_no_sequences_have_no_outputs(blocks, torch, core, bare):
    """Batches are cut by the lengths of sequences, and a piece may be empty."""
    network, x = made(blocks, torch, core, bare=bare)
    with torch.no_grad():
        assert network(x[:0])[0].shape == (0, 30, 20)


@every
@pytest.mark.parametrize(("bare", "table"), [(True, 0), (False, 0), (False, 5)])
def test_a_network_is_its_map(blocks, torch, core, bare, table):
    """In windows, restarted, and as a map: the same outputs."""
    network, x = made(blocks, torch, core, bare=bare, table=table)
    with torch.no_grad():
        y, _ = network(x)
        first, state = network(x[:, :13])
        parts = torch.cat([first, network(x[:, 13:], state)[0]], 1)
        again, _ = blocks.Restarted(network, 5)(x)
        one_by_one = [network(x[:, max(0, t - 4) : t + 1])[0][:, -1] for t in range(30)]
    assert torch.allclose(parts, y, atol=1e-5)
    assert torch.allclose(again, torch.stack(one_by_one, 1), atol=1e-5)
    recurrent = blocks.to_map(network)
    E = network.encoder(x[0]).detach().double().numpy()
    C, d = (p.detach().double().numpy() for p in (network.head.weight, network.head.bias))
    outputs = recurrent.simulate(E) @ (C @ recurrent.output_map).T + d
    np.testing.assert_allclose(outputs, y[0].numpy(), atol=1e-5)


@every
def test_no_weights_and_no_input_decay_more_slowly_than_the_rate(blocks, torch, core):
    """Nor do weights a hundred times as large; and some input comes near the rate."""
    network, _ = made(blocks, torch, core, bare=True)
    cell = network.layers[0].core
    rng, slowest = np.random.default_rng(0), 0.0
    for scale in (1.0, 10.0, 100.0):
        with torch.no_grad():
            for p in cell.parameters():
                p.copy_(torch.randn_like(p) * scale)
        recurrent = cell.to_map()
        m, n = recurrent.input_dim, recurrent.state_dim
        X = np.vstack([rng.choice([-1.0, 1.0], (200, m)), rng.uniform(-1, 1, (50, m))])
        J = recurrent.jacobian_state(np.zeros((len(X), n)), X)
        rates = np.linalg.norm(J, 2, axis=(1, 2))
        assert rates.max() <= 0.9
        slowest = max(slowest, rates.max())
    assert slowest >= 0.7


@every
def test_two_blocks_are_certified_over_their_alphabet(blocks, torch, core):
    """A smaller rate needs less context, and a restart k inputs back errs by less than allowed."""
    contexts = []
    for rate in (0.5, 0.8):
        network, _ = made(blocks, torch, core, bare=False, rate=rate, width=8)
        recurrent = blocks.to_map(network)
        alphabet = network.table.weight.detach().double().numpy()
        C = network.head.weight.detach().double().numpy() @ recurrent.output_map
        found = theory.memory.required_context(
            recurrent, 0.05, inputs=theory.Inputs.any_of(alphabet), head=theory.LinearHead(C),
            norm=theory.Linf(),
        )  # fmt: skip
        contexts.append(found.k)
        X = alphabet[np.random.default_rng(0).integers(0, 20, 2 * found.k)]
        apart = recurrent.simulate(X)[-1] - recurrent.simulate(X[found.k :])[-1]
        assert np.max(np.abs(C @ apart)) <= 0.05
    assert 0 < contexts[0] < contexts[1] < 1000


def test_an_interrupted_run_with_dropout_is_the_same_run(torch, tmp_path):
    training = importlib.import_module("_training")
    changes = {"variant": "by-construction", "dropout": 0.2, "anneal": True, "half": True}
    setting = training.preset(
        "smoke", "synthetic-text", "mingru-blocks", optimizer="adam", epochs=3, **changes
    )
    through = training.trained(setting, runs=tmp_path / "a")
    steps = [entry["lr"] for entry in through.history]
    assert steps == sorted(steps, reverse=True)
    assert steps[-1] == pytest.approx(setting.lr / 64)
    epoch, stops = training._epoch, iter([None, KeyboardInterrupt])

    def interrupted(*given):
        if (stop := next(stops)) is not None:
            raise stop
        return epoch(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_epoch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            training.trained(setting, runs=tmp_path / "b")
    torch.manual_seed(17)
    resumed = training.trained(setting, runs=tmp_path / "b")
    assert resumed.history == through.history
    # of annealed runs the number of epochs is part of the name: a longer one is another run
    longer = training.preset(
        "smoke", "synthetic-text", "mingru-blocks", optimizer="adam", epochs=4, **changes
    )
    assert longer.name != setting.name


@every
@pytest.mark.parametrize("bare", [True, False])
def test_every_recurrence_is_trained_with_products_in_half(blocks, torch, core, bare):
    network, x = made(blocks, torch, core, bare=bare)
    exact, _ = network(x)
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = network(x)
    y.float().square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())
    assert torch.allclose(y.float(), exact, atol=0.05)


@pytest.mark.parametrize("cell", ["lstm", "mingru-blocks"])
def test_calibration_changes_what_is_read_and_not_what_is_trained(torch, tmp_path, cell):
    training = importlib.import_module("_training")
    plain = training.preset(
        "smoke", "synthetic-text", cell, optimizer="adamw", weight_decay=0.1, lr=1e-2, epochs=2,
        variant="by-construction" if "-" in cell else "unstable",
    )  # fmt: skip
    first, both = (
        training.trained(training.replace(plain, calibrate=yes), runs=tmp_path)
        for yes in (False, True)
    )
    assert len(list(tmp_path.glob("*.pt"))) == 1
    assert len(list(tmp_path.glob("*.json"))) == 2
    scales = [
        (b / a).detach()
        for a, b in zip(first.model.head.parameters(), both.model.head.parameters(), strict=True)
    ]
    scale = float(scales[0].flatten()[0])
    assert all(torch.allclose(one, torch.full_like(one, scale), rtol=1e-5) for one in scales)
    # the least loss of the validation split over the number
    assert both.best <= first.best
    for other in (0.99, 1.01):
        with torch.no_grad():
            for parameter in both.model.head.parameters():
                parameter *= other
            moved = training.evaluate(both.model, both.corpus, "valid")["loss"]
            for parameter in both.model.head.parameters():
                parameter /= other
        assert moved >= both.best - 1e-6
    # and of the next run, from the folder
    again = training.trained(training.replace(plain, calibrate=True), runs=tmp_path)
    assert again.best == both.best
    assert again.result == both.result


@every
@pytest.mark.parametrize("bare", [True, False])
def test_music_is_read_as_it_is_and_windows_of_it_are_restarts(blocks, torch, core, bare):
    torch.manual_seed(0)
    network = blocks.Network(
        core, inputs=7, classes=7, width=16, rate=0.9, bare=bare, tokens=False
    ).eval()
    x = (torch.rand(2, 9, 7) < 0.4).float()
    with torch.no_grad():
        whole, _ = network(x)
        cut, _ = blocks.Restarted(network, 4)(x)
        for t in range(9):
            one, _ = network(x[:, max(t - 3, 0) : t + 1])
            assert torch.allclose(cut[:, t], one[:, -1], rtol=0, atol=1e-5)
        encoded = network.encoder(x[0]).double().numpy()
        head = [p.double().numpy() for p in network.head.parameters()]
    recurrent = blocks.to_map(network)
    h = recurrent.simulate(encoded)
    y = h @ recurrent.output_map.T @ head[0].T + head[1]
    np.testing.assert_allclose(y, whole[0].numpy(), atol=1e-5)


def test_every_roll_is_in_the_box_of_encoded_rolls(torch, tmp_path):
    del torch
    training = importlib.import_module("_training")
    module = importlib.import_module("paper_price_of_memory")
    for cell in ("lstm", "mingru"):
        setting = training.preset(
            "smoke", "synthetic-music", cell, optimizer="adam", lr=1e-2,
            variant="by-construction" if cell == "mingru" else "unstable",
        )  # fmt: skip
        t = training.trained(setting, runs=tmp_path)
        box = module.alphabet_of(t)
        rolls = np.random.default_rng(0).integers(0, 2, (500, t.corpus.inputs)).astype(np.float32)
        corners = [np.zeros_like(rolls[:1]), np.ones_like(rolls[:1])]
        if cell == "mingru":  # and where each entry is largest
            corners.append((t.model.enter.weight.detach().numpy() > 0).astype(np.float32))
        found = training.encoded(t, np.concatenate([rolls, *corners]))
        low, high = box.ends(found.shape[1])
        assert np.all((low <= found) & (found <= high))
        if cell == "mingru":
            assert np.allclose(found[502:].max(0), high, rtol=0, atol=1e-4)


def test_built_networks_see_all_inputs(torch):
    del torch
    models = importlib.import_module("_models")
    with pytest.raises(ValueError, match="needed no k, received k=3"):
        models.build("lru", inputs=4, classes=4, tokens=True, hidden=8, width=4, k=3)


def test_paper_price_of_memory(torch, tmp_path):
    del torch
    module = importlib.import_module("paper_price_of_memory")
    argv = [
        "--size", "smoke", "--task", "synthetic-text", "synthetic-music", "--seeds", "0", "--cells",
        "lstm", "gru", "mingru", "mingru-blocks", "--runs", str(tmp_path / "runs"),
        "--out", str(tmp_path),
    ]  # fmt: skip
    assert module.main(argv) == 0
    assert (tmp_path / "paper_price_of_memory.png").stat().st_size > 10_000
    assert json.loads((tmp_path / "paper_price_of_memory.json").read_text())["seeds"] == [0]
    with (tmp_path / "paper_price_of_memory.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    built = [row for row in rows if row["variant"] == "by-construction"]
    assert {(row["model"], row["rate"]) for row in built} == {
        ("mingru", f"{module.RATES[0]:g}"),
        *(("mingru-blocks", f"{rate:g}") for rate in module.RATES),
    }  # fmt: skip
    for task in ("synthetic-text", "synthetic-music"):
        contexts = {
            float(row["rate"]): int(row["certified"]) for row in built
            if "-" in row["model"] and row["task"] == task
        }  # fmt: skip
        assert sorted(contexts.values()) == [contexts[rate] for rate in sorted(contexts)]
        euclidean = [row for row in rows if (row["variant"], row["task"]) == ("euclidean", task)]
        assert [row["model"] for row in euclidean] == ["lstm", "gru"]
        assert all(int(row["certified"]) < 1000 for row in euclidean)
        grus = {r["variant"]: r for r in rows if r["model"] == "gru" and r["task"] == task}
        assert set(grus) == {"unstable", "sharp-stable", "euclidean", "graded"}
        assert int(grus["sharp-stable"]["certified"]) < 1000
        graded = [r for r in rows if r["variant"] == "graded" and r["task"] == task]
        assert [r["model"] for r in graded] == ["lstm", "gru"]
        assert all(int(r["certified"]) < 1000 for r in graded)
    for row in rows:
        if row["variant"] == "none":
            assert ("gram" in row["model"]) == (row["task"] == "synthetic-text")
        else:
            assert math.isfinite(float(row["metric"]))
            assert (row["refuted"] == "no") == (row["variant"] != "unstable")
            assert row["measured"].startswith("not measured: 8 sequences") == (
                row["task"] == "synthetic-music"
            )
    assert module.seen("5-gram") == [4] == module.seen("linear, 4 frames")
    assert module.seen("marginals") == []
    # what is in the folder of runs is enough for the table
    assert module.main([*argv, "--finished"]) == 0
