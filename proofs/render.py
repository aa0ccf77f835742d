r"""Proofs for the eye: on a terminal, in LaTeX, and as the index of all.

Main names: `as_text`, `as_latex`, `index_latex`, `as_markdown`.

A statement is rendered as quantity, relation, formula; the formula is called on letters and printed
by sympy, never written by hand.
"""

from __future__ import annotations

from collections.abc import Iterable

from proofs import statements
from proofs.activations import FactProof
from proofs.rocq import is_machine_checked
from proofs.steps import Proof, Step, StepKind
from theory.theorems.typeset import latex, latex_statement

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{c: rf"\{c}" for c in "#$%&_{}"},
}


def counts(proof: Proof | FactProof) -> str:
    """Return the numbers of steps of each kind, as in ``3/4/1/0``."""
    return "/".join(str(proof.count(kind)) for kind in StepKind)


# terminal -----------------------------------------------------------------------------------------


def as_text(proof: Proof | FactProof) -> str:
    """Return a proof as lines for a terminal."""
    lines = list(_head(proof))
    lines.append("")
    for number, step in enumerate(proof.steps, 1):
        lines += _step_lines(number, step)
    lines.append("")
    verdict = "proved" if proof.ok else "NOT proved"
    told = ", ".join(f"{proof.count(kind)} {kind.value}" for kind in StepKind)
    lines.append(f"{verdict}: {told}")
    if isinstance(proof, Proof) and is_machine_checked(proof.theorem.name):
        lines.append(f"machine-checked: the statement is a theorem of {_rocq(proof)}")
    lines += [f"  {problem}" for problem in proof.problems]
    return "\n".join(lines)


def _rocq(proof: Proof) -> str:
    return f"proofs/rocq/{proof.theorem.name}.v"


def _head(proof: Proof | FactProof) -> Iterable[str]:
    if isinstance(proof, FactProof):
        rho = proof.activation
        yield f"{rho.name}: rho(a) = {proof.definition}"
        yield (
            f"  slope in {list(rho.slope)}, sup|rho''| = {rho.curvature}, "
            f"rho(0) = {rho.at_zero}, range in {list(rho.range)}"
        )
        return
    theorem, statement = proof.theorem, statements.read(proof.theorem)
    yield f"{theorem.name}: {theorem.title} ({theorem.kind.value})"
    yield f"  {statement.left} {statement.relation} {statement.right}"
    yield f"  {theorem.source}"
    yield ""
    yield from (f"  let {name} = {meaning}" for name, meaning in proof.letters)


def _step_lines(number: int, step: Step) -> Iterable[str]:
    failed = "" if step.ok else "  FAILED"
    name = f"{step.name}: " if step.name else ""
    source = f"  [{step.note}]" if step.note and step.ok else ""
    after = f"  (from {', '.join(map(str, step.uses))})" if step.uses else ""
    yield f"{number:3d}. {step.kind.value:8s} {name}{step.label}{after}{source}{failed}"
    if step.relation is not None:
        yield f"{'':14s}{step.relation}"


# LaTeX --------------------------------------------------------------------------------------------


def as_latex(proof: Proof) -> str:
    """Return a section with the statement, the assumptions and the steps."""
    theorem = proof.theorem
    checked_by_machine = is_machine_checked(theorem.name)
    lines = [
        rf"\section{{{_prose(theorem.title)}}}\label{{{theorem.name}}}",
        rf"\[ {latex_statement(theorem)} \]",
        rf"\noindent {theorem.kind.value.capitalize()}. {_prose(theorem.source)}.",
        *([rf"Machine-checked: \texttt{{{_prose(_rocq(proof))}}}."] if checked_by_machine else []),
        r"\begin{description}",
        *(rf"\item[{_prose(a.name)}] \texttt{{{_prose(a.statement)}}}" for a in theorem.assumes),
        r"\end{description}",
        r"\noindent\emph{Letters.}",
        r"\begin{itemize}",
        *(rf"\item \texttt{{{_prose(n)}}}: \texttt{{{_prose(m)}}}" for n, m in proof.letters),
        r"\end{itemize}",
        r"\noindent\emph{Proof.}",
        r"\begin{enumerate}",
        *(_latex_step(step) for step in proof.steps),
        r"\end{enumerate}",
    ]
    return "\n".join(lines) + "\n"


def index_latex(proofs: Iterable[Proof]) -> str:
    """Return a document that inputs the section of each proof."""
    inputs = [rf"\input{{{proof.theorem.name}}}" for proof in proofs]
    lines = [
        r"\documentclass{article}",
        r"\usepackage{amsmath}",
        r"\usepackage[T1]{fontenc}",
        r"\begin{document}",
        *inputs,
        r"\end{document}",
    ]
    return "\n".join(lines) + "\n"


def _latex_step(step: Step) -> str:
    name = rf"\texttt{{{_prose(step.name)}}}: " if step.name else ""
    after = f" (from {', '.join(map(str, step.uses))})" if step.uses else ""
    note = f" [{_prose(step.note)}]" if step.note else ""
    words = rf"\item \textbf{{{step.kind.value}}} {name}{_prose(step.label)}{after}{note}"
    if step.relation is None:
        return words
    sign = "=" if step.relation.equation else r"\le"
    left, right = latex(step.relation.left), latex(step.relation.right)
    return f"{words}\n" + rf"\[ {left} {sign} {right} \]"


def _prose(text: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in text)


# index --------------------------------------------------------------------------------------------

_ABOUT = """\
# Theorems

Written by `python -m proofs --index`; a test compares the two. A *sharp* bound is reached by a
witness in the tests; a *lower* one bounds from below. Proof steps are labelled: sympy *checked* the
algebra, a step is *assumed* when it is an assumption of the theorem, *cited* when it is a classical
fact, *machine-checked* when that fact is proved in Rocq. Sympy checks algebra, not analysis;
`python -m proofs NAME` shows which is which. Every theorem with a file in Rocq is stated and proved
there as a whole, analysis included (`make rocq`, with Debian's package `coq`).

| result | statement | kind | checked/assumed/cited/machine-checked | in Rocq | proof | test |
|---|---|---|---|---|---|---|
"""


def as_markdown(proofs: Iterable[Proof]) -> str:
    """Return the index of all theorems, the file proofs/INDEX.md."""
    lines = []
    for proof in proofs:
        theorem, stem = proof.theorem, proof.theorem.name
        # a bar would end the cell
        statement = latex_statement(theorem).replace(r"\|", r"\Vert ").replace("|", r"\vert ")
        rocq = f"[`rocq/{stem}.v`](rocq/{stem}.v)" if is_machine_checked(stem) else ""
        lines.append(
            f"| {theorem.title} | ${statement}$ | {theorem.kind.value} | {counts(proof)} | {rocq} "
            f"| [`{stem}.py`]({stem}.py) "
            f"| [`test_{stem}.py`](../tests/theorems/test_{stem}.py) |\n"
        )
    return _ABOUT + "".join(lines)
