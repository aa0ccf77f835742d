"""One check of the lane: what it draws and compares, and which functions it covers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from tally import Tally


@dataclass(frozen=True, kw_only=True)
class Check:
    """A check draws one case, and compares all that is claimed of it."""

    run: Callable[[np.random.Generator, Tally], None]
    covers: tuple[Any, ...]  # the public functions, methods by their qualified names
    weight: float = 1.0  # how many cases it gets, beside the others
    needs: str | None = None  # a package that it cannot do without

    @property
    def name(self) -> str:
        return self.run.__name__
