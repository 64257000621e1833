"""What a branch publishes, as it is and as it was, in whatever form one works with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import ModelError, NotFound, RequestError, RunFailed, StorageError, UnknownName
from mainstem.features.offline.join import AsOf
from mainstem.nodes.records import now
from mainstem.nodes.verbs import Rescale
from mainstem.project.project import Project

INSTANT = "timestamp('UTC', 6)"
NOON = datetime(2013, 12, 1, 12, tzinfo=UTC)
FLIGHT = {
    "flight_id": "string",
    "origin": "string",
    "scheduled_at": INSTANT,
    "arrived_at": INSTANT,
    "arr_delay": "float64",
}
EVENT = {"origin": "string", "dep_delay": "float64", "departed_at": INSTANT}

flights = ms.files(
    "flights.csv",
    key="flight_id",
    time="scheduled_at",
    known={
        "*": _.scheduled_at - ibis.interval(days=30),
        "arrived_at": "arrived_at",
        "arr_delay": "arrived_at",
    },
    schema=FLIGHT,
)
departures = ms.stream("departures", schema=EVENT, time="departed_at")


@ms.table(key="flight_id")
def legs(flights):  # type: ignore[no-untyped-def]
    return flights.mutate(late=_.arr_delay > 15)


airport = ms.feature_view(departures, key="origin", windows=["1h"], n=_.count(), delay=_.dep_delay.mean())
late = ms.model(
    examples=flights,
    prediction_time=_.scheduled_at,
    target=_.arr_delay > 15,
    features=["origin", airport],
    candidates=["linear"],
    gap="0s",
    folds=2,
)
# Ibis asks DuckDB for Arrow by a name that DuckDB wants to leave.
pytestmark = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")

NODES = {"flights": flights, "departures": departures, "legs": legs, "airport": airport, "late": late}


def rows(count: int) -> list[dict[str, Any]]:
    """A flight every ten minutes; each third is late, and the last has not arrived."""
    return [
        {
            "flight_id": f"F{n}",
            "origin": "JFK" if n % 2 else "LGA",
            "scheduled_at": NOON + timedelta(minutes=10 * n),
            "arrived_at": None if n == count - 1 else NOON + timedelta(minutes=10 * n, hours=2),
            "arr_delay": None if n == count - 1 else 30.0 if n % 3 == 0 else 0.0,
        }
        for n in range(count)
    ]


@pytest.fixture
def project() -> Iterator[Project]:
    with ms.testing.project({"flights": flights, "legs": legs}, data={"flights": rows(3)}) as made:
        yield made


def deliver(project: Project, data: list[dict[str, Any]]) -> None:
    """The source says something else from now on."""
    file: Path = project.settings.root / "flights.parquet"
    pq.write_table(pa.Table.from_pylist(data, schema=ibis.schema(FLIGHT).to_pyarrow()), file)


# ── as it is ──────────────────────────────────────────────────────────────────────────────────────────


def test_one_relation_in_every_form(project: Project) -> None:
    project.run()
    table = project.table("legs")
    arrow = table.to_pyarrow()
    assert arrow.column_names == [*FLIGHT, "late"] and len(arrow) == 3
    assert table.to_pandas()["flight_id"].tolist() == arrow["flight_id"].to_pylist()
    assert table.to_polars()["flight_id"].to_list() == arrow["flight_id"].to_pylist()
    assert (
        table.to_ibis().to_pyarrow().select(arrow.column_names).equals(arrow.cast(table.to_ibis().to_pyarrow().schema))
    )
    assert len(table.head(2)) == 2


def test_ibis_tables_of_a_project_can_be_joined_and_go_on(project: Project) -> None:
    project.run()
    joined = project.table("legs").to_ibis().inner_join(project.table("flights").to_ibis(), "flight_id")
    assert joined.filter(_.late).count().to_pyarrow().as_py() == 1
    assert joined.schema()["scheduled_at"] == ibis.dtype(INSTANT)


def test_a_query_may_call_a_part_as_the_relation_that_it_reads(project: Project) -> None:
    project.run()
    late = project.query("with legs as (select * from legs where late) select count(*) as n from legs")
    assert late["n"].to_pylist() == [1]


def test_what_there_is_not(project: Project) -> None:
    with pytest.raises(UnknownName, match="unknown relation 'leg'"):
        project.table("leg")
    with pytest.raises(StorageError, match="'legs' has no data on branch 'main' yet"):
        project.table("legs").to_pyarrow()


# ── as it was ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_table_as_it_was_published(project: Project) -> None:
    before = now()
    first = project.run()
    between = now()
    deliver(project, rows(5))
    second = project.run()
    assert (first.status, second.status) == ("published", "published")
    snapshots = [release.tables["legs"].id for release in project.releases()]

    def count(when: Any) -> int:
        return len(project.table("legs").as_of(when).to_pyarrow())

    assert len(project.table("legs").to_pyarrow()) == 5
    assert [count(when) for when in (between, first.id, first.release, snapshots[1])] == [3, 3, 3, 3]
    assert [count(when) for when in (now(), second.id, second.release, snapshots[0])] == [5, 5, 5, 5]
    then, today = (project.table("legs").as_of(run.id).to_ibis() for run in (first, second))
    assert today.anti_join(then, "flight_id").count().to_pyarrow().as_py() == 2
    since = f"from {project.releases()[-1].created_at:%Y-%m-%d %H:%M:%S} UTC on"
    for when, there_is in ((before, since), ("run-never", first.id), (7, str(snapshots[1]))):
        with pytest.raises(NotFound) as caught:
            count(when)
        assert there_is in str(caught.value.expected)
    with pytest.raises(RequestError, match="the time has no time zone"):
        count(datetime(2026, 1, 1))


def test_a_rollback_is_part_of_the_past_too(project: Project) -> None:
    first = project.run()
    deliver(project, rows(5))
    second = project.run()
    project.rollback()
    after = now()
    deliver(project, rows(7))
    project.run(forward=True)
    assert len(project.table("legs").as_of(after).to_pyarrow()) == 3
    assert len(project.table("legs").as_of(second.id).to_pyarrow()) == 5
    assert len(project.table("legs").as_of(first.id).to_pyarrow()) == 3


def test_a_table_is_read_with_the_columns_that_it_was_published_with(project: Project) -> None:
    first = project.run()
    wider = ms.table(lambda flights: flights.select("flight_id", short=_.origin), key="flight_id", name="legs")
    source = project.nodes["flights"]
    with Project(project.settings, {"flights": source, "legs": wider}) as changed:
        assert "late" in changed.table("legs").to_pyarrow().column_names, "nothing was run yet"
        changed.run()
        assert changed.table("legs").to_pyarrow().column_names == ["flight_id", "short"]
        assert "late" in changed.table("legs").as_of(first.id).to_pyarrow().column_names


def test_a_table_that_was_not_there_yet(project: Project) -> None:
    first = project.run()
    nodes = {**project.nodes, "days": ms.table(lambda legs: legs.select("origin").distinct(), name="days")}
    with Project(project.settings, nodes) as grown:
        grown.run()
        with pytest.raises(NotFound, match="'days' was not published yet"):
            grown.table("days").as_of(first.id)


def test_the_past_is_read_with_the_remedies_of_its_time(project: Project) -> None:
    from mainstem.feedback.remedies import write
    from mainstem.nodes.findings import Remedy, Rule

    first = project.run()
    rule = Rule("flights", Rescale("arr_delay", 1 / 60), "arr_delay > 0", "max(arr_delay) < 3")
    write(project.settings.root / "remedies.toml", [Remedy("F1", rule, now() + timedelta(seconds=1))])
    project.run()
    assert max(project.table("flights").to_pyarrow()["arr_delay"].drop_null().to_pylist()) == 0.5
    assert max(project.table("flights").as_of(first.id).to_pyarrow()["arr_delay"].drop_null().to_pylist()) == 30.0
    seen = project.query("SELECT max(arr_delay) AS most FROM flights")
    assert seen["most"].to_pylist() == [0.5]


# ── datasets ──────────────────────────────────────────────────────────────────────────────────────────


def events() -> list[dict[str, Any]]:
    return [{"origin": "JFK", "dep_delay": float(n), "departed_at": NOON + timedelta(minutes=7 * n)} for n in range(60)]


def test_datasets_as_trained_and_anew() -> None:
    with ms.testing.project(NODES, data={"flights": rows(150), "departures": events()}) as project:
        project.run()
        stored, arrived = project.dataset("late").to_pyarrow(), project.dataset("late", as_of="arrived").to_pyarrow()
        assert arrived.select(stored.column_names).cast(stored.schema).equals(stored)
        assert set(stored["_split"].to_pylist()) == {"train", "gap", "test", "unlabelled"}
        for split in ("train", "gap", "test", "unlabelled"):
            part = project.dataset("late", split)
            assert set(part.to_pyarrow()["_split"].to_pylist()) == {split}
            assert len(part.to_pyarrow()) == part.to_ibis().count().to_pyarrow().as_py()
            assert len(project.dataset("late", split, as_of="known").to_pyarrow()) == len(part.to_pyarrow())
        # An event of noon that came a day late: those asked at one o'clock did not see it.
        project.ingest("departures", [{"origin": "JFK", "dep_delay": 1.0, "departed_at": NOON}])
        project.run()
        sights: tuple[AsOf, ...] = ("known", "arrived")
        tables = [project.dataset("late", as_of=sight).to_ibis().to_pyarrow().to_pylist() for sight in sights]
        known, arrived = ({row["flight_id"]: row["airport__n_1h"] for row in table} for table in tables)
        assert {flight: known[flight] - arrived[flight] for flight in ("F1", "F5", "F9")} == {"F1": 1, "F5": 1, "F9": 0}
        with pytest.raises(UnknownName, match="unknown as_of 'then'"):
            project.dataset("late", as_of="then")  # type: ignore[call-overload]
        with pytest.raises(UnknownName, match="unknown model 'lat'"):
            project.dataset("lat", as_of="known")


@pytest.mark.parametrize(
    ("outcomes", "splits"),
    [
        ([], {"unlabelled": 12}),
        ([0.0], {"train": 1, "unlabelled": 11}),
        ([0.0] * 10, {"gap": 8, "test": 2, "unlabelled": 2}),  # no flight has arrived when the test begins
        ([0.0, 30.0] * 6, {"gap": 10, "test": 2}),
    ],
    ids=["no outcome", "one", "of one class", "few"],
)
def test_a_dataset_is_looked_at_when_there_is_too_little_to_train_on(
    outcomes: list[float], splits: dict[str, int]
) -> None:
    known = dict(enumerate(outcomes))
    flown = [row | {"arr_delay": known.get(n), "flight_id": f"F{n:02}"} for n, row in enumerate(rows(12))]
    with ms.testing.project(NODES, data={"flights": flown, "departures": events()}) as project:
        with pytest.raises(RunFailed) as caught:
            project.run()
        assert [type(cause) for cause in caught.value.causes] == [ModelError]
        project.run("+airport +legs")
        dataset = project.dataset("late", as_of="known")
        assert Counter(dataset.to_pyarrow()["_split"].to_pylist()) == splits
        assert len(project.dataset("late", "train", as_of="known").to_pyarrow()) == splits.get("train", 0)
