r"""Compiles the Rocq files, in the order of their imports, and asks for the axioms they rest on.

Main names: `compile_into`, `axioms`, `unexpected`, `compiler`, `AXIOMS`, `Compiled`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import final

from proofs.rocq import FOLDER

#: The name under which the files import each other.
NAMESPACE = "Stable"

#: What the real numbers of the standard library rest on; nothing else may be assumed.
AXIOMS = frozenset(
    {
        "ClassicalDedekindReals.sig_forall_dec",
        "ClassicalDedekindReals.sig_not_dec",
        "FunctionalExtensionality.functional_extensionality_dep",
    }
)

#: The mean value theorem of the standard library uses excluded middle besides; the slope of the
#: logistic function is bounded by it.
BEYOND = {
    stem: frozenset({"Classical_Prop.classic"})
    for stem in ("contractive_of_gate_norms", "contractive_of_gru_norms")
}

#: Said where there is no compiler.
MISSING = (
    "coqc is not installed, needed to compile proofs/rocq; on Debian and Ubuntu it is in the "
    "package coq: apt-get install --no-install-recommends coq"
)


@final
@dataclass(frozen=True, kw_only=True)
class Compiled:
    """A file that went through the compiler."""

    name: str  # the stem of the file
    ok: bool
    seconds: float
    said: str  # what the compiler said


def compiler() -> str | None:
    """Return the path of the compiler, or None."""
    return shutil.which("coqc")


def imports(text: str) -> frozenset[str]:
    r"""Return what a file imports of the others.

    Examples
    --------
    >>> sorted(imports("From Stable Require Import library.\nFrom Stable Require formulas."))
    ['formulas', 'library']
    """
    found = re.findall(rf"^From {NAMESPACE} Require (?:Import )?([\w ]+)\.$", text, re.MULTILINE)
    return frozenset(name for names in found for name in names.split())


def theorems(text: str) -> tuple[str, ...]:
    r"""Return the names of the theorems of a file; lemmas are steps on the way to them.

    Examples
    --------
    >>> theorems("Lemma a : True.\nTheorem b x : x = x.\n  Theorem c : True.")
    ('b', 'c')
    """
    return tuple(re.findall(r"^ *Theorem (\w+)", text, re.MULTILINE))


def compile_into(folder: Path, *, jobs: int = 1, source: Path = FOLDER) -> list[Compiled]:
    """Copy the files into a folder and compile them there, each after what it imports.

    A file whose imports failed is left out.

    Raises
    ------
    FileNotFoundError
        If there is no compiler.
    """
    if compiler() is None:
        raise FileNotFoundError(MISSING)
    folder.mkdir(parents=True, exist_ok=True)
    needed: dict[str, frozenset[str]] = {}
    for path in sorted(source.glob("*.v")):
        shutil.copy(path, folder)
        needed[path.stem] = imports(path.read_text(encoding="utf-8"))
    order = TopologicalSorter(needed)
    order.prepare()
    done: list[Compiled] = []
    running: set[Future[Compiled]] = set()
    with ThreadPoolExecutor(jobs) as pool:
        while order.is_active():
            running |= {pool.submit(_compiled, name, folder) for name in order.get_ready()}
            if not running:
                break  # what is left imports a file that failed
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for one in (future.result() for future in finished):
                done.append(one)
                if one.ok:
                    order.done(one.name)
    return sorted(done, key=lambda one: one.name)


def _compiled(name: str, folder: Path) -> Compiled:
    begun = time.perf_counter()
    command = ["coqc", "-q", "-noglob", "-Q", ".", NAMESPACE, f"{name}.v"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return Compiled(
        name=name,
        ok=run.returncode == 0,
        seconds=time.perf_counter() - begun,
        said=run.stdout + run.stderr,
    )


def axioms(folder: Path, *, source: Path = FOLDER) -> dict[str, frozenset[str]]:
    """Return what every theorem assumes, compiled into a folder, by FILE.THEOREM.

    Raises
    ------
    ValueError
        If the compiler does not answer for each of them.
    """
    lines = []
    for path in sorted(source.glob("*.v")):
        names = theorems(path.read_text(encoding="utf-8"))
        if names:
            lines.append(f"From {NAMESPACE} Require {path.stem}.")
        for name in names:
            full = f"{path.stem}.{name}"
            lines += [f'Goal True. idtac "theorem {full}". Abort.', f"Print Assumptions {full}."]
    asked = folder / "asked"
    asked.mkdir(exist_ok=True)
    (asked / "assumptions.v").write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = ["coqc", "-q", "-noglob", "-Q", ".", NAMESPACE, "asked/assumptions.v"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise ValueError(f"coqc could not say what the theorems assume: {run.stderr.strip()}")
    return _read_axioms(run.stdout)


def unexpected(assumed: dict[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """Return what theorems assume beyond the lists, by FILE.THEOREM; empty if nothing.

    Examples
    --------
    >>> unexpected({"drive.drive": AXIOMS, "drive.other": frozenset({"other"})})
    {'drive.other': frozenset({'other'})}
    """
    found = {
        name: names - AXIOMS - BEYOND.get(name.split(".")[0], frozenset())
        for name, names in assumed.items()
    }
    return {name: names for name, names in found.items() if names}


def _read_axioms(text: str) -> dict[str, frozenset[str]]:
    r"""Read what `Print Assumptions` says.

    Examples
    --------
    >>> _read_axioms("theorem a.b\nAxioms:\nP.ax : forall A,\n  A\nQ.long\n  : True\n")
    {'a.b': frozenset({...})}
    """
    found: dict[str, frozenset[str]] = {}
    for part in text.split("theorem ")[1:]:
        name, *lines = part.splitlines()
        # a statement that runs on is indented; whatever else is said counts as an axiom
        said = [line for line in lines if line and not line.startswith(" ")]
        silent = {"Axioms:", "Closed under the global context"}
        if not silent & set(said):
            raise ValueError(f"nothing was said of {name}: {part!r}")
        found[name] = frozenset(line.split()[0] for line in said if line not in silent)
    return found
