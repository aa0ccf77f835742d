"""Checks of the answers: tails, worst cases, contexts, memory, constants, projections."""

from __future__ import annotations

import itertools
import math
from itertools import combinations

import flint
import numpy as np
from check import Check
from definitions import balls, exact_step
from draws import Draw, interior, normal, numbers, one_of, tame_map
from exact import ZERO, Ball, length, matrix_of, minus, radius, times, total
from tally import Tally

from theory import (
    GRU,
    L1,
    L2,
    LSTM,
    Cascade,
    DiagonalSSM,
    Inputs,
    LinearHead,
    LinearMap,
    Linf,
    Map,
    VanillaRNN,
    WeightedLinf,
    contraction,
    effective_memory,
    project,
    refute,
    required_context,
)
from theory.certify import invariant_domain, iterate_in_norm, judge_contraction, rate_lower
from theory.certify.orbits import never_meet, verified_cycle
from theory.certify.places import product_rate
from theory.certify.refutation_file import why_not_refuted
from theory.certify.refute import refuted_by
from theory.errors import DivergedError
from theory.learning import map_constants
from theory.memory import (
    componentwise_gap,
    kernel_tail,
    layer_gaps,
    smallest_error,
    worst_case_error,
)
from theory.memory.entrywise import componentwise_context, gap_after_step
from theory.memory.layers import layer_rates
from theory.projections.balls import column_sum_ball, row_sum_ball, spectral_ball
from theory.projections.pairs import scaled_numerical_radius_lower, scaled_rows_lower
from theory.projections.spectrum_lower import (
    determinant_lower,
    pair_distances_lower,
    principal_lower,
    schur_lower,
    trace_lower,
)
from theory.typing import Array


def _run(step, h: Array, xs: Array) -> list:
    """Return the exact state after the inputs."""
    state = balls(h)
    for x in xs:
        state = step(state, balls(x))
    return state


# linear layers ------------------------------------------------------------------------------------


def kernel_tails(rng: Draw, tally: Tally) -> None:
    """The tail of a kernel is enclosed, also where powers underflow."""
    n, m, p = int(rng.integers(1, 4)), int(rng.integers(1, 3)), int(rng.integers(1, 3))
    small = rng.random() < 0.5
    size = one_of(
        rng, rng.uniform(0.05, 0.6, n), rng.uniform(0.3, 0.95, n), 10.0 ** -rng.uniform(1, 200, n)
    )
    turn = np.exp(1j * rng.uniform(-math.pi, math.pi, n)) if rng.random() < 0.5 else 1.0
    values = size * turn * np.ones(n)
    slowest = float(np.max(np.abs(values)))
    k = int(rng.integers(0, 40))
    if small:  # powers among the smallest doubles
        k = int(rng.uniform(690, 745) / -math.log(slowest)) + 1
    B = normal(rng, (n, m)) * 10.0 ** rng.uniform(-5, 20 if small else 5, (n, m))
    if rng.random() < 0.1:
        B = np.full((n, m), 1e300)
    layer = DiagonalSSM(values, B)
    C = rng.standard_normal((p, 2 * n))
    bound = float(one_of(rng, 1.0, 0.3))
    tail = kernel_tail(layer, LinearHead(C), k=k, inputs=Inputs.box(-bound, bound))
    weights = [
        [
            [
                flint.acb(Ball(float(C[i, s])), -Ball(float(C[i, n + s])))
                * flint.acb(Ball(float(layer.B[s, j].real)), Ball(float(layer.B[s, j].imag)))
                for s in range(n)
            ]
            for j in range(m)
        ]
        for i in range(p)
    ]
    lam = [flint.acb(v.real, v.imag) for v in layer.eigenvalues.tolist()]
    power = [v**k for v in lam]
    sums = [ZERO] * p
    # until what follows is below 2**-80 of what is there: it widens the balls
    for _ in range(int(60 / -math.log2(slowest)) + 20):
        for i in range(p):
            sums[i] += total(
                abs(total((w * q).real for w, q in zip(row, power, strict=True)))
                for row in weights[i]
            )
        power = [q * v for q, v in zip(power, lam, strict=True)]
    rest = [
        total(
            abs(w) * abs(q) / (1 - abs(v))
            for row in weights[i]
            for w, q, v in zip(row, power, lam, strict=True)
        )
        for i in range(p)
    ]
    given = {"values": values, "B": B, "C": C, "k": k, "bound": bound}
    for i in range(p):
        least, most = Ball(bound) * sums[i], Ball(bound) * (sums[i] + rest[i])
        tally.at_least("kernel_tail", [most], tail.lower[i], **given)
        tally.at_most("kernel_tail", [least], tail.upper[i], **given)
        tally.at_most("kernel_tail", [least], tail.modal[i], **given)
    tally.at_most(
        "kernel_tail",
        [total(s * s for s in sums).sqrt() * Ball(bound) / m / p],
        tail.norms,
        **given,
    )


