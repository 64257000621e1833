"""What was acknowledged is there once, whatever happens: real processes, real signals, a real full disk."""

from __future__ import annotations

import errno
import http.client
import json
import os
import signal
import subprocess
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from mainstem.errors import StorageError
from mainstem.features.materialise.step import catch_up
from mainstem.features.online.view import OnlineView
from mainstem.features.retrieval import compiled
from mainstem.nodes.instants import micros_of
from mainstem.planning.plan import Step
from mainstem.serving.committer import Committer
from mainstem.stores import environment
from mainstem.stores.lmdb import LmdbStore
from mainstem.streaming.drain import Drain
from server_process import running


def events_per_origin(world: Any, worlds: Any) -> int:
    online = OnlineView(compiled(world.graph, "airport"), world.store, world.release.online["airport"])
    (reading,) = online.read([("JFK",)], micros_of(worlds.NOON))
    return int(reading.values["departures_1h"])


def test_killed_while_ingesting_every_acknowledged_event_is_there_once(world: Any, worlds: Any) -> None:
    acknowledged: list[str] = []
    with running(world.root) as (process, url), httpx.Client(base_url=url, timeout=10) as client:

        def feed() -> None:
            for number in range(0, 100_000, 3):
                batch = [{**worlds.departure(0), "flight_id": f"E{n}"} for n in (number, number + 1, number + 2)]
                try:
                    answer = client.post("/events/departures", json={"events": batch, "backfill": True})
                except httpx.HTTPError:
                    return
                assert answer.status_code == 202
                acknowledged.extend(row["flight_id"] for row in batch)

        feeding = threading.Thread(target=feed)
        feeding.start()
        while len(acknowledged) < 150:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
        feeding.join()
    before = len(acknowledged)
    with running(world.root) as (_, url), httpx.Client(base_url=url, timeout=10) as client:
        again = {"events": [{**worlds.departure(0), "flight_id": "last"}], "backfill": True}
        assert client.post("/events/departures", json=again).status_code == 202
    logged = world.store.end("events/departures")
    assert before + 1 <= logged <= before + 1 + 3  # what was on its way may have arrived, but was not acknowledged
    assert events_per_origin(world, worlds) == logged + 1  # and the one of the history
    world.run(Step("drain", "departures", "test"))
    stored = [row["flight_id"] for row in world.rows("departures")]
    assert len(stored) == len(set(stored)) == logged
    assert {*acknowledged, "last"} <= set(stored)


def test_killed_while_predicting_every_answer_is_stored_once(world: Any, worlds: Any) -> None:
    """Requests of 40 rows: each is one entry of the log."""
    world.promote(worlds.artifact(world.root, 1))
    row = {"distance": 1.0, "time": worlds.NOON.isoformat()}
    answered: list[str] = []
    with running(world.root) as (process, url), httpx.Client(base_url=url, timeout=10) as client:

        def ask() -> None:
            for number in range(100_000):
                rows = [{**row, "flight_id": f"F{number}.{n}"} for n in range(40)]
                try:
                    answer = client.post("/predict/arrivals", json=rows)
                except httpx.HTTPError:
                    return
                assert answer.status_code == 200
                answered.extend(each["id"] for each in answer.json()["predictions"])

        asking = threading.Thread(target=ask)
        asking.start()
        while len(answered) < 400:
            time.sleep(0.01)
        world.run(Step("drain", "arrivals", "test"))  # while it predicts
        while len(answered) < 800:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
        asking.join()
    Drain(world.store)(Step("drain", "arrivals", "test"), world.context())  # a run that ends before it publishes
    end, entries = world.store.end("predictions/arrivals"), list(world.store.entries("predictions/arrivals", 0))
    assert end in (len(answered), len(answered) + 40) and all(offset % 40 == 0 for offset, _ in entries)
    world.run(Step("drain", "arrivals", "test"))
    stored = [each["_id"] for each in world.rows("predictions.arrivals")]
    assert len(stored) == len(set(stored)) == end and set(answered) <= set(stored)


def test_a_full_disk_is_said_and_takes_nothing_that_was_acknowledged(world: Any, worlds: Any) -> None:
    data = max(file.stat().st_size for file in (world.root / "online").iterdir())
    acknowledged = 0
    with running(world.root, str(data + 200_000)) as (_, url), httpx.Client(base_url=url, timeout=30) as client:
        for number in range(0, 100_000, 100):
            batch = [{**worlds.departure(0), "flight_id": f"E{number + i:06d}"} for i in range(100)]
            answer = client.post("/events/departures", json={"events": batch, "backfill": True})
            if answer.status_code != 202:
                break
            acknowledged += 100
        assert answer.status_code == 507
        assert "full" in answer.json()["what"]
        assert answer.json()["hint"]
        assert client.get("/health").status_code == 200
    assert acknowledged > 0
    assert world.store.end("events/departures") == acknowledged
    assert events_per_origin(world, worlds) == acknowledged + 1


