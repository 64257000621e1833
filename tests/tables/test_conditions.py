"""The small SQL of remedies."""

from datetime import UTC, datetime, timedelta, timezone

import ibis
import pytest

from mainstem.errors import DefinitionError, UnknownName
from mainstem.tables.conditions import condition, instant_sql, quoted

ROWS = ibis.memtable(
    {
        "departed_at": [datetime(2013, 11, 30, 23, tzinfo=UTC), datetime(2013, 12, 1, 5, 11, tzinfo=UTC)],
        "origin": ["JFK", None],
        "dep_delay": [-3, 120],
    },
    schema={"departed_at": "timestamp('UTC', 6)", "origin": "string", "dep_delay": "int64"},
)


def chosen(sql):
    return ROWS.filter(condition(ROWS, sql)).dep_delay.to_pyarrow().to_pylist()


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("departed_at >= TIMESTAMPTZ '2013-12-01 05:11:00+00'", [120]),
        ("departed_at < TIMESTAMPTZ '2013-12-01 05:11:00+00'", [-3]),
        ("departed_at >= DATE '2013-12-01'", [120]),
        ("origin = 'JFK' AND dep_delay <= -3", [-3]),
        ("origin IN ('JFK', 'LGA') OR dep_delay = 120", [-3, 120]),
        ("origin IS NULL", [120]),
        ("NOT (origin IS NULL)", [-3]),
        ("dep_delay BETWEEN -10 AND 1.5e2", [-3, 120]),
        ("dep_delay <> 120", [-3]),
        ("TRUE", [-3, 120]),
    ],
)
def test_conditions_mean_what_they_say(sql, expected):
    assert sorted(chosen(sql)) == expected


@pytest.mark.parametrize(
    "sql",
    [
        "dep_delay",
        "length(origin) > 3",
        "dep_delay > (SELECT 1)",
        "1 = 1; DROP TABLE x",
        "dep_delay >",
        "departed_at > DATE 'x'",
    ],
)
def test_nothing_else_is_taken(sql):
    with pytest.raises(DefinitionError, match="unsupported condition"):
        condition(ROWS, sql)


def test_an_unknown_column_is_named_with_its_neighbours():
    with pytest.raises(UnknownName, match="dep_delay"):
        condition(ROWS, "dep_dely > 0")


def test_instants_are_written_in_utc():
    moment = datetime(2013, 12, 1, 0, 11, tzinfo=timezone(timedelta(hours=-5)))
    assert instant_sql(moment) == "TIMESTAMPTZ '2013-12-01 05:11:00+00'"
    assert instant_sql(moment.replace(microsecond=5)) == "TIMESTAMPTZ '2013-12-01 05:11:00.000005+00'"
    assert chosen(f"departed_at = {instant_sql(moment)}") == [120]


def test_names_are_quoted_where_they_must_be():
    assert (quoted("dep_delay"), quoted("Dep Delay"), quoted('a"b')) == ("dep_delay", '"Dep Delay"', '"a""b"')
