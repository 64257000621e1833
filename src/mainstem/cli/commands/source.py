"""`mainstem source`: look at sources, propose declarations, lock schemas."""

from __future__ import annotations

from typing import Annotated

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


@command(app, "mainstem source test orders")
def test(
    name: Annotated[str, typer.Argument(metavar="SOURCE", help="The name of a source of the project.")],
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=0, max=1000, help="How many rows.")] = 5,
    directory: Directory = HERE,
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Look at a source, and collect nothing: is it there, its schema beside the known one, some rows, how fresh."""
    with opened(directory, profile) as project:
        output(json).looked(project.look(name, limit))


@command(app, 'mainstem source infer "data/orders/*.csv"')
def infer(
    place: Annotated[str, typer.Argument(metavar="URL|GLOB", help="Files, an API, or a database with --table.")],
    table: Annotated[str | None, typer.Option(metavar="NAME", help="The table of a database.")] = None,
    directory: Directory = HERE,
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Print a declaration of files, an API or a table as Python code, with key, time and known as its rows suggest."""
    with opened(directory, profile) as project:
        code = project.infer(place, table)
    output(json).said(code.rstrip(), code=code)
