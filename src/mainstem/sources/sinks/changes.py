"""Which rows of a snapshot a target lacks, given the snapshot that it has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mainstem.errors import SinkError, SnapshotGone
from mainstem.graph.fingerprint import digest
from mainstem.graph.named import named
from mainstem.nodes.deliveries import Delivery, Held
from mainstem.nodes.hidden import SEQ, visible
from mainstem.nodes.sinks import Sink, relation_of, relations_of
from mainstem.planning.execution import Context
from mainstem.ports import Scan, Session, Snapshot
from mainstem.sources.sinks.load import Load, Part

if TYPE_CHECKING:
    import ibis

PREDICTED = ("_id", "_version")
"""The key of predictions."""

NOW, NEW, OLD = "mainstem_now", "mainstem_new", "mainstem_old"
"""All rows of a snapshot, and those of the files that two snapshots do not share."""

SHOWN = 5
"""How many keys an error shows."""


@dataclass(frozen=True)
class Rows:
    """The rows that a sink delivers: their columns and types, their key, and by relation the `snapshots` that they are
    read from. `plain` says that they are the stored rows of one relation, so that data files tell what changed."""

    relation: str
    snapshots: Mapping[str, Snapshot]
    schema: Mapping[str, str]
    key: tuple[str, ...]
    plain: bool

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot of the relation itself."""
        return self.snapshots[self.relation]


def rows_of(context: Context, sink: str) -> Rows:
    """Return what a sink delivers. Raises `StorageError` if the relation has no data yet."""
    definition, relation = context.graph[sink], relation_of(context.graph, sink)
    node: Sink = definition.node  # type: ignore[assignment]
    of = context.graph[definition.inputs[0]]
    snapshots = {name: context.snapshot(name) for name in sorted(relations_of(context.graph, sink))}
    if relation != of.name:
        types = {field.name: field.type for field in snapshots[relation].fields if field.name != SEQ}
        key, plain = node.key or PREDICTED, True
    else:
        types = visible(of.schema or {})
        key = node.key or getattr(of.node, "key", ())
        plain = not of.rules and of.versions is None and snapshots.keys() == {relation}
    chosen = {name: types[name] for name in node.columns or types}
    return Rows(relation, snapshots, {name: _plain_type(type) for name, type in chosen.items()}, key, plain)


def _plain_type(type: str) -> str:
    """Return a type that every target has; JSON and UUID are texts."""
    return "string" if type in ("json", "uuid") else type


@contextmanager
def load_of(
    context: Context, sink: str, rows: Rows, last: Delivery, has: str | None, wanted: Held, *, keyed: bool
) -> Iterator[Load]:
    """Provide the rows to deliver to a target that has the mark `has`, and one of what the record `last` says. Raises
    `SinkError` if a key is null or comes twice among all rows, and the target is `keyed`."""
    now = context.scan(rows.snapshot)
    before = _before(context, rows, last, has, wanted)
    relations = {name: context.scan(snapshot) for name, snapshot in rows.snapshots.items()}
    if rows.plain:
        relations = {NOW: now}
    if before is not None:
        shared = set(now.files) & set(before.files)
        relations |= {NEW: _without(now, shared), OLD: _without(before, shared)}
    with context.engine.session(relations) as session:
        every = _shaped(_every(context, rows, now), rows.schema)
        if keyed:
            _check_key(session, every, rows.key, context.graph[sink].where)
        changed = every
        if before is not None:
            new, old = (_shaped(_table(*each), rows.schema) for each in ((NEW, now), (OLD, before)))
            changed = new.difference(old)
            gone = old.select(*rows.key).difference(new.select(*rows.key)) if keyed else new.limit(0)
        else:
            gone = _left(context, session, rows, last.held, every) if keyed else every.limit(0)
        yield Load(
            has,
            wanted.mark,
            rows.snapshot.id,
            rows.schema,
            rows.key,
            before is None,
            lambda: session.batches(changed),
            lambda: session.batches(gone),
            _parts(session, rows, now, every, wanted.mark),
        )


def _before(context: Context, rows: Rows, last: Delivery, has: str | None, wanted: Held) -> Scan | None:
    """Return the files of what a target has; None if all rows have to be sent: that is not known, was not made by this
    definition, is not in the lake, or cannot be told from data files."""
    base = last.sent
    if base is None or last.begun or not rows.plain:
        return None
    known = base.fingerprint == wanted.fingerprint and has in (None, base.mark) and base.ids.keys() == {rows.relation}
    return _scan(context, base.snapshots[rows.relation]) if known else None


def _left(context: Context, session: Session, rows: Rows, held: Sequence[Held], every: ibis.Table) -> ibis.Table:
    """Return the keys of all that a target may have, which are not among the rows now."""
    former, types = list[Any](), {name: rows.schema[name] for name in rows.key}
    for each in held:
        for snapshot in each.snapshots.values():
            scan = _scan(context, snapshot)
            if scan is not None and set(rows.key) <= {field.name for field in scan.fields}:
                name = f"mainstem_held{len(former)}"
                session.add(name, scan)
                former.append(_shaped(_table(name, scan), types))
    if not former:
        return every.select(*rows.key).limit(0)
    return reduce(lambda one, other: one.union(other), former).difference(every.select(*rows.key))


def _every(context: Context, rows: Rows, now: Scan) -> ibis.Table:
    """Return the rows as other nodes read them."""
    if rows.plain:
        return _table(NOW, now)
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
    return table.select(*named(columns))


def _check_key(session: Session, rows: ibis.Table, key: tuple[str, ...], where: str) -> None:
    import ibis

    missing = ibis.or_(*(rows[name].isnull() for name in key))
    counted = rows.group_by(*key).agg(mainstem_rows=rows.count(), mainstem_missing=missing.any())
    wrong = counted.filter((counted.mainstem_rows > 1) | counted.mainstem_missing)
    found = session.fetch(wrong.order_by([ibis.desc("mainstem_missing"), *key]).limit(SHOWN + 1)).to_pylist()
    if not found:
        return
    alike = [row for row in found if row["mainstem_missing"] == found[0]["mainstem_missing"]]
    told = [", ".join(f"{name}={row[name]!r}" for name in key) for row in alike]
    raise SinkError(
        "rows to deliver have no key" if found[0]["mainstem_missing"] else "a key comes twice in the rows to deliver",
        where=where,
        got="; ".join([*told[:SHOWN], "…"] if len(told) > SHOWN else told),
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
            name = f"mainstem_part{number}"
            session.add(name, replace(now, files=(file,)))
            return session.batches(_shaped(_table(name, now), rows.schema))

        return Part(digest(Path(file).name, columns), read)

    return [part(number, file) for number, file in enumerate(now.files)]
