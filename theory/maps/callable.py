r"""A map given by the user's own function.

Main name: `CallableMap`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import final

import numpy as np

from theory.arithmetic.rounding import UNIT, product_up
from theory.errors import as_array, check_count, check_nonnegative, plain_array
from theory.maps.base import Map, read_only, simulate_by_steps
from theory.maps.form import Affine
from theory.norms.norms import L2, Norm, over
from theory.typing import Array

#: The unit roundoff of a floating-point type, in units of that of double precision.
_UNITS = {"float64": 1.0, "float32": 2.0**29, "float16": 2.0**42, "bfloat16": 2.0**45}
#: Of the types of 8 bits, the coarsest has two of them behind the point.
_UNITS["float8"] = 2.0**50


@final
class CallableMap(Map):
    r"""The map h <- step(h, x) of a user's function.

    Parameters
    ----------
    step : callable
        Takes h of shape (n,) and x of shape (m,), returns the next state, (n,).  It receives copies
        and may return the same buffer each time: what it returns is copied.  If it also accepts h
        of shape (batch, n) and x of shape (batch, m), pass ``vectorized=True``.
    state_dim, input_dim : int
        n and m.
    vectorized : bool
        Whether `step` accepts leading axes; runs are then advanced together.
    input_lipschitz : float, optional
        A bound of L_x, if one is known, from the companion of `lipschitz_norm` to it.
    lipschitz_norm : Norm, optional
        The norm of that bound, `L2` by default; for other norms it is converted.
    rounding_units : float, optional
        The *assumed* accuracy of one step in units of u = 2**-53, relative to the largest of
        |h|, |x| and |step(h, x)|.  By default 4 (n + m + 16) units of the coarsest type that a
        step has returned so far, see `precision`: what an affine step followed by an elementary
        function has when |W|, |U| and |b| have entries below 1.  It enters only the rounding budget
        of verdicts.

    Raises
    ------
    ValueError
        If a dimension is not a positive integer, or the function returns something else than n
        finite numbers.

    Examples
    --------
    >>> import numpy as np
    >>> half = CallableMap(lambda h, x: 0.5 * h + x, state_dim=1, input_dim=1)
    >>> half.simulate(np.ones((2, 1))).tolist()
    [[1.0], [1.5]]
    """

    def __init__(
        self,
        step: Callable[[Array, Array], Array],
        state_dim: int,
        input_dim: int,
        *,
        vectorized: bool = False,
        input_lipschitz: float | None = None,
        lipschitz_norm: Norm | None = None,
        rounding_units: float | None = None,
    ) -> None:
        if not callable(step):
            raise ValueError(f"step={step!r} is not callable, needed a function (h, x) -> state")
        check_count(at_least=1, state_dim=state_dim, input_dim=input_dim)
        if input_lipschitz is not None:
            check_nonnegative(input_lipschitz=input_lipschitz)
        if rounding_units is not None:
            check_nonnegative(rounding_units=rounding_units)
        self._step = step
        self._n = int(state_dim)
        self._m = int(input_dim)
        self._vectorized = vectorized
        self._input_lipschitz = input_lipschitz
        self._lipschitz_norm = L2() if lipschitz_norm is None else lipschitz_norm
        self._lipschitz_norm.check_dim(int(state_dim))
        self._units = rounding_units
        self._precision = "float64"

    @property
    def state_dim(self) -> int:
        """Return n."""
        return self._n

    @property
    def input_dim(self) -> int:
        """Return m."""
        return self._m

    @property
    def parameters(self) -> Mapping[str, Array]:
        """Return nothing: the function keeps its own parameters."""
        return read_only()

    @property
    def vectorized(self) -> bool:
        """Return whether the function takes batches; else they are made of single steps."""
        return self._vectorized

    @property
    def precision(self) -> str:
        """Return the name of the coarsest floating-point type that a step has returned so far."""
        return self._precision

    def step(self, h: Array, x: Array) -> Array:
        """Return the user's function at (h, x), checked."""
        leading = np.broadcast_shapes(np.shape(h)[:-1], np.shape(x)[:-1])
        if self._vectorized or not leading:
            return self._checked(self._step(np.array(h), np.array(x)), (*leading, self._n))
        states = np.broadcast_to(h, (*leading, self._n)).reshape(-1, self._n)
        inputs = np.broadcast_to(x, (*leading, self._m)).reshape(-1, self._m)
        rows = [
            self._checked(self._step(a.copy(), b.copy()), (self._n,))
            for a, b in zip(states, inputs, strict=True)
        ]
        return np.array(rows).reshape(*leading, self._n)

    def _checked(self, value: Array, shape: tuple[int, ...]) -> Array:
        array = plain_array("the state returned by step", value)
        for holder in (value, array):
            # the types of NumPy, PyTorch and JAX end in the same names
            kind = str(getattr(holder, "dtype", "")).rpartition(".")[2].partition("_")[0]
            if _UNITS.get(kind, 0.0) > _UNITS[self._precision]:
                self._precision = kind
        result = np.array(as_array("the state returned by step", array))
        if result.shape != shape:
            hint = "h has shape (n,) and x has shape (m,)"
            if self._vectorized:
                hint = (
                    "with vectorized=True h has shape (batch, n) and x has shape (batch, m), too; "
                    "leave it out for a step of one state at a time"
                )
            hint = f"; {hint}"
            raise ValueError(f"step returned shape {result.shape}, needed {shape}{hint}")
        return result

    def jacobian_state(self, h: Array, x: Array) -> Array:
        """Return central differences in h (not exact: of order 1e-10 relative)."""
        return self._differences(h, x, in_state=True)

    def jacobian_input(self, h: Array, x: Array) -> Array:
        """Return central differences in x (not exact: of order 1e-10 relative)."""
        return self._differences(h, x, in_state=False)

    def _differences(self, h: Array, x: Array, *, in_state: bool) -> Array:
        # a central difference with spacing s errs by O(s**2) + O(u / s): least at s = u**(1/3)
        around = h if in_state else x
        size = around.shape[-1]
        spacing = UNIT ** (1 / 3) * np.maximum(1.0, np.max(np.abs(around), axis=-1, keepdims=True))
        columns = []
        for j in range(size):
            shift = spacing * np.eye(size)[j]
            ahead, behind = around + shift, around - shift
            width = (ahead - behind)[..., j : j + 1]
            if in_state:
                columns.append((self.step(ahead, x) - self.step(behind, x)) / width)
            else:
                columns.append((self.step(h, ahead) - self.step(h, behind)) / width)
        return np.stack(columns, axis=-1)

    def affine(self) -> Affine | None:
        """Return None: nothing is known of the function."""
        return None

    def input_terms(self, X: Array) -> Array:
        """Return the inputs themselves."""
        return X

    def advance(self, h: Array, terms: Array, out: Array | None = None) -> Array:
        """Return ``step(h, terms)``."""
        result = self.step(h, terms)
        if out is None:
            return result
        out[...] = result
        return out

    def step_error(self, h_size: Array, x_size: Array) -> Array:
        """Return the assumed rounding of one step, relative to the largest entry."""
        largest = max(float(np.max(h_size)), float(np.max(x_size)), 1.0)
        unit = self._units
        if unit is None:
            unit = 4.0 * (self._n + self._m + 16) * _UNITS[self._precision]
        return np.full(self._n, unit * UNIT * largest)

    def input_lipschitz(self, norm: Norm) -> float | None:
        """Return what was given when the map was made, converted to the norm in question."""
        given, known = self._input_lipschitz, self._lipschitz_norm
        if given is None:
            return None
        outward = product_up(over(norm, known, n=self._n), given)
        return product_up(outward, over(known.companion, norm.companion, n=self._m))

    def _run(self, X: Array, h0: Array) -> Array:
        return simulate_by_steps(self, X, h0)

    def __repr__(self) -> str:
        name = getattr(self._step, "__name__", type(self._step).__name__)
        return f"CallableMap({name}, state_dim={self._n}, input_dim={self._m})"
