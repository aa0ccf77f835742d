"""The measurements of an experiment, each made once, with their rounding budgets.

Main name: `Run`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeAlias, TypeVar, final

import numpy as np

from theory.arithmetic.rounding import UNIT, drift, sum_up
from theory.domain import Domain
from theory.inputs import Inputs
from theory.maps.base import Map
from theory.measure.experiment import Experiment
from theory.measure.gaps import truncation_gap_table
from theory.measure.observation import Observation
from theory.measure.ratios import norm_attaining, step_ratios
from theory.norms.norms import Linf, Norm, over
from theory.norms.products import (
    LARGEST_VERTICES,
    UnsettledError,
    growth_upper,
    growths,
    product_upper,
)
from theory.typing import Array

Made = TypeVar("Made")


@final
class Run:
    """The measurements of an experiment, each made once and only when asked for.

    Every measured value comes with a budget: the derived bound of its rounding error.
    """

    of: Experiment
    map: Map
    lam: float
    norm: Norm

    def __repr__(self) -> str:
        return f"Run({self.of!r})"

    def __init__(self, of: Experiment) -> None:
        self.of = of
        self.map = of.map
        self.lam = of.contraction.lam
        self.norm = of.contraction.norm
        self._made: dict[Callable[[Run], Any], Any] = {}

    def once(self, measure: Callable[[Run], Made]) -> Made:
        """Return ``measure(run)``, made once however many theorems and near misses share it."""
        if measure not in self._made:
            self._made[measure] = measure(self)
        found: Made = self._made[measure]
        return found

    @cached_property
    def states(self) -> Array:
        """Return h_0 .. h_T, (T + 1, n)."""
        return np.vstack([self.of.start, self.map.simulate(self.of.inputs, self.of.start)])

    @cached_property
    def other_states(self) -> Array:
        """Return the states from `other_start` under the same inputs, (T + 1, n)."""
        return np.vstack(
            [self.of.other_start, self.map.simulate(self.of.inputs, self.of.other_start)]
        )

    @cached_property
    def other_driven_states(self) -> Array:
        """Return the states from the same start under `other_inputs`, (T + 1, n)."""
        return np.vstack([self.of.start, self.map.simulate(self.of.other_inputs, self.of.start)])

    @cached_property
    def times(self) -> Array:
        """Return 0 .. T as floats."""
        return np.arange(len(self.states), dtype=np.float64)

    @cached_property
    def gap_table(self) -> Array:
        """Return ||h_t - h_t^k||, (k_max + 1, T), in the norm of the contraction."""
        return self.gap_table_in(self.norm)

    def gap_table_in(self, norm: Norm) -> Array:
        """Return the gap table in another norm."""
        return truncation_gap_table(
            self.map,
            self.of.inputs,
            k_max=self.of.k_max,
            norm=norm,
            h0=self.of.start,
            restart=self.of.restart,
        )

    @cached_property
    def gap_index(self) -> tuple[Array, Array]:
        """Return (k, t) of the table's entries with t >= k, flat: t counts inputs, from 1."""
        k, t = np.nonzero(
            np.arange(1, self.gap_table.shape[1] + 1) >= np.arange(self.of.k_max + 1)[:, None]
        )
        return k.astype(np.float64), t.astype(np.float64) + 1.0

    def gaps(self, **arguments: Any) -> Observation:
        """Return the gap for all k and all t >= k, with the arguments of a formula."""
        k, t = self.gap_index
        measured = self.pick(self.gap_table)
        return Observation(
            measured=measured, budget=self.budget(measured, t, k), arguments=arguments
        )

    def pick(self, table: Array) -> Array:
        """Return a table's entries at `gap_index`, flat."""
        k, t = self.gap_index
        picked: Array = table[k.astype(int), t.astype(int) - 1]
        return picked

    @cached_property
    def drive(self) -> float:
        """Return an upper bound of ||step(0, x_t)|| over the inputs."""
        return float(self.map.drive(self.norm, inputs=self.of.inputs))

    @cached_property
    def input_gain(self) -> float:
        """Return an upper bound of L_x, nan if it is unknown."""
        gain = self.map.input_lipschitz(self.norm)
        return math.nan if gain is None else gain

    @cached_property
    def input_bound(self) -> float:
        """Return an upper bound of ||x_t|| in the companion norm."""
        return float(np.max(self.norm.companion.vector_upper(self.of.inputs), initial=0.0))

    @property
    def published_drive(self) -> float:
        """Return L_x B_x alone, a drive only if step(0, 0) is 0; nan if L_x is unknown."""
        return self.input_gain * self.input_bound

    @cached_property
    def offset(self) -> float:
        """Return an upper bound of ||step(0, 0)||."""
        nothing = Inputs.any_of(np.zeros((1, self.map.input_dim)))
        if not math.isnan(self.input_gain):
            nothing = Inputs.ball(0.0, self.norm.companion)
        return float(self.map.drive(self.norm, nothing))

    @cached_property
    def output_lipschitz(self) -> float:
        """Return an upper bound of the head's Lipschitz constant."""
        return self.of.head.lipschitz(self.norm)

    @cached_property
    def sizes(self) -> tuple[Array, Array]:
        """Return entrywise bounds of all states and all inputs met: (n,), (m,)."""
        reach = float(np.max(self.gap_table, initial=0.0))
        spread = over(Linf(), self.norm, n=self.map.state_dim) * reach
        h = np.max(
            np.abs(np.vstack([self.states, self.other_states, self.other_driven_states])), axis=0
        )
        x = np.max(np.abs(np.vstack([self.of.inputs, self.of.other_inputs])), axis=0, initial=0.0)
        return np.maximum(h + spread, np.abs(self.of.restart)), x

    @cached_property
    def local_error(self) -> float:
        """Return a bound of the rounding error of one step, in the norm of the contraction."""
        return self.norm.majorant(self.map.step_error(*self.sizes))

    @cached_property
    def growth(self) -> float:
        """Return an upper bound of the Lipschitz constant of one step, nan if it is unknown."""
        known = self.map.state_lipschitz(self.norm, self.of.contraction.domain)
        return math.nan if known is None else known

    @cached_property
    def spread(self) -> float:
        """Return a bound of the sum of the Lipschitz constants of 0, .., r - 1 steps."""
        certificate = self.of.contraction
        form = self.map.affine_on(certificate.domain)
        W, slopes = (None, None) if form is None else (form.W, form.slopes)
        known = certificate.evidence.growth
        return sum_up(growths(W, slopes, self.norm, certificate.iterate, self.growth, known))

    def drift(self, steps: Array | float) -> Array:
        """Bound the drift of a computed trajectory after so many steps (rounding.drift).

        In r steps together errors of size `local_error` grow to `spread` times that at most.
        """
        if self.of.contraction.iterate > 1:
            limit = drift(self.local_error * self.spread, self.lam)
            return np.where(np.asarray(steps) > 0, limit, 0.0)
        limit = drift(self.local_error, self.lam)
        return np.minimum(np.asarray(steps, dtype=np.float64) * self.local_error, limit)

    def budget(self, measured: Array, *steps: Array | float) -> Array:
        """Return the budget of a measured distance between trajectories of so many steps each."""
        drifts = sum((self.drift(s) for s in steps), np.zeros(1))
        return np.asarray(drifts + self.norm.vector_rounding(self.map.state_dim) * measured)

    @cached_property
    def step_ratios(self) -> tuple[Array, Array]:
        """Return ||step(g, x) - step(h, x)|| / ||g - h|| on adversarial pairs, and the budgets."""
        return self._step_ratios_of(self.map, self.norm, self.of.contraction.domain)

    def _step_ratios_of(
        self, recurrent: Map, norm: Norm, domain: Domain | None
    ) -> tuple[Array, Array]:
        form = recurrent.affine()
        matrix = (
            recurrent.jacobian_state(self.of.start, self._some_input) if form is None else form.W
        )
        return step_ratios(
            norm,
            norm_attaining(norm, matrix),
            self.states,
            self.of.inputs,
            recurrent.step,
            lambda h, x: norm.majorant(recurrent.step_error(h, x)),
            domain,
        )

    @cached_property
    def trajectory_ratios(self) -> tuple[Array, Array]:
        """Return `step_ratios`, and the stretch of the two trajectories of the same inputs."""
        ratios, budgets = self.step_ratios
        apart = self.norm.vector(self.states - self.other_states)
        keep = apart[:-1] > 0
        along = apart[1:][keep] / apart[:-1][keep]
        local = 2 * self.local_error / apart[:-1][keep]
        return np.concatenate([ratios, along]), np.concatenate([budgets, local])

    @cached_property
    def iterate_ratios(self) -> tuple[Array, Array]:
        """Return the stretch of adversarial pairs under r steps with one input, and the budgets."""
        r, certificate = self.of.contraction.iterate, self.of.contraction
        if r == 1:
            return self.step_ratios
        form, n = self.map.affine(), self.map.state_dim
        matrix = (
            self.map.jacobian_state(self.of.start, self._some_input) if form is None else form.W
        )
        scale = float(np.max(np.abs(matrix), initial=0.0))
        with np.errstate(over="ignore", invalid="ignore"):
            several = np.linalg.matrix_power(matrix / scale if scale else matrix, r)
        directions = [norm_attaining(self.norm, matrix)]
        if np.isfinite(several).all():
            directions.append(norm_attaining(self.norm, several))

        def steps(h: Array, x: Array) -> Array:
            for _ in range(r):
                h = self.map.step(h, x)
            return h

        def local(h: Array, x: Array) -> float:
            # |step(h, x)| <= growth |h| + |step(0, x)|, and an error made grows like a difference
            rest = self.map.step(np.zeros((1, n)), x[None])
            drive = float(self.norm.vector_upper(rest)[0]) + self.offset
            drive += 2 * self.input_gain * self.map.input_dim * float(np.max(x, initial=0.0))
            size, error = self.norm.majorant(h), 0.0
            for _ in range(r):
                box = np.full(n, over(Linf(), self.norm, n=n) * size)
                error = self.growth * error + self.norm.majorant(self.map.step_error(box, x))
                size = self.growth * size + drive
            return error * (1 + 4 * r * UNIT)

        return step_ratios(
            self.norm,
            np.vstack(directions),
            self.states,
            self.of.inputs,
            steps,
            local,
            certificate.domain,
        )

    @cached_property
    def products_bounded(self) -> bool:
        """Return whether lam is proved to bound all r-fold products of the slopes' vertices."""
        certificate = self.of.contraction
        form = self.map.affine_on(certificate.domain)
        if form is None or not (
            form.linear or (self.norm.monotone and len(form.W) <= LARGEST_VERTICES)
        ):
            return False
        r, known = certificate.iterate, certificate.evidence.growth
        try:
            if known is None:
                bound = product_upper(form.W, form.slopes, self.norm, r)
            else:
                bound = growth_upper(form.W, form.slopes, self.norm, known[1], r)
        except UnsettledError:
            return False
        return bound <= self.lam

    @property
    def _some_input(self) -> Array:
        return self.of.inputs[0] if len(self.of.inputs) else np.zeros(self.map.input_dim)

    @cached_property
    def composed_step_ratios(self) -> tuple[Array, Array]:
        """Return the stretch of pairs by this map and then the partner, and the budgets."""
        first, second, certificate = self.map, self.of.partner, self.of.partner_contraction
        if second is None or certificate is None:
            raise ValueError("this experiment has no partner map to compose with")
        n = first.state_dim
        matrix = np.eye(n)
        for form in (first.affine(), second.affine()):
            matrix = matrix if form is None else form.W @ matrix
        weight = over(self.norm, certificate.norm, n=n) * over(certificate.norm, self.norm, n=n)

        def step(h: Array, x: Array) -> Array:
            return second.step(first.step(h, x), x)

        def local(h: Array, x: Array) -> float:
            # the first map's error passes through the second, which contracts in its own norm;
            # the second meets states no larger than the first's image of the box |h| <= h
            error = self.norm.majorant(first.step_error(h, x))
            reach = over(Linf(), self.norm, n=n) * (
                self.lam * self.norm.majorant(h)
                + float(
                    np.max(
                        self.norm.vector_upper(first.step(np.zeros((1, n)), x[None])), initial=0.0
                    )
                )
                + self.offset
                + 2 * first_gain * float(np.max(x, initial=0.0))
            )
            return certificate.lam * weight * error + self.norm.majorant(
                second.step_error(np.full(n, reach), x)
            )

        gain = first.input_lipschitz(self.norm)
        first_gain = first.input_dim * (1.0 if gain is None else gain)
        directions = np.vstack(
            [norm_attaining(self.norm, matrix), norm_attaining(self.norm, np.eye(n))]
        )
        return step_ratios(self.norm, directions, self.states, self.of.inputs, step, local)

    @cached_property
    def within_domain(self) -> bool:
        """Return whether all starts and inputs lie where the contraction holds."""
        certificate, again = self.of.contraction, self.of.partner_contraction
        starts = np.vstack([self.of.start, self.of.restart, self.of.other_start])
        inputs = np.vstack([self.of.inputs, self.of.other_inputs])
        return certificate.holds_for(starts, inputs) and (
            again is None or again.domain is None or again.holds_for(starts, inputs)
        )

    @cached_property
    def contradicted(self) -> bool:
        """Return whether the run itself refutes its contraction factor, beyond rounding.

        A NaN among what is measured counts as well: it leaves the factor open.
        """
        r = self.of.contraction.iterate
        ratios, budgets = self.iterate_ratios
        if not (ratios - budgets <= self.lam).all():
            return True
        table = self.gap_table
        pairs = [(table[:-r, :-r], table[r:, r:])]
        apart = self.norm.vector(self.states - self.other_states)
        pairs.append((apart[:-r], apart[r:]))
        rounding = self.norm.vector_rounding(self.map.state_dim)
        # an error of each of r steps on either side, grown by the steps that follow
        local = 2 * self.local_error * (1.0 if r == 1 else self.spread)
        return not all(
            bool((after <= self.lam * before + local + rounding * before).all())
            for before, after in pairs
        )

    @cached_property
    def partner_contradicted(self) -> bool:
        """Return whether the partner's contraction factor is refuted, as in `contradicted`."""
        second, certificate = self.of.partner, self.of.partner_contraction
        if second is None or certificate is None:
            return False
        ratios, budgets = self._step_ratios_of(second, certificate.norm, certificate.domain)
        return not bool((ratios - budgets <= certificate.lam).all())


Observe: TypeAlias = Callable[["Run"], Observation]
