from __future__ import annotations

import base64
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import msgpack, structs

import mainstem as ms
from mainstem.errors import CheckFailed, SchemaError, StorageError
from mainstem.logs.predictions import append, encode_block
from mainstem.logs.records import Event, Prediction, decode_prediction, encode
from mainstem.nodes.checks import between, not_null
from mainstem.nodes.instants import micros_of
from mainstem.nodes.records import now
from mainstem.planning.plan import Step
from mainstem.streaming import drafts, drain
from mainstem.streaming.drain import Drain
from mainstem.streaming.ingest import Ingest
from mainstem.streaming.predictions import prediction_schema

STREAM = Step("drain", "departures", "test")
ENDPOINT = Step("drain", "arrivals", "test")


def send(world: Any, worlds: Any, *numbers: int, **more: Any) -> None:
    ingest = Ingest(world.graph["departures"], [], world.store, world.release.cutovers["departures"])
    with world.store.transaction() as writer:
        ingest.write(writer, ingest.accept([worlds.departure(n, **more) for n in numbers], backfill=True))


def stored(world: Any) -> list[tuple[int, str]]:
    return sorted((row["_seq"], row["flight_id"]) for row in world.rows("departures"))


def redefined(world: Any, **changes: Any) -> None:
    """The same project with another stream."""
    definition = world.graph["departures"]
    schema = changes.pop("stored", definition.schema)
    node = replace(definition.node, **changes)
    changed = replace(definition, node=node, schema=schema)
    world.graph = replace(world.graph, definitions={**world.graph.definitions, "departures": changed})


def test_the_cutover_is_right_after_the_history_and_stays(world: Any, worlds: Any) -> None:
    last = worlds.NOON - timedelta(minutes=55)
    assert world.release.cutovers == {"departures": last + timedelta(microseconds=1)}
    world.put("past", [{"flight_id": "P9", "origin": "JFK", "dep_delay": 1.0, "departed_at": worlds.NOON}])
    assert Drain(world.store)(STREAM, world.context()).cutovers == {}


def test_without_a_row_of_history_events_count_from_the_run_on(world: Any) -> None:
    world.publish(cutovers={})
    world.put("past", [])
    before = now()
    found = Drain(world.store)(STREAM, world.context()).cutovers
    assert before <= found["departures"] <= now()


def test_every_event_becomes_one_row_with_its_offset_and_arrival(world: Any, worlds: Any) -> None:
    send(world, worlds, 0, 1)
    world.run(STREAM)
    send(world, worlds, 2)
    world.run(STREAM)
    world.run(STREAM)
    assert stored(world) == [(0, "E0"), (1, "E1"), (2, "E2")]
    rows = world.rows("departures")
    assert all(row["_arrived"] == row["departed_at"] for row in rows)
    assert world.release.tables["departures"].cursor == "3"


def test_many_batches_are_one_snapshot(world: Any, worlds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "BATCH", 3)
    send(world, worlds, *range(10))
    outcome = Drain(world.store)(STREAM, world.context())
    assert (outcome.rows_in, outcome.published, outcome.quarantined) == (10, 10, 0)
    assert outcome.tables["departures"].rows == 10


def test_a_run_that_does_not_publish_loses_nothing(world: Any, worlds: Any) -> None:
    send(world, worlds, 0, 1)
    assert Drain(world.store)(STREAM, world.context()).tables["departures"].rows == 2
    send(world, worlds, 2)
    world.run(STREAM)
    assert stored(world) == [(0, "E0"), (1, "E1"), (2, "E2")]


def test_the_log_keeps_what_no_release_has(world: Any, worlds: Any) -> None:
    send(world, worlds, 0, 1)
    world.run(STREAM)
    assert len(list(world.store.entries("events/departures", 0))) == 2
    send(world, worlds, 2)
    Drain(world.store)(STREAM, world.context())
    assert [offset for offset, _ in world.store.entries("events/departures", 0)] == [2]


