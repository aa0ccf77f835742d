"""Maps from named arrays, whose layout is recognised by their names.

Main names: `from_arrays`, `named_head`, `cell_names`.

All names may have a prefix, as in ``encoder.rnn.weight_hh_l0``:

    torch   weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0 (and _l1, ...; cells without _l0)
    keras   kernel, recurrent_kernel, bias: matrices that act from the right
    own     W, U, b, b_candidate, leak: what `Map.parameters` gives
    own     A, B, bias, C, D: a linear map h <- A h + B x + bias and its readout, see `named_head`

Which cell it is follows from the shape: n, 3 n or 4 n rows for n units are a plain cell, a GRU, an
LSTM.  What no array tells is asked for: the activation of a plain cell; which GRU it is in our
layout; the activations of Keras' gated layers.  A file of `save_map` tells everything.

An array below the prefix of the cell is used, or refused by name.  Without a prefix that is
everything without one; what has a prefix of its own, as ``head.weight``, is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from theory.arithmetic.activations import Activation
from theory.interop.build import Said, double_array, names_of
from theory.interop.layouts.keras import keras_cell
from theory.interop.layouts.own import linear_readout, own_cell
from theory.interop.layouts.torch import torch_cells
from theory.interop.leftover import allowed, check_all_used, patterns_of
from theory.interop.map_file import HEADER, map_of
from theory.maps.base import Map
from theory.maps.cascade import Cascade
from theory.maps.head import LinearHead

_TORCH = re.compile(
    r"(?:(?P<prefix>.*)\.)?(?P<key>(?:weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)"
    r"(?:_l\d+)?(?:_reverse)?)"
)
#: What parametrizations, their predecessors and wrappers store instead of, or beside, a weight.
_MADE = re.compile(
    r"(?:(?P<prefix>.*?)\.)??(?:parametrizations\.(?P<held>(?:weight|bias)_[ih]\w+)\.\w+(?:\.\w+)*"
    r"|(?P<key>(?:weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)(?:_l\d+)?(?:_reverse)?)"
    r"_(?!l\d|reverse$)\w+)"
)
_KERAS = re.compile(r"(?:(?P<prefix>.*)[./])?(?P<key>kernel|recurrent_kernel|bias)(?::0)?")
_OWN = re.compile(r"(?:(?P<prefix>.*)\.)?(?P<key>W|U|b|b_candidate|leak|A|B|C|D|bias)")

#: What makes a group of names one of that layout: Keras' other layers have kernels, too.
_LAYOUTS = (
    ("torch", _TORCH, re.compile(r"weight_[ih]h.*")),
    ("keras", _KERAS, re.compile("recurrent_kernel")),
    ("own", _OWN, re.compile("W|A")),
)


def from_arrays(
    arrays: Mapping[str, Any],
    *,
    prefix: str | None = None,
    activation: str | Activation | None = None,
    variant: str | None = None,
    recurrent_activation: str | None = None,
    unused: str | Iterable[str] = (),
    layout: str | None = None,
) -> Map:
    """Return the map of named arrays, in one of the layouts of the module's docstring.

    Parameters
    ----------
    arrays : mapping
        Names to arrays or tensors.
    prefix : str, optional
        Where the cell is, as in ``"encoder.rnn"``; needed only if there are several.
    activation : str, optional
        Of a plain cell, as ``tanh``; with ``identity`` it is a `LinearMap`.  Needed unless the
        arrays tell.  Under Keras' names also of a gated cell, as ``get_config()`` says it.
    variant : str, optional
        Of a GRU, ``reset_after`` or ``reset_before``; needed unless the arrays tell.
    recurrent_activation : str, optional
        Of the gates, needed under Keras' names; there are maps of ``sigmoid`` only.
    unused : str or iterable of str
        Names of arrays that may be left over, or patterns of them, as ``"ema.*"``.
    layout : str, optional
        ``torch``, ``keras`` or ``own``; any by default.

    Returns
    -------
    Map

    Raises
    ------
    ValueError
        If no cell is found or more than one (the message lists them), keys are missing (the message
        lists which), shapes do not fit, a weight is not finite, an array is left over, or something
        is not said that no array tells.

    Examples
    --------
    >>> import numpy as np
    >>> from_arrays({"W": np.eye(2), "U": np.ones((2, 1)), "b": np.zeros(2)}, activation="tanh")
    VanillaRNN(n=2, m=1, activation='tanh')
    """
    said = Said(activation=activation, variant=variant, recurrent_activation=recurrent_activation)
    if layout is not None and layout not in _BUILDERS:
        raise ValueError(f"layout {layout!r} is not known, needed one of: {', '.join(_BUILDERS)}")
    if HEADER in arrays:
        if prefix is not None:
            raise ValueError(f"prefix={prefix!r}, but a file of save_map holds one map, without")
        return map_of(_kept(arrays, patterns_of(unused), ()), said)
    patterns = patterns_of(unused)
    arrays, groups = _found(arrays, layout, patterns)
    asked = [name for name in arrays if not allowed(name, patterns)]
    own = [p for kind, p in groups if kind == "own"]
    if prefix is None and len(own) > 1 and sorted(own) == sorted(map(str, range(len(own)))):
        _check_not_made(arrays, groups, None, layout)
        if any(re.fullmatch(r"\d+\.(readout|readout_bias|C|D)", name) for name in arrays):
            raise ValueError(
                "a readout between layers has no layout; build the Cascade yourself, or write it "
                "with theory.interop.save_map, which keeps it"
            )
        parts = [groups["own", str(i)] for i in range(len(own))]
        check_all_used(asked, [n for part in parts for n in part.values()], ["", *own], "own")
        return Cascade(
            [own_cell(_values(arrays, part), f"{i}.", said) for i, part in enumerate(parts)]
        )
    kind, start, names = _chosen(arrays, groups, prefix, layout)
    check_all_used(asked, list(names.values()), [start.removesuffix(".")], kind)
    return _BUILDERS[kind](_values(arrays, names), start, said)


def cell_names(
    arrays: Mapping[str, Any],
    *,
    prefix: str | None = None,
    layout: str | None = None,
    unused: str | Iterable[str] = (),
) -> tuple[str, str, dict[str, str]]:
    """Return the layout of the cell among the arrays, what its names start with, and the names.

    Parameters
    ----------
    arrays, prefix, layout, unused
        As in `from_arrays`.

    Returns
    -------
    tuple
        For example ``("torch", "rnn.", {"weight_hh_l0": "rnn.weight_hh_l0", ...})``.

    Raises
    ------
    ValueError
        If no cell is found or more than one, or a weight is not stored itself.
    """
    arrays, groups = _found(arrays, layout, patterns_of(unused))
    return _chosen(arrays, groups, prefix, layout)


def named_head(
    arrays: Mapping[str, Any], *, prefix: str | None = None, unused: str | Iterable[str] = ()
) -> LinearHead:
    """Return the readout y = C h of a linear system among named arrays, C beside A and B.

    Parameters
    ----------
    arrays, prefix, unused
        As in `from_arrays`.  D, from the input straight to the output, has to be zero or unused.

    Returns
    -------
    LinearHead
        It reads the state after the input of the same time; where y is read before it, as control
        theory does, a context of k inputs is one of k + 1 for y, see `from_state_space`.

    Raises
    ------
    ValueError
        If there is no C beside A, or as `from_arrays` does.

    Examples
    --------
    >>> arrays = {"A": [[0.5]], "B": [[1.0]], "C": [[3.0]]}
    >>> from_arrays(arrays), named_head(arrays).C.tolist()
    (LinearMap(n=1, m=1), [[3.0]])
    """
    recurrent = from_arrays(arrays, prefix=prefix, unused=unused, layout="own")
    _, start, names = cell_names(arrays, prefix=prefix, layout="own", unused=unused)
    if "C" not in names:
        raise ValueError(f"no {start}C beside {start}A; there are {names_of(names.values())}")
    doubles = {
        key: double_array(name, arrays[name]) for key, name in names.items() if key in {"C", "D"}
    }
    found = linear_readout(doubles, start, recurrent.state_dim, recurrent.input_dim)
    assert found is not None
    return found


def _kept(
    arrays: Mapping[str, Any], patterns: list[str], needed: Collection[str]
) -> dict[str, Any]:
    """Return the arrays without those that are not to be used; a pattern leaves what is needed."""
    return {
        name: value
        for name, value in arrays.items()
        if not allowed(name, patterns, exact=name in needed)
    }


def _found(
    arrays: Mapping[str, Any], layout: str | None, patterns: list[str]
) -> tuple[dict[str, Any], dict[tuple[str, str], dict[str, str]]]:
    """Return the arrays that are to be read, and the names of each cell's by layout and prefix."""
    arrays = {str(name): value for name, value in arrays.items()}
    needed = {
        name
        for group in _groups(arrays, layout).values()
        for key, name in group.items()
        if key not in {"C", "D"} and not key.endswith("_reverse")
    }
    kept = _kept(arrays, patterns, needed)
    return kept, _groups(kept, layout)


