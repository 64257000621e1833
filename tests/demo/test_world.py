"""The world of 2013: its instants are true, its identifiers unique, and it tells no more than has happened."""

import csv
import http.client
import json
import shutil
import sqlite3
import threading
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
import world as worlds
from world import END, START, World, offer


@pytest.fixture(scope="session")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    World(root).lay_out()
    return root


@pytest.fixture
def world(laid_out: Path, tmp_path: Path) -> World:
    """A copy to move: only December's and November's files are ever rewritten."""
    shutil.copytree(laid_out / "data", tmp_path / "data")
    return World(tmp_path)


@pytest.fixture(scope="session")
def truth(laid_out: Path, tmp_path_factory: pytest.TempPathFactory) -> duckdb.DuckDBPyConnection:
    """What was laid out (`flights`), beside the package's own rows (`raw`), paired by what both have."""
    scratch = tmp_path_factory.mktemp("raw")
    zipfile.ZipFile(worlds._packaged("flights.csv.zip")).extract("flights.csv", scratch)
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    db.execute(f"CREATE TABLE flights AS FROM '{laid_out}/data/world/flights.parquet'")
    db.execute(f"CREATE TABLE raw AS FROM read_csv('{scratch}/flights.csv', nullstr = 'NA')")
    zones = f"read_csv('{worlds._packaged('airports.csv')}', nullstr = 'NA')"
    db.execute(
        f"""CREATE TABLE paired AS
            SELECT r.*, f.flight_id, f.scheduled_at, f.departed_at, f.arrived_at,
                   coalesce(z.tzone, 'America/Puerto_Rico') AS zone
            FROM raw AS r JOIN flights AS f
              ON r.carrier = f.carrier AND r.flight = f.flight AND r.origin = f.origin
             AND timezone('America/New_York', f.scheduled_at)
                 = make_timestamp(r.year, r.month, r.day, r.hour, r.minute, 0)
            LEFT JOIN {zones} AS z ON r.dest = z.faa"""
    )
    return db


def one(db: duckdb.DuckDBPyConnection, query: str) -> object:
    row = db.execute(query).fetchone()
    assert row is not None
    return row[0]


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open() as lines:
        return list(csv.DictReader(lines))


def test_every_flight_is_there_once(truth: duckdb.DuckDBPyConnection) -> None:
    assert one(truth, "SELECT count(*) FROM flights") == one(truth, "SELECT count(*) FROM raw") == 336_776
    assert one(truth, "SELECT count(*) FROM paired") == 336_776
    assert one(truth, "SELECT count(DISTINCT flight_id) FROM flights") == 336_776


def test_an_id_is_carrier_number_and_date_and_the_second_of_a_day_names_its_airport(
    truth: duckdb.DuckDBPyConnection,
) -> None:
    assert one(truth, "SELECT count(*) FROM flights WHERE flight_id = 'UA-1545-2013-01-01'") == 1
    assert one(truth, "SELECT count(*) FROM flights WHERE flight_id SIMILAR TO '.*-(EWR|JFK|LGA)'") == 24
    both = "string_agg(flight_id || ' ' || origin, ',' ORDER BY scheduled_at)"
    assert (
        one(truth, f"SELECT {both} FROM flights WHERE flight_id LIKE 'UA-236-2013-08-13%'")
        == "UA-236-2013-08-13 JFK,UA-236-2013-08-13-EWR EWR"
    )


def test_the_scheduled_hour_is_the_packages_own_utc_hour(truth: duckdb.DuckDBPyConnection) -> None:
    assert one(truth, "SELECT count(*) FROM paired WHERE date_trunc('hour', scheduled_at) <> time_hour") == 0


def test_clocks_at_both_ends_agree_with_the_data(truth: duckdb.DuckDBPyConnection) -> None:
    """Local hhmm at departure and arrival, over midnight and on the nights clocks changed.

    One flight is said to have landed at 02:03 on a night whose clocks went from 02:00 to 03:00.
    """
    wrong = """SELECT string_agg(flight_id) FROM paired WHERE {instant} IS NOT NULL AND
               CAST(strftime(timezone({zone}, {instant}), '%H%M') AS INT) <> {clock} % 2400"""
    assert one(truth, wrong.format(instant="departed_at", zone="'America/New_York'", clock="dep_time")) is None
    assert one(truth, wrong.format(instant="arrived_at", zone="zone", clock="arr_time")) == "B6-35-2013-03-09"
    assert one(truth, "SELECT count(*) FROM paired WHERE arrived_at IS NOT NULL") == 327_346


