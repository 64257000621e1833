"""An input is filtered by the instants of the intervals only where no other input row can matter."""

from datetime import UTC, date, datetime
from typing import Any

import ibis
import pyarrow as pa
import pytest

from mainstem.engines.duckdb import DuckdbEngine
from mainstem.nodes.spans import Span
from mainstem.tables.needed import needed

INSTANT = "timestamp('UTC', 6)"
SALES = ibis.table({"id": "int64", "shop": "int64", "at": INSTANT, "price": "float64"}, name="sales")
SHOPS = ibis.table({"shop": "int64", "opened": INSTANT}, name="shops")
DAY = 86_400
SPANS = [Span(DAY, 2 * DAY), Span(5 * DAY, 6 * DAY)]


def of_day(rows: ibis.Table) -> ibis.Table:
    dated = rows.mutate(day=rows["at"].date())
    return dated.group_by("day", "shop").agg(n=dated.count(), price=dated.price.sum())


FILTERED: dict[str, tuple[ibis.Table, str]] = {
    "a selection": (SALES.filter(SALES.price > 1).select("id", "at"), "at"),
    "by date": (of_day(SALES), "day"),
    "the left side of a join": (SALES.left_join(SHOPS, "shop").select("id", "at", "opened"), "at"),
    "both sides of a union": (SALES.select("id", "at").union(SALES.select("id", "at")), "at"),
}
WHOLE: dict[str, tuple[ibis.Table, str]] = {
    "a window over other days": (SALES.mutate(before=SALES.price.lag().over(ibis.window(order_by="at"))), "at"),
    "another instant": (SALES.mutate(later=SALES["at"] + ibis.interval(days=3)), "later"),
    "a coarser date": (SALES.mutate(month=SALES["at"].truncate("M")), "month"),
    "an aggregate of instants": (SALES.group_by("shop").agg(last=SALES["at"].max()), "last"),
}


@pytest.mark.parametrize("name", [*FILTERED, *WHOLE])
def test_the_input_is_filtered_where_it_may_be(name: str) -> None:
    rows, column = {**FILTERED, **WHOLE}[name]
    found = needed(rows, column, SPANS, nulls=False)
    assert found.equals(rows) == (name in WHOLE)


@pytest.mark.parametrize("nulls", [False, True])
@pytest.mark.parametrize("name", [*FILTERED])
def test_rows_in_the_spans_are_the_same(name: str, nulls: bool) -> None:
    rows, column = FILTERED[name]
    seconds = [None, *(n * DAY // 3 for n in range(-3, 30))]
    at = pa.array([second if second is None else second * 1_000_000 for second in seconds], pa.timestamp("us", "UTC"))
    count = len(seconds)
    data = {
        "id": list(range(count)),
        "shop": [n % 2 for n in range(count)],
        "at": at,
        "price": [float(n) for n in range(count)],
    }
    shops = pa.table({"shop": [0, 1], "opened": at.slice(1, 2)})
    with DuckdbEngine().session({"sales": pa.table(data), "shops": shops}) as session:

        def inside(found: ibis.Table) -> list[tuple[Any, ...]]:
            fetched = session.fetch(found).to_pylist()
            return sorted((tuple(row.values()) for row in fetched if _is_due(row[column], nulls)), key=str)

        assert inside(needed(rows, column, SPANS, nulls=nulls)) == inside(rows) != []


def _is_due(instant: date | None, nulls: bool) -> bool:
    if instant is None:
        return nulls
    at = instant if isinstance(instant, datetime) else datetime(instant.year, instant.month, instant.day, tzinfo=UTC)
    return any(span.start <= at.timestamp() < span.end for span in SPANS)
