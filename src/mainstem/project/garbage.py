"""What nothing refers to any more, deleted: from the lake and from the branch's online store."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mainstem.nodes.features import FeatureView
from mainstem.nodes.records import Release

if TYPE_CHECKING:
    from mainstem.project.branch import Branch


class Garbage(NamedTuple):
    """How much was deleted: data files; of the online store, records that no read can see, and states of views that
    neither the project nor the branch's release has."""

    files: int
    records: int
    states: int


def collect_garbage(branch: Branch) -> Garbage:
    """Delete what nothing refers to, on the lake for all branches."""
    kept = branch.adapters.state.find(Release)
    files = branch.adapters.lake.sweep([snapshot for release in kept for snapshot in release.tables.values()])
    records, states = _online(branch) if branch.adapters.has_store else (0, 0)
    return Garbage(files, records, states)


def _online(branch: Branch) -> tuple[int, int]:
    from mainstem.features.online.loading import forget_views
    from mainstem.features.sweep import sweep
    from mainstem.serving.features import FeatureReader

    store, graph, release = branch.adapters.store, branch.graph, branch.release
    live = FeatureReader(graph, release, store).views  # what is online as it is declared now
    records = sweep(graph, store, {name: view.fingerprint for name, view in live.items()}, live)
    return records, forget_views(store, graph.of(FeatureView).keys() | release.online.keys())
