"""The questions that every theorem is asked; its own test file says with which experiments.

Whether a bound is sharp, and what a theorem says beside its formula, is asked in that file.
"""

from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from questions import (
    Asked,
    agrees_with_formula,
    every_assumption_is_needed,
    every_near_miss_is_noticed,
    example_is_true,
    holds,
    kind_is_the_one_said,
    refuses_malformed,
    statement_is_the_formula,
    typed_function,
)
from targets import aimed

from theory.trials import TRIALS

FOLDER = Path(__file__).parent

#: What stands in a file that says nothing yet.
NEEDED = """tests/theorems/test_{0}.py is to hold

    ASKED = Asked(made=..., extremes=..., broken=broken, witnesses=witnesses)

see `Asked` in tests/support/questions.py, or what `python -m proofs --new ANOTHER_STEM` writes"""


def asked(stem: str) -> Asked | None:
    """Return what the test file of a theorem says of it, None if it says nothing."""
    if not (FOLDER / f"test_{stem}.py").is_file():
        return None
    return getattr(import_module(f"test_{stem}"), "ASKED", None)


#: How a test is named that answers the second question, and that tests a typed function; of the
#: two that return a count it is enough, and one fewer is not.
SHARP = ("test_sharp", "test_attained")
COMPARED = ("test_typed_function", "test_the_answer_suffices_and_one_fewer_does_not")

ASKED = {stem: asked(stem) for stem in TRIALS}
SAID = {stem: one for stem, one in ASKED.items() if one is not None}

every = pytest.mark.parametrize("stem", SAID)


def those(condition):
    """Return the mark for the theorems whose files say something."""
    return pytest.mark.parametrize("stem", [s for s, one in SAID.items() if condition(one)])


def has_test(stem, names):
    """Return whether the file of a theorem has a test whose name starts with one of these."""
    return any(name.startswith(names) for name in vars(import_module(f"test_{stem}")))


def theorem_of(stem):
    """Return the theorem of a stem."""
    return TRIALS[stem].theorem


@pytest.mark.parametrize("stem", TRIALS)
def test_every_file_says_what_to_ask(stem):
    assert isinstance(ASKED[stem], Asked), NEEDED.format(stem)


# 1. does it hold?


@every
@aimed
@given(st.data())
def test_holds(stem, data):
    one = SAID[stem]
    made = data.draw(one.made, label="made")
    holds(theorem_of(stem), made, always_measured=one.always_measured)


@those(lambda one: one.extremes is not None)
def test_holds_at_extremes(stem):
    SAID[stem].extremes(theorem_of(stem))


# 2. is it sharp?  Each file has witnesses of its own.


@every
def test_sharpness_is_asked(stem):
    assert has_test(stem, SHARP), (
        f"tests/theorems/test_{stem}.py: needed test_sharp..., a witness that reaches the bound or "
        "the best ratio known as a number"
    )


# 3. is each assumption needed?


@every
def test_every_assumption_is_needed(stem):
    every_assumption_is_needed(theorem_of(stem), SAID[stem].broken())


# 4. would we notice?


@every
def test_every_near_miss_is_noticed(stem):
    every_near_miss_is_noticed(theorem_of(stem), SAID[stem].witnesses())


# the typed function


@those(lambda one: one.typed is not None)
@given(st.data())
def test_typed_function(stem, data):
    agrees_with_formula(SAID[stem].typed, data)


@those(lambda one: one.typed or one.malformed)
def test_malformed_questions(stem):
    one = SAID[stem]
    refuses_malformed(typed_function(theorem_of(stem)), **(one.malformed or one.typed.malformed))


@those(lambda one: one.typed is None)
def test_the_file_tests_its_typed_function(stem):
    """A function that depends on more than numbers is compared with its formula in its file."""
    assert has_test(stem, COMPARED), (
        f"tests/theorems/test_{stem}.py: needed typed=Typed(...) in ASKED, or test_typed_function"
    )


@those(lambda one: one.typed is None and one.malformed is None)
def test_the_file_asks_malformed_questions(stem):
    assert has_test(stem, ("test_malformed",)), (
        f"tests/theorems/test_{stem}.py: needed malformed={{...}} in ASKED, or test_malformed..."
    )


@every
def test_documentation_is_true(stem):
    example_is_true(typed_function(theorem_of(stem)))
    statement_is_the_formula(theorem_of(stem))
    kind_is_the_one_said(theorem_of(stem))
