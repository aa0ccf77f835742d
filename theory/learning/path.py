r"""How far a recurrent descent is from a path of weights, from the path alone.

Main names: `weight_gap_along`, `PathGap`.

The path is that of a descent on anything: the k-step model's loss, truncated backpropagation, or
the recurrent loss itself as it was computed.  At each of its weights v_i three things are bounded,
with their rounding: by how much the next v is not what the recurrent descent would make of v_i (the
defect), by how much a step of the recurrent descent stretches distances from v_i (from the Hessian
there, and from its change on the ball around v_i that the bound so far allows), and so the distance
after the step; see `theory.theorems.weight_gap_path`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.arithmetic.rigor import eigenvalues_at_least, row_sum_upper
from theory.arithmetic.rounding import UNIT, gamma, scaled_to_one, up
from theory.arithmetic.sums import length_upper
from theory.errors import check_positive
from theory.learning.constants.interface import map_constants
from theory.learning.data import TrainingData
from theory.learning.descent import Descent
from theory.learning.tangents import MOST_ENTRIES, Tangents, above
from theory.learning.tube import remainder_upper, third_derivative_upper
from theory.learning.weights import with_weights
from theory.maps.base import Map
from theory.progress import with_bar
from theory.shown import frame, shown
from theory.theorems.weight_gap_path import weight_gaps_path
from theory.typing import Array, Progress

Flags = npt.NDArray[np.bool_]

#: How much room an eigenvalue's estimate gets first, relatively; the proof decides.
_FIRST_SLACK = 2.0**-40

#: What to try where numbers outgrow doubles.
_SCALE = "scale inputs, targets and head to about 1"


@shown
@final
@dataclass(frozen=True, kw_only=True, eq=False)
class PathGap:
    """Bounds of the distance of the recurrent descent from a path, after 0 .. N steps."""

    bounds: Array  # of |w_i - v_i|, (N + 1,); inf from where nothing is known
    stretches: Array  # of a step's stretch, (N,); nan from there on
    defects: Array  # of |v_(i+1) - what the recurrent descent makes of v_i|, (N,)
    negative: Array  # of minus the least eigenvalue of the Hessian at v_i, (N,)
    third: Array  # of the third derivative, a mean over balls around v_i, (N,)
    reason: str = ""  # why it ends, if it does

    @property
    def steps(self) -> int:
        """Return after how many steps the distance is still bounded."""
        return int(np.sum(np.isfinite(self.bounds))) - 1

    def to_frame(self) -> Any:
        """Return a pandas table, one row a step; extra: notebook."""
        names = ("stretches", "defects", "negative", "third")
        columns = {name: np.append(getattr(self, name), math.nan) for name in names}
        return frame(
            {"step": range(len(self.bounds)), "bound": self.bounds, **columns}, index="step"
        )


@with_bar("steps")
def weight_gap_along(
    path: Descent,
    data: TrainingData,
    *,
    radius: float | None = None,
    progress: Progress | None = None,
) -> PathGap:
    r"""Bound the distance of the recurrent descent from a path of weights.

    Both start at v_0 and take the step sizes of the path.  Nothing is sampled and no constant of
    the whole set of weights enters: the Hessian of the recurrent loss is formed at each v_i, of
    which it asks for about n^2 (n + m)^2 numbers, so this is for small models.

    Parameters
    ----------
    path : Descent
        Of a `LinearMap`, or of a `VanillaRNN` with tanh; the head is not trained.
    data : TrainingData
        What the recurrent model is trained on: squared, Bernoulli or linear loss.
    radius : float, optional
        Every step is followed by the Euclidean projection of W onto |W|_2 <= radius, in both
        descents; none by default.
    progress : callable, optional
        Called with (steps done, steps in all); see `progress_bar`.

    Returns
    -------
    PathGap
        Its bounds are inf from the step on at which the ball is too wide for a bound, or a map no
        longer contracts; `reason` says which.

    Raises
    ------
    ValueError
        If the map, the loss or the trained parameters are of another kind, or the model is too
        large.

    Examples
    --------
    >>> from theory import LinearHead, VanillaRNN
    >>> from theory.learning import projected_gradient_descent, training_data
    >>> data = training_data([[1.0], [0.5], [0.25], [0.5]], [[0.5], [0.25], [0.0], [0.5]])
    >>> short = projected_gradient_descent(
    ...     VanillaRNN([[0.5]], [[1.0]]), LinearHead([[1.0]]), data, steps=20, alpha=0.1,
    ...     model="truncated", k=3,
    ... )
    >>> found = weight_gap_along(short, data)
    >>> found.steps, round(float(found.bounds[-1]), 4)
    (20, 0.0032)
    """
    walk = _Walk(path, data, radius)
    steps = len(path.sizes[: path.steps])
    for i in range(steps):
        if not walk.step(i):
            break
        if progress is not None:
            progress(i + 1, steps)
    return walk.result()


@final
class _Walk:
    """The bound so far, carried from step to step."""

    def __init__(self, path: Descent, data: TrainingData, radius: float | None) -> None:
        if not isinstance(path, Descent):
            raise ValueError(f"path={path!r}, needed a Descent, as of projected_gradient_descent")
        if not isinstance(data, TrainingData):
            raise ValueError(f"data={data!r}, needed what theory.learning.training_data returns")
        form = path.model.affine()
        if form is None or form.rho.name not in {"tanh", "identity"}:
            raise ValueError(
                f"second derivatives of {path.model!r} are not available, needed a LinearMap, or a "
                "VanillaRNN with tanh"
            )
        if not set(path.model.parameters) >= {"W", "U", "b"}:
            raise ValueError(
                f"{path.model!r} has the parameters {', '.join(path.model.parameters)}, needed W, "
                "U and b; of a linear map or a cascade of one part, train the LinearMap or "
                "VanillaRNN that is equal to it"
            )
        if data.loss.name not in {"squared", "bernoulli", "linear"}:
            raise ValueError(
                f"the {data.loss.name} loss is not available here, needed one of: squared, "
                "bernoulli, linear"
            )
        sizes = [path.model.parameters[name].size for name in path.trained]
        if path.weights.shape[1] != sum(sizes):
            raise ValueError(
                f"the path has {path.weights.shape[1]} weights a step, needed {sum(sizes)}, those "
                f"of {', '.join(path.trained)}; train without the head"
            )
        if radius is not None:
            check_positive(radius=radius)
            if "W" not in path.trained:
                raise ValueError(f"radius={radius!r} is of W, which is not trained; leave it out")
        self.path, self.data, self.radius = path, data, radius
        n, m = form.W.shape[0], form.U.shape[1]
        B, T, width = data.inputs.shape
        shapes = (width, data.targets.shape[-1])
        if shapes != (m, len(path.head.C)):
            raise ValueError(
                f"inputs and targets have widths {shapes}, needed {(m, len(path.head.C))}, those "
                "of the map and the head"
            )
        self.columns = _columns(path, data)
        entries = B * T * n * n * int(self.columns.sum())
        if not entries <= MOST_ENTRIES:
            raise ValueError(
                f"{entries} derivatives of states in weights, needed at most {MOST_ENTRIES}: take "
                "a smaller model, or shorter sequences"
            )
        # a column of U whose input is always 0 has derivative 0: there a step stretches by 1
        self.idle = bool((~self.columns & _columns(path, None)).any())
        self.gap = 0.0
        self.rows: list[tuple[float, float, float, float]] = []
        self.reason = ""

    def _at(self, i: int) -> Tangents | None:
        """Return the derivatives at v_i; None, and a reason, if the map does not contract."""
        model = self._model(i)
        c = map_constants(model, inputs=self.data.inputs)
        if c is None or not c.lam < 1:
            self.reason = (
                f"the map of step {i} does not contract; project it, see theory.projections"
            )
            return None
        return Tangents(model, self.path.head, self.data, c, self.columns)

    def _model(self, i: int) -> Map:
        return with_weights(self.path.model, self.path.weights[i], trained=self.path.trained)

    @np.errstate(over="ignore", invalid="ignore")
    def step(self, i: int) -> bool:
        """Carry the bound over step i (from 0); return whether there is one.

        What is not finite on the way gives none.
        """
        at = self._at(i)
        if at is None:
            return False
        alpha = float(self.path.sizes[i])
        defect = self._defect(i, at, alpha)
        stretch, negative, third = 1.0, math.nan, math.nan
        if self.gap > 0 and self.columns.any():
            third = remainder_upper(at, self.gap)
            if not math.isfinite(third):
                self.reason = f"the ball of radius {self.gap:.3g} at step {i} is too wide"
                if not math.isfinite(third_derivative_upper(at, 0.0)):
                    self.reason = f"no bound of third derivatives at step {i}; {_SCALE}"
                return False
            linear, negative = _linear_stretch(at, alpha, at_least_one=self.idle)
            stretch = above(linear + alpha * third * self.gap / 2)
        if not math.isfinite(stretch):
            self.reason = f"no bound of the stretch of step {i}; {_SCALE}"
            return False
        gap = math.inf
        if math.isfinite(defect):
            gap = weight_gaps_path(stretches=[stretch], defects=[defect], start=self.gap)[-1]
        if not math.isfinite(gap):
            self.reason = (
                f"how far step {i} is from one of the recurrent descent exceeds the largest "
                f"double; {_SCALE}"
            )
            return False
        self.rows.append((stretch, defect, negative, third))
        self.gap = float(gap)
        return True

    def _defect(self, i: int, at: Tangents, alpha: float) -> float:
        """Return an upper bound of |v_(i+1) - Pi(v_i - alpha grad p(v_i))|."""
        here, there = (_beside(self._model(j)) for j in (i, i + 1))
        free = _trained_entries(self.path, here)
        n = len(here)
        # v - alpha g rounds twice, alpha g is at most its own size
        moved = np.where(free, alpha * at.gradient, 0.0)
        went = np.where(free, here - moved, here)
        error = alpha * at.error("gradient") + 2 * UNIT * (length_upper(here) + length_upper(moved))
        if self.radius is not None:
            went[:, :n], wrong = _onto_ball(went[:, :n], self.radius)
            error += wrong
        return above(length_upper(there - went) * (1 + 2 * UNIT) + error)

    def result(self) -> PathGap:
        """Return what has been found."""
        steps = self.path.steps
        table = np.full((steps, 4), math.nan)
        if self.rows:
            table[: len(self.rows)] = self.rows
        done = len(self.rows)
        bounds = np.full(steps + 1, math.inf)
        bounds[: done + 1] = weight_gaps_path(
            stretches=table[:done, 0].tolist(), defects=table[:done, 1].tolist()
        )
        return PathGap(
            bounds=bounds, stretches=table[:, 0], defects=table[:, 1], negative=table[:, 2],
            third=table[:, 3], reason=self.reason,
        )  # fmt: skip


def _beside(model: Map) -> Array:
    """Return W, U and b beside each other, (n, n + m + 1)."""
    p = model.parameters
    return np.hstack([p["W"], p["U"], p["b"][:, None]])


def _trained_entries(path: Descent, like: Array) -> Flags:
    """Return which columns of `_beside` are trained, as an array that broadcasts."""
    n = len(like)
    parts = [(name in path.trained) for name in ("W", "U", "b")]
    m = like.shape[1] - n - 1
    return np.repeat(parts, [n, m, 1])


def _columns(path: Descent, data: TrainingData | None) -> Flags:
    """Return which features (h, x, 1) have trained weights, and are not always zero."""
    free = _trained_entries(path, _beside(path.model))
    if data is not None:
        n = path.model.state_dim
        free = free.copy()
        free[n:-1] &= np.any(data.inputs != 0, axis=(0, 1))
    return free


def _linear_stretch(at: Tangents, alpha: float, *, at_least_one: bool) -> tuple[float, float]:
    r"""Return an upper bound of |1 - alpha H|_2, H the Hessian, and of minus its least eigenvalue.

    -low <= H <= high gives max(1 + alpha low, alpha high - 1).
    """
    H, error = at.hessian, at.hessian_error
    if not (np.isfinite(H).all() and math.isfinite(error)):
        return math.inf, math.nan
    values = np.linalg.eigvalsh(H)
    low = _above_minus(H, error, -float(values[0]))
    # two roundings, of numbers that may cancel
    stretch = max(1.0 + alpha * low + 4 * UNIT * (1.0 + alpha * abs(low)), 0.0)
    if at_least_one:
        stretch = max(stretch, 1.0)
    # mostly alpha H is far below 2, which row sums show
    if not above(alpha * (row_sum_upper(H) + error)) <= stretch + 1.0:
        high = _above_minus(-H, error, float(values[-1]))
        stretch = max(stretch, above(alpha * high) - 1.0 + 4 * UNIT)
    return above(stretch), low


def _above_minus(H: Array, error: float, guess: float) -> float:
    """Return a number x with H' + x >= 0 for every symmetric H' within `error` of H."""
    B, e = scaled_to_one(H)
    n, unit = len(B), math.ldexp(1.0, e)
    slack = _FIRST_SLACK * unit + 2 * error + 16 * n * gamma(n + 2) * unit
    for _ in range(60):
        x = guess + slack
        shifted = B.copy()
        np.einsum("ii->i", shifted)[:] += x / unit
        # x / unit is exact, its sum with an entry rounds
        margin = up(error / unit + 2 * UNIT * (abs(x / unit) + 1.0))
        if eigenvalues_at_least(shifted, margin):
            return x
        slack *= 2.0
    return math.inf


def _onto_ball(W: Array, radius: float) -> tuple[Array, float]:
    r"""Return the nearest matrix with |Y|_2 <= radius as computed, and a bound of its error.

    With W = P diag(s) Q^T + E and orthogonal P', Q' next to P and Q, B = P' diag(s) Q'^T has the
    projection P' diag(min(s, radius)) Q'^T, and those of W and B are no further apart than W and B.
    A matrix with |P^T P - 1|_F <= d has an orthogonal one within d.
    """
    P, s, Q = np.linalg.svd(W)
    n = len(s)
    kept = np.minimum(s, radius)
    Y = (P * kept) @ Q
    off = [
        length_upper(M.T @ M - np.eye(n)) + 2 * gamma(n + 4) * length_upper(M) ** 2
        for M in (P, Q.T)
    ]
    rounds = 2 * gamma(n + 4) * length_upper(P) * length_upper(Q)
    top, least = float(s[0]), min(float(s[0]), radius)
    apart = length_upper(W - (P * s) @ Q) + rounds * top
    turned = off[0] + off[1] + off[0] * off[1]
    return Y, above(apart + top * turned + rounds * least + least * turned)
