r"""A recurrence with what stands before and after it, as one layer of a stack.

Main name: `Block`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np

from theory.arithmetic.intervals import Interval, plus_up, product_matrix_up
from theory.arithmetic.rounded import Rounded
from theory.arithmetic.rounding import product_up, up
from theory.arithmetic.zonotopes import Zonotope, stacked
from theory.domain import Domain
from theory.maps.base import Map, check_map, read_only
from theory.maps.boxes import ends as boxes
from theory.maps.boxes.reached import EXCESS
from theory.maps.functions import Function
from theory.maps.gates import GatedMap
from theory.maps.lengths import Lengths, lengths_up
from theory.norms.blocks import BlockMax
from theory.norms.norm import Norm
from theory.typing import Array


@final
class Block(GatedMap):
    r"""A recurrence on a function of the inputs, and a function of its state and the inputs.

    .. math:: h \leftarrow \mathrm{core}(h, \mathrm{before}(x)),\qquad y = \mathrm{after}(h, x)

    The state is (h, y), of which the step reads h alone; `output_map` shows y.  Without `after` it
    is h, as the core shows it: a recurrence that sees a function of the inputs.

    So a `Cascade` of blocks is a network of them, each on the output of the one below, and is
    simulated, truncated, enclosed and certified as every stack is: from the core's certificate and
    the slopes of the two functions on what they can receive.

    Parameters
    ----------
    core : Map
    before : Function, optional
        What the core sees of the inputs; the inputs themselves by default.
    after : Function, optional
        Of the core's state and behind it the inputs, side by side; none by default.

    Raises
    ------
    ValueError
        If the widths do not fit, or there is neither function.

    Examples
    --------
    >>> from theory import MinGRU
    >>> from theory.maps import Chain, Select, Sum
    >>> core = MinGRU([[0.0], [1.0]])
    >>> stream = Sum([Select(0, stop=1, size=2), Select(1, stop=2, size=2)])  # h + x
    >>> Block(core, after=stream).simulate([[1.0], [0.0]]).tolist()
    [[0.5, 1.5], [0.25, 0.25]]
    """

    def __init__(
        self, core: Map, *, before: Function | None = None, after: Function | None = None
    ) -> None:
        self._core, self._before, self._after = check_map(core), before, after
        given: dict[str, Any] = {"before": before, "after": after}
        for name, f in given.items():
            if f is not None and not isinstance(f, Function):
                raise ValueError(f"{name}={f!r}, needed a theory.maps.Function")
        if before is None and after is None:
            raise ValueError("needed before=, after= or both: without them it is the core")
        if before is not None and before.output_dim != core.input_dim:
            raise ValueError(
                f"before gives {before.output_dim} entries, needed the {core.input_dim} inputs of "
                f"{core!r}"
            )
        wide = core.state_dim + self.input_dim
        if after is not None and after.input_dim != wide:
            raise ValueError(
                f"after takes {after.input_dim} entries, needed {wide}: {core.state_dim} of the "
                f"state of {core!r}, and {self.input_dim} of the inputs"
            )

    @property
    def core(self) -> Map:
        """Return the recurrence."""
        return self._core

    @property
    def before(self) -> Function | None:
        """Return what the core sees of the inputs."""
        return self._before

    @property
    def after(self) -> Function | None:
        """Return what is made of its state and the inputs."""
        return self._after

    @property
    def _outputs(self) -> int:
        return 0 if self._after is None else self._after.output_dim

    @property
    def state_dim(self) -> int:
        """Return the core's states and the outputs."""
        return self._core.state_dim + self._outputs

    @property
    def input_dim(self) -> int:
        """Return m."""
        return self._core.input_dim if self._before is None else self._before.input_dim

    @property
    def output_map(self) -> Array:
        """Return the matrix that selects the outputs, of the core where nothing comes after it."""
        if self._after is None:
            return self._core.output_map
        n, p = self._core.state_dim, self._outputs
        return np.eye(p, n + p, n)

    @property
    def parameters(self) -> Mapping[str, Array]:
        """Return those of the core as ``"core.U"``, of the functions as ``"after.0.W"``."""
        named = {f"core.{name}": value for name, value in self._core.parameters.items()}
        for word, f in (("before", self._before), ("after", self._after)):
            if f is not None:
                named |= {f"{word}.{name}": value for name, value in f.arrays.items()}
        return read_only(**named)

    def _rebuilt(self, parameters: Mapping[str, Any]) -> Block:
        def of(word: str, names: Any) -> dict[str, Any]:
            return {name: parameters[f"{word}.{name}"] for name in names}

        def made(word: str, f: Function | None) -> Function | None:
            return None if f is None else f.with_arrays(of(word, f.arrays))

        return Block(
            self._core.with_parameters(**of("core", self._core.parameters)),
            before=made("before", self._before),
            after=made("after", self._after),
        )

    # ------------------------------------------------------------------------------ the definition

    def _seen(self, x: Array) -> Array:
        return x if self._before is None else self._before(x)

    def step(self, h: Array, x: Array) -> Array:
        """Return the core's next state, and the output."""
        self._check_widths(h, x)
        new = self._core.step(h[..., : self._core.state_dim], self._seen(x))
        return self._with_output(new, x)

    def _with_output(self, new: Array, x: Array) -> Array:
        if self._after is None:
            return new
        leading = np.broadcast_shapes(new.shape[:-1], x.shape[:-1])
        both = np.concatenate(
            [np.broadcast_to(part, (*leading, part.shape[-1])) for part in (new, x)], axis=-1
        )
        return np.concatenate([both[..., : new.shape[-1]], self._after(both)], axis=-1)

    def input_terms(self, X: Array) -> Array:
        """Return what the core needs of the inputs, and the inputs."""
        return np.concatenate([self._core.input_terms(self._seen(X)), X], axis=-1)

    def advance(self, h: Array, terms: Array, out: Array | None = None) -> Array:
        """Return ``step(h, x)`` from ``terms = input_terms(x)``."""
        m = self.input_dim
        new = self._core.advance(h[..., : self._core.state_dim], terms[..., :-m])
        result = self._with_output(new, terms[..., -m:])
        if out is None:
            return result
        out[...] = result
        return out

    def _run(self, X: Array, h0: Array) -> Array:
        H = self._core._run(self._seen(X), h0[..., : self._core.state_dim])
        return self._with_output(H, X)

    def _chain(self, h: Array, x: Array) -> tuple[Array, Array, Array | None]:
        """Return the core's Jacobians by its state and by x, and that of the output by both."""
        n = self._core.state_dim
        leading = np.broadcast_shapes(np.shape(h)[:-1], np.shape(x)[:-1])
        g, x = (np.broadcast_to(a, (*leading, a.shape[-1])) for a in (h[..., :n], x))
        u = self._seen(x)
        own, seen = self._core.jacobian_state(g, u), self._core.jacobian_input(g, u)
        if self._before is not None:
            seen = seen @ self._before.jacobian(x)
        if self._after is None:
            return own, seen, None
        new = self._core.step(g, u)
        return own, seen, self._after.jacobian(np.concatenate([new, x], axis=-1))

    def jacobian_state(self, h: Array, x: Array) -> Array:
        """Return d step / d h, (..., n, n): nothing depends on the last output."""
        own, _, J = self._chain(h, x)
        if J is None:
            return own
        n = self._core.state_dim
        left = np.concatenate([own, J[..., :n] @ own], axis=-2)
        zero = np.zeros((*left.shape[:-1], self._outputs))
        return np.concatenate([left, zero], axis=-1)

    def jacobian_input(self, h: Array, x: Array) -> Array:
        """Return d step / d x, (..., n, m)."""
        _, seen, J = self._chain(h, x)
        if J is None:
            return seen
        n = self._core.state_dim
        return np.concatenate([seen, J[..., :n] @ seen + J[..., n:]], axis=-2)

    def rounded_step(self, h: Rounded, x: Rounded) -> Rounded:
        """Return size and rounding error, through the functions and the core."""
        n = self._core.state_dim
        u = x if self._before is None else self._before.rounded(x)
        new = self._core.rounded_step(h.part(slice(n)), u)
        if self._after is None:
            return new
        both = x.of(np.append(new.size, x.size), np.append(new.error, x.error))
        y = self._after.rounded(both)
        return h.of(np.append(new.size, y.size), np.append(new.error, y.error))

    # ---------------------------------------------------------------------------------- enclosures

    def core_domain(self, domain: Domain | None) -> tuple[Domain | None, Interval]:
        """Return the core's part of a domain, and the box of the inputs."""
        box = boxes.ends_of(domain, self.state_dim, self.input_dim)
        inputs = (box.input_low, box.input_high)
        if domain is None:
            return None, inputs
        n = self._core.state_dim
        seen = inputs if self._before is None else self._before.image(inputs)
        part = Domain(
            low=box.low[:n],
            high=box.high[:n],
            input_low=seen[0],
            input_high=seen[1],
            start=domain.start,
        )
        return part, inputs

    def _output_box(self, new: Interval, inputs: Interval) -> Interval:
        """Return the box of what `after` takes."""
        low, high = (np.append(a, b) for a, b in zip(new, inputs, strict=True))
        return low, high

    def _with_image(self, new: Interval, inputs: Interval, room: bool) -> Interval | None:
        """Put the outputs behind a box of the core, with room around them if that is asked for."""
        if self._after is None:
            return new
        y: Interval | None = self._after.image(self._output_box(new, inputs))
        if room and y is not None:
            y = boxes.hull_with_room(y)
        return None if y is None else (np.append(new[0], y[0]), np.append(new[1], y[1]))

    def image(self, domain: Domain) -> Interval | None:
        """Enclose a step: the core's, and the output of that box; None if the core's is unknown."""
        part, inputs = self.core_domain(domain)
        new = None if part is None else self._core.image(part)
        return None if new is None else self._with_image(new, inputs, room=False)

    def carry(
        self,
        states: Zonotope,
        seen: Zonotope,
        before: Interval,
        after: Interval,
        ranges: Interval | None = None,
    ) -> Zonotope | None:
        """Enclose a step: the core's on what it sees, and the output on that and the inputs."""
        del ranges
        n, inputs = self._core.state_dim, seen.hull()
        entered = seen if self._before is None else self._before.carry(seen, inputs)
        if self._before is not None:
            entered = entered.within(*self._before.image(inputs), EXCESS)
        ends = ((before[0][:n], before[1][:n]), (after[0][:n], after[1][:n]))
        found = self._core.carry(states.rows(slice(n)), entered, *ends)
        if found is None:
            return None
        new = found.within(*ends[1], EXCESS).unshared()
        if self._after is None:
            return new
        both = stacked(new, seen.padded(after=new.symbols - seen.symbols))
        box = self._output_box(new.clipped(*ends[1]), inputs)
        y = self._after.carry(both, box).within(*self._after.image(box), EXCESS)
        return stacked(new, y.within(after[0][n:], after[1][n:], EXCESS))

    def candidate_box(self, input_low: Array, input_high: Array) -> Interval | None:
        """Return the core's candidate, and the outputs that it gives."""
        inputs = (input_low, input_high)
        seen = inputs if self._before is None else self._before.image(inputs)
        new = self._core.candidate_box(*seen)
        return None if new is None else self._with_image(new, inputs, room=True)

    def _output_slopes(self, domain: Domain | None) -> tuple[Array, Array] | None:
        """Return the slopes of the output in the core's new state and in the inputs."""
        assert self._after is not None
        part, inputs = self.core_domain(domain)
        n = self._core.state_dim
        new = None if part is None else self._core.image(part)
        if new is None:
            new = np.full(n, -np.inf), np.full(n, np.inf)
        G = self._after.slopes(self._output_box(new, inputs))
        return (G[:, :n], G[:, n:]) if np.isfinite(G).all() else None

    def comparison(self, domain: Domain | None = None) -> tuple[Array, ...] | None:
        """Return the core's matrices, and below them what the output makes of their entries."""
        part, _ = self.core_domain(domain)
        own = self._core.comparison(part)
        if own is None or self._after is None:
            return own
        slopes = self._output_slopes(domain)
        if slopes is None:
            return None
        # of several matrices each state has its own: the output sees the largest entries of all
        below = product_matrix_up(slopes[0], np.maximum.reduce(own))
        zero = np.zeros((self.state_dim, self._outputs))
        return boxes.finite_or_none(*(np.hstack([np.vstack([M, below]), zero]) for M in own))

    def input_comparison(self, domain: Domain | None = None) -> Array | None:
        """Return the core's gain through `before`, and what the output makes of it and of x."""
        part, inputs = self.core_domain(domain)
        seen = self._core.input_comparison(part)
        if seen is None:
            return None
        if self._before is not None:
            G = self._before.slopes(inputs)
            if not np.isfinite(G).all():
                return None
            seen = product_matrix_up(seen, G)
        if self._after is None:
            return seen
        slopes = self._output_slopes(domain)
        if slopes is None:
            return None
        return np.vstack([seen, plus_up(product_matrix_up(slopes[0], seen), slopes[1])])

    def group_comparison(self, domain: Domain | None = None) -> Lengths | None:
        """Return the core's groups, and below them the outputs, one by one."""
        part, inputs = self.core_domain(domain)
        known = self._core.group_comparison(part)
        if known is None:
            return None
        seen = known.seen
        if seen is not None and self._before is not None:
            G = self._before.slopes(inputs)
            seen = product_matrix_up(seen, G) if np.isfinite(G).all() else None
        if self._after is None:
            return Lengths(group=known.group, own=known.own, seen=seen)
        slopes = self._output_slopes(domain)
        if slopes is None:
            return None
        # an output moves by at most |slopes|_2 times the length, for every group
        turned = lengths_up(slopes[0], known.group)
        below = product_matrix_up(turned, np.maximum.reduce(known.own))
        zero = np.zeros((len(turned) + len(known.own[0]), self._outputs))
        if seen is not None:
            seen = np.vstack([seen, plus_up(product_matrix_up(turned, seen), slopes[1])])
        return Lengths(
            group=np.append(known.group, len(known.own[0]) + np.arange(self._outputs)),
            own=tuple(np.hstack([np.vstack([M, below]), zero]) for M in known.own),
            seen=seen,
        )

    def slope_range(self, domain: Domain) -> Interval | None:
        """Return the matrices that majorise a step, with both signs."""
        found = self.comparison(domain)
        if found is None:
            return None
        M = np.maximum.reduce(found)
        return -M, M

    def input_slope_range(self, domain: Domain) -> Interval | None:
        """Return the matrix that majorises a step in its input, with both signs."""
        G = self.input_comparison(domain)
        return None if G is None else (-G, G)

    def output_gain(self, norm: BlockMax, domain: Domain | None = None) -> float | None:
        """Bound what the outputs move by with the core's new state, in their parts of a norm."""
        slopes, (inner, outer) = self._output_slopes(domain), norm.parts
        if slopes is None or not (inner.monotone and outer.monotone):
            return None
        w, v = norm.weights.tolist()
        return up(product_up(v, outer.matrix_upper(slopes[0], inner)) / w)

    def state_lipschitz(self, norm: Norm, domain: Domain | None = None) -> float | None:
        """Return the core's where nothing comes after it, else what `comparison` says.

        In a `BlockMax` of a norm of the core and one of the outputs the larger of the core's, and
        of what the slopes of the outputs make of it.
        """
        part, _ = self.core_domain(domain)
        if self._after is None:
            return self._core.state_lipschitz(norm, part)
        known = [super().state_lipschitz(norm, domain)]
        if isinstance(norm, BlockMax) and norm.sizes == (self._core.state_dim, self._outputs):
            own = self._core.state_lipschitz(norm.parts[0], part)
            moved = self.output_gain(norm, domain)
            if own is not None and moved is not None:
                known.append(max(own, product_up(moved, own)))
        return min((x for x in known if x is not None), default=None)

    def __repr__(self) -> str:
        told = "" if self._after is None else f", outputs={self._outputs}"
        return f"Block({self._core!r}, m={self.input_dim}{told})"
