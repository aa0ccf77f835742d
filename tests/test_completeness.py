"""What belongs together is there: stems, near misses, places, docstrings, examples.

What a theorem, a map, a norm, a kernel, a recipe and a command need is in `support/rooms.py`.
"""

import ast
import dataclasses
import doctest
import importlib
import inspect
import linecache
import pkgutil
import re
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import pytest
import rooms
from hypothesis import Phase, settings
from rooms import lacking
from trees import nodes_of, tree_of

import theory
from theory import THEOREMS, LinearMap, Map
from theory.maps.affine import AffineMap
from theory.norms import Norm
from theory.theorems.theorem import Kind
from theory.trials import TRIALS
from theory.trials.establish import ESTABLISHED

ROOT = Path(__file__).resolve().parents[1]
STEMS = [theorem.name for theorem in THEOREMS]

#: The packages whose names are public, by name.
FACES = {
    name: getattr(theory, name) for name in dir(theory) if inspect.ismodule(getattr(theory, name))
}

#: Files in these folders that are no theorem's.
SHARED = {
    "theory/theorems": {
        "__init__",
        "assumptions",
        "schedules",
        "sectors",
        "terms",
        "theorem",
        "typeset",
    },
    "theory/trials": {"__init__", "establish", "nearest_points", "table", "trial", "verdict"},
    "tests/theorems": {"test_every_theorem"},
}
by_theorem = pytest.mark.parametrize("theorem", THEOREMS, ids=STEMS)


def modules(package: str) -> list[str]:
    """Return the names of all modules of a package, by their files."""
    folder = ROOT / package
    names = []
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


