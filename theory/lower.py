r"""What no certificate can beat, and proofs that a map is not contractive at all.

Main names: `rate_lower`, `LowerBound`, `refute`, `Refutation`, `judge_contraction`, `Judgement`,
`spectral_radius_lower`; `theory.jsr` bounds the same rate from above too.

If ||step(h, x) - step(g, x)|| <= r ||h - g|| in some norm for every choice of slopes s_i in
[alpha_i, beta_i], then every product of p matrices diag(s) W has norm at most r**p, so its
spectral radius is at most r**p.  A good product is found by search and its spectral radius bounded
rigorously from below.

A map is refuted by two trajectories under the same inputs that never meet: two fixed points, or the
points of a cycle, whose existence is proved by the contraction of a Newton operator in a small box.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from theory.certificates import Contraction
from theory.domain import Domain
from theory.errors import check_count
from theory.inputs import Inputs, as_inputs
from theory.invariance import invariant_domain
from theory.maps.base import Affine, Map
from theory.products import product_error
from theory.rigor import frobenius_upper
from theory.rounding import ELEMENTARY_UNITS, TINY, UNIT, down, gamma, ldexp_up, scaled_to_one, up
from theory.typing import Array

if TYPE_CHECKING:
    from theory.jsr import JointSpectralRadius


#: Up to this dimension `rate_lower` also searches by branch and bound over the 2**n vertices.
SMALL = 6


def balanced(A: Array, error: Array | None = None) -> tuple[Any, Array]:
    """Return exponents e and the similar matrix with entries A_ij 2**(e_j - e_i), formed exactly.

    Rows and columns of it, with its error, have about equal sizes, so that errors relative to its
    norm are small; the exponents are zero where the matrix would lose an entry.
    """
    from scipy.linalg import matrix_balance

    zero = np.zeros(len(A), dtype=np.int64)
    with np.errstate(all="ignore"):
        size = A if error is None else np.abs(A) + error
        if not np.isfinite(size).all():
            return zero, A
        scale = matrix_balance(size, permute=False, separate=True)[1][0]
        if not (np.isfinite(scale).all() and np.all(scale > 0)):
            return zero, A
        exponents = np.frexp(scale)[1].astype(np.int64) - 1
        shift = exponents[None, :] - exponents[:, None]
        B = np.ldexp(A, shift)
        exact = np.isfinite(B).all() and np.array_equal(np.ldexp(B, -shift), A)
    return (exponents, B) if exact else (zero, A)


def _good_powers(A: Array) -> list[int]:
    """Return odd numbers m such that the traces of A^(m 2^j) are large for one of them.

    The dominant eigenvalues of a cyclic matrix are the p-th roots of one number, and the trace of a
    power vanishes unless p divides it.
    """
    if len(A) > 256:  # a long cycle among many units is rare, and eigenvalues take seconds
        return [1, 3]
    values = np.linalg.eigvals(A)
    sizes = np.abs(values)
    top = float(np.max(sizes))
    if not top > 0:
        return [1]
    phases = (values / top)[sizes > 0.9 * top]
    seen = {m: float(np.abs(np.sum(phases ** (64 * m)))) for m in range(1, 2 * len(A) + 2, 2)}
    powers = [1, 3]
    best = max(seen, key=lambda m: (seen[m], -m))
    if seen[best] > 2 * max(seen[m] for m in powers if m in seen):
        powers.append(best)
    return powers


def spectral_radius_lower(A: Array, error: Array | None = None) -> float:
    r"""Return a lower bound of the spectral radius, of every matrix within `error` of A entrywise.

    The trace of A^k is a sum of n k-th powers of eigenvalues, so rho(A) >= (|tr A^k| / n)^(1/k).
    For k = m 2^j, with a few odd m, the power is formed by squaring, together with a bound E of the
    distance in the Frobenius norm from the exact power:

        (B + E)^2 - fl(B^2):   E' = 2 |B| E + E^2 + gamma(n) |B|^2.

    Every step is scaled by a power of two, exactly, after a similarity by powers of two.

    Returns
    -------
    float
        Rounded downward; 0 if nothing can be proved.  Below the radius by about a factor n^(1/k),
        k at least 2^18, or as far as rounding lets the powers grow.
    """
    n = len(A)
    exponents, A = balanced(A, error)
    top = float(np.max(np.abs(A), initial=0.0))
    if top == 0.0:
        return 0.0
    exponent = math.frexp(top)[1]
    B = np.ldexp(A, -exponent)
    E = 0.0
    if error is not None:
        with np.errstate(over="ignore"):
            shifted = np.ldexp(error, exponents[None, :] - exponents[:, None] - exponent)
            E = float(frobenius_upper(shifted))
        if not math.isfinite(E):
            return 0.0
    # scaling A and the error may underflow, by at most eta / 2 an entry
    E = up(E + n * TINY)
    best = 0.0
    for power in _good_powers(B):
        C, F, shift = _power(B, E, exponent, power)
        k = power
        for _ in range(19):
            trace = float(np.sum(np.diag(C)))
            # |tr X| <= sqrt(n) |X|_F for the error, and the sum itself is rounded
            wrong = math.sqrt(n) * F + gamma(n + 2) * float(np.sum(np.abs(np.diag(C))))
            least = (abs(trace) - up(wrong * (1 + 8 * UNIT))) / n
            if least > 0 and math.isfinite(least):
                best = max(best, _root_down(down(least), k, shift))
            size = float(np.max(np.abs(C)))
            if not (0 < size < math.inf and size >= 10 * F):
                break
            C, F, shift = _rescaled(C, F, shift)
            C, F, shift = C @ C, _square_error(C, C, F, F), 2 * shift
            k *= 2
    return best


def _rescaled(C: Array, F: float, shift: int) -> tuple[Array, float, int]:
    """Return the same matrix C 2**shift, with an error of F, with largest entry about 1."""
    size = float(np.max(np.abs(C)))
    if not 0 < size < math.inf:
        return C, F, shift
    e = math.frexp(size)[1]
    return np.ldexp(C, -e), up(ldexp_up(F, -e) + len(C) * TINY), shift + e


def _power(B: Array, E: float, exponent: int, k: int) -> tuple[Array, float, int]:
    """Return C, its error and a shift: C 2**shift is the k-th power of B 2**exponent."""
    if k == 1:
        return B, E, exponent
    C, F, shift = _rescaled(*_power(B, E, exponent, k // 2))
    square, f = C @ C, _square_error(C, C, F, F)
    if k % 2 == 0:
        return square, f, 2 * shift
    square, f, shift = _rescaled(square, f, 2 * shift)
    return square @ B, _square_error(square, B, f, E), shift + exponent


def _square_error(B: Array, C: Array, e: float, f: float) -> float:
    """Bound the Frobenius distance of fl(B C) from (B + E)(C + F), |E| <= e, |F| <= f."""
    return float(product_error(frobenius_upper(B), frobenius_upper(C), e, f, len(B)))


def _root_down(x: float, k: int, shift: int) -> float:
    """Return a double below (x 2**shift)**(1/k), x > 0."""
    # log and exp2 err by at most ELEMENTARY_UNITS u of their values
    exponent = (math.log2(x) + shift) / k
    slack = 4 * ELEMENTARY_UNITS * UNIT * (1 + abs(exponent) + abs(math.log2(x)) / k)
    if not -1000 < exponent < 1000:
        return 0.0
    return max(0.0, down(float(2.0**exponent) * (1 - 2 * slack)))


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class LowerBound:
    """A rate that no norm can beat over all slope sequences, with the product that shows it."""

    rate: float  # rounded downward
    slopes: Array  # the periodic slope sequence, (p, n)


def _growth(W: Array, slopes: Array) -> float:
    """Return rho(product)^(1/p) as computed."""
    product = np.eye(len(W))
    for s in slopes:
        product = (s[:, None] * W) @ product
    return math.pow(float(np.max(np.abs(np.linalg.eigvals(product)))), 1 / len(slopes))


def _ascend(W: Array, low: Array, high: Array, slopes: Array) -> tuple[float, Array]:
    """Move one factor at a time to the vertex that the eigenvalue's gradient points to.

    For a product lambda = u* diag(s) W R v / (u* v) is affine in each s_i, so its derivative is
    u_i* (W R v)_i / (u* v), and a step to a vertex in the direction in which |lambda| grows.
    """
    best, current = _growth(W, slopes), slopes.copy()
    p = len(slopes)
    for _ in range(20):
        improved = False
        for j in range(p):
            # the cyclic order that ends with factor j has the same spectral radius
            rest = np.eye(len(W))
            for i in range(1, p):
                rest = (current[(j + i) % p][:, None] * W) @ rest
            inner = W @ rest
            values, vectors = np.linalg.eig(current[j][:, None] * inner)
            k = int(np.argmax(np.abs(values)))
            left_values, left_vectors = np.linalg.eig((current[j][:, None] * inner).T)
            u = left_vectors[:, int(np.argmin(np.abs(left_values - values[k])))]
            v = vectors[:, k]
            overlap = complex(u @ v)
            if values[k] == 0 or overlap == 0:
                break
            slope = np.real(np.conj(values[k]) * u * (inner @ v) / overlap)
            wanted = np.where(slope > 0, high, low)
            promise = slope * (wanted - current[j])
            order = np.argsort(-promise, kind="stable")
            count = int(np.count_nonzero(promise > 0))
            # the derivative is that of one slope at a time: where all changes together overshoot,
            # try the more promising half of them, and so on
            while count > 0:
                trial = current.copy()
                trial[j, order[:count]] = wanted[order[:count]]
                value = _growth(W, trial)
                if value > best * (1 + 1e-12):
                    best, current, improved = value, trial, True
                    break
                count //= 2
        if not improved:
            break
    return best, current


def rate_lower(
    recurrent: Map,
    *,
    rng: np.random.Generator | None = None,
    length: int = 3,
    starts: int = 12,
    products: int = 2000,
) -> LowerBound | None:
    r"""Return a rate below which no norm certifies all slope sequences of a map.

    Parameters
    ----------
    recurrent : Map
        In affine form; None is returned for others.
    rng : numpy.random.Generator, optional
        For the starting points of the search; a fixed seed by default.
    length : int
        Longest product that the randomised search tries.
    starts : int
        Its starting points for each length; all vertices are tried for length 1 and n <= 8.
    products : int
        How many products branch and bound may form besides, for n <= `SMALL`; see
        `theory.joint_spectral_radius`, which also gives an upper bound.

    Returns
    -------
    LowerBound or None
        Rigorous whatever the search found: the spectral radius is bounded from below.

    Raises
    ------
    ValueError
        If a count is not an integer, or too small.

    Examples
    --------
    >>> from theory import VanillaRNN
    >>> mone = VanillaRNN([[0.9, -1.0], [0.5, -0.9]], [[1.0], [1.0]])
    >>> round(rate_lower(mone).rate, 4)
    0.9
    """
    check_count(at_least=1, length=length, starts=starts)
    check_count(products=products)
    form = recurrent.affine()
    if form is None:
        return None
    best = _searched(form, np.random.default_rng(0) if rng is None else rng, length, starts)
    linear = form.rho.slope[0] == form.rho.slope[1]
    if linear or len(form.W) > SMALL or products == 0 or not np.any(form.W):
        return best
    from theory.jsr import enclose

    return enclose(recurrent, best, norm=None, products=products, tol=1e-6).lower


def _searched(form: Affine, random: np.random.Generator, length: int, starts: int) -> LowerBound:
    """Return the best of all vertices, if they are few, and of ascents from random products."""
    n = len(form.W)
    W = balanced(scaled_to_one(form.W)[0])[1]
    # a common factor of all slopes changes no choice between them
    ends = scaled_to_one(np.array(form.rho.slope))[0]
    low, high = np.full(n, ends[0]), np.full(n, ends[1])
    candidates: list[tuple[float, Array]] = []
    if low[0] == high[0]:
        candidates = [(_growth(W, high[None]), high[None])]
    else:
        if n <= 8:
            vertices = np.array(list(itertools.product((low[0], high[0]), repeat=n)))
            radii = np.max(np.abs(np.linalg.eigvals(vertices[:, :, None] * W)), axis=-1)
            for i in np.argsort(-radii, kind="stable")[:3]:
                candidates.append((float(radii[i]), vertices[i][None]))
        for p in range(1, length + 1):
            first = [np.tile(high, (p, 1)), np.tile(np.where(high > -low, high, low), (p, 1))]
            for j in range(starts if n <= 64 else min(starts, 3)):
                slopes = first[j] if j < 2 else np.where(random.random((p, n)) < 0.5, high, low)
                candidates.append(_ascend(W, low, high, slopes))
    # of equal ones, as far as an eigenvalue routine can tell, the shortest first
    top = max(growth for growth, _ in candidates)
    candidates.sort(key=lambda one: (one[0] < top * (1 - 1e-9), len(one[1]), -one[0]))
    steepest = [
        np.where(slopes == high, form.rho.slope[1], form.rho.slope[0])
        for _, slopes in candidates[:3]
    ]
    best = LowerBound(rate=0.0, slopes=steepest[0])
    for slopes in steepest:
        rate = product_radius_lower(form.W, slopes)
        # the bound of a longer product is a little nearer to its radius: no reason to prefer it
        if rate > best.rate * (1 + 2e-6):
            best = LowerBound(rate=rate, slopes=slopes)
    return best


def product_radius_lower(W: Array, slopes: Array) -> float:
    """Return a lower bound of rho(product)^(1/p) over the factors diag(s) W, s in `slopes`."""
    n = len(W)
    slopes, steep = scaled_to_one(slopes)
    scaled, e = scaled_to_one(W)
    if np.array_equal(np.ldexp(np.ldexp(scaled, e // 2), e - e // 2), W):
        # a similarity by a diagonal matrix is one of every factor, and so of the product
        scaled = balanced(scaled)[1]
    # eta / 2 each of s_i W_ij, of a slope that vanished when it was scaled, times W_ij, and of such
    # an entry, times a slope of at most 1
    lost = up(n * TINY * (1 + float(np.max(np.abs(scaled)))))
    product = slopes[0][:, None] * scaled
    error = up(float(frobenius_upper(product)) * 2 * UNIT + lost)
    for s in slopes[1:]:
        factor = s[:, None] * scaled
        wrong = up(float(frobenius_upper(factor)) * 2 * UNIT + lost)
        product, error = factor @ product, _square_error(factor, product, wrong, error)
    # a Frobenius error spread over all entries is at least as large entrywise as needed
    rate = spectral_radius_lower(product, np.full((n, n), error))
    if not rate > 0:
        return 0.0
    try:
        result = math.ldexp(_root_down(rate, len(slopes), 0), e + steep)
    except OverflowError:  # the largest double is a lower bound all the same
        return math.nextafter(math.inf, 0.0)
    # exact unless it became subnormal
    return result if result >= 2.0**-1020 else max(0.0, down(result))


# ------------------------------------------------------------------------------- refutation


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Refutation:
    """A proof that a map is not contractive in any norm.

    ``orbits``: under the constant input x the points of `first` are a cycle of the map (one point
    is a fixed point) up to `radius` in each entry, and so are those of `second`; the trajectories
    from first[0] and second[0] never meet.  ``linear``: a linear map whose spectral radius is at
    least 1.  ``jacobian``: at state first[0] and input x the Jacobian has spectral radius above 1,
    which rules out every one-step contraction.
    """

    kind: str  # "orbits", "linear" or "jacobian"
    x: Array  # x, (m,)
    first: Array  # (p, n)
    second: Array  # (p', n)
    radius: float  # of the boxes around the points
    detail: str


def _derivative_radius(form: Affine, a: Array, width: Array) -> Array | None:
    """Bound |rho'(b) - fl(rho'(a))| over |b - a| <= width; None at a kink."""
    rho = form.rho
    rounding = 4 * ELEMENTARY_UNITS * UNIT * (1 + rho.lipschitz)
    if math.isfinite(rho.curvature):
        return rho.curvature * width * (1 + 8 * UNIT) + rounding
    kinks = (-1.0, 1.0) if rho.name == "hard_tanh" else (0.0,)
    apart = width * (1 + 8 * UNIT) + TINY
    if not all(bool(np.all(np.abs(a - kink) > apart)) for kink in kinks):
        return None
    return np.full(len(a), rounding)


def _verified_cycle(recurrent: Map, form: Affine, x: Array, points: Array) -> float | None:
    r"""Return a radius within which exactly one cycle lies around the points, or None.

    For F(h_1 .. h_p) = (step(h_1) - h_2, ..., step(h_p) - h_1) and any matrix C near its inverse
    derivative, T = id - C F maps the box of radius R around the points into itself and contracts if

        |C F| + kappa R <= R,   kappa >= || I - C F' || over the box,   kappa < 1   (maximum norm).
    """
    p, n = points.shape
    N = p * n
    W = form.W
    a = points @ W.T + x @ form.U.T + form.b
    J = np.zeros((N, N))
    for i in range(p):
        rows, after = slice(i * n, i * n + n), (i + 1) % p
        J[rows, rows] += form.rho.derivative(a[i])[:, None] * W
        J[rows, after * n : after * n + n] -= np.eye(n)
    try:
        C = np.linalg.inv(J)
    except np.linalg.LinAlgError:
        return None
    if not np.isfinite(C).all():
        return None
    error = recurrent.step_error(np.max(np.abs(points), axis=0), np.abs(x))
    image = recurrent.step(points, np.broadcast_to(x, (p, len(x))))
    residual = np.abs(image - np.roll(points, -1, axis=0)) * (1 + 2 * UNIT) + error
    size, slack = np.abs(C), 1 + 4 * gamma(N + 4)
    eta = float(np.max(size @ residual.ravel())) * slack
    if not math.isfinite(eta):
        return None
    radius = 4.0 * eta + 2.0**-60 * (1.0 + float(np.max(np.abs(points))))
    # |I - C J| as computed, its rounding, and the change of the slopes over the box
    product = np.abs(np.eye(N) - C @ J)
    rounding = 2 * gamma(N + 4) * (size @ (np.abs(J) @ np.ones(N))) + 4 * UNIT
    row_sums = np.abs(W) @ np.ones(n)
    reach = row_sums * radius * slack
    sizes = np.abs(W) @ np.max(np.abs(points), axis=0) + np.abs(form.U) @ np.abs(x) + np.abs(form.b)
    preactivation = 4 * gamma(2 * n + len(x) + 8) * sizes + TINY
    change = np.zeros(N)
    for i in range(p):
        drift = _derivative_radius(form, a[i], reach + preactivation)
        if drift is None:
            return None
        change[i * n : i * n + n] = drift * row_sums
    kappa = float(np.max(product @ np.ones(N) + rounding + size @ change)) * slack
    return radius if kappa < 0.5 and eta + kappa * radius < radius * (1 - 4 * UNIT) else None


def _settle(recurrent: Map, form: Affine, x: Array, start: Array, steps: int) -> Array | None:
    """Run under a constant input and polish the cycle of period at most 4 that is reached."""
    terms = recurrent.input_terms(x[None])[0]
    h = start
    for _ in range(steps):
        h = recurrent.advance(h, terms)
        if not float(np.max(np.abs(h))) <= 1e6:
            return None
    orbit = [h]
    for _ in range(4):
        orbit.append(recurrent.advance(orbit[-1], terms))
    for p in (1, 2, 3, 4):
        if float(np.max(np.abs(orbit[p] - orbit[0]))) < 1e-3 * (1 + float(np.max(np.abs(h)))):
            return _polish(recurrent, form, x, np.array(orbit[:p]))
    return None


def _polish(recurrent: Map, form: Affine, x: Array, points: Array) -> Array | None:
    """Apply Newton's method to the first point of a cycle."""
    terms = recurrent.input_terms(x[None])[0]
    h = points[0]
    for _ in range(12):
        g, D = h, np.eye(len(h))
        for _ in points:
            D = (form.rho.derivative(g @ form.W.T + terms)[:, None] * form.W) @ D
            g = recurrent.advance(g, terms)
        try:
            h = h - np.linalg.solve(D - np.eye(len(h)), g - h)
        except np.linalg.LinAlgError:
            return None
        if not np.isfinite(h).all():
            return None
    result = [h]
    for _ in range(len(points) - 1):
        result.append(recurrent.advance(result[-1], terms))
    return np.array(result)


