"""Maps from files of weights: safetensors, and NumPy's npz and npy.

Main names: `read_weights`, `from_safetensors`, `from_npz`, `WeightFile`, `read_file`.

Nothing is unpickled, and none of the programs that wrote a file is needed to read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from theory.files.arrays import ArrayFileError, read_arrays
from theory.interop.arrays import from_arrays
from theory.interop.tensors import Tensor, read_tensors
from theory.maps.base import Map


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class WeightFile:
    """What a file of weights holds: the recurrent cell, and whatever stands beside it."""

    path: Path
    arrays: Mapping[str, Any]  # by name, in the order of the file
    single: bool = False  # whether it is an .npy file, whose only array is W
    tensors: Mapping[str, Tensor] | None = None  # of a safetensors file, as they are stored
    metadata: Mapping[str, str] = field(default_factory=dict)  # of a safetensors file

    def map(self, *, prefix: str | None = None, activation: str = "tanh") -> Map:
        """Return the map of the cell; the file's name stands before what is complained about.

        Parameters
        ----------
        prefix, activation
            As in `from_npz`.

        Raises
        ------
        ValueError
            As `from_arrays` does.
        """
        try:
            return from_arrays(self.arrays, prefix=prefix, activation=activation)
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from None


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
    return _of_tensors(Path(path)).map(prefix=prefix, activation=activation)


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
    found = _of_arrays(Path(path))
    if found.single:
        raise ValueError(f"{path} is a single array, needed an .npz file of named ones")
    return found.map(prefix=prefix, activation=activation)


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
    return read_file(path).map(prefix=prefix, activation=activation)


def read_file(path: str | Path) -> WeightFile:
    """Return the arrays of a file of weights, of any kind that `read_weights` reads.

    Parameters
    ----------
    path : path

    Raises
    ------
    ValueError
        If the file cannot be read.
    MissingExtraError
        If a package that the kind of file needs is not installed.
    """
    file = Path(path)
    if file.is_dir():
        raise ValueError(
            f"{path} is a folder, needed a file of weights: .npz, .safetensors or .npy"
        )
    if file.suffix.lower() == ".safetensors":
        return _of_tensors(file)
    if file.suffix.lower() in {".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt"}:
        raise ValueError(
            f"{path} looks like a pickle, which is never read: load it yourself with "
            "torch.load(path, weights_only=True) and save the arrays as .npz or .safetensors"
        )
    return _of_arrays(file)


def named_arrays(path: str | Path) -> dict[str, Any]:
    """Return the arrays of a file of weights by name; that of an .npy file is W.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    ValueError
        If the file cannot be read.
    """
    return dict(read_file(path).arrays)


def _of_arrays(path: Path) -> WeightFile:
    try:
        found = read_arrays(path)
    except ArrayFileError as error:
        told = str(error).removeprefix(f"{path.name} cannot be read: ")
        told = told.removeprefix(f"{path.name} is ")
        raise ValueError(f"{path} cannot be read: {told}") from None
    single = bool(found) and found[0][0] == ""
    return WeightFile(
        path=path, arrays={"W": found[0][1]} if single else dict(found), single=single
    )


def _of_tensors(path: Path) -> WeightFile:
    tensors, metadata = read_tensors(path)
    arrays = {name: tensor.array for name, tensor in tensors.items()}
    return WeightFile(path=path, arrays=arrays, tensors=tensors, metadata=metadata)
