"""Clients over HTTP: `clients` keep-alive connections, each of which sends its next request after the answer.

All of them run in one event loop, in a process of its own, and parse no more of an answer than they need: so the
machine spends little on them.

    python benchmarks/_load.py URL PATH CLIENTS REQUESTS FILE…

prints JSON: the seconds of each request and of all together. Connections send the files in turn. A file with `null` is
a GET.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit


@dataclass
class Load:
    """What clients measured: the seconds of each request, and the seconds of all together."""

    seconds: list[float] = field(default_factory=list)
    whole: float = 0.0

    @property
    def rate(self) -> float:
        """Requests per second."""
        return len(self.seconds) / self.whole


class _Client(asyncio.Protocol):
    def __init__(self, requests: list[bytes], count: int, load: Load, done: asyncio.Future[None]) -> None:
        self._requests, self._left, self._load, self._done = requests, count, load, done
        self._held, self._began = b"", 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._left -= 1
        self._began = time.perf_counter()
        self._transport.write(self._requests[self._left % len(self._requests)])

    def data_received(self, data: bytes) -> None:
        self._held += data
        head, found, body = self._held.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        at = lower.index(b"content-length:") + 15
        if len(body) < int(lower[at:].split(b"\r\n", 1)[0]):
            return
        if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.1 202")):
            self._done.set_exception(RuntimeError(self._held.decode()[:2_000]))
            self._transport.close()
            return
        self._load.seconds.append(time.perf_counter() - self._began)
        self._held = b""
        if self._left:
            self._send()
        else:
            self._transport.close()
            self._done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(error or ConnectionError("the server closed the connection"))


def request(host: str, path: str, body: bytes) -> bytes:
    """The bytes of a request that posts JSON, or gets."""
    if body == b"null":
        return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


async def _loaded(url: str, path: str, clients: int, requests: int, bodies: Sequence[bytes]) -> Load:
    place, loop, load = urlsplit(url), asyncio.get_running_loop(), Load()
    encoded = [request(place.netloc, path, body) for body in bodies]
    futures = [loop.create_future() for _ in range(clients)]
    began = time.perf_counter()
    for future in futures:
        each = requests // clients
        await loop.create_connection(lambda f=future, n=each: _Client(encoded, n, load, f), place.hostname, place.port)
    await asyncio.gather(*futures)
    load.whole = time.perf_counter() - began
    return load


def main(url: str, path: str, clients: str, requests: str, *files: str) -> None:
    given = [Path(file).read_bytes() for file in files]
    load = asyncio.run(_loaded(url, path, int(clients), int(requests), given))
    print(json.dumps({"seconds": load.seconds, "whole": load.whole}))


if __name__ == "__main__":
    main(*sys.argv[1:])