def refute(
    recurrent: Map,
    *,
    inputs: Any = None,
    rng: np.random.Generator | None = None,
    starts: int = 16,
    steps: int = 400,
) -> Refutation | None:
    """Search for a proof that a map in affine form is not contractive; None if none is found.

    Parameters
    ----------
    recurrent : Map
    inputs : Inputs, or (..., m) array, optional
        Ask about these inputs only, and about states of the box that the map does not leave under
        them (`theory.invariant_domain`), where `theory.contraction` looks too: what refutes is then
        an input of the set, with states of the box.  All inputs and states by default.
    rng : numpy.random.Generator, optional
        For starts and inputs; a fixed seed by default.
    starts, steps : int
        Trajectories for each constant input, and their length.

    Raises
    ------
    ValueError
        If a count is not a positive integer.

    Examples
    --------
    >>> from theory import VanillaRNN
    >>> refute(VanillaRNN([[2.0]], [[1.0]])).kind
    'orbits'
    """
    check_count(at_least=1, starts=starts, steps=steps)
    form = recurrent.affine()
    if form is None:
        return None
    random = np.random.default_rng(0) if rng is None else rng
    n, m = form.W.shape[0], form.U.shape[1]
    asked = None if inputs is None else as_inputs(inputs, m)
    box = None if asked is None else invariant_domain(recurrent, inputs=asked)
    # where states can move in every direction, a Jacobian at one of them is that of a difference
    open_box = box is None or bool(np.all(box.low < box.high))
    if form.rho.slope[0] == form.rho.slope[1]:
        radius = spectral_radius_lower(form.W) * abs(form.rho.slope[0])
        if down(radius) >= 1 and open_box:
            return Refutation(
                kind="linear",
                x=np.zeros(m),
                first=np.zeros((0, n)),
                second=np.zeros((0, n)),
                radius=0.0,
                detail=f"spectral radius >= {radius:.6g}",
            )
        return None
    # inputs that centre the pre-activations where activations are steepest, and a few others
    center = np.linalg.lstsq(form.U, -form.b - form.W @ np.full(n, form.rho.at_zero), rcond=None)[0]
    candidates = [
        np.zeros(m),
        center,
        center + random.standard_normal(m),
        random.standard_normal(m),
    ]
    scale = 1.0 if math.isfinite(form.rho.range[1]) else 10.0
    if asked is not None:
        chosen = [y for x in candidates if (y := asked.near(x)) is not None]
        candidates = [*{y.tobytes(): y for y in chosen}.values()]
    for x in candidates:
        found: list[tuple[Array, float]] = []
        for j in range(starts):
            start = np.asarray(scale * random.standard_normal(n)) * float(j > 0)
            start = start if box is None else np.clip(start, box.low, box.high)
            points = _settle(recurrent, form, x, start, steps)
            if points is None:
                continue
            radius_or_none = _verified_cycle(recurrent, form, x, points)
            if radius_or_none is None or not _inside(box, points, radius_or_none):
                continue
            for others, other_radius in [*found, (np.roll(points, -1, axis=0), radius_or_none)]:
                if _never_meet(points, others, radius_or_none + other_radius):
                    return Refutation(
                        kind="orbits",
                        x=x,
                        first=points,
                        second=others,
                        radius=max(radius_or_none, other_radius),
                        detail=f"cycles of period {len(points)} and {len(others)} under one input",
                    )
            found.append((points, radius_or_none))
    steepest = np.full(n, form.rho.slope[0 if -form.rho.slope[0] > form.rho.slope[1] else 1])
    # one Jacobian has one pattern of slopes
    bound = rate_lower(recurrent, rng=rng, length=1, products=0)
    patterns = [steepest] if bound is None else [steepest, bound.slopes[0]]
    if not open_box:
        return None
    proofs = (_refute_by_jacobian(form, pattern, asked) for pattern in patterns)
    return next((proof for proof in proofs if proof is not None), None)


