"""Make a version again from its stored rows and its recorded choices."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import ibis

from mainstem.errors import NotFound
from mainstem.models.artifact.manifest import read
from mainstem.models.training.blueprint import blueprint_of
from mainstem.models.training.reproduce import reproduced
from mainstem.models.versions.registry import get
from mainstem.nodes.erasures import Replaced
from mainstem.nodes.hidden import SPLIT
from mainstem.nodes.records import ModelVersion, Release
from mainstem.nodes.reproductions import Reproduction
from mainstem.project.branch import Branch

if TYPE_CHECKING:
    from mainstem.ports import Snapshot


def reproduce(branch: Branch, version: str, report: Callable[[str], None]) -> Reproduction:
    """Fit a version again, and compare its artifacts with the stored ones. Raises `NotFound` for an unknown version,
    and for one whose rows are gone, and `ModelError` for one that was not trained here."""
    found = get(branch.reading("read").records, version)
    manifest = read(branch.adapters.artifacts / found.artifact)
    snapshot = dataset_of(branch, found)
    name = f"dataset.{found.model}"
    stored = ibis.table({field.name: field.type for field in snapshot.fields}, name=name)
    with branch.adapters.engine.session({name: branch.adapters.lake.scan(snapshot)}) as session:
        rows = session.fetch(stored.drop(SPLIT))
    graph = branch.graph
    return reproduced(blueprint_of(graph, found.model), graph[found.model].fingerprint, manifest, rows, report)


def dataset_of(branch: Branch, version: ModelVersion) -> Snapshot:
    """Return the snapshot of a version's dataset, which is pinned as long as the version; after an erasure, what is
    left of it. Raises `NotFound`."""
    name = f"dataset.{version.model}"
    wanted = version.snapshots.get(name)
    erased = branch.adapters.state.get(Replaced, str(wanted))
    if erased is not None and erased.relation == name:
        return erased.instead
    for release in reversed(branch.adapters.state.find(Release)):
        if name in release.tables and release.tables[name].id == wanted:
            return release.tables[name]
    raise NotFound(
        f"the rows that {version.id} was trained on are gone",
        expected=f"snapshot {wanted} of {name}",
        hint="mainstem run, to train a new version",
    )
