"""Checks of the maps: what encloses a step, what majorises differences, what is made of both."""

from __future__ import annotations

import functools
import itertools

import flint
import numpy as np
from check import Check
from definitions import activated, balls, exact_step, faded
from draws import (
    MAKERS,
    NORMS,
    Draw,
    a_function,
    a_map,
    domain,
    ends,
    interior,
    matrix,
    one_of,
    tame_map,
)
from exact import ZERO, Vector, length, minus, times
from tally import Tally

from theory import (
    L2,
    SLSTM,
    Block,
    Contraction,
    DeltaRule,
    Domain,
    Inputs,
    LinearMap,
    Linf,
    Map,
    VanillaRNN,
    WeightedL2,
    WeightedLinf,
    contraction,
)
from theory.certify import METHODS, invariant_domain
from theory.certify.certificate_file import certificate_from_dict, certificate_to_dict
from theory.certify.recheck import recheck
from theory.errors import DivergedError
from theory.maps.boxes import fading
from theory.maps.boxes.ends import complement, mixed
from theory.maps.invariance import is_invariant
from theory.maps.lengths import Lengths
from theory.maps.recurrence import LinearRecurrence
from theory.memory import (
    mean_context,
    mean_gaps,
    reach_tube,
    transition_rate,
    tube_gaps,
    window_context,
    window_decay,
    window_gaps,
)
from theory.memory.metrics import length_after
from theory.memory.walk import size_upper, walk
from theory.theorems import Terms, state_gap
from theory.typing import Array


def _states(rng: Draw, box: Domain) -> Array:
    return interior(rng, box.low, box.high)


def _inputs(rng: Draw, box: Domain) -> Array:
    return interior(rng, box.input_low, box.input_high)


def _apart(rng: Draw, box: Domain, h: Array) -> Array:
    """Return another state of the box: far away, next to it, or apart in one entry."""
    g = _states(rng, box)
    if rng.random() < 0.3:
        g = np.where(np.arange(len(h)) == rng.integers(len(h)), g, h)
    if rng.random() < 0.3:
        with np.errstate(all="ignore"):
            near = h + 2.0**-30 * (g - h)
        g = np.clip(np.where(np.isfinite(near), near, g), box.low, box.high)
    return g


def _extremes(rng: Draw, model: Map, box: Domain) -> list[tuple[Array, Array]]:
    """Return places of a box where some state after a step is least or largest, and others."""
    H, X = (np.array([pick(rng, box) for _ in range(48)]) for pick in (_states, _inputs))
    # one entry of the inputs from end to end, for the extremes that lie between
    x = _inputs(rng, box)
    j, share = rng.integers(len(x)), np.linspace(0, 1, 16)[:, None]
    first, last = (np.where(np.isfinite(e), e, x) for e in (box.input_low, box.input_high))
    with np.errstate(all="ignore"):
        line = np.where(np.arange(len(x)) == j, first * (1 - share) + last * share, x)
    line = np.clip(np.where(np.isfinite(line), line, x), box.input_low, box.input_high)
    H, X = np.vstack([H, np.tile(H[0], (16, 1))]), np.vstack([X, line])
    chosen = {0, 1, 48, 56}
    try:
        new = model.step(H, X)
    except (ValueError, DivergedError):
        new = np.full((64, model.state_dim), np.nan)
    for column in new.T:
        seen = np.flatnonzero(np.isfinite(column))
        if len(seen):
            chosen |= {int(seen[np.argmin(column[seen])]), int(seen[np.argmax(column[seen])])}
    return [(H[i], X[i]) for i in sorted(chosen)]


def images(rng: Draw, tally: Tally) -> None:
    """Images, of the map and of the layers of a stack, hold every step."""
    model = a_map(rng)
    box = domain(rng, model)
    found = model.image(box)
    if found is None:
        return
    step = exact_step(model)
    for h, x in _extremes(rng, model, box):
        new = step(balls(h), balls(x))
        name = f"{type(model).__name__}.image"
        tally.between(
            name, found[0], new, found[1], box=box.to_dict(), h=h, x=x, **model.parameters
        )


