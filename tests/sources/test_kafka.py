"""Topics of a real broker, collected again and again: every message once, and nothing silent."""

import json
import threading
from datetime import UTC, datetime

import pytest

import mainstem as ms
from kafka_broker import PASSWORD, USER
from mainstem.errors import DefinitionError, MissingExtra, SourceError, SourceUnreachable
from mainstem.sources.inspection import introspect, observe

INSTANT = "timestamp('UTC', 6)"
SCHEMA = {"id": "int64", "name": "string"}


def item(number, **more):
    return json.dumps({"id": number, "name": f"n{number}", **more})


def ids(bench):
    return sorted(bench.column("id"))


def aside(bench):
    return {(row["_origin"].split(", ", 1)[1], row["_check"]) for row in bench.rows("quarantine.source")}


def test_a_run_reads_each_message_once(bench, broker):
    topic = broker.topic(partitions=2)
    source = ms.kafka(broker.servers, topic, key="id")
    broker.send(topic, item(1), item(2))
    broker.send(topic, item(3), partition=1)
    first = bench.collect(source)
    assert (first.rows_in, first.published) == (3, 3)
    broker.send(topic, item(4), partition=1)
    assert bench.collect(source).rows_in == 1
    assert ids(bench) == [1, 2, 3, 4]
    before = bench.tables["source"]
    again = bench.collect(source)
    assert again.rows_in == 0 and "nothing new" in again.message
    assert bench.tables["source"].id == before.id
    cursor = json.loads(before.cursor)
    assert cursor["offsets"] == {"0": 2, "1": 2} and cursor["cluster"]


def test_parts_of_messages_are_columns_when_asked_for(bench, broker):
    topic = broker.topic()
    at = datetime(2026, 11, 29, 12, 0, 0, 250_000, tzinfo=UTC)
    broker.send(topic, item(1), key="JFK", headers=[("trace", b"t1"), ("n", b"1")], timestamp=int(at.timestamp() * 1e3))
    broker.send(topic, item(2))
    parts = ["key", "headers", "header.trace", "partition", "offset", "timestamp", "tombstone"]
    source = ms.kafka(broker.servers, topic, message={part.replace(".", "_"): part for part in parts})
    bench.collect(source)
    first, second = sorted(bench.rows(), key=lambda row: row["id"])
    assert (
        first["key"] == "JFK" and first["headers"] == '[["trace", "t1"], ["n", "1"]]' and first["header_trace"] == "t1"
    )
    assert (first["partition"], first["offset"], first["timestamp"], first["tombstone"]) == (0, 0, at, False)
    assert (second["key"], second["headers"], second["header_trace"], second["offset"]) == (None, "[]", None, 1)


def test_messages_of_aborted_and_unfinished_transactions_are_not_read(bench, broker):
    topic = broker.topic()
    source = ms.kafka(broker.servers, topic, schema=SCHEMA)
    producer = broker.producer(transactional_id=f"aborts-{topic}")
    producer.init_transactions()
    for numbers, end in (([1, 2], "commit"), ([3], "abort"), ([4], "commit"), ([5], "abort")):
        producer.begin_transaction()
        for number in numbers:
            producer.produce(topic, item(number))
        producer.flush()
        (producer.commit_transaction if end == "commit" else producer.abort_transaction)()
    bench.collect(source)
    assert ids(bench) == [1, 2, 4]
    producer.begin_transaction()
    producer.produce(topic, item(6))
    producer.flush()
    assert bench.collect(source).rows_in == 0
    producer.commit_transaction()
    broker.send(topic, item(7))
    bench.collect(source)
    assert ids(bench) == [1, 2, 4, 6, 7]
    assert bench.collect(source).rows_in == 0


def test_a_message_that_is_no_record_is_set_aside_with_its_origin(bench, broker):
    topic = broker.topic()
    broker.send(topic, item(1), b"{no json", b"[1]", b"\xff\xfe", None, item(2), key=b"k")
    source = ms.kafka(broker.servers, topic, schema=SCHEMA)
    outcome = bench.collect(source)
    assert (outcome.rows_in, outcome.published, outcome.quarantined) == (6, 2, 4)
    assert ids(bench) == [1, 2]
    found = dict(aside(bench))
    assert sorted(found) == [f"partition 0, offset {n}" for n in (1, 2, 3, 4)]
    assert found["partition 0, offset 1"].startswith("the value is not JSON")
    assert found["partition 0, offset 2"] == "the value is not a JSON object: [1]"
    assert found["partition 0, offset 4"] == "a tombstone: the message has no value"
    raw = {json.loads(row["_raw"])["offset"]: json.loads(row["_raw"]) for row in bench.rows("quarantine.source")}
    assert raw[1]["value"] == "{no json" and raw[3]["value"] == {"base64": "//4="} and raw[4]["value"] is None
    assert raw[1]["key"] == "k"


