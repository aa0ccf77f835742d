r"""How many inputs are enough: certified, measured, and for the benchmark.

Theorem shown: `context_length`, with the Lipschitz constant of the loss in the state.

For every tolerance of the mean test loss, in nats a prediction: the k that the network's best
certificate proves sufficient for *every* sequence of inputs of the test split, in any order, up to
its longest, the change of the loss by the k-step counterpart at that k, and the least k that the
test split itself asks for, over its first 8,000 predictions.  Beside them
the essay's open question, how much memory a benchmark needs: the least k from which on the metric
is within 1 % of full context, for unstable networks too.  The last column is the measured effective
memory of `theory memory`: the k from which on the logits of a new piece are off by more than 0.1
anywhere with probability at most 5 %, with 90 % confidence; it is not measured on a text, which is
one sequence.  ">50" says that no k up to 50 was enough; ">23" under a longest piece of 24 that none
below it was: a window of 24 is the network itself, and says nothing about its memory; "16: few are
longer" that pieces of more than 16 are too few to bear the statement by themselves.

What the eye should see: the loss at the certified k differs by less than the tolerance asked for,
and tests ask for much less context than certificates, which hold for the worst inputs.

Run   python examples/paper_required_context.py --task jsb --size small --data DIR
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import _results
import _stability
import _training

import theory

COLUMNS = (
    "task", "cell", "variant", "seed", "full_metric", "k_within_1_percent", "tolerance",
    "measured_k", "certified_k", "longest", "change_at_certified_k", "holds",
    "effective_memory",
)  # fmt: skip
TOLERANCES = (1.0, 0.1, 0.01)

#: The tolerance of the logits at which the effective memory is measured.
MEASURED_AT = 0.1
LENGTHS = (1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50)


def data(options: argparse.Namespace) -> list[tuple[object, ...]]:
    """Return rows of `COLUMNS`; ">50" where no length up to 50 is enough.

    Where no certified k is below the longest piece there is no change to tell either.
    """
    lengths = LENGTHS if options.size != "smoke" else LENGTHS[:6]
    rows: list[tuple[object, ...]] = []
    for label, t in _training.studies(options):
        rows += answers(label, t, options, lengths)
    return rows


def answers(
    label: tuple[object, ...],
    t: _training.Trained,
    options: argparse.Namespace,
    lengths: tuple[int, ...],
) -> list[tuple[object, ...]]:
    """Return the rows of one network, one for each tolerance."""
    found = _training.by_length(t, lengths, options.runs)
    full = found[None]
    kind = t.corpus.kind
    pieces = t.corpus.splits["test"]
    longest = max(len(y) for _, y in pieces)
    # a window as long as every sequence is the network itself
    shorter = [k for k in lengths if k < longest]

    def first(good: list[bool]) -> object:
        """Return the least length from which on all are good, of those below the longest piece."""
        bad = [i for i, one in enumerate(good) if not one]
        start = bad[-1] + 1 if bad else 0
        return lengths[start] if start < len(shorter) else f">{max(shorter, default=0)}"

    excess = [_training.relative_excess(kind, found[k]["metric"], full["metric"]) for k in lengths]
    enough = first([e <= 0.01 for e in excess])
    # an unstable network may turn out to be certified, too
    known = list(_stability.certificates(t).values())
    recurrent = _stability.to_map(t.model)
    inputs = _training.test_inputs(t)
    drives = [recurrent.drive(c.norm, inputs=inputs) for c in known]
    # pieces and sentences may count as independent, cuts of one text may not
    memory: int | str = "not measured: one text"
    if len(pieces) > 1:
        sequences = _training.test_sequences(t, None, longest)
        memory = _stability.effective_memory(t, MEASURED_AT, sequences, min(longest, lengths[-1]))
    rows: list[tuple[object, ...]] = []
    for tolerance in TOLERANCES:
        measured = first([abs(found[k]["loss"] - full["loss"]) <= tolerance for k in lengths])
        certified: object = ""
        change: object = ""
        holds: object = "no certificate"
        if known:
            least = min(
                context(t, c, tolerance, drive, longest)
                for c, drive in zip(known, drives, strict=True)
            )
            k = max(least, 1)
            certified, holds = f">{longest - 1}", "none below the longest"
            if k < longest:
                certified = least
                change = _training.by_length(t, [k], options.runs)[k]["loss"] - full["loss"]
                holds = bool(abs(change) <= tolerance)
        rows.append((
            *label, full["metric"], enough, tolerance, measured, certified, longest, change, holds,
            memory,
        ))  # fmt: skip
    return rows


def context(
    t: _training.Trained,
    c: theory.Contraction,
    tolerance: float,
    drive: theory.maps.Drive,
    longest: int,
) -> int:
    """Return the k that a certificate proves sufficient for a change of the loss, or `longest`."""
    return theory.theorems.context_length(
        c,
        eps=tolerance,
        drive=drive,
        lipschitz=_stability.loss_lipschitz(t, c.norm),
        horizon=longest,
    )


def draw(rows: list[tuple[object, ...]], path: Path) -> None:
    """Draw measured and certified k against the tolerance; needs matplotlib."""
    figure, found = _results.panels(rows, 0, 1, sharey=True)
    for axes, _, own in found:
        for column, line, what in ((7, "-", "measured"), (8, "--", "certified")):
            for (variant,), (eps, mean, _) in _training.curves(own, 6, column, 2).items():
                look = _results.style(variant, ls=line, mfc="none" if line == "--" else None)
                axes.loglog(eps, mean, label=f"{what}, {variant}", **look)
        # a mean over some seeds only would hide the longest: those are told
        beyond = sum(
            isinstance(row[c], str) and row[c].startswith(">") for row in own for c in (7, 8)
        )
        if beyond:
            axes.annotate(f"{beyond} beyond the longest k, not drawn", (0.03, 0.9),
                          xycoords="axes fraction", fontsize=8)  # fmt: skip
        axes.invert_xaxis()
        axes.set_xlabel("tolerance of the loss (nats)")
        axes.set_ylabel("required k")
    _results.finish(figure, path)


def main(argv: list[str] | None = None) -> int:
    """Write the numbers, and the picture if matplotlib is there."""
    return _training.report(
        argv, doc=__doc__, name="paper_required_context", columns=COLUMNS, data=data, draw=draw
    )


if __name__ == "__main__":
    sys.exit(main())
