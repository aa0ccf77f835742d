"""Recurrent simulation against the plain NumPy loop over `map.step`.

Wanted: at least 4 times faster at n = 8 and n = 32, not slower at n = 256.
"""

from __future__ import annotations

import numpy as np
from paired import paired

from theory import VanillaRNN
from theory.kernels import simulate as affine


def main() -> None:
    rng = np.random.default_rng(0)
    print("recurrent simulation, T = 2000, m = 8, tanh, float64")
    for n, wanted in ((8, 4.0), (32, 4.0), (64, None), (128, None), (256, 1.0)):
        recurrent = VanillaRNN(
            rng.standard_normal((n, n)) * 0.9 / np.sqrt(n),
            rng.standard_normal((n, 8)),
            rng.standard_normal(n),
        )
        X = rng.standard_normal((2000, 8))

        def loop(recurrent=recurrent, X=X, n=n):
            h, H = np.zeros(n), np.empty((len(X), n))
            for t in range(len(X)):
                h = recurrent.step(h, X[t])
                H[t] = h
            return H

        a, b, ratio = paired(lambda recurrent=recurrent, X=X: recurrent.simulate(X), loop)
        target = "" if wanted is None else f"   (wanted {wanted:g})"
        print(
            f"  n = {n:3d}: {a * 1e3:8.2f} ms, loop {b * 1e3:8.2f} ms, ratio {ratio:6.2f}{target}"
        )
    print("batches: time of the kernel, one sequence after another / time of a product a step")
    chosen = affine.LARGE_STEP
    for n in (8, 32, 64, 128, 256, 512):
        recurrent = VanillaRNN(
            rng.standard_normal((n, n)) * 0.9 / np.sqrt(n), rng.standard_normal((n, 8))
        )
        line = []
        for batch in (1, 2, 4, 8, 16, 64):
            X = rng.standard_normal((batch, 200, 8))

            def run(least: int, recurrent=recurrent, X=X) -> None:
                affine.LARGE_STEP = least
                recurrent.simulate(X)

            ratio = paired(lambda run=run: run(1), lambda run=run: run(10**9), 5)[2]
            line.append(f"{batch}: {ratio:5.2f}{'*' if batch * n >= chosen else ' '}")
        print(f"  n = {n:3d}  " + "  ".join(line))
    affine.LARGE_STEP = chosen
    print("  (* where the library chooses the product)")


if __name__ == "__main__":
    main()
