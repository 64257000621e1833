"""The Python client against a real server, and against servers that fail."""

from __future__ import annotations

import gc
import http.server
import importlib.util
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mainstem.client import Client
from mainstem.errors import Forbidden, MainstemError, NotFound, RequestError, StorageError, Unavailable
from mainstem.serving.keys import create


def load_world() -> Any:
    path = Path(__file__).parent / "serving" / "world.py"
    spec = importlib.util.spec_from_file_location("mainstem_client_world", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mainstem_client_world"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def worlds() -> Any:
    return load_world()


@pytest.fixture(scope="module")
def template(worlds: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    worlds.begun(root).close()
    return root


@pytest.fixture
def world(worlds: Any, template: Path, tmp_path: Path) -> Iterator[Any]:
    shutil.copytree(template, tmp_path / "world")
    found = worlds.open_world(tmp_path / "world")
    found.promote(worlds.artifact(found.root, 1))
    yield found
    found.close()


@pytest.fixture
def client(worlds: Any, world: Any) -> Iterator[Client]:
    with worlds.listening(world.service()) as http, Client(str(http.base_url)) as found:
        yield found


def row(n: int = 1) -> dict[str, Any]:
    return {"flight_id": f"F{n}", "distance": np.float64(500.0)}


def test_every_resource(client: Client, world: Any, worlds: Any) -> None:
    assert client.ready()["ready"] and client.ready()["endpoints"] == {"arrivals": "late-1"}
    at = worlds.NOON - timedelta(minutes=20)
    event = {"flight_id": "E1", "origin": "JFK", "dep_delay": np.float32(8.0), "departed_at": at}
    assert client.events("departures", event, backfill=True)["accepted"] == 1
    one = client.predict("arrivals", row(), time=worlds.NOON)
    assert one["version"] == "late-1" and one["features"]["airport__departures_1h"] == 2
    many = client.predict("arrivals", [row(0), row(1)], time=worlds.NOON)
    assert [each["score"] for each in many] == [one["score"]] * 2
    assert client.outcomes("arrivals", {"id": one["id"], "value": True})["accepted"] == 1
    (airport,) = client.features("airport", [{"origin": "JFK"}], time=worlds.NOON)  # type: ignore[misc]
    assert airport["features"]["departures_1h"] == 2  # type: ignore[index]
    both: Any = client.features(["airport", "leg"], [{"origin": "JFK", "flight_id": "F1"}], time=worlds.NOON)
    assert both["leg"][0]["features"] == {"origin": "JFK"} and set(both) == {"airport", "leg"}


def test_errors_have_the_kind_and_the_parts_of_the_server(client: Client) -> None:
    with pytest.raises(NotFound, match="unknown endpoint 'arivals'") as caught:
        client.predict("arivals", row())
    assert caught.value.hint == "did you mean 'arrivals'?"
    with pytest.raises(RequestError, match="the field 'distance' has the wrong type") as refused:
        client.predict("arrivals", {"flight_id": "F1", "distance": "far"})
    assert refused.value.where == "endpoint arrivals, rows[0].distance"
    with pytest.raises(Unavailable, match="does not give reasons"), Client(client._transport._url, retries=0) as hasty:
        hasty.predict("arrivals", row(), reasons=2)
    for value in (float("nan"), {1, 2}):
        with pytest.raises(RequestError, match="cannot be sent as JSON"):
            client.predict("arrivals", {"flight_id": "F1", "distance": value})


def test_a_key_is_sent_and_its_absence_refused(worlds: Any, world: Any) -> None:
    key = create(world.state, "shop", ["predict"])
    with worlds.listening(world.service()) as http:
        url = str(http.base_url)
        with Client(url, key=key) as allowed, Client(url) as stranger:
            assert allowed.predict("arrivals", row())["version"] == "late-1"
            with pytest.raises(Forbidden, match="the API key is missing"):
                stranger.predict("arrivals", row())
            with pytest.raises(Forbidden, match="is not allowed to do this"):
                allowed.events("departures", {})


def test_threads_have_connections_of_their_own(client: Client, world: Any, worlds: Any) -> None:
    def send(n: int) -> int:
        at = worlds.NOON - timedelta(minutes=20)
        event = {"flight_id": f"T{n}", "origin": "JFK", "dep_delay": 1.0, "departed_at": at}
        return int(client.events("departures", event, backfill=True)["accepted"])

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(send, range(64))) == 64
    assert world.store.end("events/departures") == 64


Answer = tuple[int, dict[str, Any] | bytes]


@pytest.fixture
def flaky() -> Iterator[Callable[[list[Answer | None]], tuple[str, list[Any]]]]:
    """A server that gives these answers in turn; None closes the connection instead. And the requests that it got."""
    servers = []

    def serve(answers: list[Answer | None]) -> tuple[str, list[Any]]:
        got: list[Any] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                got.append((self.path, self.headers["Idempotency-Key"], json.loads(body)))
                answer = answers[min(len(got), len(answers)) - 1]
                if answer is None:
                    self.close_connection = True
                    return
                told = answer[1] if isinstance(answer[1], bytes) else json.dumps(answer[1]).encode()
                self.send_response(answer[0])
                self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            def log_message(self, *_arguments: Any) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}", got

    yield serve
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


