"""A topic of messages of 200 bytes into the lake, and into the log and ten features, beside the client alone.

    python benchmarks/kafka.py [MESSAGES]

The broker runs on this machine, with the topic in four partitions. `client` is confluent-kafka, which consumes the same
topic and does nothing with it. `lake` is a run that collects it. `log and features` is what `mainstem serve` does: each
transaction of the LMDB store has messages, their offsets, and the features of ten windowed aggregations by 10,000 keys.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mainstem as ms
from _servers import kafka
from mainstem.project.live import service
from mainstem.serving.feeders import Feeders

PARTITIONS, KEYS = 4, 10_000

PROJECT = """
import mainstem as ms
from ibis import _

SCHEMA = {{"id": "int64", "customer": "string", "amount": "float64", "at": "timestamp('UTC', 6)", "note": "string"}}
topic = ms.kafka("{servers}", "{topic}", schema=SCHEMA)
sales = ms.stream("sales", schema=SCHEMA, time="at", key="id", from_=topic)
customer = ms.feature_view(sales, key="customer", windows=["1h", "1d"], grace="1d",
    count=_.count(), total=_.amount.sum(), mean=_.amount.mean(), most=_.amount.max(), spread=_.amount.std())
"""


def messages(count: int) -> Iterator[tuple[str, bytes]]:
    """Keys and values of 200 bytes."""
    begin = datetime.now(UTC) - timedelta(hours=2)
    for number in range(count):
        customer = f"customer-{number * 7_919 % KEYS:05}"
        at = (begin + timedelta(seconds=number * 3_600 / count)).isoformat()
        row = {"id": number, "customer": customer, "amount": number % 1_000 / 10, "at": at, "note": ""}
        bare = json.dumps(row)
        yield customer, bare.replace('"note": ""', f'"note": "{"x" * (200 - len(bare))}"').encode()


def produce(broker: Any, topic: str, count: int) -> None:
    producer = broker.producer(linger_ms="20")
    for number, (key, value) in enumerate(messages(count)):
        while True:
            try:
                producer.produce(topic, value, key=key)
                break
            except BufferError:
                producer.poll(0.1)
        if number % 1_000 == 0:
            producer.poll(0)
    producer.flush()


def client(broker: Any, topic: str, count: int) -> float:
    """Seconds to consume the topic and drop it."""
    from confluent_kafka import Consumer, TopicPartition

    settings = {"bootstrap.servers": broker.servers, "group.id": "peer", "isolation.level": "read_committed"}
    consumer = Consumer({**settings, "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    began, seen = time.perf_counter(), 0
    while seen < count:
        seen += sum(len(found.value()) > 0 for found in consumer.consume(min(5_000, count - seen), 1.0))
    spent = time.perf_counter() - began
    consumer.close()
    return spent


def lake(project: Any, count: int) -> float:
    began = time.perf_counter()
    run = project.run(select="topic")
    spent = time.perf_counter() - began
    assert run.steps[0].rows_in == count, run.steps[0]
    return spent


def log_and_features(project: Any, root: Path, count: int) -> float:
    served = service(project)
    served.start()
    began = time.perf_counter()
    feeders = Feeders(served, root)
    feeders.refresh()
    while served.store.end("events/sales") < count:
        time.sleep(0.01)
    spent = time.perf_counter() - began
    feeders.close()
    served.close()
    return spent


def main(count: int = 1_000_000) -> None:
    gc.set_threshold(50_000, 20, 50)  # as the command line has it
    with tempfile.TemporaryDirectory(prefix="mainstem-bench-") as directory, kafka(Path(directory)) as broker:
        if broker is None:
            print("Java and Maven are not installed: no broker")
            return
        topic, root = broker.topic(partitions=PARTITIONS), Path(directory) / "project"
        root.mkdir()
        (root / "mainstem.toml").write_text('[project]\nname = "bench"\nmodules = ["bench"]\n')
        (root / "bench.py").write_text(PROJECT.format(servers=broker.servers, topic=topic))
        with ms.load(root) as project:
            project.run(select="sales+")  # while the topic is empty: a run takes what a topic has
            produce(broker, topic, count)
            spent = {"client": client(broker, topic, count), "lake": lake(project, count)}
            spent["log and features"] = log_and_features(project, root, count)
        for name, seconds in spent.items():
            share = "" if name == "client" else f"   {spent['client'] / seconds:.2f} of the client alone"
            print(f"{name:<18} {count:,} messages of 200 bytes {seconds:6.1f} s {count / seconds:>10,.0f}/s{share}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
