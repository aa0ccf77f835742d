"""Maps from files of weights: safetensors, and NumPy's npz and npy.

Main names: `read_weights`, `from_safetensors`, `from_npz`.

Nothing is unpickled, and none of the programs that wrote a file is needed to read it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from theory.errors import MissingExtraError
from theory.files.arrays import ArrayFileError, read_arrays
from theory.interop.arrays import from_arrays
from theory.interop.build import DTYPES, Unread
from theory.maps.base import Map


def from_safetensors(
    path: str | Path, *, prefix: str | None = None, activation: str = "tanh"
) -> Map:
    """Return the map of the weights in a safetensors file.

    Parameters
    ----------
    path : path
    prefix : str, optional
        Where the cell is, as in ``"encoder.rnn"``; needed only if there are several.
    activation : str
        Of a plain cell; the file does not tell.

    Returns
    -------
    Map

    Raises
    ------
    ValueError
        If the file cannot be read, or as `from_arrays` does.
    MissingExtraError
        If the package safetensors is not installed.
    """
    try:
        from safetensors import SafetensorError, deserialize
    except ImportError:
        raise MissingExtraError("safetensors", "safetensors", "a safetensors file") from None
    read: Any = deserialize  # it has no types
    try:
        tensors = read(Path(path).read_bytes())
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    arrays = {name: _from_bytes(tensor) for name, tensor in tensors}
    return _named(path, lambda: from_arrays(arrays, prefix=prefix, activation=activation))


def from_npz(path: str | Path, *, prefix: str | None = None, activation: str = "tanh") -> Map:
    """Return the map of the weights in an .npz file; nothing is unpickled.

    Parameters
    ----------
    path : path
    prefix : str, optional
        Where the cell is, as in ``"encoder.rnn"``; needed only if there are several.
    activation : str
        Of a plain cell; the file does not tell.  With ``identity`` it is a `LinearMap`.

    Returns
    -------
    Map

    Raises
    ------
    ValueError
        If the file cannot be read, or as `from_arrays` does.
    """
    arrays = _load(path)
    if isinstance(arrays, np.ndarray):
        raise ValueError(f"{path} is a single array, needed an .npz file of named ones")
    return _named(path, lambda: from_arrays(arrays, prefix=prefix, activation=activation))


def read_weights(path: str | Path, *, prefix: str | None = None, activation: str = "tanh") -> Map:
    """Return the map of a file of weights, whatever its kind.

    Parameters
    ----------
    path : path
        A ``.safetensors`` file, an ``.npz``, or an ``.npy`` with W alone (inputs are then added to
        the state directly).
    prefix, activation
        As in `from_npz`.

    Returns
    -------
    Map

    Raises
    ------
    ValueError
        If the file cannot be read, or as `from_arrays` does.
    MissingExtraError
        If a package that the kind of file needs is not installed.
    """
    if Path(path).suffix == ".safetensors":
        return from_safetensors(path, prefix=prefix, activation=activation)
    if Path(path).suffix in {".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt"}:
        raise ValueError(
            f"{path} looks like a pickle, which is never read: load it yourself with "
            "torch.load(path, weights_only=True) and save the arrays as .npz or .safetensors"
        )
    arrays = named_arrays(path)
    return _named(path, lambda: from_arrays(arrays, prefix=prefix, activation=activation))


def named_arrays(path: str | Path) -> dict[str, Any]:
    """Return the arrays of an .npz file by name, or that of an .npy file as W.

    Raises
    ------
    ValueError
        If the file cannot be read.
    """
    loaded = _load(path)
    return {"W": loaded} if isinstance(loaded, np.ndarray) else loaded


def _load(path: str | Path) -> Any:
    """Return an array, or a dict of them; nothing is unpickled."""
    try:
        found = read_arrays(Path(path))
    except ArrayFileError as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    return found[0][1] if found and found[0][0] == "" else dict(found)


def _named(path: str | Path, build: Callable[[], Map]) -> Map:
    """Return what `build` makes, with the file's name before whatever it complains about."""
    try:
        return build()
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _from_bytes(tensor: Mapping[str, Any]) -> Any:
    """Return a tensor of a safetensors file as an array."""
    kind = tensor["dtype"]
    if kind not in DTYPES:
        return Unread(kind)
    array = np.frombuffer(tensor["data"], dtype=DTYPES[kind])
    if kind == "BF16":
        array = (array.astype("<u4") << 16).view("<f4")
    return array.reshape(tensor["shape"])
