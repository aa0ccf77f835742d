r"""Sets of stable networks: how a network is kept in one, and how it is certified.

Main names: `constraint`, `to_map`, `certificate`, `loss_lipschitz`, `effective_memory`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

try:
    import torch
except ImportError:
    from theory.errors import MissingExtraError

    raise MissingExtraError("torch", "experiments", "training the networks") from None

import _blocks

import theory
import theory.interop
from theory import projections
from theory.arithmetic.activations import TANH
from theory.arithmetic.rounding import gamma
from theory.certify.gate_bounds import certify
from theory.measure.effective_memory import effective_memory as measure_memory
from theory.measure.effective_memory import sequences_needed
from theory.projections import gru_metric, lstm_metric
from theory.projections.base import Request
from theory.projections.gate_balls import gate_limits, shortened
from theory.projections.gates import log_odds
from theory.projections.graded_rows import GradedSet, gated_parameters, gated_rows
from theory.projections.gru_units import UnitBounds
from theory.projections.gru_units import unit_limits as gru_limits
from theory.projections.lstm_units import unit_limits as lstm_limits
from theory.projections.metric import MetricSet, clip_in_metric, incremental_set
from theory.projections.repair import SINGLE_UNIT, least_margin
from theory.projections.rows import RowLimits, nearest_rows
from theory.torch import StableProjection

#: Between two full projections the sharp sets are entered in a fixed metric, or bound, and only
#: after so many steps of the optimizer.
EVERY = 4

#: Weights that move by more than this, relatively, were outside, whatever rounding does.
FAR = 1e-6

#: The bound of the forget gates in the paper's set, as reconstructed.
FORGET = 0.64

#: The least and the largest bound of an update gate of GRUs, as parts of the rate.
UPDATES = (0.8, 0.99)

#: The least bound of a forget gate in the Euclidean set, or of an update gate, and what its rate
#: is undercut by so that neither the cast to single precision nor the next choice of the set leaves
#: it.
LEAST_FORGET, ROOM = 0.3, 1.0 - 2.0**-12

#: By how much the sums |W_n| 1 + |b_c| of a GRU in the Euclidean set may grow between two choices
#: of the set, and up to what they may in any case.
GROWTH, LEAST_SUM = 1.25, 1.0

#: After which epochs the metric is chosen anew.
RENEWED = {*(0, 1, 2, 4, 8), *range(12, 1000, 6)}


class Free:
    """No constraint; the base of those that remember nothing."""

    def __call__(self, final: bool = False) -> None:
        """Do nothing."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs: nothing."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""


class _Published(Free):
    """Onto the set of the paper, after every step."""

    def __init__(self, model: Any, rate: float, forget: float) -> None:
        how = {} if model.kind == "rnn" else {"inputs": theory.Inputs.box(-1, 1)}
        how |= {"forget": forget} if model.kind == "lstm" else {}
        self.inside = StableProjection(model.cell, rate=rate, **how)

    def __call__(self, final: bool = False) -> None:  # noqa: ARG002
        self.inside.project()


def constraint(model: Any, setting: Any) -> Free | _SharpRNN | _SharpGated | _Graded | _Euclidean:
    """Return what moves the recurrent weights into the set of a variant, in place.

    It is called after every step of the optimizer, and with ``final=True`` before the first step
    and at the end of every epoch, when the weights must be inside.  What it remembers between two
    calls goes into checkpoints, by `state_dict`.
    """
    if setting.variant in {"unstable", "by-construction"}:
        return Free()
    if setting.variant == "stable":
        return _Published(model, setting.rate, setting.forget)
    if setting.variant == "graded":
        return _Graded(model, setting.rate)
    if setting.variant == "euclidean":
        return _Euclidean(model, setting.rate, setting.forget)
    return (_SharpRNN if model.kind == "rnn" else _SharpGated)(model, setting.rate)


