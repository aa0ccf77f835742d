r"""Search for weights and multipliers of a map's terms; what it returns is a candidate.

Main names: `by_multipliers`, `Candidate`, `floor_of`.

Minimised is the level of `theory.theorems.contractive_of_multipliers`: with w the weights of all
parts, intermediate ones included, and t the multipliers scaled to a load of 1 in every unit,

    level = max over the state's parts q of lambda_max(w_q^-1/2 F_q(s) w_q^-1/2),
    s_kj = sum_p w_pj t_pkj,        F_q(s) = diag(own) + sum_k V_k^T diag(s_k) V_k,

over log w and log t, by a quasi-Newton method with exact gradients of the smooth log tr(M^p) / p.
An intermediate part must have level 1: its weights are raised by its own level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np

from theory.certificates import Contraction
from theory.domain import Domain
from theory.maps.base import Map
from theory.theorems.contractive_of_multipliers import contractive_of_multipliers
from theory.theorems.terms import Terms
from theory.typing import Array

#: log2(p - 1) of the powers whose traces are minimised one after another: the first finds the
#: region, the last is within N^(1/p) of the level.
_SQUARINGS = (4, 7, 9)

#: Beyond this many units the last power, worth half a percent, is left out.
_LARGE = 128

#: Multiplications in a search: a second or two.  Steps for one power, whatever they take.
_WORK, _MOST_STEPS, _LEAST_STEPS = 1e11, 60, 20

#: A logarithm of the level that can not be had after the first power ends the search.
_HOPELESS = 0.1

#: Two sheets have the load (sum L^r)^(1/r), within 2^(1/r) of the larger; made exact at the end.
_SHEETS = 32

#: Steps of a power iteration: where the search begins needs few digits.
_POWERS = 40

#: Coefficients that are not 0 are taken to be at least this, so that they have a square.
_LEAST = 2.0**-300

#: Logarithms of multipliers stay within this of where they began, and those of the state's weights
#: within as much of each other: more keeps no digit of a length.
_RANGE = 24.0

#: A rate is looked for where it may be this much, relatively, below that of the comparison matrix.
_GAIN = 2.0**-7


class Candidate(NamedTuple):
    """Weights (parts, n) and multipliers (parts, signals, n); nothing is proved."""

    weights: Array
    multipliers: Array


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Search:
    """The level as a function of x = (log weights, log multipliers), with its gradient."""

    terms: Terms
    squares: Array  # C^2, (sheets, parts, signals, n)
    used: Array  # where a coefficient is not zero, (parts, signals, n)

    @classmethod
    def of(cls, terms: Terms) -> _Search:
        C = terms.coefficients
        squares = np.where(C > 0, np.square(np.maximum(C, _LEAST)), 0.0)
        return cls(terms=terms, squares=squares, used=np.max(squares, axis=0) > 0)

    def split(self, x: Array) -> tuple[Array, Array]:
        parts, signals, n = self.used.shape
        return x[: parts * n].reshape(parts, n), x[parts * n :].reshape(parts, signals, n)

    def within(self, x: Array) -> Array:
        """Return x with the state's weights within `_RANGE` of each other."""
        parts, _, n = self.used.shape
        state = self.terms.state_parts * n
        logs = x[: parts * n] - np.mean(x[:state])
        logs[:state] = np.clip(logs[:state], -_RANGE / 2, _RANGE / 2)
        return np.concatenate([logs, x[parts * n :]])

    def bounds(self, x: Array) -> tuple[Array, Array]:
        """Return the ends between which an x is looked for."""
        state = self.terms.state_parts * self.terms.units
        low, high = x - _RANGE, x + _RANGE
        low[:state], high[:state] = -_RANGE / 2, _RANGE / 2
        return low, high

    def loaded(self, theta: Array) -> tuple[Array, Array]:
        """Return the logarithm of the load of exp(theta), and its slopes in theta."""
        sums = self.squares * np.where(self.used, np.exp(-theta), 0.0)
        loads = np.sum(sums, axis=2)
        largest = np.max(loads, axis=0)
        scale = np.where(largest > 0, largest, 1.0)
        powers = (loads / scale) ** _SHEETS
        total = np.where(largest > 0, np.sum(powers, axis=0), 1.0)
        share = powers / total / np.where(loads > 0, loads, 1.0)
        slopes = -np.sum(share[:, :, None] * sums, axis=0)
        return np.where(largest > 0, np.log(total) / _SHEETS + np.log(scale), 0.0), slopes

    def multipliers(self, theta: Array) -> Array:
        """Return t of load 1, exactly but for rounding."""
        t = np.where(self.used, np.exp(theta), 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            loads = np.max(np.sum(np.where(self.used, self.squares / t, 0.0), axis=2), axis=0)
        return np.asarray(t * loads[:, None])

    def trace(self, q: int, w: Array, s: Array, squarings: int) -> tuple[float, Array, Array]:
        """Return log tr(M_q^p) / p, and its slopes in s (signals, n) and in log w (n,)."""
        signals = self.terms.signals
        mine = [k for k, one in enumerate(signals) if one.part == q]
        inner = [k for k in mine if signals[k].V is not None]
        own = np.sum([s[k] for k in mine if signals[k].V is None], axis=0) + np.zeros(len(w))
        p = 2**squarings + 1
        slopes = np.zeros_like(s)
        A = self.terms.stacks[q]
        if not inner:
            ratios = own / w
            largest = float(np.max(ratios))
            if largest == 0:
                return -math.inf, slopes, np.zeros(len(w))
            powers = (ratios / largest) ** (p - 1)
            total = float(np.sum(powers * ratios / largest))
            gradient = powers / total / largest
            for k in mine:
                slopes[k] = gradient / w
            return math.log(largest) + math.log(total) / p, slopes, -gradient * ratios
        root = 1.0 / np.sqrt(w)
        B = np.sqrt(np.concatenate([s[k] for k in inner]))[:, None] * A * root
        M = B.T @ B
        M[np.diag_indices(len(w))] += own / w
        X, log = _power(M, squarings)
        total = float(np.sum(X * M))
        if not total > 0:
            return -math.inf, slopes, np.zeros(len(w))
        X /= total
        Y = root[:, None] * X * root
        rows = np.einsum("ij,ij->i", A @ Y, A)
        for k, part in zip(inner, np.split(rows, len(inner)), strict=True):
            slopes[k] = part
        for k in mine:
            if signals[k].V is None:
                slopes[k] = np.diag(Y)
        return (log + math.log(total)) / p, slopes, -np.sum(X * M, axis=1)

    def level(self, x: Array, squarings: int) -> tuple[float, Array]:
        """Return the smooth logarithm of the level, and its gradient."""
        logs, theta = self.split(x)
        load, by_theta = self.loaded(theta)
        t = np.where(self.used, np.exp(theta + load[:, None]), 0.0)
        state = self.terms.state_parts
        raised: list[tuple[float, Array, Array]] = []
        w = np.exp(logs)
        # (the slopes of log t are those of s times w t)
        for q in range(state, len(w)):
            s = np.einsum("pj,pkj->kj", w[:state], t[:state])
            value, by_s, by_w = self.trace(q, w[q], s, squarings)
            raised.append((value, by_s, by_w))
            w[q] = w[q] * math.exp(value)
        s = np.einsum("pj,pkj->kj", w, t)
        found = [self.trace(q, w[q], s, squarings) for q in range(state)]
        p = 2**squarings + 1
        values = np.array([value for value, _, _ in found])
        top = float(np.max(values))
        if not math.isfinite(top):
            return top, np.zeros_like(x)
        shares = np.exp(p * (values - top))
        total = float(np.sum(shares))
        by_s = np.sum([a * one[1] for a, one in zip(shares / total, found, strict=True)], axis=0)
        spread = w[:, None] * t * by_s
        by_logs = np.sum(spread, axis=1)
        for q in range(state):
            by_logs[q] += shares[q] / total * found[q][2]
        for q, (_, own_s, own_w) in zip(range(state, len(w)), raised, strict=True):
            # the raise shifts log w_q as a whole
            whole = float(np.sum(by_logs[q]))
            by_logs[q] += whole * own_w
            extra = whole * w[:state, None] * t[:state] * own_s
            spread[:state] += extra
            by_logs[:state] += np.sum(extra, axis=1)
        by_t = spread + np.sum(spread, axis=1)[:, None] * by_theta
        return top + math.log(total) / p, np.concatenate([by_logs.ravel(), by_t.ravel()])

    def candidate(self, x: Array) -> Candidate:
        logs, theta = self.split(x)
        state = self.terms.state_parts
        t, w = self.multipliers(theta), np.exp(logs - np.max(logs[:state]))
        for q in range(state, len(w)):
            s = np.einsum("pj,pkj->kj", w[:state], t[:state])
            inner = [k for k, one in enumerate(self.terms.signals) if one.part == q]
            B = np.sqrt(np.concatenate([s[k] for k in inner]))[:, None] * self.terms.stacks[q]
            size = float(np.linalg.norm(B / np.sqrt(w[q]), 2)) ** 2
            w[q] = w[q] * size * (1 + 2.0**-20) if size > 0 else 2.0**-60
        return Candidate(w, t)


def _power(M: Array, squarings: int) -> tuple[Array, float]:
    """Return a multiple X of M^(2^squarings), and log(M^.. / X)."""
    X, log = M, 0.0
    for _ in range(squarings):
        size = float(np.linalg.norm(X))
        if not 0 < size < math.inf:
            break
        X = X / size
        log = 2 * (log + math.log(size))
        X = X @ X
    return np.array(X), log


def _images(terms: Terms, v: Array) -> tuple[Array, Array]:
    """Return |V_k| |v_q| of every signal, and the intermediate parts' own v, of a state v."""
    n, state = terms.units, terms.state_parts
    largest = np.max(terms.coefficients, axis=0)
    full = np.concatenate([v.reshape(state, n), np.zeros((terms.parts - state, n))])

    def seen() -> Array:
        return np.stack(
            [full[s.part] if s.V is None else np.abs(s.V) @ full[s.part] for s in terms.signals]
        )

    for q in range(state, terms.parts):
        full[q] = np.sum(largest[q] * seen(), axis=0)
    return seen(), full


def _matrix(terms: Terms, coefficients: Array) -> Array:
    """Return the matrix, (N, N), of one choice of coefficients (parts, signals, n)."""
    n, state = terms.units, terms.state_parts
    total = np.zeros((terms.parts * n, terms.parts * n))
    for k, (q, V) in enumerate(terms.signals):
        block = np.eye(n) if V is None else V
        for p in range(terms.parts):
            if np.any(coefficients[p, k]):
                rows, columns = slice(p * n, (p + 1) * n), slice(q * n, (q + 1) * n)
                total[rows, columns] += coefficients[p, k][:, None] * block
    N = state * n
    # an intermediate part is one of the state before the step
    return np.asarray(total[:N, :N] + total[:N, N:] @ total[N:, :N])


#: Up to this dimension a floor is computed: eigenvalues of a few matrices.
_FLOOR = 128


def floor_of(terms: Terms) -> float:
    """Return a number below which no weights and multipliers bring the rate; for saving time only.

    A bound of sizes holds for all constant coefficients in it too, so the rate is at least the
    spectral radius of each such map; 0 for cells too large to ask.
    """
    if terms.state_dim > _FLOOR:
        return 0.0
    best = 0.0
    for sheet in terms.coefficients:
        A = _matrix(terms, sheet)
        if not np.isfinite(A).all():
            return math.inf
        best = max(best, float(np.max(np.abs(np.linalg.eigvals(A)), initial=0.0)))
    return best


def _perron(M: Array) -> Array:
    """Return about the Perron vector of a non-negative matrix, made irreducible."""
    v = np.ones(len(M))
    for _ in range(_POWERS):
        image = M @ v
        image += 2.0**-20 * float(np.max(image)) + 2.0**-200
        v = image / np.max(image) + 0.25 * v
    return v


def _starts(terms: Terms, search: _Search, known: Contraction | None) -> list[Array]:
    r"""Return where the search begins.

    With M v <= lam v and u^T M <= lam u^T of the comparison matrix M = sum_k diag(C_k) |V_k| the
    weights u / v and multipliers C_k (M v) / (|V_k| v) have a level of lam^2, so that it ends no
    higher; and equal weights, with multipliers of the lengths of the rows.
    """
    n, state = terms.units, terms.state_parts
    largest = np.max(terms.coefficients, axis=0)
    size = np.where(search.used, np.maximum(largest, _LEAST), 1.0)
    M = _matrix(terms.of_sizes(), largest)
    v = getattr(known.norm, "v", None) if known is not None else None
    right = _perron(M) if v is None else v
    left = _perron(M.T)
    images, full = _images(terms, right)
    tiny = 2.0**-60
    logs = np.zeros((terms.parts, n))
    logs[:state] = (np.log(left + tiny) - np.log(right)).reshape(state, n)
    for q in range(state, terms.parts):
        # what the state's units take of it, over what it is
        taken = np.zeros(n)
        for k, (source, V) in enumerate(terms.signals):
            if source == q:
                A = np.eye(n) if V is None else np.abs(V)
                taken += A.T @ np.sum(largest[:state, k] * left.reshape(state, n), axis=0)
        logs[q] = np.log(taken + tiny) - np.log(full[q] + tiny)
    perron = np.log(size) - np.log(images + tiny)[None]
    plain = np.zeros((terms.parts, n))
    if state > 1:
        plain[:-1] = -2.0  # of an LSTM's c, which h follows
    lengths = np.stack(
        [np.ones(n) if V is None else np.sqrt(np.sum(V * V, axis=1)) for _, V in terms.signals]
    )
    euclidean = np.log(size) - np.log(lengths + tiny)[None]
    return [
        np.concatenate([logs.ravel(), np.where(search.used, perron, 0.0).ravel()]),
        np.concatenate([plain.ravel(), np.where(search.used, euclidean, 0.0).ravel()]),
    ]


def find(terms: Terms, known: Contraction | None = None) -> Candidate | None:
    """Return weights and multipliers of nearly the least level that the search finds."""
    from scipy.optimize import Bounds, minimize

    search = _Search.of(terms)
    if not np.any(search.used):
        return Candidate(np.ones(search.used[:, 0].shape), np.zeros(search.used.shape))
    starts = [search.within(x) for x in _starts(terms, search, known)]
    levels = [search.level(x, _SQUARINGS[0])[0] for x in starts]
    order = sorted(
        (i for i, level in enumerate(levels) if math.isfinite(level)), key=levels.__getitem__
    )
    if not order:
        return None
    x, n, rows = starts[order[0]], terms.units, sum(len(A) for A in terms.stacks)
    for squarings in _SQUARINGS[: 2 if n > _LARGE else 3]:
        work = n * n * (2.0 * rows + squarings * n)
        steps = int(np.clip(_WORK / 2 / work, _LEAST_STEPS, _MOST_STEPS))
        found = minimize(
            search.level,
            x,
            args=(squarings,),
            jac=True,
            method="L-BFGS-B",
            bounds=Bounds(*search.bounds(x)),
            options={"maxiter": steps, "maxfun": steps + 8, "maxcor": 20, "ftol": 1e-5},
        )
        if np.isfinite(found.x).all() and math.isfinite(found.fun):
            x = np.asarray(found.x)
        if not found.fun - math.log(terms.parts * n) / (2**squarings + 1) <= _HOPELESS:
            return None
    return search.candidate(x)


def by_multipliers(
    recurrent: Map, domain: Domain | None = None, known: Contraction | None = None
) -> Contraction | None:
    """Return the contraction in the best weighted Euclidean norm found, by a map's terms.

    `known` is that of the comparison matrices, of which nothing notably larger is looked for.
    """
    terms = recurrent.terms(domain)
    if terms is None:
        return None
    most = 1.0 if known is None else known.lam * (1 - _GAIN)
    # what overflows ends in no candidate
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        candidate = find(terms, known) if floor_of(terms) < most else None
    if candidate is None:
        return None
    weights, t = candidate
    if not (np.isfinite(weights).all() and np.isfinite(t).all() and np.all(weights > 0)):
        return None
    return contractive_of_multipliers(
        terms, weights=weights.ravel(), multipliers=t.ravel(), domain=domain
    )
