"""Every program of the site runs, page by page, as a reader pastes it."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {
    str(path.relative_to(DOCS)): path.read_text(encoding="utf-8")
    for path in sorted(DOCS.rglob("*.md"))
}
CELL = re.compile(r"^```\{code-cell\}\n(.*?)^```", re.DOTALL | re.MULTILINE)

#: Pages that take seconds; building the site runs these, too.
LONG = {"howto/stable_training.md", "howto/reservoir.md", "trust.md"}
WITH_PROGRAMS = [
    pytest.param(name, marks=pytest.mark.slow if name in LONG else ())
    for name, text in PAGES.items()
    if "{code-cell}" in text
]


@pytest.mark.parametrize("name", WITH_PROGRAMS)
def test_programs_run_in_order(name, capsys):
    if "import torch" in PAGES[name]:
        pytest.importorskip("torch", reason="torch is not installed (extra: torch)")
    names: dict[str, object] = {"__name__": "page"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for program in CELL.findall(PAGES[name]):
            exec(compile(program, name, "exec"), names)
    assert capsys.readouterr().out


@pytest.mark.parametrize("name", PAGES)
def test_python_is_always_run(name):
    """Nothing that looks like a program is left out of the test above."""
    assert "```python" not in PAGES[name]


@pytest.mark.parametrize(
    "path", sorted((DOCS / "gallery").glob("plot_[123]*.py")), ids=lambda path: path.stem
)
def test_programs_of_the_gallery_run(path, capsys):
    pytest.importorskip("matplotlib", reason="pictures need the extra report")
    names: dict[str, object] = {}
    exec(compile(path.read_text(encoding="utf-8"), path.name, "exec"), names)
    assert names["figure"].axes
    assert "k = " in capsys.readouterr().out
