"""Step sizes of gradient descent, as sequences that the theorems about training use.

Main names: `step_sizes`, `Schedule`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from theory.errors import as_array, check_count, check_positive
from theory.typing import Array

Schedule = str | Callable[[int], float]


def step_sizes(alpha: float, schedule: Schedule, *, steps: int) -> Array:
    r"""Return alpha_1 .. alpha_N.

    Parameters
    ----------
    alpha : float
        The first step size.
    schedule : str or callable
        ``1/t``: alpha / i; ``1/sqrt``: alpha / sqrt(i); ``constant``: alpha; or a function from
        i = 1, 2, ... to a factor of alpha.
    steps : int
        N.

    Returns
    -------
    (N,) array

    Raises
    ------
    ValueError
        If alpha or a step is not positive and finite, or the schedule is not known.

    Examples
    --------
    >>> step_sizes(1.0, "1/t", steps=3).tolist()
    [1.0, 0.5, 0.3333333333333333]
    """
    check_positive(alpha=alpha)
    check_count(steps=steps)
    rules: dict[str, Callable[[int], float]] = {
        "1/t": lambda i: 1.0 / i,
        "1/sqrt": lambda i: 1.0 / math.sqrt(i),
        "constant": lambda _: 1.0,
    }
    if not callable(schedule):
        if schedule not in rules:
            raise ValueError(
                f"schedule={schedule!r} is not known, needed one of: {', '.join(rules)}, or a "
                "function of the step"
            )
        schedule = rules[schedule]
    sizes = as_array("schedule", [alpha * schedule(i) for i in range(1, steps + 1)], ndim=1)
    if not (sizes > 0).all():
        i = int(np.argmin(sizes > 0))
        raise ValueError(f"schedule gives {sizes[i]!r} at step {i + 1}, needed a positive number")
    return sizes
