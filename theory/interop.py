r"""Maps from other programs' weights: PyTorch, safetensors, NumPy files, Keras, reservoirpy.

Main names: `from_torch`, `from_safetensors`, `from_npz`, `from_keras`, `from_reservoirpy`,
`from_arrays`, `read_weights`.

Every function returns the map whose simulation is the other program's forward pass in evaluation
mode, in double precision; shorter floats are embedded exactly.  Several layers become a `Cascade`.
Nothing is unpickled, neither PyTorch nor any other of those programs is needed to read arrays.

Layouts that are recognised by the names of the arrays, all of which may have a prefix, as in
``encoder.rnn.weight_hh_l0``:

    torch   weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0 (and _l1, ...; cells without _l0)
    keras   kernel, recurrent_kernel, bias: matrices that act from the right
    own     W, U, b, b_candidate, leak (or A, B for W, U): what `Map.parameters` gives

Which cell it is follows from the shape: n, 3 n or 4 n rows for n units are a plain cell, a GRU, an
LSTM.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np

from theory.array_files import ArrayFileError, read_arrays
from theory.errors import MissingExtraError, as_array
from theory.maps import GRU, LSTM, Cascade, EchoStateNetwork, LinearMap, Map, VanillaRNN
from theory.typing import Array

#: Cells by the number of gates stacked in their weights.
_CELLS = {1: "rnn", 3: "gru", 4: "lstm"}

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
_OWN = re.compile(r"(?:(?P<prefix>.*)\.)?(?P<key>W|U|b|b_candidate|leak|A|B|bias)")

#: What makes a group of names one of that layout: Keras' other layers have kernels, too.
_LAYOUTS = (
    ("torch", _TORCH, re.compile(r"weight_[ih]h.*")),
    ("keras", _KERAS, re.compile("recurrent_kernel")),
    ("own", _OWN, re.compile("W|A")),
)


def from_torch(
    module_or_state_dict: Any, *, prefix: str | None = None, activation: str = "tanh"
) -> Map:
    r"""Return the map of a PyTorch module, or of a state dict.

    Parameters
    ----------
    module_or_state_dict
        An ``RNN``, ``LSTM``, ``GRU``, one of their cells, a module that contains one of them, or a
        mapping of names to tensors or arrays.
    prefix : str, optional
        Where the cell is, as in ``"encoder.rnn"``; needed only if there are several.
    activation : str
        Of a plain cell in a state dict, which does not tell; a module does.

    Returns
    -------
    Map
        Its states are, layer by layer, h, or (c, h) for an LSTM.  Dropout between layers is off, as
        in evaluation mode.

    Notes
    -----
    Weights of a module are those that its next forward pass in evaluation mode reads, also where a
    parametrization or a hook of ``torch.nn.utils`` (weight_norm, spectral_norm, prune) makes them;
    the module stays as it is, bit for bit.  Other makers are refused, in a module and in a state
    dict, which holds what weights are made from, but not how.  Code of a module around the cell
    cannot be seen: one that writes into the cell's parameters in its own forward pass is believed
    not to.

    Raises
    ------
    ValueError
        If there is no such cell or more than one, it is bidirectional or has projections, keys are
        missing, shapes do not fit, a weight is not finite, or it is not known what the forward pass
        computes.
    MissingExtraError
        If it is not a mapping and PyTorch is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from_torch({"rnn.weight_ih_l0": np.ones((4, 3)), "rnn.weight_hh_l0": np.ones((4, 1))})
    LSTM(units=1, m=3)
    """
    given = module_or_state_dict
    if isinstance(given, (str, Path)):
        raise ValueError(
            f"received the path {str(given)!r}; nothing is unpickled here: load it yourself with "
            "torch.load(path, weights_only=True) and pass the state dict, or save it with "
            "safetensors and use from_safetensors"
        )
    if isinstance(given, Mapping):
        return from_arrays(given, prefix=prefix, activation=activation, layout="torch")
    arrays, activation = _of_module(given, prefix)
    return from_arrays(arrays, activation=activation, layout="torch")


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


def from_arrays(
    arrays: Mapping[str, Any],
    *,
    prefix: str | None = None,
    activation: str = "tanh",
    layout: str | None = None,
) -> Map:
    """Return the map of named arrays, in one of the layouts of the module's docstring.

    Parameters
    ----------
    arrays : mapping
        Names to arrays or tensors.
    prefix : str, optional
        Where the cell is, as in ``"encoder.rnn"``; needed only if there are several.
    activation : str
        Of a plain cell; with ``identity`` it is a `LinearMap`.
    layout : str, optional
        ``torch``, ``keras`` or ``own``; any by default.

    Returns
    -------
    Map

    Raises
    ------
    ValueError
        If no cell is found or more than one (the message lists them), keys are missing (the message
        lists which), shapes do not fit, or a weight is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from_arrays({"W": np.eye(2), "U": np.ones((2, 1)), "b": np.zeros(2)})
    VanillaRNN(n=2, m=1, activation='tanh')
    """
    if layout is not None and layout not in _BUILDERS:
        raise ValueError(f"layout {layout!r} is not known, needed one of: {', '.join(_BUILDERS)}")
    groups = _groups(arrays, layout)
    wanted = None if prefix is None else prefix.rstrip("./")
    _check_not_made(arrays, groups, wanted, layout)
    chosen = [g for g in groups if wanted is None or g[1] == wanted]
    own = [p for kind, p in chosen if kind == "own"]
    if wanted is None and len(own) > 1 and sorted(own) == sorted(map(str, range(len(own)))):
        if any(re.fullmatch(r"\d+\.readout(_bias)?", str(name)) for name in arrays):
            raise ValueError("a readout between layers has no layout; build the Cascade yourself")
        layers = [_own_cell(groups["own", str(i)], "", activation) for i in range(len(own))]
        return layers[0] if len(layers) == 1 else Cascade(layers)
    if len(chosen) != 1:
        where = ", ".join(f"{p or '(no prefix)'} ({kind})" for kind, p in groups)
        if not groups:
            raise ValueError(
                f"no recurrent weights among {_some(arrays)}; needed weight_hh_l0 and so on "
                "(PyTorch), recurrent_kernel (Keras), or W; see the layouts of theory.interop"
            )
        if not chosen:
            raise ValueError(f"no recurrent weights under prefix={prefix!r}; there are: {where}")
        raise ValueError(f"more than one recurrent cell: {where}; choose one with prefix=")
    kind, at = chosen[0]
    start = f"{at}." if at else ""
    return _BUILDERS[kind](groups[kind, at], start, activation)


def from_keras(
    weights: Sequence[Any],
    cell: str,
    *,
    reset_after: bool | None = None,
    activation: str = "tanh",
    recurrent_activation: str = "sigmoid",
) -> Map:
    r"""Return the map of the weights of a Keras layer, as ``layer.get_weights()`` lists them.

    Parameters
    ----------
    weights : sequence
        ``[kernel, recurrent_kernel]`` or ``[kernel, recurrent_kernel, bias]``; or a list of such
        lists, one for each layer of a stack.
    cell : str
        ``lstm`` (gates in Keras' order i, f, c, o), ``gru`` (z, r, h) or ``simple_rnn``.
    reset_after : bool, optional
        Of a GRU; by default as the shape of the bias says, and true without bias, as in Keras.
    activation : str
        Of a simple RNN any activation that is known; the gated cells have tanh.
    recurrent_activation : str
        Of the gates; only ``sigmoid`` is known.

    Returns
    -------
    Map

    Raises
    ------
    ValueError
        If the cell is not known, has other activations, or shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from_keras([np.ones((3, 4)), np.ones((1, 4)), np.zeros(4)], "lstm")
    LSTM(units=1, m=3)
    """
    gates = {"simple_rnn": 1, "gru": 3, "lstm": 4}
    if cell not in gates:
        raise ValueError(f"cell={cell!r}, needed one of: {', '.join(gates)}")
    if recurrent_activation != "sigmoid" and cell != "simple_rnn":
        raise ValueError(
            f"recurrent_activation={recurrent_activation!r}, needed 'sigmoid', the one of the gates"
        )
    if reset_after is not None and cell != "gru":
        raise ValueError(f"reset_after={reset_after!r} is a setting of a gru, not of {cell}")
    if len(weights) == 0:
        raise ValueError("received no weights, needed [kernel, recurrent_kernel, bias]")
    if isinstance(weights[0], (list, tuple)):
        return _stack(
            [
                from_keras(
                    one,
                    cell,
                    reset_after=reset_after,
                    activation=activation,
                    recurrent_activation=recurrent_activation,
                )
                for one in weights
            ]
        )
    if len(weights) not in {2, 3}:
        raise ValueError(
            f"received {len(weights)} arrays, needed [kernel, recurrent_kernel] and perhaps bias; "
            "for a stack pass a list of such lists"
        )
    named = dict(zip(("kernel", "recurrent_kernel", "bias"), weights, strict=False))
    return _keras_cell(named, "", activation, gates=gates[cell], reset_after=reset_after)


def from_reservoirpy(node: Any) -> EchoStateNetwork:
    """Return the map of a reservoirpy ``Reservoir``, or of the one in an ``ESN``.

    Parameters
    ----------
    node
        Anything with W, Win, bias, lr and activation; matrices may be SciPy's sparse ones.

    Returns
    -------
    EchoStateNetwork

    Raises
    ------
    ValueError
        If something is missing, not yet drawn (the node has to have run once), or the node does
        more than h <- (1 - lr) h + lr f(W h + Win x + bias): feedback, noise, another equation.
    """
    if getattr(node, "feedback", False) is True:
        raise ValueError("an ESN with feedback is driven by its own outputs; there is no such map")
    reservoir = getattr(node, "reservoir", node)
    name = type(reservoir).__name__
    if type(reservoir).__module__.split(".")[0] == "reservoirpy" and name not in _RESERVOIRS:
        raise ValueError(f"received a {name}, needed one of: {', '.join(_RESERVOIRS)}")
    missing = [a for a in ("W", "Win") if getattr(reservoir, a, None) is None]
    if missing:
        raise ValueError(f"{name} has no {', '.join(missing)}; needed W, Win, bias, lr, activation")
    found = {a: _dense(a, getattr(reservoir, a)) for a in ("W", "Win")}
    bias = getattr(reservoir, "bias", None)
    bias = np.zeros(1) if bias is None else _dense("bias", bias).ravel()
    units = len(found["W"])
    lr = getattr(reservoir, "lr", 1.0)
    for setting in ("Wfb", "noise_rc", "noise_in", "noise_fb"):
        value = getattr(reservoir, setting, None)
        if value is None or (np.isscalar(value) and value == 0):
            continue
        raise ValueError(f"{name} has {setting} (feedback or noise); there is no such map")
    equation = getattr(reservoir, "equation", "internal")
    if equation not in {"internal", None} and np.any(np.asarray(lr) != 1):
        raise ValueError(
            f"{name} has equation={equation!r}, needed 'internal': the leak outside the activation"
        )
    rho = getattr(reservoir, "activation", "tanh")
    return EchoStateNetwork(
        found["W"],
        found["Win"],
        np.full(units, bias[0]) if bias.size == 1 else bias,
        leak=np.asarray(lr, dtype=np.float64),
        activation=rho if isinstance(rho, str) else getattr(rho, "__name__", repr(rho)),
    )


#: The nodes of reservoirpy whose step is that of an `EchoStateNetwork`.
_RESERVOIRS = ("Reservoir", "LocalPlasticityReservoir")


def _dense(name: str, value: Any) -> Array:
    """Return a matrix that may be sparse, or may not have been drawn yet."""
    if callable(value):
        raise ValueError(
            f"{name} is not drawn before the reservoir has seen an input; run it once, or call "
            "its initialize"
        )
    return as_array(name, value.toarray() if hasattr(value, "toarray") else value)


# ------------------------------------------------------------------------------------------ reading


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


#: What NumPy calls the types of safetensors; bfloat16 is the upper half of a float32.
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "?"}
_DTYPES |= {f"{k}{8 * size}": f"<{k.lower()}{size}" for k in "IU" for size in (1, 2, 4, 8)}


@final
class _Unread:
    """A tensor of a type that NumPy has not; refused by name if it turns out to be needed."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


def _from_bytes(tensor: Mapping[str, Any]) -> Any:
    """Return a tensor of a safetensors file as an array."""
    kind = tensor["dtype"]
    if kind not in _DTYPES:
        return _Unread(kind)
    array = np.frombuffer(tensor["data"], dtype=_DTYPES[kind])
    if kind == "BF16":
        array = (array.astype("<u4") << 16).view("<f4")
    return array.reshape(tensor["shape"])


def _array(name: str, value: Any) -> Array:
    """Return a tensor or an array in double precision."""
    if isinstance(value, _Unread):
        raise ValueError(
            f"{name} is stored as {value.kind}, needed {', '.join(_DTYPES)}; convert it"
        )
    if hasattr(value, "detach"):
        try:
            if value.is_complex():
                raise TypeError("they are complex")
            value = value.detach().cpu().to_dense().double().numpy()
        except (RuntimeError, TypeError, NotImplementedError) as error:
            raise ValueError(f"{name} is a tensor that holds no plain numbers: {error}") from None
    return as_array(name, value)


def _some(names: Any, limit: int = 12) -> str:
    """Return names for a message."""
    every = [str(name) for name in names]
    more = "" if len(every) <= limit else f" and {len(every) - limit} more"
    return f"[{', '.join(every[:limit])}]{more}"


def _groups(arrays: Mapping[str, Any], layout: str | None) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the arrays of each cell by layout and prefix."""
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for kind, pattern, needs in _LAYOUTS:
        if layout not in {None, kind}:
            continue
        found: dict[str, dict[str, Any]] = {}
        for name, value in arrays.items():
            match = pattern.fullmatch(str(name))
            if match:
                found.setdefault(match["prefix"] or "", {})[match["key"]] = value
        for at, group in found.items():
            if any(needs.fullmatch(key) for key in group):
                groups[kind, at] = group
    return groups


# ------------------------------------------------------------------------------------------ PyTorch


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
            f"weights are not stored themselves, but what they are made from: {_some(names)}; a "
            "state dict does not tell how: pass the module, or first call remove_parametrizations, "
            "remove_weight_norm, remove_spectral_norm or prune.remove of torch.nn.utils, whichever "
            "it was; where one array is the weight itself (weight drop), rename it to that"
        )


def _joined(prefix: str, key: str) -> str:
    return f"{prefix}.{key}" if prefix else key


def _of_module(module: Any, prefix: str | None) -> tuple[dict[str, Any], str]:
    """Return the weights of the recurrent cell in a module, by name, and its activation."""
    try:
        from torch import nn
    except ImportError:
        raise MissingExtraError("torch", "torch", "reading a PyTorch module") from None
    from theory import torch_weights as weights

    if not isinstance(module, nn.Module):
        raise ValueError(
            f"received a {type(module).__name__}, needed a torch.nn.Module or a state dict"
        )
    kinds = (nn.RNNBase, nn.RNNCellBase)
    found = {name: one for name, one in module.named_modules() if isinstance(one, kinds)}
    if prefix is not None:
        found = {name: one for name, one in found.items() if name == prefix.rstrip(".")}
    if len(found) != 1:
        every = [n or "(itself)" for n, one in module.named_modules() if isinstance(one, kinds)]
        strange = weights.strange_cells(module)
        if not every and strange:
            raise ValueError(f"{type(module).__name__} cannot be read: {'; '.join(strange)}")
        hint = "choose one with prefix=" if every else "needed an RNN, LSTM, GRU, or a cell of one"
        where = f" under prefix={prefix!r}" if prefix is not None else ""
        raise ValueError(
            f"{type(module).__name__} holds {len(found)} recurrent cells{where}; "
            f"there are: {', '.join(every) or 'none'}; {hint}"
        )
    ((name, one),) = found.items()
    weights.check_forward(one, name or "the module")
    if getattr(one, "bidirectional", False):
        raise ValueError(_BIDIRECTIONAL)
    if getattr(one, "proj_size", 0):
        raise ValueError(_PROJECTED)
    weights.check_around(module, name)
    used = weights.weights_in_use(one, where=f"{name}." if name else "")
    # a cell without biases has them as None
    arrays = {key: value for key, value in used.items() if value is not None}
    return arrays, weights.nonlinearity(one)


_BIDIRECTIONAL = (
    "the cell is bidirectional: its state depends on inputs to come, so it is no recurrent map of "
    "the past; take the forward direction alone, without the keys that end in _reverse"
)
_PROJECTED = (
    "the cell has projections (proj_size, weight_hr): its state is not that of an LSTM; there is "
    "no such map yet"
)


def _torch_cells(group: dict[str, Any], start: str, activation: str) -> Map:
    """Return the map of PyTorch's weights, all layers."""
    if any(key.endswith("_reverse") for key in group):
        raise ValueError(_BIDIRECTIONAL)
    if any(key.startswith("weight_hr") for key in group):
        raise ValueError(_PROJECTED)
    ends = {key[key.index("_l") :] if "_l" in key else "" for key in group}
    if "" in ends and len(ends) > 1:
        raise ValueError(
            f"both {start}weight_hh and {start}weight_hh_l0 are there: a cell and a layer; pass "
            "one of them only"
        )
    count = 1 if ends == {""} else 1 + max(int(end[2:]) for end in ends)
    suffixes = [""] if ends == {""} else [f"_l{k}" for k in range(count)]
    biased = any(key.startswith("bias") for key in group)
    stems = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if biased else [])]
    needed = [f"{stem}{end}" for end in suffixes for stem in stems]
    missing = [f"{start}{key}" for key in needed if key not in group]
    if missing:
        there = _some(f"{start}{key}" for key in group)
        raise ValueError(f"missing keys: {', '.join(missing)}; there are {there}")
    layers = []
    for end in suffixes:
        named = {stem: _array(f"{start}{stem}{end}", group[f"{stem}{end}"]) for stem in stems}
        layers.append(_torch_layer(named, f"{start}*{end}", activation))
    return _stack(layers)


