"""theory.arithmetic.rounding against exact rational arithmetic and against balls of 300 bits."""

import ast
import math
import sys
from fractions import Fraction
from pathlib import Path

import flint
import numpy as np
import pytest
from enclosures import may_be_at_least, may_be_at_most
from hypothesis import example, given, target
from hypothesis import strategies as st
from mpmath import iv
from targets import aimed
from trees import nodes_of

from theory import THEOREMS, LinearMap, Linf, VanillaRNN
from theory.arithmetic.activations import SIGMOID
from theory.arithmetic.rigor import row_sum_upper
from theory.arithmetic.rounded import Rounded
from theory.arithmetic.rounding import (
    ELEMENTARY_UNITS,
    TINY,
    UNIT,
    decimal_down,
    decimal_rate,
    decimal_up,
    down,
    drift,
    evaluate,
    formula_slack,
    gamma,
    inner_product_error,
    ldexp_down,
    ldexp_up,
    product_up,
    scaled_to_one,
    sqrt_up,
    sum_up,
    up,
)
from theory.theorems.gradient_gap_finite import GRADIENT_GAP_FINITE

LARGEST = sys.float_info.max
finite = st.floats(0.0, LARGEST)
#: Sizes over the whole range of doubles, and ordinary ones, which meet rounding more often.
sizes = st.one_of(finite, st.floats(0.0, 4.0), st.sampled_from([0.0, 1.0, TINY, 3 * TINY, LARGEST]))
#: Contraction factors, those at the ends of [0, 1) included.
rates = st.one_of(
    st.sampled_from([0.0, TINY, 0.5, 0.9, 1 - 2.0**-53, 1 - 2.0**-52, 2.0**-500]),
    st.floats(0.0, 1.0, exclude_max=True),
)


def smallest_above(value: float, exact: Fraction, ulps: int = 1) -> bool:
    """Whether `value` is an upper bound of `exact`, fewer than so many doubles above it."""
    below = value
    for _ in range(ulps):
        below = down(below)
    above = math.isinf(value) or Fraction(value) >= exact
    return above and (value == 0 or math.isinf(below) or Fraction(below) < exact)


def largest_below(value: float, exact: Fraction, ulps: int = 1) -> bool:
    """Whether `value` is a lower bound of `exact`, fewer than so many doubles below it."""
    above = value
    for _ in range(ulps):
        above = up(above)
    below = math.isinf(value) or Fraction(value) <= exact
    return below and (math.isinf(above) or Fraction(above) > exact)


# ------------------------------------------------------------------------- units and neighbours


def test_units():
    assert 1.0 + UNIT == 1.0 < 1.0 + 2 * UNIT == up(1.0)
    assert 0.0 < TINY == up(0.0)
    assert TINY / 2 == 0.0


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_up_and_down_are_inverse_neighbours(x):
    assert down(x) < x < up(x)
    assert down(up(x)) == x or math.isinf(up(x))
    assert up(down(x)) == x or math.isinf(down(x))


# ----------------------------------------------------------------------------------------- gamma


@given(st.integers(1, 2**51 - 1))
@example(1)
@example(2**51 - 1)
def test_gamma_is_an_upper_bound_of_n_u_over_one_minus_n_u(n):
    u = Fraction(UNIT)
    exact = n * u / (1 - n * u)
    # n u is exact and rounded up once; 1 - n u once down after a rounding; the quotient once up
    # after a rounding: relative 2 u + 4 u + 3 u to first order, as 1 - n u > 3/4
    assert exact <= Fraction(gamma(n)) <= exact * (1 + 10 * u)


def test_gamma_at_the_ends():
    assert 0.0 <= gamma(0) <= 4 * TINY
    for n in (-1, 2**51, 2**60):
        with pytest.raises(ValueError, match=rf"gamma\({n}\): needed 0 <= n"):
            gamma(n)


# ---------------------------------------------------------------- sums, products, roots, upward


@given(st.lists(sizes, max_size=30))
@example([1.0, UNIT / 2])
@example([LARGEST, TINY])
@example([LARGEST, LARGEST])
@example([math.inf, 1.0])
@example([2.0**1023, 2.0**1023])
def test_sum_up_is_the_smallest_double_above(values):
    total = sum_up(values)
    if math.inf in values:
        assert total == math.inf
    else:
        assert smallest_above(total, sum(map(Fraction, values), Fraction(0)))