def test_every_flight_was_longer_under_way_than_in_the_air(truth: duckdb.DuckDBPyConnection) -> None:
    """Time on the ground is between 5 minutes and 4 hours: an hour or a day too many or too few would show."""
    ground = "datediff('minute', departed_at, arrived_at) - air_time"
    assert one(truth, f"SELECT count(*) FROM paired WHERE {ground} NOT BETWEEN 5 AND 240") == 0


@pytest.mark.parametrize(
    ("flight", "departed", "arrived"),
    [
        # scheduled 21:30 EDT on 10 March, hours after clocks went forward; over midnight, UTC−4
        ("B6-383-2013-03-10", "2013-03-11 01:34:00+00", "2013-03-11 04:11:00+00"),
        # scheduled 20:58 EST on 3 November, after clocks went back; UTC−5
        ("UA-371-2013-11-03", "2013-11-04 02:14:00+00", "2013-11-04 04:58:00+00"),
        # left on 9 March, EST, and landed an hour before clocks went forward
        ("B6-35-2013-03-09", "2013-03-10 04:06:00+00", "2013-03-10 07:03:00+00"),
    ],
)
def test_nights_when_clocks_change(truth: duckdb.DuckDBPyConnection, flight: str, departed: str, arrived: str) -> None:
    found = truth.execute(
        "SELECT CAST(departed_at AS TEXT), CAST(arrived_at AS TEXT) FROM flights WHERE flight_id = ?", [flight]
    ).fetchone()
    assert found == (departed, arrived)


def test_files_are_by_local_month_and_tell_only_what_had_happened(laid_out: Path) -> None:
    files = sorted((laid_out / "data" / "flights").glob("*.csv"))
    assert [file.stem for file in files] == [f"2013-{month:02}" for month in range(1, 13)]
    december = rows_of(files[-1])
    assert len(december) == 28_135
    outcomes = ("departed_at", "dep_delay", "arrived_at", "arr_delay", "air_time")
    assert {row[column] for row in december for column in outcomes} == {""}
    for row in rows_of(files[-2]):
        for instant in ("departed_at", "arrived_at"):
            assert not row[instant] or datetime.fromisoformat(row[instant]) < START
    at_midnight = "2013-12-01T04:50"
    still_flying = [r for r in rows_of(files[-2]) if r["departed_at"] >= at_midnight and not r["arr_delay"]]
    assert still_flying, "some flights of 30 November were in the air at midnight"


def test_finishing_december_tells_all_and_going_back_forgets_it(world: World) -> None:
    january, december = (world.data / "flights" / f"2013-{month}.csv" for month in ("01", "12"))
    before, untouched = december.read_bytes(), january.stat().st_mtime_ns
    dated = december.stat().st_mtime_ns
    world.finish_december()
    assert world.now == END
    done = rows_of(december)
    assert sum(bool(row["arr_delay"]) for row in done) == 27_020
    world.move(START)
    assert december.read_bytes() == before and december.stat().st_mtime_ns == dated
    assert january.stat().st_mtime_ns == untouched


def test_laying_out_twice_changes_nothing(world: World) -> None:
    times = {file: file.stat().st_mtime_ns for file in world.data.rglob("*") if file.is_file()}
    world.lay_out()
    assert times == {file: file.stat().st_mtime_ns for file in world.data.rglob("*") if file.is_file()}


def departed(world: World) -> set[str]:
    files = (world.data / "flights" / f"2013-{month}.csv" for month in ("11", "12"))
    return {row["flight_id"] for file in files for row in rows_of(file) if row["departed_at"]}


def test_events_begin_where_the_files_end(world: World) -> None:
    sent = {row["flight_id"] for row in world.departures(START, END)}
    told = departed(world)
    assert not sent & told
    world.finish_december()
    assert departed(world) == sent | told


def test_departures_come_in_order_and_faulty_ones_in_seconds(world: World) -> None:
    day = START + timedelta(days=1)
    good, bad = world.departures(START, day), world.departures(START, day, faulty=True)
    assert [row["departed_at"] for row in good] == sorted(row["departed_at"] for row in good)
    assert [row["dep_delay"] * 60 for row in good] == [row["dep_delay"] for row in bad]
    assert set(good[0]) == {"flight_id", "origin", "dest", "carrier", "tailnum", "dep_delay", "departed_at"}


