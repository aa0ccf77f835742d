"""Pages that are made of what the code knows: one a theorem, one a package, one of results.

They are written beside the other sources before anything is read, and git ignores them.
"""

from __future__ import annotations

import csv
import importlib
import inspect
import json
import shutil
from pathlib import Path
from typing import Any

from docstrings import escaped
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

import theory
from proofs import prove
from proofs.rocq import is_machine_checked
from proofs.steps import Proof, Step
from theory.campaign.record import config_of, read_campaign
from theory.campaign.report import gap_picture, number, verdict_of
from theory.campaign.results import Row, summarize
from theory.theorems.theorem import Kind
from theory.theorems.typeset import latex, latex_statement
from theory.trials import TRIALS
from theory.trials.trial import NearMiss

ROOT = Path(__file__).resolve().parents[2]


def heading(text: str, line: str = "=") -> list[str]:
    return [text, line * len(text), ""]


def block(directive: str, lines: list[str]) -> list[str]:
    return [f".. {directive}", "", *(f"   {line}" for line in lines), ""]


def plain(text: str) -> str:
    """Return words with what reStructuredText would take for markup escaped."""
    out = text.replace("\\", "\\\\")
    for mark in "*`|":
        out = out.replace(mark, f"\\{mark}")
    return out.replace("_ ", "\\_ ")


def code(text: str) -> str:
    return f"``{text.strip()}``"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = []
    for row in [head, *rows]:
        lines += [f"{'* -' if i == 0 else '  -'} {cell}".rstrip() for i, cell in enumerate(row)]
    return block("list-table::\n   :header-rows: 1", lines)


# ---------------------------------------------------------------------------------------- theorems


def wrong_with(near_miss: NearMiss) -> str:
    """Return which of the three things is wrong with a near miss."""
    if near_miss.drops is not None:
        return f"the assumption {code(near_miss.drops.name)} is dropped"
    return "the formula" if near_miss.formula is not None else "its arguments"


def step_lines(step: Step) -> list[str]:
    """Return one item of the list of steps."""
    name = f"{code(step.name)}: " if step.name else ""
    after = f" (from {', '.join(map(str, step.uses))})" if step.uses else ""
    note = f" [{plain(step.note)}]" if step.note else ""
    lines = [f"#. **{step.kind.value}** {name}{plain(step.label)}{after}{note}", ""]
    if step.relation is not None:
        sign = "=" if step.relation.equation else r"\le"
        shown = f"{latex(step.relation.left)} {sign} {latex(step.relation.right)}"
        lines += [f"   {line}".rstrip() for line in block("math::", [shown])]
    return lines


def rooms(name: str) -> list[list[str]]:
    """Return the files of a theorem, each to be had from its page."""
    files = [
        ("statement", f"theory/theorems/{name}.py"),
        ("trial", f"theory/trials/{name}.py"),
        ("proof", f"proofs/{name}.py"),
        ("test", f"tests/theorems/test_{name}.py"),
    ]
    if is_machine_checked(name):
        files.append(("Rocq", f"proofs/rocq/{name}.v"))
    return [[what, f":download:`{path} </../{path}>`"] for what, path in files]


