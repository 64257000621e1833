"""Every built-in kind of source passes the suite that a package's own has to pass."""

import json
import sqlite3
from contextlib import closing

import duckdb
import pytest

from mainstem.nodes.apis import api
from mainstem.nodes.databases import database
from mainstem.nodes.files import files
from mainstem.nodes.kafka import kafka
from mainstem.nodes.web import web
from mainstem.testing.contracts.source import SourceContract, World

FIRST = ((1, "a"), (2, "b"))
NOWHERE = "http://127.0.0.1:9"


class TestFiles(SourceContract):
    @pytest.fixture
    def world(self, tmp_path):
        def add(id, name):
            (tmp_path / f"{id}.csv").write_text(f"id,name\n{id},{name}\n")

        for row in FIRST:
            add(*row)
        return World(tmp_path, files("*.csv"), files("absent/*.csv"), add)


@pytest.fixture
def registry(tmp_path):
    """Adds a row to a table of a SQLite database."""

    def add(id, name):
        with closing(sqlite3.connect(tmp_path / "registry.db")) as connection, connection:
            connection.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER, name TEXT)")
            connection.execute("INSERT INTO t VALUES (?, ?)", (id, name))

    for row in FIRST:
        add(*row)
    return add


class TestDatabase(SourceContract):
    @pytest.fixture
    def world(self, tmp_path, registry):
        here, absent = "sqlite:///registry.db", "sqlite:///absent.db"
        return World(tmp_path, database(here, table="t"), database(absent, table="t"), registry)


class TestDatabaseFromACursor(SourceContract):
    @pytest.fixture
    def world(self, tmp_path, registry):
        source, absent = (
            database(url, table="t", cursor="id") for url in ("sqlite:///registry.db", "sqlite:///absent.db")
        )
        return World(tmp_path, source, absent, registry)


class TestDatabaseThatIsMerged(SourceContract):
    @pytest.fixture(params=[{}, {"cursor": "id", "lag": 1}])
    def world(self, tmp_path, registry, request):
        source, absent = (
            database(url, table="t", key="id", write="merge", **request.param)
            for url in ("sqlite:///registry.db", "sqlite:///absent.db")
        )
        return World(tmp_path, source, absent, registry)


class TestDuckdb(SourceContract):
    @pytest.fixture
    def world(self, tmp_path):
        def add(id, name):
            with duckdb.connect(tmp_path / "registry.duckdb") as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS t (id BIGINT, name VARCHAR)")
                connection.execute("INSERT INTO t VALUES (?, ?)", [id, name])

        for row in FIRST:
            add(*row)
        here, absent = "duckdb:///registry.duckdb", "duckdb:///absent.duckdb"
        return World(tmp_path, database(here, table="t"), database(absent, table="t"), add)


@pytest.fixture
def items(site):
    """Adds an item to what an API answers: those at the cursor or beyond it."""
    there = []

    def add(id, name):
        there.append({"id": id, "name": name})
        site.json("/all", there)

    def beyond(query, _):
        found = [item for item in there if item["id"] >= int(query.get("id", 0))]
        return 200, {}, json.dumps(found).encode()

    site.call("/beyond", beyond)
    for row in FIRST:
        add(*row)
    return add


class TestApi(SourceContract):
    @pytest.fixture
    def world(self, tmp_path, site, items):
        return World(tmp_path, api(f"{site.url}/all", paging="none"), api(f"{NOWHERE}/all", paging="none"), items)


class TestApiFromACursor(SourceContract):
    @pytest.fixture
    def world(self, tmp_path, site, items):
        source, absent = (api(f"{url}/beyond", cursor="id", paging="none") for url in (site.url, NOWHERE))
        return World(tmp_path, source, absent, items)


class TestWeb(SourceContract):
    @pytest.fixture
    def world(self, tmp_path, site):
        rows = []

        def add(id, name):
            rows.append(f"<tr><td class=id>{id}</td><td class=name>{name}</td></tr>")
            site.text("/page", f"<table>{''.join(rows)}</table>", ETag=f'"{len(rows)}"')

        for row in FIRST:
            add(*row)
        fields = {"id": "td.id", "name": "td.name"}
        source, absent = (web(f"{url}/page", rows="tr", fields=fields) for url in (site.url, NOWHERE))
        return World(tmp_path, source, absent, add)


class TestKafka(SourceContract):
    @pytest.fixture
    def world(self, tmp_path, broker):
        topic = broker.topic(partitions=2)

        def add(id, name):
            broker.send(topic, json.dumps({"id": id, "name": name}), partition=id % 2)

        for row in FIRST:
            add(*row)
        return World(tmp_path, kafka(broker.servers, topic), kafka(broker.servers, f"{topic}-absent"), add)
