"""How much memory a collection takes, whatever its size.

    python benchmarks/collecting.py [--limit 400MB] [--rows 1000000 10000000] [--kinds csv json …]

Rows of six columns with a key that is checked, collected into an empty project whose engine may have this much memory.
Each is a process of its own. Told are seconds, and the most that the whole process had in memory, Python and its
libraries too. The API answers pages of 1,000 records. Needs the extras `api`, `database` and `postgres`, and a
PostgreSQL server.
"""

from __future__ import annotations

import argparse
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import duckdb

import mainstem as ms
from _servers import postgresql
from mainstem.settings import Profile, ProjectSettings, Serve, Settings
from sources import TYPES, api

ROWS = """SELECT n AS id, 'city ' || n % 500 AS city, (n * 7 % 1009) / 7.0 AS amount, n % 2 = 0 AS paid,
    timestamptz '2024-01-01 00:00:00Z' + n * interval 2 second AS at, md5(n::text) AS token FROM range({}) t(n)"""
WIDE = {**TYPES, "token": "string"}
FILES = {"csv": "FORMAT csv, HEADER", "json": "FORMAT json", "parquet": "FORMAT parquet, COMPRESSION zstd"}
KINDS = (*FILES, "sqlite", "postgresql", "api")


@contextmanager
def laid_out(kind: str, root: Path, rows: int) -> Iterator[str | None]:
    """What the source is read from; None where there is no server."""
    if kind in FILES:
        with duckdb.connect() as db:
            db.execute(f"SET TimeZone = 'UTC'; COPY ({ROWS.format(rows)}) TO '{root}/sales.{kind}' ({FILES[kind]})")
        yield f"sales.{kind}"
    elif kind == "sqlite":
        with closing(sqlite3.connect(root / "sales.db")) as connection, connection:
            connection.execute(
                "CREATE TABLE sales (id INTEGER, city TEXT, amount REAL, paid INTEGER, at TEXT, token TEXT)"
            )
            made = (
                (n, f"city {n % 500}", n * 7 % 1009 / 7, n % 2, "2024-01-01T00:00:00Z", f"{n * 7919:032x}")
                for n in range(rows)
            )
            connection.executemany("INSERT INTO sales VALUES (?, ?, ?, ?, ?, ?)", made)
        yield f"sqlite:///{root}/sales.db"
    elif kind == "postgresql":
        data = root / "server"
        data.mkdir()
        root.chmod(0o755)
        with postgresql(data) as url:
            if url is not None:
                import psycopg

                query = (
                    ROWS.format(rows).replace("interval 2 second", "interval '2 s'").replace("/ 7.0", "/ 7.0::float8")
                )
                query = query.replace(f"range({rows})", f"generate_series(1, {rows}::bigint)")
                with psycopg.connect(url, autocommit=True) as connection:
                    connection.execute(f"CREATE TABLE sales AS {query}")
            yield url
    else:
        with api(rows) as url:
            yield url


def node(kind: str, place: str) -> Any:
    if kind in FILES:
        return ms.files(place, key="id", schema=WIDE)
    if kind == "api":
        limits = ms.limits(pages=10**6, seconds=3_600)
        return ms.api(f"{place}/records", key="id", paging=ms.paging.page("page"), schema=TYPES, limits=limits)
    typed = {"paid": "boolean", "at": TYPES["at"]} if kind == "sqlite" else None
    return ms.database(place, table="sales", key="id", schema=typed)


def collect(kind: str, root: Path, place: str, limit: str, rows: int) -> None:
    settings = Settings(root, ProjectSettings("shop", ()), Profile(memory=limit), "default", Serve())
    with ms.Project(settings, {"sales": node(kind, place)}) as project:
        (step,) = project.run().steps
        assert step.published == rows, step


def alone(kind: str, root: Path, place: str, limit: str, rows: int) -> str:
    """What a collection says of itself, in a process of its own."""
    told = ["--one", kind, "--root", str(root), "--place", place, "--limit", limit, "--rows", str(rows)]
    ended = subprocess.run([sys.executable, "-W", "ignore", __file__, *told], capture_output=True, text=True)
    return ended.stdout.strip() or f"failed: {ended.stderr.strip().splitlines()[-1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", default="400MB")
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    for hidden in ("--one", "--place"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        began = time.perf_counter()
        collect(given.one, given.root, given.place, given.limit, given.rows[0])
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{time.perf_counter() - began:7.1f} s   at most {most:5,.0f} MB in memory")
        return
    print(f"rows collected and published, with {given.limit} for the engine")
    for kind in given.kinds:
        for rows in given.rows:
            with tempfile.TemporaryDirectory(prefix="mainstem-bench-") as directory:
                root = Path(directory)
                with laid_out(kind, root, rows) as place:
                    said = "there is no server" if place is None else alone(kind, root, place, given.limit, rows)
                    print(f"  {kind:<11} {rows:>11,} rows {said}", flush=True)


if __name__ == "__main__":
    main()
