"""Tables built over given rows, by the fixture of the pytest plugin."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import mainstem as ms
from mainstem.errors import CheckFailed, NotFound, RequestError, UnknownName
from mainstem.testing import TestProject, assert_rows

SHOP = """
import mainstem as ms
from ibis import _

orders = ms.files("orders/*.csv", key="order_id", time="ordered_at", schema={
    "order_id": "string", "customer_id": "string", "ordered_at": "timestamp('UTC', 6)", "amount": "decimal(10, 2)",
    "items": "int64", "day": "date"})
customers = ms.api("http://127.0.0.1:1/customers", key="customer_id", schema={
    "customer_id": "string", "country": "string", "rating": "float64"})


@ms.table(
    key="order_id",
    time="ordered_at",
    clean=[ms.clean.trim("country"), ms.clean.case("country", "upper")],
    checks=[ms.between("items", 0, 100, severity="quarantine"), ms.accepted("country", ["DE", "FR"])],
)
def sales(orders, customers):
    return ms.join(orders, customers, on="customer_id", expect="many_to_one")


@ms.table(key="country")
def countries(sales):
    return sales.group_by("country").agg(orders=_.count(), amount=_.amount.sum(), rating=_.rating.mean())
"""

ORDERS = [
    {"order_id": "o1", "customer_id": "ann", "amount": "20.50", "items": 2},
    {"order_id": "o2", "customer_id": "bob", "amount": 5, "items": 1000},
    {"order_id": "o3", "customer_id": "bob", "amount": 7, "items": 1, "ordered_at": "2025-01-05T09:00:00Z"},
]
CUSTOMERS = """
    customer_id, country, rating
    ann,         " de",   4.5
    bob,         fr,
"""
GIVEN = {"orders": ORDERS, "customers": CUSTOMERS}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "mainstem.toml").write_text('[project]\nname = "shop"\nmodules = ["tested_shop"]\n')
    (tmp_path / "tested_shop.py").write_text(SHOP)
    return tmp_path


@pytest.fixture
def project(root: Path) -> TestProject:
    return TestProject(root)


def test_a_table_is_cleaned_checked_and_joined_and_nothing_is_stored(project: TestProject, root: Path) -> None:
    sales = project.build("sales", given=GIVEN)
    assert_rows(sales, [{"order_id": "o1", "country": "DE", "day": None}, {"order_id": "o3", "country": "FR"}])
    assert [row["order_id"] for row in sales.quarantined] == ["o2"]
    assert {check.label: check.violations for check in sales.checks}["between(items, 0, 100)"] == 1
    assert sorted(path.name for path in root.iterdir() if path.suffix != ".pyc") in (
        ["__pycache__", "mainstem.toml", "tested_shop.py"],
        ["mainstem.toml", "tested_shop.py"],
    )


def test_tables_between_are_built_or_given(project: TestProject, tmp_path: Path) -> None:
    (tmp_path / "expected.yaml").write_text(
        "- {country: DE, orders: 1, amount: '20.5'}\n- {country: FR, orders: 1, amount: 7}\n"
    )
    assert_rows(project.build("countries", given=GIVEN), tmp_path / "expected.yaml", key="country")
    built = project.build(
        "countries", given={"sales": [{"country": "DE", "rating": 1}, {"country": "DE", "rating": 4}]}
    )
    assert built == [{"country": "DE", "orders": 2, "amount": None, "rating": 2.5}]


@pytest.mark.parametrize("frame", [pa.Table.from_pylist, pl.DataFrame, pd.DataFrame], ids=["arrow", "polars", "pandas"])
def test_rows_are_given_and_expected_as_frames(project: TestProject, frame: object) -> None:
    rows = [{"country": "DE", "rating": 1.0}, {"country": "DE", "rating": 4.0}]
    built = project.build("countries", given={"sales": frame(rows)})  # type: ignore[operator]
    assert built.equals(frame([{"country": "DE", "orders": 2}]))  # type: ignore[operator]


def test_a_difference_names_row_and_column(project: TestProject) -> None:
    sales = project.build("sales", given=GIVEN)
    with pytest.raises(AssertionError) as error:
        assert_rows(sales, [{"order_id": "o1", "items": 3}, {"order_id": "o9", "items": 1}])
    assert str(error.value).split("\n") == [
        "sales is not as expected:",
        "  order_id='o1': items is 2, expected 3",
        "  missing     order_id='o9', items=1",
        "  unexpected  order_id='o3', items=1",
    ]
    assert not sales.equals([{"order_id": "o3"}, {"order_id": "o1"}], ordered=True)
    assert not sales.equals([{"items": 1}, {"items": 1}])
    assert sales.equals([{"order_id": "o3", "items": 99}, {"order_id": "o1"}], columns=["order_id"])


@pytest.mark.parametrize(
    ("name", "given", "error", "says"),
    [
        ("sales", {"orders": []}, NotFound, "'sales' reads 'customers', which has no rows"),
        ("sales", {"orders": [{"amont": 1}], "customers": []}, UnknownName, "did you mean 'amount'"),
        ("sales", {"orders": [{"items": 1.5}], "customers": []}, RequestError, "column 'items' (int64), row 1"),
        ("sales", {"orders": [{"items": 2**70}], "customers": []}, RequestError, "column 'items' (int64), row 1"),
        ("sales", {"orders": [{"order_id": 7}], "customers": []}, RequestError, "column 'order_id' (string), row 1"),
        ("sales", {"orders": [{"amount": "1.234"}], "customers": []}, RequestError, "column 'amount'"),
        ("sales", {"orders": [{"ordered_at": "2025-01-05"}], "customers": []}, RequestError, "time zone"),
        ("sales", {"orders": pd.DataFrame({"items": ["x"]}), "customers": []}, RequestError, "column 'items'"),
        ("sales", {"orders": "no-such.csv", "customers": []}, RequestError, "no-such.csv"),
        ("sales", {"orders": "a,b\n1", "customers": []}, RequestError, "1 fields"),
        ("sale", {}, UnknownName, "did you mean 'sales'"),
        ("sales", {"order": []}, UnknownName, "did you mean 'orders'"),
        ("sales", {"orders": [], "customers": [], "countries": []}, RequestError, "does not read 'countries'"),
        ("sales", {"orders": ORDERS, "customers": "customer_id,country\nann,IT\n"}, CheckFailed, "accepted(country"),
    ],
)
def test_what_cannot_be_built_is_an_error(
    project: TestProject, name: str, given: dict[str, object], error: type[Exception], says: str
) -> None:
    with pytest.raises(error) as raised:
        project.build(name, given=given)
    assert says in str(raised.value)


TESTS = """
def test_sales(project):
    built = project.build("countries", given={"sales": [{"country": "DE"}]})
    assert built == [{"country": "DE", "orders": 1}]