def test_a_rollback_does_not_take_back_what_was_acknowledged(world: Any, worlds: Any) -> None:
    send(world, worlds, 0)
    world.run(STREAM)
    early = world.release
    send(world, worlds, 1, 2)
    world.run(STREAM)
    world.run(STREAM)
    assert list(world.store.entries("events/departures", 0)) == []
    world.publish(tables=early.tables)
    send(world, worlds, 3)
    world.run(STREAM)
    assert stored(world) == [(0, "E0"), (1, "E1"), (2, "E2"), (3, "E3")]


def test_a_log_that_does_not_go_on_where_the_lake_ends_is_refused(world: Any, worlds: Any, tmp_path: Path) -> None:
    send(world, worlds, 0, 1)
    world.run(STREAM)
    other = worlds.LmdbStore(tmp_path / "other")
    with other.transaction() as writer:
        writer.append("events/departures", [b"of another project"])
    with pytest.raises(StorageError, match="does not continue at the end of the lake"):
        Drain(other)(STREAM, world.context())
    other.close()


def test_a_log_that_was_lost_goes_on_where_the_lake_ends(world: Any, worlds: Any, tmp_path: Path, caplog: Any) -> None:
    """What had been acknowledged and not drained is lost with it; nothing gets an offset for the second time."""
    send(world, worlds, 0, 1)
    early = world.run(STREAM).release.tables["departures"]
    send(world, worlds, 2)
    world.run(STREAM)
    send(world, worlds, 3)
    world.publish(tables={**world.release.tables, "departures": early})  # a rollback takes back no event
    world.store.close()
    world.store = worlds.LmdbStore(tmp_path / "empty")
    world.run(STREAM)
    assert "'events/departures' was lost; it continues at offset 3" in caplog.text
    send(world, worlds, 4)
    world.run(STREAM)
    assert stored(world) == [(0, "E0"), (1, "E1"), (2, "E2"), (3, "E4")]


def test_a_new_column_is_null_in_older_rows(world: Any, worlds: Any) -> None:
    send(world, worlds, 0)
    world.run(STREAM)
    send(world, worlds, 1)
    wider = {**world.graph["departures"].schema, "gate": "string"}
    redefined(world, schema={**world.graph["departures"].node.schema, "gate": "string"}, stored=wider)
    send(world, worlds, 2, gate="A7")
    world.run(STREAM)
    assert stored(world) == [(0, "E0"), (1, "E1"), (2, "E2")]
    assert {row["flight_id"]: row["gate"] for row in world.rows("departures")} == {"E0": None, "E1": None, "E2": "A7"}


def test_rows_in_are_rows_published_and_quarantined(world: Any, worlds: Any) -> None:
    redefined(world, checks=(between("dep_delay", -60, 600, severity="quarantine"),))
    send(world, worlds, 0, 1)
    send(world, worlds, 2, dep_delay=90_000.0)
    world.run(STREAM)
    send(world, worlds, 3, dep_delay=80_000.0)
    context = world.run(STREAM)
    assert stored(world) == [(0, "E0"), (1, "E1")]
    assert context.release.tables["departures"].cursor == "4"
    assert sorted(row["flight_id"] for row in world.rows("quarantine.departures")) == ["E2", "E3"]


