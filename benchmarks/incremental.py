"""Ten new rows below 20 million: what a run costs, beside a run with nothing new and one that builds all rows again.

    python benchmarks/incremental.py [--rows 20000000]

The project has one Parquet source and two tables: a selection with a computed column, and a join of it with a small
table. The rows of both ways are compared.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import duckdb

import mainstem as ms
from mainstem.settings import Profile, ProjectSettings, Serve, Settings


def lay_out(root: Path, rows: int) -> None:
    (root / "sales").mkdir()
    with duckdb.connect() as db:
        sale = "range AS id, range % 1000 AS shop, (range * 7919 % 10007) / 100.0 AS price"
        db.execute(f"COPY (SELECT {sale} FROM range({rows})) TO '{root}/sales/1.parquet' (FORMAT parquet)")
        db.execute(
            f"COPY (SELECT range AS shop, 'city ' || range % 50 AS city FROM range(1000)) TO '{root}/shops.parquet'"
        )


def more(root: Path, first: int, rows: int) -> None:
    with duckdb.connect() as db:
        sale = "range AS id, range % 1000 AS shop, 50.0 AS price"
        rows_of = f"SELECT {sale} FROM range({first}, {first + rows})"
        db.execute(f"COPY ({rows_of}) TO '{root}/sales/{first}.parquet' (FORMAT parquet)")


@ms.table
def dear(sales: Any) -> Any:
    return sales.filter(sales.price > 5).mutate(cents=(sales.price * 100).cast("int64"))


@ms.table
def placed(dear: Any, shops: Any) -> Any:
    return dear.left_join(shops, "shop").drop("shop_right")


def opened(root: Path) -> ms.Project:
    nodes = {"sales": ms.files("sales/*.parquet"), "shops": ms.files("shops.parquet"), "dear": dear, "placed": placed}
    return ms.Project(Settings(root, ProjectSettings("shop", ()), Profile(), "default", Serve()), nodes)


def taken(root: Path, full_refresh: bool = False) -> tuple[float, tuple[int, float]]:
    """Seconds of a run, and what the last table has."""
    with opened(root) as project:
        began = time.perf_counter()
        project.run("dear placed" if full_refresh else None, full_refresh=full_refresh)
        seconds = time.perf_counter() - began
        found = project.query("SELECT count(*) AS n, sum(cents)::DOUBLE AS cents FROM placed").to_pylist()[0]
    return seconds, (found["n"], found["cents"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000_000)
    rows = parser.parse_args().rows
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        lay_out(root, rows)
        first, _ = taken(root)
        nothing, _ = taken(root)
        more(root, rows, 10)
        part, with_part = taken(root)
        again, whole = taken(root, full_refresh=True)
    assert with_part == whole, (with_part, whole)
    print(f"{rows:,} rows, two tables; ten rows more")
    print(f"  the first run                       {first:7.2f} s")
    print(f"  both tables built again             {again:7.2f} s     1.00 ×")
    print(f"  ten rows more: only the new part    {part:7.2f} s   {part / again:6.3f} ×")
    print(f"  nothing new                         {nothing:7.2f} s   {nothing / again:6.3f} ×")


if __name__ == "__main__":
    main()
