r"""The command `theory show`: what is recognised in a file of weights, and what is not.

Main name: `show`; `theory.cli` registers it.
"""

from __future__ import annotations

from typing import Annotated

import typer

from theory.cli.options import (
    NO,
    ActivationOption,
    GatesOption,
    VariantOption,
    WeightsArgument,
    out,
    refusals,
)
from theory.interop.show import FoundCell, FoundHead, recognised


@refusals()
def show(
    weights: WeightsArgument,
    activation: ActivationOption = None,
    variant: VariantOption = None,
    recurrent_activation: GatesOption = None,
    every: Annotated[
        bool, typer.Option("--all", help="List all arrays that are of no cell.")
    ] = False,
) -> None:
    """Show what a file of weights holds: its recurrent cells, and what is not read.

    Exit status 0 if a cell can be read, 1 if none can.
    """
    found = recognised(
        weights,
        activation=activation,
        variant=variant,
        recurrent_activation=recurrent_activation,
    )
    _line(
        f"{weights}: {found.kind}, {len(found.cells)} recurrent cell{'s' * (len(found.cells) != 1)}"
    )
    for cell in found.cells:
        _line(_told(cell))
        for note in cell.notes:
            _line(f"    {note}")
    if len(found.cells) > 1:
        _line("choose one with --prefix, or several, from the bottom up, for a stack")
    if found.heads:
        _line("output layers:")
    for head in found.heads:
        _line(f"    {_told_head(head)}")
    listed = list(found.others.items())
    shown = listed if every else listed[:_LISTED]
    if listed:
        _line(f"of no cell, and not read ({len(listed)}):")
    for name, words in shown:
        _line(f"    {name}: {words}")
    if len(shown) < len(listed):
        _line(f"    and {len(listed) - len(shown)} more; --all lists them")
    if all(cell.map is None for cell in found.cells):
        raise typer.Exit(NO)


#: So many arrays are listed unless all are asked for.
_LISTED = 8


def _told(cell: FoundCell) -> str:
    at = cell.prefix or "(no prefix)"
    reads = f", reads {cell.reads}" if cell.reads else ""
    what = f"not read: {cell.refused}" if cell.map is None else f"{cell.map!r}"
    return f"  {at} ({cell.kind}{reads}): {what}"


def _told_head(head: FoundHead) -> str:
    shape = "" if head.shape is None else f" {head.shape}"
    cells = ", ".join(at or "the cell" for at in head.cells)
    if head.sure and head.cells:
        what = f"reads {cells}"
    elif head.cells:
        what = f"fits {cells}; nothing tells what stands between"
    else:
        what = "not read"
    return f"{head.name}{shape}: {what}{f'; {head.told}' if head.told else ''}"


def _line(text: str) -> None:
    out.print(text, markup=False, highlight=False, soft_wrap=True)
