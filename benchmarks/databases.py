"""A table of PostgreSQL to a published table, beside ADBC reading alone; and 100,000 changed rows merged into it.

    python benchmarks/databases.py [--rows 5000000] [--merge 10000000] [--changed 100000] [--repeat 3]

The table has 12 columns: integers, decimals, floats, texts, dates and instants. ADBC alone reads all batches and drops
them. Mainstem collects into an empty project each time: it writes, checks the key and publishes. For the merge the rows
that changed are the newest, or spread over all. Needs PostgreSQL and the extras `database` and `postgres`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import adbc_driver_postgresql.dbapi as adbc
import psycopg

import mainstem as ms
from _servers import postgresql
from _turns import lines, take_turns, timed
from mainstem.settings import Profile, ProjectSettings, Serve, Settings

COLUMNS = """n AS id, n % 1000 AS shop, (n * 7919 % 10007)::numeric(12, 2) AS price, (n % 97) / 7.0::float8 AS score,
    n % 2 = 0 AS paid, 'customer ' || n % 50000 AS customer, 'city ' || n % 500 AS city, md5(n::text) AS token,
    date '2024-01-01' + (n % 700)::int AS day, timestamptz '2024-01-01Z' + n * interval '2 s' AS at,
    n * 3 AS reference, CASE WHEN n % 5 = 0 THEN NULL ELSE n % 13 END AS rating"""


def lay_out(url: str, rows: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS sales")
        connection.execute(f"CREATE TABLE sales AS SELECT {COLUMNS} FROM generate_series(1, {rows}::bigint) n")
        connection.execute("CREATE INDEX ON sales (at)")
        connection.execute("VACUUM ANALYZE sales")


def alone(url: str, rows: int) -> None:
    with closing(adbc.connect(url)) as connection, closing(connection.cursor()) as cursor:
        cursor.execute("SELECT * FROM sales")
        assert sum(batch.num_rows for batch in cursor.fetch_record_batch()) == rows


def opened(root: Path, url: str, **more: object) -> ms.Project:
    node = ms.database(url, table="sales", key="id", schema={"price": "decimal(12, 2)"}, **more)
    return ms.Project(Settings(root, ProjectSettings("shop", ()), Profile(), "default", Serve()), {"sales": node})


def collected(root: Path, url: str, rows: int) -> None:
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    with opened(root, url) as project:
        assert project.run().steps[0].published == rows


def merged(root: Path, url: str, changed: int) -> tuple[float, str]:
    """Seconds of a run, and what it did."""
    with opened(root, url, write="merge", cursor="at") as project:
        began = time.perf_counter()
        (step,) = project.run().steps
        assert step.published == changed, step
        return time.perf_counter() - began, step.message


def change(url: str, which: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        later = "(SELECT max(at) FROM sales) + interval '1 s'"
        connection.execute(f"UPDATE sales SET rating = 99, at = {later} WHERE {which}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--merge", type=int, default=10_000_000)
    parser.add_argument("--changed", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    server, scratch = (Path(tempfile.mkdtemp(prefix=f"mainstem-{name}-", dir="/tmp")) for name in ("server", "bench"))
    try:
        with postgresql(server) as url:
            if url is None:
                sys.exit("PostgreSQL is not installed\n  hint: apt-get install postgresql")
            lay_out(url, given.rows)
            sides = {
                "ADBC, reading alone": timed(lambda: alone(url, given.rows)),
                "mainstem, published": timed(lambda: collected(scratch / "all", url, given.rows)),
            }
            print(f"{given.rows:,} rows × 12 columns of PostgreSQL")
            print("\n".join(lines(take_turns(sides, given.repeat))))
            lay_out(url, given.merge)
            root = scratch / "merge"
            root.mkdir()
            first, _ = merged(root, url, given.merge)
            print(f"{given.changed:,} changed rows, merged into {given.merge:,}")
            print(f"  all rows, the first run  {first:7.2f} s     1.00 ×")
            step = given.merge // given.changed
            for name, which in (
                ("the newest rows", f"id > {given.merge - given.changed}"),
                ("spread over all rows", f"id % {step} = 0"),
            ):
                change(url, which)
                seconds, _ = merged(root, url, given.changed)
                print(f"  {name:23}  {seconds:7.2f} s   {seconds / first:6.3f} ×")
    finally:
        for place in (server, scratch):
            shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    main()
