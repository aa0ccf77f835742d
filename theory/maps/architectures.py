r"""Memories of today's architectures, from what each of them calls its parameters.

Main names: `retnet`, `gla`, `mamba2`, `mlstm`, each a `LinearAttention`; `gated_delta` and `rwkv7`,
each a `DeltaRule`; `slstm`, an `SLSTM`.

Only the recurrence is meant: what stands before it (projections, short convolutions) and after it
(the query that reads, gates, norms) is a function of the same time step.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from theory.errors import as_array, as_matrix, as_vector, check_count, check_positive
from theory.maps.attention import LinearAttention
from theory.maps.delta import DeltaRule
from theory.maps.exponential import SLSTM
from theory.typing import Array


def retnet(W_k: npt.ArrayLike, W_v: npt.ArrayLike, *, gamma: npt.ArrayLike) -> LinearAttention:
    r"""Return the retention S <- gamma S + k v^T of RetNet (Sun et al. 2023, equation 6).

    Parameters
    ----------
    W_k, W_v : (heads x keys, m) and (heads x values, m) arrays
    gamma : (heads,) array
        The decays; 1 - 2**-(5 + l) of head l as published.

    Raises
    ------
    ValueError
        If the rows are no multiples of the heads, or a decay is not in [0, 1].

    Notes
    -----
    The published keys are turned by an angle that grows with the time; a turned state is as
    long, so it is forgotten as fast.  Turn the states back to compare with such a model.

    Examples
    --------
    >>> retnet([[1.0]], [[2.0]], gamma=[0.5]).simulate([[1.0], [0.0]]).tolist()
    [[2.0], [1.0]]
    """
    decay, k, v = as_vector("gamma", gamma), as_matrix("W_k", W_k), as_matrix("W_v", W_v)
    counts = _counts(decay.size, W_k=k, W_v=v)
    return LinearAttention(_stack(k, v), decay=decay, forget="constant", **counts)


def gla(
    W_k: npt.ArrayLike,
    W_v: npt.ArrayLike,
    *,
    W_gate: npt.ArrayLike,
    b_gate: npt.ArrayLike | None = None,
    heads: int,
    temperature: float = 16.0,
) -> LinearAttention:
    r"""Return S <- diag(alpha) S + k v^T, alpha = sigma(W x + b)**(1 / temperature) (GLA).

    Yang et al. 2023, "Gated linear attention transformers", equations 3 and 4.

    Parameters
    ----------
    W_k, W_v : (heads x keys, m) and (heads x values, m) arrays
    W_gate, b_gate : (heads x keys, m) and (heads x keys,) arrays
        A product of low rank is multiplied out.
    heads : int
    temperature : float
        16 as published.

    Raises
    ------
    ValueError
        If shapes do not fit, or the temperature is not positive.

    Examples
    --------
    >>> one = [[1.0]]
    >>> layer = gla(one, one, W_gate=[[0.0]], heads=1, temperature=1.0)
    >>> layer.simulate([[1.0], [0.0]]).tolist()
    [[1.0], [0.5]]
    """
    check_positive(temperature=temperature)
    check_count(at_least=1, heads=heads)
    k, v, p = as_matrix("W_k", W_k), as_matrix("W_v", W_v), as_matrix("W_gate", W_gate)
    counts = _counts(int(heads), W_k=k, W_v=v)
    p = as_matrix("W_gate", p, rows=len(k), columns=k.shape[1])
    own = np.zeros(len(p)) if b_gate is None else as_vector("b_gate", b_gate, size=len(p))
    b = np.concatenate([np.zeros(len(k) + len(v)), own])
    return LinearAttention(_stack(k, v, p), b, decay=np.full(len(k), 1.0 / temperature), **counts)


def mamba2(
    W: npt.ArrayLike | None = None,
    *,
    A: npt.ArrayLike,
    dt_bias: npt.ArrayLike,
    head_dim: int,
    state: int,
    groups: int = 1,
) -> LinearAttention:
    r"""Return S <- exp(-A D) S + D B x^T, D = softplus(dt + dt_bias) (Mamba-2, SSD).

    Dao and Gu 2024, "Transformers are SSMs", section 7; heads of a group have one B.

    Parameters
    ----------
    W : (heads x head_dim + groups x state + heads, m) array, optional
        The rows of x, B and dt; by default the inputs are these three, after the convolution.
    A : (heads,) array of positive numbers
        Mamba-2 stores log(A).
    dt_bias : (heads,) array
    head_dim, state, groups : int

    Raises
    ------
    ValueError
        If shapes do not fit, a rate is not positive, or the groups do not divide the heads.

    Examples
    --------
    >>> layer = mamba2(A=[1.0], dt_bias=[0.0], head_dim=1, state=1)  # D = log 2
    >>> layer.simulate([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]).round(4).tolist()
    [[0.6931], [0.3466]]
    """
    check_count(at_least=1, head_dim=head_dim, state=state, groups=groups)
    rates = as_vector("A", A)
    heads = rates.size
    if heads % groups:
        raise ValueError(f"groups={groups}, needed a divisor of the {heads} heads of A")
    x, B = heads * head_dim, groups * state
    given = np.eye(x + B + heads) if W is None else W
    rows = as_matrix("W", given, rows=x + B + heads)
    bias = as_vector("dt_bias", dt_bias, size=heads)
    shared = rows[x : x + B].reshape(groups, state, -1)
    k = np.repeat(shared, heads // groups, axis=0).reshape(heads * state, -1)
    U = np.vstack([k, rows[:x], -rows[x + B :]])
    b = np.concatenate([np.zeros(len(k) + x), -bias])
    return LinearAttention(
        U, b, decay=rates, heads=heads, keys=state, values=head_dim, write="step"
    )


def mlstm(
    W_k: npt.ArrayLike,
    W_v: npt.ArrayLike,
    *,
    W_i: npt.ArrayLike,
    W_f: npt.ArrayLike,
    b_i: npt.ArrayLike | None = None,
    b_f: npt.ArrayLike | None = None,
    b_k: npt.ArrayLike | None = None,
    b_v: npt.ArrayLike | None = None,
) -> LinearAttention:
    r"""Return the memory and the normaliser of an mLSTM, (C, n) <- f (C, n) + i k (v, 1)^T.

    Beck et al. 2024, "xLSTM", equations 19 to 27, with f = sigma(W_f x + b_f) and
    i = exp(W_i x + b_i); the output is C^T q / max(|n^T q|, 1).

    Parameters
    ----------
    W_k, W_v : (heads x keys, m) and (heads x values, m) arrays
        The published k is divided by sqrt(keys).
    W_i, W_f : (heads, m) arrays
    b_i, b_f : (heads,) arrays, optional
        Zero by default.
    b_k, b_v : (heads x keys,) and (heads x values,) arrays, optional
        Zero by default, as published.

    Raises
    ------
    ValueError
        If shapes do not fit.

    Notes
    -----
    The normaliser is the last value of every head, one that is always 1.  Programs carry
    exp(-m) (C, n) with a running maximum m of the exponents, and divide by
    max(\|n^T q\|, exp(-m)): the same output, so the same memory, for any m.  The state here is
    that with m = 0; a gate exp(q) beyond the largest double is refused.

    Examples
    --------
    >>> layer = mlstm([[1.0]], [[3.0]], W_i=[[0.0]], W_f=[[0.0]])
    >>> layer.simulate([[1.0], [0.0]]).tolist()  # C and n
    [[3.0, 1.0], [1.5, 0.5]]
    """
    i, f = as_matrix("W_i", W_i), as_matrix("W_f", W_f)
    k, v, heads = as_matrix("W_k", W_k), as_matrix("W_v", W_v), len(i)
    counts = _counts(heads, W_k=k, W_v=v)
    f = as_matrix("W_f", f, rows=heads)
    each = v.reshape(heads, counts["values"], -1)
    v = np.concatenate([each, np.zeros((heads, 1, v.shape[1]))], axis=1)
    v = v.reshape(heads * (counts["values"] + 1), -1)
    sizes = {"b_k": len(k), "b_v": heads * counts["values"], "b_f": heads, "b_i": heads}
    own, shift, *biases = [
        np.zeros(sizes[name]) if given is None else as_vector(name, given, size=sizes[name])
        for name, given in (("b_k", b_k), ("b_v", b_v), ("b_f", b_f), ("b_i", b_i))
    ]
    shift = np.hstack([shift.reshape(heads, -1), np.ones((heads, 1))]).ravel()
    b = np.concatenate([own, shift, *biases])
    counts["values"] += 1
    return LinearAttention(_stack(k, v, f, i), b, decay=np.ones(heads), write="exp", **counts)


def slstm(
    W: npt.ArrayLike,
    R: npt.ArrayLike | None = None,
    *,
    b: npt.ArrayLike | None = None,
    forget: str = "sigmoid",
) -> SLSTM:
    r"""Return the sLSTM of xLSTM with recurrent weights by head.

    Beck et al. 2024, "xLSTM", equations 8 to 18.

    Parameters
    ----------
    W : (4, n, m) array
        Input weights of the gates i, f, z, o.
    R : (4, heads, d, d) array, optional
        Recurrent weights, n = heads x d; zero by default, so that each unit is a linear recurrence.
    b : (4, n) array, optional
        Zero by default.
    forget : str
        ``sigmoid`` or ``exp``.

    Raises
    ------
    ValueError
        If shapes do not fit, or the forget gate is unknown.

    Examples
    --------
    >>> slstm(np.ones((4, 2, 1)), np.zeros((4, 2, 1, 1)))
    SLSTM(units=2, m=1, forget='sigmoid')
    """
    inputs = as_array("W", W, ndim=3)
    if len(inputs) != 4:
        raise ValueError(f"W has shape {inputs.shape}, needed (4, n, m): the gates i, f, z, o")
    n = inputs.shape[1]
    recurrent = np.zeros((4, n, n))
    if R is not None:
        heads = as_array("R", R, ndim=4)
        _, count, d, width = heads.shape
        if len(heads) != 4 or d != width or count * d != n:
            raise ValueError(
                f"R has shape {heads.shape}, needed (4, heads, d, d) with heads x d = {n} units"
            )
        for head in range(count):
            rows = slice(head * d, (head + 1) * d)
            recurrent[:, rows, rows] = heads[:, head]
    bias = None if b is None else as_array("b", b, ndim=2).ravel()
    return SLSTM(recurrent.reshape(4 * n, n), inputs.reshape(4 * n, -1), bias, forget)


def gated_delta(
    W_k: npt.ArrayLike,
    W_v: npt.ArrayLike,
    *,
    W_alpha: npt.ArrayLike,
    W_beta: npt.ArrayLike,
    A: npt.ArrayLike,
    dt_bias: npt.ArrayLike | None = None,
    reflects: bool = False,
) -> DeltaRule:
    r"""Return S <- alpha (I - beta k k^T) S + beta k v^T, |k| = 1 (gated delta rule).

    Yang, Kautz and Hatamizadeh 2024, "Gated delta networks", equation 10, transposed, with
    alpha = exp(-A softplus(W_alpha x + dt_bias)) and beta = sigma(W_beta x).

    Parameters
    ----------
    W_k, W_v : (heads x keys, m) and (heads x values, m) arrays
    W_alpha, W_beta : (heads, m) arrays
    A : (heads,) array of positive numbers
        Programs store log(A).
    dt_bias : (heads,) array, optional
        Zero by default.
    reflects : bool
        Whether beta is twice the gate, so that eigenvalues may be negative.

    Raises
    ------
    ValueError
        If shapes do not fit, or a rate is not positive.

    Examples
    --------
    >>> one = [[1.0]]
    >>> gated_delta(one, one, W_alpha=one, W_beta=one, A=[1.0])
    DeltaRule(heads=1, keys=1, values=1, m=1, rule='gated')
    """
    rates, k, v = as_vector("A", A), as_matrix("W_k", W_k), as_matrix("W_v", W_v)
    heads = rates.size
    counts = _counts(heads, W_k=k, W_v=v)
    alpha, beta = as_matrix("W_alpha", W_alpha, rows=heads), as_matrix("W_beta", W_beta, rows=heads)
    bias = np.zeros(heads) if dt_bias is None else as_vector("dt_bias", dt_bias, size=heads)
    b = np.concatenate([np.zeros(len(k) + len(v)), -bias, np.zeros(heads)])
    U = _stack(k, v, -alpha, beta)
    return DeltaRule(U, b, decay=rates, scale=2.0 if reflects else 1.0, **counts)


def rwkv7(
    W_k: npt.ArrayLike,
    W_v: npt.ArrayLike,
    *,
    W_w: npt.ArrayLike,
    W_a: npt.ArrayLike,
    b_w: npt.ArrayLike | None = None,
    b_a: npt.ArrayLike | None = None,
    k_k: npt.ArrayLike,
    k_a: npt.ArrayLike,
    heads: int,
    eps: float = 1e-12,
) -> DeltaRule:
    r"""Return S <- (diag(w) - (a k~) k~^T) S + g v^T, |k~| = 1 (RWKV-7).

    Peng et al. 2025, "RWKV-7 Goose", equations 4 to 19, transposed: w = exp(-e^{-1/2} sigma(d)),
    k~ = (k_k k) / |k_k k| by head, g = k (1 + k_a (a - 1)).  The products of low rank behind d and
    a, and the shift of tokens, are functions of the inputs.

    Parameters
    ----------
    W_k, W_v, W_w, W_a : (heads x keys, m) arrays, of W_v (heads x values, m)
    b_w, b_a : (heads x keys,) arrays, optional
        Zero by default.
    k_k, k_a : (heads x keys,) arrays
        Of the removed and of the written key.
    heads : int
    eps : float
        A removed key is divided by sqrt(|k_k k|^2 + eps).  Programs divide by |k_k k|, which jumps
        at 0: the two differ by eps / (2 |k_k k|^2), relatively.

    Raises
    ------
    ValueError
        If shapes do not fit.

    Examples
    --------
    >>> one = [[1.0]]
    >>> rwkv7(one, one, W_w=one, W_a=one, k_k=[1.0], k_a=[1.0], heads=1)
    DeltaRule(heads=1, keys=1, values=1, m=1, rule='rwkv7')
    """
    check_count(at_least=1, heads=heads)
    k, v = as_matrix("W_k", W_k), as_matrix("W_v", W_v)
    counts = _counts(int(heads), W_k=k, W_v=v)
    n = len(k)
    w, a = as_matrix("W_w", W_w, rows=n), as_matrix("W_a", W_a, rows=n)
    kappa, mix = as_vector("k_k", k_k, size=n), as_vector("k_a", k_a, size=n)
    biases = [
        np.zeros(n) if given is None else as_vector(name, given, size=n)
        for name, given in (("b_w", b_w), ("b_a", b_a))
    ]
    b = np.concatenate([np.zeros(n + len(v)), *biases, np.zeros(n)])
    U = _stack(kappa[:, None] * k, v, w, a, k)
    decay = np.full(n, math.exp(-0.5))
    return DeltaRule(U, b, decay=decay, mix=mix, rule="rwkv7", eps=eps, **counts)


def _stack(*rows: Array) -> Array:
    widths = {part.shape[1] for part in rows}
    if len(widths) > 1:
        raise ValueError(f"the weights have {sorted(widths)} columns, needed as many inputs each")
    return np.vstack(rows)


def _counts(heads: int, *, W_k: Array, W_v: Array) -> dict[str, Any]:
    """Return the numbers of heads, keys and values that rows of weights are for."""
    for name, rows in (("W_k", W_k), ("W_v", W_v)):
        if len(rows) % heads:
            raise ValueError(f"{name} has {len(rows)} rows, needed a multiple of {heads} heads")
    return {"heads": heads, "keys": len(W_k) // heads, "values": len(W_v) // heads}
