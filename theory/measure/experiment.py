"""One instance on which theorems are tested: a map, its contraction, and what drives it.

Main names: `Experiment`, `experiment`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.certificates import Contraction
from theory.errors import as_sequences, as_vector, check_count
from theory.learning.setup import Training
from theory.maps.base import Map, check_map
from theory.maps.head import LinearHead, as_head
from theory.norms.norm import check_norm
from theory.norms.norms import L2, Norm
from theory.typing import Array


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Experiment:
    """One instance on which theorems are tested: a map, its contraction, and what drives it."""

    map: Map
    contraction: Contraction
    inputs: Array  # x, (T, m)
    k_max: int  # largest truncation length measured
    start: Array  # h_0, (n,)
    restart: Array  # the truncated model's start, (n,)
    other_inputs: Array  # a second input sequence, (T, m)
    other_start: Array  # a second start, (n,)
    head: LinearHead  # the output
    other_norm: Norm  # a norm to convert to
    partner: Map | None = None  # a second map, for the composition
    partner_contraction: Contraction | None = None
    training: Training | None = None  # a loss and a second parameter vector, to learn with
    label: str = ""  # where it comes from


def experiment(
    recurrent: Map,
    inputs: Any,
    *,
    contraction: Contraction,
    k_max: int | None = None,
    start: Any = None,
    restart: Any = None,
    other_inputs: Any = None,
    other_start: Any = None,
    head: Any = None,
    other_norm: Norm | None = None,
    partner: Map | None = None,
    partner_contraction: Contraction | None = None,
    training: Training | None = None,
    label: str = "",
) -> Experiment:
    """Return an experiment with checked shapes and the usual defaults.

    Parameters
    ----------
    recurrent : Map
    inputs : (T, m) array
        One sequence.
    contraction : Contraction
        Certified, or assumed on your word.
    k_max : int, optional
        Largest truncation length measured, min(T, 64) by default.
    start, restart : (n,) arrays, optional
        Where the recurrent model and the truncated one start; zero by default.
    other_inputs : (T, m) array, optional
        A second sequence, for the dependence on the inputs; the negated one by default, moved into
        the domain of the contraction if it has one.
    other_start : (n,) array, optional
        A second start, for the dependence on it; all ones by default, moved likewise.
    head : LinearHead, array, or output layer, optional
        The output, see `theory.maps.as_head`; the state itself by default.
    other_norm : Norm, optional
        A norm to convert to; `L2` by default.
    partner, partner_contraction : Map and Contraction, optional
        A second map, to compose with the first.
    training : Training, optional
        What the theorems about gradients and training need; see `theory.learning`.
    label : str
        Where the experiment comes from, for reports.

    Returns
    -------
    Experiment

    Raises
    ------
    ValueError
        If a shape does not fit or a number is not finite.
    """
    n = check_map(recurrent).state_dim
    if not isinstance(contraction, Contraction):
        raise ValueError(
            f"contraction={contraction!r}, needed a Contraction; theory.contraction(map) looks for "
            "one and answers None when it finds none"
        )
    x = as_sequences("inputs", inputs, width=recurrent.input_dim)
    if x.ndim != 2:
        raise ValueError(f"inputs has shape {x.shape}, needed one sequence (T, m)")
    domain = contraction.domain
    if other_inputs is None:
        again = -x if domain is None else np.clip(-x, domain.input_low, domain.input_high)
    else:
        again = as_sequences("other_inputs", other_inputs, width=x.shape[1])
    if again.shape != x.shape:
        raise ValueError(f"other_inputs has shape {again.shape}, needed {x.shape} as inputs has")
    zero = np.zeros(n)
    one = zero + 1 if domain is None else domain.moved_inside(zero + 1)
    k = min(len(x), 64) if k_max is None else k_max
    check_count(k_max=k)
    contraction.norm.check_dim(n)
    other = L2() if other_norm is None else check_norm(other_norm, "other_norm")
    other.check_dim(n)
    if partner is not None and (partner.state_dim, partner.input_dim) != (n, x.shape[1]):
        raise ValueError(
            f"partner has a state of dimension {partner.state_dim} and inputs of dimension "
            f"{partner.input_dim}, needed {n} and {x.shape[1]} like the map itself"
        )
    return Experiment(
        map=recurrent,
        contraction=contraction,
        inputs=x,
        k_max=int(k),
        start=as_vector("start", zero if start is None else start, size=n),
        restart=as_vector("restart", zero if restart is None else restart, size=n),
        other_inputs=again,
        other_start=as_vector("other_start", one if other_start is None else other_start, size=n),
        head=LinearHead(np.eye(n)) if head is None else as_head(recurrent, head),
        other_norm=other,
        partner=partner,
        partner_contraction=partner_contraction,
        training=training,
        label=label,
    )
