"""Where a module stands: imports point one way, files form no circle, and a long file says why."""

import ast
import sys
from pathlib import Path

import pytest
from trees import nodes_of, tree_of

from theory.arithmetic.rounding import TINY, UNIT
from theory.kernels import row_limits, row_sums

ROOT = Path(__file__).resolve().parents[1]

#: The rooms of theory/ in the order of imports: each imports only from its left.  Plain modules of
#: the package root stand where they belong.
LINE = (
    *("version", "typing", "errors", "shown", "pictures", "progress", "threads", "executors"),
    "files",
    "arithmetic",
    "norms",
    *("inputs", "domain", "certificates"),
    "theorems",
    "kernels",
    "maps",
    "sources",
    "truncation",
    "certify",
    "memory",
    "projections",
    "interop",
    "learning",
    "measure",
    "trials",
    "campaign",
    "torch",
    "cli",
    "testing",
    "strategies",
    "__main__",
)

#: Lines that a file may have without a reason.
LENGTH = 450

#: Longer files, each with its reason.
LONG = {
    "theory.executors": "work and its workers: what is lost with one is known to the other",
    "theory.inputs": "one value, its constructors, and what is computed from it",
    "theory.measure.effective_memory": "its statement and proof are the docstring",
    "theory.memory.context": "a choice, how it shows itself, and the two questions it answers",
    "theory.maps.base": "the interface of maps, each method with what it promises",
    "theory.norms.norm": "what a norm is, its coordinates, and what follows from them",
    "theory.norms.norms": "six norms, each with what is sharper for it",
    "theory.interop.torch_weights": "one question, what the next forward pass reads, case by case",
    "theory.kernels.cells": "one closure of calls: Numba's cache watches a single file",
    "theory.strategies.maps": "one strategy a class of maps, public and private, with its examples",
    "proofs.steps": "all steps of proofs, each a few lines",
}


def _modules(package: str) -> dict[str, Path]:
    found = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = _modules("theory")


def _is_face(module: str) -> bool:
    return MODULES[module].name == "__init__.py"


def _imports(path: Path) -> set[str]:
    """Return the modules of theory/ that a file imports: at its top, in functions, for types.

    The name of a file in a string counts too, as in import_module("theory.certify.search").
    """
    found = set()
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            module = node.module or ""
            inner = {f"{module}.{alias.name}" for alias in node.names} & set(MODULES)
            found |= inner
            if len(inner) < len(node.names):
                found.add(module)
        elif isinstance(node, ast.Constant) and node.value in MODULES:
            # a face may be a word or a place of data
            found |= {node.value} - {m for m in MODULES if _is_face(m)}
    return found & set(MODULES)


IMPORTS = {module: _imports(path) - {module} for module, path in MODULES.items()}


def _room(module: str) -> str:
    return module.split(".")[1]


def test_imports_point_to_the_left():
    for module in (m for m in MODULES if m != "theory"):
        assert _room(module) in LINE, f"{module} has no place in LINE"
        here = LINE.index(_room(module))
        for name in sorted(IMPORTS[module]):
            assert name != "theory", f"{module} imports the whole package"
            assert LINE.index(_room(name)) <= here, f"{module} imports {name}, to its right"
            own = _is_face(name) and f"{module}.".startswith(f"{name}.")
            assert not own or module.endswith("__main__"), f"{module} imports its own face {name}"


def test_files_form_no_circle():
    """Faces are left out: they only hand on names, and no file imports the face above it."""
    inner = {m: {n for n in IMPORTS[m] if not _is_face(n)} for m in MODULES if not _is_face(m)}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module not in done:
            for name in sorted(inner[module]):
                visit(name, (*path, module))
            done.add(module)

    for module in sorted(inner):
        visit(module, ())


def test_theorems_need_numpy_and_the_standard_library_only():
    """So that computing a bound loads nothing else; mpmath and SciPy decide close calls."""
    allowed = sys.stdlib_module_names | {"theory", "numpy"}
    for module in (m for m in MODULES if m.startswith("theory.theorems")):
        tree = tree_of(MODULES[module])
        for node in tree.body:
            if isinstance(node, ast.Import):
                tops = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                tops = {(node.module or "").split(".")[0]}
            else:
                continue
            assert tops <= allowed, f"{module} imports {sorted(tops - allowed)}"


