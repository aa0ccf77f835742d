r"""The weights that the next forward pass of a PyTorch cell reads in evaluation mode, or why not.

Main names: `known_class`, `check_forward`, `check_around`, `check_stored`, `weights_in_use`,
`nonlinearity`, `strange_cells`.

A module's attribute need not be what its forward pass computes with: a hook or a wrapper may set it
anew before every pass, a parametrization computes it at every use, a subclass may do anything.  A
weight is *stored* if it is a plain `torch.nn.Parameter`, registered on the module under its own
name, and nothing known writes to it.  Three makers are understood beside that and evaluated without
a change of the module: parametrizations, and the hooks of `torch.nn.utils.weight_norm`,
`spectral_norm` and `prune`.  Everything else is refused, by name and with what to do.

Its functions take modules, so that PyTorch is installed where they are called; without it this file
can be imported.
"""

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, final

import numpy as np

torch: Any
nn: Any
try:
    torch = import_module("torch")
    nn = torch.nn
except ImportError:  # the extra is not installed
    torch = nn = None

#: What a subclass may define again without a change of the forward pass.
_HARMLESS = {
    "__init__", "__module__", "__doc__", "__qualname__", "__annotations__", "__dict__",
    "__weakref__", "__static_attributes__", "__firstlineno__", "__annotate__", "__annotate_func__",
    "__annotations_cache__", "__slots__", "__constants__", "__repr__", "__str__", "__getstate__",
    "__setstate__", "__reduce__", "__reduce_ex__", "__hash__", "__init_subclass__", "_get_name",
    "_version", "dump_patches", "extra_repr", "reset_parameters", "state_dict", "load_state_dict",
    "_save_to_state_dict", "_load_from_state_dict", "get_extra_state", "set_extra_state",
}  # fmt: skip

_COPY = "copy the weights that count into a torch.nn module of its own, and pass that"


def known_class(module: Any) -> Any:
    """Return the class of PyTorch's own cells or layers that a module is, or None."""
    known = (nn.RNN, nn.LSTM, nn.GRU, nn.RNNCell, nn.LSTMCell, nn.GRUCell)
    return next((one for one in known if isinstance(module, one)), None)


def nonlinearity(module: Any) -> str:
    """Return the activation that a plain cell's forward pass uses."""
    # a layer's forward pass looks at its mode, a cell's at its nonlinearity
    if isinstance(module, nn.RNN):
        return {"RNN_TANH": "tanh", "RNN_RELU": "relu"}[module.mode]
    return str(getattr(module, "nonlinearity", "tanh"))


def names_of(module: Any) -> list[str]:
    """Return the names of the weights that the forward pass reads; a cell's biases may be None."""
    if isinstance(module, nn.RNNCellBase):
        return ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    return list(module._flat_weights_names)


def _parametrized(module: Any, name: str) -> bool:
    return bool(nn.utils.parametrize.is_parametrized(module, name))


# ------------------------------------------------------------------------------- what runs at all


def check_forward(module: Any, name: str = "the module") -> None:
    """Check that PyTorch's own forward pass runs, and nothing unknown before or after it.

    Raises
    ------
    ValueError
        If a subclass, the object itself, a hook or autocast changes what is computed.
    """
    known = known_class(module)
    kind = type(module).__name__
    if known is None or type(module).forward is not known.forward:
        raise ValueError(
            f"{name} is a {kind} with a forward pass of its own; what it computes is not known; "
            "pass its state dict to from_torch if it is the usual one"
        )
    for one in type(module).__mro__:
        if one in known.__mro__:
            continue
        for key in vars(one):
            own = hasattr(known, key) and key not in _HARMLESS
            if own or (key in names_of(module) and not _parametrized(module, key)):
                raise ValueError(
                    f"{name} is a {kind}, in which {one.__name__} defines {key} of "
                    f"torch.nn.{known.__name__} again; what it computes is not known; {_COPY}"
                )
    if getattr(module, "_compiled_call_impl", None) is not None:
        raise ValueError(
            f"{name} is compiled in place (module.compile()); what it computes is that of the "
            f"compiler, in its arithmetic; {_COPY}"
        )
    for key in vars(module):
        if callable(getattr(known, key, None)):
            raise ValueError(
                f"{name} has a {key} of its own, set on the object, as wrappers do that set "
                f"weights before every forward pass (weight drop); {_COPY}"
            )
    for when, hooks in _hooks_on(module):
        unknown = [hook for hook in hooks if when != "before" or target_of(hook) is None]
        if unknown:
            raise ValueError(
                f"{name} has the hook {_word(unknown[0])}, which runs {when} the forward pass: "
                "whether it sets weights or changes what goes in and out is not known; take it "
                "off with the remove() of its handle"
            )
    device = next((p.device.type for p in module.parameters()), "cpu")
    if device != "meta" and torch.is_autocast_enabled(device):
        raise ValueError(
            f"{name} is looked at under torch.autocast, where the forward pass rounds weights to "
            "fewer digits than are stored; call this outside of the autocast block"
        )


