"""Merge new rows into stored ones by their key: a row replaces the one with the same key, and other rows stay.

Sources and tables share this. Only the files that have a row to replace or to remove are written again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import ibis

from mainstem.graph.named import named
from mainstem.nodes.hidden import SEQ, is_hidden
from mainstem.ports import DataFile, Scan

if TYPE_CHECKING:
    from mainstem.planning.execution import Context
    from mainstem.ports import Session, Target

_NEW, _STORED, _GOOD, _KEYS = "new", "stored", "good", "keys"

Condition = Callable[[ibis.Table], Any]
"""Returns a boolean expression over a table."""


@dataclass(frozen=True)
class Rules:
    """How rows of one `key` relate.

    Of new rows, those with the latest value of `column` count. With `keeps_later` a stored row stays that is later. A
    new row that is `deleted` removes the stored one. Stored rows in the `scope` whose key does not come are removed.
    """

    key: tuple[str, ...]
    column: str | None = None
    keeps_later: bool = False
    deleted: Condition | None = None
    scope: Condition | None = None
    appends: bool = False


class Merged(NamedTuple):
    """The new rows that change what is stored, and the stored files: those that `stay`, those that are `gone`, and
    what was `kept` of their rows, written again. `removed` is the number of rows that left without a new one."""

    new: tuple[DataFile, ...]
    stay: tuple[str, ...]
    gone: tuple[str, ...]
    kept: tuple[DataFile, ...]
    removed: int = 0


def newest(rows: ibis.Table, key: Sequence[str], column: str | None) -> ibis.Table:
    """Return the rows with the latest value of a column for each key. Unlike rows with one value all stay, so that the
    check of the key finds them; without a column all rows do."""
    if column is None:
        return rows
    latest = rows[column].max().over(group_by=list(key))
    kept = rows.filter((rows[column] == latest) | rows[column].isnull())
    if SEQ not in rows.columns:
        return kept.distinct()
    own = [name for name in rows.columns if name != SEQ]  # equal rows differ in their number
    return kept.group_by(own).agg(named({SEQ: kept[SEQ].min()})).select(*rows.columns)


def merged(context: Context, files: Sequence[str], target: Target, new: Sequence[DataFile], rules: Rules) -> Merged:
    """Return how the rows of the files `new` change those of the stored `files`, all of them in the target's schema.

    New rows that equal the stored one change nothing.
    """
    files = tuple(files)
    if not new and (rules.scope is None or not files):
        return Merged((), files, (), ())
    return _Merge(context, files, target, tuple(new), rules).outcome()


class _Merge:
    def __init__(
        self, context: Context, files: tuple[str, ...], target: Target, new: tuple[DataFile, ...], rules: Rules
    ) -> None:
        self.context, self.files, self.target, self.new, self.rules = context, files, target, new, rules
        self.types = {field.name: field.type for field in target.fields}
        self.key = list(rules.key)

    def outcome(self) -> Merged:
        with self.context.engine.session(self._relations()) as session:
            rows = self._rows(_NEW) if self.new else self._rows(_STORED).limit(0)
            if self.rules.appends:
                return self._replaced(session, rows)
            current = newest(rows, self.key, self.rules.column) if self._is_repeated(session, rows) else rows
            live = self._live(current)
            changing = self._changing(live)
            good = self._written(session, changing, rows)
            removed = self._removed(session, rows, current)
            kept, touched = self._others(session, good, removed)
        stay = tuple(path for path in self.files if path not in set(touched))
        return Merged(good, stay, tuple(touched), kept, 0 if removed is None else removed.num_rows)

    def _replaced(self, session: Session, rows: ibis.Table) -> Merged:
        """Return the new rows in place of those in the scope. Other rows of their keys stay."""
        scope = self.rules.scope
        assert scope is not None
        if not self.files:
            return Merged(self.new, (), (), ())
        stored = self._rows(_STORED)
        left = stored.filter(scope(stored)).anti_join(rows, self.key)
        (removed,) = session.fetch(left.aggregate(n=left.count()))["n"].to_pylist()
        each = {path: self._rows(_name(number)) for number, path in enumerate(self.files)}
        touched = [p for p, its in each.items() if session.fetch(its.filter(scope(its)).limit(1)).num_rows]
        stay, kept = tuple(path for path in self.files if path not in touched), tuple[DataFile, ...]()
        if touched:
            session.add("touched", Scan(tuple(touched), self.target.fields, 0))
            others = self._rows("touched")
            kept = session.write(others.filter(~scope(others).fill_null(False)), self.target)
        return Merged(self.new, stay, tuple(touched), kept, removed)

    def _relations(self) -> dict[str, Scan]:
        fields = self.target.fields
        found = {_NEW: Scan(tuple(file.path for file in self.new), fields, 0)} if self.new else {}
        if self.files:
            found[_STORED] = Scan(self.files, fields, 0)
        return found | {_name(number): Scan((path,), fields, 0) for number, path in enumerate(self.files)}

    def _rows(self, name: str) -> ibis.Table:
        return ibis.table(self.types, name=name)

    def _is_repeated(self, session: Session, rows: ibis.Table) -> bool:
        """Return whether new rows share a key, so that the latest one is to be found."""
        if self.rules.column is None:
            return False
        twice = rows.group_by(self.key).having(ibis._.count() > 1).agg().limit(1)
        return bool(session.fetch(twice).num_rows)

    def _live(self, rows: ibis.Table) -> ibis.Table:
        return rows if self.rules.deleted is None else rows.filter(~self.rules.deleted(rows).fill_null(False))

    def _changing(self, rows: ibis.Table) -> ibis.Table:
        """Return the new rows that differ from the stored ones, and may replace them."""
        if not self.files:
            return rows
        stored, names = self._rows(_STORED), [name for name in rows.columns if not is_hidden(name)]
        keys = rows.select(*named({f"_key_{name}": rows[name] for name in self.key}))
        again = stored.semi_join(keys, [stored[name] == keys[f"_key_{name}"] for name in self.key])
        ours = again.select(*named({f"_was_{name}": again[name] for name in names}))
        found = rows.anti_join(ours, [rows[name].identical_to(ours[f"_was_{name}"]) for name in names])
        column = self.rules.column
        if self.rules.keeps_later and column is not None:
            later = ours.view()
            same = [found[name] == later[f"_was_{name}"] for name in self.key]
            found = found.anti_join(later, [*same, found[column] < later[f"_was_{column}"]])
        return found

    def _written(self, session: Session, changing: ibis.Table, rows: ibis.Table) -> tuple[DataFile, ...]:
        """Write the rows that change something; they are there already if all new ones do."""
        if changing is rows:
            return self.new
        number = session.fetch(changing.aggregate(n=changing.count()))["n"][0].as_py()
        if number == sum(file.rows for file in self.new):
            return self.new
        return session.write(changing, self.target) if number else ()

    def _removed(self, session: Session, rows: ibis.Table, current: ibis.Table) -> Any:
        """Return the keys of stored rows that leave without a new row; None if there are none."""
        rules, stored = self.rules, self._rows(_STORED)
        parts = []
        if self.files and rules.deleted is not None and self.new:
            marked = current.filter(rules.deleted(current).fill_null(False))
            parts.append(stored.semi_join(marked, self.key).select(*self.key))
        if self.files and rules.scope is not None:
            parts.append(stored.filter(rules.scope(stored)).anti_join(rows, self.key).select(*self.key))
        if not parts:
            return None
        return session.fetch(ibis.union(*parts) if len(parts) > 1 else parts[0])

    def _others(
        self, session: Session, good: Sequence[DataFile], removed: Any
    ) -> tuple[tuple[DataFile, ...], list[str]]:
        """Write the other rows of the files again that have one of the keys."""
        import pyarrow as pa

        if not self.files:
            return (), []
        found = [] if removed is None else [removed]
        if good:
            session.add(_GOOD, Scan(tuple(file.path for file in good), self.target.fields, 0))
            found.append(session.fetch(self._rows(_GOOD).select(*self.key).distinct()))
        keys = pa.concat_tables([each.cast(found[0].schema) for each in found]) if found else None
        if keys is None or not keys.num_rows:
            return (), []
        session.add(_KEYS, keys)
        theirs = ibis.table({name: self.types[name] for name in self.key}, name=_KEYS)
        touched = [path for path in _may_have(self.files, self.key[0], keys) if self._has(session, path, theirs)]
        if not touched:
            return (), []
        session.add("touched", Scan(tuple(touched), self.target.fields, 0))
        return session.write(self._rows("touched").anti_join(theirs, self.key), self.target), touched

    def _has(self, session: Session, path: str, keys: ibis.Table) -> bool:
        """Return whether a file has one of the keys."""
        rows = self._rows(_name(self.files.index(path)))
        return bool(session.fetch(rows.semi_join(keys, self.key).limit(1).select(*self.key)).num_rows)


def _may_have(files: Sequence[str], column: str, keys: Any) -> list[str]:
    """Return the files whose statistics allow one of the keys, from the extremes of their first column."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    found, values = [], pc.drop_null(keys[column].combine_chunks())
    if not len(values):
        return list(files)
    low, high = (each.as_py() for each in pc.min_max(values).values())
    if high != high:  # NaN is in no range
        return list(files)
    for path in files:
        data = pq.read_metadata(path)
        place = leaf(data, column)
        if place is None:
            found.append(path)
            continue
        parts = [data.row_group(group).column(place).statistics for group in range(data.num_row_groups)]
        if any(part is None or not part.has_min_max or _overlaps(part, low, high) for part in parts):
            found.append(path)
    return found


def leaf(data: Any, column: str) -> int | None:
    """Return the place of a plain column in the metadata of a Parquet file. A field of a struct may have its name."""
    paths = [data.schema.column(place).path for place in range(len(data.schema.names))]
    return paths.index(column) if column in paths else None


def _overlaps(part: Any, low: Any, high: Any) -> bool:
    try:
        return bool(part.min <= high and part.max >= low)
    except TypeError:  # such as instants with and without a zone
        return True


def _name(number: int) -> str:
    return f"file {number}"
