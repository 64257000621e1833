"""Live a month again: every departure and every prediction, six hours at a time, against a running server.

    python simulate.py http://127.0.0.1:8100 --faulty
    python simulate.py http://127.0.0.1:8100 --kafka 127.0.0.1:9092 --topic departures

Events are sent with `"backfill": true`, so each counts as having arrived when it happened; predictions carry the
time at which they would have been asked for. So 2013 is served as it would have been.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import sys
import time
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

    def taken(self) -> int:
        """Return how many departures the server has taken from its topic."""
        self.connection.request("GET", "/metrics", headers=self.headers)
        text = self.connection.getresponse().read().decode()
        counts = re.findall(r'^mainstem_topic_messages_total\{(?=.*"departures").*"event".*\} (\S+)$', text, re.M)
        return int(sum(map(float, counts)))

    def close(self) -> None:
        self.connection.close()


class Topic:
    """Sends departures to a topic, each counting as having arrived when it happened."""

    def __init__(self, servers: str, name: str, server: Server) -> None:
        from confluent_kafka import Producer

        self.name, self.server = name, server
        self.producer = Producer({"bootstrap.servers": servers, "enable.idempotence": True})
        self.expected = server.taken()

    def send(self, rows: Rows) -> None:
        """Send rows, and wait until the server has taken them: predictions of the same hours come next."""
        for row in rows:
            headers = [("mainstem-backfill", b"true")]
            self.producer.produce(self.name, json.dumps(row), row["origin"], headers=headers)
            self.producer.poll(0)
        self.producer.flush()
        self.expected += len(rows)
        end = time.monotonic() + 60
        while self.server.taken() < self.expected:
            if time.monotonic() > end:
                raise SystemExit(f"the server has not taken all departures of the topic {self.name}")
            time.sleep(0.01)


def simulate(
    world: World,
    url: str,
    *,
    start: datetime = START,
    end: datetime = END,
    faulty: bool = False,
    key: str | None = None,
    kafka: tuple[str, str] | None = None,
    report: Callable[[datetime, Sent], None] | None = None,
) -> Sent:
    """Post what happened in [start, end), span by span: the departures first, then the predictions asked for.

    A prediction sees what had arrived before its own time, so how many a request carries changes none of them. With
    `kafka`, servers and topic, the departures go to that topic, which the server reads.
    """
    events, asked = 0, 0
    departures = _by_span(world.departures(start, end, faulty=faulty), "departed_at")
    predictions = _by_span(world.predictions(start, end), "time")
    with closing(Server(url, key)) as server:
        topic = Topic(*kafka, server) if kafka else None
        for span in sorted({*departures, *predictions}):
            if rows := departures.get(span):
                if topic is not None:
                    topic.send(rows)
                else:
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
    parser.add_argument("--kafka", metavar="SERVERS", help="send the departures to a topic")
    parser.add_argument("--topic", default="departures", help="the topic (default: departures)")
    asked = parser.parse_args()
    kafka = (asked.kafka, asked.topic) if asked.kafka else None
    end = START + timedelta(days=asked.days) if asked.days else END
    world, key = World(Path(__file__).parent), os.environ.get("MAINSTEM_KEY")
    done = simulate(
        world, asked.url, end=end.astimezone(UTC), faulty=asked.faulty, key=key, kafka=kafka, report=_progress()
    )
    print(f"{done.events:,} departures and {done.predictions:,} predictions sent")


if __name__ == "__main__":
    main()
