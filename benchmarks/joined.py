"""Fifty million rows joined, aggregated and written with 4 GiB of memory, beside the same SQL in DuckDB by hand.

    python benchmarks/joined.py [--rows 50000000] [--repeat 3] [--memory 4GiB]

Both sides read the same files of the lake: sales, and a million customers. The result has a row for each customer and
month. By hand it is one `COPY`; Mainstem also counts statistics, hashes the file and commits it. The rows are compared.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import duckdb

import mainstem as ms
from _turns import Taken, Turn, lines, take_turns, timed
from mainstem.engines.duckdb import DuckdbEngine
from mainstem.graph.dag import Dag
from mainstem.lake.iceberg import IcebergLake
from mainstem.nodes import tables
from mainstem.nodes.base import Origin
from mainstem.nodes.definition import Graph
from mainstem.nodes.records import Release
from mainstem.planning.execution import Context
from mainstem.planning.plan import Step
from mainstem.ports import ReplaceAll, Snapshot
from mainstem.project.resolve import resolve
from mainstem.tables.build import Build

CUSTOMERS = 1_000_000
ROWS = {
    "sales": "SELECT i AS sale_id, (i * 7919) % {customers} AS customer_id, "
    "DATE '2020-01-01' + (i % 730)::INT AS day, (i % 10007) / 100.0::DOUBLE AS price FROM range({rows}) t(i)",
    "customers": "SELECT i AS customer_id, 'country ' || i % 40 AS country FROM range({customers}) t(i)",
}
SCHEMAS = {
    "sales": {"sale_id": "int64", "customer_id": "int64", "day": "date", "price": "float64"},
    "customers": {"customer_id": "int64", "country": "string"},
}
QUERY = """
    SELECT customer_id, country, date_trunc('month', day)::DATE AS month, count(*) AS sold, sum(price) AS revenue
    FROM sales JOIN customers USING (customer_id)
    GROUP BY customer_id, country, month
"""


class House:
    """A lake with the two inputs, and the table over them."""

    def __init__(self, root: Path, rows: int, memory: str) -> None:
        self.engine = DuckdbEngine(memory, temp_directory=root, directories=[root])
        self.lake = IcebergLake(root / "lake")
        self.stored = {name: self._seed(name, rows) for name in SCHEMAS}
        nodes: Any = {name: ms.files(f"{name}.parquet", schema=SCHEMAS[name]) for name in SCHEMAS}
        nodes["monthly"] = tables.sql("monthly", QUERY, origin=Origin("monthly.sql", 1))
        resolved = resolve(nodes, {})
        needs = {"sales": (), "customers": (), "monthly": ("sales", "customers")}
        self.graph = Graph(resolved.definitions, Dag(needs))

    def _seed(self, name: str, rows: int) -> Snapshot:
        target = self.lake.target(name, SCHEMAS[name])
        with self.engine.session({}) as session:
            files = session.write(ROWS[name].format(rows=rows, customers=CUSTOMERS), target)
        return self.lake.commit(name, target, files, base=None, run="seed", change=ReplaceAll())

    def files(self, snapshot: Snapshot) -> list[str]:
        return list(self.lake.scan(snapshot).files)

    def build(self) -> Snapshot:
        """Build the table once more."""
        state: Any = None
        context = Context(
            "run-1", "main", self.graph, Release("", "main", "", tables=self.stored), self.engine, self.lake, state
        )
        made = Build()(Step("build", "monthly", "benchmark"), context).tables["monthly"]
        self.lake.settle()
        return made

    def by_hand(self, file: Path, memory: str) -> None:
        with duckdb.connect(config={"memory_limit": memory, "temp_directory": str(file.parent)}) as db:
            for name, snapshot in self.stored.items():
                db.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({self.files(snapshot)})")
            db.execute(f"COPY ({QUERY}) TO '{file}' (FORMAT parquet, COMPRESSION zstd)")


def check_equal(house: House, file: Path) -> None:
    """End without a number if the results differ. Sums of floats may differ in their last digits."""
    shown = "customer_id, country, month, sold, round(revenue, 4)"
    with duckdb.connect() as db:
        ours = f"SELECT {shown} FROM read_parquet({house.files(house.build())})"
        theirs = f"SELECT {shown} FROM '{file}'"
        assert db.execute(f"SELECT count(*) FROM ({theirs})").fetchone() != (0,)
        differ = f"SELECT count(*) FROM (({ours} EXCEPT ALL {theirs}) UNION ALL ({theirs} EXCEPT ALL {ours}))"
        assert db.execute(differ).fetchone() == (0,)


def measure(root: Path, rows: int, repeat: int, memory: str) -> Taken:
    """Seconds of each side."""
    house, file = House(root, rows, memory), root / "by_hand.parquet"
    house.by_hand(file, memory)
    check_equal(house, file)
    sides: dict[str, Turn] = {
        "DuckDB by hand": timed(lambda: house.by_hand(file, memory)),
        "mainstem": timed(house.build),
    }
    taken = take_turns(sides, repeat)
    house.lake.close()
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--memory", default="4GiB")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        taken = measure(Path(scratch), given.rows, given.repeat, given.memory)
    print(f"{given.rows:,} rows joined, aggregated and written with {given.memory}; median of {given.repeat}")
    print(*lines(taken), sep="\n")


if __name__ == "__main__":
    main()
