"""An incremental table builds the intervals that changed, and is equal to one that is built again."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import DefinitionError, NotFound, RunFailed
from mainstem.nodes.base import Node, Origin
from mainstem.nodes.tables import sql
from mainstem.settings import Profile, ProjectSettings, Serve, Settings

ZONED = "timestamp('UTC', 6)"
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
SALE = pa.schema(
    [("id", pa.int64()), ("at", pa.timestamp("us", tz="UTC")), ("shop", pa.string()), ("price", pa.float64())]
)


def sale(id: int, day: float, shop: str = "s0", price: float = 1.0) -> dict[str, Any]:
    return {"id": id, "at": NEW_YEAR + timedelta(days=day), "shop": shop, "price": price}


def write(root: Path, name: str, rows: list[dict[str, Any]]) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    schema = SALE if name.startswith("sales") else None
    pq.write_table(pa.Table.from_pylist(rows, schema), root / name)


@ms.table(incremental="day")
def daily(sales: Any) -> Any:
    return sales.group_by(day=sales["at"].date()).agg(sold=_.count(), revenue=_.price.sum())


@ms.table(incremental="day", lookback="2d")
def by_city(sales: Any, shops: Any) -> Any:
    day = sales.mutate(day=sales["at"].truncate("D").cast(ZONED)).left_join(shops, "shop")
    return day.group_by("day", "city").agg(sold=_.count())


DAILY_SQL = """
SELECT CAST(date_trunc('day', s.at) AS DATE) AS day, city, count(*) AS sold
FROM sales AS s LEFT JOIN shops USING (shop) GROUP BY 1, city
"""
Open = Callable[..., ms.Project]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    write(tmp_path, "sales/1.parquet", [sale(n, n / 4) for n in range(40)])
    write(tmp_path, "shops/1.parquet", [{"shop": "s0", "city": "Rome"}])
    made: list[ms.Project] = []

    def open(**more: Node) -> ms.Project:
        sources = {"sales": ms.files("sales/*.parquet"), "shops": ms.files("shops/*.parquet")}
        found: dict[str, Node] = {**sources, "daily": daily, **more}
        place = Settings(tmp_path, ProjectSettings("shop", ()), Profile(), "default", Serve())
        made.append(ms.Project(place, found))
        return made[-1]

    yield open
    for project in made:
        project.close()


def rows(project: ms.Project, table: str) -> Counter[str]:
    return Counter(map(repr, project.table(table).to_pyarrow().to_pylist()))


def messages(record: Any) -> dict[str, str]:
    return {step.node: step.message for step in record.steps}


def as_if_built_again(project: ms.Project, *tables: str) -> None:
    before = {table: rows(project, table) for table in tables}
    project.run(" ".join(tables), full_refresh=True)
    assert {table: rows(project, table) for table in tables} == before


def test_only_the_intervals_with_new_rows_are_built(opened: Open, tmp_path: Path) -> None:
    project = opened()
    project.run()
    write(tmp_path, "sales/2.parquet", [sale(40, 10.5), sale(41, 3.2), sale(42, 20)])
    record = project.run()
    step = next(step for step in record.steps if step.node == "daily")
    assert step.message == "3 intervals of 1d, 2026-01-04 to 2026-01-21; 9 rows stay"
    assert (step.rows_in, step.published) == (3, 3)
    found = {row["day"]: row["sold"] for row in project.table("daily").to_pyarrow().to_pylist()}
    assert found[date(2026, 1, 4)] == 5 and found[date(2026, 1, 11)] == 1 and found[date(2026, 1, 21)] == 1
    as_if_built_again(project, "daily")
    assert project.run().status == "unchanged"


def test_rows_that_a_source_changes_or_loses_rebuild_their_intervals(opened: Open, tmp_path: Path) -> None:
    project = opened()
    project.run()
    write(tmp_path, "sales/1.parquet", [sale(n, n / 4, price=5.0 if n == 9 else 1.0) for n in range(36)])
    assert messages(project.run())["daily"].startswith("2 intervals of 1d, 2026-01-03 to 2026-01-10")
    assert len(project.table("daily").to_pyarrow()) == 9
    as_if_built_again(project, "daily")


def test_lookback_covers_what_lineage_does_not(opened: Open, tmp_path: Path) -> None:
    project = opened(by_city=by_city)
    project.run()
    write(tmp_path, "shops/1.parquet", [{"shop": "s0", "city": "Oslo"}])
    said = messages(project.run())["by_city"]
    assert said.startswith(
        "3 intervals of 1d, 2026-01-08 to 2026-01-10; earlier intervals may have older rows of shops"
    )
    found = {row["day"].day: row["city"] for row in project.table("by_city").to_pyarrow().to_pylist()}
    assert found[7] == "Rome" and found[8] == "Oslo"
    project.run("by_city", full_refresh=True)
    assert {row["city"] for row in project.table("by_city").to_pyarrow().to_pylist()} == {"Oslo"}


def test_sql_builds_its_intervals(opened: Open, tmp_path: Path) -> None:
    table = sql("by_sql", DAILY_SQL, origin=Origin("by_sql.sql", 1), incremental="day", key=["day", "city"])
    project = opened(by_sql=table)
    project.run()
    write(tmp_path, "sales/2.parquet", [sale(40, 2.5), sale(41, 11)])
    assert messages(project.run())["by_sql"].startswith("2 intervals of 1d, 2026-01-03 to 2026-01-12")
    as_if_built_again(project, "by_sql")


def test_a_failed_run_and_a_rollback_leave_no_gap(opened: Open, tmp_path: Path) -> None:
    strict = ms.table(daily.function, name="daily", incremental="day", checks=[ms.between("revenue", 0, 100)])
    project = opened(daily=strict)
    project.run()
    write(tmp_path, "sales/2.parquet", [sale(40, 12)])
    write(tmp_path, "sales/3.parquet", [sale(41, 13, price=1000.0)])
    with pytest.raises(RunFailed):
        project.run()
    write(tmp_path, "sales/3.parquet", [sale(41, 13, price=10.0)])
    assert messages(project.run())["daily"].startswith("2 intervals of 1d, 2026-01-13 to 2026-01-14")
    project.rollback()
    write(tmp_path, "sales/4.parquet", [sale(42, 14)])
    assert messages(project.run(forward=True))["daily"].startswith("3 intervals of 1d, 2026-01-13 to 2026-01-15")
    as_if_built_again(project, "daily")


def test_quarantined_rows_are_replaced_with_their_interval(opened: Open, tmp_path: Path) -> None:
    few = ms.table(
        daily.function, name="daily", incremental="day", checks=[ms.between("sold", 4, 100, severity="quarantine")]
    )
    project = opened(daily=few)
    write(tmp_path, "sales/2.parquet", [sale(40, 10.0), sale(41, 11.0)])
    project.run()
    assert len(project.table("quarantine.daily").to_pyarrow()) == 2
    write(tmp_path, "sales/3.parquet", [sale(n, 10.1) for n in range(50, 54)] + [sale(60, 20)])
    project.run()
    days = {row["day"] for row in project.table("quarantine.daily").to_pyarrow().to_pylist()}
    assert days == {date(2026, 1, 12), date(2026, 1, 21)}
    as_if_built_again(project, "daily")


def test_a_row_without_a_time_is_refused(opened: Open, tmp_path: Path) -> None:
    project = opened()
    project.run()
    write(tmp_path, "sales/2.parquet", [{"id": 40, "at": None, "shop": "s0", "price": 1.0}])
    with pytest.raises(RunFailed, match=r"not_null\(day\)"):
        project.run()


def test_a_warning_does_not_let_rows_without_a_time_in_and_those_set_aside_stand_once(
    opened: Open, tmp_path: Path
) -> None:
    def declared(severity: Any) -> Any:
        checks = [ms.not_null("day", severity=severity)]
        return ms.table(daily.function, name="daily", incremental="day", checks=checks)

    write(tmp_path, "sales/2.parquet", [{"id": 40, "at": None, "shop": "s0", "price": 1.0}])
    with pytest.raises(RunFailed, match=r"not_null\(day\)"):
        opened(daily=declared("warn")).run()
    project = opened(daily=declared("quarantine"))
    project.run()
    for _again in range(2):
        project.run("daily", start="2026-01-01", end="2026-01-06")
        assert len(project.table("quarantine.daily").to_pyarrow()) == 1


def test_a_backfill_builds_its_intervals_again(opened: Open, tmp_path: Path) -> None:
    project = opened(by_city=by_city)
    project.run()
    write(tmp_path, "shops/1.parquet", [{"shop": "s0", "city": "Oslo"}])
    project.run()
    planned = project.plan("by_city", start="2026-01-01", end="2026-01-06")
    assert [(step.key, step.reason) for step in planned.steps] == [("build by_city", "a backfill")]
    assert planned.steps[0].details[0].startswith("5 intervals of 1d, 2026-01-01 to 2026-01-05")
    said = messages(project.run("by_city", start="2026-01-01", end="2026-01-06"))["by_city"]
    assert said.startswith("5 intervals of 1d, 2026-01-01 to 2026-01-05")
    found = {row["day"].day: row["city"] for row in project.table("by_city").to_pyarrow().to_pylist()}
    assert found[5] == "Oslo" and found[6] == "Rome"
    said = messages(project.run("by_city", start="2026-01-05", end="2026-01-09"))["by_city"]
    assert "; earlier intervals may have older rows of shops (before 2026-01-05);" in said
    said = messages(project.run("by_city", start="2025-12-01"))["by_city"]
    assert "older rows" not in said
    assert {row["city"] for row in project.table("by_city").to_pyarrow().to_pylist()} == {"Oslo"}
    write(tmp_path, "sales/2.parquet", [sale(40, 10)])
    assert "older rows" not in messages(project.run())["by_city"]


def test_wrong_backfills_are_refused(opened: Open) -> None:
    project = opened(plain=ms.table(lambda_free, name="plain"))
    project.run()
    with pytest.raises(DefinitionError, match="not after its start"):
        project.run(start="2026-02-01", end="2026-01-01")
    with pytest.raises(DefinitionError, match="is not a date"):
        project.run(start="January", end="2026-01-01")
    with pytest.raises(DefinitionError, match="requires a start"):
        project.run(end="2026-01-01")
    with pytest.raises(DefinitionError, match="builds all intervals"):
        project.run(start="2026-01-01", full_refresh=True)
    with pytest.raises(NotFound, match="no selected table is incremental"):
        project.run("plain", start="2026-01-01")


def lambda_free(sales: Any) -> Any:
    return sales.filter(sales.price > 0)


def test_wrong_declarations_are_refused(opened: Open) -> None:
    with pytest.raises(DefinitionError, match="`lookback` requires `incremental`"):
        ms.table(lambda_free, lookback="1d")
    with pytest.raises(DefinitionError, match="the rows of intervals have an order"):
        ms.table(lambda_free, incremental="at", sort="price")
    with pytest.raises(DefinitionError, match="must be whole seconds"):
        ms.table(lambda_free, incremental="at", interval="1ms")
    for wrong, message in (
        (ms.table(lambda_free, name="wrong", incremental="price"), "requires a date or an instant"),
        (ms.table(daily.function, name="wrong", incremental="day", interval="1h"), "must be whole days"),
        (
            ms.table(lambda_free, name="wrong", incremental="at", clean=[ms.clean.deduplicate("id", "at")]),
            "cannot be cleaned by",
        ),
    ):
        with pytest.raises(DefinitionError, match=message):
            opened(wrong=wrong).graph  # noqa: B018


EXPRESSIONS: dict[str, Callable[[Any, Any], Any]] = {
    "selected": lambda sales, shops: sales.filter(sales.price > 2),
    "counted": lambda sales, shops: sales.group_by("at").agg(sold=_.count(), revenue=_.price.sum()),
    "joined": lambda sales, shops: sales.inner_join(shops, "shop").group_by("at", "city").agg(n=_.count()),
    "ranked": lambda sales, shops: sales.mutate(share=sales.price / sales.price.sum().over(group_by="at")),
    "distinct": lambda sales, shops: sales.select("at", "shop").distinct(),
    "both": lambda sales, shops: sales.select("at").union(sales.filter(sales.price > 1).select("at")),
}


def declared(name: str, lookback: str | None) -> Node:
    def body(sales: Any, shops: Any) -> Any:
        return EXPRESSIONS[name](sales.mutate(at=sales["at"].truncate("h").cast(ZONED)), shops)

    return ms.table(body, name=name, incremental="at", interval="1d", lookback=lookback)  # type: ignore[no-any-return]


@pytest.mark.parametrize("seed", range(4))
def test_whatever_comes_the_rows_are_those_of_a_full_refresh(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    sources = {"sales": ms.files("sales/*.parquet"), "shops": ms.files("shops/*.parquet")}
    found: dict[str, Node] = {**sources, **{n: declared(n, chance.choice([None, "1d"])) for n in EXPRESSIONS}}
    write(tmp_path, "shops/0.parquet", [{"shop": f"s{n}", "city": f"c{n}"} for n in range(2)])
    files: dict[int, list[dict[str, Any]]] = {}

    def some(first: int) -> list[dict[str, Any]]:
        days = [chance.uniform(-400, 400) for _ in range(3)]
        return [
            sale(
                first + n, chance.choice(days) + chance.random(), f"s{chance.randrange(3)}", float(chance.randrange(5))
            )
            for n in range(chance.randrange(1, 12))
        ]

    place = Settings(tmp_path, ProjectSettings("shop", ()), Profile(), "default", Serve())
    with ms.Project(place, found) as project:
        for step in range(6):
            files[step] = some(100 * step)
            if step and chance.random() < 0.5:  # an older file changes
                old = chance.choice(list(files))
                files[old] = [row for row in files[old] if chance.random() < 0.7] or some(1000 + step)
            for number, content in files.items():
                write(tmp_path, f"sales/{number}.parquet", content)
            project.run()
            if chance.random() < 0.3:
                project.compact()
        before = {name: rows(project, name) for name in EXPRESSIONS}
        project.run(" ".join(EXPRESSIONS), full_refresh=True)
        assert {name: rows(project, name) for name in EXPRESSIONS} == before
