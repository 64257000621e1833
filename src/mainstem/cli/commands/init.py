"""`mainstem init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mainstem.cli.options import Json, command
from mainstem.cli.render import output
from mainstem.cli.templates import copy


def register(app: typer.Typer) -> None:
    command(app, "mainstem init flights my-flights")(init)


def init(
    template: Annotated[str, typer.Argument(metavar="TEMPLATE", help="The template: `flights` or `shop`.")],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A directory that is empty or does not exist.")],
    json: Json = False,
) -> None:
    """Write a new project from a template."""
    files = copy(template, directory)
    output(json).said(
        f"{directory}: a project from the template {template!r}, {len(files)} files",
        hint=f"cd {directory}; read README.md",
        directory=str(directory),
        files=files,
    )
