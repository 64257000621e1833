"""Kill the server while it takes events and predictions. Each acknowledged one is stored exactly once."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from attack.reading import ids, whole
from command_line import Project, Served, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]

NOON = datetime(2013, 12, 1, 12, tzinfo=UTC)
KILLS = 8


class Clients:
    """Somebody who sends events and somebody who asks for predictions, until the server is gone."""

    def __init__(self) -> None:
        self.sent = 0
        self.events: list[str] = []
        self.predictions: list[str] = []
        self.refused: list[Any] = []

    def ask(self, served: Served) -> list[threading.Thread]:
        url = str(served.client.base_url)
        threads = [threading.Thread(target=work, args=(url,)) for work in (self._send, self._predict)]
        for thread in threads:
            thread.start()
        return threads

    def _send(self, url: str) -> None:
        with httpx.Client(base_url=url, timeout=30) as client:
            while True:
                names = [f"E{self.sent + n}" for n in range(3)]
                self.sent += 3
                at = (NOON - timedelta(minutes=1 + self.sent % 50)).isoformat()
                batch = [{"flight_id": name, "origin": "JFK", "delay": 10.0, "departed_at": at} for name in names]
                try:
                    answer = client.post("/events/departures", json={"events": batch, "backfill": True})
                except httpx.HTTPError:
                    return
                if answer.status_code == 202:
                    self.events += names
                else:
                    self.refused.append(answer.text)

    def _predict(self, url: str) -> None:
        with httpx.Client(base_url=url, timeout=30) as client:
            while True:
                rows = [{"flight_id": f"F{n}"} for n in range(5)]
                try:
                    answer = client.post("/predict/arrivals", json={"rows": rows, "time": NOON.isoformat()})
                except httpx.HTTPError:
                    return
                if answer.status_code == 200:
                    self.predictions += [one["id"] for one in answer.json()["predictions"]]
                else:
                    self.refused.append(answer.text)


@pytest.mark.parametrize("part", [1, 2])
def test_a_server_that_takes_events_and_predictions(
    live: Project, chance: random.Random, tally: Any, part: int
) -> None:
    clients = Clients()
    for number in range(KILLS):
        with serving(live) as served:
            _seen(served, clients)
            threads = clients.ask(served)
            time.sleep(chance.uniform(0.2, 1.5))
            os.killpg(served.process.pid, signal.SIGKILL)
            served.process.communicate(timeout=60)
            for thread in threads:
                thread.join()
        tally("killed; all that was acknowledged was there")
        assert clients.refused == []
        if number % 2:
            assert live.mainstem("run").code == 0
            _stored(live, clients)
        else:
            whole(live)
    tally.also(
        f"{len(clients.events):,} acknowledged events, {len(clients.predictions):,} predictions, each stored once"
    )
    assert len(clients.events) > 100 and len(clients.predictions) > 100


def _seen(served: Served, clients: Clients) -> None:
    """The online state has every acknowledged event, and none that was not sent."""
    status, answer = served.post("/features/airport", {"origin": "JFK", "time": NOON.isoformat()})
    assert status == 200
    assert len(clients.events) <= answer["features"]["departures_1h"] <= clients.sent


def _stored(project: Project, clients: Clients) -> None:
    found = whole(project)
    events = Counter(ids(found, "departures"))
    assert max(events.values()) == 1
    assert set(clients.events) <= events.keys()
    assert {name for name in events if name[0] == "E"} <= {f"E{n}" for n in range(clients.sent)}
    rows = [json.loads(row) for row in found["tables"]["predictions.arrivals"]]
    predictions = Counter(row["_id"] for row in rows)
    assert max(predictions.values()) == 1
    assert set(clients.predictions) <= predictions.keys()
