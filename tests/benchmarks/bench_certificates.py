r"""Rates, times, condition numbers and gaps on Gaussian matrices of spectral norm 1.2.

Run ``python tests/benchmarks/bench_certificates.py --help``; nothing here passes or fails.  Set
OPENBLAS_NUM_THREADS=1 on a machine that is shared: the small factorisations of the search otherwise
spend their time waiting for each other.
"""

import argparse
import math
import resource
import time
import warnings

import numpy as np

from theory import VanillaRNN, contraction
from theory.certify import lmi
from theory.certify.certificate_file import certificate_from_dict, certificate_to_dict
from theory.certify.jsr import joint_spectral_radius, rate_lower
from theory.certify.methods import EFFORTS
from theory.certify.recheck import recheck
from theory.certify.trade import trade_offs
from theory.norms import L2, over


def gaussian(n, seed):
    W = np.random.default_rng(seed).standard_normal((n, n))
    return VanillaRNN(W * (1.2 / np.linalg.norm(W, 2)), np.eye(n))


def timed(function):
    """Return a value, the seconds it took, and those of the processor alone.

    On a machine that is shared the first says how long one waits, the second what it costs.
    """
    began, busy = time.perf_counter(), time.process_time()
    value = function()
    return value, time.perf_counter() - began, time.process_time() - busy


def table(sizes, seed):
    print(f"{'n':>5} {'method':>17} {'rate':>10} {'lower':>10} {'gap':>7} {'sqrtcond':>8} "
          f"{'search':>9} {'(cpu)':>9} {'recheck':>8} {'lower bound':>11} {'peak':>9}")  # fmt: skip
    for n in sizes:
        one = gaussian(n, seed)
        lower, below, _ = timed(lambda one=one: rate_lower(one))
        for method in ("numerical_radius", "lmi") if n <= 512 else ("numerical_radius",):
            c, seconds, busy = timed(lambda one=one, method=method: contraction(one, method=method))
            if c is None:
                print(f"{n:5d} {method:>17} none below 1, no norm below {lower.rate:.6f}")
                continue
            stored = certificate_from_dict(certificate_to_dict(one, c))
            again = min(
                timed(lambda stored=stored, one=one: recheck(stored, one))[1] for _ in range(3)
            )
            assert recheck(stored, one)
            price = over(L2(), c.norm, n=n) * over(c.norm, L2(), n=n)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            print(f"{n:5d} {method:>17} {c.lam:10.6f} {lower.rate:10.6f} "
                  f"{c.lam / lower.rate:7.4f} {price:8.3f} {seconds:8.2f}s {busy:8.2f}s "
                  f"{again:7.3f}s {below:10.2f}s {peak:6.2f}GiB", flush=True)  # fmt: skip


def badly_scaled(sizes, seed):
    """Compare the rate of W with those of D^-1 W D, as good where weights are searched for."""
    rng = np.random.default_rng(seed)
    for n in sizes:
        W = gaussian(n, seed).W * 0.75
        plain = contraction(VanillaRNN(W, np.eye(n))).lam
        for span in (1, 8, 60):
            D = 10.0 ** rng.uniform(-span, span, n)
            scaled = VanillaRNN(W / D[:, None] * D, np.eye(n))
            c, seconds, busy = timed(lambda scaled=scaled: contraction(scaled))
            print(f"n = {n}, D within 1e+-{span}: rate {c.lam:.6f} after {plain:.6f} without D "
                  f"({c.lam / plain - 1:+.1e}), {seconds:.2f} s ({busy:.2f} s)")  # fmt: skip


def large(sizes, seed):
    """Time what the default effort certifies, on nn.RNN's own initialisation, with both bounds."""
    for n in sizes:
        W = np.random.default_rng(seed).uniform(-1, 1, (n, n)) / math.sqrt(n)
        one = VanillaRNN(W, np.eye(n))
        lower, below, below_cpu = timed(lambda one=one: rate_lower(one))
        for name in ("numerical_radius", "lmi", "auto"):
            if n > EFFORTS[1].get(name, math.inf):
                continue
            c, seconds, busy = timed(lambda one=one, name=name: contraction(one, method=name))
            print(f"n = {n}, {name}: {c.lam:.6f}, lower {lower.rate:.6f}, gap "
                  f"{c.lam / lower.rate:.4f}; {seconds:.1f} s ({busy:.1f} s), lower bound "
                  f"{below:.1f} s ({below_cpu:.1f} s)", flush=True)  # fmt: skip