def _hooks_on(module: Any) -> list[tuple[str, list[Any]]]:
    shared: Any = import_module("torch.nn.modules.module")
    # a hook that takes keywords is none of those that are understood
    keywords = set(getattr(module, "_forward_pre_hooks_with_kwargs", {}))
    before = [
        (lambda *_, hook=hook: hook) if key in keywords else hook
        for key, hook in module._forward_pre_hooks.items()
    ]
    return [
        ("before", [*getattr(shared, "_global_forward_pre_hooks", {}).values(), *before]),
        (
            "after",
            [
                *getattr(shared, "_global_forward_hooks", {}).values(),
                *module._forward_hooks.values(),
            ],
        ),
    ]


def _word(hook: Any) -> str:
    """Return a name of a hook for a message."""
    return str(getattr(hook, "__qualname__", type(hook).__name__))


def check_around(root: Any, path: str) -> None:
    """Check that no module around a cell is known, or may be suspected, to set its weights.

    Parameters
    ----------
    root : torch.nn.Module
    path : str
        Where the cell is in it, as `named_modules` says.

    Raises
    ------
    ValueError
        If a module around it holds a tensor named after a weight, or has a hook that is not known.
    """
    parts = path.split(".") if path else []
    cell = root.get_submodule(path)
    for k in range(len(parts)):
        at = ".".join(parts[:k])
        outer = root.get_submodule(at)
        where = at or f"the {type(outer).__name__}"
        for name in names_of(cell):
            beside = _named_after(outer, name)
            if beside:
                raise ValueError(
                    f"{where} holds {', '.join(beside)}, from which it seems to set {path}.{name} "
                    "before every forward pass (weight drop); which of them counts is not known; "
                    f"{_COPY}"
                )
        for hook in getattr(outer, "_forward_pre_hooks", {}).values():
            if target_of(hook) is None:
                raise ValueError(
                    f"{where} has the hook {_word(hook)}, which runs before the forward pass and "
                    f"may set the weights of {path}; take it off with the remove() of its handle, "
                    "or pass the cell itself if the hook leaves its weights alone"
                )


def strange_cells(root: Any) -> list[str]:
    """Return what else in a module seems to be a recurrent cell, and why it cannot be read."""
    found = []
    kinds = {"RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"}
    for name, one in root.named_modules():
        where, kind = name or "(itself)", type(one).__name__
        if isinstance(one, torch.jit.ScriptModule):
            if getattr(one, "original_name", "") in kinds:
                found.append(
                    f"{where} is an {one.original_name} compiled by torch.jit; pass the module it "
                    "was made from, or its state_dict()"
                )
        elif kind in kinds and "quanti" in type(one).__module__:
            found.append(f"{where} is a quantised {kind}; pass the module it was made from")
    return found


# --------------------------------------------------------------------------- how a weight is made


def target_of(hook: Any) -> str | None:
    """Return the name of the tensor that a hook sets, for hooks that are understood."""
    weight_norm: Any = import_module("torch.nn.utils.weight_norm").WeightNorm
    spectral_norm: Any = import_module("torch.nn.utils.spectral_norm").SpectralNorm
    prune: Any = import_module("torch.nn.utils.prune").BasePruningMethod
    if type(hook) in (weight_norm, spectral_norm):
        return str(hook.name)
    kind = type(hook)
    same = isinstance(hook, prune) and all(
        getattr(kind, method) is getattr(prune, method) for method in ("__call__", "apply_mask")
    )
    return str(hook._tensor_name) if same else None


