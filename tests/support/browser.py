"""A page in a real browser: what a reader sees, and what the browser complains about.

Playwright's own Chromium is used, or the one that the variable CHROMIUM names.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

#: How wide the browser draws some letters: 0 without a font, and then it measures nothing.
_LETTERS = """() => {
    const pen = document.createElement("canvas").getContext("2d");
    return pen.measureText("letters").width;
}"""


@dataclass
class Seen:
    """What a browser found on a page."""

    complaints: list[str] = field(default_factory=list)  # of its console, and of its requests
    width: int = 0  # of the content, in pixels
    pictures: int = 0
    lost: list[str] = field(default_factory=list)  # pictures that were not loaded
    formulas: int = 0  # MathML that has a size


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """Give a headless Chromium; skip where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with api.sync_playwright() as started:
        try:
            found = started.chromium.launch(executable_path=os.environ.get("CHROMIUM"))
        except api.Error as error:
            pytest.skip(f"no Chromium: {str(error).splitlines()[0]}; name one in CHROMIUM")
        yield found
        found.close()


def look(at: Any, page: Path, *, width: int, picture: Path | None = None) -> Seen:
    """Open a page of the disk at a width, in pixels; without a network."""
    seen = Seen()
    tab = at.new_page(viewport={"width": width, "height": 900})
    tab.context.set_offline(True)
    tab.on("console", lambda m: seen.complaints.append(m.text) if m.type == "error" else None)
    tab.on("pageerror", lambda error: seen.complaints.append(str(error)))
    tab.on("requestfailed", lambda request: seen.complaints.append(f"not loaded: {request.url}"))
    tab.goto(page.resolve().as_uri(), wait_until="load")
    seen.width = tab.evaluate("document.documentElement.scrollWidth")
    images = "[...document.images].filter(i => i.loading !== 'lazy')"
    seen.pictures = tab.evaluate("document.images.length")
    seen.lost = tab.evaluate(f"{images}.filter(i => !i.naturalWidth).map(i => i.alt || i.src)")
    seen.formulas = tab.evaluate(
        "[...document.querySelectorAll('math')].filter(m => m.getBoundingClientRect().width > 0)"
        ".length"
    )
    if not tab.evaluate(_LETTERS) > 0:
        pytest.skip("the browser has no letters: no font is installed")
    if picture is not None:
        tab.screenshot(path=picture, full_page=True)
    tab.close()
    return seen
