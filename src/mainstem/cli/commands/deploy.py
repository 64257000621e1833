"""`mainstem deploy`: files that deploy the project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mainstem.cli.options import HERE, Directory, Json, Profile, command, opened
from mainstem.cli.render import output

app = typer.Typer(help="Deploy the project.", epilog="Example:  mainstem deploy files", no_args_is_help=True)


@command(app, "mainstem deploy files --profile production --replicas 3")
def files(
    to: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Where to write. Default: deploy, in the project.")
    ] = None,
    image: Annotated[
        str | None, typer.Option(metavar="IMAGE", help="The image's name. Default: the project's name.")
    ] = None,
    replicas: Annotated[int, typer.Option(metavar="N", help="How many servers answer.")] = 1,
    every: Annotated[str, typer.Option(metavar="DURATION", help="The time between runs.")] = "1h",
    storage: Annotated[str, typer.Option(metavar="SIZE", help="The size of the volume.")] = "20Gi",
    directory: Directory = HERE,
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Write a Dockerfile, a compose file and Kubernetes manifests for a profile."""
    with opened(directory, profile) as project:
        written, place = project.deploy_files(to, image=image, replicas=replicas, every=every, storage=storage)
    output(json).said(
        f"{place}: {', '.join(written)}", hint=f"read {place}/README.md", directory=str(place), files=written
    )
