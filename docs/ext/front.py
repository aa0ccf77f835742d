"""How pictures of the gallery's programs are found: each program leaves a figure of its own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx


def scraper(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Write what is called `figure` in a program, or copy it; return its place."""
    from sphinx_gallery.scrapers import figure_rst

    figure = block_vars["example_globals"].pop("figure", None)
    if figure is None:
        return ""
    path = next(block_vars["image_path_iterator"])
    if isinstance(figure, Path):
        shutil.copy(figure, path)
    else:
        figure.savefig(path)
    return str(figure_rst([path], gallery_conf["src_dir"]))


def setup(app: Sphinx) -> dict[str, bool]:
    """Nothing to connect: conf.py names the scraper."""
    return {"parallel_read_safe": True}
