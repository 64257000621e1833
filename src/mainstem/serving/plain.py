"""Plain requests: whole, of HTTP/1.1, and of the few forms that clients send almost always.

h11 takes longer for such a request than the server for its answer. So a request that arrives whole, and whose head has
exactly this grammar, is answered without it. What differs in anything (a part of a request, two at once, chunks,
`Expect`, `Upgrade`, `Connection: close`, bytes beyond ASCII, an error) is left to h11 from its first byte.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import Any

logger = logging.getLogger(__name__)

_HEAD = re.compile(
    rb"(GET|HEAD|POST) (/[!-~]*+) HTTP/1\.1((?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t -~]*+)++)"  # RFC 9112, a part
)
_NOT_PLAIN = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"trailer"})
_LENGTH = re.compile(rb"[0-9]{1,10}")
_CLOSE = (b"connection", b"close")

_FIRST_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}".encode() for status in HTTPStatus}

APART = 65_536
"""Bytes of a body that is not copied to be in one packet with its head."""

END = b"\r\n\r\n"
Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Head:
    """The head of a plain request. Names of headers are in lower case; `length` is the body's."""

    method: str
    target: bytes
    headers: Headers
    length: int


def head_of(text: bytes) -> Head | None:
    """Return the head of a plain request from its bytes without the empty line, or None if h11 has to judge it."""
    found = _HEAD.fullmatch(text)
    if found is None:
        return None
    method, target, lines = found.groups()
    parts = (line.partition(b":") for line in lines[2:].split(b"\r\n"))
    headers = [(name.lower(), value.strip(b" \t")) for name, _, value in parts]
    names = [name for name, _ in headers]
    if names.count(b"host") != 1 or not _NOT_PLAIN.isdisjoint(names):
        return None
    if any(name == b"connection" and value.lower() != b"keep-alive" for name, value in headers):
        return None
    lengths = [value for name, value in headers if name == b"content-length"]
    if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
        return None
    return Head(method.decode(), target, headers, int(lengths[0]) if lengths else 0)


class PlainCycle:
    """One plain request and its answer, in place of uvicorn's `RequestResponseCycle`, with the names that it has.

    `write` takes a part of an answer, and `done` is called after it with whether the connection can stay open.
    `flow` tells when the client has read enough of what was written before.
    """

    more_body = False

    def __init__(
        self,
        scope: Mapping[str, Any],
        body: bytes,
        defaults: Sequence[tuple[bytes, bytes]],
        write: Callable[[bytes], None],
        flow: Any,
        done: Callable[[bool], None],
    ) -> None:
        self.scope, self.body = scope, body
        self._defaults, self._write, self._flow, self._done = defaults, write, flow, done
        self._head = b""
        self._given = False
        self.disconnected = self.response_complete = self.response_started = False
        self.keep_alive = True

    @cached_property
    def message_event(self) -> asyncio.Event:
        """What is set when the client has gone."""
        return asyncio.Event()

    async def run(self, app: Callable[..., Awaitable[None]]) -> None:
        """Let the application answer. If it fails, the connection is closed."""
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException as error:
            logger.error("the application failed", exc_info=error)
        finally:
            if not self.response_complete:
                self.response_complete = True
                self._done(False)

    async def receive(self) -> dict[str, Any]:
        if not self._given:
            self._given = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        if not self.disconnected and not self.response_complete:
            await self.message_event.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Mapping[str, Any]) -> None:
        """Send a part of the answer. Its head waits for the body, so that they need one packet.

        Raises `ValueError` for a header that would end early.
        """
        if message["type"] == "http.response.start":
            self._head = self._head_of(message["status"], message["headers"])
            self.response_started = True
            return
        if self._flow.write_paused:
            await self._flow.drain()
        if self.disconnected:
            return
        head, body, self._head = self._head, message["body"], b""
        # Not `writelines`: that of Python 3.12.0 to 3.12.8 and 3.13.0 to 3.13.1 never asks to pause (CVE-2024-12254).
        for part in (head + body,) if len(body) < APART else (head, body):
            if part:
                self._write(part)
        if not message.get("more_body", False):
            self.response_complete = True
            self._done(self.keep_alive)

    def _head_of(self, status: int, headers: Headers) -> bytes:
        lines = [name + b": " + value for name, value in (*self._defaults, *headers)]
        head = b"\r\n".join((_FIRST_LINES[status], *lines, END[2:]))
        count = len(lines) + 2
        if head.count(b"\n") != count or head.count(b"\r") != count or b"\0" in head:
            raise ValueError("a header of an answer has the end of a line in it")
        if _CLOSE in headers:
            self.keep_alive = False
        return head
