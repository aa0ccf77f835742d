r"""How many threads BLAS uses.

Main name: `few_threads`.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

#: Up to this dimension further BLAS threads mostly wait for each other: a product of two such
#: matrices takes about a millisecond, and a factorisation hands out far smaller pieces.
_SMALL = 256


def few_threads(n: int = 1) -> AbstractContextManager[object]:
    """Keep BLAS to one thread while matrices of dimension n are worked on, if n is small.

    With one thread sums are also rounded the same way every time, which a replay relies on.
    """
    limits: AbstractContextManager[object] = _libraries(len(sys.modules)).limit(
        limits=1 if n <= _SMALL else None
    )
    return limits


@lru_cache(maxsize=1)
def _libraries(_modules: int) -> Any:
    """Return the BLAS libraries of this process, looked for again when a module was loaded.

    To find them takes two milliseconds, longer than to certify a small map.
    """
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
