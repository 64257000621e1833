"""Plain requests are answered without h11, and every other one by it: the client cannot tell."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from mainstem.serving.connections import Connection
from mainstem.serving.http.messages import Request, Response
from mainstem.serving.http.routing import Route
from mainstem.serving.limits import Limits
from mainstem.serving.plain import END, head_of
from raw_http import connect, one, read

BODY = b'{"flight_id": "F1", "distance": 1.0, "time": "2013-12-01T12:00:00+00:00"}'
HEAD = (
    b"POST /predict/arrivals HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"X-Request-Id: one\r\nContent-Length: %d\r\n\r\n" % len(BODY)
)
LINES = b"GET /health?a=1 HTTP/1.1\r\nHost: a"


@pytest.fixture
def server(worlds: Any, served: Any) -> Iterator[Any]:
    _, service = served

    async def split(request: Request) -> Response:
        return Response(b"{}", headers={"x-name": "a\r\nset-cookie: b"})

    async def large(request: Request) -> Response:
        return Response(b'"' + b"x" * 3_000_000 + b'"')

    routes = [Route("GET", "/split", split), Route("GET", "/large", large)]
    with worlds.listening(service, routes) as client:
        yield client


@pytest.fixture
def by_h11(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What h11 was given."""
    given: list[bytes] = []
    original = Connection._to_h11

    def noted(self: Connection, data: bytes) -> None:
        given.append(data)
        original(self, data)

    monkeypatch.setattr(Connection, "_to_h11", noted)
    return given


def told(raw: bytes) -> tuple[str, dict[str, str], Any]:
    """The first line, the headers and the JSON of an answer, without what differs from one to the next."""
    head, _, body = raw.partition(END)
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    found = json.loads(body)
    assert len(found.pop("id")) == 32
    assert headers.pop("date").endswith("GMT")
    return first, headers, found


def test_a_plain_request_has_the_answer_that_h11_gives(server: Any, by_h11: list[bytes]) -> None:
    with connect(server) as at:
        at.sendall(HEAD + BODY)
        plain = told(one(at))
        assert by_h11 == []
        at.sendall((HEAD + BODY).replace(b"Host: localhost", b"Host: localhost\r\nX-A: \xe4"))
        assert told(one(at)) == plain and len(by_h11) == 1
        at.sendall(HEAD + BODY)
        assert told(one(at)) == plain and len(by_h11) == 1
    assert plain[0] == "HTTP/1.1 200 OK" and plain[1]["x-request-id"] == "one"


@pytest.mark.parametrize("first", [1, 4, 30, len(HEAD) - 1, len(HEAD), len(HEAD) + 9, len(HEAD + BODY) - 1])
def test_a_request_in_two_parts_has_the_same_answer(server: Any, by_h11: list[bytes], first: int) -> None:
    whole = HEAD + BODY
    with connect(server) as at:
        at.sendall(whole)
        wanted = told(one(at))
        at.sendall(whole[:first])
        time.sleep(0.01)
        at.sendall(whole[first:])
        assert told(one(at)) == wanted
        assert b"".join(by_h11) == (whole if first < len(HEAD) else b"")
        at.sendall(whole[:first])
        time.sleep(0.2)  # longer than a plain request is held
        at.sendall(whole[first:])
        assert told(one(at)) == wanted
        assert b"".join(by_h11).endswith(whole)


def test_requests_that_come_during_another_are_answered_in_order(server: Any) -> None:
    with connect(server) as at:
        for count in (1, 5):
            for number in range(count):
                at.sendall(HEAD.replace(b"one", b"n%02d" % number) + BODY)
            assert [told(one(at))[1]["x-request-id"] for _ in range(count)] == [f"n{n:02}" for n in range(count)]
        at.sendall(HEAD + BODY)
        at.sendall(b"nonsense\r\n\r\n")
        assert told(one(at))[0] == "HTTP/1.1 200 OK"
        assert read(at).startswith(b"HTTP/1.1 400 ")


def test_a_client_that_reads_late_gets_the_whole_answer(server: Any) -> None:
    with connect(server) as at:
        for _ in range(3):
            at.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
            time.sleep(0.1)
            with at.makefile("rb") as file:
                while file.readline() != b"\r\n":
                    pass
                assert file.read(3_000_002) == b'"' + b"x" * 3_000_000 + b'"'