def _torch_layer(named: dict[str, Array], where: str, activation: str) -> Map:
    """Return one layer; `where` is the pattern of its names."""
    W, U = named["weight_hh"], named["weight_ih"]
    names = {stem: where.replace("*", stem) for stem in named}
    gates, n = _gates(names["weight_hh"], W)
    _check_shape(names["weight_ih"], U, (gates * n, None))
    zero = np.zeros(gates * n)
    bi, bh = named.get("bias_ih", zero), named.get("bias_hh", zero)
    for stem in ("bias_ih", "bias_hh"):
        if stem in named:
            _check_shape(names[stem], named[stem], (gates * n,))
    # only the reset gate sees the two biases of a GRU's candidate apart
    b, inner = bi + bh, None
    if gates == 3:
        b[2 * n :] = bi[2 * n :]
        inner = bh[2 * n :]
    return _cell(W, U, b, activation, b_candidate=inner)


def _gates(name: str, W: Array) -> tuple[int, int]:
    """Return how many gates are stacked in recurrent weights (gates n, n), and n."""
    if W.ndim != 2 or 0 in W.shape or W.shape[0] % W.shape[1]:
        raise ValueError(
            f"{name} has shape {W.shape}, needed (n, n), (3 n, n) or (4 n, n) for n units: one "
            "block of n rows for every gate"
        )
    gates = W.shape[0] // W.shape[1]
    if gates not in _CELLS:
        raise ValueError(
            f"{name} has shape {W.shape}, {gates} gates of {W.shape[1]} units; needed 1 (plain), "
            "3 (GRU) or 4 (LSTM)"
        )
    return gates, W.shape[1]


