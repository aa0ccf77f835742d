r"""The four files of a new theorem, each with what belongs there; `python -m proofs --new STEM`.

Main names: `write`, `what_is_left`.

The files state a theorem that is true, of the distance of two trajectories, so that everything runs
from the first minute; a test fails until it is replaced by the new one.
"""

from __future__ import annotations

import keyword
from pathlib import Path

import theory

#: The folder that holds `theory`, `proofs` and `tests`.
ROOT = Path(__file__).resolve().parents[1]

#: Characters of a stem, so that an import of its names fits into one line.
LONGEST = 32

_THEOREM = '''r"""TODO: a few words.

Statement   |h_t - g_t| <= lam**t * distance
Assumes     contractive; the same inputs; |h_0 - g_0| <= distance
Kind        sharp, attained by h -> lam*h
Source      this project
"""

from __future__ import annotations

{imports}


def formula(lam: Scalar, t: Scalar, distance: Scalar) -> Scalar:
    """Return the right-hand side."""
    return lam**t * distance


def {stem}(c: Contraction, *, t: int, distance: float) -> float:
    """Bound the distance of two trajectories of the same inputs.

    Parameters
    ----------
    c : Contraction
    t : int
        Number of inputs received.
    distance : float
        Bound of |h_0 - g_0| in the norm of `c`.

    Returns
    -------
    float
        An upper bound of |h_t - g_t|, rounded outward.

    Raises
    ------
    ValueError
        If `c` is not a one-step contraction, t is not a count, or the distance is negative.

    Examples
    --------
    >>> {stem}(Contraction.assumed(0.5), t=3, distance=8.0)
    1.0
    """
    check_one_step(c)
    check_count(t=t)
    check_nonnegative(distance=distance)
    return evaluate(formula, lam=c.lam, t=int(t), distance=distance)


{NAME} = Theorem(
    name="{stem}",
    title="TODO: a few words for tables",
    quantity=r"\\|h_t - g_t\\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(CONTRACTIVE, SAME_INPUTS),
    source="this project",
{criterion})
'''

_TRIAL = '''"""How `{stem}` is attacked: what is measured, and its near misses."""

from __future__ import annotations

{imports}


def observe(run: Run) -> Observation:
    """Measure the distance of the two runs at all times."""
    measured = run.norm.vector(run.states - run.other_states)
    distance = float(run.norm.vector_upper(run.of.start - run.of.other_start))
    return Observation(
        measured=measured,
        budget=run.budget(measured, run.times, run.times),
        arguments={{"lam": run.lam, "t": run.times, "distance": distance}},
    )


TRIAL = Trial(
    theorem={NAME},
    observe=observe,
    near_misses=(
        NearMiss(
            name="one power of lam too many",
            formula=lambda lam, t, distance: lam ** (t + 1) * distance,
        ),
        NearMiss(name="without contraction", drops=CONTRACTIVE),
    ),
)
'''

_PROOF = '''"""Proof of `theory.theorems.{stem}`: the contraction, iterated."""

from __future__ import annotations

{imports}


def prove(formula: Formula = {NAME}.formula) -> Proof:
    """Return the proof, of another formula if one is given."""
    proof = begin({NAME}, formula)
    lam, t, distance = symbols("lam t distance")
    gap = proof.sequence("e(t)", "|h_t - g_t|")
    moved = proof.sequence("c(t)", "|step(h_t, x) - step(g_t, x)|, x the next input of h")
    other = proof.sequence("u(t)", "|step(g_t, x) - step(g_t, y)|, y the next input of g")

    contractive = proof.assume(CONTRACTIVE, at_most(moved(t), lam * gap(t)))
    same = proof.assume(SAME_INPUTS, equals(other(t), 0), "x = y, so step(g_t, x) = step(g_t, y)")
    apart = proof.given("distance", at_most(gap(0), distance), "|h_0 - g_0| <= distance")
    triangle = proof.cite("triangle inequality", NORM, at_most(gap(t + 1), moved(t) + other(t)))
    recursion = proof.derive(
        "one step", at_most(gap(t + 1), lam * gap(t)), {{triangle: 1, contractive: 1, same: 1}}
    )

    proof.conclude_by_induction(
        gap(t), over=t, base={{apart: 1}}, step=lambda hypothesis: {{recursion: 1, hypothesis: lam}}
    )
    orbit = lam**t * distance
    proof.check_orbit(
        "distance of two orbits of h -> lam*h",
        orbit,
        over=t,
        start=distance,
        step=lambda e: lam * e,
    )
    proof.attained("h -> lam*h", orbit)
    return proof
'''

_TEST = '''"""The four questions, asked of {stem}: TODO, the formula in words."""

import numpy as np
import pytest
from questions import Asked, Typed, holds_at_extremes, is_sharp, scalar

{imports}

TYPED = Typed(
    theorem={NAME},
    counts=("t",),
    sizes=("distance",),
    rising=("lam", "distance"),
    falling=("t",),
)


def test_it_is_the_new_theorem():
    pytest.fail(
        "theory/theorems/{stem}.py still states the example: "
        "write the statement, the formula and the typed function there, "
        "what is measured and near misses in theory/trials/{stem}.py, "
        "the steps in proofs/{stem}.py, "
        "witnesses and counterexamples here; then delete this test"
    )


@pytest.mark.parametrize("lam", [0.0, 0.5, 0.99])
def test_sharp_for_linear_maps(lam):
    is_sharp({NAME}, scalar(lam, T=20, start=[4.0], other_start=[-4.0]))


def broken():
    # from the same start, inputs 1 and 0: the distance of the starts is 0, that of the states 1
    system = LinearMap([[0.5]], [[1.0]])
    apart = np.abs(system.simulate([[1.0]]) - system.simulate([[0.0]]))[0, 0]
    return {{
        "contractive": scalar(0.9, claim=0.5, T=40),
        "same_inputs": (apart, TYPED(0.5, t=1, distance=0.0)),
    }}


def witnesses():
    return {{
        "one power of lam too many": scalar(0.5, other_start=[4.0]),
        "without contraction": scalar(0.9, claim=0.5, T=40),
    }}


ASKED = Asked(
    made=experiments(any_start=True),
    extremes=holds_at_extremes,
    broken=broken,
    witnesses=witnesses,
    typed=TYPED,
)
'''

