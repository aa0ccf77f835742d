"""Gradients by reverse mode against PyTorch on the same cores, float64.

Wanted: at n = 64, T = 500, batch 16 not slower than PyTorch (ratio at least 1).
"""

from __future__ import annotations

import numpy as np
from paired import paired

from theory import GRU, LSTM, LinearHead, VanillaRNN
from theory.learning import (
    recurrent_gradient,
    training_data,
    truncated_backprop_gradient,
    truncated_gradient,
)


def cells(n: int, m: int, rng: np.random.Generator):
    scale = 0.9 / np.sqrt(n)
    for name, make, rows in (("RNN", VanillaRNN, 1), ("LSTM", LSTM, 4), ("GRU", GRU, 3)):
        arrays = (scale * rng.standard_normal(s) for s in ((rows * n, n), (rows * n, m), rows * n))
        yield name, make(*arrays)


def theirs(name: str, model, head: LinearHead, X, targets):
    """Return a function that makes a forward and a backward pass in PyTorch, or None."""
    try:
        import torch
    except ImportError:
        return None
    n = head.C.shape[1]
    layer = getattr(torch.nn, name)(X.shape[2], n, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(torch.tensor(model.parameters["W"]))
        layer.weight_ih_l0.copy_(torch.tensor(model.parameters["U"]))
        layer.bias_ih_l0.copy_(torch.tensor(model.parameters["b"]))
        layer.bias_hh_l0.zero_()
    C, x, y = (torch.tensor(np.array(a)) for a in (head.C, X, targets))

    def run():
        layer.zero_grad()
        loss = ((layer(x)[0] @ C.T - y) ** 2).sum() / 2
        loss.backward()
        return loss

    return run


def main() -> None:
    rng = np.random.default_rng(0)
    print("gradient of a squared loss at every time, T = 500, batch 16, m = 8, float64")
    for n in (32, 64, 128):
        for name, model in cells(n, 8, rng):
            X, targets = rng.standard_normal((16, 500, 8)), rng.standard_normal((16, 500, 4))
            head = LinearHead(rng.standard_normal((4, n)) / n)
            data = training_data(X, targets)
            ours = lambda model=model, head=head, data=data: recurrent_gradient(model, head, data)  # noqa: E731
            other = theirs(name, model, head, X, targets)
            if other is None:
                print("  PyTorch is not installed: make bench-torch")
                return
            a, b, ratio = paired(ours, other, 5)
            wanted = "   (wanted 1)" if (n, name) == (64, "RNN") else ""
            print(
                f"  {name:4s} n = {n:3d}: {a * 1e3:7.1f} ms, PyTorch {b * 1e3:7.1f} ms, "
                f"ratio {ratio:5.2f}{wanted}"
            )
    print("the other two objects, RNN, n = 32, T = 200, one sequence: time / recurrent gradient")
    model = VanillaRNN(rng.standard_normal((32, 32)) / 8, rng.standard_normal((32, 8)))
    head = LinearHead(rng.standard_normal((4, 32)))
    data = training_data(rng.standard_normal((200, 8)), rng.standard_normal((200, 4)))
    for k in (1, 5, 20, 50):
        for label, function in (
            ("k-step model", truncated_gradient),
            ("truncated backprop", truncated_backprop_gradient),
        ):  # fmt: skip
            a, _, ratio = paired(
                lambda function=function, k=k: function(model, head, data, k=k),
                lambda: recurrent_gradient(model, head, data),
            )
            print(f"  k = {k:2d} {label:18s}: {a * 1e3:6.2f} ms, {1 / ratio:5.1f}")


if __name__ == "__main__":
    main()
