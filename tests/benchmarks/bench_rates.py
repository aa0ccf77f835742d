"""Local rates along T = 2000 steps, and where applying Jacobians beats forming their products.

Wanted at n = 128 units: all products of a sequence of T = 2000 in at most 20 seconds.
"""

from __future__ import annotations

import numpy as np
from paired import paired, seconds

from theory import GRU, LSTM, EchoStateNetwork, Map, VanillaRNN, WeightedL2
from theory.measure import jacobians as rates
from theory.measure import local_rates

T, N, M = 2000, 128, 8


def maps(rng: np.random.Generator, n: int) -> dict[str, Map]:
    def of(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape) / np.sqrt(n if shape[-1] == n else 1)

    return {
        "RNN": VanillaRNN(of(n, n), of(n, M), of(n)),
        "ESN": EchoStateNetwork(of(n, n), of(n, M), of(n), leak=0.5),
        "GRU": GRU(of(3 * n, n), of(3 * n, M), of(3 * n), of(n)),
        "LSTM": LSTM(of(4 * n, n), of(4 * n, M), of(4 * n)),
    }


def target(rng: np.random.Generator) -> None:
    X = rng.standard_normal((T, M))
    print(f"every product of r Jacobians, T = {T}, {N} units (wanted 20 s at most)")
    for name, model in maps(rng, N).items():
        line = []
        for r in (1, 5, 20):
            local_rates(model, X[: r + 2], r=r)
            line.append(f"r = {r}: {seconds(lambda r=r, m=model: local_rates(m, X, r=r)):5.1f} s")
        P = WeightedL2(np.diag(np.linspace(1.0, 2.0, model.state_dim)) + 0.1 / model.state_dim)
        took = seconds(lambda m=model, P=P: local_rates(m, X, r=1, norm=P))
        print(f"  {name:5s} {'   '.join(line)}   r = 1 in L2,P: {took:.1f} s")


def crossover(rng: np.random.Generator) -> None:
    print("forming products against applying Jacobians (time of the first / of the second)")
    chosen = rates.DENSE_DIM
    for r in (1, 3, 10):
        line = []
        for n in (4, 8, 16, 32, 48, 64):
            model, X = maps(rng, n)["RNN"], rng.standard_normal((100 + r, M))

            def run(dim: int, model=model, X=X, r=r) -> None:
                rates.DENSE_DIM = dim
                local_rates(model, X, r=r)

            ratio = paired(lambda run=run: run(0), lambda run=run: run(10**9), 5)[2]
            line.append(f"n={n}: {ratio:5.2f}{'*' if n <= chosen else ' '}")
        print(f"  r = {r:3d}  " + "  ".join(line))
    rates.DENSE_DIM = chosen
    print("  (* where the library forms them)")


if __name__ == "__main__":
    generator = np.random.default_rng(0)
    target(generator)
    crossover(generator)
