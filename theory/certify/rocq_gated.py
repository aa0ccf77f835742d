r"""Certificates of gated cells for Rocq: comparison and multipliers, on a box that is never left.

Main name: `write_gated`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from theory.certificates import Contraction
from theory.certify.rocq_boxes import ONE, Box, Gates, gru_box, lstm_box
from theory.certify.rocq_forms import RAISED, Definite, definite
from theory.certify.rocq_text import (
    Written,
    integers,
    list_text,
    matrix_text,
    rate_fraction,
    rows_of,
)
from theory.maps.base import Map
from theory.maps.gru import GRU
from theory.maps.lstm import LSTM
from theory.norms.norms import Linf, WeightedL2, WeightedLinf
from theory.typing import Array

#: Multipliers are taken this much larger than a load of 1 asks for, relatively, for rounding.
_ROOM = 2.0**-18

#: Bits of multipliers, which are powers of the file's unit, and of the shares of a load.
_TSCALE, _WHOLE = 2**20, 2**50


class Cell(NamedTuple):
    """What the files say of a kind of cell, by the names that they have there."""

    stem: str  # of its definitions and of its file
    blocks: int  # gates, stacked
    sources: tuple[int, ...]  # the part of the state that a signal is of
    sheets: int
    more: tuple[str, ...]  # its checks beside reaches, gates and stays
    weights: str  # arguments of the map after n
    ends: dict[str, str]  # arguments of every check after that
    box: Callable[[Gates, list[int], list[int]], Box | None]

    @property
    def parts(self) -> int:
        """Return the number of parts of a state."""
        return max(self.sources) + 1

    @property
    def shape(self) -> str:
        """Return the numbers of units, parts and signals, as they are written."""
        return f"n {self.parts} {len(self.sources)}"


LSTM_CELL = Cell(
    stem="lstm",
    blocks=4,
    sources=(0, 1, 1, 1, 1),
    sheets=1,
    more=(),
    weights="W scale",
    ends={
        "reaches": "lo hi ulo uhi alo ahi",
        "gates": "lo hi alo ahi glo ghi tlo thi",
        "stays": "lo hi glo ghi tlo thi",
        "terms": "lo hi glo ghi tlo thi",
        "all": "lo hi ulo uhi alo ahi glo ghi tlo thi",
    },
    box=lstm_box,
)

GRU_CELL = Cell(
    stem="gru",
    blocks=3,
    sources=(0, 0, 0, 0),
    sheets=2,
    more=("holds",),
    weights="W scale held_bias held_scale",
    ends={
        "reaches": "lo hi ulo uhi alo ahi",
        "holds": "lo hi ulo uhi alo ahi glo ghi vlo vhi",
        "gates": "alo ahi glo ghi",
        "stays": "lo hi glo ghi",
        "terms": "lo hi glo ghi vlo vhi",
        "all": "lo hi ulo uhi alo ahi glo ghi vlo vhi",
    },
    box=gru_box,
)


#: The largest cells that are written, by comparison and by multipliers.
LARGEST, LARGEST_SQUARED = 64, 32


def cell_of(recurrent: Map) -> Cell | None:
    """Return what the files say of a kind of cell, None of a map that is none."""
    if isinstance(recurrent, LSTM):
        return LSTM_CELL
    after = isinstance(recurrent, GRU) and recurrent.variant == "reset_after"
    return GRU_CELL if after else None


def why_not_gated(recurrent: Map, c: Contraction) -> str:
    """Return why a file cannot hold a contraction of a gated cell, or nothing."""
    if c.iterate != 1 or c.domain is None:
        return f"received {c!r}, needed a contraction of one step on a box"
    if not np.isfinite([c.domain.input_low, c.domain.input_high]).all():
        return f"received inputs {c.domain.inputs}, needed bounded ones"
    peaks = isinstance(c.norm, Linf | WeightedLinf)
    if not (peaks or _multiplied(c)):
        return f"the norm is {c.norm}, needed a maximum norm, or a Euclidean one with multipliers"
    cell = cell_of(recurrent)
    assert cell is not None
    units, most = recurrent.state_dim // cell.parts, LARGEST if peaks else LARGEST_SQUARED
    return "" if units <= most else f"n = {units}, needed at most {most} units for {c.norm}"


def _multiplied(c: Contraction) -> bool:
    """Return whether multipliers prove it, in a Euclidean norm of a diagonal matrix."""
    return isinstance(c.norm, WeightedL2) and c.norm.monotone and bool(c.evidence.multipliers)


def gates_of(recurrent: Map, c: Contraction) -> Gates:
    """Return the weights of a gated cell and the box of its inputs, on integers."""
    assert isinstance(recurrent, LSTM | GRU)
    n, m = recurrent.units, recurrent.input_dim
    W, scale = integers(recurrent.W)
    both, fed = integers(np.concatenate([recurrent.U.ravel(), recurrent.b]))
    held, held_scale = integers(getattr(recurrent, "b_candidate", np.zeros(n)))
    domain = c.domain
    assert domain is not None
    return Gates(
        units=n,
        W=rows_of(W, n),
        scale=scale,
        U=rows_of(both[: -len(recurrent.b)], m),
        b=both[-len(recurrent.b) :],
        fed=fed,
        input_low=_down(domain.input_low),
        input_high=_up(domain.input_high),
        held=held,
        held_scale=held_scale,
    )


def _down(values: Array) -> list[int]:
    return [math.floor(Fraction(float(x)) * ONE) for x in values]


def _up(values: Array) -> list[int]:
    return [math.ceil(Fraction(float(x)) * ONE) for x in values]


def write_gated(recurrent: Map, c: Contraction) -> Written:
    """Return the certificate of a gated cell on its domain.

    Raises
    ------
    ValueError
        If the box is not seen to be never left, or no proof of the rate is found on integers.
    """
    cell = cell_of(recurrent)
    assert cell is not None
    assert c.domain is not None
    gates = gates_of(recurrent, c)
    box = cell.box(gates, _down(c.domain.low), _up(c.domain.high))
    if box is None:
        raise ValueError(f"the box of {c!r} is not seen to be never left, needed one with room")
    prove = _multipliers if isinstance(c.norm, WeightedL2) else _comparison
    shown = prove(cell, gates, box, c)
    if shown is None:
        raise ValueError(
            f"received {c!r}, of which no proof on integers is found, needed a rate with more room"
        )
    text, num, den, unit = shown
    return Written(
        parts=("forms", "activations", "terms", "gates", cell.stem),
        text=_cell_text(cell, gates, box) + text,
        everywhere=False,
        num=num,
        den=den,
        unit=unit,
    )


def _checked(name: str, statement: str) -> list[str]:
    return [f"Lemma {name} : {statement} = true.", "Proof. vm_compute. reflexivity. Qed."]


def _cell_text(cell: Cell, gates: Gates, box: Box) -> str:
    stem, rows = cell.stem, f"({cell.blocks} * n)"
    biases = [
        f"Definition held_bias : list Z := {list_text(gates.held)}%Z.",
        f"Definition held_scale := {gates.held_scale}%Z.",
    ]
    signs = "eq_refl eq_refl" if cell.more else "eq_refl"
    holds = " holds" if cell.more else ""
    known = f"{signs} reaches{holds} gates"
    # only what a check reads of the weights is one of its arguments
    reads = {"reaches": "W scale", "holds": cell.weights}
    text = [
        f"Definition n := {gates.units}%nat.",
        f"Definition m := {len(gates.input_low)}%nat.",
        f"Definition scale := {gates.scale}%Z.",
        f"Definition W : list (list Z) := {matrix_text(gates.W)}%Z.",
        *(biases if cell.more else []),
        f"Definition fed_scale := {gates.fed}%Z.",
        f"Definition U : list (list Z) := {matrix_text(gates.U)}%Z.",
        f"Definition b : list Z := {list_text(gates.b)}%Z.",
        "(* ends, / 2^40 *)",
        f"Definition xlo : list Z := {list_text(gates.input_low)}%Z.",
        f"Definition xhi : list Z := {list_text(gates.input_high)}%Z.",
        *(
            f"Definition {name} : list Z := {list_text(values)}%Z."
            for name, values in box.ends.items()
        ),
        "",
        f"Definition map : vec -> vec -> vec := {stem} n {cell.weights}.",
        f"Definition inside : vec -> Prop := {stem}_inside n lo hi.",
        f"Definition allowed : vec -> Prop := {stem}_allowed n ulo uhi.",
        f"Definition terms := {stem}_terms n {cell.ends['terms']}.",
        f"Definition source := {stem}_source.",
        "Definition rows := stack_rows n W scale.",
        *_checked("reaches", f"{stem}_reaches n {reads['reaches']} {cell.ends['reaches']}"),
        *(
            line
            for name in cell.more
            for line in _checked(name, f"{stem}_{name} n {reads[name]} {cell.ends[name]}")
        ),
        *_checked("gates", f"{stem}_gates n {cell.ends['gates']}"),
        *_checked("keeps", f"{stem}_stays n {cell.ends['stays']}"),
        *_checked("feeding", f"feeds U b m {rows} fed_scale xlo xhi ulo uhi"),
        *_checked("shaped", f"shapes {cell.shape} source rows"),
        "Lemma starts : inside zero.",
        f"Proof. exact ({stem}_starts n {cell.ends['stays']} keeps). Qed.",
        "Lemma stays h u : inside h -> allowed u -> inside (map h u).",
        f"Proof. exact ({stem}_kept n {cell.weights} {cell.ends['all']} {known} keeps h u). Qed.",
        f"Lemma majored : majorised {cell.shape} {cell.sheets} source rows terms scale one map",
        "  inside allowed.",
        f"Proof. exact ({stem}_majorised n {cell.weights} {cell.ends['all']}",
        f"  {known}{' keeps' if cell is LSTM_CELL else ''}). Qed.",
        "(* inputs of the box are allowed *)",
        "Theorem inputs x : in_box xlo xhi m x -> allowed (fed U b m fed_scale x).",
        f"Proof. exact (feeds_is U b m {rows} fed_scale xlo xhi ulo uhi feeding x). Qed.",
    ]
    return "\n".join(text) + "\n"


def _rate_text(num: int, den: int, w: list[int]) -> list[str]:
    return [
        f"Definition num := {num}%Z.",
        f"Definition den := {den}%Z.",
        f"Definition w : list Z := {list_text(w)}%Z.",
        "Lemma ordered : (0 <= num < den)%Z.",
        "Proof. vm_compute. split; [discriminate | reflexivity]. Qed.",
    ]


Shown = tuple[str, int, int, Fraction]


def _comparison(cell: Cell, gates: Gates, box: Box, c: Contraction) -> Shown | None:
    """Return the rows of the comparison at the weights of the norm, and what they prove."""
    n = gates.units
    w, unit = integers(c.norm.v if isinstance(c.norm, WeightedLinf) else np.ones(cell.parts * n))
    # every gate sees the last part of the state
    images = [[w[j] * gates.scale for j in range(n)]] + [
        [sum(abs(a) * v for a, v in zip(row, w[-n:], strict=True)) for row in gates.W[k : k + n]]
        for k in range(0, cell.blocks * n, n)
    ]
    rate = max(
        Fraction(sum(t * images[k][i % n] for k, t in enumerate(row)), ONE * gates.scale * w[i])
        for sheet in box.terms
        for i, row in enumerate(sheet)
    )
    num, den = rate_fraction(max(rate, Fraction(c.lam)))
    if not num < den:
        return None
    given = f"{cell.shape} {cell.sheets} source rows terms scale one num den w"
    text = [
        *_rate_text(num, den, w),
        f"Definition apart : vec -> vec -> R := peak n {cell.parts} w.",
        *_checked("passed", f"peaks {given}"),
        "Lemma same a : apart a a = 0.",
        f"Proof. exact (peak_same n {cell.parts} w a). Qed.",
        "Lemma triangle a b c : apart a c <= apart a b + apart b c.",
        f"Proof. exact (peak_triangle {given} shaped eq_refl eq_refl ordered passed a b c). Qed.",
        "Theorem contracts h g u : inside h -> inside g -> allowed u ->",
        "  apart (map h u) (map g u) <= rate num den * apart h g.",
        f"Proof. exact (peaks_contract {given}",
        "  map inside allowed majored shaped eq_refl eq_refl ordered passed h g u). Qed.",
    ]
    return "\n".join(text) + "\n", num, den, Fraction(1, unit)


def _multipliers(cell: Cell, gates: Gates, box: Box, c: Contraction) -> Shown | None:
    """Return multipliers of a load of at most 1, and what they prove."""
    n, parts, signals = gates.units, cell.parts, len(cell.sources)
    w, own = integers(np.diag(c.norm.P) if isinstance(c.norm, WeightedL2) else np.ones(parts * n))
    # the distance is a rational multiple of the norm
    if own.bit_length() % 2 == 0:
        w, own = [2 * x for x in w], 2 * own
    given = np.array(c.evidence.multipliers).reshape(parts, signals, n)
    entries = [given[i // n, :, i % n] for i in range(parts * n)]
    t = [[0] * signals for _ in entries]
    shares = [[[0] * signals for _ in entries] for _ in box.terms]
    for i, values in enumerate(entries):
        load = max(
            sum((a / ONE) ** 2 / x for a, x in zip(sheet[i], values, strict=True) if a)
            for sheet in box.terms
        )
        t[i] = [math.ceil(x * load * (1 + _ROOM) * _TSCALE) for x in values]
        for s, sheet in enumerate(box.terms):
            shares[s][i] = [
                -(-a * a * _WHOLE * _TSCALE // (x * ONE * ONE)) if a else 0
                for a, x in zip(sheet[i], t[i], strict=True)
            ]
            if not sum(shares[s][i]) <= _WHOLE:
                return None
    found = next(_levels(cell, gates, w, t), None)
    if found is None:
        return None
    (num, den), shown = found
    table = " :: ".join([*(matrix_text(sheet) for sheet in shares), "nil"])
    chosen = {
        name: f"fun q => match q with O => {name}0 | _ => {name}{parts - 1} end"
        for name in ("D", "L", "c", "e")
    }
    first = f"{cell.shape} source rows scale num den w t tscale"
    load = f"{cell.shape} {cell.sheets} terms one"
    text = [
        *_rate_text(num, den, w),
        f"Definition t : list (list Z) := {matrix_text(t)}%Z.",
        f"Definition shares : list (list (list Z)) := ({table})%Z.",
        "Definition share (s i k : nat) : Z := at2 (nth s shares []) i k.",
        f"Definition tscale := {_TSCALE}%Z.",
        f"Definition whole := {_WHOLE}%Z.",
        *(line for q, one in enumerate(shown) for line in one.text(str(q))),
        *(f"Definition {name}_of := {value}." for name, value in chosen.items()),
        f"Definition apart : vec -> vec -> R := spread n {parts} w.",
        *_checked("carries", f"loads {load} w t share tscale whole"),
        *_checked(
            "passed",
            f"forallb (fun q =>\n  psd n (level {first} q) (D_of q) (L_of q) (c_of q) (e_of q))"
            f" (seq 0 {parts})",
        ),
        "Lemma same a : apart a a = 0.",
        f"Proof. exact (spread_same n {parts} w a). Qed.",
        "Lemma triangle a b c : apart a c <= apart a b + apart b c.",
        f"Proof. exact (spread_triangle {cell.shape} {cell.sheets} terms scale one num den w",
        "  eq_refl eq_refl ordered t share tscale whole carries a b c). Qed.",
        "Theorem contracts h g u : inside h -> inside g -> allowed u ->",
        "  apart (map h u) (map g u) <= rate num den * apart h g.",
        f"Proof. exact (spread_contracts {cell.shape} {cell.sheets} source rows terms scale one",
        "  num den w map inside allowed majored shaped eq_refl eq_refl ordered t share tscale",
        "  whole D_of L_of c_of e_of passed carries h g u). Qed.",
    ]
    root = Fraction(math.isqrt(own))
    return "\n".join(text) + "\n", num, den, root


def _levels(
    cell: Cell, gates: Gates, w: list[int], t: list[list[int]]
) -> Iterator[tuple[tuple[int, int], list[Definite]]]:
    """Yield rates at which the forms of all parts are shown to be positive."""
    n, parts = gates.units, cell.parts
    M = np.array(gates.W, dtype=object)
    sizes = [
        np.array(
            [sum(w[p * n + j] * t[p * n + j][k] for p in range(parts)) for j in range(n)], object
        )
        for k in range(len(cell.sources))
    ]
    unit = gates.scale * np.array(np.eye(n, dtype=int), dtype=object)
    stacked = [unit, *(M[k : k + n] for k in range(0, cell.blocks * n, n))]
    forms = []
    for q in range(parts):
        total = 0 * unit
        for k, source in enumerate(cell.sources):
            if source == q:
                total = total + stacked[k].T @ (sizes[k][:, None] * stacked[k])
        forms.append(total)
    top = gates.scale * gates.scale * _TSCALE
    levels = []
    for q in range(parts):
        own = np.array([float(x) for x in w[q * n : (q + 1) * n]])
        F = np.array([[float(Fraction(int(x), top)) for x in row] for row in forms[q]])
        levels.append(float(np.linalg.eigvalsh(F / np.sqrt(np.outer(own, own)))[-1]))
    least = math.sqrt(max(levels))
    # at the level itself a form has the value 0 somewhere
    for part in RAISED[1:]:
        num, den = rate_fraction(Fraction(least) * (1 + Fraction(part)))
        if not num < den:
            return
        shown = []
        for q in range(parts):
            weights = np.diag(np.array(w[q * n : (q + 1) * n], dtype=object))
            one = definite(num * num * top * weights - den * den * forms[q])
            if one is None:
                break
            shown.append(one)
        else:
            yield (num, den), shown
