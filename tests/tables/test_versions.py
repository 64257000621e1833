"""`versions=True`: the history of a table by key."""

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mainstem as ms
from mainstem.errors import DefinitionError, RunFailed
from mainstem.features.offline.join import join
from mainstem.features.retrieval import compiled
from mainstem.features.views.view import Lookup
from mainstem.nodes.base import Node
from mainstem.nodes.records import now
from mainstem.settings import Profile, ProjectSettings, Serve, Settings
from mainstem.tables.sql_files import parse_file
from mainstem.tables.versions import widens

SCHEMA = pa.schema(
    [("id", pa.int64()), ("tier", pa.string()), ("spend", pa.float64()), ("at", pa.timestamp("us", tz="UTC"))]
)
START = datetime(2026, 1, 1, tzinfo=UTC)
Row = dict[str, Any]
Open = Callable[..., ms.Project]


def row(id: int, tier: str | None = "free", spend: float | None = None, hour: int | None = None) -> Row:
    return {"id": id, "tier": tier, "spend": spend, "at": None if hour is None else START + timedelta(hours=hour)}


def taken(people: Any) -> Any:
    return people


def plain(people: Any) -> Any:
    return people.drop("at")


def tiers(people: Any) -> Any:
    return people.select("id", "tier")


history = ms.table(plain, name="history", key="id", versions=True)
dated = ms.table(taken, name="dated", key="id", time="at", versions=True)


