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
from collections.abc import Callable

import duckdb
import ibis
import pyarrow as pa
from ibis import _

from _turns import agree, lines, take_turns, timed
from _worlds import ASOF, COLUMNS, MEASURE, MEASURES, dataset, examples, measures, rows, tables
from mainstem.engines.duckdb import DuckdbEngine

MEMORY = "4GB"
HOUR = 3_600_000_000
DAY = 24 * HOUR
BLOCK = 31 * DAY

Variant = Callable[[], pa.Table]

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


def by_hand(data: dict[str, pa.Table], query: str) -> Variant:
    def run() -> pa.Table:
        with duckdb.connect(config={"memory_limit": MEMORY}) as db:
            db.execute("SET TimeZone = 'UTC'")
            for name, table in data.items():
                db.register(name, table)
            return db.sql(query).to_arrow_table()

    return run


def mainstem(data: dict[str, pa.Table], query: ibis.Table) -> Variant:
    def run() -> pa.Table:
        with DuckdbEngine(memory_limit=MEMORY).session(data) as session:
            return session.fetch(query)

    return run


def measure(title: str, variants: dict[str, Variant], small: Variant, repeat: int) -> None:
    """Print the median seconds of each, and how they compare with the first."""
    wanted = next(iter(variants.values()))()
    for name, work in variants.items():
        agree(name, work(), wanted)
    sides = {name: timed(work) for name, work in [*variants.items(), ("mainstem, planning", small)]}
    print(title, *lines(take_turns(sides, repeat, warm=0)), sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=3)
    repeat = parser.parse_args().repeat
    data = tables(measures(5_000_000, 50_000, hot=5), examples(500_000, 50_000, hot=5))
    few = {name: table.slice(0, 10) for name, table in data.items()}
    x = _.x
    windows = {"n": x.count(), "total": x.sum(), "mean": x.mean(), "high": x.max(), "spread": x.std()}
    query = dataset(MEASURE, windows=["1d", "30d"], **windows)
    variants = {
        "the best by hand": by_hand(data, BEST),
        "RANGE frames": by_hand(data, RANGES),
        "mainstem": mainstem(data, query),
    }
    title = "10 windowed aggregations, 500,000 examples × 5,000,000 events"
    measure(title, variants, mainstem(few, query), repeat)
    data = tables(rows(1_000_000, 20_000), examples(100_000, 20_000))
    few = {name: table.slice(0, 10) for name, table in data.items()}
    query = dataset(MEASURES, columns=COLUMNS)
    variants = {"ASOF join": by_hand(data, ASOF), "mainstem": mainstem(data, query)}
    measure("20 latest values, 100,000 examples × 1,000,000 events", variants, mainstem(few, query), repeat)


if __name__ == "__main__":
    main()
