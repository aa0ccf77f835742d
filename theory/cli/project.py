r"""The command `theory project`: weights in, the nearest stable weights out.

Main names: `project`; `theory.cli` registers it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from theory.arithmetic.rounding import decimal_down, decimal_rate
from theory.certificates import Contraction
from theory.certify.found import Certificates, find_certificates
from theory.certify.gate_bounds import certify
from theory.cli.options import (
    ActivationOption,
    GatesOption,
    InputsOption,
    PrefixOption,
    UnusedOption,
    VariantOption,
    WeightsArgument,
    meant_by,
    one_or_several,
    refusals,
    show,
)
from theory.cli.options import out as console
from theory.errors import check_positive
from theory.files.writing import check_writable
from theory.inputs import Inputs, entry_bound
from theory.interop.arrays import from_arrays
from theory.interop.files import read_file
from theory.interop.map_file import HEADER
from theory.interop.write import (
    changed_arrays,
    changed_names,
    check_kept,
    in_single,
    stored_layers,
    write,
)
from theory.maps.base import Map
from theory.maps.cascade import Cascade
from theory.maps.gru import GRU
from theory.maps.invariance import invariant_domain
from theory.maps.lstm import LSTM
from theory.memory.context import required_context
from theory.projections.base import Projection
from theory.projections.graded import graded_norm
from theory.projections.interface import GATED, SETS
from theory.projections.interface import project as nearest


def gated_map(arrays: Mapping[str, Any], kind: str) -> Map:
    """Return the LSTM or GRU of the arrays of one layer; PyTorch's two biases are added exactly.

    Raises
    ------
    ValueError
        If arrays are missing, their shapes do not fit, or they are those of another cell.
    """
    return _of_kind(from_arrays(arrays), kind)


def _of_kind(found: Map, kind: str) -> Map:
    """Return the map, which has to be one layer of a kind, where that is a gated cell."""
    name = kind.partition("_")[0]
    if kind in GATED and not isinstance(found, LSTM if name == "lstm" else GRU):
        raise ValueError(
            f"the file holds {found!r}, needed the weights of one {name.upper()} layer"
        )
    return found


def _known(recurrent: Map, onto: str, inputs: Inputs) -> Certificates | dict[str, Contraction]:
    """Return the certificates of the map as it was given."""
    if onto in GATED:
        c = certify(recurrent, entry_bound(inputs, recurrent.input_dim))
        return {} if c is None else {"gate bounds": c}
    return find_certificates(recurrent, inputs, iterates=False)


def _known_after(
    found: Projection, onto: str, inputs: Inputs
) -> Certificates | dict[str, Contraction]:
    """Return the certificates of the projected map, the projection's among them."""
    if onto in GATED:
        return {"metric" if onto.endswith("_l2") else "gate bounds": found.certificate}
    known = find_certificates(found.map, inputs, iterates=False)
    return replace(known, everywhere={**known.everywhere, "projection": found.certificate})


def _shown(stack: Map, below: Sequence[Projection], inputs: Inputs) -> Inputs:
    """Return what a layer can see of the projected one below it, whose inputs these are.

    Raises
    ------
    ValueError
        If nothing bounds it.
    """
    assert isinstance(stack, Cascade)
    box = invariant_domain(below[-1].map, inputs=inputs)
    if box is None:
        raise ValueError(f"nothing bounds what layer {len(below) - 1} gives to the next one")
    return Inputs.box(*stack.readouts[len(below) - 1].image((box.low, box.high)))


def _context(
    recurrent: Map,
    epsilon: float,
    inputs: Inputs,
    known: Certificates | dict[str, Contraction],
) -> str:
    """Return the number of inputs that determine the state to epsilon, or that none is known."""
    choice = required_context(recurrent, epsilon, inputs=inputs, certificates=known)
    return "none known" if choice is None else f"k = {choice.k}"


#: Before and after: the name of the row, a certificate, and the context.
Rows = tuple[tuple[str, Contraction | None, str], tuple[str, Contraction | None, str]]


def _of_one(before: Map, found: Projection, onto: str, inputs: Inputs, epsilon: float) -> Rows:
    known, then = _known(before, onto, inputs), _known_after(found, onto, inputs)
    named = known.everywhere if isinstance(known, Certificates) else known
    first = min(named.values(), key=lambda c: (c.iterate > 1, c.lam), default=None)
    return (
        ("before", first, _context(before, epsilon, inputs, known)),
        ("after", found.certificate, _context(found.map, epsilon, inputs, then)),
    )


def _of_stack(before: Map, found: Sequence[Projection], inputs: Inputs, epsilon: float) -> Rows:
    after = Cascade([one.map for one in found])
    known, then = (find_certificates(one, inputs, iterates=False) for one in (before, after))
    return (
        ("before", known.best, _context(before, epsilon, inputs, known)),
        ("after", then.best, _context(after, epsilon, inputs, then)),
    )


