r"""The output layer in a file of weights: the option `--head`.

Main name: `HeadOption`; `theory.interop.heads` finds the layer.
"""

from __future__ import annotations

from typing import Annotated

import typer

HeadOption = Annotated[
    str | None,
    typer.Option(
        "--head",
        help="The output layer in the file, as in head for head.weight and head.bias; by default "
        "the only one that fits, if there is one; none: the state itself.  Several in a row, as in "
        "fc1,relu,fc2, where the file does not tell what stands between.",
    ),
]