def test_long_files_have_a_reason():
    lengths = {
        module: len(path.read_text(encoding="utf-8").splitlines())
        for package in ("theory", "proofs")
        for module, path in _modules(package).items()
    }
    assert {m for m, length in lengths.items() if length > LENGTH} == set(LONG)


def test_tests_mirror_the_rooms():
    """A folder of tests has the name of a room; the lane of soundness is about all of them."""
    folders = {p.parent.name for p in (ROOT / "tests").rglob("test_*.py")}
    folders -= {"tests", "soundness"}
    assert folders <= set(LINE), sorted(folders - set(LINE))


def test_kernels_state_the_constants_of_rounding():
    """An imported number would go stale in Numba's cache, so kernels state theirs again."""
    assert (row_sums._UNIT, row_sums._TINY) == (UNIT, TINY)
    assert row_limits._UNIT == UNIT


#: Where a class is known by its name only, and why.
NAMED = {
    "theory.maps.foreign": "output layers of programs that are not imported here",
    "theory.interop.reservoirpy": "classes of a library that need not be installed",
    "theory.interop.torch_weights": "classes of a library, quantised ones among them",
    "theory.torch.times": "operations of PyTorch, of which some are methods and some built in",
    "theory.certify.recheck": "compares with the word that a file holds",
    "theory.executors": "an error of a module that is not imported here",
}


def _functions(tree: ast.Module) -> list[ast.AST]:
    kinds = (ast.FunctionDef, ast.Lambda)
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


def _is_name_of_class(node: ast.AST) -> bool:
    """Return whether an expression is x.__name__ or __qualname__, or holds one."""
    attributes = {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
    return bool(attributes & {"__name__", "__qualname__"})


def _dispatches(tree: ast.Module) -> list[str]:
    """Return the comparisons of names of classes, of numbers of parameters, and guessed fields."""
    found = []
    for function in _functions(tree):
        names: set[str] = set()
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and _is_name_of_class(node.value):
                names |= {
                    n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)
                }
        for node in ast.walk(function):
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                known = {side.id for side in sides if isinstance(side, ast.Name)} & names
                counted = any(
                    isinstance(side, ast.Call)
                    and ast.unparse(side.func) == "len"
                    and "parameters" in ast.unparse(side)
                    for side in sides
                )
                if known or counted or any(map(_is_name_of_class, sides)):
                    found.append(ast.unparse(node))
            elif isinstance(node, ast.Match) and _is_name_of_class(node.subject):
                found.append(ast.unparse(node.subject))
    return found


def test_dispatch_is_by_type():
    """Neither the name of a class nor the number of its parameters decides what is done with it."""
    found = {
        module: dispatches
        for module, path in MODULES.items()
        if (dispatches := _dispatches(tree_of(path)))
    }
    assert found.keys() <= NAMED.keys(), {m: d for m, d in found.items() if m not in NAMED}


@pytest.mark.parametrize(
    "code",
    [
        "def f(x):\n    return type(x).__name__ == 'LSTM'",
        "def f(x):\n    kind = type(x).__name__\n    if kind in {'LSTM', 'GRU'}:\n        return 1",
        "f = lambda x: len(x.parameters) == 3",
        "def f(x):\n    return 3 == len(tuple(x.parameters))",
        "def f(x):\n    match type(x).__name__:\n        case 'GRU':\n            return 1",
    ],
)
def test_a_dispatch_by_name_or_count_is_seen(code):
    assert _dispatches(ast.parse(code))


def test_classes_of_norms_are_known_to_norms_only():
    """No ladder over the six: outside of norms/ a function asks for one class of norms or two."""
    classes = {"L1", "L2", "Linf", "WeightedL1", "WeightedL2", "WeightedLinf"}
    for module in (m for m in MODULES if not m.startswith("theory.norms")):
        for function in _functions(tree_of(MODULES[module])):
            asked = {
                name.id
                for call in ast.walk(function)
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "isinstance"
                for name in ast.walk(call.args[1])
                if isinstance(name, ast.Name)
            }
            assert len(asked & classes) <= 2, f"{module} tells {sorted(asked & classes)} apart"
