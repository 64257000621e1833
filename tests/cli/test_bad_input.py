"""What bad input gets, for each kind of it: one clear error, a non-zero exit, published data unharmed; and the next
run goes on from there.

Every test breaks one thing in a project that has published 120 flights, and mends it again.
"""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

FLIGHTS = 120
NEW = "F120,JFK,500,2013-12-01T12:00:00Z,2013-12-01T14:00:00Z,7"
"""A flight that has come in since."""

NOTHING_PUBLISHED = """\
RunFailed: {} failed; nothing was published
     where  run run-ID on branch main
      hint  the published release has not changed; correct the cause and run again
"""


# ── definitions ───────────────────────────────────────────────────────────────────────────────────────


def test_a_wrong_column(project: Any) -> None:
    project.add(NEW)
    with project.broken("flights.py", "flights.scheduled_at.hour()", "flights.schedule_at.hour()"):
        assert (
            project.refuses("run")
            == """\
UnknownName: unknown column 'schedule_at'
     where  flights.py:29  return flights.mutate(hour=flights.schedule_at.hour())
  expected  one of arrived_at, delay, distance, flight_id, origin, scheduled_at
      hint  did you mean 'scheduled_at'?
"""
        )
    with project.broken("flights.py", 'between("distance"', 'between("distanse"'):
        assert (
            project.refuses("plan")
            == """\
UnknownName: unknown column 'distanse'
     where  legs (flights.py:26  def legs(…))
  expected  one of arrived_at, delay, distance, flight_id, hour, origin, scheduled_at
      hint  did you mean 'distance'?
"""
        )
    with project.broken("sql/airports.sql", "SELECT origin", "SELECT origni"):
        assert (
            project.refuses("plan")
            == """\
UnknownName: unknown column 'origni'
     where  airports (sql/airports.sql:1), line 2: SELECT origni, count(*) AS flights FROM legs GROUP BY origin
  expected  one of arrived_at, delay, distance, flight_id, hour, origin, scheduled_at
      hint  did you mean 'origin'?
"""
        )
    assert project.published() == FLIGHTS
    assert "121 rows" in project.goes_on()


def test_a_wrong_parameter_name(project: Any) -> None:
    project.add(NEW)
    with project.broken("flights.py", "def legs(flights)", "def legs(flihgts)"):
        assert (
            project.refuses("run")
            == """\
UnknownName: unknown node 'flihgts'
     where  legs (flights.py:26  def legs(…))
  expected  one of airports, flights, legs, weather
      hint  did you mean 'flights'?
"""
        )
    assert project.published() == FLIGHTS
    assert "121 rows" in project.goes_on()


def test_a_cyclic_graph(project: Any) -> None:
    project.add(NEW)
    with project.broken("flights.py", "def legs(flights)", "def legs(flights, airports)"):
        assert (
            project.refuses("run")
            == """\
CycleError: the graph has a cycle: each of these nodes needs the one before
     where  legs (flights.py:26  def legs(…)); airports (sql/airports.sql:1)
       got  legs → airports → legs
  expected  data that goes in one direction
      hint  let one of them read a source, or a table before the cycle
"""
        )
    assert project.published() == FLIGHTS
    assert "121 rows" in project.goes_on()


# ── data ──────────────────────────────────────────────────────────────────────────────────────────────


def test_an_unreachable_source(project: Any, world: Any) -> None:
    project.add(NEW)
    world.down()
    assert project.refuses("run") == (
        """\
SourceUnreachable: the source cannot be reached
     where  weather (flights.py:17  weather = ms.api(…)): http://world/weather
       got  [Errno 111] Connection refused
  expected  an answer
      hint  check the server and the address
"""
        + NOTHING_PUBLISHED.format("collect weather")
    )
    assert project.published() == FLIGHTS
    world.up()
    assert "121 rows" in project.goes_on()


