r"""Certificates as files: written once, checked again by anybody without a solver or a search.

Main names: `save_certificate`, `save_refutation`, `load_certificate`.

A file is JSON.  Floats are hexadecimal text, hence exact; the parameters of the map are named by
their SHA-256.  Reading it needs no solver and no search: the stated inequality is true or not.
"""

from __future__ import annotations

import json
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from theory.arithmetic.rounding import up
from theory.certificates import Contraction, check_contraction_given
from theory.certify.recheck import (
    Recheck,
    StoredCertificate,
    activation_of,
    hashes_of,
    read_claim,
    recheck,
)
from theory.certify.refutation_file import (
    StoredRefutation,
    refutation_from_dict,
    refutation_to_dict,
    why_not_refuted,
)
from theory.certify.refute import Refutation
from theory.domain import Domain
from theory.maps.base import Map, check_map
from theory.version import __version__

#: What the first line of a file says; the number grows with every incompatible change.
FORMAT = "stable-recurrent-models certificate, version 2"

#: Files of the version before, which are read too: one step, everywhere, maps in affine form.
OLD_FORMAT = "stable-recurrent-models certificate, version 1"

#: Of an answer without a certificate: that a map is refuted, which can be checked, or unknown.
ANSWER = "stable-recurrent-models answer, version 1"

#: A stored rate is larger than the certified one by this, relatively, if that leaves it below 1:
#: sums taken in another order on another machine differ by far less (n 2**-53), and must not
#: reject it.  The same goes for the ends of a box.
PORTABLE = 2.0**-40


