"""The limits of the server."""

from __future__ import annotations

from dataclasses import dataclass

from mainstem.graph.units import MINUTE


@dataclass(frozen=True)
class Limits:
    """Limits of the server.

    `max_bytes` of a body, `max_rows` of a request, `seconds` that a request may take, `poll` seconds between checks of
    the branch, `drain` seconds for requests in flight when the server stops, `concurrency` of requests, `ahead`
    microseconds that an event may be later than the clock.
    """

    max_bytes: int = 4_194_304
    max_rows: int = 10_000
    seconds: float = 30.0
    poll: float = 0.5
    drain: float = 30.0
    concurrency: int = 1_000
    ahead: int = 5 * MINUTE
