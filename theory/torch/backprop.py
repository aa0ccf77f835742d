r"""How far truncated backpropagation is off, on your own module, batch and loss.

Main names: `truncated_backprop`, `TruncatedBackprop`.

The state is carried through all inputs, and the gradient is cut: with ``cut="last"`` the loss is
that of the last output, and g_k is its gradient through the last k steps alone, as in
`theory.theorems.truncated_backprop_bias`; with ``cut="chunks"`` the loss is the mean over all
times, and the sequence is cut into chunks of k steps, as training loops do.  Both gradients come
from autograd, on the module as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from theory.certificates import Contraction
from theory.errors import check_count
from theory.inputs import Inputs
from theory.learning.constants.interface import map_constants
from theory.progress import with_bar
from theory.shown import shown
from theory.theorems.truncated_backprop_bias import truncated_backprop_bias
from theory.torch.layers import layer_map, layers, need_torch, nn, torch
from theory.typing import Array, Progress

#: Where the gradient is cut.
CUTS = ("last", "chunks")


@final
@shown
@dataclass(frozen=True, kw_only=True, eq=False)
class TruncatedBackprop:
    """The answer of `truncated_backprop`: measured on one batch."""

    ks: tuple[int, ...]  # steps that the gradient goes back
    cut: str  # where it is cut, one of CUTS
    full: float  # length of the whole gradient
    bias: Array  # length of what is missing, (len(ks),)
    cosine: Array  # of the angle between both gradients, (len(ks),)
    bound: Array | None  # proved bound of the recurrent layer's part of the bias, (len(ks),)
    layer_bias: Array | None  # that part, (len(ks),)

    @property
    def relative(self) -> Array:
        """Return the bias as a share of the whole gradient."""
        return self.bias / self.full if self.full > 0 else np.zeros_like(self.bias)

    def least(self, share: float) -> int | None:
        """Return the least k from which on the relative bias is at most `share`; None if none."""
        order = np.argsort(self.ks)
        good = self.relative[order] <= share
        bad = np.flatnonzero(~good)
        first = 0 if bad.size == 0 else int(bad[-1]) + 1
        return int(self.ks[order[first]]) if first < len(order) else None

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready description."""
        return {
            "kind": "measured",
            "cut": self.cut,
            "gradient": self.full,
            "table": [
                {
                    "k": k,
                    "bias": float(self.bias[i]),
                    "relative": float(self.relative[i]),
                    "cosine": float(self.cosine[i]),
                    **({} if self.bound is None else {"certified": float(self.bound[i])}),
                }
                for i, k in enumerate(self.ks)
            ],
        }

    def __str__(self) -> str:
        lines = [f"gradient of length {self.full:.4g}; measured on one batch, cut: {self.cut}"]
        for i, k in enumerate(self.ks):
            proved = ""
            if self.bound is not None and self.layer_bias is not None:
                proved = (
                    f"; of the recurrent layer {self.layer_bias[i]:.3g}, proved at most "
                    f"{self.bound[i]:.3g}"
                )
            lines.append(
                f"k = {k}: off by {self.bias[i]:.3g} ({100 * self.relative[i]:.3g} %), cosine "
                f"{self.cosine[i]:.4f}{proved}"
            )
        return "\n".join(lines)


