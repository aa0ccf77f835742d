r"""What queries read out of a memory of keys and values.

Main name: `Read`.
"""

from __future__ import annotations

from typing import final

import numpy as np

from theory.arithmetic.intervals import Interval, matrix_product, plus_up, products, times_up
from theory.arithmetic.rounded import Rounded
from theory.arithmetic.rounding import UNIT
from theory.arithmetic.zonotopes import Zonotope, product
from theory.errors import check_count
from theory.maps.boxes.ends import magnitude
from theory.maps.boxes.reached import EXCESS
from theory.maps.functions import Fixed
from theory.typing import Array


@final
class Read(Fixed):
    r"""What queries read out of memories: y_j = sum_i q_i S_ij for every head.

    It takes the memories (heads x keys x values), flat, and behind them the queries (heads x keys).

    Parameters
    ----------
    heads, keys, values : int
    normalized : bool
        Whether the last value of a head is a normaliser n, as of an mLSTM: the others are divided
        by max(\|n^T q\|, 1), and it is not passed on.

    Raises
    ------
    ValueError
        If a count is not positive, or a normaliser is the only value.

    Examples
    --------
    >>> Read(1, keys=2, values=1)(np.array([3.0, 4.0, 1.0, 0.5])).tolist()
    [5.0]
    """

    def __init__(self, heads: int, *, keys: int, values: int, normalized: bool = False) -> None:
        check_count(at_least=1, heads=heads, keys=keys)
        check_count(at_least=2 if normalized else 1, values=values)
        self.heads, self.keys, self.values = int(heads), int(keys), int(values)
        self.normalized = bool(normalized)

    @property
    def input_dim(self) -> int:
        """Return heads keys (values + 1)."""
        return self.heads * self.keys * (self.values + 1)

    @property
    def output_dim(self) -> int:
        """Return heads values, without those of a normaliser."""
        return self.heads * (self.values - self.normalized)

    def _parts(self, x: Array) -> tuple[Array, Array]:
        """Return S, (..., heads, keys, values), and q, (..., heads, keys)."""
        n, leading = self.heads * self.keys * self.values, x.shape[:-1]
        S = x[..., :n].reshape(*leading, self.heads, self.keys, self.values)
        return S, x[..., n:].reshape(*leading, self.heads, self.keys)

    def _flat(self, y: Array) -> Array:
        return y.reshape(*y.shape[:-2], self.output_dim)

    def __call__(self, x: Array) -> Array:
        """Return q^T S of every head, divided where that is wanted."""
        S, q = self._parts(x)
        y = np.sum(q[..., None] * S, axis=-2)
        if self.normalized:
            y = y[..., :-1] / np.maximum(np.abs(y[..., -1:]), 1.0)
        return self._flat(y)

    def _by_parts(self, S: Array, q: Array) -> Array:
        """Return the derivatives of q^T S, (..., heads, values, n)."""
        leading, (H, K, V) = S.shape[:-3], (self.heads, self.keys, self.values)
        by_S, by_q = np.zeros((*leading, H, V, H, K, V)), np.zeros((*leading, H, V, H, K))
        for head in range(H):
            by_q[..., head, :, head, :] = np.swapaxes(S[..., head, :, :], -1, -2)
            for j in range(V):
                by_S[..., head, j, head, :, j] = q[..., head, :]
        parts = by_S.reshape(*leading, H, V, H * K * V), by_q.reshape(*leading, H, V, H * K)
        return np.concatenate(parts, axis=-1)

    def jacobian(self, x: Array) -> Array:
        """Return the derivatives by the memories and by the queries."""
        S, q = self._parts(x)
        J = self._by_parts(S, q)
        if self.normalized:
            y = np.sum(q[..., None] * S, axis=-2)
            t = y[..., -1:]
            size = np.maximum(np.abs(t), 1.0)
            turn = np.where(np.abs(t) > 1, np.sign(t), 0.0) / size
            own = (y[..., :-1] / size * turn)[..., None] * J[..., -1:, :]
            J = J[..., :-1, :] / size[..., None] - own
        return J.reshape(*x.shape[:-1], self.output_dim, self.input_dim)

    def _read_range(self, box: Interval) -> Interval:
        """Enclose q^T S of every head, (heads, values)."""
        (S_low, q_low), (S_high, q_high) = self._parts(box[0]), self._parts(box[1])
        parts = [
            matrix_product((q_low[head][None], q_high[head][None]), (S_low[head], S_high[head]))
            for head in range(self.heads)
        ]
        low, high = zip(*parts, strict=True)
        ends = np.concatenate(low), np.concatenate(high)
        # what is beyond the largest double, or is no number, bounds nothing
        return (
            np.where(np.isfinite(ends[0]), ends[0], -np.inf),
            np.where(np.isfinite(ends[1]), ends[1], np.inf),
        )

    def carry(self, z: Zonotope, box: Interval) -> Zonotope:
        """Return q^T S, the products of forms; of the normalised the quotient by an interval."""
        H, K, V = self.heads, self.keys, self.values
        ends, n = z.clipped(*box), H * K * V
        memory = np.arange(n).reshape(H, K, V)
        query = np.repeat(n + np.arange(H * K), V).reshape(H, K, V)
        S, q = (index.transpose(0, 2, 1).ravel() for index in (memory, query))
        parts = product(z.rows(q), z.rows(S), (ends[0][q], ends[1][q]), (ends[0][S], ends[1][S]))
        read = parts.affine(np.repeat(np.eye(H * V), K, axis=1))
        if not self.normalized:
            return read
        low, high = (
            end.reshape(H, V) for end in read.clipped(*map(np.ravel, self._read_range(ends)))
        )
        least, most = (
            np.repeat(end, V - 1, axis=1).ravel()
            for end in self._divisor((low[:, -1:], high[:, -1:]))
        )
        kept = np.flatnonzero(np.arange(H * V) % V < V - 1)
        return read.rows(kept).scaled((least, most)).within(*self.image(ends), EXCESS)

    def _divisor(self, t: Interval) -> Interval:
        """Enclose 1 / max(|t|, 1)."""
        least = np.where((t[0] <= 0) & (t[1] >= 0), 0.0, np.minimum(*map(np.abs, t)))
        low = np.maximum(np.nextafter(1 / np.maximum(magnitude(t), 1.0), 0.0), 0.0)
        high = np.minimum(np.nextafter(1 / np.maximum(least, 1.0), 2.0), 1.0)
        return low, high

    def image(self, box: Interval) -> Interval:
        """Enclose what is read over a box of memories and queries."""
        low, high = self._read_range(box)
        if self.normalized:
            by = self._divisor((low[:, -1:], high[:, -1:]))
            low, high = products((low[:, :-1], high[:, :-1]), by)
        return self._flat(low), self._flat(high)

    def slopes(self, box: Interval) -> Array:
        r"""Return the sizes of the derivatives over a box; of the normalised, from both factors.

        |z / d - z' / d'| <= |z - z'| / d + |z' / d'| |d - d'| / d,  |d - d'| <= |t - t'|.
        """
        G = self._by_parts(*self._parts(magnitude(box)))
        if self.normalized:
            low, high = self._read_range(box)
            most = self._divisor((low[:, -1:], high[:, -1:]))[1]
            largest = times_up(magnitude((low[:, :-1], high[:, :-1])), most)
            own = times_up(times_up(largest, most)[..., None], G[:, -1:])
            G = plus_up(times_up(G[:, :-1], most[..., None]), own)
        return G.reshape(self.output_dim, self.input_dim)

    def rounded(self, x: Rounded) -> Rounded:
        """Return size and rounding error: sums of `keys` products, and a quotient."""
        (S, q), (S_error, q_error) = self._parts(x.size), self._parts(x.error)
        read = (x.of(q[..., None], q_error[..., None]) * x.of(S, S_error)).total(-2)
        size, error = read.size[..., 0, :], read.error[..., 0, :]
        if self.normalized:
            # the divisor is at least 1, and errs as its argument does
            unit, tiny = x.arithmetic.unit, x.arithmetic.tiny
            with np.errstate(over="ignore", invalid="ignore"):
                size, own = size[..., :-1] * x.arithmetic.raised, error[..., -1:]
                error = error[..., :-1] + times_up(size, own) + 4 * unit * size + tiny
                error = np.where(np.isinf(own), np.inf, error * (1 + 8 * UNIT))
        return x.of(self._flat(size), self._flat(error))
