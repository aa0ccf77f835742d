r"""Projections: times against cvxpy and the singular value decomposition, distances of sets.

Run ``OPENBLAS_NUM_THREADS=1 python tests/benchmarks/bench_projections.py --help``; nothing here
passes or fails.  Times are processor seconds of this process, medians of several runs.  Nearest
stable matrices have their own script, `bench_schur`.
"""

import argparse
import statistics
import time

import numpy as np

from theory import GRU, LSTM, VanillaRNN, contraction
from theory.projections import column_sum_ball, oracle, project, row_sum_ball, spectral_ball
from theory.projections.lstm import nearest_published, published_limits
from theory.projections.lstm_rows import lstm_rows
from theory.projections.metric import clip_in_metric, incremental_set, metric_ball

RATE = 0.95


def seconds(run):
    began = time.process_time()
    run()
    return time.process_time() - began


def paired(ours, theirs, rounds=7):
    """Return the median seconds of both and the median of the ratios ours / theirs."""
    ours()
    theirs()
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(rounds)]
    return (
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(a / b for a, b in pairs),
    )


def gaussian(n, seed=0, size=1.5):
    W = np.random.default_rng(seed).standard_normal((n, n))
    return W * (size / np.linalg.norm(W, 2))


def against_svd(n):
    for dtype in (np.float64, np.float32):
        for size in (1.5, 1e6):
            W = gaussian(n, size=size).astype(dtype)
            wide, out = W.astype(np.float64), np.empty_like(W)
            ours, theirs, ratio = paired(
                lambda W=W, out=out: spectral_ball(W, RATE, out=out),
                lambda wide=wide: np.linalg.svd(wide),
            )
            print(f"spectral ball n = {n} {dtype.__name__} |W| = {size:g}: {ours * 1e3:.1f} ms, "
                  f"proved, one SVD {theirs * 1e3:.1f} ms, {ratio:.2f} SVDs")  # fmt: skip


def rows(n):
    for dtype in (np.float64, np.float32):
        W = (np.random.default_rng(0).standard_normal((n, n)) / n).astype(dtype)
        out = np.empty_like(W)
        for name, ball in (("rows", row_sum_ball), ("columns", column_sum_ball)):
            ball(W, 0.3, out=out)
            taken = statistics.median(
                seconds(lambda ball=ball, W=W, out=out: ball(W, 0.3, out=out)) for _ in range(9)
            )
            print(f"l1 {name} n = {n} {dtype.__name__}: {taken * 1e3:.2f} ms, proved inside")


def against_cvxpy(n, spectral, limit):
    """Compare with the solvers once: they take seconds to minutes, and SCS at most the limit."""
    if n:
        W, limits = gaussian(n), np.full(n, RATE)
        ours = statistics.median(seconds(lambda: row_sum_ball(W, limits)) for _ in range(9))
    for name, settings in (("OSQP", {}), ("CLARABEL", {}), ("SCS", {})) if n else ():
        began = time.process_time()
        try:
            solved = oracle.solve(
                (W,), lambda cp, x: [cp.sum(cp.abs(x[0]), axis=1) <= limits], ((name, settings),)
            )
        except ArithmeticError as error:
            print(f"l1 rows n = {n} {name}: {error}")
            continue
        theirs = time.process_time() - began
        outside = float(np.max(np.abs(solved.arrays[0]).sum(axis=1)) - RATE)
        print(f"l1 rows n = {n} {name}: {theirs:.2f} s, outside by {outside:.1e}, "
              f"{theirs / ours:.0f} times ours ({ours * 1e3:.2f} ms)")  # fmt: skip
    if spectral:
        W = gaussian(spectral)
        ours = statistics.median(seconds(lambda: spectral_ball(W, RATE)) for _ in range(5))
        began = time.process_time()
        settings = (("SCS", {"time_limit_secs": limit}),)
        try:
            solved = oracle.solve((W,), lambda cp, x: [cp.sigma_max(x[0]) <= RATE], settings)
            outside = float(np.linalg.norm(solved.arrays[0], 2) - RATE)
            ended = f"{solved.iterations} iterations, outside by {outside:.1e}"
        except ArithmeticError as error:
            ended = f"without an answer, so that it is a lower bound ({error})"
        theirs = time.process_time() - began
        print(f"spectral ball n = {spectral} SCS: {theirs:.1f} s, {ended}; "
              f"{theirs / ours:.0f} times ours ({ours * 1e3:.1f} ms)")  # fmt: skip


