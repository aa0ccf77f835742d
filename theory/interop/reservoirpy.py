"""Maps from the reservoirs of reservoirpy; reservoirpy itself is not needed.

Main name: `from_reservoirpy`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from theory.errors import as_array
from theory.maps.esn import EchoStateNetwork
from theory.typing import Array


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