def switched():
    """Enclose the joint spectral radii of published sets of matrices."""
    shears = np.array([[[1.0, 1.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]]])
    sets = {
        "two shears, the golden ratio": shears,
        "Gripenberg": np.array([[[3.0, 0.0], [1.0, 3.0]], [[3.0, -3.0], [0.0, -1.0]]]) / 5,
        "Hare, Morris, Sidorov, Theys": shears * np.array([1.0, 0.749326546330367])[:, None, None],
        "ellipsoids off by sqrt(2)": np.array(
            [[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, -1.0]]]
        ),
        "4 Gaussian, n = 5": np.random.default_rng(0).standard_normal((4, 5, 5)),
        "2 Gaussian, n = 20": np.random.default_rng(0).standard_normal((2, 20, 20)),
    }
    for name, A in sets.items():
        found, seconds, busy = timed(lambda A=A: joint_spectral_radius(A))
        print(f"{name}: [{found.lower.rate:.9f}, {found.upper:.9f}], order {found.lower.order}, "
              f"K {found.constant:.3g}, {found.products} products, {seconds:.2f} s "
              f"({busy:.2f} s)")  # fmt: skip


def solver_rate(W, low, high, solver, accuracy, settings):
    """Return the least rate of the matrix inequality by bisection with a conic solver."""
    import cvxpy as cp

    n = len(W)
    # balanced rows and columns: the least rate is the same, and the solver loses fewer digits
    d = np.exp(lmi.starting_weights(W))
    W = W * (d[:, None] / d[None, :])
    P, q, slack = cp.Variable((n, n), symmetric=True), cp.Variable(n), cp.Variable()
    square, Q = cp.Parameter(nonneg=True), cp.diag(q)
    total = np.diag(low + high)
    K = cp.bmat([[square * P + 2 * W.T @ Q @ np.diag(low * high) @ W, -W.T @ Q @ total],
                 [-total @ Q @ W, 2 * Q - P]])  # fmt: skip
    task = cp.Problem(cp.Maximize(slack), [0.5 * (K + K.T) >> slack * np.eye(2 * n),
                                           P >> slack * np.eye(n), cp.trace(P) == n])  # fmt: skip
    below, above = 0.0, 1.01 * float(np.linalg.norm(W, 2))
    while above - below > accuracy * above:
        middle = 0.5 * (below + above)
        square.value = middle**2
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # near the least rate solutions are inaccurate
            task.solve(solver=solver, **settings)
        below, above = (below, middle) if slack.value > 1e-8 else (middle, above)
    return above


def structured(rng, n):
    """Return one of several kinds of matrix of spectral norm 0.6."""
    kind = rng.integers(5)
    G = rng.standard_normal((n, n))
    if kind == 1:
        G = np.triu(G)
    if kind == 2:
        G = G * np.exp(rng.uniform(-2, 2, (n, 1)))
    if kind == 3:
        G = G - 2 * np.eye(n)
    if kind == 4:
        G = np.outer(G[0], G[:, 0]) + 0.1 * G
    return G * (0.6 / np.linalg.norm(G, 2))


def sharpness(count, largest, seed):
    """Compare with the solver; where the solver is above, how far is its own inaccuracy."""
    rng = np.random.default_rng(seed)
    excess, above_lower = [], []
    for i in range(count):
        n = int(rng.integers(2, largest + 1))
        W = structured(rng, n)
        best = solver_rate(W, np.zeros(n), np.ones(n), "CLARABEL", 1e-5, {})
        one = VanillaRNN(W, np.eye(n))
        c = contraction(one, method="lmi")
        excess.append(math.nan if c is None else c.lam / best - 1)
        above_lower.append(c is None or c.lam >= rate_lower(one, length=2, starts=2).rate)
        if not -1e-4 < excess[-1] < 2e-3:
            print(f"matrix {i}, n = {n}: rate {c and c.lam:.8f}, solver {best:.8f}")
    ratios = np.array(excess)
    print(f"sharpness on {count} matrices, n <= {largest}: rate / solver - 1 in "
          f"[{np.nanmin(ratios):.2e}, {np.nanmax(ratios):.2e}], median "
          f"{np.nanmedian(ratios):.2e}, within 2e-3: {np.mean(ratios <= 2e-3):.1%}, "
          f"none found: {np.isnan(ratios).sum()}, never below the rigorous lower bound: "
          f"{all(above_lower)}")  # fmt: skip


