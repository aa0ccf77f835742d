"""A million maps: what is certified against what pairs of states attain, in one command.

    python tests/soundness/fuzz.py --maps 1000000 --keep build/fuzz

Every map is drawn with its number as seed, and attacked in doubles: pairs of states and inputs
where they can be, all at once, and along the directions that the Jacobian stretches most.  A pair
that stays further apart than a certificate says is decided in ball arithmetic.  A sample is
searched by the methods that take longer, from zero, or for refutations, and files are read again.
Blocks that are done are kept, so that a run goes on where it was ended.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from definitions import balls, bits, exact_step
from draws import MAKERS, Draw, a_map, one_of, weights
from exact import length, minus
from of_maps import _coordinates

from theory import Contraction, Domain, Inputs, Map
from theory.certify import invariant_domain, reached_domain, refute
from theory.certify.certificate_file import certificate_from_dict, certificate_to_dict
from theory.certify.jsr import rate_lower
from theory.certify.methods import EFFORTS, METHODS, fitting_methods, run_methods
from theory.certify.recheck import recheck
from theory.certify.refutation_file import why_not_refuted
from theory.errors import DivergedError
from theory.executors import finished, processes
from theory.files.writing import write_atomically
from theory.typing import Array

#: Maps in a block, the piece of work that is kept.
BLOCK = 1000

#: How often a class is drawn, about as often as its maps can be certified in equal time.
SHARES: dict[str, float] = {
    "LinearMap": 10, "VanillaRNN": 10, "DiagonalSSM": 10, "SelectiveSSM": 7, "MinGRU": 7,
    "RGLRU": 6, "LinearAttention": 7, "EchoStateNetwork": 3, "LSTM": 3, "GRU": 4, "HardGRU": 4,
    "PeepholeLSTM": 1.5, "DeltaRule": 0.7, "Block": 1, "Cascade": 0.4, "SLSTM": 1,
}  # fmt: skip

#: Pairs of places that are compared at once.
PAIRS = 24

#: Parts of the maps that are also asked something that takes longer.
SEARCHED, FROM_ZERO, REFUTED, STORED = 0.005, 0.005, 0.003, 0.03

#: Sizes of differences, over that of the states.
SIZES = (2.0**-26, 2.0**-10, 0.1, 1.0)


class Count:
    """What a block has seen."""

    def __init__(self) -> None:
        self.maps: Counter[str] = Counter()  # drawn, by class
        self.certified: Counter[str] = Counter()  # maps with a certificate, by class
        self.claims: Counter[str] = Counter()  # by method, and of files, refutations and bounds
        self.attained: Counter[str] = Counter()  # of those, where a pair reaches 99 % of the rate
        self.false: list[str] = []

    def to_dict(self) -> dict[str, Any]:
        counts = {name: dict(value) for name, value in vars(self).items() if name != "false"}
        return {**counts, "false": self.false}

    def add(self, other: dict[str, Any]) -> None:
        for name, value in vars(self).items():
            value.update(other[name]) if name != "false" else value.extend(other[name])


def drawn(rng: Draw) -> Map:
    """Return a map of one of the classes, mostly about where certificates end."""
    names = list(SHARES)
    share = np.array(list(SHARES.values()))
    name = names[int(rng.choice(len(names), p=share / share.sum()))]
    kind = next(kind for kind in MAKERS if kind.__name__ == name)
    if rng.random() < 0.15:
        return a_map(rng, (kind,))
    n, m = int(rng.integers(1, 5)), int(rng.integers(1, 3))
    size = 10.0 ** rng.uniform(-1.5, 0.3) / np.sqrt(n)

    def W(*shape: int) -> Array:
        return size * rng.standard_normal(shape)

    while True:
        try:
            return MAKERS[kind](rng, W if rng.random() < 0.95 else weights(rng), n, m)
        except ValueError:  # weights that leave the range of a function
            continue


def some_inputs(rng: Draw, m: int) -> Inputs:
    """Return a box of inputs: around zero, anywhere, or a point."""
    size = float(10.0 ** rng.uniform(-2, 0.5))
    kind = int(rng.integers(0, 4))
    if kind < 2:
        return Inputs.box(-size, size)
    if kind == 2:
        return Inputs.box(*np.sort(size * rng.standard_normal((2, m)), axis=0))
    x = size * rng.standard_normal(m)
    return Inputs.box(x, x)


def within(rng: Draw, low: Array, high: Array, count: int) -> Array:
    """Return points of a box, many of them corners."""
    share = rng.random((count, len(low)))
    share = np.where(rng.random(share.shape) < 0.5, np.round(share), share)
    return np.clip(low * (1 - share) + high * share, low, high)


def directions(model: Map, c: Contraction, h: Array, x: Array) -> Array:
    """Return directions that the Jacobian at a place stretches most in the norm."""
    n = len(h)
    T = _coordinates(c, n)
    B = T @ model.jacobian_state(h, x) @ np.linalg.inv(T)
    found = np.vstack([np.eye(n), np.where(B < 0, -1.0, 1.0)])
    if np.isfinite(B).all():
        found = np.vstack([found, np.linalg.svd(B)[2][:1]])
    back = np.linalg.solve(T, found.T).T
    return back[np.isfinite(back).all(axis=1) & np.any(back != 0, axis=1)]


class Attack:
    """Pairs of states where they can be, and what becomes of them."""

    def __init__(self, rng: Draw, model: Map, box: Domain | None) -> None:
        n, m = model.state_dim, model.input_dim
        self.rng, self.model, self.steps = rng, model, 0
        size = float(one_of(rng, 0.1, 3.0, 30.0))
        self.low, self.high = (np.full(n, -size), np.full(n, size))
        x_low, x_high = (np.full(m, -size), np.full(m, size))
        if box is not None:
            self.low, self.high, x_low, x_high = box.low, box.high, box.input_low, box.input_high
        self.H, self.X = within(rng, self.low, self.high, PAIRS), within(rng, x_low, x_high, PAIRS)
        self.G = within(rng, self.low, self.high, PAIRS)
        if box is not None and box.reached is not None:
            self._reach()
            return
        # some pairs are near each other
        near = rng.random(PAIRS) < 0.6
        moves = np.sign(rng.standard_normal((PAIRS, n))) * (rng.random((PAIRS, n)) < 0.7)
        sizes = np.array(SIZES)[rng.integers(0, len(SIZES), PAIRS)][:, None]
        width = np.where(self.high > self.low, self.high - self.low, 0.0)
        beside = np.clip(self.H + sizes * moves * width, self.low, self.high)
        self.G = np.where(near[:, None], beside, self.G)

    def _reach(self) -> None:
        """Take states that runs from zero visit, of which any two make a pair."""
        H, G = np.zeros_like(self.H), np.zeros_like(self.G)
        for t in range(int(self.rng.integers(1, 12))):
            X = self.X[self.rng.permutation(PAIRS)]
            H = self.model.step(H, X)
            # of half of them the truncated run, which is still at rest
            G = self.model.step(G, X) * (np.arange(PAIRS) < t * PAIRS // 6)[:, None]
        self.H, self.G = H, G

    def after(self, H: Array, G: Array, X: Array, steps: int) -> tuple[Array, Array]:
        for _ in range(steps):
            H, G = self.model.step(H, X), self.model.step(G, X)
        return H, G

    def ratios(self, c: Contraction, H: Array, G: Array, X: Array) -> Array:
        A, B = self.after(H, G, X, c.iterate)
        apart = c.norm.vector(H - G)
        return np.where(apart > 0, c.norm.vector(A - B) / np.where(apart > 0, apart, 1.0), 0.0)

    def best(self, c: Contraction) -> tuple[float, Array, Array, Array]:
        """Return the largest ratio found, with its pair and input."""
        ratio = np.nan_to_num(self.ratios(c, self.H, self.G, self.X), nan=0.0, posinf=0.0)
        k = int(np.argmax(ratio))
        found = float(ratio[k]), self.H[k], self.G[k], self.X[k]
        if c.domain is not None and c.domain.reached is not None:
            return found
        ways = directions(self.model, c, self.H[k], self.X[k])
        if not len(ways):
            return found
        width = float(np.max(self.high - self.low, initial=0.0))
        ways = ways / np.max(np.abs(ways), axis=1)[:, None] * width
        D = np.vstack([size * sign * ways for size in SIZES for sign in (1.0, -1.0)])
        H = np.broadcast_to(self.H[k], D.shape)
        G = np.clip(H + D, self.low, self.high)
        X = np.broadcast_to(self.X[k], (len(D), len(self.X[k])))
        ratio = np.nan_to_num(self.ratios(c, H, G, X), nan=0.0, posinf=0.0)
        j = int(np.argmax(ratio))
        return max(found, (float(ratio[j]), H[j], G[j], X[j]), key=lambda one: one[0])

    def is_false(self, c: Contraction, H: Array, G: Array, X: Array) -> bool:
        """Decide in ball arithmetic whether a pair contradicts a certificate."""
        with bits(300):
            step, x = exact_step(self.model), balls(X)
            a, b = balls(H), balls(G)
            before = length(c.norm, minus(a, b))
            for _ in range(c.iterate):
                a, b = step(a, x), step(b, x)
            return bool(length(c.norm, minus(a, b)) > before * c.lam)


def attack(rng: Draw, model: Map, found: dict[str, Contraction], count: Count) -> None:
    """Compare certificates with pairs of their own domains, which some methods choose."""
    attacks: dict[int, Attack] = {}
    for name, c in found.items():
        if c.iterate > 8:
            continue
        if id(c.domain) not in attacks:
            attacks[id(c.domain)] = Attack(rng, model, c.domain)
        pairs = attacks[id(c.domain)]
        count.claims[name] += 1
        ratio, h, g, x = pairs.best(c)
        count.attained[name] += ratio >= 0.99 * c.lam
        if ratio > c.lam and pairs.is_false(c, h, g, x):
            count.false.append(f"{name}: {ratio!r} above {c.lam!r}")
        if rng.random() < STORED:
            count.claims["files"] += 1
            stored = certificate_from_dict(certificate_to_dict(model, c))
            if not recheck(stored, model):
                count.false.append(f"a file of {name} is not accepted")


def attack_two_sided(
    model: Map, inputs: Inputs, found: dict[str, Contraction], count: Count
) -> None:
    """Compare what is refuted, and bounds from below, with what is certified."""
    refuted = refute(model, inputs=inputs, starts=2, steps=40)
    count.claims["refute"] += 1
    if refuted is not None and (found or why_not_refuted(refuted, model)):
        count.false.append("refuted and certified")
    below = rate_lower(model, inputs=inputs, length=2)
    least = min((c.lam for c in found.values() if c.iterate == 1), default=1.0)
    if below is not None and found:
        count.claims["rate_lower"] += 1
        if below.rate > least:
            count.false.append(f"rate_lower {below.rate!r} above {least!r}")


def one_map(number: int, count: Count) -> None:
    """Draw the map of a number, and attack what is certified of it."""
    rng = np.random.default_rng([number, *b"fuzz"])
    model = drawn(rng)
    name = type(model).__name__
    count.maps[name] += 1
    inputs = some_inputs(rng, model.input_dim)
    everywhere = model.affine() is not None and rng.random() < 0.7
    box = None if everywhere else invariant_domain(model, inputs=inputs)
    found = run_methods(model, 0, box, iterates=rng.random() < 0.05 or None)
    if rng.random() < SEARCHED:
        # the methods that search, which effort 0 leaves out
        long = [one for one in fitting_methods(model) if one in EFFORTS[0]]
        way = one_of(rng, *long)
        c = METHODS[way](model, box)
        found |= {} if c is None else {way: c}
    attack(rng, model, found, count)
    count.certified[name] += bool(found)
    if rng.random() < FROM_ZERO:
        zero = None if box is None else reached_domain(model, inputs=inputs, box=box, order=4)
        if zero is not None:
            count.claims["reached_domain"] += 1
            attack(rng, model, run_methods(model, 0, zero, iterates=False), count)
    if rng.random() < REFUTED:
        attack_two_sided(model, inputs, found, count)


def block(number: int, maps: int = BLOCK) -> dict[str, Any]:
    """Return what is seen of the maps of a block."""
    count = Count()
    for one in range(number * BLOCK, number * BLOCK + maps):
        before = len(count.false)
        with np.errstate(all="ignore"):
            try:
                one_map(one, count)
            except DivergedError:  # a refusal
                count.claims["refused"] += 1
            except Exception as error:
                count.false.append(f"{type(error).__name__}: {error}")
        count.false[before:] = [f"map {one}: {text}" for text in count.false[before:]]
    return count.to_dict()


def pieces(keep: Path, blocks: int) -> Iterator[int]:
    """Yield the blocks that are not done."""
    return (number for number in range(blocks) if not (keep / f"{number}.json").exists())


def run(maps: int, keep: Path, jobs: int) -> Count:
    """Do the blocks that are not kept, and return what is seen of all."""
    blocks = -(-maps // BLOCK)
    todo = list(pieces(keep, blocks))
    start = time.process_time()
    executor = processes(jobs) if jobs > 1 else None
    for number, seen in finished(block, todo, executor=executor, patience=None):
        write_atomically(keep / f"{todo[number]}.json", json.dumps(seen))
        for text in seen["false"]:
            print(text, flush=True)
        if number % 10 == 9:
            print(f"{number + 1} of {len(todo)}, {time.process_time() - start:.0f} s", flush=True)
    total = Count()
    for number in range(blocks):
        total.add(json.loads((keep / f"{number}.json").read_text()))
    return total


def table(total: Count) -> str:
    """Return what was seen as two tables."""
    lines = [f"{'class':20}{'maps':>10}{'certified':>12}"]
    lines += [f"{kind:20}{n:10}{total.certified[kind]:12}" for kind, n in total.maps.most_common()]
    lines += ["", f"{'claims of':20}{'number':>10}{'attained':>12}"]
    lines += [f"{kind:20}{n:10}{total.attained[kind]:12}" for kind, n in total.claims.most_common()]
    lines += [
        "",
        f"{total.maps.total()} maps, {total.claims.total()} claims, {len(total.false)} false",
    ]
    return "\n".join(lines)


def main() -> int:
    parse = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parse.add_argument("--maps", type=int, default=1_000_000)
    parse.add_argument("--keep", type=Path, default=Path("build/fuzz"))
    parse.add_argument("--jobs", type=int, default=1)
    asked = parse.parse_args()
    total = run(asked.maps, asked.keep, asked.jobs)
    print(table(total))
    return 1 if total.false else 0


if __name__ == "__main__":
    sys.exit(main())
