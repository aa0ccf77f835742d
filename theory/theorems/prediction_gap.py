r"""Prediction gap after training: the recurrent twin against the k-step model of the other twin.

Statement   |y_t(w) - y_t^k(v)| <= lipschitz * (weight_gain * distance + lam**k * drive) / (1 - lam)
Assumes     every map between w and v contracts by lam; |step_w(h, x) - step_v(h, x)| <=
            weight_gain * |w - v|; |w - v| <= distance; |step_v(0, x_t)| <= drive; y = f(h) with f
            lipschitz-Lipschitz; h_0 = 0, restart from 0
Kind        sharp, attained in the limit of long histories by h -> lam*h + v, w = v + distance
Source      Miller and Hardt (ICLR 2019), Theorem 1, as reconstructed
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from theory.certificates import Contraction, check_one_step, drive_size
from theory.errors import check_count, check_nonnegative
from theory.inputs import Drive
from theory.rounding import evaluate
from theory.theorem import Kind, NearMiss, Observation, Theorem
from theory.theorems.assumptions import (
    CONTRACTIVE_SET,
    DRIVE_BOUNDED,
    OUTPUT_LIPSCHITZ,
    SAME_START,
    WEIGHT_LIPSCHITZ,
    ZERO_START,
)
from theory.typing import Array, Scalar

if TYPE_CHECKING:
    from theory.constants import MapConstants
    from theory.maps.base import Map
    from theory.measure import Run


def formula(
    lam: Scalar, k: Scalar, drive: Scalar, weight_gain: Scalar, lipschitz: Scalar, distance: Scalar
) -> Scalar:
    """Return the right-hand side."""
    return lipschitz * (weight_gain * distance + lam**k * drive) / (1 - lam)


def prediction_gap(
    c: Contraction,
    *,
    k: int,
    drive: float | Drive,
    weight_gain: float,
    distance: float,
    lipschitz: float = 1.0,
) -> float:
    """Bound the distance of the outputs of the recurrent model of w and the k-step model of v.

    Parameters
    ----------
    c : Contraction
        Of every map between the two.
    k : int
        Number of inputs that the k-step model sees.
    drive : float or Drive
        Bound of |step_v(0, x_t)|.
    weight_gain : float
        L_w, see `theory.constants.map_constants`.
    distance : float
        Bound of |w - v|: measured, or from `weight_gap`.
    lipschitz : float
        L_f; 1 for the state itself.

    Returns
    -------
    float
        An upper bound, rounded outward.

    Raises
    ------
    ValueError
        If `c` is not a one-step contraction, k is not a count, or a size is negative.

    Examples
    --------
    >>> prediction_gap(Contraction.assumed(0.5), k=2, drive=1.0, weight_gain=1.0, distance=0.25)
    1.0
    """
    check_one_step(c)
    check_count(k=k)
    check_nonnegative(weight_gain=weight_gain, distance=distance, lipschitz=lipschitz)
    size = drive_size(c, drive)
    return evaluate(
        formula, lam=c.lam, k=int(k), drive=size, weight_gain=weight_gain, lipschitz=lipschitz,
        distance=distance,
    )  # fmt: skip


def measured_gap(run: Run, k: int, w: Map, v: Map, c: MapConstants) -> tuple[Array, float]:
    """Return |y_t(w) - y_t^k(v)| at all times after k, and a budget."""
    import numpy as np

    from theory.gradients import readout_of
    from theory.rounding import inner_product_error
    from theory.truncation import truncate

    learning = run.learning
    assert learning is not None
    outputs = run.norm.companion
    C = learning.full_C
    x = run.of.inputs
    long, short = w.simulate(x), truncate(v, k).states(x)
    read = readout_of(run.map, learning.head).T
    apart = learning.head(long @ read) - learning.head(short @ read)
    measured = np.asarray(outputs.vector(apart[k:]))
    reach = c.state_bound * getattr(run.norm, "v", np.ones(run.map.state_dim))
    size = np.abs(C) @ reach + np.abs(learning.head.d)
    error = 2 * outputs.majorant(inner_product_error(size, C.shape[1] + 1))
    drifts = 2 * outputs.matrix_upper(C, run.norm) * learning.state_error(c)
    rounding = outputs.vector_rounding(len(C)) * float(np.max(measured, initial=0.0))
    return measured, drifts + error + rounding


def observe(run: Run) -> Observation:
    """Measure the gap between the map and the truncated other one, and between trained twins."""
    import numpy as np

    learning = run.learning
    assert learning is not None
    rows = []
    lengths = learning.lengths(learning.T)
    cases = [(k, run.map, learning.setup.other, learning.pair) for k in lengths]
    if learning.setup.steps:
        cases += [
            (k, learning.descent().model, learning.descent(k).model, learning.met(k))
            for k in lengths[:2]
        ]
    gain = run.norm.companion.matrix_upper(learning.full_C, run.norm)
    for k, w, v, c in cases:
        if c is None:
            continue
        measured, budget = measured_gap(run, k, w, v, c)
        drive = v.drive(run.norm, inputs=run.of.inputs)
        rows.append(
            (float(np.max(measured)), budget, c.lam, float(k), drive, c.weight_gain,
             learning.distance(w, v))
        )  # fmt: skip
    table = np.array(rows).reshape(-1, 7).T
    return Observation(
        measured=table[0],
        budget=table[1],
        arguments={
            "lam": table[2], "k": table[3], "drive": table[4], "weight_gain": table[5],
            "lipschitz": gain, "distance": table[6],
        },
    )  # fmt: skip


PREDICTION_GAP = Theorem(
    name="prediction_gap",
    title="prediction gap after training",
    quantity=r"\|y_t(w) - y_t^k(v)\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(
        CONTRACTIVE_SET,
        WEIGHT_LIPSCHITZ,
        SAME_START,
        DRIVE_BOUNDED,
        OUTPUT_LIPSCHITZ,
        ZERO_START,
    ),
    source="Miller and Hardt (ICLR 2019), Theorem 1, as reconstructed",
    observe=observe,
    near_misses=(
        NearMiss(
            name="distance of the weights alone",
            formula=lambda lam, k, drive, weight_gain, lipschitz, distance: (  # noqa: ARG005
                lipschitz * weight_gain * distance / (1 - lam)
            ),
        ),
        NearMiss(
            name="truncation alone",
            formula=lambda lam, k, drive, weight_gain, lipschitz, distance: (  # noqa: ARG005
                lipschitz * lam**k * drive / (1 - lam)
            ),
        ),
    ),
)
