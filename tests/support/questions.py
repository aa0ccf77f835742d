"""The four questions that every theorem is asked; each test file brings its own numbers.

1. `holds`, `holds_at_extremes`         does it hold, and when pushed towards its bound?
2. `is_sharp`                           is the bound reached by a witness?
3. `every_assumption_is_needed`         does the conclusion break when one assumption is dropped?
4. `every_near_miss_is_noticed`         would a wrong theorem be refuted?

and of its typed function: `agrees_with_formula`, `refuses_malformed`, `example_is_true`.

`test_every_theorem.py` asks all but the second, which has as many answers as there are theorems.
A theorem's test file says in its `ASKED`, an `Asked`, what is needed for that.
"""

import doctest
import inspect
import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis import target

from theory import (
    L1,
    L2,
    Contraction,
    LinearHead,
    LinearMap,
    Linf,
    VanillaRNN,
    WeightedL2,
    WeightedLinf,
    contraction,
    experiment,
    verify,
)
from theory.arithmetic.activations import ACTIVATIONS, IDENTITY, slope_intervals
from theory.campaign.recipes.draws import scaled_to
from theory.learning import training_setup
from theory.maps import activation, leaky_relu
from theory.measure import Experiment, Run
from theory.norms.products import product_upper
from theory.strategies import factors, norms
from theory.theorems import Kind, Theorem, contractive_of_iterate
from theory.trials import TRIALS, Outcome
from theory.trials.establish import missing
from theory.trials.trial import NearMiss
from theory.trials.verdict import COUNTS

#: Outcomes of a theorem that was not refuted.
STANDS = (Outcome.HOLDS, Outcome.HOLDS_WITHIN_ROUNDING)

#: Factors at the ends of [0, 1) and in between.
LAMS = (0.0, 1e-3, 0.5, 0.99, 0.9999)

#: The relative slack of a bound whose drive or start was rounded outward: the norm of a measured
#: vector by 2 gamma(2 n + 6), and the rounding of a step by 2 gamma(n + m + 3) and 8 u for rho;
#: with n, m <= 4 that is below 28 + 22 + 8 < 64 units, u = 2**-53, and one rounding to spare.
OUTWARD = 2.0**-46


def scalar(
    lam, *, gain=1.0, bias=0.0, x=1.0, T=20, claim=None, head=1.0, norm=None, other=None, **more
):
    """Return h <- lam h + gain x + bias, y = head h, under constant inputs, claiming `claim`."""
    inputs = np.full((T, 1), x) if np.isscalar(x) else np.reshape(np.asarray(x, float), (-1, 1))
    return experiment(
        LinearMap([[lam]], [[gain]], [bias]),
        inputs,
        contraction=Contraction.assumed(lam if claim is None else claim, norm or Linf()),
        head=LinearHead([[head]]),
        other_norm=other or Linf(),
        **more,
    )


def logistic(T=40):
    """Return h <- sigma(h) at rest: its offset 1/2 is all of its drive."""
    return experiment(
        VanillaRNN([[1.0]], [[0.0]], activation="sigmoid"),
        np.zeros((T, 1)),
        contraction=Contraction.assumed(0.25),
    )


@st.composite
def several_steps(draw, *, any_start=False):
    """Draw a map of which up to four steps together contract, whatever a single one does."""
    n, r = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rho = draw(st.sampled_from([IDENTITY, *map(activation, ("tanh", "relu", "leaky_relu(-0.5)"))]))
    norm = draw(norms(n, monotone=rho is not IDENTITY))
    W = rng.standard_normal((n, n)) * np.exp(rng.uniform(-2, 2, (n, 1)))
    W = np.triu(W) if draw(st.booleans()) else W
    # the bound of r-fold products is homogeneous of degree r
    bound = product_upper(W, slope_intervals(rho, n), norm, r)
    W *= (draw(st.sampled_from([0.01, 0.5, 0.9])) / bound) ** (1 / r) * (1 - 2.0**-30)
    cell = VanillaRNN(W, rng.standard_normal((n, 2)), rng.standard_normal(n), rho)
    found = contractive_of_iterate(W, rho, norm=norm, iterate=r)
    assert found is not None
    return experiment(
        cell,
        rng.standard_normal((draw(st.integers(1, 14)), 2)),
        contraction=found,
        k_max=9,
        start=3 * rng.standard_normal(n) if any_start else None,
    )


