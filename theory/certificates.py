r"""Contraction and its evidence: a value, nothing more.

Main names: `Contraction`, `Evidence`, `certified`, `check_one_step`, `drive_size`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, final

from theory.arithmetic.rounding import product_up, up
from theory.domain import Domain
from theory.errors import check_count, check_nonnegative, check_rate
from theory.inputs import Drive
from theory.norms.norm import check_norm
from theory.norms.norms import L2, Norm, same_norm
from theory.shown import shown
from theory.typing import Array


@shown
@final
@dataclass(frozen=True, kw_only=True)
class Evidence:
    """How a contraction factor is known."""

    kind: str  # "certified" (made by `certified`, which says what that takes) or "assumed"
    method: str  # the criterion's name, or "by hand"
    detail: str = ""  # one sentence for the report
    multipliers: tuple[float, ...] = ()  # q of a matrix inequality, else empty
    source: Contraction | None = None  # the one-step contraction it was converted from, if any
    #: (K, q), where j steps together are proved to stretch by at most K q**j, for every j
    growth: tuple[float, float] | None = field(default=None, repr=False)
    parts: tuple[Contraction, ...] = ()  # of the layers of a stack that it was made of, else empty

    def __post_init__(self) -> None:
        if self.kind not in {"certified", "assumed"}:
            raise ValueError(f"evidence kind {self.kind!r}, needed 'certified' or 'assumed'")

    @property
    def is_certified(self) -> bool:
        """Return whether the factor is proved."""
        return self.kind == "certified"

    def __str__(self) -> str:
        return f"{self.kind} ({self.method})"


@shown
@final
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Contraction:
    r"""The statement ||step^r(h) - step^r(g)|| <= lam ||h - g||, same inputs on both sides.

    It is made of all states h, g and all inputs, or of those of a domain whose box of states is
    forward invariant: bounds that rest on it then hold for starts and inputs in the domain.

    It cannot exist with lam >= 1, so whatever asks for this type need not check again.

    Examples
    --------
    >>> Contraction.assumed(0.9)
    Contraction(lam=0.9, norm=L2, iterate=1, evidence=assumed (by hand))
    """

    lam: float  # lambda, 0 <= lam < 1
    norm: Norm  # the norm in which it holds
    iterate: int = 1  # r, the number of steps after which it holds
    evidence: Evidence = field(default_factory=lambda: Evidence(kind="assumed", method="by hand"))
    domain: Domain | None = None  # where it holds; None: everywhere

    def __post_init__(self) -> None:
        check_rate(self.lam)
        check_count(at_least=1, iterate=self.iterate)
        check_norm(self.norm)
        if self.domain is not None:
            if not isinstance(self.domain, Domain):
                raise ValueError(f"domain={self.domain!r}, needed a theory.Domain or None")
            if not self.domain.start:
                raise ValueError("the domain is a box on the way, needed one to start in")
            self.norm.check_dim(self.domain.state_dim)
        object.__setattr__(self, "lam", float(self.lam))

    @classmethod
    def assumed(
        cls,
        lam: float,
        norm: Norm | None = None,
        *,
        iterate: int = 1,
        domain: Domain | None = None,
        method: str = "by hand",
        detail: str = "",
        source: Contraction | None = None,
        parts: tuple[Contraction, ...] = (),
    ) -> Contraction:
        """Return a contraction that nobody has proved; every report repeats the word assumed."""
        return cls(
            lam=lam,
            norm=L2() if norm is None else norm,
            iterate=iterate,
            evidence=Evidence(
                kind="assumed", method=method, detail=detail, source=source, parts=parts
            ),
            domain=domain,
        )

    def described(self, *, method: str | None = None, detail: str | None = None) -> Contraction:
        """Return the same contraction, its evidence in other words; whether it is proved stays."""
        evidence = replace(
            self.evidence,
            method=self.evidence.method if method is None else method,
            detail=self.evidence.detail if detail is None else detail,
        )
        return replace(self, evidence=evidence)

    def holds_for(self, states: Any, inputs: Any) -> bool:
        """Return whether all these states (..., n) and inputs (..., m) lie where it holds."""
        return self.domain is None or (
            self.domain.contains_states(states) and self.domain.contains_inputs(inputs)
        )

    def shares_domain(self, other: Contraction) -> bool:
        """Return whether another contraction holds on the same domain."""
        if self.domain is None:
            return other.domain is None
        return self.domain.same_as(other.domain)

    def drive_of_reach(self, reach: Array) -> float:
        r"""Return a drive C that makes C lam**k / (1 - lam) a bound while |h| <= reach entrywise.

        The gap is at most lam**k ||h_{t-k}||, so C = (1 - lam) max ||h|| does; rounded up.
        """
        return product_up(up(1.0 - self.lam), self.norm.majorant(reach))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready description; the factor as a hexadecimal float, hence exact."""
        multipliers, source = self.evidence.multipliers, self.evidence.source
        growth = self.evidence.growth
        parts = self.evidence.parts
        return {
            "lam": self.lam.hex(),
            "norm": self.norm.to_dict(),
            "iterate": self.iterate,
            **({} if self.domain is None else {"domain": self.domain.to_dict()}),
            "evidence": {
                "kind": self.evidence.kind,
                "method": self.evidence.method,
                "detail": self.evidence.detail,
                **({"multipliers": [q.hex() for q in multipliers]} if multipliers else {}),
                **({} if source is None else {"source": source.to_dict()}),
                **({} if growth is None else {"growth": [x.hex() for x in growth]}),
                **({"parts": [c.to_dict() for c in parts]} if parts else {}),
            },
        }

    def __repr__(self) -> str:
        return (
            f"Contraction(lam={self.lam!r}, norm={self.norm}, iterate={self.iterate}, "
            f"evidence={self.evidence}"
            + ("" if self.domain is None else f", domain={self.domain}")
            + ")"
        )


