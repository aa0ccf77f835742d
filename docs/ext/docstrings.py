"""Docstrings for the eye, as they are in the code, made safe for reStructuredText.

In the code a norm is |h|, a power lam**k, and a name stands in single backticks; none of this means
what reStructuredText would make of it.
"""

from __future__ import annotations

import re

from sphinx.application import Sphinx

#: What stays as it is: code, roles with their text, and names in backticks.
_CODE = re.compile(r"(``.+?``|:\w+:`[^`]+`|`[^`]+`)")

#: Lines that begin an indented block which is not prose.
_BLOCK = re.compile(r"^\s*\.\. |.*::$")


def escaped(line: str) -> str:
    """Return a line of prose with what reStructuredText would read as markup escaped."""
    parts = _CODE.split(line)
    for i, part in enumerate(parts):
        if i % 2 == 0:
            part = re.sub(r"([\\*|])", r"\\\1", part)
            # a reference ends with an underscore
            parts[i] = re.sub(r"(?<=\w)_(?!\w)", r"\\_", part)
        elif part.startswith("`") and not part.startswith("``"):
            parts[i] = f"`{part}`"
    return "".join(parts)


def prose(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Escape the prose of a docstring in place; code, programs and displayed formulas stay."""
    inside: int | None = None  # the indentation of a line whose block is left alone
    example = False
    for i, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if inside is not None and line.strip() and indent <= inside:
            inside = None
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        if inside is None and not example:
            if _BLOCK.match(line):
                inside = indent
                head, _, _ = line.partition("::")
                if not line.lstrip().startswith(".. "):
                    lines[i] = escaped(head) + "::"
            elif not re.fullmatch(r"\s*[-=]{3,}\s*", line):
                lines[i] = escaped(line)


def setup(app: Sphinx) -> dict[str, bool]:
    """Run before numpydoc reads the sections."""
    app.connect("autodoc-process-docstring", prose, priority=1)
    return {"parallel_read_safe": True}
