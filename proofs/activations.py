r"""Proofs of the facts of the activations: slopes, curvature, value at 0 and range.

Main names: `prove`, `FactProof`, `EXAMPLES`.

What is proved is what `theory.arithmetic.activations` stores: each number there is compared with
the exact one that sympy derives from the definition of the activation, and each bound is shown to
be attained or approached, so that a number that is too small and one that is too large both fail.

The smooth activations become quotients of polynomials by s = exp(a) or s = exp(2 a), which runs
through the positive numbers; there a sign is decided by factoring.  The others are linear in
pieces, and a secant slope is a mean of the slopes of the pieces, weighted by lengths.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import final

import sympy as sp

from proofs.decide import Expr
from proofs.steps import Step, StepKind, check, check_at_most, check_equal, check_limit, cite
from theory.arithmetic.activations import ACTIVATIONS, Activation, leaky_relu
from theory.arithmetic.rounding import down, up

#: Those that `python -m proofs` proves; of leaky relu every kind of leak.
EXAMPLES: tuple[Activation, ...] = (
    *ACTIVATIONS.values(),
    *(leaky_relu(m) for m in (0.01, -0.5, 1.0, 3.0)),
)

_A = sp.Symbol("a", real=True)
_S = sp.Symbol("s", positive=True)
_HALF = sp.Rational(1, 2)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class FactProof:
    """The steps that prove the stored facts of an activation."""

    activation: Activation
    definition: Expr  # rho(a)
    steps: tuple[Step, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """Return the failed steps, in words."""
        failed = tuple(f"{step.label}: {step.relation or ''}" for step in self.steps if not step.ok)
        return failed if self.count(StepKind.CHECKED) else ("no step was checked",)

    @property
    def ok(self) -> bool:
        """Return whether all facts are proved."""
        return not self.problems

    def count(self, kind: StepKind) -> int:
        """Return the number of steps of a kind."""
        return sum(step.kind is kind for step in self.steps)


def prove(rho: Activation) -> FactProof:
    """Return the proof of the facts stored in `rho`, found by its name.

    Raises
    ------
    ValueError
        If no definition is known under that name.
    """
    stem, _, argument = rho.name.partition("(")
    if stem in _SMOOTH:
        definition = _SMOOTH[stem].definition
        steps = _smooth(rho, _SMOOTH[stem])
    elif stem == "sin":
        definition = sp.sin(_A)
        steps = _sine(rho)
    else:
        pieces = _pieces(stem, argument.rstrip(")"))
        definition = pieces.definition
        steps = _piecewise(rho, pieces)
        if stem == "leaky_relu":
            steps = chain(steps, _every_leak())
    return FactProof(
        activation=rho, definition=definition, steps=(*steps, *_common(rho, definition))
    )


# what all have in common --------------------------------------------------------------------------


def _common(rho: Activation, definition: Expr) -> Iterator[Step]:
    low, high = _exact(rho.slope[0]), _exact(rho.slope[1])
    yield check_equal("Lipschitz constant", _exact(rho.lipschitz), sp.Max(abs(low), abs(high)))
    value, stored = definition.subs(_A, 0), rho.at_zero
    below, above = _exact(down(stored)), _exact(up(stored))
    # nearest: the exact value is no farther than half way to each neighbour
    yield check(
        f"rho(0) = {value} is stored to nearest",
        sp.And(
            (below + _exact(stored)) / 2 <= value,
            value <= (_exact(stored) + above) / 2,
        ),
    )


def _exact(stored: float) -> Expr:
    """Return a stored double as the number it is."""
    return sp.Rational(stored) if math.isfinite(stored) else sp.oo * (1 if stored > 0 else -1)


def _stored_outward(label: str, stored: float, exact: Expr) -> Step:
    """Return the step that a stored upper bound is the exact one, rounded outward once at most."""
    if math.isinf(stored):
        return check(f"{label}: {exact} is stored as {stored}", exact == sp.oo)
    # `up` of the nearest double is the project's outward rounding
    nearest = float(sp.N(exact, 40)) if exact != sp.oo else math.inf
    decided = sp.And(exact <= _exact(stored), _exact(stored) <= _exact(up(nearest)))
    return check(f"{label}: {exact} is stored as {stored!r}, rounded outward", decided)


# smooth: quotients of polynomials in s ------------------------------------------------------------


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Smooth:
    definition: Expr  # rho(a)
    in_s: Expr  # rho in the letter s
    rate: int  # s = exp(rate * a)
    steepest: Expr  # s at which rho' is largest, or oo
    curvature: Expr  # sup |rho''|
    most_curved: Expr  # s at which it is attained


_SMOOTH = {
    "tanh": _Smooth(
        definition=sp.tanh(_A),
        in_s=(_S - 1) / (_S + 1),
        rate=2,
        steepest=sp.Integer(1),
        curvature=4 / (3 * sp.sqrt(3)),
        most_curved=2 + sp.sqrt(3),
    ),
    "sigmoid": _Smooth(
        definition=1 / (1 + sp.exp(-_A)),
        in_s=_S / (1 + _S),
        rate=1,
        steepest=sp.Integer(1),
        curvature=1 / (6 * sp.sqrt(3)),
        most_curved=2 + sp.sqrt(3),
    ),
    "softplus": _Smooth(
        definition=sp.log(1 + sp.exp(_A)),
        in_s=sp.log(1 + _S),
        rate=1,
        steepest=sp.oo,
        curvature=sp.Rational(1, 4),
        most_curved=sp.Integer(1),
    ),
}


def _smooth(rho: Activation, what: _Smooth) -> Iterator[Step]:
    s, back = _S, sp.exp(what.rate * _A)

    def differentiate(expr: Expr) -> Expr:
        # ds/da = rate * s
        return sp.factor(what.rate * s * sp.diff(expr, s))

    first = differentiate(what.in_s)
    second = differentiate(first)
    yield check_equal(
        f"s = {back} > 0",
        what.definition.rewrite(sp.exp),
        what.in_s.subs(s, back).expand(),
    )
    for order, expr in ((1, first), (2, second)):
        derivative = sp.diff(what.definition.rewrite(sp.exp), _A, order)
        yield check_equal(f"derivative {order}", derivative, expr.subs(s, back))

    low, high = map(_exact, rho.slope)
    yield cite("a difference quotient is a value of rho'", "mean value theorem")
    yield check_at_most("least slope", low, first)
    yield check_limit("least slope, approached as s -> 0", first, s, 0, low)
    yield check_at_most("largest slope", first, high)
    yield _reached("largest slope", first, what.steepest, high)

    yield check_at_most("curvature, squared", second**2, what.curvature**2)
    yield _reached("curvature, squared", second**2, what.most_curved, what.curvature**2)
    yield _stored_outward("curvature", rho.curvature, what.curvature)

    least, largest = map(_exact, rho.range)
    yield check_at_most("least value", least, what.in_s)
    yield check_limit("least value, approached as s -> 0", what.in_s, s, 0, least)
    if largest != sp.oo:
        yield check_at_most("largest value", what.in_s, largest)
    yield check_limit("largest value, approached as s -> oo", what.in_s, s, sp.oo, largest)


def _reached(label: str, expr: Expr, at: Expr, value: Expr) -> Step:
    if at == sp.oo:
        return check_limit(f"{label}, approached as s -> oo", expr, _S, sp.oo, value)
    return check_equal(f"{label}, attained at s = {at}", expr.subs(_S, at), value)


# sine: half angles --------------------------------------------------------------------------------


def _sine(rho: Activation) -> Iterator[Step]:
    a, quarter = _A, sp.pi / 4
    first, second = sp.diff(sp.sin(a), a), sp.diff(sp.sin(a), a, 2)
    low, high = map(_exact, rho.slope)
    yield cite("a difference quotient is a value of rho'", "mean value theorem")
    yield check_at_most("least slope", low, first, because=2 * sp.cos(a / 2) ** 2)
    yield check_equal("least slope, attained at pi", first.subs(a, sp.pi), low)
    yield check_at_most("largest slope", first, high, because=2 * sp.sin(a / 2) ** 2)
    yield check_equal("largest slope, attained at 0", first.subs(a, 0), high)
    yield check_at_most("curvature, squared", second**2, 1, because=sp.cos(a) ** 2)
    yield check_equal("curvature, attained at pi/2", abs(second.subs(a, sp.pi / 2)), 1)
    yield _stored_outward("curvature", rho.curvature, sp.Integer(1))
    least, largest = map(_exact, rho.range)
    yield check_at_most("least value", least, sp.sin(a), because=2 * sp.sin(a / 2 + quarter) ** 2)
    yield check_equal("least value, attained at -pi/2", sp.sin(-sp.pi / 2), least)
    yield check_at_most(
        "largest value", sp.sin(a), largest, because=2 * sp.cos(a / 2 + quarter) ** 2
    )
    yield check_equal("largest value, attained at pi/2", sp.sin(sp.pi / 2), largest)


# linear in pieces ---------------------------------------------------------------------------------


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Pieces:
    knots: tuple[Expr, ...]  # x_1 < .. < x_r
    lines: tuple[tuple[Expr, Expr], ...]  # slope and intercept of the r + 1 pieces

    @property
    def definition(self) -> Expr:
        return sp.Piecewise(
            *((m * _A + c, x > _A) for (m, c), x in zip(self.lines, self.knots, strict=False)),
            (self.lines[-1][0] * _A + self.lines[-1][1], True),
        )


def _pieces(stem: str, argument: str) -> _Pieces:
    zero, one = sp.Integer(0), sp.Integer(1)
    if stem == "identity":
        return _Pieces(knots=(), lines=((one, zero),))
    if stem == "relu":
        return _Pieces(knots=(zero,), lines=((zero, zero), (one, zero)))
    if stem == "leaky_relu":
        return _Pieces(knots=(zero,), lines=((_exact(float(argument)), zero), (one, zero)))
    if stem == "hard_tanh":
        return _Pieces(knots=(-one, one), lines=((zero, -one), (one, zero), (zero, one)))
    raise ValueError(
        f"activation {stem!r} has no definition here, needed one of theory.arithmetic.activations"
    )


def _piecewise(rho: Activation, what: _Pieces) -> Iterator[Step]:
    slopes = [m for m, _ in what.lines]
    last = len(slopes) - 1
    for i, x in enumerate(what.knots):
        yield check_equal(f"continuous at {x}", _line(what, i, x), _line(what, i + 1, x))

    # from a in piece i to b in piece j, with the lengths l of [a, b] in each piece:
    # rho(b) - rho(a) = sum of slope times length, knot by knot
    l0, l1 = sp.symbols("l_0 l_1", nonnegative=True)
    for i in range(last + 1):
        for j in range(i + 1, last + 1):
            a, b = what.knots[i] - l0, what.knots[j - 1] + l1
            between = sum(slopes[n] * (what.knots[n] - what.knots[n - 1]) for n in range(i + 1, j))
            yield check_equal(
                f"rise from piece {i} to piece {j}",
                _line(what, j, b) - _line(what, i, a),
                slopes[i] * l0 + between + slopes[j] * l1,
            )
    lengths = sp.symbols(f"l_0:{last + 1}", nonnegative=True)
    rise, run = sum(m * x for m, x in zip(slopes, lengths, strict=True)), sum(lengths)
    low, high = map(_exact, rho.slope)
    yield check_at_most("least secant slope, times length", low * run, rise)
    yield check_equal("least slope, attained on a piece", sp.Min(*slopes), low)
    yield check_at_most("largest secant slope, times length", rise, high * run)
    yield check_equal("largest slope, attained on a piece", sp.Max(*slopes), high)

    bends = any(m != n for m, n in pairwise(slopes))
    curvature = sp.oo if bends else sp.Integer(0)
    words = "one-sided derivatives differ at a knot" if bends else "linear"
    yield _stored_outward(f"curvature ({words})", rho.curvature, curvature)
    yield from _range(rho, what)


def _every_leak() -> Iterator[Step]:
    # rise m p + q over p + q, p on the left of 0 and q on its right; m = 1 - n or m = 1 + n
    n, p, q = sp.symbols("n p q", nonnegative=True)
    yield check_at_most("every leak m = 1 - n: at least m", (1 - n) * (p + q), (1 - n) * p + q)
    yield check_at_most("every leak m = 1 - n: at most 1", (1 - n) * p + q, p + q)
    yield check_at_most("every leak m = 1 + n: at least 1", p + q, (1 + n) * p + q)
    yield check_at_most("every leak m = 1 + n: at most m", (1 + n) * p + q, (1 + n) * (p + q))


def _line(what: _Pieces, piece: int, a: Expr) -> Expr:
    slope, intercept = what.lines[piece]
    return slope * a + intercept


def _range(rho: Activation, what: _Pieces) -> Iterator[Step]:
    # a point of each piece in a letter w >= 0, which goes to an end of the piece or to infinity
    w = sp.Symbol("w", nonnegative=True)
    least, largest = map(_exact, rho.range)
    last = len(what.lines) - 1
    ends: list[Expr] = []
    for piece in range(last + 1):
        if last == 0:
            points: tuple[Expr, ...] = (w, -w)
        elif piece == 0:
            points = (what.knots[0] - w,)
        elif piece == last:
            points = (what.knots[-1] + w,)
        else:
            left, right = what.knots[piece - 1], what.knots[piece]
            points = (left + (right - left) * w / (1 + w),)
        for point in points:
            value = _line(what, piece, point)
            if least != -sp.oo:
                yield check_at_most(f"least value, piece {piece}", least, value)
            if largest != sp.oo:
                yield check_at_most(f"largest value, piece {piece}", value, largest)
            ends += [value.subs(w, 0), sp.limit(value, w, sp.oo)]
    yield check_equal("least value, attained or approached", _extended(sp.Min(*ends), least), 0)
    yield check_equal("largest value, attained or approached", _extended(sp.Max(*ends), largest), 0)


def _extended(left: Expr, right: Expr) -> Expr:
    """Return left - right, and 0 for equal infinities."""
    return sp.Integer(0) if left == right else left - right
