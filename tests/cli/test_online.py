"""A server that goes on answering while what it answers from is changed, built anew, killed and lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

NOON = datetime(2013, 12, 1, 12, tzinfo=UTC)
PATIENCE = 120.0
ASKED = {"origin": "JFK", "time": NOON.isoformat()}
"""From here an hour of the past is seen, and events of it are sent as if they came when they happened."""


def event(number: int) -> dict[str, Any]:
    at = NOON - timedelta(minutes=1 + number % 50)
    return {"flight_id": f"E{number}", "origin": "JFK", "delay": 10.0, "departed_at": at.isoformat()}


class Traffic:
    """Somebody who sends events, and somebody who reads, as fast as they are answered."""

    def __init__(self, served: Any) -> None:
        self.served = served
        self.sent = 0
        self.reads: list[tuple[int, dict[str, Any]]] = []
        self.refused: list[Any] = []
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=work) for work in (self._send, self._read)]

    def _send(self) -> None:
        while not self.stop.is_set():
            batch = [event(self.sent + n) for n in range(3)]
            status, answer = self.served.post("/events/departures", {"events": batch, "replay": True})
            if status == 202:
                self.sent += 3
            else:
                self.refused.append(answer)

    def _read(self) -> None:
        while not self.stop.is_set():
            before = self.sent
            status, answer = self.served.post("/features/airport", ASKED)
            if status == 200:
                self.reads.append((before, answer))
            else:
                self.refused.append(answer)

    def wait(self, condition: Any) -> None:
        """Until it is so."""
        end = time.monotonic() + PATIENCE
        while not condition(self):
            assert time.monotonic() < end, (self.sent, self.reads[-1:], self.refused[-3:])
            time.sleep(0.01)

    def more(self) -> None:
        """Until events were taken and read that are sent from now on."""
        sent = self.sent
        self.wait(lambda traffic: traffic.reads and traffic.reads[-1][0] > sent)


@contextmanager
def traffic(served: Any) -> Iterator[Traffic]:
    made = Traffic(served)
    for thread in made.threads:
        thread.start()
    try:
        yield made
    finally:
        made.stop.set()
        for thread in made.threads:
            thread.join()


def test_a_changed_definition_is_built_beside_the_old_one_and_switches_with_the_release(live: Any, serve: Any) -> None:
    """No read fails meanwhile, and none misses an event that was taken before it: neither of the old nor of the new."""
    with serve(live) as served, traffic(served) as busy:
        busy.more()
        text = (live.root / "live.py").read_text()
        live.write("live.py", text.replace('windows=["1h"]', 'windows=["1h", "3h"]'))
        busy.more()
        live.goes_on()
        busy.wait(lambda traffic: "departures_3h" in traffic.reads[-1][1]["features"])
        busy.more()
    assert busy.refused == []
    prints = [answer["fingerprint"] for _, answer in busy.reads]
    assert len(dict.fromkeys(prints)) == 2 and prints == sorted(prints, key=prints.index), "once over, and never back"
    for before, answer in busy.reads:
        seen = answer["features"]
        assert before <= seen["departures_1h"], "an event that was taken before the question is missing"
        assert seen["departures_1h"] == seen.get("departures_3h", seen["departures_1h"])
    assert live.mainstem("run").code == 0
    assert live.published("departures") == busy.sent + 3
