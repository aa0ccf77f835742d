"""Tubes along the data: time of a step by kind and size; memory in two stages on trained networks.

Wanted: a rounded zonotope step of an LSTM of 128 units and of a GRU of 256 in at most 50 ms, what
the prototype took; a memory in two stages at most twice the measured one.

The networks are trained here for some seconds on the JSB chorales (`--data`, as in
`examples/tasks.py`), which needs PyTorch; without either the first table is all.  Of each:

- where the tube from the box of all states stops narrowing, and why: the width of its widest unit
  then, over that of the box, and what the product of the Jacobians along the inputs makes of small
  sets by then: where that is small, it is the tube that loses, and else the network;
- r*, the share of the visited ranges from which as many steps are proved to halve a set;
- k_1 + k_2 of `certified_memory`, from half of the least r* or, where that is 0, from 1 %, beside
  the k of `effective_memory`, both over the same sequences.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

import numpy as np
from paired import PROCESSOR, seconds

import theory
from theory.measure import certified_memory, effective_memory
from theory.memory import critical_radius, reach_tube, visited_ranges
from theory.norms import L2

SIZES = (16, 64, 128, 256)
WANTED = {("LSTM", 128): 50.0, ("GRU", 256): 50.0}
M = 8

#: Steps of a tube that is timed, and how often.
STEPS, ROUNDS = 4, 3

#: The share of the visited ranges that a tube starts from where none is chosen.
SHARE = 0.01

#: Units, steps of training, and inputs of a piece: shorter ones are left out, longer ones cut.
UNITS, TRAINED, T = 16, 300, 48

#: Inputs of a tube: the first after which small sets shrink to a quarter, else the last.
WINDOWS, QUARTER = (12, 24), 0.25

#: Sequences that choose window and share, and sequences that are tried.
DESIGN, TUBES = 2, 10

#: Share of the median size of an output that is allowed as error, how often, and how surely.
ALLOWED, PROBABILITY, CONFIDENCE = 0.1, 0.05, 0.95


def kinds(n: int, rng: np.random.Generator) -> dict[str, theory.Map]:
    """Return maps of n units, or of n states where channels have several."""

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape) / np.sqrt(n)

    def gates(count: int, units: int = n, inputs: int = M) -> tuple[np.ndarray, np.ndarray]:
        return normal(count * units, units), normal(count * units, inputs)

    half = n // 2
    return {
        "RNN": theory.VanillaRNN(*gates(1)),
        "leaky": theory.EchoStateNetwork(*gates(1), leak=0.3),
        "LSTM": theory.LSTM(*gates(4)),
        "GRU": theory.GRU(*gates(3)),
        "peephole LSTM": theory.maps.PeepholeLSTM(*gates(4), peepholes=normal(3 * n)),
        "hard GRU": theory.maps.HardGRU(*gates(3)),
        "minGRU": theory.MinGRU(normal(2 * n, M)),
        "selective": theory.SelectiveSSM(
            np.exp(normal(n // 4, 4)), normal(n // 4, n // 4), normal(4, n // 4)
        ),
        "2 GRU of n / 2": theory.Cascade(
            [theory.GRU(*gates(3, half)), theory.GRU(*gates(3, half, half))]
        ),
    }


def times(rng: np.random.Generator) -> None:
    """Print the milliseconds of a step."""
    print(f"a step of a zonotope tube, ms of processor time, from {100 * SHARE:g} % of the range")
    print(f"  {'kind':16s}" + "".join(f"{n:>10d}" for n in SIZES) + "   (wanted)")
    cells: dict[str, list[str]] = {}
    for n in SIZES:
        for name, recurrent in kinds(n, rng).items():
            X = rng.standard_normal((40, recurrent.input_dim))
            H = recurrent.simulate(X)
            start = H[-STEPS - 1]

            def tube(recurrent=recurrent, X=X, H=H, start=start):
                around = SHARE * visited_ranges(H, recurrent.state_dim)
                return reach_tube(recurrent, X, k=STEPS, pasts=start, radius=around, known=start)

            tube()  # what is compiled on the first call
            taken = statistics.median(seconds(tube, PROCESSOR) for _ in range(ROUNDS))
            cells.setdefault(name, []).append(f"{1e3 * taken / STEPS:10.2f}")
    for name, row in cells.items():
        asked = [f"{ms:g} at {n}" for (kind, n), ms in WANTED.items() if kind == name]
        print(f"  {name:16s}" + "".join(row) + (f"   ({', '.join(asked)})" if asked else ""))


def trained(kind: str, rolls: list[np.ndarray], test: list[np.ndarray]) -> tuple[theory.Map, str]:
    """Return a map that has learned the next frame, and what it has learned."""
    import torch

    torch.manual_seed(0)
    keys = rolls[0].shape[1]
    cell = getattr(torch.nn, kind)(keys, UNITS)
    head = torch.nn.Linear(UNITS, keys)
    # from each key's frequency: else units saturate to make up for it
    often = np.clip(np.concatenate(rolls).mean(axis=0), 1e-3, 1 - 1e-3)
    head.bias.data = torch.from_numpy(np.log(often / (1 - often))).float()
    adam = torch.optim.Adam([*cell.parameters(), *head.parameters()], lr=1e-2)
    rng = np.random.default_rng(0)
    for _ in range(TRAINED):
        some = rng.integers(0, len(rolls), 16)
        batch = torch.from_numpy(np.stack([rolls[i] for i in some], axis=1)).float()
        logits = head(cell(batch[:-1])[0])
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, batch[1:])
        adam.zero_grad()
        loss.backward()
        adam.step()
    seen = torch.from_numpy(np.stack(test, axis=1)).float()
    with torch.no_grad():
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            head(cell(seen[:-1])[0]), seen[1:]
        )
    y = np.stack(test, axis=1)[1:]
    plain = -np.mean(y * np.log(often) + (1 - y) * np.log1p(-often))
    told = f"{keys * float(loss):.2f} nats a frame, {keys * plain:.2f} by the keys' frequencies"
    weights = {name: value.detach().double().numpy() for name, value in cell.named_parameters()}
    W, U = weights["weight_hh_l0"], weights["weight_ih_l0"]
    b, b_h = weights["bias_ih_l0"].copy(), weights["bias_hh_l0"]
    if kind == "GRU":
        b[: 2 * UNITS] += b_h[: 2 * UNITS]
        return theory.GRU(W, U, b, b_h[2 * UNITS :]), told
    return {"RNN": theory.VanillaRNN, "LSTM": theory.LSTM}[kind](W, U, b + b_h), told


def product(recurrent: theory.Map, X: np.ndarray, ranges: np.ndarray, window: int) -> np.ndarray:
    """Return the sizes of the product of 0, 1, .. `window` Jacobians, the last ones of a run."""
    H = recurrent.simulate(X)[len(X) - window - 1 : -1]
    P, sizes = np.diag(ranges), [1.0]
    for h, x in zip(H, X[len(X) - window :], strict=True):
        P = recurrent.jacobian_state(h, x) @ P
        sizes.append(float(np.max(np.abs(P).sum(axis=1) / ranges)))
    return np.array(sizes)


def last_narrowing(shares: np.ndarray, part: float = 2.0**-7) -> int:
    """Return the last step by which the widest share fell by a notable part of itself."""
    fell = np.flatnonzero(shares[1:] < np.minimum.accumulate(shares)[:-1] * (1 - part))
    return int(fell[-1]) + 1 if len(fell) else 0


def died(recurrent: theory.Map, X: np.ndarray, small: np.ndarray) -> str:
    """Return where the tube from the box of all states stops narrowing, and why."""
    box = theory.Inputs.box(0.0, 1.0)
    window = len(small) - 1
    tube = reach_tube(recurrent, X, k=window, inputs=box)
    shares = np.max(tube.widths / tube.widths[0], axis=1)
    step = last_narrowing(shares)
    unit = int(np.argmax(tube.widths[step] / tube.widths[0]))
    return (
        f"the tube from the box stops narrowing after {step} of {window} steps: state {unit} is "
        f"{100 * shares[step]:.3g} % as wide as its box ({100 * shares[-1]:.3g} % at the end); the "
        f"product of Jacobians makes {small[step]:.3g} of small sets by then, {small[-1]:.3g} at "
        "the end"
    )


def stages(kind: str, train: list[np.ndarray], test: list[np.ndarray]) -> None:
    """Print what is known of a network that is trained here."""
    recurrent, told = trained(kind, train, test)
    C = recurrent.output_map
    sizes = [np.linalg.norm(recurrent.simulate(x) @ C.T, axis=1) for x in test[:DESIGN]]
    eps = ALLOWED * float(np.median(np.concatenate(sizes)))
    how = {"probability": PROBABILITY, "confidence": CONFIDENCE}
    plain = effective_memory(recurrent, test[DESIGN:], eps=eps, head=C, norm=L2(), **how)
    visited = np.vstack([recurrent.simulate(x) for x in test[:DESIGN]])
    ranges = visited_ranges(visited, recurrent.state_dim)
    runs = [product(recurrent, test[0], ranges, window) for window in WINDOWS]
    small = next((run for run in runs if run[-1] <= QUARTER), runs[-1])
    window = len(small) - 1
    asked = {"eps": eps, "head": C, "window": window, "design": DESIGN, "tubes": TUBES, **how}
    found = certified_memory(recurrent, test, **asked)
    if found.share == 0:
        # the whole state need not shrink where the output stays near
        found = certified_memory(recurrent, test, share=SHARE, **asked)
    radius = critical_radius(recurrent, test[0], k=window, visited=visited)
    print(f"  {kind} {UNITS}: {told}; {len(test)} pieces of {T} frames, error {eps:.3g} (10 %)")
    print(f"    {died(recurrent, test[0], small)}")
    print(f"    r* {100 * radius.share:.3g} % of the visited ranges in {window} steps")
    ratio = "" if None in (plain.k, found.k) else f", ratio {found.k / plain.k:.2f}"
    print(f"    measured k {plain.k}; in two stages {found.k}{ratio}   (wanted 2 at most)")
    print(f"    {found}")


def pieces(folder: Path | None) -> dict[str, list[np.ndarray]]:
    """Return the chorales of every split, cut to T frames; shorter ones are left out."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
    import tasks

    return {
        split: [roll[:T] for roll in tasks.chorales(split, folder) if len(roll) >= T]
        for split in ("train", "valid", "test")
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the chorales")
    given = parser.parse_args()
    times(np.random.default_rng(0))
    try:
        import torch  # noqa: F401

        rolls = pieces(given.data)
    except (ImportError, FileNotFoundError) as error:
        print(f"no trained networks: {error}")
        return
    print("memory in two stages, on networks trained without a set")
    for kind in ("RNN", "LSTM", "GRU"):
        stages(kind, rolls["train"], rolls["valid"] + rolls["test"])


if __name__ == "__main__":
    main()
