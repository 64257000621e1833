"""A server that goes on answering while what it answers from is changed, built anew, killed and lost."""

from __future__ import annotations

import json
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mainstem.features.online.meta import META, decode_meta, space_of
from mainstem.stores.lmdb import LmdbStore

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
        self.refused: dict[str, list[Any]] = {}
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=work) for work in (self._send, self._read)]

    def _send(self) -> None:
        while not self.stop.is_set():
            batch = [event(self.sent + n) for n in range(3)]
            status, answer = self.served.post("/events/departures", {"events": batch, "backfill": True})
            if status == 202:
                self.sent += 3
            else:
                self.refused.setdefault("sent", []).append(answer)

    def _read(self) -> None:
        while not self.stop.is_set():
            before = self.sent
            status, answer = self.served.post("/features/airport", ASKED)
            if status == 200:
                self.reads.append((before, answer))
            else:
                self.refused.setdefault("read", []).append(answer)

    def wait(self, condition: Any) -> None:
        """Until it is so."""
        end = time.monotonic() + PATIENCE
        while not condition(self):
            assert time.monotonic() < end, (self.sent, self.reads[-1:], list(self.refused.values())[-1:])
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
    assert busy.refused == {}
    prints = [answer["fingerprint"] for _, answer in busy.reads]
    assert len(dict.fromkeys(prints)) == 2 and prints == sorted(prints, key=prints.index), "once over, and never back"
    for before, answer in busy.reads:
        seen = answer["features"]
        assert before <= seen["departures_1h"], "an event that was taken before the question is missing"
        assert seen["departures_1h"] == seen.get("departures_3h", seen["departures_1h"])
    assert live.mainstem("run").code == 0
    assert live.published("departures") == busy.sent + 3


def test_a_rebuild_is_beside_the_live_state_while_a_server_reads_and_takes_events(live: Any, serve: Any) -> None:
    with serve(live) as served, traffic(served) as busy:
        busy.more()
        assert live.mainstem("materialise").out.startswith("✓ drain departures")
        for number in (1, 2):
            ended = live.mainstem("materialise", "airport", "--rebuild")
            assert (ended.code, ended.err) == (0, "") and "keys online" in ended.out
            shown = json.loads(live.mainstem("show", "airport", "--json").out)
            assert shown["online"].endswith(f".{number}")
            busy.more()
    assert busy.refused == {}
    assert all(before <= answer["features"]["departures_1h"] for before, answer in busy.reads)
    assert len({answer["fingerprint"] for _, answer in busy.reads}) == 1, "it is the same definition"
    assert live.mainstem("materialise", "legs").code == 2
    assert live.mainstem("run").code == 0
    assert "nothing to do" in live.mainstem("materialise").out
    assert live.published("departures") == busy.sent + 3


def being_built(project: Any, view: str) -> bool:
    """Whether a state of the view has some of its keys, and not all."""
    store = LmdbStore(project.root / ".mainstem/online/main")
    try:
        (known,) = store.read("views", [view.encode()])
        names = json.loads(known or b"[]")
        metas = [decode_meta(raw) for name in names for raw in store.read(space_of(view, name), [META])]
        return any(meta.loaded and not meta.ready for meta in metas)
    finally:
        store.close()


@pytest.mark.slow
def test_a_backfill_that_is_killed_goes_on_while_a_server_takes_events(live: Any, serve: Any) -> None:
    """The history has grown by a hundred thousand airports, and the state is built anew beside the live one."""
    with serve(live) as served, traffic(served) as busy:
        busy.more()
        rows = (f"B{n},K{n},7,2013-11-30T09:{n % 60:02d}:00Z" for n in range(100_000))
        live.add(*rows, to="past.csv")
        process = live.start("run", "-s", "past departures airport")
        busy.wait(lambda traffic: being_built(live, "airport") or process.poll() is not None)
        assert live.end(process, signal.SIGKILL).code == -signal.SIGKILL, "it was not killed in the middle"
        busy.more()
        assert being_built(live, "airport")
        live.goes_on()
        busy.more()
        new = {"rows": [{"origin": f"K{n}"} for n in (0, 59_999, 99_999)], "time": "2013-11-30T10:00:00Z"}
        busy.wait(lambda traffic: not served.post("/features/airport", new)[1]["rows"][0]["missing"])
        _, answer = served.post("/features/airport", new)
        assert [row["features"] for row in answer["rows"]] == [{"delay_1h": 7.0, "departures_1h": 1}] * 3
        busy.more()
    assert busy.refused == {}
    assert all(before <= answer["features"]["departures_1h"] for before, answer in busy.reads)
    assert live.mainstem("run").code == 0
    assert live.published("departures") == 3 + 100_000 + busy.sent


@pytest.mark.slow
def test_a_store_that_is_deleted_under_a_server_comes_back_with_a_run(live: Any, serve: Any) -> None:
    with serve(live) as served, traffic(served) as busy:
        busy.more()
        live.goes_on()
        kept = live.published("departures") - 3
        shutil.rmtree(live.root / ".mainstem" / "online")
        busy.wait(lambda traffic: {"sent", "read"} <= traffic.refused.keys())
        busy.wait(lambda traffic: served.client.get("/ready").status_code == 503)
        assert "mainstem run" in served.client.get("/ready").json()["trouble"]["hint"]
        told = live.mainstem("plan").out
        assert "its log is gone from the online store" in told and "its online state is gone from the store" in told
        shown = live.mainstem("show", "airport").out
        assert "missing in the store: mainstem run rebuilds it" in shown
        before = busy.sent
        ended = live.mainstem("run")
        assert ended.code == 0 and f"it continues at offset {kept}, the end of the lake" in ended.err
        busy.more()
        busy.wait(lambda traffic: served.client.get("/ready").status_code == 200)
    for errors in busy.refused.values():
        assert all("mainstem run" in error["hint"] for error in errors)
    assert live.mainstem("run").code == 0
    assert live.published("departures") == 3 + kept + busy.sent - before
    assert busy.reads[-1][1]["features"]["departures_1h"] <= kept + busy.sent - before
    assert busy.reads[-1][1]["features"]["departures_1h"] >= kept + busy.reads[-1][0] - before
