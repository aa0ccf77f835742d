"""Where a new thing has to be written: for each kind of thing its places, and what each holds.

Main names: `lacking`, and the places `OF_MAPS`, `OF_NORMS`, `OF_KERNELS`, `OF_RECIPES`,
`OF_COMMANDS`, `OF_THEOREMS`.

`test_completeness.py` asks every place for every thing there is, and its message says what to write
where.
"""

import ast
import importlib
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trees

ROOT = Path(__file__).resolve().parents[2]

EXPORT = "import {name}, and list it in __all__"


@dataclass(frozen=True)
class Place:
    """A file in which a thing has to be written."""

    where: str  # the file; {stem} and {file} are filled in
    what: str  # to be written there; {name} and the others are filled in
    holds: Callable[[Any], bool]  # whether it is there
    without: frozenset[str] = frozenset()  # names of things that need it not, each with a reason


def lacking(places: tuple[Place, ...], thing: Any, name: str, **more: str) -> str:
    """Return what is missing of a thing, a line for each place; empty if nothing is."""
    words = {"name": name, **more}
    lines = [
        f"  {place.where.format(**words)}: {place.what.format(**words)}"
        for place in places
        if name not in place.without and not place.holds(thing)
    ]
    return "\n".join([f"{name} is not everywhere; missing:", *lines]) if lines else ""


# ------------------------------------------------------------------------------------------ reading


def tree_of(place: str) -> ast.Module:
    """Return the syntax tree of a file."""
    return trees.tree_of(ROOT / place)


def body_of(place: str, name: str) -> ast.AST:
    """Return the definition of a function or a constant in a file."""
    for node in tree_of(place).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names = {getattr(target, "id", "") for target in targets} | {getattr(node, "name", "")}
        if name in names:
            return node
    raise LookupError(f"{place} defines no {name}; tests/support/rooms.py reads it")


def names_in(node: ast.AST) -> set[str]:
    """Return the names that are used in a piece of code."""
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def called_in(place: str) -> set[str]:
    """Return the names that are called in a file."""
    calls = (one.func for one in trees.nodes_of(ROOT / place) if isinstance(one, ast.Call))
    return {one.id for one in calls if isinstance(one, ast.Name)}


def exported(package: str) -> Callable[[Any], bool]:
    """Return the question whether a package exports a class under its name."""

    def asks(thing: Any) -> bool:
        face, name = importlib.import_module(package), thing.__name__
        return name in face.__all__ and getattr(face, name, None) is thing

    return asks


def in_table(module: str, table: str) -> Callable[[Any], bool]:
    """Return the question whether a thing is a key of a table of the tests."""
    return lambda thing: thing in getattr(importlib.import_module(module), table)


def modules_of(package: str) -> list[Any]:
    """Return the imported modules of a package, by their files."""
    folder = ROOT / package
    paths = (path.relative_to(ROOT).with_suffix("") for path in sorted(folder.rglob("*.py")))
    return [importlib.import_module(".".join(p.parts)) for p in paths if p.name != "__init__"]


def final_classes(base: type, package: str) -> list[type]:
    """Return the classes below another that are values, not interfaces, of a package."""
    found = {
        thing
        for module in modules_of(package)
        for thing in vars(module).values()
        if inspect.isclass(thing) and issubclass(thing, base) and not inspect.isabstract(thing)
        if thing.__module__ == module.__name__ and not thing.__name__.startswith("_")
    }
    return sorted(found, key=lambda thing: thing.__name__)


# --------------------------------------------------------------------------------------------- maps

MAP_FILE = "theory/interop/map_file.py"

#: A function of the user's own: tests attach its exact step, and nothing encloses its steps.
OWN = frozenset({"CallableMap"})


def overrides(method: str) -> Callable[[Any], bool]:
    """Return the question whether a map defines what the interface leaves open."""
    from theory.maps.base import Map

    return lambda kind: getattr(kind, method) is not getattr(Map, method)