def parts_of_steps(rng: Draw, tally: Tally) -> None:
    """The pieces that images are made of hold on intervals that do not depend on each other."""
    h, w = ends(rng, 3), ends(rng, 3)
    size = float(one_of(rng, 1e-300, 1e-3, 1.0, 30.0))
    rates = np.exp(rng.uniform(-3, 3, 3))
    y = np.sort(size * rng.uniform(0, 1, (2, 3)), axis=0)
    steps = (y[0] / rates, y[1] / rates)
    share = np.sort(rng.random((2, 3)), axis=0)
    euler = fading.euler_image(rates, steps, w, h)
    turned = fading.turned_image((y[0], y[1]), w, h)
    means = mixed((share[0], share[1]), h, w)
    # the extreme may lie between the ends of the steps, wherever both states are at an end
    for t in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0):
        D = np.clip(steps[0] * (1 - t) + steps[1] * t, *steps)
        at = np.clip(y[0] * (1 - t) + y[1] * t, *y)
        part = np.clip(share[0] * (1 - t) + share[1] * t, *share)
        for a, b in ((h[0], w[0]), (h[0], w[1]), (h[1], w[0]), (h[1], w[1])):
            numbers = list(zip(*map(balls, (rates, D, at, part, a, b)), strict=True))
            given = {"rates": rates, "y": y, "h": h, "w": w, "D": D}
            exact = [faded(r * d) * p + d * q for r, d, _, _, p, q in numbers]
            tally.between("euler_image", euler[0], exact, euler[1], **given)
            exact = [faded(z) * p + (-(-2 * z).expm1()).sqrt() * q for _, _, z, _, p, q in numbers]
            tally.between("turned_image", turned[0], exact, turned[1], **given)
            exact = [s * p + (1 - s) * q for _, _, _, s, p, q in numbers]
            tally.between("mixed", means[0], exact, means[1], share=share, **given)
    first = balls(y[0])
    low, high = fading.fading((y[0], y[0]))
    tally.between("fading", low, map(faded, first), high, y=y[0])
    low, high = fading.roots(y[0])
    tally.between("roots", low, [(-(-2 * z).expm1()).sqrt() for z in first], high, y=y[0])
    low, high = fading.faded_share(y[0])
    tally.between("faded_share", low, [-((-z).expm1()) for z in first], high, y=y[0])
    low, high = complement(share[0])
    tally.between("complement", low, [1 - s for s in balls(share[0])], high, share=share[0])


def invariance(rng: Draw, tally: Tally) -> None:
    """A box that is said to be invariant is not left."""
    model = tame_map(rng)
    X = rng.uniform(-1, 1, (3, model.input_dim)) * float(one_of(rng, 0.0, 0.1, 1.0, 10.0))
    boxes = [invariant_domain(model, inputs=X)]
    grown = boxes[0]
    if grown is not None:
        # boxes next to it: some that are kept, some that are not
        shift = rng.uniform(0, 1, (2, model.state_dim))
        boxes.append(
            Domain(
                low=grown.low * shift[0], high=grown.high * shift[1],
                input_low=grown.input_low, input_high=grown.input_high,
            )
        )  # fmt: skip
    for _ in range(3):
        low, high = ends(rng, model.state_dim)
        x = _inputs(rng, domain(rng, model))
        boxes.append(Domain(low=low, high=high, input_low=x, input_high=x, start=False))
    step = exact_step(model)
    for box in boxes:
        if box is None or not is_invariant(model, box):
            continue
        for _ in range(4):
            h, x = _states(rng, box), _inputs(rng, box)
            new = step(balls(h), balls(x))
            name = "invariant_domain" if box is grown else "is_invariant"
            tally.between(name, box.low, new, box.high, h=h, x=x, **model.parameters)