def test_entries_that_are_no_rows_are_set_aside_and_the_drain_goes_on(world: Any, worlds: Any) -> None:
    """Bytes of a broken disk, a value of another type, an instant that no part can hold: logged before a gate was."""
    send(world, worlds, 0)
    good = worlds.departure(9) | {"departed_at": micros_of(worlds.NOON)}
    bad = [
        b"\xc1 no msgpack",
        encode(Event(micros_of(worlds.NOON), good | {"dep_delay": "much"})),
        msgpack.encode({"arrived": 2**63, "row": good}),
    ]
    beyond = encode(Event(micros_of(worlds.NOON), good | {"departed_at": 400_000_000_000_000_000}))
    with world.store.transaction() as writer:
        writer.append("events/departures", [*bad, beyond])
    send(world, worlds, 1)
    outcome = Drain(world.store)(STREAM, world.context())
    assert (outcome.rows_in, outcome.published, outcome.quarantined) == (6, 2, 4)
    assert "3 log entries are no rows: unreadable.departures has them" in outcome.message
    world.run(STREAM)
    assert stored(world) == [(0, "E0"), (5, "E1")]
    kept = world.rows("unreadable.departures")
    assert sorted(row["_seq"] for row in kept) == [1, 2, 3] and all(row["reason"] for row in kept)
    assert {base64.b64decode(row["payload"]) for row in kept} == set(bad)
    [aside] = world.rows("quarantine.departures")
    assert aside["_check"].startswith("in_calendar(departed_at): departed_at=14645-")
    world.run(STREAM)
    assert world.release.tables["departures"].cursor == "6" and len(world.rows("unreadable.departures")) == 3


def reingest(world: Any) -> Any:
    outcome = Drain(world.store, reingest=frozenset({"departures"}))(STREAM, world.context())
    world.publish(tables=outcome.tables)
    return outcome


def test_rows_that_a_check_set_aside_come_in_again_when_it_allows_them(world: Any, worlds: Any) -> None:
    redefined(world, checks=(between("dep_delay", -60, 600, severity="quarantine"),))
    send(world, worlds, 0)
    send(world, worlds, 1, dep_delay=700.0)
    send(world, worlds, 2, dep_delay=90_000.0)
    world.run(STREAM)
    redefined(world, checks=(between("dep_delay", -60, 900, severity="quarantine"),))
    outcome = reingest(world)
    assert (outcome.rows_in, outcome.published, outcome.quarantined) == (2, 1, 1)
    assert stored(world) == [(0, "E0"), (1, "E1")]
    assert [row["flight_id"] for row in world.rows("quarantine.departures")] == ["E2"]
    assert reingest(world).published == 0 and world.release.tables["departures"].cursor == "3"


def test_a_row_that_lost_a_value_stays_aside(world: Any, worlds: Any) -> None:
    send(world, worlds, 0)
    good = worlds.departure(9) | {"departed_at": 400_000_000_000_000_000}
    with world.store.transaction() as writer:
        writer.append("events/departures", [encode(Event(micros_of(worlds.NOON), good))])
    world.run(STREAM)
    reingest(world)
    assert stored(world) == [(0, "E0")] and len(world.rows("quarantine.departures")) == 1


def test_log_entries_come_in_again_when_the_schema_fits_them(world: Any, worlds: Any) -> None:
    send(world, worlds, 0)
    good = worlds.departure(9) | {"departed_at": micros_of(worlds.NOON), "dep_delay": "much"}
    with world.store.transaction() as writer:
        writer.append("events/departures", [encode(Event(micros_of(worlds.NOON), good)), b"\xc1 no msgpack"])
    world.run(STREAM)
    assert reingest(world).published == 0 and len(world.rows("unreadable.departures")) == 2
    redefined(world, stored={**world.graph["departures"].schema, "dep_delay": "string"})
    assert reingest(world).published == 1
    assert sorted((row["_seq"], row["dep_delay"]) for row in world.rows("departures"))[1] == (1, "much")
    assert [row["_seq"] for row in world.rows("unreadable.departures")] == [2]


def test_rows_set_aside_outlive_a_change_of_the_schema(world: Any, worlds: Any) -> None:
    redefined(world, checks=(between("dep_delay", -60, 600, severity="quarantine"),))
    send(world, worlds, 0)
    send(world, worlds, 1, dep_delay=90_000.0)
    world.run(STREAM)
    redefined(world, stored={**world.graph["departures"].schema, "gate": "string"})
    send(world, worlds, 2, gate="A1")
    world.run(STREAM)
    assert [(row["flight_id"], row["gate"]) for row in world.rows("quarantine.departures")] == [("E1", None)]


def test_a_check_of_severity_error_publishes_nothing(world: Any, worlds: Any) -> None:
    redefined(world, checks=(not_null("origin"),))
    send(world, worlds, 0, origin=None)
    with pytest.raises(CheckFailed):
        world.run(STREAM)
    assert world.rows("departures") == []