def test_a_truncated_csv(project: Any) -> None:
    whole = (project.root / "data" / "flights.csv").read_text()
    project.write("data/flights.csv", whole[:-30])
    assert project.refuses("run") == (
        """\
SourceError: a row has 4 columns instead of 6
     where  flights (flights.py:10  flights = ms.files(…)): /project/data/flights.csv, line 121
       got  F119,EWR,1147,2013-12-01T11:
  expected  6 columns
      hint  if it is the last line, the file is truncated: fetch it again; \
options={"null_padding": True} reads what is missing as null; contract="quarantine" sets such lines aside
"""
        + NOTHING_PUBLISHED.format("collect flights")
    )
    project.write("data/flights.csv", whole[:-2])  # every row has its columns, and half of the last value is a number
    assert project.refuses("run") == (
        """\
SourceError: a file is shorter than before and ends within a line
     where  flights (flights.py:10  flights = ms.files(…)): /project/data/flights.csv
       got  6,949 bytes, the last not a line break
  expected  6,951 bytes or more, or a line break at the end
      hint  if it is truncated, fetch it again; if it is complete, end it with a line break
"""
        + NOTHING_PUBLISHED.format("collect flights")
    )
    assert project.published("legs where delay is not null") == FLIGHTS
    project.write("data/flights.csv", whole + NEW + "\n")
    assert "121 rows" in project.goes_on()


def test_a_check_that_fails(project: Any) -> None:
    project.add(NEW, "F121,EWR,17,2013-12-01T13:00:00Z,2013-12-01T15:00:00Z,7")
    assert project.refuses("run") == (
        """\
CheckFailed: legs: between(distance, 50, 6000) is violated by 1 of 122 rows
     where  legs (flights.py:26  def legs(…))
       got  flight_id=F121, distance=17
  expected  between(distance, 50, 6000)
      hint  correct the data, or set the rows aside with severity='quarantine'; snapshot ID is kept for inspection
"""
        + NOTHING_PUBLISHED.format("build legs")
    )
    assert project.published() == FLIGHTS
    with project.broken("flights.py", "50, 6_000)", "50, 6_000, severity='quarantine')"):
        assert "122 rows in = 121 published + 1 quarantined" in project.goes_on()


# ── interruptions ─────────────────────────────────────────────────────────────────────────────────────


def _stopped(project: Any, world: Any, number: int) -> Any:
    """A run that is ended by a signal while it waits for the second answer of the API: in the middle of a step."""
    project.add(NEW)
    world.hours = 25
    world.hold(2)
    process = project.start("run")
    assert world.asked.acquire(timeout=60), process.communicate()
    return project.end(process, number)


def test_ctrl_c_in_the_middle_of_a_run(project: Any, world: Any) -> None:
    ended = _stopped(project, world, signal.SIGINT)
    assert not world.release.is_set()  # it did not wait for the answer
    assert ended.code == 130
    assert ended.err == ("interrupted: nothing was published; the next run starts from the published release\n")
    assert project.published() == FLIGHTS
    said = project.goes_on()
    assert "121 rows" in said and "1 row\n" in said  # of the flights, and of the weather


def test_kill_9_in_the_middle_of_a_run(project: Any, world: Any) -> None:
    ended = _stopped(project, world, signal.SIGKILL)
    assert (ended.code, ended.err) == (-signal.SIGKILL, "")
    assert project.published() == FLIGHTS
    runs = json.loads(project.mainstem("status", "--json").out)["runs"]
    assert [run["status"] for run in runs] == ["interrupted", "published"]
    said = project.goes_on()
    assert "121 rows" in said and "1 row\n" in said  # of the flights, and of the weather


# ── a full disk ───────────────────────────────────────────────────────────────────────────────────────


def test_no_room_for_tables(project: Any) -> None:
    project.add(*(NEW.replace("F120", f"{n * 7919:x}{n * n * 104729:x}") for n in range(40_000)))
    with project.small_disk(".mainstem/lake", free=100) as make_room:
        assert project.refuses("run") == (
            """\
StorageError: the disk is full
     where  flights (flights.py:10  flights = ms.files(…)): /project/.mainstem/lake/tables/flights__HASH/data/ID
       got  No space left on device
  expected  free space for the write; the write was rolled back
      hint  free some space, then do it again
"""
            + NOTHING_PUBLISHED.format("collect flights")
        )
        assert project.published() == FLIGHTS
        make_room()
        assert "40,120 rows" in project.goes_on()


def test_no_room_for_the_state(project: Any) -> None:
    project.add(NEW)
    with project.small_disk(".mainstem/state", free=0) as make_room:
        assert (
            project.refuses("run")
            == """\
StorageError: the disk is full
     where  sqlite:////project/.mainstem/state/state.db
       got  database or disk is full
  expected  free space for the write; the write was rolled back
      hint  free some space, then do it again
"""
        )
        assert project.published() == FLIGHTS  # which is read from there, too
        make_room()
        assert "121 rows" in project.goes_on()


