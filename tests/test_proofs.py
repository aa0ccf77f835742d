"""The proofs hold, show what they assume, and fail when anything in them is false."""

import dataclasses
import itertools
import random
import re
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
import sympy as sp

from proofs import PROOFS, prove, render, scaffold, statements
from proofs.__main__ import main
from proofs.activations import EXAMPLES
from proofs.activations import prove as prove_facts
from proofs.decide import LAM, has_limit, is_nonnegative, is_zero
from proofs.steps import (
    NORM,
    StepKind,
    at_most,
    begin,
    check_at_most,
    check_equal,
    check_limit,
    cite,
    equals,
    symbols,
)
from theory.theorems import THEOREMS
from theory.theorems.assumptions import (
    CONTRACTIVE,
    INPUT_LIPSCHITZ,
    SAME_INPUTS,
)
from theory.theorems.drive import DRIVE
from theory.theorems.hidden_state import HIDDEN_STATE
from theory.theorems.initial_state import INITIAL_STATE
from theory.theorems.state_gap import STATE_GAP
from theory.theorems.state_gap_observed import STATE_GAP_OBSERVED
from theory.theorems.theorem import Kind
from theory.theorems.window_error import WINDOW_ERROR
from theory.trials import TRIALS

MISSES = [
    pytest.param(theorem, miss.formula, id=f"{theorem.name}: {miss.name}")
    for theorem in THEOREMS
    for miss in TRIALS[theorem.name].near_misses
    if miss.formula is not None
]
#: The proof of each theorem, as it stands, made once.
proved = cache(prove)

EACH = pytest.mark.parametrize("theorem", THEOREMS, ids=lambda theorem: theorem.name)


# the theorems -------------------------------------------------------------------------------------


@EACH
def test_every_theorem_is_proved(theorem):
    proof = proved(theorem.name)
    assert proof.theorem is theorem
    assert proof.formula is theorem.formula
    assert proof.problems == ()
    assert proof.ok
    assert proof.count(StepKind.CHECKED) >= 2  # a conclusion and a witness


@EACH
def test_every_assumption_is_shown(theorem):
    proof = proved(theorem.name)
    assumed = {step.name for step in proof.steps if step.kind is StepKind.ASSUMED}
    assert {a.name for a in theorem.assumes} <= assumed
    text, latex = render.as_text(proof), render.as_latex(proof)
    for assumption in theorem.assumes:
        assert re.search(rf"assumed +{assumption.name}: ", text)
        assert assumption.name.replace("_", r"\_") in latex


@EACH
def test_cited_steps_carry_a_reference(theorem):
    cited = {StepKind.CITED, StepKind.MACHINE}
    assert all(s.note for s in proved(theorem.name).steps if s.kind in cited)


def test_what_rocq_has_proved_is_not_called_cited():
    kinds = {s.note: s.kind for s in prove("nearest_point_gap").steps if s.note}
    assert kinds == dict.fromkeys(
        [
            "linearity of inner products; proofs/rocq: inner.dot_sub_l",
            "Cauchy and Schwarz; proofs/rocq: inner.cauchy_schwarz",
        ],
        StepKind.MACHINE,
    )
    # the chain rule defines gradients there, and nothing of Perron and Frobenius is needed
    for name in ("loss_smoothness", "contractive_of_perron_weights"):
        assert prove(name).count(StepKind.CITED) == 2
    # a theorem without a file has no such step
    assert prove_facts(EXAMPLES[0]).count(StepKind.MACHINE) == 0


def breaks_at_the_formula(proof):
    """Whether every step stands but those in which the formula occurs."""
    failed = [step.label for step in proof.steps if not step.ok]
    return bool(failed) and all(
        label.startswith(("conclusion", "attained", "approached", "every horizon"))
        for label in failed
    )


@pytest.mark.parametrize(("theorem", "formula"), MISSES)
def test_every_near_miss_fails(theorem, formula):
    proof = prove(theorem.name, formula)
    assert not proof.ok
    assert breaks_at_the_formula(proof)
    # it is the conclusion that does not follow, not only the witness that disagrees
    assert any(s.label.startswith("conclusion") and not s.ok for s in proof.steps)


