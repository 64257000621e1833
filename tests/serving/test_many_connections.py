"""10,000 idle connections, or as many as the machine's limit of open files allows: the others are answered."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from server_process import running

MANY = 10_000
OTHER_FILES = 1_000


@pytest.fixture
def many() -> Iterator[int]:
    """How many connections the test and the server may have, each."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    hard = MANY + OTHER_FILES if before[1] == resource.RLIM_INFINITY else before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, MANY + OTHER_FILES), before[1]))
    yield min(MANY, hard - OTHER_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_idle_connections_do_not_stop_answers(world: Any, worlds: Any, many: int) -> None:
    world.promote(worlds.artifact(world.root, 1))
    row = {"flight_id": "F1", "distance": 1.0, "time": worlds.NOON.isoformat()}
    with running(world.root, CONNECTIONS=str(many + 10), HEADERS="600") as (_, url), ExitStack() as stack:
        to = urlsplit(url)
        idle = list[socket.socket]()
        for number in range(many):  # from several addresses: one has not enough ports
            source = (f"127.0.0.{2 + number // 5_000}", 0)
            at = socket.create_connection((str(to.hostname), int(to.port or 0)), 30, source)
            idle.append(stack.enter_context(at))
        with httpx.Client(base_url=url, timeout=30) as client:
            for _ in range(20):
                assert client.post("/predict/arrivals", json=row).status_code == 200
        assert httpx.get(f"{url}/ready", timeout=30).status_code == 200
        for at in (idle[0], idle[-1]):  # they are open, and answered when they ask
            at.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert at.recv(15) == b"HTTP/1.1 200 OK"
    assert world.store.end("predictions/arrivals") == 20
