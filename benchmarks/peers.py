"""Feast beside Mainstem: 20 latest values, of 100,000 examples as of their time, and of 1 and 100 entities online.

    python benchmarks/peers.py [--repeat 3] [--events 1000000] [--examples 100000]

Feast is installed by pip in an environment of its own, `.mainstem/bench/feast-VERSION`, when this is run for the first
time; it runs there as a child process that takes turns with this one, and each takes its own time.

History: from two Parquet files, 1,000,000 events of 20,000 keys and 100,000 examples, to Arrow. Feast does that by
pandas and Dask, which it has by default, or by DuckDB. Beside them stands DuckDB's own ASOF join of the same files. All
must agree. Feast sees what happens at `t` itself and Mainstem does not, but here nothing does; no view has a ttl. On
Dask Feast leaves out an example whose key has events, but none of them before its time: how many each store leaves
out is told, and they count as nulls.

Online: the newest values of each key, brought online from that file by `run` here and `materialize` there; read in
process by each one's public call, to Python values. Redis is a server on loopback; Feast can read one blob for each
entity, computed ahead, from it. Feast's registry never expires, so that it is not read again.

Aggregations over windows are not compared: Feast 0.67 has none in `get_historical_features` of these two stores, and
refuses them in its local compute engine and in what it computes as it serves; only its engines on Spark, Ray and
Trino have them, when features are brought online. Nor is what either takes over HTTP.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import duckdb
import ibis
import pyarrow as pa
import pyarrow.parquet as pq

import mainstem as ms
from _feast import VERSION, Feast
from _servers import redis
from _turns import Taken, Turn, agree, lines, take_turns, timed
from _worlds import ASOF, COLUMNS, MEASURES, dataset, examples, rows, tables
from mainstem.engines.duckdb import DuckdbEngine
from mainstem.ports import RawFiles

EACH = 50
"""Events of a key."""
PROJECT = """
[project]
name = "peers"
modules = ["definitions"]

[profile.measured]
online = "{online}"
"""
DEFINITIONS = f"""
import mainstem as ms

events = ms.files("../events.parquet", time="happened", schema={MEASURES!r})
latest = ms.feature_view(events, key="key", columns={COLUMNS!r})
"""


def write(root: Path, events: int, asked: int) -> None:
    keys = events // EACH
    for name, table in tables(rows(events, keys), examples(asked, keys)).items():
        pq.write_table(table, root / f"{name}.parquet")


# ── history ──────────────────────────────────────────────────────────────────────────────────────────


def by_hand(root: Path) -> pa.Table:
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        for name in ("events", "examples"):
            db.execute(f"CREATE VIEW {name} AS FROM '{root / name}.parquet'")
        return db.sql(ASOF).to_arrow_table()


def mainstem(root: Path, query: ibis.Table) -> pa.Table:
    paths = {name: RawFiles((str(root / f"{name}.parquet"),), "parquet") for name in ("events", "examples")}
    with DuckdbEngine().session(paths) as session:
        return session.fetch(query)


def completed(found: pa.Table, wanted: pa.Table) -> pa.Table:
    """What was found in the order of what is wanted, with nulls for the examples that were left out."""
    return wanted.select(["id"]).join(found, "id").sort_by("id")


def history(root: Path, feast: Feast, repeat: int) -> tuple[Taken, dict[str, int]]:
    """Seconds of each, and how many examples each of Feast's stores leaves out."""
    stores, left_out = {"Feast, DuckDB": "duckdb", "Feast, Dask": "dask"}, {}
    wanted = by_hand(root)
    query = dataset(MEASURES, columns=COLUMNS)
    agree("Mainstem", mainstem(root, query), wanted)
    for name, store in stores.items():
        feast("declare", store, offline=store, online={"type": "sqlite", "path": str(root / f"{store}.db")})
        feast("history", store, write=f"{store}.found")
        found = pq.read_table(root / f"{store}.found")
        left_out[name] = len(wanted) - len(found)
        agree(name, completed(found, wanted), wanted)
    sides: dict[str, Turn] = {"DuckDB": timed(lambda: by_hand(root)), "Mainstem": timed(lambda: mainstem(root, query))}
    sides |= {name: partial(feast, "history", store) for name, store in stores.items()}
    return take_turns(sides, repeat, warm=0), left_out