@EACH
@pytest.mark.parametrize("factor", [sp.Rational(99, 100), sp.Rational(101, 100)])
def test_a_formula_off_by_a_percent_fails_on_either_side(theorem, factor):
    proof = prove(theorem.name, lambda **letters: factor * theorem.formula(**letters))
    assert breaks_at_the_formula(proof)
    too_strong = bool(factor < 1) is (theorem.kind is not Kind.LOWER)
    # too strong a statement does not follow; too weak a one is not attained
    broken = ("conclusion",) if too_strong else ("attained", "approached")
    assert [s.ok for s in proof.steps if s.label.startswith(broken)] == [False]


def test_the_proofs_are_those_of_the_theorems_in_order():
    assert [theorem.name for theorem in THEOREMS] == list(PROOFS)
    for name in PROOFS:
        assert import_module(f"proofs.{name}").prove().theorem.name == name
    with pytest.raises(ValueError, match="needed one of: contractive_of_matrix_norm"):
        prove("no_such_theorem")


def test_theory_does_not_import_proofs():
    folder = Path(import_module("theory").__file__).parent
    for path in folder.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"^\s*(from|import)\s+proofs\b", text, re.MULTILINE), path


# what sympy decides -------------------------------------------------------------------------------

x, y = sp.symbols("x y", real=True)
k, t, drive = symbols("k t drive")


@pytest.mark.parametrize(
    "expr",
    [
        sp.Integer(0),
        1 - LAM,
        LAM - LAM**2,
        LAM**k * drive / (1 - LAM),
        LAM**k - LAM ** (k + 1),
        LAM ** (2 * k) - 2 * LAM**k + 1,
        x**2,
        (x - y) ** 2,
        x**2 - 2 * x * y + y**2,
        sp.sqrt(2) * x**2,
        drive / (1 + drive),
        (1 - LAM) ** 3 * (x + y) ** 2,
    ],
)
def test_decides_what_is_nonnegative(expr):
    assert is_nonnegative(expr)


@pytest.mark.parametrize(
    "expr",
    [
        sp.Integer(-1),
        LAM - 1,
        LAM - sp.Rational(1, 2),
        x,
        x * y,
        x**2 + x * y,
        x**3,
        -(x**2),
        1 / drive - 1,
        LAM ** (k + 1) - LAM**k,
        drive - LAM,
        sp.Symbol("z"),  # may be complex
        sp.Symbol("z") ** 2,
        1 / (x - 1) ** 2,  # has a pole
        1 / drive,  # drive may be 0
        sp.Function("f")(t),
    ],
)
def test_does_not_decide_what_is_false_or_open(expr):
    assert not is_nonnegative(expr)


def test_whatever_is_decided_is_true_on_a_grid():
    rng = random.Random(0)
    decided = 0
    points = [sp.Rational(n, 8) for n in range(8)]
    for _ in range(150):
        terms = [rng.randint(-2, 2) * LAM**i * drive**j for i in range(3) for j in range(2)]
        expr = sum(terms) / (1 - LAM) ** rng.randint(0, 2)
        if is_nonnegative(expr):
            decided += 1
            for lam, size in itertools.product(points, (0, sp.Rational(1, 9), 1, 50)):
                assert expr.subs({LAM: lam, drive: size}) >= 0
    assert 5 <= decided <= 100


def test_zero_and_limits():
    assert is_zero(LAM ** (k + t) - LAM**k * LAM**t)
    assert not is_zero(LAM ** (k + t) - LAM**k - LAM**t)
    assert is_zero((1 - LAM**2) / (1 - LAM) - 1 - LAM)
    assert not is_nonnegative(LAM ** (2 * k) - LAM**k)
    assert has_limit(LAM**t, t, sp.oo, 0)
    assert not has_limit(LAM**t, t, sp.oo, 1)
    assert not has_limit(drive * t, t, sp.oo, 0)
    assert not has_limit(sp.sin(x), x, sp.oo, 0)


