"""How `norm_change` is attacked: what is measured, and its near misses."""

from __future__ import annotations

from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.norms.norms import over
from theory.theorems.assumptions import CONTRACTIVE
from theory.theorems.norm_change import NORM_CHANGE
from theory.trials.trial import NearMiss, Trial


def _observe(run: Run, outer: float, inner: float) -> Observation:
    k, t = run.gap_index
    norm = run.of.other_norm
    measured = run.pick(run.gap_table_in(norm))
    past = norm.vector_upper(run.states)[(t - k).astype(int)]
    drifts = run.drift(t) + run.drift(k) + run.drift(t - k)
    rounding = norm.vector_rounding(run.map.state_dim) * measured
    # a drift measured in the contraction's norm weighs at most `outer` in the other
    weight = over(norm, run.norm, n=run.map.state_dim)
    return Observation(
        measured=measured,
        budget=weight * drifts + rounding,
        arguments={"lam": run.lam, "k": k, "past": past, "outer": outer, "inner": inner},
    )


def observe(run: Run) -> Observation:
    """Measure the gap in the other norm for all k and all t >= k."""
    n = run.map.state_dim
    return _observe(
        run, over(run.of.other_norm, run.norm, n=n), over(run.norm, run.of.other_norm, n=n)
    )


TRIAL = Trial(
    theorem=NORM_CHANGE,
    observe=observe,
    near_misses=(
        NearMiss(
            name="no constants: the rate is taken over to the other norm",
            formula=lambda lam, k, past, outer, inner: lam**k * past,  # noqa: ARG005
        ),
        NearMiss(
            name="only the way out is paid",
            formula=lambda lam, k, past, outer, inner: outer * lam**k * past,  # noqa: ARG005
        ),
        NearMiss(
            name="only the way in is paid",
            formula=lambda lam, k, past, outer, inner: inner * lam**k * past,  # noqa: ARG005
        ),
        NearMiss(name="without contraction", drops=CONTRACTIVE),
    ),
)
