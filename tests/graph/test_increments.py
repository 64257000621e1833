"""New rows of an input: an additive expression over them alone gives what a full computation has more than before."""

from __future__ import annotations

from collections import Counter
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ibis import _

from mainstem.engines.queries import teach
from mainstem.graph.increments import added
from mainstem.tables import sql
from mainstem.tables.additive import only_adds

sales = ibis.table({"shop": "string", "item": "int64", "price": "float64", "tags": "array<string>"}, name="sales")
items = ibis.table({"item": "int64", "name": "string"}, name="items")
old = ibis.table({"shop": "string", "item": "int64", "price": "float64", "tags": "array<string>"}, name="old")

ADDITIVE = {
    "filter and compute": sales.filter(_.price > 3).mutate(twice=_.price * 2).drop("tags"),
    "fill and drop": sales.drop_null("shop").fill_null({"price": 0.0}).select("shop", "price"),
    "unnest": sales.unnest("tags").select("shop", "tags"),
    "left join": sales.left_join(items, "item").select("shop", "item", "name"),
    "two joins": sales.inner_join(items, "item").left_join(items.view(), "item").select("shop", "name", "name_right"),
    "semi join": sales.semi_join(items, "item").select("shop", "price"),
    "anti join": sales.anti_join(items, "item").select("shop", "price"),
    "right of an inner join": items.inner_join(sales, "item").select("name", "price"),
    "right of a right join": items.right_join(sales, "item").select("name", "price"),
    "cross join": sales.cross_join(items).select("shop", "name"),
    "join with an aggregate of another table": sales.left_join(items.group_by("item").agg(n=_.count()), "item").select(
        "shop", "n"
    ),
    "union with another table": sales.union(old).select("shop", "price"),
    "union of two parts": sales.filter(_.price > 3).union(sales.filter(_.price < 1)).select("shop", "price"),
    "nested unions": old.union(sales.union(old).filter(_.price > 2)).union(old).select("shop", "price"),
    "as-of join": sales.asof_join(items, on="item").select("shop", "name"),
    "ordered": sales.order_by("price").select("shop", "price"),
    "a condition on another table": sales.filter(_.item.isin(items.item)).select("shop", "price"),
    "a scalar of another table": sales.mutate(most=items.item.max().as_scalar()).select("shop", "most"),
}
OTHERS = {
    "aggregate": sales.group_by("shop").agg(n=_.count()),
    "window": sales.mutate(place=ibis.row_number().over(group_by="shop")).select("shop", "place"),
    "distinct": sales.select("shop").distinct(),
    "limit": sales.select("shop").limit(3),
    "set difference": sales.select("item").difference(items.select("item")),
    "distinct union": sales.select("item").union(items.select("item"), distinct=True),
    "a side that may stay unmatched": items.left_join(sales, "item").select("name", "price"),
    "the other side of an as-of join": items.asof_join(sales, on="item").select("name", "price"),
    "outer join": sales.outer_join(items, "item").select("shop", "name"),
    "anti join of the others": items.anti_join(sales, "item"),
    "itself": sales.inner_join(sales.view(), "item").select("shop", "shop_right"),
    "a scalar of its own rows": sales.mutate(most=sales.price.max().as_scalar()).select("shop", "most"),
    "a condition on its own rows": sales.filter(_.item.isin(sales.filter(_.price > 3).item)).select("shop"),
    "an aggregate below": sales.group_by("item").agg(n=_.count()).mutate(twice=_.n * 2),
    "the clock": sales.mutate(now=ibis.now()).select("shop", "now"),
    "chance": sales.mutate(draw=ibis.random()).select("shop", "draw"),
}
SQL_ADDITIVE = [
    "SELECT shop, price * 2 AS twice FROM sales WHERE price > 3",
    "SELECT s.shop, i.name FROM sales AS s LEFT JOIN items AS i ON s.item = i.item",
    "SELECT shop, name FROM sales JOIN items USING (item) WHERE price IS NOT NULL",
    "SELECT * EXCLUDE (tags) FROM sales SEMI JOIN items USING (item)",
    "SELECT shop, CASE WHEN price > 3 THEN 'dear' ELSE 'cheap' END AS kind FROM sales ORDER BY price",
]
SQL_OTHERS = [
    "SELECT shop, count(*) AS n FROM sales GROUP BY shop",
    "SELECT count(*) AS n FROM sales",
    "SELECT DISTINCT shop FROM sales",
    "SELECT shop FROM sales LIMIT 3",
    "SELECT shop, row_number() OVER (PARTITION BY shop) AS n FROM sales",
    "SELECT shop FROM sales QUALIFY row_number() OVER (PARTITION BY shop ORDER BY price) = 1",
    "SELECT name, price FROM items LEFT JOIN sales USING (item)",
    "SELECT name, price FROM items FULL JOIN sales USING (item)",
    "SELECT name, price FROM sales POSITIONAL JOIN items",
    "SELECT shop FROM sales UNION SELECT shop FROM sales",
    "SELECT shop FROM sales WHERE price > (SELECT avg(price) FROM sales)",
    "SELECT shop FROM sales WHERE item IN (SELECT item FROM items)",
    "WITH s AS (SELECT DISTINCT shop FROM sales) SELECT * FROM s",
    "SELECT shop FROM (SELECT DISTINCT shop FROM sales)",
    "SELECT a.shop FROM sales AS a JOIN sales AS b USING (item)",
    "SELECT shop, unnest(tags) AS tag FROM sales",
    "SELECT shop, now() AS at FROM sales",
    "SELECT shop, random() AS draw FROM sales",
    "SELECT kurtosis(price) AS k FROM sales",
    "SELECT shop FROM sales USING SAMPLE 10%",
    "SELECT shop FROM sales TABLESAMPLE 10%",
    "FROM (SELECT shop, item, price FROM sales) PIVOT (sum(price) FOR item IN (1, 2))",
    "FROM sales SELECT any_value(shop) AS shop",
]


