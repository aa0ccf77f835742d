r"""The command `theory memory`: how many inputs a model remembers, on the user's sequences.

Main name: `memory`; `theory.cli` registers it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich import box
from rich.table import Table

from theory.arithmetic.rounding import decimal_down, decimal_rate, decimal_up
from theory.certify.cause import cause_of
from theory.cli.heads import HeadOption
from theory.cli.options import (
    NO,
    ActivationOption,
    ClusterOption,
    GatesOption,
    JobsOption,
    PatienceOption,
    PrefixOption,
    UnusedOption,
    VariantOption,
    WeightsArgument,
    check_picture,
    check_target,
    one_or_several,
    out,
    refusals,
    show,
    workers,
)
from theory.errors import check_positive
from theory.executors import PATIENCE
from theory.files.stored import StoredSequences, open_sequences
from theory.files.writing import write_atomically
from theory.inputs import Inputs
from theory.interop.files import read_file
from theory.interop.heads import find_head, shown_by
from theory.maps.base import Map
from theory.maps.head import LinearHead
from theory.measure.certified_memory import CertifiedMemory, certified_memory, check_window
from theory.measure.effective_memory import (
    DEFAULT_K_MAX,
    EVENTS,
    LEVELS,
    EffectiveMemory,
    effective_memory,
)
from theory.measure.memory_among import memory_among
from theory.measure.rates import MeasuredRates, check_span, local_rates
from theory.memory.context import Choice, required_context, smallest_error
from theory.memory.products import core_of
from theory.memory.windows import window_context
from theory.norms.norms import L1, L2, Linf, Norm
from theory.progress import counting_bar

#: Norms that the commands know.
NORMS = {"L1": L1(), "L2": L2(), "Linf": Linf()}

#: Rows of the table on the screen; the JSON file has all of them.
_ROWS = 24


@refusals()
def memory(
    weights: WeightsArgument,
    sequences: Annotated[
        Path,
        typer.Option(
            help="An .npy or .npz file, or a folder of them, with inputs (T, m); a .zarr store or "
            "a .parquet file.  They may be larger than memory."
        ),
    ],
    epsilon: Annotated[float, typer.Option(help="Allowed error of the output.")],
    probability: Annotated[
        float, typer.Option(help="Allowed probability that the error exceeds epsilon.")
    ] = 0.01,
    confidence: Annotated[float, typer.Option(help="Of the statement.")] = 0.99,
    when: Annotated[
        str, typer.Option(help="Where in a sequence the error is taken: anywhere, last, random.")
    ] = "anywhere",
    k_max: Annotated[
        int | None, typer.Option(help="Largest length looked at; fix it beforehand.")
    ] = None,
    lengths: Annotated[
        str | None,
        typer.Option(
            help="Test these alone, as in 200,100,50, from the longest down to the first that "
            "fails; faster, and without the table."
        ),
    ] = None,
    dtype: Annotated[
        str, typer.Option(help="float64, or float32 for a model in single precision: faster.")
    ] = "float64",
    norm: Annotated[str, typer.Option(help="Norm of the error: L1, L2, Linf.")] = "L2",
    activation: ActivationOption = None,
    prefix: PrefixOption = None,
    head: HeadOption = None,
    variant: VariantOption = None,
    recurrent_activation: GatesOption = None,
    unused: UnusedOption = None,
    seed: Annotated[int, typer.Option(help="Draws the times of --when random.")] = 0,
    rates: Annotated[
        int | None,
        typer.Option(help="Measure the local contraction of this many steps, too."),
    ] = None,
    jobs: JobsOption = 1,
    cluster: ClusterOption = None,
    patience: PatienceOption = PATIENCE,
    keep: Annotated[
        Path | None,
        typer.Option(help="A folder for what is measured; the same command goes on from there."),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(
            help="Certify in two stages, too: measured until pasts are near, and proved from "
            "there within so many inputs."
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the whole table here.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the quantiles of the error against k.")
    ] = None,
) -> None:
    """Measure how many inputs a recurrent model remembers, with a statistical guarantee.

    Every sequence has to be an independent example of what the model will see: pieces of one
    recording are not.  Exit status 0 if a k was found, 1 if not: a k as large as the longest
    sequence is none, as the truncated model then is the model itself.
    """
    measured: MeasuredRates | None = None
    check_positive(patience=patience)
    # fail before the work rather than after it
    check_target(json_file, weights, sequences)
    check_picture(plot, weights, sequences)
    if norm not in NORMS:
        raise ValueError(f"norm {norm!r} is not known, needed one of: {', '.join(NORMS)}")
    file = read_file(weights)
    cell = file.map(
        prefix=one_or_several(prefix),
        activation=activation,
        variant=variant,
        recurrent_activation=recurrent_activation,
        unused=unused or (),
    )
    output = find_head(file, cell, head, prefix=prefix)
    recurrent, linear = shown_by(cell, output)
    given = open_sequences(sequences)
    if lengths is not None:
        if any(one is not None for one in (k_max, plot, rates, window)):
            raise ValueError(
                "--lengths has no table: leave --k-max, --plot, --rates and --window out"
            )
        if jobs != 1 or cluster is not None or keep is not None:
            raise ValueError("--lengths ends early: leave --jobs, --cluster and --keep out")
        with counting_bar("sequences") as progress:
            few = memory_among(
                recurrent,
                given,
                lengths=_counts(lengths),
                eps=epsilon,
                probability=probability,
                confidence=confidence,
                when=when,
                head=linear,
                norm=NORMS[norm],
                rng=np.random.default_rng(seed),
                dtype=dtype,
                progress=progress,
            )
        out.print(f"{output.told}\n{few}".strip(), markup=False, soft_wrap=True)
        if json_file is not None:
            json_file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(
                json_file, json.dumps(few.to_dict() | {"head": output.name}, indent=1) + "\n"
            )
            out.print(f"written: {json_file}", markup=False)
        if few.k is None:
            raise typer.Exit(NO)
        return
    counts = given.lengths.tolist()
    if rates is not None:
        check_span(counts, rates)
    if window is not None:
        check_window(counts, window=window)
    # read once, as they may be larger than memory; what does not fit the measurement tells
    fits = given.widths == {recurrent.input_dim} and min(counts) > 0 and epsilon > 0
    seen = Inputs.seen(given) if fits else None
    longest = DEFAULT_K_MAX if k_max is None else max(k_max, 0)
    proved = (
        None if seen is None else _proved(recurrent, seen, epsilon, NORMS[norm], linear, longest)
    )
    with _going_on(keep), counting_bar("sequences") as progress:
        answer = effective_memory(
            recurrent,
            given,
            eps=epsilon,
            probability=probability,
            confidence=confidence,
            when=when,
            head=linear,
            norm=NORMS[norm],
            k_max=k_max,
            certificate=proved,
            rng=np.random.default_rng(seed),
            executor=workers(jobs, cluster),
            patience=patience,
            keep=keep,
            dtype=dtype,
            progress=progress,
        )
    if rates is not None:
        with _going_on(keep), counting_bar("local rates") as progress:
            measured = local_rates(cell, given, r=rates, progress=progress)
    staged: CertifiedMemory | None = None
    if window is not None:
        with _going_on(keep):
            staged = certified_memory(
                recurrent,
                given,
                eps=epsilon,
                probability=probability,
                confidence=confidence,
                head=linear if linear is not None else LinearHead(recurrent.output_map),
                norm=NORMS[norm],
                window=window,
                k_max=answer.k_max,
            )
    out.print(
        f"{cell}, {answer.sequences} sequences of {_lengths(answer)}",
        markup=False,
        soft_wrap=True,
    )
    if output.told:
        out.print(output.told, markup=False, soft_wrap=True)
    show(_table(answer))
    out.print(str(answer), markup=False, soft_wrap=True)
    _print_certified(answer, recurrent, seen)
    if output.head is None and core_of(recurrent) is not None:
        _print_exact(recurrent, given, epsilon)
    if measured is not None:
        out.print(f"local rates: {measured}", markup=False, soft_wrap=True)
    if staged is not None:
        out.print(f"in two stages: {staged}", markup=False, soft_wrap=True)
    for target in (json_file, plot):
        if target is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
    if json_file is not None:
        data = (
            answer.to_dict()
            | {"head": output.name}
            | ({} if measured is None else {"rates": measured.to_dict()})
            | ({} if staged is None else {"two_stages": staged.to_dict()})
        )
        write_atomically(json_file, json.dumps(data, indent=1) + "\n")
        out.print(f"written: {json_file}", markup=False)
    if plot is not None:
        answer.plot().savefig(plot)
        out.print(f"drawn: {plot}", markup=False)
    if answer.k is None:
        raise typer.Exit(NO)


@contextmanager
def _going_on(keep: Path | None) -> Iterator[None]:
    """Say after Ctrl-C how to go on, where what is measured is kept."""
    try:
        yield
    except KeyboardInterrupt:
        if keep is None or not keep.exists():
            raise
        raise KeyboardInterrupt(
            f"what is measured is kept in {keep}; run the same command again to go on from there"
        ) from None


def _counts(text: str) -> list[int]:
    """Return the counts of a text like 200,100,50."""
    try:
        return [int(one) for one in text.split(",")]
    except ValueError:
        raise ValueError(f"--lengths {text!r}, needed counts such as 200,100,50") from None


def _proved(
    recurrent: Map, seen: Inputs, eps: float, norm: Norm, head: LinearHead | None, longest: int
) -> Choice | None:
    """Return what proves the least context for inputs like those seen.

    What is proved of the Euclidean ball around them holds for them, too, where a search may end
    better; it is asked about no context beyond the longest that is looked at.
    """
    output = recurrent.output_map
    if head is None and not np.array_equal(output, np.eye(recurrent.state_dim)):
        head = LinearHead(output)
    best = required_context(recurrent, eps, inputs=seen, head=head, norm=norm)
    for ball in (Inputs.ball(radius, one) for one, radius in seen.balls if one.p == 2):
        if best is not None and best.k > longest:
            least = smallest_error(recurrent, longest, inputs=ball, head=head, norm=norm)
            if least is None or not least.error <= eps:
                continue
        found = required_context(recurrent, eps, inputs=ball, head=head, norm=norm)
        if best is None or (found is not None and found.k < best.k):
            best = found
    return best


def _lengths(answer: EffectiveMemory) -> str:
    low, high = answer.lengths
    return f"{low} inputs" if low == high else f"{low} to {high} inputs"


def _print_certified(answer: EffectiveMemory, recurrent: Map, seen: Inputs | None) -> None:
    """Say what is proved, or why nothing is."""
    if answer.certificate is None:
        cause = cause_of(recurrent, inputs=seen)
        out.print(
            f"certified: nothing for {seen} (no contraction was found: {cause})",
            markup=False,
            soft_wrap=True,
        )
        return
    c, (inputs,) = answer.certificate, answer.certified_for
    least = f"k = {answer.certified_k} is enough"
    if answer.certified_k is None:
        least = f"no k up to {answer.k_max} is proved to be enough"
    proved = f"{least} for every sequence of "
    proved += str(inputs) if inputs.name else f"inputs within {inputs}"
    if answer.certified_k is not None and answer.certified_k >= answer.longest:
        proved += f", of any length; none given has more than {answer.longest}"
    out.print(
        f"{c.evidence.kind}: {proved} "
        f"(rate {decimal_rate(c.lam, 6)} in {c.norm}, {c.evidence.method})",
        markup=False,
        soft_wrap=True,
    )


def _print_exact(recurrent: Any, given: StoredSequences, eps: float) -> None:
    """Say how many of their last inputs are enough for the sequences, whatever came before."""
    sizes = (np.max(L2().vector_upper(recurrent.simulate(X)), initial=0.0) for X in given)
    past = float(max(sizes))
    found = [window_context(recurrent, X, eps=eps, past=past) for X in given]
    enough = [one.k for one in found if one.k is not None]
    lacks = len(found) - len(enough)
    if not lacks:
        told = f"at the end of a sequence its last {max(enough)} inputs, or fewer, are enough"
    else:
        told = f"at the end of {lacks} of the {len(found)} sequences not even all inputs are enough"
        if enough:
            told += f", of the others the last {max(enough)}, or fewer, are"
    out.print(
        f"linear in the state: {told} for an error of {eps:g} in L2, "
        f"whatever state within |h|_2 <= {decimal_down(past, 4)}, the largest seen, came before "
        "(proved for these sequences)",
        markup=False,
        soft_wrap=True,
    )


def _last(answer: EffectiveMemory) -> int:
    """Return the largest k that is shown: with longer ones the model is the recurrent one."""
    return min(answer.k_max, answer.longest - 1)


def _table(answer: EffectiveMemory) -> Table:
    """Return the lengths around the answer: every so many, and each near it.

    The column "longer" tells how many sequences have more than k inputs, where not all have; the
    column "limit" is the upper confidence limit of the probability of an error above eps.  The
    proved bound has a column only where it falls below the largest error of a model without any
    memory, or to eps: above both it says nothing.
    """
    last = _last(answer)
    step = max(1, math.ceil((last + 1) / _ROWS))
    shown = set(range(0, last + 1, step)) | {last}
    for k in (answer.k, answer.certified_k):
        if k is not None:
            shown |= {j for j in (k - 1, k) if 0 <= j <= last}
    made = Table(
        box=box.SIMPLE_HEAD,
        title=f"error {EVENTS[answer.when]}, in {answer.norm}",
        title_justify="left",
    )
    headings = ["k", *("largest" if level == 1 else f"{100 * level:g} %" for level in LEVELS)]
    # where they have different lengths: how many are longer than k
    uneven = bool(np.any(answer.longer[: last + 1] < answer.sequences))
    headings += [*(["longer"] if uneven else []), f"> {answer.eps:g}", "limit"]
    quantiles = answer.quantiles()
    proved = answer.certified
    if proved is not None and not (proved[last] <= answer.eps or proved[last] < quantiles[0, -1]):
        proved = None
    if proved is not None:
        headings.append("certified")
    for heading in headings:
        made.add_column(heading, justify="right", no_wrap=True)
    for k in sorted(shown):
        row = [str(k), *(f"{q:.2g}" for q in quantiles[k])]
        row += [str(answer.longer[k])] if uneven else []
        row += [str(answer.exceedances[k]), decimal_up(float(answer.upper[k]), 2)]
        if proved is not None:
            row.append(decimal_up(float(proved[k]), 2))
        made.add_row(*row, style="bold green" if k == answer.k else None)
    return made
