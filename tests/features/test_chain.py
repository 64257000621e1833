"""Views that use other views: what their rows bring along."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import ibis
import msgspec
import pytest
from ibis import _

from mainstem.errors import DefinitionError, LeakError, SchemaError, Unavailable, UnknownName
from mainstem.features.discovery import features
from mainstem.features.offline.join import join
from mainstem.features.online.view import online_view
from mainstem.features.retrieval import compiled
from mainstem.features.views.view import Lookup
from mainstem.nodes.features import feature_view
from mainstem.nodes.files import files
from mainstem.nodes.instants import INSTANT, micros_of
from mainstem.nodes.sources import stream


def chained(small: Any, **inner: Any) -> dict[str, Any]:
    """The small project, with how much worse an airport is than all of them were when each flight left."""
    declared: dict[str, Any] = small.nodes()
    departures = declared["departures"]
    settings = {"windows": "1h", "delay": _.dep_delay.mean(), "n": _.count()}
    everywhere = feature_view(departures, **{**settings, **inner})
    worse = feature_view(
        departures,
        key="origin",
        using=everywhere,
        windows="1h",
        excess=(_.dep_delay - _.everywhere__delay_1h).mean(),
        busy=_.everywhere__n_1h.max(),
    )
    return {**declared, "everywhere": everywhere, "worse": worse}


def offline(here: Any, at: Any) -> list[dict[str, Any]]:
    examples = ibis.memtable(
        {"origin": ["EWR", "JFK", "LGA"], "at": [at] * 3}, schema={"origin": "string", "at": INSTANT}
    )
    view = compiled(here.graph, "worse")
    found = here.fetch(join(examples, "at", [Lookup(view, ("origin",), "w")]).order_by("origin"))
    return [{name: row[f"w__{name}"] for name in view.schema} for row in found]


def online(here: Any, at: Any) -> list[dict[str, Any]]:
    state = online_view(compiled(here.graph, "worse"), here.store, here.release.online)
    return [reading.values for reading in state.read([("EWR",), ("JFK",), ("LGA",)], micros_of(at))]


def logged(here: Any, rows: list[dict[str, Any]]) -> None:
    with here.store.transaction() as writer:
        columns = ("origin", "dep_delay")
        plain = [{**{c: r[c] for c in columns}, "departed_at": micros_of(r["departed_at"])} for r in rows]
        entries = [{"arrived": micros_of(r["_arrived"]), "row": p} for r, p in zip(rows, plain, strict=True)]
        writer.append("events/departures", [msgspec.msgpack.encode(entry) for entry in entries])


def test_a_row_brings_along_what_was_so_when_it_became_known(small: Any, world: Any) -> None:
    """From the lake, from the log and in the dataset: late events, ties, and airports with nothing before them."""
    here = world(chained(small))
    places = ["JFK", "LGA", "EWR", "JFK", "LGA"]
    rows = [small.departure(50 - n // 2, origin=places[n % 5], dep_delay=float(n), _seq=n) for n in range(60)]
    rows[40] = {**rows[40], "_arrived": rows[40]["departed_at"] + timedelta(minutes=8)}
    rows = sorted(rows, key=lambda row: row["_arrived"])
    rows = [{**row, "_seq": seq} for seq, row in enumerate(rows)]
    logged(here, rows)
    here.put("departures", rows[:25], cursor="25")
    here.materialise("everywhere")
    here.materialise("worse")
    live = [(at, online(here, at)) for at in (small.NOON - timedelta(minutes=m) for m in (60, 70, 85))]
    here.put("departures", rows)
    for at, served in live:
        assert served == [pytest.approx(wanted) for wanted in offline(here, at)]
    assert all(row["busy_1h"] for row in live[0][1])


def test_what_comes_later_than_the_grace_brings_nothing(small: Any, world: Any) -> None:
    here = world(chained(small, grace="5min"))
    soon, late = (small.departure(9 - n, dep_delay=9.0, _seq=n + 1) for n in range(2))
    soon["_arrived"] += timedelta(minutes=5)
    late["_arrived"] += timedelta(minutes=5, microseconds=1)
    here.put("departures", [small.departure(30, dep_delay=3.0, _seq=0), soon, late])
    assert offline(here, small.NOON)[1] == {"excess_1h": None, "busy_1h": None}
    eleven = small.NOON - timedelta(hours=1)
    (jfk,) = [offline(here, eleven)[1]]
    assert jfk == {"excess_1h": 6.0, "busy_1h": 1}, "the late one counts nothing, so 0 before it, and has no mean"


def test_what_others_have_forgotten_is_not_made_up(small: Any, world: Any) -> None:
    here = world(chained(small, grace="1min"))
    here.put("departures", [])
    here.materialise("everywhere")
    here.materialise("worse")
    state = online_view(compiled(here.graph, "worse"), here.store, here.release.online)
    rows = [small.departure(n) for n in (300, 10, 290)]
    columns = {c: [r[c] for r in rows] for c in ("origin", "dep_delay")} | {"_seq": [0, 1, 2]}
    columns |= {c: [micros_of(r[c]) for r in rows] for c in ("departed_at", "_arrived")}
    for n in range(len(rows)):
        with here.store.transaction() as writer:
            state.used[0].apply(writer, {name: values[n : n + 1] for name, values in columns.items()})
    with here.store.transaction() as writer:
        state.apply(writer, {name: values[-1:] for name, values in columns.items()})
    meta, late = state.meta(), columns["departed_at"][-1]
    assert meta.lacking and meta.complete_from > late + 3_600_000_000
    with pytest.raises(Unavailable, match="'worse' lacks an event that came late"):
        state.read([("JFK",)], meta.complete_from - 1)
    (after,) = state.read([("JFK",)], meta.complete_from)
    assert after.missing


def test_another_definition_of_what_is_used_is_another_view(small: Any, world: Any) -> None:
    one, other = world(chained(small)).graph, world(chained(small, closed="both")).graph
    assert one["worse"].read_fingerprint != other["worse"].read_fingerprint
    assert one["leg"].read_fingerprint == other["leg"].read_fingerprint
    assert one["worse"].inputs == ("departures", "everywhere")


def test_what_another_stream_has_gained_builds_nothing_anew(small: Any, world: Any) -> None:
    declared = small.nodes()
    taxis = stream("taxis", schema=small.EVENT, time="departed_at")
    queue = feature_view(taxis, key="origin", windows="1h", n=_.count())
    busy = feature_view(declared["departures"], key="origin", using=queue, windows="1h", most=_.queue__n_1h.max())
    here = world({**declared, "taxis": taxis, "queue": queue, "busy": busy})
    here.put("departures", [small.departure(5)])
    here.put("taxis", [small.departure(9)])
    here.materialise("queue")
    first = here.materialise("busy")
    here.put("taxis", [small.departure(9), small.departure(8, _seq=9)])
    here.materialise("queue")
    assert here.materialise("busy") == first


def test_lineage_names_the_other_view(small: Any, world: Any) -> None:
    here = world(chained(small))
    assert features(here.context, "worse")[0]["from"] == "departures.dep_delay, everywhere.delay_1h"


def test_a_key_may_come_from_another_view(small: Any, world: Any) -> None:
    declared = small.nodes()
    flights = declared["flights"]
    way = feature_view(flights, key="flight_id", columns=["dest"], closed="both")
    seats = feature_view(flights, key="way__dest", using=way, columns=["seats"])
    here = world({**declared, "way": way, "seats": seats})
    here.put("flights", [small.flight(n, dest="LAX") for n in range(3)])
    view = compiled(here.graph, "seats")
    here.materialise("way")
    here.materialise("seats")
    state = online_view(view, here.store, here.release.online)
    (reading,) = state.read([("LAX",)], micros_of(small.NOON))
    assert view.key == {"way__dest": "string"} and reading.values == {"seats": 102}


def test_what_nobody_can_say_of_a_view_nobody_can_say_of_what_uses_it(small: Any, world: Any) -> None:
    shops = files("shops.csv", key="origin", schema={"origin": "string", "seats": "int64"})
    shop = feature_view(shops, key="origin", columns=["seats"])
    declared = small.nodes()
    size = feature_view(declared["departures"], key="origin", using=shop, windows="1h", most=_.shop__seats.max())
    with pytest.raises(LeakError, match="its availability is unknown"):
        late = replace(declared["late"], features=(size,))
        world({**declared, "shops": shops, "shop": shop, "size": size, "late": late})


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"key": "origin", "using": "leg", "columns": ["leg__seats"]}, UnknownName, "flight_id"),
        ({"using": "airport on dep_delay", "columns": ["origin"]}, SchemaError, "dep_delay"),
        ({"using": "airport airport", "columns": ["origin"]}, DefinitionError, "airport__delay_1h"),
        ({"using": "airport", "columns": ["airport__dely_1h"]}, UnknownName, "airport__delay_1h"),
    ],
)
def test_what_does_not_fit_is_refused(small: Any, world: Any, settings: Any, error: Any, message: str) -> None:
    declared = small.nodes()
    name, _, on = settings["using"].partition(" on ")
    using = [declared[each].on(on) if on else declared[each] for each in name.split()]
    view = feature_view(declared["departures"], **{**settings, "using": using})
    with pytest.raises(error, match=message) as caught:
        world({**declared, "wrong": view})
    assert "wrong (test_chain.py" in str(caught.value)


def test_of_a_stream_of_changes_others_decide_neither_key_nor_order(small: Any, world: Any) -> None:
    declared = small.nodes()
    changes = stream("changes", schema=small.EVENT | {"id": "int64"}, key="id", time="departed_at", changes=True)
    view = feature_view(changes, key="airport__departures_1h", using=declared["airport"], columns=["dep_delay"])
    with pytest.raises(DefinitionError, match="it belongs to another view"):
        world({**declared, "changes": changes, "wrong": view})
