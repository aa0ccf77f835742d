r"""A map -> its contraction or None, by trying the criteria that fit.

Main names: `contraction`, `contractions`, `METHODS`, `EFFORTS`, `tried`, `domain_of`,
`narrowing`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from theory.certificates import Contraction
from theory.domain import Domain
from theory.errors import check_count
from theory.inputs import ambiguous
from theory.invariance import check_invariant, invariant_domain
from theory.maps.base import Affine, Map, check_map
from theory.norms import L1, L2, Linf, Norm
from theory.theorems.contractive_of_matrix_norm import contractive_of_matrix_norm
from theory.theorems.contractive_of_perron_weights import contractive_of_perron_weights
from theory.threads import few_threads

#: A method takes a map and where it is asked about, everywhere by default, and answers with a
#: contraction there, or None if it does not fit or finds none.
Method = Callable[[Map, Domain | None], Contraction | None]


def _by_norm(norm: Norm) -> Method:
    def method(recurrent: Map, domain: Domain | None = None) -> Contraction | None:
        form = recurrent.affine_on(domain)
        if form is None:
            return None
        return contractive_of_matrix_norm(
            form.W, form.rho, norm, slopes=form.slopes, domain=form.domain
        )

    return method


def _by_perron_weights(recurrent: Map, domain: Domain | None = None) -> Contraction | None:
    form = recurrent.affine_on(domain)
    if form is None:
        return None
    return contractive_of_perron_weights(form.W, form.rho, slopes=form.slopes, domain=form.domain)


def _by_search(name: str) -> Method:
    def method(recurrent: Map, domain: Domain | None = None) -> Contraction | None:
        # scipy is loaded only when a search is asked for
        from theory import search

        form = recurrent.affine_on(domain)
        if form is None:
            return None
        with few_threads(len(form.W)):
            found: Contraction | None = getattr(search, name)(form)
        return found

    return method


def _by_iterate(
    recurrent: Map,
    domain: Domain | None = None,
    norm: Norm | None = None,
    known: Mapping[str, Contraction] | None = None,
) -> Contraction | None:
    """Return the contraction of several steps in the Euclidean norm.

    By products or, where they are too many, from the contraction of one step, looked for if it is
    not among the known ones, that needs the fewest steps.
    """
    from theory.iterates import iterate_in_norm, least_iterate

    measure, n = L2() if norm is None else norm, recurrent.state_dim
    form = recurrent.affine_on(domain)
    with few_threads(n):
        found = None if form is None else least_iterate(form, measure)
    if found is not None:
        return found
    single = tried(recurrent, 1, domain, iterates=False) if known is None else known
    converted = (iterate_in_norm(c, measure, dim=n) for c in single.values() if c.iterate == 1)
    return min((c for c in converted if c is not None), key=lambda c: c.iterate, default=None)


def _by_criterion(name: str) -> Method:
    def method(recurrent: Map, domain: Domain | None = None) -> Contraction | None:
        # the criteria of gated maps are loaded only when one is met
        if recurrent.affine() is not None:
            return None
        from theory import comparison

        with few_threads(recurrent.state_dim):
            found: Contraction | None = getattr(comparison, name)(recurrent, domain)
        return found

    return method


#: The methods by name, cheapest first.  A stronger criterion is one more line here.
METHODS: dict[str, Method] = {
    "row_sums": _by_norm(Linf()),
    "column_sums": _by_norm(L1()),
    "spectral": _by_norm(L2()),
    "perron": _by_perron_weights,
    "lyapunov": _by_search("by_lyapunov"),
    "numerical_radius": _by_search("by_numerical_radius"),
    "diagonal": _by_search("by_diagonal"),
    "lmi": _by_search("by_incremental_lmi"),
    "gate_norms": _by_criterion("by_gate_norms"),
    "delta_iss": _by_criterion("by_delta_iss"),
    "comparison": _by_criterion("by_comparison"),
    "iterate": _by_iterate,
}

#: Those whose contractions are of several steps together.
ITERATED = ("iterate",)

#: Up to which dimension a method is part of an effort: 0 takes milliseconds at any size, 1 (the
#: default) about two seconds, 2 about a minute at n = 256; methods not listed are always part.
EFFORTS: tuple[dict[str, float], ...] = (
    {"lyapunov": 0, "numerical_radius": 0, "diagonal": 0, "lmi": 0, "iterate": 0},
    {"lyapunov": 256, "numerical_radius": 256, "diagonal": 64, "lmi": 64, "iterate": 64},
    {},
)

#: Slopes on a box that are narrower than everywhere by less than this part are not worth the box.
_NARROWER = 2.0**-7

#: A certified rate this near to a lower bound, relatively, ends the search of ``"auto"``.
_NEAR = 2.0**-30


def _floor(form: Affine) -> float:
    """Return about the largest spectral radius of constant slopes, for stopping early only."""
    low, high = form.slopes
    radius = float(np.max(np.abs(np.linalg.eigvals(high[:, None] * form.W))))
    if bool(np.all(low <= 0) and np.all(high >= 0)):
        radius = max(radius, float(np.max(np.abs(form.steepest * np.diag(form.W)))))
    return radius


def _check_effort(effort: int) -> None:
    check_count(effort=effort)
    if effort >= len(EFFORTS):
        raise ValueError(f"effort={effort!r}, needed one of {list(range(len(EFFORTS)))}")


def tried(
    recurrent: Map, effort: int, domain: Domain | None = None, *, iterates: bool | None = None
) -> dict[str, Contraction]:
    """Return what the methods of an effort certify, without those that cannot matter.

    Contractions of several steps are among them if `iterates` is true; by default, if there is none
    of a single step.
    """
    _check_effort(effort)
    found: dict[str, Contraction] = {}
    form, n = recurrent.affine_on(domain), recurrent.state_dim
    floor: float | None = None
    for name, method in METHODS.items():
        if n > EFFORTS[effort].get(name, float("inf")):
            continue
        if name in ITERATED:
            if iterates is False or (iterates is None and found):
                continue
        elif name in EFFORTS[0] and form is not None:
            floor = _floor(form) if floor is None else floor
            best = min((c.lam for c in found.values()), default=1.0)
            if best <= floor * (1 + _NEAR) or floor >= 1:
                continue
        if name in ITERATED:
            c = _by_iterate(recurrent, domain, known=found)
        else:
            c = method(recurrent, domain)
        if c is not None:
            found[name] = c
    return found


def domain_of(recurrent: Map, domain: Domain | None = None, inputs: Any = None) -> Domain | None:
    """Return the domain that is meant: a given one, checked, or the box under the inputs.

    None, everywhere, if there is no bounded box or it makes no slope interval notably narrower.

    Raises
    ------
    ValueError
        If both are given, or the domain is not one of this map or is not proved invariant.
    """
    if domain is not None:
        if inputs is not None:
            raise ValueError("received both domain= and inputs=, needed at most one of them")
        check_invariant(recurrent, domain)
        return domain
    if inputs is None:
        return None
    return narrowing(recurrent, invariant_domain(recurrent, inputs=inputs))


def narrowing(recurrent: Map, box: Domain | None) -> Domain | None:
    """Return an invariant box, None if it makes no slope interval notably narrower."""
    form = recurrent.affine_on(box)
    if form is not None:
        (low, high), (alpha, beta) = form.slopes, form.rho.slope
        if not bool(np.any(high - low < (beta - alpha) * (1 - _NARROWER))):
            return None
    return box


def contractions(
    recurrent: Map,
    *,
    domain: Domain | None = None,
    inputs: Any = None,
    iterates: bool = False,
) -> dict[str, Contraction]:
    """Return every contraction of a single step that some method certifies, by the method's name.

    Parameters
    ----------
    recurrent : Map
    domain, inputs
        As in `theory.contraction`.
    iterates : bool
        Whether contractions of several steps together are wanted too.

    Returns
    -------
    dict
        Empty if no method does; that is not a proof that the map is not contractive.

    Raises
    ------
    ValueError
        As in `theory.contraction`.
    """
    where = domain_of(recurrent, domain, inputs)
    found: dict[str, Contraction] = {}
    for name, method in METHODS.items():
        if name in ITERATED and not iterates:
            continue
        if name in ITERATED:
            c = _by_iterate(recurrent, where, known=found)
        else:
            c = method(recurrent, where)
        if c is not None:
            found[name] = c
    return found


def contraction(
    recurrent: Map,
    *,
    method: str = "auto",
    norm: Norm | None = None,
    effort: int = 1,
    domain: Domain | None = None,
    inputs: Any = None,
    input_bound: Any = None,
) -> Contraction | None:
    r"""Look for a proof that a map is contractive.

    Parameters
    ----------
    recurrent : Map
    method : str
        ``"auto"`` returns the smallest certified factor of one step that the effort finds (of equal
        ones, the one in an unweighted norm), and one of several steps together only if there is
        none of a single step: most bounds need the latter; or one of ``row_sums``,
        ``column_sums``, ``spectral``, ``perron``, ``diagonal`` (Euclidean norm with diagonal
        weights), ``numerical_radius`` and ``lmi`` (incremental matrix inequality, without and with
        weights), ``lyapunov`` (linear maps only, near the spectral radius), ``iterate`` (the least
        number of steps that contract together in the Euclidean norm); of gated and leaky maps
        ``comparison`` (matrices of the bounds of every unit), ``delta_iss`` (one row for all units,
        as published for LSTM and GRU) and ``gate_norms`` (row sums of an LSTM's gates).
    norm : Norm, optional
        Ask for a contraction in exactly this norm instead; of a single step, but with ``iterate``.
    effort : int
        How much ``"auto"`` tries, see `EFFORTS`: 0 matrix norms and Perron weights only; 1 also the
        matrix inequality up to n = 64 and the numerical radius up to n = 256; 2 everything.
    domain : Domain, optional
        Ask for a contraction on this box only, which must be proved invariant: slopes are then
        those of the pre-activations met there.
    inputs : Inputs, or (..., m) array, optional
        Ask for a contraction under these inputs only: the box of states is found by
        `theory.invariant_domain`, for the smallest box that holds the inputs.  The answer holds
        everywhere (its domain is None) where that gives nothing narrower.  Gated maps contract only
        under bounded inputs, but for special weights.
    input_bound
        Refused: a number does not say which inputs are meant.

    Returns
    -------
    Contraction or None
        None if no criterion applies, which is not a proof of the contrary.

    Raises
    ------
    ValueError
        If the method or the effort is unknown, the norm is not one on the map's states, the domain
        is not one of the map's or not proved invariant, or the inputs are a plain number.

    Examples
    --------
    >>> from theory import Inputs, VanillaRNN
    >>> contraction(VanillaRNN([[0.5, 4.0], [0.01, 0.5]], [[1.0], [1.0]])).evidence.method
    'Perron weights'
    >>> contraction(VanillaRNN([[2.0]], [[1.0]])) is None
    True
    >>> driven = VanillaRNN([[1.1]], [[1.0]], [2.0])  # slopes are small where a is near 2
    >>> round(contraction(driven, inputs=Inputs.box(-0.1, 0.1)).lam, 3)
    0.094
    >>> from theory import GRU
    >>> cell = GRU([[0.1], [0.1], [0.5]], [[0.1], [0.1], [0.5]])
    >>> found = contraction(cell, inputs=Inputs.box(-1, 1))
    >>> found.evidence.method, round(found.lam, 2), found.domain.high.round(2).tolist()
    ('comparison matrix', 0.7, [0.58])
    """
    check_map(recurrent)
    if input_bound is not None:
        raise ambiguous("input_bound", input_bound, recurrent.input_dim)
    _check_effort(effort)
    if method != "auto" and method not in METHODS:
        known = ", ".join(["auto", *METHODS])
        raise ValueError(f"method {method!r} is not known, needed one of: {known}")
    if norm is not None:
        if not isinstance(norm, Norm):
            raise ValueError(f"norm={norm!r}, needed a norm such as theory.L2()")
        norm.check_dim(recurrent.state_dim)
    where = domain_of(recurrent, domain, inputs)
    if norm is not None:
        if method in ITERATED:
            return _by_iterate(recurrent, where, norm)
        return _by_norm(norm)(recurrent, where)
    if method == "auto":
        # of equal factors the first is kept, and unweighted norms come first
        return min(tried(recurrent, effort, where).values(), key=lambda c: c.lam, default=None)
    return METHODS[method](recurrent, where)
