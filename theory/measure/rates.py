r"""Data-dependent stability: how much the map contracts along given input sequences.

Main names: `local_rates`, `MeasuredRates`.

J_t is the Jacobian of the step at time t, at the state that the model itself has then.  The norm
of J_{t+r-1} ... J_t is the factor by which the r steps from there stretch a *small* change of that
state at most; its r-th root is the rate of a step.

This is measured, never certified.  It is a statement about the states that were visited and about
changes without size, so it bounds no truncation error: h <- tanh(2 h) has the rate 0.166 wherever
it is near its fixed point 0.9575, and yet the model restarted at 0 stays there, at the same
distance after however many steps.  A `Contraction` comes from `theory.contraction` or on your word,
never from here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.errors import as_vector, check_count, check_positive
from theory.files.sequences import as_list
from theory.maps.base import Map, check_map
from theory.norms.norm import check_norm
from theory.norms.norms import L2, Norm
from theory.progress import with_bar
from theory.shown import frame, shown
from theory.typing import Array, Progress

#: Levels of the quantiles in reports.
LEVELS = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)


@shown
@final
@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredRates:
    """Local contraction rates along sequences: measured, not certified, and no `Contraction`."""

    r: int  # how many steps each product spans
    stride: int  # how many steps lie between the starts of two products
    norm: Norm  # the norm of the state, which induces that of the product
    log_norms: tuple[Array, ...]  # for every sequence ln ||J_{t+r-1} .. J_t||; -inf for a zero one

    @property
    def rates(self) -> Array:
        """Return the rate of a step for every product of every sequence, ||product||**(1/r)."""
        return np.exp(np.concatenate(self.log_norms) / self.r)

    @property
    def fraction_below_one(self) -> float:
        """Return the part of the products that contract."""
        return float(np.mean(np.concatenate(self.log_norms) < 0))

    @property
    def mean_rate(self) -> float:
        """Return the geometric mean of the rates; 0 if a product is zero."""
        return math.exp(float(np.mean(np.concatenate(self.log_norms))) / self.r)

    def quantile(self, level: float) -> float:
        """Return the least measured rate that a part `level` of the products does not exceed.

        Raises
        ------
        ValueError
            If the level is not between 0 and 1.
        """
        if not 0 <= level <= 1:
            raise ValueError(f"level={level!r}, needed 0 <= level <= 1")
        return float(np.quantile(self.rates, level, method="inverted_cdf"))

    def memory(self, eps: float, level: float = 0.99) -> int | None:
        """Return after how many steps a small change of the state has shrunk to eps of itself.

        A multiple of r: as many stretches of r steps as it takes if each shrinks it like the
        product at that level.  An extrapolation, not a bound.

        Returns
        -------
        int or None
            None if the product at that level does not contract.

        Raises
        ------
        ValueError
            If eps is not positive or the level is not between 0 and 1.
        """
        check_positive(eps=eps)
        rate = self.quantile(level)
        if eps >= 1:
            return 0
        if not rate < 1:
            return None
        return self.r * (1 if rate == 0 else math.ceil(math.log(eps) / (self.r * math.log(rate))))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready summary."""
        return {
            "kind": "measured",
            "steps": self.r,
            "stride": self.stride,
            "norm": self.norm.to_dict(),
            "sequences": len(self.log_norms),
            "products": sum(map(len, self.log_norms)),
            "quantiles": {f"{level:g}": self.quantile(level) for level in LEVELS},
            "mean_rate": self.mean_rate,
            "fraction_below_one": self.fraction_below_one,
        }

    def to_frame(self) -> Any:
        """Return a pandas table with one row for each product; extra: notebook."""
        counts = list(map(len, self.log_norms))
        starts = [np.arange(count) * self.stride for count in counts]
        return frame(
            {
                "sequence": np.repeat(np.arange(len(counts)), counts),
                "start": np.concatenate(starts),
                "rate": self.rates,
            }
        )

    def __str__(self) -> str:
        return (
            f"measured, not certified: rate of a step over {self.r} steps in {self.norm}, along "
            f"{len(self.log_norms)} sequences: median {self.quantile(0.5):.4g}, "
            f"99 % at most {self.quantile(0.99):.4g}, largest {self.quantile(1.0):.4g}; "
            f"{100 * self.fraction_below_one:.4g} % of {sum(map(len, self.log_norms))} products "
            "contract"
        )


@with_bar("sequences")
def local_rates(
    recurrent: Map,
    sequences: Any,
    *,
    r: int = 1,
    norm: Norm | None = None,
    stride: int = 1,
    h0: Any = None,
    progress: Progress | None = None,
) -> MeasuredRates:
    r"""Measure the local contraction of r steps along the model's own trajectories.

    Parameters
    ----------
    recurrent : Map
    sequences : (T, m) or (N, T, m) array, list of N arrays (T, m), or Sequences
    r : int
        How many steps each product of Jacobians spans.
    norm : Norm, optional
        Of the state, `L2` by default: the largest singular value.
    stride : int
        Products start at every `stride`-th time of each sequence.
    h0 : (n,) array, optional
        Start of the model, zero by default.
    progress : callable, optional
        Called with (sequences done, sequences in all); may raise to interrupt.

    Returns
    -------
    MeasuredRates
        Lower values of the true norms, as good as rounding; measured, never certified.

    Raises
    ------
    ValueError
        If no sequence has r inputs, or a shape, count or norm does not fit.
    DivergedError
        If the model leaves the range of double precision.

    Examples
    --------
    >>> from theory import VanillaRNN
    >>> bistable = VanillaRNN([[2.0]], [[1.0]])
    >>> measured = local_rates(bistable, np.zeros((50, 1)), h0=[0.957504])
    >>> round(measured.quantile(1.0), 4), measured.fraction_below_one
    (0.1664, 1.0)
    """
    check_map(recurrent)
    check_count(at_least=1, stride=stride)
    n = recurrent.state_dim
    measure = L2() if norm is None else check_norm(norm)
    measure.check_dim(n)
    start = as_vector("h0", np.zeros(n) if h0 is None else h0, size=n)
    given = as_list(sequences, recurrent.input_dim)
    check_span([len(X) for X in given], r)
    from theory.measure.jacobians import log_product_norms

    found = []
    for i, X in enumerate(given):
        before = np.concatenate([start[None], recurrent.simulate(X, start)[:-1]])
        found.append(log_product_norms(recurrent, before, X, int(r), int(stride), measure))
        if progress is not None:
            progress(i + 1, len(given))
    return MeasuredRates(r=int(r), stride=int(stride), norm=measure, log_norms=tuple(found))


def check_span(lengths: Sequence[int], r: int) -> None:
    """Raise `ValueError` unless one of these lengths has r steps."""
    check_count(at_least=1, r=r)
    longest = max(lengths, default=0)
    if not longest >= r:
        raise ValueError(
            f"r={r}, but the longest of {len(lengths)} sequences has {longest} inputs; needed r "
            "inputs at least; ask for fewer steps"
        )
