"""Runs that are killed while they collect: afterwards every row of the source is there once."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from killing import Forks, source

KILLS = [2, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(1_800)])]
ROWS = 300
"""How many rows are new in each round."""


@dataclass
class World:
    """A source as an expression, and what adds rows to it: ids from a first one on."""

    text: str
    add: Callable[[range], None]


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    made = Forks()
    yield made
    made.close()


def row(id: int) -> dict[str, Any]:
    return {"id": id, "v": f"value {id}"}


# ── the kinds ─────────────────────────────────────────────────────────────────────────────────────────


def files(root: Path, request: pytest.FixtureRequest) -> World:
    (root / "data").mkdir()

    def add(ids: range) -> None:
        pq.write_table(pa.Table.from_pylist([row(id) for id in ids]), root / "data" / f"{ids.start:06}.parquet")

    return World("ms.files('data/*.parquet', key='id')", add)


def csv(root: Path, request: pytest.FixtureRequest) -> World:
    """One file that grows, and is read again as a whole."""
    (root / "all.csv").write_text("id,v\n")

    def add(ids: range) -> None:
        with (root / "all.csv").open("a") as file:
            file.writelines(f"{id},value {id}\n" for id in ids)

    return World("ms.files('all.csv', key='id')", add)


def _database(root: Path) -> Callable[[range], None]:
    with closing(sqlite3.connect(root / "shop.db")) as connection, connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")

    def add(ids: range) -> None:
        with closing(sqlite3.connect(root / "shop.db")) as connection, connection:
            connection.executemany("INSERT INTO t VALUES (?, ?)", [tuple(row(id).values()) for id in ids])

    return add


def database(root: Path, request: pytest.FixtureRequest) -> World:
    return World("ms.database('sqlite:///shop.db', table='t', key='id', cursor='id')", _database(root))


def merged(root: Path, request: pytest.FixtureRequest) -> World:
    text = "ms.database('sqlite:///shop.db', table='t', key='id', cursor='id', write='merge')"
    return World(text, _database(root))


def api(root: Path, request: pytest.FixtureRequest) -> World:
    site, rows = request.getfixturevalue("site"), list[dict[str, Any]]()

    def page(query: dict[str, str], sent: Any) -> Any:
        some = [each for each in rows if each["id"] >= int(query.get("id", 0))]
        at = int(query.get("page", 1)) - 1
        return 200, {}, json.dumps(some[at * 100 : at * 100 + 100]).encode()

    site.call("/rows", page)
    text = f"ms.api({site.url + '/rows'!r}, key='id', cursor='id', paging=ms.paging.page('page'))"
    return World(text, lambda ids: rows.extend(map(row, ids)))


def web(root: Path, request: pytest.FixtureRequest) -> World:
    site, rows = request.getfixturevalue("site"), list[dict[str, Any]]()

    def page(query: dict[str, str], sent: Any) -> Any:
        at = int(query.get("page", 0))
        found = "".join(f"<tr><td>{each['id']}</td><td>{each['v']}</td></tr>" for each in rows[at : at + 400])
        more = f"<a href='/rows?page={at + 400}'>more</a>" if rows[at + 400 :] else ""
        return 200, {"ETag": f'"{len(found)}{more}"'.replace("'", "")}, f"<table>{found}</table>{more}".encode()

    site.call("/rows", page)
    fields = {"id": "td:nth-child(1)", "v": "td:nth-child(2)"}
    text = f"ms.web({site.url + '/rows'!r}, rows='tr', fields={fields!r}, next='a', key='id')"
    return World(text, lambda ids: rows.extend(map(row, ids)))


def kafka(root: Path, request: pytest.FixtureRequest) -> World:
    broker = request.getfixturevalue("broker")
    topic = broker.topic(partitions=2)

    def add(ids: range) -> None:
        for partition in (0, 1):
            some = [json.dumps(row(id)).encode() for id in ids if id % 2 == partition]
            broker.send(topic, *some, partition=partition)

    schema = {"id": "int64", "v": "string"}
    return World(f"ms.kafka({broker.servers!r}, {topic!r}, schema={schema!r}, key='id')", add)


def dlt(root: Path, request: pytest.FixtureRequest) -> World:
    rows, file = list[dict[str, Any]](), root / "tickets.json"

    def add(ids: range) -> None:
        rows.extend(map(row, ids))
        file.write_text(json.dumps(rows))

    return World(f"ms.dlt(tickets({str(file)!r}), key='id')", add)


@pytest.fixture(params=[files, csv, database, merged, api, web, kafka, dlt])
def world(tmp_path: Path, request: pytest.FixtureRequest) -> World:
    (tmp_path / "mainstem.toml").write_text('[project]\nname = "shop"\nmodules = []\n')
    made: World = request.param(tmp_path, request)
    return made


# ── the kills ─────────────────────────────────────────────────────────────────────────────────────────


def stored(root: Path, world: World) -> dict[int, str]:
    """What is published: each row once."""
    with source(root, world.text) as project:
        found = project.table("rows").to_pyarrow().to_pylist()
    values = {int(each["id"]): each["v"] for each in found}
    assert len(values) == len(found), "a row is there twice"
    return values


@pytest.mark.parametrize("kills", KILLS)
def test_every_row_is_there_once_after_kills(tmp_path: Path, world: World, forks: Forks, kills: int) -> None:
    """Add rows and kill the collection, again and again; then collect to the end."""
    chance = random.Random(kills)
    world.add(range(ROWS))
    with source(tmp_path, world.text) as project:
        project.run()
    expected, span = {id: f"value {id}" for id in range(ROWS)}, 0.25
    for kill in range(1, kills + 1):
        ids = range(kill * ROWS, kill * ROWS + ROWS)
        world.add(ids)
        expected |= {id: f"value {id}" for id in ids}
        if kill == 2:  # the moments are spread over the time that a run takes
            span = 1.1 * forks.run(tmp_path, world.text, None, "collect rows")
            assert stored(tmp_path, world) == expected
        else:
            forks.run(tmp_path, world.text, chance.random() * span, "collect rows")
            assert stored(tmp_path, world).items() <= expected.items()
    with source(tmp_path, world.text) as project:
        project.run()
    assert stored(tmp_path, world) == expected
