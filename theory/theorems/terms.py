r"""What a difference of states becomes in one step, as sums of terms with bounded coefficients.

Main names: `Terms`, `Signal`.

A difference d of two states is cut into parts of n entries.  A signal is y = V d_q, V an (n, n)
matrix or the identity, d_q a part; a step's difference d+ is majorised by signals, unit by unit:

    |d+_pj| <= max over sheets of sum_k C[sheet, p, k, j] |y_kj|.

Beyond the parts of the state there may be one of an intermediate quantity, majorised in the same
way, that signals are taken of: r h of a GRU whose reset gate stands before W_n.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, final

import numpy as np

from theory.arithmetic.gram import weighted_gram_holds, weighted_gram_upper
from theory.arithmetic.intervals import plus_up, times_up
from theory.arithmetic.rounding import down
from theory.typing import Array


class Signal(NamedTuple):
    """What a term is made of: V d_q."""

    part: int  # q
    V: Array | None  # (n, n); None: the identity


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Terms:
    """Signals and the bounds of their coefficients, rounded upward."""

    coefficients: Array  # C, (sheets, parts, signals, n), non-negative
    signals: tuple[Signal, ...]
    state_parts: int  # how many of the parts are the state; the others are intermediate

    def __post_init__(self) -> None:
        shape = self.coefficients.shape
        if len(shape) != 4 or shape[2] != len(self.signals) or not 0 < self.state_parts <= shape[1]:
            raise ValueError(
                f"coefficients have shape {shape}, needed (sheets, parts, {len(self.signals)}, n)"
            )
        if not bool(np.all(self.coefficients >= 0)):
            raise ValueError("a coefficient is negative or NaN, needed bounds of sizes")

    @property
    def parts(self) -> int:
        """Return the number of parts, intermediate ones included."""
        return int(self.coefficients.shape[1])

    @property
    def units(self) -> int:
        """Return n."""
        return int(self.coefficients.shape[3])

    @property
    def state_dim(self) -> int:
        """Return the dimension of the state."""
        return self.state_parts * self.units

    def of_sizes(self) -> Terms:
        """Return the same with the absolute values of all matrices."""
        signals = tuple(Signal(q, None if V is None else np.abs(V)) for q, V in self.signals)
        return replace(self, signals=signals)

    def sums_of_squares(self, weights: Array, multipliers: Array) -> list[tuple[Array, Array]]:
        r"""Return for every part q the rows s and the diagonal `own` of its form, rounded upward.

        sum_p,j w_pj sum_k t_pkj y_kj^2 = sum over parts q of d_q^T (V^T diag(s) V + diag(own)) d_q,
        V the matrices of all signals of q in a stack.
        """
        sizes = [
            plus_up(*(times_up(w, t[k]) for w, t in zip(weights, multipliers, strict=True)))
            for k in range(len(self.signals))
        ]
        found = []
        for q in range(self.parts):
            of_q = [(s, one.V) for s, one in zip(sizes, self.signals, strict=True) if one.part == q]
            rows = [s for s, V in of_q if V is not None]
            own = [s for s, V in of_q if V is None]
            found.append(
                (
                    np.concatenate(rows) if rows else np.zeros(0),
                    plus_up(*own) if own else np.zeros(self.units),
                )
            )
        return found

    @cached_property
    def stacks(self) -> list[Array]:
        """Return for every part the matrices of its signals in a stack, (m, n)."""
        made = []
        for q in range(self.parts):
            rows = [one.V for one in self.signals if one.part == q and one.V is not None]
            made.append(np.vstack(rows) if rows else np.zeros((0, self.units)))
        return made

    def loads(self, multipliers: Array) -> Array:
        """Return max over sheets of sum_k C^2 / t, (parts, n), rounded upward; inf for C / 0."""
        C = self.coefficients
        with np.errstate(divide="ignore", over="ignore", under="ignore", invalid="ignore"):
            quotients = np.nextafter(times_up(C, C) / multipliers, math.inf)
        quotients = np.where(C == 0, 0.0, quotients)
        totals = plus_up(*(quotients[:, :, k] for k in range(len(self.signals))))
        return np.asarray(np.max(totals, axis=0))

    def load_upper(self, multipliers: Array) -> float:
        """Return an upper bound of the largest load; inf if it is not finite."""
        load = float(np.max(self.loads(multipliers), initial=0.0))
        return load if math.isfinite(load) else math.inf

    def level_upper(self, weights: Array, multipliers: Array, load: float) -> float:
        """Return an upper bound of the least level of the state's parts; inf if none is proved.

        Intermediate parts have to meet a level of 1 / load.
        """
        forms = self.sums_of_squares(weights, multipliers)
        if not self._passes(weights, forms, load):
            return math.inf
        return max(
            weighted_gram_upper(self.stacks[q], forms[q][0], weights[q], forms[q][1])
            for q in range(self.state_parts)
        )

    def level_holds(self, weights: Array, multipliers: Array, load: float, level: float) -> bool:
        """Decide whether a level is one of all parts of the state; True is a proof."""
        forms = self.sums_of_squares(weights, multipliers)
        return self._passes(weights, forms, load) and all(
            weighted_gram_holds(self.stacks[q], forms[q][0], weights[q], level, forms[q][1])
            for q in range(self.state_parts)
        )

    def _passes(self, weights: Array, forms: list[tuple[Array, Array]], load: float) -> bool:
        """Decide whether load times the form of every intermediate part is at most its weights."""
        if not math.isfinite(load):
            return False
        most = down(1.0 / load) if load > 0 else 1.0
        return all(
            weighted_gram_holds(self.stacks[q], forms[q][0], weights[q], most, forms[q][1])
            for q in range(self.state_parts, self.parts)
        )
