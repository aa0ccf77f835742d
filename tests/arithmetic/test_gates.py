"""Bounds of gates: derived once, from one logistic function, and true of numbers of every size.

The lane of soundness compares them with 300 bits; here are single cases, and where they stand.
"""

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from theory import LSTM
from theory.arithmetic.gates import GateBounds, sigmoid_down, sigmoid_up, tanh_up
from theory.arithmetic.rounding import TINY, UNIT
from theory.certify.gated import gate_bound_matrix
from theory.theorems.contractive_of_gru_norms import gru_norms

ROOT = Path(__file__).resolve().parents[2]

#: Who may write down a logistic function, and why.
OWN = {
    "theory/kernels/slstm.py": "a kernel, by itself as Numba has it",
    "theory/arithmetic/activations.py": "its definition",
    "theory/kernels/cells.py": "loops cannot call it",
    "theory/interop/program.py": "the step as another program computes it, which tests compare",
    "theory/learning/losses.py": "with the logarithm that a loss needs beside it",
}


def test_a_gate_worked_out_by_hand():
    W, U, b = np.array([[0.5, -0.25], [0.0, 1.0]]), np.array([[-2.0], [0.0]]), np.array([-1.0, 0.5])
    gate = GateBounds.of(W, U, b, inputs=0.5)
    for found, exact in (
        (gate.rows, [0.75, 1.0]),
        (gate.driven, [1.0, 0.0]),
        (gate.top, [0.75, 1.5]),
        (gate.reach, [2.75, 1.5]),
        (gate.weighted(np.array([2.0, 4.0])), [2.0, 4.0]),
    ):
        assert np.all(found >= exact)
        np.testing.assert_allclose(found, exact, rtol=32 * UNIT, atol=64 * TINY)
    # sums of doubles that are doubles stay what they are
    assert (gate.largest_row, gate.largest_reach) == (1.0, np.nextafter(2.75, 3))
    assert gate.separate_reach == pytest.approx(1.0 + 1.0 + 1.0, rel=4 * UNIT)
    assert GateBounds.of(W, U, b, inputs=1.0).largest_reach == 3.75


@pytest.mark.parametrize("a", [-800.0, -40.0, -1.0, 0.0, 1e-300, 0.3, 20.0, 40.0, 800.0])
def test_both_ends_are_near_and_in_the_range(a):
    low, high = float(sigmoid_down(a)), float(sigmoid_up(a))
    assert 0 <= low <= high <= 1
    assert high - low <= 40 * UNIT * high + 40 * TINY
    assert 0 <= float(tanh_up(abs(a))) <= 1


def test_what_is_no_number_has_the_largest_bound():
    assert sigmoid_up(np.nan) == tanh_up(np.nan) == 1


def test_a_quarter_that_underflows_is_not_multiplied():
    """5 eta / 4 rounds to eta, and 2**40 times that is below the product by a fifth."""
    W = np.array([[5 * TINY], [0.0], [0.0]])
    found = gru_norms(W, np.zeros((3, 1)), b_candidate=[2.0**40], input_bound=0.0)
    assert Fraction(found.inner) >= 2**40 * Fraction(5 * TINY) / 4


def test_a_quarter_that_underflows_in_a_comparison_matrix():
    """The forget gate alone is recurrent, sigma(12) with all others open: |c| <= e**12."""
    W = np.array([[0.0], [5 * TINY], [0.0], [0.0]])
    cell = LSTM(W, np.zeros((4, 1)), np.array([50.0, 12.0, 50.0, 0.0]))
    M, c = gate_bound_matrix(cell, input_bound=0.0)
    assert c >= 162754
    assert Fraction(M[0, 1]) >= 162754 * Fraction(5 * TINY) / 4


def test_nobody_else_has_a_logistic_function():
    """Read the code: a quotient by 1 + exp stands where it is defined, and nowhere else."""
    quotient = re.compile(r"/ \(1(\.0)? \+ ((np|math)\.exp|z\))(?!\*\*)")
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "theory").rglob("*.py")
        if quotient.search(path.read_text(encoding="utf-8"))
    }
    assert found == OWN.keys()