def worst_cases(rng: Draw, tally: Tally) -> None:
    """The history of a worst case reaches the lower value, and none exceeds the upper one."""
    n, m, k = int(rng.integers(1, 4)), int(rng.integers(1, 3)), int(rng.integers(0, 12))
    A = rng.standard_normal((n, n))
    A *= float(rng.uniform(0.1, 0.9)) / max(1e-9, float(np.max(np.abs(np.linalg.eigvals(A)))))
    scale = float(one_of(rng, 1.0, 1.0, 1e-150, 1e-300, 1e150))
    model = LinearMap(
        A,
        scale * rng.standard_normal((n, m)),
        scale * one_of(rng, 0.0, 1.0) * rng.standard_normal(n),
    )
    low, high = np.sort(rng.uniform(-1, 1, (2, m)), axis=0)
    horizon = one_of(rng, None, k + int(rng.integers(1, 9)))
    head = LinearHead(rng.standard_normal((2, n)))
    if rng.random() < 0.3:  # another layer above it
        top = LinearMap(0.5 * rng.uniform(-1, 1, (n, n)) / n, rng.standard_normal((n, n)))
        model = Cascade([model, top], [LinearHead(rng.standard_normal((n, n)), scale * np.ones(n))])
        head = LinearHead(rng.standard_normal((2, 2 * n)))
    found = worst_case_error(model, k, inputs=Inputs.box(low, high), head=head, horizon=horizon)
    if found is None:
        return
    step = exact_step(model)

    def errors(xs: Array) -> list:
        # recent inputs cancel in the difference
        states = [_run(step, np.zeros(model.state_dim), xs), balls(np.zeros(model.state_dim))]
        for _ in range(k):
            states = [step(state, balls(np.zeros(m))) for state in states]
        apart = [a - b for a, b in zip(*states, strict=True)]
        return (matrix_of(head.C) * flint.arb_mat([[x] for x in apart])).entries()

    given = {"low": low, "high": high, "k": k, "horizon": horizon, "C": head.C, **model.parameters}
    reached = errors(found.history)
    best = int(np.argmax(found.lower))
    tally.at_least("worst_case_error", [abs(reached[best])], found.lower[best], **given)
    for _ in range(2):
        longest = 30 if horizon is None else max(0, horizon - k)
        xs = np.array([interior(rng, low, high) for _ in range(longest)]).reshape(-1, m)
        tally.at_most("worst_case_error", [abs(e) for e in errors(xs)], found.upper, **given)
    tally.at_most("worst_case_error", [abs(e) for e in reached], found.upper, **given)


# maps on bounded inputs ---------------------------------------------------------------------------


def _sequence(rng: Draw, m: int, steps: int, bound: float) -> Array:
    """Return inputs with |x|_2 <= bound, many of them as long as allowed."""
    xs = np.where(rng.random((steps, m)) < 0.5, -1.0, 1.0) * (
        rng.random((steps, m)) if rng.random() < 0.5 else 1.0
    )
    if rng.random() < 0.3:
        xs = np.broadcast_to(xs[:1], xs.shape)
    return xs * bound * (1 - 2.0**-40) / math.sqrt(m)


