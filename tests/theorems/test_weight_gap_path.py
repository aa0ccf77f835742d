"""The four questions, asked of weight_gap_path: amplification * departed."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import Asked, is_sharp, learning, learns_at_extremes

from theory.learning import step_sizes
from theory.strategies import learning_experiments
from theory.theorems import weight_gap, weight_gap_path
from theory.theorems.weight_gap_path import WEIGHT_GAP_PATH, formula, weight_gaps_path

#: alpha beta = 1/2 at the first step of the descent in the bias: beta = 1 / (1 - 1/2)**2.
BIAS = {"loss": "squared", "alpha": 0.125, "steps": 3}

NUMBERS = st.lists(
    st.tuples(st.floats(0.125, 4.0), st.floats(0.0, 4.0, allow_subnormal=False)), max_size=12
)


def test_sharp_at_the_first_step():
    # one step of any loss parts the twins by alpha times the gap of their gradients
    is_sharp(WEIGHT_GAP_PATH, learning(0.5, **BIAS), slack=2.0**-40)


def exact(stretches, defects):
    """Return amplification and departed as fractions."""
    product, total = Fraction(1), Fraction(0)
    for q, d in zip(stretches, defects, strict=True):
        product *= Fraction(q)
        total += Fraction(d) / product
    return product, total


def descend(curves, sizes, defects):
    """Return |w - v| for p(w) = -curve_i w**2 / 2 at step i, v missing each step by its defect."""
    w = v = Fraction(0)
    for curve, size, defect in zip(curves, sizes, defects, strict=True):
        w, v = w + size * curve * w, v + size * curve * v + defect
    return abs(w - v)


@given(NUMBERS)
def test_typed_function_is_reached_by_quadratics_that_change_from_step_to_step(steps):
    # a stretch of 1 + alpha curve, positive or negative curve, is that of every distance
    sizes = [Fraction(1, i) for i in range(1, len(steps) + 1)]
    curves = [(Fraction(q) - 1) / size for (q, _), size in zip(steps, sizes, strict=True)]
    defects = [Fraction(d) for _, d in steps]
    apart = descend(curves, sizes, defects)
    product, total = exact([q for q, _ in steps], defects)
    assert apart == formula(product, total)
    bound = weight_gap_path(stretches=[q for q, _ in steps], defects=[d for _, d in steps])
    assert apart <= Fraction(bound) <= apart * (1 + 4 * max(len(steps), 1) * Fraction(1, 2**52))


@given(
    st.integers(0, 30), st.sampled_from([0.01, 0.5, 1.0]), st.sampled_from([0.5, 1.0, 3.0]),
    st.sampled_from(["1/t", "1/sqrt", "constant"]),
)  # fmt: skip
def test_it_is_weight_gap_where_every_step_has_the_same_constants(steps, alpha, beta, schedule):
    sizes = step_sizes(alpha, schedule, steps=steps)
    along = weight_gap_path(stretches=1 + sizes * beta, defects=sizes * 0.125)
    ever = weight_gap(steps=steps, alpha=alpha, beta=beta, mismatch=0.125, schedule=schedule)
    assert along == pytest.approx(ever, rel=1e-12)
    assert along <= ever


@given(NUMBERS, st.data())
def test_knowing_more_of_a_step_never_weakens_the_bound(steps, data):
    less = [q for q, _ in steps], [d for _, d in steps]
    more = [data.draw(st.floats(q / 2, q)) for q, _ in steps], less[1]
    assert weight_gap_path(stretches=more[0], defects=more[1]) <= weight_gap_path(
        stretches=less[0], defects=less[1]
    )


def test_steps_that_contract_forget_what_was_missed():
    # a stretch of 1/2 a step: the gap stays below twice the largest defect, for ever
    gaps = weight_gaps_path(stretches=[0.5] * 200, defects=[1.0] * 200)
    assert gaps[-1] == pytest.approx(2.0)
    assert weight_gap(steps=200, alpha=1.0, beta=1.0, mismatch=1.0, schedule="constant") > 1e59


def test_a_stretch_at_the_path_is_not_one_on_the_ball():
    """Why the change of the Hessian enters: p(w) = w**2 / 2 - w**3 has curvature 1 at v = 0."""

    def slope(w):
        return w - 3 * w**2

    # w = 1/2 and v = 0: the Hessian at v makes a step of size 1 contract to nothing
    w, v = Fraction(1, 2), Fraction(0)
    gone = abs((w - slope(w)) - (v - slope(v)))
    assert gone == Fraction(3, 4)
    assert gone > 0 * abs(w - v)
    # with |H(x) - H(v)| <= 6 |x - v|, half of it on the way, it is what the bound allows
    assert gone <= (0 + 6 * Fraction(1, 2) / 2) * abs(w - v)


def broken():
    stretches, defects = [2.0, 2.0, 2.0], [1.0, 1.0, 1.0]
    bound = weight_gap_path(stretches=stretches, defects=defects)

    def apart(curve=1, defect=1, start=0, project=lambda w: w):
        w, v = Fraction(0), Fraction(start)
        for _ in stretches:
            w, v = project(w + curve * w), project(v + curve * v) + defect
        return float(abs(w - v))

    assert apart() == pytest.approx(bound, rel=1e-15)
    return {
        "twin_descents": (apart(start=1), bound),
        # a map that doubles every distance
        "nonexpansive": (apart(project=lambda w: 2 * w), bound),
        # of another Hessian than the one that was looked at
        "path_stretch": (apart(curve=2), bound),
        "path_defect": (apart(defect=2), bound),
    }


def witnesses():
    return {
        "no stretch after a defect": learning(0.5, **BIAS),
        "half the defects": learning(0.5, **BIAS),
    }


ASKED = Asked(
    made=learning_experiments(),
    extremes=learns_at_extremes,
    broken=broken,
    witnesses=witnesses,
    malformed={"stretches": [1.0], "defects": [1.0]},
)


def test_boundary_cases():
    assert weight_gap_path(stretches=[], defects=[]) == 0.0
    assert weight_gap_path(stretches=[9.0, 0.0], defects=[5.0, 0.0]) == 0.0
    assert weight_gap_path(stretches=[1e300, 1e300], defects=[1e300, 1.0]) == math.inf
    gaps = weight_gaps_path(stretches=[1.0], defects=[1.0], start=3.0)
    assert gaps.tolist() == [3.0, 4.0]


def test_malformed_questions():
    for bad in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="stretches"):
            weight_gap_path(stretches=[bad], defects=[1.0])
        with pytest.raises(ValueError, match="defects"):
            weight_gap_path(stretches=[1.0], defects=[bad])
    with pytest.raises(ValueError, match="one of each a step"):
        weight_gap_path(stretches=np.ones(2), defects=[1.0])
