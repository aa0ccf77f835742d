r"""Places where a step stretches: products of Jacobians of large spectral radius.

Main names: `Where`, `places`, `best_product`, `product_rate`.

If ||step(h, x) - step(g, x)|| <= r ||h - g|| in some norm for all states and inputs in question,
then the Jacobian at each of them has norm at most r, a product of p of them, in any order, at most
r**p, and so has its spectral radius.  Where to look is a search; the Jacobians of the product that
is found are enclosed, and its spectral radius is bounded from below.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from theory.arithmetic.rigor import frobenius_upper
from theory.arithmetic.rounding import TINY, up
from theory.certify.orbits import enclosed_slopes
from theory.domain import Domain
from theory.inputs import Inputs
from theory.maps.base import Map
from theory.norms.enclosed import multiply_pairs
from theory.norms.radius import balanced, root_down, spectral_radius_lower
from theory.typing import Array

#: Up to these dimensions so many places are compared; beyond, the last number.
_COMPARED = ((32, 64), (128, 32), (300, 24), (math.inf, 6))

#: Up to these dimensions so many places are improved by ascent, in so many rounds.
_CLIMBED = ((160, (2, 6)), (300, (3, 8)), (600, (1, 3)), (math.inf, (0, 0)))

#: Up to this dimension products of several Jacobians are tried.
_MULTIPLIED = 160

#: Differences that approximate derivatives, for the search only.
_SHIFT = 2.0**-13


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Where:
    """Which states and inputs are in question."""

    inputs: Inputs | None  # None: all
    box: Domain | None  # of states; None: all
    sequences: tuple[Array, ...] = ()  # the inputs that are known to occur, (T, m) each

    def holds(self, h: Array, x: Array) -> bool:
        """Return whether a state and an input are in question."""
        if self.inputs is not None and not self.inputs.contains(x):
            return False
        return self.box is None or self.box.contains_states(h)

    def near(self, h: Array, x: Array) -> tuple[Array, Array] | None:
        """Return a state and an input in question near others, None if none is found."""
        moved = x if self.inputs is None else self.inputs.near(x)
        if moved is None:
            return None
        return h if self.box is None else np.clip(h, self.box.low, self.box.high), moved

    @property
    def open(self) -> bool:
        """Return whether states can move in every direction, so that Jacobians are of pairs."""
        return self.box is None or bool(np.all(self.box.low < self.box.high))


@np.errstate(over="ignore", invalid="ignore")
def places(recurrent: Map, where: Where, random: np.random.Generator) -> list[tuple[Array, Array]]:
    """Return states and inputs worth comparing: visited ones, and the middle of the box first."""
    n, m = recurrent.state_dim, recurrent.input_dim
    count = next(number for size, number in _COMPARED if n <= size)
    middle = np.zeros(n) if where.box is None else where.box.low / 2 + where.box.high / 2
    rest = np.zeros(m)
    if where.inputs is not None:
        low, high = where.inputs.ends(m)
        rest = np.where(np.isfinite(low) & np.isfinite(high), low / 2 + high / 2, 0.0)
    found = [(middle, rest), (np.zeros(n), np.zeros(m))]
    sequences = list(where.sequences)
    if not sequences:
        drawn = [size * random.standard_normal((24, m)) for size in (1.0, 0.0, 3.0)]
        for X in drawn:
            rows = [x if where.inputs is None else where.inputs.near(x) for x in X]
            sequences.append(np.array([x for x in rows if x is not None]).reshape(-1, m))
    visited: list[tuple[Array, Array]] = []
    for X in sequences:
        X = X[:4096]
        if not len(X):
            continue
        H = np.zeros((len(X), n))
        h = np.zeros(n)
        terms = recurrent.input_terms(X)
        for t in range(len(X)):
            H[t] = h
            h = recurrent.advance(h, terms[t])
        kept = np.isfinite(H).all(axis=1)
        visited += zip(H[kept], X[kept], strict=True)
    share = np.linspace(0, len(visited) - 1, min(count, len(visited))).astype(int)
    found += [visited[i] for i in share]
    known: dict[bytes, tuple[Array, Array]] = {}
    for h, x in found:
        moved = where.near(h, x)
        if moved is not None and where.holds(*moved):
            known.setdefault(moved[0].tobytes() + moved[1].tobytes(), moved)
    return list(known.values())


def _radius(A: Array) -> float:
    """Return the spectral radius as computed; 0 of what is no number."""
    return float(np.max(np.abs(np.linalg.eigvals(A)))) if np.isfinite(A).all() else 0.0


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def _climbed(
    recurrent: Map, where: Where, h: Array, x: Array, value: float, rounds: int
) -> tuple[Array, Array, float]:
    """Move a place to where the spectral radius of the Jacobian is larger.

    With left and right eigenvectors, d|lam| = Re(w . dJ v), w = conj(lam) u / (|lam| u . v), and
    J v is a difference of two steps: so the gradient takes four steps for each entry.
    """
    n = len(h)
    for _ in range(rounds):
        J = recurrent.jacobian_state(h, x)
        if not np.isfinite(J).all():
            break
        values, vectors = np.linalg.eig(J)
        k = int(np.argmax(np.abs(values)))
        others, left = np.linalg.eig(J.T)
        u, v = left[:, int(np.argmin(np.abs(others - values[k])))], vectors[:, k]
        w = np.conj(values[k]) * u / (abs(values[k]) * complex(u @ v))
        if not np.isfinite(w).all():
            break
        points = np.concatenate([h, x])
        moves = np.vstack([np.zeros(len(points)), _SHIFT * np.eye(len(points))])
        H, X = (points + moves)[:, :n], (points + moves)[:, n:]

        def stretched(direction: Array, H: Array = H, X: Array = X) -> Array:
            ends = [recurrent.step(H + s * _SHIFT * direction, X) for s in (1.0, -1.0)]
            apart: Array = (ends[0] - ends[1]) / (2 * _SHIFT)
            return apart

        sizes = stretched(v.real) @ w.real - stretched(v.imag) @ w.imag
        gradient = (sizes[1:] - sizes[0]) / _SHIFT
        top = float(np.max(np.abs(gradient)))
        if not (0 < top < math.inf):
            break
        better = False
        for scale in (4.0, 1.0, 0.25, 0.0625):
            moved = where.near(*np.split(points + scale * gradient / top, [n]))
            if moved is None or not where.holds(*moved):
                continue
            reached = _radius(recurrent.jacobian_state(*moved))
            if reached > value * (1 + 1e-6):
                (h, x), value, better = moved, reached, True
                break
        if not better:
            break
    return h, x, value


@np.errstate(over="ignore", invalid="ignore")
def best_product(
    recurrent: Map,
    where: Where,
    visited: list[tuple[Array, Array]],
    *,
    length: int,
    climb: bool,
) -> tuple[Array, Array, float] | None:
    """Return states, (p, n), and inputs, (p, m), whose Jacobians have a product that grows most.

    With its growth, as computed: a candidate.  None if there is no place at all.
    """
    n = recurrent.state_dim
    ranked = [(_radius(recurrent.jacobian_state(h, x)), h, x) for h, x in visited]
    if not ranked:
        return None
    ranked.sort(key=lambda one: -one[0])
    if climb:
        count, rounds = next(effort for size, effort in _CLIMBED if n <= size)
        better = [_climbed(recurrent, where, h, x, value, rounds) for value, h, x in ranked[:count]]
        ranked = [(value, h, x) for h, x, value in better] + ranked
        ranked.sort(key=lambda one: -one[0])
    best, chosen = ranked[0][0], [0]
    J = [recurrent.jacobian_state(h, x) for _, h, x in ranked[: 5 if n <= _MULTIPLIED else 1]]
    for p in range(2, length + 1):
        for path in itertools.product(range(len(J)), repeat=p):
            # every cyclic order has the same spectral radius
            if path[0] != min(path) or len(set(path)) == 1:
                continue
            product = np.linalg.multi_dot([J[i] for i in path])
            growth = _radius(product) ** (1 / p)
            if growth > best * (1 + 1e-6):
                best, chosen = growth, list(path)
    return (
        np.array([ranked[i][1] for i in chosen]),
        np.array([ranked[i][2] for i in chosen]).reshape(len(chosen), -1),
        best,
    )


def product_rate(
    recurrent: Map, states: Array, inputs: Array, *, enough: float = math.inf
) -> float:
    r"""Return a lower bound of rho(J_1 .. J_p)**(1/p), of the Jacobians at states and inputs.

    Rounded downward; 0 if nothing is known.  The search for a sharper one ends at `enough`.
    """
    factors: Sequence[tuple[Array, Array] | None] = [
        enclosed_slopes(recurrent, h, x) for h, x in zip(states, inputs, strict=True)
    ]
    known = [one for one in factors if one is not None]
    if not known or len(known) < len(factors):
        return 0.0
    if len(known) == 1:
        return spectral_radius_lower(*known[0], enough=enough)
    # one similarity for all, by powers of two
    exponents, _ = balanced(np.sum([np.abs(J) + E for J, E in known], axis=0))
    shift = exponents[None, :] - exponents[:, None]
    pairs = []
    for J, E in known:
        n = len(J)
        error = up(float(frobenius_upper(np.ldexp(E, shift))) + 2 * n * TINY)
        pairs.append((np.ldexp(J, shift), error))
    product, error = pairs[0]
    for J, wrong in pairs[1:]:
        product, within = multiply_pairs(product, error, J, wrong)
        error = float(within)
    rate = spectral_radius_lower(product, frobenius=error, enough=enough ** len(known))
    return root_down(rate, len(known)) if rate > 0 else 0.0
