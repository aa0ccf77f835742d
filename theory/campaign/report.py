r"""Verdicts -> table, JSON and a self-contained HTML page.

Main names: `table`, `html_report`, `gap_picture`.
"""

from __future__ import annotations

import base64
import importlib
import io
import math
import os
import platform
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from theory.campaign.results import Row
from theory.campaign.tasks import Config
from theory.errors import MissingExtraError
from theory.pictures import COLOURS, MARKERS, canvas, ticks
from theory.theorems.theorem import Kind, Theorem
from theory.theorems.typeset import latex_statement
from theory.version import __version__

if TYPE_CHECKING:
    from rich.table import Table


def number(value: float) -> str:
    """Return a ratio for people: four digits, or how far it is from 1 where these would hide it."""
    if math.isnan(value):
        return "-"
    # four digits of a number below 1 are finer than of one above
    if 0 < abs(1 - value) < (5e-5 if value < 1 else 5e-4):
        return f"1{'-' if value < 1 else '+'}{abs(1 - value):.0e}"
    return f"{value:.4g}"


def verdict_of(row: Row) -> str:
    """Return the verdict of a row in words."""
    if row.refuted:
        return f"REFUTED by {row.refuted}"
    if row.instances == 0:
        return "NOT TESTED"
    if row.caught < len(row.near_misses):
        return "near miss survives"
    return "holds"


def table(rows: Sequence[Row]) -> Table:
    """Return the campaign's table for a terminal."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(title="Verdicts", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    made.add_column("theorem", no_wrap=True)
    for name in ("instances", "worst\nratio", "misses\nrefuted", "time"):
        made.add_column(name, justify="right", no_wrap=True)
    made.add_column("verdict", no_wrap=True)
    for row in rows:
        made.add_row(
            row.theorem.name,
            str(row.instances),
            "-" if row.worst is None else number(row.worst.ratio),
            f"{row.caught}/{len(row.near_misses)}",
            f"{row.seconds:.1f} s",
            Text(verdict_of(row), style="green" if row.ok else "bold red"),
        )
    return made


def gap_picture(row: Row) -> Any:
    """Return a figure of measured against bound; both axes logarithmic.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    # a fixed place, wide enough for the labels 10**-300
    figure, (axes,) = canvas(what="the HTML report", fitted=False)
    figure.set_size_inches(5.2, 4.0)
    figure.set_dpi(120)
    axes.set_position((0.17, 0.14, 0.80, 0.82))
    groups: dict[str, list[tuple[float, float]]] = {}
    for measured, bound, source in row.points:
        group = (
            "your sequences"
            if source == "sequence"
            else ("random" if source.startswith("random") else "witnesses and search")
        )
        # logarithmic axes have no place for zero (a map at rest)
        if 0 < bound < math.inf and 0 < measured < math.inf:
            groups.setdefault(group, []).append((bound, measured))
    for name, marker in MARKERS.items():
        if name in groups:
            xs, ys = zip(*groups[name], strict=True)
            style = {"color": COLOURS[name], "ls": "none", "alpha": 0.7}
            axes.plot(xs, ys, marker, ms=5, label=name, **style)
    everything = [v for points in groups.values() for point in points for v in point]
    if everything:
        low, high = min(everything), max(everything)
        axes.plot([low, high], [low, high], "k-", lw=0.8, label="measured = bound")
        axes.set_xscale("log")
        axes.set_yscale("log")
        ticks(axes, high / low)
        axes.legend(fontsize=10)
    axes.set_xlabel("bound", fontsize=12)
    axes.set_ylabel("measured", fontsize=12)
    return figure


def _encoded(figure: Any) -> str:
    """Return a figure as a PNG image in base64."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return base64.b64encode(stream.getvalue()).decode("ascii")


def html_report(
    rows: Sequence[Row], config: Config, *, notes: Sequence[str] = (), command: str = ""
) -> str:
    """Return the campaign as one HTML page without outside references.

    Parameters
    ----------
    rows, config
        What was found, and what was asked.
    notes : sequence of str
        Paragraphs above the table.
    command : str
        What was typed to make the report.

    Raises
    ------
    MissingExtraError
        If matplotlib or jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise MissingExtraError("jinja2", "report", "the HTML report") from None

    environment = Environment(
        loader=PackageLoader("theory.campaign", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
    )
    entries = [_entry(row) for row in rows]
    return environment.get_template("report.html").render(
        version=__version__,
        config=config,
        entries=entries,
        ok=all(row.ok for row in rows),
        notes=list(notes),
        command=command,
        date=datetime.now(UTC).date().isoformat(),
        machine=machine(),
    )


def machine() -> str:
    """Return the class of this machine and the versions that matter, without its name."""
    cores = os.cpu_count() or 1
    kind = f"{platform.system()} on {platform.machine()}, {cores} core{'s' * (cores > 1)}"
    return f"{kind}, Python {platform.python_version()}, NumPy {np.__version__}"


def typeset(theorem: Theorem) -> str:
    """Return the statement as MathML, which browsers show by themselves; "" without the extra."""
    try:
        from latex2mathml.converter import convert
    except ImportError:
        return ""
    made = str(convert(latex_statement(theorem), display="block"))
    return re.sub(r' xmlns="[^"]*"', "", made)  # a page needs no address to know the language


def _entry(row: Row) -> dict[str, Any]:
    worst = row.worst
    lower = row.theorem.kind is Kind.LOWER
    return {
        "name": row.theorem.name,
        "title": row.theorem.title,
        "statement": statement(row.theorem.name),
        "typeset": typeset(row.theorem),
        "source": row.theorem.source,
        "kind": row.theorem.kind.value,
        "assumes": [(a.name, a.statement) for a in row.theorem.assumes],
        "instances": row.instances,
        "observations": row.observations,
        "ratio": "-" if worst is None else number(worst.ratio),
        "ratio_name": "bound / measured" if lower else "measured / bound",
        "worst": worst,
        "arguments": {} if worst is None else {k: f"{v:.6g}" for k, v in worst.arguments.items()},
        "verdict": verdict_of(row),
        "ok": row.ok,
        "seconds": f"{row.seconds:.1f}",
        "near_misses": [
            (name, None if found is None else (found[0].label, number(found[0].ratio)))
            for name, found in row.near_misses.items()
        ],
        "caught": row.caught,
        "plot": _encoded(gap_picture(row)),
    }


def statement(name: str) -> str:
    """Return the Statement of a theorem's module, on one line."""
    text = importlib.import_module(f"theory.theorems.{name}").__doc__ or ""
    found = re.search(r"^Statement(.*?)^\w", text, re.DOTALL | re.MULTILINE)
    return " ".join(found.group(1).split()) if found else ""