def swap(a=4.0, b=0.125, *, x=1.0, T=60, k_max=7, **more):
    """Return h <- (a h_2, b h_1) + x: one step stretches by a, two contract by a b."""
    inputs = np.full((T, 2), x) if np.isscalar(x) else np.asarray(x, float)
    system = LinearMap([[0.0, a], [b, 0.0]], np.eye(2))
    claim = contractive_of_iterate(system.W, "identity", norm=Linf(), iterate=2)
    return experiment(system, inputs, contraction=claim, k_max=k_max, **more)


def impulse(**more):
    """Return the same after one input in the direction that is stretched first."""
    return swap(x=np.eye(10, 2)[:, ::-1] * [[0.0, 1.0]], **more)


# ------------------------------------------------------------------------------------------
# what a test file says of its theorem


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is needed to ask the questions of one theorem."""

    made: st.SearchStrategy[Experiment]  # on which it is tried
    always_measured: bool = False  # whether each of them leaves something to measure
    #: `holds_at_extremes`, `learns_at_extremes`, or None where no run at the ends meets what the
    #: theorem assumes
    extremes: Callable[[Theorem], None] | None
    #: assumption -> the counterexample to the theorem without it
    broken: Callable[[], dict[str, Experiment | tuple[float, float]]]
    #: near miss -> the experiment that refutes it
    witnesses: Callable[[], dict[str, Experiment]]
    #: how the typed function depends on its arguments; without it the file tests the function
    typed: "Typed | None" = None
    #: the arguments of `refuses_malformed`, where `typed` does not say them
    malformed: dict[str, Any] | None = None


# ------------------------------------------------------------------------------------------
# 1. does it hold?


def holds(theorem, made, *, always_measured=False):
    """Verify a theorem on a drawn experiment, and steer the next draws towards its bound."""
    verdict = verify(theorem, made)
    if verdict.outcome is Outcome.NOT_APPLICABLE and not always_measured:
        # nothing to compare: no inputs, or none that leaves a gap; never a missing assumption
        assert verdict.reason == "nothing was measured", verdict
        return
    assert verdict.outcome in STANDS, verdict
    if math.isfinite(verdict.ratio):
        target(min(verdict.ratio, 1.0), label=theorem.name)


@lru_cache
def extreme_runs():
    """Return runs at the ends of every range, each measured once for all theorems.

    Every factor with every norm and every activation; without inputs beside a bias, and with; the
    truncation lengths are 0 .. T + 5.
    """
    W, U, b = [[1.0, -2.0], [3.0, 1.0]], [[1.0], [-0.5]], [0.25, -1.0]
    full = np.array([[2.0, 1.0], [1.0, 2.0]])
    norms = (L2(), Linf(), L1(), WeightedLinf([0.5, 2.0]), WeightedL2(np.diag([4.0, 1.0])))
    cells = (*ACTIVATIONS.values(), leaky_relu(0.1), leaky_relu(-1.5))
    pairs = [(norm, rho) for norm in norms for rho in cells] + [(WeightedL2(full), IDENTITY)]
    made = []
    for lam in LAMS:
        for index, (norm, rho) in enumerate(pairs):
            A = scaled_to(np.array(W), lam / rho.lipschitz, norm) if lam else np.zeros((2, 2))
            cell = VanillaRNN(A, U, b, rho)
            T = (1, 6)[index % 2]
            made.append(
                experiment(
                    cell,
                    np.zeros((T, 1)) if index % 3 == 0 else np.ones((T, 1)),
                    contraction=contraction(cell, norm=norm),
                    k_max=T + 5,
                    partner=LinearMap(lam * np.eye(2), U),
                    partner_contraction=Contraction.assumed(lam, Linf()),
                    other_norm=norms[index % len(norms)],
                )
            )
        made.append(scalar(lam, x=1.0, T=6, k_max=11, head=2.0))
        made.append(scalar(lam, x=1.0, T=0, k_max=5))
        # from far out, restarted from the other side
        made.append(scalar(lam, x=0.0, bias=1.0, T=6, k_max=11, start=[8.0], restart=[-8.0]))
        made.append(scalar(lam, x=0.0, bias=1.0, T=6, k_max=11, start=[8.0]))
    return tuple(Run(one) for one in made)


def holds_at_extremes(theorem):
    """Verify a theorem at the ends of every range; some must apply, none be refuted."""
    verdicts = [verify(theorem, run) for run in extreme_runs()]
    applied = [v for v in verdicts if v.outcome is not Outcome.NOT_APPLICABLE]
    assert len(applied) >= len(LAMS)
    for verdict in applied:
        assert verdict.outcome in STANDS, verdict


# ------------------------------------------------------------------------------------------
# 2. is it sharp?


def is_sharp(theorem, made, *, slack=OUTWARD):
    """Check that a witness reaches the bound, up to a derived relative slack."""
    verdict = verify(theorem, made)
    assert verdict.outcome in STANDS, verdict
    assert verdict.ratio >= 1 - slack, verdict
    return verdict


# ------------------------------------------------------------------------------------------
# 3. is each assumption needed?


def every_assumption_is_needed(theorem, broken):
    """Check a counterexample for each assumption.

    An experiment must miss that assumption and no other, and refute the theorem without it.  Where
    an assumption is met by every experiment there is a pair (measured, bound) that breaks the
    conclusion instead.
    """
    assert set(broken) == {a.name for a in theorem.assumes}
    for assumption in theorem.assumes:
        case = broken[assumption.name]
        if isinstance(case, Experiment):
            run = Run(case)
            assert [a.name for a in missing(theorem, run)] == [assumption.name]
            verdict = verify(theorem, run)
            assert verdict.outcome is Outcome.NOT_APPLICABLE
            assert assumption.statement in verdict.reason
            without = verify(theorem, run, near_miss=NearMiss(name="without", drops=assumption))
            assert without.outcome is Outcome.REFUTED, (assumption.name, without)
        else:
            measured, bound = case
            assert (measured < bound) if theorem.kind is Kind.LOWER else (measured > bound)


# ------------------------------------------------------------------------------------------
# 4. would we notice?


def every_near_miss_is_noticed(theorem, witnesses):
    """Check that each near miss is refuted by its witness, on which the theorem itself holds."""
    assert set(witnesses) == {miss.name for miss in TRIALS[theorem.name].near_misses}
    for miss in TRIALS[theorem.name].near_misses:
        run = Run(witnesses[miss.name])
        verdict = verify(theorem, run, near_miss=miss)
        assert verdict.outcome is Outcome.REFUTED, (miss.name, verdict)
        if miss.drops is None:
            assert verify(theorem, run).outcome in STANDS, miss.name


# ------------------------------------------------------------------------------------------
# the typed function


@dataclass(frozen=True, kw_only=True)
class Typed:
    """A typed function and how it depends on its arguments."""

    theorem: Theorem
    counts: tuple[str, ...] = ()
    sizes: tuple[str, ...] = ()
    rising: tuple[str, ...] = ()  # arguments in which it does not fall
    falling: tuple[str, ...] = ()  # arguments in which it does not rise
    upward: bool = True  # the direction in which it is rounded
    from_k: bool = False  # whether it is 0 for t <= k

    def __call__(self, lam, **arguments):
        """Return the value of the typed function."""
        return typed_function(self.theorem)(Contraction.assumed(lam), **arguments)

    @property
    def malformed(self):
        """Return the arguments of `refuses_malformed`, with good values."""
        good = {"k": 3, "t": 9} | dict.fromkeys(self.sizes, 1.0)
        good = {name: good[name] for name in (*self.counts, *self.sizes)}
        return {"counts": self.counts, "sizes": self.sizes, **good}


def module_of(theorem):
    """Return the module of a theorem; its name in the package is the typed function."""
    return sys.modules[theorem.formula.__module__]


def typed_function(theorem):
    """Return the typed function of a theorem."""
    return getattr(module_of(theorem), theorem.name)


def agrees_with_formula(typed, data):
    """Compare with the formula in rationals, and a larger argument with a smaller one."""
    lam = data.draw(factors(), label="lam")
    arguments = {name: data.draw(st.integers(0, 40), label=name) for name in typed.counts}
    sizes = st.sampled_from((0.0, 1.0, 0.1, 3.0)) | st.floats(0.0, 1e6, allow_subnormal=False)
    arguments |= {name: data.draw(sizes, label=name) for name in typed.sizes}
    value = typed(lam, **arguments)
    if typed.from_k and arguments["t"] <= arguments["k"]:
        assert value == 0.0
    else:
        rounded_outward(typed.theorem.formula, value, upward=typed.upward, lam=lam, **arguments)
    moved = data.draw(st.sampled_from((*typed.rising, *typed.falling)), label="moved")
    larger = {"lam": lam, **arguments}
    if moved == "lam":
        larger["lam"] = data.draw(st.floats(lam, 1.0, exclude_max=True), label="larger lam")
    else:
        larger[moved] += data.draw(st.integers(0, 40), label="by how much")
    after = typed(larger.pop("lam"), **larger)
    low, high = (value, after) if moved in typed.rising else (after, value)
    # each is off by at most one unit in the last place, outward
    slack = math.inf if typed.upward else -math.inf
    if typed.upward:
        assert low <= math.nextafter(high, slack)
    else:
        assert math.nextafter(low, slack) <= high


def rounded_outward(formula, value, *, upward=True, **arguments):
    """Check that a value is the formula's exact one, rounded outward by at most two units.

    `theory.arithmetic.rounding.evaluate` promises the nearest double on the safe side, up to one
    unit.
    """
    exact = formula(
        **{k: v if isinstance(v, int) else Fraction(float(v)) for k, v in arguments.items()}
    )
    outward, inward = (math.inf, -math.inf) if upward else (-math.inf, math.inf)
    within = Fraction(math.nextafter(math.nextafter(value, inward), inward))
    if upward:
        assert within < exact <= Fraction(value) or exact == Fraction(value), (value, outward)
    else:
        assert Fraction(value) <= exact < within or exact == Fraction(value), (value, outward)


def growing(a, T, x=1.0):
    """Return h <- a h + 1 from 0 with the target 1, as an experiment; lam plays no part."""
    model = LinearMap([[a]], [[1.0]])
    return experiment(
        model, np.full((T, 1), x), contraction=Contraction.assumed(0.5), head=LinearHead([[1.0]]),
        training=training_setup(model, np.ones((T, 1)), trained=("W",)),
    )  # fmt: skip


def refuses_malformed(function, *, counts=(), sizes=(), **good):
    """Check that malformed arguments raise, with a message that names them."""
    if "c" in inspect.signature(function).parameters:
        for bad in (None, 0.5, 0.9, "0.9"):
            with pytest.raises(ValueError, match="needed a Contraction"):
                function(bad, **good)
        with pytest.raises(ValueError, match="one of 2 steps together"):
            function(Contraction.assumed(0.5, iterate=2), **good)

        def call(**arguments):
            return function(Contraction.assumed(0.5), **arguments)
    else:
        call = function
    for name in counts:
        for bad in (-1, 1.5, 2.0, True, "3", None, math.nan):
            if name == "horizon" and bad is None:
                continue
            with pytest.raises(ValueError, match=rf"{name}="):
                call(**{**good, name: bad})
        call(**{**good, name: np.int64(2)})
    for name in sizes:
        for bad in (-1.0, -5e-324, math.nan, math.inf, "one", None, 1j):
            with pytest.raises(ValueError, match=rf"{name}="):
                call(**{**good, name: bad})
        call(**{**good, name: np.float64(2)})


def example_is_true(function):
    """Run the example in a docstring."""
    module = sys.modules[function.__module__]
    (found,) = doctest.DocTestFinder().find(function, globs={**vars(module)})
    assert found.examples
    assert doctest.DocTestRunner().run(found).failed == 0


def said(theorem, word):
    """Return a field of the docstring of a theorem's module, as one line."""
    field = re.search(rf"^{word} +(.*?)^\S", f"{module_of(theorem).__doc__}\n.", re.M | re.S)[1]
    return " ".join(field.split())


