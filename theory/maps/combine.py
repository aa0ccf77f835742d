r"""Functions made of functions: sums, products, chains.

Main names: `Sum`, `Product`, `Concatenate`, `Chain`.

A residual branch is ``Sum([Select(0, stop=n, size=n), f])``, a gated linear unit
``Product([f, g])``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self, final

import numpy as np

from theory.arithmetic.intervals import (
    Interval,
    plus_up,
    product_matrix_up,
    products,
    sum_of,
    times_up,
)
from theory.arithmetic.rounded import Rounded
from theory.arithmetic.rounding import up
from theory.arithmetic.zonotopes import Zonotope, combination, product, stacked
from theory.maps.boxes.ends import magnitude
from theory.maps.boxes.reached import EXCESS
from theory.maps.functions import Dense, Function
from theory.maps.normalize import Normalize
from theory.typing import Array


def carried(
    functions: Sequence[Function], z: Zonotope, box: Interval
) -> list[tuple[Zonotope, Interval]]:
    """Return what each function makes of a zonotope in a box, and the ends of that."""
    found = []
    for f in functions:
        form = f.carry(z, box)
        found.append((form, form.clipped(*f.image(box))))
    return found


class _Several(Function):
    """What functions of one input make together."""

    def __init__(self, functions: Sequence[Function]) -> None:
        self.functions = tuple(functions)
        if not self.functions or not all(isinstance(f, Function) for f in self.functions):
            raise ValueError(f"functions={functions!r}, needed at least one Function")
        self._check()

    def _check(self) -> None:
        widths = {f.input_dim for f in self.functions}
        if len(widths) > 1:
            raise ValueError(f"the functions take {sorted(widths)} entries, needed as many each")

    @final
    def image(self, box: Interval) -> Interval:
        """Enclose what they make together over a box."""
        return self.enclosed(box)[0]

    @final
    def slopes(self, box: Interval) -> Array:
        """Return the slopes of what they make together over a box."""
        return self.enclosed(box)[1]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self.functions)!r})"

    @abstractmethod
    def enclosed(self, box: Interval) -> tuple[Interval, Array]:
        """Return both."""

    @property
    def arrays(self) -> Mapping[str, Array]:
        """Return those of all functions, as ``"0.W"`` and so on."""
        return {
            f"{number}.{name}": value
            for number, f in enumerate(self.functions)
            for name, value in f.arrays.items()
        }

    def with_arrays(self, arrays: Mapping[str, Any]) -> Self:
        """Return the same of other arrays."""
        return type(self)(
            [
                f.with_arrays({name: arrays[f"{number}.{name}"] for name in f.arrays})
                for number, f in enumerate(self.functions)
            ]
        )

    @property
    def input_dim(self) -> int:
        """Return the number of entries that all of them take."""
        return self.functions[0].input_dim


class _Entrywise(_Several):
    """What is added or multiplied entry by entry."""

    def _check(self) -> None:
        super()._check()
        widths = {f.output_dim for f in self.functions}
        if len(widths) > 1:
            raise ValueError(f"the functions give {sorted(widths)} entries, needed as many each")

    @property
    def output_dim(self) -> int:
        """Return the number of entries that each of them gives."""
        return self.functions[0].output_dim


@final
class Sum(_Entrywise):
    """The sum of functions, such as a residual branch and the stream.

    Parameters
    ----------
    functions : sequence of Function
        Of one input, with outputs of one width.

    Raises
    ------
    ValueError
        If there is none, or the widths differ.
    """

    def __call__(self, x: Array) -> Array:
        """Return the sum."""
        return sum((f(x) for f in self.functions[1:]), self.functions[0](x))

    def jacobian(self, x: Array) -> Array:
        """Return the sum of the Jacobians."""
        return sum((f.jacobian(x) for f in self.functions[1:]), self.functions[0].jacobian(x))

    def enclosed(self, box: Interval) -> tuple[Interval, Array]:
        """Return the sums, the functions taken as independent."""
        images, slopes = zip(*(f.enclosed(box) for f in self.functions), strict=True)
        return sum_of(*images), plus_up(*slopes)

    def carry(self, z: Zonotope, box: Interval) -> Zonotope:
        """Return the sum of the forms."""
        one = np.ones(self.output_dim)
        return combination([(one, f.carry(z, box)) for f in self.functions])

    def rounded(self, x: Rounded) -> Rounded:
        """Return size and rounding error of the sum."""
        first, *rest = (f.rounded(x) for f in self.functions)
        for one in rest:
            first = first + one
        return first


@final
class Product(_Entrywise):
    """The product of functions, entry by entry: a gated linear unit.

    Parameters
    ----------
    functions : sequence of Function
        Of one input, with outputs of one width.

    Raises
    ------
    ValueError
        If there is none, or the widths differ.
    """

    def __call__(self, x: Array) -> Array:
        """Return the product."""
        result = self.functions[0](x)
        for f in self.functions[1:]:
            result = result * f(x)
        return result

    def jacobian(self, x: Array) -> Array:
        """Return the sum over the functions of the others' product times their Jacobian."""
        values = [f(x) for f in self.functions]
        total: Any = 0.0
        for i, f in enumerate(self.functions):
            others = np.ones_like(values[i])
            for j, value in enumerate(values):
                others = others * value if j != i else others
            total = total + others[..., None] * f.jacobian(x)
        return np.asarray(total)

    def enclosed(self, box: Interval) -> tuple[Interval, Array]:
        """Return the product, the functions taken as independent, and the differences by factor.

        These are the slopes of each function times the sizes of the others.
        """
        images, slopes = zip(*(f.enclosed(box) for f in self.functions), strict=True)
        whole, parts = images[0], []
        for other in images[1:]:
            whole = products(whole, other)
        sizes = [magnitude(image) for image in images]
        for i, own in enumerate(slopes):
            others = np.ones(self.output_dim)
            for j, size in enumerate(sizes):
                others = times_up(others, size) if j != i else others
            parts.append(times_up(others[:, None], own))
        return whole, plus_up(*parts)

    def carry(self, z: Zonotope, box: Interval) -> Zonotope:
        """Return the product of the forms."""
        (whole, at), *others = carried(self.functions, z, box)
        for form, own in others:
            whole, at = product(whole, form, at, own), products(at, own)
        return whole

    def rounded(self, x: Rounded) -> Rounded:
        """Return size and rounding error of the product."""
        first, *rest = (f.rounded(x) for f in self.functions)
        for one in rest:
            first = first * one
        return first


