import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ibis import _

import mainstem.nodes.checks as ms
from mainstem.errors import CheckFailed, EngineError, UnknownName
from mainstem.nodes.base import Origin
from mainstem.nodes.tables import sql, table

SCHEMA = {"id": "int64", "origin": "string", "x": "float64", "at": "timestamp('UTC', 6)"}
T = datetime(2013, 1, 1, 10, tzinfo=UTC)


def row(id, origin="JFK", x=1.0, at=T):
    return {"id": id, "origin": origin, "x": x, "at": at}


def copy(**declared):
    return table(lambda raw: raw, name="t", **declared)


def test_a_table_is_built_and_built_again(shop):
    shop.store("raw", SCHEMA, [row(1), row(2, "LGA")])
    node = table(lambda raw: raw.group_by("origin").agg(n=_.count(), total=_.id.sum()), key="origin")
    outcome = shop.build(node)
    assert (outcome.rows_in, outcome.published, outcome.quarantined) == (2, 2, 0)
    assert shop.rows() == [{"origin": "JFK", "n": 1, "total": 1}, {"origin": "LGA", "n": 1, "total": 2}]
    shop.store("raw", SCHEMA, [row(3)])
    shop.build(node)
    assert shop.rows() == [{"origin": "JFK", "n": 1, "total": 3}]


def test_an_empty_table(shop):
    shop.store("raw", SCHEMA, [])
    outcome = shop.build(copy(key="id", checks=[ms.between("x", 0, 1, severity="quarantine"), ms.not_null("x")]))
    assert (outcome.rows_in, outcome.published) == (0, 0)
    assert all(result.passed for result in outcome.checks)
    assert shop.rows() == []


def test_a_sql_table(shop):
    shop.store("raw", SCHEMA, [row(1), row(2), row(3, "LGA")])
    text = "WITH few AS (SELECT * FROM raw WHERE id < 3) SELECT origin, count(*) AS n FROM few GROUP BY origin"
    shop.build(sql("t", text, origin=Origin("t.sql", 1), key="origin"))
    assert shop.rows() == [{"origin": "JFK", "n": 2}]


# ── each check ────────────────────────────────────────────────────────────────────────────────────────

NAN = math.nan


@pytest.mark.parametrize(
    ("check", "rows", "violations"),
    [
        (ms.not_null("origin", "x"), [row(1), row(2, None), row(3, None, None)], 2),
        (ms.not_null("x"), [row(1, x=NAN)], 0),
        (ms.unique("origin"), [row(1), row(2), row(3), row(4, "LGA")], 2),
        (ms.unique("origin"), [row(1, None), row(2, None)], 0),
        (ms.unique("origin", "x"), [row(1), row(2), row(3, x=2.0), row(4, x=None), row(5, x=None)], 1),
        (ms.between("x", 0, 1), [row(1, x=0), row(2, x=1), row(3, x=1.1), row(4, x=-0.1), row(5, x=None)], 2),
        (ms.between("x", low=0), [row(1, x=NAN), row(2, x=9e9), row(3, x=-1)], 2),
        (ms.between("x", high=0), [row(1, x=NAN), row(2, x=-9e9), row(3, x=1)], 2),
        (ms.between("at", T, T + timedelta(days=1)), [row(1), row(2, at=T - timedelta(seconds=1))], 1),
        (ms.between("at", "2013-01-01", None), [row(1), row(2, at=T - timedelta(days=1))], 1),
        (ms.accepted("origin", ["JFK", "LGA"]), [row(1), row(2, "EWR"), row(3, None)], 1),
        (ms.expression(_.x > 0), [row(1), row(2, x=0), row(3, x=None)], 1),
        (ms.row_count(2, 3), [row(1)], 1),
        (ms.row_count(2, 3), [row(1), row(2)], 0),
        (ms.row_count(high=1), [row(1), row(2)], 1),
        (ms.fresh("at", "1d"), [row(1)], 1),
        (ms.fresh("at", "1d"), [row(1), row(2, at=datetime.now(UTC))], 0),
        (ms.fresh("at", "1d"), [row(1, at=None)], 1),
        (ms.foreign_key("origin", "airports", "faa"), [row(1), row(2, "XXX"), row(3, "XXX"), row(4, None)], 2),
        (ms.foreign_key(["id", "origin"], "t"), [row(1), row(2)], 0),
    ],
)
def test_what_violates_a_check(shop, check, rows, violations):
    shop.store("airports", {"faa": "string"}, [{"faa": "JFK"}, {"faa": "JFK"}, {"faa": None}])
    shop.store("raw", SCHEMA, rows)
    for severity in ("warn", "error"):
        node = copy(checks=[type(check)(**{**check.__dict__, "severity": severity})])
        if violations and severity == "error":
            with pytest.raises(CheckFailed) as failed:
                shop.build(node)
            assert failed.value.expected == check.label
        else:
            (result,) = shop.build(node).checks
            assert (result.label, result.violations, result.rows) == (check.label, violations, len(rows))
            assert bool(result.sample) == bool(violations)


