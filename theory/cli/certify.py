r"""The commands `theory certify` and `theory check`.

Main names: `certify`, `check`; `theory.cli` registers them.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from theory.arithmetic.rounding import decimal_down, decimal_rate, decimal_up
from theory.certificates import Contraction
from theory.certify.ascent import LowerBound
from theory.certify.cause import Cause, cause_of, place_of
from theory.certify.certificate_file import answer_to_dict, load_certificate, save_certificate
from theory.certify.enclose import LARGEST, JointSpectralRadius
from theory.certify.found import Certificates, find_certificates
from theory.certify.growth import by_growth
from theory.certify.jsr import joint_spectral_radius, rate_lower
from theory.certify.methods import METHODS, check_method_fits, left_out
from theory.certify.recheck import recheck
from theory.certify.refutation_file import StoredRefutation
from theory.certify.refute import Refutation, refute, refuted_by
from theory.certify.rocq_file import for_rocq, save_rocq
from theory.cli.heads import HeadOption
from theory.cli.options import (
    NO,
    ActivationOption,
    GatesOption,
    InputsOption,
    PrefixOption,
    UnusedOption,
    VariantOption,
    WeightsArgument,
    check_picture,
    check_target,
    meant_by,
    one_or_several,
    out,
    refusals,
    show,
)
from theory.domain import domain_from_dict
from theory.errors import check_positive
from theory.files.sequences import load_sequences
from theory.files.writing import write_atomically
from theory.interop.files import read_file
from theory.interop.heads import find_head, shown_by
from theory.interop.map_file import HEADER
from theory.maps.base import Map
from theory.maps.head import LinearHead
from theory.memory.context import Choice, error_curve, required_context
from theory.norms.norms import L2, over
from theory.pictures import COLOURS, DASHES, LINES, canvas, count_axis
from theory.typing import Array


def _condition(c: Contraction, n: int) -> float:
    """Return the price of converting the norm to the Euclidean one and back."""
    return over(L2(), c.norm, n=n) * over(c.norm, L2(), n=n)


def _radius(recurrent: Map, found: dict[str, Contraction]) -> JointSpectralRadius | None:
    """Enclose the joint spectral radius of a small map in the norm that is best so far."""
    if not recurrent.state_dim <= LARGEST:
        return None
    best = min(found.values(), key=lambda c: c.lam, default=None)
    return joint_spectral_radius(recurrent, norm=None if best is None else best.norm)


def _tell_gap(
    found: dict[str, Contraction],
    lower: LowerBound | None,
    radius: JointSpectralRadius | None,
) -> None:
    """Print what could still be gained everywhere, by contractions of one step."""
    if lower is None:
        return
    rate = min((c.lam for c in _single(found).values()), default=math.inf)
    known = math.isfinite(rate) and lower.rate > 0
    gap = f", upper/lower = {rate / lower.rate:.6f}" if known else ""
    where = "everywhere" if lower.states is None else "for these inputs"
    out.print(
        f"no norm can certify less than {decimal_down(lower.rate, 12)} {where}{gap}",
        soft_wrap=True,
    )
    if radius is not None and radius.upper < min(rate, 1.0):
        out.print(
            f"some norm certifies every rate above {decimal_up(radius.upper, 12)} "
            f"({radius.products} products of at most {radius.longest} steps)",
            soft_wrap=True,
        )


@refusals()
def certify(
    weights: WeightsArgument,
    activation: ActivationOption = None,
    inputs: InputsOption = None,
    epsilon: Annotated[
        float, typer.Option(help="Allowed error of the state, or of the output.")
    ] = 1e-3,
    method: Annotated[str, typer.Option(help=f"One of: auto, {', '.join(METHODS)}.")] = "auto",
    effort: Annotated[int, typer.Option(help="How much auto tries: 0, 1 or 2.")] = 1,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the certificate here.")
    ] = None,
    rocq: Annotated[
        Path | None, typer.Option(help="Write a certificate here, for Rocq to check.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the bound against k for each certificate.")
    ] = None,
    sequences: Annotated[
        Path | None,
        typer.Option(help="Inputs that occur (.npy, .npz, folder): where a refutation is sought."),
    ] = None,
    prefix: PrefixOption = None,
    head: HeadOption = None,
    variant: VariantOption = None,
    recurrent_activation: GatesOption = None,
    unused: UnusedOption = None,
) -> None:
    """Look for a proof that a recurrent network forgets, and say how fast.

    Exit status 0 if there is one, 1 if not.  What --json and --plot name is written in any case:
    without a certificate the file says whether it is refuted, with the proof, or unknown.  What
    --rocq names is written if a contraction of one step is of a kind that such a file may hold.
    """
    check_positive(epsilon=epsilon)
    check_target(json_file, weights)
    check_target(rocq, weights)
    check_picture(plot, weights)
    meant, assumed = meant_by(inputs)
    file = read_file(weights)
    recurrent = file.map(
        prefix=one_or_several(prefix),
        activation=activation,
        variant=variant,
        recurrent_activation=recurrent_activation,
        unused=unused or (),
    )
    output = find_head(file, recurrent, head, prefix=prefix)
    check_method_fits(recurrent, method)
    alone = ", with U = I: the file holds W only" if weights.suffix.lower() == ".npy" else ""
    out.print(f"{recurrent!r} of {weights}{alone}", markup=False, highlight=False, soft_wrap=True)
    out.print(assumed, markup=False, soft_wrap=True)
    seen = None if sequences is None else list(load_sequences(sequences).arrays)
    began = time.perf_counter()
    found = find_certificates(recurrent, meant, method=method, effort=effort)
    seconds = time.perf_counter() - began
    radius = _radius(recurrent, found.everywhere)
    form = recurrent.affine()
    asked = method == "auto" and not _single(found.everywhere)
    if asked and form is not None and radius is not None:
        c = by_growth(form, radius.upper, radius.norm)
        more = {} if c is None else {"joint_spectral_radius": c}
        found = replace(found, everywhere={**found.everywhere, **more})
    best = found.best
    refutation, near = (None, False) if found.everywhere else _refuted(recurrent, found, seen)
    lower = _lower(found, radius, refutation)
    if refutation is None and best is None:
        refutation = refuted_by(recurrent, lower)
        near = refutation is not None
    cause = None
    if best is not None:
        _tell(found, best, seconds)
    if best is None:
        cause = cause_of(recurrent, inputs=meant, effort=effort)
        # first of the inputs in question, then of what is beyond them
        if not near:
            told = "unknown" if refutation is None else f"unknown for {meant}"
            _tell_unknown(told, cause, method, left_out(recurrent, effort), effort)
    if refutation is not None:
        _tell_refuted(refutation, near)
    if cause is not None:
        _advise(cause, method, alone=sequences is None and not near)
    elif not found.everywhere and refutation is None:
        out.print("everywhere: unknown, no certificate found and no refutation")
    shown, linear = shown_by(recurrent, output)
    own = found
    if shown is not recurrent:
        # of what stands behind the recurrence, too
        own, linear = find_certificates(shown, meant, effort=effort), LinearHead(shown.output_map)
    choice = required_context(
        shown, epsilon, inputs=meant, head=linear, effort=effort, certificates=own
    )
    for target in (json_file, rocq, plot):
        if target is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
    _tell_gap(found.everywhere, lower, radius)
    if choice is None and best is not None:
        out.print(f"required context: none is proved for {meant}", markup=False, soft_wrap=True)
    if choice is not None:
        if output.told:
            out.print(output.told, markup=False, soft_wrap=True)
        what = "an error" if linear is None else "an output error"
        least = "; no smaller k is enough for all such inputs" if choice.exact else ""
        out.print(
            f"required context: k = {choice.k} for {what} of {epsilon:g}, {choice.inputs} "
            f"({choice.contraction.evidence.method}, "
            f"rate {decimal_rate(choice.contraction.lam, 6)}){least}",
            markup=False,
            soft_wrap=True,
        )
    if json_file is not None:
        if best is None:
            _write_answer(json_file, found, refutation, near, lower, cause)
        else:
            save_certificate(json_file, recurrent, c=best)
        out.print(f"written: {json_file}", markup=False, soft_wrap=True)
    if plot is not None:
        _draw(plot, own, choice, epsilon, linear)
        out.print(f"drawn: {plot}", markup=False, soft_wrap=True)
    if rocq is not None:
        c = for_rocq(recurrent, found.named.values())
        save_rocq(rocq, recurrent, c=c, eps=epsilon, drive=recurrent.drive(c.norm, meant))
        out.print(f"written: {rocq}; coqc {rocq} checks it", markup=False, soft_wrap=True)
    if best is None:
        raise typer.Exit(NO)


def _single(found: dict[str, Contraction]) -> dict[str, Contraction]:
    """Return the contractions of a single step."""
    return {name: c for name, c in found.items() if c.iterate == 1}


def _tell_unknown(told: str, cause: Cause, method: str, untried: list[str], effort: int) -> None:
    """Say that nothing is known, why, and what to try."""
    by = "" if method == "auto" else f" by {method}"
    text = f"{told}: no certificate found{by}, and no refutation"
    out.print(text, markup=False, highlight=False, soft_wrap=True)
    if untried and method == "auto":
        out.print(
            f"not tried at this size: {', '.join(untried)}; --effort {effort + 1} tries more",
            markup=False,
            soft_wrap=True,
        )
    out.print(f"cause: {cause}", markup=False, highlight=False, soft_wrap=True)


def _meaning(refutation: Refutation) -> str:
    if refutation.never_forgets:
        return "it never forgets"
    return "no norm contracts in one step, several steps may, and it may still forget"


def _tell_refuted(refutation: Refutation, near: bool) -> None:
    """Say what is refuted, where, and what that means."""
    beyond = "" if near else "beyond these inputs, "
    out.print(
        f"refuted ({refutation.kind}): {beyond}{refutation.detail}; {_meaning(refutation)}; "
        f"{place_of(refutation)}",
        markup=False,
        soft_wrap=True,
    )


def _advise(cause: Cause, method: str, *, alone: bool) -> None:
    """Say what to try where there is no certificate; `alone`: no inputs were given to follow."""
    if alone:
        out.print("try: --sequences FILE, inputs that occur: where they lead is looked at first")
    for text in (*(("--method auto",) if method != "auto" else ()), *cause.advice):
        out.print(f"try: {text}", markup=False, highlight=False, soft_wrap=True)


def _refuted(
    recurrent: Map, found: Certificates, seen: list[Array] | None
) -> tuple[Refutation | None, bool]:
    """Look for a refutation: on what was seen, or for the inputs in question, or for any inputs.

    Whether its inputs are among those in question is the second answer.
    """
    refutation = None
    if seen is not None:
        refutation = refute(recurrent, sequences=seen)
    elif not found.named:
        refutation = refute(recurrent, inputs=found.inputs)
    if refutation is None:
        return refute(recurrent), False
    return refutation, found.inputs.contains(refutation.inputs)


def _lower(
    found: Certificates, radius: JointSpectralRadius | None, refutation: Refutation | None
) -> LowerBound | None:
    """Return what no norm can beat: everywhere, or by Jacobians where nothing else is known."""
    if radius is not None:
        return radius.lower
    if found.recurrent.affine() is not None:
        return rate_lower(found.recurrent)
    known = found.named or refutation is not None
    return None if known else rate_lower(found.recurrent, inputs=found.inputs)


def _write_answer(
    path: Path,
    found: Certificates,
    refutation: Refutation | None,
    near: bool,
    lower: LowerBound | None,
    cause: Cause | None,
) -> None:
    """Write what is known where there is no certificate, of other inputs too."""
    data = answer_to_dict(
        found.recurrent,
        refutation,
        answer="refuted" if near else "unknown",
        inputs=str(found.inputs),
        cause=None if cause is None else cause.to_dict(),
        rate_lower=None if lower is None else lower.rate,
    )
    write_atomically(path, json.dumps(data, indent=1) + "\n")


def _tell(found: Certificates, best: Contraction, seconds: float) -> None:
    """Print what was found."""
    n = found.recurrent.state_dim
    table = Table()
    for heading in ("method", "rate", "steps", "norm", "sqrt cond"):
        table.add_column(heading)
    for name, c in found.named.items():
        table.add_row(
            name, decimal_rate(c.lam, 9), str(c.iterate), str(c.norm), f"{_condition(c, n):.4g}"
        )
    show(table)
    if found.local:
        out.print(f"the box: {found.where}, never left", markup=False, soft_wrap=True)
    if found.from_zero:
        out.print(f"from zero: {found.reached}", markup=False, soft_wrap=True)
    steps = "" if best.iterate == 1 else f" of {best.iterate} steps together"
    out.print(
        f"certified: rate {decimal_rate(best.lam, 12)}{steps} ({best.evidence.method}), "
        + _where(best)
        + f", {seconds:.2f} s",
        markup=False,
        soft_wrap=True,
    )


def _where(c: Contraction) -> str:
    if c.domain is None:
        return "everywhere"
    return "on the box" if c.domain.reached is None else f"of {c.domain}"


def _draw(
    path: Path, found: Certificates, choice: Choice | None, epsilon: float, head: LinearHead | None
) -> None:
    """Draw the bound of the error against k, one line for each certificate.

    The certificate chosen for the allowed error is drawn in black, to the context it needs; the
    range of k is that of the question.
    """
    count = 40 if choice is None else max(10, math.ceil(1.25 * choice.k))
    step = max(1, count // 100)
    figure, (axes,) = canvas()
    axes.set_yscale("log")

    def curve(c: Contraction) -> tuple[list[int], list[float]]:
        return error_curve(
            found.recurrent,
            c,
            inputs=found.inputs,
            head=head,
            count=count,
            step=step,
            certificates=found,
        )

    ordered = sorted(found.named.items(), key=lambda item: item[1].lam)
    for i, (name, c) in enumerate(ordered):
        lengths, errors = curve(c)
        axes.plot(lengths, errors, DASHES[i % len(DASHES)], color=LINES[i % len(LINES)],
                  label=f"{name.replace('_', ' ')}: rate {c.lam:.4f}")  # fmt: skip
    if choice is not None:
        c, black = choice.contraction, COLOURS["chosen"]
        lengths, errors = curve(c)
        label = f"chosen: rate {c.lam:.4f}, k = {choice.k}"
        axes.plot(lengths, errors, "--", color=black, lw=2, label=label)
        axes.plot([choice.k], [choice.error], "o", color=black, ms=6)
    axes.axhline(
        epsilon, color=COLOURS["allowed"], lw=1, ls=":", label=f"allowed error {epsilon:g}"
    )
    count_axis(axes, count)
    what = "state" if head is None else "output"
    axes.set_ylabel(f"bound of the Euclidean {what} error", fontsize=12)
    axes.set_title(f"n = {found.recurrent.state_dim}, {found.inputs}", fontsize=12)
    if not found.named:
        axes.text(0.5, 0.5, "no certificate found", ha="center", transform=axes.transAxes)
    # below the axes, where it hides no curve
    figure.legend(fontsize=9, loc="outside lower center", ncols=2)
    figure.savefig(path)


@refusals()
def check(
    certificate: Annotated[Path, typer.Argument(help="A certificate file.")],
    weights: WeightsArgument,
    activation: ActivationOption = None,
    prefix: PrefixOption = None,
    variant: VariantOption = None,
    recurrent_activation: GatesOption = None,
    unused: UnusedOption = None,
) -> None:
    """Check a certificate, or a refutation, against weights, without a solver or a search."""
    stored = load_certificate(certificate)
    file = read_file(weights)
    # what the certificate says is a claim; a file that tells all by itself is read alone
    known = None if HEADER in file.arrays else stored.activation or None
    recurrent = file.map(
        prefix=one_or_several(prefix),
        activation=known if activation is None else activation,
        variant=variant,
        recurrent_activation=recurrent_activation,
        unused=unused or (),
    )
    answer = recheck(stored, recurrent)
    if not answer:
        out.print(f"rejected: {answer.failed}: {answer.reason}", markup=False)
        raise typer.Exit(NO)
    if isinstance(stored, StoredRefutation):
        # the file's own words are not checked, and not repeated
        kind, meaning = stored.refutation.kind, _meaning(stored.refutation)
        beyond = "beyond the inputs that were asked about, as the file says; "
        text = f"accepted: refuted ({kind}): {beyond if stored.beyond else ''}{meaning}; "
        text += place_of(stored.refutation)
        out.print(text, markup=False, soft_wrap=True)
        return
    steps = "" if stored.iterate == 1 else f" of {stored.iterate} steps together"
    where = "everywhere" if stored.domain is None else f"for {domain_from_dict(stored.domain)}"
    out.print(
        f"accepted: rate {decimal_rate(stored.rate, 12)}{steps} in {stored.norm['name']} "
        f"({stored.method}), {where}",
        markup=False,
        soft_wrap=True,
    )
