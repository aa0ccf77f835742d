"""The constants of the training theorems, as a value.

Main names: `MapConstants`, `trained_names`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from theory.arithmetic.rounding import evaluate
from theory.maps.base import Map
from theory.maps.gru import GRU
from theory.norms.norms import Norm
from theory.shown import shown
from theory.theorems.loss_smoothness import formula
from theory.typing import Array


@shown
@final
@dataclass(frozen=True, kw_only=True, eq=False)
class MapConstants:
    """Upper bounds that hold together, in one norm and on one domain."""

    lam: float  # lambda, may be 1 or more: then the maps do not contract
    drive: float  # C
    state_bound: float  # B_h, of a ball or box that no state from rest leaves
    input_bound: float  # B_x, Euclidean
    weight_gain: float  # L_w
    beta_hh: float
    beta_hw: float
    beta_wh: float
    beta_ww: float
    majorant: float  # norm of a matrix that bounds |d_h step| entrywise; for rounding
    norm: Norm  # of the state
    trained: tuple[str, ...]  # the names of the parameters in w
    radius: float  # of the ball around the maps
    box: Array | None = None  # entry by entry, where the states stay too, (n,); of gated cells

    @property
    def smooth(self) -> bool:
        """Return whether all of them are finite."""
        return all(math.isfinite(x) for x in (self.beta_hh, self.beta_hw, self.beta_ww))

    def smoothness(self, loss_gain: float, beta_p: float) -> float:
        """Return beta, the Lipschitz constant of the gradient of p(h_T(w)); inf unless lam < 1."""
        if not (self.lam < 1 and self.smooth):
            return math.inf
        return evaluate(
            formula, lam=self.lam, weight_gain=self.weight_gain, loss_gain=loss_gain,
            beta_hh=self.beta_hh, beta_hw=self.beta_hw, beta_wh=self.beta_wh,
            beta_ww=self.beta_ww, beta_p=beta_p, distance=1.0,
        )  # fmt: skip


def trained_names(model: Map, trained: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of the trained parameters, all by default.

    Raises
    ------
    ValueError
        If one of them is no parameter of the map.
    """
    # a GRU that resets before the product has no bias behind its reset gate, and keeps a zero
    before = isinstance(model, GRU) and model.variant == "reset_before"
    absent = {"b_candidate"} if before else set()
    known = tuple(name for name in model.parameters if name not in absent)
    if trained is None:
        return known
    trained = (trained,) if isinstance(trained, str) else tuple(trained)
    for name in trained:
        if name not in known:
            raise ValueError(f"trained={name!r} is no parameter, needed some of {', '.join(known)}")
    return tuple(name for name in known if name in trained)