def test_an_undecidable_step_fails():
    assert not check_at_most("open", x, y).ok
    assert not check_equal("open", sp.Function("f")(x), x).ok
    assert not check_limit("open", sp.Function("f")(x), x, sp.oo, 0).ok
    assert "did not decide" in check_at_most("open", x, y).note


def test_a_sum_of_squares_must_be_the_difference_and_have_a_plain_sign():
    assert check_at_most("squares", 2 * x * y, x**2 + y**2, because=(x - y) ** 2).ok
    assert not check_at_most("not the difference", 2 * x * y, x**2 + y**2, because=x**2).ok
    assert not check_at_most("no plain sign", y, x, because=x - y).ok


def test_a_citation_needs_a_reference():
    with pytest.raises(ValueError, match="no reference"):
        cite("everybody knows", "")


# what makes a proof -------------------------------------------------------------------------------


def offset_proof(**sabotage):
    """The proof of `drive`, with parts left out or changed."""
    proof = begin(DRIVE, DRIVE.formula)
    gain, input_bound, offset = symbols("gain input_bound offset")
    whole, moved = proof.letter("d", "|step(0, x)|"), proof.letter("m", "moved")
    lipschitz = proof.assume(INPUT_LIPSCHITZ, at_most(moved, gain * input_bound))
    triangle = proof.cite("triangle inequality", NORM, at_most(whole, moved + offset))
    using = sabotage.get("using", lambda **facts: dict.fromkeys(facts.values(), 1))
    if sabotage.get("conclude", True):
        proof.conclude(whole, using(lipschitz=lipschitz, triangle=triangle))
    if sabotage.get("attain", True):
        proof.attained("a witness", gain * input_bound + offset)
    return proof


def test_the_small_proof_holds():
    assert offset_proof().ok


def test_a_proof_without_checked_steps_fails():
    proof = offset_proof(conclude=False, attain=False)
    assert "no step was checked" in proof.problems
    assert not proof.ok


def test_a_proof_without_conclusion_fails():
    assert offset_proof(conclude=False).problems == ("no conclusion was reached",)


def test_a_sharp_theorem_needs_a_witness():
    assert offset_proof(attain=False).problems == (
        "called sharp, but no witness attains the formula",
    )


def test_a_step_left_out_fails():
    proof = offset_proof(using=lambda lipschitz, triangle: {triangle: 1})  # noqa: ARG005
    assert any(problem.startswith("step 3 failed") for problem in proof.problems)
    assert "the conclusion does not rest on the assumption input_lipschitz" in proof.problems


def test_a_negative_multiplier_fails():
    proof = begin(DRIVE, DRIVE.formula)
    small, large = proof.letter("a", "small"), proof.letter("b", "large")
    fact = proof.cite("a <= b", "somewhere", at_most(small, large))
    proof.derive("turned around", at_most(large, small), {fact: -1})
    assert not proof.steps[-1].ok
    proof.derive("an inequality makes no equation", equals(large, small), {fact: 1})
    assert not proof.steps[-1].ok
    proof.derive("the right way", at_most(small, large), {fact: 1})
    assert proof.steps[-1].ok


def test_the_conclusion_may_not_be_a_premise():
    proof = begin(DRIVE, DRIVE.formula)
    whole = proof.letter("d", "|step(0, x)|")
    typed = proof.assume(INPUT_LIPSCHITZ, at_most(whole, proof.bound()))
    proof.conclude(whole, {typed: 1})
    gain, input_bound, offset = symbols("gain input_bound offset")
    proof.attained("a witness", gain * input_bound + offset)
    assert [p for p in proof.problems if p.startswith("the conclusion is a premise")]


def test_a_multiplier_of_zero_uses_nothing():
    proof = begin(DRIVE, DRIVE.formula)
    fact = proof.assume(INPUT_LIPSCHITZ, at_most(x, y))
    assert proof.derive("without it", at_most(0, drive), {fact: 0}).rests_on == frozenset()


