"""A table whose inputs only grew gets only its new part, and is equal to one that is built again."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ibis import _

import mainstem as ms
from mainstem.errors import RunFailed
from mainstem.nodes.base import Node, Origin
from mainstem.nodes.tables import sql
from mainstem.settings import Profile, ProjectSettings, Serve, Settings

ONLY_NEW = "only what is new"


def write(root: Path, name: str, rows: list[dict[str, Any]]) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    types = {"id": pa.int64(), "shop": pa.string(), "price": pa.float64(), "city": pa.string()}
    columns = rows[0].keys()
    pq.write_table(pa.table({c: pa.array([row[c] for row in rows], types[c]) for c in columns}), root / name)


def sold(first: int, rows: int) -> list[dict[str, Any]]:
    return [{"id": n, "shop": f"s{n % 3}", "price": float(n % 7)} for n in range(first, first + rows)]


@ms.table
def dear(sales: Any) -> Any:
    return sales.filter(sales.price > 2).mutate(cents=(sales.price * 100).cast("int64"))


@ms.table
def placed(dear: Any, shops: Any) -> Any:
    return dear.left_join(shops, "shop").select("id", "shop", "cents", "city")


@ms.table
def totals(sales: Any) -> Any:
    return sales.group_by("shop").agg(sold=_.count())


def nodes(**more: Node) -> dict[str, Node]:
    sources = {"sales": ms.files("sales/*.parquet", key="id"), "shops": ms.files("shops/*.parquet", key="shop")}
    found: dict[str, Node] = {**sources, "dear": dear, "placed": placed, "totals": totals}
    return {**found, **more}


Open = Callable[..., ms.Project]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    write(tmp_path, "sales/1.parquet", sold(0, 50))
    write(tmp_path, "shops/1.parquet", [{"shop": "s0", "city": "Rome"}, {"shop": "s1", "city": "Oslo"}])
    made: list[ms.Project] = []

    def open(**more: Node) -> ms.Project:
        root = Settings(tmp_path, ProjectSettings("shop", ()), Profile(), "default", Serve())
        made.append(ms.Project(root, nodes(**more)))
        return made[-1]

    yield open
    for project in made:
        project.close()


def rows(project: ms.Project, table: str) -> Counter[str]:
    return Counter(map(repr, project.table(table).to_pyarrow().to_pylist()))


def messages(record: Any) -> dict[str, str]:
    return {step.node: step.message for step in record.steps}


def as_if_built_again(project: ms.Project, *tables: str) -> None:
    """The tables have the rows that a full refresh gives them."""
    before = {table: rows(project, table) for table in tables}
    record = project.run(" ".join(tables), full_refresh=True)
    assert {step.node for step in record.steps} == set(tables)
    assert not any(ONLY_NEW in text for text in messages(record).values())
    assert {table: rows(project, table) for table in tables} == before


def files_of(project: ms.Project, table: str) -> set[str]:
    return set(project.adapters.lake.scan(project.release.tables[table]).files)


def test_a_new_file_costs_the_new_part(opened: Open, tmp_path: Path) -> None:
    project = opened()
    project.run()
    before = {table: files_of(project, table) for table in ("dear", "placed")}
    write(tmp_path, "sales/2.parquet", sold(50, 10))
    record = project.run()
    said = messages(record)
    assert said["dear"].startswith(ONLY_NEW) and said["placed"].startswith(ONLY_NEW) and said["totals"] == ""
    assert [(s.rows_in, s.published) for s in record.steps if s.node == "dear"] == [(5, 5)]
    for table, files in before.items():
        assert len(files_of(project, table) - files) == 1 and files < files_of(project, table)
    as_if_built_again(project, "dear", "placed", "totals")
    assert project.run().status == "unchanged"


def test_new_rows_that_add_none_keep_the_snapshot_and_all_below_it(opened: Open, tmp_path: Path) -> None:
    project = opened()
    project.run()
    before = project.release.tables["dear"].id
    write(tmp_path, "sales/2.parquet", [{"id": 50, "shop": "s1", "price": 1.0}])
    record = project.run()
    assert messages(record)["dear"] == "what is new adds no rows"
    assert messages(record)["placed"] == "its inputs did not change"
    assert project.release.tables["dear"].id == before
    write(tmp_path, "sales/3.parquet", sold(51, 9))
    assert messages(project.run())["dear"].startswith(ONLY_NEW)
    as_if_built_again(project, "dear", "placed")


def test_a_file_that_changed_or_a_side_that_decides_rows_builds_again(opened: Open, tmp_path: Path) -> None:
    project = opened()
    project.run()
    write(tmp_path, "shops/2.parquet", [{"shop": "s2", "city": "Bern"}])
    assert messages(project.run())["placed"] == ""  # rows without a match have one now
    assert "None" not in "".join(rows(project, "placed"))
    write(tmp_path, "sales/1.parquet", sold(0, 40))
    assert messages(project.run())["dear"] == ""
    as_if_built_again(project, "dear", "placed")


def test_another_definition_or_check_builds_again(opened: Open, tmp_path: Path) -> None:
    opened().run()
    write(tmp_path, "sales/2.parquet", sold(50, 10))
    stricter = ms.table(dear.function, checks=[ms.between("price", 3, 5, severity="quarantine")])
    project = opened(dear=stricter)
    record = project.run()
    assert messages(record)["dear"] == ""
    assert {repr(row["price"]) for row in project.table("dear").to_pyarrow().to_pylist()} == {"3.0", "4.0", "5.0"}


def test_bad_rows_among_the_new_ones_are_set_aside_beside_the_earlier(opened: Open, tmp_path: Path) -> None:
    project = opened(dear=ms.table(dear.function, checks=[ms.between("price", 0, 5, severity="quarantine")]))
    project.run()
    first = len(project.table("quarantine.dear").to_pyarrow())
    assert first == 7
    write(tmp_path, "sales/2.parquet", sold(50, 14))
    record = project.run()
    step = next(step for step in record.steps if step.node == "dear")
    assert step.message.startswith(ONLY_NEW)
    assert (step.rows_in, step.published, step.quarantined) == (8, 6, 2)
    assert len(project.table("quarantine.dear").to_pyarrow()) == first + 2
    as_if_built_again(project, "dear")
    assert len(project.table("quarantine.dear").to_pyarrow()) == first + 2


def test_a_key_that_comes_again_is_found_among_the_earlier_rows(opened: Open, tmp_path: Path) -> None:
    loose = ms.files("sales/*.parquet", name="sales")
    project = opened(sales=loose, dear=ms.table(dear.function, key="id"))
    project.run()
    before = project.release.id
    write(tmp_path, "sales/2.parquet", sold(40, 20))
    with pytest.raises(RunFailed, match="unique"):
        project.run()
    assert project.release.id == before


def test_checks_of_rows_with_one_another_build_again(opened: Open, tmp_path: Path) -> None:
    by_shop = ms.foreign_key("shop", "shops", "shop", severity="quarantine")
    project = opened(dear=ms.table(dear.function, checks=[by_shop]))
    project.run()
    aside = len(project.table("quarantine.dear").to_pyarrow())
    assert aside > 0
    write(tmp_path, "shops/2.parquet", [{"shop": "s2", "city": "Bern"}])
    write(tmp_path, "sales/2.parquet", sold(50, 10))
    assert messages(project.run())["dear"] == ""  # the shop is known now, so its earlier rows come back
    assert len(project.table("quarantine.dear").to_pyarrow()) == 0


def test_sql_gets_only_its_new_part_too(opened: Open, tmp_path: Path) -> None:
    text = "SELECT s.id, city, price FROM sales AS s LEFT JOIN shops USING (shop) WHERE price > 2"
    project = opened(by_city=sql("by_city", text, origin=Origin("by_city.sql", 1)))
    project.run()
    write(tmp_path, "sales/2.parquet", sold(50, 10))
    assert messages(project.run())["by_city"].startswith(ONLY_NEW)
    as_if_built_again(project, "by_city")


def test_after_a_rollback_the_new_part_follows_what_is_published(opened: Open, tmp_path: Path) -> None:
    project = opened()
    project.run()
    write(tmp_path, "sales/2.parquet", sold(50, 10))
    project.run()
    project.rollback()
    write(tmp_path, "sales/3.parquet", sold(60, 10))
    project.run(forward=True)
    assert len(project.table("sales").to_pyarrow()) == 70
    as_if_built_again(project, "dear", "placed")


def test_a_run_of_some_nodes_leaves_the_rest_for_a_later_one(opened: Open, tmp_path: Path) -> None:
    project = opened()
    project.run()
    for number in (2, 3):
        write(tmp_path, f"sales/{number}.parquet", sold(50 * number, 10))
        project.run("sales")
    assert messages(project.run())["dear"].startswith(ONLY_NEW)
    as_if_built_again(project, "dear", "placed", "totals")


EXPRESSIONS: dict[str, Callable[[Any, Any], Any]] = {
    "selected": lambda sales, shops: sales.filter(sales.price > 2),
    "inner": lambda sales, shops: sales.inner_join(shops, "shop").select("id", "city"),
    "left": lambda sales, shops: sales.left_join(shops, "shop").select("id", "city"),
    "both": lambda sales, shops: sales.select("shop").union(shops.select("shop")),
    "known": lambda sales, shops: sales.semi_join(shops, "shop"),
    "unknown": lambda sales, shops: sales.anti_join(shops, "shop"),
    "counted": lambda sales, shops: sales.inner_join(shops, "shop").group_by("city").agg(sold=_.count()),
    "first": lambda sales, shops: sales.mutate(place=ibis.row_number().over(group_by="shop", order_by="id")),
}
sale = st.tuples(st.sampled_from(["s0", "s1", "s2", None]), st.none() | st.sampled_from([1.0, 3.0, 5.0]))
batches = st.lists(
    st.tuples(st.lists(sale, max_size=4), st.lists(st.sampled_from(["s0", "s1", "s2"]), max_size=2)),
    min_size=2,
    max_size=4,
)


def declared(name: str) -> Node:
    def body(sales: Any, shops: Any) -> Any:
        return EXPRESSIONS[name](sales, shops)

    return ms.table(body, name=name)  # type: ignore[no-any-return]


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=batches)
def test_whatever_comes_the_rows_are_those_of_a_full_refresh(
    steps: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("shop")
    sources = {"sales": ms.files("sales/*.parquet"), "shops": ms.files("shops/*.parquet")}
    found: dict[str, Node] = {**sources, **{name: declared(name) for name in EXPRESSIONS}}
    write(root, "sales/0.parquet", sold(0, 5))
    write(root, "shops/0.parquet", [{"shop": "s0", "city": "Rome"}])
    place = Settings(root, ProjectSettings("shop", ()), Profile(), "default", Serve())
    with ms.Project(place, found) as project:
        project.run()
        for number, (sales, shops) in enumerate(steps, 1):
            if sales:
                new = [{"id": 100 * number + n, "shop": s, "price": p} for n, (s, p) in enumerate(sales)]
                write(root, f"sales/{number}.parquet", new)
            if shops:
                write(root, f"shops/{number}.parquet", [{"shop": shop, "city": f"c{number}"} for shop in shops])
            project.run()
        before = {name: rows(project, name) for name in EXPRESSIONS}
        project.run(" ".join(EXPRESSIONS), full_refresh=True)
        assert {name: rows(project, name) for name in EXPRESSIONS} == before
