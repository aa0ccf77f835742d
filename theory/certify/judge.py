"""Is a map contractive?  Certified, refuted or unknown, with what shows it, or why not.

Main names: `judge_contraction`, `Judgement`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.arithmetic.rounding import ELEMENTARY_UNITS, UNIT, up
from theory.certificates import Contraction
from theory.certify.ascent import LowerBound
from theory.certify.cause import Cause, cause_of, place_of
from theory.certify.enclose import LARGEST, JointSpectralRadius
from theory.certify.growth import by_growth
from theory.certify.interface import contraction, domain_of, reached_at
from theory.certify.jsr import joint_spectral_radius, rate_lower
from theory.certify.refute import Refutation, refute, refuted_by
from theory.domain import Domain
from theory.inputs import as_inputs
from theory.maps.base import Map, check_map
from theory.shown import shown


@shown
@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Judgement:
    """The answer to "is this map contractive?"."""

    answer: str  # "certified", "refuted" or "unknown"
    contraction: Contraction | None = None  # the proof of contraction
    refutation: Refutation | None = None  # the proof of the contrary
    lower: LowerBound | None = None  # what no certificate can beat
    radius: JointSpectralRadius | None = None  # what the best of all norms could certify, if small
    cause: Cause | None = None  # of "unknown": which bound failed, by how much, and what to try

    def __str__(self) -> str:
        if self.contraction is not None:
            return f"certified: {self.contraction!r}"
        if self.refutation is not None:
            found = self.refutation
            meaning = "it never forgets" if found.never_forgets else "no norm contracts in one step"
            return f"refuted ({found.kind}): {found.detail}; {meaning}; {place_of(found)}"
        advice = "" if self.cause is None else f"; try {self.cause.advice[0]}"
        return f"unknown: {self.cause}{advice}"

    @property
    def gap(self) -> float:
        """Return the certified rate over the lower bound: 1 means that nothing can be gained."""
        if self.contraction is None or self.lower is None or not self.lower.rate > 0:
            return math.inf
        rate = self.contraction.lam
        if self.contraction.iterate > 1:  # the rate of one step
            rate = rate ** (1 / self.contraction.iterate) * (1 + 4 * ELEMENTARY_UNITS * UNIT)
        return up(rate / self.lower.rate)


def judge_contraction(
    recurrent: Map,
    *,
    inputs: Any = None,
    domain: Domain | None = None,
    sequences: Any = None,
    effort: int = 1,
    rng: np.random.Generator | None = None,
) -> Judgement:
    """Decide whether a map is contractive: certified, refuted, or unknown.

    Up to n = 10 the joint spectral radius is enclosed too, which says how much could be gained;
    where it is below 1, it is itself a certificate, of several steps together.

    Parameters
    ----------
    recurrent : Map
    inputs : Inputs, or (..., m) array, optional
        Ask about these inputs only, as in `theory.contraction` and `theory.refute`; all by default.
        The lower bound is then one by Jacobians on the box, and the joint spectral radius, which is
        about slopes met everywhere, is left out.  Where the box has no certificate, one of the
        states reached from zero comes before a refutation, which may be of others.
    domain, sequences
        As in `theory.refute`; a domain must be proved invariant.  Of the states reached from zero
        (`theory.certify.reached_domain`), of which only 0 is known to be one, nothing is refuted:
        the answer is certified or unknown, without a lower bound.
    effort : int
        As for `theory.contraction`.
    rng : numpy.random.Generator, optional
        For the searches; a fixed seed by default.

    Examples
    --------
    >>> from theory import VanillaRNN
    >>> judge_contraction(VanillaRNN([[0.0, 10.0], [-0.012, 1.1]], [[1.0], [1.0]])).answer
    'refuted'
    """
    check_map(recurrent)
    where = domain_of(recurrent, domain, inputs)
    found = contraction(recurrent, effort=effort, domain=where)
    if domain is not None and domain.reached is not None:
        if found is not None:
            return Judgement(answer="certified", contraction=found)
        cause = cause_of(recurrent, inputs=domain.inputs, effort=effort)
        return Judgement(answer="unknown", cause=cause)
    reached = None if found else reached_at(recurrent, inputs, effort, where, known=False)
    if reached is not None:
        found = contraction(recurrent, effort=effort, domain=reached)
        if found is not None:
            return Judgement(answer="certified", contraction=found)
    radius, lower, form = None, None, recurrent.affine()
    if (where is None or found is None) and recurrent.state_dim <= LARGEST:
        # the norm of a contraction found is where few products are needed
        radius = joint_spectral_radius(
            recurrent, norm=None if found is None else found.norm, rng=rng
        )
        if form is not None and radius is not None and (found is None or found.iterate > 1):
            pair = [c for c in (found, by_growth(form, radius.upper, radius.norm)) if c is not None]
            found = min(pair, key=lambda c: c.lam ** (1 / c.iterate), default=None)
    if where is not None:
        lower = rate_lower(recurrent, domain=where, sequences=sequences, rng=rng)
    else:
        lower = rate_lower(recurrent, rng=rng) if radius is None else radius.lower
    if found is not None:
        return Judgement(answer="certified", contraction=found, lower=lower, radius=radius)
    refutation = refute(recurrent, inputs=inputs, domain=domain, sequences=sequences, rng=rng)
    if refutation is None and (where is not None or sequences is None):
        # the two searches begin at other places, and the box holds more inputs than a ball
        other = refuted_by(recurrent, lower)
        meant = None if inputs is None else as_inputs(inputs, recurrent.input_dim)
        if other is not None and (meant is None or meant.contains(other.inputs)):
            refutation = other
    if refutation is not None:
        return Judgement(answer="refuted", refutation=refutation, lower=lower, radius=radius)
    cause = cause_of(recurrent, inputs=inputs, effort=effort)
    return Judgement(answer="unknown", lower=lower, radius=radius, cause=cause)
