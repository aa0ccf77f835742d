"""Maps from named arrays, whose layout is recognised by their names.

Main names: `from_arrays`, `named_head`, `cell_names`, `map_of_names`, `Question`.

All names may have a prefix, as in ``encoder.rnn.weight_hh_l0``; nested mappings are joined by dots:

    torch   weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0 (and _l1, ...; cells without _l0);
            Equinox: weight_ih, weight_hh, bias, bias_n
    short   w_ih, w_hh, b_ih, b_hh: the same, as in enc_w_hh
    keras   kernel, recurrent_kernel, bias: matrices that act from the right; CuDNN's packing is
            known by its bias
    onnx    W, R, B, P of a node
    flax    hi.kernel and so on, one array a gate; dense_h.kernel of nnx
    haiku   lstm/linear.w; gru.w_h; vanilla_rnn/linear_1.w
    block   recurrent blocks of language models, see `theory.interop.layouts.blocks`
    own     W, U, b, b_candidate, leak: what `Map.parameters` gives
    own     A, B, bias, C, D: a linear map h <- A h + B x + bias and its readout, see `named_head`

Which cell it is follows from the shape: n, 3 n or 4 n rows for n units are a plain cell, a GRU, an
LSTM.  What no array tells is asked for: the activation of a plain cell; which GRU it is in our
layout; the activations of Keras', Flax' and ONNX's gated layers.  A file of `save_map` tells
everything.

An array below the prefix of the cell is used, or refused by name.  Without a prefix that is
everything without one; what has a prefix of its own, as ``head.weight``, is left alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, final

import numpy as np

from theory.arithmetic.activations import Activation
from theory.interop.build import Said, double_array, names_of
from theory.interop.layouts import blocks
from theory.interop.layouts.jax import flax_cell, haiku_cell
from theory.interop.layouts.keras import keras_cell
from theory.interop.layouts.onnx import onnx_cell
from theory.interop.layouts.own import linear_readout, own_cell
from theory.interop.layouts.torch import short_cell, torch_cells
from theory.interop.leftover import allowed, check_all_used, patterns_of
from theory.interop.map_file import HEADER, map_of
from theory.interop.names import check_not_made, groups_of
from theory.interop.told import Told, agreed, flat_names, told_of
from theory.maps.base import Map
from theory.maps.cascade import Cascade
from theory.maps.head import LinearHead


@final
@dataclass(frozen=True, kw_only=True)
class Question:
    """Which cell is asked for, and what is said of it beyond the arrays and the file."""

    prefix: str | Sequence[str] | None = None
    said: Said = field(default_factory=Said)
    unused: str | Iterable[str] = ()
    layout: str | None = None


def from_arrays(
    arrays: Mapping[str, Any],
    *,
    prefix: str | Sequence[str] | None = None,
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
    prefix : str or sequence of str, optional
        Where the cell is, as in ``"encoder.rnn"``; needed only if there are several.  Several
        prefixes, from the bottom up, are read as one stack, a `Cascade`.
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
        One of those of the module's docstring; any by default.

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
    return map_of_names(
        arrays, Question(prefix=prefix, said=said, unused=unused, layout=layout), told={}
    )


def map_of_names(arrays: Mapping[str, Any], question: Question, *, told: Mapping[str, Told]) -> Map:
    """Return the map that a question asks for, among named arrays of which a file tells more.

    Parameters
    ----------
    arrays : mapping
    question : Question
    told : mapping
        What the file says of each cell, by its prefix.

    Raises
    ------
    ValueError
        As `from_arrays` does, or if the file tells that the cell is no map.
    """
    said, layout, prefix = question.said, question.layout, question.prefix
    if layout is not None and layout not in _BUILDERS:
        raise ValueError(f"layout {layout!r} is not known, needed one of: {', '.join(_BUILDERS)}")
    if prefix is not None and not isinstance(prefix, str):
        return _stack(arrays, question, told)
    if HEADER in arrays:
        if prefix is not None:
            raise ValueError(f"prefix={prefix!r}, but a file of save_map holds one map, without")
        return map_of(_kept(arrays, patterns_of(question.unused), ()), said)
    patterns = patterns_of(question.unused)
    arrays, groups = _found(arrays, layout, patterns)
    asked = [name for name in arrays if not allowed(name, patterns)]
    own = [p for kind, p in groups if kind == "own"]
    if prefix is None and len(own) > 1 and sorted(own) == sorted(map(str, range(len(own)))):
        check_not_made(arrays, groups, None, layout)
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
    at = start.removesuffix(".")
    if kind == "block":
        beside = blocks.around(names, start)
        asked = [name for name in asked if not beside.fullmatch(name)]
    read = blocks.used(names) if kind == "block" else list(names.values())
    check_all_used(asked, read, [at], kind)
    return _BUILDERS[kind](_values(arrays, names), start, agreed(told_of(told, at), said, at))


def _stack(arrays: Mapping[str, Any], question: Question, told: Mapping[str, Told]) -> Map:
    """Return several cells as one map, each reading the states of the one before."""
    assert question.prefix is not None
    prefixes = [str(prefix).rstrip("./") for prefix in question.prefix]
    if not prefixes:
        raise ValueError("prefix=[] names no cell, needed a prefix, or a list of them for a stack")
    layers = []
    for below, here in zip([None, *prefixes], prefixes, strict=False):
        one = told.get(here)
        if below is not None and one is not None and one.source is not None:
            if one.source != below:
                reads = f"{one.source!r}" if one.source else "no other cell"
                raise ValueError(
                    f"{here} reads {reads}, not the states of {below!r} alone; name the cells of "
                    "one stack from the bottom up"
                )
            if one.between:
                raise ValueError(
                    f"between {below} and {here} stands {one.between}, which is no part of a map; "
                    "read each cell by itself, and build theory.Cascade with a readout of yours"
                )
        layers.append(map_of_names(arrays, replace(question, prefix=here), told=told))
        kind, _, names = cell_names(arrays, prefix=here, layout=question.layout)
        if len(prefixes) > 1 and kind == "block" and blocks.is_inner(names):
            raise ValueError(
                f"{here} is one recurrence of a network whose norms, projections and gates stand "
                "between it and the next: needed one prefix; build theory.Cascade of "
                "theory.maps.Block, with what stands between"
            )
    for (below, low), (here, top) in zip(
        list(zip(prefixes, layers, strict=True))[:-1],
        list(zip(prefixes, layers, strict=True))[1:],
        strict=True,
    ):
        if len(low.output_map) != top.input_dim:
            raise ValueError(
                f"{below} gives {len(low.output_map)} numbers, and {here} takes {top.input_dim}: "
                "they are no stack"
            )
    return layers[0] if len(layers) == 1 else Cascade(layers)


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


def cells_of(arrays: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, str]]:
    """Return the names of every cell's arrays, by its layout and prefix."""
    _, groups = _found(arrays, None, [])
    return groups


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
    arrays = flat_names(arrays)
    needed = {
        name
        for group in groups_of(arrays, layout).values()
        for key, name in group.items()
        if key not in {"C", "D"} and not key.endswith("_reverse")
    }
    kept = _kept(arrays, patterns, needed)
    return kept, groups_of(kept, layout)


