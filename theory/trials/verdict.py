r"""verify(theorem, ...) -> Verdict: measured against bound, with the rounding budget beside them.

Main names: `verify`, `judge`, `Verdict`, `Outcome`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any, final

import numpy as np

from theory.arithmetic.rounding import evaluate, formula_slack
from theory.measure.experiment import Experiment
from theory.measure.observation import Observation
from theory.measure.run import Observe, Run
from theory.shown import shown
from theory.theorems.theorem import Assumption, Formula, Kind, Theorem
from theory.trials.establish import missing
from theory.trials.table import trial_of
from theory.trials.trial import NearMiss
from theory.typing import Array

#: Arguments of formulas that count steps.
COUNTS = frozenset({"k", "t", "blocks", "rest"})


class Outcome(Enum):
    """What a comparison says; true and false are not enough."""

    HOLDS = "holds"
    HOLDS_WITHIN_ROUNDING = "holds within rounding"
    REFUTED = "refuted"
    NOT_APPLICABLE = "not applicable"


@shown
@final
@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One theorem on one experiment, at the observation where it came closest to failing."""

    theorem: str  # its name, followed by the near miss in brackets if it was one
    outcome: Outcome
    measured: float  # the left-hand side, as computed
    bound: float  # the formula there, rounded outward
    budget: float  # rounding budget of the two together
    ratio: float  # measured / bound (bound / measured for a lower bound): 1 is sharp, above 1 fails
    observations: int  # how many values were compared
    arguments: dict[str, float]  # the formula's arguments there
    evidence: str  # how the contraction is known
    reason: str = ""  # why it is not applicable
    label: str = ""  # where the experiment comes from

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready description, exact: floats are written with 17 digits or as text."""
        data = {name: getattr(self, name) for name in self.__dataclass_fields__}
        data["outcome"] = self.outcome.value
        return {name: _plain(value) for name, value in data.items()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Verdict:
        """Read back what `to_dict` wrote.

        Raises
        ------
        ValueError
            If a field is missing or not of its kind.
        """
        try:
            fields = {name: data[name] for name in cls.__dataclass_fields__}
            for name in ("measured", "bound", "budget", "ratio"):
                fields[name] = float(fields[name])
            fields["outcome"] = Outcome(fields["outcome"])
            fields["arguments"] = {k: float(v) for k, v in fields["arguments"].items()}
            fields["observations"] = int(fields["observations"])
            for name in ("theorem", "evidence", "reason", "label"):
                if not isinstance(fields[name], str):
                    raise TypeError(f"{name}={fields[name]!r}")
            return cls(**fields)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a verdict: {error!r}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _ratios(top: Array, bottom: Array) -> Array:
    """Return top / bottom with 0 / 0 = 0."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        quotient = top / bottom
    return np.where((top == 0) & (bottom == 0), 0.0, quotient)


