r"""What is studied: a state map h <- step(h, x), as an abstract class.

Main names: `Map`, `AffineMap`, `Affine`, `check_map`, `simulate_by_steps`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, final

import numpy as np

from theory.activations import Activation
from theory.domain import Domain
from theory.errors import DivergedError, as_sequences, as_states
from theory.inputs import Drive, Inputs, ambiguous, as_inputs
from theory.intervals import (
    Interval,
    activation_image,
    affine_image,
    slope_range,
    sum_of,
    times_up,
)
from theory.norms import L2, Linf, Norm, over, scaled_matrix_upper
from theory.rounding import Rounded, evaluate, product_up, up
from theory.theorems.drive import formula
from theory.typing import Array


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Affine:
    """The form h <- rho(W h + U x + b) that criteria and kernels recognise."""

    W: Array  # W, (n, n), recurrent weights
    U: Array  # U, (n, m), input weights
    b: Array  # b, (n,), bias
    rho: Activation  # rho, elementwise
    domain: Domain | None = None  # where the slopes below hold; None: everywhere
    restricted: Interval | None = None  # the units' slopes on the domain, (n,) each

    @property
    def slopes(self) -> Interval:
        """Return intervals (low, high) of the slopes of every unit, (n,) each."""
        if self.restricted is not None:
            return self.restricted
        n = len(self.W)
        return np.full(n, self.rho.slope[0]), np.full(n, self.rho.slope[1])

    @property
    def steepest(self) -> Array:
        """Return the largest magnitude of each unit's slopes, (n,)."""
        largest: Array = np.maximum(*(np.abs(end) for end in self.slopes))
        return largest

    @property
    def lipschitz(self) -> float:
        """Return the largest magnitude of all slopes."""
        return float(np.max(self.steepest, initial=0.0))

    @property
    def linear(self) -> bool:
        """Return whether all slopes are one number: a step is then affine in the state."""
        low, high = self.slopes
        return bool(np.all(low == low[:1]) and np.all(high == low[:1]))


