"""What makes the site: links that lead somewhere, docstrings and formulas shown as meant."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from browser import browser, look

import theory
from theory.theorems.typeset import latex_statement

DOCS = Path(__file__).parents[1] / "docs"
SITE = DOCS.parent / "build/docs"


def load(name: str):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"ext/{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_broken_links_are_found(tmp_path):
    (tmp_path / "a.html").write_text(
        "<a href='b.html'></a><a href='b.html#here'></a><a href='b.html#gone'></a>"
        "<a href='c.html'></a><a href='https://example.org'></a>"
        "<script src='https://example.org/x.js'></script><img src='lost.png'>"
    )
    (tmp_path / "b.html").write_text("<p id='here'></p>")
    found = load("links").broken(tmp_path)
    assert found == [
        "a.html: no place b.html#gone",
        "a.html: c.html is not there",
        "a.html: fetches https://example.org/x.js",
        "a.html: lost.png is not there",
    ]


def test_prose_is_shown_as_it_is_written():
    pytest.importorskip("sphinx", reason="needs sphinx (extra: docs)")
    escaped = load("docstrings").escaped
    assert escaped("at most lam**k |h| for `h` and ``|g|``, W_ too") == (
        r"at most lam\*\*k \|h\| for ``h`` and ``|g|``, W\_ too"
    )
    assert escaped("x_t and h_{t-1}") == r"x_t and h\_{t-1}"
    block = ["Prose |x|::", "", "    code |x|", ""]
    lines = [*block, ".. math:: a|b|", "", "    c|d|", "", "|e|", ">>> f|g"]
    load("docstrings").prose(None, "", "", None, None, lines)
    assert lines[0] == r"Prose \|x\|::"
    assert lines[2] == "    code |x|"
    assert lines[4] == ".. math:: a|b|"
    assert lines[6] == "    c|d|"
    assert lines[8] == r"\|e\|"
    assert lines[9] == ">>> f|g"


@pytest.mark.parametrize("theorem", theory.THEOREMS, ids=lambda t: t.name)
def test_every_statement_can_be_typeset_without_a_script(theorem):
    convert = pytest.importorskip("latex2mathml.converter", reason="extra: report").convert
    assert "\\" not in convert(latex_statement(theorem))


@pytest.mark.skipif(not (SITE / "index.html").is_file(), reason="no site is built: make docs")
@pytest.mark.parametrize("width", [400, 1280])
def test_the_site_in_a_browser(width):
    with browser() as opened:
        for name in ("index", "start", "theorems/state_gap", "theorems/index", "api/memory"):
            seen = look(opened, SITE / f"{name}.html", width=width)
            assert seen.complaints == [], name
            assert seen.width <= width, name
            assert seen.lost == [], name
            if name.startswith("theorems"):
                assert seen.formulas > 0, name
