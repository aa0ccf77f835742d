r"""How many inputs are enough on data: measured until pasts are near, certified from there.

Main names: `certified_memory`, `CertifiedMemory`.

A trained gated cell is rarely provable from every past.  But on its own data pasts come near to
each other, as can be measured, and from there on forgetting can be proved (`reach_tube`).

Let w be the visited ranges and r a share of them, both chosen from some sequences, and X_1 .. X_N
others, independent and of one distribution.  |e|_w = max |e_i| / w_i.

Statement   Let k_1 be the effective memory of |h_t - h_t^{k_1}|_w at r, anywhere in a sequence, as
            measured on X_1 .. X_N.  With probability at least `confidence` over these, a new
            sequence X of the same distribution has, with probability at least 1 - `probability`,

                |h_{s+j} - h_{s+j}^{k_1+j}| <= D_j(X)   for all times s of X and all j,

            D_j being the distance that `reach_tube` proves after the j inputs from s on, from all
            states within r of h_s^{k_1}.
Proof       Outside of an event of that probability |h_s - h_s^{k_1}|_w <= r at all times s
            (`theory.measure.effective_memory`).  Then h_s is among the states that the tube starts
            from, so h_{s+j} is in its set after j inputs, and D_j bounds the distance of that set
            from the continuation of h_s^{k_1}, which is h_{s+j}^{k_1+j}.

D_j depends on X alone and is computed, not estimated: how many inputs from s on are enough, k_2, is
certified for that sequence, given that its past is as near as nearly all pasts are.  That is the
condition in every answer.  Nothing is claimed for sequences of another distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.errors import as_sequences, check_count, check_positive
from theory.files.sequences import as_list
from theory.maps.base import Map, check_map
from theory.maps.head import as_head
from theory.measure.effective_memory import DEFAULT_K_MAX, EffectiveMemory, effective_memory
from theory.memory.critical import critical_radius, visited_ranges
from theory.memory.reach import COLUMNS, ReachTube, reach_tube
from theory.norms.norm import check_norm
from theory.norms.norms import L2, Norm, WeightedLinf
from theory.shown import shown
from theory.typing import Array

#: Of the shares from which the sequences of the design are proved to shrink the least is halved.
_SAFETY = 0.5

#: Sequences that choose the share.
DESIGN = 8


@final
@shown
@dataclass(frozen=True, kw_only=True, eq=False)
class CertifiedMemory:
    """A memory in two stages: measured until pasts are near, certified from there."""

    recurrent: Map
    eps: float  # allowed error
    norm: Norm  # of the error
    C: Array | None  # of outputs C h; None: the error is that of the state
    share: float  # r, of the visited ranges; 0: none is proved to shrink
    ranges: Array  # w, (n,)
    measured: EffectiveMemory | None  # until pasts are within r of the model of k_1 inputs
    window: int  # the most inputs that are certified from there
    steps: tuple[int | None, ...]  # k_2 of each sequence that was looked at, from `window` inputs
    # before its end; None: not within these
    columns: int

    @property
    def k_1(self) -> int | None:
        """Return the measured part, None if pasts do not come that near."""
        return None if self.measured is None else self.measured.k

    @property
    def k(self) -> int | None:
        """Return k_1 and the largest k_2 of the sequences; None if one of them is not certified."""
        known = [k for k in self.steps if k is not None]
        if self.k_1 is None or not known or len(known) < len(self.steps):
            return None
        return self.k_1 + max(known)

    def tube(self, X: Any, *, k: int | None = None) -> ReachTube:
        """Return what is certified for a sequence: from pasts within r, through its last inputs.

        Parameters
        ----------
        X : (T, m) array
        k : int, optional
            How many inputs, `window` by default, and never more than the sequence has.

        Returns
        -------
        ReachTube
            From s = T - k on: its `distance` is D_j, its `steps(eps)` is k_2.

        Raises
        ------
        ValueError
            If there is no k_1 or no share, or the sequence has another width.
        """
        if self.k_1 is None:
            raise ValueError(f"{self}; needed pasts that are proved to shrink and come that near")
        x = as_sequences("X", X, width=self.recurrent.input_dim)
        if x.ndim != 2:
            raise ValueError(f"X has shape {x.shape}, needed one sequence")
        wanted = self.window if k is None else k
        check_count(k=wanted)
        last = min(int(wanted), len(x))
        return _tube(self.recurrent, x, self.k_1, last, self.share * self.ranges, self.columns)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready description."""
        return {
            "kind": "measured, then certified given pasts within the share",
            "k": self.k,
            "k_1": self.k_1,
            "k_2": list(self.steps),
            "share": self.share,
            "ranges": self.ranges.tolist(),
            "window": self.window,
            "epsilon": self.eps,
            "norm": self.norm.to_dict(),
        }

    def __str__(self) -> str:
        if self.share == 0 or self.measured is None:
            return f"from no share of the visited range {self.window} inputs are proved to forget"
        near = f"{100 * self.share:.3g} % of the visited range"
        if self.k_1 is None:
            return f"pasts are not measured to come within {near}: {self.measured}"
        known = [k for k in self.steps if k is not None]
        first = (
            f"k_1 = {self.k_1} until pasts are within {near} (measured: but for a probability of "
            f"{self.measured.probability:g}, confidence {self.measured.confidence:g})"
        )
        if not known:
            return f"{first}; from there no sequence is certified within {self.window} inputs"
        median = int(np.median(known))
        return (
            f"{first}; from there k_2 = {median} in the median, {max(known)} at most, for "
            f"{len(known)} of {len(self.steps)} sequences (certified, given such pasts)"
        )


