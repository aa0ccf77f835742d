r"""The commands `theory certify` and `theory check`.

Main names: `certify`, `check`; `theory.cli` registers them.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from theory.certificate_file import load_certificate, recheck, save_certificate
from theory.certificates import Contraction
from theory.certify import METHODS, tried
from theory.context import Choice, required_context
from theory.jsr import LARGEST, JointSpectralRadius, joint_spectral_radius
from theory.lower import LowerBound, rate_lower, refute
from theory.maps import LinearMap, Map, VanillaRNN
from theory.norms import L2, over

#: Exit statuses: certified (accepted), not certified (rejected), a malformed question.
YES, NO, BAD_INPUT = 0, 1, 2

#: Names under which weights are looked for, in this order.  Layouts that store transposed matrices
#: (kernels applied from the right) are not among them: transpose and rename those.
_NAMES = {
    "W": ("W", "A", "weight_hh_l0", "weight_hh"),
    "U": ("U", "B", "weight_ih_l0", "weight_ih"),
    "b": ("b", "bias"),
}


def read_map(path: Path, activation: str) -> Map:
    """Read W, U and b from an .npz file, or W alone from an .npy file.

    Without U the inputs are added to the state directly (U = I), without b the bias is zero;
    PyTorch names are known too, and its two biases are added.

    Raises
    ------
    ValueError
        If the file holds no recurrent weights, or what it holds does not fit.
    """
    try:
        loaded: Any = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if isinstance(loaded, np.ndarray):
        arrays: dict[str, Any] = {"W": loaded}
    else:
        with loaded:
            arrays = dict(loaded)
    found = {
        name: next((arrays[key] for key in keys if key in arrays), None)
        for name, keys in _NAMES.items()
    }
    if found["W"] is None:
        raise ValueError(
            f"{path} holds {sorted(arrays)}, needed recurrent weights under one of {_NAMES['W']}"
        )
    W = found["W"]
    U = np.eye(len(W)) if found["U"] is None else found["U"]
    b = found["b"]
    for suffix in ("_l0", ""):
        if b is None and f"bias_hh{suffix}" in arrays and f"bias_ih{suffix}" in arrays:
            b = arrays[f"bias_hh{suffix}"] + arrays[f"bias_ih{suffix}"]
    if activation == "identity":
        return LinearMap(W, U, b)
    return VanillaRNN(W, U, b, activation)


def _condition(c: Contraction, n: int) -> float:
    """Return the price of converting the norm to the Euclidean one and back."""
    return over(L2(), c.norm, n) * over(c.norm, L2(), n)


def _radius(recurrent: Map, found: dict[str, Contraction]) -> JointSpectralRadius | None:
    """Enclose the joint spectral radius of a small map in the norm that is best so far."""
    if recurrent.state_dim > LARGEST:
        return None
    best = min(found.values(), key=lambda c: c.lam, default=None)
    return joint_spectral_radius(recurrent, norm=None if best is None else best.norm)


def _tell_gap(
    out: Console, rate: float, lower: LowerBound | None, radius: JointSpectralRadius | None
) -> None:
    """Print what could still be gained."""
    if lower is None:
        return
    gap = f", upper/lower = {rate / lower.rate:.6f}" if lower.rate > 0 else ""
    out.print(f"no norm can certify less than {lower.rate:.12g}{gap}")
    if radius is not None and radius.upper < rate:
        out.print(
            f"some norm certifies every rate above {radius.upper:.12g} "
            f"({radius.products} products of at most {radius.longest} steps)"
        )


def certify(
    weights: Annotated[Path, typer.Argument(help="An .npz file with W, U, b, or an .npy with W.")],
    activation: Annotated[str, typer.Option(help="Elementwise activation.")] = "tanh",
    input_bound: Annotated[float, typer.Option(help="Bound of |x_t|, Euclidean.")] = 1.0,
    epsilon: Annotated[float, typer.Option(help="Allowed error of the state.")] = 1e-3,
    method: Annotated[str, typer.Option(help="auto, or one method.")] = "auto",
    effort: Annotated[int, typer.Option(help="How much auto tries: 0, 1 or 2.")] = 1,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the certificate here.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the bound against k for each certificate.")
    ] = None,
) -> None:
    """Look for a proof that a recurrent network forgets, and say how fast."""
    out, err = Console(), Console(stderr=True)
    try:
        if not epsilon > 0:
            raise ValueError(f"epsilon={epsilon!r}, needed epsilon > 0")
        if method != "auto" and method not in METHODS:
            raise ValueError(f"method {method!r} is not known, needed one of: auto, {[*METHODS]}")
        recurrent = read_map(weights, activation)
        began = time.perf_counter()
        if method == "auto":
            found = tried(recurrent, effort)
        else:
            one = METHODS[method](recurrent)
            found = {} if one is None else {method: one}
        seconds = time.perf_counter() - began
        radius = _radius(recurrent, found)
        lower = rate_lower(recurrent) if radius is None else radius.lower
        if not found:
            refutation = refute(recurrent)
            if refutation is None:
                out.print("unknown: no certificate found, and no refutation")
            else:
                out.print(f"refuted ({refutation.kind}): {refutation.detail}")
            raise typer.Exit(NO)
        choice = required_context(recurrent, epsilon, input_bound, effort=effort)
    except ValueError as error:
        err.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(BAD_INPUT) from None
    best = min(found.values(), key=lambda c: c.lam)
    n = recurrent.state_dim
    table = Table(title=f"n = {n}, {activation}")
    for heading in ("method", "rate", "norm", "sqrt cond"):
        table.add_column(heading)
    for name, c in found.items():
        table.add_row(name, f"{c.lam:.9f}", str(c.norm), f"{_condition(c, n):.4g}")
    out.print(table)
    out.print(f"certified: rate {best.lam:.12g} ({best.evidence.method}), {seconds:.2f} s")
    _tell_gap(out, best.lam, lower, radius)
    if choice is not None:
        out.print(
            f"required context: k = {choice.k} for an error of {epsilon:g} "
            f"({choice.contraction.evidence.method}, rate {choice.contraction.lam:.6g})"
        )
    if json_file is not None:
        save_certificate(json_file, recurrent, best)
        out.print(f"written: {json_file}")
    if plot is not None:
        _draw(plot, recurrent, found, input_bound, choice, epsilon)
        out.print(f"drawn: {plot}")


def _draw(
    path: Path,
    recurrent: Map,
    found: dict[str, Contraction],
    input_bound: float,
    choice: Choice | None,
    epsilon: float,
) -> None:
    """Draw the bound of the state error against k, one line for each certificate.

    The certificate chosen for the allowed error is drawn in black, to the context it needs; the
    range of k is that of the question.
    """
    from theory.context import error_curve
    from theory.errors import MissingExtraError

    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("matplotlib", "report", "a picture") from None
    count = 40 if choice is None else max(10, math.ceil(1.25 * choice.k))
    step = max(1, count // 100)
    figure = Figure(figsize=(6.4, 4.2), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    for name, c in sorted(found.items(), key=lambda item: item[1].lam):
        lengths, errors = error_curve(recurrent, c, input_bound, count=count, step=step)
        axes.semilogy(lengths, errors, label=f"{name.replace('_', ' ')}: rate {c.lam:.4f}")
    if choice is not None:
        c = choice.contraction
        lengths, errors = error_curve(recurrent, c, input_bound, count=count, step=step)
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
    axes.set_title(f"n = {recurrent.state_dim}, inputs of size at most {input_bound:g}")
    axes.grid(visible=True, which="major", color="0.92")
    axes.legend(fontsize="small", framealpha=0.9)
    try:
        figure.savefig(path)
    except ValueError as error:  # an ending that stands for no known format
        raise ValueError(f"{path} cannot be drawn: {error}") from None


def check(
    certificate: Annotated[Path, typer.Argument(help="A certificate file.")],
    weights: Annotated[Path, typer.Argument(help="The weights it is about.")],
) -> None:
    """Check a certificate against weights, with the small trusted module alone."""
    out, err = Console(), Console(stderr=True)
    try:
        stored = load_certificate(certificate)
        answer = recheck(stored, read_map(weights, stored.activation))
    except (ValueError, OSError) as error:
        err.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(BAD_INPUT) from None
    if not answer:
        out.print(f"rejected: {answer.failed}: {answer.reason}", markup=False)
        raise typer.Exit(NO)
    out.print(f"accepted: rate {stored.rate:.12g} in {stored.norm['name']} ({stored.method})")
