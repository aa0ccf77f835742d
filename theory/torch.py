r"""Stable PyTorch modules during training: projections after a step, or parametrizations.

Main names: `StableProjection`, `parametrize_stable`, `SpectralBall`, `MetricBall`, `RowSums`.

Needs PyTorch (the extra ``torch``); importing this module without it works, using it does not.
Weights of `torch.nn.RNN`, `LSTM`, `GRU` and their cells are known, all layers and directions.
"""

from __future__ import annotations

import math
from typing import Any, final

import numpy as np

from theory.certificates import Contraction
from theory.errors import MissingExtraError, check_count
from theory.inputs import Inputs, entry_bound
from theory.maps import GRU, LSTM, Map, VanillaRNN
from theory.norms import WeightedL2
from theory.projections import column_sum_ball, project, row_sum_ball, spectral_ball
from theory.projections.affine import gentle_metric
from theory.projections.base import Request
from theory.projections.gated import certify, log_odds
from theory.projections.gru import GRUBounds, gru_bounds, gru_nearest, in_criterion, least_bounds
from theory.projections.interface import check_asked_rate, check_metric
from theory.projections.lstm import forget_rows, in_published, published_middle
from theory.projections.metric import MetricSet, incremental_set
from theory.projections.rows import sums_up
from theory.rounding import down, gamma, up
from theory.typing import Array

torch: Any
nn: Any
parametrize: Any
_Module: Any
try:
    from importlib import import_module

    torch = import_module("torch")
    nn, parametrize = torch.nn, import_module("torch.nn.utils.parametrize")
    _Module = nn.Module
except ImportError:  # the extra is not installed
    torch = nn = parametrize = None
    _Module = object

#: Sets of plain cells, by name.
_BALLS = {"spectral": spectral_ball, "linf": row_sum_ball, "l1": column_sum_ball}

#: A metric is refused in which rounding takes more than this part of the ball.
_STRETCHED = 2.0**-6

#: Of a GRU whose weights are wild at the start the update gate's bound is kept away from the rate,
#: at this logit: the set is fixed, and is to leave room for training.
_REACH = 4.0


def _need_torch() -> None:
    if torch is None:
        raise MissingExtraError("torch", "torch", "a projection of PyTorch modules")


def layers(module: Any) -> tuple[str, list[str]]:
    """Return the kind of a module, ``rnn``, ``lstm`` or ``gru``, and the suffixes of its weights.

    Raises
    ------
    ValueError
        If the module is of another kind, or its LSTM has a projection of its own (``proj_size``).
    """
    _need_torch()
    cells = {nn.RNNCell: "rnn", nn.LSTMCell: "lstm", nn.GRUCell: "gru"}
    stacks = {nn.RNN: "rnn", nn.LSTM: "lstm", nn.GRU: "gru"}
    for known, kind in cells.items():
        if isinstance(module, known):
            return kind, [""]
    kinds = [kind for known, kind in stacks.items() if isinstance(module, known)]
    if not kinds:
        raise ValueError(
            f"received {type(module).__name__}, needed a torch.nn.RNN, LSTM or GRU, or a cell of "
            "these; pass the recurrent layer itself, such as model.rnn"
        )
    if getattr(module, "proj_size", 0):
        raise ValueError(f"proj_size={module.proj_size}, needed a torch.nn.LSTM without it")
    ends = ["", "_reverse"] if module.bidirectional else [""]
    return kinds[0], [f"_l{k}{end}" for k in range(module.num_layers) for end in ends]


def _check_precision(name: str, tensor: Any) -> None:
    if tensor.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"{name} is {tensor.dtype}, needed torch.float32 or torch.float64: with fewer digits "
            "weights move too far when they are stored; use module.float()"
        )


def _host(tensor: Any) -> Any:
    """Return a contiguous NumPy array of a tensor: its own memory if it is on the CPU."""
    return tensor.detach().cpu().contiguous().numpy()


