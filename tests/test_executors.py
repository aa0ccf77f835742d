"""Work on any executor: whatever happens to the workers, every piece is answered exactly once."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import active_children, get_context

import numpy as np
import pieces
import pytest

from theory import GRU, VanillaRNN, executors
from theory.campaign import runner
from theory.campaign.recipes.table import RECIPES
from theory.campaign.runner import Campaign
from theory.campaign.tasks import Config
from theory.certify import joint_spectral_radius
from theory.certify.jsr import products_upper
from theory.executors import LostWorkError, cluster, finished, held, processes
from theory.files.stored import open_sequences
from theory.measure import metric_against_k, reset, warmup
from theory.version import __version__

pytestmark = pytest.mark.heavy

N = 12


def answers(function, given, **more):
    """Return the values by number, and check that each number came once."""
    found = list(finished(function, given, **more))
    numbers = [number for number, _ in found]
    assert sorted(numbers) == sorted(set(numbers))
    return dict(found)


def marked(tmp_path):
    return [(i, str(tmp_path / "marker")) for i in range(N)]


def test_without_an_executor_in_order():
    assert list(finished(pieces.square, iter([3, 1, 2]))) == [(0, 9), (1, 1), (2, 4)]
    assert list(finished(pieces.square, [])) == []


def test_an_executor_of_the_users():
    with ThreadPoolExecutor(2) as pool:
        assert answers(pieces.square, range(N), executor=pool) == {i: i * i for i in range(N)}
        assert answers(pieces.square, [], executor=pool) == {}
        # it is theirs, and still open
        assert pool.submit(pieces.square, 2).result() == 4


def test_more_pieces_than_wait_at_a_time():
    """The pieces are read as the work goes on: a long campaign never stands in memory."""
    read = []

    def given():
        for i in range(40):
            read.append(i)
            yield i

    with ThreadPoolExecutor(2) as pool:
        stream = finished(pieces.square, given(), executor=pool, ahead=4)
        next(stream)
        assert len(read) <= 8
        assert len(list(stream)) == 39


def test_an_error_of_a_piece_is_raised_as_it_is():
    with pytest.raises(ZeroDivisionError, match="two"):
        answers(pieces.fail_at_two, range(4), executor=processes(1))


def test_a_killed_worker_loses_nothing(tmp_path):
    found = answers(pieces.die_once, marked(tmp_path), executor=processes(2))
    assert found == {i: i for i in range(N)}
    assert (tmp_path / "marker").exists()


def test_a_piece_that_kills_every_worker_is_given_up_last(tmp_path):
    stream = finished(pieces.die_always, marked(tmp_path), executor=processes(2))
    done = {}
    with pytest.raises(LostWorkError, match=r"lost 4 times in a row .* 1 pieces of work"):
        done.update(stream)
    assert sorted(done) == [i for i in range(N) if i != 3]


def test_a_worker_that_never_answers_is_replaced(tmp_path):
    found = answers(pieces.hang_once, marked(tmp_path), executor=processes(2), patience=12.0)
    assert found == {i: i for i in range(N)}


def test_what_cannot_be_sent_is_refused_and_not_asked_for_again():
    with pytest.raises(ValueError, match=r"cannot be sent to workers .*define it in a module"):
        answers(lambda x: x, range(4), executor=processes(1))


class _Loses(Executor):
    """Does the work here; the future of the third piece has an error that is not the piece's."""

    def __init__(self, error):
        self.error, self.asked = error, 0

    def submit(self, function, /, *args, **kwargs):
        self.asked += 1
        future = Future()
        if self.asked == 3:
            future.set_exception(self.error)
        else:
            future.set_result(function(*args, **kwargs))
        return future


def test_only_what_cannot_be_pickled_is_told_as_such():
    found = answers(abs, range(4), executor=_Loses(TypeError("transient")))
    assert found == {i: i for i in range(4)}
    for error in (
        TypeError("cannot pickle '_thread.lock' object"),
        AttributeError("Can't get local object 'f.<locals>.<lambda>'"),
        TypeError("Could not serialize object of type function"),
    ):
        with pytest.raises(ValueError, match="cannot be sent to workers"):
            answers(abs, range(4), executor=_Loses(error))


@pytest.mark.parametrize("executor", [4, "x", []])
def test_an_executor_that_is_none_is_refused(executor):
    with pytest.raises(ValueError, match=r"executor=.*, needed an Executor"):
        list(finished(abs, [1], executor=executor))
    with pytest.raises(ValueError, match="needed an Executor"):
        joint_spectral_radius(np.ones((2, 2, 2)), products=50, executor=executor)


def test_workers_that_are_held_are_started_once_and_replaced_when_killed(tmp_path):
    starts = []
    start = processes(2)

    def counted():
        starts.append(None)
        return start()

    before = set(active_children())
    with executors.held(counted) as same:
        assert answers(pieces.square, range(3), executor=same) == {0: 0, 1: 1, 2: 4}
        assert answers(pieces.square, range(3), executor=same) == {0: 0, 1: 1, 2: 4}
        assert len(starts) == 1
        found = answers(pieces.die_once, marked(tmp_path), executor=same)
        assert found == {i: i for i in range(N)}
        assert len(starts) == 2
        assert answers(pieces.square, range(3), executor=same) == {0: 0, 1: 1, 2: 4}
        assert len(starts) == 2
    deadline = time.monotonic() + 20
    while set(active_children()) - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not set(active_children()) - before


