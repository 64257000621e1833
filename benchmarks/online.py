"""Features read in process: 20 latest features of one entity and of 100, from LMDB and from a Redis server on loopback.

    python benchmarks/online.py

Beside each stands the bare read of the same bytes from the same store: what is above it is decoding. Then five views of
one entity, together and one after the other, and what a durable commit of one event costs. TMPDIR says which disk is
measured; without redis-server only LMDB is.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ibis

from _servers import redis
from mainstem.features.online.packing import encode_key
from mainstem.features.online.view import META, OnlineView, Query, read_together
from mainstem.features.views.compile import compile_view
from mainstem.features.views.view import CompiledView
from mainstem.graph.known import Known
from mainstem.nodes.definition import Definition
from mainstem.nodes.features import feature_view
from mainstem.nodes.sources import stream
from mainstem.stores.lmdb import LmdbStore
from mainstem.stores.redis import RedisStore

ENTITIES, VIEWS = 10_000, 5
INSTANT = "timestamp('UTC', 6)"
FEATURES = {
    **{f"real{n}": "float64" for n in range(10)},
    **{f"whole{n}": "int64" for n in range(4)},
    **{f"flag{n}": "boolean" for n in range(2)},
    **{f"text{n}": "string" for n in range(4)},
}
VALUE: dict[str, Callable[[int], Any]] = {
    "float64": float,
    "int64": int,
    "boolean": lambda n: n % 2 == 0,
    "string": str,
}
NOW = 10**12

Store = LmdbStore | RedisStore


def view(name: str) -> CompiledView:
    """A view with 20 latest features over a stream."""
    schema = {"id": "string", "at": INSTANT, **FEATURES}
    node = stream("events", schema=schema, time="at")
    stored = ibis.table({**schema, "_seq": "int64", "_arrived": INSTANT}, name="events")
    known = dict.fromkeys(schema, Known.at("at"))
    source = Definition("events", node, (), "-", schema=schema, read=stored, known=known)
    return compile_view(feature_view(node, key="id", columns=list(FEATURES)), name, source)


def filled(store: Store) -> list[OnlineView]:
    """The views' states: two events of every entity."""
    found = [OnlineView(view(f"view{n}"), store) for n in range(VIEWS)]
    for turn in range(2):
        for start in range(0, ENTITIES, 1_000):
            entities = range(start, start + 1_000)
            at = [turn * ENTITIES + n for n in entities]
            columns = {name: [VALUE[kind](n) for n in entities] for name, kind in FEATURES.items()}
            events = {"id": [f"e{n}" for n in entities], "at": at, "_seq": at, "_arrived": at, **columns}
            with store.transaction() as writer:
                for each in found:
                    each.apply(writer, events)
    return found


def timed(work: Callable[[int], Any], times: int) -> float:
    """The median of microseconds; the first tenth warms up."""
    found = []
    for turn in range(times):
        began = time.perf_counter()
        work(turn)
        found.append((time.perf_counter() - began) * 1e6)
    return statistics.median(found[times // 10 :])


def measure(label: str, store: Store) -> None:
    views = filled(store)
    first = views[0]

    def keys(turn: int, count: int) -> list[tuple[str]]:
        return [(f"e{(turn * count + n) % ENTITIES}",) for n in range(count)]

    for count, times in ((1, 3_000), (100, 300)):
        bare = timed(lambda t: store.read(first.space, [META, *map(encode_key, keys(t, count))]), times)  # noqa: B023
        read = timed(lambda t: first.read(keys(t, count), NOW), times)  # noqa: B023
        what = f"{label}: 20 features of {count} {'entity' if count == 1 else 'entities'}"
        print(f"{what:<42} p50 {read:8,.0f} µs   {read / bare:5.2f} × the bare read, {bare:6,.0f} µs")
    together = timed(lambda t: read_together([Query(v, keys(t, 1), [NOW]) for v in views]), 1_000)
    apart = timed(lambda t: [v.read(keys(t, 1), NOW) for v in views], 1_000)
    what = f"{label}: {VIEWS} views of 1 entity, together"
    print(f"{what:<42} p50 {together:8,.0f} µs   {together / apart:5.2f} × one by one, {apart:6,.0f} µs")


def commit(label: str, store: Store) -> None:
    def write(turn: int) -> None:
        with store.transaction() as writer:
            writer.append("bench", [b"x" * 400])

    print(f"{f'{label}: a durable commit of one event':<42} p50 {timed(write, 500):8,.0f} µs   ({store.durability})")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="mainstem-bench-") as directory:
        lmdb = LmdbStore(Path(directory) / "lmdb")
        measure("LMDB", lmdb)
        commit("LMDB", lmdb)
        lmdb.close()
        with redis(Path(directory)) as url:
            if url is None:
                print("Redis: there is no redis-server here")
                return
            store = RedisStore(url, "bench", "main")
            measure("Redis", store)
            commit("Redis", store)
            store.close()


if __name__ == "__main__":
    main()
