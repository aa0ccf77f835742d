r"""What was searched for once: the box that a map never leaves, and its contractions.

Main names: `Certificates`, `find_certificates`.

A box costs some fifty steps of the map and a search up to seconds, so whoever asks several
questions about one map and one set of inputs finds both once and hands them on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, final

from theory.certificates import Contraction
from theory.certify.interface import narrowing, reached_at
from theory.certify.methods import METHODS, check_effort, run_methods
from theory.domain import Domain
from theory.inputs import Inputs, as_inputs
from theory.maps.base import Map, check_map
from theory.maps.invariance import invariant_domain


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Certificates:
    """The contractions of a map that were found for some inputs, with the box of its states."""

    recurrent: Map
    inputs: Inputs  # in question
    states: Domain | None  # a box that the map never leaves under these inputs
    where: Domain | None  # the same, None where it makes no slope notably narrower
    everywhere: dict[str, Contraction]  # by the method's name
    local: dict[str, Contraction]  # on `where`; empty if that is None
    reached: Domain | None = None  # of the states reached from zero, if it was asked about them
    from_zero: dict[str, Contraction] = field(default_factory=dict)  # on `reached`

    @property
    def named(self) -> dict[str, Contraction]:
        """Return all of them; the names say which hold on the box only."""
        return {
            **self.everywhere,
            **{f"{name}, on the box": c for name, c in self.local.items()},
            **{f"{name}, from zero": c for name, c in self.from_zero.items()},
        }

    @property
    def best(self) -> Contraction | None:
        """Return one of a single step if there is any such, and of these one of least rate."""
        return min(self.named.values(), key=lambda c: (c.iterate > 1, c.lam), default=None)


def find_certificates(
    recurrent: Map, inputs: Any, *, method: str = "auto", effort: int = 1, iterates: bool = True
) -> Certificates:
    """Return what is certified everywhere and on the box of states under some inputs.

    And of the states that are reached from zero, at the efforts of `theory.contraction`.

    Parameters
    ----------
    recurrent : Map
    inputs : Inputs, or (..., m) array
        The inputs in question.
    method, effort
        As in `theory.contraction`.
    iterates : bool
        Whether contractions of several steps together are wanted beside those of a single step;
        without, they are looked for only where there is none of a single step.

    Raises
    ------
    ValueError
        As in `theory.contraction`.

    Examples
    --------
    >>> from theory import VanillaRNN
    >>> cell = VanillaRNN([[1.1]], [[1.0]], [2.0])
    >>> found = find_certificates(cell, Inputs.box(-0.1, 0.1), method="spectral")
    >>> list(found.named), str(found.states)
    (['spectral, on the box'], 'a box of states within |h_i| <= 0.9967, |x_i| <= 0.1')
    """
    check_map(recurrent)
    check_effort(effort)
    if method != "auto" and method not in METHODS:
        known = ", ".join(["auto", *METHODS])
        raise ValueError(f"method {method!r} is not known, needed one of: {known}")
    given = as_inputs(inputs, recurrent.input_dim)
    states = invariant_domain(recurrent, inputs=given)
    where = narrowing(recurrent, states)

    def search(domain: Domain | None) -> dict[str, Contraction]:
        if method == "auto":
            return run_methods(recurrent, effort, domain, iterates=True if iterates else None)
        one = METHODS[method](recurrent, domain)
        return {} if one is None else {method: one}

    everywhere, local = search(None), {} if where is None else search(where)
    done = bool(everywhere or local) or method != "auto"
    reached = narrowing(recurrent, reached_at(recurrent, given, effort, states, known=done))
    return Certificates(
        recurrent=recurrent,
        inputs=given,
        states=states,
        where=where,
        everywhere=everywhere,
        local=local,
        reached=reached,
        from_zero={} if reached is None else search(reached),
    )
