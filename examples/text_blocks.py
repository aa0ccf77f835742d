r"""How much text two blocks of minGRU or Mamba remember: proved over an alphabet, and along a text.

Blocks as they are used, trained on characters without any constraint.  A context is enough here if
no output of the last block, in the Euclidean norm, is off by more than 5 % of its mean size on the
text.  Columns: `alphabet`, the context proved for every sequence of characters; `any`, the one
proved along given text, whatever came before, and `any_attained`, from which on no past of that
box was found that matters, by ascent; `met` and `met_attained`, the same for pasts no larger, entry
by entry, than states met on the text; `seen`, from which on no state met does.

What the eye should see: over the alphabet contexts are out of reach; along the text they are proved
within three times what is attained.

Run   python examples/text_blocks.py --data DIR --size small
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import _results
import _text_blocks
import corpora
import numpy as np

import theory
from theory.memory import required_context, tube_context
from theory.typing import Array

COLUMNS = (
    "network", "bits", "states", "alphabet", "place", "any", "any_attained", "met",
    "met_attained", "seen", "seconds",
)  # fmt: skip

#: Width, steps of training, places of the text, and most inputs before each of them.
SIZES = {"smoke": (3, 10, 1, 9), "small": (16, 1000, 4, 60)}

#: Share of the mean size of an output that is allowed as error.
SHARE = 0.05

#: Characters of the text that states are met on, and of these what is left for a start.
MET, WARM = 3000, 200


def data(options: argparse.Namespace) -> list[list[Any]]:
    """Return a row for each network and place."""
    width, steps, places, longest = SIZES[options.size]
    corpus = corpora.load(options.task, options.data)
    text, test = (corpus.splits[split][0][0] for split in ("train", "test"))
    rows = []
    for kind in _text_blocks.KINDS:
        model, bits = _text_blocks.train(
            kind, text, tokens=corpus.inputs, width=width, steps=steps, seed=options.seed
        )
        recurrent, table = _text_blocks.to_map(model)
        X = table[test[:MET]]
        H, C = recurrent.simulate(X), recurrent.output_map
        eps = SHARE * float(np.mean(np.linalg.norm(H @ C.T, axis=1)))
        alphabet = theory.Inputs.any_of(table)
        everywhere = required_context(recurrent, eps, inputs=alphabet, head=C)
        domain = theory.certify.invariant_domain(recurrent, inputs=alphabet)
        known = [kind, bits, recurrent.state_dim, None if everywhere is None else everywhere.k]
        for end in np.linspace(max(longest, len(X) // 4), len(X), places).astype(int).tolist():
            began = time.process_time()
            window = X[end - longest : end]
            pasts = H[WARM % len(H) :]
            size = np.abs(pasts).max(axis=0)
            proved = [
                None
                if domain is None
                else tube_context(recurrent, window, eps=eps, domain=domain, pasts=given).k
                for given in (None, pasts)
            ]
            whole = size if domain is None else np.maximum(-domain.low, domain.high)
            attained = [
                attained_by(recurrent, window[-longest if k is None else -k - 2 :], eps, reach)
                for k, reach in zip(proved, (whole, size), strict=True)
            ]
            some = pasts[np.linspace(0, len(pasts) - 1, 300).astype(int)]
            seen = met_by(recurrent, window, eps, some)
            rows.append([
                *known, end, proved[0], attained[0], proved[1], attained[1], seen,
                time.process_time() - began,
            ])  # fmt: skip
            print(", ".join(f"{a} {b}" for a, b in zip(COLUMNS, rows[-1], strict=True)))
    return rows


def met_by(recurrent: theory.Map, X: Array, eps: float, pasts: Array) -> int:
    """Return from which length on none of some pasts moves the output by more than eps."""
    lengths = range(len(X), 0, -1)
    return next((k + 1 for k in lengths if gap_of(recurrent, X[len(X) - k :], pasts) > eps), 1)


def gap_of(recurrent: theory.Map, X: Array, pasts: Array) -> float:
    """Return the largest gap of the last output that some pasts cause."""
    starts = np.vstack([np.zeros(recurrent.state_dim), pasts])
    last = recurrent.simulate(np.repeat(X[None], len(starts), axis=0), starts)[:, -1]
    moved = (last[1:] - last[0]) @ recurrent.output_map.T
    return float(np.linalg.norm(moved, axis=1).max())


def attained_by(recurrent: theory.Map, X: Array, eps: float, reach: Array) -> int:
    """Return from which length on ascent over the corners of a box finds no past that matters."""
    rng = np.random.default_rng(0)
    for k in range(len(X), 0, -1):
        if any(ascend(recurrent, X[len(X) - k :], eps, reach, rng) for _ in range(2)):
            return k + 1
    return 1


def ascend(
    recurrent: theory.Map, X: Array, eps: float, reach: Array, rng: np.random.Generator
) -> bool:
    """Return whether a corner is met whose output is off by more than eps."""
    C, known = recurrent.output_map, recurrent.simulate(X)[-1]
    start = np.where(rng.random(len(reach)) < 0.5, reach, -reach)
    for _ in range(4):
        H = np.vstack([start, recurrent.simulate(X, start)])
        moved = C @ (H[-1] - known)
        if float(np.linalg.norm(moved)) > eps:
            return True
        uphill = moved @ C
        for h, x in zip(H[-2::-1], X[::-1], strict=True):
            uphill = uphill @ recurrent.jacobian_state(h, x)
        start = np.where(uphill > 0, reach, -reach)
    return False


def main(argv: list[str] | None = None) -> int:
    """Train, ask and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--task", default="war-and-peace")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--out", type=Path, default=Path("build/examples"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    began = time.perf_counter()
    rows = data(options)
    seconds = time.perf_counter() - began
    _results.write(
        rows, COLUMNS, options.out, "text_blocks", argv, seeds=[options.seed], seconds=seconds
    )
    _results.show(rows, COLUMNS)
    return 0


if __name__ == "__main__":
    sys.exit(main())
