r"""The formulas of the theorems as Rocq text, so that Rocq speaks of what `formula` computes.

Main names: `formulas`, `definition`, `read`.

A formula is called on letters that remember the arithmetic done with them, and the memory is
printed.  A letter that occurs in an exponent is a natural number there, and `INR` of it elsewhere;
every other letter is a real number.  Differences of natural numbers end at 0 in Rocq, and so a
theorem states k <= t where its exponent is t - k.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from itertools import groupby
from typing import Any, final

from theory.theorems import THEOREMS
from theory.theorems.theorem import Formula

_HEAD = """\
(* Right-hand sides, printed from theory/theorems/STEM.py by `python -m proofs.rocq --formulas`. *)
From Coq Require Import Reals.
Open Scope R_scope.
"""

#: How tightly an operation binds.
_LEVEL = {"+": 1, "-": 1, "*": 2, "/": 2, "neg": 3, "**": 4}
_ATOM = 5


@final
@dataclass(frozen=True)
class Term:
    """A letter, an integer, or an operation on terms."""

    head: str  # the letter, the digits, or the operation
    parts: tuple[Term, ...] = ()

    def __add__(self, other: Any) -> Term:
        return Term("+", (self, _term(other)))

    def __radd__(self, other: Any) -> Term:
        return _term(other) + self

    def __sub__(self, other: Any) -> Term:
        return Term("-", (self, _term(other)))

    def __rsub__(self, other: Any) -> Term:
        return _term(other) - self

    def __mul__(self, other: Any) -> Term:
        return Term("*", (self, _term(other)))

    def __rmul__(self, other: Any) -> Term:
        return _term(other) * self

    def __truediv__(self, other: Any) -> Term:
        return Term("/", (self, _term(other)))

    def __rtruediv__(self, other: Any) -> Term:
        return _term(other) / self

    def __pow__(self, other: Any) -> Term:
        return Term("**", (self, _term(other)))

    def __rpow__(self, other: Any) -> Term:
        return _term(other) ** self

    def __neg__(self) -> Term:
        return Term("neg", (self,))

    @property
    def level(self) -> int:
        """How tightly it binds."""
        return _LEVEL.get(self.head, _ATOM)

    def letters(self) -> frozenset[str]:
        """Return the letters in it."""
        own = {self.head} if not self.parts and not self.head.isdigit() else set()
        return frozenset(own).union(*(part.letters() for part in self.parts))

    def counts(self) -> frozenset[str]:
        """Return the letters that occur in its exponents."""
        below = frozenset[str]().union(*(part.counts() for part in self.parts))
        return below | self.parts[1].letters() if self.head == "**" else below


def _term(value: Any) -> Term:
    if isinstance(value, Term):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Term(str(value)) if value >= 0 else -Term(str(-value))
    raise TypeError(f"received {value!r} in a formula, needed a letter or an integer")


def _inside(part: Term, level: int, text: str) -> str:
    return text if part.level >= level else f"({text})"


def _real(term: Term, counts: frozenset[str]) -> str:
    """Return a term as a real number."""
    if not term.parts:
        return f"INR {term.head}" if term.head in counts else term.head
    if term.head == "neg":
        return f"- {_inside(term.parts[0], _ATOM, _real(term.parts[0], counts))}"
    left, right = term.parts
    shown = _real(left, counts)
    if term.head == "**":
        # INR k is an application, which binds more tightly than a power
        return f"{_inside(left, _ATOM, shown)} ^ {_exponent(right)}"
    shown, other = _inside(left, term.level, shown), _real(right, counts)
    # operations of one level are read from the left
    return f"{shown} {term.head} {_inside(right, term.level + 1, other)}"


def _exponent(term: Term) -> str:
    text = _natural(term)
    return text if term.level == _ATOM else f"({text})%nat"


def _natural(term: Term) -> str:
    """Return a term as a natural number."""
    if not term.parts:
        return term.head
    if term.head not in {"+", "-", "*"}:
        raise TypeError(f"received an exponent with {term.head!r}, needed sums and products")
    left, right = term.parts
    shown = _inside(left, term.level, _natural(left))
    return f"{shown} {term.head} {_inside(right, term.level + 1, _natural(right))}"


def read(formula: Formula) -> tuple[dict[str, str], str]:
    """Return the letters of a formula with their types in Rocq, and its value as Rocq text.

    Raises
    ------
    TypeError
        If the formula does more than arithmetic with letters and integers.

    Examples
    --------
    >>> read(lambda lam, k: 1 - k * lam ** (k - 1))
    ({'lam': 'R', 'k': 'nat'}, '1 - INR k * lam ^ (k - 1)%nat')
    """
    names = tuple(inspect.signature(formula).parameters)
    term = _term(formula(**{name: Term(name) for name in names}))
    counts = term.counts()
    types = {name: "nat" if name in counts else "R" for name in names}
    return types, _real(term, counts)


def definition(name: str, formula: Formula) -> str:
    """Return a definition in Rocq, in lines of at most 100 characters.

    Examples
    --------
    >>> print(definition("observed", lambda lam, k, past: lam**k * past), end="")
    Definition observed (lam : R) (k : nat) (past : R) : R :=
      lam ^ k * past.
    """
    types, value = read(formula)
    binders = [
        f"({' '.join(letters)} : {kind})" for kind, letters in groupby(types, key=types.__getitem__)
    ]
    wrap: dict[str, Any] = {"width": 96, "break_long_words": False, "break_on_hyphens": False}
    head = f"Definition {name} {' '.join(binders)}"
    lines = textwrap.wrap(head, subsequent_indent="    ", **wrap)
    lines[-1] += " : R :="
    lines += textwrap.wrap(f"{value}.", initial_indent="  ", subsequent_indent="  ", **wrap)
    return "\n".join(lines) + "\n"


def _of_module(stem: str) -> Iterable[tuple[str, Callable[..., Any]]]:
    """Return what of a theorem's module is arithmetic only, with its names in Rocq."""
    module = import_module(f"theory.theorems.{stem}")
    for name, function in vars(module).items():
        if not inspect.isfunction(function) or function.__module__ != module.__name__:
            continue
        annotations = inspect.get_annotations(function)
        if annotations and set(annotations.values()) == {"Scalar"}:
            yield (stem if name == "formula" else f"{stem}_{name}"), function


def formulas() -> str:
    """Return the file `formulas.v`."""
    parts = [
        definition(name, function)
        for theorem in THEOREMS
        for name, function in _of_module(theorem.name)
    ]
    return "\n".join([_HEAD, *parts])
