"""A project in miniature: real engine, real lake, stored tables given as rows, and tables built from them."""

from __future__ import annotations

from dataclasses import dataclass, field

import ibis
import pyarrow as pa
import pytest

from mainstem.engines.duckdb import DuckdbEngine
from mainstem.graph.dag import Dag
from mainstem.lake.iceberg import IcebergLake
from mainstem.nodes.definition import Definition, Graph
from mainstem.nodes.records import Release
from mainstem.nodes.tables import Table
from mainstem.planning.execution import Context
from mainstem.planning.plan import Step
from mainstem.ports import ReplaceAll
from mainstem.tables import sql
from mainstem.tables.build import Build, check_published
from mainstem.tables.resolve import resolve_table


@dataclass
class Shop:
    engine: DuckdbEngine
    lake: IcebergLake
    definitions: dict = field(default_factory=dict)
    tables: dict = field(default_factory=dict)
    runs: int = 0

    def store(self, name, schema, rows):
        """A stored relation with these rows, as if a source had been collected."""
        arrow = pa.Table.from_pylist(rows, schema=ibis.schema(schema).to_pyarrow())
        target = self.lake.target(name, schema)
        with self.engine.session({"rows": arrow}) as session:
            files = session.write(ibis.table(schema, name="rows"), target)
        self.tables[name] = self.lake.commit(name, target, files, base=None, run="seed", change=ReplaceAll())
        read = ibis.table(schema, name=name)
        self.definitions[name] = Definition(name, Table(name=name), (), "f", "f", schema, None, read)

    def declare(self, node, name="t"):
        reads = {n: d.read for n, d in self.definitions.items()}
        if node.sql is not None:
            build = sql.bind(node.sql, {n: reads[n] for n in sql.inputs(node.sql)})
        else:
            build = resolve_table(node, name, {p: reads[p] for p in node.parameters})
        types = {column: str(type) for column, type in build.schema().items()}
        read = ibis.table(types, name=name)
        self.definitions[name] = Definition(name, node, (), "f", "f", types, build, read)

    def context(self):
        self.runs += 1
        graph = Graph(dict(self.definitions), Dag(dict.fromkeys(self.definitions, ())))
        release = Release("rel", "main", "run", tables=self.tables)
        return Context(f"run-{self.runs}", "main", graph, release, self.engine, self.lake, state=None)

    def build(self, node, name="t"):
        self.declare(node, name)
        outcome = Build()(Step("build", name, "test"), self.context())
        self.tables = {**self.tables, **outcome.tables}
        return outcome

    def check(self, name="t"):
        return {r.label: r for r in check_published(self.context(), name)}

    def rows(self, name="t"):
        with self.engine.session({name: self.lake.scan(self.tables[name])}) as session:
            return session.fetch(f'SELECT * FROM "{name}" ORDER BY ALL').to_pylist()


@pytest.fixture
def shop(tmp_path):
    lake = IcebergLake(tmp_path / "lake")
    yield Shop(DuckdbEngine(threads=1, directories=[tmp_path]), lake)
    lake.close()
