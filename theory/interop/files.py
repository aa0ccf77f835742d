"""Maps from files of weights, whatever their kind, which their content tells.

Main names: `load`, `read_weights`, `from_safetensors`, `from_npz`, `read_head`, `WeightFile`,
`read_file`.

    .npz, .npy          NumPy; .npz of `save_map`, too
    .safetensors        safetensors
    .pt, .pth, ...      PyTorch, and archives of TorchScript: tensors only
    .h5, .hdf5, .keras  Keras, with its configuration if it is there
    .onnx               nodes RNN, GRU and LSTM

A config.json beside a file of recurrent blocks tells what their arrays do not.

Nothing is unpickled and no code in a file is run; of the programs that wrote one only the packages
h5py and onnx are needed, to read those kinds.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from theory.arithmetic.activations import Activation
from theory.files.arrays import ArrayFileError, Unread, read_arrays
from theory.interop.arrays import Question, map_of_names, named_head
from theory.interop.build import Said
from theory.interop.config_file import told_beside
from theory.interop.formats.hdf5 import is_hdf5, read_keras
from theory.interop.formats.onnx_graph import read_onnx
from theory.interop.formats.onnx_heads import heads_of
from theory.interop.formats.torch_archive import is_torch, read_torch
from theory.interop.tensors import Tensor, read_tensors
from theory.interop.told import Told, ToldHead
from theory.maps.base import Map
from theory.maps.head import LinearHead


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class WeightFile:
    """What a file of weights holds: the recurrent cell, and whatever stands beside it."""

    path: Path
    arrays: Mapping[str, Any]  # by name, in the order of the file
    kind: str = "NumPy"  # what the file is, for people
    single: bool = False  # whether it is an .npy file, whose only array is W
    tensors: Mapping[str, Tensor] | None = None  # of a safetensors file, as they are stored
    metadata: Mapping[str, str] = field(default_factory=dict)  # of a safetensors file
    told: Mapping[str, Told] = field(default_factory=dict)  # what it says of each cell
    heads: Mapping[str, ToldHead] = field(default_factory=dict)  # and of each output layer
    source: Any = None  # the file as its format's reader gives it, to write it again

    def map(
        self,
        *,
        prefix: str | Sequence[str] | None = None,
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
            said = Said(
                activation=activation, variant=variant, recurrent_activation=recurrent_activation
            )
            question = Question(prefix=prefix, said=said, unused=unused)
            return map_of_names(self.arrays, question, told=self.told)
        except ValueError as error:
            raise ValueError(f"{self.path}: {error}") from None


def from_safetensors(
    path: str | Path,
    *,
    prefix: str | Sequence[str] | None = None,
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
    prefix: str | Sequence[str] | None = None,
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
    prefix : str or sequence of str, optional
        Where the cell is, as in ``"encoder.rnn"``; needed only if there are several.  Several
        prefixes, from the bottom up, are read as one stack.
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


def load(
    path: str | Path,
    *,
    prefix: str | Sequence[str] | None = None,
    activation: str | Activation | None = None,
    variant: str | None = None,
    recurrent_activation: str | None = None,
    unused: str | Iterable[str] = (),
) -> Map:
    """Return the map of a file of weights, whatever its kind; `theory show` prints what it holds.

    Parameters
    ----------
    path : path
        One of the kinds in the module's docstring, known by its content; of an ``.npy`` file the
        only array is W (inputs are then added to the state directly).
    prefix, activation, variant, recurrent_activation, unused
        As in `from_npz`; what the file tells need not be said.

    Returns
    -------
    Map

    Raises
    ------
    ValueError
        If the file cannot be read, or as `from_arrays` does.
    MissingExtraError
        If a package that the kind of file needs is not installed.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/cell.npz", enc_w_ih=np.ones((3, 2)), enc_w_hh=np.ones((3, 1)))
    ...     load(f"{folder}/cell.npz")
    GRU(n=1, m=2, variant='reset_after')
    """
    return read_file(path).map(
        prefix=prefix,
        activation=activation,
        variant=variant,
        recurrent_activation=recurrent_activation,
        unused=unused,
    )


def read_weights(
    path: str | Path,
    *,
    prefix: str | Sequence[str] | None = None,
    activation: str | Activation | None = None,
    variant: str | None = None,
    recurrent_activation: str | None = None,
    unused: str | Iterable[str] = (),
) -> Map:
    """Return the map of a file of weights: `load` under its older name.

    Parameters
    ----------
    path : path
    prefix, activation, variant, recurrent_activation, unused
        As in `load`.

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
    return load(
        path,
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
            f"{path} is a folder, needed a file of weights: .npz, .safetensors, .pt, .h5, .keras, "
            ".onnx or .npy"
        )
    ending = file.suffix.lower()
    if ending == ".safetensors":
        return _of_tensors(file)
    if ending in {".npz", ".npy"}:
        return _of_arrays(file)
    try:
        if is_torch(file):
            return _of_torch(file)
        if is_hdf5(file):
            found = read_keras(file)
            return WeightFile(
                path=file, arrays=found.arrays, kind="Keras", told=found.told, heads=found.heads,
                source=found,
            )  # fmt: skip
        if ending == ".onnx":
            graph = read_onnx(file)
            layers, heads = heads_of(graph)
            return WeightFile(
                path=file, arrays={**graph.arrays, **layers}, kind="ONNX", told=graph.told,
                heads=heads, source=graph,
            )  # fmt: skip
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: {error}") from None
    except _DAMAGED as error:
        told = f"{type(error).__name__} {error}"
        raise ValueError(f"{path} is damaged: {' '.join(told.split())}") from None
    if ending in _PICKLES or _looks_pickled(file):
        raise ValueError(
            f"{path} looks like a pickle, which is never read unless PyTorch wrote it: "
            "load it yourself, and save the arrays as .npz or .safetensors"
        )
    return _of_arrays(file)


def _of_torch(file: Path) -> WeightFile:
    found = read_torch(file)
    arrays = {
        name: one if isinstance(one, Unread) else found.array(name)
        for name, one in found.tensors.items()
    }
    told = {**told_beside(file, arrays), **found.told}
    return WeightFile(path=file, arrays=arrays, kind="PyTorch", told=told, source=found)


#: What the readers of formats meet in a file whose parts are of other types than they are declared.
_DAMAGED = (TypeError, KeyError, IndexError, AttributeError, ArithmeticError, RecursionError)

#: Endings of files that are pickles, by habit.
_PICKLES = {".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt", ".jit"}


def _looks_pickled(file: Path) -> bool:
    """Return whether a file begins as a pickle does."""
    with file.open("rb") as stream:
        first = stream.read(2)
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
    arrays = {"W": found[0][1]} if single else dict(found)
    return WeightFile(path=path, arrays=arrays, single=single, told=told_beside(path, arrays))


def _of_tensors(path: Path) -> WeightFile:
    tensors, metadata = read_tensors(path)
    arrays = {name: tensor.array for name, tensor in tensors.items()}
    return WeightFile(
        path=path,
        arrays=arrays,
        kind="safetensors",
        tensors=tensors,
        metadata=metadata,
        told=told_beside(path, arrays),
    )
