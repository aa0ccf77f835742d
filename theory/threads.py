r"""How many threads BLAS uses.

Main name: `few_threads`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

#: Up to this dimension further BLAS threads mostly wait for each other: a product of two such
#: matrices takes about a millisecond, and a factorisation hands out far smaller pieces.
_SMALL = 256


def few_threads(n: int = 1) -> AbstractContextManager[object]:
    """Keep BLAS to one thread while matrices of dimension n are worked on, if n is small.

    With one thread sums are also rounded the same way every time, which a replay relies on.
    """
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[object] = threadpool_limits(1 if n <= _SMALL else None)
    return limits
