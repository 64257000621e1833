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


def sql(expression: ibis.Table) -> str:
    return str(ibis.to_sql(expression, dialect="duckdb"))


def test_microseconds_since_1970_wherever_they_stand() -> None:
    inner = T.mutate(micros=T["at"].delta(EPOCH, unit="microsecond") + 1)
    outer = inner.filter(inner["at"].delta(EPOCH, unit="microsecond") > 0).select("micros")
    said = sql(quicker(outer))
    assert said.count("EPOCH_US") == 2 and "DATE_DIFF" not in said


def test_other_differences_stay() -> None:
    for delta in (T["at"].delta(T["other"], unit="microsecond"), T["at"].delta(EPOCH, unit="second")):
        assert sql(quicker(T.select(d=delta))) == sql(T.select(d=delta))


def test_it_is_the_same_number() -> None:
    years = (1, 1969, 1970, 2013, 9999)
    instants = [datetime(year, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC) for year in years]
    rows = pa.table({"at": pa.array([*instants, None], pa.timestamp("us", "UTC")), "other": [None] * (len(years) + 1)})
    query = T.select(micros=T["at"].delta(EPOCH, unit="microsecond"))
    with DuckdbEngine().session({"t": rows}) as session:
        assert session.fetch(query)["micros"].to_pylist() == rows["at"].cast(pa.int64()).to_pylist()