def test_tombstones_are_left_out_and_counted_or_rows_of_their_own(bench, broker):
    topic = broker.topic()
    broker.send(topic, item(1), key="1")
    broker.send(topic, None, key="1")
    skipped = bench.collect(ms.kafka(broker.servers, topic, schema=SCHEMA, tombstones="skip"))
    assert skipped.rows_in == 1 and "1 tombstone left out" in skipped.message
    bench.tables.clear()
    message = {"item": "key", "gone": "tombstone"}
    bench.collect(ms.kafka(broker.servers, topic, schema=SCHEMA, tombstones="keep", message=message))
    rows = [(row["id"], row["item"], row["gone"]) for row in bench.rows()]
    assert sorted(rows, key=str) == [(1, "1", False), (None, "1", True)]


def test_rows_beyond_the_contract_are_set_aside_as_the_messages_that_they_came_in(bench, broker):
    topic = broker.topic()
    broker.send(topic, item(1), item("two"), item(3), item("two"))
    source = ms.kafka(broker.servers, topic, schema=SCHEMA, contract="quarantine")
    bench.collect(source)
    assert ids(bench) == [1, 3]
    assert aside(bench) == {(f"partition 0, offset {n}", "id=two is not int64") for n in (1, 3)}
    broker.send(topic, item(4, more=1))
    frozen = ms.kafka(broker.servers, topic, schema=SCHEMA, contract="freeze")
    with pytest.raises(SourceError, match="schema of the source changed: new column more") as caught:
        bench.collect(frozen)
    assert "offset 4" in str(caught.value)
    grown = bench.collect(ms.kafka(broker.servers, topic, schema=SCHEMA))
    assert "new column more (int64)" in grown.message and ids(bench) == [1, 3, 4]


def test_offsets_that_expired_are_an_error_that_says_what_was_lost(bench, broker):
    topic = broker.topic()
    source = ms.kafka(broker.servers, topic, schema=SCHEMA)
    broker.send(topic, *map(item, range(3)))
    bench.collect(source)
    broker.send(topic, *map(item, range(3, 10)))
    broker.expire(topic, 7)
    with pytest.raises(SourceError, match="were deleted before they were read") as caught:
        bench.collect(source)
    assert caught.value.got == "no messages at partition 0: offsets 3 to 6" and 'expired="skip"' in caught.value.hint
    assert ids(bench) == [0, 1, 2]
    outcome = bench.collect(ms.kafka(broker.servers, topic, schema=SCHEMA, expired="skip"))
    assert "expired before they were read: partition 0: offsets 3 to 6" in outcome.message
    assert ids(bench) == [0, 1, 2, 7, 8, 9]


def test_a_topic_that_was_made_again_is_refused(bench, broker):
    topic = broker.topic()
    source = ms.kafka(broker.servers, topic, schema=SCHEMA)
    broker.send(topic, item(1), item(2))
    bench.collect(source)
    held = bench.tables["source"]
    cursor = json.loads(held.cursor)

    def told(**changes):
        object.__setattr__(held, "cursor", json.dumps({**cursor, **changes}))
        with pytest.raises(SourceError) as caught:
            bench.collect(source)
        return caught.value

    assert told(offsets={"0": 9}).got == "partition 0 ends at offset 2"
    assert told(cluster="another").what == "the servers are those of another Kafka cluster"


def test_the_first_run_may_begin_at_the_end_and_new_partitions_at_their_beginning(bench, broker):
    from confluent_kafka.admin import NewPartitions

    topic = broker.topic()
    broker.send(topic, item(1))
    source = ms.kafka(broker.servers, topic, schema=SCHEMA, start="latest")
    assert bench.collect(source).rows_in == 0
    broker.send(topic, item(2))
    broker.admin().create_partitions([NewPartitions(topic, 2)])[topic].result(30)
    broker.send(topic, item(3), partition=1)
    bench.collect(source)
    assert ids(bench) == [2, 3]


def test_a_run_ends_at_the_end_that_it_saw_first(bench, broker):
    topic = broker.topic()
    source = ms.kafka(broker.servers, topic, schema=SCHEMA)
    broker.send(topic, *map(item, range(500)))
    stop = threading.Event()

    def go_on():
        producer, number = broker.producer(), 500
        while not stop.is_set():
            producer.produce(topic, item(number))
            producer.flush()
            number += 1

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        bench.collect(source)
        bench.collect(source)
    finally:
        stop.set()
        thread.join()
    bench.collect(source)
    found = ids(bench)
    assert found == list(range(len(found))) and len(found) >= 500


def test_large_topics_are_read_in_batches(bench, broker, monkeypatch):
    from mainstem.sources.kafka import reading

    monkeypatch.setattr(reading, "ROWS", 100)
    topic = broker.topic(partitions=3)
    for partition in range(3):
        broker.send(topic, *(item(n) for n in range(partition, 1_000, 3)), partition=partition)
    assert bench.collect(ms.kafka(broker.servers, topic, schema=SCHEMA)).rows_in == 1_000
    assert ids(bench) == list(range(1_000))


