"""What the commands share: arguments, options, exit codes, and how weights are read.

Main names: `refusals`, `show`, `one_or_several`, `check_picture`, `WeightsArgument`,
`ActivationOption`, `PrefixOption`, `VariantOption`, `GatesOption`, `UnusedOption`, `InputsOption`,
`meant_by`, `JobsOption`, `ClusterOption`, `PatienceOption`, `workers`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, final

import numpy as np
import typer
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table

from theory.arithmetic.activations import ACTIVATIONS
from theory.errors import MissingExtraError, check_count
from theory.executors import LostWorkError, cluster, processes
from theory.files.writing import check_writable
from theory.inputs import Inputs, read_inputs
from theory.maps.gru import VARIANTS

out = Console()
err = Console(stderr=True)

#: Exit statuses: the answer is yes (certified, accepted, written, found), the answer is no, and a
#: malformed question.
YES, NO, BAD_INPUT = 0, 1, 2

#: Exit status after Ctrl-C.
INTERRUPTED = 130


#: What a command answers with one line.
_REFUSED = (ValueError, ArithmeticError, OSError, MemoryError, MissingExtraError)


@contextmanager
def refusals() -> Iterator[None]:
    """End with one line and the status of a malformed question, where one is raised.

    Use as a context, or as a decorator of a command.
    """
    try:
        # what overflows is seen in the result; a warning beside the answer says less
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            yield
    except BrokenPipeError:
        raise  # whoever reads the answer has seen enough
    except (*_REFUSED, LostWorkError) as error:
        told = " ".join(str(error).split()) or type(error).__name__
        err.print(f"error: {told}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(BAD_INPUT) from None
    except KeyboardInterrupt as stopped:
        told = str(stopped) or "there is no answer, and nothing more is written"
        err.print(f"interrupted: {told}", markup=False, soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None


def one_or_several(prefix: list[str] | None) -> str | list[str] | None:
    """Return the prefixes of a command's option as `load` takes them."""
    return None if not prefix else prefix[0] if len(prefix) == 1 else prefix


@final
class _Whole:
    """A table at its own width, however narrow the terminal is: no number is left out."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render the table as wide as it has to be."""
        wide = options.update(max_width=_WIDEST)
        width = max(options.max_width, Measurement.get(console, wide, self.table).maximum)
        yield from console.render(self.table, options.update(width=width))


#: No table is wider, in characters.
_WIDEST = 10_000


def show(table: Table) -> None:
    """Print a table with all that it holds; what is too wide for a terminal it wraps itself."""
    out.print(_Whole(table), crop=False, overflow="ignore", no_wrap=True)


def check_target(path: Path | None, *given: Path) -> None:
    """Raise before the work, if an answer cannot be written there or would replace what is read.

    Raises
    ------
    ValueError
        If the file cannot be written, or is one of those given.
    """
    if path is None:
        return
    check_writable(path)
    for other in given:
        if path.exists() and other.exists() and path.samefile(other):
            raise ValueError(f"{path} is an input, which the answer would replace; name another")


def check_picture(path: Path | None, *given: Path) -> None:
    """Raise before the work rather than after it, if a picture cannot be drawn there.

    Raises
    ------
    ValueError
        If the file cannot be written, is one of those given, or its ending stands for no kind of
        picture.
    MissingExtraError
        If there is no package that draws.
    """
    if path is None:
        return
    check_target(path, *given)
    try:
        from matplotlib.backend_bases import FigureCanvasBase
    except ImportError:
        raise MissingExtraError("matplotlib", "report", "a picture") from None
    known = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix[1:].lower() not in known:
        raise ValueError(
            f"{path} cannot be drawn: its ending is {path.suffix!r}, needed one of: "
            f"{', '.join(known)}"
        )


#: What several commands ask about a file of weights.
WeightsArgument = Annotated[
    Path,
    typer.Argument(
        help="Weights: .npz (by save_map, or names of PyTorch, Keras, JAX or ours), .safetensors, "
        ".pt, .h5, .keras, .onnx, .npy (W); theory show tells what is in it."
    ),
]
ActivationOption = Annotated[
    str | None,
    typer.Option(
        help="Activation of a plain cell, where the file does not tell: "
        f"{', '.join(ACTIVATIONS)}, leaky_relu(0.2)."
    ),
]
VariantOption = Annotated[
    str | None,
    typer.Option(
        help=f"Which GRU, where the file does not tell: {', '.join(VARIANTS)}; or which block of a "
        "language model, as mamba."
    ),
]
GatesOption = Annotated[
    str | None,
    typer.Option(
        "--recurrent-activation", help="Of the gates, where the file does not tell: sigmoid."
    ),
]
UnusedOption = Annotated[
    list[str] | None,
    typer.Option(help="Arrays that may be left over, by name or pattern; may be repeated."),
]
PrefixOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Where the cell is in the file, as in encoder.rnn; several times, from the bottom up, "
        "for a stack."
    ),
]

#: The inputs that commands assume where none are named; it holds the ball of radius 1, too.
DEFAULT_INPUTS = "box:-1,1"

InputsOption = Annotated[
    str | None,
    typer.Option(
        help='Which inputs: "box:-1,1" (every |x_i| <= 1), "ball:1" (Euclidean length), '
        f"or a file of sequences; {DEFAULT_INPUTS} by default.  theory memory takes those of its "
        "sequences."
    ),
]


def meant_by(asked: str | None) -> tuple[Inputs, str]:
    """Return the inputs that are meant, and the line that says so beside the answer.

    Raises
    ------
    ValueError
        If the text names no set of inputs.
    """
    meant = read_inputs(DEFAULT_INPUTS if asked is None else asked)
    default = " (the default, as none were named; --inputs names others)" if asked is None else ""
    return meant, f"inputs: {meant}{default}"


JobsOption = Annotated[int, typer.Option(help="Processes to use on this machine.")]

ClusterOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Use the workers of this dask scheduler, such as tcp://10.0.0.5:8786, instead.",
    ),
]

PatienceOption = Annotated[
    float,
    typer.Option(help="Seconds without any answer after which workers count as hung."),
]


def workers(jobs: int, address: str | None) -> Callable[[], Executor] | None:
    """Return the executor that the options name; None where one process is asked for.

    Raises
    ------
    ValueError
        If jobs is not positive, or more than one beside a cluster.
    """
    check_count(at_least=1, jobs=jobs)
    if address is None:
        return processes(jobs) if jobs > 1 else None
    if jobs > 1:
        raise ValueError(
            f"--jobs {jobs} with --cluster {address}: a cluster has its own number of workers; "
            "drop one of the two"
        )
    return cluster(address)
