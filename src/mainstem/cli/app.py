"""The Typer application, assembled from one module per group of commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from mainstem.cli.commands import (
    branch,
    dashboard,
    demo,
    deploy,
    describe,
    explain,
    finding,
    init,
    keep,
    key,
    look,
    override,
    predict,
    ship,
    source,
    work,
)

app = typer.Typer(
    name="mainstem",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
for module in (init, work, look, predict, explain, describe, ship, dashboard, keep, demo):
    module.register(app)
app.add_typer(branch.app, name="branch")
app.add_typer(deploy.app, name="deploy")
app.add_typer(finding.app, name="finding")
app.add_typer(key.app, name="key")
app.add_typer(override.app, name="override")
app.add_typer(source.app, name="source")


def _version(asked: bool) -> None:
    if asked:
        from mainstem import __version__

        typer.echo(f"mainstem {__version__}")
        raise typer.Exit


@app.callback(epilog="Example:  mainstem init flights my-flights")
def _root(
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version and exit.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """One graph from raw data to live predictions and back.

    Commands work on the project here, or at -C DIR. They exit with 0, 1 (it failed), 2 (usage) or 130 (interrupted).
    """


def run(arguments: Sequence[str]) -> int:
    """Run one command and return the exit code."""
    try:
        app(args=list(arguments), prog_name="mainstem")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0
