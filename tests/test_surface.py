"""The public names: few in `theory`, the rest in packages, each a page; one style of arguments."""

from __future__ import annotations

import importlib.util
import inspect
import re
import subprocess
import sys
import typing
from pathlib import Path

import numpy as np
import pytest

import theory

ROOT = Path(__file__).resolve().parents[1]

#: The packages whose names are public, and the module of exceptions.
FACES = {
    name: getattr(theory, name) for name in dir(theory) if inspect.ismodule(getattr(theory, name))
}
by_face = pytest.mark.parametrize("face", FACES.values(), ids=FACES)

#: Every public name with its place; the root has some names of packages too.
PUBLIC = {
    f"{face.__name__}.{name}": getattr(face, name)
    for face in (theory, *FACES.values())
    for name in face.__all__
}


def _is_function(thing: object) -> bool:
    return inspect.isfunction(thing) or inspect.isbuiltin(thing)


FUNCTIONS = {place: thing for place, thing in PUBLIC.items() if _is_function(thing)}


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    ).stdout.strip()


# ------------------------------------------------------------------------------------------- root


def test_the_root_is_the_line():
    assert len(theory.__all__) <= 39, "theory has one name for each station; others go to packages"
    assert set(FACES) == {
        *("maps", "sources", "norms", "theorems", "certify", "memory", "projections", "interop"),
        *("learning", "measure", "trials", "testing", "strategies", "torch", "errors"),
    }
    offered = {name for name in dir(theory) if not name.startswith("_")}
    assert offered == {*theory.__all__, *FACES}


def test_packages_are_loaded_when_asked_for():
    code = (
        "import sys, theory\n"
        "loaded = 'theory.strategies' in sys.modules\n"
        "theory.strategies.stable_maps, theory.theorems.state_gap, theory.certify.recheck\n"
        "print(loaded, 'theory.strategies' in sys.modules)"
    )
    assert run(code) == "False True"


def test_a_name_that_is_elsewhere_is_pointed_to():
    with pytest.raises(AttributeError, match=r"it is theory\.theorems\.state_gap$"):
        theory.state_gap  # noqa: B018
    with pytest.raises(AttributeError, match=r"module 'theory' has no attribute 'stage_gap'$"):
        theory.stage_gap  # noqa: B018


def test_a_name_of_a_package_that_is_not_loaded_is_pointed_to_without_loading_it():
    code = (
        "import sys, theory\n"
        "for name in ('from_torch', 'stable_maps', 'StableProjection', 'MissingExtraError'):\n"
        "    try: getattr(theory, name)\n"
        "    except AttributeError as error: print(str(error).split(' is ')[1])\n"
        "print([p for p in ('theory.interop', 'theory.strategies', 'torch') if p in sys.modules])"
    )
    assert run(code).splitlines() == [
        "theory.interop.from_torch",
        "theory.strategies.stable_maps",
        "theory.torch.StableProjection",
        "theory.errors.MissingExtraError",
        "[]",
    ]


# ------------------------------------------------------------------------------------------- pages


@by_face
def test_a_page_offers_its_names_and_no_others(face):
    """So that completion does not offer what a file of the package only uses."""
    if face is theory.errors:
        return  # a file, with checks for the rest of the package
    names = {name for name, thing in vars(face).items() if not inspect.ismodule(thing)}
    assert {name for name in names if not name.startswith("_")} == set(face.__all__)


@by_face
def test_a_page_says_which_names_it_has(face):
    """Add what is missing to the docstring of the package, with what it is for."""
    if face is theory.errors:
        return
    page = inspect.getdoc(face)
    names = set(face.__all__)
    if face is theory.theorems:  # a theorem is there under the name of its function
        names -= {theorem.name.upper() for theorem in theory.THEOREMS}
    missing = {name for name in names if not re.search(rf"\b{name}\b", page)}
    assert not missing, sorted(missing)


def test_every_theorem_is_there_as_a_function_and_as_a_value():
    for theorem in theory.THEOREMS:
        assert {theorem.name, theorem.name.upper()} <= set(theory.theorems.__all__)


def _classes(hint: object) -> set[type]:
    if isinstance(hint, type) and hint.__module__.split(".")[0] == "theory":
        return {hint}
    return set().union(*map(_classes, typing.get_args(hint)))


def _methods(thing: type) -> dict[str, typing.Any]:
    found = {}
    for name, method in vars(thing).items():
        function = getattr(method, "fget", None) or getattr(method, "__func__", method)
        if not name.startswith("_") and inspect.isfunction(function):
            found[name] = function
    return found


METHODS = {
    f"{place}.{name}": method
    for place, thing in PUBLIC.items()
    if inspect.isclass(thing) and not place.startswith("theory.torch.")
    for name, method in _methods(thing).items()
}


#: The public functions of one map.
OF_A_MAP = [
    place
    for place, thing in FUNCTIONS.items()
    if next(iter(inspect.signature(thing).parameters), None) in {"recurrent", "model"}
]


@pytest.mark.parametrize("place", OF_A_MAP)
def test_a_matrix_in_place_of_a_map_is_refused_with_what_to_make_of_it(place):
    if place.startswith("theory.torch."):
        pytest.importorskip("torch", reason="PyTorch is not installed (extra: torch)")
    function = FUNCTIONS[place]
    needed = [one.name for one in inspect.signature(function).parameters.values()
              if one.default is one.empty][1:]  # fmt: skip
    with pytest.raises(ValueError, match=r"needed a Map.*theory\."):
        function(np.eye(2), **dict.fromkeys(needed))


def test_arguments_and_results_of_what_is_public_are_public():
    known = {id(thing) for thing in PUBLIC.values()}
    hidden = [
        f"{name} of {place}: {one.__qualname__}"
        for place, function in {**METHODS, **FUNCTIONS}.items()
        for name, hint in typing.get_type_hints(function).items()
        for one in _classes(hint)
        if id(one) not in known
    ]
    assert not hidden


# --------------------------------------------------------------------------------------- arguments

#: Parameters that belong to the one before: a model with its head is one thing, and so are the
#: weights of a cell, which stand in the order of its constructor.
TOGETHER = {"head", "other_head", "U", "b", "b_candidate"}


def test_two_arguments_by_position_and_the_rest_by_keyword():
    for place, function in FUNCTIONS.items():
        parameters = inspect.signature(function).parameters.values()
        positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        assert len([name for name in positional if name not in TOGETHER]) <= 2, place


# ------------------------------------------------------------------------------------------- types

#: What the last program of README.md takes from its reader.
READER = """
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def my_step(h: Array, x: Array) -> Array:
    return h


my_inputs = np.zeros((30, 3))
"""


def programs() -> list[str]:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", readme, re.DOTALL)


@pytest.mark.skipif(
    importlib.util.find_spec("mypy") is None, reason="needs mypy: pip install .[dev]"
)
@pytest.mark.parametrize("count", [1, None], ids=["first", "all"])
def test_programs_of_the_readme_are_well_typed(tmp_path, count):
    """The first alone, and all of them one after the other, as a reader types them."""
    path = tmp_path / "program.py"
    path.write_text("\n".join([READER, *programs()[:count]]), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", "pyproject.toml", str(path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
