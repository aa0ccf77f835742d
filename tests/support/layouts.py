"""What the tests of reading weights share: arrays under known names, and when maps are the same."""

import numpy as np
import pytest

from theory import Map

try:
    import torch
except ImportError:
    torch = None
try:
    import safetensors.numpy
except ImportError:
    safetensors = None

needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed (extra 'torch')")
needs_safetensors = pytest.mark.skipif(
    safetensors is None, reason="safetensors is not installed (extra 'safetensors')"
)


def weights(cell: str, *, n: int = 2, m: int = 3, layers: int = 1, seed: int = 0, bias=True):
    """Return arrays under PyTorch's names."""
    rng = np.random.default_rng(seed)
    gates = {"rnn": 1, "gru": 3, "lstm": 4}[cell]
    named = {}
    for k in range(layers):
        named[f"weight_ih_l{k}"] = rng.standard_normal((gates * n, m if k == 0 else n))
        named[f"weight_hh_l{k}"] = rng.standard_normal((gates * n, n))
        if bias:
            named[f"bias_ih_l{k}"] = rng.standard_normal(gates * n)
            named[f"bias_hh_l{k}"] = rng.standard_normal(gates * n)
    return named


def same(a: Map, b: Map) -> bool:
    """Return whether two maps have the same class and parameters."""
    p, q = a.parameters, b.parameters
    return type(a) is type(b) and p.keys() == q.keys() and all((p[k] == q[k]).all() for k in p)


def drop(cell, *keys):
    return {k: v for k, v in cell.items() if k not in keys}


# the forward passes of other programs, by their definitions -------------------------------------


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def rnn_outputs(X, Wx, Wh, b, rho=np.tanh, leak=1.0):
    """Return the states of h <- (1 - leak) h + leak rho(Wh h + Wx x + b)."""
    h, out = np.zeros(len(Wh)), []
    for x in X:
        h = (1 - leak) * h + leak * rho(Wx @ x + Wh @ h + b)
        out.append(h)
    return np.array(out)


def lstm_outputs(X, Wx, Wh, b, order="ifgo", gate=sigmoid, rho=np.tanh):
    """Return the outputs of an LSTM whose blocks of rows are in that order."""
    n = Wh.shape[1]
    h, c, out = np.zeros(n), np.zeros(n), []
    for x in X:
        a = dict(zip(order, np.split(Wx @ x + Wh @ h + b, 4), strict=True))
        c = gate(a["f"]) * c + gate(a["i"]) * rho(a["g"])
        h = gate(a["o"]) * rho(c)
        out.append(h)
    return np.array(out)


def gru_outputs(X, Wx, Wh, bx, bh, order="rzn", after=True, gate=None):
    """Return the states of a GRU; with `after` the reset gate multiplies Wh h + bh."""
    n, gate = Wh.shape[1], gate or sigmoid
    h, out = np.zeros(n), []
    rows = dict(zip(order, np.split(Wh, 3), strict=True))
    for x in X:
        a = dict(zip(order, np.split(Wx @ x + bx, 3), strict=True))
        s = dict(zip(order, np.split(Wh @ h + bh, 3), strict=True))
        r, z = gate(a["r"] + s["r"]), gate(a["z"] + s["z"])
        inner = r * s["n"] if after else rows["n"] @ (r * h)
        h = (1 - z) * np.tanh(a["n"] + inner) + z * h
        out.append(h)
    return np.array(out)
