"""The interface between a runner and its executors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from mainstem.errors import StorageError
from mainstem.nodes.definition import Graph
from mainstem.nodes.findings import Finding
from mainstem.nodes.hidden import visible
from mainstem.nodes.records import Binding, CheckResult, Release
from mainstem.nodes.sources import Stream
from mainstem.planning.drafts import Drafts
from mainstem.planning.plan import Plan, Step
from mainstem.ports import Engine, Lake, Record, Scan, Session, Snapshot, State


@dataclass(frozen=True)
class StepResult:
    """The result of a step. Readers see it only after the run publishes its release.

    `tables` maps stored relations (also `quarantine.legs`, `dataset.late`, `predictions.arrivals`) to new snapshots.
    `models` to `online` extend the release's fields of the same names. `records` (findings, verdicts, model versions)
    are saved with the release, or not at all.
    """

    tables: Mapping[str, Snapshot] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    endpoints: Mapping[str, Binding] = field(default_factory=dict)
    cutovers: Mapping[str, datetime] = field(default_factory=dict)
    online: Mapping[str, str] = field(default_factory=dict)
    rows_in: int | None = None
    published: int | None = None
    quarantined: int | None = None
    checks: tuple[CheckResult, ...] = ()
    message: str = ""
    records: tuple[Record, ...] = ()

    @property
    def findings(self) -> tuple[str, ...]:
        """The ids of the findings that the step opened or closed."""
        return tuple(record.id for record in self.records if isinstance(record, Finding))


Replan = Callable[[Release], tuple[Graph, Plan]]
"""Returns the definitions, and the plan of what is left to do, as of the release in the making."""


@dataclass
class Context:
    """A run as its executors see it. `release` is the release in the making. Reads use it.

    Executors read records through `records`, which includes those of the run's earlier steps. `damaged` are the
    names of data files that must not be read. `note` gives the records of a node's definition that a run keeps.
    `replan` is called when a step changed the schema of a source.
    """

    run: str
    branch: str
    graph: Graph
    release: Release
    engine: Engine
    lake: Lake
    state: State
    report: Callable[[str], None] = lambda _: None
    damaged: frozenset[str] = frozenset()
    note: Callable[[str], Iterable[Record]] = lambda node: ()
    replan: Replan | None = None

    def __post_init__(self) -> None:
        self.records = Drafts(self.state)

    def absorb(self, step: Step, outcome: StepResult) -> None:
        """Add a finished step's results to the release in the making."""
        self.records.add(*outcome.records)
        grown: dict[str, Any] = {
            name: {**getattr(self.release, name), **getattr(outcome, name)}
            for name in ("tables", "models", "endpoints", "cutovers", "online")
        }
        # The state of a removed view is neither read nor updated.
        grown["online"] = {
            name: state for name, state in grown["online"].items() if name in self.graph or name in self.graph.broken
        }
        fingerprints, inputs = dict(self.release.fingerprints), dict(self.release.inputs)
        if step.effect not in ("none", "outside"):
            fingerprints[step.node] = self.graph[step.node].made_by
            self.records.add(*self.note(step.node))
        if step.kind != "promote" and step.effect != "outside":
            inputs[step.key] = self.read_by(step.node)
        self.release = replace(self.release, fingerprints=fingerprints, inputs=inputs, **grown)

    def has_evolved(self, node: str) -> bool:
        """Return whether a source is stored with other columns or types than it is defined with."""
        stored = visible({field.name: field.type for field in self.release.tables[node].fields})
        return stored != visible(self.graph[node].schema or {})

    def adopt(self, graph: Graph, made: Collection[str]) -> None:
        """Go on with other definitions, which those that this run `made` already fit."""
        self.graph = graph
        fingerprints = {name: graph[name].made_by for name in made if name in graph}
        self.release = replace(self.release, fingerprints={**self.release.fingerprints, **fingerprints})
        for name in fingerprints:
            self.records.add(*self.note(name))

    def is_current(self, step: Step) -> bool:
        """Return whether the step was last run on the same snapshots that it would read now."""
        return self.release.inputs.get(step.key) == self.read_by(step.node)

    def read_by(self, node: str) -> dict[str, int]:
        """Return the stored relations that a node depends on, each with the snapshot that this run reads."""
        stored = self.graph.stored_inputs(node)
        return {name: self.release.tables[name].id for name in stored if name in self.release.tables}

    def snapshot(self, table: str) -> Snapshot:
        """Return the snapshot that this run reads for a stored relation. Raises `StorageError` if there is none, or if
        it is damaged."""
        if table not in self.release.tables:
            raise StorageError(f"{table!r} has no data on branch {self.branch!r} yet", hint="mainstem run")
        self.refuse_damaged(self.release.tables[table])
        return self.release.tables[table]

    def scan(self, snapshot: Snapshot) -> Scan:
        """Return the files of a snapshot, to be read. Raises `StorageError` if one of them is damaged."""
        self.refuse_damaged(snapshot)
        return self.lake.scan(snapshot)

    def damaged_file(self, snapshot: Snapshot) -> str | None:
        """Return the path of a damaged file of a snapshot."""
        if not self.damaged:
            return None
        return next((path for path in self.lake.scan(snapshot).files if Path(path).name in self.damaged), None)

    def refuse_damaged(self, snapshot: Snapshot) -> None:
        """Raise `StorageError` if a file of a snapshot is damaged."""
        path = self.damaged_file(snapshot)
        if path is None:
            return
        copy = "put back a copy of the file from a backup, and then mainstem check --files"
        node = self.graph[snapshot.table].node if snapshot.table in self.graph else None
        logged = isinstance(node, Stream) or snapshot.table.startswith(("outcomes.", "predictions.", "shadows."))
        raise StorageError(
            f"a stored file of {snapshot.table!r} is damaged: its bytes differ from those that were committed",
            where=path,
            hint=f"its rows came from a log and cannot be made again: {copy}"
            if logged
            else f"a history cannot be made again: {copy}"
            if getattr(node, "versions", False)
            else copy
            if node is None
            else "mainstem run makes the table again",
        )

    @cached_property
    def ancestors(self) -> tuple[Release, ...]:
        """The branch's releases before this run, newest first, with those before its fork and those rolled back."""
        known = {release.id: release for release in self.state.find(Release)}
        found, release = list[Release](), known.get(self.release.id)
        while release is not None:
            found.append(release)
            release = known.get(release.parent or "")
        return tuple(found)

    @cached_property
    def history(self) -> tuple[Release, ...]:
        """The branch's releases before this run, newest first, without those that were rolled back."""
        found, kept, place = self.ancestors, list[Release](), 0
        last = {each.run: number for number, each in enumerate(found)}
        while place < len(found):
            kept.append(found[place])
            place = last[found[place].run] + 1
        return tuple(kept)

    def session(self, names: Iterable[str]) -> AbstractContextManager[Session]:
        """Open an engine session over stored relations. Use `graph[name].read` in it to read a node as other
        nodes do."""
        return self.engine.session({name: self.scan(self.snapshot(name)) for name in names})


class Executor(Protocol):
    """Runs one kind of step. Raises a `MainstemError` on failure. Its writes then stay invisible."""

    def __call__(self, step: Step, context: Context) -> StepResult: ...
