"""Requests and responses over ASGI, as far as the server needs them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import msgspec

from mainstem.serving.http.refusals import TooLarge, TooSlow

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Scope = Mapping[str, Any]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]

ARRIVED = "mainstem.body"
"""The key of a scope under which our connections give a body that has arrived whole."""

JSON = "application/json"
HTML = "text/html; charset=utf-8"

encode = msgspec.json.Encoder(enc_hook=str).encode


@dataclass
class Request:
    """One request; `content` is its body, once that is read."""

    scope: Scope
    receive: Receive
    content: bytes = b""

    @property
    def method(self) -> str:
        return str(self.scope["method"])

    @property
    def path(self) -> str:
        return str(self.scope["path"])

    def header(self, name: str) -> str | None:
        """Return the value of a header. Its name is in lower case."""
        wanted = name.encode()
        for key, value in self.scope["headers"]:
            if key == wanted:
                return str(value.decode("latin-1"))
        return None

    def query(self, name: str) -> str | None:
        """Return the last value of a parameter of the query."""
        given = self.scope.get("query_string", b"")
        return parse_qs(given.decode("latin-1"), keep_blank_values=True).get(name, [None])[-1] if given else None

    async def body(self, limit: int, seconds: float, stall: float) -> bytes:
        """Return the whole body.

        Raises `TooLarge` beyond `limit` bytes, `TooSlow` if it takes longer than `seconds`, or if there is nothing new
        of it for `stall` seconds.
        """
        declared = self.header("content-length") or "0"
        if declared.isdigit() and int(declared) > limit:
            raise TooLarge.body(f"{declared} bytes", limit)
        if (arrived := self.scope.get(ARRIVED)) is not None:
            return bytes(arrived)
        found, more, now = bytearray(), True, asyncio.get_running_loop().time
        end = now() + seconds
        while more:
            try:
                async with asyncio.timeout_at(min(end, now() + stall)):
                    message = await self.receive()
            except TimeoutError:
                expected = f"within {seconds:g} s, and some of it every {stall:g} s"
                raise TooSlow("the body did not arrive in time", expected=expected) from None
            if message["type"] == "http.disconnect":
                raise TooSlow("the client went away before its request was complete")
            found += message.get("body", b"")
            more = message.get("more_body", False)
            if len(found) > limit:
                raise TooLarge.body(f"more than {limit} bytes", limit)
        return bytes(found)


@dataclass
class Response:
    """One response."""

    body: bytes
    status: int = 200
    type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    async def send(self, send: Send, *, head: bool = False, more: Mapping[str, str] | None = None) -> None:
        """Send it, with `more` headers; without its body to HEAD."""
        headers = [
            (b"content-type", self.type.encode()),
            (b"content-length", str(len(self.body)).encode()),
            (b"x-content-type-options", b"nosniff"),
            *((name.encode(), value.encode()) for name, value in {**self.headers, **(more or {})}.items()),
        ]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if head else self.body})
