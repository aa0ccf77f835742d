r"""Integers and text of files for Rocq, and what every kind of certificate hands over.

Main names: `Written`, `integers`, `list_text`, `matrix_text`, `rate_fraction`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import final

from theory.typing import Array

#: Bits of the rate, which is rounded upward: its k-th power is formed exactly.
RATE_BITS = 30


@final
@dataclass(frozen=True, kw_only=True)
class Written:
    """A certificate of one kind: what it needs of the folder `rocq`, and its own text.

    The text defines `map`, `apart`, `inside`, `allowed`, `num` and `den`, and proves `starts`,
    `stays`, `same`, `triangle`, `ordered` and `contracts`, of which the rest of a file speaks.
    """

    parts: tuple[str, ...]  # files of the folder, after the base
    text: str
    everywhere: bool  # whether all states and inputs are in question
    num: int  # the rate
    den: int
    unit: Fraction = Fraction(1)  # the distance of the file over that of the norm
    leak: str = ""  # proves `mixed` and `nonneg`, which only a leaky map needs


def integers(values: Array) -> tuple[list[int], int]:
    """Return integers and the power of two that they are divided by, exactly."""
    exact = [Fraction(float(value)) for value in values.ravel()]
    scale = max((value.denominator for value in exact), default=1)
    return [int(value * scale) for value in exact], scale


def rate_fraction(rate: float | Fraction) -> tuple[int, int]:
    """Return numerator and denominator, up to a multiple of 2**-30 where that is below 1."""
    den = 2**RATE_BITS
    num = math.ceil(Fraction(rate) * den)
    return (num, den) if num < den else Fraction(rate).as_integer_ratio()


def list_text(values: list[int]) -> str:
    """Return a list of integers in Rocq.

    Examples
    --------
    >>> list_text([1, -2])
    '[1; -2]'
    """
    return "[" + "; ".join(map(str, values)) + "]"


def matrix_text(rows: list[list[int]]) -> str:
    """Return a list of lists of integers in Rocq.

    Examples
    --------
    >>> matrix_text([[1], [2, 3]])
    '([1] :: [2; 3] :: nil)'
    """
    return "(" + " :: ".join([*map(list_text, rows), "nil"]) + ")"


def rows_of(values: list[int], width: int) -> list[list[int]]:
    """Return a list cut into rows."""
    return [values[i : i + width] for i in range(0, len(values), width)]
