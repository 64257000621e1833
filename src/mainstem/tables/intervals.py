"""The intervals of an incremental table that a run builds, and the stored rows of other intervals beside them.

An interval is due if an input row of it changed since the table was made (as far as lineage leads from the table's
column to the input), or if it begins within `lookback` before the newest one. Each snapshot keeps which inputs it was
made of, so that no interval is forgotten, however many runs failed or were rolled back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import ibis
import msgspec

from mainstem.checks.audit import QUARANTINE, aside_of, keep_aside
from mainstem.checks.violations import Subject
from mainstem.errors import SnapshotGone
from mainstem.graph.moments import AT, ROW, moments
from mainstem.nodes.spans import Span, interval_of, joined, moment_of, of_intervals, second_of, seconds, told
from mainstem.planning.execution import Context
from mainstem.ports import DataFile, Scan, Session, Snapshot, Target
from mainstem.tables.new_part import MadeOf, files_between, made_before
from mainstem.tables.sql_moments import of_sql

if TYPE_CHECKING:
    from datetime import date, datetime

LEDGER = "mainstem.intervals"
"""The snapshot property with the newest interval, and what older intervals were made of, as JSON."""

FILE_BYTES = 8 * 2**20
"""The size of the files of an incremental table. A file with a row of a replaced interval is written again."""


class Ledger(msgspec.Struct, frozen=True):
    """What a snapshot keeps of its intervals.

    `newest` is the start of the newest one, `rebuilt` are the spans that its run built (None: all). `behind` maps an
    input to the start of the first interval that certainly has its present rows: earlier ones may have been made of
    earlier rows.
    """

    interval: str
    newest: int | None
    rebuilt: list[tuple[int, int]] | None = None
    behind: dict[str, int] = {}


class Due(NamedTuple):
    """The spans to build, whether rows without an instant are to be looked for, and the ledger's `behind`."""

    spans: list[Span]
    nulls: bool
    behind: dict[str, int]


class Rest(NamedTuple):
    """Files of the base: those that stay, those that are replaced, and their rows of other intervals, written again."""

    stay: tuple[str, ...]
    gone: tuple[str, ...]
    kept: tuple[DataFile, ...]


def due(context: Context, subject: Subject, target: Target, rows: ibis.Table, also: Span | None = None) -> Due | None:
    """Return what is due of an incremental table, with the span `also`. None if all of it must be built."""
    name = subject.table.get_name()
    before = made_before(context, subject, target, rows)
    if before is None:
        return None
    node: Any = context.graph[name].node
    base, length = context.release.tables[name], seconds(node.interval)
    newest = _newest(context, base, node.incremental, length)
    spans: list[Span] = []
    behind = dict(ledger_of(base).behind)
    nulls = False
    for each in before.inputs:
        found = _changed(context, each, before, rows, node.incremental, length)
        if isinstance(found, _Unknown):
            if not found.readable or newest is None:
                return None
            behind[each] = newest - _lookback(node)
            spans.append(Span(behind[each]))
            nulls = True
        else:
            starts, without = found
            spans += of_intervals(starts, length)
            nulls |= without
    if (spans or nulls) and newest is not None:
        spans += [Span(newest - _lookback(node))] if node.lookback or not spans else []
    if also is not None:
        spans.append(also)
        earliest = _earliest(context, base, node.incremental, length)
        still = {name: _behind(start, also, earliest) for name, start in behind.items()}
        behind = {name: start for name, start in still.items() if start is not None}
    return Due(joined(spans), nulls or also is not None, behind)


def _behind(start: int, built: Span, earliest: int | None) -> int | None:
    """Return before which interval rows may still be older once a span is built; None if no such interval is left."""
    if not built.start < start <= built.end:
        return start
    return None if earliest is not None and built.start <= earliest else built.start


def ledger_of(snapshot: Snapshot) -> Ledger:
    """Return the ledger of a snapshot. It is empty for one that was built before the table was incremental."""
    kept = snapshot.properties.get(LEDGER)
    return msgspec.json.decode(kept, type=Ledger) if kept else Ledger("", None)