def _of_terms(terms: Terms, apart: list) -> list:
    """Return max over sheets of sum_k C_k |y_k|; what is intermediate is as large as it may be."""
    n, state = terms.units, terms.state_parts
    full: list = [apart[q * n : (q + 1) * n] for q in range(state)]
    full += [None] * (terms.parts - state)

    def seen(part: int, sheet: int) -> list:
        sums = [ZERO] * n
        for k, (source, V) in enumerate(terms.signals):
            C = balls(terms.coefficients[sheet, part, k])
            if not np.any(terms.coefficients[sheet, part, k]):
                continue
            d = full[source]
            # of an intermediate difference only sizes are known
            y = d if V is None else times(V if source < state else np.abs(V), d)
            sums = [a + c * abs(b) for a, c, b in zip(sums, C, y, strict=True)]
        return sums

    def largest(part: int) -> list:
        sheets = [seen(part, sheet) for sheet in range(len(terms.coefficients))]
        return [functools.reduce(lambda a, b: a.max(b), unit) for unit in zip(*sheets, strict=True)]

    for q in range(state, terms.parts):
        full[q] = largest(q)
    return [d for q in range(state) for d in largest(q)]


def _sizes(groups: Lengths, v: Vector) -> Vector:
    """Return the lengths of the groups of a vector."""
    where = [np.flatnonzero(groups.group == i) for i in range(groups.group.max() + 1)]
    return [length(L2(), [v[j] for j in own]) for own in where]


def majorants(rng: Draw, tally: Tally) -> None:
    """Comparison matrices, gains and constants in the state majorise differences of steps."""
    model = a_map(rng)
    box = None if rng.random() < 0.2 else domain(rng, model)
    where = box or Domain(
        low=np.full(model.state_dim, -10.0), high=np.full(model.state_dim, 10.0),
        input_low=np.full(model.input_dim, -10.0), input_high=np.full(model.input_dim, 10.0),
    )  # fmt: skip
    matrices, gains = model.comparison(box), model.input_comparison(box)
    terms, groups = model.terms(box), model.group_comparison(box)
    norm = one_of(rng, *NORMS.values())(rng, model.state_dim)
    constant = model.state_lipschitz(norm, box)
    step, kind = exact_step(model), type(model).__name__
    for _ in range(4):
        h, x, y = _states(rng, where), _inputs(rng, where), _inputs(rng, where)
        g = _apart(rng, where, h)
        given = {"h": h, "g": g, "x": x, "box": None if box is None else box.to_dict()}
        given |= dict(model.parameters)
        new, other = step(balls(h), balls(x)), step(balls(g), balls(x))
        apart = [abs(d) for d in minus(balls(h), balls(g))]
        moved = minus(new, other)
        if matrices is not None:
            bounds = [times(M, apart) for M in matrices]
            for i, d in enumerate(moved):
                largest = bounds[0][i]
                for bound in bounds[1:]:
                    largest = largest.max(bound[i])
                tally.no_less(f"{kind}.comparison", abs(d), largest, **given)
        if groups is not None:
            sizes = _sizes(groups, minus(balls(h), balls(g)))
            bounds = [times(M, sizes) for M in groups.own]
            for i, d in enumerate(_sizes(groups, moved)):
                largest = functools.reduce(lambda a, b: a.max(b), [bound[i] for bound in bounds])
                tally.no_less(f"{kind}.group_comparison", d, largest, **given)
            if groups.rest is not None:
                rest = _sizes(groups, step(balls(np.zeros(model.state_dim)), balls(x)))
                tally.at_most(f"{kind}.group_comparison.rest", rest, groups.rest, **given)
            if groups.seen is not None:
                seen = times(groups.seen, [abs(d) for d in minus(balls(x), balls(y))])
                sizes = _sizes(groups, minus(new, step(balls(h), balls(y))))
                for d, bound in zip(sizes, seen, strict=True):
                    tally.no_less(f"{kind}.group_comparison.seen", d, bound, y=y, **given)
        if terms is not None:
            for d, bound in zip(moved, _of_terms(terms, minus(balls(h), balls(g))), strict=True):
                tally.no_less(f"{kind}.terms", abs(d), bound, **given)
        if gains is not None:
            seen = times(gains, [abs(d) for d in minus(balls(x), balls(y))])
            for d, bound in zip(minus(new, step(balls(h), balls(y))), seen, strict=True):
                tally.no_less(f"{kind}.input_comparison", abs(d), bound, y=y, **given)
        size = length(norm, apart)
        if constant is not None and size > 0:
            ratio = length(norm, moved) / size
            tally.at_most("state_lipschitz", [ratio], constant, norm=norm, **given)
        gain = model.input_lipschitz(norm)
        size = length(norm.companion, minus(balls(x), balls(y)))
        if gain is not None and size > 0:
            ratio = length(norm, minus(new, step(balls(h), balls(y)))) / size
            tally.at_most("input_lipschitz", [ratio], gain, norm=norm, y=y, **given)


