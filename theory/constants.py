r"""The constants of the training theorems, per map and loss, on a stated domain.

Main names: `MapConstants`, `map_constants`, `constants_lower`.

For all w, w' in the domain of parameters, all states h, h' of length at most `state_bound`, and all
inputs of length at most `input_bound`, with the Euclidean length of parameters:

    |step_w(h, x) - step_w(h', x)|          <=  lam |h - h'|
    |step_w(0, x)|                          <=  drive
    |step_w(h, x) - step_w'(h, x)|          <=  weight_gain |w - w'|
    |d_h step_w(h, x) - d_h step_w'(h', x)| <=  beta_hh |h - h'| + beta_hw |w - w'|
    |d_w step_w(h, x) - d_w step_w'(h', x)| <=  beta_wh |h - h'| + beta_ww |w - w'|

The domain of parameters is the convex hull of the maps that are given, and a ball around it.  Maps
of the form rho(W h + U x + b) have closed forms in `L2`; gated cells are bounded in a weighted
maximum norm by second-order jets.  Everything is rounded upward.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from theory.errors import check_count, check_nonnegative
from theory.inputs import as_inputs
from theory.maps.base import Map
from theory.norms import L2, Linf, Norm, WeightedLinf
from theory.rounding import ELEMENTARY_UNITS, UNIT, gamma, product_up, sqrt_up, sum_up, up
from theory.typing import Array


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class MapConstants:
    """Upper bounds that hold together, in one norm and on one domain."""

    lam: float  # lambda, may be 1 or more: then the maps do not contract
    drive: float  # C
    state_bound: float  # B_h, of a ball or box that no state from rest leaves
    input_bound: float  # B_x, Euclidean
    weight_gain: float  # L_w
    beta_hh: float
    beta_hw: float
    beta_wh: float
    beta_ww: float
    majorant: float  # norm of a matrix that bounds |d_h step| entrywise; for rounding
    norm: Norm  # of the state
    trained: tuple[str, ...]  # the names of the parameters in w
    radius: float  # of the ball around the maps
    box: Array | None = None  # entry by entry, where the states stay too, (n,); of gated cells

    @property
    def smooth(self) -> bool:
        """Return whether all of them are finite."""
        return all(math.isfinite(x) for x in (self.beta_hh, self.beta_hw, self.beta_ww))

    def smoothness(self, loss_gain: float, beta_p: float) -> float:
        """Return beta, the Lipschitz constant of the gradient of p(h_T(w)); inf unless lam < 1."""
        from theory.rounding import evaluate
        from theory.theorems.loss_smoothness import formula

        if not (self.lam < 1 and self.smooth):
            return math.inf
        return evaluate(
            formula, lam=self.lam, weight_gain=self.weight_gain, loss_gain=loss_gain,
            beta_hh=self.beta_hh, beta_hw=self.beta_hw, beta_wh=self.beta_wh,
            beta_ww=self.beta_ww, beta_p=beta_p, distance=1.0,
        )  # fmt: skip


def trained_names(model: Map, trained: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of the trained parameters, all by default.

    Raises
    ------
    ValueError
        If one of them is no parameter of the map.
    """
    # a GRU that resets before the product has no bias behind its reset gate, and keeps a zero
    absent = {"b_candidate"} if getattr(model, "variant", "") == "reset_before" else set()
    known = tuple(name for name in model.parameters if name not in absent)
    if trained is None:
        return known
    trained = (trained,) if isinstance(trained, str) else tuple(trained)
    for name in trained:
        if name not in known:
            raise ValueError(f"trained={name!r} is no parameter, needed some of {', '.join(known)}")
    return tuple(name for name in known if name in trained)