def _undone(hook: Any, name: str) -> tuple[str, str]:
    """Return the name of what registered a hook, and the call that takes it off."""
    kind = type(hook).__name__
    if kind == "WeightNorm":
        return "torch.nn.utils.weight_norm", f"torch.nn.utils.remove_weight_norm(module, {name!r})"
    if kind == "SpectralNorm":
        return (
            "torch.nn.utils.spectral_norm",
            f"torch.nn.utils.remove_spectral_norm(module, {name!r})",
        )
    return f"torch.nn.utils.prune ({kind})", f"torch.nn.utils.prune.remove(module, {name!r})"


def _named_after(module: Any, name: str) -> list[str]:
    """Return the tensors of a module whose names are that of a weight with something behind it."""
    kept = vars(module)
    every = [*kept.get("_parameters", {}), *kept.get("_buffers", {})]
    expected = names_of(module) if known_class(module) is not None else []
    every += [key for key, value in kept.items() if isinstance(value, torch.Tensor)]
    return [key for key in every if is_named_after(key, name) and key not in expected]


def is_named_after(key: str, name: str) -> bool:
    """Return whether a name is that of a weight with more behind it than a layer or a direction."""
    tail = key.removeprefix(f"{name}_")
    return tail != key and re.fullmatch(r"(l\d+)?_?(reverse)?", tail) is None


def check_stored(module: Any, names: Iterable[str], *, where: str = "") -> None:
    """Check that weights are plain parameters that the forward pass reads as they are.

    Raises
    ------
    ValueError
        If one is re-made before every forward pass, so that what is written into it is lost.
    """
    hooks = {target_of(hook): hook for hook in module._forward_pre_hooks.values()}
    for name in names:
        full = f"{where}{name}"
        if _parametrized(module, name):
            raise ValueError(
                f"{full} is parametrized: it is computed anew at every use, never changed in "
                "place; parametrize_stable(module, rate=...) alone keeps it inside"
            )
        if name in hooks:
            maker, undo = _undone(hooks[name], name)
            parts = ", ".join(_named_after(module, name))
            raise ValueError(
                f"{full} is re-made before every forward pass by {maker}, from {parts}: what is "
                f"written into it is lost; call {undo} first, which keeps its values, or "
                "parametrize_stable(module, rate=...) after that"
            )
        tensor = module._parameters.get(name)
        if tensor is None and isinstance(getattr(module, name, None), torch.Tensor):
            raise ValueError(
                f"{full} is a plain tensor, not a parameter of the module: something sets it "
                "before every forward pass (a wrapper such as weight drop, or a hook), and what "
                f"is stored now need not be what the next one uses; {_COPY}"
            )
        if tensor is not None and type(tensor) is not nn.Parameter:
            raise ValueError(
                f"{full} is a {type(tensor).__name__}, needed a torch.nn.Parameter: something "
                "sets it before every forward pass (a wrapper such as weight drop), or it stores "
                f"numbers in its own way; {_COPY}"
            )
        beside = _named_after(module, name)
        if beside:
            raise ValueError(
                f"{full} and {', '.join(beside)} are both there, and one may be made from the "
                f"other before every forward pass; which of them counts is not known; {_COPY}"
            )
    _check_flat(module, where)


def _check_flat(module: Any, where: str) -> None:
    """Check that a layer's list of weights, which its forward pass hands on, is up to date.

    The list is renewed by the forward pass if a weight is not the one that is remembered.
    """
    if isinstance(module, nn.RNNCellBase):
        return
    stale, renewed = [], False
    rows = zip(module._flat_weights_names, module._flat_weights, module._flat_weight_refs)  # noqa: B905
    for name, flat, ref in rows:
        if _parametrized(module, name):
            return  # made anew at every look, so the list is renewed
        weight = getattr(module, name, None)
        renewed |= weight is not None and ref is not None and ref() is not weight
        if flat is not weight:
            stale.append(name)
    if stale and not renewed:
        raise ValueError(
            f"the list of weights that the forward pass uses (_flat_weights) holds another "
            f"{where}{stale[0]} than the module; set it as an attribute of the module"
        )