def test_a_store_that_cannot_grow_is_said_and_is_written_again_when_it_can(
    worlds: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = worlds.begun(tmp_path, store=LmdbStore(tmp_path / "online", 1_000_000))
    world.promote(worlds.artifact(world.root, 1))

    def refused(*given: Any, **more: Any) -> Any:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    def batch(number: int) -> dict[str, Any]:
        rows = [{**worlds.departure(0), "flight_id": f"E{number + i:06d}"} for i in range(100)]
        return {"events": rows, "backfill": True}

    row = {"flight_id": "F1", "distance": 1.0, "time": worlds.NOON.isoformat()}
    with worlds.listening(world.service()) as client:
        with monkeypatch.context() as patch:
            patch.setattr(environment.mmap, "mmap", refused)
            acknowledged = 0
            while (answer := client.post("/events/departures", json=batch(acknowledged))).status_code == 202:
                acknowledged += 100
            assert answer.status_code == 507 and answer.json()["what"] == "the online store is full and cannot grow"
            while (answer := client.post("/predict/arrivals", json=[row] * 50)).status_code == 200:
                pass
            assert answer.status_code == 507
            assert client.get("/health").status_code == client.get("/ready").status_code == 200
            read = client.post("/features/airport", json={"origin": "JFK", "time": worlds.NOON.isoformat()})
            assert read.json()["features"]["departures_1h"] == acknowledged + 1
        assert client.post("/events/departures", json=batch(acknowledged)).status_code == 202
        assert client.post("/predict/arrivals", json=row).status_code == 200
    assert acknowledged > 0 and world.store.end("events/departures") == acknowledged + 100
    world.close()


def test_sigterm_lets_requests_in_flight_finish(world: Any, worlds: Any) -> None:
    world.promote(worlds.artifact(world.root, 1))
    rows = [{"flight_id": f"F{n}", "distance": 1.0, "time": worlds.NOON.isoformat()} for n in range(1_000)]
    body = json.dumps(rows).encode()
    with running(world.root) as (process, url):
        place = urlsplit(url)
        connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=60)
        connection.putrequest("POST", "/predict/arrivals")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body[:1000])
        assert httpx.get(f"{url}/health").status_code == 200  # what came before it has been read
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)  # it waits for the rest
        connection.send(body[1000:])
        answer = connection.getresponse()
        predictions = json.loads(answer.read())["predictions"]
        assert process.wait(60) == 0
        connection.close()
    assert (answer.status, len(predictions)) == (200, 1_000)
    assert world.store.end("predictions/arrivals") == 1_000


@pytest.mark.parametrize("elsewhere", [3, 0])
def test_what_was_logged_while_a_view_was_built_elsewhere_is_taken_in_first(
    world: Any, worlds: Any, elsewhere: int
) -> None:
    ingest = world.service()._loaded(world.graph, world.release).ingest("departures")
    online = ingest.views[0]
    events = ingest.accept([worlds.departure(n) for n in range(8)], backfill=True)
    with world.store.transaction() as writer:
        bare_of(ingest, world).write(writer, events[:5])
    assert online.meta().offset == 0
    if elsewhere:
        catch_up(online, world.store, "departures")
    with world.store.transaction() as writer:
        assert ingest.write(writer, events[5:]) == 5
    assert online.meta().offset == 8
    assert events_per_origin(world, worlds) == 8 + 1


def bare_of(ingest: Any, world: Any) -> Any:
    """One that takes events of the same stream into the log alone."""
    return type(ingest)(world.graph["departures"], [], world.store, world.release.cutovers["departures"])


def test_a_view_that_comes_while_events_are_committed_misses_none_of_them(world: Any, worlds: Any) -> None:
    """What is written in one transaction is in the log only when it is over."""
    ingest = world.service()._loaded(world.graph, world.release).ingest("departures")
    events = ingest.accept([worlds.departure(n) for n in range(8)], backfill=True)
    committer, begin = Committer(world.store), threading.Event()
    committer.submit(lambda writer: begin.wait(30))  # the others wait meanwhile, and share a transaction
    bare = bare_of(ingest, world)
    works = [partial(bare.write, events=events[:5]), partial(ingest.write, events=()), partial(bare.write, events=[])]
    waiting = [committer.submit(work) for work in (*works, partial(ingest.write, events=events[5:]))]
    begin.set()
    assert [future.result(30) for future in waiting] == [0, 5, 5, 5]
    committer.close()
    assert ingest.views[0].meta().offset == 8
    assert events_per_origin(world, worlds) == 8 + 1


def test_a_state_that_lags_behind_what_the_log_still_has_is_not_gone_on_with(world: Any, worlds: Any) -> None:
    ingest = world.service()._loaded(world.graph, world.release).ingest("departures")
    events = ingest.accept([worlds.departure(n) for n in range(4)], backfill=True)
    with world.store.transaction() as writer:
        bare_of(ingest, world).write(writer, events[:3])
    world.store.trim("events/departures", 2)
    told = "does not have the events that the online state needs"
    with pytest.raises(StorageError, match=told) as caught, world.store.transaction() as writer:
        ingest.write(writer, events[3:])
    assert caught.value.hint == "mainstem run rebuilds the state from the lake"
    assert world.store.end("events/departures") == 3 and events_per_origin(world, worlds) == 1
    with pytest.raises(StorageError, match=told):
        catch_up(ingest.views[0], world.store, "departures")