def contexts(rng: Draw, tally: Tally) -> None:
    """No sequence is worse than what is promised for a context, whatever the certificate."""
    model = tame_map(rng)
    bound, k = float(one_of(rng, 0.3, 1.0)), int(rng.integers(0, 6))
    norm, m = one_of(rng, L2(), Linf()), model.input_dim
    rows = bound * rng.uniform(-1, 1, (4, m))
    inputs = one_of(
        rng, Inputs.ball(bound), Inputs.box(-bound, bound), Inputs.box(0, bound),
        Inputs.any_of(rows), Inputs.seen(rows), Inputs.ball(bound, L1()),
    )  # fmt: skip
    effort = 1 if rng.random() < 0.05 else 0
    C = model.output_map
    head = LinearHead(rng.standard_normal((2, len(C)))) if rng.random() < 0.3 else None
    asked = {"norm": norm, "effort": effort, "head": head}
    found = smallest_error(model, k, inputs=inputs, **asked)
    horizon = one_of(rng, None, None, 25)
    wanted = required_context(model, 0.01, inputs=inputs, horizon=horizon, **asked)
    step, C = exact_step(model), C if head is None else head.C @ C
    for _ in range(2):
        corners = np.where(rng.random((25, m)) < 0.5, -bound, bound)
        corners = corners[:1].repeat(25, 0) if rng.random() < 0.5 else corners
        near = [inputs.near(x) for x in corners]
        if any(x is None for x in near):
            continue
        xs = np.array(near)
        h = _run(step, np.zeros(model.state_dim), xs)
        for choice in (found, wanted):
            if choice is None or choice.k > 20:
                continue
            short = _run(step, np.zeros(model.state_dim), xs[len(xs) - choice.k :])
            seen = times(C, minus(h, short))
            name = "smallest_error" if choice is found else "required_context"
            tally.at_most(
                name, [length(norm, seen)], choice.error, k=choice.k, xs=xs, model=model,
                c=choice.contraction, inputs=inputs, **model.parameters,
            )  # fmt: skip


def entrywise_gaps(rng: Draw, tally: Tally) -> None:
    """Gaps entry by entry, and layer by layer, hold for every past of the domain."""
    model = tame_map(rng)
    m, bound, k = model.input_dim, float(one_of(rng, 0.1, 1.0)), int(rng.integers(0, 6))
    box = invariant_domain(model, inputs=Inputs.box(-bound, bound))
    if box is None or model.comparison(box) is None:
        return
    bounds = componentwise_gap(model, box, k=k)
    layers = layer_gaps(model, box, k=k) if isinstance(model, Cascade) else None
    longest = componentwise_context(model, box, eps=0.3, norm=Linf())
    step, norms = exact_step(model), None
    for _ in range(3):
        h = interior(rng, box.low, box.high)
        xs = np.array([interior(rng, box.input_low, box.input_high) for _ in range(k)]).reshape(
            -1, m
        )
        gap = [abs(d) for d in minus(_run(step, h, xs), _run(step, np.zeros(len(h)), xs))]
        tally.at_most("componentwise_gap", gap, bounds, k=k, h=h, xs=xs, **model.parameters)
        past = componentwise_gap(model, box, k=k, past=np.abs(h))
        tally.at_most("componentwise_gap", gap, past, k=k, h=h, xs=xs, **model.parameters)
        if layers is not None and isinstance(model, Cascade):
            norms = norms or layer_rates(model, box).norms
            sizes = [
                length(norm, gap[rows]) for norm, rows in zip(norms, model.slices, strict=True)
            ]
            tally.at_most("layer_gaps", sizes, layers, k=k, h=h, xs=xs, **model.parameters)
    if longest is not None and longest <= 12:
        xs = np.array(
            [interior(rng, box.input_low, box.input_high) for _ in range(longest)]
        ).reshape(-1, m)
        h = interior(rng, box.low, box.high)
        gap = minus(_run(step, h, xs), _run(step, np.zeros(len(h)), xs))
        tally.at_most("componentwise_context", [length(Linf(), gap)], 0.3, h=h, xs=xs)
    matrices, past = model.comparison(box), np.abs(numbers(rng, model.state_dim))
    images = [times(M, balls(past)) for M in matrices]
    for i, bound_i in enumerate(gap_after_step(matrices, past)):
        tally.at_most("advanced", [image[i] for image in images], [bound_i] * len(images))


def iterates(rng: Draw, tally: Tally) -> None:
    """Steps that contract together, converted from another norm, do so."""
    model = tame_map(rng, (LinearMap, VanillaRNN))
    c = contraction(model, effort=0)
    if c is None:
        return
    found = iterate_in_norm(c, L2(), dim=model.state_dim)
    if found is None or found.iterate > 12:
        return
    step, n = exact_step(model), model.state_dim
    for _ in range(3):
        h, g = rng.standard_normal((2, n))
        xs = rng.standard_normal((found.iterate, model.input_dim))
        apart = length(L2(), minus(_run(step, h, xs), _run(step, g, xs)))
        ratio = apart / length(L2(), minus(balls(h), balls(g)))
        tally.at_most("iterate_in_norm", [ratio], found.lam, h=h, g=g, xs=xs, **model.parameters)


