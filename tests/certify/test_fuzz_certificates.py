"""100,000 random small maps: no lower bound and no two trajectories contradict a certificate.

The lane is marked slow; a sample of it runs always.  With THEORY_FUZZ_LOG=FILE every finished block
adds a line to the file, and blocks that are in it are skipped with that reason, so that an
interrupted lane goes on where it stopped; ``python tests/certify/test_fuzz_certificates.py FILE``
sums up.
"""

import itertools
import json
import math
import os
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from theory import LinearMap, VanillaRNN, WeightedL2, refute
from theory.arithmetic.rounding import UNIT, drift
from theory.certify import METHODS, rate_lower
from theory.maps import activation, leaky_relu
from theory.norms import L1, Linf, WeightedLinf
from theory.norms.radius import product_radius_lower

BLOCKS, MAPS = 100, 1000

#: How often a method is tried: every map, every fourth map, ...; the costs go the other way.
EVERY = {
    "row_sums": 1,
    "column_sums": 1,
    "spectral": 1,
    "perron": 1,
    "lyapunov": 1,
    "numerical_radius": 4,
    "diagonal": 16,
    "lmi": 16,
}

RHO = [
    activation(name) for name in ("identity", "tanh", "relu", "sigmoid", "softplus", "hard_tanh")
] + [activation("sin"), leaky_relu(-0.7), leaky_relu(0.3), leaky_relu(-2.0), leaky_relu(1.5)]

#: Where an activation has its extreme slopes; for a kink, far enough from it.
EXTREME = {"tanh": (30.0, 0.0), "sigmoid": (-60.0, 0.0), "softplus": (-60.0, 60.0)}
EXTREME |= {"relu": (-50.0, 50.0), "hard_tanh": (50.0, 0.0), "sin": (math.pi, 0.0)}


