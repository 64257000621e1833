"""Events and examples of one year, made by DuckDB out of numbers: the same at every run, on every machine.

An event has a `key`, the time at which it `happened` and one measure `x` or twenty of them; an example asks about a
`key` at a time `t`. Times are spread over the year evenly, keys too, but for key 0: it may have a share of all.
"""

from __future__ import annotations

from typing import Any

import duckdb
import ibis
import pyarrow as pa

from mainstem.features.offline.join import join
from mainstem.features.views.compile import compile_view
from mainstem.features.views.view import Lookup
from mainstem.graph.known import Known
from mainstem.nodes.definition import Definition
from mainstem.nodes.features import feature_view
from mainstem.nodes.files import files

INSTANT = "timestamp('UTC', 6)"
BEGIN, YEAR = 1_356_998_400_000_000, 31_536_000_000_000
COLUMNS = [f"f{n}" for n in range(20)]
MEASURE = {"key": "int64", "happened": INSTANT, "x": "float64"}
MEASURES = {"key": "int64", "happened": INSTANT, **dict.fromkeys(COLUMNS, "float64")}

ASOF = f"""
SELECT id, {", ".join(f"e.{name}" for name in COLUMNS)}
FROM examples ASOF LEFT JOIN events e ON e.key = examples.key AND e.happened < examples.t ORDER BY id"""


def measures(count: int, keys: int, hot: int = 0) -> str:
    """SQL: events with one measure; key 0 has `hot` percent of them."""
    return f"""
    SELECT {_key(0, keys, hot)} AS key, {_instant(0)} AS happened, (hash(i * 11 + 3) % 100000) / 1000.0::DOUBLE AS x,
           i AS _seq FROM range({count}) t(i)"""


def rows(count: int, keys: int) -> str:
    """SQL: events with twenty measures."""
    values = ", ".join(f"(hash(i * {n + 13}) % 1000) / 10.0::DOUBLE AS {name}" for n, name in enumerate(COLUMNS))
    return f"SELECT {_key(0, keys)} AS key, {_instant(0)} AS happened, i AS _seq, {values} FROM range({count}) t(i)"


def examples(count: int, keys: int, hot: int = 0) -> str:
    """SQL: examples, in the order of their `id`; `hot` percent of them are of key 0."""
    return f"SELECT i AS id, {_key(100, keys, hot)} AS key, {_instant(200)} AS t FROM range({count}) t(i)"


def _key(seed: int, keys: int, hot: int = 0) -> str:
    return f"""CASE WHEN hash(i + {seed}) % 100 < {hot} THEN 0
        ELSE 1 + (hash(i * 3 + {seed + 1}) % {keys})::BIGINT END"""


def _instant(seed: int) -> str:
    return f"make_timestamptz({BEGIN} + (hash(i * 7 + {seed + 2}) % {YEAR})::BIGINT)"


def tables(events: str, examples: str) -> dict[str, pa.Table]:
    """Both queries' rows as Arrow."""
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        return {"events": db.sql(events).to_arrow_table(), "examples": db.sql(examples).to_arrow_table()}


def dataset(schema: dict[str, str], **view: Any) -> ibis.Table:
    """The query for what a view over `events` says of `examples`, by `id`: Mainstem's own, without a project around."""
    node = files("events.parquet", time="happened", schema=schema)
    read = ibis.table({**schema, "_seq": "int64"}, name="events")
    known = dict.fromkeys(schema, Known.at("happened"))
    source = Definition("events", node, (), "-", schema=schema, read=read, known=known)
    compiled = compile_view(feature_view(node, key="key", **view), "view", source)
    asked = ibis.table({"id": "int64", "key": "int64", "t": INSTANT}, name="examples")
    return join(asked, "t", [Lookup(compiled, ("key",), "view")]).drop("key", "t").order_by("id")