def _versions() -> dict[str, str]:

    return {
        "theory": __version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def certificate_to_dict(recurrent: Map, c: Contraction) -> dict[str, Any]:
    """Return the JSON-ready certificate of a map, which `recheck` accepts.

    The rate, and the box of a domain where that leaves it invariant, are stored a little larger
    than they are known, see `PORTABLE`.

    Raises
    ------
    ValueError
        If the contraction is assumed rather than certified, or cannot be verified again.
    """
    if not c.evidence.is_certified:
        raise ValueError(
            f"the contraction is {c.evidence}, needed a certified one; theory.contraction(map) "
            "looks for one"
        )
    answer = Recheck(accepted=False)
    for domain in (None,) if c.domain is None else (_enlarged(c.domain), c.domain):
        data = {
            "format": FORMAT,
            **_claim(c),
            "domain": None if domain is None else domain.to_dict(),
            "map": _described(recurrent),
            "versions": _versions(),
        }
        answer = recheck(certificate_from_dict(data), recurrent)
        if answer:
            return data
    raise ValueError(
        f"received {c!r} of {recurrent!r}, which cannot be verified again: {answer.failed}: "
        f"{answer.reason}"
    )


def _claim(c: Contraction, slack: float = PORTABLE) -> dict[str, Any]:
    """Return what is claimed and why: rate, norm, iterate, evidence."""
    rate = up(c.lam * (1 + slack)) if c.lam > 0 else 0.0
    source, parts, growth = c.evidence.source, c.evidence.parts, c.evidence.growth
    return {
        "rate": (rate if rate < 1 else c.lam).hex(),
        "rate_decimal": repr(rate if rate < 1 else c.lam),
        "iterate": c.iterate,
        "norm": c.norm.to_dict(),
        "evidence": {
            "method": c.evidence.method,
            "detail": c.evidence.detail,
            "multipliers": [q.hex() for q in c.evidence.multipliers],
            **({} if growth is None else {"growth": [x.hex() for x in growth]}),
            # r steps of an enlarged rate must be within the enlarged rate of all together
            "source": None if source is None else _claim(source, slack / (2 * c.iterate)),
            # and so must the layers of a stack
            **({"parts": [_claim(part, slack / 4) for part in parts]} if parts else {}),
        },
    }


def _enlarged(domain: Domain) -> Domain:
    if domain.reached is not None:
        return domain  # its ranges were widened by more when they were found
    low, high = (np.nextafter(x * (1 + PORTABLE), 2 * x) for x in (domain.low, domain.high))
    return replace(domain, low=low, high=high)


def _described(recurrent: Map) -> dict[str, Any]:
    return {
        "kind": type(recurrent).__name__,
        "activation": activation_of(recurrent),
        "state_dim": recurrent.state_dim,
        "input_dim": recurrent.input_dim,
        "sha256": hashes_of(recurrent),
    }


def save_certificate(path: str | Path, recurrent: Map, *, c: Contraction) -> None:
    """Write the certificate of a map.

    Parameters
    ----------
    path : str or Path
    recurrent : Map
    c : Contraction
        Certified; of one step or several, everywhere or on a domain.

    Raises
    ------
    ValueError
        If the contraction is assumed, or cannot be verified again from the file alone.
    """
    check_map(recurrent)
    check_contraction_given(c)
    text = json.dumps(certificate_to_dict(recurrent, c), indent=1)
    Path(path).write_text(text + "\n", encoding="utf-8")


def answer_to_dict(recurrent: Map, refutation: Refutation | None, **more: Any) -> dict[str, Any]:
    """Return the JSON-ready answer where there is no certificate: refuted, with its proof, or not.

    Raises
    ------
    ValueError
        If the refutation is none of this map.
    """
    if refutation is not None:
        reason = why_not_refuted(refutation, recurrent)
        if reason:
            raise ValueError(f"received a refutation that does not hold of {recurrent!r}: {reason}")
    return {
        "format": ANSWER,
        "answer": "unknown" if refutation is None else "refuted",
        "refutation": None if refutation is None else refutation_to_dict(refutation),
        "map": _described(recurrent),
        "versions": _versions(),
        **more,
    }


def save_refutation(path: str | Path, recurrent: Map, *, refutation: Refutation) -> None:
    """Write the refutation of a map, which `load_certificate` reads and `recheck` proves again.

    Parameters
    ----------
    path : str or Path
    recurrent : Map
    refutation : Refutation
        What `theory.refute` found.

    Raises
    ------
    ValueError
        If it is no refutation, or none of this map.
    """
    check_map(recurrent)
    if not isinstance(refutation, Refutation):
        raise ValueError(
            f"refutation={refutation!r}, needed a Refutation; theory.refute(map) looks for one and "
            "answers None when it finds none"
        )
    text = json.dumps(answer_to_dict(recurrent, refutation), indent=1)
    Path(path).write_text(text + "\n", encoding="utf-8")


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not a number that a certificate may hold")


def load_certificate(path: str | Path) -> StoredCertificate | StoredRefutation:
    """Read a certificate file; what it says is not believed before `recheck`.

    Parameters
    ----------
    path : path
        A file that `save_certificate` or `save_refutation` wrote.

    Raises
    ------
    ValueError
        If the file cannot be read, or is not a certificate of a known version; the message names
        what is missing.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
    try:
        # some programs begin a text with a mark of its encoding
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(
            f"{path} is not a certificate: it is no text, needed a file that `theory certify "
            "--json` wrote; were certificate and weights exchanged?"
        ) from None
    try:
        try:
            data = json.loads(text, parse_constant=_refuse_constant)
        except RecursionError:
            raise ValueError("its lists are nested too deeply") from None
        if isinstance(data, dict) and data.get("format") == ANSWER and data.get("refutation"):
            return _refutation_of(data)
        if isinstance(data, dict) and data.get("format") == ANSWER:
            raise ValueError("its answer is unknown, so that there is nothing to check")
        return certificate_from_dict(data)
    except ValueError as error:
        told = str(error).removeprefix("not a certificate: ")
        raise ValueError(f"{path} is not a certificate: {told}") from None


def _refutation_of(data: dict[str, Any]) -> StoredRefutation:
    try:
        return StoredRefutation(
            refutation=refutation_from_dict(data["refutation"]),
            kind=str(data["map"]["kind"]),
            parameters={str(k): str(v) for k, v in data["map"]["sha256"].items()},
            activation=str(data["map"]["activation"]),
            versions={str(k): str(v) for k, v in data["versions"].items()},
            beyond=data["answer"] != "refuted",
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ValueError(f"not a certificate: {type(error).__name__} at {error}") from None


def certificate_from_dict(data: Any) -> StoredCertificate:
    """Read back what `certificate_to_dict` returned, of this version or the one before.

    Raises
    ------
    ValueError
        If a field is missing or not of its kind.
    """
    if not isinstance(data, dict) or data.get("format") not in (FORMAT, OLD_FORMAT):
        found = data.get("format") if isinstance(data, dict) else type(data).__name__
        raise ValueError(f"the format is {found!r}, needed {FORMAT!r} or {OLD_FORMAT!r}")
    old = data["format"] == OLD_FORMAT
    try:
        return StoredCertificate(
            **read_claim(data, old=old),
            domain=None if old or data["domain"] is None else dict(data["domain"]),
            kind=None if old else str(data["map"]["kind"]),
            parameters={str(k): str(v) for k, v in data["map"]["sha256"].items()},
            activation=str(data["map"]["activation"]),
            versions={str(k): str(v) for k, v in data["versions"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ValueError(f"not a certificate: {type(error).__name__} at {error}") from None
