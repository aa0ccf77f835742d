r"""Certificates as files: written once, checked again by anybody with `theory.rigor` alone.

Main names: `save_certificate`, `load_certificate`, `recheck`, `StoredCertificate`, `Recheck`.

A file is JSON.  Floats are hexadecimal text, hence exact; the parameters of the map are named by
their SHA-256.  Reading it needs no solver and no search: the stated inequality is true or not.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from theory import rigor
from theory.certificates import Contraction
from theory.errors import as_square, as_vector
from theory.maps.base import Map
from theory.norms import Norm, norm_from_dict
from theory.rounding import product_up, up
from theory.typing import Array

#: What the first line of a file says; the number grows with every incompatible change.
FORMAT = "stable-recurrent-models certificate, version 1"

#: A stored rate is larger than the certified one by this, relatively, if that leaves it below 1:
#: sums taken in another order on another machine differ by far less (n 2**-53), and must not
#: reject it.
PORTABLE = 2.0**-40


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class StoredCertificate:
    """What a certificate file says; nothing in it is believed before `recheck`."""

    rate: float  # lambda
    norm: dict[str, Any]  # as written by `Norm.to_dict`
    iterate: int  # number of steps
    method: str  # which inequality proves it
    multipliers: tuple[float, ...]  # q of the matrix inequality, else empty
    parameters: dict[str, str]  # SHA-256 of each parameter
    activation: str  # its name
    versions: dict[str, str]  # of the programs that wrote it


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


def _hashes(recurrent: Map) -> dict[str, str]:
    return {name: hash_array(value) for name, value in sorted(recurrent.parameters.items())}


def _versions() -> dict[str, str]:
    from theory import __version__

    return {
        "theory": __version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def certificate_to_dict(recurrent: Map, c: Contraction) -> dict[str, Any]:
    """Return the JSON-ready certificate of a map.

    Raises
    ------
    ValueError
        If the contraction is assumed rather than certified, is one of several steps, or the map is
        not in affine form.
    """
    if c.evidence.kind != "certified":
        raise ValueError(
            f"the contraction is {c.evidence}, needed a certified one; theory.contraction(map) "
            "looks for one"
        )
    form = recurrent.affine()
    if c.domain is not None:
        raise ValueError(f"the contraction holds on {c.domain} only; such a one cannot be stored")
    if form is None or c.iterate != 1:
        raise ValueError(
            f"received a contraction of {c.iterate} step(s) of {recurrent!r}; only one-step "
            "certificates of maps rho(W h + U x + b) can be stored"
        )
    rate = up(c.lam * (1 + PORTABLE)) if c.lam > 0 else 0.0
    return {
        "format": FORMAT,
        "rate": (rate if rate < 1 else c.lam).hex(),
        "rate_decimal": repr(rate if rate < 1 else c.lam),
        "iterate": c.iterate,
        "norm": c.norm.to_dict(),
        "evidence": {
            "method": c.evidence.method,
            "detail": c.evidence.detail,
            "multipliers": [q.hex() for q in c.evidence.multipliers],
        },
        "map": {
            "activation": form.rho.name,
            "state_dim": recurrent.state_dim,
            "input_dim": recurrent.input_dim,
            "sha256": _hashes(recurrent),
        },
        "versions": _versions(),
    }


def save_certificate(path: str | Path, recurrent: Map, c: Contraction) -> None:
    """Write the certificate of a map.

    Parameters
    ----------
    path : str or Path
    recurrent : Map
    c : Contraction
        Certified, of one step.

    Raises
    ------
    ValueError
        If the contraction is not of that kind.
    """
    text = json.dumps(certificate_to_dict(recurrent, c), indent=1)
    Path(path).write_text(text + "\n", encoding="utf-8")


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not a number that a certificate may hold")


def load_certificate(path: str | Path) -> StoredCertificate:
    """Read a certificate file; what it says is not believed before `recheck`.

    Parameters
    ----------
    path : path
        A file that `save_certificate` wrote.

    Raises
    ------
    ValueError
        If the file is not a certificate of a known version; the message names what is missing.
    """
    text = Path(path).read_text(encoding="utf-8")
    try:
        data = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise ValueError(f"{path} is not a certificate: {error}") from None
    return certificate_from_dict(data)


def certificate_from_dict(data: Any) -> StoredCertificate:
    """Read back what `certificate_to_dict` returned.

    Raises
    ------
    ValueError
        If a field is missing or not of its kind.
    """
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        found = data.get("format") if isinstance(data, dict) else type(data).__name__
        raise ValueError(f"the format is {found!r}, needed {FORMAT!r}")
    try:
        return StoredCertificate(
            rate=float.fromhex(data["rate"]),
            norm=dict(data["norm"]),
            iterate=int(data["iterate"]),
            method=str(data["evidence"]["method"]),
            multipliers=tuple(float.fromhex(q) for q in data["evidence"]["multipliers"]),
            parameters={str(k): str(v) for k, v in data["map"]["sha256"].items()},
            activation=str(data["map"]["activation"]),
            versions={str(k): str(v) for k, v in data["versions"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ValueError(f"not a certificate: {type(error).__name__} at {error}") from None


def recheck(stored: StoredCertificate, recurrent: Map) -> Recheck:
    r"""Decide whether a stored certificate is true of a map, with `theory.rigor` alone.

    The conditions, in this order: ``map`` (affine form), ``activation``, ``parameters`` (hashes),
    ``iterate`` (one step), ``rate`` (0 <= rate < 1), ``norm`` (well formed, on the map's states),
    ``inequality``.

    Parameters
    ----------
    stored : StoredCertificate
    recurrent : Map

    Returns
    -------
    Recheck
        False with the first condition that fails.  ``inequality`` may fail within rounding of the
        truth; acceptance is a proof.
    """
    form = recurrent.affine()
    if form is None:
        return Recheck(accepted=False, failed="map", reason=f"{recurrent!r} has no affine form")
    if stored.activation != form.rho.name:
        reason = f"made for {stored.activation!r}, the map has {form.rho.name!r}"
        return Recheck(accepted=False, failed="activation", reason=reason)
    hashes = _hashes(recurrent)
    if stored.parameters != hashes:
        wrong = sorted(
            name
            for name in {*hashes, *stored.parameters}
            if hashes.get(name) != stored.parameters.get(name)
        )
        reason = f"the SHA-256 of {', '.join(wrong)} is not the stored one"
        return Recheck(accepted=False, failed="parameters", reason=reason)
    if stored.iterate != 1:
        reason = f"{stored.iterate} steps, needed 1"
        return Recheck(accepted=False, failed="iterate", reason=reason)
    if not (math.isfinite(stored.rate) and 0 <= stored.rate < 1):
        reason = f"rate={stored.rate!r}, needed 0 <= rate < 1"
        return Recheck(accepted=False, failed="rate", reason=reason)
    try:
        if stored.multipliers:
            return _matrix_inequality(stored, form.W, form.rho.slope)
        norm = norm_from_dict(stored.norm)
        norm.check_dim(len(form.W))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        return Recheck(accepted=False, failed="norm", reason=str(error))
    return _norm_inequality(stored, norm, form.W, form.rho.slope)


def _matrix_inequality(stored: StoredCertificate, W: Array, slope: tuple[float, float]) -> Recheck:
    """Decide the incremental matrix inequality; P > 0 is part of it."""
    n = len(W)
    if stored.norm.get("name") != "WeightedL2":
        raise ValueError(f"multipliers with the norm {stored.norm.get('name')!r}")
    P = as_square("P", [[float.fromhex(x) for x in row] for row in stored.norm["P"]])
    if len(P) != n or not np.array_equal(P, P.T):
        raise ValueError(f"P of shape {P.shape}, needed a symmetric ({n}, {n})")
    q = as_vector("multipliers", stored.multipliers, size=n)
    low, high = np.full(n, slope[0]), np.full(n, slope[1])
    if rigor.lmi_holds(W, low, high, P, q, stored.rate):
        return Recheck(accepted=True)
    reason = f"the matrix inequality is not proved at rate {stored.rate!r}"
    return Recheck(accepted=False, failed="inequality", reason=reason)


def _norm_inequality(
    stored: StoredCertificate, norm: Norm, W: Array, slope: tuple[float, float]
) -> Recheck:
    """Decide slope |W| <= rate in a monotone norm, or in any norm for a linear map."""
    if not norm.monotone and slope[0] != slope[1]:
        reason = f"the norm {norm} is not monotone, which needs multipliers"
        return Recheck(accepted=False, failed="inequality", reason=reason)
    bound = product_up(max(abs(slope[0]), abs(slope[1])), norm.matrix_upper(W))
    if bound <= stored.rate:
        return Recheck(accepted=True)
    reason = f"slope times |W| <= {bound!r}, needed at most {stored.rate!r}"
    return Recheck(accepted=False, failed="inequality", reason=reason)