def map_constants(
    models: Map | Sequence[Map],
    norm: Norm | None = None,
    *,
    inputs: Any,
    trained: Sequence[str] | None = None,
    radius: float = 0.0,
) -> MapConstants | None:
    r"""Return the constants of a map, or of all maps between several.

    Parameters
    ----------
    models : Map or sequence of Map
        Of one kind and shape; the parameters not named in `trained` must agree.
    norm : Norm, optional
        Of the state: `L2` (the default) for maps of the form rho(W h + U x + b); `Linf` or
        `WeightedLinf` for an LSTM or a GRU.
    inputs : Inputs, or (..., m) array
        The inputs in question; of a set that is not finite, their largest Euclidean length enters.
    trained : sequence of str, optional
        The names of the parameters that w consists of, all of them by default.
    radius : float
        The constants hold on the ball of this radius around the convex hull of the maps.

    Returns
    -------
    MapConstants or None
        None if nothing is known for this kind of map in this norm.

    Raises
    ------
    ValueError
        If the inputs are a plain number or not bounded, or the maps do not match.

    Examples
    --------
    >>> from theory import Inputs, LinearMap
    >>> c = map_constants(
    ...     LinearMap([[0.5]], [[1.0]]), inputs=Inputs.ball(1), trained=("A",)
    ... )
    >>> c.lam, c.state_bound, round(c.weight_gain, 12), c.beta_hw
    (0.5, 2.0, 2.0, 1.0)
    """
    family = (models,) if isinstance(models, Map) else tuple(models)
    if not family:
        raise ValueError("models is empty, needed at least one map")
    first = family[0]
    names = trained_names(first, trained)
    for other in family[1:]:
        if type(other) is not type(first) or any(
            other.parameters[name].shape != value.shape for name, value in first.parameters.items()
        ):
            raise ValueError(f"{other!r} does not match {first!r}, needed maps of one shape")
        for name, value in first.parameters.items():
            if name not in names and not np.array_equal(value, other.parameters[name]):
                raise ValueError(f"{name} is not trained, needed the same in all maps")
    check_nonnegative(radius=radius)
    given = as_inputs(inputs, first.input_dim)
    X, reach = given.rows, given.norm_upper(L2(), first.input_dim)
    if not math.isfinite(reach):
        raise ValueError(f"the inputs are {given}, needed bounded ones")
    measure = L2() if norm is None else norm
    measure.check_dim(first.state_dim)
    if first.affine() is not None and len(first.parameters) == 3:
        return _affine_constants(family, measure, X, reach, names, radius)
    if type(first).__name__ in {"LSTM", "GRU"} and isinstance(measure, (Linf, WeightedLinf)):
        return _gated_constants(family, measure, X, reach, names, radius)
    return None


def _affine_constants(
    family: tuple[Map, ...],
    norm: Norm,
    X: Array | None,
    reach: float,
    trained: tuple[str, ...],
    radius: float,
) -> MapConstants | None:
    r"""Return the closed forms for rho(W h + U x + b) in L2.

    With a = W h + U x + b and R = sqrt(B_h**2 + B_x**2 + 1), of the trained parameters only,
    |da| <= |W|_2 |dh| and |da| <= R |dw|; with L = sup |rho'| and S = sup |rho''|, the product rule
    on diag(rho'(a)) W and diag(rho'(a)) (dW h + dU x + db) gives the rest.  |W| and |U x + b| are
    convex in the parameters, so that their largest values on a hull are at the given maps.
    """
    if not isinstance(norm, L2):
        return None
    forms = [form for form in (model.affine() for model in family) if form is not None]
    rho, n = forms[0].rho, forms[0].W.shape[0]
    names = tuple(family[0].parameters)
    free = [name in trained for name in names]  # W, U, b
    slack = [radius if is_free else 0.0 for is_free in free]
    L, S = rho.lipschitz, rho.curvature
    W = up(max(L2().matrix_upper(f.W) for f in forms) + slack[0])
    rows = up(max(float(np.max(L2().vector_upper(f.W))) for f in forms) + slack[0])
    absolute = up(max(L2().matrix_upper(np.abs(f.W)) for f in forms) + sqrt_up(n) * slack[0])
    if slack[0] == 0:
        W = max(L2().matrix_upper(f.W) for f in forms)
    offset = product_up(sqrt_up(n), up(abs(rho.at_zero)) if rho.at_zero else 0.0)
    drive = product_up(L, _affine_drive(forms, X, reach, slack))
    drive = up(drive + offset) if offset else drive
    lam = product_up(L, W)
    ball = math.inf
    if lam < 1:
        ball = drive if lam == 0 else _quotient_up(drive, lam)
    widest = max(abs(rho.range[0]), abs(rho.range[1]))
    bound = min(ball, product_up(sqrt_up(n), widest) if math.isfinite(widest) else math.inf)
    squares = [product_up(bound, bound), product_up(reach, reach), 1.0]
    R = sqrt_up(sum_up([q for q, is_free in zip(squares, free, strict=True) if is_free]))
    bends = product_up(S, R) if S > 0 else 0.0
    mixed = product_up(bends, W) if bends else 0.0
    mixed = sum_up([mixed, L]) if free[0] else mixed
    return MapConstants(
        lam=lam,
        drive=drive,
        state_bound=bound,
        input_bound=reach,
        weight_gain=product_up(L, R),
        beta_hh=product_up(product_up(S, rows), W) if S > 0 else 0.0,
        beta_hw=mixed,
        beta_wh=mixed,
        beta_ww=product_up(bends, R) if bends else 0.0,
        majorant=product_up(L, absolute),
        norm=norm,
        trained=trained,
        radius=radius,
    )


