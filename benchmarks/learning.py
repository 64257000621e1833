"""What learning costs beside fitting: wide and long tables, the report, a search, and `jobs=`.

    python benchmarks/learning.py [--rows 1000000] [--columns 2000] [--trials 24] [--only long wide search jobs]

Tables are of random numbers, and texts of the long one, whose target is a class. "of CPU" are seconds of all processes
of the line: they hardly depend on what else the machine does. "beside fits" is what a search took beyond the fits of
its trials and their scores of the folds: what is tried next, what decides between trials, and an ensemble. Needs the
extras `learn` and `tune`.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import mainstem as ms
from mainstem.settings import Profile, ProjectSettings, Serve, Settings

PARTS = ("long", "wide", "search", "jobs")
NUMBERS, TEXTS = 8, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=2_000)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    given = parser.parse_args()
    told(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    if "long" in given.only:
        long(given.rows)
    if "wide" in given.only:
        measured(f"{given.columns:,} columns × 500 rows", numbers(500, given.columns))
    if "search" in given.only:
        searched(given.trials)
    if "jobs" in given.only:
        jobs(given.trials)


def long(rows: int) -> None:
    """Train on many rows; then look at the version."""

    def looked_at(project: Any) -> None:
        line("  report", lambda: project.report("model").html())

    measured(f"{rows:,} rows × {NUMBERS + TEXTS}", texts(rows), then=looked_at)


def searched(trials: int) -> None:
    """Search, and tell the time of the search apart from that of its fits."""
    (card,) = measured(f"search, {trials} trials", texts(20_000), tune=trials)
    found = card["evaluated"]["search"]
    fits = sum(each["seconds"] for each in found["trials"])
    took = found["seconds"]
    told(f"  beside fits     {took - fits:6.2f} s of {took:.1f} s   {(took - fits) / fits:.1%}")


def jobs(trials: int) -> None:
    """Search in one process and in two. Both find the same."""
    cards = [measured(f"jobs={n}, {trials} trials", texts(20_000), tune=trials, jobs=n)[0] for n in (1, 2)]
    one, two = (card["evaluated"]["search"] for card in cards)
    same = cards[0]["metrics"] == cards[1]["metrics"] and list(map(tried, one["trials"])) == list(
        map(tried, two["trials"])
    )
    told(f"  searched in {one['seconds']:.1f} s and {two['seconds']:.1f} s; the same trials and measures: {same}")


def tried(trial: Mapping[str, Any]) -> tuple[Any, ...]:
    return trial["name"], trial["settings"], trial["state"], trial["value"]


def measured(
    name: str,
    table: pa.Table,
    *,
    then: Callable[[Any], None] | None = None,
    **options: Any,
) -> tuple[Mapping[str, Any], ...]:
    """Collect a file and learn from it. Print the line, and return the card."""
    with tempfile.TemporaryDirectory(prefix="mainstem-bench-") as directory:
        root = Path(directory)
        pq.write_table(table, root / "rows.parquet")
        rows = ms.files("rows.parquet", key="id", schema=schema_of(table))
        model = ms.model(rows, target="y", features="all", **options)
        settings = Settings(root, ProjectSettings("learning", ()), Profile(), "default", Serve())
        with ms.Project(settings, {"rows": rows, "model": model}) as project:
            project.run(select="rows")
            line(name, project.run)
            if then is not None:
                then(project)
            shown: Any = project.show("model")
            return (shown.card,)


def line(name: str, work: Callable[[], Any]) -> None:
    began, spent = perf_counter(), worked()
    work()
    told(f"{name:<28} {perf_counter() - began:6.1f} s   of CPU {worked() - spent:6.1f} s")


def worked() -> float:
    return sum(os.times()[:4])


def told(text: str) -> None:
    print(text, flush=True)


def numbers(rows: int, columns: int) -> pa.Table:
    random = np.random.default_rng(0)
    matrix = random.normal(0, 1, (rows, columns))
    late = matrix[:, :5].sum(1) + random.normal(0, 1, rows) > 0
    parts = {f"x{n}": matrix[:, n] for n in range(columns)}
    return pa.table({"id": np.arange(rows), **parts, "y": late})


def texts(rows: int) -> pa.Table:
    random = np.random.default_rng(0)
    table = {f"x{n}": random.normal(0, 1, rows) for n in range(NUMBERS)}
    levels = {f"t{n}": random.integers(0, 20 * (n + 1), rows) for n in range(TEXTS)}
    score = table["x0"] + table["x1"] * table["x2"] + (levels["t0"] % 3) + random.normal(0, 1, rows)
    words = {name: np.char.add("level ", each.astype(str)) for name, each in levels.items()}
    return pa.table({"id": np.arange(rows), **table, **words, "y": score > 1})


def schema_of(table: pa.Table) -> dict[str, str]:
    names = {pa.int64(): "int64", pa.float64(): "float64", pa.string(): "string", pa.bool_(): "boolean"}
    return {field.name: names[field.type] for field in table.schema}


if __name__ == "__main__":
    main()
