"""`mainstem key`: API keys of the server."""

from __future__ import annotations

from typing import Annotated

import typer

from mainstem.cli.options import HERE, Directory, Json, Profile, command, opened
from mainstem.cli.render import output

app = typer.Typer(help="Who may ask the server for what.", epilog="Example:  mainstem key list", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of the key.")]


@command(app, "mainstem key create airport-display --scope predict --scope read")
def create(
    name: Name,
    scope: Annotated[list[str], typer.Option(metavar="SCOPE", help="predict, ingest, read or admin; may be repeated.")],
    directory: Directory = HERE,
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Make a key. It is shown this once; only its hash is kept."""
    with opened(directory, profile) as project:
        secret = project.create_key(name, tuple(scope))
    output(json).said(secret, hint="it is shown this once; send it as `Authorization: Bearer …`", key=secret)


@command(app, "mainstem key list", name="list")
def list_(directory: Directory = HERE, profile: Profile = None, json: Json = False) -> None:
    """List the keys, without their secrets."""
    with opened(directory, profile) as project:
        output(json).keys(project.keys())


@command(app, "mainstem key revoke airport-display")
def revoke(name: Name, directory: Directory = HERE, profile: Profile = None, json: Json = False) -> None:
    """Revoke a key at once."""
    with opened(directory, profile) as project:
        project.revoke_key(name)
    output(json).said(f"the key {name!r} is revoked", revoked=name)
