"""The connections of a server: their maximum number, and how long the server waits for each.

uvicorn bounds none of this but the time between requests. A connection for which the server waits (for a request, the
rest of one, or the client to read its answer) has a deadline. When the limit is reached, the connection that has let
the server wait longest is closed for the new one: idle connections never keep another client out.

A plain request is answered without h11 (see `plain`). All others are h11's, with what it bounds and refuses.
"""

from __future__ import annotations

import asyncio
import ipaddress
import sys
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import unquote

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol  # noqa: TID253 - imported when a server is made

from mainstem.errors import MainstemError, RequestError, Unavailable
from mainstem.serving.http.errors import answer
from mainstem.serving.http.messages import ARRIVED, Response
from mainstem.serving.http.refusals import HeadersTooLarge, PathTooLong, TooSlow
from mainstem.serving.limits import Limits
from mainstem.serving.plain import END, Head, PlainCycle, head_of

Phase = Literal["work", "idle", "headers", "body", "rest", "reading"]
"""What the server waits for: its own answer; a next request; the rest of its headers, of its body, or of a body that
is answered already; the client to read what was sent."""

Told = Callable[[int], str]
"""Logs the status of an answer that the application did not give, and returns the id of the request."""

EARLY = 0.002
"""Seconds that an event loop may ring before the time."""

LINGER = 1.0
"""Seconds for which a refused connection is still read."""

LEAST = 1_024
"""Bytes that a client has to read of an answer within the time of a stall."""

HELD = 65_536
APART = 0.05
"""The bytes of a body, and the seconds, for which a plain request waits for its body. Then h11 gets what is there:
many clients send the body in a packet of its own."""


class Connections:
    """The open connections of one server."""

    def __init__(self, limits: Limits, told: Told) -> None:
        self.limits, self.told = limits, told
        # The body's own time is the application's to watch: it has an answer to a body that is late.
        self.seconds: Mapping[Phase, float] = {
            "idle": limits.idle,
            "reading": limits.stall,
            "headers": limits.headers,
            "rest": limits.headers,
        }
        self._open: dict[Connection, str] = {}
        self._clients: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: Connection) -> bool:
        """Take a connection in, for which another may have to go. False if all others are at work."""
        client = client_of(connection.client)
        crowded = self._clients.get(client, 0) >= self.limits.per_client
        if (crowded or len(self._open) >= self.limits.connections) and not self._make_room(client if crowded else None):
            return False
        self._open[connection] = client
        self._clients[client] = self._clients.get(client, 0) + 1
        return True

    def gone(self, connection: Connection) -> None:
        client = self._open.pop(connection, None)
        if client is not None:
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]

    def _make_room(self, client: str | None) -> bool:
        """Close the connection, of a client if one is given, that has let the server wait longest."""
        waiting = (c for c, of in self._open.items() if c.phase != "work" and client in (None, of))
        oldest = min(waiting, key=lambda c: c.since, default=None)
        if oldest is None:
            return False
        self.gone(oldest)
        oldest.transport.abort()
        return True


def client_of(address: tuple[str, int] | None) -> str:
    """Return the client of an address: an IPv4 address, or the /64 network of an IPv6 address."""
    try:
        found = ipaddress.ip_address(address[0] if address else "")
    except ValueError:
        return ""
    if isinstance(found, ipaddress.IPv6Address):
        return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))
    return str(found)


