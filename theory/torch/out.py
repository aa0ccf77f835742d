r"""A map as a PyTorch module: the recurrent model, or its k-step counterpart.

Main names: `to_torch`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np

from theory.errors import as_vector, check_count
from theory.interop.program import Program
from theory.interop.recipe import check_known, check_known_function, function_of, step_of
from theory.maps.base import Map, check_map
from theory.maps.functions import Function
from theory.maps.head import LinearHead
from theory.maps.output import head_of
from theory.torch.layers import Module, need_torch, nn, torch
from theory.typing import Array

_NAMES = {"mul": "multiply", "div": "divide", "sub": "subtract"}


@final
class _Tensors(Program):
    """Tensors of one type, on one device."""

    def __init__(self, like: Any) -> None:
        self.like = like

    def constant(self, array: Any) -> Any:
        """Return an array as a tensor."""
        return torch.as_tensor(array, dtype=self.like.dtype, device=self.like.device)

    def two(self, name: str, a: Any, b: Any) -> Any:
        """Return an operation of two tensors."""
        return getattr(torch, _NAMES.get(name, name))(a, b)

    def one(self, name: str, a: Any) -> Any:
        """Return an operation of a tensor."""
        return torch.softmax(a, dim=-1) if name == "softmax" else getattr(torch, name)(a)

    def chosen(self, test: Any, a: Any, b: Any) -> Any:
        """Return entries of both."""
        return torch.where(test > 0.0, a, b)

    def linear(self, x: Any, W: Any) -> Any:
        """Return x W^T."""
        return x @ W.T

    def rows(self, W: Any, first: int, last: int) -> Any:
        """Return rows."""
        return W[first:last]

    def flat(self, W: Any) -> Any:
        """Return the entries row by row."""
        return W.reshape(-1)

    def part(self, x: Any, first: int, last: int) -> Any:
        """Return entries along the last axis."""
        return x[..., first:last]

    def joined(self, parts: Sequence[Any]) -> Any:
        """Return tensors one after another along the last axis."""
        return torch.cat(list(parts), dim=-1)


class _FunctionModule(Module):  # type: ignore[misc]
    """A chain of layers with trainable parameters, under the names of `Function.arrays`."""

    def __init__(self, f: Function) -> None:
        super().__init__()
        self._function = f
        for name, value in f.arrays.items():
            self.register_parameter(_key(name), nn.Parameter(torch.tensor(value)))

    def forward(self, x: Any) -> Any:
        """Return f(x), (..., p), of x, (..., n)."""
        arrays = {name: getattr(self, _key(name)) for name in self._function.arrays}
        return function_of(_Tensors(x), self._function, arrays, x)

    def extra_repr(self) -> str:
        """Return the function."""
        return repr(self._function)


class _MapModule(Module):  # type: ignore[misc]
    """A map with trainable parameters, under the names of `Map.parameters`."""

    def __init__(
        self, recurrent: Map, k: int | None, restart: Array, head: LinearHead | Function | None
    ) -> None:
        super().__init__()
        self.k = k
        self._map = recurrent
        for name, value in recurrent.parameters.items():
            self.register_parameter(_key(name), nn.Parameter(torch.tensor(value)))
        self.register_buffer("restart", torch.tensor(restart))
        self.head: Any = None
        if isinstance(head, Function):
            self.head = _FunctionModule(head)
        elif head is not None:
            self.head = nn.Linear(head.C.shape[1], head.C.shape[0], dtype=torch.float64)
            with torch.no_grad():
                self.head.weight.copy_(torch.tensor(head.C))
                self.head.bias.copy_(torch.tensor(head.d))

    def step(self, h: Any, x: Any) -> Any:
        """Return the next states (..., n) of states and inputs (..., m)."""
        values = {name: getattr(self, _key(name)) for name in self._map.parameters}
        return step_of(_Tensors(self.restart), self._map, values, h, x)

    def forward(self, X: Any) -> Any:
        """Return outputs (..., T, p) at all times of inputs (..., T, m), from the zero state."""
        if X.shape[-1] != self._map.input_dim or X.ndim not in {2, 3}:
            raise ValueError(
                f"X has shape {tuple(X.shape)}, needed (T, {self._map.input_dim}) or "
                f"(batch, T, {self._map.input_dim})"
            )
        states = self._recurrent(X) if self.k is None else self._windows(X, self.k)
        if isinstance(self.head, _FunctionModule):
            states = torch.cat([states, X], dim=-1)
        return states if self.head is None else self.head(states)

    def _recurrent(self, X: Any) -> Any:
        h = torch.zeros_like(self.restart).expand(*X.shape[:-2], -1)
        states = []
        for t in range(X.shape[-2]):
            h = self.step(h, X[..., t, :])
            states.append(h)
        shape = (*X.shape[:-2], 0, self._map.state_dim)
        return torch.stack(states, dim=-2) if states else X.new_zeros(shape)

    def _windows(self, X: Any, k: int) -> Any:
        """Return the states of the k-step model, all times at once; see `theory.truncate`."""
        T = X.shape[-2]
        first = min(k, T)
        rows = torch.cat(
            [torch.zeros_like(self.restart).expand(first, -1), self.restart.expand(T - first, -1)]
        )
        G = rows.expand(*X.shape[:-2], T, -1)
        for j in range(first - 1, -1, -1):
            new = self.step(G[..., j:, :], X[..., : T - j, :])
            G = torch.cat([G[..., :j, :], new], dim=-2)
        return G

    def extra_repr(self) -> str:
        """Return the map and k."""
        return f"{self._map!r}, k={self.k}"


def _key(name: str) -> str:
    # a dot in a name is of a submodule
    return name.replace(".", "_")


def to_torch(recurrent: Map, *, k: int | None = None, head: Any = None, restart: Any = None) -> Any:
    r"""Return a map as a `torch.nn.Module`, from inputs to the outputs at all times.

    Parameters
    ----------
    recurrent : Map
        Any but a `CallableMap`, a `DeltaRule` and a `LinearAttention`, also inside of a `Block` or
        a `Cascade`; for example ``project(map, ...).map``.
    k : int, optional
        Of the k-step counterpart, computed at all times at once; by default the recurrent model.
    head : LinearHead, array, output layer, Function, or torch.nn.Sequential, optional
        As for `theory.truncate`, or a chain of layers as for `theory.maps.with_head`; outputs are
        states without.
    restart : (n,) array, optional
        The state k steps back, zero by default.

    Returns
    -------
    torch.nn.Module
        In double precision; ``.float()`` makes it single.  Its parameters are those of the map
        under their names (a dot is an underscore), and can be trained; ``module.step(h, x)`` is one
        step.

    Raises
    ------
    ValueError
        If there is no recipe for the map or a function, which is named, a shape does not fit, or k
        is given wrongly.
    MissingExtraError
        If PyTorch is not installed.

    Notes
    -----
    Numbers of single precision end at 1e-45: an `SLSTM` whose normaliser falls below, where log(i)
    stays below -103, forgets all at each step.  A number added to all of b_i prevents it, and
    changes no output (`SLSTM`).
    """
    need_torch()
    check_map(recurrent)
    check_known(recurrent)
    if k is not None:
        check_count(k=k)
    n = recurrent.state_dim
    start = as_vector("restart", np.zeros(n) if restart is None else restart, size=n)
    output = None if head is None else head_of(recurrent, head)
    if isinstance(output, Function):
        check_known_function(output)
    return _MapModule(recurrent, k, start, output)
