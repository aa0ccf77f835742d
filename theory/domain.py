r"""Where a statement holds: a box of states under a box of inputs, or what is reached from zero.

Main names: `Domain`, `Reached`, `check_box`, `domain_from_dict`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.errors import as_vector, plain_array
from theory.inputs import Inputs, describe_states
from theory.shown import shown
from theory.typing import Array

_EMPTY = np.zeros(0)
_EMPTY.flags.writeable = False


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Reached:
    r"""What is known of the states that trajectories reach which start at zero, and from what.

    `theory.maps.reached` derives it and proves it again: every state of such a trajectory lies in
    the domain's low .. high, and the arguments of the gates of every step in `ranges`.  Those are
    numbers, whose difference quotients lie in between, whichever two times are compared.

    Of a stack there are the domains of its layers, and nothing else; of a layer that leaves every
    box, but contracts in a plain norm, that norm: its states lie in a ball, and so in the domain's
    box.
    """

    period: int = 0  # r: enclosures of r steps from the start lie in it
    order: int = 0  # columns of a zonotope, over its rows
    outer: tuple[Array, Array] = (_EMPTY, _EMPTY)  # a box that the map never leaves, (n,) each
    start: tuple[Array, Array] = (_EMPTY, _EMPTY)  # B_0, a box in it that holds 0
    ranges: tuple[Array, Array] = (_EMPTY, _EMPTY)  # of the arguments of all gates, (p,) each
    parts: tuple[Domain, ...] = ()  # of the layers of a stack, else empty
    ball: str = ""  # the name of a norm whose ball around 0 no state leaves, else empty

    def __post_init__(self) -> None:
        for name in ("outer", "start", "ranges"):
            ends = tuple(as_vector(name, end) for end in getattr(self, name))
            if len(ends) != 2 or ends[0].shape != ends[1].shape or not np.all(ends[0] <= ends[1]):
                raise ValueError(f"{name}={ends!r}, needed two ends of one length in order")
            object.__setattr__(self, name, ends)
        boxes = (*self.outer, *self.start, *self.ranges)
        if self.ball and (self.period or self.order or self.parts or any(map(np.size, boxes))):
            raise ValueError(f"ball={self.ball!r} beside other fields, needed the norm alone")

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready description, exact."""
        return {
            "period": self.period,
            "order": self.order,
            **{
                name: [[float(x).hex() for x in end] for end in getattr(self, name)]
                for name in ("outer", "start", "ranges")
            },
            "parts": [part.to_dict() for part in self.parts],
            **({"ball": self.ball} if self.ball else {}),
        }


