r"""Why no certificate was found: which bound failed, by how much, and what to do next.

Main names: `cause_of`, `Cause`, `place_of`.

Nothing here is proved: the numbers are computed in doubles, in milliseconds, to be read by people.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

import numpy as np

from theory.arithmetic.gates import GateBounds
from theory.certify.methods import EFFORTS, left_out
from theory.certify.refute import Refutation
from theory.domain import Domain
from theory.inputs import Inputs, as_inputs, entry_bound
from theory.maps.base import Map, check_map
from theory.maps.cascade import Cascade
from theory.maps.form import Affine
from theory.maps.gru import GRU
from theory.maps.invariance import invariant_domain
from theory.maps.lstm import LSTM
from theory.norms.resolvent import largest_image
from theory.shown import shown
from theory.typing import Array

#: Up to this dimension eigenvalues are computed; beyond it they take seconds.
_LARGEST = 512

#: Steps of a power iteration whose result is only read.
_STEPS = 60

#: A box of states as large as this is of no use to anybody.
_VAST = 1e6


@shown
@final
@dataclass(frozen=True, kw_only=True)
class Cause:
    """The bound that failed; estimates in doubles, none of them proved."""

    bound: str  # which bound came nearest, or is missing
    value: float  # about how large it is; nan where there is no number
    needed: float  # below which it would have been a certificate
    measures: tuple[tuple[str, float], ...] = ()  # what else was computed
    where: str = "everywhere"  # the states and inputs that were looked at
    advice: tuple[str, ...] = ()  # what to do next

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready description; None for what is not a finite number."""
        said = asdict(self)
        for name in ("value", "needed"):
            said[name] = said[name] if math.isfinite(said[name]) else None
        said["measures"] = {k: v if math.isfinite(v) else None for k, v in self.measures}
        said["advice"] = list(self.advice)
        return said

    def __str__(self) -> str:
        text = self.bound
        if not math.isnan(self.value):
            text += f" is about {self.value:.4g}, needed less than {self.needed:.4g}"
        text += f", {self.where}"
        if self.measures:
            text += f" ({'; '.join(f'{name}: {value:.4g}' for name, value in self.measures)})"
        return text


def cause_of(recurrent: Map, *, inputs: Any = None, effort: int = 1) -> Cause:
    """Return what stands between a map and a certificate.

    Parameters
    ----------
    recurrent : Map
    inputs : Inputs, or (..., m) array, optional
        The inputs in question; all by default.
    effort : int
        What `theory.contraction` was asked to try.

    Returns
    -------
    Cause
        The bound that failed and by how much, and what to do next.  It is about the criteria, not
        about the map: a map may forget although every bound fails.

    Raises
    ------
    ValueError
        If the inputs are a plain number or of another width.

    Examples
    --------
    >>> from theory import VanillaRNN
    >>> print(cause_of(VanillaRNN([[0.9, -1.2], [0.9, 0.9]], [[1.0], [1.0]])))
    the Euclidean norm of W is about 1.533, needed less than 1, everywhere (spectral radius: 1.375)
    """
    check_map(recurrent)
    given = None if inputs is None else as_inputs(inputs, recurrent.input_dim)
    box = None if given is None else invariant_domain(recurrent, inputs=given)
    advice = _advice(recurrent, given, effort)
    form = recurrent.affine_on(box)
    if form is not None:
        return _of_form(form, "everywhere" if box is None else f"on {box}", advice)
    return _of_comparison(recurrent, given, box, advice)


def _of_form(form: Affine, where: str, advice: tuple[str, ...]) -> Cause:
    """Return the norm of diag(s) W that is nearest to a certificate."""
    A = form.steepest[:, None] * form.W
    size = np.abs(A)
    known = {
        "the largest row sum of |W|": float(np.max(np.sum(size, axis=1))),
        "the largest column sum of |W|": float(np.max(np.sum(size, axis=0))),
        "the spectral radius of |W|": _perron([size]),
    }
    measures: tuple[tuple[str, float], ...] = ()
    if len(A) <= _LARGEST:
        known["the Euclidean norm of W"] = float(np.linalg.norm(A, 2))
        measures = (("spectral radius", float(np.max(np.abs(np.linalg.eigvals(A))))),)
    if bool(np.any(form.steepest != 1)):
        known = {f"{name}, times the steepest slopes": value for name, value in known.items()}
    bound = min(known, key=lambda name: known[name])
    return Cause(
        bound=bound, value=known[bound], needed=1.0, measures=measures, where=where, advice=advice
    )


def _of_comparison(
    recurrent: Map, inputs: Inputs | None, box: Domain | None, advice: tuple[str, ...]
) -> Cause:
    """Return the spectral radius of the comparison matrices, or why there are none."""
    gate, where = _forget_gate(recurrent, inputs), "everywhere"
    if recurrent.image(_point(recurrent)) is None:
        where = where if inputs is None else f"for {inputs}"
        return _no_number("nothing is known of the function", where, (), advice)
    if box is None and inputs is not None:
        place, part, seen = _without_box(recurrent, inputs)
        gate = _forget_gate(part, seen)
        bound = f"{place}no bounded box of states is found"
        return _no_number(bound, f"for {inputs}", gate, advice)
    where = "everywhere" if box is None else f"on {box}"
    if box is not None and not float(np.max(box.reach)) < _VAST:
        gate = (("size of the box", float(np.max(box.reach))), *gate)
    place, matrices = _worst_layer(recurrent, box)
    if matrices is None and box is None:
        bound = f"{place}no bound of a step holds for unbounded states and inputs"
        return _no_number(bound, where, gate, advice)
    if matrices is None:
        bound = f"{place}no matrix bounds what a step makes of a difference"
        return _no_number(bound, where, gate, advice)
    return Cause(
        bound=f"{place}the spectral radius of the comparison matrix",
        value=_perron(matrices),
        needed=1.0,
        measures=gate,
        where=where,
        advice=advice,
    )