@given(st.lists(sizes, max_size=12).flatmap(lambda x: st.tuples(st.just(x), st.permutations(x))))
def test_sum_up_does_not_depend_on_the_order(pair):
    assert sum_up(pair[0]) == sum_up(iter(pair[1]))


@given(sizes, sizes)
@example(TINY, TINY)
@example(1 + 2 * UNIT, 1 + 2 * UNIT)
@example(LARGEST, 1.0)
@example(LARGEST, 2.0)
def test_product_up_is_above_and_within_two_doubles(a, b):
    # rounding to nearest may already have gone up, and one more double is added
    assert smallest_above(product_up(a, b), Fraction(a) * Fraction(b), ulps=2)
    assert product_up(a, 1.0) == product_up(1.0, a) == a
    assert product_up(a, 0.0) == product_up(0.0, a) == 0.0


@given(sizes)
@example(2.0)
@example(TINY)
@example(up(4.0))
@example(down(4.0))
def test_sqrt_up_is_the_smallest_double_above(x):
    root = sqrt_up(x)
    assert Fraction(root) ** 2 >= Fraction(x)
    assert root == 0 or Fraction(down(root)) ** 2 < Fraction(x)


def test_sqrt_up_keeps_exact_squares_and_infinity():
    for root in (0.0, 1.0, 3.0, 1.5, 2.0**-537, 2.0**511):
        assert sqrt_up(root * root) == root
    assert sqrt_up(math.inf) == math.inf


@given(
    st.integers(1, 40).flatmap(
        lambda n: st.tuples(*(st.lists(st.floats(-1e3, 1e3), min_size=n, max_size=n),) * 2)
    )
)
def test_inner_product_error_covers_sums_of_products(pair):
    a, b = np.array(pair[0]), np.array(pair[1])
    exact = sum((Fraction(x) * Fraction(y) for x, y in zip(*pair, strict=True)), Fraction(0))
    bound = Fraction(float(inner_product_error(np.abs(a) @ np.abs(b), len(a))))
    for computed in (a @ b, sum(x * y for x, y in zip(*pair, strict=True))):
        assert abs(Fraction(float(computed)) - exact) <= bound


def test_inner_product_error_of_a_sum_that_cancels():
    a = np.array([1.0, 2.0**-53, -1.0])
    error = abs(Fraction(float(np.ones(3) @ a)) - Fraction(2.0**-53))
    assert error <= Fraction(float(inner_product_error(np.abs(a).sum(), 3)))
    assert inner_product_error(np.array(0.0), 3) >= 3 * TINY  # three products may underflow


# -------------------------------------------------------------------------------------- evaluate


@st.composite
def arguments(draw, theorem, values=sizes, lam=rates, longest=40):
    """Draw arguments of a theorem's formula, with k <= t."""
    k = draw(st.integers(0, longest))
    known = {"k": k, "t": k + draw(st.integers(0, longest))}
    known |= {"blocks": k, "rest": draw(st.integers(0, 5))}
    drawn = {
        name: known[name] if name in known else draw(lam if name.startswith("lam") else values)
        for name in theorem.symbols
    }
    return DOMAINS.get(theorem.name, dict)(drawn)


def growing(drawn):
    return {"factor": 1.0 + min(drawn["factor"], 9.0), "t": max(drawn["t"], 2)}


def apart(rate):
    second = min(max(rate, 0.01), 0.9)
    return {"first": second / 2, "second": second}


#: Where a formula is a bound only for some values of its arguments: what moves any into those.
DOMAINS = {
    "contractive_of_gate_norms": lambda q: q | {"forget": min(q["forget"], 1 - UNIT)},
    "contractive_of_gru_norms": lambda q: q | {n: min(q[n], 1.0) for n in ("update", "candidate")},
    "nearest_point_distance": lambda q: q | {"inner": max(q["support"], q["inner"])},
    # tau = tanh(diameter / 4); far below 1 its powers leave the range of doubles
    "filter_contraction": lambda q: q | {"tau": min(max(q["tau"], 0.01), 1 - UNIT)},
    "weight_gap": lambda q: q | {"amplification": 1.0 + q["amplification"]},
    "gradient_growth": growing,
    "curvature_growth": growing,
    # two rates apart; where they are near, their difference has few digits and the limit serves
    "cascade_gap": lambda q: q | apart(q["second"]),
}


