"""Parametrizations that keep a module's recurrent weights in a stable set by construction.

Main names: `parametrize_stable`, `SpectralBall`, `MetricBall`, `RowSums`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from theory.arithmetic.rounding import TINY, gamma
from theory.certificates import Contraction
from theory.interop.torch_weights import names_of, shared_pairs
from theory.projections.balls import spectral_ball
from theory.projections.gates import log_odds
from theory.projections.interface import check_asked_rate, check_metric
from theory.projections.metric import MetricSet, incremental_set
from theory.torch.layers import (
    Module,
    check_precision,
    get_array,
    host_array,
    layers,
    need_torch,
    parametrize,
    torch,
)
from theory.torch.projection import StableProjection
from theory.typing import Array

#: A metric is refused in which rounding takes more than this part of the ball.
_STRETCHED = 2.0**-6


def _margin(n: int) -> float:
    r"""Return the margin that covers a cast to single precision and the double-precision forward.

    A cast changes the Euclidean norm by at most 2^-24 of the Frobenius norm, hence sqrt(n) 2^-24 of
    the Euclidean one; the rest is for the factorisation, whose columns are orthonormal up to a
    small multiple of n^(3/2) 2^-53, whatever the size of X.
    """
    return 2.0**-20 + 2.0**-23 * math.sqrt(n)


def _least(dtype: Any) -> float:
    """Return t, the smallest positive number of a type, subnormal."""
    info = torch.finfo(dtype)
    return float(info.smallest_normal * info.eps)


def _no_room(what: str, dtype: Any, least: float, lost: float) -> ValueError:
    return ValueError(
        f"{what} leaves no room in {dtype}, whose numbers near 0 are {least:.3g} apart: storing "
        f"the weights may move them by {lost:.3g} in all; use a larger one"
        + (", or module.double()" if dtype == torch.float32 else "")
    )


class SpectralBall(Module):  # type: ignore[misc]  # Any where PyTorch is not installed
    r"""Keep ||W||_2 < rate by construction: W = rate L^-1 X with L L^T = I + X X^T.

    With the factorisation Q R of I above X^T, L = R^T, so that W / rate is the lower part of Q,
    transposed: a part of a matrix with orthonormal columns.  Every W with ||W||_2 < rate is
    reached: with M = W / rate, L^-1 is the Cholesky factor of I - M M^T and X = L M.  It is smooth
    in X.  The rate is kept in the module's state.

    Parameters
    ----------
    rate : float
        Refused by the forward if it is so small that rounding could lead out of the ball.
    """

    def __init__(self, rate: float) -> None:
        need_torch()
        super().__init__()
        self.rate = check_asked_rate(rate)

    def get_extra_state(self) -> dict[str, Any]:
        """Return what belongs to the state beside the free matrix: the rate."""
        return {"rate": self.rate}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take over the rate of a stored state."""
        self.rate = check_asked_rate(state["rate"])

    def _top(self, X: Any) -> float:
        r"""Return what multiplies the matrix of norm 1, so that W is inside once it is stored.

        With t the smallest number of the type of X, an entry w errs by at most u |w| + t / 2 in the
        cast, and by at most eta / 2 <= t / 2 in the product before it, where that underflows.
        The part relative to w is that of `_margin`; the rest, E, has n m entries of at most t:

            ||E||_2 <= ||E||_F <= sqrt(n m) t <= c t,   c = ceil(sqrt(n m)),
            ||W||_2 <= top (1 + margin) + c t <= rate   for   top = rate (1 - margin) - (c + 1) t.

        One t more covers rate (1 - margin) as computed, which may underflow; the difference does
        not, and (c + 1) t is a number.
        """
        least = _least(X.dtype)
        lost = (math.isqrt(max(X.numel() - 1, 0)) + 2) * least
        top = self.rate * (1.0 - _margin(X.shape[0])) - lost
        if not top > 0.0:
            raise _no_room(f"rate={self.rate!r}", X.dtype, least, lost)
        return top

    def forward(self, X: Any) -> Any:
        """Return W from the free matrix X.

        Raises
        ------
        ValueError
            If X has fewer digits than single precision, or so few near the rate that there is no
            room for rounding.
        """
        check_precision("the free matrix", X)
        wide = X.double()
        n, top = wide.shape[0], self._top(X)
        eye = torch.eye(n, dtype=wide.dtype, device=wide.device)
        Q, R = torch.linalg.qr(torch.cat([eye, wide.mT]))
        # the factor of positive diagonal is the smooth one
        signs = torch.sign(torch.diagonal(R))[:, None]
        return (top * (signs * Q[n:].mT)).to(X.dtype)

    def right_inverse(self, W: Any) -> Any:
        """Return X of a W, moved to a part of 2^-10 inside: at the boundary X is infinite.

        Raises
        ------
        ValueError
            As `forward`.
        """
        n, top = W.shape[0], self._top(W)
        # divided only once it is in the ball, where the quotient does not overflow
        inner = spectral_ball(np.asarray(host_array(W), np.float64), top) / top
        M = torch.from_numpy(spectral_ball(inner, 1.0 - 2.0**-10)).to(W.device)
        eye = torch.eye(n, dtype=M.dtype, device=M.device)
        K = torch.linalg.cholesky(eye - M @ M.mT)
        return torch.linalg.solve_triangular(K, M, upper=False).to(W.dtype)