@with_bar("lengths")
def truncated_backprop(
    module: Any,
    batch: tuple[Any, Any],
    *,
    loss: Callable[[Any, Any], Any],
    ks: Iterable[int],
    cut: str = "chunks",
    batch_first: bool | None = None,
    certificate: Contraction | None = None,
    progress: Progress | None = None,
) -> TruncatedBackprop:
    r"""Return bias and relative error of truncated backpropagation against k.

    Parameters
    ----------
    module : torch.nn.Module
        Called as ``module(inputs, state)``, with None for the first state; returns outputs at all
        times and the state, as `torch.nn.LSTM` does, or a model that hands the state on.  It is put
        into evaluation mode for the measurement, so that dropout does not draw.
    batch : (inputs, targets)
        Tensors with a batch and a time axis; targets may be of all times or of the last one.
    loss : callable
        Of outputs and targets, a mean over the batch (and over the times, for ``"chunks"``).
    ks : counts from 1 on
        Steps that the gradient goes back.
    cut : str
        ``"chunks"`` or ``"last"``, see the module's docstring.
    batch_first : bool, optional
        Where the time axis is, by default as the module or the only recurrent layer in it says.
    certificate : Contraction, optional
        Of the module's only recurrent layer, a `torch.nn.RNN` of one layer, in `L2`: with
        ``cut="last"`` the theorem's bound of its part of the bias stands beside.
    progress : callable, optional
        Called with (lengths done, lengths in all); may raise to interrupt.

    Returns
    -------
    TruncatedBackprop

    Raises
    ------
    ValueError
        If an argument does not fit, the module does not hand on its state, or the gradient is not
        finite.
    MissingExtraError
        If PyTorch is not installed.

    Examples
    --------
    >>> import pytest
    >>> torch = pytest.importorskip("torch")
    >>> rnn = torch.nn.RNN(2, 4, batch_first=True).double()
    >>> x, y = torch.randn(3, 20, 2).double(), torch.zeros(3, 20, 4).double()
    >>> answer = truncated_backprop(rnn, (x, y), loss=torch.nn.functional.mse_loss, ks=[1, 5, 20])
    >>> float(answer.bias[-1])
    0.0
    """
    need_torch()
    if cut not in CUTS:
        raise ValueError(f"cut={cut!r}, needed one of: {', '.join(CUTS)}")
    asked = sorted({int(k) for k in ks})
    if not asked:
        raise ValueError("ks is empty, needed the steps to go back, as in [5, 20, 80]")
    for k in asked:
        check_count(at_least=1, ks=k)
    inputs, targets = batch
    first = _batch_first(module) if batch_first is None else batch_first
    run = _Run(module, inputs, targets, loss, 1 if first else 0)
    training = module.training
    module.eval()
    try:
        whole = run.gradient(run.steps, cut)
        found = []
        for i, k in enumerate(asked):
            found.append(run.gradient(k, cut))
            if progress is not None:
                progress(i + 1, len(asked))
        bound, names = None, None
        if certificate is not None and cut == "last":
            bound, names = _bound(module, run, certificate, asked)
    finally:
        module.train(training)
    flat = _flat(whole)
    size = float(np.linalg.norm(flat))
    if not math.isfinite(size):
        raise ValueError("the gradient is not finite; scale the inputs or the loss down")
    bias = np.array([np.linalg.norm(_flat(one) - flat) for one in found])
    cosine = []
    for one in found:
        own = _flat(one)
        lengths = float(np.linalg.norm(own)) * size
        cosine.append(float(own @ flat) / lengths if lengths > 0 else math.nan)
    part = None
    if names is not None:
        part = np.array([np.linalg.norm(_flat(one, names) - _flat(whole, names)) for one in found])
    return TruncatedBackprop(
        ks=tuple(asked),
        cut=cut,
        full=size,
        bias=bias,
        cosine=np.nan_to_num(np.array(cosine)),
        bound=bound,
        layer_bias=part,
    )


def _recurrent_layers(module: Any) -> list[tuple[str, Any]]:
    kinds = (nn.RNN, nn.LSTM, nn.GRU)
    return [(name, one) for name, one in module.named_modules() if isinstance(one, kinds)]


def _batch_first(module: Any) -> bool:
    own = getattr(module, "batch_first", None)
    found = {one.batch_first for _, one in _recurrent_layers(module)}
    if own is None and len(found) != 1:
        raise ValueError(
            "it is not known where the time axis is: pass batch_first=True for inputs "
            "(batch, time, m), False for (time, batch, m)"
        )
    return bool(found.pop() if own is None else own)


def _flat(gradient: dict[str, Any], names: list[str] | None = None) -> Array:
    """Return some gradients, one behind the other, in double precision."""
    chosen = gradient if names is None else {name: gradient[name] for name in names}
    flat: Array = np.concatenate(
        [one.detach().cpu().double().numpy().ravel() for one in chosen.values()]
    )
    return flat


