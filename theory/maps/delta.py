r"""Matrix memories from which a step removes what stands at a key: delta rules.

Main name: `DeltaRule`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, final

import numpy as np
import numpy.typing as npt

from theory.arithmetic.activations import SIGMOID, SOFTPLUS
from theory.arithmetic.intervals import Interval
from theory.arithmetic.rounded import Rounded
from theory.arithmetic.rounding import UNIT
from theory.domain import Domain
from theory.errors import as_matrix, as_vector, check_count, check_positive
from theory.kernels.blocks import locked
from theory.maps.base import read_only
from theory.maps.boxes import delta
from theory.maps.boxes import ends as boxes
from theory.maps.boxes.directions import LEAST_EPS
from theory.maps.gates import GatedMap, finite_terms
from theory.maps.lengths import Lengths, lengths_up
from theory.norms.norms import L2, Norm
from theory.typing import Array

#: What of a step is done how; see `DeltaRule`.
RULES = ("gated", "rwkv7")


class _Terms(NamedTuple):
    """What a step makes of an input, each (..., heads, keys), but v, (..., heads, values)."""

    w: Array
    u: Array
    r: Array
    g: Array
    v: Array


@final
class DeltaRule(GatedMap):
    r"""A memory S of every head, S <- A(x) S + g v^T, whose transition turns one direction.

    .. math:: A = \mathrm{diag}(w) - (e \circ c \circ r)\, r^T,\qquad
        r = \kappa / \sqrt{|\kappa|^2 + \epsilon},\quad c = s\, \sigma(q)

    ``gated`` is the gated delta rule (Yang, Kautz and Hatamizadeh 2024, equation 10),
    A = alpha (I - beta r r^T), with w = e = sigma(p)^decay = exp(-decay softplus(-p)), and the key
    that is removed is the one that is written, g = c r.  ``rwkv7`` is the rule of RWKV-7 (Peng et
    al. 2025, equations 16 to 19), transposed, with w = exp(-decay sigma(p)), e = 1, and a key of
    its own, g = k (1 + mix (c - 1)).

    Parameters
    ----------
    U : (p, m) array
        Rows of the removed keys kappa (heads x keys), the values v (heads x values), p and q (as
        many as `decay` has, each), and the written keys k (heads x keys, of ``rwkv7`` alone).
    b : (p,) array, optional
        Zero by default.
    decay : (heads,) or (heads x keys,) array of positive numbers
        Of RWKV-7 exp(-1/2) for every key.
    scale : number, or array as `decay`
        s, in [0, 2]: 2 allows transitions that reflect.
    mix : number or (heads x keys,) array
        How far a written key is weakened as c is; 1 for ``gated``.
    heads, keys, values : int
    rule : str
        ``gated`` or ``rwkv7``.
    eps : float
        Of the length of a removed key.

    Raises
    ------
    ValueError
        If shapes do not fit, a number is not finite or out of range, or the rule is unknown.

    Notes
    -----
    The state S_{ij} of head l is entry (l keys + i) values + j.

    Examples
    --------
    >>> layer = DeltaRule(
    ...     [[1.0], [1.0], [0.0], [0.0]], decay=[1.0], heads=1, keys=1, values=1, eps=3.0
    ... )
    >>> layer.simulate([[1.0], [0.0]]).tolist()  # r = c = 1/2; w = 1/2
    [[0.25], [0.125]]
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
        scale: npt.ArrayLike = 1.0,
        mix: npt.ArrayLike = 1.0,
        rule: str = "gated",
        eps: float = 1e-6,
    ) -> None:
        check_count(at_least=1, heads=heads, keys=keys, values=values)
        if rule not in RULES:
            raise ValueError(f"rule={rule!r}, needed one of: {', '.join(RULES)}")
        check_positive(eps=eps)
        if not eps >= LEAST_EPS:
            raise ValueError(f"eps={eps}, needed at least {LEAST_EPS:.3g}")
        self._heads, self._keys, self._values = int(heads), int(keys), int(values)
        self._rule, self._eps = rule, float(eps)
        self._decay = as_vector("decay", decay)
        each, block = self._decay.size, self._heads * self._keys
        if each not in {self._heads, block}:
            raise ValueError(
                f"decay has {each} entries, needed {heads}, one a head, or {block}, one a key"
            )
        if not float(np.min(self._decay)) > 0:
            raise ValueError(f"decay has least entry {np.min(self._decay)}, needed decay > 0")
        self._scale = as_vector("scale", np.broadcast_to(scale, np.shape(scale) or each), size=each)
        if not bool(np.all((self._scale >= 0) & (self._scale <= 2))):
            raise ValueError(f"scale={self._scale.tolist()}, needed numbers in [0, 2]")
        self._mix = as_vector("mix", np.broadcast_to(mix, np.shape(mix) or block), size=block)
        rows = {"r": block, "v": self._heads * self._values, "p": each, "q": each}
        rows |= {"k": block} if rule == "rwkv7" else {}
        ends = np.cumsum([0, *rows.values()]).tolist()
        self._rows = {
            name: slice(a, c) for name, a, c in zip(rows, ends[:-1], ends[1:], strict=True)
        }
        self._U = as_matrix("U", U)
        if len(self._U) != ends[-1]:
            told = ", ".join(f"{count} of {name}" for name, count in rows.items())
            raise ValueError(
                f"U has shape {self._U.shape}, needed ({ends[-1]}, m): rows {told}, in this order"
            )
        self._b = as_vector("b", np.zeros(ends[-1]) if b is None else b, size=ends[-1])
        self._parts = delta.Parts(
            U=self._U,
            b=self._b,
            rows=self._rows,
            decay=self._decay,
            scale=self._scale,
            mix=self._mix,
            heads=self._heads,
            keys=self._keys,
            gated=rule == "gated",
            eps=self._eps,
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
    def rule(self) -> str:
        """Return ``gated`` or ``rwkv7``."""
        return self._rule

    @property
    def eps(self) -> float:
        """Return the epsilon of the length of a removed key."""
        return self._eps

    @property
    def parameters(self) -> Mapping[str, Array]:
        """Return U, b, decay, scale and mix."""
        return read_only(U=self._U, b=self._b, decay=self._decay, scale=self._scale, mix=self._mix)

    def _rebuilt(self, parameters: Mapping[str, Any]) -> DeltaRule:
        return DeltaRule(
            **parameters,
            heads=self._heads,
            keys=self._keys,
            values=self._values,
            rule=self._rule,
            eps=self._eps,
        )

    # ------------------------------------------------------------------------------ the definition

    def memory(self, h: Array) -> Array:
        """Return states (..., n) as memories, (..., heads, keys, values)."""
        return h.reshape(*h.shape[:-1], self._heads, self._keys, self._values)

    def _each_key(self, p: Array) -> Array:
        """Return what is known of heads, or of keys, (..., r), for every key, (..., heads keys)."""
        return np.repeat(p, self._heads * self._keys // p.shape[-1], axis=-1)

    def _by_head(self, p: Array) -> Array:
        return p.reshape(*p.shape[:-1], self._heads, p.shape[-1] // self._heads)

    def _terms_of(self, x: Array) -> _Terms:
        """Return w, u, r, g and v of inputs (..., m)."""
        pre = finite_terms(x @ self._U.T + self._b)
        at = {name: pre[..., rows] for name, rows in self._rows.items()}
        with np.errstate(over="ignore", invalid="ignore"):
            kappa = self._by_head(at["r"])
            length = np.sqrt(np.sum(kappa * kappa, axis=-1, keepdims=True) + self._eps)
            r = finite_terms(kappa / length)
            c = self._by_head(self._each_key(self._scale * SIGMOID(at["q"])))
            gate = SOFTPLUS(-at["p"]) if self._rule == "gated" else SIGMOID(at["p"])
            w = self._by_head(self._each_key(np.exp(-(self._decay * gate))))
            k = self._by_head(at["k"]) if self._rule == "rwkv7" else r
            mix = self._by_head(self._mix)
            u = c * r * w if self._rule == "gated" else c * r
            g = finite_terms(k * (mix * c + (1.0 - mix)))
        return _Terms(w, u, r, g, self._by_head(at["v"]))

    def lengths(self, x: Array) -> Array:
        """Return sqrt(|kappa|^2 + eps) of inputs (..., m), as computed: (..., heads)."""
        kappa = self._by_head((x @ self._U.T + self._b)[..., self._rows["r"]])
        root: Array = np.sqrt(np.sum(kappa * kappa, axis=-1) + self._eps)
        return root

    def input_terms(self, X: Array) -> Array:
        """Return w, u, r, g and v for every input, (..., heads (4 keys + values))."""
        terms = self._terms_of(X)
        return np.concatenate(
            [t.reshape(*t.shape[:-2], t.shape[-2] * t.shape[-1]) for t in terms], axis=-1
        )

    def step(self, h: Array, x: Array) -> Array:
        """Return diag(w) S - u (r^T S) + g v^T."""
        self._check_widths(h, x)
        return self.advance(h, self.input_terms(x))

    def advance(self, h: Array, terms: Array, out: Array | None = None) -> Array:
        """Return the next state from ``terms = (w, u, r, g, v)``."""
        block = self._heads * self._keys
        *parts, v = np.split(terms, [block, 2 * block, 3 * block, 4 * block], axis=-1)
        w, u, r, g = (self._by_head(part)[..., None] for part in parts)
        S, v = self.memory(h), self._by_head(v)[..., None, :]
        new = w * S - u * np.sum(r * S, axis=-2, keepdims=True) + g * v
        flat: Array = new.reshape(*new.shape[:-3], self.state_dim)
        if out is None:
            return flat
        out[...] = flat
        return out

    def _run(self, X: Array, h0: Array) -> Array:
        from theory.kernels.delta import delta_kernel

        H = np.empty((*X.shape[:2], self.state_dim))
        for i in range(len(H)):
            start = locked(np.ascontiguousarray(h0[i]))
            delta_kernel(self.input_terms(X[i]), start, H[i], self._keys, self._values)
        return H

    def _spread(self, blocks: Array) -> Array:
        """Return matrices of heads, (..., heads, keys, keys), as one of all entries."""
        d, n = self._values, self.state_dim
        leading = blocks.shape[:-3]
        whole = np.zeros((*leading, self._heads, self._keys, d, self._heads, self._keys, d))
        for head in range(self._heads):
            for j in range(d):
                whole[..., head, :, j, head, :, j] = blocks[..., head, :, :]
        return whole.reshape(*leading, n, n)

    def transitions(self, x: Array) -> Array:
        """Return the matrices A of every head, (..., heads, keys, keys), as computed."""
        t = self._terms_of(x)
        A: Array = t.w[..., None] * np.eye(self._keys) - t.u[..., :, None] * t.r[..., None, :]
        return A

    def jacobian_state(self, h: Array, x: Array) -> Array:
        """Return A(x) for every value of every head, (..., n, n)."""
        J = self._spread(self.transitions(x))
        leading = np.broadcast_shapes(np.shape(h)[:-1], np.shape(x)[:-1])
        return np.broadcast_to(J, (*leading, *J.shape[-2:])).copy()

    def jacobian_input(self, h: Array, x: Array) -> Array:
        """Return d step / d x, (..., n, m), by the product rule."""
        t, m = self._terms_of(x), self.input_dim
        pre = x @ self._U.T + self._b
        at = {name: pre[..., rows] for name, rows in self._rows.items()}

        def slopes(name: str, factor: Array) -> Array:
            """Return factor dp / dx for every key, (..., heads, keys, m)."""
            table = factor[..., None] * self._U[self._rows[name]]
            each = np.repeat(table, self._heads * self._keys // table.shape[-2], axis=-2)
            return each.reshape(*table.shape[:-2], self._heads, self._keys, m)

        kappa = self._by_head(at["r"])
        length = np.sqrt(np.sum(kappa * kappa, axis=-1, keepdims=True) + self._eps)
        dk = slopes("r", np.ones_like(at["r"]))
        dr = dk - t.r[..., None] * np.sum(t.r[..., None] * dk, axis=-2, keepdims=True)
        dr = dr / length[..., None]
        c = self._by_head(self._each_key(self._scale * SIGMOID(at["q"])))[..., None]
        dc = slopes("q", self._scale * SIGMOID.derivative(at["q"]))
        turn = (
            -SOFTPLUS.derivative(-at["p"]) if self._rule == "gated" else SIGMOID.derivative(at["p"])
        )
        w, r = t.w[..., None], t.r[..., None]
        dw = -w * slopes("p", self._decay * turn)
        mix = self._by_head(self._mix)[..., None]
        weak = mix * c + (1.0 - mix)
        if self._rule == "gated":
            du = dc * r * w + c * dr * w + c * r * dw
            dg = dr * weak + r * mix * dc
        else:
            du = dc * r + c * dr
            own = slopes("k", np.ones_like(at["k"]))
            dg = own * weak + self._by_head(at["k"])[..., None] * mix * dc
        dv = self._U[self._rows["v"]].reshape(self._heads, 1, self._values, m)
        S = self.memory(h)[..., None]  # (..., heads, keys, values, 1)
        seen = np.sum(t.r[..., None, None] * S, axis=-3, keepdims=True)
        moved = np.sum(dr[..., None, :] * S, axis=-3, keepdims=True)
        J = dw[..., None, :] * S - du[..., None, :] * seen - t.u[..., None, None] * moved
        J = J + dg[..., None, :] * t.v[..., None, :, None] + t.g[..., None, None] * dv
        result: Array = J.reshape(*J.shape[:-4], self.state_dim, m)
        return result

    # ------------------------------------------------------------------------------------ rounding

    def rounded_terms(self, x: Rounded, steepest: float | None = None) -> dict[str, Rounded]:
        r"""Return size and error of w, u, r, g and v, all (heads keys,) but v, (heads values,).

        r is Lipschitz in kappa with 1 / sqrt(eps), or with `steepest` where the lengths are known.
        """
        at = {name: x.affine(self._U[rows], self._b[rows]) for name, rows in self._rows.items()}

        def each(p: Rounded) -> Rounded:
            return x.of(self._each_key(p.size), self._each_key(p.error))

        kappa = x.of(self._by_head(at["r"].size), self._by_head(at["r"].error))
        r = kappa.directed(self._eps, mean=False, steepest=steepest)
        r = x.of(r.size.ravel(), r.error.ravel())
        c = each(x.stored(self._scale) * at["q"].logistic())
        gate = at["p"].through(*SOFTPLUS.facts) if self._rule == "gated" else at["p"].logistic()
        w = each((x.stored(self._decay) * gate).through(1.0, 1.0, (0.0, 1.0)))
        mix = x.stored(self._mix)
        # 1 - mix, of the stored number
        rest = np.abs(1.0 - self._mix) * (1 + 2 * UNIT) + mix.error
        weak = mix * c + x.of(rest * x.arithmetic.raised, mix.error + 2 * x.arithmetic.unit * rest)
        k = at["k"] if self._rule == "rwkv7" else r
        u = c * r * w if self._rule == "gated" else c * r
        return {"w": w, "u": u, "r": r, "g": k * weak, "v": at["v"]}

    def rounded_step(self, h: Rounded, x: Rounded) -> Rounded:
        """Return size and rounding error of a step, from those of its terms."""
        shape = (self._heads, self._keys, self._values)
        S = h.of(h.size.reshape(shape), h.error.reshape(shape))
        known = self.rounded_terms(x)
        terms = {
            name: x.of(self._by_head(t.size), self._by_head(t.error)) for name, t in known.items()
        }
        w, u, r, g = (
            x.of(terms[name].size[..., None], terms[name].error[..., None]) for name in "wurg"
        )
        v = x.of(terms["v"].size[:, None], terms["v"].error[:, None])
        new = w * S + u * (r * S).total(-2) + g * v
        return h.of(new.size.ravel(), new.error.ravel())

    # ---------------------------------------------------------------------------------- enclosures

    def _ends(self, domain: Domain | None) -> boxes.Ends:
        return boxes.ends_of(domain, self.state_dim, self.input_dim)

    def _ranges(self, box: boxes.Ends) -> delta.Ranges:
        return delta.ranges(self._parts, (box.input_low, box.input_high))

    def image(self, domain: Domain) -> Interval:
        """Enclose A S + g v^T over a box."""
        box = self._ends(domain)
        return delta.image(self._parts, self._ranges(box), (box.low, box.high))

    def slope_range(self, domain: Domain) -> Interval:
        """Enclose A(x) over a box of inputs, for every value of every head."""
        low, high = self._ranges(self._ends(domain)).A
        return self._spread(low), self._spread(high)

    def comparison(self, domain: Domain | None = None) -> tuple[Array, ...]:
        """Return the largest |A(x)|, entry by entry."""
        return (self._spread(boxes.magnitude(self._ranges(self._ends(domain)).A)),)

    def input_comparison(self, domain: Domain | None = None) -> Array | None:
        """Return the matrix, (n, m), of the slopes of a step on the domain; None if unbounded."""
        box = self._ends(domain)
        G = delta.input_slopes(self._parts, self._ranges(box), (box.low, box.high))
        found = boxes.finite_or_none(G)
        return None if found is None else found[0]

    def input_slope_range(self, domain: Domain) -> Interval | None:
        """Return the matrix that majorises a step in its input, with both signs."""
        G = self.input_comparison(domain)
        return None if G is None else (-G, G)

    def candidate_box(self, input_low: Array, input_high: Array) -> Interval | None:
        """Return a box that stays, if the largest |A(x)| has a radius below 1."""
        return delta.kept_box(self._parts, delta.ranges(self._parts, (input_low, input_high)))

    def group_comparison(self, domain: Domain | None = None) -> Lengths:
        """Return the columns of the memories, which A turns by at most its Euclidean norm."""
        box, d = self._ends(domain), self._values
        inputs = (box.input_low, box.input_high)
        columns = np.arange(self._heads * d).reshape(self._heads, 1, d)
        group = np.repeat(columns, self._keys, axis=1).ravel()
        G = self.input_comparison(domain)
        own = np.repeat(self.transition_upper(inputs), d)
        return Lengths(
            group=group,
            own=(np.diag(own),),
            seen=None if G is None else lengths_up(G.T, group).T,
            rest=delta.written_upper(self._parts, inputs).ravel(),
        )

    def transition_upper(self, inputs: Interval) -> Array:
        """Bound |A(x)| in the Euclidean norm over boxes of inputs, (..., m): (..., heads)."""
        return delta.transition_upper(self._parts, inputs)

    def state_lipschitz(self, norm: Norm, domain: Domain | None = None) -> float | None:
        """Return `transition_upper` in the Euclidean norm, else what `comparison` says."""
        if not isinstance(norm, L2):
            return super().state_lipschitz(norm, domain)
        box = self._ends(domain)
        return float(np.max(self.transition_upper((box.input_low, box.input_high))))

    def __repr__(self) -> str:
        return (
            f"DeltaRule(heads={self._heads}, keys={self._keys}, values={self._values}, "
            f"m={self.input_dim}, rule={self._rule!r})"
        )
