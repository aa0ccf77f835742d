r"""Certificates of gated cells: entrywise, Euclidean and from zero; how many models, how long.

All cells beside the conditions of the literature: ``examples/table_certificates.py``.

Run ``python tests/benchmarks/bench_comparison.py --help``; nothing here passes or fails.
"""

import argparse
import json
import time

import numpy as np

from theory import GRU, LSTM, EchoStateNetwork, Inputs
from theory.certify import invariant_domain, reached_domain
from theory.certify.certificate_file import certificate_from_dict, certificate_to_dict
from theory.certify.gated import by_comparison, by_delta_iss, by_gate_norms, gate_bound_matrix
from theory.certify.metric import by_metric
from theory.certify.multipliers import by_multipliers
from theory.certify.recheck import recheck
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


def both(cell, box):
    """Return the entrywise certificate and the Euclidean one, either may be None."""
    entrywise = by_comparison(cell, box)
    return entrywise, by_multipliers(cell, box, entrywise)


def from_zero(cell, box):
    """Return the better certificate of the states reached from zero, may be None."""
    reached = reached_domain(cell, inputs=Inputs.box(-1.0, 1.0), box=box)
    found = () if reached is None else both(cell, reached)
    return min((c for c in found if c is not None), key=lambda c: c.lam, default=None)


def by_metric_from_zero(cell, box):
    """Return the certificate of the same states in a full metric, may be None."""
    reached = reached_domain(cell, inputs=Inputs.box(-1.0, 1.0), box=box)
    return None if reached is None else by_metric(cell, reached)


def any_metric(cell, box):
    """Return whether a full metric certifies all states, or those from zero."""
    return by_metric(cell, box) is not None or by_metric_from_zero(cell, box) is not None


def told(c):
    return "   none" if c is None else f"{c.lam:7.4f}"


def dense(n, bias, scale, kind="lstm"):
    """Return the cell of seed n with weights scale / sqrt(n) that the tables are about."""
    rng = np.random.default_rng(n)
    W, U = rng.standard_normal((4 * n, n)) / n**0.5, rng.standard_normal((4 * n, 4)) * 0.1
    if kind == "lstm":
        return LSTM(scale * W, U, np.repeat([0.0, bias, 0.0, 0.0], n))
    if kind == "leaky":
        return EchoStateNetwork(scale * W[:n], U[:n], leak=np.linspace(0.1, 0.9, n))
    variant = {"gru": "reset_after", "gru, reset before": "reset_before"}[kind]
    return GRU(scale * W[: 3 * n], U[: 3 * n], np.repeat([0.0, bias, 0.0], n), variant=variant)


#: n, forget bias, scale, and the rate that a prototype in floats had in the Euclidean norm.
TABLE = (
    (8, 0, 0.2, 0.811), (8, -2, 0.4, 0.511), (32, -2, 0.2, 0.363), (32, -2, 0.3, 0.601),
    (64, 0, 0.1, 0.794), (64, -2, 0.1, 0.263), (64, -2, 0.2, 0.460), (128, 0, 0.1, 0.902),
    (128, -2, 0.1, 0.289), (128, -2, 0.2, 0.814), (64, -2, 0.3, 0.835), (64, 0, 0.15, np.nan),
    (64, 0, 0.2, np.nan), (8, -2, 0.6, 0.730),
)  # fmt: skip


def metrics(largest):
    """Print the same in full metrics, of cells up to a size."""
    print("    n  bias  scale  euclidean     metric  from zero     metric   CPU seconds of metrics")
    for n, bias, scale, _ in TABLE:
        if n > largest:
            continue
        cell = dense(n, bias, scale)
        box = invariant_domain(cell, inputs=Inputs.box(-1.0, 1.0))
        _, ours = both(cell, box)
        zero = from_zero(cell, box)
        began = time.process_time()
        full = by_metric(cell, box)
        middle = time.process_time()
        of_zero = by_metric_from_zero(cell, box)
        took, more = middle - began, time.process_time() - middle
        print(f"{n:5d} {bias:5d} {scale:6.2f}  {told(ours):>9}  {told(full):>9}  {told(zero):>9}  "
              f"{told(of_zero):>9}   {took:.2f}  ({more:.2f})", flush=True)  # fmt: skip


