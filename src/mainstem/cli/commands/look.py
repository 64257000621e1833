"""`mainstem status`, `show`, `query`, `diff`, `compare`, `reproduce`, `parity`: look, and compare what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mainstem.cli.options import FAILED, HERE, Branch, Directory, Json, Profile, command, opened
from mainstem.cli.render import output

if TYPE_CHECKING:
    from mainstem.models.report import Report

WATCHED = 1_000
"""The default number of compared reads per release."""


def register(app: typer.Typer) -> None:
    command(app, "mainstem status --json")(status)
    command(app, "mainstem show legs -n 3")(show)
    command(app, 'mainstem query "select carrier, count(*) as flights from legs group by carrier"')(query)
    command(app, "mainstem diff --data main dev legs")(diff)
    command(app, "mainstem compare price-1 price-2")(compare)
    command(app, "mainstem reproduce price-3")(reproduce)
    command(app, "mainstem parity airport --sample 1000")(parity)


def status(directory: Directory = HERE, branch: Branch = "main", profile: Profile = None, json: Json = False) -> None:
    """Show nodes, endpoints, findings and runs, as the last run left them."""
    with opened(directory, profile, branch) as project:
        output(json).status(project.status())


def show(
    name: Annotated[str, typer.Argument(metavar="NODE", help="The name of a node.")],
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=0, max=1000, help="How many rows.")] = 10,
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="Show the rows that are set aside, and why.")
    ] = False,
    monitors: Annotated[
        bool, typer.Option("--monitors", help="Show what each monitor of an endpoint found, over time.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a model's report as a page with pictures.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE", help="Write a model's report as Markdown.")
    ] = None,
    directory: Directory = HERE,
    branch: Branch = "main",
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Show one node: its schema, lineage, versions and some rows. Of a model: the card of its newest version."""
    with opened(directory, profile, branch) as project:
        if html or markdown:
            _write(project.report(name), html, markdown, json)
            return
        if monitors:
            output(json).histories(project.monitors(name), limit)
            return
        output(json).shown(project.show(name, limit, quarantine=quarantine))


def _write(report: Report, html: Path | None, markdown: Path | None, json: bool) -> None:
    for file, write in ((html, report.html), (markdown, report.markdown)):
        if file is not None:
            file.write_text(write(), encoding="utf-8")
            output(json).said(f"wrote {file}", file=str(file))


def query(
    sql: Annotated[str, typer.Argument(metavar="SQL", help="A SELECT over published tables, in DuckDB's dialect.")],
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=0, help="How many rows to print.")] = 50,
    directory: Directory = HERE,
    branch: Branch = "main",
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Run a SELECT over published tables."""
    with opened(directory, profile, branch) as project:
        output(json).table(project.query(sql), limit)


def diff(
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="A branch or a release.")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="A branch or a release.")],
    tables: Annotated[list[str] | None, typer.Argument(metavar="[TABLE]...", help="The tables; default: all.")] = None,
    data: Annotated[bool, typer.Option("--data", help="Compare the rows of tables whose snapshots differ.")] = False,
    directory: Directory = HERE,
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Show how what one branch or release publishes differs from another: rows by key, models, endpoints."""
    with opened(directory, profile) as project:
        output(json).difference(project.diff(before, after, tables or (), data=data))


def compare(
    name: Annotated[
        str | None,
        typer.Argument(metavar="ENDPOINT|VERSION", help="An endpoint, model or version; default: the only endpoint."),
    ] = None,
    other: Annotated[str | None, typer.Argument(metavar="[VERSION]", help="The version to compare with.")] = None,
    version: Annotated[
        str | None, typer.Option("--with", metavar="VERSION", help="The version to compare; default: the challenger.")
    ] = None,
    directory: Directory = HERE,
    branch: Branch = "main",
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Compare two versions side by side, or champion and challenger on live requests."""
    if other and version:
        raise typer.BadParameter("name the other version once: as an argument, or by --with")
    with opened(directory, profile, branch) as project:
        found = project.compare(name, other or version)
    if isinstance(found, list):
        output(json).compared(found)
    else:
        output(json).beside(found)


def reproduce(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="A version of a model, such as price-3.")],
    directory: Directory = HERE,
    branch: Branch = "main",
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Fit a version again with its recorded choices, and compare the artifacts byte by byte."""
    with opened(directory, profile, branch) as project:
        found = project.reproduce(version)
    output(json).reproduced(found)
    if not found.equal:
        raise typer.Exit(FAILED)


def parity(
    name: Annotated[
        str | None,
        typer.Argument(metavar="VIEW|ENDPOINT", help="An endpoint, view or model; default: the only endpoint."),
    ] = None,
    sample: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="How many logged reads to recompute; all by default.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep comparing, whenever a release brings reads to the lake.")
    ] = False,
    every: Annotated[float, typer.Option(min=0.1, help="With --watch: seconds between checks for a release.")] = 5.0,
    directory: Directory = HERE,
    branch: Branch = "main",
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Recompute logged online reads offline, and compare.

    Exits with 1 if any differs; with --watch it runs until Ctrl-C, and a server's /metrics shows its reports.
    """
    with opened(directory, profile, branch) as project:
        sampled = sample or WATCHED
        watched = ([report] for report in project.watch_parity(name, sampled, every)) if watch else None
        ok = True
        for reports in watched or [project.parity(name, sample)]:
            output(json).parity(reports)
            ok = ok and all(report.ok for report in reports)
    if not ok:
        raise typer.Exit(FAILED)