def _store(tensor: Any, array: Any) -> None:
    """Copy an array back; its own memory is only said to have changed, for autograd."""
    with torch.no_grad():
        if array.ctypes.data != tensor.data_ptr():
            tensor.copy_(torch.from_numpy(array))
        else:
            torch.autograd.graph.increment_version(tensor)


def _get(module: Any, name: str) -> Any:
    return getattr(module, name, None)


def layer_map(module: Any, suffix: str) -> Map:
    """Return one layer of a module as a map in double precision.

    The two biases are added, but for a GRU's candidate, whose second one the reset gate multiplies.
    """
    kind, _ = layers(module)
    W, U = (
        np.asarray(_host(_get(module, f"weight_{part}{suffix}")), dtype=np.float64)
        for part in ("hh", "ih")
    )
    biases = [_get(module, f"bias_{part}{suffix}") for part in ("ih", "hh")]
    b_ih, b_hh = (
        np.zeros(len(W)) if b is None else np.asarray(_host(b), dtype=np.float64) for b in biases
    )
    b = b_ih + b_hh
    if kind == "gru":
        last = slice(2 * W.shape[1], None)
        b[last] = b_ih[last]
        return GRU(W, U, b, b_hh[last])
    if kind == "lstm":
        return LSTM(W, U, b)
    return VanillaRNN(W, U, b, getattr(module, "nonlinearity", "tanh"))


