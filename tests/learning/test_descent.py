"""Descents: exact small cases, twins, resumption, divergence, and clear refusals."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from theory import GRU, LSTM, LinearHead, LinearMap, VanillaRNN
from theory.learning import (
    prediction_gaps,
    projected_gradient_descent,
    recurrent_gradient,
    step_sizes,
    train_twins,
    training_data,
    truncated_backprop_gradient,
    truncated_gradient,
)
from theory.progress import counting_bar

rng = np.random.default_rng(0)
N, M, T, P = 4, 3, 12, 2
CELL = VanillaRNN(0.3 * rng.standard_normal((N, N)), rng.standard_normal((N, M)))
HEAD = LinearHead(rng.standard_normal((P, N)))
DATA = training_data(rng.standard_normal((2, T, M)), rng.standard_normal((2, T, P)))


def clip(model, radius=0.5):
    """Return the Euclidean projection onto |W|_2 <= radius."""
    U, s, V = np.linalg.svd(model.W)
    return model.with_parameters(W=(U * np.minimum(s, radius)) @ V)


def descend(**changes):
    arguments = {"steps": 5, "alpha": 0.1, **changes}
    return projected_gradient_descent(CELL, HEAD, DATA, **arguments)


def test_steps_are_gradient_steps():
    done = descend(schedule="constant")
    w, model = np.concatenate([v.ravel() for v in CELL.parameters.values()]), CELL
    for i in range(5):
        np.testing.assert_array_equal(done.weights[i], w)
        g = recurrent_gradient(model, HEAD, DATA)
        assert done.losses[i] == g.loss
        assert done.gradient_norms[i] == pytest.approx(np.linalg.norm(g.vector()), rel=1e-14)
        w = w - 0.1 * g.vector()
        parts = np.split(w, [N * N, N * N + N * M])
        model = CELL.with_parameters(W=parts[0].reshape(N, N), U=parts[1].reshape(N, M), b=parts[2])
    np.testing.assert_array_equal(done.weights[5], w)
    assert done.losses[5] == recurrent_gradient(model, HEAD, DATA).loss
    assert done.losses[5] < done.losses[0]
    assert (done.steps, done.diverged) == (5, None)
    np.testing.assert_array_equal(done.model.parameters["W"].ravel(), w[: N * N])


@pytest.mark.parametrize(
    ("model", "gradient"),
    [
        ("truncated", lambda: truncated_gradient(CELL, HEAD, DATA, k=3)),
        ("truncated_backprop", lambda: truncated_backprop_gradient(CELL, HEAD, DATA, k=3)),
    ],
)
def test_each_model_follows_its_own_gradient(model, gradient):
    done = descend(steps=1, model=model, k=3)
    np.testing.assert_allclose(done.weights[0] - done.weights[1], 0.1 * gradient().vector())


def test_projection_is_applied_to_the_start_and_after_every_step():
    done = descend(alpha=1.0, projection=clip)
    for w in done.weights:
        assert np.linalg.norm(w[: N * N].reshape(N, N), 2) <= 0.5 * (1 + 1e-14)
    free = descend(alpha=1.0)
    assert np.linalg.norm(free.weights[-1][: N * N].reshape(N, N), 2) > 0.5


def test_only_what_is_trained_moves():
    done = descend(trained=("U",))
    assert done.trained == ("U",)
    np.testing.assert_array_equal(done.model.W, CELL.W)
    assert not np.array_equal(done.model.U, CELL.U)
    np.testing.assert_array_equal(done.head.C, HEAD.C)
    np.testing.assert_array_equal(descend(trained="U").weights, done.weights)
    both = descend(train_head=True)
    assert not np.array_equal(both.head.C, HEAD.C)
    assert both.losses[-1] < descend().losses[-1]
    assert both.weights.shape[1] == N * N + N * M + N + P * N + P


@pytest.mark.parametrize(
    "cell",
    [
        LSTM(0.2 * rng.standard_normal((4 * N, N)), rng.standard_normal((4 * N, M))),
        GRU(0.2 * rng.standard_normal((3 * N, N)), rng.standard_normal((3 * N, M))),
        GRU(
            0.2 * rng.standard_normal((3 * N, N)), rng.standard_normal((3 * N, M)),
            variant="reset_before",
        ),
        LinearMap(0.2 * rng.standard_normal((N, N)), rng.standard_normal((N, M))),
    ],
    ids=["lstm", "gru", "gru before", "linear"],
)  # fmt: skip
def test_every_cell_learns(cell):
    twins = train_twins(cell, HEAD, DATA, k=(2, T), steps=20, alpha=0.2, schedule="constant")
    assert twins.recurrent.losses[-1] < 0.95 * twins.recurrent.losses[0]
    assert twins.distances[2][-1] > 0
    # a counterpart of all inputs is the recurrent model
    assert np.max(twins.distances[T]) < 1e-12
    assert np.max(twins.gaps[T]) < 1e-12


def test_descents_are_deterministic():
    for changes in ({}, {"model": "truncated", "k": 3}, {"projection": clip}):
        a, b = descend(**changes), descend(**changes)
        np.testing.assert_array_equal(a.weights, b.weights)
        np.testing.assert_array_equal(a.losses, b.losses)


def test_the_number_of_threads_does_not_show():
    """BLAS rounds sums otherwise with more threads; the weights must not see it."""
    code = (
        "import numpy as np, theory\n"
        "rng = np.random.default_rng(0)\n"
        "normal = rng.standard_normal\n"
        "cell = theory.VanillaRNN(normal((64, 64)) / 16, normal((64, 8)))\n"
        "head = theory.LinearHead(rng.standard_normal((4, 64)))\n"
        "data = theory.learning.training_data(\n"
        "    rng.standard_normal((8, 60, 8)), rng.standard_normal((8, 60, 4)))\n"
        "done = theory.learning.projected_gradient_descent(\n"
        "    cell, head, data, steps=2, alpha=0.01, model='truncated', k=9)\n"
        "print(done.weights.tobytes().hex()[-4000:], done.losses.tolist())"
    )
    answers = set()
    for threads in ("1", "2"):
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": threads}
        result = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        answers.add(result.stdout)
    assert len(answers) == 1


def test_step_sizes():
    assert step_sizes(2.0, "1/t", steps=3).tolist() == [2.0, 1.0, 2.0 / 3]
    assert step_sizes(2.0, "constant", steps=2).tolist() == [2.0, 2.0]
    assert step_sizes(2.0, "1/sqrt", steps=4).tolist()[3] == 1.0
    assert step_sizes(1.0, lambda i: 0.5**i, steps=2).tolist() == [0.5, 0.25]
    assert step_sizes(1.0, "1/t", steps=0).tolist() == []


# twins --------------------------------------------------------------------------------------------


def test_twins_are_their_descents():
    twins = train_twins(CELL, HEAD, DATA, k=(1, 3), steps=6, alpha=0.1, gap_every=2)
    base, other = descend(steps=6), descend(steps=6, model="truncated", k=3)
    np.testing.assert_array_equal(twins.recurrent.weights, base.weights)
    np.testing.assert_array_equal(twins.truncated[3].weights, other.weights)
    expected = np.linalg.norm(base.weights - other.weights, axis=1)
    np.testing.assert_allclose(twins.distances[3], expected, rtol=1e-14)
    assert twins.distances[3][0] == 0.0
    assert twins.gap_steps.tolist() == [0, 2, 4, 6]
    last = prediction_gaps(base.model, HEAD, other.model, HEAD, X=DATA.inputs, k=3)
    assert last.shape == (2, T)
    assert twins.gaps[3][-1] == pytest.approx(np.max(last), rel=1e-12)
    assert train_twins(CELL, HEAD, DATA, k=1, steps=1, alpha=0.1).distances.keys() == {1}


def test_longer_windows_stay_nearer():
    twins = train_twins(
        clip(CELL), HEAD, DATA, k=(1, 2, 4, 8), steps=30, alpha=0.1, projection=clip
    )
    ends = [twins.distances[k][-1] for k in (1, 2, 4, 8)]
    assert ends == sorted(ends, reverse=True)
    assert ends[3] < ends[0] / 20


# interruption -------------------------------------------------------------------------------------


def interrupted(at):
    def count(made, _):
        if made == at:
            raise KeyboardInterrupt

    return count


@pytest.mark.parametrize("changes", [{}, {"model": "truncated", "k": 3}, {"train_head": True}])
def test_resumption_is_equal_to_the_last_bit(tmp_path, changes):
    path = tmp_path / "descent.npz"
    whole = descend(steps=9, **changes)
    with pytest.raises(KeyboardInterrupt):
        descend(steps=9, checkpoint=path, progress=interrupted(4), **changes)
    with np.load(path, allow_pickle=False) as archive:
        assert len(archive["weights"]) == 5
    seen = []
    done = descend(
        steps=9, checkpoint=path, resume=True, progress=lambda made, _: seen.append(made), **changes
    )
    assert seen == [5, 6, 7, 8, 9]
    np.testing.assert_array_equal(done.weights, whole.weights)
    np.testing.assert_array_equal(done.losses, whole.losses)
    np.testing.assert_array_equal(done.gradient_norms, whole.gradient_norms)
    # once more, with nothing left to do
    again = descend(steps=9, checkpoint=path, resume=True, **changes)
    np.testing.assert_array_equal(again.weights, whole.weights)


def test_twins_resume_in_a_folder(tmp_path):
    arguments = {"k": (1, 3), "steps": 6, "alpha": 0.1}
    whole = train_twins(CELL, HEAD, DATA, **arguments)
    with pytest.raises(KeyboardInterrupt):
        train_twins(
            CELL, HEAD, DATA, **arguments, checkpoint=tmp_path / "run", progress=interrupted(9)
        )
    assert {p.name for p in (tmp_path / "run").iterdir()} == {"recurrent.npz", "truncated_1.npz"}
    done = train_twins(CELL, HEAD, DATA, **arguments, checkpoint=tmp_path / "run", resume=True)
    for k in (1, 3):
        np.testing.assert_array_equal(done.distances[k], whole.distances[k])


def test_checkpoints_of_other_descents_are_refused(tmp_path):
    path = tmp_path / "descent.npz"
    descend(checkpoint=path)
    for changes in ({"alpha": 0.2}, {"steps": 6}, {"model": "truncated", "k": 3}, {"trained": "U"}):
        with pytest.raises(ValueError, match="belongs to another descent"):
            descend(checkpoint=path, resume=True, **changes)
    path.write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
        descend(checkpoint=path, resume=True)
    np.savez(path, weights=np.zeros(3))
    with pytest.raises(ValueError, match="cannot be read as a checkpoint"):
        descend(checkpoint=path, resume=True)
    with pytest.raises(ValueError, match="needs checkpoint="):
        descend(resume=True)


def test_damaged_checkpoints_are_refused(tmp_path):
    path = tmp_path / "descent.npz"
    descend(checkpoint=path)
    content = path.read_bytes()
    for cut in range(0, len(content), 97):
        path.write_bytes(content[:cut])
        with pytest.raises(ValueError, match="checkpoint"):
            descend(checkpoint=path, resume=True)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "descent.npz"
    descend(checkpoint=path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        descend(checkpoint=path, resume=True)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["descent.npz"]


# divergence ---------------------------------------------------------------------------------------


def growing(alpha, steps=40, **more):
    data = training_data(np.ones((10, 1)), np.ones((10, 1)), at="last")
    return projected_gradient_descent(
        LinearMap([[1.1]], [[1.0]]), LinearHead([[1.0]]), data, steps=steps, alpha=alpha,
        trained=("W",), **more,
    )  # fmt: skip


def test_a_diverging_descent_ends_with_a_verdict_and_all_it_has(tmp_path):
    path = tmp_path / "descent.npz"
    done = growing(1.0, checkpoint=path, save_every=1000)
    stop = done.diverged
    assert stop is not None
    assert stop.step == done.steps + 1
    assert stop.norm == abs(done.weights[-1, 0])
    assert "diverged at step" in str(stop)
    assert np.isfinite(done.weights).all()
    assert 2 <= done.steps < 40
    with np.load(path, allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["weights"], done.weights)
        assert str(archive["diverged"]) == stop.reason
    again = growing(1.0, checkpoint=path, resume=True)
    assert again.diverged is not None
    np.testing.assert_array_equal(again.weights, done.weights)


def test_a_loss_that_overflows_ends_the_descent():
    model = LinearMap([[2.0]], [[1.0]])
    data = training_data(np.ones((2000, 1)), np.ones((2000, 1)), at="last")
    done = projected_gradient_descent(model, LinearHead([[1.0]]), data, steps=3, alpha=1.0)
    assert done.diverged is not None
    assert done.diverged.step == 1
    assert done.steps == 0
    assert np.isnan(done.losses).tolist() == [True]


def test_twins_of_a_diverging_descent_are_compared_while_both_last():
    data = training_data(np.ones((10, 1)), np.ones((10, 1)), at="last")
    twins = train_twins(
        LinearMap([[1.1]], [[1.0]]), LinearHead([[1.0]]), data, k=1, steps=40, alpha=1.0,
        trained=("W",),
    )  # fmt: skip
    assert twins.recurrent.diverged is not None
    assert len(twins.distances[1]) == len(twins.recurrent.weights)
    assert np.isfinite(twins.distances[1]).all()


# refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alpha": 0.0}, "alpha=0.0, needed alpha > 0"),
        ({"alpha": -1.0}, "alpha=-1.0"),
        ({"alpha": np.nan}, "alpha=nan"),
        ({"steps": -1}, "steps=-1"),
        ({"steps": 2.5}, "steps=2.5"),
        ({"schedule": "cosine"}, "needed one of: 1/t"),
        ({"schedule": lambda i: -1.0 if i == 2 else 1.0}, "at step 2"),
        ({"model": "feedforward"}, "needed one of: recurrent"),
        ({"model": "truncated"}, "needed a truncation length"),
        ({"model": "truncated_backprop", "k": 0}, "k=0"),
        ({"trained": ("V",)}, "'V' is no parameter, needed some of W, U, b"),
        ({"save_every": 0}, "save_every=0"),
        ({"projection": lambda model: model.W}, "the projection does not fit the map"),
        ({"projection": lambda _: LinearMap([[0.5]], [[1.0]])}, "does not fit the map"),
        (
            {"trained": ("U",), "projection": lambda m: m.with_parameters(W=m.W / 2)},
            "changes W, which is not trained",
        ),
    ],
)
def test_malformed_descents(changes, message):
    with pytest.raises(ValueError, match=message):
        descend(**changes)


def test_malformed_twins():
    good = {"k": 1, "steps": 1, "alpha": 0.1}
    for changes, message in (
        ({"k": -1}, "k=-1"),
        ({"k": (1, 2.5)}, "k=2.5"),
        ({"gap_every": 0}, "gap_every=0"),
        ({"model": "recurrent"}, "needed one of: truncated"),
    ):
        with pytest.raises(ValueError, match=message):
            train_twins(CELL, HEAD, DATA, **{**good, **changes})


def test_shapes_are_checked_before_the_first_step():
    with pytest.raises(ValueError, match=r"needed \(p, 4\)"):
        projected_gradient_descent(CELL, LinearHead(np.ones((P, 5))), DATA, steps=1, alpha=0.1)
    with pytest.raises(ValueError, match="width 2, needed 3"):
        projected_gradient_descent(CELL, LinearHead(np.ones((3, N))), DATA, steps=1, alpha=0.1)


def test_progress_bar(capsys):
    with counting_bar("training") as show:
        descend(progress=show)
    assert "Traceback" not in capsys.readouterr().out
