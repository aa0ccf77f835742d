r"""Comparison certificates: how many random models each criterion certifies, and how long it takes.

Run ``python tests/benchmarks/bench_comparison.py --help``; nothing here passes or fails.
"""

import argparse
import time

import numpy as np

from theory import GRU, LSTM, Inputs
from theory.certify import invariant_domain
from theory.certify.gated import by_comparison, by_delta_iss, by_gate_norms, gate_bound_matrix
from theory.theorems.contractive_of_gate_norms import gate_norms


def radius(M):
    return float(np.max(np.abs(np.linalg.eigvals(M))))


def random_lstm(rng):
    n, m = int(rng.integers(1, 9)), int(rng.integers(1, 4))
    scale = 10.0 ** rng.uniform(-2.0, 0.3)
    return LSTM(
        scale * rng.standard_normal((4 * n, n)) / np.sqrt(n),
        scale * rng.standard_normal((4 * n, m)),
        scale * rng.standard_normal(4 * n),
    )


def random_gru(rng):
    n, m = int(rng.integers(1, 9)), int(rng.integers(1, 4))
    scale = 10.0 ** rng.uniform(-2.0, 0.3)
    return GRU(
        scale * rng.standard_normal((3 * n, n)) / np.sqrt(n),
        scale * rng.standard_normal((3 * n, m)),
        scale * rng.standard_normal(3 * n),
        variant=("reset_after", "reset_before")[rng.integers(2)],
    )


def counts(models, seed):
    rng = np.random.default_rng(seed)
    certified = dict.fromkeys(("published", "gate norms", "delta iss", "comparison"), 0)
    ratios = []
    for _ in range(models):
        cell = random_lstm(rng)
        certified["published"] += gate_norms(**cell.parameters, input_bound=1.0).published
        box = invariant_domain(cell, inputs=Inputs.box(-1.0, 1.0))
        if box is None:
            continue
        for name, by in (
            ("gate norms", by_gate_norms),
            ("delta iss", by_delta_iss),
            ("comparison", by_comparison),
        ):
            certified[name] += by(cell, box) is not None
        made = gate_bound_matrix(cell, input_bound=1.0)
        if made is not None:
            ratios.append(radius(cell.comparison(box)[0]) / radius(made[0]))
    print(f"LSTM, {models} models: {certified}, median rho(M) / rho(M_2) {np.median(ratios):.3f}")
    found = [0, 0]
    for _ in range(models):
        cell = random_gru(rng)
        box = invariant_domain(cell, inputs=Inputs.box(-1.0, 1.0))
        found[0] += by_delta_iss(cell, box) is not None
        found[1] += by_comparison(cell, box) is not None
    print(f"GRU, {models} models: delta iss {found[0]}, comparison {found[1]}")


def times(sizes, seed, rounds):
    print(f"{'n':>5} {'map':>5} {'box':>8} {'matrix':>8} {'weights and check':>18} {'rate':>10}")
    for n in sizes:
        rng = np.random.default_rng(seed)
        W, U = rng.standard_normal((4 * n, n)) * (0.05 / n), rng.standard_normal((4 * n, 64)) / 64
        for name, cell in (("LSTM", LSTM(W, U)), ("GRU", GRU(4 * W[: 3 * n], U[: 3 * n]))):
            taken = []
            for _ in range(rounds):
                began = time.perf_counter()
                box = invariant_domain(cell, inputs=Inputs.box(-1.0, 1.0))
                middle = time.perf_counter()
                cell.comparison(box)
                formed = time.perf_counter()
                found = by_comparison(cell, box)
                # the certificate forms the matrix again
                taken.append((middle - began, formed - middle, time.perf_counter() - formed))
            box_s, matrix_s, all_s = np.median(taken, axis=0)
            rate = "none" if found is None else f"{found.lam:.6f}"
            print(f"{n:5d} {name:>5} {box_s:7.3f}s {matrix_s:7.3f}s {all_s - matrix_s:17.3f}s "
                  f"{rate:>10}  in all {box_s + all_s:.3f}s")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=3000)
    parser.add_argument("--sizes", type=int, nargs="*", default=[64, 256, 1024])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    times(given.sizes, given.seed, given.rounds)
    if given.models:
        counts(given.models, given.seed)


if __name__ == "__main__":
    main()