@final
class _Run:
    """One batch, of which gradients are taken."""

    def __init__(self, module: Any, inputs: Any, targets: Any, loss: Any, axis: int) -> None:
        self.module, self.inputs, self.loss, self.axis = module, inputs, loss, axis
        self.steps = int(inputs.shape[axis])
        every = targets.ndim > axis and targets.shape[axis] == self.steps
        self.targets = targets
        self.every = bool(every)
        self.names = [name for name, p in module.named_parameters() if p.requires_grad]

    def _called(self, a: int, b: int, state: Any) -> tuple[Any, Any]:
        answer = self.module(self.inputs.narrow(self.axis, a, b - a), state)
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise ValueError(
                f"module(inputs, state) returned a {type(answer).__name__}, needed the outputs and "
                "the state, as torch.nn.LSTM returns them"
            )
        return answer

    def gradient(self, k: int, cut: str) -> dict[str, Any]:
        """Return the gradient in every parameter that goes k steps back."""
        self.module.zero_grad(set_to_none=True)
        if cut == "last":
            value, _ = self.last_loss(k)
            self._backward(value)
        else:
            if not self.every:
                raise ValueError(
                    'cut="chunks" needs targets at all times; with one of the last time ask with '
                    'cut="last"'
                )
            state = None
            for a in range(0, self.steps, k):
                b = min(a + k, self.steps)
                out, state = self._called(a, b, state)
                part = self.loss(out, self.targets.narrow(self.axis, a, b - a))
                self._backward(part * ((b - a) / self.steps))
                state = _detached(state)
        parameters = dict(self.module.named_parameters())
        found = {
            name: torch.zeros_like(parameters[name])
            if parameters[name].grad is None
            else parameters[name].grad.clone()
            for name in self.names
        }
        self.module.zero_grad(set_to_none=True)
        return found

    def _backward(self, value: Any) -> None:
        if value.ndim:
            raise ValueError(f"loss returned shape {tuple(value.shape)}, needed one number")
        value.backward()

    def last_loss(self, k: int) -> tuple[Any, Any]:
        """Return the loss of the last output, with a graph of k steps, and all outputs of these."""
        begin, state = max(0, self.steps - k), None
        if begin:
            with torch.no_grad():
                _, state = self._called(0, begin, None)
            state = _detached(state)
        out, _ = self._called(begin, self.steps, state)
        last = out.narrow(self.axis, out.shape[self.axis] - 1, 1).squeeze(self.axis)
        y = self.targets
        if self.every:
            y = y.narrow(self.axis, self.steps - 1, 1).squeeze(self.axis)
        return self.loss(last, y), last


def _detached(state: Any) -> Any:
    """Return a state without its history."""
    if isinstance(state, tuple | list):
        return type(state)(_detached(one) for one in state)
    return state.detach() if hasattr(state, "detach") else state


def _bound(module: Any, run: _Run, c: Contraction, asked: list[int]) -> tuple[Array, list[str]]:
    """Return the theorem's bound of the recurrent layer's bias, and its parameters."""
    found = _recurrent_layers(module)
    if len(found) != 1 or layers(found[0][1]) != ("rnn", ["_l0"]):
        raise ValueError(
            "a certificate gives a bound for a module with one torch.nn.RNN of one layer and "
            "direction; leave certificate= out"
        )
    prefix, layer = found[0]
    recurrent = layer_map(layer, "_l0")
    seen: list[Any] = []
    handle = layer.register_forward_hook(lambda _m, args, out: seen.append((args[0], out[0])))
    try:
        value, _ = run.last_loss(run.steps)
    finally:
        handle.remove()
    x, out = seen[-1]
    X = x.detach().cpu().double().numpy().reshape(-1, x.shape[-1])
    constants = map_constants(recurrent, c.norm, inputs=Inputs.any_of(X))
    if constants is None:
        raise ValueError(
            f"no constants of {recurrent!r} are known in {c.norm}, needed a certificate in L2"
        )
    # the loss sees the layer's last state alone if what follows acts time by time; else all count
    slopes = torch.autograd.grad(value, out)[0]
    time = 1 if layer.batch_first else 0
    rows = slopes.detach().cpu().double().numpy()
    rows = rows if time == 1 else rows.swapaxes(0, 1)
    gains = np.linalg.norm(rows, axis=2)  # (batch, time)
    bounds = []
    for k in asked:
        total = 0.0
        for per_sequence in gains:
            for i in np.flatnonzero(per_sequence):
                # a loss at an earlier time keeps fewer steps
                t = int(i) + 1
                kept = max(0, k - (run.steps - t))
                total += truncated_backprop_bias(
                    c, k=kept, t=t, weight_gain=constants.weight_gain,
                    loss_gain=float(per_sequence[i]),
                )  # fmt: skip
        bounds.append(total)
    own = f"{prefix}." if prefix else ""
    names = [f"{own}{one}_l0" for one in ("weight_hh", "weight_ih", "bias_ih")]
    return np.array(bounds), [name for name in names if name in run.names]