def _chosen(
    arrays: Mapping[str, Any],
    groups: Mapping[tuple[str, str], dict[str, str]],
    prefix: str | None,
    layout: str | None,
) -> tuple[str, str, dict[str, str]]:
    """Return the only cell, or the one with that prefix, as `cell_names` does."""
    wanted = None if prefix is None else prefix.rstrip("./")
    check_not_made(arrays, groups, wanted, layout)
    chosen = [g for g in groups if wanted is None or g[1] == wanted]
    if len(chosen) > 1 and _alike(arrays, [groups[one] for one in chosen], chosen):
        chosen = chosen[:1]
    if len(chosen) != 1:
        where = ", ".join(f"{p or '(no prefix)'} ({kind})" for kind, p in groups)
        if not groups:
            raise ValueError(
                f"no recurrent weights among {names_of(arrays)}; needed weight_hh_l0 and "
                "so on (PyTorch), recurrent_kernel (Keras), W, or A; see the layouts of "
                "theory.interop"
            )
        if not chosen:
            raise ValueError(f"no recurrent weights under prefix={prefix!r}; there are: {where}")
        raise ValueError(
            f"more than one recurrent cell: {where}; choose one with prefix= (in a command, "
            "--prefix), or several, from the bottom up, as one stack"
        )
    kind, at = chosen[0]
    return kind, f"{at}." if at else "", groups[kind, at]


def _alike(
    arrays: Mapping[str, Any], cells: list[dict[str, str]], chosen: list[tuple[str, str]]
) -> bool:
    """Return whether cells are one and the same, as in the two branches of an If of ONNX."""
    if {kind for kind, _ in chosen} != {"onnx"}:
        return False
    first, *others = cells
    return all(
        one.keys() == first.keys()
        and all(np.array_equal(arrays[one[key]], arrays[first[key]]) for key in first)
        for one in others
    )


def _values(arrays: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {key: arrays[name] for key, name in names.items()}


_BUILDERS: dict[str, Callable[[dict[str, Any], str, Said], Map]] = {
    "torch": torch_cells,
    "short": short_cell,
    "keras": keras_cell,
    "onnx": onnx_cell,
    "flax": flax_cell,
    "haiku": haiku_cell,
    "block": blocks.block_cell,
    "own": own_cell,
}