def test_no_room_for_events(live: Any, serve: Any) -> None:
    """Events are answered with 507, not lost and not half taken; a prediction that cannot be logged is not given."""
    taken = 0
    with live.small_disk(".mainstem/online/main", free=400) as make_room:
        with serve(live) as server:
            status, answer = server.post("/events/departures", _events(taken))
            while status == 202:
                taken += answer["accepted"]
                status, answer = server.post("/events/departures", _events(taken))
            assert taken > 0
            full = {
                "error": "StorageError",
                "what": "the disk is full",
                "where": str(live.root / ".mainstem/online/main"),
                "got": answer["got"],
                "expected": "free space for the write; the write was rolled back",
                "hint": "free some space, then do it again",
            }
            assert (status, answer) == (507, full)
            status, answer = server.post("/predict/arrivals", [{"flight_id": f"F{n}"} for n in range(10_000)])
            assert (status, {**answer, "got": full["got"]}) == (507, full)
            assert live.published() == FLIGHTS
            make_room()
            status, answer = server.post("/events/departures", _events(taken))
            assert (status, answer["offset"]) == (202, taken)
            taken += answer["accepted"]
        assert f"{taken:,} rows" in live.goes_on()
        assert live.published("(select distinct flight_id from departures where flight_id like 'E%')") == taken


def _events(start: int) -> list[dict[str, Any]]:
    event = {"origin": "JFK", "delay": 5.0, "departed_at": "2013-12-01T10:30:00Z"}
    return [{"flight_id": f"E{start + n}", **event} for n in range(500)]


# ── requests ──────────────────────────────────────────────────────────────────────────────────────────

FLIGHT = {"flight_id": "F110", "time": "2013-12-01T01:00:00Z"}
DEPARTURE = {"flight_id": "E1", "origin": "JFK", "delay": 5.0, "departed_at": "2013-12-01T10:30:00Z"}


def _refused(server: Any, path: str, body: Any, status: int) -> dict[str, str]:
    """The error in the answer. Nothing is logged, and a good request is answered afterwards as before."""
    before = server.count("mainstem_predictions_total"), server.count("mainstem_events_total")
    found, answer = server.post(path, body)
    assert found == status, answer
    assert (server.count("mainstem_predictions_total"), server.count("mainstem_events_total")) == before
    assert server.client.get("/health").status_code == 200
    return answer


def test_a_good_request(server: Any) -> None:
    status, answer = server.post("/predict/arrivals", FLIGHT)
    assert status == 200 and 0 < answer["score"] < 1
    assert answer["flags"] == ["unknown:airport"], "nothing has left in the last hour, for the events are of 2013"
    assert answer["features"]["leg__distance"] == 1030


def test_a_missing_field(server: Any) -> None:
    assert _refused(server, "/predict/arrivals", {"flight": "F110"}, 400) == {
        "error": "RequestError",
        "what": "the field 'flight_id' is missing",
        "where": "endpoint arrivals, rows[0]",
        "got": "the fields flight",
        "expected": "'flight_id': string",
        "hint": "there is no field 'flight': write 'flight_id'",
    }
    event = {name: value for name, value in DEPARTURE.items() if name != "delay"}
    assert _refused(server, "/events/departures", [event], 400) == {
        "error": "RequestError",
        "what": "the field 'delay' is missing",
        "where": "stream departures, events[0]",
        "got": "the fields flight_id, origin, departed_at",
        "expected": "'delay': float64",
        "hint": "send null if it is not known",
    }


def test_a_mistyped_field(server: Any) -> None:
    assert _refused(server, "/predict/arrivals", {"flight_id": 110}, 400) == {
        "error": "RequestError",
        "what": "the field 'flight_id' has the wrong type or value",
        "where": "endpoint arrivals, rows[0].flight_id",
        "got": "110",
        "expected": "a string",
        "hint": 'write it in quotes: "110"',
    }


def test_an_unknown_field(server: Any) -> None:
    assert _refused(server, "/predict/arrivals", {**FLIGHT, "tiem": None}, 400) == {
        "error": "RequestError",
        "what": "unknown field 'tiem'",
        "where": "endpoint arrivals, rows[0]",
        "got": "tiem",
        "expected": "the fields flight_id, time",
        "hint": "did you mean 'time'?",
    }


