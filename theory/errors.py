"""Argument checks; each message says what was received, what was needed and what to try.

Main names: `as_array`, `plain_array`, `as_matrix`, `as_vector`, `as_sequences`, `check_count`,
`check_positive`, `check_nonnegative`, `check_rate`, `MissingExtraError`.

A malformed question raises `ValueError`; a well-formed question with an unwelcome answer (not
contractive, bound exceeded) is answered with a value, never with an exception.
"""

from __future__ import annotations

import math
import numbers
import operator
import re
from typing import Any, SupportsIndex

import numpy as np

from theory.typing import Array

#: The exceptions; the checks are for the other modules of this package.
__all__ = ["DivergedError", "MissingExtraError"]


class MissingExtraError(ImportError):
    """An optional package is needed for this call; the message names the extra to install."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed; "
            f"try: pip install '.[{extra}]' in the folder of stable-recurrent-models"
        )


def plain_array(name: str, value: Any) -> Any:
    """Return what any library holds as a NumPy array, exactly, of whatever type its numbers are.

    PyTorch's tensors, sparse matrices and tables are known by what they answer, so that
    none of these libraries is needed.

    Raises
    ------
    ValueError
        If entries are masked, or the value is not an array of one shape; the argument is named.
    """
    if type(value) is np.ndarray:
        return value
    if value is None:
        raise ValueError(
            f"{name} is None, needed an array of real numbers; a function without a return gives "
            "None"
        )
    if _is_masked(value):
        raise ValueError(f"{name} has masked entries, needed all of them; fill or drop them first")
    tensor = callable(getattr(value, "detach", None))
    try:
        if tensor:
            value = _of_tensor(value)
        else:
            # SciPy's sparse matrices have the first, JAX's and those of PyData the second
            dense = getattr(value, "toarray", getattr(value, "todense", None))
            value = dense() if callable(dense) else value
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError, AttributeError) as error:
        told = str(error).strip().partition("\n")[0]
        if tensor:
            told = f"is a tensor that holds no plain numbers: {told}"
        elif isinstance(value, (list, tuple)) and isinstance(error, ValueError):
            told = f"is not rectangular ({told}); needed an array of real numbers"
        else:
            told = f"is a {type(value).__name__} that is no array of real numbers: {told}"
        raise ValueError(f"{name} {told}") from None
    if array.dtype.kind == "O" and callable(getattr(value, "to_numpy", None)):
        return _of_table(name, array)
    # the short floats of ml_dtypes, as JAX has them, look like types without numbers
    if array.dtype.kind == "V" and re.match("b?float[0-9]", array.dtype.name):
        return array.astype(np.float64)
    return array


def _is_masked(value: Any) -> bool:
    """Return whether an array, or one in a list of them, hides some of its entries."""
    if isinstance(value, (list, tuple)):
        return any(
            _is_masked(one) for one in value if isinstance(one, (list, tuple, np.ma.MaskedArray))
        )
    return isinstance(value, np.ma.MaskedArray) and bool(np.ma.is_masked(value))


def _of_tensor(tensor: Any) -> Any:
    """Return a tensor as an array: off its device and graph, dense, signs and conjugates done."""
    plain = tensor.detach().cpu()
    if plain.is_quantized:
        raise TypeError("it is quantised; call its dequantize()")
    plain = plain.to_dense().resolve_conj().resolve_neg()
    # every float that NumPy has not, such as bfloat16, is a double
    return (plain.double() if plain.is_floating_point() else plain).numpy()


def _of_table(name: str, cells: Any) -> Array:
    """Return the cells of a table as doubles; its columns may be of types that have no array."""
    doubles = np.empty(cells.shape)
    for where, cell in np.ndenumerate(cells):
        if not isinstance(cell, (numbers.Real, np.bool_)):
            raise ValueError(f"{name} holds {cell!r} at index {where}, needed real numbers only")
        doubles[where] = float(cell)
        if isinstance(cell, numbers.Integral) and int(doubles[where]) != int(cell):
            raise _inexact(name, int(cell), where)
    return doubles


def as_array(name: str, value: Any, *, ndim: int | tuple[int, ...] | None = None) -> Array:
    """Convert to a C-contiguous float64 array of finite numbers.

    Integers, booleans and short floats are converted (exactly), also those of tensors, sparse
    matrices and tables; everything else is refused.

    Raises
    ------
    ValueError
        If the value is complex, of object or text type, longer than double precision, of the
        wrong number of dimensions, or holds a NaN or an infinity, or entries that are masked.
    """
    array = plain_array(name, value)
    if array.dtype.kind not in "biuf":
        hint = {
            "c": "pass real and imaginary parts as separate state components",
            "O": "the rows may have different lengths, or hold something that is not a number",
        }.get(array.dtype.kind, "convert it with numpy.asarray(..., dtype=float)")
        raise ValueError(f"{name} has dtype {array.dtype}, needed real numbers; {hint}")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        raise ValueError(
            f"{name} has dtype {array.dtype}, needed at most double precision; "
            "round it yourself with .astype(numpy.float64), so that the rounding is yours"
        )
    wanted = (ndim,) if isinstance(ndim, int) else ndim
    if wanted is not None and array.ndim not in wanted:
        shapes = " or ".join(f"{d}" for d in dict.fromkeys(wanted))
        raise ValueError(f"{name} has shape {array.shape}, needed {shapes} dimension(s)")
    result = np.ascontiguousarray(array, dtype=np.float64).reshape(array.shape)  # () stays ()
    if array.dtype.kind in "iu" and np.any(np.abs(result) >= 2.0**53):
        _check_exact(name, array, result)
    if not np.isfinite(result).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(result))[0])
        raise ValueError(
            f"{name} holds {result[where]} at index {where}, needed finite numbers; "
            "look for a division by zero or an overflow where it was computed"
        )
    return result


def _check_exact(name: str, integers: Any, doubles: Array) -> None:
    """Raise if the conversion changed an integer; they are compared as Python's exact ones."""
    for where, a in np.ndenumerate(integers):
        if int(doubles[where]) != int(a):
            raise _inexact(name, int(a), where)


