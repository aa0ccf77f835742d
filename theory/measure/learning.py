"""Measured gradients and measured training: the left-hand sides of the theorems about them.

Main names: `Learning`, `learning_of`.

The loss is that of single times, p_t(w) = loss(C h_t(w) + d, target_t), of the sequence and the
head of an `Experiment`.  Every measured value comes with a budget of its rounding error.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import final

import numpy as np

from theory.arithmetic.rounding import (
    ELEMENTARY_UNITS,
    UNIT,
    drift,
    evaluate,
    inner_product_error,
    product_up,
    reverse_mode_error,
    up,
)
from theory.learning.constants.interface import map_constants
from theory.learning.constants.values import MapConstants
from theory.learning.data import TrainingData, training_data
from theory.learning.descent import Descent, projected_gradient_descent
from theory.learning.gradients import (
    input_gradients,
    readout_of,
    recurrent_gradient,
    truncated_backprop_gradient,
    truncated_gradient,
)
from theory.learning.losses import head_gain, loss_constants
from theory.learning.weights import with_weights
from theory.maps.base import Map
from theory.measure.run import Run
from theory.norms.norms import L2, Norm
from theory.theorems.gradient_gap_finite import formula
from theory.theorems.hidden_state import formula as hidden_state_formula
from theory.theorems.schedules import step_sizes
from theory.typing import Array


@final
class Learning:
    """The measurements about gradients and training of a run, each made once."""

    def __init__(self, run: Run) -> None:
        setup = run.of.training
        assert setup is not None
        self.run, self.setup = run, setup
        self.norm: Norm = run.norm
        self.head = run.of.head
        self.T = len(run.of.inputs)
        self._descents: dict[int | None, Descent] = {}

    # constants ------------------------------------------------------------------------------------

    def constants_of(self, models: Sequence[Map]) -> MapConstants | None:
        """Return the constants of the hull of some maps on these inputs; None without a rate."""
        if self.T == 0:
            return None
        found = map_constants(
            list(models), self.norm, inputs=self.run.of.inputs, trained=self.setup.trained
        )
        return found if found is not None and found.lam < 1 else None

    @cached_property
    def own(self) -> MapConstants | None:
        """Return the constants of the map itself."""
        return self.constants_of([self.run.map])

    @cached_property
    def pair(self) -> MapConstants | None:
        """Return the constants of the segment from the map to the other one."""
        return self.constants_of([self.run.map, self.setup.other])

    @cached_property
    def full_C(self) -> Array:
        """Return the outputs' matrix on whole states."""
        return np.asarray(self.head.C @ readout_of(self.run.map, self.head))

    def loss_constants(self, c: MapConstants, t: int | None = None) -> tuple[float, float]:
        """Return L_p and beta_p, of the loss at time t or of all of them."""
        targets = self.setup.targets if t is None else self.setup.targets[t - 1 : t]
        return loss_constants(
            self.setup.loss, self.full_C, self.head.d, targets, self.norm, c.state_bound
        )

    # gradients ------------------------------------------------------------------------------------

    @cached_property
    def times(self) -> tuple[int, ...]:
        """Return the times at which gradients are measured, from 1."""
        return tuple(sorted({self.T, max(1, (2 * self.T) // 3), min(2, self.T)}))

    def lengths(self, t: int) -> tuple[int, ...]:
        """Return the truncation lengths that are measured at a time, 1 <= k < t."""
        most = min(self.run.of.k_max, t - 1)
        chosen = np.unique(np.geomspace(1, max(most, 1), 4).astype(int)).tolist()
        return tuple(int(k) for k in chosen if 1 <= k <= most)

    def data(self, t: int) -> TrainingData:
        """Return the loss of time t alone."""
        return training_data(
            self.run.of.inputs[:t],
            self.setup.targets[:t],
            loss=self.setup.loss,
            width=len(self.head.C),
            at="last",
        )

    def gradient(self, t: int, k: int | None = None, model: Map | None = None) -> Array:
        """Return the gradient of p_t, or of the k-step model's."""
        of = self.run.map if model is None else model
        if k is None:
            found = recurrent_gradient(of, self.head, self.data(t))
        else:
            found = truncated_gradient(of, self.head, self.data(t), k=k)
        return found.vector(self.setup.trained)

    def cut_gradient(self, t: int, k: int) -> Array:
        """Return truncated backpropagation's gradient of p_t."""
        found = truncated_backprop_gradient(self.run.map, self.head, self.data(t), k=k)
        return found.vector(self.setup.trained)

    def input_gradients(self, t: int) -> Array:
        """Return d p_t / d x_s in the dual of the inputs' norm, for s = 1 .. t."""
        rows = input_gradients(self.run.map, self.head, self.data(t))[0]
        return self.dual(rows)

    def dual(self, rows: Array) -> Array:
        """Return the lengths of functionals of inputs, in the norm dual to the companion."""
        companion = self.norm.companion
        # of one number, every companion is its magnitude
        return np.array([companion.matrix_upper(row[None, :], companion) for row in rows])

    # budgets --------------------------------------------------------------------------------------

    def state_error(self, c: MapConstants) -> float:
        """Return a bound of the error of computed states, in the norm."""
        n = self.run.map.state_dim
        sizes = c.state_bound * self.norm.reach_upper(n)
        inputs = np.max(np.abs(self.run.of.inputs), axis=0, initial=0.0)
        errors = [model.step_error(sizes, inputs) for model in (self.run.map, self.setup.other)]
        local = self.norm.majorant(np.max(errors, axis=0))
        return drift(local, c.lam, self.T)

    def seed_error(self, c: MapConstants) -> float:
        """Return a bound of the error of the loss's derivative in the state, in the dual norm."""
        C, n = np.abs(self.full_C), self.run.map.state_dim
        reach = c.state_bound * self.norm.reach_upper(n)
        outputs = C @ reach + np.abs(self.head.d)
        error = inner_product_error(outputs, n + 1)
        largest = float(np.max(np.abs(self.setup.targets), initial=0.0))
        rounding = ELEMENTARY_UNITS * 2 * UNIT * (outputs + largest + 1.0)
        slope = self.setup.loss.curvature * float(L2().vector_upper(error)) + float(
            L2().vector_upper(rounding)
        )
        size = head_gain(self.full_C, self.norm)
        gain, beta_p = self.loss_constants(c)
        absolute = head_gain(C, self.norm)
        through = inner_product_error(np.array([absolute]), len(C))[0]
        whole = gain / size if size > 0 else 0.0
        return up(beta_p * self.state_error(c) + size * slope + float(through) * whole) * 1.01

    def gradient_error(self, c: MapConstants, loss_gain: float | None = None) -> float:
        """Return a bound of the error of a measured gradient, as a Euclidean length."""
        gain, _ = self.loss_constants(c)
        return reverse_mode_error(
            lam=c.lam,
            state_error=self.state_error(c),
            seed_error=self.seed_error(c),
            loss_gain=gain if loss_gain is None else loss_gain,
            weight_gain=c.weight_gain,
            beta_hh=c.beta_hh if math.isfinite(c.beta_hh) else 0.0,
            beta_wh=c.beta_wh if math.isfinite(c.beta_wh) else 0.0,
            majorant=c.majorant,
            size=self.run.map.state_dim + self.run.map.input_dim,
            steps=self.T,
        )

    # training -------------------------------------------------------------------------------------

    @cached_property
    def sizes(self) -> Array:
        """Return alpha_1 .. alpha_N."""
        return step_sizes(self.setup.alpha, self.setup.schedule, steps=self.setup.steps)

    def descent(self, k: int | None = None) -> Descent:
        """Return the descent on p_T, or on that of the k-step model."""
        if k not in self._descents:
            setup = self.setup
            self._descents[k] = projected_gradient_descent(
                self.run.map, self.head, self.data(self.T), steps=setup.steps, alpha=setup.alpha,
                schedule=setup.schedule, projection=setup.projection, trained=setup.trained,
                model="recurrent" if k is None else "truncated", k=k,
            )  # fmt: skip
        return self._descents[k]

    def maps_met(self, k: int) -> list[Map]:
        """Return the maps that a pair of descents met."""
        return [
            with_weights(self.run.map, w, trained=self.setup.trained)
            for w in np.vstack([self.descent().weights, self.descent(k).weights])
        ]

    def met(self, k: int) -> MapConstants | None:
        """Return the constants of the hull of the maps that a pair of descents met."""
        if self.descent().diverged or self.descent(k).diverged:
            return None
        return self.constants_of(self.maps_met(k))

    def smooth_lengths(self) -> Iterator[tuple[int, MapConstants, float, float]]:
        """Yield two lengths at most with the constants of their hulls, L_p, and beta if finite."""
        for k in self.lengths(self.T)[:2]:
            c = self.met(k)
            if c is None or self.setup.steps == 0:
                continue
            gain, beta_p = self.loss_constants(c, self.T)
            beta = c.smoothness(gain, beta_p)
            if 0 < beta < math.inf:
                yield k, c, gain, beta

    def rounding_of_steps(self, k: int, growth: Array) -> Array:
        """Return what the rounding of steps moves a pair of descents apart, after 1 .. N steps."""
        pair = self.descent(), self.descent(k)
        weights = np.vstack([d.weights for d in pair])
        largest = float(np.max(np.abs(weights))) * math.sqrt(weights.shape[1])
        moved = max(float(np.max(self.sizes * d.gradient_norms, initial=0.0)) for d in pair)
        steps = np.arange(1.0, len(growth) + 1)
        return np.asarray(growth * steps * 8 * UNIT * (largest + moved))

    def growth(self, beta: float) -> Array:
        """Return the products of 1 + alpha_i beta after 0 .. N steps, rounded upward."""
        product, found = 1.0, [1.0]
        for size in self.sizes:
            product = product_up(product, up(1.0 + up(size * beta)))
            found.append(product)
        return np.array(found)

    def mismatch(self, c: MapConstants, k: int) -> float:
        """Return an upper bound of |grad p_T - grad p_T^k| on the hull."""
        gain, beta_p = self.loss_constants(c, self.T)
        past = evaluate(hidden_state_formula, lam=c.lam, t=self.T - k, drive=c.drive, start=0.0)
        return evaluate(
            formula, lam=c.lam, k=k, t=self.T, past=min(past, c.state_bound),
            weight_gain=c.weight_gain, loss_gain=gain, beta_hh=c.beta_hh, beta_wh=c.beta_wh,
            beta_p=beta_p,
        )  # fmt: skip

    @cached_property
    def nonexpansive(self) -> bool:
        """Return whether the projection stretches no distance on a few pairs of maps."""
        projection = self.setup.projection
        if projection is None:
            return True
        # around the start, in and out of the set: every entry by itself, and all together
        base = self.run.map
        moved = [base, self.setup.other]
        for scale in (0.5, 1.5, 4.0):
            moved.append(
                base.with_parameters(**{q: scale * base.parameters[q] for q in self.setup.trained})
            )
        for name in self.setup.trained:
            value = base.parameters[name]
            for index in list(np.ndindex(value.shape))[:8]:
                other = 4.0 * value
                other[index] += 1.0 + abs(other[index])
                moved.append(base.with_parameters(**{name: other}))
        images = [projection(model) for model in moved]
        pairs = [(i, j) for i in range(len(moved)) for j in range(i)]
        return all(
            self.distance(images[i], images[j])
            <= self.distance(moved[i], moved[j]) * (1 + 16 * UNIT)
            for i, j in pairs
        )

    def distance(self, one: Map, two: Map) -> float:
        """Return |w - v| of the trained parameters, rounded upward."""
        parts = [
            (one.parameters[name] - two.parameters[name]).ravel() for name in self.setup.trained
        ]
        flat = np.concatenate(parts)
        # each difference is rounded once
        return up(float(L2().vector_upper(flat)) * (1 + 4 * UNIT))


def learning_of(run: Run) -> Learning | None:
    """Return the measurements of gradients and of training, None without training data."""
    return None if run.of.training is None else Learning(run)
