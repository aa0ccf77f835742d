"""What the commands share: arguments, options, exit codes, and how weights are read.

Main names: `refusals`, `read_map`, `WeightsArgument`, `ActivationOption`, `PrefixOption`,
`InputsOption`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from theory.errors import MissingExtraError
from theory.interop.files import read_weights
from theory.maps.base import Map

out = Console()
err = Console(stderr=True)

#: Exit statuses: the answer is yes (certified, accepted, written, found), the answer is no, and a
#: malformed question.
YES, NO, BAD_INPUT = 0, 1, 2


@contextmanager
def refusals() -> Iterator[None]:
    """End with one line and the status of a malformed question, where one is raised.

    Use as a context, or as a decorator of a command.
    """
    try:
        yield
    except (ValueError, ArithmeticError, OSError, MissingExtraError) as error:
        err.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(BAD_INPUT) from None


#: What several commands ask about a file of weights.
WeightsArgument = Annotated[
    Path,
    typer.Argument(help="Weights: .npz (PyTorch's, Keras' or our names), .safetensors, .npy (W)."),
]
ActivationOption = Annotated[str, typer.Option(help="Activation of a plain cell.")]
PrefixOption = Annotated[
    str | None, typer.Option(help="Where the cell is in the file, as in encoder.rnn.")
]
InputsOption = Annotated[
    str,
    typer.Option(
        help='Which inputs: "box:-1,1" (every |x_i| <= 1), "ball:1" (Euclidean length), '
        "or a file of sequences."
    ),
]


def read_map(path: Path, activation: str, prefix: str | None = None) -> Map:
    """Read a map from a file of weights, see `theory.interop.read_weights`.

    Raises
    ------
    ValueError
        If the file holds no recurrent weights, or what it holds does not fit.
    """
    return read_weights(path, activation=activation, prefix=prefix)
