"""Results that do not exist (a rounded NaN, an overflow) are null offline and online, and refuse no query."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import pytest
from ibis import _

import mainstem as ms
from mainstem.features.offline.join import join
from mainstem.features.retrieval import compiled
from mainstem.features.views.view import Lookup
from mainstem.graph.lineage import leaves
from mainstem.nodes.instants import INSTANT
from mainstem.project.project import Project
from mainstem.tables.total import total
from mainstem.testing import project as project_of

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SCHEMA = {"place": "string", "x": "float64", "y": "float64", "n": "int64", "at": INSTANT}
ROWS = [
    (2.5, 1.0, 3),
    (0.0, 0.0, 2**62),
    (1.0, 0.0, -(2**62)),
    (-1.0, 0.0, 0),
    (1e300, 1.0, -(2**63) + 1),
    (-1.0, 2.0, 2**63 - 1),
    (-7.25, 3.0, None),
    (None, 3.5, 1),
]
"""`x`, `y` and `n`. The quotient of the first two is a number, NaN, an infinity, huge, negative and null."""
Q = _.x / _.y
MADE = {
    "rounded": Q.round(),
    "digits": Q.round(1),
    "floor": Q.floor(),
    "ceiling": Q.ceil(),
    "truncated": Q.cast("int64"),
    "narrow": Q.cast("int8"),
    "single": Q.cast("float32"),
    "root": Q.sqrt().round(),
    "log": Q.ln().floor(),
    "quotient": Q.cast("int64"),
    "whole": _.x // _.y,
    "remainder": _.n % _.y.cast("int64"),
    "double": _.n * 2,
    "less": _.n - 3,
    "square": (_.n * _.n + 1).abs(),
    "filled": Q.round().fill_null(7),
}


@pytest.fixture(scope="module")
def shop() -> Iterator[Project]:
    readings = ms.stream("readings", schema=SCHEMA, time="at")
    made = ms.feature_view(
        readings, key="place", grace="100000d", windows=["1h"], **{f: v.sum() for f, v in MADE.items()}
    )
    few = {name: value.count() for name, value in MADE.items()}
    counted = ms.feature_view(readings, key="place", grace="100000d", windows=["1h"], **few)
    with project_of({"readings": readings, "made": made, "counted": counted}, data={}) as project:
        project.run()
        rows = [
            dict(zip(SCHEMA, (f"p{n}", *values, (NOON + timedelta(minutes=n)).isoformat()), strict=True))
            for n, values in enumerate(ROWS)
        ]
        project.ingest("readings", rows, backfill=True)
        project.run()
        yield project


@pytest.mark.parametrize("view", ["made", "counted"])
@pytest.mark.parametrize("as_of", ["arrived", "known"])
def test_the_dataset_is_what_online_state_says(shop: Project, view: str, as_of: Any) -> None:
    at = NOON + timedelta(minutes=30)
    places = [f"p{n}" for n in range(len(ROWS))]
    examples = ibis.memtable({"place": places, "t": [at] * len(places)}, schema={"place": "string", "t": INSTANT})
    lookup = Lookup(compiled(shop.graph, view), ("place",), "v")
    query = join(examples, "t", [lookup], as_of).order_by("place")
    with shop.reading("test").session(leaves(query) & shop.release.tables.keys()) as session:
        offline = session.fetch(query).to_pylist()
    online = shop.online(view).get([{"place": place} for place in places], time=at)
    names = list(lookup.view.schema)
    found = [{name: row[f"v__{name}"] for name in names} for row in offline]
    assert [dict(row) for row in online] == [pytest.approx(row, nan_ok=True) for row in found]
    assert found[1]["rounded_1h"] == (None if view == "made" else 0)
    assert found[1]["filled_1h"] == (7 if view == "made" else 1)


def test_the_engine_needs_no_guard_for_what_cannot_fail() -> None:
    rows = ibis.table({"i": "int32", "n": "int64", "x": "float64", "p": "boolean"}, name="row")
    for value in (rows.i.cast("int64"), rows.x * 2, rows.n / 2, rows.n.cast("float64"), rows.p.cast("int8")):
        assert total(value).equals(value)