def gated(n):
    rng = np.random.default_rng(0)
    m = n // 4
    cell = LSTM(*(rng.standard_normal(s) / np.sqrt(n) for s in ((4 * n, n), (4 * n, m), 4 * n)))
    X = lstm_rows(cell)
    began = time.process_time()
    found = project(cell, onto="lstm", rate=RATE)
    searched = time.process_time() - began
    best = found.residuals["forget"]
    for f in (0.55, 0.65, best):
        where = published_limits(n, m, RATE, f, 1.0)
        nearest_published(X, where)
        taken = statistics.median(
            seconds(lambda w=where: nearest_published(X, w)) for _ in range(7)
        )
        print(f"LSTM set n = {n}, forget {f:.3f}: {taken * 1e3:.1f} ms, all gates")
    print(f"LSTM set n = {n}, forget searched for, certificate and lower bound: {searched:.2f} s, "
          f"distance {found.distance:.4f}, gap {found.gap:.2%}")  # fmt: skip
    small = n // 8
    cell = LSTM(*(rng.standard_normal(s) / np.sqrt(small)
                  for s in ((4 * small, small), (4 * small, 8), 4 * small)))  # fmt: skip
    for per_unit in (False, True):
        began = time.process_time()
        one = project(cell, onto="lstm", rate=RATE, per_unit=per_unit)
        print(f"LSTM n = {small}, per unit {per_unit}: distance {one.distance:.4f}, "
              f"{time.process_time() - began:.2f} s")  # fmt: skip
    cell = GRU(*(rng.standard_normal(s) / np.sqrt(small)
                 for s in ((3 * small, small), (3 * small, 8), 3 * small)))  # fmt: skip
    for per_unit in (False, True):
        began = time.process_time()
        one = project(cell, onto="gru", rate=RATE, per_unit=per_unit)
        print(f"GRU n = {small}, per unit {per_unit}: distance {one.distance:.4f}, "
              f"{time.process_time() - began:.2f} s")  # fmt: skip


def fixed_metric(n):
    W = gaussian(n)
    method = "lmi" if n <= 64 else "numerical_radius"
    c = contraction(VanillaRNN(0.5 * W, np.eye(n)), method=method)
    where = incremental_set(c.norm.P, np.array(c.evidence.multipliers), (0.0, 1.0), c.lam)
    for name, run in (
        ("nearest, gap 1e-4", lambda: metric_ball(W, where, accuracy=1e-4).W),
        ("nearest, gap 1e-6", lambda: metric_ball(W, where).W),
        ("clipped in the metric", lambda: clip_in_metric(W, where)),
    ):
        taken = statistics.median(seconds(run) for _ in range(5))
        print(f"fixed metric n = {n}, {name}: {taken * 1e3:.1f} ms, "
              f"distance {np.linalg.norm(run() - W):.5f}")  # fmt: skip


def sets(sizes):
    print(f"{'n':>4} {'set':>10} {'distance':>10} {'lower':>9} {'of spectral':>11} {'time':>8}")
    for n in sizes:
        cell = VanillaRNN(gaussian(n), np.eye(n))
        plain = project(cell, onto="spectral", rate=RATE).distance
        for onto in ("spectral", "diagonal", "lmi", "linf", "l1"):
            began = time.process_time()
            one = project(cell, onto=onto, rate=RATE)
            print(f"{n:4d} {onto:>10} {one.distance:10.5f} {one.lower:9.5f} "
                  f"{one.distance / plain:11.3f} {time.process_time() - began:7.2f}s")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512, help="of balls and of the LSTM")
    parser.add_argument("--metric", type=int, default=256)
    parser.add_argument("--sets", type=int, nargs="*", default=[8, 32])
    parser.add_argument("--cvxpy", type=int, default=0, help="compare l1 rows at this size")
    parser.add_argument("--scs", type=int, default=0, help="compare the spectral ball at this size")
    parser.add_argument("--limit", type=float, default=1200.0, help="seconds that SCS may take")
    chosen = parser.parse_args()
    if chosen.size:
        against_svd(chosen.size)
        rows(chosen.size)
        gated(chosen.size)
    if chosen.metric:
        fixed_metric(chosen.metric)
    sets(chosen.sets)
    if chosen.cvxpy or chosen.scs:
        against_cvxpy(chosen.cvxpy, chosen.scs, chosen.limit)


if __name__ == "__main__":
    main()