@pytest.mark.parametrize("more", [b"", HEAD, HEAD + BODY, b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n"])
def test_a_client_that_asks_on_and_does_not_read_is_dropped(worlds: Any, served: Any, more: bytes) -> None:
    world, _ = served

    async def large(request: Request) -> Response:
        return Response(b'"' + b"x" * 9_000_000 + b'"')

    service = world.service(Limits(stall=0.4, poll=0.05))
    with worlds.listening(service, [Route("GET", "/large", large)]) as client, connect(client) as at:
        at.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        at.sendall(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.1)
        at.sendall(more)
        time.sleep(1.5)
        with pytest.raises(OSError):
            for _ in range(20):
                at.sendall(b"\r\n")
                time.sleep(0.05)


def test_an_answer_with_the_end_of_a_line_in_a_header_is_not_sent(server: Any) -> None:
    with connect(server) as at:
        at.sendall(b"GET /split HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert read(at) == b""
    assert server.get("/health").status_code == 200


def test_a_body_that_drips_is_not_held_for_long(worlds: Any, served: Any) -> None:
    world, _ = served
    with worlds.listening(world.service(Limits(body=0.5, stall=0.3, poll=0.05))) as client, connect(client) as at:
        at.sendall(HEAD)
        began = time.monotonic()
        at.settimeout(0.04)
        found = b""
        for _ in range(60):
            at.sendall(b" ")
            try:
                found = at.recv(9_999)
                break
            except TimeoutError:
                continue
        assert found.startswith(b"HTTP/1.1 408 ") and 0.5 <= time.monotonic() - began < 1.5


@pytest.mark.parametrize(
    "text",
    [
        LINES,
        LINES + b"\r\nConnection: Keep-Alive",
        LINES + b"\r\nAccept:*/*\r\nX-Empty:\r\nX-B:  b\t",
        LINES.replace(b"GET", b"POST") + b"\r\nContent-Length: 007",
    ],
)
def test_what_is_plain(text: bytes) -> None:
    head = head_of(text)
    assert head is not None and head.target == b"/health?a=1" and head.headers[0] == (b"host", b"a")
    assert head.length == (7 if head.method == "POST" else 0)


@pytest.mark.parametrize(
    "text",
    [
        b"GET /health HTTP/1.1",
        b"GET /health HTTP/1.1\r\nX-A: b",
        LINES + b"\r\nHost: b",
        LINES + b"\r\nHOST: a",
        LINES.replace(b"1.1", b"1.0"),
        LINES.replace(b"1.1", b"2.0"),
        LINES.replace(b"GET", b"BREW"),
        LINES.replace(b"GET", b"get"),
        LINES.replace(b"GET ", b"GET  "),
        LINES.replace(b"/health", b"http://a/health"),
        LINES.replace(b"/health", b"*"),
        LINES.replace(b"/health", b"/\xc3\xa4"),
        LINES.replace(b"\r\n", b"\n"),
        LINES + b"\r\nConnection: close",
        LINES + b"\r\nConnection: keep-alive, upgrade",
        LINES + b"\r\nUpgrade: websocket",
        LINES + b"\r\nExpect: 100-continue",
        LINES + b"\r\nTransfer-Encoding: chunked",
        LINES + b"\r\ntransfer-encoding: identity",
        LINES + b"\r\nContent-Length: 1\r\nContent-Length: 1",
        LINES + b"\r\nContent-Length: +1",
        LINES + b"\r\nContent-Length: 1, 1",
        LINES + b"\r\nContent-Length:",
        LINES + b"\r\nContent-Length: 1_0",
        LINES + b"\r\nX-A : b",
        LINES + b"\r\nX-A: a\r\n b",
        LINES + b"\r\nX-A: a\nX-B: b",
        LINES + b"\r\nX-A: a\rX-B: b",
        LINES + b"\r\nX-A: a\0",
        LINES + b"\r\nX-A: \xe4",
        LINES + b"\r\nX\xe4: a",
        LINES + b"\r\n: a",
        LINES + b"\r\nX-A",
        LINES + b"\r\n",
        b"",
    ],
)
def test_what_is_left_to_h11(text: bytes) -> None:
    assert head_of(text) is None


def test_a_long_head_is_read_in_little_time() -> None:
    began = time.monotonic()
    for text in (LINES + b"\r\nX-A: b" * 5_000 + b"\0", LINES + b"\r\nX-A: " + b" " * 50_000 + b"\0", b"GET /" * 9_999):
        assert head_of(text) is None
    assert time.monotonic() - began < 0.2
