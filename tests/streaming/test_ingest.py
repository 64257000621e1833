from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from ibis import _

import mainstem.testing
from mainstem.errors import RequestError, Unavailable
from mainstem.features.online.view import OnlineView
from mainstem.features.retrieval import compiled
from mainstem.logs.records import decode_event
from mainstem.nodes.features import feature_view
from mainstem.nodes.findings import Rule
from mainstem.nodes.instants import INSTANT, micros_of
from mainstem.nodes.records import now
from mainstem.nodes.sources import stream
from mainstem.nodes.verbs import Rescale
from mainstem.streaming.ingest import Ingest
from mainstem.tables.conditions import instant_sql

NOON = "2013-12-01T12:00:00Z"


def view_of(world: Any) -> OnlineView:
    return OnlineView(compiled(world.graph, "airport"), world.store, world.release.online["airport"])


def ingest_of(world: Any, *views: OnlineView, definition: Any = None) -> Ingest:
    cutover = world.release.cutovers["departures"]
    return Ingest(definition or world.graph["departures"], views, world.store, cutover)


def features(view: OnlineView, worlds: Any) -> dict[str, Any]:
    (reading,) = view.read([("JFK",)], micros_of(worlds.NOON))
    return reading.values


def test_an_event_is_in_the_log_and_in_the_features(world: Any, worlds: Any) -> None:
    view = view_of(world)
    ingest = ingest_of(world, view)
    events = ingest.accept([worlds.departure(0), worlds.departure(1)], backfill=True)
    with world.store.transaction() as writer:
        assert ingest.write(writer, events) == 0
    assert features(view, worlds) == {"delay_1h": 8.0, "departures_1h": 3, "recent_1h": [10.0, 10.0]}
    logged = [decode_event(payload) for _, payload in world.store.entries("events/departures", 0)]
    assert [(e.arrived, e.row["flight_id"]) for e in logged] == [
        (micros_of(worlds.NOON - timedelta(minutes=50)), "E0"),
        (micros_of(worlds.NOON - timedelta(minutes=49)), "E1"),
    ]


def test_a_transaction_that_fails_leaves_neither(world: Any, worlds: Any) -> None:
    view = view_of(world)
    ingest = ingest_of(world, view)
    events = ingest.accept([worlds.departure(0)], backfill=True)
    with pytest.raises(RuntimeError), world.store.transaction() as writer:
        ingest.write(writer, events)
        raise RuntimeError("the process stops here")
    assert world.store.end("events/departures") == 0
    assert features(view, worlds)["departures_1h"] == 1


def test_an_event_arrives_now_and_a_backfilled_one_when_it_happened(world: Any, worlds: Any) -> None:
    ingest = ingest_of(world)
    later = worlds.NOON + timedelta(hours=3)
    (live,) = ingest.accept([worlds.departure(0)], at=later)
    (backfilled,) = ingest.accept([worlds.departure(0)], backfill=True, at=later)
    assert live.arrived == micros_of(later)
    assert backfilled.arrived == backfilled.row["departed_at"]


def test_the_last_instant_of_the_history_and_the_first_of_the_stream(world: Any, worlds: Any) -> None:
    ingest = ingest_of(world)
    cutover = world.release.cutovers["departures"]
    with pytest.raises(RequestError, match="before the stream's cutover") as caught:
        ingest.accept([worlds.departure(0), {**worlds.departure(1), "departed_at": cutover - timedelta.resolution}])
    assert caught.value.where == "stream departures, events[1].departed_at"
    assert len(ingest.accept([{**worlds.departure(1), "departed_at": cutover}])) == 1


def test_before_a_cutover_is_recorded_no_event_is_taken(world: Any, worlds: Any) -> None:
    ingest = Ingest(world.graph["departures"], [], world.store, None)
    with pytest.raises(Unavailable, match="does not accept events yet"):
        ingest.accept([worlds.departure(0)])