@refusals()
def project(
    weights: WeightsArgument,
    onto: Annotated[str, typer.Option(help=f"The set: one of {', '.join(SETS)}.")],
    rate: Annotated[float, typer.Option(help="The contraction factor asked for, below 1.")],
    out: Annotated[Path, typer.Option(help="Write the new weights here.")],
    force: Annotated[
        bool, typer.Option("--force", help="Allow --out to name a file that exists.")
    ] = False,
    activation: ActivationOption = None,
    inputs: InputsOption = None,
    epsilon: Annotated[float, typer.Option(help="Allowed error of the state, for k.")] = 1e-3,
    per_unit: Annotated[
        bool, typer.Option("--per-unit", help="The larger set of LSTM or GRU cells.")
    ] = False,
    ratio: Annotated[
        float | None,
        typer.Option(help="With --per-unit: in a norm whose weights grow by this over the units."),
    ] = None,
    method: Annotated[str, typer.Option(help="auto, closed_form or cvxpy.")] = "auto",
    prefix: PrefixOption = None,
    variant: VariantOption = None,
    recurrent_activation: GatesOption = None,
    unused: UnusedOption = None,
) -> None:
    """Move weights to the nearest ones that are provably stable.

    Whatever else the file holds, such as the output layer, is written as it was.  The layers of a
    stack are projected one after another, from the bottom up, each for what the one below gives.
    """
    check_positive(epsilon=epsilon)
    meant, assumed = meant_by(inputs)
    if onto not in SETS:
        raise ValueError(f"onto={onto!r} is not known, needed one of: {', '.join(SETS)}")
    if ratio is not None and not per_unit:
        raise ValueError(f"--ratio {ratio:g} is about the larger set, add --per-unit")
    check_writable(out)
    if out.exists() and not force:
        same = "the input" if weights.exists() and out.samefile(weights) else "a file"
        raise ValueError(f"{out} is {same} that would be overwritten; add --force to allow it")
    if out.suffix.lower() != weights.suffix.lower():
        raise ValueError(f"--out {out} and the input {weights} need the same suffix")
    file = read_file(weights)
    check_kept(file)
    if onto == "schur" and activation is None and HEADER not in file.arrays:
        activation = "identity"
    before = file.map(
        prefix=one_or_several(prefix),
        activation=activation,
        variant=variant,
        recurrent_activation=recurrent_activation,
        unused=unused or (),
    )
    layers = before.layers if isinstance(before, Cascade) else (before,)
    if isinstance(before, Cascade) and any(one.given for one in before.readouts):
        raise ValueError(
            f"{before!r} has readouts between its layers; project each layer by theory.projections "
            "and build the Cascade again"
        )
    for layer in layers:
        _of_kind(layer, onto)
    cells = stored_layers(
        file.arrays,
        [getattr(layer, "variant", None) for layer in layers],
        one_or_several(prefix),
        unused=unused or (),
    )
    found: list[Projection] = []
    done: Mapping[str, Any] = file.arrays
    seen = meant
    for number, (layer, cell) in enumerate(zip(layers, cells, strict=True)):
        if number and onto in GATED:
            seen = _shown(before, found, seen)
        one = nearest(
            layer,
            onto=onto,
            rate=rate,
            method=method,
            inputs=seen,
            per_unit=per_unit,
            weights=None if ratio is None else graded_norm(layer, rate=rate, ratio=ratio).weights,
            dtype="float32" if in_single(file.arrays, cell, onto) else "float64",
            bias_terms=cell.bias_terms,
        )
        done = changed_arrays(done, layer, one.map, cell)
        found.append(one)
    rows = (
        _of_stack(before, found, meant, epsilon)
        if isinstance(before, Cascade)
        else _of_one(before, found[0], onto, meant, epsilon)
    )
    write(out, dict(done), file)
    changed = changed_names(file.arrays, done)
    console.print(
        f"onto {onto} with rate {rate:g}: {before!r} of {weights}", markup=False, soft_wrap=True
    )
    _report(found, rows, epsilon)
    console.print(assumed, markup=False, soft_wrap=True)
    kept = len(done) - len(changed)
    console.print(
        f"changed: {', '.join(changed) or 'nothing'} ({kept} of {len(done)} arrays are as they "
        "were)",
        markup=False,
        soft_wrap=True,
    )
    console.print(f"written: {out}", markup=False, soft_wrap=True)


def _report(
    found: Sequence[Projection],
    rows: Sequence[tuple[str, Contraction | None, str]],
    epsilon: float,
) -> None:
    for number, one in enumerate(found):
        of = f"layer {number}: " if len(found) > 1 else ""
        console.print(f"{of}distance {one.distance:.9g}, by {one.method}", markup=False)
        if one.lower > 0.0:
            console.print(f"{of}no member is nearer than {decimal_down(one.lower, 9)}")
        for name, size in one.moved.items():
            console.print(f"{of}moved {name}: {size:.9g}", markup=False)
        console.print(
            f"{of}certificate: {one.certificate.evidence}, {one.certificate.evidence.detail}",
            markup=False,
            soft_wrap=True,
        )
        if one.note:
            console.print(f"{of}note: {one.note}", markup=False)
    table = Table()
    for heading in ("", "rate", "norm", f"context for {epsilon:g}"):
        table.add_column(heading)
    for name, c, k in rows:
        rate = "not certified" if c is None else decimal_rate(c.lam, 12)
        table.add_row(name, rate, "" if c is None else str(c.norm), k)
    show(table)
