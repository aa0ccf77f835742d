"""The table of criteria: from a map to its contraction, or None.

Main names: `METHODS`, `EFFORTS`, `run_methods`, `check_method_fits`, `Method`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

import numpy as np

from theory.certificates import Contraction
from theory.certify.gated import by_comparison, by_delta_iss, by_gate_norms, by_transition
from theory.certify.iterates import iterate_in_norm, least_iterate
from theory.certify.layers import by_layers
from theory.certify.leaky import by_leak, floor_of, leaks_alike
from theory.certify.metric import by_metric
from theory.certify.multipliers import by_multipliers
from theory.domain import Domain
from theory.errors import check_count
from theory.maps.base import Map
from theory.maps.block import Block
from theory.maps.cascade import Cascade
from theory.maps.delta import DeltaRule
from theory.maps.esn import EchoStateNetwork
from theory.maps.form import Affine
from theory.norms.norms import L1, L2, Linf, Norm
from theory.sources.belief import BeliefFilter, filter_contraction_of
from theory.theorems.contractive_of_matrix_norm import contractive_of_matrix_norm
from theory.theorems.contractive_of_perron_weights import contractive_of_perron_weights
from theory.threads import few_threads

#: A method takes a map and where it is asked about, everywhere by default, and answers with a
#: contraction there, or None if it does not fit or finds none.
Method = Callable[[Map, Domain | None], Contraction | None]


def by_norm(norm: Norm) -> Method:
    """Return the method that bounds W in a norm."""

    def method(recurrent: Map, domain: Domain | None = None) -> Contraction | None:
        form = recurrent.affine_on(domain)
        if form is None:
            return None
        return contractive_of_matrix_norm(
            form.W, form.rho, norm=norm, slopes=form.slopes, domain=form.domain
        )

    return method


def _by_perron_weights(recurrent: Map, domain: Domain | None = None) -> Contraction | None:
    form = recurrent.affine_on(domain)
    if form is None:
        return None
    return contractive_of_perron_weights(form.W, form.rho, slopes=form.slopes, domain=form.domain)


def _by_search(module: str, name: str) -> Method:
    def method(recurrent: Map, domain: Domain | None = None) -> Contraction | None:
        form = recurrent.affine_on(domain)
        if form is None:
            return None
        # scipy is loaded only when a search is asked for
        search = getattr(import_module(module), name)
        with few_threads(len(form.W)):
            found: Contraction | None = search(form)
        return found

    return method


def by_iterate(
    recurrent: Map,
    domain: Domain | None = None,
    norm: Norm | None = None,
    known: Mapping[str, Contraction] | None = None,
) -> Contraction | None:
    """Return the contraction of several steps in the Euclidean norm.

    By products or, where they are too many, from the contraction of one step, looked for if it is
    not among the known ones, that needs the fewest steps.  Of a forward filter by Birkhoff's
    factor, in the maximum norm.
    """
    if isinstance(recurrent, BeliefFilter) and (norm is None or isinstance(norm, Linf)):
        return filter_contraction_of(recurrent)
    measure, n = L2() if norm is None else norm, recurrent.state_dim
    form = recurrent.affine_on(domain)
    with few_threads(n):
        found = None if form is None else least_iterate(form, measure)
    if found is not None:
        return found
    single = run_methods(recurrent, 1, domain, iterates=False) if known is None else known
    converted = (iterate_in_norm(c, measure, dim=n) for c in single.values() if c.iterate == 1)
    return min((c for c in converted if c is not None), key=lambda c: c.iterate, default=None)


def _by_criterion(criterion: Method) -> Method:
    def method(recurrent: Map, domain: Domain | None = None) -> Contraction | None:
        if recurrent.affine() is not None:
            return None
        with few_threads(recurrent.state_dim):
            return criterion(recurrent, domain)

    return method


def _by_layers(recurrent: Map, domain: Domain | None = None, effort: int = 1) -> Contraction | None:
    """Return the contraction of a stack by those of its layers, each sought with that effort."""

    def search(layer: Map, part: Domain | None) -> list[Contraction]:
        found = [*run_methods(layer, effort, part, iterates=False).values()]
        best = min(found, key=lambda c: c.lam, default=None)
        if part is not None and may_be_better_everywhere(layer, best):
            found += run_methods(layer, effort, iterates=False).values()
        return found

    return by_layers(recurrent, domain, search)


def _by_leak(recurrent: Map, domain: Domain | None = None) -> Contraction | None:
    """Return the contraction of a leaky network, from the best that effort 1 finds without leak."""

    def search(inner: Map, where: Domain | None) -> Contraction | None:
        found = run_methods(inner, 1, where, iterates=False)
        return min(found.values(), key=lambda c: c.lam, default=None)

    return by_leak(recurrent, domain, search)


#: The methods by name, cheapest first.  A stronger criterion is one more line here.
METHODS: dict[str, Method] = {
    "row_sums": by_norm(Linf()),
    "column_sums": by_norm(L1()),
    "spectral": by_norm(L2()),
    "perron": _by_perron_weights,
    "lyapunov": _by_search("theory.certify.lyapunov", "by_lyapunov"),
    "numerical_radius": _by_search("theory.certify.search", "by_numerical_radius"),
    "diagonal": _by_search("theory.certify.search", "by_diagonal"),
    "lmi": _by_search("theory.certify.search", "by_incremental_lmi"),
    "gate_norms": _by_criterion(by_gate_norms),
    "delta_iss": _by_criterion(by_delta_iss),
    "comparison": _by_criterion(by_comparison),
    "transition": _by_criterion(by_transition),
    "euclidean": _by_criterion(by_multipliers),
    "metric": _by_criterion(by_metric),
    "leak": _by_leak,
    "layers": _by_layers,
    "iterate": by_iterate,
}

#: Those that are about maps without an affine form, as the others are about maps with one.
GATED = ("gate_norms", "delta_iss", "comparison", "transition", "euclidean", "metric", "leak")

#: Those that are about stacks, by methods of the same effort for the layers.
STACKED = ("layers",)

#: Those whose contractions are of several steps together.
ITERATED = ("iterate",)

#: Up to which dimension a method is part of an effort: 0 takes milliseconds at any size, 1 (the
#: default) about five seconds at n = 256 and ten at 512, on one core, and 2 takes all methods;
#: those not listed are always part.  Effort 1 looks for a full metric of leaky maps only, whatever
#: else certifies: were it left out where another method does, a smaller box might have the worse
#: factor.
EFFORTS: tuple[dict[str, float], ...] = (
    dict.fromkeys(
        (
            *("lyapunov", "numerical_radius", "diagonal", "lmi"),
            *("euclidean", "metric", "leak", "iterate"),
        ),
        0.0,
    ),
    {
        "lyapunov": 512,
        "numerical_radius": 1024,
        "diagonal": 64,
        "lmi": 512,
        "euclidean": 512,
        "metric": 16,
        "iterate": 64,
    },
    {},
)

#: Methods that take less work at an effort than they do when they are asked for by name.
_QUICK: dict[int, dict[str, Method]] = {
    1: {"lmi": _by_search("theory.certify.search", "by_incremental_lmi_quickly")},
}

#: A certified rate this near to a lower bound, relatively, ends the search of ``"auto"``.
_NEAR = 2.0**-30


def _floor(form: Affine) -> float:
    """Return about the largest spectral radius of constant slopes, for stopping early only."""
    low, high = form.slopes
    radius = float(np.max(np.abs(np.linalg.eigvals(high[:, None] * form.W))))
    if bool(np.all(low <= 0) and np.all(high >= 0)):
        radius = max(radius, float(np.max(np.abs(form.steepest * np.diag(form.W)))))
    return radius


def left_out(recurrent: Map, effort: int) -> list[str]:
    """Return the methods that an effort leaves out for the size of a map."""
    n, limits = recurrent.state_dim, EFFORTS[effort]
    return [name for name in fitting_methods(recurrent) if n > limits.get(name, float("inf"))]


def check_effort(effort: int) -> None:
    """Raise `ValueError` for anything but an index into `EFFORTS`."""
    check_count(effort=effort)
    if effort >= len(EFFORTS):
        raise ValueError(f"effort={effort!r}, needed one of {list(range(len(EFFORTS)))}")


def fitting_methods(recurrent: Map) -> tuple[str, ...]:
    """Return the methods that are about maps like this one."""
    gated = recurrent.affine() is None
    special = dict.fromkeys(STACKED, isinstance(recurrent, Cascade))
    special["leak"] = gated and leaks_alike(recurrent)
    special["transition"] = isinstance(recurrent, Block | DeltaRule)
    return tuple(
        name for name in METHODS if special.get(name, name in ITERATED or (name in GATED) == gated)
    )


def check_method_fits(recurrent: Map, method: str) -> None:
    """Raise if a method is about maps of another form, so that its None would say nothing.

    Raises
    ------
    ValueError
        With the methods that are about maps like this one.
    """
    fits = fitting_methods(recurrent)
    if method in STACKED and method not in fits:
        raise ValueError(
            f"method {method!r} is for stacks, theory.Cascade, received {recurrent!r}, needed one "
            f"of: {', '.join(['auto', *fits])}"
        )
    if method in METHODS and method not in fits:
        form = "of" if method not in GATED else "without"
        raise ValueError(
            f"method {method!r} is for maps {form} the form rho(W h + U x + b), which "
            f"{recurrent!r} {'is not' if method not in GATED else 'has'}, needed one of: "
            f"{', '.join(['auto', *fits])}"
        )


def may_be_better_everywhere(recurrent: Map, best: Contraction | None) -> bool:
    """Return whether a contraction of all states may have a smaller factor than one on a domain.

    A guess for saving time: no norm certifies a map of the affine form below about `_floor`.  The
    weights that comparison matrices are given are searched for, and may be better everywhere.
    """
    form = recurrent.affine()
    if best is None:
        return True
    if form is None:
        # of a stack the layers are looked at everywhere too
        return not isinstance(recurrent, Cascade) and recurrent.comparison(None) is not None
    return best.iterate > 1 or best.lam > _floor(form)


def run_methods(
    recurrent: Map, effort: int, domain: Domain | None = None, *, iterates: bool | None = None
) -> dict[str, Contraction]:
    """Return what the methods of an effort certify, without those that cannot matter.

    Contractions of several steps are among them if `iterates` is true; by default, if there is none
    of a single step.
    """
    check_effort(effort)
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
            c = by_iterate(recurrent, domain, known=found)
        elif name in STACKED:
            c = _by_layers(recurrent, domain, effort)
        elif name == "leak" and isinstance(recurrent, EchoStateNetwork) and form is None:
            least = floor_of(recurrent.without_leak(domain), recurrent.leak) * (1 + _NEAR)
            best = min((c.lam for c in found.values()), default=1.0)
            # the triangle inequality of (1 - a) h and a f loses what a metric of both does not
            better = "metric" in found and n <= EFFORTS[1]["metric"]
            c = _by_leak(recurrent, domain) if best > least and not better else None
        elif name == "euclidean" and form is None:
            if leaks_alike(recurrent) and n <= EFFORTS[effort].get("lmi", n):
                continue  # with weights and better slopes this is part of what comes next
            with few_threads(n):
                c = by_multipliers(recurrent, domain, known=found.get("comparison"))
        elif name == "metric" and form is None:
            if effort < 2 and not isinstance(recurrent, EchoStateNetwork):
                continue
            known = min(found.values(), key=lambda c: c.lam, default=None)
            with few_threads(n):
                c = by_metric(recurrent, domain, known=known)
        else:
            c = _QUICK.get(effort, {}).get(name, method)(recurrent, domain)
        if c is not None:
            found[name] = c
    return found
