r"""Certificates that Rocq checks: integers and a proof.

Main names: `save_rocq`, `rocq_text`, `for_rocq`.

The file holds everything: the check, the proof that what passes contracts and may be truncated, and
the map.  `coqc FILE.v` decides it with integers and proofs, without this program.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from importlib.resources import files
from pathlib import Path

from theory.certificates import Contraction, drive_size
from theory.certify.recheck import hashes_of
from theory.certify.rocq_forms import is_euclidean, write_inequality
from theory.certify.rocq_gated import cell_of, why_not_gated, write_gated
from theory.certify.rocq_sums import is_of_sums, write_sums
from theory.certify.rocq_text import Written, rate_fraction
from theory.errors import check_positive
from theory.files.writing import write_atomically
from theory.inputs import Drive
from theory.maps.affine import AffineMap
from theory.maps.base import Map
from theory.maps.esn import EchoStateNetwork
from theory.maps.form import Affine
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


def for_rocq(recurrent: Map, found: Iterable[Contraction]) -> Contraction:
    """Return the smallest rate among the contractions of a map that a file may hold.

    Raises
    ------
    ValueError
        If there is none.
    """
    fit = [c for c in found if not _misfit(recurrent, c)]
    if not fit:
        raise ValueError(
            f"no contraction of {recurrent!r} fits a file that Rocq checks, needed one of a single "
            "step in a maximum, sum or Euclidean norm, everywhere for rho(W h + U x + b) and on a "
            "box for an LSTM or a GRU; theory certify --json writes the others"
        )
    return min(fit, key=lambda c: c.lam)


def _misfit(recurrent: Map, c: Contraction) -> str:
    """Return why a file cannot hold a contraction of a map, or nothing."""
    if cell_of(recurrent) is not None:
        return why_not_gated(recurrent, c)
    if not isinstance(recurrent, AffineMap | EchoStateNetwork):
        return (
            f"received {recurrent!r}, needed a map rho(W h + U x + b) such as VanillaRNN, with one "
            "leak or none, an LSTM, or a GRU with the reset gate after the product"
        )
    if (
        isinstance(recurrent, EchoStateNetwork)
        and recurrent.affine() is None
        and (recurrent.one_leak is None or recurrent.activation.name == "identity")
    ):
        return f"received {recurrent!r}, needed one leak for all units and a bent activation"
    form = _form(recurrent)
    if form.rho.name not in ACTIVATIONS:
        return f"activation {form.rho.name!r}, needed one of: {', '.join(ACTIVATIONS)}"
    if not recurrent.state_dim <= LARGEST:
        n = recurrent.state_dim
        return f"n = {n}, needed at most {LARGEST} units; Rocq multiplies every entry"
    if not (c.iterate == 1 and c.domain is None):
        return f"received {c!r}, needed a contraction of one step that holds everywhere"
    if not (is_of_sums(c) or is_euclidean(c)):
        return f"the norm is {c.norm}, needed a maximum, sum or Euclidean norm, weighted or not"
    return ""


def _form(recurrent: Map) -> Affine:
    """Return rho(W h + U x + b), of a leaky map without its leak."""
    form = recurrent.affine()
    if form is not None:
        return form
    assert isinstance(recurrent, EchoStateNetwork)
    return recurrent.without_leak()


def rocq_text(
    recurrent: Map, *, c: Contraction, eps: float | None = None, drive: float | Drive = 1.0
) -> str:
    r"""Return the certificate as a file for Rocq.

    Parameters
    ----------
    recurrent : Map
        Of at most 64 units: rho(W h + U x + b) with identity, relu, tanh or sigmoid, with one leak
        or none, an LSTM, or a GRU with the reset gate after the product.
    c : Contraction
        Of one step: in a maximum, sum or Euclidean norm, weighted or not, everywhere; of gated
        cells in a maximum norm, or by multipliers in a Euclidean one, on a box.
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
    if _misfit(recurrent, c):
        raise ValueError(_misfit(recurrent, c))
    if cell_of(recurrent) is not None:
        return write_gated(recurrent, c)
    form, write = _form(recurrent), write_sums if is_of_sums(c) else write_inequality
    leak = None
    if isinstance(recurrent, EchoStateNetwork) and recurrent.affine() is None:
        leak = Fraction(float(recurrent.leak[0]))
    # 1 - a + a r of a map without leak that contracts by r
    rate = Fraction(c.lam) if leak is None else 1 - (1 - Fraction(c.lam)) / leak
    made = write(form, c, rate=rate)
    text = f"Definition rho : R -> R := {ACTIVATIONS[form.rho.name]}.\n{made.text}"
    return replace(made, text=text) if leak is None else _leaky(replace(made, text=text), leak)


def _leaky(inner: Written, leak: Fraction) -> Written:
    """Return the certificate of a leaky map from that of the map without leak."""
    text = re.sub(r"\b(map|num|den|ordered|contracts)\b", r"inner_\1", inner.text + inner.leak)
    num, den = rate_fraction(1 - leak + leak * Fraction(inner.num, inner.den))
    outer = [
        f"Definition leak_num := {leak.numerator}%Z.",
        f"Definition leak_den := {leak.denominator}%Z.",
        f"Definition num := {num}%Z.",
        f"Definition den := {den}%Z.",
        "Definition map := leaky (IZR leak_num / IZR leak_den) inner_map.",
        "Lemma leaks : leak_holds leak_num leak_den inner_num inner_den num den = true.",
        "Proof. vm_compute. reflexivity. Qed.",
        "Lemma ordered : (0 <= num < den)%Z.",
        "Proof. vm_compute. split; [discriminate | reflexivity]. Qed.",
        "Theorem contracts h g u : apart (map h u) (map g u) <= rate num den * apart h g.",
        "Proof. exact (leak_contracts apart inner_map leak_num leak_den inner_num inner_den num",
        "  den mixed leaks nonneg inner_contracts h g u). Qed.",
    ]
    return replace(
        inner,
        parts=(*inner.parts, "leaky"),
        text=text + "\n".join(outer) + "\n",
        num=num,
        den=den,
    )


def _truncated(written: Written) -> str:
    """Return the bound of truncation for every k."""
    if written.everywhere:
        inputs, named = "", ""
        where = "(fun _ => True) (fun _ => True) I (fun _ _ _ _ => I) (fun _ => I)"
        contracts = "(fun h g u _ _ _ => contracts h g u)"
    else:
        inputs, named = "(forall s, allowed (u s)) -> ", "given "
        where, contracts = "inside allowed starts stays given", "contracts"
    return f"""
(* the k-step counterpart, for inputs u_s = U x_s + b with |map 0 u_s| <= drive *)
Theorem truncated (u : nat -> vec) drive k t : {inputs}0 <= drive ->
  (forall s, apart (map zero (u s)) zero <= drive) -> (k <= t)%nat ->
  apart (run map u zero 0 t) (run map u zero (t - k) k)
  <= drive * rate num den ^ k / (1 - rate num den).
Proof.
  intros {named}Hdrive driven Hk.
  exact (truncation apart map u {where}
    same triangle (rate num den) drive (rate_unit num den ordered) {contracts}
    Hdrive driven k t Hk).
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
