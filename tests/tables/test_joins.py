"""Declared joins: what they return, what is measured, and what fails a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mainstem as ms
from mainstem.engines.duckdb import DuckdbEngine
from mainstem.errors import CheckFailed, DefinitionError, RunFailed, SchemaError, UnknownName
from mainstem.nodes.joins import collecting
from mainstem.tables.join_checks import measure

ORDERS = [
    {"id": 1, "customer": "ann", "amount": 5.0},
    {"id": 2, "customer": "bob", "amount": 7.0},
    {"id": 3, "customer": None, "amount": 1.0},
    {"id": 4, "customer": "zed", "amount": -2.0},
]
CUSTOMERS = [{"customer": "ann", "country": "PT", "id": 7}, {"customer": "bob", "country": "ES", "id": 8}]
TWICE = [*CUSTOMERS, {"customer": "bob", "country": "FR", "id": 9}]

Open = Callable[..., Any]


@pytest.fixture
def shop() -> Iterator[Open]:
    """Opens a project of orders, customers, and the table `sales` of a function of both."""
    opened = []

    def open(function: Callable[..., Any], customers: list[dict[str, Any]] = CUSTOMERS) -> ms.Project:
        nodes = {
            "orders": ms.files(
                "o.parquet", key="id", schema={"id": "int64", "customer": "string", "amount": "float64"}
            ),
            "customers": ms.files("c.parquet", schema={"customer": "string", "country": "string", "id": "int64"}),
            "sales": ms.table(function, name="sales"),
        }
        opened.append(ms.testing.project(nodes, {"orders": ORDERS, "customers": customers}))
        return opened[-1].__enter__()

    yield open
    for each in opened:
        each.__exit__(None, None, None)


def build(project: ms.Project) -> Any:
    return project.run().steps[-1]


def joined(**demands: Any) -> Callable[..., Any]:
    return lambda orders, customers: ms.join(orders, customers, "customer", **demands)


# ── what is returned ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("how", "keys"),
    [
        ("left", ["ann", "bob", "zed", None]),
        ("inner", ["ann", "bob"]),
        ("right", ["ann", "bob"]),
        ("outer", ["ann", "bob", "zed", None]),
    ],
)
def test_a_key_of_one_name_is_one_column(how: Any, keys: list[str | None]) -> None:
    orders, customers = ibis.memtable(pa.Table.from_pylist(ORDERS)), ibis.memtable(pa.Table.from_pylist(CUSTOMERS))
    joined = ms.join(orders, customers, "customer", how)
    assert joined.columns == ("id", "customer", "amount", "country", "id_right")
    assert sorted(joined.to_pyarrow()["customer"].to_pylist(), key=str) == sorted(keys, key=str)


def test_a_column_of_the_left_side_stays_that_is_called_as_a_second_key_would_be() -> None:
    one = ibis.memtable(pa.table({"k": [1], "k_right": [7]}))
    joined = ms.join(one, ibis.memtable(pa.table({"k": [1], "b": [2]})), "k", "inner")
    assert joined.to_pyarrow().to_pylist() == [{"k": 1, "k_right": 7, "b": 2}]


def test_an_outer_join_has_the_keys_of_both_sides() -> None:
    one, other = (
        ibis.memtable(pa.table({"k": [1, 2], "a": [1, 2]})),
        ibis.memtable(pa.table({"k": [2, 3], "b": [2, 3]})),
    )
    for how, expected in (("outer", [1, 2, 3]), ("right", [2, 3])):
        assert sorted(ms.join(one, other, "k", how).to_pyarrow()["k"].to_pylist()) == expected  # type: ignore[arg-type]


def test_a_mapping_joins_columns_of_other_names() -> None:
    one, other = ibis.memtable(pa.table({"a": [1], "x": [5]})), ibis.memtable(pa.table({"b": [1], "x": [6]}))
    joined = ms.join(one, other, {"a": "b"}, rname="{name}_of_other")
    assert joined.to_pyarrow().to_pylist() == [{"a": 1, "x": 5, "b": 1, "x_of_other": 6}]


def test_a_table_is_joined_with_itself() -> None:
    rows = ibis.memtable(pa.table({"k": [1, 2], "next": [2, 3]}))
    joined = ms.join(rows, rows, {"next": "k"}, "inner")
    assert joined.to_pyarrow().to_pylist() == [{"k": 1, "next": 2, "k_right": 2, "next_right": 3}]


# ── what is refused when it is declared ──────────────────────────────────────────────────────────────

T = ibis.table({"a": "int64", "b": "string"}, name="t")
U = ibis.table({"a": "string", "b": "string"}, name="u")


@pytest.mark.parametrize(
    ("arguments", "error", "what"),
    [
        ({"on": "zz"}, UnknownName, "unknown column 'zz'"),
        ({"on": {"b": "aa"}}, UnknownName, "unknown column 'aa'"),
        ({"on": "a"}, SchemaError, "'a' cannot be joined with 'a'"),
        ({"on": []}, DefinitionError, "`on` must name columns"),
        ({"on": ["b", "b"]}, DefinitionError, "`on` repeats a column"),
        ({"on": T.b == U.b}, DefinitionError, "`on` must name columns"),
        ({"on": "b", "how": "semi"}, DefinitionError, "`how` has an invalid value"),
        ({"on": "b", "expect": "one_to_several"}, DefinitionError, "`expect` has an invalid value"),
        ({"on": "b", "coverage": 95}, DefinitionError, "`coverage` has an invalid value"),
        ({"on": "b", "rname": "right"}, DefinitionError, "`rname` must make a name of a column's name"),
        ({"on": "b", "expected": "one_to_one"}, DefinitionError, "join has no parameter 'expected'"),
    ],
)
def test_what_is_no_join(arguments: dict[str, Any], error: type[DefinitionError], what: str) -> None:
    with pytest.raises(error) as refused:
        ms.join(T, U, **arguments)
    assert refused.value.what == what and str(refused.value.where).startswith("test_joins.py:")


def test_an_error_in_a_table_function_quotes_its_line(shop: Open) -> None:
    project = shop(lambda orders, customers: ms.join(orders, customers, "custumer"))
    with pytest.raises(UnknownName, match="unknown column 'custumer'") as error:
        project.plan()
    assert error.value.hint == "did you mean 'customer'?" and "test_joins.py:" in str(error.value.where)


# ── what is measured ─────────────────────────────────────────────────────────────────────────────────


def test_every_join_is_measured(shop: Open) -> None:
    (result,) = build(shop(lambda orders, customers: ms.join(orders, customers, "customer"))).checks
    assert (result.label, result.passed) == ("join(orders → customers on customer)", True)
    assert (result.rows, result.share, result.violations) == (4, 0.5, 0)
    assert result.sample == ({"customer": "zed", "rows": 1}, {"customer": None, "rows": 1})


def test_a_join_of_filtered_and_renamed_inputs_is_measured_as_it_is(shop: Open) -> None:
    def sales(orders: Any, customers: Any) -> Any:
        good = orders.filter(orders.amount > 0).rename(buyer="customer")
        return ms.join(good, customers.filter(customers.country == "PT"), {"buyer": "customer"}, coverage=0.3)

    (result,) = build(shop(sales)).checks
    assert (result.label, result.rows) == ("join(orders → customers on buyer = customer): coverage 0.3", 3)
    assert result.share == pytest.approx(1 / 3)


def test_joins_of_joins_are_measured_each(shop: Open) -> None:
    def sales(orders: Any, customers: Any) -> Any:
        first = ms.join(orders, customers, "customer", "inner")
        return ms.join(first, customers.select("country", home="customer"), "country", expect="one_to_one")

    results = build(shop(sales)).checks
    assert [(each.rows, each.share) for each in results] == [(4, 0.5), (2, None), (2, None), (2, 1.0)]


@pytest.mark.parametrize(
    ("expect", "customers", "violated"),
    [
        ("many_to_one", CUSTOMERS, None),
        ("one_to_one", CUSTOMERS, None),
        ("many_to_many", TWICE, None),
        (None, TWICE, None),
        ("one_to_many", TWICE, None),
        ("many_to_one", TWICE, "customers"),
        ("one_to_one", TWICE, "customers"),
    ],
)
def test_a_fan_out_fails_the_run_and_shows_the_keys(
    shop: Open, expect: Any, customers: list[dict[str, Any]], violated: str | None
) -> None:
    project = shop(lambda orders, customers: ms.join(orders, customers, "customer", expect=expect), customers)
    if violated is None:
        assert all(result.passed for result in build(project).checks)
        return
    with pytest.raises(RunFailed) as failed:
        project.run()
    (cause,) = failed.value.causes
    assert isinstance(cause, CheckFailed)
    assert cause.what == "sales: 2 of 3 rows share a key, so the join repeats rows"
    assert cause.got == "customer=bob, rows=2" and "test_joins.py:" in str(cause.where)
    assert cause.expected == f"join(orders → customers on customer): {expect}, one row of customers per key"
    assert "sales" not in project.release.tables


def test_a_repeated_left_key_is_refused_too(shop: Open) -> None:
    project = shop(lambda orders, customers: ms.join(customers, orders, "customer", expect="one_to_many"), TWICE)
    with pytest.raises(RunFailed) as failed:
        project.run()
    assert failed.value.causes[0].got == "customer=bob, rows=2"


def test_too_little_coverage_fails_the_run(shop: Open) -> None:
    with pytest.raises(RunFailed) as failed:
        shop(lambda orders, customers: ms.join(orders, customers, "customer", coverage=0.95)).run()
    (cause,) = failed.value.causes
    assert cause.what == "sales: 2 of 4 rows have no match (50.00% have one)"
    assert cause.got == "customer=zed, rows=1; customer=None, rows=1"


def test_a_warning_is_reported_and_the_table_is_published(shop: Open) -> None:
    def sales(orders: Any, customers: Any) -> Any:
        return ms.join(orders, customers, "customer", expect="many_to_one", coverage=0.9, severity="warn")

    project = shop(sales, TWICE)
    keys, coverage = build(project).checks
    assert (keys.violations, keys.rows, coverage.violations, coverage.share) == (2, 3, 2, 0.5)
    assert project.table("sales").to_pyarrow().num_rows == 5
    assert [check.share for check in project.status().nodes[-1].checks] == [None, 0.5]
    assert [result.violations for result in project.check()["sales"]] == [2, 2]


def test_other_demands_are_another_definition(shop: Open) -> None:
    fingerprints = set()
    for demands in ({}, {"expect": "many_to_one"}, {"coverage": 0.5}, {"coverage": 0.4}, {"severity": "warn"}):
        fingerprints.add(shop(joined(**demands)).graph["sales"].fingerprint)
    assert len(fingerprints) == 5


def test_lineage_sees_the_joined_columns(shop: Open) -> None:
    graph = shop(lambda orders, customers: ms.join(orders, customers, "customer")).graph
    assert graph["sales"].columns["amount"] == ("orders.amount",)
    assert "customers.country" in graph["sales"].columns["country"]


def test_a_new_part_is_measured_with_all_rows(shop: Open, tmp_path: Any) -> None:
    """A join is measured over whole inputs also where only new rows are built."""
    import pyarrow.parquet as pq

    project = shop(lambda orders, customers: ms.join(orders, customers, "customer", expect="many_to_one"))
    project.run()
    more = pa.Table.from_pylist([{"customer": "ann", "country": "IT", "id": 10}])
    pq.write_table(
        pa.concat_tables([pa.Table.from_pylist(CUSTOMERS), more]), project.settings.root / "customers.parquet"
    )
    with pytest.raises(RunFailed) as failed:
        project.run()
    assert failed.value.causes[0].got == "customer=ann, rows=2"


KEYS = st.lists(st.sampled_from([None, 1, 2, 3, 4]), max_size=8)


@settings(max_examples=60, deadline=None)
@given(KEYS, KEYS, st.sampled_from(["one_to_one", "many_to_one", "one_to_many", "many_to_many"]))
def test_measures_are_those_of_an_oracle(left: list[int | None], right: list[int | None], expect: Any) -> None:
    tables = {"l": pa.table({"k": pa.array(left, pa.int64())}), "r": pa.table({"k": pa.array(right, pa.int64())})}
    with collecting() as joins:
        ms.join(ibis.table({"k": "int64"}, name="l"), ibis.table({"k": "int64"}, name="r"), "k", expect=expect)
    with DuckdbEngine().session(tables) as session:
        *cardinality, coverage = measure(session, joins[0])
    known = {key for key in right if key is not None}
    matches = sum(key in known for key in left)
    assert (coverage.rows, coverage.share) == (len(left), matches / len(left) if left else None)
    lost = Counter(key for key in left if key not in known)
    assert {row["k"]: row["rows"] for row in coverage.sample} == lost
    sides = [left] * (expect in ("one_to_one", "one_to_many")) + [right] * (expect in ("one_to_one", "many_to_one"))
    assert len(cardinality) == len(sides)
    for result, side in zip(cardinality, sides, strict=True):
        counted = Counter(key for key in side if key is not None)
        assert result.violations == sum(n for n in counted.values() if n > 1)
        assert {row["k"]: row["rows"] for row in result.sample} == {k: n for k, n in counted.items() if n > 1}
