"""Weak and strong scaling over worker processes, and what a unit of work costs.

    python tests/benchmarks/bench_scaling.py --jobs 1 2 4 8

Strong: the same campaign and the same measurement by more workers.  Weak: as much work a worker.
Every row is compared with the first one of the same run.  Beside the wall clock stands the
processor time of all processes, start-up included, which other work on the machine disturbs less.
Start-up is what every worker takes to import the package and to load its kernels.  The constants of
docs/howto/many_machines.md are those of the lines "without workers".
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable
from multiprocessing import active_children
from typing import Any

import numpy as np

from theory import GRU, effective_memory
from theory.campaign.recipes.table import RECIPES
from theory.campaign.runner import Campaign
from theory.campaign.tasks import Config
from theory.executors import finished, held, processes


def spent() -> float:
    """Return the processor time of this process and of those that it has ended."""
    own, ended = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime


def campaign(executor: Any, share: float) -> int:
    # one of each recipe at least, which is half of the usual amount
    count = max(len(RECIPES), round(2 * len(RECIPES) * share))
    made = Campaign(Config(instances=count, only=("state_gap", "output_gap")))
    return sum(1 for _ in made.run(executor=executor))


def measurement(executor: Any, share: float) -> int:
    rng = np.random.default_rng(0)
    model = GRU(rng.standard_normal((192, 64)) / 8, rng.standard_normal((192, 8)))
    X = rng.standard_normal((round(1024 * share), 200, 8))
    asked = {"eps": 0.01, "probability": 0.05, "confidence": 0.95, "k_max": 64}
    return 200 * effective_memory(model, X, executor=executor, **asked).sequences


#: What is measured, with its unit of work.
WORK: dict[str, tuple[Callable[[Any, float], int], str]] = {
    "campaign": (campaign, "instance"),
    "measurement": (measurement, "step"),
}


def timed(run: Callable[[Any, float], int], jobs: int, share: float) -> tuple[float, float, float]:
    """Return seconds of start-up, of the work, and of processors, for so many workers."""
    used, begun = spent(), time.perf_counter()
    with held(processes(jobs)) as same:
        # every worker imports the package, and loads its kernels
        list(finished(_nothing, range(4 * jobs), executor=same))
        run(same, 0.1)
        started = time.perf_counter()
        run(same, share)
        done = time.perf_counter()
    for process in active_children():
        process.join()
    return started - begun, done - started, spent() - used


def _nothing(number: int) -> int:
    time.sleep(0.05)
    return number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--share", type=float, default=1.0, help="of the usual work, from 0.5 on")
    chosen = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for name, (run, unit) in WORK.items():
        run(None, 0.1)
        begun, used = time.perf_counter(), spent()
        units = run(None, chosen.share)
        alone, own = time.perf_counter() - begun, spent() - used
        print(
            f"{name}: without workers {alone:.2f} s, processor {own:.2f} s, "
            f"{1e3 * own / units:.4g} ms of it a {unit}"
        )
        first: dict[str, float] = {}
        for jobs in chosen.jobs:
            for kind, share in (("strong", chosen.share), ("weak", chosen.share * jobs)):
                start, wall, processor = timed(run, jobs, share)
                first.setdefault(kind, wall)
                speed = first[kind] / wall * (1 if kind == "strong" else jobs)
                print(
                    f"  {kind:6} {jobs} workers: start {start:5.2f} s, work {wall:6.2f} s, "
                    f"speed {speed:4.2f}, processor {processor:6.2f} s"
                )


if __name__ == "__main__":
    main()
