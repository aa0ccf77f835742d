"""Layers of a cascade as one rate and one gain each, and the gap of every layer from them.

Main names: `layer_rates`, `layer_gaps`, `LayerRates`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.arithmetic.intervals import product_matrix_up
from theory.arithmetic.rounding import product_up
from theory.certify.layers import layer_parts
from theory.certify.methods import run_methods
from theory.domain import Domain
from theory.errors import check_count
from theory.maps.base import Map, check_map
from theory.maps.cascade import Cascade
from theory.maps.reached import check_domain
from theory.memory.entrywise import check_stays, gap_after_step, past_of
from theory.norms.norms import Norm
from theory.typing import Array


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

    Parameters
    ----------
    recurrent : Map
    domain : Domain, optional
        An invariant box in which rates and gains are meant; everywhere by default.

    Raises
    ------
    ValueError
        If the domain is not proved invariant.
    """
    check_map(recurrent)
    if not isinstance(recurrent, Cascade):
        return None
    if domain is not None:
        check_domain(recurrent, domain)
    parts = layer_parts(recurrent, domain)
    if parts is None:
        return None
    rates: list[float] = []
    gains: list[float] = []
    norms: list[Norm] = []
    for number, (layer, part) in enumerate(zip(recurrent.layers, parts, strict=True)):
        found = [
            c for c in run_methods(layer, 0, part).values() if c.norm.monotone and c.iterate == 1
        ]
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
    check_map(recurrent)
    check_count(k=k)
    check_stays(recurrent, domain)
    sizes = past_of(recurrent, domain, past)
    found = layer_rates(recurrent, domain)
    if found is None:
        return None
    gap = np.array(
        [norm.majorant(sizes[rows]) for norm, rows in zip(found.norms, found.slices, strict=True)]
    )
    M = (found.matrix,)
    for _ in range(int(k)):
        gap = gap_after_step(M, gap)
    return gap
