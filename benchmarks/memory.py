"""How much memory a dataset of windows takes when it is larger than what the engine may have.

    python benchmarks/memory.py [--limit 500MB] [--events 5000000 20000000]

The windows of `benchmarks/features.py` (five aggregations over a day and over thirty, 500,000 examples, a key that has
5 % of all events), from Parquet files to a Parquet file, as a run writes a dataset, with few and many events; beside it
the best query by hand. Each is a process of its own with that much memory for the engine, which spills the rest to
disk. Told are seconds, and the most that the whole process had in memory, Python and its libraries too.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
from ibis import _

from _worlds import MEASURE, dataset, examples, measures
from features import BEST
from mainstem.engines.duckdb import DuckdbEngine
from mainstem.ports import Field, RawFiles, Target

KEYS, HOT, EXAMPLES = 50_000, 5, 500_000
NAMES = ("events", "examples")


def write(root: Path, events: int) -> None:
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        for name, query in zip(NAMES, (measures(events, KEYS, HOT), examples(EXAMPLES, KEYS, HOT)), strict=True):
            db.execute(f"COPY ({query}) TO '{root / name}.parquet'")


def mainstem(root: Path, limit: str) -> None:
    x = _.x
    features = {"n": x.count(), "total": x.sum(), "mean": x.mean(), "high": x.max(), "spread": x.std()}
    query = dataset(MEASURE, windows=["1d", "30d"], **features)
    fields = tuple(Field(id, name, str(kind)) for id, (name, kind) in enumerate(query.schema().items(), start=1))
    files = {name: RawFiles((str(root / f"{name}.parquet"),), "parquet") for name in NAMES}
    with DuckdbEngine(limit, temp_directory=root / "spill").session(files) as session:
        session.write(query, Target(str(root / "out"), fields))


def by_hand(root: Path, limit: str) -> None:
    with duckdb.connect(config={"memory_limit": limit, "temp_directory": str(root / "spill")}) as db:
        db.execute("SET TimeZone = 'UTC'")
        for name in NAMES:
            db.execute(f"CREATE VIEW {name} AS FROM '{root / name}.parquet'")
        db.execute(f"COPY ({BEST}) TO '{root / 'out.parquet'}' (COMPRESSION zstd)")


SIDES: dict[str, Callable[[Path, str], None]] = {"the best by hand": by_hand, "Mainstem": mainstem}


def alone(side: str, root: Path, limit: str) -> str:
    """What a side says of itself, run in a process of its own."""
    command = [sys.executable, "-W", "ignore", __file__, "--limit", limit, "--side", side, "--root", str(root)]
    ended = subprocess.run(command, capture_output=True, text=True)
    return ended.stdout.strip() or f"failed: {ended.stderr.strip().splitlines()[-1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", default="500MB")
    parser.add_argument("--events", type=int, nargs="+", default=[5_000_000, 20_000_000])
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        began = time.perf_counter()
        SIDES[given.side](given.root, given.limit)
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{time.perf_counter() - began:7.1f} s   at most {most:5,.0f} MB in memory")
        return
    for events in given.events:
        with tempfile.TemporaryDirectory(prefix="mainstem-bench-") as directory:
            root = Path(directory)
            write(root, events)
            size = sum(path.stat().st_size for path in root.glob("*.parquet")) >> 20
            print(
                f"10 windowed aggregations, {EXAMPLES:,} examples × {events:,} events ({size:,} MB), with {given.limit}"
            )
            for side in SIDES:
                print(f"  {side:<18} {alone(side, root, given.limit)}", flush=True)


if __name__ == "__main__":
    main()
