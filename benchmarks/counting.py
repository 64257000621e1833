"""The statistics of a snapshot beside the build that they belong to: what they add to its time.

    python benchmarks/counting.py [--repeat 7]

Flights are collected, and a table of them is built, with and without statistics: all of them, and the first 30,000.
The sides take turns; the median of the repeats counts. Needs the extra `demo`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

import mainstem as ms
from _flights import unpacked
from _turns import Turn, lines, take_turns
from mainstem.engines.duckdb import DuckdbEngine
from mainstem.nodes.records import RunRecord
from mainstem.nodes.statistics import Sample, Statistics, statistics_id
from mainstem.ports import Snapshot
from mainstem.sources.inspection import introspect
from tables import House


class Nothing:
    """Counts nothing."""

    def __init__(self, *_: Any) -> None:
        pass

    def of(self, snapshot: Snapshot) -> Statistics:
        return Statistics(statistics_id(snapshot), snapshot.table, snapshot.id, "", 0, {}, Sample(0, 0, False))


@contextmanager
def without() -> Iterator[None]:
    """Runs count nothing."""
    with patch("mainstem.sources.publishing.Counting", Nothing), patch("mainstem.tables.build.Counting", Nothing):
        yield


def side(root: Path, schema: dict[str, str], step: str, rows: int, *, counted: bool) -> Turn:
    def turn() -> list[float]:
        house = House(root, schema, built=True, rows=rows)
        if counted:
            house.run()
        else:
            with without():
                house.run()
        (record,) = house.state.find(RunRecord)
        house.close()
        return [each.seconds for each in record.steps if each.kind == step]

    return turn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=7)
    repeat = parser.parse_args().repeat
    with tempfile.TemporaryDirectory() as scratch:
        root, few = Path(scratch) / "all", Path(scratch) / "few"
        root.mkdir()
        few.mkdir()
        unpacked(root)
        with (root / "flights.csv").open() as everything, (few / "flights.csv").open("w") as beginning:
            beginning.writelines(islice(everything, 30_001))
        schema = introspect(ms.files("flights.csv", options={"nullstr": "NA"}), root, DuckdbEngine())
        for place, rows in ((root, 336_776), (few, 30_000)):
            for step in ("collect", "build"):
                sides = {
                    "without statistics": side(place, schema, step, rows, counted=False),
                    "with statistics": side(place, schema, step, rows, counted=True),
                }
                print(f"{step}, {rows:,} flights of 19 columns; median of {repeat}")
                print(*lines(take_turns(sides, repeat)), sep="\n")


if __name__ == "__main__":
    main()
