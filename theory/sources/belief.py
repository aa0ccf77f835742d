r"""The forward filter of a hidden Markov model as a recurrent map.

Main names: `BeliefFilter`, `filter_contraction_of`.

The belief b_i = P(s_t = i | x_0 .. x_(t-1)) moves by b <- A^T diag(E x) b / sum, x the one-hot
vector of the symbol seen.  The state is the belief in log-odds, relative to the stationary ones,

    h_i = log(b_i / b_n) - log(pi_i / pi_n),   i = 1 .. n - 1,

so that every vector is a state, zero is the stationary belief, and the k-step counterpart, which
restarts from zero, is the best predictor of the last k symbols: P(x_0 | x_(-k) .. x_(-1)).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any, final

import numpy as np

from theory.arithmetic.rounding import UNIT, gamma, product_up, up
from theory.certificates import Contraction, certified
from theory.domain import Domain
from theory.maps.base import Map, read_only, simulate_by_steps
from theory.maps.form import Affine
from theory.norms.norms import Linf, Norm, over
from theory.sources.hidden_markov import HiddenMarkovModel, check_model
from theory.sources.hilbert import ELEMENTARY, total_variation_of_distance
from theory.typing import Array


@final
class BeliefFilter(Map):
    r"""The map h <- log-odds of A^T diag(E x) b(h): what is believed of the next state.

    Parameters
    ----------
    model : HiddenMarkovModel
        With at least two states and positive emissions.  Transitions may be zero; there is a
        contraction only if none is.

    Raises
    ------
    ValueError
        If the model has one state, or an emission of probability zero, after which some states are
        impossible and have no log-odds.

    Examples
    --------
    >>> model = HiddenMarkovModel([[0.9, 0.1], [0.2, 0.8]], [[0.8, 0.2], [0.3, 0.7]])
    >>> recurrent = BeliefFilter(model)
    >>> states = recurrent.simulate(recurrent.inputs_of([0, 0, 1]))
    >>> recurrent.next_symbol(states[-1]).round(4).tolist()
    [0.6077, 0.3923]
    """

    def __init__(self, model: HiddenMarkovModel) -> None:
        check_model(model)
        if model.states == 1:
            raise ValueError(
                "the model has one state, needed two: its symbols are independent and its belief "
                "never moves"
            )
        if not np.all(model.E > 0):
            i, a = (int(v) for v in np.argwhere(model.E <= 0)[0])
            raise ValueError(
                f"E[{i}, {a}] = 0: symbol {a} excludes state {i}, whose log-odds are then -inf; "
                "needed positive emissions; theory.sources.information_values needs none"
            )
        self._model = model
        with np.errstate(divide="ignore"):
            self._log_a = np.log(model.transition)
            self._log_e = np.log(model.emission)
            stationary = np.log(model.stationary)
        least = float(np.min(model.stationary))
        if not least >= np.finfo(np.float64).tiny:
            raise ValueError(
                f"a state has stationary probability {least:.3g}, needed at least "
                f"{np.finfo(np.float64).tiny:.3g}: its logarithm has no digits; leave the state out"
            )
        self._rest = stationary[:-1] - stationary[-1]

    @property
    def model(self) -> HiddenMarkovModel:
        """Return the hidden Markov model."""
        return self._model

    @property
    def state_dim(self) -> int:
        """Return n - 1."""
        return self._model.states - 1

    @property
    def input_dim(self) -> int:
        """Return d, the size of the alphabet."""
        return self._model.symbols

    @property
    def parameters(self) -> Mapping[str, Array]:
        """Return A and E."""
        return read_only(A=self._model.A, E=self._model.E)

    def inputs_of(self, symbols: Any) -> Array:
        """Return the one-hot inputs, (..., T, d), of symbols (..., T).

        Raises
        ------
        ValueError
            If a symbol is not in the alphabet.
        """
        return np.asarray(np.eye(self.input_dim)[self._model.check_symbols(symbols)])

    def belief(self, h: Any) -> Array:
        """Return the probabilities of the hidden states, (..., n), that log-odds (..., n - 1) mean.

        Raises
        ------
        ValueError
            If the last axis is not of length n - 1.
        """
        odds = self._whole(np.asarray(h, dtype=np.float64)[..., : self.state_dim + 1])
        weights = np.exp(odds - np.max(odds, axis=-1, keepdims=True))
        return np.asarray(weights / np.sum(weights, axis=-1, keepdims=True))

    def next_symbol(self, h: Any) -> Array:
        """Return the probabilities of the next symbol, (..., d)."""
        return np.asarray(self.belief(h) @ self._model.emission)

    def _whole(self, h: Array) -> Array:
        """Return log b up to a constant, (..., n)."""
        if h.shape[-1] != self.state_dim:
            raise ValueError(f"h has shape {h.shape}, needed (..., {self.state_dim})")
        return np.concatenate([h + self._rest, np.zeros((*h.shape[:-1], 1))], axis=-1)

    def _joint(self, h: Array, terms: Array) -> Array:
        """Return log(A_ij e_i b_i), up to a constant, (..., n, n)."""
        return np.asarray((self._whole(h) + terms)[..., :, None] + self._log_a)

    def step(self, h: Array, x: Array) -> Array:
        """Return the log-odds of the next belief."""
        return self.advance(np.asarray(h), self.input_terms(np.asarray(x)))

    def input_terms(self, X: Array) -> Array:
        """Return the log-likelihoods of the states, (..., n)."""
        return np.asarray(X @ self._log_e.T)

    def advance(self, h: Array, terms: Array, out: Array | None = None) -> Array:
        """Return the next log-odds from the log-likelihoods."""
        joint = self._joint(h, terms)
        top = np.max(joint, axis=-2, keepdims=True)
        logs = np.log(np.sum(np.exp(joint - top), axis=-2)) + top[..., 0, :]
        result = logs[..., :-1] - logs[..., -1:] - self._rest
        if out is None:
            return np.asarray(result)
        out[...] = result
        return out

    def _before(self, h: Array, x: Array) -> Array:
        """Return P(s_t = i | s_(t+1) = j, ...), (..., n, n)."""
        joint = self._joint(h, self.input_terms(x))
        weights = np.exp(joint - np.max(joint, axis=-2, keepdims=True))
        return np.asarray(weights / np.sum(weights, axis=-2, keepdims=True))

    def jacobian_state(self, h: Array, x: Array) -> Array:
        """Return P(s_t = i | s_(t+1) = j) - P(s_t = i | s_(t+1) = n), (..., n - 1, n - 1)."""
        before = self._before(h, x)
        change = before[..., :, :-1] - before[..., :, -1:]
        return np.swapaxes(change[..., :-1, :], -1, -2)

    def jacobian_input(self, h: Array, x: Array) -> Array:
        """Return the same over all i, times log E, (..., n - 1, d)."""
        before = self._before(h, x)
        change = before[..., :, :-1] - before[..., :, -1:]
        return np.asarray(np.swapaxes(change, -1, -2) @ self._log_e)

    def affine(self) -> Affine | None:
        """Return None."""
        return None

    def step_error(self, h_size: Array, x_size: Array) -> Array:
        r"""Bound the rounding error of one step.

        A sum of log-odds, log-likelihoods and a log-probability errs by gamma(d + 8) times the sum
        of their sizes; so do the exponents, in which an error is one of the result, as the
        log-sum-exp has slopes that add up to 1.  The logarithm of a sum between 1 and n adds
        ELEMENTARY max(1, log n) and the sum's own gamma(n); entries of log A and log E err by
        ELEMENTARY of their size, 2 u more from the division by row sums.
        """
        n, d = self._model.states, self.input_dim
        finite = self._log_a[np.isfinite(self._log_a)]
        size = float(np.max(np.abs(h_size), initial=0.0)) + 2 * float(np.max(np.abs(self._rest)))
        size += float(np.max(np.abs(finite))) + float(
            np.max(np.abs(self._log_e) @ np.broadcast_to(x_size, (d,)))
        )
        own = gamma(d + 16) + 4 * ELEMENTARY
        one = own * (size + 1) + gamma(n + 2) + ELEMENTARY * (1 + math.log(n)) + 8 * UNIT
        return np.full(self.state_dim, 2 * one + 4 * UNIT * size)

    @cached_property
    def _pairs(self) -> Array:
        """Return bounds of |P(. | j) - P(. | n)|_1 / 2 over all beliefs, (n - 1,), rounded up."""
        logs = self._log_a
        if not np.isfinite(logs).all():
            return np.ones(self.state_dim)
        r = logs[:, :-1] - logs[:, -1:]
        widths = np.max(r, axis=0) - np.min(r, axis=0)
        spare = 4 * ELEMENTARY * float(np.max(np.abs(logs))) + gamma(8) * widths
        return np.array([total_variation_of_distance(up(float(w))) for w in widths + spare])

    def comparison(self, domain: Domain | None = None) -> tuple[Array, ...] | None:
        r"""Return the matrix of the bounds tanh(D_j / 4) of each entry of the Jacobian, row j.

        D_j = max over i, l of log(A_ij A_ln / (A_in A_lj)): the beliefs of s_t given s_(t+1) = j
        and given n have ratios in an interval of that length, whatever was seen and believed.
        """
        del domain
        return (np.repeat(self._pairs[:, None], self.state_dim, axis=1),)

    def input_lipschitz(self, norm: Norm) -> float | None:
        r"""Return L_x from the bound |P(. | j) - P(. | n)|_1 / 2 <= t of all j.

        A difference of probabilities times a column of log E is at most t (max - min) of it.
        """
        span = np.max(self._log_e, axis=0) - np.min(self._log_e, axis=0)
        spare = 4 * ELEMENTARY * float(np.max(np.abs(self._log_e)))
        total = up(math.fsum((span + spare).tolist()))
        gain = product_up(float(np.max(self._pairs)), total)
        outward = product_up(over(norm, Linf(), n=self.state_dim), gain)
        return product_up(outward, over(Linf(), norm.companion, n=self.input_dim))

    def _run(self, X: Array, h0: Array) -> Array:
        return simulate_by_steps(self, X, h0)

    def _rebuilt(self, parameters: Mapping[str, Any]) -> BeliefFilter:
        model = HiddenMarkovModel(parameters["A"], parameters["E"], start=self._model.start)
        return BeliefFilter(model)

    def __repr__(self) -> str:
        return f"BeliefFilter({self._model!r})"


def filter_contraction_of(recurrent: BeliefFilter, *, most_steps: int = 64) -> Contraction | None:
    r"""Certify that a forward filter forgets, by Birkhoff's factor; None if it is not proved.

    In Hilbert's metric, d(h, g) = max - min of h - g and 0, one step contracts by
    tau = tanh(diameter / 4), for all beliefs and all symbols.  As |.|_inf <= d <= 2 |.|_inf,

        |h_t - g_t|_inf <= 2 tau**t |h_0 - g_0|_inf,

    a contraction of r steps together for the least r with 2 tau**r < 1; for two states the metric
    is |.|_inf itself, and r = 1.

    Parameters
    ----------
    recurrent : BeliefFilter
    most_steps : int
        The largest r that is tried.

    Returns
    -------
    Contraction or None
        In `Linf`, over all states and inputs.  None where a transition has probability zero
        (tau = 1), or r would be larger.

    Raises
    ------
    ValueError
        If it is not the filter of a model.

    Examples
    --------
    >>> model = HiddenMarkovModel([[0.9, 0.1], [0.2, 0.8]], [[0.8, 0.2], [0.3, 0.7]])
    >>> filter_contraction_of(BeliefFilter(model)).lam.__round__(6)
    0.714286
    """
    if not isinstance(recurrent, BeliefFilter):
        raise ValueError(
            f"received {recurrent!r}, needed a Map that is a filter: "
            "theory.sources.BeliefFilter(model)"
        )
    tau = recurrent.model.birkhoff
    detail = f"Birkhoff factor {tau:.6g} in Hilbert's metric"
    if recurrent.state_dim == 1:
        return certified(tau, Linf(), method="filter contraction", detail=detail)
    lam = 2.0
    for r in range(1, most_steps + 1):
        lam = product_up(lam, tau)
        if lam < 1:
            return certified(
                lam,
                Linf(),
                method="filter contraction",
                detail=detail,
                iterate=r,
                growth=(2.0, tau),
            )
    return None
