r"""What a step makes of a difference, layer by layer: entry by entry, or length by length.

Main names: `Moves`, `moves_of`, `errors_by_moves`, `context_by_moves`.

Of a stack e_l+ <= max_M M_l e_l + G_l e_{l-1}+, where M_l is of layer l alone and G_l of what it
sees of the one below: sharper than the product of all layers, and far less work.  The sizes e are
those of entries (`Map.comparison`), or of groups of them that turn together
(`Map.group_comparison`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np

from theory.arithmetic.intervals import plus_up, product_matrix_up
from theory.arithmetic.rounding import inner_product_error
from theory.domain import Domain
from theory.maps.balls import LENGTHS, radii_in
from theory.maps.base import Map
from theory.maps.cascade import Cascade
from theory.maps.head import LinearHead
from theory.maps.lengths import Groups, Lengths, lengths_up
from theory.norms.norms import L2, Norm
from theory.typing import Array

#: Contexts longer than this are not looked for.
LONGEST_CONTEXT = 100_000

#: Multiplications that the search for a context may take, about two seconds, and as how many the
#: call for one matrix counts.
_WORK, _CALL = 2.0**32, 2.0**14

#: Matrices with fewer entries than this part are stored by them.
_SPARSE = 0.25


@final
@dataclass(frozen=True, eq=False)
class Majorant:
    """A non-negative matrix whose products are rounded upward; exact zeros stay zero."""

    A: Array

    @cached_property
    def _stored(self) -> tuple[Any, Any, int]:
        """Return the matrix, where it has entries, and the most entries of a row."""
        there = self.A > 0
        most = int(np.max(np.count_nonzero(there, axis=1), initial=0))
        if np.count_nonzero(there) < _SPARSE * self.A.size:
            from scipy.sparse import csr_array

            return csr_array(self.A), csr_array(there.astype(np.float64)), most
        return self.A, there.astype(np.float64), most

    @property
    def work(self) -> float:
        """Return about how many multiplications a product takes."""
        return float(np.count_nonzero(self.A)) + _CALL

    def __call__(self, e: Array) -> Array:
        """Return an upper bound of A e."""
        A, there, most = self._stored
        with np.errstate(over="ignore", invalid="ignore"):
            image = A @ e
            image = np.nextafter(image + inner_product_error(image, most), np.inf)
        image = np.where(np.isnan(image), np.inf, image)  # 0 times infinity
        # a row that meets only zeros stays zero
        result: Array = np.where(there @ (e > 0).astype(np.float64) > 0, image, 0.0)
        return result


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Layer:
    rows: slice  # of its sizes
    own: tuple[Majorant, ...]
    below: Majorant | None  # of the new sizes below


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Moves:
    """The matrices of all layers."""

    layers: tuple[_Layer, ...]
    group: Groups  # which size bounds an entry of the state, (n,)
    start: Array  # the largest sizes of states of the domain, (p,)

    @property
    def grouped(self) -> bool:
        """Return whether a size is that of several entries."""
        return int(self.group.max()) + 1 < len(self.group)

    @property
    def work(self) -> float:
        """Return about how many multiplications a step takes."""
        parts = [M for layer in self.layers for M in (*layer.own, layer.below) if M is not None]
        return sum(M.work for M in parts)

    def after(self, e: Array) -> Array:
        """Return upper bounds of the sizes after a step, (p,)."""
        new, last = np.zeros_like(e), slice(0)
        for layer in self.layers:
            image = np.maximum.reduce([M(e[layer.rows]) for M in layer.own])
            if layer.below is not None:
                image = plus_up(image, layer.below(new[last]))
            new[layer.rows], last = image, layer.rows
        return new

    def through(self, head: LinearHead | None) -> Majorant | None:
        """Return what bounds outputs by sizes."""
        return None if head is None else Majorant(lengths_up(head.C, self.group))

    def error(self, e: Array, seen: Majorant | None, norm: Norm) -> float:
        """Return a bound of the norm of the state, or of the output, by its sizes."""
        if seen is not None:
            return norm.majorant(seen(e))
        # the Euclidean norm is that of the lengths
        return norm.majorant(e if isinstance(norm, L2) else e[self.group])


def moves_of(recurrent: Map, domain: Domain, *, lengths: bool) -> Moves | None:
    """Return the matrices of a map on a domain, of entries or where they are known of lengths.

    None where a layer has none.  Whether the map stays in the domain is not asked.
    """
    stack = recurrent if isinstance(recurrent, Cascade) else None
    maps: tuple[Map, ...] = (recurrent,) if stack is None else stack.layers
    parts = (domain,) if stack is None else stack.layer_domains(domain)
    if parts is None:
        return None
    layers: list[_Layer] = []
    groups: list[Groups] = []
    count = 0
    for number, (layer, part) in enumerate(zip(maps, parts, strict=True)):
        known = layer.group_comparison(part) if lengths else None
        if known is None:
            known = _by_entries(layer, part)
        if known is None:
            return None
        below = None
        if stack is not None and number:
            if known.seen is None:
                return None
            C = stack.readouts[number - 1].C
            read = lengths_up(C, groups[-1])
            below = Majorant(product_matrix_up(known.seen, read))
        rows = slice(count, count + len(known.own[0]))
        layers.append(_Layer(rows=rows, own=tuple(map(Majorant, known.own)), below=below))
        groups.append(known.group)
        count = rows.stop
    group = np.concatenate(
        [layer.rows.start + one for layer, one in zip(layers, groups, strict=True)]
    )
    given = [domain] if stack is None else _given_parts(stack, domain)
    start = np.concatenate([_sizes(one, g) for one, g in zip(given, groups, strict=True)])
    return Moves(layers=tuple(layers), group=group, start=start)


def _by_entries(layer: Map, part: Domain) -> Lengths | None:
    """Return the matrices of single entries in the same form."""
    own = layer.comparison(part)
    if own is None:
        return None
    group = np.arange(layer.state_dim)
    return Lengths(group=group, own=own, seen=layer.input_comparison(part))


def _given_parts(stack: Cascade, domain: Domain) -> list[Domain]:
    """Return the layers' own parts of a domain, of balls as such."""
    if domain.reached is not None:
        return list(domain.reached.parts)
    zero = np.zeros(0)
    return [
        Domain(low=domain.low[rows], high=domain.high[rows], input_low=zero, input_high=zero)
        for rows in stack.slices
    ]


