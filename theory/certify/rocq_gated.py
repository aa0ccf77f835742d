r"""Certificates of gated cells for Rocq: comparison and multipliers, on a box that is never left.

Main name: `write_gated`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from theory.certificates import Contraction
from theory.certify.rocq_boxes import ONE, Box, Gates, lstm_box
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
from theory.maps.lstm import LSTM
from theory.norms.norms import Linf, WeightedL2, WeightedLinf
from theory.typing import Array

#: Multipliers are taken this much larger than a load of 1 asks for, relatively, for rounding.
_ROOM = 2.0**-30

#: Bits of multipliers, which are powers of the file's unit, and of the shares of a load.
_TSCALE, _WHOLE = 2**30, 2**60


def is_gated(recurrent: Map, c: Contraction) -> bool:
    """Return whether a file may hold a contraction of a gated cell."""
    return (
        isinstance(recurrent, LSTM)
        and c.domain is not None
        and bool(np.isfinite([c.domain.input_low, c.domain.input_high]).all())
        and (
            isinstance(c.norm, Linf | WeightedLinf)
            or (isinstance(c.norm, WeightedL2) and c.norm.monotone)
        )
    )


def _gates(recurrent: LSTM, c: Contraction) -> Gates:
    n, m = recurrent.units, recurrent.input_dim
    W, scale = integers(recurrent.W)
    both, fed = integers(np.concatenate([recurrent.U.ravel(), recurrent.b]))
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
    assert isinstance(recurrent, LSTM) and c.domain is not None
    gates = _gates(recurrent, c)
    box = lstm_box(gates, _down(c.domain.low), _up(c.domain.high))
    if box is None:
        raise ValueError(f"the box of {c!r} is not seen to be never left, needed one with room")
    peaks = isinstance(c.norm, Linf | WeightedLinf)
    shown = _comparison(gates, box, c) if peaks else _multipliers(gates, box, c)
    if shown is None:
        raise ValueError(
            f"received {c!r}, of which no proof on integers is found, needed a rate with more room"
        )
    text, num, den, unit = shown
    return Written(
        parts=("forms", "activations", "terms", "gates", "lstm"),
        text=_cell_text(gates, box) + text,
        everywhere=False,
        num=num,
        den=den,
        unit=unit,
    )


def _cell_text(gates: Gates, box: Box) -> str:
    n, m = gates.units, len(gates.input_low)
    ends = " ".join(["lo", "hi", "ulo", "uhi", "alo", "ahi", "glo", "ghi", "tlo", "thi"])
    text = [
        f"Definition n := {n}%nat.",
        f"Definition m := {m}%nat.",
        f"Definition scale := {gates.scale}%Z.",
        f"Definition W : list (list Z) := {matrix_text(gates.W)}%Z.",
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
        "Definition map : vec -> vec -> vec := lstm n W scale.",
        "Definition inside : vec -> Prop := lstm_inside n lo hi.",
        "Definition allowed : vec -> Prop := lstm_allowed n ulo uhi.",
        "Definition terms := lstm_terms n lo hi glo ghi tlo thi.",
        "Definition rows := lstm_rows n W scale.",
        "Lemma reaches : lstm_reaches n W scale lo hi ulo uhi alo ahi = true.",
        "Proof. vm_compute. reflexivity. Qed.",
        "Lemma gates : lstm_gates n lo hi alo ahi glo ghi tlo thi = true.",
        "Proof. vm_compute. reflexivity. Qed.",
        "Lemma keeps : lstm_stays n lo hi glo ghi tlo thi = true.",
        "Proof. vm_compute. reflexivity. Qed.",
        "Lemma feeding : feeds U b m (4 * n) fed_scale xlo xhi ulo uhi = true.",
        "Proof. vm_compute. reflexivity. Qed.",
        "Lemma shaped : shapes n 2 5 lstm_source rows = true.",
        "Proof. vm_compute. reflexivity. Qed.",
        "Lemma starts : inside zero.",
        "Proof. exact (lstm_starts n lo hi glo ghi tlo thi keeps). Qed.",
        "Lemma stays h u : inside h -> allowed u -> inside (map h u).",
        f"Proof. exact (lstm_kept n W scale {ends} eq_refl reaches gates keeps h u). Qed.",
        "Lemma majored : majorised n 2 5 1 lstm_source rows terms scale one map inside allowed.",
        f"Proof. exact (lstm_majorised n W scale {ends} eq_refl reaches gates keeps). Qed.",
        "(* inputs of the box are allowed *)",
        "Theorem inputs x : in_box xlo xhi m x -> allowed (fed U b m fed_scale x).",
        "Proof. exact (feeds_is U b m (4 * n) fed_scale xlo xhi ulo uhi feeding x). Qed.",
    ]
    return "\n".join(text) + "\n"


_SOURCES = (0, 1, 1, 1, 1)


def _rate_text(num: int, den: int, w: list[int]) -> list[str]:
    return [
        f"Definition num := {num}%Z.",
        f"Definition den := {den}%Z.",
        f"Definition w : list Z := {list_text(w)}%Z.",
        "Lemma ordered : (0 <= num < den)%Z.",
        "Proof. vm_compute. split; [discriminate | reflexivity]. Qed.",
    ]


Shown = tuple[str, int, int, Fraction]


def _comparison(gates: Gates, box: Box, c: Contraction) -> Shown | None:
    """Return the rows of the comparison at the weights of the norm, and what they prove."""
    n = gates.units
    w, unit = integers(c.norm.v if isinstance(c.norm, WeightedLinf) else np.ones(2 * n))
    images = [[w[j] * gates.scale for j in range(n)]] + [
        [sum(abs(a) * v for a, v in zip(row, w[n:], strict=True)) for row in gates.W[k : k + n]]
        for k in range(0, 4 * n, n)
    ]
    rate = max(
        Fraction(sum(t * images[k][i % n] for k, t in enumerate(row)), ONE * gates.scale * w[i])
        for sheet in box.terms
        for i, row in enumerate(sheet)
    )
    num, den = rate_fraction(max(rate, Fraction(c.lam)))
    if not num < den:
        return None
    given = "n 2 5 1 lstm_source rows terms scale one num den w"
    text = [
        *_rate_text(num, den, w),
        "Definition apart : vec -> vec -> R := peak n 2 w.",
        f"Lemma passed : peaks {given} = true.",
        "Proof. vm_compute. reflexivity. Qed.",
        "Lemma same a : apart a a = 0.",
        "Proof. exact (peak_same n 2 w a). Qed.",
        "Lemma triangle a b c : apart a c <= apart a b + apart b c.",
        f"Proof. exact (peak_triangle {given} shaped eq_refl eq_refl ordered passed a b c). Qed.",
        "Theorem contracts h g u : inside h -> inside g -> allowed u ->",
        "  apart (map h u) (map g u) <= rate num den * apart h g.",
        f"Proof. exact (peaks_contract {given}",
        "  map inside allowed majored shaped eq_refl eq_refl ordered passed h g u). Qed.",
    ]
    return "\n".join(text) + "\n", num, den, Fraction(1, unit)


def _multipliers(gates: Gates, box: Box, c: Contraction) -> Shown | None:
    """Return multipliers of a load of at most 1, and what they prove."""
    n, parts = gates.units, 2
    w, own = integers(np.diag(c.norm.P) if isinstance(c.norm, WeightedL2) else np.ones(2 * n))
    # the distance is a rational multiple of the norm
    if own.bit_length() % 2 == 0:
        w, own = [2 * x for x in w], 2 * own
    given = np.array(c.evidence.multipliers).reshape(parts, len(_SOURCES), n)
    entries = [given[i // n, :, i % n] for i in range(parts * n)]
    t = [[0] * len(_SOURCES) for _ in entries]
    shares = [[[0] * len(_SOURCES) for _ in entries] for _ in box.terms]
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
            if sum(shares[s][i]) > _WHOLE:
                return None
    found = next(_levels(gates, w, t, c), None)
    if found is None:
        return None
    (num, den), shown = found
    table = " :: ".join([*(matrix_text(sheet) for sheet in shares), "nil"])
    chosen = {
        name: "fun q => match q with O => {0} | _ => {1} end".format(
            *(f"{name}{q}" for q in range(parts))
        )
        for name in ("D", "L", "c", "e")
    }
    first = "n 2 5 lstm_source rows scale num den w t tscale"
    load = "n 2 5 1 terms one w t share tscale whole"
    text = [
        *_rate_text(num, den, w),
        f"Definition t : list (list Z) := {matrix_text(t)}%Z.",
        f"Definition shares : list (list (list Z)) := ({table})%Z.",
        "Definition share (s i k : nat) : Z := at2 (nth s shares []) i k.",
        f"Definition tscale := {_TSCALE}%Z.",
        f"Definition whole := {_WHOLE}%Z.",
        *(line for q, one in enumerate(shown) for line in one.text(str(q))),
        *(f"Definition {name}_of := {value}." for name, value in chosen.items()),
        "Definition apart : vec -> vec -> R := spread n 2 w.",
        "Lemma carries : loads " + load + " = true.",
        "Proof. vm_compute. reflexivity. Qed.",
        "Lemma passed : forallb (fun q =>",
        f"  psd n (level {first} q) (D_of q) (L_of q) (c_of q) (e_of q)) (seq 0 2) = true.",
        "Proof. vm_compute. reflexivity. Qed.",
        "Lemma same a : apart a a = 0.",
        "Proof. exact (spread_same n 2 w a). Qed.",
        "Lemma triangle a b c : apart a c <= apart a b + apart b c.",
        "Proof. exact (spread_triangle n 2 5 1 terms scale one num den w eq_refl eq_refl ordered",
        "  t share tscale whole carries a b c). Qed.",
        "Theorem contracts h g u : inside h -> inside g -> allowed u ->",
        "  apart (map h u) (map g u) <= rate num den * apart h g.",
        "Proof. exact (spread_contracts n 2 5 1 lstm_source rows terms scale one num den w",
        "  map inside allowed majored shaped eq_refl eq_refl ordered t share tscale whole",
        "  D_of L_of c_of e_of passed carries h g u). Qed.",
    ]
    root = Fraction(math.isqrt(own))
    return "\n".join(text) + "\n", num, den, root


def _levels(
    gates: Gates, w: list[int], t: list[list[int]], c: Contraction
) -> Iterator[tuple[tuple[int, int], list[Definite]]]:
    """Yield rates at which the forms of all parts are shown to be positive."""
    n, parts = gates.units, 2
    M = np.array(gates.W, dtype=object)
    sizes = [
        np.array([sum(w[p * n + j] * t[p * n + j][k] for p in range(parts)) for j in range(n)], object)
        for k in range(len(_SOURCES))
    ]
    unit = gates.scale * np.array(np.eye(n, dtype=int), dtype=object)
    stacked = [unit, *(M[k : k + n] for k in range(0, 4 * n, n))]
    forms = []
    for q in range(parts):
        total = 0 * unit
        for k, source in enumerate(_SOURCES):
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
    for part in RAISED[1:]:
        num, den = rate_fraction(Fraction(max(least, c.lam if part == RAISED[1] else 0.0) * (1 + part)))
        if not num < den:
            return
        shown = []
        for q in range(parts):
            own = np.diag(np.array(w[q * n : (q + 1) * n], dtype=object))
            one = definite(num * num * top * own - den * den * forms[q])
            if one is None:
                break
            shown.append(one)
        else:
            yield (num, den), shown
