"""The four questions, asked of weight_gap: mismatch (amplification - 1) / beta."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from questions import (
    STANDS,
    Asked,
    is_sharp,
    learning,
    learns_at_extremes,
)
from scipy.special import gammaln

from theory import verify
from theory.learning import step_sizes
from theory.strategies import learning_experiments
from theory.theorems import weight_gap
from theory.theorems.weight_gap import WEIGHT_GAP, formula
from theory.trials import Outcome

#: alpha beta = 1/2 at the first step of the descent in the bias: beta = 1 / (1 - 1/2)**2.
BIAS = {"loss": "squared", "alpha": 0.125, "steps": 3}


def test_sharp_at_the_first_step():
    # one step of any loss parts the twins by alpha times the gap of their gradients
    is_sharp(WEIGHT_GAP, learning(0.5, **BIAS), slack=2.0**-40)


def descend(slopes, sizes, w=0.0, project=lambda w: w):
    """Return w after gradient steps, slopes(w) being the derivative."""
    for size in sizes:
        w = project(w - size * slopes(w))
    return w


@given(
    st.integers(1, 60), st.sampled_from([0.01, 0.5, 1.0]), st.sampled_from([0.5, 1.0, 3.0]),
    st.sampled_from(["1/t", "1/sqrt", "constant"]),
)  # fmt: skip
def test_sharp_for_concave_quadratics(steps, alpha, beta, schedule):
    # p(w) = -beta w**2 / 2 and p^k = p - eps0 w: the recursion is attained at every N
    sizes = [Fraction(s) for s in step_sizes(alpha, schedule, steps=min(steps, 25)).tolist()]
    eps0, curve = Fraction(1, 8), Fraction(beta)
    w = descend(lambda w: -curve * w, sizes, Fraction(1))
    v = descend(lambda v: -curve * v - eps0, sizes, Fraction(1))
    growth = math.prod(1 + s * curve for s in sizes)
    assert abs(w - v) == formula(amplification=growth, mismatch=eps0, beta=curve)
    bound = weight_gap(steps=len(sizes), alpha=alpha, beta=beta, mismatch=0.125, schedule=schedule)
    assert abs(w - v) <= Fraction(bound)
    assert bound == pytest.approx(float(abs(w - v)), rel=1e-13)


def test_oracles():
    # A9.delta_exact, A9.delta_simple, A9.delta_published, A9.delta_ab1
    alpha, beta, eps0, N = 0.7, 1.9, 1e-3, 1000
    a = alpha * beta
    exact = weight_gap(steps=N, alpha=alpha, beta=beta, mismatch=eps0)
    assert exact == pytest.approx(4.334901763239162, rel=1e-12)
    by_gamma = math.expm1(gammaln(N + 1 + a) - gammaln(1 + a) - gammaln(N + 1)) * eps0 / beta
    assert exact == pytest.approx(by_gamma, rel=1e-11)
    simple = alpha * eps0 * N**a * (1 + 1 / a)
    published = alpha * eps0 * N ** (a + 1)
    assert simple == pytest.approx(11.984014341194941, rel=1e-12)
    assert published == pytest.approx(6840.660546690675, rel=1e-9)
    assert exact < simple < published
    # (1 + a) Gamma(1 + a) is what the middle form gives away
    assert simple / exact == pytest.approx((1 + a) * math.gamma(1 + a), rel=1e-2)
    linear = weight_gap(steps=100, alpha=0.01, beta=100.0, mismatch=1e-3)
    assert linear == pytest.approx(0.001, rel=1e-12)


def test_without_curvature_the_gradient_gap_adds_up():
    harmonic = sum(1 / i for i in range(1, 51))
    assert weight_gap(steps=50, alpha=0.5, beta=0.0, mismatch=0.25) == pytest.approx(
        0.125 * harmonic, rel=1e-13
    )


def test_rescaling_rows_is_no_projection_for_this_theorem():
    # A.12 g: w / max(1, |w|_1) expands distances by up to sqrt(n), here next to a corner
    n = 50
    w = np.zeros(n)
    w[0] = 1.0
    v = w + 1e-6 / math.sqrt(n)

    def rescale(row):
        return row / max(1.0, np.abs(row).sum())

    expansion = np.linalg.norm(rescale(w) - rescale(v)) / np.linalg.norm(w - v)
    assert 6.74 < expansion <= math.sqrt(n)

    # nor is the joint set of forget gates convex: the midpoint of two members is none
    def is_member(W, U):
        forget = 1 / (1 + math.exp(-(W + U)))
        return (1 - forget) ** 2 >= W

    ends = ((1e-4, 4.595), (0.1499, 0.3087))
    assert all(is_member(*end) for end in ends)
    assert not is_member(*(sum(part) / 2 for part in zip(*ends, strict=True)))


def test_a_projection_that_stretches_is_noticed():
    def clipped(model):
        return model.with_parameters(b=np.clip(model.b, -1.0, 1.0))

    def stretched(model):
        return model.with_parameters(b=3.0 * model.b)

    verdict = verify(WEIGHT_GAP, learning(0.5, **BIAS, projection=clipped))
    assert verdict.outcome in STANDS
    verdict = verify(WEIGHT_GAP, learning(0.5, **BIAS, projection=stretched))
    assert verdict.outcome is Outcome.NOT_APPLICABLE
    assert "nonexpansive" in verdict.reason


def broken():
    # p(w) = -w**2 / 2, p^k = p - w / 8, 5 steps: the twins part by exactly the bound
    sizes = step_sizes(1.0, "1/t", steps=5).tolist()
    bound = weight_gap(steps=5, alpha=1.0, beta=1.0, mismatch=0.125)

    def apart(beta=1.0, mismatch=0.125, start=0.0, project=lambda w: w):
        w = descend(lambda w: -beta * w, sizes, 0.0, project)
        v = descend(lambda v: -beta * v - mismatch, sizes, start, project)
        return abs(w - v)

    assert apart() == pytest.approx(bound, rel=1e-12)
    return {
        # larger constants of the map or of the loss make a larger beta than claimed
        "contractive_set": (apart(beta=4.0), bound),
        "weight_lipschitz": (apart(beta=2.0), bound),
        "smooth_map": (apart(beta=3.0), bound),
        "loss_lipschitz": (apart(beta=1.5), bound),
        "loss_smooth": (apart(beta=1.25), bound),
        "gradient_mismatch": (apart(mismatch=1.0), bound),
        "twin_descents": (apart(start=1.0), bound),
        # a map that doubles every distance
        "nonexpansive": (apart(project=lambda w: 2 * w), bound),
    }


def witnesses():
    return {
        "gradient gap summed without growth": learning(0.5, **BIAS),
        "half the growth": learning(0.5, **BIAS),
    }


ASKED = Asked(
    made=learning_experiments(),
    extremes=learns_at_extremes,
    broken=broken,
    witnesses=witnesses,
    malformed={
        "counts": ("steps",),
        "sizes": ("beta", "mismatch"),
        "steps": 3,
        "alpha": 1.0,
        "beta": 1.0,
        "mismatch": 1.0,
    },
)


def test_boundary_cases():
    assert weight_gap(steps=0, alpha=1.0, beta=1.0, mismatch=1.0) == 0.0
    assert weight_gap(steps=9, alpha=1.0, beta=1.0, mismatch=0.0) == 0.0
    assert weight_gap(steps=9999, alpha=100.0, beta=100.0, mismatch=1.0) == math.inf


def test_the_theorem_says_little_for_large_steps():
    # A.9: alpha = 1 / beta and beta = 32.9 gives below 1, alpha = 1 gives beyond 1e30
    mild = weight_gap(steps=200, alpha=1 / 32.9, beta=32.9, mismatch=7.44 * 8 * 0.5**8)
    assert mild < 2.0
    wild = weight_gap(steps=200, alpha=1.0, beta=32.9, mismatch=7.44 * 8 * 0.5**8)
    assert 1e35 < wild < 1e40


@given(
    st.integers(0, 40),
    st.floats(1e-3, 10.0),
    st.sampled_from([1.0, 0.1]) | st.floats(1e-3, 10.0),
    st.floats(0.0, 1e3, allow_subnormal=False),
)
@example(steps=1, alpha=0.0625, beta=1.0, mismatch=2.0**-1022)  # their product is subnormal
def test_typed_function(steps, alpha, beta, mismatch):
    value = weight_gap(steps=steps, alpha=alpha, beta=beta, mismatch=mismatch)
    curve, size = Fraction(beta), Fraction(alpha)
    growth = math.prod((1 + size / i * curve for i in range(1, steps + 1)), start=Fraction(1))
    exact = formula(growth, Fraction(mismatch), curve)
    # u = 2**-52.  A step size is rounded twice and raised twice, a product or a sum is rounded and
    # raised: below 3 u and 2 u above the exact value
    # alpha_i beta, 1 + .., times d, alpha_i mismatch, their sum: below 3 + 2 + 2 + 2 + 2 = 11 u
    # (1 + 11 u)**N <= 1 + 12 N u; and where a product is subnormal, eta / 2 and a raise by eta for
    # each of two, and a raise for their sum: 4 eta a step, which grow as the gap does
    tiny = 4 * steps * growth * Fraction(5e-324)
    assert exact <= Fraction(value) <= (exact + tiny) * (1 + 12 * steps * Fraction(1, 2**52))


def test_malformed_questions():
    for bad in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="alpha="):
            weight_gap(steps=3, alpha=bad, beta=1.0, mismatch=1.0)
    with pytest.raises(ValueError, match="schedule="):
        weight_gap(steps=3, alpha=1.0, beta=1.0, mismatch=1.0, schedule="cosine")
