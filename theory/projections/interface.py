r"""One function for every set: `project`.

Main names: `project`, `SETS`, `GATED`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

import numpy as np

from theory.certificates import Contraction
from theory.errors import as_square, as_vector, check_count, check_positive
from theory.inputs import entry_bound
from theory.maps.base import Map
from theory.norms.norms import WeightedL2
from theory.projections.base import Projection, Request
from theory.threads import few_threads
from theory.typing import Array


def _by(module: str, name: str) -> Callable[[Map, Request], Projection]:
    def run(recurrent: Map, request: Request) -> Projection:
        # scipy, and cvxpy where asked for, are loaded only now

        projected: Projection = getattr(import_module(module), name)(recurrent, request)
        return projected

    return run


#: The sets by name.
SETS: dict[str, Callable[[Map, Request], Projection]] = {
    "spectral": _by("theory.projections.norm_balls", "spectral"),
    "linf": _by("theory.projections.norm_balls", "linf"),
    "l1": _by("theory.projections.norm_balls", "l1"),
    "diagonal": _by("theory.projections.metrics", "diagonal"),
    "lmi": _by("theory.projections.metrics", "lmi"),
    "schur": _by("theory.projections.schur", "schur"),
    "lstm": _by("theory.projections.lstm", "lstm"),
    "lstm_l2": _by("theory.projections.lstm_metric", "lstm_l2"),
    "gru": _by("theory.projections.gru", "gru"),
    "gru_l2": _by("theory.projections.gru_metric", "gru_l2"),
}

METHODS = ("auto", "closed_form", "cvxpy")

#: Which sets an option is about.
_OPTIONS = {
    "weights": ("linf", "l1", "diagonal", "lstm", "gru"),
    "metric": ("lmi",),
    "forget": ("lstm", "lstm_l2", "gru", "gru_l2"),
    "per_unit": ("lstm", "gru"),
}


#: Sets of gated cells, and the exponent of the largest entry that they take.
GATED, _LARGEST = ("lstm", "lstm_l2", "gru", "gru_l2"), 256

#: Weights of a norm differ at most by this power of two: squares of them times entries stay below
#: 2**(2 * 100 + 2 * 256).
LARGEST_GRADE = 100


def check_asked_rate(rate: Any) -> float:
    """Return the rate, 0 < rate < 1.

    Raises
    ------
    ValueError
        If it is not such a number; 1 is named apart.
    """
    check_positive(rate=rate)
    value = float(rate)
    if value == 1:
        raise ValueError(
            "rate=1 asks for the closed set at the border of stability, whose members need not "
            "contract at all; ask for a margin, such as rate=0.999"
        )
    if not value <= 1:
        raise ValueError(f"rate={rate!r} is not a contraction, needed 0 < rate < 1")
    return value


def _check_known(name: str, value: Any, known: Iterable[str]) -> None:
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name}={value!r} is not known, needed one of: {', '.join(known)}")


def _check_size(recurrent: Map, input_bound: float) -> None:
    """Check that sums over a gated cell's parameters have squares in double precision."""
    for name, array in recurrent.parameters.items():
        largest = float(np.max(np.abs(array), initial=0.0))
        if not max(largest, 1.0) * max(input_bound, 1.0) <= 2.0**_LARGEST:
            raise ValueError(
                f"{name} holds entries up to {largest!r} and inputs up to {input_bound!r}, needed "
                f"a product of at most 2**{_LARGEST}, so that squares of sums do not overflow; "
                "scale down first: gates are open or closed long before"
            )


def _check_graded(onto: str, weights: Array, *, per_unit: bool) -> None:
    """Check the weights of a norm in which a gated cell is to contract."""
    if onto not in GATED:
        return
    if not per_unit:
        raise ValueError(
            f"weights= with onto={onto!r} is about the larger set, needed per_unit=True too"
        )
    least, largest = float(np.min(weights)), float(np.max(weights))
    with np.errstate(over="ignore"):
        ratio = float(np.divide(largest, least))
    most = 2.0**LARGEST_GRADE
    if not ratio <= most:
        raise ValueError(
            f"weights= go apart by a factor {ratio:.3g}, needed at most 2**{LARGEST_GRADE}, so "
            "that squares of weighted rows do not overflow"
        )
    if not 1.0 / most <= least <= largest <= most:
        raise ValueError(
            f"weights= go from {least!r} to {largest!r}, needed between 2**-{LARGEST_GRADE} and "
            f"2**{LARGEST_GRADE}; only their ratios matter, so divide all by the largest"
        )