def test_every_flight_of_december_is_asked_for_an_hour_before_it_leaves(world: World) -> None:
    schedule = {r["flight_id"]: r["scheduled_at"] for r in rows_of(world.data / "flights/2013-12.csv")}
    asked = {r["flight_id"]: r["time"] for r in world.predictions(START, END)}
    assert asked.keys() == schedule.keys()
    hour = timedelta(hours=1)
    assert all(datetime.fromisoformat(schedule[f]) - datetime.fromisoformat(t) == hour for f, t in asked.items())


def test_the_registry_is_a_database_with_a_key(world: World) -> None:
    with sqlite3.connect(world.data / "registry.db") as db:
        assert db.execute("SELECT count(*), count(DISTINCT tailnum) FROM planes").fetchone() == (3_322, 3_322)
        assert db.execute("SELECT typeof(year), typeof(seats) FROM planes LIMIT 1").fetchone() == ("integer", "integer")
    db.close()


class Client:
    def __init__(self, port: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        self.connection.request("GET", path, headers=headers)
        answer = self.connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


@pytest.fixture
def client(world: World) -> Iterator["Client"]:
    server = offer(world, 0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    client = Client(server.server_port)
    yield client
    client.connection.close()
    server.shutdown()
    server.server_close()
    thread.join()


def pages(client: Client, path: str) -> list[dict[str, object]]:
    items: list[dict[str, object]] = []
    while path:
        status, _, body = client.get(path)
        assert status == 200
        page = json.loads(body)
        items += page["items"]
        path = (page["next"] or "").removeprefix(f"http://127.0.0.1:{client.connection.port}")
    return items


def test_weather_comes_in_pages_up_to_the_worlds_clock(client: Client, world: World) -> None:
    first = json.loads(client.get("/weather")[2])
    assert len(first["items"]) == worlds.PAGE and first["next"].endswith("page=2")
    items = pages(client, "/weather")
    keys = {(item["origin"], item["time_hour"]) for item in items}
    assert len(keys) == len(items)
    assert max(str(item["time_hour"]) for item in items) == "2013-12-01T04:00:00Z"
    world.finish_december()
    assert len(pages(client, "/weather")) == 26_115


@pytest.mark.parametrize(
    "spelling", ["2013-11-30T00:00:00Z", "2013-11-30T00:00:00%2B00:00", "2013-11-30T00:00:00+00:00"]
)
def test_the_cursor_gives_only_later_hours(client: Client, spelling: str) -> None:
    items = pages(client, f"/weather?time_hour={spelling}")
    assert {str(item["time_hour"]) for item in items} == {
        (datetime(2013, 11, 30, 1, tzinfo=UTC) + timedelta(hours=h)).strftime("%Y-%m-%dT%H:%M:%SZ") for h in range(28)
    }


def test_an_etag_saves_the_body(client: Client) -> None:
    _, headers, body = client.get("/weather?time_hour=2013-11-30T00:00:00Z")
    status, _, nothing = client.get("/weather?time_hour=2013-11-30T00:00:00Z", **{"If-None-Match": headers["ETag"]})
    assert (status, nothing) == (304, b"") and body
    assert client.get("/weather", **{"If-None-Match": headers["ETag"]})[0] == 200


def test_wind_in_metres_per_second_from_december_on(client: Client, world: World) -> None:
    world.finish_december()
    path = "/weather?time_hour=2013-11-30T12:00:00Z"
    right = pages(client, path)
    world.send_wind_in("m/s")
    wrong = pages(client, path)
    for before, after in zip(right, wrong, strict=True):
        factor = worlds.MPH_IN_MS if str(before["time_hour"]) >= "2013-12-01T05:00:00Z" else 1
        assert after["wind_speed"] == (before["wind_speed"] and before["wind_speed"] * factor)
        assert after["temp"] == before["temp"]
    world.send_wind_in("mph")
    assert pages(client, path) == right


def test_airlines_are_a_page_that_robots_may_read(client: Client) -> None:
    status, headers, body = client.get("/airlines")
    assert status == 200 and headers["Content-Type"].startswith("text/html")
    assert body.count(b"<tr>") == 16
    assert b'<td class="code">UA</td><td class="name">United Air Lines Inc.</td>' in body
    assert b"Allow: /" in client.get("/robots.txt")[2]
    assert client.get("/nothing")[0] == 404


def test_the_weather_clock_moves_alone(client: Client, world: World) -> None:
    december = world.data / "flights" / "2013-12.csv"
    before = december.read_bytes()
    world.move_weather(END)
    assert len(pages(client, "/weather")) == 26_115
    assert december.read_bytes() == before and world.now == START
