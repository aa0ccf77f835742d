r"""From how far apart deployed models are proved to be brought together by their own inputs.

Models of `deployed.py`, none of which contracts in one step.  Around the states of a run, over its
last k inputs: to which part of itself an infinitesimal set is brought (the product of Jacobians; no
method can prove less), to which part a tube proves that a set of a billionth of the visited range
is, and r*, the largest share of that range from which k steps are proved to leave half of it.  And,
whether sets shrink or not, the largest share that ten steps carry, within the range, at no more
than twice what they make of small sets: beyond it relaxations cost more than the model.

What the eye should see: where the product itself does not shrink, r* is 0 for every method, and a
tube of small sets is hardly wider than the product.

Needs what `deployed.py` needs.

Run   python examples/deployed_radius.py --size small --cache build/packages --out build/examples
"""

from __future__ import annotations

import math
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import _deployed
import _results
import numpy as np
from _deployed import Array

import theory
from theory.memory import critical_radius, reach_tube, visited_ranges
from theory.norms import WeightedLinf

COLUMNS = (
    "model", "states", "steps", "k", "product", "tube", "radius", "after", "ten",
    "ten_proved", "carried", "seconds_a_step",
)  # fmt: skip
SIZES = {
    "small": _deployed.Sizes(count=3, steps=60),
    "paper": _deployed.Sizes(count=8, steps=250),
}

#: Lengths that are tried: the first at which an infinitesimal set shrinks to a quarter is taken.
LENGTHS = (5, 10, 20, 40, 80, 160)
QUARTER = 0.25

#: Steps over which it is asked what a tube carries.
TEN = 10

#: The share of the range that stands for an infinitesimal set.
SMALL = 1e-9


def data(
    size: str = "small",
    *,
    cache: Path,
    families: list[str] | None = None,
    text: Path | None = None,
    seed: int = 0,
) -> list[list[Any]]:
    """Return the rows of the table: of each model on the longest of its sequences."""
    chosen = families or list(_deployed.FAMILIES)
    prose, _ = _deployed.prose([_deployed.fetch(name, cache) for name in chosen], text)
    rows = []
    for name in chosen:
        for model in _deployed.FAMILIES[name](
            cache, prose, SIZES[size], np.random.default_rng(seed)
        ):
            runs = [model.map.simulate(x) for x in model.sequences]
            visited = np.concatenate(runs)
            x = max(model.sequences, key=len)
            row = radius(model.map, x, visited=visited)
            rows.append([model.name, model.map.state_dim, len(x), *row])
            print(", ".join(f"{a} {b}" for a, b in zip(COLUMNS, rows[-1], strict=True)))
    return rows


def radius(recurrent: theory.Map, X: Array, *, visited: Array) -> list[Any]:
    """Return k, what it makes of small sets in truth and as proved, r*, and the time of a step."""
    norm = WeightedLinf(visited_ranges(visited, recurrent.state_dim))
    shrunk = products(recurrent, X, norm)
    lengths = [k for k in LENGTHS if k < len(X)] or [len(X) - 1]
    k = next((k for k in lengths if shrunk[k] <= QUARTER), min(lengths, key=lambda k: shrunk[k]))
    began = time.process_time()
    proved = of_small_sets(recurrent, X, k, norm)
    seconds = (time.process_time() - began) / k
    # a set that is not proved to shrink when it is as small as this is not when it is larger
    found = None if proved > 0.5 else critical_radius(recurrent, X, k=k, visited=visited)
    share, after = (0.0, np.inf) if found is None else (found.share, found.after)
    ten = min(TEN, len(X) - 1)
    small = of_small_sets(recurrent, X, ten, norm)
    carried = share_carried(recurrent, X, ten, norm, 2 * small)
    return [k, shrunk[k], proved, share, after, shrunk[ten], small, carried, seconds]


def share_carried(
    recurrent: theory.Map, X: Array, k: int, norm: WeightedLinf, gain: float
) -> float:
    """Return the largest power of 2 that k steps carry at that gain at most, within the range."""
    low, high = math.floor(math.log2(SMALL)), 0
    while high - low > 1:
        middle = (low + high) // 2
        share = 2.0**middle
        after = share * of_small_sets(recurrent, X, k, norm, share)
        low, high = (middle, high) if after <= min(gain * share, 1.0) else (low, middle)
    return 2.0**low


def of_small_sets(
    recurrent: theory.Map, X: Array, k: int, norm: WeightedLinf, share: float = SMALL
) -> float:
    """Return what k steps are proved to make of a set, over what it was."""
    start = recurrent.simulate(X[: len(X) - k])[-1]
    tube = reach_tube(
        recurrent, X[len(X) - k :], k=k, pasts=start, radius=share * norm.v, known=start
    )
    return float(tube.distance(norm)[-1]) / share


def products(recurrent: theory.Map, X: Array, norm: WeightedLinf) -> Array:
    """Return the sizes of the products of the last k Jacobians along a run, k = 0 .. T - 1."""
    H = recurrent.simulate(X)
    # from the last step backwards: rows weighted by 1 / range, columns by the range
    P = np.diag(1.0 / norm.v)
    sizes = [1.0]
    for t in range(len(X) - 1, 0, -1):
        P = P @ recurrent.jacobian_state(H[t - 1], X[t])
        sizes.append(float(np.max(np.abs(P) @ norm.v)))
    return np.array(sizes)


def main(argv: list[str] | None = None) -> int:
    """Fetch and read the models; write the table."""
    options = _deployed.options(__doc__, argv)
    began = time.perf_counter()
    try:
        rows = data(
            options.size,
            cache=options.cache,
            families=options.models,
            text=options.text,
            seed=options.seed,
        )
    except (ImportError, FileNotFoundError, subprocess.CalledProcessError) as error:
        print(f"nothing to show: {error}")
        return 0
    seconds = time.perf_counter() - began
    _results.write(
        rows, COLUMNS, options.out, "deployed_radius", argv, seeds=[options.seed], seconds=seconds
    )
    _results.show(rows, COLUMNS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
