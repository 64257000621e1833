"""Erase a key: its rows in every branch, release, model's dataset, online state and log of a project.

Rows cannot be taken out of a snapshot. So each relation of each branch gets a snapshot without them, all branches
publish these, and then every snapshot and file that had such a row is deleted, whatever it is pinned by.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import ibis

from mainstem.errors import RequestError, SnapshotGone, StorageError, UnknownName
from mainstem.lake.erasing import in_raw, typed
from mainstem.lake.schema import readable_name
from mainstem.logs.letters import letters_of
from mainstem.logs.outcomes import outcomes_of, outcomes_table
from mainstem.logs.records import events_of, predictions_of
from mainstem.logs.shadows import shadows_of, shadows_table
from mainstem.logs.standing import erase as erase_standing
from mainstem.nodes.deliveries import Delivery
from mainstem.nodes.endpoints import Endpoint
from mainstem.nodes.erasures import Erasure, Replaced
from mainstem.nodes.features import FeatureView
from mainstem.nodes.hidden import RAW
from mainstem.nodes.kafka import Kafka
from mainstem.nodes.overrides import Override
from mainstem.nodes.records import CheckResult, ModelVersion, Release, RunRecord, StepRecord, new_id, now
from mainstem.nodes.sinks import Sink
from mainstem.nodes.sources import Source, Stream
from mainstem.nodes.statistics import Statistics
from mainstem.planning.process import me
from mainstem.ports import DataFile, ReplaceAll, Scan, Snapshot
from mainstem.project.dropping import relations_of
from mainstem.project.releases import MAIN, Releases
from mainstem.sources.remembered import forget
from mainstem.statistics.keeping import Counting

if TYPE_CHECKING:
    from mainstem.project.branch import Branch

DATASET = "dataset."
Place = tuple[str, int]
"""A snapshot: its physical table and id."""


class Eraser:
    """Erases the rows whose column has a value: `column` in every relation, and each of `also`, written `node.column`,
    in the relations of this node."""

    def __init__(self, branch: Branch, column: str, value: str, also: Sequence[str] = ()) -> None:
        self._branch, self._state, self._lake = branch, branch.adapters.state, branch.adapters.lake
        self._column, self._value = column, value
        self._also = [_also(each) for each in also]
        self._look()
        self._check_columns()

    def _look(self) -> None:
        """Find what branches publish, and the files that have such rows."""
        self._releases = self._state.find(Release)
        self._heads = {name: Releases(self._branch.adapters, name).current for name in sorted(self._state.branches())}
        self._files = self._lake.holding(self._value, self._columns)
        self._without: dict[Place, Snapshot] = {}

    def _columns(self, physical: str) -> list[str]:
        """Return the columns of a physical table that may have the key. Quarantined rows have those of their node."""
        table, _, _ = physical.rpartition("__")
        also = (column for node, column in self._also if table in map(readable_name, relations_of(node)))
        return [self._column, *also]

    def rehearse(self) -> Erasure:
        """Return what `erase` would erase. Nothing is changed."""
        touched = self._touched()
        return replace(self._report(), versions=tuple(v.id for v in self._versions(touched)), rehearsed=True)

    def erase(self) -> Erasure:
        """Erase the rows. Raises `ConflictError` while a run is in progress on a branch."""
        with ExitStack() as held:
            for name in {self._branch.branch, *self._heads}:
                held.enter_context(self._state.hold(name, me()))
            self._look()  # again: a run may have published before
            return self._erased()

    def _erased(self) -> Erasure:
        report, touched = self._report(), self._touched()
        versions = self._versions(touched)
        self._keep_datasets(versions, touched)
        for name, head in self._heads.items():
            tables = {relation: self._clean(snapshot) for relation, snapshot in head.tables.items()}
            if tables != head.tables:
                Releases(self._branch.adapters, name).publish(replace(head, tables=tables))
        gone = self._lake.forget(self._files) | touched
        self._state.save(*(replace(version, erased_at=now()) for version in versions))
        self._forget_samples(touched)
        self._forget_overrides()
        forget(self._branch.settings.root)
        logged = self._trim_logs()
        self._lake.settle()
        releases = tuple(r.id for r in self._releases if any(_place(s) in gone for s in r.tables.values()))
        done = replace(
            report, snapshots=len(gone), releases=releases, versions=tuple(v.id for v in versions), logged=logged
        )
        self._state.save(done)
        self._state.shred()
        return done

    # ── what there is ────────────────────────────────────────────────────────────────────────────────

    def _check_columns(self) -> None:
        columns = {name: {f.name for f in s.fields} for head in self._heads.values() for name, s in head.tables.items()}
        for node, column in self._also:
            if node not in columns:
                raise UnknownName.among("published relation", node, columns)
            if column not in columns[node]:
                raise UnknownName.among(f"column of {node}", column, columns[node])
        every = {column for found in columns.values() for column in found}
        if self._column not in every:
            raise UnknownName.among("column of any published relation", self._column, every)

    def _touched(self) -> set[Place]:
        """Return the snapshots of releases that have such rows."""
        every = {_place(s): s for release in self._releases for s in release.tables.values()}
        return {place for place, snapshot in every.items() if self._has(snapshot)}

    def _has(self, snapshot: Snapshot) -> bool:
        try:
            return any(path in self._files for path in self._lake.scan(snapshot).files)
        except SnapshotGone:
            return False

    def _versions(self, touched: set[Place]) -> list[ModelVersion]:
        ids = {id for _, id in touched}
        return [version for version in self._state.find(ModelVersion) if ids & set(version.snapshots.values())]

    def _report(self) -> Erasure:
        rows = {
            f"{name}: {relation}": count
            for name, head in self._heads.items()
            for relation, snapshot in sorted(head.tables.items())
            if (count := sum(self._files.get(path, 0) for path in self._lake.scan(snapshot).files))
        }
        columns = (self._column, *(f"{node}.{column}" for node, column in self._also))
        return Erasure(
            new_id("erasure"), columns, rows, len(self._files), derived=tuple(self._derived()), left=tuple(self._left())
        )

    def _derived(self) -> Iterator[str]:
        head = self._heads.get(self._branch.branch)
        if head is None:
            return
        graph = self._branch.graph
        erased = {name for name, snapshot in head.tables.items() if name in graph and self._has(snapshot)}
        below = {user for name in erased for user in graph.dag.downstream(name)}
        for name in sorted(below - erased):
            if name in head.tables and self._column not in {f.name for f in head.tables[name].fields}:
                yield name

    def _left(self) -> Iterator[str]:
        head = self._heads.get(self._branch.branch)
        graph = self._branch.graph
        for name in sorted(graph.of(Source)):
            if head and name in head.tables and self._has(head.tables[name]):
                yield f"{name} still has the rows where it is collected from; erase them there, too"
        for name in self._heads:
            if name != self._branch.branch:
                told = f"mainstem erase {self._column}=… --branch {name} --yes"
                yield f"the log and the online state of branch {name}: {told}"
        yield from self._targets()
        if head and any(name.startswith(outcomes_table("")) for name in head.tables):
            yield "outcomes that clients sent: only their ids say which predictions they were of"
        if head and any(name.startswith(shadows_table("")) for name in head.tables):
            yield "scores of shadows: only their ids say which predictions they were of"
        for name, endpoint in sorted(graph.of(Endpoint).items()):
            if endpoint.on is not None:
                yield f"answers of {name} to events: their scores and features are kept for events that are sent again"
        yield "backups, and what models learned from the rows"

    def _targets(self) -> Iterator[str]:
        """Yield the targets of sinks that have such rows, or what was computed from them."""
        graph, sinks = self._branch.graph, self._branch.graph.of(Sink)
        for sent in sorted(self._state.find(Delivery), key=lambda each: each.sink):
            held = {name: snapshot for each in sent.held for name, snapshot in each.snapshots.items()}
            above = {each for name in held if name in graph for each in graph.dag.upstream(name)}
            head = self._heads[MAIN].tables
            if not any(self._has(each) for each in (*held.values(), *(head[name] for name in above if name in head))):
                continue
            if sent.sink not in sinks:
                yield f"the target of the former sink {sent.sink} still has the rows; erase them there, too"
            elif isinstance(sinks[sent.sink].to, Kafka):
                yield f"{sinks[sent.sink].place} still has messages of the rows; delete them there, too"
            else:
                yield f"{sinks[sent.sink].place} has the rows until the next run delivers {sent.sink}"

    # ── what is done ─────────────────────────────────────────────────────────────────────────────────

    def _clean(self, snapshot: Snapshot) -> Snapshot:
        """Return the snapshot, or one with its other rows. Files without such rows are kept."""
        place = _place(snapshot)
        if place in self._without:
            return self._without[place]
        if not self._has(snapshot):
            return snapshot
        types = {field.name: field.type for field in snapshot.fields}
        target = self._lake.target(snapshot.table, types, snapshot.partition)
        paths = self._lake.scan(snapshot).files
        affected = tuple(path for path in paths if path in self._files)
        rows = ibis.table(types, name="rows")
        others = rows.filter(~ibis.or_(*self._tests(rows, snapshot.physical)))
        with self._branch.adapters.engine.session({"rows": Scan(affected, snapshot.fields, 0)}) as session:
            written = session.write(others, target)
        stay = [file for file in self._lake.files_of(snapshot) if file.path not in self._files]
        made = self._commit(snapshot, [*stay, *written], types)
        gone = sum(self._files[path] for path in affected)
        if made.rows != snapshot.rows - gone:
            raise StorageError(
                "an erasure would take other rows",
                where=snapshot.table,
                got=f"{snapshot.rows - made.rows:,} rows",
                expected=f"{gone:,} rows",
            )
        self._without[place] = made
        return made

    def _tests(self, rows: ibis.Table, physical: str) -> Iterator[ibis.Value]:
        for column in self._columns(physical):
            if column in rows.columns and (found := typed(self._value, rows[column].type().to_pyarrow())) is not None:
                yield rows[column].identical_to(ibis.literal(found.as_py(), type=rows[column].type()))
            if RAW in rows.columns:
                yield rows[RAW].re_search(in_raw(column, self._value)).fill_null(False)

    def _commit(self, snapshot: Snapshot, files: Sequence[DataFile], types: Mapping[str, str]) -> Snapshot:
        """Commit all files anew: an overwrite would keep the extremes of the deleted ones in its manifests."""
        target = self._lake.target(snapshot.table, types, snapshot.partition)
        counting = Counting(self._branch.reading("erasure"), target, files)
        made = self._lake.commit(
            snapshot.table,
            target,
            files,
            base=snapshot,
            run=snapshot.run,
            change=ReplaceAll(),
            properties=snapshot.properties,
        )
        self._state.save(counting.of(made))
        return made

    def _keep_datasets(self, versions: Sequence[ModelVersion], touched: set[Place]) -> None:
        """Keep the other rows of the datasets of these versions: monitors compare with them."""
        every = {_place(s): s for release in self._releases for s in release.tables.values()}
        for version in versions:
            for place in touched:
                snapshot = every[place]
                if snapshot.table.startswith(DATASET) and version.snapshots.get(snapshot.table) == snapshot.id:
                    made = self._clean(snapshot)
                    self._lake.pin(made, version.id)
                    self._state.save(Replaced(str(snapshot.id), snapshot.table, made))

    def _forget_samples(self, touched: set[Place]) -> None:
        """Take the value out of what was counted of erased snapshots, and out of what failed checks have shown."""
        for physical, id in touched:
            if known := self._state.get(Statistics, f"{physical}@{id}"):
                self._state.save(replace(known, columns={}))
        columns = {self._column, *(column for _, column in self._also)}
        for run in self._state.find(RunRecord):
            steps = tuple(_unseen(step, columns, self._value) for step in run.steps)
            if steps != run.steps:
                self._state.save(replace(run, steps=steps))

    def _forget_overrides(self) -> None:
        """End the overrides that name the value, and take it out of them."""
        columns = {self._column, *(column for _, column in self._also)}
        for each in self._state.find(Override):
            if any(each.where.get(column) == self._value for column in columns):
                where = {name: "(erased)" if name in columns else text for name, text in each.where.items()}
                ended_at, by = (each.ended_at, each.ended_by) if each.ended_at else (now(), "mainstem erase")
                self._state.save(replace(each, where=where, why="(erased)", ended_at=ended_at, ended_by=by))

    def _trim_logs(self) -> int:
        """Delete entries of the branch's logs that are in the lake, and last rows that have the value."""
        adapters, graph = self._branch.adapters, self._branch.graph
        if not adapters.has_store:
            return 0
        store, tables, erased = adapters.store, self._branch.release.tables, 0
        logs = {name: events_of(name) for name in graph.of(Stream)}
        logs |= {f"predictions.{name}": predictions_of(name) for name in graph.of(Endpoint)}
        logs |= {outcomes_table(name): outcomes_of(name) for name in graph.of(Endpoint)}
        logs |= {shadows_table(name): shadows_of(name) for name in graph.of(Endpoint)}
        for relation, log in logs.items():
            if relation in tables:
                store.trim(log, int(tables[relation].cursor or 0))
        for name in graph.of(Stream):
            letters = tables.get(f"unreadable.{name}")
            store.trim(letters_of(name), int((letters.cursor if letters else None) or 0))
            columns = [self._column, *(column for node, column in self._also if node == name)]
            erased += sum(erase_standing(store, name, column, self._value) for column in columns)
        return erased