def theorem_page(proof: Proof, row: Row) -> list[str]:
    """Return the page of a theorem."""
    theorem, name = proof.theorem, proof.theorem.name
    worst = row.worst
    machine = "; machine-checked in Rocq" if is_machine_checked(name) else ""
    about = importlib.import_module(f"theory.theorems.{name}").__doc__ or ""
    lines = [f".. _theorem-{name}:", "", *heading(theorem.title[0].upper() + theorem.title[1:])]
    lines += block("math::", [latex_statement(theorem)])
    lines += [f"{theorem.kind.value.capitalize()}{machine}. Source: {plain(theorem.source)}.", ""]
    lines += [f"As a function of numbers: :func:`theory.theorems.{name}`.", ""]
    lines += ["As it is written in the code::", ""]
    lines += [f"   {line}".rstrip() for line in about.strip().splitlines()[2:]] + [""]
    lines += heading("Assumptions", "-")
    lines += [f"* {code(a.name)}: {code(a.statement)}" for a in theorem.assumes] + [""]
    lines += heading("Proof", "-")
    lines += ["Letters: ", ""]
    lines += [f"* {code(letter)}: {plain(meaning)}" for letter, meaning in proof.letters] + [""]
    for step in proof.steps:
        lines += step_lines(step)
    lines += heading("Near misses", "-")
    lines += ["False neighbours of the theorem, and the instance that refutes each:", ""]
    rows = []
    for near_miss in TRIALS[name].near_misses:
        found = row.near_misses[near_miss.name]
        by = (
            ["nothing so far", "-"]
            if found is None
            else [plain(found[0].label), number(found[0].ratio)]
        )
        rows.append([plain(near_miss.name), wrong_with(near_miss), *by])
    lines += table(["near miss", "what is wrong", "refuted by", "ratio"], rows)
    lines += heading("Witness", "-")
    of = "bound / measured" if theorem.kind is Kind.LOWER else "measured / bound"
    if worst is None:
        lines += ["No instance of the campaign has all assumptions.", ""]
    else:
        at = ", ".join(f"{k} = {v:.6g}" for k, v in worst.arguments.items())
        said = (
            f"Of {row.instances} instances the nearest to failing has {of} = "
            f"{number(worst.ratio)}: {plain(worst.label)}, measured {worst.measured:.6g}, bound "
            f"{worst.bound:.6g}, rounding budget {worst.budget:.1e}, at {code(at)} "
            f"({plain(worst.evidence)}). Verdict of the campaign: {verdict_of(row)}."
        )
        lines += [said, ""]
    lines += block(
        f"figure:: {name}.png\n   :alt: measured against bound\n   :width: 32rem",
        ["Measured against bound, one point an instance; on the line the bound is reached."],
    )
    lines += heading("Files", "-") + table(["room", "file"], rooms(name))
    if is_machine_checked(name):
        lines += heading("In Rocq", "-")
        source = f"/../proofs/rocq/{name}.v"
        lines += [f".. literalinclude:: {source}", "   :language: text", ""]
    return lines


def write_theorems(folder: Path, verdicts: Path) -> None:
    """Write the pages of all theorems, and their index."""
    if not verdicts.is_file():
        raise ExtensionError(f"{verdicts} is not there, needed a campaign; run `make verify` first")
    described, results = read_campaign(verdicts)
    config = config_of(described)
    rows = {row.theorem.name: row for row in summarize(theory.THEOREMS, list(results.values()))}
    untested = [name for name, row in rows.items() if row.instances == 0]
    if untested:
        raise ExtensionError(f"{verdicts} is older than {untested}; run `make verify` again")
    index = [".. _theorems:", "", *heading("Theorems")]
    said = (
        f"{len(theory.THEOREMS)} statements, each with its proof, its trial and its tests. The "
        f"near misses and witnesses are those of a campaign of {config.instances} instances from "
        f"seed {config.seed}. A *sharp* bound is reached by a witness; a *lower* one bounds from "
        "below."
    )
    index += [said, ""]
    listed = []
    for theorem in theory.THEOREMS:
        name = theorem.name
        proof = prove(name)
        (folder / f"{name}.rst").write_text("\n".join(theorem_page(proof, rows[name])), "utf-8")
        gap_picture(rows[name]).savefig(folder / f"{name}.png")
        machine = "yes" if is_machine_checked(name) else ""
        shown = f":math:`{latex_statement(theorem)}`"
        listed.append([f":ref:`theorem-{name}`", shown, theorem.kind.value, machine])
    index += table(["result", "statement", "kind", "in Rocq"], listed)
    index += block("toctree::\n   :hidden:", [theorem.name for theorem in theory.THEOREMS])
    (folder / "index.rst").write_text("\n".join(index), "utf-8")


# ----------------------------------------------------------------------------------------- packages


def home_of(thing: Any) -> str:
    """Return the package on whose page a thing is described: the first that offers it."""
    for name in (*theory._PACKAGES, ""):
        face = importlib.import_module(f"theory.{name}".rstrip("."))
        if any(getattr(face, one) is thing for one in face.__all__):
            return face.__name__
    raise ExtensionError(f"{thing!r} is on no page")