def test_an_event_sent_twice_is_told_and_does_not_block(world: Any, worlds: Any) -> None:
    send(world, worlds, 0)
    send(world, worlds, 0)
    outcome = Drain(world.store)(STREAM, world.context())
    (twice,) = [check for check in outcome.checks if check.label == "unique(flight_id)"]
    assert (twice.severity, twice.violations > 0, outcome.published) == ("warn", True, 2)


FEATURES = {"leg__origin": "JFK", "airport__delay_1h": None, "airport__departures_1h": 0, "busy": False}
FEATURES |= {"airport__recent_1h": [2.0, 1.5], "newest": 2.0}


def logged_before(n: int) -> bytes:
    """An entry as it was logged before predictions had scores, a decision and a role."""
    row = {"flight_id": f"F{n}", "distance": 1.0, **FEATURES}
    entry = {
        "id": f"p{n}",
        "t": 10**15 + n,
        "logged_at": 10**15,
        "version": "v",
        "row": row,
        "score": 0.5,
        "flags": "f",
    }
    return msgpack.encode(entry)


def log(world: Any, *entries: bytes) -> None:
    with world.store.transaction() as writer:
        writer.append("predictions/arrivals", entries)


def as_before(monkeypatch: pytest.MonkeyPatch, graph: Any) -> None:
    """Let predictions be stored as they were before they had scores, a decision, a role and a policy."""
    new = {
        "_scores",
        "_decision",
        "_role",
        "_policy",
        "_values",
        "_quotas",
        "_request",
        "_rank",
        "_offered",
        "_propensity",
    }
    schema = {name: type for name, type in prediction_schema(graph, "arrivals").items() if name not in new}
    assert list(schema)[-6:] == ["_id", "_t", "_logged_at", "_version", "score", "_flags"]
    monkeypatch.setattr(drain, "prediction_schema", lambda *_: schema)