def test_a_key_is_checked_without_being_asked(shop):
    shop.store("raw", SCHEMA, [row(1), row(1), row(None)])
    with pytest.raises(CheckFailed) as error:
        shop.build(copy(key="id"))
    assert error.value.what == "t: not_null(id) is violated by 1 of 3 rows (and unique(id))"


def test_a_failure_names_rows_and_leaves_what_is_published(shop):
    shop.store("raw", SCHEMA, [row(1)])
    node = copy(key="id", checks=[ms.accepted("origin", ["JFK"])])
    published = shop.build(node).tables["t"]
    shop.store("raw", SCHEMA, [row(1), row(7, "EWR")])
    with pytest.raises(CheckFailed) as error:
        shop.build(node)
    assert error.value.got == "id=7, origin=EWR"
    assert "test_build.py" in error.value.where
    kept = int(error.value.hint.split("snapshot ")[1].split()[0])
    assert kept != published.id
    assert shop.tables["t"] == published
    assert shop.rows() == [row(1)]


def test_checks_of_what_is_published(shop):
    shop.store("airports", {"faa": "string"}, [{"faa": "JFK"}])
    shop.store("raw", SCHEMA, [row(1)])
    shop.build(
        copy(key="id", checks=[ms.foreign_key("origin", "airports", "faa"), ms.fresh("at", "1h", severity="warn")])
    )
    assert {label: r.violations for label, r in shop.check().items()} == {
        "not_null(id)": 0,
        "unique(id)": 0,
        "foreign_key(origin → airports)": 0,
        "fresh(at, 1h)": 1,
    }
    shop.store("airports", {"faa": "string"}, [{"faa": "LGA"}])
    assert shop.check()["foreign_key(origin → airports)"].sample == ({"origin": "JFK"},)


def test_a_check_of_a_column_that_is_not_there_is_refused_before_data(shop):
    shop.store("raw", SCHEMA, [])
    with pytest.raises(UnknownName) as error:
        shop.declare(copy(checks=[ms.not_null("orgin")]))
    assert error.value.hint == "did you mean 'origin'?"


# ── quarantine ────────────────────────────────────────────────────────────────────────────────────────