TAKEN: Answer = (202, {"accepted": 1, "offset": 0})
AWAY: Answer = (503, {"error": "Unavailable", "what": "not yet"})


@pytest.mark.parametrize("first", [None, AWAY])
def test_events_are_sent_again_with_the_same_key(flaky: Any, first: Answer | None) -> None:
    url, got = flaky([first, first, TAKEN])
    with Client(url) as client:
        assert client.events("payments", {"id": "p1"})["accepted"] == 1
    assert len(got) == 3 and len({key for _, key, _ in got}) == 1 and len(got[0][1]) == 32
    with Client(url) as client:
        client.events("payments", {"id": "p1"}, key="mine")
    assert got[-1][1] == "mine"


def test_a_lost_answer_counts_once(worlds: Any, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer of the server does not arrive: the connection breaks after it was sent."""
    import http.client as lib

    with worlds.listening(world.service()) as served, Client(str(served.base_url)) as client:
        take, lost = lib.HTTPConnection.getresponse, []

        def getresponse(connection: Any) -> Any:
            answer = take(connection)
            if not lost:
                lost.append(answer.read())
                raise ConnectionResetError("lost")
            return answer

        monkeypatch.setattr(lib.HTTPConnection, "getresponse", getresponse)
        at = worlds.NOON - timedelta(minutes=20)
        event = {"flight_id": "E1", "origin": "JFK", "dep_delay": 1.0, "departed_at": at}
        assert client.events("departures", event, backfill=True)["repeated"] is True
    assert lost and world.store.end("events/departures") == 1


@pytest.mark.parametrize(
    ("answer", "kind", "told"),
    [
        (AWAY, Unavailable, "not yet"),
        ((507, {"error": "StorageError", "what": "the disk is full"}), StorageError, "the disk is full"),
        ((413, {"error": "TooLarge", "what": "the body is too large"}), RequestError, "the body is too large"),
        ((401, {"error": "Unauthorized", "what": "the API key is missing"}), Forbidden, "the API key is missing"),
        ((502, b"<html>bad gateway"), MainstemError, "the server answered with 502"),
        ((200, b"<html>"), Unavailable, "is not a server of Mainstem"),
        (None, Unavailable, "does not answer"),
    ],
)
def test_what_stays_wrong_is_raised(flaky: Any, answer: Answer | None, kind: type[MainstemError], told: str) -> None:
    url, got = flaky([answer])
    with pytest.raises(kind, match=told), Client(url, retries=1) as client:
        client.predict("authorise", {"amount": 1.0})
    assert len(got) == (2 if answer in (None, AWAY) else 1)


def test_no_server_and_no_url(free_port: Callable[[], int]) -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable, match="does not answer"):
        Client(f"http://127.0.0.1:{free_port()}", retries=1).ready()
    assert time.monotonic() - began < 2
    for url in ("127.0.0.1:8100", "ftp://x", ""):
        with pytest.raises(RequestError, match="URL is invalid"):
            Client(url)


def test_what_cannot_be_a_header_is_refused_and_a_key_is_not_shown() -> None:
    for key in ("ms_secret\n", "ms_secret€"):
        with pytest.raises(RequestError, match="the API key has characters") as caught:
            Client("http://127.0.0.1:1", key=key)
        assert "secret" not in str(caught.value)
    for own in ("order\n17", "€17"):
        with pytest.raises(RequestError, match="the header Idempotency-Key"):
            Client("http://127.0.0.1:1", retries=0).events("payments", {"id": "p1"}, key=own)
    with pytest.raises(RequestError, match="URL is invalid"):
        Client("http://127.0.0.1:port")
    with pytest.raises(RequestError, match="`retries` must not be negative"):
        Client("http://127.0.0.1:1", retries=-1)


def test_a_thread_that_ends_leaves_no_connection(client: Client) -> None:
    for _ in range(5):
        thread = threading.Thread(target=client.ready)
        thread.start()
        thread.join()
    gc.collect()
    assert len(client._transport._every) == 0


def test_the_import_is_light() -> None:
    code = "import sys, mainstem.client; print(sorted({m.partition('.')[0] for m in sys.modules}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for heavy in ("numpy", "pyarrow", "ibis", "duckdb", "msgspec", "pandas", "httpx", "sqlalchemy"):
        assert f"'{heavy}'" not in found