OF_MAPS = (
    Place("theory/maps/__init__.py", EXPORT, exported("theory.maps")),
    Place("theory/__init__.py", EXPORT, exported("theory")),
    Place(
        "{file}",
        "comparison(domain), matrices that majorise a step: by them `contraction` certifies it",
        overrides("comparison"),
        OWN,
    ),
    Place(
        "{file}",
        "image(domain), a box that holds one step: by it a domain is seen to be invariant",
        overrides("image"),
        OWN,
    ),
    Place(
        "{file}",
        "candidate_box(low, high), where an invariant box of bounded inputs is looked for",
        overrides("candidate_box"),
        OWN,
    ),
    Place(
        "tests/support/definitions.py",
        "{name} in OF_CLASS, its step in ball arithmetic",
        in_table("definitions", "OF_CLASS"),
        OWN,
    ),
    Place(
        "tests/maps/test_contract.py",
        "a {name} in affine_maps or gated_maps, there with weights of a size that does not expand "
        "where it is 0.1; in DRAWN; if a kernel runs it, in LARGE",
        lambda kind: kind.__name__ in called_in("tests/maps/test_contract.py"),
    ),
    Place(
        "tests/soundness/draws.py",
        "{name} in MAKERS, drawn with weights of any size",
        in_table("draws", "MAKERS"),
        OWN,
    ),
    Place(
        "theory/strategies/maps.py",
        "a strategy that draws a {name}, listed in _layers so that any_maps draws it, and public",
        lambda kind: kind.__name__ in called_in("theory/strategies/maps.py"),
        OWN,
    ),
    Place(
        MAP_FILE,
        "{name} in _KINDS, with all that makes one, so that `save_map` writes it; and in EVERY of "
        "tests/interop/test_map_file.py",
        lambda kind: kind.__name__ in names_in(body_of(MAP_FILE, "_KINDS")),
        OWN | {"Cascade", "Block"},  # which are written part by part
    ),
)

# -------------------------------------------------------------------------------------------- norms

NORMS_FILE = "theory/norms/stored.py"

OF_NORMS = (
    Place(
        "theory/norms/__init__.py",
        EXPORT,
        exported("theory.norms"),
    ),
    Place("theory/__init__.py", EXPORT, exported("theory")),
    Place(
        NORMS_FILE,
        "{name} in norm_from_dict, so that certificates in it can be read back",
        lambda kind: kind.__name__ in names_in(body_of(NORMS_FILE, "norm_from_dict")),
    ),
    Place(
        "tests/norms/test_norms.py",
        "a {name} in LIST, with its label in NAMES, and its exact value in exact_power",
        lambda kind: kind.__name__ in names_in(body_of("tests/norms/test_norms.py", "LIST")),
    ),
    Place(
        "tests/soundness/draws.py",
        "{name} in NORMS, drawn with weights of any size",
        in_table("draws", "NORMS"),
    ),
    Place(
        "theory/strategies/numbers.py",
        "{name} in _norms, so that `norms` draws it",
        lambda kind: kind.__name__ in names_in(body_of("theory/strategies/numbers.py", "_norms")),
    ),
)

# ------------------------------------------------------------------------------------------ kernels

_CONTRACT = "tests/maps/test_contract.py::test_every_implementation_agrees_with_step"
_GRADIENTS = "tests/learning/test_gradients.py::test_gradients_are_those_of_their_losses"
_NEAREST = "tests/projections/test_balls.py::test_member_idempotent_and_nearest"

