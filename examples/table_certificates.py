r"""Cell by cell: how many random maps are certified, how many refuted, and how far both are apart.

Theorems shown: `contractive_of_multipliers`, `contractive_of_sectors`, `contractive_of_comparison`,
`contractive_of_incremental_lmi`, `contractive_of_leak`, `contractive_of_layers`.

Each map has 1 to 8 units, 1 to 3 inputs in [-1, 1], and Gaussian weights of a size drawn
log-uniformly around where certificates end.  `judge_contraction` answers at its default effort.  A
map that has a certificate has contracted; one that is refuted never forgets (two fixed points or
cycles, proved) or has a Jacobian, or a product of several, of spectral radius 1 at states and
inputs in question: no norm certifies one step.  The gap is the certified rate over what no norm can
beat; it is not known of maps that are certified on what is reached from zero only.  Beside it how
many of the same maps conditions of the literature certify, as computed in doubles:

    Miller and Hardt   |W|_2 < 1 of a tanh network; the published set of an LSTM
    Jaeger             1 - a + a |W|_2 < 1 of a leaky network of one leaking rate a
    delta ISS          of Terzi, Bonassi, Farina and Scattolini for LSTM and GRU
    symmetric          of Gokhale, Proskurnikov, Kawano and Bullo for symmetric weights and slopes
                       in [0, 1]: no eigenvalue of W is 1 or more, and of its steps
                       1 - a + a min(lambda, 0) > -1

What the eye should see: `missed` is 0, no condition holds of a map that has no certificate here;
and of symmetric weights the closed form, which is exact, holds of as many as are certified.

Run   python examples/table_certificates.py
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import Any

import _results
import numpy as np
from numpy.typing import NDArray

from theory import (
    GRU,
    LSTM,
    RGLRU,
    SLSTM,
    Cascade,
    DiagonalSSM,
    EchoStateNetwork,
    HardGRU,
    Inputs,
    Map,
    MinGRU,
    PeepholeLSTM,
    SelectiveSSM,
    VanillaRNN,
)
from theory.certify import invariant_domain, judge_contraction
from theory.certify.gated import by_delta_iss
from theory.theorems.contractive_of_gate_norms import gate_norms

Draw = np.random.Generator
Weights = Callable[..., NDArray[np.float64]]

COLUMNS = (
    "cell", "maps", "certified", "from_zero", "refuted", "never_forgets", "unknown", "gaps_known",
    "gap_median", "gap_90", "miller_hardt", "jaeger", "delta_iss", "symmetric", "missed",
    "seconds_a_map",
)  # fmt: skip
CONDITIONS = COLUMNS[10:14]
MAPS = {"small": 2, "paper": 100}

#: Inputs in question.
UNIT = Inputs.box(-1.0, 1.0)

#: Decimal exponents of the size of weights: where few maps are left that contract, and where few
#: are that do not.
SIZES = {"tanh": (-1.0, 0.5), "leaky": (-1.0, 0.5), "gated": (-2.0, 0.3)}


def symmetric(W: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the symmetric part."""
    return (W + W.T) / 2


def diagonal(rng: Draw, w: Weights, n: int, m: int) -> Map:
    """Return a layer of complex modes, some of which may be outside of the unit circle."""
    modes = rng.uniform(0.5, 1.02, n) * np.exp(1j * rng.uniform(0, math.pi, n))
    return DiagonalSSM(modes, w(n, m))


def stack(rng: Draw, w: Weights, n: int, m: int) -> Map:
    """Return two layers of one gated kind."""
    kind, rows = ((LSTM, 4), (GRU, 3))[int(rng.integers(2))]
    widths = (m, n)
    return Cascade([kind(w(rows * n, n), w(rows * n, k), w(rows * n)) for k in widths])


#: By cell: whose sizes of weights, and how a map is made of weights w(rows, columns), whose entries
#: have the size over sqrt(n) where they multiply the state.
CELLS: dict[str, tuple[str, Callable[[Draw, Weights, int, int], Map]]] = {
    "vanilla, tanh": ("tanh", lambda _, w, n, m: VanillaRNN(w(n, n), w(n, m), w(n))),
    "leaky": (
        "leaky",
        lambda rng, w, n, m: EchoStateNetwork(
            w(n, n), w(n, m), w(n), leak=float(rng.uniform(0.02, 0.9))
        ),
    ),
    "leaky, a rate for each unit": (
        "leaky",
        lambda rng, w, n, m: EchoStateNetwork(
            w(n, n), w(n, m), w(n), leak=rng.uniform(0.02, 0.9, n)
        ),
    ),
    "leaky, symmetric": (
        "leaky",
        lambda rng, w, n, _: EchoStateNetwork(
            symmetric(w(n, n)), np.eye(n), leak=float(rng.uniform(0.02, 0.2))
        ),
    ),
    "LSTM": ("gated", lambda _, w, n, m: LSTM(w(4 * n, n), w(4 * n, m), w(4 * n))),
    "peephole LSTM": (
        "gated",
        lambda _, w, n, m: PeepholeLSTM(w(4 * n, n), w(4 * n, m), w(4 * n), w(3 * n)),
    ),
    "GRU, reset after": (
        "gated",
        lambda _, w, n, m: GRU(w(3 * n, n), w(3 * n, m), w(3 * n), w(n), variant="reset_after"),
    ),
    "GRU, reset before": (
        "gated",
        lambda _, w, n, m: GRU(w(3 * n, n), w(3 * n, m), w(3 * n), variant="reset_before"),
    ),
    "hard GRU": ("gated", lambda _, w, n, m: HardGRU(w(3 * n, n), w(3 * n, m), w(3 * n))),
    "minGRU": ("gated", lambda _, w, n, m: MinGRU(w(2 * n, m), w(2 * n))),
    "RG-LRU": ("gated", lambda _, w, _n, m: RGLRU(w(2 * m, m), w(m), w(2 * m))),
    "diagonal SSM": ("gated", diagonal),
    "selective SSM": (
        "gated",
        lambda _, w, n, m: SelectiveSSM(np.exp(w(m, n)), w(m, m), w(n, m), w(m), w(n)),
    ),
    "sLSTM, no W": ("gated", lambda _, w, n, m: SLSTM(np.zeros((4 * n, n)), w(4 * n, m), w(4 * n))),
    "stack of two gated": ("gated", stack),
}


