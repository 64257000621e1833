"""Features of any keys at any times of the past, without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mainstem.errors import RequestError, SchemaError, UnknownName
from mainstem.features.dataset import with_features
from mainstem.features.retrieval import Retrieval, retrieval_for
from mainstem.graph.lineage import leaves
from mainstem.nodes.base import shown
from mainstem.nodes.definition import Graph
from mainstem.nodes.features import FeatureView, OnDemand, ViewUse
from mainstem.nodes.hidden import T
from mainstem.nodes.notebook import line
from mainstem.planning.execution import Context
from mainstem.project.exploring import Explorer
from mainstem.project.reading import Readable

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

    from mainstem.features.offline.join import AsOf

Feature = FeatureView | ViewUse | OnDemand | str
"""What is read: a view by name or as itself, a use of one (`view.on("origin")`), or on-demand features."""

ROWS = "_asked"
_ORDER = "_place"


@dataclass(frozen=True, repr=False)
class PastFeatures(Readable):
    """The rows that were asked for, in their order, each with the features as of its time."""

    context: Context
    retrieval: Retrieval
    rows: pa.Table
    as_of: AsOf
    explorer: Explorer

    def __repr__(self) -> str:
        count = f"{self.rows.num_rows:,} rows", f"{len(self.retrieval.columns)} features"
        return line("PastFeatures", *count, f"as of {self.as_of}")

    def to_pyarrow(self) -> pa.Table:
        import ibis

        asked = ibis.table(ibis.Schema.from_pyarrow(self.rows.schema), name=ROWS)
        given = [name for name in self.rows.column_names if name not in (T, _ORDER)]
        found = with_features(asked, self.retrieval, self.as_of).order_by(_ORDER)
        query = found.select(*given, *self.retrieval.columns)
        with self.context.session(leaves(query) - {ROWS}) as session:
            session.add(ROWS, self.rows)
            return session.fetch(query)

    def to_ibis(self) -> ibis.Table:
        return self.explorer.given(self.to_pyarrow())


def past_features(
    context: Context, explorer: Explorer, features: Sequence[Feature], rows: Any, time: str | datetime, as_of: AsOf
) -> PastFeatures:
    """Return the features of `rows` as of `time`, a column of them or one instant.

    Raises `UnknownName` for an unknown view, `SchemaError` for a key that is missing or of another type, and
    `RequestError` for rows or times that cannot be read.
    """
    import ibis

    asked = _timed(_table(rows), time)
    given = ibis.Schema.from_pyarrow(asked.schema)
    schema = {name: str(given[name]) for name in given.names if name not in (T, _ORDER)}
    retrieval = retrieval_for(context.graph, [_feature(context.graph, each) for each in features], schema, "the rows")
    if both := sorted(schema.keys() & retrieval.columns.keys()):
        raise SchemaError(
            "a column of the rows has the name of a feature", got=both[0], hint="rename the column, or use .on(…)"
        )
    return PastFeatures(context, retrieval, asked, as_of, explorer)


def _feature(graph: Graph, feature: Feature) -> FeatureView | ViewUse | OnDemand:
    if not isinstance(feature, str):
        return feature
    views = graph.of(FeatureView)
    if feature not in views:
        raise UnknownName.among("feature view", feature, views)
    node: Any = graph[feature].node
    found: FeatureView = node
    return found


def _table(rows: Any) -> pa.Table:
    """Return rows as an Arrow table: of a table, a data frame, a relation of a project, or a list of mappings."""
    import pyarrow as pa

    if isinstance(rows, Readable):
        return rows.to_pyarrow()
    try:
        if isinstance(rows, pa.Table):
            return rows
        if hasattr(rows, "__arrow_c_stream__"):
            return pa.table(rows)
        if isinstance(rows, Sequence) and not isinstance(rows, str) and all(isinstance(row, Mapping) for row in rows):
            names = list(dict.fromkeys(name for row in rows for name in row))
            return pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows])
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise RequestError("the rows have values of several types in one column", got=str(error)) from error
    expected = "a list with a mapping for each row, an Arrow table, or a data frame"
    raise RequestError("the rows cannot be read", got=shown(rows), expected=expected)


def _timed(rows: pa.Table, time: str | datetime) -> pa.Table:
    """Return the rows with their place and the instant that each is asked for."""
    import pyarrow as pa

    micros = pa.timestamp("us", "UTC")
    if isinstance(time, datetime):
        if time.utcoffset() is None:
            raise RequestError("the time has no time zone", got=str(time), hint="datetime(2013, 12, 1, 12, tzinfo=UTC)")
        at = pa.array([time] * rows.num_rows, micros)
    elif time not in rows.column_names:
        raise UnknownName.among("column", time, rows.column_names, of="the rows (time=)")
    else:
        at = _instants(rows[time], time)
    return rows.append_column(T, at).append_column(_ORDER, pa.array(range(rows.num_rows), "int64"))


def _instants(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_timestamp(column.type) or column.type.tz is None:
        expected = "instants: a datetime with a time zone, such as UTC"
        raise RequestError(f"the column {name!r} has no instants", got=str(column.type), expected=expected)
    if column.null_count:
        place = pc.index(column.is_null(), True).as_py()
        raise RequestError(f"a row has no time in {name!r}", where=f"row {place + 1}", expected="an instant")
    try:
        return column.cast(pa.timestamp("us", "UTC"))
    except pa.ArrowInvalid as error:
        raise RequestError(f"the column {name!r} is finer than microseconds", got=str(error)) from error
