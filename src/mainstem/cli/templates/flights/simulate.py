"""Live a month again: every departure and every prediction, six hours at a time, against a running server.

    python simulate.py http://127.0.0.1:8100 --faulty

Events are sent with `"backfill": true`, so each counts as having arrived when it happened; predictions carry the
time at which they would have been asked for. So 2013 is served as it would have been.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from world import END, START, World

Rows = list[dict[str, Any]]

SPAN = 6
"""Hours per request. A request is on disk before it is answered, which takes most of its time."""


@dataclass(frozen=True)
class Sent:
    """How many of each were sent and answered."""

    events: int
    predictions: int


class Server:
    """One keep-alive connection to `mainstem serve`."""

    def __init__(self, url: str, key: str | None = None) -> None:
        place = urlsplit(url)
        self.connection = http.client.HTTPConnection(place.hostname or "127.0.0.1", place.port, timeout=60)
        self.headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})

    def post(self, path: str, body: Any) -> Any:
        self.connection.request("POST", path, json.dumps(body), self.headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"POST {path} was answered with {answer.status}: {text.decode()[:500]}")
        return json.loads(text)

    def close(self) -> None:
        self.connection.close()


def simulate(
    world: World,
    url: str,
    *,
    start: datetime = START,
    end: datetime = END,
    faulty: bool = False,
    key: str | None = None,
    report: Callable[[datetime, Sent], None] | None = None,
) -> Sent:
    """Post what happened in [start, end), span by span: the departures first, then the predictions asked for.

    A prediction sees what had arrived before its own time, so how many a request carries changes none of them.
    """
    events, asked = 0, 0
    departures = _by_span(world.departures(start, end, faulty=faulty), "departed_at")
    predictions = _by_span(world.predictions(start, end), "time")
    with closing(Server(url, key)) as server:
        for span in sorted({*departures, *predictions}):
            if rows := departures.get(span):
                server.post("/events/departures", {"events": rows, "backfill": True})
                events += len(rows)
            if rows := predictions.get(span):
                server.post("/predict/arrivals", {"rows": rows})
                asked += len(rows)
            if report is not None:
                report(datetime.fromisoformat(f"{span}:00:00+00:00"), Sent(events, asked))
    return Sent(events, asked)


def _by_span(rows: Iterable[dict[str, Any]], instant: str) -> dict[str, Rows]:
    """Group rows by the first hour of their span, such as `2013-12-01T06`."""

    def span(row: dict[str, Any]) -> str:
        day, hour = str(row[instant])[:13].split("T")
        return f"{day}T{int(hour) // SPAN * SPAN:02}"

    return {begins: list(group) for begins, group in groupby(rows, span)}


def _progress() -> Callable[[datetime, Sent], None] | None:
    """Update the progress line on a terminal."""
    if not sys.stderr.isatty():
        return None

    def show(begun: datetime, done: Sent) -> None:
        sys.stderr.write(f"\r{begun:%d %B %H:00}  {done.events:,} departures, {done.predictions:,} predictions \r")

    return show


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", default="http://127.0.0.1:8100")
    parser.add_argument("--faulty", action="store_true", help="delays in seconds")
    parser.add_argument("--days", type=float, help="so many days only")
    asked = parser.parse_args()
    end = START + timedelta(days=asked.days) if asked.days else END
    world, key = World(Path(__file__).parent), os.environ.get("MAINSTEM_KEY")
    done = simulate(world, asked.url, end=end.astimezone(UTC), faulty=asked.faulty, key=key, report=_progress())
    print(f"{done.events:,} departures and {done.predictions:,} predictions sent")


if __name__ == "__main__":
    main()
