"""What a billion events a day need, computed from the rates that docs/benchmarks.md shows.

    python benchmarks/billion.py

Nothing is measured here. Each line says which measured rate it divides by. Rates are of one process or core on the
machine of that page. The last lines compute its largest run of tables from the one before, to show how such an estimate
errs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
EVENTS = 1_000_000_000
DAY = 86_400
PEAK = 3
"""How many times the average the busiest hour has."""
FILE = 128 * 2**20
WINDOW_HOURS = 24
GIB = 2**30


def shown(pattern: str) -> float:
    """Return a number of the page. Raises `LookupError` if no line matches."""
    found = re.search(pattern, PAGE.read_text())
    if found is None:
        raise LookupError(f"docs/benchmarks.md shows no {pattern!r}")
    return float(found[1].replace(",", ""))


@dataclass(frozen=True)
class Run:
    """A line of the scale benchmark: how many times the flights, its seconds, and rows a second of one core."""

    size: int
    seconds: float
    rate: float


def measured(engine: str) -> list[Run]:
    """Return the runs of an engine on the page, the smallest first."""
    page = PAGE.read_text()
    said = page[page.index("$ python benchmarks/scale.py") :]
    lines = re.findall(rf"(\d+)× +{engine} .*?([\d.]+) s +[\d,]+ MB +([\d,]+)\n", said[: said.index("```")])
    return [Run(int(size), float(seconds), float(rate.replace(",", ""))) for size, seconds, rate in lines]


def needed(name: str, rate: float, per_second: float, unit: str) -> None:
    print(f"  {name:<42}{rate:>12,.0f}/s measured  {per_second / rate:>8.1f} {unit}")


def main() -> None:
    average = EVENTS / DAY
    peak = average * PEAK
    print(f"{EVENTS:,} events a day: {average:,.0f} a second, {peak:,.0f} in the busiest hour ({PEAK} × the average)")
    print("at the peak")
    needed("a topic into the lake", shown(r"lake +1,000,000 messages.* ([\d,]+)/s"), peak, "processes")
    needed("a topic into log and features", shown(r"log and features .* ([\d,]+)/s"), peak, "processes")
    needed("state of ten windows, alone", shown(r"100,000 keys alike +state.* ([\d,]+) by one core"), peak, "cores")
    needed("predictions, each a request", shown(r"one row, 16 clients;[^;]*  Mainstem +([\d,]+) /s"), peak, "processes")
    thousand = shown(r"1,000 rows, one client;[^;]*  Mainstem +([\d.]+) ms") / 1_000
    needed("predictions, 1,000 rows a request", 1_000 / thousand, peak, "processes")
    size = shown(r"all stored tables together: (\d+) bytes")
    print("in a day")
    print(f"  the lake grows by {EVENTS * size / GIB:,.0f} GiB, {EVENTS * size / FILE:,.0f} files of 128 MiB")
    put = shown(r"100,000 keys alike +state.* (\d+) bytes put")
    kept = EVENTS * WINDOW_HOURS / 24 * put / GIB
    print(f"  online state of {WINDOW_HOURS} h holds at most {kept:,.0f} GiB ({put:.0f} bytes put for an event)")
    runs = {engine: measured(engine) for engine in ("duckdb", "spark")}
    for engine, found in runs.items():
        rate = found[-1].rate
        hours = EVENTS / rate / 3_600
        print(f"  tables and a dataset of a day on {engine}: {hours:,.0f} core hours ({rate:,.0f} rows/s per core)")
    print("the same estimate of what was measured")
    for engine, (*_, before, last) in runs.items():
        estimate = before.seconds * last.size / before.size
        print(
            f"  {last.size}× the flights on {engine}, from {before.size}×: {estimate:,.0f} s; "
            f"measured {last.seconds:,.0f} s"
        )


if __name__ == "__main__":
    main()
