"""SIGTERM: a server as a process of its own lets open requests finish, and ends in time."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from raw_http import GET, answered, one, read

PROCESS = Path(__file__).parent / "process.py"
BODY = b'{"flight_id": "F1", "distance": 1.0}'
POST = (
    b"POST /predict/arrivals HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n" % len(BODY)
)


@contextmanager
def running(root: Path, drain: float) -> Iterator[tuple[subprocess.Popen[str], tuple[str, int]]]:
    environment = {**os.environ, "DRAIN": str(drain)}
    command = [sys.executable, str(PROCESS), str(root)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        url = urlsplit(process.stdout.readline().strip())
        yield process, (str(url.hostname), int(url.port or 0))
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)
        process.stdout.close()


@pytest.fixture
def root(worlds: Any, world: Any) -> Path:
    world.promote(worlds.artifact(world.root, 1))
    return Path(world.root)


def test_idle_connections_are_closed_and_open_requests_answered(root: Path) -> None:
    with running(root, 20) as (process, address):
        idle, busy = (socket.create_connection(address, 10) for _ in range(2))
        with idle, busy:
            idle.sendall(GET + b"\r\n")
            one(idle)
            busy.sendall(POST + BODY[:5])
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            assert read(idle) == b""
            time.sleep(0.5)
            with pytest.raises(OSError):
                socket.create_connection(address, 1)
            busy.sendall(BODY[5:])
            status, headers, body = answered(read(busy))
        assert (status, headers["connection"], body["version"]) == (200, "close", "late-1")
        assert process.wait(10) == 0


def test_a_request_that_does_not_end_is_given_up(root: Path) -> None:
    with running(root, 1) as (process, address), socket.create_connection(address, 10) as at:
        at.sendall(POST + BODY[:5])
        time.sleep(0.3)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert 0.9 <= time.monotonic() - began < 5
        status, headers, error = answered(read(at))
        assert (status, headers["connection"], error["what"]) == (503, "close", "the server is stopping")
