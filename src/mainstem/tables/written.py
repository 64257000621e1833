"""Write the rows of a table: those of its expression, or those that its cleaning leaves and sets aside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import ibis

from mainstem.checks.audit import aside_of, scan_of
from mainstem.errors import CheckFailed
from mainstem.graph.named import named
from mainstem.nodes.definition import Definition
from mainstem.nodes.hidden import CHECK
from mainstem.nodes.records import CheckResult, now
from mainstem.nodes.verbs import Verb
from mainstem.nodes.verbs.fitted import Statistics
from mainstem.planning.execution import Context
from mainstem.ports import DataFile, Scan, Session, Snapshot, Target
from mainstem.statistics.sampling import draw
from mainstem.tables.cleaning import Flag, Segment, cleaned, set_aside
from mainstem.tables.failing import write
from mainstem.tables.fitting import Fitted, fit, keep, kept
from mainstem.tables.frames import computed

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN = 5
"""Invalid values that a result shows."""

_SEVERITY = {"null": "warn", "quarantine": "quarantine", "fail": "error"}


@dataclass(frozen=True)
class Written:
    """New files: rows to check and publish, and rows that verbs set aside; what the verbs found, and new statistics.

    `drawn` is a sample of the rows to check, if one was drawn.
    """

    valid: tuple[DataFile, ...]
    aside: tuple[DataFile, ...] = ()
    results: tuple[CheckResult, ...] = ()
    statistics: Mapping[str, Snapshot] = field(default_factory=dict)
    drawn: pa.Table | None = None


def written(
    context: Context,
    name: str,
    raw: ibis.Table,
    relations: Mapping[str, Scan],
    target: Target,
    *,
    only: Callable[[ibis.Table], ibis.Table] = lambda rows: rows,
    order: str | None = None,
) -> Written:
    """Write rows of a table, after its cleaning if it has one. `relations` are what `raw` reads, and `only` are the
    rows of it that are wanted. They are written in the `order` of a column.

    Raises `CheckFailed` if a verb with `invalid="fail"` finds an invalid value.
    """
    definition = context.graph[name]
    many = definition.raw is not None
    with (
        context.engine.session(relations) as inputs,
        computed(context.engine, inputs, raw, relations, many_reads=many) as (session, raw),
    ):
        raw = only(raw)
        if not many:
            files = write(session, raw.order_by(order) if order else _sorted(raw, definition.node), target)
            return Written(files, drawn=draw(session, target, files))
        node: Any = definition.node
        verbs = [verb.ready() for verb in definition.clean]
        fitting = _Fitting(context, definition, session)
        done = cleaned(raw, verbs, definition.where, time=node.row_time, fitter=fitting)
        rows = set_aside(done.segments, definition.set_aside, context.run, now())
        place = None if rows is None else aside_of(context, name)
        aside = () if rows is None or place is None else write(session, rows, place)
        found = _nulled(session, done.segments)
        if place is not None and aside:
            found |= _refused(context, aside, place, done.segments)
        _refuse(name, session, done.segments, found, definition.where)
        valid = write(session, done.rows.order_by(order) if order else _sorted(done.rows, node), target)
        drawn = draw(session, target, valid)
        _check_sum(name, session, done.segments, verbs, (*valid, *aside), definition.where)
    total = sum(file.rows for file in (*valid, *aside))
    return Written(valid, aside, _results(done.segments, found, total), fitting.keep(), drawn)


def _sorted(rows: ibis.Table, node: Any) -> ibis.Table:
    sort = [column for column in node.sort if column in rows.columns]
    return rows.order_by(sort) if sort else rows


def together(parts: Sequence[Written]) -> Written:
    """Return the files of several parts, and what the verbs found in all of them."""
    if len(parts) == 1:
        return parts[0]
    found = [
        replace(
            results[0],
            violations=sum(result.violations for result in results),
            rows=sum(result.rows for result in results),
            sample=tuple(row for result in results for row in result.sample)[:SHOWN],
        )
        for results in zip(*(part.results for part in parts), strict=True)
    ]
    statistics = {name: snapshot for part in parts for name, snapshot in part.statistics.items()}
    valid, aside = ([file for part in parts for file in getattr(part, name)] for name in ("valid", "aside"))
    return Written(tuple(valid), tuple(aside), tuple(found), statistics)


class _Fitting:
    """The statistics of one build: those of the release, and what must be fitted."""

    def __init__(self, context: Context, definition: Definition, session: Session) -> None:
        self.context, self.definition, self.session = context, definition, session
        self.fits = {fit.position: fit for fit in definition.fits}
        self.before = kept(context, definition.name) if self.fits else {}
        self.used: dict[str, Fitted] = {}

    def __call__(self, position: int, rows: ibis.Table) -> Statistics:
        spec, node = self.fits[position], self.definition.node
        verb: Any = self.definition.clean[position]
        time: str | None = getattr(node, "row_time", None)
        found = self.before.get(spec.definition)
        if found is None:
            found = fit(self.session, rows, verb, spec, time, self.definition.where)
        self.used[spec.definition] = found
        return found.statistics

    def keep(self) -> Mapping[str, Snapshot]:
        """Commit the statistics if some are new."""
        if self.used.keys() == self.before.keys():
            return {}
        return keep(self.context, self.definition.name, self.used)


Sample = tuple[Mapping[str, Any], ...]


class Found(NamedTuple):
    """The number of invalid values that a flag found, and the most frequent ones, each with the number of its rows."""

    number: int
    sample: Sample


def _nulled(session: Session, segments: Sequence[Segment]) -> dict[str, Found]:
    """Return what became null, by the column of the flag."""
    found = {}
    for segment in segments:
        rows = segment.rows
        flags = {flag.column: flag for flag in segment.flags if flag not in segment.refused}
        if flags:
            sums = {column: rows[column].sum().fill_null(0) for column in flags}
            (counts,) = session.fetch(rows.aggregate(named(sums))).to_pylist()
            for column, flag in flags.items():
                own = rows.filter(rows[column]).select(value=segment.original(flag.verb.columns[0]))
                found[column] = Found(counts[column], _frequent(session, own, flag) if counts[column] else ())
    return found


def _refused(
    context: Context, files: Sequence[DataFile], target: Target, segments: Sequence[Segment]
) -> dict[str, Found]:
    """Return what was set aside, by the column of the flag. It is read from the new files, because the rows are few."""
    found = {}
    with context.engine.session({"aside": scan_of(files, target)}) as session:
        rows = ibis.table({field.name: field.type for field in target.fields}, name="aside")
        for flag in (flag for segment in segments for flag in segment.refused):
            own = rows.filter(rows[CHECK].split("; ").contains(flag.verb.label))
            count = session.fetch(own.aggregate(n=own.count()))["n"][0].as_py()
            values = own.select(value=own[flag.verb.columns[0]])
            found[flag.column] = Found(count, _frequent(session, values, flag) if count else ())
    return found


def _frequent(session: Session, values: ibis.Table, flag: Flag) -> Sample:
    grouped = values.group_by("value").aggregate(rows=values.count())
    shown = grouped.order_by(grouped["rows"].desc(), grouped["value"]).limit(SHOWN)
    column = flag.verb.columns[0]
    return tuple({column: row["value"], "rows": row["rows"]} for row in session.fetch(shown).to_pylist())


def _results(segments: Sequence[Segment], found: Mapping[str, Found], rows: int) -> tuple[CheckResult, ...]:
    none = Found(0, ())
    return tuple(
        CheckResult(
            flag.verb.label, _SEVERITY[str(flag.verb.on_invalid)], *_numbers(found.get(flag.column, none), rows)
        )
        for segment in segments
        for flag in segment.flags
    )


def _numbers(found: Found, rows: int) -> tuple[int, int, Sample]:
    return found.number, rows, found.sample


def _refuse(name: str, session: Session, segments: Sequence[Segment], found: Mapping[str, Found], where: str) -> None:
    """Raise `CheckFailed` if a verb with `invalid="fail"` found an invalid value."""
    flags = [(segment, flag) for segment in segments for flag in segment.flags if flag.verb.on_invalid == "fail"]
    failed = [
        (segment, flag, found[flag.column]) for segment, flag in flags if found.get(flag.column, Found(0, ())).number
    ]
    if not failed:
        return
    segment, first, told = failed[0]
    rows = session.fetch(segment.rows.aggregate(n=segment.rows.count()))["n"][0].as_py()
    also = f" (and {', '.join(flag.verb.label for _, flag, _ in failed[1:])})" if failed[1:] else ""
    raise CheckFailed(
        f"{name}: {first.verb.label} finds {told.number:,} invalid of {rows:,} values{also}",
        where=where,
        got="; ".join(_shown(row) for row in told.sample),
        expected=first.verb.label,
        hint='correct the data, or say invalid="quarantine" or invalid="null"',
    )


def _shown(row: Mapping[str, Any]) -> str:
    *values, (_, rows) = row.items()
    return f"{values[0][0]}={values[0][1]!r} ({rows:,} row{'s' if rows != 1 else ''})"


def _check_sum(
    name: str,
    session: Session,
    segments: Sequence[Segment],
    verbs: Sequence[Verb],
    files: Sequence[DataFile],
    where: str,
) -> None:
    """Refuse to publish rows that change from one evaluation to the next: some of them could be lost.

    Rows are counted only where no verb compares them, which costs next to nothing.
    """
    if not any(segment.refused for segment in segments) or not all(verb.rowwise for verb in verbs):
        return
    counted = session.fetch(segments[-1].rows.aggregate(n=segments[-1].rows.count()))["n"][0].as_py()
    written = sum(file.rows for file in files)
    if counted != written:
        raise CheckFailed(
            f"{name}: the table has other rows each time it is computed",
            where=where,
            got=f"{counted:,} rows, then {written:,}",
            expected="the same rows",
            hint="leave out random and current values",
        )
