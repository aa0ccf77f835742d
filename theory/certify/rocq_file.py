r"""Certificates that Rocq checks: row or column sums of a matrix, as integers and a proof.

Main names: `save_rocq`, `rocq_text`, `for_rocq`.

The file holds everything: the check, the proof that what passes contracts and may be truncated, and
the map.  `coqc FILE.v` decides it with integers and proofs, without this program.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from importlib.resources import files
from pathlib import Path

import numpy as np

from theory.certificates import Contraction, drive_size
from theory.certify.recheck import hashes_of
from theory.errors import check_positive
from theory.files.writing import write_atomically
from theory.inputs import Drive
from theory.maps.affine import AffineMap
from theory.maps.base import Map
from theory.norms.norm import Norm
from theory.norms.norms import L1, Linf, WeightedL1, WeightedLinf
from theory.theorems.context_length import context_length
from theory.typing import Array

#: The activations whose largest slope is proved in the file: name there, numerator, denominator.
SLOPES = {
    "identity": ("(fun a => a)", "identity_slope", 1, 1),
    "relu": ("relu", "relu_slope", 1, 1),
    "tanh": ("tanh", "tanh_slope", 1, 1),
    "sigmoid": ("logistic", "logistic_slope", 1, 4),
}

#: The norms of which a file may speak: what is summed, the distance and the matrix, by their names.
KINDS: dict[type[Norm], tuple[str, str, str]] = {
    **dict.fromkeys((Linf, WeightedLinf), ("rows", "largest", "by_rows")),
    **dict.fromkeys((L1, WeightedL1), ("columns", "total", "by_columns")),
}

#: The largest map that is written; its file is checked in seconds.
LARGEST = 64

#: Bits of the rate, which is rounded upward: its k-th power is formed exactly.
_RATE_BITS = 30

#: The longest context whose power of the rate is formed in the file.
_LONGEST = 500


def for_rocq(found: Iterable[Contraction]) -> Contraction:
    """Return the smallest rate among the contractions that a file may hold.

    Raises
    ------
    ValueError
        If there is none.
    """
    fit = [c for c in found if not _misfit(c)]
    if not fit:
        raise ValueError(
            "no row or column sums, weighted or not, certify this map everywhere, needed such for "
            "a file that Rocq checks; theory certify --json writes the others"
        )
    return min(fit, key=lambda c: c.lam)


def _misfit(c: Contraction) -> str:
    """Return why a file cannot hold a contraction, or nothing."""
    if not (c.iterate == 1 and c.domain is None):
        return f"received {c!r}, needed a contraction of one step that holds everywhere"
    if type(c.norm) not in KINDS:
        return f"the norm is {c.norm}, needed a maximum or sum norm, weighted or not"
    return ""


def _integers(values: Array) -> tuple[list[int], int]:
    """Return integers and the power of two that they are divided by, exactly."""
    exact = [Fraction(float(value)) for value in values.ravel()]
    scale = max(value.denominator for value in exact)
    return [int(value * scale) for value in exact], scale


def _list(values: list[int]) -> str:
    return "[" + "; ".join(map(str, values)) + "]"


def _passes(lines: list[list[int]], weights: list[int], num: int, den: int) -> bool:
    """Decide what `lines` of the file decides."""
    return all(
        den * sum(abs(a) * v for a, v in zip(line, weights, strict=True)) <= num * weight
        for line, weight in zip(lines, weights, strict=True)
    )


def rocq_text(
    recurrent: Map, *, c: Contraction, eps: float | None = None, drive: float | Drive = 1.0
) -> str:
    r"""Return the certificate as a file for Rocq.

    Parameters
    ----------
    recurrent : AffineMap
        Of at most 64 units, with activation identity, relu, tanh or sigmoid.
    c : Contraction
        Of one step, everywhere, in a maximum or sum norm, weighted or not.
    eps : float, optional
        Error allowed, in the norm of `c`; without it only contraction and the bound of every k.
    drive : float or Drive
        Bound of |step(0, x_t)| in the norm of `c`, an assumption of the context.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If the map or the contraction is of another kind, or the check fails.

    Examples
    --------
    >>> from theory import LinearMap, Linf
    >>> cell = LinearMap([[0.5, -0.25], [0.0, 0.5]], [[1.0], [1.0]])
    >>> text = rocq_text(cell, c=Contraction.assumed(0.75, Linf()), eps=1e-3)
    >>> text.splitlines()[-1]
    'Print Assumptions context.'
    """
    if not isinstance(recurrent, AffineMap):
        raise ValueError(
            f"received {recurrent!r}, needed a map rho(W h + U x + b) such as VanillaRNN"
        )
    form, n = recurrent.affine(), recurrent.state_dim
    if form.rho.name not in SLOPES:
        raise ValueError(f"activation {form.rho.name!r}, needed one of: {', '.join(SLOPES)}")
    if not n <= LARGEST:
        raise ValueError(f"n = {n}, needed at most {LARGEST} units; Rocq multiplies every entry")
    if _misfit(c):
        raise ValueError(_misfit(c))
    kind, size, step = KINDS[type(c.norm)]
    rho, slope, snum, sden = SLOPES[form.rho.name]
    v = c.norm.v if isinstance(c.norm, (WeightedL1, WeightedLinf)) else np.ones(n)
    entries, scale = _integers(form.W if kind == "rows" else form.W.T)
    lines = [entries[i * n : (i + 1) * n] for i in range(n)]
    weights, _ = _integers(v)
    # up to a multiple of 2**-30, where a rate below 1 allows it
    den = 2**_RATE_BITS
    num = math.ceil(Fraction(c.lam) * den)
    if num == den:
        num, den = Fraction(c.lam).as_integer_ratio()
    if not _passes(lines, weights, num * scale * sden, den * snum):
        raise ValueError(
            f"the sum of one of the {kind} exceeds {c.lam!r}, needed a rate that bounds all of them"
        )
    named = ", ".join(
        f"{name} {digest[:16]}" for name, digest in sorted(hashes_of(recurrent).items())
    )
    text = [
        files("theory.certify").joinpath("certificate.v").read_text(encoding="utf-8").rstrip(),
        f"(* {recurrent!r}, |h| = {c.norm}; SHA-256 of its arrays: {named} *)",
        f"Definition rho : R -> R := {rho}.",
        f"Definition scale := {scale}%Z.",
        f"Definition M : list (list Z) := ({' :: '.join(map(_list, lines))} :: nil)%Z.",
        f"Definition V : list Z := {_list(weights)}%Z.",
        f"Definition num := {num}%Z.",
        f"Definition den := {den}%Z.",
        f"Definition map : vec -> vec -> vec := step V rho ({step} M scale).",
        f"Definition apart : vec -> vec -> R := {size} V.",
        "",
        f"Lemma passed : lines M V (num * scale * {sden}) (den * {snum}) = true.",
        "Proof. vm_compute. reflexivity. Qed.",
        "Lemma ordered : (0 <= num < den)%Z.",
        "Proof. vm_compute. split; [discriminate | reflexivity]. Qed.",
        "",
        "Theorem contracts h g u : apart (map h u) (map g u) <= rate num den * apart h g.",
        f"Proof. exact ({kind}_contract M V num den scale {snum} {sden} rho passed",
        f"  eq_refl eq_refl eq_refl ordered {slope} h g u). Qed.",
    ]
    parts, last = ["\n".join(text) + "\n", _truncated(size, snum, sden)], "truncated"
    if eps is not None:
        check_positive(eps=eps)
        bound = float(drive_size(c, drive))
        # Rocq decides; here a number of inputs is only proposed
        k = context_length(Contraction.assumed(num / den, c.norm), eps=eps, drive=bound)
        if k <= _LONGEST:
            parts.append(_context(k, Fraction(bound), Fraction(float(eps))))
            last = "context"
    return "".join([*parts, f"\nPrint Assumptions {last}.\n"])


def _truncated(size: str, snum: int, sden: int) -> str:
    """Return the bound of truncation for every k."""
    signs = "eq_refl eq_refl eq_refl ordered"
    return f"""