def _check_shape(name: str, array: Array, shape: tuple[int | None, ...]) -> None:
    fits = array.ndim == len(shape) and all(
        s in {None, have} for s, have in zip(shape, array.shape, strict=True)
    )
    if not fits or 0 in array.shape:
        words = ", ".join("m" if s is None else str(s) for s in shape)
        needed = f"({words},)" if len(shape) == 1 else f"({words})"
        raise ValueError(f"{name} has shape {array.shape}, needed {needed}")


def _cell(
    W: Array,
    U: Array,
    b: Array,
    activation: str,
    *,
    b_candidate: Array | None = None,
    variant: str = "reset_after",
) -> Map:
    """Return the map of stacked weights in PyTorch's order of gates."""
    kind = _CELLS[W.shape[0] // W.shape[1]]
    if kind == "rnn":
        return LinearMap(W, U, b) if activation == "identity" else VanillaRNN(W, U, b, activation)
    if activation != "tanh":
        raise ValueError(
            f"activation={activation!r}, but the weights are those of a {kind.upper()}, which has "
            "its own: leave it at tanh"
        )
    return LSTM(W, U, b) if kind == "lstm" else GRU(W, U, b, b_candidate, variant)


def _stack(layers: Sequence[Map]) -> Map:
    return layers[0] if len(layers) == 1 else Cascade(layers)


# -------------------------------------------------------------------------------------------- Keras


def _keras_cell(
    group: dict[str, Any],
    start: str,
    activation: str,
    *,
    gates: int | None = None,
    reset_after: bool | None = None,
) -> Map:
    """Return the map of Keras' weights: kernel (m, gates n), recurrent_kernel (n, gates n)."""
    if "kernel" not in group:
        raise ValueError(f"missing keys: {start}kernel; there are {_some(group)}")
    arrays = {key: _array(f"{start}{key}", value) for key, value in group.items()}
    recurrent, kernel = arrays["recurrent_kernel"], arrays["kernel"]
    if gates is None:
        if recurrent.ndim != 2:
            raise ValueError(
                f"{start}recurrent_kernel has shape {recurrent.shape}, needed (n, gates n)"
            )
        gates, _ = _gates(f"{start}recurrent_kernel, transposed,", recurrent.T)
    n = recurrent.shape[0] if recurrent.ndim else 0
    _check_shape(f"{start}recurrent_kernel", recurrent, (n, gates * n))
    _check_shape(f"{start}kernel", kernel, (None, gates * n))
    W, U = recurrent.T, kernel.T
    bias = arrays.get("bias")
    if gates != 3:
        if bias is not None:
            _check_shape(f"{start}bias", bias, (gates * n,))
        return _cell(W, U, np.zeros(gates * n) if bias is None else bias, activation)
    # reset_after has a bias for the inputs and one for the state; by default the shape decides
    after = reset_after
    if after is None:
        after = bias is None or bias.ndim == 2
    if bias is None:
        bias = np.zeros((2, 3 * n)) if after else np.zeros(3 * n)
    _check_shape(f"{start}bias", bias, (2, 3 * n) if after else (3 * n,))
    order = np.concatenate([np.arange(n, 2 * n), np.arange(n), np.arange(2 * n, 3 * n)])
    W, U, bias = W[order], U[order], bias[..., order]
    if not after:
        return _cell(W, U, bias, activation, variant="reset_before")
    b = bias[0] + bias[1]
    b[2 * n :] = bias[0, 2 * n :]
    return _cell(W, U, b, activation, b_candidate=bias[1, 2 * n :])


# ------------------------------------------------------------------------------------------ our own


def _own_cell(group: dict[str, Any], start: str, activation: str) -> Map:
    """Return the map of arrays named as the parameters of ours are."""
    alias = {"A": "W", "B": "U", "bias": "b"}
    arrays: dict[str, Array] = {}
    for key, value in group.items():
        name = alias.get(key, key)
        if name in arrays:
            raise ValueError(f"{start}{key} and {start}{name} mean the same; pass one of them")
        arrays[name] = _array(f"{start}{key}", value)
    W = arrays["W"]
    gates, n = _gates(f"{start}W", W) if W.ndim == 2 and W.shape[0] != W.shape[1] else (1, len(W))
    if "U" not in arrays and gates != 1:
        raise ValueError(f"missing keys: {start}U; there are {_some(group)}")
    # without input weights the inputs are added to the state directly
    U = arrays.get("U", np.eye(n))
    b = arrays.get("b", np.zeros(gates * n))
    if "leak" in arrays:
        if gates != 1:
            raise ValueError(f"{start}leak goes with W of shape (n, n), not {W.shape}")
        return EchoStateNetwork(W, U, b, leak=arrays["leak"], activation=activation)
    if "b_candidate" in arrays and gates != 3:
        raise ValueError(f"{start}b_candidate goes with W of shape (3 n, n), not {W.shape}")
    return _cell(W, U, b, activation, b_candidate=arrays.get("b_candidate"))


_BUILDERS: dict[str, Callable[[dict[str, Any], str, str], Map]] = {
    "torch": _torch_cells,
    "keras": _keras_cell,
    "own": _own_cell,
}
