"""Unit tests of the definitions, on a few rows: `mainstem test`."""

from datetime import UTC, datetime, timedelta

import flights as definitions

import mainstem as ms

NOON = datetime(2013, 6, 1, 12, tzinfo=UTC)

PLANES = [{"tailnum": "N1", "year": 2001, "seats": 150}]
AIRLINES = [{"carrier": "UA", "name": "United Air Lines Inc."}]


def flight(number, **changed):
    usual = {
        "flight_id": f"UA-{number}-2013-06-01",
        "carrier": "UA",
        "flight": number,
        "tailnum": "N1",
        "origin": "EWR",
        "dest": "ORD",
        "distance": 719,
        "scheduled_at": NOON,
        "scheduled_arrival_at": NOON + timedelta(hours=2),
        "departed_at": NOON + timedelta(minutes=5),
        "dep_delay": 5,
        "arrived_at": NOON + timedelta(hours=2),
        "arr_delay": 0,
        "air_time": 100,
    }
    return {**usual, **changed}


def legs_of(*rows):
    nodes = {name: getattr(definitions, name) for name in ("flights", "planes", "airlines", "legs")}
    with ms.testing.project(nodes, {"flights": rows, "planes": PLANES, "airlines": AIRLINES}) as project:
        project.run()
        quarantined = project.table("quarantine.legs").to_pyarrow().to_pylist() if len(rows) > 1 else []
        return project.table("legs").to_pyarrow().to_pylist(), quarantined


def test_a_leg_has_its_aircraft_and_airline():
    [leg], _ = legs_of(flight(1))
    assert (leg["airline"], leg["seats"], leg["built"]) == ("United Air Lines Inc.", 150, 2001)


def test_impossible_flights_are_set_aside():
    published, quarantined = legs_of(flight(1), flight(2, distance=17), flight(3, air_time=60))
    assert [leg["flight_id"] for leg in published] == ["UA-1-2013-06-01"]
    assert {leg["flight_id"] for leg in quarantined} == {"UA-2-2013-06-01", "UA-3-2013-06-01"}


def test_an_aircraft_that_nobody_knows_loses_no_flight():
    [leg], _ = legs_of(flight(1, tailnum="N404"))
    assert leg["seats"] is None
