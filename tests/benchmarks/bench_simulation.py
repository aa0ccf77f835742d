"""Recurrent simulation against the plain NumPy loop over `map.step`.

Wanted: at least 4 times faster at n = 8 and n = 32, not slower at n = 256.
"""

from __future__ import annotations

import numpy as np
from paired import paired

from theory import VanillaRNN


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


if __name__ == "__main__":
    main()