def refutations(rng: Draw, tally: Tally) -> None:
    """No map is certified and refuted, and what is refuted is never contractive anywhere."""
    model = tame_map(rng, (LinearMap, VanillaRNN)).with_parameters()
    W = model.affine().W
    model = model.with_parameters(
        **{next(iter(model.parameters)): W * float(one_of(rng, 1.0, 4.0))}
    )
    found, certified = refute(model), contraction(model, effort=0)
    judged = judge_contraction(model, effort=0)
    given = dict(model.parameters)
    tally.true("refute", found is None or certified is None, **given)
    tally.true("judge_contraction", judged.answer != "refuted" or certified is None, **given)
    form = model.affine()
    exact = radius(matrix_of(form.W))
    if form.linear and exact is not None and float(form.slopes[0][0]) == 1.0:
        tally.true("refute", found is None or not exact < 1, **given)
        tally.true("contraction", certified is None or not exact > 1, **given)


def refutations_of_any(rng: Draw, tally: Tally) -> None:
    """Of any map: nothing is certified and refuted, and no bound from below is above a rate."""
    model = tame_map(rng)
    if rng.random() < 0.5 and "W" in model.parameters:
        model = model.with_parameters(W=model.parameters["W"] * float(one_of(rng, 2.0, 6.0)))
    size = float(one_of(rng, 0.1, 1.0))
    inputs = Inputs.box(-size, size)
    certified = contraction(model, inputs=inputs, effort=0)
    found = refute(model, inputs=inputs, starts=4, steps=60)
    below = rate_lower(model, inputs=inputs, length=2)
    given = {"inputs": inputs, "model": model, **model.parameters}
    tally.true("refute", found is None or certified is None, **given)
    if found is not None:
        tally.true("refute", not why_not_refuted(found, model), **given)
        tally.true("refute", all(map(inputs.contains, found.inputs)), **given)
    if certified is not None and below is not None and certified.iterate == 1:
        tally.true("rate_lower", below.rate <= certified.lam, **given)
    by_bound = refuted_by(model, below)
    if by_bound is not None:
        single = certified is not None and certified.iterate == 1
        tally.true("refuted_by", not single and not why_not_refuted(by_bound, model), **given)
        tally.true("refuted_by", all(map(inputs.contains, by_bound.inputs)), **given)
    if below is None:
        return
    product = matrix_of(np.eye(model.state_dim))
    for h, x in zip(below.states, below.inputs, strict=True):
        product = product * matrix_of(model.jacobian_state(h, x))
    exact = radius(product)
    if exact is not None:
        # the Jacobians are computed ones: up to their rounding
        growth = exact ** (Ball(1) / len(below.states))
        tally.true("rate_lower", not growth * (1 + 1e-9) + 1e-12 < below.rate, **given)