def _quotient_up(top: float, lam: float) -> float:
    """Return an upper bound of top / (1 - lam)."""
    from theory.rounding import evaluate

    return evaluate(lambda top, lam: top / (1 - lam), top=top, lam=lam)


def _affine_drive(forms: list[Any], X: Array | None, reach: float, slack: list[float]) -> float:
    """Return an upper bound of |U x + b|."""
    extra = sum_up([product_up(slack[1], reach), slack[2]])
    if X is None:
        drives = [
            sum_up([product_up(L2().matrix_upper(f.U), reach), float(L2().vector_upper(f.b))])
            for f in forms
        ]
        return sum_up([max(drives), extra])
    most = 0.0
    for f in forms:
        terms = X @ f.U.T + f.b
        if f.U.shape[1] == 1 and not f.b.any():
            # a single product: exact but for its rounding, which the length covers
            most = max(most, product_up(float(L2().vector_upper(f.U[:, 0])), reach))
            continue
        # an inner product of m + 1 terms, rounded in any order
        magnitude = np.abs(X) @ np.abs(f.U).T + np.abs(f.b)
        error = 2 * gamma(X.shape[1] + 3) * magnitude
        most = max(most, float(np.max(L2().vector_upper(np.abs(terms) + error), initial=0.0)))
    return sum_up([most, extra])


# gated cells ----------------------------------------------------------------------------------


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Jet:
    """Bounds of a value and its derivatives, unit by unit; every entry is (n,).

    s: first derivative for |ds_j| <= v_j; w: for |dw|_2 <= 1; ss, sw, ww: second derivatives.
    """

    v: Array
    s: Array
    w: Array
    ss: Array
    sw: Array
    ww: Array

    def __mul__(self, g: _Jet) -> _Jet:
        return _Jet(
            v=self.v * g.v,
            s=self.s * g.v + self.v * g.s,
            w=self.w * g.v + self.v * g.w,
            ss=self.ss * g.v + 2 * self.s * g.s + self.v * g.ss,
            sw=self.sw * g.v + self.s * g.w + self.w * g.s + self.v * g.sw,
            ww=self.ww * g.v + 2 * self.w * g.w + self.v * g.ww,
        )

    def __add__(self, g: _Jet) -> _Jet:
        return _Jet(
            v=self.v + g.v, s=self.s + g.s, w=self.w + g.w,
            ss=self.ss + g.ss, sw=self.sw + g.sw, ww=self.ww + g.ww,
        )  # fmt: skip

    def through(self, value: Array, L: Array, S: float) -> _Jet:
        """Return rho of this jet, with |rho| <= value, |rho'| <= L, |rho''| <= S."""
        return _Jet(
            v=value,
            s=L * self.s,
            w=L * self.w,
            ss=S * self.s * self.s + L * self.ss,
            sw=S * self.s * self.w + L * self.sw,
            ww=S * self.w * self.w + L * self.ww,
        )


#: sup |sigma''| and sup |tanh''|, rounded upward; proved in `proofs.activations`.
_SIGMA_CURVATURE, _TANH_CURVATURE = 0.09622504486493765, 0.7698003589195011

#: What one elementary function and the few operations around it may lose, relatively.
_LOSS = 1 + 4 * ELEMENTARY_UNITS * UNIT


