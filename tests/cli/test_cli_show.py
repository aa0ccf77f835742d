"""The command `theory show`, and stacks by several prefixes."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from theory.cli.main import app


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200"})


@pytest.fixture
def path(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        f"{at}_{key}": 0.2 * rng.standard_normal(shape)
        for at, m in (("low", 3), ("top", 2))
        for key, shape in (("w_ih", (6, m)), ("w_hh", (6, 2)), ("b_ih", 6), ("b_hh", 6))
    }
    np.savez(tmp_path / "two.npz", fc_w=np.ones((1, 2)), plain_w_hh=np.eye(2), **arrays)
    return tmp_path / "two.npz"


def test_what_is_recognised_is_shown(path):
    done = run("show", path)
    assert done.exit_code == 0, done.output
    assert "NumPy, 3 recurrent cells" in done.output
    assert "low (short): GRU(n=2, m=3, variant='reset_after')" in done.output
    assert "plain (short): not read: missing keys: plain.weight_ih" in done.output
    assert "of no cell, and not read (1):\n    fc_w: (1, 2)" in done.output


def test_nothing_that_can_be_read(tmp_path):
    np.savez(tmp_path / "x.npz", **{f"w{k}": np.ones(2) for k in range(12)})
    done = run("show", tmp_path / "x.npz")
    assert (done.exit_code, "0 recurrent cells" in done.output) == (1, True)
    assert "and 4 more; --all lists them" in done.output
    assert "w11: (2,)" in run("show", tmp_path / "x.npz", "--all").output
    assert run("show", tmp_path / "none.npz").exit_code == 2


def test_several_prefixes_are_a_stack(path):
    done = run("certify", path, "--prefix", "low", "--prefix", "top", "--inputs", "box:-1,1")
    assert "Cascade([GRU(n=2, m=3" in done.output, done.output
    done = run("certify", path, "--prefix", "low", "--prefix", "low")
    assert (done.exit_code, "low gives 2 numbers, and low takes 3" in done.stderr) == (2, True)
    out = path.with_name("new.npz")
    done = run(
        *("project", path, "--onto", "gru", "--rate", "0.9", "--out", out),
        *("--prefix", "low", "--prefix", "top"),
    )
    assert done.exit_code == 0, done.output + done.stderr
    assert "layer 1: distance" in done.output
    out.unlink()
    done = run("project", path, "--onto", "gru", "--rate", "0.9", "--out", out, "--prefix", "low")
    assert done.exit_code == 0, done.output + done.stderr
    assert "top_w_hh" not in done.output
    with np.load(path) as before, np.load(out) as after:
        assert np.array_equal(before["top_w_hh"], after["top_w_hh"])
        assert set(before) == set(after)


def test_layers_of_the_whole_state_and_layers_in_a_row_are_told(tmp_path):
    rng = np.random.default_rng(0)
    w = rng.standard_normal
    lstm = {"rnn.weight_ih_l0": w((12, 2)), "rnn.weight_hh_l0": w((12, 3))}
    whole = {"both.weight": w((1, 6)), "both.bias": np.ones(1)}
    row = {"a.weight": w((5, 3)), "a.bias": np.ones(5), "b.weight": w((1, 5)), "b.bias": np.ones(1)}
    np.savez(tmp_path / "m.npz", **lstm, **whole, **row)
    shown = run("show", tmp_path / "m.npz").output
    assert "both (1, 6): not read; as wide as the whole state of rnn, not as what it shows" in shown
    assert "a (5, 3): fits rnn; nothing tells what stands between; a may have b behind it" in shown
    assert "--head a,relu,b" in shown
