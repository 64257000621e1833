"""Apply the verbs of `clean=` to the rows of a table, and separate the rows that a verb cannot convert."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

import ibis

from mainstem.errors import DefinitionError, SchemaError
from mainstem.graph.named import named
from mainstem.graph.traces import Traces
from mainstem.nodes.hidden import CHECK, QUARANTINE, RUN, SET_ASIDE_AT, visible_names
from mainstem.nodes.instants import INSTANT
from mainstem.nodes.verbs import Verb
from mainstem.nodes.verbs.fitted import FittedVerb, Statistics, dropped

if TYPE_CHECKING:
    from datetime import datetime

_ORIGINAL, _FLAG = "_original_", "_invalid_"


@dataclass(frozen=True)
class Flag:
    """A column that is true where a verb found an invalid value."""

    verb: Verb
    column: str


@dataclass(frozen=True)
class Segment:
    """Rows after some verbs, with their `flags` and the original values of changed columns. Those of a column that a
    verb hides, in `private`, are shown hidden.

    The next verb reads other rows, so invalid rows leave before it.
    """

    rows: ibis.Table
    flags: tuple[Flag, ...]
    private: Mapping[str, Verb] = field(default_factory=dict)

    @property
    def refused(self) -> list[Flag]:
        """The flags of rows that are not published."""
        return [flag for flag in self.flags if flag.verb.on_invalid != "null"]

    @property
    def valid(self) -> ibis.Table:
        """The rows without a refused value, and without the flags."""
        rows = self.rows
        if self.refused:
            rows = rows.filter(~reduce(or_, (rows[flag.column] for flag in self.refused)))
        return rows.drop(*(flag.column for flag in self.flags)) if self.flags else rows

    def original(self, column: str) -> Any:
        """Return a column of the table before the first verb."""
        value = self.rows[_ORIGINAL + column] if _ORIGINAL + column in self.rows.columns else self.rows[column]
        verb: Any = self.private.get(column)
        return value if verb is None else verb.value(value)


@dataclass(frozen=True)
class Cleaned:
    """The valid `rows` of a cleaned table, and the segments with flags."""

    rows: ibis.Table
    segments: tuple[Segment, ...]


Fitter = Callable[[int, ibis.Table], Statistics]
"""Returns the statistics of the verb at a position, given the rows before it."""


def cleaned(
    raw: ibis.Table,
    verbs: Sequence[Verb],
    place: str | None = None,
    *,
    time: str | None = None,
    fitter: Fitter | None = None,
) -> Cleaned:
    """Return `raw` after all verbs in order. `time` is the table's; without a `fitter` only the types are right.

    Raises `UnknownName` for a column that a verb does not find, `SchemaError` for a type that it does not accept, and
    `DefinitionError` for a window of a fit that does not fit the table.
    """
    rows = _keeping(raw, verbs)
    flags: list[Flag] = []
    segments: list[Segment] = []
    private = {verb.columns[0]: verb for verb in verbs if verb.private}
    for number, verb in enumerate(verbs):
        verb.check(rows.select(visible_names(rows.columns)), place)
        if not verb.rowwise and flags:
            segments.append(Segment(rows, tuple(flags), private))
            rows, flags = segments[-1].valid, []
        if isinstance(verb, FittedVerb):
            _check_window(verb, rows, time, place)
            rows = verb.joined(rows, None if fitter is None else fitter(number, rows))
        rows, added = _applied(rows, verb, f"{_FLAG}{number}")
        rows = dropped(rows)
        flags += added
    last = Segment(rows, tuple(flags), private)
    segments += [last] if flags else []
    valid = last.valid
    return Cleaned(valid.select(visible_names(valid.columns)), tuple(segments))


def _check_window(verb: FittedVerb, rows: ibis.Table, time: str | None, place: str | None) -> None:
    """Require a window of the fit exactly if the table has a time."""
    got = verb.describe()
    if time is None and verb.window is not None:
        raise DefinitionError(
            f"{verb.label} has a window, and the table has no time",
            where=place,
            got=got,
            expected='@ms.table(time="…", clean=[…])',
        )
    if time is not None and verb.window is None:
        raise DefinitionError(
            f"{verb.label} requires the window that it is fitted on",
            where=place,
            got=got,
            expected='fit=("2024-01-01", "2024-07-01"), a range of the table\'s time',
            hint="a statistic of all rows would tell earlier rows about later ones",
        )
    if time is not None and (time not in rows.columns or str(rows[time].type()) not in (INSTANT, "date")):
        kind = str(rows[time].type()) if time in rows.columns else "no such column"
        raise SchemaError(
            f"the time {time!r} is not an instant before {verb.label}", where=place, got=kind, expected=INSTANT
        )


def traced(traces: Traces, verbs: Sequence[Verb]) -> Traces:
    """Return where the columns come from after all verbs, and when they become known."""
    return reduce(lambda before, verb: verb.traced(before), verbs, traces)


def schema_aside(raw: Mapping[str, str], published: Mapping[str, str]) -> dict[str, str]:
    """Return the columns of the rows that are set aside: texts where a verb changes the type.

    Rows that a verb sets aside have their original values, rows that a check sets aside have the cleaned ones.
    """
    return {name: kind if raw.get(name, kind) == kind else "string" for name, kind in published.items()}


def set_aside(segments: Sequence[Segment], schema: Mapping[str, str], run: str, at: datetime) -> ibis.Table | None:
    """Return the rows that verbs set aside, with their original values and the names of the verbs."""
    parts = [_aside(segment, schema) for segment in segments if segment.refused]
    if not parts:
        return None
    rows = ibis.union(*parts) if len(parts) > 1 else parts[0]
    marked = rows.mutate(**{RUN: ibis.literal(run), SET_ASIDE_AT: ibis.literal(at, type=INSTANT)})
    return marked.select(*schema, *QUARANTINE)


def _aside(segment: Segment, schema: Mapping[str, str]) -> ibis.Table:
    refused = segment.refused
    rows = segment.rows
    labels = ibis.array([rows[flag.column].ifelse(flag.verb.label, ibis.null(str)) for flag in refused])
    known = {*segment.rows.columns}
    values = {
        name: segment.original(name).cast(kind) if name in known else ibis.null(kind) for name, kind in schema.items()
    }
    invalid = reduce(or_, (rows[flag.column] for flag in refused))
    told = {CHECK: labels.filter(lambda label: label.notnull()).join("; ")}
    return rows.filter(invalid).select(*named({**values, **told}))


def _keeping(raw: ibis.Table, verbs: Sequence[Verb]) -> ibis.Table:
    """Return the rows with a copy of every column that is needed to show what was invalid."""
    if not any(verb.on_invalid for verb in verbs):
        return raw
    changed = {column for verb in verbs for column in verb.changed if column in raw.columns}
    return raw.mutate(*named({_ORIGINAL + column: raw[column] for column in sorted(changed)})) if changed else raw


def _applied(rows: ibis.Table, verb: Verb, flag: str) -> tuple[ibis.Table, list[Flag]]:
    if verb.on_invalid is None and not verb.fitted:
        return verb.apply(rows), []
    # One projection computes values and flag, so that the engine reads a text once for both.
    results: dict[str, Any] = verb.results(rows)  # type: ignore[attr-defined]
    if verb.on_invalid is None:
        return rows.mutate(*named(results)), []
    invalid = rows[verb.columns[0]].notnull() & results[verb.changed[0]].isnull()
    return rows.mutate(*named(results), *named({flag: invalid})), [Flag(verb, flag)]