def package_page(name: str) -> list[str]:
    """Return the page of a package: its docstring as help shows it, then every name."""
    place = f"theory.{name}".rstrip(".")
    face: Any = importlib.import_module(place)
    first, _, rest = (inspect.getdoc(face) or "").partition("\n\n")
    lines = [*heading(place), plain(first), ""]
    lines += block("code-block:: text", rest.splitlines()) if rest else []
    things = {n: getattr(face, n) for n in face.__all__}
    lines += [f".. currentmodule:: {place}", ""]
    for title, is_one in (("Classes", inspect.isclass), ("Functions", inspect.isroutine)):
        found = {n: thing for n, thing in things.items() if is_one(thing)}
        own = [n for n, thing in found.items() if home_of(thing) == place]
        other = [f":obj:`{home_of(found[n])}.{n}`" for n in found if n not in own]
        if found:
            lines += heading(title, "-")
        if own:
            lines += block("autosummary::\n   :toctree: generated\n   :nosignatures:", own)
        if other:
            lines += [", ".join(other), ""]
    values = [n for n, thing in things.items() if not callable(thing)]
    if values:
        lines += heading("Values", "-")
        theorems = {t.name.upper(): t.name for t in theory.THEOREMS}
        shown = [
            f":ref:`{n} <theorem-{theorems[n]}>`" if n in theorems else code(n) for n in values
        ]
        lines += [", ".join(shown), ""]
    return lines


def write_packages(folder: Path) -> None:
    """Write the pages of all packages, and their index."""
    names = ["", *theory._PACKAGES]
    for name in names:
        (folder / f"{name or 'theory'}.rst").write_text("\n".join(package_page(name)), "utf-8")
    index = [*heading("Reference"), "One page a package; each begins as ``help`` shows it.", ""]
    index += block("toctree::\n   :maxdepth: 1", [name or "theory" for name in names])
    (folder / "index.rst").write_text("\n".join(index), "utf-8")


# ------------------------------------------------------------------------------------------ results


def write_results(folder: Path) -> None:
    """Write the page of the tables and figures that were made on trained networks."""
    import sys

    sys.path.insert(0, str(ROOT / "examples"))
    import _results

    source = ROOT / "examples/results"
    lines = [".. include:: ../../examples/results/README.md", "   :parser: myst_parser.sphinx_", ""]
    lines = [*heading("Results on trained networks"), *lines, *heading("Tables and figures")]
    said = (
        "Made by ``make figures``; every table says with which command, seeds and machine. The "
        "words under each title are those of the program, with what the eye should see."
    )
    lines += [said, ""]
    for target in sorted(source.glob("*.csv")):
        title, text = _results.about(target.stem)
        lines += heading(plain(title.rstrip(".") or target.stem), "-")
        for paragraph in text.split("\n\n"):
            lines += [escaped(" ".join(paragraph.split())), ""]
        picture = target.with_suffix(".png")
        if picture.is_file():
            shutil.copy(picture, folder / picture.name)
            lines += block(f"image:: {picture.name}\n   :alt: {target.stem}", [])
        origin = json.loads(target.with_suffix(".json").read_text("utf-8"))
        said = "; ".join(f"{key} {value}" for key, value in origin.items() if value)
        lines += [plain(said) + ".", ""]
        with target.open(newline="", encoding="utf-8") as stream:
            count = sum(1 for _ in csv.reader(stream)) - 1
        lines += [f":download:`{count} rows <{target.name}>`", ""]
        shutil.copy(target, folder / target.name)
    (folder / "index.rst").write_text("\n".join(lines), "utf-8")


def write_pages(app: Sphinx, _: object) -> None:
    """Write all of them."""
    here = Path(app.srcdir)
    for name in ("theorems", "api", "results"):
        folder = here / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    write_theorems(here / "theorems", ROOT / "build/verdicts.json")
    write_packages(here / "api")
    write_results(here / "results")


def setup(app: Sphinx) -> dict[str, bool]:
    """Run before anything looks for sources."""
    app.connect("config-inited", write_pages)
    return {"parallel_read_safe": True}
