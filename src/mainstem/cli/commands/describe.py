"""`mainstem describe` and `suggest`: look at the data of one node, and get verbs and checks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mainstem.cli.options import HERE, Branch, Directory, Json, Profile, command, opened
from mainstem.cli.render import output

Name = Annotated[
    str,
    typer.Argument(
        metavar="NODE", help="A source or a table, quarantine.TABLE, dataset.MODEL or predictions.ENDPOINT."
    ),
]


def register(app: typer.Typer) -> None:
    command(app, "mainstem describe legs --html legs.html")(describe)
    command(app, "mainstem suggest legs")(suggest)


def describe(
    name: Name,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with pictures to this file.")
    ] = None,
    directory: Directory = HERE,
    branch: Branch = "main",
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Describe the data of one node: missing values, distributions, outliers, duplicates, levels, correlations.

    Of more than 200,000 rows, about so many are drawn with a fixed seed.
    """
    with opened(directory, profile, branch) as project:
        found = project.describe(name)
    if html is None:
        output(json).described(found)
        return
    from mainstem.pages.description import page

    html.write_text(page(found), encoding="utf-8")
    output(json).said(f"wrote {html}", file=str(html))


def suggest(
    name: Name, directory: Directory = HERE, branch: Branch = "main", profile: Profile = None, json: Json = False
) -> None:
    """Print cleaning verbs and checks for one node as Python code, to paste into the declaration of a table.

    All checks hold for its rows. Checks of the key are not suggested: they are always made.
    """
    with opened(directory, profile, branch) as project:
        output(json).suggested(project.suggest(name))
