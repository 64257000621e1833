"""What `gc` keeps: releases by age and number, and all that they and their models refer to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from mainstem.errors import DefinitionError, SettingsError, SnapshotGone
from mainstem.nodes.deliveries import Delivery
from mainstem.nodes.durations import microseconds
from mainstem.nodes.records import ModelVersion, Release, RunRecord
from mainstem.ports import Lake, Snapshot, State
from mainstem.settings import FILE, Keep

ALL = "all"


class Kept(NamedTuple):
    """The `releases` and the `snapshots` to keep, and the releases, model versions and runs that hold nothing now."""

    releases: list[Release]
    snapshots: list[Snapshot]
    unpinned: frozenset[str]


def kept(state: State, keep: Keep, now: datetime) -> Kept:
    """Return what a retention rule keeps at the instant `now`. Raises `SettingsError` for an invalid rule."""
    releases = state.find(Release)
    chosen = {release.id: release for release in _chosen(releases, state.branches(), keep, now)}
    versions = state.find(ModelVersion)
    used = {version for release in chosen.values() for version in _versions(release)}
    every = {(s.table, s.id): s for release in releases for s in release.tables.values()}
    needed = {(s.table, s.id) for release in chosen.values() for s in release.tables.values()}
    needed |= {each for version in versions if version.id in used for each in version.snapshots.items()}
    snapshots = [snapshot for place, snapshot in every.items() if place in needed]
    snapshots += [s for each in state.find(Delivery) for held in each.held for s in held.snapshots.values()]
    loose = {release.id for release in releases if release.id not in chosen}
    loose |= {version.id for version in versions if version.id not in used}
    loose |= {run.id for run in state.find(RunRecord)} - {release.run for release in chosen.values()}
    return Kept(list(chosen.values()), snapshots, frozenset(loose))


def still_there(lake: Lake, state: State) -> list[Snapshot]:
    """Return the snapshots of all releases without those that `gc` freed.

    Raises `SnapshotGone` if a branch publishes one that is not there, and `StorageError` for one that cannot be read.
    """
    heads = set(state.branches().values())
    found: dict[tuple[str, int], Snapshot] = {}
    for release in state.find(Release):
        for snapshot in release.tables.values():
            place = snapshot.physical, snapshot.id
            if place not in found and _is_there(lake, snapshot, needed=release.id in heads):
                found[place] = snapshot
    return list(found.values())


def _is_there(lake: Lake, snapshot: Snapshot, *, needed: bool) -> bool:
    try:
        lake.scan(snapshot)
    except SnapshotGone:
        if needed:
            raise
        return False
    return True


def _chosen(releases: Sequence[Release], heads: dict[str, str], keep: Keep, now: datetime) -> list[Release]:
    if keep.newest < 1:
        raise SettingsError("`newest` must be positive", where=_where("newest"), got=str(keep.newest))
    if keep.releases == ALL:
        return list(releases)
    since = before(now, keep.releases, _where("releases"), f'"{ALL}", or how long releases are kept: "30d"')
    newest = [release for branch in heads for release in _of(releases, branch)[-keep.newest :]]
    named = set(heads.values()) | {release.id for release in newest}
    return [release for release in releases if release.id in named or release.created_at >= since]


def before(now: datetime, setting: str, where: str, expected: str) -> datetime:
    """Return the instant that lies a setting's duration before `now`, at the earliest the first of the calendar.

    Raises `SettingsError` for a text that is no duration.
    """
    try:
        length = timedelta(microseconds=microseconds(setting))
    except DefinitionError as problem:
        raise SettingsError("the setting is no duration", where=where, got=setting, expected=expected) from problem
    return now - min(length, now - datetime.min.replace(tzinfo=UTC))


def _of(releases: Sequence[Release], branch: str) -> list[Release]:
    return sorted((r for r in releases if r.branch == branch), key=lambda release: release.created_at)


def _versions(release: Release) -> set[str]:
    bound = release.endpoints.values()
    live = {version for each in bound for version in (each.champion, each.challenger, *each.shadow) if version}
    return live | set(release.models.values())


def _where(setting: str) -> str:
    return f"{FILE}, [keep], {setting}"
