"""What a certificate file says, checked again without a solver and without a search.

Main names: `recheck`, `Recheck`, `StoredCertificate`.

Nothing in a file is believed: the parameters are compared by their SHA-256, and the stated
inequality is decided in `theory.arithmetic.rigor`.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from theory.arithmetic import rigor
from theory.arithmetic.activations import Activation
from theory.arithmetic.rounding import evaluate
from theory.certify.gate_bounds import certify
from theory.certify.layers import layer_gains, layer_parts
from theory.certify.leaky import inner_rate, linear_bound
from theory.certify.refutation_file import StoredRefutation, why_not_refuted
from theory.domain import Domain, domain_from_dict
from theory.errors import as_square, as_vector
from theory.maps.base import Map
from theory.maps.cascade import Cascade
from theory.maps.esn import EchoStateNetwork
from theory.maps.form import Affine
from theory.maps.gru import GRU
from theory.maps.linear import OLD_NAMES
from theory.maps.lstm import LSTM
from theory.maps.reached import holds_on
from theory.norms.blocks import BlockMax
from theory.norms.norms import (
    Linf,
    Norm,
    WeightedL2,
    WeightedLinf,
    over,
    same_norm,
    scaled_matrix_upper,
)
from theory.norms.products import UnsettledError, growth_upper, product_upper
from theory.norms.stored import gram_from_dict, norm_from_dict
from theory.shown import shown
from theory.theorems.contractive_of_layers import layer_rates_of
from theory.theorems.contractive_of_multipliers import multipliers_hold
from theory.theorems.norm_change import formula as converted
from theory.theorems.sectors import sectors_hold

#: Products of more matrices than this are not formed for a file.
MOST_STEPS = 4096


@shown
@final
@dataclass(frozen=True, kw_only=True, eq=False)
class StoredCertificate:
    """What a certificate file says; nothing in it is believed before `recheck`."""

    rate: float  # lambda
    norm: dict[str, Any]  # as written by `Norm.to_dict`
    iterate: int  # number of steps
    method: str  # which inequality proves it
    multipliers: tuple[float, ...]  # q of the matrix inequality, else empty
    source: dict[str, Any] | None  # the claim of one step that it was converted from, if any
    growth: float | None  # q, where all products of j steps have norm at most K q**j
    parts: tuple[dict[str, Any], ...]  # the claims of a stack's layers, if it was made of them
    domain: dict[str, Any] | None  # as written by `Domain.to_dict`; None: everywhere
    kind: str | None  # of the map: the name of its class; None in files of the first version
    parameters: dict[str, str]  # SHA-256 of each parameter
    activation: str  # its name, empty for a map whose activations are not to choose
    versions: dict[str, str]  # of the programs that wrote it


@shown
@final
@dataclass(frozen=True, kw_only=True)
class Recheck:
    """The answer of a check: whether every condition holds, else the first that does not."""

    accepted: bool
    failed: str = ""  # the name of the first failed condition
    reason: str = ""  # what was found there

    def __bool__(self) -> bool:
        return self.accepted


def hash_array(array: Any) -> str:
    """Return the SHA-256 of shape and values, little-endian doubles in row order."""
    values = np.ascontiguousarray(array, dtype="<f8")
    digest = hashlib.sha256(repr(values.shape).encode())
    digest.update(values.tobytes())
    return digest.hexdigest()


def hashes_of(recurrent: Map) -> dict[str, str]:
    """Return the SHA-256 of every parameter, by name."""
    return {name: hash_array(value) for name, value in sorted(recurrent.parameters.items())}


def activation_of(recurrent: Map) -> str:
    """Return the name of the activation, empty for a map whose activations are not to choose."""
    form = recurrent.affine()
    chosen = getattr(recurrent, "activation", None) if form is None else form.rho
    return chosen.name if isinstance(chosen, Activation) else ""


def read_claim(data: dict[str, Any], *, old: bool) -> dict[str, Any]:
    """Return the rate and what it rests on, converted but not checked."""
    evidence = data["evidence"]
    source = None if old else evidence["source"]
    return {
        "rate": float.fromhex(data["rate"]),
        "norm": dict(data["norm"]),
        "iterate": int(data["iterate"]),
        "method": str(evidence["method"]),
        "multipliers": tuple(float.fromhex(q) for q in evidence["multipliers"]),
        "source": None if source is None else dict(source),
        "growth": None if old or evidence.get("growth") is None else _rate_of(evidence["growth"]),
        # files of stacks only hold them
        "parts": () if old else tuple(dict(part) for part in evidence.get("parts", ())),
    }


def _rate_of(growth: Any) -> float:
    """Return q of a pair (K, q); K is not believed."""
    _, rate = growth
    return float.fromhex(rate)


class _RejectedError(Exception):
    """The first condition that failed, and what was found."""


def recheck(stored: StoredCertificate | StoredRefutation, recurrent: Map) -> Recheck:
    r"""Decide whether a stored certificate is true of a map, without a solver or a search.

    The conditions, in this order: ``map`` (its kind), ``activation``, ``parameters`` (hashes),
    ``iterate`` (a number of steps that can be checked), ``rate`` (0 <= rate < 1), ``domain`` (well
    formed, of the map's dimensions), ``invariance`` (the map does not leave it), ``norm`` (well
    formed, on the map's states), ``inequality``.

    The inequality is that of one step with the slopes that the units take on the domain: the
    incremental matrix inequality if there are multipliers, else the norm of diag(s) W; for a map
    that leaks alike in all units that of the map without leak; for another that is not in affine
    form that of ``Map.sectors`` or ``Map.terms``, the norm of ``Map.comparison``, what
    bounds of the gates give, or ``Map.state_lipschitz``.  Of several steps it is that of all
    products; or that of the one step which the certificate was converted from, and the conversion.
    Of a stack it is that of every layer on its part of the domain, and that of the weights.

    Of a refutation there are the first three, and ``refutation``: that the states and inputs in it
    prove what it says.

    Parameters
    ----------
    stored : StoredCertificate or StoredRefutation
    recurrent : Map

    Returns
    -------
    Recheck
        False with the first condition that fails.  ``invariance`` and ``inequality`` may fail
        within rounding of the truth; acceptance is a proof.
    """
    if not isinstance(stored, StoredCertificate | StoredRefutation):
        raise ValueError(
            f"received a {type(stored).__name__}, needed what theory.certify.load_certificate "
            "returns, then the map"
        )
    try:
        _check_map(stored, recurrent)
        if isinstance(stored, StoredRefutation):
            reason = why_not_refuted(stored.refutation, recurrent)
            return Recheck(
                accepted=not reason, failed="refutation" if reason else "", reason=reason
            )
        _check_numbers(stored)
        domain = _checked_domain(stored.domain, recurrent)
        _check_claim(stored, recurrent, domain)
    except _RejectedError as rejected:
        failed, reason = rejected.args
        return Recheck(accepted=False, failed=failed, reason=reason)
    return Recheck(accepted=True)


def _check_map(stored: StoredCertificate | StoredRefutation, recurrent: Map) -> None:
    form, kind = recurrent.affine(), type(recurrent).__name__
    if stored.kind not in (None, kind):
        raise _RejectedError("map", f"made for a {stored.kind}, the map is {recurrent!r}")
    if form is None and stored.kind is None:
        raise _RejectedError("map", f"{recurrent!r} has no affine form")
    activation = activation_of(recurrent)
    if stored.activation != activation:
        raise _RejectedError(
            "activation", f"made for {stored.activation!r}, the map has {activation!r}"
        )
    hashes = hashes_of(recurrent)
    parameters = _renamed(stored.parameters, hashes)
    if parameters != hashes:
        wrong = sorted(
            name for name in {*hashes, *parameters} if hashes.get(name) != parameters.get(name)
        )
        raise _RejectedError(
            "parameters", f"the SHA-256 of {', '.join(wrong)} is not the stored one"
        )


def _renamed(stored: dict[str, str], known: dict[str, str]) -> dict[str, str]:
    """Return the parameters under the names of today; those of a LinearMap were A, B and bias."""
    renamed: dict[str, str] = {}
    for name, value in stored.items():
        layer, dot, last = name.rpartition(".")
        new = f"{layer}{dot}{OLD_NAMES.get(last, last)}"
        renamed[new if name not in known and new in known and new not in stored else name] = value
    return renamed


def _check_numbers(stored: StoredCertificate) -> None:
    if stored.iterate < 1 or (stored.source is None and stored.iterate > MOST_STEPS):
        raise _RejectedError("iterate", f"{stored.iterate} steps, needed 1 .. {MOST_STEPS}")
    if not (math.isfinite(stored.rate) and 0 <= stored.rate < 1):
        raise _RejectedError("rate", f"rate={stored.rate!r}, needed 0 <= rate < 1")


def _checked_domain(data: dict[str, Any] | None, recurrent: Map) -> Domain | None:
    if data is None:
        return None
    try:
        domain = domain_from_dict(data)
    except ValueError as error:
        raise _RejectedError("domain", str(error)) from None
    if (domain.state_dim, domain.input_dim) != (recurrent.state_dim, recurrent.input_dim):
        reason = f"{domain.state_dim} states and {domain.input_dim} inputs"
        raise _RejectedError("domain", f"{reason}, the map is {recurrent!r}")
    if not holds_on(recurrent, domain):
        raise _RejectedError("invariance", f"the map is not proved to stay in {domain}")
    return domain


def _check_claim(stored: StoredCertificate, recurrent: Map, domain: Domain | None) -> None:
    """Check the norm and the inequality."""
    form = recurrent.affine_on(domain)
    try:
        if stored.source is not None:
            _check_conversion(stored, recurrent, domain)
            return
        if stored.parts:
            _check_layers(stored, recurrent, domain)
            return
        if stored.multipliers:
            if stored.iterate != 1:
                raise ValueError("multipliers are for one step")
            if form is None and stored.method == "sectors":
                bound = _by_sectors(stored, recurrent, domain)
            elif form is None:
                bound = _by_terms(stored, recurrent, domain)
            else:
                bound = _by_matrix_inequality(stored, form)
        else:
            norm = norm_from_dict(stored.norm)
            norm.check_dim(recurrent.state_dim)
            if isinstance(recurrent, EchoStateNetwork) and stored.method.startswith("leak"):
                bound = _by_leak(stored, recurrent, domain)
            elif form is None:
                bound = _by_comparison(stored, norm, recurrent, domain)
            elif stored.growth is not None:
                bound = growth_upper(form.W, form.slopes, norm, stored.growth, stored.iterate)
            elif stored.iterate > 1:
                bound = product_upper(form.W, form.slopes, norm, stored.iterate)
            else:
                bound = _by_norm(norm, form)
    except UnsettledError as error:
        raise _RejectedError("inequality", str(error)) from None
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise _RejectedError("norm", str(error)) from None
    if not bound <= stored.rate:
        steps = "a step" if stored.iterate == 1 else f"{stored.iterate} steps"
        reason = f"{steps} proved to contract by {bound!r} only, needed {stored.rate!r}"
        raise _RejectedError("inequality", reason)


def _by_matrix_inequality(stored: StoredCertificate, form: Affine) -> float:
    """Return the rate if the incremental matrix inequality holds; P > 0 is part of it."""
    n = len(form.W)
    if stored.norm.get("name") != "WeightedL2":
        raise ValueError(f"multipliers with the norm {stored.norm.get('name')!r}")
    P = as_square("P", gram_from_dict(stored.norm))
    if len(P) != n or not np.array_equal(P, P.T):
        raise ValueError(f"P of shape {P.shape}, needed a symmetric ({n}, {n})")
    q = as_vector("multipliers", stored.multipliers, size=n)
    return stored.rate if rigor.lmi_holds(form.W, *form.slopes, P, q, stored.rate) else math.inf


def _by_terms(stored: StoredCertificate, recurrent: Map, domain: Domain | None) -> float:
    """Return the rate if weights and multipliers of the map's terms prove it."""
    if isinstance(recurrent, EchoStateNetwork) and len(stored.multipliers) == recurrent.state_dim:
        return _by_leak(stored, recurrent, domain)
    norm, terms = norm_from_dict(stored.norm), recurrent.terms(domain)
    if terms is None or not (isinstance(norm, WeightedL2) and norm.monotone):
        raise ValueError(f"multipliers of {recurrent!r} in {norm}, needed a diagonal WeightedL2")
    norm.check_dim(recurrent.state_dim)
    holds = multipliers_hold(terms, np.diag(norm.P), stored.multipliers, stored.rate)
    return stored.rate if holds else math.inf


def _by_sectors(stored: StoredCertificate, recurrent: Map, domain: Domain | None) -> float:
    """Return the rate if the matrix inequality of the map's sectors holds; P > 0 is part of it."""
    sectors = recurrent.sectors(domain)
    if sectors is None or stored.norm.get("name") != "WeightedL2":
        raise ValueError(f"sectors of {recurrent!r} with the norm {stored.norm.get('name')!r}")
    P = as_square("P", gram_from_dict(stored.norm))
    q = as_vector("multipliers", stored.multipliers, size=sectors.count)
    return stored.rate if sectors_hold(sectors, P, q, stored.rate) else math.inf


def _by_leak(stored: StoredCertificate, cell: EchoStateNetwork, domain: Domain | None) -> float:
    """Return the rate if that of the map without leak which it needs holds; or that of A."""
    form = cell.without_leak(domain)
    if cell.activation.name == "identity" and not stored.multipliers:
        norm = norm_from_dict(stored.norm)
        norm.check_dim(cell.state_dim)
        return linear_bound(cell, norm)
    if cell.one_leak is None:
        raise ValueError("the units leak by different rates, needed one leaking rate")
    inner = inner_rate(cell.one_leak, stored.rate)
    if not inner >= 0:
        return math.inf
    if stored.multipliers:
        bound = _by_matrix_inequality(replace(stored, rate=inner), form)
    else:
        norm = norm_from_dict(stored.norm)
        norm.check_dim(cell.state_dim)
        bound = _by_norm(norm, form)
    return stored.rate if bound <= inner else math.inf


def _by_norm(norm: Norm, form: Affine) -> float:
    """Bound |diag(s) W| in a monotone norm, or in any norm for equal slopes."""
    if not (norm.monotone or form.linear):
        raise _RejectedError(
            "inequality", f"the norm {norm} is not monotone, which needs multipliers"
        )
    return scaled_matrix_upper(norm, form.steepest, form.W)


def _by_comparison(
    stored: StoredCertificate, norm: Norm, recurrent: Map, domain: Domain | None
) -> float:
    """Bound the comparison matrices in a monotone norm, or what a step is known to move by."""
    if stored.iterate != 1:
        raise _RejectedError("iterate", f"{stored.iterate} steps of a map without affine form")
    known = {
        "transition": lambda: [recurrent.state_lipschitz(norm, domain)],
        "gate bounds": lambda: [_by_gate_bounds(norm, recurrent, domain)],
    }.get(stored.method, list)()
    matrices = recurrent.comparison(domain) if norm.monotone else None
    if matrices is not None:
        rows = norm.p == math.inf and not norm.blocks
        if rows and norm.coordinates(recurrent.state_dim).weights is not None:
            # a maximum over rows is one over the matrices too
            known.append(max(norm.matrix_upper(M) for M in matrices))
        else:
            known.append(norm.matrix_upper(np.maximum.reduce(matrices)))
    bounds = [bound for bound in known if bound is not None]
    if not bounds:
        raise _RejectedError(
            "inequality", f"no comparison matrix of {recurrent!r} in {norm} is known"
        )
    return min(bounds)


def _by_gate_bounds(norm: Norm, recurrent: Map, domain: Domain | None) -> float | None:
    """Bound a step by its gates over all their states; None where the domain has others."""
    if domain is None or not isinstance(recurrent, LSTM | GRU):
        return None
    if not isinstance(norm, Linf | WeightedLinf):
        return None
    bound = float(np.max(np.abs([domain.input_low, domain.input_high])))
    found = certify(recurrent, bound, norm.v if isinstance(norm, WeightedLinf) else None)
    if found is None or found.domain is None or not bool(np.all(domain.reach <= found.domain.high)):
        return None
    return found.lam


def _check_layers(stored: StoredCertificate, recurrent: Map, domain: Domain | None) -> None:
    """Check the contraction of every layer, what each sees of the one below, and the weights."""
    norm = norm_from_dict(stored.norm)
    norm.check_dim(recurrent.state_dim)
    if not (isinstance(recurrent, Cascade) and isinstance(norm, BlockMax)):
        raise _RejectedError("norm", f"claims of layers, but of {recurrent!r} in {norm}")
    if stored.iterate != 1 or stored.multipliers:
        raise _RejectedError("iterate", "claims of layers are for one step, without multipliers")
    below = [replace(stored, **read_claim(part, old=False)) for part in stored.parts]
    sizes = tuple(layer.state_dim for layer in recurrent.layers)
    own = [norm_from_dict(one.norm) for one in below]
    same = len(own) == len(norm.parts) and all(map(same_norm, own, norm.parts))
    if not same or sizes != norm.sizes:
        raise _RejectedError("norm", f"{norm} is not made of the norms of the layers' claims")
    where = layer_parts(recurrent, domain)
    gains = None if where is None else layer_gains(recurrent, norm.parts, where)
    if where is None or gains is None or not all(map(math.isfinite, gains)):
        raise _RejectedError("inequality", f"no gain between the layers of {recurrent!r} is known")
    for one, layer, part in zip(below, recurrent.layers, where, strict=True):
        if one.source is not None or one.iterate != 1:
            raise _RejectedError("iterate", "a layer's contraction is not one of a single step")
        _check_numbers(one)
        _check_claim(one, layer, part)
    rates = [one.rate for one in below]
    bound = max(layer_rates_of(rates, gains, norm.weights.tolist()))
    if not bound <= stored.rate:
        reason = f"the layers together contract by {bound!r} only, needed {stored.rate!r}"
        raise _RejectedError("inequality", reason)


def _check_conversion(stored: StoredCertificate, recurrent: Map, domain: Domain | None) -> None:
    """Check the contraction of one step in another norm, and K rate**r."""
    assert stored.source is not None
    below = replace(stored, **read_claim(stored.source, old=False))
    if below.source is not None or below.iterate != 1:
        raise _RejectedError(
            "iterate", "converted from a contraction that is not one of a single step"
        )
    _check_numbers(below)
    _check_claim(below, recurrent, domain)
    norm, other = norm_from_dict(stored.norm), norm_from_dict(below.norm)
    n = recurrent.state_dim
    bound = evaluate(
        converted,
        lam=below.rate,
        k=stored.iterate,
        past=1.0,
        outer=over(norm, other, n=n),
        inner=over(other, norm, n=n),
    )
    if not bound <= stored.rate:
        reason = f"K rate**{stored.iterate} <= {bound!r}, needed at most {stored.rate!r}"
        raise _RejectedError("inequality", reason)
