"""Checks that set rows aside, beside the same checks that only report: a source and a table of 5,000,000 rows.

    python benchmarks/quarantine.py [--rows 5000000] [--files 1] [--repeat 3]

Both sides collect the same Parquet files, of which one row in a thousand violates a check, and build one table of them;
both have the same three row checks. One side has them with severity `warn`, which costs what `error` costs and lets the
run pass; the other with `quarantine`, which writes the rows to publish and the rows set aside. Each side publishes.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import duckdb

import mainstem as ms
from _turns import Turn, lines, take_turns, timed
from mainstem.settings import Profile, ProjectSettings, Serve, Settings


def lay_out(root: Path, rows: int, files: int) -> None:
    (root / "sales").mkdir()
    each = rows // files
    with duckdb.connect() as db:
        for number in range(files):
            db.execute(
                f"""COPY (SELECT range AS id, range % 1000 AS shop, 'customer ' || range * 7919 % 100003 AS customer,
                (range * 7919 % 10007) / 100.0 AS price, if(range % 3000 = 0, -1, range % 9) AS quantity,
                if(range % 3000 = 1, NULL, 'DE') AS country,
                TIMESTAMPTZ '2026-01-01 00:00:00+00' + INTERVAL (range % 10000000) SECOND AS sold_at
                FROM range({number * each}, {(number + 1) * each}))
                TO '{root}/sales/{number:04}.parquet' (FORMAT parquet)"""
            )


def checks(severity: Literal["warn", "quarantine"]) -> Sequence[Any]:
    return (
        ms.between("quantity", 0, 100, severity=severity),
        ms.not_null("country", severity=severity),
        ms.between("price", 0, 100.05, severity=severity),
    )


def opened(root: Path, severity: Literal["warn", "quarantine"], place: str) -> ms.Project:
    @ms.table(checks=checks(severity if place == "table" else "warn"))
    def dear(sales: Any) -> Any:
        return sales.mutate(total=sales.price * sales.quantity)

    sales = ms.files("sales/*.parquet", checks=checks(severity) if place == "source" else ())
    nodes = {"sales": sales, "dear": dear} if place == "table" else {"sales": sales}
    return ms.Project(Settings(root, ProjectSettings("shop", ()), Profile(), "default", Serve()), nodes)


def side(root: Path, severity: Literal["warn", "quarantine"], place: str) -> Turn:
    def turn() -> list[float]:
        shutil.rmtree(root / ".mainstem", ignore_errors=True)
        with opened(root, severity, place) as project:
            if place == "table":
                project.run("sales")
                return list(timed(lambda: project.run("dear"))())
            return list(timed(project.run)())

    return turn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        lay_out(root, given.rows, given.files)
        for place in ("table", "source"):
            sides = {f"{severity}": side(root, severity, place) for severity in ("warn", "quarantine")}
            taken = take_turns(sides, given.repeat)
            print(
                f"{given.rows:,} rows in {given.files} files, three row checks of a {place}; median of {given.repeat}"
            )
            print(*lines(taken), sep="\n")


if __name__ == "__main__":
    main()
