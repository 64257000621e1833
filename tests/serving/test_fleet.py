"""Several servers over one Redis and one topic: they share the partitions, and come and go under load."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import httpx
import pytest

from kafka_broker import until
from mainstem.features.online.view import OnlineView
from mainstem.features.retrieval import compiled
from mainstem.logs.predictions import logged_predictions
from mainstem.logs.reached import read
from mainstem.logs.records import decode_event
from mainstem.nodes.instants import micros_of
from mainstem.nodes.records import now
from mainstem.stores.redis import RedisStore

PROCESS = Path(__file__).parent / "process.py"
PARTITIONS = range(4)


def departure(number: int) -> str:
    at = datetime.now(UTC) - timedelta(minutes=1)
    return json.dumps({"flight_id": f"K{number}", "origin": "JFK", "dep_delay": 1.0, "departed_at": at.isoformat()})


@dataclass
class Fleet:
    """Servers of one world as processes. Those in `asked` get predictions, as a load balancer would send them."""

    root: Path
    env: dict[str, str]
    noon: str
    processes: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    """The ids of predictions."""
    failed: list[str] = field(default_factory=list)

    def start(self) -> str:
        """Start a server, and return its URL when it is ready."""
        command = [sys.executable, str(PROCESS), str(self.root)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **self.env})
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://")
        self.processes[url] = process
        until(lambda: httpx.get(f"{url}/ready", timeout=30).status_code == 200)
        self.asked.append(url)
        return url

    def stop(self, url: str) -> None:
        """Send a server no more requests, and end it as a deployment does."""
        self.asked.remove(url)
        self._end(url, signal.SIGTERM)

    def kill(self, url: str) -> None:
        """End a server as a crash does. Requests that it has are lost, so they may fail."""
        self.asked.remove(url)
        self._end(url, signal.SIGKILL)

    def _end(self, url: str, how: int) -> None:
        process = self.processes.pop(url)
        process.send_signal(how)
        process.wait(60)
        assert process.stdout is not None
        process.stdout.close()

    def close(self) -> None:
        for url in list(self.processes):
            self._end(url, signal.SIGKILL)

    def partitions(self) -> list[list[int]]:
        """Return the partitions that each server reads, as its metrics show them."""
        texts = [httpx.get(f"{url}/metrics", timeout=30).text for url in self.processes]
        lags = [re.findall(r'^mainstem_topic_lag\{.*?partition="(\d+)"', text, re.M) for text in texts]
        return [sorted(map(int, each)) for each in lags]

    def up(self) -> int:
        """Return how many servers say that they can read the topic."""
        texts = [httpx.get(f"{url}/metrics", timeout=30).text for url in self.processes]
        return sum('mainstem_topic_up{stream="departures"} 1.0' in text for text in texts)

    def shared(self, *sizes: int) -> None:
        """Wait until the servers read so many partitions each, every partition by one of them."""
        wanted = [*PARTITIONS]

        def told() -> bool:
            found = self.partitions()
            return sorted(map(len, found)) == sorted(sizes) and sorted(chain(*found)) == wanted

        until(told, lambda: str(self.partitions()))

    def predict(self) -> None:
        url = random.choice(self.asked)
        body = {"flight_id": "F1", "distance": 1.0, "time": self.noon}
        try:
            answer = httpx.post(f"{url}/predict/arrivals", json=body, timeout=30)
        except httpx.TransportError as error:
            # A server that was stopped between the choice and the connection has not got the request.
            if not (isinstance(error, httpx.ConnectError) and url not in self.asked):
                self.failed.append(repr(error))
            return
        if answer.status_code == 200:
            self.answered.append(answer.json()["id"])
        else:
            self.failed.append(answer.text)


@contextmanager
def load(broker: Any, topic: str, fleet: Fleet) -> Iterator[list[int]]:
    """Messages to each partition, and predictions. Yields how many messages were sent to each."""
    stop, sent = threading.Event(), [0 for _ in PARTITIONS]

    def produce() -> None:
        producer = broker.producer(linger_ms="5")
        while not stop.is_set():
            for partition in PARTITIONS:
                number = len(PARTITIONS) * sent[partition] + partition
                producer.produce(topic, departure(number), partition=partition)
                sent[partition] += 1
            time.sleep(0.02)
            producer.poll(0)
        assert producer.flush(60) == 0

    def predict() -> None:
        while not stop.is_set():
            fleet.predict()
            time.sleep(0.02)

    threads = [threading.Thread(target=produce), threading.Thread(target=predict)]
    for thread in threads:
        thread.start()
    try:
        yield sent
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.fixture
def durable(make_redis: Any) -> Any:
    return make_redis(appendonly="yes", appendfsync="always")


@pytest.fixture
def fleet(worlds: Any, tmp_path: Path, broker: Any, durable: Any) -> Iterator[tuple[Any, Fleet, str]]:
    """A world on Redis with a champion, no server yet, and a topic."""
    world = worlds.begun(tmp_path, store=RedisStore(durable.url, "flights", "main"))
    world.promote(worlds.artifact(tmp_path, 1))
    topic = broker.topic(partitions=len(PARTITIONS))
    env = {"REDIS": durable.url, "SERVERS": broker.servers, "TOPIC": topic}
    found = Fleet(tmp_path, env, worlds.NOON.isoformat())
    yield world, found, topic
    found.close()
    world.close()


def everything_once(world: Any, fleet: Fleet, topic: str, sent: list[int]) -> None:
    """Wait until all messages are taken; then compare log, features, offsets and predictions with what was sent."""
    until(lambda: read(world.store, "departures", topic, PARTITIONS) == dict(enumerate(sent)))
    found = [decode_event(payload).row["flight_id"] for _, payload in world.store.entries("events/departures", 0)]
    for partition in PARTITIONS:
        mine = [name for name in found if int(name[1:]) % len(PARTITIONS) == partition]
        assert mine == [f"K{len(PARTITIONS) * n + partition}" for n in range(sent[partition])]
    online = OnlineView(compiled(world.graph, "airport"), world.store, world.release.online["airport"])
    (reading,) = online.read([("JFK",)], micros_of(now()) + 1)
    assert reading.values["departures_1h"] == len(found) == sum(sent)
    logged = Counter(each.id for each in logged_predictions(world.store, "arrivals"))
    assert set(logged.values()) == {1} and set(fleet.answered) <= set(logged)


@pytest.mark.timeout(600)
def test_servers_share_the_partitions_while_they_come_and_go(broker: Any, fleet: tuple[Any, Fleet, str]) -> None:
    world, servers, topic = fleet
    first, _ = servers.start(), servers.start()
    with load(broker, topic, servers) as sent:
        servers.shared(2, 2)
        servers.start()
        servers.shared(1, 1, 2)
        assert not servers.failed
        servers.kill(first)
        servers.shared(2, 2)
    everything_once(world, servers, topic, sent)


@pytest.mark.timeout(600)
def test_a_rolling_restart_under_load_loses_nothing(broker: Any, fleet: tuple[Any, Fleet, str]) -> None:
    world, servers, topic = fleet
    old = [servers.start(), servers.start()]
    with load(broker, topic, servers) as sent:
        servers.shared(2, 2)
        for url in old:
            servers.start()
            servers.shared(1, 1, 2)
            servers.stop(url)
            servers.shared(2, 2)
    assert servers.failed == []
    everything_once(world, servers, topic, sent)


def test_a_server_without_a_partition_waits_and_takes_over(broker: Any, fleet: tuple[Any, Fleet, str]) -> None:
    world, servers, topic = fleet
    urls = [servers.start() for _ in range(len(PARTITIONS) + 1)]
    with load(broker, topic, servers) as sent:
        servers.shared(0, 1, 1, 1, 1)
        until(lambda: servers.up() == len(urls))
        held = servers.partitions()
        servers.kill(urls[next(n for n, each in enumerate(held) if each)])
        servers.shared(1, 1, 1, 1)
    everything_once(world, servers, topic, sent)