def test_a_theorem_is_concluded_about_a_quantity():
    proof = begin(WINDOW_ERROR, WINDOW_ERROR.formula)
    worst = proof.letter("w", "the error")
    for quantity, times in ((0, 1), (worst, 0), (drive, 1), (worst + 1, 1)):
        with pytest.raises(ValueError, match="about a quantity"):
            proof.conclude(quantity, {}, times=times)


def test_induction_needs_its_base_and_its_step():
    proof = begin(HIDDEN_STATE, HIDDEN_STATE.formula)
    e = proof.sequence("e(t)", "anything")
    start = proof.given("start", at_most(e(0), 1), "a base")
    recursion = proof.assume(CONTRACTIVE, at_most(e(t + 1), LAM * e(t)))
    statement = at_most(e(t), LAM**t)
    onward = {"over": t, "base": {start: 1}, "step": lambda h: {recursion: 1, h: LAM}}
    proof.induct("all", statement, **onward)
    assert proof.steps[-1].ok
    for change in (
        {"base": {}},
        {"step": lambda h: {h: LAM}},
        {"step": lambda h: {recursion: 1}},  # noqa: ARG005
        {"step": lambda h: {recursion: 1, h: LAM - 1}},
    ):
        proof.induct("broken", statement, **{**onward, **change})
        assert not proof.steps[-1].ok
    proof.induct("too strong", at_most(e(t), LAM ** (t + 1)), **onward)
    assert not proof.steps[-1].ok
    with pytest.raises(ValueError, match="not a fact of this proof"):
        proof.induct("cheats", statement, **{**onward, "step": lambda h: {proof.at(h, t=t + 1): 1}})


def test_facts_are_read_at_counts_only():
    proof = begin(HIDDEN_STATE, HIDDEN_STATE.formula)
    e = proof.sequence("e(t)", "anything")
    fact = proof.cite("for all t", "somewhere", at_most(e(t), LAM))
    assert proof.at(fact, t=2 * k + 1).relation.left == e(2 * k + 1)
    for bad in ({"t": k - 1}, {"t": drive}, {"lam": 0}):
        with pytest.raises(ValueError, match="needed a count"):
            proof.at(fact, **bad)


def test_facts_of_another_proof_are_refused():
    one, other = begin(DRIVE, DRIVE.formula), begin(DRIVE, DRIVE.formula)
    fact = other.cite("a <= b", "somewhere", at_most(x, y))
    one.cite("something else", "somewhere", at_most(y, x))
    with pytest.raises(ValueError, match="not a fact of this proof"):
        one.derive("stolen", at_most(x, y), {fact: 1})


def test_letters_and_assumptions_are_those_of_the_theorem():
    proof = begin(DRIVE, DRIVE.formula)
    with pytest.raises(ValueError, match="not an assumption of drive"):
        proof.assume(CONTRACTIVE, at_most(x, y))
    with pytest.raises(ValueError, match="not an argument"):
        proof.given("start", at_most(x, y), "no such argument")
    proof.letter("d", "one meaning")
    with pytest.raises(ValueError, match="taken"):
        proof.letter("d", "another meaning")
    with pytest.raises(ValueError, match="taken"):
        proof.letter("gain", "an argument")
    with pytest.raises(ValueError, match="not arguments"):
        begin(DRIVE, DRIVE.formula, k=k)


def lemma(theorem, **changes):
    return dataclasses.replace(prove(theorem.name), **changes)


def test_a_theorem_is_applied_only_with_its_assumptions_and_its_own_proof():
    def last_step(proof_of, *, assume=True, discharged=None, **arguments):
        proof = begin(STATE_GAP_OBSERVED, STATE_GAP_OBSERVED.formula)
        gap = proof.letter("e", "the gap")
        if assume:
            proof.assume(CONTRACTIVE)
        values = {"lam": LAM, "t": k, "distance": drive, **arguments}
        proof.apply(proof_of, gap, discharged=discharged, **values)
        return proof.steps[-1]

    why = {SAME_INPUTS: "the last k inputs"}
    own = prove("initial_state")
    assert last_step(own, discharged=why).ok
    assert not last_step(own, discharged=why, assume=False).ok
    assert not last_step(own).ok
    assert not last_step(own, discharged=why, distance=-drive).ok
    assert not last_step(own, discharged=why, t=drive).ok
    assert not last_step(own, discharged=why, lam=2 * LAM).ok
    wrong = prove("initial_state", lambda lam, t, distance: distance * lam ** (t + 1))
    assert not last_step(wrong, discharged=why).ok
    assert not last_step(lemma(INITIAL_STATE, steps=[]), discharged=why).ok