class Shop:
    """One project directory whose file of people is written anew."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.opened: list[ms.Project] = []

    def write(self, rows: Sequence[Row]) -> None:
        pq.write_table(pa.Table.from_pylist(list(rows), SCHEMA), self.root / "people.parquet")

    def open(self, **tables: Node) -> ms.Project:
        place = Settings(self.root, ProjectSettings("shop", ()), Profile(), "default", Serve())
        self.opened.append(ms.Project(place, {"people": ms.files("people.parquet"), **tables}))
        return self.opened[-1]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    made.write([row(1), row(2), row(3)])
    yield made
    for project in made.opened:
        project.close()


def stored(project: ms.Project, table: str = "history") -> list[Row]:
    rows: list[Row] = project.table(table).to_pyarrow().to_pylist()
    return sorted(rows, key=lambda row: (row["id"], row["valid_from"]))


def told(project: ms.Project, table: str = "history") -> list[tuple[Any, ...]]:
    return [(row["id"], row["tier"], row["valid_to"] is None) for row in stored(project, table)]


def step(record: Any, node: str = "history") -> Any:
    return next(step for step in record.steps if step.node == node)


def test_versions_open_and_close_by_key(shop: Shop) -> None:
    project = shop.open(history=history)
    before = now()
    done = step(project.run())
    assert (done.published, done.message) == (3, "the history begins")
    begun = {row["valid_from"] for row in stored(project)}
    assert len(begun) == 1 and before < next(iter(begun)) < now()
    shop.write([row(1, "pro"), row(2), row(4, None)])
    done = step(project.run())
    assert (done.published, done.message) == (2, "2 versions opened, 2 closed")
    assert told(project) == [
        (1, "free", False),
        (1, "pro", True),
        (2, "free", True),
        (3, "free", False),
        (4, None, True),
    ]
    closed = [row["valid_to"] for row in stored(project) if row["valid_to"]]
    opened = [row["valid_from"] for row in stored(project) if row["valid_from"] not in begun]
    assert len({*closed, *opened}) == 1 and closed[0] > next(iter(begun))


def test_where_no_row_changed_the_snapshot_stays(shop: Shop) -> None:
    project = shop.open(history=history)
    project.run()
    before = project.release.tables["history"].id
    shop.write([row(3), row(2), row(1)])
    done = step(project.run())
    assert (done.published, done.message) == (0, "no row changed")
    assert project.release.tables["history"].id == before
    assert project.run().status == "unchanged"


def test_a_key_that_comes_twice_is_an_error_that_shows_it(shop: Shop) -> None:
    project = shop.open(history=history)
    project.run()
    before = project.release.id
    shop.write([row(1), row(2), row(2, "pro")])
    with pytest.raises(RunFailed, match=r"unique\(id\)[^§]*got: id=2, rows=2"):
        project.run()
    assert project.release.id == before and len(stored(project)) == 3


def test_after_a_rollback_a_run_continues_what_is_published(shop: Shop) -> None:
    project = shop.open(history=history)
    project.run()
    shop.write([row(1, "pro"), row(2), row(3)])
    project.run()
    project.rollback()
    assert told(project) == [(1, "free", True), (2, "free", True), (3, "free", True)]
    shop.write([row(1, "team"), row(2), row(3)])
    project.run(forward=True)
    assert told(project) == [(1, "free", False), (1, "team", True), (2, "free", True), (3, "free", True)]


def test_a_full_refresh_and_another_definition_keep_the_history(shop: Shop) -> None:
    project = shop.open(history=history)
    project.run()
    shop.write([row(1, "pro", 5.0), row(2), row(3)])
    project.run()
    before = stored(project)
    done = step(project.run("history", full_refresh=True))
    assert done.message == "no row changed; the history is kept, as it cannot be computed again"
    assert stored(project) == before

    def wider(people: Any) -> Any:
        return people.mutate(vip=people.tier == "pro").drop("at").relocate("vip")

    project = shop.open(history=ms.table(wider, name="history", key="id", versions=True))
    done = step(project.run())
    assert done.message == "3 versions opened, 3 closed; the history is kept, as it cannot be computed again"
    found = stored(project)
    assert [(row["id"], row["tier"], row["vip"]) for row in found if row["valid_to"]] == [
        (1, "free", None), (1, "pro", None), (2, "free", None), (3, "free", None),
    ]  # fmt: skip
    assert [(row["id"], row["vip"]) for row in found if not row["valid_to"]] == [(1, True), (2, False), (3, False)]
    kept = [(row["id"], row["valid_from"], row["valid_to"]) for row in found if row["id"] == 1]
    assert kept[0] == (1, before[0]["valid_from"], before[0]["valid_to"])


def test_a_change_that_would_lose_a_column_of_the_history_is_refused(shop: Shop) -> None:
    shop.open(history=history).run()

    def dropped(people: Any) -> Any:
        return people.drop("at", "spend")

    def retyped(people: Any) -> Any:
        return people.mutate(spend=people.spend.cast("int64")).drop("at")

    for table, match in (
        (ms.table(plain, name="history", key=["id", "tier"], versions=True), "another key[^§]*expected: id"),
        (ms.table(plain, name="history", key="id"), "no longer keeps versions[^§]*mainstem drop history"),
    ):
        with pytest.raises(RunFailed, match=match):
            shop.open(history=table).run()
    for body, match in (
        (dropped, "has the column 'spend'[^§]*restore the column"),
        (retyped, "'spend' of the history"),
    ):
        project = shop.open(history=ms.table(body, name="history", key="id", versions=True))
        with pytest.raises(RunFailed, match=match):
            project.run()
        assert len(stored(project)) == 3


def test_a_wider_type_keeps_the_values(shop: Shop) -> None:
    def narrow(people: Any) -> Any:
        return people.mutate(id=people.id.cast("int32")).select("id", "tier")

    shop.open(history=ms.table(narrow, name="history", key="id", versions=True)).run()
    shop.write([row(1, "pro"), row(2), row(3)])
    project = shop.open(history=ms.table(tiers, name="history", key="id", versions=True))
    assert step(project.run()).message.startswith("1 version opened, 1 closed")
    assert told(project) == [(1, "free", False), (1, "pro", True), (2, "free", True), (3, "free", True)]


def test_only_types_that_hold_every_value_are_wider() -> None:
    assert widens("int32", "int64") and widens("int32", "float64") and widens("float32", "float64")
    assert widens("decimal(9, 2)", "decimal(12, 3)") and widens("string", "string")
    assert not widens("int64", "int32") and not widens("int64", "float64") and not widens("int64", "string")
    assert not widens("decimal(9, 2)", "decimal(9, 3)")


def test_a_check_judges_the_current_versions(shop: Shop) -> None:
    project = shop.open(history=history)
    shop.write([row(1, "old"), row(2)])
    project.run()
    shop.write([row(1, "free"), row(2)])
    project.run()
    known = ms.accepted("tier", ["free"])
    project = shop.open(history=ms.table(plain, name="history", key="id", versions=True, checks=[known]))
    project.run()
    assert told(project)[0] == (1, "old", False)
    assert all(result.passed for result in project.check("history")["history"])
    shop.write([row(1, "odd"), row(2)])
    with pytest.raises(RunFailed, match="accepted"):
        project.run()


def test_a_row_that_is_set_aside_leaves_its_current_version(shop: Shop) -> None:
    known = ms.accepted("tier", ["free", "pro"], severity="quarantine")
    project = shop.open(history=ms.table(plain, name="history", key="id", versions=True, checks=[known]))
    project.run()
    shop.write([row(1, "lost"), row(2, "pro")])
    done = step(project.run())
    assert (done.published, done.quarantined) == (1, 1)
    assert told(project) == [(1, "free", True), (2, "free", False), (2, "pro", True), (3, "free", False)]
    shop.write([row(1), row(2, "pro")])
    assert step(project.run()).quarantined == 0
    assert project.release.tables["quarantine.history"].rows == 0


def test_what_a_verb_sets_aside_leaves_the_version_too(shop: Shop) -> None:
    verb = ms.clean.cast("spend", "int64", invalid="quarantine")
    project = shop.open(history=ms.table(plain, name="history", key="id", versions=True, clean=[verb]))
    project.run()
    shop.write([row(1, "pro", 1.5), row(2, "pro", 2.0)])
    project.run()
    assert told(project) == [(1, "free", True), (2, "free", False), (2, "pro", True), (3, "free", False)]


def test_no_version_closes_while_a_row_set_aside_may_have_its_key(shop: Shop) -> None:
    def named(people: Any) -> Any:
        return people.select(id=people.tier, tier=people.tier)

    verb = ms.clean.cast("id", "int64", invalid="quarantine")
    project = shop.open(history=ms.table(named, name="history", key="id", versions=True, clean=[verb]))
    shop.write([row(1, "1"), row(2, "2")])
    project.run()
    shop.write([row(1, "l"), row(2, "2")])
    assert step(project.run()).quarantined == 1
    assert told(project) == [(1, "1", True), (2, "2", True)]
    shop.write([row(2, "2")])
    project.run()
    assert told(project) == [(1, "1", False), (2, "2", True)]


def test_a_view_sees_the_version_of_its_time(shop: Shop) -> None:
    person = ms.feature_view("history", key="id", columns=["tier"])
    project = shop.open(history=history, person=person)
    project.run()
    assert str(project.graph["history"].known["tier"]) == "valid_from"
    assert str(project.graph["history"].known["valid_to"]).startswith("unknown")
    first = stored(project)[0]["valid_from"]
    shop.write([row(1, "pro"), row(2), row(3)])
    project.run()
    second = next(row["valid_from"] for row in stored(project) if row["tier"] == "pro")
    tick = timedelta(microseconds=1)
    moments = [first - tick, first + tick, second - tick, second + tick]
    context = project.reading("test")
    examples = ibis.memtable(pa.table({"id": [1] * 4, "t": pa.array(moments, pa.timestamp("us", tz="UTC"))}))
    query = join(examples, "t", [Lookup(compiled(context.graph, "person"), ("id",), "p")]).order_by("t")
    with context.session(["history"]) as session:
        assert session.fetch(query)["p__tier"].to_pylist() == [None, "free", "free", "pro"]


def test_a_history_outlives_compaction_and_erasure(shop: Shop) -> None:
    people = ms.files("people.parquet", key="id")
    project = shop.open(people=people, history=history)
    project.run()
    for tier in ("pro", "team", "free"):
        shop.write([row(1, tier), row(2), row(3, tier)])
        project.run()
    before = stored(project)
    project.compact("history")
    assert stored(project) == before
    shop.write([row(1, "pro"), row(2)])
    project.run()
    assert len(stored(project)) == len(before) + 1 == 10
    shop.write([row(2)])
    project.run()
    project.erase("id", 1)
    assert {row["id"] for row in stored(project)} == {2, 3}
    shop.write([row(2, "pro")])
    project.run()
    assert [row["tier"] for row in stored(project)] == ["free", "pro", "free", "pro", "team", "free"]


def test_a_damaged_history_is_not_begun_anew(shop: Shop) -> None:
    project = shop.open(history=history)
    project.run()
    path = Path(project.reading("test").scan(project.release.tables["history"]).files[0])
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert [each.table for each in project.check_files().damaged] == ["history"]
    with pytest.raises(RunFailed, match="a history cannot be made again: put back a copy"):
        project.run()
    path.write_bytes(whole)
    assert project.check_files().damaged == ()
    shop.write([])
    assert step(project.run()).message == "0 versions opened, 3 closed"
    assert told(project) == [(1, "free", False), (2, "free", False), (3, "free", False)]


def test_a_file_of_sql_keeps_versions(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "history.sql"
    path.write_text("-- key: id\n-- versions: true\nSELECT id, tier FROM people")
    project = shop.open(history=parse_file(path))
    project.run()
    shop.write([row(1, "pro"), row(3)])
    project.run()
    assert told(project) == [(1, "free", False), (1, "pro", True), (2, "free", False), (3, "free", True)]
    path.write_text("-- key: id\n-- versions: yes\nSELECT id FROM people")
    with pytest.raises(DefinitionError, match="true or false"):
        parse_file(path)


def test_a_function_over_frames_keeps_versions(shop: Shop) -> None:
    schema = {"id": "int64", "tier": "string"}
    project = shop.open(history=ms.table(tiers, name="history", key="id", versions=True, using="polars", schema=schema))
    project.run()
    shop.write([row(1, "pro"), row(2), row(3)])
    project.run()
    assert told(project) == [(1, "free", False), (1, "pro", True), (2, "free", True), (3, "free", True)]


def test_combinations_that_mean_nothing_are_refused(shop: Shop) -> None:
    for wrong, match in (
        ({}, "requires `key`"),
        ({"key": "id", "write": "merge"}, "neither `incremental` nor `write`"),
        ({"key": "id", "incremental": "at"}, "neither `incremental` nor `write`"),
        ({"key": ["id", "valid_from"]}, "that of its rows"),
    ):
        with pytest.raises(DefinitionError, match=match):
            ms.table(taken, versions=True, **wrong)

    def own(people: Any) -> Any:
        return people.mutate(valid_to=people["at"])

    with pytest.raises(DefinitionError, match="'valid_to' of a history is made by Mainstem"):
        shop.open(history=ms.table(own, name="history", key="id", versions=True)).graph  # noqa: B018


def expected(past: list[Row], rows: Sequence[Row], at: datetime, time: str | None) -> list[Row]:
    """Return the history after a run, in plain Python."""
    found = [dict(version) for version in past]
    new = {row["id"]: row for row in rows}
    current = {version["id"]: version for version in found if version["valid_to"] is None}
    for id in {*new, *current}:
        ours, theirs = current.get(id), new.get(id)
        if ours and theirs and all(ours[name] == value for name, value in theirs.items()):
            continue
        since = at
        if theirs and time and theirs[time] is not None and theirs[time] <= at:
            stamps = [v["valid_to"] or v["valid_from"] for v in past if v["id"] == id]
            since = theirs[time] if not stamps or theirs[time] > max(stamps) else at
        if ours:
            ours["valid_to"] = since
        if theirs:
            found.append({**theirs, "valid_from": since, "valid_to": None})
    return sorted(found, key=lambda row: (row["id"], row["valid_from"]))


@pytest.mark.parametrize("seed", range(3))
def test_random_histories_are_those_of_plain_python(shop: Shop, seed: int) -> None:
    chance = random.Random(seed)
    project = shop.open(history=history, dated=dated)
    past: dict[str, list[Row]] = {"history": [], "dated": []}
    rows: list[Row] = []
    for number in range(7):
        if chance.random() < 0.85 or not rows:
            hours = [None, number, 24 * number, 10**6]
            kept = [each for each in rows if chance.random() < 0.6]
            others = [id for id in range(8) if id not in {each["id"] for each in kept}]
            rows = kept + [
                row(id, chance.choice(["free", "pro", None]), chance.choice([None, 0.5]), chance.choice(hours))
                for id in chance.sample(others, chance.randrange(len(others) + 1))
            ]
        shop.write(rows)
        before = now()
        project.run(full_refresh=chance.random() < 0.3)
        for name, time in (("history", None), ("dated", "at")):
            new = rows if time else [{k: v for k, v in each.items() if k != "at"} for each in rows]
            found = stored(project, name)
            stamps = {each[stamp] for each in found for stamp in ("valid_from", "valid_to")}
            mine = {stamp for stamp in stamps if stamp and before <= stamp <= now()}
            assert len(mine) <= 1
            past[name] = expected(past[name], new, next(iter(mine), now()), time)
            assert found == past[name], (name, number)
