"""Reading features as they stand online: one view or several, and what each row says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ibis import _

import mainstem as ms
from mainstem.errors import NotFound, RequestError, Unavailable
from mainstem.nodes.base import Node

INSTANT = "timestamp('UTC', 6)"
NOON = datetime(2013, 12, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

RIDES = {"ride": "string", "zone": "int64", "driver": "string", "fare": "float64", "at": INSTANT}


def nodes(**more: Any) -> dict[str, Node]:
    rides = ms.stream("rides", schema=RIDES, key="ride", time="at")
    zones = ms.files("zones.csv", key="zone", known="always", schema={"zone": "int64", "borough": "string"})
    return {
        "rides": rides,
        "zones": zones,
        "zone": ms.feature_view(rides, key="zone", windows=["1h", "10min"], n=_.count(), fare=_.fare.mean(), **more),
        "driver": ms.feature_view(rides, key="driver", columns=["at", "zone"], ttl="2h"),
        "borough": ms.feature_view(zones, key="zone", columns=["borough"]),
    }


DATA: dict[str, list[dict[str, Any]]] = {
    "rides": [
        {"ride": f"r{n}", "zone": n % 2, "driver": "ann", "fare": 10.0 + n, "at": NOON - 5 * n * MINUTE}
        for n in range(1, 7)
    ],
    "zones": [{"zone": 0, "borough": "Queens"}, {"zone": 1, "borough": "Bronx"}],
}


@pytest.fixture
def city() -> Iterator[ms.Project]:
    with ms.testing.project(nodes(), DATA) as project:
        project.run()
        yield project


def test_a_row_is_a_mapping_of_the_features(city: ms.Project) -> None:
    (row,) = city.online("zone").get([{"zone": 0}], NOON)
    assert row == {"n_1h": 3, "fare_1h": 14.0, "n_10min": 1, "fare_10min": 12.0}
    assert row["n_1h"] == 3 and list(row) == list(city.graph["zone"].schema or {})
    with pytest.raises(KeyError):
        row["effective"]


def test_a_value_carries_its_time_its_window_and_its_definition(city: ms.Project) -> None:
    (row,) = city.online("zone").get([{"zone": 1}], NOON + 30 * timedelta(seconds=1))
    assert (row.view, row.key, row.time, row.missing) == ("zone", {"zone": 1}, NOON + timedelta(seconds=30), False)
    assert row.effective == NOON - 5 * MINUTE
    assert row.windows == {
        "1h": (NOON - timedelta(hours=1), NOON + timedelta(seconds=30)),
        "10min": (NOON - 10 * MINUTE, NOON + timedelta(seconds=30)),
    }
    assert row.fingerprint == city.graph["zone"].made_by == city.show("zone").fingerprint


def test_instants_come_back_as_instants(city: ms.Project) -> None:
    (row,) = city.online("driver").get([{"driver": "ann"}], NOON)
    assert row == {"at": NOON - 5 * MINUTE, "zone": 1}
    assert (row.effective, row.windows) == (NOON - 5 * MINUTE, {})


def test_what_is_known_always_is_of_no_time(city: ms.Project) -> None:
    (row,) = city.online("borough").get([{"zone": 1}])
    assert (row["borough"], row.effective, row.missing) == ("Bronx", None, False)


def test_a_key_that_nobody_knows(city: ms.Project) -> None:
    (zone,) = city.online("zone").get([{"zone": 9}], NOON)
    assert zone == {"n_1h": 0, "fare_1h": None, "n_10min": 0, "fare_10min": None}
    assert zone.missing and zone.effective is None and set(zone.windows) == {"1h", "10min"}


def test_several_views_at_once(city: ms.Project) -> None:
    asked = [{"zone": 0, "driver": "ann"}, {"zone": 1, "driver": "bob"}]
    first, second = city.online("zone", "borough", "driver").get(asked, NOON)
    assert list(first) == ["zone", "borough", "driver"]
    assert (first["zone"]["n_1h"], first["borough"]["borough"], first["driver"]["zone"]) == (3, "Queens", 1)
    assert second["borough"]["borough"] == "Bronx" and second["driver"].missing
    assert first["zone"] == city.online("zone").get([{"zone": 0}], NOON)[0]


def test_rows_may_have_times_of_their_own(city: ms.Project) -> None:
    asked = [{"zone": 0, "time": NOON - n * 10 * MINUTE} for n in range(4)]
    assert [row["n_1h"] for row in city.online("zone").get(asked)] == [3, 2, 1, 0]


@pytest.mark.parametrize(
    ("views", "key", "what"),
    [
        (["zone"], {}, "the field 'zone' is missing"),
        (["zone"], {"zone": "0"}, "the field 'zone' has the wrong type or value"),
        (["zone"], {"zone": None}, "the field 'zone' must not be null"),
        (["zone"], {"zone": 0, "driver": "ann"}, "unknown field 'driver'"),
        (["zone", "driver"], {"zone": 0}, "the field 'driver' is missing"),
    ],
)
def test_a_wrong_key_is_refused(city: ms.Project, views: list[str], key: dict[str, Any], what: str) -> None:
    with pytest.raises(RequestError) as caught:
        city.online(*views).get([key])
    assert what in caught.value.what and "rows[0]" in str(caught.value.where)


@pytest.mark.parametrize(
    ("keys", "time", "what"),
    [
        ({"zone": 0}, NOON, "the keys must be a list"),
        ([0], NOON, "the keys must be a list"),
        ("zone", NOON, "the keys must be a list"),
        (7, NOON, "the keys must be a list"),
        ([{"zone": 0}], NOON.replace(tzinfo=None), "the time has no time zone"),
        ([{"zone": 0}], "2013-12-01", "the time of a read is not an instant"),
    ],
)
def test_a_read_of_something_else(city: ms.Project, keys: Any, time: Any, what: str) -> None:
    with pytest.raises(RequestError, match=what) as caught:
        city.online("zone").get(keys, time)
    assert caught.value.got and caught.value.expected and caught.value.hint


def test_what_is_no_view(city: ms.Project) -> None:
    with pytest.raises(NotFound, match="unknown feature view 'zoned'") as caught:
        city.online("zone", "zoned").get([{"zone": 0}])
    assert caught.value.hint == "did you mean 'zone'?" and caught.value.expected == "one of borough, driver, zone"


def test_a_view_whose_definition_has_changed_since_is_not_read(city: ms.Project) -> None:
    """Its state is laid out otherwise: read by the new definition it would give anything."""
    changed = nodes(most=_.fare.max())
    names = {node: name for name, node in changed.items()}
    with ms.Project(city.settings, {**changed, "zones": city.nodes["zones"]}, aliases=names) as later:
        with pytest.raises(Unavailable, match="is online with an older definition of the view or its source") as caught:
            later.online("zone").get([{"zone": 0}], NOON)
        assert caught.value.hint == "mainstem run"
        (before,) = city.online("zone").get([{"zone": 0}], NOON)
        later.run()
        (after,) = later.online("zone").get([{"zone": 0}], NOON)
        assert {**after} == {**before, "most_1h": 16.0, "most_10min": 12.0}
        assert after.fingerprint != before.fingerprint


def test_views_use_views_and_some_have_no_key() -> None:
    """What a ride brings along from its zone and from everywhere: rows of the lake, then one that comes in live."""
    declared = nodes()
    rides, zone = declared["rides"], declared["zone"]
    everywhere = ms.feature_view(rides, windows="1h", n=_.count())
    over = (_.fare - _.zone__fare_1h).mean()
    dear = ms.feature_view(
        rides, key="driver", using=[zone, everywhere], windows="1h", over=over, busy=_.everywhere__n_1h.max()
    )
    with ms.testing.project({**declared, "everywhere": everywhere, "dear": dear}, DATA) as project:
        project.run()
        (row,) = project.online("dear").get([{"driver": "ann"}], NOON)
        assert row == {"over_1h": pytest.approx((-2 - 2 - 3 - 3) / 4), "busy_1h": 5}
        project.ingest("rides", [{"ride": "r9", "zone": 1, "driver": "bob", "fare": 99.0, "at": NOON}], backfill=True)
        bob, everybody = (
            project.online(v).get([k], NOON + MINUTE)[0] for v, k in (("dear", {"driver": "bob"}), ("everywhere", {}))
        )
        assert bob == {"over_1h": 99.0 - 13.0, "busy_1h": 6} and everybody == {"n_1h": 7}
        assert [row["from"] for row in project.show("dear").features] == [
            "rides.fare, zone.fare_1h",
            "everywhere.n_1h",
        ]


def test_a_reader_that_was_too_early_sees_what_is_published_then() -> None:
    with ms.testing.project(nodes(), DATA) as project:
        reader = project.online("borough")
        with pytest.raises(Unavailable):
            reader.get([{"zone": 1}])
        project.run()
        assert reader.get([{"zone": 1}]) == [{"borough": "Bronx"}]