def constants(rng: Draw, tally: Tally) -> None:
    """Constants hold for difference quotients of steps in the state, and for the states reached."""
    kind = one_of(rng, LinearMap, VanillaRNN, LSTM, GRU)
    model = tame_map(rng, (kind,))
    norm = (
        L2()
        if kind in (LinearMap, VanillaRNN)
        else one_of(rng, Linf(), WeightedLinf(np.exp(rng.uniform(-1, 1, model.state_dim))))
    )
    X = _sequence(rng, model.input_dim, 6, float(one_of(rng, 0.3, 1.0)))
    found = map_constants(model, norm, inputs=X)
    if found is None:
        return
    step, n = exact_step(model), model.state_dim
    given = {"X": X, "norm": norm, "model": model, **model.parameters}
    h, states = balls(np.zeros(n)), []
    for x in X:
        tally.at_most(
            "map_constants drive",
            [length(norm, step(balls(np.zeros(n)), balls(x)))],
            found.drive,
            **given,
        )
        h = step(h, balls(x))
        states.append(h)
        tally.at_most("map_constants state_bound", [length(norm, h)], found.state_bound, **given)
    # lam: of states that are reached, and of their neighbours between
    for a, b in itertools.pairwise(states):
        apart = length(norm, minus(a, b))
        if not apart > 0:
            continue
        for x in X[:2]:
            ratio = length(norm, minus(step(a, balls(x)), step(b, balls(x)))) / apart
            tally.at_most("map_constants lam", [ratio], found.lam, **given)
    # weight_gain: of a step in one parameter
    name = one_of(rng, *found.trained)
    value = model.parameters[name]
    # a map anywhere in a ball around this one: its drive, its states and its rate
    radius = float(one_of(rng, 0.1, 1.0))
    wide = map_constants(model, norm, inputs=X, trained=(name,), radius=radius)
    if wide is not None:
        change = rng.standard_normal(value.shape) * (rng.random(value.shape) < 0.5)
        change *= radius * (1 - 2.0**-40) / max(float(np.linalg.norm(change)), 1e-300)
        far = model.with_parameters(**{name: value + change})
        run, h, old = exact_step(far), balls(np.zeros(n)), balls(np.zeros(n))
        for x in X:
            reached = length(norm, run(balls(np.zeros(n)), balls(x)))
            tally.at_most("map_constants(radius=)", [reached], wide.drive, name=name, **given)
            h, old = run(h, balls(x)), h
            reached = length(norm, h)
            tally.at_most("map_constants(radius=)", [reached], wide.state_bound, **given)
            apart = length(norm, minus(h, old))
            if apart > 0:
                moved = length(norm, minus(run(h, balls(x)), run(old, balls(x)))) / apart
                tally.at_most("map_constants(radius=)", [moved], wide.lam, name=name, **given)
    change = 2.0**-20 * rng.standard_normal(value.shape)
    other = model.with_parameters(**{name: value + change})
    moved = (
        value + change
    ) - value  # exact: neighbours within a factor of 2, or it is what is added
    family = map_constants([model, other], norm, inputs=X)
    if family is None:
        return
    size = total(Ball(float(v)) * Ball(float(v)) for v in np.ravel(moved)).sqrt()
    exact_moved = all(value.ravel() + np.ravel(moved) == (value + change).ravel())
    if size > 0 and exact_moved:
        for h, x in zip(states, X, strict=True):
            apart = length(norm, minus(step(h, balls(x)), exact_step(other)(h, balls(x))))
            tally.at_most("map_constants weight_gain", [apart / size], family.weight_gain, **given)


# memory on data -----------------------------------------------------------------------------------


def memories(rng: Draw, tally: Tally) -> None:
    """Every error above eps is counted, also one beyond the largest double."""
    explosive = rng.random() < 0.5
    if explosive:
        size = 10.0 ** float(rng.uniform(100, 200))
        model: Map = VanillaRNN([[size, -size], [0.0, 1.0]], np.eye(2), activation="relu")
    else:
        model = VanillaRNN(rng.standard_normal((2, 2)) / 2, np.eye(2))
    steps = 6
    X = np.zeros((25, steps, 2))
    if explosive:
        X[:, 1:, 0], X[:, 0, 1] = 1.0, 1.0
    else:
        X = rng.uniform(-1, 1, X.shape)
    try:
        answer = effective_memory(
            model, X, eps=0.1, probability=0.2, confidence=0.9, k_max=steps - 1
        )
    except DivergedError:
        return
    step, zero = exact_step(model), np.zeros(2)
    for number in range(2):
        runs = {
            k: [
                length(
                    L2(),
                    minus(
                        _run(step, zero, X[number, :t]),
                        _run(step, zero, X[number, max(0, t - k) : t]),
                    ),
                )
                for t in range(1, steps + 1)
            ]
            for k in range(steps)
        }
        for k, errors in runs.items():
            worst = errors[0]
            for error in errors:
                worst = worst.max(error)
            margin = Ball(2.0**-40)
            exceeds = bool(answer.exceedances[k] != 0)
            tally.true(
                "effective_memory", exceeds or not worst > Ball(0.1) + margin, X=X[number], k=k
            )
            if answer.k is not None and k >= answer.k and explosive:
                # all sequences are the same one
                tally.true(
                    "effective_memory", not worst > Ball(0.1) + margin, X=X[number], k=answer.k
                )


# projections --------------------------------------------------------------------------------------


