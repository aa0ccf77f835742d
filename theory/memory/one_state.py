r"""The worst-case error of one linear state, in closed form.

Main name: `OneState`.

Of h <- a h + B x + b with A = |a|, s = max |B (x - centre)| and g = |B centre + b| over the box,
the terms of lags m >= k of an output c h are |c| times

    A^m (s + g)                     for a >= 0: the drift pushes one way,
    A^m s + (-1)^(m-k) A^m g        for a < 0, for the better of both signs.

The largest sum of the first L of them, A^k S_L, is reached at the last one, or for a < 0, where
pairs add

    A^(m+1) ((s - g) + (s + g) A),  of one sign for all m,

at the first, the last or the last but one: sums of an odd number of terms change one way, those of
an even number grow.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import final

import numpy as np

from theory.arithmetic.rounding import evaluate
from theory.memory.linear import LinearForm, Push
from theory.norms.norms import L2
from theory.typing import Array, Scalar

#: After so many factors a the rest is below 2**-64 of the sum.
_SETTLED = 64 * math.log(2)


def _sum(
    a: Scalar, k: int, lags: int, c: Scalar, s: int, s_over: int, g: int, g_over: int, sign: int
) -> Scalar:
    """Return the sum of `lags` terms from lag k on, s / s_over and g / g_over; all of them for 0.

    `sign` is -1 if the drift changes its own at every lag.
    """
    power = a**k * c
    gain, drift = 1 / (1 - a), 1 / (1 - sign * a)
    if lags:
        gain, drift = gain * (1 - a**lags), drift * (1 - (sign * a) ** lags)
    return power * gain * s / s_over + power * drift * g / g_over


@final
class OneState:
    """The closed forms of one state, for several outputs."""

    def __init__(self, form: LinearForm, C: Array, push: Push) -> None:
        self.a, self.B, self.C = float(form.A[0, 0]), form.B[0], C[:, 0]
        entries = [Fraction(x) for x in self.B.tolist()]
        centre = [Fraction(x) for x in push.centre.tolist()]
        self.drift = sum((x * y for x, y in zip(entries, centre, strict=True)), Fraction(0))
        self.drift += Fraction(float(form.b[0]))
        self.attained = push.attained
        # bounds of s; the box may be known from both sides only
        ends = ((push.within, False), (push.radius, True))
        self.reach = tuple(self._reach(push, end, upward=upward) for end, upward in ends)
        if push.balls and not push.boxed:
            self.drift = Fraction(float(form.b[0]))

    def _reach(self, push: Push, radius: Array, *, upward: bool) -> Fraction:
        sizes = [abs(Fraction(x)) for x in self.B.tolist()]
        found = []
        if push.boxed:
            pairs = zip(sizes, radius.tolist(), strict=True)
            found.append(sum((x * Fraction(r) for x, r in pairs), Fraction(0)))
        # a box around c and a ball around 0 bound different things, unless c is 0
        for q, ball in push.balls if push.symmetric or not push.boxed else ():
            if q == 2:
                length = Fraction(float(L2().vector_upper(self.B)))
                # of n + 2 roundings
                length *= 1 if upward else 1 - Fraction(8 * len(sizes) + 64, 2**53)
            else:
                length = max(sizes) if q == math.inf else sum(sizes, Fraction(0))
            found.append(length * Fraction(ball))
        return min(found)

    @property
    def settled(self) -> int:
        """Return a number of lags after which nothing is left that a double would show."""
        A = abs(self.a)
        return 1 if A == 0 else max(1, math.ceil(_SETTLED / max(-math.log(A), 2.0**-54)))

    def _counts(self, lags: int | None) -> list[int]:
        """Return after how many terms the sum may be largest, 0 for all of infinitely many."""
        if lags is not None and lags <= 0:
            return []
        if self.a >= 0 or self.drift == 0:
            return [lags or 0]
        return sorted({1, lags or 0, max(1, (lags or 1) - 1)})

    def _value(self, c: float, k: int, count: int, *, upward: bool) -> float:
        s, g = self.reach[upward], abs(self.drift)
        A = abs(self.a)
        if A == 0:
            if k > 0:
                return 0.0
            count = 1
        return evaluate(
            _sum, upward=upward, a=A, k=k, lags=count, c=abs(c), s=s.numerator,
            s_over=s.denominator, g=g.numerator, g_over=g.denominator,
            sign=1 if self.a >= 0 else -1,
        )  # fmt: skip

    def errors(self, k: int, lags: int | None) -> tuple[Array, Array]:
        """Return the largest error of every output, over so many lags from k on, from both sides.

        Lower values are finite, and reached only if `attained`.
        """
        ends = []
        for upward in (False, True):
            values = [
                max((self._value(c, k, j, upward=upward) for j in self._counts(lags)), default=0.0)
                if c and (self.reach[upward] or self.drift)
                else 0.0
                for c in self.C.tolist()
            ]
            ends.append(np.array(values))
        return np.minimum(ends[0], np.finfo(np.float64).max), ends[1]

    def history(self, i: int, k: int, lags: int, box: tuple[Array, Array], longest: int) -> Array:
        """Return the inputs of the largest error of an output, oldest first, the newest of them."""
        c, g = float(self.C[i]), self.drift
        counts = self._counts(lags)
        if not counts:
            return np.zeros((0, len(self.B)))
        count = max(counts, key=lambda j: self._value(c, k, j, upward=False))
        made = np.arange(min(count, longest))
        turns = np.where(made % 2 == 0, 1.0, -1.0) if self.a < 0 else np.ones(len(made))
        # the first term is the largest one: the drift of lag k counts for it, not against it
        sign = 1.0 if g >= 0 else -1.0
        pushes = sign * turns[:, None] * np.sign(self.B)
        return np.where(pushes >= 0, box[1], box[0])[::-1].copy()
