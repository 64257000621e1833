"""The base of verbs that need statistics: what is fitted, on which rows, and how it reaches the rows of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from mainstem.errors import DefinitionError
from mainstem.graph.known import Known
from mainstem.graph.named import named
from mainstem.graph.traces import Trace, Traces, derived, of_other_rows
from mainstem.nodes.base import shown
from mainstem.nodes.instants import micros_of
from mainstem.nodes.verbs.base import ColumnVerb

if TYPE_CHECKING:
    import ibis

Values = Mapping[str, float | str | None]
"""The statistics of one group, by name."""

Group = tuple[str | None, ...]
"""The values of a group's columns, as texts."""

_STATISTIC = "_statistic_"


@dataclass(frozen=True)
class Statistics:
    """What a verb is fitted to: the `overall` statistics, and those of each group."""

    overall: Values
    groups: Mapping[Group, Values] = field(default_factory=dict)


@dataclass(frozen=True)
class Fit:
    """A fitted verb of a table: its `position` in `clean=`, the fingerprint of its definition, and when the values that
    it is fitted to become known."""

    position: int
    definition: str
    known: Known


class FittedVerb(ColumnVerb, frozen=True):
    """A verb that needs statistics of its column, perhaps of each group `by`. Rows of a group without statistics use
    those of all rows.

    `fit` is the window that they are fitted on: from its start (None: from the beginning) to before its end.
    """

    rowwise: ClassVar[bool] = False
    fitted: ClassVar[bool] = True

    def __post_init__(self) -> None:
        window = self.window_as_given
        if window is not None and isinstance(window, (tuple, list)):
            texts = tuple(each.isoformat() if isinstance(each, date) else each for each in window)
            msgspec.structs.force_setattr(self, "fit", texts)
        super().__post_init__()
        used = (self.column, *self.groups)
        if len(set(used)) < len(used):
            raise DefinitionError(f"{self.kind!r} needs distinct columns", got=", ".join(map(repr, used)))
        start, end = self.window or (None, None)
        if start is not None and end is not None and start >= end:
            raise DefinitionError("the window `fit` is empty", got=shown(self.window_as_given), expected="start < end")

    @property
    def window_as_given(self) -> Any:
        return getattr(self, "fit", None)

    @property
    def window(self) -> tuple[datetime | None, datetime] | None:
        """The window of `fit` in UTC."""
        given = self.window_as_given
        return None if given is None else (None if given[0] is None else _instant(given[0]), _instant(given[1]))

    @property
    def groups(self) -> tuple[str, ...]:
        """The columns that the statistics are grouped by."""
        return tuple(getattr(self, "by", ()))

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column, *self.groups)

    @property
    def confined(self) -> str | None:
        return "its statistics are fitted and kept by a run"

    @property
    def statistics(self) -> tuple[str, ...]:
        """The names of the statistics."""
        raise NotImplementedError

    def measure(self, rows: ibis.Table, groups: Mapping[str, Any]) -> ibis.Table:
        """Return the statistics of each group, or one row of all `rows` without groups. `_value` is the column."""
        raise NotImplementedError

    def value(self, column: Any) -> ibis.Value:
        raise NotImplementedError(f"{self.kind} needs statistics")

    def apply(self, table: ibis.Table, where: ibis.Value | None = None) -> ibis.Table:
        raise DefinitionError(f"{self.kind!r} works in clean=[…] only: {self.confined}", got=self.describe())

    def joined(self, table: ibis.Table, fitted: Statistics | None) -> ibis.Table:
        """Return the table with the statistics of each row's group as hidden columns. None is for any statistics of the
        same types."""
        import ibis

        kind = self.statistic_type
        overall: dict[str, Any] = {
            _STATISTIC + name: ibis.literal(None if fitted is None else fitted.overall[name], type=kind)
            for name in self.statistics
        }
        if fitted is None or not self.groups:
            return table.mutate(*named(overall))
        keys = [f"_group{number}" for number in range(len(self.groups))]
        found = _table(fitted, keys, self.statistics, kind)
        equal = [
            table[name].cast("string").identical_to(found[key]) for name, key in zip(self.groups, keys, strict=True)
        ]
        rows = table.left_join(found, equal)
        values = {name: rows["_known"].notnull().ifelse(rows[f"_own{name}"], value) for name, value in overall.items()}
        return rows.mutate(*named(values)).select(*table.columns, *values)

    def statistic(self, rows: ibis.Table, name: str) -> Any:
        """Return the column that `joined` added for a statistic."""
        return rows[_STATISTIC + name]

    @property
    def statistic_type(self) -> str:
        """The Ibis type in which statistics are kept."""
        return "float64"

    def known_after(self, read: Trace) -> Trace:
        """Return the trace of a value that depends on the row and on the statistics."""
        if self.window is None:
            return read.latest(of_other_rows(read, "a fit on all rows"))
        return Trace(read.sources, read.known.latest(Known(since=micros_of(self.window[1]))))

    def traced(self, traces: Traces) -> Traces:
        after = self.known_after(derived(traces[name] for name in self.columns))
        return {**traces, **dict.fromkeys(self.changed, after)}

    @property
    def _of(self) -> str:
        """The groups and the window, as the end of a description."""
        by = f" by {', '.join(self.groups)}" if self.groups else ""
        window = self.window_as_given
        return by + ("" if window is None else f", fitted on {window[0] or '…'} to {window[1]}")


def dropped(rows: ibis.Table) -> ibis.Table:
    """Return the rows without the columns of statistics."""
    names = [name for name in rows.columns if name.startswith(_STATISTIC)]
    return rows.drop(*names) if names else rows


def _table(fitted: Statistics, keys: list[str], names: tuple[str, ...], kind: str) -> ibis.Table:
    """Return the statistics of groups as rows."""
    import ibis
    import pyarrow as pa

    columns: dict[str, Any] = {
        key: pa.array([group[number] for group in fitted.groups], pa.string()) for number, key in enumerate(keys)
    }
    own = ibis.dtype(kind).to_pyarrow()
    for name in names:
        columns[f"_own{_STATISTIC}{name}"] = pa.array([v[name] for v in fitted.groups.values()], own)
    columns["_known"] = pa.array([True] * len(fitted.groups), pa.bool_())
    return ibis.memtable(pa.table(columns))


def _instant(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise DefinitionError(
            "`fit` has an invalid instant", got=repr(text), expected='ISO 8601: fit=("2024-01-01", "2024-07-01")'
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
