r"""What the experiments share in writing: CSV files with their origin, pictures, the gallery.

Main names: `write`, `show`, `picture`, `figure`, `options`, `panels`, `style`, `finish`,
`read_rows`, `redraw`, `gallery`.

Run   python examples/_results.py build/figures            to write index.html for what is there
      python examples/_results.py build/figures --redraw   to draw its pictures again
"""

from __future__ import annotations

import argparse
import ast
import csv
import html
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def unwritable(folder: Path) -> str:
    """Make a folder, and return why nothing can be written there, "" if something can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return f"{folder} cannot be written ({error.strerror or error})"


def hardware() -> str:
    """Return the class of the machine: cores, processor family, accelerator if one is used."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    machine = platform.machine().lower().replace("_", "-").replace("amd64", "x86-64")
    name = f"{cores}-core {machine} CPU"
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        name += f", {torch.cuda.get_device_name(0)}"
    return name


def command(argv: Sequence[str] | None) -> str:
    """Return the command as typed, with folders by their last part only."""
    words = list(sys.argv[1:] if argv is None else argv)
    short = [Path(w).name if os.path.isabs(w) else w for w in words]
    return " ".join(["python", f"examples/{Path(sys.argv[0]).name}", *short])


def commit() -> str:
    """Return the commit of the code, "and changes" if files differ from it, "" if none is known."""

    def git(*words: str) -> str:
        here = Path(__file__).parent
        done = subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        name = git("rev-parse", "--short=12", "HEAD")
        return f"{name} and changes" if git("status", "--porcelain", "-uno") else name
    except (OSError, subprocess.CalledProcessError):
        return ""


def write(
    rows: Sequence[Sequence[Any]],
    columns: Sequence[str],
    out: Path,
    name: str,
    argv: Sequence[str] | None = None,
    *,
    seeds: Sequence[int] = (),
    seconds: float | None = None,
    digits: int | None = 6,
) -> Path:
    """Write NAME.csv, and NAME.json with command, seeds, machine, versions and date."""
    out.mkdir(parents=True, exist_ok=True)
    target = out / f"{name}.csv"
    with target.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows([[_short(v, digits) for v in row] for row in rows])
    import numpy as np

    torch = sys.modules.get("torch")
    origin = {
        "command": command(argv),
        "seeds": list(seeds),
        "hardware": hardware(),
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        **({} if torch is None else {"torch": torch.__version__}),
        **({} if seconds is None else {"seconds": round(seconds, 1)}),
    }
    target.with_suffix(".json").write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")
    print(f"{len(rows)} rows: {target}")
    return target


def _short(value: Any, digits: int | None) -> Any:
    return f"{value:.{digits}g}" if digits and isinstance(value, float) else value