def _sigma_upper(a: Array) -> Array:
    """Return an upper bound of sigma(a), below 1 for a < 36."""
    return np.minimum(_LOSS / (1.0 + np.exp(-a)), 1.0)


def _tanh_upper(a: Array) -> Array:
    return np.minimum(np.tanh(a) * _LOSS, 1.0)


def _entries_of(family: tuple[Map, ...]) -> Callable[[str, slice], Array]:
    """Return a function to entrywise bounds |W_ij| of a block of rows over the hull."""

    def absolute(name: str, rows: slice) -> Array:
        if name not in family[0].parameters:
            return np.zeros(1)
        return np.asarray(np.max([np.abs(m.parameters[name][rows]) for m in family], axis=0))

    return absolute


def _gated_constants(
    family: tuple[Map, ...],
    norm: Norm,
    X: Array | None,
    reach: float,
    trained: tuple[str, ...],
    radius: float,
) -> MapConstants | None:
    r"""Return bounds for an LSTM or a GRU by jets, on the box that their gates keep invariant.

    All is sums and products of nonnegative numbers: a few hundred operations and inner products of
    length n + m, so that one factor 1 + gamma(8 n + 8 m + 800) at the end covers their rounding.
    """
    first = family[0]
    kind = type(first).__name__
    W0 = first.parameters["W"]
    n, m = W0.shape[1], first.input_dim
    gates = W0.shape[0] // n
    absolute = _entries_of(family)
    slack = {name: radius if name in trained else 0.0 for name in first.parameters}
    safe = 1 + gamma(8 * n + 8 * m + 800)
    v = norm.v if isinstance(norm, WeightedLinf) else np.ones(first.state_dim)
    vh = v[-n:]

    # entrywise bounds of inputs; a row of an unknown change of length r moves a product by at most
    # r times the length of the other factor
    largest = np.full(m, reach) if X is None else np.max(np.abs(X), axis=0, initial=0.0)
    box = np.ones(n)  # |h|
    blocks = [slice(q * n, (q + 1) * n) for q in range(gates)]

    def arguments(box: Array) -> list[Array]:
        length = float(np.sqrt(np.sum(box * box)))
        found = []
        for rows in blocks:
            a = absolute("W", rows) @ box + absolute("U", rows) @ largest + absolute("b", rows)
            more = slack["W"] * length + slack["U"] * reach + slack["b"]
            found.append((a + more) * safe)
        return found

    def split(box: Array) -> tuple[list[_Jet], Array]:
        """Return the jets of the pre-activations, without those of products of gates."""
        squares = [
            float(np.sum(box * box)) if "W" in trained else 0.0,
            reach * reach if "U" in trained else 0.0,
            1.0 if "b" in trained else 0.0,
        ]
        R = np.full(n, math.sqrt(sum(squares)) * safe)
        cross = np.full(n, math.sqrt(float(np.sum(vh * vh))) * safe if "W" in trained else 0.0)
        zero = np.zeros(n)
        jets = []
        for rows, a in zip(blocks, arguments(box), strict=True):
            s = absolute("W", rows) @ vh + slack["W"] * math.sqrt(float(np.sum(vh * vh)))
            jets.append(_Jet(v=a, s=s, w=R, ss=zero, sw=cross, ww=zero))
        return jets, R

    def sigma(a: _Jet) -> _Jet:
        return a.through(_sigma_upper(a.v), np.full(n, 0.25), _SIGMA_CURVATURE)

    def tanh(a: _Jet) -> _Jet:
        return a.through(_tanh_upper(a.v), np.ones(n), _TANH_CURVATURE)

    zero = np.zeros(n)
    if kind == "LSTM":
        # |c| <= i g / (1 - f) and |h| <= o tanh |c| are invariant, for any box |h| <= box before
        for _ in range(3):
            ai, af, ag, ao = arguments(box)
            forget = _sigma_upper(af)
            if not float(np.max(forget)) < 1:
                return None
            cell = _sigma_upper(ai) * _tanh_upper(ag) / (1.0 - forget) * safe
            box = np.minimum(box, _sigma_upper(ao) * _tanh_upper(cell) * safe)
        (i, f, g, o), _ = split(box)
        memory = _Jet(v=cell, s=v[:n], w=zero, ss=zero, sw=zero, ww=zero)
        c = sigma(i) * tanh(g) + sigma(f) * memory
        c = replace(c, v=cell)
        h = sigma(o) * tanh(c)
        out = [(c, v[:n]), (h, vh)]
        states = np.concatenate([cell, box])
        rates = [c.s / v[:n], h.s / vh]
        weights = [c.w / v[:n], h.w / vh]
        ai, _, ag, ao = arguments(np.zeros(n))
        fresh = _sigma_upper(ai) * _tanh_upper(ag)
        rest = np.concatenate([fresh / v[:n], _sigma_upper(ao) * _tanh_upper(fresh) / vh])
    else:
        (r, z, _), _ = split(box)
        bc = absolute("b_candidate", slice(None))
        hidden = _Jet(v=box, s=vh, w=zero, ss=zero, sw=zero, ww=zero)
        Wn, Un, bn = (absolute(name, blocks[2]) for name in ("W", "U", "b"))
        lengths = math.sqrt(float(np.sum(box * box))), math.sqrt(float(np.sum(vh * vh)))
        gate = sigma(r)
        own = math.sqrt(
            (reach * reach if "U" in trained else 0.0) + (1.0 if "b" in trained else 0.0)
        )
        fixed = _Jet(
            v=Un @ largest + bn + slack["U"] * reach + slack["b"],
            s=zero, w=np.full(n, own), ss=zero, sw=zero, ww=zero,
        )  # fmt: skip
        free = "W" in trained
        if getattr(first, "variant", "reset_after") == "reset_after":
            with_bias = "b_candidate" in trained
            extra = slack.get("b_candidate", 0.0)
            product = _Jet(
                v=Wn @ box + bc + slack["W"] * lengths[0] + extra,
                s=Wn @ vh + slack["W"] * lengths[1],
                w=np.full(
                    n, math.sqrt((lengths[0] ** 2 if free else 0.0) + (1.0 if with_bias else 0.0))
                ),
                ss=zero,
                sw=np.full(n, lengths[1] if free else 0.0),
                ww=zero,
            )
            inside = fixed + gate * product
        else:
            q = gate * hidden  # r h, unit by unit

            def mix(x: Array) -> Array:
                return np.asarray(Wn @ x + slack["W"] * math.sqrt(float(np.sum(x * x))))

            def size(x: Array) -> Array:
                return np.full(n, math.sqrt(float(np.sum(x * x))) if free else 0.0)

            # W_n q(s, w): the derivative in W_n itself is q, and mixes with those of q
            inside = fixed + _Jet(
                v=mix(q.v),
                s=mix(q.s),
                w=mix(q.w) + size(q.v),
                ss=mix(q.ss),
                sw=mix(q.sw) + size(q.s),
                ww=mix(q.ww) + 2 * size(q.w),
            )
        candidate = tanh(inside)
        update = sigma(z)
        keep = replace(update, v=_sigma_upper(z.v))  # 1 - z = sigma(-a), with the same derivatives
        h = keep * candidate + update * hidden
        out = [(h, vh)]
        states = box
        # z h + (1 - z) n is affine in z: its stretch is largest at an end of z's range
        high = _sigma_upper(z.v)
        low = np.maximum(0.0, (1.0 - high) * (1 - 16 * UNIT))
        turn = update.s * (box + candidate.v)
        ends = [q * vh + (1.0 - q) * (1 + 4 * UNIT) * candidate.s for q in (low, high)]
        rates = [(np.maximum(*ends) + turn) / vh]
        weights = [(high * candidate.w + update.w * (box + candidate.v)) / vh]
        (_, zz, az), _ = split(np.zeros(n))
        rest = (
            _sigma_upper(zz.v)
            * _tanh_upper(az.v + (bc if getattr(first, "variant", "") == "reset_after" else 0.0))
            / vh
        )

    def most(arrays: list[Array]) -> float:
        return up(float(np.max(np.concatenate(arrays))) * safe)

    mixed = most([j.sw / scale for j, scale in out])
    lam = most(rates)
    return MapConstants(
        lam=lam,
        drive=most([rest]),
        state_bound=float(np.max(states / v)) * safe,
        input_bound=reach,
        weight_gain=most(weights),
        beta_hh=most([j.ss / scale for j, scale in out]),
        beta_hw=mixed,
        beta_wh=mixed,
        beta_ww=most([j.ww / scale for j, scale in out]),
        majorant=lam,
        norm=norm,
        trained=trained,
        radius=radius,
        box=states,
    )


