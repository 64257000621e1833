"""What the operations of a query do to the traces of its columns: one set of rules, whatever language it is written in.

A trace says of one column which source columns it derives from and when it becomes known, in terms of the columns of
the relation that it is in. Where the instant a value is known at gets lost on the way (dropped, or aggregated away),
the value is of unknown availability from there on. A value is known no earlier than its row: what a condition, a join
or a grouping had to know to put the row there, all its columns tell.
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
        """Derived from this and others alike."""
        sources = self.sources.union(*(o.sources for o in others))
        return Trace(sources, self.known.latest(*(o.known for o in others)))

    def no_earlier(self, *others: Trace) -> Trace:
        """The same value, known only when others are too."""
        return Trace(self.sources, self.known.latest(*(o.known for o in others)))

    def rename(self, places: Places) -> Trace:
        return Trace(self.sources, self.known.rename(places))


NOTHING = Trace(frozenset(), ALWAYS)
Traces = Mapping[str, Trace]
Places = Callable[[str], Moment | None]
"""Where the instants of a relation's columns are found in what is made of it."""


def derived(traces: Iterable[Trace]) -> Trace:
    """What is made of all of them; of nothing, a constant."""
    return NOTHING.latest(*traces)


def never_said(why: str) -> Trace:
    return Trace(frozenset(), Known.never_said(why))


def places(copies: Mapping[str, Moment | None], same: Mapping[str, str] | None = None) -> Places:
    """Given which columns of the outcome are `column + offset` of an input, where each input's instants are found.

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
    """The outcome's columns, in terms of themselves."""
    return {name: t.rename(place) for name, t in values.items()}


def chosen(rows: Traces, condition: Trace) -> Traces:
    """That a row is there at all tells what its condition knew; its values come from elsewhere."""
    return {name: t.no_earlier(condition) for name, t in rows.items()}


def aggregated(groups: Traces, metrics: Traces, rows: Trace, place: Places) -> Traces:
    """An aggregate is known when all rows are that went in, and which did; to count `rows` is to read all of them."""
    keys = derived(groups.values())
    of_rows = {name: (t if t.sources or t.known.unknown else rows).no_earlier(keys) for name, t in metrics.items()}
    return {name: _lost(t, t.rename(place)) for name, t in {**groups, **of_rows}.items()}


def _lost(before: Trace, after: Trace) -> Trace:
    if before.known.unknown or not after.known.unknown:
        return after
    return Trace(after.sources, Known.never_said(f"aggregated over rows: {after.known.unknown}"))


def united(left: Traces, right: Traces) -> Traces:
    """Rows of both; a column that one side lacks is null there."""
    return {name: left.get(name, NOTHING).latest(right.get(name, NOTHING)) for name in {**left, **right}}


def compared(left: Traces, right: Traces) -> Traces:
    """Rows of the left that are, or are not, among the right: to tell takes the whole row, and all of the right."""
    others = of_other_rows(derived(right.values()), "an INTERSECT or EXCEPT")
    return chosen(left, derived(left.values()).latest(others))


def of_other_rows(t: Trace, what: str) -> Trace:
    """What `what` reads of other rows than the one that it is for."""
    if not t.known.moments:
        return t
    return Trace(t.sources, Known.never_said(f"{what} reads other rows, known at other times"))


KEEPING = frozenset({"left", "any_left"})
"""Joins in which the left rows are there whatever the condition."""


@dataclass(frozen=True)
class Rows:
    """Relations side by side, as a join has them: columns and instants are told apart as `side.column`.

    `there` is what it took for a row to be there; `same` maps a column to another that a condition made equal to it.
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
        """All of a row."""
        return derived(self.columns.values()).latest(self.there)

    def where(self, condition: Trace) -> Rows:
        return replace(self, there=self.there.no_earlier(condition))

    def beside(self, other: Rows) -> Rows:
        """What the condition of a join with `other` may read."""
        return Rows({**self.columns, **other.columns}, same=self.same)

    def join(self, other: Rows, how: str, condition: Trace, equal: Iterable[tuple[str, str]] = ()) -> Rows:
        """Joined to `other`; `equal` are the columns, ours and theirs, that the condition equates."""
        theirs = {name: t.latest(condition, other.there) for name, t in other.columns.items()}
        columns = self.columns if how in ("semi", "anti") else {**self.columns, **theirs}
        same = {**other.same, **self.same, **_same(how, dict(equal))}
        there = self.there if how in KEEPING else self.there.latest(condition, other.there)
        return Rows(columns, there, same)

    def as_of(self, theirs: Moment, ours: Moment) -> Rows:
        """As an as-of join shows these rows: only those whose time `theirs` has come at `ours`, hence known by then."""
        return replace(self, columns={name: _shown(t, theirs, ours) for name, t in self.columns.items()})


def _same(how: str, equal: Mapping[str, str]) -> dict[str, str]:
    """Which of two equated columns may stand for the other: the one that is there in every row of the join."""
    if how in ("outer", "anti"):
        return {}
    return dict(equal) if how == "right" else {theirs: ours for ours, theirs in equal.items()}


def _shown(t: Trace, theirs: Moment, ours: Moment) -> Trace:
    if t.known.unknown or any(m.column != theirs.column or m.offset > theirs.offset for m in t.known.moments):
        return t
    return Trace(t.sources, Known(frozenset({ours} if t.known.moments else ())))
