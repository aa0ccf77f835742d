"""The command line: `theory` and its commands.

Main names: `app`, `main`.
"""

from __future__ import annotations

import typer

from theory.cli.certify import certify, check
from theory.cli.memory import memory
from theory.cli.project import project
from theory.cli.verify import replay_command, theorems, verify

app = typer.Typer(
    help="How much memory does a recurrent model really have? Bounds, certificates, verdicts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root() -> None:
    """Keep the subcommands' names even while there is only one."""


app.command()(verify)
app.command("replay")(replay_command)
app.command()(theorems)
app.command()(certify)
app.command()(check)
app.command()(project)
app.command()(memory)


def main() -> None:
    """Run the command line; a malformed question ends with a message and status 2."""
    app()