@final
class StableProjection:
    r"""Move a module's recurrent weights to the nearest stable ones, after optimizer steps.

    The weights are changed in place.  In an RNN only the recurrent weights move; in an LSTM also
    the input weights and biases of the forget gates, which enter their bound; in a GRU those of
    all gates.

    Parameters
    ----------
    module : torch.nn.RNN, LSTM or GRU, or a cell of these
    rate : float
        The contraction factor asked for, 0 < rate < 1.
    every : int
        Project after every so many calls of `step`.
    onto : str, optional
        ``spectral`` (default), ``linf``, ``l1`` or ``lmi`` for an RNN, ``lstm`` for an LSTM,
        ``gru`` for a GRU, whose bounds of the gates are those nearest to the weights at the start
        and then fixed, so that the set is convex.
    inputs : Inputs, optional
        For an LSTM or a GRU: the inputs in question, |x_i| <= 1 by default, of which the largest
        |x_i| enters; layers above the first see |x_i| <= 1, or with a dropout of p in training
        |x_i| <= 1 / (1 - p).
    forget : float, optional
        For an LSTM: the bound of the forget gates; by default the one that is nearest to the
        weights at the start.  It is fixed, so that the set is convex.
    metric : Contraction, optional
        For ``lmi``: the metric, fixed; by default the nearest at the start.

    Raises
    ------
    ValueError
        If an argument does not fit.
    MissingExtraError
        If PyTorch is not installed.

    Examples
    --------
    In a training loop, either way::

        stable = StableProjection(model.rnn, rate=0.95, every=10)
        ...
        optimizer.step()
        stable.step()

        stable.attach(optimizer)  # once, instead of calling step
    """

    def __init__(
        self,
        module: Any,
        *,
        rate: float,
        every: int = 1,
        onto: str | None = None,
        inputs: Any = None,
        forget: float | None = None,
        metric: Contraction | None = None,
    ) -> None:
        kind, self._suffixes = layers(module)
        if nn.utils.parametrize.is_parametrized(module):
            raise ValueError(
                "the module is parametrized: its weights are computed anew at every use, never "
                "changed in place; parametrize_stable(module, rate=...) alone keeps it inside"
            )
        for name, parameter in module.named_parameters():
            _check_precision(name, parameter)
        self.module = module
        self.rate = check_asked_rate(rate)
        check_count(at_least=1, every=every)
        known = (*_BALLS, "lmi") if kind == "rnn" else (kind,)
        self.onto = known[0] if onto is None else onto
        if self.onto not in known:
            raise ValueError(f"onto={onto!r} for an {kind.upper()}, needed one of: {known}")
        self.every = every
        self.input_bound = 1.0 if inputs is None else entry_bound(inputs, module.input_size)
        self.calls = 0
        self._forget: dict[str, float] = {}
        self._metric: dict[str, Contraction] = {}
        self._bounds: dict[str, GRUBounds] = {}
        if forget is not None and kind != "lstm":
            raise ValueError(f"forget= is the bound of an LSTM's gates, received a module {kind!r}")
        for suffix in self._suffixes:
            if self.onto == "gru":
                self._bounds[suffix] = self._choose_bounds(suffix)
            if self.onto == "lstm":
                self._forget[suffix] = self._choose_forget(suffix, forget)
            if self.onto == "lmi":
                self._metric[suffix] = metric or self._choose_metric(suffix)
                check_metric(self._metric[suffix], layer_map(module, suffix).state_dim)

    def _bound(self, suffix: str) -> float:
        """Return the bound of a layer's inputs; dropout between layers raises what it leaves."""
        if suffix in {"", "_l0", "_l0_reverse"}:
            return self.input_bound
        kept = 1.0 - float(self.module.dropout)
        return up(1.0 / down(kept)) if 0.0 < kept < 1.0 else 1.0

    def _choose_forget(self, suffix: str, forget: float | None) -> float:
        if forget is not None:
            if not 0.5 < forget < self.rate:
                raise ValueError(f"forget={forget!r}, needed 1/2 < forget < rate = {self.rate!r}")
            return float(forget)
        start = layer_map(self.module, suffix)
        bound = self._bound(suffix)
        middle = published_middle(start, self.rate, bound)
        if middle is not None:
            return middle
        found = project(start, onto="lstm", rate=self.rate, inputs=Inputs.box(-bound, bound))
        return float(found.residuals["forget"])

    def _choose_bounds(self, suffix: str) -> GRUBounds:
        if self.rate <= 0.5:
            raise ValueError(
                f"rate={self.rate!r}, needed more than 1/2: the set takes the absolute value of "
                "the update gates' biases, so their bound is at least that"
            )
        start = layer_map(self.module, suffix)
        bound = self._bound(suffix)
        chosen = gru_bounds(start, self.rate, bound, _REACH)[0]
        if in_criterion(start, self.rate, bound) is None:
            return chosen
        kept = in_criterion(start, self.rate, bound, chosen) is not None
        return chosen if kept else least_bounds(start, bound)

    def _choose_metric(self, suffix: str) -> Contraction:
        start = layer_map(self.module, suffix)
        nearest = project(start, onto="lmi", rate=self.rate)
        found = gentle_metric(nearest.map, self.rate) or nearest.certificate
        if isinstance(found.norm, WeightedL2) and found.evidence.multipliers:
            return found
        n = start.state_dim
        from theory.theorems.contractive_of_incremental_lmi import contractive_of_incremental_lmi

        zero = np.zeros((n, n))
        plain = contractive_of_incremental_lmi(zero, P=np.eye(n), q=np.ones(n), rate=0.5)
        assert plain is not None
        return plain

    def step(self) -> bool:
        """Count a call; project if it is the turn.  Returns whether it was."""
        self.calls += 1
        if self.calls % self.every:
            return False
        self.project()
        return True

    def attach(self, optimizer: Any) -> Any:
        """Call `step` after every step of an optimizer; returns the handle that removes it."""
        return optimizer.register_step_post_hook(lambda *_: self.step())

    def project(self) -> None:
        """Project all layers now.

        Raises
        ------
        ValueError
            If a weight is not finite; nothing has been moved then.
        """
        for name, parameter in self.module.named_parameters():
            if not bool(torch.isfinite(parameter).all()):
                raise ValueError(
                    f"{name} holds numbers that are not finite: training has diverged; lower the "
                    "learning rate, or clip gradients"
                )
        for suffix in self._suffixes:
            tensor = _get(self.module, f"weight_hh{suffix}")
            if self.onto in _BALLS:
                array = _host(tensor)
                _BALLS[self.onto](array, self.rate, out=array)
                _store(tensor, array)
            elif self.onto == "lmi":
                self._project_lmi(suffix, tensor)
            elif self.onto == "gru":
                self._project_gru(suffix, tensor)
            else:
                self._project_lstm(suffix, tensor)

    def _project_lmi(self, suffix: str, tensor: Any) -> None:
        single = tensor.dtype == torch.float32
        found = project(
            layer_map(self.module, suffix),
            onto="lmi",
            rate=self.rate,
            metric=self._metric[suffix],
            dtype="float32" if single else "float64",
        )
        if found.distance > 0:
            W = found.map.parameters["W"]
            _store(tensor, W.astype(np.float32) if single else W.copy())

    def _project_gru(self, suffix: str, tensor: Any) -> None:
        cell = layer_map(self.module, suffix)
        n, single = cell.state_dim, tensor.dtype == torch.float32
        asked = Request(
            onto="gru", rate=self.rate, method="auto", input_bound=self._bound(suffix),
            single=single, bias_terms=2,
        )  # fmt: skip
        (W, U, b, b_c), _, _ = gru_nearest(cell, asked, self._bounds[suffix])
        dtype = np.float32 if single else np.float64
        _store(tensor, W.astype(dtype))
        _store(_get(self.module, f"weight_ih{suffix}"), U.astype(dtype))
        biases = [_get(self.module, f"bias_{part}{suffix}") for part in ("ih", "hh")]
        if biases[0] is None:
            return
        gates = slice(0, 2 * n)
        moved = b[gates] != cell.parameters["b"][gates]
        for bias, last in zip(biases, (b[2 * n :], b_c), strict=True):
            part = _host(bias)
            part[gates][moved] = (0.5 * b[gates])[moved]  # halves of a rounded number are exact
            part[2 * n :] = last
            _store(bias, part)

    def _project_lstm(self, suffix: str, tensor: Any) -> None:
        inputs = _get(self.module, f"weight_ih{suffix}")
        biases = [_get(self.module, f"bias_{part}{suffix}") for part in ("ih", "hh")]
        f, bound = self._forget[suffix], self._bound(suffix)
        # certificates round up: what they do not accept at the rate, they do a little below it
        for margin in (0.0, 2.0**-44, 2.0**-40, 2.0**-36, 2.0**-32):
            if in_published(layer_map(self.module, suffix), self.rate, bound, f) is not None:
                return
            rate = self.rate * (1.0 - margin)
            W, U = _host(tensor), _host(inputs)
            parts = [_host(bias) for bias in biases if bias is not None]
            n, room = W.shape[1], down(rate - f)
            for k, limit in ((0, room), (2, 0.25 * room), (3, room)):
                block = W[k * n : (k + 1) * n]
                moved = sums_up(np.asarray(block, dtype=np.float64)) > limit
                if np.any(moved):
                    inner = limit * (1.0 - 4.0 * gamma(n + 8))
                    block[moved] = row_sum_ball(block[moved], inner)
            rows = slice(n, 2 * n)
            total = sum((np.asarray(p[rows], dtype=np.float64) for p in parts), np.zeros(n))
            W_f, U_f, b_f, moved = forget_rows(
                np.asarray(W[rows], np.float64), np.asarray(U[rows], np.float64), total,
                rate=rate, forget=f, input_bound=bound, single=W.dtype == np.float32,
            )  # fmt: skip
            W[rows][moved], U[rows][moved] = W_f[moved], U_f[moved]
            for part in parts:  # halves of a rounded number are exact
                part[rows][moved] = b_f[moved] / len(parts)
            _store(tensor, W)
            _store(inputs, U)
            for bias, part in zip((b for b in biases if b is not None), parts, strict=True):
                _store(bias, part)
        raise ArithmeticError(
            f"no layer near this one could be proved to contract at {self.rate!r} with the forget "
            f"bound {f!r}, which leaves too little room below the rate"
        )

    def certificates(self) -> list[Contraction | None]:
        """Return a proof for every layer as it is now, at most at the rate; None where none is."""
        found: list[Contraction | None] = []
        for suffix in self._suffixes:
            layer = layer_map(self.module, suffix)
            c: Contraction | None
            if self.onto in {"lstm", "gru"}:
                c = certify(layer, self._bound(suffix))
            else:
                onto = self.onto
                metric = self._metric.get(suffix)
                answer = project(layer, onto=onto, rate=self.rate, metric=metric)
                c = answer.certificate if answer.distance == 0 else None
            found.append(c if c is not None and c.lam <= self.rate else None)
        return found


