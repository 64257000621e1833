"""`mainstem predict`."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated

import typer

from mainstem.cli.options import HERE, Branch, Directory, Json, Profile, command, opened
from mainstem.cli.render import output
from mainstem.errors import RequestError


def register(app: typer.Typer) -> None:
    command(app, "mainstem predict price area=80 city=Paris")(predict)


def predict(
    name: Annotated[str, typer.Argument(metavar="ENDPOINT|MODEL", help="An endpoint, or a model: its newest version.")],
    fields: Annotated[
        list[str] | None, typer.Argument(metavar="[FIELD=VALUE]...", help="The fields of one row.")
    ] = None,
    rows: Annotated[
        Path | None, typer.Option("--rows", metavar="FILE", help="A CSV file with a row per prediction.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write a CSV file with the scores beside the rows.")
    ] = None,
    reasons: Annotated[
        int,
        typer.Option(
            "--reasons", metavar="N", min=0, help="Add up to N inputs, at most 20, that moved each score most."
        ),
    ] = 0,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=0, help="How many rows to print.")] = 50,
    directory: Directory = HERE,
    branch: Branch = "main",
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Predict for one row, or for each row of a CSV file. Nothing is logged."""
    if rows is not None and fields:
        raise RequestError("--rows and FIELD=VALUE exclude each other", got=" ".join(fields))
    with opened(directory, profile, branch) as project:
        asked = [dict(map(pair, fields or ()))] if rows is None else project.read_rows(name, rows)
        found = project.predict_texts(name, asked, reasons=reasons)
    if out is None:
        output(json).table(found, limit)
        return
    with out.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(found.column_names)
        writer.writerows(zip(*(column.to_pylist() for column in found.columns), strict=True))
    output(json).said(f"{found.num_rows:,} rows with scores in {out}", rows=found.num_rows, file=str(out))


def pair(text: str) -> tuple[str, str]:
    """Return field and value of `FIELD=VALUE`. Raises `RequestError`."""
    field, equals, value = text.partition("=")
    if not equals:
        raise RequestError("a field requires a value", got=text, expected="FIELD=VALUE, such as area=80")
    return field, value
