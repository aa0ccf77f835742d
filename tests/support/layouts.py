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
