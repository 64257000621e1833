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
        Path | None,
        typer.Argument(
            metavar="[DIR]",
            help="Where to write the project; an earlier demo there is replaced. Default: `demo`, or `demo-shop`.",
        ),
    ] = None,
    template: Annotated[
        str, typer.Option("--template", metavar="NAME", help="The story: `flights` or `shop`.")
    ] = "flights",
    serve: Annotated[bool, typer.Option("--serve", help="Keep the server running afterwards, until Ctrl-C.")] = False,
    json: Json = False,
) -> None:
    """Run a project from a template, end to end."""
    from mainstem.cli.demo import Demo
    from mainstem.cli.shop_demo import ShopDemo
    from mainstem.errors import NotFound

    stories = {"flights": Demo, "shop": ShopDemo}
    if template not in stories:
        raise NotFound(f"unknown template {template!r}", expected=f"one of {', '.join(stories)}")

    def told(demo: Demo) -> None:
        if json:
            output(json).said("", **demo.facts())

    place = directory or Path("demo" if template == "flights" else f"demo-{template}")
    done = stories[template](place, quiet=json).play(stay=serve, told=told)
    if not done.ok:
        raise typer.Exit(FAILED)
