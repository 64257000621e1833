"""`mainstem backup`, `restore`, `gc`, `compact`, `drop` and `erase`: copy stored data, bring it back, delete
unneeded data, merge small files, drop nodes without a definition, and erase a key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mainstem.cli.options import HERE, Branch, Directory, Json, Profile, command, opened
from mainstem.cli.render import output


def register(app: typer.Typer) -> None:
    command(app, "mainstem backup /backups/monday")(backup)
    command(app, "mainstem restore /backups/monday")(restore)
    command(app, "mainstem gc")(gc)
    command(app, "mainstem compact departures")(compact)
    command(app, "mainstem drop old_orders")(drop)
    command(app, "mainstem erase customer_id=42 --yes")(erase)


def backup(
    to: Annotated[Path, typer.Argument(metavar="DIR", help="A new directory.")],
    directory: Directory = HERE,
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Copy all that is stored to a new directory, also while a server runs.

    The copy has the lake, the state and the online store of all branches, as they are at one instant, and
    schemas.lock and remedies.toml. Definitions belong in version control.
    """
    with opened(directory, profile, "main") as project:
        made = project.backup(to)
    told = f"{len(made.files):,} files, {made.bytes / 1e6:,.1f} MB, {len(made.releases):,} branches copied to {to}"
    output(json).said(told, files=len(made.files), bytes=made.bytes, releases=made.releases)


def restore(
    source: Annotated[Path, typer.Argument(metavar="DIR", help="A directory that mainstem backup made.")],
    directory: Directory = HERE,
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Bring back what a backup holds, into a project that stores nothing yet.

    Every file is verified first. A damaged backup restores nothing.
    """
    with opened(directory, profile, "main") as project:
        found = project.restore(source)
    told = f"{len(found.files):,} files, {len(found.releases):,} branches as of {found.made_at:%Y-%m-%d %H:%M:%S} UTC"
    output(json).said(told, files=len(found.files), bytes=found.bytes, releases=found.releases)


def gc(directory: Directory = HERE, branch: Branch = "main", profile: Profile = None, json: Json = False) -> None:
    """Delete data files that no kept release needs, and online records that no read can see."""
    with opened(directory, profile, branch) as project:
        found = project.gc()
    freed = f"{found.files:,} files ({found.bytes / 2**20:,.1f} MiB)"
    told = f"{freed}, {found.records:,} online records and {found.states:,} online states deleted"
    output(json).said(told, **found._asdict())


def compact(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NODE]…", help="Published relations.")] = None,
    directory: Directory = HERE,
    branch: Branch = "main",
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Merge the small data files of published relations, all if none is named. Their rows stay.

    Nothing downstream is built again. `mainstem gc` deletes the small files when no kept release needs them.
    """
    with opened(directory, profile, branch) as project:
        output(json).compacted(project.compact(*names or ()))


def drop(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NODE]…", help="Nodes that are not declared.")] = None,
    directory: Directory = HERE,
    branch: Branch = "main",
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Publish without nodes that the project no longer declares, all if none is named.

    `mainstem rollback` takes it back. `mainstem gc` deletes their data when no kept release has them.
    """
    with opened(directory, profile, branch) as project:
        gone = project.drop(*names or ())
    output(json).said(f"dropped: {', '.join(gone)}" if gone else "nothing to drop: all is declared", dropped=gone)


def erase(
    key: Annotated[str, typer.Argument(metavar="COLUMN=VALUE", help="A key column and the value to erase.")],
    also: Annotated[
        list[str] | None, typer.Option("--also", metavar="NODE.COLUMN", help="Another column with this key.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Erase. Without it, only show what would be erased.")] = False,
    directory: Directory = HERE,
    branch: Branch = "main",
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Erase all rows with a key: in tables, their earlier snapshots, datasets of models, online state and logs.

    Releases that have such a row are gone, also where a branch or a model needs them.
    """
    column, equals, value = key.partition("=")
    if not equals or not column:
        raise typer.BadParameter("write COLUMN=VALUE, such as customer_id=42")
    with opened(directory, profile, branch) as project:
        output(json).erased(project.erase(column, value, also=also or (), rehearse=not yes))
