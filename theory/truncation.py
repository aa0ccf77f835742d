r"""A map and k -> its k-step feed-forward counterpart.

Main names: `truncate`, `TruncatedModel`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.errors import as_sequences, as_states, as_vector, check_count
from theory.maps.base import Map, check_finite_states, check_map
from theory.maps.head import LinearHead, as_head
from theory.shown import shown
from theory.typing import Array


@shown
@final
@dataclass(frozen=True, kw_only=True, eq=False)
class TruncatedModel:
    """The feed-forward model that starts from `restart` k steps back; made by `truncate`."""

    map: Map  # the recurrent map
    k: int  # k, the number of inputs it sees
    restart: Array  # the state it starts from, (n,)
    head: LinearHead | None = None  # of the whole state; outputs are states without a head

    def states(self, X: Any, h0: Any = None) -> Array:
        """Return all T states h^k_t, each computed from the last k inputs only.

        Parameters
        ----------
        X : (T, m) or (batch, T, m) array
        h0 : (n,) or (batch, n) array, optional
            The recurrent model's start, zero by default.  For t <= k both models coincide, so the
            first k states start from it.

        Returns
        -------
        (T, n) or (batch, T, n) array
            Computed in parallel over time: k matrix products of up to T rows.

        Raises
        ------
        ValueError
            If a shape does not fit or a number is not finite.
        DivergedError
            If a state leaves the range of double precision.
        """
        n = self.map.state_dim
        inputs = as_sequences("X", X, width=self.map.input_dim)
        batch, T = inputs.shape[:-2], inputs.shape[-2]
        start = as_states("h0", np.zeros(n) if h0 is None else h0, size=n, batch=batch)
        terms = self.map.input_terms(inputs)
        # row t holds the state after input t; rows with more than k inputs behind them restart
        G = np.broadcast_to(self.restart, (*batch, T, n)).copy()
        G[..., : min(self.k, T), :] = start[..., None, :]
        # stage j takes the input j steps before the last one; rows t < j have no such input
        with np.errstate(over="ignore", invalid="ignore"):
            for j in range(min(self.k, T) - 1, -1, -1):
                G[..., j:, :] = self.map.advance(G[..., j:, :], terms[..., : T - j, :])
        check_finite_states(G if batch else G[None])
        return G

    def __call__(self, X: Any, h0: Any = None) -> Array:
        """Return all T outputs: ``head(states)``, or the states when there is no head."""
        states = self.states(X, h0)
        return states if self.head is None else self.head(states)


def truncate(recurrent: Map, k: int, *, restart: Any = None, head: Any = None) -> TruncatedModel:
    r"""Return the k-step feed-forward counterpart of a recurrent map.

    Parameters
    ----------
    recurrent : Map
        The map h <- step(h, x).
    k : int
        How many inputs the model sees; k = 0 gives the constant `restart`, k >= T the recurrent
        model itself.
    restart : (n,) array, optional
        The state k steps back, zero by default (the paper's choice).
    head : LinearHead, array, or output layer, optional
        Applied to the states, or to what `Map.output_map` shows of them; see `theory.maps.as_head`.

    Raises
    ------
    ValueError
        If k is negative or not an integer, or a shape does not fit.

    Examples
    --------
    >>> from theory import LinearMap
    >>> truncate(LinearMap([[0.5]], [[1.0]]), k=2)([[1.0], [1.0], [1.0]]).ravel().tolist()
    [1.0, 1.5, 1.5]
    """
    check_map(recurrent)
    check_count(k=k)
    n = recurrent.state_dim
    start = as_vector("restart", np.zeros(n) if restart is None else restart, size=n)
    output = None if head is None else as_head(recurrent, head)
    return TruncatedModel(map=recurrent, k=int(k), restart=start, head=output)
