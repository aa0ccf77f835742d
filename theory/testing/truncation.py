"""A search for what refutes the bounds of a map's k-step counterparts.

Main name: `check_truncation`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Any, NoReturn

import numpy as np

from theory.arithmetic.rounding import drift
from theory.certificates import Contraction, drive_size
from theory.errors import as_array, as_sequences, as_vector
from theory.inputs import Drive
from theory.maps.base import Map, check_map
from theory.measure.experiment import Experiment, experiment
from theory.measure.observation import Observation
from theory.measure.ratios import norm_attaining
from theory.measure.run import Run
from theory.norms.norms import Norm
from theory.testing.contraction import check_contraction, claimed_factor, contraction_of
from theory.testing.failures import fail, fail_refuted, single_hint
from theory.theorems import THEOREMS
from theory.theorems.theorem import Kind
from theory.trials.verdict import Outcome, Verdict, judge, verify
from theory.truncation import truncate
from theory.typing import Array

#: Pytest shows the frames of the user alone.
__tracebackhide__ = True


def check_truncation(
    recurrent: Map,
    inputs: Any,
    *,
    contraction: Contraction | None = None,
    k_max: int | None = None,
    drive: float | Drive | None = None,
    start: Any = None,
    restart: Any = None,
    head: Any = None,
    norm: Norm | None = None,
    counterpart: Callable[[Array, int], Any] | None = None,
    radius: float | None = None,
    trials: int = 200,
    seed: int = 0,
) -> list[Verdict]:
    r"""Check a map, its contraction and its truncation on the user's inputs, by every bound.

    In this order: the contraction is searched for a counterexample (`check_contraction`), the fast
    run of the map is compared with its own steps, the user's k-step model with `theory.truncate`,
    the claimed drive with the inputs, and every theorem with the measured trajectories.

    Parameters
    ----------
    recurrent : Map
    inputs : (T, m) or (batch, T, m) array
    contraction : Contraction, optional
        By default what `theory.contraction` certifies.
    k_max : int, optional
        Largest truncation length, min(T, 64) by default.
    drive : float or Drive, optional
        A bound of |step(0, x_t)| over the inputs, in the norm of the contraction; a number is taken
        on your word, and its verdict is named assumed.
    start, restart : (n,) arrays, optional
        Where the recurrent model starts, and the truncated one.  By default zero, and also states
        far out in opposite directions.
    head : LinearHead, array, or output layer, optional
        The output, the state itself by default.
    norm : Norm, optional
        Another norm in which the gap is measured too, `L2` by default.
    counterpart : callable, optional
        The user's own k-step model, from inputs (T, m) and k to states (T, n); from rest, and equal
        to the recurrent model for t <= k.
    radius, trials, seed
        See `check_contraction`; starts that are not given stay within the radius.

    Returns
    -------
    list of Verdict
        All that applied, none of them refuted.

    Raises
    ------
    AssertionError
        If one of the comparisons fails by more than its rounding budget.
    ValueError
        If the question is malformed, or no contraction is given and none is certified.

    Examples
    --------
    >>> from theory import VanillaRNN
    >>> verdicts = check_truncation(VanillaRNN([[0.5]], [[1.0]]), np.ones((20, 1)))
    >>> max(v.ratio for v in verdicts if v.theorem == "state_gap_observed") <= 1
    True
    """
    check_map(recurrent)
    certificate = contraction_of(recurrent, contraction)
    x = as_sequences("inputs", inputs, width=recurrent.input_dim)
    if drive is not None:
        drive_size(certificate, drive)
        if isinstance(drive, Drive) and not drive.inputs.contains(x):
            raise ValueError(f"the drive is for {drive.inputs}, and some inputs are not among them")
    n = recurrent.state_dim
    given = {
        name: None if state is None else as_vector(name, state, size=n)
        for name, state in (("start", start), ("restart", restart))
    }
    verdicts: list[Verdict] = []
    # of the states reached from zero a search has none to choose: the runs below are what is known
    if certificate.domain is None or certificate.domain.reached is None:
        verdicts.append(
            check_contraction(
                recurrent,
                contraction=certificate,
                inputs=x if x.size else None,
                radius=radius,
                trials=trials,
                seed=seed,
            )
        )
    for index, sequence in enumerate(x if x.ndim == 3 else x[None]):
        label = f"sequence {index}"
        base = experiment(
            recurrent,
            sequence,
            contraction=certificate,
            k_max=k_max,
            head=head,
            other_norm=norm,
            label=label,
        )
        _check_simulation(base)
        if counterpart is not None:
            _check_counterpart(base, counterpart)
        if drive is not None:
            verdicts += _check_drive(base, drive)
        for made in _started(base, given["start"], given["restart"], radius):
            verdicts += _check_theorems(made)
    return verdicts


def _check_simulation(made: Experiment) -> None:
    """Check the fast run against the definition, one step at a time.

    Every state of the run is compared with the step from the state before it, so errors do not add
    up: each of the two values errs by at most `step_error`.
    """
    recurrent, x = made.map, made.inputs
    states = recurrent.simulate(x)
    before = np.vstack([np.zeros((1, recurrent.state_dim)), states])[:-1]
    if len(x) == 0:
        return
    stepped = recurrent.step(before, x)
    advanced = recurrent.advance(before, recurrent.input_terms(x))
    for how, other in (("simulate(X)", states), ("advance(h, input_terms(x))", advanced)):
        for t in range(len(x)):
            size = np.max(np.abs([before[t], stepped[t], other[t]]), axis=0)
            budget = 2.0 * recurrent.step_error(size, np.abs(x[t]))
            if not (np.abs(stepped[t] - other[t]) <= budget).all():
                arrays = {"h": before[t], "x": x[t], "step(h, x)": stepped[t], how: other[t]}
                fail(
                    f"{how} of {recurrent!r} does not do what its step does at input {t} of "
                    f"{made.label}",
                    float(np.max(np.abs(stepped[t] - other[t]))),
                    float(np.max(budget)),
                    arrays,
                    "simulate_by_steps as the run, and looking for an input that is used one time "
                    "too early or too late",
                    of=recurrent,
                )


def _check_counterpart(made: Experiment, counterpart: Callable[[Array, int], Any]) -> None:
    """Compare the user's k-step model with `theory.truncate`, at every k up to k_max.

    Both run the same steps, each of which errs by at most `local`: their distance is at most twice
    the drift of k steps.
    """
    recurrent, norm, lam = made.map, made.contraction.norm, made.contraction.lam
    x = made.inputs
    local = Run(made).local_error
    for k in range(made.k_max + 1):
        ours = truncate(recurrent, k).states(x)
        theirs = as_array(f"the answer of counterpart(inputs, {k})", counterpart(x.copy(), k))
        if theirs.shape != ours.shape:
            raise ValueError(
                f"counterpart(inputs, {k}) returned shape {theirs.shape}, needed {ours.shape}: "
                "the states at all times"
            )
        budget = 2.0 * drift(local, lam, max(k, 1)) if len(x) else 0.0
        gaps = norm.vector(theirs - ours)
        if not (gaps <= budget + norm.vector_rounding(recurrent.state_dim) * gaps).all():
            t = int(np.argmax(gaps))
            fail(
                f"the counterpart is not the {k}-step model of {recurrent!r}: it differs from "
                f"theory.truncate after {t + 1} inputs of {made.label}",
                float(gaps[t]),
                budget,
                {"inputs": x[max(0, t - k) : t + 1], "theirs": theirs[t], "ours": ours[t]},
                "whether it restarts from zero exactly k inputs back, and sees the present input "
                "as its last",
            )


def _check_drive(made: Experiment, drive: float | Drive) -> list[Verdict]:
    """Compare a claimed drive with |step(0, x_t)| at every input."""
    run = Run(made)
    if len(made.inputs) == 0:
        return []
    measured = run.norm.vector(
        made.map.step(np.zeros((len(made.inputs), made.map.state_dim)), made.inputs)
    )
    verdict = judge(
        "drive [certified]" if isinstance(drive, Drive) else "drive [assumed]",
        claimed_factor,
        Kind.UPPER,
        Observation(
            measured=measured, budget=run.budget(measured, 1.0), arguments={"factor": float(drive)}
        ),
        label=made.label,
    )
    if verdict.outcome is Outcome.REFUTED:
        t = int(np.argmax(measured))
        fail_refuted(
            f"the claimed drive is exceeded at input {t} of {made.label}",
            verdict,
            {"x": made.inputs[t]},
            "map.drive(norm, inputs=...), which bounds |step(0, x_t)| outward, and whether "
            "step(0, 0) was left out",
        )
    return [verdict]


def _started(
    base: Experiment, start: Array | None, restart: Array | None, radius: float | None
) -> Iterator[Experiment]:
    """Yield the experiment from rest and from far out, or from where the user says."""
    recurrent, norm = base.map, base.contraction.norm
    zero = np.zeros(recurrent.state_dim)
    x = base.inputs[0] if len(base.inputs) else np.zeros(recurrent.input_dim)
    J = recurrent.jacobian_state(zero, x)
    direction = norm_attaining(norm, J if np.isfinite(J).all() else np.eye(len(zero)))[-1]
    # as large as the states that the drive alone can reach, and so that both starts matter
    size = 1.0 + float(np.max(norm.vector(recurrent.simulate(base.inputs)), initial=0.0))
    size = size if radius is None else min(size, radius)
    far = direction * (size / float(norm.vector_upper(direction)))
    back, domain = -far, base.contraction.domain
    if domain is not None:
        far, back = (domain.moved_inside(h) for h in (far, back))
    starts = (zero, far) if start is None else (start,)
    restarts = (zero, back) if restart is None else (restart,)
    for h, again in product(starts, restarts):
        yield replace(base, start=h, restart=again, other_start=back)


def _check_theorems(made: Experiment) -> list[Verdict]:
    """Verify every bound that applies."""
    run = Run(made)
    arrays = {"start": made.start, "restart": made.restart, "inputs": made.inputs}
    if run.within_domain and run.contradicted:
        _fail_trajectories(run, arrays)
    verdicts = []
    for theorem in THEOREMS:
        if theorem.criterion:
            continue
        verdict = verify(theorem, run)
        if verdict.outcome is Outcome.REFUTED:
            at = ", ".join(f"{name}={value!r}" for name, value in verdict.arguments.items())
            fail_refuted(
                f"{theorem.name} is refuted for {made.map!r} on {made.label}, at {at}",
                verdict,
                arrays,
                "check_contraction with more trials; the bound fails only with one of: "
                + "; ".join(assumption.statement for assumption in theorem.assumes),
            )
        if verdict.outcome is not Outcome.NOT_APPLICABLE:
            verdicts.append(verdict)
    return verdicts


def _fail_trajectories(run: Run, arrays: Mapping[str, Array]) -> NoReturn:
    """Report the step along which two trajectories come closer by less than is claimed."""
    ratios, budgets = run.step_ratios
    i = int(np.argmax(ratios - budgets))
    seen = [(float(ratios[i]), float(budgets[i]), "two states near the trajectory")]
    table = run.gap_table
    before, after = table[:-1, :-1], table[1:, 1:]
    if before.size:
        excess = after - run.lam * before
        k, t = (int(j) for j in np.unravel_index(int(np.argmax(excess)), excess.shape))
        if before[k, t] > 0:
            budget = 2 * run.local_error / before[k, t]
            where = f"the recurrent state and its {k}-step counterpart, at input {t + 1}"
            seen.append((float(after[k, t] / before[k, t]), float(budget), where))
    measured, budget, where = max(seen, key=lambda item: item[0] - item[1])
    verdict = judge(
        "contractive",
        claimed_factor,
        Kind.UPPER,
        Observation(measured=np.array([measured]), budget=budget, arguments={"factor": run.lam}),
        label=run.of.label,
    )
    fail_refuted(
        f"the runs contradict lam={run.lam!r} in {run.norm}: one step multiplies the distance of "
        f"{where} of {run.of.label} by {measured!r}",
        verdict,
        arrays,
        single_hint(run.map, run.states)
        or "check_contraction with more trials, a larger factor, or another norm",
        of=run.map,
    )
