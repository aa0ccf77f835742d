r"""One style for all pictures: a colour for each kind of thing, whatever else is drawn beside it.

Main names: `COLOURS`, `LINES`, `canvas`, `count_axis`, `ticks`, `errors_against_k`, `drawn`.

The colours are those of Okabe and Ito, which the colour-blind tell apart; lines differ in dashes,
and points in markers, as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from theory.errors import MissingExtraError
from theory.typing import Array

#: The colour and the marker of a kind of thing, in every picture.
COLOURS = {
    "measured": "#0072B2",  # blue
    "certified": "#D55E00",  # vermilion
    "allowed": "#595959",  # grey
    "chosen": "#000000",
    "random": "#0072B2",
    "witnesses and search": "#D55E00",
    "your sequences": "#009E73",  # green
}
MARKERS = {"random": "o", "witnesses and search": "x", "your sequences": "+"}

#: For several of one kind: colours and dashes, which go on together.
LINES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
DASHES = ("-", "--", "-.", ":")

#: Inches and dots an inch: 1120 pixels wide, with letters that are still read at 400.
_SIZE, _DPI = (7.0, 4.6), 160

#: Sizes that are drawn; a logarithmic axis has no zero, and no margin at the end of the range.
_DRAWN = (1e-200, 1e200)

#: An axis of less than this spread has too few powers of ten to be read by them.
_DECADES = 100.0


def canvas(
    columns: int = 1, *, what: str = "a picture", fitted: bool = True
) -> tuple[Any, list[Any]]:
    """Return a figure of matplotlib with axes side by side; nothing global is touched.

    Axes that are not fitted to their labels are to be placed by the caller, and take half the time:
    a picture with a layout is drawn twice.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("matplotlib", "report", what) from None

    wide, high = _SIZE
    figure = Figure(figsize=(wide * columns, high), dpi=_DPI)
    if fitted:
        figure.set_layout_engine("constrained")
    panels = [figure.add_subplot(1, columns, i + 1) for i in range(columns)]
    for axes in panels:
        axes.tick_params(labelsize=11)
        axes.grid(visible=True, which="major", color="0.92")
    return figure, panels


def count_axis(axes: Any, last: int, *, label: str = "context k, in steps") -> None:
    """Make the horizontal axis one of whole steps, 0 .. last."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlim(0, max(last, 1))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(label, fontsize=12)


def ticks(axes: Any, spread: float) -> None:
    """Label two logarithmic axes of this spread, largest over smallest, so that no labels meet."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(NullFormatter())
        if spread < _DECADES:
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))


def drawn(curve: Array) -> Array:
    """Return a curve without what a logarithmic axis cannot show: NaN there, a gap in the line."""
    return np.where((curve >= _DRAWN[0]) & (curve <= _DRAWN[1]), curve, np.nan)


def errors_against_k(
    curves: Sequence[tuple[str, str, Array]],
    *,
    ylabel: str,
    allowed: float | None = None,
    k: int | None = None,
    name: str = "k",
) -> tuple[Any, Any]:
    """Return figure and axes of errors for k = 0, 1, .., on a logarithmic axis.

    Parameters
    ----------
    curves : sequence of (label, kind, errors)
        The kind is one of `COLOURS`; several measured ones get lighter from the last to the first.
    ylabel : str
    allowed : float, optional
        An error that is drawn across.
    k : int, optional
        A context that is drawn down, called `name`.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    figure, (axes,) = canvas()
    several = sum(kind == "measured" for _, kind, _ in curves)
    seen = 0
    for label, kind, errors in curves:
        seen += kind == "measured"
        light = 0.35 + 0.65 * seen / several if kind == "measured" else 1.0
        dashes = "-" if kind == "certified" else DASHES[(several - seen) % len(DASHES)]
        axes.plot(
            np.arange(len(errors)), drawn(errors), dashes, color=COLOURS[kind], alpha=light,
            lw=2, label=label,
        )  # fmt: skip
    if allowed is not None and _DRAWN[0] <= allowed <= _DRAWN[1]:
        axes.axhline(
            allowed, color=COLOURS["allowed"], lw=1, ls=":", label=f"allowed error {allowed:g}"
        )
    if k is not None:
        axes.axvline(k, color=COLOURS["chosen"], lw=1, ls="--", label=f"{name} = {k}")
    axes.set_yscale("log")
    count_axis(axes, max((len(errors) - 1 for *_, errors in curves), default=1))
    axes.set_ylabel(ylabel, fontsize=12)
    axes.legend(fontsize=10)
    return figure, axes