class Map(ABC):
    """A recurrent state map.

    `step` in plain NumPy is the definition; `simulate` and the kernels behind it are accelerations
    that agree with it within `step_error`.
    """

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

    def affine_on(self, domain: Domain | None) -> Affine | None:
        """Return the form with the slopes that its units take on a domain, or None as `affine`."""
        return self.affine() if domain is None else None

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
            If x is off and L_x is unknown.
        """
        error = self.step_error(h.size, x.size)
        if np.any(x.error > 0):
            gain = self.input_lipschitz(Linf())
            if gain is None:
                raise ValueError(
                    f"the rounding error of the inputs of {self!r} is amplified by an unknown "
                    "factor; pass input_lipschitz= when the map is made"
                )
            error = np.nextafter(error + product_up(gain, float(np.max(x.error))), np.inf)
        return Rounded(h.size, error)

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

    def comparison(self, domain: Domain | None = None) -> tuple[Array, ...] | None:
        r"""Return non-negative matrices M, (n, n), rounded upward, that majorise one step.

        For all states h, g of the domain (all states by default) under the same input of it, and
        every i, |step(h, x) - step(g, x)|_i <= max over the matrices of (M |h - g|)_i.  None if
        there are none or none are known.
        """
        del domain
        return None

    def input_comparison(self, domain: Domain | None = None) -> Array | None:
        """Return G, (n, m), with |step(h, x) - step(h, y)| <= G |x - y| entrywise; None if none."""
        del domain
        return None

    def state_lipschitz(self, norm: Norm, domain: Domain | None = None) -> float | None:
        """Return an upper bound of the Lipschitz constant of a step in the state, or None.

        By default from `comparison`, which a monotone norm turns into a number.
        """
        matrices = self.comparison(domain) if norm.monotone else None
        return None if matrices is None else norm.matrix_upper(np.maximum.reduce(matrices))

    @final
    def simulate(self, X: Any, h0: Any = None) -> Array:
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
        norm.check_dim(self.state_dim)
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


class AffineMap(Map):
    """A map of the form h <- rho(W h + U x + b); a subclass names the parameters."""

    @abstractmethod
    def affine(self) -> Affine:
        """Return the form."""

    @property
    @final
    def state_dim(self) -> int:
        """Return n."""
        return int(self.affine().W.shape[0])

    @property
    @final
    def input_dim(self) -> int:
        """Return m."""
        return int(self.affine().U.shape[1])

    @final
    def step(self, h: Array, x: Array) -> Array:
        """Return rho(W h + U x + b)."""
        return self.affine().rho(self._preactivation(h, x))

    def _preactivation(self, h: Array, x: Array) -> Array:
        form = self.affine()
        if np.shape(h)[-1:] != (self.state_dim,) or np.shape(x)[-1:] != (self.input_dim,):
            raise ValueError(
                f"h has shape {np.shape(h)} and x has shape {np.shape(x)}, needed "
                f"(..., {self.state_dim}) and (..., {self.input_dim})"
            )
        result: Array = h @ form.W.T + x @ form.U.T + form.b
        return result

    @final
    def jacobian_state(self, h: Array, x: Array) -> Array:
        """Return diag(rho'(a)) W."""
        form = self.affine()
        return form.rho.derivative(self._preactivation(h, x))[..., None] * form.W

    @final
    def jacobian_input(self, h: Array, x: Array) -> Array:
        """Return diag(rho'(a)) U."""
        form = self.affine()
        return form.rho.derivative(self._preactivation(h, x))[..., None] * form.U

    @final
    def input_terms(self, X: Array) -> Array:
        """Return U x + b for every input."""
        form = self.affine()
        terms: Array = X @ form.U.T
        terms += form.b
        if not np.isfinite(terms).all():
            raise DivergedError(
                "U x + b left the range of double precision; scale the inputs or U down"
            )
        return terms

    @final
    def advance(self, h: Array, terms: Array, out: Array | None = None) -> Array:
        """Return rho(W h + terms)."""
        form = self.affine()
        result: Array = np.matmul(h, form.W.T, out=out)
        result += terms
        return form.rho.in_place(result)

    @final
    def step_error(self, h_size: Array, x_size: Array) -> Array:
        """Bound the rounding error of rho(W h + U x + b), entrywise; see `rounded_step`."""
        return self.rounded_step(Rounded.exact(h_size), Rounded.exact(x_size)).error

    @final
    def rounded_step(self, h: Rounded, x: Rounded) -> Rounded:
        r"""Return size and rounding error of rho(W h + U x + b).

        The pre-activation a is a sum of n + m + 1 products, so its error e obeys
        `inner_product_error`; then |rho(a + e) - rho(a)| <= L e, and rho itself is computed to
        `Activation.units` u relative to its value, |rho| <= min(range, |rho(0)| + L |a|).
        """
        form = self.affine()
        rho = form.rho
        return h.affine(form.W, form.b, (form.U, x)).through(*rho.facts)

    @final
    def input_lipschitz(self, norm: Norm) -> float:
        r"""Return L_x = L ||U||.

        |rho(a) - rho(a')| <= L |a - a'| entrywise and the norm is monotone.  If it is not, the
        bound is taken in L2 and converted by a constant.
        """
        form = self.affine()
        L = form.rho.lipschitz
        if norm.monotone:
            return product_up(L, norm.matrix_upper(form.U, norm.companion))
        plain = product_up(L, L2().matrix_upper(form.U))
        return product_up(over(norm, L2(), form.U.shape[0]), plain)

    def _preactivation_range(self, domain: Domain) -> Interval:
        form = self.affine()
        return sum_of(
            affine_image(form.W, domain.low, domain.high, form.b),
            affine_image(form.U, domain.input_low, domain.input_high),
        )

    @final
    def slopes(self, domain: Domain | None = None) -> Interval:
        """Enclose the slopes of each unit's activation on a domain, by default everywhere: (n,)."""
        rho = self.affine().rho
        if domain is None:
            return np.full(self.state_dim, rho.slope[0]), np.full(self.state_dim, rho.slope[1])
        return slope_range(rho, *self._preactivation_range(domain))

    @final
    def affine_on(self, domain: Domain | None) -> Affine:
        """Return the form with the slopes that its units take on a domain."""
        form = self.affine()
        if domain is None:
            return form
        return replace(form, domain=domain, restricted=self.slopes(domain))

    @final
    def state_lipschitz(self, norm: Norm, domain: Domain | None = None) -> float:
        """Return the norm of diag(s) W, s the largest slopes; in L2 if the norm is not monotone."""
        form = self.affine_on(domain)
        if norm.monotone or form.linear:
            return scaled_matrix_upper(norm, form.steepest, form.W)
        n = len(form.W)
        constant = product_up(over(norm, L2(), n), over(L2(), norm, n))
        return product_up(constant, scaled_matrix_upper(L2(), form.steepest, form.W))

    @final
    def image(self, domain: Domain) -> Interval:
        """Enclose rho over the range of the pre-activations."""
        return activation_image(self.affine().rho, *self._preactivation_range(domain))

    @final
    def candidate_box(self, input_low: Array, input_high: Array) -> Interval | None:
        r"""Return the range of rho or, where that is not bounded, a multiple of a fixed point.

        With s the least upper bound of |step(0, x)| entrywise and M = L |W|, every state obeys
        |h+| <= s + M |h|, so the box r = (I - M)^-1 s is invariant if the radius of M is below 1.
        """
        form = self.affine()
        if all(np.isfinite(form.rho.range)):
            n = self.state_dim
            return np.full(n, form.rho.range[0]), np.full(n, form.rho.range[1])
        rest = Domain(
            low=np.zeros(self.state_dim),
            high=np.zeros(self.state_dim),
            input_low=input_low,
            input_high=input_high,
        )
        start = np.maximum(*(np.abs(end) for end in self.image(rest)))
        return fixed_box(form.rho.lipschitz * np.abs(form.W), start)

    @final
    def comparison(self, domain: Domain | None = None) -> tuple[Array, ...]:
        """Return diag(s) |W|, s the largest slopes."""
        return (times_up(self._largest_slopes(domain)[:, None], np.abs(self.affine().W)),)

    @final
    def input_comparison(self, domain: Domain | None = None) -> Array:
        """Return diag(s) |U|, s the largest slopes."""
        return times_up(self._largest_slopes(domain)[:, None], np.abs(self.affine().U))

    def _largest_slopes(self, domain: Domain | None) -> Array:
        largest: Array = np.maximum(*(np.abs(end) for end in self.slopes(domain)))
        return largest

    @final
    def _run(self, X: Array, h0: Array) -> Array:
        from theory.kernels.affine import run

        return run(self.affine(), self.input_terms(X), h0)


def check_map(recurrent: Any) -> Map:
    """Raise `ValueError` for anything but a map."""
    if not isinstance(recurrent, Map):
        raise ValueError(
            f"received {recurrent!r}, needed a Map; wrap your own function: "
            "theory.CallableMap(step, state_dim=n, input_dim=m)"
        )
    return recurrent


def fixed_box(M: Array, start: Array) -> Interval | None:
    """Return -r, r with r = (I - M)^-1 s, a little wider; None if M has not a radius below 1."""
    if not (np.isfinite(start).all() and np.isfinite(M).all()):
        return None
    if not np.max(np.abs(np.linalg.eigvals(M))) < 1:
        return None
    # widened a little, so that the outward-rounded image fits; a zero stays narrow
    r = np.asarray(np.linalg.solve(np.eye(len(M)) - M, start * (1 + 2.0**-20) + 2.0**-500))
    return -r, r


def check_finite_states(states: Array) -> None:
    """Raise `DivergedError` at the first state that is not finite; states is (batch, T, n)."""
    if not np.isfinite(states).all():
        bad = ~np.isfinite(states).all(axis=-1)
        sequence, t = (int(i) for i in np.argwhere(bad)[0])
        raise DivergedError(
            f"the state left the range of double precision at step {t + 1} of sequence {sequence}; "
            "the map is unstable on these inputs: scale the recurrent weights down"
        )


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