def table():
    print("    n  bias  scale  entrywise  euclidean  from zero  prototype   CPU seconds (of zero)")
    for n, bias, scale, prototype in TABLE:
        cell = dense(n, bias, scale)
        began = time.process_time()
        box = invariant_domain(cell, inputs=Inputs.box(-1.0, 1.0))
        entrywise, ours = both(cell, box)
        middle = time.process_time()
        zero = from_zero(cell, box)
        took, more = middle - began, time.process_time() - middle
        print(f"{n:5d} {bias:5d} {scale:6.2f}  {told(entrywise):>9}  {told(ours):>9}  "
              f"{told(zero):>9}  {prototype:9.3f}   {took:.2f}  ({more:.2f})")  # fmt: skip


def scales(sizes, steps=7):
    """Print the largest scale of dense weights that is certified, to a factor of 2^(1 / 64)."""
    print("largest certified scale     entrywise  euclidean  from zero  quotients")
    for n in sizes:
        for kind in ("lstm", "gru", "gru, reset before", "leaky"):
            found = []
            for which in (0, 1, 2):
                low, high = 2.0**-8, 2.0
                for _ in range(steps + 2):
                    middle = (low * high) ** 0.5
                    cell = dense(n, -2.0, middle, kind)
                    box = invariant_domain(cell, inputs=Inputs.box(-1.0, 1.0))
                    c = (by_comparison, by_multipliers, from_zero)[which](cell, box)
                    low, high = (low, middle) if c is None else (middle, high)
                found.append(low)
            print(f"  {kind:<18} n = {n:4d}  {found[0]:9.4f}  {found[1]:9.4f}  {found[2]:9.4f}"
                  f"  {found[1] / found[0]:8.2f} {found[2] / found[0]:8.2f}")  # fmt: skip


def euclidean_times(sizes):
    print("Euclidean certificates, CPU seconds")
    for n in sizes:
        for kind, scale in (("lstm", 1.6), ("gru", 1.6), ("gru, reset before", 1.6)):
            cell = dense(n, -2.0, scale / n**0.5, kind)
            began = time.process_time()
            box = invariant_domain(cell, inputs=Inputs.box(-1.0, 1.0))
            c = by_multipliers(cell, box)
            found = time.process_time() - began
            if c is None:
                print(f"  {kind:<18} n = {n:4d}  found nothing in {found:.2f} s")
                continue
            text = json.dumps(certificate_to_dict(cell, c))
            began = time.process_time()
            accepted = recheck(certificate_from_dict(json.loads(text)), cell).accepted
            took = time.process_time() - began
            print(f"  {kind:<18} n = {n:4d}  rate {c.lam:.4f} in {found:.2f} s, file of "
                  f"{len(text) / 1e6:.2f} MB, checked in {took:.2f} s: {accepted}")  # fmt: skip


def counts(models, seed):
    rng = np.random.default_rng(seed)
    certified = dict.fromkeys(
        ("published", "gate norms", "delta iss", "comparison", "euclidean", "either", "or zero"), 0
    )
    certified |= {"or metric": 0}
    ratios, gains = [], []
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
        pair = both(cell, box)
        certified["euclidean"] += pair[1] is not None
        certified["either"] += any(c is not None for c in pair)
        known = any(c is not None for c in (*pair, from_zero(cell, box)))
        certified["or zero"] += known
        certified["or metric"] += known or any_metric(cell, box)
        if all(c is not None for c in pair):
            gains.append(pair[1].lam / pair[0].lam)
        made = gate_bound_matrix(cell, input_bound=1.0)
        if made is not None:
            ratios.append(radius(cell.comparison(box)[0]) / radius(made[0]))
    print(f"LSTM, {models} models: {certified}, median rho(M) / rho(M_2) {np.median(ratios):.3f}")
    print(f"  rates, euclidean / comparison: median {np.median(gains):.3f}, least {min(gains):.3f}")
    found = np.zeros(6, int)
    for _ in range(models):
        cell = random_gru(rng)
        box = invariant_domain(cell, inputs=Inputs.box(-1.0, 1.0))
        pair = both(cell, box)
        has = [c is not None for c in (by_delta_iss(cell, box), *pair)]
        either = has[1] or has[2]
        known = either or from_zero(cell, box) is not None
        found += [*has, either, known, known or any_metric(cell, box)]
    names = "delta iss, comparison, euclidean, either, or zero, or metric"
    print(f"GRU, {models} models: {names}: {found.tolist()}")


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
    parser.add_argument("--scales", type=int, nargs="*", default=[64, 256])
    parser.add_argument("--metric", type=int, default=32, help="largest cell given a full metric")
    given = parser.parse_args()
    table()
    metrics(given.metric)
    euclidean_times(given.sizes)
    scales(given.scales)
    times(given.sizes, given.seed, given.rounds)
    if given.models:
        counts(given.models, given.seed)


if __name__ == "__main__":
    main()
