"""`mainstem promote`, `rollback` and `serve`: what is live."""

from __future__ import annotations

from typing import Annotated

import typer

from mainstem.cli.options import HERE, Branch, Directory, Json, Profile, command, opened
from mainstem.cli.render import output


def register(app: typer.Typer) -> None:
    command(app, "mainstem promote late")(promote)
    command(app, "mainstem rollback")(rollback)
    command(app, "mainstem serve --port 8100")(serve)


def promote(
    name: Annotated[str, typer.Argument(metavar="MODEL|ENDPOINT", help="A model, or one endpoint of it.")],
    version: Annotated[
        str | None, typer.Option(metavar="VERSION", help="The version to ship; default: the challenger.")
    ] = None,
    breaking: Annotated[
        bool, typer.Option("--breaking", help="Ship it although callers send other fields or get other answers.")
    ] = False,
    back: Annotated[bool, typer.Option("--rollback", help="Ship the version that was live before.")] = False,
    directory: Directory = HERE,
    branch: Branch = "main",
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Ship a model's challenger: its endpoints answer with it."""
    if back and version:
        raise typer.BadParameter("--rollback and --version exclude each other")
    with opened(directory, profile, branch) as project:
        release = project.demote(name) if back else project.promote(name, version, breaking=breaking)
    output(json).release(release, f"{name} is shipped")


def rollback(
    to: Annotated[
        str | None, typer.Argument(metavar="RELEASE", help="The release to publish; default: the one before.")
    ] = None,
    releases: Annotated[bool, typer.Option("--list", help="Only list the releases.")] = False,
    directory: Directory = HERE,
    branch: Branch = "main",
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Publish an older release again, all of it."""
    with opened(directory, profile, branch) as project:
        if releases:
            output(json).releases(project.releases())
        else:
            output(json).release(project.rollback(to), "rolled back")


def serve(
    host: Annotated[str | None, typer.Option(metavar="HOST", help="Default: mainstem.toml, else 127.0.0.1.")] = None,
    port: Annotated[
        int | None, typer.Option(metavar="PORT", min=0, max=65535, help="Default: mainstem.toml, else 8100.")
    ] = None,
    parity: Annotated[
        int, typer.Option(metavar="N", min=0, help="Compare N reads of each release with the lake, next to the server.")
    ] = 0,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, max=256, help="Processes that answer. Default: mainstem.toml, else 1."),
    ] = None,
    directory: Directory = HERE,
    branch: Branch = "main",
    profile: Profile = None,
) -> None:
    """Serve predictions, events and the web page.

    Runs until Ctrl-C. The API is described at /docs.
    """
    from mainstem.pages.routes import routes

    with opened(directory, profile, branch) as project:
        said = output(json=False).said
        project.serve(
            host,
            port,
            pages=routes,
            started=lambda url: said(f"{url}  until Ctrl-C"),
            parity=parity,
            workers=workers,
        )
