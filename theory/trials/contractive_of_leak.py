"""How `contractive_of_leak` is attacked: what is measured, and its near misses."""

from __future__ import annotations

from theory.arithmetic.rounding import UNIT
from theory.maps.esn import EchoStateNetwork
from theory.measure.observation import Observation
from theory.measure.run import Run
from theory.theorems.assumptions import IN_DOMAIN
from theory.theorems.contractive_of_leak import CONTRACTIVE_OF_LEAK
from theory.trials.trial import NearMiss, Trial


def inner_rate(run: Run) -> float | None:
    """Return the rate of the map without leak that a certificate rests on, if it rests on one."""
    cell, c = run.map, run.of.contraction
    if not isinstance(cell, EchoStateNetwork) or cell.one_leak is None:
        return None
    if not c.evidence.method.startswith("leak") or "(1 - a) I" in c.evidence.detail:
        return None
    # the certified rate is 1 - a + a r to two roundings
    return max(0.0, 1 - (1 - c.lam) / cell.one_leak) + 8 * UNIT / cell.one_leak


def observe(run: Run) -> Observation:
    """Measure the stretch of adversarial pairs of states under one step."""
    rate = inner_rate(run)
    assert rate is not None
    assert isinstance(run.map, EchoStateNetwork)
    ratios, budgets = run.trajectory_ratios
    own = 4 * run.norm.vector_rounding(run.map.state_dim) * ratios
    return Observation(
        measured=ratios,
        budget=budgets + own,
        arguments={"leak": float(run.map.leak[0]), "rate": rate},
    )


TRIAL = Trial(
    theorem=CONTRACTIVE_OF_LEAK,
    observe=observe,
    near_misses=(
        NearMiss(
            name="leak and 1 - leak exchanged",
            formula=lambda leak, rate: leak + rate - leak * rate,
        ),
        NearMiss(name="the rate without leak", formula=lambda leak, rate: rate + 0 * leak),
        NearMiss(name="states outside the domain", drops=IN_DOMAIN),
    ),
)
