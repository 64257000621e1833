"""A model of 336,776 flights: compare, fit, export, gate, measure; then score — beside the bare libraries.

    python benchmarks/training.py

The bare side fits LightGBM alone on the same training rows, as a matrix of floats, for as many rounds as Mainstem
settled on; and it scores with LightGBM's own `predict`. Both sides are timed after LightGBM and scikit-learn, which
LightGBM imports, are imported. Mainstem fits twice: the version that is measured, and the one that ships. Needs the
extra `demo`.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import ibis
import numpy as np
import pyarrow as pa

from _flights import unpacked
from mainstem.models.algorithms import libraries
from mainstem.models.artifact import export
from mainstem.models.artifact.scorer import Scorer
from mainstem.models.metrics import difference, measure, metric
from mainstem.models.preprocessing import TREES, fit
from mainstem.models.search.memory import Memory
from mainstem.models.training.blueprint import Blueprint, inputs_of
from mainstem.models.training.prepared import Prepared, prepare
from mainstem.models.training.train import Made, learn, version_of
from mainstem.models.versions import report
from mainstem.nodes.models import Model

QUERY = """
WITH flights AS (
    SELECT *, (make_timestamp(year, month, day, sched_dep_time // 100, sched_dep_time % 100, 0)
        AT TIME ZONE 'America/New_York') AS scheduled,
        scheduled - INTERVAL 1 HOUR AS _t, scheduled + INTERVAL (TRY_CAST(dep_delay AS INTEGER)) MINUTE AS departed
    FROM read_csv('{data}/flights.csv', nullstr='NA')
),
gone AS (SELECT origin AS airport, departed, dep_delay AS late FROM flights WHERE departed IS NOT NULL),
recent AS (
    SELECT origin AS airport, _t AS asked, {windows}
    FROM (SELECT DISTINCT origin, _t FROM flights) JOIN gone
        ON airport = origin AND departed < _t AND departed >= _t - INTERVAL 3 HOUR
    GROUP BY ALL
),
observed AS (SELECT *, time_hour::TIMESTAMPTZ AS hour_start FROM read_csv('{data}/weather.csv', nullstr='NA'))
SELECT f.origin, f.dest, f.carrier, f.distance, hour(f._t) AS hour, isodow(f._t) AS weekday, p.seats,
    p.year AS built, w.temp, w.humid, w.wind_dir, w.wind_speed, w.wind_gust, w.precip, w.pressure, w.visib,
    {columns}, f._t::TIMESTAMPTZ AS _t, f.arr_delay > 15 AS _target
FROM flights f
LEFT JOIN read_csv('{data}/planes.csv', nullstr='NA') p USING (tailnum)
LEFT JOIN observed w ON w.origin = f.origin AND w.hour_start = date_trunc('hour', f._t - INTERVAL 1 HOUR)
LEFT JOIN recent r ON r.airport = f.origin AND r.asked = f._t
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="mainstem-benchmark-") as root:
        table = dataset(Path(root))
        print(f"imports     {clocked(imported)[0]:6.1f} s")
        blueprint = declared(table)
        began = worked()
        took, (prepared, made) = clocked(lambda: trained(blueprint, table))
        ours = worked() - began
        path = export.save(Path(root), replace(made.manifest, number=1), made.onnx, made.beside)
        assert path is not None
        print(report.text(version_of(replace(made.manifest, number=1), path), Path(root)), "\n")
        began = worked()
        bare, booster, matrix = bare_training(prepared, made)
        theirs = worked() - began
        print(f"training    {took:6.1f} s   LightGBM alone {bare:6.1f} s   ratio {took / bare:.1f}")
        print(f"  of CPU    {ours:6.1f} s   LightGBM alone {theirs:6.1f} s   ratio {ours / theirs:.1f}   load {load()}")
        scoring(Scorer.load(Path(root, path)), booster, matrix, prepared)
        intervals(made, Scorer.load(Path(root, path)), prepared)


