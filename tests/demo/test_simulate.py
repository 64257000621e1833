"""Replaying a month: six hours at a time, in order, over one connection."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from simulate import Sent, simulate
from world import START, World


class Recorder(BaseHTTPRequestHandler):
    """A server that accepts everything and remembers it: what is tested is what is sent."""

    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, Any, int]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append((self.path, body, self.client_address[1]))
        status, answer = (200, b"{}") if "flight_id" in json.dumps(body) else (400, b"no flight")
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture
def recorder() -> Iterator[tuple[str, list[tuple[str, Any, int]]]]:
    seen: list[tuple[str, Any, int]] = []
    server = HTTPServer(("127.0.0.1", 0), type("Fresh", (Recorder,), {"seen": seen}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("simulate"))
    made.lay_out()
    return made


def test_a_day_in_spans_of_six_hours(world: World, recorder: tuple[str, list[tuple[str, Any, int]]]) -> None:
    url, seen = recorder
    end = START + timedelta(days=1)
    told: list[Sent] = []
    done = simulate(world, url, end=end, report=lambda begun, so_far: told.append(so_far))

    assert done == told[-1] == Sent(len(world.departures(START, end)), len(world.predictions(START, end)))
    assert len({port for _, _, port in seen}) == 1, "one connection"
    begun = [
        rows[0]["departed_at"][:13] if "events" in body else rows[0]["time"][:13]
        for _, body, _ in seen
        for rows in [body.get("events") or body["rows"]]
    ]
    spans = [(time[:10], int(time[11:]) // 6) for time in begun]
    assert spans == sorted(spans) and len(spans) < 24
    for path, body, _ in seen:
        rows, instant = (body["events"], "departed_at") if path == "/events/departures" else (body["rows"], "time")
        assert len({(row[instant][:10], int(row[instant][11:13]) // 6) for row in rows}) == 1
        assert body.get("backfill", path == "/predict/arrivals") is True


def test_a_faulty_feed_sends_seconds(world: World, recorder: tuple[str, list[tuple[str, Any, int]]]) -> None:
    url, seen = recorder
    end = START + timedelta(hours=7)
    simulate(world, url, end=end)
    good = [row for path, body, _ in seen if path.startswith("/events") for row in body["events"]]
    seen.clear()
    simulate(world, url, end=end, faulty=True)
    bad = [row for path, body, _ in seen if path.startswith("/events") for row in body["events"]]
    assert good and [row["dep_delay"] * 60 for row in good] == [row["dep_delay"] for row in bad]


def test_a_refusal_ends_the_simulation_with_what_was_said(
    world: World, recorder: tuple[str, list[Any]], tmp_path: Path
) -> None:
    url, _ = recorder
    empty = World(world.data.parent)
    empty.departures = lambda *_, **__: [{"departed_at": "2013-12-01T05:00:00Z"}]  # type: ignore[method-assign]
    with pytest.raises(SystemExit, match="POST /events/departures was answered with 400: no flight"):
        simulate(empty, url)
