"""`project.online(…)`: reads in this process that follow what the branch publishes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import mainstem as ms
from mainstem.errors import Unavailable
from mainstem.testing import project

INSTANT = "timestamp('UTC', 6)"
AT = datetime(2026, 1, 1, tzinfo=UTC)

rooms = ms.files("rooms.parquet", key="room", time="at", schema={"room": "string", "at": INSTANT, "warm": "float64"})
room = ms.feature_view(rooms, key="room", columns=["warm"])
ROWS = [{"room": "attic", "at": AT, "warm": 17.5}]


def test_a_reader_that_was_too_early_sees_what_is_published_then() -> None:
    with project({"rooms": rooms, "room": room}, data={"rooms": ROWS}) as house:
        reader = house.online("room")
        with pytest.raises(Unavailable):
            reader.get([{"room": "attic"}])
        house.run()
        known, unknown = reader.get([{"room": "attic"}, {"room": "cellar"}])
    assert known == {"warm": 17.5, "effective": AT, "start": None, "missing": False}
    assert unknown == {"warm": None, "effective": None, "start": None, "missing": True}


def test_it_reads_as_of_a_time() -> None:
    with project({"rooms": rooms, "room": room}, data={"rooms": ROWS}) as house:
        house.run()
        before, after = (house.online("room").get([{"room": "attic"}], AT + timedelta(hours=h))[0] for h in (0, 1))
    assert (before["warm"], after["warm"]) == (None, 17.5)
