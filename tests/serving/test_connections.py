"""Clients that connect and do not go on: a real server on loopback, raw sockets."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from mainstem.errors import DefinitionError, SettingsError
from mainstem.serving.connections import client_of
from mainstem.serving.limits import Limits
from mainstem.settings import Serve
from raw_http import GET, answered, connect, exchange, one, read

POST = b"POST /predict/arrivals HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
SHORT = {"headers": 0.4, "body": 0.8, "stall": 0.4, "idle": 0.4, "poll": 0.05}


@pytest.fixture
def serve(worlds: Any, world: Any) -> Callable[..., Any]:
    """Starts a server of a world with a champion, within limits."""
    world.promote(worlds.artifact(world.root, 1))

    @contextmanager
    def started(**limits: Any) -> Iterator[Any]:
        with worlds.listening(world.service(Limits(**limits))) as client:
            yield client

    return started


@contextmanager
def timed(at_least: float, below: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert at_least <= time.monotonic() - began < below


@pytest.mark.parametrize("sent", [b"", b"GET /hea", POST + b"Content-Length: 99\r\n\r\n{"])
def test_1005_waiting_connections_leave_the_server_to_others(serve: Any, sent: bytes) -> None:
    """No deadline ends the waiting within the test, so that only the limit of an address makes room."""
    with serve(headers=600, body=600, stall=600, idle=600) as client, ExitStack() as stack:
        waiting = [stack.enter_context(connect(client)) for _ in range(1_005)]
        for at in waiting:
            at.sendall(sent)
        for _ in range(3):
            assert client.get("/health").status_code == 200
            assert exchange(client, GET + b"Connection: close\r\n\r\n")[0] == 200
        assert 490 < sum(map(is_open, waiting)) < 500


def is_open(at: socket.socket) -> bool:
    """Whether the server has not closed a connection. It has sent nothing."""
    at.settimeout(0)
    try:
        assert at.recv(1) == b""
    except BlockingIOError:
        return True
    except ConnectionResetError:
        pass
    return False


def test_one_address_has_a_limit_of_its_own(serve: Any) -> None:
    with serve(connections=20, per_client=5) as client, ExitStack() as stack:
        other = stack.enter_context(connect(client, "127.0.0.2"))
        mine = [stack.enter_context(connect(client, "127.0.0.3")) for _ in range(30)]
        time.sleep(0.3)
        other.sendall(GET + b"Connection: close\r\n\r\n")
        assert answered(read(other))[0] == 200
        still = 0
        for at in mine:
            at.settimeout(0.05)
            try:
                assert at.recv(1) == b""
            except TimeoutError:
                still += 1
            except ConnectionResetError:
                pass
        assert still == 5


def test_the_limit_of_all_connections_holds_over_addresses(serve: Any) -> None:
    with serve(connections=4, per_client=4) as client, ExitStack() as stack:
        first = stack.enter_context(connect(client, "127.0.0.2"))
        time.sleep(0.1)
        for number in range(3, 7):
            stack.enter_context(connect(client, f"127.0.0.{number}"))
        first.settimeout(5)
        assert read(first) == b""  # it has let the server wait longest


def test_connections_at_work_are_not_closed_for_new_ones(worlds: Any, served: Any) -> None:
    from mainstem.serving.http.messages import Response
    from mainstem.serving.http.routing import Route

    world, _ = served

    async def slow(request: Any) -> Response:
        import asyncio

        await asyncio.sleep(1.0)
        return Response(b"{}")

    service = world.service(Limits(connections=2, per_client=2, poll=0.05))
    with worlds.listening(service, [Route("GET", "/slow", slow)]) as client, ExitStack() as stack:
        working = [stack.enter_context(connect(client)) for _ in range(2)]
        for at in working:
            at.sendall(b"GET /slow HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        time.sleep(0.2)
        status, headers, error = exchange(client, b"")
        assert (status, headers["connection"]) == (503, "close")
        assert error["what"] == "the server has too many connections"
        assert [answered(read(at))[0] for at in working] == [200, 200]


def test_headers_have_a_deadline_that_drops_do_not_move(serve: Any) -> None:
    with serve(**SHORT) as client, connect(client) as at, timed(0.35, 3):
        found = b""
        at.settimeout(0.1)
        for byte in GET * 9:
            try:
                at.sendall(bytes([byte]))
                if found := at.recv(9_999):
                    break
            except TimeoutError:
                continue
        at.settimeout(5)
        status, headers, error = answered(found + read(at))
        assert (status, headers["connection"], headers["content-type"]) == (408, "close", "application/json")
        assert error["what"] == "the headers did not arrive in time"


def test_a_connection_that_sends_nothing_is_closed(serve: Any) -> None:
    with serve(**SHORT) as client, connect(client) as at, timed(0.35, 3):
        assert read(at) == b""


def test_an_idle_connection_is_closed_and_a_busy_one_is_not(serve: Any) -> None:
    with serve(**SHORT) as client, connect(client) as at:
        for _ in range(4):
            at.sendall(GET + b"\r\n")
            assert b"200 OK" in one(at)
            time.sleep(0.25)
        with timed(0, 3):
            assert read(at) == b""


@pytest.mark.parametrize(
    ("pause", "parts", "within"),
    [(9.0, 1, (0.35, 0.79)), (0.2, 20, (0.75, 1.5))],
    ids=["nothing more comes", "drops come for ever"],
)
def test_a_body_has_a_deadline_and_must_not_stall(serve: Any, pause: float, parts: int, within: Any) -> None:
    with serve(**SHORT) as client, connect(client) as at, timed(within[0], within[1] + 1):
        at.sendall(POST + b"Content-Length: 99\r\n\r\n")
        at.settimeout(pause)
        found = b""
        for _ in range(parts):
            at.sendall(b" ")
            try:
                found = at.recv(9_999)
                break
            except TimeoutError:
                continue
        at.settimeout(5)
        status, headers, error = answered(found + read(at))
        assert (status, headers["connection"]) == (408, "close")
        assert error["what"] == "the body did not arrive in time"


def test_a_body_that_is_answered_already_is_not_read_for_ever(serve: Any) -> None:
    with serve(**SHORT) as client, connect(client) as at, timed(0.3, 4):
        at.sendall(b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999\r\n\r\n")
        assert b" 404 " in one(at)
        with pytest.raises(OSError):
            for _ in range(100):
                at.sendall(b" ")
                time.sleep(0.1)


def test_a_client_that_does_not_read_is_dropped(serve: Any, worlds: Any) -> None:
    with serve(**SHORT) as client:
        with connect(client) as at:
            at.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            with pytest.raises(OSError), timed(0.3, 20):
                at.settimeout(15)
                while True:
                    at.sendall((b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n") * 500)
        assert client.get("/health").status_code == 200


@pytest.mark.parametrize("name", [n for n in Serve.__struct_fields__ if n.startswith("max_") or n.endswith("_timeout")])
def test_every_limit_must_be_positive(name: str) -> None:
    zero: Any = "0s" if name.endswith("_timeout") else 0
    with pytest.raises(SettingsError, match=f"`{name}` must be positive") as caught:
        Limits.of(Serve(**{name: zero}))
    assert caught.value.where == f"mainstem.toml, [serve] {name}"
    one: Any = "3s" if name.endswith("_timeout") else 3
    assert [value for value in vars(Limits.of(Serve(**{name: one}))).values() if value == 3] == [3]


def test_a_timeout_is_a_duration() -> None:
    with pytest.raises(DefinitionError, match="'soon' is not a duration"):
        Limits.of(Serve(idle_timeout="soon"))


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("/run/socket", ""),
    ],
)
def test_what_counts_as_one_client(address: str, client: str) -> None:
    assert client_of((address, 1)) == client
