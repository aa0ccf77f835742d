r"""Certificates that Rocq checks: integers and a proof.

Main names: `save_rocq`, `rocq_text`, `for_rocq`.

The file holds everything: the check, the proof that what passes contracts and may be truncated, and
the map.  `coqc FILE.v` decides it with integers and proofs, without this program.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from importlib.resources import files
from pathlib import Path

from theory.certificates import Contraction, drive_size
from theory.certify.recheck import hashes_of
from theory.certify.rocq_forms import is_euclidean, write_inequality
from theory.certify.rocq_gated import is_gated, write_gated
from theory.certify.rocq_sums import is_of_sums, write_sums
from theory.certify.rocq_text import Written
from theory.errors import check_positive
from theory.files.writing import write_atomically
from theory.inputs import Drive
from theory.maps.affine import AffineMap
from theory.maps.base import Map
from theory.theorems.context_length import context_length

#: The activations that the files define, and their names there.
ACTIVATIONS = {
    "identity": "(fun a => a)",
    "relu": "relu",
    "tanh": "tanh",
    "sigmoid": "logistic",
}

#: The largest map that is written; its file is checked in seconds.
LARGEST = 64

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
            "no contraction of one step in a maximum, sum or Euclidean norm certifies this map "
            "everywhere, needed such for a file that Rocq checks; theory certify --json writes the "
            "others"
        )
    return min(fit, key=lambda c: c.lam)


def _misfit(c: Contraction) -> str:
    """Return why a file cannot hold a contraction, or nothing."""
    if not (c.iterate == 1 and c.domain is None):
        return f"received {c!r}, needed a contraction of one step that holds everywhere"
    if not (is_of_sums(c) or is_euclidean(c)):
        return f"the norm is {c.norm}, needed a maximum, sum or Euclidean norm, weighted or not"
    return ""


def rocq_text(
    recurrent: Map, *, c: Contraction, eps: float | None = None, drive: float | Drive = 1.0
) -> str:
    r"""Return the certificate as a file for Rocq.

    Parameters
    ----------
    recurrent : AffineMap
        Of at most 64 units, with activation identity, relu, tanh or sigmoid.
    c : Contraction
        Of one step, everywhere, in a maximum, sum or Euclidean norm, weighted or not.
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
    written = _written(recurrent, c)
    named = ", ".join(
        f"{name} {digest[:16]}" for name, digest in sorted(hashes_of(recurrent).items())
    )
    folder = files("theory.certify").joinpath("rocq")
    parts = [
        folder.joinpath(f"{name}.v").read_text(encoding="utf-8").rstrip() + "\n\n"
        for name in ("base", *written.parts)
    ]
    parts += [
        f"(* {'-' * 78} *)\n",
        f"(* {recurrent!r}, |h| = {c.norm}; SHA-256 of its arrays: {named} *)\n",
        written.text,
        _truncated(written),
    ]
    last = "truncated"
    if eps is not None:
        check_positive(eps=eps)
        bound = float(drive_size(c, drive))
        # Rocq decides; here a number of inputs is only proposed
        rate = Contraction.assumed(written.num / written.den, c.norm)
        k = context_length(rate, eps=eps, drive=bound)
        if k <= _LONGEST:
            parts.append(_context(written, k, Fraction(bound), Fraction(float(eps))))
            last = "context"
    return "".join([*parts, f"\nPrint Assumptions {last}.\n"])


def _written(recurrent: Map, c: Contraction) -> Written:
    """Return the certificate of the kind that its map and its norm ask for."""
    if is_gated(recurrent, c):
        return write_gated(recurrent, c)
    if not isinstance(recurrent, AffineMap):
        raise ValueError(
            f"received {recurrent!r}, needed a map rho(W h + U x + b) such as VanillaRNN"
        )
    form = recurrent.affine()
    if form.rho.name not in ACTIVATIONS:
        raise ValueError(f"activation {form.rho.name!r}, needed one of: {', '.join(ACTIVATIONS)}")
    if not recurrent.state_dim <= LARGEST:
        raise ValueError(
            f"n = {recurrent.state_dim}, needed at most {LARGEST} units; Rocq multiplies every entry"
        )
    if _misfit(c):
        raise ValueError(_misfit(c))
    made = write_sums(form, c) if is_of_sums(c) else write_inequality(form, c)
    activation = f"Definition rho : R -> R := {ACTIVATIONS[form.rho.name]}.\n"
    return Written(
        parts=made.parts,
        text=activation + made.text,
        everywhere=made.everywhere,
        num=made.num,
        den=made.den,
        unit=made.unit,
    )


def _truncated(written: Written) -> str:
    """Return the bound of truncation for every k."""
    always = "(fun _ => True) (fun _ => True) I (fun _ _ _ _ => I) (fun _ => I)"
    inputs, where, named, assumed, contracts = (
        ("", always, "Hdrive driven Hk", "", "(fun h g u _ _ _ => contracts h g u)")
        if written.everywhere
        else (
            *("(forall s, allowed (u s)) -> ", "inside allowed starts stays given"),
            *("given Hdrive driven Hk", "given ", "contracts"),
        )
    )
    del assumed
    return f"""
(* the k-step counterpart, for inputs u_s = U x_s + b with |map 0 u_s| <= drive *)
Theorem truncated (u : nat -> vec) drive k t : {inputs}0 <= drive ->
  (forall s, apart (map zero (u s)) zero <= drive) -> (k <= t)%nat ->
  apart (run map u zero 0 t) (run map u zero (t - k) k)
  <= drive * rate num den ^ k / (1 - rate num den).
Proof.
  intros {named}. exact (truncation apart map u {where} same triangle (rate num den) drive
    (rate_unit num den ordered) {contracts} Hdrive driven k t Hk).
Qed.
"""


def _context(written: Written, k: int, bound: Fraction, allowed: Fraction) -> str:
    """Return that k inputs suffice for an error, for a drive of at most `bound`."""
    # in the distance of the file, which is a multiple of the norm
    own, within = written.unit * bound, written.unit * allowed
    drive, eps = (f"{q.numerator} / {q.denominator}" for q in (own, within))
    parts = f"{own.numerator} {own.denominator} {within.numerator} {within.denominator}"
    inputs = "" if written.everywhere else "(forall s, allowed (u s)) -> "
    told = "" if written.unit == 1 else f"; apart is {written.unit} times |h|"
    return f"""
(* {k} inputs suffice for an error of {float(allowed)!r} if |map 0 u_s| <= {float(bound)!r}{told} *)
Theorem context (u : nat -> vec) t : {inputs}
  (forall s, apart (map zero (u s)) zero <= {drive}) -> ({k} <= t)%nat ->
  apart (run map u zero 0 t) (run map u zero (t - {k}) {k}) <= {eps}.
Proof.
  intros. eapply Rle_trans; [apply (truncated u ({drive})); try assumption; lra|].
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