def slopes(rng: Draw, tally: Tally) -> None:
    """Difference quotients in one entry are those of the matrices of a step."""
    model = a_map(rng)
    box = domain(rng, model)
    found, seen = model.slope_range(box), model.input_slope_range(box)
    step = exact_step(model)
    given = {"box": box.to_dict(), "model": model, **model.parameters}
    for _ in range(4):
        h, x = _states(rng, box), _inputs(rng, box)
        new = step(balls(h), balls(x))
        for known, at, other in ((found, h, _states(rng, box)), (seen, x, _inputs(rng, box))):
            j = int(rng.integers(len(at)))
            if known is None or at[j] == other[j]:
                continue
            moved = np.where(np.arange(len(at)) == j, other, at)
            pair = (moved, x) if known is found else (h, moved)
            apart = balls(at)[j] - balls(moved)[j]
            quotients = [d / apart for d in minus(new, step(*map(balls, pair)))]
            name = "slope_range" if known is found else "input_slope_range"
            tally.between(name, known[0][:, j], quotients, known[1][:, j], h=h, x=x, **given)


def forms(rng: Draw, tally: Tally) -> None:
    """Slopes on a box are those between the pre-activations that are met there."""
    model = a_map(rng)
    box = domain(rng, model)
    form = model.affine_on(box)
    if form is None:
        return
    low, high = form.slopes
    for _ in range(6):
        h, x = _states(rng, box), _inputs(rng, box)
        pair = []
        for state in (h, _apart(rng, box, h)):
            driven = zip(
                times(form.W, balls(state)), times(form.U, balls(x)), balls(form.b), strict=True
            )
            pair.append([sum(parts, ZERO) for parts in driven])
        for i, (a, c) in enumerate(zip(*pair, strict=True)):
            if a == c or not (a > c or c > a):
                continue
            secant = (activated(form.rho.name, a) - activated(form.rho.name, c)) / (a - c)
            tally.between(
                "affine_on", low[i], [secant], high[i], h=h, x=x, W=form.W, U=form.U, b=form.b,
                rho=form.rho.name, box=box.to_dict(),
            )  # fmt: skip


def _sets(rng: Draw, m: int) -> list[tuple[Inputs, list[Array]]]:
    """Return sets of inputs of every kind, each with members."""
    box = ends(rng, m)
    rows = np.array([interior(rng, *ends(rng, m)) for _ in range(3)])
    norm = one_of(rng, *NORMS.values())(rng, m)
    seen, ball = Inputs.seen(rows, float(one_of(rng, 0.0, 0.1))), Inputs.ball(1.0, norm)
    corners = [np.eye(m)[0], np.ones(m), rng.standard_normal(m)]
    with np.errstate(all="ignore"):
        scaled = [x / float(norm.vector_upper(x)) for x in corners]
    inside = [x * (1 - 2.0**-50) for x in scaled if np.isfinite(x).all()]
    between = [rows[0] * s + rows[1] * (1 - s) for s in (0.5, 0.9)]
    return [
        (Inputs.box(*box), [interior(rng, *box) for _ in range(3)]),
        (Inputs.any_of(rows), list(rows)),
        (seen, [x for x in (*rows, *between) if np.isfinite(x).all() and seen.contains(x)]),
        (ball, [x for x in inside if ball.contains(x)]),
    ]


