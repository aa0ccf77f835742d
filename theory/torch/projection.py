"""Projections of PyTorch modules after a step of the optimiser.

Main name: `StableProjection`.
"""

from __future__ import annotations

from typing import Any, final

import numpy as np

from theory.arithmetic.rounding import down, gamma, up
from theory.arithmetic.sums import sums_up
from theory.certificates import Contraction
from theory.certify.gate_bounds import certify
from theory.errors import check_count
from theory.inputs import Inputs, entry_bound
from theory.interop.torch_weights import check_forward, check_stored, names_of, shared_pairs
from theory.maps.gru import GRU
from theory.maps.lstm import LSTM
from theory.norms.norms import WeightedL2
from theory.projections.balls import column_sum_ball, row_sum_ball, spectral_ball
from theory.projections.base import Request
from theory.projections.graded import graded_norm
from theory.projections.graded_rows import GradedSet
from theory.projections.gru import GRUBounds, gru_bounds, gru_nearest, in_criterion, least_bounds
from theory.projections.interface import check_asked_rate, check_metric, project
from theory.projections.lstm import forget_rows, in_published, published_middle
from theory.projections.metrics import gentle_metric
from theory.theorems.contractive_of_incremental_lmi import contractive_of_incremental_lmi
from theory.torch.layers import (
    check_precision,
    get_array,
    host_array,
    layer_map,
    layers,
    store_array,
    torch,
)

#: Sets of plain cells, by name.
_BALLS = {"spectral": spectral_ball, "linf": row_sum_ball, "l1": column_sum_ball}