def _chosen(
    arrays: Mapping[str, Any],
    groups: Mapping[tuple[str, str], dict[str, str]],
    prefix: str | None,
    layout: str | None,
) -> tuple[str, str, dict[str, str]]:
    """Return the only cell, or the one with that prefix, as `cell_names` does."""
    wanted = None if prefix is None else prefix.rstrip("./")
    _check_not_made(arrays, groups, wanted, layout)
    chosen = [g for g in groups if wanted is None or g[1] == wanted]
    if len(chosen) != 1:
        where = ", ".join(f"{p or '(no prefix)'} ({kind})" for kind, p in groups)
        if not groups:
            inner = [name for name, value in arrays.items() if isinstance(value, Mapping) and value]
            deeper = f"; {inner[0]} holds more names: pass what is in it" if inner else ""
            raise ValueError(
                f"no recurrent weights among {names_of(arrays)}{deeper}; needed weight_hh_l0 and "
                "so on (PyTorch), recurrent_kernel (Keras), W, or A; see the layouts of "
                "theory.interop"
            )
        if not chosen:
            raise ValueError(f"no recurrent weights under prefix={prefix!r}; there are: {where}")
        raise ValueError(
            f"more than one recurrent cell: {where}; choose one with prefix= (for a stack, read "
            "each, and build theory.Cascade of them)"
        )
    kind, at = chosen[0]
    return kind, f"{at}." if at else "", groups[kind, at]