#: The test that compares a kernel with its definition, of each that is called from outside.
COMPARED = {
    "run_kernel": "tests/kernels/test_kernels.py::test_the_run_kernel_is_repeated_steps",
    "gap_kernel": "tests/kernels/test_kernels.py::test_both_sweeps_are_the_definition",
    "restart_kernel": "tests/kernels/test_restarts.py::test_restarts_are_the_definition",
    **dict.fromkeys(
        ("affine_restarts", "lstm_restarts", "gru_restarts"),
        "tests/kernels/test_restarts.py::test_rows_where_they_lie_have_their_steps",
    ),
    "follow_rows": "tests/kernels/test_restarts.py::test_restarts_in_blocks_are_those_one_by_one",
    "gaps_at": "tests/kernels/test_restarts.py::test_gaps_of_rows_where_they_lie_are_their_norms",
    **dict.fromkeys(
        ("leaky_rows_single", "affine_rows_single", "lstm_rows_single", "gru_rows_single"),
        "tests/kernels/test_restarts.py::test_steps_in_single_precision_are_the_definition",
    ),
    **dict.fromkeys(("leaky_kernel", "lstm_kernel", "lstm_batch_kernel"), _CONTRACT),
    **dict.fromkeys(("gru_kernel", "gru_batch_kernel"), _CONTRACT),
    **dict.fromkeys(("entrywise_kernel", "complex_kernel", "delta_kernel"), _CONTRACT),
    "slstm_kernel": _CONTRACT,
    # of the blocks that large maps run in
    **dict.fromkeys(("tanh_in_place", "logistic_in_place", "lstm_rows", "affine_rows"), _CONTRACT),
    "gap_rows": (
        "tests/kernels/test_kernels.py::test_blocks_of_rows_and_of_lengths_make_no_difference"
    ),
    **dict.fromkeys(("affine_windows", "lstm_windows", "gru_windows"), _GRADIENTS),
    **dict.fromkeys(("affine_adjoints", "lstm_adjoints", "gru_adjoints"), _GRADIENTS),
    "product_norm_kernel": "tests/measure/test_rates.py::test_norms_are_those_of_the_products",
    "row_limits_kernel": "tests/projections/test_gated.py::test_cvxpy_agrees",
    **dict.fromkeys(("row_sum_kernel", "column_sum_kernel"), _NEAREST),
    "stable_pair_kernel": "tests/projections/test_schur.py::test_two_by_two_against_a_solver",
}


def kernels() -> dict[str, str]:
    """Return the kernels that are called from elsewhere than their own file, with their files."""
    found, used = {}, {}
    for path in sorted((ROOT / "theory").rglob("*.py")):
        place = str(path.relative_to(ROOT))
        for node in trees.nodes_of(ROOT / place):
            if isinstance(node, ast.FunctionDef) and "kernel" in {
                ast.unparse(one) for one in node.decorator_list
            }:
                found[node.name] = place
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "theory.kernels."
            ):
                for alias in node.names:
                    used.setdefault(alias.name, set()).add(place)
    return {name: place for name, place in found.items() if used.get(name, set()) - {place}}


def kernels_without_use() -> list[str]:
    """Return the kernels that neither another file imports nor a kernel of their file calls."""
    lost = []
    for path in sorted((ROOT / "theory/kernels").glob("*.py")):
        place = str(path.relative_to(ROOT))
        if path.name == "jit.py":  # which the compiler calls
            continue
        for node in tree_of(place).body:
            if not isinstance(node, ast.FunctionDef) or not node.decorator_list:
                continue
            inside = set().union(*(names_in(n) for n in tree_of(place).body if n is not node))
            if node.name not in inside and node.name not in kernels():
                lost.append(f"{place}: {node.name}")
    return lost


def compared_by(name: str) -> bool:
    """Return whether the test that a kernel is compared by is there, and in the lane `nojit`."""
    if name not in COMPARED:
        return False
    place, _, test = COMPARED[name].partition("::")
    body_of(place, test)
    lane = re.search(r"KERNEL_TESTS :=(.*?)\n\n", (ROOT / "Makefile").read_text(), re.DOTALL)[1]
    lane = lane.replace("\\", "").replace("$(SCHUR)", "tests/projections/test_schur.py")
    return any(COMPARED[name].startswith(one) for one in lane.split())


OF_KERNELS = (
    Place(
        "tests/support/rooms.py",
        '"{name}" in COMPARED, with the test that compares it with its definition in plain NumPy; '
        "its file stands in KERNEL_TESTS of the Makefile",
        compared_by,
    ),
)

# ----------------------------------------------------------------------------- recipes and commands


