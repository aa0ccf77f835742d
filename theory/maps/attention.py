r"""Matrix memories that forget entry by entry: linear attention with a decay.

Main name: `LinearAttention`.  RetNet, GLA, Mamba-2 and mLSTM are of this form; the functions of
`theory.maps.architectures` make it from what each of them calls its parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import numpy.typing as npt

from theory.arithmetic.activations import SOFTPLUS
from theory.arithmetic.intervals import (
    Interval,
    activation_image,
    activation_upper,
    affine_image,
    plus_up,
    products,
    sum_of,
    times_up,
    widened,
)
from theory.arithmetic.rounded import Rounded
from theory.errors import as_matrix, as_vector, check_count
from theory.inputs import Inputs
from theory.maps.base import read_only
from theory.maps.boxes import ends as boxes
from theory.maps.boxes.fading import euler_box, euler_image, fading
from theory.maps.gates import finite_terms
from theory.maps.recurrence import LinearRecurrence
from theory.typing import Array

#: How a memory forgets, and by what a new key is multiplied.
FORGETS = ("constant", "gate")
WRITES = ("plain", "step", "exp")


@final
class LinearAttention(LinearRecurrence):
    r"""Linear attention with a decay, a memory S of keys and values for every head.

    .. math:: S_{ij} \leftarrow a_i(x)\, S_{ij} + g(x)\, k_i(x)\, v_j(x)

    Keys k and values v are affine in x.  The decay is constant, or that of a gate,

    .. math:: a = \sigma(p)^{r} = e^{-r\, \mathrm{softplus}(-p)},\qquad p = U_p x + b_p,

    one for every head or for every key of it.  A key is written as it is (``plain``), by the step
    g = softplus(-p) of the gate (``step``), or by a gate of its own, g = exp(q) (``exp``).

    Parameters
    ----------
    U : (p, m) array
        Rows of the keys (heads x keys), the values (heads x values), the decay p (as many as
        `decay` has, none if it is constant), and the gate q (one a head, with ``exp`` alone).
    b : (p,) array, optional
        Zero by default.
    decay : (heads,) or (heads x keys,) array
        Constants in [0, 1], or the powers r > 0 of the gate.
    heads, keys, values : int
        Number of heads, and of keys and values of each.
    forget : str
        ``constant`` or ``gate``.
    write : str
        ``plain``, ``step`` or ``exp``.

    Raises
    ------
    ValueError
        If shapes do not fit, a number is not finite, a decay is out of range, or a word is unknown.

    Notes
    -----
    The state S_{ij} of head l is entry (l keys + i) values + j; `memory` gives it its shape.

    Examples
    --------
    >>> layer = LinearAttention(
    ...     [[1.0], [2.0]], decay=[0.5], heads=1, keys=1, values=1, forget="constant"
    ... )
    >>> layer.simulate([[1.0], [0.0]]).tolist()
    [[2.0], [1.0]]
    """

    def __init__(
        self,
        U: npt.ArrayLike,
        b: npt.ArrayLike | None = None,
        *,
        decay: npt.ArrayLike,
        heads: int,
        keys: int,
        values: int,
        forget: str = "gate",
        write: str = "plain",
    ) -> None:
        check_count(at_least=1, heads=heads, keys=keys, values=values)
        for name, word, known in (("forget", forget, FORGETS), ("write", write, WRITES)):
            if word not in known:
                raise ValueError(f"{name}={word!r}, needed one of: {', '.join(known)}")
        self._heads, self._keys, self._values = int(heads), int(keys), int(values)
        self._forget, self._write = forget, write
        self._decay = as_vector("decay", decay)
        self._check_decay()
        gates = self._decay.size if forget == "gate" else 0
        rows = {
            "k": self._heads * self._keys,
            "v": self._heads * self._values,
            "p": gates,
            "q": self._heads if write == "exp" else 0,
        }
        ends = np.cumsum([0, *rows.values()]).tolist()
        self._rows = {
            name: slice(a, c) for name, a, c in zip(rows, ends[:-1], ends[1:], strict=True)
        }
        self._U = as_matrix("U", U)
        if len(self._U) != ends[-1]:
            told = ", ".join(f"{count} of {name}" for name, count in rows.items() if count)
            raise ValueError(
                f"U has shape {self._U.shape}, needed ({ends[-1]}, m): rows {told}, in this order"
            )
        self._b = as_vector("b", np.zeros(ends[-1]) if b is None else b, size=ends[-1])

    def _check_decay(self) -> None:
        sizes = {self._heads, self._heads * self._keys}
        if self._decay.size not in sizes:
            raise ValueError(
                f"decay has {self._decay.size} entries, needed {self._heads}, one a head, or "
                f"{self._heads * self._keys}, one a key"
            )
        least, largest = float(np.min(self._decay)), float(np.max(self._decay))
        if self._forget == "constant" and not (least >= 0 and largest <= 1):
            raise ValueError(f"decay is in [{least}, {largest}], needed constants in [0, 1]")
        if self._forget == "gate" and not least > 0:
            raise ValueError(f"decay has least entry {least}, needed positive powers of the gate")
        if self._write == "step" and (self._forget, self._decay.size) != ("gate", self._heads):
            raise ValueError(
                'write="step" takes the step of the gate of a head, needed forget="gate" and one '
                f"decay for each of {self._heads} heads"
            )

    @property
    def state_dim(self) -> int:
        """Return heads x keys x values."""
        return self._heads * self._keys * self._values

    @property
    def input_dim(self) -> int:
        """Return m."""
        return int(self._U.shape[1])

    @property
    def heads(self) -> int:
        """Return the number of heads."""
        return self._heads

    @property
    def keys(self) -> int:
        """Return the number of keys of a head."""
        return self._keys

    @property
    def values(self) -> int:
        """Return the number of values of a head."""
        return self._values

    @property
    def forget(self) -> str:
        """Return ``constant`` or ``gate``."""
        return self._forget

    @property
    def write(self) -> str:
        """Return ``plain``, ``step`` or ``exp``."""
        return self._write

    @property
    def U(self) -> Array:
        """Return the input weights, read-only."""
        return self._U

    @property
    def b(self) -> Array:
        """Return the biases, read-only."""
        return self._b

    @property
    def decay(self) -> Array:
        """Return the constants, or the powers of the gate, read-only."""
        return self._decay

    @property
    def parameters(self) -> Mapping[str, Array]:
        """Return U, b and decay."""
        return read_only(U=self._U, b=self._b, decay=self._decay)

    def _rebuilt(self, parameters: Mapping[str, Any]) -> LinearAttention:
        return LinearAttention(
            **parameters,
            heads=self._heads,
            keys=self._keys,
            values=self._values,
            forget=self._forget,
            write=self._write,
        )

    def memory(self, h: Array) -> Array:
        """Return states (..., n) as memories, (..., heads, keys, values)."""
        return h.reshape(*h.shape[:-1], self._heads, self._keys, self._values)

    def _of_keys(self, p: Array) -> Array:
        """Return what is known of heads, or of keys, (..., r), for every entry, (..., n)."""
        each = p.shape[-1]
        return np.repeat(p, self.state_dim // each, axis=-1)

    def _of_values(self, v: Array) -> Array:
        """Return what is known of values, (..., heads values), for every entry, (..., n)."""
        each = v.reshape(*v.shape[:-1], self._heads, 1, self._values)
        shape = (*v.shape[:-1], self._heads, self._keys, self._values)
        return np.broadcast_to(each, shape).reshape(*v.shape[:-1], self.state_dim)

    def coefficients(self, x: Array) -> tuple[Array, Array]:
        """Return a(x) and g k v^T, each (..., n)."""
        pre = finite_terms(x @ self._U.T + self._b)
        k, v, p, q = (pre[..., rows] for rows in self._rows.values())
        if self._forget == "constant":
            a = np.broadcast_to(self._of_keys(self._decay), (*pre.shape[:-1], self.state_dim))
        else:
            step = SOFTPLUS(-p)
            a = self._of_keys(np.exp(-(self._decay * step)))
        if self._write != "plain":
            with np.errstate(over="ignore", invalid="ignore"):
                g = step if self._write == "step" else np.exp(q)
                k = np.repeat(g, self._keys, axis=-1) * k
        with np.errstate(over="ignore", invalid="ignore"):
            u = self._of_keys(k) * self._of_values(v)
        return a, finite_terms(u)

    def _coefficient_slopes(self, x: Array) -> tuple[Array, Array]:
        pre = x @ self._U.T + self._b
        k, v, p, q = (pre[..., rows] for rows in self._rows.values())
        U_k, U_v, U_p, U_q = (self._U[rows] for rows in self._rows.values())
        n, m = self.state_dim, self.input_dim
        leading = pre.shape[:-1]

        def each(table: Array, spread: Any) -> Array:
            """Spread rows of slopes, (..., r, m), to the entries, (..., n, m)."""
            return np.swapaxes(spread(np.swapaxes(table, -1, -2)), -1, -2)

        da = np.zeros((*leading, n, m))
        steep = np.zeros_like(p)
        if self._forget == "gate":
            a = np.exp(-(self._decay * SOFTPLUS(-p)))
            steep = SOFTPLUS.derivative(-p)
            da = each((a * self._decay * steep)[..., None] * U_p, self._of_keys)
        g, dg = np.ones((*leading, self._heads)), np.zeros((*leading, self._heads, m))
        if self._write == "step":
            g, dg = SOFTPLUS(-p), -steep[..., None] * U_p
        elif self._write == "exp":
            g, dg = np.exp(q), np.exp(q)[..., None] * U_q
        key, value = self._of_keys(k)[..., None], self._of_values(v)[..., None]
        gate = self._of_keys(g)[..., None]
        du = each(dg, self._of_keys) * key * value
        du = du + gate * each(U_k, self._of_keys) * value + gate * key * each(U_v, self._of_values)
        return da, du

    def _rounded_coefficients(self, x: Rounded) -> tuple[Rounded, Rounded]:
        def spread(r: Rounded, how: Any) -> Rounded:
            return x.of(how(r.size), how(r.error))

        k, v, p, q = (x.affine(self._U[rows], self._b[rows]) for rows in self._rows.values())
        g = None
        if self._forget == "constant":
            a = x.stored(self._decay)
        else:
            step = p.through(*SOFTPLUS.facts)
            # exp(-y) has slope at most 1 where y >= 0
            a = (x.stored(self._decay) * step).through(1.0, 1.0, (0.0, 1.0))
            g = step if self._write == "step" else None
        if self._write == "exp":
            g = q.exp()
        key = spread(k, self._of_keys)
        if g is not None:
            key = spread(g, self._of_keys) * key
        return spread(a, self._of_keys), key * spread(v, self._of_values)

    def _ranges(self, inputs: Interval) -> dict[str, Interval]:
        """Enclose the rows of U x + b, by their names."""
        at = sum_of(affine_image(self._U, *inputs), (self._b, self._b))
        return {name: (at[0][..., r], at[1][..., r]) for name, r in self._rows.items()}

    def _step_range(self, p: Interval) -> Interval:
        """Enclose softplus(-p)."""
        low, high = activation_image(SOFTPLUS, -p[1], -p[0])
        return np.maximum(low, 0.0), high

    def _spread_step(self, at: dict[str, Interval]) -> Interval:
        """Enclose the step of every entry."""
        low, high = self._step_range(at["p"])
        return self._of_keys(low), self._of_keys(high)

    def decay_range(self, inputs: Interval) -> Interval:
        """Enclose a(x) over boxes of inputs, (..., m)."""
        low, high = self.distinct_decays(inputs)
        return self._of_keys(low), self._of_keys(high)

    def distinct_decays(self, inputs: Interval) -> Interval:
        """Enclose the decays of heads, or of keys, over boxes of inputs, (..., m)."""
        if self._forget == "constant":
            a = np.broadcast_to(self._decay, (*np.shape(inputs[0])[:-1], self._decay.size))
            return a, a
        rows = self._rows["p"]
        p = sum_of(affine_image(self._U[rows], *inputs), (self._b[rows], self._b[rows]))
        return fading(products((self._decay, self._decay), self._step_range(p)))

    def _gain_range(self, at: dict[str, Interval]) -> Interval:
        """Enclose k v, and exp(q) k v with such a gate."""
        key = (self._of_keys(at["k"][0]), self._of_keys(at["k"][1]))
        gain = products(key, (self._of_values(at["v"][0]), self._of_values(at["v"][1])))
        if self._write != "exp":
            return gain
        with np.errstate(over="ignore"):
            low, high = widened(np.exp(at["q"][0]), np.exp(at["q"][1]))
        return products((self._of_keys(np.maximum(low, 0.0)), self._of_keys(high)), gain)

    def _image(self, box: boxes.Ends) -> Interval:
        inputs, states = (box.input_low, box.input_high), (box.low, box.high)
        at = self._ranges(inputs)
        gain = self._gain_range(at)
        if self._write == "step":
            return euler_image(self._of_keys(self._decay), self._spread_step(at), gain, states)
        return sum_of(products(self.decay_range(inputs), states), gain)

    def candidate_box(self, input_low: Array, input_high: Array) -> Interval | None:
        """Return a box that stays: that of the fixed points at the slowest decay."""
        inputs = (input_low, input_high)
        at = self._ranges(inputs)
        gain = self._gain_range(at)
        if self._write == "step":
            step, rates = self._spread_step(at), self._of_keys(self._decay)
            return euler_box(products((rates, rates), step), step, gain)
        rest = 1.0 - self.decay_range(inputs)[1]
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            ends = tuple(np.where(end == 0, 0.0, end / rest) for end in gain)
        return boxes.hull_with_room((ends[0], ends[1]))

    def _drive_slopes(self, box: boxes.Ends) -> Array:
        inputs = (box.input_low, box.input_high)
        at = self._ranges(inputs)
        sizes = {name: boxes.magnitude(ends) for name, ends in at.items()}
        U = {name: np.abs(self._U[rows]) for name, rows in self._rows.items()}
        key, value = self._of_keys(sizes["k"]), self._of_values(sizes["v"])
        rows = {
            "k": self._of_keys(U["k"].T).T,
            "v": self._of_values(U["v"].T).T,
        }
        gate, by_gate = np.ones(self.state_dim), []
        if self._forget == "gate":
            # d a / d p = a r sigma(-p)
            steep = boxes.steepest(SOFTPLUS, (-at["p"][1], -at["p"][0]))
            slowest = fading(products((self._decay,) * 2, self._step_range(at["p"])))[1]
            turned = self._of_keys(times_up(times_up(slowest, self._decay), steep))
            moved = times_up(turned, boxes.magnitude((box.low, box.high)))
            if self._write == "step":
                gate = self._of_keys(self._step_range(at["p"])[1])
                own = times_up(self._of_keys(steep), times_up(key, value))
                moved = plus_up(moved, own)
            by_gate.append(times_up(moved[:, None], self._of_keys(U["p"].T).T))
        if self._write == "exp":
            with np.errstate(over="ignore"):
                top = np.exp(at["q"][1])
            gate = self._of_keys(widened(top, top)[1])
            own = times_up(gate, times_up(key, value))
            by_gate.append(times_up(own[:, None], self._of_keys(U["q"].T).T))
        return plus_up(
            *by_gate,
            times_up(times_up(gate, value)[:, None], rows["k"]),
            times_up(times_up(gate, key)[:, None], rows["v"]),
        )

    def rest_reach(self, inputs: Inputs) -> Array:
        """Bound g |k| |v|, entrywise."""
        b = self._b
        with np.errstate(over="ignore"):
            size = np.nextafter(inputs.image_upper(self._U) + np.abs(b), np.inf)
        at = {name: size[rows] for name, rows in self._rows.items()}
        reach = times_up(self._of_keys(at["k"]), self._of_values(at["v"]))
        if self._write == "step":
            reach = times_up(self._of_keys(activation_upper(SOFTPLUS, at["p"])), reach)
        elif self._write == "exp":
            with np.errstate(over="ignore"):
                top = np.exp(at["q"])
            reach = times_up(self._of_keys(widened(top, top)[1]), reach)
        return reach

    def __repr__(self) -> str:
        return (
            f"LinearAttention(heads={self._heads}, keys={self._keys}, values={self._values}, "
            f"m={self.input_dim}, forget={self._forget!r}, write={self._write!r})"
        )
