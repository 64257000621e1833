"""A project in miniature: real engine, real lake, one source, and a server on loopback that answers as it is told."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import ibis
import pytest

from mainstem.engines.duckdb import DuckdbEngine
from mainstem.graph.dag import Dag
from mainstem.lake.iceberg import IcebergLake
from mainstem.nodes.definition import Definition, Graph
from mainstem.nodes.records import Release
from mainstem.planning.execution import Context
from mainstem.planning.plan import Step
from mainstem.sources.collect import Collect
from mainstem.sources.inspection import introspect
from mainstem.state.sql import SqlState


@dataclass
class Bench:
    """Collects one source again and again, publishing what it collects."""

    root: Path
    engine: DuckdbEngine
    lake: IcebergLake
    state: SqlState
    tables: dict = field(default_factory=dict)
    runs: int = 0

    def context(self, node, schema=None):
        types = dict(schema or introspect(node, self.root, self.engine))
        if node.time:
            types["_seq"] = "int64"
        read = ibis.table(types, name="source")
        definition = Definition("source", node, (), "f", "f", types, None, read)
        self.runs += 1
        release = Release("rel", "main", "run", tables=self.tables)
        graph = Graph({"source": definition}, Dag({"source": ()}))
        return Context(f"run-{self.runs}", "main", graph, release, self.engine, self.lake, self.state)

    def collect(self, node, schema=None, **how):
        outcome = Collect(self.root, **how)(Step("collect", "source", "test"), self.context(node, schema))
        self.tables = {**self.tables, **outcome.tables}
        self.state.save(*outcome.records)
        return outcome

    def rows(self, table="source"):
        with self.engine.session({table: self.lake.scan(self.tables[table])}) as session:
            return session.fetch(f'SELECT * FROM "{table}" ORDER BY ALL').to_pylist()

    def column(self, name, table="source"):
        return [row[name] for row in self.rows(table)]


@pytest.fixture
def bench(tmp_path):
    root = tmp_path / "project"
    root.mkdir()
    lake = IcebergLake(tmp_path / "lake")
    state = SqlState(f"sqlite:///{tmp_path / 'state.db'}")
    yield Bench(root, DuckdbEngine(threads=1, directories=[tmp_path / "lake"]), lake, state)
    lake.close()
    state.close()


@dataclass
class Site:
    """A web server. `answers` maps paths to a function (query, headers) → (status, headers, body)."""

    url: str
    answers: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)

    def json(self, path, payload, **headers):
        self.answers[path] = lambda query, sent: (200, headers, json.dumps(payload).encode())

    def text(self, path, body, status=200, **headers):
        self.answers[path] = lambda query, sent: (status, headers, body.encode())

    def call(self, path, function):
        self.answers[path] = function


@pytest.fixture
def site():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            url = urlsplit(self.path)
            here.asked.append(self.path)
            answer = here.answers.get(url.path, lambda query, sent: (404, {}, b"nothing here"))
            status, headers, body = answer(dict(parse_qsl(url.query)), self.headers)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            with contextlib.suppress(BrokenPipeError):
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    here = Site(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield here
    server.shutdown()
    server.server_close()
    thread.join()


def _shared(name):
    """A module beside the rooms; tests are no package."""
    spec = importlib.util.spec_from_file_location(f"mainstem_test_{name}", Path(__file__).parents[1] / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


postgresql = _shared("postgresql").postgresql
mariadb = _shared("mariadb").mariadb


@pytest.fixture
def cut():
    """Makes a proxy that loses connections."""
    made = []

    def make(port):
        made.append(_shared("cut").Cut(port))
        return made[-1]

    yield make
    for each in made:
        each.close()
