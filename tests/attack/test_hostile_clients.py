"""Clients that are slow, wrong, many or never done, while a good client gets every answer in time."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from attack.hostile_requests import QUICK, SLOW
from attack.reading import ids, whole
from command_line import Project, Served, serving
from raw_http import connect

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]

NOON = datetime(2013, 12, 1, 12, tzinfo=UTC)
WITHIN = 5.0
"""Seconds in which the good client must have each answer."""
REQUESTS, DRIPPING, IDLE = 1_400, 120, 1_100


class Good:
    """A client that sends events and asks for predictions, one after the other, and knows what they must be."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.stop = threading.Event()
        self.predictions: list[str] = []
        self.events: list[str] = []
        self.slowest = 0.0
        self.wrong: list[Any] = []
        self.thread = threading.Thread(target=self._work)

    def __enter__(self) -> Good:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()

    def _work(self) -> None:
        with httpx.Client(base_url=self.served.client.base_url, timeout=30) as client:
            expected = self._predicted(client)
        number = 0
        while not self.stop.is_set():
            # Each time by a new connection, as a client that comes later does.
            with httpx.Client(base_url=self.served.client.base_url, timeout=30) as client:
                for _ in range(5):
                    began = time.monotonic()
                    try:
                        found = self._predicted(client)
                        if found != expected:
                            self.wrong.append(found)
                        self._event(client, number)
                    except Exception as problem:
                        self.wrong.append(problem)
                    number += 1
                    self.slowest = max(self.slowest, time.monotonic() - began)
                    time.sleep(0.01)

    def _predicted(self, client: httpx.Client) -> list[float]:
        body = {"rows": [{"flight_id": f"F{n}"} for n in range(5)], "time": (NOON - timedelta(days=2)).isoformat()}
        answer = client.post("/predict/arrivals", json=body)
        assert answer.status_code == 200, answer.text
        found = answer.json()["predictions"]
        self.predictions += [one["id"] for one in found]
        return [one["score"] for one in found]

    def _event(self, client: httpx.Client, number: int) -> None:
        at = (NOON - timedelta(minutes=1 + number % 50)).isoformat()
        event = {"flight_id": f"G{number}", "origin": "JFK", "delay": 10.0, "departed_at": at}
        answer = client.post("/events/departures", json={"events": [event], "backfill": True})
        assert answer.status_code == 202, answer.text
        self.events.append(event["flight_id"])


SHORT = "header_timeout = '2s'\nbody_timeout = '4s'\nstall_timeout = '2s'\nidle_timeout = '3s'\n"


@pytest.fixture
def served(live: Project, request: pytest.FixtureRequest) -> Iterator[Served]:
    """A server with short timeouts, or with its defaults, that logs to a file."""
    limits = getattr(request, "param", SHORT)
    live.write("mainstem.toml", (live.root / "mainstem.toml").read_text() + f"\n[serve]\nlog = 'log'\n{limits}")
    with serving(live) as made:
        yield made
    assert "traceback" not in (live.root / "log").read_text()


def settled(live: Project, good: Good, tally: Any) -> None:
    """All that was acknowledged to the good client is stored once."""
    assert good.wrong == [] and len(good.predictions) > 20
    assert good.slowest < WITHIN
    assert live.mainstem("run").code == 0
    found = whole(live)
    events = Counter(ids(found, "departures"))
    assert [events[name] for name in good.events] == [1] * len(good.events)
    predictions = Counter(json.loads(row)["_id"] for row in found["tables"]["predictions.arrivals"])
    assert [predictions[name] for name in good.predictions] == [1] * len(good.predictions)
    answers = f"{len(good.predictions):,} predictions and {len(good.events):,} events"
    tally.also(f"meanwhile {answers} of a good client, each right, stored once, the slowest after {good.slowest:.2f} s")


def outcome(served: Served, source: str, parts: list[bytes], half: bool) -> str:
    """Send a hostile request and read until the server closes. Return what it answered."""
    found = b""
    with connect(served.client, source) as at:
        at.settimeout(WITHIN * 3)
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            for part in parts:
                at.sendall(part)
            if half:
                at.shutdown(socket.SHUT_WR)
        try:
            while part := at.recv(65_536):
                found += part
        except ConnectionResetError:
            pass
        except TimeoutError:
            return "left open"
    if not found:
        return "closed"
    status = found.split(None, 2)[1].decode("latin-1") if found.startswith(b"HTTP/1.1 ") else "no HTTP"
    return f"answered {status}"


def test_wrong_requests(served: Served, live: Project, chance: random.Random, tally: Any) -> None:
    chosen = [
        (QUICK[number % len(QUICK)](chance), f"127.0.0.{2 + number % 50}", not number % 7) for number in range(REQUESTS)
    ]
    chance.shuffle(chosen)
    with Good(served) as good, ThreadPoolExecutor(16) as pool:
        ends = pool.map(lambda one: (one[0], outcome(served, one[1], one[0], one[2])), chosen)
        for sent, end in ends:
            tally(end)
            assert end not in ("left open", "no HTTP") and not end.startswith("answered 50"), (end, sent[0][:300])
    assert served.client.get("/ready").status_code == 200
    settled(live, good, tally)


def test_slow_requests(served: Served, live: Project, chance: random.Random, tally: Any) -> None:
    """Headers and bodies that come a byte at a time, and bodies that never end: each is closed in time."""

    def drip(number: int) -> str:
        first, part = SLOW[number % len(SLOW)]
        began = time.monotonic()
        with connect(served.client, f"127.0.0.{2 + number % 50}") as at:
            at.settimeout(0.05)
            try:
                at.sendall(first)
                while time.monotonic() - began < WITHIN * 3:
                    at.sendall(part)
                    try:
                        found = at.recv(65_536)
                    except TimeoutError:
                        continue
                    return f"answered {found.split()[1].decode()}" if found else "closed"
            except OSError:
                return "closed"
        return "left open"

    with Good(served) as good, ThreadPoolExecutor(40) as pool:
        for end in pool.map(drip, range(DRIPPING)):
            tally(end)
            assert end != "left open"
    settled(live, good, tally)


@pytest.mark.parametrize("served", [""], indirect=True, ids=["defaults"])
def test_idle_connections(served: Served, live: Project, tally: Any) -> None:
    with Good(served) as good, ExitStack() as stack:
        for number in range(IDLE):
            at = stack.enter_context(connect(served.client, f"127.0.0.{2 + number % 50}"))
            with contextlib.suppress(OSError):
                at.sendall((b"", b"GET /hea", b"POST /predict/arrivals HTTP/1.1\r\n")[number % 3])
            tally("idle connection")
        time.sleep(4)
    settled(live, good, tally)