def _no_number(
    bound: str, where: str, measures: tuple[tuple[str, float], ...], advice: tuple[str, ...]
) -> Cause:
    """Return the cause where a bound is missing altogether."""
    nan = math.nan
    return Cause(bound=bound, value=nan, needed=nan, measures=measures, where=where, advice=advice)


def _point(recurrent: Map) -> Domain:
    """Return the domain of the state and the input 0."""
    n, m = np.zeros(recurrent.state_dim), np.zeros(recurrent.input_dim)
    return Domain(low=n, high=n, input_low=m, input_high=m)


def _perron(matrices: Sequence[Array]) -> float:
    """Return about the spectral radius of the entrywise largest row choice of the matrices."""
    v, growth = np.ones(len(matrices[0])), 0.0
    for _ in range(_STEPS):
        with np.errstate(over="ignore", invalid="ignore"):
            image = largest_image(matrices, v)
        growth = float(np.max(image))
        if not 0 < growth < math.inf:
            return growth
        # a part of v keeps periodic matrices from going around in circles
        v = image / growth + v / 4
        v = v / float(np.max(v))
    with np.errstate(over="ignore"):
        return float(np.max(largest_image(matrices, v) / np.maximum(v, 2.0**-500)))


def _forget_gate(recurrent: Map, inputs: Inputs | None) -> tuple[tuple[str, float], ...]:
    """Return how far the forget gate's pre-activation of an LSTM reaches, and its row sum."""
    if not isinstance(recurrent, LSTM) or inputs is None:
        return ()
    bound = entry_bound(inputs, recurrent.input_dim)
    gate = GateBounds.of(*recurrent.gate("f"), inputs=bound)
    return (
        ("largest row sum of the forget gate", gate.largest_row),
        ("largest pre-activation of the forget gate", gate.largest_reach),
    )


def _without_box(recurrent: Map, inputs: Inputs) -> tuple[str, Map, Inputs]:
    """Return the lowest layer of which no box is found, with what it sees."""
    if not isinstance(recurrent, Cascade):
        return "", recurrent, inputs
    for number, layer in enumerate(recurrent.layers):
        box = invariant_domain(layer, inputs=inputs)
        if box is None or number == len(recurrent.layers) - 1:
            return f"layer {number}: ", layer, inputs
        low, high = recurrent.readouts[number].image((box.low, box.high))
        inputs = Inputs.box(low, high)
    raise AssertionError("a cascade has a layer")  # pragma: no cover


def _worst_layer(recurrent: Map, box: Domain | None) -> tuple[str, tuple[Array, ...] | None]:
    """Return the comparison matrices of the layer that forgets least, with its name."""
    if not isinstance(recurrent, Cascade):
        return "", recurrent.comparison(box)
    parts: Sequence[Domain | None] | None = [None] * len(recurrent.layers)
    if box is not None:
        parts = recurrent.layer_domains(box)
    worst: tuple[float, str, tuple[Array, ...] | None] | None = None
    for number, layer in enumerate(recurrent.layers):
        matrices = None if parts is None else layer.comparison(parts[number])
        radius = math.inf if matrices is None else _perron(matrices)
        if worst is None or radius > worst[0]:
            worst = radius, f"layer {number}: ", matrices
    assert worst is not None
    return worst[1], worst[2]


def _advice(recurrent: Map, inputs: Inputs | None, effort: int) -> tuple[str, ...]:
    """Return what to try next, the cheapest first."""
    n, further = recurrent.state_dim, []
    if inputs is None:
        further.append("inputs=theory.Inputs.box(low, high), if the inputs are bounded (--inputs)")
    if effort + 1 < len(EFFORTS):
        if recurrent.affine() is not None and n > EFFORTS[effort].get("numerical_radius", math.inf):
            further.append(
                f'method="numerical_radius" (--method numerical_radius), which fits n = {n}'
            )
        elif left_out(recurrent, effort):
            further.append(f"effort={effort + 1} (--effort {effort + 1})")
    further.append("theory.effective_memory (`theory memory`), measured on your own sequences")
    kinds = {LSTM: "lstm", GRU: "gru"}
    onto = kinds.get(type(recurrent), "lmi" if recurrent.affine() is not None else None)
    if onto is not None:
        further.append(f"theory.project onto {onto!r} (`theory project --onto {onto}`)")
        further.append("theory.torch.StableProjection, which keeps a certificate while training")
    return tuple(further)


def place_of(refutation: Refutation) -> str:
    """Return where a refutation is: its states and its input, long ones shortened."""
    if refutation.kind == "linear":
        return "at every state and input"
    parts = [
        f"{name} = {_shown(points[0])}"
        for name, points in (("h", refutation.first), ("g", refutation.second))
        if len(points)
    ]
    if np.size(refutation.x):
        parts.append(f"x = {_shown(refutation.x)}")
    return ", ".join(parts)


def _shown(vector: Array) -> str:
    with np.printoptions(precision=6, threshold=8, edgeitems=3, linewidth=10_000):
        return str(np.asarray(vector))