def inputs(rng: Draw, tally: Tally) -> None:
    """What is said of a set of inputs holds for its members."""
    m = int(rng.integers(1, 4))
    sets = _sets(rng, m)
    U, norm = matrix(rng, 2, m), one_of(rng, *NORMS.values())(rng, m)
    for given, members in sets:
        size, image, reach = given.norm_upper(norm, m), given.image_upper(U), given.reach(m)
        for x in members:
            said = {"inputs": given, "x": x, "U": U, "norm": norm}
            tally.at_most("Inputs.norm_upper", [length(norm, balls(x))], size, **said)
            tally.at_most("Inputs.image_upper", map(abs, times(U, balls(x))), image, **said)
            tally.at_most("Inputs.reach", map(abs, balls(x)), reach, **said)
            for other, _ in sets:
                if given.within(other, m):
                    tally.true("Inputs.within", other.contains(x), other=other, **said)


def drives(rng: Draw, tally: Tally) -> None:
    """No input drives a state at rest further than the drive."""
    model = a_map(rng)
    norm = one_of(rng, *NORMS.values())(rng, model.state_dim)
    step, rest = exact_step(model), balls(np.zeros(model.state_dim))
    for given, members in _sets(rng, model.input_dim):
        try:
            seen = model.drive(norm, inputs=given)
        except (DivergedError, ValueError):  # a refusal
            continue
        for x in members:
            size = length(norm, step(rest, balls(x)))
            tally.at_most(
                "drive", [size], seen.size, norm=norm, x=x, inputs=given, **model.parameters
            )


def chains(rng: Draw, tally: Tally) -> None:
    """A bound made of a certificate and a drive holds for the inputs of both, or is refused."""
    model = tame_map(rng, (LinearMap, VanillaRNN))
    n, m, k = model.state_dim, model.input_dim, int(rng.integers(0, 5))
    sets = [Inputs.box(-1, 1), Inputs.ball(1), Inputs.box(-0.2, 0.5), Inputs.ball(0.3)]
    asked, driven = one_of(rng, *sets), one_of(rng, *sets)
    c = contraction(model, inputs=asked, effort=0)
    if c is None or c.iterate > 1:
        return
    try:
        bound = state_gap(c, k=k, drive=model.drive(c.norm, inputs=driven))
    except ValueError:
        tally.true("state_gap", c.domain is not None, c=c, driven=driven)
        return
    step = exact_step(model)
    corners = np.where(rng.random((15, m)) < 0.5, *driven.ends(m))
    xs = np.array([driven.near(x) for x in corners])
    h, g = balls(np.zeros(n)), balls(np.zeros(n))
    for t, x in enumerate(xs):
        h = step(h, balls(x))
        g = step(g, balls(x)) if t >= len(xs) - k else g
    gap = length(c.norm, minus(h, g))
    tally.at_most("state_gap", [gap], bound, c=c, driven=driven, k=k, **model.parameters)


def decays(rng: Draw, tally: Tally) -> None:
    """A recurrence without feedback shrinks by what is said."""
    kinds = tuple(kind for kind in MAKERS if issubclass(kind, LinearRecurrence))
    model = a_map(rng, kinds)
    assert isinstance(model, LinearRecurrence)
    box = domain(rng, model)
    low, high = model.decay_range((box.input_low, box.input_high))
    step, n = exact_step(model), model.state_dim
    zero, one = balls(np.zeros(n)), balls(np.ones(n))

    def decay(x: Array) -> Vector:
        return minus(step(one, balls(x)), step(zero, balls(x)))

    for _ in range(3):
        x = _inputs(rng, box)
        tally.between("decay_range", low, decay(x), high, x=x, **model.parameters)
    window = np.array([_inputs(rng, box) for _ in range(int(rng.integers(1, 5)))])
    low, high = window_decay(model, window)
    product = one
    for x in window:
        product = [a * b for a, b in zip(product, decay(x), strict=True)]
    tally.between("window_decay", low, product, high, window=window, **model.parameters)