#: The four files, with the names that each imports from this package, by module.
_FILES: dict[str, tuple[str, dict[str, str]]] = {
    "theory/theorems/{stem}.py": (
        _THEOREM,
        {
            "theory.arithmetic.rounding": "evaluate",
            "theory.certificates": "Contraction, check_one_step",
            "theory.errors": "check_count, check_nonnegative",
            "theory.theorems.assumptions": "CONTRACTIVE, SAME_INPUTS",
            "theory.theorems.theorem": "Kind, Theorem",
            "theory.typing": "Scalar",
        },
    ),
    "theory/trials/{stem}.py": (
        _TRIAL,
        {
            "theory.measure.observation": "Observation",
            "theory.measure.run": "Run",
            "theory.theorems.assumptions": "CONTRACTIVE",
            "theory.theorems.{stem}": "{NAME}",
            "theory.trials.trial": "NearMiss, Trial",
        },
    ),
    "proofs/{stem}.py": (
        _PROOF,
        {
            "proofs.steps": "NORM, Proof, at_most, begin, equals, symbols",
            "theory.theorems.assumptions": "CONTRACTIVE, SAME_INPUTS",
            "theory.theorems.theorem": "Formula",
            "theory.theorems.{stem}": "{NAME}",
        },
    ),
    "tests/theorems/test_{stem}.py": (
        _TEST,
        {
            "theory": "LinearMap",
            "theory.strategies": "experiments",
            "theory.theorems.{stem}": "{NAME}",
        },
    ),
}

_LEFT = """Lines to add, and what they are for:

theory/theorems/__init__.py     from theory.theorems.{stem} import {NAME}, {stem}
                                {NAME}, in THEOREMS, where it is read
                                "{NAME}" and "{stem}", in __all__
                                its place in the docstring, the page that help shows
theory/trials/table.py          from theory.trials.{stem} import TRIAL as {NAME}
                                {NAME}, in TRIALS, at the same place
proofs/INDEX.md                 run `python -m proofs --index`, which writes it
CHANGELOG.md                    a line under Unreleased

Then `python -m pytest tests/theorems/test_{stem}.py` says what to write, and
`python -m pytest tests/test_completeness.py` which of these lines is not there."""


def _filled(text: str, stem: str) -> str:
    return text.format(stem=stem, NAME=stem.upper())


def _text(template: str, imports: dict[str, str], stem: str) -> str:
    """Return a file's text, its imports in order whatever the stem."""
    filled = {_filled(module, stem): _filled(names, stem) for module, names in imports.items()}
    lines = [f"from {module} import {filled[module]}" for module in sorted(filled)]
    criterion = "    criterion=True,\n" if stem.startswith("contractive_of_") else ""
    return template.format(
        stem=stem, NAME=stem.upper(), imports="\n".join(lines), criterion=criterion
    )


def check_stem(stem: str, root: Path = ROOT) -> None:
    """Check that a stem is a name that no file and nothing public has.

    Raises
    ------
    ValueError
        If it is no lower-case identifier, or it is taken.
    """
    if not stem.isidentifier() or keyword.iskeyword(stem) or stem != stem.lower():
        raise ValueError(
            f"{stem!r} is not a stem, needed a lower-case identifier such as state_gap: "
            "the name of the quantity that is bounded, or contractive_of_ and the hypothesis"
        )
    if not stem[0].isalpha() or not stem.isascii() or len(stem) > LONGEST:
        raise ValueError(
            f"{stem!r} is not a stem, needed a-z, 0-9 and _, a letter first, and at most "
            f"{LONGEST} characters"
        )
    if not (root / "tests" / "theorems").is_dir():
        raise ValueError(f"{root} holds no tests/theorems, needed a checkout of the repository")
    for place in _FILES:
        path = root / _filled(place, stem)
        if path.exists():
            raise ValueError(f"{path.relative_to(root)} exists already; choose another stem")
    if hasattr(theory, stem):
        raise ValueError(f"theory.{stem} is something already; choose another stem")


def write(stem: str, root: Path = ROOT) -> list[Path]:
    """Write the four files of a new theorem and return their paths; nothing is overwritten.

    Parameters
    ----------
    stem : str
        The theorem's name, see `check_stem`.
    root : Path
        The checkout.

    Raises
    ------
    ValueError
        If the stem is no name for a theorem, or is taken.
    """
    check_stem(stem, root)
    written = []
    for place, (template, imports) in _FILES.items():
        path = root / _filled(place, stem)
        with path.open("x", encoding="utf-8") as file:
            file.write(_text(template, imports, stem))
        written.append(path)
    return written


def what_is_left(stem: str) -> str:
    """Return which lines are to be added where."""
    return _filled(_LEFT, stem)