def against_first_order_solver(n, seed, accuracy):
    """Run the whole bisection with a first-order conic solver, to an accuracy of the rate."""
    one = gaussian(n, seed)
    c, ours, our_cpu = timed(lambda: contraction(one, method="lmi"))
    rate, theirs, their_cpu = timed(
        lambda: solver_rate(
            one.W, np.zeros(n), np.ones(n), "SCS", accuracy, {"eps": 0.01 * accuracy}
        )
    )
    print(f"n = {n}: ours {c.lam:.6f} in {ours:.2f} s ({our_cpu:.2f} s of processor time), "
          f"SCS bisection to {accuracy:g} {rate:.6f} in {theirs:.1f} s ({their_cpu:.1f} s), "
          f"ratios of times {theirs / ours:.0f} and {their_cpu / our_cpu:.0f}")  # fmt: skip


def eclipse(W, k):
    """Return what ECLipsE-Fast bounds the k-step map by, None without the package eclipse-nn."""
    try:
        import torch
        from eclipse_nn import LipConstEstimator
    except ImportError:
        return None
    layers = [torch.tensor(np.array(W))] * k + [torch.eye(len(W), dtype=torch.float64)]
    # the last layer is linear: an identity behind the k-th activation
    network = LipConstEstimator(weights=layers, alphas=[0.0] * k, betas=[1.0] * k)
    return float(network.estimate("ECLipsE_Fast"))


def unrolled(n, seed):
    """Compare with bounds that treat the k steps as the layers of a network."""
    one = gaussian(n, seed)
    sharpest = contraction(one, method="lmi")
    found, seconds, busy = timed(
        lambda: [sharpest, *trade_offs(one.affine(), sharpest, count=10, dense=64)]
    )
    priced = [(over(L2(), c.norm, n=n) * over(c.norm, L2(), n=n), c.lam) for c in found]
    print(f"n = {n}: {len(found)} rates with their cheapest norms in {seconds:.1f} s "
          f"({busy:.1f} s of processor time)")  # fmt: skip
    for k in (1, 2, 3, 4, 5, 7, 10, 20, 40):
        ours, rate = min((price * lam**k, lam) for price, lam in priced)
        fast = eclipse(one.W, k)
        print(f"n = {n}, seed {seed}, k = {k:2d}: ours {ours:.4g} (rate {rate:.4f}), sharpest "
              f"{priced[0][0] * priced[0][1] ** k:.4g}, layerwise {1.2**k:.4g}, ECLipsE-Fast "
              f"{'not installed' if fast is None else format(fast, '.4g')}")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[8, 16, 32, 64, 256, 1024])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sharpness", type=int, default=0, help="how many matrices to compare")
    parser.add_argument("--largest", type=int, default=16)
    parser.add_argument("--scs", type=int, default=0, help="compare with SCS at this dimension")
    parser.add_argument("--accuracy", type=float, default=1e-3, help="of the SCS bisection")
    parser.add_argument("--scaled", type=int, nargs="*", default=[16, 64])
    parser.add_argument("--large", type=int, nargs="*", default=[256, 257, 512])
    parser.add_argument("--unrolled", type=int, default=64, help="0 for none")
    chosen = parser.parse_args()
    contraction(gaussian(4, 0), method="lmi")  # load everything once
    table(chosen.sizes, chosen.seed)
    badly_scaled(chosen.scaled, chosen.seed)
    large(chosen.large, chosen.seed)
    switched()
    if chosen.unrolled:
        unrolled(chosen.unrolled, chosen.seed)
    if chosen.sharpness:
        sharpness(chosen.sharpness, chosen.largest, chosen.seed)
    if chosen.scs:
        against_first_order_solver(chosen.scs, chosen.seed, chosen.accuracy)


if __name__ == "__main__":
    main()