def certified(
    lam: float,
    norm: Norm,
    *,
    method: str,
    detail: str = "",
    iterate: int = 1,
    domain: Domain | None = None,
    multipliers: tuple[float, ...] = (),
    source: Contraction | None = None,
    growth: tuple[float, float] | None = None,
    parts: tuple[Contraction, ...] = (),
) -> Contraction | None:
    r"""Return a contraction that is proved: the one door through which every certificate comes.

    Whoever calls has proved, rounding included,

        norm(step^iterate(h) - step^iterate(g)) <= lam norm(h - g)

    for the exact map of the stored doubles, same inputs on both sides, and all states and inputs or
    those of a domain whose box of states the map never leaves.  `lam` and what it is made of are
    upper bounds, none of them sampled or estimated; what a search or a solver returned entered as a
    candidate only.  `source` and `parts` are certified themselves.

    What such proofs rest on, beside IEEE 754 arithmetic and the theorem itself, is the trusted base
    (a test compares this list with what the callers import):

        theory.arithmetic.rounding     the model of arithmetic; sums, products, formulas upward
        theory.arithmetic.rigor        decides inequalities between matrices
        theory.arithmetic.gram         decides inequalities of weighted Gram matrices
        theory.arithmetic.sums         row sums and lengths upward
        theory.arithmetic.activations  slopes and ranges, and what computed values err by
        theory.arithmetic.intervals    boxes through affine maps and activations
        theory.arithmetic.gates        bounds of gates over a box
        theory.arithmetic.hard         gates that are piecewise linear, beside the logistic one
        theory.arithmetic.zonotopes    sets whose coordinates share symbols
        theory.arithmetic.relaxations  activations of such sets
        theory.norms.norm              what a norm is, and what follows from its coordinates
        theory.norms.norms             induced norms, and the constants between norms
        theory.norms.blocks            the same of maxima over blocks
        theory.norms.enclosed          matrices with bounds of their errors, and their powers
        theory.norms.products          norms of the products of several steps
        theory.theorems.terms          the terms of a gated step, and what multipliers prove
        theory.theorems.sectors        the same with signs, and what a full matrix proves
        theory.inputs                  which inputs a box or a ball holds
        theory.domain                  which states and inputs a domain holds
        theory.maps                    what a map says of itself: slopes, comparison matrices, boxes
        theory.sources                 hidden Markov models, and how far their transitions spread

    Parameters
    ----------
    lam : float
    norm : Norm
    method, detail : str
        The criterion's name, and one sentence for the report.
    iterate : int
    domain : Domain, optional
        Where it holds; everywhere by default.
    multipliers, source, parts, growth
        As in `Evidence`.

    Returns
    -------
    Contraction or None
        None unless lam < 1, so of NaN too.

    Raises
    ------
    ValueError
        If the factor is negative, the number of steps is not one, the norm is not one of the
        domain's states, or the source or a part is only assumed.

    Examples
    --------
    >>> found = certified(0.9, L2(), method="spectral norm")
    >>> found.lam, str(found.evidence)
    (0.9, 'certified (spectral norm)')
    >>> certified(1.0, L2(), method="spectral norm") is None
    True
    """
    for known in (*parts, *(() if source is None else (source,))):
        if known.evidence.is_certified:
            continue
        raise ValueError(
            f"source={known!r}, needed a certified contraction; what rests on an assumed one is "
            "assumed: Contraction.assumed"
        )
    if not lam < 1:
        return None
    evidence = Evidence(
        kind="certified",
        method=method,
        detail=detail,
        multipliers=multipliers,
        source=source,
        growth=growth,
        parts=parts,
    )
    return Contraction(lam=lam, norm=norm, iterate=iterate, evidence=evidence, domain=domain)