def of_sql(text: str) -> ibis.Table:
    return sql.bind(text, {name: t for name, t in (("sales", sales), ("items", items)) if name in sql.inputs(text)})


@pytest.mark.parametrize("name", OTHERS)
def test_what_compares_rows_is_not_additive(name: str) -> None:
    assert added(OTHERS[name], "sales") is None


@pytest.mark.parametrize("text", SQL_OTHERS)
def test_sql_that_compares_rows_is_not_additive(text: str) -> None:
    assert added(of_sql(text), "sales", only_adds) is None


def test_an_unknown_operation_is_not_additive() -> None:
    assert added(of_sql(SQL_ADDITIVE[0]), "sales") is None


sale = st.fixed_dictionaries(
    {
        "shop": st.sampled_from(["a", "b", None]),
        "item": st.sampled_from([1, 2, 3, None]),
        "price": st.none() | st.sampled_from([0.5, 2.0, 4.0]),
        "tags": st.lists(st.sampled_from(["x", "y"]), max_size=2),
    }
)
rows = st.lists(sale, max_size=6)


def counted(connection: Any, expression: ibis.Table, world: dict[str, list[dict[str, Any]]]) -> Counter[str]:
    for name, table in (("sales", sales), ("items", items), ("old", old)):
        connection.con.register(name, pa.Table.from_pylist(world[name], table.schema().to_pyarrow()))
    return Counter(map(repr, connection.to_pyarrow(expression).to_pylist()))


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(before=rows, new=rows, others=rows)
def test_the_rows_of_an_increment_are_those_that_a_full_computation_adds(
    before: list[Any], new: list[Any], others: list[Any]
) -> None:
    fixed = {
        "old": others,
        "items": [{"item": 1, "name": "one"}, {"item": 2, "name": "two"}, {"item": 2, "name": "zwei"}],
    }
    teach()
    connection = ibis.duckdb.connect()
    cases = [*ADDITIVE.values(), *map(of_sql, SQL_ADDITIVE)]
    for expression in cases:
        part = added(expression, "sales", only_adds)
        assert part is not None, expression
        worlds = ({**fixed, "sales": sold} for sold in (before, [*before, *new], new))
        earlier, later = (counted(connection, expression, next(worlds)) for _ in range(2))
        assert later == earlier + counted(connection, part, next(worlds)), expression
    connection.disconnect()
