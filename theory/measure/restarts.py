r"""Errors of all truncation lengths on many sequences, at a cost that grows with the memory.

Main names: `restart_errors`, `Sweep`.

A restart at time s is followed from the zero state; after k inputs its state is h^k at time s + k.
All restarts of several sequences are advanced together, one product a step.  A restart that has met
the recurrent model, computed in the same arithmetic, leaves; what it would have measured later is
the distance of the two simulations of the recurrent model, which are rounded differently.

It has met it where no entry of the two states differs by more than

    `NOISE` units in the last place of that entry's largest size, and of the state's largest entry;
    half of its own digits, so that what is small now and grows later is not taken for noise;
    the proved bound of the rounding error of one step, over the sizes that occur.

So had that one step been rounded otherwise, within its bound, the restart would be the recurrent
model from there on, bit for bit: every error that is returned is one that the arithmetic allows.
Small plain maps, whose steps are rounded the same way for every row, leave at equality alone.

In double precision a step rounds equal rows equally, as measured for BLAS, where the number of rows
is a multiple of `ALIGNED`; the kernels of single precision, and those of `theory.measure.rows`,
which read states and input terms where they lie, do so by construction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias, final

import numpy as np
import numpy.typing as npt

from theory.arithmetic.rounding import UNIT
from theory.kernels.blocks import locked
from theory.maps.base import Map, diverged
from theory.maps.functions import Function
from theory.measure.jobs import Job, Part, window
from theory.measure.met import Left, Places
from theory.measure.rows import rows_of
from theory.norms.norm import Norm
from theory.typing import Array

#: Rows of a block are padded to a multiple of it, so that BLAS sums every row in the same order.
ALIGNED = 16

#: Units in the last place by which two states that have met may differ, entry by entry.
NOISE = 4.0

#: Numbers in the input terms of the sequences that are worked on together: 16 MiB in doubles, and a
#: row counts as so many at least.
TERMS, ROW = 2**21, 128


class Steps(Protocol):
    """What is needed of a map, in whichever precision."""

    def input_terms(self, X: Array) -> Any:
        """Return what a step needs of the inputs."""

    def advance(self, h: Any, terms: Any) -> Any:
        """Return the states one step on."""


#: Numbers that a step of a block of restarts needs, 512 KiB, and its least number of rows.
_AT_HAND, _LEAST = 2**16, 64

#: Lengths that a block of restarts is followed through while it is at hand.
_TOGETHER = 32

#: States, the rows of them that go on, and to which places.
_Block: TypeAlias = tuple[Any, Places, Places]

#: Called with the part of the work that is done.
Tell = Callable[[float], None]

#: The least and the largest number of inputs from a restart to the end.
Span = tuple[int, int]


def restart_errors(
    recurrent: Map,
    steps: Steps,
    jobs: Sequence[Job],
    k_max: int,
    norm: Norm,
    C: Array | Function | None,
    tell: Tell | None = None,
    off: Array | None = None,
    over: tuple[float, Array] | None = None,
    restart: Any = None,
) -> Array:
    """Return the errors of k = 0 .. k_max on every sequence, (k_max + 1, N); NaN beyond doubles.

    `C` is the output, None if the state itself is seen, or a function of the state and behind it
    the inputs, whose value after no inputs is 0; `steps` is the map, or the same in single
    precision.  `tell` is called with the number of sequences done, not always a whole one.
    `off`, (N,), is overwritten with the largest distance of what is seen of the recurrent states in
    the two precisions.  `over`, (eps, (2, k_max + 1) array), is raised by how many
    errors of how many exceed eps.  `restart` is where restarts begin, zero by default.

    Raises
    ------
    DivergedError
        If the recurrent model leaves the range of double precision.
    """
    errors = np.zeros((k_max + 1, len(jobs)))
    from theory.measure.sweep import fused_form

    plain = C is None and steps is recurrent and over is None and restart is None
    fused = fused_form(recurrent, norm) if plain else None
    lo = 0
    with np.errstate(over="ignore", invalid="ignore"):
        while lo < len(jobs):
            hi = lo + (1 if fused is not None else together(steps, jobs[lo:], k_max))
            parts = [window(recurrent, job, k_max) for job in jobs[lo:hi]]
            told = None if tell is None else _shifted(tell, lo, hi - lo)
            if fused is not None:
                _fused(recurrent, fused, parts[0], jobs[lo].end is not None, errors[:, lo])
            else:
                last = jobs[lo].end is not None
                sweep = Sweep(recurrent, steps, parts, norm, C)
                sweep.over = over
                if restart is not None:
                    sweep.restart[:] = restart
                if off is not None:
                    off[lo:hi] = sweep.distances(parts)
                sweep.run(errors[:, lo:hi], last, told)
            lo = hi
            if tell is not None:
                tell(float(lo))
    return errors


def _shifted(tell: Tell, first: int, count: int) -> Tell:
    return lambda part: tell(first + part * count)


def together(steps: Steps, jobs: Sequence[Job], k_max: int) -> int:
    """Return how many of the first sequences are worked on together."""
    width = np.shape(steps.input_terms(jobs[0].X[:1]))[-1]
    rows, count = 0, 0
    for job in jobs:
        rows += len(job.X) if job.end is None else min(job.end, k_max + 1)
        if count and rows * max(width, ROW) > TERMS:
            break
        count += 1
    return count


def _fused(recurrent: Map, fused: Any, part: Part, last: bool, errors: Array) -> None:
    """Overwrite the errors of one sequence of a small plain map."""
    from theory.kernels.cells import restart_kernel

    form, kind, scale = fused
    restart_kernel(
        locked(np.ascontiguousarray(form.W.T)),
        recurrent.input_terms(part.X),
        part.H,
        locked(part.start),
        form.rho.code,
        form.rho.leak,
        kind,
        scale,
        last,
        errors,
    )


def _cut(G: Any, at: Places, size: int) -> list[_Block]:
    """Return blocks of states, all of which go on to these places."""
    cuts = (slice(lo, lo + size) for lo in range(0, len(at), size))
    return [(G[cut], np.arange(len(at[cut])), at[cut]) for cut in cuts]


def _part_of(C: Array) -> slice | None:
    """Return which entries of the state an output shows, if it shows some side by side."""
    p, n = C.shape
    first = int(np.argmax(C[0]))
    return slice(first, first + p) if np.array_equal(C, np.eye(p, n, first)) else None


@final
class Sweep:
    """All restarts of a few sequences, advanced together."""

    def __init__(
        self,
        recurrent: Map,
        steps: Steps,
        parts: list[Part],
        norm: Norm,
        C: Array | Function | None,
    ) -> None:
        self.steps, self.norm = steps, norm
        self.f = C if isinstance(C, Function) else None
        self.C = None if isinstance(C, Function) else C
        self.part = None if self.C is None else _part_of(self.C)
        lengths = np.array([len(part.X) for part in parts])
        self.stops = np.cumsum(lengths)
        self.of = np.repeat(np.arange(len(parts)), lengths)  # whose a place is
        self.terms = np.concatenate([steps.input_terms(part.X) for part in parts])
        self.own = steps is recurrent
        #: the kernel that reads rows where they lie, and what is seen of the states
        self.rows = rows_of(recurrent) if self.own else None
        self.seen = None if self.rows is None else self._of_states(norm, recurrent.state_dim)
        starts = np.stack([part.start for part in parts]).astype(self.terms.dtype)
        # the recurrent model in the arithmetic of the restarts: what they may meet
        self.F = self._followed(starts, lengths)
        self.near = self._nearness(recurrent, parts)
        #: eps, and how many errors exceed it of how many, (2, k_max + 1)
        self.over: tuple[float, Array] | None = None
        #: the state that restarts begin from
        self.restart = np.zeros(starts.shape[1], starts.dtype)
        #: which differences of states are too small to matter later, by a proof
        self.enough: Callable[[Array], npt.NDArray[np.bool_]] | None = None
        if self.own:
            self.H = np.concatenate([part.H for part in parts])
        else:
            self._check_finite(self.F, parts, lengths, "single")
            self.H = self.F
        if self.f is not None:
            self.X = np.concatenate([part.X for part in parts])
            self.Y = self._outputs(self.f, self.H, np.arange(len(self.H)))
            self._check_finite(self.Y, parts, lengths, "double")

    def _of_states(self, norm: Norm, n: int) -> tuple[int, int, Array] | None:
        """Return the first entry that is seen, and the norm as kernels know it; or None."""
        from theory.measure.sweep import size_of

        if self.f is not None or (self.C is not None and self.part is None):
            return None
        first, count = 0, n
        if self.part is not None:
            first, count = self.part.start, self.part.stop - self.part.start
        size = size_of(norm, count)
        return None if size is None else (first, *size)

    def _check_finite(
        self, F: Any, parts: list[Part], lengths: npt.NDArray[np.int64], precision: str
    ) -> None:
        """Raise `DivergedError` at the first state or output that a precision does not hold."""
        bad = ~np.isfinite(F).all(axis=1)
        if bad.any():
            at = int(np.argmax(bad))
            i = int(np.searchsorted(self.stops, at, side="right"))
            step = parts[i].begin + at + 1 - int(self.stops[i] - lengths[i])
            raise diverged(step, parts[i].number, precision)

    def _nearness(self, recurrent: Map, parts: list[Part]) -> Any:
        """Return how far apart states may be that have met, entry by entry."""
        sizes = np.max(np.abs(self.F), axis=0).astype(np.float64)
        inputs = np.max([np.max(np.abs(part.X), axis=0) for part in parts], axis=0)
        unit = UNIT if self.own else float(np.finfo(np.float32).eps) / 2.0
        proved = recurrent.step_error(sizes, inputs) * (unit / UNIT)
        near = np.minimum(2.0 * NOISE * unit * sizes, proved)
        near = np.where(np.isfinite(near), near, 0.0)
        self.top = 2.0 * NOISE * unit * np.max(np.abs(self.F), axis=1)
        self.digits = np.sqrt(unit)
        return near

    def _followed(self, starts: Any, lengths: npt.NDArray[np.int64]) -> Any:
        """Return the states of all sequences, advanced side by side."""
        n = starts.shape[1]
        F = np.empty((int(lengths.sum()), n), starts.dtype)
        first = self.stops - lengths
        h, alive = starts, np.arange(len(lengths))
        for t in range(int(lengths.max())):
            going = lengths[alive] > t
            alive, h = alive[going], h[going]
            h = self._advanced(h, np.arange(len(h)), first[alive] + t)
            F[first[alive] + t] = h
        return F

    def _advanced(self, G: Any, source: Places, at: Places) -> Any:
        """Return rows `source` of G one step on, under the inputs at these places."""
        if self.rows is not None:
            new = np.empty((len(at), G.shape[1]))
            self.rows(self.terms, at, G, source, new)
            return new
        h, rows = G[source], len(at)
        missing = -rows % ALIGNED
        if missing and self.own:
            # a copy of a row rather than zeros: a user's own step sees nothing that cannot occur
            h = np.concatenate([h, np.repeat(h[-1:], missing, axis=0)])
            at = np.concatenate([at, np.repeat(at[-1:], missing)])
        return self.steps.advance(h, self.terms[at])[:rows]

    def _sizes(self, G: Any, at: Places) -> Array:
        """Return the norms of what is seen of G - H."""
        if self.seen is not None:
            from theory.kernels.cells import gaps_at

            row = np.empty(len(at))
            gaps_at(G, self.H, at, *self.seen, row)
            return row
        if self.f is not None:
            gaps: Array = self.norm.vector(self._outputs(self.f, G, at) - self.Y[at])
            return gaps
        if self.part is not None:
            d = np.asarray(G[:, self.part] - self.H[at, self.part], dtype=np.float64)
        else:
            d = np.asarray(G - self.H[at], dtype=np.float64)
            d = d if self.C is None else d @ self.C.T
        sizes: Array = self.norm.vector(d)
        return sizes

    def _outputs(self, f: Function, G: Any, at: Places) -> Array:
        """Return f of states and the inputs at these places."""
        return f(np.concatenate([np.asarray(G, dtype=np.float64), self.X[at]], axis=1))

    def distances(self, parts: list[Part]) -> Array:
        """Return how far what is seen of the recurrent states is from that in double precision."""
        H = np.concatenate([part.H for part in parts])
        if self.f is not None:
            sizes = self.norm.vector(self._outputs(self.f, H, np.arange(len(H))) - self.Y)
        else:
            d = H - self.F
            sizes = self.norm.vector(d if self.C is None else d @ self.C.T)
        return np.maximum.reduceat(sizes, np.concatenate([[0], self.stops[:-1]]))

    def run(
        self, errors: Array, last: bool, tell: Tell | None = None, span: Span | None = None
    ) -> None:
        """Overwrite the errors, (k_max + 1, sequences): at the last time, or at the worst.

        With `span`, (least, most), only restarts with so many inputs before the end are followed.
        """
        at = np.arange(self.stops[-1])  # where each restart is
        left = Left(self.stops, self.of, self._sizes(self.F, at)) if self.own else None
        if self.over is not None:
            lengths, ks = np.diff(self.stops, prepend=0), np.arange(len(errors))
            self.over[1][1] += np.sum(np.clip(lengths - ks[:, None], 0, None), axis=1)
        if span is not None:
            before = self.stops[self.of] - 1 - at
            at = at[(before >= span[0]) & (before <= span[1])]
        at_hand = self.rows is not None and self.seen is not None and self.enough is None
        step = self._step_at_hand if at_hand else self._step
        together = _TOGETHER if at_hand else 1
        row = self.terms.shape[1] + 3 * len(self.restart)
        size = max(_LEAST, _AT_HAND // row) if at_hand else max(1, len(at))
        G = np.repeat(self.restart[None], len(at), axis=0)
        blocks = _cut(G, at, size)
        done = 0
        for k in range(0, len(errors), together):
            several = range(k, min(k + together, len(errors)))
            for i, block in enumerate(blocks):
                for j in several:
                    block = step(j, block, errors[j], last, left)
                    done += len(block[2])
                    if not len(block[2]):
                        break
                blocks[i] = block
            if left is not None:
                for j in several:
                    left.keep(errors[j], j, last)
            if at_hand and blocks:
                # those that are left, side by side again
                G = np.concatenate([g[source] for g, source, _ in blocks])
                blocks = _cut(G, np.concatenate([at for *_, at in blocks]), size)
            count = sum(len(at) for *_, at in blocks)
            if not count and (left is None or not left.any):
                break
            if tell is not None:
                tell(done / (done + count * (len(errors) - several[-1])))

    def _step(self, k: int, block: _Block, row: Array, last: bool, left: Left | None) -> _Block:
        """Advance restarts to k inputs, raise the errors of that k, and return those that stay."""
        G, source, at = block
        if k:
            G = self._advanced(G, source, at) if len(at) else G[:0]
        if not len(at):
            return G, at, at
        of = self.of[at]
        # without inputs no output was formed yet
        first = self.f is not None and k == 0
        sizes = self.norm.vector(self.Y[at]) if first else self._sizes(G, at)
        if self.over is not None:
            self.over[1][0, k] += np.count_nonzero(~(sizes <= self.over[0]))
        ends = at + 1 == self.stops[of]
        if last:
            row[of[ends]] = sizes[ends]
        else:
            begins = np.flatnonzero(np.diff(of, prepend=-1))
            row[of[begins]] = np.maximum.reduceat(sizes, begins)
        stay = ~self._met(G, at) if k else np.ones(len(at), dtype=bool)
        if left is not None and not stay.all():
            left.add(at[~stay] - k, k)
        source = np.flatnonzero(stay & ~ends)
        return G, source, at[source] + 1

    def _step_at_hand(
        self, k: int, block: _Block, row: Array, last: bool, left: Left | None
    ) -> _Block:
        """Do the same, in place, for a block that stays in the cache."""
        from theory.kernels.cells import follow_rows

        G, source, at = block
        rows, seen = self.rows, self.seen
        if rows is None or seen is None or left is None:
            raise AssertionError("needs kernels for the rows and for their norms")
        if k:
            rows(self.terms, at, G, source, G)
        eps = np.inf if self.over is None else self.over[0]
        count, met, off = follow_rows(
            G, at, source, k, self.H, self.F, self.of, self.stops, self.near, self.top, self.digits,
            *seen, last, eps, row, left.since,
        )  # fmt: skip
        left.any = left.any or met > 0
        if self.over is not None:
            self.over[1][0, k] += off
        return G, source[:count], at[:count]

    def _met(self, G: Any, at: Places) -> npt.NDArray[np.bool_]:
        """Return which of the restarts are where the model is."""
        met: npt.NDArray[np.bool_] = np.abs(G[:, 0] - self.F[at, 0]) <= self.near[0]
        candidates = np.flatnonzero(met)
        F = self.F[at[candidates]]
        near = np.minimum(self.near, self.top[at[candidates], None])
        near = np.minimum(near, self.digits * np.abs(F))
        met[candidates] = (np.abs(G[candidates] - F) <= near).all(axis=1)
        if self.enough is not None and len(at):
            met |= self.enough(np.asarray(G - self.F[at], dtype=np.float64))
        return met
