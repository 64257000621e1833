"""Which rows of a snapshot a target lacks, given the snapshot that it has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstem.errors import SinkError, SnapshotGone
from mainstem.graph.fingerprint import digest
from mainstem.nodes.hidden import SEQ, visible
from mainstem.nodes.sinks import Sink, relation_of
from mainstem.planning.execution import Context
from mainstem.ports import Scan, Session, Snapshot
from mainstem.sources.sinks.load import Load, Part

if TYPE_CHECKING:
    import ibis

PREDICTED = ("_id", "_version")
"""The key of predictions."""


@dataclass(frozen=True)
class Rows:
    """The rows that a sink delivers: their columns and types, and their key. `plain` says that they are the stored rows
    of one relation, so that data files tell what changed."""

    relation: str
    snapshot: Snapshot
    schema: Mapping[str, str]
    key: tuple[str, ...]
    plain: bool


def rows_of(context: Context, sink: str) -> Rows:
    """Return what a sink delivers. Raises `StorageError` if the relation has no data yet."""
    definition, relation = context.graph[sink], relation_of(context.graph, sink)
    node: Sink = definition.node  # type: ignore[assignment]
    of, snapshot = context.graph[definition.inputs[0]], context.snapshot(relation)
    if relation != of.name:
        types = {field.name: field.type for field in snapshot.fields if field.name != SEQ}
        key, plain = node.key or PREDICTED, True
    else:
        types = visible(of.schema or {})
        key = node.key or getattr(of.node, "key", ())
        plain = not of.rules and of.versions is None and context.graph.stored(relation) == {relation}
    chosen = {name: types[name] for name in node.columns or types}
    return Rows(relation, snapshot, {name: _plain_type(type) for name, type in chosen.items()}, key, plain)


def _plain_type(type: str) -> str:
    """Return a type that every target has; JSON and UUID are texts."""
    return "string" if type in ("json", "uuid") else type


@contextmanager
def load_of(
    context: Context, sink: str, rows: Rows, base: Snapshot | None, mark: str, *, keyed: bool
) -> Iterator[Load]:
    """Provide the rows to deliver to a target that has the snapshot `base`. Raises `SinkError` for rows whose key is
    null or comes twice, if the target is `keyed`."""
    now = context.scan(rows.snapshot)
    before = None if base is None or not rows.plain else _scan(context, base)
    if before is not None:
        shared = set(now.files) & set(before.files)
        relations: dict[str, Any] = {"new": _without(now, shared), "old": _without(before, shared)}
    else:
        names = {rows.relation} if rows.plain else context.graph.stored(rows.relation)
        relations = {name: context.scan(context.snapshot(name)) for name in names}
        relations |= {"new": now} if rows.plain else {}
    with context.engine.session(relations) as session:
        new = _shaped(_new(context, rows, now), rows.schema)
        changed, gone = new, new.select(*rows.key).limit(0) if keyed else new.limit(0)
        if before is not None:
            old = _shaped(_table("old", before), rows.schema)
            changed = new.difference(old)
            gone = old.select(*rows.key).difference(new.select(*rows.key)) if keyed else gone
        if keyed:
            _check_key(session, changed, rows.key, context.graph[sink].where)
        yield Load(
            mark,
            rows.snapshot.id,
            rows.schema,
            rows.key,
            before is None,
            lambda: session.batches(changed),
            lambda: session.batches(gone),
            _parts(session, rows, now, new, mark),
        )


def _new(context: Context, rows: Rows, now: Scan) -> ibis.Table:
    """Return the rows as other nodes read them."""
    if rows.plain:
        return _table("new", now)
    read = context.graph[rows.relation].read
    assert read is not None
    return read


def _scan(context: Context, snapshot: Snapshot) -> Scan | None:
    """Return the files of an earlier snapshot; None if the lake no longer has it."""
    try:
        return context.lake.scan(snapshot)
    except SnapshotGone:
        return None


def _without(scan: Scan, files: set[str]) -> Scan:
    return replace(scan, files=tuple(file for file in scan.files if file not in files))


def _table(name: str, scan: Scan) -> ibis.Table:
    import ibis

    return ibis.table({field.name: field.type for field in scan.fields}, name=name)


def _shaped(table: ibis.Table, schema: Mapping[str, str]) -> ibis.Table:
    """Return a table in the columns of a sink; a column that it lacks is null."""
    import ibis

    columns = {
        name: table[name].cast(type) if name in table.columns else ibis.null(type) for name, type in schema.items()
    }
    return table.select(**columns)


def _check_key(session: Session, rows: ibis.Table, key: tuple[str, ...], where: str) -> None:
    import ibis

    missing = session.fetch(rows.filter(ibis.or_(*(rows[name].isnull() for name in key))).limit(1)).to_pylist()
    counted = rows.group_by(*key).agg(mainstem_rows=rows.count())
    repeated = session.fetch(counted.filter(counted.mainstem_rows > 1).limit(1)).to_pylist()
    if missing or repeated:
        found = (missing or repeated)[0]
        raise SinkError(
            "a row to deliver has no key" if missing else "a key comes twice in the rows to deliver",
            where=where,
            got=", ".join(f"{name}={found[name]!r}" for name in key),
            expected=f"{', '.join(key)} identifies a row",
            hint='a table with write="merge" keeps the last row of each key',
        )


def _parts(session: Session, rows: Rows, now: Scan, new: ibis.Table, mark: str) -> list[Part]:
    """Return all rows by data file; as one part if they are not the stored rows."""
    columns = digest(*(f"{name} {type}" for name, type in rows.schema.items()))
    if not rows.plain:
        return [Part(digest(mark, columns), lambda: session.batches(new))]

    def part(number: int, file: str) -> Part:
        def read() -> Any:
            name = f"part{number}"
            session.add(name, replace(now, files=(file,)))
            return session.batches(_shaped(_table(name, now), rows.schema))

        return Part(digest(Path(file).name, columns), read)

    return [part(number, file) for number, file in enumerate(now.files)]