def _inexact(name: str, integer: int, where: tuple[int, ...]) -> ValueError:
    return ValueError(
        f"{name} holds {integer} at index {where}, which no double is equal to (integers are exact "
        "up to 2**53); round it yourself"
    )


def _frozen(array: Array) -> Array:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def as_matrix(
    name: str, value: Any, *, rows: int | None = None, columns: int | None = None
) -> Array:
    """Return a read-only finite float64 copy of shape (rows, columns); both at least 1."""
    array = as_array(name, value, ndim=2)
    needed = f"({rows or 'n'}, {columns or 'm'})"
    if (
        min(array.shape) == 0
        or (rows is not None and array.shape[0] != rows)
        or (columns is not None and array.shape[1] != columns)
    ):
        raise ValueError(f"{name} has shape {array.shape}, needed {needed} with no empty side")
    return _frozen(array)


def as_square(name: str, value: Any) -> Array:
    """Return a read-only finite float64 copy of shape (n, n), n at least 1."""
    array = as_matrix(name, value)
    if array.shape[0] != array.shape[1]:
        raise ValueError(
            f"{name} has shape {array.shape}, needed a square matrix (n, n): it maps states to "
            "states; if this is the input matrix, it goes into the other argument"
        )
    return array


def as_vector(name: str, value: Any, *, size: int | None = None) -> Array:
    """Return a read-only finite float64 copy of shape (size,)."""
    array = as_array(name, value, ndim=1)
    if size is not None and array.shape[0] != size:
        raise ValueError(f"{name} has shape {array.shape}, needed ({size},)")
    return _frozen(array)


def as_sequences(name: str, value: Any, *, width: int) -> Array:
    """Return inputs of shape (T, width) or (batch, T, width); T = 0 and batch = 0 are legal."""
    array = as_array(name, value, ndim=(2, 3))
    if array.shape[-1] != width:
        raise ValueError(
            f"{name} has shape {array.shape}, needed (T, {width}) or (batch, T, {width}): "
            f"the last axis is the input of the map, of dimension {width}"
        )
    return array


def as_states(name: str, value: Any, *, size: int, batch: tuple[int, ...]) -> Array:
    """Return a state of shape (*batch, size), broadcasting a single (size,) over the batch."""
    array = as_array(name, value, ndim=(1, 1 + len(batch)))
    if array.shape not in {(size,), (*batch, size)}:
        options = " or ".join(str(s) for s in dict.fromkeys([(size,), (*batch, size)]))
        raise ValueError(f"{name} has shape {array.shape}, needed {options}")
    return np.ascontiguousarray(np.broadcast_to(array, (*batch, size)))


def check_count(*, at_least: int = 0, **counts: SupportsIndex) -> None:
    """Check that each named value is an integer, at least `at_least`."""
    for name, value in counts.items():
        try:
            number = operator.index(value)
        except TypeError:
            raise ValueError(
                f"{name}={value!r} is not an integer, needed {name} in {at_least}, "
                f"{at_least + 1}, ..."
            ) from None
        if isinstance(value, (bool, np.bool_)) or number < at_least:
            raise ValueError(f"{name}={value!r}, needed an integer {name} >= {at_least}")


def _check_real(name: str, value: Any) -> float:
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name}={value!r} is not a real number") from None
    if not math.isfinite(number):
        raise ValueError(f"{name}={value!r}, needed a finite number")
    return number


def check_nonnegative(**values: float) -> None:
    """Check that each named value is a finite number >= 0."""
    for name, value in values.items():
        if not _check_real(name, value) >= 0:
            raise ValueError(f"{name}={value!r} is negative, needed {name} >= 0")


def check_positive(**values: float) -> None:
    """Check that each named value is a finite number > 0."""
    for name, value in values.items():
        if not _check_real(name, value) > 0:
            raise ValueError(f"{name}={value!r}, needed {name} > 0")


def check_rate(lam: float) -> None:
    """Check that `lam` is a contraction factor, 0 <= lam < 1."""
    if not 0.0 <= _check_real("lam", lam) < 1.0:
        raise ValueError(
            f"lam={lam!r} is not a contraction (needs 0 <= lam < 1); "
            "scale the recurrent weights down, or ask for another norm"
        )


class DivergedError(ArithmeticError):
    """A trajectory left the range of double precision; the message says when and in which run."""

    #: Inputs until then, where it was the state.
    step: int | None = None
