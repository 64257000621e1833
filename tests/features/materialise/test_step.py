"""From the lake to the online store, and on with the log."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from ibis import _

from mainstem.errors import ConflictError, RequestError
from mainstem.features.materialise.step import Loaded, Materialise, _told, fingerprint_of
from mainstem.features.online.expiry import expire
from mainstem.features.online.loading import Loading
from mainstem.features.online.meta import META, Meta, encode_meta
from mainstem.features.online.packing import encode_key
from mainstem.features.online.view import OnlineView
from mainstem.features.retrieval import compiled
from mainstem.nodes.features import feature_view
from mainstem.nodes.instants import micros_of
from mainstem.planning.plan import Step


def view_of(here: Any, name: str) -> OnlineView:
    return OnlineView(compiled(here.graph, name), here.store, here.release.online[name])


def logged(small: Any, *rows: dict[str, Any]) -> list[bytes]:
    """Events as the log has them."""
    return [
        msgspec.msgpack.encode(
            {
                "arrived": micros_of(row["_arrived"]),
                "row": {
                    "origin": row["origin"],
                    "dep_delay": row["dep_delay"],
                    "departed_at": micros_of(row["departed_at"]),
                },
            }
        )
        for row in rows
    ]


def read(here: Any, at: Any, name: str = "airport", key: str = "JFK") -> dict[str, Any]:
    (reading,) = view_of(here, name).read([(key,)], micros_of(at))
    return reading.values


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((1, 1, 1), "1 key online, 1 event taken in, 1 record expired"),
        ((0, 2, 1_000), "0 keys online, 2 events taken in, 1,000 records expired"),
        ((None, 0, 0), "online state unchanged"),
    ],
)
def test_what_a_step_says_of_itself(counts: tuple[int | None, int, int], said: str) -> None:
    keys, *others = counts
    assert _told(None if keys is None else Loaded(keys), *others) == said


def test_the_state_answers_as_the_lake_does(small: Any, world: Any) -> None:
    here = world()
    here.put("departures", [small.departure(n) for n in range(5)])
    here.materialise("airport")
    eleven = small.NOON - timedelta(hours=1)
    assert read(here, eleven) == {"delay_1h": 2.5, "departures_1h": 4}
    assert read(here, eleven, key="LGA") == {"delay_1h": None, "departures_1h": 0}
    (reading,) = view_of(here, "airport").read([("JFK",)], micros_of(eleven))
    assert reading.effective == micros_of(eleven - timedelta(minutes=1))
    assert reading.start == micros_of(eleven - timedelta(hours=1))
    assert not reading.missing and view_of(here, "airport").read([("LGA",)], micros_of(eleven))[0].missing


def test_a_view_without_a_key_is_of_all_rows(small: Any, world: Any) -> None:
    declared = small.nodes()
    declared["everywhere"] = feature_view(
        declared["departures"], windows="1h", departures=_.count(), last=_.origin.last()
    )
    here = world(declared)
    there = [small.departure(n, origin=origin) for n, origin in enumerate(["JFK", "LGA", "EWR"])]
    here.put("departures", there)
    here.materialise("everywhere")
    eleven = micros_of(small.NOON - timedelta(hours=1)) + 1
    (reading,) = view_of(here, "everywhere").read([()], eleven)
    assert reading.values == {"departures_1h": 3, "last_1h": "JFK"}
    with here.store.transaction() as writer:
        columns = {"origin": ["SFO"], "dep_delay": [2.0], "_seq": [9], "departed_at": [eleven], "_arrived": [eleven]}
        view_of(here, "everywhere").apply(writer, columns)
    (reading,) = view_of(here, "everywhere").read([()], eleven + 1)
    assert reading.values == {"departures_1h": 4, "last_1h": "SFO"}


def test_logged_events_follow_the_lake_and_none_counts_twice(small: Any, world: Any) -> None:
    """The lake has offsets 0 and 1 of the log, the log still has all of 0 to 3."""
    here = world()
    events = [small.departure(4 - n, _seq=n) for n in range(4)]
    here.put("departures", events[:2], cursor="2")
    with here.store.transaction() as writer:
        writer.append("events/departures", logged(small, *events))
    here.materialise("airport")
    assert view_of(here, "airport").meta().offset == 4
    assert read(here, small.NOON - timedelta(hours=1)) == {"delay_1h": 2.5, "departures_1h": 4}
    with here.store.transaction() as writer:
        again = {"_seq": [2, 3], **{c: [e[c] for e in events[2:]] for c in ("origin", "dep_delay")}}
        for column in ("departed_at", "_arrived"):
            again[column] = [micros_of(e[column]) for e in events[2:]]
        view_of(here, "airport").apply(writer, again)
    assert read(here, small.NOON - timedelta(hours=1)) == {"delay_1h": 2.5, "departures_1h": 4}


def test_materialising_again_does_not_overwrite_newer_state(small: Any, world: Any) -> None:
    here = world()
    here.put("departures", [small.departure(4, _seq=0)], cursor="1")
    first = here.materialise("airport")
    with here.store.transaction() as writer:
        newer = small.departure(2, _seq=1)
        assert writer.append("events/departures", logged(small, small.departure(4), newer)) == 0
        columns = {"origin": ["JFK"], "dep_delay": [2.0], "_seq": [1]}
        columns |= {c: [micros_of(newer[c])] for c in ("departed_at", "_arrived")}
        view_of(here, "airport").apply(writer, columns, 2)
    assert here.materialise("airport") == first
    assert read(here, small.NOON - timedelta(hours=1)) == {"delay_1h": 3.0, "departures_1h": 2}


def test_a_new_snapshot_of_a_table_is_built_beside_the_old_one(small: Any, world: Any) -> None:
    here = world()
    here.put("flights", [small.flight(0), small.flight(1)])
    first = here.materialise("leg")
    old = view_of(here, "leg")
    here.put("flights", [small.flight(0, seats=7)])
    second = here.materialise("leg")
    assert first != second
    at = micros_of(small.NOON)
    assert [r.values["seats"] for r in old.read([("F0",), ("F1",)], at)] == [100, 101]
    assert [r.values["seats"] for r in view_of(here, "leg").read([("F0",), ("F1",)], at)] == [7, None]
    here.put("flights", [small.flight(0, seats=8)])
    here.materialise("leg")
    assert here.store.count(old.space) == 0, "what no release can refer to any more is cleared"


def test_an_interrupted_load_goes_on(small: Any, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mainstem.features.materialise.packed.ROWS_PER_BATCH", 2_048)
    here = world()
    here.put("flights", [small.flight(n) for n in range(7_000)])
    context = here.context
    said: list[str] = []

    def interrupt(message: str) -> None:
        said.append(message)
        if len(said) == 2:
            raise KeyboardInterrupt

    context.report = interrupt
    with pytest.raises(KeyboardInterrupt):
        Materialise(here.store)(Step("materialise", "leg", "test"), context)
    done: list[str] = []
    context.report = done.append
    outcome = Materialise(here.store)(Step("materialise", "leg", "test"), context)
    assert said + done == [
        "leg: 2,047 keys",
        "leg: 4,095 keys",
        "leg: 6,143 keys",
        "leg: 6,999 keys",
        "leg: 7,000 keys",
    ]
    state = OnlineView(compiled(here.graph, "leg"), here.store, outcome.online["leg"])
    found = state.read([(f"F{n}",) for n in range(7_000)], micros_of(small.NOON + timedelta(days=60)))
    assert [r.values["seats"] for r in found] == [100 + n for n in range(7_000)]


def test_a_view_of_nothing_knows_nobody(small: Any, world: Any) -> None:
    here = world()
    here.put("departures", [])
    here.put("flights", [])
    here.materialise("airport")
    here.materialise("leg")
    assert read(here, small.NOON) == {"delay_1h": None, "departures_1h": 0}
    assert read(here, small.NOON, "leg", "F0") == {"origin": None, "dest": None, "seats": None}


def test_a_view_of_more_keys_than_one_batch(small: Any, world: Any) -> None:
    """Arrow comes in batches of 65,536 rows, and their borders fall within keys."""
    here = world()
    at = small.NOON - timedelta(hours=2)
    rows = [
        {"origin": f"K{n // 3}", "dep_delay": float(n), "departed_at": at, "_seq": n, "_arrived": at}
        for n in range(150_000)
    ]
    here.put("departures", rows)
    here.materialise("airport")
    keys = [(f"K{n}",) for n in (0, 1, 21_845, 21_846, 49_999)]
    found = view_of(here, "airport").read(keys, micros_of(at) + 1)
    assert [r.values for r in found] == [
        {"delay_1h": float(3 * int(key[1:]) + 1), "departures_1h": 3} for (key,) in keys
    ]


def test_a_key_of_many_events_is_in_parts_and_goes_on(small: Any, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mainstem.features.online.records.LONG", 1_000)
    here = world()
    here.put("departures", [small.departure(n, _seq=n) for n in range(100)], cursor="100")
    here.materialise("airport")
    view = view_of(here, "airport")
    parts = here.store.count(view.space)
    assert parts > 6, "the view's record, one or two blocks, and parts"
    noon = small.NOON - timedelta(hours=1)

    def seen() -> tuple[int, ...]:
        return tuple(read(here, noon - timedelta(minutes=m))["departures_1h"] for m in (0, 20, 50, 99))

    assert seen() == (60, 60, 49, 0)
    late = micros_of(noon - timedelta(minutes=90, seconds=30))
    with here.store.transaction() as writer:
        columns = {"origin": ["JFK"], "dep_delay": [1.0], "departed_at": [late], "_seq": [100], "_arrived": [late]}
        view.apply(writer, columns, 101)
    assert seen() == (60, 60, 50, 0)
    assert here.store.count(view.space) == parts


def test_reads_before_the_grace_are_refused(small: Any, world: Any) -> None:
    here = world()
    here.put("departures", [small.departure(0), small.departure(60 * 24 * 3)])
    here.materialise("airport")
    with pytest.raises(RequestError, match="does not reach back that far") as caught:
        read(here, small.NOON - timedelta(days=2))
    assert "2013-11-30T11:00:00" in str(caught.value)
    assert read(here, small.NOON - timedelta(hours=24)) == {"delay_1h": None, "departures_1h": 0}


def test_old_events_are_forgotten_when_new_ones_have_come(small: Any, world: Any) -> None:
    here = world()
    here.put("departures", [small.departure(n) for n in range(3)], cursor="0")
    here.materialise("airport")
    view = view_of(here, "airport")
    for day in range(1, 6):
        at = micros_of(small.NOON + timedelta(days=day))
        with here.store.transaction() as writer:
            columns = {
                "origin": ["JFK"],
                "dep_delay": [1.0],
                "departed_at": [at],
                "_seq": [100 + day],
                "_arrived": [at],
            }
            view.apply(writer, columns, day)
    assert here.store.count(view.space) == 1 + 2 + 5 and expire(view) == 5 and expire(view) == 0
    assert here.store.count(view.space) == 1 + 2, "the view's record, and the blocks of two days"
    assert view.meta().complete_from == micros_of(small.NOON + timedelta(days=4))
    assert read(here, small.NOON + timedelta(days=5, minutes=1))["departures_1h"] == 1


def test_of_two_loads_of_one_state_the_later_goes_on_and_the_other_fails(
    small: Any, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first had still to write would have been put over events that came since."""
    monkeypatch.setattr("mainstem.features.materialise.packed.ROWS_PER_BATCH", 2_048)
    here = world()
    at = small.NOON - timedelta(hours=2)
    rows = [
        {"origin": f"K{n:04d}", "dep_delay": 1.0, "departed_at": at, "_seq": n, "_arrived": at} for n in range(5_000)
    ]
    here.put("departures", rows, cursor="0")
    first, second = here.context, here.context

    def overtaken(message: str) -> None:
        if not here.release.online:
            outcome = Materialise(here.store)(Step("materialise", "airport", "test"), second)
            here.release = replace(here.release, online=outcome.online)
            newer = small.departure(0, origin="K4999", departed_at=at, _arrived=at, _seq=9_000)
            columns = {"origin": ["K4999"], "dep_delay": [3.0], "_seq": [9_000]}
            columns |= {c: [micros_of(newer[c])] for c in ("departed_at", "_arrived")}
            with here.store.transaction() as writer:
                view_of(here, "airport").apply(writer, columns)

    first.report = overtaken
    with pytest.raises(ConflictError, match="another run brings the view 'airport' online"):
        Materialise(here.store)(Step("materialise", "airport", "test"), first)
    assert read(here, at + timedelta(minutes=1), key="K4999") == {"delay_1h": 2.0, "departures_1h": 2}
    assert read(here, at + timedelta(minutes=1), key="K0000") == {"delay_1h": 1.0, "departures_1h": 1}