def test_the_sum_rule_needs_its_factor_free_of_the_index():
    proof = begin(DRIVE, DRIVE.formula)
    (j, n) = symbols("j n")
    a, b = proof.sequence("a(j)", "small"), proof.sequence("b(j)", "large")
    fact = proof.cite("term by term", "somewhere", at_most(a(j), b(j) * drive))
    proof.sum_over("fine", fact, index=j, count=n, factor=drive)
    assert proof.steps[-1].ok
    proof.sum_over("depends on j", fact, index=j, count=n, factor=b(j))
    assert not proof.steps[-1].ok


def test_an_orbit_that_is_none_fails():
    proof = begin(DRIVE, DRIVE.formula)
    orbit = {"over": t, "start": drive, "step": lambda h: LAM * h}
    proof.check_orbit("right", drive * LAM**t, **orbit)
    assert proof.steps[-1].ok
    for wrong in (drive * LAM ** (t + 1), drive * LAM ** (2 * t), drive, sp.Integer(0)):
        proof.check_orbit("wrong", wrong, **orbit)
        assert not proof.steps[-1].ok


# the statement for the eye ------------------------------------------------------------------------


@EACH
def test_the_docstring_states_the_formula(theorem):
    assert statements.agrees(theorem)


@pytest.mark.parametrize(
    ("theorem", "line"),
    [
        (STATE_GAP, "|h_t - h_t^k| <= drive * lam**(k + 1) / (1 - lam)"),
        (STATE_GAP, "|h_t - h_t^k| <= drive * lam**k"),
        (STATE_GAP, "|h_t - h_t^k| >= drive * lam**k / (1 - lam)"),
        (STATE_GAP, "|h_t - h_t^k| <= C * lam**k / (1 - lam)"),
        (STATE_GAP, "|h_t - h_t^k| <= drive lam**k / (1 - lam)"),
        (WINDOW_ERROR, "e <= lipschitz*gain*input_bound*lam**k * (1 - lam**(t - k)) / (1 - lam)"),
        (THEOREMS[0], "|step(h, x) - step(g, x)| <= slope * norm"),
        (THEOREMS[0], "|step(h, x) - step(g, x)| <= slope + norm * |h - g|"),
    ],
)
def test_a_docstring_that_says_otherwise_is_noticed(theorem, line):
    assert not statements.agrees(theorem, f"Title.\n\nStatement   {line}\nAssumes     nothing\n")


def test_a_statement_may_run_over_lines():
    docstring = "Statement   |h| <= drive\n            * lam**k / (1 - lam)\nAssumes     nothing\n"
    assert statements.agrees(STATE_GAP, docstring)
    for broken in ("no statement here", "Statement   a = b\nAssumes     c\n"):
        with pytest.raises(ValueError, match="state_gap"):
            statements.read(STATE_GAP, broken)


# the command line ---------------------------------------------------------------------------------


def test_python_m_proofs_checks_all(capsys):
    assert main([]) == 0
    out = capsys.readouterr().out
    for name in [*PROOFS, *(rho.name for rho in EXAMPLES)]:
        assert re.search(rf"{re.escape(name)}[ │].*│yes", out), name
    assert "NO" not in out
    assert "machine-" in out


def test_python_m_proofs_fails_with_a_failing_proof(capsys, monkeypatch):
    wrong = prove("state_gap", lambda lam, k, drive: drive * lam**k)
    monkeypatch.setattr("proofs.__main__.prove", lambda _: wrong)
    assert main([]) == 1
    out = capsys.readouterr().out
    assert "NO" in out
    assert "state_gap: step 8 failed" in out
    assert main(["state_gap"]) == 1
    shown = capsys.readouterr().out
    assert "FAILED" in shown
    assert "NOT proved" in shown


