"""Proof of `theory.theorems.contractive_of_gate_norms`, and its form in four slacks."""

from __future__ import annotations

from proofs.decide import LAM
from proofs.steps import Proof, at_most, begin, symbols
from theory.theorems.assumptions import IN_DOMAIN, LSTM_CELL, MAXIMUM_NORM
from theory.theorems.contractive_of_gate_norms import CONTRACTIVE_OF_GATE_NORMS
from theory.theorems.theorem import Formula


def prove(formula: Formula = CONTRACTIVE_OF_GATE_NORMS.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    # the bound of the forget gates is a number in [0, 1), as lam is
    proof = begin(CONTRACTIVE_OF_GATE_NORMS, formula, forget=LAM)
    W_i, W_f, W_z, W_o = symbols("W_i W_f W_z W_o")
    forget = LAM
    apart = proof.letter("d", "|h - g|, the larger of |c - c'| and |y - y'|")
    cells = proof.letter("a", "|c - c'|")
    hidden = proof.letter("b", "|y - y'|")
    moved = proof.letter("e", "|step(h, x) - step(g, x)|")
    new = proof.letter("p", "|c+ - c'+|")
    i, f, z, o = (proof.letter(f"D{g}", f"|{g} - {g}'|") for g in "ifzo")

    inside = proof.assume(IN_DOMAIN)
    cell_part = proof.assume(MAXIMUM_NORM, at_most(cells, apart))
    hidden_part = proof.assume(MAXIMUM_NORM, at_most(hidden, apart))
    larger = proof.assume(
        LSTM_CELL,
        at_most(moved, new + o),
        "|y+ - y'+| <= o |c+ - c'+| + |tanh c'+| |o - o'|, with o and |tanh| at most 1; the larger "
        "of it and |c+ - c'+|",
    )
    cell = proof.assume(
        LSTM_CELL,
        at_most(new, i + z + f / (1 - forget) + forget * cells),
        "c+ - c'+ = f (c - c') + c' (f - f') + i (z - z') + z' (i - i'), with f <= forget, i and "
        "|z'| at most 1 and |c'| <= 1 / (1 - forget)",
        after=inside,
    )
    gates = {
        name: proof.given(
            name,
            at_most(change, W * hidden / slope),
            f"row sums {name}, and a slope of at most 1/{slope}" if slope > 1 else "slope 1",
        )
        for name, change, W, slope in (
            ("W_i", i, W_i, 4),
            ("W_f", f, W_f, 4),
            ("W_z", z, W_z, 1),
            ("W_o", o, W_o, 4),
        )
    }
    alpha = (W_i + W_o) / 4 + W_z + W_f / (4 * (1 - forget))
    proof.conclude(
        moved,
        {
            larger: 1,
            cell: 1,
            gates["W_i"]: 1,
            gates["W_z"]: 1,
            gates["W_f"]: 1 / (1 - forget),
            gates["W_o"]: 1,
            hidden_part: alpha,
            cell_part: forget,
        },
        times=apart,
    )
    proof.attained("c -> f*c, without recurrent weights", forget, W_i=0, W_f=0, W_z=0, W_o=0)
    t_i, t_z, t_f, t_o = symbols("t_i t_z t_f t_o")
    rest = 1 - forget
    proof.check_equal(
        "in slacks: the mean of the four decides",
        CONTRACTIVE_OF_GATE_NORMS.formula(
            forget=forget, W_i=t_i * rest, W_f=t_f * rest**2, W_z=t_z * rest / 4, W_o=t_o * rest
        ),
        forget + rest * (t_i + t_z + t_f + t_o) / 4,
    )
    return proof
