"""A search for two states that refute a claimed rate.

Main name: `check_contraction`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any, final

import numpy as np

from theory.arithmetic.rounding import UNIT
from theory.certificates import Contraction, check_one_step
from theory.certify.interface import contraction as look_for_contraction
from theory.domain import check_box
from theory.errors import as_sequences, check_count, check_positive
from theory.maps.base import Map, check_map
from theory.maps.callable import CallableMap
from theory.measure.observation import Observation
from theory.measure.ratios import norm_attaining
from theory.testing.failures import SINGLE, array_lines, fail, fail_refuted, single_hint, what_next
from theory.theorems.theorem import Kind
from theory.trials.verdict import Outcome, Verdict, judge
from theory.typing import Array, Scalar

#: Pytest shows the frames of the user alone.
__tracebackhide__ = True

#: Distances of the pairs that are tried, relative to the size of the states: near enough for the
#: derivative to show, yet far above the rounding of a step, and as far as the states reach.
_NEAR, _FAR = 2.0**-14, 1.0

#: A step is called so often before it is asked what it remembers, and differences after the same
#: calls are this part of those after others, at the most, where it remembers.
_CALLS, _REMEMBERED = 64, 2.0**-10

#: How many pairs are improved side by side.
_CLIMBERS = 6


def check_contraction(
    recurrent: Map,
    *,
    contraction: Contraction | None = None,
    inputs: Any = None,
    radius: float | None = None,
    trials: int = 200,
    seed: int = 0,
) -> Verdict:
    r"""Search for two states that one step brings closer by less than is claimed.

    Tried are near and far pairs around rest, around a trajectory and at random, apart in directions
    that nearly attain the norm of the Jacobian; the best are improved by climbing.

    Parameters
    ----------
    recurrent : Map
        For instance a `theory.CallableMap` of your own function.
    contraction : Contraction, optional
        The claim, such as ``Contraction.assumed(0.9, Linf())``; by default what
        `theory.contraction` certifies.
    inputs : (T, m) or (batch, T, m) array, optional
        The inputs to search among; random ones of sizes up to 10 by default.
    radius : float, optional
        Search among states of at most this size, in the norm of the contraction; for a claim that
        holds only there, as those of gated cells do.  By default ten times the states that are met.
        A contraction with a domain is searched within it in any case.
    trials : int
        Number of random pairs, and of attempts to improve the best ones.
    seed : int
        The same seed searches the same pairs.

    Returns
    -------
    Verdict
        Its ratio says how near to the claimed factor the search came: 1 is sharp.

    Raises
    ------
    AssertionError
        If the claim is refuted beyond the rounding of a step, or the map is not a function of
        (h, x), or returns something that is not finite.
    ValueError
        If the question is malformed, or no contraction is given and none is certified.

    Examples
    --------
    >>> from theory import CallableMap, Contraction
    >>> leaky = CallableMap(lambda h, x: 0.5 * h + np.tanh(x), state_dim=1, input_dim=1)
    >>> round(check_contraction(leaky, contraction=Contraction.assumed(0.5)).ratio, 6)
    1.0
    """
    certificate = contraction_of(recurrent, contraction)
    check_count(trials=trials, seed=seed)
    if radius is not None:
        check_positive(radius=radius)
    search = _Search(recurrent, certificate, inputs, radius, np.random.default_rng(seed))
    search.check_function()
    pairs = search.run(trials)
    ratios, budgets = search.measure(pairs)
    verdict = judge(
        "contractive",
        claimed_factor,
        Kind.UPPER,
        Observation(measured=ratios, budget=budgets, arguments={"factor": certificate.lam}),
        evidence=str(certificate.evidence),
    )
    if verdict.outcome is Outcome.REFUTED:
        worst = pairs.at(int(np.argmax(ratios - budgets)))
        images = np.concatenate([search.step(state, worst.x) for state in (worst.h, worst.g)])
        hint = single_hint(recurrent, images)
        fail_refuted(
            f"{recurrent!r} does not contract by lam={certificate.lam!r} in {certificate.norm}: "
            f"one step multiplies the distance of two states by {verdict.measured!r}",
            verdict,
            {"h": worst.h, "g": worst.g, "x": worst.x},
            what_next(verdict.measured, hint),
            of=recurrent,
        )
    return verdict


def contraction_of(recurrent: Map, given: Contraction | None) -> Contraction:
    """Return the contraction that was given, or else the one that is certified."""
    check_map(recurrent)
    certificate = look_for_contraction(recurrent) if given is None else given
    several = given is None and certificate is not None and certificate.iterate > 1
    if certificate is None or several:
        why = (
            "only several steps together contract"
            if several
            else "nothing is known of its function"
            if recurrent.affine() is None
            else "no criterion gives a factor below 1"
        )
        raise ValueError(
            f"no contraction is certified for {recurrent!r}: {why}; pass the one you derived, "
            "Contraction.assumed(lam, norm), or scale the recurrent weights down"
        )
    check_one_step(certificate)
    certificate.norm.check_dim(recurrent.state_dim)
    return certificate


def claimed_factor(factor: Scalar) -> Scalar:
    """Return the factor that is claimed: the formula of a contraction."""
    return factor


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Pairs:
    """Pairs of states, each with an input."""

    h: Array  # h, (N, n)
    g: Array  # g, (N, n)
    x: Array  # x, (N, m)

    def at(self, index: Any) -> _Pairs:
        return _Pairs(h=self.h[index], g=self.g[index], x=self.x[index])

    def and_(self, other: _Pairs) -> _Pairs:
        return _Pairs(
            h=np.vstack([self.h, other.h]),
            g=np.vstack([self.g, other.g]),
            x=np.vstack([self.x, other.x]),
        )


@final
class _Search:
    """The pairs that are tried for one map in one norm."""

    def __init__(
        self,
        recurrent: Map,
        certificate: Contraction,
        inputs: Any,
        radius: float | None,
        rng: np.random.Generator,
    ) -> None:
        norm, self.domain = certificate.norm, certificate.domain
        check_box(self.domain)
        self.map, self.norm, self.rng = recurrent, norm, rng
        n, m = recurrent.state_dim, recurrent.input_dim
        self.free_inputs = inputs is None
        if inputs is None:
            sizes = np.array([0.0, 0.1, 1.0, 10.0])
            rows = rng.standard_normal((4, len(sizes), m)) * sizes[:, None]
            self.inputs: Array = self.driven(rows.reshape(-1, m))
        else:
            self.inputs = as_sequences("inputs", inputs, width=m).reshape(-1, m)
            if self.domain is not None and not self.domain.contains_inputs(self.inputs):
                raise ValueError(
                    f"some of the inputs are outside the domain {self.domain} of the contraction, "
                    "needed all inside; theory.certify.invariant_domain(map, inputs=...) finds a "
                    "larger one"
                )
        if len(self.inputs) == 0:
            self.inputs = np.zeros((1, m))
        met = [np.zeros(n)]
        for x in self.inputs[:64]:
            met.append(self.step(met[-1], x))
            if not np.max(np.abs(met[-1])) <= 2.0**100:  # unstable: the pairs at rest will show it
                met = met[:1]
                break
        self.met = np.array(met)
        reach = 1.0 + float(np.max(norm.vector(self.met)))
        self.radius = 10.0 * reach if radius is None else float(radius)

    def step(self, h: Array, x: Array) -> Array:
        """Return the next states, which must be finite."""
        try:
            result = self.map.step(h, x)
        except ValueError as error:  # a map of the user's own refuses what it was given back
            if "finite" not in str(error):
                raise
            result = np.full(np.shape(h), np.nan)
            if np.ndim(h) > 1:
                result = np.array([self._row(a, b) for a, b in zip(h, x, strict=True)])
        if not np.isfinite(result).all():
            bad = np.argwhere(~np.isfinite(np.atleast_2d(result)).all(axis=-1))[0, 0]
            states = {"h": np.atleast_2d(h)[bad], "x": np.atleast_2d(x)[bad]}
            raise AssertionError(
                f"{self.map!r} returned a state that is not finite\n{array_lines(states)}\n"
                "  try       radius= and inputs=, if the map is meant for some states and inputs"
            )
        return result

    def _row(self, h: Array, x: Array) -> Array:
        try:
            return self.map.step(h, x)
        except ValueError:
            return np.full(len(h), np.nan)

    def check_function(self) -> None:
        """Check that a step depends on (h, x) alone: repeated, after others, and beside others."""
        count = min(len(self.met), len(self.inputs), 8)
        # at rest alone much looks like a function: what mixes rows, or is random, may leave 0 there
        apart = np.random.default_rng(0).standard_normal((count, self.map.state_dim))
        h = np.vstack([self.met[:count], self.inside(apart)])
        x = np.vstack([self.inputs[:count]] * 2)
        first = np.array([self.step(a, b) for a, b in zip(h, x, strict=True)])
        again = np.array([self.step(a, b) for a, b in zip(h[::-1], x[::-1], strict=True)])[::-1]
        i = self._differs(h, x, first, again)
        if i is not None:
            self._fail_apart(h[i], x[i], first[i], "again", again[i], *self._what_changes(h, x, i))
        try:
            together = self.step(h, x)
        except (ValueError, TypeError, IndexError) as error:
            raise ValueError(
                f"{self.map!r} takes (h, x) one at a time, but no batch of shapes {h.shape} and "
                f"{x.shape}: {error}; leave vectorized=True out for a step of one state at a time"
            ) from None
        i = self._differs(h, x, first, together)
        if i is not None:
            what = "the same step, computed in a batch, gives another state: it mixes its rows"
            advice = "vectorized=False, if it takes one state at a time"
            # a batch of the others is made of single steps, so what differs changes by itself
            one_by_one = isinstance(self.map, CallableMap) and not self.map.vectorized
            alone = np.array([self.step(h[i], x[i]) for _ in range(_CALLS)])
            same = np.broadcast_to(first[i], alone.shape)
            states, now = (np.broadcast_to(v, (_CALLS, len(v))) for v in (h[i], x[i]))
            if one_by_one or self._differs(states, now, same, alone) is not None:
                what, advice = self._what_changes(h, x, i)
            self._fail_apart(h[i], x[i], first[i], "in a batch", together[i], what, advice)

    def _differs(self, h: Array, x: Array, first: Array, other: Array) -> int | None:
        """Return the first row in which states differ by more than rounding."""
        for i in range(len(h)):
            budget = self._budget(h[i], x[i], first[i], other[i])
            if not (np.abs(first[i] - other[i]) <= budget).all():
                return i
        return None

    def _budget(self, h: Array, x: Array, one: Array, other: Array) -> Array:
        """Return what two computations of one step may differ by."""
        size = np.maximum(np.abs(h), np.maximum(np.abs(one), np.abs(other)))
        return 2.0 * self.map.step_error(size, np.abs(x))

    def _what_changes(self, h: Array, x: Array, i: int) -> tuple[str, str]:
        """Return what is seen of a step that is not repeatable, and what to try.

        A state that is remembered from call to call is the same after the same calls, as far as
        they are remembered; random numbers are not.
        """

        def after(state: Array, now: Array) -> Array:
            for _ in range(_CALLS):
                self.step(state, now)
            return self.step(h[i], x[i])

        j = (i + 1) % len(h)
        calls = (h[j], x[j]) if len(h) > 1 else (h[i] + 1.0, x[i] + 1.0)
        one, other, once_more = after(h[i], x[i]), after(*calls), after(h[i], x[i])
        apart = float(np.max(np.abs(one - other)))
        if apart > 0 and float(np.max(np.abs(one - once_more))) < _REMEMBERED * apart:
            return (
                "the same step, after other calls, gives another state: it remembers them",
                "passing every hidden variable as part of h, and starting afresh at each call",
            )
        return (
            "the same step, computed again, gives another state: random numbers, or a variable "
            "that every call changes"
        ), "fixing random numbers (dropout off), and passing every hidden variable as part of h"

    def _fail_apart(
        self, h: Array, x: Array, once: Array, how: str, other: Array, what: str, advice: str
    ) -> None:
        """Raise: the map is not a function, or single precision makes it look like none."""
        budget = self._budget(h, x, once, other)
        hint = single_hint(self.map, np.append(once, other))
        apart = np.abs(once - other)
        headline = f"{self.map!r} is not a function of (h, x): {what}"
        if hint and bool((apart <= SINGLE * budget).all()):
            headline = f"two computations of one step of {self.map!r} differ by rounding"
            advice = hint
        fail(
            headline,
            float(np.max(apart)),
            float(np.max(budget)),
            {"h": h, "x": x, "once": once, how: other},
            advice,
            of=self.map,
        )

    def measure(self, pairs: _Pairs) -> tuple[Array, Array]:
        r"""Return the ratios by which one step stretches the pairs, and their budgets.

        Both steps err by at most `local` in the norm; a difference of doubles errs by u relatively,
        and the norm above and below the line by `vector_rounding` (which covers that u too):

            |ratio - exact| <= 2 local / |g - h| + 4 vector_rounding ratio
        """
        before = self.norm.vector(pairs.g - pairs.h)
        images = self.step(pairs.h, pairs.x), self.step(pairs.g, pairs.x)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            ratios = np.where(before > 0, self.norm.vector(images[1] - images[0]) / before, 0.0)
        # the assumed accuracy of a user's function is relative to its value too
        sizes = np.max(np.abs([pairs.h, pairs.g, *images]), axis=0)
        local = np.array(
            [
                self.norm.majorant(self.map.step_error(size, x))
                for size, x in zip(sizes, np.abs(pairs.x), strict=True)
            ]
        )
        relative = 4 * self.norm.vector_rounding(self.map.state_dim) + 4 * UNIT
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            absolute = np.where(before > 0, 2 * local / before, 0.0)
        return ratios, absolute * (1 + relative) + relative * ratios

    def run(self, trials: int) -> _Pairs:
        """Return the pairs to be judged: structured ones, random ones, and the climbed."""
        pairs = self.structured().and_(self.random(trials))
        ratios, budgets = self.measure(pairs)
        best = pairs.at(np.argsort(budgets - ratios, kind="stable")[:_CLIMBERS])
        return pairs.and_(self.climb(best, trials))

    def inside(self, h: Array) -> Array:
        """Return the states, moved back into the radius and the domain where they are outside."""
        sizes = self.norm.vector_upper(h)
        with np.errstate(divide="ignore"), np.errstate(over="ignore", divide="ignore"):
            back = np.minimum(1.0, self.radius / sizes * (1 - 2.0**-40))
        scaled = np.asarray(h * np.where(sizes > self.radius, back, 1.0)[..., None])
        # the box holds 0, so that no entry grows
        return scaled if self.domain is None else np.clip(scaled, self.domain.low, self.domain.high)

    def driven(self, x: Array) -> Array:
        """Return the inputs, moved into the domain if there is one."""
        if self.domain is None:
            return x
        return np.clip(x, self.domain.input_low, self.domain.input_high)

    def directions(self, h: Array, x: Array) -> Array:
        """Return directions in which the Jacobian nearly attains its norm, largest entry 1."""
        J = self.map.jacobian_state(h, x)
        return norm_attaining(self.norm, J if np.isfinite(J).all() else np.eye(len(h)))

    def structured(self) -> _Pairs:
        """Return near and far pairs around rest and a trajectory, in attaining directions."""
        chosen = np.unique(np.linspace(0, len(self.met) - 1, 6).astype(int))
        found = []
        for h, x in product(self.inside(self.met[chosen]), self.inputs[:4]):
            for d in self.directions(h, x):
                size = float(np.max(np.abs(h))) + 1.0
                for s in (_NEAR * size, -_NEAR * size, _FAR * size, -_FAR * size):
                    found.append((h, h + s * d, x))
        return self._pairs(found)

    def random(self, count: int) -> _Pairs:
        """Return random pairs of random sizes and distances."""
        n, rng = self.map.state_dim, self.rng
        found = []
        for _ in range(count):
            h = rng.standard_normal(n) * self.radius * rng.choice([0.01, 0.1, 0.5])
            d = (
                rng.choice([-1.0, 0.0, 1.0], size=n)
                if rng.random() < 0.5
                else rng.standard_normal(n)
            )
            if not d.any():
                d[rng.integers(n)] = 1.0
            g = h + d * rng.choice([_NEAR, 0.01, _FAR]) * (1.0 + np.max(np.abs(h)))
            found.append((h, g, self.inputs[rng.integers(len(self.inputs))]))
        return self._pairs(found)

    def _pairs(self, found: list[tuple[Array, Array, Array]]) -> _Pairs:
        n, m = self.map.state_dim, self.map.input_dim
        h = np.array([pair[0] for pair in found]).reshape(-1, n)
        g = np.array([pair[1] for pair in found]).reshape(-1, n)
        x = np.array([pair[2] for pair in found]).reshape(-1, m)
        return _Pairs(h=self.inside(h), g=self.inside(g), x=self.driven(x))

    def climb(self, pairs: _Pairs, steps: int) -> _Pairs:
        """Return pairs improved by moving them, turning them, and changing their distance."""
        rng, n = self.rng, self.map.state_dim
        values = np.subtract(*self.measure(pairs))
        stride = np.full(len(values), 0.5)
        h, g, x = pairs.h.copy(), pairs.g.copy(), pairs.x.copy()
        for step in range(steps if len(values) else 0):
            new_h, new_g, new_x = h.copy(), g.copy(), x.copy()
            for i in range(len(values)):
                move, size = step % 4, 1.0 + np.max(np.abs(h[i]))
                if move == 0:  # move both
                    new_h[i] += (shift := stride[i] * size * rng.standard_normal(n))
                    new_g[i] += shift
                elif move == 1:  # turn the difference to where the Jacobian stretches most
                    found = self.directions(h[i], x[i])
                    d = found[rng.integers(len(found))] * rng.choice([-1.0, 1.0])
                    new_g[i] = h[i] + d * np.max(np.abs(g[i] - h[i]))
                elif move == 2:  # change the distance, and a single entry of it now and then
                    d = (g[i] - h[i]) * rng.choice([0.5, 2.0])
                    if rng.random() < 0.5:
                        d[rng.integers(n)] *= -1.0
                    new_g[i] = h[i] + d
                elif self.free_inputs:
                    new_x[i] += (
                        stride[i] * (1.0 + np.max(np.abs(x[i]))) * rng.standard_normal(x.shape[1])
                    )
                else:
                    new_x[i] = self.inputs[rng.integers(len(self.inputs))]
            tried = _Pairs(h=self.inside(new_h), g=self.inside(new_g), x=self.driven(new_x))
            reached = np.subtract(*self.measure(tried))
            better = reached > values
            h[better], g[better], x[better] = tried.h[better], tried.g[better], tried.x[better]
            values = np.where(better, reached, values)
            stride = np.where(better, stride * 1.5, np.maximum(stride * 0.9, 2.0**-20))
        return _Pairs(h=h, g=g, x=x)
