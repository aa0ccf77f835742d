r"""The commands `theory warmup`, `theory reset` and `theory tbptt`: answers that people act on.

Main names: `warmup_command`, `reset_command`, `tbptt`; `theory.cli` registers them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, final

import typer

from theory.cli.heads import HeadOption
from theory.cli.memory import NORMS
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
    check_target,
    one_or_several,
    out,
    refusals,
    workers,
)
from theory.executors import PATIENCE
from theory.files.stored import StoredSequences, open_sequences
from theory.files.writing import write_atomically
from theory.interop.files import read_file
from theory.interop.heads import find_head, shown_by
from theory.maps.base import Map
from theory.maps.head import LinearHead
from theory.measure.starts import best_start, check_drift, check_start, drift
from theory.measure.warmup import reset, warmup
from theory.norms.norm import Norm
from theory.progress import counting_bar

SequencesOption = Annotated[
    Path,
    typer.Option(
        help="An .npy or .npz file, or a folder of them, with inputs (T, m); a .zarr store or a "
        ".parquet file.  They may be larger than memory."
    ),
]
EpsilonOption = Annotated[float, typer.Option(help="Allowed error of the output.")]
ProbabilityOption = Annotated[
    float, typer.Option(help="Allowed probability that a new sequence exceeds epsilon.")
]
ConfidenceOption = Annotated[float, typer.Option(help="Of the statement.")]
LargestOption = Annotated[
    int | None, typer.Option(help="Largest length looked at; fix it beforehand.")
]
PrecisionOption = Annotated[
    str,
    typer.Option("--dtype", help="float64, or float32 for a model in single precision: faster."),
]
NormOption = Annotated[str, typer.Option(help="Norm of the error: L1, L2, Linf.")]
JsonOption = Annotated[Path | None, typer.Option("--json", help="Write the answer here.")]


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class _Read:
    """What the commands read."""

    map: Map
    head: LinearHead | None
    name: str | None  # of the output layer
    given: StoredSequences
    norm: Norm


def _read(
    weights: Path, sequences: Path, norm: str, head: str | None, unused: list[str] | None,
    prefix: list[str] | None, **asked: Any,
) -> _Read:  # fmt: skip
    """Return the map, its head and the sequences; say which head it is."""
    if norm not in NORMS:
        raise ValueError(f"norm {norm!r} is not known, needed one of: {', '.join(NORMS)}")
    file = read_file(weights)
    recurrent = file.map(prefix=one_or_several(prefix), unused=unused or (), **asked)
    output = find_head(file, recurrent, head, prefix=prefix)
    if output.told:
        out.print(output.told, markup=False, soft_wrap=True)
    recurrent, linear = shown_by(recurrent, output)
    return _Read(
        map=recurrent, head=linear, name=output.name, given=open_sequences(sequences),
        norm=NORMS[norm],
    )  # fmt: skip


def _write(path: Path | None, data: dict[str, Any]) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(data, indent=1) + "\n")
        out.print(f"written: {path}", markup=False)


@refusals()
def warmup_command(
    weights: WeightsArgument,
    sequences: SequencesOption,
    epsilon: EpsilonOption,
    probability: ProbabilityOption = 0.01,
    confidence: ConfidenceOption = 0.99,
    k_max: LargestOption = None,
    norm: NormOption = "L2",
    dtype: PrecisionOption = "float64",
    start: Annotated[
        int | None,
        typer.Option(
            help="Also look for the best constant start of windows of this length; for that all "
            "sequences are read at once."
        ),
    ] = None,
    activation: ActivationOption = None,
    prefix: PrefixOption = None,
    head: HeadOption = None,
    variant: VariantOption = None,
    recurrent_activation: GatesOption = None,
    unused: UnusedOption = None,
    jobs: JobsOption = 1,
    cluster: ClusterOption = None,
    patience: PatienceOption = PATIENCE,
    json_file: JsonOption = None,
) -> None:
    """Measure after how many inputs a model that starts cold is, and stays, within epsilon.

    Every sequence has to be an independent example of what the model will see.  Exit status 0 if a
    warm-up was found, 1 if not.
    """
    check_target(json_file, weights, sequences)
    model = _read(
        weights, sequences, norm, head, unused, activation=activation, prefix=prefix,
        variant=variant, recurrent_activation=recurrent_activation,
    )  # fmt: skip
    if start is not None:
        check_start(model.given.lengths, start)
    with counting_bar("sequences") as progress:
        answer = warmup(
            model.map, model.given, eps=epsilon, probability=probability, confidence=confidence,
            head=model.head, norm=model.norm, k_max=k_max, dtype=dtype,
            progress=progress, executor=workers(jobs, cluster),
            patience=patience,
        )  # fmt: skip
    out.print(str(answer), markup=False, soft_wrap=True)
    data = answer.to_dict() | {"head": model.name}
    if start is not None:
        with counting_bar("best start") as progress:
            found = best_start(
                model.map, model.given, k=start, head=model.head, norm=model.norm,
                progress=progress,
            )  # fmt: skip
        out.print(str(found), markup=False, soft_wrap=True)
        data["best_start"] = found.to_dict()
    _write(json_file, data)
    if answer.k is None:
        raise typer.Exit(NO)


@refusals()
def reset_command(
    weights: WeightsArgument,
    sequences: SequencesOption,
    epsilon: EpsilonOption,
    period: Annotated[
        list[int] | None,
        typer.Option(help="Inputs between two resets; may be repeated."),
    ] = None,
    probability: ProbabilityOption = 0.01,
    confidence: ConfidenceOption = 0.99,
    k_max: LargestOption = None,
    norm: NormOption = "L2",
    dtype: PrecisionOption = "float64",
    training_length: Annotated[
        int | None,
        typer.Option(help="Test whether states after ten times as many inputs are among those."),
    ] = None,
    activation: ActivationOption = None,
    prefix: PrefixOption = None,
    head: HeadOption = None,
    variant: VariantOption = None,
    recurrent_activation: GatesOption = None,
    unused: UnusedOption = None,
    jobs: JobsOption = 1,
    cluster: ClusterOption = None,
    patience: PatienceOption = PATIENCE,
    json_file: JsonOption = None,
) -> None:
    """Measure what resets of the state cost, with one copy of the model or two in turn.

    Exit status 0 if two copies have a period that loses nothing but epsilon, 1 if not.
    """
    check_target(json_file, weights, sequences)
    model = _read(
        weights, sequences, norm, head, unused, activation=activation, prefix=prefix,
        variant=variant, recurrent_activation=recurrent_activation,
    )  # fmt: skip
    if training_length is not None:
        check_drift(model.given.lengths, training_length)
    with counting_bar("sequences") as progress:
        answer = reset(
            model.map, model.given, eps=epsilon, periods=period or (), probability=probability,
            confidence=confidence, head=model.head, norm=model.norm, k_max=k_max,
            dtype=dtype, progress=progress, executor=workers(jobs, cluster),
            patience=patience,
        )  # fmt: skip
    out.print(str(answer), markup=False, soft_wrap=True)
    data = answer.to_dict() | {"head": model.name}
    if training_length is not None:
        with counting_bar("drift") as progress:
            test = drift(model.map, model.given, length=training_length, progress=progress)
        out.print(str(test), markup=False, soft_wrap=True)
        data["drift"] = test.to_dict()
    _write(json_file, data)
    if answer.two_copies is None:
        raise typer.Exit(NO)


@refusals()
def tbptt(
    made_by: Annotated[
        str,
        typer.Argument(
            help="Your function, as package.module:function; it is run, and returns module, "
            "inputs, targets and loss."
        ),
    ],
    k: Annotated[list[int], typer.Option("--k", help="Steps to go back; may be repeated.")],
    cut: Annotated[
        str,
        typer.Option(help="chunks: the loss of all times, as in training; last: of the last one."),
    ] = "chunks",
    share: Annotated[
        float, typer.Option(help="Allowed bias, as a share of the whole gradient.")
    ] = 0.1,
    json_file: JsonOption = None,
) -> None:
    """Measure how far truncated backpropagation is off, on your own PyTorch module and batch.

    Exit status 0 if one of the lengths is off by no more than the share, 1 if not.
    """
    from theory.torch.backprop import truncated_backprop

    check_target(json_file)
    place, _, name = made_by.partition(":")
    if not place or not name:
        raise ValueError(f"received {made_by!r}, needed package.module:function")
    try:
        function = getattr(import_module(place), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{made_by} cannot be imported: {error}") from None
    made = function()
    if not isinstance(made, tuple) or len(made) != 4:
        raise ValueError(f"{made_by} returned no (module, inputs, targets, loss)")
    module, inputs, targets, loss = made
    with counting_bar("lengths") as progress:
        answer = truncated_backprop(
            module, (inputs, targets), loss=loss, ks=k, cut=cut, progress=progress
        )
    out.print(str(answer), markup=False, soft_wrap=True)
    least = answer.least(share)
    told = "no length" if least is None else f"k = {least}"
    out.print(
        f"{told} is off by at most {100 * share:g} % of the gradient, and so is every longer one",
        markup=False,
        soft_wrap=True,
    )
    _write(json_file, answer.to_dict() | {"share": share, "least": least})
    if least is None:
        raise typer.Exit(NO)