def test_the_key_and_the_time_may_not_be_null_the_rest_may(world: Any, worlds: Any) -> None:
    ingest = ingest_of(world)
    assert ingest.accept([{**worlds.departure(0), "dep_delay": None, "origin": None}])
    for name in ("flight_id", "departed_at"):
        with pytest.raises(RequestError, match=f"{name!r} must not be null"):
            ingest.accept([{**worlds.departure(0), name: None}])


def test_events_are_corrected_as_reading_the_stream_corrects_them(world: Any, worlds: Any) -> None:
    since = f"departed_at >= {instant_sql(worlds.NOON - timedelta(minutes=49))}"
    rules = (
        Rule("departures", Rescale("dep_delay", 1 / 60), since, "TRUE"),
        Rule("departures", Rescale("dep_delay", 1.0, 1.0), "TRUE", "TRUE"),
    )
    view = view_of(world)
    ingest = ingest_of(world, view, definition=replace(world.graph["departures"], rules=rules))
    sent = [worlds.departure(0, dep_delay=9.0), worlds.departure(1, dep_delay=1200.0)]
    with world.store.transaction() as writer:
        ingest.write(writer, ingest.accept(sent, backfill=True))
    assert features(view, worlds) == {
        "delay_1h": (4.0 + 10.0 + 21.0) / 3,
        "departures_1h": 3,
        "recent_1h": [21.0, 10.0],
    }
    logged = [decode_event(payload).row["dep_delay"] for _, payload in world.store.entries("events/departures", 0)]
    assert logged == [9.0, 1200.0]


def test_a_view_that_is_behind_catches_up_within_the_transaction(world: Any, worlds: Any) -> None:
    view = view_of(world)
    with world.store.transaction() as writer:
        bare = ingest_of(world)
        bare.write(writer, bare.accept([worlds.departure(n) for n in range(4)], backfill=True))
    assert features(view, worlds)["departures_1h"] == 1
    ingest = ingest_of(world, view)
    with world.store.transaction() as writer:
        ingest.write(writer, [])
    assert features(view, worlds)["departures_1h"] == 5
    with world.store.transaction() as writer:
        ingest.write(writer, [])
    assert features(view, worlds)["departures_1h"] == 5
    assert view.meta().offset == 4


@pytest.mark.parametrize("backfill", [False, True])
def test_an_event_later_than_the_clock_is_refused_and_nothing_is_kept(world: Any, worlds: Any, backfill: bool) -> None:
    """One event dated 2999 would move every view's horizon beyond what a read asks for."""
    ingest = ingest_of(world)
    for ahead in (timedelta(minutes=6), timedelta(days=365_000)):
        late = {**worlds.departure(1), "departed_at": now() + ahead}
        with pytest.raises(RequestError, match="the event is later than the clock allows") as caught:
            ingest.accept([worlds.departure(0), late], backfill=backfill)
        assert caught.value.where == "stream departures, events[1].departed_at"
    assert world.store.end("events/departures") == 0
    assert ingest.accept([{**worlds.departure(1), "departed_at": now() + timedelta(minutes=4)}], backfill=backfill)


def test_dates_of_a_stream_reach_views_and_the_lake() -> None:
    schema = {"card": "string", "day": "date", "at": INSTANT}
    cards = stream("cards", schema=schema, time="at", key=["card", "at"])
    card = feature_view(
        cards, key="card", windows="1d", grace="3650d", year=_.day.year().max(), text=_.day.cast(str).max()
    )
    rows = [{"card": "a", "day": "2013-12-01", "at": "2013-12-01T10:00:00Z"}, {"card": "a", "day": None, "at": NOON}]
    with mainstem.testing.project({"cards": cards, "card": card}, data={"cards": rows[:1]}) as project:
        project.run()
        project.ingest("cards", rows[1:], backfill=True)
        (found,) = project.online("card").get([{"card": "a"}], time=datetime(2013, 12, 1, 23, tzinfo=UTC))
        assert dict(found) == {"year_1d": 2013, "text_1d": "2013-12-01"}
        project.run()
        assert project.table("cards").to_pyarrow()["day"].to_pylist() == [date(2013, 12, 1), None]