def test_measurements_and_products_are_those_of_one_process(tmp_path):
    """Whoever does the work, and with a worker killed: bit for bit."""
    rng = np.random.default_rng(0)
    model = GRU(rng.normal(size=(15, 5)) / 2, rng.normal(size=(15, 2)), rng.normal(size=15))
    X = [rng.standard_normal((30, 2)) for _ in range(600)]
    for i, x in enumerate(X):
        np.save(tmp_path / f"{i:03}.npy", x)
    stored = open_sequences(tmp_path)
    data = [(x, model.simulate(x)) for x in X[:50]]
    asked = {"eps": 0.02, "probability": 0.1, "confidence": 0.9, "k_max": 20}
    plain = VanillaRNN([[0.9, -1.0], [0.5, -0.9]], np.eye(2))
    fives = 0.4 * rng.standard_normal((5, 5, 5))

    def all_of(executor, sequences):
        return (
            warmup(model, sequences, **asked, executor=executor),
            reset(model, sequences, **asked, executor=executor),
            metric_against_k(model, data, metric="mse", ks=[9, 3, 1], executor=executor),
            joint_spectral_radius(plain, products=3000, tol=1e-9, executor=executor),
            joint_spectral_radius(fives, products=3000, executor=executor),
            products_upper(plain, 8, executor=executor),
        )

    def told(found):
        warm, again, losses, radius, of_set, upper = found
        return (
            warm.settled.tolist(), warm.off.tolist(), again.lost, losses.losses.tolist(),
            losses.full.tolist(), radius.upper, radius.constant, radius.lower.rate,
            radius.products, of_set.upper, of_set.lower.order, of_set.products, upper,
        )  # fmt: skip

    expected = told(all_of(None, X))
    with held(processes(2)) as same:
        before = set(active_children())
        assert products_upper(plain, 4, executor=same) == products_upper(plain, 4)
        os.kill((set(active_children()) - before).pop().pid, signal.SIGKILL)
        assert told(all_of(same, stored)) == expected


def test_what_is_started_is_ended():
    before = set(active_children())
    stream = finished(pieces.slow, range(N), executor=processes(2))
    next(stream)
    stream.close()
    deadline = time.monotonic() + 20
    while set(active_children()) - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not set(active_children()) - before


def test_a_broken_executor_of_the_users_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(executors.time, "sleep", lambda _: None)
    pool = ProcessPoolExecutor(1, get_context("spawn"))
    with pool, pytest.raises(LostWorkError, match="BrokenProcessPool"):
        answers(pieces.die_once, marked(tmp_path), executor=pool)


class Late(Executor):
    """Keeps the first answers back, and gives them when the others are there."""

    def __init__(self, back):
        self.back, self.kept = back, []

    def submit(self, function, /, *args, **kwargs):
        future = Future()
        answer = function(*args, **kwargs)
        # the first submission is the probe
        self.back -= 1
        if self.back >= 0:
            self.kept.append((future, answer))
            if len(self.kept) == 1:
                future.set_result(answer)
        else:
            for old, its in self.kept[1:]:
                if not old.done():
                    old.set_result(its)
            future.set_result(answer)
        return future


def test_an_answer_that_comes_twice_counts_once():
    found = answers(pieces.square, range(3), executor=Late(4), patience=0.2)
    assert found == {0: 0, 1: 1, 2: 4}


def test_a_patience_beyond_what_a_lock_can_wait_is_for_ever():
    assert answers(pieces.square, range(3), executor=Late(0), patience=1e300) == {0: 0, 1: 1, 2: 4}


def test_other_versions_are_refused_before_the_work(monkeypatch):
    done = []

    class Other(Executor):
        def submit(self, function, /, *args, **kwargs):
            future = Future()
            if args[0] is not executors._answer_nothing:
                done.append(args)
            with monkeypatch.context() as there:
                there.setattr(executors, "version", lambda _: "0.0.1")
                future.set_result(function(*args, **kwargs))
            return future

    with pytest.raises(LostWorkError, match=r"a worker has numpy 0\.0\.1, this process has"):
        answers(pieces.square, range(3), executor=Other())
    assert not done


@pytest.mark.parametrize("jobs", [0, -1, 1.5])
def test_a_number_of_processes_that_is_none(jobs):
    with pytest.raises(ValueError, match="jobs="):
        processes(jobs)


# -- a campaign ---------------------------------------------------------------------------------

CONFIG = Config(instances=len(RECIPES) + 6, seed=3, only=("state_gap", "output_gap"))


def verdicts(campaign):
    return {key: (r.verdicts, r.near_misses) for key, r in campaign.results.items()}


@pytest.fixture(scope="module")
def serial():
    campaign = Campaign(CONFIG)
    list(campaign.run())
    return verdicts(campaign)


