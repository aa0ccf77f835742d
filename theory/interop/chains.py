"""Chains of layers between a cell and an output, from a file that tells them or from the caller.

Main names: `with_chains`, `told_chain`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from theory.files.arrays import Unread
from theory.interop.files import WeightFile
from theory.interop.layers import Layer, changed
from theory.interop.told import Through
from theory.maps.base import Map
from theory.maps.combine import Chain
from theory.maps.functions import Pointwise
from theory.maps.output import chain_of


def with_chains(file: WeightFile, layers: dict[str, Layer]) -> dict[str, Layer]:
    """Return the layers, each with the chain below it where the file tells all of it."""
    found = dict(layers)
    for at, told in file.heads.items():
        if at in layers and told.through:
            try:
                steps = [_step(file, one, layers) for one in told.through]
                whole = chain_of([*steps, ("dense", layers[at].C, None)])
            except ValueError:
                continue  # it stays named
            found[at] = replace(layers[at], below=Chain(whole.functions[:-1]))
    return found


def _step(file: WeightFile, one: Through, layers: Mapping[str, Layer]) -> tuple[Any, ...]:
    """Return a step for `chain_of`.

    Raises
    ------
    ValueError
        If its arrays are not there as they are used.
    """
    if one.kind == "softmax":
        return ("softmax",)
    if one.kind == "pointwise":
        return "pointwise", one.word
    stored = changed(file, one.at)
    if stored:
        raise ValueError(f"{one.at} {stored}")
    if one.kind == "dense":
        if one.at not in layers or layers[one.at].either:
            raise ValueError(f"{one.at} has no weight, (p, n)")
        layer = layers[one.at]
        d = np.zeros(len(layer.C)) if layer.d is None else layer.d
        return "dense", layer.C, d
    parts = [_array(file, one, part) for part in one.parts]
    sizes = {np.shape(part) for part in parts if part is not None}
    if len(sizes) != 1:
        raise ValueError(f"{one.at} has no gain and no bias that tell how wide it is")
    gain, bias = parts
    return one.kind, np.ones(sizes.pop()) if gain is None else gain, bias, one.eps


def _array(file: WeightFile, one: Through, part: str) -> Any:
    """Return the gain or bias of a normalisation; an archive of Keras 3 only numbers them."""
    if not part:
        return None
    there = [name for name in one.parts if name]
    numbered = ("kernel", "bias")[there.index(part)]
    for key in (part, numbered):
        for mark in "./":
            value = file.arrays.get(f"{one.at}{mark}{key}")
            if value is not None and not isinstance(value, Unread):
                return np.asarray(value, dtype=np.float64)
    raise ValueError(f"{one.at} has no {part}")


def told_chain(file: WeightFile, recurrent: Map, name: str, layers: Mapping[str, Layer]) -> Chain:
    """Return the chain of layers and activations that a caller tells, as in fc1,relu,fc2."""
    steps: list[tuple[Any, ...]] = []
    words = [one.strip() for one in name.split(",")]
    for one in words:
        at = one.rstrip("./").removesuffix(".weight").removesuffix("/kernel")
        if at in layers:
            if at in file.heads:
                raise ValueError(f"{file.path} tells what stands before {at}: ask for {at} alone")
            steps.append(_step(file, Through(kind="dense", at=at), layers))
            continue
        if one == "softmax":
            steps.append(("softmax",))
            continue
        try:
            Pointwise(one, 1)
        except ValueError:
            there = ", ".join(layer or "(no prefix)" for layer in layers) or "none"
            raise ValueError(
                f"{file.path}: {one!r} of {name!r} is no layer, there are: {there}; and no "
                "activation, such as relu, tanh, sigmoid, gelu or softmax; theory.maps.with_head "
                "takes a chain with normalisations"
            ) from None
        steps.append(("pointwise", one))
    function = chain_of(steps)
    if function.input_dim not in {recurrent.state_dim, len(recurrent.output_map)}:
        raise ValueError(
            f"{file.path}: {name} takes {function.input_dim} numbers, needed "
            f"{len(recurrent.output_map)}, as many as {recurrent!r} shows"
        )
    return function
