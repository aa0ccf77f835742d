r"""Measured gaps: the left-hand sides of the bounds, with their rounding budgets.

Main names: `truncation_gaps`, `truncation_gap_table`, `Experiment`, `experiment`, `Run`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, final

import numpy as np

from theory.certificates import Contraction
from theory.domain import Domain
from theory.errors import DivergedError, as_sequences, as_states, as_vector, check_count
from theory.inputs import Inputs
from theory.maps.base import Map, check_map
from theory.norms import L2, Linf, Norm, WeightedL1, WeightedL2, WeightedLinf, over
from theory.rounding import UNIT, drift, sum_up
from theory.theorem import Observation, Observe
from theory.truncation import LinearHead
from theory.typing import Array

if TYPE_CHECKING:
    from theory.learning import Learning, Training

Progress = Callable[[int, int], None]


def truncation_gap_table(
    recurrent: Map,
    X: Any,
    k_max: int,
    norm: Norm | None = None,
    *,
    h0: Any = None,
    restart: Any = None,
    progress: Progress | None = None,
) -> Array:
    r"""Return ||h_t - h_t^k|| for every k <= k_max and every time.

    Parameters
    ----------
    recurrent : Map
    X : (T, m) or (batch, T, m) array
        Inputs.
    k_max : int
        Largest truncation length; may exceed T.
    norm : Norm, optional
        `L2` by default.
    h0, restart : arrays, optional
        Start of the recurrent model and of the truncated one k steps back; zero by default.
    progress : callable, optional
        Called with (steps done, steps in all) after every truncation length of every sequence; may
        raise to interrupt.

    Returns
    -------
    (k_max + 1, T) or (batch, k_max + 1, T) array
        Entry [k, t] belongs to the state after t + 1 inputs.  Exactly 0 where t + 1 <= k: both
        models are then the same.

    Raises
    ------
    ValueError
        If a shape does not fit, a number is not finite, or k_max is not a count.
    DivergedError
        If the recurrent model leaves the range of double precision.
    """
    inputs = as_sequences("X", X, width=check_map(recurrent).input_dim)
    check_count(k_max=k_max)
    table = np.zeros((*inputs.shape[:-2], operator.index(k_max) + 1, inputs.shape[-2]))
    tables = table if inputs.ndim == 3 else table[None]

    def keep(sequence: int, k: int, row: Array) -> None:
        tables[sequence, k] = row

    sweep_all(recurrent, inputs, k_max, norm, h0, restart, progress, keep)
    _check_finite_gaps(tables)
    return table


def _checked_norm(name: str, norm: Any) -> Norm:
    """Raise `ValueError` for anything but a norm."""
    if not isinstance(norm, Norm):
        raise ValueError(f"{name}={norm!r}, needed a norm such as theory.L2()")
    return norm


def sweep_all(
    recurrent: Map,
    X: Any,
    k_max: Any,
    norm: Norm | None,
    h0: Any,
    restart: Any,
    progress: Progress | None,
    keep: Callable[[int, int, Array], None],
    output: Array | None = None,
) -> None:
    """Call keep(sequence, k, gaps at all times) for every sequence and every k that has one.

    With `output`, (p, n), the gaps are those of the outputs, and the norm is one on R^p.
    """
    from theory.kernels.gaps import sweep

    check_map(recurrent)
    check_count(k_max=k_max)
    measure = L2() if norm is None else _checked_norm("norm", norm)
    n = recurrent.state_dim
    measure.check_dim(n if output is None else len(output))
    inputs = as_sequences("X", X, width=recurrent.input_dim)
    batch, T = inputs.shape[:-2], inputs.shape[-2]
    start = as_states("h0", np.zeros(n) if h0 is None else h0, size=n, batch=batch)
    again = as_vector("restart", np.zeros(n) if restart is None else restart, size=n)
    if T == 0:
        return
    sequences = inputs if batch else inputs[None]
    begun = start if batch else start[None]
    # both models are the same for k >= T
    longest = min(int(k_max), T - 1)
    total = len(sequences) * (longest + 1)
    with np.errstate(over="ignore", invalid="ignore"):
        for i, (x, first) in enumerate(zip(sequences, begun, strict=True)):
            states = recurrent.simulate(x, first)
            for k, row in enumerate(sweep(recurrent, x, states, again, longest, measure, output)):
                keep(i, k, row)
                if progress is not None:
                    progress(i * (longest + 1) + k + 1, total)


def _check_finite_gaps(tables: Array) -> None:
    """Raise `DivergedError` at the first gap that is not finite; tables is (batch, k, T)."""
    bad = ~np.isfinite(tables)
    if bad.any():
        sequence, k, t = (int(i) for i in np.argwhere(bad)[0])
        raise DivergedError(
            f"the distance of the recurrent state from the {k}-step one left the range of double "
            f"precision at step {t + 1} of sequence {sequence}; start both models nearer to rest"
        )


def truncation_gaps(
    recurrent: Map,
    X: Any,
    k_max: int,
    norm: Norm | None = None,
    *,
    h0: Any = None,
    restart: Any = None,
    progress: Progress | None = None,
) -> Array:
    r"""Return the truncation curve: sup over t (and over the batch) of ||h_t - h_t^k||, per k.

    The parameters are those of `truncation_gap_table`.

    Returns
    -------
    (k_max + 1,) array
        Zero for an empty sequence and for k >= T.

    Examples
    --------
    >>> import numpy as np
    >>> from theory import LinearMap
    >>> truncation_gaps(LinearMap([[0.5]], [[1.0]]), np.ones((3, 1)), k_max=3).tolist()
    [1.75, 0.75, 0.25, 0.0]
    """
    check_count(k_max=k_max)
    curve = np.zeros(operator.index(k_max) + 1)

    def keep(_: int, k: int, row: Array) -> None:
        curve[k] = np.maximum(curve[k], np.max(row, initial=0.0))

    sweep_all(recurrent, X, k_max, norm, h0, restart, progress, keep)
    if not np.isfinite(curve).all():
        k = int(np.argmin(np.isfinite(curve)))
        raise DivergedError(
            f"the distance of the recurrent state from the {k}-step one left the range of double "
            "precision; start both models nearer to rest"
        )
    return curve


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Experiment:
    """One instance on which theorems are tested: a map, its contraction, and what drives it."""

    map: Map
    contraction: Contraction
    inputs: Array  # x, (T, m)
    k_max: int  # largest truncation length measured
    start: Array  # h_0, (n,)
    restart: Array  # the truncated model's start, (n,)
    other_inputs: Array  # a second input sequence, (T, m)
    other_start: Array  # a second start, (n,)
    head: LinearHead  # the output
    other_norm: Norm  # a norm to convert to
    partner: Map | None = None  # a second map, for the composition
    partner_contraction: Contraction | None = None
    training: Training | None = None  # a loss and a second parameter vector, to learn with
    label: str = ""  # where it comes from


def experiment(
    recurrent: Map,
    inputs: Any,
    *,
    contraction: Contraction,
    k_max: int | None = None,
    start: Any = None,
    restart: Any = None,
    other_inputs: Any = None,
    other_start: Any = None,
    head: LinearHead | None = None,
    other_norm: Norm | None = None,
    partner: Map | None = None,
    partner_contraction: Contraction | None = None,
    training: Training | None = None,
    label: str = "",
) -> Experiment:
    """Return an experiment with checked shapes and the usual defaults.

    Parameters
    ----------
    recurrent : Map
    inputs : (T, m) array
        One sequence.
    contraction : Contraction
        Certified, or assumed on your word.
    k_max : int, optional
        Largest truncation length measured, min(T, 64) by default.
    start, restart : (n,) arrays, optional
        Where the recurrent model and the truncated one start; zero by default.
    other_inputs : (T, m) array, optional
        A second sequence, for the dependence on the inputs; the negated one by default, moved into
        the domain of the contraction if it has one.
    other_start : (n,) array, optional
        A second start, for the dependence on it; all ones by default, moved likewise.
    head : LinearHead, optional
        The output; the state itself by default.
    other_norm : Norm, optional
        A norm to convert to; `L2` by default.
    partner, partner_contraction : Map and Contraction, optional
        A second map, to compose with the first.
    training : Training, optional
        What the theorems about gradients and training need; see `theory.learning`.
    label : str
        Where the experiment comes from, for reports.

    Returns
    -------
    Experiment

    Raises
    ------
    ValueError
        If a shape does not fit or a number is not finite.
    """
    n = check_map(recurrent).state_dim
    if not isinstance(contraction, Contraction):
        raise ValueError(
            f"contraction={contraction!r}, needed a Contraction; theory.contraction(map) looks for "
            "one and answers None when it finds none"
        )
    x = as_sequences("inputs", inputs, width=recurrent.input_dim)
    if x.ndim != 2:
        raise ValueError(f"inputs has shape {x.shape}, needed one sequence (T, m)")
    domain = contraction.domain
    if other_inputs is None:
        again = -x if domain is None else np.clip(-x, domain.input_low, domain.input_high)
    else:
        again = as_sequences("other_inputs", other_inputs, width=x.shape[1])
    if again.shape != x.shape:
        raise ValueError(f"other_inputs has shape {again.shape}, needed {x.shape} as inputs has")
    zero = np.zeros(n)
    one = zero + 1 if domain is None else np.clip(zero + 1, domain.low, domain.high)
    k = min(len(x), 64) if k_max is None else k_max
    check_count(k_max=k)
    contraction.norm.check_dim(n)
    other = L2() if other_norm is None else _checked_norm("other_norm", other_norm)
    other.check_dim(n)
    if head is not None and head.C.shape[1] != n:
        raise ValueError(f"head has C of shape {head.C.shape}, needed (p, {n})")
    if partner is not None and (partner.state_dim, partner.input_dim) != (n, x.shape[1]):
        raise ValueError(
            f"partner has a state of dimension {partner.state_dim} and inputs of dimension "
            f"{partner.input_dim}, needed {n} and {x.shape[1]} like the map itself"
        )
    return Experiment(
        map=recurrent,
        contraction=contraction,
        inputs=x,
        k_max=int(k),
        start=as_vector("start", zero if start is None else start, size=n),
        restart=as_vector("restart", zero if restart is None else restart, size=n),
        other_inputs=again,
        other_start=as_vector("other_start", one if other_start is None else other_start, size=n),
        head=LinearHead(np.eye(n)) if head is None else head,
        other_norm=other,
        partner=partner,
        partner_contraction=partner_contraction,
        training=training,
        label=label,
    )


@final
class Run:
    """The measurements of an experiment, each made once and only when asked for.

    Every measured value comes with a budget: the derived bound of its rounding error.
    """

    of: Experiment
    map: Map
    lam: float
    norm: Norm

    def __init__(self, of: Experiment) -> None:
        self.of = of
        self.map = of.map
        self.lam = of.contraction.lam
        self.norm = of.contraction.norm
        self._observations: dict[Observe, Observation] = {}

    def observation(self, observe: Observe) -> Observation:
        """Return ``observe(run)``, made once however many near misses share it."""
        if observe not in self._observations:
            self._observations[observe] = observe(self)
        return self._observations[observe]

    @cached_property
    def learning(self) -> Learning | None:
        """Return the measurements of gradients and of training, None without training data."""
        from theory.learning import Learning

        return None if self.of.training is None else Learning(self)

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
            self.map, self.of.inputs, self.of.k_max, norm, h0=self.of.start, restart=self.of.restart
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
        spread = over(Linf(), self.norm, self.map.state_dim) * reach
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
        from theory.products import growths

        certificate = self.of.contraction
        form = self.map.affine_on(certificate.domain)
        W, slopes = (None, None) if form is None else (form.W, form.slopes)
        return sum_up(growths(W, slopes, self.norm, certificate.iterate, self.growth))

    def drift(self, steps: Array | float) -> Array:
        """Bound the drift of a computed trajectory after so many steps (theory.rounding.drift).

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
                box = np.full(n, over(Linf(), self.norm, n) * size)
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
        from theory.products import LARGEST_VERTICES, UnsettledError, product_upper

        certificate = self.of.contraction
        form = self.map.affine_on(certificate.domain)
        if form is None or not (
            form.linear or (self.norm.monotone and len(form.W) <= LARGEST_VERTICES)
        ):
            return False
        try:
            bound = product_upper(form.W, form.slopes, self.norm, certificate.iterate)
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
        weight = over(self.norm, certificate.norm, n) * over(certificate.norm, self.norm, n)

        def step(h: Array, x: Array) -> Array:
            return second.step(first.step(h, x), x)

        def local(h: Array, x: Array) -> float:
            # the first map's error passes through the second, which contracts in its own norm;
            # the second meets states no larger than the first's image of the box |h| <= h
            error = self.norm.majorant(first.step_error(h, x))
            reach = over(Linf(), self.norm, n) * (
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


def step_ratios(
    norm: Norm,
    directions: Array,
    states: Array,
    inputs: Array,
    step: Callable[[Array, Array], Array],
    local: Callable[[Array, Array], float],
    domain: Domain | None = None,
) -> tuple[Array, Array]:
    """Return the ratios by which one step stretches chosen pairs of states, with budgets.

    The pairs are neighbours and opposites along the given directions, around some of the given
    states and around zero, moved into the domain if there is one; `local` bounds the rounding of
    one step from sizes of h and x.
    """
    n = states.shape[1]
    chosen = states[np.linspace(0, len(states) - 1, min(len(states), 12)).astype(int)]
    bases = np.vstack([np.zeros((1, n)), chosen])
    drives = np.vstack([np.zeros((1, inputs.shape[1])), inputs[: min(len(inputs), 4)]])
    size = 1.0 + float(np.max(np.abs(bases)))
    scales = np.array([size * 2.0**-10, -size])
    shifts = (scales[:, None, None] * directions).reshape(-1, n)
    h = np.repeat(bases, len(shifts) * len(drives), axis=0)
    g = h + np.tile(np.repeat(shifts, len(drives), axis=0), (len(bases), 1))
    x = np.tile(drives, (len(bases) * len(shifts), 1))
    if domain is not None:
        h, g = (np.clip(state, domain.low, domain.high) for state in (h, g))
        x = np.clip(x, domain.input_low, domain.input_high)
    before = norm.vector(g - h)
    images = step(g, x), step(h, x)
    after = norm.vector(images[0] - images[1])
    # the images too: the step of a user's own function errs relative to what it returns
    reach = np.max(np.abs(np.vstack([g, h, *images])), axis=0)
    error = local(reach, np.max(np.abs(x), axis=0))
    keep = before > 0
    ratios = after[keep] / before[keep]
    # both steps err, and so do the differences (by u times a size) and the norms (relatively)
    relative = 4 * norm.vector_rounding(n) + 8 * UNIT
    entry = norm.majorant(4 * UNIT * reach)
    return ratios, (2 * error + entry * (1 + ratios)) / before[keep] + relative * ratios


def norm_attaining(norm: Norm, A: Array) -> Array:
    """Return directions, (p, n), that nearly maximise ||A d|| / ||d||; largest entry 1."""
    n = A.shape[1]
    candidates = [np.ones(n)]
    if np.any(A):
        scaled = A / np.max(np.abs(A))
        candidates.append(np.linalg.svd(scaled)[2][0])
        if isinstance(norm, WeightedLinf):
            row = np.argmax((np.abs(scaled) @ norm.v) / norm.v)
            candidates.append(np.where(scaled[row] < 0, -1.0, 1.0) * norm.v)
        else:
            row = np.argmax(np.sum(np.abs(scaled), axis=1))
            candidates.append(np.where(scaled[row] < 0, -1.0, 1.0))
        if isinstance(norm, WeightedL1):
            column = np.argmax((norm.v @ np.abs(scaled)) / norm.v)
        else:
            column = np.argmax(np.sum(np.abs(scaled), axis=0))
        candidates.append(np.eye(n)[column])
        if isinstance(norm, WeightedL2):
            # differences that an activation turns out of the thin direction of the unit ball
            candidates.extend(np.linalg.eigh(norm.P)[1].T[[0, -1]])
            L = np.linalg.cholesky(norm.P)
            candidates.append(
                np.linalg.solve(L.T, np.linalg.svd(np.linalg.solve(L, (L.T @ scaled).T).T)[2][0])
            )
    directions = np.array(candidates, dtype=np.float64)
    scaled_down: Array = directions / np.max(np.abs(directions), axis=1, keepdims=True)
    return scaled_down