def judge(
    name: str,
    formula: Formula,
    kind: Kind,
    seen: Observation,
    *,
    evidence: str = "",
    label: str = "",
    order: int = 1,
) -> Verdict:
    """Compare an observation with a formula; the pure core of `verify`.

    Every value is compared in doubles with a slack for the formula's own rounding; the one that
    comes closest to failing is then decided with the formula in interval arithmetic.  The slack is
    of the theorem's order.
    """
    measured = np.atleast_1d(np.asarray(seen.measured, dtype=np.float64))
    if measured.size == 0:
        return _not_applicable(name, "nothing was measured", evidence, label)
    arguments = {
        key: np.broadcast_to(np.asarray(value, dtype=np.float64), measured.shape)
        for key, value in seen.arguments.items()
    }
    lower = kind is Kind.LOWER
    with np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore"):
        bound = np.broadcast_to(np.asarray(formula(**arguments), dtype=np.float64), measured.shape)
    budget = np.broadcast_to(np.asarray(seen.budget, dtype=np.float64), measured.shape)
    unknown = np.isnan(measured) | np.isnan(budget) | np.isnan(bound)
    if unknown.any():
        # a comparison with a NaN is neither true nor false; it must not hide another's refutation
        known = Observation(
            measured=measured[~unknown],
            budget=budget[~unknown],
            arguments={key: value[~unknown] for key, value in arguments.items()},
        )
        verdict = judge(name, formula, kind, known, evidence=evidence, label=label, order=order)
        if verdict.outcome is Outcome.REFUTED:
            return verdict
        reason = "a measured value, its budget or its bound is not a number"
        return _not_applicable(name, reason, evidence, label)
    with np.errstate(divide="ignore"):
        total = budget + formula_slack(arguments.get("lam", 0.0), order) * np.abs(bound)
    top, bottom = (bound, measured) if lower else (measured, bound)
    with np.errstate(invalid="ignore"):
        # equal infinities differ by 0; of others no difference is a NaN
        excess = np.where(top == bottom, 0.0, top - bottom)
        # the value that decides: the largest excess beyond the budget if there is one, else the
        # one nearest to its bound after the budget is taken off, so that rounding noise does not
        # compete
        beyond = np.where(excess <= total, -np.inf, excess - total)
        nearness = _ratios(bound - total, measured) if lower else _ratios(measured - total, bound)
    suspect = not bool((excess <= total).all())
    # beside infinities nearness may be a NaN, which argmax would take for the largest
    i = int(np.argmax(beyond if suspect else np.where(np.isnan(nearness), -np.inf, nearness)))
    chosen = {key: float(value[i]) for key, value in arguments.items()}
    decided = evaluate(formula, upward=not lower, **_with_counts(chosen))
    value, spare = float(measured[i]), float(budget[i])
    if math.isnan(decided):
        reason = "the bound in interval arithmetic is not a number"
        return _not_applicable(name, reason, evidence, label)
    larger, smaller = (decided, value) if lower else (value, decided)
    if larger != smaller and not larger - smaller <= spare:
        outcome = Outcome.REFUTED
    elif not bool((excess <= 0).all()):
        outcome = Outcome.HOLDS_WITHIN_ROUNDING
    else:
        outcome = Outcome.HOLDS
    return Verdict(
        theorem=name,
        outcome=outcome,
        measured=value,
        bound=decided,
        budget=spare,
        ratio=float(_ratios(np.array(larger), np.array(smaller))),
        observations=int(measured.size),
        arguments=chosen,
        evidence=evidence,
        label=label,
    )


def _with_counts(arguments: dict[str, float]) -> dict[str, float]:
    """Return the arguments with counts as integers, for exact powers."""
    return {
        key: int(value) if key in COUNTS and value.is_integer() else value
        for key, value in arguments.items()
    }


def _not_applicable(name: str, reason: str, evidence: str, label: str) -> Verdict:
    return Verdict(
        theorem=name,
        outcome=Outcome.NOT_APPLICABLE,
        measured=math.nan,
        bound=math.nan,
        budget=math.nan,
        ratio=math.nan,
        observations=0,
        arguments={},
        evidence=evidence,
        reason=reason,
        label=label,
    )


def _check_theorem(theorem: object) -> None:
    if not isinstance(theorem, Theorem):
        raise ValueError(f"theorem={theorem!r}, needed a Theorem; theory.THEOREMS holds them all")


def verify(theorem: Theorem, on: Experiment | Run, *, near_miss: NearMiss | None = None) -> Verdict:
    r"""Test a theorem, or one of its near misses, on an experiment.

    Parameters
    ----------
    theorem : Theorem
        One of `theory.THEOREMS`.
    on : Experiment or Run
        What to test it on, see `theory.experiment`; a `Run` keeps its measurements for the next
        theorem.
    near_miss : NearMiss, optional
        Test this false neighbour instead; a refutation is then what is hoped for.

    Returns
    -------
    Verdict
        ``not applicable`` if an assumption of the theorem is not established for the experiment.

    Examples
    --------
    >>> import numpy as np
    >>> from theory import Contraction, LinearMap, experiment
    >>> from theory.theorems.state_gap import STATE_GAP
    >>> one = experiment(
    ...     LinearMap([[0.5]], [[1.0]]), np.ones((20, 1)), contraction=Contraction.assumed(0.5)
    ... )
    >>> verify(STATE_GAP, one).outcome.value
    'holds'
    """
    _check_theorem(theorem)
    run = on if isinstance(on, Run) else Run(on)
    evidence, label = str(run.of.contraction.evidence), run.of.label
    dropped: Assumption | None = None if near_miss is None else near_miss.drops
    name = theorem.name if near_miss is None else f"{theorem.name} [{near_miss.name}]"
    absent = [a for a in missing(theorem, run) if a is not dropped]
    if absent:
        reason = "; ".join(f"{a.name} is not established: {a.statement}" for a in absent)
        return _not_applicable(name, reason, evidence, label)
    observe: Observe = trial_of(theorem).observe
    formula: Formula = theorem.formula
    if near_miss is not None:
        observe = near_miss.observe or observe
        formula = near_miss.formula or formula
    seen = run.once(observe)
    return judge(
        name, formula, theorem.kind, seen, evidence=evidence, label=label, order=theorem.order
    )
