"""Will a flight out of New York arrive late? Asked one hour before it is to leave."""

import os

import ibis
from ibis import _

import mainstem as ms

WORLD = os.environ.get("WORLD_URL", "http://127.0.0.1:8111")  # `python world.py` offers it
KAFKA = os.environ.get(
    "WORLD_KAFKA"
)  # the servers of a cluster whose topic has the departures, as `make demo KAFKA=1` has

# ── collect: where data is, its key, when a row happened, and when each column becomes known ──────────────

flights = ms.files(
    "data/flights/*.csv",
    key="flight_id",
    time="scheduled_at",
    known={
        "*": _.scheduled_at - ibis.interval(days=60),  # airlines publish their schedules two months ahead
        "departed_at": "departed_at",
        "dep_delay": "departed_at",
        "arrived_at": "arrived_at",
        "arr_delay": "arrived_at",
        "air_time": "arrived_at",
    },
    owner="data",
    description="The schedule; and how each flight went, once it has.",
)

planes = ms.database(
    "sqlite:///data/registry.db",
    table="planes",
    key="tailnum",
    known="always",
    owner="data",
    description="The registry of aircraft.",
)

weather = ms.api(
    f"{WORLD}/weather",
    records="items",
    key=["origin", "time_hour"],
    cursor="time_hour",
    paging="link",
    time="time_hour",
    owner="data",
    description="Hourly observations at the three airports: wind in mph, visibility in miles.",
)

airlines = ms.web(
    f"{WORLD}/airlines",
    rows="table tr",
    fields={"carrier": "td.code", "name": "td.name"},
    key="carrier",
    known="always",
    owner="data",
    description="The airlines' names.",
)

departures = ms.stream(
    "departures",
    schema={
        "flight_id": "string",
        "origin": "string",
        "dest": "string",
        "carrier": "string",
        "tailnum": "string",
        "dep_delay": "float64",
        "departed_at": "timestamp('UTC', 6)",
    },
    key="flight_id",
    time="departed_at",
    history="past_departures",
    from_=ms.kafka(KAFKA, os.environ.get("WORLD_TOPIC", "departures")) if KAFKA else None,
    owner="data",
    description="Each departure when it happens, its delay in minutes.",
)

# ── transform and integrate: functions from Ibis tables to an Ibis table; parameters name other nodes ─────


@ms.table(key="flight_id", time="departed_at")
def past_departures(flights):
    "What the departures feed would have said before it began."
    gone = flights.filter(_.departed_at.notnull())
    columns = ["flight_id", "origin", "dest", "carrier", "tailnum", "departed_at"]
    return gone.select(*columns, dep_delay=_.dep_delay.cast("float64"))


@ms.table(
    key="flight_id",
    time="scheduled_at",
    checks=[
        ms.unique("flight_id"),
        ms.not_null("flight_id", "origin", "dest", "carrier", "scheduled_at"),
        ms.accepted("origin", ["EWR", "JFK", "LGA"]),
        ms.foreign_key("carrier", to="airlines"),
        ms.between("dep_delay", -120, 3_000),
        ms.between("distance", 50, 6_000, severity="quarantine"),  # nobody flies from Newark to LaGuardia
        ms.expression(_.distance <= _.air_time * 10, name="at most 600 mph", severity="quarantine"),
        ms.not_null("tailnum", severity="warn"),
    ],
)
def legs(flights, planes, airlines):
    "One row per scheduled flight, with its aircraft and airline."
    aircraft = planes.select("tailnum", "seats", built=planes.year)
    names = airlines.select("carrier", airline=airlines["name"])
    return flights.left_join(aircraft, "tailnum").left_join(names, "carrier").drop("tailnum_right", "carrier_right")


@ms.table(
    key=["origin", "time_hour"],
    time="time_hour",
    checks=[
        ms.accepted("origin", ["EWR", "JFK", "LGA"]),
        ms.between("wind_speed", 0, 150, severity="quarantine"),  # one hour in February has 1,048 mph
        ms.between("precip", 0, 10, severity="quarantine"),
    ],
)
def observations(weather):
    "What the model reads of the weather, without the hours that an instrument failed in."
    return weather.select("origin", "time_hour", "wind_speed", "precip")


# ── features: declared once, as latest columns or as Ibis reductions over windows ─────────────────────────
# `grace` is how far back the online store answers: December's weather is there before the month is simulated.

leg = ms.feature_view(
    legs,
    key="flight_id",
    columns=["origin", "dest", "carrier", "tailnum", "distance", "seats", "scheduled_at"],
    ttl="62d",  # known for 60 days before it leaves, and of no use two days after
    description="A flight as it is scheduled.",
)

airport = ms.feature_view(
    departures,
    key="origin",
    windows=["1h", "3h"],
    delay=_.dep_delay.mean(),
    late_share=(_.dep_delay > 15).mean(),
    departures=_.count(),
    description="How an airport's departures have been going.",
)

aircraft = ms.feature_view(
    departures,
    key="tailnum",
    columns=["dep_delay"],
    ttl="12h",
    description="How late an aircraft last left New York.",
)

wx = ms.feature_view(
    observations,
    key="origin",
    columns=["wind_speed", "precip"],
    ttl="6h",
    grace="40d",
    description="The latest weather at an airport.",
)

# ── learn ─────────────────────────────────────────────────────────────────────────────────────────────────

late = ms.model(
    examples=legs,
    prediction_time=_.scheduled_at - ibis.interval(hours=1),
    target=_.arr_delay > 15,
    features=[
        leg,
        airport,
        aircraft,
        wx,
        ms.on_demand(
            hour=_.leg__scheduled_at.hour(),
            weekday=_.leg__scheduled_at.day_of_week.index(),
            busy=_.airport__departures_1h > 20,
        ),
    ],
    metric="average_precision",
    owner="ml",
    description="Will the flight arrive more than 15 minutes late?",
)

# ── deploy and watch ──────────────────────────────────────────────────────────────────────────────────────

arrivals = ms.endpoint(late, monitors=[ms.drift(), ms.performance(0.45)], owner="ml")