@shown
@final
@dataclass(frozen=True, init=False, eq=False)
class Domain:
    r"""The states low <= h <= high under the inputs input_low <= x <= input_high.

    The box of states contains 0, where recurrent and truncated models start.  Whether it is forward
    invariant is decided by `theory.maps.invariance.is_invariant`; in a `Contraction` it is.

    With `reached` it is not a box that one may start in, but the states that are reached from zero
    under these inputs, which its box holds.  Of the recurrent model and of truncated ones, which
    all start at zero, that is enough; of any other state nothing is said.

    Parameters
    ----------
    low, high : (n,) arrays
        Ends of the states, finite, with low <= 0 <= high.
    input_low, input_high : (m,) arrays
        Ends of the inputs, -inf and inf allowed.
    start : bool
        Whether the box must hold 0.
    reached : Reached, optional
        For the states reached from zero only; as `theory.maps.reached.reached_domain` finds it.

    Raises
    ------
    ValueError
        If shapes do not fit, an end is NaN, ends are in the wrong order, or 0 is outside a box that
        is one to start in.

    Examples
    --------
    >>> box = Domain(low=[-1.0], high=[1.0], input_low=[0.0], input_high=[2.0])
    >>> box.contains_states([[0.5], [-1.0]]), box.contains_inputs([[3.0]])
    (True, False)
    """

    low: Array  # (n,)
    high: Array  # (n,)
    input_low: Array  # (m,)
    input_high: Array  # (m,)
    start: bool  # whether it must hold 0; False for a box that states only pass through
    reached: Reached | None  # of the states reached from zero, None: of all states of the box

    def __init__(
        self,
        *,
        low: npt.ArrayLike,
        high: npt.ArrayLike,
        input_low: npt.ArrayLike,
        input_high: npt.ArrayLike,
        start: bool = True,
        reached: Reached | None = None,
    ) -> None:
        low, high = as_vector("low", low), as_vector("high", high)
        if low.shape != high.shape:
            raise ValueError(f"low has {len(low)} and high {len(high)} entries, needed as many")
        holds_0 = (low <= 0) & (high >= 0)
        if start and not holds_0.all():
            i = int(np.argmin(holds_0))
            raise ValueError(
                f"the interval of state {i} is [{low[i]:.17g}, {high[i]:.17g}], needed one that "
                "holds 0, where the truncated model starts"
            )
        if not bool(np.all(low <= high)):
            raise ValueError(f"low={low!r} and high={high!r}, needed low <= high")
        ends = []
        for name, given in (("input_low", input_low), ("input_high", input_high)):
            end = np.array(plain_array(name, given), dtype=np.float64)
            if end.ndim != 1 or bool(np.isnan(end).any()):
                raise ValueError(f"{name}={given!r}, needed a vector without NaN")
            end.flags.writeable = False
            ends.append(end)
        if ends[0].shape != ends[1].shape or not bool(np.all(ends[0] <= ends[1])):
            raise ValueError(
                f"input_low={ends[0]!r} and input_high={ends[1]!r}, needed ends of one length in "
                "order"
            )
        for name, value in zip(
            ("low", "high", "input_low", "input_high", "start", "reached"),
            (low, high, *ends, start, reached),
            strict=True,
        ):
            object.__setattr__(self, name, value)

    @property
    def state_dim(self) -> int:
        """Return n."""
        return int(self.low.shape[0])

    @property
    def input_dim(self) -> int:
        """Return m."""
        return int(self.input_low.shape[0])

    @property
    def inputs(self) -> Inputs:
        """Return the box of inputs."""
        return Inputs.box(self.input_low, self.input_high)

    @property
    def reach(self) -> Array:
        """Return the largest magnitude of each state, (n,)."""
        largest: Array = np.maximum(-self.low, self.high)
        return largest

    def contains_states(self, H: Any) -> bool:
        """Return whether all states (..., n) lie in the box.

        Of a domain of states reached from zero that is known of the state 0 alone.
        """
        states = np.asarray(plain_array("H", H), dtype=np.float64)
        if self.reached is not None:
            return not states.any()
        return bool(np.all((self.low <= states) & (states <= self.high)))

    def moved_inside(self, H: Array) -> Array:
        """Return states (..., n) of the domain, near the given ones: 0 if no other is known."""
        inside: Array = np.clip(H, self.low, self.high)
        return inside if self.reached is None else np.zeros_like(inside)

    def contains_inputs(self, X: Any) -> bool:
        """Return whether all inputs (..., m) lie in their box."""
        inputs = np.asarray(plain_array("X", X), dtype=np.float64)
        return bool(np.all((self.input_low <= inputs) & (inputs <= self.input_high)))

    def same_as(self, other: Domain | None) -> bool:
        """Return whether the other is the same pair of boxes, reached alike."""
        return other is not None and self.to_dict() == other.to_dict()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready description with hexadecimal floats, hence exact."""
        ends: dict[str, Any] = {
            name: [float(x).hex() for x in getattr(self, name)]
            for name in ("low", "high", "input_low", "input_high")
        }
        return ends if self.reached is None else {**ends, "reached": self.reached.to_dict()}

    def __str__(self) -> str:
        box = f"{describe_states(self.low, self.high)}, {self.inputs}"
        return box if self.reached is None else f"the states reached from zero, in {box}"


def check_box(domain: Domain | None) -> None:
    """Raise if a domain is that of the states reached from zero.

    Raises
    ------
    ValueError
        If it is; none of those states but 0 is known.
    """
    if domain is not None and domain.reached is not None:
        raise ValueError(
            f"the domain is {domain}, of which only 0 is known to be one, needed a box of all "
            "states; theory.certify.invariant_domain(map, inputs=...) finds one, and "
            "theory.testing.check_truncation compares runs from zero"
        )


def domain_from_dict(data: dict[str, Any]) -> Domain:
    """Read back what `Domain.to_dict` returned.

    Raises
    ------
    ValueError
        If a field is missing or not of its kind.
    """
    try:
        ends = {
            name: [float.fromhex(x) for x in data[name]]
            for name in ("low", "high", "input_low", "input_high")
        }
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"not a domain: {type(error).__name__} at {error}") from None
    low, high, input_low, input_high = (np.array(end) for end in ends.values())
    reached = data.get("reached")
    return Domain(
        low=low,
        high=high,
        input_low=input_low,
        input_high=input_high,
        reached=None if reached is None else _reached_from_dict(reached),
    )


def _reached_from_dict(data: Any) -> Reached:
    try:
        low_high = {
            name: tuple(np.array([float.fromhex(x) for x in end]) for end in data[name])
            for name in ("outer", "start", "ranges")
        }
        period, order = int(data["period"]), int(data["order"])
        parts = tuple(domain_from_dict(part) for part in data["parts"])
        ball = str(data.get("ball", ""))
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"not a domain: {type(error).__name__} at {error}") from None
    for name, ends in low_high.items():
        if len(ends) != 2:
            raise ValueError(f"not a domain: {name} has {len(ends)} ends, needed two")
    outer, start, ranges = low_high.values()
    return Reached(
        period=period,
        order=order,
        outer=(outer[0], outer[1]),
        start=(start[0], start[1]),
        ranges=(ranges[0], ranges[1]),
        parts=parts,
        ball=ball,
    )
