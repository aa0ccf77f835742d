"""What the commands share: arguments, options, exit codes, and how weights are read.

Main names: `read_map`, `WeightsArgument`, `ActivationOption`, `PrefixOption`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from theory.interop.files import read_weights
from theory.maps.base import Map

out = Console()
err = Console(stderr=True)

#: Exit statuses: certified (accepted), not certified (rejected), a malformed question.
YES, NO, BAD_INPUT = 0, 1, 2


#: What several commands ask about a file of weights.
WeightsArgument = Annotated[
    Path,
    typer.Argument(help="Weights: .npz (PyTorch's, Keras' or our names), .safetensors, .npy (W)."),
]
ActivationOption = Annotated[str, typer.Option(help="Activation of a plain cell.")]
PrefixOption = Annotated[
    str | None, typer.Option(help="Where the cell is in the file, as in encoder.rnn.")
]


def read_map(path: Path, activation: str, prefix: str | None = None) -> Map:
    """Read a map from a file of weights, see `theory.interop.read_weights`.

    Raises
    ------
    ValueError
        If the file holds no recurrent weights, or what it holds does not fit.
    """
    return read_weights(path, activation=activation, prefix=prefix)
