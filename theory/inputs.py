r"""Which inputs are meant: a set of vectors x, said once and carried with what is computed from it.

Main names: `Inputs`, `Drive`, `as_inputs`, `read_inputs`.

A number alone does not say it: |x_i| <= 1 for every entry allows vectors of Euclidean length
sqrt(m).  So functions take `Inputs`, and what they compute says for which inputs and in which norm
it holds.  Every enclosure below is rounded outward, and infinite ends are legal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.arithmetic.intervals import affine_image, times_up
from theory.arithmetic.rounding import decimal_up, inner_product_error, product_up, up
from theory.errors import as_array, check_nonnegative, plain_array
from theory.files.sequences import Sequences, load_sequences
from theory.files.stored import StoredSequences
from theory.norms.norm import check_norm
from theory.norms.norms import L1, L2, Linf, Norm, over
from theory.shown import shown
from theory.typing import Array

#: Intervals of a box that are written out one by one; longer boxes are told by their largest end.
_SHOWN = 4

#: Ends of states with more characters than this are rounded.
_DIGITS = 8

#: How far inside a ball `Inputs.near` looks, relatively: `contains` decides in the end.
_INSIDE = 2.0**-40


@shown
@final
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Inputs:
    r"""A set of inputs; made by `box`, `ball`, `any_of` or `seen`.

    It is the intersection of a box with balls, or a finite set of vectors.  Scalar ends make a set
    in every dimension; the dimension is then that of the map it is used with.

    Examples
    --------
    >>> str(Inputs.box(-1, 1)), str(Inputs.ball(1)), str(Inputs.any_of([[0.0, 1.0], [1.0, 0.0]]))
    ('|x_i| <= 1', '|x|_2 <= 1', '2 given inputs')
    >>> Inputs.ball(1).within(Inputs.box(-1, 1), 16), Inputs.box(-1, 1).within(Inputs.ball(1), 16)
    (True, False)
    """

    low: Array  # least entries, () or (m,), -inf allowed
    high: Array  # largest entries, () or (m,), inf allowed
    balls: tuple[tuple[Norm, float], ...] = ()  # ||x|| <= radius, for every pair
    rows: Array | None = None  # the vectors of a finite set, (N, m)
    name: str = ""  # how it is told, where that is not from the fields

    def __post_init__(self) -> None:
        for name in ("low", "high", "rows"):
            value = getattr(self, name)
            if value is not None:
                copy = np.array(value, dtype=np.float64)
                copy.flags.writeable = False
                object.__setattr__(self, name, copy)
        if self.low.shape != self.high.shape or self.low.ndim > 1 or self.low.size == 0:
            raise ValueError(
                f"low has shape {self.low.shape} and high {self.high.shape}, needed numbers or "
                "vectors of one length"
            )
        bad = ~(self.low <= self.high) | (self.low == np.inf) | (self.high == -np.inf)
        if bool(np.any(bad)):
            i = int(np.argmax(bad))
            raise ValueError(
                f"low={np.ravel(self.low)[i]} and high={np.ravel(self.high)[i]} at input {i}, "
                "needed low <= high; were they exchanged?"
            )

    @classmethod
    def box(cls, low: npt.ArrayLike, high: npt.ArrayLike) -> Inputs:
        """Return the inputs with low <= x <= high, entry by entry.

        Parameters
        ----------
        low, high : float or (m,) array
            -inf and inf are allowed; numbers stand for every entry, in every dimension.

        Raises
        ------
        ValueError
            If an end is NaN, or the ends are in the wrong order or not of one length.
        """
        ends = _end("low", low), _end("high", high)
        if ends[0].ndim != ends[1].ndim:
            shape = max((end.shape for end in ends), key=len)
            ends = np.broadcast_to(ends[0], shape), np.broadcast_to(ends[1], shape)
        return cls(low=ends[0], high=ends[1])

    @classmethod
    def ball(cls, radius: float, norm: Norm | None = None) -> Inputs:
        """Return the inputs with ||x|| <= radius.

        Parameters
        ----------
        radius : float
        norm : Norm, optional
            `L2` by default.

        Raises
        ------
        ValueError
            If the radius is negative or not finite, or the norm is none.
        """
        r = float(as_array("radius", radius, ndim=0))
        check_nonnegative(radius=r)
        measure = L2() if norm is None else check_norm(norm)
        # a plain norm is at least the largest entry, in every dimension
        high = np.array(r)
        if measure.dim is not None:
            reach = measure.reach_upper(measure.dim).tolist()
            high = np.array([product_up(entry, r) for entry in reach])
        elif not measure.plain:
            high = np.array(np.inf)
        return cls(low=-high, high=high, balls=((measure, r),))

    @classmethod
    def any_of(cls, rows: npt.ArrayLike) -> Inputs:
        """Return a finite set of inputs, such as the embeddings of all tokens.

        Parameters
        ----------
        rows : (..., m) array
            One vector a row; the largest value of anything is then taken over these, one by one.

        Raises
        ------
        ValueError
            If a number is not finite.
        """
        X = as_array("rows", rows)
        if X.ndim == 0 or X.shape[-1] == 0:
            raise ValueError(f"rows has shape {X.shape}, needed (..., m)")
        X = X.reshape(-1, X.shape[-1])
        zero = np.zeros(X.shape[1])
        # an empty set is in every box
        low, high = (np.min(X, axis=0), np.max(X, axis=0)) if len(X) else (zero, zero)
        return cls(low=low, high=high, rows=X)

    @classmethod
    def seen(cls, X: Any, widened: float = 0.0) -> Inputs:
        """Return all inputs that no entry and no size tells from those of given sequences.

        Entry by entry they lie between the least and the largest that was seen, and in `L1` and
        `L2` they are no larger than the largest: unlike `any_of`, it holds what lies in between.

        Parameters
        ----------
        X : (..., m) array, list of arrays (T, m), Sequences, or StoredSequences
            What `theory.files.open_sequences` leaves on the disk is read one by one.
        widened : float
            By which share of the largest entry, and of the largest size, it is made wider.

        Raises
        ------
        ValueError
            If there is no input, a number is not finite, or `widened` is negative.
        """
        check_nonnegative(widened=widened)
        norms: tuple[Norm, ...] = (L1(), L2())
        count, low, high, sizes = 0, np.array(np.inf), np.array(-np.inf), [0.0, 0.0]
        for rows in _pieces("X", X):
            if len(rows):
                count += len(rows)
                low, high = np.minimum(low, rows.min(axis=0)), np.maximum(high, rows.max(axis=0))
                sizes = [
                    max(size, float(np.max(norm.vector_upper(rows))))
                    for norm, size in zip(norms, sizes, strict=True)
                ]
        if count == 0:
            raise ValueError("X holds no input, needed at least one input")
        share = float(widened)
        if share > 0:
            more = times_up(np.maximum(np.abs(low), np.abs(high)), share)
            with np.errstate(over="ignore"):
                low = np.where(more > 0, np.nextafter(low - more, -np.inf), low)
                high = np.where(more > 0, np.nextafter(high + more, np.inf), high)
        balls = tuple(
            (norm, product_up(size, up(1 + share) if share else 1.0))
            for norm, size in zip(norms, sizes, strict=True)
        )
        if not all(np.isfinite(radius) for _, radius in balls):
            balls = ()
        told = "like" if share == 0 else f"within {_told(share)} of"
        most = _told_up(float(np.max(np.maximum(np.abs(low), np.abs(high)))))
        size = f" and |x|_2 <= {_told_up(balls[1][1])}" if balls else ""
        # the set is smaller than what these two figures say
        name = f"inputs {told} the {count} that were seen, within |x_i| <= {most}{size}"
        return cls(low=low, high=high, balls=balls, name=name)

    @property
    def dim(self) -> int | None:
        """Return m, None for a set in every dimension."""
        return int(self.low.shape[0]) if self.low.ndim else None

    @property
    def bounded(self) -> bool:
        """Return whether every entry is bounded on both sides."""
        return bool(np.isfinite(self.low).all() and np.isfinite(self.high).all())

    @property
    def is_box(self) -> bool:
        """Return whether the set is all of its box: every corner is a member."""
        return self.rows is None and all(isinstance(norm, Linf) for norm, _ in self.balls)

    def check_dim(self, m: int) -> None:
        """Raise `ValueError` unless it is a set of inputs of dimension m."""
        if self.dim not in {None, m}:
            raise ValueError(
                f"inputs={self} are of dimension {self.dim}, needed {m}, the map's; they are "
                f"(..., {m}) as the last axis of an array"
            )

    def ends(self, m: int) -> tuple[Array, Array]:
        """Return the ends, (m,) each, of the smallest box that is known to hold the set."""
        self.check_dim(m)
        low, high = (np.broadcast_to(end, (m,)) for end in (self.low, self.high))
        for norm, radius in self.balls:
            if norm.dim is None and not norm.plain:
                reach = times_up(norm.reach_upper(m), radius)
                low, high = np.maximum(low, -reach), np.minimum(high, reach)
        return low, high

    def reach(self, m: int) -> Array:
        """Return an upper bound of |x|, entry by entry, (m,)."""
        low, high = self.ends(m)
        largest: Array = np.maximum(np.abs(low), np.abs(high))
        return largest

    def norm_upper(self, norm: Norm, m: int) -> float:
        """Return an upper bound of ||x|| over the set, rounded outward; inf if there is none."""
        norm.check_dim(m)
        self.check_dim(m)
        if self.rows is not None:
            return float(np.max(norm.vector_upper(self.rows), initial=0.0))
        reach = self.reach(m)
        by_box = norm.majorant(reach) if np.isfinite(reach).all() else np.inf
        return min([by_box, *(product_up(over(norm, own, n=m), r) for own, r in self.balls)])

    def image_upper(self, U: Array) -> Array:
        """Return an upper bound of |U x| over the set, entry by entry; U is (p, m)."""
        m = U.shape[1]
        self.check_dim(m)
        if self.rows is not None:
            with np.errstate(over="ignore", invalid="ignore"):
                images, sizes = np.abs(self.rows @ U.T), np.abs(self.rows) @ np.abs(U).T
                images = np.nextafter(images + inner_product_error(sizes, m), np.inf)
            result: Array = np.max(np.where(np.isnan(images), np.inf, images), axis=0, initial=0.0)
        else:
            result = np.maximum(*(np.abs(end) for end in affine_image(U, *self.ends(m))))
            for norm, radius in self.balls:
                result = np.minimum(result, times_up(norm.dual_upper(U), radius))
        return np.where(np.any(U != 0, axis=1), result, 0.0)

    def contains(self, X: Any) -> bool:
        """Return whether all inputs (..., m) lie in the set, decided exactly."""
        inputs = as_array("X", X)
        if inputs.ndim == 0 or self.dim not in {None, inputs.shape[-1]}:
            raise ValueError(f"X has shape {inputs.shape}, needed (..., {self.dim or 'm'})")
        rows = inputs.reshape(-1, inputs.shape[-1])
        if self.rows is not None:
            known = {row.tobytes() for row in self.rows + 0.0}  # one zero, of two signs
            return all(row.tobytes() in known for row in rows + 0.0)
        if not bool(np.all((self.low <= rows) & (rows <= self.high))):
            return False
        return all(_all_in_ball(norm, radius, rows) for norm, radius in self.balls)

    def near(self, x: Array) -> Array | None:
        """Return a member of the set near x, (m,), the nearest of a box or of a finite set.

        None if none is found, which may happen where the set is a box and balls together.
        """
        if self.rows is not None:
            if len(self.rows) == 0:
                return None
            nearest: Array = self.rows[int(np.argmin(np.max(np.abs(self.rows - x), axis=1)))]
            return nearest
        y: Array = np.clip(x, *self.ends(len(x)))
        for norm, radius in self.balls:
            size = float(norm.vector_upper(y))
            if size > radius:
                # a little less than the radius, so that rounding leaves it inside
                y = y * (radius / size * (1 - _INSIDE))
        return y if self.contains(y) else None

    def within(self, other: Inputs, m: int) -> bool:
        """Return whether it is proved that this set, in dimension m, lies in another."""
        self.check_dim(m)
        other.check_dim(m)
        if self is other:
            return True
        if self.rows is not None:
            return other.contains(self.rows)
        low, high = self.ends(m)
        if other.rows is not None:
            # a box that is one point
            return bool(np.array_equal(low, high)) and other.contains(low)
        ends = other.ends(m)
        if not bool(np.all(ends[0] <= low) and np.all(high <= ends[1])):
            return False
        return all(self._in_ball(norm, radius, m) for norm, radius in other.balls)

    def _in_ball(self, norm: Norm, radius: float, m: int) -> bool:
        """Return whether it is proved that ||x|| <= radius on the set."""
        if self.norm_upper(norm, m) <= radius:
            return True
        reach = self.reach(m)
        # in a monotone norm no vector of the box is longer than that of the largest entries
        return (
            norm.monotone
            and bool(np.isfinite(reach).all())
            and _all_in_ball(norm, radius, reach[None])
        )

    def __str__(self) -> str:
        if self.rows is not None:
            return f"{len(self.rows)} given input{'' if len(self.rows) == 1 else 's'}"
        if self.name:
            return self.name
        if self.balls:
            return " and ".join(_told_ball(norm, radius) for norm, radius in self.balls)
        return _told_box(self.low, self.high)

    def __repr__(self) -> str:
        return f"Inputs({self})"


def _end(name: str, value: Any) -> Array:
    """Return one end of a box: numbers or infinities."""
    value = plain_array(name, value)
    try:
        infinite = np.isinf(value)
    except TypeError:
        infinite = np.zeros((), dtype=bool)
    if not infinite.any():
        return as_array(name, value, ndim=(0, 1))
    finite = as_array(name, np.where(infinite, 0.0, value), ndim=(0, 1))
    return np.where(infinite, np.asarray(value, dtype=np.float64), finite)


def _rows(name: str, X: Any) -> Array:
    """Return inputs one a row, (N, m), from arrays or sequences."""
    if isinstance(X, Sequences):
        X = list(X.arrays)
    if isinstance(X, (list, tuple)) and X and all(np.ndim(one) == 2 for one in X):
        widths = {np.shape(one)[1] for one in X}
        if len(widths) > 1:
            raise ValueError(f"{name} holds inputs of dimensions {sorted(widths)}, needed one")
        X = np.concatenate([as_array(f"{name}[{i}]", one) for i, one in enumerate(X)])
    array = as_array(name, X)
    if array.ndim == 0 or array.shape[-1] == 0:
        raise ValueError(f"{name} has shape {array.shape}, needed (..., m)")
    return array.reshape(-1, array.shape[-1])


def _pieces(name: str, X: Any) -> Iterable[Array]:
    """Return inputs one a row, in pieces: of those on the disk a sequence at a time."""
    if not isinstance(X, StoredSequences):
        return (_rows(name, X),)
    X.check_width(min(X.widths))
    return X


def _all_in_ball(norm: Norm, radius: float, rows: Array) -> bool:
    """Decide ||x|| <= radius for all rows; those too near to it in exact arithmetic."""
    norm.check_dim(rows.shape[1])
    upper = np.asarray(norm.vector_upper(rows))
    near = rows[~(upper <= radius)]
    return all(norm.in_ball(row, Fraction(radius)) for row in near.tolist())


def _told(x: float) -> str:
    """Return the shortest text that reads back as the number."""
    text = repr(float(x))
    return text[:-2] if text.endswith(".0") else text


def _told_up(x: float) -> str:
    return decimal_up(x, 4)


def _told_ball(norm: Norm, radius: float) -> str:
    if norm.plain:
        return f"|x|_{norm.p:g} <= {_told(radius)}"
    return f"|x| <= {_told(radius)} in {norm.label}"


def describe_states(low: Array, high: Array) -> str:
    """Return a box of states in words: exactly where that is short, else what it lies within."""
    ends = [*np.ravel(low).tolist(), *np.ravel(high).tolist()]
    if len(low) <= _SHOWN and all(len(_told(end)) <= _DIGITS for end in ends):
        return _told_box(low, high, "h")
    # a figure that is rounded up says where the box lies, and claims nothing of what is beside it
    return f"a box of states within |h_i| <= {_told_up(max(map(abs, ends)))}"


def _told_box(low: Array, high: Array, x: str = "x") -> str:
    flat = np.ravel(low), np.ravel(high)
    pairs = list(zip(flat[0].tolist(), flat[1].tolist(), strict=True))
    a, b = pairs[0]
    if all(pair == (a, b) for pair in pairs):
        if a == -b:
            return "all inputs" if np.isinf(b) else f"|{x}_i| <= {_told(b)}"
        least = "" if np.isinf(a) else f"{_told(a)} <= "
        return f"{x}_i >= {_told(a)}" if np.isinf(b) else f"{least}{x}_i <= {_told(b)}"
    if len(pairs) <= _SHOWN:
        return f"{x} in " + " x ".join(f"[{_told(a)}, {_told(b)}]" for a, b in pairs)
    largest = float(np.max(np.maximum(np.abs(flat[0]), np.abs(flat[1]))))
    return f"a box of inputs within |{x}_i| <= {_told(largest)}"


def ambiguous(name: str, value: Any, m: int | None = None) -> ValueError:
    """Return the error for a number where a set of inputs is needed, with the ways to say it."""
    try:
        size = f"{abs(float(value))}"
    except (TypeError, ValueError):
        size = "B"
    wide = "" if m is None or m == 1 else f", whose Euclidean length is up to sqrt({m}) times that"
    return ValueError(
        f"{name}={value!r} does not say which inputs are meant; if every |x_i| <= {size}{wide}, "
        f"pass inputs=theory.Inputs.box(-{size}, {size}); if |x|_2 <= {size}, pass "
        f"inputs=theory.Inputs.ball({size})"
    )


def as_inputs(value: Any, m: int) -> Inputs:
    """Return the set of inputs, of dimension m, that a user means.

    Parameters
    ----------
    value : Inputs, or (..., m) array of all inputs in question
    m : int

    Raises
    ------
    ValueError
        If it is a number, which says no norm, or of another dimension.
    """
    if isinstance(value, Inputs):
        value.check_dim(m)
        return value
    if isinstance(value, (str, bytes)):
        raise ValueError(f"inputs={value!r}, needed theory.Inputs such as theory.Inputs.box(-1, 1)")
    X = _rows("inputs", value) if isinstance(value, Sequences) else as_array("inputs", value)
    if X.ndim == 0:
        raise ambiguous("inputs", value, m)
    if X.shape[-1] != m:
        raise ValueError(f"inputs has shape {X.shape}, needed (..., {m})")
    return Inputs.any_of(X)


def box_of(value: Any, m: int) -> tuple[Array, Array]:
    """Return the ends, (m,) each, of a bounded box of inputs, for what its corners reach.

    Raises
    ------
    ValueError
        If it is no box, or not bounded.
    """
    given = as_inputs(value, m)
    if not (given.is_box and given.bounded):
        raise ValueError(
            f"the inputs are {given}, needed a bounded box; theory.Inputs.box(low, high) around "
            "them gives an upper bound for them too, but a lower one that they need not reach"
        )
    return given.ends(m)


def entry_bound(value: Any, m: int) -> float:
    """Return B, positive, with |x_i| <= B for every input of the set and every entry.

    Raises
    ------
    ValueError
        If there is none, or it is 0.
    """
    given = as_inputs(value, m)
    bound = float(np.max(given.reach(m), initial=0.0))
    if not 0 < bound < np.inf:
        raise ValueError(
            f"the inputs are {given}, needed bounded ones that are not all 0, such as "
            "theory.Inputs.box(-1, 1)"
        )
    return bound


def read_inputs(text: str) -> Inputs:
    """Return the set that a text names.

    Parameters
    ----------
    text : str
        ``box:LOW,HIGH``, ``ball:RADIUS`` (Euclidean), ``ball:RADIUS,NORM`` with ``L1``, ``L2`` or
        ``Linf``, or a file or folder of sequences, of which `Inputs.seen` is taken.

    Raises
    ------
    ValueError
        If it is none of these, a plain number among them.
    """
    kind, colon, rest = text.partition(":")
    parts = rest.split(",")
    norms: dict[str, Norm] = {"L1": L1(), "L2": L2(), "Linf": Linf()}
    try:
        if kind == "box" and colon and len(parts) == 2:
            return Inputs.box(float(parts[0]), float(parts[1]))
        if kind == "ball" and colon and (len(parts) == 1 or parts[1:] in [[n] for n in norms]):
            return Inputs.ball(float(parts[0]), norms[parts[1]] if len(parts) == 2 else None)
    except ValueError as error:
        raise ValueError(f"--inputs {text!r}: {error}") from None
    try:
        float(text)
    except ValueError:
        pass
    else:
        size = text.strip().lstrip("+-")
        raise ValueError(
            f"--inputs {text!r} does not say which inputs are meant; if every |x_i| <= {size}, "
            f'pass --inputs "box:-{size},{size}"; if |x|_2 <= {size}, pass --inputs "ball:{size}"'
        )
    if kind in {"box", "ball"} and colon:
        raise ValueError(
            f'--inputs {text!r} is not understood, needed "box:LOW,HIGH", "ball:RADIUS" or '
            '"ball:RADIUS,L1"'
        )
    return Inputs.seen(load_sequences(text))


@shown
@final
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Drive:
    """A bound of ||step(0, x)||, in one norm and for the inputs of one set; see `Map.drive`."""

    size: float  # C
    norm: Norm  # the norm in which it bounds
    inputs: Inputs  # for which it holds

    def __post_init__(self) -> None:
        if not self.size >= 0:
            raise ValueError(f"size={self.size!r}, needed a number >= 0; inf bounds nothing")
        object.__setattr__(self, "size", float(self.size))

    def __float__(self) -> float:
        return self.size

    def __repr__(self) -> str:
        return f"Drive({self.size!r} in {self.norm}, for {self.inputs})"
