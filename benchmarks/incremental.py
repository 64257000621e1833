"""Ten new rows below 20 million: what a run costs, beside a run with nothing new and one that builds all rows again.

    python benchmarks/incremental.py [--rows 20000000]

The project has one Parquet source and four tables: a selection with a computed column, a join of it with a small table,
an aggregation by day and shop that is declared incremental, and a merge by key. The rows of both ways are compared.
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

AT = "TIMESTAMPTZ '2024-01-01 00:00:00+00' + to_seconds(range * 2)"
"""Two seconds between two sales: 20 million are of 463 days."""


def lay_out(root: Path, rows: int) -> None:
    (root / "sales").mkdir()
    with duckdb.connect() as db:
        sale = f"range AS id, range % 1000 AS shop, {AT} AS at, (range * 7919 % 10007) / 100.0 AS price"
        db.execute(f"COPY (SELECT {sale} FROM range({rows})) TO '{root}/sales/1.parquet' (FORMAT parquet)")
        db.execute(
            f"COPY (SELECT range AS shop, 'city ' || range % 50 AS city FROM range(1000)) TO '{root}/shops.parquet'"
        )


def more(root: Path, first: int, rows: int) -> None:
    with duckdb.connect() as db:
        # Two of the keys come again.
        sale = f"range - 2 AS id, range % 1000 AS shop, {AT} AS at, 50.0 AS price"
        rows_of = f"SELECT {sale} FROM range({first}, {first + rows})"
        db.execute(f"COPY ({rows_of}) TO '{root}/sales/{first}.parquet' (FORMAT parquet)")


@ms.table
def dear(sales: Any) -> Any:
    return sales.filter(sales.price > 5).mutate(cents=(sales.price * 100).cast("int64"))


@ms.table
def placed(dear: Any, shops: Any) -> Any:
    return dear.left_join(shops, "shop").drop("shop_right")


@ms.table(incremental="day", lookback="1d")
def daily(sales: Any) -> Any:
    day = sales.mutate(day=sales["at"].date())
    return day.group_by("day", "shop").agg(sold=day.count(), revenue=day.price.sum().round(2))


@ms.table(key="id", write="merge", incremental="at")
def merged(sales: Any) -> Any:
    return sales.select("id", "at", "shop", "price")


def opened(root: Path) -> ms.Project:
    nodes = {
        "sales": ms.files("sales/*.parquet"),
        "shops": ms.files("shops.parquet"),
        "dear": dear,
        "placed": placed,
        "daily": daily,
        "merged": merged,
    }
    return ms.Project(Settings(root, ProjectSettings("shop", ()), Profile(), "default", Serve()), nodes)


TABLES = {"dear": "count(*), sum(cents)", "placed": "count(*), sum(cents)", "daily": "count(*), sum(sold)",
    "merged": "count(*), round(sum(price), 2)"}  # fmt: skip


def taken(root: Path, full_refresh: bool = False) -> tuple[dict[str, float], list[Any]]:
    """Seconds of a run and of its steps, and what the tables have."""
    with opened(root) as project:
        began = time.perf_counter()
        record = project.run(" ".join(TABLES) if full_refresh else None, full_refresh=full_refresh)
        seconds = {"run": time.perf_counter() - began} | {step.node: step.seconds for step in record.steps}
        has = [project.query(f"SELECT {what} FROM {table}").to_pylist() for table, what in TABLES.items()]
    return seconds, has


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
    print(f"{rows:,} rows, four tables; ten rows more, two of them with a key that is there")
    print(f"  the first run                       {first['run']:7.2f} s")
    print(f"  all tables built again              {again['run']:7.2f} s     1.00 ×")
    print(f"  ten rows more                       {part['run']:7.2f} s   {part['run'] / again['run']:6.3f} ×")
    for table in TABLES:
        ratio = part[table] / again[table]
        print(f"    {table:8} {again[table]:7.2f} s again, now    {part[table]:7.2f} s   {ratio:6.3f} ×")
    print(f"  nothing new                         {nothing['run']:7.2f} s   {nothing['run'] / again['run']:6.3f} ×")


if __name__ == "__main__":
    main()