# --------------------------------------------------------------------------------- parametrizations


def _margin(n: int) -> float:
    r"""Return the margin that covers a cast to single precision and the double-precision forward.

    A cast changes the Euclidean norm by at most 2^-24 of the Frobenius norm, hence sqrt(n) 2^-24 of
    the Euclidean one; the rest is for the factorisation, whose columns are orthonormal up to a
    small multiple of n^(3/2) 2^-53, whatever the size of X.
    """
    return 2.0**-20 + 2.0**-23 * math.sqrt(n)


class SpectralBall(_Module):  # type: ignore[misc]  # Any where PyTorch is not installed
    r"""Keep ||W||_2 < rate by construction: W = rate L^-1 X with L L^T = I + X X^T.

    With the factorisation Q R of I above X^T, L = R^T, so that W / rate is the lower part of Q,
    transposed: a part of a matrix with orthonormal columns.  Every W with ||W||_2 < rate is
    reached: with M = W / rate, L^-1 is the Cholesky factor of I - M M^T and X = L M.  It is smooth
    in X.  The rate is kept in the module's state.

    Parameters
    ----------
    rate : float
    """

    def __init__(self, rate: float) -> None:
        _need_torch()
        super().__init__()
        self.rate = check_asked_rate(rate)

    def get_extra_state(self) -> dict[str, Any]:
        """Return what belongs to the state beside the free matrix: the rate."""
        return {"rate": self.rate}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take over the rate of a stored state."""
        self.rate = check_asked_rate(state["rate"])

    def forward(self, X: Any) -> Any:
        """Return W from the free matrix X.

        Raises
        ------
        ValueError
            If X has fewer digits than single precision.
        """
        _check_precision("the free matrix", X)
        wide = X.double()
        n = wide.shape[0]
        eye = torch.eye(n, dtype=wide.dtype, device=wide.device)
        Q, R = torch.linalg.qr(torch.cat([eye, wide.mT]))
        # the factor of positive diagonal is the smooth one
        signs = torch.sign(torch.diagonal(R))[:, None]
        return (self.rate * (1.0 - _margin(n)) * signs * Q[n:].mT).to(X.dtype)

    def right_inverse(self, W: Any) -> Any:
        """Return X of a W, moved to a part of 2^-10 inside: at the boundary X is infinite."""
        n = W.shape[0]
        top = self.rate * (1.0 - _margin(n))
        inner = spectral_ball(np.asarray(_host(W), np.float64), top * (1.0 - 2.0**-10))
        M = torch.from_numpy(inner / top).to(W.device)
        eye = torch.eye(n, dtype=M.dtype, device=M.device)
        K = torch.linalg.cholesky(eye - M @ M.mT)
        return torch.linalg.solve_triangular(K, M, upper=False).to(W.dtype)


class MetricBall(_Module):  # type: ignore[misc]  # Any where PyTorch is not installed
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
        _need_torch()
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
        """Return the part of the ball that is inside after W is stored in a type.

        That moves W by at most a unit of its length, and computing W in double precision by a few
        n; the metric may stretch it by the quotient of its largest and least factors.
        """
        where = self._where
        stretch = float(np.max(where.high) * np.max(where.low)) / float(
            np.min(where.high) * np.min(where.low)
        )
        n = len(where.low)
        unit = 2.0**-24 if dtype == torch.float32 else 0.0
        moved = stretch * math.sqrt(n) * (unit + 4.0 * gamma(n + 4))
        if not moved < _STRETCHED:
            raise ValueError(
                f"in {dtype} rounding moves weights by {moved:.3g} of the ball of this metric, "
                f"needed less than {_STRETCHED}; use module.double(), or a metric= of a larger "
                "rate, or onto='spectral'"
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
        _check_precision("the free matrix", X)
        Y = self._inner(X.dtype) * self.ball(X.double())
        return (self.left @ (Y * self.scale) @ self.right.mT).to(X.dtype)

    def right_inverse(self, W: Any) -> Any:
        """Return X of a W, which is moved inside as in `SpectralBall`."""
        inward = self._where.inward(np.asarray(_host(W), np.float64)) / self._inner(W.dtype)
        return self.ball.right_inverse(torch.from_numpy(inward).to(W.device)).to(W.dtype)


class RowSums(_Module):  # type: ignore[misc]  # Any where PyTorch is not installed
    r"""Keep sum_j |W_ij| <= limits_i by construction: rows that are too large are scaled down.

    This is a parametrization, not a projection: see `theory.projections.row_sum_ball` for that.

    Parameters
    ----------
    limits : (rows,) array
        Positive, inf where a row is free.
    """

    def __init__(self, limits: Array) -> None:
        _need_torch()
        super().__init__()
        inner = np.asarray(limits, dtype=np.float64) * (1.0 - 2.0**-20)
        self.register_buffer("limits", torch.from_numpy(inner))

    def forward(self, X: Any) -> Any:
        """Return X with rows scaled down to the limits.

        Raises
        ------
        ValueError
            If X has fewer digits than single precision.
        """
        _check_precision("the free matrix", X)
        wide = X.double()
        sums = wide.abs() if wide.ndim == 1 else wide.abs().sum(dim=1)
        free = torch.isinf(self.limits)
        room = torch.where(free, torch.ones_like(sums), self.limits)
        # sums of 0 need no scale
        large = ~free & (sums > room)
        scale = torch.where(large, room / sums.clamp_min(1e-300), torch.ones_like(sums))
        return (wide * (scale if wide.ndim == 1 else scale[:, None])).to(X.dtype)

    def right_inverse(self, W: Any) -> Any:
        """Return W itself; what is outside is scaled by the forward."""
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
    for suffix in suffixes:
        name = f"weight_hh{suffix}"
        if guide.onto == "spectral":
            parametrize.register_parametrization(module, name, SpectralBall(rate))
        elif guide.onto == "lmi":
            ball = MetricBall(guide._metric[suffix], rate)
            parametrize.register_parametrization(module, name, ball)
        elif guide.onto == "gru":
            _parametrize_gru(module, suffix, guide)
        else:
            _parametrize_lstm(module, suffix, guide)


def _parametrize_lstm(module: Any, suffix: str, guide: StableProjection) -> None:
    f, rate, bound = guide._forget[suffix], guide.rate, guide._bound(suffix)
    n = getattr(module, f"weight_hh{suffix}").shape[1]
    odds = float(log_odds(f))
    room = rate - f
    free = np.full(n, math.inf)
    biases = [p for p in ("ih", "hh") if _get(module, f"bias_{p}{suffix}") is not None]
    recurrent = min(room * (1.0 - f), 0.5 * odds)
    sums = [np.full(n, x) for x in (room, recurrent, 0.25 * room, room)]
    register = parametrize.register_parametrization
    register(module, f"weight_hh{suffix}", RowSums(np.concatenate(sums)))
    limit = np.full(n, 0.25 * odds / bound)
    register(module, f"weight_ih{suffix}", RowSums(np.concatenate([free, limit, free, free])))
    for part in biases:
        limit = np.full(n, 0.25 * odds / len(biases))
        register(module, f"bias_{part}{suffix}", RowSums(np.concatenate([free, limit, free, free])))


def _parametrize_gru(module: Any, suffix: str, guide: StableProjection) -> None:
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
    for part, limits in by_part.items():
        if _get(module, f"{part}{suffix}") is not None:
            rows = RowSums(np.repeat(limits, n))
            parametrize.register_parametrization(module, f"{part}{suffix}", rows)
