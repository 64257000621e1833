"""`mainstem init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mainstem.cli.options import Json, command
from mainstem.cli.render import output
from mainstem.cli.templates import TABLE, copy, refuse_used
from mainstem.errors import RequestError


def register(app: typer.Typer) -> None:
    command(app, "mainstem init table --csv houses.csv --target price")(init)


def init(
    template: Annotated[
        str,
        typer.Argument(
            metavar="TEMPLATE", help="The template: `flights`, `shop`, `fraud`, `pricing`, `recommend` or `table`."
        ),
    ],
    directory: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="A directory that is empty or does not exist; of a table: the target."),
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="With `table`: the CSV file.")] = None,
    target: Annotated[
        str | None, typer.Option("--target", metavar="COLUMN", help="With `table`: the column to predict.")
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--task", metavar="TASK", help="With `table`: binary, multiclass, regression or count; else found."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Write a new project: from a template, or for a CSV file and a target."""
    if template == TABLE:
        _table(directory, csv, target, task, json)
        return
    if csv is not None or target is not None or task is not None:
        raise RequestError("--csv, --target and --task require the template `table`", got=template)
    if directory is None:
        raise RequestError("the directory is missing", expected=f"mainstem init {template} DIR")
    files = copy(template, directory)
    output(json).said(
        f"{directory}: a project from the template {template!r}, {len(files)} files",
        hint=f"cd {directory}; read README.md",
        directory=str(directory),
        files=files,
    )


def _table(directory: Path | None, csv: Path | None, target: str | None, task: str | None, json: bool) -> None:
    from mainstem.project.csv.write import task_named, write

    if csv is None or target is None:
        raise RequestError("a table requires --csv FILE and --target COLUMN", got="mainstem init table")
    directory = Path(csv.stem) if directory is None else directory
    refuse_used(directory, f"mainstem init table another-directory --csv {csv} --target {target}")
    made = write(csv, target, directory, task_named(task))
    lines = "".join(f"\n  {text}" for text in made.said)
    output(json).said(
        f"{directory}: a model of {target!r}, {len(made.files)} files{lines}",
        hint=f"cd {directory}; mainstem run; mainstem show {made.model}",
        directory=str(directory),
        files=list(made.files),
        model=made.model,
        endpoint=made.endpoint,
        said=list(made.said),
    )
