"""Requests that are large, malformed or without a key: one JSON error each, and the event loop stays free."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from mainstem.errors import LONGEST_NAME, close_matches
from mainstem.serving.http.messages import Response
from mainstem.serving.http.routing import Route
from mainstem.serving.keys import create, revoke
from mainstem.serving.limits import Limits
from raw_http import exchange

CLOSE = b"Host: localhost\r\nConnection: close\r\n\r\n"
LONG = b"a" * 63_000


@pytest.fixture
def server(worlds: Any, served: Any) -> Iterator[Any]:
    _, service = served

    async def fails(request: Any) -> Response:
        raise ValueError("a secret of the program")

    with worlds.listening(service, [Route("GET", "/fails", fails)]) as client:
        yield client


MALFORMED: list[tuple[list[bytes], int, str]] = [
    ([b"\x16\x03\x01\x02\x00\r\n\r\n"], 400, "the request is not valid HTTP"),
    ([b"GET\r\n\r\n"], 400, "the request is not valid HTTP"),
    ([b"GET /health HTTP/1.1\r\n\r\n"], 400, "the request is not valid HTTP"),  # without Host
    ([b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"], 400, "the request is not valid HTTP"),
    ([b"GET /health HTTP/two\r\n" + CLOSE], 400, "the request is not valid HTTP"),
    ([b"POST /predict/arrivals HTTP/1.1\r\nContent-Length: -1\r\n" + CLOSE], 400, "the request is not valid HTTP"),
    (
        [
            b"POST /predict/arrivals HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n",
            CLOSE + b"zz\r\n",
        ],
        400,
        "the request is not valid HTTP",
    ),
    ([b"GET /" + LONG + b" HTTP/1.1\r\n" + CLOSE], 414, "the path is too long"),
    ([b"GET /health?" + LONG + b" HTTP/1.1\r\n" + CLOSE], 414, "the path is too long"),
    ([b"GET /" + LONG, LONG, b" HTTP/1.1\r\n" + CLOSE], 414, "the path is too long"),
    ([b"GET /" + LONG + LONG + b" HTTP/1.1\r\n" + CLOSE], 414, "the path is too long"),
    ([b"GET /" + LONG], 414, "the path is too long"),  # and no end
    ([b"GET /" + LONG + b" HTTP/1.1\r\nX-A: " + LONG], 414, "the path is too long"),
    ([b"GET /health HTTP/1.1\r\nX-A: " + LONG], 431, "the headers are too large"),
    ([b"GET /health HTTP/1.1\r\nX-A: " + LONG + b"\r\n" + CLOSE], 431, "the headers are too large"),
    ([b"GET /health HTTP/1.1\r\n" + b"X-A: b\r\n" * 5_000 + CLOSE], 431, "the headers are too large"),
    ([b"GET /nowhere HTTP/1.1\r\n" + CLOSE], 404, "unknown path /nowhere"),
    ([b"BREW /health HTTP/1.1\r\n" + CLOSE], 405, "/health does not support BREW"),
    ([b"GET /fails HTTP/1.1\r\n" + CLOSE], 500, "the server failed"),
    (
        [b"POST /predict/arrivals HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 9999999\r\n" + CLOSE],
        413,
        "the body is too large",
    ),
]


@pytest.mark.parametrize(("parts", "status", "what"), MALFORMED)
def test_every_error_is_json(server: Any, parts: list[bytes], status: int, what: str) -> None:
    found, headers, error = exchange(server, *parts)
    assert (found, headers["content-type"]) == (status, "application/json")
    assert error["what"] == what and error["error"]
    assert len(headers["x-request-id"]) == 32
    assert "secret" not in str(error)
    assert server.get("/health").status_code == 200


@pytest.mark.parametrize("limit", [4_096, 200_000])
def test_a_long_path_does_not_hold_the_loop(worlds: Any, served: Any, limit: int) -> None:
    """Neither where it is refused, nor where a setting allows it: names that long are not compared."""
    world, _ = served
    with worlds.listening(world.service(Limits(max_path=limit, poll=0.05))) as client:
        for path in (b"/" + LONG, b"/predict/" + LONG, b"/" * 63_000, b"/%ff" * 15_000):
            method = b"POST " if path.startswith(b"/predict") else b"GET "
            began = time.monotonic()
            length = b"Content-Type: application/json\r\nContent-Length: 2\r\n"
            status, _, error = exchange(client, method + path + b" HTTP/1.1\r\n" + length + CLOSE + b"{}")
            assert time.monotonic() - began < 0.5
            assert status == (414 if limit == 4_096 else 404)
            assert len(error["what"]) < 70_000


def test_names_that_are_too_long_are_not_compared() -> None:
    name = "arrivals" + "s" * LONGEST_NAME
    began = time.monotonic()
    assert close_matches(name, [name + "x"]) is None
    assert close_matches("arrival", ["a" * 1_000_000, "arrivals"]) == "did you mean 'arrivals'?"
    assert time.monotonic() - began < 0.5


def test_without_a_key_no_path_is_told_from_another(server: Any, served: Any) -> None:
    world, _ = served
    create(world.state, "display", ["predict"])
    eventually(lambda: server.get("/docs").status_code == 401)
    for method, path in (("GET", "/nowhere"), ("BREW", "/docs"), ("POST", "/predict/nothing"), ("POST", "/events/x")):
        answer = server.request(method, path, content=b"{")
        assert (answer.status_code, answer.json()["what"]) == (401, "the API key is missing")
    big = b"POST /predict/arrivals HTTP/1.1\r\nContent-Length: 9999999\r\n" + CLOSE
    assert exchange(server, big)[0] == 401


def test_revoking_the_last_key_opens_nothing(worlds: Any, served: Any) -> None:
    world, _ = served
    create(world.state, "display", ["predict"])
    revoke(world.state, "display")
    with worlds.listening(world.service(Limits(poll=0.05))) as client:
        assert client.get("/docs").status_code == 401
        assert client.get("/health").status_code == 200
        create(world.state, "other", ["predict"])
        revoke(world.state, "other")
        time.sleep(0.2)
        assert client.get("/docs", headers={"host": "localhost"}).status_code == 401
    with worlds.listening(world.service(Limits(poll=0.05), keyless=True)) as client:
        assert client.get("/docs").status_code == 200
        create(world.state, "third", ["predict"])
        eventually(lambda: client.get("/docs").status_code == 401)


@pytest.mark.parametrize(
    ("headers", "what"),
    [
        ({"host": "evil.example"}, "only this machine is answered"),
        ({"host": "127.0.0.1.evil.example"}, "only this machine is answered"),
        ({"host": "0.0.0.0"}, "only this machine is answered"),
        ({"x-forwarded-for": "127.0.0.1"}, "not a proxy"),
        ({"forwarded": "for=127.0.0.1"}, "not a proxy"),
        ({"via": "1.1 proxy"}, "not a proxy"),
    ],
)
def test_without_keys_foreign_names_and_proxies_are_refused(server: Any, headers: dict[str, str], what: str) -> None:
    answer = server.get("/health", headers=headers)
    assert answer.status_code == 403 and what in answer.json()["what"]


def test_without_keys_only_loopback_is_answered_whatever_the_host_header(worlds: Any, served: Any) -> None:
    world, _ = served
    outside = own_address()
    with worlds.listening(world.service(), host="0.0.0.0") as client:
        port = client.base_url.port

        with httpx.Client(base_url=f"http://{outside}:{port}", timeout=10) as other:
            answer = other.get("/health", headers={"host": "localhost"})
            assert (answer.status_code, answer.json()["expected"]) == (403, "loopback")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as other:
            assert other.get("/health").status_code == 200


def own_address() -> str:
    """An address of this machine that is not loopback."""

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as at:
        try:
            at.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(at.getsockname()[0])


def eventually(check: Any, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end
        time.sleep(0.02)
