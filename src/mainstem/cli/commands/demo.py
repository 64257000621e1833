"""`mainstem demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mainstem.cli.options import FAILED, Json, command
from mainstem.cli.render import output


def register(app: typer.Typer) -> None:
    command(app, "mainstem demo --serve")(demo)


def demo(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where to write the project; an earlier demo there is replaced.")
    ] = Path("demo"),
    serve: Annotated[bool, typer.Option("--serve", help="Keep the server running afterwards, until Ctrl-C.")] = False,
    json: Json = False,
) -> None:
    """Run the flights project, end to end."""
    from mainstem.cli.demo import Demo

    def told(demo: Demo) -> None:
        if json:
            output(json).said("", **demo.facts())

    done = Demo(directory, quiet=json).play(stay=serve, told=told)
    if not done.ok:
        raise typer.Exit(FAILED)
