r"""Certificates in Euclidean norms for Rocq: the incremental matrix inequality, on integers.

Main names: `write_inequality`, `definite`.

That a symmetric matrix N of integers is positive semidefinite is shown by D, L, c and e with

    D N D = c L L^T + R,   |R_ij| <= e beside the diagonal,   n e <= R_ii,

D diagonal, of powers of two.  L is a rounded factor of Cholesky, R is formed exactly.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

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
from theory.norms.norms import L2, WeightedL2
from theory.typing import Array

#: The activations whose chords are bounded in the file: lemma there, alpha, beta, denominator.
CHORDS = {
    "identity": ("identity_chords", 1, 1, 1),
    "relu": ("relu_chords", 0, 1, 1),
    "tanh": ("tanh_chords", 0, 1, 1),
    "sigmoid": ("logistic_chords", 0, 1, 4),
}

#: The rate is raised by this, relatively, one after another, until its proof is short enough: the
#: certified rate leaves a margin of some roundings only.
RAISED = (0.0, *(2.0**-power for power in (24, 20, 16, 13, 10)))

#: P and its multipliers are written this much finer, so that something fits between P and 0.
_FINER = 2**10

#: Multipliers of a linear map, relative to P: its rate grows by about the inverse.
_STIFF = 2.0**12

#: Bits of a factor of Cholesky, and up to which products of two are summed in 64 bits exactly.
_FEWEST, _SHORT, _MOST = 14, 27, 45


class Definite(NamedTuple):
    """What shows that a matrix is positive semidefinite."""

    D: list[int]
    L: list[list[int]]
    c: int
    e: int

    def text(self, suffix: str) -> list[str]:
        """Return the definitions of D, L, c and e under names with a suffix."""
        return [
            f"Definition D{suffix} : list Z := {list_text(self.D)}%Z.",
            f"Definition L{suffix} : list (list Z) := {matrix_text(self.L)}%Z.",
            f"Definition c{suffix} := {self.c}%Z.",
            f"Definition e{suffix} := {self.e}%Z.",
        ]


def _gram(L: npt.NDArray[Any], bits: int) -> Array:
    """Return L L^T of integers of some bits."""
    exact = L if bits <= _SHORT else L.astype(object)
    return np.asarray((exact @ exact.T).astype(object))


def definite(N: Array) -> Definite | None:
    """Return what shows that a symmetric matrix of integers is positive semidefinite, or None."""
    n = len(N)
    sizes = [int(N[i, i]) for i in range(n)]
    if not all(size > 0 for size in sizes):
        return None
    # a diagonal of about 2**top, even after rounding of the halves
    top = max(max(size.bit_length() for size in sizes) + 2, 2 * _MOST + 2)
    D = [2 ** ((top - size.bit_length()) // 2) for size in sizes]
    scaled = np.array(D, dtype=object)[:, None] * N * np.array(D, dtype=object)[None, :]
    A = np.array([[float(Fraction(int(x), 2**top)) for x in row] for row in scaled])
    least = float(np.linalg.eigvalsh(A)[0])
    if not least > 0:
        return None
    needed = math.ceil(math.log2(4 * n) - math.log2(least))
    for bits in range(max(needed, _FEWEST), _MOST + 1, 3):
        try:
            factor = np.linalg.cholesky(A - least / 2 * np.eye(n))
        except np.linalg.LinAlgError:
            return None
        L = np.round(factor * 2.0**bits).astype(np.int64)
        c = 2 ** (top - 2 * bits)
        R = scaled - c * _gram(L, bits)
        diagonal = min(int(R[i, i]) for i in range(n))
        e = max((abs(int(R[i, j])) for i in range(n) for j in range(i)), default=0)
        if n * e <= diagonal:
            return Definite(D, [[int(x) for x in L[i, : i + 1]] for i in range(n)], c, e)
    return None


def _raised(rate: Fraction) -> Iterator[tuple[int, int]]:
    for part in RAISED:
        num, den = rate_fraction(rate * (1 + Fraction(part)))
        if num < den:
            yield num, den


def _block(P: Any, q: Any, M: Any, scale: int, chord: tuple[int, int, int], rate: Any) -> Array:
    """Return the block matrix of the inequality as `block` of the file has it."""
    (alpha, beta, sden), (num, den) = chord, rate
    k4 = den * den * scale * scale * sden * sden
    first = num * num * scale * scale * sden * sden * P
    if alpha * beta:
        first = first + 2 * alpha * beta * den * den * (M.T @ (q[:, None] * M))
    cross = -den * den * scale * sden * (alpha + beta) * (q[:, None] * M)
    return np.block([[first, cross.T], [cross, k4 * (np.diag(2 * q) - P)]])


def write_inequality(form: Affine, c: Contraction, *, rate: Fraction) -> Written:
    """Return the certificate of an affine map in the Euclidean norm of `c`, for about a rate.

    Raises
    ------
    ValueError
        If no proof of it is found on integers.
    """
    n = len(form.W)
    chords, *chord = CHORDS[form.rho.name]
    P = c.norm.P if isinstance(c.norm, WeightedL2) else np.eye(n)
    # without multipliers: diag(P) are some in a monotone norm, as is slopes between 0 and beta;
    # very large ones are in another, where the map is linear
    q = np.diag(P).copy()
    if c.evidence.multipliers:
        q = np.array(c.evidence.multipliers)
    elif c.norm.monotone and form.rho.name == "identity":
        chords, chord = "linear_chords", [0, 1, 1]
    elif not c.norm.monotone:
        q = _STIFF * np.sum(np.abs(P), axis=1)
    alpha, beta, sden = chord
    together, pscale = integers(np.concatenate([P.ravel(), q]))
    together, pscale = [_FINER * value for value in together], _FINER * pscale
    gram = np.array(rows_of(together[: n * n], n), dtype=object)
    weights = np.array(together[n * n :], dtype=object)
    entries, scale = integers(form.W)
    M = np.array(rows_of(entries, n), dtype=object)
    mu = max(int(Fraction(float(np.linalg.eigvalsh(P)[0]) / 2) * pscale), 1)
    own = definite(gram - mu * np.diag(np.array([1] * n, dtype=object)))
    tried = (
        (rate, definite(_block(gram, weights, M, scale, (alpha, beta, sden), rate)))
        for rate in _raised(rate)
    )
    found = next(((rate, shown) for rate, shown in tried if shown is not None), None)
    if own is None or found is None:
        raise ValueError(
            f"received {c!r}, whose inequality is too near to an equation for a proof on integers "
            f"of {_MOST} bits, needed a rate or a norm with more room"
        )
    (num, den), shown = found
    slope = f"n P Q M mu pscale scale {alpha} {beta} {sden} num den c_P e_P c_B e_B rho"
    below = matrix_text([row[: i + 1] for i, row in enumerate(gram.tolist())])
    text = [
        f"Definition n := {n}%nat.",
        f"Definition scale := {scale}%Z.",
        f"Definition M : list (list Z) := {matrix_text(M.tolist())}%Z.",
        f"Definition pscale := {pscale}%Z.",
        f"Definition P : list (list Z) := {below}%Z.",
        f"Definition Q : list Z := {list_text(weights.tolist())}%Z.",
        f"Definition mu := {mu}%Z.",
        f"Definition num := {num}%Z.",
        f"Definition den := {den}%Z.",
        *own.text("_P"),
        *shown.text("_B"),
        "Definition map : vec -> vec -> vec := affine n M scale rho.",
        "Definition apart : vec -> vec -> R := measured n P pscale.",
        "",
        "Lemma definite : psd n (above P mu) D_P L_P c_P e_P = true.",
        "Proof. vm_compute. reflexivity. Qed.",
        f"Lemma passed : psd (n + n) (block n P Q M scale {alpha} {beta} {sden} num den)",
        "  D_B L_B c_B e_B = true.",
        "Proof. vm_compute. reflexivity. Qed.",
        "Lemma ordered : (0 <= num < den)%Z.",
        "Proof. vm_compute. split; [discriminate | reflexivity]. Qed.",
        "Lemma same a : apart a a = 0.",
        "Proof. exact (measured_same n P pscale a). Qed.",
        "Lemma triangle a b d : apart a d <= apart a b + apart b d.",
        "Proof. exact (measured_triangle n P mu pscale c_P e_P D_P L_P definite eq_refl eq_refl",
        "  a b d). Qed.",
        "",
        "(* the distance holds the entries *)",
        "Theorem entries h g : IZR mu / IZR pscale",
        "  * sum (fun i => (h i - g i) * (h i - g i)) n <= apart h g * apart h g.",
        "Proof. exact (entries_within n P mu pscale c_P e_P D_P L_P definite eq_refl eq_refl h g).",
        "Qed.",
        "Theorem contracts h g u : apart (map h u) (map g u) <= rate num den * apart h g.",
        f"Proof. exact (inequality_contracts {slope}",
        "  D_P D_B L_P L_B definite passed eq_refl eq_refl eq_refl eq_refl eq_refl eq_refl ordered",
        f"  {chords} h g u). Qed.",
    ]
    leak = [
        "Lemma mixed : mixes apart.",
        "Proof. exact (measured_mixes n P mu pscale c_P e_P D_P L_P definite eq_refl eq_refl).",
        "Qed.",
        "Lemma nonneg h g : 0 <= apart h g.",
        "Proof. exact (measured_nonneg n P pscale h g). Qed.",
    ]
    return Written(
        parts=("forms", "activations", "inequality"),
        text="\n".join(text) + "\n",
        leak="\n".join(leak) + "\n",
        everywhere=True,
        num=num,
        den=den,
    )


def is_euclidean(c: Contraction) -> bool:
    """Return whether the norm is one that the inequality speaks of."""
    return isinstance(c.norm, (L2, WeightedL2))
