"""Flights from CSV files, weather from an API, and what is made of them."""

import os

import ibis
from ibis import _

import mainstem as ms

flights = ms.files(
    "data/*.csv",
    key="flight_id",
    time="scheduled_at",
    known={"*": _.scheduled_at - ibis.interval(days=60), "arrived_at": "arrived_at", "delay": "arrived_at"},
)

weather = ms.api(
    os.environ["WORLD_URL"] + "/weather",
    key="observed_at",
    time="observed_at",
    cursor="observed_at",
    paging="none",
)


@ms.table(key="flight_id", time="scheduled_at", checks=[ms.between("distance", 50, 6_000)])
def legs(flights):
    "One row per scheduled flight."
    return flights.mutate(hour=flights.scheduled_at.hour())
