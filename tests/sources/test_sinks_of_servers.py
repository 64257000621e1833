"""Sinks to real servers: PostgreSQL, MariaDB, S3 and Kafka, and what they do when the server refuses or goes away."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pymysql
import pytest
from confluent_kafka.admin import NewTopic

import mainstem as ms
from mainstem.errors import DeliveryFailed
from mainstem.graph.fingerprint import digest
from mainstem.nodes.deliveries import Delivery
from mainstem.sources.sinks.folders import folder_of
from mainstem.sources.sinks.kafka import KafkaTarget
from s3 import Server, s3_server
from sinking import EVERY, PLAIN, Shop, messages

FIRST = [{"id": 1, "name": "ann"}, {"id": 2, "name": "bob"}]


def shop_at(root: Path, to: Any) -> Shop:
    made = Shop(root, to)
    made.write("1", FIRST)
    return made


def cause(shop: Shop) -> Any:
    with pytest.raises(DeliveryFailed) as failure:
        shop.run()
    return failure.value.causes[0]


# ── PostgreSQL ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def postgres(postgresql: str) -> Iterator[Any]:
    """A database of its own: its URL, and a function that runs SQL."""
    with psycopg.connect(f"{postgresql}/postgres", autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS sinks WITH (FORCE)")
        admin.execute("CREATE DATABASE sinks")

    def run(sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(f"{postgresql}/sinks", autocommit=True, options="-c timezone=UTC") as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

    yield f"{postgresql}/sinks", run


def test_postgresql_has_every_type_and_only_what_changed_is_merged(tmp_path: Path, postgres: Any) -> None:
    url, run = postgres
    shop = shop_at(tmp_path, ms.database(url, table="every"))
    shop.write("1", EVERY)
    assert shop.run().startswith("3;")
    types = dict(
        run(
            "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = 'every'::regclass AND attnum > 0"
        )
    )
    assert types["d"] == "numeric(20,3)" and types["at"] == "timestamp with time zone" and types["raw"] == "bytea"
    found = {row[0]: row for row in run("SELECT * FROM every")}
    wanted = {row["id"]: tuple(row.values()) for row in PLAIN.to_pylist()}
    assert {key: tuple(map(str, row)) for key, row in found.items()} == {
        key: tuple(map(str, row)) for key, row in wanted.items()
    }
    before = run("SELECT id, xmin::text FROM every ORDER BY id")
    shop.write("2", EVERY.slice(0, 1).set_column(0, "id", pa.array(["new"])))
    assert shop.run().startswith("1;")
    after = dict(run("SELECT id, xmin::text FROM every"))
    assert all(after[key] == version for key, version in before)  # their rows were not touched
    assert len(after) == 4


def test_postgresql_casts_into_columns_that_are_there_and_refuses_what_they_do_not_hold(
    tmp_path: Path, postgres: Any
) -> None:
    url, run = postgres
    run("CREATE SCHEMA crm; CREATE TABLE crm.people (id integer, name jsonb, note text)")
    shop = shop_at(tmp_path, ms.database(url, table="crm.people"))
    shop.write("1", [{"id": 1, "name": '{"a": 1}'}])
    shop.run()
    assert run("SELECT id, name, note FROM crm.people") == [(1, {"a": 1}, None)]
    shop.write("1", [{"id": 2**40, "name": "{}"}])
    found = cause(shop)
    assert found.what == "the database refused the rows" and "integer out of range" in found.got
    assert run("SELECT id FROM crm.people") == [(1,)]
    run("ALTER TABLE crm.people ALTER name TYPE varchar(3) USING 'x'")
    shop.write("1", [{"id": 5, "name": "too long"}])
    assert "too long for type" in cause(shop).got
    run("ALTER TABLE crm.people ALTER id TYPE real")
    assert cause(shop).what == "the column 'id' of the target does not hold the values"


def test_a_server_that_is_away_is_told_without_its_password_and_delivered_later(tmp_path: Path, free_port: Any) -> None:
    shop = shop_at(tmp_path, ms.database(f"postgresql://me:s3cret@127.0.0.1:{free_port()}/x", table="t"))
    found = cause(shop)
    assert found.what == "the database cannot be reached" and found.transient and "s3cret" not in str(found)


def passed(shop: Shop, run: Any) -> None:
    """Deliver rows of which a new one has the unique value of one that is gone."""
    run("CREATE TABLE u (id integer PRIMARY KEY, name varchar(9) UNIQUE)")
    run("INSERT INTO u VALUES (9, 'other')")
    shop.run()
    shop.write("1", [{"id": 2, "name": "bob"}, {"id": 3, "name": "ann"}])
    shop.more = {"columns": ["name", "id"]}
    assert shop.run().startswith("2; 1 removed")
    assert sorted(run("SELECT * FROM u")) == [(2, "bob"), (3, "ann"), (9, "other")]


def test_postgresql_passes_a_unique_value_to_a_new_row(tmp_path: Path, postgres: Any) -> None:
    url, run = postgres
    passed(shop_at(tmp_path, ms.database(url, table="u")), run)


LATE = (
    "UPDATE mainstem_deliveries SET mark = 'late'",
    "INSERT INTO t VALUES (3, 'late'), (4, 'gone')",
    f"INSERT INTO mainstem_keys_{digest('shop/out', 't')} VALUES (3), (4)",
)
"""What a killed run has sent, whose transaction the server ends later."""


def late(connection: Any) -> threading.Timer:
    """Execute it, and commit after a second. Otherwise the inserts of a run in between fail: the key is there."""
    cursor = connection.cursor()
    for statement in LATE:
        cursor.execute(statement)
    made = threading.Timer(1, connection.commit)
    made.start()
    return made


def test_postgresql_may_end_the_transaction_of_a_killed_run_late(tmp_path: Path, postgres: Any) -> None:
    url, run = postgres
    shop = shop_at(tmp_path, ms.database(url, table="t"))
    shop.run()
    with psycopg.connect(url) as connection:
        timer = late(connection)
        shop.write("2", [{"id": 3, "name": "cy"}])
        assert shop.run().startswith("3; 1 removed")
        timer.join()
    assert run("SELECT * FROM t ORDER BY id") == [(1, "ann"), (2, "bob"), (3, "cy")]


# ── MariaDB ───────────────────────────────────────────────────────────────────────────────────────────


def test_mariadb_has_every_type_and_tells_keys_apart(tmp_path: Path, mariadb: Any) -> None:
    mariadb.run("DROP TABLE IF EXISTS every, mainstem_deliveries")
    shop = shop_at(tmp_path, ms.database(mariadb.url, table="every"))
    more = pa.concat_tables([EVERY, EVERY.slice(0, 1).set_column(0, "id", pa.array(["a "]))])
    shop.write("1", more)
    assert shop.run().startswith("4;")  # "a", "A" and "a " are three keys
    found = {row[0]: row[1:] for row in mariadb.run("SELECT * FROM every")}
    assert found["A"] == (None,) * 9
    first = EVERY.to_pylist()[0]
    assert found["a"][1:4] == (first["n"], first["x"], first["d"])
    assert found["a"][4] == first["at"].replace(tzinfo=None) and found["a"][7] == b"\x00\xff"
    assert found["a"][8] == '["a", "b"]'
    shop.write("1", more.slice(1, 2))
    assert "2 removed" in shop.run()
    assert sorted(row[0] for row in mariadb.run("SELECT id FROM every")) == ["A", "ü😀"]
    mariadb.run("UPDATE mainstem_deliveries SET mark = ''", "INSERT INTO every (id) VALUES ('stray')")
    shop.write("2", EVERY.slice(0, 1))
    shop.run()
    assert sorted(row[0] for row in mariadb.run("SELECT id FROM every")) == ["A", "a", "stray", "ü😀"]


def test_mariadb_passes_a_unique_value_to_a_new_row(tmp_path: Path, mariadb: Any) -> None:
    mariadb.run("DROP TABLE IF EXISTS u, mainstem_deliveries")
    passed(shop_at(tmp_path, ms.database(mariadb.url, table="u")), mariadb.run)


def test_mariadb_may_end_the_transaction_of_a_killed_run_late(tmp_path: Path, mariadb: Any) -> None:
    mariadb.run("DROP TABLE IF EXISTS t, mainstem_deliveries")
    shop = shop_at(tmp_path, ms.database(mariadb.url, table="t"))
    shop.run()
    with closing(pymysql.connect(host="127.0.0.1", port=mariadb.port, user="mainstem", database="test")) as connection:
        timer = late(connection)
        shop.write("2", [{"id": 3, "name": "cy"}])
        assert shop.run().startswith("3; 1 removed")
        timer.join()
    assert sorted(mariadb.run("SELECT * FROM t")) == [(1, "ann"), (2, "bob"), (3, "cy")]


# ── S3 ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def s3() -> Iterator[Server]:
    with s3_server() as server:
        server.system.create_dir("sinks")
        yield server


def test_files_at_an_object_store_are_written_once_and_removed(tmp_path: Path, s3: Server) -> None:
    shop = shop_at(tmp_path, ms.files("s3://sinks/rows/*.parquet", storage=s3.storage))
    shop.run()
    shop.write("2", [{"id": 3, "name": "cy"}])
    assert shop.run() == "1; to s3://sinks/rows/*.parquet"
    assert pq.read_table("sinks/rows", filesystem=s3.system).num_rows == 3
    shop.write("2", [{"id": 4, "name": "di"}, {"id": 5, "name": "ed"}])
    shop.run()
    assert sorted(pq.read_table("sinks/rows", filesystem=s3.system)["id"].to_pylist()) == [1, 2, 4, 5]
    shop.to = ms.files("s3://sinks/all.csv", storage=s3.storage)
    shop.run()
    with s3.system.open_input_stream("sinks/all.csv") as stream:
        assert len(stream.read().splitlines()) == 5
    shop.to = ms.files("s3://nowhere/all.csv", storage=s3.storage)
    found = cause(shop)
    assert found.what == "a file cannot be written" and "secret-of-tests" not in str(found)


def test_an_upload_that_is_interrupted_leaves_the_old_object_or_the_new_one(tmp_path: Path, s3: Server) -> None:
    folder, file = folder_of(ms.files("s3://sinks/cut/all.csv", storage=s3.storage), tmp_path), tmp_path / "rows"
    file.write_bytes(b"old")
    folder.put(file, "all.csv")
    file.write_bytes(b"x" * 40 * 2**20)
    timer = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        timer.start()
        folder.put(file, "all.csv")
        timer.join()
    assert s3.system.get_file_info("sinks/cut/all.csv").size in (3, 40 * 2**20)


# ── Kafka ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_topic_gets_a_message_for_each_row_that_changed(tmp_path: Path, broker: Any) -> None:
    topic = broker.topic()
    shop = shop_at(tmp_path, ms.kafka(broker.servers, topic))
    assert shop.run() == f"2; to topic {topic}"
    shop.write("1", [{"id": 1, "name": "anna"}])
    assert shop.run() == f"1; 1 removed; to topic {topic}"
    found = messages(broker, topic)
    assert sorted(found[:2], key=str)[0][:2] == ({"id": 1}, {"id": 1, "name": "ann"})
    assert [each[:2] for each in found[2:]] == [({"id": 1}, {"id": 1, "name": "anna"}), ({"id": 2}, None)]
    with shop.opened() as project:
        snapshot = project.release.tables["rows"].id
    assert found[-1][2] == {"mainstem-sink": b"out", "mainstem-snapshot": str(snapshot).encode()}


def test_messages_whose_end_the_state_does_not_know_are_not_repeated(tmp_path: Path, broker: Any) -> None:
    topic = broker.topic()
    shop = shop_at(tmp_path, ms.kafka(broker.servers, topic))
    shop.run()
    with shop.opened() as project:
        state = project.adapters.state
        sent = state.get(Delivery, "main/out")
        assert sent is not None
        state.save(Delivery("main/out", "out", begun=sent.held))  # a kill between the commit and the record of it
    assert shop.run() == f"0; to topic {topic}"
    assert len(messages(broker, topic)) == 2


def test_all_rows_come_to_a_topic_after_a_delivery_that_was_cut_before_it_wrote(
    tmp_path: Path, broker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = broker.topic()
    shop = shop_at(tmp_path, ms.kafka(broker.servers, topic))
    for rows in ([{"id": 9, "name": "zoe"}], FIRST):
        shop.write("1", rows)
        with monkeypatch.context() as patch:
            patch.setattr(KafkaTarget, "write", _interrupted)
            with pytest.raises(KeyboardInterrupt):
                shop.run()
    assert shop.run() == f"2; 1 removed; to topic {topic}"
    assert sorted(told(broker, topic)) == [(1, "ann"), (2, "bob"), (9, None)]


def _interrupted(*_: Any) -> None:
    raise KeyboardInterrupt


def told(broker: Any, topic: str) -> list[tuple[int, str | None]]:
    """The messages of a topic: ids, and the names or None for a tombstone."""
    return [(key["id"], value and value["name"]) for key, value, _ in messages(broker, topic)]


def test_all_rows_that_are_sent_to_a_topic_again_come_with_tombstones(tmp_path: Path, broker: Any) -> None:
    topic = broker.topic()
    shop = shop_at(tmp_path, ms.kafka(broker.servers, topic))
    shop.run()
    shop.more = {"columns": ["name", "id"]}
    shop.write("1", [{"id": 1, "name": "anna"}])
    assert shop.run() == f"1; 1 removed; to topic {topic}"
    assert told(broker, topic)[2:] == [(1, "anna"), (2, None)]
    shop.more = {"key": "name"}
    found = cause(shop)
    assert (found.what, found.got) == ("the target has rows by another key", "key=name")
    assert "another topic" in found.hint and len(told(broker, topic)) == 4


def test_another_cluster_and_a_topic_that_was_made_again_get_all_rows(
    tmp_path: Path, broker: Any, mortal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = "again"
    for each in (broker, mortal):
        each.admin().create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    monkeypatch.setenv("BROKERS", broker.servers)
    shop = shop_at(tmp_path, ms.kafka("${env:BROKERS}", topic))
    shop.run()
    shop.write("2", [{"id": 3, "name": "cy"}])
    monkeypatch.setenv("BROKERS", mortal.servers)
    assert shop.run().startswith("3;")
    assert sorted(told(mortal, topic)) == [(1, "ann"), (2, "bob"), (3, "cy")]
    mortal.admin().delete_topics([topic])[topic].result(30)
    mortal.admin().create_topics([NewTopic(topic, 1, 1)])[topic].result(30)
    shop.write("2", [{"id": 4, "name": "di"}])
    assert shop.run().startswith("3;")
    assert sorted(told(mortal, topic)) == [(1, "ann"), (2, "bob"), (4, "di")]


def test_a_topic_that_is_missing_fails_the_delivery(tmp_path: Path, broker: Any) -> None:
    assert "does not exist" in cause(shop_at(tmp_path, ms.kafka(broker.servers, "no-such-topic"))).what