def exactly(theorem, chosen) -> Fraction:
    q = {name: v if isinstance(v, int) else Fraction(v) for name, v in chosen.items()}
    return Fraction(theorem.formula(**q))


def legal(theorem, chosen) -> bool:
    """Return whether the formula is defined there: no divisor is zero, no leak is above 1."""
    if not float(chosen.get("leak", 0.0)) <= 1:
        return False
    try:
        exactly(theorem, chosen)
    except ZeroDivisionError:
        return False
    return True


@pytest.mark.parametrize("theorem", THEOREMS, ids=lambda theorem: theorem.name)
@given(data=st.data())
def test_evaluate_rounds_every_formula_outward_once(theorem, data):
    chosen = data.draw(arguments(theorem).filter(lambda c: legal(theorem, c)))
    exact = exactly(theorem, chosen)
    upper = evaluate(theorem.formula, **chosen)
    lower = evaluate(theorem.formula, upward=False, **chosen)
    # "up to one unit in the last place": at most the second double beside the value
    assert smallest_above(upper, exact, ulps=2)
    assert largest_below(lower, exact, ulps=2)


def test_evaluate_at_the_ends_of_the_range():
    power = {"formula": lambda lam, k: lam**k}
    assert evaluate(**power, lam=0.0, k=0) == 1.0
    assert evaluate(**power, lam=0.0, k=7) == 0.0
    assert evaluate(**power, lam=1 - UNIT, k=1) == 1 - UNIT
    # a positive value below the smallest double is not zero
    assert evaluate(**power, lam=0.5, k=5000) == TINY
    assert evaluate(**power, lam=0.5, k=5000, upward=False) == 0.0
    # between two of the smallest doubles
    assert evaluate(lambda lam, k: 5 * lam**k, lam=0.5, k=1076) == 2 * TINY
    assert evaluate(lambda lam, k: 5 * lam**k, lam=0.5, k=1076, upward=False) == TINY
    assert evaluate(lambda x: -5 * x / 4, x=TINY) == -TINY
    # a finite value above the largest double is not infinite
    assert evaluate(lambda x: x * x, x=1e200) == math.inf
    assert evaluate(lambda x: x * x, x=1e200, upward=False) == LARGEST
    assert evaluate(lambda x: -x * x, x=1e200) == -LARGEST


@given(rates, st.integers(0, 10**12))
@example(1 - UNIT, 10**12)
@example(1 - UNIT, 2**53)
def test_evaluate_of_huge_powers(lam, k):
    computed = [evaluate(lambda lam, k: lam**k, upward=u, lam=lam, k=k) for u in (False, True)]
    saved = flint.ctx.prec
    try:
        flint.ctx.prec = 400
        power = flint.arb(lam) ** k
        assert may_be_at_least(power, flint.arb(computed[0]))
        assert may_be_at_most(power, flint.arb(computed[1]))
    finally:
        flint.ctx.prec = saved
    assert computed[1] <= up(up(up(computed[0])))


@pytest.mark.parametrize("lam", [0.3, 0.999, 2.0**-40, 1 - UNIT])
def test_evaluate_of_terms_that_cancel(lam):
    def difference(lam, k, t):
        return lam**k - lam**t

    # all of it: not more than the smallest double is left, on either side
    assert 0.0 <= evaluate(difference, lam=lam, k=5, t=5) <= TINY
    assert -TINY <= evaluate(difference, upward=False, lam=lam, k=5, t=5) <= 0.0
    # nearly all of it, so that no bit of the first try is right
    small = evaluate(lambda lam, half, k: lam - lam * (1 - half**k), lam=lam, half=0.5, k=200)
    assert small == lam * 2.0**-200


def test_evaluate_takes_numpy_integers_as_integers():
    assert evaluate(lambda lam, k: lam**k, lam=0.5, k=np.int64(3)) == 0.125
    assert evaluate(lambda k: k * 3, k=3) == 9.0


def test_evaluate_leaves_the_interval_context_as_it_was():
    before = iv.prec
    evaluate(lambda lam: 1 / (1 - lam), lam=0.3)
    with pytest.raises(ZeroDivisionError, match="not finite at"):
        evaluate(lambda lam: 1 / (1 - lam), lam=1.0)
    assert iv.prec == before


