"""A project with every type of node and every kind of source, for the tests of what nodes mean."""

from __future__ import annotations

from typing import Any

import ibis
from ibis import _

import mainstem as ms
from mainstem.nodes.base import Node, Origin
from mainstem.nodes.tables import sql

INSTANT = "timestamp('UTC', 6)"
FLIGHTS = {
    "flight_id": "string",
    "origin": "string",
    "tailnum": "string",
    "delay": "float64",
    "scheduled_at": INSTANT,
    "departed_at": INSTANT,
}
EVENT = {"origin": "string", "delay": "float64", "departed_at": INSTANT}


def sources() -> dict[str, Node]:
    return {
        "flights": ms.files(
            "flights/*.csv",
            key="flight_id",
            time="scheduled_at",
            known={"*": _.scheduled_at - ibis.interval(days=30), "delay": "departed_at"},
            schema=FLIGHTS,
            options={"delim": ";"},
            checks=[ms.not_null("origin"), ms.between("delay", -90, 900, severity="warn")],
        ),
        "planes": ms.database("sqlite:///registry.db", table="planes", key="tailnum", known="always"),
        "weather": ms.api("http://localhost/weather", records="items", cursor="at", time="at"),
        "airlines": ms.web(
            "http://localhost/airlines", rows="tr", fields={"carrier": "td.code", "name": "td.name"}, known="always"
        ),
        "departures": ms.stream("departures", schema=EVENT, time="departed_at", history="past"),
        "orders": ms.stream(
            "orders", schema={"id": "int64", "at": INSTANT, "total": "float64"}, time="at", key="id", changes=True
        ),
    }


def tables(flights: Node) -> dict[str, Node]:
    known = ms.foreign_key("tailnum", to="planes", severity="quarantine")
    legs = ms.table(
        lambda f, planes: f.left_join(planes, "tailnum").drop("tailnum_right"),
        name="legs",
        key="flight_id",
        time="scheduled_at",
        checks=[known, ms.expression(_.seats > 0), ms.accepted("origin", ["JFK", "LGA"])],
        inputs={"f": flights},
        assume_known={"seats": "aircraft are not rebuilt overnight"},
    )
    past = ms.table(lambda flights: flights.select("origin", "delay", "departed_at"), name="past")
    origin = Origin("days.sql", 1)
    days = sql("days", "SELECT origin, avg(delay) AS delay FROM legs GROUP BY origin", origin=origin, key="origin")
    return {"legs": legs, "past": past, "days": days}


def project() -> dict[str, Node]:
    declared: dict[str, Any] = sources()
    declared |= tables(declared["flights"])
    declared["airport"] = airport = ms.feature_view(
        declared["departures"], key="origin", windows=["1h", "3h"], delay=_.delay.mean(), departures=_.count()
    )
    declared["leg"] = leg = ms.feature_view(
        declared["legs"], key="flight_id", columns=["origin", "seats", "airport__delay_1h"], using=airport
    )
    declared["order"] = ms.feature_view(declared["orders"], key="id", columns=["total"])
    declared["late"] = late = ms.model(
        examples=declared["legs"],
        prediction_time=_.scheduled_at - ibis.interval(hours=1),
        target=_.delay > 15,
        features=[leg, airport.on("leg__origin"), ms.on_demand(busy=_.leg__seats > 40), "origin"],
        metric="average_precision",
    )
    declared["arrivals"] = ms.endpoint(late, monitors=[ms.drift()], promote="gate")
    declared["later"] = later = ms.model(
        examples=declared["legs"],
        prediction_time=_.scheduled_at - ibis.interval(hours=1),
        target=_.delay > 30,
        features=["origin"],
    )
    declared["scored"] = ms.score(declared["legs"], later)
    declared["crm"] = ms.sink(declared["days"], to=ms.database("sqlite:///crm.db", table="days"))
    return declared


SCHEMAS = {
    "planes": {"tailnum": "string", "seats": "int64"},
    "weather": {"at": INSTANT, "wind": "float64"},
    "airlines": {"carrier": "string", "name": "string"},
}
