"""`effective_memory` against the plain sweep of every sequence, on fast and slow models.

Wanted: 800 sequences of 200 steps, an LSTM of 32 units, 5.5 times faster (22 s to 4 s when it was
asked); single precision at least 1.7 times faster than double.  The whole number of sequences is an
argument; the default is a twentieth.
"""

from __future__ import annotations

import sys

import numpy as np
from paired import paired

from theory import GRU, LSTM, Map, VanillaRNN
from theory.measure.errors import errors_of
from theory.measure.gaps import sweep_all
from theory.measure.jobs import Job
from theory.norms import L2

SHARE = 20


def plain(model: Map, X: np.ndarray, k_max: int) -> np.ndarray:
    """Return the errors by the sweep over all starts of one sequence after the other."""
    errors = np.zeros((k_max + 1, len(X)))
    whole = np.array_equal(model.output_map, np.eye(model.state_dim))
    for i, x in enumerate(X):

        def keep(_: int, k: int, row: np.ndarray, i: int = i) -> None:
            errors[k, i] = np.max(row)

        C = None if whole else model.output_map
        sweep_all(model, x, k_max, L2(), None, None, None, keep, output=C)
    return errors


def models(rng: np.random.Generator) -> list[tuple[str, Map, tuple[int, int, int]]]:
    def lstm(n: int, m: int, forget: float = 0.0, scale: float = 1.0) -> LSTM:
        s = scale / np.sqrt(n)
        b = rng.uniform(-s, s, 4 * n)
        b[n : 2 * n] += forget
        return LSTM(rng.uniform(-s, s, (4 * n, n)), rng.uniform(-s, s, (4 * n, m)), b)

    gru = GRU(rng.normal(size=(192, 64)) / 8, rng.normal(size=(192, 8)) / 8)
    W = rng.normal(size=(16, 16))
    small = VanillaRNN(0.8 * W / np.linalg.norm(W, 2), rng.normal(size=(16, 8)))
    return [
        ("LSTM 32", lstm(32, 8), (800, 200, 256)),
        ("LSTM 32, forget bias 3", lstm(32, 8, 3.0), (800, 200, 256)),
        ("LSTM 128", lstm(128, 64), (480, 250, 200)),
        ("LSTM 128, forget bias 5", lstm(128, 64, 5.0, 2.0), (480, 250, 200)),
        ("GRU 64", gru, (400, 200, 200)),
        ("RNN 16", small, (800, 200, 256)),
    ]


def main(share: int) -> None:
    rng = np.random.default_rng(0)
    for name, model, (N, T, k_max) in models(rng):
        X = rng.standard_normal((max(2, N // share), T, model.input_dim))
        jobs = [Job(X=x, end=None) for x in X]

        def ours(dtype: str, model=model, jobs=jobs, k_max=k_max) -> np.ndarray:
            C = model.output_map
            return errors_of(model, jobs, k_max, L2(), C, eps=1e-2, dtype=dtype)

        double, before = ours("float64"), plain(model, X, k_max)
        single = ours("float32")
        same = "bit for bit" if np.array_equal(double, before) else (
            f"up to {np.max(np.abs(double - before)):.1e}"
        )  # fmt: skip
        a, b, ratio = paired(
            lambda: ours("float64"), lambda m=model, X=X, k=k_max: plain(m, X, k), 3
        )
        c, _, faster = paired(lambda: ours("float32"), lambda: ours("float64"), 3)
        print(
            f"{name:24s} {len(X)} of {N} x {T}, k_max {k_max}: plain {b * N / len(X):6.1f} s, "
            f"double {a * N / len(X):6.1f} s ({ratio:.2f} times), single {c * N / len(X):6.1f} s "
            f"({faster:.2f} times); as before {same}; single off by "
            f"{np.max(np.abs(single - double)):.1e}, other decisions "
            f"{np.count_nonzero((single > 1e-2) != (double > 1e-2))}"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else SHARE)