def kind_is_the_one_said(theorem):
    """Compare the first word of the Kind line of the module with the theorem's kind."""
    assert re.split("[,;:]", said(theorem, "Kind"))[0] == theorem.kind.value


def statement_is_the_formula(theorem, seed=0):
    """Read the Statement line of the module back and compare it with `formula` at rationals."""
    right = said(theorem, "Statement").rpartition(f" {theorem.relation} ")[2]
    right = right.removesuffix(" * |h - g|")
    rng = np.random.default_rng(seed)
    for _ in range(5):
        arguments = {
            name: int(rng.integers(1, 4)) + (4 if name == "t" else 0)
            if name in COUNTS
            else Fraction(int(rng.integers(1, 99)), 100)
            for name in theorem.symbols
        }
        assert theorem.formula(**arguments) == eval(right, {"__builtins__": {}}, arguments)


# ------------------------------------------------------------------------------------------
# gradients and training


def learning(
    a=0.5, *, T=150, trained="b", loss="linear", target=-1.0, change=0.25, steps=2,
    alpha=2.0**-40, gain=1.0, **more,
):  # fmt: skip
    """Return h <- a h + gain x + bias under x = 1 / gain, y = h, with one trained parameter."""
    recurrent = LinearMap([[a]], [[gain]])
    other = recurrent.with_parameters(**{trained: recurrent.parameters[trained] - change})
    return experiment(
        recurrent,
        np.full((T, 1), 1.0 / gain),
        contraction=contraction(recurrent, norm=L2()) or Contraction.assumed(0.5),
        k_max=8,
        head=LinearHead([[1.0]]),
        training=training_setup(
            recurrent, np.full((T, 1), target), loss=loss, other=other, trained=(trained,),
            steps=steps, alpha=alpha, **more,
        ),
    )  # fmt: skip


