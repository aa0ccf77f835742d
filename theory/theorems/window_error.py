r"""The converse: what every model of the last k inputs must err.

Statement   max |y_t - g(last k inputs)| >= lipschitz * gain * input_bound * lam**k
            * (1 - lam**(t - k)) / (1 - lam)
Assumes     the family h <- lam*h + gain*x, y = lipschitz*h, |x| <= input_bound; any function g
Kind        lower; equal to the upper bound of the k-step counterpart, so restarting from zero is
            minimax optimal and the required context of `context_length` is necessary
Source      this project (two histories with a common tail)
"""

from __future__ import annotations

from theory.arithmetic.rounding import evaluate
from theory.certificates import Contraction, check_one_step
from theory.errors import check_count, check_nonnegative
from theory.theorems.assumptions import SCALAR_LINEAR
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


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


WINDOW_ERROR = Theorem(
    name="window_error",
    title="converse: no model of k inputs does better",
    quantity=r"\sup_x |y_t - g(x_{t-k+1}, \dots, x_t)|",
    formula=formula,
    kind=Kind.LOWER,
    assumes=(SCALAR_LINEAR,),
    source="this project",
)