def test_python_m_proofs_as_a_program():
    done = subprocess.run(
        [sys.executable, "-m", "proofs", "state_gap"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("state_gap: state gap, any history (sharp)\n")
    for kind in StepKind:
        assert kind.value in done.stdout
    assert "e <= drive*lam**k/(1 - lam)" in done.stdout
    assert done.stdout.endswith(
        "proved: 6 checked, 3 assumed, 0 cited, 0 machine-checked\n"
        "machine-checked: the statement is a theorem of proofs/rocq/state_gap.v\n"
    )


def test_an_activation_is_printed(capsys):
    assert main(["tanh"]) == 0
    out = capsys.readouterr().out
    assert "rho(a) = tanh(a)" in out
    assert "cited    a difference quotient is a value of rho'  [mean value theorem]" in out


def test_an_unknown_name_lists_the_known_ones(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["state_gaps"])
    assert stopped.value.code == 2
    assert "window_error" in capsys.readouterr().err


def balanced(tex):
    """Whether braces and environments close, which is most of what a compiler would complain of."""
    bare = re.sub(r"\\[{}]", "", tex)
    depth = list(itertools.accumulate((c == "{") - (c == "}") for c in bare))
    environments = []
    for word, name in re.findall(r"\\(begin|end)\{(\w+)\}", tex):
        if word == "begin":
            environments.append(name)
        elif not environments or environments.pop() != name:
            return False
    return min(depth) >= 0 and depth[-1] == 0 and not environments


def test_latex(tmp_path, capsys):
    assert main(["--latex", str(tmp_path / "tex")]) == 0
    assert capsys.readouterr().out == ""
    files = {path.stem: path.read_text(encoding="utf-8") for path in (tmp_path / "tex").iterdir()}
    assert set(files) == {*PROOFS, "index"}
    for name in PROOFS:
        assert rf"\input{{{name}}}" in files["index"]
        assert balanced(files[name]), name
        assert files[name].count(r"\item \textbf{") == len(proved(name).steps)
        # outside of formulas and arguments of \label and \input no bare special character
        prose = re.sub(r"\\\[.*?\\\]|\\label\{.*?\}", "", files[name], flags=re.DOTALL)
        assert not re.search(r"(?<!\\)[_^#&$%]", prose), name
    statement = r"\[ \|h_t - h_t^k\| \le \frac{C \, \lambda^{k}}{1 - \lambda} \]"
    assert statement in files["state_gap"]
    assert r"\ge" in render.latex_statement(WINDOW_ERROR)


def test_index_is_a_table_of_all_theorems(tmp_path, monkeypatch, capsys):
    (tmp_path / "proofs").mkdir()
    monkeypatch.setattr(scaffold, "ROOT", tmp_path)
    assert main(["--index"]) == 0
    assert capsys.readouterr().out == "wrote proofs/INDEX.md\n"
    written = (tmp_path / "proofs/INDEX.md").read_text(encoding="utf-8")
    head, rule, *rows = written[written.index("| result") :].splitlines()
    kinds = "checked/assumed/cited/machine-checked"
    assert head == f"| result | statement | kind | {kinds} | in Rocq | proof | test |"
    assert rule == "|---|---|---|---|---|---|---|"
    assert len(rows) == len(THEOREMS)
    for row, theorem in zip(rows, THEOREMS, strict=True):
        # seven cells: no bar inside of a statement ends one early
        assert row.count("|") == 8
        proof = proved(theorem.name)
        numbers = [str(proof.count(kind)) for kind in StepKind]
        assert f"| {theorem.kind.value} | {'/'.join(numbers)} |" in row
        assert f"({theorem.name}.py)" in row
        assert f"(../tests/theorems/test_{theorem.name}.py)" in row
        assert row.startswith(f"| {theorem.title} | $")
