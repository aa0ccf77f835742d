"""Functions and classes of libraries that need not be installed, known by identity.

Main name: `library_name`.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import Any


def library_name(thing: Any, libraries: Collection[str]) -> str | None:
    """Return the name of a function or class of one of these libraries, None for any other.

    A name alone tells nothing, as anybody may call a function tanh: the thing has to be what its
    library, which is imported where there is something of it, holds under that name.
    """
    module, name = getattr(thing, "__module__", None), getattr(thing, "__name__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        return None
    if module.partition(".")[0] not in libraries:
        return None
    return name if getattr(sys.modules.get(module), name, None) is thing else None
