r"""Stable PyTorch modules during training: projections after a step, or parametrizations.

Main names: `StableProjection`, `parametrize_stable`, `SpectralBall`, `MetricBall`, `RowSums`.

Needs PyTorch (the extra ``torch``); importing this module without it works, using it does not.
Weights of `torch.nn.RNN`, `LSTM`, `GRU` and their cells are known, all layers and directions.
"""

from __future__ import annotations

import math
from importlib import import_module
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
from theory.rounding import TINY, down, gamma, up
from theory.torch_weights import (
    check_forward,
    check_stored,
    names_of,
    nonlinearity,
    shared_pairs,
    strange_cells,
    weights_in_use,
)
from theory.typing import Array

torch: Any
nn: Any
parametrize: Any
_Module: Any
try:
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
        hint = "pass the recurrent layer itself, such as model.rnn"
        if hasattr(module, "_orig_mod"):
            hint = "pass the module that torch.compile was given, which shares its weights"
        elif isinstance(module, nn.Module):
            hint = "; ".join(strange_cells(module)) or hint
        raise ValueError(
            f"received {type(module).__name__}, needed a torch.nn.RNN, LSTM or GRU, or a cell of "
            f"these; {hint}"
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
    Its weights are those that PyTorch's own forward pass would read next, in evaluation mode;
    whether that is what runs, `theory.torch_weights.check_forward` says.

    Raises
    ------
    ValueError
        If it is not known which these are.
    """
    kind, _ = layers(module)
    weights = weights_in_use(module)
    W, U = (
        np.asarray(_host(weights[f"weight_{part}{suffix}"]), dtype=np.float64)
        for part in ("hh", "ih")
    )
    biases = [weights.get(f"bias_{part}{suffix}") for part in ("ih", "hh")]
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
    return VanillaRNN(W, U, b, nonlinearity(module))


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

    Notes
    -----
    A projection is worth something only if the next forward pass reads what it has written.  So
    weights that something re-makes before every pass are refused (weight_norm, spectral_norm,
    pruning, weight drop, parametrizations), and so are modules whose forward pass is another one.
    Certificates are of the weights as stored and of exact arithmetic: under `torch.autocast` the
    forward pass rounds weights first.  Code elsewhere that writes into the parameters between the
    certificate and the forward pass cannot be seen from here.

    Raises
    ------
    ValueError
        If an argument does not fit, or it is not known that the module's forward pass reads the
        parameters as they are.
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
        self.module = module
        # a plain cell's set is one of its recurrent weights alone
        stems = ["weight_hh"] if kind == "rnn" else ["weight_hh", "weight_ih", "bias_ih", "bias_hh"]
        about = [f"{stem}{end}" for end in self._suffixes for stem in stems]
        # a module without biases has none, or None for them
        without = [name for name, tensor in module._parameters.items() if tensor is None]
        self._names = [n for n in names_of(module) if n in about and n not in without]
        self._tensors: dict[str, Any] = {}
        self._check_module()
        self._tensors = {name: module._parameters[name] for name in self._names}
        self.rate = check_asked_rate(rate)
        check_count(at_least=1, every=every)
        known = (*_BALLS, "lmi") if kind == "rnn" else (kind,)
        self.onto = known[0] if onto is None else onto
        if self.onto not in known:
            raise ValueError(f"onto={onto!r} for an {kind.upper()}, needed one of: {known}")
        self._check_shared()
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

    def _check_module(self) -> None:
        """Check that the next forward pass is PyTorch's own and reads what is stored here."""
        self._check_stored()
        check_forward(self.module)

    def _check_stored(self) -> None:
        """Check that what is written into the weights stays there."""
        check_stored(self.module, self._names)
        for name, parameter in self.module.named_parameters():
            _check_precision(name, parameter)
        for name, tensor in self._tensors.items():
            if self.module._parameters[name] is not tensor:
                raise ValueError(
                    f"{name} is another parameter than when this projection was made: either it "
                    "was replaced (load_state_dict(assign=True), a move to another device), then "
                    "make the projection, and the optimizer, anew; or a wrapper replaces it before "
                    "every forward pass (weight drop), and what is written into it is lost"
                )

    def _check_shared(self) -> None:
        """Check that no weight moves because another one does."""
        for a, b in shared_pairs(self.module, self._names):
            # all layers of a plain cell have one and the same ball
            if self.onto not in _BALLS or self._tensors[a] is not self._tensors[b]:
                raise ValueError(
                    f"{a} and {b} share memory, so that projecting one moves the other out of its "
                    "set; give each a parameter of its own, "
                    f"module.{b} = torch.nn.Parameter(module.{b}.detach().clone())"
                )

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
        if not self.rate > 0.5:
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
            If a weight is not finite, or something re-makes or has replaced it since this
            projection was made; nothing has been moved then.
        """
        self._check_stored()
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
        """Return a proof for every layer as it is now, at most at the rate; None where none is.

        Raises
        ------
        ValueError
            If it is not known that the next forward pass reads the weights as they are: see the
            notes above.
        """
        self._check_module()
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


class SpectralBall(_Module):  # type: ignore[misc]  # Any where PyTorch is not installed
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
        _need_torch()
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
        _check_precision("the free matrix", X)
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
        inner = spectral_ball(np.asarray(_host(W), np.float64), top) / top
        M = torch.from_numpy(spectral_ball(inner, 1.0 - 2.0**-10)).to(W.device)
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

    limits: Any

    def __init__(self, limits: Array) -> None:
        _need_torch()
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
        _check_precision("the free matrix", X)
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
        _check_precision("the weight", W)
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
    biases = [p for p in ("ih", "hh") if _get(module, f"bias_{p}{suffix}") is not None]
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
        if _get(module, f"{part}{suffix}") is not None
    }
