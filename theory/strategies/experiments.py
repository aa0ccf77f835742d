"""Strategies for experiments: a certified map, inputs, starts, and what to learn from.

Main names: `experiments`, `learning_experiments`.
"""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from theory.arithmetic.activations import ACTIVATIONS, IDENTITY
from theory.certificates import Contraction
from theory.errors import check_count
from theory.learning.losses import LOSSES
from theory.learning.setup import training_setup
from theory.maps.base import Map
from theory.maps.head import LinearHead
from theory.measure.experiment import Experiment, experiment
from theory.norms.norms import L2
from theory.strategies.maps import certified_maps
from theory.strategies.numbers import (
    EMPTY_RANGE,
    float_arrays,
    input_sequences,
    matrices,
    norms,
    states,
)


def experiments(
    maps: st.SearchStrategy[tuple[Map, Contraction]] | None = None,
    *,
    min_length: int = 0,
    max_length: int = 12,
    any_start: bool = False,
    any_restart: bool = False,
) -> st.SearchStrategy[Experiment]:
    r"""Draw an `Experiment` on which every theorem can be verified.

    Parameters
    ----------
    maps : strategy, optional
        Pairs of a map and its contraction, `certified_maps` by default.
    min_length, max_length : int
        Range of T, the number of inputs; the largest truncation length is one of T, T + 5, T - 1,
        1 and 0.
    any_start, any_restart : bool
        Whether the recurrent model, and the truncated one, start anywhere instead of at zero.

    Raises
    ------
    ValueError
        If a length is not a count or the range is empty.

    Examples
    --------
    >>> from hypothesis import given
    >>> from theory import THEOREMS, verify
    >>> from theory.trials import Outcome
    >>> @given(experiments())
    ... def test_nothing_is_refuted(made):
    ...     assert all(verify(theorem, made).outcome is not Outcome.REFUTED for theorem in THEOREMS)
    """
    check_count(min_length=min_length, max_length=max_length)
    if min_length > max_length:
        raise ValueError(EMPTY_RANGE.format(min_length, max_length))
    lengths = st.integers(min_length, max_length)
    return _experiments(certified_maps() if maps is None else maps, lengths, any_start, any_restart)


@st.composite
def _experiments(
    draw: st.DrawFn,
    maps: st.SearchStrategy[tuple[Map, Contraction]],
    sequence_lengths: st.SearchStrategy[int],
    any_start: bool,
    any_restart: bool,
) -> Experiment:
    recurrent, certificate = draw(maps)
    n, m = recurrent.state_dim, recurrent.input_dim
    length = draw(sequence_lengths)
    x = draw(input_sequences(m, min_length=length, max_length=length, bound=2.0))
    lengths = dict.fromkeys((length, length + 5, max(length - 1, 0), 1, 0))
    partner, partner_certificate = draw(certified_maps(n, m))
    return experiment(
        recurrent,
        x,
        contraction=certificate,
        k_max=draw(st.sampled_from(tuple(lengths))),
        start=draw(states(n, 4.0)) if any_start else None,
        restart=draw(states(n, 4.0)) if any_restart else None,
        other_start=draw(states(n, 4.0)),
        other_inputs=draw(input_sequences(m, min_length=length, max_length=length, bound=2.0)),
        head=LinearHead(draw(matrices(draw(st.integers(1, 2)), n))),
        other_norm=draw(norms(n)),
        partner=partner,
        partner_contraction=partner_certificate,
        label="drawn by theory.strategies",
    )


def learning_experiments(*, max_length: int = 8, steps: int = 2) -> st.SearchStrategy[Experiment]:
    r"""Draw an `Experiment` on which the theorems about gradients and training can be verified.

    The activation is twice differentiable, the norm is `L2`, and there is a loss, targets, and a
    second parameter vector between which every map contracts.

    Parameters
    ----------
    max_length : int
        Largest T; at least 2.
    steps : int
        Of the descents.

    Raises
    ------
    ValueError
        If a count is too small.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(learning_experiments(), lambda made: made.training.loss.name == "bernoulli").k_max
    2
    """
    check_count(at_least=2, max_length=max_length)
    check_count(steps=steps)
    return _learning_experiments(int(max_length), int(steps))


#: Twice differentiable, simplest first.
_SMOOTH = tuple(rho for rho in ACTIVATIONS.values() if np.isfinite(rho.curvature))


@st.composite
def _learning_experiments(draw: st.DrawFn, max_length: int, steps: int) -> Experiment:
    rho = draw(st.sampled_from(sorted(_SMOOTH, key=lambda r: r is not IDENTITY)))
    lam = draw(st.sampled_from((0.5, 0.0, 0.9, 1e-3, 0.99)))
    recurrent, certificate = draw(certified_maps(lam=lam, norm=L2(), activation=rho))
    n, m = recurrent.state_dim, recurrent.input_dim
    T = draw(st.integers(2, max_length))
    names = tuple(recurrent.parameters)
    trained = draw(st.sampled_from((names, *((name,) for name in names))))
    # towards smaller parameters, so that every map on the way contracts by no more
    share = draw(st.sampled_from((0.0, 2.0**-20, 0.25, 1.0)))
    other = recurrent.with_parameters(
        **{name: recurrent.parameters[name] * (1.0 - share) for name in trained}
    )
    loss = draw(st.sampled_from(tuple(LOSSES)))
    p = draw(st.integers(1, 3))
    if loss == "cross_entropy":
        goal = draw(arrays(np.float64, T, elements=st.integers(0, p - 1).map(float)))
    elif loss == "bernoulli":
        goal = draw(arrays(np.float64, (T, p), elements=st.sampled_from((0.0, 1.0, 0.5))))
    else:
        goal = draw(float_arrays((T, p), 2.0))
    return experiment(
        recurrent,
        draw(input_sequences(m, min_length=T, max_length=T, bound=2.0)),
        contraction=certificate,
        k_max=T,
        head=LinearHead(draw(matrices(p, n))),
        training=training_setup(
            recurrent, goal, loss=loss, other=other, trained=trained, steps=steps,
            alpha=draw(st.sampled_from((0.125, 1.0, 2.0**-10))),
        ),
        label="drawn by theory.strategies",
    )  # fmt: skip
