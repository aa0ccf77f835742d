r"""A proof: a list of steps from the assumptions of a theorem to its formula.

Main names: `begin`, `Proof`, `Step`, `StepKind`, `Fact`, `at_most`, `equals`, `symbols`.

A step is *checked* (sympy decided it), *assumed* (a named assumption of the theorem, or the meaning
of an argument), *cited* (a classical fact, with reference) or *machine-checked* (a classical fact
that `proofs.rocq` proves for this theorem).  Sympy checks algebra, not analysis: that inequalities
add up to the formula is checked, that the products of vectors obey Cauchy and Schwarz is not.

A theorem that `proofs.rocq` states and proves, analysis included, is machine-checked as a whole.

Assumed and cited steps give relations, and a checked step combines earlier ones: small <= large
follows from relations l_i <= r_i when there are multipliers m_i >= 0 with

    large - small  =  sum_i m_i (r_i - l_i)  +  something nonnegative.

The proof names the multipliers and sympy decides the identity and the signs.  Nothing else makes a
relation, so a formula that does not follow cannot be concluded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TypeAlias, final

import sympy as sp

from proofs.decide import LAM, Expr, has_limit, is_nonnegative, is_zero
from proofs.rocq import proved_in
from theory.theorems.theorem import Assumption, Formula, Kind, Theorem


class StepKind(Enum):
    """Why a step may be believed."""

    CHECKED = "checked"  # sympy decided it
    ASSUMED = "assumed"  # an assumption of the theorem, or the meaning of an argument
    CITED = "cited"  # a classical fact, with reference
    MACHINE = "machine-checked"  # a classical fact that Rocq has proved, with its lemma


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Relation:
    """An inequality left <= right, or an equation."""

    left: Expr
    right: Expr
    equation: bool = False

    def __str__(self) -> str:
        sign = "==" if self.equation else "<="
        return f"{_plain(self.left)} {sign} {_plain(self.right)}"


def _plain(expr: Expr) -> str:
    if isinstance(expr, sp.Limit):
        inside, variable, point, _ = expr.args
        return f"limit of {inside} as {variable} -> {point}"
    return str(expr)


def at_most(left: Expr, right: Expr) -> Relation:
    """Return the relation left <= right."""
    return Relation(left=sp.sympify(left), right=sp.sympify(right))


def equals(left: Expr, right: Expr) -> Relation:
    """Return the relation left == right."""
    return Relation(left=sp.sympify(left), right=sp.sympify(right), equation=True)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """One step, as it is shown."""

    kind: StepKind
    label: str  # what it says, in words
    name: str = ""  # the assumption or the argument of an assumed step
    ok: bool = True  # False where sympy did not decide a checked step
    relation: Relation | None = None  # what it says, in letters
    uses: tuple[int, ...] = ()  # the steps it rests on, numbered from 1
    note: str = ""  # the reference of a cited step; what was left open by a failed one


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Fact:
    """A relation that a proof has reached."""

    relation: Relation
    step: int  # the step that gave it, from 1
    rests_on: frozenset[str]  # names of the assumptions behind it
    general: bool = True  # whether its times may be replaced; not so for a hypothesis of induction


#: Letters that count something, and letters that are positive; the others may be zero.
_COUNTS = frozenset({"k", "t", "j", "i", "m", "n", "blocks", "rest"})
_POSITIVE = frozenset({"weight", "lower", "eps", "beta", "factor"})

#: The reference of everything that is part of the definition of a norm.
NORM = "definition of a norm"

Using: TypeAlias = Mapping[Fact, Expr | int]


def symbols(names: str) -> tuple[Expr, ...]:
    """Return the letters of the statements as symbols with their signs, from "lam k drive"."""
    return tuple(_symbol(name) for name in names.split())


def _symbol(name: str) -> Expr:
    if name == "lam":
        return LAM
    if name in _COUNTS:
        return sp.Symbol(name, integer=True, nonnegative=True)
    return (
        sp.Symbol(name, positive=True) if name in _POSITIVE else sp.Symbol(name, nonnegative=True)
    )


def check_equal(label: str, left: Expr, right: Expr) -> Step:
    """Return the step that left == right identically."""
    return _checked(label, is_zero(left - right), equals(left, right))


def check_at_most(label: str, small: Expr, large: Expr, *, because: Expr | None = None) -> Step:
    """Return the step that small <= large, for all values of their letters.

    `because` may spell the difference as an expression whose sign is plain, such as a sum of
    squares; it must equal the difference and be nonnegative by sympy's own rules.
    """
    difference = large - small
    if because is None:
        ok = is_nonnegative(difference)
    else:
        ok = is_zero(difference - because) and sp.sympify(because).is_nonnegative is True
    return _checked(label, ok, at_most(small, large))


def check_limit(label: str, expr: Expr, variable: Expr, point: Expr, value: Expr) -> Step:
    """Return the step that expr -> value as variable -> point."""
    ok = has_limit(expr, variable, point, value)
    shown = equals(sp.Limit(expr, variable, point), value)
    return _checked(label, ok, shown)


def check(label: str, decided: object) -> Step:
    """Return the step that sympy evaluates a proposition to True, and to nothing else."""
    return _checked(label, decided is True or decided is sp.true, None)


def cite(fact: str, reference: str, relation: Relation | None = None) -> Step:
    """Return the step that a classical fact holds."""
    if not reference:
        raise ValueError(f"cited fact {fact!r} has no reference, needed one")
    return Step(kind=StepKind.CITED, label=fact, relation=relation, note=reference)


def _checked(label: str, ok: bool, relation: Relation | None, uses: tuple[int, ...] = ()) -> Step:
    note = "" if ok else "sympy did not decide this"
    return Step(kind=StepKind.CHECKED, label=label, ok=ok, relation=relation, uses=uses, note=note)


@final
@dataclass(kw_only=True, eq=False)
class Proof:
    """The steps from the assumptions of a theorem to its formula.

    Methods that add a step return the fact it gives.  A checked step that sympy did not decide is
    kept and marked; the proof then is not `ok`, and `problems` says why.
    """

    theorem: Theorem
    formula: Formula  # theorem.formula, or a sabotaged one, which must not come through
    arguments: dict[str, Expr]  # the letters on which the formula is called
    steps: list[Step] = field(default_factory=list)
    letters: list[tuple[str, str]] = field(default_factory=list)  # a letter and its meaning
    _facts: set[Fact] = field(default_factory=set)
    _conclusion: Fact | None = None
    _attained: bool = False

    def __post_init__(self) -> None:
        if tuple(self.arguments) != self.theorem.symbols:
            raise ValueError(
                f"{self.theorem.name}: received the letters {tuple(self.arguments)}, "
                f"needed {self.theorem.symbols}"
            )

    # letters --------------------------------------------------------------------------------------

    def letter(self, name: str, meaning: str, *, positive: bool = False) -> Expr:
        """Introduce a quantity that is nonnegative, or positive."""
        self._introduce(name, meaning)
        return sp.Symbol(name, positive=True) if positive else sp.Symbol(name, nonnegative=True)

    def sequence(self, name: str, meaning: str) -> Expr:
        """Introduce a sequence of nonnegative quantities; `name` is written as in ``e(t)``."""
        self._introduce(name, meaning)
        return sp.Function(name.partition("(")[0], nonnegative=True)

    def _introduce(self, name: str, meaning: str) -> None:
        # one letter with two meanings would make two quantities equal
        if name in self.arguments or name in dict(self.letters):
            raise ValueError(f"the letter {name} is taken")
        self.letters.append((name, meaning))

    def bound(self, **changes: Expr) -> Expr:
        """Return the formula, called on the letters with some of them changed."""
        return sp.sympify(self.formula(**{**self.arguments, **changes}))

    # assumed and cited ----------------------------------------------------------------------------

    def assume(
        self,
        assumption: Assumption,
        relation: Relation | None = None,
        meaning: str = "",
        *,
        after: Fact | None = None,
    ) -> Fact:
        """Use an assumption of the theorem, as a relation between letters.

        Without a relation it serves the theorems that are applied.  Where the assumption is an
        implication, `after` is its premise.
        """
        if after is not None:
            self._own(after)
        if assumption not in self.theorem.assumes:
            raise ValueError(
                f"{assumption.name} is not an assumption of {self.theorem.name}, which has "
                f"{[a.name for a in self.theorem.assumes]}"
            )
        return self._add(
            Step(
                kind=StepKind.ASSUMED,
                name=assumption.name,
                label=meaning or assumption.statement,
                relation=relation,
                uses=() if after is None else (after.step,),
            ),
            frozenset({assumption.name}) | (after.rests_on if after else frozenset()),
        )

    def given(self, argument: str, relation: Relation, meaning: str) -> Fact:
        """Use the meaning of an argument of the formula, such as |h_0| <= start."""
        if argument not in self.arguments:
            raise ValueError(f"{argument} is not an argument, needed one of {[*self.arguments]}")
        step = Step(kind=StepKind.ASSUMED, name=argument, label=meaning, relation=relation)
        return self._add(step)

    def cite(self, fact: str, reference: str, relation: Relation) -> Fact:
        """Use a classical fact; it is machine-checked where Rocq has proved it."""
        step, lemma = cite(fact, reference, relation), proved_in(self.theorem.name, reference)
        if lemma:
            note = f"{reference}; proofs/rocq: {lemma}"
            step = replace(step, kind=StepKind.MACHINE, note=note)
        return self._add(step)

    # checked --------------------------------------------------------------------------------------

    def at(self, fact: Fact, **times: Expr) -> Fact:
        """Read a relation, which holds at all times, at the given ones.

        The times are named by their letters, and are counts: integers that are not negative.
        """
        self._own(fact)
        letters = fact.relation.left.free_symbols | fact.relation.right.free_symbols
        names = {str(letter): letter for letter in letters}
        changes = {names[name]: sp.sympify(value) for name, value in times.items()}
        for old, new in changes.items():
            if not (fact.general and old.is_integer and new.is_integer and new.is_nonnegative):
                raise ValueError(f"cannot put {old} = {new} into {fact.relation}: needed a count")
        relation = Relation(
            left=fact.relation.left.subs(changes),
            right=fact.relation.right.subs(changes),
            equation=fact.relation.equation,
        )
        return self._keep(Fact(relation=relation, step=fact.step, rests_on=fact.rests_on))

    def derive(self, label: str, relation: Relation, using: Using) -> Fact:
        """Combine relations; the multipliers say how often each is used."""
        ok, uses, rests_on = self._combine(relation, using)
        return self._add(_checked(label, ok, relation, uses), rests_on)

    def induct(
        self,
        label: str,
        relation: Relation,
        *,
        over: Expr,
        base: Using,
        step: Callable[[Fact], Using],
    ) -> Fact:
        """Prove a relation for all times: at 0, and at t + 1 from the hypothesis at t.

        Parameters
        ----------
        label, relation
            What is proved, with the letter `over` in it.
        over
            The time t.
        base
            What gives the relation at t = 0.
        step
            Called with the hypothesis, returns what gives the relation at t + 1.
        """
        first = Relation(
            left=relation.left.subs(over, 0),
            right=relation.right.subs(over, 0),
            equation=relation.equation,
        )
        then = Relation(
            left=relation.left.subs(over, over + 1),
            right=relation.right.subs(over, over + 1),
            equation=relation.equation,
        )
        hypothesis = Fact(relation=relation, step=0, rests_on=frozenset(), general=False)
        at_zero, uses_zero, rests_zero = self._combine(first, base)
        onward, uses_step, rests_step = self._combine(then, step(hypothesis), hypothesis)
        uses = tuple(sorted({*uses_zero, *uses_step}))
        done = _checked(f"{label} (induction over {over})", at_zero and onward, relation, uses)
        return self._add(done, rests_zero | rests_step)

    def sum_over(self, label: str, fact: Fact, *, index: Expr, count: Expr, factor: Expr) -> Fact:
        """Sum small(j) <= factor * large(j) over j = 1..count."""
        self._own(fact)
        small, large = fact.relation.left, sp.simplify(fact.relation.right / factor)
        ok = fact.general and not factor.has(index) and bool(index.is_integer)
        ok = ok and is_zero(fact.relation.right - factor * large)
        relation = at_most(
            sp.Sum(small, (index, 1, count)), factor * sp.Sum(large, (index, 1, count))
        )
        return self._add(_checked(label, ok, relation, (fact.step,)), fact.rests_on)

    def check_equal(self, label: str, left: Expr, right: Expr) -> Fact:
        """Check an identity."""
        return self._add(check_equal(label, left, right))

    def check_at_most(
        self, label: str, small: Expr, large: Expr, *, because: Expr | None = None
    ) -> Fact:
        """Check an inequality that holds for all values of its letters."""
        return self._add(check_at_most(label, small, large, because=because))

    def check_limit(self, label: str, expr: Expr, variable: Expr, point: Expr, value: Expr) -> Fact:
        """Check a limit."""
        return self._add(check_limit(label, expr, variable, point, value))

    def check_orbit(
        self, label: str, value: Expr, *, over: Expr, start: Expr, step: Callable[[Expr], Expr]
    ) -> Fact:
        """Check that `value`, at times `over`, is what repeated steps make of a start."""
        here, there = value.subs(over, 0) - start, value.subs(over, over + 1) - step(value)
        done = _checked(f"{label}: {value}", is_zero(here) and is_zero(there), None)
        return self._add(done)

    def apply(
        self,
        lemma: Proof,
        quantity: Expr,
        *,
        discharged: Mapping[Assumption, str] | None = None,
        **arguments: Expr,
    ) -> Fact:
        """Use a theorem proved elsewhere, whose assumptions are made here or discharged.

        Parameters
        ----------
        lemma
            Its proof.
        quantity
            What its left-hand side is here.
        discharged
            Its assumptions that are not made here, each with the reason why they hold.
        arguments
            What the arguments of its formula are here.
        """
        reasons = dict(discharged or {})
        theorem, own = lemma.theorem, {a.name for a in self.theorem.assumes}
        made = {step.name for step in self.steps if step.kind is StepKind.ASSUMED}
        missing = [a.name for a in theorem.assumes if a.name not in made and a not in reasons]
        ok = lemma.ok and lemma.formula is theorem.formula and theorem.kind is not Kind.LOWER
        ok = ok and not missing and all(map(_is_admissible, arguments, arguments.values()))
        label = f"by {theorem.name}"
        for assumption, reason in reasons.items():
            label += f"; {assumption.name}: {reason}"
        relation = at_most(quantity, theorem.formula(**arguments))
        inherited = own & {a.name for a in theorem.assumes}
        return self._add(_checked(label, ok, relation), frozenset(inherited))

    # conclusion -----------------------------------------------------------------------------------

    def conclude(self, quantity: Expr, using: Using, *, times: Expr = 1) -> None:
        """Reach the theorem: times * formula bounds `quantity`, from above or from below."""
        relation = self._statement(quantity, times)
        self._conclusion = self.derive(f"conclusion: {self.theorem.title}", relation, using)

    def conclude_by_induction(
        self, quantity: Expr, *, over: Expr, base: Using, step: Callable[[Fact], Using]
    ) -> None:
        """Reach the theorem by induction over a time of its formula."""
        relation = self._statement(quantity, 1)
        label = f"conclusion: {self.theorem.title}"
        self._conclusion = self.induct(label, relation, over=over, base=base, step=step)

    def _statement(self, quantity: Expr, times: Expr) -> Relation:
        # of a constant, or 0 times the formula, nothing would be said
        introduced = {name.partition("(")[0] for name, _ in self.letters}
        for said in (quantity,) if times == 1 else (quantity, times):
            name = str(said).partition("(")[0]
            if name not in introduced or not (said.is_Symbol or said.is_Function):
                raise ValueError(f"the theorem is about a quantity, not about {said}")
        bound = times * self.bound()
        if self.theorem.kind is Kind.LOWER:
            return at_most(bound, quantity)
        return at_most(quantity, bound)

    def attained(self, witness: str, value: Expr, **arguments: Expr) -> Fact:
        """Check that the formula equals the quantity of a witness, `value`."""
        self._attained = True
        return self.check_equal(f"attained by {witness}", value, self.bound(**arguments))

    def approached(
        self, witness: str, value: Expr, variable: Expr, point: Expr, **arguments: Expr
    ) -> Fact:
        """Check that the formula is the limit of the quantity of witnesses."""
        self._attained = True
        bound = self.bound(**arguments)
        return self.check_limit(f"approached by {witness}", value, variable, point, bound)

    # verdict --------------------------------------------------------------------------------------

    @property
    def problems(self) -> tuple[str, ...]:
        """Return what is missing or failed, in words; empty for a proof."""
        return tuple(self._problems())

    @property
    def ok(self) -> bool:
        """Return whether this is a proof."""
        return not self.problems

    def count(self, kind: StepKind) -> int:
        """Return the number of steps of a kind."""
        return sum(step.kind is kind for step in self.steps)

    def _problems(self) -> Iterator[str]:
        for number, step in enumerate(self.steps, 1):
            if not step.ok:
                yield f"step {number} failed: {step.label}: {step.relation or step.note}"
        if self.count(StepKind.CHECKED) == 0:
            yield "no step was checked"
        if self._conclusion is None:
            yield "no conclusion was reached"
            return
        for assumption in self.theorem.assumes:
            if assumption.name not in self._conclusion.rests_on:
                yield f"the conclusion does not rest on the assumption {assumption.name}"
        goal = self._conclusion.relation
        for step in self.steps:
            premise = step.relation if step.kind is not StepKind.CHECKED else None
            if premise and premise.left == goal.left and premise.right == goal.right:
                yield f"the conclusion is a premise: {step.label}"
        if self.theorem.kind is Kind.SHARP and not self._attained:
            yield "called sharp, but no witness attains the formula"

    # the only rule --------------------------------------------------------------------------------

    def _combine(
        self, relation: Relation, using: Using, hypothesis: Fact | None = None
    ) -> tuple[bool, tuple[int, ...], frozenset[str]]:
        """Decide whether a relation follows; return that, the steps and the assumptions used."""
        rest = relation.right - relation.left
        ok = True
        for fact, multiplier in using.items():
            if fact is not hypothesis:
                self._own(fact)
            rest -= sp.sympify(multiplier) * (fact.relation.right - fact.relation.left)
            ok = ok and (fact.relation.equation or is_nonnegative(multiplier))
            # an inequality makes no equation
            ok = ok and (fact.relation.equation or not relation.equation)
        ok = ok and (is_zero(rest) if relation.equation else is_nonnegative(rest))
        used = [fact for fact, multiplier in using.items() if multiplier != 0]
        uses = tuple(sorted({fact.step for fact in used if fact.step}))
        rests_on = frozenset[str]().union(*(fact.rests_on for fact in used))
        return ok, uses, rests_on

    def _own(self, fact: Fact) -> None:
        if fact not in self._facts:
            raise ValueError(f"{fact.relation} is not a fact of this proof")

    def _keep(self, fact: Fact) -> Fact:
        self._facts.add(fact)
        return fact

    def _add(self, step: Step, rests_on: frozenset[str] = frozenset()) -> Fact:
        self.steps.append(step)
        relation = step.relation or equals(0, 0)
        return self._keep(Fact(relation=relation, step=len(self.steps), rests_on=rests_on))


def _is_admissible(name: str, value: Expr) -> bool:
    """Return whether a theorem holds for this value of an argument of its formula."""
    if name == "lam":
        return bool(value == LAM)
    if name in _COUNTS:
        return bool(value.is_integer and value.is_nonnegative)
    return is_nonnegative(value)


def begin(theorem: Theorem, formula: Formula, **changes: Expr) -> Proof:
    """Return a proof without steps, on the theorem's own letters but for `changes`."""
    arguments = {name: changes.pop(name, _symbol(name)) for name in theorem.symbols}
    if changes:
        raise ValueError(f"{[*changes]} are not arguments, needed some of {[*arguments]}")
    return Proof(theorem=theorem, formula=formula, arguments=arguments)