def test_an_unknown_entity_gets_defaults_and_a_flag(server: Any) -> None:
    status, answer = server.post("/predict/arrivals", {**FLIGHT, "flight_id": "F999"})
    assert status == 200 and 0 < answer["score"] < 1
    assert answer["features"] == {
        "leg__origin": None,
        "leg__distance": None,
        "leg__hour": None,
        "airport__delay_1h": None,
        "airport__departures_1h": 0,
    }
    assert answer["flags"] == ["unknown:leg", "unknown:airport"]


def test_an_unknown_endpoint(server: Any) -> None:
    assert _refused(server, "/predict/arivals", FLIGHT, 404) == {
        "error": "NotFound",
        "what": "unknown endpoint 'arivals'",
        "got": "arivals",
        "expected": "one of arrivals",
        "hint": "did you mean 'arrivals'?",
    }


def test_a_body_that_is_not_json(server: Any) -> None:
    assert _refused(server, "/predict/arrivals", '{"flight_id": "F110"', 400) == {
        "error": "RequestError",
        "what": "the body is not JSON",
        "where": "/predict/arrivals",
        "got": "Input data was truncated",
        "expected": "a JSON object or list",
        "hint": "see /docs",
    }


def test_a_body_that_is_too_large(server: Any) -> None:
    assert _refused(server, "/predict/arrivals", " " * 5_000_000, 413) == {
        "error": "TooLarge",
        "what": "the body is too large",
        "got": "5000000 bytes",
        "expected": "at most 4194304 bytes",
        "hint": "send fewer rows at a time, or raise max_bytes under [serve] in mainstem.toml",
    }


def test_a_naive_time(server: Any) -> None:
    wrong = {
        "got": "'2013-12-01T01:00:00'",
        "expected": "an instant in ISO 8601, such as 2013-12-01T10:00:00Z",
        "hint": "it has no time zone: append Z if it is UTC, or its offset, such as +01:00",
    }
    assert _refused(server, "/predict/arrivals", {**FLIGHT, "time": "2013-12-01T01:00:00"}, 400) == {
        "error": "RequestError",
        "what": "the field 'time' has the wrong type or value",
        "where": "endpoint arrivals, rows[0].time",
        **wrong,
    }
    assert _refused(server, "/predict/arrivals", {"rows": [FLIGHT], "time": "2013-12-01T01:00:00"}, 400) == {
        "error": "RequestError",
        "what": "`time` is not an instant",
        "where": "endpoint arrivals",
        **wrong,
    }


def test_a_bad_event_takes_the_others_of_its_request_along(server: Any) -> None:
    bad = {**DEPARTURE, "flight_id": "E2", "delay": "late"}
    assert _refused(server, "/events/departures", [DEPARTURE, bad], 400) == {
        "error": "RequestError",
        "what": "the field 'delay' has the wrong type or value",
        "where": "stream departures, events[1].delay",
        "got": "'late'",
        "expected": "a finite number",
        "hint": "send null if it is not known",
    }


# ── the command line ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("run", "--select", "legz"),
            "UnknownName: unknown node 'legz'\n"
            "     where  the selection 'legz'\n"
            "  expected  one of airports, flights, legs, weather\n"
            "      hint  did you mean 'legs'?\n",
        ),
        (
            ("show", "legz"),
            "UnknownName: unknown node 'legz'\n"
            "  expected  one of airports, flights, legs, weather\n"
            "      hint  did you mean 'legs'?\n",
        ),
        (
            ("query", "select * from legz"),
            "UnknownName: unknown published relation 'legz'\n"
            "  expected  one of airports, flights, legs, weather\n"
            "      hint  did you mean 'legs'?\n",
        ),
        (
            ("plan", "--profile", "prod"),
            "UnknownName: unknown profile 'prod'\n"
            "  expected  one of default\n"
            "      hint  add [profile.prod] to mainstem.toml\n",
        ),
        (
            ("plan", "--brunch", "dev"),
            "Usage: mainstem plan [OPTIONS]\n"
            "Try 'mainstem plan -h' for help.\n\n"
            "Error: No such option: --brunch (Possible options: --branch)\n",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_wrong_name_on_the_command_line(project: Any, arguments: tuple[str, ...], said: str) -> None:
    assert project.refuses(*arguments, code=2) == said


def test_promoting_an_unknown_version(live: Any) -> None:
    before = json.loads(live.mainstem("rollback", "--list", "--json").out)
    ended = live.mainstem("promote", "late", "--version", "nonsense")
    assert ended.code == 2
    assert "unknown version 'nonsense' of the model 'late'" in ended.err and "one of late-1" in ended.err
    assert json.loads(live.mainstem("rollback", "--list", "--json").out) == before
