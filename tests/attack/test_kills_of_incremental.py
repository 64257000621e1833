"""`kill -9` at fifty random moments of runs with ten tables, five of them incremental: all of a run, or nothing."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import mainstem as ms

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]

KILLS, ROWS = 50, 40
DEFINED = """
from ibis import _
import mainstem as ms

sales = ms.files("sales/*.parquet")

@ms.table
def plain(sales): return sales.filter(_.price >= 0)

@ms.table(incremental="day", lookback="2d")
def daily(plain): return plain.group_by(day=_.at.date()).agg(sold=_.count(), people=_.person.nunique())

@ms.table(incremental="day", interval="7d")
def by_person(plain): return plain.group_by(day=_.at.date(), person=_.person).agg(sold=_.count())

@ms.table(key="person", write="merge", incremental="at")
def last(plain): return plain.select("person", "at", "price", "id")

@ms.table(incremental="at")
def ranked(sales): return sales.mutate(of_moment=_.count().over(group_by="at"))

@ms.table(key="id", write="merge")
def once(ranked): return ranked

@ms.table
def total(plain): return plain.agg(sold=_.count())

@ms.table
def people(last): return last.agg(people=_.count())

@ms.table
def weeks(daily): return daily.group_by(week=_.day.truncate("W").cast("date")).agg(sold=_.sold.sum())

@ms.table
def joined(plain, last): return plain.left_join(last, "person").select("id", "person")
"""
TABLES = ("plain", "daily", "by_person", "last", "ranked", "once", "total", "people", "weeks", "joined")
COUNTS = """
SELECT (SELECT count(*) FROM sales) AS sales, (SELECT count(*) FROM plain) AS plain,
  (SELECT sum(sold) FROM daily) AS daily, (SELECT sum(sold) FROM by_person) AS by_person,
  (SELECT count(*) FROM ranked) AS ranked,
  (SELECT count(*) FROM once) AS once, (SELECT sum(sold) FROM total) AS total, (SELECT sum(sold) FROM weeks) AS weeks,
  (SELECT count(*) FROM joined) AS joined
"""


def lay_out(root: Path) -> Path:
    (root / "sales").mkdir(parents=True)
    (root / "mainstem.toml").write_text('[project]\nname = "shop"\nmodules = ["shop"]\n')
    (root / "shop.py").write_text(DEFINED)
    return root


def more(root: Path, batch: int) -> None:
    """Add rows of many days, some of them late."""
    chance = random.Random(batch)
    days = [chance.uniform(0, 30 + batch) for _ in range(3)]
    rows = [
        {
            "id": ROWS * batch + n,
            "person": f"p{chance.randrange(60)}",
            "at": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=chance.choice(days), seconds=ROWS * batch + n),
            "price": float(n),
        }
        for n in range(ROWS)
    ]
    schema = pa.schema(
        [("id", pa.int64()), ("person", pa.string()), ("at", pa.timestamp("us", tz="UTC")), ("price", pa.float64())]
    )
    part = root / f"{batch}.part"
    pq.write_table(pa.Table.from_pylist(rows, schema), part)
    part.rename(root / "sales" / f"{batch}.parquet")


def start(root: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "mainstem", "run"]
    quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, cwd=root, env=dict(os.environ), start_new_session=True, **quiet)


def counted(project: ms.Project) -> int:
    """Return the number of sales of a release, in which every table has the same ones."""
    (found,) = project.query(COUNTS).to_pylist()
    return equal(found)


def equal(found: dict[str, Any]) -> int:
    assert len({int(number) for number in found.values()}) == 1, found
    return int(found["sales"])


def contents(root: Path) -> dict[str, list[str]]:
    with ms.load(root) as project:
        return {name: sorted(map(repr, project.table(name).to_pyarrow().to_pylist())) for name in TABLES}


@contextmanager
def reading(root: Path) -> Iterator[list[int]]:
    """Read again and again in a process of its own, which any error ends. Every release was whole."""
    seen: list[int] = []
    end, out = root.parent / "end", root.parent / "read"
    command = [sys.executable, str(Path(__file__).with_name("polling.py")), str(root), COUNTS, str(end)]
    with out.open("w") as file:
        process = subprocess.Popen(command, cwd=root, stdout=file, stderr=subprocess.PIPE, text=True)
        try:
            yield seen
        finally:
            end.touch()
            _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    seen += [equal(json.loads(line)) for line in out.read_text().splitlines()]
    assert seen and seen == sorted(seen) and not any(number % ROWS for number in seen)


def test_runs_of_ten_tables(tmp_path: Path, chance: random.Random, tally: Any) -> None:
    root = lay_out(tmp_path / "attacked")
    more(root, 0)
    assert start(root).wait() == 0
    more(root, 1)
    began = time.monotonic()
    assert start(root).wait() == 0
    seconds = time.monotonic() - began
    kills, batch, published = 0, 2, 2 * ROWS
    with reading(root) as seen:
        while kills < KILLS:
            more(root, batch)
            batch += 1
            run = start(root)
            time.sleep(chance.uniform(0.2, 1.1) * seconds)
            working = run.poll() is None
            if working:
                os.killpg(run.pid, signal.SIGKILL)
                kills += 1
            run.wait()
            with ms.load(root) as project:
                found = counted(project)
            assert found in (published, batch * ROWS), "all of a run, or nothing"
            outcome = "the release before" if found == published else "the new release"
            tally(f"{'killed' if working else 'ended before the kill'}: {outcome}")
            published = found
    tally.also(f"{len(seen):,} reads of a polling reader, each of one whole release")
    assert start(root).wait() == 0
    undisturbed = lay_out(tmp_path / "undisturbed")
    for number in range(batch):
        more(undisturbed, number)
    assert start(undisturbed).wait() == 0
    assert contents(root) == contents(undisturbed)