def stale_views(branch: Branch, before: Release) -> tuple[str, ...]:
    """Return the online views over relations that have other snapshots now than in an earlier release."""
    graph, tables = branch.graph, branch.release.tables
    changed = {name for name, snapshot in tables.items() if before.tables.get(name) != snapshot and name in graph}
    below = {user for name in changed for user in graph.dag.downstream(name)}
    return tuple(sorted(below & graph.of(FeatureView).keys() & branch.release.online.keys()))


def _also(text: str) -> tuple[str, str]:
    node, dot, column = text.rpartition(".")
    if not dot or not node or not column:
        raise RequestError("no column of a relation", got=text, expected="NODE.COLUMN, such as orders.buyer_id")
    return node, column


def _unseen(step: StepRecord, columns: set[str], value: str) -> StepRecord:
    def shown(result: CheckResult) -> CheckResult:
        rows = tuple(row for row in result.sample if not any(str(row.get(column)) == value for column in columns))
        return replace(result, sample=rows)

    error = step.error
    for column in columns:  # as sinks tell the keys that they refuse
        pattern = rf"\b{re.escape(column)}=(['\"]?){re.escape(value)}\1(?=[,;\s]|$)"
        error = re.sub(pattern, f"{column}=(erased)", error) if error else error
    return replace(step, checks=tuple(map(shown, step.checks)), error=error)


def _place(snapshot: Snapshot) -> Place:
    return snapshot.physical, snapshot.id