def weights(rng):
    """Return a recurrent matrix of one of many kinds, n <= 6."""
    n = int(rng.integers(1, 7))
    W = rng.standard_normal((n, n))
    kind = int(rng.integers(12))
    if kind == 1:
        W = W * np.exp(rng.uniform(-3, 3, (n, 1)))
    elif kind == 2:
        W = np.triu(W)
    elif kind == 3:
        W = np.triu(W, 1)  # nilpotent
    elif kind == 4:
        W = np.diag(rng.choice([-1.0, 1.0], n)) + np.triu(W, 1) * rng.choice(
            [0.1, 10.0]
        )  # defective
    elif kind == 5:
        W = np.eye(n)[rng.permutation(n)] * np.exp(rng.uniform(-4, 4, n))[:, None]
    elif kind == 6:
        W = np.linalg.qr(W)[0]
    elif kind == 7:
        W = np.abs(W)
    elif kind == 8:
        W = np.outer(W[0], W[:, 0])
    elif kind == 9:
        W = rng.integers(-2, 3, (n, n)).astype(float)
    elif kind == 10:
        W[: n // 2, n // 2 :] = 0.0  # block triangular
    elif kind == 11:
        d = np.exp2(rng.integers(-12, 13, n))
        W = W * d[:, None] / d[None, :]
    radius = max(float(np.max(np.abs(np.linalg.eigvals(W)))), 1e-3 * float(np.linalg.norm(W, 2)))
    size = rng.choice([1e-3, 0.3, 0.8, 0.99, 1.0, 1.0 - 1e-15, 1.0 + 1e-15, 1.3])
    W = W * (size / max(radius, 1e-300))
    if rng.random() < 0.1:
        W = W.astype(np.float32)
    return W * 2.0 ** int(rng.choice([0, 0, 0, 0, 0, -30, -300]))


def a_map(rng):
    """Return a map with U = I, so that inputs reach every pre-activation."""
    W = weights(rng)
    rho = RHO[int(rng.integers(len(RHO)))]
    with np.errstate(under="ignore"):
        W = W / (rho.lipschitz if rng.random() < 0.7 else 1.0)
    n = len(W)
    return (
        LinearMap(W, np.eye(n)) if rho.name == "identity" else VanillaRNN(W, np.eye(n), None, rho)
    )


def coordinates(norm, n):
    """Return T with |h| = |T h| in the norm of the returned order, as computed."""
    if isinstance(norm, WeightedL2):
        return np.linalg.cholesky(norm.P).T, 2
    if isinstance(norm, WeightedLinf):
        return np.diag(1 / norm.v), np.inf
    return np.eye(n), {L1: 1, Linf: np.inf}.get(type(norm), 2)


def worst_pair(form, norm, vertices):
    """Return the vertex at which a step stretches most in a norm, and the direction."""
    n = len(form.W)
    T, order = coordinates(norm, n)
    B = T @ (vertices[:, :, None] * form.W) @ np.linalg.inv(T)
    if order == 2:
        _, s, right = np.linalg.svd(B)
        i = int(np.argmax(s[:, 0]))
        return i, np.linalg.solve(T, right[i, 0])
    sums = np.sum(np.abs(B), axis=-1 if order == np.inf else -2)
    i, j = np.unravel_index(np.argmax(sums), sums.shape)
    return i, np.linalg.solve(T, np.eye(n)[j] if order == 1 else np.sign(B[i, j]))


def check(one, found, rng):
    """Try to contradict the certificates of one map; raises AssertionError where it succeeds."""
    form, n = one.affine(), one.state_dim
    low, high = form.rho.slope
    vertices = np.full((1, n), high)
    if low != high:
        vertices = np.array(list(itertools.product((low, high), repeat=n)))
    places = EXTREME.get(form.rho.name, (-50.0, 50.0) if low == form.rho.leak else (50.0, -50.0))
    least = min(c.lam for c in found.values())
    # products of one and of two vertices: where a computed radius comes near, it is bounded
    pairs = rng.integers(len(vertices), size=(32, 2))
    single = vertices[:, :, None] * form.W
    double = single[pairs[:, 0]] @ single[pairs[:, 1]]
    with np.errstate(under="ignore"):
        radii = np.max(np.abs(np.linalg.eigvals(single)), axis=-1)
        roots = np.sqrt(np.max(np.abs(np.linalg.eigvals(double)), axis=-1))
    if np.max(radii) > 0.99 * least:
        assert least >= product_radius_lower(form.W, vertices[[np.argmax(radii)]])
    if np.max(roots) > 0.99 * least:
        j = int(np.argmax(roots))
        assert least >= product_radius_lower(form.W, vertices[[pairs[j, 1], pairs[j, 0]]])
    for name, c in found.items():
        # two states that one step stretches most, at inputs where the slopes are extreme
        i, d = worst_pair(form, c.norm, vertices)
        d = d / max(float(np.max(np.abs(d))), 1e-300)
        goal = np.where(vertices[i] == low, *places)
        reach = float(np.max(np.abs(form.W @ d), initial=1e-280))
        g = d * min(1e-3 / reach, 2.0**200)
        # random pairs beside it
        h = np.vstack([np.zeros(n), 3 * rng.standard_normal((8, n))])
        k = np.vstack([g, h[1:] + rng.standard_normal((8, n)) * rng.choice([1e-3, 1.0, 20.0])])
        x = np.vstack([goal, 2 * rng.standard_normal((8, n))])
        slack = 1 + 8 * c.norm.vector_rounding(n)
        size = np.max(np.abs(np.vstack([h, k])), axis=0)
        local = c.norm.majorant(one.step_error(size, np.max(np.abs(x), axis=0)))
        local += c.norm.majorant(4 * UNIT * (size + 1e-300))
        before = c.norm.vector(k - h)
        after = c.norm.vector(one.step(k, x) - one.step(h, x))
        assert (after <= c.lam * before * slack + 4 * local).all(), name
        # the same inputs for twelve steps
        for _ in range(12):
            x = 2 * rng.standard_normal((9, n))
            size = np.maximum(size, np.max(np.abs(np.vstack([h, k])), axis=0))
            h, k = one.step(h, x), one.step(k, x)
        local = c.norm.majorant(one.step_error(size, np.full(n, 10.0)))
        after = c.norm.vector(k - h)
        budget = 4 * drift(local, c.lam, 12) + c.norm.majorant(4 * UNIT * (size + 1e-300))
        assert (after <= c.lam**12 * before * slack + budget).all(), name


def run_block(block, maps=MAPS):
    """Run a block and return counts: tried and certified by method, the worst gap and its map."""
    began = time.perf_counter()
    tried, certified = Counter(), Counter()
    worst, where, gaps, refutable = 1.0, None, [], 0
    for i in range(maps):
        rng = np.random.default_rng([block, i, 23])
        one = a_map(rng)
        linear = isinstance(one, LinearMap)
        found = {}
        for name, method in METHODS.items():
            if name not in EVERY or (name == "lyapunov") > linear:
                continue
            if linear and name in {"numerical_radius", "lmi"}:
                continue
            # the dearer methods at different maps
            if (i + list(EVERY).index(name)) % EVERY[name]:
                continue
            tried[name] += 1
            c = method(one)
            if c is not None:
                certified[name] += 1
                found[name] = c
        if found:
            check(one, found, rng)
            refutable += 1
            if i % 50 == 0:
                assert refute(one, starts=3, steps=60) is None
        if "lmi" in found:
            best = min(c.lam for c in found.values())
            lower = rate_lower(one, starts=2, length=2, products=1000).rate
            for name, c in found.items():
                assert c.lam >= lower, name
            if lower > 1e-3 * best:
                gaps.append(best / lower)
                if best / lower > worst:
                    worst, where = best / lower, i
    return {
        "block": block,
        "maps": maps,
        "seconds": round(time.perf_counter() - began, 1),
        "tried": dict(tried),
        "certified": dict(certified),
        "maps_certified": refutable,
        "worst_gap": worst,
        "worst_map": where,
        "median_gap": float(np.median(gaps)) if gaps else None,
    }


def finished(log):
    """Return what a log holds, by block."""
    lines = log.read_text(encoding="utf-8").splitlines() if log and log.is_file() else []
    return {entry["block"]: entry for entry in map(json.loads, lines)}


def test_a_sample():
    entry = run_block(BLOCKS, maps=160)
    # every method certifies some of them, and not all: the sample can fail
    for name in EVERY:
        assert 0 < entry["certified"][name] < entry["tried"][name], name


def test_a_wrong_rate_is_noticed():
    noticed, total = 0, 0
    for i in range(60):
        rng = np.random.default_rng([BLOCKS + 1, i])
        one = a_map(rng)
        c = METHODS["spectral"](one)
        if c is None or c.lam == 0:
            continue
        total += 1
        wrong = type(c)(lam=c.lam * (1 - 1e-4), norm=c.norm, evidence=c.evidence)
        try:
            check(one, {"spectral": wrong}, rng)
        except AssertionError:
            noticed += 1
    # the spectral norm is attained at a vertex, which the inputs reach for nearly all activations
    assert noticed >= 0.8 * total > 10


@pytest.mark.slow
@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_certificate_is_contradicted(block):
    log = Path(os.environ["THEORY_FUZZ_LOG"]) if os.environ.get("THEORY_FUZZ_LOG") else None
    if block in finished(log):
        pytest.skip(f"block {block} is in {log} already")
    entry = run_block(block)
    if log is not None:
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def main():
    entries = finished(Path(sys.argv[1])).values()
    tried, certified = Counter(), Counter()
    for entry in entries:
        tried.update(entry["tried"])
        certified.update(entry["certified"])
    print(f"{sum(e['maps'] for e in entries)} maps in {len(entries)} blocks, "
          f"{sum(e['maps_certified'] for e in entries)} with a certificate, "
          f"{sum(e['seconds'] for e in entries):.0f} s, no contradiction")  # fmt: skip
    for name in EVERY:
        print(f"{name:>17}: tried {tried[name]:6d}, certified {certified[name]:6d}")
    worst = max(entries, key=lambda e: e["worst_gap"])
    print(f"worst upper/lower {worst['worst_gap']:.4f} at block {worst['block']}, map "
          f"{worst['worst_map']}; median of the blocks' medians "
          f"{np.median([e['median_gap'] for e in entries]):.6f}")  # fmt: skip


if __name__ == "__main__":
    main()