def windows(rng: Draw, tally: Tally) -> None:
    """No past of a size is left larger than is said, some is left as large, and no rate is less."""
    kinds = (*(kind for kind in MAKERS if issubclass(kind, LinearRecurrence)), DeltaRule)
    model: LinearRecurrence | DeltaRule | Block
    drawn = tame_map(rng, kinds)
    assert isinstance(drawn, LinearRecurrence | DeltaRule)
    model = drawn
    if rng.random() < 0.3:

        def W(*shape: int) -> Array:
            return rng.standard_normal(shape)

        m = int(rng.integers(1, 3))
        model = Block(drawn, before=a_function(rng, W, m, drawn.input_dim, 1))
    k = int(rng.integers(1, 6))
    x = rng.standard_normal((k, model.input_dim)) * float(one_of(rng, 0.0, 0.3, 1.0, 5.0))
    low, high = window_gaps(model, x)
    rate = transition_rate(model, x)
    step, n = exact_step(model), model.state_dim
    columns = [balls(row) for row in np.eye(n)]
    zero = balls(np.zeros(n))
    for row in x:
        rest = step(zero, balls(row))
        columns = [minus(step(column, balls(row)), rest) for column in columns]
        # the origin moves with the inputs; differences do not
        columns = [list(column) for column in columns]
    given = {"x": x, "model": model, **model.parameters}
    whole = length(L2(), [a for column in columns for a in column])
    tally.no_less("window_gaps", flint.arb(float(low[-1])), whole, **given)
    for column in (*columns, _combined(rng, columns)):
        tally.at_most("window_gaps", [length(L2(), column)], high[-1], **given)
        tally.at_most("transition_rate", [length(L2(), column)], rate**k * (1 + 1e-12), **given)
    eps = float(high[-1])
    if eps > 0:
        found = window_context(model, x, eps=eps * (1 + 2.0**-40))
        tally.true("window_context", found.k is not None and found.k <= k, **given)


def _combined(rng: Draw, columns: list) -> list:
    """Return a combination of columns with coefficients of length 1, rounded inward."""
    c = rng.standard_normal(len(columns))
    c = c / np.linalg.norm(c) * (1 - 2.0**-40)
    return [
        sum((flint.arb(float(a)) * v for a, v in zip(c, row, strict=True)), ZERO)
        for row in zip(*columns, strict=True)
    ]


def along(rng: Draw, tally: Tally) -> None:
    """A state of any past is within the tube of the truncated run, as it was computed."""
    model = tame_map(rng)
    k = int(rng.integers(1, 5))
    x = rng.standard_normal((k, model.input_dim)) * float(one_of(rng, 0.0, 0.3, 1.0))
    try:
        domain = invariant_domain(model, inputs=x)
        if domain is None:
            return
        gaps = tube_gaps(model, x, k=k, domain=domain)
    except ValueError as error:
        if "no matrix is known" in str(error) or "no gain of" in str(error):
            return
        raise
    step, last = exact_step(model), model.simulate(x)[-1]
    for _ in range(2):
        start = interior(rng, domain.low, domain.high)
        h = balls(start)
        for row in x:
            h = step(h, balls(row))
        apart = [abs(d) for d in minus(h, balls(last))]
        tally.at_most("tube_gaps", apart, gaps, start=start, x=x, model=model, **model.parameters)


def tubes(rng: Draw, tally: Tally) -> None:
    """A tube holds the states of every past, of stacks too."""
    model = tame_map(rng)
    k = int(rng.integers(1, 6))
    x = rng.standard_normal((k, model.input_dim)) * float(one_of(rng, 0.0, 0.3, 1.0, 5.0))
    if rng.random() < 0.3:
        x[1:] = 0.0
    try:
        tube = reach_tube(model, x, k=k, boxes=int(one_of(rng, 1, 1, 3)))
    except ValueError as error:
        if "no bounded box" in str(error) or "has no enclosure" in str(error):
            return
        raise
    step = exact_step(model)
    norm = one_of(rng, L2(), Linf(), NORMS[WeightedL2](rng, model.state_dim))
    ends_of = []
    for start in (
        np.zeros(model.state_dim),
        *(interior(rng, tube.low[0], tube.high[0]) for _ in "ab"),
    ):
        h = balls(start)
        for t in range(k):
            h = step(h, balls(x[t]))
            tally.between(
                "reach_tube", tube.low[t + 1], h, tube.high[t + 1], start=start, x=x, t=t,
                **model.parameters,
            )  # fmt: skip
            far = length(L2(), minus(h, balls(tube.known[t + 1])))
            tally.at_most("ReachTube.lengths", [far], tube.lengths[t + 1], x=x, **model.parameters)
        ends_of.append(h)
    gaps = tube.gap(norm)
    for a, b in itertools.combinations(ends_of, 2):
        gap = length(norm, minus(a, b))
        tally.at_most("ReachTube.gap", [gap], gaps[-1], norm=norm, x=x, **model.parameters)
        widths = [abs(d) for d in minus(a, b)]
        tally.at_most("ReachTube.widths", widths, tube.widths[-1], x=x, **model.parameters)