def ledger(node: Any, files: Iterable[str], found: Due | None = None, before: Ledger | None = None) -> dict[str, str]:
    """Return the ledger as a property. `files` may have the newest rows. Without `found` all intervals were built, or
    rows were added to those `before`."""
    length = seconds(node.interval)
    highest = [high for _, high in _extents(files, node.incremental).values() if high is not None]
    known = [interval_of(high, length) for high in highest]
    known += [before.newest] if before is not None and before.newest is not None else []
    newest = max(known, default=None)
    behind = found.behind if found is not None else before.behind if before is not None else {}
    spans = None if found is None else [(s.start, _end(s, newest, length)) for s in found.spans]
    return {LEDGER: msgspec.json.encode(Ledger(node.interval, newest, spans, behind)).decode()}


def described(kept: str, length: int) -> str:
    """Return which intervals a snapshot rebuilt, as text."""
    found = msgspec.json.decode(kept, type=Ledger)
    spans = [Span(*span) for span in found.rebuilt or []]
    text = told(spans, length, found.interval)
    if not found.behind:
        return text
    names = ", ".join(f"{name} (before {moment_of(start):%Y-%m-%d})" for name, start in sorted(found.behind.items()))
    return f"{text}; earlier intervals may have older rows of {names}"


def _end(span: Span, newest: int | None, length: int) -> int:
    """Return the end of a span, at most that of the newest interval."""
    return span.end if newest is None else max(span.start + length, min(span.end, newest + length))


def within(rows: ibis.Table, column: str, spans: Sequence[Span], *, nulls: bool = False) -> Any:
    """Return whether the instant of a row is in one of the spans; with `nulls` also whether it has none."""
    value: Any = rows[column]
    # The whole range comes first, because engines skip files by it.
    inside = _between(value, Span(spans[0].start, spans[-1].end))
    if len(spans) > 1:
        inside &= ibis.or_(*(_between(value, span) for span in spans))
    return inside | value.isnull() if nulls else inside


def rest(context: Context, base: Snapshot, target: Target, column: str, spans: Sequence[Span]) -> Rest:
    """Write the rows of other intervals again that share files with rows of the spans."""
    files = context.scan(base).files
    touched: list[str] = []
    whole: list[str] = []
    for path, (low, high) in _extents(files, column).items():
        if low is None or high is None:
            touched.append(path)
        elif any(second_of(low) < span.end and second_of(high) >= span.start for span in spans):
            inside = any(span.start <= second_of(low) and second_of(high) < span.end for span in spans)
            (whole if inside else touched).append(path)
    kept: tuple[DataFile, ...] = ()
    if touched:
        types = {field.name: field.type for field in target.fields}
        with context.engine.session({"stored": Scan(tuple(touched), target.fields, 0)}) as session:
            rows = ibis.table(types, name="stored")
            kept = session.write(rows.filter(~within(rows, column, spans).fill_null(False)).order_by(column), target)
    gone = (*touched, *whole)
    return Rest(tuple(path for path in files if path not in set(gone)), gone, kept)


def keep_others_aside(
    context: Context, name: str, column: str, found: Due, files: Sequence[DataFile]
) -> dict[str, Snapshot]:
    """Commit the rows that are due and were set aside, beside those of other intervals."""
    held = context.release.tables.get(QUARANTINE + name)
    target = aside_of(context, name)
    if held is None or held.fields != target.fields or not held.rows:
        return keep_aside(context, name, files)
    with context.engine.session({"aside": context.scan(held)}) as session:
        rows = ibis.table({field.name: field.type for field in target.fields}, name="aside")
        inside = within(rows, column, found.spans, nulls=found.nulls)
        if not session.fetch(rows.filter(inside).limit(1)).num_rows:
            return keep_aside(context, name, files, replaced=frozenset())
        kept = session.write(rows.filter(~inside.fill_null(False)), target)
    return keep_aside(context, name, (*kept, *files))


def _between(value: Any, span: Span) -> Any:
    lower = value >= _literal(value, span.start)
    return lower if span.end >= Span(0).end else lower & (value < _literal(value, span.end))


