r"""The same projections as convex programs, for cvxpy: oracles, and a way out.

Main names: `attempt`, `Solved`, `spectral`, `row_sums`, `column_sums`, `metric`, `rows`.

cvxpy is loaded inside the functions.  A solver's iterate is never returned: what comes out of here
goes through the same rigorous test as every other candidate.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.projections.metric import MetricSet
from theory.typing import Array

#: Solvers in the order in which they are tried, with their settings.
SOLVERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("CLARABEL", {}),
    ("SCS", {"eps": 1e-8, "max_iters": 100_000}),
)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Solved:
    """What a solver returned, unverified."""

    arrays: tuple[Array, ...]
    solver: str
    iterations: int
    value: float  # the distance that it claims

    @property
    def method(self) -> str:
        """Return what a projection by this answer calls its method."""
        return f"cvxpy ({self.solver})"


def solve(
    given: tuple[Array, ...],
    constraints: Callable[[Any, list[Any]], list[Any]],
    solvers: tuple[tuple[str, dict[str, Any]], ...] = SOLVERS,
) -> Solved:
    """Minimise the distance from the given arrays under constraints on variables of their shapes.

    Raises
    ------
    ArithmeticError
        If no solver ends with a solution.
    """
    import cvxpy as cp

    variables = [cp.Variable(a.shape) for a in given]
    objective = sum(cp.sum_squares(x - a) for x, a in zip(variables, given, strict=True))
    problem = cp.Problem(cp.Minimize(objective), constraints(cp, variables))
    reasons = []
    for name, settings in solvers:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                problem.solve(solver=name, **settings)
        except (cp.error.SolverError, ValueError, ArithmeticError) as error:
            reasons.append(f"{name}: {error}".splitlines()[0])
            continue
        values = [x.value for x in variables]
        if problem.status in {"optimal", "optimal_inaccurate"} and all(
            v is not None and np.isfinite(v).all() for v in values
        ):
            stats = problem.solver_stats
            count = 0 if stats is None or stats.num_iters is None else int(stats.num_iters)
            return Solved(
                arrays=tuple(np.asarray(v, dtype=np.float64) for v in values),
                solver=name,
                iterations=count,
                value=float(np.sqrt(max(float(problem.value), 0.0))),
            )
        reasons.append(f"{name}: {problem.status}")
    raise ArithmeticError("; ".join(reasons))


def attempt(solver: Callable[[], Solved]) -> tuple[Solved | None, str]:
    """Return a solver's answer, or None and the reason why a closed form is used instead."""
    try:
        return solver(), ""
    except ArithmeticError as error:
        return None, f"the solver failed ({error}), so the specialised method was used"


def spectral(W: Array, radius: float) -> Solved:
    """Return the nearest matrix with largest singular value <= radius."""
    return solve((W,), lambda cp, x: [cp.sigma_max(x[0]) <= radius])


def row_sums(W: Array, limits: Array, v: Array) -> Solved:
    """Return the nearest matrix with sum_j v_j |W_ij| <= limits_i."""
    return solve((W,), lambda cp, x: [cp.abs(x[0]) @ v <= limits])


def column_sums(W: Array, limits: Array, v: Array) -> Solved:
    """Return the nearest matrix with sum_i v_i |W_ij| <= limits_j."""
    return solve((W,), lambda cp, x: [v @ cp.abs(x[0]) <= limits])


def metric(W: Array, where: MetricSet) -> Solved:
    """Return the nearest matrix of a metric, ||L W R||_2 <= r."""
    L = where.high[:, None] * where.left.T
    R = where.right / where.low[None, :]
    return solve((W,), lambda cp, x: [cp.sigma_max(L @ x[0] @ R) <= where.radius])


def rows(X: Array, factors: Array, groups: Any, v: Array, limits: Array, signed: Any) -> Solved:
    """Return the nearest rows with sum_j factors[i, k, groups_j] v_kj |y_ij| <= limits[i, k].

    Entries of columns marked in `signed` enter without their modulus.
    """
    mask = signed.astype(np.float64)

    def constraints(cp: Any, x: list[Any]) -> list[Any]:
        sizes = cp.multiply(cp.abs(x[0]), 1.0 - mask[None, :]) + cp.multiply(x[0], mask[None, :])
        return [
            cp.sum(cp.multiply(sizes, factors[:, k][:, groups] * v[k][None, :]), axis=1)
            <= limits[:, k]
            for k in range(factors.shape[1])
            if np.isfinite(limits[:, k]).all()
        ]

    return solve((X,), constraints)
