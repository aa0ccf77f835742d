"""The command line: `theory` and its commands.

Main names: `app`, `main`.
"""

from __future__ import annotations

from typing import Annotated

import typer

from theory.cli.certify import certify, check
from theory.cli.memory import memory
from theory.cli.options import out
from theory.cli.project import project
from theory.cli.show import show
from theory.cli.verify import replay_command, theorems, verify
from theory.cli.warm import warm
from theory.cli.warmup import reset_command, tbptt, warmup_command
from theory.progress import with_notes
from theory.version import __version__

app = typer.Typer(
    help="How much memory does a recurrent model really have? Bounds, certificates, verdicts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _tell_version(asked: bool) -> None:
    if asked:
        out.print(f"stable-recurrent-models {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_tell_version, is_eager=True),
    ] = False,
) -> None:
    """Keep the subcommands' names even while there is only one."""


app.command()(verify)
app.command("replay")(replay_command)
app.command()(theorems)
app.command()(certify)
app.command()(check)
app.command()(project)
app.command()(memory)
app.command()(show)
app.command("warmup")(warmup_command)
app.command("reset")(reset_command)
app.command()(tbptt)
app.command()(warm)


def main() -> None:
    """Run the command line; a malformed question ends with a message and status 2."""
    with with_notes():
        app()
