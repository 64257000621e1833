"""Rows of a source that replace those of the same key, also among the rows that were set aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import ibis

from mainstem.graph.named import named
from mainstem.nodes.expressions import resolve_boolean
from mainstem.nodes.hidden import RAW
from mainstem.nodes.spans import LAST, moment_of
from mainstem.ports import DataFile, Scan
from mainstem.sources.merging import Condition, Rules, merged

if TYPE_CHECKING:
    from mainstem.nodes.sources import Source
    from mainstem.nodes.spans import Span
    from mainstem.planning.execution import Context
    from mainstem.ports import Target
    from mainstem.sources.extraction import Merge
    from mainstem.sources.stored import Stored

FILE_BYTES = 8 * 2**20
"""The size of the files of a source that is merged. A file with a row that is replaced is written again."""


@dataclass(frozen=True)
class Replacing:
    """A merge of new rows of a source into what is stored of it."""

    context: Context
    node: Source
    change: Merge
    target: Target
    is_again: bool = False
    """Whether rows that were set aside come again: a later one that is stored stays."""

    def of(self, fresh: Sequence[DataFile], held: Stored) -> tuple[list[DataFile], Stored, str]:
        """Return the new rows that change something, what stays of the stored ones, and what happened, as text."""
        target = replace(self.target, file_bytes=FILE_BYTES)
        done = merged(self.context, held.paths, target, fresh, self._rules())
        rows = f"{sum(file.rows for file in done.new):,} merged by {', '.join(self.change.key)}"
        said = f"{rows}, {done.removed:,} removed" if done.removed else rows
        return list(done.new), held.without(done.gone, done.kept), said if held.paths else ""

    def _rules(self) -> Rules:
        deleted: Any = getattr(self.node, "deleted", None)
        marks: Condition | None = None
        if deleted is not None:
            marks = lambda rows: resolve_boolean(rows, deleted)  # noqa: E731
        rules = Rules(self.change.key, self.change.column, deleted=marks, scope=self._scope())
        return replace(rules, keeps_later=self.is_again, appends=self.change.appends and rules.scope is not None)

    def _scope(self) -> Condition | None:
        scope, column = self.change.scope, self.change.column
        if scope is None:
            return None
        if scope == "all":
            return lambda rows: ibis.literal(True)
        return lambda rows: within(rows[str(column)], scope)


def within(value: Any, span: Span) -> Any:
    """Return whether an instant or a date is in a span."""
    at = [_literal(value, second) for second in span]
    inside = value >= at[0]
    return inside if span.end == LAST else inside & (value < at[1])


def _literal(value: Any, second: int) -> Any:
    moment = moment_of(second)
    return ibis.literal(moment.date() if value.type().is_date() else moment, type=value.type())


def superseded(
    context: Context,
    files: Sequence[str],
    target: Target,
    change: Merge,
    fresh: Sequence[DataFile],
    bad: Sequence[DataFile],
) -> tuple[list[str], tuple[DataFile, ...]]:
    """Return the files of rows set aside, and what is left of their rows: those whose key did not come again.

    A row that does not fit the schema has its key in the JSON of the row as it came.
    """
    if change.scope == "all":
        return list(files), ()
    if not fresh and not bad:
        return [], ()
    relations = {"held": Scan(tuple(files), target.fields, 0)}
    types = {field.name: field.type for field in target.fields}
    own = {name: types[name] for name in change.key}
    found = []
    for name, some in (("fresh", fresh), ("bad", bad)):
        if some:
            relations[name] = Scan(tuple(file.path for file in some), target.fields, 0)
            found.append(_keyed(ibis.table(own | ({RAW: types[RAW]} if name == "bad" else {}), name=name), change.key))
    with context.engine.session(relations) as session:
        held = ibis.table(types, name="held")
        keys = (ibis.union(*found) if len(found) > 1 else found[0]).distinct()
        marked = held.mutate(*named(_keys(held, change.key)))
        left = marked.anti_join(keys, list(keys.columns)).select(*held.columns)
        count = session.fetch(left.aggregate(n=left.count()))["n"][0].as_py()
        total = session.fetch(held.aggregate(n=held.count()))["n"][0].as_py()
        if count == total:
            return [], ()
        return list(files), session.write(left, target) if count else ()


def _keyed(rows: ibis.Table, key: Sequence[str]) -> ibis.Table:
    return rows.select(*named(_keys(rows, key)))


def _keys(rows: ibis.Table, key: Sequence[str]) -> dict[str, Any]:
    """Return the key as texts, from the columns or from the row as it came."""
    found: dict[str, Any] = {}
    for name in key:
        value = rows[name].cast("string")
        if RAW in rows.columns:
            held = rows[RAW].cast("json")[name]
            said: Any = ibis.coalesce(held.str, held.cast("string"))
            type = rows[name].type()
            value = ibis.coalesce(value, said if type.is_string() else said.try_cast(type).cast("string"))
        found[f"_k_{name}"] = value
    return found