def check_contraction_given(c: Contraction) -> None:
    """Raise unless it is a contraction, of one step or several."""
    if not isinstance(c, Contraction):
        raise ValueError(
            f"received {c!r}, needed a Contraction; theory.contraction(map) looks for one and "
            "answers None when it finds none; theory.Contraction.assumed(lam, norm) says it by hand"
        )


def check_one_step(c: Contraction) -> None:
    """Raise unless the contraction is one of a single step."""
    check_contraction_given(c)
    if c.iterate != 1:
        raise ValueError(
            f"the contraction is one of {c.iterate} steps together, this bound needs a contraction "
            "of every single step; theory.theorems.state_gap_blocks and "
            "theory.theorems.state_gap_iterate do not"
        )


def drive_size(c: Contraction, drive: float | Drive) -> float:
    """Return the size of a drive that a bound made of a contraction may use.

    A bound chains the two: |step(h) - step(g)| <= lam |h - g| and |step(0, x)| <= drive, in one
    norm and for inputs for which both hold.  It is then true for the inputs of the drive.  A bare
    number is taken on the user's word.

    Raises
    ------
    ValueError
        If the drive is in another norm, or for inputs that are not proved to lie in the
        contraction's domain, or the number is negative.
    """
    if not isinstance(drive, Drive):
        check_nonnegative(drive=drive)
        return drive
    if not same_norm(drive.norm, c.norm):
        raise ValueError(
            f"the drive is measured in {drive.norm} and the contraction is one in {c.norm}, needed "
            "one norm; take map.drive(c.norm, inputs=...)"
        )
    if c.domain is not None and not drive.inputs.within(c.domain.inputs, c.domain.input_dim):
        raise ValueError(
            f"the drive is for {drive.inputs}, but the contraction holds for {c.domain.inputs} "
            "only, needed inputs of its domain; take map.drive(c.norm, inputs=c.domain.inputs), or "
            "a contraction for the inputs of the drive"
        )
    check_nonnegative(drive=drive.size)
    return drive.size