@lru_cache
def learning_extremes():
    """Return runs with gradients at the ends of the ranges, each measured once."""
    made = []
    for lam in (0.0, 1e-3, 0.5, 0.99):
        for name in ("tanh", "sigmoid", "softplus", "sin"):
            rho = ACTIVATIONS[name]
            W = np.array([[1.0, -2.0], [3.0, 1.0]])
            A = scaled_to(W, lam / rho.lipschitz, L2()) if lam else np.zeros((2, 2))
            cell = VanillaRNN(A, [[1.0], [-0.5]], [0.25, -1.0], rho)
            for T, loss in ((2, "squared"), (3, "cross_entropy"), (7, "bernoulli")):
                goal = np.ones(T) if loss == "cross_entropy" else np.ones((T, 2))
                made.append(
                    experiment(
                        cell,
                        np.ones((T, 1)) if T % 2 else np.zeros((T, 1)),
                        contraction=contraction(cell, norm=L2()),
                        k_max=T + 5,
                        training=training_setup(
                            cell,
                            goal,
                            loss=loss,
                            other=cell.with_parameters(W=A / 2),
                            steps=2,
                            alpha=1e-3,
                        ),
                    )
                )
        made.append(learning(lam, T=5))
        made.append(learning(lam, T=5, loss="squared", trained="W", change=lam / 2, alpha=1e-3))
    return tuple(Run(one) for one in made)


def learns_at_extremes(theorem):
    """Verify a theorem about gradients at the ends of every range."""
    verdicts = [verify(theorem, run) for run in learning_extremes()]
    applied = [v for v in verdicts if v.outcome is not Outcome.NOT_APPLICABLE]
    assert len(applied) >= 16
    for verdict in applied:
        assert verdict.outcome in STANDS, verdict
