r"""Lipschitz dependence of the state on the parameters.

Statement   |h_t(w) - h_t(v)| <= distance * weight_gain * (1 - lam**t) / (1 - lam)
Assumes     every map between w and v contracts by lam; |step_w(h, x) - step_v(h, x)| <=
            weight_gain * |w - v|; |w - v| <= distance; the same start and the same inputs.  The
            same bounds the derivative of h_t in w, and with k for t the k-step model
Kind        sharp, attained by h -> lam*h + w
Source      Miller and Hardt (ICLR 2019), appendix, as reconstructed; with finite t: this project
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from theory.certificates import Contraction, check_one_step
from theory.errors import check_count, check_nonnegative
from theory.rounding import evaluate
from theory.theorem import Kind, NearMiss, Observation, Theorem
from theory.theorems.assumptions import CONTRACTIVE_SET, SAME_START, WEIGHT_LIPSCHITZ
from theory.typing import Scalar

if TYPE_CHECKING:
    from theory.measure import Run


def formula(lam: Scalar, t: Scalar, weight_gain: Scalar, distance: Scalar) -> Scalar:
    """Return the right-hand side."""
    return distance * weight_gain * (1 - lam**t) / (1 - lam)


def parameter_gap(c: Contraction, *, t: int, weight_gain: float, distance: float) -> float:
    """Bound the distance of the states of two parameter vectors after t equal inputs.

    Parameters
    ----------
    c : Contraction
        Of every map between the two.
    t : int
        Number of inputs.
    weight_gain : float
        L_w, see `theory.constants.map_constants`.
    distance : float
        Bound of |w - v|, the Euclidean distance of the parameters.

    Returns
    -------
    float
        An upper bound, rounded outward.

    Raises
    ------
    ValueError
        If `c` is not a one-step contraction, t is not a count, or a size is negative.

    Examples
    --------
    >>> parameter_gap(Contraction.assumed(0.5), t=2, weight_gain=2.0, distance=0.5)
    1.5
    """
    check_one_step(c)
    check_count(t=t)
    check_nonnegative(weight_gain=weight_gain, distance=distance)
    return evaluate(formula, lam=c.lam, t=int(t), weight_gain=weight_gain, distance=distance)


def observe(run: Run) -> Observation:
    """Measure the distance of the states of both parameter vectors from rest, at all times."""
    import numpy as np

    learning = run.learning
    assert learning is not None
    c = learning.pair
    assert c is not None
    x = run.of.inputs
    pair = run.map.simulate(x), learning.setup.other.simulate(x)
    measured = run.norm.vector(pair[0] - pair[1])
    budget = 2 * learning.state_error(c) + run.norm.vector_rounding(run.map.state_dim) * measured
    return Observation(
        measured=measured,
        budget=budget,
        arguments={
            "lam": c.lam,
            "t": np.arange(1.0, len(x) + 1),
            "weight_gain": c.weight_gain,
            "distance": learning.distance(run.map, learning.setup.other),
        },
    )


PARAMETER_GAP = Theorem(
    name="parameter_gap",
    title="Lipschitz in the parameters",
    quantity=r"\|h_t(w) - h_t(v)\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(CONTRACTIVE_SET, WEIGHT_LIPSCHITZ, SAME_START),
    source="Miller and Hardt (ICLR 2019), appendix, as reconstructed; with finite t: this project",
    observe=observe,
    near_misses=(
        NearMiss(
            name="geometric factor dropped",
            formula=lambda lam, t, weight_gain, distance: distance * weight_gain,  # noqa: ARG005
        ),
        NearMiss(
            name="one step fewer",
            formula=lambda lam, t, weight_gain, distance: (
                distance * weight_gain * (1 - lam ** (t - 1)) / (1 - lam)
            ),
        ),
    ),
)
