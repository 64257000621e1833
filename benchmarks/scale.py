"""The same project at 1×, 10× and 30× the flights of 2013, DuckDB beside Spark on `local[2]`.

    python benchmarks/scale.py

Copies of the flights have airports and aircraft of their own, so that keys grow with rows. Each engine and size is a
process of its own. Collecting is not measured: this process reads sources on both engines. Memory is the peak of this
process and of Spark's Java process together. All sizes of Spark took six minutes on two
cores without other work. `SCALE_DUCKDB=1,10` and `SCALE_SPARK=1` choose others.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
from ibis import _
from pyarrow import csv

import mainstem as ms
from _flights import data
from mainstem.features.dataset import dataset
from mainstem.graph.lineage import leaves
from mainstem.ports import ReplaceAll
from mainstem.project.project import Project
from mainstem.settings import Profile, ProjectSettings, Serve, Settings

ENGINES = ("duckdb", "spark")
SIZES = {
    engine: tuple(int(size) for size in os.environ.get(f"SCALE_{engine.upper()}", "1,10,30").split(","))
    for engine in ENGINES
}
PARTS = ("legs", "days", "departures", "dataset")
CORES = 2
_NULLS = csv.ConvertOptions(null_values=["", "NA"], strings_can_be_null=True)


def _flights(size: int) -> pa.Table:
    """Return the flights with copies; each copy has airports and aircraft of its own."""
    import duckdb

    with ZipFile(data() / "flights.csv.zip") as packed:
        frame = csv.read_csv(packed.open(packed.namelist()[0]), convert_options=_NULLS)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("f", frame)
        return connection.execute(
            f"""
            SELECT row_number() OVER () AS flight_id, origin || '-' || c AS origin, tailnum || '-' || c AS tailnum,
                carrier, distance::DOUBLE AS distance, dep_delay::DOUBLE AS dep_delay, arr_delay::DOUBLE AS arr_delay,
                (time_hour::TIMESTAMPTZ + to_minutes(minute::INTEGER))::TIMESTAMPTZ AS scheduled_at,
                (time_hour::TIMESTAMPTZ + to_minutes(minute::INTEGER) + to_minutes(dep_delay::INTEGER)) AS departed_at
            FROM f, range({size}) AS copies(c) WHERE dep_delay IS NOT NULL AND tailnum IS NOT NULL
            """
        ).to_arrow_table()


def nodes() -> dict[str, Any]:
    known = {
        "*": _.scheduled_at - ibis.interval(days=30),
        "dep_delay": "departed_at",
        "departed_at": "departed_at",
        "arr_delay": _.departed_at + ibis.interval(hours=12),
    }
    flights = ms.files("flights.parquet", key="flight_id", time="scheduled_at", known=known)
    planes = ms.files("planes.parquet", key="tailnum", known="always")
    legs = ms.table(
        lambda flights, planes: flights.left_join(planes, "tailnum").drop("tailnum_right"), name="legs", key="flight_id"
    )
    days = ms.table(
        lambda legs: legs.group_by(legs.carrier, day=legs.scheduled_at.date()).agg(
            n=_.count(), delay=_.dep_delay.mean()
        ),
        name="days",
    )
    left = ms.table(
        lambda flights: flights.select("origin", "dep_delay", "departed_at"),
        name="departures",
        time="departed_at",
        assume_known={"origin": "the schedule says it 30 days before"},
    )
    airport = ms.feature_view(left, key="origin", windows=["1h", "3h"], delay=_.dep_delay.mean(), n=_.count())
    late = ms.model(
        examples=flights,
        prediction_time=_.scheduled_at - ibis.interval(hours=1),
        target=_.arr_delay > 15,
        features=["distance", "carrier", airport],
        metric="average_precision",
    )
    return {"flights": flights, "planes": planes, "legs": legs, "days": days, "departures": left} | {
        "airport": airport,
        "late": late,
    }


def measured(engine: str, size: int, root: Path) -> dict[str, Any]:
    """Run the project in this process. Return rows, the seconds of each part, and the peak memory in MB."""
    table = _flights(size)
    pq.write_table(table, root / "flights.parquet")
    planes = (
        table.select(["tailnum"])
        .group_by("tailnum")
        .aggregate([])
        .append_column("seats", pa.array([100] * len(table["tailnum"].unique()), pa.int64()))
    )
    pq.write_table(planes, root / "planes.parquet")
    rows = len(table)
    del table, planes
    profile = Profile(engine=engine, spark={"master": f"local[{CORES}]"} if engine == "spark" else {}, threads=CORES)
    took: dict[str, float] = {}
    with Project(Settings(root, ProjectSettings("scale", ()), profile, "default", Serve()), nodes()) as project:
        project.run("flights planes")
        if engine == "spark":
            began = time.perf_counter()
            with project.context("start", project.release).session(["planes"]) as session:
                session.fetch("SELECT count(*) AS n FROM planes")
            took["start"] = time.perf_counter() - began
        for part in PARTS[:3]:
            began = time.perf_counter()
            project.run(part)
            took[part] = time.perf_counter() - began
        began = time.perf_counter()
        context = project.context("scale", project.release)
        query = dataset(project.graph, "late")
        with context.session(leaves(query)) as session:
            target = context.lake.target("dataset.late", {c: str(t) for c, t in query.schema().items()})
            files = session.write(query, target)
            context.lake.commit("dataset.late", target, files, base=None, run="scale", change=ReplaceAll())
        took["dataset"] = time.perf_counter() - began
        assert sum(file.rows for file in files) == rows
        size_of_lake = sum(path.stat().st_size for path in (root / ".mainstem" / "lake").rglob("*.parquet"))
    return {"rows": rows, "took": took, "memory": _peak() / 2**20, "bytes": size_of_lake}


def _peak() -> int:
    """Return the peak memory of this process and of its children, in bytes."""
    total = 0
    for process in (Path("/proc/self"), *_children()):
        lines = (process / "status").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024
    return total


def _children() -> list[Path]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if int((process / "stat").read_text().rsplit(")", 1)[1].split()[1]) == os.getpid():
                found.append(process)
        except (OSError, ValueError, IndexError):
            continue
    return found


def main() -> None:
    print(f"join, aggregate, select, and the dataset of a model; {CORES} cores")
    print("  size  engine" + "".join(f"{part:>12}" for part in PARTS) + "       sum   peak memory   rows/s per core")
    sums: dict[tuple[str, int], float] = {}
    for size in sorted({*SIZES["duckdb"], *SIZES["spark"]}):
        for engine in (each for each in ENGINES if size in SIZES[each]):
            found = apart(engine, size)
            spent = [found["took"][part] for part in PARTS]
            sums[engine, size] = sum(spent)
            rate = found["rows"] / sum(spent) / CORES
            line = f"{size:>5}×  {engine:<6}" + "".join(f"{seconds:>10.1f} s" for seconds in spent)
            print(f"{line}{sum(spent):>8.1f} s   {found['memory']:>8,.0f} MB   {rate:>15,.0f}", flush=True)
            if "start" in found["took"]:
                print(f"         spark starts in {found['took']['start']:.1f} s, once a process; not in the sum")
    for engine in ENGINES:
        for small, large in pairwise(SIZES[engine]):
            ratio = sums[engine, large] / sums[engine, small]
            print(f"  {engine}: {large / small:.0f} × the rows of {small}× take {ratio:.1f} × the time")
    each = found["bytes"] / found["rows"]
    print(f"  {found['rows']:,} flights at {size}×; all stored tables together: {each:.0f} bytes")


def apart(engine: str, size: int) -> dict[str, Any]:
    """Return what a process of its own measured."""
    with tempfile.TemporaryDirectory() as root:
        command = [sys.executable, "-W", "ignore", __file__, engine, str(size), root]
        ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        sys.exit(f"{engine} at {size}×: {ended.stderr[-2_000:]}")
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    if len(sys.argv) == 4:
        print(json.dumps(measured(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))))
    else:
        main()
