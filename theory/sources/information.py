r"""What the symbols of a hidden Markov model tell of each other: enclosed, or sampled.

Main names: `information_values`, `InformationValues`, `sampled_values`, `SampledValues`.

    h_l = H(x_0 | x_(-l) .. x_(-1))     entropy of a symbol after l others, falling in l
    h   = lim h_l                       entropy rate
    i_l = h_l - h                       what is lost by seeing l symbols only: mean divergence of
                                        the best predictor of l symbols from the best of all
    I   = sum of i_l over l >= 0        mutual information of past and future

all in nats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.arithmetic.rounding import ELEMENTARY_UNITS, UNIT, gamma, up
from theory.errors import check_count
from theory.shown import shown
from theory.sources.hidden_markov import EXACT_STATES, HiddenMarkovModel, check_model
from theory.sources.hilbert import divergence_of_distance
from theory.typing import Array

#: Numbers that one level of words may take: words times states, times states for the lower bound.
LARGEST_LEVEL = 2**18


@final
@shown
@dataclass(frozen=True, kw_only=True, eq=False)
class InformationValues:
    """Enclosures of entropies and informations, in nats; every pair is (low, high)."""

    entropies: tuple[Array, Array]  # h_l, (L + 1,) each
    rate: tuple[float, float]  # h
    excess: tuple[Array, Array]  # i_l, (L + 1,) each
    information: tuple[float, float]  # I

    @property
    def longest(self) -> int:
        """Return L, the largest number of symbols seen."""
        return len(self.entropies[0]) - 1


@final
@shown
@dataclass(frozen=True, kw_only=True, eq=False)
class SampledValues:
    """Means over independent sequences, with their standard errors; estimates, nothing proved."""

    lengths: tuple[int, ...]  # l
    excess: Array  # h_l - h_horizon, a lower bound of i_l up to the errors
    errors: Array  # standard errors of `excess`
    horizon: int  # symbols that stand for all of the past
    sequences: int


def information_values(
    source: HiddenMarkovModel, *, longest: int | None = None
) -> InformationValues:
    r"""Enclose h_l, i_l and I of a hidden Markov model, by all words of l + 1 symbols.

    The rate lies between H(x_0 | x_(-l) .. x_(-1), s_(-l)) and h_l.  The information is the sum of
    i_l below m and the rest, I(far past; future | last m symbols): at most the entropy, given these
    symbols, of the state that showed the last of them or of the next one, which stands between the
    two; and after L at most the sum of (diameter tau**(l - 1))**2 / 8, by `filter_contraction`.
    `short_memory` itself is not used, so that it can be tried on these numbers.

    Parameters
    ----------
    source : HiddenMarkovModel
        Of at most 24 states.
    longest : int, optional
        L; by default as large as d**(L + 1) words of n numbers fit into 2**18.

    Returns
    -------
    InformationValues

    Raises
    ------
    ValueError
        If the model is too large, or L is.

    Examples
    --------
    >>> model = HiddenMarkovModel([[0.9, 0.1], [0.2, 0.8]], [[0.8, 0.2], [0.3, 0.7]])
    >>> values = information_values(model, longest=12)
    >>> [round(100 * float(i), 3) for i in values.excess[1][:3]]
    [2.016, 0.628, 0.206]
    """
    model = check_model(source)
    n, d = model.states, model.symbols
    if not model.exact:
        raise ValueError(
            f"the model has a class of more than {EXACT_STATES} states, whose stationary "
            "distribution is not known exactly; theory.sources.sampled_values estimates"
        )
    most = _most(n, d)
    L = min(most, 24) if longest is None else longest
    check_count(longest=L)
    if most < L:
        raise ValueError(
            f"longest={L} needs {d}**{L + 1} words of {n} numbers, needed at most {most}; "
            "theory.sources.sampled_values estimates for longer ones"
        )
    low, high, left = _entropies(model, model.stationary[None], np.ones(1), L)
    known = max(0, min(L, _most(n * n, d)))
    knowing = _entropies(model, np.eye(n), model.stationary, known)
    # h lies above every h_l given the state at its beginning, and below every h_l
    rate_low = max(0.0, float(np.max(knowing[0])))
    rate_high = float(np.min(high))
    rate_low = min(rate_low, rate_high)
    # h_l falls in l, so what bounds one bounds its neighbours
    high = np.minimum.accumulate(high)
    low = np.maximum.accumulate(np.maximum(low, rate_low)[::-1])[::-1]
    excess_low = np.maximum(0.0, np.nextafter(low - rate_high, -math.inf))
    excess_high = np.maximum(0.0, np.nextafter(high - rate_low, math.inf))
    sums = [up(math.fsum(excess_high[:m].tolist())) for m in range(L + 2)]
    tails = [*left.tolist(), _tail(model, L)]
    information = min(up(head + tail) for head, tail in zip(sums, tails, strict=True))
    lowest = max(0.0, math.fsum(excess_low.tolist()) * (1 - 4 * UNIT))
    return InformationValues(
        entropies=(low, high),
        rate=(rate_low, rate_high),
        excess=(excess_low, excess_high),
        information=(min(lowest, information), information),
    )


def _most(n: int, d: int) -> int:
    """Return the largest L with n d**(L + 1) numbers in a level."""
    if d == 1:
        return 24
    return max(0, math.floor(math.log(LARGEST_LEVEL / n) / math.log(d) + 1e-9) - 1)


def _entropies(
    model: HiddenMarkovModel, starts: Array, weights: Array, L: int
) -> tuple[Array, Array, Array]:
    r"""Enclose h_0 .. h_L from given distributions of the first state, averaged with weights.

    Also returned: upper bounds of the entropy of the state that showed the last of 0 .. L symbols,
    or of the next one, given the symbols.

    A probability p of a word of l symbols is a sum of products of positive numbers, computed as
    p (1 + g'), |g'| <= g = gamma(l (n + 10) + 8): 2 u for each entry of A and E, 6 for the start,
    and the rest for sums and products.  From

        -p~ log p~ + p log p = -p g' log p - p~ log(1 + g')

    a block entropy H errs by at most g H + 2 g, and by a few u of H from logarithms and the sum.
    """
    n = model.states

    def entropy(p: Array, length: int) -> tuple[float, float]:
        """Return a mean entropy of rows of probabilities, (starts, N), and its error."""
        terms = -p * np.log(np.where(p > 0, p, 1.0))
        H = float(weights @ np.array([math.fsum(row) for row in terms.tolist()]))
        size = float(weights @ np.sum(np.abs(terms), axis=1))
        g = gamma(length * (n + 10) + 8)
        own = (2 * g + gamma(8 + n) + (ELEMENTARY_UNITS + 4) * UNIT) * size + 3 * g
        # what underflowed is below 2**-1000 a word
        return H, own * (1 + 8 * UNIT) + p.size * 2.0**-1000

    alpha = starts[:, None, :]  # starts, words, states
    seen = alpha
    H, slack, left = [0.0], [0.0], []
    for length in range(L + 2):
        if length:
            seen = alpha[:, :, None, :] * model.emission.T  # starts, words, symbols, states
            value, error = entropy(np.sum(seen, axis=-1).reshape(len(starts), -1), length)
            H.append(value)
            slack.append(error)
            alpha = (seen @ model.transition).reshape(len(starts), -1, n)
        if length <= L:
            pairs = [entropy(one.reshape(len(starts), -1), length) for one in (alpha, seen)]
            value = min(up(value + error) for value, error in pairs)
            left.append(max(0.0, value - H[-1] + slack[-1] + 4 * UNIT * value))
    values, errors = np.diff(H), np.array(slack[1:]) + np.array(slack[:-1])
    errors = errors * (1 + 8 * UNIT) + 4 * UNIT * np.array(H[1:])
    return values - errors, values + errors, np.array(left)


def _tail(model: HiddenMarkovModel, L: int) -> float:
    r"""Return a bound of the sum of i_l over l > L, inf if the filter is not seen to forget.

    A distance D = diameter tau**L at l = L + 1 leaves i_l <= D**2 / 8, and later ones are tau**2
    times smaller each.
    """
    tau, diameter = model.birkhoff, model.diameter
    if not tau < 1:
        return math.inf
    # powers and quotients of few roundings, each covered by the margin
    distance = diameter * tau**L * (1 + (L + 8) * 4 * UNIT)
    left = (1 - tau) * (1 + tau) * (1 - 8 * UNIT)
    return up(divergence_of_distance(distance) / left * (1 + 8 * UNIT))


def sampled_values(
    source: HiddenMarkovModel,
    *,
    lengths: Any,
    rng: np.random.Generator,
    sequences: int = 1000,
    horizon: int | None = None,
) -> SampledValues:
    r"""Estimate i_l of a model of any size by independent sequences, with standard errors.

    A sequence of horizon + 1 symbols gives log p(x | horizon symbols) - log p(x | last l), whose
    mean is h_l - h_horizon exactly: at most i_l, and all of it but i_horizon.

    Parameters
    ----------
    source : HiddenMarkovModel
    lengths : sequence of int
        The l, each at most the horizon.
    rng : numpy.random.Generator
    sequences : int
    horizon : int, optional
        What stands for all of the past; by default 32 more than the longest l.

    Returns
    -------
    SampledValues

    Raises
    ------
    ValueError
        If a length is no count, or beyond the horizon.

    Examples
    --------
    >>> import numpy as np
    >>> from theory.sources import register
    >>> rng = np.random.default_rng(0)
    >>> sampled_values(register(3), lengths=(2, 3), rng=rng, sequences=50).excess.round(6).tolist()
    [0.693147, 0.0]
    """
    model = check_model(source)
    asked = tuple(lengths)
    for one in asked:
        check_count(length=one)
    if not asked:
        raise ValueError("lengths is empty, needed the numbers of symbols that are seen")
    far = max(asked) + 32 if horizon is None else horizon
    check_count(at_least=max(1, *asked), horizon=far)
    check_count(at_least=2, sequences=sequences)
    words = model.sample(far + 1, rng=rng, sequences=sequences)
    whole = _last_log_probability(model, words)
    gains = np.stack([whole - _last_log_probability(model, words[:, far - k :]) for k in asked])
    return SampledValues(
        lengths=asked,
        excess=np.mean(gains, axis=1),
        errors=np.std(gains, axis=1, ddof=1) / math.sqrt(sequences),
        horizon=int(far),
        sequences=int(sequences),
    )


def _last_log_probability(model: HiddenMarkovModel, words: Any) -> Array:
    """Return log p(last symbol | those before it), from the stationary start, (sequences,)."""
    belief = np.broadcast_to(model.stationary, (len(words), model.states))
    for t in range(words.shape[1] - 1):
        joint = belief * model.emission.T[words[:, t]]
        belief = joint @ model.transition / np.sum(joint, axis=1, keepdims=True)
    seen = np.sum(belief * model.emission.T[words[:, -1]], axis=1)
    return np.asarray(np.log(seen))
