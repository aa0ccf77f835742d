"""The lane notices: faults that were there, put back one by one, are found.

Each entry is a former piece of the code (a formula derived for one case and used for another), or a
small forgetfulness of the kind that such code is prone to, and the check that must stop at it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import of_answers
import pytest
from check import Check
from tally import FalseClaimError
from test_lane import CHECKS, compared

import theory.arithmetic.intervals
import theory.maps.boxes
from theory.arithmetic.intervals import Interval, products, sum_of, widened
from theory.arithmetic.rounding import TINY, UNIT, gamma, inner_product_error
from theory.maps.boxes.fading import fading, roots
from theory.typing import Array

BY_NAME: dict[str, Check] = {check.name: check for check in CHECKS}

#: Cases after which a fault counts as missed.
CASES = 1000

Patch = Callable[[pytest.MonkeyPatch], None]


def turned_up_for_states_around_zero(patch: pytest.MonkeyPatch) -> None:
    """Put back the bound of a h + sqrt(1 - a**2) w for h >= 0, used for states of any sign."""

    def _turned_up(y: Interval, w: Array, h: Array) -> Array:
        slowest, root = fading((y[0], y[0])), roots(y[0])
        largest = roots(y[1])[1]

        def total(a: Interval, s: Interval) -> Array:
            return sum_of(products(a, (h, h)), products(s, (w, w)))[1]

        grows = (w <= 0) | (h * root[0] * (1 - 2.0**-40) >= slowest[1] * w)
        length = widened(*(np.hypot(h, w),) * 2)[1]
        apart = total(slowest, (largest, largest))
        return np.where(grows, total(slowest, root), np.minimum(length, apart))

    patch.setattr("theory.maps.boxes.fading._turned_up", _turned_up)


def euler_image_of_states_around_zero(patch: pytest.MonkeyPatch) -> None:
    """Put back the ends of the steps as the extremes, which they are for h >= 0 from above only."""

    def euler_image(rates: Array, step: Interval, gain: Interval, states: Interval) -> Interval:
        y = products((rates, rates), step)
        ends = [
            sum_of(products(fading((y[i], y[i])), states), products((step[i], step[i]), gain))
            for i in (0, 1)
        ]
        return np.minimum(ends[0][0], ends[1][0]), np.maximum(ends[0][1], ends[1][1])

    patch.setattr("theory.maps.boxes.fading.euler_image", euler_image)


def euler_steps_are_largest_at_an_end(patch: pytest.MonkeyPatch) -> None:
    """Put back the ends of the steps as the extremes, on the curve, for states below 0 too."""
    import theory.maps.boxes.fading as fading_file

    def _euler_up(rates: Array, step: Interval, w: Array, h: Array) -> Array:
        def value(D: Array) -> Interval:
            s = fading(products((rates, rates), (D, D)))
            return sum_of(products(s, (h, h)), products((D, D), (w, w)))

        return np.maximum(*(value(D)[1] for D in step))

    patch.setattr(fading_file, "_euler_up", _euler_up)


def affine_image_of_finite_boxes(patch: pytest.MonkeyPatch) -> None:
    """Put 0 back for infinite ends, where the radius becomes negative and hides the rounding."""

    def affine_image(W: Array, low: Array, high: Array, b: Array | None = None) -> Interval:
        shift = np.zeros(W.shape[0]) if b is None else b
        below, above = np.isfinite(low), np.isfinite(high)
        l, h = np.where(below, low, 0.0), np.where(above, high, 0.0)  # noqa: E741
        middle = l / 2 + h / 2
        radius = np.nextafter(np.maximum(h - middle, middle - l), math.inf)
        radius = np.where(l == h, 0.0, radius)
        middle = np.where(l == h, l, middle)
        size = np.abs(W)
        spread, magnitude = (size @ np.stack([radius, np.abs(middle) + radius], axis=1)).T
        error = inner_product_error(magnitude + np.abs(shift), 2 * W.shape[1] + 4)
        centre = W @ middle + shift
        lower = np.nextafter(centre - spread - error, -math.inf)
        upper = np.nextafter(centre + spread + error, math.inf)
        goes_down = (W > 0) @ ~below | (W < 0) @ ~above
        goes_up = (W > 0) @ ~above | (W < 0) @ ~below
        return np.where(goes_down, -math.inf, lower), np.where(goes_up, math.inf, upper)

    import of_arithmetic

    patch.setattr(of_arithmetic.intervals, "affine_image", affine_image)


def kernel_tail_of_normal_powers(patch: pytest.MonkeyPatch) -> None:
    """Put back powers whose errors are taken to be relative, also where they underflow."""
    right = of_answers.kernel_tail

    def kernel_tail(layer: Any, head: Any, *, k: int, **asked: Any) -> Any:
        found = right(layer, head, k=k, **asked)
        values, (n, m) = layer.eigenvalues, layer.B.shape
        c = head.C[:, :n] - 1j * head.C[:, n:]
        weights = (c.T[:, :, None] * layer.B[:, None, :]).reshape(n, -1)
        reach, power, p = np.abs(weights), values**k, len(head.C)
        lower, upper, bound = np.zeros(p), np.zeros(p), float(asked["inputs"].reach(m)[0])
        for j in range(200):
            K = np.abs((power @ weights).real)
            error = (np.abs(power) @ reach) * (8 * UNIT * (k + j + 2) + 2 * gamma(4 * n + 16))
            error += 8 * n * TINY
            lower += np.maximum(K - error, 0.0).reshape(p, m).sum(axis=1)
            upper += (K + error).reshape(p, m).sum(axis=1)
            power = power * values
        rest = (
            ((np.abs(power) * (1 + UNIT) / (1 - np.abs(values))) @ reach).reshape(p, m).sum(axis=1)
        )
        slack = 2.0**-40
        return replace(
            found, lower=lower * bound * (1 - slack), upper=(upper + rest) * bound * (1 + slack)
        )

    patch.setattr(of_answers, "kernel_tail", kernel_tail)


def errors_that_are_no_numbers_are_small(patch: pytest.MonkeyPatch) -> None:
    """Put back the count of errors above eps, which leaves out what is no number."""
    right = of_answers.effective_memory

    def effective_memory(*given: Any, **asked: Any) -> Any:
        found = right(*given, **asked)
        errors = np.where(np.isinf(found.errors), 0.0, found.errors)
        seen = np.count_nonzero(~(errors <= found.eps), axis=1)
        failing = np.flatnonzero(seen > 0)
        k = 0 if failing.size == 0 else int(failing[-1]) + 1
        return replace(found, exceedances=seen, k=k if k < len(seen) else None)

    patch.setattr(of_answers, "effective_memory", effective_memory)


def casts_err_relatively(patch: pytest.MonkeyPatch) -> None:
    """Put back parametrizations whose room is a share of the rate, also among subnormal numbers."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    import theory.torch

    class RowSums:
        def __init__(self, limits: Array) -> None:
            self.limits = torch.from_numpy(np.asarray(limits) * (1.0 - 2.0**-20))

        def __call__(self, X: Any) -> Any:
            wide = X.double()
            sums = wide.abs().sum(dim=1)
            scale = torch.where(sums > self.limits, self.limits / sums, torch.ones_like(sums))
            return (wide * scale[:, None]).to(X.dtype)

    patch.setattr(theory.torch, "RowSums", RowSums)


