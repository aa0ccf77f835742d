"""Maps from the reservoirs of reservoirpy; reservoirpy itself is not needed.

Main name: `from_reservoirpy`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from theory.errors import as_array
from theory.interop.library import library_name
from theory.maps.base import Map
from theory.maps.esn import EchoStateNetwork
from theory.maps.rnn import VanillaRNN
from theory.typing import Array


def from_reservoirpy(node: Any) -> Map:
    """Return the map of a reservoirpy reservoir, or of the one in a model such as ``ESN``.

    Parameters
    ----------
    node
        A ``Reservoir``, a ``LocalPlasticityReservoir``, a model ``reservoir >> readout``, or
        anything with W, Win, bias, lr and activation; matrices may be SciPy's sparse ones.

    Returns
    -------
    Map
        An `EchoStateNetwork`; of a ``LocalPlasticityReservoir``, whose leak is inside the
        activation, a `VanillaRNN` with recurrent weights (1 - lr) I + lr W, rounded.

    Raises
    ------
    ValueError
        If something is missing, not yet drawn (the node has to have run once), or the node does
        more than that: feedback, noise, an activation of your own, another equation; or a model
        holds several reservoirs, or something in front of its reservoir.
    """
    if getattr(node, "feedback", False) is True:
        raise ValueError("an ESN with feedback is driven by its own outputs; there is no such map")
    reservoir = _reservoir_of(node)
    name = type(reservoir).__name__
    _check_class(reservoir, name)
    missing = [a for a in ("W", "Win") if getattr(reservoir, a, None) is None]
    if missing:
        raise ValueError(f"{name} has no {', '.join(missing)}; needed W, Win, bias, lr, activation")
    W, Win = (_drawn(a, getattr(reservoir, a)) for a in ("W", "Win"))
    bias = getattr(reservoir, "bias", None)
    bias = np.zeros(1) if bias is None else _drawn("bias", bias).ravel()
    b = np.full(len(W), bias[0]) if bias.size == 1 else bias
    lr = as_array("lr", getattr(reservoir, "lr", 1.0), ndim=(0, 1))
    for setting in ("Wfb", "noise_rc", "noise_in", "noise_fb"):
        value = getattr(reservoir, setting, None)
        if value is None or (np.isscalar(value) and value == 0):
            continue
        raise ValueError(f"{name} has {setting} (feedback or noise); there is no such map")
    equation = getattr(reservoir, "equation", "internal")
    if equation not in {"internal", None} and np.any(lr != 1):
        raise ValueError(
            f"{name} has equation={equation!r}, needed 'internal': the leak outside the activation"
        )
    rho = _activation(getattr(reservoir, "activation", "tanh"))
    # the constructor checks the shapes and the leak
    outside = EchoStateNetwork(W, Win, b, leak=lr, activation=rho)
    if name != "LocalPlasticityReservoir":
        return outside
    a = outside.leak[:, None]
    return VanillaRNN((1 - a) * np.eye(len(W)) + a * W, a * Win, outside.leak * b, rho)


#: The nodes of reservoirpy whose step is known.
_RESERVOIRS = ("Reservoir", "LocalPlasticityReservoir")

#: Short names of activations in reservoirpy.
_SHORT = {"id": "identity", "re": "relu", "sig": "sigmoid", "sp": "softplus"}


def _reservoir_of(node: Any) -> Any:
    """Return the only reservoir of a model, driven by the model's inputs, or the node itself."""
    nodes = getattr(node, "nodes", None)
    if not isinstance(nodes, (list, tuple)):
        return getattr(node, "reservoir", node)
    found = [one for one in nodes if hasattr(one, "W") and hasattr(one, "Win")]
    if len(found) != 1:
        raise ValueError(
            f"the model holds {len(found)} reservoirs, needed one; pass each by itself, as "
            "model.nodes[0], and build theory.Cascade of the maps where one drives the next "
            "directly"
        )
    (reservoir,) = found
    for sender, *delay, receiver in getattr(node, "edges", ()):
        if receiver is not reservoir:
            continue
        kind = type(sender).__name__
        if hasattr(sender, "Wout") or (delay and delay[0] != 0):
            raise ValueError(
                f"the reservoir of the model is driven by an earlier output of {kind} (feedback or "
                "a delay); there is no such map"
            )
        if kind != "Input":
            raise ValueError(
                f"the reservoir of the model is driven by a {kind}, not by the model's inputs; "
                "pass the reservoir itself for the map from its own inputs"
            )
    if getattr(reservoir, "has_feedback", False) is True:
        raise ValueError("the reservoir has feedback from outputs; there is no such map")
    return reservoir


def _check_class(reservoir: Any, name: str) -> None:
    """Check that the step is that of one of the nodes that are known."""
    places = [one.__module__.split(".")[0] for one in type(reservoir).__mro__]
    if "reservoirpy" not in places:
        return
    if places[0] != "reservoirpy" or name not in _RESERVOIRS:
        raise ValueError(f"received a {name}, needed one of: {', '.join(_RESERVOIRS)}")


def _activation(rho: Any) -> str:
    """Return the name of an activation of NumPy's or reservoirpy's; a name alone tells nothing."""
    if isinstance(rho, str):
        return _SHORT.get(rho, rho)
    ufuncs = {"tanh": np.tanh, "sin": np.sin}
    word = next((word for word, ufunc in ufuncs.items() if rho is ufunc), None)
    word = library_name(rho, {"reservoirpy", "jax"}) if word is None else word
    if word is None:
        raise ValueError(
            f"activation is {rho!r}, a function that is none of reservoirpy's or numpy.tanh: what "
            "it computes is not known; set node.activation to one of these if it is the same, or "
            "wrap your own step in theory.CallableMap"
        )
    return word


def _drawn(name: str, value: Any) -> Array:
    """Return a matrix that may be sparse, or may not have been drawn yet."""
    if callable(value):
        raise ValueError(
            f"{name} is not drawn before the reservoir has seen an input; run it once, or call "
            "its initialize"
        )
    return as_array(name, value)
