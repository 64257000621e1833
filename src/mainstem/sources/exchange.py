"""One HTTP exchange: a request, and an answer within a deadline and a number of bytes. Redirects are not followed."""

from __future__ import annotations

import io
import socket
import ssl
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from functools import partial
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request

from mainstem.errors import SourceError, SourceUnreachable
from mainstem.masking import brief

CHUNK = 65_536


@dataclass(frozen=True)
class Answer:
    """The answer to a request: its status, headers, decompressed body, and the URL that gave it."""

    status: int
    headers: Message
    body: bytes
    url: str


class Clock:
    """The time that is left until a deadline. One operation of a socket has at most `timeout` seconds."""

    def __init__(self, seconds: float, timeout: float) -> None:
        self.seconds = seconds
        self._timeout = timeout
        self._deadline = time.monotonic() + seconds

    @property
    def left(self) -> float:
        return self._deadline - time.monotonic()

    def patience(self) -> float:
        """Return the seconds for the next operation. Raises `SourceError` after the deadline."""
        if (left := self.left) <= 0:
            raise SourceError(
                "the server takes too long",
                got=f"no complete answer after {self.seconds:g} s",
                expected=f"all answers within {self.seconds:g} s",
                hint="limits=ms.limits(seconds=…) allows more",
            ).passing()
        return min(self._timeout, left)


def exchange(
    url: str, headers: Mapping[str, str], method: str, clock: Clock, most: int, sent: bytes | None = None
) -> Answer:
    """Return the answer to a request. Its body is read if the status is 2xx, and has at most `most` bytes.

    Proxies are those of the environment, as for every Python program. Raises `SourceError`, `OSError`,
    `HTTPException`, and `ValueError` for a header or URL that HTTP does not allow.
    """
    request = Request(url, data=sent, headers=dict(headers), method=method)
    opener = OpenerDirector()
    for handler in (ProxyHandler(), _Http(clock), _Https(clock)):
        opener.add_handler(handler)
    answer: Any = opener.open(request, timeout=clock.patience())
    with answer:
        body = _body(answer, most) if 200 <= answer.status < 300 and method != "HEAD" else b""
        return Answer(answer.status, answer.headers, body, url)


# ── the deadline ──────────────────────────────────────────────────────────────────────────────────────


class _Timed(io.RawIOBase):
    """A socket that is read within a deadline, however slowly the bytes come."""

    def __init__(self, sock: socket.socket, clock: Clock) -> None:
        self._socket, self._clock = sock, clock
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._socket.settimeout(self._clock.patience())
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, clock: Clock, **more: Any) -> None:
        super().__init__(sock, *args, **more)
        self.fp.close()
        self.fp = io.BufferedReader(_Timed(sock, clock), CHUNK)


def _timed(connection: type[HTTPConnection], clock: Clock, host: str, **more: Any) -> HTTPConnection:
    made = connection(host, **more)
    made.response_class = partial(_Response, clock=clock)  # type: ignore[assignment]
    return made


class _Http(HTTPHandler):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def http_open(self, request: Request) -> HTTPResponse:
        return self.do_open(partial(_timed, HTTPConnection, self._clock), request)


class _Https(HTTPSHandler):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def https_open(self, request: Request) -> HTTPResponse:
        connection = partial(_timed, HTTPSConnection, self._clock)
        return self.do_open(connection, request, context=ssl.create_default_context())


# ── the body ──────────────────────────────────────────────────────────────────────────────────────────


def _body(answer: HTTPResponse, most: int) -> bytes:
    declared = set(answer.headers.get_all("Content-Length", []))
    if len(declared) > 1 or not all(length.strip().isdecimal() for length in declared):
        raise SourceError(
            "the answer has an invalid Content-Length", got=brief(", ".join(sorted(declared))), expected="a number"
        )
    if answer.length is not None and answer.length > most:
        raise _too_large(f"{answer.length:,} bytes", most)
    parts, size = list[bytes](), 0
    for part in _decoded(answer, most):
        size += len(part)
        if size > most:
            raise _too_large(f"more than {most:,} bytes", most)
        parts.append(part)
    return b"".join(parts)


def _chunks(answer: HTTPResponse, most: int) -> Iterator[bytes]:
    """Yield the body as it is sent. Raises `SourceUnreachable` if it is shorter than declared."""
    size = 0
    while chunk := answer.read(CHUNK):
        size += len(chunk)
        if size > most:
            raise _too_large(f"more than {most:,} bytes", most)
        yield chunk
    if answer.length:
        raise _incomplete(f"{size:,} bytes", f"{size + answer.length:,} bytes, its Content-Length")


def _decoded(answer: HTTPResponse, most: int) -> Iterator[bytes]:
    encoding = (answer.headers.get("Content-Encoding") or "identity").strip().lower()
    chunks = _chunks(answer, most)
    if encoding == "identity":
        return chunks
    if encoding in ("gzip", "x-gzip", "deflate"):
        return _inflated(chunks, encoding)
    raise SourceError("the answer has an unsupported Content-Encoding", got=brief(encoding), expected="gzip or deflate")


def _inflated(chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Yield decompressed parts of at most `CHUNK` bytes, so that a small answer cannot fill the memory at once."""
    inflater: Any = None
    try:
        for chunk in chunks:
            while chunk:
                if inflater is None or inflater.eof:  # gzip may have several members
                    inflater = _inflater(chunk, encoding)
                yield inflater.decompress(chunk, CHUNK)
                chunk = inflater.unused_data or inflater.unconsumed_tail
        while inflater is not None and not inflater.eof and (part := inflater.decompress(b"", CHUNK)):
            yield part
    except zlib.error as error:
        raise SourceError("the answer cannot be decompressed", got=str(error), expected="gzip or deflate") from None
    if inflater is not None and not inflater.eof:
        raise _incomplete("compressed data that ends early", "complete gzip or deflate data")


def _inflater(start: bytes, encoding: str) -> Any:
    """Return a decompressor for gzip, or for zlib and raw deflate data, which servers both send as `deflate`."""
    if encoding != "deflate":
        return zlib.decompressobj(wbits=31)
    return zlib.decompressobj(wbits=15 if start[0] & 0x0F == 8 else -15)


def _too_large(got: str, most: int) -> SourceError:
    return SourceError(
        "the answer is too large",
        got=got,
        expected=f"at most {most:,} bytes, also after decompression",
        hint="limits=ms.limits(bytes=…) allows more",
    )


def _incomplete(got: str, expected: str) -> SourceUnreachable:
    return SourceUnreachable("the answer is incomplete", got=got, expected=expected, hint="run again")
