r"""The commands `theory certify` and `theory check`.

Main names: `certify`, `check`; `theory.cli` registers them.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from theory.certificates import Contraction
from theory.certify.ascent import LowerBound
from theory.certify.certificate_file import load_certificate, save_certificate
from theory.certify.enclose import LARGEST, JointSpectralRadius
from theory.certify.interface import domain_of
from theory.certify.jsr import joint_spectral_radius, rate_lower
from theory.certify.methods import METHODS, tried
from theory.certify.recheck import recheck
from theory.certify.refute import refute
from theory.cli.options import (
    BAD_INPUT,
    NO,
    ActivationOption,
    PrefixOption,
    WeightsArgument,
    read_map,
)
from theory.domain import Domain, domain_from_dict
from theory.errors import MissingExtraError
from theory.inputs import Inputs, read_inputs
from theory.maps.base import Map
from theory.memory.context import Choice, error_curve, required_context
from theory.norms.norms import L2, over

InputsOption = Annotated[
    str,
    typer.Option(
        help='Which inputs: "box:-1,1" (every |x_i| <= 1), "ball:1" (Euclidean length), '
        "or a file of sequences."
    ),
]


def _condition(c: Contraction, n: int) -> float:
    """Return the price of converting the norm to the Euclidean one and back."""
    return over(L2(), c.norm, n) * over(c.norm, L2(), n)


def _radius(recurrent: Map, found: dict[str, Contraction]) -> JointSpectralRadius | None:
    """Enclose the joint spectral radius of a small map in the norm that is best so far."""
    if not recurrent.state_dim <= LARGEST:
        return None
    best = min(found.values(), key=lambda c: c.lam, default=None)
    return joint_spectral_radius(recurrent, norm=None if best is None else best.norm)


def _tell_gap(
    out: Console,
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
    out.print(f"no norm can certify less than {lower.rate:.12g} everywhere{gap}")
    if radius is not None and radius.upper < min(rate, 1.0):
        out.print(
            f"some norm certifies every rate above {radius.upper:.12g} "
            f"({radius.products} products of at most {radius.longest} steps)"
        )


def _found(
    recurrent: Map, method: str, effort: int, where: Domain | None
) -> dict[str, Contraction]:
    """Return what the methods certify everywhere or on a domain, several steps among them."""
    if method == "auto":
        return tried(recurrent, effort, where, iterates=True)
    one = METHODS[method](recurrent, where)
    return {} if one is None else {method: one}


def certify(
    weights: WeightsArgument,
    activation: ActivationOption = "tanh",
    inputs: InputsOption = "ball:1",
    epsilon: Annotated[float, typer.Option(help="Allowed error of the state.")] = 1e-3,
    method: Annotated[str, typer.Option(help="auto, or one method.")] = "auto",
    effort: Annotated[int, typer.Option(help="How much auto tries: 0, 1 or 2.")] = 1,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the certificate here.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the bound against k for each certificate.")
    ] = None,
    prefix: PrefixOption = None,
) -> None:
    """Look for a proof that a recurrent network forgets, and say how fast."""
    out, err = Console(), Console(stderr=True)
    try:
        if not epsilon > 0:
            raise ValueError(f"epsilon={epsilon!r}, needed epsilon > 0")
        if method != "auto" and method not in METHODS:
            raise ValueError(f"method {method!r} is not known, needed one of: auto, {[*METHODS]}")
        meant, recurrent = read_inputs(inputs), read_map(weights, activation, prefix)
        began = time.perf_counter()
        found = _found(recurrent, method, effort, None)
        where = domain_of(recurrent, inputs=meant)
        local = {} if where is None else _found(recurrent, method, effort, where)
        seconds = time.perf_counter() - began
        radius = _radius(recurrent, found)
        lower = rate_lower(recurrent) if radius is None else radius.lower
        if not found:
            refutation = refute(recurrent)
            if refutation is None:
                out.print("unknown: no certificate found, and no refutation")
            else:
                out.print(f"refuted ({refutation.kind}): {refutation.detail}")
            if not local:
                raise typer.Exit(NO)
            out.print("that is everywhere; for bounded inputs there is a certificate")
        choice = required_context(recurrent, epsilon, meant, effort=effort)
    except (ValueError, OSError, MissingExtraError) as error:
        err.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(BAD_INPUT) from None
    shown = {**found, **{f"{name}, on the box": c for name, c in local.items()}}
    # of one step if there is any such, then of the smallest rate
    best = min(shown.values(), key=lambda c: (c.iterate > 1, c.lam))
    n = recurrent.state_dim
    table = Table(title=f"n = {n}, {activation}")
    for heading in ("method", "rate", "steps", "norm", "sqrt cond"):
        table.add_column(heading)
    for name, c in shown.items():
        table.add_row(name, f"{c.lam:.9f}", str(c.iterate), str(c.norm), f"{_condition(c, n):.4g}")
    out.print(table)
    if local:
        out.print(f"the box: {where}, never left")
    steps = "" if best.iterate == 1 else f" of {best.iterate} steps together"
    out.print(
        f"certified: rate {best.lam:.12g}{steps} ({best.evidence.method}), "
        + ("everywhere" if best.domain is None else "on the box")
        + f", {seconds:.2f} s"
    )
    _tell_gap(out, found, lower, radius)
    if choice is not None:
        out.print(
            f"required context: k = {choice.k} for an error of {epsilon:g}, {choice.inputs} "
            f"({choice.contraction.evidence.method}, rate {choice.contraction.lam:.6g})"
        )
    if json_file is not None:
        save_certificate(json_file, recurrent, best)
        out.print(f"written: {json_file}")
    if plot is not None:
        _draw(plot, recurrent, shown, meant, choice, epsilon)
        out.print(f"drawn: {plot}")


def _draw(
    path: Path,
    recurrent: Map,
    found: dict[str, Contraction],
    inputs: Inputs,
    choice: Choice | None,
    epsilon: float,
) -> None:
    """Draw the bound of the state error against k, one line for each certificate.

    The certificate chosen for the allowed error is drawn in black, to the context it needs; the
    range of k is that of the question.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("matplotlib", "report", "a picture") from None
    count = 40 if choice is None else max(10, math.ceil(1.25 * choice.k))
    step = max(1, count // 100)
    figure = Figure(figsize=(6.4, 4.2), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    for name, c in sorted(found.items(), key=lambda item: item[1].lam):
        lengths, errors = error_curve(recurrent, c, inputs, count=count, step=step)
        axes.semilogy(lengths, errors, label=f"{name.replace('_', ' ')}: rate {c.lam:.4f}")
    if choice is not None:
        c = choice.contraction
        lengths, errors = error_curve(recurrent, c, inputs, count=count, step=step)
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
    axes.set_title(f"n = {recurrent.state_dim}, {inputs}")
    axes.grid(visible=True, which="major", color="0.92")
    axes.legend(fontsize="small", framealpha=0.9)
    try:
        figure.savefig(path)
    except ValueError as error:  # an ending that stands for no known format
        raise ValueError(f"{path} cannot be drawn: {error}") from None


def check(
    certificate: Annotated[Path, typer.Argument(help="A certificate file.")],
    weights: WeightsArgument,
    prefix: PrefixOption = None,
) -> None:
    """Check a certificate against weights, without a solver or a search."""
    out, err = Console(), Console(stderr=True)
    try:
        stored = load_certificate(certificate)
        answer = recheck(stored, read_map(weights, stored.activation or "tanh", prefix))
    except (ValueError, OSError, MissingExtraError) as error:
        err.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(BAD_INPUT) from None
    if not answer:
        out.print(f"rejected: {answer.failed}: {answer.reason}", markup=False)
        raise typer.Exit(NO)
    steps = "" if stored.iterate == 1 else f" of {stored.iterate} steps together"
    where = "everywhere" if stored.domain is None else f"for {domain_from_dict(stored.domain)}"
    out.print(
        f"accepted: rate {stored.rate:.12g}{steps} in {stored.norm['name']} ({stored.method}), "
        f"{where}",
        markup=False,
        soft_wrap=True,
    )
