"""The same bytes, with and without the path of plain requests: the application sees the same requests, and the client
the same bytes. Requests are drawn from a grammar of what is valid, unusual and smuggled."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from mainstem.serving import connections
from mainstem.serving.connections import Connections, protocol
from mainstem.serving.http.messages import Request, Response
from mainstem.serving.limits import Limits

CASES = 400
LIMITS = Limits(max_path=200, max_headers=800)

METHODS = [b"GET", b"POST", b"HEAD"] * 8 + [b"PUT", b"get", b"OPTIONS", b"G\0T"]
TARGETS = [b"/a", b"/slow", b"/a?b=%20c", b"/%41%ff"] * 6
TARGETS += [b"*", b"http://x/a", b"a", b"/a#b", b"/\xe4", b"//x", b"/a b", b"/" + b"a" * 300, b"/" + b"a" * 2_000]
VERSIONS = [b"HTTP/1.1"] * 50 + [b"HTTP/1.0", b"HTTP/2.0", b"http/1.1", b"HTTP/1.1 ", b"HTTP/1.12"]
BODIES = [
    b"",
    b"abc",
    b"\r\n",
    b"3\r\nabc\r\n0\r\n\r\n",
    b"0\r\n\r\n",
    b"abcGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
    b"x" * 70_000,
]
LINES = {
    b"Content-Length: ": b"0|3|+3|-1| 3 |3,3|3, 4|03|0x3|3 3||99999999999999999999999|1_0|\xb3|3\t|3;",
    b"": b"content-length:3|Content-Length : 3|CONTENT-LENGTH: 3|Transfer-Encoding : chunked|X A: b|: v|nocolon| f",
    b"Transfer-Encoding: ": b"chunked|identity|gzip, chunked|Chunked|\tchunked|xchunked|\x0bchunked|",
    b"Host: ": b"a||a b|a,b|localhost:80",
    b"Connection: ": b"close|keep-alive|Keep-Alive, close|upgrade||close, x|CLOSE",
    b"Expect: ": b"100-continue|100-Continue|x",
    b"Upgrade: ": b"websocket|h2c",
    b"X-A: ": b"1|| a b |\t|a\0|a\x0b|\x7f|\xe4|a\rb|a\nb|\x01",
}


class Transport(asyncio.Transport):
    """What a connection writes. It has no `writelines`."""

    writelines = None  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.sent, self.closed, self.paused = b"", False, False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"sockname": ("127.0.0.1", 80), "peername": ("127.0.0.1", 9)}.get(name, default)

    def write(self, data: Any) -> None:
        self.sent += b"" if self.closed else bytes(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def write_eof(self) -> None:
        self.sent += b"<EOF>"

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_write_buffer_size(self) -> int:
        return 0


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def spoken(parts: Sequence[bytes], waits: Sequence[int], *, plain: bool) -> tuple[Any, ...]:
    """Return what the client and the application saw, and the state of the connection after it."""
    seen = list[Any]()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = await Request(scope, receive).body(LIMITS.max_bytes, 9, 9)
        seen.append([scope[name] for name in ("method", "path", "raw_path", "query_string", "headers")] + [body])
        await turns(2 if scope["path"] == "/slow" else 0)
        await Response(b"%d" % len(body)).send(send, head=scope["method"] == "HEAD")

    config = uvicorn.Config(
        app,
        http=protocol(Connections(LIMITS, lambda status: "id")),
        lifespan="off",
        log_config=None,
        ws="none",
        h11_max_incomplete_event_size=LIMITS.max_path + LIMITS.max_headers,
    )
    config.load()
    make: Any = config.http_protocol_class
    connection, transport = make(config=config, server_state=ServerState(), app_state={}), Transport()
    if not plain:
        connection._plain = lambda data: False
    connection.connection_made(transport)
    for part, wait in zip(parts, waits, strict=True):
        for _ in range(40):
            await turns(1 if transport.paused else 0)
        if transport.closed:
            break
        connection.data_received(part)
        await turns(wait)
    await turns(30)
    await asyncio.sleep(0.001)  # a body that was waited for is h11's now
    await turns(20)
    connection._cancel()
    for task in connection.tasks:
        task.cancel()
    return re.sub(rb"date: [^\r]*\r\n", b"", transport.sent), transport.closed, seen, connection.phase


def request(draw: random.Random) -> bytes:
    body = draw.choice(BODIES)
    lines = [b"Host: localhost"] if draw.random() < 0.97 else []
    if body or draw.random() < 0.6:
        odd = draw.choice(LINES[b"Content-Length: "].split(b"|"))
        lines.append(b"Content-Length: " + (b"%d" % len(body) if draw.random() < 0.8 else odd))
    for _ in range(draw.choice([0] * 9 + [1, 1, 2, 3])):
        name = draw.choice([*LINES])
        lines.insert(draw.randrange(len(lines) + 1), name + draw.choice(LINES[name].split(b"|")))
    if draw.random() < 0.02:
        lines += [b"X-A: b"] * 300
    first = b" ".join((draw.choice(METHODS), draw.choice(TARGETS), draw.choice(VERSIONS)))
    ends = [b"\r\n"] * 60 + [b"\n", b"\r", b"\r\r\n", b""]
    return b"".join(line + draw.choice(ends) for line in (first, *lines)) + draw.choice(ends) + body


def parts_of(text: bytes, draw: random.Random) -> Iterator[bytes]:
    """Cut bytes nowhere, at some places, or everywhere."""
    if len(text) < 400 and draw.random() < 0.1:
        cuts = [*range(1, len(text))]
    else:
        cuts = sorted(draw.randrange(len(text) + 1) for _ in range(draw.choice([0, 0, 1, 1, 2, 4])))
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        if text[start:end]:
            yield text[start:end]


@pytest.mark.parametrize("seed", range(4))
def test_nothing_tells_one_path_from_the_other(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "APART", 0.0)
    draw, statuses = random.Random(seed), Counter[bytes]()

    async def compare() -> None:
        for _ in range(CASES):
            text = b"".join(request(draw) for _request in range(draw.choice([1, 1, 1, 2, 3])))
            parts = [*parts_of(draw.choice([b""] * 20 + [b"\r\n", b"\n", b" "]) + text, draw)]
            waits = [draw.choice([0, 1, 4, 30]) for _part in parts]
            found = await spoken(parts, waits, plain=True)
            assert found == await spoken(parts, waits, plain=False), parts
            statuses.update(re.findall(rb"HTTP/1.1 (\d+)", found[0]))

    asyncio.run(compare())
    assert statuses[b"200"] > 100 and statuses[b"400"] > 100
