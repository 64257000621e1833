"""`mainstem override`: decisions that an operator sets, without a deployment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from mainstem.cli.options import HERE, Branch, Directory, Json, Profile, command, opened
from mainstem.cli.render import output
from mainstem.errors import RequestError

app = typer.Typer(
    help="Decide for an endpoint, without a deployment.",
    epilog="Example:  mainstem override list",
    no_args_is_help=True,
)

Who = Annotated[str | None, typer.Option(metavar="NAME", help="Who decides. Default: the user of this machine.")]


@command(app, 'mainstem override set authorise block --where card=c17 --why "the card was stolen"', name="set")
def set_(
    endpoint: Annotated[str, typer.Argument(metavar="ENDPOINT", help="The endpoint.")],
    decision: Annotated[str, typer.Argument(metavar="DECISION", help="One of its options, or `fallback`.")],
    why: Annotated[str, typer.Option(metavar="TEXT", help="The reason.")],
    where: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=VALUE", help="Only requests with this value; may be repeated. Default: all."),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(metavar="YYYY-MM-DD", formats=["%Y-%m-%d"], help="When it ends, at midnight UTC."),
    ] = None,
    who: Who = None,
    directory: Directory = HERE,
    branch: Branch = "main",
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Answer requests with a decision, from now on. A running server follows within a second."""
    fields = dict(map(_pair, where or ()))
    with opened(directory, profile, branch) as project:
        end = until.replace(tzinfo=UTC) if until else None
        output(json).overrides([project.override(endpoint, decision, fields, why=why, who=who, until=end)])


@command(app, "mainstem override list", name="list")
def list_(
    all_: Annotated[bool, typer.Option("--all", help="Those that ended, too.")] = False,
    directory: Directory = HERE,
    branch: Branch = "main",
    profile: Profile = None,
    json: Json = False,
) -> None:
    """List the overrides, oldest first."""
    with opened(directory, profile, branch) as project:
        output(json).overrides(project.overrides(ended=all_))


@command(app, "mainstem override end O1")
def end(
    id: Annotated[str, typer.Argument(metavar="ID", help="As `mainstem override list` prints it.")],
    who: Who = None,
    directory: Directory = HERE,
    branch: Branch = "main",
    profile: Profile = None,
    json: Json = False,
) -> None:
    """End an override at once."""
    with opened(directory, profile, branch) as project:
        output(json).overrides([project.end_override(id, who=who)])


def _pair(written: str) -> tuple[str, str]:
    name, found, value = written.partition("=")
    if not found or not name:
        raise RequestError("`--where` cannot be read", got=written, expected="FIELD=VALUE, such as card=c17")
    return name, value
