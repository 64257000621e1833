"""`mainstem source`: the schemas of sources."""

from __future__ import annotations

import typer

from mainstem.cli.options import HERE, Branch, Directory, Json, Profile, command, opened
from mainstem.cli.render import output

app = typer.Typer(
    help="What sources deliver, and in which schema.", epilog="Example:  mainstem source lock", no_args_is_help=True
)


@command(app, "mainstem source lock")
def lock(directory: Directory = HERE, branch: Branch = "main", profile: Profile = None, json: Json = False) -> None:
    """Write the schemas that sources have now to schemas.lock: columns that runs added, types that they widened."""
    with opened(directory, profile, branch) as project:
        output(json).locked(project.lock())