def ball_members(rng: Draw, tally: Tally) -> None:
    """Projections onto balls of norms are members, in both precisions, and as near as any."""
    n = int(rng.integers(1, 5))
    A = rng.standard_normal((n, n)) * 10.0 ** float(one_of(rng, 0, 0, -300, -40, 30))
    limit = float(np.max(np.abs(A))) * float(rng.uniform(0.1, 2.0))
    single = rng.random() < 0.5 and 1e-44 < limit < 1e37
    W = A.astype(np.float32) if single else A
    if not (np.isfinite(W).all() and limit > 0):
        return
    v = np.exp(rng.uniform(-2, 2, n))
    rows = row_sum_ball(W, limit, weights=v)
    columns = column_sum_ball(W, limit)
    inside = spectral_ball(W, limit)
    for row in np.abs(rows):
        size = total(a * b for a, b in zip(balls(row), balls(v), strict=True))
        tally.at_most("row_sum_ball", [size], limit, W=W, v=v)
    for column in np.abs(columns).T:
        tally.at_most("column_sum_ball", [total(balls(column))], limit, W=W)
    M = matrix_of(np.asarray(inside, dtype=np.float64))
    exact = radius(M.transpose() * M)
    if exact is not None:
        tally.at_most("spectral_ball", [exact.max(ZERO).sqrt()], limit, W=W)


def _distance(A: Array, B: Array) -> Ball:
    return total(
        (x - y) ** 2 for x, y in zip(balls(np.ravel(A)), balls(np.ravel(B)), strict=True)
    ).sqrt()


def _stable(B: Array, rate: float) -> bool:
    """Return whether all eigenvalues are surely within the rate."""
    exact = radius(matrix_of(B))
    return exact is not None and bool(exact <= Ball(rate))


def _members(rng: Draw, A: Array, rate: float, found: Array) -> list[Array]:
    """Return matrices of spectral radius at most the rate, as near to A as is easily had."""
    values, vectors = np.linalg.eig(A)
    clipped = values * np.minimum(1.0, rate * (1 - 2.0**-40) / np.maximum(np.abs(values), 1e-300))
    made = [found]
    with np.errstate(all="ignore"):
        made.append(np.real(vectors @ np.diag(clipped) @ np.linalg.pinv(vectors)))
    for share in (0.5, 0.9):
        made.append(share * made[0] + (1 - share) * made[1])
    made.append(np.clip(A, -rate, rate) / len(A))
    made.append(A * rate / max(float(np.max(np.abs(values))), 1e-300) * (1 - 2.0**-40))
    for _ in range(4):
        made.append(made[0] + 10.0 ** rng.uniform(-6, -1) * rng.standard_normal(A.shape))
    return made


def distances(rng: Draw, tally: Tally) -> None:
    """No member of a set is nearer than the lower bound of its distance."""
    n = int(one_of(rng, 1, 2, 2, 3))
    A = rng.standard_normal((n, n)) * float(one_of(rng, 0.7, 1.5, 4.0))
    if rng.random() < 0.3:
        A = np.triu(A) * float(one_of(rng, 1.0, 10.0))
    rate = float(rng.uniform(0.3, 0.99))
    onto = one_of(rng, "spectral", "linf", "l1", "diagonal", "lmi", "schur")
    model = LinearMap(A, np.eye(n)) if onto in ("schur",) else VanillaRNN(A, np.eye(n))
    try:
        answer = project(model, onto=onto, rate=rate)
    except ArithmeticError:
        return
    found = next(iter(answer.map.parameters.values()))
    given = {"A": A, "rate": rate, "onto": onto}
    tally.at_least(f"project onto {onto}", [_distance(A, found)], answer.lower, **given)
    tally.at_most(f"project onto {onto}", [_distance(A, found)], answer.distance, **given)
    bounds = {
        "schur_lower": schur_lower(A, rate), "trace_lower": trace_lower(A, rate),
        "determinant_lower": determinant_lower(A, rate),
    }  # fmt: skip
    if n == 2:
        bounds["pair_distances_lower"] = float(pair_distances_lower(A[None], rate)[0])
    # its members have principal submatrices of orders 1 and 2 that are stable, too
    principal = principal_lower(A, rate)
    for B in _members(rng, A, rate, found):
        if not np.isfinite(B).all():
            continue
        if _stable(B, rate):
            for name, bound in bounds.items():
                tally.at_least(name, [_distance(A, B)], bound, B=B, **given)
        parts = [*combinations(range(n), 1), *combinations(range(n), 2)]
        if all(_stable(B[np.ix_(part, part)], rate) for part in parts):
            tally.at_least("principal_lower", [_distance(A, B)], principal, B=B, **given)
    if onto in ("diagonal", "lmi"):
        # members by a metric at hand
        D = np.exp(rng.uniform(-1, 1, n))
        M = (D[:, None] * A) / D
        U, s, V = np.linalg.svd(M)
        B = (U @ np.diag(np.minimum(s, rate * (1 - 2.0**-40))) @ V) * D / D[:, None]
        tally.at_least("principal_lower", [_distance(A, B)], principal, B=B, **given)
        for name, bound in (
            ("scaled_rows_lower", scaled_rows_lower(A, rate)),
            ("scaled_numerical_radius_lower", scaled_numerical_radius_lower(A, rate)),
        ):
            tally.at_least(name, [_distance(A, B)], bound, B=B, **given)


