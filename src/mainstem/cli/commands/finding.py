"""`mainstem finding`: findings about the data, and decisions on them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from mainstem.cli.options import HERE, Branch, Directory, Json, Profile, command, opened
from mainstem.cli.render import output

app = typer.Typer(
    help="What the models say about the data.", epilog="Example:  mainstem finding list", no_args_is_help=True
)

Id = Annotated[str, typer.Argument(metavar="ID", help="As `mainstem finding list` prints it.")]


@command(app, "mainstem finding list --state open", name="list")
def list_(
    state: Annotated[
        str | None, typer.Option(metavar="STATE", help="open, accepted, rejected, verified or failed.")
    ] = None,
    directory: Directory = HERE,
    branch: Branch = "main",
    profile: Profile = None,
    json: Json = False,
) -> None:
    """List the findings of the branch, oldest first."""
    with opened(directory, profile, branch) as project:
        output(json).findings(project.findings(state))


@command(app, "mainstem finding show F1")
def show(
    id: Id, directory: Directory = HERE, branch: Branch = "main", profile: Profile = None, json: Json = False
) -> None:
    """Show one finding: evidence, cost, rivals and remedy."""
    with opened(directory, profile, branch) as project:
        output(json).finding(project.finding(id))


@command(app, "mainstem finding accept F1")
def accept(
    id: Id, directory: Directory = HERE, branch: Branch = "main", profile: Profile = None, json: Json = False
) -> None:
    """Write a finding's remedy to remedies.toml.

    The next run applies it, measures again, and closes the finding as verified or failed.
    """
    with opened(directory, profile, branch) as project:
        output(json).remedy(project.accept(id))


@command(app, 'mainstem finding reject F1 --reason "a strike" --until 2014-02-01')
def reject(
    id: Id,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why.")],
    until: Annotated[
        datetime | None,
        typer.Option(metavar="YYYY-MM-DD", formats=["%Y-%m-%d"], help="Open no such finding before this date."),
    ] = None,
    directory: Directory = HERE,
    branch: Branch = "main",
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Reject a finding, with a reason."""
    with opened(directory, profile, branch) as project:
        finding = project.reject(id, reason, until.replace(tzinfo=UTC) if until else None)
        output(json).finding(finding)