# certificates -------------------------------------------------------------------------------------


def _coordinates(c: Contraction, n: int) -> Array:
    if isinstance(c.norm, WeightedL2):
        return np.linalg.cholesky(c.norm.P).T
    v = getattr(c.norm, "v", None)
    if v is None:
        return np.eye(n)
    return np.diag(1 / v if isinstance(c.norm, WeightedLinf) else v)


def _directions(rng: Draw, c: Contraction, J: Array) -> Array:
    """Return directions that a Jacobian stretches most in the norm, as far as doubles tell."""
    n = len(J)
    T = _coordinates(c, n)
    with np.errstate(all="ignore"):
        B = T @ J @ np.linalg.inv(T)
    if not np.isfinite(B).all():
        return np.eye(n)
    found = [
        *np.eye(n),
        *np.where(B < 0, -1.0, 1.0),
        np.linalg.svd(B)[2][0],
        rng.standard_normal(n),
    ]
    with np.errstate(all="ignore"):
        back = np.linalg.solve(T, np.array(found).T).T
    return back[np.isfinite(back).all(axis=1) & np.any(back != 0, axis=1)]


def _stretched(
    rng: Draw, model: Map, c: Contraction, box: Domain
) -> tuple[Array, Array, Array, float] | None:
    """Return states and inputs whose distance grows most, of many that are tried in doubles."""
    best: tuple[Array, Array, Array, float] | None = None
    for _ in range(6):
        h, xs = _states(rng, box), np.array([_inputs(rng, box) for _ in range(c.iterate)])
        J, at = np.eye(len(h)), h
        for x in xs:
            J, at = model.jacobian_state(at, x) @ J, model.step(at, x)
        for d in _directions(rng, c, J):
            for size in (2.0**-30, 0.1, 1.0):
                g = np.clip(h + size * d / np.max(np.abs(d)), box.low, box.high)
                a, b = h, g
                for x in xs:
                    a, b = model.step(a, x), model.step(b, x)
                apart = float(c.norm.vector(h - g))
                ratio = float(c.norm.vector(a - b)) / apart if apart > 0 else 0.0
                if np.isfinite(ratio) and apart > 0 and (best is None or ratio > best[3]):
                    best = h, g, xs, ratio
    return best


def certificates(rng: Draw, tally: Tally) -> None:
    """Two states never stay further apart than a method certifies, or a file that is accepted."""
    model = tame_map(rng)
    n, m = model.state_dim, model.input_dim
    method = one_of(rng, *METHODS)
    bound = float(one_of(rng, 0.1, 1.0))
    where = (
        invariant_domain(model, inputs=Inputs.box(-bound, bound)) if rng.random() < 0.6 else None
    )
    c = contraction(model, method=method, domain=where)
    if c is None or c.iterate > 6:
        return
    box = c.domain or Domain(
        low=np.full(n, -3.0), high=np.full(n, 3.0),
        input_low=np.full(m, -3.0), input_high=np.full(m, 3.0),
    )  # fmt: skip
    pair = _stretched(rng, model, c, box)
    if pair is None:
        return
    h, g, xs, _ = pair
    step, a, b = exact_step(model), balls(h), balls(g)
    for x in xs:
        a, b = step(a, balls(x)), step(b, balls(x))
    ratio = length(c.norm, minus(a, b)) / length(c.norm, minus(balls(h), balls(g)))
    given = {"h": h, "g": g, "xs": xs, "norm": c.norm, "model": model, **model.parameters}
    tally.at_most(f"contraction by {method}", [ratio], c.lam, **given)
    data = certificate_to_dict(model, c)
    stored = certificate_from_dict(data)
    tally.at_most("recheck", [ratio], stored.rate, **given)
    # a file that claims less than what was just measured must not be accepted
    below = float(ratio.mid()) * (1 - 2.0**-30)
    if 0 < below < c.lam:
        data["rate"] = below.hex()
        tally.true("recheck", not recheck(certificate_from_dict(data), model), below=below, **given)