def show(rows: Sequence[Sequence[Any]], columns: Sequence[str]) -> None:
    """Print the rows as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns)
    for row in rows:
        table.add_row(*(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def picture(draw: Callable[..., None], rows: Sequence[Sequence[Any]], target: Path) -> None:
    """Draw beside the CSV file, if matplotlib is there."""
    try:
        draw(rows, target.with_suffix(".png"))
    except ImportError:
        print("no picture: pip install 'stable-recurrent-models[report]' for matplotlib")
    else:
        print(f"picture: {target.with_suffix('.png')}")


def figure(
    rows: Sequence[Sequence[Any]],
    columns: Sequence[str],
    draw: Callable[..., None],
    out: Path,
    name: str,
    argv: Sequence[str] | None = None,
) -> int:
    """Write the numbers of a figure, as they are, and its picture; return 0."""
    picture(draw, rows, write(rows, columns, out, name, argv, digits=None))
    return 0


def options(doc: str | None, argv: Sequence[str] | None, **extra: Any) -> argparse.Namespace:
    """Return --size, --out and the given options; each is a dict for `add_argument`."""
    parser = argparse.ArgumentParser(description=(doc or "").splitlines()[0])
    parser.add_argument("--size", choices=("small", "paper"), default="small")
    parser.add_argument("--out", type=Path, default=Path("build/examples"))
    for name, how in extra.items():
        parser.add_argument(f"--{name}", **how)
    return parser.parse_args(argv)


#: How each kind of network is drawn, in every picture: colours of Okabe and Ito, which the
#: colour-blind tell apart, and markers and dashes besides.
STYLES = {
    "unstable": {"color": "#000000", "marker": "o", "ls": "-"},
    "stable": {"color": "#0072B2", "marker": "s", "ls": "--"},
    "sharp-stable": {"color": "#D55E00", "marker": "^", "ls": "-."},
    "unstable, weight decay": {"color": "#999999", "marker": "v", "ls": ":"},
}


#: For several lines or points of one kind.
LINES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
DASHES, MARKERS = ("-", "--", "-.", ":"), ("o", "s", "^", "v", "D", "P", "X", "*")


def style(variant: str, **changes: Any) -> dict[str, Any]:
    """Return colour, marker and dashes of a kind of network, with changes."""
    return {"ms": 4, **STYLES[variant], **changes}


def panels(
    rows: Sequence[Sequence[Any]],
    *columns: int,
    size: tuple[float, float] = (3.4, 2.9),
    across: int = 3,
    sharey: bool = False,
) -> tuple[Any, list[tuple[Any, tuple[Any, ...], list[Sequence[Any]]]]]:
    """Return a figure and, for each different entry of the columns, (axes, entry, its rows).

    Panels that agree in the first of the columns stand in one line, and share their vertical axis
    if asked; those of one column stand so many in a line.  Needs matplotlib.
    """
    from matplotlib.figure import Figure

    groups: dict[tuple[Any, ...], list[Sequence[Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[c] for c in columns), []).append(row)
    lines: dict[Any, list[tuple[Any, ...]]] = {}
    for i, entry in enumerate(groups):
        lines.setdefault(entry[0] if len(columns) > 1 else i // across, []).append(entry)
    high, wide = max(len(lines), 1), max((len(line) for line in lines.values()), default=1)
    figure = Figure(figsize=(size[0] * wide, size[1] * high), layout="constrained")
    found = []
    for i, line in enumerate(lines.values()):
        first = None
        for j, entry in enumerate(line):
            axes = figure.add_subplot(high, wide, i * wide + j + 1, sharey=first)
            first = axes if sharey and first is None else first
            axes.set_title(", ".join(map(str, entry)), fontsize=10)
            axes.grid(visible=True, which="major", color="0.92")
            found.append((axes, entry, groups[entry]))
    return figure, found


def finish(figure: Any, path: Path) -> None:
    """Put one legend below all panels, where it covers nothing, and write the picture."""
    known: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            known.setdefault(label, handle)
    if known:
        columns = max(1, min(len(known), int(figure.get_figwidth() / 2.2)))
        figure.legend(
            known.values(), known, loc="outside lower center", ncols=columns, fontsize=9
        )  # fmt: skip
    figure.savefig(path, dpi=110)


def read_rows(target: Path) -> list[tuple[Any, ...]]:
    """Return the rows of a CSV file that `write` wrote, numbers as numbers."""
    with target.open(newline="", encoding="utf-8") as stream:
        return [tuple(map(_value, row)) for row in list(csv.reader(stream))[1:]]


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return {"True": True, "False": False}.get(text, text)


def redraw(out: Path) -> None:
    """Draw every picture of a folder again, from its CSV file."""
    for target in sorted(out.glob("*.csv")):
        if not target.with_suffix(".png").is_file():
            continue
        example = importlib.import_module(target.stem)
        picture(example.draw, read_rows(target), target)


def about(name: str) -> tuple[str, str]:
    """Return the first line and the rest of the docstring of an example, "" if there is none."""
    source = Path(__file__).parent / f"{name}.py"
    if not source.is_file():
        return "", ""
    doc = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    first, _, rest = doc.partition("\n\n")
    return first, rest.partition("\nRun ")[0].strip()


def gallery(out: Path) -> Path:
    """Write index.html with every table and picture of a folder, and what they are to show."""
    parts = []
    for target in sorted(out.glob("*.csv")):
        title, text = about(target.stem)
        parts.append(f"<h2 id='{target.stem}'>{html.escape(title or target.stem)}</h2>")
        parts += [f"<p>{html.escape(part)}</p>" for part in text.split("\n\n") if part]
        origin = target.with_suffix(".json")
        if origin.is_file():
            facts = json.loads(origin.read_text(encoding="utf-8"))
            line = "; ".join(f"{k}: {v}" for k, v in facts.items())
            parts.append(f"<p><small>{html.escape(line)}</small></p>")
        if target.with_suffix(".png").is_file():
            parts.append(f"<img src='{target.stem}.png' alt='{target.stem}'>")
        with target.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.reader(stream))
        body = "".join(
            "<tr>" + "".join(f"<{tag}>{html.escape(v)}</{tag}>" for v in row) + "</tr>"
            for tag, row in zip(["th"] + ["td"] * len(rows), rows, strict=False)
        )
        summary = f"<summary>{len(rows) - 1} rows</summary>"
        parts.append(f"<details>{summary}<table>{body}</table></details>")
    index = out / "index.html"
    index.write_text(
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        "<title>Stable recurrent models</title>"
        "<style>body{font:16px sans-serif;max-width:70em;margin:2em auto}img{max-width:100%}"
        "td,th{padding:.1em .6em;text-align:right}</style><h1>Tables and figures</h1>"
        + "\n".join(parts)
        + "</html>\n",
        encoding="utf-8",
    )
    return index


if __name__ == "__main__":
    if sys.argv[2:] == ["--redraw"]:
        redraw(Path(sys.argv[1]))
    print(gallery(Path(sys.argv[1])))
