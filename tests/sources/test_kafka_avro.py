"""Topics of Avro: schemaless with a declared schema, and Confluent's wire format with a registry."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

import mainstem as ms
from mainstem.errors import SourceError
from mainstem.sources.inspection import introspect
from schema_registry import Registry, plain, wire

INSTANT = "timestamp('UTC', 6)"
AT = datetime(2026, 11, 29, 12, 30, 0, 123_000, tzinfo=UTC)
FIELDS = [
    {"name": "id", "type": "long"},
    {"name": "name", "type": ["null", "string"], "default": None},
    {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "day", "type": {"type": "int", "logicalType": "date"}},
    {"name": "color", "type": {"type": "enum", "name": "Color", "symbols": ["RED", "BLUE"]}},
    {"name": "tags", "type": {"type": "array", "items": "string"}},
    {"name": "place", "type": {"type": "record", "name": "Place", "fields": [{"name": "x", "type": "int"}]}},
]
SALE = {"type": "record", "name": "Sale", "fields": FIELDS}


@pytest.fixture
def registry():
    made = Registry()
    yield made
    made.close()


def sale(id, **more):
    row = {"name": f"n{id}", "price": Decimal("12.34"), "at": AT, "day": date(2026, 11, 29), "color": "RED"}
    return {"id": id, **row, "tags": ["a", "b"], "place": {"x": 1}, **more}


TYPES = {
    "id": "int64",
    "name": "string",
    "price": "decimal(10, 2)",
    "at": INSTANT,
    "day": "date",
    "color": "string",
    "tags": "array<string>",
    "place": "string",
}


def test_a_declared_schema_tells_columns_and_reads_values(bench, broker):
    topic = broker.topic()
    broker.send(topic, plain(SALE, sale(1)), plain(SALE, sale(2, name=None)), b"\x01")
    source = ms.kafka(broker.servers, topic, format="avro", avro=SALE, message={"n": "offset"})
    assert introspect(source, bench.root, bench.engine) == {**TYPES, "n": "int64"}
    outcome = bench.collect(source)
    assert (outcome.published, outcome.quarantined) == (2, 1)
    first, second = sorted(bench.rows(), key=lambda row: row["id"])
    assert first == {**sale(1), "place": '{"x": 1}', "n": 0} and second["name"] is None
    [aside] = bench.rows("quarantine.source")
    assert aside["_check"].startswith("the value is not Avro of its schema")


def test_a_registry_is_asked_once_for_each_schema(bench, broker, registry):
    topic = broker.topic()
    first = registry.register(f"{topic}-value", SALE)
    broker.send(topic, *(wire(first, SALE, sale(n)) for n in range(3)))
    source = ms.kafka(broker.servers, topic, format="avro", registry=registry.url)
    assert introspect(source, bench.root, bench.engine) == TYPES
    bench.collect(source)
    grown = {**SALE, "fields": [*FIELDS, {"name": "tax", "type": "double", "default": 0.0}]}
    second = registry.register(f"{topic}-value", grown)
    mixed = [wire(second, grown, sale(3, tax=0.5)), wire(first, SALE, sale(4)), wire(second, grown, sale(5, tax=1.5))]
    broker.send(topic, *mixed)
    registry.asked.clear()
    outcome = bench.collect(source, TYPES)
    assert "new column tax (float64)" in outcome.message
    assert {row["id"]: row["tax"] for row in bench.rows()} == {0: None, 1: None, 2: None, 3: 0.5, 4: None, 5: 1.5}
    assert sorted(registry.asked) == [f"/schemas/ids/{first}", f"/schemas/ids/{second}"]


def test_values_without_their_head_and_of_unknown_schemas_are_set_aside(bench, broker, registry):
    topic = broker.topic()
    id = registry.register(f"{topic}-value", SALE)
    good = wire(id, SALE, sale(1))
    broker.send(topic, good, b"plain text", wire(99, SALE, sale(2)), good + b"x", good[:-1])
    outcome = bench.collect(ms.kafka(broker.servers, topic, format="avro", registry=registry.url))
    assert (outcome.published, outcome.quarantined) == (1, 4)
    reasons = {row["_origin"][-1]: row["_check"] for row in bench.rows("quarantine.source")}
    assert reasons["1"] == "the value does not begin with a zero byte and the id of a schema"
    assert reasons["2"] == "the registry has no schema of the id 99"
    assert reasons["3"] == "the value is longer than its Avro schema says"
    assert reasons["4"].startswith("the value is not Avro of its schema")


def test_a_registry_that_is_away_fails_the_run_and_its_password_is_masked(bench, broker, registry, monkeypatch):
    topic = broker.topic()
    id = registry.register(f"{topic}-value", SALE)
    broker.send(topic, wire(id, SALE, sale(1)))
    registry.password = "registry-secret"
    monkeypatch.setenv("REGISTRY_PASSWORD", "registry-wrong")
    url = f"http://reader:${{env:REGISTRY_PASSWORD}}@{registry.address}"
    source = ms.kafka(broker.servers, topic, format="avro", registry=url)
    with pytest.raises(SourceError, match="answered 401") as caught:
        bench.collect(source, TYPES)
    assert "registry-wrong" not in str(caught.value)
    monkeypatch.setenv("REGISTRY_PASSWORD", "registry-secret")
    assert bench.collect(source, TYPES).published == 1


def test_a_tombstone_of_an_avro_topic_can_be_kept(bench, broker, registry):
    topic = broker.topic()
    id = registry.register(f"{topic}-value", SALE)
    broker.send(topic, None, wire(id, SALE, sale(1)), key="1")
    message = {"item": "key", "gone": "tombstone"}
    options = {"format": "avro", "registry": registry.url, "tombstones": "keep", "message": message}
    bench.collect(ms.kafka(broker.servers, topic, **options))
    assert sorted((row["item"], row["gone"], row["id"]) for row in bench.rows()) == [("1", False, 1), ("1", True, None)]


def test_references_to_other_schemas_are_resolved(bench, broker, registry):
    place = {"type": "record", "name": "Place", "fields": [{"name": "x", "type": "int"}]}
    registry.register("place", place)
    topic = broker.topic()
    fields = [{"name": "id", "type": "long"}, {"name": "place", "type": "Place"}]
    schema = {"type": "record", "name": "Visit", "fields": fields}
    id = registry.register(f"{topic}-value", schema, references=[{"name": "Place", "subject": "place", "version": 1}])
    whole = {**schema, "fields": [fields[0], {"name": "place", "type": place}]}
    broker.send(topic, wire(id, whole, {"id": 1, "place": {"x": 5}}))
    bench.collect(ms.kafka(broker.servers, topic, format="avro", registry=registry.url))
    assert bench.rows() == [{"id": 1, "place": '{"x": 5}'}]
