"""What `describe` takes of a large table: exact counts of all rows, the rest of a sample.

    python benchmarks/describing.py [--rows 20000000] [--columns 20] [--repeat 3]

The columns are integers, numbers, texts and dates, some with nulls. It takes turns with a query by hand that counts the
nulls and distinct values (approximately) and finds the extremes of every column, from the same files.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import duckdb

import mainstem as ms
from _turns import Turn, lines, take_turns, timed
from mainstem.settings import Profile, ProjectSettings, Serve, Settings

KINDS = (
    "(i * {n}) % 100003",
    "CASE WHEN i % {n} = 0 THEN NULL ELSE (i * {n}) % 10007 / 100.0::DOUBLE END",
    "'level ' || (i * {n}) % 500",
    "DATE '2010-01-01' + ((i * {n}) % 4000)::INT",
)


def lay_out(root: Path, rows: int, columns: int) -> None:
    values = ", ".join(f"{KINDS[n % 4].format(n=n + 3)} AS c{n:02}" for n in range(columns - 1))
    with duckdb.connect() as db:
        query = f"SELECT i AS id, {values} FROM range({rows}) t(i)"
        db.execute(f"COPY ({query}) TO '{root}/wide.parquet' (FORMAT parquet, COMPRESSION zstd)")


def by_hand(files: list[str]) -> None:
    with duckdb.connect() as db:
        names = [name for name, *_ in db.execute(f"DESCRIBE SELECT * FROM read_parquet({files})").fetchall()]
        parts = [f"count({n}), approx_count_distinct({n}), min({n}), max({n})" for n in names]
        db.execute(f"SELECT count(*), {', '.join(parts)} FROM read_parquet({files})").fetchall()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        lay_out(root, given.rows, given.columns)
        settings = Settings(root, ProjectSettings("wide", ()), Profile(), "default", Serve())
        with ms.Project(settings, {"wide": ms.files("wide.parquet", key="id")}) as project:
            project.run()
            found = project.describe("wide")
            assert found.rows == given.rows and len(found.columns) == given.columns and found.key_duplicates == 0
            files = [str(path) for path in (root / ".mainstem" / "lake").rglob("*.parquet")]
            sides: dict[str, Turn] = {
                "by hand": timed(lambda: by_hand(files)),
                "describe": timed(lambda: project.describe("wide")),
            }
            taken = take_turns(sides, given.repeat)
    print(f"{given.rows:,} rows × {given.columns} columns; median of {given.repeat}")
    print(*lines(taken), sep="\n")


if __name__ == "__main__":
    main()
