r"""The commands `theory certify` and `theory check`.

Main names: `certify`, `check`; `theory.cli` registers them.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from theory.arithmetic.rounding import decimal_down, decimal_rate, decimal_up
from theory.certificates import Contraction
from theory.certify.ascent import LowerBound
from theory.certify.certificate_file import load_certificate, save_certificate
from theory.certify.enclose import LARGEST, JointSpectralRadius
from theory.certify.found import Certificates, find_certificates
from theory.certify.jsr import joint_spectral_radius, rate_lower
from theory.certify.methods import METHODS
from theory.certify.recheck import recheck
from theory.certify.refute import Refutation, refute
from theory.certify.rocq_file import for_rocq, save_rocq
from theory.cli.options import (
    NO,
    ActivationOption,
    InputsOption,
    PrefixOption,
    WeightsArgument,
    check_picture,
    out,
    read_map,
    refusals,
    show,
)
from theory.domain import domain_from_dict
from theory.errors import check_positive
from theory.files.writing import check_writable, write_atomically
from theory.inputs import read_inputs
from theory.maps.base import Map
from theory.memory.context import Choice, error_curve, required_context
from theory.norms.norms import L2, over


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
    rate = min((c.lam for c in found.values() if c.iterate == 1), default=math.inf)
    known = math.isfinite(rate) and lower.rate > 0
    gap = f", upper/lower = {rate / lower.rate:.6f}" if known else ""
    out.print(
        f"no norm can certify less than {decimal_down(lower.rate, 12)} everywhere{gap}",
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
    activation: ActivationOption = "tanh",
    inputs: InputsOption = "ball:1",
    epsilon: Annotated[float, typer.Option(help="Allowed error of the state.")] = 1e-3,
    method: Annotated[str, typer.Option(help=f"One of: auto, {', '.join(METHODS)}.")] = "auto",
    effort: Annotated[int, typer.Option(help="How much auto tries: 0, 1 or 2.")] = 1,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the certificate here.")
    ] = None,
    rocq: Annotated[
        Path | None, typer.Option(help="Write row or column sums here, for Rocq to check.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the bound against k for each certificate.")
    ] = None,
    prefix: PrefixOption = None,
) -> None:
    """Look for a proof that a recurrent network forgets, and say how fast.

    Exit status 0 if there is one, 1 if not.  What --json and --plot name is written in any case:
    without a certificate the file says whether it is refuted or unknown, and `check` rejects it.
    What --rocq names is written if row or column sums, weighted or not, certify the map everywhere.
    """
    check_positive(epsilon=epsilon)
    if json_file is not None:
        check_writable(json_file)
    if rocq is not None:
        check_writable(rocq)
    check_picture(plot)
    meant, recurrent = read_inputs(inputs), read_map(weights, activation, prefix)
    began = time.perf_counter()
    found = find_certificates(recurrent, meant, method=method, effort=effort)
    seconds = time.perf_counter() - began
    radius = _radius(recurrent, found.everywhere)
    lower = rate_lower(recurrent) if radius is None else radius.lower
    refutation = None if found.everywhere else refute(recurrent)
    if refutation is not None:
        out.print(f"refuted ({refutation.kind}): {refutation.detail}", markup=False, soft_wrap=True)
    elif not found.everywhere:
        out.print("unknown: no certificate found, and no refutation")
    best = found.best
    choice = required_context(recurrent, epsilon, inputs=meant, effort=effort, certificates=found)
    for target in (json_file, rocq, plot):
        if target is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
    if best is not None:
        if not found.everywhere:
            out.print("that is everywhere; for bounded inputs there is a certificate")
        _tell(found, best, activation, seconds)
    _tell_gap(found.everywhere, lower, radius)
    if choice is not None:
        out.print(
            f"required context: k = {choice.k} for an error of {epsilon:g}, {choice.inputs} "
            f"({choice.contraction.evidence.method}, "
            f"rate {decimal_rate(choice.contraction.lam, 6)})",
            markup=False,
            soft_wrap=True,
        )
    if json_file is not None:
        if best is None:
            _write_answer(json_file, found, refutation, lower)
        else:
            save_certificate(json_file, recurrent, c=best)
        out.print(f"written: {json_file}", markup=False, soft_wrap=True)
    if rocq is not None:
        c = for_rocq(found.everywhere.values())
        save_rocq(rocq, recurrent, c=c, eps=epsilon, drive=recurrent.drive(c.norm, meant))
        out.print(f"written: {rocq}; coqc {rocq} checks it", markup=False, soft_wrap=True)
    if plot is not None:
        _draw(plot, found, choice, epsilon)
        out.print(f"drawn: {plot}", markup=False, soft_wrap=True)
    if best is None:
        raise typer.Exit(NO)


#: The format of an answer without a certificate; `check` knows those of certificates only.
ANSWER = "stable-recurrent-models answer, version 1"


def _write_answer(
    path: Path, found: Certificates, refutation: Refutation | None, lower: LowerBound | None
) -> None:
    """Write what is known where there is no certificate."""
    data = {
        "format": ANSWER,
        "answer": "unknown" if refutation is None else "refuted",
        "refutation": None
        if refutation is None
        else {"kind": refutation.kind, "detail": refutation.detail},
        "map": repr(found.recurrent),
        "inputs": str(found.inputs),
        "rate_lower": None if lower is None else lower.rate,
    }
    write_atomically(path, json.dumps(data, indent=1) + "\n")


def _tell(found: Certificates, best: Contraction, activation: str, seconds: float) -> None:
    """Print what was found."""
    n = found.recurrent.state_dim
    table = Table(title=f"n = {n}, {activation}")
    for heading in ("method", "rate", "steps", "norm", "sqrt cond"):
        table.add_column(heading)
    for name, c in found.named.items():
        table.add_row(
            name, decimal_rate(c.lam, 9), str(c.iterate), str(c.norm), f"{_condition(c, n):.4g}"
        )
    show(table)
    if found.local:
        out.print(f"the box: {found.where}, never left", markup=False, soft_wrap=True)
    steps = "" if best.iterate == 1 else f" of {best.iterate} steps together"
    out.print(
        f"certified: rate {decimal_rate(best.lam, 12)}{steps} ({best.evidence.method}), "
        + ("everywhere" if best.domain is None else "on the box")
        + f", {seconds:.2f} s",
        markup=False,
        soft_wrap=True,
    )


def _draw(path: Path, found: Certificates, choice: Choice | None, epsilon: float) -> None:
    """Draw the bound of the state error against k, one line for each certificate.

    The certificate chosen for the allowed error is drawn in black, to the context it needs; the
    range of k is that of the question.
    """
    from matplotlib.figure import Figure

    count = 40 if choice is None else max(10, math.ceil(1.25 * choice.k))
    step = max(1, count // 100)
    figure = Figure(figsize=(6.4, 4.2), layout="constrained", dpi=150)
    axes = figure.add_subplot()

    def curve(c: Contraction) -> tuple[list[int], list[float]]:
        return error_curve(
            found.recurrent, c, inputs=found.inputs, count=count, step=step, certificates=found
        )

    for name, c in sorted(found.named.items(), key=lambda item: item[1].lam):
        lengths, errors = curve(c)
        axes.semilogy(lengths, errors, label=f"{name.replace('_', ' ')}: rate {c.lam:.4f}")
    if choice is not None:
        c = choice.contraction
        lengths, errors = curve(c)
        label = f"chosen: rate {c.lam:.4f}, k = {choice.k}"
        axes.semilogy(lengths, errors, color="black", linestyle="--", label=label)
        axes.semilogy([choice.k], [choice.error], color="black", marker="o", markersize=5)
    axes.axhline(epsilon, color="grey", linewidth=0.8, linestyle=":")
    axes.annotate(
        f"allowed error {epsilon:g}", (0.01, epsilon), xycoords=("axes fraction", "data"),
        xytext=(0, 3), textcoords="offset points", color="grey", fontsize="small",
    )  # fmt: skip
    axes.set_xlim(0, count)
    axes.set_xlabel("context k, in steps")
    axes.set_ylabel("bound of the Euclidean state error")
    axes.set_title(f"n = {found.recurrent.state_dim}, {found.inputs}")
    axes.grid(visible=True, which="major", color="0.92")
    if found.named:
        axes.legend(fontsize="small", framealpha=0.9)
    else:
        axes.set_yscale("log")
        axes.text(0.5, 0.5, "no certificate found", ha="center", transform=axes.transAxes)
    figure.savefig(path)


@refusals()
def check(
    certificate: Annotated[Path, typer.Argument(help="A certificate file.")],
    weights: WeightsArgument,
    prefix: PrefixOption = None,
) -> None:
    """Check a certificate against weights, without a solver or a search."""
    stored = load_certificate(certificate)
    answer = recheck(stored, read_map(weights, stored.activation or "tanh", prefix))
    if not answer:
        out.print(f"rejected: {answer.failed}: {answer.reason}", markup=False)
        raise typer.Exit(NO)
    steps = "" if stored.iterate == 1 else f" of {stored.iterate} steps together"
    where = "everywhere" if stored.domain is None else f"for {domain_from_dict(stored.domain)}"
    out.print(
        f"accepted: rate {decimal_rate(stored.rate, 12)}{steps} in {stored.norm['name']} "
        f"({stored.method}), {where}",
        markup=False,
        soft_wrap=True,
    )
