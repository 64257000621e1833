"""Will a flight be late? Asked one hour before it is to leave, of a server that also takes departures."""

import ibis
from flights import legs
from ibis import _

import mainstem as ms

past = ms.files("past.csv", key="flight_id", time="departed_at")

departures = ms.stream(
    "departures",
    schema={"flight_id": "string", "origin": "string", "delay": "float64", "departed_at": "timestamp('UTC', 6)"},
    key="flight_id",
    time="departed_at",
    history=past,
)

leg = ms.feature_view(legs, key="flight_id", columns=["origin", "distance", "hour"], grace="60d")
airport = ms.feature_view(
    departures, key="origin", windows=["1h"], delay=_.delay.mean(), departures=_.count(), grace="60d"
)

late = ms.model(
    examples=legs,
    prediction_time=_.scheduled_at - ibis.interval(hours=1),
    target=_.delay > 15,
    features=[leg, airport],
    candidates=["linear"],
    folds=2,
    gap="2h",
)
arrivals = ms.endpoint(late)
