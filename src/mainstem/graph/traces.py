"""The effect of each query operation on the traces of its columns: one set of rules for Ibis and SQL.

A trace of a column holds the source columns it derives from and when it becomes known, in terms of the columns of its
relation. If an operation drops or aggregates the instant at which a value is known, the availability of the value is
unknown from there on. A value is never known earlier than its row. The presence of a row reveals the values that its
condition, join or grouping read, so all its columns are known no earlier than these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from mainstem.graph.known import ALWAYS, Known, Moment


@dataclass(frozen=True)
class Trace:
    """One column: the `source.column`s it derives from, and when it becomes known."""

    sources: frozenset[str]
    known: Known

    def latest(self, *others: Trace) -> Trace:
        """Return a trace that derives from this one and from `others`."""
        sources = self.sources.union(*(o.sources for o in others))
        return Trace(sources, self.known.latest(*(o.known for o in others)))

    def no_earlier(self, *others: Trace) -> Trace:
        """Return the same value, known no earlier than `others`."""
        return Trace(self.sources, self.known.latest(*(o.known for o in others)))

    def rename(self, places: Places) -> Trace:
        return Trace(self.sources, self.known.rename(places))


NOTHING = Trace(frozenset(), ALWAYS)
Traces = Mapping[str, Trace]
Places = Callable[[str], Moment | None]
"""Maps a column of the input to the moment in the output that holds the same instant, or to None."""


def derived(traces: Iterable[Trace]) -> Trace:
    """Return the trace of a value computed from all of `traces`. Without traces it is a constant."""
    return NOTHING.latest(*traces)


def never_said(why: str) -> Trace:
    return Trace(frozenset(), Known.never_said(why))


def places(copies: Mapping[str, Moment | None], same: Mapping[str, str] | None = None) -> Places:
    """Return where each instant of the input is found in the output. `copies` maps an output column to the moment it
    copies.

    `same` maps an input column to another that has the same value.
    """
    home: dict[str, Moment] = {}
    for name, moment in sorted(copies.items(), key=lambda copy: bool(copy[1] and copy[1].offset)):
        if moment is not None:
            home.setdefault(moment.column, Moment(name, -moment.offset))

    def place(column: str) -> Moment | None:
        seen: set[str] = set()
        while column not in home and column in (same or {}) and column not in seen:
            seen.add(column)
            column = (same or {})[column]
        return home.get(column)

    return place


def projected(values: Traces, place: Places) -> Traces:
    """Return the traces of the output columns, in terms of the output columns."""
    return {name: t.rename(place) for name, t in values.items()}


def chosen(rows: Traces, condition: Trace) -> Traces:
    """Return the traces of filtered rows: each is known no earlier than the condition. Sources do not change."""
    return {name: t.no_earlier(condition) for name, t in rows.items()}


def aggregated(groups: Traces, metrics: Traces, rows: Trace, place: Places) -> Traces:
    """Return the traces of an aggregation: known when all aggregated rows and the keys are. A count reads
    whole rows."""
    keys = derived(groups.values())
    of_rows = {name: (t if t.sources or t.known.unknown else rows).no_earlier(keys) for name, t in metrics.items()}
    return {name: _lost(t, t.rename(place)) for name, t in {**groups, **of_rows}.items()}


def _lost(before: Trace, after: Trace) -> Trace:
    if before.known.unknown or not after.known.unknown:
        return after
    return Trace(after.sources, Known.never_said(f"aggregated over rows: {after.known.unknown}"))


def united(left: Traces, right: Traces) -> Traces:
    """Return the traces of a union. A column that one side lacks is null there."""
    return {name: left.get(name, NOTHING).latest(right.get(name, NOTHING)) for name in {**left, **right}}


def compared(left: Traces, right: Traces) -> Traces:
    """Return the traces of an INTERSECT or EXCEPT: each row depends on the whole left row and on all right rows."""
    others = of_other_rows(derived(right.values()), "an INTERSECT or EXCEPT")
    return chosen(left, derived(left.values()).latest(others))


def of_other_rows(t: Trace, what: str) -> Trace:
    """Return the trace of a value that `what` reads from other rows. Its availability is unknown."""
    if not t.known.moments:
        return t
    return Trace(t.sources, Known.never_said(f"{what} reads other rows, known at other times"))


KEEPING = frozenset({"left", "any_left"})
"""Joins that keep every left row, whatever the condition."""


@dataclass(frozen=True)
class Rows:
    """The rows of a join: columns and instants of all sides, named `side.column`.

    `there` is the trace of the conditions that decide whether a row is present. `same` maps a column to another one
    that a condition made equal to it.
    """

    columns: Traces
    there: Trace = NOTHING
    same: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, side: str, traces: Traces) -> Rows:
        return cls({f"{side}.{n}": t.rename(lambda c: Moment(f"{side}.{c}")) for n, t in traces.items()})

    def __getitem__(self, column: str) -> Trace:
        return self.columns[column].latest(self.there)

    @property
    def whole(self) -> Trace:
        """The trace of a whole row."""
        return derived(self.columns.values()).latest(self.there)

    def where(self, condition: Trace) -> Rows:
        return replace(self, there=self.there.no_earlier(condition))

    def beside(self, other: Rows) -> Rows:
        """Return the rows that the condition of a join with `other` can read."""
        return Rows({**self.columns, **other.columns}, same=self.same)

    def join(self, other: Rows, how: str, condition: Trace, equal: Iterable[tuple[str, str]] = ()) -> Rows:
        """Return the rows joined to `other`. `equal` are the pairs of columns, ours and theirs, that the condition
        equates."""
        theirs = {name: t.latest(condition, other.there) for name, t in other.columns.items()}
        columns = self.columns if how in ("semi", "anti") else {**self.columns, **theirs}
        same = {**other.same, **self.same, **_same(how, dict(equal))}
        there = self.there if how in KEEPING else self.there.latest(condition, other.there)
        return Rows(columns, there, same)

    def as_of(self, theirs: Moment, ours: Moment) -> Rows:
        """Return the rows as an as-of join sees them: only rows with `theirs` not after `ours`, hence known at
        `ours`."""
        return replace(self, columns={name: _shown(t, theirs, ours) for name, t in self.columns.items()})


def _same(how: str, equal: Mapping[str, str]) -> dict[str, str]:
    """Map each equated column to the one that can stand for it: the one that is present in every row of the join."""
    if how in ("outer", "anti"):
        return {}
    return dict(equal) if how == "right" else {theirs: ours for ours, theirs in equal.items()}


def _shown(t: Trace, theirs: Moment, ours: Moment) -> Trace:
    if t.known.unknown or any(m.column != theirs.column or m.offset > theirs.offset for m in t.known.moments):
        return t
    return Trace(t.sources, Known(frozenset({ours} if t.known.moments else ()), since=t.known.since))