def _inside(box: Domain | None, points: Array, radius: float) -> bool:
    """Decide that all states within `radius` of the points, entry by entry, lie in a box."""
    return box is None or box.contains_states(
        [np.nextafter(points - radius, -np.inf), np.nextafter(points + radius, np.inf)]
    )


def _never_meet(points: Array, others: Array, radii: float) -> bool:
    """Decide that trajectories along two cycles have different states at all times."""
    p, q = len(points), len(others)
    return all(
        float(np.max(np.abs(points[t % p] - others[t % q]))) * (1 - 4 * UNIT) > 2 * radii
        for t in range(math.lcm(p, q))
    )


def _refute_by_jacobian(
    form: Affine, pattern: Array, asked: Inputs | None = None
) -> Refutation | None:
    """Drive the units, at rest, to pre-activations whose slopes come near a pattern.

    The state is 0, which every box of states holds; the input is one of those asked about.
    """
    n = len(form.W)
    grid = np.array([-30.0, -1.0, 0.0, 1.0, 30.0])
    slopes = form.rho.derivative(grid)
    # at a kink the slope is not defined
    slopes[2] = slopes[2] if math.isfinite(form.rho.curvature) or slopes[1] == slopes[3] else np.inf
    goal = grid[np.argmin(np.abs(slopes[None, :] - pattern[:, None]), axis=1)]
    h = np.zeros(n)
    x = np.linalg.lstsq(form.U, goal - form.b, rcond=None)[0]
    if asked is not None:
        member = asked.near(x)
        if member is None:
            return None
        x = member
    a = x @ form.U.T + form.b
    sizes = np.abs(form.W) @ np.abs(h) + np.abs(form.U) @ np.abs(x) + np.abs(form.b)
    wrong = _derivative_radius(form, a, 4 * gamma(2 * n + len(x) + 8) * sizes + TINY)
    if wrong is None:
        return None
    J = form.rho.derivative(a)[:, None] * form.W
    rate = spectral_radius_lower(J, (wrong[:, None] + 4 * UNIT) * np.abs(form.W) + TINY)
    if not rate > 1:
        return None
    return Refutation(
        kind="jacobian",
        x=x,
        first=h[None],
        second=np.zeros((0, n)),
        radius=0.0,
        detail=f"the Jacobian there has spectral radius >= {rate:.6g}",
    )


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Judgement:
    """The answer to "is this map contractive?"."""

    answer: str  # "certified", "refuted" or "unknown"
    contraction: Contraction | None = None  # the proof of contraction
    refutation: Refutation | None = None  # the proof of the contrary
    lower: LowerBound | None = None  # what no certificate can beat
    radius: JointSpectralRadius | None = None  # what the best of all norms could certify, if small

    @property
    def gap(self) -> float:
        """Return the certified rate over the lower bound: 1 means that nothing can be gained."""
        if self.contraction is None or self.lower is None or not self.lower.rate > 0:
            return math.inf
        rate = self.contraction.lam
        if self.contraction.iterate > 1:  # the rate of one step
            rate = rate ** (1 / self.contraction.iterate) * (1 + 4 * ELEMENTARY_UNITS * UNIT)
        return up(rate / self.lower.rate)