class Connection(H11Protocol):
    """One connection with its deadline."""

    connected: Connections
    cycle: Any
    phase: Phase = "headers"
    since = 0.0
    _until: float | None = None
    """When the phase is too long."""
    _timer: asyncio.TimerHandle | None = None
    """Looks at `_until` at `_rings`, which is not later. It is left where it is as long as it comes early enough."""
    _rings = 0.0
    _left = 0
    _refused = False
    _held = b""
    """The begin of a plain request, or what came during one."""
    _apart: asyncio.TimerHandle | None = None
    _last: tuple[bytes, Head | None] = b"", None
    """The last head that was read: a client sends the same one again and again."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.connected.admit(self):
            self._enter("headers")
        else:
            self._refuse(Unavailable("the server has too many connections", hint="send it again"))
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel()
        self._released()
        self.connected.gone(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing() or self._refused:
            return
        if self._plain_at_work():
            self._held += data
            self.flow.pause_reading()
        elif not (self._untouched() and self._plain(self._held + data)):
            self._to_h11(self._released() + data)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._unset_keepalive_if_required()  # the deadline of "idle" has its place
        self._follow()

    # ── plain requests ────────────────────────────────────────────────────────────────────────────────

    def _plain_at_work(self) -> bool:
        return isinstance(self.cycle, PlainCycle) and not self.cycle.response_complete

    def _untouched(self) -> bool:
        """Return whether h11 has nothing of a request."""
        conn = self.conn
        return conn.their_state is h11.IDLE and conn.our_state is h11.IDLE and not conn.trailing_data[0]

    def _plain(self, data: bytes) -> bool:
        """Take a plain request, or hold it for a moment if its body is to come. False if it is h11's."""
        text, ended, body = data.partition(END)
        limits = self.connected.limits
        if not ended or len(text) > limits.max_path + limits.max_headers:
            return False
        if text != self._last[0]:
            self._last = text, head_of(text)
        head = self._last[1]
        if head is None or len(body) > head.length:
            return False
        if len(body) == head.length:
            self._released()
            self._begin(head, body)
        elif head.length > HELD:
            return False
        else:
            self._held = data
            if self._apart is None:
                if not self.flow.write_paused:  # else the client's reading has a deadline
                    self._enter("body")
                self._apart = self.loop.call_later(APART, lambda: self._to_h11(self._released()))
        return True

    def _begin(self, head: Head, body: bytes) -> None:
        path, _, query = head.target.partition(b"?")
        scope = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "method": head.method,
            "root_path": self.root_path,
            "path": self.root_path + unquote(path.decode("ascii")),
            "raw_path": self.root_path.encode("ascii") + path,
            "query_string": query,
            "headers": head.headers,
            "state": self.app_state.copy(),
            ARRIVED: body,
        }
        defaults = self.server_state.default_headers
        self.cycle = PlainCycle(scope, body, defaults, self.transport.write, self.flow, self._done)
        self._follow()
        task = self.loop.create_task(self.cycle.run(self.app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _done(self, stays: bool) -> None:
        """Go on after the answer to a plain request."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if not stays:
            self.transport.close()
            return
        self._follow()
        self.flow.resume_reading()
        if data := self._released():
            self.data_received(data)

    def _released(self) -> bytes:
        """Return what is held, and hold it no longer."""
        if self._apart is not None:
            self._apart.cancel()
            self._apart = None
        held, self._held = self._held, b""
        return held

    def _to_h11(self, data: bytes) -> None:
        if self.phase == "idle":
            self._enter("headers")
        super().data_received(data)
        self._follow()

    # ── the transport's side ──────────────────────────────────────────────────────────────────────────

    def pause_writing(self) -> None:
        super().pause_writing()
        self._left = self.transport.get_write_buffer_size()
        self._enter("reading")

    def resume_writing(self) -> None:
        super().resume_writing()
        self._follow()

    def shutdown(self) -> None:
        if self._refused:
            self.transport.abort()
            return
        if self._apart is not None:  # its answer is owed
            self._to_h11(self._released())
        super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP. It is called where h11's error is handled."""
        error = sys.exc_info()[1]
        if getattr(error, "error_status_hint", 400) == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            self._refuse(self._beyond(self.conn.trailing_data[0]))
        else:
            expected = "a request of HTTP/1.1"
            self._refuse(RequestError("the request is not valid HTTP", got=str(error)[:80], expected=expected))

    def _beyond(self, begun: bytes) -> MainstemError:
        """Return what of a request is beyond its limit, from the bytes so far: the same as when all have arrived.

        h11 has one limit for the request line and the headers together.
        """
        limits = self.connected.limits
        _, _, target = begun.partition(b"\n")[0].partition(b" ")
        target = target.partition(b" ")[0].replace(b"?", b"", 1)
        if len(target) > limits.max_path:
            return PathTooLong.of(len(target), limits.max_path)
        return HeadersTooLarge.of("more bytes than that", limits.max_headers)

    # ── deadlines ─────────────────────────────────────────────────────────────────────────────────────

    def _follow(self) -> None:
        """Enter the phase that the connection is in."""
        if self.transport.is_closing() or self._refused or self.flow.write_paused:
            return
        phase = self._found()
        if phase != self.phase:
            self._enter(phase)

    def _found(self) -> Phase:
        if self.cycle is not None and not self.cycle.response_complete:
            return "body" if self.cycle.more_body else "work"
        if self.conn.their_state is h11.SEND_BODY:
            return "rest"
        return "headers" if self.conn.trailing_data[0] else "idle"

    def _enter(self, phase: Phase) -> None:
        self.phase, self.since = phase, time.monotonic()
        seconds = self.connected.seconds.get(phase)
        self._until = None if seconds is None else self.since + seconds
        if self._until is not None and (self._timer is None or self._rings > self._until):
            self._wake_at(self._until)

    def _wake_at(self, at: float) -> None:
        self._cancel()
        self._rings = at
        self._timer = self.loop.call_later(max(0.0, at - time.monotonic()), self._rung)

    def _rung(self) -> None:
        self._timer = None
        if self._until is not None:
            self._late() if time.monotonic() >= self._until - EARLY else self._wake_at(self._until)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        left = self.transport.get_write_buffer_size()
        if self.phase == "reading" and left <= self._left - LEAST:
            since, self._left = self.since, left
            self._enter("reading")
            self.since = since
        elif self.phase == "headers" and self.conn.trailing_data[0]:
            expected = f"within {self.connected.limits.headers:g} s"
            self._refuse(TooSlow("the headers did not arrive in time", expected=expected))
        else:
            self.transport.abort() if left else self.transport.close()

    # ── answers without the application ───────────────────────────────────────────────────────────────

    def _refuse(self, error: MainstemError) -> None:
        """Answer with an error, if no answer has begun, and close.

        What still comes is read for a moment: closed at once, the connection would be reset and the answer lost.
        """
        self._refused = True
        response = answer(error)
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.write(_raw(response, self.connected.told(response.status)))
        self._enter("rest")
        self._cancel()
        self._until, self._timer = None, self.loop.call_later(LINGER, self.transport.abort)
        self.transport.write_eof()


def _raw(response: Response, id: str) -> bytes:
    """Return an answer as HTTP/1.1 that closes the connection."""
    reason = HTTPStatus(response.status).phrase
    headers = {
        "content-type": response.type,
        "content-length": str(len(response.body)),
        **response.headers,
        "x-request-id": id,
        "connection": "close",
    }
    lines = [f"HTTP/1.1 {response.status} {reason}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + response.body


def protocol(connections: Connections) -> type[Connection]:
    """Return the protocol class of one server. uvicorn creates an object of it for each connection."""
    members: dict[str, Any] = {"connected": connections}
    return type("ServerConnection", (Connection,), members)
