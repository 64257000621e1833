"""What the server logs, as JSON: who asked what, when it was answered, and never a secret."""

from __future__ import annotations

import json
import logging
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from mainstem.masking import remember
from mainstem.serving.http.messages import Response
from mainstem.serving.http.routing import Route
from mainstem.serving.journal import Journal, request_id, taking_messages
from mainstem.serving.keys import create


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def fails(request: Any) -> Response:
    raise ValueError("broken")


def test_one_line_per_request(worlds: Any, served: Any, tmp_path: Path) -> None:
    world, service = served
    journal = Journal(str(tmp_path / "log"))
    with worlds.listening(service, journal=journal) as client:
        first = client.get("/health?token=abc", headers={"x-request-id": "trace-1"})
        second = client.post("/predict/arrivals", json={"flight_id": "F1", "distance": 1})
        third = client.request("BREW", "/nowhere", headers={"x-request-id": "no\tid"})
    journal.close()
    said = lines(tmp_path / "log")
    assert [(s["event"], s["method"], s["route"], s["status"]) for s in said] == [
        ("request", "GET", "/health", 200),
        ("request", "POST", "/predict/NAME", 200),
        ("request", "other", "none", 404),
    ]
    assert first.headers["x-request-id"] == said[0]["request"] == "trace-1"
    assert second.headers["x-request-id"] == said[1]["request"] != third.headers["x-request-id"] == said[2]["request"]
    assert all(0 < line["ms"] < 10_000 and line["release"] == world.release.id for line in said)
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o600


def test_messages_carry_the_id_of_their_request_and_a_release_its_run(worlds: Any, served: Any, tmp_path: Path) -> None:
    world, _ = served
    journal = Journal(str(tmp_path / "log"))
    with (
        taking_messages(journal),
        worlds.listening(world.service(), [Route("GET", "/fails", fails)], journal) as client,
    ):
        assert client.get("/fails", headers={"x-request-id": "trace-2"}).status_code == 500
    said = lines(tmp_path / "log")
    (loaded,) = [line for line in said if line["event"] == "release loaded"]
    assert (loaded["release"], loaded["run"]) == (world.release.id, world.release.run or None)
    (failed,) = [line for line in said if "traceback" in line]
    assert failed["request"] == "trace-2" and "ValueError: broken" in failed["traceback"]
    assert not logging.getLogger("mainstem").handlers


def test_no_secret_is_logged(worlds: Any, served: Any, tmp_path: Path) -> None:
    world, service = served
    key = create(world.state, "display", ["admin"])
    journal = Journal(str(tmp_path / "log"))
    with taking_messages(journal), worlds.listening(service, journal=journal) as client:
        for headers in ({"authorization": f"Bearer {key}"}, {"x-request-id": key}):
            client.get(f"/docs?key={key}", headers=headers)
            client.post(f"/predict/{key}", json={"flight_id": key, "key": key}, headers=headers)
        client.get("/docs", auth=("anybody", key))
        logging.getLogger("mainstem.serving").error("a message with %s in it", key)
    text = (tmp_path / "log").read_text()
    assert text.count('"event":"request"') == 5 and "a message with ms_… in it" in text
    assert key.split("_", 2)[2] not in text


def test_secret_values_are_masked(tmp_path: Path) -> None:
    remember("c4n4ry/7")
    journal = Journal(str(tmp_path / "log"))
    with taking_messages(journal):
        try:
            raise ValueError("the key is c4n4ry/7")
        except ValueError:
            logging.getLogger("mainstem.x").exception("failed with %s", "c4n4ry/7")
        journal.write(event="request", route="/x", query="key=c4n4ry%2F7", number=7)
    said = lines(tmp_path / "log")
    assert "c4n4ry" not in (tmp_path / "log").read_text()
    assert said[0]["message"] == "failed with ***" and "ValueError: the key is ***" in said[0]["traceback"]
    assert (said[1]["query"], said[1]["number"]) == ("key=***", 7)


@pytest.mark.parametrize("id", ["a", "6f1c-2.b:c_D", "x" * 128])
def test_a_well_formed_id_is_kept(id: str) -> None:
    assert request_id(id) == id


@pytest.mark.parametrize("id", [None, "", "x" * 129, "a b", "a\nb", 'a"b', "é", "ms_0123456789ab_" + "s" * 43])
def test_another_id_is_replaced(id: str | None) -> None:
    made = request_id(id)
    assert made != id and len(made) == 32 and made != request_id(id)


def test_a_pipe_that_takes_nothing_does_not_hold_the_writer(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    journal = Journal(str(path))
    done = threading.Event()

    def write() -> None:
        for number in range(20_000):
            journal.write(event="request", number=number, filler="x" * 100)
        done.set()

    threading.Thread(target=write, daemon=True).start()
    assert done.wait(20)
    os.set_blocking(reading, True)
    found: list[bytes] = []

    def read() -> None:
        while buffer := os.read(reading, 1 << 16):
            found.append(buffer)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    journal.close()
    reader.join(20)
    lines = [json.loads(line) for line in b"".join(found).splitlines()]
    lost = sum(line["lines"] for line in lines if line["event"] == "log lines lost")
    kept = [line["number"] for line in lines if line["event"] == "request"]
    assert lost > 5_000 and len(kept) + lost == 20_000, "each line is written or counted"
    assert kept == sorted(kept)
    os.close(reading)
