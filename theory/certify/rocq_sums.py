r"""Certificates by row or column sums for Rocq, weighted or not.

Main name: `write_sums`.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from theory.certificates import Contraction
from theory.certify.rocq_text import (
    Written,
    integers,
    list_text,
    matrix_text,
    rate_fraction,
    rows_of,
)
from theory.maps.form import Affine
from theory.norms.norm import Norm
from theory.norms.norms import L1, Linf, WeightedL1, WeightedLinf

#: The norms of which a file may speak: what is summed, the distance and the matrix, by their names.
KINDS: dict[type[Norm], tuple[str, str, str]] = {
    **dict.fromkeys((Linf, WeightedLinf), ("rows", "largest", "by_rows")),
    **dict.fromkeys((L1, WeightedL1), ("columns", "total", "by_columns")),
}

#: The activations whose largest slope is proved in the file: lemma there, numerator, denominator.
SLOPES = {
    "identity": ("identity_slope", 1, 1),
    "relu": ("relu_slope", 1, 1),
    "tanh": ("tanh_slope", 1, 1),
    "sigmoid": ("logistic_slope", 1, 4),
}


def _passes(lines: list[list[int]], weights: list[int], num: int, den: int) -> bool:
    """Decide what `lines` of the file decides."""
    return all(
        den * sum(abs(a) * v for a, v in zip(line, weights, strict=True)) <= num * weight
        for line, weight in zip(lines, weights, strict=True)
    )


def write_sums(form: Affine, c: Contraction, *, rate: Fraction) -> Written:
    """Return the certificate of an affine map in the norm of `c`, of sums, for a rate.

    Raises
    ------
    ValueError
        If a sum exceeds the rate.
    """
    n = len(form.W)
    kind, size, step = KINDS[type(c.norm)]
    slope, snum, sden = SLOPES[form.rho.name]
    v = c.norm.v if isinstance(c.norm, (WeightedL1, WeightedLinf)) else np.ones(n)
    entries, scale = integers(form.W if kind == "rows" else form.W.T)
    lines, (weights, own) = rows_of(entries, n), integers(v)
    num, den = rate_fraction(rate)
    if not _passes(lines, weights, num * scale * sden, den * snum):
        raise ValueError(
            f"the sum of one of the {kind} exceeds {float(rate)!r}, needed a rate that bounds all "
            "of them"
        )
    signs = "eq_refl eq_refl eq_refl ordered"
    text = [
        f"Definition scale := {scale}%Z.",
        f"Definition M : list (list Z) := {matrix_text(lines)}%Z.",
        f"Definition V : list Z := {list_text(weights)}%Z.",
        f"Definition num := {num}%Z.",
        f"Definition den := {den}%Z.",
        f"Definition map : vec -> vec -> vec := step V rho ({step} M scale).",
        f"Definition apart : vec -> vec -> R := {size} V.",
        "",
        f"Lemma passed : lines M V (num * scale * {sden}) (den * {snum}) = true.",
        "Proof. vm_compute. reflexivity. Qed.",
        "Lemma ordered : (0 <= num < den)%Z.",
        "Proof. vm_compute. split; [discriminate | reflexivity]. Qed.",
        "Lemma same a : apart a a = 0.",
        f"Proof. apply {size}_same. Qed.",
        "Lemma triangle a b c : apart a c <= apart a b + apart b c.",
        f"Proof. exact ({size}_triangle M V num den scale {snum} {sden} passed {signs} a b c).",
        "Qed.",
        "",
        "Theorem contracts h g u : apart (map h u) (map g u) <= rate num den * apart h g.",
        f"Proof. exact ({kind}_contract M V num den scale {snum} {sden} rho passed",
        f"  {signs} {slope} h g u). Qed.",
    ]
    known = f"M V num den scale {snum} {sden} passed {signs}"
    leak = [
        "Lemma mixed : mixes apart.",
        f"Proof. exact ({size}_mixes {known}). Qed.",
        "Lemma nonneg h g : 0 <= apart h g.",
        f"Proof. exact ({size}_nonneg {'V' if kind == 'rows' else known} h g). Qed.",
    ]
    return Written(
        parts=("sums", "activations"),
        text="\n".join(text) + "\n",
        leak="\n".join(leak) + "\n",
        everywhere=True,
        num=num,
        den=den,
        unit=Fraction(1, own) if kind == "rows" else Fraction(own),
    )


def is_of_sums(c: Contraction) -> bool:
    """Return whether the norm is one whose sums are taken."""
    return type(c.norm) in KINDS