def test_columns_are_told_by_the_first_messages(bench, broker):
    topic = broker.topic()
    broker.send(topic, b"no json", None, item(1, at="2026-11-29T10:00:00Z"), item(2, share=0.5))
    source = ms.kafka(broker.servers, topic, message={"airport": "key"})
    found = introspect(source, bench.root, bench.engine)
    assert found == {"id": "int64", "name": "string", "at": INSTANT, "share": "float64", "airport": "string"}
    empty = ms.kafka(broker.servers, broker.topic())
    with pytest.raises(SourceError, match="no message that tells its columns"):
        introspect(empty, bench.root, bench.engine)


def test_a_source_tells_whether_it_has_new_messages(bench, broker):
    topic = broker.topic()
    source = ms.kafka(broker.servers, topic, schema=SCHEMA)
    seen = observe(source, bench.root, None)
    assert seen == observe(source, bench.root, None) and seen != "unreachable"
    broker.send(topic, item(1))
    assert observe(source, bench.root, None) != seen


def test_tls_and_a_password_are_settings_and_the_password_is_masked(bench, broker, monkeypatch):
    topic = broker.topic()
    broker.send(topic, item(1))
    settings = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.username": USER,
        "sasl.password": "${env:KAFKA_PASSWORD}",
        "ssl.ca.location": broker.authority,
    }
    monkeypatch.setenv("KAFKA_PASSWORD", PASSWORD)
    bench.collect(ms.kafka(broker.secure, topic, schema=SCHEMA, settings=settings))
    assert ids(bench) == [1]
    monkeypatch.setattr("mainstem.sources.kafka.client.TIMEOUT", 2.0)
    monkeypatch.setenv("KAFKA_PASSWORD", "wrong-password")
    with pytest.raises(SourceUnreachable) as caught:
        bench.collect(ms.kafka(broker.secure, topic, schema=SCHEMA, settings=settings))
    assert "uthenticat" in caught.value.got and "wrong-password" not in str(caught.value)
    monkeypatch.delenv("KAFKA_PASSWORD")
    with pytest.raises(ms.errors.SettingsError, match="KAFKA_PASSWORD is not set"):
        bench.collect(ms.kafka(broker.secure, topic, schema=SCHEMA, settings=settings))


def test_an_unknown_topic_and_an_unreachable_cluster_are_told(bench, broker, monkeypatch):
    topic = broker.topic()
    with pytest.raises(SourceError, match="does not exist") as caught:
        bench.collect(ms.kafka(broker.servers, topic.replace("topic", "topik"), schema=SCHEMA))
    assert repr(topic) in caught.value.hint
    monkeypatch.setattr("mainstem.sources.kafka.client.TIMEOUT", 1.0)
    with pytest.raises(SourceUnreachable, match="cannot be reached"):
        bench.collect(ms.kafka("127.0.0.1:9", "nowhere", schema=SCHEMA))


def test_a_declaration_is_refused_where_it_is_wrong():
    with pytest.raises(DefinitionError, match=r"unknown setting 'sasl\.pasword'") as caught:
        ms.kafka("a:1", "t", settings={"sasl.pasword": "x"})
    assert "'sasl.password'" in caught.value.hint
    with pytest.raises(DefinitionError, match="not a part of a message") as caught:
        ms.kafka("a:1", "t", message={"at": "timestmp"})
    assert "'timestamp'" in caught.value.hint
    for wrong in ({"format": "avro"}, {"avro": {"type": "record"}}, {"registry": "http://a", "format": "json"}):
        with pytest.raises(DefinitionError, match="Avro needs one source of schemas"):
            ms.kafka("a:1", "t", **wrong)
    with pytest.raises(DefinitionError, match="not a source of events"):
        ms.stream("s", schema={"at": INSTANT}, time="at", from_=ms.files("a.csv"))


def test_a_missing_library_names_its_extra(bench, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "confluent_kafka", None)
    with pytest.raises(MissingExtra) as caught:
        bench.collect(ms.kafka("127.0.0.1:9", "t", schema=SCHEMA))
    assert caught.value.hint == "pip install 'mainstem[kafka]'"


def test_messages_that_were_set_aside_come_in_again(bench, broker):
    from mainstem.planning.plan import Step
    from mainstem.sources.collect import Collect

    topic = broker.topic()
    broker.send(topic, item(1), item("two"), b"no json", key="k")
    message = {"item": "key", "at": "offset"}
    bench.collect(ms.kafka(broker.servers, topic, schema=SCHEMA, message=message, contract="quarantine"))
    assert len(bench.rows("quarantine.source")) == 2
    wider = ms.kafka(broker.servers, topic, schema={**SCHEMA, "id": "string"}, message=message)
    types = {**SCHEMA, "id": "string", "item": "string", "at": "int64"}
    outcome = Collect(bench.root, frozenset({"source"}))(Step("collect", "source", "test"), bench.context(wider, types))
    bench.tables |= outcome.tables
    assert sorted((row["id"], row["item"], row["at"]) for row in bench.rows()) == [("1", "k", 0), ("two", "k", 1)]
    [left] = bench.rows("quarantine.source")
    assert left["_origin"].endswith("offset 2")