# ── online ───────────────────────────────────────────────────────────────────────────────────────────


class Ours:
    """Reads of a view of a project."""

    def __init__(self, project: ms.Project) -> None:
        self._view = project.online("latest")

    def seconds(self, batches: list[list[int]]) -> list[float]:
        """Of each read, to mappings of Python's own values."""
        taken = []
        for keys in batches:
            asked = [{"key": key} for key in keys]
            began = time.perf_counter()
            self._view.get(asked)
            taken.append(time.perf_counter() - began)
        return taken

    def rows(self, keys: list[int]) -> list[list[float]]:
        return [[row[name] for name in COLUMNS] for row in self._view.get([{"key": key} for key in keys])]


class Theirs:
    """Reads of one of Feast's stores, perhaps of what was computed ahead."""

    def __init__(self, feast: Feast, store: str, ahead: bool = False) -> None:
        self._feast, self._given = feast, {"name": store, "ahead": ahead}

    def seconds(self, batches: list[list[int]]) -> list[float]:
        taken: list[float] = self._feast("seconds", batches=batches, **self._given)
        return taken

    def rows(self, keys: list[int]) -> list[list[float]]:
        found: list[list[float]] = self._feast("rows", keys=keys, **self._given)
        return found


@contextmanager
def project(directory: Path, online: str = ".mainstem/online") -> Iterator[ms.Project]:
    """A project with the view, which has been run: the newest values are in its online store."""
    directory.mkdir()
    (directory / "mainstem.toml").write_text(PROJECT.format(online=online))
    (directory / "definitions.py").write_text(DEFINITIONS)
    with ms.load(directory, profile="measured") as found:
        found.run()
        yield found


@contextmanager
def readers(root: Path, feast: Feast) -> Iterator[dict[str, Ours | Theirs]]:
    """Every online store with the newest values in it; those on Redis where there is a server."""
    with ExitStack() as stack:
        found: dict[str, Ours | Theirs] = {"Mainstem, LMDB": Ours(stack.enter_context(project(root / "lmdb")))}
        feast("materialise", "dask")
        found["Feast, SQLite"] = Theirs(feast, "dask")
        if url := stack.enter_context(redis(root)):
            found["Mainstem, Redis"] = Ours(stack.enter_context(project(root / "redis", url)))
            address = url.removeprefix("redis://").split("/")[0]
            place = {"type": "redis", "connection_string": f"{address},db=1"}
            feast("declare", "redis", offline="dask", online=place)
            feast("materialise", "redis")
            feast("precompute", "redis")
            found |= {"Feast, Redis": Theirs(feast, "redis"), "Feast, Redis, ahead": Theirs(feast, "redis", ahead=True)}
        yield found


def online(root: Path, feast: Feast, keys: int, repeat: int) -> Iterator[tuple[str, Taken]]:
    """What is read, and seconds of each read."""
    with readers(root, feast) as found:
        some = random.Random(0).sample(range(1, keys), 100)
        wanted = table(found["Mainstem, LMDB"].rows(some))
        for name, reader in found.items():
            agree(name, table(reader.rows(some)), wanted)
        for count, times in ((1, 200), (100, 20)):
            asked = [random.Random(n).choices(range(1, keys), k=count) for n in range(times)]
            taken = take_turns({name: partial(reader.seconds, asked) for name, reader in found.items()}, 3 * repeat)
            yield f"20 features of {count} {'entity' if count == 1 else 'entities'}, online", taken


def table(rows: list[list[float]]) -> pa.Table:
    return pa.table(dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--examples", type=int, default=100_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mainstem-bench-") as directory:
        root = Path(directory)
        write(root, given.events, given.examples)
        with Feast(root, COLUMNS) as feast:
            taken, left_out = history(root, feast, given.repeat)
            print(f"20 latest values, {given.examples:,} examples × {given.events:,} events; Feast {VERSION}")
            print(*lines(taken), sep="\n")
            for name, count in left_out.items():
                print(f"  {name}: {count:,} examples left out, whose keys have no event before their time")
            for what, taken in online(root, feast, given.events // EACH, given.repeat):
                print(what, *lines(taken, "µs"), sep="\n")


if __name__ == "__main__":
    main()
