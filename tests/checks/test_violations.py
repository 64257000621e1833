from datetime import UTC, datetime

import ibis
import pyarrow as pa
import pytest
from ibis import _

import mainstem.nodes.checks as ms
from mainstem.checks.examine import refuse
from mainstem.checks.violations import declared, validate, violation
from mainstem.engines.duckdb import DuckdbEngine
from mainstem.errors import CheckFailed, SchemaError, UnknownName
from mainstem.nodes.base import Origin
from mainstem.nodes.records import CheckResult
from mainstem.nodes.tables import sql

TABLE = ibis.table({"id": "int64", "origin": "string", "x": "float64", "at": "timestamp('UTC', 6)"}, name="t")


def labels(**said):
    node = sql("t", "SELECT 1", origin=Origin("t.sql", 1), **said)
    return [(check.label, check.severity) for check in declared(node)]


def test_a_key_brings_its_own_checks_unless_they_are_declared():
    assert labels(key="id") == [("not_null(id)", "error"), ("unique(id)", "error")]
    said = [ms.unique("id", severity="quarantine"), ms.not_null("origin", "id", severity="warn")]
    assert labels(key="id", checks=said) == [("unique(id)", "quarantine"), ("not_null(origin, id)", "warn")]
    assert labels() == []


@pytest.mark.parametrize(
    ("check", "kind"),
    [
        (ms.not_null("orgin"), UnknownName),
        (ms.unique("id", "orgin"), UnknownName),
        (ms.between("orgin", 0), UnknownName),
        (ms.accepted("orgin", ["JFK"]), UnknownName),
        (ms.foreign_key("orgin", "t"), UnknownName),
        (ms.fresh("orgin", "1d"), UnknownName),
        (ms.fresh("origin", "1d"), SchemaError),
        (ms.between("origin", 1, 5), SchemaError),
        (ms.between("x", "a", "b"), SchemaError),
        (ms.between("at", 1, None), SchemaError),
        (ms.between("at", "yesterday"), SchemaError),
        (ms.between("id", True), SchemaError),
        (ms.accepted("origin", [1, 2]), SchemaError),
        (ms.accepted("id", ["1", None]), SchemaError),
        (ms.expression(_.orgin == "JFK"), UnknownName),
        (ms.expression(_.x + 1), SchemaError),
    ],
)
def test_what_the_columns_do_not_allow_is_refused(check, kind):
    with pytest.raises(kind):
        validate(TABLE, [check], "t.py:1")


def test_a_check_says_which_constant_does_not_fit():
    with pytest.raises(SchemaError) as caught:
        validate(TABLE, [ms.between("origin", 1, 5)], "t.py:1")
    assert str(caught.value).splitlines()[:4] == [
        "between(origin, 1, 5) does not fit the type of its column",
        "  where: t.py:1",
        "  got: 1 for a column of type string",
        "  expected: texts",
    ]


@pytest.mark.parametrize(("values", "violating"), [(["a", None], 1), (["a"], 1), (["a", "b"], 0), (["c", None], 2)])
def test_null_passes_whether_the_accepted_values_say_so_or_not(values, violating):
    with DuckdbEngine().session({"g": pa.table({"g": ["a", "b", None]})}) as session:
        rows = ibis.table({"g": "string"}, name="g")
        assert session.fetch(rows.filter(violation(rows, ms.accepted("g", values)))).num_rows == violating


def test_bounds_fit_texts_dates_and_instants_alike():
    validate(TABLE, [ms.between("origin", "A", "M"), ms.between("at", "2013-01-01", datetime(2014, 1, 1, tzinfo=UTC))])


def test_what_the_columns_allow_passes():
    validate(TABLE, [ms.not_null("id"), ms.unique("id"), ms.fresh("at", "1d"), ms.row_count(1), ms.expression(_.x > 1)])


def test_checks_of_a_whole_table_have_no_violating_row():
    assert violation(TABLE, ms.row_count(1)) is None
    assert violation(TABLE, ms.unique("id")) is None


def test_only_errors_refuse():
    warned = CheckResult("unique(id)", "warn", 3, 10)
    refuse("t", [warned, CheckResult("not_null(id)", "error", 0, 10)], where="t.py:1")
    with pytest.raises(CheckFailed, match=r"t: not_null\(id\) is violated by 1 of 1,000 rows"):
        refuse("t", [warned, CheckResult("not_null(id)", "error", 1, 1_000)], where="t.py:1")
