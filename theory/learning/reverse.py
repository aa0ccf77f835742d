"""Reverse mode through time on windows: terms, loops and derivatives of each kind of map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.kernels.blocks import locked
from theory.maps.base import Map
from theory.maps.form import Affine
from theory.maps.gru import GRU
from theory.maps.lstm import LSTM
from theory.typing import Array

Ints = npt.NDArray[np.int64]


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Windows:
    """Which steps belong to which rows; see `theory.kernels.cells`."""

    first: Ints  # at each step, the first row that has begun, (S,)
    source: Ints  # at each step, the row of the input terms of that row, (S,)
    cut: npt.NDArray[np.bool_]  # after which steps nothing is carried back, (S,)
    start: Array  # H_0, (R, state_dim)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Cell:
    """A kind of map, by its terms, its loops, and what derivatives they give."""

    terms: Callable[[Array], Array]  # inputs (N, m) to input terms (N, q)
    forward: Callable[[Array, Windows], tuple[Array, Any]]  # states (S + 1, R, n), and a tape
    # derivatives in the states to those in the terms, (S, R, q), and in the parameters but for U
    backward: Callable[[Array, Any, Windows], tuple[Array, dict[str, Array]]]
    from_terms: Callable[[Array, Array], dict[str, Array]]  # (N, q) and inputs: U, b and the like
    input_weights: Array  # d terms / d x, (q, m)


def _affine_cell(form: Affine, names: tuple[str, str, str]) -> _Cell:
    from theory.kernels.adjoints import affine_adjoints
    from theory.kernels.cells import affine_windows

    W, WT = (locked(np.ascontiguousarray(one)) for one in (form.W, form.W.T))
    n = len(W)

    def forward(terms: Array, rows: Windows) -> tuple[Array, Any]:
        S, R = len(rows.first), len(rows.start)
        H, slope = np.empty((S + 1, R, n)), np.empty((S, R, n))
        H[0] = rows.start
        rho = form.rho
        affine_windows(WT, terms, rows.first, rows.source, rho.code, rho.leak, H, slope)
        return H, (H, slope)

    def backward(G: Array, tape: Any, rows: Windows) -> tuple[Array, dict[str, Array]]:
        H, slope = tape
        D = np.empty_like(slope)
        affine_adjoints(W, G, slope, rows.cut, D)
        return D, {names[0]: D.reshape(-1, n).T @ H[:-1].reshape(-1, n)}

    def from_terms(D: Array, X: Array) -> dict[str, Array]:
        return {names[1]: D.T @ X, names[2]: D.sum(axis=0)}

    return _Cell(
        terms=lambda X: X @ form.U.T + form.b,
        forward=forward,
        backward=backward,
        from_terms=from_terms,
        input_weights=form.U,
    )


def _lstm_cell(model: LSTM) -> _Cell:
    from theory.kernels.adjoints import lstm_adjoints
    from theory.kernels.cells import lstm_windows

    p = model.parameters
    W, WT = (locked(np.ascontiguousarray(one)) for one in (p["W"], p["W"].T))
    n = W.shape[1]

    def forward(terms: Array, rows: Windows) -> tuple[Array, Any]:
        S, R = len(rows.first), len(rows.start)
        H, C = np.empty((S + 1, R, n)), np.empty((S + 1, R, n))
        C[0], H[0] = rows.start[:, :n], rows.start[:, n:]
        gates, tc = np.empty((S, R, 4 * n)), np.empty((S, R, n))
        lstm_windows(WT, terms, rows.first, rows.source, H, C, gates, tc)
        return np.concatenate([C, H], axis=-1), (H, C, gates, tc)

    def backward(G: Array, tape: Any, rows: Windows) -> tuple[Array, dict[str, Array]]:
        H, C, gates, tc = tape
        D = np.empty_like(gates)
        lstm_adjoints(W, G, C, gates, tc, rows.first, rows.cut, D)
        return D, {"W": D.reshape(-1, 4 * n).T @ H[:-1].reshape(-1, n)}

    return _Cell(
        terms=lambda X: X @ p["U"].T + p["b"],
        forward=forward,
        backward=backward,
        from_terms=lambda D, X: {"U": D.T @ X, "b": D.sum(axis=0)},
        input_weights=p["U"],
    )


def _gru_cell(model: GRU) -> _Cell:
    from theory.kernels.adjoints import gru_adjoints
    from theory.kernels.cells import gru_windows

    p = model.parameters
    after = model.variant == "reset_after"
    W = locked(np.ascontiguousarray(p["W"]))
    n = W.shape[1]
    Wn = np.ascontiguousarray(W[2 * n :])
    WT, WnT = (locked(np.ascontiguousarray(one)) for one in (W.T if after else W[: 2 * n].T, Wn.T))
    back = W if after else np.ascontiguousarray(W[: 2 * n])
    bc = locked(np.ascontiguousarray(p["b_candidate"]) if "b_candidate" in p else np.zeros(n))

    def forward(terms: Array, rows: Windows) -> tuple[Array, Any]:
        S, R = len(rows.first), len(rows.start)
        H = np.empty((S + 1, R, n))
        H[0] = rows.start
        gates, inner = np.empty((S, R, 3 * n)), np.empty((S, R, n))
        gru_windows(WT, WnT, bc, after, terms, rows.first, rows.source, H, gates, inner)
        return H, (H, gates, inner)

    def backward(G: Array, tape: Any, rows: Windows) -> tuple[Array, dict[str, Array]]:
        H, gates, inner = tape
        D, E = np.empty_like(gates), np.empty_like(gates)
        gru_adjoints(back, Wn, after, G, H, gates, inner, rows.first, rows.cut, D, E)
        flat, states = E.reshape(-1, 3 * n), H[:-1].reshape(-1, n)
        if after:
            found = {"W": flat.T @ states}
        else:
            reset = inner.reshape(-1, n)
            found = {"W": np.vstack([flat[:, : 2 * n].T @ states, flat[:, 2 * n :].T @ reset])}
        if "b_candidate" in p:
            found["b_candidate"] = flat[:, 2 * n :].sum(axis=0)
            if not after:
                found["b_candidate"][:] = 0.0
        return D, found

    return _Cell(
        terms=lambda X: X @ p["U"].T + p["b"],
        forward=forward,
        backward=backward,
        from_terms=lambda D, X: {"U": D.T @ X, "b": D.sum(axis=0)},
        input_weights=p["U"],
    )


def loops_of(model: Map) -> _Cell:
    """Return the loops of a map.

    Raises
    ------
    ValueError
        If the library has none for this kind of map.
    """
    form = model.affine()
    if form is not None and model.form_names == tuple(model.parameters):
        return _affine_cell(form, model.form_names)
    if isinstance(model, LSTM):
        return _lstm_cell(model)
    if isinstance(model, GRU):
        return _gru_cell(model)
    raise ValueError(
        f"gradients of {model!r} are not available, needed a LinearMap, VanillaRNN, LSTM or GRU"
    )