def certified_memory(
    recurrent: Map,
    sequences: Any,
    *,
    eps: float,
    probability: float = 0.01,
    confidence: float = 0.99,
    head: Any = None,
    norm: Norm | None = None,
    share: float | None = None,
    design: int = DESIGN,
    window: int = 20,
    tubes: int = 20,
    k_max: int = DEFAULT_K_MAX,
    columns: int = COLUMNS,
) -> CertifiedMemory:
    r"""Return a memory in two stages, on sequences like those given; see the module.

    Parameters
    ----------
    recurrent : Map
        Started and restarted from zero.
    sequences : as in `effective_memory`
        Independent and of one distribution.
    eps : float
        Allowed error of the state, or of the output of `head`, in `norm`.
    probability, confidence : float
        Of the measured part.
    head : LinearHead, optional
        As in `required_context`.
    norm : Norm, optional
        `L2` by default.
    share : float, optional
        r.  By default half of the least `critical_radius` of the first `design` sequences.
    design : int
        So many sequences choose w and r, and are not measured.
    window : int
        The most inputs of the certified part.
    tubes : int
        On how many of the other sequences it is tried, at their ends.
    k_max : int
        Of the measured part.
    columns : int
        As in `reach_tube`.

    Returns
    -------
    CertifiedMemory
        Its `tube` asks the same of any new sequence.

    Raises
    ------
    ValueError
        If there are no sequences beside those of the design, one of those is not longer than
        `window`, a number is out of range, or the map does not enclose its steps.

    Examples
    --------
    >>> from theory import VanillaRNN
    >>> rng = np.random.default_rng(0)
    >>> cell = VanillaRNN([[1.2, -0.5], [0.5, 0.9]], np.eye(2))
    >>> pieces = list(2 * rng.standard_normal((46, 30, 2)))
    >>> found = certified_memory(
    ...     cell, pieces, eps=0.01, probability=0.1, share=0.02, design=1, window=10, tubes=2
    ... )
    >>> found.k is not None and found.k_1 + max(found.steps) == found.k
    True
    >>> found.tube(2 * rng.standard_normal((30, 2))).steps(0.01) is not None
    True
    """
    check_map(recurrent)
    check_positive(eps=eps)
    check_count(at_least=1, tubes=tubes)
    given = as_list(sequences, recurrent.input_dim)
    check_window([len(x) for x in given], window=window, design=design)
    measure = L2() if norm is None else check_norm(norm)
    C = None if head is None else as_head(recurrent, head).C
    first, others = given[:design], given[design:]
    visited = np.vstack([recurrent.simulate(x) for x in first])
    ranges = visited_ranges(visited, recurrent.state_dim)
    if share is None:
        found = [
            critical_radius(recurrent, x, k=window, visited=visited, columns=columns).share
            for x in first
        ]
        r = _SAFETY * min(found)
    else:
        check_positive(share=share)
        r = float(share)
    measured, steps = None, []
    if r > 0:
        # of the whole state, of which a map may show a part only
        measured = effective_memory(
            recurrent, others, eps=r, probability=probability, confidence=confidence,
            head=np.eye(recurrent.state_dim), norm=WeightedLinf(ranges), k_max=k_max,
        )  # fmt: skip
        if measured.k is not None:
            for x in others[:tubes]:
                last = min(window, len(x))
                tube = _tube(recurrent, x, measured.k, last, r * ranges, columns)
                steps.append(tube.steps(float(eps), measure, C))
    return CertifiedMemory(
        recurrent=recurrent,
        eps=float(eps),
        norm=measure,
        C=C,
        share=r,
        ranges=ranges,
        measured=measured,
        window=int(window),
        steps=tuple(steps),
        columns=int(columns),
    )


def _tube(recurrent: Map, x: Array, k_1: int, k_2: int, radius: Array, columns: int) -> ReachTube:
    """Carry the states within `radius` of the model of k_1 inputs through the last k_2 inputs."""
    before = x[max(len(x) - k_2 - k_1, 0) : len(x) - k_2]
    n = recurrent.state_dim
    known = recurrent.simulate(before)[-1] if len(before) else np.zeros(n)
    used = x[len(x) - k_2 :]
    return reach_tube(
        recurrent, used, k=k_2, pasts=known, radius=radius, known=known, columns=columns
    )


def check_window(lengths: Sequence[int], *, window: int, design: int = DESIGN) -> None:
    """Raise `ValueError` unless sequences of these lengths choose a share for the window."""
    check_count(at_least=1, design=design, window=window)
    if len(lengths) <= design:
        raise ValueError(
            f"received {len(lengths)} sequences, needed more than the {design} that choose the "
            "share of the range; lower design="
        )
    short = min(lengths[:design])
    if not short > window:
        raise ValueError(
            f"a sequence of the design has {short} inputs, needed more than window={window}"
        )
