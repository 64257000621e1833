"""How what Mainstem does grows with events, keys, windows and examples, each for itself three and ten times a base.

    python benchmarks/growth.py [--repeat 3] [--plot docs/growth.svg]

Datasets: one window, of a day, of five aggregations, or 20 latest values, for 100,000 examples and 500,000 events of
10,000 keys, from tables in memory to Arrow, with 4 GB. Streams: two days of 100,000 events of 10,000 keys taken into
the state of that view of windows, in an LMDB store on disk; then one key is read from it. The sizes take turns, and the
median counts; reads are from the last of the states.

It prints a table, and writes a plot of how many times the base each became. A dataset has a part that does not grow,
some tenths of a second to plan it. A stream's seconds are of one core for each event, so that flat is linear in all.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import ibis
import pyarrow as pa
from ibis import _

from _plot import Curve, Panel, svg
from _turns import Turn, take_turns, timed
from _worlds import COLUMNS, MEASURE, MEASURES, dataset, examples, measures, rows, tables
from mainstem.engines.duckdb import DuckdbEngine
from mainstem.features.online.view import OnlineView
from mainstem.stores.lmdb import LmdbStore
from stream import DAY, batches, customer, source, view_over

FACTORS = (1, 3, 10)
WINDOWS = ("1d", "1h", "12h", "3h", "6h", "2h", "18h", "30min", "8h", "4h")
READS = 1_000


@dataclass(frozen=True)
class Size:
    """How much there is of everything."""

    events: int
    keys: int = 10_000
    windows: int = 1
    examples: int = 100_000

    def grown(self, what: str, factor: int) -> Size:
        return replace(self, **{what: getattr(self, what) * factor})


@dataclass(frozen=True)
class Growth:
    """Seconds by size, from a base on which some things grew."""

    title: str
    unit: str
    base: Size
    taken: Mapping[Size, float]
    grew: tuple[str, ...]

    def seconds(self, what: str) -> list[float]:
        return [self.taken[self.base.grown(what, factor)] for factor in FACTORS]


def sizes(base: Size, grew: Sequence[str]) -> list[Size]:
    """The base, and what it grew to."""
    return list(dict.fromkeys(base.grown(what, factor) for what in grew for factor in FACTORS))


# ── datasets ─────────────────────────────────────────────────────────────────────────────────────────


def windows(size: Size) -> Turn:
    x = _.x
    features = {"n": x.count(), "total": x.sum(), "mean": x.mean(), "high": x.max(), "spread": x.std()}
    data = tables(measures(size.events, size.keys), examples(size.examples, size.keys))
    return made(data, dataset(MEASURE, windows=WINDOWS[: size.windows], **features))


def latest(size: Size) -> Turn:
    return made(
        tables(rows(size.events, size.keys), examples(size.examples, size.keys)), dataset(MEASURES, columns=COLUMNS)
    )


def made(data: dict[str, pa.Table], query: ibis.Table) -> Turn:
    def run() -> pa.Table:
        with DuckdbEngine(memory_limit="4GB").session(data) as session:
            return session.fetch(query)

    return timed(run)


def datasets(title: str, turn: Callable[[Size], Turn], repeat: int, *grew: str) -> Growth:
    base = Size(events=500_000)
    taken = take_turns({size: turn(size) for size in sizes(base, grew)}, repeat, warm=0)
    return Growth(title, "s", base, {size: median(seconds) for size, seconds in taken.items()}, grew)


# ── streams ──────────────────────────────────────────────────────────────────────────────────────────


class States:
    """A view's state for each size, in a store of its own under `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._stores: dict[Size, LmdbStore] = {}
        self._views: dict[Size, OnlineView] = {}

    def take_in(self, size: Size) -> list[float]:
        """Seconds of one core for each event, on average, into a state built anew: to wait for the disk is left out."""
        self.close(size)
        store = self._stores[size] = LmdbStore(self._root / str(hash(size)))
        view = self._views[size] = view_over(source(), store, WINDOWS[: size.windows])
        spent = 0.0
        for columns in batches(size.events, 0, size.keys):
            began = process_time()
            with store.transaction() as writer:
                view.apply(writer, columns, columns["_seq"][-1] + 1)
            spent += process_time() - began
        return [spent / size.events]

    def read(self, size: Size) -> list[float]:
        """Seconds of reads of one key each."""
        taken = []
        for number in range(0, size.keys, size.keys // READS):
            began = perf_counter()
            self._views[size].read([(customer(number),)], 2 * DAY)
            taken.append(perf_counter() - began)
        return taken

    def close(self, size: Size) -> None:
        if size in self._stores:
            self._stores.pop(size).close()
            shutil.rmtree(self._root / str(hash(size)))


def streams(repeat: int) -> Iterator[Growth]:
    base, grew = Size(events=100_000), ("events", "keys", "windows")
    with tempfile.TemporaryDirectory(prefix="mainstem-bench-") as directory:
        states, of = States(Path(directory)), sizes(base, grew)
        taken_in = take_turns({size: partial(states.take_in, size) for size in of}, repeat)
        read = take_turns({size: partial(states.read, size) for size in of}, repeat)
        for size in of:
            states.close(size)
    for title, taken in (("stream, for each event", taken_in), ("online read of a key", read)):
        yield Growth(title, "µs", base, {size: median(seconds) for size, seconds in taken.items()}, grew)


# ── what is told ─────────────────────────────────────────────────────────────────────────────────────


def head() -> str:
    sized = "".join(f"{f'{factor} ×':>10}" for factor in FACTORS)
    return f"{'':<28}{'what grows':<12}{sized}      grew"


def lines(growth: Growth) -> Iterator[str]:
    """For each thing that grew, what was measured at each size, and how many times the base the last is."""
    for what in growth.grew:
        seconds = growth.seconds(what)
        shown = "".join(f"{shown_as(each, growth.unit):>10}" for each in seconds)
        yield f"{growth.title:<28}{what:<12}{shown}{seconds[-1] / seconds[0]:8.1f} ×"


def shown_as(seconds: float, unit: str) -> str:
    return f"{seconds:.2f} s" if unit == "s" else f"{seconds * 1e6:.1f} µs"


def panel(growth: Growth) -> Panel:
    first = shown_as(growth.taken[growth.base], growth.unit)
    curves = []
    for what in growth.grew:
        seconds = growth.seconds(what)
        curves.append(Curve(what, tuple(zip(FACTORS, (each / seconds[0] for each in seconds), strict=True))))
    return Panel(growth.title.capitalize(), f"{first} at the base", tuple(curves))


def measured(repeat: int) -> Iterator[Growth]:
    yield datasets("dataset of windows", windows, repeat, "events", "keys", "windows", "examples")
    yield datasets("dataset of latest values", latest, repeat, "events", "keys", "examples")
    yield from streams(repeat)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--plot", type=Path, default=Path(__file__).parent.parent / "docs" / "growth.svg")
    given = parser.parse_args()
    print(head(), flush=True)
    panels = []
    for growth in measured(given.repeat):
        print(*lines(growth), sep="\n", flush=True)
        panels.append(panel(growth))
    given.plot.write_text(svg(panels))


if __name__ == "__main__":
    main()
