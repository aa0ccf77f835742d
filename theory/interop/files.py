"""Maps from files of weights: safetensors, and NumPy's npz and npy.

Main names: `read_weights`, `from_safetensors`, `from_npz`, `read_head`, `WeightFile`, `read_file`.

Nothing is unpickled, and none of the programs that wrote a file is needed to read it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from theory.arithmetic.activations import Activation
from theory.files.arrays import ArrayFileError, read_arrays
from theory.interop.arrays import from_arrays, named_head
from theory.interop.tensors import Tensor, read_tensors
from theory.maps.base import Map
from theory.maps.head import LinearHead


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class WeightFile:
    """What a file of weights holds: the recurrent cell, and whatever stands beside it."""

    path: Path
    arrays: Mapping[str, Any]  # by name, in the order of the file
    single: bool = False  # whether it is an .npy file, whose only array is W
    tensors: Mapping[str, Tensor] | None = None  # of a safetensors file, as they are stored
    metadata: Mapping[str, str] = field(default_factory=dict)  # of a safetensors file

    def map(
        self,
        *,
        prefix: str | None = None,
        activation: str | Activation | None = None,
        variant: str | None = None,
        recurrent_activation: str | None = None,
        unused: str | Iterable[str] = (),
    ) -> Map:
        """Return the map of the cell; the file's name stands before what is complained about.

        Parameters
        ----------
        prefix, activation, variant, recurrent_activation, unused
            As in `from_npz`.

        Raises
        ------
        ValueError
            As `from_arrays` does.
        """
        try:
            return from_arrays(
                self.arrays,
                prefix=prefix,
                activation=activation,
                variant=variant,
                recurrent_activation=recurrent_activation,
                unused=unused,
            )
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from None


def from_safetensors(
    path: str | Path,
    *,
    prefix: str | None = None,
    activation: str | Activation | None = None,
    variant: str | None = None,
    recurrent_activation: str | None = None,
    unused: str | Iterable[str] = (),
) -> Map:
    """Return the map of the weights in a safetensors file.

    Parameters
    ----------
    path : path
    prefix, activation, variant, recurrent_activation, unused
        As in `from_npz`.

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
    return _of_tensors(Path(path)).map(
        prefix=prefix,
        activation=activation,
        variant=variant,
        recurrent_activation=recurrent_activation,
        unused=unused,
    )


def from_npz(
    path: str | Path,
    *,
    prefix: str | None = None,
    activation: str | Activation | None = None,
    variant: str | None = None,
    recurrent_activation: str | None = None,
    unused: str | Iterable[str] = (),
) -> Map:
    """Return the map of the weights in an .npz file; nothing is unpickled.

    Parameters
    ----------
    path : path
        A file of weights, or one of `save_map`, which tells everything.
    prefix : str, optional
        Where the cell is, as in ``"encoder.rnn"``; needed only if there are several.
    activation : str, optional
        Of a plain cell, which the file does not tell; with ``identity`` it is a `LinearMap`.
    variant : str, optional
        Of a GRU, ``reset_after`` or ``reset_before``, where the file does not tell.
    recurrent_activation : str, optional
        Of the gates of Keras' layers, which the file does not tell; ``sigmoid`` is known.
    unused : str or iterable of str
        Names of arrays that may be left over, or patterns of them, as ``"ema.*"``.

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
    return found.map(
        prefix=prefix,
        activation=activation,
        variant=variant,
        recurrent_activation=recurrent_activation,
        unused=unused,
    )


def read_weights(
    path: str | Path,
    *,
    prefix: str | None = None,
    activation: str | Activation | None = None,
    variant: str | None = None,
    recurrent_activation: str | None = None,
    unused: str | Iterable[str] = (),
) -> Map:
    """Return the map of a file of weights, whatever its kind.

    Parameters
    ----------
    path : path
        A ``.safetensors`` file, an ``.npz``, or an ``.npy`` with W alone (inputs are then added to
        the state directly).
    prefix, activation, variant, recurrent_activation, unused
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
    return read_file(path).map(
        prefix=prefix,
        activation=activation,
        variant=variant,
        recurrent_activation=recurrent_activation,
        unused=unused,
    )


def read_head(
    path: str | Path, *, prefix: str | None = None, unused: str | Iterable[str] = ()
) -> LinearHead:
    """Return the readout of the linear system in a file, C beside A and B; see `named_head`.

    Parameters
    ----------
    path : path
    prefix, unused
        As in `from_npz`.

    Raises
    ------
    ValueError
        If the file cannot be read, or as `named_head` does.
    MissingExtraError
        If a package that the kind of file needs is not installed.
    """
    file = read_file(path)
    try:
        return named_head(file.arrays, prefix=prefix, unused=unused)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


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
    if file.suffix.lower() in _PICKLES or _looks_pickled(file):
        raise ValueError(
            f"{path} looks like a pickle, which is never read: load it yourself with "
            "torch.load(path, weights_only=True) and save the arrays as .npz or .safetensors"
        )
    return _of_arrays(file)


#: Endings of files that are pickles, by habit.
_PICKLES = {".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt"}


def _looks_pickled(file: Path) -> bool:
    """Return whether a file of an unknown ending begins as a pickle does, or is PyTorch's."""
    if file.suffix.lower() in {".npz", ".npy"}:
        return False
    try:
        with file.open("rb") as stream:
            first = stream.read(2)
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                return any(name.endswith("data.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False
    # the mark of protocols 2 to 5
    return len(first) == 2 and first[0] == 0x80 and 2 <= first[1] <= 5


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
        found = read_arrays(path, leave_objects=True)
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
