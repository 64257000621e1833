"""The integrity of stored files: verify them against the checksums of their commits, and keep which are damaged.

Each run verifies files of the published release that were not verified for a while, for a small part of the time that
runs take. A snapshot with a damaged file is not read. The next run makes it again: a table is built, a source is
collected from its beginning. What came from a log cannot be made again; only a backup has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mainstem.nodes.records import DamagedFile, Release, RunRecord, now
from mainstem.ports import State, Verification
from mainstem.project.retention import before, still_there
from mainstem.settings import FILE

if TYPE_CHECKING:
    from mainstem.project.wiring import Adapters

SHARE = 0.03
"""The part of a run's time that may go to verifying."""
LEAST = 0.02
"""Seconds that a run verifies at least, if files are due. At least one file is read."""


def verify_all(adapters: Adapters) -> Verification:
    """Verify every data file that a release of any branch needs. Save which are damaged."""
    return _noted(adapters, adapters.lake.verify(still_there(adapters.lake, adapters.state)))


def verify_due(adapters: Adapters, release: Release) -> Verification:
    """Verify files of the published release that are due, for a small part of the last run's time."""
    setting = adapters.settings.profile.verify
    if setting == "off" or not release.tables:
        return Verification()
    since = before(now(), setting, f"{FILE}, [profile], verify", '"off", or how often files are verified: "7d"')
    seconds = max(LEAST, SHARE * _last_took(adapters))
    return _noted(adapters, adapters.lake.verify(list(release.tables.values()), before=since, seconds=seconds))


def damaged_files(state: State) -> frozenset[str]:
    """Return the names of the data files that are known to be damaged."""
    return frozenset(record.id for record in state.find(DamagedFile, state="damaged"))


def damaged(adapters: Adapters, release: Release) -> Mapping[int, str]:
    """Return the snapshots of a release that have a damaged file, each with that file's path."""
    files = damaged_files(adapters.state)
    if not files:
        return {}
    found = {}
    for snapshot in release.tables.values():
        bad = next((path for path in adapters.lake.scan(snapshot).files if Path(path).name in files), None)
        if bad is not None:
            found[snapshot.id] = bad
    return found


def _noted(adapters: Adapters, found: Verification) -> Verification:
    """Save damaged files, and those that are sound again because a copy of them was put back."""
    known = {record.id: record for record in adapters.state.find(DamagedFile, state="damaged")}
    bad = {Path(each.file).name: each for each in found.damaged}
    new = [DamagedFile(name, each.table, each.expected, each.got) for name, each in bad.items() if name not in known]
    mended = [
        replace(record, state="sound")
        for name, record in known.items()
        if name in {Path(path).name for path in found.sound}
    ]
    if new or mended:
        adapters.state.save(*new, *mended)
    return found


def _last_took(adapters: Adapters) -> float:
    """Return the seconds of the branch's last run that has ended."""
    runs = adapters.state.find(RunRecord, branch=adapters.branch, newest=1)
    return sum((run.ended_at - run.started_at).total_seconds() for run in runs if run.ended_at)