class _SharpRNN:
    """Onto the weights that the incremental matrix inequality certifies at the rate.

    The set of one metric moves with the weights: at the end of some epochs the metric is that of
    the certificate with the least rate, in which there is room up to the rate asked for.
    """

    def __init__(self, model: Any, rate: float) -> None:
        self.model, self.rate = model, rate
        self.calls = self.ends = 0
        self.metric: tuple[np.ndarray, np.ndarray] | None = None  # P and the multipliers
        self.kept: tuple[Any, MetricSet] | None = None  # the metric and its set

    def __call__(self, final: bool = False) -> None:
        self.calls += 1
        if not final and self.calls % EVERY:
            return
        if self.metric is not None and (final or not self.clipped()):
            # in a given metric clipping is a retraction onto the set, not the nearest point
            done = projections.project(
                to_map(self.model), onto="lmi", rate=self.rate, dtype="float32",
                metric=self.metric, method="closed_form",
            )  # fmt: skip
            put(self.model, done.map)
        if self.metric is None or (final and self.ends in RENEWED):
            self.renew()
        self.ends += final

    def clipped(self) -> bool:
        """Move the weights as that projection does, without proofs; return whether it was clear.

        It is not where they hardly move: they may be inside.  Proofs are needed at the end of an
        epoch only, and take most of the time.
        """
        if self.kept is None or self.kept[0] is not self.metric:
            self.kept = self.metric, incremental_set(*self.metric, TANH.slope, self.rate)
        where, cell = self.kept[1], to_map(self.model)
        W = cell.parameters["W"]
        new = clip_in_metric(W, where)
        if not np.linalg.norm(new - W) > FAR * np.linalg.norm(W):
            return False
        margin = least_margin(2 * len(W), SINGLE_UNIT)
        put(self.model, cell.with_parameters(W=new * (1.0 - margin)))
        return True

    def renew(self) -> None:
        """Choose a metric with room around the weights; move them inside if there is none yet."""
        found = self.found()
        if found is None and self.metric is None:
            # what the spectral norm certifies is inside, too
            StableProjection(self.model.cell, rate=self.rate).project()
            found = self.found()
        # at the very boundary the search may miss the rate: the weights are inside the last metric
        self.metric = self.metric if found is None else found

    def found(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the metric of the least rate; None if that is above the rate asked for."""
        c = theory.contraction(to_map(self.model), method="lmi")
        if c is None or not c.lam <= self.rate or not c.evidence.multipliers:
            return None
        return c.norm.P, np.array(c.evidence.multipliers)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        metric = [] if self.metric is None else [torch.from_numpy(a.copy()) for a in self.metric]
        return {"calls": self.calls, "ends": self.ends, "metric": metric}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.calls, self.ends = state["calls"], state["ends"]
        self.metric = tuple(part.numpy() for part in state["metric"]) or None


class _SharpGated:
    """Onto the gate conditions with bounds for every unit, of an LSTM or a GRU.

    Of an LSTM a full projection at the end of an epoch chooses the bounds of the gates and the
    weights of the norm; until the next one the rows of the units move to the nearest point of the
    convex part of the set that these describe.  Of a GRU that part is `gru_part`, from the start:
    the nearest member of untrained weights has no weights of n, and so no room to learn any.
    """

    def __init__(self, model: Any, rate: float) -> None:
        self.model, self.rate = model, rate
        self.ends = 0
        self.limits: RowLimits | None = None
        if model.kind == "gru":
            self.limits = gru_part(to_map(model), rate * (1.0 - 2.0**-16))

    def __call__(self, final: bool = False) -> None:
        due = final and self.ends in RENEWED and self.model.kind == "lstm"
        renew = self.limits is None or due
        if not renew:
            self.within(to_map(self.model))
        if renew or final:
            done = projections.project(to_map(self.model), **per_unit(self.model.kind, self.rate))
            put(self.model, done.map)
            if renew:
                self.limits = self.renewed(done)
        self.ends += final

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        parts = {} if self.limits is None else vars(self.limits)
        limits = {name: torch.from_numpy(np.array(value)) for name, value in parts.items()}
        return {"ends": self.ends, "limits": limits}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.ends = state["ends"]
        parts = {name: value.numpy() for name, value in state["limits"].items()}
        self.limits = RowLimits(**parts) if parts else None

    def renewed(self, done: projections.Projection) -> RowLimits:
        """Return the convex part of the set that a full projection chose, a little shrunken."""
        n, m, c = done.map.units, done.map.input_dim, done.certificate
        v = c.norm.v if isinstance(c.norm, theory.WeightedLinf) else np.ones(2 * n)
        # |c_j| <= 1 / (1 - f_j) is the box that the certificate holds on
        forget = 1.0 - 1.0 / c.domain.high[:n]
        return lstm_limits(n, m, self.rate * (1.0 - 2.0**-16), forget, 1.0, v)

    def within(self, cell: theory.Map) -> None:
        """Move the rows of the units to the nearest point of that part."""
        moved, _ = nearest_rows(gated_rows(cell), self.limits)
        new = zip(cell.parameters, gated_parameters(cell, moved), strict=True)
        put(self.model, cell.with_parameters(**dict(new)))


class _Graded:
    """Onto the gate conditions in a graded norm, of an LSTM or a GRU, after every step.

    Norm and bounds of the gates are chosen before the first step, which the biases of the gates
    that keep a state are set for; so the set is convex.  After every fourth step only, as in the
    other sets, the loss is higher.
    """

    def __init__(self, model: Any, rate: float) -> None:
        self.model = model
        cell = to_map(model)
        self.inside = GradedSet(cell, graded(cell, rate))

    def __call__(self, final: bool = False) -> None:
        cell = to_map(self.model)
        if self.inside.multipliers is None:
            b = np.array(cell.parameters["b"])
            b[cell.units : 2 * cell.units] = self.inside.open_biases  # the second gate of both
            cell = cell.with_parameters(b=b)
        new = self.inside.nearest(cell)[0] if final else self.inside.moved(cell)
        put(self.model, cell.with_parameters(**dict(zip(cell.parameters, new, strict=True))))

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        found = self.inside.multipliers
        return {} if found is None else {"multipliers": torch.from_numpy(found.copy())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.inside.multipliers = state["multipliers"].numpy().copy() if state else None


def graded(cell: theory.Map, rate: float) -> Request:
    """Return what is asked of a cell in the graded norm, for inputs of at most 1."""
    norm = projections.graded_norm(cell, rate=rate)
    return Request(
        onto=type(cell).__name__.lower(), rate=rate, method="auto", weights=norm.weights,
        keep=norm.forget, per_unit=True, single=True,
    )  # fmt: skip


def gru_part(cell: theory.Map, rate: float) -> RowLimits:
    r"""Return a convex part of the set of GRUs that leaves room for training.

    Bounds z of the update gates are spread over the units, as a unit that may keep more may read
    less: (rate - z) / (1 - z).  Candidates are free, and so are reset gates up to |W_r| 1 <= 1.
    """
    n = cell.units
    free = np.full(n, np.inf)
    update = np.linspace(*(log_odds(rate * part) for part in UPDATES), n)
    bounds = UnitBounds(update=update, reset=free, candidate=free, rows=np.ones(n))
    return gru_limits(cell, rate, 1.0, bounds)


class _Euclidean:
    """Onto the weights of an LSTM or a GRU that one Euclidean norm bounds together.

    The gates that keep the state, forget or update gates, have bounds between the least and the
    largest one, unit by unit, and start there: a unit that may forget slowly may read other units
    only little, and one that forgets may read much.  The rest of the set is chosen anew at the end
    of some epochs.
    """

    def __init__(self, model: Any, rate: float, forget: float) -> None:
        self.model, self.rate = model, rate
        n = model.cell.hidden_size
        self.forget = np.linspace(LEAST_FORGET, forget, n)
        self.rows = slice(n, 2 * n)  # of forget gates in an LSTM, of update gates in a GRU
        self.calls = self.ends = 0
        self.scales: lstm_metric.Scales | gru_metric.Scales | None = None

    def __call__(self, final: bool = False) -> None:
        self.calls += 1
        if self.scales is None:
            cell = to_map(self.model)
            b = np.array(cell.parameters["b"])
            b[self.rows] = log_odds(self.forget)
            put(self.model, cell.with_parameters(b=b))
            self.renew()
        if final or self.calls % EVERY == 0:
            self.within(to_map(self.model))
        if final:
            how = euclidean(self.model.kind, self.rate)
            put(self.model, projections.project(to_map(self.model), **how).map)
            if self.ends in RENEWED:
                self.renew()
        self.ends += final

    def within(self, cell: theory.Map) -> None:
        """Move the rows of those gates below their bounds, and the weights into the ball."""
        n, rows = cell.units, self.rows
        W, U, b = (np.array(cell.parameters[name]) for name in ("W", "U", "b"))
        limits = gate_limits(self.forget, n, cell.input_dim, 1.0)
        moved, _ = nearest_rows(np.hstack([W[rows], U[rows], b[rows, None]]), limits)
        W[rows], U[rows], b[rows] = moved[:, :n], moved[:, n:-1], moved[:, -1]
        new = {"W": clip_in_metric(W, self.scales.ball(self.rate * ROOM)), "U": U, "b": b}
        if self.model.kind == "gru":
            # what r multiplies is at most 4 times its gain
            held = np.hstack([new["W"][2 * n :], cell.b_candidate[:, None]])
            held = shortened(held, 4.0 * self.scales.gains[0])
            new["W"][2 * n :], new["b_candidate"] = held[:, :-1], held[:, -1]
        put(self.model, cell.with_parameters(**new))

    def renew(self) -> None:
        """Choose the set around the weights."""
        cell, rate, one = to_map(self.model), self.rate * ROOM, np.ones(len(self.forget))
        if self.model.kind == "gru":
            sums = gru_metric.row_sums(cell.W)[2] + np.abs(cell.b_candidate)
            gains = [0.25 * np.maximum(GROWTH * sums, LEAST_SUM), 0.5 * one, one]
            at = gru_metric.Ranges(low=0.0 * one, high=self.forget, gains=np.stack(gains))
            self.scales = gru_metric.Scales.around(cell.W, rate, at)
            return
        gains = [0.25 * one, 0.25 / (1.0 - self.forget), one]
        self.scales = lstm_metric.Scales.around(
            cell.W, rate, forget=self.forget, gains=np.stack(gains), out=one, last=0.25 * one
        )

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs."""
        parts = {} if self.scales is None else self.scales._asdict()
        scales = {name: torch.from_numpy(np.array(value)) for name, value in parts.items()}
        return {"calls": self.calls, "ends": self.ends, "scales": scales}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.calls, self.ends = state["calls"], state["ends"]
        parts = {name: value.numpy() for name, value in state["scales"].items()}
        metric = gru_metric if self.model.kind == "gru" else lstm_metric
        self.scales = metric.Scales(**parts) if parts else None


def per_unit(kind: str, rate: float) -> dict[str, Any]:
    """Return the arguments of a projection onto the gate conditions with bounds for every unit."""
    return {
        "onto": kind, "rate": rate, "inputs": theory.Inputs.box(-1, 1), "per_unit": True,
        "dtype": "float32",
    }  # fmt: skip


def euclidean(kind: str, rate: float) -> dict[str, Any]:
    """Return the arguments of a projection onto the Euclidean set of LSTM or GRU cells."""
    return {
        "onto": f"{kind}_l2", "rate": rate, "inputs": theory.Inputs.box(-1, 1), "dtype": "float32",
        "method": "closed_form",
    }  # fmt: skip


def put(model: Any, recurrent: theory.Map) -> None:
    """Write the parameters of a map into the cell; the second bias becomes zero, or that of n."""
    cell, given = model.cell, recurrent.parameters
    with torch.no_grad():
        for parameter, value in (
            (cell.weight_hh_l0, given["W"]),
            (cell.weight_ih_l0, given["U"]),
            (cell.bias_ih_l0, given["b"]),
        ):
            parameter.copy_(torch.from_numpy(np.array(value)))
        cell.bias_hh_l0.zero_()
        if "b_candidate" in given:
            held = torch.from_numpy(np.array(given["b_candidate"]))
            cell.bias_hh_l0[-len(held) :] = held


def to_map(model: Any) -> theory.Map:
    """Return the recurrent cell, or all blocks, as a map, in double precision."""
    if isinstance(model, _blocks.Network):
        return _blocks.to_map(model)
    return theory.interop.from_torch(model.cell)


def certificates(t: Any) -> dict[str, theory.Contraction]:
    """Return the certificates of a trained network: the paper's criterion, and the sharper one.

    The sharper one is the smaller of what a search finds and of what put the network into its set:
    at the very boundary a search may miss by some digits.
    """
    cell = to_map(t.model)
    if t.model.kind == "rnn":
        found = {
            "stable": [theory.contraction(cell, method="spectral")],
            "sharp-stable": [theory.contraction(cell, method="lmi"), kept_by(t)],
        }
    else:
        # the box of the encoded inputs
        ends = np.array([[t.model.encoder.low], [1.0]]) * np.ones(cell.input_dim)
        domain = theory.certify.invariant_domain(cell, inputs=ends)
        found = {
            "stable": [certify(cell, 1.0)],
            "sharp-stable": [
                None
                if domain is None
                else theory.contraction(cell, method="comparison", domain=domain),
                kept_by(t),
            ],
        }
        if t.setting.variant in {"euclidean", "graded"}:
            found[t.setting.variant] = [kept_by(t)]
    there = {name: [c for c in every if c is not None] for name, every in found.items()}
    return {name: min(every, key=lambda c: c.lam) for name, every in there.items() if every}


def kept_by(t: Any) -> theory.Contraction | None:
    """Return the certificate of the projection that a sharp-stable network is a fixed point of."""
    if t.setting.variant not in {"sharp-stable", "euclidean", "graded"} or not t.within:
        return None
    cell, rate = to_map(t.model), t.setting.rate
    if t.setting.variant == "graded":
        arrays, c = GradedSet(cell, graded(cell, rate)).nearest(cell)
        given = cell.parameters.values()
        return c if all(map(np.array_equal, arrays, given)) else None
    if t.model.kind == "rnn":
        metric = tuple(part.numpy() for part in t.within["metric"])
        if not metric:
            return None
        done = projections.project(
            cell, onto="lmi", rate=rate, dtype="float32", metric=metric, method="closed_form"
        )
    else:
        euclid = t.setting.variant == "euclidean"
        how = euclidean(t.model.kind, rate) if euclid else per_unit(t.model.kind, rate)
        done = projections.project(cell, **how)
    same = all(np.array_equal(done.map.parameters[n], v) for n, v in cell.parameters.items())
    return done.certificate if same else None


def certificate(t: Any) -> theory.Contraction | None:
    """Return the certificate that belongs to the set a trained network was kept in, or None.

    Raises
    ------
    RuntimeError
        If it is not at the rate that was asked for: the network is not in the set.
    """
    c = certificates(t).get(t.setting.variant)
    if c is not None and not c.lam <= t.setting.rate:
        raise RuntimeError(
            f"{t.setting.name} is certified at {c.lam:.17g}, asked for was {t.setting.rate:g}"
        )
    return c


def head(t: Any) -> theory.LinearHead:
    """Return the output of a trained network as a function of the state of its map."""
    C, d = (p.detach().cpu().double().numpy() for p in (t.model.head.weight, t.model.head.bias))
    return theory.LinearHead(C @ to_map(t.model).output_map, d)


def loss_lipschitz(t: Any, norm: theory.norms.Norm) -> float:
    r"""Return how much the loss of a prediction can change with the state, in nats.

    A Bernoulli loss has slopes of at most 1 in each logit, so the sum over the keys changes by at
    most sum_i |C_i d| <= (sum_i |C_i|) |d|.  A cross-entropy changes by at most the spread of the
    changes of the logits, 2 max_i |C_i d|.
    """
    C = head(t).C
    if t.corpus.kind == "music":
        column = np.abs(C).sum(0, keepdims=True) * (1 + gamma(len(C)))
        return theory.Linf().matrix_upper(column, norm)
    return 2 * theory.Linf().matrix_upper(C, norm)


#: The statement of the measured effective memory: on a new piece the logits are off by more than
#: the tolerance anywhere with at most this probability, with this confidence.
PROBABILITY, CONFIDENCE = 0.05, 0.9


def effective_memory(t: Any, eps: float, sequences: list[np.ndarray], k_max: int) -> int | str:
    """Return the measured effective memory, ">k" if no length up to k is enough, or why not.

    A length is looked at if it is at most `k_max` and some sequence is longer; where so few are
    longer that the others carry the statement, by ending, the answer adds it.
    """
    needed = sequences_needed(PROBABILITY, CONFIDENCE)
    if len(sequences) < needed:
        return f"not measured: {len(sequences)} sequences, needed {needed}"
    measured = measure_memory(
        to_map(t.model),
        sequences,
        eps=eps,
        probability=PROBABILITY,
        confidence=CONFIDENCE,
        head=head(t),
        k_max=k_max,
    )
    if measured.k is None:
        return f">{min(k_max, measured.longest - 1)}"
    return measured.k if measured.longer_suffice else f"{measured.k}: few are longer"
