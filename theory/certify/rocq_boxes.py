r"""Boxes of gated cells on multiples of 2**-40, with the very arithmetic of the files for Rocq.

Main names: `Box`, `Gates`, `lstm_box`, `gru_box`, `ONE`.

Every function has its twin in `rocq/gates.v`: exp(x) >= (1 + x / 2**40)**(2**40), squared 40 times
with 90 bits after the point, gives the logistic function, and tanh(x) = 2 logistic(2 x) - 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

#: 1, in the unit of all numbers here.
ONE = 2**40

_POINT = 2**90

#: Rounds of widening a box until it is never left.
_ROUNDS = 50


def _exp_below(a: int) -> int:
    u = _POINT + a * 2**10
    for _ in range(40):
        u = (u * u) >> 90
    return u


def logistic_up(a: int, d: int = ONE) -> int:
    """Return the least s of which logistic(a) <= s / d is shown."""
    return -(-d * _POINT // (_POINT + _exp_below(-a)))


def logistic_image(low: int, high: int) -> tuple[int, int]:
    """Return ends of the logistic function between two arguments."""
    return max(ONE - logistic_up(-low), 0), logistic_up(high)


def tanh_image(low: int, high: int) -> tuple[int, int]:
    """Return ends of tanh between two arguments."""
    return ONE - logistic_up(-2 * low, 2 * ONE), logistic_up(2 * high, 2 * ONE) - ONE


def least(row: Sequence[int], low: Sequence[int], high: Sequence[int]) -> int:
    """Return the least sum of products with numbers between two ends, the largest if exchanged."""
    return sum(w * (a if w >= 0 else b) for w, a, b in zip(row, low, high, strict=True) if w)


def top_product(low: int, high: int, other: int) -> int:
    """Return the largest product of a number between ends, not negative, and one of at most."""
    return (high if other >= 0 else low) * other


def low_product(low: int, high: int, other: int) -> int:
    """Return the least product."""
    return -top_product(low, high, -other)


def ceil(a: int) -> int:
    """Return a / 2**40, rounded up."""
    return -(-a >> 40)


def bump(low: int, high: int) -> int:
    """Return the largest s (1 - s) between ends."""
    if 2 * high <= ONE:
        return ceil(high * (ONE - high))
    return ceil(2**78) if 2 * low < ONE else ceil(low * (ONE - low))


def bump_tanh(low: int, high: int) -> int:
    """Return the largest 1 - t**2 between ends."""
    if high <= 0:
        return ceil(ONE * ONE - high * high)
    return ceil(ONE * ONE - low * low) if low >= 0 else ONE


@final
@dataclass(frozen=True, kw_only=True)
class Gates:
    """The weights of a cell on integers, and the box of its inputs."""

    units: int
    W: list[list[int]]  # the rows of all gates, / scale
    scale: int
    U: list[list[int]]  # / fed
    b: list[int]  # / fed
    fed: int
    input_low: list[int]
    input_high: list[int]
    held: list[int]  # the bias that the reset gate of a GRU multiplies, / held_scale
    held_scale: int

    def inputs(self) -> tuple[list[int], list[int]]:
        """Return ends of U x + b."""
        low, high = [], []
        for row, b in zip(self.U, self.b, strict=True):
            low.append((least(row, self.input_low, self.input_high) + b * ONE) // self.fed)
            high.append(-(-(least(row, self.input_high, self.input_low) + b * ONE) // self.fed))
        return low, high

    def arguments(
        self,
        low: Sequence[int],
        high: Sequence[int],
        inputs: tuple[list[int], list[int]],
        rows: range,
    ) -> tuple[list[int], list[int]]:
        """Return ends of W h + u, h between ends, of some rows."""
        return (
            [least(self.W[r], low, high) // self.scale + inputs[0][r] for r in rows],
            [-(-least(self.W[r], high, low) // self.scale) + inputs[1][r] for r in rows],
        )


@final
@dataclass(frozen=True, kw_only=True)
class Box:
    """Ends of states, inputs, arguments and values of gates; and the coefficients of terms."""

    ends: dict[str, list[int]]  # by their names in the file
    terms: list[list[list[int]]]  # by sheet and entry of the state, of every signal


def lstm_box(gates: Gates, low: list[int], high: list[int]) -> Box | None:
    """Return the box of an LSTM that holds one and that it never leaves; None if none is found."""
    n = gates.units
    inputs = gates.inputs()
    lo, hi = list(low), list(high)
    for _ in range(_ROUNDS):
        a = gates.arguments(lo[n:], hi[n:], inputs, range(4 * n))
        images: list[Callable[[int, int], tuple[int, int]]] = [
            tanh_image if r // n == 2 else logistic_image for r in range(4 * n)
        ]
        values = [image(*ends) for image, ends in zip(images, zip(*a, strict=True), strict=True)]
        i, f, g, o = (values[k * n : (k + 1) * n] for k in range(4))
        t = [tanh_image(lo[j], hi[j]) for j in range(n)]
        wider = _lstm_wider(lo, hi, (i, f, g, o), t)
        if wider is None:
            return None
        if wider == (lo, hi):
            ends = {
                "lo": lo, "hi": hi, "ulo": inputs[0], "uhi": inputs[1], "alo": a[0], "ahi": a[1],
                "glo": [v[0] for v in values], "ghi": [v[1] for v in values],
                "tlo": [v[0] for v in t], "thi": [v[1] for v in t],
            }  # fmt: skip
            return Box(ends=ends, terms=[_lstm_terms(lo, hi, (i, f, g, o), t)])
        lo, hi = wider
    return None


_Four = tuple[list[tuple[int, int]], ...]


def _lstm_wider(
    lo: list[int], hi: list[int], gates: _Four, t: list[tuple[int, int]]
) -> tuple[list[int], list[int]] | None:
    """Return the ends, widened where a step leaves them."""
    (i, f, g, o), n = gates, len(t)
    new_lo, new_hi = list(lo), list(hi)
    for j in range(n):
        up, down = top_product(*i[j], g[j][1]), low_product(*i[j], g[j][0])
        if top_product(*f[j], hi[j]) + up > hi[j] * ONE:
            if not f[j][1] < ONE:
                return None
            new_hi[j] = max(hi[j] + 1, -(-up // (ONE - f[j][1])) + 1)
        if low_product(*f[j], lo[j]) + down < lo[j] * ONE:
            if not f[j][1] < ONE:
                return None
            new_lo[j] = min(lo[j] - 1, down // (ONE - f[j][1]) - 1)
        new_hi[n + j] = max(hi[n + j], -(-top_product(*o[j], t[j][1]) // ONE))
        new_lo[n + j] = min(lo[n + j], low_product(*o[j], t[j][0]) // ONE)
    return new_lo, new_hi


def _lstm_terms(
    lo: list[int], hi: list[int], gates: _Four, t: list[tuple[int, int]]
) -> list[list[int]]:
    (i, f, g, o), n = gates, len(t)
    cells = [
        [
            f[j][1],
            ceil(bump(*i[j]) * _size(g[j])),
            ceil(bump(*f[j]) * _size((lo[j], hi[j]))),
            ceil(i[j][1] * bump_tanh(*g[j])),
            0,
        ]
        for j in range(n)
    ]
    outputs = []
    for j in range(n):
        p = ceil(o[j][1] * bump_tanh(*t[j]))
        own = [ceil(p * c) for c in cells[j][:4]]
        outputs.append([*own, ceil(bump(*o[j]) * _size(t[j]))])
    return cells + outputs


def _size(ends: tuple[int, int]) -> int:
    return max(abs(ends[0]), abs(ends[1]))


def gru_box(gates: Gates, low: list[int], high: list[int]) -> Box | None:
    """Return the box of a GRU that holds one and that it never leaves; None if none is found."""
    n = gates.units
    inputs = gates.inputs()
    lo, hi = list(low), list(high)
    for _ in range(_ROUNDS):
        a = gates.arguments(lo, hi, inputs, range(2 * n))
        r, z = (
            [logistic_image(*ends) for ends in zip(a[0][part], a[1][part], strict=True)]
            for part in (slice(n), slice(n, 2 * n))
        )
        # W h + b_c in fractions of one, then r times it
        sums = [(least(row, lo, hi), least(row, hi, lo)) for row in gates.W[2 * n :]]
        whole = gates.scale * gates.held_scale
        v = [
            (
                (down * gates.held_scale + b * ONE * gates.scale) // whole,
                -(-(up * gates.held_scale + b * ONE * gates.scale) // whole),
            )
            for (down, up), b in zip(sums, gates.held, strict=True)
        ]
        x = [
            (
                inputs[0][2 * n + j] + low_product(*r[j], v[j][0]) // ONE,
                inputs[1][2 * n + j] - (-top_product(*r[j], v[j][1]) // ONE),
            )
            for j in range(n)
        ]
        t = [tanh_image(*ends) for ends in x]
        wider = (
            [min(end, image[0]) for end, image in zip(lo, t, strict=True)],
            [max(end, image[1]) for end, image in zip(hi, t, strict=True)],
        )
        if wider == (lo, hi):
            values = [*r, *z, *t]
            ends = {
                "lo": lo, "hi": hi, "ulo": inputs[0], "uhi": inputs[1],
                "alo": [*a[0], *(e[0] for e in x)], "ahi": [*a[1], *(e[1] for e in x)],
                "glo": [e[0] for e in values], "ghi": [e[1] for e in values],
                "vlo": [e[0] for e in v], "vhi": [e[1] for e in v],
            }  # fmt: skip
            return Box(ends=ends, terms=_gru_terms(lo, hi, (r, z, t, v)))
        lo, hi = wider
    return None


def _gru_terms(lo: list[int], hi: list[int], gates: _Four) -> list[list[list[int]]]:
    """Return the coefficients at the least and at the largest update gates."""
    r, z, t, v = gates
    sheets = []
    for end in (0, 1):
        rows = []
        for j in range(len(t)):
            rest, slope = max(0, ONE - z[j][end]), bump_tanh(*t[j])
            turned = ceil(bump(*r[j]) * _size(v[j]))
            apart = _size((lo[j] - t[j][1], hi[j] - t[j][0]))
            rows.append(
                [
                    z[j][end],
                    ceil(rest * ceil(slope * turned)),
                    ceil(bump(*z[j]) * apart),
                    ceil(rest * ceil(slope * r[j][1])),
                ]
            )
        sheets.append(rows)
    return sheets
