"""A small world: flights with a schedule, departures as they come, a model of three inputs; all adapters are real."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import ibis
import pyarrow as pa
from ibis import _

from mainstem.engines.duckdb import DuckdbEngine
from mainstem.features.materialise.step import Materialise
from mainstem.lake.iceberg import IcebergLake
from mainstem.models.artifact import manifest
from mainstem.nodes.challengers import challenger
from mainstem.nodes.definition import Graph
from mainstem.nodes.endpoints import endpoint
from mainstem.nodes.features import feature_view, on_demand
from mainstem.nodes.files import files
from mainstem.nodes.kafka import kafka
from mainstem.nodes.models import Task, model
from mainstem.nodes.records import Binding, InputColumn, ModelVersion, Release, new_id
from mainstem.nodes.reductions import last_k
from mainstem.nodes.sources import stream
from mainstem.planning.execution import Context
from mainstem.planning.plan import Step
from mainstem.project.resolve import resolve
from mainstem.serving.app import create_app
from mainstem.serving.http.routing import Route
from mainstem.serving.journal import Journal
from mainstem.serving.limits import Limits
from mainstem.serving.server import Loop, listen, server, url_of
from mainstem.serving.service import Service
from mainstem.state.sql import SqlState
from mainstem.stores.lmdb import LmdbStore
from mainstem.streaming.drain import Drain

INSTANT = "timestamp('UTC', 6)"
NOON = datetime(2013, 12, 1, 12, tzinfo=UTC)

EVENT = {"flight_id": "string", "origin": "string", "dep_delay": "float64", "departed_at": INSTANT}
FLIGHT = {
    "flight_id": "string",
    "origin": "string",
    "distance": "float64",
    "scheduled_at": INSTANT,
    "arrived_at": INSTANT,
    "arr_delay": "float64",
}


def definitions(threshold: float | None = None) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    past = files("past.csv", key="flight_id", time="departed_at")
    flights = files(
        "flights.csv",
        key="flight_id",
        time="scheduled_at",
        known={
            "*": _.scheduled_at - ibis.interval(days=30),
            "arr_delay": "arrived_at",
            "arrived_at": "arrived_at",
        },
    )
    departures = stream("departures", schema=EVENT, key="flight_id", time="departed_at", history=past)
    leg = feature_view(flights, key="flight_id", columns=["origin"], grace="60d")
    airport = feature_view(
        departures,
        key="origin",
        windows=["1h"],
        delay=_.dep_delay.mean(),
        departures=_.count(),
        recent=last_k(_.dep_delay, 2),
        grace="60d",
    )
    computed = on_demand(busy=_.airport__departures_1h > 1, newest=_.airport__recent_1h[0])
    late = model(
        examples=flights,
        prediction_time=_.scheduled_at - ibis.interval(hours=1),
        target=_.arr_delay > 15,
        features=[leg, airport, computed, "distance"],
    )
    arrivals = endpoint(late, threshold=threshold, description="Will it be late?")
    nodes = {
        "past": past,
        "flights": flights,
        "departures": departures,
        "leg": leg,
        "airport": airport,
        "late": late,
        "arrivals": arrivals,
    }
    return nodes, {"past": EVENT, "flights": FLIGHT}


def artifact(root: Path, number: int, bias: float = 0.0, classes: Mapping[str, float] | None = None) -> ModelVersion:
    """sigmoid(bias + 0.1 · delay + busy), a missing delay as 0; `leg__origin` is taken and not used.

    With `classes`, each has the same probability for every row.
    """
    from onnx import TensorProto, checker, helper

    filled = [
        helper.make_node("IsNaN", ["floats"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "floats"], ["filled"]),
        helper.make_node("MatMul", ["filled", "weights"], ["product"]),
    ]
    binary = [
        helper.make_node("Add", ["product", "bias"], ["sum"]),
        helper.make_node("Sigmoid", ["sum"], ["column"]),
        helper.make_node("Squeeze", ["column", "axis"], ["score"]),
    ]
    several = [helper.make_node("Add", ["product", "bias"], ["score"])]
    width, biases = (len(classes), [*classes.values()]) if classes else (1, [bias])
    weights = [0.0] * 3 * width if classes else [0.1, 1.0, 0.0]
    constants = [
        helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0]),
        helper.make_tensor("weights", TensorProto.FLOAT, [3, width], weights),
        helper.make_tensor("bias", TensorProto.FLOAT, [width], biases),
        helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
    ]
    inputs = [
        helper.make_tensor_value_info("floats", TensorProto.FLOAT, ["n", 3]),
        helper.make_tensor_value_info("strings", TensorProto.STRING, ["n", 1]),
    ]
    outputs = [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n", width] if classes else ["n"])]
    graph = helper.make_graph([*filled, *(several if classes else binary)], "late", inputs, outputs, constants)
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(built)
    directory = root / "models" / "late" / str(number)
    directory.mkdir(parents=True)
    body = built.SerializeToString()
    (directory / "model.onnx").write_bytes(body)
    columns = (
        InputColumn("airport__delay_1h", "float"),
        InputColumn("busy", "float"),
        InputColumn("distance", "float"),
        InputColumn("leg__origin", "string"),
    )
    task: Task = "multiclass" if classes else "binary"
    names, path, sha = tuple(classes or ()), f"models/late/{number}", hashlib.sha256(body).hexdigest()
    described = manifest.Manifest("late", number, task, "by hand", "average_precision", columns, sha, names)
    (directory / "manifest.json").write_bytes(manifest.encode(described))
    return ModelVersion(f"late-{number}", "late", number, "run", "f", path, task, "by hand", "-", columns, names)


@dataclass
class World:
    """A project on one branch, as the composition root would wire it."""

    root: Path
    graph: Graph
    engine: DuckdbEngine
    lake: IcebergLake
    state: SqlState
    store: Any

    @property
    def release(self) -> Release:
        head = self.state.head("main")
        return (self.state.get(Release, head) if head else None) or Release(id="", branch="main", run="")

    def publish(self, **changes: Any) -> Release:
        before = self.release
        release = replace(before, id=new_id("rel"), parent=before.id or None, **changes)
        self.state.save(release)
        self.state.move("main", release.id, expect=before.id or None)
        return release

    def context(self) -> Context:
        return Context(new_id("run"), "main", self.graph, self.release, self.engine, self.lake, self.state)

    def run(self, *steps: Step) -> Context:
        """Execute steps as a run would, and publish."""
        context = self.context()
        executors = {"drain": Drain(self.store), "materialise": Materialise(self.store)}
        for step in steps:
            context.absorb(step, executors[step.kind](step, context))
        release = context.release
        self.publish(
            tables=release.tables, cutovers=release.cutovers, online=release.online, fingerprints=release.fingerprints
        )
        return context

    def close(self) -> None:
        for adapter in (self.store, self.lake, self.state):
            with suppress(AttributeError):
                adapter.close()

    def put(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Store and publish rows of a source."""
        schema = dict(self.graph[name].schema or {})
        arrow = pa.Table.from_pylist(
            [{"_seq": i, **row} for i, row in enumerate(rows)], schema=ibis.schema(schema).to_pyarrow()
        )
        target = self.lake.target(name, schema)
        with self.engine.session({"rows": arrow}) as session:
            written = session.write(ibis.table(schema, name="rows"), target)
        snapshot = self.lake.commit(name, target, written, base=None, run="run")
        self.publish(tables={**self.release.tables, name: snapshot})

    def feed(self, servers: str, topic: str, **settings: Any) -> None:
        """Feed the stream from a topic, as its declaration could say."""
        object.__setattr__(self.graph["departures"].node, "from_", kafka(servers, topic, **settings))

    def rows(self, name: str) -> list[dict[str, Any]]:
        snapshot = self.release.tables[name]
        with self.engine.session({name: self.lake.scan(snapshot)}) as session:
            return session.fetch(ibis.table({f.name: f.type for f in snapshot.fields}, name=name)).to_pylist()

    def promote(self, version: ModelVersion) -> None:
        self.state.save(version)
        self.publish(endpoints={"arrivals": Binding(version.id)}, models={"late": version.id})

    def challenge(self, version: ModelVersion) -> None:
        """Publish a newer version, and do not promote it."""
        self.state.save(version)
        self.publish(models={"late": version.id})

    def declare(self, **options: Any) -> None:
        """Declare options of the endpoint, as its declaration could say."""
        for name, value in options.items():
            object.__setattr__(self.graph["arrivals"].node, name, value)

    def shadowed(self) -> None:
        self.declare(shadow=(challenger(self.graph["late"].node),))

    def service(self, limits: Limits | None = None, *, keyless: bool = False) -> Service:
        return Service(
            "flights",
            lambda: (self.graph, self.release),
            lambda: self.state.head("main"),
            state=self.state,
            store=self.store,
            artifacts=self.root,
            limits=limits or Limits(poll=0.05),
            keyless=keyless,
        )