#: Of a GRU whose weights are wild at the start the update gate's bound is kept away from the rate,
#: at this logit: the set is fixed, and is to leave room for training.
_REACH = 4.0


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
    ratio : float, optional
        For an LSTM or a GRU: the set with bounds by units in the graded norm of this ratio, see
        `theory.projections.graded_norm`; 2**40 trained well.  It leaves far more room than the set
        without it; call `open_gates` before a training from the start.

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

    def __repr__(self) -> str:
        kind = type(self.module).__name__
        return f"StableProjection({kind}, rate={self.rate}, every={self.every}, onto={self.onto!r})"

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
        ratio: float | None = None,
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
        self._graded: dict[str, GradedSet] = {}
        if forget is not None and kind != "lstm":
            raise ValueError(f"forget= is the bound of an LSTM's gates, received a module {kind!r}")
        if ratio is not None and (kind == "rnn" or forget is not None):
            raise ValueError(
                f"ratio={ratio!r} is of norms of LSTMs and GRUs, which come with bounds of all "
                f"gates; received a module {kind!r}{'' if forget is None else ', and forget='}"
            )
        for suffix in self._suffixes:
            if ratio is not None:
                self._graded[suffix] = self._choose_graded(suffix, ratio)
                continue
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
            check_precision(name, parameter)
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
        start = self._lstm(suffix)
        bound = self._bound(suffix)
        middle = published_middle(start, self.rate, bound)
        if middle is not None:
            return middle
        found = project(start, onto="lstm", rate=self.rate, inputs=Inputs.box(-bound, bound))
        return float(found.residuals["forget"])

    def _lstm(self, suffix: str) -> LSTM:
        cell = layer_map(self.module, suffix)
        assert isinstance(cell, LSTM)
        return cell

    def _gru(self, suffix: str) -> GRU:
        cell = layer_map(self.module, suffix)
        assert isinstance(cell, GRU)
        return cell

    def _choose_bounds(self, suffix: str) -> GRUBounds:
        if not self.rate > 0.5:
            raise ValueError(
                f"rate={self.rate!r}, needed more than 1/2: the set takes the absolute value of "
                "the update gates' biases, so their bound is at least that"
            )
        start = self._gru(suffix)
        bound = self._bound(suffix)
        chosen = gru_bounds(start, self.rate, bound, _REACH)[0]
        if in_criterion(start, self.rate, bound) is None:
            return chosen
        kept = in_criterion(start, self.rate, bound, chosen) is not None
        return chosen if kept else least_bounds(start, bound)

    def _choose_graded(self, suffix: str, ratio: float) -> GradedSet:
        if get_array(self.module, f"bias_hh{suffix}") is None:
            raise ValueError(
                f"ratio={ratio!r} bounds gates by their biases, needed a module with bias=True"
            )
        cell = layer_map(self.module, suffix)
        assert isinstance(cell, LSTM | GRU)
        norm = graded_norm(cell, rate=self.rate, ratio=ratio)
        asked = Request(
            onto=self.onto, rate=self.rate, method="auto", weights=norm.weights, keep=norm.forget,
            input_bound=self._bound(suffix), per_unit=True, bias_terms=2,
            single=get_array(self.module, f"weight_hh{suffix}").dtype == torch.float32,
        )  # fmt: skip
        return GradedSet(cell, asked)

    def open_gates(self) -> None:
        """Set the biases of the gates that keep a state so that units begin with long memories.

        Only with `ratio`, before training: a forget or update gate without inputs is then open by
        1 / e of the odds of its bound, which lie between 0.3 and 0.98 of the rate.

        Raises
        ------
        ValueError
            Without `ratio`.
        """
        if not self._graded:
            raise ValueError("open_gates() is about the bounds that ratio= chooses; give a ratio")
        for suffix, one in self._graded.items():
            biases = one.open_biases
            n = len(biases)
            for part in ("ih", "hh"):
                bias = get_array(self.module, f"bias_{part}{suffix}")
                value = host_array(bias)
                value[n : 2 * n] = 0.5 * biases
                store_array(bias, value)

    def _choose_metric(self, suffix: str) -> Contraction:
        start = layer_map(self.module, suffix)
        nearest = project(start, onto="lmi", rate=self.rate)
        found = gentle_metric(nearest.map, self.rate) or nearest.certificate
        if isinstance(found.norm, WeightedL2) and found.evidence.multipliers:
            return found
        n = start.state_dim

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
            tensor = get_array(self.module, f"weight_hh{suffix}")
            if self.onto in _BALLS:
                array = host_array(tensor)
                _BALLS[self.onto](array, self.rate, out=array)
                store_array(tensor, array)
            elif self.onto == "lmi":
                self._project_lmi(suffix, tensor)
            elif suffix in self._graded:
                self._project_graded(suffix)
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
            store_array(tensor, W.astype(np.float32) if single else W.copy())

    def _project_gru(self, suffix: str, tensor: Any) -> None:
        cell = self._gru(suffix)
        asked = Request(
            onto="gru", rate=self.rate, method="auto", input_bound=self._bound(suffix),
            single=tensor.dtype == torch.float32, bias_terms=2,
        )  # fmt: skip
        self._store(suffix, cell, gru_nearest(cell, asked, self._bounds[suffix])[0])

    def _project_graded(self, suffix: str) -> None:
        cell = layer_map(self.module, suffix)
        assert isinstance(cell, LSTM | GRU)
        self._store(suffix, cell, self._graded[suffix].nearest(cell)[0])

    def _store(self, suffix: str, cell: LSTM | GRU, arrays: tuple[Any, ...]) -> None:
        """Write the parameters of a layer that was `cell`, biases where they have moved."""
        W, U, b, *rest = arrays
        for name, value in (("weight_hh", W), ("weight_ih", U)):
            tensor = get_array(self.module, f"{name}{suffix}")
            store_array(tensor, value.astype(host_array(tensor).dtype))
        biases = [get_array(self.module, f"bias_{part}{suffix}") for part in ("ih", "hh")]
        if biases[0] is None:
            return
        # the last gate of a GRU has two biases that are not added
        gates = slice(0, 2 * cell.units if rest else len(b))
        moved = b[gates] != cell.b[gates]
        for bias, last in zip(biases, (b[gates.stop :], *rest, b[gates.stop :]), strict=False):
            part = host_array(bias)
            part[gates][moved] = (0.5 * b[gates])[moved]  # halves of a rounded number are exact
            part[gates.stop :] = last
            store_array(bias, part)

    def _project_lstm(self, suffix: str, tensor: Any) -> None:
        inputs = get_array(self.module, f"weight_ih{suffix}")
        biases = [get_array(self.module, f"bias_{part}{suffix}") for part in ("ih", "hh")]
        f, bound = self._forget[suffix], self._bound(suffix)
        # certificates round up: what they do not accept at the rate, they do a little below it
        for margin in (0.0, 2.0**-44, 2.0**-40, 2.0**-36, 2.0**-32):
            if in_published(self._lstm(suffix), self.rate, bound, f) is not None:
                return
            rate = self.rate * (1.0 - margin)
            W, U = host_array(tensor), host_array(inputs)
            parts = [host_array(bias) for bias in biases if bias is not None]
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
            store_array(tensor, W)
            store_array(inputs, U)
            for bias, part in zip((b for b in biases if b is not None), parts, strict=True):
                store_array(bias, part)
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
                graded = self._graded.get(suffix)
                weights = None if graded is None else graded.request.weights
                c = certify(layer, self._bound(suffix), weights)
            else:
                onto = self.onto
                metric = self._metric.get(suffix)
                answer = project(layer, onto=onto, rate=self.rate, metric=metric)
                c = answer.certificate if answer.distance == 0 else None
            found.append(c if c is not None and c.lam <= self.rate else None)
        return found
