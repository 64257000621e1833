"""A small project over real adapters, for the tests that need more than a view."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pytest
from ibis import _

from mainstem.engines.duckdb import DuckdbEngine
from mainstem.features.materialise.step import Materialise
from mainstem.lake.iceberg import IcebergLake
from mainstem.nodes.base import Node
from mainstem.nodes.definition import Graph
from mainstem.nodes.features import feature_view
from mainstem.nodes.files import files
from mainstem.nodes.models import model
from mainstem.nodes.records import Release
from mainstem.nodes.sources import stream
from mainstem.planning.execution import Context
from mainstem.planning.plan import Step
from mainstem.project.resolve import resolve
from mainstem.state.sql import SqlState
from mainstem.stores.lmdb import LmdbStore

INSTANT = "timestamp('UTC', 6)"
NOON = datetime(2013, 12, 1, 12, tzinfo=UTC)

FLIGHT = {
    "flight_id": "string",
    "origin": "string",
    "dest": "string",
    "seats": "int64",
    "scheduled_at": INSTANT,
    "departed_at": INSTANT,
    "dep_delay": "float64",
    "arr_delay": "float64",
}
EVENT = {"origin": "string", "dep_delay": "float64", "departed_at": INSTANT}

Nodes = dict[str, Any]


def nodes(**changes: Any) -> Nodes:
    """The project's nodes; `changes` are settings of its model."""
    flights = files(
        "flights.csv",
        key="flight_id",
        time="scheduled_at",
        known={
            "*": _.scheduled_at - ibis.interval(days=30),
            "departed_at": "departed_at",
            "dep_delay": "departed_at",
            "arr_delay": _.scheduled_at + ibis.interval(hours=9),
        },
    )
    departures = stream("departures", schema=EVENT, time="departed_at")
    leg = feature_view(flights, key="flight_id", columns=["origin", "dest", "seats"])
    airport = feature_view(departures, key="origin", windows=["1h"], delay=_.dep_delay.mean(), departures=_.count())
    settings = {
        "examples": flights,
        "prediction_time": _.scheduled_at - ibis.interval(hours=1),
        "target": _.arr_delay > 15,
        "features": [leg, airport],
    }
    late = model(**(settings | changes))
    return {"flights": flights, "departures": departures, "leg": leg, "airport": airport, "late": late}


def graph_of(declared: Nodes) -> Graph:
    schemas = {"flights": FLIGHT}
    return resolve({name: node for name, node in declared.items() if isinstance(node, Node)}, schemas)


@dataclass
class World:
    """A branch with data, wired as the composition root would."""

    root: Path
    graph: Graph
    engine: DuckdbEngine = field(default_factory=DuckdbEngine)
    release: Release = field(default_factory=lambda: Release(id="rel", branch="main", run="run"))

    def __post_init__(self) -> None:
        self.lake = IcebergLake(self.root / "lake")
        self.state = SqlState(f"sqlite:///{self.root / 'state.db'}")
        self.store = LmdbStore(self.root / "online", sync=False)

    def put(self, name: str, rows: list[dict[str, Any]], schema: dict[str, str] | None = None, **more: Any) -> None:
        """Store rows of a relation; `more` goes to the commit."""
        schema = schema or dict(self.graph[name].schema or {})
        table = pa.Table.from_pylist(rows, schema=ibis.schema(schema).to_pyarrow())
        target = self.lake.target(name, schema)
        with self.engine.session({"rows": table}) as session:
            written = session.write(ibis.table(schema, name="rows"), target)
        snapshot = self.lake.commit(name, target, written, base=None, run="run", **more)
        self.release = replace(self.release, tables={**self.release.tables, name: snapshot})

    @property
    def context(self) -> Context:
        return Context("run", "main", self.graph, self.release, self.engine, self.lake, self.state)

    def fetch(self, query: ibis.Table) -> list[dict[str, Any]]:
        from mainstem.graph.lineage import leaves

        with self.context.session(leaves(query)) as session:
            rows: list[dict[str, Any]] = session.fetch(query).to_pylist()
        return rows

    def materialise(self, view: str) -> str:
        """Bring a view online, as a run that publishes would; its fingerprint there."""
        outcome = Materialise(self.store)(Step("materialise", view, "test"), self.context)
        self.release = replace(self.release, online={**self.release.online, **outcome.online})
        return outcome.online[view]

    def close(self) -> None:
        self.store.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    made: list[World] = []

    def make(declared: Nodes | None = None) -> World:
        made.append(World(tmp_path / str(len(made)), graph_of(declared or nodes())))
        return made[-1]

    yield make
    for each in made:
        each.close()


def flight(number: int, **more: Any) -> dict[str, Any]:
    """A flight scheduled `number` × 10 minutes after noon; nothing of it has happened."""
    row = {"flight_id": f"F{number}", "origin": "JFK", "dest": "LAX", "seats": 100 + number, "_seq": number}
    return row | {"scheduled_at": NOON + timedelta(minutes=10 * number)} | more


def departure(number: int, **more: Any) -> dict[str, Any]:
    """A departure `number` minutes before 11:00, which has arrived when it happened."""
    at = NOON - timedelta(hours=1, minutes=number)
    row = {"origin": "JFK", "dep_delay": float(number), "departed_at": at, "_seq": number, "_arrived": at}
    return row | more


@pytest.fixture
def small() -> Any:
    """This module: the small project's nodes and rows."""
    return sys.modules[__name__]