def test_wrong(project):
    built = project.build("countries", given={"sales": [{"country": "DE"}]})
    assert built == [{"country": "DE", "orders": 7}]
"""


def test_the_plugin_gives_the_project_and_tells_differences(root: Path) -> None:
    (root / "tests").mkdir()
    (root / "tests" / "test_shop.py").write_text(TESTS)
    line = [sys.executable, "-m", "mainstem", "test", "-C", str(root), "--", "-p", "no:cacheprovider"]
    ended = subprocess.run(line, capture_output=True, text=True, cwd=root)
    assert "1 failed, 1 passed" in ended.stdout, ended.stdout + ended.stderr
    assert "country='DE': orders is 1, expected 7" in ended.stdout


def test_the_plugin_costs_nothing_without_use() -> None:
    heavy = "{'ibis', 'duckdb', 'pyarrow', 'sqlalchemy'}"
    code = f"import sys, mainstem.testing.plugin; print(sorted({heavy} & set(sys.modules)))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_an_arrow_table_is_compared_too() -> None:
    assert_rows(pa.table({"a": [1, 2]}), [{"a": 2}, {"a": 1}])
    with pytest.raises(AssertionError, match="a=3"):
        ms.testing.assert_rows(pa.table({"a": [1, 2]}), [{"a": 3}, {"a": 1}])


def test_rows_of_a_project_keep_all_their_columns() -> None:
    rows = [{"id": 1, "price": 2.5}, {"id": 2, "price": 3.0, "note": "late"}]
    for schema in (None, {"price": "float64"}):
        source = ms.files("sales.csv", key="id", schema=schema)
        with ms.testing.project({"sales": source}, {"sales": rows}) as project:
            project.run()
            assert project.query("select note from sales order by id")["note"].to_pylist() == [None, "late"]