def judge_contraction(
    recurrent: Map,
    *,
    inputs: Any = None,
    effort: int = 1,
    rng: np.random.Generator | None = None,
) -> Judgement:
    """Decide whether a map is contractive: certified, refuted, or unknown.

    Up to n = 10 the joint spectral radius is enclosed too, which says how much could be gained.

    Parameters
    ----------
    recurrent : Map
    inputs : Inputs, or (..., m) array, optional
        Ask about these inputs only, as in `theory.contraction` and `theory.refute`; all by default.
        The lower bound and the joint spectral radius, which are about slopes met everywhere, are
        then left out where the contraction is one on a box.
    effort : int
        As for `theory.contraction`.
    rng : numpy.random.Generator, optional
        For the searches; a fixed seed by default.

    Examples
    --------
    >>> from theory import VanillaRNN
    >>> judge_contraction(VanillaRNN([[0.0, 10.0], [-0.012, 1.1]], [[1.0], [1.0]])).answer
    'refuted'
    """
    from theory.certify import contraction, domain_of
    from theory.jsr import LARGEST, joint_spectral_radius

    where = domain_of(recurrent, inputs=inputs)
    found = contraction(recurrent, effort=effort, domain=where)
    radius, lower = None, None
    if where is None and recurrent.state_dim <= LARGEST:
        # the norm of a contraction found is where few products are needed
        radius = joint_spectral_radius(
            recurrent, norm=None if found is None else found.norm, rng=rng
        )
    if where is None:
        lower = rate_lower(recurrent, rng=rng) if radius is None else radius.lower
    if found is not None:
        return Judgement(answer="certified", contraction=found, lower=lower, radius=radius)
    refutation = refute(recurrent, inputs=inputs, rng=rng)
    answer = "unknown" if refutation is None else "refuted"
    return Judgement(answer=answer, refutation=refutation, lower=lower, radius=radius)
