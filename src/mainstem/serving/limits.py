"""The bounds within which the server answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """`max_bytes` of a body, `max_rows` of a request, `seconds` that a request may take, `poll` seconds between looks
    at the branch, `drain` seconds that requests in flight get when the server stops, `concurrency` of requests."""

    max_bytes: int = 4_194_304
    max_rows: int = 10_000
    seconds: float = 30.0
    poll: float = 0.5
    drain: float = 30.0
    concurrency: int = 1_000