def imported() -> None:
    libraries.lightgbm()
    libraries.sklearn("linear_model")


def dataset(root: Path) -> pa.Table:
    """Every flight with what was known one hour before its departure."""
    measures = {"delay": "avg(late)", "late_share": "avg((late > 15)::INT)", "departures": "count(*)"}
    windows = [
        f"{sql} FILTER (departed >= _t - INTERVAL {hours} HOUR) AS {name}_{hours}h"
        for hours in (1, 3)
        for name, sql in measures.items()
    ]
    columns = [f"r.{name}_{hours}h" for hours in (1, 3) for name in measures]
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        query = QUERY.format(data=unpacked(root), windows=", ".join(windows), columns=", ".join(columns))
        return connection.sql(query).to_arrow_table()


def declared(table: pa.Table) -> Blueprint:
    schema = ibis.Schema.from_pyarrow(table.schema)
    inputs = inputs_of({name: str(kind) for name, kind in schema.items() if not name.startswith("_")}, {})
    model = Model(name="late", examples="flights", prediction_time=None, target=None, features=())
    return Blueprint("late", model, ibis.table(schema, name="dataset"), inputs)


def trained(blueprint: Blueprint, table: pa.Table) -> tuple[Prepared, Made]:
    began = time.perf_counter()
    prepared = prepare(blueprint.model, "binary", table, blueprint.inputs)

    def told(message: str) -> None:
        print(f"{time.perf_counter() - began:6.1f} s  {message}")

    return prepared, learn(blueprint, "binary", metric("average_precision"), prepared, Memory(), told)


def bare_training(prepared: Prepared, made: Made) -> tuple[float, Any, Any]:
    train = prepared.train
    fitted, matrix = fit(train, TREES)
    lightgbm = libraries.lightgbm()
    parameters = {"objective": "binary", "learning_rate": 0.05, "num_threads": 2, "verbosity": -1}
    rounds = int(made.manifest.settings.get("rounds", 150))
    took, booster = clocked(lambda: lightgbm.train(parameters, lightgbm.Dataset(matrix, train.y), rounds))
    return took, booster, fitted.transform(prepared.test.rows.floats, prepared.test.rows.strings)


def scoring(scorer: Scorer, booster: Any, matrix: Any, prepared: Prepared) -> None:
    rows = prepared.test.rows
    for count in (1, 32, 1_000, 50_000):
        part = rows.take(np.arange(count))
        columns = {name: part.floats[:, j].tolist() for j, name in enumerate(scorer.floats)}
        columns |= {name: part.strings[:, j].tolist() for j, name in enumerate(scorer.strings)}
        ours = typical(lambda columns=columns: scorer.score(columns), count)
        theirs = typical(lambda count=count: booster.predict(matrix[:count], num_threads=1), count)
        print(
            f"{count:>7,} rows {ours * 1e6:10,.0f} µs   LightGBM alone {theirs * 1e6:10,.0f} µs   {ours / theirs:.2f}"
        )


def intervals(made: Made, scorer: Scorer, prepared: Prepared) -> None:
    judge, y, scores = metric("average_precision"), prepared.test.y, scorer.score_rows(prepared.test.rows)
    one, _ = clocked(lambda: measure(judge, y, scores))
    two, _ = clocked(lambda: difference(judge, y, scores, scores[::-1]))
    print(f"{len(y):>7,} rows × 200 resamples: interval {one:.2f} s, paired difference {two:.2f} s")


def worked() -> float:
    """The seconds of CPU of this process: they hardly depend on what else the machine does."""
    spent = os.times()
    return spent.user + spent.system


def load() -> str:
    return f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def clocked(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


def typical(work: Callable[[], Any], rows: int) -> float:
    return median(clocked(work)[0] for _ in range(300 if rows < 100 else 5))


if __name__ == "__main__":
    main()
