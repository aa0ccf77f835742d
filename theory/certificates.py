r"""Contraction and its evidence: a value, nothing more.

Main names: `Contraction`, `Evidence`, `check_one_step`, `drive_size`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, final

from theory.arithmetic.rounding import product_up, up
from theory.domain import Domain
from theory.errors import check_count, check_nonnegative, check_rate
from theory.inputs import Drive
from theory.norms.norms import L2, Norm, same_norm
from theory.typing import Array


@final
@dataclass(frozen=True, kw_only=True)
class Evidence:
    """How a contraction factor is known."""

    kind: str  # "certified" (accepted by theory.arithmetic.rigor) or "assumed" (typed by hand)
    method: str  # the criterion's name, or "by hand"
    detail: str = ""  # one sentence for the report
    multipliers: tuple[float, ...] = ()  # q of an incremental matrix inequality, else empty
    source: Contraction | None = None  # the one-step contraction it was converted from, if any

    def __post_init__(self) -> None:
        if self.kind not in {"certified", "assumed"}:
            raise ValueError(f"evidence kind {self.kind!r}, needed 'certified' or 'assumed'")

    def __str__(self) -> str:
        return f"{self.kind} ({self.method})"


@final
@dataclass(frozen=True, kw_only=True, eq=False)
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
        if not isinstance(self.norm, Norm):
            raise ValueError(f"norm={self.norm!r}, needed a norm such as theory.L2()")
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
    ) -> Contraction:
        """Return a contraction that nobody has proved; every report repeats the word assumed."""
        return cls(lam=lam, norm=L2() if norm is None else norm, iterate=iterate, domain=domain)

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
            },
        }

    def __repr__(self) -> str:
        return (
            f"Contraction(lam={self.lam!r}, norm={self.norm}, iterate={self.iterate}, "
            f"evidence={self.evidence}"
            + ("" if self.domain is None else f", domain={self.domain}")
            + ")"
        )


def check_contraction_given(c: Contraction) -> None:
    """Raise unless it is a contraction, of one step or several."""
    if not isinstance(c, Contraction):
        raise ValueError(
            f"received {c!r}, needed a Contraction; theory.contraction(map) looks for one and "
            "answers None when it finds none"
        )


def check_one_step(c: Contraction) -> None:
    """Raise unless the contraction is one of a single step."""
    check_contraction_given(c)
    if c.iterate != 1:
        raise ValueError(
            f"the contraction is one of {c.iterate} steps together, this bound needs a contraction "
            "of every single step; theory.state_gap_blocks and theory.state_gap_iterate do not"
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
