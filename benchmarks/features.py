"""Point-in-time features beside DuckDB's best: windows over five million events, latest values beside an ASOF join.

    python benchmarks/features.py [--repeat 3]

Windows: five aggregations over each of two windows, a day and thirty, for 500,000 examples and 5,000,000 events of
50,000 keys, one of which has 5 % of all. It stands beside two queries by hand. RANGE frames are what most would write.
The other is the best we could: keys with few events are joined to their examples, the busy one is added up by hours and
by days first. It has no late events, no ties and no repeated examples to mind, and one reference for all of a key.

Latest: 20 columns as of 100,000 examples from 1,000,000 events, beside an ASOF join.

All get the same tables in memory and 4 GB, give Arrow, and must agree; they take turns, and the median counts. What
Mainstem takes to plan, which does not grow with the data, is shown for itself.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import duckdb
import ibis
import pyarrow as pa
from ibis import _

from mainstem.engines.duckdb import DuckdbEngine
from mainstem.features.offline.join import join
from mainstem.features.views.compile import compile_view
from mainstem.features.views.view import Lookup
from mainstem.graph.known import Known
from mainstem.nodes.definition import Definition
from mainstem.nodes.features import feature_view
from mainstem.nodes.sources import files

INSTANT = "timestamp('UTC', 6)"
MEMORY = "4GB"
YEAR = 31_536_000_000_000
HOUR = 3_600_000_000
DAY = 24 * HOUR
BLOCK = 31 * DAY
COLUMNS = [f"f{n}" for n in range(20)]

Variant = Callable[[], pa.Table]

EVENTS = f"""
SELECT CASE WHEN hash(i) % 100 < 5 THEN 0 ELSE 1 + (hash(i * 3 + 1) % 50000)::BIGINT END AS key,
       make_timestamptz(1356998400000000 + (hash(i * 7 + 2) % {YEAR})::BIGINT) AS happened,
       (hash(i * 11 + 3) % 100000) / 1000.0::DOUBLE AS x, i AS _seq
FROM range(5_000_000) t(i)"""
EXAMPLES = f"""
SELECT i AS id, CASE WHEN hash(i + 77) % 100 < 5 THEN 0 ELSE 1 + (hash(i * 3 + 101) % 50000)::BIGINT END AS key,
       make_timestamptz(1356998400000000 + (hash(i * 7 + 202) % {YEAR})::BIGINT) AS t
FROM range(500_000) t(i)"""
ROWS = f"""
SELECT (hash(i * 3 + 1) % 20000)::BIGINT AS key,
       make_timestamptz(1356998400000000 + (hash(i * 7 + 2) % {YEAR})::BIGINT) AS happened, i AS _seq,
       {", ".join(f"(hash(i * {n + 13}) % 1000) / 10.0::DOUBLE AS {c}" for n, c in enumerate(COLUMNS))}
FROM range(1_000_000) t(i)"""
ASKED = f"""
SELECT i AS id, (hash(i * 3 + 101) % 20000)::BIGINT AS key,
       make_timestamptz(1356998400000000 + (hash(i * 7 + 202) % {YEAR})::BIGINT) AS t
FROM range(100_000) t(i)"""

ASKING = f"""
asked AS MATERIALIZED (
    SELECT id, key, epoch_us(t) AS t, epoch_us(t) - epoch_us(t) % {HOUR} - {DAY} AS a,
           epoch_us(t) - epoch_us(t) % {DAY} - 30 * {DAY} AS b FROM examples
), happenings AS (SELECT key, epoch_us(happened) AS u, x FROM events)"""

RANGES = f"""
WITH {ASKING}, lined_up AS (
    SELECT key, u, x, NULL::BIGINT AS id, 0 AS a, 0 AS b FROM happenings
    UNION ALL SELECT key, t, NULL, id, t - a, t - b FROM asked
)
SELECT id, count(x) OVER d1, sum(x) OVER d1, avg(x) OVER d1, max(x) OVER d1, stddev(x) OVER d1,
       count(x) OVER d30, sum(x) OVER d30, avg(x) OVER d30, max(x) OVER d30, stddev(x) OVER d30
