"""What DuckDB is told otherwise means the same."""

from __future__ import annotations

from datetime import UTC, datetime

import ibis
import pyarrow as pa

from mainstem.engines.duckdb import DuckdbEngine
from mainstem.engines.rewrites import quicker

INSTANT = "timestamp('UTC', 6)"
T = ibis.table({"at": INSTANT, "other": INSTANT}, name="t")
EPOCH = ibis.literal(datetime(1970, 1, 1, tzinfo=UTC), type=INSTANT)


def sql(value: ibis.Value) -> str:
    return str(ibis.to_sql(quicker(value.op()).to_expr().name("v").as_table(), dialect="duckdb"))


def test_microseconds_since_1970_have_a_function_of_their_own() -> None:
    assert "EPOCH_US" in sql(T["at"].delta(EPOCH, unit="microsecond"))


def test_other_differences_stay() -> None:
    for delta in (T["at"].delta(T["other"], unit="microsecond"), T["at"].delta(EPOCH, unit="second")):
        assert quicker(delta.op()) is delta.op()


def test_it_is_the_same_number() -> None:
    years = (1, 1969, 1970, 2013, 9999)
    instants = [datetime(year, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC) for year in years]
    rows = pa.table({"at": pa.array([*instants, None], pa.timestamp("us", "UTC")), "other": [None] * (len(years) + 1)})
    inner = T.mutate(micros=T["at"].delta(EPOCH, unit="microsecond") + 1)
    query = inner.select(micros=inner["at"].delta(EPOCH, unit="microsecond"), more=inner["micros"])
    with DuckdbEngine().session({"t": rows}) as session:
        found = session.fetch(query).to_pydict()
    assert found["micros"] == rows["at"].cast(pa.int64()).to_pylist()
    assert found["more"] == [None if micros is None else micros + 1 for micros in found["micros"]]
