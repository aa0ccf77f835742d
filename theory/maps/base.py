r"""What is studied: a state map h <- step(h, x), as an abstract class.

Main names: `Map`, `check_map`, `simulate_by_steps`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.arithmetic.formats import DOUBLE
from theory.arithmetic.intervals import Interval
from theory.arithmetic.rounded import Rounded
from theory.arithmetic.rounding import evaluate, product_up, up
from theory.arithmetic.zonotopes import Zonotope
from theory.domain import Domain
from theory.errors import DivergedError, as_sequences, as_states
from theory.inputs import Drive, Inputs, ambiguous, as_inputs
from theory.maps.boxes.ends import Weights, ends_of
from theory.maps.boxes.reached import Reach
from theory.maps.boxes.slopes import affine_slopes
from theory.maps.form import Affine
from theory.maps.lengths import Lengths
from theory.norms.norm import check_norm
from theory.norms.norms import Linf, Norm
from theory.shown import packed, restore
from theory.theorems.drive import formula
from theory.theorems.sectors import Sectors
from theory.theorems.terms import Terms
from theory.typing import Array


class Map(ABC):
    """A recurrent state map.

    `step` in plain NumPy is the definition; `simulate` and the kernels behind it are accelerations
    that agree with it within `step_error`.
    """

    def __getstate__(self) -> dict[str, Any]:
        return packed(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        restore(self, state)

    @property
    @abstractmethod
    def state_dim(self) -> int:
        """Return n, the dimension of the state."""

    @property
    @abstractmethod
    def input_dim(self) -> int:
        """Return m, the dimension of an input."""

    @property
    @abstractmethod
    def parameters(self) -> Mapping[str, Array]:
        """Return the parameters by name, as read-only arrays."""

    @abstractmethod
    def step(self, h: Array, x: Array) -> Array:
        """Return the next state; h is (..., n), x is (..., m), with leading axes broadcast."""

    @abstractmethod
    def jacobian_state(self, h: Array, x: Array) -> Array:
        """Return d step / d h, of shape (..., n, n)."""

    @abstractmethod
    def jacobian_input(self, h: Array, x: Array) -> Array:
        """Return d step / d x, of shape (..., n, m)."""

    @abstractmethod
    def affine(self) -> Affine | None:
        """Return the map in the form rho(W h + U x + b), or None if it has not that form."""

    @property
    def form_names(self) -> tuple[str, str, str] | None:
        """Return the names of the parameters that are W, U and b of `affine`; None if none are."""
        return None

    @property
    @final
    def recurrent_name(self) -> str:
        """Return the name of the parameter that is the recurrent matrix of `affine`.

        Raises
        ------
        ValueError
            If no parameter is.
        """
        if self.form_names is None:
            raise ValueError(
                f"no parameter of {self!r} is its recurrent matrix, needed a map such as "
                "VanillaRNN or LinearMap"
            )
        return self.form_names[0]

    @final
    def affine_on(self, domain: Domain | None) -> Affine | None:
        """Return the form with the slopes that its units take on a domain, or None as `affine`."""
        form = self.affine()
        return None if form is None else form.on(domain)

    @abstractmethod
    def input_terms(self, X: Array) -> Array:
        """Return what a step needs of the inputs, computed once for all times: (..., p)."""

    @abstractmethod
    def advance(self, h: Array, terms: Array, out: Array | None = None) -> Array:
        """Return ``step(h, x)`` from ``terms = input_terms(x)``; writes to `out` if given."""

    @abstractmethod
    def step_error(self, h_size: Array, x_size: Array) -> Array:
        """Bound the rounding error of one step, entrywise, over |h| <= h_size, |x| <= x_size."""

    def rounded_step(self, h: Rounded, x: Rounded) -> Rounded:
        """Return size and rounding error of step(h, x) where h and x are themselves off.

        By default the state after the step is taken to be within the sizes of `h`, as it is when
        they are those of a whole run, and what is carried on from x is bounded by L_x.

        Raises
        ------
        ValueError
            If x is off and L_x is unknown, or it is asked for another arithmetic than the map's.
        """
        if h.arithmetic is not DOUBLE:
            raise ValueError(
                f"how {self!r} is computed in {h.arithmetic.name} is not known, needed a map of "
                "this package; pass a bound of the error of its steps as step_error="
            )
        error = self.step_error(h.size, x.size)
        if np.any(x.error > 0):
            gain = self.input_lipschitz(Linf())
            if gain is None:
                raise ValueError(
                    f"the rounding error of the inputs of {self!r} is amplified by an unknown "
                    "factor; pass input_lipschitz= when the map is made"
                )
            error = np.nextafter(error + product_up(gain, float(np.max(x.error))), np.inf)
        return h.of(h.size, error)

    @property
    def output_map(self) -> Array:
        """Return the matrix, (p, n), of what a head sees of the state: the identity by default."""
        return np.eye(self.state_dim)

    def rest_reach(self, inputs: Inputs) -> Array | None:
        """Return an upper bound of |step(0, x)|, entrywise, over a set of inputs; None if unknown.

        By default from L_x in the maximum norm.  A map that is not globally Lipschitz in x has a
        bound of its own.
        """
        gain = self.input_lipschitz(Linf())
        if gain is None:
            return None
        rest = np.abs(self.offset())
        rest += self.step_error(np.zeros(self.state_dim), np.zeros(self.input_dim))
        moved = product_up(gain, inputs.norm_upper(Linf(), self.input_dim))
        return np.nextafter(np.nextafter(rest, np.inf) + moved, np.inf)

    def _rebuilt(self, parameters: Mapping[str, Any]) -> Map:
        """Return a map of the same class with those parameters."""
        del parameters
        raise ValueError(
            f"{self!r} cannot be made anew from its parameters; give its class a _rebuilt method"
        )

    @final
    def with_parameters(self, **changed: Any) -> Map:
        r"""Return a map of the same class with some of the parameters changed.

        Parameters
        ----------
        changed
            New values of any of `parameters`, by name; the others stay.  Names that are no
            identifiers, as ``"0.W"`` of a `Cascade`, go in as ``**{"0.W": W}``.

        Raises
        ------
        ValueError
            If a name is unknown or a value does not fit.

        Examples
        --------
        >>> from theory import VanillaRNN
        >>> cell = VanillaRNN([[0.5]], [[1.0]]).with_parameters(W=[[0.25]])
        >>> cell.W.tolist(), cell.U.tolist()
        ([[0.25]], [[1.0]])
        """
        known = self.parameters
        unknown = [name for name in changed if name not in known]
        if unknown:
            names = ", ".join(known) or "none"
            raise ValueError(f"{self!r} has no parameter {unknown[0]!r}; it has: {names}")
        return self._rebuilt({**known, **changed}) if changed else self

    @abstractmethod
    def input_lipschitz(self, norm: Norm) -> float | None:
        """Return an upper bound of L_x, from ``norm.companion`` to `norm`; None if unknown."""

    @abstractmethod
    def _run(self, X: Array, h0: Array) -> Array:
        """Return the states (batch, T, n) of inputs (batch, T, m) from h0 (batch, n)."""

    def image(self, domain: Domain) -> Interval | None:
        """Enclose ``step(h, x)`` over a box, rounded outward: (low, high); None if unknown."""
        del domain
        return None

    def candidate_box(self, input_low: Array, input_high: Array) -> Interval | None:
        """Return ends of a box that may be invariant under these inputs; nothing is proved."""
        del input_low, input_high
        return None

    def reach(self, states: Zonotope, inputs: Interval, box: Interval) -> Reach | None:
        """Enclose a step of those states of a zonotope that lie in a box; None if unknown.

        All symbols of the zonotope are shared, and the box holds the states after the step, too.
        """
        del states, inputs, box
        return None

    def carry(
        self,
        states: Zonotope,
        seen: Zonotope,
        before: Interval,
        after: Interval,
        ranges: Interval | None = None,
    ) -> Zonotope | None:
        """Enclose a step of those states of a zonotope that lie in the box `before`, or None.

        The inputs share its symbols, which are the first of the result; of this the points in the
        box `after` count.  Of rho(W h + U x + b) `ranges` of the arguments may be known besides.
        """
        del states, seen, before, after, ranges
        return None

    def comparison(self, domain: Domain | None = None) -> tuple[Array, ...] | None:
        r"""Return non-negative matrices M, (n, n), rounded upward, that majorise one step.

        For all states h, g of the domain (all states by default) under the same input of it, and
        every i, |step(h, x) - step(g, x)|_i <= max over the matrices of (M |h - g|)_i.  None if
        there are none or none are known.
        """
        del domain
        return None

    def group_comparison(self, domain: Domain | None = None) -> Lengths | None:
        r"""Return the same of the Euclidean lengths of groups of entries, rounded upward.

        None where `comparison`, of single entries, is as sharp, or none are known.
        """
        del domain
        return None

    def terms(self, domain: Domain | None = None) -> Terms | None:
        r"""Return signals and bounds of their coefficients that majorise one step, rounded upward.

        As `comparison` over the same domain, but with the matrices themselves where that has their
        absolute values; see `theory.theorems.terms`.  None if none are known.
        """
        del domain
        return None

    def sectors(self, domain: Domain | None = None) -> Sectors | None:
        """Return the same with the signs of what multiplies; see `theory.theorems.sectors`."""
        del domain
        return None

    def input_comparison(self, domain: Domain | None = None) -> Array | None:
        """Return G, (n, m), with |step(h, x) - step(h, y)| <= G |x - y| entrywise; None if none."""
        del domain
        return None

    def slope_range(self, domain: Domain) -> Interval | None:
        r"""Enclose the matrices M, (n, n), of the differences of a step over a box, entrywise.

        For all states h, g of the box under the same input of it, step(h, x) - step(g, x) is
        M (h - g) with an M in the enclosure, which holds the Jacobians too where the map is smooth.
        None if nothing is known.
        """
        form = self.affine()
        if form is None:
            return None
        box = ends_of(domain, self.state_dim, self.input_dim)
        return affine_slopes(Weights(form.W, form.U, form.b), form.rho, box, form.W)

    def input_slope_range(self, domain: Domain) -> Interval | None:
        """Enclose G, (n, m), with step(h, x) - step(h, y) = G (x - y) over a box; None if none."""
        form = self.affine()
        if form is None:
            return None
        box = ends_of(domain, self.state_dim, self.input_dim)
        return affine_slopes(Weights(form.W, form.U, form.b), form.rho, box, form.U)

    def state_lipschitz(self, norm: Norm, domain: Domain | None = None) -> float | None:
        """Return an upper bound of the Lipschitz constant of a step in the state, or None.

        By default from `comparison`, which a monotone norm turns into a number.
        """
        matrices = self.comparison(domain) if norm.monotone else None
        return None if matrices is None else norm.matrix_upper(np.maximum.reduce(matrices))

    @final
    def simulate(self, X: npt.ArrayLike, h0: npt.ArrayLike | None = None) -> Array:
        """Run the recurrent model.

        Parameters
        ----------
        X : (T, m) or (batch, T, m) array
            Inputs; T = 0 is legal and gives no states.
        h0 : (n,) or (batch, n) array, optional
            The state before the first input, zero by default.

        Returns
        -------
        H : (T, n) or (batch, T, n) array
            ``H[t]`` is the state after input ``X[t]``; `h0` is not included.

        Raises
        ------
        ValueError
            If a shape does not fit or a number is not finite.
        DivergedError
            If the state leaves the range of double precision; the message says when.
        """
        inputs = as_sequences("X", X, width=self.input_dim)
        batch = inputs.shape[:-2]
        start = as_states(
            "h0", np.zeros(self.state_dim) if h0 is None else h0, size=self.state_dim, batch=batch
        )
        flat = inputs if batch else inputs[None]
        with np.errstate(over="ignore", invalid="ignore"):
            states = self._run(flat, start if batch else start[None])
        check_finite_states(states)
        return states if batch else states[0]

    @final
    def offset(self) -> Array:
        """Return phi(0, 0), the state after one step from rest without input: (n,)."""
        return self.step(np.zeros(self.state_dim), np.zeros(self.input_dim))

    @final
    def drive(self, norm: Norm, inputs: Any = None, *, input_bound: Any = None) -> Drive:
        r"""Return an upper bound of the drive, C >= ||phi(0, x)||, rounded outward.

        Parameters
        ----------
        norm
            The norm of the state.
        inputs : Inputs, or (..., m) array of the inputs in question
            For a finite set phi(0, x) is computed for each of them.  For any other set C is the
            least of what bounds it: L_x sup ||x|| + ||phi(0, 0)||, `rest_reach`, and the enclosure
            of phi(0, x) over the box of the set.
        input_bound
            Refused: a number does not say which inputs are meant.

        Returns
        -------
        Drive
            The number with its norm and its inputs; bounds refuse it for a contraction in another
            norm, or one that does not hold for these inputs.

        Raises
        ------
        ValueError
            If the inputs are a number or of another dimension, or nothing bounds phi(0, x).

        Examples
        --------
        >>> from theory import L2, Inputs, VanillaRNN
        >>> cell = VanillaRNN(0.9 * np.eye(16), 0.05 * np.eye(16))
        >>> drives = [cell.drive(L2(), one) for one in (Inputs.box(-1, 1), Inputs.ball(1))]
        >>> [round(float(drive), 6) for drive in drives], str(drives[0].inputs)
        ([0.199833, 0.05], '|x_i| <= 1')
        """
        check_norm(norm).check_dim(self.state_dim)
        if input_bound is not None:
            raise ambiguous("input_bound", input_bound, self.input_dim)
        if inputs is None:
            raise ValueError(
                "needed inputs=, such as theory.Inputs.box(-1, 1) or an array of all inputs"
            )
        given = as_inputs(inputs, self.input_dim)
        if given.rows is not None:
            size = self._drive_of_rows(norm, given.rows)
        else:
            size = self._drive_of_set(norm, given)
        return Drive(size=size, norm=norm, inputs=given)

    def _drive_of_rows(self, norm: Norm, rows: Array) -> float:
        if len(rows) == 0:
            return 0.0
        values = self.advance(np.zeros((len(rows), self.state_dim)), self.input_terms(rows))
        # sizes that cover the result too: a user's own step errs relative to what it returns
        sizes = np.max(np.abs(values), axis=0)
        error = self.step_error(sizes, np.max(np.abs(rows), axis=0))
        return up(float(np.max(norm.vector_upper(values))) + norm.majorant(error))

    def _drive_of_set(self, norm: Norm, inputs: Inputs) -> float:
        m, zero = self.input_dim, np.zeros(self.state_dim)
        found: list[float] = []
        gain, length = self.input_lipschitz(norm), inputs.norm_upper(norm.companion, m)
        if gain is not None and math.isfinite(length):
            error = self.step_error(zero, np.zeros(m))
            start = up(float(norm.vector_upper(self.offset())) + norm.majorant(error))
            if math.isfinite(gain) and math.isfinite(start):
                found.append(evaluate(formula, gain=gain, input_bound=length, offset=start))
        low, high = inputs.ends(m)
        image = self.image(Domain(low=zero, high=zero, input_low=low, input_high=high))
        with np.errstate(over="ignore", invalid="ignore"):
            reached = self.rest_reach(inputs)
        sizes = [reached, None if image is None else np.maximum(*(np.abs(end) for end in image))]
        found += [norm.majorant(one) for one in sizes if one is not None and np.isfinite(one).all()]
        size = min(found, default=math.inf)
        if not math.isfinite(size):
            unknown = gain is None and reached is None and image is None
            raise ValueError(
                f"nothing bounds step(0, x) of {self!r} over {inputs}: "
                + (
                    "the Lipschitz constant of this map in x is unknown; pass an array of the "
                    "inputs, or input_lipschitz= when the map is made"
                    if unknown
                    else "needed bounded inputs, such as theory.Inputs.box(-1, 1)"
                )
            )
        return size


def check_map(recurrent: Any) -> Map:
    """Raise `ValueError` for anything but a map."""
    if not isinstance(recurrent, Map):
        if isinstance(getattr(recurrent, "map", None), Map):
            raise ValueError(
                f"received a {type(recurrent).__name__}, needed the Map in it: pass its .map, and "
                "k= and head= where they are asked for"
            )
        raise ValueError(
            f"received a {type(recurrent).__name__}, needed a Map; read weights: "
            "theory.interop.from_torch and its neighbours; put matrices in: "
            "theory.VanillaRNN(W, U, b) or theory.LinearMap; wrap your own function: "
            "theory.CallableMap(step, state_dim=n, input_dim=m)"
        )
    return recurrent


def check_finite_states(states: Array) -> None:
    """Raise `DivergedError` at the first state that is not finite; states is (batch, T, n)."""
    if not np.isfinite(states).all():
        bad = ~np.isfinite(states).all(axis=-1)
        sequence, t = (int(i) for i in np.argwhere(bad)[0])
        raise diverged(t + 1, sequence)


def diverged(step: int, sequence: int, precision: str = "double") -> DivergedError:
    """Return the error of a state that is not finite after so many inputs."""
    error = DivergedError(
        f"the state left the range of {precision} precision at step {step} of sequence {sequence}; "
        "the map is unstable on these inputs: scale the recurrent weights down"
    )
    error.step = step
    return error


def simulate_by_steps(recurrent: Map, X: Array, h0: Array) -> Array:
    """Run a map by its own steps, one time at a time over the whole batch; the definition."""
    batch, steps, _ = X.shape
    terms = recurrent.input_terms(X)
    states = np.empty((batch, steps, recurrent.state_dim))
    h = h0
    for t in range(steps):
        h = recurrent.advance(h, terms[:, t])
        states[:, t] = h
    return states


def read_only(**arrays: Array) -> Mapping[str, Array]:
    """Return the arrays as an immutable mapping."""
    return MappingProxyType(dict(arrays))
