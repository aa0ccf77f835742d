r"""Comparison systems: certificates of gated and leaky maps, and gaps entry by entry.

Main names: `by_comparison`, `by_delta_iss`, `by_gate_norms`, `gate_bound_matrix`,
`delta_iss_holds`, `componentwise_gap`, `componentwise_context`, `layer_rates`, `layer_gaps`.

Matrices M that majorise one step (`Map.comparison`) bound the distance of two trajectories of the
same inputs entry by entry: |h_t - g_t| <= max_M M |h_{t-1} - g_{t-1}|.  A weighted maximum norm in
which they contract gives a rate; carried on entry by entry they give more, since the gap of an
output needs no conversion of norms.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

import numpy as np

from theory.activations import SIGMOID, TANH
from theory.certificates import Contraction
from theory.domain import Domain
from theory.errors import as_vector, check_count, check_nonnegative, check_positive
from theory.intervals import product_matrix_up
from theory.invariance import check_invariant
from theory.maps.base import Map
from theory.maps.cascade import Cascade
from theory.maps.gates import largest
from theory.maps.gru import GRU
from theory.maps.lstm import LSTM
from theory.norms import L2, Linf, Norm, WeightedLinf
from theory.rounding import UNIT, down, inner_product_error, product_up, up
from theory.theorems.contractive_of_comparison import contractive_of_comparison
from theory.theorems.contractive_of_gate_norms import contractive_of_gate_norms
from theory.theorems.contractive_of_gru_norms import contractive_of_gru_norms
from theory.truncation import LinearHead, truncate
from theory.typing import Array

if TYPE_CHECKING:
    from theory.measure import Run

# ------------------------------------------------------------------------------------- certificates


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
    return contractive_of_comparison(matrices, weights=weights, domain=domain)


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
    lifted = Contraction(
        lam=pair.lam,
        norm=WeightedLinf(np.repeat(pair.norm.v, n)),
        evidence=replace(pair.evidence, method="comparison of gate bounds"),
        domain=Domain(low=-high, high=high, input_low=-inputs, input_high=inputs),
    )
    return _holds_on(lifted, domain)


#: By how much the bound of |c| is raised, so that its box is seen to be invariant despite rounding.
_ROOM = 2.0**-24


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
    norm, at, rest, row = Linf(), {}, {}, {}
    for name in ("i", "f", "g", "o"):
        W, U, b = cell.gate(name)
        scaled = np.where(U == 0, 0.0, np.nextafter(np.abs(U) * float(input_bound), np.inf))
        reach = norm.matrix_upper(np.hstack([W, scaled, b[:, None]]))
        at[name] = float(largest(TANH if name == "g" else SIGMOID, np.array(reach)))
        rest[name] = down(float(SIGMOID(np.array(-reach))) * (1 - _ROOM))
        row[name] = norm.matrix_upper(W)
    f, z, o = at["f"], at["g"], at["o"]
    if not rest["f"] > 0:
        return None
    c = up(product_up(at["i"], z) / rest["f"])
    t = float(largest(TANH, np.array(c)))
    a = up(
        up(product_up(z, row["i"] / 4) + product_up(at["i"], row["g"]))
        + product_up(c, row["f"] / 4)
    )
    last = up(product_up(o, a) + product_up(t, row["o"] / 4))
    return np.array([[f, a], [product_up(o, f), last]]), c


def delta_iss_holds(M: Array) -> bool:
    r"""Return whether tr M - 1 < det M < 1, for the (2, 2) matrix of `gate_bound_matrix`.

    In doubles, for comparison only.  It is the published condition for LSTM (Terzi, Bonassi, Farina
    and Scattolini, arXiv 1910.04024, as reconstructed), and by the criterion of Jury equivalent to
    a spectral radius below 1.
    """
    trace, determinant = M[0, 0] + M[1, 1], M[0, 0] * M[1, 1] - M[0, 1] * M[1, 0]
    return bool(trace - 1 < determinant < 1)


# --------------------------------------------------------------------------------------------- gaps


def _matrices(recurrent: Map, domain: Domain | None) -> tuple[Array, ...]:
    found = recurrent.comparison(domain)
    if found is None:
        raise ValueError(
            f"no matrix is known that majorises a step of {recurrent!r} on this domain; give "
            "domain=theory.invariant_domain(map, inputs=...)"
        )
    return found


def _check_stays(recurrent: Map, domain: Domain | None) -> None:
    """Raise unless it is proved that no state that starts in the domain leaves it.

    The matrices bound one step from states of the domain.  That |h_t - h_t^k| <= M^k |h_{t-k}|
    needs every step of both models to start there: both start in the box, which holds 0, and stay
    in it if it is forward invariant under the inputs of the domain.
    """
    if domain is not None:
        check_invariant(recurrent, domain)


def advanced(matrices: tuple[Array, ...], gap: Array) -> Array:
    """Return an upper bound of max_M M gap, entry by entry."""
    images = []
    for M in matrices:
        image = M @ gap
        image = image + inner_product_error(image, M.shape[1])
        # a row that meets only zeros stays zero
        images.append(np.where((M > 0) @ (gap > 0), np.nextafter(image, np.inf), 0.0))
    result: Array = np.maximum.reduce(images)
    return result


def componentwise_gap(
    recurrent: Map, domain: Domain | None = None, *, k: int, past: Any = None
) -> Array:
    r"""Bound the state gap entry by entry: |h_t - h_t^k| <= M^k |h_{t-k}|.

    Sharper than a rate, as no norms are converted: an output C h is off by at most |C| times it.

    Parameters
    ----------
    recurrent : Map
        Restarted from 0 k steps back.
    domain : Domain, optional
        Where the states are, a box that the map never leaves, which is checked; everywhere by
        default.
    k : int
        Number of inputs that the truncated model sees.
    past : (n,) array, optional
        |h_{t-k}|, the sizes of one stored state; by default what the domain allows.

    Returns
    -------
    (n,) array
        An upper bound, rounded outward.

    Raises
    ------
    ValueError
        If no matrix majorises the map there, the domain is not proved invariant, k is not a count,
        a size is negative or of no state of the domain, or neither a domain nor a state is given.

    Examples
    --------
    >>> from theory import LinearMap
    >>> shift = LinearMap([[0.0, 5.0], [0.0, 0.0]], [[1.0], [1.0]])
    >>> componentwise_gap(shift, k=1, past=[1.0, 1.0]).round(6).tolist()
    [5.0, 0.0]
    >>> componentwise_gap(shift, k=2, past=[1.0, 1.0]).tolist()
    [0.0, 0.0]
    """
    check_count(k=k)
    _check_stays(recurrent, domain)
    gap = _past(recurrent, domain, past)
    matrices = _matrices(recurrent, domain)
    for _ in range(int(k)):
        gap = advanced(matrices, gap)
    return gap


def _past(recurrent: Map, domain: Domain | None, past: Any) -> Array:
    if past is None:
        if domain is None:
            raise ValueError(
                "received neither domain= nor past=, needed one of them to bound the state where "
                "the window begins"
            )
        return domain.reach
    sizes = as_vector("past", past, size=recurrent.state_dim)
    if not bool(np.all(sizes >= 0)):
        raise ValueError(f"past has least entry {np.min(sizes)}, needed sizes |h_i|")
    if domain is not None and not bool(np.all(sizes <= domain.reach)):
        i = int(np.argmin(sizes <= domain.reach))
        raise ValueError(
            f"past[{i}]={sizes[i]:.17g} is the size of no state of the domain, where it is at most "
            f"{domain.reach[i]:.17g}; needed a state in the domain"
        )
    return sizes


#: Contexts longer than this are not looked for entry by entry.
LONGEST_CONTEXT = 100_000

#: Multiplications that the search for a context may take; about two seconds.
_WORK = 2.0**32


def componentwise_context(
    recurrent: Map,
    domain: Domain,
    *,
    eps: float,
    head: LinearHead | None = None,
    norm: Norm | None = None,
) -> int | None:
    r"""Return the least k for which `componentwise_gap` proves an error of at most eps.

    Parameters
    ----------
    recurrent : Map
        Started in the domain, and restarted from 0.
    domain : Domain
        A box that the map never leaves, which is checked.
    eps : float
        Allowed error of the state, or of the outputs of `head`.
    head : LinearHead, optional
    norm : Norm, optional
        A monotone norm of the error, `L2` by default.

    Returns
    -------
    int or None
        None if it is not reached within `LONGEST_CONTEXT` steps or about two seconds.

    Raises
    ------
    ValueError
        If eps is not positive, no matrix majorises the map there, the domain is not proved
        invariant, or the norm is not monotone.
    """
    check_positive(eps=eps)
    measure = L2() if norm is None else norm
    if not measure.monotone:
        raise ValueError(f"{measure} is not monotone, needed a norm of entrywise bounds")
    _check_stays(recurrent, domain)
    matrices, gap = _matrices(recurrent, domain), domain.reach
    C = None if head is None else (np.abs(head.C),)
    last = min(LONGEST_CONTEXT, int(_WORK / (len(matrices) * recurrent.state_dim**2)))
    for k in range(last + 1):
        seen = gap if C is None else advanced(C, gap)
        if measure.majorant(seen) <= eps:
            return k
        gap = advanced(matrices, gap)
    return None


# ------------------------------------------------------------------------------------------- layers


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class LayerRates:
    """The layers of a cascade as one number each."""

    rates: Array  # lambda_l, the contraction of layer l in its norm, (L,)
    gains: Array  # L_l, of layer l in the state of the layer below, between their norms; L_0 = 0
    norms: tuple[Norm, ...]  # the layers' norms
    slices: tuple[slice, ...]  # where each layer's state is

    @property
    def matrix(self) -> Array:
        r"""Return (I - N)^-1 diag(rates), (L, L), rounded upward; N holds the gains, one below.

        The new differences obey e_l+ <= rate_l e_l + gain_l e_{l-1}+: entry (l, j) is
        rate_j gain_{j+1} ... gain_l.
        """
        count = len(self.rates)
        M = np.zeros((count, count))
        for j in range(count):
            M[j, j] = self.rates[j]
            for row in range(j + 1, count):
                M[row, j] = product_up(M[row - 1, j], float(self.gains[row]))
        return M


def layer_rates(recurrent: Map, domain: Domain | None = None) -> LayerRates | None:
    r"""Return the rates and gains of the layers of a cascade, each in the best of its norms.

    None if it is no cascade, or a layer has no certificate in a monotone norm or no known gain.

    Raises
    ------
    ValueError
        If the domain is not proved invariant.
    """
    from theory.certify import tried

    if not isinstance(recurrent, Cascade):
        return None
    parts: tuple[Domain | None, ...] | None = (None,) * len(recurrent.layers)
    if domain is not None:
        # Let B = B_1 x .. x B_L be the box, X_1 its inputs, and I_l the enclosure of the image of
        # B_l under X_l; layer l + 1 sees X_{l+1} = C_l I_l + d_l.  The image of the cascade is
        # I_1 x .. x I_L, so B is invariant iff I_l lies in B_l for every l, that is, iff every part
        # (B_l, X_l) is invariant under its layer.  The check of the whole is that of the parts.
        check_invariant(recurrent, domain)
        parts = recurrent.layer_domains(domain)
    if parts is None:
        return None
    rates: list[float] = []
    gains: list[float] = []
    norms: list[Norm] = []
    for number, (layer, part) in enumerate(zip(recurrent.layers, parts, strict=True)):
        found = [c for c in tried(layer, 0, part).values() if c.norm.monotone and c.iterate == 1]
        seen = layer.input_comparison(part)
        if not found or seen is None:
            return None
        best = min(found, key=lambda c: c.lam)
        gain = 0.0
        if number:
            through = product_matrix_up(seen, np.abs(recurrent.readouts[number - 1].C))
            gain = best.norm.matrix_upper(through, norms[-1])
        rates.append(best.lam)
        gains.append(gain)
        norms.append(best.norm)
    return LayerRates(
        rates=np.array(rates),
        gains=np.array(gains),
        norms=tuple(norms),
        slices=recurrent.slices,
    )


def layer_gaps(
    recurrent: Map, domain: Domain | None = None, *, k: int, past: Any = None
) -> Array | None:
    r"""Bound the gap of every layer of a cascade, in the layer's norm, from rates and gains.

    Parameters
    ----------
    recurrent : Map
        A `Cascade`, restarted from 0 k steps back.
    domain : Domain, optional
        Where the states are, a box that the map never leaves, which is checked; everywhere by
        default.
    k : int
        Number of inputs that the truncated model sees.
    past : (n,) array, optional
        |h_{t-k}|, the sizes of one stored state; by default what the domain allows.

    Returns
    -------
    (L,) array or None
        M^k times the layers' sizes, with M of `LayerRates`: of order k^l max(lambda)^k in layer l.
        None if a layer has no rate or gain.

    Raises
    ------
    ValueError
        If k is not a count, the domain is not proved invariant, a size is negative or of no state
        of the domain, or neither a domain nor a state is given.

    Examples
    --------
    >>> from theory import Cascade, LinearMap
    >>> stack = Cascade([LinearMap([[0.9]], [[1.0]]), LinearMap([[0.9]], [[0.5]])])
    >>> layer_gaps(stack, k=12, past=[10.0, 50.0]).round(6).tolist()
    [2.824295, 31.067249]
    """
    check_count(k=k)
    _check_stays(recurrent, domain)
    sizes = _past(recurrent, domain, past)
    found = layer_rates(recurrent, domain)
    if found is None:
        return None
    gap = np.array(
        [norm.majorant(sizes[rows]) for norm, rows in zip(found.norms, found.slices, strict=True)]
    )
    M = (found.matrix,)
    for _ in range(int(k)):
        gap = advanced(M, gap)
    return gap


def layer_gap_tables(
    run: Run, found: LayerRates
) -> tuple[Array, Array, tuple[Array, ...], Array, Array]:
    """Measure the top layer's gap: values, budgets, sizes of all layers' states, k and t.

    The budget follows the rounding errors up the layers: with local errors d_l the drifts obey
    e_l <= rate_l e_l + d_l + gain_l e_{l-1}.
    """
    k, t = run.gap_index
    keep = k < t
    k, t = k[keep], t[keep]
    top, norm = found.slices[-1], found.norms[-1]
    table = np.zeros((run.of.k_max + 1, len(run.of.inputs)))
    for length in range(run.of.k_max + 1):
        counterpart = truncate(run.map, length, restart=run.of.restart)
        apart = run.states[1:] - counterpart.states(run.of.inputs, run.of.start)
        table[length] = norm.vector(apart[:, top])
    measured = table[k.astype(int), t.astype(int) - 1]
    sizes = tuple(
        one.vector_upper(run.states[:, rows])
        for one, rows in zip(found.norms, found.slices, strict=True)
    )
    local, drifts = run.map.step_error(*run.sizes), 0.0
    for one, rows, rate, gain in zip(
        found.norms, found.slices, found.rates, found.gains, strict=True
    ):
        drifts = (one.majorant(local[rows]) + gain * drifts) / (1 - rate)
    # two runs, and the stored state that enters the bound
    budget = 3 * drifts * (1 + 64 * UNIT) + norm.vector_rounding(run.map.state_dim) * measured
    return measured, budget, sizes, k, t
