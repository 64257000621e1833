"""The dataset of the demo, every flight of 2013 with every view as of one hour before it left, beside hand-written SQL.

    python benchmarks/dataset.py [--repeat 3]

The hand-written query is what a good DuckDB user would write, window functions over RANGE frames and ASOF joins. It has
looser rules: no steps of resolution, no late arrivals, no ties, no unknown keys. Both read the same tables in memory
and give Arrow; they take turns, and the median of the repeats counts. Needs the extra `demo`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import ibis
import pyarrow as pa
from ibis import _

from _flights import unpacked
from _turns import Taken, Turn, lines, take_turns, timed
from mainstem.engines.duckdb import DuckdbEngine
from mainstem.features.dataset import dataset
from mainstem.nodes.definition import Graph
from mainstem.nodes.features import feature_view
from mainstem.nodes.files import files
from mainstem.nodes.models import model
from mainstem.nodes.sources import stream
from mainstem.project.resolve import resolve

INSTANT = "timestamp('UTC', 6)"
LEGS = {
    "flight_id": "string",
    "origin": "string",
    "dest": "string",
    "carrier": "string",
    "tailnum": "string",
    "distance": "int64",
    "scheduled_at": INSTANT,
    "departed_at": INSTANT,
    "arrived_at": INSTANT,
    "dep_delay": "float64",
    "arr_delay": "float64",
}
DEPARTURES = {"origin": "string", "tailnum": "string", "departed_at": INSTANT, "dep_delay": "float64"}
WEATHER = {"origin": "string", "time_hour": INSTANT, "wind_speed": "float64", "precip": "float64"}

BY_HAND = """
WITH asked AS (
    SELECT flight_id, origin, dest, carrier, tailnum, distance, arr_delay > 15 AS target,
           scheduled_at - INTERVAL 1 HOUR AS t
    FROM legs
), lined_up AS (
    SELECT origin, departed_at AS instant, dep_delay, 1 AS event, NULL AS flight_id FROM departures
    UNION ALL SELECT origin, t, NULL, NULL, flight_id FROM asked
), airport AS (
    SELECT flight_id,
           avg(dep_delay) OVER h1 AS delay_1h, avg((dep_delay > 15)::INT) OVER h1 AS late_1h,
           avg(dep_delay) OVER h3 AS delay_3h, avg((dep_delay > 15)::INT) OVER h3 AS late_3h,
           count(event) OVER h1 AS departures_1h, count(event) OVER h3 AS departures_3h
    FROM lined_up
    WINDOW h1 AS (PARTITION BY origin ORDER BY instant
                  RANGE BETWEEN INTERVAL 1 HOUR PRECEDING AND INTERVAL 1 MICROSECOND PRECEDING),
           h3 AS (PARTITION BY origin ORDER BY instant
                  RANGE BETWEEN INTERVAL 3 HOUR PRECEDING AND INTERVAL 1 MICROSECOND PRECEDING)
    QUALIFY flight_id IS NOT NULL
)
SELECT asked.*, airport.* EXCLUDE (flight_id), d.dep_delay AS aircraft_delay, w.wind_speed, w.precip
FROM asked
JOIN airport USING (flight_id)
ASOF LEFT JOIN departures d ON d.tailnum = asked.tailnum AND d.departed_at < asked.t
ASOF LEFT JOIN weather w ON w.origin = asked.origin AND w.time_hour < asked.t
ORDER BY t, flight_id
"""


def graph() -> Graph:
    """The demo's views and model, over its tables as if they were sources."""
    month = _.scheduled_at - ibis.interval(days=60)
    known = {"*": month, "departed_at": "departed_at", "dep_delay": "departed_at"}
    known |= {"arrived_at": "arrived_at", "arr_delay": "arrived_at"}
    legs = files("legs.parquet", key="flight_id", time="scheduled_at", known=known, schema=LEGS)
    departures = stream("departures", schema=DEPARTURES, time="departed_at")
    weather = files("weather.parquet", key=["origin", "time_hour"], time="time_hour", schema=WEATHER)
    leg = feature_view(legs, key="flight_id", columns=["origin", "dest", "carrier", "tailnum", "distance"])
    airport = feature_view(
        departures,
        key="origin",
        windows=["1h", "3h"],
        delay=_.dep_delay.mean(),
        late_share=(_.dep_delay > 15).mean(),
        departures=_.count(),
    )
    aircraft = feature_view(departures, key="tailnum", columns=["dep_delay"], ttl="12h")
    wx = feature_view(weather, key="origin", columns=["wind_speed", "precip"], ttl="6h")
    late = model(
        examples=legs,
        prediction_time=_.scheduled_at - ibis.interval(hours=1),
        target=_.arr_delay > 15,
        features=[leg, airport, aircraft, wx],
    )
    nodes = {"legs": legs, "departures": departures, "weather": weather, "late": late}
    return resolve(nodes | {"leg": leg, "airport": airport, "aircraft": aircraft, "wx": wx}, {})


def tables() -> dict[str, pa.Table]:
    """The package's flights and weather, in UTC."""
    with TemporaryDirectory() as scratch, duckdb.connect() as db:
        data = unpacked(Path(scratch))
        for name in ("flights", "weather"):
            db.execute(f"CREATE VIEW {name} AS FROM read_csv('{data / name}.csv', nullstr='NA')")
        db.execute("SET TimeZone = 'UTC'")
        db.execute(
            """CREATE TABLE legs AS
            SELECT format('{}-{}', carrier, row_number() OVER ()) AS flight_id, origin, dest, carrier, tailnum,
                   distance::BIGINT AS distance,
                   time_hour::TIMESTAMPTZ + to_minutes(sched_dep_time % 100) AS scheduled_at,
                   scheduled_at + to_minutes(dep_delay::BIGINT) AS departed_at,
                   departed_at + to_minutes(air_time::BIGINT + 30) AS arrived_at,
                   dep_delay::DOUBLE AS dep_delay, arr_delay::DOUBLE AS arr_delay, row_number() OVER () AS _seq
            FROM flights"""
        )
        queries = {
            "legs": "FROM legs",
            "departures": """SELECT origin, tailnum, departed_at, dep_delay, row_number() OVER () AS _seq,
                                    departed_at AS _arrived FROM legs WHERE departed_at IS NOT NULL""",
            "weather": """SELECT origin, time_hour::TIMESTAMPTZ AS time_hour, wind_speed, precip::DOUBLE AS precip,
                                 row_number() OVER () AS _seq FROM weather""",
        }
        return {name: db.sql(query).to_arrow_table() for name, query in queries.items()}


def by_hand(data: dict[str, pa.Table]) -> pa.Table:
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        for name, table in data.items():
            db.register(name, table)
        return db.sql(BY_HAND).to_arrow_table()


def mainstem(data: dict[str, pa.Table], declared: Graph) -> pa.Table:
    with DuckdbEngine().session(data) as session:
        return session.fetch(dataset(declared, "late"))


def measure(repeat: int) -> Taken:
    """Seconds of each, on a new connection every time."""
    data, declared = tables(), graph()

    def checked(work: Callable[[], pa.Table]) -> Turn:
        def run() -> None:
            assert len(work()) == len(data["legs"])

        return timed(run)

    sides = {"by hand": checked(lambda: by_hand(data)), "mainstem": checked(lambda: mainstem(data, declared))}
    return take_turns(sides, repeat)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    print(*lines(measure(parser.parse_args().repeat)), sep="\n")


if __name__ == "__main__":
    main()
