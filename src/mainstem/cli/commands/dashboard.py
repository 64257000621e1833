"""`mainstem dashboard`: files for Grafana and Prometheus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mainstem.cli.options import Json, command
from mainstem.cli.render import output


def register(app: typer.Typer) -> None:
    command(app, "mainstem dashboard monitoring/")(dashboard)


def dashboard(
    to: Annotated[Path, typer.Argument(metavar="DIR", help="The directory to write to.")],
    json: Json = False,
) -> None:
    """Write a Grafana dashboard and Prometheus alert rules for the server's metrics."""
    from mainstem.serving.dashboards import write

    files = [str(path) for path in write(to)]
    output(json).said(f"wrote {' and '.join(files)}", files=files)
