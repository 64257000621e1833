"""`write="merge"`: rows replace those with the same key, others stay."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mainstem as ms
from mainstem.errors import DefinitionError, RunFailed
from mainstem.nodes.base import Node, Origin
from mainstem.nodes.tables import sql
from mainstem.settings import Profile, ProjectSettings, Serve, Settings

SCHEMA = pa.schema([("id", pa.int64()), ("status", pa.string()), ("at", pa.timestamp("us", tz="UTC"))])
Open = Callable[..., ms.Project]


def order(id: int, status: str = "new", hour: int = 0) -> dict[str, Any]:
    return {"id": id, "status": status, "at": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour)}


def write(root: Path, name: str, rows: list[dict[str, Any]]) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), root / name)


def taken(changes: Any) -> Any:
    return changes.filter(changes.status != "draft")


orders = ms.table(taken, name="orders", key="id", write="merge")
latest = ms.table(taken, name="latest", key="id", write="merge", incremental="at")


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    write(tmp_path, "changes/1.parquet", [order(n) for n in range(10)])
    made: list[ms.Project] = []

    def open(**more: Node) -> ms.Project:
        place = Settings(tmp_path, ProjectSettings("shop", ()), Profile(), "default", Serve())
        made.append(ms.Project(place, {"changes": ms.files("changes/*.parquet"), **more}))
        return made[-1]

    yield open
    for project in made:
        project.close()


def found(project: ms.Project, table: str) -> dict[int, str]:
    return {row["id"]: row["status"] for row in project.table(table).to_pyarrow().to_pylist()}


def step(record: Any, node: str) -> Any:
    return next(step for step in record.steps if step.node == node)


def test_rows_replace_those_with_their_key(opened: Open, tmp_path: Path) -> None:
    project = opened(orders=orders)
    project.run()
    write(tmp_path, "changes/2.parquet", [order(3, "paid", 1), order(10, "new", 1), order(4, "draft", 1)])
    done = step(project.run(), "orders")
    assert (done.rows_in, done.published, done.message) == (2, 2, "merged by id; 9 rows stay")
    assert found(project, "orders") == {**dict.fromkeys(range(11), "new"), 3: "paid"}
    assert project.run().status == "unchanged"


def test_a_key_that_comes_twice_is_an_error_that_shows_it(opened: Open, tmp_path: Path) -> None:
    project = opened(orders=orders)
    project.run()
    before = project.release.id
    write(tmp_path, "changes/2.parquet", [order(3, "paid", 1), order(3, "sent", 2)])
    with pytest.raises(RunFailed, match=r"unique\(id\)[^§]*got: id=3, rows=2"):
        project.run()
    assert project.release.id == before and found(project, "orders")[3] == "new"


def test_the_latest_row_stays_in_whatever_order_rows_come(opened: Open, tmp_path: Path) -> None:
    project = opened(latest=latest)
    project.run()
    write(tmp_path, "changes/2.parquet", [order(3, "sent", 5), order(3, "paid", 4)])
    project.run()
    assert found(project, "latest")[3] == "sent"
    write(tmp_path, "changes/3.parquet", [order(3, "late", 2)])
    assert step(project.run(), "latest").message == "what is new adds no rows"
    assert found(project, "latest")[3] == "sent"


def test_rows_that_the_input_lost_stay_until_a_full_refresh(opened: Open, tmp_path: Path) -> None:
    project = opened(orders=orders)
    project.run()
    write(tmp_path, "changes/1.parquet", [order(n, "paid" if n == 1 else "new") for n in range(5)])
    done = step(project.run(), "orders")
    assert (done.rows_in, done.message) == (1, "merged by id; 9 rows stay")
    assert found(project, "orders") == {**dict.fromkeys(range(10), "new"), 1: "paid"}
    project.run("orders", full_refresh=True)
    assert sorted(found(project, "orders")) == [0, 1, 2, 3, 4]


def test_a_quarantined_row_replaces_nothing(opened: Open, tmp_path: Path) -> None:
    known = ms.accepted("status", ["new", "paid"], severity="quarantine")
    project = opened(orders=ms.table(taken, name="orders", key="id", write="merge", checks=[known]))
    project.run()
    write(tmp_path, "changes/2.parquet", [order(3, "lost", 1), order(4, "paid", 1)])
    done = step(project.run(), "orders")
    assert (done.rows_in, done.published, done.quarantined) == (2, 1, 1)
    assert found(project, "orders") == {**dict.fromkeys(range(10), "new"), 4: "paid"}


def test_a_merge_that_reads_all_rows_again_keeps_lost_ones_and_sets_others_aside_once(
    opened: Open, tmp_path: Path
) -> None:
    known = ms.files("known.csv", key="status")
    judged = ms.table(
        taken,
        name="judged",
        key="id",
        write="merge",
        checks=[ms.foreign_key("status", known, "status", severity="quarantine")],
    )
    (tmp_path / "known.csv").write_text("status\nnew\n")
    write(tmp_path, "changes/1.parquet", [order(1), order(2), order(3, "odd")])
    project = opened(known=known, judged=judged)
    project.run()
    write(tmp_path, "changes/1.parquet", [order(2, "paid"), order(4), order(5, "odd")])
    project.run()
    (tmp_path / "known.csv").write_text("status\nnew\npaid\n")
    for _ in range(2):
        project.run()
        assert found(project, "judged") == {1: "new", 2: "paid", 4: "new"}
        aside = project.table("quarantine.judged").to_pyarrow().to_pylist()
        assert [row["id"] for row in aside] == [5]


def test_wrong_declarations_are_refused() -> None:
    with pytest.raises(DefinitionError, match="requires `key`"):
        ms.table(taken, write="merge")
    with pytest.raises(DefinitionError, match="has no intervals"):
        ms.table(taken, key="id", write="merge", incremental="at", lookback="1d")
    aside = ms.unique("id", severity="quarantine")
    with pytest.raises(DefinitionError, match="does not know which row of a repeated key"):
        ms.table(key="id", write="merge", checks=[aside])(taken)
    ms.table(key="id", write="merge", incremental="at", checks=[aside])(taken)
    with pytest.raises(DefinitionError, match="invalid value"):
        sql("t", "SELECT 1 AS id", origin=Origin("t.sql", 1), key="id", write="upsert")  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(3))
def test_whatever_comes_the_rows_are_those_of_a_full_refresh(opened: Open, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    project = opened(latest=latest)
    project.run()
    hour = 1
    for number in range(2, 8):
        rows = []
        for _ in range(chance.randrange(1, 6)):
            hour += 1
            rows.append(order(chance.randrange(15), chance.choice(["new", "paid", "sent"]), hour))
        hours = [row["at"] for row in rows]
        chance.shuffle(hours)
        write(tmp_path, f"changes/{number}.parquet", [{**row, "at": at} for row, at in zip(rows, hours, strict=True)])
        if chance.random() < 0.7:
            project.run()
    project.run()
    before = Counter(map(repr, project.table("latest").to_pyarrow().to_pylist()))
    project.run("latest", full_refresh=True)
    assert Counter(map(repr, project.table("latest").to_pyarrow().to_pylist())) == before