def test_a_lake_made_before_predictions_had_roles_is_read_and_added_to(
    world: Any, worlds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        as_before(patch, world.graph)
        log(world, logged_before(0), logged_before(1))
        world.run(ENDPOINT)
    old = world.release.tables["predictions.arrivals"]
    assert [row["_id"] for row in world.rows("predictions.arrivals")] == ["p0", "p1"]

    several = Prediction("p3", 1, 1, "v", {"flight_id": "F3"}, 0.7, "", {"late": 0.7, "früh": 0.3}, True, "shadow")
    chosen = Prediction("p4", 1, 1, "v", {"flight_id": "F4"}, 0.7, decision="reroute", role="challenger")
    log(world, logged_before(2), encode(several), encode(chosen))
    world.run(ENDPOINT)
    world.run(ENDPOINT)
    new = world.release.tables["predictions.arrivals"]
    assert new.physical != old.physical and new.cursor == "5"
    rows = sorted(world.rows("predictions.arrivals"), key=lambda row: row["_id"])
    assert [(r["_id"], r["_scores"], r["_decision"], r["_role"]) for r in rows] == [
        ("p0", None, None, "champion"),
        ("p1", None, None, "champion"),
        ("p2", None, None, "champion"),
        ("p3", '{"late": 0.7, "früh": 0.3}', "true", "shadow"),
        ("p4", None, "reroute", "challenger"),
    ]
    assert rows[0]["airport__recent_1h"] == [2.0, 1.5] and rows[2]["_flags"] == "f"


def test_going_back_to_a_release_from_before_loses_no_prediction(
    world: Any, worlds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        as_before(patch, world.graph)
        log(world, logged_before(0))
        world.run(ENDPOINT)
    before = world.release
    for n in (1, 2):
        log(world, logged_before(n))
        world.run(ENDPOINT)
    world.publish(tables=before.tables)
    log(world, logged_before(3))
    world.run(ENDPOINT)
    assert sorted(row["_id"] for row in world.rows("predictions.arrivals")) == ["p0", "p1", "p2", "p3"]


def test_predictions_become_rows(world: Any, worlds: Any) -> None:
    made = [
        Prediction(f"p{n}", 10**15 + n, 10**15, "late-1", {"flight_id": f"F{n}", "distance": 1.0, **FEATURES}, 0.5, "")
        for n in range(3)
    ]
    with world.store.transaction() as writer:
        writer.append("predictions/arrivals", [encode(p) for p in made[:2]])
    world.run(ENDPOINT)
    with world.store.transaction() as writer:
        writer.append("predictions/arrivals", [encode(p) for p in made[2:]])
    world.run(ENDPOINT)
    rows = sorted(world.rows("predictions.arrivals"), key=lambda row: row["_id"])
    assert [row["_id"] for row in rows] == ["p0", "p1", "p2"]
    assert rows[0]["airport__delay_1h"] is None and rows[0]["busy"] is False and rows[0]["score"] == 0.5
    assert rows[0]["airport__recent_1h"] == [2.0, 1.5]
    assert rows[1]["_t"].timestamp() == 10**9 + 1e-6
    assert world.release.tables["predictions.arrivals"].cursor == "3"


def test_entries_that_are_set_aside_after_a_release_are_kept_when_it_is_rolled_back_to(world: Any, worlds: Any) -> None:
    def unreadable() -> None:
        with world.store.transaction() as writer:
            writer.append("events/departures", [b"\xc1 no msgpack"])
        world.run(STREAM)

    send(world, worlds, 0)
    unreadable()
    first = world.release.tables
    unreadable()
    unreadable()
    world.publish(tables=first)
    reingest(world)
    assert [row["_seq"] for row in world.rows("unreadable.departures")] == [1, 2, 3]


def test_rows_that_came_in_again_before_a_rollback_do_not_come_in_twice(world: Any, worlds: Any) -> None:
    redefined(world, checks=(between("dep_delay", -60, 600, severity="quarantine"),))
    send(world, worlds, 0)
    send(world, worlds, 1, dep_delay=700.0)
    world.run(STREAM)
    first = world.release.tables
    redefined(world, checks=(between("dep_delay", -60, 900, severity="quarantine"),))
    reingest(world)
    send(world, worlds, 2)
    world.run(STREAM)
    send(world, worlds, 3)
    world.run(STREAM)
    world.publish(tables=first)
    reingest(world)
    assert stored(world) == [(0, "E0"), (1, "E1"), (2, "E2"), (3, "E3")]


def test_an_entry_that_came_in_again_is_not_lost_by_a_rollback(world: Any, worlds: Any) -> None:
    send(world, worlds, 0)
    good = worlds.departure(9) | {"departed_at": micros_of(worlds.NOON), "dep_delay": "much"}
    with world.store.transaction() as writer:
        writer.append("events/departures", [encode(Event(micros_of(worlds.NOON), good))])
    world.run(STREAM)
    first = world.release.tables
    redefined(world, stored={**world.graph["departures"].schema, "dep_delay": "string"})
    assert reingest(world).published == 1
    world.publish(tables=first)
    assert reingest(world).published == 1
    assert [row["_seq"] for row in world.rows("departures")] == [0, 1]


def test_what_a_check_set_aside_is_not_lost_by_a_rollback(world: Any, worlds: Any) -> None:
    redefined(world, checks=(between("dep_delay", -60, 600, severity="quarantine"),))
    send(world, worlds, 0)
    world.run(STREAM)
    first = world.release.tables
    send(world, worlds, 1)
    send(world, worlds, 2, dep_delay=90_000.0)
    world.run(STREAM)
    world.run(STREAM)  # the log is trimmed
    world.publish(tables=first)
    send(world, worlds, 3)
    world.run(STREAM)
    assert stored(world) == [(0, "E0"), (1, "E1"), (3, "E3")]
    assert [row["flight_id"] for row in world.rows("quarantine.departures")] == ["E2"]
    world.publish(tables=first)
    redefined(world, checks=())
    reingest(world)
    assert stored(world) == [(0, "E0"), (1, "E1"), (2, "E2"), (3, "E3")]


@pytest.mark.parametrize(
    ("column", "type", "value", "got"),
    [("dep_delay", "int64", 12.5, "12.5 of type float64"), ("flight_id", "int64", 1.0, "E0 of type string")],
)
def test_a_type_that_stored_events_do_not_fit_is_refused(
    world: Any, worlds: Any, column: str, type: str, value: float, got: str
) -> None:
    send(world, worlds, 0, dep_delay=value)
    world.run(STREAM)
    before = world.rows("departures")
    redefined(
        world,
        schema={**world.graph["departures"].node.schema, column: type},
        stored={**world.graph["departures"].schema, column: type},
    )
    with pytest.raises(SchemaError, match=f"stored values of '{column}' do not fit the new type") as refused:
        world.run(STREAM)
    assert got in str(refused.value.got) and world.rows("departures") == before


def test_an_entry_that_comes_in_again_does_not_move_the_topic_back(world: Any, worlds: Any) -> None:
    def event(offset: int, **more: Any) -> bytes:
        row = worlds.departure(offset) | {"departed_at": micros_of(worlds.NOON)} | more
        return encode(Event(micros_of(worlds.NOON), row, source=(0, offset)))

    redefined(world, from_=ms.kafka("b:1", "t"))
    with world.store.transaction() as writer:
        writer.append("events/departures", [event(0), event(5, dep_delay="much"), event(99)])
    world.run(STREAM)
    redefined(world, stored={**world.graph["departures"].schema, "dep_delay": "string"})
    reingest(world)
    assert drafts.topic_positions(world.release.tables["departures"], "t").offsets == {0: 100}


def test_what_a_removed_feature_was_stays_in_the_predictions(
    world: Any, worlds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, declared = "airport__departures_1h", drain.prediction_schema
    blocks(world, 0, 1, **{name: 7})
    world.run(ENDPOINT)
    first = world.release.tables
    monkeypatch.setattr(drain, "prediction_schema", lambda *of: {k: v for k, v in declared(*of).items() if k != name})
    blocks(world, 2, **{name: 8})  # of the old champion
    world.run(ENDPOINT)
    world.run(ENDPOINT)
    monkeypatch.setattr(drain, "prediction_schema", declared)
    world.publish(tables=first)
    blocks(world, 3, **{name: 9})
    world.run(ENDPOINT)
    assert {row["_id"]: row[name] for row in world.rows("predictions.arrivals")} == {"p0": 7, "p1": 7, "p2": 8, "p3": 9}


def test_a_feature_of_another_type_does_not_keep_predictions_from_the_lake(
    world: Any, worlds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, declared = "airport__departures_1h", drain.prediction_schema
    monkeypatch.setattr(drain, "prediction_schema", lambda *of: {**declared(*of), name: "float64"})
    blocks(world, 0, **{name: 7.0})
    blocks(world, 1, **{name: 7.5})
    world.run(ENDPOINT)
    monkeypatch.setattr(drain, "prediction_schema", lambda *of: {**declared(*of), name: "int64"})
    blocks(world, 2, **{name: 8})
    outcome = Drain(world.store)(ENDPOINT, world.context())
    assert outcome.message == f"1 logged values of {name} do not fit int64: null"
    world.publish(tables=outcome.tables)
    assert {row["_id"]: row[name] for row in world.rows("predictions.arrivals")} == {"p0": 7, "p1": None, "p2": 8}


def blocks(world: Any, *numbers: int, **columns: Any) -> None:
    """Log predictions as one request: `_t` is their number."""
    row = {"distance": 1.0, **FEATURES, **columns}
    made = [Prediction(f"p{n}", n, 10**15, "late-1", {**row, "flight_id": f"F{n}"}, n / 100) for n in numbers]
    with world.store.transaction() as writer:
        append(writer, "arrivals", made)


def drained(world: Any) -> list[tuple[str, int, str, float]]:
    rows = world.rows("predictions.arrivals")
    return sorted((row["_id"], row["_t"].microsecond, row["flight_id"], row["score"]) for row in rows)


def whole(*numbers: int) -> list[tuple[str, int, str, float]]:
    return sorted((f"p{n}", n, f"F{n}", n / 100) for n in numbers)


def test_blocks_and_single_predictions_become_rows_in_one_drain(
    world: Any, worlds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drafts, "BATCH", 30)
    blocks(world, 0)
    blocks(world, *range(1, 41))
    blocks(world, *range(41, 44))
    blocks(world, *range(44, 100), busy=None, airport__recent_1h=None)
    assert [offset for offset, _ in world.store.entries("predictions/arrivals", 0)] == [0, 1, 41, 42, 43, 44]
    outcome = Drain(world.store)(ENDPOINT, world.context())
    assert (outcome.rows_in, outcome.published, outcome.quarantined) == (100, 100, 0)
    world.run(ENDPOINT)
    assert drained(world) == whole(*range(100)) and world.release.tables["predictions.arrivals"].cursor == "100"
    rows = {row["_id"]: row for row in world.rows("predictions.arrivals")}
    assert (rows["p40"]["airport__recent_1h"], rows["p40"]["busy"]) == ([2.0, 1.5], False)
    assert (rows["p44"]["airport__recent_1h"], rows["p44"]["busy"]) == (None, None)


def test_a_block_is_drained_once_whatever_ends_in_between(world: Any, worlds: Any) -> None:
    blocks(world, *range(20))
    assert Drain(world.store)(ENDPOINT, world.context()).tables["predictions.arrivals"].rows == 20  # not published
    blocks(world, *range(20, 40))
    world.run(ENDPOINT)
    early = world.release
    blocks(world, 40)
    blocks(world, *range(41, 61))
    world.run(ENDPOINT)
    world.run(ENDPOINT)
    assert list(world.store.entries("predictions/arrivals", 0)) == []
    world.publish(tables=early.tables)  # a rollback
    blocks(world, *range(61, 81))
    world.run(ENDPOINT)
    assert drained(world) == whole(*range(81))


def test_one_prediction_of_a_block_that_is_no_row_is_set_aside(world: Any, worlds: Any) -> None:
    made = [Prediction(f"p{n}", n, 10**15, "v", {"flight_id": f"F{n}", **FEATURES}, n / 100) for n in range(20)]
    made[7] = structs.replace(made[7], row={**made[7].row, "airport__delay_1h": "late"})
    with world.store.transaction() as writer:
        append(writer, "arrivals", made)
        writer.append("predictions/arrivals", [encode_block(made)[:40]], [5])
    outcome = Drain(world.store)(ENDPOINT, world.context())
    assert (outcome.rows_in, outcome.published, outcome.quarantined) == (21, 19, 2)
    world.run(ENDPOINT)
    assert drained(world) == whole(*(n for n in range(20) if n != 7))
    assert world.release.tables["predictions.arrivals"].cursor == str(20 + 20)  # the head says how many it should have
    aside = sorted(world.rows("unreadable.predictions.arrivals"), key=lambda row: row["_seq"])
    assert [row["_seq"] for row in aside] == [7, 20]
    assert decode_prediction(base64.b64decode(aside[0]["payload"])) == made[7]


def test_a_block_of_a_later_format_stops_the_drain_and_stays(world: Any, worlds: Any) -> None:
    blocks(world, *range(20))
    ((_, payload),) = world.store.entries("predictions/arrivals", 0)
    with world.store.transaction() as writer:
        writer.append("predictions/arrivals", [payload.replace(b"\xc1rows\x01", b"\xc1rows\x02", 1)], [20])
    with pytest.raises(StorageError, match=r"later format\n  where: the log predictions/arrivals\n  got: format 2"):
        Drain(world.store)(ENDPOINT, world.context())
    assert len(list(world.store.entries("predictions/arrivals", 0))) == 2