def _check_keep(forget: Any, units: int, rate: float) -> Array:
    """Return the bounds of the gates that keep a state, unit by unit."""
    given = np.full(units, forget) if np.ndim(forget) == 0 else forget
    keep = as_vector("forget", given, size=units)
    worst = keep[int(np.argmax(np.abs(keep - 0.5 * rate)))]
    if not 0 < worst < rate:
        raise ValueError(
            f"forget= holds {float(worst)!r}, needed bounds of gates between 0 and the rate "
            f"{rate!r}, which a unit's own gate is part of"
        )
    return keep


def _check_kept(keep: Array, weights: Array, rate: float) -> None:
    """Check that an LSTM's bounds leave room in the given norm, where c reaches h at v_c / v_h."""
    n = len(keep)
    costs = keep * (weights[:n] / weights[n:])
    j = int(np.argmax(costs))
    if not costs[j] < rate:
        raise ValueError(
            f"forget= and weights= leave no cell: of unit {j} the state c counts "
            f"{float(weights[j]):.6g} and h {float(weights[n + j]):.6g}, needed forget v_c / v_h "
            f"below the rate {rate!r}, received {float(costs[j]):.6g}; take smaller weights for c"
        )


def _check_one_bound(onto: str, forget: Any) -> None:
    if onto == "gru":
        raise ValueError("forget= with onto='gru' bounds unit by unit, needed per_unit=True too")
    if np.ndim(forget) != 0:
        raise ValueError(
            f"forget= has shape {np.shape(forget)}, one bound for all units unless per_unit=True"
        )
    check_positive(forget=forget)


