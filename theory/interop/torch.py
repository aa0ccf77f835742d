"""Maps from PyTorch modules and their state dicts; PyTorch itself is not needed.

Main name: `from_torch`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from theory.arithmetic.activations import Activation
from theory.arithmetic.activations import activation as look_up
from theory.errors import MissingExtraError
from theory.interop.arrays import from_arrays
from theory.interop.layouts.torch import BIDIRECTIONAL, PROJECTED
from theory.maps.base import Map


def from_torch(
    module_or_state_dict: Any,
    *,
    prefix: str | None = None,
    activation: str | Activation | None = None,
    unused: str | Iterable[str] = (),
) -> Map:
    r"""Return the map of a PyTorch module, or of a state dict.

    Parameters
    ----------
    module_or_state_dict
        An ``RNN``, ``LSTM``, ``GRU``, one of their cells, a module that contains one of them, or a
        mapping of names to tensors or arrays.
    prefix : str, optional
        Where the cell is, as in ``"encoder.rnn"``; needed only if there are several.
    activation : str, optional
        Of a plain cell in a state dict, which does not tell; a module does.
    unused : str or iterable of str
        Names in a state dict that may be left over, or patterns of them, as ``"ema.*"``.

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
        missing, shapes do not fit, a weight is not finite, an array is left over, the activation of
        a plain cell in a state dict is not given, or it is not known what the forward pass
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
            f"received the path {str(given)!r}, needed a module or a state dict; "
            "theory.interop.load reads files, without unpickling them"
        )
    if isinstance(given, Mapping):
        return from_arrays(
            given, prefix=prefix, activation=activation, unused=unused, layout="torch"
        )
    arrays, read = _of_module(given, prefix)
    if activation is not None and look_up(activation).name != read:
        raise ValueError(
            f"activation={look_up(activation).name!r}, but the forward pass of the module has "
            f"{read!r}; leave activation= out"
        )
    return from_arrays(arrays, activation=read, layout="torch")


def _of_module(module: Any, prefix: str | None) -> tuple[dict[str, Any], str]:
    """Return the weights of the recurrent cell in a module, by name, and its activation."""
    try:
        from torch import nn
    except ImportError:
        raise MissingExtraError("torch", "torch", "reading a PyTorch module") from None
    from theory.interop import torch_weights as weights

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
        raise ValueError(BIDIRECTIONAL)
    if getattr(one, "proj_size", 0):
        raise ValueError(PROJECTED)
    weights.check_around(module, name)
    used = weights.weights_in_use(one, where=f"{name}." if name else "")
    # a cell without biases has them as None
    arrays = {key: value for key, value in used.items() if value is not None}
    return arrays, weights.nonlinearity(one)
