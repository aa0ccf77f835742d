r"""Contraction of an LSTM in the maximum norm, from the row sums of its gates.

Statement   |step(h, x) - step(g, x)| <= (forget + (W_i + W_o) / 4 + W_z + W_f / (4 * (1 - forget)))
                                         * |h - g|
Assumes     an LSTM, with states h = (c, y), whose forget gates stay below forget < 1 and whose
            gates have row sums W_i, W_f, W_z (the candidate), W_o; |h| = max_i |h_i|; all states in
            the domain |y| <= 1, |c| <= 1 / (1 - forget)
Kind        sharp, attained without recurrent weights, and approached with input gates that open and
            weights of the candidate only; with t_i = W_i / (1 - forget), t_o = W_o / (1 - forget),
            t_z = 4 W_z / (1 - forget), t_f = W_f / (1 - forget)**2 the factor is
            forget + (1 - forget) (t_i + t_z + t_f + t_o) / 4: the mean of the four slacks decides
Source      Miller and Hardt (ICLR 2019), proposition 2, as reconstructed: its condition is that all
            four slacks are below 1; one step in the maximum norm is this project's
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from theory.arithmetic.gates import GateBounds, sigmoid_down, sigmoid_up
from theory.arithmetic.rounding import BOX_ROOM, down, evaluate
from theory.certificates import Contraction, certified
from theory.domain import Domain
from theory.errors import as_matrix, as_vector, check_nonnegative
from theory.norms.norms import Linf
from theory.theorems.assumptions import IN_DOMAIN, LSTM_CELL, MAXIMUM_NORM
from theory.theorems.theorem import Kind, Theorem
from theory.typing import Scalar


def formula(forget: Scalar, W_i: Scalar, W_f: Scalar, W_z: Scalar, W_o: Scalar) -> Scalar:
    """Return the factor."""
    return forget + (W_i + W_o) / 4 + W_z + W_f / (4 * (1 - forget))


class GateNorms(NamedTuple):
    """The largest forget gate and the row sums of an LSTM's recurrent weights, rounded upward."""

    forget: float  # bound of all forget gates over |h| <= 1 and the inputs
    W_i: float
    W_f: float
    W_z: float  # of the candidate
    W_o: float

    @property
    def slacks(self) -> tuple[float, float, float, float]:
        """Return t_i, t_z, t_f, t_o: the published condition is that all are below 1.

        (At most 1 for t_z; in doubles, for display.)
        """
        rest = 1.0 - self.forget
        if rest <= 0:
            return (float("inf"),) * 4
        return self.W_i / rest, 4 * self.W_z / rest, self.W_f / rest**2, self.W_o / rest

    @property
    def published(self) -> bool:
        """Return whether the published condition (as reconstructed) holds."""
        t_i, t_z, t_f, t_o = self.slacks
        return t_i < 1 and t_z <= 1 and t_f < 1 and t_o < 1


def gate_norms(W: Any, U: Any, b: Any = None, *, input_bound: float) -> GateNorms:
    r"""Return sigma(|W_f| + input_bound |U_f| + |b_f|) and the row sums of the four gates.

    Parameters
    ----------
    W, U, b : (4 n, n), (4 n, m) and (4 n,) arrays
        Weights and bias, the rows of the gates i, f, g (the candidate), o one after another.
    input_bound : float
        Bound of |x_j| for every entry.

    Raises
    ------
    ValueError
        If shapes do not fit or a number is not finite, or the bound is negative.
    """
    check_nonnegative(input_bound=input_bound)
    recurrent = as_matrix("W", W)
    n = recurrent.shape[1]
    recurrent = as_matrix("W", W, rows=4 * n)
    driven = as_matrix("U", U, rows=4 * n)
    bias = as_vector("b", np.zeros(4 * n) if b is None else b, size=4 * n)
    i, f, z, o = (
        GateBounds.of(recurrent[rows], driven[rows], bias[rows], inputs=float(input_bound))
        for rows in (slice(k * n, (k + 1) * n) for k in range(4))
    )
    at = f.separate_reach
    # the part `BOX_ROOM` of 1 - forget makes room for rounding in the box |c| <= 1 / (1 - forget)
    rest = float(sigmoid_down(-at)) * (1 - BOX_ROOM)
    return GateNorms(
        forget=min(1.0, max(float(sigmoid_up(at)), 1 - rest)),
        W_i=i.largest_row,
        W_f=f.largest_row,
        W_z=z.largest_row,
        W_o=o.largest_row,
    )


def contractive_of_gate_norms(
    W: Any, U: Any, b: Any = None, *, input_bound: float
) -> Contraction | None:
    r"""Return the contraction of an LSTM in the maximum norm of (c, h), from row sums alone.

    Parameters
    ----------
    W, U, b : (4 n, n), (4 n, m) and (4 n,) arrays
        Weights and bias, the rows of the gates i, f, g (the candidate), o one after another
        (PyTorch's order).
    input_bound : float
        Bound of |x_j| for every entry.

    Returns
    -------
    Contraction or None
        On the domain |h| <= 1, |c| <= 1 / (1 - forget); None if the factor is not below 1.

    Raises
    ------
    ValueError
        If shapes do not fit or a number is not finite, or the bound is negative.

    Examples
    --------
    >>> W = [[0.1], [0.1], [0.1], [0.1]]
    >>> c = contractive_of_gate_norms(W, [[0.0]] * 4, input_bound=1.0)
    >>> round(c.lam, 3), c.domain.high.round(3).tolist()
    (0.728, [2.105, 1.0])
    """
    norms = gate_norms(W, U, b, input_bound=input_bound)
    if not norms.forget < 1:
        return None
    lam = evaluate(formula, **norms._asdict())
    n, m = np.shape(W)[1], np.shape(U)[1]
    # at most 1 / (1 - forget), and more than the gates need
    c = down(down(1.0 / (1.0 - norms.forget)))
    ends = np.append(np.full(n, c), np.ones(n))
    inputs = np.full(m, float(input_bound))
    return certified(
        lam,
        Linf(),
        method="gate norms",
        detail=f"forget gates below {norms.forget:.6g}",
        domain=Domain(low=-ends, high=ends, input_low=-inputs, input_high=inputs),
    )


CONTRACTIVE_OF_GATE_NORMS = Theorem(
    name="contractive_of_gate_norms",
    title="contraction of an LSTM by row sums of its gates",
    quantity=r"\frac{\|\phi(h, x) - \phi(g, x)\|_\infty}{\|h - g\|_\infty}",
    formula=formula,
    kind=Kind.SHARP,
    assumes=(LSTM_CELL, IN_DOMAIN, MAXIMUM_NORM),
    source="Miller and Hardt (ICLR 2019), proposition 2, as reconstructed; this project",
    criterion=True,
)