class MetricBall(Module):  # type: ignore[misc]  # Any where PyTorch is not installed
    r"""Keep the incremental matrix inequality for fixed P, q and rate by construction.

    In coordinates of the metric it is a spectral ball, see `theory.projections.metric`.  Metric and
    rate are kept in the module's state, and stay in double precision when the module does not.

    Parameters
    ----------
    metric : Contraction or (P, q)
        The certificate of a matrix inequality, or its parts.
    rate : float
    slopes : (float, float)
        Least and greatest slope of the activation.
    """

    left: Any
    right: Any
    scale: Any

    def __init__(
        self, metric: Contraction, rate: float, slopes: tuple[float, float] = (0.0, 1.0)
    ) -> None:
        need_torch()
        super().__init__()
        P, q = check_metric(metric)
        for name in ("left", "right", "scale"):
            self.register_buffer(name, torch.empty(0), persistent=False)
        self._take(P, q, rate, slopes)

    def _take(self, P: Array, q: Array, rate: float, slopes: tuple[float, float]) -> None:
        where: MetricSet = incremental_set(P, q, slopes, check_asked_rate(rate))
        self._where, self._state = where, (P, q, rate, slopes)
        self.ball = SpectralBall(rate)
        self._place()

    def _inner(self, dtype: Any) -> float:
        r"""Return the part of the ball that is inside after W is stored in a type.

        That moves W by at most a unit of its length, and computing W in double precision by a few
        n; the metric may stretch it by the quotient of its largest and least factors.

        Near 0 errors do not shrink with W: with t the smallest number of the type and L E R the
        error in the coordinates of the metric, ||L E R||_2 <= a ||E||_F, a = max high / min low,

            Y, Y scale   lose at most eta / 2 an entry to underflow:  n eta / 2 (1 + a),
            two products at most n eta an entry each:                 2 n^2 eta a,
            the cast     at most t / 2 an entry:                      n t / 2 a,

        in all less than n (eta + a (t + (2 n + 1) eta)), which is to be a small part of the rate.
        """
        where = self._where
        stretch = float(np.max(where.high) * np.max(where.low)) / float(
            np.min(where.high) * np.min(where.low)
        )
        n = len(where.low)
        unit = 2.0**-24 if dtype == torch.float32 else 0.0
        moved = stretch * math.sqrt(n) * (unit + 4.0 * gamma(n + 4))
        gain = float(np.max(where.high)) / float(np.min(where.low))
        moved += n * (TINY + gain * (_least(dtype) + (2 * n + 1) * TINY)) / self.ball.rate
        if not moved < _STRETCHED:
            raise ValueError(
                f"in {dtype} rounding moves weights by {moved:.3g} of the ball of this metric, "
                f"needed less than {_STRETCHED}; use a larger rate, a metric= of one, or "
                "onto='spectral'" + (", or module.double()" if dtype == torch.float32 else "")
            )
        return 1.0 - 2.0 * moved

    def _place(self) -> None:
        """Put the metric on the module's device, in double precision."""
        at, where = self.left.device, self._where
        self.left = torch.from_numpy(where.left.copy()).to(at)
        self.right = torch.from_numpy(where.right.copy()).to(at)
        scale = where.low[None, :] / where.high[:, None]
        self.scale = torch.from_numpy(np.ascontiguousarray(scale)).to(at)

    def _apply(self, *args: Any, **options: Any) -> Any:
        """Follow the module to a device, but to no other type."""
        super()._apply(*args, **options)
        self._place()
        return self

    def get_extra_state(self) -> dict[str, Any]:
        """Return what belongs to the state beside the free matrix: metric, rate and slopes."""
        P, q, rate, slopes = self._state
        P, q = (torch.from_numpy(np.array(a)) for a in (P, q))
        return {"P": P, "q": q, "rate": rate, "slopes": list(slopes)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take over the metric, rate and slopes of a stored state."""
        P, q = (state[name].cpu().double().numpy() for name in ("P", "q"))
        low, high = state["slopes"]
        self._take(P, q, float(state["rate"]), (low, high))

    def forward(self, X: Any) -> Any:
        """Return W from the free matrix X.

        Raises
        ------
        ValueError
            If X has fewer digits than single precision.
        """
        check_precision("the free matrix", X)
        Y = self._inner(X.dtype) * self.ball(X.double())
        return (self.left @ (Y * self.scale) @ self.right.mT).to(X.dtype)

    def right_inverse(self, W: Any) -> Any:
        """Return X of a W, which is moved inside as in `SpectralBall`."""
        inward = self._where.inward(np.asarray(host_array(W), np.float64)) / self._inner(W.dtype)
        return self.ball.right_inverse(torch.from_numpy(inward).to(W.device)).to(W.dtype)


class RowSums(Module):  # type: ignore[misc]  # Any where PyTorch is not installed
    r"""Keep sum_j |W_ij| <= limits_i by construction: rows that are too large are scaled down.

    This is a parametrization, not a projection: see `theory.projections.row_sum_ball` for that.

    Parameters
    ----------
    limits : (rows,) array
        Positive, inf where a row is free.
    """

    limits: Any

    def __init__(self, limits: Array) -> None:
        need_torch()
        super().__init__()
        inner = np.asarray(limits, dtype=np.float64) * (1.0 - 2.0**-20)
        self.register_buffer("limits", torch.from_numpy(inner))

    def _apply(self, *args: Any, **options: Any) -> Any:
        """Follow the module to a device, but keep limits in double precision."""
        limits = self.limits
        super()._apply(*args, **options)
        if not limits.is_meta:
            self.limits = limits.to(self.limits.device)
        return self

    def _room(self, X: Any) -> tuple[Any, float]:
        r"""Return what the sums of rows are scaled to, and what is kept free for rounding.

        With t the smallest number of the type of X and l the stored limit, the m entries of a row
        err together

            by less than (m + 8) 2^-53 l + 2^-24 l   as far as nothing underflows,
            by at most m eta l                       where the quotients do, which are at most 1,
            by at most m (eta / 2 + t / 2) <= m t    where the last product and the cast do.

        The limit asked for is above l by 2^-20 l, more than the first two, but for the rounding of
        l and of l - (m + 1) t, which one t more covers.
        """
        lost = ((1 if X.ndim == 1 else X.shape[1]) + 1) * _least(X.dtype)
        return (self.limits - lost).clamp_min(0.0), lost

    def forward(self, X: Any) -> Any:
        """Return X with rows scaled down to the limits, to 0 where a limit leaves no other number.

        Raises
        ------
        ValueError
            If X has fewer digits than single precision.
        """
        check_precision("the free matrix", X)
        limits = self._room(X)[0][:, None]
        wide = X.double() if X.ndim == 2 else X.double()[:, None]
        size = wide.abs()
        large = size.sum(dim=1, keepdim=True) > limits  # never where a row is free
        # divided by their largest entries rows neither overflow nor underflow; rows that are not
        # large take part as ones, so that no derivative is infinite
        one = torch.ones_like(limits)
        room = torch.where(large, limits, one)
        top = torch.where(large, size.detach().amax(dim=1, keepdim=True), one)
        part = torch.where(large, wide / top, one)
        scaled = part / part.abs().sum(dim=1, keepdim=True) * room
        return torch.where(large, scaled, wide).reshape(X.shape).to(X.dtype)

    def right_inverse(self, W: Any) -> Any:
        """Return W itself; what is outside is scaled by the forward.

        Raises
        ------
        ValueError
            If a limit leaves no room for rounding in the type of W.
        """
        check_precision("the weight", W)
        room, lost = self._room(W)
        if not bool((room > 0.0).all()):
            what = f"a limit of {float(self.limits.min()):.3g} for the sum of a row"
            raise _no_room(what, W.dtype, _least(W.dtype), lost)
        return W


def parametrize_stable(
    module: Any,
    *,
    rate: float,
    onto: str | None = None,
    inputs: Any = None,
    forget: float | None = None,
    metric: Contraction | None = None,
) -> None:
    r"""Keep a module's recurrent weights in a stable set by construction.

    Registers parametrizations (`torch.nn.utils.parametrize`), whose parameters are free; weights
    that are outside are moved inside first.

    Parameters
    ----------
    module : torch.nn.RNN, LSTM or GRU, or a cell of these
    rate : float
        The contraction factor asked for, 0 < rate < 1.
    onto : str, optional
        ``spectral`` (default) or ``lmi`` for an RNN, ``lstm`` for an LSTM, ``gru`` for a GRU.
    inputs, forget, metric
        As for `StableProjection`.  In an LSTM the bound of the forget gates is shared out in fixed
        parts: half to the recurrent weights, a quarter each to the input weights and the biases; so
        are those of all gates in a GRU, and a quarter of what the rate leaves beyond the update
        gate goes to its weights, five eighths to the candidate's, one eighth to its second bias.

    Raises
    ------
    ValueError
        If an argument does not fit.
    """
    kind, suffixes = layers(module)
    if kind == "rnn" and onto not in {None, "spectral", "lmi"}:
        raise ValueError(f"onto={onto!r} for an RNN, needed 'spectral' or 'lmi'")
    guide = StableProjection(
        module, rate=rate, onto=onto, inputs=inputs, forget=forget, metric=metric
    )
    shared = shared_pairs(module, names_of(module))
    if shared:
        a, b = shared[0]
        raise ValueError(
            f"{a} and {b} share memory, which a parametrization of one would overwrite; give each "
            f"a parameter of its own, module.{b} = torch.nn.Parameter(module.{b}.detach().clone())"
        )
    sets: dict[str, Any] = {}
    for suffix in suffixes:
        if guide.onto == "spectral":
            sets[f"weight_hh{suffix}"] = SpectralBall(rate)
        elif guide.onto == "lmi":
            sets[f"weight_hh{suffix}"] = MetricBall(guide._metric[suffix], rate)
        elif guide.onto == "gru":
            sets |= _gru_sets(module, suffix, guide)
        else:
            sets |= _lstm_sets(module, suffix, guide)
    # all are tried before the first is registered, so that a refusal leaves the module as it was
    with torch.no_grad():
        for name, one in sets.items():
            one.right_inverse(getattr(module, name))
    for name, one in sets.items():
        parametrize.register_parametrization(module, name, one)


def _lstm_sets(module: Any, suffix: str, guide: StableProjection) -> dict[str, Any]:
    """Return the parametrizations of an LSTM layer by the names of its weights."""
    f, rate, bound = guide._forget[suffix], guide.rate, guide._bound(suffix)
    n = getattr(module, f"weight_hh{suffix}").shape[1]
    odds = float(log_odds(f))
    room = rate - f
    free = np.full(n, math.inf)
    biases = [p for p in ("ih", "hh") if get_array(module, f"bias_{p}{suffix}") is not None]
    recurrent = min(room * (1.0 - f), 0.5 * odds)
    sums = [np.full(n, x) for x in (room, recurrent, 0.25 * room, room)]
    found = {f"weight_hh{suffix}": RowSums(np.concatenate(sums))}
    limit = np.full(n, 0.25 * odds / bound)
    found[f"weight_ih{suffix}"] = RowSums(np.concatenate([free, limit, free, free]))
    for part in biases:
        limit = np.full(n, 0.25 * odds / len(biases))
        found[f"bias_{part}{suffix}"] = RowSums(np.concatenate([free, limit, free, free]))
    return found


def _gru_sets(module: Any, suffix: str, guide: StableProjection) -> dict[str, Any]:
    """Return the parametrizations of a GRU layer by the names of its weights."""
    n, bound = getattr(module, f"weight_hh{suffix}").shape[1], guide._bound(suffix)
    at = guide._bounds[suffix]
    room = guide.rate - at.z
    r, z = (float(log_odds(f)) for f in (at.r, at.z))
    top = math.atanh(at.candidate) * (1.0 - 2.0**-30) if at.candidate < 1 else math.inf
    n_sum = (1.0 - at.z) * (at.r + 0.25 * at.reset)
    second = min(0.125 * room / (0.25 * (1.0 - at.z) * at.reset), 0.125 * top)
    by_part = {
        "weight_hh": (
            min(at.reset, 0.5 * r),
            min(room / (1.0 + at.candidate), 0.5 * z),
            min(0.625 * room / n_sum, 0.5 * top),
        ),
        "weight_ih": (0.25 * r / bound, 0.25 * z / bound, 0.25 * top / bound),
        "bias_ih": (0.125 * r, 0.125 * z, 0.125 * top),
        "bias_hh": (0.125 * r, 0.125 * z, second),
    }
    return {
        f"{part}{suffix}": RowSums(np.repeat(limits, n))
        for part, limits in by_part.items()
        if get_array(module, f"{part}{suffix}") is not None
    }