def constants_forget_a_radius(patch: pytest.MonkeyPatch) -> None:
    """Put back constants of maps in a ball that leave out the ball."""
    right = of_answers.map_constants

    def map_constants(*given: Any, radius: float = 0.0, **asked: Any) -> Any:
        del radius
        return right(*given, **asked)

    patch.setattr(of_answers, "map_constants", map_constants)


def sums_to_nearest(patch: pytest.MonkeyPatch) -> None:
    """Forget to round sums of intervals outward."""
    import of_arithmetic

    def sum_of(*terms: Interval) -> Interval:
        low, high = zip(*terms, strict=True)
        return np.asarray(sum(low)), np.asarray(sum(high))

    patch.setattr(of_arithmetic.intervals, "sum_of", sum_of)


def slopes_to_nearest(patch: pytest.MonkeyPatch) -> None:
    """Forget what the derivative loses."""
    import of_arithmetic

    right = theory.arithmetic.intervals.slope_range

    def slope_range(rho: Any, low: Array, high: Array) -> Interval:
        if rho.name != "tanh":
            return right(rho, low, high)
        nearest = np.where((low <= 0) & (high >= 0), 0.0, np.minimum(np.abs(low), np.abs(high)))
        farthest = np.maximum(np.abs(low), np.abs(high))
        return rho.derivative(farthest), rho.derivative(nearest)

    patch.setattr(of_arithmetic.intervals, "slope_range", slope_range)


def pairs_taken_at_their_word(patch: pytest.MonkeyPatch) -> None:
    """Put back the distance that the search for the nearest stable pair returns, unchecked."""
    from theory.kernels.stable_pairs import stable_pair_kernel

    def principal_lower(A: Array, radius: float) -> float:
        best = 0.0
        for i in range(len(A)):
            for j in range(i):
                block = np.ascontiguousarray(A[np.ix_([j, i], [j, i])])
                out = np.empty((1, 2, 2))
                stable_pair_kernel(block[None], radius, out)
                best = max(best, float(np.linalg.norm(block - out[0])) * (1 - 2.0**-25))
        return best

    patch.setattr(of_answers, "principal_lower", principal_lower)


FAULTS: tuple[tuple[Patch, str], ...] = (
    (turned_up_for_states_around_zero, "images"),
    (turned_up_for_states_around_zero, "tubes"),
    (euler_image_of_states_around_zero, "parts_of_steps"),
    (euler_steps_are_largest_at_an_end, "parts_of_steps"),
    (constants_forget_a_radius, "constants"),
    (affine_image_of_finite_boxes, "affine_images"),
    (kernel_tail_of_normal_powers, "kernel_tails"),
    (errors_that_are_no_numbers_are_small, "memories"),
    (casts_err_relatively, "parametrizations"),
    (sums_to_nearest, "entrywise"),
    (slopes_to_nearest, "activation_images"),
)


@pytest.mark.parametrize(
    ("fault", "name"), FAULTS, ids=lambda part: getattr(part, "__name__", part)
)
def test_a_fault_that_is_put_back_is_found(
    fault: Patch, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault(monkeypatch)
    with pytest.raises(FalseClaimError):
        compared(BY_NAME[name], CASES)
