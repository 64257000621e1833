"""Events taken into the online state of a view of ten windowed aggregations, in an LMDB store on disk.

    python benchmarks/stream.py [EVENTS]

Two days of events in batches of 10,000, in time order: of 100,000 keys alike, then with one key that has every
twentieth of them, then of one key alone. `state` takes in batches as columns, and each is on disk at its end; `puts` is
the bare peer: the records that this wrote, byte by byte, put into a store of its own; `ingest` begins with rows as a
request brings them, and writes the log as well. Rates are by the wall and by the time of one core, for the rest is
waiting for the disk. Then what reads of those keys cost. TMPDIR says which disk is measured.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import ibis
import numpy as np
from ibis import _

from mainstem.features.online.view import OnlineView
from mainstem.features.views.compile import compile_view
from mainstem.graph.known import Known
from mainstem.nodes.definition import Definition
from mainstem.nodes.features import feature_view
from mainstem.nodes.instants import instant_of
from mainstem.nodes.sources import stream
from mainstem.stores.lmdb import LmdbStore
from mainstem.streaming.ingest import Ingest

KEYS, BATCH, HOT = 100_000, 10_000, "hot"
DAY = 86_400_000_000
INSTANT = "timestamp('UTC', 6)"
SCHEMA = {"id": "string", "at": INSTANT, "value": "float64"}

Columns = dict[str, list[Any]]


def source() -> Definition:
    node = stream("events", schema=SCHEMA, time="at", key="id")
    stored = ibis.table({**SCHEMA, "_seq": "int64", "_arrived": INSTANT}, name="events")
    return Definition("events", node, (), "-", schema=SCHEMA, read=stored, known=dict.fromkeys(SCHEMA, Known.at("at")))


def view_over(definition: Definition, store: LmdbStore, windows: Sequence[str] = ("1h", "1d")) -> OnlineView:
    """Five aggregations over each of the windows."""
    node = feature_view(
        definition.node,
        key="id",
        windows=windows,
        count=_.count(),
        total=_.value.sum(),
        mean=_.value.mean(),
        most=_.value.max(),
        spread=_.value.std(),
    )
    return OnlineView(compile_view(node, "view", definition), store)


def customer(number: int) -> str:
    """An ordinary key."""
    return f"customer-{number:06}"


def batches(events: int, share: float, count: int = KEYS) -> Iterator[Columns]:
    """Columns as the ingest makes them of a log, of `count` keys; of a `share` of the events the hot key is the key."""
    random = np.random.default_rng(7)
    names = np.array([customer(n) for n in range(count)], dtype=object)
    for start in range(0, events, BATCH):
        keys = names[random.integers(0, count, BATCH)]
        keys[random.random(BATCH) < share] = HOT
        at = [(start + n) * 2 * DAY // events for n in range(BATCH)]
        value = random.normal(50, 10, BATCH).round(3).tolist()
        seq = list(range(start, start + BATCH))
        yield {"id": keys.tolist(), "at": at, "value": value, "_seq": seq, "_arrived": at}


class Noted:
    """A writer that remembers what is put through it."""

    def __init__(self) -> None:
        self.puts: list[Mapping[bytes, bytes]] = []
        self._writer: Any = None

    def by(self, writer: Any) -> Any:
        self._writer = writer
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    def put(self, space: str, key: bytes, value: bytes) -> None:
        self.put_many(space, {key: value})

    def put_many(self, space: str, values: Mapping[bytes, bytes]) -> None:
        self.puts.append(values)
        self._writer.put_many(space, values)


@dataclass
class Clock:
    """Seconds of the wall and of this process, batch by batch."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def time(self, work: Callable[[], None]) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        self.wall.append(time.perf_counter() - wall)
        self.cpu.append(time.process_time() - cpu)

    def __str__(self) -> str:
        wall, cpu = (BATCH * len(spent) / sum(spent) for spent in (self.wall, self.cpu))
        return f"{wall:9,.0f} events/s by the wall   {cpu:9,.0f} by one core's time"


def state(label: str, directory: Path, events: int, share: float) -> None:
    store, peer = LmdbStore(directory / "state"), LmdbStore(directory / "peer")
    view = view_over(source(), store)
    clock, bare, written = Clock(), Clock(), 0
    for columns in batches(events, share):
        noted = Noted()

        def apply() -> None:
            with store.transaction() as writer:
                view.apply(noted.by(writer), columns, columns["_seq"][-1] + 1)  # noqa: B023

        def put() -> None:
            with peer.transaction() as writer:
                for put in noted.puts:  # noqa: B023
                    writer.put_many("peer", put)

        clock.time(apply)
        bare.time(put)
        written += sum(len(raw) for put in noted.puts for raw in put.values())
    print(f"{label:<20} state  {clock}   {written / events:5,.0f} bytes put for each")
    ratios = (sum(mine) / sum(its) for mine, its in ((clock.wall, bare.wall), (clock.cpu, bare.cpu)))
    print(f"{'':<20} puts   {bare}   the state takes {' and '.join(f'{ratio:.2f} ×' for ratio in ratios)} as long")
    reads(view, share)
    store.close()
    peer.close()


def reads(view: OnlineView, share: float) -> None:
    ordinary = [(customer(n),) for n in range(0, KEYS, 100)]
    if share < 1:
        print(f"{'':<20} reads  ten features of an ordinary key p50 {timed(view, ordinary):,.0f} µs")
    if share:
        hot = timed(view, [(HOT,)] * 20)
        print(f"{'':<20} reads  of the hot key p50 {hot:,.0f} µs, with {held(view):,} events in its window")


def held(view: OnlineView) -> int:
    found: int = view.read([(HOT,)], 2 * DAY)[0].values["count_1d"]
    return found


def timed(view: OnlineView, keys: list[tuple[str]]) -> float:
    """The median of microseconds."""
    found = []
    for key in keys:
        began = time.perf_counter()
        view.read([key], 2 * DAY)
        found.append((time.perf_counter() - began) * 1e6)
    return median(found)


def ingest(label: str, directory: Path, events: int) -> None:
    store, definition = LmdbStore(directory / "ingest"), source()
    taker = Ingest(definition, [view_over(definition, store)], store)
    clock = Clock()
    for columns in batches(events, 0):
        at = [instant_of(each).isoformat() for each in columns["at"]]
        rows = [dict(zip(SCHEMA, row, strict=True)) for row in zip(columns["id"], at, columns["value"], strict=True)]

        def take() -> None:
            accepted = taker.accept(rows, backfill=True)  # noqa: B023
            with store.transaction() as writer:
                taker.write(writer, accepted)

        clock.time(take)
    print(f"{label:<20} ingest {clock}")
    store.close()


def main(events: int = 2_000_000) -> None:
    gc.set_threshold(50_000, 20, 50)  # as the command line has it
    for label, share in ((f"{KEYS:,} keys alike", 0.0), ("a key with 5 %", 0.05), ("one key", 1.0)):
        with tempfile.TemporaryDirectory(prefix="mainstem-bench-") as directory:
            state(label, Path(directory), events, share)
    with tempfile.TemporaryDirectory(prefix="mainstem-bench-") as directory:
        ingest(f"{KEYS:,} keys alike", Path(directory), events)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