def imported_anywhere(path: Path) -> set[str]:
    found = set()
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def path_of(module: str) -> Path:
    path = ROOT / Path(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


THEORY, PROOFS = modules("theory"), modules("proofs")
ALL = {*THEORY, *PROOFS}

# --------------------------------------------------------------------------------------- four files


@by_theorem
@pytest.mark.parametrize(
    "place",
    ["theory/theorems/{}.py", "theory/trials/{}.py", "proofs/{}.py", "tests/theorems/test_{}.py"],
)
def test_every_theorem_has_its_four_files(theorem, place):
    path = ROOT / place.format(theorem.name)
    assert path.is_file(), (
        f"missing: {path.relative_to(ROOT)}; `python -m proofs --new ANOTHER_STEM` shows what "
        "belongs there"
    )


@pytest.mark.parametrize(
    ("folder", "prefix"),
    [("theory/theorems", ""), ("theory/trials", ""), ("tests/theorems", "test_")],
)
def test_no_file_is_without_a_theorem(folder, prefix):
    stems = {path.stem for path in (ROOT / folder).glob("*.py")} - SHARED[folder]
    extra = {stem for stem in stems if stem.removeprefix(prefix) not in STEMS}
    assert not extra, (
        f"in {folder} but not in THEOREMS: {sorted(extra)}; list it there, in "
        "theory/theorems/__init__.py, or name it in SHARED here if it is no theorem's"
    )


def test_names_are_unique():
    assert len(set(STEMS)) == len(STEMS)


def test_trials_stand_in_the_order_of_their_theorems():
    assert list(TRIALS) == [theorem.name for theorem in THEOREMS]


@by_theorem
def test_names_lead_to_the_theorem(theorem):
    missing = lacking(rooms.OF_THEOREMS, theorem, theorem.name)
    assert not missing, missing
    module = importlib.import_module(f"theory.theorems.{theorem.name}")
    trial = importlib.import_module(f"theory.trials.{theorem.name}").TRIAL
    assert module.formula is theorem.formula
    assert trial.theorem is theorem
    assert TRIALS[theorem.name] is trial


@by_theorem
def test_every_theorem_says_what_it_needs_to(theorem):
    assert theorem.source.strip()
    assert theorem.title.strip()
    assert theorem.quantity.strip()
    assert theorem.assumes
    assert isinstance(theorem.kind, Kind)
    assert theorem.criterion == theorem.name.startswith("contractive_of_")
    doc = inspect.getdoc(importlib.import_module(f"theory.theorems.{theorem.name}"))
    order = [doc.index(f"\n{word} ") for word in ("Statement", "Assumes", "Kind", "Source")]
    assert order == sorted(order)


@by_theorem
def test_every_theorem_has_near_misses_of_one_kind_each(theorem):
    assert len(TRIALS[theorem.name].near_misses) >= 2
    names = [miss.name for miss in TRIALS[theorem.name].near_misses]
    assert len(set(names)) == len(names)
    for miss in TRIALS[theorem.name].near_misses:
        wrong = [x for x in (miss.formula, miss.observe, miss.drops) if x is not None]
        assert len(wrong) == 1, f"{theorem.name} [{miss.name}]"
        if miss.drops is not None:
            assert miss.drops in theorem.assumes
        if miss.formula is not None:
            assert tuple(inspect.signature(miss.formula).parameters) == theorem.symbols
            assert miss.formula is not theorem.formula
        if miss.observe is not None:
            assert miss.observe is not TRIALS[theorem.name].observe


def test_assumptions_of_one_name_are_one():
    seen = {}
    for assumption in (a for theorem in THEOREMS for a in theorem.assumes):
        assert seen.setdefault(assumption.name, assumption) is assumption


def test_every_assumption_is_established_somehow():
    missing = sorted({a.name for t in THEOREMS for a in t.assumes if a not in ESTABLISHED})
    assert not missing, (
        f"add to ESTABLISHED in theory/trials/establish.py how a run is seen to meet: {missing}"
    )


@by_theorem
def test_formulas_use_arithmetic_only(theorem):
    """So that one function serves floats, arrays, fractions, intervals and symbols."""
    tree = ast.parse(inspect.getsource(theorem.formula).strip())
    allowed = (
        ast.Module,
        ast.FunctionDef,
        ast.arguments,
        ast.arg,
        ast.Return,
        ast.Expr,
        ast.Constant,
        ast.BinOp,
        ast.UnaryOp,
        ast.USub,
        ast.Add,
        ast.Sub,
        ast.Mult,
        ast.Div,
        ast.Pow,
        ast.Name,
        ast.Load,
    )
    for node in ast.walk(tree):
        assert isinstance(node, allowed), f"{theorem.name}: {type(node).__name__}"


# ------------------------------------------------------------------------------------ other things

MAPS = rooms.final_classes(Map, "theory/maps")
NORMS = rooms.final_classes(Norm, "theory/norms")
KERNELS, RECIPES, COMMANDS = rooms.kernels(), rooms.recipes(), rooms.commands()


def file_of(kind: type) -> str:
    return kind.__module__.replace(".", "/") + ".py"


@pytest.mark.parametrize("kind", MAPS, ids=lambda kind: kind.__name__)
def test_every_map_is_everywhere(kind):
    missing = lacking(rooms.OF_MAPS, kind, kind.__name__, file=file_of(kind))
    assert not missing, missing


@pytest.mark.parametrize("kind", NORMS, ids=lambda kind: kind.__name__)
def test_every_norm_is_everywhere(kind):
    missing = lacking(rooms.OF_NORMS, kind, kind.__name__)
    assert not missing, missing


@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_is_compared_with_its_definition(name):
    missing = lacking(rooms.OF_KERNELS, name, name)
    assert not missing, missing


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_in_the_table(name):
    missing = lacking(rooms.OF_RECIPES, RECIPES[name], name)
    assert not missing, missing


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_registered_tried_and_described(name):
    missing = lacking(rooms.OF_COMMANDS, COMMANDS[name], name)
    assert not missing, missing


def test_what_is_asked_for_is_found():
    """A search that found nothing would ask nothing."""
    assert {kind.__name__ for kind in MAPS} >= {"LinearMap", "LSTM", "Cascade", "CallableMap"}
    assert {kind.__name__ for kind in NORMS} >= {"L1", "L2", "Linf", "WeightedL2"}
    assert set(KERNELS) == set(rooms.COMPARED)
    assert not rooms.kernels_without_use()
    assert len(RECIPES) >= 40
    assert set(COMMANDS) >= {"verify", "certify", "check", "project", "memory"}


def test_exceptions_of_places_are_still_needed():
    for kind in MAPS:
        for place in rooms.OF_MAPS:
            assert kind.__name__ not in place.without or not place.holds(kind), place


def test_a_new_map_is_told_its_places():
    class _Residual(AffineMap):
        affine = parameters = _rebuilt = None

    class _Bare(Map):
        pass

    told = lacking(rooms.OF_MAPS, _Residual, "Residual", file="theory/maps/residual.py")
    assert [line.split(":")[0] for line in told.splitlines()] == [
        "Residual is not everywhere; missing",
        "  theory/maps/__init__.py",
        "  theory/__init__.py",
        "  tests/support/definitions.py",
        "  tests/maps/test_contract.py",
        "  tests/soundness/draws.py",
        "  theory/strategies/maps.py",
        "  theory/interop/map_file.py",
    ]
    for words in (
        "theory/maps/__init__.py: import Residual, and list it in __all__",
        "Residual in OF_CLASS, its step in ball arithmetic",
        "a Residual in affine_maps or gated_maps",
        "Residual in MAKERS",
        "a strategy that draws a Residual, listed in _layers so that any_maps draws it, and public",
    ):
        assert words in told
    told = lacking(rooms.OF_MAPS, _Bare, "Bare", file="theory/maps/bare.py")
    for method in ("comparison(domain)", "image(domain)", "candidate_box(low, high)"):
        assert f"  theory/maps/bare.py: {method}" in told
    # one place alone
    assert lacking(rooms.OF_MAPS, LinearMap, "LinearMap", file="") == ""


def test_a_new_norm_is_told_its_places():
    class _Huber(Norm):
        pass

    told = lacking(rooms.OF_NORMS, _Huber, "Huber")
    assert len(told.splitlines()) == 1 + len(rooms.OF_NORMS)
    assert "theory/norms/stored.py: Huber in norm_from_dict" in told
    assert "tests/norms/test_norms.py: a Huber in LIST" in told


def test_a_new_kernel_recipe_and_command_are_told_their_places():
    def fresh(rng):
        raise NotImplementedError

    assert '"fresh" in COMPARED' in lacking(rooms.OF_KERNELS, "fresh", "fresh")
    assert '"fresh": (fresh, 1) in RECIPES' in lacking(rooms.OF_RECIPES, fresh, "fresh")
    told = lacking(rooms.OF_COMMANDS, fresh, "fresh")
    for words in ("app.command()(fresh)", "tests/cli: a test", "README.md: what"):
        assert words in told


def test_a_new_theorem_is_told_its_places():
    fresh = dataclasses.replace(THEOREMS[0], title="another of the same name")
    told = lacking(rooms.OF_THEOREMS, fresh, fresh.name)
    assert "under its name in capitals" in told
    assert "theory/trials/table.py: import TRIAL" in told
    # one whose function is imported nowhere is said to be missing, in place of an AttributeError
    stray = types.SimpleNamespace(name="schedules")
    told = lacking(rooms.OF_THEOREMS, stray, "schedules")
    assert "theory/theorems/__init__.py: import the function schedules beside" in told
    assert "theory/theorems/__init__.py: list the theorem itself in __all__ too" in told


# ------------------------------------------------------------------------------------------ imports

HEAVY = [
    "numba",
    "scipy.linalg",
    "cvxpy",
    "sympy",
    "hypothesis",
    "matplotlib",
    "rich",
    "typer",
    "torch",
]


def test_importing_the_package_loads_nothing_heavy():
    code = f"import sys, theory; print([m for m in {HEAVY} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"


def test_computing_a_bound_loads_nothing_heavy():
    code = (
        "import sys, theory\n"
        "c = theory.Contraction.assumed(0.9)\n"
        "theory.theorems.state_gap(c, k=3, drive=1.0)\n"
        "theory.theorems.context_length(c, eps=1e-3, drive=1.0)\n"
        "theory.contraction(theory.VanillaRNN([[0.5]], [[1.0]]))\n"
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert result.stdout.strip() == "[]"


def test_the_library_imports_neither_proofs_nor_tests():
    for module in THEORY:
        tops = {name.split(".")[0] for name in imported_anywhere(path_of(module))}
        if module not in {"theory.cli", "theory.__main__"}:
            assert not tops & {"proofs"}, f"{module} imports proofs"
        assert not tops & {"tests", "pytest", "conftest", "examples"}, module


def test_numba_is_imported_in_one_place():
    places = [
        m for m in THEORY if any(n.split(".")[0] == "numba" for n in imported_anywhere(path_of(m)))
    ]
    assert places == ["theory.kernels.jit"]


def test_the_trusted_module_trusts_little():
    names = imported_anywhere(path_of("theory.arithmetic.rigor"))
    assert {n for n in names if n.startswith("theory")} == {
        "theory.arithmetic.rounding",
        "theory.typing",
    }
    assert {n.split(".")[0] for n in names} <= {"theory", "numpy", *sys.stdlib_module_names}


@pytest.mark.parametrize("module", [m for m in PROOFS if m.split(".")[-1] in STEMS])
def test_proofs_import_their_theorem(module):
    assert f"theory.theorems.{module.split('.')[-1]}" in imported_anywhere(path_of(module))


# ------------------------------------------------------------------------------------ documentation


def test_public_names_exist_and_are_documented():
    for face in (theory, *FACES.values()):
        assert sorted(face.__all__) == sorted(set(face.__all__)), face
        for name in face.__all__:
            thing = getattr(face, name)  # a table is explained where it is, a comment above it
            if not isinstance(thing, dict | tuple):
                assert (inspect.getdoc(thing) or "").strip(), f"{face.__name__}.{name}"
    assert [t.name for t in theory.THEOREMS] == STEMS


def test_modules_say_what_they_are():
    for module in (*THEORY, *PROOFS):
        doc = ast.get_docstring(tree_of(path_of(module)))
        assert doc, module
        first = doc.strip().splitlines()[0]
        assert first.endswith((".", ",", "?")) or len(doc.splitlines()) > 1, module


FUNCTIONS = {
    f"{face.__name__}.{name}": face
    for face in (theory, *FACES.values())
    for name in face.__all__
    if inspect.isroutine(getattr(face, name))
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_public_functions_describe_every_parameter(name):
    face, name = FUNCTIONS[name], name.split(".")[-1]
    function = getattr(face, name)
    doc = inspect.getdoc(function)
    elsewhere = re.search(r"The\s+parameters are those of `(\w+)`", doc)
    if elsewhere:
        doc = inspect.getdoc(
            next(getattr(f, elsewhere[1]) for f in FACES.values() if elsewhere[1] in f.__all__)
        )
    parameters = inspect.signature(function).parameters
    # a numpydoc section lists the names, several to a line where they belong together
    section = re.search(r"\nParameters\n-+\n(.*?)(\n\n\w+\n-+\n|$)", doc, re.DOTALL)
    listed = re.findall(r"^(\w[\w, ]*?)(?: :.*)?$", section[1], re.MULTILINE) if section else []
    named = {part.strip() for line in listed for part in line.split(",")}
    if len(parameters) == 1 and not section:
        named = {p for p in parameters if re.search(rf"\b{p}\b", doc)}
    assert named == set(parameters), f"{name} describes {sorted(named)}"


SHOWN = [m for m in (*THEORY, *PROOFS) if ">>>" in path_of(m).read_text(encoding="utf-8")]


@pytest.fixture
def _as_shown():
    """Run `find` without explanations, and doctest without asking the disk about files read before.

    Of what `find` returns there is nothing to explain; for every docstring doctest makes a
    debugger, which looks up all files of Python's cache of lines.
    """
    linecache.clearcache()
    before = settings.get_current_profile_name()
    settings.register_profile("shown", settings(), phases=set(Phase) - {Phase.explain})
    settings.load_profile("shown")
    yield
    settings.load_profile(before)


@pytest.mark.usefixtures("_as_shown")
@pytest.mark.parametrize("module", SHOWN)
def test_examples_in_docstrings_are_true(module):
    if module.startswith("theory.torch"):
        pytest.importorskip("torch", reason="PyTorch is not installed (extra: torch)")
    failed, _ = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert failed == 0


def test_every_bound_shows_an_example():
    for theorem in THEOREMS:
        assert ">>>" in inspect.getdoc(getattr(theory.theorems, theorem.name)), theorem.name


# ------------------------------------------------------------------------------------------ project


def test_versions_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert theory.__version__ == project["version"]


def test_every_module_is_found_by_the_packaging():
    """A folder without `__init__.py` would be left out of the wheel."""
    for package in ("theory", "proofs"):
        found = {package}
        for info in pkgutil.walk_packages([str(ROOT / package)], prefix=f"{package}."):
            found.add(info.name)
        assert found == set(modules(package))
    assert (ROOT / "theory" / "py.typed").is_file()
