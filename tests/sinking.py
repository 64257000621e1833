"""A project with one source of files and one sink, for the tests of sinks."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import mainstem as ms
from mainstem import settings
from mainstem.nodes.base import Node
from mainstem.project.project import Project

AT = datetime(2013, 1, 1, 10, 0, 0, 1, UTC)
EVERY = pa.table(
    {
        "id": pa.array(["a", "A", "ü😀"]),
        "flag": pa.array([True, None, False]),
        "n": pa.array([2**63 - 1, None, -5]),
        "x": pa.array([0.1, None, -1e300]),
        "d": pa.array([Decimal("123456789.125"), None, Decimal("-0.001")], pa.decimal128(20, 3)),
        "at": pa.array([AT, None, AT], pa.timestamp("us", "UTC")),
        "day": pa.array([date(2013, 1, 1), None, date(1, 1, 1)]),
        "hour": pa.array([time(23, 59, 59, 1), None, time(0)], pa.time64("us")),
        "raw": pa.array([b"\x00\xff", None, b""]),
        "tags": pa.array([["a", "b"], None, []], pa.list_(pa.string())),
    }
)
PLAIN = EVERY.set_column(9, "tags", pa.array(['["a", "b"]', None, "[]"]))


@dataclass
class Shop:
    """A project at `root`. `to` is the target of its sink `out`; `more` are settings of the sink."""

    root: Path
    to: Any
    more: dict[str, Any] = field(default_factory=dict)
    key: str | None = "id"

    def __post_init__(self) -> None:
        (self.root / "data").mkdir(parents=True, exist_ok=True)
        if not (self.root / "mainstem.toml").exists():
            (self.root / "mainstem.toml").write_text('[project]\nname = "shop"\nmodules = []\n')

    def write(self, name: str, rows: list[dict[str, Any]] | pa.Table) -> None:
        """Write a file of the source; it replaces one of that name."""
        table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows)
        pq.write_table(table, self.root / "data" / f"{name}.parquet")

    def opened(self, **more: Node) -> Project:
        rows = ms.files("data/*.parquet", key=self.key)
        return Project(settings.load(self.root), {"rows": rows, "out": ms.sink(rows, to=self.to, **self.more), **more})

    def run(self, select: str | None = None) -> str:
        """Run, and return what the delivery told: rows and message."""
        with self.opened() as project:
            return told(project.run(select))


def told(record: Any) -> str:
    step = next((step for step in record.steps if step.kind == "deliver"), None)
    return "no step" if step is None else f"{step.published}; {step.message}"


def messages(broker: Any, topic: str) -> list[tuple[Any, Any, dict[str, bytes]]]:
    """The committed messages of a topic with one partition. No producer is in a transaction: a cluster answers that it
    has ended one before readers see the end, so this waits for the last offset."""
    from confluent_kafka import Consumer, TopicPartition

    settings = {"bootstrap.servers": broker.servers, "group.id": "look", "enable.partition.eof": True, "log_level": 0}
    found, start = [], TopicPartition(topic, 0, 0)
    with closing(Consumer({**settings, "isolation.level": "read_uncommitted"})) as consumer:
        _, end = consumer.get_watermark_offsets(start, timeout=30)
    with closing(Consumer({**settings, "isolation.level": "read_committed"})) as consumer:
        consumer.assign([start])
        while True:
            message = consumer.poll(30)
            assert message is not None, f"a transaction does not end before {end}"
            if message.error():
                if message.offset() >= end:
                    return found
                continue
            value = message.value()
            found.append((json.loads(message.key()), value and json.loads(value), dict(message.headers())))
