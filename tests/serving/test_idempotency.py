"""A request with an idempotency key counts once in log and features, however often it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mainstem.features.online.view import OnlineView
from mainstem.features.retrieval import compiled
from mainstem.logs.sent import Keys, Sent, digest
from mainstem.nodes.instants import micros_of
from mainstem.nodes.records import now

LOG = "events/departures"


def departure(number: int) -> dict[str, Any]:
    at = datetime.now(UTC) - timedelta(minutes=1)
    return {"flight_id": f"E{number}", "origin": "JFK", "dep_delay": 1.0, "departed_at": at.isoformat()}


def counted(world: Any) -> int:
    online = OnlineView(compiled(world.graph, "airport"), world.store, world.release.online["airport"])
    (reading,) = online.read([("JFK",)], micros_of(now()) + 1)
    return int(reading.values["departures_1h"])


def test_a_request_that_is_sent_again_changes_nothing(http: Any, served: Any) -> None:
    world, _ = served
    rows = [departure(0), departure(1)]
    first = http.post("/events/departures", json=rows, headers={"Idempotency-Key": "a"})
    assert (first.status_code, first.json()) == (202, {"stream": "departures", "accepted": 2, "offset": 0})
    http.post("/events/departures", json=departure(2))
    again = http.post("/events/departures", json=rows, headers={"Idempotency-Key": "a"})
    assert again.status_code == 202
    assert again.json() == {"stream": "departures", "accepted": 2, "offset": 0, "repeated": True}
    other = http.post("/events/departures", json=rows, headers={"Idempotency-Key": "b"})
    assert other.json()["offset"] == 3
    assert world.store.end(LOG) == 5 and counted(world) == 5


def test_a_key_with_another_body_is_refused(http: Any, served: Any) -> None:
    http.post("/events/departures", json=departure(0), headers={"Idempotency-Key": "a"})
    answer = http.post("/events/departures", json=departure(1), headers={"Idempotency-Key": "a"})
    assert answer.status_code == 400
    assert answer.json()["what"] == "the idempotency key was used for other events"
    assert served[0].store.end(LOG) == 1
    long = http.post("/events/departures", json=departure(1), headers={"Idempotency-Key": "k" * 256})
    assert long.status_code == 400 and long.json()["expected"].startswith("1 to 255 characters")


def test_a_refused_request_leaves_its_key_free(http: Any, served: Any) -> None:
    bad = {**departure(0), "dep_delay": "ten"}
    assert http.post("/events/departures", json=bad, headers={"Idempotency-Key": "a"}).status_code == 400
    good = http.post("/events/departures", json=departure(0), headers={"Idempotency-Key": "a"})
    assert good.status_code == 202 and "repeated" not in good.json()


def test_of_many_at_once_one_counts(http: Any, served: Any) -> None:
    row = departure(0)
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda _: http.post("/events/departures", json=row, headers={"Idempotency-Key": "a"}).json(), range(24)
            )
        )
    assert [answer["offset"] for answer in answers] == [0] * 24
    assert sum("repeated" not in answer for answer in answers) == 1
    assert served[0].store.end(LOG) == 1 and counted(served[0]) == 1


@pytest.fixture
def store(world: Any) -> Iterator[Any]:
    yield world.store


def test_keys_are_remembered_for_a_day_and_then_forgotten(store: Any) -> None:
    keys, hour = Keys("departures"), 3_600_000_000
    start = 23 * hour + 20_000 * 24 * hour

    def known(at: int, key: str = "a") -> bool:
        with store.transaction() as writer:
            return keys.taken(writer, key, digest(b"x"), at) is not None

    def note(at: int, key: str) -> None:
        with store.transaction() as writer:
            keys.note(writer, key, Sent(at, 0, 1, digest(b"x")))

    note(start, "a")
    assert known(start + hour) and known(start + 24 * hour) and not known(start + 26 * hour)
    note(start + 2 * hour, "b")
    assert store.count(f"sent/departures/{20_000 % 3}") == 1
    note(start + 25 * hour, "c")  # the day before that space comes again
    assert store.count(f"sent/departures/{20_000 % 3}") == 0
    assert known(start + 25 * hour, "b") and known(start + 25 * hour, "c")
    note(start, "d")  # it was prepared two midnights ago
    assert known(start + 25 * hour, "b"), "it takes nothing of a later day away"
