r"""The converse: what every model of the last k inputs must err.

Statement   max |y_t - g(last k inputs)| >= lipschitz * gain * input_bound * lam**k
            * (1 - lam**(t - k)) / (1 - lam)
Assumes     the family h <- lam*h + gain*x, y = lipschitz*h, |x| <= input_bound; any function g
Kind        lower; equal to the upper bound of the k-step counterpart, so restarting from zero is
            minimax optimal and the required context of `context_length` is necessary
Source      this project (two histories with a common tail)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from theory.certificates import Contraction, check_one_step
from theory.errors import check_count, check_nonnegative
from theory.rounding import evaluate
from theory.theorem import Kind, NearMiss, Observation, Theorem
from theory.theorems.assumptions import SCALAR_LINEAR
from theory.typing import Scalar

if TYPE_CHECKING:
    from theory.measure import Run


def formula(
    lam: Scalar, k: Scalar, t: Scalar, gain: Scalar, input_bound: Scalar, lipschitz: Scalar
) -> Scalar:
    """Return the right-hand side."""
    return lipschitz * gain * input_bound * lam**k * (1 - lam ** (t - k)) / (1 - lam)


def window_error(
    c: Contraction,
    *,
    k: int,
    t: int,
    gain: float,
    input_bound: float,
    lipschitz: float = 1.0,
) -> float:
    """Return the error that no function of the last k inputs can avoid on the scalar family.

    Parameters
    ----------
    c : Contraction
        Only its factor is used.
    k, t : int
        Inputs seen by the function, and received by the recurrent model.
    gain, input_bound, lipschitz : float
        L_x, B_x and L_f of the family.

    Returns
    -------
    float
        A lower bound, rounded downward; 0 for t <= k.

    Raises
    ------
    ValueError
        If `c` is not a one-step contraction, a count is not one, or a size is negative.

    Examples
    --------
    >>> window_error(Contraction.assumed(0.5), k=1, t=2, gain=1.0, input_bound=1.0)
    0.5
    """
    check_one_step(c)
    check_count(k=k, t=t)
    check_nonnegative(gain=gain, input_bound=input_bound, lipschitz=lipschitz)
    if t <= k:
        return 0.0
    return evaluate(
        formula,
        upward=False,
        lam=c.lam,
        k=int(k),
        t=int(t),
        gain=gain,
        input_bound=input_bound,
        lipschitz=lipschitz,
    )


def observe(run: Run) -> Observation:
    """Run two histories at +B and -B with a common tail, and halve the distance of the outputs.

    Whatever a function of the tail answers, it errs by at least that on one of the two.
    """
    import numpy as np

    t = len(run.of.inputs)
    bound = float(np.max(np.abs(run.of.inputs), initial=0.0))
    lengths = np.arange(min(run.of.k_max, t) + 1)
    # |c|, |u| and |a| of the scalar family are read from the map; signs do not matter
    form = run.map.affine()
    assert form is not None
    tails = np.broadcast_to(run.of.inputs, (len(lengths), t, 1)).copy()
    before = np.arange(t) < (t - lengths)[:, None]
    high, low = tails.copy(), tails.copy()
    high[before], low[before] = bound, -bound
    ends = [run.of.head(run.map.simulate(x)[:, -1]) for x in (high, low)]
    measured = np.abs(ends[0] - ends[1])[:, 0] / 2
    lipschitz, gain = abs(float(run.of.head.C[0, 0])), abs(float(form.U[0, 0]))
    scale = lipschitz * gain * bound / (1 - run.lam)
    error = lipschitz * run.drift(float(t)) + scale * run.norm.vector_rounding(4)
    return Observation(
        measured=measured,
        budget=error + np.zeros(len(lengths)),
        arguments={
            "lam": run.lam,
            "k": lengths.astype(np.float64),
            "t": float(t),
            "gain": gain,
            "input_bound": bound,
            "lipschitz": lipschitz,
        },
    )


WINDOW_ERROR = Theorem(
    name="window_error",
    title="converse: no model of k inputs does better",
    quantity=r"\sup_x |y_t - g(x_{t-k+1}, \dots, x_t)|",
    formula=formula,
    kind=Kind.LOWER,
    assumes=(SCALAR_LINEAR,),
    source="this project",
    observe=observe,
    near_misses=(
        NearMiss(
            name="history one input too long",
            formula=lambda lam, k, t, gain, input_bound, lipschitz: (
                lipschitz * gain * input_bound * lam**k * (1 - lam ** (t - k + 1)) / (1 - lam)
            ),
        ),
        NearMiss(
            name="history taken as infinite",
            formula=lambda lam, k, t, gain, input_bound, lipschitz: (  # noqa: ARG005
                lipschitz * gain * input_bound * lam**k / (1 - lam)
            ),
        ),
        NearMiss(
            name="distance of the histories not halved",
            formula=lambda lam, k, t, gain, input_bound, lipschitz: (
                2 * lipschitz * gain * input_bound * lam**k * (1 - lam ** (t - k)) / (1 - lam)
            ),
        ),
    ),
)