def recipes() -> dict[str, Any]:
    """Return the functions of a random generator, public in their files, that make experiments."""
    found = {}
    for module in modules_of("theory/campaign/recipes"):
        for name, thing in vars(module).items():
            if not inspect.isfunction(thing) or thing.__module__ != module.__name__:
                continue
            made = inspect.signature(thing)
            if made.return_annotation == "Experiment" and list(made.parameters) == ["rng"]:
                found[name] = thing
    return {name: thing for name, thing in found.items() if not name.startswith("_")}


def in_recipes(recipe: Any) -> bool:
    """Return whether a recipe is drawn by campaigns."""
    from theory.campaign.recipes.table import RECIPES

    return recipe in {made for made, _ in RECIPES.values()}


OF_RECIPES = (
    Place(
        "theory/campaign/recipes/table.py",
        '"{name}": ({name}, 1) in RECIPES, with its share of a campaign',
        in_recipes,
    ),
)


def commands() -> dict[str, Any]:
    """Return the functions of theory.cli with options of the command line, by their names."""
    found = {}
    for module in modules_of("theory/cli"):
        for name, thing in vars(module).items():
            if inspect.isfunction(thing) and thing.__module__ == module.__name__:
                written = inspect.getsource(thing)
                if not name.startswith("_") and re.search(r"typer\.(Option|Argument)\(", written):
                    found[name] = thing
    return found


def registered_as(command: Any) -> str | None:
    """Return the name of a command as users type it, None if it is not registered."""
    from theory.cli.main import app

    for one in app.registered_commands:
        if one.callback is command:
            return one.name or command.__name__.replace("_", "-")
    return None


def tried(command: Any) -> bool:
    """Return whether a test of the command line types the name of a command."""
    name = registered_as(command)
    texts = (p.read_text(encoding="utf-8") for p in sorted((ROOT / "tests/cli").glob("test_*.py")))
    return name is not None and any(f'"{name}"' in text for text in texts)


def described(command: Any) -> bool:
    """Return whether the README names a command."""
    name = registered_as(command)
    return name is not None and f"theory {name}" in (ROOT / "README.md").read_text(encoding="utf-8")


OF_COMMANDS = (
    Place(
        "theory/cli/main.py",
        "app.command()({name})",
        lambda command: registered_as(command) is not None,
    ),
    Place("tests/cli", "a test that runs the command, by its name in quotes", tried),
    Place("README.md", "what the command does, beside `theory verify`", described),
)

# ----------------------------------------------------------------------------------------- theorems


def in_face(package: str) -> Callable[[Any], bool]:
    """Return the question whether a package exports a theorem's typed function."""

    def asks(theorem: Any) -> bool:
        face = importlib.import_module(package)
        function = getattr(
            importlib.import_module(f"theory.theorems.{theorem.name}"), theorem.name, None
        )
        public = getattr(face, theorem.name, None)
        return theorem.name in face.__all__ and inspect.isfunction(function) and public is function

    return asks


def on_the_page(theorem: Any) -> bool:
    """Return whether the page of theorems has a theorem, as a value and in the docstring."""
    face = importlib.import_module("theory.theorems")
    return theorem.name.upper() in face.__all__ and theorem.name in (face.__doc__ or "")


def tried_by(theorem: Any) -> bool:
    """Return whether the table of trials holds the one of a theorem."""
    from theory.trials import TRIALS

    return theorem.name in TRIALS and TRIALS[theorem.name].theorem is theorem


OF_THEOREMS = (
    Place(
        "theory/theorems/{name}.py",
        "the theorem, under its name in capitals, and a function called {name}",
        lambda theorem: (
            getattr(
                importlib.import_module(f"theory.theorems.{theorem.name}"),
                theorem.name.upper(),
                None,
            )
            is theorem
        ),
    ),
    Place(
        "theory/theorems/__init__.py",
        "import the function {name} beside the theorem, and list it in __all__",
        in_face("theory.theorems"),
    ),
    Place(
        "theory/theorems/__init__.py",
        "list the theorem itself in __all__ too, and {name} on the page, which is the docstring",
        on_the_page,
    ),
    Place(
        "theory/trials/table.py",
        "import TRIAL of theory/trials/{name}.py, and list it in TRIALS",
        tried_by,
    ),
)
