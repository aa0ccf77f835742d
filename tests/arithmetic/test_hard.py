"""Gates that are piecewise linear: what encloses them, against exact fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory.arithmetic.hard import GATES, gate_of
from theory.arithmetic.rounded import Rounded

HARD = [gate for gate in GATES.values() if gate.hard]
numbers = st.floats(-1e3, 1e3) | st.sampled_from(
    [0.0, 2.5, -2.5, 3.0, -3.0, np.nextafter(2.5, 0), np.nextafter(3.0, 9), 1e-300]
)


def exact(gate, a):
    return min(max(Fraction(gate.slope) * Fraction(a) + Fraction(1, 2), Fraction(0)), Fraction(1))


@pytest.mark.parametrize("gate", HARD, ids=lambda gate: gate.name)
@given(numbers, numbers, st.floats(0, 1))
def test_images_and_slopes_hold_what_they_are_of(gate, one, two, share):
    low, high = min(one, two), max(one, two)
    at = low + share * (high - low)
    at = min(max(at, low), high)
    ends = gate.image(np.array([low]), np.array([high]))
    for a in (low, at, high):
        assert Fraction(ends[0][0]) <= exact(gate, a) <= Fraction(ends[1][0])
    rest = gate.rest(np.array([low]), np.array([high]))
    assert Fraction(rest[0][0]) <= 1 - exact(gate, at) <= Fraction(rest[1][0])
    slopes = gate.slopes(np.array([low]), np.array([high]))
    if low < at:
        quotient = (exact(gate, at) - exact(gate, low)) / (Fraction(at) - Fraction(low))
        assert Fraction(slopes[0][0]) <= quotient <= Fraction(slopes[1][0])
    assert slopes[0][0] <= gate.derivative(np.array([at]))[0] <= slopes[1][0]


@pytest.mark.parametrize("gate", HARD, ids=lambda gate: gate.name)
@given(numbers, st.floats(-1e-3, 1e-3))
def test_rounding_errors_are_bounded(gate, a, off):
    given_to_it = a + off
    size = np.array([max(abs(a), abs(given_to_it))])
    bound = gate.rounded(Rounded(size, np.array([float(abs(Fraction(given_to_it) - Fraction(a)))])))
    computed = float(gate(np.array([given_to_it]))[0])
    assert abs(Fraction(computed) - exact(gate, a)) <= Fraction(bound.error[0])
    assert max(Fraction(computed), exact(gate, a)) <= Fraction(bound.size[0])


def test_where_it_is_flat_nothing_is_lost():
    gate = gate_of("hard_sigmoid(0.2)")
    far = np.array([-9.0]), np.array([-3.0])
    assert [end.tolist() for end in gate.image(*far)] == [[0.0], [0.0]]
    assert [end.tolist() for end in gate.slopes(*far)] == [[0.0], [0.0]]
    near = np.array([-1.0]), np.array([1.0])
    assert [end.tolist() for end in gate.slopes(*near)] == [[0.2], [0.2]]
    across = np.array([2.0]), np.array([3.0])
    assert [end.tolist() for end in gate.slopes(*across)] == [[0.0], [0.2]]
    with pytest.raises(ValueError, match=r"'hard' is not known, needed one of: sigmoid, hard_"):
        gate_of("hard")


def test_the_logistic_gate_is_the_one_of_activations():
    gate = gate_of("sigmoid")
    assert gate(np.array([0.0])).tolist() == [0.5]
    assert gate.steepest == 0.25
    assert gate_of(gate) is gate