# lower values ---------------------------------------------------------------------------------


def constants_lower(
    model: Map, constants: MapConstants, rng: np.random.Generator, *, rounds: int = 400
) -> dict[str, float]:
    r"""Search for states, inputs and parameters at which the constants are nearly reached.

    Parameters
    ----------
    model : Map
        One of the maps that `constants` are about.
    constants : MapConstants
    rng : numpy.random.Generator
    rounds : int
        Points tried for each constant; half of them near the best so far.

    Returns
    -------
    dict
        A lower value of lam, weight_gain, beta_hh, beta_hw and beta_ww: difference quotients, which
        no true constant is below.  Good for refuting and for judging looseness.

    Raises
    ------
    ValueError
        If `rounds` is not a positive count.
    """
    check_count(at_least=1, rounds=rounds)
    norm, n, m = constants.norm, model.state_dim, model.input_dim
    names = constants.trained
    values = model.parameters
    sizes = {name: values[name].size for name in names}
    total = sum(sizes.values())

    def moved(dw: Array) -> Map:
        if not dw.any():
            return model
        changed, at = {}, 0
        for name in names:
            piece = dw[at : at + sizes[name]].reshape(values[name].shape)
            changed[name] = values[name] + piece
            at += sizes[name]
        return model.with_parameters(**changed)

    def box(h: Array) -> Array:
        """Return a state inside the domain."""
        size = float(norm.vector(h))
        h = h * min(1.0, constants.state_bound / size) if size > 0 else h
        return np.asarray(h if constants.box is None else np.clip(h, -constants.box, constants.box))

    def inside(x: Array) -> Array:
        size = float(L2().vector(x))
        return np.asarray(x * min(1.0, constants.input_bound / size) if size > 0 else x)

    small = 2.0**-10
    # a step in w leaves the domain of a single map by so little: 2**-10 relative to its radius
    reach = max(constants.radius, 2.0**-20)

    def quotients(genes: Array) -> dict[str, float]:
        h = box(genes[:n] * 2 * constants.state_bound / math.sqrt(n))
        x = inside(genes[n : n + m] * 2 * constants.input_bound / math.sqrt(m))
        u, e = genes[n + m : 2 * n + m], genes[2 * n + m : 3 * n + m]
        d = genes[3 * n + m :]
        u, e = u / max(float(norm.vector(u)), 1e-300), e / max(float(norm.vector(e)), 1e-300)
        d = d / max(float(np.linalg.norm(d)), 1e-300) * reach
        other = moved(d)
        t = small * max(constants.state_bound, 2.0**-20)
        g = box(h + t * u)
        gap = float(norm.vector(g - h))
        J, K, Q = (
            model.jacobian_state(h, x),
            model.jacobian_state(g, x),
            other.jacobian_state(h, x),
        )
        middle, far = model.step(h, x), other.step(h, x)
        back = moved(-d).step(h, x)
        return {
            "lam": float(norm.vector(J @ e)),
            "weight_gain": float(norm.vector(far - middle)) / reach,
            # two states that the box brings together show rounding only
            "beta_hh": float(norm.vector((K - J) @ e)) / gap if gap > t / 4 else 0.0,
            "beta_hw": float(norm.vector((Q - J) @ e)) / reach,
            "beta_ww": float(norm.vector(far - 2 * middle + back)) / reach**2
            if constants.radius > 0
            else 0.0,
        }

    best: dict[str, float] = {}
    at: dict[str, Array] = {}
    length = 3 * n + m + total
    for trial in range(rounds):
        genes = rng.standard_normal(length) * (rng.random(length) < rng.choice([0.3, 1.0]))
        targets = list(best)
        if targets and trial % 2:
            parent = at[targets[rng.integers(len(targets))]]
            genes = parent + rng.choice([0.05, 0.3]) * genes
        for name, value in quotients(genes).items():
            if name not in best or value > best[name]:
                best[name], at[name] = value, genes
    return best
