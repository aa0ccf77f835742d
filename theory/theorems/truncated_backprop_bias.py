r"""Bias of truncated backpropagation: the state is carried, the gradient is cut after k steps.

Statement   |grad p_t - g_k| <= lam**k * loss_gain * weight_gain * (1 - lam**(t - k)) / (1 - lam)
Assumes     contractive; weight_gain bounds step_w; |grad p|_* <= loss_gain; k <= t
Kind        sharp, attained by h -> lam*h + w, p(h) = h
Source      this project; Aicher, Foti and Fox (UAI 2020) with one decay rate for all lags
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from theory.certificates import Contraction, check_one_step
from theory.errors import check_count, check_nonnegative
from theory.rounding import evaluate
from theory.theorem import Kind, NearMiss, Observation, Theorem
from theory.theorems.assumptions import CONTRACTIVE_SET, LOSS_LIPSCHITZ, WEIGHT_LIPSCHITZ
from theory.typing import Scalar

if TYPE_CHECKING:
    from theory.measure import Run


def formula(lam: Scalar, k: Scalar, t: Scalar, weight_gain: Scalar, loss_gain: Scalar) -> Scalar:
    """Return the right-hand side."""
    return lam**k * loss_gain * weight_gain * (1 - lam ** (t - k)) / (1 - lam)


def truncated_backprop_bias(
    c: Contraction, *, k: int, t: int, weight_gain: float, loss_gain: float
) -> float:
    """Bound the bias of the gradient that truncated backpropagation gives for the loss at time t.

    Parameters
    ----------
    c : Contraction
    k, t : int
        Steps kept, and inputs received.
    weight_gain : float
        L_w, see `theory.constants.map_constants`.
    loss_gain : float
        L_p, see `theory.losses.loss_constants`.

    Returns
    -------
    float
        An upper bound, rounded outward; 0 for t <= k.

    Raises
    ------
    ValueError
        If `c` is not a one-step contraction, a count is not one, or a size is negative.

    Examples
    --------
    >>> truncated_backprop_bias(Contraction.assumed(0.5), k=1, t=2, weight_gain=1.0, loss_gain=1.0)
    0.5
    """
    check_one_step(c)
    check_count(k=k, t=t)
    check_nonnegative(weight_gain=weight_gain, loss_gain=loss_gain)
    if t <= k:
        return 0.0
    return evaluate(
        formula, lam=c.lam, k=int(k), t=int(t), weight_gain=weight_gain, loss_gain=loss_gain
    )


def observe(run: Run) -> Observation:
    """Measure the bias at a few times and lengths."""
    import numpy as np

    from theory.norms import L2

    learning = run.learning
    assert learning is not None
    c = learning.own
    assert c is not None
    rows = []
    for t in learning.times:
        gain, _ = learning.loss_constants(c, t)
        whole = learning.gradient(t)
        for k in learning.lengths(t):
            measured = float(L2().vector(whole - learning.cut_gradient(t, k)))
            rows.append((measured, float(k), float(t), gain))
    table = np.array(rows).reshape(-1, 4).T
    size = sum(run.map.parameters[name].size for name in learning.setup.trained)
    return Observation(
        measured=table[0],
        budget=2 * learning.gradient_error(c) + L2().vector_rounding(size) * table[0],
        arguments={
            "lam": c.lam, "k": table[1], "t": table[2], "weight_gain": c.weight_gain,
            "loss_gain": table[3],
        },
    )  # fmt: skip


TRUNCATED_BACKPROP_BIAS = Theorem(
    name="truncated_backprop_bias",
    title="bias of truncated backpropagation",
    quantity=r"\|\nabla p_t - g_k\|",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(CONTRACTIVE_SET, WEIGHT_LIPSCHITZ, LOSS_LIPSCHITZ),
    source="this project; Aicher, Foti and Fox (UAI 2020) with one decay rate for all lags",
    observe=observe,
    near_misses=(
        NearMiss(
            name="one power of lam too many",
            formula=lambda lam, k, t, weight_gain, loss_gain: (
                lam ** (k + 1) * loss_gain * weight_gain * (1 - lam ** (t - k)) / (1 - lam)
            ),
        ),
        NearMiss(
            name="geometric factor dropped",
            formula=lambda lam, k, t, weight_gain, loss_gain: (  # noqa: ARG005
                lam**k * loss_gain * weight_gain
            ),
        ),
    ),
)
