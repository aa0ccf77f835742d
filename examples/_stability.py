r"""Sets of stable networks: how a network is kept in one, and how it is certified.

Main names: `constraint`, `to_map`, `certificate`, `loss_lipschitz`, `effective_memory`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import theory


def constraint(model: Any, setting: Any) -> Callable[..., None]:
    """Return what moves the recurrent weights back into the set of a variant; in place."""
    if setting.variant == "unstable":
        return lambda final=False: None

    def rnn(final: bool = False) -> None:
        with torch.no_grad():
            W = model.cell.weight_hh_l0
            U, s, V = torch.linalg.svd(W)
            if s[0] > setting.rate:
                W.copy_((U * s.clamp(max=setting.rate * (1 - 1e-6))) @ V)

    def lstm(final: bool = False) -> None:
        pass

    return rnn if model.kind == "rnn" else lstm


def arrays(model: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return W, U, b of the cell in double precision; the two biases are added exactly enough."""
    cell = model.cell
    with torch.no_grad():
        W, U = (
            p.detach().cpu().double().numpy() for p in (cell.weight_hh_l0, cell.weight_ih_l0)
        )
        b = (cell.bias_ih_l0.double() + cell.bias_hh_l0.double()).cpu().numpy()
    return W, U, b


def to_map(model: Any) -> theory.Map:
    """Return the recurrent cell as a map, in double precision."""
    return theory.VanillaRNN(*arrays(model))


def certificate(t: Any) -> theory.Contraction | None:
    """Return the certificate of the set that a trained network was kept in, or None."""
    method = {"stable": "spectral", "sharp-stable": "lmi"}[t.setting.variant]
    return theory.contraction(to_map(t.model), method=method)


def loss_lipschitz(t: Any, norm: theory.Norm) -> float:
    r"""Return how much the loss of a prediction can change with the state, in nats.

    A Bernoulli loss has slopes of at most 1 in each logit, so the sum over the keys changes by at
    most sum_i |C_i d| <= (sum_i |C_i|) |d|.  A cross-entropy changes by at most the spread of the
    changes of the logits, 2 max_i |C_i d|.
    """
    from theory.rounding import gamma

    C = t.model.head.weight.detach().cpu().double().numpy()
    if t.corpus.kind == "music":
        column = np.abs(C).sum(0, keepdims=True) * (1 + gamma(len(C)))
        return theory.Linf().matrix_upper(column, norm)
    return 2 * theory.Linf().matrix_upper(C, norm)


def effective_memory(t: Any, eps: float) -> int | None:
    """Return the measured effective memory of a trained network on the test sequences."""
    return None