def open_world(root: Path, threshold: float | None = None, store: Any = None) -> World:
    """A world in LMDB, or in a store that is opened already."""
    nodes, schemas = definitions(threshold)
    lake = IcebergLake(root / "lake")
    state = SqlState(f"sqlite:///{root / 'state.db'}")
    return World(
        root,
        resolve(nodes, schemas),
        DuckdbEngine(directories=[root]),
        lake,
        state,
        store or LmdbStore(root / "online"),
    )


def flight(number: int, **more: Any) -> dict[str, Any]:
    scheduled = NOON + timedelta(minutes=10 * number)
    return {"flight_id": f"F{number}", "origin": "JFK", "distance": 500.0, "scheduled_at": scheduled, **more}


def departure(number: int, **more: Any) -> dict[str, Any]:
    at = NOON - timedelta(minutes=50) + timedelta(minutes=number)
    return {"flight_id": f"E{number}", "origin": "JFK", "dep_delay": 10.0, "departed_at": at.isoformat(), **more}


def begun(root: Path, threshold: float | None = None, store: Any = None) -> World:
    """A world with data, and its views online; what is 100 days old is forgotten there."""
    world = open_world(root, threshold, store)
    world.put("flights", [flight(n) for n in range(3)])
    past = {"origin": "JFK", "dep_delay": 4.0}
    ago = {"P0": timedelta(days=100), "P1": timedelta(minutes=55)}
    world.put("past", [{"flight_id": id, **past, "departed_at": NOON - time} for id, time in ago.items()])
    steps = [("drain", "departures"), ("materialise", "leg"), ("materialise", "airport")]
    world.run(*(Step(kind, node, "test") for kind, node in steps))
    return world


@contextmanager
def listening(
    service: Service,
    extra: Iterable[Route] = (),
    journal: Journal | None = None,
    host: str = "127.0.0.1",
    loop: Loop = "auto",
) -> Iterator[httpx.Client]:
    """A client of a uvicorn server on a free port."""
    at = listen(host, 0)
    up = threading.Event()
    running = server(create_app(service, extra, journal), at, lambda url: up.set(), loop)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [at]})
    thread.start()
    try:
        assert up.wait(30)
        with httpx.Client(base_url=url_of(at), timeout=30) as client:
            yield client
    finally:
        running.should_exit = True
        thread.join()
        at.close()
