"""Criteria of gated and leaky maps: gate norms, the published condition, comparison matrices.

Main names: `by_comparison`, `by_transition`, `by_gate_norms`, `by_delta_iss`, `gate_bound_matrix`,
`delta_iss_holds`.

Matrices M that majorise one step (`Map.comparison`) bound the distance of two trajectories of the
same inputs entry by entry; a weighted maximum norm in which they contract gives a rate.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from theory.arithmetic.gates import GateBounds, sigmoid_down, sigmoid_up, tanh_up
from theory.arithmetic.rounding import BOX_ROOM, down, product_up, up
from theory.certificates import Contraction, certified
from theory.domain import Domain
from theory.errors import check_nonnegative
from theory.maps.base import Map
from theory.maps.block import Block
from theory.maps.gru import GRU
from theory.maps.lstm import LSTM
from theory.norms.blocks import BlockMax
from theory.norms.norms import L2, Linf, Norm, WeightedLinf
from theory.theorems.contractive_of_comparison import contractive_of_comparison
from theory.theorems.contractive_of_gate_norms import contractive_of_gate_norms
from theory.theorems.contractive_of_gru_norms import contractive_of_gru_norms
from theory.typing import Array

#: What a rate is taken for where weights are chosen: a smaller one asks for larger weights.
_LEAST_RATE = 2.0**-10


def by_comparison(recurrent: Map, domain: Domain | None = None) -> Contraction | None:
    """Return the contraction by the comparison matrices of every unit, on a domain.

    For an LSTM the search for weights begins at those of `by_delta_iss`, so that it never ends at a
    larger rate.
    """
    matrices = recurrent.comparison(domain)
    if matrices is None:
        return None
    one_row = by_delta_iss(recurrent, domain) if isinstance(recurrent, LSTM) else None
    weights = one_row.norm.v if one_row and isinstance(one_row.norm, WeightedLinf) else None
    if weights is None:
        weights = _weights_without_outputs(matrices)
    return contractive_of_comparison(matrices, weights=weights, domain=domain)


def _weights_without_outputs(matrices: Sequence[Array]) -> Array | None:
    """Return weights from those of the states that a step reads; None if it reads all, or none.

    What is only given out, as by a `Block`, sets no rate: its weight v_i = (M v)_i / lam is as
    large as the others ask for.  A search of all weights together ends before it is so far.
    """
    largest = np.maximum.reduce(list(matrices))
    read = np.any(largest > 0, axis=0)
    if read.all() or not read.any():
        return None
    own = contractive_of_comparison([M[np.ix_(read, read)] for M in matrices])
    if own is None or not isinstance(own.norm, WeightedLinf):
        return None
    v = np.full(len(read), float(own.norm.v.min()))
    v[read] = own.norm.v
    needed = largest[:, read] @ own.norm.v / max(own.lam, _LEAST_RATE) * (1 + BOX_ROOM)
    return np.where(read, v, np.maximum(v, needed))


#: Weights of outputs are this much smaller, relatively, than the rate allows, for rounding.
_INSIDE = 2.0**-40


def by_transition(recurrent: Map, domain: Domain | None = None) -> Contraction | None:
    """Return the contraction in the Euclidean norm, of a block in it and a maximum of outputs.

    Of maps whose transition turns entries, as complex modes and delta rules do: entry by entry they
    need not shrink.  The outputs of a block weigh so little that the core alone sets the rate.
    """
    if recurrent.affine() is not None or recurrent.group_comparison(domain) is None:
        return None
    norm: Norm = L2()
    if isinstance(recurrent, Block) and recurrent.after is not None:
        n = recurrent.core.state_dim
        sizes = (n, recurrent.state_dim - n)
        gain = recurrent.output_gain(BlockMax([L2(), Linf()], sizes=sizes), domain)
        if gain is None or not np.isfinite(gain):
            return None
        weight = 1.0 if gain <= 1 else (1 - _INSIDE) / gain
        norm = BlockMax([L2(), Linf()], sizes=sizes, weights=[1.0, weight])
    rate = recurrent.state_lipschitz(norm, domain)
    if rate is None or not rate < 1:
        return None
    return certified(rate, norm, method="transition", domain=domain)


def _input_bound(domain: Domain | None) -> float | None:
    """Return the bound of |x_j| that a domain gives, None if there is none."""
    if domain is None:
        return None
    ends = np.maximum(np.abs(domain.input_low), np.abs(domain.input_high))
    bound = float(np.max(ends, initial=0.0))
    return bound if np.isfinite(bound) else None


def _holds_on(c: Contraction | None, domain: Domain | None) -> Contraction | None:
    """Return the contraction if its own domain holds the states asked about."""
    if c is None or c.domain is None or domain is None:
        return None
    inside = c.domain.contains_states(np.stack([domain.low, domain.high]))
    return c if inside else None


def by_gate_norms(recurrent: Map, domain: Domain | None = None) -> Contraction | None:
    """Return the contraction of an LSTM by row sums, in the maximum norm, on its own domain."""
    bound = _input_bound(domain)
    if not isinstance(recurrent, LSTM) or bound is None:
        return None
    parameters = recurrent.parameters
    found = contractive_of_gate_norms(**parameters, input_bound=bound)
    return _holds_on(found, domain)


def by_delta_iss(recurrent: Map, domain: Domain | None = None) -> Contraction | None:
    """Return the contraction by one row for all units, as published for LSTM and GRU.

    It is of the map on its own domain: |h| <= 1, and for an LSTM |c| <= i z / (1 - f), from the
    largest gates.
    """
    bound = _input_bound(domain)
    if bound is None:
        return None
    if isinstance(recurrent, GRU):
        found = contractive_of_gru_norms(
            **recurrent.parameters, variant=recurrent.variant, input_bound=bound
        )
        return _holds_on(found, domain)
    if not isinstance(recurrent, LSTM):
        return None
    made = gate_bound_matrix(recurrent, input_bound=bound)
    if made is None:
        return None
    M, cell = made
    pair = contractive_of_comparison([M])
    if pair is None or not isinstance(pair.norm, WeightedLinf):
        return None
    n, m = recurrent.units, recurrent.input_dim
    high, inputs = np.append(np.full(n, cell), np.ones(n)), np.full(m, bound)
    # the largest |dc| and |dh| obey M, so max(|dc| / v_1, |dh| / v_2) contracts by its rate
    lifted = certified(
        pair.lam,
        WeightedLinf(np.repeat(pair.norm.v, n)),
        method="comparison of gate bounds",
        detail=pair.evidence.detail,
        domain=Domain(low=-high, high=high, input_low=-inputs, input_high=inputs),
    )
    return _holds_on(lifted, domain)


def gate_bound_matrix(cell: LSTM, *, input_bound: float) -> tuple[Array, float] | None:
    r"""Return the (2, 2) comparison matrix of the largest |c| and |h|, and the bound of |c|.

    With i, f, o, z the largest gates over |h| <= 1 and |x_j| <= input_bound, c = i z / (1 - f),
    t = tanh(c) and row sums W,

        M = [ f    a           ]       a = z W_i / 4 + i W_z + c W_f / 4.
            [ o f  o a + t W_o / 4 ],

    Rounded upward; None if the largest forget gate is 1 to rounding.

    Raises
    ------
    ValueError
        If the bound is negative.
    """
    check_nonnegative(input_bound=input_bound)
    gates = {
        name: GateBounds.of(*cell.gate(name), inputs=float(input_bound))
        for name in ("i", "f", "g", "o")
    }
    i, f, o = (float(sigmoid_up(gates[name].largest_reach)) for name in ("i", "f", "o"))
    z = float(tanh_up(gates["g"].largest_reach))
    # `BOX_ROOM` raises the bound of |c|, so that its box is seen to be invariant despite rounding
    rest = down(float(sigmoid_down(-gates["f"].largest_reach)) * (1 - BOX_ROOM))
    if not rest > 0:
        return None
    c = up(product_up(i, z) / rest)
    t = float(tanh_up(c))

    def quarter(size: float, name: str) -> float:
        """Return size W_name / 4: the product first, as a quarter of W_name could underflow."""
        product = product_up(size, gates[name].largest_row)
        return up(product / 4) if product else 0.0

    a = up(up(quarter(z, "i") + product_up(i, gates["g"].largest_row)) + quarter(c, "f"))
    last = up(product_up(o, a) + quarter(t, "o"))
    return np.array([[f, a], [product_up(o, f), last]]), c


def delta_iss_holds(M: Array) -> bool:
    r"""Return whether tr M - 1 < det M < 1, for the (2, 2) matrix of `gate_bound_matrix`.

    In doubles, for comparison only.  It is the published condition for LSTM (Terzi, Bonassi, Farina
    and Scattolini, arXiv 1910.04024, as reconstructed), and by the criterion of Jury equivalent to
    a spectral radius below 1.
    """
    trace, determinant = M[0, 0] + M[1, 1], M[0, 0] * M[1, 1] - M[0, 1] * M[1, 0]
    return bool(trace - 1 < determinant < 1)
