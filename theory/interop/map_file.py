r"""Files of maps: written and read bit for bit, with everything that makes a map.

Main names: `save_map`, `load_map`, `map_of`.

A file is an .npz archive: the parameters under the names of `Map.parameters`, and a line of text
(JSON) under `HEADER` that says the format with its version, the kind of map, and what no array
tells.  It is read by `from_npz`, `read_weights` and the commands, too.  Nothing is unpickled.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np

from theory.arithmetic.activations import Activation, activation
from theory.files.arrays import ArrayFileError, read_arrays, write_archive
from theory.files.writing import check_writable, replacing
from theory.interop.build import Said, double_array, names_of
from theory.interop.function_file import built_function, described_function
from theory.maps.attention import LinearAttention
from theory.maps.base import Map, check_map
from theory.maps.block import Block
from theory.maps.cascade import Cascade
from theory.maps.delta import DeltaRule
from theory.maps.diagonal import DiagonalSSM, complex_of
from theory.maps.esn import EchoStateNetwork
from theory.maps.exponential import SLSTM
from theory.maps.gru import GRU
from theory.maps.hard_gru import HardGRU
from theory.maps.head import LinearHead
from theory.maps.linear import LinearMap
from theory.maps.lstm import LSTM
from theory.maps.mingru import MinGRU
from theory.maps.peephole import PeepholeLSTM
from theory.maps.rglru import RGLRU
from theory.maps.rnn import VanillaRNN
from theory.maps.selective import SelectiveSSM

#: The name of the line that says what the arrays are.
HEADER = "__map__"

#: What the line begins with; the number grows with every incompatible change.
FORMAT = "stable-recurrent-models map, version 1"


@final
@dataclass(frozen=True, kw_only=True)
class _Kind:
    """How maps of a class are described."""

    of: type[Map]
    arrays: tuple[str, ...]  # the names of `Map.parameters`
    settings: tuple[str, ...] = ()  # what else the constructor takes, and the map has
    make: Callable[..., Map] | None = None  # from arrays and settings, the class by default


def _diagonal(
    *, eigenvalues_real: Any, eigenvalues_imag: Any, B_real: Any, B_imag: Any
) -> DiagonalSSM:
    return DiagonalSSM(
        complex_of("eigenvalues", eigenvalues_real, eigenvalues_imag),
        complex_of("B", B_real, B_imag),
    )


#: A class of maps is written and read if it stands here; a `Cascade` of them is, too.
_KINDS = {
    "LinearMap": _Kind(of=LinearMap, arrays=("W", "U", "b")),
    "VanillaRNN": _Kind(of=VanillaRNN, arrays=("W", "U", "b"), settings=("activation",)),
    "EchoStateNetwork": _Kind(
        of=EchoStateNetwork, arrays=("W", "U", "b", "leak"), settings=("activation",)
    ),
    "LSTM": _Kind(of=LSTM, arrays=("W", "U", "b")),
    "PeepholeLSTM": _Kind(
        of=PeepholeLSTM, arrays=("W", "U", "b", "peepholes"), settings=("gates",)
    ),
    "GRU": _Kind(of=GRU, arrays=("W", "U", "b", "b_candidate"), settings=("variant",)),
    "HardGRU": _Kind(
        of=HardGRU, arrays=("W", "U", "b", "b_candidate"), settings=("variant", "gates")
    ),
    "SLSTM": _Kind(of=SLSTM, arrays=("W", "U", "b"), settings=("forget",)),
    "MinGRU": _Kind(of=MinGRU, arrays=("U", "b"), settings=("activation",)),
    "RGLRU": _Kind(of=RGLRU, arrays=("U", "Lambda", "b"), settings=("scale",)),
    "SelectiveSSM": _Kind(
        of=SelectiveSSM,
        arrays=("decay", "W_step", "W_B", "b_step", "b_B"),
        settings=("discretization",),
    ),
    "LinearAttention": _Kind(
        of=LinearAttention,
        arrays=("U", "b", "decay"),
        settings=("heads", "keys", "values", "forget", "write"),
    ),
    "DeltaRule": _Kind(
        of=DeltaRule,
        arrays=("U", "b", "decay", "scale", "mix"),
        settings=("heads", "keys", "values", "rule", "eps"),
    ),
    "DiagonalSSM": _Kind(
        of=DiagonalSSM,
        arrays=("eigenvalues_real", "eigenvalues_imag", "B_real", "B_imag"),
        make=_diagonal,
    ),
}
_CASCADE, _BLOCK = "Cascade", "Block"


def save_map(path: str | Path, recurrent: Map) -> None:
    """Write a map into an .npz file that tells everything of it, in one step.

    Parameters
    ----------
    path : path
        It ends in ``.npz``; a file that is there is replaced.
    recurrent : Map
        Any but a `CallableMap`, whose function is not written.

    Raises
    ------
    ValueError
        If the path does not end so or cannot be written, or the map, or a layer of it, is of a
        class that cannot be described.

    Examples
    --------
    >>> import tempfile
    >>> from theory import GRU
    >>> cell = GRU([[0.5]] * 3, [[1.0]] * 3, variant="reset_before")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_map(f"{folder}/cell.npz", cell)
    ...     load_map(f"{folder}/cell.npz")
    GRU(n=1, m=1, variant='reset_before')
    """
    if isinstance(path, Map):
        raise ValueError("path is a map, needed save_map(path, map): were they exchanged?")
    file = Path(path)
    if file.suffix.lower() != ".npz":
        raise ValueError(f"{path} ends in {file.suffix!r}, needed .npz: it is an archive of arrays")
    line = json.dumps({"format": FORMAT, **_described(check_map(recurrent))})
    check_writable(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as stream:
        write_archive(stream, {HEADER: np.array(line), **recurrent.parameters})


def load_map(path: str | Path) -> Map:
    """Return the map of a file that `save_map` wrote, bit for bit.

    Parameters
    ----------
    path : path

    Raises
    ------
    ValueError
        If the file cannot be read, is of another kind, or what it holds is not one map.
    """
    file = Path(path)
    try:
        arrays = dict(read_arrays(file))
        if HEADER not in arrays:
            raise ValueError(
                f"it is no file of save_map: it holds {names_of(arrays)}, and nothing under "
                f"{HEADER!r}; theory.interop.read_weights reads weights of other programs"
            )
        return map_of(arrays, Said())
    except ArrayFileError as error:
        told = str(error).removeprefix(f"{file.name} cannot be read: ")
        raise ValueError(f"{path} cannot be read: {told}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def map_of(arrays: Mapping[str, Any], said: Said) -> Map:
    """Return the map of the arrays of a file, its line among them.

    Raises
    ------
    ValueError
        If the line cannot be read, arrays are missing or left over, or something else is said.
    """
    described = _read_line(arrays[HEADER])
    rest = {name: value for name, value in arrays.items() if name != HEADER}
    try:
        recurrent = _built(described, rest)
    except RecursionError:
        raise ValueError("stacks stand in stacks too deeply; the file is damaged") from None
    _check_said(recurrent, said)
    return recurrent


def described_map(recurrent: Map) -> str:
    """Return a line that tells, with the parameters, everything of a map.

    Raises
    ------
    ValueError
        If it is of a kind that no file of a map holds.
    """
    return json.dumps(_described(recurrent), sort_keys=True)


def _described(recurrent: Map) -> dict[str, Any]:
    """Return the kind of a map and what its parameters do not tell, for JSON, exactly."""
    if isinstance(recurrent, Cascade):
        return {
            "kind": _CASCADE,
            "layers": [_described(layer) for layer in recurrent.layers],
            "readouts": [readout.given for readout in recurrent.readouts],
        }
    if isinstance(recurrent, Block):
        before, after = recurrent.before, recurrent.after
        return {
            "kind": _BLOCK,
            "core": _described(recurrent.core),
            "before": None if before is None else described_function(before),
            "after": None if after is None else described_function(after),
        }
    found = [(word, kind) for word, kind in _KINDS.items() if isinstance(recurrent, kind.of)]
    if not found:
        raise ValueError(
            f"{recurrent!r} cannot be written: its step is a function of yours, not made of "
            "arrays; needed a Cascade, a Block or one of: " + ", ".join(_KINDS)
        )
    ((word, kind),) = found
    settings = {name: getattr(recurrent, name) for name in kind.settings}
    return {"kind": word} | {
        name: value.name if isinstance(value, Activation) else value
        for name, value in settings.items()
    }


def _read_line(line: Any) -> dict[str, Any]:
    array = np.asarray(line)
    if array.ndim != 0 or array.dtype.kind != "U":
        raise ValueError(f"{HEADER} is no line of text; the file is damaged")
    try:
        described = json.loads(str(array))
    except (ValueError, RecursionError):
        raise ValueError(f"{HEADER} is not JSON; the file is damaged") from None
    told = described.get("format") if isinstance(described, dict) else None
    if told != FORMAT:
        raise ValueError(f"the format of the map is {told!r}, needed {FORMAT!r}")
    return dict(described)


def _built(described: Any, arrays: Mapping[str, Any]) -> Map:
    """Return the map that is described, of these arrays and no others."""
    if not isinstance(described, dict):
        raise ValueError(f"a layer is described by {described!r}; the file is damaged")
    word = described.get("kind")
    if word == _CASCADE:
        return _built_cascade(described, arrays)
    if word == _BLOCK:
        return _built_block(described, arrays)
    kind = _KINDS.get(word) if isinstance(word, str) else None
    if kind is None:
        raise ValueError(
            f"the kind of map is {word!r}, needed one of: {', '.join([*_KINDS, _CASCADE, _BLOCK])}"
        )
    _check_names(arrays, kind.arrays)
    missing = [name for name in kind.settings if name not in described]
    if missing:
        raise ValueError(f"the line says no {missing[0]} of a {word}; the file is damaged")
    doubles = {name: double_array(name, arrays[name]) for name in kind.arrays}
    settings = {name: described[name] for name in kind.settings}
    strange = sorted(described.keys() - {"format", "kind", *kind.settings})
    if strange:
        raise ValueError(f"the line says {strange[0]} of a {word}, which has none")
    try:
        return (kind.make or kind.of)(**doubles, **settings)
    except (TypeError, OverflowError):
        raise ValueError(f"{settings} do not make a {word}; the file is damaged") from None


def _built_block(described: dict[str, Any], arrays: Mapping[str, Any]) -> Map:
    parts: dict[str, dict[str, Any]] = {"core": {}, "before": {}, "after": {}}
    for name, value in arrays.items():
        word, _, rest = name.partition(".")
        if word not in parts:
            raise ValueError(f"{name} is of no part of a Block; the file is damaged")
        parts[word][rest] = value if word == "core" else double_array(name, value)
    if not parts.keys() <= described.keys():
        raise ValueError("the parts of the Block are not described; the file is damaged")
    made: dict[str, Any] = {}
    for word in ("before", "after"):
        given = described[word]
        if given is None:
            _check_names(parts[word], (), f"{word}.")
        made[word] = None if given is None else built_function(given, parts[word])
    return Block(_built(described["core"], parts["core"]), **made)


def _built_cascade(described: dict[str, Any], arrays: Mapping[str, Any]) -> Map:
    layers, given = described.get("layers"), described.get("readouts")
    if not isinstance(layers, list) or not isinstance(given, list) or len(given) != len(layers) - 1:
        raise ValueError("the layers of the Cascade are not described; the file is damaged")
    parts: list[dict[str, Any]] = [{} for _ in layers]
    heads: list[dict[str, Any]] = [{} for _ in given]
    numbers, strange = {str(k) for k in range(len(layers))}, []
    for name, value in arrays.items():
        number, _, own = name.partition(".")
        if number not in numbers:
            strange.append(name)
        elif own in {"readout", "readout_bias"} and int(number) < len(given):
            heads[int(number)][own] = value
        else:
            parts[int(number)][own] = value
    _check_names(dict.fromkeys(strange), ())
    for at, (head, there) in enumerate(zip(heads, given, strict=True)):
        needed = ("readout", "readout_bias") if there else ()
        _check_names(head, needed, f"{at}.")
    readouts = [
        LinearHead(*(double_array(name, head[name]) for name in ("readout", "readout_bias")))
        if head
        else None
        for head in heads
    ]
    maps = []
    for at, (layer, part) in enumerate(zip(layers, parts, strict=True)):
        try:
            maps.append(_built(layer, part))
        except ValueError as error:
            raise ValueError(f"layer {at}: {error}") from None
    return Cascade(maps, readouts)


def _check_names(arrays: Mapping[str, Any], needed: tuple[str, ...], start: str = "") -> None:
    """Check that the arrays are all that are needed, and no others."""
    missing = [f"{start}{name}" for name in needed if name not in arrays]
    if missing:
        raise ValueError(f"missing keys: {', '.join(missing)}; the file is damaged")
    left = [f"{start}{name}" for name in arrays if name not in needed]
    if left:
        raise ValueError(
            f"{names_of(left)} would be left over: the map that the file describes has no such "
            f"parameter; allow it with unused={left[0]!r} (in a command, --unused {left[0]})"
        )


def _check_said(recurrent: Map, said: Said) -> None:
    """Check that nothing else is said than what the file tells."""
    wanted = said.activation
    for name, value in (
        ("activation", None if wanted is None else activation(wanted).name),
        ("variant", said.variant),
    ):
        if value is None:
            continue
        known = getattr(recurrent, name, None)
        told = known.name if isinstance(known, Activation) else known
        if name == "activation" and isinstance(recurrent, LinearMap):
            told = "identity"
        if value != told:
            raise ValueError(
                f"{name}={value!r}, but the file tells that the map is {recurrent!r}; leave "
                f"{name}= out"
            )
    if said.recurrent_activation not in {None, "sigmoid"}:
        said.check_known(variant=said.variant)
