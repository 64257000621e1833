"""Delete data that nothing needs from the lake and from the branch's online store."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from mainstem.errors import ConflictError
from mainstem.nodes.features import FeatureView
from mainstem.nodes.records import RunRecord, now
from mainstem.planning.process import here
from mainstem.project.retention import kept

if TYPE_CHECKING:
    from mainstem.project.branch import Branch


RECENT = 24.0
"""Hours for which files stay that nothing refers to."""


class Garbage(NamedTuple):
    """The deleted data: `files` of the lake and their `bytes`, `records` of the online store, and `states` of views.

    Deleted records are those that no read can see. Deleted states belong to views that neither the project nor the
    branch's release has.
    """

    files: int
    bytes: int
    records: int
    states: int


def collect_garbage(branch: Branch) -> Garbage:
    """Delete what the retention rule of mainstem.toml does not keep. In the lake this covers all branches."""
    state, lake = branch.adapters.state, branch.adapters.lake
    with ExitStack() as held:
        try:
            for name in {branch.branch, *state.branches()}:
                held.enter_context(state.hold(name, f"gc of process {here()}"))
            alone = True
        except ConflictError:
            alone = False
        # What a run in progress has made is not published yet, however long ago it began.
        running = [] if alone else [run for run in state.find(RunRecord) if run.status == "running"]
        hours = max([RECENT, *((now() - run.started_at).total_seconds() / 3600 + 1 for run in running)])
        keeps = kept(state, branch.settings.keep, now())
        unpinned = keeps.unpinned - {run.id for run in running}
        swept = lake.sweep(keeps.snapshots, unpinned=unpinned, drop=alone, older_than_hours=hours)
    records, states = _online(branch) if branch.adapters.has_store else (0, 0)
    return Garbage(swept.files, swept.bytes, records, states)


def _online(branch: Branch) -> tuple[int, int]:
    from mainstem.features.online.loading import forget_views
    from mainstem.features.sweep import sweep
    from mainstem.serving.features import FeatureReader

    store, graph, release = branch.adapters.store, branch.graph, branch.release
    live = FeatureReader(graph, release, store).views  # views that are online as declared
    records = sweep(graph, store, {name: view.fingerprint for name, view in live.items()}, live)
    return records, forget_views(store, graph.of(FeatureView).keys() | release.online.keys())
