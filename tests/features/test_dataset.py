"""The dataset: every example once, with what was known at its time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import ibis
from ibis import _

from mainstem.features.dataset import dataset
from mainstem.nodes.features import feature_view, on_demand


def test_an_example_sees_what_was_known_an_hour_before_its_schedule(small: Any, world: Any) -> None:
    here = world()
    here.put("flights", [small.flight(n) for n in range(3)])
    # F0 is predicted at 11:00; a departure at 11:00 sharp is not seen by it, one at 10:59 is.
    here.put("departures", [small.departure(n) for n in (0, 1, 59, 61)])
    rows = here.fetch(dataset(here.graph, "late"))
    assert [row["flight_id"] for row in rows] == ["F0", "F1", "F2"]
    assert [row["_t"] for row in rows] == [small.NOON - timedelta(minutes=60 - 10 * n) for n in range(3)]
    assert [row["airport__departures_1h"] for row in rows] == [2, 2, 2]
    assert [row["airport__delay_1h"] for row in rows] == [30.0, 0.5, 0.5]
    assert [row["leg__seats"] for row in rows] == [100, 101, 102]
    assert [row["_target"] for row in rows] == [None, None, None]


def test_a_target_that_cannot_be_computed_is_null(small: Any, world: Any) -> None:
    here = world(small.nodes(target=_.arr_delay.round() > 15, features=[on_demand(half=(_.seats / 0).floor())]))
    delays = [20.4, float("nan"), float("inf")]
    here.put("flights", [small.flight(n, arr_delay=delay) for n, delay in enumerate(delays)])
    rows = here.fetch(dataset(here.graph, "late"))
    assert [(row["_target"], row["half"]) for row in rows] == [(True, None), (None, None), (None, None)]


def test_duplicate_examples_are_kept(small: Any, world: Any) -> None:
    here = world()
    here.put("flights", [small.flight(0), small.flight(0, arr_delay=20.0), small.flight(1)])
    here.put("departures", [small.departure(1)])
    rows = here.fetch(dataset(here.graph, "late"))
    assert sorted((r["flight_id"], str(r["_target"])) for r in rows) == [("F0", "None"), ("F0", "True"), ("F1", "None")]
    assert all(row["airport__departures_1h"] == 1 for row in rows)


def test_late_arrivals_are_hidden_unless_asked_for(small: Any, world: Any) -> None:
    here = world()
    here.put("flights", [small.flight(0)])
    late = small.departure(5, _arrived=small.NOON)
    here.put("departures", [small.departure(10), late])
    (arrived,) = here.fetch(dataset(here.graph, "late"))
    (known,) = here.fetch(dataset(here.graph, "late", as_of="known"))
    assert (arrived["airport__departures_1h"], arrived["airport__delay_1h"]) == (1, 10.0)
    assert (known["airport__departures_1h"], known["airport__delay_1h"]) == (2, 7.5)


def test_unknown_keys_have_empty_windows(small: Any, world: Any) -> None:
    here = world()
    here.put("flights", [small.flight(0, origin=None), small.flight(1, origin="XXX")])
    here.put("departures", [small.departure(1)])
    rows = here.fetch(dataset(here.graph, "late"))
    assert [(r["airport__departures_1h"], r["airport__delay_1h"]) for r in rows] == [(0, None), (0, None)]


def test_request_fields_and_on_demand_features(small: Any, world: Any) -> None:
    declared = small.nodes()
    late = small.model(
        examples=declared["flights"],
        prediction_time=declared["late"].prediction_time,
        target=declared["late"].target,
        features=["seats", "origin", declared["airport"], on_demand(crowd=_.airport__departures_1h * _.seats)],
    )
    here = world(declared | {"late": late})
    here.put("flights", [small.flight(0, arr_delay=16.0), small.flight(1, arr_delay=15.0)])
    here.put("departures", [small.departure(1), small.departure(2)])
    rows = here.fetch(dataset(here.graph, "late"))
    assert [(r["seats"], r["crowd"], r["_target"]) for r in rows] == [(100, 200, True), (101, 202, False)]
    assert list(rows[0]) == [
        "flight_id",
        "seats",
        "origin",
        "_t",
        "airport__delay_1h",
        "airport__departures_1h",
        "crowd",
        "_target",
    ]


def test_a_column_that_a_view_assumes_known_does_not_hold_back_the_others(small: Any, world: Any) -> None:
    why = {"departed_at": "flights leave on time"}
    declared = small.nodes()
    leg = feature_view(declared["flights"], key="flight_id", columns=["seats", "departed_at"], assume_known=why)
    late = small.model(
        examples=declared["flights"],
        prediction_time=_.scheduled_at - ibis.interval(hours=1),
        target=_.arr_delay > 15,
        features=[leg],
    )
    here = world(declared | {"leg": leg, "late": late})
    here.put("flights", [small.flight(0, departed_at=small.NOON)])
    (row,) = here.fetch(dataset(here.graph, "late"))
    assert (row["leg__seats"], row["leg__departed_at"]) == (100, small.NOON)
