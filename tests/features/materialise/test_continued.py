"""A state that continues from that of an earlier snapshot answers as one that is loaded from the lake."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

import ibis
import pyarrow as pa
import pytest
from ibis import _

from mainstem.features.materialise.step import Materialise
from mainstem.features.online.loading import Loading
from mainstem.features.online.view import OnlineView
from mainstem.features.retrieval import compiled
from mainstem.nodes.features import feature_view
from mainstem.nodes.files import files
from mainstem.nodes.instants import micros_of
from mainstem.planning.plan import Step
from mainstem.ports import Append, ReplaceFiles

STEPS = 6
KEYS = [f"K{n}" for n in range(60)]


def declared(small: Any) -> dict[str, Any]:
    known = {"*": _.scheduled_at, "dep_delay": "departed_at"}
    flights = files("flights.csv", key="flight_id", time="scheduled_at", known=known)
    return {
        "flights": flights,
        "latest": feature_view(flights, key="origin", columns=["dest", "seats"], grace="2h"),
        "fresh": feature_view(flights, key="origin", columns=["seats", "dep_delay"], ttl="5h", grace="2h"),
        "busy": feature_view(flights, key=["origin", "dest"], windows=["1h", "6h"], n=_.count(), s=_.seats.sum()),
        "last": feature_view(flights, key="origin", windows="6h", seats=_.seats.last(), delay=_.dep_delay.mean()),
    }


class History:
    """Snapshots of a table, each of which shares most files with the one before."""

    def __init__(self, here: Any, small: Any, seed: int) -> None:
        self.here, self.small, self.draw, self.made = here, small, random.Random(seed), 0
        self.rows: dict[str, list[dict[str, Any]]] = {}

    def flights(self, count: int) -> list[dict[str, Any]]:
        found = []
        for _each in range(count):
            at = self.small.NOON + timedelta(minutes=10 * self.made + self.draw.randint(-90, 90))
            later = at + timedelta(minutes=self.draw.randint(0, 200))
            found.append(
                self.small.flight(self.made, origin=self.draw.choice(KEYS), dest=self.draw.choice("AB"))
                | {"scheduled_at": at, "departed_at": later, "dep_delay": float(self.draw.randint(0, 60))}
            )
            self.made += 1
        return found

    def commit(self, rows: list[dict[str, Any]], gone: list[str]) -> None:
        """Replace files by one of these rows."""
        schema = dict(self.here.graph["flights"].schema)
        target = self.here.lake.target("flights", schema)
        table = pa.Table.from_pylist(rows, schema=ibis.schema(schema).to_pyarrow())
        with self.here.engine.session({"rows": table}) as session:
            written = session.write(ibis.table(schema, name="rows"), target)
        change = ReplaceFiles(tuple(gone)) if gone else Append()
        base = self.here.release.tables.get("flights")
        snapshot = self.here.lake.commit("flights", target, written, base=base, run="run", change=change)
        self.here.release = replace(self.here.release, tables={**self.here.release.tables, "flights": snapshot})
        for path in gone:
            del self.rows[path]
        (new,) = set(self.here.lake.scan(snapshot).files) - self.rows.keys() if rows else ("",)
        self.rows |= {new: rows} if rows else {}

    def step(self) -> None:
        """New rows come, or some are corrected, deleted or moved to another key."""
        gone: list[str] = []
        rows = self.flights(self.draw.randint(0, 4))
        if self.draw.random() < 0.5:
            gone = [self.draw.choice(sorted(self.rows))]
            for row in self.rows[gone[0]]:
                fate = self.draw.random()
                if fate < 0.1:
                    rows.append(row | {"origin": self.draw.choice(KEYS)})
                elif fate < 0.3:
                    rows.append(row | {"seats": self.draw.randint(90, 300)})
                elif fate < 0.9:
                    rows.append(row)
        if rows or gone:
            self.commit(rows, gone)


@pytest.mark.parametrize(("seed", "long"), [(0, 32_768), (2, 150)])
def test_it_answers_as_a_state_that_is_loaded(
    small: Any, world: Any, monkeypatch: pytest.MonkeyPatch, seed: int, long: int
) -> None:
    monkeypatch.setattr("mainstem.features.online.records.LONG", long)
    here = world(declared(small))
    history = History(here, small, seed)
    for _each in range(8):
        history.commit(history.flights(25), [])
    anew = 0
    for _step in range(STEPS):
        history.step()
        for name in ("latest", "fresh", "busy", "last"):
            outcome = Materialise(here.store)(Step("materialise", name, "test"), here.context)
            here.release = replace(here.release, online={**here.release.online, **outcome.online})
            anew += "loaded anew" in outcome.message
            state = OnlineView(compiled(here.graph, name), here.store, outcome.online[name])
            fresh = Materialise(here.store, rebuild=True)(Step("materialise", name, "test"), here.context)
            other = OnlineView(compiled(here.graph, name), here.store, fresh.online[name])
            _agree(state, other, history)
            assert outcome.published in (None, fresh.published)
    assert anew > STEPS


def _agree(state: OnlineView, other: OnlineView, history: History) -> None:
    meta, theirs = state.meta(), other.meta()
    assert (meta.watermark, meta.newest, meta.second) == (theirs.watermark, theirs.newest, theirs.second)
    assert meta.complete_from <= theirs.complete_from or meta.complete_from <= meta.watermark - state.view.grace
    keys = [(key,) for key in KEYS] if len(state.view.key) == 1 else [(key, to) for key in KEYS for to in "AB"]
    newest = micros_of(history.small.NOON + timedelta(minutes=10 * history.made))
    start = max(meta.complete_from, theirs.complete_from, meta.watermark - state.view.grace)
    for t in (start, start + 3_600_000_000, max(start, newest), start + 9 * 3_600_000_000):
        assert state.read(keys, t) == other.read(keys, t)


def test_an_interrupted_continuation_begins_again(small: Any, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mainstem.features.materialise.continued.RECORDS_PER_TRANSACTION", 7)
    here = world(declared(small))
    history = History(here, small, 1)
    for _each in range(8):
        history.commit(history.flights(25), [])
    step = Step("materialise", "latest", "test")
    first = Materialise(here.store)(step, here.context).online
    here.release = replace(here.release, online=first)
    history.commit(history.flights(3), [])
    put, calls = Loading.put, []

    def killed(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        put(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Loading, "put", killed)
        Materialise(here.store)(step, here.context)
    history.commit(history.flights(2), [sorted(history.rows)[0]])  # keys of the file that is gone were copied already
    outcome = Materialise(here.store)(step, here.context)
    assert "loaded anew" in outcome.message
    here.release = replace(here.release, online=outcome.online)
    state = OnlineView(compiled(here.graph, "latest"), here.store, outcome.online["latest"])
    fresh = Materialise(here.store, rebuild=True)(step, here.context).online["latest"]
    other = OnlineView(compiled(here.graph, "latest"), here.store, fresh)
    _agree(state, other, history)
    assert here.store.count(state.space) == here.store.count(other.space)


@pytest.mark.parametrize("seed", range(2))
def test_a_state_of_mostly_other_rows_is_loaded_as_a_whole(small: Any, world: Any, seed: int) -> None:
    here = world(declared(small))
    history = History(here, small, seed)
    history.commit(history.flights(100), [])
    step = Step("materialise", "latest", "test")
    here.release = replace(here.release, online=Materialise(here.store)(step, here.context).online)
    history.commit(history.flights(100), sorted(history.rows))
    outcome = Materialise(here.store)(step, here.context)
    assert outcome.message == f"{outcome.published} keys online"
