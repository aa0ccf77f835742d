"""The all-k truncation sweep against window-by-window runs and against PyTorch.

Wanted at T = 2000, n = 256, k_max = 64, tanh, float64: 40 times faster than window by window,
1.5 times faster than `torch.nn.RNN` on unfolded windows, peak extra memory at most 6 T n doubles;
at 0.9 of the speed of the matrix products alone, which is measured by itself with `--peak`: those
of the library that NumPy calls, and those of this package, which the sweep is made of.
"""

from __future__ import annotations

import sys
import tracemalloc

import numpy as np
from paired import PROCESSOR, paired, seconds

from theory import GRU, LSTM, VanillaRNN, truncate, truncation_gaps
from theory.kernels.blocks import lined
from theory.kernels.cells import product_rows
from theory.kernels.single import panels
from theory.measure import sweep as gaps

T, N, M, K = 2000, 256, 8, 64


def crossover(rng: np.random.Generator) -> None:
    print("fused kernel against matrix products (time of matrix / time of fused), k_max = 64")
    chosen = gaps.FUSED_DIM
    for steps in (30, 100, 300, 1000):
        line = []
        for n in (1, 2, 4, 8, 16, 32, 48):
            recurrent = VanillaRNN(rng.standard_normal((n, n)) / n, rng.standard_normal((n, 4)))
            X = rng.standard_normal((steps, 4))

            def run(work: int, recurrent=recurrent, X=X) -> None:
                gaps.FUSED_DIM = work
                truncation_gaps(recurrent, X, k_max=K)

            ratio = paired(lambda run=run: run(10**12), lambda run=run: run(0), 5)[2]
            line.append(f"n={n}: {ratio:5.2f}{'*' if n <= chosen else ' '}")
        print(f"  T = {steps:5d}  " + "  ".join(line))
    gaps.FUSED_DIM = chosen
    print("  (* where the library chooses the fused kernel)")


def share_of_peak() -> None:
    """Print how the sweeps compare with their matrix products alone, in processor time."""
    rng = np.random.default_rng(0)
    sizes = ((VanillaRNN, 1, N), (LSTM, 4, 32), (LSTM, 4, 128), (LSTM, 4, N), (GRU, 3, 32))
    for kind, gates, n in (*sizes, (GRU, 3, 64)):
        W = rng.standard_normal((gates * n, n))
        W *= 0.95 / np.linalg.norm(W, 2) if gates == 1 else 1.0 / np.sqrt(n)
        U, b = rng.standard_normal((gates * n, M)), rng.standard_normal(gates * n)
        recurrent = kind(W, U, b)
        X = rng.standard_normal((T, M))
        H, out = rng.standard_normal((T, n)), np.empty((T, gates * n))
        P = panels(W, np.float64)
        block = lined(np.empty((64, P.shape[0] * P.shape[2])))
        rows = [H[lo : lo + 64] for lo in range(0, T - T % 64, 64)]

        def sweep(recurrent=recurrent, X=X) -> None:
            truncation_gaps(recurrent, X, k_max=K)

        def library(H=H, W=W, out=out) -> None:
            for _ in range(K):
                np.matmul(H, W.T, out=out)

        def own(rows=rows, P=P, block=block) -> None:
            for _ in range(K):
                for h in rows:
                    product_rows(h, P, block)

        print(f"  {recurrent}")
        for name, products, steps in (("library", library, T), ("own", own, 64 * len(rows))):
            a, b_s, ratio = paired(sweep, products, 7, PROCESSOR)
            speed = 2e-9 * K * steps * gates * n * n / b_s
            print(
                f"    sweep {a:.3f} s, {K} bare products, {name}: {b_s * T / steps:.3f} s "
                f"({speed:.0f} GFLOP/s), "
                f"{100 * ratio * T / steps:.0f} % of that peak"
            )


def main() -> None:
    print(f"share of the matrix products, T = {T}, k_max = {K}, processor time")
    share_of_peak()
    if "--peak" in sys.argv:
        return
    rng = np.random.default_rng(0)
    W = rng.standard_normal((N, N))
    W *= 0.95 / np.linalg.norm(W, 2)
    recurrent = VanillaRNN(W, rng.standard_normal((N, M)), rng.standard_normal(N))
    X = rng.standard_normal((T, M))
    print(f"all-k sweep, T = {T}, n = {N}, k_max = {K}, tanh, float64")

    def ours():
        return truncation_gaps(recurrent, X, k_max=K)

    ours()
    # the windows of a random sample of end points and lengths, scaled to all of them
    H = recurrent.simulate(X)
    sample = [
        (int(t), int(k))
        for t, k in zip(rng.integers(K, T, 400), rng.integers(1, K + 1, 400), strict=True)
    ]

    def windows():
        for t, k in sample:
            np.linalg.norm(H[t - 1] - recurrent.simulate(X[t - k : t])[-1])

    steps = sum(k for _, k in sample)
    every = sum(k * (T - k) for k in range(1, K + 1))
    a, b, ratio = paired(ours, windows, 5)
    print(
        f"  sweep {a:.3f} s; window by window {b * every / steps:.1f} s "
        f"(from {steps} of {every} steps), ratio {ratio * every / steps:.0f}   (wanted 40)"
    )

    def by_length():
        for k in range(K + 1):
            np.linalg.norm(truncate(recurrent, k)(X) - H, axis=1).max()

    b = seconds(by_length)
    print(f"  each k by its own parallel model: {b:.2f} s, ratio {b / seconds(ours):.1f}")

    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    ours()
    peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    print(f"  peak extra memory {peak / (T * N * 8):.2f} T n doubles   (wanted 6 at most)")

    try:
        import torch
    except ImportError:
        print("  PyTorch is not installed: pip install torch, or make bench-torch")
    else:
        network = torch.nn.RNN(M, N, batch_first=True, dtype=torch.float64)
        with torch.no_grad():
            network.weight_hh_l0.copy_(torch.from_numpy(recurrent.W.copy()))
            network.weight_ih_l0.copy_(torch.from_numpy(recurrent.U.copy()))
            network.bias_hh_l0.zero_()
            network.bias_ih_l0.copy_(torch.from_numpy(recurrent.b.copy()))

        def theirs():
            # one run over all full windows gives every k: output k - 1 of a window restarted k ago
            with torch.inference_mode():
                x = torch.from_numpy(X)
                H = network(x[None])[0][0]
                out = network(x.unfold(0, K, 1).transpose(1, 2))[0]
                return [
                    float((out[:, k - 1] - H[k - 1 : T - K + k]).norm(dim=1).max())
                    for k in range(1, K + 1)
                ]

        a, b, ratio = paired(ours, theirs, 5)
        print(f"  torch.nn.RNN on unfolded windows {b:.3f} s, ratio {ratio:.2f}   (wanted 1.5)")
    crossover(rng)


if __name__ == "__main__":
    main()
