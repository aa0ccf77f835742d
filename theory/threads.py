r"""How many threads BLAS uses.

Main name: `few_threads`.
"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

#: Up to this dimension further BLAS threads mostly wait for each other: a product of two such
#: matrices takes about a millisecond, and a factorisation hands out far smaller pieces.
_SMALL = 256


def few_threads(n: int = 1) -> AbstractContextManager[object]:
    """Keep BLAS to one thread while matrices of dimension n are worked on, if n is small.

    With one thread sums are also rounded the same way every time, which a replay relies on.
    """
    if n > _SMALL:
        return nullcontext()
    one: AbstractContextManager[object] = _libraries(len(sys.modules)).limit(limits=1)
    return one


@lru_cache(maxsize=1)
def _libraries(_modules: int) -> ThreadpoolController:
    """Return the libraries with threads of their own; further ones come with further modules.

    Looking for them takes some milliseconds, which a certificate of a small map takes in all.
    """
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