def test_violating_rows_are_set_aside_with_every_check_they_violate(shop):
    shop.store("airports", {"faa": "string"}, [{"faa": "JFK"}])
    shop.store("raw", SCHEMA, [row(1), row(2, x=NAN), row(3, "XXX", 5.0), row(4, None, None), row(4), row(5)])
    node = copy(
        key="id",
        checks=[
            ms.between("x", 0, 2, severity="quarantine"),
            ms.foreign_key("origin", "airports", "faa", severity="quarantine"),
            ms.unique("id", severity="quarantine"),
            ms.not_null("origin", severity="warn"),
        ],
    )
    outcome = shop.build(node)
    assert (outcome.rows_in, outcome.published, outcome.quarantined) == (6, 3, 3)
    aside = {r["id"]: r for r in shop.rows("quarantine.t")}
    assert {id: r["_check"] for id, r in aside.items()} == {
        2: "between(x, 0, 2)",
        3: "between(x, 0, 2); foreign_key(origin → airports)",
        4: "unique(id)",
    }
    assert aside[2]["_run"] == "run-1"
    assert abs(datetime.now(UTC) - aside[2]["_at"]) < timedelta(minutes=1)
    assert [r["id"] for r in shop.rows()] == [1, 4, 5]
    shop.store("raw", SCHEMA, [row(1)])
    outcome = shop.build(node)
    assert (outcome.rows_in, outcome.published, outcome.quarantined) == (1, 1, 0)
    assert shop.rows("quarantine.t") == []


def test_without_violations_rows_are_written_once(shop):
    shop.store("raw", SCHEMA, [row(1), row(2)])
    written = shop.build(copy(checks=[ms.between("x", 0, 2, severity="quarantine")]))
    assert set(written.tables) == {"t"}
    directory = shop.lake.target("t", SCHEMA).directory
    assert len(list(Path(directory).glob("*.parquet"))) == 1


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(["JFK", "XXX", None]), st.sampled_from([0.5, 9.0, NAN, None]))
    )
)
def test_rows_in_are_published_or_quarantined(shop, values):
    rows = [row(id, origin, x) for id, origin, x in values]
    shop.store("raw", SCHEMA, rows)
    checks = [ms.between("x", 0, 1), ms.accepted("origin", ["JFK"]), ms.unique("id")]
    node = copy(checks=[type(c)(**{**c.__dict__, "severity": "quarantine"}) for c in checks])
    outcome = shop.build(node)
    assert outcome.rows_in == len(rows) == outcome.published + outcome.quarantined
    assert all(r["origin"] != "XXX" and (r["x"] is None or r["x"] == 0.5) for r in shop.rows())
    published = [r["id"] for r in shop.rows()]
    assert len(published) == len(set(published))


def test_a_crash_in_the_query_leaves_what_is_published(shop):
    shop.store("raw", SCHEMA, [row(1)])
    shop.build(copy())
    shop.store("raw", SCHEMA, [row(1, "word")])
    node = sql("t", "SELECT id, origin, CAST(origin AS DOUBLE) AS x FROM raw", origin=Origin("t.sql", 1))
    with pytest.raises(EngineError):
        shop.build(node)
    assert shop.rows() == [row(1)]


@pytest.mark.parametrize(
    ("make", "value", "got"),
    [
        (lambda raw: raw.mutate(whole=_.x.round()), NAN, "value nan"),
        (lambda raw: raw.mutate(whole=_.x.cast("int32")), 1e300, "value 1e+300"),
        (lambda raw: raw.mutate(whole=(_.x + 1).cast("int64") * 2**62), 8.0, "Overflow in multiplication"),
        (lambda raw: raw.mutate(whole=_.origin.cast("int64")), 1.0, "'JFK'"),
    ],
)
def test_a_value_that_cannot_be_computed_is_named_with_its_column(shop, make, value, got):
    shop.store("raw", SCHEMA, [row(1, "1", x=1.0), row(2, x=value)])
    with pytest.raises(EngineError, match="cannot compute the column 'whole'") as failed:
        shop.build(table(make, name="t", key="id"))
    assert got in str(failed.value) and "try_cast" in str(failed.value)


def test_a_filter_that_fails_accuses_no_column(shop):
    shop.store("raw", SCHEMA, [row(1, x=NAN), row(2)])
    with pytest.raises(EngineError, match="the engine refused the query"):
        shop.build(table(lambda raw: raw.filter(_.x.round() > 0), name="t", key="id"))
