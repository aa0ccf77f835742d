r"""A theorem -> its statement in LaTeX; the right-hand side is the formula, called on letters.

Main names: `latex_statement`, `latex`, `LETTERS`.
"""

from __future__ import annotations

import re
from typing import Any

from theory.theorems.theorem import Theorem

#: The letters that the table of symbols in `theory` gives to names; other words are set upright.
LETTERS = {
    "lam": r"\lambda",
    "lam_first": r"\lambda_1",
    "lam_second": r"\lambda_2",
    "eps": r"\varepsilon",
    "drive": "C",
    "growth": "L",
    "blocks": "j",
    "rest": "i",
    "gain": "L_x",
    "input_bound": "B_x",
    "lipschitz": "L_f",
    "weight_gain": "L_w",
    "loss_gain": "L_p",
    "beta_hh": r"\beta_{hh}",
    "beta_hw": r"\beta_{hw}",
    "beta_wh": r"\beta_{wh}",
    "beta_ww": r"\beta_{ww}",
    "beta_p": r"\beta_p",
    "amplification": "G",
    "mismatch": r"\varepsilon_0",
    "factor": "a",
    "step_error": r"\delta",
    "run_error": r"\delta_0",
}


def latex_statement(theorem: Theorem) -> str:
    """Return quantity, relation and formula in LaTeX, without delimiters; needs sympy."""
    import sympy as sp

    relation = {"<=": r"\le", ">=": r"\ge"}[theorem.relation]
    letters = {name: sp.Symbol(name, positive=True) for name in theorem.symbols}
    return f"{theorem.quantity} {relation} {latex(theorem.formula(**letters))}"


def latex(expr: Any) -> str:
    """Return an expression of sympy in the letters of the statements."""
    import sympy as sp

    expr = sp.sympify(expr)
    names = {s: LETTERS.get(str(s), _upright(str(s))) for s in expr.free_symbols}
    return str(sp.latex(expr, symbol_names=names, mul_symbol=r" \, "))


def _upright(name: str) -> str:
    if len(name) == 1 or re.fullmatch(r"[a-z]_\w", name):
        return name
    escaped = name.replace("_", r"\_")
    return rf"\mathrm{{{escaped}}}"
