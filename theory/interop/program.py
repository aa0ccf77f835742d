r"""What recipes need of another program, and words for what they do with it.

Main names: `Program`, `Numbers`, `Words`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.arithmetic.activations import Activation

#: Beyond it exp(-s) is less than what s, or 1, is rounded by in double precision: 37 would do.
_FAR = 40.0


class Program(ABC):
    """What a recipe needs of a program: values, and operations on them along the last axis."""

    @abstractmethod
    def constant(self, array: Any) -> Any:
        """Return an array as a value."""

    @abstractmethod
    def two(self, name: str, a: Any, b: Any) -> Any:
        """Return add, sub, mul, div, maximum or minimum of two values."""

    @abstractmethod
    def one(self, name: str, a: Any) -> Any:
        """Return sigmoid, tanh, exp, log, sqrt, abs, sin or erf of a value; softmax."""

    @abstractmethod
    def chosen(self, test: Any, a: Any, b: Any) -> Any:
        """Return a where the test is above 0, and b elsewhere."""

    @abstractmethod
    def linear(self, x: Any, W: Any) -> Any:
        """Return x W^T."""

    @abstractmethod
    def rows(self, W: Any, first: int, last: int) -> Any:
        """Return some rows of a matrix or entries of a vector."""

    @abstractmethod
    def flat(self, W: Any) -> Any:
        """Return the entries of a matrix, row by row."""

    @abstractmethod
    def part(self, x: Any, first: int, last: int) -> Any:
        """Return some entries along the last axis."""

    @abstractmethod
    def joined(self, parts: Sequence[Any]) -> Any:
        """Return values one after another along the last axis."""


@final
class Numbers(Program):
    """Arrays of NumPy, of one type."""

    def __init__(self, dtype: npt.DTypeLike = np.float64) -> None:
        self.dtype = dtype

    def constant(self, array: Any) -> Any:
        """Return the array in that type."""
        return np.asarray(array, dtype=self.dtype)

    def two(self, name: str, a: Any, b: Any) -> Any:
        """Return an operation of two arrays."""
        return getattr(np, {"sub": "subtract", "mul": "multiply", "div": "divide"}.get(name, name))(
            a, b
        )

    def one(self, name: str, a: Any) -> Any:
        """Return an operation of an array."""
        if name in {"erf", "softmax"}:
            import scipy.special

            return scipy.special.erf(a) if name == "erf" else scipy.special.softmax(a, axis=-1)
        return 1.0 / (1.0 + np.exp(-a)) if name == "sigmoid" else getattr(np, name)(a)

    def chosen(self, test: Any, a: Any, b: Any) -> Any:
        """Return entries of both."""
        return np.where(test > 0.0, a, b)

    def linear(self, x: Any, W: Any) -> Any:
        """Return x W^T."""
        return x @ W.T

    def rows(self, W: Any, first: int, last: int) -> Any:
        """Return rows."""
        return W[first:last]

    def flat(self, W: Any) -> Any:
        """Return the entries row by row."""
        return W.reshape(-1)

    def part(self, x: Any, first: int, last: int) -> Any:
        """Return entries."""
        return x[..., first:last]

    def joined(self, parts: Sequence[Any]) -> Any:
        """Return arrays one after another."""
        return np.concatenate(parts, axis=-1)


@final
class Words:
    """A program with short words for what recipes do."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.linear, self.rows = program.linear, program.rows
        self.part, self.joined = program.part, program.joined

    def number(self, value: float) -> Any:
        """Return a number as a value."""
        return self.program.constant(np.array(value))

    def add(self, *terms: Any) -> Any:
        """Return the sum, from the left."""
        total = terms[0]
        for term in terms[1:]:
            total = self.program.two("add", total, term)
        return total

    def mul(self, *factors: Any) -> Any:
        """Return the product, from the left."""
        total = factors[0]
        for factor in factors[1:]:
            total = self.program.two("mul", total, factor)
        return total

    def minus(self, a: Any, b: Any) -> Any:
        """Return a - b."""
        return self.program.two("sub", a, b)

    def rest(self, a: Any) -> Any:
        """Return 1 - a."""
        return self.minus(self.number(1.0), a)

    def one(self, name: str, a: Any) -> Any:
        """Return an operation of a value."""
        return self.program.one(name, a)

    def softplus(self, a: Any) -> Any:
        """Return max(a, 0) + log(1 + exp(-|a|))."""
        small = self.one("exp", self.minus(self.number(0.0), self.one("abs", a)))
        above = self.program.two("maximum", a, self.number(0.0))
        return self.add(above, self.log1p(small))

    def log1p(self, a: Any) -> Any:
        """Return log(1 + a) for a in [0, 1], to a few units of it.

        What 1 + a is rounded by is known without an error, and log(u + c) = log(u) + c / u up to
        c^2 / 2, a unit of log(1 + a) at most.
        """
        u = self.add(self.number(1.0), a)
        c = self.minus(a, self.minus(u, self.number(1.0)))
        return self.add(self.one("log", u), self.program.two("div", c, u))

    def gone(self, s: Any) -> Any:
        """Return 1 - exp(-s) for s >= 0, to a few units of it.

        Kahan's quotient: (1 - u) / -log(u) is nearly 1 for u near 1, so that it does not matter
        what u = exp(-s) is rounded by; s itself where that is 1.
        """
        two, zero = self.program.two, self.number(0.0)
        s = two("minimum", s, self.number(_FAR))
        u = self.one("exp", self.minus(zero, s))
        v = self.rest(u)
        # slopes are numbers in both: no quotient has the divisor 0
        divisor = self.program.chosen(v, self.minus(zero, self.one("log", u)), self.number(1.0))
        return self.program.chosen(v, self.mul(s, two("div", v, divisor)), s)

    def applied(self, rho: Activation, a: Any) -> Any:
        """Return the activation of a value."""
        if rho.name == "identity":
            return a
        if rho.name in {"tanh", "sigmoid", "sin"}:
            return self.one(rho.name, a)
        if rho.name == "softplus":
            return self.softplus(a)
        two, zero = self.program.two, self.number(0.0)
        if rho.name == "relu":
            return two("maximum", a, zero)
        if rho.name == "hard_tanh":
            return two("minimum", two("maximum", a, self.number(-1.0)), self.number(1.0))
        if rho.name.startswith("leaky_relu"):
            below = self.mul(self.number(rho.leak), two("minimum", a, zero))
            return self.add(two("maximum", a, zero), below)
        raise ValueError(f"the activation {rho.name} is written for no other program yet")
