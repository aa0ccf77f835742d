r"""First and second derivatives of the recurrent loss at given weights, with what rounding adds.

Main name: `Tangents`.

Of maps h <- rho(W h + U x + b), rho = tanh or the identity, with a_t = W h_(t-1) + U x_t + b,
z_t = (h_(t-1), x_t, 1), s = rho'(a), r = rho''(a), and S = diag(s).  A row of weights belongs to a
unit, so that w is a matrix (n, q) and the derivatives of a_t and h_t in it are

    A_t = W D_(t-1) + (one row z_t for each unit),    D_t = S_t A_t,              (n, n q).

With mu_t, delta_t = S_t mu_t the derivatives of the loss in h_t and in a_t,

    gradient = sum_t delta_t z_t^T,    Hessian = sum_t delta'_t z_t^T + delta_t (D_(t-1))^T,
    mu'_t = W^T delta'_(t+1) + (dW)^T delta_(t+1) + weight_t C^T l''_t C D_t,
    delta'_t = S_t mu'_t + r_t mu_t A_t.

All recurrences, forward and back, are solved by products of S_t W, and so is what rounding leaves
behind: local errors, measured as one long vector over all times, grow at most by the gain of
h_t = S_t W h_(t-1) + f_t, see `theory.arithmetic.bands`.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import final

import numpy as np
import numpy.typing as npt

from theory.arithmetic.bands import gain_upper
from theory.arithmetic.gram import weighted_gram_upper
from theory.arithmetic.rounding import (
    ELEMENTARY_UNITS,
    UNIT,
    drift,
    gamma,
    inner_product_error,
    ldexp_up,
    scaled_to_one,
    upper_after,
)
from theory.arithmetic.sums import length_upper
from theory.learning.constants.values import MapConstants
from theory.learning.data import TrainingData
from theory.maps.base import Map
from theory.maps.head import LinearHead
from theory.norms.norms import L2
from theory.typing import Array

#: No scalar here is made of more operations on numbers that are not negative.
OPERATIONS = 2**10

#: Largest number of entries of A_1 .. A_T, 512 MiB, of which six or so are kept.
MOST_ENTRIES = 2**26

#: How many factors S_t W are looked at as one product.
PRODUCTS = 4

#: A shift, relatively, under which a product Q^T Q has a Cholesky factor.
_SHIFT = 2.0**-30


def above(x: float) -> float:
    """Return an upper bound of what at most `OPERATIONS` operations were to give."""
    return float(upper_after(x, OPERATIONS)) if math.isfinite(x) else math.inf


def form_roots(G: Array, length: int) -> Array:
    r"""Return upper bounds of |M|_2 from M M^T as computed, (.., n, n), M of rows of some length.

    |M|_2^16 = |(M M^T)^8|_2 <= |(M M^T)^8|_F.  An entry errs by gamma(length) times the lengths of
    two rows of M, so that all err by at most n gamma(length) |M|_2^2; likewise the three squares.
    What underflowed in an entry, at most (length + 2) eta, is of length n (length + 2) eta in all.

    Powers are of G / 4^h, whose largest entry is in [1/4, 1]: as its norm is no less, nothing of
    use underflows, nor overflows below n = 2**50.  Where an entry is not finite it is inf.
    """
    n = G.shape[-1]
    lost = 32 * n * gamma(length + 3 * n + 8)
    fine = np.asarray(np.isfinite(G).all(axis=(-1, -2)))
    power = np.where(fine[..., None, None], G, 0.0)
    h = (np.frexp(np.max(np.abs(power), axis=(-1, -2), initial=0.0))[1] + 1) // 2
    power = np.ldexp(power, -2 * h[..., None, None])
    if lost <= 2.0**-10:
        for _ in range(3):
            power = power @ power.swapaxes(-1, -2)
        size = np.sqrt(np.einsum("...ij,...ij->...", power, power)) * (1.0 + 16 * lost)
        roots = size**0.0625
    else:  # |M|_2 <= |M|_F
        roots = np.sqrt(np.einsum("...ii->...", np.abs(power)) * (1.0 + lost))
    underflow = math.sqrt(n * (length + 2)) * 2.0**-536
    found: Array = np.ldexp(roots * (1.0 + 2.0**-40), h) + underflow
    return np.where(fine, found, math.inf)


def rows_upper(A: Array, weights: Array | None = None) -> float:
    """Return an upper bound of |diag(weights) A|_2, of at most `MOST_ENTRIES` entries.

    Both are scaled to one, so that of squares at most eta an entry is lost.
    """
    rows, e = scaled_to_one(A)
    share, f = scaled_to_one(np.ones(len(A)) if weights is None else weights)
    if not (rows.any() and share.any()):
        return 0.0
    q = A.shape[1]
    # the squares of the weights round once
    level = weighted_gram_upper(rows, np.square(share), np.ones(q), np.zeros(q))
    return above(ldexp_up(above(math.sqrt(above(level))), e + f))


@final
class Tangents:
    """Derivatives of one loss at one map, and bounds of their errors."""

    def __init__(
        self,
        model: Map,
        head: LinearHead,
        data: TrainingData,
        c: MapConstants,
        columns: npt.NDArray[np.bool_],
    ) -> None:
        form = model.affine()
        assert form is not None
        self.W, self.C, self.bent = form.W, head.C, form.rho.name == "tanh"
        self.columns = columns  # which of (h, x, 1) have weights that are trained
        self.data, self.wide = data, len(form.W) + form.U.shape[1] + 1
        # sequences one after another: (B T, ..)
        B, T, m = data.inputs.shape
        self.T, n = T, len(form.W)
        self.first = np.arange(B * T) % T == 0
        X = data.inputs.reshape(B * T, m)
        self.weights = data.weights.reshape(-1)
        terms = X @ form.U.T + form.b
        H = np.zeros((B, T + 1, n))
        for t in range(T):
            H[:, t + 1] = form.rho(H[:, t] @ form.W.T + terms.reshape(B, T, n)[:, t])
        self.h = H[:, 1:].reshape(-1, n)
        Z = np.hstack([H[:, :-1].reshape(-1, n), X, np.ones((B * T, 1))])
        self.all_Z, self.Z = Z, np.ascontiguousarray(Z[:, columns])
        self.recurrent = bool(columns[:n].any())
        self.s = 1.0 - self.h**2 if self.bent else np.ones_like(self.h)
        self.r = -2.0 * self.h * self.s if self.bent else np.zeros_like(self.h)
        self.q = -2.0 * self.s * (1.0 - 3.0 * self.h**2) if self.bent else np.zeros_like(self.h)
        self.size = float(L2().matrix_upper(form.W))
        self.frobenius = length_upper(form.W)
        local = model.step_error(np.full(n, c.state_bound), np.max(np.abs(X), axis=0, initial=0.0))
        self.state_error = drift(length_upper(local), c.lam, T)  # of every computed h_t
        self._outputs(head)

    # what the loss says ---------------------------------------------------------------------------

    def _outputs(self, head: LinearHead) -> None:
        loss, C = self.data.loss, self.C
        targets = self.data.targets.reshape(len(self.h), -1)
        Y = self.h @ C.T + head.d
        self.head_size, self.head_frobenius = float(L2().matrix_upper(C)), length_upper(C)
        self.rows = L2().vector_upper(C)  # |C_j|
        magnitude = np.abs(self.h) @ np.abs(C).T + np.abs(head.d)
        computed = inner_product_error(magnitude, C.shape[1] + 1)
        # |y - y as computed|, entrywise
        self.output_error = self.rows * self.state_error + computed
        self.g = loss.gradient(Y, targets)
        logistic = loss.name == "bernoulli"
        # a logistic function errs by 16 u, the difference by u; of others only the difference
        rounding = (3 * ELEMENTARY_UNITS if logistic else 1) * UNIT * (1.0 + np.abs(self.g))
        off = loss.curvature * self.output_error + rounding
        self.slope_error = L2().vector_upper(off)
        # l'', and whether |l'''| <= l'': the logistic function's s(1 - s)(1 - 2 s) is, others are 0
        self.bends = logistic
        if logistic:
            z = np.exp(-np.abs(Y))
            self.curved = z / np.square(1.0 + z)
        else:
            self.curved = np.full_like(Y, loss.curvature)
        # it changes by at most itself times the change of y, and by 28 u as computed
        change = float(np.max(self.output_error, initial=0.0)) if logistic else 0.0
        self.curved_error = above(loss.curvature * (change + 4 * ELEMENTARY_UNITS * UNIT))
        self.heaviest = float(np.max(np.abs(self.weights), initial=0.0))

    # derivatives in w, as computed ----------------------------------------------------------------

    @cached_property
    def A(self) -> Array:
        """Return the derivatives of all a_t, (B T, n, n q)."""
        n, q = len(self.W), self.Z.shape[1]
        A = np.empty((len(self.h), n, n * q))
        own = np.arange(n)
        for t, begins in enumerate(self.first):
            if begins:
                A[t] = 0.0
            else:
                np.matmul(self.W, self.s[t - 1][:, None] * A[t - 1], out=A[t])
            A[t].reshape(n, n, q)[own, own] += self.Z[t]
        return A

    @cached_property
    def D(self) -> Array:
        """Return the derivatives of all h_t."""
        found: Array = self.s[:, :, None] * self.A
        return found

    @cached_property
    def mu(self) -> Array:
        """Return the derivatives of the loss in all h_t, (B T, n)."""
        mu = self.weights[:, None] * (self.g @ self.C)
        for t in range(len(mu) - 2, -1, -1):
            if not self.first[t + 1]:
                mu[t] += self.W.T @ (self.s[t + 1] * mu[t + 1])
        return mu

    @cached_property
    def delta(self) -> Array:
        """Return the derivatives of the loss in all a_t."""
        return self.s * self.mu

    @cached_property
    def gradient(self) -> Array:
        """Return the gradient in all of (W, U, b) beside each other, trained or not, (n, n+m+1)."""
        found: Array = self.delta.T @ self.all_Z
        return found

    @cached_property
    def _bent_back(self) -> tuple[Array, Array]:
        """Return all mu' and delta', (B T, n, n q)."""
        n, q = len(self.W), self.Z.shape[1]
        back, moved = np.empty_like(self.A), np.empty_like(self.A)
        share = (self.weights[:, None] * self.curved)[:, :, None]
        for t in range(len(self.h) - 1, -1, -1):
            M = self.C.T @ (share[t] * (self.C @ self.D[t]))
            if t + 1 < len(self.h) and not self.first[t + 1]:
                M += self.W.T @ moved[t + 1]
                if self.recurrent:
                    # (dW)^T delta: of the weight from k to j, delta_j at unit k
                    blocks = M.reshape(n, n, q)
                    for k in range(n):
                        blocks[k, :, k] += self.delta[t + 1]
            back[t] = M
            moved[t] = self.s[t][:, None] * M + (self.r[t] * self.mu[t])[:, None] * self.A[t]
        return back, moved

    @cached_property
    def hessian(self) -> Array:
        """Return the Hessian in the trained weights, (n q, n q), symmetric."""
        n, q = len(self.W), self.Z.shape[1]
        S = len(self.h)
        moved = self._bent_back[1]
        H = (moved.reshape(S, -1).T @ self.Z).reshape(n, n * q, q).swapaxes(1, 2).copy()
        if self.recurrent and S > 1:
            before = np.where(self.first[1:, None, None], 0.0, self.D[:-1])
            H[:, :n] += (self.delta[1:].T @ before.reshape(S - 1, -1)).reshape(n, n, n * q)
        H = H.reshape(n * q, n * q)
        found: Array = (H + H.T) / 2
        return found

    # bounds of errors, as Frobenius norms over all times ------------------------------------------

    @cached_property
    def steps(self) -> Array:
        """Return S_t W as computed, zero where a sequence begins."""
        F = self.s[:, :, None] * self.W
        F[self.first] = 0.0
        return F

    @cached_property
    def own_gain(self) -> float:
        """Return the gain of the computed S_t W."""
        one = np.broadcast_to(np.eye(len(self.W)), self.steps.shape)
        return gain_upper(self.steps, one)

    def gain(self, change: float) -> float:
        """Return the gain of all S_t W that differ from the computed ones by up to `change`.

        (1 - N)^-1 = (1 - N_0)^-1 (1 - (N - N_0)(1 - N_0)^-1)^-1.
        """
        spent = above(self.own_gain * (change + UNIT * self.frobenius))
        return above(self.own_gain / (1.0 - spent)) if spent <= 0.5 else math.inf

    @cached_property
    def slope_off(self) -> float:
        """Return a bound of the error of the slopes s: |d(1 - h^2)| <= 2 |dh|, and 4 u."""
        return above(2 * self.state_error + 4 * UNIT) if self.bent else 0.0

    @cached_property
    def _errors(self) -> dict[str, float]:
        r"""Return bounds of the errors of A, D, mu, delta, and of the gradient.

        E.g. of D: D_t = S_t (W D_(t-1) + Z_t) is computed from a Z that errs by the states, slopes
        that err, and sums that round, so that the error e_t obeys

            e_t = S_t W e_(t-1) + f_t,   |f_t| <= |Z error| + |slope error| |A_t| + rounding.
        """
        n, S = self.W.shape[0], len(self.h)
        flag = 1.0 if self.recurrent else 0.0
        gain = self.gain(above(self.slope_off * self.size))
        rounds = gamma(n + 8)
        A, D, Z = length_upper(self.A), length_upper(self.D), length_upper(self.Z)
        states = self.state_error * math.sqrt(S)
        sums = rounds * (self.frobenius * D + math.sqrt(n) * Z)
        local = flag * math.sqrt(n) * states + sums
        D_error = gain * (local + (self.slope_off + 2 * UNIT) * A)
        A_error = self.size * D_error + local
        g = length_upper(self.weights[:, None] * self.g)
        g_error = length_upper(self.weights * self.slope_error)
        mu, delta = length_upper(self.mu), length_upper(self.delta)
        slopes = self.slope_off + 2 * UNIT
        p = len(self.C)
        f = self.head_size * g_error + gamma(p + n + 8) * self.head_frobenius * g
        f += self.size * slopes * mu + rounds * self.frobenius * delta
        mu_error = gain * f
        delta_error = mu_error + slopes * mu
        whole = length_upper(self.all_Z)
        gradient = delta_error * whole + (delta + delta_error) * states
        gradient += gamma(S + 4) * delta * whole
        found = {"A": A_error, "D": D_error, "mu": mu_error, "delta": delta_error}
        return {name: above(x) for name, x in (found | {"gradient": gradient}).items()}

    def error(self, name: str) -> float:
        """Return a bound of the error of A, D, mu, delta or the gradient, as one vector."""
        return self._errors[name]

    @cached_property
    def hessian_error(self) -> float:
        """Return a bound of the error of the Hessian, in the Frobenius norm."""
        n, S, p = len(self.W), len(self.h), len(self.C)
        back, moved = (length_upper(a) for a in self._bent_back)
        A, D, Z = (length_upper(a) for a in (self.A, self.D, self.Z))
        delta, slopes = length_upper(self.delta), self.slope_off + 2 * UNIT
        curvature, e = self.data.loss.curvature, self._errors
        # r mu A: |d(2 h - 2 h^3)| <= 4 |dh|, and 16 u
        r_error = 4 * self.state_error + 16 * UNIT if self.bent else 0.0
        mu_largest = float(np.max(np.abs(self.mu), initial=0.0)) + e["mu"]
        factor = (e["mu"] if self.bent else 0.0) + r_error * mu_largest + 2 * UNIT * mu_largest
        product = mu_largest * e["A"] + factor * A if self.bent else 0.0
        size, frobenius = self.head_size, self.head_frobenius
        head = size * (size * (curvature * e["D"] + self.curved_error * D))
        head += gamma(2 * n + 2 * p + 16) * frobenius * (frobenius * (curvature + UNIT) * D)
        f = math.sqrt(n) * e["delta"] + self.heaviest * head
        f += self.size * (slopes * back + product)
        f += gamma(n + 16) * (self.frobenius * moved + math.sqrt(n) * delta + back)
        back_error = self.gain(above(self.slope_off * self.size)) * f
        moved_error = back_error + slopes * back + product + 4 * UNIT * moved
        states = self.state_error * math.sqrt(S)
        total = moved_error * Z + (moved + moved_error) * states
        total += e["delta"] * D + (delta + e["delta"]) * e["D"]
        total += gamma(S + 8) * (moved * Z + delta * D)
        return above(total)

    # norms over all directions of length 1 --------------------------------------------------------

    def longest(self, weights: Array, of: Array | None = None) -> float:
        """Return an upper bound of the length of all weights_t A_t w together, |w| = 1."""
        rows = self.A if of is None else of
        each = np.broadcast_to(weights, rows.shape[:2]).reshape(-1)
        return rows_upper(rows.reshape(-1, rows.shape[-1]), each)

    @cached_property
    def D_longest(self) -> float:
        """Return an upper bound of the length of all D_t w together."""
        return above(self.longest(self.s) + self.error("D"))

    @cached_property
    def Z_longest(self) -> float:
        """Return an upper bound of the length of all z_t . w together."""
        return above(rows_upper(self.Z) + self.state_error * math.sqrt(len(self.Z)))

    @cached_property
    def delta_longest(self) -> float:
        """Return an upper bound of the length of all delta_t . v together, |v| = 1."""
        return above(rows_upper(self.delta) + self.error("delta"))

    @cached_property
    def D_each(self) -> Array:
        """Return upper bounds of |D_t|_2, one for each time."""
        G = self.A_forms * (self.s[:, :, None] * self.s[:, None, :])
        return form_roots(G, self.D.shape[2]) + self.error("D")

    @cached_property
    def A_forms(self) -> Array:
        """Return A_t A_t^T as computed, (B T, n, n)."""
        found: Array = self.A @ self.A.swapaxes(1, 2)
        return found

    @cached_property
    def carried(self) -> list[Array]:
        r"""Return upper bounds of the norms of products of S_t W over 0, 1, .. times up to each t.

        A product rounds by at most gamma(n) times the lengths of its factors, none beyond |W|_F.
        """
        n, F = len(self.W), self.steps
        found, product = [np.ones(len(F))], np.broadcast_to(np.eye(n), F.shape)
        for j in range(1, PRODUCTS + 1):
            shifted = np.zeros_like(F)
            shifted[j - 1 :] = F[: len(F) - j + 1]
            product = product @ shifted
            lost = above(2 * j * gamma(n + 4) * max(self.frobenius, 1.0) ** j * math.sqrt(n))
            found.append(form_roots(product @ product.swapaxes(1, 2), n) + lost)
        return found

    @cached_property
    def A_rows(self) -> Array:
        """Return upper bounds of the lengths of the rows of A_t, (B T, n)."""
        found: Array = L2().vector_upper(self.A) + self.error("A")
        return found

    @cached_property
    def output_rows(self) -> float:
        """Return an upper bound of |C_j D_t| over all times and outputs."""
        n, length = len(self.W), self.D.shape[2]
        CD = self.C @ self.D.swapaxes(0, 1).reshape(n, -1)
        longest = float(np.max(L2().vector_upper(CD.reshape(len(self.C), -1, length)), initial=0.0))
        most = float(np.max(self.rows, initial=0.0))
        sums = gamma(n + 4) * n * float(np.max(self.D_each, initial=0.0))
        return above(longest + most * (sums + self.error("D")))

    @cached_property
    def output_forms(self) -> tuple[Array, float]:
        """Return C^T |weight_t| l''_t C as computed, and a bound of their errors."""
        size = np.abs(self.weights)[:, None] * self.curved
        G = np.einsum("tp,pi,pj->tij", size, self.C, self.C, optimize=True)
        G = (G + G.swapaxes(1, 2)) / 2
        p = len(self.C)
        error = gamma(2 * p + 16) * (self.data.loss.curvature + UNIT) + self.curved_error
        error *= self.head_frobenius * self.head_frobenius
        return G, above(self.heaviest * error)

    @cached_property
    def output_gain(self) -> float:
        """Return the gain of the computed S_t W to the outputs, weighted by (weight l'')^(1/2)."""
        G, error = self.output_forms
        return above(math.sqrt(gain_upper(self.steps, G) ** 2 + error * self.own_gain**2))

    @cached_property
    def output_longest(self) -> float:
        """Return an upper bound of the length of (weight l'')^(1/2) C D_t w over all times."""
        G, error = self.output_forms
        n = len(self.W)
        shift = _SHIFT * float(np.max(np.abs(G), initial=0.0))
        if not 0 < shift < math.inf:
            return above(math.sqrt(error) * self.D_longest) if shift == 0 else math.inf
        L = np.linalg.cholesky(G + shift * np.eye(n))
        R = np.ascontiguousarray(L.swapaxes(1, 2))
        rest = float(np.max(L2().vector_upper((G - L @ R).reshape(len(G), -1)), initial=0.0))
        largest = float(np.max(L2().vector_upper(R.reshape(len(R), -1)), initial=0.0))
        rest += error + 2 * gamma(n + 4) * largest * largest
        RD = R @ self.D
        rounds = 2 * gamma(n + 4) * largest * length_upper(self.D)
        own = self.longest(np.ones(1), RD) + rounds + largest * self.error("D")
        return above(math.hypot(own, math.sqrt(rest) * self.D_longest))