@pytest.mark.parametrize("theorem", THEOREMS, ids=lambda theorem: theorem.name)
@aimed
@given(data=st.data())
def test_formula_slack_covers_plain_doubles(theorem, data):
    # sizes and powers that neither overflow nor underflow: the slack is relative
    usual = st.floats(1e-9, 1e9)
    lam = st.floats(0.01, 1.0, exclude_max=True)
    chosen = data.draw(arguments(theorem, usual, lam).filter(lambda c: legal(theorem, c)))
    exact = exactly(theorem, chosen)
    arrays = {name: np.array([float(v)]) for name, v in chosen.items()}
    computed = Fraction(float(theorem.formula(**arrays)[0]))
    slack = Fraction(formula_slack(float(chosen.get("lam", 0.0)), theorem.order)) * exact
    assert abs(computed - exact) <= slack
    target(float(abs(computed - exact) / slack) if slack else 0.0, label="share of the slack")


def test_the_slack_of_a_formula_that_cancels_twice():
    rest = dict.fromkeys(("past", "weight_gain", "loss_gain", "beta_hh", "beta_wh", "beta_p"), 1.0)
    chosen = {"lam": 0.99999, "k": 2, "t": 2, **rest, "beta_wh": 0.0, "beta_p": 0.0}
    exact = exactly(GRADIENT_GAP_FINITE, chosen)
    error = abs(Fraction(GRADIENT_GAP_FINITE.formula(**chosen)) - exact) / exact
    assert formula_slack(0.99999) < error <= formula_slack(0.99999, GRADIENT_GAP_FINITE.order)


# ----------------------------------------------------------------------------------------- drift


@given(st.floats(0.0, 1e300), rates, st.one_of(st.none(), st.integers(0, 2**60)))
def test_drift_is_local_times_the_smaller_of_steps_and_geometric_sum(local, lam, steps):
    bound = drift(local, lam, steps)
    exact = Fraction(local) / (1 - Fraction(lam))
    if steps is not None:
        exact = min(exact, Fraction(local) * Fraction(float(steps)))
    assert math.isinf(bound) or Fraction(bound) >= exact
    # 1 - lam twice, its inverse twice, the product twice; two doubles where it is subnormal
    most = exact * (1 + 12 * Fraction(UNIT)) + 2 * Fraction(TINY)
    assert math.isinf(bound) or Fraction(bound) <= most


def test_drift_without_contraction():
    assert drift(1e-16, 1.0) == math.inf
    assert drift(1e-16, 1.5, steps=10) == up(1e-16 * 10)
    assert drift(0.0, 1.0) == 0.0


def contractive(rng: np.random.Generator, n: int, m: int, lam: float, rho: str) -> VanillaRNN:
    """Return a cell whose maximum-norm factor is at most lam, with inputs that matter."""
    W = rng.choice([-1.0, 1.0], (n, n)) * rng.random((n, n))
    W *= lam / row_sum_upper(W)
    while row_sum_upper(W) > lam:
        W *= 1 - UNIT
    return VanillaRNN(W, rng.standard_normal((n, m)), rng.standard_normal(n), activation=rho)


