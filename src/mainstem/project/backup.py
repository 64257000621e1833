"""Backups: one consistent copy of a project's lake, state and online store, taken also while a server or a run goes on.

Data files never change, so only the order matters: first the online store, then the state, then the lake. So the state
has every event that the logs no longer have, and the lake every file that the state's releases refer to. Of the lake
the catalog comes first: a run in progress may commit, and the catalog must not name files that were not copied. If a
branch moves meanwhile, the copy is taken again.
"""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mainstem.errors import ConflictError, SettingsError, StorageError
from mainstem.nodes.records import now
from mainstem.project.retention import still_there

if TYPE_CHECKING:
    from mainstem.project.branch import Branch
    from mainstem.settings import Settings

MANIFEST = "backup.json"
LITE = "sqlite:///"
OWN = ("schemas.lock", "remedies.toml")
"""Files of the project that Mainstem writes."""
ATTEMPTS = 5


class Backup(msgspec.Struct, frozen=True):
    """What a backup holds: when it was made, each branch's release, and the SHA-256 and bytes of each file."""

    made_at: datetime
    releases: dict[str, str]
    files: dict[str, tuple[str, int]]
    version: int = 1

    @property
    def bytes(self) -> int:
        return sum(size for _, size in self.files.values())


def back_up(branch: Branch, to: Path) -> Backup:
    """Copy what the project of `branch` stores, all branches of it, to the new directory `to`.

    Raises `SettingsError` where a part is no file of this machine, `StorageError` where `to` is not empty, and
    `ConflictError` where runs publish faster than files can be copied.
    """
    state, _ = _places(branch.settings)
    to = to.resolve()
    if to.exists() and any(to.iterdir()):
        raise StorageError("the directory for the backup is not empty", where=str(to), hint="name a new directory")
    if not state.exists():
        raise StorageError("there is nothing to back up yet", where=str(branch.settings.root), hint="mainstem run")
    draft = to.with_name(f".{to.name}.part")
    try:
        releases = _copied(branch, draft)
        backup = Backup(now(), releases, {name: _digest(draft / name) for name in _names(draft)})
        (draft / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(backup)))
        if to.exists():
            to.rmdir()
        draft.rename(to)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return backup


def restore(settings: Settings, source: Path) -> Backup:
    """Put a backup in the place of what the project stores: nothing, or `StorageError` is raised.

    Every file is verified before any is written. Raises `StorageError` for a backup that is damaged or incomplete.
    """
    state, lake = _places(settings)
    backup = _verified(source)
    online = settings.path(settings.profile.online)
    there = [str(place) for place in (state, lake, online) if _holds(place)]
    if there:
        hint = "move it away first: restoring replaces nothing"
        raise StorageError("the project has stored data already", where=", ".join(there), hint=hint)
    changed = [name for name in OWN if _differs(source / "project" / name, settings.root / name)]
    if changed:
        hint = "move it away first, or copy it into the backup"
        raise StorageError("a file of the project differs from the backup's", where=", ".join(changed), hint=hint)
    try:
        for part, place in (("lake", lake), ("online", online)):
            if (source / part).exists():
                shutil.copytree(source / part, place, dirs_exist_ok=True)
        for name in OWN:
            if (source / "project" / name).exists():
                shutil.copy2(source / "project" / name, settings.root / name)
        state.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / "state.db", state)  # last: without it there are no releases
    except BaseException:
        state.unlink(missing_ok=True)
        for place in (lake, online):
            shutil.rmtree(place, ignore_errors=True)
        raise
    return backup


def _places(settings: Settings) -> tuple[Path, Path]:
    """Return the state's file and the lake's directory. Raises `SettingsError` if a part has no place on this disk."""
    url, profile = settings.state_url, settings.profile
    others = {
        "state": url if not url.startswith(LITE) else "",
        "catalog": profile.catalog or "",
        "online": profile.online if "://" in profile.online else "",
    }
    remote = [name for name, place in others.items() if place]
    if remote:
        raise SettingsError(
            f"a backup cannot hold what a server keeps: {', '.join(remote)}",
            where=f"profile {settings.profile_name}",
            expected="state, catalog and online store as files",
            hint="back it up with the server's own tools, such as pg_dump, and the lake's directory with it",
        )
    return Path(url.removeprefix(LITE)), settings.lake


def _copied(branch: Branch, draft: Path) -> dict[str, str]:
    """Copy everything to `draft`, and return the release of each branch that the copy has. Raises `ConflictError`."""
    for _ in range(ATTEMPTS):
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True, mode=0o700)
        releases = branch.adapters.state.branches()
        _copy(branch, draft, releases)
        if branch.adapters.state.branches() == releases:
            return releases
    raise ConflictError("a branch moved during each attempt to copy it", where=str(draft), hint="try again")


def _copy(branch: Branch, draft: Path, releases: dict[str, str]) -> None:
    state, lake = _places(branch.settings)
    for name in releases:
        branch.adapters.copy_online(name, draft / "online")
    _copy_database(state, draft / "state.db")
    (draft / "lake").mkdir()
    if (lake / "catalog.db").exists():
        _copy_database(lake / "catalog.db", draft / "lake" / "catalog.db")
    others = shutil.ignore_patterns("catalog.db*", ".*")
    shutil.copytree(lake, draft / "lake", ignore=others, copy_function=_copy_file, dirs_exist_ok=True)
    _check(branch, draft)
    (draft / "project").mkdir()
    for name in OWN:
        if (branch.settings.root / name).exists():
            shutil.copy2(branch.settings.root / name, draft / "project" / name)


def _check(branch: Branch, draft: Path) -> None:
    """Raise `StorageError` if the copy lacks a file that a release refers to."""
    lake = branch.adapters.lake_at(draft / "lake")
    for snapshot in still_there(lake, branch.adapters.state):
        for path in lake.scan(snapshot).files:
            if not Path(path).exists():
                raise StorageError("a data file of a release is missing", where=path, hint="restore an earlier backup")
    lake.close()


def _copy_file(source: str, target: str) -> None:
    """Copy a file, unless garbage collection has just deleted it: no release refers to it then."""
    try:
        shutil.copy2(source, target)
    except FileNotFoundError:
        if Path(source).exists():
            raise


def _copy_database(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as opened, closing(sqlite3.connect(target)) as copy:
        opened.backup(copy)


def _names(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def _digest(path: Path) -> tuple[str, int]:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest(), path.stat().st_size


def _verified(source: Path) -> Backup:
    try:
        backup = msgspec.json.decode((source / MANIFEST).read_bytes(), type=Backup)
    except FileNotFoundError:
        expected = f"a directory with {MANIFEST}, made by mainstem backup"
        raise StorageError("the directory has no backup", where=str(source), expected=expected) from None
    except msgspec.DecodeError as problem:
        raise StorageError("the backup's manifest is damaged", where=str(source / MANIFEST), got=str(problem)) from None
    for name, kept in backup.files.items():
        path = source / name
        found = _digest(path) if path.is_file() else ("no such file", 0)
        if found != kept:
            raise StorageError(
                "a file of the backup is damaged; nothing was restored",
                where=str(path),
                got=f"{found[0]}, {found[1]:,} bytes",
                expected=f"{kept[0]}, {kept[1]:,} bytes",
                hint="restore another backup",
            )
    return backup


def _holds(place: Path) -> bool:
    return place.is_file() or (place.is_dir() and any(place.iterdir()))


def _differs(kept: Path, own: Path) -> bool:
    return kept.exists() and own.exists() and kept.read_bytes() != own.read_bytes()
