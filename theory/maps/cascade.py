r"""Layers of maps, each driven by the output of the one below.

Main name: `Cascade`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, final

import numpy as np

from theory.arithmetic.intervals import Interval, product_matrix_up
from theory.arithmetic.rounded import Rounded
from theory.arithmetic.rounding import product_up
from theory.arithmetic.zonotopes import Zonotope, stacked
from theory.domain import Domain
from theory.inputs import Inputs
from theory.maps.base import Map, read_only
from theory.maps.boxes import ends as boxes
from theory.maps.boxes.slopes import stacked_slopes
from theory.maps.form import Affine
from theory.maps.head import LinearHead, Readout, layer_readout
from theory.norms.norms import Norm
from theory.typing import Array


@final
class Cascade(Map):
    r"""Layers h^l <- step_l(h^l, y^{l-1}), where y^{l-1} is what is read out of the layer below.

    At every time the layers are computed from the first to the last: a layer sees the new state of
    the one below.  The state is the concatenation of the layers' states.

    Parameters
    ----------
    layers : sequence of Map
        From the input up; at least one.
    readouts : sequence, optional
        One for every layer but the last: a matrix C, a `LinearHead` or whatever `as_head` takes, or
        None for the layer's own `output_map` (the identity; the h of an `LSTM`), which is the
        default for all.

    Raises
    ------
    ValueError
        If there is no layer, a layer is not a map, or the width of a readout is not that of the
        next layer's inputs.

    Examples
    --------
    >>> from theory import LinearMap
    >>> half = LinearMap([[0.5]], [[1.0]])
    >>> Cascade([half, half]).simulate([[1.0], [0.0]]).tolist()
    [[1.0, 1.0], [0.5, 1.0]]
    """

    def __init__(
        self,
        layers: Sequence[Map],
        readouts: Sequence[Any] | None = None,
    ) -> None:
        self._layers = tuple(layers)
        if not self._layers or not all(isinstance(layer, Map) for layer in self._layers):
            raise ValueError(f"layers={layers!r}, needed one Map at least, from the input up")
        between = [None] * (len(self._layers) - 1) if readouts is None else list(readouts)
        if len(between) != len(self._layers) - 1:
            raise ValueError(
                f"received {len(between)} readouts for {len(self._layers)} layers, needed "
                f"{len(self._layers) - 1}: one for every layer but the last, None for its own"
            )
        # zip stops before the last layer, which has no readout
        self._readouts = tuple(map(layer_readout, self._layers, between))
        for number, readout in enumerate(self._readouts):
            width = self._layers[number + 1].input_dim
            if len(readout.C) != width:
                raise ValueError(
                    f"layer {number} gives {len(readout.C)} outputs, but layer {number + 1} takes "
                    f"{width}; give readouts= with a matrix of shape ({width}, "
                    f"{self._layers[number].state_dim}) in place {number}"
                )
        ends = np.cumsum([0, *(layer.state_dim for layer in self._layers)]).tolist()
        self._slices = tuple(slice(a, b) for a, b in pairwise(ends))

    @property
    def layers(self) -> tuple[Map, ...]:
        """Return the layers, from the input up."""
        return self._layers

    @property
    def readouts(self) -> tuple[Readout, ...]:
        """Return what each layer but the last passes on: C h + d."""
        return self._readouts

    @property
    def slices(self) -> tuple[slice, ...]:
        """Return where each layer's state is in the state."""
        return self._slices

    @property
    def state_dim(self) -> int:
        """Return the sum of the layers' state dimensions."""
        return int(self._slices[-1].stop)

    @property
    def input_dim(self) -> int:
        """Return m, that of the first layer."""
        return self._layers[0].input_dim

    @property
    def output_map(self) -> Array:
        """Return the output map of the last layer, with zeros for the others: (p, n)."""
        top = self._layers[-1].output_map
        result = np.zeros((len(top), self.state_dim))
        result[:, self._slices[-1]] = top
        return result

    @property
    def parameters(self) -> Mapping[str, Array]:
        """Return the layers' parameters as ``"0.W"`` and so on; given readouts as ``"0.readout"``.

        The constant of a readout is ``"0.readout_bias"``.
        """
        named = {
            f"{number}.{name}": value
            for number, layer in enumerate(self._layers)
            for name, value in layer.parameters.items()
        }
        for number, readout in enumerate(self._readouts):
            if readout.given:
                named[f"{number}.readout"] = readout.C
                named[f"{number}.readout_bias"] = readout.d
        return read_only(**named)

    def _rebuilt(self, parameters: Mapping[str, Any]) -> Cascade:

        layers = []
        for number, layer in enumerate(self._layers):
            own = {name: parameters[f"{number}.{name}"] for name in layer.parameters}
            layers.append(layer.with_parameters(**own))
        readouts = [
            LinearHead(parameters[f"{number}.readout"], parameters[f"{number}.readout_bias"])
            if readout.given
            else None
            for number, readout in enumerate(self._readouts)
        ]
        return Cascade(layers, readouts)

    def affine(self) -> Affine | None:
        """Return the form of the only layer; None if there are more."""
        return self._layers[0].affine() if len(self._layers) == 1 else None

    @property
    def form_names(self) -> tuple[str, str, str] | None:
        """Return the names of the only layer's; None if there are more."""
        names = self._layers[0].form_names if len(self._layers) == 1 else None
        return None if names is None else (f"0.{names[0]}", f"0.{names[1]}", f"0.{names[2]}")

    def _states(self, h: Array) -> list[Array]:
        if np.shape(h)[-1:] != (self.state_dim,):
            raise ValueError(f"h has shape {np.shape(h)}, needed (..., {self.state_dim})")
        return [h[..., part] for part in self._slices]

    def step(self, h: Array, x: Array) -> Array:
        """Return the new states of all layers, each from the new state of the one below."""
        new = [self._layers[0].step(self._states(h)[0], x)]
        for layer, readout, g in zip(
            self._layers[1:], self._readouts, self._states(h)[1:], strict=True
        ):
            new.append(layer.step(g, readout(new[-1])))
        return np.concatenate(new, axis=-1)

    def _chain(self, h: Array, x: Array) -> list[tuple[Array, Array]]:
        """Return each layer's Jacobians by its own state and by what it sees."""
        chain = []
        for number, (layer, g) in enumerate(zip(self._layers, self._states(h), strict=True)):
            chain.append((layer.jacobian_state(g, x), layer.jacobian_input(g, x)))
            if number < len(self._readouts):
                x = self._readouts[number](layer.step(g, x))
        return chain

    def jacobian_state(self, h: Array, x: Array) -> Array:
        """Return d step / d h, (..., n, n), block lower triangular, by the chain rule."""
        leading = np.broadcast_shapes(np.shape(h)[:-1], np.shape(x)[:-1])
        J = np.zeros((*leading, self.state_dim, self.state_dim))
        for number, (own, seen) in enumerate(self._chain(h, x)):
            rows = self._slices[number]
            if number:
                below = J[..., self._slices[number - 1], :]
                J[..., rows, :] = seen @ self._readouts[number - 1].times(below)
            J[..., rows, rows] += own
        return J

    def jacobian_input(self, h: Array, x: Array) -> Array:
        """Return d step / d x, (..., n, m), by the chain rule."""
        leading = np.broadcast_shapes(np.shape(h)[:-1], np.shape(x)[:-1])
        J = np.zeros((*leading, self.state_dim, self.input_dim))
        for number, (_, seen) in enumerate(self._chain(h, x)):
            rows = self._slices[number]
            below = J[..., self._slices[number - 1], :]
            J[..., rows, :] = seen @ self._readouts[number - 1].times(below) if number else seen
        return J

    def input_terms(self, X: Array) -> Array:
        """Return what the first layer needs of the inputs."""
        return self._layers[0].input_terms(X)

    def advance(self, h: Array, terms: Array, out: Array | None = None) -> Array:
        """Return ``step(h, x)`` from ``terms = input_terms(x)``."""
        leading = np.broadcast_shapes(h.shape[:-1], terms.shape[:-1])
        result = np.empty((*leading, self.state_dim)) if out is None else out
        for number, (layer, g) in enumerate(zip(self._layers, self._states(h), strict=True)):
            if number:
                below = result[..., self._slices[number - 1]]
                terms = layer.input_terms(self._readouts[number - 1](below))
            layer.advance(g, terms, out=result[..., self._slices[number]])
        return result

    def carry(
        self,
        states: Zonotope,
        seen: Zonotope,
        before: Interval,
        after: Interval,
        ranges: Interval | None = None,
    ) -> Zonotope | None:
        """Enclose a step, layer by layer: each sees the new symbols of the one below."""
        del ranges
        new: list[Zonotope] = []
        for number, (layer, part) in enumerate(zip(self._layers, self._slices, strict=True)):
            own = states.rows(part)
            if number:
                seen = self._readouts[number - 1].carry(new[-1])
                own = own.padded(after=seen.symbols - own.symbols)
            ends = ((before[0][part], before[1][part]), (after[0][part], after[1][part]))
            found = layer.carry(own, seen, *ends)
            if found is None:
                return None
            new.append(found.unshared())
        symbols = new[-1].symbols
        return stacked(*(one.padded(after=symbols - one.symbols) for one in new))

    def rounded_step(self, h: Rounded, x: Rounded) -> Rounded:
        """Return size and rounding error of a step, from layer to layer."""
        new: list[Rounded] = []
        for number, (layer, part) in enumerate(zip(self._layers, self._slices, strict=True)):
            seen = self._readouts[number - 1].rounded(new[-1]) if number else x
            new.append(layer.rounded_step(h.part(part), seen))
        return h.of(np.concatenate([r.size for r in new]), np.concatenate([r.error for r in new]))

    def step_error(self, h_size: Array, x_size: Array) -> Array:
        """Bound the rounding error of one step, entrywise; derived in `rounded_step`."""
        return self.rounded_step(Rounded.exact(h_size), Rounded.exact(x_size)).error

    def input_lipschitz(self, norm: Norm) -> float | None:
        r"""Return L_x in `L1`, `L2` or `Linf`, from the layers'; None if one of them is unknown.

        Layer l moves by at most g_l = L_l ||C_{l-1}|| g_{l-1} per unit of input, and the norm of
        the whole is that of the vector of the layers' norms.
        """
        if not norm.plain:
            return None
        gains: list[float] = []
        for number, layer in enumerate(self._layers):
            gain = layer.input_lipschitz(norm)
            if gain is None:
                return None
            if number:
                seen = norm.matrix_upper(self._readouts[number - 1].C, norm)
                gain = product_up(gain, product_up(seen, gains[-1]))
            gains.append(gain)
        return float(norm.vector_upper(np.array(gains)))

    def rest_reach(self, inputs: Inputs) -> Array | None:
        """Bound |step(0, x)|, layer by layer; None if one of them has no such bound."""
        sizes: list[Array] = []
        for number, layer in enumerate(self._layers):
            if number:
                reach = self._readouts[number - 1].size(sizes[-1])
                inputs = Inputs.box(-reach, reach)
            size = layer.rest_reach(inputs)
            if size is None:
                return None
            sizes.append(size)
        return np.concatenate(sizes)

    def layer_domains(self, domain: Domain) -> tuple[Domain, ...] | None:
        """Return each layer's part of a domain; its inputs are what the layer below makes of it.

        None if the image of a layer is unknown.
        """
        boxes.ends_of(domain, self.state_dim, self.input_dim)
        if domain.reached is not None:
            # a ball is looked at as the box around it, which holds every state in question
            return tuple(
                replace(part, reached=None) if part.reached and part.reached.ball else part
                for part in domain.reached.parts
            )
        parts: list[Domain] = []
        inputs: Interval | None = (domain.input_low, domain.input_high)
        for number, rows in enumerate(self._slices):
            if number:
                image = self._layers[number - 1].image(parts[-1])
                inputs = None if image is None else self._readouts[number - 1].image(image)
            if inputs is None:
                return None
            parts.append(
                Domain(
                    low=domain.low[rows],
                    high=domain.high[rows],
                    input_low=inputs[0],
                    input_high=inputs[1],
                    start=domain.start,
                )
            )
        return tuple(parts)

    def image(self, domain: Domain) -> Interval | None:
        """Enclose a step over a box, layer by layer; None if a layer's image is unknown."""
        parts = self.layer_domains(domain)
        if parts is None:
            return None
        images = [layer.image(part) for layer, part in zip(self._layers, parts, strict=True)]
        known = [image for image in images if image is not None]
        if len(known) < len(images):
            return None
        low, high = zip(*known, strict=True)
        return np.concatenate(low), np.concatenate(high)

    def candidate_box(self, input_low: Array, input_high: Array) -> Interval | None:
        """Return the layers' own candidates, each for what the one below can give."""
        inputs: Interval = (input_low, input_high)
        found: list[Interval] = []
        for number, layer in enumerate(self._layers):
            if number:
                inputs = self._readouts[number - 1].image(found[-1])
            box = layer.candidate_box(*inputs)
            if box is None:
                return None
            found.append(box)
        low, high = zip(*found, strict=True)
        return np.concatenate(low), np.concatenate(high)

    def _gains(self, domain: Domain | None) -> list[tuple[tuple[Array, ...], Array]] | None:
        """Return every layer's comparison matrices and its gain from the layer below."""
        parts: tuple[Domain | None, ...] | None = (None,) * len(self._layers)
        if domain is not None:
            parts = self.layer_domains(domain)
        if parts is None:
            return None
        gains = []
        for number, (layer, part) in enumerate(zip(self._layers, parts, strict=True)):
            own, seen = layer.comparison(part), layer.input_comparison(part)
            if own is None or seen is None:
                return None
            if number:
                seen = product_matrix_up(seen, np.abs(self._readouts[number - 1].C))
            gains.append((own, seen))
        return gains

    def comparison(self, domain: Domain | None = None) -> tuple[Array, ...] | None:
        r"""Return block lower triangular matrices, from the layers' own and their gains.

        With e_l the differences of layer l, e_l+ <= M_l e_l + G_l |C| e_{l-1}+, and e_{l-1}+ is
        bounded by the rows above.  Of several matrices of a layer the next one sees the largest
        entries, which are off the diagonal blocks.
        """
        gains = self._gains(domain)
        if gains is None:
            return None
        count = max(len(own) for own, _ in gains)
        matrices = [np.zeros((self.state_dim, self.state_dim)) for _ in range(count)]
        above = np.zeros((0, self.state_dim))
        for number, (rows, (own, seen)) in enumerate(zip(self._slices, gains, strict=True)):
            through = (
                product_matrix_up(seen, above) if number else np.zeros((len(own[0]), len(own[0])))
            )
            largest = np.zeros((len(own[0]), self.state_dim))
            for j, M in enumerate(matrices):
                M[rows, : rows.start] = through[:, : rows.start] if number else 0.0
                M[rows, rows] = own[min(j, len(own) - 1)]
                largest = np.maximum(largest, M[rows])
            above = largest
        return boxes.finite_or_none(*matrices)

    def input_comparison(self, domain: Domain | None = None) -> Array | None:
        """Return the layers' gains, multiplied up from the inputs."""
        gains = self._gains(domain)
        if gains is None:
            return None
        found: list[Array] = []
        for number, (_, seen) in enumerate(gains):
            found.append(product_matrix_up(seen, found[-1]) if number else seen)
        return np.vstack(found)

    def slope_range(self, domain: Domain) -> Interval | None:
        """Enclose the matrices of the differences of a step, block lower triangular."""
        return self._slope_range(domain, in_state=True)

    def input_slope_range(self, domain: Domain) -> Interval | None:
        """Enclose the same by the inputs."""
        return self._slope_range(domain, in_state=False)

    def _slope_range(self, domain: Domain, *, in_state: bool) -> Interval | None:
        parts = self.layer_domains(domain)
        if parts is None:
            return None
        pairs = list(zip(self._layers, parts, strict=True))
        own = [layer.slope_range(part) for layer, part in pairs] if in_state else []
        seen = [layer.input_slope_range(part) for layer, part in pairs]
        known = [one for one in own if one is not None], [one for one in seen if one is not None]
        if len(known[0]) < len(own) or len(known[1]) < len(seen):
            return None
        return stacked_slopes(*known, [r.C for r in self._readouts], in_state=in_state)

    def _run(self, X: Array, h0: Array) -> Array:
        H = np.empty((*X.shape[:2], self.state_dim))
        for number, (layer, part) in enumerate(zip(self._layers, self._slices, strict=True)):
            if number:
                X = self._readouts[number - 1](H[..., self._slices[number - 1]])
            H[..., part] = layer._run(X, h0[..., part])
        return H

    def __repr__(self) -> str:
        return f"Cascade([{', '.join(map(repr, self._layers))}])"