@final
class Concatenate(_Several):
    """The outputs of functions side by side.

    Parameters
    ----------
    functions : sequence of Function
        Of one input.

    Raises
    ------
    ValueError
        If there is none, or they take inputs of several widths.
    """

    @property
    def output_dim(self) -> int:
        """Return the sum of the widths."""
        return sum(f.output_dim for f in self.functions)

    def __call__(self, x: Array) -> Array:
        """Return all outputs."""
        return np.concatenate([f(x) for f in self.functions], axis=-1)

    def jacobian(self, x: Array) -> Array:
        """Return the Jacobians one below the other."""
        return np.concatenate([f.jacobian(x) for f in self.functions], axis=-2)

    def enclosed(self, box: Interval) -> tuple[Interval, Array]:
        """Return the boxes side by side, and the slopes one below the other."""
        images, slopes = zip(*(f.enclosed(box) for f in self.functions), strict=True)
        low, high = zip(*images, strict=True)
        return (np.concatenate(low), np.concatenate(high)), np.vstack(slopes)

    def carry(self, z: Zonotope, box: Interval) -> Zonotope:
        """Return the forms side by side."""
        return stacked(*(f.carry(z, box) for f in self.functions))

    def rounded(self, x: Rounded) -> Rounded:
        """Return sizes and rounding errors of all outputs."""
        parts = [f.rounded(x) for f in self.functions]
        sizes, errors = zip(*((p.size, p.error) for p in parts), strict=True)
        return x.of(np.concatenate(sizes), np.concatenate(errors))


@final
class Chain(_Several):
    """Functions one after the other.

    Parameters
    ----------
    functions : sequence of Function
        The first is applied first; each takes what the one before gives.

    Raises
    ------
    ValueError
        If there is none, or a width does not fit.
    """

    def _check(self) -> None:
        for number, f in enumerate(self.functions[1:]):
            before = self.functions[number]
            if f.input_dim != before.output_dim:
                raise ValueError(
                    f"function {number} gives {before.output_dim} entries, but function "
                    f"{number + 1} takes {f.input_dim}"
                )

    @property
    def output_dim(self) -> int:
        """Return the width of the last."""
        return self.functions[-1].output_dim

    def __call__(self, x: Array) -> Array:
        """Return what the last one gives."""
        for f in self.functions:
            x = f(x)
        return x

    def jacobian(self, x: Array) -> Array:
        """Return the product of the Jacobians."""
        J: Any = None
        for f in self.functions:
            own = f.jacobian(x)
            J = own if J is None else own @ J
            x = f(x)
        return np.asarray(J)

    def _steps(self, box: Interval) -> Iterator[tuple[Function, Interval, Array]]:
        """Yield each function with its slopes, and the box of what it takes.

        Of a `Dense` behind a `Normalize` both bounds are met: the box, and the length of its input.
        """
        before: Function | None = None
        for f in self.functions:
            (low, high), slopes = f.enclosed(box)
            yield f, box, slopes
            if isinstance(f, Dense) and isinstance(before, Normalize):
                ball = before.through(f.W, f.b)
                low, high = np.maximum(low, ball[0]), np.minimum(high, ball[1])
            box, before = (low, high), f
        yield self, box, np.zeros((0, 0))

    def enclosed(self, box: Interval) -> tuple[Interval, Array]:
        """Return the box of what the last one gives, and the product of the slopes."""
        *steps, (_, last, _) = self._steps(box)
        G = steps[0][2]
        for _, _, own in steps[1:]:
            G = product_matrix_up(own, G)
        return last, G

    def carry(self, z: Zonotope, box: Interval) -> Zonotope:
        """Return what the last one makes of the forms, met with the boxes on the way."""
        before: Function | None = None
        for f in self.functions:
            ((form, at),) = carried([f], z, box)
            if isinstance(f, Dense) and isinstance(before, Normalize):
                ball = before.through(f.W, f.b)
                at = np.maximum(at[0], ball[0]), np.minimum(at[1], ball[1])
            z, box, before = form.within(*at, EXCESS), at, f
        return z

    def lipschitz(self, box: Interval) -> float:
        """Return the product of the constants, or what the slopes say if that is smaller."""
        total = 1.0
        for f, at, _ in list(self._steps(box))[:-1]:
            total = up(total * f.lipschitz(at))
        return min(total, super().lipschitz(box))

    def rounded(self, x: Rounded) -> Rounded:
        """Return size and rounding error of what the last one gives."""
        for f in self.functions:
            x = f.rounded(x)
        return x