@final
class _Reading:
    """What hooks see of a module: they read its tensors, and write here; it is not in training."""

    def __init__(self, module: Any, written: dict[str, Any]) -> None:
        vars(self).update(written)
        self.training = False
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def weights_in_use(module: Any, *, where: str = "") -> dict[str, Any]:
    """Return the weights that the next forward pass in evaluation mode reads; nothing is changed.

    Neither a parameter or a buffer of the module is, nor its mode, nor the random numbers to come.

    Raises
    ------
    ValueError
        If it is not known how a weight is made, or it is another one at every use.
    """
    names = names_of(module)
    made = [name for name in names if _parametrized(module, name)]
    hooks = [hook for hook in module._forward_pre_hooks.values() if target_of(hook) is not None]
    targets = {str(target_of(hook)) for hook in hooks}
    check_stored(
        module, [name for name in names if name not in targets and name not in made], where=where
    )
    values = {name: _evaluated(module, name, f"{where}{name}") for name in made}
    reading = _Reading(module, values)
    rounds = []
    for _ in range(2 if hooks else 1):
        with torch.no_grad():
            for hook in hooks:
                hook(reading, ())
        rounds.append({name: getattr(reading, name, None) for name in names})
    for name in targets.intersection(names):
        if not _same(rounds[0][name], rounds[1][name]):
            raise ValueError(
                f"{where}{name} is another one in the next forward pass than in those after it, "
                "because hooks upon hooks make it; run module.eval() and one forward pass first"
            )
    return rounds[0]


def _evaluated(module: Any, name: str, full: str) -> Any:
    """Return what a parametrization gives in evaluation mode, from a copy of it."""
    held = module.parametrizations[name]
    if import_module("torch.nn.utils.parametrize")._cache_enabled:
        raise ValueError(
            f"{full} is parametrized, and looked at inside torch.nn.utils.parametrize.cached(), "
            "where the forward pass reads a value of before; call this outside of the block"
        )
    if any(one._forward_pre_hooks or one._forward_hooks for one in held.modules()):
        raise ValueError(
            f"{full} is parametrized by a module with hooks, of which it is not known what they "
            "do; take them off with the remove() of their handles"
        )
    try:
        twin = copy.deepcopy(held)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"{full} is parametrized in a way that cannot be copied ({error}), and would have to "
            "be, to evaluate it without a change of the module; call torch.nn.utils.parametrize."
            f"remove_parametrizations(module, {name!r}) on a copy of your own"
        ) from None
    twin.eval()
    with torch.no_grad(), _same_random_numbers(held):
        first, second = twin(), twin()
    if not _same(first, second):
        raise ValueError(
            f"{full} is parametrized at random, or by a count: it is another one at every use, "
            "also in evaluation mode; there is no such map"
        )
    return first


@contextlib.contextmanager
def _same_random_numbers(module: Any) -> Iterator[None]:
    """Leave the state of PyTorch's generators, of the CPU and of the module's devices, as it is."""
    devices = {t.device.index for t in module.parameters() if t.device.type == "cuda"}
    with torch.random.fork_rng(devices=sorted(devices)):
        yield


def _same(a: Any, b: Any) -> bool:
    """Return whether tensors are equal; NaN is equal to itself, and refused elsewhere by name."""
    return bool(torch.all((a == b) | ((a != a) & (b != b))))


# ----------------------------------------------------------------------------------- shared memory


def shared_pairs(module: Any, names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the pairs of stored weights that share some of their numbers."""
    tensors = [(name, module._parameters.get(name)) for name in names]
    present = [(name, tensor) for name, tensor in tensors if tensor is not None]
    return [
        (a, b)
        for k, (a, first) in enumerate(present)
        for b, second in present[k + 1 :]
        if _share(first, second)
    ]


def _share(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if a.untyped_storage().data_ptr() != b.untyped_storage().data_ptr():
        return False
    (low, high), (start, end) = _span(a), _span(b)
    overlap = low <= end and start <= high
    return overlap and bool(np.intersect1d(_places(a), _places(b)).size)


def _span(tensor: Any) -> tuple[int, int]:
    """Return the first and the last place of a tensor in its storage."""
    first = int(tensor.storage_offset())
    return first, first + sum(
        (n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True)
    )


def _places(tensor: Any) -> Any:
    """Return the places of all numbers of a tensor in its storage."""
    places = np.asarray(tensor.storage_offset())
    for n, step in zip(tensor.shape, tensor.stride(), strict=True):
        places = places[..., None] + step * np.arange(n)
    return places
