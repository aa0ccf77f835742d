"""Mathematics as MathML, made while building: browsers show it by themselves, without a script."""

from __future__ import annotations

import re

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util import logging

LOG = logging.getLogger(__name__)


def typeset(latex: str, *, block: bool) -> str:
    """Return MathML; a command that is not known would be left standing, and is an error."""
    made = convert(latex, display="block" if block else "inline")
    left = re.findall(r"\\[A-Za-z]+", made)
    if left:
        raise ExtensionError(f"cannot be typeset: {', '.join(left)} in {latex}")
    return made


def inline(writer, node: nodes.Node) -> None:
    writer.body.append(typeset(node.astext(), block=False))
    raise nodes.SkipNode


def display(writer, node: nodes.Node) -> None:
    writer.body.append(f'<div class="math">{typeset(node.astext(), block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Offer the renderer, which conf.py chooses."""
    app.add_html_math_renderer("mathml", (inline, None), (display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
