"""Runs that are killed while they deliver: afterwards every row is at the target once."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import mainstem as ms
from killing import Forks
from s3 import s3_server
from sinking import Shop, messages

KILLS = [2, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(1_800)])]
ROWS = 400
There = dict[int, Any]


@dataclass
class Place:
    """A target as an expression, and what is there: the value of each key. If it is `atomic`, that is always one whole
    version."""

    to: str
    there: Callable[[], There]
    atomic: bool = True


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    made = Forks()
    yield made
    made.close()


# ── the places ────────────────────────────────────────────────────────────────────────────────────────


def postgresql(root: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    url = request.getfixturevalue("postgresql")
    with psycopg.connect(f"{url}/postgres", autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS killed WITH (FORCE)")
        admin.execute("CREATE DATABASE killed")
    with psycopg.connect(f"{url}/killed", autocommit=True) as connection:

        def there() -> There:
            if connection.execute("SELECT to_regclass('t')").fetchall() == [(None,)]:
                return {}
            return dict(connection.execute("SELECT id, v FROM t").fetchall())

        yield Place(f"ms.database({url!r} + '/killed', table='t')", there)


def mariadb(root: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    server = request.getfixturevalue("mariadb")
    server.run("DROP DATABASE IF EXISTS killed", "CREATE DATABASE killed CHARACTER SET utf8mb4")

    def there() -> There:
        found = server.run("SHOW TABLES LIKE 't'", database="killed")
        return dict(server.run("SELECT id, v FROM t", database="killed")) if found else {}

    yield Place(f"ms.database({server.url.rpartition('/')[0] + '/killed'!r}, table='t')", there)


def sqlite(root: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    def there() -> There:
        with closing(sqlite3.connect(root / "out.db")) as connection:
            if not connection.execute("PRAGMA table_info(t)").fetchall():
                return {}
            return dict(connection.execute("SELECT id, v FROM t").fetchall())

    yield Place("ms.database('sqlite:///out.db', table='t')", there)


def in_duckdb(root: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    def there() -> There:
        with duckdb.connect(str(root / "out.duckdb")) as connection:
            if ("t",) not in connection.execute("SHOW TABLES").fetchall():
                return {}
            return dict(connection.execute("SELECT id, v FROM t").fetchall())

    yield Place("ms.database('duckdb:///out.duckdb', table='t')", there)


def one_file(root: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    def there() -> There:
        file = root / "out" / "all.csv"
        return _values(pyarrow.csv.read_csv(file)) if file.exists() else {}

    yield Place("ms.files('out/all.csv')", there)


def files(root: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    def there() -> There:
        return _values(pa.concat_tables(map(pq.read_table, (root / "out").glob("*.parquet"))))

    yield Place("ms.files('out/*.parquet')", there, atomic=False)


def objects(root: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    with s3_server() as server:
        server.system.create_dir("killed")

        def there() -> There:
            return _values(pq.read_table("killed/rows", filesystem=server.system))

        yield Place(f"ms.files('s3://killed/rows/*.parquet', storage={server.storage!r})", there, atomic=False)


def topic(root: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    broker = request.getfixturevalue("broker")
    name = broker.topic()

    def there() -> There:
        last = There()
        for key, value, _ in messages(broker, name):
            before = last.get(key["id"])  # a tombstone may come for a key whose message was never committed
            assert value is None or value != before, "a change came twice"
            last[key["id"]] = value
        return {n: value["v"] for n, value in last.items() if value is not None}

    yield Place(f"ms.kafka({broker.servers!r}, {name!r})", there, atomic=False)


def _values(rows: pa.Table) -> There:
    found = dict(zip(rows["id"].to_pylist(), rows["v"].to_pylist(), strict=True))
    assert len(found) == rows.num_rows, "a row is there twice"
    return found


@pytest.fixture(params=[postgresql, mariadb, sqlite, in_duckdb, one_file, files, objects, topic])
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    yield from request.param(tmp_path, request)


# ── the kills ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kills", KILLS)
def test_every_row_is_there_once_after_kills(tmp_path: Path, place: Place, forks: Forks, kills: int) -> None:
    """Change rows and kill the delivery, again and again; then deliver to the end."""
    shop, chance, versions = Shop(tmp_path, eval(place.to, {"ms": ms})), random.Random(kills), [There()]
    rows = {n: {"id": n, "v": 0, "text": "x" * 500} for n in range(ROWS)}
    span = 0.25
    for kill in range(kills):
        for n in chance.sample(sorted(rows), ROWS // 4):
            rows[n] = {**rows[n], "v": kill + 1}
        del rows[chance.choice(sorted(rows))]
        rows[ROWS + kill] = {"id": ROWS + kill, "v": 0, "text": "new"}
        versions.append({n: row["v"] for n, row in rows.items()})
        shop.write("1", list(rows.values()))
        if kill == 2:  # the moments are spread over the time that a delivery takes
            span = 1.1 * forks.run(tmp_path, place.to, None)
            assert place.there() == versions[-1]
        else:
            forks.run(tmp_path, place.to, chance.random() * span)
        if place.atomic:
            assert place.there() in versions
    shop.run()
    assert place.there() == versions[-1]