FROM lined_up
WINDOW d1 AS (PARTITION BY key ORDER BY u RANGE BETWEEN a PRECEDING AND 1 PRECEDING),
       d30 AS (PARTITION BY key ORDER BY u RANGE BETWEEN b PRECEDING AND 1 PRECEDING)
QUALIFY id IS NOT NULL ORDER BY id"""


def stairs(name: str, step: int, size: int) -> str:
    """The busy keys over one window: whole steps before the one that `t` is in, and of that one what was before."""
    sums = "sum(n) AS n, sum(s) AS s, sum(d) AS d, sum(q) AS q, max(h) AS h"
    own = "count(x) AS n, sum(x) AS s, sum(x - c) AS d, sum((x - c) * (x - c)) AS q, max(x) AS h"
    return f"""
    step{name} AS (SELECT key, u // {step} AS k, {own} FROM hot GROUP BY ALL),
    whole{name} AS (SELECT id, {sums} FROM warm JOIN step{name} USING (key)
                    WHERE k >= t // {step} - {size // step} AND k < t // {step} GROUP BY id),
    part{name} AS (SELECT id, {own} FROM warm JOIN (SELECT *, u // {step} AS k FROM hot) e
                   ON e.key = warm.key AND e.k = warm.t // {step} WHERE u < t GROUP BY id),
    all{name} AS (SELECT id, {sums} FROM (FROM whole{name} UNION ALL FROM part{name}) GROUP BY id),
    done{name} AS (SELECT id, n::BIGINT AS n{name}, s AS s{name}, s / n AS m{name}, h AS h{name},
                   CASE WHEN n > 1 THEN sqrt(greatest(q - d * d / n, 0) / (n - 1)) END AS v{name} FROM all{name})"""


BEST = f"""
WITH {ASKING},
busy AS MATERIALIZED (SELECT key, avg(x) AS c FROM events GROUP BY key HAVING count(*) > 5000),
twice AS (SELECT id, key, t, a, b, unnest([b // {BLOCK}, b // {BLOCK} + 1]) AS k FROM asked
          WHERE key NOT IN (SELECT key FROM busy)),
calm AS (SELECT key, u, x, u // {BLOCK} AS k FROM happenings WHERE key NOT IN (SELECT key FROM busy)),
pairs AS (SELECT id, x, CASE WHEN u >= a THEN x END AS y FROM twice JOIN calm USING (key, k) WHERE u >= b AND u < t),
few AS (SELECT id, count(y) AS n1, sum(y) AS s1, avg(y) AS m1, max(y) AS h1, stddev(y) AS v1,
               count(x) AS n30, sum(x) AS s30, avg(x) AS m30, max(x) AS h30, stddev(x) AS v30 FROM pairs GROUP BY id),
hot AS MATERIALIZED (SELECT key, u, x, c FROM happenings JOIN busy USING (key)),
warm AS MATERIALIZED (SELECT id, key, t FROM asked JOIN busy USING (key)),
{stairs("1", HOUR, DAY)}, {stairs("30", DAY, 30 * DAY)},
many AS (SELECT * FROM done30 LEFT JOIN done1 USING (id))
SELECT asked.id, coalesce(n1, 0), s1, m1, h1, v1, coalesce(n30, 0), s30, m30, h30, v30
FROM asked LEFT JOIN (FROM few UNION ALL BY NAME FROM many) found USING (id) ORDER BY id"""

ASOF = f"""
SELECT id, {", ".join(f"e.{c}" for c in COLUMNS)}
FROM examples ASOF LEFT JOIN events e ON e.key = examples.key AND e.happened < examples.t ORDER BY id"""


def tables(events: str, examples: str) -> dict[str, pa.Table]:
    with duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        return {"events": db.sql(events).to_arrow_table(), "examples": db.sql(examples).to_arrow_table()}


def by_hand(data: dict[str, pa.Table], query: str) -> Variant:
    def run() -> pa.Table:
        with duckdb.connect(config={"memory_limit": MEMORY}) as db:
            db.execute("SET TimeZone = 'UTC'")
            for name, table in data.items():
                db.register(name, table)
            return db.sql(query).to_arrow_table()

    return run


def mainstem(data: dict[str, pa.Table], schema: dict[str, str], **settings: Any) -> Variant:
    node = files("events.parquet", time="happened", schema=schema)
    read = ibis.table({**schema, "_seq": "int64"}, name="events")
    known = dict.fromkeys(schema, Known.at("happened"))
    source = Definition("events", node, (), "-", schema=schema, read=read, known=known)
    view = compile_view(feature_view(node, key="key", **settings), "view", source)
    examples = ibis.table({"id": "int64", "key": "int64", "t": INSTANT}, name="examples")
    query = join(examples, "t", [Lookup(view, ("key",), "view")]).drop("key", "t").order_by("id")

    def run() -> pa.Table:
        with DuckdbEngine(memory_limit=MEMORY).session(data) as session:
            return session.fetch(query)

    return run


def agree(name: str, found: pa.Table, wanted: pa.Table) -> None:
    """Exits unless two results have the same values, row by row and column by column."""
    for ours, theirs in zip(found.columns, wanted.columns, strict=True):
        for one, other in zip(ours.to_pylist(), theirs.to_pylist(), strict=True):
            if one != other and (one is None or other is None or not math.isclose(one, other, rel_tol=1e-6)):
                raise SystemExit(f"{name}: {one} is not {other}")


def measure(title: str, variants: dict[str, Variant], small: Variant, repeat: int) -> None:
    """Print the median seconds of each, and how they compare with the first."""
    wanted = next(iter(variants.values()))()
    for name, work in variants.items():
        agree(name, work(), wanted)
    taken: dict[str, list[float]] = {name: [] for name in [*variants, "mainstem, planning"]}
    for _round in range(repeat):
        for name, work in [*variants.items(), ("mainstem, planning", small)]:
            began = time.perf_counter()
            work()
            taken[name].append(time.perf_counter() - began)
    print(title)
    base = statistics.median(taken[next(iter(variants))])
    for name, seconds in taken.items():
        median = statistics.median(seconds)
        print(f"  {name:<22} {median:7.2f} s   {median / base:5.2f} ×")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    repeat = parser.parse_args().repeat
    data = tables(EVENTS, EXAMPLES)
    few = {name: table.slice(0, 10) for name, table in data.items()}
    schema = {"key": "int64", "happened": INSTANT, "x": "float64"}
    x = _.x
    windows = {"n": x.count(), "total": x.sum(), "mean": x.mean(), "high": x.max(), "spread": x.std()}
    variants = {
        "the best by hand": by_hand(data, BEST),
        "RANGE frames": by_hand(data, RANGES),
        "mainstem": mainstem(data, schema, windows=["1d", "30d"], **windows),
    }
    small = mainstem(few, schema, windows=["1d", "30d"], **windows)
    measure("10 windowed aggregations, 500,000 examples × 5,000,000 events", variants, small, repeat)
    data = tables(ROWS, ASKED)
    few = {name: table.slice(0, 10) for name, table in data.items()}
    schema = {"key": "int64", "happened": INSTANT, **dict.fromkeys(COLUMNS, "float64")}
    variants = {"ASOF join": by_hand(data, ASOF), "mainstem": mainstem(data, schema, columns=COLUMNS)}
    small = mainstem(few, schema, columns=COLUMNS)
    measure("20 latest values, 100,000 examples × 1,000,000 events", variants, small, repeat)


if __name__ == "__main__":
    main()