def check_metric(
    metric: Any, n: int | None = None
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return P and the multipliers of a metric of dimension n, or of any.

    Raises
    ------
    ValueError
        If it is neither the certificate of a matrix inequality nor a pair of these, or of another
        dimension.
    """
    if isinstance(metric, Contraction):
        # those of the terms of a gated map are more
        stored = metric.evidence.multipliers
        if not isinstance(metric.norm, WeightedL2) or len(stored) != metric.norm.dim:
            raise ValueError(
                f"metric={metric!r} is not the certificate of a matrix inequality; "
                "theory.contraction(map, method='lmi') makes one"
            )
        if n is not None and metric.norm.dim != n:
            raise ValueError(
                f"metric={metric!r} is about maps of dimension {metric.norm.dim}, needed {n}"
            )
        return metric.norm.P, np.array(stored)
    try:
        P, q = metric
    except (TypeError, ValueError):
        raise ValueError("metric= needs a Contraction with multipliers, or a pair P, q") from None
    P, q = as_square("P", P), as_vector("q", q, size=n)
    n = len(q)
    if len(P) != n:
        raise ValueError(f"P has shape {P.shape}, needed ({n}, {n}), the dimension of the map")
    if not np.array_equal(P, P.T):
        off = np.abs(0.5 * P - 0.5 * P.T)
        i, j = (int(k) for k in np.unravel_index(int(np.argmax(off)), off.shape))
        raise ValueError(
            f"P is not symmetric: P[{i}, {j}]={float(P[i, j])!r} and P[{j}, {i}]="
            f"{float(P[j, i])!r}; if they differ by rounding only, take (P + P.T) / 2"
        )
    check_positive(q=float(np.min(q)))
    return P, q


def project(
    recurrent: Map,
    *,
    onto: str,
    rate: float,
    method: str = "auto",
    weights: Any = None,
    metric: Any = None,
    inputs: Any = None,
    forget: Any = None,
    per_unit: bool = False,
    starts: int = 3,
    rng: np.random.Generator | None = None,
    dtype: str = "float64",
    bias_terms: int = 1,
) -> Projection:
    r"""Return the nearest map of a set of contractive maps, with a proof that it is a member.

    Distances are Euclidean over all parameters together.  A map that is provably in the set is
    returned as it is.

    Parameters
    ----------
    recurrent : Map
    onto : str
        A set of maps rho(W h + U x + b), in which only W moves: ``spectral``, ``linf``, ``l1``
        (norm of W), ``diagonal`` (Euclidean norm with diagonal weights), ``lmi`` (incremental
        matrix inequality); of linear maps: ``schur`` (spectral radius); of gated cells: ``lstm``
        and ``gru``, in which the biases and input weights that enter the bounds of the gates may
        move too, and ``lstm_l2`` and ``gru_l2``, in which one Euclidean norm bounds all of W
        together (of a GRU, with the reset gate after W_n).
    rate : float
        The contraction factor asked for, 0 < rate < 1.
    method : str
        ``auto``; ``closed_form`` (for ``lmi``, ``diagonal``, ``lstm_l2`` and ``gru_l2`` this clips
        singular values in the metric, a retraction that is not the nearest point; for ``lstm`` and
        ``gru``, once their bounds are chosen, it is what ``auto`` does); ``cvxpy`` (a convex
        program, and what it returns is moved inside; if the solver fails the specialised method is
        used, and the answer's note says why).  ``schur`` has ``auto`` only, ``lstm_l2`` and
        ``gru_l2`` no convex program.
    weights : (N,) array, optional
        Positive weights of the N entries of the state: v of max |h_i| / v_i for ``linf``, ``lstm``
        and ``gru``, and of sum v_i |h_i| for ``l1``, D of ||D h||_2 for ``diagonal``; for
        ``diagonal`` and ``lstm`` the best ones are searched for by default.  With ``lstm`` and
        ``gru`` they need `per_unit`; `graded_norm` makes some that leave room for training.
    metric : Contraction or (P, q), optional
        For ``lmi``: the metric to stay in; by default it is searched for too.
    inputs : Inputs, or (..., m) array, optional
        For gated cells: the inputs in question, |x_i| <= 1 by default.  Their largest |x_i| enters.
    forget : float, or (n,) array, optional
        For ``lstm`` and ``lstm_l2``: the bound of the forget gates; for ``gru_l2`` that of the
        update gates, which keep its state.  By default the one of least distance.  With `per_unit`
        for each of the n units, for ``gru`` too; a cell that contracts with other bounds is a
        member all the same.
    per_unit : bool
        For ``lstm`` and ``gru``: the larger set with bounds of the gates for each unit.
    starts : int
        For ``schur``: how many starting points are tried.
    rng : numpy.random.Generator, optional
        For ``schur``: draws the starting points.
    dtype : str
        ``float32`` makes the result exact in single precision, and so provably a member after the
        cast.
    bias_terms : int
        For gated cells and ``float32``: of how many stored arrays each bias is the sum, 2 in
        PyTorch; such sums need not be exact in single precision where they do not move.

    Returns
    -------
    Projection
        The map, its distance, a certificate at most at the asked rate, a lower bound of the
        distance of every member, and by how much each parameter moved.

    Raises
    ------
    ValueError
        If the rate is not in (0, 1), the set is unknown or does not apply to the map, or an option
        does not fit.
    ArithmeticError
        If nothing near the boundary of the set could be proved to contract at the rate.

    Examples
    --------
    >>> from theory import VanillaRNN
    >>> found = project(VanillaRNN([[2.0]], [[1.0]]), onto="spectral", rate=0.5)
    >>> round(found.distance, 6), found.certificate.lam <= 0.5
    (1.5, True)
    """
    if not isinstance(recurrent, Map):
        raise ValueError(f"received {recurrent!r}, needed a Map such as theory.VanillaRNN(W, U)")
    _check_known("onto", onto, SETS)
    _check_known("method", method, METHODS)
    _check_known("dtype", dtype, ("float32", "float64"))
    if not isinstance(per_unit, (bool, np.bool_)):
        raise ValueError(f"per_unit={per_unit!r}, needed True or False")
    if rng is not None and not isinstance(rng, np.random.Generator):
        raise ValueError(
            f"rng={rng!r}, needed a numpy.random.Generator; numpy.random.default_rng(seed) is one"
        )
    asked = check_asked_rate(rate)
    given = {
        "weights": weights is not None,
        "metric": metric is not None,
        "forget": forget is not None,
        "per_unit": per_unit,
    }
    for name, used in given.items():
        if used and onto not in _OPTIONS[name]:
            raise ValueError(
                f"{name}= is an option of onto={' or '.join(map(repr, _OPTIONS[name]))}, received "
                f"onto={onto!r}"
            )
    check_count(at_least=1, starts=starts, bias_terms=bias_terms)
    bound = 1.0 if inputs is None else entry_bound(inputs, recurrent.input_dim)
    if onto in GATED:
        _check_size(recurrent, bound)
    n = recurrent.state_dim
    scales = None if weights is None else as_vector("weights", weights, size=n)
    if scales is not None:
        check_positive(weights=float(np.min(scales)))
        _check_graded(onto, scales, per_unit=per_unit)
    keep = None
    if forget is not None and per_unit:
        keep = _check_keep(forget, getattr(recurrent, "units", n), asked)
        if onto == "lstm" and scales is not None and n == 2 * len(keep):
            _check_kept(keep, scales, asked)
    elif forget is not None:
        _check_one_bound(onto, forget)
    request = Request(
        onto=onto,
        rate=asked,
        method=method,
        weights=scales,
        metric=None if metric is None else check_metric(metric, n),
        input_bound=bound,
        forget=None if forget is None or per_unit else float(forget),
        per_unit=bool(per_unit),
        keep=keep,
        starts=starts,
        rng=np.random.default_rng(0) if rng is None else rng,
        single=dtype == "float32",
        bias_terms=bias_terms,
    )
    with few_threads(n):
        return SETS[onto](recurrent, request)