def test_a_campaign_with_a_worker_killed_is_bit_for_bit_that_of_one_process(serial, tmp_path):
    campaign = Campaign(CONFIG, path=tmp_path / "verdicts.json")
    before = set(active_children())
    killed = []
    for _ in campaign.run(executor=processes(2)):
        if not killed:
            killed += [p.pid for p in set(active_children()) - before][:1]
            os.kill(killed[0], signal.SIGKILL)
    assert killed
    assert verdicts(campaign) == serial
    again = Campaign(CONFIG, path=tmp_path / "verdicts.json", resume=True)
    assert verdicts(again) == serial


def test_a_full_disk_stops_nothing_and_is_told_at_the_end(serial, tmp_path, monkeypatch):
    full = OSError(errno.ENOSPC, "No space left on device")
    free = []

    def write(path, text):
        if not free:
            raise full
        path.write_text(text)

    monkeypatch.setattr(runner, "write_atomically", write)
    monkeypatch.setattr(runner, "_SAVE_EVERY", 0.0)
    campaign = Campaign(CONFIG, path=tmp_path / "verdicts.json")
    with pytest.raises(OSError, match="No space left"):
        list(campaign.run())
    assert verdicts(campaign) == serial  # nothing finished is lost: it is still here
    free.append(True)
    campaign.save()
    assert len(json.loads((tmp_path / "verdicts.json").read_text())["results"]) == len(serial)


# -- a cluster ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def local():
    """Two worker processes of a real scheduler on this machine."""
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        silence_logs=50,
    ) as made:
        yield made


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_gives_the_verdicts_of_one_process(serial, local):
    campaign = Campaign(CONFIG)
    list(campaign.run(executor=cluster(local.scheduler_address)))
    assert verdicts(campaign) == serial


@pytest.mark.filterwarnings("ignore")
def test_a_killed_worker_of_a_cluster_loses_nothing(local, tmp_path):
    address = local.scheduler_address
    found = answers(pieces.die_once, marked(tmp_path), executor=cluster(address))
    assert found == {i: i for i in range(N)}


@pytest.mark.filterwarnings("ignore")
def test_a_worker_of_another_version_is_refused_by_name(local, monkeypatch):
    monkeypatch.setattr(executors, "__version__", "9.9.9")
    told = rf"worker tcp://\S+ has stable-recurrent-models {__version__}, this process has 9"
    with pytest.raises(LostWorkError, match=told):
        cluster(local.scheduler_address)()


def test_an_address_nobody_listens_on():
    pytest.importorskip("distributed", reason="dask.distributed is not installed")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ValueError, match="nobody answers"):
            cluster(address, timeout=0.5)()


MPI = """
import json, sys
from mpi4py.futures import MPIPoolExecutor
from theory.campaign.recipes.table import RECIPES
from theory.campaign.runner import Campaign
from theory.campaign.tasks import Config

if __name__ == "__main__":
    only = ("state_gap", "output_gap")
    campaign = Campaign(Config(instances=len(RECIPES) + 6, seed=3, only=only))
    with MPIPoolExecutor() as executor:
        list(campaign.run(executor=executor))
    json.dump({k: [r.verdicts, r.near_misses] for k, r in campaign.results.items()}, sys.stdout)
"""


def test_mpi_gives_the_verdicts_of_one_process(serial, tmp_path):
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")
    if shutil.which("mpiexec") is None:
        pytest.skip("there is no mpiexec")
    (tmp_path / "program.py").write_text(MPI)
    done = subprocess.run(
        ["mpiexec", "-n", "3", sys.executable, "-m", "mpi4py.futures", tmp_path / "program.py"],
        capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    expected = {key: [list(told) for told in entry] for key, entry in serial.items()}
    assert json.loads(done.stdout) == json.loads(json.dumps(expected))


def test_references_of_ray_are_futures(serial):
    """The executor of docs/howto/many_machines.md."""
    ray = pytest.importorskip("ray", reason="ray is not installed")

    class OnRay(Executor):
        def submit(self, function, /, *args, **kwargs):
            return ray.remote(function).remote(*args, **kwargs).future()

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        campaign = Campaign(CONFIG)
        list(campaign.run(executor=OnRay()))
        assert verdicts(campaign) == serial
    finally:
        ray.shutdown()


def _start(*command):
    return subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_" + command[0], *command[1:]],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_scheduler_that_starts_again_loses_nothing_that_was_finished():
    """With its workers, which end with it: the pieces that they had are asked for again."""
    pytest.importorskip("distributed", reason="dask.distributed is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    scheduler = ("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
    worker = ("worker", address, "--nthreads", "1", "--no-dashboard")
    running = [_start(*scheduler), _start(*worker), _start(*worker)]
    try:
        time.sleep(8)
        done = {}
        stream = finished(pieces.slow, range(40), executor=cluster(address), patience=20)
        for number, value in stream:
            assert number not in done
            done[number] = value
            if len(done) == 5:
                for process in running:
                    process.kill()
                    process.wait()
                running = [_start(*scheduler), _start(*worker), _start(*worker)]
        assert done == {i: i for i in range(40)}
    finally:
        for process in running:
            process.kill()
            process.wait()
