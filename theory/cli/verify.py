"""The commands `theory verify`, `theory replay` and `theory theorems`.

Main names: `verify`, `replay_command`, `theorems`.
"""

from __future__ import annotations

import time
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from theory.campaign.recipes.table import RECIPES
from theory.campaign.replay import replay
from theory.campaign.report import html_report, number, statement, table
from theory.campaign.results import summarize
from theory.campaign.runner import Campaign
from theory.campaign.tasks import Config
from theory.cli.options import (
    INTERRUPTED,
    NO,
    ClusterOption,
    JobsOption,
    PatienceOption,
    err,
    out,
    refusals,
    show,
    workers,
)
from theory.errors import MissingExtraError
from theory.executors import PATIENCE
from theory.files.writing import check_writable, write_atomically
from theory.progress import counting_bar
from theory.theorems import THEOREMS
from theory.trials.verdict import Outcome


@refusals()
def verify(
    only: Annotated[
        list[str] | None, typer.Option(help="Test only this theorem; may be repeated.")
    ] = None,
    instances: Annotated[
        int, typer.Option(help=f"How many instances to build, at least {len(RECIPES)}.")
    ] = 200,
    seed: Annotated[int, typer.Option(help="Seed of the instances.")] = 0,
    jobs: JobsOption = 1,
    cluster: ClusterOption = None,
    patience: PatienceOption = PATIENCE,
    sequences: Annotated[
        Path | None,
        typer.Option(help="An .npy or .npz file, or a folder of them, with inputs (T, m)."),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Keep the verdicts in this file.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write a self-contained HTML page.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the campaign in the --json file.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Allow --json to name a file that exists.")
    ] = False,
) -> None:
    """Try to refute every theorem; refute every near miss.

    Exit status 0 only if every theorem held and every near miss was refuted.
    """
    if resume and json is None:
        raise ValueError("--resume needs --json FILE, the file of the campaign to continue")
    if report is not None:
        _need_report_packages()
    for target in (json, report):
        if target is not None:
            check_writable(target)
    if json is not None and json.exists() and not (resume or force):
        raise ValueError(
            f"{json} is a file that would be overwritten; add --resume to continue its campaign, "
            "or --force to start anew"
        )
    config = Config(
        instances=instances,
        seed=seed,
        only=tuple(only or ()),
        sequences="" if sequences is None else str(sequences),
    )
    campaign = Campaign(config, path=json, resume=resume)
    started = time.perf_counter()
    kept = len(campaign.results)
    unsaved: OSError | None = None
    try:
        with counting_bar("instances") as progress:
            ran = campaign.run(executor=workers(jobs, cluster), patience=patience)
            for ended, _ in enumerate(ran, start=kept + 1):
                progress(ended, len(campaign.tasks))
    except KeyboardInterrupt:
        done = f"{len(campaign.results)} of {len(campaign.tasks)} instances"
        told = (
            f"{done} are done and none is kept; --json FILE keeps them"
            if json is None
            else f"{done} are kept; continue with --json {json} --resume"
        )
        err.print(f"interrupted: {told}", markup=False, soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None
    except OSError as error:
        if len(campaign.results) < len(campaign.tasks):
            raise
        # the answer is there, and is shown before it is told that it could not be kept
        unsaved = error
    ordered = [campaign.results[t.key] for t in campaign.tasks if t.key in campaign.results]
    rows = summarize(config.theorems, ordered)
    show(table(rows))
    for row in rows:
        for name, found in row.near_misses.items():
            if found is None:
                out.print(f"near miss not refuted: {row.theorem.name} [{name}]", markup=False)
        if row.refuted and row.worst is not None:
            out.print(
                f"{row.theorem.name} is refuted by {row.worst.label}: measured "
                f"{row.worst.measured!r} against {row.worst.bound!r}, budget {row.worst.budget!r}",
                markup=False,
            )
    driven = sum(t.source == "sequence" for t in campaign.tasks)
    out.print(
        f"{len(ordered)} instances ({driven} driven by your sequences, {kept} kept from before) "
        f"in {time.perf_counter() - started:.1f} s"
    )
    if report is not None:
        write_atomically(report, html_report(rows, config, command=_typed(config, jobs)))
        out.print(f"report: {report}", markup=False)
    if unsaved is not None:
        raise ValueError(f"the verdicts are not kept, {json} cannot be written: {unsaved}")
    if not all(row.ok for row in rows):
        raise typer.Exit(NO)


def _typed(config: Config, jobs: int) -> str:
    """Return the command that makes the same verdicts; of a file its name only."""
    words = [f"theory verify --instances {config.instances} --seed {config.seed} --jobs {jobs}"]
    words += [f"--only {name}" for name in config.only]
    words += [f"--sequences {Path(config.sequences).name}"] if config.sequences else []
    return " ".join(words)


def _need_report_packages() -> None:
    """Fail before the work rather than after it."""
    from importlib.util import find_spec

    for package in ("matplotlib", "jinja2"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "report", "the HTML report")


@refusals()
def replay_command(
    file: Annotated[Path, typer.Argument(help="A file written by `theory verify --json`.")],
    only: Annotated[str | None, typer.Option(help="Replay only this theorem.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Replay every verdict, not only the worst ones.")
    ] = False,
    sequences: Annotated[
        Path | None, typer.Option(help="Where the campaign's sequences are now.")
    ] = None,
) -> None:
    """Build the instances of a campaign again and compare the verdicts, bit for bit."""
    with counting_bar("verdicts") as progress:
        answers = replay(
            file,
            only=only,
            everything=everything,
            sequences=None if sequences is None else str(sequences),
            progress=progress,
        )
    made = Table(title="Replayed verdicts", title_justify="left")
    for name in ("verdict", "instance", "outcome", "ratio", "same"):
        made.add_column(name)
    for answer in answers:
        made.add_row(
            answer.now.theorem.replace("[", "\\["),
            answer.now.label,
            answer.now.outcome.value,
            number(answer.now.ratio),
            "yes" if answer.same else "NO",
        )
    show(made)
    same = sum(answer.same for answer in answers)
    agree = all(answer.agrees for answer in answers)
    out.print(f"{same} of {len(answers)} verdicts are equal to the last bit")
    failed = any(a.now.outcome is Outcome.REFUTED and "[" not in a.now.theorem for a in answers)
    if not agree or failed:
        raise typer.Exit(NO)


@refusals()
def theorems(
    name: Annotated[str | None, typer.Argument(help="Only this theorem.")] = None,
) -> None:
    """List the statements that this package implements, proves and tests."""
    known = {t.name: t for t in THEOREMS}
    if name is not None and name not in known:
        near = ", ".join(get_close_matches(name, known, n=3)) or ", ".join(known)
        raise ValueError(f"{name!r} is not known, needed the name of a theorem, such as: {near}")
    for t in THEOREMS if name is None else (known[name],):
        assumed = ", ".join(a.name for a in t.assumes)
        out.print(t.name, style="bold", markup=False, soft_wrap=True)
        for heading, text in (
            ("statement", statement(t.name)),
            ("kind", t.kind.value),
            ("assumes", assumed),
            ("source", t.source),
        ):
            out.print(f"  {heading:<10} {text}", markup=False, highlight=False, soft_wrap=True)
