r"""A map -> its contraction or None, by trying the criteria that fit.

Main names: `contraction`, `contractions`, `domain_of`, `narrowing`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, overload

import numpy as np

from theory.certificates import Contraction
from theory.certify.methods import (
    EFFORTS,
    ITERATED,
    METHODS,
    by_iterate,
    by_norm,
    check_effort,
    check_method_fits,
    fitting_methods,
    may_be_better_everywhere,
    run_methods,
)
from theory.domain import Domain
from theory.inputs import ambiguous
from theory.maps.base import Map, check_map
from theory.maps.cascade import Cascade
from theory.maps.invariance import invariant_domain
from theory.maps.reached import check_domain, kept_domain, reached_domain
from theory.norms.norm import check_norm
from theory.norms.norms import Norm
from theory.threads import few_threads

#: Slopes on a box that are narrower than everywhere by less than this part are not worth the box.
_NARROWER = 2.0**-7


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
        check_domain(recurrent, domain)
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
    methods: Collection[str] | None = None,
) -> dict[str, Contraction]:
    """Return every contraction of a single step that some method certifies, by the method's name.

    Parameters
    ----------
    recurrent : Map
    domain, inputs
        As in `theory.contraction`.
    iterates : bool
        Whether contractions of several steps together are wanted too.
    methods : collection of str, optional
        The methods to try, as in `theory.contraction`; all by default.  ``iterate`` takes several
        steps together, and needs ``iterates=True``.

    Returns
    -------
    dict
        Empty if no method does; that is not a proof that the map is not contractive.

    Raises
    ------
    ValueError
        As in `theory.contraction`.
    """
    check_map(recurrent)
    wanted = _wanted(methods, iterates)
    where = domain_of(recurrent, domain, inputs)
    found: dict[str, Contraction] = {}
    for name, method in METHODS.items():
        if name not in wanted:
            continue
        if name in ITERATED:
            # of a few methods those that are left out may have the one of the fewest steps
            c = by_iterate(recurrent, where, known=found if methods is None else None)
        else:
            c = method(recurrent, where)
        if c is not None:
            found[name] = c
    return found


def _wanted(methods: Collection[str] | None, iterates: bool) -> list[str]:
    """Return the methods to try."""
    if methods is None:
        return [name for name in METHODS if iterates or name not in ITERATED]
    if isinstance(methods, str):
        raise ValueError(f"methods={methods!r} is a text, needed names such as [{methods!r}]")
    try:
        named = list(methods)
    except TypeError:
        raise ValueError(f'methods={methods!r}, needed names such as ["lmi"]') from None
    for name in named:
        _check_method(name, (*METHODS,))
        if name in ITERATED and not iterates:
            raise ValueError(f"method {name!r} takes several steps together: pass iterates=True")
    return named


def _check_method(method: str, known: Collection[str]) -> None:
    if method not in known:
        raise ValueError(f"method {method!r} is not known, needed one of: {', '.join(known)}")


@overload
def contraction(
    recurrent: Map,
    *,
    method: str = ...,
    norm: Norm | None = ...,
    effort: int = ...,
    domain: Domain | None = ...,
    inputs: Any = ...,
    required: Literal[True],
    input_bound: Any = ...,
) -> Contraction: ...
@overload
def contraction(
    recurrent: Map,
    *,
    method: str = ...,
    norm: Norm | None = ...,
    effort: int = ...,
    domain: Domain | None = ...,
    inputs: Any = ...,
    required: bool = ...,
    input_bound: Any = ...,
) -> Contraction | None: ...
def contraction(
    recurrent: Map,
    *,
    method: str = "auto",
    norm: Norm | None = None,
    effort: int = 1,
    domain: Domain | None = None,
    inputs: Any = None,
    required: bool = False,
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
        weights), ``numerical_radius`` and ``lmi`` (incremental matrix inequality, with weights that
        are equal, or balance W where that is better, and with the best weights), ``lyapunov``
        (linear maps only, near the spectral radius), ``iterate`` (the least number of steps that
        contract together in the Euclidean norm); of gated and leaky maps ``comparison`` (matrices
        of the bounds of every unit), ``transition`` (the Euclidean norm of a delta rule's
        transition, and of a block with such a core, or one of complex modes), ``euclidean`` (the
        same bounds in a Euclidean norm with diagonal weights, which keeps the signs within a
        matrix: about twice the scale of dense
        weights), ``metric`` (in a Euclidean norm of a full matrix, which keeps the signs of what
        the gates multiply: the sharpest, up to some 200 states), ``leak`` (of a leaky map with one
        leaking rate, from any of the methods above for the map without leak), ``delta_iss`` (one
        row for all units, as published for LSTM and GRU)
        and ``gate_norms`` (row sums of an LSTM's gates); of stacks ``layers`` (the layers'
        certificates, in a weighted maximum of their norms).
    norm : Norm, optional
        Ask for a contraction in exactly this norm instead; of a single step, but with ``iterate``.
    effort : int
        How much ``"auto"`` tries, see `EFFORTS`: 0 matrix norms and Perron weights only; 1 also the
        matrix inequality up to n = 512, with less work from n = 200 on, the numerical radius up to
        n = 1024, ``euclidean`` up to 512 states (LSTM of 256 units, 5 seconds) and, of leaky
        maps up to 16 units, ``metric``; 2 everything.
    domain : Domain, optional
        Ask for a contraction on this box only, which must be proved invariant: slopes are then
        those of the pre-activations met there; or on the states reached from zero.
    inputs : Inputs, or (..., m) array, optional
        Ask for a contraction under these inputs only: the box of states is found by
        `theory.certify.invariant_domain`, for the smallest box that holds the inputs.  The answer
        holds everywhere (its domain is None) where that gives nothing narrower.  Gated maps
        contract only under bounded inputs, but for special weights.  Where ``"auto"`` finds none on
        the box (up to 256 states a layer), and with effort 2 where the factor is smaller, it is
        one of the states that are reached from zero (`theory.certify.reached_domain`), which its
        domain says: enough for the recurrent model and its truncated ones, for no other start.
    required : bool
        Whether to raise, with what was tried, instead of answering None.
    input_bound
        Refused: a number does not say which inputs are meant.

    Returns
    -------
    Contraction or None
        None if no criterion applies, which is not a proof of the contrary; never None if required.

    Raises
    ------
    ValueError
        If the method or the effort is unknown, the norm is not one on the map's states, the domain
        is not one of the map's or not proved invariant, the inputs are a plain number, or a
        required certificate was not found.

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
    check_effort(effort)
    _check_method(method, ("auto", *METHODS))
    if norm is not None:
        check_norm(norm).check_dim(recurrent.state_dim)
    if not isinstance(required, bool):
        raise ValueError(f"required={required!r}, needed True or False")
    where = domain_of(recurrent, domain, inputs)
    found = _found(recurrent, method, norm, effort, where)
    asked = found is None and method == "auto" and norm is None
    reached = reached_at(recurrent, inputs, effort, where, known=not asked)
    if reached is not None:
        both = (found, _found_on(recurrent, method, norm, effort, reached))
        made = [c for c in both if c is not None]
        # of equal factors that of all states of the box
        found = min(made, key=lambda c: (c.iterate, c.lam), default=None)
    if found is None and required:
        check_method_fits(recurrent, method)
        bounded = domain is not None or inputs is not None
        raise ValueError(_what_to_try(recurrent, method, norm, effort, bounded))
    return found


#: Up to which dimension of the state, of a stack that of its largest layer, an effort asks what is
#: reached from zero where the box of all states gives no certificate: a few seconds.  Effort 2
#: always asks, and takes the smaller rate.
FROM_ZERO = (0, 256)


def reached_at(
    recurrent: Map, inputs: Any, effort: int, box: Domain | None, *, known: bool
) -> Domain | None:
    """Return the states reached from zero where an effort asks about them, else None.

    A contraction of them says less than one of all states of the box: where there is one of those,
    `known`, or a method is named, it is replaced only at the effort that takes everything.
    """
    if inputs is None or (effort < len(FROM_ZERO) and known):
        return None
    layers = recurrent.layers if isinstance(recurrent, Cascade) else (recurrent,)
    largest = max(layer.state_dim for layer in layers)
    if effort < len(FROM_ZERO) and not largest <= FROM_ZERO[effort]:
        return kept_domain(recurrent, inputs=inputs) if box is None else None
    with few_threads(recurrent.state_dim):
        return reached_domain(recurrent, inputs=inputs, box=box)


def _found(
    recurrent: Map, method: str, norm: Norm | None, effort: int, where: Domain | None
) -> Contraction | None:
    best = _found_on(recurrent, method, norm, effort, where)
    if norm is not None or method != "auto":
        return best
    if where is None or not may_be_better_everywhere(recurrent, best):
        return best
    # to know more is never to claim less: what holds everywhere holds on the domain
    wide = run_methods(recurrent, effort, iterates=None if best is None else False)
    found = [*wide.values()] if best is None else [best, *wide.values()]
    return min(found, key=lambda c: (c.iterate, c.lam), default=None)


def _found_on(
    recurrent: Map, method: str, norm: Norm | None, effort: int, where: Domain | None
) -> Contraction | None:
    if norm is not None:
        if method in ITERATED:
            return by_iterate(recurrent, where, norm)
        return by_norm(norm)(recurrent, where)
    if method != "auto":
        return METHODS[method](recurrent, where)
    # of equal factors the first is kept, and unweighted norms come first
    return min(run_methods(recurrent, effort, where).values(), key=lambda c: c.lam, default=None)


def _what_to_try(recurrent: Map, method: str, norm: Norm | None, effort: int, bounded: bool) -> str:
    """Return the message for a map without a certificate: what was tried, and what to try next."""
    whole = method == "auto" and norm is None
    names = [method]
    if norm is not None:
        names = [f"{method if method in ITERATED else 'the matrix norm'} of {norm}"]
    elif whole:
        names = [
            name
            for name in fitting_methods(recurrent)
            if recurrent.state_dim <= EFFORTS[effort].get(name, float("inf"))
        ]
    further = []
    if not bounded:
        further.append("inputs=theory.Inputs.box(low, high) if the inputs are bounded")
    if whole and effort + 1 < len(EFFORTS):
        further.append(f"effort={effort + 1}")
    if not whole:
        further.append('method="auto" in any norm')
    further += [
        "theory.certify.judge_contraction(map), which may refute it",
        "theory.memory.reach_tube(map, X, k=k), which bounds what is forgotten along given inputs",
        "theory.project(map, onto=..., rate=...), the nearest map that contracts",
    ]
    return (
        f"{recurrent!r} has no certificate by {', '.join(names)}, needed one since required=True; "
        f"try {'; '.join(further)}"
    )
