"""How well delays of flights are predicted one hour before departure: learned from January to September of 2013, tested
on October to December.

    python benchmarks/flights_quality.py [--tune 60s] [--features static live] [--calibrate auto]

"static" is what the schedule, the registry of aircraft and the latest weather tell. "live" has also what else is known
one hour before: delays of the last hours at the airport, of the airline and at the destination, flights that should
have left and have not, and the aircraft's last departure from New York. The late ones arrive more than 15 minutes late.
The held-out months are not a part of any training or choice. Needs the extras `demo` and `tune`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import ibis
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from _flights import unpacked
from mainstem.models.artifact.scorer import run, session
from mainstem.models.data.columns import rows_of
from mainstem.models.metrics import measures, metric
from mainstem.models.search.memory import Memory
from mainstem.models.training.blueprint import Blueprint, inputs_of
from mainstem.models.training.prepared import prepare
from mainstem.models.training.train import learn
from mainstem.nodes.models import Model

QUERY = """
WITH airports AS (SELECT faa AS dest, tzone FROM read_csv('{data}/airports.csv', nullstr='NA')),
flights AS (
    SELECT *, (make_timestamp(year, month, day, sched_dep_time // 100, sched_dep_time % 100, 0)
        AT TIME ZONE 'America/New_York') AS scheduled,
        scheduled - INTERVAL 1 HOUR AS _t, scheduled + INTERVAL (TRY_CAST(dep_delay AS INTEGER)) MINUTE AS departed,
        (make_timestamp(year, month, day, sched_arr_time // 100, sched_arr_time % 100, 0)
        AT TIME ZONE coalesce(tzone, 'America/Puerto_Rico')) AS today,
        CASE WHEN today > scheduled THEN today ELSE today + INTERVAL 1 DAY END
        + INTERVAL (TRY_CAST(arr_delay AS INTEGER)) MINUTE AS arrived
    FROM read_csv('{data}/flights.csv', nullstr='NA') LEFT JOIN airports USING (dest)
),
observed AS (SELECT *, time_hour::TIMESTAMPTZ AS at FROM read_csv('{data}/weather.csv', nullstr='NA'))
SELECT f.origin, f.dest, f.carrier, f.distance, hour(f._t) AS hour, isodow(f._t) AS weekday, p.seats, p.year AS built,
    w.temp, w.humid, w.wind_dir, w.wind_speed, w.wind_gust, w.precip, w.pressure, w.visib,
    coalesce(f.tailnum, '') AS tail, epoch(f._t) AS asked, epoch(f.scheduled) AS scheduled,
    epoch(f.departed) AS departed, epoch(f.arrived) AS arrived, f.dep_delay, f.arr_delay,
    f._t::TIMESTAMPTZ AS _t, f.arr_delay > 15 AS _target
FROM flights f
LEFT JOIN read_csv('{data}/planes.csv', nullstr='NA') p USING (tailnum)
ASOF LEFT JOIN observed w ON w.origin = f.origin AND w.at <= f._t
ORDER BY f.scheduled, f.origin, f.carrier, f.flight
"""
STATIC = ("origin", "dest", "carrier", "distance", "hour", "weekday", "seats", "built")
WEATHER = ("temp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
HELD_OUT = 1380585600
"""1 October 2013, in seconds."""
HOUR, DAY = 3600.0, 86_400.0
METRICS = ("roc_auc", "average_precision", "log_loss")

Floats = NDArray[np.float64]
Columns = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tune", default="60s", help="the budget of the search; none for the defaults")
    parser.add_argument("--features", nargs="+", choices=("static", "live"), default=("static", "live"))
    parser.add_argument("--calibrate", default="auto", choices=("auto", "none", "sigmoid", "isotonic"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mainstem-benchmark-") as root:
        table = read(Path(root))
    live = lively(table)
    print(f"{'':<8} {'inputs':>6}  {'ROC-AUC':>7}  {'AP':>6}  {'log loss':>8}  {'seconds':>7}  chosen")
    for name in given.features:
        inputs = {column: table[column] for column in (*STATIC, *WEATHER)} | (live if name == "live" else {})
        options = {"tune": None if given.tune == "none" else given.tune, "calibrate": given.calibrate}
        print(told(name, inputs, table, options), flush=True)


def told(name: str, inputs: Columns, table: pa.Table, options: Columns) -> str:
    """The line of a set of features: the metrics on the held-out months."""
    whole = pa.table(inputs | {"_t": table["_t"], "_target": table["_target"]})
    later = table["asked"].to_numpy() >= HELD_OUT
    known = table["_target"].is_valid().to_numpy(zero_copy_only=False)
    earlier = whole.filter(pa.array(~later))
    schema = ibis.Schema.from_pyarrow(earlier.schema)
    columns = inputs_of({column: str(kind) for column, kind in schema.items() if not column.startswith("_")}, {})
    model = Model(name="late", examples="flights", prediction_time=None, target=None, features=(), metric="log_loss")
    blueprint = Blueprint("late", replace(model, **options), ibis.table(schema, name="dataset"), columns)
    began = time.perf_counter()
    prepared = prepare(blueprint.model, "binary", earlier, columns)
    made = learn(blueprint, "binary", metric("log_loss"), prepared, Memory(), lambda message: None)
    seconds = time.perf_counter() - began
    print(f"  {name}: {made.manifest.evaluation.get('choice', 'no search')}", file=sys.stderr)
    tested = whole.filter(pa.array(later & known))
    scores = run(session(made.onnx), rows_of(tested.select([column.name for column in columns]), columns))
    truth = tested["_target"].cast(pa.int64()).to_numpy()
    found = measures([metric(each) for each in METRICS], truth, scores, resamples=0)
    values = [found[each].value for each in METRICS]
    return (
        f"{name:<8} {len(columns):>6}  {values[0]:>7.3f}  {values[1]:>6.3f}  {values[2]:>8.3f}  {seconds:>7.0f}  "
        f"{made.manifest.algorithm}"
    )


def read(root: Path) -> pa.Table:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.sql(QUERY.format(data=unpacked(root))).to_arrow_table()


# ── what is known one hour before ─────────────────────────────────────────────────────────────────────


def lively(table: pa.Table) -> Columns:
    """Delays of the hours before each flight's prediction, all of events before it."""
    origin, dest, carrier, tail = (coded(table[name]) for name in ("origin", "dest", "carrier", "tail"))
    asked, scheduled, departed, arrived, late, later = (
        numbers(table, name) for name in ("asked", "scheduled", "departed", "arrived", "dep_delay", "arr_delay")
    )
    local = origin * 1_000 + carrier
    found: Columns = {}
    for name, keys in {"airport": origin, "airline": carrier, "airline_here": local, "destination": dest}.items():
        for hours in (1, 3):
            past = Past(keys, departed, asked, hours * HOUR)
            found |= {f"{name}_delay_{hours}h": past.mean(late), f"{name}_late_{hours}h": past.mean(late > 15)}
            found |= {f"{name}_departures_{hours}h": past.counts}
        found[f"{name}_arrivals_delay_3h"] = Past(keys, arrived, asked, 3 * HOUR).mean(later)
        found[f"{name}_delay_24h"] = Past(keys, departed, asked, DAY).mean(late)
    for name, keys in {"airport": origin, "airline_here": local, "destination": dest}.items():
        due = Past(keys, scheduled, asked, 4 * HOUR)
        # Of the flights that were due, those that have left by now.
        left = Past(keys, np.maximum(departed, scheduled), asked, 4 * HOUR)
        found |= {f"{name}_due_4h": due.counts, f"{name}_waiting_4h": due.counts - left.counts}
    flown, since = last(tail, departed, late, asked)
    return found | {"aircraft_delay": flown, "aircraft_minutes": since}


class Past:
    """For each row, the events of its key in the seconds before it is asked for. Events without a time are left out."""

    def __init__(self, keys: Floats, times: Floats, asked: Floats, seconds: float) -> None:
        self.events = np.flatnonzero(np.isfinite(times))
        # One number orders keys, and times within them: all times are within fewer seconds than lie between two keys.
        places = keys * 1e8 + (times - HELD_OUT)
        self.order = self.events[np.argsort(places[self.events], kind="stable")]
        wanted = keys * 1e8 + (asked - HELD_OUT)
        self.start = np.searchsorted(places[self.order], wanted - seconds, "left")
        self.end = np.searchsorted(places[self.order], wanted, "left")
        self.counts = (self.end - self.start).astype(float)

    def mean(self, values: Any) -> Floats:
        sums = np.concatenate([[0.0], np.cumsum(np.nan_to_num(np.asarray(values, float)[self.order]))])
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((sums[self.end] - sums[self.start]) / self.counts)


def last(keys: Floats, times: Floats, values: Floats, asked: Floats) -> tuple[Floats, Floats]:
    """The value of the key's last event within 12 hours, and the minutes since it."""
    past = Past(keys, times, asked, 12 * HOUR)
    event = past.order[np.maximum(past.end - 1, 0)]
    there = past.counts > 0
    return np.where(there, values[event], np.nan), np.where(there, (asked - times[event]) / 60, np.nan)


def coded(column: pa.ChunkedArray) -> Floats:
    return np.asarray(column.combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False), float)


def numbers(table: pa.Table, name: str) -> Floats:
    return np.asarray(table[name].cast(pa.float64()).to_numpy(), float)


if __name__ == "__main__":
    main()
