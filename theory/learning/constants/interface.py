r"""The constants of the training theorems, per map and loss, on a stated domain.

Main name: `map_constants`.

For all w, w' in the domain of parameters, all states h, h' of length at most `state_bound`, and all
inputs of length at most `input_bound`, with the Euclidean length of parameters:

    |step_w(h, x) - step_w(h', x)|          <=  lam |h - h'|
    |step_w(0, x)|                          <=  drive
    |step_w(h, x) - step_w'(h, x)|          <=  weight_gain |w - w'|
    |d_h step_w(h, x) - d_h step_w'(h', x)| <=  beta_hh |h - h'| + beta_hw |w - w'|
    |d_w step_w(h, x) - d_w step_w'(h', x)| <=  beta_wh |h - h'| + beta_ww |w - w'|

The domain of parameters is the convex hull of the maps that are given, and a ball around it.  Maps
of the form rho(W h + U x + b) have closed forms in `L2`; gated cells are bounded in a weighted
maximum norm by second-order jets.  Everything is rounded upward.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from theory.errors import check_nonnegative
from theory.inputs import as_inputs
from theory.learning.constants.affine import affine_constants
from theory.learning.constants.gated import gated_constants
from theory.learning.constants.values import MapConstants, trained_names
from theory.maps.base import Map
from theory.maps.gru import GRU
from theory.maps.lstm import LSTM
from theory.norms.norms import L2, Linf, Norm, WeightedLinf


def map_constants(
    models: Map | Sequence[Map],
    norm: Norm | None = None,
    *,
    inputs: Any,
    trained: Sequence[str] | None = None,
    radius: float = 0.0,
) -> MapConstants | None:
    r"""Return the constants of a map, or of all maps between several.

    Parameters
    ----------
    models : Map or sequence of Map
        Of one kind and shape; the parameters not named in `trained` must agree.
    norm : Norm, optional
        Of the state: `L2` (the default) for maps of the form rho(W h + U x + b); `Linf` or
        `WeightedLinf` for an LSTM or a GRU.
    inputs : Inputs, or (..., m) array
        The inputs in question; of a set that is not finite, their largest Euclidean length enters.
    trained : sequence of str, optional
        The names of the parameters that w consists of, all of them by default.
    radius : float
        The constants hold on the ball of this radius around the convex hull of the maps.

    Returns
    -------
    MapConstants or None
        None if nothing is known for this kind of map in this norm.

    Raises
    ------
    ValueError
        If the inputs are a plain number or not bounded, or the maps do not match.

    Examples
    --------
    >>> from theory import Inputs, LinearMap
    >>> c = map_constants(
    ...     LinearMap([[0.5]], [[1.0]]), inputs=Inputs.ball(1), trained=("W",)
    ... )
    >>> c.lam, c.state_bound, round(c.weight_gain, 12), c.beta_hw
    (0.5, 2.0, 2.0, 1.0)
    """
    family = (models,) if isinstance(models, Map) else tuple(models)
    if not family:
        raise ValueError("models is empty, needed at least one map")
    first = family[0]
    names = trained_names(first, trained)
    for other in family[1:]:
        if type(other) is not type(first) or any(
            other.parameters[name].shape != value.shape for name, value in first.parameters.items()
        ):
            raise ValueError(f"{other!r} does not match {first!r}, needed maps of one shape")
        for name, value in first.parameters.items():
            if name not in names and not np.array_equal(value, other.parameters[name]):
                raise ValueError(f"{name} is not trained, needed the same in all maps")
    check_nonnegative(radius=radius)
    given = as_inputs(inputs, first.input_dim)
    X, reach = given.rows, given.norm_upper(L2(), first.input_dim)
    if not math.isfinite(reach):
        raise ValueError(f"the inputs are {given}, needed bounded ones")
    measure = L2() if norm is None else norm
    measure.check_dim(first.state_dim)
    if first.form_names == tuple(first.parameters):
        return affine_constants(family, measure, X, reach, names, radius)
    if isinstance(first, LSTM | GRU) and isinstance(measure, (Linf, WeightedLinf)):
        return gated_constants(family, measure, X, reach, names, radius)
    return None
