r"""The commands `theory certify` and `theory check`.

Main names: `certify`, `check`; `theory.cli` registers them.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from theory.certificate_file import load_certificate, recheck, save_certificate
from theory.certificates import Contraction
from theory.certify import METHODS, tried
from theory.context import required_context
from theory.errors import MissingExtraError
from theory.interop import read_weights
from theory.lower import rate_lower, refute
from theory.maps import Map
from theory.norms import L2, over

#: Exit statuses: certified (accepted), not certified (rejected), a malformed question.
YES, NO, BAD_INPUT = 0, 1, 2


#: What several commands ask about a file of weights.
WeightsArgument = Annotated[
    Path,
    typer.Argument(help="Weights: .npz (PyTorch's, Keras' or our names), .safetensors, .npy (W)."),
]
ActivationOption = Annotated[str, typer.Option(help="Activation of a plain cell.")]
PrefixOption = Annotated[
    str | None, typer.Option(help="Where the cell is in the file, as in encoder.rnn.")
]


def read_map(path: Path, activation: str, prefix: str | None = None) -> Map:
    """Read a map from a file of weights, see `theory.interop.read_weights`.

    Raises
    ------
    ValueError
        If the file holds no recurrent weights, or what it holds does not fit.
    """
    return read_weights(path, activation=activation, prefix=prefix)


def _condition(c: Contraction, n: int) -> float:
    """Return the price of converting the norm to the Euclidean one and back."""
    return over(L2(), c.norm, n) * over(c.norm, L2(), n)


def certify(
    weights: WeightsArgument,
    activation: ActivationOption = "tanh",
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
    prefix: PrefixOption = None,
) -> None:
    """Look for a proof that a recurrent network forgets, and say how fast."""
    out, err = Console(), Console(stderr=True)
    try:
        if not epsilon > 0:
            raise ValueError(f"epsilon={epsilon!r}, needed epsilon > 0")
        if method != "auto" and method not in METHODS:
            raise ValueError(f"method {method!r} is not known, needed one of: auto, {[*METHODS]}")
        recurrent = read_map(weights, activation, prefix)
        began = time.perf_counter()
        if method == "auto":
            found = tried(recurrent, effort)
        else:
            one = METHODS[method](recurrent, None)
            found = {} if one is None else {method: one}
        seconds = time.perf_counter() - began
        lower = rate_lower(recurrent)
        if not found:
            refutation = refute(recurrent)
            if refutation is None:
                out.print("unknown: no certificate found, and no refutation")
            else:
                out.print(f"refuted ({refutation.kind}): {refutation.detail}")
            raise typer.Exit(NO)
        choice = required_context(recurrent, epsilon, input_bound, effort=effort)
    except (ValueError, MissingExtraError) as error:
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
    if lower is not None:
        out.print(f"no norm can certify less than {lower.rate:.12g}")
    if choice is not None:
        out.print(
            f"required context: k = {choice.k} for an error of {epsilon:g} "
            f"({choice.contraction.evidence.method}, rate {choice.contraction.lam:.6g})"
        )
    if json_file is not None:
        save_certificate(json_file, recurrent, best)
        out.print(f"written: {json_file}")
    if plot is not None:
        _draw(plot, recurrent, found, input_bound)
        out.print(f"drawn: {plot}")


def _draw(path: Path, recurrent: Map, found: dict[str, Contraction], input_bound: float) -> None:
    """Draw the bound of the state error against k, one line for each certificate."""
    from theory.context import error_curve

    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("matplotlib", "report", "a picture") from None
    figure = Figure(figsize=(6.0, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for name, c in found.items():
        lengths, errors = error_curve(recurrent, c, input_bound)
        axes.semilogy(lengths, errors, label=f"{name}: {c.lam:.4g}")
    axes.set_xlabel("k")
    axes.set_ylabel("bound of the state error")
    axes.legend()
    figure.savefig(path)


def check(
    certificate: Annotated[Path, typer.Argument(help="A certificate file.")],
    weights: WeightsArgument,
    prefix: PrefixOption = None,
) -> None:
    """Check a certificate against weights, with the small trusted module alone."""
    out, err = Console(), Console(stderr=True)
    try:
        stored = load_certificate(certificate)
        answer = recheck(stored, read_map(weights, stored.activation, prefix))
    except (ValueError, OSError, MissingExtraError) as error:
        err.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(BAD_INPUT) from None
    if not answer:
        out.print(f"rejected: {answer.failed}: {answer.reason}", markup=False)
        raise typer.Exit(NO)
    out.print(f"accepted: rate {stored.rate:.12g} in {stored.norm['name']} ({stored.method})")