def means(rng: Draw, tally: Tally) -> None:
    """An sLSTM without recurrent weights: exact runs from the worst past and from others."""
    n, m, T = int(rng.integers(1, 4)), int(rng.integers(1, 3)), int(rng.integers(0, 7))
    size = one_of(rng, 0.3, 3.0, 100.0)
    U, b = size * rng.standard_normal((4 * n, m)), rng.standard_normal(4 * n)
    cell = SLSTM(np.zeros((4 * n, n)), U, b, one_of(rng, "sigmoid", "exp"))
    X, N = rng.standard_normal((T, m)), np.exp(rng.uniform(-5, 5, n))
    lower, upper = mean_gaps(cell, X, normaliser=N)
    step = exact_step(cell)

    def ends(h: Vector, k: int) -> Vector:
        for x in X[T - k :]:
            h = step(h, balls(x))
        return h[:n]

    for k in range(T + 1):
        cut = ends([ZERO] * (3 * n), k)
        signs = [flint.arb(-1 if float(y.mid()) > 0 else 1) for y in cut]
        full = [(flint.arb(float(a)) + 1).log() for a in N]
        worst = minus(ends([*signs, *full, *[ZERO] * n], k), cut)
        tally.at_most("mean gap", [length(L2(), worst)], upper[k], X=X, k=k)
        tally.at_least("attained", [length(L2(), worst)], lower[k], X=X, k=k)
        start = balls(rng.uniform(-1, 1, n)) + [s * float(rng.random()) for s in full]
        some = minus(ends([*start, *[ZERO] * n], k), cut)
        tally.at_most("mean gap of some past", [length(L2(), some)], upper[k], X=X, k=k)
    found = mean_context(cell, X, eps=float(one_of(rng, 1e-3, 0.1, 0.5)), normaliser=N)
    tally.true("context", found.k is None or upper[found.k] == found.error)


CHECKS = (
    Check(run=images, covers=(Map.image,), weight=2.0),
    Check(
        run=parts_of_steps,
        covers=(
            fading.euler_image,
            fading.turned_image,
            fading.fading,
            fading.roots,
            fading.faded_share,
            mixed,
            complement,
        ),
    ),
    Check(run=invariance, covers=(invariant_domain, is_invariant)),
    Check(
        run=majorants,
        covers=(
            Map.comparison,
            Map.group_comparison,
            Map.input_comparison,
            Map.state_lipschitz,
            Map.input_lipschitz,
            Map.terms,
        ),
        weight=2.0,
    ),
    Check(run=slopes, covers=(Map.slope_range, Map.input_slope_range), weight=2.0),
    Check(run=forms, covers=(Map.affine_on,)),
    Check(
        run=inputs,
        covers=(Inputs.norm_upper, Inputs.image_upper, Inputs.reach, Inputs.within),
    ),
    Check(run=drives, covers=(Map.drive,), weight=0.5),
    Check(run=chains, covers=(state_gap,)),
    Check(run=decays, covers=(LinearRecurrence.decay_range, window_decay)),
    Check(run=windows, covers=(window_gaps, window_context, transition_rate)),
    Check(run=means, covers=(mean_gaps, mean_context)),
    Check(run=along, covers=(tube_gaps,)),
    Check(run=tubes, covers=(reach_tube, Map.carry, walk, size_upper, length_after)),
    Check(
        run=certificates,
        covers=(contraction, recheck, certificate_from_dict, certificate_to_dict),
        weight=0.4,
    ),
)
