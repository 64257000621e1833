"""`mainstem explain`."""

from __future__ import annotations

import json as json_
from typing import Annotated

import typer

from mainstem.cli.commands.predict import pair
from mainstem.cli.options import HERE, Branch, Directory, Json, Profile, command, opened
from mainstem.cli.render import output
from mainstem.errors import RequestError


def register(app: typer.Typer) -> None:
    command(app, "mainstem explain price area=80 city=Paris")(explain)


def explain(
    name: Annotated[str, typer.Argument(metavar="ENDPOINT|MODEL", help="An endpoint, or a model: its newest version.")],
    fields: Annotated[
        list[str] | None, typer.Argument(metavar="[FIELD=VALUE]...", help="The fields of the row.")
    ] = None,
    row: Annotated[str | None, typer.Option("--row", metavar="JSON", help="The row as a JSON object.")] = None,
    directory: Directory = HERE,
    branch: Branch = "main",
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Explain the prediction for one row: how much each input moves the score. Nothing is logged."""
    if row is not None and fields:
        raise RequestError("--row and FIELD=VALUE exclude each other", got=" ".join(fields))
    with opened(directory, profile, branch) as project:
        if row is None:
            found = project.explain_texts(name, [dict(map(pair, fields or ()))])
        else:
            found = project.explain(name, [_object(row)])
    output(json).explained(found)


def _object(text: str) -> dict[str, object]:
    try:
        found = json_.loads(text)
    except ValueError as problem:
        raise RequestError("--row is not JSON", got=text, expected=f"'{{\"area\": 80}}': {problem}") from None
    if not isinstance(found, dict):
        raise RequestError("--row must be a JSON object", got=text, expected="'{\"area\": 80}'")
    return found
