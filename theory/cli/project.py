r"""The command `theory project`: weights in, the nearest stable weights out.

Main names: `project`; `theory.cli` registers it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from theory.arithmetic.rounding import product_up, up
from theory.certificates import Contraction
from theory.certify.gate_bounds import certify
from theory.certify.interface import contraction
from theory.cli.options import InputsOption, read_map, refusals
from theory.cli.options import out as console
from theory.errors import check_positive
from theory.files.writing import check_writable
from theory.inputs import Inputs, entry_bound, read_inputs
from theory.interop.arrays import from_arrays
from theory.interop.files import named_arrays
from theory.interop.write import both_biases, changed_arrays, in_single, layout, write
from theory.maps.base import Map
from theory.maps.gru import GRU
from theory.maps.lstm import LSTM
from theory.memory.context import required_context
from theory.projections.base import Projection
from theory.projections.interface import SETS
from theory.projections.interface import project as nearest
from theory.theorems.context_length import context_length


def gated_map(arrays: Mapping[str, Any], kind: str) -> Map:
    """Return the LSTM or GRU of the arrays of one layer; PyTorch's two biases are added exactly.

    Raises
    ------
    ValueError
        If arrays are missing, their shapes do not fit, or they are those of another cell.
    """
    found = from_arrays(arrays)
    if not isinstance(found, LSTM if kind == "lstm" else GRU):
        raise ValueError(
            f"the file holds {found!r}, needed the weights of one {kind.upper()} layer"
        )
    return found


def read(path: Path, onto: str, activation: str) -> Map:
    """Return the map that a set applies to, from a file.

    Raises
    ------
    ValueError
        If the file does not hold such a map.
    """
    if onto in {"lstm", "gru"}:
        return gated_map(named_arrays(path), onto)
    return read_map(path, "identity" if onto == "schur" else activation)


def context(recurrent: Map, c: Contraction | None, epsilon: float, inputs: Inputs) -> str:
    """Return the number of inputs that determine the state to epsilon, or that none is known."""
    if recurrent.affine() is not None:
        choice = required_context(recurrent, epsilon, inputs, effort=1)
        return "none known" if choice is None else f"k = {choice.k}"
    if c is None or c.domain is None:
        return "none known"
    # |h_t| <= reach gives a gap of at most lam**k reach, the bound of a drive (1 - lam) reach
    reach = c.norm.majorant(c.domain.reach)
    return f"k = {context_length(c, eps=epsilon, drive=product_up(up(1.0 - c.lam), reach))}"


@refusals()
def project(
    weights: Annotated[Path, typer.Argument(help="An .npz file of one layer, or an .npy with W.")],
    onto: Annotated[str, typer.Option(help=f"The set: one of {', '.join(SETS)}.")],
    rate: Annotated[float, typer.Option(help="The contraction factor asked for, below 1.")],
    out: Annotated[Path, typer.Option(help="Write the new weights here.")],
    force: Annotated[
        bool, typer.Option("--force", help="Allow --out to name a file that exists.")
    ] = False,
    activation: Annotated[str, typer.Option(help="Elementwise activation.")] = "tanh",
    inputs: InputsOption = "box:-1,1",
    epsilon: Annotated[float, typer.Option(help="Allowed error of the state, for k.")] = 1e-3,
    per_unit: Annotated[
        bool, typer.Option("--per-unit", help="The larger set of LSTM cells.")
    ] = False,
    method: Annotated[str, typer.Option(help="auto, closed_form or cvxpy.")] = "auto",
) -> None:
    """Move weights to the nearest ones that are provably stable."""
    check_positive(epsilon=epsilon)
    meant = read_inputs(inputs)
    if onto not in SETS:
        raise ValueError(f"onto={onto!r} is not known, needed one of: {', '.join(SETS)}")
    check_writable(out)
    if out.exists() and not force:
        same = "the input" if weights.exists() and out.samefile(weights) else "a file"
        raise ValueError(f"{out} is {same} that would be overwritten; add --force to allow it")
    if out.suffix != weights.suffix:
        raise ValueError(f"--out {out} and the input {weights} need the same suffix")
    arrays = named_arrays(weights)
    before = read(weights, onto, activation)
    found = nearest(
        before,
        onto=onto,
        rate=rate,
        method=method,
        inputs=meant,
        per_unit=per_unit,
        dtype="float32" if in_single(arrays, onto) else "float64",
        bias_terms=2 if both_biases(layout(arrays)) else 1,
    )
    done = changed_arrays(arrays, before, found.map)
    first = _known(before, onto, meant)
    contexts = (
        context(before, first, epsilon, meant),
        context(found.map, found.certificate, epsilon, meant),
    )
    write(out, done)
    _report(found, first, contexts, epsilon, meant, out)


def _known(recurrent: Map, onto: str, inputs: Inputs) -> Contraction | None:
    """Return a contraction of the map as it was given, or None."""
    if onto in {"lstm", "gru"}:
        return certify(recurrent, entry_bound(inputs, recurrent.input_dim))
    return contraction(recurrent)


def _report(
    found: Projection,
    before: Contraction | None,
    contexts: tuple[str, str],
    epsilon: float,
    inputs: Inputs,
    out: Path,
) -> None:
    table = Table(title=f"distance {found.distance:.9g}, by {found.method}", title_justify="left")
    for heading in ("", "rate", "norm", f"context for {epsilon:g}"):
        table.add_column(heading)
    for name, c, k in zip(("before", "after"), (before, found.certificate), contexts, strict=True):
        rate = "not certified" if c is None else f"{c.lam:.12g}"
        table.add_row(name, rate, "" if c is None else str(c.norm), k)
    console.print(table)
    console.print(f"inputs: {inputs}", markup=False, soft_wrap=True)
    console.print(f"no member is nearer than {found.lower:.9g}")
    for name, size in found.moved.items():
        console.print(f"moved {name}: {size:.9g}", markup=False)
    console.print(f"certificate: {found.certificate.evidence}, {found.certificate.evidence.detail}")
    if found.note:
        console.print(f"note: {found.note}", markup=False)
    console.print(f"written: {out}", markup=False, soft_wrap=True)
