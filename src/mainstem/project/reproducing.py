"""Make a version again from its stored rows and its recorded choices."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import ibis

from mainstem.errors import NotFound
from mainstem.models.artifact.manifest import read
from mainstem.models.splits import UNDRAWN
from mainstem.models.training.beyond import Reading, Stored, stored_rows
from mainstem.models.training.blueprint import blueprint_of
from mainstem.models.training.prepared import Prepared
from mainstem.models.training.reproduce import Elsewhere, reproduced
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
    engine, relations = branch.adapters.engine, {name: branch.adapters.lake.scan(snapshot)}
    with engine.session(relations) as session:
        drawn = session.fetch(stored.filter(~stored[SPLIT].endswith(UNDRAWN)).drop(SPLIT))

    def beyond(prepared: Prepared) -> Stored | None:
        reading = Reading(manifest.inputs, manifest.task, prepared.classes)
        return stored_rows(stored, lambda: engine.session(relations), reading)

    directory = branch.adapters.artifacts / found.artifact
    elsewhere = Elsewhere(beyond, lambda file: (directory / file).read_bytes())
    graph, model = branch.graph, found.model
    return reproduced(blueprint_of(graph, model), graph[model].fingerprint, manifest, drawn, report, elsewhere)


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
