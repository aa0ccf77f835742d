"""Gated maps against PyTorch: simulation, and the all-k truncation sweep with its peak memory.

Wanted, float64, T = 2000: one sequence at n = 16 and n = 64 at least 3 times faster than
`torch.nn.LSTM` in inference mode, at n = 256 and for 64 sequences at n = 64 not slower; the sweep
at n = 128, k_max = 64 at least 1.3 times faster than `torch.nn.LSTM` on unfolded windows, in a
tenth of its memory.  Both sides run once with one thread and once with their own default.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from paired import paired

from theory import GRU, LSTM, DiagonalSSM, EchoStateNetwork, SelectiveSSM, truncation_gaps

T, M, K = 2000, 8, 64
CASES = ((16, 1, 3.0), (64, 1, 3.0), (256, 1, 1.0), (64, 64, 1.0))
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def both(kind: str, n: int) -> tuple[Any, Any]:
    """Return a map and the PyTorch module of the same weights."""
    import torch

    torch.manual_seed(n)
    if kind == "LSTM":
        module = torch.nn.LSTM(M, n, batch_first=True, dtype=torch.float64)
    else:
        module = torch.nn.GRU(M, n, batch_first=True, dtype=torch.float64)
    weights = {name: value.detach().numpy() for name, value in module.named_parameters()}
    W, U = weights["weight_hh_l0"], weights["weight_ih_l0"]
    b, b_h = weights["bias_ih_l0"].copy(), weights["bias_hh_l0"]
    if kind == "LSTM":
        return LSTM(W, U, b + b_h), module
    b[: 2 * n] += b_h[: 2 * n]
    return GRU(W, U, b, b_h[2 * n :]), module


def simulation(rng: np.random.Generator) -> None:
    import torch

    for kind in ("LSTM", "GRU"):
        print(f"  {kind}, simulation")
        for n, batch, wanted in CASES:
            cell, module = both(kind, n)
            X = rng.standard_normal((batch, T, M))
            x = torch.from_numpy(X)

            def theirs(module=module, x=x):
                with torch.inference_mode():
                    return module(x)[0]

            H = cell.simulate(X) @ cell.output_map.T
            difference = np.max(np.abs(H - theirs().numpy()))
            a, b, ratio = paired(lambda cell=cell, X=X: cell.simulate(X), theirs)
            target = f"   (wanted {wanted:g})" if kind == "LSTM" else ""
            print(
                f"    n = {n:3d}, batch {batch:2d}: {a * 1e3:8.2f} ms, torch {b * 1e3:8.2f} ms, "
                f"ratio {ratio:6.2f}{target}; they differ by {difference:.1e}"
            )


def sweeps(n: int = 128) -> tuple[Any, Any]:
    """Return the sweep and what PyTorch does instead, as functions of (T,)."""
    import torch

    cell, module = both("LSTM", n)
    X = np.random.default_rng(1).standard_normal((T, M))

    def ours(steps: int = T):
        return truncation_gaps(cell, X[:steps], k_max=K)

    def theirs(steps: int = T):
        # one run over all full windows gives every k: output k - 1 of a window restarted k ago
        with torch.inference_mode():
            x = torch.from_numpy(X[:steps])
            H = module(x[None])[0][0]
            out = module(x.unfold(0, K, 1).transpose(1, 2))[0]
            return [
                float((out[:, k - 1] - H[k - 1 : steps - K + k]).norm(dim=1).max())
                for k in range(1, K + 1)
            ]

    return ours, theirs


def largest_size() -> int:
    """Return the largest resident size of this process so far, in bytes (Linux)."""
    # not getrusage: what it says is inherited from the process that started this one
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def peak(which: str) -> None:
    """Print by how many bytes a sweep raises the largest size of this process."""
    run = sweeps()[0 if which == "ours" else 1]
    run(2 * K)  # whatever is loaded or compiled on the first call
    before = largest_size()
    run()
    print(largest_size() - before)


def sweep() -> None:
    ours, theirs = sweeps()
    a, b, ratio = paired(ours, theirs, 5)
    print(f"  LSTM, all-k sweep, n = 128, k_max = {K}")
    print(f"    {a:.3f} s, torch on unfolded windows {b:.3f} s, ratio {ratio:.2f}   (wanted 1.3)")
    own, other = (
        int(subprocess.check_output([sys.executable, __file__, "--peak", which]))
        for which in ("ours", "theirs")
    )
    print(
        f"    peak extra memory {own / 1e6:.0f} MB, torch {other / 1e6:.0f} MB, "
        f"share {own / other:.3f}   (wanted 0.1 at most)"
    )


def others(rng: np.random.Generator) -> None:
    """Print what a step of the other maps costs; there is no competitor."""
    print("  other maps, one sequence")
    n = 64
    V = rng.standard_normal
    maps = (
        EchoStateNetwork(V((n, n)) / n, V((n, M)), leak=0.3),
        DiagonalSSM(np.exp(-0.1 + 1j * V(n)), V((n, M))),
        SelectiveSSM(np.exp(V((M, n // M))), V((M, M)), V((n // M, M)), b_step=V(M)),
    )
    X = V((T, M))
    for recurrent in maps:
        h0 = np.zeros(recurrent.state_dim)

        def loop(recurrent=recurrent, h=h0):
            for x in X:
                h = recurrent.step(h, x)

        a, b, ratio = paired(lambda recurrent=recurrent: recurrent.simulate(X), loop, 3)
        print(f"    {recurrent!r}: {a * 1e3:.2f} ms, loop {b * 1e3:.1f} ms, ratio {ratio:.0f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--peak", choices=("ours", "theirs"))
    parser.add_argument("--threads", help="'1' or 'default', in this process")
    given = parser.parse_args()
    try:
        import torch
    except ImportError:
        print("PyTorch is not installed: pip install torch, or make bench-torch")
        return
    if given.peak:
        peak(given.peak)
        return
    if given.threads is None:
        for threads in ("1", "default"):
            # thread pools are sized when the libraries are loaded
            chosen = dict.fromkeys(THREADS, "1") if threads == "1" else {}
            kept = {name: value for name, value in os.environ.items() if name not in THREADS}
            command = [sys.executable, __file__, "--threads", threads]
            subprocess.run(command, env={**kept, **chosen}, check=True)
        return
    rng = np.random.default_rng(0)
    print(f"T = {T}, m = {M}, float64, threads: {given.threads} (torch {torch.get_num_threads()})")
    simulation(rng)
    sweep()
    others(rng)


if __name__ == "__main__":
    main()
