r"""The command `theory project`: weights in, the nearest stable weights out.

Main names: `project`; `theory.cli` registers it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from theory.array_files import write_archive
from theory.campaign.runner import check_writable
from theory.certificates import Contraction
from theory.certify import contraction
from theory.cli_certify import InputsOption, read_map
from theory.context import required_context
from theory.errors import check_positive
from theory.files import replacing
from theory.inputs import Inputs, entry_bound, read_inputs
from theory.interop import from_arrays, named_arrays
from theory.maps import GRU, LSTM, LinearMap, Map
from theory.projections import SETS, Projection
from theory.projections import project as nearest
from theory.rounding import product_up, up
from theory.theorems.context_length import context_length

#: Exit statuses: written, a malformed question.
WRITTEN, BAD_INPUT = 0, 2

#: Names of the arrays of one layer: this package's own, PyTorch's, PyTorch's for a single cell.
_LAYOUTS = (
    ("W", "U", "b", "b_candidate"),
    ("A", "B", "bias", ""),
    ("weight_hh_l0", "weight_ih_l0", "bias_ih_l0", "bias_hh_l0"),
    ("weight_hh", "weight_ih", "bias_ih", "bias_hh"),
)


def _layout(arrays: Mapping[str, Any]) -> tuple[str, str, str, str]:
    for names in _LAYOUTS:
        if names[0] in arrays:
            return names
    raise ValueError(
        f"the file holds {sorted(arrays)}, needed recurrent weights under one of "
        f"{[names[0] for names in _LAYOUTS]}"
    )


def _both_biases(names: tuple[str, str, str, str]) -> bool:
    return names[0].startswith("weight")


def in_single(arrays: Mapping[str, Any], onto: str) -> bool:
    """Return whether something that a projection moves is stored in single precision."""
    names = _layout(arrays)
    moved = names if onto in {"lstm", "gru"} else names[:1]
    types = [np.asarray(arrays[name]).dtype for name in moved if name in arrays]
    return any(one.kind == "f" and one.itemsize == 4 for one in types)


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


def changed_arrays(arrays: Mapping[str, Any], before: Map, after: Map) -> dict[str, Any]:
    """Return the file's arrays with the moved parameters replaced, each in its own type.

    Where the sum of PyTorch's two biases moves, each gets half of it: halves are exact, while a sum
    of two rounded numbers would not be the one that was proved.  A bias that the file has not gets
    the type of the recurrent weights; of PyTorch's two, both are made.

    Raises
    ------
    ValueError
        If a type cannot store a number.
    """
    names = _layout(arrays)
    old, new = before.parameters, after.parameters
    out = {name: np.array(value) for name, value in arrays.items()}

    def make(name: str, size: int) -> None:
        if name not in out:
            out[name] = np.zeros(size, dtype=out[names[0]].dtype)

    def put(name: str, value: Any, where: Any = slice(None)) -> None:
        out[name][where] = value
        if not np.array_equal(np.asarray(out[name][where], dtype=np.float64), value):
            raise ValueError(
                f"{name} has type {out[name].dtype}, which cannot store the projected numbers "
                "exactly; convert it to float64 or float32"
            )

    W = "A" if isinstance(before, LinearMap) else "W"
    put(names[0], new[W])
    if isinstance(before, LSTM | GRU):
        if names[1] in out:
            put(names[1], new["U"])
        moved = old["b"] != new["b"]
        inner = isinstance(before, GRU) and np.any(old["b_candidate"] != new["b_candidate"])
        if np.any(moved) or inner:
            for name in names[2:] if _both_biases(names) else names[2:3]:
                make(name, len(moved))
        if np.any(moved) and not _both_biases(names):
            put(names[2], new["b"])
        elif np.any(moved):
            n = new["W"].shape[1]
            last = 2 * n if isinstance(before, GRU) else 4 * n
            summed = moved & (np.arange(len(moved)) < last)
            for name in names[2:]:
                put(name, 0.5 * new["b"][summed], summed)
            put(names[2], new["b"][moved & ~summed], moved & ~summed)
        if inner:
            n = new["W"].shape[1]
            make(names[3], n)
            where = slice(2 * n, None) if _both_biases(names) else slice(None)
            put(names[3], new["b_candidate"], where)
    return out


def write(path: Path, arrays: Mapping[str, Any]) -> None:
    """Replace a file by these arrays in one step; make its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as stream:
        if path.suffix == ".npy":
            np.save(stream, arrays["W"], allow_pickle=False)
        else:
            write_archive(stream, arrays)


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
    console, err = Console(), Console(stderr=True)
    try:
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
            bias_terms=2 if _both_biases(_layout(arrays)) else 1,
        )
        done = changed_arrays(arrays, before, found.map)
        first = _known(before, onto, meant)
        contexts = (
            context(before, first, epsilon, meant),
            context(found.map, found.certificate, epsilon, meant),
        )
        write(out, done)
    except (ValueError, ArithmeticError, OSError) as error:
        err.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(BAD_INPUT) from None
    _report(console, found, first, contexts, epsilon, meant, out)


def _known(recurrent: Map, onto: str, inputs: Inputs) -> Contraction | None:
    """Return a contraction of the map as it was given, or None."""
    if onto in {"lstm", "gru"}:
        from theory.projections.gated import certify

        return certify(recurrent, entry_bound(inputs, recurrent.input_dim))
    return contraction(recurrent)


def _report(
    console: Console,
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