def _sizes(part: Domain, group: Groups) -> Array:
    """Return the largest sizes of states of a part."""
    sizes = lengths_up(part.reach, group)
    if part.reached is None or part.reached.ball != LENGTHS:
        return sizes
    many = np.bincount(group) > 1
    return np.where(many, radii_in(part, group), sizes)


def _asked(recurrent: Map, domain: Domain | None, norm: Norm) -> list[tuple[str, Moves]]:
    """Return what is known of a map, by name; nothing where it does not apply."""
    # a map of the form rho(W h + U x + b) has its certificates everywhere
    if domain is None or recurrent.affine() is not None or not norm.monotone:
        return []
    found: list[tuple[str, Moves]] = []
    turned = moves_of(recurrent, domain, lengths=True)
    if turned is not None and turned.grouped:
        found.append((BY_LENGTHS, turned))
    if _has_balls(domain):  # entry by entry nothing stays in them
        return found
    single = moves_of(recurrent, domain, lengths=False)
    return found if single is None else [*found, (BY_ENTRIES, single)]


#: What `Choice.considered` calls these bounds.
BY_ENTRIES, BY_LENGTHS = "comparison, entry by entry", "comparison, length by length"


def _has_balls(domain: Domain) -> bool:
    reached = domain.reached
    return reached is not None and (reached.ball == LENGTHS or any(map(_has_balls, reached.parts)))


def errors_by_moves(
    recurrent: Map, domain: Domain | None, k_max: int, head: LinearHead | None, norm: Norm
) -> dict[str, Array]:
    """Return the errors that are proved for k = 0 .. k_max, by name; none where it does not apply.

    That the map stays in the domain is to be known.
    """
    curves: dict[str, Array] = {}
    for name, moves in _asked(recurrent, domain, norm):
        seen, e, errors = moves.through(head), moves.start, []
        for k in range(k_max + 1):
            e = moves.after(e) if k else e
            errors.append(moves.error(e, seen, norm))
        curves[name] = np.array(errors)
    return curves


def context_by_moves(
    recurrent: Map, domain: Domain | None, eps: float, head: LinearHead | None, norm: Norm
) -> list[tuple[str, int, float]]:
    """Return names, the least contexts that are proved enough so, and the errors there."""
    found: list[tuple[str, int, float]] = []
    for name, moves in _asked(recurrent, domain, norm):
        least = least_context(moves, eps, head, norm)
        if least is not None:
            found.append((name, *least))
    return found


def least_context(
    moves: Moves, eps: float, head: LinearHead | None, norm: Norm
) -> tuple[int, float] | None:
    """Return the least context that matrices prove enough, and the error; None if none is met."""
    seen, e = moves.through(head), moves.start
    for k in range(min(LONGEST_CONTEXT, int(_WORK / moves.work)) + 1):
        error = moves.error(e, seen, norm)
        if error <= eps:
            return k, error
        if not np.isfinite(e).all():
            return None
        e = moves.after(e)
    return None
