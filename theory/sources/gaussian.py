r"""A linear system with Gaussian noise: its Kalman filter as a map, and what k steps lose.

Main name: `LinearGaussianModel`.

    s_(t+1) = F s_t + w_t,   y_t = C s_t + v_t,   w ~ N(0, Q), v ~ N(0, R), all independent
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import numpy.typing as npt

from theory.errors import as_matrix, as_square, check_count
from theory.maps.linear import LinearMap
from theory.shown import shown
from theory.typing import Array


@final
@shown
@dataclass(frozen=True, eq=False, repr=False)
class LinearGaussianModel:
    r"""A stationary linear system with Gaussian noise.

    The covariances are computed in doubles by SciPy's solvers: numbers of this class are not
    proved, unlike those of `information_values`.

    Parameters
    ----------
    F : (n, n) array
        Stable: all eigenvalues inside the unit circle, else there is no stationary process.
    C : (p, n) array
    Q : (n, n) array
        Covariance of the noise of the state, positive semidefinite.
    R : (p, p) array
        Covariance of the noise of the output, positive definite.

    Raises
    ------
    ValueError
        If a shape does not fit, F is not stable, or a covariance is none.

    Examples
    --------
    >>> model = LinearGaussianModel([[0.9]], [[1.0]], [[1.0]], [[1.0]])
    >>> model.filter().W.round(6).tolist()
    [[0.362333]]
    """

    F: Array  # F, (n, n)
    C: Array  # C, (p, n)
    Q: Array  # Q, (n, n)
    R: Array  # R, (p, p)

    def __init__(
        self, F: npt.ArrayLike, C: npt.ArrayLike, Q: npt.ArrayLike, R: npt.ArrayLike
    ) -> None:
        move = as_square("F", F)
        n = len(move)
        see = as_matrix("C", C, columns=n)
        noise, own = as_matrix("Q", Q, rows=n, columns=n), as_square("R", R)
        if len(own) != len(see):
            raise ValueError(f"R has shape {own.shape}, needed ({len(see)}, {len(see)}) as C has")
        radius = float(np.max(np.abs(np.linalg.eigvals(move))))
        if not radius < 1:
            raise ValueError(
                f"F has spectral radius {radius:.6g}, needed below 1: the process is not "
                "stationary, and has no mean loss of a window"
            )
        for name, matrix in (("Q", noise), ("R", own)):
            if not np.array_equal(matrix, matrix.T):
                raise ValueError(f"{name} is not symmetric, needed a covariance")
        if not np.linalg.eigvalsh(noise)[0] >= -(2.0**-40) * np.max(np.abs(noise), initial=0.0):
            raise ValueError("Q has a negative eigenvalue, needed a covariance")
        if not np.linalg.eigvalsh(own)[0] > 0:
            raise ValueError("R is not positive definite, needed noise in every output")
        for name, matrix in (("F", move), ("C", see), ("Q", noise), ("R", own)):
            object.__setattr__(self, name, matrix)

    @cached_property
    def spread(self) -> Array:
        """Return the stationary covariance of the state, what is known without any output."""
        from scipy.linalg import solve_discrete_lyapunov

        return np.asarray(solve_discrete_lyapunov(self.F, self.Q), dtype=np.float64)

    @cached_property
    def remaining(self) -> Array:
        """Return the covariance of the state given all outputs before, the Riccati solution."""
        from scipy.linalg import solve_discrete_are

        return np.asarray(solve_discrete_are(self.F.T, self.C.T, self.Q, self.R), dtype=np.float64)

    def gain(self, covariance: Array | None = None) -> Array:
        """Return the gain P C^T (C P C^T + R)^-1, of the Riccati solution by default."""
        P = self.remaining if covariance is None else covariance
        return np.asarray(np.linalg.solve(self.C @ P @ self.C.T + self.R, self.C @ P.T).T)

    def filter(self) -> LinearMap:
        """Return the filter h <- F (I - K C) h + F K y of the mean of the next state, in y.

        It is linear, so every certificate, bound and context of a `LinearMap` applies to it.
        """
        K = self.gain()
        return LinearMap(self.F @ (np.eye(len(self.F)) - K @ self.C), self.F @ K)

    def covariances(self, longest: int) -> Array:
        r"""Return the covariances of the state given the last 0 .. longest outputs, (L + 1, n, n).

        From the stationary covariance by Riccati's recursion.

        Raises
        ------
        ValueError
            If the length is not a count.
        """
        check_count(longest=longest)
        P = self.spread
        found = [P]
        for _ in range(longest):
            K = self.gain(P)
            left = np.eye(len(P)) - K @ self.C
            # in Joseph's form, which stays a covariance
            P = self.F @ (left @ P @ left.T + K @ self.R @ K.T) @ self.F.T + self.Q
            found.append((P + P.T) / 2)
        return np.array(found)

    def excess(self, longest: int) -> Array:
        r"""Return i_0 .. i_longest in nats, what the best predictor of l outputs loses.

        i_l = log(det S_l / det S) / 2 for the covariances S = C P C^T + R of the next output.

        Raises
        ------
        ValueError
            If the length is not a count.
        """
        seen = self.C @ self.covariances(longest) @ self.C.T + self.R
        last = self.C @ self.remaining @ self.C.T + self.R
        sizes = np.linalg.slogdet(seen)[1] - np.linalg.slogdet(last)[1]
        return np.maximum(np.asarray(sizes) / 2, 0.0)

    @cached_property
    def information(self) -> float:
        """Return I, the mutual information of past and future outputs, the sum of all i_l."""
        total, longest = 0.0, 64
        while True:
            values = self.excess(longest)
            total = float(np.sum(values))
            # the tail falls like the square of the filter's rate: stop below rounding of the sum
            if values[-1] <= 2.0**-50 * total or longest >= 2**14:
                return total
            longest *= 2

    def __repr__(self) -> str:
        return f"LinearGaussianModel({len(self.F)} states, {len(self.C)} outputs)"