def exact_affine(form, h, x):
    """Return W h + U x + b in rationals."""
    return [
        sum((Fraction(w) * g for w, g in zip(row, h, strict=True)), Fraction(0))
        + sum((Fraction(u) * y for u, y in zip(also, x, strict=True)), Fraction(0))
        + Fraction(c)
        for row, also, c in zip(form.W.tolist(), form.U.tolist(), form.b.tolist(), strict=True)
    ]


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.5, 0.9, 0.999, 1 - 2.0**-30]),
)
def test_a_computed_linear_trajectory_stays_within_its_drift(seed, n, lam):
    rng = np.random.default_rng(seed)
    cell = contractive(rng, n, 2, lam, "identity")
    model = LinearMap(cell.W, cell.U, cell.b)
    X = rng.standard_normal((40, 2))
    H = model.simulate(X)
    sizes = np.max(np.abs(np.vstack([np.zeros((1, n)), H])), axis=0), np.max(np.abs(X), axis=0)
    local = Linf().majorant(model.step_error(*sizes))
    exact = [Fraction(0)] * n
    worst = Fraction(0)
    for t, x in enumerate(X.tolist()):
        exact = exact_affine(model.affine(), exact, [Fraction(y) for y in x])
        error = max(abs(Fraction(a) - b) for a, b in zip(H[t].tolist(), exact, strict=True))
        assert error <= Fraction(drift(local, lam, t + 1))
        worst = max(worst, error / Fraction(drift(local, lam)))
    target(float(worst), label="share of the drift")


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.sampled_from([0.5, 0.99, 1 - 2.0**-20]))
def test_a_computed_tanh_trajectory_stays_within_its_drift(seed, n, lam):
    rng = np.random.default_rng(seed)
    cell = contractive(rng, n, 1, lam, "tanh")
    X = 0.1 * rng.standard_normal((40, 1))
    form = cell.affine()
    saved = flint.ctx.prec
    try:
        flint.ctx.prec = 300
        W, U = flint.arb_mat(form.W.tolist()), flint.arb_mat(form.U.tolist())
        b = flint.arb_mat(form.b[:, None].tolist())
        h = flint.arb_mat(n, 1)
        truth = []
        for x in X.tolist():
            a = W * h + U * flint.arb_mat([[y] for y in x]) + b
            h = flint.arb_mat([[a[i, 0].tanh()] for i in range(n)])
            truth.append([h[i, 0] for i in range(n)])
        by_step, g = [], np.zeros(n)
        for x in X:
            g = cell.step(g, x)
            by_step.append(g)
        for H in (cell.simulate(X), np.array(by_step)):
            size = np.max(np.abs(np.vstack([np.zeros((1, n)), H])), axis=0)
            local = Linf().majorant(cell.step_error(size, np.max(np.abs(X), axis=0)))
            for t, row in enumerate(truth):
                for i, value in enumerate(row):
                    error = abs(value - flint.arb(float(H[t, i])))
                    assert error <= flint.arb(drift(local, lam, t + 1))
    finally:
        flint.ctx.prec = saved


def test_drift_is_needed():
    """One step's error is not enough: the errors of a slow contraction do add up."""
    lam = 1 - 2.0**-20
    model = LinearMap([[lam]], [[0.1]])
    H = model.simulate(np.ones((400, 1)))
    exact = Fraction(0)
    for _ in range(400):
        exact = Fraction(lam) * exact + Fraction(0.1)
    one_step = model.step_error(np.abs(H[-1]), np.ones(1))[0] / 64
    error = abs(Fraction(float(H[-1, 0])) - exact)
    assert error <= Fraction(drift(64 * one_step, lam, 400))
    assert error > Fraction(UNIT) * Fraction(float(H[-1, 0]))  # more than one rounding


def test_elementary_units_is_generous():
    """The assumption leaves room over what `tests/arithmetic/test_activations.py` measures."""
    assert ELEMENTARY_UNITS >= 2 * 2.5


# --------------------------------------------------------------------------------- computed numbers

numbers = st.one_of(
    st.floats(-4.0, 4.0), st.sampled_from([0.0, 1.0, 1e8, -1e-200, 1e60, TINY, 1 + 2.0**-52])
)


@st.composite
def off(draw) -> tuple[float, Fraction]:
    """Draw a computed number and an exact one near it."""
    p = draw(numbers)
    moved = draw(st.sampled_from([0.0, 2.0**-60, 1e-9, 0.25])) * draw(st.floats(-1.0, 1.0))
    return p, Fraction(p) + Fraction(moved)


def rounded(*pairs: tuple[float, Fraction]) -> Rounded:
    """Return the tightest `Rounded` of computed and exact numbers."""
    size = [max(up(abs(p)), up(float(abs(P)))) if p or P else 0.0 for p, P in pairs]
    error = [up(float(abs(P - Fraction(p)))) if Fraction(p) != P else 0.0 for p, P in pairs]
    return Rounded(np.array(size), np.array(error))


def within(found: Rounded, computed: float, exact: Fraction | flint.arb, i: int = 0) -> float:
    """Check both bounds of one entry and return the share of the error that is used."""
    if isinstance(exact, Fraction):
        exact = flint.arb(flint.fmpq(exact.numerator, exact.denominator))
    error = abs(flint.arb(computed) - exact)
    assert abs(computed) <= found.size[i]
    assert may_be_at_most(abs(exact), flint.arb(float(found.size[i])))
    assert may_be_at_most(error, flint.arb(float(found.error[i])))
    return float((error / flint.arb(float(found.error[i]) or 1.0)).mid())


