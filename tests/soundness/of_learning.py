"""Checks of learning: recurrent descents beside a path of weights, and what bounds them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from check import Check
from definitions import balls
from draws import Draw, one_of
from exact import ZERO, Ball, total
from tally import Tally, Vector

from theory import LinearHead, LinearMap, Map, VanillaRNN
from theory.arithmetic.bands import gain_upper
from theory.learning import (
    TrainingData,
    map_constants,
    projected_gradient_descent,
    training_data,
    weight_gap_along,
)
from theory.learning.tangents import Tangents, form_roots, rows_upper
from theory.learning.tube import remainder_upper, third_derivative_upper
from theory.typing import Array

Rows = list[Vector]


def _task(rng: Draw) -> tuple[Map, LinearHead, TrainingData]:
    """Return a small map that contracts, a head and what is learned."""
    n, m, p, T, B = (int(rng.integers(1, top)) for top in (4, 3, 3, 6, 3))
    W = rng.standard_normal((n, n))
    W *= rng.uniform(0.1, 0.9) / max(float(np.linalg.norm(W, 2)), 1e-9)
    U, b = rng.standard_normal((n, m)), rng.standard_normal(n) * rng.integers(2)
    model: Map = LinearMap(W, U, b) if rng.random() < 0.3 else VanillaRNN(W, U, b)
    head = LinearHead(rng.standard_normal((p, n)), rng.standard_normal(p))
    loss = str(one_of(rng, "squared", "bernoulli", "linear"))
    goal = rng.random((B, T, p)) if loss == "bernoulli" else rng.standard_normal((B, T, p))
    X = rng.standard_normal((B, T, m)) * (rng.random(m) < 0.8)
    at = str(one_of(rng, "every", "last"))
    return model, head, training_data(X, goal, loss=loss, at=at)


def exact_gradient(w: Rows, bent: bool, head: LinearHead, data: TrainingData) -> Rows:
    """Return the gradient of the recurrent loss at weights (W, U, b) beside each other, exactly."""
    n = len(w)
    G = [[ZERO for _ in row] for row in w]
    C, d = [balls(row) for row in head.C], balls(head.d)
    for X, goals, shares in zip(data.inputs, data.targets, data.weights, strict=True):
        h, past, slopes, pulls = [ZERO] * n, [], [], []
        for x, goal, share in zip(X, goals, shares, strict=True):
            z = [*h, *balls(x), Ball(1)]
            past.append(z)
            a = [total(u * v for u, v in zip(row, z, strict=True)) for row in w]
            h = [v.tanh() for v in a] if bent else a
            slopes.append([1 - v * v if bent else Ball(1) for v in h])
            y = [total(u * v for u, v in zip(row, h, strict=True)) + e
                 for row, e in zip(C, d, strict=True)]  # fmt: skip
            g = {
                "squared": lambda y, t: y - t,
                "bernoulli": lambda y, t: 1 / (1 + (-y).exp()) - t,
                "linear": lambda y, t: t,  # noqa: ARG005
            }[data.loss.name]
            slope = [g(v, t) * Ball(float(share)) for v, t in zip(y, balls(goal), strict=True)]
            pulls.append([total(C[j][i] * slope[j] for j in range(len(C))) for i in range(n)])
        delta = [ZERO] * n
        for z, s, pull in zip(past[::-1], slopes[::-1], pulls[::-1], strict=True):
            mu = [pull[i] + total(w[j][i] * delta[j] for j in range(n)) for i in range(n)]
            delta = [u * v for u, v in zip(s, mu, strict=True)]
            for i in range(n):
                for j in range(len(z)):
                    G[i][j] += delta[i] * z[j]
    return G


def _beside(model: Map) -> Array:
    p = model.parameters
    return np.hstack([p["W"], p["U"], p["b"][:, None]])


def _added(w: Rows, u: Rows, factor: Any, free: Array) -> Rows:
    return [
        [a + factor * b if f else a for a, b, f in zip(x, y, free, strict=True)]
        for x, y in zip(w, u, strict=True)
    ]


def _apart(w: Rows, v: Rows) -> Ball:
    return total((a - b) ** 2 for x, y in zip(w, v, strict=True)
                 for a, b in zip(x, y, strict=True)).sqrt()  # fmt: skip


def paths(rng: Draw, tally: Tally) -> None:
    """The recurrent descent in 300 bits, beside bounds from a truncated one in doubles."""
    model, head, data = _task(rng)
    n, m = model.state_dim, model.input_dim
    trained = tuple(
        name for name, share in (("W", 0.9), ("U", 0.7), ("b", 0.7)) if rng.random() < share
    ) or ("W",)
    radius = float(rng.uniform(0.2, 0.9)) if n == 1 and "W" in trained else None

    def clip(of: Map) -> Map:
        W = of.parameters["W"]
        return of if radius is None else of.with_parameters(W=np.clip(W, -radius, radius))

    kind = str(one_of(rng, "truncated", "truncated_backprop", "recurrent"))
    path = projected_gradient_descent(
        model, head, data, steps=int(rng.integers(1, 5)), alpha=10.0 ** float(rng.uniform(-3, 0)),
        schedule=str(one_of(rng, "1/t", "constant")), projection=clip, model=kind,
        k=None if kind == "recurrent" else int(rng.integers(1, 6)), trained=trained,
    )  # fmt: skip
    found = weight_gap_along(path, data, radius=radius)
    free = np.repeat([name in trained for name in ("W", "U", "b")], [n, m, 1])
    bent = isinstance(model, VanillaRNN)
    sizes = [model.parameters[name].size for name in path.trained]

    def at(i: int) -> Rows:
        parts = np.split(path.weights[i], np.cumsum(sizes)[:-1])
        changed = {
            name: part.reshape(model.parameters[name].shape)
            for name, part in zip(path.trained, parts, strict=True)
        }
        return [balls(row) for row in _beside(model.with_parameters(**changed))]

    w = at(0)
    given = {"model": model, **model.parameters, "X": data.inputs, "loss": data.loss.name}
    for i in range(path.steps):
        alpha = Ball(float(path.sizes[i]))
        v = at(i)
        if 0 < found.bounds[i] < math.inf and np.isfinite(found.stretches[i]):
            # a point of the ball, and how far a step leaves it from that of v
            u = rng.standard_normal((n, n + m + 1)) * free
            u *= float(found.bounds[i]) * (1 - 2.0**-30) / max(float(np.linalg.norm(u)), 1e-300)
            moved = [balls(row) for row in u]
            far = _added(v, moved, 1, free)
            ends = [_added(x, exact_gradient(x, bent, head, data), -alpha, free) for x in (far, v)]
            ratio = _apart(*ends) / _apart(far, v)
            tally.at_most("weight_gap_along stretch", [ratio], found.stretches[i], **given)
        w = _added(w, exact_gradient(w, bent, head, data), -alpha, free)
        if radius is not None:
            end = Ball(radius)
            w[0][0] = w[0][0].min(end).max(-end)
        tally.at_most("weight_gap_along", [_apart(w, at(i + 1))], found.bounds[i + 1], **given)


def balls_of_weights(rng: Draw, tally: Tally) -> None:
    """Second differences of exact gradients, beside the bound of the third derivative."""
    model, head, data = _task(rng)
    c = map_constants(model, inputs=data.inputs)
    if c is None or not c.lam < 1:
        return
    n, m = model.state_dim, model.input_dim
    columns = np.append(rng.random(n + m) < 0.8, True)
    columns[:n] = columns[0]
    at = Tangents(model, head, data, c, columns)
    radius = 10.0 ** float(rng.uniform(-6, -1))
    third = third_derivative_upper(at, radius)
    bent = isinstance(model, VanillaRNN)
    v = [balls(row) for row in _beside(model)]
    given = {"model": model, **model.parameters, "X": data.inputs, "radius": radius}
    here = exact_gradient(v, bent, head, data)
    flat = [a for row in here for a in row]
    pairs = zip(flat, at.gradient.ravel().tolist(), strict=True)
    off = total((a - Ball(b)) ** 2 for a, b in pairs).sqrt()
    tally.at_most("gradient error", [off], at.error("gradient"), **given)
    u = rng.standard_normal((n, n + m + 1)) * columns
    u *= radius * (1 - 2.0**-30) / max(float(np.linalg.norm(u)), 1e-300)
    moved = [balls(row) for row in u]
    ends = [exact_gradient(_added(v, moved, sign, columns), bent, head, data) for sign in (1, -1)]
    # g(v + u) + g(v - u) - 2 g(v): each half at most third |u|^2 / 2
    second = total(
        (a + b - 2 * g) ** 2
        for x, y, z in zip(*ends, here, strict=True)
        for a, b, g, is_free in zip(x, y, z, columns, strict=True)
        if is_free
    ).sqrt()
    size = total(a * a for row in moved for a in row)
    if third < math.inf:
        tally.at_most("third_derivative_upper", [second], Ball(third) * size, **given)
        mean = remainder_upper(at, radius)
        tally.at_most("remainder_upper", [second], Ball(mean) * size, **given)
    # the Hessian: half the difference of gradients is H u, up to third |u|^3 / 6
    direction = [Ball(float(a)) for a in u[:, columns].ravel()]
    H = [balls(row) for row in at.hessian]
    product = [total(a * b for a, b in zip(row, direction, strict=True)) for row in H]
    halves = [
        (a - b) / 2
        for x, y in zip(*ends, strict=True)
        for a, b, is_free in zip(x, y, columns, strict=True)
        if is_free
    ]
    wrong = total((a - b) ** 2 for a, b in zip(halves, product, strict=True)).sqrt()
    length = size.sqrt()
    if third < math.inf:
        room = Ball(at.hessian_error) * length + Ball(third) * size / 2
        tally.at_most("Tangents.hessian", [wrong], room, **given)


def gains(rng: Draw, tally: Tally) -> None:
    """Runs of linear recurrences from the worst disturbance that an SVD finds."""
    T, n = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    F = rng.standard_normal((T, n, n)) * 10.0 ** float(rng.uniform(-3, 1))
    R = rng.standard_normal((T, n, n)) * float(one_of(rng, 0.0, 1.0, 1e-3))
    G = R @ R.swapaxes(1, 2)
    gain = gain_upper(F, G)
    whole = np.zeros((T * n, T * n))
    run = np.zeros((n, T * n))
    for t in range(T):
        run = (F[t] @ run if t else run) * 1.0
        run[:, t * n : (t + 1) * n] += np.eye(n)
        whole[t * n : (t + 1) * n] = R[t].T @ run
    f = np.linalg.svd(whole)[2][0].reshape(T, n)
    h, square = [ZERO] * n, ZERO
    for t in range(T):
        before = [
            total(a * b for a, b in zip(balls(row), h, strict=True)) if t else ZERO for row in F[t]
        ]
        h = [a + b for a, b in zip(before, balls(f[t]), strict=True)]
        Gh = [total(a * b for a, b in zip(balls(row), h, strict=True)) for row in G[t]]
        square += total(a * b for a, b in zip(h, Gh, strict=True))
    size = total(a * a for row in f for a in balls(row))
    tally.at_most("gain_upper", [square / size], Ball(gain) ** 2, F=F, G=G)
    M = rng.standard_normal((n, n + T)) * 10.0 ** float(rng.uniform(-6, 6) * rng.integers(1, 25))
    top = np.linalg.svd(M)[0][:, 0]
    image = [total(a * b for a, b in zip(balls(row), balls(top), strict=True)) for row in M.T]
    size = total(a * a for a in balls(top))
    norm = (total(a * a for a in image) / size).sqrt()
    tally.at_most("form_roots", [norm], float(form_roots(M @ M.T, n + T)), M=M)
    tally.at_most("rows_upper", [norm], rows_upper(M), M=M)
    # of a row at a time, weighted
    weights = rng.standard_normal(n) * 10.0 ** float(rng.uniform(-6, 6) * rng.integers(1, 25))
    rows = zip(balls(weights), M, strict=True)
    longest = [total((w * a) ** 2 for a in balls(row)).sqrt() for w, row in rows]
    bound = np.full(n, rows_upper(M, weights))
    tally.at_most("rows_upper, weighted", longest, bound, M=M, weights=weights)


CHECKS = (
    Check(run=paths, covers=(weight_gap_along,), weight=0.5),
    Check(
        run=balls_of_weights, covers=(third_derivative_upper, remainder_upper, Tangents), weight=0.5
    ),
    Check(run=gains, covers=(gain_upper, form_roots, rows_upper)),
)