def _literal(value: Any, second: int) -> Any:
    kind, moment = value.type(), moment_of(second)
    if kind.is_date():
        return ibis.literal(moment.date(), type=kind)
    return ibis.literal(moment if kind.timezone else moment.replace(tzinfo=None), type=kind)


def _lookback(node: Any) -> int:
    """Return the seconds before the newest interval, in whole intervals."""
    length = seconds(node.interval)
    return -(-seconds(node.lookback or "0s") // length) * length


def _newest(context: Context, base: Snapshot, column: str, length: int) -> int | None:
    found = [high for _, high in _extents(context.scan(base).files, column).values() if high is not None]
    return max((interval_of(high, length) for high in found), default=None)


def _earliest(context: Context, base: Snapshot, column: str, length: int) -> int | None:
    """Return the first interval of a snapshot; None if a file does not tell its earliest instant."""
    found = [low for low, _ in _extents(context.scan(base).files, column).values()]
    return None if None in found else min((interval_of(low, length) for low in found), default=None)


def _extents(files: Iterable[str], column: str) -> dict[str, tuple[Any, Any]]:
    """Return the earliest and the latest instant of each Parquet file, from its footer."""
    import pyarrow.parquet as pq

    found: dict[str, tuple[date | datetime | None, date | datetime | None]] = {}
    for path in files:
        data = pq.read_metadata(path)
        place = data.schema.names.index(column)
        parts = [data.row_group(group).column(place).statistics for group in range(data.num_row_groups)]
        if parts and all(part is not None and part.has_min_max for part in parts):
            found[path] = min(part.min for part in parts), max(part.max for part in parts)
        else:
            found[path] = None, None
    return found


# ── what changed at an input ──────────────────────────────────────────────────────────────────────────


class _Unknown(NamedTuple):
    """Rows of an input changed, and lineage does not lead to their instants. If it is not `readable`, the earlier rows
    are gone."""

    readable: bool


def _changed(
    context: Context, name: str, before: MadeOf, rows: ibis.Table, column: str, length: int
) -> tuple[set[int], bool] | _Unknown:
    """Return the starts of the intervals in which rows of an input changed, and whether one has no instant."""
    now, was = context.snapshot(name), before.inputs[name]
    if now.id == was.id:
        return set(), False
    try:
        new, gone = files_between(context, now, was)
    except SnapshotGone:
        return _Unknown(readable=False)
    local = moments(rows, name, column, _hashed if gone else lambda _: ibis.literal(0), of_sql)
    if local is None:
        return _Unknown(readable=True)
    starts: set[int | None] = set()
    for each in local:
        counted = []
        for files in (new, gone):
            with context.engine.session({name: Scan(files, now.fields, 0)}) as session:
                counted.append(_counted(session, each, length) if files else {})
        starts |= {
            start for start in counted[0].keys() | counted[1].keys() if counted[0].get(start) != counted[1].get(start)
        }
    return {start for start in starts if start is not None}, None in starts


def _counted(session: Session, rows: ibis.Table, length: int) -> dict[int | None, tuple[Any, ...]]:
    """Return the number of rows of each interval, and sums that differ if the rows do."""
    at: Any = rows[AT]
    second = (at.cast("timestamp") if at.type().is_date() else at.truncate("s")).epoch_seconds().cast("int64")
    start = second - (second % length + length) % length
    low, high = (rows[ROW] % (1 << 31)).cast("int64"), (rows[ROW] % ((1 << 31) - 1)).cast("int64")
    marked = rows.select(start=start, low=low, high=high)
    sums = marked.group_by("start").aggregate(n=marked.count(), low=marked["low"].sum(), high=marked["high"].sum())
    return {row["start"]: (row["n"], row["low"], row["high"]) for row in session.fetch(sums).to_pylist()}


def _hashed(rows: ibis.Table) -> Any:
    """Return a hash of a stored row without the hidden order of arrival, which a reload of the source changes."""
    from mainstem.nodes.hidden import SEQ

    return ibis.struct({name: rows[name] for name in rows.columns if name != SEQ}).hash()