@given(off(), off())
def test_sums_and_products_of_computed_numbers(p, q):
    saved, flint.ctx.prec = flint.ctx.prec, 2600
    try:
        a, b = rounded(p), rounded(q)
        shares = [
            within(a + b, p[0] + q[0], p[1] + q[1]),
            within(a * b, p[0] * q[0], p[1] * q[1]),
        ]
        if 0 <= p[0] <= 1 and 0 <= p[1] <= 1:
            shares.append(within(a.complement(), 1 - p[0], 1 - p[1]))
    finally:
        flint.ctx.prec = saved
    target(max(shares), label="share of the error")


@given(st.lists(st.tuples(numbers, off()), min_size=1, max_size=4), off(), numbers)
def test_inner_products_of_computed_numbers(terms, extra, bias):
    W = np.array([[w for w, _ in terms]])
    V = np.array([[0.5, -3.0]])
    h, x = rounded(*(p for _, p in terms)), rounded(extra, extra)
    found = h.affine(W, np.array([bias]), (V, x))
    computed = (W @ [p for _, (p, _) in terms] + V @ [extra[0], extra[0]] + bias).item()
    exact = (
        sum((Fraction(w) * P for w, (_, P) in terms), Fraction(bias)) + Fraction(-2.5) * extra[1]
    )
    plain = sum((Fraction(w) * P for w, (_, P) in terms), Fraction(0))
    saved, flint.ctx.prec = flint.ctx.prec, 2600
    try:
        within(found, computed, exact)
        within(h.affine(W), (W @ [p for _, (p, _) in terms]).item(), plain)
    finally:
        flint.ctx.prec = saved


@given(off())
def test_functions_of_computed_numbers(p):
    saved, flint.ctx.prec = flint.ctx.prec, 300
    try:
        a = rounded(p)
        exact = flint.arb(flint.fmpq(p[1].numerator, p[1].denominator))
        far = abs(exact) > 1000
        tanh = flint.arb(1 if exact > 0 else -1) if far else exact.tanh()
        logistic = flint.arb(1 if exact > 0 else 0) if far else 1 / (1 + (-exact).exp())
        within(a.tanh(), math.tanh(p[0]), tanh)
        within(a.logistic(), float(SIGMOID(np.array(p[0]))), logistic)
        # twice the slope, a value at 0, and a range that is never reached
        within(a.through(2.0, 1.0, (-math.inf, math.inf)), 1 + 2 * p[0], 1 + 2 * exact)
    finally:
        flint.ctx.prec = saved


def test_bounded_functions_are_never_off_by_more_than_their_range():
    wild = Rounded(np.array([1e300]), np.array([1e300]))
    assert wild.tanh().error[0] <= 2 + 32 * UNIT
    assert wild.logistic().error[0] <= 1 + 32 * UNIT
    assert Rounded.exact(np.array([2.0])).error.tolist() == [0.0]
    # an error that is dropped, of the second factor say, would go unnoticed otherwise
    one, off_by = Rounded.exact(np.array([3.0])), Rounded(np.array([2.0]), np.array([0.5]))
    assert (one * off_by).error[0] == pytest.approx(1.5)
    assert (off_by * off_by).error[0] == pytest.approx(2.0)
    assert off_by.affine(np.array([[-3.0]])).error[0] == pytest.approx(1.5)


@given(x=st.floats(-LARGEST, LARGEST), e=st.integers(-2200, 2200))
@example(x=LARGEST, e=1)
@example(x=-LARGEST, e=1)
@example(x=3 * TINY, e=-1)
@example(x=-3 * TINY, e=-1)
@example(x=LARGEST, e=-2098)
@example(x=TINY, e=-1)
def test_multiples_by_powers_of_two_are_rounded_outward(x, e):
    exact = Fraction(x) * Fraction(2) ** e
    assert math.isinf(ldexp_up(x, e)) or Fraction(ldexp_up(x, e)) >= exact
    assert math.isinf(ldexp_down(x, e)) or Fraction(ldexp_down(x, e)) <= exact
    if sys.float_info.min <= abs(exact) <= LARGEST:
        assert ldexp_up(x, e) == ldexp_down(x, e) == exact


