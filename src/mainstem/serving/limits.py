"""The limits of the server."""

from __future__ import annotations

from dataclasses import dataclass

from mainstem.errors import SettingsError
from mainstem.graph.units import MINUTE, SECOND
from mainstem.nodes.durations import microseconds
from mainstem.settings import Serve


@dataclass(frozen=True)
class Limits:
    """What one request, one connection and one client may take.

    Sizes: `max_bytes` of a body, `max_rows` of a request, `max_path` bytes of a path and its query, `max_headers` bytes
    of all headers. `connections` in all, `per_client` of one address.

    Seconds: `headers` until a request's headers are complete, `body` until its body is, `stall` without any progress of
    a body or of a client that reads its answer, `idle` of a connection between requests, `seconds` that a request may
    take, `drain` that requests in flight get when the server stops, `poll` between looks at the branch, `hang` that a
    worker may do nothing.

    `ahead` are the microseconds that an event may be later than the clock. At most `together` rows of requests that
    wait are answered at once. `workers` are the processes that answer; each has these bounds.
    """

    max_bytes: int = 4_194_304
    max_rows: int = 10_000
    max_path: int = 4_096
    max_headers: int = 16_384
    connections: int = 1_000
    per_client: int = 500
    headers: float = 10.0
    body: float = 30.0
    stall: float = 10.0
    idle: float = 75.0
    seconds: float = 30.0
    drain: float = 30.0
    poll: float = 0.5
    ahead: int = 5 * MINUTE
    hang: float = 10.0
    workers: int = 1
    together: int = 64

    @classmethod
    def of(cls, serve: Serve) -> Limits:
        """Return the limits of the settings. Raises `SettingsError` for a number or a duration that is not positive."""
        return cls(
            max_bytes=_positive(serve, "max_bytes"),
            max_rows=_positive(serve, "max_rows"),
            max_path=_positive(serve, "max_path"),
            max_headers=_positive(serve, "max_headers"),
            connections=_positive(serve, "max_connections"),
            per_client=_positive(serve, "max_connections_per_client"),
            headers=_seconds(serve, "header_timeout"),
            body=_seconds(serve, "body_timeout"),
            stall=_seconds(serve, "stall_timeout"),
            idle=_seconds(serve, "idle_timeout"),
            seconds=_seconds(serve, "request_timeout"),
            drain=_seconds(serve, "drain_timeout"),
            workers=_positive(serve, "workers"),
            hang=_seconds(serve, "hang_timeout"),
            ahead=microseconds(serve.ahead, _where("ahead")),
        )


def _positive(serve: Serve, name: str) -> int:
    value: int = getattr(serve, name)
    if value < 1:
        raise SettingsError(f"`{name}` must be positive", where=_where(name), got=str(value), expected="at least 1")
    return value


def _seconds(serve: Serve, name: str) -> float:
    text: str = getattr(serve, name)
    micros = microseconds(text, _where(name))
    if micros < 1:
        raise SettingsError(f"`{name}` must be positive", where=_where(name), got=text, expected='such as "10s"')
    return micros / SECOND


def _where(name: str) -> str:
    return f"mainstem.toml, [serve] {name}"