def drawn(rng: Draw, cell: str) -> Map:
    """Return a random map of a cell."""
    sizes, make = CELLS[cell]
    n, m = int(rng.integers(1, 9)), int(rng.integers(1, 4))
    size = 10.0 ** rng.uniform(*SIZES[sizes])

    def weights(*shape: int) -> NDArray[np.float64]:
        of_state = len(shape) == 2 and shape[1] == n
        return size * rng.standard_normal(shape) / (math.sqrt(n) if of_state else 1.0)

    return make(rng, weights, n, m)


def conditions(cell: str, model: Map) -> dict[str, bool]:
    """Return the conditions of the literature that are about a map, and whether they hold."""
    found: dict[str, bool] = {}
    if isinstance(model, VanillaRNN):
        found["miller_hardt"] = bool(np.linalg.norm(model.W, 2) < 1)
    if isinstance(model, LSTM):
        found["miller_hardt"] = gate_norms(**model.parameters, input_bound=1.0).published
    if isinstance(model, LSTM | GRU):
        box = invariant_domain(model, inputs=UNIT)
        found["delta_iss"] = box is not None and by_delta_iss(model, box) is not None
    if isinstance(model, EchoStateNetwork) and cell != "leaky, a rate for each unit":
        found["jaeger"] = bool(np.linalg.norm(model.W, 2) < 1)
    if isinstance(model, EchoStateNetwork) and cell == "leaky, symmetric":
        a, values = float(np.ravel(model.leak)[0]), np.linalg.eigvalsh(model.W)
        found["symmetric"] = bool(values[-1] < 1 and 1 - a + a * min(values[0], 0.0) > -1)
    return found


def row(cell: str, models: list[Map]) -> tuple[Any, ...]:
    """Return the row of a cell."""
    count = dict.fromkeys(("certified", "refuted", "unknown"), 0)
    held: dict[str, int] = {}
    from_zero = never = missed = 0
    gaps: list[float] = []
    began = time.process_time()
    for model in models:
        found = judge_contraction(model, inputs=UNIT)
        count[found.answer] += 1
        c, refutation = found.contraction, found.refutation
        if c is not None:
            from_zero += c.domain is not None and c.domain.reached is not None
            gaps += [found.gap] if math.isfinite(found.gap) else []
        never += refutation is not None and refutation.never_forgets
        for name, holds in conditions(cell, model).items():
            held[name] = held.get(name, 0) + holds
            missed += holds and c is None
    seconds = (time.process_time() - began) / len(models)
    spread = [float(np.quantile(gaps, q)) for q in (0.5, 0.9)] if gaps else ["", ""]
    return (
        cell, len(models), count["certified"], from_zero, count["refuted"], never,
        count["unknown"], len(gaps), *spread, *(held.get(name, "") for name in CONDITIONS),
        missed, seconds,
    )  # fmt: skip


def data(count: int, seed: int = 0) -> list[tuple[Any, ...]]:
    """Return rows of `COLUMNS`, one for each cell."""
    rows = []
    for number, cell in enumerate(CELLS):
        rng = np.random.default_rng([seed, number])
        rows.append(row(cell, [drawn(rng, cell) for _ in range(count)]))
        print(*rows[-1], flush=True)
    return rows


def main(argv: list[str] | None = None) -> int:
    """Write the table."""
    chosen = _results.options(
        __doc__, argv, maps={"type": int, "help": "how many of each cell"},
        seed={"type": int, "default": 0},
    )  # fmt: skip
    began = time.process_time()
    rows = data(chosen.maps or MAPS[chosen.size], chosen.seed)
    seconds = time.process_time() - began
    _results.show(rows, COLUMNS)
    _results.write(
        rows, COLUMNS, chosen.out, "table_certificates", argv, seeds=[chosen.seed], seconds=seconds
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