@pytest.mark.parametrize("size", [TINY, 3 * TINY, 2.0**-1022, 1e-5, 1.0, 1e200, LARGEST])
def test_scaling_to_one(size):
    A = size * np.array([[-1.0, 0.5], [0.0, 2.0**-20]])
    scaled, e = scaled_to_one(A)
    assert 0.5 <= np.max(np.abs(scaled)) < 1.0
    assert np.array_equal(np.ldexp(scaled, e), A)
    assert scaled_to_one(np.zeros(3))[1] == 0


# no bare factors ----------------------------------------------------------------------------------

ROOT = Path(__file__).resolve().parents[2]

#: Rooms whose numbers are proved.
PROVED = ("arithmetic", "inputs", "domain", "certificates", "theorems", "maps", "certify",
          "memory", "projections", "learning/constants", "norms")  # fmt: skip

#: Files that choose candidates or scale exactly, where a power of two decides nothing, and others.
CHOOSING = {
    "theory/certify/cause.py": "estimates for words; nothing is proved there",
    "theory/certify/multipliers.py": "weights and multipliers of candidates",
    "theory/memory/linear.py": "exact scaling",
    "theory/memory/one_state.py": "how many terms are looked at",
    "theory/norms/radius.py": "a shift, of which any will do",
    "theory/certify/iterates.py": "which number of steps is tried",
    "theory/certify/lyapunov.py": "levels of candidates; exact scaling",
    "theory/certify/search.py": "weights of candidates",
    "theory/learning/constants/lower.py": "a search in doubles",
    "theory/norms/norms.py": "derived beside them",
    "theory/norms/products.py": "a guess, of which any will do",
    "theory/projections/balls.py": "exact scaling",
    "theory/projections/families.py": "limits of candidates",
    "theory/projections/metric.py": "whether a candidate is looked for",
    "theory/projections/metrics.py": "which candidate is tried",
    "theory/theorems/contractive_of_perron_weights.py": "which weights are tried; words",
}


def bare_powers(path):
    """Return the lines of functions that hold a power like 2.0**-40 as a number of its own."""
    found = set()
    for function in nodes_of(path):
        if isinstance(function, ast.FunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
                    base, power = node.left, node.right
                    known = isinstance(base, ast.Constant) and isinstance(power, ast.UnaryOp)
                    found |= {node.lineno} if known else set()
    return found


def test_factors_of_proofs_have_names():
    """Read the code: a tolerance in a function has a name, and its derivation stands there."""
    files = [
        path
        for room in PROVED
        for path in (ROOT / "theory" / f"{room}.py", *(ROOT / "theory" / room).rglob("*.py"))
        if path.is_file()
    ]
    bare = {str(path.relative_to(ROOT)): bare_powers(path) for path in files}
    bare = {path: lines for path, lines in bare.items() if lines}
    assert not {path: sorted(lines) for path, lines in bare.items() if path not in CHOOSING}
    assert bare.keys() >= CHOOSING.keys(), sorted(CHOOSING.keys() - bare.keys())


@given(st.floats(min_value=1e-300, max_value=1e300), st.integers(1, 15), st.booleans())
def test_told_numbers_are_rounded_to_the_side_they_bound(x, digits, negative):
    x = -x if negative else x
    assert Fraction(decimal_down(x, digits)) <= Fraction(x) <= Fraction(decimal_up(x, digits))
    apart = Fraction(decimal_up(x, digits)) - Fraction(decimal_down(x, digits))
    assert apart <= abs(Fraction(x)) * Fraction(10) ** (1 - digits)


def test_a_rate_below_one_is_told_below_one():
    assert decimal_rate(1 - 2.0**-50, 9) == "0.9999999999999992"
    assert decimal_rate(0.99999999999247057847, 6) == "0.999999999993"
    assert decimal_rate(1 - 2.0**-53, 1) == "0.9999999999999999"
    assert decimal_rate(1.0, 3) == "1"
    assert (decimal_rate(0.9, 9), decimal_up(0.9 + 4e-13, 12), decimal_up(2.0**-7, 2)) == (
        "0.900000001", "0.900000000001", "0.0079",
    )  # fmt: skip
    assert (decimal_up(math.inf, 3), decimal_up(0.0, 3), decimal_up(0.5, 6)) == ("inf", "0", "0.5")
    assert decimal_up(0.99999, 4) == "1"
