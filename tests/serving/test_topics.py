"""A topic of a real broker feeds a stream while the server runs: every message counts once in log and features."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from kafka_broker import until
from mainstem.features.online.view import OnlineView
from mainstem.features.retrieval import compiled
from mainstem.logs.letters import decode_letter
from mainstem.logs.reached import read
from mainstem.logs.records import decode_event
from mainstem.nodes.instants import micros_of
from mainstem.nodes.records import now
from mainstem.planning.plan import Step
from mainstem.serving.feeders import Feeders
from mainstem.sources.kafka.positions import Span
from mainstem.stores.lmdb import LmdbStore
from mainstem.streaming.drain import Drain
from mainstem.streaming.topics import Landing

PROCESS = Path(__file__).parent / "process.py"
LOG, LETTERS = "events/departures", "unreadable/departures"


def departure(number: int, **more: Any) -> str:
    """A message of a departure of these minutes."""
    at = datetime.now(UTC) - timedelta(minutes=1)
    event = {"flight_id": f"K{number}", "origin": "JFK", "dep_delay": 1.0, "departed_at": at.isoformat()}
    return json.dumps({**event, **more})


def logged(store: Any) -> list[str]:
    """The flights of the log, in its order."""
    return [decode_event(payload).row["flight_id"] for _, payload in store.entries(LOG, 0)]


def named(numbers: Sequence[int]) -> list[str]:
    return [f"K{number}" for number in numbers]


def counted(world: Any) -> int:
    """The departures of the last hour, as features have them."""
    online = OnlineView(compiled(world.graph, "airport"), world.store, world.release.online["airport"])
    (reading,) = online.read([("JFK",)], micros_of(now()) + 1)
    return int(reading.values["departures_1h"])


def ends(world: Any, log: str = LOG) -> int:
    found: int = world.store.end(log)
    return found


@contextmanager
def feeding(world: Any, service: Any) -> Iterator[Feeders]:
    feeders = Feeders(service, world.root)
    feeders.refresh()
    try:
        yield feeders
    finally:
        feeders.close()


@pytest.fixture
def topic(served: Any, broker: Any) -> str:
    """A topic of two partitions that the stream is fed from."""
    name: str = broker.topic(partitions=2)
    served[0].feed(broker.servers, name)
    return name


def test_every_message_counts_once_in_log_and_features(served: Any, broker: Any, topic: str) -> None:
    world, service = served
    broker.send(topic, *map(departure, range(5)))
    with feeding(world, service):
        until(lambda: ends(world) == 5)
        broker.send(topic, *map(departure, range(5, 8)), partition=1)
        until(lambda: ends(world) == 8)
    assert sorted(logged(world.store)) == named(range(8)) and counted(world) == 8
    broker.send(topic, *map(departure, range(8, 10)))
    with feeding(world, service):
        until(lambda: ends(world) == 10)
    assert logged(world.store)[8:] == named([8, 9]) and counted(world) == 10
    assert read(world.store, "departures", topic, [0, 1, 2]) == {0: 7, 1: 3}


def test_an_event_with_the_header_of_a_backfill_arrived_when_it_happened(served: Any, broker: Any, topic: str) -> None:
    world, service = served
    at = datetime.now(UTC) - timedelta(minutes=5)
    past = departure(1, departed_at=at.isoformat())
    with feeding(world, service):
        broker.send(topic, past, headers=[("mainstem-backfill", b"true")])
        broker.send(topic, departure(2), headers=[("mainstem-backfill", b"no")])
        until(lambda: ends(world) == 2)
    events = {event.row["flight_id"]: event for event in map(decode_event, (e for _, e in world.store.entries(LOG, 0)))}
    assert events["K1"].arrived == micros_of(at) == events["K1"].row["departed_at"]
    assert events["K2"].arrived > events["K2"].row["departed_at"]


def test_a_message_that_is_no_event_is_a_dead_letter_and_the_others_count(served: Any, broker: Any, topic: str) -> None:
    world, service = served
    early = departure(3, departed_at="2013-12-01T10:00:00Z")
    bad = [b"{no json", departure(2, dep_delay="ten"), early, departure(4, departed_at=None), None]
    broker.send(topic, departure(0), *bad, departure(1, more="a field that the stream has no column for"))
    with feeding(world, service):
        until(lambda: ends(world) == 2 and ends(world, LETTERS) == 5)
    assert logged(world.store) == named([0, 1]) and counted(world) == 2
    letters = [decode_letter(payload) for _, payload in world.store.entries(LETTERS, 0)]
    reasons = {letter.origin.rsplit(" ", 1)[1]: letter.reason for letter in letters}
    assert reasons["1"].startswith("the value is not JSON")
    assert (
        reasons["2"]
        == "the field 'dep_delay' has the wrong type or value (dep_delay); got 'ten'; expected a finite number"
    )
    assert reasons["3"].startswith("the event is before the stream's cutover (departed_at)")
    assert reasons["4"].startswith("the field 'departed_at' must not be null")
    assert reasons["5"] == "a tombstone: the message has no value"
    outcome = Drain(world.store)(Step("drain", "departures", "test"), world.context())
    assert (outcome.rows_in, outcome.published, outcome.quarantined) == (7, 2, 5)
    assert outcome.message == "5 messages are no event: kept with the reason"
    step = Step("drain", "departures", "test")
    world.run(step)
    kept = world.rows("unreadable.departures")
    assert {row["_origin"] for row in kept} == {f"{topic}, partition 0, offset {n}" for n in range(1, 6)}
    world.run(step)
    assert len(world.rows("unreadable.departures")) == 5 and ends(world, LETTERS) == 5
    assert list(world.store.entries(LETTERS, 0)) == []


def test_aborted_transactions_do_not_count(served: Any, broker: Any, topic: str) -> None:
    world, service = served
    producer = broker.producer(transactional_id=f"aborts-{topic}")
    producer.init_transactions()
    for number, end in enumerate(
        (producer.commit_transaction, producer.abort_transaction, producer.commit_transaction)
    ):
        producer.begin_transaction()
        producer.produce(topic, departure(number), partition=0)
        producer.flush()
        end()
    with feeding(world, service):
        until(lambda: read(world.store, "departures", topic, [0]) == {0: 6})  # behind the last marker
    assert logged(world.store) == named([0, 2]) and counted(world) == 2


@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
def test_a_second_reader_in_the_group_repeats_and_loses_nothing(
    strategy: str, served: Any, broker: Any, topic: str
) -> None:
    world, service = served
    world.feed(broker.servers, topic, settings={"partition.assignment.strategy": strategy})
    stop, sent = threading.Event(), [0, 0]

    def produce() -> None:
        producer = broker.producer()
        while not stop.is_set():
            for partition in (0, 1):
                number = 2 * sent[partition] + partition
                producer.produce(topic, departure(number), partition=partition)
                sent[partition] += 1
            producer.flush()
            time.sleep(0.002)

    thread = threading.Thread(target=produce)
    with feeding(world, service):
        thread.start()
        try:
            until(lambda: ends(world) > 20)
            for _ in range(2):
                with feeding(world, service) as second:
                    until(lambda second=second: bool(second._running["departures"]._at))  # it has partitions
                    reached = ends(world)
                    until(lambda reached=reached: ends(world) > reached + 20)
        finally:
            stop.set()
            thread.join()
        until(lambda: ends(world) >= sum(sent))
    found = logged(world.store)
    for partition in (0, 1):
        mine = [name for name in found if int(name[1:]) % 2 == partition]
        assert mine == named(range(partition, 2 * sent[partition], 2))
    assert len(found) == sum(sent) == counted(world)


def test_a_broker_that_restarts_is_read_on(served: Any, mortal: Any) -> None:
    world, service = served
    topic = mortal.topic()
    world.feed(mortal.servers, topic)
    mortal.send(topic, *map(departure, range(3)))
    with feeding(world, service):
        until(lambda: ends(world) == 3)
        mortal.kill()
        mortal.start()
        mortal.send(topic, *map(departure, range(3, 6)))
        until(lambda: ends(world) == 6)
    assert logged(world.store) == named(range(6)) and counted(world) == 6


def test_a_topic_is_up_again_with_its_broker_and_without_a_message(served: Any, mortal: Any) -> None:
    world, service = served
    topic = mortal.topic()
    world.feed(mortal.servers, topic)
    mortal.send(topic, departure(0))
    up = b'mainstem_topic_up{stream="departures"} %s'
    with feeding(world, service):
        until(lambda: ends(world) == 1 and up % b"1.0" in service.metrics.text())
        mortal.kill()
        until(lambda: up % b"0.0" in service.metrics.text())
        mortal.start()
        until(lambda: up % b"1.0" in service.metrics.text())


def test_a_partition_that_is_added_is_read_from_its_beginning_by_whoever_gets_it(
    served: Any, broker: Any, topic: str
) -> None:
    world, service = served
    world.feed(broker.servers, topic, start="latest", settings={"topic.metadata.refresh.interval.ms": "1000"})
    broker.send(topic, departure(0))
    with feeding(world, service) as one, feeding(world, service) as other:
        readers = [each._running["departures"] for each in (one, other)]
        until(lambda: sorted(len(each._at) for each in readers) == [1, 1])
        broker.send(topic, departure(1))
        until(lambda: ends(world) == 1)
        broker.widen(topic, 3)
        broker.send(topic, departure(2), partition=2)
        until(lambda: sorted(len(each._at) for each in readers) == [1, 2])
        until(lambda: ends(world) == 2)
    assert logged(world.store) == named([1, 2])


def test_where_a_partition_begins_is_noted_once(world: Any) -> None:
    landing = Landing("departures", "topic", None)

    def begun(first: int, low: int, high: int) -> dict[int, int]:
        with world.store.transaction() as writer:
            return landing.begin(writer, [Span(0, first, high)], {0: (low, high)})

    assert begun(10, 0, 10) == {0: 10}
    assert begun(25, 0, 25) == {0: 10}  # of a server that had not seen it: the messages between are not lost
    assert begun(12, 12, 25) == {0: 12}  # those before expired


def test_expired_messages_stop_the_reader_and_are_told(served: Any, broker: Any, topic: str) -> None:
    world, service = served
    broker.send(topic, *map(departure, range(2)))
    with feeding(world, service):
        until(lambda: ends(world) == 2)
    broker.send(topic, *map(departure, range(2, 6)))
    broker.expire(topic, 4)
    with feeding(world, service) as feeders:
        until(lambda: bool(feeders.troubles))
        error = feeders.troubles["departures"]
        assert error.got == "no messages at partition 0: offsets 2 to 3"
        assert b'mainstem_topic_up{stream="departures"} 0.0' in service.metrics.text()
    assert ends(world) == 2
    world.feed(broker.servers, topic, expired="skip")
    with feeding(world, service):
        until(lambda: ends(world) == 4)
    assert logged(world.store) == named([0, 1, 4, 5])


def test_another_topic_of_the_same_stream_is_followed(served: Any, broker: Any, topic: str) -> None:
    world, service = served
    broker.send(topic, departure(0))
    with feeding(world, service) as feeders:
        until(lambda: ends(world) == 1)
        other = broker.topic()
        world.feed(broker.servers, other)
        feeders.refresh()
        broker.send(other, departure(1))
        until(lambda: ends(world) == 2)
    assert logged(world.store) == named([0, 1])
    assert read(world.store, "departures", topic, [0]) == read(world.store, "departures", other, [0]) == {0: 1}


def test_lag_and_results_are_metrics(served: Any, worlds: Any, broker: Any, topic: str) -> None:
    world, service = served
    broker.send(topic, departure(0), b"no json")
    with feeding(world, service):
        until(lambda: ends(world) == 1 and ends(world, LETTERS) == 1)
        lag = f'mainstem_topic_lag{{partition="0",stream="departures",topic="{topic}"}} 0.0'.encode()
        until(lambda: lag in service.metrics.text())
    text = service.metrics.text().decode()
    assert 'mainstem_topic_messages_total{result="event",stream="departures"} 1.0' in text
    assert 'mainstem_topic_messages_total{result="unreadable",stream="departures"} 1.0' in text
    assert 'mainstem_topic_up{stream="departures"} 1.0' in text


def test_a_lost_online_store_is_read_on_from_the_lake(served: Any, broker: Any, topic: str) -> None:
    world, service = served
    broker.send(topic, *map(departure, range(4)))
    with feeding(world, service):
        until(lambda: ends(world) == 4)
    step = Step("drain", "departures", "test")
    world.run(step)
    service.close()
    world.store.close()
    shutil.rmtree(world.root / "online")
    world.store = LmdbStore(world.root / "online")
    world.run(step, Step("materialise", "leg", "test"), Step("materialise", "airport", "test"))
    broker.send(topic, *map(departure, range(4, 6)))
    second = world.service()
    second.start()
    with feeding(world, second):
        until(lambda: ends(world) == 6)
    second.close()
    assert logged(world.store) == named([4, 5])
    world.run(step)
    assert sorted(row["flight_id"] for row in world.rows("departures")) == named(range(6))


def test_redis_takes_offsets_and_events_in_one_transaction(
    worlds: Any, tmp_path: Path, broker: Any, redis_server: Any
) -> None:
    from mainstem.stores.redis import RedisStore

    store = RedisStore(redis_server.url, "topics", "main")
    world = worlds.begun(tmp_path, store=store)
    topic = broker.topic()
    world.feed(broker.servers, topic)
    service = world.service()
    service.start()
    broker.send(topic, *map(departure, range(3)), b"no json")
    with feeding(world, service):
        until(lambda: ends(world) == 3 and ends(world, LETTERS) == 1)
    with feeding(world, service):
        broker.send(topic, departure(3))
        until(lambda: ends(world) == 4)
    service.close()
    assert logged(store) == named(range(4)) and counted(world) == 4
    world.close()


# ── kill -9 ───────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def server(world: Any, broker: Any, topic: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    env = {**os.environ, "SERVERS": broker.servers, "TOPIC": topic}
    command = [sys.executable, str(PROCESS), str(world.root)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        assert url.startswith("http://")
        yield process, url
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(30)
        process.stdout.close()


def killed(world: Any, broker: Any, topic: str, kills: int, seed: int) -> None:
    """Kill the server at random moments while messages come, some of them no events; then let it read to the end."""
    moments, stop, sent = random.Random(seed), threading.Event(), [0, 0]

    def produce() -> None:
        producer = broker.producer(linger_ms="5")
        while not stop.is_set():
            for partition in (0, 1):
                number = 2 * sent[partition] + partition
                producer.produce(topic, departure(number) if number % 50 < 48 else f"bad {number}", partition=partition)
                sent[partition] += 1
            if sent[0] % 20 == 0:
                producer.flush()
                time.sleep(0.02)
        producer.flush()

    thread = threading.Thread(target=produce)
    thread.start()
    try:
        for _ in range(kills):
            with server(world, broker, topic) as (process, _url):
                reached = ends(world)
                until(lambda reached=reached: ends(world) > reached)
                time.sleep(moments.random() / 3)
                os.kill(process.pid, signal.SIGKILL)
    finally:
        stop.set()
        thread.join()
    events = [[n for n in range(p, 2 * sent[p], 2) if n % 50 < 48] for p in (0, 1)]
    bad = sum(sent) - sum(map(len, events))
    with server(world, broker, topic) as (process, url):
        until(lambda: ends(world) >= sum(map(len, events)) and ends(world, LETTERS) >= bad)
        with httpx.Client(base_url=url, timeout=30) as client:
            assert client.get("/ready").json().get("topics") is None
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    found = logged(world.store)
    for partition in (0, 1):
        assert [name for name in found if int(name[1:]) % 2 == partition] == named(events[partition])
    letters = Counter(decode_letter(payload).origin for _, payload in world.store.entries(LETTERS, 0))
    assert len(letters) == bad and set(letters.values()) == {1}
    assert counted(world) == len(found)


def test_killed_at_random_moments_it_goes_on_at_the_right_message(world: Any, broker: Any) -> None:
    killed(world, broker, broker.topic(partitions=2), kills=2, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_killed_at_twenty_random_moments(world: Any, broker: Any) -> None:
    killed(world, broker, broker.topic(partitions=2), kills=20, seed=2)