def _values(arrays: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {key: arrays[name] for key, name in names.items()}


def _groups(arrays: Mapping[str, Any], layout: str | None) -> dict[tuple[str, str], dict[str, str]]:
    """Return the names of each cell's arrays by layout and prefix."""
    groups: dict[tuple[str, str], dict[str, str]] = {}
    for kind, pattern, needs in _LAYOUTS:
        if layout not in {None, kind}:
            continue
        found: dict[str, dict[str, str]] = {}
        for name in arrays:
            match = pattern.fullmatch(str(name))
            if match:
                found.setdefault(match["prefix"] or "", {})[match["key"]] = name
        for at, group in found.items():
            if kind == "own" and "A" not in group:
                # a readout has no meaning beside W
                group = {key: name for key, name in group.items() if key not in {"C", "D"}}
            if any(needs.fullmatch(key) for key in group):
                groups[kind, at] = group
    return groups


def _check_not_made(
    arrays: Mapping[str, Any],
    groups: Mapping[tuple[str, str], Mapping[str, Any]],
    wanted: str | None,
    layout: str | None,
) -> None:
    """Check that no weight of PyTorch's is stored in parts, or beside what it is made from."""
    if layout not in {None, "torch"}:
        return
    cells = {p: g for (kind, p), g in groups.items() if kind == "torch" and wanted in {None, p}}
    loose: dict[str, list[str]] = {}
    for name in map(str, arrays):
        match = None if _TORCH.fullmatch(name) else _MADE.fullmatch(name)
        if match is None:
            continue
        at, key = match["prefix"] or "", match["held"] or match["key"]
        # a wrapper around the cell may hold them, too
        p = next((p for p in cells if at in {p, ""} or p.startswith(f"{at}.")), None)
        if p is not None and key in cells[p]:
            raise ValueError(
                f"{_joined(p, key)} and {name} are both there, and one may be made from the other "
                "before every forward pass, perhaps as it was in training; which of them counts is "
                "not known: pass the module, or leave out the one that does not count"
            )
        if wanted in {None, at, p}:
            loose.setdefault(at if p is None else p, []).append(name)
    others = sorted({*cells, *loose})
    if wanted is None and loose and len(others) > 1:
        where = ", ".join(f"{p or '(no prefix)'} (torch)" for p in others)
        raise ValueError(f"more than one recurrent cell: {where}; choose one with prefix=")
    for names in loose.values():
        raise ValueError(
            f"weights are not stored themselves, but what they are made from: {names_of(names)}; a "
            "state dict does not tell how: pass the module, or first call remove_parametrizations, "
            "remove_weight_norm, remove_spectral_norm or prune.remove of torch.nn.utils, whichever "
            "it was; where one array is the weight itself (weight drop), rename it to that"
        )


def _joined(prefix: str, key: str) -> str:
    return f"{prefix}.{key}" if prefix else key


_BUILDERS: dict[str, Callable[[dict[str, Any], str, Said], Map]] = {
    "torch": torch_cells,
    "keras": keras_cell,
    "own": own_cell,
}