def test_what_an_interrupted_load_of_a_stream_left_is_not_mixed_with_the_next(
    small: Any, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mainstem.features.online.loading.RECORDS_PER_TRANSACTION", 2)
    here = world()
    rows = [small.departure(n, origin=f"K{n}") for n in range(5)]
    here.put("departures", rows)
    loading = Loading(here.store, "airport", fingerprint_of(here.context, "airport"))
    loading.begin(resume=False)
    loading.put([(encode_key((f"K{n}",)), b"of a load that was killed") for n in range(9)], Meta(loaded=9))
    here.put("departures", rows[1:])
    here.materialise("airport")
    view = view_of(here, "airport")
    assert view.read([("K0",)], micros_of(small.NOON - timedelta(hours=1)))[0].missing
    assert here.store.count(view.space) == 1 + 4
    assert read(here, small.NOON - timedelta(hours=1), key="K4")["departures_1h"] == 1


def test_a_state_that_lacks_what_the_log_has_forgotten_is_built_anew_beside_it(small: Any, world: Any) -> None:
    here = world()
    events = [small.departure(4 - n, _seq=n) for n in range(4)]
    with here.store.transaction() as writer:
        writer.append("events/departures", logged(small, *events))
    here.put("departures", events[:1], cursor="1")
    first = here.materialise("airport")
    lagging = view_of(here, "airport")
    with here.store.transaction() as writer:  # as if no server had followed since
        writer.put(lagging.space, META, encode_meta(msgspec.structs.replace(lagging.meta(), offset=1)))
    here.put("departures", events[:3], cursor="3")
    here.store.trim("events/departures", 3)
    assert here.materialise("airport") == f"{first}.1"
    assert read(here, small.NOON - timedelta(hours=1)) == {"delay_1h": 2.5, "departures_1h": 4}
    assert lagging.meta().ready, "what the published release refers to is there until the next one is"
    assert here.materialise("airport") == f"{first}.1" and here.store.count(lagging.space) == 0


def test_a_rebuild_is_beside_the_live_state_which_stays_as_it_was(small: Any, world: Any) -> None:
    here = world()
    here.put("flights", [small.flight(0)])
    first = here.materialise("leg")
    live = view_of(here, "leg")
    key, at = [("F0",)], micros_of(small.NOON)
    with here.store.transaction() as writer:
        writer.put(live.space, encode_key(("F0",)), b"damaged")
    step, context = Step("materialise", "leg", "test"), here.context
    assert Materialise(here.store)(step, context).online == {"leg": first}
    rebuilt = Materialise(here.store, rebuild=True)(step, context).online["leg"]
    assert rebuilt == f"{first}.1" and here.store.read(live.space, [encode_key(("F0",))]) == [b"damaged"]
    view = OnlineView(compiled(here.graph, "leg"), here.store, rebuilt, published=True)
    assert view.read(key, at)[0].values["seats"] == 100
    here.release = replace(here.release, online={"leg": rebuilt})
    assert Materialise(here.store, rebuild=True)(step, here.context).online == {"leg": f"{first}.2"}
    assert here.store.count(live.space) == 0
