"""336,776 flights from CSV to a published Iceberg table with three checks, beside DuckDB alone.

    python benchmarks/tables.py [--repeat 5]

DuckDB alone: `COPY (SELECT … FROM read_csv) TO parquet`, then the same three checks as queries. Both sides get the same
columns and types and write the same compression; the median of the repeats counts. Needs the extra `demo`.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import duckdb
import ibis

import mainstem as ms
from _flights import unpacked
from _turns import Taken, Turn, lines, take_turns, timed
from mainstem.engines.duckdb import DuckdbEngine
from mainstem.graph.dag import Dag
from mainstem.lake.iceberg import IcebergLake
from mainstem.nodes import checks, tables
from mainstem.nodes.definition import Definition, Graph
from mainstem.nodes.records import Release
from mainstem.planning.execution import Context
from mainstem.planning.plan import Plan, Step
from mainstem.planning.runner import Runner
from mainstem.sources.collect import Collect
from mainstem.sources.inspection import introspect
from mainstem.state.sql import SqlState
from mainstem.tables.build import Build

CHECKS = [
    checks.not_null("origin", "dest"),
    checks.between("distance", 1, 6_000),
    checks.unique("year", "month", "day", "carrier", "flight", "origin", "sched_dep_time"),
]
QUERIES = [
    "SELECT count(*) FILTER (origin IS NULL OR dest IS NULL) FROM '{}'",
    "SELECT count(*) FILTER (NOT distance BETWEEN 1 AND 6000) FROM '{}'",
    """SELECT count(*) - count(DISTINCT (year, month, day, carrier, flight, origin, sched_dep_time)) FROM '{}'""",
]
TYPES = {"int64": "BIGINT", "float64": "DOUBLE", "string": "VARCHAR", "timestamp('UTC', 6)": "TIMESTAMPTZ"}


def alone(root: Path, schema: dict[str, str]) -> None:
    columns = ", ".join(f"'{name}': '{TYPES[type]}'" for name, type in schema.items())
    file = root / "alone.parquet"
    with duckdb.connect() as db:
        db.execute(
            f"COPY (SELECT * FROM read_csv('{root}/flights.csv', columns={{{columns}}}, header=true, nullstr='NA')) "
            f"TO '{file}' (FORMAT parquet, COMPRESSION zstd)"
        )
        for query in QUERIES:
            assert db.execute(query.format(file)).fetchone() == (0,)


class House:
    """An empty lake and state, and what is declared."""

    def __init__(self, root: Path, schema: dict[str, str], *, built: bool, rows: int = 336_776) -> None:
        shutil.rmtree(root / "house", ignore_errors=True)
        self.root = root
        self.rows = rows
        self.lake = IcebergLake(root / "house" / "lake")
        self.state = SqlState(f"sqlite:///{root / 'house' / 'state.db'}")
        read = ibis.table(schema, name="flights")
        source = ms.files("flights.csv", options={"nullstr": "NA"}, checks=() if built else CHECKS)
        definitions = {"flights": Definition("flights", source, (), "f", "f", schema, None, read)}
        steps = [Step("collect", "flights", "benchmark")]
        if built:
            node = tables.table(lambda flights: flights, name="legs", checks=CHECKS)
            own = ibis.table(schema, name="legs")
            definitions["legs"] = Definition("legs", node, ("flights",), "f", "f", schema, read, own)
            steps.append(Step("build", "legs", "benchmark"))
        self.graph = Graph(definitions, Dag({name: d.inputs for name, d in definitions.items()}))
        self.plan = Plan("main", tuple(steps))

    def run(self) -> None:
        """Collect, build, check, publish."""
        release = Release("", "main", "")
        context = Context("run-1", "main", self.graph, release, DuckdbEngine(), self.lake, self.state)
        Runner({"collect": Collect(self.root), "build": Build()}).run(self.plan, context)
        assert context.release.tables["flights"].rows == self.rows

    def close(self) -> None:
        self.lake.close()
        self.state.close()


def measure(root: Path, repeat: int) -> Taken:
    """Seconds of each variant."""
    schema = introspect(ms.files("flights.csv", options={"nullstr": "NA"}), root, DuckdbEngine())

    def ours(built: bool) -> Turn:
        def turn() -> list[float]:
            house = House(root, schema, built=built)
            taken = timed(house.run)()
            house.close()
            return list(taken)

        return turn

    sides = {
        "DuckDB alone": timed(lambda: alone(root, schema)),
        "source, checked": ours(built=False),
        "source → table, checked": ours(built=True),
    }
    return take_turns(sides, repeat)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    with tempfile.TemporaryDirectory() as scratch:
        unpacked(Path(scratch))
        taken = measure(Path(scratch), repeat)
    print(f"336,776 flights, CSV → published table, three checks; median of {repeat}")
    print(*lines(taken), sep="\n")


if __name__ == "__main__":
    main()