(* the k-step counterpart, for inputs u_s = U x_s + b with |map 0 u_s| <= drive *)
Theorem truncated (u : nat -> vec) drive k t : 0 <= drive ->
  (forall s, apart (map zero (u s)) zero <= drive) -> (k <= t)%nat ->
  apart (run vec map u zero 0 t) (run vec map u zero (t - k) k)
  <= drive * rate num den ^ k / (1 - rate num den).
Proof.
  intros. apply (truncation vec apart); try assumption.
  - intros. apply {size}_same.
  - intros. apply ({size}_triangle M V num den scale {snum} {sden} passed {signs}).
  - apply (rate_unit V num den scale {snum} {sden} {signs}).
  - apply contracts.
Qed.
"""


def _context(k: int, bound: Fraction, allowed: Fraction) -> str:
    """Return that k inputs suffice for an error, for a drive of at most `bound`."""
    drive, eps = (f"{q.numerator} / {q.denominator}" for q in (bound, allowed))
    parts = f"{bound.numerator} {bound.denominator} {allowed.numerator} {allowed.denominator}"
    return f"""
(* {k} inputs suffice for an error of {float(allowed)!r} if |map 0 u_s| <= {float(bound)!r} *)
Theorem context (u : nat -> vec) t :
  (forall s, apart (map zero (u s)) zero <= {drive}) -> ({k} <= t)%nat ->
  apart (run vec map u zero 0 t) (run vec map u zero (t - {k}) {k}) <= {eps}.
Proof.
  intros H Hk. eapply Rle_trans; [apply (truncated u ({drive})); try assumption; lra|].
  apply (enough_is num den {parts} {k}). vm_compute. reflexivity.
Qed.
"""


def save_rocq(
    path: str | Path, recurrent: Map, *, c: Contraction, eps: float, drive: float | Drive
) -> None:
    """Write `rocq_text` into a file.

    Raises
    ------
    ValueError
        As `rocq_text` does.
    """
    write_atomically(Path(path), rocq_text(recurrent, c=c, eps=eps, drive=drive))
