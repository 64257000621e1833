"""`mainstem branch`: lines of releases next to `main`."""

from __future__ import annotations

from typing import Annotated

import typer

from mainstem.cli.commands.work import running
from mainstem.cli.options import HERE, Directory, Json, Profile, command, opened
from mainstem.cli.render import output

app = typer.Typer(help="Lines of releases next to main.", epilog="Example:  mainstem branch list", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of the branch.")]
INTERRUPTED = "interrupted: the branch was not promoted"


@command(app, "mainstem branch list", name="list")
def list_(directory: Directory = HERE, profile: Profile = None, json: Json = False) -> None:
    """List the branches, each with what differs from main."""
    with opened(directory, profile) as project:
        output(json).branches(project.branches())


@command(app, "mainstem branch create dev")
def create(
    name: Name,
    source: Annotated[
        str, typer.Option("--from", metavar="BRANCH|RELEASE", help="What the branch publishes at first.")
    ] = "main",
    directory: Directory = HERE,
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Create a branch that publishes what another one does. No table is copied."""
    with opened(directory, profile) as project:
        release = project.create_branch(name, source)
    output(json).said(f"branch {name} publishes {release.id}", branch=name, release=release.id)


@command(app, "mainstem branch delete dev")
def delete(name: Name, directory: Directory = HERE, profile: Profile = None, json: Json = False) -> None:
    """Delete a branch with its online state and logs. gc frees its data later."""
    with opened(directory, profile) as project:
        release = project.delete_branch(name)
    hint = f"mainstem branch create {name} --from {release.id} brings its tables back until gc frees them"
    output(json).said(f"branch {name} is deleted", hint=hint, deleted=name, release=release.id)


@command(app, "mainstem branch promote dev", interrupted=INTERRUPTED)
def promote(
    name: Name,
    to: Annotated[str, typer.Option(metavar="BRANCH", help="The branch that publishes it.")] = "main",
    directory: Directory = HERE,
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Publish on main what a branch publishes: tables, models and endpoints at once, without building them again."""
    with opened(directory, profile) as project:
        running(project, lambda listener: project.promote_branch(name, to, report=listener), json)
