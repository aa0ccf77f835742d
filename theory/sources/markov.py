r"""Sources with a known memory, as hidden Markov models.

Main names: `markov_source`, `register`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from theory.errors import as_array, check_count
from theory.sources.hidden_markov import HiddenMarkovModel

#: States of a register or of a source: larger ones have no use here and fill the memory.
LARGEST = 2**12


def markov_source(P: npt.ArrayLike) -> HiddenMarkovModel:
    r"""Return a Markov source of order m as a hidden Markov model over its last m symbols.

    i_l = 0 for l >= m, and I <= m log d.

    Parameters
    ----------
    P : array of shape (d, ..., d) with m + 1 axes, m >= 1
        P[x_(t-m), .., x_(t-1), x_t] is the probability of x_t after the m symbols before it.

    Returns
    -------
    HiddenMarkovModel
        A state is (x_(t-m+1), .., x_t), read as a number to the base d, and shows x_t.

    Raises
    ------
    ValueError
        If the axes are not all of one length, or the source is improper or reducible.

    Examples
    --------
    >>> markov_source([[0.9, 0.1], [0.5, 0.5]])
    HiddenMarkovModel(2 states, 2 symbols)
    """
    table = as_array("P", P)
    d, order = (table.shape[0] if table.ndim else 0), table.ndim - 1
    if order < 1 or any(size != d for size in table.shape):
        raise ValueError(
            f"P has shape {table.shape}, needed (d, .., d) with m + 1 axes for a source of order m"
        )
    n = d**order
    if n > LARGEST:
        raise ValueError(f"d**m = {n} states, needed at most {LARGEST}")
    rows = table.reshape(n, d)
    A = np.zeros((n, n))
    before = np.arange(n)
    for a in range(d):
        A[before, (before * d + a) % n] = rows[:, a]
    shown = np.zeros((n, d))
    shown[before, before % d] = 1.0
    return HiddenMarkovModel(A, shown)


def register(bits: int, *, flip: float = 0.0, noise: float = 0.0) -> HiddenMarkovModel:
    r"""Return the circular register: x_t repeats x_(t - bits), the witness of `short_memory`.

    Without noise i_l = log 2 for l < bits and 0 from there on, and I = bits log 2: equality at
    l = bits - 1.  With flips only, x_t differs from x_(t - bits) with that probability, and i_l is
    log 2 less the entropy of a flip, with equality again.

    Parameters
    ----------
    bits : int
        From 1 to 12.
    flip : float
        The probability that a bit is not that of `bits` steps before, below 1.
    noise : float
        The probability that a bit is shown wrongly, below 1.

    Returns
    -------
    HiddenMarkovModel
        Of 2**bits states.

    Raises
    ------
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> from theory.sources import information_values
    >>> values = information_values(register(3), longest=4)
    >>> values.excess[1].round(6).tolist(), round(values.information[1] / 3, 6)
    ([0.693147, 0.693147, 0.693147, 0.0, 0.0], 0.693147)
    """
    check_count(at_least=1, bits=bits)
    if bits > 12:
        raise ValueError(f"bits={bits}, needed at most 12: a register has 2**bits states")
    for name, value in (("flip", flip), ("noise", noise)):
        if not 0 <= value < 1:
            raise ValueError(f"{name}={value!r}, needed a probability below 1")
    n = 2**bits
    A, E = np.zeros((n, n)), np.zeros((n, 2))
    for state in range(n):  # the last bits, the oldest first
        oldest, rest = divmod(state, n // 2)
        A[state, 2 * rest + oldest] += 1 - flip
        A[state, 2 * rest + 1 - oldest] += flip
        E[state, state % 2], E[state, 1 - state % 2] = 1 - noise, noise
    return HiddenMarkovModel(A, E, start=np.full(n, 1 / n))