def gated_distances(rng: Draw, tally: Tally) -> None:
    """Projected cells are as far away as is said, and no nearer than the lower bound."""
    kind = one_of(rng, LSTM, GRU)
    cell = tame_map(rng, (kind,))
    cell = cell.with_parameters(W=cell.parameters["W"] * 6)
    name = "gru" if kind is GRU else "lstm"
    l2 = kind is LSTM or cell.variant == "reset_after"
    onto = one_of(rng, name, f"{name}_l2") if l2 else name
    answer = project(cell, onto=onto, rate=float(rng.uniform(0.75, 0.95)))
    squares = ZERO
    for name, value in cell.parameters.items():
        squares += _distance(value, answer.map.parameters[name]) ** 2
    given = dict(cell.parameters)
    tally.at_least("project gated", [squares.sqrt()], answer.lower, **given)
    tally.at_most("project gated", [squares.sqrt()], answer.distance, **given)


def parametrizations(rng: Draw, tally: Tally) -> None:
    """What a parametrization gives is inside, down to the smallest numbers of its type."""
    import torch

    from theory.torch import RowSums, SpectralBall

    n = int(rng.integers(1, 5))
    rate = 10.0 ** -float(one_of(rng, rng.uniform(0.01, 1), rng.uniform(36, 44.5)))
    X = torch.from_numpy(rng.standard_normal((n, n)) * 10.0 ** float(one_of(rng, 0, -2, 2))).float()
    try:
        W = SpectralBall(rate)(X).numpy().astype(np.float64)
        M = matrix_of(W)
        exact = radius(M.transpose() * M)
        if exact is not None:
            tally.at_most("SpectralBall", [exact.max(ZERO).sqrt()], rate, X=X, rate=rate)
    except ValueError as error:
        refused = str(error)
        tally.true("SpectralBall", "precision" in refused or "rate" in refused, refused=refused)
    limits = rate * rng.uniform(0.5, 1.0, n)
    try:
        W = RowSums(limits)(X).numpy().astype(np.float64)
        tally.at_most("RowSums", [total(balls(row)) for row in np.abs(W)], limits, X=X)
    except ValueError as error:
        refused = str(error)
        tally.true("RowSums", "precision" in refused or "limit" in refused, refused=refused)


CHECKS = (
    Check(run=kernel_tails, covers=(kernel_tail,), weight=0.3),
    Check(run=worst_cases, covers=(worst_case_error,), weight=0.3),
    Check(run=contexts, covers=(smallest_error, required_context), weight=0.06),
    Check(
        run=entrywise_gaps,
        covers=(componentwise_gap, componentwise_context, layer_gaps, layer_rates, gap_after_step),
        weight=0.1,
    ),
    Check(run=iterates, covers=(iterate_in_norm,), weight=0.2),
    Check(
        run=refutations_of_any,
        covers=(
            *(refute, refuted_by, rate_lower, product_rate),
            *(verified_cycle, never_meet, why_not_refuted),
        ),
        weight=0.1,
    ),
    Check(run=refutations, covers=(refute, judge_contraction), weight=0.02),
    Check(run=constants, covers=(map_constants,), weight=0.3),
    Check(run=memories, covers=(effective_memory,), weight=0.05),
    Check(run=ball_members, covers=(row_sum_ball, column_sum_ball, spectral_ball)),
    Check(
        run=distances,
        covers=(
            project, schur_lower, trace_lower, determinant_lower, principal_lower,
            pair_distances_lower,
            scaled_rows_lower, scaled_numerical_radius_lower,
        ),
        weight=0.05,
    ),
    Check(run=gated_distances, covers=(), weight=0.01),
    Check(run=parametrizations, covers=(), weight=0.5, needs="torch"),
)  # fmt: skip
