"""Delete unreferenced data from the lake and from the branch's online store."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mainstem.nodes.features import FeatureView
from mainstem.nodes.records import Release

if TYPE_CHECKING:
    from mainstem.project.branch import Branch


class Garbage(NamedTuple):
    """The deleted data: `files` of the lake, `records` of the online store, and `states` of views.

    Deleted records are those that no read can see. Deleted states belong to views that neither the project nor the
    branch's release has.
    """

    files: int
    records: int
    states: int


def collect_garbage(branch: Branch) -> Garbage:
    """Delete unreferenced data. In the lake this covers all branches."""
    kept = branch.adapters.state.find(Release)
    files = branch.adapters.lake.sweep([snapshot for release in kept for snapshot in release.tables.values()])
    records, states = _online(branch) if branch.adapters.has_store else (0, 0)
    return Garbage(files, records, states)


def _online(branch: Branch) -> tuple[int, int]:
    from mainstem.features.online.loading import forget_views
    from mainstem.features.sweep import sweep
    from mainstem.serving.features import FeatureReader

    store, graph, release = branch.adapters.store, branch.graph, branch.release
    live = FeatureReader(graph, release, store).views  # views that are online as declared
    records = sweep(graph, store, {name: view.fingerprint for name, view in live.items()}, live)
    return records, forget_views(store, graph.of(FeatureView).keys() | release.online.keys())
